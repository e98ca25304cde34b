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
    assert_eq!((ran.code, ran.stdout.trim_end()), (Some(0), expected), "{steps}: {}", ran.stderr);
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
