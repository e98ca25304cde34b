//! How the nodes of a store would stand if they were served. Serves nothing.

use super::start::usual_directory;
use crate::error::{Error, Kind, Result};
use crate::flow::engine::Engine;
use crate::flow::kinds::node::{Known, missing_command};
use crate::flow::store::{Change, Plan};
use crate::flow::supply::Supply;
use crate::shell::flow_store::FlowStore;
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// What is in a store, built as a server would.
pub(super) struct Stored {
    /// The nodes.
    pub(super) engine: Engine,
    /// What was read of them.
    pub(super) supply: Supply,
}

impl Stored {
    /// Of a store by its name, or the usual one; no command of a program is known.
    pub(super) fn named(directory: Option<&str>, namespace: Option<&str>) -> Result<Stored> {
        let directory = directory.map_or_else(usual_directory, PathBuf::from);
        if !directory.is_dir() {
            let message = format!("no server runs, and there is no store {}", directory.display());
            return Err(Error::new(Kind::NotFound, message).hint("name one by --store DIR"));
        }
        let known = Known {
            is_command: &|_| false,
            missing: &|program, command| Some(missing_command(program, command)),
        };
        Stored::read(&directory, namespace, &known)
    }

    fn read(directory: &Path, namespace: Option<&str>, known: &Known) -> Result<Stored> {
        let mut stored = Stored {
            engine: Engine::new(),
            supply: Supply::default(),
        };
        for change in FlowStore::new(directory, namespace).changes()? {
            stored.take(change, known)?;
        }
        Ok(stored)
    }

    fn take(&mut self, change: Change, known: &Known) -> Result<()> {
        let of = change.namespace.clone();
        let changes = self.supply.take(change);
        self.engine.handle_change(&of, changes, known, 0)
    }

    /// The namespaces, in order.
    pub(super) fn namespaces(&self) -> Vec<Rc<str>> {
        self.supply.namespaces().cloned().collect()
    }
}

/// What is wrong with the nodes of a namespace after a plan was carried out, or if it were: a line for each. Commands that a server
/// may have are taken for served.
pub(super) fn flaws(directory: &Path, namespace: &str, planned: Option<&Plan>) -> Result<Vec<String>> {
    let known = Known {
        is_command: &|_| false,
        missing: &|_, _| None,
    };
    let mut stored = Stored::read(directory, Some(namespace), &known)?;
    if let Some(plan) = planned {
        let mut change = Change {
            namespace: namespace.into(),
            upserts: Vec::new(),
            removals: Vec::new(),
            errors: Vec::new(),
        };
        for step in &plan.steps {
            match (&step.after, &step.before) {
                (Some(after), _) => change.upserts.push(after.clone()),
                (None, Some(before)) => change.removals.push((before.sort(), before.name().clone())),
                (None, None) => {}
            }
        }
        stored.take(change, &known)?;
    }
    let secrets = stored.supply.secrets(namespace);
    let statuses = stored.engine.status(namespace).into_iter();
    let lines = statuses.filter_map(|status| {
        let line = format!("{} {}", status.spec.name, status.flaw()?);
        Some(secrets.mask(&line).into_owned())
    });
    Ok(lines.collect())
}
