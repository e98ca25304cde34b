//! What operators, indices and fields do with values. Knows no nodes.

use super::arena::Binary;
use super::budget::{Budget, bad, name, raised, unfit};
use crate::error::{Error, Result};
use crate::flow::value::Value;
use crate::limits::FLOW_VALUE_DEPTH_MAX;
use std::cmp::Ordering;
use std::rc::Rc;

/// An operator of two values.
pub(super) fn binary(op: Binary, left: Value, right: Value, budget: &mut Budget) -> Result<Value> {
    match op {
        Binary::Add => add(left, right, budget),
        Binary::Subtract | Binary::Multiply | Binary::Divide | Binary::Remainder => {
            arithmetic(op, left, right)
        }
        Binary::Equal => equal(&left, &right, budget).map(Value::Bool),
        Binary::Unequal => equal(&left, &right, budget).map(|same| Value::Bool(!same)),
        Binary::In => contains(&left, &right, budget).map(Value::Bool),
        Binary::Less | Binary::AtMost | Binary::Greater | Binary::AtLeast => {
            let order = order(op, &left, &right, budget)?;
            let holds = match op {
                Binary::Less => order == Some(Ordering::Less),
                Binary::AtMost => matches!(order, Some(Ordering::Less | Ordering::Equal)),
                Binary::Greater => order == Some(Ordering::Greater),
                _ => matches!(order, Some(Ordering::Greater | Ordering::Equal)),
            };
            Ok(Value::Bool(holds))
        }
    }
}

fn unfit_pair(op: Binary, left: &Value, right: &Value) -> Box<Error> {
    let error = bad(format!(
        "'{}' doesn't take {} and {}",
        op.sign(),
        name(left),
        name(right)
    ));
    match (left, right) {
        (Value::Int(_), Value::Uint(_) | Value::Float(_))
        | (Value::Uint(_), Value::Int(_) | Value::Float(_))
        | (Value::Float(_), Value::Int(_) | Value::Uint(_)) => {
            error.hint("int(), uint() and double() convert")
        }
        _ => error,
    }
}

fn beyond(op: Binary) -> Box<Error> {
    raised(format!("the result of '{}' doesn't fit into 64 bits", op.sign()))
}

fn add(left: Value, right: Value, budget: &mut Budget) -> Result<Value> {
    Ok(match (left, right) {
        (Value::Int(a), Value::Int(b)) => Value::Int(a.checked_add(b).ok_or_else(|| beyond(Binary::Add))?),
        (Value::Uint(a), Value::Uint(b)) => Value::Uint(a.checked_add(b).ok_or_else(|| beyond(Binary::Add))?),
        (Value::Float(a), Value::Float(b)) => Value::Float(a + b),
        (Value::Str(a), Value::Str(b)) => {
            budget.work(a.len() + b.len())?;
            Value::Str([&*a, &*b].concat().into())
        }
        (Value::Bytes(a), Value::Bytes(b)) => {
            budget.work(a.len() + b.len())?;
            Value::Bytes([&*a, &*b].concat().into())
        }
        (Value::List(mut a), Value::List(b)) => {
            budget.values(a.len() + b.len())?;
            Rc::make_mut(&mut a).extend_from_slice(&b);
            Value::List(a)
        }
        (left, right) => return Err(unfit_pair(Binary::Add, &left, &right)),
    })
}

fn arithmetic(op: Binary, left: Value, right: Value) -> Result<Value> {
    let is_zero = matches!(right, Value::Int(0) | Value::Uint(0));
    let found = match (&left, &right) {
        (Value::Int(a), Value::Int(b)) => {
            let result = match op {
                Binary::Subtract => a.checked_sub(*b),
                Binary::Multiply => a.checked_mul(*b),
                Binary::Divide => a.checked_div(*b),
                _ => a.checked_rem(*b),
            };
            result.map(Value::Int)
        }
        (Value::Uint(a), Value::Uint(b)) => {
            let result = match op {
                Binary::Subtract => a.checked_sub(*b),
                Binary::Multiply => a.checked_mul(*b),
                Binary::Divide => a.checked_div(*b),
                _ => a.checked_rem(*b),
            };
            result.map(Value::Uint)
        }
        (Value::Float(a), Value::Float(b)) if op != Binary::Remainder => Some(Value::Float(match op {
            Binary::Subtract => a - b,
            Binary::Multiply => a * b,
            _ => a / b,
        })),
        _ => return Err(unfit_pair(op, &left, &right)),
    };
    found.ok_or_else(|| match op {
        Binary::Divide | Binary::Remainder if is_zero => raised(format!("'{}' by zero", op.sign())),
        _ => beyond(op),
    })
}

/// The number with the other sign.
pub(super) fn negate(value: &Value) -> Result<Value> {
    match value {
        Value::Int(number) => {
            let result = number.checked_neg().map(Value::Int);
            result.ok_or_else(|| beyond(Binary::Subtract))
        }
        Value::Float(number) => Ok(Value::Float(-number)),
        other => Err(unfit("'-'", other)),
    }
}

/// How two stand to each other; nothing for what is no number.
fn order(op: Binary, left: &Value, right: &Value, budget: &mut Budget) -> Result<Option<Ordering>> {
    match (left, right) {
        (
            Value::Int(_) | Value::Uint(_) | Value::Float(_),
            Value::Int(_) | Value::Uint(_) | Value::Float(_),
        )
        | (Value::Bool(_), Value::Bool(_)) => {}
        (Value::Str(a), Value::Str(b)) => budget.work(a.len().min(b.len()) / 16)?,
        (Value::Bytes(a), Value::Bytes(b)) => budget.work(a.len().min(b.len()) / 16)?,
        _ => return Err(unfit_pair(op, left, right)),
    }
    Ok(left.compare(right))
}

/// Whether two are the same, as `==` of [`Value`], with a stack of its own.
pub(super) fn equal(left: &Value, right: &Value, budget: &mut Budget) -> Result<bool> {
    let mut pairs = Vec::new();
    let mut next = Some((left, right));
    while let Some((left, right)) = next {
        match (left, right) {
            (Value::List(a), Value::List(b)) => {
                budget.values(a.len().min(b.len()))?;
                if a.len() != b.len() {
                    return Ok(false);
                }
                if !Rc::ptr_eq(a, b) {
                    pairs.extend(a.iter().zip(b.iter()));
                }
            }
            (Value::Map(a), Value::Map(b)) if !Rc::ptr_eq(a, b) => {
                if a.len() != b.len() {
                    return Ok(false);
                }
                for (place, (key, value)) in a.iter().enumerate() {
                    budget.values(1)?;
                    let beside = b.get(place).filter(|entry| entry.0 == *key);
                    let Some(found) =
                        beside.map_or_else(|| find(b, key, budget), |entry| Ok(Some(&entry.1)))?
                    else {
                        return Ok(false);
                    };
                    pairs.push((value, found));
                }
            }
            (Value::Str(a), Value::Str(b)) => {
                budget.work(a.len().min(b.len()) / 16)?;
                if a != b {
                    return Ok(false);
                }
            }
            _ => {
                if left != right {
                    return Ok(false);
                }
            }
        }
        next = pairs.pop();
    }
    Ok(true)
}

/// The value of a key in entries.
fn find<'v>(entries: &'v [(Value, Value)], key: &Value, budget: &mut Budget) -> Result<Option<&'v Value>> {
    let place = match key {
        Value::Str(name) => entries.iter().position(|entry| entry.0.as_str() == Some(name)),
        _ => entries.iter().position(|entry| entry.0 == *key),
    };
    // What is looked at costs less than what is made.
    budget.values(place.unwrap_or(entries.len()).div_ceil(8))?;
    Ok(place.and_then(|place| entries.get(place)).map(|entry| &entry.1))
}

/// Whether a list has such an element, or a map such a key.
fn contains(what: &Value, within: &Value, budget: &mut Budget) -> Result<bool> {
    match within {
        Value::List(elements) => {
            for element in elements.iter() {
                budget.values(1)?;
                if equal(what, element, budget)? {
                    return Ok(true);
                }
            }
            Ok(false)
        }
        Value::Map(entries) => Ok(find(entries, what, budget)?.is_some()),
        _ => Err(unfit_pair(Binary::In, what, within)),
    }
}

/// Something that an error has under a name.
fn of_error(error: &Error, name: &str) -> Option<Value> {
    match name {
        "message" => Some(Value::str(&error.message)),
        "kind" => Some(Value::str(error.kind.name())),
        "place" => error.place.as_deref().map(Value::str),
        "hint" => error.hint.as_deref().map(Value::str),
        _ => None,
    }
}

/// Whether a value has a field.
pub(super) fn has(value: &Value, field: &Value, budget: &mut Budget) -> Result<bool> {
    match value {
        Value::Map(entries) => Ok(find(entries, field, budget)?.is_some()),
        Value::Error(error) => Ok(of_error(error, field.as_str().unwrap_or_default()).is_some()),
        other => Err(bad(format!("{} has no fields", name(other)))),
    }
}

/// A field.
pub(super) fn field(value: &Value, field: &Value, budget: &mut Budget) -> Result<Value> {
    let found = match value {
        Value::Map(entries) => find(entries, field, budget)?.cloned(),
        Value::Error(error) => of_error(error, field.as_str().unwrap_or_default()),
        other => {
            let shown = shown(field);
            return Err(bad(format!(
                "{} has no field {shown}, expected a map",
                name(other)
            )));
        }
    };
    found.ok_or_else(|| bad(format!("{} has no field {}", the(value), shown(field))))
}

fn the(value: &Value) -> &'static str {
    match value {
        Value::Error(_) => "the error",
        _ => "the map",
    }
}

/// A key or position in a message.
fn shown(key: &Value) -> String {
    match key {
        Value::Str(text) => format!("'{}'", text.chars().take(80).collect::<String>()),
        Value::Int(number) => number.to_string(),
        Value::Uint(number) => number.to_string(),
        Value::Float(number) => number.to_string(),
        Value::Bool(truth) => truth.to_string(),
        other => name(other).to_string(),
    }
}

/// An element of a list, or the value of a key.
pub(super) fn index(value: &Value, key: &Value, budget: &mut Budget) -> Result<Value> {
    match value {
        Value::List(elements) => {
            let Some(place) = key.as_int() else {
                return Err(bad(format!("a list has no element {}", shown(key))));
            };
            let found = usize::try_from(place).ok().and_then(|place| elements.get(place));
            found.cloned().ok_or_else(|| {
                let count = elements.len();
                bad(format!("there is no element {place} in a list of {count}"))
            })
        }
        Value::Map(entries) => {
            let found = find(entries, key, budget)?.cloned();
            found.ok_or_else(|| bad(format!("the map has no key {}", shown(key))))
        }
        Value::Error(_) => field(value, key, budget),
        other => Err(bad(format!(
            "{} has no elements, expected a list or a map",
            name(other)
        ))),
    }
}

/// A map of keys, each before its value.
pub(super) fn map(values: Vec<Value>, budget: &mut Budget) -> Result<Value> {
    let mut entries: Vec<(Value, Value)> = Vec::with_capacity(values.len() / 2);
    let mut values = values.into_iter();
    while let (Some(key), Some(value)) = (values.next(), values.next()) {
        if !matches!(
            key,
            Value::Str(_) | Value::Int(_) | Value::Uint(_) | Value::Bool(_)
        ) {
            let found = name(&key);
            return Err(bad(format!("{found} can't be the key of a map")));
        }
        if find(&entries, &key, budget)?.is_some() {
            return Err(raised(format!("key {} stands twice in a map", shown(&key))));
        }
        entries.push((key, value));
    }
    Ok(Value::Map(Rc::new(entries)))
}

/// Refuses a value that was made and is nested deeper than values may be, or whose parts, each counted as often as it
/// stands there, are more than an evaluation may make.
pub(super) fn check_size(value: &Value, budget: &mut Budget) -> Result<()> {
    let mut open = vec![(value, 0)];
    while let Some((value, depth)) = open.pop() {
        if depth > FLOW_VALUE_DEPTH_MAX {
            return Err(raised(format!(
                "the expression makes a value nested deeper than {FLOW_VALUE_DEPTH_MAX} levels"
            )));
        }
        match value {
            Value::List(elements) => {
                budget.values(elements.len())?;
                open.extend(elements.iter().map(|element| (element, depth + 1)));
            }
            Value::Map(entries) => {
                budget.values(entries.len())?;
                open.extend(entries.iter().map(|entry| (&entry.1, depth + 1)));
            }
            _ => {}
        }
    }
    Ok(())
}
