//! What must hold around the hub: after every event, and when nothing happens any more. Changes nothing but the agenda.

use super::work::MESSAGE_BYTES_MAX;
use super::worker::Worker;
use super::world::{Event, LATE_MS, World};
use crate::core::call::Stage;
use crate::limits::{OUTBOX_BYTES_HIGH, READ_BYTES};

impl World {
    /// After every event.
    pub fn check(&mut self) {
        self.hub.assert_invariants();
        self.check_shadow();
        self.check_hosted();
        self.table.assert_invariants(MESSAGE_BYTES_MAX);
        self.check_desk();
        self.check_system();
        // What waited for a worker is given to it at once. The source in front is measured by what it sent itself, the others
        // by all that waits; each adds a read at most beyond that.
        let bytes_max = 2 * OUTBOX_BYTES_HIGH + self.whole_bytes_max + (self.links.len() + 1) * READ_BYTES;
        for (id, peer) in self.hub.peers.iter() {
            let link = self.links.get(&id);
            let Some(link) = link.filter(|link| link.is_hub_open) else {
                assert!(self.hub.output(id).is_empty(), "nothing is sent to the dead");
                continue;
            };
            let worker = self.workers.iter().find(|worker| worker.key == Some(id));
            let is_there = worker.map_or(self.pools[link.pool].process.is_some(), |worker| {
                !worker.is_reaped
            });
            assert!(is_there, "a process that is gone has no connections");
            assert!(
                self.hub.output(id).is_empty() || self.writable.contains(&id),
                "the shell knows who has something to write"
            );
            let waiting = peer.outbox.waiting_bytes();
            // Messages of worker processes are kept whole for whoever waits for them.
            let asking = worker.map_or(0, |worker| worker.processes_asked());
            let bytes_max = bytes_max + asking * MESSAGE_BYTES_MAX;
            assert!(waiting <= bytes_max, "{waiting} bytes wait for one peer");
        }
        let spooled = self.hub.calls.iter().filter_map(|(_, call)| match &call.stage {
            Stage::Queued(payload) if payload.source.is_some() => Some(payload.bytes.len()),
            _ => None,
        });
        let spool_max = self.hub.spool_bytes_max + self.links.len() * READ_BYTES;
        assert!(
            spooled.sum::<usize>() <= spool_max,
            "large calls that wait are bounded"
        );
        for client in self
            .clients
            .iter()
            .filter(|client| client.is_asked && !client.is_answered)
        {
            let is_late = client.due_ms.is_some_and(|due| self.now_ms > due + LATE_MS);
            assert!(!is_late, "a call is answered when its deadline passes");
        }
        if let Some(over_at_ms) = self.over_at_ms {
            let grace_ms = self
                .pools
                .iter()
                .map(|pool| 3 * pool.spec.shutdown_ms)
                .max()
                .unwrap_or(0);
            // Processes take a moment to die, and to do what they were about to when time passed.
            let is_late = self.now_ms > over_at_ms + grace_ms + 100 + self.hurried_ms;
            assert!(!is_late || self.hub.is_finished(), "the pools end in time");
        }
    }

    /// Nothing happens any more. True if this was not the end yet.
    pub fn wind_up(&mut self) -> bool {
        if self.is_loud {
            for (number, worker) in self.workers.iter().enumerate() {
                worker.describe(number);
            }
            self.hub
                .standing(self.now_ms)
                .iter()
                .for_each(|line| trace!(self, "{line}"));
            for (id, peer) in self.hub.peers.iter() {
                trace!(
                    self,
                    "{id:?} reading {:?} stalled by {:?} held {} waiting {} wants {} link {:?}",
                    peer.reading,
                    peer.stalled_by,
                    peer.held.len(),
                    peer.outbox.waiting_bytes(),
                    self.hub.wants_input(id),
                    self.links
                        .get(&id)
                        .map(|link| (link.to_hub.len(), link.to_far.len()))
                );
            }
            for pool in &self.hub.pools {
                trace!(
                    self,
                    "{} {:?} recycling {} queue {:?} workers {:?}",
                    pool.spec.name,
                    pool.state,
                    pool.is_recycling,
                    pool.queue,
                    pool.workers
                );
            }
        }
        for (number, client) in self.clients.iter().enumerate() {
            assert!(client.is_answered, "client {number} is answered");
        }
        self.check_requests();
        self.assert_nobody_waits();
        self.assert_pipes_done();
        if self.over_at_ms.is_none() {
            if !self.has_faults {
                assert_eq!(self.hub.calls.len(), 0, "a call that is over is forgotten");
                assert!(self.notes.is_empty(), "all that was said is passed on");
            }
            self.plan_event(0, Event::End(0));
            return true;
        }
        assert!(self.hub.is_finished(), "the pools have ended");
        assert!(
            self.pools.iter().all(|pool| pool.process.is_none()),
            "nothing is left running"
        );
        let is_left = |worker: &Worker| worker.key.is_some() && !worker.is_reaped;
        assert!(!self.workers.iter().any(is_left), "no worker is left running");
        assert!(self.hub.pools.iter().all(|pool| pool.processes.is_empty()));
        let left = (self.hub.calls.len(), self.hub.peers.len(), self.hub.queued_bytes);
        assert_eq!(left, (0, 0, 0), "calls, peers and bytes are all gone");
        assert_eq!(self.hub.next_deadline(), None);
        self.assert_no_programs();
        false
    }

    /// Every request of a worker that is still there is answered by now.
    fn check_requests(&self) {
        // An answer that stops halfway, and that nobody waits for, stands before all that comes after it.
        if self.faults.garbage + self.faults.outcome_stall > 0 {
            return;
        }
        for (number, worker) in self.workers.iter().enumerate() {
            let link = worker.link.and_then(|link| self.links.get(&link));
            let is_there = link.is_some_and(|link| link.is_hub_open && link.is_far_open) && !worker.is_stuck;
            let reads = worker.busy_until_ms <= self.now_ms;
            assert!(
                !is_there || !reads || worker.open.is_empty(),
                "the requests of worker {number} are answered: {:?}",
                worker.open.keys()
            );
        }
    }
}
