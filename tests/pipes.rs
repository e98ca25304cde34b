//! Pipes and worker processes in compositions, by the real binary with manifests written by hand and real programs.

mod harness;

use harness::{Program, Ran};
use std::fs;
use std::process::Stdio;
use std::time::{Duration, Instant};

/// A program with one composed command `go` of no arguments, and a pool with the function 2 that halves.
fn program(returns: &str, expr: &str) -> Program {
    let manifest = format!(
        r#"{{"version": 1, "name": "prog", "pools": [{{"lang": "host", "transport": "direct",
        "exec": ["python3", "./host_worker.py"]}}], "commands": [{{"name": "go", "type": "composed", "needed_pools": [],
        "arg_schemas": [], "args": [], "return_schema": "{returns}", "expr": {expr}}},
        {{"name": "add", "type": "remote", "pool": 0, "mid": 2, "needed_pools": [0], "arg_schemas": ["i8", "i8"],
        "args": [{{"kind": "pos"}}, {{"kind": "pos"}}], "return_schema": "i8"}}]}}"#
    );
    let program = Program::new("prog", &manifest);
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
