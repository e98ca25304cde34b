//! A msgpack reader that borrows from its bytes and allocates nothing, and writers of single values. Knows no schema:
//! [`crate::codec::transcode`] walks values by schema.
//!
//! The format is that of <https://github.com/msgpack/msgpack/blob/master/spec.md>; `rmp` knows its markers.

use rmp::Marker;
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
        let token = self.token();
        if token.is_err() {
            self.at = start;
        }
        token
    }

    /// The next token without consuming it.
    pub fn peek(&self) -> Read<Token<'a>> {
        self.clone().token()
    }

    /// Reads the head of an array whose elements may not have come yet: its length is not held against the bytes left.
    /// None, with nothing read, if something else comes next.
    pub fn array_head(&mut self) -> Read<Option<u32>> {
        let mut ahead = self.clone();
        let len = match Marker::from_u8(ahead.take(1)?[0]) {
            Marker::FixArray(len) => len.into(),
            Marker::Array16 => ahead.be(u16::from_be_bytes)?.into(),
            Marker::Array32 => ahead.be(u32::from_be_bytes)?,
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

    fn token(&mut self) -> Read<Token<'a>> {
        let start = self.at;
        let marker = Marker::from_u8(self.take(1)?[0]);
        Ok(match marker {
            Marker::FixPos(value) => Token::Int(value.into()),
            Marker::FixNeg(value) => Token::Int(value.into()),
            Marker::Null => Token::Nil,
            Marker::True => Token::Bool(true),
            Marker::False => Token::Bool(false),
            Marker::U8 => Token::Int(self.be(u8::from_be_bytes)?.into()),
            Marker::U16 => Token::Int(self.be(u16::from_be_bytes)?.into()),
            Marker::U32 => Token::Int(self.be(u32::from_be_bytes)?.into()),
            Marker::U64 => {
                let value = self.be(u64::from_be_bytes)?;
                i64::try_from(value).map_or(Token::Unsigned(value), Token::Int)
            }
            Marker::I8 => Token::Int(self.be(i8::from_be_bytes)?.into()),
            Marker::I16 => Token::Int(self.be(i16::from_be_bytes)?.into()),
            Marker::I32 => Token::Int(self.be(i32::from_be_bytes)?.into()),
            Marker::I64 => Token::Int(self.be(i64::from_be_bytes)?),
            Marker::F32 => Token::F4(self.be(f32::from_be_bytes)?),
            Marker::F64 => Token::F8(self.be(f64::from_be_bytes)?),
            Marker::FixStr(len) => self.string(start, len.into())?,
            Marker::Str8 => {
                let len = self.be(u8::from_be_bytes)?;
                self.string(start, len.into())?
            }
            Marker::Str16 => {
                let len = self.be(u16::from_be_bytes)?;
                self.string(start, len.into())?
            }
            Marker::Str32 => {
                let len = self.be(u32::from_be_bytes)?;
                self.string(start, len as usize)?
            }
            Marker::Bin8 => {
                let len = self.be(u8::from_be_bytes)?;
                Token::Bin(self.take(len.into())?)
            }
            Marker::Bin16 => {
                let len = self.be(u16::from_be_bytes)?;
                Token::Bin(self.take(len.into())?)
            }
            Marker::Bin32 => {
                let len = self.be(u32::from_be_bytes)?;
                Token::Bin(self.take(len as usize)?)
            }
            Marker::FixArray(len) => self.array(len.into())?,
            Marker::Array16 => {
                let len = self.be(u16::from_be_bytes)?;
                self.array(len.into())?
            }
            Marker::Array32 => {
                let len = self.be(u32::from_be_bytes)?;
                self.array(len)?
            }
            Marker::FixMap(len) => self.map(len.into())?,
            Marker::Map16 => {
                let len = self.be(u16::from_be_bytes)?;
                self.map(len.into())?
            }
            Marker::Map32 => {
                let len = self.be(u32::from_be_bytes)?;
                self.map(len)?
            }
            Marker::FixExt1 => self.ext(1)?,
            Marker::FixExt2 => self.ext(2)?,
            Marker::FixExt4 => self.ext(4)?,
            Marker::FixExt8 => self.ext(8)?,
            Marker::FixExt16 => self.ext(16)?,
            Marker::Ext8 => {
                let len = self.be(u8::from_be_bytes)?;
                self.ext(len.into())?
            }
            Marker::Ext16 => {
                let len = self.be(u16::from_be_bytes)?;
                self.ext(len.into())?
            }
            Marker::Ext32 => {
                let len = self.be(u32::from_be_bytes)?;
                self.ext(len as usize)?
            }
            Marker::Reserved => return Err(MsgpackError::Invalid(start, "byte 0xc1 is not msgpack")),
        })
    }

    fn take(&mut self, len: usize) -> Read<&'a [u8]> {
        let taken = self.rest().get(..len).ok_or(MsgpackError::Incomplete)?;
        self.at += len;
        Ok(taken)
    }

    fn be<const N: usize, T>(&mut self, decode: fn([u8; N]) -> T) -> Read<T> {
        let bytes = self.rest().first_chunk::<N>().ok_or(MsgpackError::Incomplete)?;
        self.at += N;
        Ok(decode(*bytes))
    }

    fn string(&mut self, start: usize, len: usize) -> Read<Token<'a>> {
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

    fn ext(&mut self, len: usize) -> Read<Token<'a>> {
        let ext_type = self.be(i8::from_be_bytes)?;
        Ok(Token::Ext(ext_type, self.take(len)?))
    }
}

/// Appending values to a buffer, each in its shortest form. None of them can fail: a `Vec` takes every write.
pub mod write {
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
    pub fn int(out: &mut Vec<u8>, value: i64) {
        let _ = encode::write_sint(out, value);
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
    pub fn f8(out: &mut Vec<u8>, value: f64) {
        let _ = encode::write_f64(out, value);
    }

    /// str; at most `u32::MAX` bytes
    pub fn string(out: &mut Vec<u8>, value: &str) {
        let _ = encode::write_str(out, value);
    }

    /// bin; at most `u32::MAX` bytes
    pub fn bin(out: &mut Vec<u8>, value: &[u8]) {
        let _ = encode::write_bin(out, value);
    }

    /// The head of an array; its elements are written after it.
    pub fn array(out: &mut Vec<u8>, len: u32) {
        let _ = encode::write_array_len(out, len);
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
