//! Subcommands whose options stand in one table: how their words are read, and their help. Does nothing of what they ask for.

use argh::{CommandInfo, EarlyExit};

/// Where the node or value is: `--namespace`.
pub const NAMESPACE: u16 = 1;
/// `--file`.
pub const FILE: u16 = 1 << 1;
/// `--prune`.
pub const PRUNE: u16 = 1 << 2;
/// `--dry-run`.
pub const DRY_RUN: u16 = 1 << 3;
/// `--output`.
pub const OUTPUT: u16 = 1 << 4;
/// `--store`.
pub const STORE: u16 = 1 << 5;
/// `--name`.
pub const NAME: u16 = 1 << 6;
/// `--lazy`.
pub const LAZY: u16 = 1 << 7;
/// `--follow`.
pub const FOLLOW: u16 = 1 << 8;
/// `--lines`.
pub const LINES: u16 = 1 << 9;
/// `--format`.
pub const FORMAT: u16 = 1 << 10;
/// `--server`.
pub const SERVER: u16 = 1 << 11;
/// None of them is looked for behind the first word: what stands there is another's.
pub const FIRST: u16 = 1 << 12;

/// An option.
struct Row {
    /// What a subcommand takes it by.
    bit: u16,
    long: &'static str,
    short: &'static str,
    /// The word for its value; empty: it has none.
    metavar: &'static str,
    description: &'static str,
}

const fn row(
    bit: u16,
    long: &'static str,
    short: &'static str,
    metavar: &'static str,
    description: &'static str,
) -> Row {
    Row {
        bit,
        long,
        short,
        metavar,
        description,
    }
}

/// All of them, as help lists them. Those of one spelling are never of one subcommand.
#[rustfmt::skip]
static ROWS: [Row; 12] = [
    row(NAMESPACE, "--namespace", "-n", "NS", "the namespace; default if left out"),
    row(FILE, "--file", "-f", "FILE", "a file with them, as YAML or JSON; - for standard input"),
    row(PRUNE, "--prune", "", "", "delete what else the namespace has of them"),
    row(DRY_RUN, "--dry-run", "", "", "print what would be done, and do nothing"),
    row(OUTPUT, "--output", "-o", "FORM", "table, json or yaml"),
    row(STORE, "--store", "", "DIR", "the store; NEXUS_STORE, or else flows, if left out"),
    row(NAME, "--name", "", "NAME", "name it so, as NAMESPACE/NAME@VERSION"),
    row(LAZY, "--lazy", "", "", "load it with its first call"),
    row(FOLLOW, "--follow", "-f", "", "go on with further lines as they come"),
    row(LINES, "--lines", "", "N", "the last lines only"),
    row(FORMAT, "--format", "", "FORMAT", "table, json, pretty, jsonl, msgpack, csv or tsv"),
    row(SERVER, "--server", "", "PATH", "the server's socket; NEXUS_SERVER, or the user's own, if left out"),
];

/// Least width of an option in help.
const COLUMN_MIN: usize = 16;

/// A subcommand: what it takes and what there is to say of it.
pub struct Subcommand {
    /// Its name and what it does.
    pub info: CommandInfo,
    words: &'static str,
    note: &'static str,
    options: u16,
}

/// What was given to one.
#[derive(Default)]
pub struct Given {
    /// In their order, each with its value.
    options: Vec<(u16, String)>,
    /// What is no option.
    pub words: Vec<String>,
}

impl Given {
    /// Whether that option was given.
    pub fn has(&self, option: u16) -> bool {
        self.value(option).is_some()
    }

    /// The value of an option, of several the last.
    pub fn value(&self, option: u16) -> Option<&str> {
        self.values(option).next_back()
    }

    /// All values of an option.
    pub fn values(&self, option: u16) -> impl DoubleEndedIterator<Item = &str> {
        let options = self.options.iter().filter(move |(bit, _)| *bit == option);
        options.map(|(_, value)| value.as_str())
    }
}

impl Subcommand {
    /// One with that name; `words` is what stands behind its options, `note` what else there is to say.
    pub const fn new(
        name: &'static str,
        description: &'static str,
        words: &'static str,
        note: &'static str,
        options: u16,
    ) -> Subcommand {
        let info = CommandInfo {
            name,
            short: &'\0',
            description,
        };
        Subcommand {
            info,
            words,
            note,
            options,
        }
    }

    /// Reads its words.
    ///
    /// # Errors
    /// The help, if it is asked for; what is wrong with them.
    pub fn read(&self, words: &[&str]) -> Result<Given, EarlyExit> {
        let mut given = Given::default();
        let mut rest = words.iter();
        let mut is_ended = false;
        while let Some(word) = rest.next() {
            let is_over = is_ended || self.options & FIRST != 0 && !given.words.is_empty();
            if is_over || *word == "-" || !word.starts_with('-') {
                given.words.push((*word).to_string());
                continue;
            }
            let (name, value) = match word.split_once('=') {
                Some((name, value)) => (name, Some(value)),
                None => (*word, None),
            };
            match name {
                "--help" | "-h" => {
                    return Err(EarlyExit {
                        output: self.help(),
                        status: Ok(()),
                    });
                }
                "--" => {
                    is_ended = true;
                    continue;
                }
                _ => {}
            }
            let Some(row) = self.rows().find(|row| row.long == name || row.short == name) else {
                return Err(format!("nexus {} has no option {name}", self.info.name).into());
            };
            let value = match (row.metavar, value) {
                ("", None) => String::new(),
                ("", Some(_)) => return Err(format!("option {name} takes no value").into()),
                (_, Some(value)) => value.to_string(),
                (metavar, None) => match rest.next() {
                    Some(value) => (*value).to_string(),
                    None => {
                        return Err(format!("option {name} stands last, expected {metavar} after it").into());
                    }
                },
            };
            given.options.push((row.bit, value));
        }
        Ok(given)
    }

    fn rows(&self) -> impl Iterator<Item = &'static Row> + Clone {
        let options = self.options;
        ROWS.iter().filter(move |row| options & row.bit != 0)
    }

    fn help(&self) -> String {
        let CommandInfo {
            name, description, ..
        } = self.info;
        let mut out = format!("Usage: nexus {name} [OPTIONS] {}\n\n{description}\n", self.words);
        if !self.note.is_empty() {
            out += &format!("\n{}\n", self.note);
        }
        out += "\nOptions:\n";
        let spelling = |row: &Row| {
            let comma = if row.short.is_empty() { "" } else { ", " };
            format!("{}{comma}{} {}", row.short, row.long, row.metavar)
        };
        let longest = self.rows().map(|row| spelling(row).len()).max();
        let width = COLUMN_MIN.max(longest.unwrap_or_default());
        for row in self.rows() {
            out += &format!("  {:<width$}  {}\n", spelling(row), row.description);
        }
        out + &format!("  {:<width$}  print this\n", "--help")
    }
}
