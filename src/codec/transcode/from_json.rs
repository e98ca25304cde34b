//! The walk over JSON text by schema that writes msgpack: records with all keys in order, lists of numbers packed, every
//! integer and length in its shortest form. Holds no value besides what it has written.

use super::late_head::{self, LateHead};
use super::value_error::{ValueError, Walk, describe, quoted};
use crate::codec::json::{Reader, Shape};
use crate::codec::msgpack::write;
use crate::codec::number::Decimal;
use crate::codec::schema::{Field, Number, Type, Types};
use crate::codec::{base64, integer};
use crate::ids::TypeId;
use crate::limits::{DEPTH_MAX, INTEGER_DIGITS_MAX};
use std::borrow::Cow;
use std::ops::Range;

/// Packed numbers that are appended at once, in bytes: enough that appending costs little, few enough to clear for a short
/// list.
const BLOCK_BYTES: usize = 128;

/// Reads one JSON text by its type and appends it as msgpack.
///
/// # Errors
/// Text that is not JSON or does not fit the type; `out` is then as it was.
pub fn json_to_msgpack(types: &Types, ty: TypeId, text: &[u8], out: &mut Vec<u8>) -> Result<(), ValueError> {
    read(types, ty, text, 0, true, out).map(drop)
}

/// Reads the value that begins at that offset of a JSON text by its type and appends it as msgpack; the end of it comes back.
///
/// # Errors
/// As those of [`json_to_msgpack`].
pub fn json_value_to_msgpack(
    types: &Types,
    ty: TypeId,
    text: &[u8],
    offset: usize,
    out: &mut Vec<u8>,
) -> Result<usize, ValueError> {
    read(types, ty, text, offset, false, out)
}

fn read(
    types: &Types,
    ty: TypeId,
    text: &[u8],
    offset: usize,
    is_whole: bool,
    out: &mut Vec<u8>,
) -> Result<usize, ValueError> {
    let start = out.len();
    let mut walker = Walker {
        types,
        reader: Reader::new(text),
        out,
        slots: Vec::new(),
        spare: Vec::new(),
    };
    walker.reader.seek(offset);
    let walked = walker.value(ty, 0).and_then(|()| match is_whole {
        true => walker.reader.finish().map_err(Into::into),
        false => Ok(()),
    });
    let end = walker.reader.offset();
    walked.map(|()| end).map_err(|error| {
        out.truncate(start);
        *error
    })
}

struct Walker<'a, 't> {
    types: &'t Types,
    reader: Reader<'a>,
    out: &'t mut Vec<u8>,
    /// Where in `out` the fields of the records lie whose keys came out of order; a stack, the innermost record last.
    slots: Vec<Range<usize>>,
    /// Holds the fields of one record while they are put in order.
    spare: Vec<u8>,
}

impl<'a, 't> Walker<'a, 't> {
    fn value(&mut self, ty: TypeId, depth: usize) -> Walk {
        let shape = self.reader.peek();
        let mut node = self.types.node(ty);
        if let Type::Optional(_) = node {
            if let Ok(Shape::Null) = shape {
                return self.null();
            }
            while let Type::Optional(inner) = node {
                node = self.types.node(inner);
            }
        }
        let Ok(shape) = shape else {
            return Err(self.mismatch(node));
        };
        if depth > DEPTH_MAX {
            return Err(ValueError::too_deep(self.reader.offset()));
        }
        match (node, shape) {
            (Type::Nil, Shape::Null) => self.null(),
            (Type::Bool, Shape::Bool) => self.boolean(),
            (Type::Number(number @ (Number::F4 | Number::F8)), Shape::Number | Shape::Str) => {
                self.float(number)
            }
            (Type::Number(number), Shape::Number) => self.whole(number),
            (Type::Integer, Shape::Number) => self.integer(),
            (Type::Str, Shape::Str) => self.string(),
            (Type::Json, _) => self.json(),
            (Type::Bytes, Shape::Str) => self.bytes(),
            (Type::List { element, len }, Shape::Array) => match self.types.node(element) {
                Type::Number(number) => self.numbers(number, len),
                _ => self.list(element, len, depth),
            },
            (Type::Tuple(span), Shape::Array) => self.tuple(self.types.members(span), depth),
            (Type::Record(span), Shape::Object) => self.record(self.types.fields(span), depth),
            (Type::Function { .. } | Type::Opaque(_), _) => {
                Err(ValueError::no_text(self.reader.offset(), self.types, node))
            }
            _ => Err(self.mismatch(node)),
        }
    }

    /// The error for the value that comes next, which is not of that type.
    #[cold]
    fn mismatch(&mut self, ty: Type) -> Box<ValueError> {
        let mut ahead = self.reader.clone();
        let shape = ahead.peek();
        let offset = ahead.offset();
        let mut is_integer = false;
        let found = shape.and_then(|shape| {
            let text = match shape {
                Shape::Null => ahead.null().map(|()| "null".to_string()),
                Shape::Bool => ahead.boolean().map(|value| value.to_string()),
                Shape::Number => ahead.number().map(|text| {
                    is_integer = is_written_integer(text);
                    shortened(text)
                }),
                Shape::Str => ahead.string().map(|text| quoted(&text)),
                Shape::Array | Shape::Object => Ok(shape.name().to_string()),
            };
            text.map(|text| (shape, text))
        });
        let (error, hint) = match found {
            Ok((shape, text)) => {
                let error = ValueError::mismatch(offset, &describe(self.types, ty), &text);
                (error, hint(ty, Some(shape), is_integer))
            }
            Err(error) => (error.into(), hint(ty, None, is_integer)),
        };
        match hint {
            Some(hint) => error.hint(hint),
            None => error,
        }
    }

    fn null(&mut self) -> Walk {
        self.reader.null()?;
        write::nil(self.out);
        Ok(())
    }

    fn boolean(&mut self) -> Walk {
        let value = self.reader.boolean()?;
        write::boolean(self.out, value);
        Ok(())
    }

    fn string(&mut self) -> Walk {
        let offset = self.reader.offset();
        if let Some(text) = self.reader.plain_string()? {
            late_head::size(text.len(), offset)?;
            write::string_bytes(self.out, text);
            return Ok(());
        }
        let head = LateHead::new(late_head::TEXT_ROOM, self.out);
        self.reader.string_into(self.out)?;
        head.end_bytes(self.out, offset, write::string_head)
    }

    /// Any value, as its text.
    fn json(&mut self) -> Walk {
        let offset = self.reader.offset();
        let text = self.reader.skip()?;
        late_head::size(text.len(), offset)?;
        write::json(self.out, text);
        Ok(())
    }

    fn bytes(&mut self) -> Walk {
        let offset = self.reader.offset();
        let head = LateHead::new(late_head::TEXT_ROOM, self.out);
        let decoded = match self.reader.plain_string()? {
            Some(text) => base64::decode(text, self.out),
            // An escaped slash, most likely.
            None => base64::decode(self.reader.string()?.as_bytes(), self.out),
        };
        match decoded {
            Ok(()) => head.end_bytes(self.out, offset, write::bin_head),
            Err(wrong) => {
                self.reader.seek(offset);
                Err(self.bad_base64(wrong))
            }
        }
    }

    #[cold]
    fn bad_base64(&mut self, wrong: usize) -> Box<ValueError> {
        let hint = format!(
            "base64 has 4 of A-Z a-z 0-9 + / for 3 bytes, and = to fill up the end; it is wrong from character {} on",
            wrong + 1
        );
        self.mismatch(Type::Bytes).hint(hint)
    }

    fn float(&mut self, number: Number) -> Walk {
        if number == Number::F4 {
            let value = self.f4()?;
            write::f4(self.out, value);
        } else {
            let value = self.f8()?;
            write::f8(self.out, value);
        }
        Ok(())
    }

    fn whole(&mut self, number: Number) -> Walk {
        let bits = self.whole_bits(number)?;
        match number.is_signed() {
            true => write::int(self.out, bits as i64),
            false => write::unsigned(self.out, bits),
        }
        Ok(())
    }

    fn integer(&mut self) -> Walk {
        let start = self.reader.offset();
        let found = self.reader.decimal()?;
        let shifted;
        let number = match found.is_whole {
            true => Some(found),
            false => {
                shifted = found.shifted();
                shifted.as_deref().and_then(|text| Decimal::scan(text).ok())
            }
        };
        let Some(number) = number else {
            self.reader.seek(start);
            return Err(self.mismatch(Type::Integer));
        };
        if let Some(value) = number.whole(Number::I8) {
            write::int(self.out, value as i64);
            return Ok(());
        }
        if let Some(value) = number.whole(Number::U8) {
            write::unsigned(self.out, value);
            return Ok(());
        }
        let bytes = integer::from_decimal(number.text).map_err(|_| {
            ValueError::new(
                start,
                format!("integer has more than {INTEGER_DIGITS_MAX} digits"),
            )
        })?;
        write::ext(self.out, integer::EXT_TYPE, bytes.len() as u32);
        self.out.extend_from_slice(&bytes);
        Ok(())
    }

    /// Reads a number; its little-endian bytes are the first of these bits.
    #[inline]
    fn bits(&mut self, number: Number) -> Walk<u64> {
        match number {
            Number::F8 => Ok(self.f8()?.to_bits()),
            Number::F4 => Ok(self.f4()?.to_bits().into()),
            _ => self.whole_bits(number),
        }
    }

    /// Reads an integer of fixed width, sign-extended to 64 bits.
    #[inline]
    fn whole_bits(&mut self, number: Number) -> Walk<u64> {
        let start = self.reader.offset();
        let found = self.reader.decimal().ok();
        if let Some(bits) =
            found.and_then(|found| found.whole(number).or_else(|| shifted_bits(found, number)))
        {
            return Ok(bits);
        }
        self.reader.seek(start);
        Err(self.mismatch(Type::Number(number)))
    }

    #[inline]
    fn f8(&mut self) -> Walk<f64> {
        let start = self.reader.offset();
        match self.reader.decimal().map(|found| found.f8()) {
            Ok(value) if value.is_finite() => Ok(value),
            _ => {
                self.reader.seek(start);
                self.special(Number::F8)
            }
        }
    }

    #[inline]
    fn f4(&mut self) -> Walk<f32> {
        let start = self.reader.offset();
        match self.reader.decimal().map(|found| found.f4()) {
            Ok(value) if value.is_finite() => Ok(value),
            _ => {
                self.reader.seek(start);
                self.special(Number::F4).map(|value| value as f32)
            }
        }
    }

    /// Reads a float that JSON has no number for.
    #[cold]
    fn special(&mut self, number: Number) -> Walk<f64> {
        let mut ahead = self.reader.clone();
        let value = match ahead.string().as_deref() {
            Ok("NaN") => f64::NAN,
            Ok("Infinity") => f64::INFINITY,
            Ok("-Infinity") => f64::NEG_INFINITY,
            _ => return Err(self.mismatch(Type::Number(number))),
        };
        self.reader = ahead;
        Ok(value)
    }

    /// A list of numbers of fixed width, packed.
    fn numbers(&mut self, number: Number, len: Option<u32>) -> Walk {
        let offset = self.reader.offset();
        let head = LateHead::new(late_head::EXT_ROOM, self.out);
        let mut count = 0;
        // To append a few bytes to what may have to grow is a call, and a slow one with musl; to put them here is not.
        let (mut block, mut used) = ([0; BLOCK_BYTES], 0);
        self.reader.begin_array()?;
        while self.reader.next_element()? {
            let bits = self.bits(number).map_err(|error| error.in_element(count))?;
            if used + size_of_val(&bits) > BLOCK_BYTES {
                self.out.extend_from_slice(&block[..used]);
                used = 0;
            }
            block[used..used + size_of_val(&bits)].copy_from_slice(&bits.to_le_bytes());
            used += number.bytes();
            count += 1;
        }
        self.out.extend_from_slice(&block[..used]);
        ValueError::check_len(offset, len, count)?;
        head.end_bytes(self.out, offset, |out, len| {
            write::ext(out, number.ext_type(), len)
        })
    }

    fn list(&mut self, element: TypeId, len: Option<u32>, depth: usize) -> Walk {
        let offset = self.reader.offset();
        let head = LateHead::new(late_head::ARRAY_ROOM, self.out);
        let mut count = 0;
        self.reader.begin_array()?;
        while self.reader.next_element()? {
            self.value(element, depth + 1)
                .map_err(|error| error.in_element(count))?;
            count += 1;
        }
        ValueError::check_len(offset, len, count)?;
        head.end(self.out, count, offset, write::array)
    }

    fn tuple(&mut self, members: &'t [TypeId], depth: usize) -> Walk {
        let offset = self.reader.offset();
        write::array(self.out, members.len() as u32);
        self.reader.begin_array()?;
        for (position, member) in members.iter().enumerate() {
            if !self.reader.next_element()? {
                return Err(ValueError::wrong_length(
                    offset,
                    members.len(),
                    &position.to_string(),
                ));
            }
            self.value(*member, depth + 1)
                .map_err(|error| error.in_element(position))?;
        }
        match self.reader.next_element()? {
            true => Err(ValueError::wrong_length(offset, members.len(), "more")),
            false => Ok(()),
        }
    }

    fn record(&mut self, fields: &'t [Field], depth: usize) -> Walk {
        let offset = self.reader.offset();
        write::map(self.out, fields.len() as u32);
        self.reader.begin_object()?;
        let mut written = 0;
        loop {
            let expected = fields.get(written);
            match expected {
                Some(field) if field.is_plain && self.reader.skip_key(&field.key) => {
                    self.field(field, depth)?
                }
                _ => match (self.reader.next_key_bytes()?, expected) {
                    (None, _) => break,
                    (Some(key), Some(field)) if field.key.as_bytes() == &*key => self.field(field, depth)?,
                    (Some(key), _) => return self.out_of_order(fields, written, key, offset, depth),
                },
            }
            written += 1;
        }
        for field in &fields[written..] {
            self.missing(field, offset)?;
        }
        Ok(())
    }

    /// The rest of a record from `key` on, the first that is not the next in order: its fields are written as they come,
    /// and sorted at the end.
    fn out_of_order(
        &mut self,
        fields: &'t [Field],
        written: usize,
        key: Cow<'a, [u8]>,
        offset: usize,
        depth: usize,
    ) -> Walk {
        let (base, body) = (self.slots.len(), self.out.len());
        self.slots.resize(base + fields.len(), 0..0);
        let mut expected = written;
        let mut next = Some(key);
        while let Some(key) = next {
            let matches = |field: &Field| field.key.as_bytes() == &*key;
            let position = match fields.get(expected) {
                Some(field) if matches(field) => expected,
                _ => match fields.iter().position(matches) {
                    Some(position) => position,
                    None => {
                        return Err(ValueError::unknown_key(
                            self.reader.key_offset(),
                            &String::from_utf8_lossy(&key),
                            fields,
                        ));
                    }
                },
            };
            if position < written || !self.slots[base + position].is_empty() {
                return Err(ValueError::repeated_key(
                    self.reader.key_offset(),
                    &fields[position].key,
                ));
            }
            let start = self.out.len();
            self.field(&fields[position], depth)?;
            self.slots[base + position] = start..self.out.len();
            expected = position + 1;
            next = self.reader.next_key_bytes()?;
        }
        let mut spare = std::mem::take(&mut self.spare);
        spare.clear();
        spare.extend_from_slice(&self.out[body..]);
        self.out.truncate(body);
        for (position, field) in fields.iter().enumerate().skip(written) {
            let slot = self.slots[base + position].clone();
            match slot.is_empty() {
                false => self
                    .out
                    .extend_from_slice(&spare[slot.start - body..slot.end - body]),
                true => self.missing(field, offset)?,
            }
        }
        self.spare = spare;
        self.slots.truncate(base);
        Ok(())
    }

    fn field(&mut self, field: &Field, depth: usize) -> Walk {
        write::string(self.out, &field.key);
        self.value(field.ty, depth + 1)
            .map_err(|error| error.in_field(&field.key))
    }

    fn missing(&mut self, field: &Field, offset: usize) -> Walk {
        let Type::Optional(_) = self.types.node(field.ty) else {
            return Err(ValueError::missing_key(offset, &field.key));
        };
        write::string(self.out, &field.key);
        write::nil(self.out);
        Ok(())
    }
}

/// An integer of fixed width that is written with a point or an exponent.
#[cold]
fn shifted_bits(found: Decimal, number: Number) -> Option<u64> {
    Decimal::scan(&found.shifted()?).ok()?.whole(number)
}

/// What to write instead of a value of that shape, or of something that is no value.
fn hint(ty: Type, found: Option<Shape>, is_integer: bool) -> Option<String> {
    match (ty, found) {
        (Type::Str, None | Some(Shape::Null | Shape::Bool | Shape::Number)) => {
            Some("write a string in double quotes".into())
        }
        (Type::Bool, None | Some(Shape::Number | Shape::Str)) => Some("write true or false".into()),
        (Type::Number(Number::F4 | Number::F8), Some(Shape::Number)) => {
            Some("it is too large; infinity is written \"Infinity\"".into())
        }
        (Type::Number(Number::F4 | Number::F8), Some(Shape::Str)) => {
            Some("the only strings that are numbers are \"NaN\", \"Infinity\" and \"-Infinity\"".into())
        }
        (Type::Number(_) | Type::Integer, Some(Shape::Number)) if !is_integer => {
            Some("write an integer without a point and without an exponent".into())
        }
        (Type::Number(number), Some(Shape::Number)) => {
            let (low, high) = number.range();
            Some(format!("{} goes from {low} to {high}", number.name()))
        }
        _ => None,
    }
}

/// Whether a number's text is that of an integer, in one form or the other.
fn is_written_integer(text: &str) -> bool {
    Decimal::scan(text.as_bytes()).is_ok_and(|number| number.is_whole || number.shifted().is_some())
}

/// A number's text, cut when it is long.
fn shortened(text: &str) -> String {
    match text.get(..40) {
        Some(start) if text.len() > 40 => format!("{start}..."),
        _ => text.to_string(),
    }
}
