//! Pipes and worker processes in compositions, by the real binary with manifests written by hand and real programs.

mod harness;

use harness::{Program, Ran};
use std::fs;
use std::io::Read;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

fn manifest(schemas: &str, args: &str, returns: &str, expr: &str) -> String {
    format!(
        r#"{{"version": 1, "name": "prog", "pools": [{{"lang": "host", "transport": "direct",
        "exec": ["python3", "./host_worker.py"]}}], "commands": [{{"name": "go", "type": "composed", "needed_pools": [],
        "arg_schemas": {schemas}, "args": {args}, "return_schema": "{returns}", "expr": {expr}}},
        {{"name": "add", "type": "remote", "pool": 0, "mid": 2, "needed_pools": [0], "arg_schemas": ["i8", "i8"],
        "args": [{{"kind": "pos"}}, {{"kind": "pos"}}], "return_schema": "i8"}}]}}"#
    )
}

/// A program with one composed command `go` of no arguments, and a pool with the function 2 that halves.
fn program(returns: &str, expr: &str) -> Program {
    let program = Program::new("prog", &manifest("[]", "[]", returns, expr));
    program.file("host_worker.py", include_str!("bad_worker/host_worker.py"));
    program.file("played.py", include_str!("runtimes/played.py"));
    program
}

fn check(returns: &str, expr: &str, expected: &str) {
    program(returns, expr).check(&["go"], expected);
}

fn check_error(expr: &str, code: i32, parts: &[&str]) -> Ran {
    let began = Instant::now();
    let ran = program("s", expr).check_error(&["go"], code, parts);
    assert!(began.elapsed() < Duration::from_secs(20), "{expr}");
    ran
}

fn text(value: &str) -> String {
    format!(r#"{{"tag":"str","schema":"s","value":{value:?}}}"#)
}

fn words(words: &[&str]) -> String {
    let words: Vec<String> = words.iter().map(|word| text(word)).collect();
    format!(
        r#"{{"tag":"container","schema":"[s]","elements":[{}]}}"#,
        words.join(",")
    )
}

fn list(schema: &str, json: &str) -> String {
    format!(r#"{{"tag":"lit","schema":"{schema}","value":{json:?}}}"#)
}

/// A stage; the types and forms are of a list of strings in lines unless they are given.
fn cmd(argv: &[&str], forms: &str) -> String {
    let (input, output) = forms.split_once(' ').unwrap_or((forms, forms));
    let ty = |form: &str| match form {
        "text" | "json" => "s",
        "bytes" => "y",
        "none" => "z",
        "jsonl" => "[i8]",
        _ => "[s]",
    };
    format!(
        r#""argv":{},"input":"{}","output":"{}","input_form":"{input}","output_form":"{output}""#,
        words(argv),
        ty(input),
        ty(output)
    )
}

fn pipe(source: (&str, &str), stages: &[String], schema: &str) -> String {
    let (source_schema, source) = source;
    format!(
        r#"{{"tag":"pipe","source":{source},"source_schema":"{source_schema}","schema":"{schema}","stages":[{}]}}"#,
        stages.join(",")
    )
}

fn through(argv: &[&str], forms: &str) -> String {
    format!(r#"{{"cmd":{{{}}}}}"#, cmd(argv, forms))
}

fn each(func: &str, input: &str, output: &str, width: &str) -> String {
    let width = match width {
        "" => String::new(),
        width => format!(r#""width":{{"tag":"lit","schema":"i8","value":"{width}"}},"#),
    };
    format!(r#"{{"each":{func},{width}"in":"{input}","out":"{output}"}}"#)
}

/// `halve` of the pool.
const HALVE: &str = r#"{"tag":"call","pool":0,"mid":3,"arg_schemas":["i8"],"return_schema":"i8","at":"main.loc:3","name":"halve"}"#;

/// A function of a string that puts brackets around it.
const BRACKETS: &str = r#"{"tag":"interpolation","schema":"s","strings":["<",">"]}"#;

#[test]
fn a_program_is_a_function() {
    let apply = |forms: &str, argv: &[&str], arg: &str, schema: &str| {
        format!(
            r#"{{"tag":"app","schema":"{schema}","func":{{"tag":"cmd",{}}},"args":[{arg}]}}"#,
            cmd(argv, forms)
        )
    };
    check(
        "s",
        &apply("text", &["tr", "a-z", "A-Z"], &text("ab c"), "s"),
        r#""AB C""#,
    );
    check(
        "[s]",
        &apply("lines", &["sort"], &list("[s]", r#"["b","a"]"#), "[s]"),
        r#"["a","b"]"#,
    );
    check(
        "[i8]",
        &apply("jsonl", &["cat"], &list("[i8]", "[3,1,2]"), "[i8]"),
        "[3,1,2]",
    );
    check("s", &apply("json", &["cat"], &text("a\nb"), "s"), r#""a\nb""#);
    check(
        "s",
        &apply("none text", &["echo", "hi"], &list("z", "null"), "s"),
        r#""hi\n""#,
    );
}

#[test]
fn stages_work_item_by_item_in_order() {
    let numbers = ("[i8]", list("[i8]", "[2,4,6,8]"));
    let numbers = (numbers.0, numbers.1.as_str());
    check(
        "[i8]",
        &pipe(numbers, &[each(HALVE, "i8", "i8", "")], "[i8]"),
        "[1,2,3,4]",
    );
    check(
        "[i8]",
        &pipe(numbers, &[each(HALVE, "i8", "i8", "3")], "[i8]"),
        "[1,2,3,4]",
    );
    let tac = through(&["tac"], "jsonl");
    check(
        "[i8]",
        &pipe(numbers, &[each(HALVE, "i8", "i8", "2"), tac.clone()], "[i8]"),
        "[4,3,2,1]",
    );
    check(
        "[i8]",
        &pipe(numbers, &[tac.clone(), each(HALVE, "i8", "i8", "")], "[i8]"),
        "[4,3,2,1]",
    );
    let lines = list("[s]", r#"["b","a","c"]"#);
    let stages = [
        through(&["sort"], "lines"),
        through(&["head", "-n", "2"], "lines"),
        each(BRACKETS, "s", "s", ""),
        through(&["cat"], "lines text"),
    ];
    check("s", &pipe(("[s]", &lines), &stages, "s"), r#""<a>\n<b>\n""#);
    check(
        "[s]",
        &pipe(("[s]", &list("[s]", "[]")), &stages[..3], "[s]"),
        "[]",
    );
}

#[test]
fn whoever_wants_no_more_ends_those_before() {
    let nothing = list("z", "null");
    let first = |stages: &[String], schema: &str, expected: &str| {
        let began = Instant::now();
        check(schema, &pipe(("z", &nothing), stages, schema), expected);
        assert!(began.elapsed() < Duration::from_secs(20));
    };
    let yes = through(&["yes"], "none lines");
    first(
        &[yes.clone(), through(&["head", "-n", "1"], "lines")],
        "[s]",
        r#"["y"]"#,
    );
    let head = through(&["head", "-n", "1"], "lines");
    first(&[yes, each(BRACKETS, "s", "s", ""), head], "[s]", r#"["<y>"]"#);
}

#[test]
fn the_stage_that_fails_is_named() {
    let lines = list("[s]", r#"["1","2"]"#);
    let pipe = |stages: &[String]| pipe(("[s]", &lines), stages, "s");
    let fails = through(&["sh", "-c", "cat; echo why >&2; exit 5"], "lines text");
    check_error(
        &pipe(&[through(&["cat"], "lines"), fails.clone()]),
        5,
        &["stage 2, sh: exit code 5", "why"],
    );
    check_error(
        &pipe(&[fails, through(&["cat"], "text")]),
        5,
        &["stage 1, sh: exit code 5"],
    );
    check_error(
        &pipe(&[through(&["sh", "-c", "kill -9 $$"], "lines text")]),
        5,
        &["stage 1, sh: was ended by SIGKILL"],
    );
    check_error(
        &pipe(&[through(&["no-such"], "lines text")]),
        4,
        &["stage 1, no-such: ", "there is no program 'no-such'"],
    );
    let odd = format!(
        "{{\"tag\":\"lambda\",\"vars\":[\"x\"],\"body\":{{\"tag\":\"throw\",\"msg\":{}}}}}",
        text("odd")
    );
    let stages = [each(&odd, "s", "s", ""), through(&["cat"], "lines text")];
    check_error(&pipe(&stages), 1, &["stage 1: item 1: odd"]);
    let not_json = [
        through(&["echo", "x"], "lines jsonl"),
        each(HALVE, "i8", "i8", ""),
        through(&["cat"], "jsonl text"),
    ];
    check_error(
        &pipe(&not_json),
        5,
        &["stage 1, echo: output can't be read as i8"],
    );
}

#[test]
fn of_programs_in_a_row_the_one_that_fails_is_named() {
    let stages = |fails: usize| {
        let stage = |at| match at == fails {
            true => through(&["sh", "-c", "cat; exit 3"], "text"),
            false => through(&["cat"], "text"),
        };
        pipe(("s", &text("a")), &[stage(1), stage(2), stage(3)], "s")
    };
    for fails in 1..=3 {
        check_error(&stages(fails), 5, &[&format!("stage {fails}, sh: exit code 3")]);
    }
}

#[test]
fn a_timeout_ends_all_stages() {
    let sleeps = through(&["sleep", "100"], "text");
    let expr = pipe(("s", &text("a")), &[sleeps.clone(), sleeps.clone(), sleeps], "s");
    for options in [
        &["--timeout", "0.2", "go"][..],
        &["--raw", "--timeout", "0.2", "go"],
    ] {
        program("s", &expr).check_error(options, 124, &["did not end in time"]);
    }
}

/// What `--raw` prints of a program that writes that, and whether it ends well.
fn check_raw(schema: &str, form: &str, script: &str, options: &[&str], stdout: &str, error: Option<&str>) {
    let nothing = list("z", "null");
    let stages = [through(&["sh", "-c", script], &format!("none {form}"))];
    let words = [&["--raw"], options, &["go"]].concat();
    let ran = program(schema, &pipe(("z", &nothing), &stages, schema)).run(&words);
    assert_eq!(ran.stdout, stdout, "{script}: {}", ran.stderr);
    match error {
        None => assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""), "{script}"),
        Some(error) => {
            assert_eq!(ran.code, Some(5), "{script}");
            assert!(ran.stderr.contains(error), "{script}: {}", ran.stderr);
        }
    }
}

#[test]
fn what_is_printed_as_it_is_stays_as_it_is() {
    let raw = |schema, form, script, stdout| check_raw(schema, form, script, &[], stdout, None);
    raw("s", "text", "printf 'a\\n\\303\\251'", "a\né\n");
    raw("s", "text", ":", "\n");
    raw("y", "bytes", "printf 'a\\nb'", "a\nb");
    raw("[s]", "lines", "echo a; echo b", "[\"a\",\"b\"]\n");
    let lines = |script, stdout| check_raw("[s]", "lines", script, &["--format", "jsonl"], stdout, None);
    lines("printf 'a\\nb'", "a\nb\n");
    lines("printf 'a\\n\\n'", "a\n\n");
    lines(":", "");
}

#[test]
fn what_was_printed_before_an_error_stays_printed() {
    let fails = |form, script, stdout, error| {
        let schema = if form == "bytes" { "y" } else { "s" };
        check_raw(schema, form, script, &[], stdout, Some(error));
    };
    fails("bytes", "echo a; exit 3", "a\n", "stage 1, sh: exit code 3");
    fails(
        "text",
        "echo a; kill -9 $$",
        "a\n",
        "stage 1, sh: was ended by SIGKILL",
    );
    let invalid = "stage 1, sh: output can't be read as s: it is not valid UTF-8";
    fails("text", "printf '\\377'", "", invalid);
    fails("text", "printf '\\303'", "", invalid);
}

#[test]
fn what_can_be_caught_is_printed_only_in_the_end() {
    let nothing = list("z", "null");
    let fails = through(&["sh", "-c", "echo a; exit 3"], "none text");
    let fallible = pipe(("z", &nothing), &[fails], "s");
    let caught = format!(
        r#"{{"tag":"catch","fallible":{fallible},"fallback":{}}}"#,
        text("b")
    );
    program("s", &caught).check(&["--raw", "go"], "b");
}

#[test]
fn output_is_printed_while_the_pipe_runs() {
    let program = Program::new("prog", "{}");
    let gate = program.dir.join("gate");
    assert!(Command::new("mkfifo").arg(&gate).status().unwrap().success());
    let waits = format!("echo a; cat '{}'", gate.display());
    let stages = [
        through(&["sh", "-c", &waits], "none text"),
        through(&["cat"], "text"),
    ];
    program.file(
        "prog.manifest",
        &manifest("[]", "[]", "s", &pipe(("z", &list("z", "null")), &stages, "s")),
    );
    let mut child = program
        .command(&["--raw", "--timeout", "20", "go"])
        .spawn()
        .unwrap();
    let mut first = [0; 2];
    child.stdout.as_mut().unwrap().read_exact(&mut first).unwrap();
    assert_eq!(&first, b"a\n");
    fs::write(&gate, "b").unwrap();
    let ran = harness::finish(child);
    assert_eq!(
        (ran.code, ran.stdout.as_str()),
        (Some(0), "b\n"),
        "{}",
        ran.stderr
    );
}

#[test]
fn whoever_closes_the_output_ends_the_pipe() {
    let stages = [through(&["yes"], "none text"), through(&["cat"], "text")];
    let program = program("s", &pipe(("z", &list("z", "null")), &stages, "s"));
    let mut child = program
        .command(&["--raw", "--timeout", "20", "go"])
        .spawn()
        .unwrap();
    let mut first = [0; 2];
    child.stdout.take().unwrap().read_exact(&mut first).unwrap();
    let ran = harness::finish(child);
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
}

#[test]
fn nobody_waits_for_a_slow_reader() {
    let stages = [through(&["yes"], "none text")];
    let program = program("s", &pipe(("z", &list("z", "null")), &stages, "s"));
    // Its output is full and never read until the time is over.
    let mut child = program
        .command(&["--raw", "--timeout", "0.3", "go"])
        .spawn()
        .unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(124));
}

/// What comes of bytes in a file that are the argument of an expression in `x`, and of the same bytes in JSON.
fn check_file(returns: &str, body: &str, expected: impl Fn(&[u8]) -> String) {
    let expr = format!(r#"{{"tag":"lambda","vars":["x"],"body":{body}}}"#);
    let program = Program::new(
        "prog",
        &manifest(r#"["y"]"#, r#"[{"kind":"pos"}]"#, returns, &expr),
    );
    let bytes: Vec<u8> = (0..300_000u32).map(|at| (at * 7 / 5) as u8).collect();
    let packed = program.dir.join("x.msgpack");
    fs::write(
        &packed,
        [&b"\xc6"[..], &(bytes.len() as u32).to_be_bytes(), &bytes].concat(),
    )
    .unwrap();
    let ran = program.run(&["go", &format!("@{}", packed.display())]);
    assert_eq!(
        (ran.code, ran.stdout.trim_end()),
        (Some(0), expected(&bytes).as_str()),
        "{}",
        ran.stderr
    );
}

#[test]
fn bytes_in_a_file_are_read_where_they_are_wanted() {
    let x = r#"{"tag":"bound","schema":"y","var":"x"}"#;
    let piped = |stages: &[String], schema: &str| pipe(("y", x), stages, schema);
    let count = piped(
        &[through(&["cat"], "bytes"), through(&["wc", "-c"], "bytes text")],
        "s",
    );
    check_file("s", &count, |_| r#""300000\n""#.into());
    let both = |one: &str, other: &str, schema: &str| {
        format!(r#"{{"tag":"container","schema":"{schema}","elements":[{one},{other}]}}"#)
    };
    let head = piped(&[through(&["head", "-c", "4"], "bytes text")], "s");
    check_file("[s]", &both(&count, &count, "[s]"), |_| {
        r#"["300000\n","300000\n"]"#.into()
    });
    check_file("s", &head, |_| r#""\u0000\u0001\u0002\u0004""#.into());
    // It is part of the result, and of a pipe.
    let text = |bytes: &[u8]| format!("\"{}\"", base64(bytes));
    check_file("y", x, text);
    check_file("(s,y)", &both(&count, x, "(s,y)"), |bytes| {
        format!(r#"["300000\n",{}]"#, text(bytes))
    });
    let again = piped(&[through(&["cat"], "bytes")], "y");
    check_file("[y]", &both(&again, x, "[y]"), |bytes| {
        format!("[{},{}]", text(bytes), text(bytes))
    });
}

fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    assert!(bytes.len().is_multiple_of(3));
    let letter = |group: u32, shift: u32| ALPHABET[(group >> shift & 63) as usize] as char;
    let groups = bytes
        .chunks(3)
        .map(|three| three.iter().fold(0, |group, byte| group << 8 | u32::from(*byte)));
    groups
        .flat_map(|group| [18, 12, 6, 0].map(|shift| letter(group, shift)))
        .collect()
}

fn bind(var: &str, value: &str, body: &str) -> String {
    format!(r#"{{"tag":"let","var":"{var}","sequential":true,"value":{value},"body":{body}}}"#)
}

fn on(verb: &str, more: &str) -> String {
    format!(r#"{{"tag":"{verb}","worker":{{"tag":"bound","schema":"u8","var":"w"}}{more}}}"#)
}

fn args(args: &[&str]) -> String {
    format!(r#","args":[{}]"#, args.join(","))
}

#[test]
fn workers_are_driven() {
    let cat = format!(
        r#"{{"tag":"worker","cmd":{{{}}},"sends":["s"],"receives":"s"}}"#,
        cmd(&["cat"], "text")
    );
    let told = on("talk", &args(&[&text("hi")]));
    check("s", &bind("w", &cat, &told), r#""hi""#);
    let sent = bind(
        "_",
        &on("send", &args(&[&text("a")])),
        &bind("_", &on("close", ""), &on("receive", "")),
    );
    check("?s", &bind("w", &cat, &sent), r#""a""#);
    let ended = bind(
        "_",
        &on("close", ""),
        &bind("_", &on("receive", ""), &on("wait", "")),
    );
    check("i8", &bind("w", &cat, &ended), "0");
    let killed = bind("_", &on("kill", ""), &on("wait", ""));
    check("i8", &bind("w", &cat, &killed), "137");
    check("b", &bind("w", &cat, &on("alive", "")), "true");
    check(
        "?i8",
        &format!(
            r#"{{"tag":"catch","fallible":{},"fallback":{}}}"#,
            bind("w", &cat, &on("exit_code", "")),
            list("?i8", "5")
        ),
        "",
    );
    let late = on(
        "receive",
        r#","timeout_ms":{"tag":"lit","schema":"i8","value":"20"}"#,
    );
    check_error(
        &bind("w", &cat, &late),
        124,
        &["worker 'cat' did not send a message within 20 ms"],
    );
    let add = r#"{"tag":"worker","command":"add","sends":["i8","i8"],"receives":"i8"}"#;
    let number = |value: &str| list("i8", value);
    check(
        "i8",
        &bind("w", add, &on("talk", &args(&[&number("1"), &number("2")]))),
        "3",
    );
    let env = format!(
        r#"{{"tag":"worker","cmd":{{{}}},"sends":[],"receives":"s","options":{{"tag":"container","schema":"{{env:[(s,s)],cwd:s}}",
        "elements":[{},{}]}}}}"#,
        cmd(&["sh", "-c", "echo $A; pwd"], "none text"),
        list("[(s,s)]", r#"[["A","b"]]"#),
        text("/"),
    );
    let both = r#"{"tag":"container","schema":"[?s]","sequential":true,"elements":["#;
    let both = format!("{both}{},{}]}}", on("receive", ""), on("receive", ""));
    check("[?s]", &bind("w", &env, &both), r#"["b","/"]"#);
    let selected = r#"{"tag":"select","workers":{"tag":"container","schema":"[u8]","elements":[{"tag":"bound","schema":"u8","var":"w"}]}}"#;
    check("(i8,?s)", &bind("w", &env, selected), r#"[0,"b"]"#);
}

/// Peak memory of a run in KiB, as the system tells it of the process itself.
fn peak_kib(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmHWM:"));
    line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok())
        .unwrap_or(0)
}

#[test]
fn large_items_pass_in_bounded_memory() {
    let items = 2_000;
    let generate = format!("for i in range({items}): print('x' * ((1 << 20) - 1))");
    let stages = [
        through(&["python3", "-c", &generate], "none lines"),
        each(BRACKETS, "s", "s", ""),
        through(&["wc", "-c"], "lines text"),
    ];
    let program = program("s", &pipe(("z", &list("z", "null")), &stages, "s"));
    let mut child = program
        .command(&["--raw", "go"])
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap();
    let mut peak = 0;
    while child.try_wait().unwrap().is_none() {
        peak = peak.max(peak_kib(child.id()));
        std::thread::yield_now();
    }
    let ran = harness::finish(child);
    assert_eq!(ran.stdout.trim(), (items * ((1 << 20) + 2)).to_string());
    assert!(peak < 100 << 10, "{peak} KiB");
}
