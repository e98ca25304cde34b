//! Calls that wait for each other: found by what the hub knows, and for locks in user code by what the system tells of
//! the workers. One of the calls fails, with the cycle in its error.

use super::call::{CallId, Origin};
use super::hub::{Hub, PeerId, Pool};
use super::lifecycle::State;
use super::peer::{Peer, Reading};
use crate::error::{Error, Kind};
use crate::limits::DEADLOCK_CALLS_SHOWN;

/// A worker that, for all that the hub knows, runs user code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Suspect {
    /// The worker.
    pub worker: PeerId,
    /// Its process.
    pub pid: u32,
    /// Threads of that process that are in no hurry: those of its other workers, and one for its parent.
    pub quiet_threads: usize,
}

impl Hub {
    /// Ends every event: whatever it did, something goes on.
    pub(super) fn end_event(&mut self, now_ms: u64) {
        self.dismiss_holders(now_ms);
        while self.break_deadlock() {}
    }

    /// If calls wait, nothing runs and nothing is about to, then nothing ever will: one of them fails, so that who made it
    /// can go on. False if all is well.
    fn break_deadlock(&mut self) -> bool {
        let waits = |pool: &&Pool| !pool.queue.is_empty() && pool.state == State::Ready;
        if !self.pools.iter().any(|pool| waits(&pool)) {
            return false;
        }
        // What waits for a pool that ends is served by the next.
        let is_coming_back = |pool: &Pool| match pool.state {
            State::Starting => true,
            State::Draining | State::Terminating | State::Killed | State::Backoff => !pool.queue.is_empty(),
            State::Idle | State::Ready | State::Failed => false,
        };
        let can_go_on = |peer: &Peer| {
            let runs = |call: &CallId| self.calls.get(*call).is_some_and(|call| call.awaited == 0);
            let is_running = peer
                .worker()
                .is_some_and(|worker| worker.running().iter().any(runs));
            let is_new_or_lost = peer.worker().is_some() && peer.ready_worker().is_none();
            // What waits for it alone will fail.
            let is_going = peer.worker().is_some_and(|worker| worker.is_told_to_leave);
            let is_sending = matches!(peer.reading, Reading::Body { .. });
            is_new_or_lost || is_going || !self.is_paused(peer) && (is_sending || is_running)
        };
        if self.peers.iter().any(|(_, peer)| can_go_on(peer))
            || self.pools.iter().any(is_coming_back)
            || self.host_goes_on()
        {
            return false;
        }
        // A call from outside closes no cycle: it would be served once those that do have failed.
        let queues = self.pools.iter().filter(waits).map(|pool| &pool.queue);
        let is_foreign = |id: &CallId| {
            let call = self.calls.get(*id);
            call.is_some_and(|call| call.parent.is_some() || matches!(call.origin, Origin::Worker { .. }))
        };
        let Some(id) = queues.flatten().copied().find(is_foreign) else {
            return false;
        };
        let error = self.deadlock_error(id);
        #[cfg(test)]
        {
            self.deadlocks += 1;
        }
        self.fail_call(id, error);
        true
    }

    fn deadlock_error(&self, id: CallId) -> Box<Error> {
        let pool = self
            .calls
            .get(id)
            .map(|call| &self.pools[call.pool.index()].spec.name);
        let name = pool.cloned().unwrap_or_default();
        let message = format!(
            "every worker of pool '{name}' waits for an answer itself and takes no other call: {}",
            self.chain_text(id)
        );
        let hint = "let the pool have more \"workers\", or use a runtime whose workers are reentrant";
        Error::new(Kind::Deadlock, message).hint(hint).pool(name)
    }

    /// A call and those above it, each wanted by the next.
    fn chain_text(&self, id: CallId) -> String {
        let mut chain = vec![self.call_name(id)];
        let parent = |call: CallId| self.calls.get(call).and_then(|call| call.parent);
        let mut above = parent(id);
        while let Some(call) = above.filter(|_| chain.len() < DEADLOCK_CALLS_SHOWN) {
            chain.push(self.call_name(call));
            above = parent(call);
        }
        if above.is_some() {
            chain.push("others".into());
        }
        chain.join(" is wanted by ")
    }

    /// All workers that run user code while others wait for what they give back; empty if something else goes on.
    pub fn suspects(&self) -> Vec<Suspect> {
        let mut found = Vec::new();
        if self.host_goes_on() {
            return found;
        }
        for (id, peer) in self.peers.iter() {
            let Some(worker) = peer.worker() else { continue };
            let top = worker.stack.last().and_then(|call| self.calls.get(*call));
            if peer.ready_worker().is_none() || matches!(peer.reading, Reading::Body { .. }) {
                return Vec::new();
            }
            if top.is_some_and(|call| call.awaited == 0) {
                found.push(Suspect {
                    worker: id,
                    pid: worker.pid,
                    quiet_threads: 0,
                });
            }
        }
        let is_nested = |suspect: &Suspect| {
            let worker = self.peers.get(suspect.worker).and_then(Peer::worker);
            worker.is_some_and(|worker| worker.stack.len() > 1)
        };
        // A lock can be held by another call only where one waits below, in the same worker or in one of its process.
        let shares = |suspect: &Suspect| self.workers_of(suspect.pid) > 1;
        if !found.iter().any(|suspect| is_nested(suspect) || shares(suspect)) {
            return Vec::new();
        }
        for position in 0..found.len() {
            let pid = found[position].pid;
            let running = found.iter().filter(|suspect| suspect.pid == pid).count();
            let is_parent = self.pools.iter().any(|pool| pool.pid == pid);
            found[position].quiet_threads = self.workers_of(pid) - running + usize::from(is_parent);
        }
        found
    }

    fn workers_of(&self, pid: u32) -> usize {
        let workers = self.peers.iter().filter_map(|(_, peer)| peer.worker());
        workers.filter(|worker| worker.pid == pid).count()
    }

    /// All suspects wait for locks that nobody will let go of: their chains fail.
    pub fn handle_locked(&mut self, suspects: &[Suspect], now_ms: u64) {
        for suspect in suspects {
            let worker = self.peers.get(suspect.worker).and_then(Peer::worker);
            let Some(top) = worker.and_then(|worker| worker.stack.last()).copied() else {
                continue;
            };
            let error = self.locked_error(top, suspect.pid);
            let mut root = top;
            while let Some(parent) = self.calls.get(root).and_then(|call| call.parent) {
                root = parent;
            }
            self.give_up(root, &error, now_ms);
        }
        self.end_event(now_ms);
    }

    fn locked_error(&self, top: CallId, pid: u32) -> Box<Error> {
        let name = self
            .calls
            .get(top)
            .map(|call| &self.pools[call.pool.index()].spec.name);
        let name = name.cloned().unwrap_or_default();
        let message = format!(
            "every worker that runs waits for a lock in its own process: {}",
            self.chain_text(top)
        );
        let hint = "let go of locks before calling another pool: the call may come back";
        let mut error = Error::new(Kind::Deadlock, message).hint(hint).pool(name);
        error.pid = Some(pid);
        error
    }
}
