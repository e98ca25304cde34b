//! Canonical msgpack from msgpack by schema, and the check alone: the writers behind the walk of [`super::from_msgpack`].

use super::from_msgpack::{Emit, walk};
use super::late_head;
use super::value_error::{ValueError, Walk};
use crate::codec::integer;
use crate::codec::msgpack::write;
use crate::codec::schema::{Field, Number, Types};
use crate::ids::TypeId;

/// Checks a msgpack value against its type and appends it in canonical form: lists of numbers packed, records as maps with
/// all keys in order, integers and lengths in their shortest form.
///
/// # Errors
/// Bytes that are not msgpack or do not fit the type; `out` is then as it was.
pub fn msgpack_to_msgpack(
    types: &Types,
    ty: TypeId,
    bytes: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), ValueError> {
    let start = out.len();
    walk(types, ty, bytes, &mut Canonical { out }).inspect_err(|_| out.truncate(start))
}

/// Checks a msgpack value against its type.
///
/// # Errors
/// Bytes that are not msgpack or do not fit the type.
pub fn check_msgpack(types: &Types, ty: TypeId, bytes: &[u8]) -> Result<(), ValueError> {
    walk(types, ty, bytes, &mut Nothing)
}

struct Canonical<'o> {
    out: &'o mut Vec<u8>,
}

impl Emit for Canonical<'_> {
    fn nil(&mut self) {
        write::nil(self.out);
    }

    fn boolean(&mut self, value: bool) {
        write::boolean(self.out, value);
    }

    fn int(&mut self, value: i64) {
        write::int(self.out, value);
    }

    fn unsigned(&mut self, value: u64) {
        write::unsigned(self.out, value);
    }

    fn big(&mut self, bytes: &[u8]) {
        write::ext(self.out, integer::EXT_TYPE, bytes.len() as u32);
        self.out.extend_from_slice(bytes);
    }

    fn f4(&mut self, value: f32) {
        write::f4(self.out, value);
    }

    fn f8(&mut self, value: f64) {
        write::f8(self.out, value);
    }

    fn json(&mut self, text: &str) {
        write::json(self.out, text.as_bytes());
    }

    fn string(&mut self, text: &str) {
        write::string(self.out, text);
    }

    fn bytes(&mut self, bytes: &[u8]) {
        write::bin(self.out, bytes);
    }

    fn begin_numbers(&mut self, number: Number, count: u32, offset: usize) -> Walk {
        let len = late_head::size(count as usize * number.bytes(), offset)?;
        write::ext(self.out, number.ext_type(), len);
        Ok(())
    }

    fn numbers(&mut self, _: Number, elements: &[u8], _: usize) -> Walk {
        self.out.extend_from_slice(elements);
        Ok(())
    }

    fn end_numbers(&mut self, _: u32) {}

    fn begin_list(&mut self, len: u32) {
        write::array(self.out, len);
    }

    fn element(&mut self, _: usize) -> Walk {
        Ok(())
    }

    fn end_list(&mut self, _: u32) {}

    fn begin_record(&mut self, len: u32) {
        write::map(self.out, len);
    }

    fn key(&mut self, _: usize, field: &Field) -> Walk {
        write::string(self.out, &field.key);
        Ok(())
    }

    fn end_record(&mut self, _: u32) {}
}

struct Nothing;

impl Emit for Nothing {
    fn nil(&mut self) {}
    fn boolean(&mut self, _: bool) {}
    fn int(&mut self, _: i64) {}
    fn unsigned(&mut self, _: u64) {}
    fn big(&mut self, _: &[u8]) {}
    fn f4(&mut self, _: f32) {}
    fn f8(&mut self, _: f64) {}
    fn string(&mut self, _: &str) {}
    fn bytes(&mut self, _: &[u8]) {}
    fn begin_numbers(&mut self, _: Number, _: u32, _: usize) -> Walk {
        Ok(())
    }
    fn numbers(&mut self, _: Number, _: &[u8], _: usize) -> Walk {
        Ok(())
    }
    fn end_numbers(&mut self, _: u32) {}
    fn begin_list(&mut self, _: u32) {}
    fn element(&mut self, _: usize) -> Walk {
        Ok(())
    }
    fn end_list(&mut self, _: u32) {}
    fn begin_record(&mut self, _: u32) {}
    fn key(&mut self, _: usize, _: &Field) -> Walk {
        Ok(())
    }
    fn end_record(&mut self, _: u32) {}
}
