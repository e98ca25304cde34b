//! Values from JSON text and back. Knows no types: bytes become a string of base64, an error its map (DESIGN of errors: kind,
//! message and what else is known).

use super::Value;
use crate::codec::base64;
use crate::codec::error_map::write_error_json;
use crate::codec::json::{JsonError, Reader, Shape};
use crate::codec::json_text::JsonText;
use crate::codec::number::{write_f8, write_int, write_unsigned};
use crate::error::{Error, Kind, Result};
use crate::limits::FLOW_VALUE_DEPTH_MAX;
use std::rc::Rc;

/// Reads a whole text. Integers beyond 64 bits become floats.
///
/// # Errors
/// Text that is not JSON, an object with a key twice, nesting beyond [`FLOW_VALUE_DEPTH_MAX`].
pub fn read(text: &[u8]) -> std::result::Result<Value, JsonError> {
    let mut reader = Reader::new(text);
    let value = read_value(&mut reader, 0)?;
    reader.finish()?;
    Ok(value)
}

fn read_value(reader: &mut Reader<'_>, depth: usize) -> std::result::Result<Value, JsonError> {
    let shape = reader.peek()?;
    let refuse = |offset: usize, message: String| Err(JsonError { offset, message });
    if depth > FLOW_VALUE_DEPTH_MAX {
        let message = format!("nested deeper than {FLOW_VALUE_DEPTH_MAX} levels");
        return refuse(reader.offset(), message);
    }
    Ok(match shape {
        Shape::Null => {
            reader.null()?;
            Value::Null
        }
        Shape::Bool => Value::Bool(reader.boolean()?),
        Shape::Number => number(reader.number()?),
        Shape::Str => Value::Str(reader.string()?.into()),
        Shape::Array => {
            let mut elements = Vec::new();
            reader.begin_array()?;
            while reader.next_element()? {
                elements.push(read_value(reader, depth + 1)?);
            }
            Value::list(elements)
        }
        Shape::Object => {
            let mut entries = Vec::new();
            reader.begin_object()?;
            let start = reader.offset();
            while let Some(key) = reader.next_key()? {
                let key = Value::Str(key.into());
                entries.push((key, read_value(reader, depth + 1)?));
            }
            if let Some(key) = repeated(&entries) {
                return refuse(start, format!("key '{key}' stands twice in an object"));
            }
            Value::Map(Rc::new(entries))
        }
    })
}

/// A key that stands twice.
pub(in crate::flow) fn repeated(entries: &[(Value, Value)]) -> Option<&str> {
    let mut keys: Vec<&str> = entries.iter().filter_map(|(key, _)| key.as_str()).collect();
    keys.sort_unstable();
    keys.windows(2)
        .find(|pair| pair[0] == pair[1])
        .map(|pair| pair[0])
}

/// A number of JSON's form.
pub(in crate::flow) fn number(text: &str) -> Value {
    let whole = !text.contains(['.', 'e', 'E']);
    let int = || text.parse().ok().map(Value::Int);
    let unsigned = || text.parse().ok().map(Value::Uint);
    match whole.then(|| int().or_else(unsigned)).flatten() {
        // Its sign would be lost.
        Some(Value::Int(0)) if text.starts_with('-') => Value::Float(-0.0),
        Some(value) => value,
        None => Value::Float(text.parse().unwrap_or(f64::NAN)),
    }
}

/// Appends a value as JSON on one line.
///
/// # Errors
/// Kind `bad_argument`: it is nested beyond [`FLOW_VALUE_DEPTH_MAX`], as a flow that goes round may nest it; `out` has a part
/// of it then.
pub fn write(value: &Value, out: &mut Vec<u8>) -> Result<()> {
    write_value(value, &mut JsonText::new(out), 0)
}

/// A value as JSON on one line, for people: what is nested too deep is null.
pub fn text(value: &Value) -> String {
    let mut out = Vec::new();
    match write(value, &mut out) {
        Ok(()) => String::from_utf8_lossy(&out).into_owned(),
        Err(_) => "null".to_string(),
    }
}

fn write_value(value: &Value, out: &mut JsonText<'_>, depth: usize) -> Result<()> {
    if depth > FLOW_VALUE_DEPTH_MAX {
        let message = format!("a value is nested deeper than {FLOW_VALUE_DEPTH_MAX} levels");
        return Err(Error::new(Kind::BadArgument, message));
    }
    match value {
        Value::Null => drop(out.null()),
        Value::Bool(value) => drop(out.boolean(*value)),
        Value::Int(value) => write_int(*value, out.buffer()),
        Value::Uint(value) => write_unsigned(*value, out.buffer()),
        Value::Float(value) if value.is_finite() => write_f8(*value, out.buffer()),
        Value::Float(value) => drop(out.string(non_finite(*value))),
        Value::Str(text) => drop(out.string(text)),
        Value::Bytes(bytes) => {
            let out = out.buffer();
            out.push(b'"');
            base64::encode(bytes, out);
            out.push(b'"');
        }
        Value::List(elements) => {
            out.begin(b'[');
            for element in elements.iter() {
                write_value(element, out, depth + 1)?;
            }
            out.end(b']');
        }
        Value::Map(entries) => {
            out.begin(b'{');
            for (key, value) in entries.iter() {
                match key.as_str() {
                    Some(key) => drop(out.key(key)),
                    // Only expressions make other keys, and only scalars.
                    None => drop(out.key(&text(key))),
                }
                write_value(value, out, depth + 1)?;
            }
            out.end(b'}');
        }
        Value::Error(error) => write_error_json(out, error),
    }
    Ok(())
}

fn non_finite(value: f64) -> &'static str {
    match value {
        _ if value.is_nan() => "NaN",
        _ if value > 0.0 => "Infinity",
        _ => "-Infinity",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(json: &str, expected: &str) {
        assert_eq!(text(&read(json.as_bytes()).unwrap()), expected, "{json}");
    }

    fn refuse(json: &str, expected: &str) {
        assert_eq!(read(json.as_bytes()).unwrap_err().message, expected, "{json}");
    }

    #[test]
    fn texts() {
        check(" null ", "null");
        check("[true, false]", "[true,false]");
        check("[1, -2, 1.5, 1e2]", "[1,-2,1.5,100]");
        check(
            "[18446744073709551615, 18446744073709551616]",
            "[18446744073709551615,18446744073709552000]",
        );
        check("{\"b\": 1, \"a\": {}}", "{\"b\":1,\"a\":{}}");
        check("\"a\\n\\u00e9\"", "\"a\\né\"");
        refuse("{\"a\":1,\"a\":2}", "key 'a' stands twice in an object");
        refuse("[1", "found the end of the text, expected ',' or ']'");
    }

    #[test]
    fn what_json_has_no_word_for() {
        let check = |value: Value, expected: &str| assert_eq!(text(&value), expected);
        check(Value::Bytes(Rc::from(&b"ab"[..])), "\"YWI=\"");
        check(Value::Float(f64::NEG_INFINITY), "\"-Infinity\"");
        check(
            Value::Map(Rc::new(vec![(Value::Int(1), Value::Null)])),
            "{\"1\":null}",
        );
        let error = Error::new(Kind::NotFound, "node 'a' isn't there");
        check(
            Value::list(vec![Value::Error(Rc::from(error))]),
            "[{\"kind\":\"not_found\",\"message\":\"node 'a' isn't there\"}]",
        );
    }

    #[test]
    fn depth() {
        let deep = |levels: usize| "[".repeat(levels) + &"]".repeat(levels);
        assert!(read(deep(FLOW_VALUE_DEPTH_MAX).as_bytes()).is_ok());
        refuse(&deep(FLOW_VALUE_DEPTH_MAX + 2), "nested deeper than 128 levels");
        let mut value = Value::Null;
        for _ in 0..FLOW_VALUE_DEPTH_MAX + 2 {
            value = Value::list(vec![value]);
        }
        assert!(write(&value, &mut Vec::new()).is_err());
        assert_eq!(text(&value), "null");
    }
}
