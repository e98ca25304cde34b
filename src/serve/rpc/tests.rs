//! Tables for the private socket: what comes in, in pieces and out of order, and what goes out.

use super::request::{Action, Form};
use super::{Connection, Notice};
use crate::codec::msgpack::{Reader, Token, write};
use crate::error::{Error, Kind};
use crate::limits::{OUTBOX_BYTES_HIGH, RPC_NOTES_BYTES_MAX, RPC_OPEN_REQUESTS_MAX, RPC_REQUEST_BYTES_MAX};

/// A frame around a message.
fn frame(message: &[u8]) -> Vec<u8> {
    let mut out = (message.len() as u32).to_be_bytes().to_vec();
    out.extend_from_slice(message);
    out
}

/// A frame with a request whose params are these bytes.
fn request(id: u64, method: &str, count: u32, params: &[u8]) -> Vec<u8> {
    let mut message = Vec::new();
    write::array(&mut message, 4);
    write::unsigned(&mut message, 0);
    write::unsigned(&mut message, id);
    write::string(&mut message, method);
    write::array(&mut message, count);
    message.extend_from_slice(params);
    frame(&message)
}

fn cancel(id: u8) -> Vec<u8> {
    let mut message = b"\x93\x02\xa6cancel\x91".to_vec();
    message.push(id);
    frame(&message)
}

/// All that is to be written, as far as the connection gives it.
fn drain(connection: &mut Connection) -> Vec<u8> {
    let mut out = Vec::new();
    while !connection.output().is_empty() {
        let piece = connection.output().to_vec();
        connection.advance_output(piece.len());
        out.extend_from_slice(&piece);
    }
    out
}

/// Messages for people: `1 7 nil 5`, where errors are their kinds.
fn spell(bytes: &[u8]) -> Vec<String> {
    let mut lines = Vec::new();
    let mut rest = bytes;
    while let Some((length, after)) = rest.split_first_chunk::<4>() {
        let (message, after) = after.split_at(u32::from_be_bytes(*length) as usize);
        rest = after;
        let mut reader = Reader::new(message);
        let mut words = Vec::new();
        value(&mut reader, &mut words);
        assert!(reader.is_done(), "{message:02x?}");
        lines.push(words.join(" "));
    }
    assert!(rest.is_empty(), "{rest:02x?}");
    lines
}

fn value(reader: &mut Reader<'_>, words: &mut Vec<String>) {
    match reader.next().unwrap() {
        Token::Array(len) => (0..len).for_each(|_| value(reader, words)),
        // An error: its kind comes first.
        Token::Map(len) => {
            reader.skip().unwrap();
            value(reader, words);
            for _ in 2..2 * len {
                reader.skip().unwrap();
            }
        }
        Token::Nil => words.push("nil".into()),
        Token::Int(number) => words.push(number.to_string()),
        Token::Unsigned(number) => words.push(number.to_string()),
        Token::F8(number) => words.push(number.to_string()),
        Token::Str(text) => words.push(text.into()),
        Token::Bin(bytes) => words.push(String::from_utf8_lossy(bytes).into_owned()),
        token => panic!("{token:?}"),
    }
}

/// What is asked for, for people.
fn told(action: &Action) -> String {
    match action {
        Action::Call(call) => format!(
            "call {:?} {} {} {:02x?}",
            call.deployment.as_deref(),
            call.command,
            call.args.count,
            call.args.bytes()
        ),
        action => format!("{action:?}"),
    }
}

fn check(bytes: &[u8], requests: &[(u64, &str)], output: &[&str], is_over: bool) {
    // In one piece, and in as many as there are bytes.
    for piece in [bytes.len().max(1), 1] {
        let mut connection = Connection::new();
        let mut found = Vec::new();
        for piece in bytes.chunks(piece) {
            connection.handle_input(piece);
            while let Some(request) = connection.poll_request() {
                found.push((request.id, told(&request.what)));
            }
        }
        let found: Vec<(u64, &str)> = found.iter().map(|(id, what)| (*id, what.as_str())).collect();
        assert_eq!(found, requests, "{bytes:02x?}");
        assert_eq!(spell(&drain(&mut connection)), output, "{bytes:02x?}");
        assert_eq!(connection.is_over(), is_over, "{bytes:02x?}");
    }
}

fn check_params(method: &str, count: u32, params: &[u8], expected: &str) {
    check(&request(7, method, count, params), &[(7, expected)], &[], false);
}

#[test]
fn methods() {
    check_params("ping", 0, b"", "Ping");
    check_params("list", 0, b"", "List");
    check_params("ps", 0, b"", "Ps");
    check_params("stop", 0, b"", "Stop");
    check_params(
        "call",
        4,
        b"\xa3a/b\xa1c\x01\xc0",
        "call Some(\"a/b\") c 2 [01, c0]",
    );
    check_params("call", 2, b"\xc0\xa3g c", "call None g c 0 []");
    check_params("command", 2, b"\xa1c\x05", "call None c 1 [05]");
    check_params("command", 1, b"\xa9a/b@2/g c", "call Some(\"a/b@2\") g c 0 []");
    check_params("delete", 1, b"\xa1a", "Delete(\"a\")");
    check_params("reload", 1, b"\xc0", "Reload(None)");
    check_params("kill", 1, b"\xcd\x01\x00", "Kill(256)");
    check_params(
        "inspect",
        0,
        b"",
        &format!("{:?}", Action::Inspect(None, Form::Json)),
    );
    let inspect = Action::Inspect(Some("a".into()), Form::Manifest);
    check_params("inspect", 2, b"\xa1a\xa8manifest", &format!("{inspect:?}"));
    check_params(
        "deploy",
        2,
        b"\xa2/p\x82\xa4lazy\xc3\xa4name\xa1n",
        "Deploy(Deploy { source: \"/p\", name: Some(\"n\"), namespace: None, version: None, lazy: true })",
    );
    check_params(
        "logs",
        2,
        b"\xc0\x82\xa6follow\xc3\xa5lines\x09",
        "Logs(Logs { name: None, follow: true, lines: Some(9) })",
    );
}

#[test]
fn options_of_any_method() {
    let mut connection = Connection::new();
    let params = b"\x82\xaatimeout_ms\xcd\x01\xf4\xaarequest_id\xa1r\xa7command\xa1c\x05";
    connection.handle_input(&request(1, "request", 4, params));
    let request = connection.poll_request().unwrap();
    assert_eq!(request.timeout_ms, Some(500));
    assert_eq!(request.request_id.as_deref(), Some("r"));
    assert_eq!(told(&request.what), "call None c 1 [05]");
}

#[test]
fn what_there_is_not_is_answered_and_the_next_is_read() {
    let wrong = |method: &str, count, params: &[u8], kind: &str| {
        let mut bytes = request(7, method, count, params);
        bytes.extend(request(8, "ping", 0, b""));
        check(&bytes, &[(8, "Ping")], &[&format!("1 7 {kind} nil")], false);
    };
    wrong("pong", 0, b"", "usage");
    wrong("ping", 1, b"\x01", "bad_argument");
    wrong("delete", 0, b"", "bad_argument");
    wrong("delete", 1, b"\xc0", "bad_argument");
    wrong("kill", 1, b"\x00", "bad_argument");
    wrong("kill", 1, b"\xd0\x80", "bad_argument");
    wrong("command", 1, b"\xa3a/b", "bad_argument");
    wrong("inspect", 2, b"\xc0\xa3xml", "bad_argument");
    wrong("deploy", 1, b"\xa3a/b", "bad_argument");
    wrong("deploy", 2, b"\xa2/b\x81\xa1x\x01", "bad_argument");
    wrong("request", 2, b"\x81\xaatimeout_ms\x00\xa4ping", "bad_argument");
    wrong("request", 1, b"\x80", "bad_argument");
}

#[test]
fn malformed_frames_are_answered_and_nothing_more_is_read() {
    let wrong = |bytes: &[u8], id: &str| {
        let mut bytes = bytes.to_vec();
        bytes.extend(request(8, "ping", 0, b""));
        check(&bytes, &[], &[&format!("1 {id} protocol nil")], true);
    };
    wrong(b"GET / HTTP/1.1\r\n\r\n", "nil");
    wrong(&frame(b""), "nil");
    wrong(&frame(b"\xc0"), "nil");
    wrong(&frame(b"\x94\x00\xa1a\xa4ping\x90"), "nil");
    wrong(&frame(b"\x94\x00\xff\xa4ping\x90"), "nil");
    wrong(&frame(b"\x93\x00\x07\xa4ping"), "nil");
    wrong(&frame(b"\x94\x00\x07\x09\x90"), "7");
    wrong(&frame(b"\x94\x00\x07\xa4ping\x80"), "7");
    wrong(&frame(b"\x94\x00\x07\xa6delete\x91\xa5a"), "7");
    wrong(&frame(b"\x93\x02\xa6cancel\x91"), "nil");
    wrong(&(RPC_REQUEST_BYTES_MAX as u32 + 1).to_be_bytes(), "nil");
}

#[test]
fn what_asks_for_nothing_is_passed_over() {
    let mut bytes = frame(b"\x94\x01\x07\xc0\xc0");
    bytes.extend(frame(b"\x93\x02\xa5other\x90"));
    bytes.extend(cancel(3));
    bytes.extend(request(8, "ping", 0, b""));
    check(&bytes, &[(8, "Ping")], &[], false);
}

#[test]
fn answers_in_any_order() {
    let mut connection = Connection::new();
    for id in 1..=3 {
        connection.handle_input(&request(id, "command", 1, b"\xa1c"));
        assert_eq!(connection.poll_request().unwrap().id, id);
    }
    connection.handle_input(&cancel(2));
    let cancelled = connection.poll_request().unwrap();
    assert_eq!((cancelled.id, cancelled.what), (2, Action::Cancel));
    connection.respond(3, Ok(vec![5]));
    let note = Notice::Log {
        pool: "py",
        level: "info",
        text: "t",
    };
    connection.notify(1, note);
    connection.notify(3, Notice::Printed(b"too late"));
    connection.notify(1, Notice::Printed(b"p"));
    connection.notify(
        1,
        Notice::Progress {
            pool: "py",
            done: 0.5,
            total: 1.0,
            label: "l",
        },
    );
    connection.respond(2, Err(Error::new(Kind::Cancelled, "given up")));
    connection.respond(2, Ok(vec![1]));
    connection.respond(9, Ok(vec![1]));
    let expected = [
        "1 3 nil 5",
        "2 log 1 py info t",
        "2 printed 1 p",
        "2 progress 1 py 0.5 1 l",
        "1 2 cancelled nil",
    ];
    assert_eq!(spell(&drain(&mut connection)), expected);
    assert_eq!(connection.open_requests().collect::<Vec<_>>(), [1]);
    // The id is free again.
    connection.handle_input(&request(3, "ping", 0, b""));
    assert_eq!(connection.poll_request().unwrap().id, 3);
    connection.handle_end();
    assert!(connection.is_over());
    assert_eq!(connection.open_requests().collect::<Vec<_>>(), [1, 3]);
    connection.respond(1, Ok(vec![1]));
    assert!(connection.output().is_empty());
}

#[test]
fn an_id_that_is_open_breaks_the_protocol() {
    let mut bytes = request(1, "ping", 0, b"");
    bytes.extend(request(1, "ping", 0, b""));
    check(&bytes, &[(1, "Ping")], &["1 nil protocol nil"], true);
}

#[test]
fn requests_beyond_the_bound_are_refused() {
    let mut connection = Connection::new();
    for id in 0..=RPC_OPEN_REQUESTS_MAX as u64 {
        connection.handle_input(&request(id, "ping", 0, b""));
        assert_eq!(
            connection.poll_request().is_some(),
            id < RPC_OPEN_REQUESTS_MAX as u64
        );
    }
    let expected = format!("1 {RPC_OPEN_REQUESTS_MAX} overloaded nil");
    assert_eq!(spell(&drain(&mut connection)), [expected]);
    connection.respond(0, Ok(vec![0xc0]));
    connection.handle_input(&request(0, "ping", 0, b""));
    assert!(connection.poll_request().is_some());
}

#[test]
fn who_does_not_read_is_not_read() {
    let mut connection = Connection::new();
    connection.handle_input(&request(1, "ping", 0, b""));
    connection.handle_input(&request(2, "ping", 0, b""));
    connection.poll_request();
    connection.poll_request();
    let mut large = Vec::new();
    write::bin(&mut large, &vec![b'x'; OUTBOX_BYTES_HIGH]);
    connection.respond(1, Ok(large));
    assert!(!connection.wants_input());
    let piece = vec![b'y'; 1 << 20];
    for _ in 1..RPC_NOTES_BYTES_MAX >> 20 {
        connection.notify(2, Notice::Printed(&piece));
    }
    let before = connection.outbox.waiting_bytes();
    connection.notify(2, Notice::Printed(b"left out"));
    assert_eq!(connection.outbox.waiting_bytes(), before);
    drain(&mut connection);
    assert!(connection.wants_input());
    connection.notify(2, Notice::Printed(b"p"));
    let lines = spell(&drain(&mut connection));
    assert_eq!(lines.len(), 2);
    assert!(lines[0].ends_with("1 notices were left out, for they were not read"));
}

#[test]
fn a_server_that_ends_answers_what_is_open() {
    let mut connection = Connection::new();
    connection.handle_input(&request(1, "ping", 0, b""));
    connection.poll_request();
    connection.drain();
    assert!(!connection.is_over());
    connection.handle_input(&request(2, "ping", 0, b""));
    connection.handle_input(&cancel(1));
    assert_eq!(connection.poll_request().unwrap().what, Action::Cancel);
    connection.respond(1, Ok(vec![0xc0]));
    assert_eq!(
        spell(&drain(&mut connection)),
        ["1 2 unavailable nil", "1 1 nil nil"]
    );
    assert!(connection.is_over());
}
