//! Functions of strings, and the size of anything. Positions count characters.

use super::budget::{Budget, bad, name, raised};
use super::convert::unfit;
use super::function::{self, Function};
use super::pattern;
use crate::error::{Error, Result};
use crate::flow::value::Value;

/// A function of these values, as many as it takes.
pub(super) fn call(function: Function, args: &[Value], budget: &mut Budget) -> Result<Value> {
    let [first, rest @ ..] = args else {
        return Ok(Value::Null);
    };
    if function == Function::Size {
        return size(first, budget);
    }
    if function == Function::Join {
        return join(first, rest.first(), budget);
    }
    let text = string(function, first)?;
    budget.work(1 + text.len() / 4)?;
    let one = |place: usize| string(function, args.get(place).unwrap_or(&Value::Null));
    let number = |place: usize| args.get(place).map(|value| count(function, value)).transpose();
    let made = |text: &str, budget: &mut Budget| {
        budget.work(text.len())?;
        Ok(Value::str(text))
    };
    match function {
        Function::Contains => Ok(Value::Bool(text.contains(one(1)?))),
        Function::StartsWith => Ok(Value::Bool(text.starts_with(one(1)?))),
        Function::EndsWith => Ok(Value::Bool(text.ends_with(one(1)?))),
        Function::Matches => pattern::matches(text, one(1)?, budget).map(Value::Bool),
        Function::CharAt => {
            let place = number(1)?.unwrap_or(0);
            let start = offset(function, text, place)?;
            let letter: String = text[start..].chars().take(1).collect();
            Ok(Value::str(&letter))
        }
        Function::IndexOf => index_of(text, one(1)?, number(2)?),
        Function::LastIndexOf => last_index_of(text, one(1)?, number(2)?),
        Function::LowerAscii => made(&text.to_ascii_lowercase(), budget),
        Function::UpperAscii => made(&text.to_ascii_uppercase(), budget),
        Function::Trim => made(text.trim(), budget),
        Function::Reverse => made(&text.chars().rev().collect::<String>(), budget),
        Function::Quote => made(&quote(text), budget),
        Function::Substring => {
            let start = offset(function, text, number(1)?.unwrap_or(0))?;
            let end = match number(2)? {
                Some(place) => offset(function, text, place)?,
                None => text.len(),
            };
            match text.get(start..end) {
                Some(part) => made(part, budget),
                None => Err(raised("'substring' ends before it starts")),
            }
        }
        Function::Replace => {
            let (old, new) = (one(1)?, one(2)?);
            let most = number(3)?.and_then(|most| usize::try_from(most).ok());
            let most = most.unwrap_or(usize::MAX);
            // How long it will be is known before it is made.
            let found = text.matches(old).take(most).count();
            budget.work(text.len().saturating_add(found.saturating_mul(new.len())))?;
            Ok(Value::str(&text.replacen(old, new, most)))
        }
        Function::Split => {
            let most = number(2)?.unwrap_or(-1);
            split(text, one(1)?, usize::try_from(most).unwrap_or(usize::MAX), budget)
        }
        _ => Err(unfit(function, first)),
    }
}

fn string(function: Function, value: &Value) -> Result<&str> {
    value.as_str().ok_or_else(|| unfit(function, value))
}

fn count(function: Function, value: &Value) -> Result<i64> {
    match value {
        Value::Int(number) => Ok(*number),
        other => Err(bad(format!(
            "'{}' doesn't take {} for a position or count",
            function::name(function),
            name(other)
        ))),
    }
}

fn beyond(function: Function, place: i64) -> Box<Error> {
    raised(format!(
        "'{}' finds no position {place} in the text",
        function::name(function)
    ))
}

/// Where the character of that number begins, in bytes; behind the last is a place too.
fn offset(function: Function, text: &str, place: i64) -> Result<usize> {
    let found = usize::try_from(place)
        .ok()
        .and_then(|place| offset_of(text, place));
    found.ok_or_else(|| beyond(function, place))
}

fn offset_of(text: &str, place: usize) -> Option<usize> {
    let mut offsets = text.char_indices().map(|(offset, _)| offset).chain([text.len()]);
    offsets.nth(place)
}

fn letters(text: &str) -> i64 {
    text.chars().count() as i64
}

fn index_of(text: &str, part: &str, start: Option<i64>) -> Result<Value> {
    let start = start.unwrap_or(0);
    if part.is_empty() && start <= letters(text) && start >= 0 {
        return Ok(Value::Int(start));
    }
    let offset = offset(Function::IndexOf, text, start)?;
    let found = text[offset..].find(part);
    let place = found.map_or(-1, |bytes| start + letters(&text[offset..offset + bytes]));
    Ok(Value::Int(place))
}

fn last_index_of(text: &str, part: &str, start: Option<i64>) -> Result<Value> {
    // What begins no later than there ends no later than the part's length behind it.
    let end = match start {
        None => text.len(),
        Some(start) => {
            let offset = offset(Function::LastIndexOf, text, start)?;
            let mut end = (offset + part.len()).min(text.len());
            while !text.is_char_boundary(end) {
                end -= 1;
            }
            end
        }
    };
    let found = text[..end].rfind(part);
    Ok(Value::Int(found.map_or(-1, |bytes| letters(&text[..bytes]))))
}

fn split(text: &str, separator: &str, most: usize, budget: &mut Budget) -> Result<Value> {
    let mut found = Vec::new();
    let mut keep = |part: &str| -> Result<()> {
        budget.work(part.len())?;
        budget.values(1)?;
        found.push(Value::str(part));
        Ok(())
    };
    if separator.is_empty() {
        // Into characters; the last has what is left.
        let mut rest = text;
        let mut left = most;
        while let Some(letter) = rest.chars().next().filter(|_| left > 0) {
            let len = if left == 1 { rest.len() } else { letter.len_utf8() };
            keep(&rest[..len])?;
            rest = &rest[len..];
            left -= 1;
        }
    } else {
        text.splitn(most, separator).try_for_each(keep)?;
    }
    Ok(Value::list(found))
}

fn join(list: &Value, separator: Option<&Value>, budget: &mut Budget) -> Result<Value> {
    let Some(elements) = list.elements() else {
        return Err(unfit(Function::Join, list));
    };
    let separator = separator.map_or(Ok(""), |value| string(Function::Join, value))?;
    let mut out = String::new();
    for (place, element) in elements.iter().enumerate() {
        let part = string(Function::Join, element)?;
        budget.work(1 + part.len() + separator.len())?;
        if place > 0 {
            out.push_str(separator);
        }
        out.push_str(part);
    }
    Ok(Value::str(&out))
}

fn size(value: &Value, budget: &mut Budget) -> Result<Value> {
    let count = match value {
        Value::Str(text) => {
            budget.work(text.len() / 4)?;
            text.chars().count()
        }
        Value::Bytes(bytes) => bytes.len(),
        Value::List(elements) => elements.len(),
        Value::Map(entries) => entries.len(),
        other => return Err(unfit(Function::Size, other)),
    };
    Ok(Value::Int(count as i64))
}

/// As it would stand in an expression.
fn quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for letter in text.chars() {
        let escape = match letter {
            '\x07' => 'a',
            '\x08' => 'b',
            '\x0c' => 'f',
            '\n' => 'n',
            '\r' => 'r',
            '\t' => 't',
            '\x0b' => 'v',
            '\\' | '"' => letter,
            _ => {
                out.push(letter);
                continue;
            }
        };
        out.extend(['\\', escape]);
    }
    out.push('"');
    out
}
