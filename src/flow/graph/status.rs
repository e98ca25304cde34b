//! What is told of the nodes of a namespace. Changes nothing.

use super::nodes::{Cause, Entry, Graph};
use super::symbol::Symbol;
use crate::error::Error;
use crate::flow::spec::{Port, Spec};
use crate::limits::FLOW_MISSING_SHOWN_MAX;
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
#[derive(Clone)]
pub struct Status {
    /// As it is served, or, if it has failed, as it was written.
    pub spec: Rc<Spec>,
    /// How it stands.
    pub state: State,
    /// Why its last change was refused, if what is served is older.
    pub refused: Option<Rc<Error>>,
    /// The nodes within, if it could be built.
    pub inner: Vec<Rc<Symbol>>,
}

impl Status {
    /// `active`, `waiting(missing X.in)`, `failed(error at file:line)`; `active, change refused: ...`.
    pub fn text(&self) -> String {
        let state = match &self.state {
            State::Active => "active".to_string(),
            State::Waiting(why) => format!("waiting({why})"),
            State::Failed(error) => format!("failed({})", with_hint(error)),
        };
        match &self.refused {
            Some(error) => format!("{state}, change refused: {}", with_hint(error)),
            None => state,
        }
    }

    /// What is to be told of it behind its name, as a line of a log; none if it is active as it was written last.
    pub fn flaw(&self) -> Option<String> {
        let state = match &self.state {
            State::Active => None,
            State::Waiting(why) => Some(format!("waits: {why}")),
            State::Failed(error) => Some(format!("failed: {}", with_hint(error))),
        };
        let refused = self.refused.as_ref();
        let refused = refused.map(|error| format!("keeps its old form: {}", with_hint(error)));
        match (state, refused) {
            (Some(state), Some(refused)) => Some(format!("{state}; {refused}")),
            (state, refused) => state.or(refused),
        }
    }
}

/// An error with where and what to try, on one line.
fn with_hint(error: &Error) -> String {
    match &error.hint {
        Some(hint) => format!("{error} ({hint})"),
        None => error.to_string(),
    }
}

impl Graph {
    /// What a node itself links to and isn't there, as far as it is shown.
    fn missing(&self, symbol: &Symbol) -> Option<String> {
        let is_missing = |(row, port): &&(u32, Port)| match self.symbol(*row) {
            Some(its) => !its.node.has_in(port),
            None => self.entries[*row as usize].refused.is_none(),
        };
        let mut text = String::new();
        let mut more = 0;
        for (place, (row, port)) in symbol.needs.iter().filter(is_missing).enumerate() {
            if place >= FLOW_MISSING_SHOWN_MAX {
                more += 1;
                continue;
            }
            text.push_str(if place == 0 { "missing " } else { ", " });
            text.push_str(&format!("{}.{port}", self.called(*row)));
        }
        if more > 0 {
            text.push_str(&format!(" and {more} more"));
        }
        (!text.is_empty()).then_some(text)
    }

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
                inner: Vec::new(),
            });
        };
        let state = match &entry.cause {
            _ if entry.is_active => State::Active,
            Cause::None => State::Waiting("missing itself".into()),
            Cause::Missing(row, port) => {
                let own = self.missing(symbol);
                State::Waiting(own.unwrap_or_else(|| format!("missing {}.{port}", self.called(*row))))
            }
            Cause::Failed(row) => State::Waiting(format!("{} has failed", self.called(*row))),
        };
        Some(Status {
            spec: symbol.spec.clone(),
            state,
            refused: entry.refused.as_ref().map(|(_, error)| error.clone()),
            inner: symbol.inner.clone(),
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
