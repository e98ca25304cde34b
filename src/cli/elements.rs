//! The elements of a canonical msgpack list one by one, packed or not. Checks nothing: the list was checked.

use crate::codec::msgpack::{MsgpackError, Reader, Token, write};
use crate::codec::schema::Number;
use crate::error::{Error, Kind, Result};

/// Calls `each` with the msgpack of every element of a list or tuple. A null has none.
///
/// # Errors
/// Those of `each`; bytes that are no list.
pub fn elements(list: &[u8], mut each: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
    let mut reader = Reader::new(list);
    match reader.next().map_err(broken)? {
        Token::Array(len) => {
            for _ in 0..len {
                each(reader.skip().map_err(broken)?)?;
            }
        }
        Token::Map(len) => {
            for _ in 0..len {
                reader.skip().map_err(broken)?;
                each(reader.skip().map_err(broken)?)?;
            }
        }
        Token::Ext(ext_type, packed) => {
            let Some(number) = Number::from_ext_type(ext_type) else {
                return Err(broken(MsgpackError::Invalid(0, "extension is no packed list")));
            };
            let mut element = Vec::new();
            for bytes in packed.chunks_exact(number.bytes()) {
                element.clear();
                unpack(number, bytes, &mut element);
                each(&element)?;
            }
        }
        _ => {}
    }
    Ok(())
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
