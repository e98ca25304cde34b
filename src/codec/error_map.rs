//! Errors as msgpack maps, as they cross the wire, and as JSON objects of the same shape. Lenient when reading: an error about an error helps nobody.

use crate::codec::json_text::JsonText;
use crate::codec::msgpack::{MsgpackError, Reader, Token, write};
use crate::error::{Error, Kind, TraceEntry};

/// Writes an error as a map without its absent parts.
pub fn write_error(out: &mut Vec<u8>, error: &Error) {
    write(&mut Form::Msgpack(out), error);
}

/// Writes an error as a JSON object of the same shape.
pub fn write_error_json(text: &mut JsonText, error: &Error) {
    write(&mut Form::Json(text), error);
}

/// What an error is written as.
enum Form<'f, 'o> {
    Msgpack(&'f mut Vec<u8>),
    Json(&'f mut JsonText<'o>),
}

impl Form<'_, '_> {
    fn begin(&mut self, bracket: u8, len: usize) {
        match self {
            Form::Msgpack(out) if bracket == b'{' => write::map(out, len as u32),
            Form::Msgpack(out) => write::array(out, len as u32),
            Form::Json(text) => drop(text.begin(bracket)),
        }
    }

    fn end(&mut self, bracket: u8) {
        if let Form::Json(text) = self {
            text.end(bracket);
        }
    }

    fn string(&mut self, value: &str) {
        match self {
            Form::Msgpack(out) => write::string(out, value),
            Form::Json(text) => drop(text.string(value)),
        }
    }

    fn int(&mut self, value: i64) {
        match self {
            Form::Msgpack(out) => write::int(out, value),
            Form::Json(text) => drop(text.number(value)),
        }
    }

    fn key(&mut self, key: &str) {
        match self {
            Form::Msgpack(out) => write::string(out, key),
            Form::Json(text) => drop(text.key(key)),
        }
    }
}

fn write(out: &mut Form, error: &Error) {
    let texts = [
        ("place", &error.place),
        ("hint", &error.hint),
        ("pool", &error.pool),
        ("command", &error.command),
        ("function", &error.function),
    ];
    let numbers = [
        ("pid", error.pid.map(i64::from)),
        ("exit_code", error.exit_code.map(i64::from)),
        ("signal", error.signal.map(i64::from)),
    ];
    let present = 2
        + texts.iter().filter(|(_, text)| text.is_some()).count()
        + numbers.iter().filter(|(_, number)| number.is_some()).count()
        + usize::from(!error.stderr_tail.is_empty())
        + usize::from(!error.trace.is_empty());
    out.begin(b'{', present);
    out.key("kind");
    out.string(error.kind.name());
    out.key("message");
    out.string(&error.message);
    for (key, text) in texts {
        if let Some(text) = text {
            out.key(key);
            out.string(text);
        }
    }
    for (key, number) in numbers {
        if let Some(number) = number {
            out.key(key);
            out.int(number);
        }
    }
    if !error.stderr_tail.is_empty() {
        out.key("stderr_tail");
        out.begin(b'[', error.stderr_tail.len());
        for line in &error.stderr_tail {
            out.string(line);
        }
        out.end(b']');
    }
    if !error.trace.is_empty() {
        out.key("trace");
        out.begin(b'[', error.trace.len());
        for entry in &error.trace {
            out.begin(b'{', 4);
            for (key, text) in [
                ("lang", &entry.lang),
                ("function", &entry.function),
                ("file", &entry.file),
            ] {
                out.key(key);
                out.string(text);
            }
            out.key("line");
            out.int(i64::try_from(entry.line).unwrap_or(i64::MAX));
            out.end(b'}');
        }
        out.end(b']');
    }
    out.end(b'}');
}

/// Reads an error. What is missing or has another type is left out; an unknown kind counts as raised.
///
/// # Errors
/// Bytes that are not one msgpack value.
pub fn read_error(bytes: &[u8]) -> Result<Box<Error>, MsgpackError> {
    let mut reader = Reader::new(bytes);
    let mut error = Error::new(Kind::Raised, "");
    match reader.next()? {
        Token::Map(len) => {
            for _ in 0..len {
                let key = reader.next()?;
                let value = Reader::new(reader.skip()?);
                if let Token::Str(key) = key {
                    read_part(&mut error, key, value)?;
                }
            }
        }
        // Simple peers answer with a sentence.
        Token::Str(message) => error.message = message.into(),
        _ => {}
    }
    if error.message.is_empty() {
        error.message = "the function failed and gave no message".into();
    }
    Ok(error)
}

fn read_part(error: &mut Error, key: &str, mut value: Reader<'_>) -> Result<(), MsgpackError> {
    let token = value.next()?;
    match (key, token) {
        ("kind", Token::Str(kind)) => error.kind = Kind::from_name(kind).unwrap_or(Kind::Raised),
        ("message", Token::Str(message)) => error.message = message.into(),
        ("place", Token::Str(text)) => error.place = Some(text.into()),
        ("hint", Token::Str(text)) => error.hint = Some(text.into()),
        ("pool", Token::Str(text)) => error.pool = Some(text.into()),
        ("command", Token::Str(text)) => error.command = Some(text.into()),
        ("function", Token::Str(text)) => error.function = Some(text.into()),
        ("pid", Token::Int(number)) => error.pid = u32::try_from(number).ok(),
        ("exit_code", Token::Int(number)) => error.exit_code = i32::try_from(number).ok(),
        ("signal", Token::Int(number)) => error.signal = i32::try_from(number).ok(),
        ("stderr_tail", Token::Array(len)) => {
            for _ in 0..len {
                if let Token::Str(line) = Reader::new(value.skip()?).next()? {
                    error.stderr_tail.push(line.into());
                }
            }
        }
        ("trace", Token::Array(len)) => {
            for _ in 0..len {
                error.trace.push(read_entry(Reader::new(value.skip()?))?);
            }
        }
        _ => {}
    }
    Ok(())
}

fn read_entry(mut reader: Reader<'_>) -> Result<TraceEntry, MsgpackError> {
    let mut entry = TraceEntry::default();
    if let Token::Map(len) = reader.next()? {
        for _ in 0..len {
            let key = reader.next()?;
            let value = Reader::new(reader.skip()?).next()?;
            match (key, value) {
                (Token::Str("lang"), Token::Str(text)) => entry.lang = text.into(),
                (Token::Str("function"), Token::Str(text)) => entry.function = text.into(),
                (Token::Str("file"), Token::Str(text)) => entry.file = text.into(),
                (Token::Str("line"), Token::Int(line)) => entry.line = u64::try_from(line).unwrap_or(0),
                _ => {}
            }
        }
    }
    Ok(entry)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_round_trip() {
        let mut error = Error::new(Kind::Terminated, "worker died")
            .at("xs[3]")
            .hint("try again")
            .pool("py");
        error.command = Some("mean".into());
        error.function = Some("mean".into());
        error.pid = Some(42);
        error.exit_code = Some(-1);
        error.signal = Some(11);
        error.stderr_tail = vec!["a".into(), "b".into()];
        error.trace = vec![TraceEntry {
            lang: "py".into(),
            function: "f".into(),
            file: "f.py".into(),
            line: 3,
        }];
        for error in [error, Error::new(Kind::Raised, "no")] {
            let mut bytes = Vec::new();
            write_error(&mut bytes, &error);
            assert_eq!(read_error(&bytes), Ok(error));
            for cut in 0..bytes.len() {
                assert!(read_error(&bytes[..cut]).is_err());
            }
        }
    }

    #[test]
    fn json_has_the_same_shape() {
        let mut error = Error::new(Kind::Raised, "no \"x\"").at("xs[3]").pool("py");
        error.signal = Some(11);
        error.stderr_tail = vec!["a".into(), "b".into()];
        error.trace = vec![TraceEntry {
            lang: "py".into(),
            function: "f".into(),
            file: "f.py".into(),
            line: 3,
        }];
        let mut out = Vec::new();
        write_error_json(&mut JsonText::new(&mut out), &error);
        let expected = concat!(
            r#"{"kind":"raised","message":"no \"x\"","place":"xs[3]","pool":"py","signal":11,"#,
            r#""stderr_tail":["a","b"],"trace":[{"lang":"py","function":"f","file":"f.py","line":3}]}"#
        );
        assert_eq!(String::from_utf8_lossy(&out), expected);
    }

    #[test]
    fn strange_errors_are_read_as_far_as_possible() {
        let check = |bytes: &[u8], kind: Kind, message: &str| {
            let error = read_error(bytes).unwrap();
            assert_eq!((error.kind, error.message.as_str()), (kind, message));
        };
        check(b"\xa3bad", Kind::Raised, "bad");
        check(&[0xc3], Kind::Raised, "the function failed and gave no message");
        check(b"\x82\xa4kind\xa5never\xa7message\xa1m", Kind::Raised, "m");
        check(
            b"\x82\xa4kind\xa7timeout\x07\xa1m",
            Kind::Timeout,
            "the function failed and gave no message",
        );
    }
}
