//! A server and a client around one connection: the server echoes, the client parses what comes back. Uses no time but 0.

use super::super::{Connection, Request, Response};
use crate::limits::HTTP_IDLE_MS;

/// Numbers that a seed decides (splitmix64).
pub(super) struct Dice(pub(super) u64);

impl Dice {
    /// A number below `end`.
    pub(super) fn roll(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((word ^ (word >> 31)) % end as u64) as usize
    }
}

/// An answer as a client understands it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) head: String,
    pub(super) body: Vec<u8>,
}

impl Answer {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.split("\r\n").skip(1);
        lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }
}

/// Answers in a stream, the first of which answer requests of these methods. An answer without an extent goes to the end.
pub(super) fn parse_answers(mut stream: &[u8], methods: &[&str]) -> Vec<Answer> {
    let mut answers = Vec::new();
    let mut methods = methods.iter();
    while !stream.is_empty() {
        let end = stream.windows(4).position(|window| window == b"\r\n\r\n");
        let end = end.unwrap_or_else(|| panic!("no head: {}", stream.escape_ascii()));
        let head = String::from_utf8(stream[..end].to_vec()).expect("a head is text");
        stream = &stream[end + 4..];
        let status = head.strip_prefix("HTTP/1.1 ").expect("an answer has a version");
        let mut answer = Answer {
            status: status[..3].parse().expect("an answer has a status"),
            head,
            body: Vec::new(),
        };
        let is_interim = answer.status < 200;
        let is_head = !is_interim && methods.next() == Some(&"HEAD");
        if !is_interim && !is_head && !matches!(answer.status, 204 | 304) {
            if let Some(length) = answer.header("content-length") {
                let length: usize = length.parse().expect("a length is a number");
                answer.body = stream[..length].to_vec();
                stream = &stream[length..];
            } else if answer.header("transfer-encoding") == Some("chunked") {
                loop {
                    let line = stream.windows(2).position(|window| window == b"\r\n");
                    let line = line.expect("a chunk has a line");
                    let size = std::str::from_utf8(&stream[..line]).expect("a size is text");
                    let size = usize::from_str_radix(size, 16).expect("a size is hexadecimal");
                    answer.body.extend_from_slice(&stream[line + 2..line + 2 + size]);
                    assert_eq!(&stream[line + 2 + size..line + 4 + size], b"\r\n");
                    stream = &stream[line + 4 + size..];
                    if size == 0 {
                        break;
                    }
                }
            } else {
                answer.body = std::mem::take(&mut stream).to_vec();
            }
        }
        answers.push(answer);
    }
    answers
}

/// What came of some bytes.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Outcome {
    pub(super) requests: Vec<Request>,
    pub(super) output: Vec<u8>,
    /// `kept`: waits for a request. `waits`: for the rest of one. `closed`.
    pub(super) state: &'static str,
}

impl Outcome {
    pub(super) fn answers(&self) -> Vec<Answer> {
        let methods: Vec<&str> = self.requests.iter().map(|r| r.method.name()).collect();
        parse_answers(&self.output, &methods)
    }

    /// Statuses of all answers and the state, in one line.
    pub(super) fn line(&self) -> String {
        let mut line = String::new();
        for answer in self.answers() {
            line.push_str(&format!("{} ", answer.status));
        }
        line + self.state
    }
}

pub(super) fn write_all(connection: &mut Connection, output: &mut Vec<u8>) {
    while !connection.output().is_empty() {
        output.extend_from_slice(connection.output());
        connection.advance_output(connection.output().len(), 0);
    }
}

pub(super) fn state(connection: &Connection) -> &'static str {
    match connection.next_deadline() {
        _ if connection.is_over() || connection.wants_shutdown() => "closed",
        Some(HTTP_IDLE_MS) => "kept",
        _ => "waits",
    }
}

/// Feeds bytes in pieces of these sizes, over and over; each request gets its body back.
pub(super) fn feed(bytes: &[u8], mut next_piece: impl FnMut() -> usize) -> Outcome {
    let mut connection = Connection::new(0);
    let (mut requests, mut output) = (Vec::new(), Vec::new());
    let mut rest = bytes;
    while !rest.is_empty() {
        let (piece, after) = rest.split_at(next_piece().clamp(1, rest.len()));
        rest = after;
        connection.handle_input(piece, 0);
        while let Some(request) = connection.poll_request() {
            let echo = Response::new(200, "application/octet-stream", request.body.clone());
            requests.push(*request);
            connection.respond(echo, 0);
            write_all(&mut connection, &mut output);
        }
        write_all(&mut connection, &mut output);
    }
    Outcome {
        requests,
        output,
        state: state(&connection),
    }
}

/// Bytes have the same outcome at once, byte by byte and in random pieces; it reads like this.
pub(super) fn check(name: &str, bytes: &[u8], expected: &str) -> Outcome {
    let at_once = feed(bytes, || usize::MAX);
    assert_eq!(at_once.line(), expected, "{name}: {}", bytes.escape_ascii());
    assert_eq!(feed(bytes, || 1), at_once, "{name}, byte by byte");
    for seed in 0..4 {
        let mut dice = Dice(seed);
        let most = 2 + bytes.len() / 3;
        assert_eq!(
            feed(bytes, || 1 + dice.roll(most)),
            at_once,
            "{name}, seed {seed}"
        );
    }
    at_once
}
