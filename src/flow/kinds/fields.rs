//! Reads the fields of a kind, with errors that name the field, what it is and what was expected. Knows no kind.

use super::node::Outcome;
use crate::codec::number::Decimal;
use crate::error::{Error, Kind, Result};
use crate::flow::cel::Cel;
use crate::flow::spec::Spec;
use crate::flow::value::{Value, json};
use crate::limits::TIMEOUT_MS_MAX;
use std::rc::Rc;

/// The error of a field.
#[cold]
pub fn wrong(spec: &Spec, field: &str, message: String) -> Box<Error> {
    Error::new(Kind::BadArgument, message).at(spec.place_of(field).to_string())
}

#[cold]
fn unexpected(spec: &Spec, field: &str, value: &Value, expected: &str) -> Box<Error> {
    let mut shown = json::text(value);
    if shown.chars().count() > 60 {
        shown = value.name().to_string();
    }
    wrong(spec, field, format!("{field} is {shown}, expected {expected}"))
}

#[cold]
fn missing(spec: &Spec, field: &str, expected: &str) -> Box<Error> {
    let message = format!("a node of kind '{}' needs {field}, {expected}", spec.kind);
    let error = Error::new(Kind::BadArgument, message);
    error.at(spec.place.to_string())
}

/// A field that is not there, or null, is none.
fn given<'s>(spec: &'s Spec, field: &str) -> Option<&'s Value> {
    spec.field(field).filter(|value| !matches!(value, Value::Null))
}

/// A text.
///
/// # Errors
/// It is something else.
pub fn text(spec: &Spec, field: &str) -> Result<Option<Rc<str>>> {
    match given(spec, field) {
        None => Ok(None),
        Some(Value::Str(text)) => Ok(Some(text.clone())),
        Some(other) => Err(unexpected(spec, field, other, "a text")),
    }
}

/// A text that there has to be.
///
/// # Errors
/// It is something else, or not there.
pub fn needed_text(spec: &Spec, field: &str, expected: &str) -> Result<Rc<str>> {
    text(spec, field)?.ok_or_else(|| missing(spec, field, expected))
}

/// An integer within bounds.
///
/// # Errors
/// It is something else, or beyond them.
pub fn integer(spec: &Spec, field: &str, low: i64, high: i64) -> Result<Option<i64>> {
    let Some(value) = given(spec, field) else {
        return Ok(None);
    };
    let found = value.as_int().filter(|number| (low..=high).contains(number));
    let expected = || format!("an integer from {low} to {high}");
    found
        .map(Some)
        .ok_or_else(|| unexpected(spec, field, value, &expected()))
}

/// A number that isn't less than this.
///
/// # Errors
/// It is something else, or less.
pub fn number(spec: &Spec, field: &str, low: f64) -> Result<Option<f64>> {
    let number = match given(spec, field) {
        None => return Ok(None),
        Some(Value::Int(number)) => *number as f64,
        Some(Value::Float(number)) => *number,
        Some(other) => return Err(unexpected(spec, field, other, "a number")),
    };
    match number.is_finite() && number >= low {
        true => Ok(Some(number)),
        false => {
            let value = Value::Float(number);
            Err(unexpected(spec, field, &value, &format!("at least {low}")))
        }
    }
}

/// A time in milliseconds: an integer of them, or a text as `250ms`, `1.5s`, `2m`, `1h`.
///
/// # Errors
/// It is something else, or more than a year.
pub fn duration(spec: &Spec, field: &str) -> Result<Option<u64>> {
    let Some(value) = given(spec, field) else {
        return Ok(None);
    };
    let ms = match value {
        Value::Str(text) => read_duration(text),
        other => other.as_int().and_then(|ms| u64::try_from(ms).ok()),
    };
    let expected = "milliseconds, or a text as 250ms, 1.5s, 2m or 1h, up to a year";
    ms.filter(|ms| *ms <= TIMEOUT_MS_MAX)
        .map(Some)
        .ok_or_else(|| unexpected(spec, field, value, expected))
}

fn read_duration(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text.find(|char: char| !char.is_ascii_digit() && char != '.')?;
    let (number, unit) = text.split_at(digits);
    let unit_ms = match unit.trim() {
        "ms" => 1.0,
        "s" => 1000.0,
        "m" => 60_000.0,
        "h" => 3_600_000.0,
        _ => return None,
    };
    let written = Decimal::scan(number.as_bytes()).ok();
    let ms = written.filter(|its| its.text.len() == number.len())?.f8() * unit_ms;
    // Far beyond the bound it saturates, which the bound refuses.
    Some(ms.round() as u64)
}

/// The texts of a list, or one text.
///
/// # Errors
/// It is something else.
pub fn texts(spec: &Spec, field: &str) -> Result<Vec<Rc<str>>> {
    let Some(value) = given(spec, field) else {
        return Ok(Vec::new());
    };
    let one = std::slice::from_ref(value);
    let each = value
        .elements()
        .unwrap_or(one)
        .iter()
        .map(|element| match element {
            Value::Str(text) => Ok(text.clone()),
            _ => Err(unexpected(spec, field, value, "texts")),
        });
    each.collect()
}

/// An expression over `self`, the packet.
pub struct Condition {
    cel: Cel,
}

impl Condition {
    /// Compiles one.
    ///
    /// # Errors
    /// It is none; the error names the field.
    pub fn compile(spec: &Spec, field: &str, text: &str) -> Result<Condition> {
        let compiled = Cel::compile_with(text, &["self"]);
        let cel = compiled.map_err(|flaw| {
            let (line, column) = flaw.place(text);
            let message = format!(
                "{field} is no expression: {} at {line}:{column} of it",
                flaw.message
            );
            let error = wrong(spec, field, message);
            match flaw.hint {
                Some(hint) => error.hint(hint),
                None => error,
            }
        })?;
        Ok(Condition { cel })
    }

    /// That of a field, if it is there; a boolean stands for itself.
    ///
    /// # Errors
    /// It is something else.
    pub fn field(spec: &Spec, field: &str) -> Result<Option<Condition>> {
        match given(spec, field) {
            Some(Value::Bool(is)) => {
                Condition::compile(spec, field, if *is { "true" } else { "false" }).map(Some)
            }
            _ => text(spec, field)?
                .map(|text| Condition::compile(spec, field, &text))
                .transpose(),
        }
    }

    /// That of a field which has to be there.
    ///
    /// # Errors
    /// It is something else, or not there.
    pub fn needed(spec: &Spec, field: &str) -> Result<Condition> {
        Condition::field(spec, field)?
            .ok_or_else(|| missing(spec, field, "an expression over self, the packet"))
    }

    /// Its value of a packet.
    pub fn value(&self, packet: &Value) -> Outcome {
        self.cel.evaluate(&[("self", packet)]).map_err(Rc::from)
    }

    /// Whether it holds.
    ///
    /// # Errors
    /// What the expression fails with, and a value that is no boolean.
    pub fn holds(&self, what: &str, packet: &Value) -> std::result::Result<bool, Rc<Error>> {
        let value = self.value(packet)?;
        value.as_bool().ok_or_else(|| {
            let message = format!("{what} gives {}, expected a boolean", value.name());
            Rc::from(Error::new(Kind::BadArgument, message))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        let check = |text: &str, expected: Option<u64>| assert_eq!(read_duration(text), expected, "{text}");
        check("250ms", Some(250));
        check("1.5s", Some(1500));
        check("2m", Some(120_000));
        check("1h", Some(3_600_000));
        check("0.5 ms", Some(1));
        for bad in ["", "5", "s", "-1s", "1d", "1.2.3s", "ms5"] {
            check(bad, None);
        }
    }
}
