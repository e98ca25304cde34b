//! Places in values: getting and setting them by pattern, indexing and slicing lists. Walks no expression.

use crate::codec::schema::{Type, Types};
use crate::core::eval::heap::{Heap, Range, Value};
use crate::core::eval::stop::{Eval, Stop};
use crate::core::eval::wire;
use crate::expr::arena::{Exprs, Step};
use crate::ids::{Span, TypeId};

/// The value at a place.
pub fn get(heap: &Heap, exprs: &Exprs, types: &Types, value: Value, way: Span) -> Eval<Value> {
    let mut value = value;
    for step in exprs.steps(way) {
        let (parts, position) = part(exprs, types, heap.look(value)?, *step)?;
        value = heap.value(parts, position);
    }
    Ok(value)
}

/// A copy of a value with another at a place; what the place is not in is shared.
pub fn set(
    heap: &mut Heap,
    exprs: &Exprs,
    types: &Types,
    value: Value,
    way: Span,
    new: Value,
) -> Eval<Value> {
    let mut root = value;
    let mut current = value;
    // Where `current` stands in the copy around it.
    let mut slot: Option<(Range, usize)> = None;
    for step in exprs.steps(way) {
        current = heap.look(current)?;
        let (parts, position) = part(exprs, types, current, *step)?;
        let copied = heap.copy_values(parts)?;
        let copy = match current {
            Value::Record(ty, _) => Value::Record(ty, copied),
            _ => Value::Tuple(copied),
        };
        match slot {
            None => root = copy,
            Some((around, at)) => heap.set_value(around, at, copy),
        }
        current = heap.value(copied, position);
        slot = Some((copied, position));
    }
    match slot {
        None => Ok(new),
        Some((around, at)) => {
            heap.set_value(around, at, new);
            Ok(root)
        }
    }
}

/// The parts of a tuple or record, and the position that a step leads to.
fn part(exprs: &Exprs, types: &Types, value: Value, step: Step) -> Eval<(Range, usize)> {
    let (parts, position) = match (step, value) {
        (Step::Position(position), Value::Tuple(parts) | Value::Record(_, parts)) => (
            parts,
            Some(position as usize).filter(|at| *at < parts.len as usize),
        ),
        (Step::Key(key), Value::Record(ty, parts)) => (parts, position_of(types, ty, exprs.text(key))),
        (Step::Position(position), _) => {
            let found = value.name();
            return Err(Stop::misfit(format!(
                "pattern takes part {position} of {found}, expected a tuple"
            )));
        }
        (Step::Key(key), _) => {
            let (key, found) = (exprs.text(key), value.name());
            return Err(Stop::misfit(format!(
                "pattern takes field \"{key}\" of {found}, expected a record"
            )));
        }
    };
    match (position, step) {
        (Some(position), _) => Ok((parts, position)),
        (None, Step::Position(position)) => {
            let (what, len) = (value.name(), parts.len);
            Err(Stop::misfit(format!(
                "pattern takes part {position} of {what} with {len} parts"
            )))
        }
        (None, Step::Key(key)) => {
            let key = exprs.text(key);
            Err(Stop::misfit(format!(
                "pattern takes field \"{key}\" of a record that has no such field"
            )))
        }
    }
}

fn position_of(types: &Types, ty: TypeId, key: &str) -> Option<usize> {
    match types.node(ty) {
        Type::Record(fields) => types.fields(fields).iter().position(|field| *field.key == *key),
        _ => None,
    }
}

/// The element at an index, which counts from the end when negative.
pub fn index(heap: &Heap, index: Value, list: Value) -> Eval<Value> {
    let (index, list) = (heap.look(index)?, heap.look(list)?);
    let len = list_len(list, "index")?;
    let Some(at) = integer(heap, index) else {
        let found = index.name();
        return Err(Stop::misfit(format!("index is {found}, expected an integer")));
    };
    let position = if at < 0 { at + len as i128 } else { at };
    match usize::try_from(position) {
        Ok(position) if position < len => Ok(element(heap, list, position)),
        _ => {
            let shown = if at.abs() == BEYOND {
                "of more than 64 bits".into()
            } else {
                at.to_string()
            };
            Err(Stop::raised(format!(
                "index {shown} is out of range of a list of length {len}"
            )))
        }
    }
}

/// The elements from `start` to before `stop`, each `step`th, with Python's meaning of negative and null bounds.
pub fn slice(heap: &mut Heap, [start, stop, step]: [Value; 3], list: Value) -> Eval<Value> {
    let list = heap.look(list)?;
    let len = list_len(list, "slice")? as i128;
    let step = bound(heap, step)?.unwrap_or(1);
    if step == 0 {
        return Err(Stop::raised("step of a slice is 0, expected another integer"));
    }
    // Going backwards, a slice may end before the first element.
    let (first, last) = if step > 0 { (0, len) } else { (-1, len - 1) };
    let clamp = |at: i128| (if at < 0 { at + len } else { at }).clamp(first, last);
    let (from, to) = if step > 0 { (first, last) } else { (last, first) };
    let from = bound(heap, start)?.map_or(from, clamp);
    let to = bound(heap, stop)?.map_or(to, clamp);
    let distance = if step > 0 { to - from } else { from - to };
    let count = distance.max(0).unsigned_abs().div_ceil(step.unsigned_abs()) as usize;
    if step == 1 || count == 0 {
        // Positions of elements: they were clamped to the list.
        return Ok(stretch(list, from.max(0) as u32, count as u32));
    }
    let positions = (0..count).map(|nth| (from + nth as i128 * step) as usize);
    let elements: Vec<Value> = {
        heap.reserve(count.saturating_mul(size_of::<Value>()))?;
        positions.map(|position| element(heap, list, position)).collect()
    };
    Ok(Value::List(heap.add_values(elements.into_iter())?))
}

fn bound(heap: &Heap, value: Value) -> Eval<Option<i128>> {
    let value = heap.look(value)?;
    match (value, integer(heap, value)) {
        (Value::Nil, _) => Ok(None),
        (_, Some(at)) => Ok(Some(at)),
        _ => {
            let found = value.name();
            Err(Stop::misfit(format!(
                "bound of a slice is {found}, expected an integer or null"
            )))
        }
    }
}

/// Stands for every integer beyond 64 bits: no list has so many elements, and sums with it don't overflow.
const BEYOND: i128 = 1 << 96;

fn integer(heap: &Heap, value: Value) -> Option<i128> {
    match value {
        Value::Int(value) => Some(value.into()),
        Value::Unsigned(value) => Some(value.into()),
        Value::Big(digits) => {
            let negative = heap.bytes(digits).first().is_some_and(|byte| byte & 0x80 != 0);
            Some(if negative { -BEYOND } else { BEYOND })
        }
        _ => None,
    }
}

/// How many elements a list has.
pub fn list_len(list: Value, what: &str) -> Eval<usize> {
    match list {
        Value::List(elements) => Ok(elements.len as usize),
        Value::Packed(number, bytes) => Ok(bytes.len as usize / number.bytes()),
        _ => {
            let found = list.name();
            Err(Stop::misfit(format!(
                "{what} is applied to {found}, expected a list"
            )))
        }
    }
}

/// The element of a list at a position that it has.
pub fn element(heap: &Heap, list: Value, position: usize) -> Value {
    match list {
        Value::List(elements) => heap.value(elements, position),
        Value::Packed(number, bytes) => {
            let width = number.bytes();
            wire::number(number, &heap.bytes(bytes)[position * width..][..width])
        }
        _ => Value::Nil,
    }
}

/// Part of a list, shared with it.
fn stretch(list: Value, from: u32, count: u32) -> Value {
    let within = |range: Range, width: u32| Range {
        start: range.start + from * width,
        len: count * width,
    };
    match list {
        Value::List(elements) => Value::List(within(elements, 1)),
        Value::Packed(number, bytes) => Value::Packed(number, within(bytes, number.bytes() as u32)),
        other => other,
    }
}
