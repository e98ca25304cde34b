//! An answer and how its head is written: nothing that a caller puts into it can change the framing. Sends nothing.

use super::failure::error_body;
use crate::codec::letters::{PLAIN, TOKEN, are_all, is_named};
use crate::codec::number::push_number;
use crate::error::{Error, Kind};
use std::borrow::Cow;

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// Status, 200 to 599.
    pub status: u16,
    /// Headers but for those that frame: `content-length`, `transfer-encoding` and `connection` are left out, for the
    /// connection writes its own. A name that is no token, or a value with a control byte, makes the answer a 500.
    pub headers: Vec<(&'static str, Cow<'static, str>)>,
    /// Further ones, whose names come from elsewhere; the same holds for them.
    pub others: Vec<(String, String)>,
    /// Body; not sent to HEAD and with a status that has none.
    pub body: Vec<u8>,
}

impl Response {
    /// An answer with a body of that media type.
    pub fn new(status: u16, media_type: impl Into<Cow<'static, str>>, body: Vec<u8>) -> Response {
        // Most answers have no more.
        let mut headers = Vec::with_capacity(8);
        headers.push(("content-type", media_type.into()));
        Response {
            status,
            headers,
            others: Vec::new(),
            body,
        }
    }

    /// An error as an answer.
    pub fn error(status: u16, error: &Error) -> Response {
        Response::new(status, "application/json", error_body(error))
    }

    /// The answer itself, or one that says why it can't be sent.
    pub(super) fn checked(self) -> Response {
        let is_sound = |(name, value): &(&str, &str)| {
            !name.is_empty() && are_all(name.as_bytes(), TOKEN) && are_all(value.as_bytes(), PLAIN)
        };
        let unsound = match self.status {
            200..=599 => {
                let unsound = self.all_headers().find(|header| !is_sound(header));
                unsound.map(|(name, _)| {
                    format!("header '{}' of the answer has control bytes", name.escape_debug())
                })
            }
            status => Some(format!("status {status} of the answer, expected 200 to 599")),
        };
        let Some(unsound) = unsound else { return self };
        Response::error(500, &Error::new(Kind::Protocol, unsound))
    }

    fn all_headers(&self) -> impl Iterator<Item = (&str, &str)> {
        let own = self.headers.iter().map(|(name, value)| (*name, &**value));
        let others = self.others.iter();
        own.chain(others.map(|(name, value)| (name.as_str(), value.as_str())))
    }

    /// Whether the status goes with a body.
    pub(super) fn has_body(&self) -> bool {
        !matches!(self.status, 204 | 205 | 304)
    }

    /// Appends the head.
    pub(super) fn write_head(&self, extent: Extent, connection: Option<&str>, out: &mut Vec<u8>) {
        out.extend_from_slice(b"HTTP/1.1 ");
        push_number(u64::from(self.status), 10, out);
        out.push(b' ');
        out.extend_from_slice(reason(self.status).as_bytes());
        for (name, value) in self.all_headers() {
            if !is_framing(name) {
                push_header(name, value.as_bytes(), out);
            }
        }
        match (self.status, extent) {
            (204 | 304, _) | (_, Extent::UntilClose) => {}
            (205, _) => push_header("content-length", b"0", out),
            (_, Extent::Bytes(bytes)) => {
                push_header("content-length", b"", out);
                push_number(bytes as u64, 10, out);
            }
            (_, Extent::Chunks) => push_header("transfer-encoding", b"chunked", out),
        }
        if let Some(option) = connection {
            push_header("connection", option.as_bytes(), out);
        }
        out.extend_from_slice(b"\r\n\r\n");
    }
}

/// Whether it is a header that only the connection writes.
fn is_framing(name: &str) -> bool {
    const FRAMING: [&str; 3] = ["content-length", "transfer-encoding", "connection"];
    FRAMING.iter().any(|framing| is_named(name.as_bytes(), framing))
}

/// How the end of a body is known.
#[derive(Clone, Copy)]
pub(super) enum Extent {
    Bytes(usize),
    Chunks,
    UntilClose,
}

/// A header behind the line before it, which it ends.
fn push_header(name: &str, value: &[u8], out: &mut Vec<u8>) {
    for part in [b"\r\n", name.as_bytes(), b": ", value] {
        out.extend_from_slice(part);
    }
}

fn reason(status: u16) -> &'static str {
    const REASONS: [(u16, &str); 34] = [
        (200, "OK"),
        (201, "Created"),
        (202, "Accepted"),
        (204, "No Content"),
        (205, "Reset Content"),
        (206, "Partial Content"),
        (301, "Moved Permanently"),
        (302, "Found"),
        (303, "See Other"),
        (304, "Not Modified"),
        (307, "Temporary Redirect"),
        (308, "Permanent Redirect"),
        (400, "Bad Request"),
        (401, "Unauthorized"),
        (403, "Forbidden"),
        (404, "Not Found"),
        (405, "Method Not Allowed"),
        (406, "Not Acceptable"),
        (408, "Request Timeout"),
        (409, "Conflict"),
        (413, "Content Too Large"),
        (414, "URI Too Long"),
        (415, "Unsupported Media Type"),
        (417, "Expectation Failed"),
        (422, "Unprocessable Content"),
        (429, "Too Many Requests"),
        (431, "Request Header Fields Too Large"),
        (499, "Client Closed Request"),
        (500, "Internal Server Error"),
        (501, "Not Implemented"),
        (502, "Bad Gateway"),
        (503, "Service Unavailable"),
        (504, "Gateway Timeout"),
        (505, "HTTP Version Not Supported"),
    ];
    // A reason may be empty.
    let row = REASONS.iter().find(|row| row.0 == status);
    row.map_or("", |row| row.1)
}
