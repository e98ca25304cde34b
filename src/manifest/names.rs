//! How people see arguments and types: the word that stands for a value, and what a message calls an argument. Formats no
//! page.

use crate::codec::schema::{Type, Types};
use crate::ids::TypeId;
use crate::manifest::model::{Arg, Command, Input, Opt, RecordArg};

/// A command with the word of its group before it.
pub fn full_name(command: &Command) -> String {
    match &command.group {
        Some(group) => format!("{group} {}", command.name),
        None => command.name.clone(),
    }
}

/// The word that stands for a value in a usage line.
pub fn metavar(types: &Types, input: &Input) -> String {
    match &input.metavar {
        Some(metavar) => metavar.clone(),
        None => type_word(types, input.ty).to_string(),
    }
}

/// The word for any value of a type.
pub fn type_word(types: &Types, ty: TypeId) -> &'static str {
    match types.node(types.inner(ty)) {
        Type::Nil => "NULL",
        Type::Bool => "BOOL",
        Type::Number(number) if number.is_float() => "NUMBER",
        Type::Number(_) | Type::Integer => "INTEGER",
        Type::Str => "TEXT",
        Type::Json => "JSON",
        Type::Bytes => "BASE64",
        Type::List { .. } => "LIST",
        Type::Tuple(_) => "TUPLE",
        Type::Record(_) => "RECORD",
        Type::Optional(_) | Type::Function { .. } | Type::Opaque(_) => "VALUE",
    }
}

/// What messages call an option with a value: `--word`, or `-x`.
pub fn spelling(opt: &Opt) -> String {
    match (&opt.long, opt.short) {
        (Some(long), _) => format!("--{long}"),
        (None, Some(short)) => format!("-{short}"),
        (None, None) => String::new(),
    }
}

/// What messages call a parameter, and the start of paths into it (`argument XS`, `xs`); a positional without a name is
/// called by its number, from 1.
pub fn label(command: &Command, position: usize) -> (String, String) {
    let Some(arg) = command.args.get(position) else {
        return (format!("argument {}", position + 1), String::new());
    };
    match arg {
        Arg::Positional(input) => match &input.metavar {
            Some(metavar) => (format!("argument {metavar}"), metavar.to_ascii_lowercase()),
            None => {
                let before = command.args.iter().take(position);
                let number = before.filter(|arg| matches!(arg, Arg::Positional(_))).count() + 1;
                (format!("argument {number}"), String::new())
            }
        },
        Arg::Option(opt) => option_label(opt),
        Arg::Flag(_) => ("flag".to_string(), String::new()),
        Arg::Record(record) => {
            let long = record.whole.as_ref().and_then(|whole| whole.long.as_deref());
            match long {
                Some(long) => (format!("option --{long}"), long.to_string()),
                None => (record.metavar.clone(), record.metavar.to_ascii_lowercase()),
            }
        }
    }
}

/// What messages call the field of a record at that position, and the start of paths into it.
pub fn entry_label(record: &RecordArg, field: usize) -> (String, String) {
    match record.entries.iter().find(|(position, _)| *position == field) {
        Some((_, Arg::Option(opt))) => option_label(opt),
        _ => (
            format!("field of {}", record.metavar),
            record.metavar.to_ascii_lowercase(),
        ),
    }
}

fn option_label(opt: &Opt) -> (String, String) {
    let spelling = spelling(opt);
    let path = spelling.trim_start_matches('-').to_string();
    (format!("option {spelling}"), path)
}
