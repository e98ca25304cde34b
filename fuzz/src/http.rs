//! Fuzzed HTTP: what a client sends is understood the same however it is cut, and what is held for it stays bounded.

use nexus::limits::{HTTP_BODY_BYTES_MAX, HTTP_OUTPUT_BYTES_HIGH, HTTP_PIPELINE_BYTES_MAX, READ_BYTES};
use nexus::serve::http::{Connection, Request, Response, target};

/// What a connection makes of a stream.
#[derive(Debug, PartialEq)]
struct Heard {
    requests: Vec<Request>,
    output: Vec<u8>,
    is_over: bool,
    is_client_gone: bool,
}

impl Heard {
    /// Listens to a stream that comes in pieces of so many bytes, over and over, and then ends; each request is echoed, every
    /// other as a stream.
    fn listen(stream: &[u8], pieces: &[usize]) -> Heard {
        let mut connection = Connection::new(0);
        let mut pieces = pieces.iter().cycle();
        let (mut requests, mut output) = (Vec::new(), Vec::new());
        let mut rest = stream;
        let mut has_ended = false;
        while !has_ended {
            let (piece, after) = rest.split_at(rest.len().min(*pieces.next().unwrap_or(&READ_BYTES)));
            rest = after;
            match piece {
                [] => connection.handle_end(0),
                piece if connection.wants_input() => connection.handle_input(piece, 0),
                _ => assert!(connection.is_over()),
            }
            has_ended = piece.is_empty();
            assert!(connection.held_bytes() < HELD_BYTES_MAX);
            while let Some(request) = connection.poll_request() {
                let answer = Response::new(200, "text/plain", request.body.clone());
                match requests.len() % 2 {
                    0 => connection.respond(answer, 0),
                    _ => {
                        connection.begin(answer, 0);
                        connection.push(request.target.as_bytes(), 0);
                        connection.end(0);
                    }
                }
                let _ = target::segments(request.path());
                let _ = target::fields(request.query());
                requests.push(*request);
                write_all(&mut connection, &mut output);
            }
            write_all(&mut connection, &mut output);
        }
        Heard {
            requests,
            output,
            is_over: connection.is_over(),
            is_client_gone: connection.is_client_gone(),
        }
    }
}

const HELD_BYTES_MAX: usize =
    HTTP_PIPELINE_BYTES_MAX + READ_BYTES + HTTP_BODY_BYTES_MAX + HTTP_OUTPUT_BYTES_HIGH + 4096;

fn write_all(connection: &mut Connection, output: &mut Vec<u8>) {
    while !connection.output().is_empty() {
        output.extend_from_slice(connection.output());
        connection.advance_output(connection.output().len(), 0);
    }
}

/// The first byte says how many of those after it are the sizes of pieces; the rest is a stream, which means the same in
/// those pieces, byte by byte and at once.
pub fn http(input: &[u8]) {
    let Some((count, rest)) = input.split_first() else {
        return;
    };
    let (pieces, stream) = rest.split_at(usize::from(count % 8).min(rest.len()));
    let pieces: Vec<usize> = pieces.iter().map(|size| usize::from(*size).max(1)).collect();
    let at_once = Heard::listen(stream, &[]);
    assert!(at_once.is_over && !at_once.is_client_gone);
    assert!(at_once.requests.iter().all(|request| request.target.is_ascii()));
    assert_eq!(Heard::listen(stream, &pieces), at_once);
    assert_eq!(Heard::listen(stream, &[1]), at_once);
}
