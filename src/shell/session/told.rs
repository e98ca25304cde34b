//! What a session tells whoever uses it, where that is not a person at a terminal. Formats nothing.

use super::Session;
use crate::core::hub::Note;
use crate::ids::PoolId;
use crate::limits::TOLD_EVENTS_MAX;
use std::collections::VecDeque;

/// Something that people may want to know.
#[derive(Debug)]
pub enum Event {
    /// A function says something.
    Note {
        /// Name of the pool that it runs in.
        pool: String,
        /// What it says.
        note: Note,
        /// The call in the course of which, if that is known.
        call: Option<u64>,
    },
    /// A process has printed something.
    Printed {
        /// The pool that it belongs to; none: it is a program that a function runs.
        pool: Option<PoolId>,
        /// What it has printed.
        bytes: Vec<u8>,
    },
}

/// What has not been taken yet, oldest first.
#[derive(Debug, Default)]
pub(super) struct Told {
    events: VecDeque<Event>,
}

impl Told {
    pub fn push(&mut self, event: Event) {
        if self.events.len() >= TOLD_EVENTS_MAX {
            self.events.pop_front();
        }
        self.events.push_back(event);
    }
}

impl Session {
    /// From now on it prints nothing, and tells what happens in [`Session::poll_told`]. To be said before pools run.
    pub fn tell(&mut self) {
        self.told = Some(Told::default());
    }

    /// Takes the next event.
    pub fn poll_told(&mut self) -> Option<Event> {
        self.told.as_mut()?.events.pop_front()
    }
}
