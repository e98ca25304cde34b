//! How long workers live and how they end, by the manifest: each policy with a real pool that a second one calls.

mod harness;

use harness::{Program, Ran, finish};
use std::io::{BufRead, BufReader, Read};

/// The pool `a`, which calls the pool `b` and tells what it sees.
const CALLER: &str = r#"
import nexus_pool, os, time

def of(mid, args, returns):
    return nexus_pool.foreign("b", mid, args=args, returns=returns)

pid, nap, swell, say, kill_parent, ask, hold = (
    of(1, [], "j"), of(2, ["f8"], "j"), of(3, ["j"], "j"), of(4, ["j"], "z"), of(5, [], "z"), of(6, ["s"], "s"),
    of(7, ["j"], "j"))

def numbered(pids):
    """Processes by when they were first seen: 0, 1, ..."""
    seen = list(dict.fromkeys(pids))
    return [seen.index(pid) for pid in pids]

def pids(times):
    return numbered([pid() for _ in range(times)])

def swollen(megabytes):
    return numbered([pid(), swell(megabytes), pid(), pid()])

def rests(seconds):
    first = pid()
    time.sleep(seconds)
    return numbered([first, pid()])

def late(seconds):
    try:
        return str(nap(seconds))
    except nexus_pool.RemoteError as error:
        return error.kind

def restarts(times):
    kinds = []
    for _ in range(times):
        pid()
        try:
            kill_parent()
        except nexus_pool.RemoteError as error:
            kinds.append(error.kind)
    return kinds

def asks(what):
    return ask(what)

def loud(characters):
    say(characters)

lock = __import__("threading").Lock()

def locks(n):
    with lock:
        return hold(n)

def take(n):
    with lock:
        return n

def sit(seconds):
    return nap(seconds)

for mid, (function, args, returns) in enumerate([
        (pids, ["j"], "[j]"), (swollen, ["j"], "[j]"), (rests, ["f8"], "[j]"), (late, ["f8"], "s"),
        (restarts, ["j"], "[s]"), (asks, ["s"], "s"), (loud, ["j"], "z"), (locks, ["j"], "j"), (take, ["j"], "j"),
        (sit, ["f8"], "j")], 1):
    nexus_pool.register(mid, function, args=args, returns=returns)
nexus_pool.serve()
"#;

/// The pool `b`, whose policy is tested.
const CALLED: &str = r#"
import nexus_pool, os, signal, time
back = nexus_pool.foreign("a", 9, args=["j"], returns="j")
kept = []

def nap(seconds):
    print("sitting", flush=True)
    time.sleep(seconds)
    return os.getpid()

def swell(megabytes):
    kept.append(bytearray(os.urandom(1 << 20) * megabytes))
    return os.getpid()

def say(characters):
    nexus_pool.log("info", "x" * characters + "!")
    nexus_pool.log("info", "after")

def kill_parent():
    os.kill(os.getppid(), signal.SIGKILL)
    time.sleep(60)

def ask(what):
    try:
        if what == "log":
            nexus_pool.log("info", "heard")
            return "said"
        if what == "command":
            return repr(nexus_pool.command("take", 1))
        return repr(back(1))
    except nexus_pool.RemoteError as error:
        return "%s: %s" % (error.kind, error)

for mid, (function, args, returns) in enumerate([
        (lambda: os.getpid(), [], "j"), (nap, ["f8"], "j"), (swell, ["j"], "j"), (say, ["j"], "z"),
        (kill_parent, [], "z"), (ask, ["s"], "s"), (lambda n: back(n), ["j"], "j")], 1):
    nexus_pool.register(mid, function, args=args, returns=returns)
nexus_pool.serve()
"#;

/// Name, type of the argument, type of the result.
const COMMANDS: [(&str, &str, &str); 10] = [
    ("pids", "j", "[j]"),
    ("swollen", "j", "[j]"),
    ("rests", "f8", "[j]"),
    ("late", "f8", "s"),
    ("restarts", "j", "[s]"),
    ("asks", "s", "s"),
    ("loud", "j", "z"),
    ("locks", "j", "j"),
    ("take", "j", "j"),
    ("sit", "f8", "j"),
];

/// A program whose pool `b` has that policy.
fn program(policy: &str) -> Program {
    let commands = COMMANDS
        .iter()
        .enumerate()
        .map(|(position, (name, arg, returns))| {
            format!(
                r#"{{"name": "{name}", "type": "remote", "pool": 0, "mid": {}, "needed_pools": [0, 1],
                "arg_schemas": ["{arg}"], "args": [{{"kind": "pos"}}], "return_schema": "{returns}"}}"#,
                position + 1
            )
        });
    let commands: Vec<String> = commands.collect();
    let comma = if policy.is_empty() { "" } else { "," };
    let manifest = format!(
        r#"{{"version": 1, "name": "prog", "pools": [
            {{"lang": "py", "name": "a", "exec": ["python3", "./a.py"], "socket": "a", "workers": 1}},
            {{"lang": "py", "name": "b", "exec": ["python3", "./b.py"], "socket": "b"{comma} {policy}}}],
            "commands": [{}]}}"#,
        commands.join(",")
    );
    let program = Program::new("prog", &manifest);
    program.file("a.py", CALLER);
    program.file("b.py", CALLED);
    program.file(
        "nexus_pool.py",
        include_str!("../src/runtimes/python/nexus_pool.py"),
    );
    program
}

fn check(policy: &str, args: &[&str], expected: &str) {
    program(policy).check(args, expected);
}

#[test]
fn a_worker_serves_as_many_calls_as_it_may() {
    check("", &["pids", "4"], "[0,0,0,0]");
    check(r#""lifetime": "oneshot""#, &["pids", "4"], "[0,1,2,3]");
    check(
        r#""workers": 1, "lifetime": "oneshot""#,
        &["pids", "3"],
        "[0,1,2]",
    );
    check(r#""recycle": {"max_calls": 2}"#, &["pids", "5"], "[0,0,1,1,2]");
}

#[test]
fn a_worker_is_replaced_when_it_is_too_large() {
    check(
        r#""recycle": {"max_rss_bytes": 60000000}"#,
        &["swollen", "80"],
        "[0,0,1,1]",
    );
    check(
        r#""recycle": {"max_rss_bytes": 900000000}"#,
        &["swollen", "80"],
        "[0,0,0,0]",
    );
}

#[test]
fn a_worker_is_replaced_when_it_is_old_or_idle() {
    check(r#""recycle": {"max_age_ms": 1}"#, &["rests", "0.1"], "[0,1]");
    check(r#""recycle": {"idle_exit_ms": 1}"#, &["rests", "0.3"], "[0,1]");
    check(
        r#""recycle": {"idle_exit_ms": 60000}"#,
        &["rests", "0.1"],
        "[0,0]",
    );
}

#[test]
fn a_direct_pool_has_the_same_policies() {
    let direct = r#""transport": "direct", "workers": 2"#;
    check(direct, &["pids", "3"], "[0,0,0]");
    check(
        &format!(r#"{direct}, "lifetime": "oneshot""#),
        &["pids", "3"],
        "[0,1,2]",
    );
    check(
        &format!(r#"{direct}, "recycle": {{"max_calls": 2}}"#),
        &["pids", "4"],
        "[0,0,1,1]",
    );
    check(
        &format!(r#"{direct}, "recycle": {{"idle_exit_ms": 1}}"#),
        &["rests", "0.3"],
        "[0,1]",
    );
    check(
        &format!(r#"{direct}, "timeouts": {{"call_ms": 100}}"#),
        &["late", "20"],
        "\"timeout\"",
    );
}

#[test]
fn deadlines_hold_for_all_calls_under_a_call() {
    check(r#""timeouts": {"call_ms": 100}"#, &["late", "20"], "\"timeout\"");
    let late = program("");
    late.check_error(
        &["--timeout", "0.4", "late", "20"],
        124,
        &["'late' of pool 'a' did not answer in time: it waits for function 2 of pool 'b'"],
    );
}

#[test]
fn a_pool_that_dies_is_started_again_and_not_for_ever() {
    check("", &["restarts", "2"], r#"["terminated","terminated"]"#);
    // Each death doubles the wait: 0.1, 0.2, 0.4, 0.8 s; after the fifth it is left alone.
    program("").check_error(
        &["restarts", "6"],
        5,
        &[
            "pool 'b' has died 5 times within 60 s and is left alone for that long",
            "SIGKILL",
        ],
    );
}

#[test]
fn workers_get_only_what_the_host_list_allows() {
    check("", &["asks", "call"], "\"1\"");
    check("", &["asks", "command"], "\"1\"");
    let only = |what: &str| format!(r#""host": [{what}]"#);
    check(&only(r#""call:a""#), &["asks", "call"], "\"1\"");
    check(&only(r#""call""#), &["asks", "call"], "\"1\"");
    check(&only(r#""command""#), &["asks", "command"], "\"1\"");
    let denied = |list: &str, what: &str| {
        let ran = program(&only(list)).run(&["asks", what]);
        assert!(
            ran.stdout.starts_with("\"denied: pool 'b' may not call"),
            "{list} {what}: {} {}",
            ran.stdout,
            ran.stderr
        );
    };
    denied("", "call");
    denied(r#""call:b", "command""#, "call");
    denied(r#""call""#, "command");
    let heard = |policy: &str| program(policy).run(&["asks", "log"]).stderr.contains("heard");
    assert!(heard("") && heard(&only(r#""log""#)) && !heard(&only(r#""progress""#)));
}

#[test]
fn a_log_line_of_any_length_is_shown() {
    for characters in [10, 100_000, 3_000_000] {
        let ran = program("").run(&["loud", &characters.to_string()]);
        assert_eq!(ran.code, Some(0), "{}", ran.stderr);
        let lines: Vec<&str> = ran.stderr.lines().collect();
        let [first, .., last] = lines[..] else {
            panic!("two lines of the log: {lines:?}");
        };
        assert!(first.starts_with("[b] info: xxxxxxxxxx"), "{first:.60}");
        assert!(
            first.ends_with("x!") || characters > 1_000_000 && first.len() > 1_000_000,
            "{} bytes",
            first.len()
        );
        assert_eq!(last, "[b] info: after");
    }
}

#[test]
fn a_lock_held_across_a_call_that_comes_back_is_a_deadlock() {
    program(r#""workers": 1"#).check_error(
        &["--timeout", "30", "locks", "1"],
        5,
        &["waits for a lock in its own process: 'take' of pool 'a' is wanted by function 7 of pool 'b' is wanted by 'locks'"],
    );
}

/// Interrupts a run once it has begun, so many times.
fn interrupt(times: u32) -> (Program, Ran) {
    let program = program("");
    let mut child = program.command(&["sit", "60"]).spawn().unwrap();
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    while line != "sitting\n" {
        line.clear();
        assert!(stderr.read_line(&mut line).unwrap() > 0, "the function begins");
    }
    for _ in 0..times {
        harness::signal(child.id(), "INT");
    }
    let mut ran = finish(child);
    stderr.read_to_string(&mut ran.stderr).unwrap();
    (program, ran)
}

#[test]
fn an_interrupt_tells_where_workers_stood() {
    let (program, ran) = interrupt(1);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(130), ""), "{}", ran.stderr);
    for part in [
        "prog: stopping after SIGINT",
        "pool a, process ",
        "runs 'sit' for ",
        "waits for function 2 of pool 'b'",
        "stopped by SIGINT",
    ] {
        assert!(ran.stderr.contains(part), "'{part}' is not in: {}", ran.stderr);
    }
    program.assert_nothing_left();
    let (program, ran) = interrupt(2);
    assert_eq!(ran.code, Some(130), "{}", ran.stderr);
    program.assert_nothing_left();
}
