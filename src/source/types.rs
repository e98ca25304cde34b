//! Types as people write them: `mean :: [Real] -> Real`. What they are on the wire is [`crate::codec::schema`]'s matter.

use std::fmt;

/// A type in a signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Type {
    /// A type that the notation knows.
    Base(Base),
    /// A variable: a name that begins with a small letter.
    Variable(String),
    /// A record or another name for a type: begins with a capital letter.
    Named(String),
    /// `[a]`
    List(Box<Type>),
    /// `(a, b)`: at least two.
    Tuple(Vec<Type>),
    /// `?a`
    Optional(Box<Type>),
    /// `a -> b -> c`: at least one parameter, and a result that is no function without parentheses.
    Function(Vec<Type>, Box<Type>),
    /// `Worker a b`: a process that is sent values of the one type and sends values of the other.
    Worker(Box<Type>, Box<Type>),
}

/// The types that have a name of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Base {
    /// `Unit` or `()`: null.
    Unit,
    /// true or false
    Bool,
    /// 64 bits, signed.
    Int,
    /// 64-bit float.
    Real,
    /// Text, UTF-8.
    Str,
    /// Bytes.
    Bytes,
    /// Signed, 8 bits.
    I8,
    /// Signed, 16 bits.
    I16,
    /// Signed, 32 bits.
    I32,
    /// Signed, 64 bits: the same as `Int`.
    I64,
    /// Unsigned, 8 bits.
    U8,
    /// Unsigned, 16 bits.
    U16,
    /// Unsigned, 32 bits.
    U32,
    /// Unsigned, 64 bits.
    U64,
    /// 32-bit float.
    F32,
    /// 64-bit float: the same as `Real`.
    F64,
    /// Any JSON: what has no type.
    Json,
}

impl Base {
    /// All of them: name, schema.
    const ALL: [(Base, &'static str, &'static str); 17] = [
        (Base::Unit, "Unit", "z"),
        (Base::Bool, "Bool", "b"),
        (Base::Int, "Int", "i8"),
        (Base::Real, "Real", "f8"),
        (Base::Str, "Str", "s"),
        (Base::Bytes, "Bytes", "y"),
        (Base::I8, "I8", "i1"),
        (Base::I16, "I16", "i2"),
        (Base::I32, "I32", "i4"),
        (Base::I64, "I64", "i8"),
        (Base::U8, "U8", "u1"),
        (Base::U16, "U16", "u2"),
        (Base::U32, "U32", "u4"),
        (Base::U64, "U64", "u8"),
        (Base::F32, "F32", "f4"),
        (Base::F64, "F64", "f8"),
        (Base::Json, "Json", "<Json>s"),
    ];

    /// The name in the notation.
    pub fn name(self) -> &'static str {
        Base::ALL[self as usize].1
    }

    /// The schema on the wire.
    pub fn schema(self) -> &'static str {
        Base::ALL[self as usize].2
    }

    /// The type of that name, if there is one; also by its longer name (`Float64`).
    pub fn from_name(name: &str) -> Option<Base> {
        let named = |row: &&(Base, &str, &str)| {
            row.1 == name
                || [("Int", "I"), ("UInt", "U"), ("Float", "F")]
                    .iter()
                    .any(|(long, short)| {
                        let bits = name.strip_prefix(long);
                        bits.is_some_and(|bits| bits.starts_with(|c: char| c.is_ascii_digit()))
                            && bits == row.1.strip_prefix(short)
                    })
        };
        Base::ALL.iter().find(named).map(|row| row.0)
    }

    /// All names.
    pub fn names() -> impl Iterator<Item = &'static str> {
        Base::ALL.iter().map(|row| row.1)
    }
}

impl Type {
    /// Whether this holds for it or for a type in it.
    pub fn has(&self, holds: &dyn Fn(&Type) -> bool) -> bool {
        let inner = match self {
            Type::Base(_) | Type::Variable(_) | Type::Named(_) => false,
            Type::List(inner) | Type::Optional(inner) => inner.has(holds),
            Type::Tuple(parts) => parts.iter().any(|part| part.has(holds)),
            Type::Function(params, result) => {
                params.iter().any(|param| param.has(holds)) || result.has(holds)
            }
            Type::Worker(sent, received) => sent.has(holds) || received.has(holds),
        };
        inner || holds(self)
    }

    /// How deep it is; one that contains no other has one level.
    pub fn levels(&self) -> usize {
        let inner = match self {
            Type::Base(_) | Type::Variable(_) | Type::Named(_) => 0,
            Type::List(inner) | Type::Optional(inner) => inner.levels(),
            Type::Tuple(parts) => parts.iter().map(Type::levels).max().unwrap_or(0),
            Type::Function(params, result) => {
                let params = params.iter().map(Type::levels).max();
                params.unwrap_or(0).max(result.levels())
            }
            Type::Worker(sent, received) => sent.levels().max(received.levels()),
        };
        inner + 1
    }
}

/// Prints the notation; what is read back is the same type.
impl fmt::Display for Type {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Type::Base(base) => out.write_str(base.name()),
            Type::Variable(name) | Type::Named(name) => out.write_str(name),
            Type::List(element) => write!(out, "[{element}]"),
            Type::Tuple(parts) => {
                out.write_str("(")?;
                for (position, part) in parts.iter().enumerate() {
                    let comma = if position > 0 { ", " } else { "" };
                    write!(out, "{comma}{part}")?;
                }
                out.write_str(")")
            }
            Type::Optional(inner) => match **inner {
                Type::Function(..) | Type::Worker(..) => write!(out, "?({inner})"),
                _ => write!(out, "?{inner}"),
            },
            Type::Function(params, result) => {
                for param in params {
                    match param {
                        Type::Function(..) => write!(out, "({param}) -> ")?,
                        _ => write!(out, "{param} -> ")?,
                    }
                }
                match **result {
                    Type::Function(..) => write!(out, "({result})"),
                    _ => write!(out, "{result}"),
                }
            }
            Type::Worker(sent, received) => {
                out.write_str("Worker")?;
                for part in [sent, received] {
                    match **part {
                        Type::Function(..) | Type::Worker(..) => write!(out, " ({part})")?,
                        _ => write!(out, " {part}")?,
                    }
                }
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_stand_in_the_order_of_the_enum() {
        for (position, (base, name, _)) in Base::ALL.iter().enumerate() {
            assert_eq!(*base as usize, position);
            assert_eq!(Base::from_name(name), Some(*base));
        }
        for (name, expected) in [
            ("Float64", Some(Base::F64)),
            ("UInt8", Some(Base::U8)),
            ("Int32", Some(Base::I32)),
            ("Intnt", None),
            ("Int128", None),
            ("UInt", None),
            ("Float", None),
        ] {
            assert_eq!(Base::from_name(name), expected, "{name}");
        }
    }
}
