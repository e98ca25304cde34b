//! A run: the frames of one call of a flow, and what belongs to it. How it moves is in `machine.rs`.

use super::floor::{Floor, Task, Timer};
use super::frame::{Frame, Wait};
use super::trace::{Record, Trace};
use crate::core::deadlines::Due;
use crate::core::slab::{Key, Slab};
use crate::flow::engine::namespace::Namespace;
use crate::flow::engine::{Effect, RunId, TaskId};
use crate::flow::graph::nodes::Table;
use crate::flow::kinds::node::{Event, Outcome};
#[cfg(test)]
use crate::flow::simulation::Bug;
use crate::limits::{FLOW_SPARE_FRAMES_MAX, FLOW_SPARE_MAX};
use std::rc::Rc;

/// How far a run is.
#[derive(Debug)]
pub enum Stage {
    /// It has frames.
    Going,
    /// Its frames are answered; its transaction is not over.
    Ending(Outcome),
    /// It is answered; runs that belong to it go on.
    Joining,
}

/// The place of a run among those that go on.
pub type ProcessKey = Key<Box<Process>>;

/// A run.
pub struct Process {
    pub namespace: Key<Namespace>,
    /// The nodes as they were when it began.
    pub table: Rc<Table>,
    pub frames: Slab<Frame>,
    pub stage: Stage,
    /// Whether somebody outside waits for its answer.
    pub is_awaited: bool,
    pub parent: Option<ProcessKey>,
    pub children: Vec<ProcessKey>,
    pub deadline: Due,
    pub used_sql: bool,
    /// The answer of its first frame.
    pub outcome: Option<Outcome>,
    /// Frames that can go on, will be woken, or are answered from outside.
    pub moving: u32,
    /// Frames that wait for other inputs of their nodes, in the order in which they came.
    pub waiting: Vec<Key<Frame>>,
    /// Frames that answer for others of their nodes, and those.
    pub absorbed: Vec<(Key<Frame>, Key<Frame>)>,
    /// Whether its next frame is to be held.
    pub is_stepping: bool,
    /// Frames that are held.
    pub held: u32,
    pub trace: Trace,
}

impl Process {
    pub fn id(key: ProcessKey) -> RunId {
        RunId(key.raw())
    }

    pub fn key(run: RunId) -> ProcessKey {
        Key::from_raw(run.0)
    }

    fn own(&self) -> ProcessKey {
        Process::key(self.trace.run)
    }

    /// A frame has its turn soon.
    pub(super) fn enqueue(&mut self, key: Key<Frame>, wait: Wait, floor: &mut Floor) {
        let own = self.own();
        if let Some(frame) = self.frames.get_mut(key) {
            frame.wait = wait;
            self.moving += 1;
            floor.queue.push_back((own, key));
        }
    }

    /// What a frame has waited for outside is there.
    pub fn wake(&mut self, key: Key<Frame>, event: Event, floor: &mut Floor) {
        if self.frames.get(key).is_some() {
            self.moving = self.moving.saturating_sub(1);
            self.enqueue(key, Wait::Event(event), floor);
        }
    }

    /// Lets go of all frames, and of what they have asked for.
    pub fn release(&mut self, floor: &mut Floor) {
        let own = self.own();
        #[cfg(test)]
        let planted = floor.planted;
        let keys: Vec<Key<Frame>> = match self.frames.is_empty() {
            true => Vec::new(),
            false => self.frames.iter().map(|(key, _)| key).collect(),
        };
        floor.frames -= keys.len();
        for key in keys {
            let Some(frame) = self.frames.remove(key) else {
                continue;
            };
            #[cfg(test)]
            if planted == Some(Bug::ForgetPackets) {
                continue;
            }
            frame
                .symbol
                .packets
                .set(frame.symbol.packets.get().saturating_sub(1));
            match frame.wait {
                #[cfg(test)]
                Wait::Task(task) if planted == Some(Bug::ForgetUndo) => {
                    floor.tasks.remove(task);
                }
                #[cfg(test)]
                Wait::Sleep(_) if planted == Some(Bug::ForgetSleep) => {}
                Wait::Task(task) => {
                    floor.tasks.remove(task);
                    floor.effects.push_back(Effect::Undo(TaskId(task.raw())));
                }
                Wait::Sleep(mut due) => floor.timers.set(Timer::Frame(own, key), &mut due, None),
                _ => {}
            }
        }
        floor.breakpoints.forget(own);
        self.waiting.clear();
        self.absorbed.clear();
        (self.moving, self.held) = (0, 0);
    }

    /// Asks for the end of its transaction.
    pub fn end_transaction(&mut self, floor: &mut Floor) {
        let run = self.trace.run;
        let task = floor.tasks.insert(Task::End(self.own()));
        let is_ok = matches!(self.stage, Stage::Ending(Ok(_)));
        #[cfg(test)]
        let is_ok = is_ok || floor.planted == Some(Bug::CommitAll);
        floor.effects.push_back(Effect::RunEnded {
            task: TaskId(task.raw()),
            run,
            is_ok,
        });
    }
}

/// Room of runs that are over, for those that come.
#[derive(Default)]
pub struct Spare {
    frames: Vec<Slab<Frame>>,
    records: Vec<Vec<Record>>,
}

impl Spare {
    pub fn frames(&mut self) -> Slab<Frame> {
        self.frames.pop().unwrap_or_else(Slab::new)
    }

    pub fn records(&mut self) -> Vec<Record> {
        self.records.pop().unwrap_or_default()
    }

    /// All of them were released.
    pub fn keep_frames(&mut self, frames: Slab<Frame>) {
        if self.frames.len() < FLOW_SPARE_MAX && frames.slots() <= FLOW_SPARE_FRAMES_MAX {
            self.frames.push(frames);
        }
    }

    pub fn keep_records(&mut self, mut records: Vec<Record>) {
        if self.records.len() < FLOW_SPARE_MAX && records.capacity() <= FLOW_SPARE_FRAMES_MAX {
            records.clear();
            self.records.push(records);
        }
    }
}
