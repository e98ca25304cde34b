//! A small model of what must come of calls, kept beside the hub and compared with the workers after every event: that what
//! is over ends, that who is to be replaced is given no more, that a deadlock is one. Changes nothing outside itself.

use super::plan::Step;
use super::world::{LATE_MS, World};
use crate::core::lifecycle::State;
use crate::core::peer::{PeerId, Reading};
use crate::limits::{CANCEL_GRACE_MS, DEATH_REPORT_MS};
use std::collections::BTreeMap;

/// What was seen so far.
#[derive(Default)]
pub struct Shadow {
    /// What each worker had at the last look.
    seen: BTreeMap<PeerId, Seen>,
    /// Since when frames run whose client is answered, by worker and id.
    stale: BTreeMap<(usize, u64), u64>,
    deadlocks: u64,
    /// Workers that stay, since function values live in them.
    holders: Vec<PeerId>,
}

#[derive(Default)]
struct Seen {
    /// The ids and plans of its calls.
    calls: Vec<(u64, usize)>,
    /// Calls that it was given while it had none.
    chains: u64,
}

/// How long it takes at most until a signal that was sent has ended a process.
const DELAYS_MS: u64 = 60;

impl World {
    pub fn check_shadow(&mut self) {
        let mut shadow = std::mem::take(&mut self.shadow);
        self.check_recycling(&mut shadow);
        self.check_stale(&mut shadow);
        self.check_deadlocks(&mut shadow);
        self.check_holders(&mut shadow);
        for (pool, fake) in self.hub.pools.iter().zip(&self.pools) {
            let waits = pool.state == State::Backoff && !pool.queue.is_empty();
            assert!(
                !waits || !fake.is_due(self.now_ms),
                "{} is started again for what waits",
                pool.spec.name
            );
        }
        self.shadow = shadow;
    }

    /// No worker is given more calls than it may have.
    fn check_recycling(&self, shadow: &mut Shadow) {
        shadow.seen.retain(|id, _| self.hub.peers.get(*id).is_some());
        for (id, peer) in self.hub.peers.iter() {
            let most = self.pools[peer.pool.index()].spec.recycle.max_calls;
            let (Some(worker), Some(most)) = (peer.ready_worker(), most) else {
                continue;
            };
            let seen = shadow.seen.entry(id).or_default();
            let plan = |id| self.hub.calls.get(id).map_or(0, |call| call.mid as usize);
            let calls: Vec<(u64, usize)> = worker.stack.iter().map(|id| (id.raw(), plan(*id))).collect();
            if let Some(first) = calls.first().filter(|first| !seen.calls.contains(first)) {
                // One that ends before its calls do may leave one behind that was nested in it.
                let starts = |step: &Step| matches!(step, Step::Start(_));
                let leaves_some = |call: &(u64, usize)| self.plans[call.1].steps.iter().any(starts);
                let is_pinned = self.pins.contains_key(&first.1);
                seen.chains += u64::from(!is_pinned && !seen.calls.iter().any(leaves_some));
                assert!(
                    seen.chains <= most,
                    "worker {id:?} is given {} calls of {most}",
                    seen.chains
                );
            }
            seen.calls = calls;
        }
    }

    /// A worker in which function values live is not let go while somebody may have one.
    fn check_holders(&self, shadow: &mut Shadow) {
        let workers = self.hub.peers.iter();
        let staying = workers.filter(|(_, peer)| {
            let worker = peer.ready_worker();
            worker.is_some_and(|worker| worker.holds_functions && !worker.is_told_to_leave)
        });
        let staying: Vec<PeerId> = staying.map(|(id, _)| id).collect();
        let is_lost = shadow.holders.iter().any(|id| !staying.contains(id));
        assert!(
            !is_lost || self.has_faults || self.over_at_ms.is_some() || self.hub.calls.is_empty(),
            "function values stay as long as anything runs"
        );
        shadow.holders = staying;
    }

    /// Nothing runs on for longer than the grace once its client is answered.
    fn check_stale(&self, shadow: &mut Shadow) {
        let clock_ms = self.now_ms - self.hurried_ms;
        let mut stale = BTreeMap::new();
        for (number, worker) in self.workers.iter().enumerate() {
            let peer = worker.link.and_then(|link| self.hub.peers.get(link));
            let Some(peer) = peer.filter(|peer| matches!(peer.reading, Reading::Head)) else {
                continue;
            };
            let Some(known) = peer.ready_worker() else {
                continue;
            };
            let innermost = known.stack.last().map(|id| id.raw());
            for frame in &worker.frames {
                let Some(over_ms) = self.clients[self.plans[frame.plan].client].over_ms else {
                    continue;
                };
                // What waits below others ends after them.
                if !worker.runs_side_by_side() && innermost != Some(frame.id) {
                    continue;
                }
                let key = (number, frame.id);
                let since_ms = shadow.stale.get(&key).copied().unwrap_or(clock_ms).max(over_ms);
                stale.insert(key, since_ms);
                let spec = &self.pools[worker.pool].spec;
                // Where a signal can't be passed on any more, it is the pool that has to end.
                let is_cut = self.faults.control_closes + self.faults.control_garbage > 0;
                let grace_ms = CANCEL_GRACE_MS.min(spec.shutdown_ms)
                    + 2 * spec.shutdown_ms
                    + if is_cut { DEATH_REPORT_MS } else { 0 };
                assert!(
                    clock_ms <= since_ms + grace_ms + DELAYS_MS + LATE_MS,
                    "worker {number} runs plan {} {} ms after it was given up",
                    frame.plan,
                    clock_ms - since_ms
                );
            }
        }
        shadow.stale = stale;
    }

    /// What is taken for a deadlock is one: nothing runs and nothing is about to.
    fn check_deadlocks(&self, shadow: &mut Shadow) {
        if std::mem::replace(&mut shadow.deadlocks, self.hub.deadlocks) == self.hub.deadlocks {
            return;
        }
        // Who is not read while there is no room may run for nothing.
        if self.faults.garbage + self.faults.little_room > 0 {
            return;
        }
        for (number, worker) in self.workers.iter().enumerate() {
            let is_known = worker.link.and_then(|link| self.hub.peers.get(link)).is_some();
            assert!(
                worker.is_dead || worker.is_stuck || !is_known || worker.runnable().next().is_none(),
                "a deadlock is found while worker {number} runs"
            );
        }
        for (pool, entry) in self.hub.pools.iter().enumerate() {
            let is_ending = matches!(
                entry.state,
                State::Draining | State::Terminating | State::Killed | State::Backoff
            );
            let is_about_to = entry.state == State::Starting || is_ending && !entry.queue.is_empty();
            assert!(
                !is_about_to,
                "a deadlock is found while pool {pool} is started again"
            );
        }
    }
}
