//! How a server ends, and what signals do.

use crate::fixture::{has_told, open_gate, program, write};
use crate::harness::{NEXUS, has, runs, search_path, signal, until};
use crate::server::Server;
use std::fs;
use std::process::{Command, Stdio};

#[test]
fn an_orderly_end_waits_for_what_runs() {
    let program = program(1);
    let mut server = Server::start(&program);
    let mut client = server.connect();
    client.ask("GET", "/v1/call/default/prog/gate?name=last", "", b"");
    until("the call has begun", || has_told(&program, "last.began"));
    signal(server.pid(), "TERM");
    // It says no more yes: who comes now is refused or not heard.
    until("it drains", || {
        let status = std::net::TcpStream::connect(&server.address).ok().and_then(|_| {
            let mut other = server.connect();
            other.ask("GET", "/v1/call/default/prog/add?a=1&b=2", "", b"");
            other.try_answer(true).map(|answer| answer.status)
        });
        status.is_none_or(|status| status == 503)
    });
    assert!(runs(server.pid()));
    open_gate(&program, "last");
    let answer = client.answer();
    answer.check(200, &["through last"]);
    client.check_closed();
    assert_eq!(server.wait().code(), Some(0), "{}", server.log());
    assert!(!server.private().exists());
    program.assert_nothing_left();
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let program = program(1);
    let mut server = Server::start(&program);
    let mut client = server.connect();
    client.ask("GET", "/v1/call/default/prog/hang?name=stuck", "", b"");
    until("the call has begun", || has_told(&program, "stuck.began"));
    let begun = std::time::Instant::now();
    signal(server.pid(), "TERM");
    signal(server.pid(), "INT");
    server.wait();
    assert!(
        begun.elapsed().as_secs() < 8,
        "the grace is ten seconds: {:?}",
        begun.elapsed()
    );
    program.assert_nothing_left();
}

#[test]
fn the_grace_is_bounded() {
    let program = program(1);
    program.file("serve.json", r#"{"grace_ms": 500}"#);
    let mut server = Server::start_with(&program, |command| {
        command.arg("--config").arg(program.dir.join("serve.json"));
    });
    let mut client = server.connect();
    client.ask("GET", "/v1/call/default/prog/hang?name=stuck", "", b"");
    until("the call has begun", || has_told(&program, "stuck.began"));
    signal(server.pid(), "TERM");
    let answer = client.try_answer(true);
    assert!(answer.is_none_or(|answer| answer.status >= 499));
    server.wait();
    until("the function sees its end", || {
        has_told(&program, "stuck.cancelled") || program.processes().is_empty()
    });
    program.assert_nothing_left();
}

#[test]
fn hanging_up_reloads_and_the_tool_stops() {
    let program = program(1);
    let mut server = Server::start(&program);
    server.call("generation", "[]").check(200, &["1"]);
    write(&program, 1, 7);
    signal(server.pid(), "HUP");
    until("the new one serves", || {
        server.call("generation", "[]").text().trim() == "7"
    });
    server.tell(&["stop"]);
    assert_eq!(server.wait().code(), Some(0));
    program.assert_nothing_left();
}

#[test]
fn a_killed_server_leaves_nothing_that_blocks_the_next() {
    let program = program(2);
    let mut server = Server::start(&program);
    server.call("add", "[1, 2]").check(200, &["3"]);
    let mut client = server.connect();
    client.ask("GET", "/v1/call/default/prog/hang?name=orphan", "", b"");
    until("the call has begun", || has_told(&program, "orphan.began"));
    let pools = server.children();
    assert!(!pools.is_empty());
    signal(server.pid(), "KILL");
    server.wait();
    until("its pools end", || {
        !pools.iter().any(|pid| runs(*pid)) && program.processes().is_empty()
    });
    let next = Server::start(&program);
    next.call("add", "[1, 2]").check(200, &["3"]);
    next.stop();
    // What the killed one could not remove is only in its own directory.
    for entry in fs::read_dir(program.temp_dir()).unwrap().flatten() {
        let _ = fs::remove_dir_all(entry.path());
    }
}

#[test]
fn two_servers_do_not_share_a_socket() {
    let program = program(1);
    let server = Server::start(&program);
    let mut command = Server::command(&program);
    command.args(["--listen", "127.0.0.1:0"]);
    let second = command.output().unwrap();
    assert!(!second.status.success());
    assert!(
        String::from_utf8_lossy(&second.stderr).contains("a server listens at"),
        "{second:?}"
    );
    server.call("add", "[1, 2]").check(200, &["3"]);
    server.stop();
}

/// In a namespace of its own it is process 1: it reaps whatever is orphaned, and ends by the signal.
#[test]
fn it_serves_as_the_first_process() {
    if !has(&["unshare"]) {
        return;
    }
    let unshare = ["-U", "-r", "-p", "-f", "--mount-proc", "--kill-child"];
    let may = Command::new("unshare")
        .args(unshare)
        .arg("true")
        .stderr(Stdio::null())
        .status();
    if !may.is_ok_and(|status| status.success()) {
        eprintln!("left out, for no namespace can be made");
        return;
    }
    let program = program(1);
    let mut command = Command::new("unshare");
    command
        .args(unshare)
        .arg(NEXUS)
        .args(["serve", "--server"])
        .arg(program.dir.join("private"));
    command.arg(program.path()).args(["--listen", "127.0.0.1:0"]);
    command
        .env("TMPDIR", program.temp_dir())
        .env("PATH", search_path())
        .env_remove("NEXUS_TOKEN");
    command.stdin(Stdio::null()).stderr(Stdio::piped());
    let mut server = Server::spawn(&program, &command);
    server.call("add", "[1, 2]").check(200, &["3"]);
    let first = server.children()[0];
    let status = fs::read_to_string(format!("/proc/{first}/status")).unwrap();
    assert!(
        status
            .lines()
            .any(|line| line.starts_with("NSpid:") && line.ends_with("\t1")),
        "{status}"
    );
    // An orphan: its parent ends before it.
    let orphans = || {
        let children = fs::read_to_string(format!("/proc/{first}/task/{first}/children")).unwrap();
        children
            .split_whitespace()
            .filter(|pid| !runs(pid.parse().unwrap()))
            .count()
    };
    server.call("orphan", "[]").check(200, &[]);
    until("orphans are reaped", || {
        orphans() == 0 && has_told(&program, "orphan.ended")
    });
    signal(first, "TERM");
    assert_eq!(server.wait().code(), Some(0), "{}", server.log());
}
