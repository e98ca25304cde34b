//! However a run ends, no process, socket or directory of it is left.

mod harness;

use harness::{Program, finish, signal};
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command};

const SOURCE: &str = r#"
import os, signal, sys, time

def hang():
    print("running", file=sys.stderr, flush=True)
    time.sleep(1000)

def resist():
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    hang()

def stray():
    leaves, told = os.pipe()
    if os.fork() == 0:
        os.setsid()
        # To give back so much takes longer than nexus needs to end.
        held = b"x" * (200 << 20)
        if os.fork() == 0:
            time.sleep(1000)
        os.write(told, b".")
        os._exit(0)
    os.read(leaves, 1)
"#;

const COMMANDS: &[(&str, &[&str], &str)] = &[("hang", &[], "z"), ("resist", &[], "z"), ("stray", &[], "z")];

fn program() -> Program {
    Program::python(SOURCE, COMMANDS, r#""timeouts": {"shutdown_ms": 300}"#)
}

/// Starts a command and waits until its function runs.
fn start(mut command: Command) -> Child {
    let mut child = command.spawn().unwrap();
    let mut line = String::new();
    // Unbuffered, so that what follows stays in the pipe.
    let mut stderr = BufReader::with_capacity(1, child.stderr.take().unwrap());
    stderr.read_line(&mut line).unwrap();
    assert_eq!(line, "running\n");
    child.stderr = Some(stderr.into_inner());
    child
}

fn check_signal(name: &str, code: i32) {
    for command in ["hang", "resist"] {
        let program = program();
        let child = start(program.command(&[command]));
        assert!(!program.processes().is_empty());
        signal(child.id(), name);
        let ran = finish(child);
        assert_eq!(
            (ran.code, ran.stdout.as_str()),
            (Some(code), ""),
            "{}",
            ran.stderr
        );
        assert!(
            ran.stderr.contains(&format!("stopped by SIG{name}")),
            "{}",
            ran.stderr
        );
        program.assert_nothing_left();
    }
}

#[test]
fn after_an_interrupt() {
    check_signal("INT", 130);
}

#[test]
fn after_a_termination() {
    check_signal("TERM", 143);
}

#[test]
fn a_second_interrupt_does_not_wait() {
    let program = Program::python(SOURCE, COMMANDS, r#""timeouts": {"shutdown_ms": 600000}"#);
    let stubborn = format!("import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n{SOURCE}");
    program.file("user.py", &stubborn);
    let child = start(program.command(&["resist"]));
    signal(child.id(), "INT");
    signal(child.id(), "TERM");
    assert_eq!(finish(child).code, Some(130));
    program.assert_nothing_left();
}

/// Starts a command, ends it by that signal once its function runs, and waits until the last process of the run is gone: all
/// hold a pipe open, whose end tells.
fn check_all_end(program: &Program, command: &str, name: &str) {
    let fifo = program.dir.join("alive");
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let line = format!("exec {} {command} 9>{}", program.path().display(), fifo.display());
    let shell = program.command_of("sh".as_ref(), &["-c", &line]);
    let opened = std::thread::spawn(move || File::open(fifo).unwrap());
    let mut child = start(shell);
    let mut alive = opened.join().unwrap();
    signal(child.id(), name);
    child.wait().unwrap();
    assert_eq!(alive.read_to_end(&mut Vec::new()).unwrap(), 0);
    program.assert_nothing_left();
}

#[test]
fn after_the_end_of_nexus_itself() {
    for command in ["hang", "resist"] {
        check_all_end(&program(), command, "KILL");
    }
}

#[test]
fn while_the_pool_still_loads() {
    for name in ["INT", "KILL"] {
        let program = program();
        program.file(
            "user.py",
            "import sys, time\nprint('running', file=sys.stderr, flush=True)\ntime.sleep(1000)\n",
        );
        check_all_end(&program, "hang", name);
    }
}

#[test]
fn after_a_process_that_was_just_ending() {
    let program = program();
    for _ in 0..5 {
        program.check(&["stray"], "");
        program.assert_nothing_left();
    }
}

#[test]
fn help_and_pure_commands_make_no_directory() {
    let manifest = r#"{"version": 1, "name": "prog", "desc": [], "pools": [], "commands": [
        {"name": "pure", "type": "pure", "arg_schemas": [], "args": [], "return_schema": "s", "return_type": "Str",
         "return_desc": [], "desc": [], "expr": {"tag": "str", "schema": "s", "value": "x"}}]}"#;
    let program = Program::new("prog", manifest);
    fs::remove_dir(program.temp_dir()).unwrap();
    program.check(&["pure"], "\"x\"");
    assert_eq!(program.run(&["--help"]).code, Some(0));
    assert_eq!(program.run(&["pure", "--help"]).code, Some(0));
    fs::create_dir(program.temp_dir()).unwrap();
}
