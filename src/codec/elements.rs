//! The elements of a canonical msgpack list one by one, packed or not. Checks nothing: the list was checked.

use crate::codec::msgpack::{MsgpackError, Reader, Token, write};
use crate::codec::schema::Number;
use crate::error::{Error, Kind, Result};

/// Calls `each` with the msgpack of every element of a list or tuple, or every value of a record. A null has none.
///
/// # Errors
/// Those of `each`; bytes that are no list.
pub fn elements(list: &[u8], mut each: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
    let mut cursor = Cursor::new(list)?;
    let mut packed = Vec::new();
    while let Some(element) = cursor.next(list, &mut packed)? {
        each(element)?;
    }
    Ok(())
}

/// A place in a list, between two elements. It does not hold the list.
#[derive(Clone, Copy, Debug)]
pub struct Cursor {
    at: usize,
    left: u64,
    kind: Kept,
}

#[derive(Clone, Copy, Debug)]
enum Kept {
    Values,
    Pairs,
    Packed(Number),
}

impl Cursor {
    /// Before the first element.
    ///
    /// # Errors
    /// Bytes that are no list.
    pub fn new(list: &[u8]) -> Result<Cursor> {
        let mut reader = Reader::new(list);
        let (left, kind) = match reader.next().map_err(broken)? {
            Token::Array(len) => (len.into(), Kept::Values),
            Token::Map(len) => (len.into(), Kept::Pairs),
            Token::Ext(ext_type, packed) => {
                let Some(number) = Number::from_ext_type(ext_type) else {
                    return Err(broken(MsgpackError::Invalid(0, "extension is no packed list")));
                };
                let left = (packed.len() / number.bytes()) as u64;
                let at = reader.offset() - packed.len();
                let kind = Kept::Packed(number);
                return Ok(Cursor { at, left, kind });
            }
            _ => (0, Kept::Values),
        };
        let at = reader.offset();
        Ok(Cursor { at, left, kind })
    }

    /// The next element of that list as msgpack, for which `packed` may be used; none after the last.
    ///
    /// # Errors
    /// Bytes that are no list.
    pub fn next<'a>(&mut self, list: &'a [u8], packed: &'a mut Vec<u8>) -> Result<Option<&'a [u8]>> {
        if self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        if let Kept::Packed(number) = self.kind {
            let end = self.at + number.bytes();
            packed.clear();
            unpack(number, list.get(self.at..end).unwrap_or_default(), packed);
            self.at = end;
            return Ok(Some(packed));
        }
        let mut reader = Reader::new(list);
        reader.seek(self.at);
        if let Kept::Pairs = self.kind {
            reader.skip().map_err(broken)?;
        }
        let element = reader.skip().map_err(broken)?;
        self.at = reader.offset();
        Ok(Some(element))
    }
}

fn broken(error: MsgpackError) -> Box<Error> {
    Error::new(Kind::Protocol, format!("result is not what was checked: {error}"))
}

/// Appends one little-endian element of a packed list as a value of its own.
fn unpack(number: Number, element: &[u8], out: &mut Vec<u8>) {
    let bits = element
        .iter()
        .rev()
        .fold(0u64, |bits, byte| bits << 8 | u64::from(*byte));
    match number {
        Number::F4 => write::f4(out, f32::from_bits(bits as u32)),
        Number::F8 => write::f8(out, f64::from_bits(bits)),
        Number::U1 | Number::U2 | Number::U4 | Number::U8 => write::unsigned(out, bits),
        Number::I1 => write::int(out, (bits as i8).into()),
        Number::I2 => write::int(out, (bits as i16).into()),
        Number::I4 => write::int(out, (bits as i32).into()),
        Number::I8 => write::int(out, bits as i64),
    }
}
