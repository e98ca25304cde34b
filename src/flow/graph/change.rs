//! Changes of a namespace: each is built, what can't be built is refused, then the table is another at once.

use super::nodes::{Graph, Row};
use super::order::inner_first;
use super::symbol::{Symbol, at};
use crate::error::{Error, Kind};
use crate::flow::kinds::node::{Known, Service};
use crate::flow::spec::Spec;
use crate::limits::FLOW_NODES_MAX;
use std::rc::Rc;

/// One change of a node of a namespace.
#[derive(Clone, Debug)]
pub enum Change {
    /// It is there, or is another: its spec, templates resolved.
    Set(Rc<Spec>),
    /// It is written wrong, or its templates can't be resolved: the one before goes on.
    Refuse {
        /// The spec as far as it is known: at least its name.
        spec: Rc<Spec>,
        /// Why.
        error: Rc<Error>,
    },
    /// It is gone.
    Remove(Rc<str>),
}

impl Change {
    /// The name of the node.
    pub fn name(&self) -> &Rc<str> {
        match self {
            Change::Set(spec) | Change::Refuse { spec, .. } => &spec.name,
            Change::Remove(name) => name,
        }
    }
}

/// Services and the nodes that they belong to.
pub type Services = Vec<(Rc<str>, Service)>;

/// What follows from changes, in order.
#[derive(Default)]
pub struct Swap {
    /// Nodes that are no longer active, or are others now: outer ones first.
    pub unloaded: Vec<Rc<Symbol>>,
    /// Nodes that are active now: inner ones first.
    pub loaded: Vec<Rc<Symbol>>,
}

impl Swap {
    /// What is to be closed, then what is to be opened. What stays as it is isn't touched.
    pub fn services(&self) -> (Services, Services) {
        let service = |symbol: &Rc<Symbol>| Some((symbol.name.clone(), symbol.node.service()?));
        let mut opened: Services = self.loaded.iter().filter_map(service).collect();
        let mut closed: Services = self.unloaded.iter().filter_map(service).collect();
        // A node whose links alone are others keeps its socket.
        closed.retain(|old| match opened.iter().position(|new| new == old) {
            Some(place) => {
                opened.remove(place);
                false
            }
            None => true,
        });
        (closed, opened)
    }
}

impl Graph {
    /// Takes changes, all at once.
    pub fn change(&mut self, changes: Vec<Change>, known: &Known) -> Swap {
        for change in changes {
            match change {
                Change::Set(spec) => self.set(spec, known),
                Change::Refuse { spec, error } => {
                    let row = self.row(&spec.name);
                    self.refuse(spec, error);
                    self.entry(row).is_barred = true;
                }
                Change::Remove(name) => self.remove(&name),
            }
        }
        self.settle()
    }

    /// Served commands have come or gone: tries again to build what could not be, and looks again at what calls some.
    pub fn recall(&mut self, known: &Known) -> Swap {
        let resolved = self.entries.iter().filter(|entry| !entry.is_barred);
        let refused = resolved.filter_map(|entry| entry.refused.as_ref());
        let unknown = refused.filter(|(_, error)| error.kind == Kind::NotFound);
        for spec in unknown.map(|(spec, _)| spec.clone()).collect::<Vec<_>>() {
            self.set(spec, known);
        }
        for (row, entry) in self.entries.iter_mut().enumerate() {
            let symbol = entry.symbol.iter().find(|symbol| !symbol.commands.is_empty());
            if let Some(symbol) = symbol {
                let unserved = unserved(symbol, known);
                #[cfg(test)]
                if self.planted == Some(crate::flow::simulation::Bug::KeepCallers) && !unserved.is_empty() {
                    continue;
                }
                if unserved != entry.unserved {
                    entry.unserved = unserved;
                    self.dirty.push(row as u32);
                }
            }
        }
        self.settle()
    }

    fn is_written(&self, row: u32) -> bool {
        let entry = &self.entries[row as usize];
        entry.symbol.is_some() || entry.refused.is_some()
    }

    fn set(&mut self, spec: Rc<Spec>, known: &Known) {
        let row = self.row(&spec.name);
        let was = self.is_written(row);
        self.entry(row).is_barred = false;
        if let Some(symbol) = &self.entry(row).symbol
            && is_same(&symbol.spec, &spec)
        {
            self.entry(row).refused = None;
            return;
        }
        match self.build(row, &spec, was, known) {
            Err(error) => self.refuse(spec.clone(), Rc::from(at(error, &spec))),
            Ok(symbol) => {
                let old = self
                    .entry(row)
                    .symbol
                    .as_ref()
                    .and_then(|old| old.spec.id.clone());
                if old != spec.id {
                    for (id, row) in [(old, None), (spec.id.clone(), Some(row))] {
                        if let Some(id) = id {
                            self.alias(&id, row);
                        }
                    }
                }
                self.entry(row).refused = None;
                self.entry(row).unserved = unserved(&symbol, known);
                self.place(row, Some(Rc::new(symbol)));
                self.note_written(was, true);
            }
        }
    }

    fn build(&mut self, row: u32, spec: &Rc<Spec>, was: bool, known: &Known) -> crate::error::Result<Symbol> {
        if !was && self.len() >= FLOW_NODES_MAX {
            let message =
                format!("the namespace has {FLOW_NODES_MAX} nodes already, more than that can't be");
            return Err(Error::new(Kind::Overloaded, message));
        }
        if let Some(id) = &spec.id {
            let alias = self.row(&format!("#{id}"));
            self.dirty.push(alias);
            if let Some(other) = self.entry(alias).alias.filter(|other| *other != row) {
                let other = self.entry(other).key.clone();
                let message = format!("id '{id}' is that of node '{other}' already");
                return Err(Error::new(Kind::Conflict, message));
            }
        }
        let mut rows = Vec::new();
        let built = Symbol::build(spec, known, &mut |target| {
            let row = self.row_of(target);
            rows.push(row);
            row
        });
        if built.is_err() {
            self.dirty.extend(rows);
        }
        built
    }

    fn refuse(&mut self, spec: Rc<Spec>, error: Rc<Error>) {
        let row = self.row(&spec.name);
        let was = self.is_written(row);
        self.entry(row).refused = Some((spec, error));
        self.note_written(was, true);
        self.dirty.push(row);
    }

    fn remove(&mut self, name: &str) {
        let Some(row) = self.find(name) else { return };
        let was = self.is_written(row);
        if let Some(id) = self
            .entry(row)
            .symbol
            .as_ref()
            .and_then(|old| old.spec.id.clone())
        {
            self.alias(&id, None);
        }
        self.entry(row).refused = None;
        self.entry(row).unserved.clear();
        self.place(row, None);
        self.note_written(was, false);
    }

    /// Decides what is active and puts it into the table.
    fn settle(&mut self) -> Swap {
        let mut changed = std::mem::take(&mut self.dirty);
        let aliased = changed.iter().filter_map(|row| self.entries[*row as usize].alias);
        let aliased: Vec<u32> = aliased.collect();
        changed.extend(aliased);
        changed.sort_unstable();
        changed.dedup();
        let mut touched = self.activate(&changed);
        touched.sort_unstable();
        touched.dedup();
        let (unloaded, loaded) = self.differences(&touched);
        let swap = Swap {
            unloaded: self.old_symbols(&unloaded),
            loaded: self.new_symbols(&loaded),
        };
        let readers = |symbols: &[Rc<Symbol>]| symbols.iter().filter(|its| reads_trace(its)).count();
        self.trace_readers = self.trace_readers + readers(&swap.loaded) - readers(&swap.unloaded);
        self.write_table(&touched);
        self.sweep(&touched);
        swap
    }

    /// Rows whose old node is to be unloaded, and those whose new one is to be loaded.
    fn differences(&self, touched: &[u32]) -> (Vec<u32>, Vec<u32>) {
        let (mut unloaded, mut loaded) = (Vec::new(), Vec::new());
        for row in touched {
            let entry = &self.entries[*row as usize];
            if entry.alias.is_some() {
                continue;
            }
            let old = self.table.row(*row).filter(|old| old.own == *row);
            let old = old.map(|old| &old.symbol);
            let new = entry.symbol.as_ref().filter(|_| entry.is_active);
            let is_same = matches!((old, new), (Some(old), Some(new)) if Rc::ptr_eq(old, new));
            if !is_same {
                unloaded.extend(old.map(|_| *row));
                loaded.extend(new.map(|_| *row));
            }
        }
        (unloaded, loaded)
    }

    fn old_symbols(&self, rows: &[u32]) -> Vec<Rc<Symbol>> {
        let needs = |row| {
            let symbol = self.table.row(row).map(|row| &row.symbol);
            let needs = symbol.into_iter().flat_map(|symbol| &symbol.needs);
            let own = |(row, _): &_| self.table.row(*row).map(|row| row.own);
            needs.filter_map(own).collect()
        };
        let mut order = inner_first(rows, &needs);
        order.reverse();
        let symbols = order.into_iter().filter_map(|row| self.table.row(row));
        symbols.map(|row| row.symbol.clone()).collect()
    }

    fn new_symbols(&self, rows: &[u32]) -> Vec<Rc<Symbol>> {
        let needs = |row: u32| {
            let symbol = self.entries[row as usize].symbol.as_ref();
            let needs = symbol.into_iter().flat_map(|symbol| &symbol.needs);
            let own = |(row, _): &(u32, _)| self.entries[*row as usize].alias.unwrap_or(*row);
            needs.map(own).collect()
        };
        #[cfg_attr(not(test), expect(unused_mut))]
        let mut order = inner_first(rows, &needs);
        #[cfg(test)]
        if self.planted == Some(crate::flow::simulation::Bug::OuterFirst) {
            order.reverse();
        }
        let symbols = order
            .into_iter()
            .filter_map(|row| self.entries[row as usize].symbol.clone());
        symbols.collect()
    }

    fn write_table(&mut self, touched: &[u32]) {
        let mut rows: Vec<(u32, Option<Row>)> = Vec::with_capacity(touched.len());
        for row in touched {
            let entry = &self.entries[*row as usize];
            let own = entry.alias.unwrap_or(*row);
            let symbol = self.symbol(*row).filter(|_| entry.is_active).cloned();
            rows.push((
                *row,
                symbol.map(|symbol| Row {
                    symbol,
                    inputs: self.inputs(own),
                    own,
                }),
            ));
        }
        let size = self.entries.len();
        // Runs that go on keep the old one: it is copied only if there are some.
        let table = Rc::make_mut(&mut self.table);
        table.rows.resize(size, None);
        for (row, new) in rows {
            table.rows[row as usize] = new;
        }
    }
}

fn is_same(a: &Rc<Spec>, b: &Rc<Spec>) -> bool {
    Rc::ptr_eq(a, b)
        || a.revision == b.revision
            && (&a.id, &a.kind, &a.place) == (&b.id, &b.kind, &b.place)
            && a.ports == b.ports
            && a.annotations == b.annotations
            && a.fields == b.fields
}

/// What is missing of the commands that a node calls.
fn unserved(symbol: &Symbol, known: &Known) -> Vec<Rc<str>> {
    let commands = symbol.commands.iter();
    let missing = commands.filter_map(|(program, command)| (known.missing)(program, command));
    missing.collect()
}

fn reads_trace(symbol: &Symbol) -> bool {
    symbol.node.reads_trace() || symbol.inner.iter().any(|inner| inner.node.reads_trace())
}
