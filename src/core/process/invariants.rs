//! What must hold in the table of worker processes and in pipes after every event, in tests. Changes nothing.

use super::handle::{Handle, Input, Pressure};
use super::mailbox::Framing;
use super::pipe::Pipe;
use super::table::{Asker, Effect, HandleId, Owner, Table};
use crate::error::Result;
use crate::limits::{HANDLES_MAX, MAILBOX_BYTES_MAX, MAILBOX_MESSAGES_MAX, PIPE_ITEMS_MAX, STREAM_BYTES_MAX};

impl Table {
    /// `slack_bytes` may stand in a mailbox beyond its limit: one message or one read.
    pub fn assert_invariants(&self, slack_bytes: usize) {
        let alive = self.handles.iter().filter(|(_, handle)| !handle.is_gone());
        assert!(alive.count() <= HANDLES_MAX, "worker processes are bounded");
        for (id, handle) in self.handles.iter() {
            assert_handle(handle, slack_bytes);
            assert!(
                !handle.is_leaving || self.leaving.contains(&handle.owner),
                "{id:?} leaves with its owner"
            );
            assert!(
                handle.life_at_ms.is_none() || handle.is_gone() || handle.due.is_some(),
                "{id:?} has a deadline"
            );
        }
        for owner in &self.leaving {
            let is_left = self.handles.iter().any(|(_, handle)| handle.owner == *owner);
            assert!(is_left, "{owner:?} waits for somebody");
        }
        let dues = self
            .handles
            .iter()
            .flat_map(|(_, handle)| [handle.due, handle.end_due]);
        let dues = dues.chain(self.waiters.iter().map(|(_, waiter)| waiter.due));
        assert_eq!(
            self.deadlines.len(),
            dues.flatten().count(),
            "timers belong to somebody"
        );
        for (_, waiter) in self.waiters.iter() {
            let mut handles = waiter.handles.iter().map(|id| self.handles.get(*id));
            assert!(
                handles.all(|handle| handle.is_some()),
                "who waits is told of an end"
            );
        }
    }

    /// Whether nothing at all is left.
    pub fn is_bare(&self) -> bool {
        self.handles.iter().next().is_none()
            && self.waiters.iter().next().is_none()
            && self.leaving.is_empty()
            && self.effects.is_empty()
            && self.deadlines.len() == 0
    }

    /// To whom a process belongs.
    pub fn owner(&self, id: HandleId) -> Option<Owner> {
        self.handles.get(id).map(|handle| handle.owner)
    }

    /// Effects that wait.
    pub fn queued(&self) -> usize {
        self.effects.len()
    }

    /// The answers among them, without the first so many effects.
    pub fn queued_answers(&self, skipped: usize) -> Vec<(Asker, Result<Vec<u8>>)> {
        let effects = self.effects.iter().skip(skipped);
        let answers = effects.filter_map(|effect| match effect {
            Effect::Answer(asker, result) => Some((*asker, result.clone())),
            _ => None,
        });
        answers.collect()
    }

    /// Whether a process is to be sent no more.
    pub fn is_full(&self, id: HandleId) -> bool {
        self.handles
            .get(id)
            .is_some_and(|handle| handle.outgoing.is_full())
    }

    /// Bytes that wait to be written to a process.
    pub fn waiting_bytes(&self, id: HandleId) -> usize {
        self.output(id).len()
    }

    /// Whether a process is known, and is to end with its owner.
    pub fn is_leaving(&self, id: HandleId) -> Option<bool> {
        self.handles.get(id).map(|handle| handle.is_leaving)
    }
}

fn assert_handle(handle: &Handle, slack_bytes: usize) {
    let (waiting, messages) = (handle.outgoing.chunk().len(), handle.outgoing.count());
    let (come, whole) = (handle.inbox.waiting_bytes(), handle.inbox.count());
    let most = match handle.framing {
        Framing::Stream => STREAM_BYTES_MAX,
        _ => MAILBOX_BYTES_MAX,
    };
    assert!(
        waiting <= MAILBOX_BYTES_MAX + slack_bytes,
        "{waiting} bytes wait to be written"
    );
    assert!(
        messages <= MAILBOX_MESSAGES_MAX,
        "{messages} messages wait to be written"
    );
    assert!(come <= most + slack_bytes, "{come} bytes wait to be taken");
    assert!(
        whole <= MAILBOX_MESSAGES_MAX + slack_bytes,
        "{whole} messages wait to be taken"
    );
    assert!(
        !handle.is_gone() || waiting == 0,
        "nothing is written to the dead"
    );
    assert!(
        !handle.is_gone() || matches!(handle.input, Input::Closed | Input::Elsewhere) || handle.pid == 0,
        "the dead take no input"
    );
    assert!(
        !handle.is_gone() || (handle.due.is_none() && handle.end_due.is_none()),
        "nobody waits for the dead to die"
    );
    assert!(
        handle.pressure == Pressure::None || handle.is_gone() || handle.due.is_some(),
        "who is pressed is pressed on"
    );
}

impl Pipe {
    /// `slack_bytes` is the largest item.
    pub fn assert_invariants(&self, slack_bytes: usize) {
        for each in self.functions() {
            assert!(
                each.waiting.len() <= PIPE_ITEMS_MAX,
                "items that wait are bounded"
            );
            assert!(
                each.waiting_bytes < STREAM_BYTES_MAX + slack_bytes,
                "and their bytes"
            );
            let bytes: usize = each.waiting.iter().map(Vec::len).sum();
            assert_eq!(bytes, each.waiting_bytes);
            let is_held = each.done.len() + each.running as usize <= 2 * each.width as usize;
            assert!(each.is_shut || is_held, "and those that are worked on");
        }
    }
}
