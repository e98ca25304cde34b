//! Worker processes, by the real binary with real programs: messages, ends, and that nothing outlives its call. The pool that
//! asks for them is `bad_worker/host_worker.py`.

mod harness;

use harness::Program;
use std::fs;
use std::time::{Duration, Instant};

fn program_with(pool: &str) -> Program {
    let command = |name: &str, mid: u32, args: &[&str], returns: &str| {
        let descriptions = vec![r#"{"kind": "pos"}"#; args.len()].join(", ");
        format!(
            r#"{{"name": "{name}", "type": "remote", "pool": 0, "mid": {mid}, "needed_pools": [0], "arg_schemas": {args:?},
                "args": [{descriptions}], "return_schema": "{returns}"}}"#
        )
    };
    let commands = [
        command("steps", 1, &["s"], "s"),
        command("add", 2, &["i8", "i8"], "i8"),
        command("halve", 3, &["i8"], "i8"),
    ];
    let program = Program::new(
        "prog",
        &format!(
            r#"{{"version": 1, "name": "prog", "pools": [{{"lang": "host", "transport": "direct",
                "exec": ["python3", "./host_worker.py"]{pool}}}], "commands": [{}]}}"#,
            commands.join(", ")
        ),
    );
    program.file("host_worker.py", include_str!("bad_worker/host_worker.py"));
    program.file("played.py", include_str!("runtimes/played.py"));
    program
}

/// The steps of a function and what each of them gives.
fn check(steps: &str, expected: &str) {
    let program = program_with("");
    let ran = program.run(&["--raw", "steps", steps]);
    assert_eq!(
        (ran.code, ran.stdout.trim_end()),
        (Some(0), expected),
        "{steps}: {}",
        ran.stderr
    );
    program.assert_nothing_left();
}

#[test]
fn a_program_answers_line_by_line() {
    check(
        r#"[["run", {"argv": ["cat"]}], ["send", "$0", "one"], ["send", "$0", "two"], ["receive", "$0", null],
            ["receive", "$0", 5000], ["receive", "$0", 20], ["close", "$0"], ["receive", "$0", null], ["wait", "$0", null]]"#,
        r#"["pid", null, null, ["one"], ["two"], ["timeout", "worker 'cat' did not send a message within 20 ms"], null, [], {"exit_code": 0}]"#,
    );
}

#[test]
fn a_program_takes_its_input_whole() {
    check(
        r#"[["run", {"argv": ["wc", "-c"], "framing": "whole"}], ["write", "$0", 3000000], ["close", "$0"],
            ["receive", "$0", null], ["receive", "$0", null]]"#,
        r#"["pid", null, null, ["3000000\n"], []]"#,
    );
}

#[test]
fn streams_and_surroundings_are_as_asked_for() {
    let line = r#"echo $A$NEXUS_POOL; pwd; read x; echo "<$x>"; echo told >&2"#;
    let steps = format!(
        r#"[["run", {{"argv": ["sh", "-c", {line:?}], "env": {{"A": "b"}}, "cwd": "/", "stdin": "null", "stderr": "pipe"}}],
            ["receive", "$0", null], ["receive", "$0", null], ["receive", "$0", null], ["send", "$0", "x"]]"#
    );
    let expected = r#"["pid", ["b"], ["/"], ["<>"], ["io", "nothing can be sent to the input, which is no pipe, of worker 'sh'"]]"#;
    check(&steps, expected);
}

#[test]
fn a_command_is_a_worker() {
    check(
        r#"[["run", {"command": "add"}], ["send", "$0", [1, 2]], ["send", "$0", [3, 4]], ["receive", "$0", null],
            ["receive", "$0", null], ["send", "$0", [5]], ["receive", "$0", null], ["close", "$0"],
            ["receive", "$0", null], ["run", {"command": "no"}], ["receive", "$9", null]]"#,
        r#"["pid", null, null, [[null, 3]], [[null, 7]], null, [[{"kind": "bad_argument", "message": "found 1 arguments, expected 2"}, null]], null, [], "pid", ["terminated", "worker 'no' exited with code 2"]]"#,
    );
}

#[test]
fn ends_are_typed() {
    check(
        r#"[["run", {"argv": ["sh", "-c", "echo last; exit 3"]}], ["receive", "$0", null], ["receive", "$0", null],
            ["run", {"argv": ["no-such-program"]}], ["run", {"argv": ["sleep", "60"]}], ["kill", "$4", null],
            ["wait", "$4", null], ["run", {"argv": ["sleep", "60"], "timeout_ms": 50}], ["wait", "$7", null],
            ["receive", "$7", null], ["receive", 99, null], ["run", {"argv": ["sh", "-c", "kill -SEGV $$"]}],
            ["receive", "$11", null]]"#,
        r#"["pid", ["last"], ["terminated", "worker 'sh' exited with code 3"], ["spawn_failed", "worker 'no-such-program' can't be started: there is no program 'no-such-program'"], "pid", null, {"signal": 9}, "pid", {"signal": 15}, ["timeout", "worker 'sleep' did not end within 50 ms and was ended"], ["io", "worker 99 is not known: the call that started it has ended, or it never was"], "pid", ["terminated", "worker 'sh' was ended by SIGSEGV"]]"#,
    );
}

#[test]
fn the_first_of_several_is_taken() {
    check(
        r#"[["run", {"argv": ["cat"]}], ["run", {"argv": ["sh", "-c", "read x; echo $x$x"]}], ["select", ["$0", "$1"], 20],
            ["send", "$1", "ab"], ["select", ["$0", "$1"], null], ["select", ["$0", "$1"], null]]"#,
        r#"["pid", "pid", ["timeout", "none of 2 workers did send a message within 20 ms"], null, [1, ["abab"]], [1, []]]"#,
    );
}

/// What a program does that should not.
fn check_bad(line: &str, more: &str, expected: &str) {
    let steps = format!(r#"[["run", {{"argv": ["sh", "-c", {line:?}]}}]{more}]"#);
    let began = Instant::now();
    check(&steps, expected);
    assert!(began.elapsed() < Duration::from_secs(20), "{line}");
}

#[test]
fn programs_that_misbehave_end_with_their_call() {
    // It never reads: its mailbox fills, and nobody waits.
    let never_reads = r#", ["write", "$0", 20000000], ["send", "$0", "x"]"#;
    let full = r#"["pid", null, ["io", "mailbox of worker 'sh' is full (1024 messages or 16 MiB)"]]"#;
    check_bad("sleep 600", never_reads, full);
    // It floods.
    check_bad("yes", r#", ["receive", "$0", null]"#, r#"["pid", ["y"]]"#);
    // It dies in the middle of a message.
    let halfway = r#", ["receive", "$0", null], ["receive", "$0", null]"#;
    check_bad(
        "printf half; kill -9 $$",
        halfway,
        r#"["pid", ["half"], ["terminated", "worker 'sh' was ended by SIGKILL"]]"#,
    );
    // It ignores SIGTERM.
    check_bad(
        "trap '' TERM; echo up; while true; do sleep 1; done",
        r#", ["receive", "$0", null]"#,
        r#"["pid", ["up"]]"#,
    );
    // It forks, leaves its group and holds the pipe open.
    let leaves = "setsid sleep 600 & echo gone; exit 0";
    check_bad(leaves, halfway, r#"["pid", ["gone"], []]"#);
    // It closes its input.
    let refused =
        r#", ["receive", "$0", null], ["write", "$0", 100000], ["receive", "$0", 100], ["send", "$0", "x"]"#;
    check_bad(
        "exec <&-; echo shut; sleep 600",
        refused,
        r#"["pid", ["shut"], null, ["timeout", "worker 'sh' did not send a message within 100 ms"], ["io", "nothing can be sent to the closed input of worker 'sh'"]]"#,
    );
}

#[test]
fn a_failure_ends_its_workers_at_once() {
    let program = program_with("");
    let began = Instant::now();
    let stubborn = r#"[["run", {"argv": ["sh", "-c", "trap '' TERM; echo up; while true; do sleep 1; done"]}], ["receive", "$0", null], ["raise"]]"#;
    program.check_error(&["steps", stubborn], 1, &["as it was told"]);
    let sits = stubborn.replace("raise", "sit");
    let ran = program.run(&["--timeout", "0.5", "steps", &sits]);
    assert_eq!(ran.code, Some(124), "{}", ran.stderr);
    program.assert_nothing_left();
    assert!(began.elapsed() < Duration::from_secs(10));
}

#[test]
fn nothing_survives_a_nexus_that_is_killed() {
    let program = program_with("");
    let steps = r#"[["run", {"argv": ["sh", "-c", "trap '' TERM; sleep 600"], "env": {"A": "b"}}], ["run", {"command": "add"}],
        ["send", "$1", [1, 2]], ["receive", "$1", null], ["sit"]]"#;
    let mut child = program.command(&["steps", steps]).spawn().unwrap();
    let until = |wanted: &dyn Fn(usize) -> bool| {
        let began = Instant::now();
        while !wanted(program.processes().len()) {
            assert!(
                began.elapsed() < Duration::from_secs(30),
                "{:?}",
                program.processes()
            );
            std::thread::yield_now();
        }
    };
    // The pool's worker, the shell, its sleep, nexus and its pool's worker.
    until(&|count| count >= 5);
    child.kill().unwrap();
    child.wait().unwrap();
    until(&|count| count == 0);
}

#[test]
fn a_pool_may_be_denied_workers() {
    let program = program_with(r#", "host": ["call", "log"]"#);
    let ran = program.run(&["--raw", "steps", r#"[["run", {"argv": ["true"]}]]"#]);
    let expected = r#"[["denied", "pool 'host' may not ask for 'run': \"host\" in its manifest does not allow \"run\""]]"#;
    assert_eq!(ran.stdout.trim_end(), expected, "{}", ran.stderr);
}

/// A program's input, words, exit code, output and a part of its standard error.
fn check_each(words: &[&str], input: &[u8], code: i32, stdout: &str, stderr: &str) {
    let program = program_with("");
    program.file("input", &String::from_utf8_lossy(input));
    let mut command = program.command(words);
    command.stdin(fs::File::open(program.dir.join("input")).unwrap());
    let ran = harness::finish(command.spawn().unwrap());
    assert_eq!(
        (ran.code, ran.stdout.as_str()),
        (Some(code), stdout),
        "{words:?}: {}",
        ran.stderr
    );
    assert!(ran.stderr.contains(stderr), "{words:?}: {}", ran.stderr);
}

#[test]
fn a_command_runs_for_each_line() {
    check_each(&["--each", "add"], b"[1, 2]\n[3, 4]\n", 0, "3\n7\n", "");
    check_each(&["--each", "halve"], b"4\n8", 0, "2\n4\n", "");
    check_each(&["--each", "halve"], b"", 0, "", "");
    check_each(
        &["--each", "halve"],
        b"4\n3\n8\n",
        1,
        "2\n",
        "error: item 2: 3 is odd",
    );
    let failed = "2\n{\"error\":{\"kind\":\"raised\",\"message\":\"item 2: 3 is odd\",\"pool\":\"host\",\"function\":\"halve\"}}\n4\n";
    check_each(
        &["--each", "--keep-going", "halve"],
        b"4\n3\n8\n",
        1,
        failed,
        "item 2: 3 is odd",
    );
    check_each(
        &["--each", "add"],
        b"[1]\n",
        2,
        "",
        "item 1: found 1 arguments, expected 2",
    );
    check_each(&["--each", "add"], b"[1, x]\n", 2, "", "item 1: ");
    check_each(
        &["--each", "halve", "3"],
        b"",
        2,
        "",
        "found argument '3', expected none",
    );
    check_each(
        &["--keep-going", "halve", "3"],
        b"",
        2,
        "",
        "--keep-going is given without --each",
    );
}

/// The tool with those words, in the shell of a program's surroundings, so that what it starts is found.
fn tool(program: &Program, words: &[&str]) -> harness::Ran {
    harness::finish(
        program
            .command_of(harness::NEXUS.as_ref(), words)
            .spawn()
            .unwrap(),
    )
}

#[test]
fn any_program_runs_supervised() {
    let program = program_with("");
    let check = |words: &[&str], code: i32, stdout: &str, stderr: &str| {
        let ran = tool(&program, words);
        assert_eq!(
            (ran.code, ran.stdout.as_str()),
            (Some(code), stdout),
            "{words:?}: {}",
            ran.stderr
        );
        assert!(ran.stderr.contains(stderr), "{words:?}: {}", ran.stderr);
        program.assert_nothing_left();
    };
    let own = program.path().display().to_string();
    check(
        &["run", "sh", "-c", "echo out; echo err >&2; exit 7"],
        7,
        "out\n",
        "err",
    );
    check(&["run", "sh", "-c", "kill -TERM $$"], 143, "", "");
    check(
        &["run", "--env", "A=b", "--cwd", "/", "sh", "-c", "echo $A; pwd"],
        0,
        "b\n/\n",
        "",
    );
    check(&["run", &own, "add", "1", "2"], 0, "3\n", "");
    check(
        &["run", "--timeout", "20", "--cwd", "/", &own, "add", "1", "2"],
        0,
        "3\n",
        "",
    );
    check(
        &["run", "--timeout", "0.1", "sleep", "60"],
        124,
        "",
        "worker 'sleep' did not end within 100 ms",
    );
    check(
        &[
            "run",
            "--timeout",
            "0.1",
            "sh",
            "-c",
            "setsid sleep 600 & sleep 600",
        ],
        124,
        "",
        "did not end",
    );
    check(
        &["run", "no-such-program"],
        4,
        "",
        "there is no program 'no-such-program'",
    );
    check(
        &["run", "no-such.manifest"],
        3,
        "",
        "there is no manifest no-such.manifest",
    );
    check(
        &["run", "--env", "x", "true"],
        2,
        "",
        "option --env: found 'x', expected NAME=value",
    );
    check(
        &["run", "--detach", "--timeout", "5", "true"],
        2,
        "",
        "a detached program has nobody",
    );
}

#[test]
fn detached_programs_are_listed_and_ended() {
    let program = program_with("");
    let name = format!("worker-{}", std::process::id());
    program.file(&name, "#!/bin/sh\ntrap '' TERM\nexec sleep 600\n");
    let path = program.dir.join(&name);
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(&path, mode).unwrap();
    let path = path.display().to_string();
    let started = tool(&program, &["run", "--detach", "--env", "A=b", &path, "x"]);
    assert_eq!(started.code, Some(0), "{}", started.stderr);
    let pid: u32 = started.stdout.trim().parse().unwrap();
    let steps = format!(r#"[["run", {{"argv": ["{path}"], "detach": true}}], ["receive", "$0", null]]"#);
    let by_function = program.run(&["--raw", "steps", &steps]);
    assert_eq!(
        by_function.stdout.trim_end(),
        r#"["pid", []]"#,
        "{}",
        by_function.stderr
    );
    program.assert_nothing_left();
    let listed = tool(&program, &["ps", "--format", "csv"]).stdout;
    assert_eq!(listed.lines().next(), Some("pid,name,age_s,command"));
    assert!(listed.contains(&format!("{pid},{name},")), "{listed}");
    assert_eq!(listed.matches("sleep 600").count(), 2, "{listed}");
    let own = std::process::id().to_string();
    let refused = tool(&program, &["kill", &own, &name]);
    assert!(
        refused.code == Some(2) && refused.stderr.contains("is none that nexus detached"),
        "{}",
        refused.stderr
    );
    let ended = tool(&program, &["kill", &pid.to_string()]);
    assert_eq!(
        ended.stdout,
        format!("ended process {pid} ({name}) by SIGKILL, for it ignored SIGTERM\n")
    );
    let others = tool(&program, &["kill", &path]);
    assert!(others.stdout.contains("by SIGKILL"), "{}", others.stderr);
    let gone = tool(&program, &["kill", &name]);
    assert!(
        gone.stderr.contains("there is no detached process"),
        "{}",
        gone.stderr
    );
}
