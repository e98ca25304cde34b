//! What is told of the nodes of a namespace. Changes nothing.

use super::nodes::{Cause, Entry, Graph};
use crate::error::Error;
use crate::flow::spec::Spec;
use std::rc::Rc;

/// How a node stands.
#[derive(Clone, Debug, PartialEq)]
pub enum State {
    /// It is in the table on which runs begin.
    Active,
    /// It could be built, but a link leads nowhere, directly or further on: what is missing.
    Waiting(String),
    /// It could not be built.
    Failed(Rc<Error>),
}

/// A node and how it stands.
#[derive(Clone, Debug)]
pub struct Status {
    /// As it is served, or, if it has failed, as it was written.
    pub spec: Rc<Spec>,
    /// How it stands.
    pub state: State,
    /// Why its last change was refused, if what is served is older.
    pub refused: Option<Rc<Error>>,
}

impl Status {
    /// `active`, `waiting(missing X.in)`, `failed(error at file:line)`; `active, change refused: ...`.
    pub fn text(&self) -> String {
        let state = match &self.state {
            State::Active => "active".to_string(),
            State::Waiting(why) => format!("waiting({why})"),
            State::Failed(error) => format!("failed({error})"),
        };
        match &self.refused {
            Some(error) => format!("{state}, change refused: {error}"),
            None => state,
        }
    }
}

impl Graph {
    /// All nodes in the order of their names.
    pub fn statuses(&self) -> Vec<Status> {
        let mut entries: Vec<&Entry> = self
            .entries
            .iter()
            .filter(|entry| entry.alias.is_none())
            .collect();
        entries.sort_unstable_by(|a, b| a.key.cmp(&b.key));
        entries
            .into_iter()
            .filter_map(|entry| self.status_of(entry))
            .collect()
    }

    /// One node.
    pub fn status(&self, name: &str) -> Option<Status> {
        self.status_of(&self.entries[self.find(name)? as usize])
    }

    fn status_of(&self, entry: &Entry) -> Option<Status> {
        let Some(symbol) = &entry.symbol else {
            let (spec, error) = entry.refused.as_ref()?;
            return Some(Status {
                spec: spec.clone(),
                state: State::Failed(error.clone()),
                refused: None,
            });
        };
        let state = match &entry.cause {
            _ if entry.is_active => State::Active,
            Cause::None => State::Waiting("missing itself".into()),
            Cause::Missing(row, port) => State::Waiting(format!("missing {}.{port}", self.called(*row))),
            Cause::Failed(row) => State::Waiting(format!("{} has failed", self.called(*row))),
        };
        Some(Status {
            spec: symbol.spec.clone(),
            state,
            refused: entry.refused.as_ref().map(|(_, error)| error.clone()),
        })
    }

    fn called(&self, row: u32) -> String {
        let key = &self.entries[row as usize].key;
        match key.strip_prefix('#') {
            Some(id) => format!("id {id}"),
            None => key.to_string(),
        }
    }
}
