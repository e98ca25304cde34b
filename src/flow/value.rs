//! What travels in a flow: a value of no declared type, cheap to copy, as JSON has them, with bytes and errors beside.
//! Evaluates nothing; [`json`] and [`yaml`] read text.

pub mod json;
pub mod located;
pub mod yaml;
pub mod yaml_text;

use crate::error::{Error, Kind};
use std::cmp::Ordering;
use std::rc::Rc;

/// A value. What contains others shares them: a copy costs a count.
#[derive(Clone, Debug, Default)]
pub enum Value {
    /// null
    #[default]
    Null,
    /// true or false
    Bool(bool),
    /// An integer.
    Int(i64),
    /// An integer above `i64::MAX`, or one that an expression says is unsigned.
    Uint(u64),
    /// A float.
    Float(f64),
    /// A string.
    Str(Rc<str>),
    /// Bytes, in JSON a string of base64.
    Bytes(Rc<[u8]>),
    /// A list.
    List(Rc<Vec<Value>>),
    /// Keys and their values in the order in which they were written, no key twice.
    Map(Rc<Vec<(Value, Value)>>),
    /// What a node failed with, on its way to whoever handles it.
    Error(Rc<Error>),
}

impl Value {
    /// A string.
    pub fn str(text: &str) -> Value {
        Value::Str(text.into())
    }

    /// A list.
    pub fn list(elements: Vec<Value>) -> Value {
        Value::List(Rc::new(elements))
    }

    /// A map of names; none may come twice.
    pub fn map<'k>(entries: impl IntoIterator<Item = (&'k str, Value)>) -> Value {
        let entries = entries.into_iter().map(|(key, value)| (Value::str(key), value));
        Value::Map(Rc::new(entries.collect()))
    }

    /// The value of a name in a map.
    pub fn get(&self, name: &str) -> Option<&Value> {
        let entries = self.entries()?;
        let found = entries.iter().find(|(key, _)| key.as_str() == Some(name));
        found.map(|(_, value)| value)
    }

    /// The string, if it is one.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Value::Str(text) => Some(text),
            _ => None,
        }
    }

    /// The boolean, if it is one.
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Value::Bool(value) => Some(*value),
            _ => None,
        }
    }

    /// The number as an integer, if it is one that has no fraction and fits.
    pub fn as_int(&self) -> Option<i64> {
        match *self {
            Value::Int(value) => Some(value),
            Value::Uint(value) => i64::try_from(value).ok(),
            // Both bounds are exact as floats; the upper one doesn't fit.
            Value::Float(value) if value.fract() == 0.0 && (-TWO_63..TWO_63).contains(&value) => {
                Some(value as i64)
            }
            _ => None,
        }
    }

    /// The elements, if it is a list.
    pub fn elements(&self) -> Option<&[Value]> {
        match self {
            Value::List(elements) => Some(elements),
            _ => None,
        }
    }

    /// The entries, if it is a map.
    pub fn entries(&self) -> Option<&[(Value, Value)]> {
        match self {
            Value::Map(entries) => Some(entries),
            _ => None,
        }
    }

    /// The word for it in messages.
    pub fn name(&self) -> &'static str {
        match self {
            Value::Null => "null",
            Value::Bool(_) => "a boolean",
            Value::Int(_) | Value::Uint(_) => "an integer",
            Value::Float(_) => "a float",
            Value::Str(_) => "a string",
            Value::Bytes(_) => "bytes",
            Value::List(_) => "a list",
            Value::Map(_) => "a map",
            Value::Error(_) => "an error",
        }
    }

    /// How two compare, if they do: numbers of any kind by what they are, strings, bytes and booleans among themselves.
    pub fn compare(&self, other: &Value) -> Option<Ordering> {
        match (self, other) {
            (Value::Bool(a), Value::Bool(b)) => Some(a.cmp(b)),
            (Value::Str(a), Value::Str(b)) => Some(a.cmp(b)),
            (Value::Bytes(a), Value::Bytes(b)) => Some(a.cmp(b)),
            (Value::Int(a), Value::Int(b)) => Some(a.cmp(b)),
            (Value::Uint(a), Value::Uint(b)) => Some(a.cmp(b)),
            (Value::Float(a), Value::Float(b)) => a.partial_cmp(b),
            (Value::Int(a), Value::Uint(b)) => Some(i128::from(*a).cmp(&i128::from(*b))),
            (Value::Uint(a), Value::Int(b)) => Some(i128::from(*a).cmp(&i128::from(*b))),
            (Value::Int(a), Value::Float(b)) => compare_whole(i128::from(*a), *b),
            (Value::Uint(a), Value::Float(b)) => compare_whole(i128::from(*a), *b),
            (Value::Float(_), Value::Int(_) | Value::Uint(_)) => other.compare(self).map(Ordering::reverse),
            _ => None,
        }
    }
}

const TWO_63: f64 = 9_223_372_036_854_775_808.0;

/// An integer of 64 bits, signed or not, beside a float, exactly.
fn compare_whole(whole: i128, float: f64) -> Option<Ordering> {
    if float.is_nan() {
        return None;
    }
    // A cast saturates: what is beyond 64 bits stays beyond them.
    let order = whole.cmp(&(float.trunc() as i128));
    Some(order.then_with(|| 0.0_f64.total_cmp(&(float.fract() + 0.0))))
}

/// Numbers are equal by what they are; maps whatever their order; errors by kind and message, wherever they happened; an error
/// equals a string that is its message or names its kind, as `not_found`, `not found` or, of a bad argument, `invalid argument`.
impl PartialEq for Value {
    fn eq(&self, other: &Value) -> bool {
        match (self, other) {
            (Value::Null, Value::Null) => true,
            (Value::List(a), Value::List(b)) => Rc::ptr_eq(a, b) || a == b,
            (Value::Map(a), Value::Map(b)) => Rc::ptr_eq(a, b) || is_same_map(a, b),
            (Value::Error(a), Value::Error(b)) => (a.kind, &a.message) == (b.kind, &b.message),
            (Value::Error(error), Value::Str(text)) | (Value::Str(text), Value::Error(error)) => {
                is_called(error, text)
            }
            _ => self.compare(other) == Some(Ordering::Equal),
        }
    }
}

fn is_same_map(a: &[(Value, Value)], b: &[(Value, Value)]) -> bool {
    a.len() == b.len()
        && a.iter().zip(b).enumerate().all(|(position, (one, beside))| {
            // Most maps were written in the same order.
            let found = if one.0 == beside.0 {
                b.get(position)
            } else {
                b.iter().find(|other| other.0 == one.0)
            };
            found.is_some_and(|other| other.1 == one.1)
        })
}

fn is_called(error: &Error, text: &str) -> bool {
    let kind = error.kind.name();
    let is_kind = kind.len() == text.len()
        && kind
            .bytes()
            .zip(text.bytes())
            .all(|(a, b)| a == b || a == b'_' && b == b' ');
    error.message == text || is_kind || error.kind == Kind::BadArgument && text == "invalid argument"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Value {
        json::read(text.as_bytes()).unwrap()
    }

    fn check(a: &str, b: &str, expected: bool) {
        assert_eq!(read(a) == read(b), expected, "{a} == {b}");
        assert_eq!(read(b) == read(a), expected, "{b} == {a}");
    }

    #[test]
    fn equality() {
        check("1", "1.0", true);
        check("1", "1.5", false);
        check("9007199254740993", "9007199254740992.0", false);
        check("18446744073709551615", "18446744073709551616.0", false);
        check("18446744073709551615", "-1", false);
        check("9223372036854775807", "9223372036854775808", false);
        check("-0.0", "0", true);
        check("-0.5", "0", false);
        check("null", "false", false);
        check("\"1\"", "1", false);
        check("[1,[2]]", "[1.0,[2]]", true);
        check("[1]", "[1,2]", false);
        check("{\"a\":1,\"b\":2}", "{\"b\":2,\"a\":1}", true);
        check("{\"a\":1,\"b\":2}", "{\"a\":1,\"c\":2}", false);
        check("{\"a\":1}", "{\"a\":1,\"b\":2}", false);
    }

    #[test]
    fn errors_equal_what_they_are_called() {
        let error = |kind| Value::Error(Rc::from(Error::new(kind, "node 'a' isn't there")));
        let elsewhere = Error::new(Kind::NotFound, "node 'a' isn't there").at("elsewhere");
        assert_eq!(error(Kind::NotFound), Value::Error(elsewhere.into()));
        assert_eq!(error(Kind::NotFound), Value::str("node 'a' isn't there"));
        assert_eq!(error(Kind::NotFound), Value::str("not found"));
        assert_eq!(Value::str("not_found"), error(Kind::NotFound));
        assert_eq!(error(Kind::BadArgument), Value::str("invalid argument"));
        assert_ne!(error(Kind::NotFound), Value::str("invalid argument"));
        assert_ne!(error(Kind::NotFound), error(Kind::Conflict));
        assert_eq!(error(Kind::Io), error(Kind::Io));
    }

    #[test]
    fn order() {
        let check = |a: &str, b: &str, expected| assert_eq!(read(a).compare(&read(b)), expected, "{a} {b}");
        check("1", "2", Some(Ordering::Less));
        check("-1", "-1.5", Some(Ordering::Greater));
        check("1.5", "1", Some(Ordering::Greater));
        check("1e300", "18446744073709551615", Some(Ordering::Greater));
        check("\"a\"", "\"b\"", Some(Ordering::Less));
        check("\"a\"", "1", None);
        check("[1]", "[1]", None);
        assert_eq!(Value::Float(f64::NAN).compare(&Value::Int(1)), None);
        assert_eq!(
            Value::Int(1).compare(&Value::Float(f64::INFINITY)),
            Some(Ordering::Less)
        );
    }

    #[test]
    fn integers() {
        assert_eq!(read("3.0").as_int(), Some(3));
        assert_eq!(read("3.5").as_int(), None);
        assert_eq!(read("9223372036854775808").as_int(), None);
        assert_eq!(read("9223372036854775808.0").as_int(), None);
        assert_eq!(read("-9223372036854775808.0").as_int(), Some(i64::MIN));
    }
}
