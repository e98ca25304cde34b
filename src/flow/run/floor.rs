//! What all runs share: whose turn it is, what was asked of the world, timers, breakpoints. Knows no node.

use super::breakpoint::Breakpoints;
use super::frame::Frame;
use super::machine::Next;
use super::process::ProcessKey;
use crate::core::deadlines::Deadlines;
use crate::core::slab::{Key, Slab};
use crate::flow::engine::Effect;
use crate::flow::spec::Port;
use crate::flow::value::Value;
use std::collections::VecDeque;

/// Who waits for the world.
pub enum Task {
    /// A frame.
    Frame(ProcessKey, Key<Frame>),
    /// A run that is over, for the end of its transaction.
    End(ProcessKey),
}

/// What is due at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Timer {
    /// The deadline of a run.
    Run(ProcessKey),
    /// A frame that sleeps.
    Frame(ProcessKey, Key<Frame>),
    /// A source that begins runs itself.
    Source(u64),
}

/// A run that a frame asks for.
pub struct Birth {
    pub parent: ProcessKey,
    pub frame: Key<Frame>,
    pub port: Port,
    pub packet: Value,
}

/// What all runs share.
pub struct Floor {
    /// Frames whose turn it is, in order.
    pub queue: VecDeque<(ProcessKey, Key<Frame>)>,
    pub tasks: Slab<Task>,
    pub timers: Deadlines<Timer>,
    pub effects: VecDeque<Effect>,
    /// Frames of all runs.
    pub frames: usize,
    pub breakpoints: Breakpoints,
    /// Room for what is to be done next, empty between turns.
    pub todo: Vec<Next>,
    /// Runs that were asked for.
    pub births: Vec<Birth>,
    #[cfg(test)]
    pub planted: Option<crate::flow::simulation::Bug>,
}

impl Floor {
    pub fn new() -> Floor {
        Floor {
            queue: VecDeque::new(),
            tasks: Slab::new(),
            timers: Deadlines::new(),
            effects: VecDeque::new(),
            frames: 0,
            breakpoints: Breakpoints::default(),
            todo: Vec::new(),
            births: Vec::new(),
            #[cfg(test)]
            planted: None,
        }
    }
}
