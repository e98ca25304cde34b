//! Errors as the bodies of answers, and why bytes are not a request. Chooses no status for errors of calls.

use super::response::Response;
use crate::codec::error_map::write_error_json;
use crate::codec::json_text::JsonText;
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

/// The one JSON form of an error in the body of an answer: `{"error":{"kind":..,"message":..}}` with all that is known of it.
pub fn error_body(error: &Error) -> Vec<u8> {
    let mut body = Vec::new();
    let mut text = JsonText::new(&mut body);
    write_error_json(text.begin(b'{').key("error"), error);
    text.end(b'}');
    body
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

    #[test]
    fn errors_have_one_form() {
        let error = Error::new(Kind::Terminated, "it \"died\"").pool("py");
        let expected = r#"{"error":{"kind":"terminated","message":"it \"died\"","pool":"py"}}"#;
        assert_eq!(String::from_utf8_lossy(&error_body(&error)), expected);
    }

    #[test]
    fn shown_bytes_are_printable() {
        assert_eq!(shown(b"a\0\xff'"), "a\\x00\\xff\\'");
        assert_eq!(shown(&[b'x'; 41]), format!("{}...", "x".repeat(40)));
    }
}
