//! Workers that die: their calls end at once, all others go on.

use crate::fixture::{has_told, manifest, program};
use crate::harness::{signal, until};
use crate::server::Server;
use std::fs;
use std::time::Instant;

#[test]
fn a_killed_worker_ends_its_call_at_once_and_no_other() {
    let program = program(1);
    let server = Server::start(&program);
    server.call("add", "[1, 2]").check(200, &["3"]);
    let mut client = server.connect();
    client.ask("GET", "/v1/call/default/prog/hang?name=killed", "", b"");
    let began = program.dir.join("killed.began");
    until("the call has begun", || {
        fs::read_to_string(&began).is_ok_and(|pid| !pid.is_empty())
    });
    let pid = fs::read_to_string(&began).unwrap().parse().unwrap();
    let killed = Instant::now();
    signal(pid, "KILL");
    let answer = client.answer();
    answer.check(502, &["\"terminated\"", "SIGKILL"]);
    assert!(killed.elapsed().as_secs() < 5, "{:?}", killed.elapsed());
    server.call("add", "[1, 2]").check(200, &["3"]);
    assert!(!has_told(&program, "killed.cancelled"));
    let named = |more: &str| format!(r#"{{deployment="default/prog@latest",{more}}}"#);
    let figures = [
        format!("nexus_calls_total{} 2", named(r#"command="add""#)),
        format!(
            "nexus_call_errors_total{} 1",
            named(r#"command="hang",kind="terminated""#)
        ),
        format!("nexus_queue_length{} 0", named(r#"pool="py""#)),
        format!("nexus_workers{} 1", named(r#"pool="py",state="idle""#)),
        format!("nexus_workers{} 0", named(r#"pool="py",state="busy""#)),
    ];
    let figures: Vec<&str> = figures.iter().map(String::as_str).collect();
    server.ask("GET", "/metrics", "", b"").check(200, &figures);
    server.stop();
}

#[test]
fn pools_that_die_too_often_are_left_alone_and_their_neighbours_serve() {
    let program = program(1);
    let sound = program.dir.join("sound.manifest");
    fs::write(sound, manifest("python3", 1)).unwrap();
    let server = Server::start_with(&program, |command| {
        command.arg(program.dir.join("sound"));
    });
    let add_sound = || server.ask("GET", "/v1/call/default/sound/add?a=1&b=2", "", b"");
    let mut last = 0;
    until("the pool is left alone", || {
        let answer = kill_pool(&server);
        add_sound().check(200, &["3"]);
        last = answer;
        last == 503
    });
    let refused = server.call("add", "[1, 2]");
    refused.check(503, &["unavailable"]);
    let after: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=60).contains(&after), "{after}");
    assert!(
        server
            .tell(&["list", "--format", "json"])
            .contains("\"degraded\"")
    );
    add_sound().check(200, &["3"]);
    // A reload begins anew.
    server.tell(&["reload", "prog"]);
    server.call("add", "[1, 2]").check(200, &["3"]);
    server.stop();
}

/// Kills the processes of the pool of `prog`, and calls it: the status.
fn kill_pool(server: &Server) -> u16 {
    let listed = server.tell(&["ps", "--format", "json"]);
    for process in listed
        .split('{')
        .filter(|process| process.contains("default/prog"))
    {
        let digits = process.split("\"pid\":").nth(1).unwrap_or_default().trim_start();
        let digits: String = digits.chars().take_while(char::is_ascii_digit).collect();
        let _ = server.tool(&["kill", &digits]);
    }
    server.call("add", "[1, 2]").status
}
