//! The words of the subcommands that work on the store of nodes and values. What they do stands beside them.

use super::start::usual_directory;
use super::{apply, diff, get};
use crate::cli::report;
use crate::cli::subcommand::{self, DRY_RUN, FILE, Given, OUTPUT, PRUNE, STORE, Subcommand};
use crate::error::{Error, Kind, Result};
use crate::flow::spec::{Errors, NAMESPACE, Object, Sort, name};
use crate::shell::flow_store::{FlowStore, read_objects};
use argh::{CommandInfo, EarlyExit};
use std::path::PathBuf;
use std::process::ExitCode;

struct Action {
    subcommand: Subcommand,
    run: fn(&Given) -> std::result::Result<ExitCode, Errors>,
}

static ACTIONS: [Action; 4] = [
    Action {
        subcommand: Subcommand::new(
            "apply",
            "Put the nodes (specs) or values of a flow into the store, from files.",
            "specs|values -f FILE",
            "One that is given with its revision is refused if it has changed since. Servers of the store see it at once.\n\n\
               Example: nexus apply specs -n shop -f shop.yaml --dry-run",
            subcommand::NAMESPACE | FILE | PRUNE | DRY_RUN | OUTPUT | STORE,
        ),
        run: apply::apply,
    },
    Action {
        subcommand: Subcommand::new(
            "get",
            "Print nodes (specs) or values of a flow from the store.",
            "specs|values [NAME...]",
            "What values are is never printed.",
            subcommand::NAMESPACE | OUTPUT | STORE,
        ),
        run: get::get,
    },
    Action {
        subcommand: Subcommand::new(
            "diff",
            "Print what apply would change, and exit with 1 if that is anything.",
            "specs|values -f FILE",
            "",
            subcommand::NAMESPACE | FILE | PRUNE | STORE,
        ),
        run: diff::diff,
    },
    Action {
        subcommand: Subcommand::new(
            "delete",
            "Delete nodes (specs) or values of a flow from the store.",
            "specs|values NAME... or -f FILE",
            "With other words it has the server serve programs no more: nexus delete --help",
            subcommand::NAMESPACE | FILE | DRY_RUN | OUTPUT | STORE,
        ),
        run: apply::delete,
    },
];

/// What there is to say of each, but for `nexus delete`, which is another's first.
pub static INFOS: [&CommandInfo; 3] = [
    &ACTIONS[0].subcommand.info,
    &ACTIONS[1].subcommand.info,
    &ACTIONS[2].subcommand.info,
];

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

/// Reads the words of the subcommand of that name, if it is one of these.
pub fn read_for(name: &str, words: &[&str]) -> Option<std::result::Result<Flows, EarlyExit>> {
    let mut actions = ACTIONS
        .iter()
        .filter(|action| action.subcommand.info.name != DELETE);
    let action = actions.find(|action| action.subcommand.info.name == name)?;
    let given = action.subcommand.read(words);
    Some(given.map(|given| Flows { action, given }))
}

/// The words of `nexus delete`, if they ask for nodes or values rather than for deployments: `specs` or `values` is its first word
/// that is no option.
pub fn delete(words: &[&str]) -> Option<std::result::Result<Flows, EarlyExit>> {
    let (_, words) = words.split_first().filter(|(first, _)| **first == DELETE)?;
    let action = ACTIONS
        .iter()
        .find(|action| action.subcommand.info.name == DELETE)?;
    match action.subcommand.read(words) {
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
        let namespace = self.value(subcommand::NAMESPACE).unwrap_or(NAMESPACE);
        match name::check("namespace", namespace) {
            Ok(()) => Ok(namespace),
            Err(error) => Err(vec![Error::new(Kind::Usage, error.message)]),
        }
    }

    /// The store as it is asked for.
    pub(super) fn store(&self) -> std::result::Result<FlowStore, Errors> {
        let directory = self.value(STORE).map_or_else(usual_directory, PathBuf::from);
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
        for file in self.values(FILE) {
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
        match self.has(FILE) {
            true => Ok(()),
            false => Err(usage(
                "no file is given",
                &format!("usage: nexus {action} specs|values -f FILE, - for standard input"),
            )),
        }
    }
}
