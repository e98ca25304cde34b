//! What the log is told of how nodes stand: each change once. Decides nothing.
//!
//! Nodes that are active as they were written are only counted, when a namespace is first there.

use super::super::{Effect, Server};
use crate::flow::graph::status::{State, Status};
use crate::map::Map;
use std::rc::Rc;

/// What was told last.
#[derive(Default)]
pub(super) struct Standings {
    /// Namespaces that may stand differently since.
    changed: Vec<Rc<str>>,
    /// Of each namespace the nodes with flaws, in the order of their names.
    told: Map<Rc<str>, Vec<(Rc<str>, String)>>,
}

impl Standings {
    /// Nodes of a namespace may stand differently.
    pub(super) fn touch(&mut self, namespace: &Rc<str>) {
        if !self.changed.contains(namespace) {
            self.changed.push(namespace.clone());
        }
    }
}

impl Server {
    /// Tells what is different, once all commands are known that nodes may call from the start.
    pub(super) fn tell_standings(&mut self) {
        if self.flows.standings.changed.is_empty() || !self.deployments.is_ready() {
            return;
        }
        for namespace in std::mem::take(&mut self.flows.standings.changed) {
            let statuses = self.flows.engine.status(&namespace);
            let known = self.flows.standings.told.remove(&*namespace);
            if known.is_none() && statuses.is_empty() {
                continue;
            }
            let is_first = known.is_none() && !self.flows.supply.is_without_sources;
            let known = known.unwrap_or_default();
            let secrets = self.flows.supply.secrets(&namespace);
            let mut lines = Vec::new();
            if is_first {
                lines.push(counted(&namespace, &statuses));
            }
            let mut told = Vec::new();
            for status in &statuses {
                let name = &status.spec.name;
                let before = known.binary_search_by(|(its, _)| its.cmp(name)).ok();
                let before = before.and_then(|place| known.get(place));
                match status.flaw() {
                    Some(flaw) => {
                        let flaw = secrets.mask(&flaw).into_owned();
                        if before.is_none_or(|(_, before)| *before != flaw) {
                            lines.push(format!("{namespace}/{name} {flaw}"));
                        }
                        told.push((name.clone(), flaw));
                    }
                    None if before.is_some() => lines.push(format!("{namespace}/{name} is active again")),
                    None => {}
                }
            }
            self.effects.extend(lines.into_iter().map(Effect::Log));
            self.flows.standings.told.insert(namespace, told);
        }
    }
}

/// How many nodes there are, and how they stand.
fn counted(namespace: &str, statuses: &[Status]) -> String {
    let mut counts = [("active", 0), ("waiting", 0), ("failed", 0)];
    for status in statuses {
        let place = match status.state {
            State::Active => 0,
            State::Waiting(_) => 1,
            State::Failed(_) => 2,
        };
        counts[place].1 += 1;
    }
    let mut line = format!("{namespace}: {} nodes", statuses.len());
    for (state, count) in counts {
        if count > 0 {
            line.push_str(&format!(", {count} {state}"));
        }
    }
    line
}
