//! Calls that are given up, by their makers, by a deadline or because nobody is left who waits: all that they have made
//! is given up with them, and their workers are asked to stop. What a worker that doesn't stop must expect stands in
//! `retire`.

use super::call::{CallId, Origin, Stage};
use super::hub::{Hub, PeerId, Signal};
use super::peer::Peer;
#[cfg(test)]
use super::simulation::Bug;
use crate::codec::msgpack::write;
use crate::error::{Error, Kind};

impl Hub {
    /// Gives up a client's request: it is answered with `error`, and its worker is asked to stop.
    pub fn cancel(&mut self, token: u64, error: &Error, now_ms: u64) {
        let found = self
            .calls
            .iter()
            .find(|(_, call)| call.origin == Origin::Client(token))
            .map(|(id, _)| id);
        if let Some(id) = found {
            self.give_up(id, error, now_ms);
            self.end_event(now_ms);
        }
    }

    /// Ends a call and all under it with an error, and asks the workers that have them to stop.
    pub(super) fn give_up(&mut self, id: CallId, error: &Error, now_ms: u64) {
        self.give_up_below(id, error, now_ms);
        self.send_cancel(id, now_ms);
        self.fail_call(id, Box::new(error.clone()));
    }

    /// Ends all calls under one, the innermost first.
    pub(super) fn give_up_below(&mut self, id: CallId, error: &Error, now_ms: u64) {
        #[cfg(test)]
        if self.planted == Some(Bug::OrphansGoOn) {
            return;
        }
        for below in self.descendants(id).into_iter().rev() {
            self.send_cancel(below, now_ms);
            self.fail_call(below, Box::new(error.clone()));
        }
    }

    /// The calls under one, each after the one that made it.
    fn descendants(&self, id: CallId) -> Vec<CallId> {
        if self.calls.get(id).is_none_or(|call| call.open_children == 0) {
            return Vec::new();
        }
        let made = self
            .calls
            .iter()
            .filter_map(|(id, call)| Some((call.parent?, id)));
        let mut by_parent: Vec<(CallId, CallId)> = made.collect();
        by_parent.sort_unstable();
        let mut found = vec![id];
        let mut at = 0;
        while let Some(parent) = found.get(at).copied() {
            let first = by_parent.partition_point(|(of, _)| *of < parent);
            let children = by_parent[first..].iter().take_while(|(of, _)| *of == parent);
            found.extend(children.map(|(_, child)| *child));
            at += 1;
        }
        found.remove(0);
        found
    }

    /// A deadline of a call has passed.
    pub(super) fn handle_call_timeout(&mut self, id: CallId, now_ms: u64) {
        let Some(call) = self.calls.get_mut(id) else {
            return;
        };
        call.due = None;
        let (pool, mid) = (call.pool, call.mid);
        let entry = &self.pools[pool.index()];
        let what = self.function_name(pool, mid);
        let mut message = format!("{what} of pool '{}' did not answer in time", entry.spec.name);
        match self.calls.get(id).map(|call| &call.stage) {
            Some(Stage::Queued(_)) => message.push_str(": it still waits for a worker"),
            _ if self.innermost(id) != id => {
                message.push_str(&format!(": it waits for {}", self.call_name(self.innermost(id))));
            }
            _ => {}
        }
        let error = Error::new(Kind::Timeout, message).pool(entry.spec.name.clone());
        let error = self.describe(error, pool, mid);
        self.give_up(id, &error, now_ms);
    }

    /// Gives up the calls that a worker made, now that its connection is gone.
    pub(super) fn orphan_calls(&mut self, of: PeerId, now_ms: u64) {
        let made = |origin: Origin| matches!(origin, Origin::Worker { peer, .. } if peer == of);
        let calls = self.calls.iter().filter(|(_, call)| made(call.origin));
        let orphans: Vec<CallId> = calls.map(|(id, _)| id).collect();
        if orphans.is_empty() {
            return;
        }
        let error = Error::new(Kind::Cancelled, "the worker that made this call is gone");
        for id in &orphans {
            if let Some(call) = self.calls.get_mut(*id) {
                call.origin = Origin::Nobody;
            }
        }
        for id in orphans {
            self.give_up(id, &error, now_ms);
        }
    }

    /// Asks the worker that has a call to give it up.
    pub(super) fn send_cancel(&mut self, id: CallId, now_ms: u64) {
        let Some(call) = self.calls.get_mut(id) else {
            return;
        };
        let Stage::Placed(worker) = call.stage else { return };
        if std::mem::replace(&mut call.is_cancelled, true) {
            return;
        }
        let is_closed = self.peers.get(worker).is_none_or(Peer::is_closed);
        #[cfg(test)]
        let is_closed = is_closed && self.planted != Some(Bug::SendToDead);
        if is_closed {
            return;
        }
        let mut payload = Vec::new();
        write::unsigned(&mut payload, id.raw());
        self.notify(worker, "cancel", 1, &payload);
        self.signal_worker(worker, Signal::Int);
        self.press(worker, now_ms);
    }
}
