//! The protocol over HTTP as tables: requests in, effects out.

use super::tests::{command, program};
use super::*;
use crate::error::{Error, Kind};
use crate::limits::{MCP_SESSION_IDLE_MS, MCP_SESSIONS_MAX};
use crate::manifest::model::Manifest;
use crate::serve::http::{Connection, Request};

/// A server with one program and what its clients send.
struct World {
    manifest: Manifest,
    sessions: Sessions,
    /// Requests that came.
    count: u64,
    now_ms: u64,
}

const ACCEPT: &str = "accept: application/json, text/event-stream\r\n";
const PING: &str = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;
const PONG: &str = r#"{"jsonrpc":"2.0","id":1,"result":{}}"#;
const NOTE: &str = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;
const INITIALIZE: &str =
    r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-06-18"}}"#;
const CALL: &str = r#"{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"mean","arguments":{"n":3},"_meta":{"progressToken":"t"}}}"#;
const CANCEL: &str = r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":2}}"#;
const ANSWER: &str = r#"{"jsonrpc":"2.0","id":2,"result":{"content":[{"type":"text","text":"1.5"}],"structuredContent":{"result":1.5}}}"#;

/// The id that the n-th request would get.
fn id(request: u64) -> String {
    format!("{request:02x}").repeat(16)
}

fn named(request: u64) -> String {
    format!("{ACCEPT}mcp-session-id: {}\r\n", id(request))
}

impl World {
    fn new() -> World {
        World {
            manifest: program("stats", &command("mean", "f8", "")),
            sessions: Sessions::default(),
            count: 0,
            now_ms: 0,
        }
    }

    /// With one session, that of request 0.
    fn greeted() -> World {
        let mut world = World::new();
        let told = world.post(ACCEPT, INITIALIZE);
        assert!(
            told.starts_with("200 {\"jsonrpc\":\"2.0\",\"id\":0,\"result\":"),
            "{told}"
        );
        assert!(told.ends_with(&format!(" mcp-session-id: {}", id(0))), "{told}");
        world
    }

    /// What comes of a request, and its number.
    fn send(&mut self, method: &str, headers: &str, body: &str) -> String {
        let length = body.len();
        let head =
            format!("{method} /mcp HTTP/1.1\r\nhost: localhost\r\n{headers}content-length: {length}\r\n\r\n");
        let mut connection = Connection::new(0);
        connection.handle_input(&[head.as_bytes(), body.as_bytes()].concat(), 0);
        let request: Box<Request> = connection.poll_request().expect("the request is whole");
        let to = self.count;
        self.count += 1;
        let programs = [Program {
            name: "stats",
            manifest: &self.manifest,
        }];
        let tools = Tools::of(&programs);
        let offer = Offer {
            programs: &programs,
            tools: &tools,
        };
        self.sessions
            .handle_request(to, &request, [to as u8; 16], offer, self.now_ms);
        self.told(to)
    }

    fn post(&mut self, headers: &str, body: &str) -> String {
        self.send(
            "POST",
            &format!("content-type: application/json\r\n{headers}"),
            body,
        )
    }

    /// All effects; those of request `to` without its number.
    fn told(&mut self, to: u64) -> String {
        let mut told = Vec::new();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("a message is text");
        let number = |of: u64| {
            if of == to {
                String::new()
            } else {
                format!("{of}: ")
            }
        };
        while let Some(effect) = self.sessions.poll_effect() {
            told.push(match effect {
                Effect::Respond { to, response } => {
                    let mut line = format!("{}{} {}", number(to), response.status, text(response.body));
                    for (name, value) in response.headers {
                        if !matches!(name, "content-type" | "cache-control") {
                            line.push_str(&format!(" {name}: {value}"));
                        }
                    }
                    line.trim_end().to_string()
                }
                Effect::Begin { to, head } => format!("{}begin {}", number(to), head.headers[0].1),
                Effect::Push { to, bytes, is_note } => {
                    format!(
                        "{}{} {}",
                        number(to),
                        if is_note { "note" } else { "push" },
                        text(bytes).trim_end()
                    )
                }
                Effect::End { to } => format!("{}end", number(to)),
                Effect::Call { call, command, .. } => format!("call {call} of {command}"),
                Effect::Cancel { call } => format!("cancel {call}"),
            });
        }
        told.join("\n")
    }

    fn answer(&mut self, call: u64, to: u64) -> String {
        let value = [&[0xcb][..], &1.5f64.to_be_bytes()].concat();
        self.sessions
            .handle_answer(call, &self.manifest, Ok(value), self.now_ms);
        self.told(to)
    }
}

fn refused(status: u16, message: &str, header: &str) -> String {
    format!(
        "{status} {{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{{\"code\":-32600,\"message\":\"{message}\"}}}}{header}"
    )
}

#[test]
fn a_session_has_a_name() {
    let mut world = World::greeted();
    assert_eq!(world.post(&named(0), NOTE), "202");
    assert_eq!(world.post(&named(0), PING), format!("200 {PONG}"));
    assert_eq!(world.sessions.len(), 1);
    let gone = refused(
        404,
        "there is no such session any more, expected initialize without one",
        "",
    );
    assert_eq!(world.post(&named(9), PING), gone);
    assert_eq!(world.post(&named(9), INITIALIZE), gone);
    // Without a name nothing but initialize is understood, and nothing is kept.
    assert_eq!(world.post(ACCEPT, PING), format!("400 {PONG}"));
    let nameless = "the request has no Mcp-Session-Id, expected one, or initialize";
    assert_eq!(world.post(ACCEPT, NOTE), refused(400, nameless, ""));
    let found = world.post(ACCEPT, CALL);
    assert!(found.starts_with("400 ") && found.contains("-32600"), "{found}");
    assert_eq!(world.sessions.len(), 1);
}

#[test]
fn requests_are_checked_before_their_messages() {
    let mut world = World::greeted();
    let mut row = |headers: &str, status: u16| {
        let headers = format!("mcp-session-id: {}\r\n{headers}", id(0));
        let found = world.send("POST", &headers, PING);
        assert_eq!(&found[..3], status.to_string(), "{headers}: {found}");
    };
    let json = "content-type: application/json\r\n";
    row("", 415);
    row("content-type: text/plain\r\n", 415);
    row(json, 200);
    row("content-type: Application/JSON; charset=utf-8\r\n", 200);
    for (accept, status) in [
        ("*/*", 200),
        ("application/json;q=0.9, text/event-stream", 200),
        ("application/json", 200),
        ("text/html", 406),
    ] {
        row(&format!("{json}accept: {accept}\r\n"), status);
    }
    for (revision, status) in [
        ("2025-06-18", 200),
        ("2024-11-05", 200),
        ("2026-07-28", 400),
        ("x", 400),
    ] {
        row(&format!("{json}mcp-protocol-version: {revision}\r\n"), status);
    }
    let found = world.send("GET", &named(0), "");
    assert!(
        found.starts_with("405 ") && found.ends_with(" allow: POST, DELETE"),
        "{found}"
    );
    let found = world.post(&named(0), "no message");
    assert!(found.starts_with("400 ") && found.contains("-32700"), "{found}");
}

#[test]
fn an_answer_is_one_message_or_a_stream() {
    let mut world = World::greeted();
    assert_eq!(world.post(&named(0), CALL), "call 0 of 0");
    assert_eq!(world.answer(0, 1), format!("200 {ANSWER}"));
    // Once there is something to tell, it is a stream.
    assert_eq!(world.post(&named(0), CALL), "call 1 of 0");
    world.sessions.handle_progress(1, 1.0, 2.0, "half");
    let note = "event: message\ndata: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\",\"params\":{\"progressToken\":\"t\",\"progress\":1,\"total\":2,\"message\":\"half\"}}";
    assert_eq!(world.told(2), format!("begin text/event-stream\nnote {note}"));
    world.sessions.handle_log(1, "py", "error", "so");
    assert!(world.told(2).contains("notifications/message"));
    let last = format!("push event: message\ndata: {ANSWER}\nend");
    assert_eq!(world.answer(1, 2), last);
    // Who takes no stream is told the answer alone; who takes nothing else gets one at once.
    let plain = format!("mcp-session-id: {}\r\naccept: application/json\r\n", id(0));
    assert_eq!(world.post(&plain, CALL), "call 2 of 0");
    world.sessions.handle_progress(2, 1.0, 2.0, "half");
    assert_eq!(world.answer(2, 3), format!("200 {ANSWER}"));
    let stream = format!("mcp-session-id: {}\r\naccept: text/event-stream\r\n", id(0));
    assert_eq!(world.post(&stream, CALL), "call 3 of 0");
    assert_eq!(world.answer(3, 4), format!("begin text/event-stream\n{last}"));
}

#[test]
fn a_call_is_given_up_by_a_message_and_not_by_silence() {
    let mut world = World::greeted();
    assert_eq!(world.post(&named(0), CALL), "call 0 of 0");
    assert_eq!(world.post(&named(0), CANCEL), "cancel 0\n1: 202\n202");
    assert_eq!(world.answer(0, 1), "");
    assert_eq!(world.post(&named(0), CALL), "call 1 of 0");
    world.sessions.handle_progress(1, 1.0, 2.0, "");
    world.told(3);
    assert_eq!(world.post(&named(0), CANCEL), "cancel 1\n3: end\n202");
    assert_eq!(world.post(&named(0), CALL), "call 2 of 0");
    world.sessions.handle_gone(5);
    world.sessions.handle_progress(2, 1.0, 2.0, "");
    assert_eq!(world.told(5), "");
    assert_eq!(world.answer(2, 5), "");
    assert_eq!(world.post(&named(0), PING), format!("200 {PONG}"));
}

#[test]
fn a_session_is_ended_with_all_that_it_waits_for() {
    let mut world = World::greeted();
    assert_eq!(world.post(&named(0), CALL), "call 0 of 0");
    assert_eq!(
        world.post(&named(0), &CALL.replace("\"id\":2", "\"id\":3")),
        "call 1 of 0"
    );
    world.sessions.handle_progress(1, 1.0, 2.0, "");
    world.told(2);
    let ended = refused(404, "the session was ended", "");
    assert_eq!(
        world.send("DELETE", &named(0), ""),
        format!("1: {ended}\n2: end\ncancel 0\ncancel 1\n204")
    );
    assert_eq!(world.answer(0, 1), "");
    assert!(world.sessions.is_empty());
    assert!(world.send("DELETE", &named(0), "").starts_with("404 "));
    assert!(world.send("DELETE", "", "").starts_with("400 "));
}

#[test]
fn who_is_silent_for_long_is_forgotten() {
    let mut world = World::greeted();
    assert_eq!(world.sessions.next_deadline(), Some(MCP_SESSION_IDLE_MS));
    world.now_ms = 1000;
    assert_eq!(world.post(&named(0), CALL), "call 0 of 0");
    assert_eq!(world.sessions.next_deadline(), None);
    world.now_ms = 2000;
    world.answer(0, 1);
    let end = 2000 + MCP_SESSION_IDLE_MS;
    assert_eq!(world.sessions.next_deadline(), Some(end));
    world.sessions.handle_timeout(end - 1);
    assert_eq!(world.sessions.len(), 1);
    world.sessions.handle_timeout(end);
    assert!(world.sessions.is_empty());
    assert!(world.post(&named(0), PING).starts_with("404 "));
}

#[test]
fn there_are_so_many_sessions_and_no_more() {
    let mut world = World::greeted();
    world.post(&named(0), CALL);
    // Names repeat after 256 requests here: the first two are spoken for.
    world.count = 1;
    for _ in 1..MCP_SESSIONS_MAX {
        world.now_ms += 1;
        assert!(world.post(ACCEPT, INITIALIZE).starts_with("200 "));
    }
    assert_eq!(world.sessions.len(), MCP_SESSIONS_MAX);
    // The one that was silent for longest goes; that of request 0 has a call.
    world.count = 1;
    assert!(world.post(&named(1), PING).starts_with("200 "));
    // So its name is free, that of request 2.
    assert!(world.post(ACCEPT, INITIALIZE).starts_with("200 "));
    assert_eq!(world.sessions.len(), MCP_SESSIONS_MAX);
    assert!(world.post(&named(0), PING).starts_with("200 "));
    let error = Error::new(Kind::Raised, "no");
    world.sessions.handle_answer(0, &world.manifest, Err(error), 0);
    assert!(world.told(0).contains("\"isError\":true"));
}
