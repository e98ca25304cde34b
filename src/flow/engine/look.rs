//! What people see of an engine, and how they hold it: status, runs, traces, breakpoints. Prints nothing.

use super::{Breakpoint, Engine, FrameId, Held, RunId};
use crate::core::slab::Key;
use crate::error::Result;
use crate::flow::graph::nodes::Graph;
use crate::flow::graph::status::Status;
use crate::flow::graph::symbol::Symbol;
use crate::flow::run::frame::Wait;
use crate::flow::run::process::{Process, Stage};
use crate::flow::run::trace::Trace;
use crate::flow::spec::{Port, Spec};
use std::rc::Rc;

/// Ports that kinds of nodes have.
const USUAL_PORTS: [Port; 7] = [
    Port::IN,
    Port::input(0),
    Port::input(1),
    Port::OUT,
    Port::out(0),
    Port::out(1),
    Port::ERROR,
];

/// A run as it is told of.
#[derive(Clone, Debug)]
pub struct ProcessStatus {
    /// The run.
    pub run: RunId,
    /// That to which it belongs.
    pub parent: Option<RunId>,
    /// The node that it began at.
    pub node: Rc<str>,
    /// When, in milliseconds of the engine's clock.
    pub began_ms: u64,
    /// Packets that are not answered.
    pub frames: usize,
    /// Those of them that are held at breakpoints.
    pub held: usize,
    /// Whether it is answered, and waits for runs of its own or its transaction.
    pub is_answered: bool,
}

impl Engine {
    /// The namespaces that have nodes or runs, in order.
    pub fn namespaces(&self) -> impl Iterator<Item = &Rc<str>> {
        self.names.keys()
    }

    fn graph(&self, namespace: &str) -> Option<&Graph> {
        let key = self.names.get(namespace)?;
        self.namespaces.get(*key).map(|its| &its.graph)
    }

    /// All nodes of a namespace with how they stand, in the order of their names.
    pub fn status(&self, namespace: &str) -> Vec<Status> {
        self.graph(namespace).map_or_else(Vec::new, Graph::statuses)
    }

    /// One node.
    pub fn node_status(&self, namespace: &str, node: &str) -> Option<Status> {
        self.graph(namespace)?.status(node)
    }

    /// The spec that a node was built of last.
    pub fn spec(&self, namespace: &str, node: &str) -> Option<Rc<Spec>> {
        self.symbol(namespace, node).map(|its| its.spec.clone())
    }

    /// Whether a node receives or sends packets at a port.
    pub fn has_port(&self, namespace: &str, node: &str, port: &Port) -> bool {
        let symbol = self.symbol(namespace, node);
        symbol.is_some_and(|its| its.node.has_in(port) || its.node.has_out(port))
    }

    /// The ports of a node that people may mean: those that it has of the usual ones, then others that are linked. None of one that
    /// could not be built.
    pub fn ports(&self, namespace: &str, node: &str) -> Vec<Port> {
        let Some(symbol) = self.symbol(namespace, node) else {
            return Vec::new();
        };
        let linked = symbol.outs.iter().map(|(port, _)| port.clone());
        let mut ports = Vec::new();
        for port in USUAL_PORTS.into_iter().chain(linked) {
            if (symbol.node.has_in(&port) || symbol.node.has_out(&port)) && !ports.contains(&port) {
                ports.push(port);
            }
        }
        ports
    }

    fn symbol(&self, namespace: &str, node: &str) -> Option<&Rc<Symbol>> {
        let graph = self.graph(namespace)?;
        graph.symbol(graph.find(node)?)
    }

    /// The nodes of kind `test`, in order. Each is run by [`Engine::begin`] with null at `in`; it has passed if its answer is none of
    /// an error.
    pub fn tests(&self, namespace: &str) -> Vec<Rc<str>> {
        let nodes = self.status(namespace).into_iter();
        let tests = nodes.filter(|its| &*its.spec.kind == "test");
        tests.map(|its| its.spec.name.clone()).collect()
    }

    /// What happened in a run that goes on, or was one of the last.
    pub fn trace(&self, run: RunId) -> Option<&Trace> {
        let going = self.runs.get(Process::key(run)).map(|its| &its.trace);
        going.or_else(|| self.traces.iter().rev().find(|its| its.run == run))
    }

    /// The traces of a namespace: of the last runs that are over, then of those that go on.
    pub fn traces<'a>(&'a self, namespace: &'a str) -> impl Iterator<Item = &'a Trace> {
        let going = self.runs.iter().map(|(_, its)| &its.trace);
        let all = self.traces.iter().chain(going);
        all.filter(move |its| &*its.namespace == namespace)
    }

    /// The runs of a namespace that are not over.
    pub fn processes<'a>(&'a self, namespace: &'a str) -> impl Iterator<Item = ProcessStatus> + 'a {
        let runs = self
            .runs
            .iter()
            .filter(move |(_, its)| &*its.trace.namespace == namespace);
        runs.map(|(key, its)| ProcessStatus {
            run: Process::id(key),
            parent: its.parent.map(Process::id),
            node: its.trace.node.clone(),
            began_ms: its.trace.began_ms,
            frames: its.frames.len(),
            held: its.held as usize,
            is_answered: !matches!(its.stage, Stage::Going),
        })
    }

    /// Holds packets at a node, or at one of its ports (`out` and such: those that it sends), or at every node. Returns what it
    /// is removed by.
    ///
    /// # Errors
    /// `overloaded`: there are too many.
    pub fn add_breakpoint(&mut self, namespace: &str, node: Option<&str>, port: Option<Port>) -> Result<u32> {
        self.floor.breakpoints.add(namespace, node, port)
    }

    /// Takes a breakpoint away. False if there is none of that id.
    pub fn remove_breakpoint(&mut self, id: u32) -> bool {
        self.floor.breakpoints.remove(id)
    }

    /// The breakpoints of a namespace.
    pub fn breakpoints<'a>(&'a self, namespace: &'a str) -> impl Iterator<Item = &'a Breakpoint> {
        self.floor.breakpoints.of(namespace)
    }

    /// The packets that are held in a namespace, in the order in which they came.
    pub fn held(&self, namespace: &str) -> Vec<Held> {
        let held = self.floor.breakpoints.held.iter();
        let found = held.filter_map(|(run, key)| {
            let process = self.runs.get(*run)?;
            let frame = process.frames.get(*key)?;
            let Wait::Debugger(packet) = &frame.wait else {
                return None;
            };
            (&*process.trace.namespace == namespace).then(|| Held {
                frame: FrameId {
                    run: Process::id(*run),
                    frame: key.raw(),
                },
                node: frame.symbol.name.clone(),
                port: frame.port.clone(),
                packet: packet.clone(),
            })
        });
        found.collect()
    }

    /// Lets a held packet go on; `is_step` holds the next one of its run. False if it is not held.
    pub fn go_on(&mut self, frame: FrameId, is_step: bool) -> bool {
        let (run, key) = (Process::key(frame.run), Key::from_raw(frame.frame));
        let Some(process) = self.runs.get_mut(run) else {
            return false;
        };
        self.floor.breakpoints.held.retain(|held| *held != (run, key));
        process.is_stepping = is_step;
        process.go_on(key, &mut self.floor)
    }

    /// Takes all breakpoints of a namespace away and lets everything go on.
    pub fn clear_breakpoints(&mut self, namespace: &str) {
        self.floor
            .breakpoints
            .list
            .retain(|its| &*its.namespace != namespace);
        for process in self.runs.iter_mut() {
            if &*process.trace.namespace == namespace {
                process.is_stepping = false;
            }
        }
        let all = std::mem::take(&mut self.floor.breakpoints.held);
        for (run, key) in all {
            match self.runs.get_mut(run) {
                Some(process) if &*process.trace.namespace == namespace => {
                    process.go_on(key, &mut self.floor);
                }
                _ => self.floor.breakpoints.held.push((run, key)),
            }
        }
    }
}
