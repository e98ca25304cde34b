//! What a program's command line asks for: nexus's own options, then the command, then its words ([`crate::cli::args`]).
//! Does none of it.

use crate::cli::args::{self, Asked};
use crate::cli::completions::split;
use crate::cli::help;
use crate::cli::options::OWN_OPTIONS;
use crate::cli::output::{FORMATS, Format, Output};
use crate::cli::source::Source;
use crate::codec::nearest::nearest;
use crate::codec::number::Decimal;
use crate::error::{Error, Kind, Result};
use crate::limits::{TIMEOUT_MS_MAX, WARM_MS};
use crate::manifest::model::{Command, Manifest};
use crate::manifest::names::full_name;

/// What is asked for.
#[derive(Debug)]
pub enum Request<'a> {
    /// To run a command.
    Run(Invocation<'a>),
    /// To run a command for each item of standard input.
    Each(&'a Command, Options),
    /// To describe the program, a group or a command.
    Describe(Topic<'a>),
    /// To tell the version.
    Version,
    /// To print the script that completes command lines in that shell.
    Completions(&'a str),
    /// To say what may stand at the end of these words.
    Complete(Vec<String>),
    /// Nothing: no command is named, and there are several, which the topic describes.
    Nothing(Topic<'a>),
}

/// What to describe.
#[derive(Clone, Copy, Debug)]
pub enum Topic<'a> {
    /// The program.
    Program,
    /// A group of commands.
    Group(&'a str),
    /// One command.
    Command(&'a Command),
}

/// A command to run.
#[derive(Debug)]
pub struct Invocation<'a> {
    /// The command.
    pub command: &'a Command,
    /// One value per parameter.
    pub args: Vec<Source<'a>>,
    /// The options left of the command.
    pub options: Options,
}

/// Nexus's own options.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Options {
    /// How the result is printed.
    pub output: Output,
    /// How long the run may take, in milliseconds.
    pub timeout_ms: Option<u64>,
    /// How long the pools are kept warm for further runs, in milliseconds.
    pub warm_ms: Option<u64>,
    /// The command runs for each item of standard input.
    pub each: bool,
    /// An item that fails does not end the run.
    pub keep_going: bool,
}

/// Reads a command line of the program that was called `name`.
///
/// # Errors
/// Kind `usage`: no such command or option, or words that don't fit them.
pub fn parse<'a>(name: &str, manifest: &'a Manifest, words: &'a [String]) -> Result<Request<'a>> {
    match words {
        [option, rest @ ..] if option == "--completions" => {
            return Ok(Request::Completions(rest.first().map_or("", String::as_str)));
        }
        [option, words @ ..] if option == "--complete" => return Ok(Request::Complete(words.to_vec())),
        [option, line] if option == "--complete-line" => return Ok(Request::Complete(split(line))),
        _ => {}
    }
    let only = only_command(manifest);
    let mut own = OwnOptions::default();
    let words = own.read(words, only.is_some())?;
    if own.version {
        return Ok(Request::Version);
    }
    let (command, words) = match find(name, manifest, only, words)? {
        Found::Command(command, words) => (command, words),
        Found::Described(topic) => return Ok(Request::Describe(topic)),
        Found::Nothing(topic) if own.help => return Ok(Request::Describe(topic)),
        Found::Nothing(topic) => return Ok(Request::Nothing(topic)),
    };
    let is_only = only.is_some_and(|only| std::ptr::eq(only, command));
    let topic = if is_only {
        Topic::Program
    } else {
        Topic::Command(command)
    };
    if own.help {
        return Ok(Request::Describe(topic));
    }
    if own.options.keep_going && !own.options.each {
        return Err(Error::new(
            Kind::Usage,
            "option --keep-going is given without --each",
        ));
    }
    match (own.options.each, words) {
        (false, _) => {}
        (true, []) => return Ok(Request::Each(command, own.options)),
        (true, [word, ..]) if word == "--help" || word == "-h" => return Ok(Request::Describe(topic)),
        (true, [word, ..]) => {
            let message =
                format!("found argument '{word}', expected none: --each reads them from standard input");
            return Err(Error::new(Kind::Usage, message));
        }
    }
    match args::parse(&manifest.types, command, words) {
        Ok(Asked::Help) => Ok(Request::Describe(topic)),
        Ok(Asked::Run(args)) => Ok(Request::Run(Invocation {
            command,
            args,
            options: own.options,
        })),
        Err(error) if error.hint.is_some() => Err(error),
        Err(error) => Err(error.hint(format!("usage: {}", help::usage(name, manifest, command)))),
    }
}

/// The command that need not be named: the only one that is shown.
pub fn only_command(manifest: &Manifest) -> Option<&Command> {
    let mut shown = manifest.commands.iter().filter(|command| !command.internal);
    let first = shown.next()?;
    shown.next().is_none().then_some(first)
}

#[derive(Default)]
struct OwnOptions<'a> {
    options: Options,
    help: bool,
    version: bool,
    seen: Vec<&'a str>,
}

impl<'a> OwnOptions<'a> {
    /// Reads the options at the start, and returns the words from the first that is none. In a program with one command,
    /// an option that isn't nexus's is the command's.
    fn read(&mut self, words: &'a [String], has_only: bool) -> Result<&'a [String]> {
        let mut rest = words;
        while let Some((word, after)) = rest.split_first() {
            if word == "--" && !has_only {
                return Ok(after);
            }
            if !word.starts_with('-') {
                break;
            }
            let (name, value) = match word.split_once('=') {
                Some((name, value)) => (name, Some(value)),
                None => (word.as_str(), None),
            };
            let takes_value = match name {
                "--help" | "-h" => {
                    self.help = true;
                    false
                }
                "--version" => {
                    self.version = true;
                    false
                }
                "--raw" => {
                    self.options.output.raw = true;
                    false
                }
                "--keep-null" => {
                    self.options.output.keep_null = true;
                    false
                }
                "--each" => {
                    self.options.each = true;
                    false
                }
                "--warm" => {
                    self.options.warm_ms = Some(WARM_MS);
                    value.is_some()
                }
                "--keep-going" => {
                    self.options.keep_going = true;
                    false
                }
                "--format" | "--timeout" => true,
                _ if has_only => break,
                _ if args::asks_for_help(rest) => {
                    self.help = true;
                    return Ok(&[]);
                }
                _ => return Err(unknown_option(word)),
            };
            if self.seen.contains(&name) {
                return Err(Error::new(
                    Kind::Usage,
                    format!("option {name} is given twice, expected it once"),
                ));
            }
            self.seen.push(name);
            rest = match (takes_value, value, after) {
                (false, None, _) => after,
                (false, Some(_), _) => {
                    let message = format!("option {name} is a flag, found a value, expected none");
                    return Err(Error::new(Kind::Usage, message));
                }
                (true, Some(value), _) => {
                    self.set(name, value)?;
                    after
                }
                (true, None, [value, after @ ..]) => {
                    self.set(name, value)?;
                    after
                }
                (true, None, []) => {
                    let message = format!("option {name} stands last, expected a value after it");
                    return Err(Error::new(Kind::Usage, message));
                }
            };
        }
        Ok(rest)
    }

    fn set(&mut self, name: &str, value: &str) -> Result<()> {
        match name {
            "--format" => self.options.output.format = format(value)?,
            "--warm" => self.options.warm_ms = Some(warm_ms(value)?),
            _ => self.options.timeout_ms = Some(timeout_ms(value)?),
        }
        Ok(())
    }
}

fn unknown_option(word: &str) -> Box<Error> {
    let error = Error::new(Kind::Usage, format!("nexus has no option {word}"));
    match nearest(word, OWN_OPTIONS) {
        Some(name) => error.hint(format!("did you mean {name}?")),
        None => error.hint("the options of a command stand right of its name"),
    }
}

/// The format of that name.
///
/// # Errors
/// Kind `usage`: there is none.
pub fn format(name: &str) -> Result<Format> {
    if let Some((_, format)) = FORMATS.iter().find(|row| row.0 == name) {
        return Ok(*format);
    }
    let names: Vec<&str> = FORMATS.iter().map(|row| row.0).collect();
    let message = format!("format '{name}' is unknown, expected one of {}", names.join(", "));
    Err(Error::new(Kind::Usage, message))
}

/// Milliseconds of a number of seconds.
///
/// # Errors
/// Kind `usage`: it is none above 0.
pub fn timeout_ms(text: &str) -> Result<u64> {
    let number = Decimal::scan(text.as_bytes()).ok();
    let seconds = number.filter(|number| number.text.len() == text.len());
    let ms = seconds.map(|seconds| (seconds.f8() * 1000.0).ceil());
    match ms {
        Some(ms) if ms >= 1.0 && ms <= TIMEOUT_MS_MAX as f64 => Ok(ms as u64),
        _ => Err(Error::new(
            Kind::Usage,
            format!(
                "option --timeout: found '{text}', expected seconds above 0 and at most {}",
                TIMEOUT_MS_MAX / 1000
            ),
        )),
    }
}

/// Milliseconds of a number of seconds, behind which an `s` may stand.
///
/// # Errors
/// Kind `usage`: it is none above 0.
pub fn warm_ms(text: &str) -> Result<u64> {
    timeout_ms(text.strip_suffix('s').unwrap_or(text)).map_err(|error| {
        let message = error.message.replace("--timeout", "--warm");
        Error::new(error.kind, message)
    })
}

/// Where the first words lead.
pub enum Found<'a> {
    /// To a command, with the words after it.
    Command(&'a Command, &'a [String]),
    /// Help is asked for within a group.
    Described(Topic<'a>),
    /// To no command yet.
    Nothing(Topic<'a>),
}

/// The command that the first words name.
///
/// # Errors
/// Kind `usage`: they name none.
pub fn find<'a>(
    name: &str,
    manifest: &'a Manifest,
    only: Option<&'a Command>,
    words: &'a [String],
) -> Result<Found<'a>> {
    let Some((word, after)) = words.split_first() else {
        return Ok(only.map_or(Found::Nothing(Topic::Program), |only| Found::Command(only, words)));
    };
    let named = |command: &&Command| command.name == *word;
    let commands = &manifest.commands;
    if let Some(command) = commands
        .iter()
        .filter(named)
        .find(|command| command.group.is_none())
    {
        return Ok(Found::Command(command, after));
    }
    if let Some(group) = groups(manifest).find(|group| group == word) {
        return find_in_group(name, manifest, group, after);
    }
    // A command of a group may go without the group's word where that is clear.
    let mut loose = commands.iter().filter(named);
    match (loose.next(), loose.next()) {
        (Some(command), None) => return Ok(Found::Command(command, after)),
        (Some(_), Some(_)) => {
            let names: Vec<String> = commands.iter().filter(named).map(full_name).collect();
            let message = format!(
                "command {word} is in several groups, expected one of {}",
                names.join(", ")
            );
            return Err(Error::new(Kind::Usage, message));
        }
        (None, _) => {}
    }
    if let Some(only) = only {
        return Ok(Found::Command(only, words));
    }
    let shown = commands.iter().filter(|command| !command.internal);
    let known = shown.map(|command| command.name.as_str()).chain(groups(manifest));
    let error = Error::new(Kind::Usage, format!("there is no command '{word}'"));
    Err(match nearest(word, known) {
        Some(near) => error.hint(format!("did you mean {near}?")),
        None => error.hint(format!("{name} --help lists the commands")),
    })
}

fn find_in_group<'a>(
    name: &str,
    manifest: &'a Manifest,
    group: &'a str,
    words: &'a [String],
) -> Result<Found<'a>> {
    let members = || {
        manifest
            .commands
            .iter()
            .filter(|command| command.group.as_deref() == Some(group))
    };
    let Some((word, after)) = words.split_first() else {
        return Ok(Found::Nothing(Topic::Group(group)));
    };
    if word == "--help" || word == "-h" {
        return Ok(Found::Described(Topic::Group(group)));
    }
    if let Some(command) = members().find(|command| command.name == *word) {
        return Ok(Found::Command(command, after));
    }
    let error = Error::new(Kind::Usage, format!("group {group} has no command '{word}'"));
    Err(
        match nearest(word, members().map(|command| command.name.as_str())) {
            Some(near) => error.hint(format!("did you mean {group} {near}?")),
            None => error.hint(format!("{name} {group} --help lists its commands")),
        },
    )
}

/// The words that stand left of grouped commands; a word comes once per command.
pub fn groups(manifest: &Manifest) -> impl Iterator<Item = &str> {
    manifest
        .commands
        .iter()
        .filter_map(|command| command.group.as_deref())
}
