//! Whether two values of flows are the same, where `==` knows no kinds and no value that isn't a number equals itself.

use nexus::flow::value::Value;

/// Whether they are the same in value and kind, maps in any order; all that isn't a number is one.
pub fn is_same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Float(a), Value::Float(b)) => a == b || a.is_nan() && b.is_nan(),
        (Value::List(a), Value::List(b)) => {
            a.len() == b.len() && a.iter().zip(b.iter()).all(|(a, b)| is_same(a, b))
        }
        (Value::Map(a), Value::Map(b)) => {
            let is_entry = |one: &(Value, Value), other: &(Value, Value)| {
                is_same(&one.0, &other.0) && is_same(&one.1, &other.1)
            };
            // Most maps were written in the same order.
            let has = |(one, beside)| is_entry(one, beside) || b.iter().any(|other| is_entry(one, other));
            a.len() == b.len() && a.iter().zip(b.iter()).all(has)
        }
        _ => a == b && std::mem::discriminant(a) == std::mem::discriminant(b),
    }
}
