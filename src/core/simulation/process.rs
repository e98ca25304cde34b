//! The processes of workers as the hub sees them: started by it or by a pool's parent, interrupted, ended, reaped.

use super::wire;
use super::worker::Worker;
use super::world::{Event, World, take_front};
use crate::core::hub::{Ended, PeerId, Signal, Wiring};
use crate::error::{Error, Kind};
use crate::ids::PoolId;
use crate::limits::READ_BYTES;

impl World {
    /// Starts a worker that has no parent.
    pub fn spawn_worker(&mut self, pool: usize, key: PeerId) {
        self.add_link(key, pool);
        assert!(self.over_at_ms.is_none(), "nothing is started after the end");
        assert!(self.pools[pool].spec.wiring != Wiring::Parent);
        if self.random.chance(self.faults.spawn_fails) {
            let error = Error::new(Kind::SpawnFailed, "no such file");
            let pool = PoolId(pool as u32);
            return self.hub.handle_worker_spawn_failed(pool, key, error, self.now_ms);
        }
        self.last_pid += 1;
        let mut worker = Worker::draw(pool, self.last_pid, &self.faults, &mut self.random);
        worker.key = Some(key);
        self.hub.handle_worker_spawned(key, worker.pid);
        let number = self.workers.len();
        self.workers.push(worker);
        let hello_ms = self.pools[pool].spec.hello_ms;
        let load_ms = match self.random.chance(self.faults.hello_late) {
            true => hello_ms + self.random.below(20),
            false => self.random.below(hello_ms.min(40)),
        };
        if self.random.chance(self.faults.connect_fails) {
            let delay = self.random.below(40);
            self.plan_event(delay, Event::Die(number, Ended::Code(1)));
        } else if !self.random.chance(self.faults.hello_never) {
            self.plan_event(load_ms, Event::LoadWorker(number));
        }
    }

    /// It has loaded its code.
    pub fn load_worker(&mut self, number: usize) {
        let worker = &self.workers[number];
        if let Some(key) = worker.key.filter(|_| !worker.is_dead) {
            self.accept(number, key);
        }
    }

    /// A signal of nexus for a worker that it has started.
    pub fn signal_worker(&mut self, key: PeerId, signal: Signal) {
        let number = self.workers.iter().position(|worker| worker.key == Some(key));
        let number = number.expect("only a process that was started is sent a signal");
        let worker = &self.workers[number];
        assert!(!worker.is_reaped, "a process that is gone is sent no signal");
        let wiring = self.pools[worker.pool].spec.wiring;
        assert!(
            signal != Signal::Int || wiring == Wiring::Direct,
            "what stands behind a command is not interrupted"
        );
        if signal == Signal::Int && self.links.get(&key).is_some_and(|link| link.is_hub_open) {
            self.write(key, true);
        }
        let signal = match signal {
            Signal::Int => 2,
            Signal::Term => 15,
            Signal::Kill => 9,
        };
        self.deliver(number, signal);
    }

    /// A signal arrives.
    pub fn deliver(&mut self, number: usize, signal: i64) {
        let worker = &self.workers[number];
        trace!(self, "signal {signal} to worker {number}");
        match signal {
            _ if worker.is_dead => {}
            2 => self.interrupt(number),
            15 if worker.ignores_term => {}
            15 => {
                let delay = self.random.below(30);
                self.plan_event(delay, Event::Die(number, Ended::Signal(15)));
            }
            9 => {
                let delay = self.random.below(5);
                self.plan_event(delay, Event::Die(number, Ended::Signal(9)));
            }
            other => panic!("signal {other} is none that nexus sends"),
        }
    }

    /// It looks at its connection for cancels of what it runs; the rest stays for later.
    fn interrupt(&mut self, number: usize) {
        let worker = &mut self.workers[number];
        let Some(link) = worker.link.and_then(|link| self.links.get_mut(&link)) else {
            return;
        };
        if worker.is_stuck {
            return;
        }
        worker.inbox.append(&mut link.to_far);
        let frames = &worker.frames;
        let cancelled = wire::take_cancels(&mut worker.inbox, |id| frames.iter().any(|frame| frame.id == id));
        for id in cancelled {
            self.cancel_frame(number, id);
        }
        let worker = &mut self.workers[number];
        if worker.frames.last().is_some_and(|frame| frame.is_cancelled) {
            worker.busy_until_ms = worker.busy_until_ms.min(self.now_ms);
        }
    }

    /// Its process dies: what it had not sent is lost, and its parent says how it died, if it does.
    pub fn kill_worker(&mut self, number: usize, ended: Ended) {
        let worker = &mut self.workers[number];
        trace!(self, "worker {number} of pool {} dies: {ended:?}", worker.pool);
        let (pool, pid) = (worker.pool, worker.pid);
        worker.is_dead = true;
        worker.ended = Some(ended);
        worker.frames.clear();
        let (link, key) = (worker.link.take(), worker.key);
        if let Some(id) = link.or(key) {
            self.cut_off(id);
        }
        if key.is_none() && !self.random.chance(self.faults.unreported) {
            let delay = if self.random.chance(50) {
                300
            } else {
                self.random.below(50)
            };
            self.plan_event(delay, Event::Report(pool, pid, ended));
        }
    }

    pub fn can_reap_worker(&self, number: usize) -> bool {
        let worker = &self.workers[number];
        worker.is_dead && worker.key.is_some() && !worker.is_reaped
    }

    /// Nexus learns that a process has ended. What that had sent before still counts.
    pub fn reap_worker(&mut self, number: usize) {
        let worker = &self.workers[number];
        let (Some(key), Some(ended)) = (worker.key, worker.ended) else {
            return;
        };
        let pool = worker.pool;
        while self.hub.wants_input(key)
            && let Some(link) = self.links.get_mut(&key).filter(|link| link.is_hub_open)
        {
            if link.to_hub.is_empty() {
                self.tell_closed(key);
                break;
            }
            let len = link.to_hub.len().min(READ_BYTES);
            let bytes = take_front(&mut link.to_hub, len);
            self.hub.handle_input(key, &bytes, self.now_ms);
            self.settle();
        }
        trace!(self, "worker {number} is reaped");
        self.workers[number].is_reaped = true;
        self.hub
            .handle_worker_ended(PoolId(pool as u32), key, ended, self.now_ms);
        self.settle();
        assert!(!self.links.contains_key(&key), "who is gone has no connection");
    }
}
