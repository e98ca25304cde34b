//! Conversions between kinds of values. Knows no formats but the plain ones.

use super::budget::{Budget, bad, name, raised};
use super::function::{self, Function};
use crate::codec::base64;
use crate::error::{Error, Result};
use crate::flow::value::Value;

const TWO_63: f64 = 9_223_372_036_854_775_808.0;
const TWO_64: f64 = 2.0 * TWO_63;

/// A function of one value that gives another kind of it.
pub(super) fn call(function: Function, value: &Value, budget: &mut Budget) -> Result<Value> {
    if let Value::Str(text) = value {
        budget.work(text.len())?;
    }
    if let Value::Bytes(bytes) = value {
        budget.work(bytes.len())?;
    }
    let found = match (function, value) {
        (Function::Dyn, value) => Some(value.clone()),
        (Function::Int, Value::Int(_))
        | (Function::Uint, Value::Uint(_))
        | (Function::Double, Value::Float(_))
        | (Function::Str, Value::Str(_))
        | (Function::Bytes, Value::Bytes(_))
        | (Function::Bool, Value::Bool(_)) => Some(value.clone()),
        (Function::Int, Value::Uint(number)) => i64::try_from(*number).ok().map(Value::Int),
        (Function::Int, Value::Float(number)) => {
            let fits = *number > -TWO_63 && *number < TWO_63;
            fits.then_some(Value::Int(*number as i64))
        }
        (Function::Int, Value::Str(text)) => text.parse().ok().map(Value::Int),
        (Function::Uint, Value::Int(number)) => u64::try_from(*number).ok().map(Value::Uint),
        (Function::Uint, Value::Float(number)) => {
            let fits = *number > -1.0 && *number < TWO_64;
            fits.then_some(Value::Uint(*number as u64))
        }
        (Function::Uint, Value::Str(text)) => text.parse().ok().map(Value::Uint),
        (Function::Double, Value::Int(number)) => Some(Value::Float(*number as f64)),
        (Function::Double, Value::Uint(number)) => Some(Value::Float(*number as f64)),
        (Function::Double, Value::Str(text)) => text.parse().ok().map(Value::Float),
        (Function::Str, Value::Int(number)) => Some(Value::str(&number.to_string())),
        (Function::Str, Value::Uint(number)) => Some(Value::str(&number.to_string())),
        (Function::Str, Value::Bool(truth)) => Some(Value::str(&truth.to_string())),
        (Function::Str, Value::Float(number)) => Some(Value::str(&double(*number))),
        (Function::Str, Value::Bytes(bytes)) => {
            let text = str::from_utf8(bytes);
            Some(Value::str(
                text.map_err(|_| raised("the bytes are no text in UTF-8"))?,
            ))
        }
        (Function::Str | Function::Message, Value::Error(error)) => Some(Value::str(&error.message)),
        (Function::Bytes, Value::Str(text)) => Some(Value::Bytes(text.as_bytes().into())),
        (Function::Bool, Value::Str(text)) => match &**text {
            "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(Value::Bool(true)),
            "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(Value::Bool(false)),
            _ => None,
        },
        (Function::Encode, Value::Bytes(bytes)) => {
            let mut out = Vec::new();
            base64::encode(bytes, &mut out);
            Some(Value::str(str::from_utf8(&out).unwrap_or_default()))
        }
        (Function::Decode, Value::Str(text)) => return decode(text),
        _ => return Err(unfit(function, value)),
    };
    found.ok_or_else(|| {
        let shown = match value {
            Value::Int(number) => number.to_string(),
            Value::Uint(number) => number.to_string(),
            Value::Float(number) => double(*number),
            // A text may be a secret, and needn't be short.
            _ => "the text".to_string(),
        };
        raised(format!("'{}' can't convert {shown}", function::name(function)))
    })
}

/// The error that a function doesn't take such a value.
pub(super) fn unfit(function: Function, value: &Value) -> Box<Error> {
    bad(format!(
        "'{}' doesn't take {}",
        function::name(function),
        name(value)
    ))
}

/// The bytes of a text in base64, whose padding may be missing.
fn decode(text: &str) -> Result<Value> {
    let mut padded = text.as_bytes().to_vec();
    while !padded.len().is_multiple_of(4) {
        padded.push(b'=');
    }
    let mut out = Vec::new();
    match base64::decode(&padded, &mut out) {
        Ok(()) => Ok(Value::Bytes(out.into())),
        Err(_) => Err(raised("'base64.decode' can't convert the text")),
    }
}

/// A float as short as it can be: with an exponent only where it has many digits.
pub(super) fn double(number: f64) -> String {
    let size = number.abs();
    if number.is_nan() {
        "NaN".to_string()
    } else if number.is_infinite() {
        let text = if number > 0.0 { "Infinity" } else { "-Infinity" };
        text.to_string()
    } else if size == 0.0 || (1e-4..1e21).contains(&size) {
        number.to_string()
    } else {
        exponent(&format!("{number:e}"))
    }
}

/// The same with the exponent's sign and at least two of its digits.
pub(super) fn exponent(text: &str) -> String {
    let Some((digits, power)) = text.split_once('e') else {
        return text.to_string();
    };
    let (sign, power) = match power.strip_prefix('-') {
        Some(power) => ('-', power),
        None => ('+', power),
    };
    format!("{digits}e{sign}{power:0>2}")
}
