//! A value as YAML text that reads back as the same value: blocks, one entry a line, texts of several lines as they are. Wraps
//! nothing.

use super::{Value, json, yaml};
use crate::codec::base64;
use crate::codec::json::write_string;
use crate::codec::number::{write_f8, write_int, write_unsigned};
use crate::error::{Error, Kind, Result};
use crate::limits::FLOW_VALUE_DEPTH_MAX;

/// Keys beyond this many bytes, with what is escaped in them, are written in the form for those of any length: readers take a
/// thousand characters.
const KEY_BYTES_MAX: usize = 500;

/// Appends a value as a document, with a line's end.
///
/// # Errors
/// Kind `bad_argument`: it is nested beyond [`FLOW_VALUE_DEPTH_MAX`]; `out` has a part of it then.
pub fn write(value: &Value, out: &mut Vec<u8>) -> Result<()> {
    match is_block(value) {
        true => write_block(value, 0, 0, out),
        false => {
            write_scalar(value, None, out);
            Ok(())
        }
    }
}

/// Whether it takes lines of its own.
fn is_block(value: &Value) -> bool {
    match value {
        Value::List(elements) => !elements.is_empty(),
        Value::Map(entries) => !entries.is_empty(),
        Value::Error(_) => true,
        _ => false,
    }
}

fn indent(columns: usize, out: &mut Vec<u8>) {
    out.extend(std::iter::repeat_n(b' ', columns));
}

/// Writes a list or map whose first line is indented already.
fn write_block(value: &Value, columns: usize, depth: usize, out: &mut Vec<u8>) -> Result<()> {
    if depth > FLOW_VALUE_DEPTH_MAX {
        let message = format!("a value is nested deeper than {FLOW_VALUE_DEPTH_MAX} levels");
        return Err(Error::new(Kind::BadArgument, message));
    }
    match value {
        Value::List(elements) => {
            for (position, element) in elements.iter().enumerate() {
                if position > 0 {
                    indent(columns, out);
                }
                out.extend_from_slice(b"- ");
                match is_block(element) {
                    true => write_block(element, columns + 2, depth + 1, out)?,
                    false => write_scalar(element, Some(columns + 2), out),
                }
            }
            Ok(())
        }
        Value::Map(entries) => {
            for (position, (key, value)) in entries.iter().enumerate() {
                if position > 0 {
                    indent(columns, out);
                }
                write_key(key, columns, out);
                match is_block(value) {
                    true => {
                        out.push(b'\n');
                        indent(columns + 2, out);
                        write_block(value, columns + 2, depth + 1, out)?;
                    }
                    false => {
                        out.push(b' ');
                        write_scalar(value, Some(columns + 2), out);
                    }
                }
            }
            Ok(())
        }
        // An error as its map.
        _ => {
            let map = json::read(json::text(value).as_bytes()).unwrap_or_default();
            match is_block(&map) {
                true => write_block(&map, columns, depth, out),
                false => Ok(()),
            }
        }
    }
}

/// Writes a key and its colon.
fn write_key(key: &Value, columns: usize, out: &mut Vec<u8>) {
    let other;
    let text = match key.as_str() {
        Some(text) => text,
        None => {
            other = json::text(key);
            &other
        }
    };
    let mut written = Vec::new();
    match is_plain(text) && text != "<<" {
        true => written.extend_from_slice(text.as_bytes()),
        false => write_quoted(text, &mut written),
    }
    let is_long = written.len() > KEY_BYTES_MAX;
    if is_long {
        out.extend_from_slice(b"? ");
    }
    out.extend_from_slice(&written);
    if is_long {
        out.push(b'\n');
        indent(columns, out);
    }
    out.push(b':');
}

/// Writes what fits behind a key or a dash, and the end of its line; lines of a text stand in that column, if there is one.
fn write_scalar(value: &Value, column: Option<usize>, out: &mut Vec<u8>) {
    match value {
        Value::Null => out.extend_from_slice(b"null"),
        Value::Bool(value) => out.extend_from_slice(if *value { b"true" } else { b"false" }),
        Value::Int(value) => write_int(*value, out),
        Value::Uint(value) => write_unsigned(*value, out),
        Value::Float(value) => write_float(*value, out),
        Value::Str(text) => return write_text(text, column, out),
        Value::Bytes(bytes) => {
            let mut text = Vec::new();
            base64::encode(bytes, &mut text);
            return write_text(&String::from_utf8_lossy(&text), None, out);
        }
        Value::List(_) => out.extend_from_slice(b"[]"),
        Value::Map(_) | Value::Error(_) => out.extend_from_slice(b"{}"),
    }
    out.push(b'\n');
}

fn write_float(value: f64, out: &mut Vec<u8>) {
    if !value.is_finite() {
        let text: &[u8] = match value {
            _ if value.is_nan() => b".nan",
            _ if value > 0.0 => b".inf",
            _ => b"-.inf",
        };
        return out.extend_from_slice(text);
    }
    let start = out.len();
    write_f8(value, out);
    // It stays a float.
    if !out[start..].iter().any(|byte| matches!(byte, b'.' | b'e' | b'E')) {
        out.extend_from_slice(b".0");
    }
}

fn write_text(text: &str, column: Option<usize>, out: &mut Vec<u8>) {
    match column {
        Some(column) if is_lines(text) => return write_lines(text, column, out),
        _ if is_plain(text) => out.extend_from_slice(text.as_bytes()),
        _ => write_quoted(text, out),
    }
    out.push(b'\n');
}

/// Whether every reader takes it for a string without quotes.
fn is_plain(text: &str) -> bool {
    let is_first = |char: char| char.is_alphanumeric() || "_/.$(+-<".contains(char);
    // What readers of older YAML take for booleans.
    let old = ["y", "n", "yes", "no", "on", "off"];
    text.starts_with(is_first)
        && !text.starts_with("- ")
        && !text.starts_with("---")
        && !text.starts_with("...")
        && text != "-"
        && !text.ends_with([' ', ':'])
        && !text.contains(": ")
        && !text.contains(" #")
        && text.chars().all(|char| is_printable(char) && char != '\t')
        && matches!(yaml::plain(text), Value::Str(_))
        && !old.iter().any(|word| word.eq_ignore_ascii_case(text))
}

/// What YAML lets stand as it is, and terminals too.
fn is_printable(char: char) -> bool {
    !char.is_control()
        && !matches!(
            char,
            '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}'
        )
}

/// Whether it is of several lines that can stand as they are.
fn is_lines(text: &str) -> bool {
    let is_empty_line = |line: &str| line.chars().all(|char| matches!(char, ' ' | '\t'));
    text.contains('\n')
        && !text.split('\n').all(is_empty_line)
        && text.chars().all(|char| is_printable(char) || matches!(char, '\n' | '\t'))
        // What begins with blanks leaves it to readers how far it is indented, and some differ.
        && !text.starts_with([' ', '\t', '\n'])
        && !text.split('\n').any(|line| !line.is_empty() && is_empty_line(line))
}

fn write_lines(text: &str, column: usize, out: &mut Vec<u8>) {
    let chomping = match text.strip_suffix('\n') {
        None => "-",
        Some(rest) if rest.ends_with('\n') => "+",
        Some(_) => "",
    };
    out.push(b'|');
    out.extend_from_slice(chomping.as_bytes());
    out.push(b'\n');
    for line in text.strip_suffix('\n').unwrap_or(text).split('\n') {
        if !line.is_empty() {
            indent(column, out);
            out.extend_from_slice(line.as_bytes());
        }
        out.push(b'\n');
    }
}

/// Quoted as in JSON, and what would not be seen escaped.
fn write_quoted(text: &str, out: &mut Vec<u8>) {
    let mut json = Vec::new();
    write_string(text, &mut json);
    for char in String::from_utf8_lossy(&json).chars() {
        let mut buffer = [0; 4];
        match is_printable(char) {
            true => out.extend_from_slice(char.encode_utf8(&mut buffer).as_bytes()),
            false => out.extend_from_slice(format!("\\u{:04x}", u32::from(char)).as_bytes()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::rc::Rc;

    fn check(json: &str, expected: &str) {
        let value = json::read(json.as_bytes()).unwrap();
        let mut out = Vec::new();
        write(&value, &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert_eq!(text, expected);
        assert_eq!(yaml::read(&text).unwrap()[0].value, value, "{text}");
    }

    #[test]
    fn texts() {
        check("null", "null\n");
        check("\"a\\nb\"", "\"a\\nb\"\n");
        check("[]", "[]\n");
        check("[[], {}, [1, [2]]]", "- []\n- {}\n- - 1\n  - - 2\n");
        check(
            "[{\"kind\":\"nop\",\"ports\":{\"out[0]\":[{\"name\":\"a\"}]}}, {\"a\":null}]",
            "- kind: nop\n  ports:\n    out[0]:\n      - name: a\n- a: null\n",
        );
        check(
            "{\"code\":\"a:\\n\\n  b\\n\",\"more\":[\"x\\ny\",\"x\\ny\\n\\n\"]}",
            "code: |\n  a:\n\n    b\nmore:\n  - |-\n    x\n    y\n  - |+\n    x\n    y\n\n",
        );
        check(
            "[\"1\",\"true\",\"\",\"a: b\",\"a #b\",\"#\",\"- a\",\"yes\",\"{{ .A }}\",\" a\",\"é\",\"-a\",\"\\u0001\",\"\\u2028\"]",
            "- \"1\"\n- \"true\"\n- \"\"\n- \"a: b\"\n- \"a #b\"\n- \"#\"\n- \"- a\"\n- \"yes\"\n- \"{{ .A }}\"\n- \" a\"\n- é\n- -a\n- \"\\u0001\"\n- \"\\u2028\"\n",
        );
        check(
            "[1.5, 3.0, -0.0, 1e300, 18446744073709551615]",
            "- 1.5\n- 3.0\n- -0.0\n- 1e300\n- 18446744073709551615\n",
        );
        check("{\"<<\":1,\"a b\":2,\"\":3}", "\"<<\": 1\na b: 2\n\"\": 3\n");
        let long = "k".repeat(2000);
        check(&format!("{{\"{long}\":[1]}}"), &format!("? {long}\n:\n  - 1\n"));
        let escaped = "\\u0001".repeat(200);
        check(
            &format!("{{\"{escaped}\":1}}"),
            &format!("? \"{escaped}\"\n: 1\n"),
        );
    }

    #[test]
    fn what_json_has_no_word_for() {
        let error = Error::new(Kind::NotFound, "gone");
        let mut out = Vec::new();
        let values = vec![
            Value::Error(Rc::from(error)),
            Value::Float(f64::NEG_INFINITY),
            Value::Bytes(Rc::from(&b"ab"[..])),
        ];
        write(&Value::list(values), &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert_eq!(text, "- kind: not_found\n  message: gone\n- -.inf\n- YWI=\n");
        let mut value = Value::Null;
        for _ in 0..FLOW_VALUE_DEPTH_MAX + 2 {
            value = Value::list(vec![value]);
        }
        assert!(write(&value, &mut Vec::new()).is_err());
    }

    /// A text of pieces that YAML has something to say about.
    fn odd_text(next: &mut impl FnMut(usize) -> usize) -> String {
        const PIECES: [&str; 40] = [
            "a",
            "b c",
            " ",
            "  ",
            "\n",
            "\n\n",
            "\t",
            ":",
            ": ",
            "#",
            " #",
            "-",
            "- ",
            "?",
            "? ",
            "'",
            "\"",
            "\\",
            "{",
            "}",
            "[",
            "]",
            ",",
            "&a",
            "*a",
            "!",
            "|",
            ">",
            "%",
            "@",
            "`",
            "---",
            "...",
            "1",
            "0x1",
            ".5",
            "~",
            "null",
            "\r",
            "é\u{2028}",
        ];
        (0..next(6)).map(|_| PIECES[next(PIECES.len())]).collect()
    }

    fn odd_value(next: &mut impl FnMut(usize) -> usize, depth: usize) -> Value {
        match next(if depth > 3 { 8 } else { 11 }) {
            0 => Value::Null,
            1 => Value::Bool(true),
            2 => Value::Int(next(1000) as i64 - 500),
            3 => Value::Float(next(1000) as f64 / 8.0),
            8 | 9 => Value::list((0..next(4)).map(|_| odd_value(next, depth + 1)).collect()),
            10 => {
                let mut entries: Vec<(Value, Value)> = Vec::new();
                for _ in 0..next(4) {
                    let key = Value::str(&odd_text(next));
                    if entries.iter().all(|(known, _)| *known != key) {
                        entries.push((key, odd_value(next, depth + 1)));
                    }
                }
                Value::Map(Rc::new(entries))
            }
            _ => Value::str(&odd_text(next)),
        }
    }

    #[test]
    fn what_is_written_is_read_as_it_was() {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut next = |below: usize| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state % below as u64) as usize
        };
        for _ in 0..20_000 {
            let value = odd_value(&mut next, 0);
            let mut out = Vec::new();
            write(&value, &mut out).unwrap();
            let text = String::from_utf8(out).unwrap();
            let again = yaml::read(&text);
            let again =
                again.unwrap_or_else(|flaw| panic!("{}\n{}", flaw.shown("f", &text), json::text(&value)));
            assert_eq!(again[0].value, value, "{text}\n{}", json::text(&value));
        }
    }
}
