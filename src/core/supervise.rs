//! Pools from start to end: what the table in `lifecycle` decides is carried out here, as effects and messages.

use super::call::CallId;
use super::hub::{Effect, Ended, Hub, Pool, Signal, Timer, Wiring};
use super::lifecycle::{Action, Event, State, next};
use super::peer::Role;
#[cfg(test)]
use super::simulation::Bug;
use super::tail::Tail;
use crate::error::{Error, Kind};
use crate::ids::PoolId;
use crate::limits::{
    BACKOFF_MS_MAX, BACKOFF_MS_MIN, DEATH_REPORT_MS, DEATHS_MAX, DEATHS_WINDOW_MS, KILL_AGAIN_MS,
};

const PROGRAM_ENDS: &str = "the program ends";

impl Hub {
    /// Starts a pool that is not running; a call starts its pool by itself.
    pub fn start(&mut self, pool: PoolId, now_ms: u64) {
        if !self.is_ending {
            self.apply(pool, Event::Start, now_ms);
        }
        let entry = &mut self.pools[pool.index()];
        entry.forget_deaths(now_ms);
        let is_going_on = match entry.state {
            // What still runs may end there, and that is all.
            State::Starting | State::Ready => !self.is_ending,
            // It is started again once it is gone.
            State::Draining | State::Terminating | State::Killed => !self.is_ending && entry.fault.is_none(),
            State::Backoff => !entry.is_left_alone(),
            State::Idle | State::Failed => false,
        };
        if !is_going_on {
            let entry = &self.pools[pool.index()];
            let mut error = entry.fault.clone().unwrap_or_else(|| match self.is_ending {
                true => Error::new(Kind::Cancelled, PROGRAM_ENDS),
                false => self.gone_error(pool),
            });
            if entry.is_left_alone() {
                let (deaths, seconds) = (entry.deaths.len(), DEATHS_WINDOW_MS / 1000);
                error.message = format!(
                    "pool '{}' has died {deaths} times within {seconds} s and is left alone for that long; the last time: {}",
                    entry.spec.name, error.message
                );
            }
            self.fail_queue(pool, &error);
        }
    }

    /// Starts a pool that has ended if calls wait for it.
    pub(super) fn start_if_wanted(&mut self, pool: PoolId, now_ms: u64) {
        let entry = &self.pools[pool.index()];
        if entry.state == State::Idle && !entry.queue.is_empty() {
            self.start(pool, now_ms);
        }
    }

    /// A pool's process runs.
    pub fn handle_spawned(&mut self, pool: PoolId, pid: u32) {
        self.pools[pool.index()].pid = pid;
    }

    /// A pool's process could not be started.
    pub fn handle_spawn_failed(&mut self, pool: PoolId, error: Box<Error>, now_ms: u64) {
        self.end_pool(pool, &error, now_ms);
        self.end_event(now_ms);
    }

    /// A pool's process has ended, and with it its group.
    pub fn handle_exited(&mut self, pool: PoolId, ended: Ended, now_ms: u64) {
        let error = self.pool_exit_error(pool, ended);
        self.end_pool(pool, &error, now_ms);
        self.end_event(now_ms);
    }

    /// Lets every pool finish: all calls are given up, and a pool in which nothing runs any more is asked to end. One that
    /// goes on with what was cancelled is ended. From now on no pool is started, and calls fail.
    pub fn drain(&mut self, now_ms: u64) {
        if !self.is_ending {
            self.is_ending = true;
            let error = Error::new(Kind::Cancelled, PROGRAM_ENDS);
            let roots = self.calls.iter().filter(|(_, call)| call.parent.is_none());
            let roots: Vec<CallId> = roots.map(|(id, _)| id).collect();
            for id in roots {
                self.give_up(id, &error, now_ms);
            }
        }
        for pool in self.pool_ids() {
            if !self.is_running(pool) {
                self.apply(pool, Event::Drain, now_ms);
            }
            // Also those whose calls were given up before, and that are about to do something else first.
            for worker in self.pools[pool.index()].workers.clone() {
                self.press(worker, now_ms);
            }
        }
        self.end_event(now_ms);
    }

    /// Ends every pool, whatever runs in it; else as [`Hub::drain`].
    pub fn terminate(&mut self, now_ms: u64) {
        self.is_ending = true;
        let error = Error::new(Kind::Cancelled, PROGRAM_ENDS);
        for pool in self.pool_ids() {
            self.apply(pool, Event::Terminate, now_ms);
            // One that was to be started again is not, so nothing comes of what waits for it.
            if self.pools[pool.index()].state == State::Idle {
                self.fail_queue(pool, &error);
            }
        }
        self.end_event(now_ms);
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
        let is_direct = entry.spec.wiring != Wiring::Parent;
        let grace_ms = now_ms.saturating_add(entry.spec.shutdown_ms);
        let due = match action {
            Action::None if state == before => return,
            Action::None if matches!(state, State::Backoff | State::Failed) => {
                entry.forget_deaths(now_ms);
                entry.deaths.push_back(now_ms);
                let doublings = entry.deaths.len().min(16) as u32 - 1;
                let wait_ms = (BACKOFF_MS_MIN << doublings).min(BACKOFF_MS_MAX);
                #[cfg(test)]
                let wait_ms = match self.planted {
                    Some(Bug::EndlessBackoff) => DEATHS_WINDOW_MS,
                    _ => wait_ms,
                };
                let first = entry.deaths.front().copied().unwrap_or(now_ms);
                Some(match entry.is_left_alone() {
                    true => first.saturating_add(DEATHS_WINDOW_MS),
                    false => now_ms.saturating_add(wait_ms),
                })
            }
            Action::None => None,
            Action::Spawn => {
                let hello_ms = now_ms.saturating_add(entry.spec.hello_ms);
                entry.exits.clear();
                entry.tail = Tail::default();
                entry.fault = None;
                entry.why = None;
                entry.can_signal = false;
                entry.is_recycling = false;
                entry.forked = 1;
                entry.open_grows = 0;
                entry.workers_max = entry.spec.workers_max as usize;
                if is_direct {
                    let worker = self.add_worker(pool, now_ms);
                    self.start_worker(pool, worker);
                } else {
                    let control = self.add_peer(pool, Role::Control);
                    self.pools[pool.index()].control = Some(control);
                    let worker = self.add_worker(pool, now_ms);
                    self.effects.push_back(Effect::Spawn {
                        pool,
                        control,
                        worker,
                    });
                }
                Some(hello_ms)
            }
            Action::SayShutdown => {
                self.say_shutdown(pool, now_ms);
                Some(grace_ms)
            }
            Action::Term => {
                self.cancel_all(pool, now_ms);
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
        let entry = &self.pools[pool.index()];
        let ends = matches!(entry.state, State::Draining | State::Terminating | State::Killed);
        if is_direct && ends && entry.processes.is_empty() {
            let error = self.gone_error(pool);
            self.end_pool(pool, &error, now_ms);
        }
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
        // Its first worker may be too old by now, and the pool with it.
        self.settle_pool(pool, now_ms);
        self.serve_queue(pool, now_ms);
    }

    fn say_shutdown(&mut self, pool: PoolId, now_ms: u64) {
        let error = self.gone_error(pool);
        for worker in self.pools[pool.index()].workers.clone() {
            self.lose_worker(worker, &error, now_ms);
        }
        if let Some(control) = self.pools[pool.index()].control {
            self.notify(control, "shutdown", 0, &[]);
        }
    }

    fn cancel_all(&mut self, pool: PoolId, now_ms: u64) {
        let running: Vec<_> = self
            .calls
            .iter()
            .filter(|(_, call)| call.pool == pool)
            .map(|(id, _)| id)
            .collect();
        for call in running {
            self.send_cancel(call, now_ms);
        }
    }

    /// A pool is gone: so are its connections, and every call that it had or was to have.
    pub(super) fn end_pool(&mut self, pool: PoolId, error: &Error, now_ms: u64) {
        // First, so that nothing more is given to it.
        let before = self.pools[pool.index()].state;
        self.apply(pool, Event::Exited, now_ms);
        if self.pools[pool.index()].fault.is_some() && before != State::Idle {
            // One that is at fault would be so again: the next calls don't start it at once either.
            self.apply(pool, Event::Fault, now_ms);
        }
        if !matches!(self.pools[pool.index()].state, State::Backoff | State::Failed) {
            self.set_pool_deadline(pool, None);
        }
        for worker in self.pools[pool.index()].workers.clone() {
            self.lose_worker(worker, error, now_ms);
        }
        if let Some(control) = self.pools[pool.index()].control.take() {
            self.drop_peer(control, now_ms);
        }
        let entry = &mut self.pools[pool.index()];
        entry.is_recycling = false;
        // What waits for a pool that did its share, or that nexus itself ended for one call, is none of that call's business.
        let is_replaced = !self.is_ending && entry.fault.is_none() && before != State::Starting;
        match entry.state {
            State::Idle if is_replaced => self.start_if_wanted(pool, now_ms),
            State::Idle if entry.fault.is_none() => self.fail_queue(pool, error),
            _ => {
                entry.fault.get_or_insert_with(|| Box::new(error.clone()));
                self.fail_queue(pool, error);
            }
        }
    }
}

impl Pool {
    /// Whether it has died too often, as far as that is remembered, and is not started before some of it is forgotten.
    pub(super) fn is_left_alone(&self) -> bool {
        matches!(self.state, State::Backoff | State::Failed) && self.deaths.len() >= DEATHS_MAX
    }

    /// Deaths count for a while only.
    fn forget_deaths(&mut self, now_ms: u64) {
        let is_old = |at: &u64| at.saturating_add(DEATHS_WINDOW_MS) <= now_ms;
        while self.deaths.front().is_some_and(is_old) {
            self.deaths.pop_front();
        }
    }
}
