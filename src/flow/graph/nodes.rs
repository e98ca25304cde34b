//! The nodes of a namespace: what was written, what of it could be built, and the table that new runs begin on. Says nothing
//! of when a node is active: see `activation.rs`.

use super::symbol::{Symbol, input_count};
use crate::error::Error;
use crate::flow::spec::{Port, Spec, Target};
use crate::map::Names;
use std::rc::Rc;

/// A node of the table that runs see.
#[derive(Clone)]
pub struct Row {
    /// The node.
    pub symbol: Rc<Symbol>,
    /// How many inputs are linked, if it has several.
    pub inputs: u32,
    /// The row of its name, where this one is of its id.
    pub own: u32,
}

/// The active nodes by their rows. A run keeps that on which it began.
#[derive(Clone, Default)]
pub struct Table {
    /// None where a node is not active, or gone.
    pub rows: Vec<Option<Row>>,
}

impl Table {
    /// An active node.
    pub fn row(&self, row: u32) -> Option<&Row> {
        self.rows.get(row as usize)?.as_ref()
    }
}

/// Why a node is not active.
#[derive(Clone, Debug, PartialEq)]
pub enum Cause {
    /// It was not looked at, or is active.
    None,
    /// This doesn't exist, or has no such port.
    Missing(u32, Port),
    /// This could not be built.
    Failed(u32),
    /// A command that this calls is not served.
    Unserved(u32),
}

/// What is known under a name or an id.
pub(super) struct Entry {
    /// The name; of an id a `#` and the id.
    pub key: Rc<str>,
    /// What was written last, and why it isn't what is served, if so.
    pub refused: Option<(Rc<Spec>, Rc<Error>)>,
    /// Whether nothing may be built of what was refused: it has templates that nothing replaces, or code that can't be compiled.
    pub is_barred: bool,
    /// The node as it could be built last.
    pub symbol: Option<Rc<Symbol>>,
    /// What is missing of the commands that the node calls, in words.
    pub unserved: Vec<Rc<str>>,
    /// Of an id: the row of the node.
    pub alias: Option<u32>,
    pub is_active: bool,
    pub cause: Cause,
    /// Whether it is among those that are looked at.
    pub is_marked: bool,
    /// Rows that link here, each once.
    pub dependents: Vec<u32>,
}

/// The nodes of a namespace.
#[derive(Default)]
pub struct Graph {
    names: Names,
    pub(super) entries: Vec<Entry>,
    free: Vec<u32>,
    /// Those of which more is kept than that others link to them.
    count: usize,
    pub(super) table: Rc<Table>,
    /// Nodes in it that look at traces.
    pub(super) trace_readers: usize,
    /// Rows that were changed and have to be looked at.
    pub(super) dirty: Vec<u32>,
    #[cfg(test)]
    pub(in crate::flow) planted: Option<crate::flow::simulation::Bug>,
}

impl Graph {
    /// The table of the active nodes.
    pub fn table(&self) -> &Rc<Table> {
        &self.table
    }

    /// The row of a node by its name.
    pub fn find(&self, name: &str) -> Option<u32> {
        self.names.get(name).copied()
    }

    /// How many nodes there are, those that failed included.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Whether an active node looks at what others were sent.
    pub fn reads_trace(&self) -> bool {
        self.trace_readers > 0
    }

    /// The row of a name or id, made if there is none.
    pub(super) fn row_of(&mut self, target: &Target) -> u32 {
        match target {
            Target::Name(name) => self.row(name),
            Target::Id(id) => self.row(&format!("#{id}")),
        }
    }

    pub(super) fn row(&mut self, key: &str) -> u32 {
        if let Some(row) = self.names.get(key) {
            return *row;
        }
        let entry = Entry {
            key: key.into(),
            refused: None,
            is_barred: false,
            symbol: None,
            unserved: Vec::new(),
            alias: None,
            is_active: false,
            cause: Cause::None,
            is_marked: false,
            dependents: Vec::new(),
        };
        let row = match self.free.pop() {
            Some(row) => {
                self.entries[row as usize] = entry;
                row
            }
            None => {
                self.entries.push(entry);
                self.entries.len() as u32 - 1
            }
        };
        self.names.insert(key.into(), row);
        row
    }

    pub(super) fn entry(&mut self, row: u32) -> &mut Entry {
        &mut self.entries[row as usize]
    }

    /// Puts a node in the place of another, or of none; who depends on what is written down.
    pub(super) fn place(&mut self, row: u32, symbol: Option<Rc<Symbol>>) {
        let old = std::mem::replace(&mut self.entry(row).symbol, symbol.clone());
        let needed = |symbol: &Option<Rc<Symbol>>| -> Vec<u32> {
            let needs = symbol.iter().flat_map(|symbol| &symbol.needs);
            let mut rows: Vec<u32> = needs.map(|(row, _)| *row).collect();
            rows.dedup();
            rows
        };
        let (before, after) = (needed(&old), needed(&symbol));
        for target in &after {
            if before.binary_search(target).is_err() {
                self.entry(*target).dependents.push(row);
            }
        }
        for target in &before {
            if after.binary_search(target).is_err() {
                self.forget_dependent(*target, row);
            }
        }
        // Their inputs may be others now.
        for target in before.iter().chain(&after) {
            if self.has_inputs(*target) {
                self.dirty.push(*target);
            }
        }
        self.dirty.push(row);
    }

    fn forget_dependent(&mut self, target: u32, row: u32) {
        let dependents = &mut self.entry(target).dependents;
        if let Some(place) = dependents.iter().position(|its| *its == row) {
            dependents.swap_remove(place);
        }
        self.dirty.push(target);
    }

    /// Makes an id mean a row, or nothing.
    pub(super) fn alias(&mut self, id: &str, row: Option<u32>) {
        let alias = self.row(&format!("#{id}"));
        let old = std::mem::replace(&mut self.entry(alias).alias, row);
        if let Some(old) = old {
            self.forget_dependent(old, alias);
        }
        if let Some(row) = row {
            self.entry(row).dependents.push(alias);
        }
        self.dirty.push(alias);
    }

    /// Says that a node is or isn't written, for the count of them.
    pub(super) fn note_written(&mut self, was: bool, is: bool) {
        self.count = self.count + usize::from(is) - usize::from(was);
    }

    /// Forgets names that stand for nothing any more.
    pub(super) fn sweep(&mut self, rows: &[u32]) {
        for row in rows {
            let entry = &self.entries[*row as usize];
            let is_used = entry.symbol.is_some()
                || entry.refused.is_some()
                || entry.alias.is_some()
                || !entry.dependents.is_empty();
            if !is_used && self.names.remove(&*entry.key).is_some() {
                self.entry(*row).key = "".into();
                self.free.push(*row);
            }
        }
    }

    /// The node that a row stands for, itself or by its id.
    pub fn symbol(&self, row: u32) -> Option<&Rc<Symbol>> {
        let entry = &self.entries[row as usize];
        match entry.alias {
            Some(row) => self.entries[row as usize].symbol.as_ref(),
            None => entry.symbol.as_ref(),
        }
    }

    pub(super) fn has_inputs(&self, row: u32) -> bool {
        self.symbol(row)
            .is_some_and(|symbol| symbol.node.has_in(&Port::input(0)))
    }

    /// How many inputs of a node are linked, if it has several.
    pub(super) fn inputs(&self, row: u32) -> u32 {
        if !self.has_inputs(row) {
            return 0;
        }
        let mut most = 0;
        let mut count = |target: u32, dependents: &[u32]| {
            for dependent in dependents {
                let Some(symbol) = &self.entries[*dependent as usize].symbol else {
                    continue;
                };
                let ports = symbol.needs.iter().filter(|(row, _)| *row == target);
                most = ports.map(|(_, port)| input_count(port)).fold(most, u32::max);
            }
        };
        let dependents = &self.entries[row as usize].dependents;
        count(row, dependents);
        for alias in dependents {
            if self.entries[*alias as usize].alias == Some(row) {
                count(*alias, &self.entries[*alias as usize].dependents);
            }
        }
        most
    }
}
