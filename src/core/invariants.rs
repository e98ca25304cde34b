//! What holds of the hub after every event, as assertions for its tests. Changes nothing.

use super::call::{CallId, Origin, Stage};
use super::hub::{Hub, Pool, Wiring};
use super::lifecycle::State;
use super::peer::{Peer, PeerId, Reading, Sink, WorkerState};
use std::collections::BTreeMap;

impl Hub {
    /// Checks everything; the simulation calls it after every event.
    pub(super) fn assert_invariants(&self) {
        self.assert_calls();
        for (id, peer) in self.peers.iter() {
            self.assert_peer(id, peer);
        }
        self.assert_pools();
        self.assert_deadlines();
    }

    fn assert_calls(&self) {
        let mut queued_bytes = 0;
        let mut children: BTreeMap<CallId, u32> = BTreeMap::new();
        let mut requests: BTreeMap<PeerId, u32> = BTreeMap::new();
        for (id, call) in self.calls.iter() {
            match &call.stage {
                Stage::Queued(payload) => {
                    let queue = &self.pools[call.pool.index()].queue;
                    assert!(queue.contains(&id), "a waiting call stands in its queue");
                    assert!(
                        call.origin != Origin::Nobody,
                        "somebody waits for a call that waits"
                    );
                    queued_bytes += payload.bytes.len();
                    let left = payload.len - payload.bytes.len() as u64;
                    let source = payload.source.and_then(|source| self.peers.get(source));
                    let expected = Reading::Body {
                        to_come: left,
                        sink: Sink::Argument(id),
                    };
                    let is_coming = source.is_some_and(|source| source.reading == expected);
                    assert!(is_coming || left == 0, "what is to come of a call is being sent");
                }
                Stage::Placed(worker) => {
                    let worker = self.peers.get(*worker).and_then(Peer::worker);
                    let is_there = worker.is_some_and(|worker| worker.stack.contains(&id));
                    assert!(is_there, "a placed call stands on its worker");
                }
                Stage::Answering => {
                    assert!(
                        matches!(call.origin, Origin::Client(_)) || call.owns_processes,
                        "only a client's answer is collected, or one that is held back"
                    );
                }
                Stage::Hosted { .. } => assert!(self.is_host(call.pool), "nexus runs what is its own"),
            }
            if let Origin::Worker { peer, .. } = call.origin {
                *requests.entry(peer).or_default() += 1;
            }
            if let Some(parent) = call.parent {
                *children.entry(parent).or_default() += 1;
            }
        }
        assert_eq!(queued_bytes, self.queued_bytes, "queued bytes are counted");
        for (id, call) in self.calls.iter() {
            let open = children.get(&id).copied().unwrap_or(0);
            assert_eq!(call.open_children, open, "the calls of a call are counted");
        }
        for (id, peer) in self.peers.iter() {
            let open = requests.remove(&id).unwrap_or(0);
            let counted = peer.worker().map_or(0, |worker| worker.open_requests);
            assert!(
                peer.is_closed() || counted >= open,
                "the requests of a worker are counted"
            );
        }
        assert!(requests.is_empty(), "an answer has somewhere to go");
    }

    /// Requests of a worker that are open and no calls.
    pub(super) fn asked(&self, id: PeerId) -> u32 {
        let made = |origin: Origin| matches!(origin, Origin::Worker { peer, .. } if peer == id);
        let calls = self.calls.iter().filter(|(_, call)| made(call.origin)).count();
        let worker = self.peers.get(id).and_then(Peer::worker);
        worker.map_or(0, |worker| worker.open_requests - calls as u32)
    }

    fn assert_peer(&self, id: PeerId, peer: &Peer) {
        if let Some(worker) = peer.worker() {
            assert!(
                self.pools[peer.pool.index()].workers.contains(&id),
                "a worker is in its pool"
            );
            for call in &worker.stack {
                let stage = self.calls.get(*call).map(|call| &call.stage);
                let is_here = matches!(stage, Some(Stage::Placed(on)) if *on == id);
                assert!(is_here, "a worker runs the calls that it was given");
            }
            let children = worker.stack.iter().filter_map(|call| self.calls.get(*call));
            let children: u32 = children.map(|call| call.open_children).sum();
            assert!(
                peer.is_closed() || children <= worker.open_requests,
                "a worker waits for what it asked for"
            );
            if worker.state == WorkerState::Connecting {
                let is_greeted = self.pools[peer.pool.index()].spec.wiring == Wiring::Remote;
                assert!(
                    worker.stack.is_empty() && (is_greeted || peer.outbox.is_empty()),
                    "nothing is sent before hello"
                );
            }
            if peer.is_closed() {
                assert!(
                    peer.outbox.is_empty() && peer.held.is_empty(),
                    "nothing is sent to the dead"
                );
            }
        }
        match peer.reading {
            Reading::Body { to_come, sink } if !peer.is_closed() => {
                assert!(to_come > 0, "a payload under way is not over");
                if let Sink::Peer(to) = sink
                    && let Some(to) = self.peers.get(to).filter(|to| !to.is_closed())
                {
                    let mut streams = to.outbox.open_streams();
                    assert!(
                        streams.any(|open| open == (id, to_come)),
                        "a payload has a stream to go to"
                    );
                }
            }
            _ => {}
        }
        for (from, left) in peer.outbox.open_streams() {
            let reading = self.peers.get(from).map(|from| from.reading);
            let is_fed = matches!(reading, Some(Reading::Body { to_come, .. }) if to_come == left);
            assert!(is_fed, "a stream has a source");
        }
    }

    fn assert_pools(&self) {
        for (number, pool) in self.pool_ids().zip(&self.pools) {
            for id in &pool.queue {
                let stage = self.calls.get(*id).map(|call| &call.stage);
                assert!(
                    matches!(stage, Some(Stage::Queued(_))),
                    "a queue holds calls that wait"
                );
            }
            let is_unique = |id| pool.queue.iter().filter(|other| **other == id).count() == 1;
            assert!(pool.queue.iter().all(|id| is_unique(*id)), "a call waits once");
            for id in pool.workers.iter().chain(&pool.control) {
                assert!(
                    self.peers.get(*id).is_some(),
                    "a pool knows connections that exist"
                );
            }
            // A worker that stays only for its function values may be called once more, and nest what it calls.
            assert!(
                self.staying_workers(number) <= pool.workers_max || self.holds_functions(number),
                "workers stay below their limit"
            );
            assert!(
                pool.exits.len() <= pool.spec.workers_max as usize,
                "reports stay below their limit"
            );
            if matches!(pool.state, State::Idle | State::Failed) {
                assert!(
                    pool.workers.is_empty() && pool.control.is_none(),
                    "what does not run has no connection"
                );
                assert!(pool.queue.is_empty(), "what does not run has no calls");
                assert!(pool.processes.is_empty(), "what does not run has no processes");
            }
            self.assert_processes(pool);
            let has_deadline = match pool.state {
                State::Idle => false,
                State::Ready => pool.control.is_none() && pool.spec.wiring == Wiring::Parent,
                _ => true,
            };
            assert!(
                pool.due.is_some() || !has_deadline,
                "what is not ready has a deadline"
            );
        }
    }

    fn assert_processes(&self, pool: &Pool) {
        if pool.spec.wiring == Wiring::Parent {
            assert!(pool.processes.is_empty(), "its workers are its own");
            return;
        }
        assert!(pool.control.is_none(), "nobody is in control of it but nexus");
        let has_process = |id: &PeerId| pool.processes.iter().any(|process| process.worker == *id);
        for id in &pool.workers {
            let is_closed = self.peers.get(*id).is_none_or(Peer::is_closed);
            assert!(is_closed || has_process(id), "a worker has a process");
        }
        for process in &pool.processes {
            let is_open = self
                .peers
                .get(process.worker)
                .is_some_and(|peer| !peer.is_closed());
            assert!(
                is_open || process.due.is_some(),
                "a process that is to end has a deadline"
            );
        }
    }

    fn assert_deadlines(&self) {
        let pools = self.pools.iter().map(|pool| pool.due);
        let processes = self.pools.iter().flat_map(|pool| &pool.processes);
        let workers = self.peers.iter().filter_map(|(_, peer)| peer.worker());
        let calls = self.calls.iter().map(|(_, call)| call.due);
        let all = pools.chain(workers.map(|worker| worker.due)).chain(calls);
        let all = all.chain(processes.map(|process| process.due));
        assert_eq!(
            all.flatten().count(),
            self.deadlines.len(),
            "every timer belongs to something"
        );
        let is_timed = |peer: &Peer| {
            let timed = peer.worker().filter(|worker| worker.state != WorkerState::Ready);
            timed.is_none_or(|worker| worker.due.is_some())
        };
        assert!(
            self.peers.iter().all(|(_, peer)| is_timed(peer)),
            "what is awaited has a deadline"
        );
    }
}
