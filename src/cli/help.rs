//! The pages of `--help`: for a program, a group of commands, a command. Only the manifest is asked; nothing is started.

use crate::cli::output::FORMATS;
use crate::cli::page::Page;
use crate::codec::schema::{Type, Types};
use crate::ids::TypeId;
use crate::manifest::model::{Arg, Command, Flag, Input, Manifest, Opt, RecordArg};
use crate::manifest::names::{full_name, metavar, type_word};
use crate::manifest::sample::sample;

/// Describes a program, which was called by that name.
pub fn program(name: &str, manifest: &Manifest, page: &mut Page) {
    let shown: Vec<&Command> = manifest
        .commands
        .iter()
        .filter(|command| !command.internal)
        .collect();
    description(0, &manifest.desc, page);
    page.gap();
    if let [only] = shown[..] {
        let words = argument_words(&manifest.types, only);
        page.hanging("Usage:", &format!("{name} [{}] {words}", only.name));
        page.gap();
        description(0, &only.desc, page);
        sections(manifest, only, page);
    } else {
        page.hanging("Usage:", &format!("{name} [OPTIONS] COMMAND ARGUMENTS..."));
        commands(manifest, &shown, page);
        page.gap();
        page.paragraph(0, &[format!("{name} COMMAND --help describes a command.")]);
    }
    page.title("Options, left of the command:");
    page.entries(&own_options());
    page.title("Exit codes:");
    let codes = "0 success, 1 the function failed, 2 wrong usage or argument, 3 bad manifest, 4 a pool did not start, \
                 5 a pool was lost, 124 timeout, 130 interrupted";
    page.paragraph(2, &[codes.to_string()]);
}

/// Describes a group of commands.
pub fn group(name: &str, manifest: &Manifest, group: &str, page: &mut Page) {
    let members = |command: &&Command| command.group.as_deref() == Some(group) && !command.internal;
    let shown: Vec<&Command> = manifest.commands.iter().filter(members).collect();
    if let Some(found) = manifest.groups.iter().find(|found| found.name == group) {
        description(0, &found.desc, page);
        page.gap();
    }
    page.hanging(
        "Usage:",
        &format!("{name} [OPTIONS] {group} COMMAND ARGUMENTS..."),
    );
    page.title("Commands:");
    page.entries(&rows(&shown));
}

/// Describes a command.
pub fn command(name: &str, manifest: &Manifest, command: &Command, page: &mut Page) {
    description(0, &command.desc, page);
    page.gap();
    page.hanging("Usage:", &usage(name, manifest, command));
    sections(manifest, command, page);
}

/// What something is for. The first line is a summary and stands alone, unless a sentence goes on behind it.
fn description(indent: usize, lines: &[String], page: &mut Page) {
    let goes_on = |line: &String| !line.starts_with(char::is_uppercase);
    let alone = usize::from(!lines.get(1).is_some_and(goes_on)).min(lines.len());
    let (summary, rest) = lines.split_at(alone);
    page.paragraph(indent, summary);
    page.paragraph(indent, rest);
}

/// A command's usage line.
pub fn usage(name: &str, manifest: &Manifest, command: &Command) -> String {
    format!(
        "{name} {} {}",
        full_name(command),
        argument_words(&manifest.types, command)
    )
    .trim_end()
    .to_string()
}

fn argument_words(types: &Types, command: &Command) -> String {
    let mut words = Vec::new();
    let mut is_complete = true;
    for arg in &command.args {
        let shown = match arg {
            Arg::Positional(_) => continue,
            // Where the record can be given whole, none of its fields must be.
            Arg::Record(record) if record.whole.is_some() => Vec::new(),
            Arg::Record(record) => record.entries.iter().map(|(_, arg)| arg).collect(),
            Arg::Option(_) | Arg::Flag(_) => vec![arg],
        };
        is_complete &= !shown.is_empty();
        for arg in shown {
            match arg {
                Arg::Option(opt) if is_required(types, opt) => words.push(option_word(types, opt)),
                _ => is_complete = false,
            }
        }
    }
    if !is_complete {
        words.insert(0, "[OPTIONS]".to_string());
    }
    words.extend(command.args.iter().filter_map(|arg| match arg {
        Arg::Positional(input) => Some(metavar(types, input)),
        _ => None,
    }));
    words.join(" ")
}

/// The commands, those of a group under its title.
fn commands(manifest: &Manifest, shown: &[&Command], page: &mut Page) {
    let mut groups: Vec<Option<&str>> = vec![None];
    for command in shown {
        if !groups.contains(&command.group.as_deref()) {
            groups.push(command.group.as_deref());
        }
    }
    for group in groups {
        let members: Vec<&Command> = shown
            .iter()
            .copied()
            .filter(|command| command.group.as_deref() == group)
            .collect();
        let Some(name) = group else {
            if !members.is_empty() {
                page.title("Commands:");
                page.entries(&rows(&members));
            }
            continue;
        };
        page.title(&format!("Commands of {name}:"));
        if let Some(described) = manifest.groups.iter().find(|described| described.name == name) {
            description(2, &described.desc, page);
        }
        page.entries(&rows(&members));
    }
}

fn rows(commands: &[&Command]) -> Vec<(String, String)> {
    let summary = |command: &Command| command.desc.first().cloned().unwrap_or_default();
    commands
        .iter()
        .map(|command| (full_name(command), summary(command)))
        .collect()
}

fn own_options() -> Vec<(String, String)> {
    let formats: Vec<&str> = FORMATS.iter().map(|row| row.0).collect();
    [
        (
            "-h, --help".to_string(),
            "describe the program, or the command".to_string(),
        ),
        (
            "    --version".to_string(),
            "print the version of nexus".to_string(),
        ),
        (
            "    --format FORMAT".to_string(),
            format!("print the result as {}", formats.join(", ")),
        ),
        (
            "    --raw".to_string(),
            "print a string, or bytes, as they are".to_string(),
        ),
        (
            "    --keep-null".to_string(),
            "print a result that is null, too".to_string(),
        ),
        (
            "    --timeout SECONDS".to_string(),
            "stop the command after that time".to_string(),
        ),
        (
            "    --warm[=SECONDS]".to_string(),
            "keep what this starts for further runs with --warm, until none has come for that time (60)"
                .to_string(),
        ),
        (
            "    --each".to_string(),
            "run the command for each line of standard input, a JSON array of arguments".to_string(),
        ),
        (
            "    --keep-going".to_string(),
            "with --each, go on after an error".to_string(),
        ),
        (
            "    --completions SHELL".to_string(),
            "print what completes command lines in bash, zsh or fish".to_string(),
        ),
    ]
    .into()
}

/// All that stands below a command's usage line.
fn sections(manifest: &Manifest, command: &Command, page: &mut Page) {
    let types = &manifest.types;
    let (mut positional, mut options) = (Vec::new(), Vec::new());
    for arg in &command.args {
        match arg {
            Arg::Positional(input) => {
                positional.push((metavar(types, input), meaning(types, input, &[])));
            }
            _ => options.extend(option_row(types, arg)),
        }
    }
    if !positional.is_empty() {
        page.title("Arguments:");
        page.entries(&positional);
    }
    if !options.is_empty() {
        page.title("Options:");
        page.entries(&options);
    }
    for arg in &command.args {
        if let Arg::Record(record) = arg {
            record_section(types, record, page);
        }
    }
    let returns = &command.returns;
    if !matches!(types.node(returns.ty), Type::Nil) {
        page.gap();
        let name = type_name(types, returns.ty, &returns.type_name);
        page.hanging("Returns:", &with_note(&returns.desc.join(" "), &name));
    }
    if command.args.iter().any(|arg| takes_json(types, arg)) {
        page.gap();
        page.paragraph(
            0,
            &["Values that are not text are JSON. @FILE reads one from a file (JSON, or msgpack), and - from standard input."
                .to_string()],
        );
    }
    if !command.examples.is_empty() {
        page.title("Examples:");
        for example in &command.examples {
            page.line(2, example);
        }
    }
}

fn record_section(types: &Types, record: &RecordArg, page: &mut Page) {
    page.title(&format!("{}:", record.metavar));
    description(2, &record.desc, page);
    let mut rows = Vec::new();
    if let Some(whole) = &record.whole {
        let left = names(whole.short, whole.long.as_deref(), None);
        let sample = sample(types, record.ty).map_or(String::new(), |sample| format!(", like {sample}"));
        let meaning = format!("all of it as a record{sample}; the options below override its fields");
        rows.push((format!("{left} {}", type_word(types, record.ty)), meaning));
    }
    rows.extend(
        record
            .entries
            .iter()
            .filter_map(|(_, arg)| option_row(types, arg)),
    );
    page.entries(&rows);
}

fn option_row(types: &Types, arg: &Arg) -> Option<(String, String)> {
    match arg {
        Arg::Option(opt) => {
            let note = match &opt.default {
                Some(default) => vec![format!("default {default}")],
                None if is_required(types, opt) => vec!["required".to_string()],
                None => Vec::new(),
            };
            let left = format!(
                "{} {}",
                names(opt.short, opt.long.as_deref(), None),
                metavar(types, &opt.input)
            );
            Some((left, meaning(types, &opt.input, &note)))
        }
        Arg::Flag(flag) => Some((flag_names(flag), flag_meaning(flag))),
        Arg::Positional(_) | Arg::Record(_) => None,
    }
}

/// `-x, --word, --other`; long names stand below each other where a letter is missing.
fn names(short: Option<char>, long: Option<&str>, other: Option<&str>) -> String {
    let short = short.map(|short| format!("-{short}"));
    let long = [long, other]
        .into_iter()
        .flatten()
        .map(|word| format!("--{word}"))
        .collect::<Vec<_>>()
        .join(", ");
    match (short, long.as_str()) {
        (Some(short), "") => short,
        (Some(short), long) => format!("{short}, {long}"),
        (None, long) => format!("    {long}"),
    }
}

fn flag_names(flag: &Flag) -> String {
    names(flag.short, flag.long.as_deref(), flag.long_rev.as_deref())
}

fn flag_meaning(flag: &Flag) -> String {
    let note = if flag.default { "default on" } else { "default off" };
    with_note(&flag.desc.join(" "), note)
}

/// What an input means, its type, how it looks, and further notes.
fn meaning(types: &Types, input: &Input, notes: &[String]) -> String {
    let mut all = vec![type_name(types, input.ty, &input.type_name)];
    all.extend(sample(types, input.ty).map(|sample| format!("like {sample}")));
    all.extend_from_slice(notes);
    with_note(&input.desc.join(" "), &all.join(", "))
}

fn with_note(meaning: &str, note: &str) -> String {
    match meaning {
        "" => note.to_string(),
        meaning => format!("{meaning} ({note})"),
    }
}

fn type_name(types: &Types, ty: TypeId, name: &str) -> String {
    match name {
        "" => types.spell(ty),
        name => name.to_string(),
    }
}

fn option_word(types: &Types, opt: &Opt) -> String {
    format!(
        "{} {}",
        crate::manifest::names::spelling(opt),
        metavar(types, &opt.input)
    )
}

fn is_required(types: &Types, opt: &Opt) -> bool {
    opt.default.is_none() && !matches!(types.node(opt.input.ty), Type::Optional(_))
}

fn takes_json(types: &Types, arg: &Arg) -> bool {
    match arg {
        Arg::Positional(input) => !types.is_text(input.ty),
        Arg::Option(opt) => !types.is_text(opt.input.ty),
        Arg::Flag(_) => false,
        Arg::Record(record) => {
            record.whole.is_some() || record.entries.iter().any(|(_, arg)| takes_json(types, arg))
        }
    }
}
