//! The protocol as pools and workers speak it: the other side of `core::receive`, written from the reference alone.

use super::plan::Question;
use crate::codec::error_map::{read_error, write_error};
use crate::codec::message::{write_notification, write_request, write_response};
use crate::codec::msgpack::{Reader, Token, write};
use crate::core::hub::Ended;
use crate::error::Error;

/// What nexus sent.
#[derive(Debug)]
pub enum Message {
    Request {
        id: u64,
        method: String,
        params: Vec<u8>,
    },
    Response {
        id: u64,
        answer: Answer,
    },
    Notification {
        method: String,
        params: Vec<u8>,
    },
}

/// What came of a request.
#[derive(Debug)]
pub enum Answer {
    /// A result, as msgpack.
    Value(Vec<u8>),
    Error(Box<Error>),
}

/// Takes the first message off what has come, if it is whole.
pub fn take_message(inbox: &mut Vec<u8>) -> Option<Message> {
    let length = inbox.first_chunk().map(|length| u32::from_be_bytes(*length))? as usize;
    let frame = inbox.get(4..4 + length)?;
    let message = read_message(frame);
    let message =
        message.unwrap_or_else(|| panic!("nexus sent a frame that is no message: {:02x?}", &frame[..40]));
    inbox.drain(..4 + length);
    Some(message)
}

pub fn is_whole(inbox: &[u8]) -> bool {
    let length = inbox.first_chunk().map(|length| u32::from_be_bytes(*length));
    length.is_some_and(|length| inbox.len() >= 4 + length as usize)
}

fn read_message(frame: &[u8]) -> Option<Message> {
    let mut reader = Reader::new(frame);
    let len = reader.array_head().ok()??;
    let id = |token| match token {
        Token::Int(id) => u64::try_from(id).ok(),
        _ => None,
    };
    let text = |token| match token {
        Token::Str(text) => Some(String::from(text)),
        _ => None,
    };
    Some(match (reader.next().ok()?, len) {
        (Token::Int(0), 4) => Message::Request {
            id: id(reader.next().ok()?)?,
            method: text(reader.next().ok()?)?,
            params: reader.rest().into(),
        },
        (Token::Int(1), 4) => Message::Response {
            id: id(reader.next().ok()?)?,
            answer: read_answer(reader.rest()),
        },
        (Token::Int(2), 3) => Message::Notification {
            method: text(reader.next().ok()?)?,
            params: reader.rest().into(),
        },
        _ => return None,
    })
}

fn read_answer(payload: &[u8]) -> Answer {
    let mut reader = Reader::new(payload);
    let mut value = || reader.skip().ok();
    match (value(), value(), reader.is_done()) {
        (Some([0xc0]), Some(result), true) => Answer::Value(result.into()),
        (Some(error), Some([0xc0]), true) => Answer::Error(read_error(error).expect("it is msgpack")),
        _ => panic!("an answer has an error and a result"),
    }
}

/// The number and the argument of a call.
pub fn read_call(params: &[u8]) -> (usize, &[u8]) {
    let mut reader = Reader::new(params);
    assert_eq!(
        reader.array_head(),
        Ok(Some(2)),
        "a call has its function and one argument"
    );
    let Ok(Token::Int(mid)) = reader.next() else {
        panic!("a call names its function");
    };
    match (reader.next(), reader.is_done()) {
        (Ok(Token::Bin(argument)), true) => (mid as usize, argument),
        _ => panic!("an argument is msgpack"),
    }
}

/// The id in a `cancel`.
pub fn read_cancel(params: &[u8]) -> u64 {
    let mut reader = Reader::new(params);
    match (reader.array_head(), reader.next()) {
        (Ok(Some(1)), Ok(Token::Int(id))) => id as u64,
        other => panic!("cancel names one call: {other:?}"),
    }
}

pub fn blob(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len() + 5);
    write::bin(&mut out, bytes);
    out
}

pub fn hello(out: &mut Vec<u8>, protocol: u64, pid: u32, workers: u64, reentrant: bool) {
    let mut payload = Vec::new();
    write::map(&mut payload, 5);
    for (key, number) in [("protocol", protocol), ("pid", pid.into()), ("workers", workers)] {
        write::string(&mut payload, key);
        write::unsigned(&mut payload, number);
    }
    write::string(&mut payload, "lang");
    write::string(&mut payload, "fake");
    write::string(&mut payload, "reentrant");
    write::boolean(&mut payload, reentrant);
    notification(out, "hello", 1, &payload);
}

pub fn worker_exit(out: &mut Vec<u8>, pid: u32, ended: Ended) {
    let mut payload = Vec::new();
    let (key, value) = match ended {
        Ended::Code(code) => ("exit_code", code),
        Ended::Signal(signal) => ("signal", signal),
        Ended::Unknown => ("unknown", 0),
    };
    write::map(&mut payload, 2);
    write::string(&mut payload, "pid");
    write::unsigned(&mut payload, pid.into());
    write::string(&mut payload, key);
    write::int(&mut payload, value.into());
    notification(out, "worker_exit", 1, &payload);
}

pub fn log(out: &mut Vec<u8>, text: &str) {
    let mut payload = Vec::new();
    write::string(&mut payload, "info");
    write::string(&mut payload, text);
    notification(out, "log", 2, &payload);
}

fn notification(out: &mut Vec<u8>, method: &str, values: u32, payload: &[u8]) {
    write_notification(out, method, values, payload.len() as u64).expect("it is small");
    out.extend_from_slice(payload);
}

/// A foreign call, of a pool's function or of a command.
pub fn call(out: &mut Vec<u8>, id: u64, pool: Option<&str>, mid: usize, argument: &[u8]) {
    let mut payload = Vec::with_capacity(argument.len() + 40);
    match pool {
        Some(pool) => {
            write::string(&mut payload, pool);
            write::unsigned(&mut payload, mid as u64);
        }
        None => write::string(&mut payload, &command_name(mid)),
    }
    write::bin(&mut payload, argument);
    let (method, values) = if pool.is_some() {
        ("call", 3)
    } else {
        ("command", 2)
    };
    write_request(out, id, method, values, payload.len() as u64).expect("it is small");
    out.extend_from_slice(&payload);
}

pub fn command_name(plan: usize) -> String {
    format!("plan-{plan}")
}

pub fn ask(out: &mut Vec<u8>, id: u64, question: Question) {
    let mut payload = Vec::new();
    let (method, values) = match question {
        Question::Ping => ("ping", 0),
        Question::UnknownMethod => ("divine", 0),
        Question::UnknownPool => {
            write::string(&mut payload, "nowhere");
            write::int(&mut payload, 1);
            ("call", 2)
        }
        Question::UnknownCommand => {
            write::string(&mut payload, "nothing");
            ("command", 1)
        }
    };
    write_request(out, id, method, values, payload.len() as u64).expect("it is small");
    out.extend_from_slice(&payload);
}

pub fn answer(out: &mut Vec<u8>, id: u64, result: Result<&[u8], &Error>) {
    let mut payload = Vec::new();
    match result {
        Ok(bytes) => {
            write::nil(&mut payload);
            write::bin(&mut payload, bytes);
        }
        Err(error) => {
            write_error(&mut payload, error);
            write::nil(&mut payload);
        }
    }
    write_response(out, id, payload.len() as u64).expect("it is small");
    out.extend_from_slice(&payload);
}

/// The answer to `grow`: how many workers there are, or that there will be no more.
pub fn grown(out: &mut Vec<u8>, id: u64, workers: Option<usize>) {
    let mut payload = Vec::new();
    match workers {
        Some(workers) => {
            write::nil(&mut payload);
            write::unsigned(&mut payload, workers as u64);
        }
        None => {
            write::string(&mut payload, "no more processes");
            write::nil(&mut payload);
        }
    }
    write_response(out, id, payload.len() as u64).expect("it is small");
    out.extend_from_slice(&payload);
}
