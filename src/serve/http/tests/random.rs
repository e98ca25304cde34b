//! Random requests in random pieces, answered in random ways and written in random pieces: what the client reads is what the
//! server meant. Every run is the same.

use super::super::{Connection, Response};
use super::echo::{Dice, parse_answers};
use crate::limits::{HTTP_COPY_BYTES_MAX, HTTP_PIPELINE_BYTES_MAX, READ_BYTES};

struct Sent {
    method: &'static str,
    target: String,
    body: Vec<u8>,
    expects: bool,
}

fn random_body(dice: &mut Dice, most: usize) -> Vec<u8> {
    let bytes = match dice.roll(4) {
        0 => 0,
        1 => dice.roll(most),
        _ => dice.roll(60),
    };
    // Likely to look like framing.
    (0..bytes).map(|_| b"\r\n0:; aGx\0\xff1"[dice.roll(12)]).collect()
}

/// A request in one of its spellings.
fn random_request(dice: &mut Dice, stream: &mut Vec<u8>) -> Sent {
    let method = ["GET", "HEAD", "POST", "PUT", "OPTIONS", "BREW"][dice.roll(6)];
    let target = format!("/{}?{}", dice.roll(100_000), "q".repeat(dice.roll(30)));
    let mut sent = Sent {
        method,
        target,
        body: random_body(dice, 40_000),
        expects: false,
    };
    if dice.roll(8) == 0 {
        stream.extend_from_slice(b"\r\n");
    }
    stream.extend_from_slice(format!("{method} {} HTTP/1.1\r\n", sent.target).as_bytes());
    for at in 0..dice.roll(10) {
        stream.extend_from_slice(format!("X-{at}:{}v\r\n", " ".repeat(dice.roll(3))).as_bytes());
    }
    stream.extend_from_slice(b"hOsT: h\r\n");
    let is_chunked = dice.roll(2) == 0;
    if dice.roll(5) == 0 {
        sent.expects = is_chunked || !sent.body.is_empty();
        stream.extend_from_slice(b"Expect: 100-continue\r\n");
    }
    if !is_chunked {
        if !sent.body.is_empty() || dice.roll(2) == 0 {
            stream.extend_from_slice(format!("Content-Length: {}\r\n", sent.body.len()).as_bytes());
        }
        stream.extend_from_slice(b"\r\n");
        stream.extend_from_slice(&sent.body);
        return sent;
    }
    stream.extend_from_slice(b"Transfer-Encoding: chunked\r\n\r\n");
    let mut rest = &sent.body[..];
    while !rest.is_empty() {
        let (chunk, after) = rest.split_at(1 + dice.roll(rest.len()));
        rest = after;
        let extension = ["", ";a", ";a=b", ";a=\"\\\";\""][dice.roll(4)];
        stream.extend_from_slice(format!("{:x}{extension}\r\n", chunk.len()).as_bytes());
        stream.extend_from_slice(chunk);
        stream.extend_from_slice(b"\r\n");
    }
    stream.extend_from_slice([&b"0\r\n\r\n"[..], b"000;x\r\nT: v\r\n\r\n"][dice.roll(2)]);
    sent
}

/// Answers with the target and the body, in one of the ways to answer.
fn answer(dice: &mut Dice, connection: &mut Connection, body: Vec<u8>) {
    if dice.roll(2) == 0 {
        return connection.respond(Response::new(200, "x/y", body), 0);
    }
    connection.begin(Response::new(200, "x/y", Vec::new()), 0);
    let mut rest = &body[..];
    while !rest.is_empty() {
        let (piece, after) = rest.split_at(dice.roll(rest.len() + 1));
        rest = after;
        connection.push(piece, 0);
    }
    connection.end(0);
}

fn check(seed: u64) {
    let mut dice = Dice(seed);
    let mut stream = Vec::new();
    let sent: Vec<Sent> = (0..1 + dice.roll(20))
        .map(|_| random_request(&mut dice, &mut stream))
        .collect();
    let mut connection = Connection::new(0);
    let (mut output, mut meant) = (Vec::new(), Vec::new());
    let mut rest = &stream[..];
    while meant.len() < sent.len() || !connection.output().is_empty() {
        match dice.roll(3) {
            0 if connection.wants_input() && !rest.is_empty() => {
                let most = [2, 100, 10_000][dice.roll(3)];
                let (piece, after) = rest.split_at(rest.len().min(1 + dice.roll(most)));
                rest = after;
                connection.handle_input(piece, 0);
            }
            1 => {
                let waiting = connection.output().len();
                let written = dice.roll(waiting + 1);
                output.extend_from_slice(&connection.output()[..written]);
                connection.advance_output(written, 0);
            }
            _ => {
                if let Some(request) = connection.poll_request() {
                    let asked = &sent[meant.len()];
                    assert_eq!(request.method.name(), asked.method, "seed {seed}");
                    assert_eq!(
                        (&request.target, &request.body),
                        (&asked.target, &asked.body),
                        "seed {seed}"
                    );
                    let mut body = request.body;
                    body.resize(body.len() * dice.roll(3), b'z');
                    meant.push(body.clone());
                    answer(&mut dice, &mut connection, body);
                }
            }
        }
        let held_max = HTTP_PIPELINE_BYTES_MAX + READ_BYTES + 8 * HTTP_COPY_BYTES_MAX;
        assert!(connection.held_bytes() < held_max, "seed {seed}");
    }
    assert!(rest.is_empty() && !connection.is_over(), "seed {seed}");
    let methods: Vec<&str> = sent.iter().map(|sent| sent.method).collect();
    let answers = parse_answers(&output, &methods);
    let interim = answers.iter().filter(|answer| answer.status == 100).count();
    assert_eq!(
        interim,
        sent.iter().filter(|sent| sent.expects).count(),
        "seed {seed}"
    );
    let mut finals = answers.iter().filter(|answer| answer.status == 200);
    for (sent, body) in sent.iter().zip(meant) {
        let answer = finals
            .next()
            .unwrap_or_else(|| panic!("an answer is missing, seed {seed}"));
        let expected = if sent.method == "HEAD" { Vec::new() } else { body };
        assert!(answer.body == expected, "seed {seed}");
    }
    assert_eq!(finals.next(), None, "seed {seed}");
}

#[test]
fn answers_read_back_as_they_were_meant() {
    for seed in 0..200 {
        check(seed);
    }
}
