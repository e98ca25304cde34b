//! Commands whose functions run in real Python pools: results, prints, errors and what the user sees of them.

mod harness;

use harness::{NEXUS, Program, finish};
use std::fs;
use std::io::Write;
use std::process::Stdio;

const SOURCE: &str = r#"
import os, sys, time

def mean(xs):
    return sum(xs) / len(xs)

def shout(text):
    print("from print", flush=True)
    os.write(1, b"from fd 1\n")
    sys.stderr.write("from stderr\n")
    return text.upper()

def nothing():
    pass

def fail(text):
    def inner():
        raise ValueError("bad " + text)
    inner()

def wrong():
    return "not a number"

def leave(code):
    sys.exit(code)

def grandchild():
    if os.fork() == 0:
        os.setsid()
        time.sleep(1000)
    return os.getpid() > 0

def big(n):
    return n * n

def flip(record):
    return {"a": record["b"], "b": record["a"]}

def environment(name):
    return os.environ.get(name)

def where():
    return os.getcwd()
"#;

const COMMANDS: &[(&str, &[&str], &str)] = &[
    ("mean", &["[f8]"], "f8"),
    ("shout", &["s"], "s"),
    ("nothing", &[], "z"),
    ("fail", &["s"], "z"),
    ("wrong", &[], "f8"),
    ("leave", &["i4"], "z"),
    ("grandchild", &[], "b"),
    ("big", &["j"], "j"),
    ("flip", &["{a:j,b:?j}"], "{a:?j,b:j}"),
    ("environment", &["s"], "?s"),
    ("where", &[], "s"),
];

fn program() -> Program {
    Program::python(SOURCE, COMMANDS, "")
}

#[test]
fn results() {
    let program = program();
    program.check(&["mean", "[1,2,4.5]"], "2.5");
    program.check(&["nothing"], "");
    program.check(&["--keep-null", "nothing"], "null");
    program.check(
        &["big", "123456789012345678901234567890"],
        "15241578753238836750495351562536198787501905199875019052100",
    );
    program.check(&["flip", r#"{"a": 1, "b": 2}"#], r#"{"a":2,"b":1}"#);
    program.check(&["flip", r#"{"a": 1, "b": null}"#], r#"{"a":null,"b":1}"#);
}

#[test]
fn prints_never_reach_the_result() {
    let ran = program().run(&["shout", "hello"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), "\"HELLO\"\n"));
    for line in ["from print\n", "from fd 1\n", "from stderr\n"] {
        assert!(ran.stderr.contains(line), "{line:?} is not in {:?}", ran.stderr);
    }
}

#[test]
fn prints_can_be_tagged_or_dropped() {
    let ran = Program::python(SOURCE, COMMANDS, r#""stdout": "log", "stderr": "null""#).run(&["shout", "x"]);
    assert_eq!(ran.stdout, "\"X\"\n");
    assert_eq!(ran.stderr, "[py] from print\n[py] from fd 1\n");
}

#[test]
fn exceptions_come_with_their_stack() {
    let program = program();
    let ran = program.check_error(
        &["fail", "thing"],
        1,
        &["prog: error: ValueError: bad thing", "stack, innermost first"],
    );
    let place = |line: &str| {
        ran.stderr
            .find(line)
            .unwrap_or_else(|| panic!("{line} is not in {}", ran.stderr))
    };
    assert!(place("user.py:18") < place("user.py:19"));
    program.check_error(&["wrong"], 1, &["wrong", "f8"]);
}

#[test]
fn a_function_may_end_its_worker() {
    program().check_error(
        &["leave", "3"],
        5,
        &["a worker of pool 'py' exited with code 3 while it ran 'leave'"],
    );
}

#[test]
fn what_a_function_leaves_running_is_ended() {
    let program = program();
    program.check(&["grandchild"], "true");
    program.assert_nothing_left();
}

#[test]
fn the_environment_is_as_declared() {
    let extra = r#""env": {"COLOUR": "green", "HOME": "/nowhere"}, "cwd": "tmp""#;
    let program = Program::python(SOURCE, COMMANDS, extra);
    program.check(&["environment", "COLOUR"], "\"green\"");
    program.check(&["environment", "HOME"], "\"/nowhere\"");
    let real = fs::canonicalize(program.temp_dir()).unwrap();
    program.check(&["where"], &format!("\"{}\"", real.display()));
}

#[test]
fn wrong_command_lines_start_nothing() {
    let program = program();
    program.check_error(&["maen", "[1]"], 2, &["did you mean mean?"]);
    program.check_error(&["mean", "[1,\"x\"]"], 2, &["x[1]", "found \"x\""]);
    program.check_error(&["mean"], 2, &["prog"]);
    program.check_error(&["mean", "[1]", "[2]"], 2, &["prog"]);
    program.check_error(&["leave", "3000000000"], 2, &["3000000000", "i4"]);
}

#[test]
fn pools_that_can_not_start() {
    let with = |exec: &str| {
        let program = program();
        let path = program.dir.join("prog.manifest");
        let manifest = fs::read_to_string(&path)
            .unwrap()
            .replace(r#"["python3", "./pool.py"]"#, exec);
        fs::write(path, manifest).unwrap();
        program
    };
    with(r#"["no-such-program"]"#).check_error(
        &["nothing"],
        4,
        &["there is no program 'no-such-program'", "hint:"],
    );
    with(r#"["./nowhere/pool"]"#).check_error(&["nothing"], 4, &["there is no program './nowhere/pool'"]);
    with(r#"["./user.py"]"#).check_error(&["nothing"], 4, &["'./user.py' is not executable", "chmod +x"]);
    with(r#"["python3", "./missing.py"]"#).check_error(
        &["nothing"],
        4,
        &["pool 'py' exited with code 2", "missing.py"],
    );
    with(r#"["true"]"#).check_error(
        &["nothing"],
        4,
        &["pool 'py' exited with code 0 before it said hello"],
    );
    let broken = program();
    broken.file("user.py", "import no_such_module\n");
    broken.check_error(
        &["nothing"],
        4,
        &["before it said hello", "ModuleNotFoundError", "no_such_module"],
    );
}

#[test]
fn a_run_has_a_deadline() {
    let source = "import time\ndef hang():\n    time.sleep(1000)\n";
    let program = Program::python(
        source,
        &[("hang", &[], "z")],
        r#""timeouts": {"shutdown_ms": 300}"#,
    );
    program.check_error(
        &["--timeout", "0.2", "hang"],
        124,
        &["'hang' of pool 'py' did not answer in time"],
    );
}

#[test]
fn large_values_go_in_by_file_and_by_standard_input() {
    let program = program();
    let numbers: Vec<String> = (0..200_000).map(|number| number.to_string()).collect();
    program.file("xs.json", &format!("[{}]", numbers.join(",")));
    let path = format!("@{}", program.dir.join("xs.json").display());
    program.check(&["mean", &path], "99999.5");
    let mut child = program
        .command(&["mean", "-"])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"[1, 2]").unwrap();
    assert_eq!(finish(child).stdout, "1.5\n");
    program.check_error(&["mean", "@nowhere.json"], 2, &["nowhere.json"]);
    program.file("bad.json", "[1, 2");
    program.check_error(
        &["mean", &format!("@{}/bad.json", program.dir.display())],
        2,
        &["the end of the text"],
    );
}

#[test]
fn a_program_is_found_by_any_path() {
    let program = program();
    let elsewhere = program.dir.join("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    std::os::unix::fs::symlink(program.path(), elsewhere.join("link")).unwrap();
    let by_link = finish(
        program
            .command_of(&elsewhere.join("link"), &["big", "3"])
            .spawn()
            .unwrap(),
    );
    assert_eq!(by_link.stdout, "9\n", "{}", by_link.stderr);
    let mut command = program.command_of("sh".as_ref(), &["-c", "prog big 4"]);
    command.current_dir(&elsewhere).env(
        "PATH",
        format!("{}:{}", program.dir.display(), harness::search_path()),
    );
    let by_search = finish(command.spawn().unwrap());
    assert_eq!(by_search.stdout, "16\n", "{}", by_search.stderr);
    let relative = finish(
        program
            .command_of("../prog".as_ref(), &["big", "5"])
            .current_dir(&elsewhere)
            .spawn()
            .unwrap(),
    );
    assert_eq!(relative.stdout, "25\n", "{}", relative.stderr);
    let mut tool = program.command_of(NEXUS.as_ref(), &["run", "./prog", "big", "6"]);
    assert_eq!(
        finish(tool.current_dir(&program.dir).spawn().unwrap()).stdout,
        "36\n"
    );
}

#[test]
fn a_reader_that_stops_early_is_no_error() {
    let program = Program::python(
        "def many(n):\n    return list(range(n))\n",
        &[("many", &["j"], "[j]")],
        "",
    );
    let line = format!(
        "{} --format jsonl many 300000 | head -n 2",
        program.path().display()
    );
    let ran = finish(program.command_of("sh".as_ref(), &["-c", &line]).spawn().unwrap());
    assert_eq!((ran.stdout.as_str(), ran.stderr.as_str()), ("0\n1\n", ""));
}

#[test]
fn without_memory_it_says_so() {
    let program = program();
    // Its text fits into the memory that there is, its value does not.
    program.file("ones.json", &format!("[{}1]", "1,".repeat(10 << 20)));
    let line = format!(
        "ulimit -v 90000; exec {NEXUS} view --schema '[f8]' {}/ones.json",
        program.dir.display()
    );
    let ran = finish(program.command_of("sh".as_ref(), &["-c", &line]).spawn().unwrap());
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(5), ""), "{}", ran.stderr);
    assert!(ran.stderr.contains("error: out of memory"), "{}", ran.stderr);
    assert_eq!(ran.stderr.lines().count(), 1, "{}", ran.stderr);
}

#[test]
fn whoever_ignores_the_end_of_children_may_start_it() {
    let program = program();
    let starter = "import os, signal, sys
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
os.execv(sys.argv[1], sys.argv[1:])";
    let path = program.path().display().to_string();
    let words = ["-c", starter, path.as_str(), "--timeout", "20", "mean", "[1,2]"];
    let ran = finish(program.command_of("python3".as_ref(), &words).spawn().unwrap());
    assert_eq!(
        (ran.code, ran.stdout.as_str()),
        (Some(0), "1.5\n"),
        "{}",
        ran.stderr
    );
}
