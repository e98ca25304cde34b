//! The options of a command under their names: which parameter, or which field of a record, each one sets; and the names
//! of nexus's own. Reads no words.

use crate::cli::source::Form;
use crate::manifest::model::{Arg, Command, Flag, Opt};

/// Nexus's own options, which stand left of the command.
pub const OWN_OPTIONS: [&str; 10] = [
    "--help",
    "--version",
    "--raw",
    "--keep-null",
    "--format",
    "--timeout",
    "--warm",
    "--each",
    "--keep-going",
    "--completions",
];

/// The place that an option sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot {
    /// The parameter, by its position.
    pub arg: usize,
    /// What of it.
    pub part: Part,
}

/// What of a parameter an option sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The parameter itself, or the record whole.
    Whole,
    /// One of a record's entries, by its position in [`crate::manifest::model::RecordArg::entries`].
    Entry(usize),
}

/// What an option does when it is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Takes a value of that form.
    Takes(Form),
    /// Sets a flag to that value.
    Sets(bool),
}

/// One option.
#[derive(Clone, Copy, Debug)]
pub struct Named<'m> {
    /// The letter of `-x`.
    pub short: Option<char>,
    /// The word of `--word`.
    pub long: Option<&'m str>,
    /// What it sets.
    pub slot: Slot,
    /// What it does.
    pub effect: Effect,
}

impl Named<'_> {
    /// How messages call it: `--word`, or `-x`.
    pub fn spelling(&self) -> String {
        match (self.long, self.short) {
            (Some(long), _) => format!("--{long}"),
            (None, Some(short)) => format!("-{short}"),
            (None, None) => String::new(),
        }
    }
}

/// All options of a command, in the order of its parameters.
pub fn options(command: &Command) -> Vec<Named<'_>> {
    let mut found = Vec::new();
    for (position, arg) in command.args.iter().enumerate() {
        let slot = |part| Slot { arg: position, part };
        match arg {
            Arg::Positional(_) => {}
            Arg::Option(opt) => found.push(valued(opt, slot(Part::Whole))),
            Arg::Flag(flag) => add_flag(flag, slot(Part::Whole), &mut found),
            Arg::Record(record) => {
                if let Some(whole) = &record.whole {
                    found.push(Named {
                        short: whole.short,
                        long: whole.long.as_deref(),
                        slot: slot(Part::Whole),
                        effect: Effect::Takes(Form {
                            ty: record.ty,
                            quoted: false,
                        }),
                    });
                }
                for (entry, (_, arg)) in record.entries.iter().enumerate() {
                    match arg {
                        Arg::Option(opt) => found.push(valued(opt, slot(Part::Entry(entry)))),
                        Arg::Flag(flag) => add_flag(flag, slot(Part::Entry(entry)), &mut found),
                        Arg::Positional(_) | Arg::Record(_) => {}
                    }
                }
            }
        }
    }
    found
}

fn valued(opt: &Opt, slot: Slot) -> Named<'_> {
    Named {
        short: opt.short,
        long: opt.long.as_deref(),
        slot,
        effect: Effect::Takes(Form::of(&opt.input)),
    }
}

fn add_flag<'m>(flag: &'m Flag, slot: Slot, found: &mut Vec<Named<'m>>) {
    found.push(Named {
        short: flag.short,
        long: flag.long.as_deref(),
        slot,
        effect: Effect::Sets(!flag.default),
    });
    if let Some(reverse) = &flag.long_rev {
        found.push(Named {
            short: None,
            long: Some(reverse),
            slot,
            effect: Effect::Sets(flag.default),
        });
    }
}
