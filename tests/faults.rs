//! Pools that misbehave in every way that `tests/bad_worker` knows: each gives the right error, within its deadline, and
//! leaves nothing.

mod harness;

use harness::Program;

/// A program whose only pool is the bad worker with that fault.
fn program(fault: &str) -> Program {
    let manifest = format!(
        r#"{{"version": 1, "name": "prog", "desc": [],
            "pools": [{{"lang": "bad", "exec": ["python3", "./bad_worker.py", "{fault}"], "socket": "pipe-bad",
                        "timeouts": {{"hello_ms": 1500, "call_ms": 1500, "shutdown_ms": 300}}}}],
            "commands": [{{"name": "echo", "type": "remote", "pool": 0, "mid": 1, "needed_pools": [0], "arg_schemas": ["[j]"],
                "args": [{{"kind": "pos", "metavar": "XS", "type_desc": "[Int]", "desc": []}}],
                "return_schema": "[j]", "return_type": "[Int]", "return_desc": [], "desc": []}}]}}"#
    );
    let program = Program::new("prog", &manifest);
    program.file("bad_worker.py", include_str!("bad_worker/bad_worker.py"));
    program
}

fn check(fault: &str, code: i32, parts: &[&str]) {
    program(fault).check_error(&["echo", "[1,2]"], code, parts);
}

#[test]
fn the_worker_without_a_fault_answers() {
    program("good").check(&["echo", "[1,2]"], "[1,2]");
}

#[test]
fn one_byte_at_a_time_is_as_good() {
    program("one-byte").check(&["echo", "[1,2]"], "[1,2]");
}

#[test]
fn a_flood_on_stderr_blocks_nobody() {
    let program = program("stderr-flood");
    let ran = program.run(&["echo", "[1,2]"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), "[1,2]\n"));
    assert!(
        ran.stderr.len() >= 10 << 20,
        "all of it is passed on: {} bytes",
        ran.stderr.len()
    );
}

#[test]
fn ends_before_hello() {
    check(
        "exit-at-once",
        4,
        &["pool 'bad' exited with code 3 before it said hello"],
    );
    check(
        "dies-before-hello",
        4,
        &[
            "pool 'bad' was ended by SIGABRT before it said hello",
            "last lines",
        ],
    );
}

#[test]
fn ends_between_its_hellos() {
    check("worker-dies-before-hello", 5, &["pool 'bad' exited with code 9"]);
}

#[test]
fn says_no_hello() {
    check(
        "no-hello",
        4,
        &["pool 'bad' did not say hello within 1500 ms", "hint:"],
    );
    check(
        "no-worker-hello",
        4,
        &["a worker of pool 'bad' did not say hello within 1500 ms"],
    );
}

#[test]
fn speaks_another_version() {
    check(
        "control-version-99",
        4,
        &[
            "pool 'bad' speaks version 99 of the pool protocol, expected version 1",
            "hint:",
        ],
    );
    check(
        "hello-version-99",
        4,
        &["worker of pool 'bad' speaks version 99 of the pool protocol, expected version 1"],
    );
}

#[test]
fn never_answers() {
    check(
        "never-answers",
        124,
        &["'echo' of pool 'bad' did not answer in time"],
    );
    check(
        "ignore-term",
        124,
        &["'echo' of pool 'bad' did not answer in time"],
    );
}

#[test]
fn breaks_the_protocol() {
    check(
        "unknown-id",
        5,
        &["a worker of pool 'bad' broke the protocol: answers request"],
    );
    check("garbage", 5, &["a worker of pool 'bad' broke the protocol"]);
    check("huge-frame", 124, &["did not answer in time"]);
    check(
        "endless-frame",
        5,
        &["a worker of pool 'bad' broke the protocol: message of 4294967295 bytes exceeds"],
    );
    check(
        "close-mid-frame",
        5,
        &["a worker of pool 'bad' closed its connection while it ran 'echo'"],
    );
}

#[test]
fn a_second_answer_comes_too_late_to_matter() {
    program("answers-twice").check(&["echo", "[1,2]"], "[1,2]");
}

#[test]
fn dies_in_a_call() {
    check("exit-in-call", 5, &["pool 'bad' exited with code 7"]);
    check("signal-in-call", 5, &["pool 'bad' was ended by SIGSEGV"]);
    check("grandchild", 5, &["pool 'bad' exited with code 7"]);
}
