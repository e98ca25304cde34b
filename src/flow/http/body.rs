//! What the bytes of a body mean by its media type, and names of headers as flows see them. Knows no framing.

use crate::codec::target;
use crate::error::{Error, Kind, Result};
use crate::flow::value::{Value, json};
use std::rc::Rc;

/// A media type without its parameters.
pub fn essence(media_type: &str) -> &str {
    media_type.split(';').next().unwrap_or_default().trim()
}

/// Whether what is of that media type is JSON.
pub fn is_json(media_type: &str) -> bool {
    let essence = essence(media_type).as_bytes();
    let ends_in = |suffix: &[u8]| {
        essence.len() >= suffix.len() && essence[essence.len() - suffix.len()..].eq_ignore_ascii_case(suffix)
    };
    ends_in(b"/json") || ends_in(b"+json")
}

fn is_text(media_type: &str) -> bool {
    let head = media_type.as_bytes().get(..5);
    head.is_some_and(|head| head.eq_ignore_ascii_case(b"text/"))
}

/// A body as a value: JSON as it is, a form as a map of lists, text as a string, all else as bytes. None is null. What is called a
/// form and looks like JSON is that, if `is_curl` says that it may come from curl.
///
/// # Errors
/// Kind `bad_argument`: it is not what its media type says.
pub fn read(media_type: &str, body: &[u8], is_curl: bool) -> Result<Value> {
    if body.is_empty() {
        return Ok(Value::Null);
    }
    if is_json(media_type) {
        return read_json(body);
    }
    if essence(media_type).eq_ignore_ascii_case("application/x-www-form-urlencoded") {
        // curl says so of whatever it sends, if it isn't told better; no form begins like that.
        if is_curl && matches!(body.trim_ascii_start().first(), Some(b'{' | b'[')) {
            return read_json(body);
        }
        let text = std::str::from_utf8(body)
            .map_err(|_| Error::new(Kind::BadArgument, "body of a form is not UTF-8"))?;
        return Ok(lists(target::fields(text)?));
    }
    match std::str::from_utf8(body) {
        Ok(text) if media_type.is_empty() || is_text(media_type) => Ok(Value::str(text)),
        _ => Ok(Value::Bytes(body.into())),
    }
}

fn read_json(body: &[u8]) -> Result<Value> {
    json::read(body).map_err(|error| {
        let message = format!("body is no JSON: {}", error.message);
        Error::new(Kind::BadArgument, message).at(format!("byte {}", error.offset))
    })
}

/// Fields by their names, each with all its values, in the order in which they came.
pub fn lists(fields: Vec<(String, String)>) -> Value {
    let mut found: Vec<(String, Vec<Value>)> = Vec::new();
    for (name, value) in fields {
        let value = Value::Str(value.into());
        match found.iter_mut().find(|(known, _)| *known == name) {
            Some((_, values)) => values.push(value),
            None => found.push((name, vec![value])),
        }
    }
    let entries = found
        .into_iter()
        .map(|(name, values)| (Value::Str(name.into()), Value::list(values)));
    Value::Map(Rc::new(entries.collect()))
}

/// A header's name with capitals where its words begin: `Content-Type`, whichever way it came.
pub fn canonical(name: &str) -> String {
    let mut is_start = true;
    let letters = name.chars().map(|letter| {
        let letter = match is_start {
            true => letter.to_ascii_uppercase(),
            false => letter.to_ascii_lowercase(),
        };
        is_start = letter == '-';
        letter
    });
    letters.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_by_their_media_types() {
        let check = |media_type: &str, body: &str, expected: &str| {
            let found = match read(media_type, body.as_bytes(), true) {
                Ok(value) => format!("{} {}", value.name(), json::text(&value)),
                Err(error) => error.to_string(),
            };
            assert_eq!(found, expected, "{media_type} {body}");
        };
        check("application/json", "", "null null");
        check("application/json; charset=utf-8", "[1]", "a list [1]");
        check("application/problem+JSON", "{}", "a map {}");
        check(
            "application/json",
            "{",
            "body is no JSON: found the end of the text, expected ',' or '}' at byte 1",
        );
        check("text/plain", "a", "a string \"a\"");
        check("", "{}", "a string \"{}\"");
        check("image/png", "a", "bytes \"YQ==\"");
        check("TEXT/x", "é", "a string \"é\"");
        let form = "application/x-www-form-urlencoded";
        check(form, "a=1&b=%20&a=2", "a map {\"a\":[\"1\",\"2\"],\"b\":[\" \"]}");
        check(form, " {\"a\":1}", "a map {\"a\":1}");
        check(
            form,
            "a=%",
            "'%' in the target of the request, expected two hexadecimal digits after '%'",
        );
    }

    #[test]
    fn names_of_headers() {
        for (name, expected) in [
            ("content-type", "Content-Type"),
            ("X-REQUEST-id", "X-Request-Id"),
            ("", ""),
        ] {
            assert_eq!(canonical(name), expected);
        }
    }
}
