//! Which nodes are active: those that could be built, whose commands are served, and all of whose links lead to active ones. Nodes
//! that lead to each other are active together. The work goes with what has changed and what depends on it.

use super::nodes::{Cause, Graph};
use crate::flow::spec::Port;

impl Graph {
    /// Looks again at rows that have changed, and at what depends on them. Returns all rows that were looked at or have
    /// become inactive; one may stand there twice.
    pub(super) fn activate(&mut self, changed: &[u32]) -> Vec<u32> {
        // What may become active: the changed ones, and what waits, directly or not, for one of them.
        let mut looked_at = Vec::new();
        let mut stack = changed.to_vec();
        while let Some(row) = stack.pop() {
            let entry = &mut self.entries[row as usize];
            if entry.is_marked {
                continue;
            }
            entry.is_marked = true;
            looked_at.push(row);
            let dependents = &self.entries[row as usize].dependents;
            let waiting = dependents
                .iter()
                .filter(|its| !self.entries[**its as usize].is_active);
            stack.extend(waiting);
        }
        for row in &looked_at {
            let entry = self.entry(*row);
            entry.is_marked = false;
            entry.is_active = true;
            entry.cause = Cause::None;
        }
        // All of these are taken for active until one is found that can't be: that decides on those that link to it.
        let mut queue = looked_at.clone();
        for row in changed {
            queue.extend_from_slice(&self.entries[*row as usize].dependents);
        }
        while let Some(row) = queue.pop() {
            if !self.entries[row as usize].is_active {
                continue;
            }
            let Some(cause) = self.hindrance(row) else {
                continue;
            };
            let entry = self.entry(row);
            entry.is_active = false;
            entry.cause = cause;
            looked_at.push(row);
            #[cfg(test)]
            if self.planted == Some(crate::flow::simulation::Bug::ForgetDependents) {
                continue;
            }
            queue.extend_from_slice(&self.entries[row as usize].dependents);
        }
        looked_at
    }

    /// Why a node can't be active as things stand.
    fn hindrance(&self, row: u32) -> Option<Cause> {
        let entry = &self.entries[row as usize];
        if let Some(target) = entry.alias {
            return self.hindrance_by(target);
        }
        let Some(symbol) = &entry.symbol else {
            return Some(match entry.refused {
                Some(_) => Cause::Failed(row),
                None => Cause::Missing(row, Port::IN),
            });
        };
        if !entry.unserved.is_empty() {
            return Some(Cause::Unserved(row));
        }
        symbol
            .needs
            .iter()
            .find_map(|(target, port)| match self.symbol(*target) {
                Some(its) if its.node.has_in(port) => self.hindrance_by(*target),
                None if self.entries[*target as usize].refused.is_some() => Some(Cause::Failed(*target)),
                _ => Some(Cause::Missing(*target, port.clone())),
            })
    }

    fn hindrance_by(&self, target: u32) -> Option<Cause> {
        let entry = &self.entries[target as usize];
        (!entry.is_active).then(|| match &entry.cause {
            Cause::None => Cause::Missing(target, Port::IN),
            cause => cause.clone(),
        })
    }
}
