//! Frames and the envelopes in them: what stands before the payload of a message, and how it is written. Payloads stay
//! bytes: nothing here looks into an argument or a result.
//!
//! A frame is a big-endian `u32` length and one msgpack value, shaped as in MessagePack-RPC:
//! `[0, id, method, params]`, `[1, id, error, result]`, `[2, method, params]`.

use crate::codec::msgpack::{MsgpackError, Reader, Token, write};
use crate::limits::HEAD_BYTES_MAX;

/// Version of the pool protocol that is spoken here.
pub const PROTOCOL: u64 = 1;

/// Bytes of a frame's length.
pub const LENGTH_BYTES: usize = 4;

/// The front of a message, as far as nexus reads it. What follows it in the frame is the message's payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Head<'a> {
    /// A foreign call `[0, id, "call", [target, mid, arg...]]`; the payload is the arguments.
    ForeignCall {
        /// Chosen by the worker.
        id: u64,
        /// The pool that it wants.
        target: Target<'a>,
        /// Under which that pool finds the function.
        mid: i64,
        /// Number of arguments.
        args: u32,
    },
    /// A call of a command `[0, id, "command", [target, arg...]]`; the payload is the arguments.
    Command {
        /// Chosen by the worker.
        id: u64,
        /// The command that it wants.
        target: Target<'a>,
        /// Number of arguments.
        args: u32,
    },
    /// Any other request; the payload is its params.
    Request {
        /// Chosen by the worker.
        id: u64,
        /// The method.
        method: &'a str,
    },
    /// An answer; the payload is the error and the result.
    Response {
        /// The id of the request.
        id: u64,
    },
    /// A notification; the payload is its params.
    Notification {
        /// The method.
        method: &'a str,
    },
}

/// Whom a worker's call is for, and on whose behalf: `name`, `[name, parent]` or `[name, parent, pid]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target<'a> {
    /// Name of the pool or command.
    pub name: &'a str,
    /// Id of the call that makes it, on the same connection; none: the innermost that the worker runs, which waits for
    /// the answer at once.
    pub parent: Option<u64>,
    /// Process id of the only worker that can run it, because a function value lives there.
    pub pid: Option<u64>,
}

impl<'a> Target<'a> {
    /// Whoever of that name, on behalf of the innermost call.
    pub fn plain(name: &'a str) -> Target<'a> {
        Target {
            name,
            parent: None,
            pid: None,
        }
    }
}

/// Why the front of a frame is not one of a message.
pub type Malformed = String;

/// Reads the front of a message from what has come of its frame (without the length): the head and its size in bytes,
/// or nothing if more is needed.
///
/// # Errors
/// Bytes that can't become the front of a message, whatever follows.
pub fn read_head<'a>(bytes: &'a [u8], is_whole: bool) -> Result<Option<(Head<'a>, usize)>, Malformed> {
    // What comes later must not matter: the same message may come in one piece or in many.
    match try_head(&bytes[..bytes.len().min(HEAD_BYTES_MAX)]) {
        Ok(found) => Ok(Some(found)),
        Err(Problem::Msgpack(MsgpackError::Incomplete)) => {
            if bytes.len() >= HEAD_BYTES_MAX {
                return Err(format!("envelope of a message exceeds {HEAD_BYTES_MAX} bytes"));
            }
            if is_whole {
                return Err("message ends before its envelope does".into());
            }
            Ok(None)
        }
        Err(Problem::Msgpack(error)) => Err(error.to_string()),
        Err(Problem::Shape(message)) => Err(message),
    }
}

enum Problem {
    Msgpack(MsgpackError),
    Shape(Malformed),
}

impl From<MsgpackError> for Problem {
    fn from(error: MsgpackError) -> Problem {
        Problem::Msgpack(error)
    }
}

fn try_head(bytes: &[u8]) -> Result<(Head<'_>, usize), Problem> {
    let mut reader = Reader::new(bytes);
    let len = array_len(&mut reader, "a message")?;
    let kind = reader.next()?;
    let head = match (kind, len) {
        (Token::Int(0), 4) => {
            let id = id(&mut reader)?;
            match text(&mut reader, "the method")? {
                "call" => {
                    let values = array_len(&mut reader, "the params of 'call'")?;
                    let args = values
                        .checked_sub(2)
                        .ok_or_else(|| Problem::Shape("call names no function".into()))?;
                    let target = target(&mut reader, "the pool of a call")?;
                    let mid = mid(&mut reader)?;
                    Head::ForeignCall {
                        id,
                        target,
                        mid,
                        args,
                    }
                }
                "command" => {
                    let values = array_len(&mut reader, "the params of 'command'")?;
                    let args = values
                        .checked_sub(1)
                        .ok_or_else(|| Problem::Shape("command has no name".into()))?;
                    let target = target(&mut reader, "the name of a command")?;
                    Head::Command { id, target, args }
                }
                method => Head::Request { id, method },
            }
        }
        (Token::Int(1), 4) => Head::Response { id: id(&mut reader)? },
        (Token::Int(2), 3) => Head::Notification {
            method: text(&mut reader, "the method")?,
        },
        (kind, len) => {
            let found = match kind {
                Token::Int(kind) => format!("kind {kind}"),
                other => other.name().to_string(),
            };
            let message = format!(
                "message is an array of {len} that starts with {found}, expected \
                [0, id, method, params], [1, id, error, result] or [2, method, params]"
            );
            return Err(Problem::Shape(message));
        }
    };
    Ok((head, reader.offset()))
}

fn array_len(reader: &mut Reader<'_>, what: &str) -> Result<u32, Problem> {
    match reader.array_head()? {
        Some(len) => Ok(len),
        None => Err(wrong(what, reader, "an array")),
    }
}

fn id(reader: &mut Reader<'_>) -> Result<u64, Problem> {
    match reader.peek()? {
        Token::Int(id) if id >= 0 => {
            reader.next()?;
            Ok(id as u64)
        }
        Token::Unsigned(id) => {
            reader.next()?;
            Ok(id)
        }
        _ => Err(wrong("the id of a message", reader, "an unsigned integer")),
    }
}

fn mid(reader: &mut Reader<'_>) -> Result<i64, Problem> {
    match reader.peek()? {
        Token::Int(mid) => {
            reader.next()?;
            Ok(mid)
        }
        _ => Err(wrong("the function of a call", reader, "a manifold id")),
    }
}

fn target<'a>(reader: &mut Reader<'a>, what: &str) -> Result<Target<'a>, Problem> {
    let len = match reader.peek()? {
        Token::Array(len) => len,
        _ => return Ok(Target::plain(text(reader, what)?)),
    };
    if !(1..=3).contains(&len) {
        let message =
            format!("{what} is an array of {len}, expected a name, [name, parent] or [name, parent, pid]");
        return Err(Problem::Shape(message));
    }
    reader.next()?;
    let mut target = Target::plain(text(reader, what)?);
    if len > 1 {
        target.parent = optional_id(reader)?;
    }
    if len > 2 {
        target.pid = optional_id(reader)?;
    }
    Ok(target)
}

fn optional_id(reader: &mut Reader<'_>) -> Result<Option<u64>, Problem> {
    if reader.peek()? == Token::Nil {
        reader.next()?;
        return Ok(None);
    }
    id(reader).map(Some)
}

fn text<'a>(reader: &mut Reader<'a>, what: &str) -> Result<&'a str, Problem> {
    match reader.peek()? {
        Token::Str(text) => {
            reader.next()?;
            Ok(text)
        }
        _ => Err(wrong(what, reader, "a string")),
    }
}

fn wrong(what: &str, reader: &Reader<'_>, expected: &str) -> Problem {
    match reader.peek() {
        Ok(found) => Problem::Shape(format!("{what} is {}, expected {expected}", found.name())),
        Err(error) => Problem::Msgpack(error),
    }
}

/// Writes a request up to its payload, which is `payload_bytes` long and holds `values` params.
///
/// # Errors
/// A frame whose length four bytes can not say.
pub fn write_request(
    out: &mut Vec<u8>,
    id: u64,
    method: &str,
    values: u32,
    payload_bytes: u64,
) -> Result<(), Malformed> {
    write_frame(out, payload_bytes, |out| {
        write_request_envelope(out, id, method, values);
    })
}

/// Writes a call up to its payload: `args` arguments, `payload_bytes` long together.
///
/// # Errors
/// A frame whose length four bytes can not say.
pub fn write_call(
    out: &mut Vec<u8>,
    id: u64,
    mid: i64,
    args: u32,
    payload_bytes: u64,
) -> Result<(), Malformed> {
    write_frame(out, payload_bytes, |out| {
        write_request_envelope(out, id, "call", args + 1);
        write::int(out, mid);
    })
}

fn write_request_envelope(out: &mut Vec<u8>, id: u64, method: &str, values: u32) {
    write::array(out, 4);
    write::unsigned(out, 0);
    write::unsigned(out, id);
    write::string(out, method);
    write::array(out, values);
}

/// Writes a response up to its payload: the error and the result, `payload_bytes` long together.
///
/// # Errors
/// A frame whose length four bytes can not say.
pub fn write_response(out: &mut Vec<u8>, id: u64, payload_bytes: u64) -> Result<(), Malformed> {
    write_frame(out, payload_bytes, |out| {
        write::array(out, 4);
        write::unsigned(out, 1);
        write::unsigned(out, id);
    })
}

/// Writes a notification up to its payload, which is `payload_bytes` long and holds `values` params.
///
/// # Errors
/// A frame whose length four bytes can not say.
pub fn write_notification(
    out: &mut Vec<u8>,
    method: &str,
    values: u32,
    payload_bytes: u64,
) -> Result<(), Malformed> {
    write_frame(out, payload_bytes, |out| {
        write::array(out, 3);
        write::unsigned(out, 2);
        write::string(out, method);
        write::array(out, values);
    })
}

/// Writes the length and then the envelope; on an error nothing was written. What came in a frame of at most
/// [`crate::limits::FRAME_BYTES_MAX`] fits in one again, whatever its new envelope is.
fn write_frame(
    out: &mut Vec<u8>,
    payload_bytes: u64,
    envelope: impl FnOnce(&mut Vec<u8>),
) -> Result<(), Malformed> {
    let start = out.len();
    out.extend_from_slice(&[0; LENGTH_BYTES]);
    envelope(out);
    let bytes = (out.len() - start - LENGTH_BYTES) as u64 + payload_bytes;
    match u32::try_from(bytes) {
        Ok(len) => {
            out[start..start + LENGTH_BYTES].copy_from_slice(&len.to_be_bytes());
            Ok(())
        }
        Err(_) => {
            out.truncate(start);
            Err(format!(
                "message of {bytes} bytes exceeds the {} that a frame can hold",
                u32::MAX
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(bytes: &[u8], expected: Result<Option<(Head<'_>, usize)>, &str>) {
        let found = read_head(bytes, false);
        assert_eq!(found, expected.map_err(String::from), "{bytes:02x?}");
        // Every cut of a good front asks for more; every cut of a whole frame is an error.
        if let Ok(Some((_, len))) = found {
            for cut in 0..len {
                assert_eq!(read_head(&bytes[..cut], false), Ok(None));
                assert!(read_head(&bytes[..cut], true).is_err());
            }
        }
    }

    #[test]
    fn heads() {
        let mut call = Vec::new();
        write_request(&mut call, 7, "call", 3, 6).unwrap();
        write::string(&mut call, "cpp");
        write::int(&mut call, 5);
        write::nil(&mut call);
        let expected = Head::ForeignCall {
            id: 7,
            target: Target::plain("cpp"),
            mid: 5,
            args: 1,
        };
        check(&call[4..], Ok(Some((expected, call.len() - 5))));
        let mut pinned = Vec::new();
        write_request(&mut pinned, 7, "command", 1, 9).unwrap();
        write::array(&mut pinned, 3);
        write::string(&mut pinned, "mean");
        write::nil(&mut pinned);
        write::unsigned(&mut pinned, 300);
        let target = Target {
            pid: Some(300),
            ..Target::plain("mean")
        };
        let expected = Head::Command {
            id: 7,
            target,
            args: 0,
        };
        check(&pinned[4..], Ok(Some((expected, pinned.len() - 4))));
        let mut crowded = vec![0x94, 0, 1, 0xa7];
        crowded.extend(b"command\x91\x94\x01\x02\x03\x04");
        let message =
            "the name of a command is an array of 4, expected a name, [name, parent] or [name, parent, pid]";
        check(&crowded, Err(message));
        let mut ping = Vec::new();
        write_request(&mut ping, 300, "ping", 0, 0).unwrap();
        check(
            &ping[4..],
            Ok(Some((
                Head::Request {
                    id: 300,
                    method: "ping",
                },
                ping.len() - 5,
            ))),
        );
        check(&[0x94, 1, 9, 0xc0, 0xc0], Ok(Some((Head::Response { id: 9 }, 3))));
        check(
            &[0x93, 2, 0xa1, b'x', 0x90],
            Ok(Some((Head::Notification { method: "x" }, 4))),
        );
    }

    #[test]
    fn errors_say_what_was_found() {
        let shapes = "expected [0, id, method, params], [1, id, error, result] or [2, method, params]";
        check(
            &[0x94, 3],
            Err(&format!(
                "message is an array of 4 that starts with kind 3, {shapes}"
            )),
        );
        check(
            &[0x93, 0, 0],
            Err(&format!(
                "message is an array of 3 that starts with kind 0, {shapes}"
            )),
        );
        check(&[0xc0], Err("a message is nil, expected an array"));
        check(
            &[0x94, 1, 0xff],
            Err("the id of a message is an integer, expected an unsigned integer"),
        );
        check(
            &[0x94, 0, 1, 2],
            Err("the method is an integer, expected a string"),
        );
        check(&[0xc1], Err("byte 0xc1 is not msgpack at byte 0"));
        check(
            &[0x94, 0, 1, 0xa4, b'c', b'a', b'l', b'l', 0x91, 0xa1, b'p'],
            Err("call names no function"),
        );
        let mut long = vec![0x93, 2, 0xda, 0xff, 0xff];
        long.resize(HEAD_BYTES_MAX, b'x');
        check(&long, Err("envelope of a message exceeds 1024 bytes"));
    }

    #[test]
    fn a_frame_holds_four_gigabytes_at_most() {
        let mut out = vec![1];
        let error = write_response(&mut out, 1, u32::MAX.into()).unwrap_err();
        assert_eq!(
            error,
            "message of 4294967298 bytes exceeds the 4294967295 that a frame can hold"
        );
        assert_eq!(out, [1]);
    }
}
