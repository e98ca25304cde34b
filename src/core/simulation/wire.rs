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

/// Takes the ids of all whole cancels off what has come whose calls have begun; everything else stays, in its order.
pub fn take_cancels(inbox: &mut Vec<u8>, has_begun: impl Fn(u64) -> bool) -> Vec<u64> {
    let (mut kept, mut cancelled) = (Vec::new(), Vec::new());
    while is_whole(inbox) {
        let before = inbox.clone();
        let Some(message) = take_message(inbox) else { break };
        match message {
            Message::Notification { method, params }
                if method == "cancel" && has_begun(read_cancel(&params)) =>
            {
                cancelled.push(read_cancel(&params));
            }
            _ => kept.extend_from_slice(&before[..before.len() - inbox.len()]),
        }
    }
    kept.append(inbox);
    *inbox = kept;
    cancelled
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

/// The process id and the number in a `signal`.
pub fn read_signal(params: &[u8]) -> (u32, i64) {
    let mut reader = Reader::new(params);
    match (
        reader.array_head(),
        reader.next(),
        reader.next(),
        reader.is_done(),
    ) {
        (Ok(Some(2)), Ok(Token::Int(pid)), Ok(Token::Int(number)), true) => (pid as u32, number),
        other => panic!("a signal names a process and a number: {other:?}"),
    }
}

/// The pool in nexus's own hello.
pub fn read_greeting(params: &[u8]) -> String {
    let mut reader = Reader::new(params);
    assert_eq!(reader.array_head(), Ok(Some(1)), "hello has one param");
    assert_eq!(reader.next(), Ok(Token::Map(2)));
    assert_eq!(reader.next(), Ok(Token::Str("protocol")));
    assert_eq!(reader.next(), Ok(Token::Int(1)));
    assert_eq!(reader.next(), Ok(Token::Str("pool")));
    match (reader.next(), reader.is_done()) {
        (Ok(Token::Str(pool)), true) => pool.into(),
        other => panic!("hello names the pool: {other:?}"),
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

/// What a pool or worker says of itself.
#[derive(Clone, Copy, Default)]
pub struct Hello {
    pub protocol: u64,
    pub pid: u32,
    pub workers: u64,
    pub is_reentrant: bool,
    pub is_concurrent: bool,
    pub can_retire: bool,
    pub can_signal: bool,
}

pub fn hello(out: &mut Vec<u8>, hello: Hello) {
    let mut payload = Vec::new();
    write::map(&mut payload, 6);
    for (key, number) in [
        ("protocol", hello.protocol),
        ("pid", hello.pid.into()),
        ("workers", hello.workers),
    ] {
        write::string(&mut payload, key);
        write::unsigned(&mut payload, number);
    }
    write::string(&mut payload, "lang");
    write::string(&mut payload, "fake");
    write::string(&mut payload, "reentrant");
    write::boolean(&mut payload, hello.is_reentrant);
    write::string(&mut payload, "features");
    let features = [
        (hello.is_concurrent, "concurrent"),
        // One that nexus does not know.
        (true, "levitation"),
        (hello.can_retire, "retire"),
        (hello.can_signal, "signal"),
    ];
    let features = features.iter().filter(|(has, _)| *has);
    write::array(&mut payload, features.clone().count() as u32);
    for (_, name) in features {
        write::string(&mut payload, name);
    }
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

pub fn progress(out: &mut Vec<u8>, done: f64, total: f64, label: &str) {
    let mut payload = Vec::new();
    write::f8(&mut payload, done);
    write::f8(&mut payload, total);
    write::string(&mut payload, label);
    notification(out, "progress", 3, &payload);
}

/// It has given away function values.
pub fn holds(out: &mut Vec<u8>) {
    let mut payload = Vec::new();
    write::unsigned(&mut payload, 1);
    notification(out, "holds", 1, &payload);
}

fn notification(out: &mut Vec<u8>, method: &str, values: u32, payload: &[u8]) {
    write_notification(out, method, values, payload.len() as u64).expect("it is small");
    out.extend_from_slice(payload);
}

/// Whom a foreign call is for.
#[derive(Clone, Debug, Default)]
pub struct Target {
    /// The pool; none: a command.
    pub pool: Option<String>,
    /// The call that makes it.
    pub parent: Option<u64>,
    /// The worker that has to run it.
    pub pid: Option<u32>,
}

impl Target {
    /// A pool, by its plain name.
    pub fn pool(name: &str) -> Target {
        Target {
            pool: Some(name.into()),
            ..Target::default()
        }
    }
}

/// A foreign call, of a pool's function or of a command.
pub fn call(out: &mut Vec<u8>, id: u64, target: &Target, mid: usize, argument: &[u8]) {
    let mut payload = Vec::with_capacity(argument.len() + 40);
    let command = command_name(mid);
    let name = target.pool.as_deref().unwrap_or(&command);
    let optional = |out: &mut Vec<u8>, number: Option<u64>| match number {
        Some(number) => write::unsigned(out, number),
        None => write::nil(out),
    };
    match (target.parent, target.pid) {
        (None, None) => write::string(&mut payload, name),
        (parent, pid) => {
            write::array(&mut payload, if pid.is_some() { 3 } else { 2 });
            write::string(&mut payload, name);
            optional(&mut payload, parent);
            if pid.is_some() {
                optional(&mut payload, pid.map(u64::from));
            }
        }
    }
    if target.pool.is_some() {
        write::unsigned(&mut payload, mid as u64);
    }
    write::bin(&mut payload, argument);
    let (method, values) = match target.pool {
        Some(_) => ("call", 3),
        None => ("command", 2),
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

/// A request with params that are msgpack already.
pub fn request(out: &mut Vec<u8>, id: u64, method: &str, values: u32, params: &[u8]) {
    write_request(out, id, method, values, params.len() as u64).expect("it is small");
    out.extend_from_slice(params);
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
