//! The words right of a command, to one [`Source`] per parameter. Knows the names and types of the command's arguments;
//! reads no file and encodes no value.
//!
//! Options may stand anywhere among the positional arguments, until `--`. Forms: `--name VALUE`, `--name=VALUE`,
//! `-x VALUE`, `-xVALUE`, `-x=VALUE`, flags together as `-abc`. A word that starts like a negative number is a value: no
//! option has a digit as its letter.

use crate::cli::options::{Effect, Named, OWN_OPTIONS, Part, Slot, options};
use crate::cli::source::{Form, Source};
use crate::codec::nearest::nearest;
use crate::codec::schema::{Type, Types};
use crate::error::{Error, Kind, Result};
use crate::ids::TypeId;
use crate::manifest::model::{Arg, Command, RecordArg};
use crate::manifest::names::{metavar, spelling};

/// What the words right of a command ask for.
#[derive(Debug, PartialEq)]
pub enum Asked<'a> {
    /// To run it: one source per parameter, in order.
    Run(Vec<Source<'a>>),
    /// To describe it.
    Help,
}

/// Reads all words right of the command.
///
/// # Errors
/// Kind `usage`: an unknown, repeated or incomplete option, too few or too many arguments, two values from standard input.
/// Where the words also ask for help, they get it instead of an error.
pub fn parse<'a>(types: &Types, command: &'a Command, words: &'a [String]) -> Result<Asked<'a>> {
    let mut parser = Parser {
        types,
        command,
        options: options(command),
        positional: Vec::new(),
        given: Vec::new(),
    };
    match parser.read(words) {
        Ok(true) => Ok(Asked::Help),
        Ok(false) => parser.sources().map(Asked::Run),
        Err(_) if asks_for_help(words) => Ok(Asked::Help),
        Err(error) => Err(error),
    }
}

/// Whether one of the words before `--` is `--help` or `-h`.
pub fn asks_for_help(words: &[String]) -> bool {
    let before = words.iter().take_while(|word| *word != "--");
    before.into_iter().any(|word| word == "--help" || word == "-h")
}

/// Whether a word that starts with a dash is a number. A lone dash is not.
pub fn is_negative_number(word: &str) -> bool {
    let digits = word.strip_prefix('-').unwrap_or_default();
    let digits = digits.strip_prefix('.').unwrap_or(digits);
    digits.starts_with(|first: char| first.is_ascii_digit()) || digits == "Infinity"
}

struct Parser<'t, 'a> {
    types: &'t Types,
    command: &'a Command,
    options: Vec<Named<'a>>,
    positional: Vec<&'a str>,
    given: Vec<(Slot, Source<'a>)>,
}

impl<'a> Parser<'_, 'a> {
    /// Sorts the words; true when help is asked for.
    fn read(&mut self, words: &'a [String]) -> Result<bool> {
        let mut rest = words.iter().map(String::as_str);
        while let Some(word) = rest.next() {
            if word == "--" {
                self.positional.extend(rest);
                break;
            }
            if let Some(long) = word.strip_prefix("--") {
                if self.read_long(long, &mut rest)? {
                    return Ok(true);
                }
            } else if word.len() > 1 && word.starts_with('-') && !is_negative_number(word) {
                if self.read_short(&word[1..], &mut rest)? {
                    return Ok(true);
                }
            } else {
                self.positional.push(word);
            }
        }
        Ok(false)
    }

    fn read_long(&mut self, word: &'a str, rest: &mut impl Iterator<Item = &'a str>) -> Result<bool> {
        let (name, value) = match word.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (word, None),
        };
        let Some(option) = self
            .options
            .iter()
            .find(|option| option.long == Some(name))
            .copied()
        else {
            return match name {
                "help" => Ok(true),
                _ => Err(self.unknown(&format!("--{name}"))),
            };
        };
        match option.effect {
            Effect::Sets(_) if value.is_some() => Err(Error::new(
                Kind::Usage,
                format!("option --{name} is a flag, found a value, expected none"),
            )),
            Effect::Sets(value) => self.give(&option, Source::Bool(value)),
            Effect::Takes(form) => self.take(&option, form, value.or_else(|| rest.next())),
        }
    }

    fn read_short(&mut self, letters: &'a str, rest: &mut impl Iterator<Item = &'a str>) -> Result<bool> {
        for (offset, letter) in letters.char_indices() {
            let Some(option) = self
                .options
                .iter()
                .find(|option| option.short == Some(letter))
                .copied()
            else {
                return match letter {
                    'h' => Ok(true),
                    _ => Err(self.unknown(&format!("-{letter}"))),
                };
            };
            match option.effect {
                Effect::Sets(value) => self.give(&option, Source::Bool(value))?,
                Effect::Takes(form) => {
                    let attached = &letters[offset + letter.len_utf8()..];
                    let value = match attached {
                        "" => rest.next(),
                        _ => Some(attached.strip_prefix('=').unwrap_or(attached)),
                    };
                    return self.take(&option, form, value);
                }
            };
        }
        Ok(false)
    }

    fn take(&mut self, option: &Named<'a>, form: Form, value: Option<&'a str>) -> Result<bool> {
        match value {
            Some(word) => self.give(option, Source::of(self.types, form, word)),
            None => Err(Error::new(
                Kind::Usage,
                format!(
                    "option {} stands last, expected a value after it",
                    option.spelling()
                ),
            )),
        }
    }

    fn give(&mut self, option: &Named<'a>, source: Source<'a>) -> Result<bool> {
        if self.given.iter().any(|(slot, _)| *slot == option.slot) {
            let names: Vec<String> = self
                .options
                .iter()
                .filter(|other| other.slot == option.slot)
                .map(Named::spelling)
                .collect();
            return Err(Error::new(
                Kind::Usage,
                format!("option {} is given twice, expected it once", names.join(" or ")),
            ));
        }
        self.given.push((option.slot, source));
        Ok(false)
    }

    fn unknown(&self, word: &str) -> Box<Error> {
        let error = Error::new(
            Kind::Usage,
            format!("command {} has no option {word}", self.command.name),
        );
        let names: Vec<String> = self
            .options
            .iter()
            .filter_map(|option| option.long.map(|long| format!("--{long}")))
            .collect();
        if OWN_OPTIONS.contains(&word) {
            return error.hint(format!(
                "{word} is an option of nexus, write it left of the command"
            ));
        }
        match nearest(word, names.iter().map(String::as_str)) {
            Some(name) => error.hint(format!("did you mean {name}?")),
            None if word.starts_with("--") => error,
            None => error.hint("to pass a value that starts with a dash, write -- before it"),
        }
    }

    /// One source per parameter, from what was given and the defaults.
    fn sources(mut self) -> Result<Vec<Source<'a>>> {
        self.check_count()?;
        let command = self.command;
        let mut positional = std::mem::take(&mut self.positional).into_iter();
        let mut sources = Vec::with_capacity(command.args.len());
        for (arg, parameter) in command.args.iter().enumerate() {
            sources.push(match parameter {
                Arg::Positional(input) => match positional.next() {
                    Some(word) => Source::of(self.types, Form::of(input), word),
                    None => self.absent(parameter)?,
                },
                Arg::Option(_) | Arg::Flag(_) => match self.given(Slot {
                    arg,
                    part: Part::Whole,
                }) {
                    Some(source) => source,
                    None => self.absent(parameter)?,
                },
                Arg::Record(record) => self.record(record, arg)?,
            });
        }
        match sources.iter().map(Source::stdin_reads).sum::<usize>() {
            0 | 1 => Ok(sources),
            reads => Err(Error::new(
                Kind::Usage,
                format!(
                    "{reads} arguments are -, expected at most one: standard input can be read only once"
                ),
            )),
        }
    }

    fn check_count(&self) -> Result<()> {
        let inputs = self.command.args.iter().filter_map(|arg| match arg {
            Arg::Positional(input) => Some(input),
            _ => None,
        });
        let expected = inputs.clone().count();
        let found = self.positional.len();
        let name = &self.command.name;
        if found > expected {
            let extra = self.positional[expected];
            let takes = match expected {
                0 => "no argument".to_string(),
                1 => "one argument".to_string(),
                _ => format!("{expected} arguments"),
            };
            return Err(Error::new(
                Kind::Usage,
                format!("command {name} takes {takes}, found also '{extra}'"),
            ));
        }
        if found < expected {
            let missing: Vec<String> = inputs
                .skip(found)
                .map(|input| metavar(self.types, input))
                .collect();
            return Err(Error::new(
                Kind::Usage,
                format!("command {name} needs {}", missing.join(" and ")),
            ));
        }
        Ok(())
    }

    fn given(&mut self, slot: Slot) -> Option<Source<'a>> {
        let position = self.given.iter().position(|(found, _)| *found == slot)?;
        Some(self.given.swap_remove(position).1)
    }

    /// What an option or flag is when it is not given.
    fn absent(&self, arg: &'a Arg) -> Result<Source<'a>> {
        match arg {
            Arg::Flag(flag) => Ok(Source::Bool(flag.default)),
            Arg::Option(opt) => match &opt.default {
                Some(default) => Ok(Source::Default(default)),
                None if self.is_optional(opt.input.ty) => Ok(Source::Null),
                None => Err(self.missing(&format!(
                    "option {} {}",
                    spelling(opt),
                    metavar(self.types, &opt.input)
                ))),
            },
            Arg::Positional(input) => Err(self.missing(&metavar(self.types, input))),
            Arg::Record(record) => Err(self.missing(&record.metavar)),
        }
    }

    fn record(&mut self, record: &'a RecordArg, arg: usize) -> Result<Source<'a>> {
        let whole = self.given(Slot {
            arg,
            part: Part::Whole,
        });
        let Type::Record(span) = self.types.node(self.types.inner(record.ty)) else {
            return whole.ok_or_else(|| self.missing(&record.metavar));
        };
        let mut fields = Vec::with_capacity(span.len());
        for (position, field) in self.types.fields(span).iter().enumerate() {
            let entry = record.entries.iter().position(|(of, _)| *of == position);
            let given = entry.and_then(|entry| {
                self.given(Slot {
                    arg,
                    part: Part::Entry(entry),
                })
            });
            fields.push(match (given, entry.and_then(|entry| record.entries.get(entry))) {
                (Some(source), _) => Some(source),
                (None, _) if whole.is_some() => None,
                (None, Some((_, entry))) => Some(self.absent(entry)?),
                (None, None) if self.is_optional(field.ty) => Some(Source::Null),
                (None, None) => {
                    let whole = record.whole.as_ref().and_then(|whole| whole.long.as_deref());
                    return Err(self.missing(&format!(
                        "field {} of {}, which no option but {} sets",
                        field.key,
                        record.metavar,
                        whole.map_or("the whole record".to_string(), |long| format!("--{long}")),
                    )));
                }
            });
        }
        let whole = whole.map(Box::new);
        Ok(Source::Record { whole, fields })
    }

    fn missing(&self, what: &str) -> Box<Error> {
        Error::new(Kind::Usage, format!("command {} needs {what}", self.command.name))
    }

    fn is_optional(&self, ty: TypeId) -> bool {
        matches!(self.types.node(ty), Type::Optional(_) | Type::Nil)
    }
}
