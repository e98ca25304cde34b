//! Messages of JSON-RPC 2.0 as this protocol uses it: what came is a request, a notification or neither; what goes is
//! written around results that are JSON already. Knows no method.

use crate::codec::json::{JsonError, Reader, Shape, write_string};
use crate::limits::MCP_ID_BYTES_MAX;
use std::borrow::Cow;

/// A dated version of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs)]
pub enum Revision {
    V2024_11_05,
    V2025_03_26,
    V2025_06_18,
    V2025_11_25,
}

impl Revision {
    const ALL: [(Revision, &'static str); 4] = [
        (Revision::V2024_11_05, "2024-11-05"),
        (Revision::V2025_03_26, "2025-03-26"),
        (Revision::V2025_06_18, "2025-06-18"),
        (Revision::V2025_11_25, "2025-11-25"),
    ];

    /// What is offered to whoever asks for a revision that isn't known.
    pub const LATEST: Revision = Revision::V2025_11_25;

    /// Its date, as messages write it.
    pub fn name(self) -> &'static str {
        Revision::ALL[self as usize].1
    }

    /// The revision of that date, if it is known.
    pub fn of(name: &str) -> Option<Revision> {
        Revision::ALL.iter().find(|row| row.1 == name).map(|row| row.0)
    }
}

/// JSON-RPC's numbers for errors of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// The text isn't JSON.
    Parse = -32700,
    /// It is JSON, but no message that can be answered now.
    InvalidRequest = -32600,
    /// There is no such method.
    MethodNotFound = -32601,
    /// The method exists, but not for these parameters.
    InvalidParams = -32602,
    /// Too much is under way already; the first of the numbers that a server may choose.
    Overloaded = -32000,
}

/// The id of a request: a string or a number, its text as it came.
#[derive(Clone, Debug)]
pub struct Id(Box<[u8]>);

impl Id {
    /// The id that a JSON text is, if it is one.
    pub fn read(text: &[u8]) -> Option<Id> {
        let is_id = matches!(Reader::new(text).peek(), Ok(Shape::Str | Shape::Number));
        (is_id && text.len() <= MCP_ID_BYTES_MAX).then(|| Id(text.into()))
    }

    /// Its JSON text.
    pub fn text(&self) -> &[u8] {
        &self.0
    }

    /// Whether both are the same string, however it was written, or the same text of a number.
    pub fn is_same(&self, other: &Id) -> bool {
        let string = |id: &Id| match Reader::new(&id.0).string() {
            Ok(text) => Some(text.into_owned()),
            Err(_) => None,
        };
        self.0 == other.0 || self.0[0] == b'"' && string(self).is_some_and(|text| Some(text) == string(other))
    }
}

/// A message that came.
pub enum Message<'a> {
    /// It wants an answer.
    Request {
        /// What the answer has to carry.
        id: Id,
        /// What is asked for.
        method: Cow<'a, str>,
        /// The parameters' text, if there are any.
        params: Option<&'a [u8]>,
    },
    /// It wants none.
    Notification {
        /// What happened.
        method: Cow<'a, str>,
        /// The parameters' text, if there are any.
        params: Option<&'a [u8]>,
    },
    /// An answer to something that was never asked.
    Response,
    /// Not a message.
    Invalid {
        /// The id that it carries, if it does.
        id: Option<Id>,
        /// What is wrong with it.
        message: String,
    },
}

impl<'a> Message<'a> {
    /// What a JSON text, checked already, is as a message.
    pub fn of(text: &'a [u8]) -> Message<'a> {
        let mut found = [None; 6];
        let keys = ["jsonrpc", "id", "method", "params", "result", "error"];
        let read = member_texts(text, &keys, &mut found);
        let [version, id_text, method_text, params, result, error] = found;
        let id = id_text.and_then(Id::read);
        let invalid = |message: &str| Message::Invalid {
            id: id.clone(),
            message: message.into(),
        };
        if let Err(error) = read {
            return invalid(&error.message);
        }
        if version.and_then(string).as_deref() != Some("2.0") {
            return invalid("the message has no \"jsonrpc\": \"2.0\"");
        }
        if method_text.is_none() && (result.is_some() || error.is_some()) {
            return Message::Response;
        }
        let Some(method) = method_text.and_then(string) else {
            return invalid("the message has no method, expected a string");
        };
        match (id_text, id.clone()) {
            (None, _) => Message::Notification { method, params },
            (Some(_), Some(id)) => Message::Request { id, method, params },
            (Some(_), None) => invalid("the id is neither a string nor a number, or too long"),
        }
    }
}

/// The string that a JSON text is, if it is one.
pub fn string(text: &[u8]) -> Option<Cow<'_, str>> {
    Reader::new(text).string().ok()
}

/// Puts the texts of those members of an object in `found`, in the order of `keys`; others are passed over.
///
/// # Errors
/// A text that isn't an object; one of the keys twice.
pub fn member_texts<'a>(
    text: &'a [u8],
    keys: &[&str],
    found: &mut [Option<&'a [u8]>],
) -> Result<(), JsonError> {
    let mut reader = Reader::new(text);
    if reader.peek()? != Shape::Object {
        let message = format!("found {}, expected an object", reader.peek()?.name());
        let offset = reader.offset();
        return Err(JsonError { offset, message });
    }
    reader.begin_object()?;
    while let Some(key) = reader.next_key()? {
        let value = reader.skip()?;
        let position = keys.iter().position(|wanted| *wanted == key);
        let Some(slot) = position.and_then(|position| found.get_mut(position)) else {
            continue;
        };
        if slot.replace(value).is_some() {
            let message = format!("key \"{key}\" stands twice in one object");
            let offset = reader.key_offset();
            return Err(JsonError { offset, message });
        }
    }
    Ok(())
}

/// The answer of a request that succeeded: `result` is JSON.
pub fn answer(id: &Id, result: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(result.len() + id.0.len() + 40);
    out.extend_from_slice(b"{\"jsonrpc\":\"2.0\",\"id\":");
    out.extend_from_slice(&id.0);
    out.extend_from_slice(b",\"result\":");
    out.extend_from_slice(result);
    out.push(b'}');
    out
}

/// The answer of a request that the protocol refuses, or of what can't be told to be one.
pub fn refusal(id: Option<&Id>, code: Code, message: &str) -> Vec<u8> {
    let mut out = Vec::new();
    out.extend_from_slice(b"{\"jsonrpc\":\"2.0\",\"id\":");
    out.extend_from_slice(id.map_or(b"null", |id| id.text()));
    out.extend_from_slice(format!(",\"error\":{{\"code\":{},\"message\":", code as i32).as_bytes());
    write_string(message, &mut out);
    out.extend_from_slice(b"}}");
    out
}

/// Whether an answer is one to what could not be told to be a request.
pub fn has_no_id(answer: &[u8]) -> bool {
    answer.starts_with(b"{\"jsonrpc\":\"2.0\",\"id\":null,")
}

/// A notification: `params` is JSON.
pub fn notification(method: &str, params: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(params.len() + 64);
    out.extend_from_slice(b"{\"jsonrpc\":\"2.0\",\"method\":\"");
    out.extend_from_slice(method.as_bytes());
    out.extend_from_slice(b"\",\"params\":");
    out.extend_from_slice(params);
    out.push(b'}');
    out
}
