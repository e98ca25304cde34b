//! The namespaces of an engine: their nodes, and the sources that the engine is itself. Runs nothing.

use super::{Effect, Engine};
use crate::core::deadlines::Due;
use crate::core::slab::Key;
use crate::error::{Error, Kind, Result};
use crate::flow::graph::change::Swap;
use crate::flow::graph::nodes::Graph;
use crate::flow::kinds::node::Service;
use crate::flow::run::floor::Timer;
use crate::flow::run::process::ProcessKey;
use crate::limits::FLOW_NAMESPACES_MAX;
use std::rc::Rc;

/// A namespace.
pub struct Namespace {
    pub name: Rc<str>,
    pub graph: Graph,
    /// Runs that are not over.
    pub runs: usize,
}

/// A node that begins runs regularly.
pub struct Source {
    pub namespace: Key<Namespace>,
    pub node: Rc<str>,
    pub interval_ms: u64,
    pub due: Due,
    /// The run that it began last.
    pub last: Option<ProcessKey>,
}

impl Engine {
    /// The namespace of a name, which is made if there is none.
    pub(super) fn namespace(&mut self, name: &str) -> Result<Key<Namespace>> {
        if let Some(key) = self.names.get(name) {
            return Ok(*key);
        }
        if self.names.len() >= FLOW_NAMESPACES_MAX {
            let message =
                format!("there are {FLOW_NAMESPACES_MAX} namespaces already, more than that can't be");
            return Err(Error::new(Kind::Overloaded, message));
        }
        let name: Rc<str> = name.into();
        let key = self.namespaces.insert(Namespace {
            name: name.clone(),
            graph: Graph::default(),
            runs: 0,
        });
        #[cfg(test)]
        if let Some(namespace) = self.namespaces.get_mut(key) {
            namespace.graph.planted = self.floor.planted;
        }
        self.names.insert(name, key);
        Ok(key)
    }

    /// Closes and opens what follows from a change.
    pub(super) fn swapped(&mut self, key: Key<Namespace>, swap: Swap, now_ms: u64) {
        let Some(namespace) = self.namespaces.get(key) else {
            return;
        };
        let namespace = namespace.name.clone();
        #[cfg(test)]
        self.hooks.push(&namespace, &swap);
        let (closed, opened) = swap.services();
        for (node, service) in closed {
            match service {
                Service::Timer { .. } => self.stop_source(key, &node),
                _ => self.floor.effects.push_back(Effect::Close {
                    namespace: namespace.clone(),
                    node,
                }),
            }
        }
        for (node, service) in opened {
            match service {
                Service::Timer { interval_ms } => self.start_source(key, node, interval_ms, now_ms),
                service => self.floor.effects.push_back(Effect::Open {
                    namespace: namespace.clone(),
                    node,
                    service,
                }),
            }
        }
        self.drop_unused(key);
    }

    /// Forgets a namespace that has neither nodes nor runs.
    pub(super) fn drop_unused(&mut self, key: Key<Namespace>) {
        let is_unused = |its: &Namespace| its.graph.is_empty() && its.runs == 0;
        if self.namespaces.get(key).is_some_and(is_unused)
            && let Some(namespace) = self.namespaces.remove(key)
        {
            self.names.remove(&*namespace.name);
        }
    }

    fn start_source(&mut self, namespace: Key<Namespace>, node: Rc<str>, interval_ms: u64, now_ms: u64) {
        let source = self.sources.insert(Source {
            namespace,
            node,
            interval_ms: interval_ms.max(1),
            due: None,
            last: None,
        });
        self.set_source(source, now_ms);
    }

    /// Sets the next time of a source.
    pub(super) fn set_source(&mut self, key: Key<Source>, now_ms: u64) {
        if let Some(source) = self.sources.get_mut(key) {
            let at_ms = now_ms.saturating_add(source.interval_ms);
            let timer = Timer::Source(key.raw());
            self.floor.timers.set(timer, &mut source.due, Some(at_ms));
        }
    }

    fn stop_source(&mut self, namespace: Key<Namespace>, node: &str) {
        let is_it = |source: &Source| source.namespace == namespace && *source.node == *node;
        let found = self
            .sources
            .iter()
            .find(|(_, source)| is_it(source))
            .map(|(key, _)| key);
        if let Some(key) = found
            && let Some(mut source) = self.sources.remove(key)
        {
            let timer = Timer::Source(key.raw());
            self.floor.timers.set(timer, &mut source.due, None);
        }
    }
}
