//! Namespaces of nodes and their runs: changes, packets and answers come in with the time, effects and answers go out. Opens
//! nothing, calls nothing, reads no clock.

use crate::error::Result;
pub use crate::flow::graph::change::Change;
use crate::flow::kinds::node::{Known, Outcome, Service, Work};
use crate::flow::spec::Port;
use crate::flow::value::Value;
use std::rc::Rc;

/// A run; no two have the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RunId(pub u64);

/// Something that the world was asked to do; no two have the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TaskId(pub u64);

/// How a run begins.
#[derive(Clone, Debug)]
pub enum Start {
    /// A source sends this through its `out`, as if it had received it.
    Out(Value),
    /// The node receives this.
    In(Port, Value),
}

/// What the world has to do.
#[derive(Debug)]
pub enum Effect {
    /// Answered once by [`Engine::handle_done`], unless [`Effect::Undo`] comes first.
    Do {
        /// To be answered under.
        task: TaskId,
        /// For whom.
        run: RunId,
        /// Where.
        namespace: Rc<str>,
        /// By which node.
        node: Rc<str>,
        /// What.
        work: Work,
        /// When the run will be given up, by the engine's clock.
        deadline_ms: Option<u64>,
    },
    /// Nobody waits for it any more; an answer that comes still is ignored.
    Undo(TaskId),
    /// A node has become active that starts runs: see [`Service`]. Opened again under the same name only after a close.
    Open {
        /// Where.
        namespace: Rc<str>,
        /// Which node.
        node: Rc<str>,
        /// What to open.
        service: Service,
    },
    /// It is no longer; runs that it began go on.
    Close {
        /// Where.
        namespace: Rc<str>,
        /// Which node.
        node: Rc<str>,
    },
    /// A run that used sql is over, its answer waits: commit or roll back, then answer the task.
    RunEnded {
        /// To be answered under; can't be undone.
        task: TaskId,
        /// Whose transaction.
        run: RunId,
        /// Commit, or roll back.
        is_ok: bool,
    },
    /// A run that nobody waits for (of a timer, a fork) has failed: for the log.
    Failed {
        /// Where.
        namespace: Rc<str>,
        /// The node that began it.
        node: Rc<str>,
        /// The run.
        run: RunId,
        /// Why.
        error: Rc<crate::error::Error>,
    },
}

/// All namespaces and their runs.
pub struct Engine {}

impl Engine {
    /// Nothing.
    pub fn new() -> Engine {
        Engine {}
    }

    /// Takes changes of a namespace, all at once. Nothing fails: what is wrong is in the [`Engine::status`].
    pub fn handle_change(&mut self, _namespace: &str, _changes: Vec<Change>, _known: &Known, _now_ms: u64) {}

    /// Served commands have come or gone: kinds that were unknown may be known now.
    pub fn handle_commands(&mut self, _known: &Known, _now_ms: u64) {}

    /// Whether a source of the namespace may begin a run now; if not, it waits, and asks again after an answer was polled.
    pub fn can_begin(&self, _namespace: &str) -> bool {
        true
    }

    /// Begins a run, whose one answer [`Engine::poll_answer`] gives.
    ///
    /// # Errors
    /// `not_found` and `unavailable`: no such node, or it is not active; `overloaded`: see [`Engine::can_begin`].
    pub fn begin(
        &mut self,
        _namespace: &str,
        _node: &str,
        _start: Start,
        _deadline_ms: Option<u64>,
        _now_ms: u64,
    ) -> Result<RunId> {
        Ok(RunId(0))
    }

    /// Gives a run up; it is answered with the error, if it was not answered before.
    pub fn cancel(&mut self, _run: RunId, _error: Rc<crate::error::Error>, _now_ms: u64) {}

    /// The world has done what a task asked for.
    pub fn handle_done(&mut self, _task: TaskId, _outcome: Outcome, _now_ms: u64) {}

    /// When [`Engine::handle_timeout`] has something to do, by the engine's clock.
    pub fn next_deadline(&self) -> Option<u64> {
        None
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, _now_ms: u64) {}

    /// Works on at most so many frames. True if more could be done at once: come back without waiting.
    pub fn step(&mut self, _budget: usize, _now_ms: u64) -> bool {
        false
    }

    /// What the world has to do next.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        None
    }

    /// The answer of a run that [`Engine::begin`] began.
    pub fn poll_answer(&mut self) -> Option<(RunId, Outcome)> {
        None
    }
}

impl Default for Engine {
    fn default() -> Engine {
        Engine::new()
    }
}
