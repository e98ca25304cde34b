//! A msgpack reader that borrows from its bytes and allocates nothing, and writers of single values. Knows no schema:
//! [`crate::codec::transcode`] walks values by schema.
//!
//! The format is that of <https://github.com/msgpack/msgpack/blob/master/spec.md>.

use std::fmt;

/// One token. A container's elements follow it as tokens of their own.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Token<'a> {
    /// nil
    Nil,
    /// true or false
    Bool(bool),
    /// An integer from any of the formats; `u64` values beyond `i64` are [`Token::Unsigned`].
    Int(i64),
    /// An integer above `i64::MAX`.
    Unsigned(u64),
    /// float 32
    F4(f32),
    /// float 64
    F8(f64),
    /// str, checked to be UTF-8
    Str(&'a str),
    /// bin
    Bin(&'a [u8]),
    /// An array of that many elements.
    Array(u32),
    /// A map of that many pairs.
    Map(u32),
    /// An extension: its type and payload.
    Ext(i8, &'a [u8]),
}

impl Token<'_> {
    /// The word for it in messages.
    pub fn name(&self) -> &'static str {
        match self {
            Token::Nil => "nil",
            Token::Bool(_) => "a boolean",
            Token::Int(_) | Token::Unsigned(_) => "an integer",
            Token::F4(_) | Token::F8(_) => "a float",
            Token::Str(_) => "a string",
            Token::Bin(_) => "bytes",
            Token::Array(_) => "an array",
            Token::Map(_) => "a map",
            Token::Ext(..) => "an extension",
        }
    }
}

/// Why the next token can't be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MsgpackError {
    /// The bytes end before the value does; more of them may complete it.
    Incomplete,
    /// No continuation can make it valid: the byte offset and one sentence.
    Invalid(usize, &'static str),
}

impl fmt::Display for MsgpackError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MsgpackError::Incomplete => out.write_str("msgpack value is cut off"),
            MsgpackError::Invalid(offset, message) => write!(out, "{message} at byte {offset}"),
        }
    }
}

type Read<T> = Result<T, MsgpackError>;

/// A cursor over msgpack bytes.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    /// A reader at the start of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader { bytes, at: 0 }
    }

    /// Byte offset of the next token.
    pub fn offset(&self) -> usize {
        self.at
    }

    /// Goes to an offset that [`Reader::offset`] gave, or to the end if it lies beyond.
    pub fn seek(&mut self, offset: usize) {
        self.at = offset.min(self.bytes.len());
    }

    /// The bytes not yet read.
    #[inline(always)]
    pub fn rest(&self) -> &'a [u8] {
        &self.bytes[self.at..]
    }

    /// Whether everything was read.
    pub fn is_done(&self) -> bool {
        self.at == self.bytes.len()
    }

    /// Reads one token. An error leaves the reader where it was.
    ///
    /// # Errors
    /// Bytes that end early (also a container that claims more elements than there are bytes left), the unused marker
    /// 0xc1, a string that is not UTF-8.
    #[allow(clippy::should_implement_trait)]
    pub fn next(&mut self) -> Read<Token<'a>> {
        let start = self.at;
        self.token().inspect_err(|_| self.at = start)
    }

    /// The next token without consuming it.
    pub fn peek(&self) -> Read<Token<'a>> {
        self.clone().token()
    }

    /// Reads the head of an array whose elements may not have come yet: its length is not held against the bytes left.
    /// None, with nothing read, if something else comes next.
    pub fn array_head(&mut self) -> Read<Option<u32>> {
        let mut ahead = self.clone();
        let len = match ahead.be(u8::from_be_bytes)? {
            head @ 0x90..=0x9f => (head & 0x0f).into(),
            0xdc => ahead.be(u16::from_be_bytes)?.into(),
            0xdd => ahead.be(u32::from_be_bytes)?,
            _ => return Ok(None),
        };
        *self = ahead;
        Ok(Some(len))
    }

    /// Reads past one whole value and returns its bytes.
    pub fn skip(&mut self) -> Read<&'a [u8]> {
        let start = self.at;
        // A count instead of a stack: every token takes at least one byte, so the loop ends with the bytes.
        let mut pending = 1u64;
        while pending > 0 {
            pending -= 1;
            pending += match self.next()? {
                Token::Array(len) => u64::from(len),
                Token::Map(len) => 2 * u64::from(len),
                _ => 0,
            };
        }
        Ok(&self.bytes[start..self.at])
    }

    #[inline(always)]
    fn token(&mut self) -> Read<Token<'a>> {
        let start = self.at;
        let marker = self.be(u8::from_be_bytes)?;
        Ok(match marker {
            0x00..=0x7f => Token::Int(marker.into()),
            0x80..=0x8f => self.map((marker & 0x0f).into())?,
            0x90..=0x9f => self.array((marker & 0x0f).into())?,
            0xa0..=0xbf => self.string(start, (marker & 0x1f).into())?,
            0xc0 => Token::Nil,
            0xc1 => return Err(MsgpackError::Invalid(start, "byte 0xc1 is not msgpack")),
            0xc2 => Token::Bool(false),
            0xc3 => Token::Bool(true),
            0xc4 => self.be(u8::from_be_bytes).and_then(|len| self.bin(len.into()))?,
            0xc5 => self.be(u16::from_be_bytes).and_then(|len| self.bin(len.into()))?,
            0xc6 => self.be(u32::from_be_bytes).and_then(|len| self.bin(len))?,
            0xc7 => self.be(u8::from_be_bytes).and_then(|len| self.ext(len.into()))?,
            0xc8 => self.be(u16::from_be_bytes).and_then(|len| self.ext(len.into()))?,
            0xc9 => self.be(u32::from_be_bytes).and_then(|len| self.ext(len))?,
            0xca => Token::F4(self.be(f32::from_be_bytes)?),
            0xcb => Token::F8(self.be(f64::from_be_bytes)?),
            0xcc => Token::Int(self.be(u8::from_be_bytes)?.into()),
            0xcd => Token::Int(self.be(u16::from_be_bytes)?.into()),
            0xce => Token::Int(self.be(u32::from_be_bytes)?.into()),
            0xcf => {
                let value = self.be(u64::from_be_bytes)?;
                i64::try_from(value).map_or(Token::Unsigned(value), Token::Int)
            }
            0xd0 => Token::Int(self.be(i8::from_be_bytes)?.into()),
            0xd1 => Token::Int(self.be(i16::from_be_bytes)?.into()),
            0xd2 => Token::Int(self.be(i32::from_be_bytes)?.into()),
            0xd3 => Token::Int(self.be(i64::from_be_bytes)?),
            0xd4..=0xd8 => self.ext(1 << (marker - 0xd4))?,
            0xd9 => self
                .be(u8::from_be_bytes)
                .and_then(|len| self.string(start, len.into()))?,
            0xda => self
                .be(u16::from_be_bytes)
                .and_then(|len| self.string(start, len.into()))?,
            0xdb => self
                .be(u32::from_be_bytes)
                .and_then(|len| self.string(start, len))?,
            0xdc => self
                .be(u16::from_be_bytes)
                .and_then(|len| self.array(len.into()))?,
            0xdd => self.be(u32::from_be_bytes).and_then(|len| self.array(len))?,
            0xde => self.be(u16::from_be_bytes).and_then(|len| self.map(len.into()))?,
            0xdf => self.be(u32::from_be_bytes).and_then(|len| self.map(len))?,
            0xe0..=0xff => Token::Int((marker as i8).into()),
        })
    }

    /// Reads the string `key` if it comes next in its shortest form, else nothing.
    #[inline]
    pub fn skip_key(&mut self, key: &str) -> bool {
        let rest = self.rest();
        let text = match key.len() {
            len @ 0..32 => rest.strip_prefix(&[0xa0 | len as u8]),
            len @ 32..256 => rest.strip_prefix(&[0xd9, len as u8]),
            _ => None,
        };
        let after = text.and_then(|text| text.strip_prefix(key.as_bytes()));
        if let Some(after) = after {
            self.at = self.bytes.len() - after.len();
        }
        after.is_some()
    }

    #[inline]
    fn take(&mut self, len: u32) -> Read<&'a [u8]> {
        let len = len as usize;
        let taken = self.rest().get(..len).ok_or(MsgpackError::Incomplete)?;
        self.at += len;
        Ok(taken)
    }

    #[inline]
    fn be<const N: usize, T>(&mut self, decode: fn([u8; N]) -> T) -> Read<T> {
        let bytes = self.rest().first_chunk::<N>().ok_or(MsgpackError::Incomplete)?;
        self.at += N;
        Ok(decode(*bytes))
    }

    fn bin(&mut self, len: u32) -> Read<Token<'a>> {
        self.take(len).map(Token::Bin)
    }

    #[inline]
    fn string(&mut self, start: usize, len: u32) -> Read<Token<'a>> {
        let text = std::str::from_utf8(self.take(len)?);
        text.map(Token::Str)
            .map_err(|_| MsgpackError::Invalid(start, "string is not valid UTF-8"))
    }

    fn array(&self, len: u32) -> Read<Token<'a>> {
        match self.rest().len() >= len as usize {
            true => Ok(Token::Array(len)),
            false => Err(MsgpackError::Incomplete),
        }
    }

    fn map(&self, len: u32) -> Read<Token<'a>> {
        match (self.rest().len() as u64) >= 2 * u64::from(len) {
            true => Ok(Token::Map(len)),
            false => Err(MsgpackError::Incomplete),
        }
    }

    fn ext(&mut self, len: u32) -> Read<Token<'a>> {
        let ext_type = self.be(i8::from_be_bytes)?;
        Ok(Token::Ext(ext_type, self.take(len)?))
    }
}

/// Appending values to a buffer, each in its shortest form. None of them can fail: a `Vec` takes every write.
pub mod write {
    use crate::codec::json::on_one_line;
    use rmp::encode;

    /// nil
    pub fn nil(out: &mut Vec<u8>) {
        out.push(0xc0);
    }

    /// true or false
    pub fn boolean(out: &mut Vec<u8>, value: bool) {
        out.push(if value { 0xc3 } else { 0xc2 });
    }

    /// A signed integer.
    #[inline]
    pub fn int(out: &mut Vec<u8>, value: i64) {
        match value {
            -32..=127 => out.push(value as u8),
            _ => drop(encode::write_sint(out, value)),
        }
    }

    /// An unsigned integer.
    pub fn unsigned(out: &mut Vec<u8>, value: u64) {
        let _ = encode::write_uint(out, value);
    }

    /// float 32
    pub fn f4(out: &mut Vec<u8>, value: f32) {
        let _ = encode::write_f32(out, value);
    }

    /// float 64
    #[inline]
    pub fn f8(out: &mut Vec<u8>, value: f64) {
        let bytes = value.to_be_bytes();
        out.extend_from_slice(&[
            0xcb, bytes[0], bytes[1], bytes[2], bytes[3], bytes[4], bytes[5], bytes[6], bytes[7],
        ]);
    }

    /// str; at most `u32::MAX` bytes
    pub fn string(out: &mut Vec<u8>, value: &str) {
        string_bytes(out, value.as_bytes());
    }

    /// str from its UTF-8; at most `u32::MAX` bytes
    #[inline(always)]
    pub fn string_bytes(out: &mut Vec<u8>, value: &[u8]) {
        string_head(out, value.len() as u32);
        out.extend_from_slice(value);
    }

    /// str from a JSON text, on one line; at most `u32::MAX` bytes
    pub fn json(out: &mut Vec<u8>, text: &[u8]) {
        let bytes = on_one_line(text);
        string_head(out, bytes.len() as u32);
        out.extend(bytes);
    }

    /// The head of a str; its `len` bytes of UTF-8 are written after it.
    #[inline(always)]
    pub fn string_head(out: &mut Vec<u8>, len: u32) {
        // Most strings are short.
        match u8::try_from(len) {
            Ok(len @ 0..32) => out.push(0xa0 | len),
            _ => drop(encode::write_str_len(out, len)),
        }
    }

    /// The head of a bin; its `len` bytes are written after it.
    pub fn bin_head(out: &mut Vec<u8>, len: u32) {
        let _ = encode::write_bin_len(out, len);
    }

    /// bin; at most `u32::MAX` bytes
    pub fn bin(out: &mut Vec<u8>, value: &[u8]) {
        let _ = encode::write_bin(out, value);
    }

    /// The head of an array; its elements are written after it.
    #[inline]
    pub fn array(out: &mut Vec<u8>, len: u32) {
        match u8::try_from(len) {
            Ok(len @ 0..16) => out.push(0x90 | len),
            _ => drop(encode::write_array_len(out, len)),
        }
    }

    /// The head of a map; its keys and values are written after it.
    pub fn map(out: &mut Vec<u8>, len: u32) {
        let _ = encode::write_map_len(out, len);
    }

    /// The head of an extension; its `len` payload bytes are written after it.
    pub fn ext(out: &mut Vec<u8>, ext_type: i8, len: u32) {
        let _ = encode::write_ext_meta(out, len, ext_type);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(bytes: &[u8], expected: Read<Token<'_>>) {
        let mut reader = Reader::new(bytes);
        assert_eq!(reader.next(), expected, "{bytes:02x?}");
    }

    #[test]
    fn tokens() {
        check(&[0xc0], Ok(Token::Nil));
        check(&[0xcf, 0, 0, 0, 0, 0, 0, 0, 1], Ok(Token::Int(1)));
        check(
            &[0xcf, 255, 255, 255, 255, 255, 255, 255, 255],
            Ok(Token::Unsigned(u64::MAX)),
        );
        check(&[0xd0, 0x80], Ok(Token::Int(-128)));
        check(&[0xa2, b'h', b'i'], Ok(Token::Str("hi")));
        check(&[0xc4, 1, 9], Ok(Token::Bin(&[9])));
        check(&[0xd4, 5, 9], Ok(Token::Ext(5, &[9])));
        check(&[0x92, 1, 2], Ok(Token::Array(2)));
        check(&[0x81, 1, 2], Ok(Token::Map(1)));
    }

    #[test]
    fn what_is_claimed_is_not_believed() {
        check(&[], Err(MsgpackError::Incomplete));
        check(&[0xdd, 255, 255, 255, 255], Err(MsgpackError::Incomplete));
        check(&[0xdf, 255, 255, 255, 255, 0], Err(MsgpackError::Incomplete));
        check(&[0xdb, 255, 255, 255, 255], Err(MsgpackError::Incomplete));
        check(&[0xc9, 255, 255, 255, 255, 1], Err(MsgpackError::Incomplete));
        check(&[0xc1], Err(MsgpackError::Invalid(0, "byte 0xc1 is not msgpack")));
        check(
            &[0xa1, 0xff],
            Err(MsgpackError::Invalid(0, "string is not valid UTF-8")),
        );
    }

    #[test]
    fn skip_passes_one_value() {
        let bytes = [0x92, 0x81, 0xa1, b'a', 0x91, 1, 2, 7];
        let mut reader = Reader::new(&bytes);
        assert_eq!(reader.skip(), Ok(&bytes[..7]));
        assert_eq!(reader.next(), Ok(Token::Int(7)));
        assert!(reader.is_done());
        assert_eq!(Reader::new(&[0x92, 1]).skip(), Err(MsgpackError::Incomplete));
    }
}
