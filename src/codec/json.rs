//! A JSON pull reader over borrowed text (RFC 8259, nothing lenient), and the writer of strings. Builds no tree and knows
//! no schema.

use crate::limits::DEPTH_MAX;
use std::borrow::Cow;

/// What kind of value comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Shape {
    Null,
    Bool,
    Number,
    Str,
    Array,
    Object,
}

impl Shape {
    /// The word for it in messages.
    pub fn name(self) -> &'static str {
        match self {
            Shape::Null => "null",
            Shape::Bool => "a boolean",
            Shape::Number => "a number",
            Shape::Str => "a string",
            Shape::Array => "an array",
            Shape::Object => "an object",
        }
    }
}

/// Why a text is not JSON: the byte offset and one sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JsonError {
    /// Byte offset in the text.
    pub offset: usize,
    /// One lowercase sentence.
    pub message: String,
}

type Read<T> = Result<T, JsonError>;

/// Line and column, both from 1, of a byte offset; the column counts characters.
pub fn line_column(text: &[u8], offset: usize) -> (usize, usize) {
    let before = &text[..offset.min(text.len())];
    let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
    let start = before
        .iter()
        .rposition(|byte| *byte == b'\n')
        .map_or(0, |newline| newline + 1);
    // Continuation bytes of UTF-8 belong to the character before them.
    let column = before[start..]
        .iter()
        .filter(|byte| **byte & 0xC0 != 0x80)
        .count()
        + 1;
    (line, column)
}

/// Reads one JSON text from front to back.
///
/// Containers are walked by `begin_array`, then `next_element` before each element until it says false; objects by
/// `begin_object` and `next_key`. Every element or value must be read or skipped before the next.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    text: &'a [u8],
    at: usize,
    /// A container was just opened: no comma is due before its first element.
    fresh: bool,
    key_at: usize,
}

impl<'a> Reader<'a> {
    /// A reader at the start of `text`.
    pub fn new(text: &'a [u8]) -> Reader<'a> {
        Reader {
            text,
            at: 0,
            fresh: false,
            key_at: 0,
        }
    }

    /// Byte offset of what is read next; after [`Reader::peek`], of the value itself.
    pub fn offset(&self) -> usize {
        self.at
    }

    /// Byte offset of the key that was read last.
    pub fn key_offset(&self) -> usize {
        self.key_at
    }

    /// The kind of the next value, which is not consumed.
    pub fn peek(&mut self) -> Read<Shape> {
        self.skip_space();
        match self.text.get(self.at) {
            Some(b'n') => Ok(Shape::Null),
            Some(b't' | b'f') => Ok(Shape::Bool),
            Some(b'-' | b'0'..=b'9') => Ok(Shape::Number),
            Some(b'"') => Ok(Shape::Str),
            Some(b'[') => Ok(Shape::Array),
            Some(b'{') => Ok(Shape::Object),
            _ => Err(self.wrong("a value")),
        }
    }

    /// Reads `null`.
    pub fn null(&mut self) -> Read<()> {
        self.skip_space();
        self.word(b"null")
    }

    /// Reads `true` or `false`.
    pub fn boolean(&mut self) -> Read<bool> {
        self.skip_space();
        if self.text.get(self.at) == Some(&b't') {
            self.word(b"true")?;
            return Ok(true);
        }
        self.word(b"false")?;
        Ok(false)
    }

    /// Reads a number and returns its text, which has JSON's form.
    pub fn number(&mut self) -> Read<&'a str> {
        self.skip_space();
        let start = self.at;
        if self.text.get(self.at) == Some(&b'-') {
            self.at += 1;
        }
        match self.text.get(self.at) {
            Some(b'0') => self.at += 1,
            Some(b'1'..=b'9') => self.digits()?,
            _ => return Err(self.wrong("a digit")),
        }
        if self.text.get(self.at) == Some(&b'.') {
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.text.get(self.at) {
            self.at += 1;
            if let Some(b'+' | b'-') = self.text.get(self.at) {
                self.at += 1;
            }
            self.digits()?;
        }
        // Only ASCII was passed.
        std::str::from_utf8(&self.text[start..self.at]).map_err(|_| self.wrong("a number"))
    }

    /// Reads a string; it is borrowed unless it has escapes.
    pub fn string(&mut self) -> Read<Cow<'a, str>> {
        self.skip_space();
        if self.text.get(self.at) != Some(&b'"') {
            return Err(self.wrong("a string"));
        }
        let start = self.at + 1;
        let plain = plain_len(&self.text[start..]);
        if self.text.get(start + plain) == Some(&b'"') {
            let text = self.utf8(start, start + plain)?;
            self.at = start + plain + 1;
            return Ok(Cow::Borrowed(text));
        }
        self.at = start;
        let mut out = String::new();
        loop {
            let plain = plain_len(&self.text[self.at..]);
            out.push_str(self.utf8(self.at, self.at + plain)?);
            self.at += plain;
            match self.text.get(self.at) {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(Cow::Owned(out));
                }
                Some(b'\\') => out.push(self.escape()?),
                Some(_) => return Err(self.error("control character in a string, expected it escaped")),
                None => return Err(self.error("string is not closed, expected '\"'")),
            }
        }
    }

    /// Opens an array.
    pub fn begin_array(&mut self) -> Read<()> {
        self.skip_space();
        self.byte(b'[')?;
        self.fresh = true;
        Ok(())
    }

    /// Whether another element follows; false has consumed the closing bracket.
    pub fn next_element(&mut self) -> Read<bool> {
        self.next_item(b']')
    }

    /// Opens an object.
    pub fn begin_object(&mut self) -> Read<()> {
        self.skip_space();
        self.byte(b'{')?;
        self.fresh = true;
        Ok(())
    }

    /// The next key, with its colon consumed; none has consumed the closing brace.
    pub fn next_key(&mut self) -> Read<Option<Cow<'a, str>>> {
        if !self.next_item(b'}')? {
            return Ok(None);
        }
        self.skip_space();
        if self.text.get(self.at) != Some(&b'"') {
            return Err(self.wrong("a key in double quotes"));
        }
        self.key_at = self.at;
        let key = self.string()?;
        self.skip_space();
        self.byte(b':')?;
        Ok(Some(key))
    }

    /// Reads past one whole value, checking it, and returns its text.
    pub fn skip(&mut self) -> Read<&'a [u8]> {
        self.skip_space();
        let start = self.at;
        self.skip_value(0)?;
        Ok(&self.text[start..self.at])
    }

    /// Checks that nothing but white space is left.
    pub fn finish(&mut self) -> Read<()> {
        self.skip_space();
        match self.at == self.text.len() {
            true => Ok(()),
            false => Err(self.wrong("the end of the text")),
        }
    }

    fn skip_value(&mut self, depth: usize) -> Read<()> {
        if depth > DEPTH_MAX {
            return Err(self.error(format!("value nests deeper than {DEPTH_MAX} levels")));
        }
        match self.peek()? {
            Shape::Null => self.null(),
            Shape::Bool => self.boolean().map(|_| ()),
            Shape::Number => self.number().map(|_| ()),
            Shape::Str => self.string().map(|_| ()),
            Shape::Array => {
                self.begin_array()?;
                while self.next_element()? {
                    self.skip_value(depth + 1)?;
                }
                Ok(())
            }
            Shape::Object => {
                self.begin_object()?;
                while self.next_key()?.is_some() {
                    self.skip_value(depth + 1)?;
                }
                Ok(())
            }
        }
    }

    fn next_item(&mut self, close: u8) -> Read<bool> {
        self.skip_space();
        let fresh = std::mem::replace(&mut self.fresh, false);
        match self.text.get(self.at) {
            Some(&byte) if byte == close => {
                self.at += 1;
                Ok(false)
            }
            Some(b',') if !fresh => {
                self.at += 1;
                Ok(true)
            }
            Some(_) if fresh => Ok(true),
            _ => Err(self.wrong(&format!("',' or '{}'", close as char))),
        }
    }

    fn skip_space(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.text.get(self.at) {
            self.at += 1;
        }
    }

    fn digits(&mut self) -> Read<()> {
        let start = self.at;
        while let Some(b'0'..=b'9') = self.text.get(self.at) {
            self.at += 1;
        }
        match self.at > start {
            true => Ok(()),
            false => Err(self.wrong("a digit")),
        }
    }

    fn word(&mut self, word: &[u8]) -> Read<()> {
        if self.text[self.at..].starts_with(word) {
            self.at += word.len();
            return Ok(());
        }
        Err(self.wrong(&format!("'{}'", String::from_utf8_lossy(word))))
    }

    fn byte(&mut self, byte: u8) -> Read<()> {
        if self.text.get(self.at) == Some(&byte) {
            self.at += 1;
            return Ok(());
        }
        Err(self.wrong(&format!("'{}'", byte as char)))
    }

    fn utf8(&self, start: usize, end: usize) -> Read<&'a str> {
        std::str::from_utf8(&self.text[start..end]).map_err(|error| JsonError {
            offset: start + error.valid_up_to(),
            message: "string is not valid UTF-8".into(),
        })
    }

    /// Reads one escape, from its backslash.
    fn escape(&mut self) -> Read<char> {
        let start = self.at;
        self.at += 2;
        Ok(match self.text.get(start + 1) {
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => {
                let unit = self.hex4(start)?;
                let code = match unit {
                    0xD800..=0xDBFF if self.text[self.at..].starts_with(b"\\u") => {
                        self.at += 2;
                        let low = self.hex4(start)?;
                        match low {
                            0xDC00..=0xDFFF => 0x10000 + ((unit - 0xD800) << 10) + (low - 0xDC00),
                            _ => unit,
                        }
                    }
                    _ => unit,
                };
                match char::from_u32(code) {
                    Some(found) => found,
                    None => {
                        return Err(JsonError {
                            offset: start,
                            message: "lone surrogate escape".into(),
                        });
                    }
                }
            }
            _ => {
                self.at = start;
                return Err(
                    self.error("unknown escape, expected one of \\\" \\\\ \\/ \\b \\f \\n \\r \\t \\u")
                );
            }
        })
    }

    fn hex4(&mut self, start: usize) -> Read<u32> {
        let digits = self.text.get(self.at..self.at + 4).unwrap_or_default();
        let valid = digits.len() == 4 && digits.iter().all(u8::is_ascii_hexdigit);
        let text = std::str::from_utf8(digits).unwrap_or_default();
        match u32::from_str_radix(text, 16) {
            Ok(unit) if valid => {
                self.at += 4;
                Ok(unit)
            }
            _ => Err(JsonError {
                offset: start,
                message: "\\u needs four hexadecimal digits".into(),
            }),
        }
    }

    fn wrong(&self, expected: &str) -> JsonError {
        let found = match self.text.get(self.at) {
            None => "the end of the text".to_string(),
            Some(byte @ 0x20..=0x7e) => format!("'{}'", *byte as char),
            Some(byte) => format!("byte 0x{byte:02x}"),
        };
        self.error(format!("found {found}, expected {expected}"))
    }

    fn error(&self, message: impl Into<String>) -> JsonError {
        JsonError {
            offset: self.at,
            message: message.into(),
        }
    }
}

/// How many bytes stand before the first quote, backslash or control character.
fn plain_len(text: &[u8]) -> usize {
    text.iter()
        .position(|byte| matches!(byte, b'"' | b'\\' | 0..=0x1f))
        .unwrap_or(text.len())
}

/// Appends a string in double quotes, with the escapes that JSON demands and no others.
pub fn write_string(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    let bytes = text.as_bytes();
    let mut at = 0;
    loop {
        let plain = plain_len(&bytes[at..]);
        out.extend_from_slice(&bytes[at..at + plain]);
        at += plain;
        let Some(byte) = bytes.get(at) else { break };
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            8 => out.extend_from_slice(b"\\b"),
            12 => out.extend_from_slice(b"\\f"),
            control => {
                const HEX: &[u8; 16] = b"0123456789abcdef";
                out.extend_from_slice(b"\\u00");
                out.push(HEX[usize::from(control >> 4)]);
                out.push(HEX[usize::from(control & 15)]);
            }
        }
        at += 1;
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        let mut reader = Reader::new(text.as_bytes());
        let found = reader.skip().and_then(|_| reader.finish());
        let found = match found {
            Ok(()) => "ok".to_string(),
            Err(error) => format!("{}: {}", error.offset, error.message),
        };
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn grammar() {
        check(
            " [1, -0.5e+3, {\"a\": [], \"b\": {}}, \"\\u00e9\\ud83d\\ude00\", true, null] ",
            "ok",
        );
        check("[1,]", "3: found ']', expected a value");
        check("[,1]", "1: found ',', expected a value");
        check("[1 2]", "3: found '2', expected ',' or ']'");
        check("{\"a\" 1}", "5: found '1', expected ':'");
        check("{a:1}", "1: found 'a', expected a key in double quotes");
        check("01", "1: found '1', expected the end of the text");
        check("1.", "2: found the end of the text, expected a digit");
        check("-", "1: found the end of the text, expected a digit");
        check("\"a", "2: string is not closed, expected '\"'");
        check("\"\n\"", "1: control character in a string, expected it escaped");
        check(
            "\"\\x\"",
            "1: unknown escape, expected one of \\\" \\\\ \\/ \\b \\f \\n \\r \\t \\u",
        );
        check("\"\\ud800\"", "1: lone surrogate escape");
        check("\"\\u12g4\"", "1: \\u needs four hexadecimal digits");
        check("nul", "0: found 'n', expected 'null'");
        check("", "0: found the end of the text, expected a value");
        check(&"[".repeat(1000), "513: value nests deeper than 512 levels");
    }

    #[test]
    fn strings_round_trip() {
        for text in ["", "plain", "a\"b\\c/\n\r\t\u{8}\u{c}\u{0}\u{1f}\u{7f}é😀"] {
            let mut out = Vec::new();
            write_string(text, &mut out);
            let mut reader = Reader::new(&out);
            assert_eq!(reader.string().as_deref(), Ok(text));
        }
    }

    #[test]
    fn places() {
        let text = "a\né1\n".as_bytes();
        assert_eq!(line_column(text, 0), (1, 1));
        assert_eq!(line_column(text, 2), (2, 1));
        assert_eq!(line_column(text, 4), (2, 2));
        assert_eq!(line_column(text, 99), (3, 1));
    }
}
