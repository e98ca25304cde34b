//! The walk over msgpack by schema, which checks every value and tells it to an [`Emit`]. Writes nothing itself.
//!
//! Records are told with all keys in the order of their type, whatever order they came in; plain arrays of numbers are told
//! as packed ones.

use super::value_error::{ValueError, Walk, describe, describe_number, quoted};
use crate::codec::msgpack::{MsgpackError, Reader, Token};
use crate::codec::schema::{Field, Number, Type, Types};
use crate::codec::{integer, json};
use crate::ids::TypeId;
use crate::limits::{DEPTH_MAX, INTEGER_BYTES_MAX};

/// What takes the values of a walk, in order.
pub(super) trait Emit {
    fn nil(&mut self);
    fn boolean(&mut self, value: bool);
    fn int(&mut self, value: i64);
    fn unsigned(&mut self, value: u64);
    /// An integer beyond 64 bits, in its shortest two's complement form.
    fn big(&mut self, bytes: &[u8]);
    fn f4(&mut self, value: f32);
    fn f8(&mut self, value: f64);
    fn string(&mut self, text: &str);
    /// Text that is JSON.
    fn json(&mut self, text: &str) {
        self.string(text);
    }
    fn bytes(&mut self, bytes: &[u8]);
    /// A list of numbers of fixed width begins; they follow in one or more calls of [`Emit::numbers`].
    fn begin_numbers(&mut self, number: Number, count: u32, offset: usize) -> Walk;
    /// Little-endian elements of a list, of which `first` is the position of the first.
    fn numbers(&mut self, number: Number, elements: &[u8], first: usize) -> Walk;
    fn end_numbers(&mut self, count: u32);
    fn begin_list(&mut self, len: u32);
    /// An element follows; called before each.
    fn element(&mut self, position: usize) -> Walk;
    fn end_list(&mut self, len: u32);
    fn begin_record(&mut self, len: u32);
    /// A field's value follows.
    fn key(&mut self, position: usize, field: &Field) -> Walk;
    fn end_record(&mut self, len: u32);
}

/// Tells one whole value to `emit`.
pub(super) fn walk(types: &Types, ty: TypeId, bytes: &[u8], emit: &mut impl Emit) -> Result<(), ValueError> {
    let mut walker = Walker {
        types,
        reader: Reader::new(bytes),
        emit,
        slots: Vec::new(),
    };
    walker.value(ty, 0).map_err(|error| *error)?;
    match walker.reader.is_done() {
        true => Ok(()),
        false => {
            let offset = walker.reader.offset();
            Err(*ValueError::new(offset, "found bytes after the end of the value"))
        }
    }
}

/// Where a field's value starts, for a field that was not met: no value starts at the first byte of a record.
const ABSENT: usize = 0;

struct Walker<'a, 't, E> {
    types: &'t Types,
    reader: Reader<'a>,
    emit: &'t mut E,
    /// Where the values start of the records whose keys are out of order; a stack, the innermost record last.
    slots: Vec<usize>,
}

impl<'a, 't, E: Emit> Walker<'a, 't, E> {
    fn value(&mut self, ty: TypeId, depth: usize) -> Walk {
        let offset = self.reader.offset();
        // The token stays where it is read: moving one costs more than reading it.
        let read = self.reader.next();
        let token = read.as_ref().map_err(|error| self.broken(error))?;
        let mut node = self.types.node(ty);
        if let Type::Optional(_) = node {
            if let Token::Nil = token {
                self.emit.nil();
                return Ok(());
            }
            while let Type::Optional(inner) = node {
                node = self.types.node(inner);
            }
        }
        if depth > DEPTH_MAX {
            return Err(ValueError::too_deep(offset));
        }
        match (node, token) {
            (Type::Nil, Token::Nil) => self.emit.nil(),
            (Type::Bool, Token::Bool(value)) => self.emit.boolean(*value),
            (Type::Number(Number::F8), _) => self.emit.f8(self.f8(token, offset)?),
            (Type::Number(Number::F4), _) => self.emit.f4(self.f4(token, offset)?),
            (Type::Number(number), _) => match self.whole(number, token, offset)? {
                value if !number.is_signed() => self.emit.unsigned(value),
                value => self.emit.int(value as i64),
            },
            (Type::Integer, Token::Int(value)) => self.emit.int(*value),
            (Type::Integer, Token::Unsigned(value)) => self.emit.unsigned(*value),
            (Type::Integer, Token::Ext(integer::EXT_TYPE, bytes)) => self.big(bytes, offset)?,
            (Type::Str, Token::Str(text)) => self.emit.string(text),
            (Type::Json, Token::Str(text)) => {
                let mut json = json::Reader::new(text.as_bytes());
                if json.skip().and_then(|_| json.finish()).is_err() {
                    return Err(self.mismatch(offset, node, token));
                }
                self.emit.json(text);
            }
            (Type::Bytes, Token::Bin(bytes)) => self.emit.bytes(bytes),
            (Type::List { element, len }, Token::Array(found)) => {
                ValueError::check_len(offset, len, *found as usize)?;
                match self.types.node(element) {
                    Type::Number(number) => self.plain_numbers(number, *found, offset)?,
                    _ => self.list(element, *found, depth)?,
                }
            }
            (Type::List { element, len }, Token::Ext(ext_type, payload)) => match self.types.node(element) {
                Type::Number(number) => self.packed(number, len, *ext_type, payload, offset)?,
                _ => return Err(self.mismatch(offset, node, token)),
            },
            (Type::Tuple(span), Token::Array(found)) => {
                let members = self.types.members(span);
                ValueError::check_len(offset, Some(members.len() as u32), *found as usize)?;
                self.tuple(members, depth)?;
            }
            (Type::Record(span), Token::Map(found)) => {
                self.record(self.types.fields(span), *found, offset, depth)?;
            }
            (Type::Record(span), Token::Array(found)) => {
                let fields = self.types.fields(span);
                ValueError::check_len(offset, Some(fields.len() as u32), *found as usize)?;
                self.record_in_order(fields, depth)?;
            }
            (Type::Function { .. } | Type::Opaque(_), _) => {
                return Err(ValueError::no_text(offset, self.types, node));
            }
            _ => return Err(self.mismatch(offset, node, token)),
        }
        Ok(())
    }

    #[cold]
    fn broken(&self, error: &MsgpackError) -> Box<ValueError> {
        match *error {
            MsgpackError::Incomplete => ValueError::new(self.reader.offset(), error.to_string()),
            MsgpackError::Invalid(offset, message) => ValueError::new(offset, message),
        }
    }

    #[cold]
    fn mismatch(&self, offset: usize, node: Type, token: &Token<'_>) -> Box<ValueError> {
        ValueError::mismatch(offset, &describe(self.types, node), &found(token))
    }

    fn f8(&self, token: &Token<'_>, offset: usize) -> Walk<f64> {
        match *token {
            Token::F8(value) => Ok(value),
            Token::F4(value) => Ok(value.into()),
            Token::Int(value) => Ok(value as f64),
            Token::Unsigned(value) => Ok(value as f64),
            _ => Err(self.mismatch(offset, Type::Number(Number::F8), token)),
        }
    }

    fn f4(&self, token: &Token<'_>, offset: usize) -> Walk<f32> {
        match *token {
            Token::F4(value) => Ok(value),
            Token::F8(value) if value.is_infinite() || !(value as f32).is_infinite() => Ok(value as f32),
            Token::Int(value) => Ok(value as f32),
            Token::Unsigned(value) => Ok(value as f32),
            _ => Err(self.mismatch(offset, Type::Number(Number::F4), token)),
        }
    }

    /// An integer of fixed width, sign-extended to 64 bits.
    fn whole(&self, number: Number, token: &Token<'_>, offset: usize) -> Walk<u64> {
        let (low, high) = number.range();
        let value: i128 = match *token {
            Token::Int(value) => value.into(),
            Token::Unsigned(value) => value.into(),
            _ => return Err(self.mismatch(offset, Type::Number(number), token)),
        };
        if low <= value && value <= high {
            return Ok(value as u64);
        }
        let error = self.mismatch(offset, Type::Number(number), token);
        Err(error.hint(format!("{} goes from {low} to {high}", number.name())))
    }

    fn big(&mut self, bytes: &[u8], offset: usize) -> Walk {
        let bytes = integer::minimal(bytes);
        if bytes.len() > INTEGER_BYTES_MAX {
            return Err(ValueError::new(
                offset,
                format!("integer has more than {INTEGER_BYTES_MAX} bytes"),
            ));
        }
        let negative = bytes.first().is_some_and(|byte| *byte >= 0x80);
        let fill = if negative { u64::MAX } else { 0 };
        let low = bytes
            .iter()
            .fold(fill, |value, byte| value << 8 | u64::from(*byte));
        match bytes {
            [] => return Err(ValueError::new(offset, "integer of no bytes")),
            _ if bytes.len() <= 8 => self.emit.int(low as i64),
            [0, rest @ ..] if rest.len() == 8 => self.emit.unsigned(low),
            _ => self.emit.big(bytes),
        }
        Ok(())
    }

    fn packed(
        &mut self,
        number: Number,
        len: Option<u32>,
        ext_type: i8,
        payload: &[u8],
        offset: usize,
    ) -> Walk {
        if ext_type != number.ext_type() {
            let expected = format!("a list of {}", describe_number(number));
            return Err(ValueError::mismatch(
                offset,
                &expected,
                &found(&Token::Ext(ext_type, payload)),
            ));
        }
        let count = payload.len() / number.bytes();
        if !payload.len().is_multiple_of(number.bytes()) {
            let message = format!("packed list of {} has {} bytes", number.name(), payload.len());
            return Err(
                ValueError::new(offset, message).hint("the length is a multiple of the element's width")
            );
        }
        ValueError::check_len(offset, len, count)?;
        self.emit.begin_numbers(number, count as u32, offset)?;
        self.emit.numbers(number, payload, 0)?;
        self.emit.end_numbers(count as u32);
        Ok(())
    }

    fn plain_numbers(&mut self, number: Number, count: u32, offset: usize) -> Walk {
        self.emit.begin_numbers(number, count, offset)?;
        for position in 0..count as usize {
            self.plain_number(number, position)
                .map_err(|error| error.in_element(position))?;
        }
        self.emit.end_numbers(count);
        Ok(())
    }

    fn plain_number(&mut self, number: Number, position: usize) -> Walk {
        let offset = self.reader.offset();
        let read = self.reader.next();
        let token = read.as_ref().map_err(|error| self.broken(error))?;
        match number {
            Number::F8 => {
                let bytes = self.f8(token, offset)?.to_le_bytes();
                self.emit.numbers(number, &bytes, position)
            }
            Number::F4 => {
                let bytes = self.f4(token, offset)?.to_le_bytes();
                self.emit.numbers(number, &bytes, position)
            }
            _ => {
                let bytes = self.whole(number, token, offset)?.to_le_bytes();
                self.emit.numbers(number, &bytes[..number.bytes()], position)
            }
        }
    }

    fn list(&mut self, element: TypeId, len: u32, depth: usize) -> Walk {
        self.emit.begin_list(len);
        for position in 0..len as usize {
            self.emit.element(position)?;
            self.value(element, depth + 1)
                .map_err(|error| error.in_element(position))?;
        }
        self.emit.end_list(len);
        Ok(())
    }

    fn tuple(&mut self, members: &'t [TypeId], depth: usize) -> Walk {
        self.emit.begin_list(members.len() as u32);
        for (position, member) in members.iter().enumerate() {
            self.emit.element(position)?;
            self.value(*member, depth + 1)
                .map_err(|error| error.in_element(position))?;
        }
        self.emit.end_list(members.len() as u32);
        Ok(())
    }

    fn record_in_order(&mut self, fields: &'t [Field], depth: usize) -> Walk {
        self.emit.begin_record(fields.len() as u32);
        for (position, field) in fields.iter().enumerate() {
            self.field(field, position, depth)?;
        }
        self.emit.end_record(fields.len() as u32);
        Ok(())
    }

    fn record(&mut self, fields: &'t [Field], pairs: u32, offset: usize, depth: usize) -> Walk {
        self.emit.begin_record(fields.len() as u32);
        let mut told = 0;
        while told < pairs as usize {
            match fields.get(told) {
                Some(field) if self.reader.skip_key(&field.key) => self.field(field, told, depth)?,
                _ => return self.out_of_order(fields, told, pairs, offset, depth),
            }
            told += 1;
        }
        for (position, field) in fields.iter().enumerate().skip(told) {
            self.missing(field, position, offset)?;
        }
        self.emit.end_record(fields.len() as u32);
        Ok(())
    }

    /// The rest of a record whose next key is not the next in order: finds all values first, then visits them in order.
    fn out_of_order(
        &mut self,
        fields: &'t [Field],
        told: usize,
        pairs: u32,
        offset: usize,
        depth: usize,
    ) -> Walk {
        let base = self.slots.len();
        self.slots.resize(base + fields.len(), ABSENT);
        for _ in told..pairs as usize {
            let start = self.reader.offset();
            let key = self.key()?;
            let Some(position) = fields.iter().position(|field| *field.key == *key) else {
                return Err(ValueError::unknown_key(start, key, fields));
            };
            if position < told || self.slots[base + position] != ABSENT {
                return Err(ValueError::repeated_key(start, key));
            }
            self.slots[base + position] = self.reader.offset();
            if let Err(error) = self.reader.skip() {
                return Err(self.broken(&error).in_field(key));
            }
        }
        let end = self.reader.offset();
        for (position, field) in fields.iter().enumerate().skip(told) {
            match self.slots[base + position] {
                ABSENT => self.missing(field, position, offset)?,
                start => {
                    self.reader.seek(start);
                    self.field(field, position, depth)?;
                }
            }
        }
        self.slots.truncate(base);
        self.reader.seek(end);
        self.emit.end_record(fields.len() as u32);
        Ok(())
    }

    fn key(&mut self) -> Walk<&'a str> {
        let offset = self.reader.offset();
        match self.reader.next() {
            Ok(Token::Str(key)) => Ok(key),
            Ok(token) => Err(ValueError::mismatch(offset, "a string as key", &found(&token))),
            Err(error) => Err(self.broken(&error)),
        }
    }

    fn field(&mut self, field: &Field, position: usize, depth: usize) -> Walk {
        self.emit.key(position, field)?;
        self.value(field.ty, depth + 1)
            .map_err(|error| error.in_field(&field.key))
    }

    fn missing(&mut self, field: &Field, position: usize, offset: usize) -> Walk {
        let Type::Optional(_) = self.types.node(field.ty) else {
            return Err(ValueError::missing_key(offset, &field.key));
        };
        self.emit.key(position, field)?;
        self.emit.nil();
        Ok(())
    }
}

/// A token in words, with its value where that is short.
fn found(token: &Token<'_>) -> String {
    match *token {
        Token::Bool(value) => value.to_string(),
        Token::Int(value) => value.to_string(),
        Token::Unsigned(value) => value.to_string(),
        Token::F4(value) => format!("the float {}", crate::codec::number::float_text(value.into())),
        Token::F8(value) => format!("the float {}", crate::codec::number::float_text(value)),
        Token::Str(text) => quoted(text),
        Token::Array(len) => format!("an array of {len}"),
        Token::Ext(ext_type, _) => match Number::from_ext_type(ext_type) {
            Some(number) => format!("a packed list of {}", number.name()),
            None => format!("an extension of type {ext_type}"),
        },
        _ => token.name().to_string(),
    }
}
