//! The names under which parameters are given in JSON, msgpack and queries. Reads no value.
//!
//! A name is the option's long word, or the metavar in small letters, with `_` for `-`; either may be written. A flag is
//! named by the word that sets it to true, where there is one. What has no name, or one that is taken, is called `argN` by
//! its position from 1.

use crate::codec::schema::{Field, Type, Types};
use crate::ids::TypeId;
use crate::manifest::model::{Arg, Command, Flag, RecordArg};

/// The name of every parameter, in order.
pub fn parameter_names(command: &Command) -> Vec<String> {
    let mut names: Vec<String> = Vec::with_capacity(command.args.len());
    for (position, arg) in command.args.iter().enumerate() {
        let own = words(arg).into_iter().next().map(|(word, _)| folded(&word));
        let free = own.filter(|name| !name.is_empty() && !names.contains(name));
        names.push(free.unwrap_or_else(|| format!("arg{}", position + 1)));
    }
    names
}

/// Whether true under the name of a parameter is false: a flag that has only a word that unsets it.
pub(super) fn is_reverse(arg: &Arg) -> bool {
    words(arg).first().is_some_and(|(_, sets)| !sets)
}

/// A place that a name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Slot {
    /// The parameter.
    pub(super) arg: usize,
    /// The field of its record, by its position in the type; none: the parameter itself.
    pub(super) field: Option<usize>,
    /// Whether true under this name sets a flag to false.
    pub(super) is_reverse: bool,
}

/// Names and what they stand for.
pub(super) type Slots = Vec<(String, Slot)>;

/// What a name stands for; `-` is as good as `_`.
pub(super) fn find(slots: &Slots, name: &str) -> Option<Slot> {
    let found = slots.iter().find(|(known, _)| known == name);
    let found = found.or_else(|| slots.iter().find(|(known, _)| *known == folded(name)));
    found.map(|(_, slot)| *slot)
}

/// All names of parameters; `is_flat`: of the fields of records, too, where no parameter has the name.
pub(super) fn slots(types: &Types, command: &Command, names: &[String], is_flat: bool) -> Slots {
    let mut found = Slots::new();
    for (arg, (parameter, name)) in command.args.iter().zip(names).enumerate() {
        add(name.clone(), (arg, None, is_reverse(parameter)), &mut found);
        for (word, sets) in words(parameter) {
            add(folded(&word), (arg, None, !sets), &mut found);
        }
    }
    for (arg, parameter) in command.args.iter().enumerate() {
        if let (true, Arg::Record(record)) = (is_flat, parameter) {
            add_fields(types, record, arg, &mut found);
        }
    }
    found
}

/// The names of a record's fields: their keys, and the words of their options.
pub(super) fn field_slots(types: &Types, record: &RecordArg, arg: usize) -> Slots {
    let mut found = Slots::new();
    add_fields(types, record, arg, &mut found);
    found
}

/// The fields of the record that a parameter is; none: its type is no record.
pub(super) fn fields<'t>(types: &'t Types, record: &RecordArg) -> &'t [Field] {
    match types.node(types.inner(record.ty)) {
        Type::Record(span) => types.fields(span),
        _ => &[],
    }
}

/// What sets a field of a record, if an option does.
pub(super) fn entry(record: &RecordArg, field: usize) -> Option<&Arg> {
    let found = record.entries.iter().find(|(position, _)| *position == field);
    found.map(|(_, entry)| entry)
}

/// The type of a place, and whether a word for it is the string itself, whatever it holds.
pub(super) fn form(types: &Types, command: &Command, slot: Slot) -> Option<(TypeId, bool)> {
    let arg = command.args.get(slot.arg)?;
    let (ty, arg) = match (arg, slot.field) {
        (Arg::Record(record), Some(field)) => (fields(types, record).get(field)?.ty, entry(record, field)),
        _ => (arg.ty(), Some(arg)),
    };
    let is_literal = match arg {
        Some(Arg::Positional(input)) => input.literal,
        Some(Arg::Option(opt)) => opt.input.literal,
        _ => false,
    };
    Some((ty, is_literal))
}

fn add_fields(types: &Types, record: &RecordArg, arg: usize, found: &mut Slots) {
    for (position, field) in fields(types, record).iter().enumerate() {
        add(field.key.to_string(), (arg, Some(position), false), found);
    }
    for (position, entry) in &record.entries {
        for (word, sets) in words(entry) {
            add(folded(&word), (arg, Some(*position), !sets), found);
        }
    }
}

/// The first to have a name keeps it.
fn add(name: String, (arg, field, is_reverse): (usize, Option<usize>, bool), found: &mut Slots) {
    if !found.iter().any(|(known, _)| *known == name) {
        let slot = Slot {
            arg,
            field,
            is_reverse,
        };
        found.push((name, slot));
    }
}

/// The words for a parameter, the best first, and what true under each sets.
fn words(arg: &Arg) -> Vec<(String, bool)> {
    let word = match arg {
        Arg::Positional(input) => input.metavar.as_deref().map(str::to_lowercase),
        Arg::Option(opt) => opt.long.clone().or(opt.short.map(String::from)),
        Arg::Flag(flag) => return flag_words(flag),
        Arg::Record(record) => {
            let long = record.whole.as_ref().and_then(|whole| whole.long.clone());
            Some(long.unwrap_or_else(|| record.metavar.to_lowercase()))
        }
    };
    word.map(|word| (word, true)).into_iter().collect()
}

fn flag_words(flag: &Flag) -> Vec<(String, bool)> {
    let short = flag.short.map(String::from);
    let mut words: Vec<(String, bool)> = Vec::new();
    words.extend(flag.long.clone().or(short).map(|word| (word, !flag.default)));
    words.extend(flag.long_rev.clone().map(|word| (word, flag.default)));
    words.sort_by_key(|(_, sets)| !sets);
    words
}

fn folded(word: &str) -> String {
    word.replace('-', "_")
}
