//! Where a parameter's value comes from, decided from the word alone: cheap, so that pools can be started before large
//! values are read and encoded ([`crate::cli::input`] does that). Reads nothing.

use crate::codec::schema::{Type, Types};
use crate::ids::TypeId;
use crate::limits::INLINE_BYTES_MAX;
use crate::manifest::model::Input;

/// The value of one parameter, not yet read.
#[derive(Clone, Debug, PartialEq)]
pub enum Source<'a> {
    /// A word of the command line.
    Text(&'a str),
    /// A file's path (`@path`).
    File(&'a str),
    /// Standard input (`-`).
    Stdin,
    /// The default of the manifest, as JSON text.
    Default(&'a str),
    /// A flag.
    Bool(bool),
    /// An option of an optional type that was not given.
    Null,
    /// A record from its options.
    Record {
        /// The record whole, if it was given.
        whole: Option<Box<Source<'a>>>,
        /// One per field: what overrides the whole. Without a whole, every field has one.
        fields: Vec<Option<Source<'a>>>,
    },
}

impl<'a> Source<'a> {
    /// Where the value comes from that was given as `word`. A string is always literal, but for `null` where null is allowed
    /// and the parameter isn't `quoted`.
    pub fn of(types: &Types, form: Form, word: &'a str) -> Source<'a> {
        if types.is_text(form.ty) {
            let may_be_null = !form.quoted && matches!(types.node(form.ty), Type::Optional(_));
            return if may_be_null && word == "null" {
                Source::Null
            } else {
                Source::Text(word)
            };
        }
        match word.strip_prefix('@') {
            Some(path) => Source::File(path),
            None if word == "-" => Source::Stdin,
            None => Source::Text(word),
        }
    }

    /// Whether to encode it is work that is better overlapped with something else.
    pub fn is_large(&self) -> bool {
        match self {
            Source::Text(text) => text.len() > INLINE_BYTES_MAX,
            Source::File(_) | Source::Stdin => true,
            Source::Default(_) | Source::Bool(_) | Source::Null => false,
            Source::Record { whole, fields } => {
                whole.as_deref().is_some_and(Source::is_large)
                    || fields.iter().flatten().any(Source::is_large)
            }
        }
    }

    /// How many values in it are read from standard input.
    pub fn stdin_reads(&self) -> usize {
        match self {
            Source::Stdin => 1,
            Source::Record { whole, fields } => {
                let whole = whole.as_deref().map_or(0, Source::stdin_reads);
                whole + fields.iter().flatten().map(Source::stdin_reads).sum::<usize>()
            }
            _ => 0,
        }
    }
}

/// What form a word must have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Form {
    /// The type of its value.
    pub ty: TypeId,
    /// Whether it is the string itself, whatever it holds.
    pub quoted: bool,
}

impl Form {
    /// The form of what a user gives for an input.
    pub fn of(input: &Input) -> Form {
        Form {
            ty: input.ty,
            quoted: input.literal,
        }
    }
}
