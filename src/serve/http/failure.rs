//! Errors as the bodies of answers, and why bytes are not a request. Chooses no status for errors of calls.

use super::response::Response;
use crate::codec::json::write_string;
use crate::codec::number::{write_int, write_unsigned};
use crate::error::{Error, Kind};

/// Why a request is refused before anyone sees it.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) status: u16,
    pub(super) message: String,
}

impl Fault {
    pub(super) fn new(status: u16, message: impl Into<String>) -> Fault {
        Fault {
            status,
            message: message.into(),
        }
    }

    /// A request that breaks the rules of HTTP.
    pub(super) fn bad(message: impl Into<String>) -> Fault {
        Fault::new(400, message)
    }

    /// The answer that tells it.
    pub(super) fn response(self) -> Response {
        let kind = match self.status {
            408 => Kind::Timeout,
            413 => Kind::BadArgument,
            503 => Kind::Unavailable,
            _ => Kind::Protocol,
        };
        Response::error(self.status, &Error::new(kind, self.message))
    }
}

/// The one JSON form of an error in the body of an answer: `{"error":{"kind":..,"message":..}}` with all that is known of it,
/// under the names that it has on the wire.
pub fn error_body(error: &Error) -> Vec<u8> {
    let mut body = b"{\"error\":{\"kind\":".to_vec();
    write_string(error.kind.name(), &mut body);
    let texts = [
        ("message", Some(&error.message)),
        ("place", error.place.as_ref()),
        ("hint", error.hint.as_ref()),
        ("pool", error.pool.as_ref()),
        ("command", error.command.as_ref()),
        ("function", error.function.as_ref()),
    ];
    for (key, text) in texts {
        if let Some(text) = text {
            push_key(key, &mut body);
            write_string(text, &mut body);
        }
    }
    let numbers = [
        ("pid", error.pid.map(i64::from)),
        ("exit_code", error.exit_code.map(i64::from)),
        ("signal", error.signal.map(i64::from)),
    ];
    for (key, number) in numbers {
        if let Some(number) = number {
            push_key(key, &mut body);
            write_int(number, &mut body);
        }
    }
    if !error.stderr_tail.is_empty() {
        push_key("stderr_tail", &mut body);
        for (position, line) in error.stderr_tail.iter().enumerate() {
            body.push(if position == 0 { b'[' } else { b',' });
            write_string(line, &mut body);
        }
        body.push(b']');
    }
    if !error.trace.is_empty() {
        push_key("trace", &mut body);
        for (position, entry) in error.trace.iter().enumerate() {
            body.extend_from_slice(if position == 0 {
                b"[{\"lang\":"
            } else {
                b",{\"lang\":"
            });
            write_string(&entry.lang, &mut body);
            for (key, text) in [("function", &entry.function), ("file", &entry.file)] {
                push_key(key, &mut body);
                write_string(text, &mut body);
            }
            push_key("line", &mut body);
            write_unsigned(entry.line, &mut body);
            body.push(b'}');
        }
        body.push(b']');
    }
    body.extend_from_slice(b"}}");
    body
}

/// A key of an object, behind another.
fn push_key(key: &str, body: &mut Vec<u8>) {
    body.push(b',');
    write_string(key, body);
    body.push(b':');
}

/// What an error shows of bytes that a peer sent: printable, and not too long.
pub(super) fn shown(bytes: &[u8]) -> String {
    const SHOWN_BYTES: usize = 40;
    let mut text = String::new();
    for byte in bytes.iter().take(SHOWN_BYTES) {
        text.extend(byte.escape_ascii().map(char::from));
    }
    if bytes.len() > SHOWN_BYTES {
        text.push_str("...");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::document::Document;
    use crate::error::TraceEntry;

    #[test]
    fn errors_have_one_form() {
        let check = |error: &Error, expected: &str| {
            let body = error_body(error);
            Document::parse(&body).expect("the body is JSON");
            assert_eq!(String::from_utf8_lossy(&body), expected);
        };
        let mut error = Error::new(Kind::Terminated, "it \"died\"\n");
        check(
            &error,
            r#"{"error":{"kind":"terminated","message":"it \"died\"\n"}}"#,
        );
        error = error.at("xs[3]").hint("try again").pool("py");
        error.command = Some("mean".into());
        error.function = Some("avg".into());
        (error.pid, error.exit_code, error.signal) = (Some(42), Some(-1), Some(11));
        error.stderr_tail = vec!["a".into(), "b".into()];
        let entry = |line: u64| TraceEntry {
            lang: "py".into(),
            function: "f".into(),
            file: "f.py".into(),
            line,
        };
        error.trace = vec![entry(3), entry(0)];
        check(
            &error,
            "{\"error\":{\"kind\":\"terminated\",\"message\":\"it \\\"died\\\"\\n\",\"place\":\"xs[3]\",\
             \"hint\":\"try again\",\"pool\":\"py\",\"command\":\"mean\",\"function\":\"avg\",\"pid\":42,\
             \"exit_code\":-1,\"signal\":11,\"stderr_tail\":[\"a\",\"b\"],\
             \"trace\":[{\"lang\":\"py\",\"function\":\"f\",\"file\":\"f.py\",\"line\":3},\
             {\"lang\":\"py\",\"function\":\"f\",\"file\":\"f.py\",\"line\":0}]}}",
        );
    }

    #[test]
    fn shown_bytes_are_printable() {
        assert_eq!(shown(b"a\0\xff'"), "a\\x00\\xff\\'");
        assert_eq!(shown(&[b'x'; 41]), format!("{}...", "x".repeat(40)));
    }
}
