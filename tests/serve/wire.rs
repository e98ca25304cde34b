//! HTTP as it comes over a real socket: many requests on one connection, slow and vanishing clients, and requests that
//! two readers would split differently.

use crate::fixture::{has_told, open_gate, program};
use crate::harness::{NEXUS, until};
use crate::server::Server;
use std::path::Path;
use std::time::{Duration, Instant};

const ADD: &str = "GET /v1/call/default/prog/add?a=1&b=2 HTTP/1.1\r\nHost: localhost\r\n\r\n";

#[test]
fn a_connection_takes_one_request_after_the_other() {
    let program = program(2);
    let server = Server::start(&program);
    let mut client = server.connect();
    for _ in 0..20 {
        client.say(ADD.as_bytes());
        client.answer().check(200, &["3"]);
    }
    // All at once, answered in their order, also behind one that takes long.
    let slow = "GET /v1/call/default/prog/gate?name=pipe HTTP/1.1\r\nHost: localhost\r\n\r\n";
    client.say(format!("{ADD}{slow}{ADD}").as_bytes());
    client.answer().check(200, &["3"]);
    until("the slow call has begun", || has_told(&program, "pipe.began"));
    open_gate(&program, "pipe");
    client.answer().check(200, &["through pipe"]);
    client.answer().check(200, &["3"]);
    // Byte by byte is as good.
    for byte in ADD.bytes() {
        client.say(&[byte]);
    }
    client.answer().check(200, &["3"]);
    client.say(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    client.answer().check(200, &["ok"]);
    client.check_closed();
    server.stop();
}

#[test]
fn bodies_in_chunks_are_read_and_expectations_met() {
    let program = program(1);
    let server = Server::start(&program);
    let mut client = server.connect();
    let head =
        "POST /v1/call/default/prog/add HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n";
    client
        .say(format!("{head}Transfer-Encoding: chunked\r\n\r\n3\r\n[1,\r\n2\r\n2]\r\n0\r\n\r\n").as_bytes());
    client.answer().check(200, &["3"]);
    client.say(format!("{head}Content-Length: 5\r\nExpect: 100-continue\r\n\r\n").as_bytes());
    assert_eq!(client.begun_answer().unwrap().status, 100);
    client.say(b"[1,2]");
    client.answer().check(200, &["3"]);
    server.stop();
}

/// What two readers would split differently is refused, and what stands behind it is never taken for a request.
#[test]
fn nothing_is_smuggled() {
    let program = program(1);
    let server = Server::start(&program);
    let post =
        "POST /v1/call/default/prog/add HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n";
    let hidden = "GET /v1/call/default/prog/hang?name=smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let heads = [
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
        "Content-Length: 5\r\nContent-Length: 6\r\n",
        "Content-Length: +5\r\n",
        "Content-Length: 5, 6\r\n",
        "Content-Length : 5\r\n",
        "Transfer-Encoding: xchunked\r\n",
        "Transfer-Encoding: identity, chunked\r\n",
        "Transfer-Encoding:\x0bchunked\r\n",
        "Transfer-Encoding: chunked, chunked\r\n",
        "X: a\r\n Transfer-Encoding: chunked\r\n",
        "X: a\nTransfer-Encoding: chunked\r\n",
        "X: a\rContent-Length: 0\r\n",
    ];
    for head in heads {
        let mut client = server.connect();
        client.say(format!("{post}{head}\r\n[1,2]{hidden}").as_bytes());
        let answer = client.answer();
        assert!(
            matches!(answer.status, 400 | 415 | 501),
            "{head:?}: {} {}",
            answer.status,
            answer.text()
        );
        assert_eq!(client.rest(), "", "{head:?}");
    }
    for chunks in [
        "5;\n\r\n[1,2]\r\n0\r\n\r\n",
        "0x5\r\n[1,2]\r\n0\r\n\r\n",
        "5\r\n[1,2]X\r\n0\r\n\r\n",
        "-5\r\n[1,2]\r\n0\r\n\r\n",
    ] {
        let mut client = server.connect();
        client.say(format!("{post}Transfer-Encoding: chunked\r\n\r\n{chunks}{hidden}").as_bytes());
        client.answer().check(400, &["error"]);
        assert_eq!(client.rest(), "", "{chunks:?}");
    }
    for line in [
        "GET  /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "GET /healthz HTTP/1.1\r\n\r\n",
        "GET /healthz HTTP/1.1\r\nHost: localhost\r\nHost: y\r\n\r\n",
        "GET /healthz\x00 HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "GET /healthz HTTP/3.0\r\nHost: localhost\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "\x16\x03\x01\x02\x00\x01\x00\x01\r\n\r\n",
    ] {
        let mut client = server.connect();
        client.say(line.as_bytes());
        let answer = client.answer();
        assert!(matches!(answer.status, 400 | 505), "{line:?}: {}", answer.status);
        client.check_closed();
    }
    assert!(!has_told(&program, "smuggled.began"));
    server.stop();
}

#[test]
fn heads_that_are_too_long_are_refused() {
    let program = program(1);
    let server = Server::start(&program);
    let long = "x".repeat(40_000);
    for (head, status) in [
        (format!("GET /{long} HTTP/1.1\r\nHost: localhost\r\n\r\n"), 414),
        (
            format!("GET / HTTP/1.1\r\nHost: localhost\r\nX: {long}\r\n\r\n"),
            431,
        ),
        (
            format!(
                "GET / HTTP/1.1\r\nHost: localhost\r\n{}\r\n",
                "X: y\r\n".repeat(200)
            ),
            431,
        ),
    ] {
        let mut client = server.connect();
        client.say(head.as_bytes());
        let answer = client.answer();
        assert_eq!(answer.status, status, "{}", answer.text());
        client.check_closed();
    }
    server.stop();
}

/// A head that does not come to its end is given up after ten seconds; others are served meanwhile.
#[test]
fn a_slow_client_is_cut_off() {
    let program = program(1);
    let server = Server::start(&program);
    let mut slow = server.connect();
    let begun = Instant::now();
    slow.say(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Slow: ");
    server.call("add", "[1, 2]").check(200, &["3"]);
    slow.answer().check(408, &["error"]);
    slow.check_closed();
    let took = begun.elapsed();
    assert!(
        took > Duration::from_secs(8) && took < Duration::from_secs(25),
        "{took:?}"
    );
    server.stop();
}

/// Who finds no descriptor free is served when others are gone, though nobody new comes.
#[test]
fn clients_beyond_the_descriptors_wait_for_their_turn() {
    const DESCRIPTORS: usize = 48;
    let program = program(1);
    let mut command = program.command_of(Path::new("sh"), &["-c"]);
    let script = format!("ulimit -n {DESCRIPTORS}; exec \"$@\"");
    command.args([
        &script,
        "sh",
        NEXUS,
        "serve",
        "--listen",
        "127.0.0.1:0",
        "--server",
    ]);
    command
        .arg(program.dir.join("private"))
        .arg(program.path())
        .env_remove("NEXUS_TOKEN");
    let server = Server::spawn(&program, &command);
    server.call("add", "[1, 2]").check(200, &["3"]);
    let mut clients: Vec<_> = (0..DESCRIPTORS + 20).map(|_| server.connect()).collect();
    until("no descriptor is free", || server.descriptors() >= DESCRIPTORS);
    for client in &mut clients {
        client.ask(
            "GET",
            "/v1/call/default/prog/add?a=1&b=2",
            "Connection: close\r\n",
            b"",
        );
    }
    for mut client in clients {
        client.answer().check(200, &["3"]);
    }
    server.stop();
}

/// What one client does not read holds up no other, and is let go with it.
#[test]
fn an_answer_that_nobody_reads_holds_up_nobody() {
    let program = program(1);
    let server = Server::start(&program);
    server.call("add", "[1, 2]").check(200, &["3"]);
    let descriptors = server.descriptors();
    let mut deaf: Vec<_> = (0..4).map(|_| server.connect()).collect();
    for client in &mut deaf {
        client.ask("GET", "/v1/call/default/prog/rows?n=1000000", "", b"");
    }
    for client in &mut deaf {
        assert_eq!(client.begun_answer().unwrap().status, 200);
    }
    for _ in 0..20 {
        server.call("add", "[1, 2]").check(200, &["3"]);
    }
    drop(deaf);
    until("descriptors are back", || server.descriptors() <= descriptors);
    server.stop();
}
