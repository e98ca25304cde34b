//! What is true of an engine whenever it is left alone. Only for tests.

use super::{Engine, TaskId};
use crate::flow::graph::nodes::Table;
use crate::flow::run::frame::Wait;
use crate::flow::run::process::Stage;
use crate::flow::simulation::Bug;
use std::collections::BTreeMap;
use std::rc::Rc;

impl Engine {
    /// Puts a bug in.
    pub(in crate::flow) fn plant(&mut self, bug: Option<Bug>) {
        self.floor.planted = bug;
    }

    /// What the world is asked for now.
    pub(crate) fn tasks(&self) -> Vec<TaskId> {
        self.floor
            .tasks
            .iter()
            .map(|(key, _)| TaskId(key.raw()))
            .collect()
    }

    /// The table of a namespace.
    pub(in crate::flow) fn table(&self, namespace: &str) -> Option<Rc<Table>> {
        let key = self.names.get(namespace)?;
        self.namespaces.get(*key).map(|its| its.graph.table().clone())
    }

    /// Panics if something isn't as it has to be.
    pub(crate) fn check(&self) {
        let mut frames = 0;
        let (mut sleeps, mut deadlines, mut tasks, mut held) = (0, 0, 0, 0);
        let mut packets = BTreeMap::new();
        let mut runs = BTreeMap::new();
        for (key, process) in self.runs.iter() {
            *runs.entry(process.namespace.raw()).or_insert(0) += 1;
            frames += process.frames.len();
            deadlines += usize::from(process.deadline.is_some());
            tasks += usize::from(matches!(process.stage, Stage::Ending(_)));
            let (mut moving, mut waiting, mut held_here) = (0, 0, 0);
            for (_, frame) in process.frames.iter() {
                let count = packets
                    .entry(Rc::as_ptr(&frame.symbol))
                    .or_insert((0, &frame.symbol));
                count.0 += 1;
                match frame.wait {
                    Wait::Turn { .. } | Wait::Event(_) => moving += 1,
                    Wait::Task(_) => {
                        moving += 1;
                        tasks += 1;
                    }
                    Wait::Sleep(_) => {
                        moving += 1;
                        sleeps += 1;
                    }
                    Wait::Debugger(_) => {
                        moving += 1;
                        held_here += 1;
                    }
                    Wait::Inputs(_) => waiting += 1,
                    Wait::Join(_) | Wait::Carrier => {}
                    Wait::Nothing => panic!("a frame of {key:?} waits for nothing"),
                }
            }
            held += held_here as usize;
            assert_eq!(process.moving, moving, "frames of {key:?} that move");
            assert_eq!(process.held, held_here);
            assert_eq!(process.waiting.len(), waiting);
            let is_going = matches!(process.stage, Stage::Going);
            assert_eq!(is_going, moving > 0, "{key:?} goes on as long as something moves");
            assert!(is_going || process.frames.is_empty());
            assert!(process.outcome.is_none());
            for child in &process.children {
                let child = self.runs.get(*child).expect("a run's own are not over");
                assert_eq!(child.parent, Some(key));
                let is_failed = process
                    .trace
                    .ended
                    .as_ref()
                    .is_some_and(|(_, error)| error.is_some());
                assert!(
                    !is_failed || !matches!(child.stage, Stage::Going),
                    "what belongs to {key:?} goes on after its failure"
                );
            }
            if let Some(parent) = process.parent {
                let parent = self.runs.get(parent).expect("a run ends after its own");
                assert!(parent.children.contains(&key));
            }
        }
        assert_eq!(self.floor.frames, frames);
        assert_eq!(self.floor.tasks.len(), tasks);
        assert_eq!(self.floor.breakpoints.held.len(), held);
        assert!(self.doomed.is_empty() && self.floor.births.is_empty());
        let sources = self.sources.iter().filter(|(_, its)| its.due.is_some()).count();
        assert_eq!(self.floor.timers.len(), sleeps + deadlines + sources, "timers");
        for (count, symbol) in packets.values() {
            assert_eq!(symbol.packets.get(), *count, "packets of {}", symbol.name);
        }
        for (key, namespace) in self.namespaces.iter() {
            assert_eq!(namespace.runs, runs.get(&key.raw()).copied().unwrap_or(0));
            assert!(namespace.runs > 0 || !namespace.graph.is_empty());
            for row in namespace.graph.table().rows.iter().flatten() {
                let count = packets.get(&Rc::as_ptr(&row.symbol)).map_or(0, |its| its.0);
                assert_eq!(row.symbol.packets.get(), count, "packets of {}", row.symbol.name);
                for (needed, port) in &row.symbol.needs {
                    let needed = namespace.graph.table().row(*needed);
                    let needed = needed.expect("an active node needs active ones");
                    assert!(needed.symbol.node.has_in(port));
                }
            }
        }
    }
}
