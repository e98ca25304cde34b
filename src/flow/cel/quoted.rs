//! Strings and bytes as they stand in an expression: quotes, prefixes and escapes. Knows nothing around them.

use super::expression::CelError;
use crate::flow::value::Value;

/// A string or bytes that begin at that offset, and where they end; nothing, if something else stands there.
pub(super) fn literal(text: &str, start: usize) -> Result<Option<(Value, usize)>, CelError> {
    let bytes = &text.as_bytes()[start..];
    let mut prefix = 0;
    let (mut is_raw, mut is_bytes) = (false, false);
    while let Some(byte) = bytes.get(prefix) {
        match byte {
            b'r' | b'R' if !is_raw => is_raw = true,
            b'b' | b'B' if !is_bytes => is_bytes = true,
            _ => break,
        }
        prefix += 1;
    }
    let Some(&quote @ (b'"' | b'\'')) = bytes.get(prefix) else {
        return Ok(None);
    };
    let is_triple = bytes[prefix..].starts_with(&[quote; 3]);
    let close = if is_triple { 3 } else { 1 };
    let mut reader = Reader {
        text,
        at: start + prefix + close,
        is_bytes,
        out: Vec::new(),
    };
    loop {
        let rest = &text.as_bytes()[reader.at..];
        let Some(&first) = rest.first() else {
            return Err(CelError::new(start, "a string has no end"));
        };
        if first == quote && rest.starts_with(&[quote; 3][..close]) {
            break;
        }
        if !is_triple && matches!(first, b'\n' | b'\r') {
            let error = CelError::new(start, "a string has no end on its line");
            return Err(error.hint("three quotes take several lines, \\n is the end of one"));
        }
        if first == b'\\' && !is_raw {
            reader.escape()?;
        } else {
            // A raw quote after a backslash still closes, as in the language's own scanner.
            reader.out.push(first);
            reader.at += 1;
        }
    }
    let end = reader.at + close;
    if is_bytes {
        return Ok(Some((Value::Bytes(reader.out.into()), end)));
    }
    match String::from_utf8(reader.out) {
        Ok(value) => Ok(Some((Value::Str(value.into()), end))),
        Err(_) => Err(CelError::new(start, "a string has to be text")),
    }
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
    is_bytes: bool,
    out: Vec<u8>,
}

impl Reader<'_> {
    /// What a backslash begins.
    fn escape(&mut self) -> Result<(), CelError> {
        let start = self.at;
        let kind = self.text.as_bytes().get(start + 1).copied().unwrap_or(0);
        self.at += 2;
        let plain = match kind {
            b'a' => 7,
            b'b' => 8,
            b'f' => 12,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'v' => 11,
            b'\\' | b'?' | b'"' | b'\'' | b'`' => kind,
            b'x' | b'X' => return self.number(start, 2, 16),
            b'u' if !self.is_bytes => return self.number(start, 4, 16),
            b'U' if !self.is_bytes => return self.number(start, 8, 16),
            b'0'..=b'3' => {
                self.at -= 1;
                return self.number(start, 3, 8);
            }
            _ => {
                let letter: String = self.text[start + 1..].chars().take(1).collect();
                let error = CelError::new(start, format!("'\\{letter}' is no escape"));
                return Err(error.hint("a backslash itself is \\\\, or the string begins with r"));
            }
        };
        self.out.push(plain);
        Ok(())
    }

    /// So many digits: a byte of bytes, a character of a string.
    fn number(&mut self, start: usize, digits: usize, radix: u32) -> Result<(), CelError> {
        let end = self.at + digits;
        let shown = self.text.get(self.at..end).unwrap_or_default();
        let is_digits = shown.bytes().all(|byte| char::from(byte).is_digit(radix));
        let number = u32::from_str_radix(shown, radix).ok().filter(|_| is_digits);
        self.at = end;
        match (number, self.is_bytes) {
            (Some(number @ 0..=255), true) => self.out.push(number as u8),
            (Some(number), false) if char::from_u32(number).is_some() => {
                let letter = char::from_u32(number).unwrap_or_default();
                let mut room = [0; 4];
                self.out
                    .extend_from_slice(letter.encode_utf8(&mut room).as_bytes());
            }
            _ => {
                return Err(CelError::new(
                    start,
                    format!("an escape lacks its {digits} digits, or is no character"),
                ));
            }
        }
        Ok(())
    }
}
