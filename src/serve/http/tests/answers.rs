//! What goes out: heads, extents, streams, and that no answer changes the framing. Tests no time.

use super::super::{Connection, Method, Response};
use super::echo::{Answer, parse_answers, write_all};
use crate::limits::{HTTP_COPY_BYTES_MAX, HTTP_OUTPUT_BYTES_HIGH};

/// A connection whose first request, in this line and with these headers, is polled.
fn asked(line: &str, headers: &str) -> Connection {
    let mut connection = Connection::new(0);
    connection.handle_input(format!("{line}\r\nHost: h\r\n{headers}\r\n").as_bytes(), 0);
    assert!(connection.poll_request().is_some(), "{line}");
    connection
}

fn written(connection: &mut Connection) -> String {
    let mut output = Vec::new();
    write_all(connection, &mut output);
    String::from_utf8(output).expect("the answer is text")
}

fn text(status: u16, body: &str) -> Response {
    Response::new(status, "text/plain", body.into())
}

#[test]
fn whole_answers() {
    let check = |line: &str, headers: &str, response: Response, expected: &str, is_over: bool| {
        let mut connection = asked(line, headers);
        connection.respond(response, 0);
        assert_eq!(written(&mut connection), expected, "{line} {headers}");
        assert_eq!(connection.is_over(), is_over, "{line} {headers}");
        assert!(!connection.wants_shutdown());
    };
    const OK: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 2\r\n";
    check(
        "GET / HTTP/1.1",
        "",
        text(200, "hi"),
        &format!("{OK}\r\nhi"),
        false,
    );
    check(
        "HEAD / HTTP/1.1",
        "",
        text(200, "hi"),
        &format!("{OK}\r\n"),
        false,
    );
    check(
        "GET / HTTP/1.1",
        "Connection: close\r\n",
        text(200, "hi"),
        &format!("{OK}connection: close\r\n\r\nhi"),
        true,
    );
    check(
        "GET / HTTP/1.0",
        "",
        text(200, "hi"),
        &format!("{OK}connection: close\r\n\r\nhi"),
        true,
    );
    check(
        "GET / HTTP/1.0",
        "Connection: Keep-Alive\r\n",
        text(200, "hi"),
        &format!("{OK}connection: keep-alive\r\n\r\nhi"),
        false,
    );
    check(
        "GET / HTTP/1.1",
        "",
        text(299, ""),
        "HTTP/1.1 299 \r\ncontent-type: text/plain\r\ncontent-length: 0\r\n\r\n",
        false,
    );
    for (status, head) in [
        (204, "HTTP/1.1 204 No Content\r\ncontent-type: text/plain\r\n\r\n"),
        (
            304,
            "HTTP/1.1 304 Not Modified\r\ncontent-type: text/plain\r\n\r\n",
        ),
        (
            205,
            "HTTP/1.1 205 Reset Content\r\ncontent-type: text/plain\r\ncontent-length: 0\r\n\r\n",
        ),
    ] {
        check("GET / HTTP/1.1", "", text(status, "dropped"), head, false);
    }
}

#[test]
fn no_answer_changes_the_framing() {
    let check = |status: u16, name: &'static str, value: &'static str, expected: u16| {
        let mut response = text(status, "hi");
        response.headers.push((name, value.into()));
        let mut connection = asked("GET / HTTP/1.1", "");
        connection.respond(response, 0);
        let answers = parse_answers(written(&mut connection).as_bytes(), &["GET"]);
        assert_eq!(answers.len(), 1);
        assert_eq!(answers[0].status, expected, "{name}: {value}");
        if expected == 500 {
            let body = String::from_utf8_lossy(&answers[0].body);
            assert!(
                body.starts_with("{\"error\":{\"kind\":\"protocol\",\"message\":\""),
                "{body}"
            );
            assert!(!answers[0].head.contains("x-evil"));
        } else {
            assert_eq!(answers[0].body, b"hi");
        }
    };
    check(200, "x-a", "b c\té", 200);
    check(200, "Content-Length", "9", 200);
    check(200, "transfer-encoding", "chunked", 200);
    check(200, "Connection", "close", 200);
    check(200, "x-a", "b\r\nx-evil: c", 500);
    check(200, "x-a", "b\nx-evil: c", 500);
    check(200, "x-a", "b\rc", 500);
    check(200, "x-a", "\0", 500);
    check(200, "x-a\r\nx-evil", "c", 500);
    check(200, "x-evil: a", "c", 500);
    check(200, "", "c", 500);
    check(100, "x-a", "b", 500);
    check(0, "x-a", "b", 500);
    check(600, "x-a", "b", 500);
}

#[test]
fn streams() {
    let check = |line: &str, headers: &str, status: u16, expected: &str, is_over: bool| {
        let mut connection = asked(line, headers);
        connection.begin(text(status, "a"), 0);
        assert_eq!(connection.poll_request(), None);
        for piece in ["", "bc", ""] {
            connection.push(piece.as_bytes(), 0);
        }
        connection.end(0);
        connection.push(b"late", 0);
        connection.end(0);
        assert_eq!(written(&mut connection), expected, "{line} {headers}");
        assert_eq!(connection.is_over(), is_over, "{line} {headers}");
        assert_eq!(connection.stream_room(), 0);
    };
    const OK: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\n";
    const CHUNKED: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ntransfer-encoding: chunked\r\n";
    let chunks = "1\r\na\r\n2\r\nbc\r\n0\r\n\r\n";
    check(
        "GET / HTTP/1.1",
        "",
        200,
        &format!("{CHUNKED}\r\n{chunks}"),
        false,
    );
    check(
        "GET / HTTP/1.1",
        "Connection: close\r\n",
        200,
        &format!("{CHUNKED}connection: close\r\n\r\n{chunks}"),
        true,
    );
    check("HEAD / HTTP/1.1", "", 200, &format!("{CHUNKED}\r\n"), false);
    check(
        "GET / HTTP/1.1",
        "",
        204,
        "HTTP/1.1 204 No Content\r\ncontent-type: text/plain\r\n\r\n",
        false,
    );
    for headers in ["", "Connection: keep-alive\r\n"] {
        check(
            "GET / HTTP/1.0",
            headers,
            200,
            &format!("{OK}connection: close\r\n\r\nabc"),
            true,
        );
    }
    check(
        "HEAD / HTTP/1.0",
        "Connection: keep-alive\r\n",
        200,
        &format!("{OK}connection: keep-alive\r\n\r\n"),
        false,
    );
}

#[test]
fn a_stream_says_how_much_it_takes() {
    let mut connection = asked("GET / HTTP/1.1", "");
    assert_eq!(connection.stream_room(), 0);
    connection.begin(text(200, ""), 0);
    let head = connection.output().len();
    assert_eq!(connection.stream_room(), HTTP_OUTPUT_BYTES_HIGH - head);
    connection.push(&vec![b'x'; HTTP_OUTPUT_BYTES_HIGH], 0);
    assert_eq!(connection.stream_room(), 0);
    let mut output = 0;
    // Never written to its end, and yet it holds no more than what waits.
    for _ in 0..40 {
        let written = connection.output().len() - 100;
        output += written;
        connection.advance_output(written, 0);
        assert!(connection.stream_room() > 0);
        connection.push(&[b'x'; HTTP_OUTPUT_BYTES_HIGH], 0);
        assert!(connection.held_bytes() < HTTP_OUTPUT_BYTES_HIGH + 200);
    }
    assert!(output > 30 * HTTP_OUTPUT_BYTES_HIGH);
}

#[test]
fn an_aborted_stream_is_seen_to_be_one() {
    let mut connection = asked("GET / HTTP/1.1", "");
    connection.begin(text(200, "a"), 0);
    connection.abort(0);
    assert!(written(&mut connection).ends_with("\r\n\r\n1\r\na\r\n"));
    assert!(connection.is_over());
    let mut connection = asked("GET / HTTP/1.1", "");
    connection.abort(0);
    assert!(connection.is_over() && connection.output().is_empty());
}

#[test]
fn large_bodies_are_moved() {
    for bytes in [HTTP_COPY_BYTES_MAX, HTTP_COPY_BYTES_MAX + 1, 1 << 20] {
        let body: Vec<u8> = (0..bytes).map(|at| at as u8).collect();
        let place = body.as_ptr();
        let mut connection = asked("GET / HTTP/1.1", "");
        connection.handle_input(b"GET /next HTTP/1.1\r\nHost: h\r\n\r\n", 0);
        connection.respond(Response::new(200, "x/y", body.clone()), 0);
        let is_moved = bytes > HTTP_COPY_BYTES_MAX;
        // The next request waits until a moved body is written: there is place for one.
        assert_eq!(connection.poll_request().is_some(), !is_moved);
        if is_moved {
            let mut connection = asked("GET / HTTP/1.1", "");
            connection.respond(Response::new(200, "x/y", body), 0);
            let head = connection.output().len();
            connection.advance_output(head, 0);
            assert_eq!(connection.output().as_ptr(), place);
            assert_eq!(connection.output().len(), bytes);
            connection.advance_output(1, 0);
            assert_eq!(connection.output().len(), bytes - 1);
            assert_eq!(connection.poll_request(), None);
            connection.advance_output(bytes - 1, 0);
            assert!(connection.output().is_empty());
        }
    }
}

#[test]
fn errors_of_framing_are_json() {
    let mut connection = Connection::new(0);
    connection.handle_input(b"GET / HTTP/3.0\r\n\r\n", 0);
    let answers = parse_answers(written(&mut connection).as_bytes(), &[]);
    let [Answer { status, body, .. }] = &answers[..] else {
        panic!("{answers:?}");
    };
    assert_eq!(*status, 505);
    assert_eq!(
        String::from_utf8_lossy(body),
        r#"{"error":{"kind":"protocol","message":"the version of HTTP is not 1.0 or 1.1"}}"#
    );
    assert_eq!(answers[0].header("content-type"), Some("application/json"));
    assert_eq!(answers[0].header("connection"), Some("close"));
}

#[test]
fn what_is_not_asked_is_not_answered() {
    let mut connection = Connection::new(0);
    connection.respond(text(200, ""), 0);
    connection.begin(text(200, ""), 0);
    connection.push(b"x", 0);
    connection.end(0);
    connection.abort(0);
    connection.advance_output(5, 0);
    assert!(connection.output().is_empty() && !connection.is_over());
    let mut connection = asked("DELETE / HTTP/1.1", "");
    connection.respond(text(200, ""), 0);
    connection.respond(text(200, ""), 0);
    assert_eq!(written(&mut connection).matches("HTTP/1.1").count(), 1);
    assert_eq!(Method::Other("X".into()).name(), "X");
}
