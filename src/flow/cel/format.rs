//! `format`: a text with values in the places of `%s` and the like. Knows no locales.

use super::budget::{Budget, bad, name, raised};
use super::convert::{double, exponent};
use crate::error::{Error, Result};
use crate::flow::value::Value;
use crate::limits::{FLOW_CEL_PRECISION_MAX, FLOW_VALUE_DEPTH_MAX};
use std::fmt::Write;

/// The text of a template and a list of values.
pub(super) fn call(args: &[Value], budget: &mut Budget) -> Result<Value> {
    let [Value::Str(template), Value::List(values)] = args else {
        return Err(bad("'format' takes a string and a list"));
    };
    let mut out = String::new();
    let mut values = values.iter();
    let mut rest = &**template;
    while let Some((before, behind)) = rest.split_once('%') {
        budget.work(1 + before.len())?;
        out.push_str(before);
        rest = behind;
        if let Some(behind) = rest.strip_prefix('%') {
            out.push('%');
            rest = behind;
            continue;
        }
        let precision = precision(&mut rest)?;
        let mut letters = rest.chars();
        let Some(letter) = letters.next() else {
            return Err(raised("'format' has a template that ends with '%'"));
        };
        rest = letters.as_str();
        let Some(value) = values.next() else {
            return Err(raised("'format' has fewer values than places for them"));
        };
        let start = out.len();
        if letter == 's' {
            write_value(value, 0, &mut out, budget)?;
        } else {
            write_number(letter, value, precision, &mut out)?;
        }
        budget.work(out.len() - start)?;
    }
    budget.work(rest.len())?;
    out.push_str(rest);
    Ok(Value::str(&out))
}

/// The digits behind a point, if there is one.
fn precision(rest: &mut &str) -> Result<Option<usize>> {
    let Some(behind) = rest.strip_prefix('.') else {
        return Ok(None);
    };
    let len = behind.bytes().take_while(u8::is_ascii_digit).count();
    let (digits, after) = behind.split_at(len);
    *rest = after;
    let number = digits
        .parse()
        .ok()
        .filter(|number| *number <= FLOW_CEL_PRECISION_MAX);
    match number {
        Some(number) => Ok(Some(number)),
        None => Err(raised(format!(
            "'format' has a precision of '{}', expected at most {FLOW_CEL_PRECISION_MAX}",
            digits.chars().take(10).collect::<String>()
        ))),
    }
}

fn unfit(letter: char, value: &Value) -> Box<Error> {
    bad(format!("'%{letter}' of 'format' doesn't take {}", name(value)))
}

fn write_number(letter: char, value: &Value, precision: Option<usize>, out: &mut String) -> Result<()> {
    let whole = match value {
        Value::Int(number) => Some(i128::from(*number)),
        Value::Uint(number) => Some(i128::from(*number)),
        Value::Bool(truth) if letter == 'b' => Some(i128::from(*truth)),
        _ => None,
    };
    let float = match value {
        Value::Float(number) => Some(*number),
        _ => whole.map(|whole| whole as f64),
    };
    // A minus stands before the digits of the number without it.
    let sign = if whole.is_some_and(|whole| whole < 0) {
        "-"
    } else {
        ""
    };
    let size = whole.map(i128::unsigned_abs);
    let _ = match (letter, size, float) {
        ('d' | 'f' | 'e', None, Some(number)) if !number.is_finite() => write!(out, "{}", double(number)),
        ('d', Some(size), _) => write!(out, "{sign}{size}"),
        ('b', Some(size), _) => write!(out, "{sign}{size:b}"),
        ('o', Some(size), _) => write!(out, "{sign}{size:o}"),
        ('x', Some(size), _) => write!(out, "{sign}{size:x}"),
        ('X', Some(size), _) => write!(out, "{sign}{size:X}"),
        ('d', None, Some(number)) => write!(out, "{}", double(number)),
        ('f', _, Some(number)) => write!(out, "{number:.*}", precision.unwrap_or(6)),
        ('e', _, Some(number)) => {
            let text = format!("{number:.*e}", precision.unwrap_or(6));
            write!(out, "{}", exponent(&text))
        }
        ('x' | 'X', ..) => {
            let bytes = match value {
                Value::Str(text) => text.as_bytes(),
                Value::Bytes(bytes) => bytes,
                other => return Err(unfit(letter, other)),
            };
            bytes.iter().try_for_each(|byte| match letter {
                'x' => write!(out, "{byte:02x}"),
                _ => write!(out, "{byte:02X}"),
            })
        }
        ('d' | 'b' | 'o' | 'f' | 'e', ..) => return Err(unfit(letter, value)),
        _ => {
            return Err(raised(format!(
                "'format' has the place '%{letter}', which there is not"
            )));
        }
    };
    Ok(())
}

/// A value as people read it.
fn write_value(value: &Value, depth: usize, out: &mut String, budget: &mut Budget) -> Result<()> {
    if depth > FLOW_VALUE_DEPTH_MAX {
        return Err(raised(format!(
            "'format' has a value nested deeper than {FLOW_VALUE_DEPTH_MAX} levels"
        )));
    }
    budget.values(1)?;
    let start = out.len();
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(truth) => out.push_str(if *truth { "true" } else { "false" }),
        Value::Int(number) => _ = write!(out, "{number}"),
        Value::Uint(number) => _ = write!(out, "{number}"),
        Value::Float(number) => out.push_str(&double(*number)),
        Value::Str(text) => out.push_str(text),
        Value::Bytes(bytes) => out.push_str(&String::from_utf8_lossy(bytes)),
        Value::Error(error) => out.push_str(&error.message),
        Value::List(elements) => {
            out.push('[');
            for (place, element) in elements.iter().enumerate() {
                if place > 0 {
                    out.push_str(", ");
                }
                write_value(element, depth + 1, out, budget)?;
            }
            out.push(']');
            return Ok(());
        }
        Value::Map(entries) => {
            // In the order of the keys' texts, whatever order they were written in.
            let mut shown: Vec<(String, &Value)> = Vec::new();
            for (key, value) in entries.iter() {
                let mut text = String::new();
                write_value(key, depth + 1, &mut text, budget)?;
                let place = shown.partition_point(|row| row.0 <= text);
                // Most maps are small; those that aren't pay for what moves.
                budget.work(shown.len() - place)?;
                shown.insert(place, (text, value));
            }
            out.push('{');
            for (place, (key, value)) in shown.into_iter().enumerate() {
                if place > 0 {
                    out.push_str(", ");
                }
                out.push_str(&key);
                out.push_str(": ");
                write_value(value, depth + 1, out, budget)?;
            }
            out.push('}');
            return Ok(());
        }
    }
    budget.work(out.len() - start)
}
