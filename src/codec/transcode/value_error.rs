//! Why a value does not fit its type, and the words for types and values in such messages. Finds no errors itself.

use crate::codec::json::JsonError;
use crate::codec::nearest::nearest;
use crate::codec::quote::quote;
use crate::codec::schema::{Field, Number, Type, Types};
use std::fmt;

/// Why a value does not fit its type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValueError {
    /// The way to the bad value, made to be put behind the name of the whole: `[3].age`, `.age`, empty for the whole.
    pub path: String,
    /// Byte offset in the input.
    pub offset: usize,
    /// One lowercase sentence: what was expected, what was found.
    pub message: String,
    /// What to try.
    pub hint: Option<String>,
}

/// What the steps of a walk return; the error is boxed, so that success stays small.
pub(super) type Walk<T = ()> = Result<T, Box<ValueError>>;

impl ValueError {
    pub(super) fn new(offset: usize, message: impl Into<String>) -> Box<ValueError> {
        Box::new(ValueError {
            path: String::new(),
            offset,
            message: message.into(),
            hint: None,
        })
    }

    pub(super) fn mismatch(offset: usize, expected: &str, found: &str) -> Box<ValueError> {
        ValueError::new(offset, format!("expected {expected}, found {found}"))
    }

    pub(super) fn hint(mut self: Box<Self>, hint: impl Into<String>) -> Box<Self> {
        self.hint = Some(hint.into());
        self
    }

    /// The error as the list, tuple or array around it tells it.
    pub(super) fn in_element(mut self: Box<Self>, position: usize) -> Box<Self> {
        self.path.insert_str(0, &format!("[{position}]"));
        self
    }

    /// The error as the record around it tells it.
    pub(super) fn in_field(mut self: Box<Self>, key: &str) -> Box<Self> {
        self.path.insert_str(0, &format!(".{key}"));
        self
    }

    pub(super) fn too_deep(offset: usize) -> Box<ValueError> {
        let levels = crate::limits::DEPTH_MAX;
        ValueError::new(offset, format!("value nests deeper than {levels} levels"))
    }

    pub(super) fn too_large(offset: usize) -> Box<ValueError> {
        let message = format!(
            "value is too large, msgpack holds at most {} bytes or elements",
            u32::MAX
        );
        ValueError::new(offset, message)
    }

    pub(super) fn no_text(offset: usize, types: &Types, ty: Type) -> Box<ValueError> {
        let what = describe(types, ty);
        let message = format!("{what} has no text form, so it can be neither argument nor result");
        ValueError::new(offset, message)
    }

    pub(super) fn unknown_key(offset: usize, key: &str, fields: &[Field]) -> Box<ValueError> {
        let error = ValueError::new(offset, format!("unknown key {}", quoted(key)));
        match nearest(key, fields.iter().map(|field| &*field.key)) {
            Some(name) => error.hint(format!("did you mean \"{name}\"?")),
            None if fields.is_empty() => error.hint("the record has no keys"),
            None => {
                let keys: Vec<&str> = fields.iter().take(8).map(|field| &*field.key).collect();
                let more = if fields.len() > 8 { ", ..." } else { "" };
                error.hint(format!("the keys are {}{more}", keys.join(", ")))
            }
        }
    }

    pub(super) fn missing_key(offset: usize, key: &str) -> Box<ValueError> {
        ValueError::new(offset, format!("missing key {}", quoted(key)))
    }

    pub(super) fn repeated_key(offset: usize, key: &str) -> Box<ValueError> {
        ValueError::new(offset, format!("key {} stands twice in one record", quoted(key)))
    }

    /// Whether there are as many as there have to be, if that is fixed.
    pub(super) fn check_len(offset: usize, expected: Option<u32>, found: usize) -> Walk {
        match expected {
            Some(len) if len as usize != found => {
                Err(ValueError::wrong_length(offset, len as usize, &found.to_string()))
            }
            _ => Ok(()),
        }
    }

    pub(super) fn wrong_length(offset: usize, expected: usize, found: &str) -> Box<ValueError> {
        let values = if expected == 1 { "value" } else { "values" };
        ValueError::new(offset, format!("expected {expected} {values}, found {found}"))
    }
}

impl fmt::Display for ValueError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.message)?;
        if !self.path.is_empty() {
            write!(out, " at {}", self.path)?;
        }
        Ok(())
    }
}

impl std::error::Error for ValueError {}

impl From<JsonError> for Box<ValueError> {
    #[cold]
    fn from(error: JsonError) -> Self {
        ValueError::new(error.offset, error.message)
    }
}

/// A string in quotes, cut when it is long.
pub(super) fn quoted(text: &str) -> String {
    const CHARS_MAX: usize = 40;
    match text.char_indices().nth(CHARS_MAX) {
        Some((cut, _)) => quote(&text.as_bytes()[..cut]) + "...",
        None => quote(text.as_bytes()),
    }
}

/// A type in words and in the schema's spelling.
pub(super) fn describe(types: &Types, ty: Type) -> String {
    match ty {
        Type::Nil => "null (z)".into(),
        Type::Bool => "a boolean (b)".into(),
        Type::Number(number) => describe_number(number),
        Type::Integer => "an integer (j)".into(),
        Type::Str => "a string (s)".into(),
        Type::Json => "JSON text (<Json>s)".into(),
        Type::Bytes => "bytes in base64 (y)".into(),
        Type::Optional(inner) => format!("null or {}", describe(types, types.node(inner))),
        Type::List { len: None, .. } => "a list".into(),
        Type::List { len: Some(len), .. } => format!("a list of {len}"),
        Type::Tuple(span) => format!("a tuple of {}", span.len()),
        Type::Record(_) => "a record".into(),
        Type::Function { .. } => "a function".into(),
        Type::Opaque(letter) => format!("a table or stream handle ({})", letter as char),
    }
}

/// A number type in words and in the schema's spelling.
pub(super) fn describe_number(number: Number) -> String {
    let bits = number.bytes() * 8;
    let kind = match number {
        Number::F4 | Number::F8 => "a number",
        _ if number.is_signed() => "an integer",
        _ => "an unsigned integer",
    };
    format!("{kind} of {bits} bits ({})", number.name())
}
