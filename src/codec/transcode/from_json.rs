//! The walk over JSON text by schema that writes msgpack: records with all keys in order, lists of numbers packed, every
//! integer and length in its shortest form. Holds no value besides what it has written.

use super::late_head;
use super::value_error::{ValueError, Walk, describe, describe_number, quoted};
use crate::codec::json::{Reader, Shape};
use crate::codec::msgpack::write;
use crate::codec::schema::{Field, Number, Type, Types};
use crate::codec::{base64, integer};
use crate::ids::TypeId;
use crate::limits::{DEPTH_MAX, INTEGER_DIGITS_MAX};
use std::borrow::Cow;
use std::ops::Range;

/// The extension type of an integer beyond 64 bits.
pub(super) const BIG_EXT_TYPE: i8 = 11;

/// Reads one JSON text by its type and appends it as msgpack.
///
/// # Errors
/// Text that is not JSON or does not fit the type; `out` is then as it was.
pub fn json_to_msgpack(types: &Types, ty: TypeId, text: &[u8], out: &mut Vec<u8>) -> Result<(), ValueError> {
    let start = out.len();
    let mut walker = Walker {
        types,
        reader: Reader::new(text),
        out,
        slots: Vec::new(),
        spare: Vec::new(),
    };
    let walked = walker
        .value(ty, 0)
        .and_then(|()| walker.reader.finish().map_err(Into::into));
    walked.map_err(|error| {
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
        let shape = self.reader.peek()?;
        let mut node = self.types.node(ty);
        if let Type::Optional(_) = node {
            if shape == Shape::Null {
                self.reader.null()?;
                write::nil(self.out);
                return Ok(());
            }
            while let Type::Optional(inner) = node {
                node = self.types.node(inner);
            }
        }
        if depth > DEPTH_MAX {
            return Err(ValueError::too_deep(self.reader.offset()));
        }
        match (node, shape) {
            (Type::Nil, Shape::Null) => {
                self.reader.null()?;
                write::nil(self.out);
                Ok(())
            }
            (Type::Bool, Shape::Bool) => {
                let value = self.reader.boolean()?;
                write::boolean(self.out, value);
                Ok(())
            }
            (Type::Number(number @ (Number::F4 | Number::F8)), Shape::Number | Shape::Str) => {
                self.float(number)
            }
            (Type::Number(number), Shape::Number) => self.whole(number),
            (Type::Integer, Shape::Number) => self.integer(),
            (Type::Str, Shape::Str) => self.string(),
            (Type::Bytes, Shape::Str) => self.bytes(),
            (Type::List { element, len }, Shape::Array) => match self.types.node(element) {
                Type::Number(number) => self.numbers(number, len),
                _ => self.list(element, len, depth),
            },
            (Type::Tuple(span), Shape::Array) => self.tuple(self.types.members(span), depth),
            (Type::Record(span), Shape::Object) => self.record(self.types.fields(span), depth),
            (Type::Function { .. } | Type::Opaque(_), _) => {
                Err(ValueError::no_text(self.reader.offset(), node))
            }
            _ => Err(self.mismatch(&describe(self.types, node))),
        }
    }

    /// The error for the value that comes next.
    #[cold]
    fn mismatch(&mut self, expected: &str) -> Box<ValueError> {
        let offset = self.reader.offset();
        let mut ahead = self.reader.clone();
        let found = match ahead.peek() {
            Ok(Shape::Number) => ahead.number().map(shortened),
            Ok(Shape::Str) => ahead.string().map(|text| quoted(&text)),
            Ok(Shape::Bool) => ahead.boolean().map(|value| value.to_string()),
            Ok(shape) => Ok(shape.name().to_string()),
            Err(error) => Err(error),
        };
        match found {
            Ok(found) => ValueError::mismatch(offset, expected, &found),
            Err(error) => error.into(),
        }
    }

    fn string(&mut self) -> Walk {
        let offset = self.reader.offset();
        let text = self.reader.string()?;
        late_head::size(text.len(), offset)?;
        write::string(self.out, &text);
        Ok(())
    }

    fn bytes(&mut self) -> Walk {
        let offset = self.reader.offset();
        let text = self.reader.string()?;
        let mut bytes = Vec::new();
        if let Err(wrong) = base64::decode(text.as_bytes(), &mut bytes) {
            let message = format!("expected bytes in base64 (y), found {}", quoted(&text));
            let hint = format!(
                "base64 has 4 letters of A-Z a-z 0-9 + / for 3 bytes, = at the end; character {wrong} breaks it"
            );
            return Err(ValueError::new(offset, message).hint(hint));
        }
        late_head::size(bytes.len(), offset)?;
        write::bin(self.out, &bytes);
        Ok(())
    }

    fn float(&mut self, number: Number) -> Walk {
        let start = self.out.len();
        self.out.push(if number == Number::F4 { 0xca } else { 0xcb });
        self.number_bytes(number)?;
        self.out[start + 1..].reverse();
        Ok(())
    }

    fn whole(&mut self, number: Number) -> Walk {
        let bits = self.whole_bits(number)?;
        match number.range().0 {
            0 => write::unsigned(self.out, bits),
            _ => write::int(self.out, bits as i64),
        }
        Ok(())
    }

    fn integer(&mut self) -> Walk {
        let offset = self.reader.offset();
        let text = self.reader.clone().number()?;
        if let Ok(value) = text.parse() {
            write::int(self.out, value);
        } else if let Ok(value) = text.parse() {
            write::unsigned(self.out, value);
        } else if text.contains(['.', 'e', 'E']) {
            return Err(self.not_whole(&describe(self.types, Type::Integer)));
        } else {
            let bytes = integer::from_decimal(text).map_err(|_| {
                ValueError::new(
                    offset,
                    format!("integer has more than {INTEGER_DIGITS_MAX} digits"),
                )
            })?;
            write::ext(self.out, BIG_EXT_TYPE, bytes.len() as u32);
            self.out.extend_from_slice(&bytes);
        }
        self.reader.number()?;
        Ok(())
    }

    /// Reads an integer of fixed width, sign-extended to 64 bits.
    fn whole_bits(&mut self, number: Number) -> Walk<u64> {
        let text = self.reader.clone().number()?;
        let (low, high) = number.range();
        match text.parse::<i128>() {
            Ok(value) if low <= value && value <= high => {
                self.reader.number()?;
                Ok(value as u64)
            }
            _ if text.contains(['.', 'e', 'E']) => Err(self.not_whole(&describe_number(number))),
            _ => {
                let error = self.mismatch(&describe_number(number));
                Err(error.hint(format!("{} goes from {low} to {high}", number.name())))
            }
        }
    }

    #[cold]
    fn not_whole(&mut self, expected: &str) -> Box<ValueError> {
        self.mismatch(expected)
            .hint("write an integer without a point and without an exponent")
    }

    /// Reads a number and appends its little-endian bytes.
    fn number_bytes(&mut self, number: Number) -> Walk {
        match number {
            Number::F8 => {
                let value: f64 = self.float_value(number)?;
                self.out.extend_from_slice(&value.to_le_bytes());
            }
            Number::F4 => {
                let value: f32 = self.float_value(number)?;
                self.out.extend_from_slice(&value.to_le_bytes());
            }
            _ => {
                let bits = self.whole_bits(number)?;
                self.out.extend_from_slice(&bits.to_le_bytes()[..number.bytes()]);
            }
        }
        Ok(())
    }

    fn float_value<F: std::str::FromStr + Into<f64> + Copy>(&mut self, number: Number) -> Walk<F> {
        let mut ahead = self.reader.clone();
        let text = match ahead.peek()? {
            Shape::Number => Cow::Borrowed(ahead.number()?),
            Shape::Str => ahead.string()?,
            _ => return Err(self.mismatch(&describe_number(number))),
        };
        let named = matches!(&*text, "NaN" | "Infinity" | "-Infinity");
        let quoted = text
            .as_bytes()
            .first()
            .is_some_and(|byte| !matches!(byte, b'-' | b'0'..=b'9'));
        match text.parse::<F>() {
            Ok(value) if named || (!quoted && value.into().is_finite()) => {
                self.reader = ahead;
                Ok(value)
            }
            _ => Err(self.bad_float(number)),
        }
    }

    #[cold]
    fn bad_float(&mut self, number: Number) -> Box<ValueError> {
        let is_number = self.reader.peek() == Ok(Shape::Number);
        let error = self.mismatch(&describe_number(number));
        match is_number {
            true => error.hint("it is too large; \"Infinity\" is written as a string"),
            false => {
                error.hint("the only strings that are numbers are \"NaN\", \"Infinity\" and \"-Infinity\"")
            }
        }
    }

    /// A list of numbers of fixed width, packed.
    fn numbers(&mut self, number: Number, len: Option<u32>) -> Walk {
        let offset = self.reader.offset();
        let head = late_head::begin_ext(self.out);
        let mut count = 0;
        self.reader.begin_array()?;
        while self.reader.next_element()? {
            self.number_bytes(number)
                .map_err(|error| error.in_element(count))?;
            count += 1;
        }
        check_len(offset, len, count)?;
        late_head::end_ext(self.out, head, number.ext_type(), offset)
    }

    fn list(&mut self, element: TypeId, len: Option<u32>, depth: usize) -> Walk {
        let offset = self.reader.offset();
        let head = late_head::begin_array(self.out);
        let mut count = 0;
        self.reader.begin_array()?;
        while self.reader.next_element()? {
            self.value(element, depth + 1)
                .map_err(|error| error.in_element(count))?;
            count += 1;
        }
        check_len(offset, len, count)?;
        late_head::end_array(self.out, head, count, offset)
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
        let mut rest = fields.iter();
        while let Some(key) = self.reader.next_key()? {
            match rest.clone().next() {
                Some(field) if *field.key == *key => {
                    self.field(field, depth)?;
                    rest.next();
                }
                _ => return self.out_of_order(fields, fields.len() - rest.len(), key, offset, depth),
            }
        }
        for field in rest {
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
        key: Cow<'a, str>,
        offset: usize,
        depth: usize,
    ) -> Walk {
        let (base, body) = (self.slots.len(), self.out.len());
        self.slots.resize(base + fields.len(), 0..0);
        let mut expected = written;
        let mut next = Some(key);
        while let Some(key) = next {
            let matches = |field: &Field| *field.key == *key;
            let position = match fields.get(expected) {
                Some(field) if matches(field) => expected,
                _ => match fields.iter().position(matches) {
                    Some(position) => position,
                    None => return Err(ValueError::unknown_key(self.reader.key_offset(), &key, fields)),
                },
            };
            if position < written || !self.slots[base + position].is_empty() {
                return Err(ValueError::repeated_key(self.reader.key_offset(), &key));
            }
            let start = self.out.len();
            self.field(&fields[position], depth)?;
            self.slots[base + position] = start..self.out.len();
            expected = position + 1;
            next = self.reader.next_key()?;
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

fn check_len(offset: usize, expected: Option<u32>, found: usize) -> Walk {
    match expected {
        Some(len) if len as usize != found => {
            Err(ValueError::wrong_length(offset, len as usize, &found.to_string()))
        }
        _ => Ok(()),
    }
}

/// A number's text, cut when it is long.
fn shortened(text: &str) -> String {
    match text.get(..40) {
        Some(start) if text.len() > 40 => format!("{start}..."),
        _ => text.to_string(),
    }
}
