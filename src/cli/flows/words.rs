//! The words of the subcommands that work on the store of nodes and values. What they do stands beside them.

use super::{apply, diff, get};
use crate::cli::report;
use crate::error::{Error, Kind, Result};
use crate::flow::spec::{Errors, NAMESPACE, Object, Sort, name};
use crate::shell::flow_store::{FlowStore, read_objects};
use argh::{CommandInfo, EarlyExit};
use std::path::PathBuf;
use std::process::ExitCode;

/// Options, each a bit of what an action takes.
const NAMESPACED: u8 = 1;
const FILE: u8 = 2;
const PRUNE: u8 = 4;
const DRY_RUN: u8 = 8;
const OUTPUT: u8 = 16;
const STORE: u8 = 32;

/// The options: what an action takes them by, how they are written, the word for their value, what they are for.
const OPTIONS: [(u8, &str, &str, &str, &str); 6] = [
    (
        NAMESPACED,
        "--namespace",
        "-n",
        "NS",
        "the namespace; default if left out",
    ),
    (
        FILE,
        "--file",
        "-f",
        "FILE",
        "a file with them, as YAML or JSON; - for standard input",
    ),
    (
        PRUNE,
        "--prune",
        "",
        "",
        "delete what else the namespace has of them",
    ),
    (
        DRY_RUN,
        "--dry-run",
        "",
        "",
        "print what would be done, and do nothing",
    ),
    (OUTPUT, "--output", "-o", "FORM", "table, json or yaml"),
    (
        STORE,
        "--store",
        "",
        "DIR",
        "the store; NEXUS_STORE, or else flows, if left out",
    ),
];

struct Action {
    info: CommandInfo,
    /// What stands behind its options.
    words: &'static str,
    note: &'static str,
    options: u8,
    run: fn(&Given) -> std::result::Result<ExitCode, Errors>,
}

const fn info(name: &'static str, description: &'static str) -> CommandInfo {
    CommandInfo {
        name,
        short: &'\0',
        description,
    }
}

static ACTIONS: [Action; 4] = [
    Action {
        info: info(
            "apply",
            "Put the nodes (specs) or values of a flow into the store, from files.",
        ),
        words: "specs|values -f FILE",
        note: "One that is given with its revision is refused if it has changed since. Servers of the store see it at once.\n\n\
               Example: nexus apply specs -n shop -f shop.yaml --dry-run",
        options: NAMESPACED | FILE | PRUNE | DRY_RUN | OUTPUT | STORE,
        run: apply::apply,
    },
    Action {
        info: info("get", "Print nodes (specs) or values of a flow from the store."),
        words: "specs|values [NAME...]",
        note: "What values are is never printed.",
        options: NAMESPACED | OUTPUT | STORE,
        run: get::get,
    },
    Action {
        info: info(
            "diff",
            "Print what apply would change, and exit with 1 if that is anything.",
        ),
        words: "specs|values -f FILE",
        note: "",
        options: NAMESPACED | FILE | PRUNE | STORE,
        run: diff::diff,
    },
    Action {
        info: info(
            "delete",
            "Delete nodes (specs) or values of a flow from the store.",
        ),
        words: "specs|values NAME... or -f FILE",
        note: "With other words it has the server serve programs no more: nexus delete --help",
        options: NAMESPACED | FILE | DRY_RUN | OUTPUT | STORE,
        run: apply::delete,
    },
];

/// What there is to say of each, but for `nexus delete`, which is another's first.
pub static INFOS: [&CommandInfo; 3] = [&ACTIONS[0].info, &ACTIONS[1].info, &ACTIONS[2].info];

/// The name of the subcommand that is also one for deployments.
const DELETE: &str = "delete";

/// The names of the subcommands.
pub fn names() -> impl Iterator<Item = &'static str> + Clone {
    INFOS.iter().map(|info| info.name)
}

/// A subcommand with its words.
pub struct Flows {
    action: &'static Action,
    given: Given,
}

/// What was given.
#[derive(Default)]
pub(super) struct Given {
    namespace: Option<String>,
    /// Files to read.
    pub(super) files: Vec<String>,
    /// Whether what isn't given is deleted.
    pub(super) prune: bool,
    /// Whether nothing is done.
    pub(super) dry_run: bool,
    /// The form of what is printed.
    pub(super) output: Option<String>,
    store: Option<String>,
    words: Vec<String>,
}

/// Reads the words of the subcommand of that name, if it is one of these.
pub fn read_for(name: &str, words: &[&str]) -> Option<std::result::Result<Flows, EarlyExit>> {
    let mut actions = ACTIONS.iter().filter(|action| action.info.name != DELETE);
    let action = actions.find(|action| action.info.name == name)?;
    Some(read(action, words).map(|given| Flows { action, given }))
}

/// The words of `nexus delete`, if they ask for nodes or values rather than for deployments: `specs` or `values` is its first word
/// that is no option.
pub fn delete(words: &[&str]) -> Option<std::result::Result<Flows, EarlyExit>> {
    let (_, words) = words.split_first().filter(|(first, _)| **first == DELETE)?;
    let action = ACTIONS.iter().find(|action| action.info.name == DELETE)?;
    match read(action, words) {
        Ok(given) => given.sort().is_ok().then_some(Ok(Flows { action, given })),
        Err(exit) => words.first().and_then(|word| sort(word)).map(|_| Err(exit)),
    }
}

fn sort(word: &str) -> Option<Sort> {
    match word {
        "specs" | "spec" | "nodes" | "node" => Some(Sort::Specs),
        "values" | "value" => Some(Sort::Values),
        _ => None,
    }
}

fn read(action: &Action, words: &[&str]) -> std::result::Result<Given, EarlyExit> {
    let mut given = Given::default();
    let mut rest = words.iter();
    let mut is_ended = false;
    while let Some(word) = rest.next() {
        if is_ended || *word == "-" || !word.starts_with('-') {
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
                    output: help(action),
                    status: Ok(()),
                });
            }
            "--" => {
                is_ended = true;
                continue;
            }
            _ => {}
        }
        let mut options = OPTIONS.iter();
        let option = options.find(|row| action.options & row.0 != 0 && (row.1 == name || row.2 == name));
        let Some((bit, _, _, metavar, _)) = option else {
            return Err(format!("nexus {} has no option {name}", action.info.name).into());
        };
        let value = match (metavar.is_empty(), value) {
            (true, None) => String::new(),
            (true, Some(_)) => return Err(format!("option {name} takes no value").into()),
            (false, Some(value)) => value.to_string(),
            (false, None) => match rest.next() {
                Some(value) => (*value).to_string(),
                None => return Err(format!("option {name} stands last, expected {metavar} after it").into()),
            },
        };
        match *bit {
            NAMESPACED => given.namespace = Some(value),
            FILE => given.files.push(value),
            PRUNE => given.prune = true,
            DRY_RUN => given.dry_run = true,
            OUTPUT => given.output = Some(value),
            _ => given.store = Some(value),
        }
    }
    Ok(given)
}

fn help(action: &Action) -> String {
    let name = action.info.name;
    let mut out = format!(
        "Usage: nexus {name} [OPTIONS] {}\n\n{}\n",
        action.words, action.info.description
    );
    if !action.note.is_empty() {
        out += &format!("\n{}\n", action.note);
    }
    out += "\nOptions:\n";
    for (bit, long, short, metavar, description) in OPTIONS {
        if action.options & bit != 0 {
            let comma = if short.is_empty() { "" } else { ", " };
            let spelling = format!("{short}{comma}{long} {metavar}");
            out += &format!("  {spelling:<20}{description}\n");
        }
    }
    out + "  --help              print this\n"
}

/// Does what is asked for.
///
/// # Errors
/// None that isn't reported here already.
pub fn run(flows: &Flows) -> Result<ExitCode> {
    (flows.action.run)(&flows.given).or_else(|errors| {
        let mut code = ExitCode::SUCCESS;
        for error in errors.iter().rev() {
            code = ExitCode::from(error.exit_code());
        }
        for error in &errors {
            report::print("nexus", error);
        }
        Ok(code)
    })
}

fn usage(message: impl Into<String>, hint: &str) -> Errors {
    vec![Error::new(Kind::Usage, message).hint(hint)]
}

impl Given {
    /// Whether nodes or values are meant.
    pub(super) fn sort(&self) -> std::result::Result<Sort, Errors> {
        let hint = "specs are the nodes of a flow, values what they use by name";
        match self.words.first() {
            None => Err(usage("neither specs nor values is given", hint)),
            Some(word) => {
                let message = || format!("found '{word}', expected specs or values");
                sort(word).ok_or_else(|| usage(message(), hint))
            }
        }
    }

    /// What follows the word for nodes or values.
    pub(super) fn names(&self) -> &[String] {
        self.words.get(1..).unwrap_or_default()
    }

    /// The namespace, checked.
    pub(super) fn namespace(&self) -> std::result::Result<&str, Errors> {
        let namespace = self.namespace.as_deref().unwrap_or(NAMESPACE);
        match name::check("namespace", namespace) {
            Ok(()) => Ok(namespace),
            Err(error) => Err(vec![Error::new(Kind::Usage, error.message)]),
        }
    }

    /// The store as it is asked for.
    pub(super) fn store(&self) -> std::result::Result<FlowStore, Errors> {
        let named = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        let directory = match &self.store {
            Some(directory) => PathBuf::from(directory),
            None => named("NEXUS_STORE").map_or_else(|| PathBuf::from("flows"), PathBuf::from),
        };
        Ok(FlowStore::new(&directory, Some(self.namespace()?)))
    }

    /// A store that has to be there already.
    pub(super) fn store_there(&self) -> std::result::Result<FlowStore, Errors> {
        let store = self.store()?;
        match store.directory().is_dir() {
            true => Ok(store),
            false => {
                let message = format!("there is no store {}", store.directory().display());
                let hint = "nexus apply makes it, --store or NEXUS_STORE names another";
                Err(vec![Error::new(Kind::NotFound, message).hint(hint)])
            }
        }
    }

    /// The objects in all files.
    pub(super) fn objects(&self, sort: Sort) -> std::result::Result<Vec<Object>, Errors> {
        let mut objects = Vec::new();
        let mut errors = Vec::new();
        for file in &self.files {
            match read_objects(file, sort, self.namespace()?) {
                Ok(read) => objects.extend(read),
                Err(found) => errors.extend(found),
            }
        }
        match errors.is_empty() {
            true => Ok(objects),
            false => Err(errors),
        }
    }

    /// Refuses words for which there is no use.
    pub(super) fn expect_no_names(&self, action: &str) -> std::result::Result<(), Errors> {
        match self.names().first() {
            None => Ok(()),
            Some(name) => {
                let message = format!("found '{name}', expected no name");
                Err(usage(
                    message,
                    &format!("usage: nexus {action} specs|values -f FILE"),
                ))
            }
        }
    }

    /// Refuses to go on without a file.
    pub(super) fn expect_files(&self, action: &str) -> std::result::Result<(), Errors> {
        self.expect_no_names(action)?;
        match self.files.is_empty() {
            false => Ok(()),
            true => Err(usage(
                "no file is given",
                &format!("usage: nexus {action} specs|values -f FILE, - for standard input"),
            )),
        }
    }
}
