//! The functions of the language by name, and which part does them. Parses nothing.

use super::budget::Budget;
use super::{convert, format, text};
use crate::error::Result;
use crate::flow::value::Value;

/// A function.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Function {
    Size,
    Contains,
    StartsWith,
    EndsWith,
    Matches,
    CharAt,
    IndexOf,
    LastIndexOf,
    LowerAscii,
    UpperAscii,
    Replace,
    Split,
    Join,
    Substring,
    Trim,
    Reverse,
    Quote,
    Format,
    Int,
    Uint,
    Double,
    Str,
    Bytes,
    Bool,
    Dyn,
    Message,
    Encode,
    Decode,
}

/// One way to call a function.
pub(super) struct Row {
    pub name: &'static str,
    pub function: Function,
    /// Whether it stands behind a dot.
    is_method: bool,
    /// How many arguments it takes, what it is a method of counted: never none.
    pub least: usize,
    pub most: usize,
}

const fn row(name: &'static str, function: Function, is_method: bool, least: usize, most: usize) -> Row {
    Row {
        name,
        function,
        is_method,
        least,
        most,
    }
}

const ROWS: [Row; 30] = [
    row("size", Function::Size, false, 1, 1),
    row("size", Function::Size, true, 1, 1),
    row("contains", Function::Contains, true, 2, 2),
    row("startsWith", Function::StartsWith, true, 2, 2),
    row("endsWith", Function::EndsWith, true, 2, 2),
    row("matches", Function::Matches, false, 2, 2),
    row("matches", Function::Matches, true, 2, 2),
    row("charAt", Function::CharAt, true, 2, 2),
    row("indexOf", Function::IndexOf, true, 2, 3),
    row("lastIndexOf", Function::LastIndexOf, true, 2, 3),
    row("lowerAscii", Function::LowerAscii, true, 1, 1),
    row("upperAscii", Function::UpperAscii, true, 1, 1),
    row("replace", Function::Replace, true, 3, 4),
    row("split", Function::Split, true, 2, 3),
    row("join", Function::Join, true, 1, 2),
    row("substring", Function::Substring, true, 2, 3),
    row("trim", Function::Trim, true, 1, 1),
    row("reverse", Function::Reverse, true, 1, 1),
    row("strings.quote", Function::Quote, false, 1, 1),
    row("format", Function::Format, true, 2, 2),
    row("int", Function::Int, false, 1, 1),
    row("uint", Function::Uint, false, 1, 1),
    row("double", Function::Double, false, 1, 1),
    row("string", Function::Str, false, 1, 1),
    row("bytes", Function::Bytes, false, 1, 1),
    row("bool", Function::Bool, false, 1, 1),
    row("dyn", Function::Dyn, false, 1, 1),
    row("error", Function::Message, true, 1, 1),
    row("base64.encode", Function::Encode, false, 1, 1),
    row("base64.decode", Function::Decode, false, 1, 1),
];

/// First words of names that have two.
pub(super) const NAMESPACES: [&str; 6] = ["strings", "base64", "cel", "math", "optional", "proto"];

/// The function of that name.
pub(super) fn find(name: &str, is_method: bool) -> Option<&'static Row> {
    ROWS.iter()
        .find(|row| row.is_method == is_method && row.name == name)
}

/// All names.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    ROWS.iter().map(|row| row.name)
}

/// As it is called in messages.
pub(super) fn name(function: Function) -> &'static str {
    let row = ROWS.iter().find(|row| row.function == function);
    row.map_or("", |row| row.name)
}

/// The function of these values, of which there are as many as its row says.
pub(super) fn call(function: Function, args: &[Value], budget: &mut Budget) -> Result<Value> {
    match function {
        Function::Int
        | Function::Uint
        | Function::Double
        | Function::Str
        | Function::Bytes
        | Function::Bool
        | Function::Dyn
        | Function::Message
        | Function::Encode
        | Function::Decode => convert::call(function, args.first().unwrap_or(&Value::Null), budget),
        Function::Format => format::call(args, budget),
        _ => text::call(function, args, budget),
    }
}
