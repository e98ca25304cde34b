//! What pools and workers say: of themselves, of each other's death, and to people. Reads it from the params of their
//! notifications, and acts on none of it.

use super::hub::{Ended, Note};
use super::peer::LongNote;
use crate::codec::msgpack::{Reader, Token};

/// What a pool or worker says of itself first.
#[derive(Default)]
pub struct Hello {
    pub protocol: Option<u64>,
    pub pid: u32,
    pub workers: u32,
    pub is_reentrant: bool,
    pub is_concurrent: bool,
    pub can_retire: bool,
    pub can_signal: bool,
}

pub fn read_hello(payload: &[u8]) -> Hello {
    let mut hello = Hello {
        workers: 1,
        ..Hello::default()
    };
    // What can't be read stays absent, and an absent version is refused.
    let _ = each_member(payload, |key, mut value| {
        match (key, value.next().ok()?) {
            ("protocol", Token::Int(version)) => hello.protocol = u64::try_from(version).ok(),
            ("pid", Token::Int(pid)) => hello.pid = u32::try_from(pid).unwrap_or(0),
            ("workers", Token::Int(workers)) => hello.workers = u32::try_from(workers).unwrap_or(1),
            ("reentrant", Token::Bool(reentrant)) => hello.is_reentrant = reentrant,
            ("features", Token::Array(len)) => {
                for _ in 0..len {
                    match Reader::new(value.skip().ok()?).next().ok()? {
                        Token::Str("concurrent") => hello.is_concurrent = true,
                        Token::Str("retire") => hello.can_retire = true,
                        Token::Str("signal") => hello.can_signal = true,
                        _ => {}
                    }
                }
            }
            _ => {}
        }
        Some(())
    });
    hello
}

pub fn read_exit(payload: &[u8]) -> Option<(u32, Ended)> {
    let (mut found, mut ended) = (None, Ended::Unknown);
    each_member(payload, |key, mut value| {
        match (key, value.next().ok()?) {
            ("pid", Token::Int(pid)) => found = u32::try_from(pid).ok(),
            ("exit_code", Token::Int(code)) => ended = Ended::Code(code as i32),
            ("signal", Token::Int(signal)) => ended = Ended::Signal(signal as i32),
            _ => {}
        }
        Some(())
    })?;
    found.map(|pid| (pid, ended))
}

/// Walks the map that is the only param of a notification.
fn each_member<'a>(payload: &'a [u8], mut each: impl FnMut(&'a str, Reader<'a>) -> Option<()>) -> Option<()> {
    let mut reader = Reader::new(payload);
    let (Token::Array(1), Token::Map(len)) = (reader.next().ok()?, reader.next().ok()?) else {
        return None;
    };
    for _ in 0..len {
        let Token::Str(key) = reader.next().ok()? else {
            return None;
        };
        each(key, Reader::new(reader.skip().ok()?))?;
    }
    Some(())
}

/// Reads a log line of which the end may be cut off: it is the last of the two texts.
pub fn read_long_note(note: &LongNote) -> Option<Note> {
    let mut reader = Reader::new(&note.bytes);
    let (Token::Array(2), Token::Str(level)) = (reader.next().ok()?, reader.next().ok()?) else {
        return None;
    };
    // What is longer than one read has a length of four bytes, or of two.
    let rest = &note.bytes[reader.offset()..];
    let text = match rest.first()? {
        0xdb => rest.get(5..)?,
        0xda => rest.get(3..)?,
        _ => return None,
    };
    let mut text = String::from_utf8_lossy(text).into_owned();
    let left = note.len - note.bytes.len() as u64;
    if left > 0 {
        text.push_str(&format!("... ({left} more bytes)"));
    }
    Some(Note::Log {
        level: level.into(),
        text,
    })
}

pub fn read_note(method: &str, payload: &[u8]) -> Option<Note> {
    let mut reader = Reader::new(payload);
    let mut next = || reader.next().ok();
    match (method, next()?) {
        ("log", Token::Array(2)) => match (next()?, next()?) {
            (Token::Str(level), Token::Str(text)) => Some(Note::Log {
                level: level.into(),
                text: text.into(),
            }),
            _ => None,
        },
        ("progress", Token::Array(3)) => {
            let (done, total) = (number(next()?)?, number(next()?)?);
            let Token::Str(label) = next()? else { return None };
            Some(Note::Progress {
                done,
                total,
                label: label.into(),
            })
        }
        _ => None,
    }
}

fn number(token: Token<'_>) -> Option<f64> {
    match token {
        Token::Int(value) => Some(value as f64),
        Token::Unsigned(value) => Some(value as f64),
        Token::F4(value) => Some(value.into()),
        Token::F8(value) => Some(value),
        Token::Nil => Some(0.0),
        _ => None,
    }
}
