//! Values from and to msgpack, by type. Text forms are made from msgpack elsewhere.
//!
//! Both walks recurse at most [`DEPTH_MAX`] levels, as deep as a value on the wire may nest.

use crate::codec::integer::EXT_TYPE;
use crate::codec::msgpack::{Reader, Token, write};
use crate::codec::number::float_text;
use crate::codec::schema::{Number, Type, Types};
use crate::codec::transcode::msgpack_to_msgpack;
use crate::core::eval::function::{self, Functions};
use crate::core::eval::heap::{Heap, Value};
use crate::core::eval::machine::Program;
use crate::core::eval::select;
use crate::core::eval::stop::{Eval, On, Stop};
use crate::error::{Error, Kind};
use crate::ids::TypeId;
use crate::limits::DEPTH_MAX;

/// A number from its packed form, which has the number's width.
pub fn number(number: Number, bytes: &[u8]) -> Value {
    let mut wide = [0; 8];
    wide[..bytes.len()].copy_from_slice(bytes);
    let raw = u64::from_le_bytes(wide);
    match number {
        Number::I1 => Value::Int((raw as i8).into()),
        Number::I2 => Value::Int((raw as i16).into()),
        Number::I4 => Value::Int((raw as i32).into()),
        Number::I8 => Value::Int(raw as i64),
        Number::U1 | Number::U2 | Number::U4 | Number::U8 => match i64::try_from(raw) {
            Ok(value) => Value::Int(value),
            Err(_) => Value::Unsigned(raw),
        },
        Number::F4 => Value::Float(f32::from_bits(raw as u32).into()),
        Number::F8 => Value::Float(f64::from_bits(raw)),
    }
}

/// Reads one value of a type, whose msgpack must be canonical: as [`crate::codec::transcode`] writes it.
///
/// `parts` is scratch space, which is left as it was unless there is an error.
pub fn decode(
    heap: &mut Heap,
    types: &Types,
    ty: TypeId,
    reader: &mut Reader<'_>,
    parts: &mut Vec<Value>,
    depth: usize,
) -> Eval<Value> {
    if depth > DEPTH_MAX {
        return Err(Stop::too_deep());
    }
    let (mut ty, mut node) = (ty, types.node(ty));
    while let Type::Optional(inner) = node {
        if reader.peek() == Ok(Token::Nil) {
            break;
        }
        (ty, node) = (inner, types.node(inner));
    }
    let token = reader
        .next()
        .map_err(|error| Stop::misfit(format!("msgpack can't be read: {error}")))?;
    let start = parts.len();
    Ok(match (node, token) {
        (Type::Nil | Type::Optional(_), Token::Nil) => Value::Nil,
        (Type::Bool, Token::Bool(value)) => Value::Bool(value),
        (Type::Number(kind), Token::Int(value)) if kind.is_float() => Value::Float(value as f64),
        (Type::Number(_) | Type::Integer, Token::Int(value)) => Value::Int(value),
        (Type::Number(_) | Type::Integer, Token::Unsigned(value)) => Value::Unsigned(value),
        (Type::Number(kind), Token::F4(value)) if kind.is_float() => Value::Float(value.into()),
        (Type::Number(kind), Token::F8(value)) if kind.is_float() => Value::Float(value),
        (Type::Function { .. }, Token::Ext(function::EXT_TYPE, bytes)) => {
            function::decode_function(heap, ty, bytes)?
        }
        (Type::Integer, Token::Ext(EXT_TYPE, digits)) => Value::Big(heap.add_bytes(digits)?),
        (Type::Str | Type::Json, Token::Str(text)) => Value::Str(heap.add_text(text)?),
        (Type::Bytes, Token::Bin(bytes)) => Value::Bytes(heap.add_bytes(bytes)?),
        (Type::List { element, .. }, Token::Array(len)) => {
            // Every element takes at least a byte of the message, so that `len` is bounded by what is there.
            heap.reserve((len as usize).saturating_mul(size_of::<Value>()))?;
            for _ in 0..len {
                let part = decode(heap, types, element, reader, parts, depth + 1)?;
                parts.push(part);
            }
            Value::List(heap.add_values(parts.drain(start..))?)
        }
        (Type::List { element, .. }, Token::Ext(ext_type, bytes)) => {
            match (types.node(element), Number::from_ext_type(ext_type)) {
                (Type::Number(kind), Some(found)) if kind == found && bytes.len() % kind.bytes() == 0 => {
                    Value::Packed(kind, heap.add_bytes(bytes)?)
                }
                _ => return Err(unexpected(types, ty, token)),
            }
        }
        (Type::Tuple(members), Token::Array(len)) if len as usize == members.len() => {
            for member in types.members(members) {
                let part = decode(heap, types, *member, reader, parts, depth + 1)?;
                parts.push(part);
            }
            Value::Tuple(heap.add_values(parts.drain(start..))?)
        }
        (Type::Record(fields), Token::Map(len)) if len as usize == fields.len() => {
            for field in types.fields(fields) {
                if reader.next() != Ok(Token::Str(&field.key)) {
                    return Err(unexpected(types, ty, token));
                }
                let part = decode(heap, types, field.ty, reader, parts, depth + 1)?;
                parts.push(part);
            }
            Value::Record(ty, heap.add_values(parts.drain(start..))?)
        }
        _ => return Err(unexpected(types, ty, token)),
    })
}

/// Looks into the payload of a slot, a value of that type as a pool wrote it.
pub fn decode_wire(heap: &mut Heap, types: &Types, ty: TypeId, slot: u32) -> Eval {
    let entry = &mut heap.slots[slot as usize];
    let payload = std::mem::take(&mut entry.payload);
    // A long text or long bytes need no canonical copy: they have one form but for their head.
    if matches!(types.node(ty), Type::Str | Type::Json | Type::Bytes) {
        let mut reader = Reader::new(&payload);
        if let Ok(decoded) = decode(heap, types, ty, &mut reader, &mut Vec::new(), 0)
            && reader.is_done()
        {
            let entry = &mut heap.slots[slot as usize];
            (entry.decoded, entry.payload) = (Some(decoded), payload);
            return Ok(());
        }
    }
    let mut canonical = Vec::new();
    // Functions have no other form, and no walk over them.
    let bytes = match msgpack_to_msgpack(types, ty, &payload, &mut canonical) {
        Ok(()) => &canonical,
        Err(_) if types.has_functions(ty) => &payload,
        Err(error) => {
            let message = format!("answer of a pool can't be read as {}: {error}", types.spell(ty));
            return Err(Stop::Raised(Error::new(Kind::Protocol, message)));
        }
    };
    let decoded = decode(heap, types, ty, &mut Reader::new(bytes), &mut Vec::new(), 0)?;
    let entry = &mut heap.slots[slot as usize];
    entry.decoded = Some(decoded);
    entry.payload = payload;
    Ok(())
}

#[cold]
fn unexpected(types: &Types, ty: TypeId, token: Token<'_>) -> Stop {
    let (found, spelled) = (token.name(), types.spell(ty));
    Stop::misfit(format!(
        "msgpack holds {found}, expected {spelled} in canonical form"
    ))
}

/// Why a value can't be written.
#[derive(Debug)]
pub enum Refusal {
    /// It isn't of the type.
    Misfit {
        /// The way to what doesn't fit, as `[3].age`; empty for the whole.
        path: String,
        /// What was found and what expected.
        message: String,
    },
    /// It is too large or too deep.
    Stop(Stop),
}

impl Refusal {
    /// The error, where `what` stands for the whole value.
    pub fn stop(self, what: &str) -> Stop {
        match self {
            Refusal::Misfit { path, message } => Stop::misfit(format!("{what}{path} {message}")),
            Refusal::Stop(stop) => stop,
        }
    }

    #[cold]
    fn within(mut self, step: String) -> Refusal {
        if let Refusal::Misfit { path, .. } = &mut self {
            path.insert_str(0, &step);
        }
        self
    }
}

/// Writes values as canonical msgpack by type.
pub struct Encoder<'e> {
    /// Where values lie.
    pub heap: &'e Heap,
    /// Where literal strings lie, and the table of `ty`.
    pub program: Program<'e>,
    /// The closures that pools have, if functions may be written.
    pub functions: Option<&'e mut Functions>,
    /// Appended to; after a refusal it holds part of the value.
    pub out: &'e mut Vec<u8>,
    /// Size that `out` may have, in bytes: a small value that shares its parts can be endless when written.
    pub bytes_max: usize,
}

impl Encoder<'_> {
    /// Writes a value.
    pub fn encode(&mut self, value: Value, ty: TypeId, depth: usize) -> Result<(), Refusal> {
        if depth > DEPTH_MAX {
            return Err(Refusal::Stop(Stop::too_deep()));
        }
        if self.out.len() > self.bytes_max {
            return Err(Refusal::Stop(Stop::too_large(self.bytes_max)));
        }
        let value = match self.heap.settle(value) {
            Value::Wire(own, slot) if self.program.types.are_alike(own, ty) => {
                self.out.extend_from_slice(self.heap.payload(slot));
                return Ok(());
            }
            value => self.heap.look(value).map_err(Refusal::Stop)?,
        };
        let (mut ty, mut node) = (ty, self.program.types.node(ty));
        while let (Type::Optional(inner), true) = (node, value != Value::Nil) {
            (ty, node) = (inner, self.program.types.node(inner));
        }
        match (node, value) {
            (Type::Nil | Type::Optional(_), Value::Nil) => write::nil(self.out),
            (Type::Bool, Value::Bool(value)) => write::boolean(self.out, value),
            (Type::Number(kind), _) => return self.number(kind, value, ty),
            (Type::Integer, Value::Int(value)) => write::int(self.out, value),
            (Type::Integer, Value::Unsigned(value)) => write::unsigned(self.out, value),
            (Type::Integer, Value::Big(digits)) => {
                let digits = self.heap.bytes(digits);
                write::ext(self.out, EXT_TYPE, digits.len() as u32);
                self.out.extend_from_slice(digits);
            }
            (Type::Str | Type::Json, Value::Str(text)) => write::string(self.out, self.heap.text(text)),
            (Type::Str, Value::Literal(text)) => write::string(self.out, self.program.exprs.text(text)),
            (Type::Bytes, Value::Bytes(bytes)) => write::bin(self.out, self.heap.bytes(bytes)),
            (Type::List { element, len }, Value::List(_) | Value::Packed(..)) => {
                return self.list(value, element, len, depth);
            }
            (Type::Tuple(members), Value::Tuple(parts)) => {
                let members = self.program.types.members(members);
                if members.len() != parts.len as usize {
                    let (found, expected) = (parts.len, members.len());
                    return misfit(format!("has {found} parts, expected {expected}"));
                }
                write::array(self.out, parts.len);
                for (position, member) in members.iter().enumerate() {
                    self.encode(self.heap.value(parts, position), *member, depth + 1)
                        .map_err(|refusal| refusal.within(format!("[{position}]")))?;
                }
            }
            (Type::Record(fields), Value::Record(own, parts)) => {
                if own != ty && !self.same_keys(own, ty) {
                    let (found, expected) = (self.program.types.spell(own), self.program.types.spell(ty));
                    return misfit(format!("is a record {found}, expected {expected}"));
                }
                write::map(self.out, parts.len);
                for (position, field) in self.program.types.fields(fields).iter().enumerate() {
                    write::string(self.out, &field.key);
                    self.encode(self.heap.value(parts, position), field.ty, depth + 1)
                        .map_err(|refusal| refusal.within(format!(".{}", field.key)))?;
                }
            }
            (Type::Function { .. }, Value::Closure(..) | Value::Foreign(..)) => {
                return self.function(value, ty, depth);
            }
            _ => return self.unfit(value, ty),
        }
        Ok(())
    }

    fn list(&mut self, list: Value, element: TypeId, len: Option<u32>, depth: usize) -> Result<(), Refusal> {
        let found = select::list_len(list, "list").map_err(Refusal::Stop)?;
        if let Some(expected) = len.filter(|expected| *expected as usize != found) {
            return misfit(format!("has {found} elements, expected {expected}"));
        }
        // What has not come is waited for before anything is written; the last is likely to be the last to come.
        if let Value::List(elements) = list {
            for element in self.heap.values(elements).iter().rev() {
                if let Value::Pending(slot) = self.heap.settle(*element) {
                    return Err(Refusal::Stop(Stop::Wait(On::Slot(slot))));
                }
            }
        }
        let Type::Number(kind) = self.program.types.node(element) else {
            write::array(self.out, found as u32);
            for position in 0..found {
                self.encode(select::element(self.heap, list, position), element, depth + 1)
                    .map_err(|refusal| refusal.within(format!("[{position}]")))?;
            }
            return Ok(());
        };
        let size = found * kind.bytes();
        if self.out.len() + size > self.bytes_max {
            return Err(Refusal::Stop(Stop::too_large(self.bytes_max)));
        }
        write::ext(self.out, kind.ext_type(), size as u32);
        match list {
            Value::Packed(own, bytes) if own == kind => self.out.extend_from_slice(self.heap.bytes(bytes)),
            _ => {
                for position in 0..found {
                    let value = select::element(self.heap, list, position);
                    let value = self.heap.look(value).map_err(Refusal::Stop)?;
                    match little_endian(kind, value) {
                        Some(bytes) => self.out.extend_from_slice(&bytes[..kind.bytes()]),
                        None => {
                            return self
                                .unfit(value, element)
                                .map_err(|refusal| refusal.within(format!("[{position}]")));
                        }
                    }
                }
            }
        }
        Ok(())
    }

    fn number(&mut self, kind: Number, value: Value, ty: TypeId) -> Result<(), Refusal> {
        let Some(bytes) = little_endian(kind, value) else {
            return self.unfit(value, ty);
        };
        match (number(kind, &bytes[..kind.bytes()]), kind) {
            (Value::Float(value), Number::F4) => write::f4(self.out, value as f32),
            (Value::Float(value), _) => write::f8(self.out, value),
            (Value::Int(value), _) => write::int(self.out, value),
            (Value::Unsigned(value), _) => write::unsigned(self.out, value),
            _ => {}
        }
        Ok(())
    }

    fn same_keys(&self, left: TypeId, right: TypeId) -> bool {
        match (self.program.types.node(left), self.program.types.node(right)) {
            (Type::Record(left), Type::Record(right)) => {
                let (left, right) = (self.program.types.fields(left), self.program.types.fields(right));
                left.iter()
                    .map(|field| &field.key)
                    .eq(right.iter().map(|field| &field.key))
            }
            _ => false,
        }
    }

    #[cold]
    fn unfit(&self, value: Value, ty: TypeId) -> Result<(), Refusal> {
        let expected = self.program.types.spell(ty);
        let found = match value {
            Value::Int(value) => value.to_string(),
            Value::Unsigned(value) => value.to_string(),
            Value::Float(value) => float_text(value),
            _ => value.name().to_string(),
        };
        misfit(format!("is {found}, expected {expected}"))
    }
}

fn misfit(message: String) -> Result<(), Refusal> {
    Err(Refusal::Misfit {
        path: String::new(),
        message,
    })
}

/// A number in the form of packed lists, its width first; none if it is not in the kind's range.
fn little_endian(kind: Number, value: Value) -> Option<[u8; 8]> {
    let float = match value {
        Value::Float(value) => Some(value),
        Value::Int(value) => Some(value as f64),
        Value::Unsigned(value) => Some(value as f64),
        _ => None,
    };
    let integer: Option<i128> = match value {
        Value::Int(value) => Some(value.into()),
        Value::Unsigned(value) => Some(value.into()),
        _ => None,
    };
    let (least, most) = kind.range();
    match kind {
        Number::F8 => Some(float?.to_le_bytes()),
        Number::F4 => {
            let (wide, narrow) = (float?, float? as f32);
            // A float of the other type must not lose what it says.
            let kept = f64::from(narrow) == wide || wide.is_nan();
            kept.then(|| u64::from(narrow.to_bits()).to_le_bytes())
        }
        _ => integer
            .filter(|value| (least..=most).contains(value))
            .map(|value| (value as i64).to_le_bytes()),
    }
}
