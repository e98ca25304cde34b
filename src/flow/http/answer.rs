//! The value that a flow ends with as the answer to a request: status, headers and a body by its media type. Frames nothing.

use super::body::{canonical, is_json};
use super::packet::KEYS;
use crate::error::{Error, Kind, Result};
use crate::flow::value::{Value, json};

/// What answers a request.
#[derive(Debug, PartialEq)]
pub struct Answer {
    /// Its status, 200 to 599.
    pub status: u16,
    /// The media type of its body, if it has one and `headers` doesn't say which.
    pub media_type: Option<&'static str>,
    /// Names and values of its headers.
    pub headers: Vec<(String, String)>,
    /// Its body.
    pub body: Vec<u8>,
}

impl Answer {
    /// The answer that a value is. A map with a `status`, `header` or `body`, and with no key that a packet doesn't have, says
    /// each; any other value is the body itself. `accept` is what the client takes, if it says so.
    ///
    /// Bytes and strings go as they are, but a string becomes JSON under a `Content-Type` of JSON, or if the client takes nothing
    /// else. All else is JSON; null is no body.
    ///
    /// # Errors
    /// Kind `bad_argument`: a status or header that can't be sent, with its name.
    pub fn of(value: &Value, accept: &str) -> Result<Answer> {
        let mut answer = Answer {
            status: 200,
            media_type: None,
            headers: Vec::new(),
            body: Vec::new(),
        };
        let body = match is_whole(value) {
            true => {
                answer.set_status(value.get("status"))?;
                answer.headers = header_lines("an answer", value.get("header"))?;
                value.get("body").unwrap_or(&Value::Null)
            }
            false => value,
        };
        let mut given = answer.headers.iter();
        let given = given
            .rfind(|(name, _)| name == CONTENT_TYPE)
            .map(|(_, value)| value.as_str());
        let is_raw = match given {
            Some(media_type) => !is_json(media_type),
            None => !wants_json(accept),
        };
        let media_type = match body {
            Value::Null => None,
            Value::Bytes(bytes) => {
                answer.body = bytes.to_vec();
                Some("application/octet-stream")
            }
            Value::Str(text) if is_raw => {
                answer.body = text.as_bytes().to_vec();
                Some("text/plain; charset=utf-8")
            }
            body => {
                answer.body.reserve(BODY_BYTES);
                json::write(body, &mut answer.body)?;
                Some("application/json")
            }
        };
        answer.media_type = media_type.filter(|_| given.is_none());
        Ok(answer)
    }

    fn set_status(&mut self, status: Option<&Value>) -> Result<()> {
        let Some(status) = status.filter(|status| !matches!(status, Value::Null | Value::Int(0))) else {
            return Ok(());
        };
        let number = status.as_int().and_then(|status| u16::try_from(status).ok());
        self.status = number
            .filter(|status| (200..=599).contains(status))
            .ok_or_else(|| {
                let message = format!(
                    "status of an answer is {}, expected an integer from 200 to 599",
                    json::text(status)
                );
                Error::new(Kind::BadArgument, message)
                    .hint("a body that has a status of its own goes into {\"body\": ...}")
            })?;
        Ok(())
    }
}

/// The headers that a map of strings, or of lists of them, names: as `Content-Type`, none with control bytes.
pub(super) fn header_lines(of: &str, header: Option<&Value>) -> Result<Vec<(String, String)>> {
    if header.is_none() {
        return Ok(Vec::new());
    }
    let what = format!("header of {of}");
    let mut lines = strings(&what, header)?;
    for (name, value) in &mut lines {
        if !is_token(name) {
            return Err(bad(format!(
                "{what} has '{}', which is no name of one",
                name.escape_debug()
            )));
        }
        *name = canonical(name);
        if value
            .bytes()
            .any(|byte| byte < b' ' && byte != b'\t' || byte == 0x7f)
        {
            return Err(bad(format!("{what} has control bytes in '{name}'")));
        }
    }
    Ok(lines)
}

/// Names and values of a map whose values are strings, numbers, or lists of them.
pub(super) fn strings(what: &str, map: Option<&Value>) -> Result<Vec<(String, String)>> {
    let map = map.unwrap_or(&Value::Null);
    let entries = match map {
        Value::Null => &[],
        map => map
            .entries()
            .ok_or_else(|| bad(format!("{what} is {}, expected a map", map.name())))?,
    };
    let mut found = Vec::new();
    for (name, values) in entries {
        let Some(name) = name.as_str() else {
            return Err(bad(format!(
                "{what} has the key {}, expected a string",
                json::text(name)
            )));
        };
        for value in values.elements().unwrap_or(std::slice::from_ref(values)) {
            let value = match value {
                Value::Str(text) => text.to_string(),
                Value::Int(_) | Value::Uint(_) | Value::Float(_) | Value::Bool(_) => json::text(value),
                other => {
                    let message = format!("{what} has {} in '{name}', expected a string", other.name());
                    return Err(bad(message));
                }
            };
            found.push((name.to_string(), value));
        }
    }
    Ok(found)
}

fn bad(message: String) -> Box<Error> {
    Error::new(Kind::BadArgument, message)
}

const CONTENT_TYPE: &str = "Content-Type";

/// Room for most bodies, so that they don't grow byte by byte.
const BODY_BYTES: usize = 256;

/// Whether it is an answer as a whole, not its body alone.
fn is_whole(value: &Value) -> bool {
    let Some(entries) = value.entries() else {
        return false;
    };
    let is_known = |key: &Value| key.as_str().is_some_and(|key| KEYS.contains(&key));
    let says = |key: &str| matches!(key, "status" | "header" | "body");
    entries.iter().all(|(key, _)| is_known(key))
        && entries.iter().any(|(key, _)| key.as_str().is_some_and(says))
}

/// Whether a client names JSON, and neither text nor everything.
fn wants_json(accept: &str) -> bool {
    accept.contains("json") && !accept.contains("text/") && !accept.contains("*/*")
}

fn is_token(name: &str) -> bool {
    let is_mark = |byte: u8| b"!#$%&'*+-.^_`|~".contains(&byte);
    !name.is_empty()
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || is_mark(byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(value: &Value, accept: &str) -> String {
        match Answer::of(value, accept) {
            Ok(answer) => {
                let mut told = answer.status.to_string();
                for (name, value) in &answer.headers {
                    told.push_str(&format!(" {name}: {value}"));
                }
                if let Some(media_type) = answer.media_type {
                    told.push_str(&format!(" Content-Type: {media_type}"));
                }
                format!("{told} | {}", String::from_utf8_lossy(&answer.body))
            }
            Err(error) => error.message,
        }
    }

    fn check(text: &str, expected: &str) {
        assert_eq!(
            told(&json::read(text.as_bytes()).unwrap(), "*/*"),
            expected,
            "{text}"
        );
    }

    #[test]
    fn answers() {
        check("null", "200 | ");
        check("{\"a\":1}", "200 Content-Type: application/json | {\"a\":1}");
        check("\"a\"", "200 Content-Type: text/plain; charset=utf-8 | a");
        check("{\"status\":204}", "204 | ");
        check(
            "{\"status\":201,\"body\":[1],\"header\":{\"x-a\":[\"1\",2]}}",
            "201 X-A: 1 X-A: 2 Content-Type: application/json | [1]",
        );
        check(
            "{\"body\":\"a\",\"header\":{\"content-type\":\"text/html\"}}",
            "200 Content-Type: text/html | a",
        );
        check(
            "{\"body\":\"a\",\"header\":{\"content-type\":[\"application/json\"]}}",
            "200 Content-Type: application/json | \"a\"",
        );
        // A record with a status is none of an answer.
        check(
            "{\"id\":1,\"status\":\"new\"}",
            "200 Content-Type: application/json | {\"id\":1,\"status\":\"new\"}",
        );
        // A packet that comes back as it was.
        check(
            "{\"method\":\"GET\",\"path\":\"/\",\"params\":{},\"body\":1,\"status\":0}",
            "200 Content-Type: application/json | 1",
        );
        let bytes = Value::Bytes(std::rc::Rc::from(&b"\xff"[..]));
        let found = Answer::of(&bytes, "").unwrap();
        assert_eq!(
            (found.body.as_slice(), found.media_type),
            (&b"\xff"[..], Some("application/octet-stream"))
        );
        assert_eq!(
            told(&Value::str("a"), "application/json"),
            "200 Content-Type: application/json | \"a\""
        );
    }

    #[test]
    fn refusals() {
        check(
            "{\"status\":\"new\"}",
            "status of an answer is \"new\", expected an integer from 200 to 599",
        );
        check(
            "{\"status\":199}",
            "status of an answer is 199, expected an integer from 200 to 599",
        );
        check(
            "{\"status\":70000}",
            "status of an answer is 70000, expected an integer from 200 to 599",
        );
        check("{\"header\":[]}", "header of an answer is a list, expected a map");
        check(
            "{\"header\":{\"a b\":\"\"}}",
            "header of an answer has 'a b', which is no name of one",
        );
        check(
            "{\"header\":{\"a\":{}}}",
            "header of an answer has a map in 'a', expected a string",
        );
        check(
            "{\"header\":{\"a\":\"b\\r\\nc: d\"}}",
            "header of an answer has control bytes in 'A'",
        );
    }
}
