//! A JSON pull reader over borrowed text (RFC 8259, nothing lenient), and the writer of strings. Builds no tree and knows
//! no schema.

use crate::codec::number::Decimal;
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

/// The bytes of a JSON text on one line, as a value of any JSON is written everywhere: a line's end stands between tokens,
/// where a space does as well, so that a value never takes two lines of what has one record a line.
pub fn on_one_line(text: &[u8]) -> impl ExactSizeIterator<Item = u8> {
    let bytes = text.trim_ascii().iter();
    bytes.map(|byte| {
        if matches!(byte, b'\n' | b'\r') {
            b' '
        } else {
            *byte
        }
    })
}

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

    /// Goes back to an offset that [`Reader::offset`] gave before a value.
    pub fn seek(&mut self, offset: usize) {
        self.at = offset.min(self.text.len());
    }

    /// Byte offset of the key that was read last.
    pub fn key_offset(&self) -> usize {
        self.key_at
    }

    /// The kind of the next value, which is not consumed.
    #[inline]
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

    /// Reads a number.
    // Kept apart in registers where it is used; moving it costs more than reading it.
    #[inline(always)]
    pub fn decimal(&mut self) -> Read<Decimal<'a>> {
        self.skip_space();
        match Decimal::scan(&self.text[self.at..]) {
            Ok(number) => {
                self.at += number.text.len();
                Ok(number)
            }
            Err(offset) => {
                self.at += offset;
                Err(self.wrong("a digit"))
            }
        }
    }

    /// Reads a number and returns its text, which has JSON's form.
    pub fn number(&mut self) -> Read<&'a str> {
        let start = self.at;
        let number = self.decimal()?;
        utf8(number.text, start)
    }

    /// Reads a string; it is borrowed unless it has escapes.
    pub fn string(&mut self) -> Read<Cow<'a, str>> {
        let start = self.at;
        if let Some(plain) = self.plain_string()? {
            return utf8(plain, start).map(Cow::Borrowed);
        }
        let mut out = Vec::new();
        self.string_into(&mut out)?;
        let text = String::from_utf8(out).map_err(|_| not_utf8(start))?;
        Ok(Cow::Owned(text))
    }

    /// Reads a string without escapes and gives its UTF-8; reads nothing of one with escapes.
    #[inline]
    pub fn plain_string(&mut self) -> Read<Option<&'a [u8]>> {
        self.skip_space();
        if self.text.get(self.at) != Some(&b'"') {
            return Err(self.wrong("a string"));
        }
        let start = self.at + 1;
        let plain = Plain::of(&self.text[start..]);
        let end = start + plain.len;
        if self.text.get(end) != Some(&b'"') {
            return Ok(None);
        }
        let text = &self.text[start..end];
        if !plain.is_ascii {
            utf8(text, start)?;
        }
        self.at = end + 1;
        Ok(Some(text))
    }

    /// Reads a string and appends its UTF-8; after an error it may have appended a part.
    pub fn string_into(&mut self, out: &mut Vec<u8>) -> Read<()> {
        self.skip_space();
        if self.text.get(self.at) != Some(&b'"') {
            return Err(self.wrong("a string"));
        }
        self.at += 1;
        loop {
            let plain = Plain::of(&self.text[self.at..]);
            let text = &self.text[self.at..self.at + plain.len];
            if !plain.is_ascii {
                utf8(text, self.at)?;
            }
            out.extend_from_slice(text);
            self.at += plain.len;
            match self.text.get(self.at) {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(());
                }
                Some(b'\\') => {
                    let escaped = self.escape()?;
                    out.extend_from_slice(escaped.encode_utf8(&mut [0; 4]).as_bytes());
                }
                Some(_) => return Err(self.error("control character in a string, expected it escaped")),
                None => return Err(self.error("string is not closed, expected '\"'")),
            }
        }
    }

    /// Opens an array.
    #[inline]
    pub fn begin_array(&mut self) -> Read<()> {
        self.skip_space();
        self.byte(b'[')?;
        self.fresh = true;
        Ok(())
    }

    /// Whether another element follows; false has consumed the closing bracket.
    #[inline]
    pub fn next_element(&mut self) -> Read<bool> {
        self.next_item(b']')
    }

    /// Opens an object.
    #[inline]
    pub fn begin_object(&mut self) -> Read<()> {
        self.skip_space();
        self.byte(b'{')?;
        self.fresh = true;
        Ok(())
    }

    /// The next key, with its colon consumed; none has consumed the closing brace.
    pub fn next_key(&mut self) -> Read<Option<Cow<'a, str>>> {
        let key = match self.next_key_bytes()? {
            None => return Ok(None),
            Some(Cow::Borrowed(key)) => std::str::from_utf8(key).ok().map(Cow::Borrowed),
            Some(Cow::Owned(key)) => String::from_utf8(key).ok().map(Cow::Owned),
        };
        key.map(Some).ok_or_else(|| not_utf8(self.key_at))
    }

    /// Reads `key` and its colon, if it comes next, without escapes and without more than one space before it; else reads
    /// nothing. The key must be one that JSON writes as it is.
    #[inline]
    pub fn skip_key(&mut self, key: &str) -> bool {
        let mut rest = &self.text[self.at..];
        if !self.fresh {
            let Some(next) = rest.strip_prefix(b",") else {
                return false;
            };
            rest = next.strip_prefix(b" ").unwrap_or(next);
        }
        let after = rest
            .strip_prefix(b"\"")
            .and_then(|rest| rest.strip_prefix(key.as_bytes()))
            .and_then(|rest| rest.strip_prefix(b"\":"));
        let Some(after) = after else {
            return false;
        };
        self.fresh = false;
        self.at = self.text.len() - after.len();
        true
    }

    /// As [`Reader::next_key`], the key as UTF-8.
    #[inline]
    pub fn next_key_bytes(&mut self) -> Read<Option<Cow<'a, [u8]>>> {
        if !self.next_item(b'}')? {
            return Ok(None);
        }
        self.skip_space();
        if self.text.get(self.at) != Some(&b'"') {
            return Err(self.wrong("a key in double quotes"));
        }
        self.key_at = self.at;
        let key = match self.plain_string()? {
            Some(key) => Cow::Borrowed(key),
            None => {
                let mut key = Vec::new();
                self.string_into(&mut key)?;
                Cow::Owned(key)
            }
        };
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

    #[inline]
    fn next_item(&mut self, close: u8) -> Read<bool> {
        self.skip_space();
        let fresh = std::mem::replace(&mut self.fresh, false);
        match self.text.get(self.at) {
            Some(b',') if !fresh => {
                self.at += 1;
                Ok(true)
            }
            Some(&byte) if byte == close => {
                self.at += 1;
                Ok(false)
            }
            Some(_) if fresh => Ok(true),
            _ => Err(self.wrong(&format!("',' or '{}'", close as char))),
        }
    }

    #[inline]
    fn skip_space(&mut self) {
        // Most often there is none.
        if self.text.get(self.at).is_some_and(|byte| *byte <= b' ') {
            self.skip_spaces();
        }
    }

    fn skip_spaces(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.text.get(self.at) {
            self.at += 1;
        }
    }

    fn word(&mut self, word: &[u8]) -> Read<()> {
        if self.text[self.at..].starts_with(word) {
            self.at += word.len();
            return Ok(());
        }
        Err(self.wrong(&format!("'{}'", String::from_utf8_lossy(word))))
    }

    #[inline]
    fn byte(&mut self, byte: u8) -> Read<()> {
        if self.text.get(self.at) == Some(&byte) {
            self.at += 1;
            return Ok(());
        }
        Err(self.wrong(&format!("'{}'", byte as char)))
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

    #[cold]
    fn wrong(&self, expected: &str) -> JsonError {
        let found = match self.text.get(self.at) {
            None => "the end of the text".to_string(),
            Some(byte @ 0x20..=0x7e) => format!("'{}'", *byte as char),
            Some(byte) => format!("byte 0x{byte:02x}"),
        };
        self.error(format!("found {found}, expected {expected}"))
    }

    #[cold]
    fn error(&self, message: impl Into<String>) -> JsonError {
        JsonError {
            offset: self.at,
            message: message.into(),
        }
    }
}

fn utf8(text: &[u8], offset: usize) -> Read<&str> {
    std::str::from_utf8(text).map_err(|error| not_utf8(offset + error.valid_up_to()))
}

#[cold]
fn not_utf8(offset: usize) -> JsonError {
    JsonError {
        offset,
        message: "string is not valid UTF-8".into(),
    }
}

/// The bytes before the first quote, backslash or control character.
struct Plain {
    len: usize,
    /// Whether they are known to be ASCII.
    is_ascii: bool,
}

impl Plain {
    /// Looks at eight bytes at a time.
    #[inline]
    fn of(text: &[u8]) -> Plain {
        let (words, tail) = text.as_chunks::<8>();
        let mut seen = 0;
        for (position, word) in words.iter().enumerate() {
            let word = u64::from_le_bytes(*word);
            let stops = stops(word);
            if stops != 0 {
                let len = stops.trailing_zeros() as usize / 8;
                seen |= word & !(u64::MAX << (8 * len));
                return Plain {
                    len: position * 8 + len,
                    is_ascii: seen & HIGH_BITS == 0,
                };
            }
            seen |= word;
        }
        // The last word overlaps one that is known, or itself.
        let last = match (
            text.last_chunk::<8>(),
            text.first_chunk::<4>(),
            text.last_chunk::<4>(),
        ) {
            (Some(last), ..) => u64::from_le_bytes(*last),
            (_, Some(first), Some(last)) => {
                u64::from(u32::from_le_bytes(*first)) | u64::from(u32::from_le_bytes(*last)) << 32
            }
            _ => tail
                .iter()
                .fold(0x2020_2020_2020_2020, |word, byte| word << 8 | u64::from(*byte)),
        };
        let is_stop = |byte: &u8| matches!(byte, b'"' | b'\\' | 0..=0x1f);
        let len = match stops(last) {
            0 => tail.len(),
            _ => tail.iter().position(is_stop).unwrap_or(tail.len()),
        };
        Plain {
            len: text.len() - tail.len() + len,
            is_ascii: (seen | last) & HIGH_BITS == 0,
        }
    }
}

const HIGH_BITS: u64 = 0x8080_8080_8080_8080;

/// The top bit of each byte that is a quote, a backslash or a control character. A byte after the first such may be marked
/// wrongly.
#[inline]
fn stops(word: u64) -> u64 {
    const ONES: u64 = 0x0101_0101_0101_0101;
    let is_zero = |word: u64| word.wrapping_sub(ONES) & !word;
    let quote = is_zero(word ^ (ONES * b'"' as u64));
    let backslash = is_zero(word ^ (ONES * b'\\' as u64));
    let control = word.wrapping_sub(ONES * 0x20) & !word;
    (quote | backslash | control) & HIGH_BITS
}

/// Appends a string in double quotes, with the escapes that JSON demands and no others.
pub fn write_string(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    let bytes = text.as_bytes();
    let mut at = 0;
    loop {
        let plain = Plain::of(&bytes[at..]).len;
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
