//! Fuzzed messages: what a peer sends is understood the same however it is cut, and never more than once.

use nexus::codec::error_map::{read_error, write_error};
use nexus::codec::frame::{Scan, scan};
use nexus::codec::message::{
    Head, LENGTH_BYTES, read_head, write_notification, write_request, write_response,
};

/// What a stream says: its messages, the last one perhaps in part, and why it ends there.
#[derive(Debug, Default, PartialEq)]
struct Heard {
    messages: Vec<(String, Vec<u8>)>,
    malformed: bool,
}

impl Heard {
    /// Listens to a stream that comes in pieces of so many bytes, over and over.
    fn listen(stream: &[u8], pieces: &[usize]) -> Heard {
        let mut heard = Heard::default();
        let mut pieces = pieces.iter().cycle();
        // Bytes `at..came` wait; `to_come` more belong to the payload of the last message.
        let (mut at, mut came, mut to_come) = (0, 0, 0);
        while came < stream.len() && !heard.malformed {
            came = stream.len().min(came + pieces.next().unwrap_or(&stream.len()));
            loop {
                let taken = to_come.min(came - at);
                if let Some((_, payload)) = heard.messages.last_mut() {
                    payload.extend_from_slice(&stream[at..at + taken]);
                }
                at += taken;
                to_come -= taken;
                if to_come > 0 {
                    break;
                }
                match scan(&stream[at..came]) {
                    Ok(Scan::More) => break,
                    Ok(Scan::Whole { head, payload, used }) => {
                        heard.messages.push((format!("{head:?}"), payload.to_vec()));
                        assert!(used >= LENGTH_BYTES && used <= came - at);
                        at += used;
                    }
                    Ok(Scan::Front {
                        head,
                        payload_bytes,
                        used,
                    }) => {
                        heard.messages.push((format!("{head:?}"), Vec::new()));
                        assert!(used > LENGTH_BYTES && used <= came - at);
                        at += used;
                        to_come = payload_bytes as usize;
                    }
                    Err(_) => {
                        heard.malformed = true;
                        break;
                    }
                }
            }
        }
        heard
    }
}

/// The first byte says how many of those after it are the sizes of pieces; the rest is a stream, which says the same in
/// those pieces, byte by byte and at once.
pub fn frame(input: &[u8]) {
    let Some((count, rest)) = input.split_first() else {
        return;
    };
    let (pieces, stream) = rest.split_at(usize::from(count % 8).min(rest.len()));
    let pieces: Vec<usize> = pieces.iter().map(|size| usize::from(*size).max(1)).collect();
    let at_once = Heard::listen(stream, &[]);
    assert_eq!(Heard::listen(stream, &pieces), at_once);
    assert_eq!(Heard::listen(stream, &[1]), at_once);
}

/// The front of a message and the errors in one are read and written back as they were.
pub fn message(input: &[u8]) {
    if let Ok(Some((head, used))) = read_head(input, true) {
        assert!(used <= input.len());
        assert_eq!(read_head(&input[..used], true), Ok(Some((head.clone(), used))));
        let mut out = Vec::new();
        let written = match head {
            Head::Request { id, method } => write_request(&mut out, id, method, 0, 0),
            Head::Response { id } => write_response(&mut out, id, 0),
            Head::Notification { method } => write_notification(&mut out, method, 0, 0),
            Head::ForeignCall { .. } | Head::Command { .. } => return,
        };
        written.expect("an envelope fits a frame");
        let again = read_head(&out[LENGTH_BYTES..], true);
        assert_eq!(again.map(|found| found.map(|(head, _)| head)), Ok(Some(head)));
    }
    if let Ok(error) = read_error(input) {
        let mut out = Vec::new();
        write_error(&mut out, &error);
        assert_eq!(read_error(&out), Ok(error));
    }
}
