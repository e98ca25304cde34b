//! Every limit of a connection, at it and one above.

use super::super::{Connection, Response};
use super::echo::{check, feed, state};
use crate::limits::{
    HTTP_BODY_BYTES_MAX, HTTP_CHUNK_LINE_BYTES_MAX, HTTP_HEAD_BYTES_MAX, HTTP_HEADERS_MAX,
    HTTP_METHOD_BYTES_MAX, HTTP_OUTPUT_BYTES_HIGH, HTTP_PIPELINE_BYTES_MAX, HTTP_TARGET_BYTES_MAX,
    HTTP_TRAILERS_BYTES_MAX, READ_BYTES,
};

/// The bytes with so many `x` in the place of `$`, at the limit and one above.
fn check_limit(bytes: &str, at_limit: usize, expected: [&str; 2]) {
    for (count, expected) in [at_limit, at_limit + 1].into_iter().zip(expected) {
        let bytes = bytes.replacen('$', &"x".repeat(count), 1);
        check(&format!("{count}"), bytes.as_bytes(), expected);
    }
}

#[test]
fn parts_of_a_head() {
    let head = "GET / HTTP/1.1\r\nHost: h\r\nX: $\r\n\r\n";
    check_limit(
        head,
        HTTP_HEAD_BYTES_MAX - (head.len() - 1),
        ["200 kept", "431 closed"],
    );
    // It need not end to be too much.
    let head = "GET / HTTP/1.1\r\nHost: h\r\nX: $";
    check_limit(
        head,
        HTTP_HEAD_BYTES_MAX - (head.len() - 1),
        ["waits", "431 closed"],
    );
    check_limit(
        "GET /$ HTTP/1.1\r\nHost: h\r\n\r\n",
        HTTP_TARGET_BYTES_MAX - 1,
        ["200 kept", "414 closed"],
    );
    check_limit("GET /$", HTTP_TARGET_BYTES_MAX - 1, ["waits", "414 closed"]);
    check_limit(
        "$ / HTTP/1.1\r\nHost: h\r\n\r\n",
        HTTP_METHOD_BYTES_MAX,
        ["200 kept", "501 closed"],
    );
    for (count, expected) in [
        (HTTP_HEADERS_MAX, "200 kept"),
        (HTTP_HEADERS_MAX + 1, "431 closed"),
    ] {
        let head = format!(
            "GET / HTTP/1.1\r\nHost: h\r\n{}\r\n",
            "A: b\r\n".repeat(count - 1)
        );
        check("headers", head.as_bytes(), expected);
    }
}

#[test]
fn parts_of_chunks() {
    let post = "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n";
    let at = HTTP_CHUNK_LINE_BYTES_MAX;
    check_limit(
        &format!("{post}1;$\r\na\r\n0\r\n\r\n"),
        at - 2,
        ["200 kept", "400 closed"],
    );
    check_limit(
        &format!("{post}1;a=\"$\"\r\na\r\n0;$\r\n\r\n").replacen(";$", "", 1),
        at - 6,
        ["200 kept", "400 closed"],
    );
    let zeros = |count: usize| format!("{post}{}\r\n\r\n", "0".repeat(count));
    check("zeros", zeros(at).as_bytes(), "200 kept");
    check("zeros", zeros(at + 1).as_bytes(), "400 closed");
    let at = HTTP_TRAILERS_BYTES_MAX;
    check_limit(
        &format!("{post}0\r\nA: b\r\nX: $\r\n\r\n"),
        at - 9,
        ["200 kept", "431 closed"],
    );
    check_limit(&format!("{post}0\r\nA: b\r\n$"), at - 6, ["waits", "431 closed"]);
}

#[test]
fn bodies() {
    let limit = HTTP_BODY_BYTES_MAX;
    let post = |header: &str| format!("POST / HTTP/1.1\r\nHost: h\r\n{header}\r\n\r\n");
    // A length is believed or refused before any of the body has come, and takes no memory.
    check(
        "length",
        post(&format!("Content-Length: {limit}")).as_bytes(),
        "waits",
    );
    check(
        "length",
        post(&format!("Content-Length: {}", limit + 1)).as_bytes(),
        "413 closed",
    );
    let chunked = post("Transfer-Encoding: chunked");
    check("chunk", format!("{chunked}{limit:x}\r\n").as_bytes(), "waits");
    check(
        "chunk",
        format!("{chunked}{:x}\r\n", limit + 1).as_bytes(),
        "413 closed",
    );
    check(
        "chunks",
        format!("{chunked}1\r\na\r\n{:x}\r\n", limit - 1).as_bytes(),
        "waits",
    );
    check(
        "chunks",
        format!("{chunked}1\r\na\r\n{limit:x}\r\n").as_bytes(),
        "413 closed",
    );
    let mut whole = post(&format!("Content-Length: {limit}")).into_bytes();
    whole.resize(whole.len() + limit, b'x');
    let outcome = feed(&whole, || READ_BYTES);
    assert_eq!(outcome.requests[0].body.len(), limit);
    assert_eq!(outcome.state, "kept");
}

#[test]
fn requests_that_wait() {
    let get = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n";
    let mut connection = Connection::new(0);
    connection.handle_input(get, 0);
    let mut fed = 0;
    while connection.wants_input() {
        assert!(fed < HTTP_PIPELINE_BYTES_MAX);
        connection.handle_input(get, 0);
        fed += get.len();
    }
    assert!(fed >= HTTP_PIPELINE_BYTES_MAX);
    assert_eq!(connection.held_bytes(), fed);
    // All of them are answered in the end.
    let mut answered = 0;
    while let Some(request) = connection.poll_request() {
        assert_eq!(request.path(), "/");
        connection.respond(Response::new(204, "x/y", Vec::new()), 0);
        connection.advance_output(connection.output().len(), 0);
        answered += 1;
    }
    assert_eq!(answered, 1 + fed / get.len());
    assert_eq!(state(&connection), "kept");
    // One read beyond is kept, too; whoever goes on then loses the connection.
    connection.handle_input(get, 0);
    connection.handle_input(&vec![b'x'; HTTP_PIPELINE_BYTES_MAX - 1], 0);
    assert!(connection.wants_input());
    connection.handle_input(&vec![b'x'; READ_BYTES], 0);
    assert!(!connection.wants_input() && !connection.is_over());
    connection.handle_input(b"xx", 0);
    assert!(connection.is_over() && connection.held_bytes() == 0);
    let mut connection = Connection::new(0);
    connection.handle_input(&get.repeat(20_000), 0);
    assert!(connection.is_over() && connection.held_bytes() == 0);
}

#[test]
fn answers_that_are_not_taken() {
    let get = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n";
    let mut connection = Connection::new(0);
    connection.handle_input(&get.repeat(1000), 0);
    let mut answered = 0;
    while connection.poll_request().is_some() {
        connection.respond(Response::new(200, "x/y", vec![b'x'; 1000]), 0);
        answered += 1;
    }
    assert!(answered < 300);
    let held = connection.held_bytes();
    assert!(held < HTTP_OUTPUT_BYTES_HIGH + 2000 + 1000 * get.len(), "{held}");
    connection.advance_output(2000, 0);
    assert!(connection.poll_request().is_some());
}
