//! Namespaces of nodes and their runs: changes, packets and answers come in with the time, effects and answers go out. Opens
//! nothing, calls nothing, reads no clock.

#[cfg(test)]
mod invariants;
mod lives;
mod look;
pub(in crate::flow) mod namespace;
#[cfg(test)]
mod tests;

pub use super::graph::change::Change;
pub use super::run::breakpoint::{Breakpoint, FrameId, Held};
pub use look::ProcessStatus;

use super::kinds::node::{Event, Known, Outcome, Service, Work};
use super::run::floor::{Floor, Task, Timer};
use super::run::process::{Process, ProcessKey, Spare};
use super::run::trace::Trace;
use super::spec::Port;
use super::value::Value;
use crate::codec::number::push_number;
use crate::core::slab::{Key, Slab};
use crate::error::{Error, Kind, Result};
use crate::limits::{FLOW_FRAMES_MAX, FLOW_RUNS_MAX};
use crate::map::Map;
use lives::Launch;
use namespace::{Namespace, Source};
use std::collections::VecDeque;
use std::fmt::Display;
use std::rc::Rc;

/// A run; no two have the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RunId(pub u64);

impl RunId {
    /// The run of a text, as [`Display`] writes it.
    pub fn parse(text: &str) -> Option<RunId> {
        let (low, high) = text.split_once('.')?;
        let (low, high): (u32, u32) = (low.parse().ok()?, high.parse().ok()?);
        Some(RunId(u64::from(high) << 32 | u64::from(low)))
    }

    /// The text, made without the formatting machinery: each answer of a listener has it.
    pub fn text(self) -> String {
        let mut text = Vec::with_capacity(24);
        push_number(self.0 & 0xffff_ffff, 10, &mut text);
        text.push(b'.');
        push_number(self.0 >> 32, 10, &mut text);
        String::from_utf8(text).unwrap_or_default()
    }
}

/// Two short numbers, as `0.12`: the place of the run among those that go on, and how many had it before.
impl Display for RunId {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(&self.text())
    }
}

/// Something that the world was asked to do; no two have the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TaskId(pub u64);

/// How a run begins.
#[derive(Clone, Debug)]
pub enum Start {
    /// A source sends this through its `out`, as if it had received it; an error goes through `error`, if that is linked.
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
        error: Rc<Error>,
    },
}

/// All namespaces and their runs.
pub struct Engine {
    namespaces: Slab<Namespace>,
    names: Map<Rc<str>, Key<Namespace>>,
    runs: Slab<Box<Process>>,
    floor: Floor,
    answers: VecDeque<(RunId, Outcome)>,
    /// Of runs that are over, the oldest first.
    traces: VecDeque<Trace>,
    sources: Slab<Source>,
    /// Runs that are to be given up, and why.
    doomed: Vec<(ProcessKey, Rc<Error>)>,
    spare: Spare,
    #[cfg(test)]
    pub(in crate::flow) hooks: super::simulation::hooks::Hooks,
}

impl Engine {
    /// Nothing.
    pub fn new() -> Engine {
        Engine {
            namespaces: Slab::new(),
            names: Map::new(),
            runs: Slab::new(),
            floor: Floor::new(),
            answers: VecDeque::new(),
            traces: VecDeque::new(),
            sources: Slab::new(),
            doomed: Vec::new(),
            spare: Spare::default(),
            #[cfg(test)]
            hooks: super::simulation::hooks::Hooks::default(),
        }
    }

    /// Takes changes of a namespace, all at once. What is wrong with a node is in its [`Engine::status`].
    ///
    /// # Errors
    /// `overloaded`: there are too many namespaces.
    pub fn handle_change(
        &mut self,
        namespace: &str,
        changes: Vec<Change>,
        known: &Known,
        now_ms: u64,
    ) -> Result<()> {
        let key = self.namespace(namespace)?;
        if let Some(namespace) = self.namespaces.get_mut(key) {
            let swap = namespace.graph.change(changes, known);
            self.swapped(key, swap, now_ms);
        }
        Ok(())
    }

    /// Served commands have come or gone: kinds that were unknown may be known now.
    pub fn handle_commands(&mut self, known: &Known, now_ms: u64) {
        let keys: Vec<Key<Namespace>> = self.names.values().copied().collect();
        for key in keys {
            if let Some(namespace) = self.namespaces.get_mut(key) {
                let swap = namespace.graph.rebuild(known);
                self.swapped(key, swap, now_ms);
            }
        }
    }

    /// Whether a source of the namespace may begin a run now; if not, it waits, and asks again after an answer was polled.
    pub fn can_begin(&self, namespace: &str) -> bool {
        let namespace = self
            .names
            .get(namespace)
            .and_then(|key| self.namespaces.get(*key));
        namespace.is_none_or(|its| its.runs < FLOW_RUNS_MAX) && self.floor.frames < FLOW_FRAMES_MAX / 2
    }

    /// Begins a run, whose one answer [`Engine::poll_answer`] gives.
    ///
    /// # Errors
    /// `not_found` and `unavailable`: no such node or port, or it is not active; `overloaded`: see [`Engine::can_begin`].
    pub fn begin(
        &mut self,
        namespace: &str,
        node: &str,
        start: Start,
        deadline_ms: Option<u64>,
        now_ms: u64,
    ) -> Result<RunId> {
        let key = self.names.get(namespace).copied();
        #[cfg(test)]
        let key = match self.floor.planted {
            Some(super::simulation::Bug::AnyNamespace) => self.names.values().next().copied(),
            _ => key,
        };
        let Some(key) = key else {
            let message = format!("there is no node '{node}' in namespace '{namespace}'");
            return Err(Error::new(Kind::NotFound, message));
        };
        let birth = Launch {
            start,
            deadline_ms,
            is_awaited: true,
        };
        self.launch(key, node, birth, now_ms).map(Process::id)
    }

    /// Gives a run up; it is answered with the error, if it was not answered before.
    pub fn cancel(&mut self, run: RunId, error: Rc<Error>, now_ms: u64) {
        self.doomed.push((Process::key(run), error));
        self.end_doomed(now_ms);
    }

    /// The world has done what a task asked for.
    pub fn handle_done(&mut self, task: TaskId, outcome: Outcome, now_ms: u64) {
        match self.floor.tasks.remove(Key::from_raw(task.0)) {
            Some(Task::Frame(run, frame)) => {
                if let Some(run) = self.runs.get_mut(run) {
                    run.wake(frame, Event::Done(outcome), &mut self.floor);
                }
            }
            Some(Task::End(run)) => self.transaction_over(run, outcome, now_ms),
            None => {}
        }
    }

    /// When [`Engine::handle_timeout`] has something to do, by the engine's clock.
    pub fn next_deadline(&self) -> Option<u64> {
        self.floor.timers.next_ms()
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now_ms: u64) {
        while let Some(timer) = self.floor.timers.pop(now_ms) {
            match timer {
                Timer::Run(run) => self.deadline_over(run, now_ms),
                Timer::Frame(run, frame) => {
                    if let Some(run) = self.runs.get_mut(run) {
                        run.wake(frame, Event::Woken, &mut self.floor);
                    }
                }
                Timer::Source(source) => self.tick(Key::from_raw(source), now_ms),
            }
        }
        self.end_doomed(now_ms);
    }

    /// Works on at most so many frames. True if more could be done at once: come back without waiting.
    pub fn step(&mut self, budget: usize, now_ms: u64) -> bool {
        for _ in 0..budget {
            let Some((run, frame)) = self.floor.queue.pop_front() else {
                break;
            };
            if let Some(process) = self.runs.get_mut(run) {
                process.turn(frame, &mut self.floor, now_ms);
                self.after(run, now_ms);
            }
        }
        !self.floor.queue.is_empty()
    }

    /// What the world has to do next.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.floor.effects.pop_front()
    }

    /// The answer of a run that [`Engine::begin`] began.
    pub fn poll_answer(&mut self) -> Option<(RunId, Outcome)> {
        self.answers.pop_front()
    }
}

impl Default for Engine {
    fn default() -> Engine {
        Engine::new()
    }
}
