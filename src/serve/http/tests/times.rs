//! Who waits for how long, and what an end of the input means. All times are given.

use super::super::{Connection, Response};
use super::echo::{parse_answers, write_all};
use crate::limits::{
    HTTP_BYTES_PER_S_MIN, HTTP_HALF_CLOSE_MS, HTTP_HEAD_MS, HTTP_IDLE_MS, HTTP_LINGER_MS, HTTP_PACE_GRACE_MS,
    HTTP_STALL_MS,
};

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n";
const POST: &[u8] = b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 60000000\r\n\r\n";

fn respond(connection: &mut Connection, now_ms: u64) {
    connection.respond(Response::new(200, "text/plain", b"hi".to_vec()), now_ms);
}

fn statuses(connection: &mut Connection) -> Vec<u16> {
    let mut output = Vec::new();
    write_all(connection, &mut output);
    parse_answers(&output, &[])
        .iter()
        .map(|answer| answer.status)
        .collect()
}

/// The connection waits until exactly then: nothing happens before.
fn expire(connection: &mut Connection, deadline: u64) {
    assert_eq!(connection.next_deadline(), Some(deadline));
    connection.handle_timeout(deadline - 1);
    assert_eq!(connection.next_deadline(), Some(deadline));
    connection.handle_timeout(deadline);
    assert_ne!(connection.next_deadline(), Some(deadline));
}

#[test]
fn silence_is_closed_silently() {
    let mut connection = Connection::new(5);
    expire(&mut connection, 5 + HTTP_IDLE_MS);
    assert!(connection.is_over() && connection.output().is_empty());

    let mut connection = Connection::new(5);
    connection.handle_input(GET, 10);
    assert_eq!(connection.next_deadline(), None);
    assert!(connection.poll_request().is_some());
    assert_eq!(connection.next_deadline(), None);
    respond(&mut connection, 1000);
    connection.advance_output(connection.output().len(), 1001);
    // An empty line begins no request.
    connection.handle_input(b"\r\n", 2000);
    expire(&mut connection, 1000 + HTTP_IDLE_MS);
    assert!(connection.is_over() && connection.output().is_empty());
}

#[test]
fn a_slow_head_is_refused() {
    let mut connection = Connection::new(0);
    for (now_ms, byte) in GET[..GET.len() - 1].iter().enumerate() {
        connection.handle_input(&[*byte], 100 + now_ms as u64);
    }
    expire(&mut connection, 100 + HTTP_HEAD_MS);
    assert_eq!(statuses(&mut connection), [408]);
    assert!(connection.wants_shutdown());
}

#[test]
fn a_slow_body_is_refused() {
    // It stops.
    let mut connection = Connection::new(0);
    connection.handle_input(POST, 10);
    assert_eq!(connection.next_deadline(), Some(10 + HTTP_STALL_MS));
    connection.handle_input(&[b'x'; 50_000], 700);
    expire(&mut connection, 700 + HTTP_STALL_MS);
    assert_eq!(statuses(&mut connection), [408]);
    // It trickles.
    let mut connection = Connection::new(0);
    connection.handle_input(POST, 0);
    let mut now_ms = 0;
    while connection.next_deadline() > Some(now_ms) {
        connection.handle_input(b"x", now_ms);
        now_ms += 100;
    }
    assert!(
        (HTTP_PACE_GRACE_MS..HTTP_PACE_GRACE_MS + 1000).contains(&now_ms),
        "{now_ms}"
    );
    connection.handle_timeout(now_ms);
    assert_eq!(statuses(&mut connection), [408]);
    // It comes as fast as it must.
    let mut connection = Connection::new(0);
    connection.handle_input(POST, 0);
    for second in 0..1000 {
        connection.handle_input(&[b'x'; HTTP_BYTES_PER_S_MIN as usize], second * 1000);
        connection.handle_timeout(second * 1000 + 999);
    }
    assert!(connection.output().is_empty());
}

#[test]
fn a_client_that_does_not_take_its_answer_is_dropped() {
    let mut connection = Connection::new(0);
    connection.handle_input(GET, 0);
    connection.poll_request();
    connection.respond(Response::new(200, "text/plain", vec![b'x'; 1 << 20]), 100);
    assert_eq!(connection.next_deadline(), Some(100 + HTTP_STALL_MS));
    connection.advance_output(10, 5000);
    assert_eq!(connection.next_deadline(), Some(100 + HTTP_PACE_GRACE_MS + 10));
    connection.advance_output(100_000, 6000);
    expire(&mut connection, 6000 + HTTP_STALL_MS);
    assert!(connection.is_over() && connection.is_client_gone() && connection.output().is_empty());
    // A stream may pause as long as it likes; only what waits has to be taken.
    let mut connection = Connection::new(0);
    connection.handle_input(GET, 0);
    connection.poll_request();
    connection.begin(Response::new(200, "text/plain", Vec::new()), 0);
    connection.advance_output(connection.output().len(), 1);
    assert_eq!(connection.next_deadline(), None);
    connection.push(b"x", 1_000_000);
    expire(&mut connection, 1_000_000 + HTTP_STALL_MS);
    assert!(connection.is_over());
}

#[test]
fn a_refused_client_can_read_why() {
    let mut connection = Connection::new(0);
    connection.handle_input(b"\x01", 5);
    assert!(!connection.is_over() && !connection.wants_shutdown() && connection.wants_input());
    connection.handle_input(&[b'x'; 100_000], 6);
    assert_eq!(connection.held_bytes(), connection.output().len());
    connection.advance_output(connection.output().len(), 7);
    assert!(connection.wants_shutdown() && connection.wants_input());
    connection.handle_input(&[b'x'; 100_000], 8);
    assert_eq!(connection.held_bytes(), 0);
    expire(&mut connection, 7 + HTTP_LINGER_MS);
    assert!(connection.is_over());
    // Its end is the end.
    let mut connection = Connection::new(0);
    connection.handle_input(b"\x01", 5);
    connection.handle_end(6);
    assert!(!connection.is_over());
    connection.advance_output(connection.output().len(), 7);
    assert!(connection.is_over());
    // More than was to be the last is unread as well.
    let mut connection = Connection::new(0);
    connection.handle_input(b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\nx", 0);
    connection.poll_request();
    respond(&mut connection, 0);
    connection.advance_output(connection.output().len(), 7);
    assert!(connection.wants_shutdown());
}

#[test]
fn an_end_with_the_request_waits_for_the_answer() {
    for count in [1, 3] {
        let mut connection = Connection::new(0);
        connection.handle_input(&GET.repeat(count), 1000);
        connection.handle_end(1000 + HTTP_HALF_CLOSE_MS);
        for _ in 0..count {
            assert!(!connection.is_client_gone() && !connection.is_over() && !connection.wants_input());
            assert!(connection.poll_request().is_some());
            respond(&mut connection, 60_000);
        }
        assert!(!connection.is_over());
        assert_eq!(statuses(&mut connection), vec![200; count]);
        assert!(connection.is_over() && !connection.is_client_gone());
    }
}

#[test]
fn an_end_while_a_call_runs_is_a_client_that_left() {
    let mut connection = Connection::new(0);
    connection.handle_input(&GET.repeat(2), 1000);
    connection.poll_request();
    connection.handle_end(1001 + HTTP_HALF_CLOSE_MS);
    assert!(connection.is_client_gone() && !connection.is_over());
    // It gets what there is, for it may listen yet; the next is not begun.
    respond(&mut connection, 2000);
    assert_eq!(statuses(&mut connection), [200]);
    assert!(connection.is_over() && connection.poll_request().is_none());

    let mut connection = Connection::new(0);
    connection.handle_input(GET, 1000);
    connection.poll_request();
    connection.handle_reset();
    assert!(connection.is_client_gone() && connection.is_over());
    respond(&mut connection, 2000);
    assert!(connection.output().is_empty() && connection.next_deadline().is_none());
}

#[test]
fn an_end_within_a_request_is_refused() {
    for (bytes, expected) in [
        (&b""[..], &[][..]),
        (b"\r\n", &[]),
        (b"G", &[400]),
        (&GET[..GET.len() - 1], &[400]),
        (POST, &[400]),
        (
            b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n",
            &[400],
        ),
    ] {
        let mut connection = Connection::new(0);
        connection.handle_input(bytes, 0);
        connection.handle_end(0);
        connection.handle_end(1);
        assert_eq!(statuses(&mut connection), expected, "{}", bytes.escape_ascii());
        assert!(connection.is_over() && !connection.is_client_gone());
    }
}

#[test]
fn a_server_that_stops_drains() {
    // Between requests it ends at once.
    let mut connection = Connection::new(0);
    connection.drain(1);
    assert!(connection.is_over());
    // A request that is only partly here is refused.
    for bytes in [&GET[..5], POST] {
        let mut connection = Connection::new(0);
        connection.handle_input(bytes, 0);
        connection.drain(1);
        assert_eq!(statuses(&mut connection), [503]);
    }
    // The one under way is answered, and is the last.
    for is_polled in [false, true] {
        let mut connection = Connection::new(0);
        connection.handle_input(&GET.repeat(2), 0);
        if is_polled {
            connection.poll_request();
        }
        connection.drain(1);
        assert_eq!(connection.poll_request().is_some(), !is_polled);
        respond(&mut connection, 2);
        assert!(String::from_utf8_lossy(connection.output()).contains("connection: close"));
        assert_eq!(statuses(&mut connection), [200]);
        assert!(connection.wants_shutdown() && connection.poll_request().is_none());
    }
    // A large answer that is being written is written to its end.
    let mut connection = Connection::new(0);
    connection.handle_input(GET, 0);
    connection.poll_request();
    connection.respond(Response::new(200, "text/plain", vec![b'x'; 1 << 20]), 0);
    connection.drain(1);
    assert_eq!(statuses(&mut connection), [200]);
    assert!(connection.is_over());
}
