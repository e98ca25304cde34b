//! Pools from start to end: what the table in `lifecycle` decides is carried out here, as effects and messages.

use super::hub::{Effect, Ended, Hub, Signal, Timer};
use super::lifecycle::{Action, Event, State, next};
use super::peer::Role;
use super::tail::Tail;
use crate::codec::message::write_notification;
use crate::error::Error;
use crate::ids::PoolId;
use crate::limits::{DEATH_REPORT_MS, KILL_AGAIN_MS};

impl Hub {
    /// Starts a pool that is not running; a call starts its pool by itself.
    pub fn start(&mut self, pool: PoolId, now_ms: u64) {
        if !self.is_ending {
            self.apply(pool, Event::Start, now_ms);
        }
        let entry = &self.pools[pool.index()];
        let is_going_on = matches!(entry.state, State::Starting | State::Ready | State::Draining);
        if !is_going_on {
            let error = entry.fault.clone().unwrap_or_else(|| self.gone_error(pool));
            self.fail_queue(pool, &error);
        }
    }

    /// A pool's process runs.
    pub fn handle_spawned(&mut self, pool: PoolId, pid: u32) {
        self.pools[pool.index()].pid = pid;
    }

    /// A pool's process could not be started.
    pub fn handle_spawn_failed(&mut self, pool: PoolId, error: Box<Error>, now_ms: u64) {
        self.end_pool(pool, &error, now_ms);
        self.break_deadlocks();
    }

    /// A pool's process has ended, and with it its group.
    pub fn handle_exited(&mut self, pool: PoolId, ended: Ended, now_ms: u64) {
        let error = self.pool_exit_error(pool, ended);
        self.end_pool(pool, &error, now_ms);
        self.break_deadlocks();
    }

    /// Lets every pool finish: those in which nothing runs are asked to, the others are ended. From now on no pool is
    /// started, and calls to those that have ended fail.
    pub fn drain(&mut self, now_ms: u64) {
        self.is_ending = true;
        for pool in self.pool_ids() {
            let is_busy = self.calls.iter().any(|(_, call)| call.pool == pool);
            let event = if is_busy { Event::Terminate } else { Event::Drain };
            self.apply(pool, event, now_ms);
        }
        self.break_deadlocks();
    }

    /// Ends every pool, whatever runs in it; else as [`Hub::drain`].
    pub fn terminate(&mut self, now_ms: u64) {
        self.is_ending = true;
        for pool in self.pool_ids() {
            self.apply(pool, Event::Terminate, now_ms);
        }
        self.break_deadlocks();
    }

    /// Ends every pool at once, without grace; else as [`Hub::drain`].
    pub fn kill(&mut self, now_ms: u64) {
        self.terminate(now_ms);
        for pool in self.pool_ids() {
            if self.pools[pool.index()].state == State::Terminating {
                self.apply(pool, Event::GraceOver, now_ms);
            }
        }
    }

    pub(super) fn pool_ids(&self) -> impl Iterator<Item = PoolId> + use<> {
        (0..self.pools.len() as u32).map(PoolId)
    }

    pub(super) fn apply(&mut self, pool: PoolId, event: Event, now_ms: u64) {
        let entry = &mut self.pools[pool.index()];
        let before = entry.state;
        let (state, action) = next(before, event);
        entry.state = state;
        let grace_ms = now_ms.saturating_add(entry.spec.shutdown_ms);
        let due = match action {
            Action::None if state == before => return,
            Action::None => None,
            Action::Spawn => {
                let hello_ms = now_ms.saturating_add(entry.spec.hello_ms);
                entry.exits.clear();
                entry.tail = Tail::default();
                entry.fault = None;
                entry.forked = 1;
                entry.open_grows = 0;
                entry.workers_max = entry.spec.workers_max as usize;
                let control = self.add_peer(pool, Role::Control);
                self.pools[pool.index()].control = Some(control);
                let worker = self.add_worker(pool, now_ms);
                self.effects.push_back(Effect::Spawn {
                    pool,
                    control,
                    worker,
                });
                Some(hello_ms)
            }
            Action::SayShutdown => {
                self.say_shutdown(pool, now_ms);
                Some(grace_ms)
            }
            Action::Term => {
                self.cancel_all(pool);
                self.effects.push_back(Effect::Signal(pool, Signal::Term));
                Some(grace_ms)
            }
            Action::Kill => {
                self.effects.push_back(Effect::Signal(pool, Signal::Kill));
                // Nothing can ignore it, but a process that the system holds may need it again.
                Some(now_ms.saturating_add(KILL_AGAIN_MS))
            }
        };
        self.set_pool_deadline(pool, due);
    }

    pub(super) fn set_pool_deadline(&mut self, pool: PoolId, at_ms: Option<u64>) {
        self.deadlines
            .set(Timer::Pool(pool), &mut self.pools[pool.index()].due, at_ms);
    }

    /// A pool whose control channel ended is about to end itself; if it doesn't, it is at fault.
    pub(super) fn expect_exit(&mut self, pool: PoolId, now_ms: u64) {
        if matches!(self.pools[pool.index()].state, State::Starting | State::Ready) {
            self.set_pool_deadline(pool, Some(now_ms.saturating_add(DEATH_REPORT_MS)));
        }
    }

    pub(super) fn handle_pool_hello(&mut self, pool: PoolId, workers: u32, now_ms: u64) {
        let entry = &mut self.pools[pool.index()];
        if entry.state != State::Starting {
            return;
        }
        entry.forked = workers;
        self.apply(pool, Event::Hello, now_ms);
        self.match_workers(pool);
        self.serve_queue(pool, now_ms);
    }

    fn say_shutdown(&mut self, pool: PoolId, now_ms: u64) {
        let error = self.gone_error(pool);
        for worker in self.pools[pool.index()].workers.clone() {
            self.lose_worker(worker, &error, now_ms);
        }
        if let Some(control) = self.pools[pool.index()].control
            && let Some(peer) = self.peers.get_mut(control)
        {
            // No payload.
            let _ = peer
                .outbox
                .append(|out| write_notification(out, "shutdown", 0, 0));
            self.list(control);
        }
    }

    fn cancel_all(&mut self, pool: PoolId) {
        let running: Vec<_> = self
            .calls
            .iter()
            .filter(|(_, call)| call.pool == pool)
            .map(|(id, _)| id)
            .collect();
        for call in running {
            self.send_cancel(call);
        }
    }

    /// A pool is gone: so are its connections, and every call that it had or was to have.
    fn end_pool(&mut self, pool: PoolId, error: &Error, now_ms: u64) {
        // First, so that nothing more is given to it.
        self.apply(pool, Event::Exited, now_ms);
        self.set_pool_deadline(pool, None);
        for worker in self.pools[pool.index()].workers.clone() {
            self.lose_worker(worker, error, now_ms);
        }
        if let Some(control) = self.pools[pool.index()].control.take() {
            self.drop_peer(control);
        }
        self.pools[pool.index()]
            .fault
            .get_or_insert_with(|| Box::new(error.clone()));
        self.fail_queue(pool, error);
    }
}
