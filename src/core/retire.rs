//! Workers that are to go: those that have done their share, those that are idle for long, and those that go on with what
//! was cancelled. Each is asked first, then sent SIGTERM, then SIGKILL.

use super::call::{Call, CallId};
use super::hub::{Effect, Ended, Hub, PeerId, Process, Signal, Timer, Wiring};
use super::lifecycle::{Event, State};
use super::peer::{Peer, Pressure, Worker, WorkerState};
#[cfg(test)]
use super::simulation::Bug;
use super::slab::Slab;
use crate::codec::message::PROTOCOL;
use crate::codec::msgpack::write;
use crate::error::{Error, Kind};
use crate::ids::PoolId;
use crate::limits::{CANCEL_AGAIN_MS, CANCEL_GRACE_MS, KILL_AGAIN_MS};

const SIGNALS: [(Signal, i64); 3] = [(Signal::Int, 2), (Signal::Term, 15), (Signal::Kill, 9)];

impl Hub {
    /// A worker said hello, or is done with a call: it may be its last.
    pub(super) fn settle_worker(&mut self, id: PeerId, now_ms: u64) {
        let Some(peer) = self.peers.get(id) else { return };
        let (pool, is_sending) = (peer.pool, self.is_sending(id));
        let spec = &self.pools[pool.index()].spec;
        let (recycle, wiring) = (spec.recycle, spec.wiring);
        let Some(worker) = self.peers.get_mut(id).and_then(Peer::worker_mut) else {
            return;
        };
        if worker.state != WorkerState::Ready {
            return;
        }
        let disobeys = disobeys(&self.calls, worker);
        if !worker.is_told_to_leave && !disobeys {
            worker.pressure = Pressure::None;
            worker.press_at = None;
        }
        if worker.stack.is_empty() && !is_sending {
            let age_at = recycle.max_age_ms.map(|age| worker.ready_ms.saturating_add(age));
            let idle_at = recycle.idle_exit_ms.map(|idle| now_ms.saturating_add(idle));
            let calls_done = worker.calls_done;
            #[cfg(test)]
            let calls_done = calls_done - u64::from(self.planted == Some(Bug::OneCallMore) && calls_done > 0);
            let is_worn = recycle.max_calls.is_some_and(|most| calls_done >= most);
            worker.leave_at = age_at.into_iter().chain(idle_at).min();
            let is_old = age_at.is_some_and(|at| at <= now_ms);
            // The process id of a remote one means nothing here.
            if recycle.max_rss_bytes.is_some() && worker.calls_done > 0 && wiring != Wiring::Remote {
                self.effects.push_back(Effect::Weigh(id, worker.pid));
            }
            if is_worn || is_old || worker.is_leaving {
                self.dismiss(id, now_ms);
            }
        }
        self.time_worker(id);
        if disobeys {
            self.press(id, now_ms);
        }
        self.settle_pool(pool, now_ms);
    }

    /// How much memory a worker has, in bytes.
    pub fn handle_weight(&mut self, id: PeerId, rss_bytes: u64, now_ms: u64) {
        let Some(peer) = self.peers.get(id) else { return };
        let pool = peer.pool;
        let most = self.pools[pool.index()].spec.recycle.max_rss_bytes;
        if most.is_some_and(|most| rss_bytes >= most)
            && let Some(worker) = self.peers.get_mut(id).and_then(Peer::worker_mut)
            && worker.state == WorkerState::Ready
            && !worker.is_leaving
        {
            match worker.stack.is_empty() {
                true => self.dismiss(id, now_ms),
                false => worker.is_leaving = true,
            }
        }
        #[cfg(test)]
        if self.planted == Some(Bug::NeverReplaced) {
            return;
        }
        // It may be the pool that has to go, and nothing else would say so.
        self.settle_pool(pool, now_ms);
    }

    /// Nothing runs in a pool that is to end or to be replaced as a whole: it may.
    pub(super) fn settle_pool(&mut self, pool: PoolId, now_ms: u64) {
        let entry = &self.pools[pool.index()];
        // At the end nobody waits for what is still being sent, and the rest of it may never come.
        let is_sent = || entry.workers.iter().all(|worker| !self.is_sending(*worker));
        if entry.state == State::Ready
            && !self.is_running(pool)
            && (self.is_ending || entry.is_recycling && is_sent())
        {
            self.apply(pool, Event::Drain, now_ms);
        }
    }

    /// Whether a worker of a pool has a call. At the end nobody asks how a worker died that is gone.
    pub(super) fn is_running(&self, pool: PoolId) -> bool {
        let has_call = |id: &PeerId| {
            let worker = self.peers.get(*id).and_then(Peer::worker);
            let runs = |worker: &Worker| !self.is_ending || worker.state != WorkerState::Lost;
            worker.is_some_and(|worker| !worker.stack.is_empty() && runs(worker))
        };
        self.pools[pool.index()].workers.iter().any(has_call)
    }

    /// Lets a worker go that has no call.
    fn dismiss(&mut self, id: PeerId, now_ms: u64) {
        let Some(pool) = self.peers.get(id).map(|peer| peer.pool) else {
            return;
        };
        let holds_functions = self.holds_functions(pool);
        let Some(peer) = self.peers.get_mut(id) else {
            return;
        };
        let entry = &mut self.pools[pool.index()];
        let Some(worker) = peer.worker_mut() else { return };
        let goes_alone = entry.spec.wiring != Wiring::Parent || worker.can_retire;
        let is_needed = (worker.holds_functions || !goes_alone && holds_functions) && !self.calls.is_empty();
        #[cfg(test)]
        let is_needed = is_needed && self.planted != Some(Bug::DropFunctions);
        if is_needed {
            // They stay valid as long as anything runs that may have got one.
            worker.is_leaving = true;
            worker.leave_at = None;
            return;
        }
        if entry.spec.wiring != Wiring::Parent {
            // Its process ends with its connection.
            self.drop_peer(id, now_ms);
            return self.fail_pinned(pool);
        }
        if !goes_alone {
            worker.is_leaving = true;
            entry.is_recycling = true;
            return;
        }
        if worker.is_told_to_leave {
            return;
        }
        worker.is_leaving = true;
        worker.is_told_to_leave = true;
        worker.leave_at = None;
        worker.pressure = Pressure::Asked;
        worker.press_at = Some(now_ms.saturating_add(entry.spec.shutdown_ms));
        self.notify(id, "retire", 0, &[]);
        self.time_worker(id);
    }

    /// Nothing runs any more: nobody has a function value that lives in a worker that is to leave.
    pub(super) fn dismiss_holders(&mut self, now_ms: u64) {
        if !std::mem::take(&mut self.all_over) || !self.calls.is_empty() {
            return;
        }
        let is_kept = |peer: &Peer| {
            let worker = peer.ready_worker();
            worker.is_some_and(|worker| worker.is_leaving && !worker.is_told_to_leave)
        };
        let kept = self.peers.iter().filter(|(_, peer)| is_kept(peer));
        let kept: Vec<(PeerId, PoolId)> = kept.map(|(id, peer)| (id, peer.pool)).collect();
        for (id, pool) in kept {
            self.dismiss(id, now_ms);
            self.settle_pool(pool, now_ms);
        }
    }

    /// Whether function values live in a worker of a pool.
    pub(super) fn holds_functions(&self, pool: PoolId) -> bool {
        let workers = self.pools[pool.index()].workers.iter();
        let mut workers = workers.filter_map(|id| self.peers.get(*id).and_then(Peer::worker));
        workers.any(|worker| worker.holds_functions)
    }

    /// Function values live in a pool from now on: it is not replaced as a whole before all is over.
    pub(super) fn keep_pool(&mut self, pool: PoolId, now_ms: u64) {
        if !self.calls.is_empty() && std::mem::take(&mut self.pools[pool.index()].is_recycling) {
            self.serve_queue(pool, now_ms);
        }
    }

    /// A worker was asked to give up a call: it has a while for it, once it can.
    pub(super) fn press(&mut self, id: PeerId, now_ms: u64) {
        let Some(peer) = self.peers.get_mut(id) else {
            return;
        };
        let grace_ms = self.pools[peer.pool.index()]
            .spec
            .shutdown_ms
            .min(CANCEL_GRACE_MS);
        if let Some(worker) = peer.worker_mut()
            && worker.pressure == Pressure::None
            && disobeys(&self.calls, worker)
        {
            worker.pressure = Pressure::Asked;
            worker.obey_by_ms = now_ms.saturating_add(grace_ms);
            worker.press_at = Some(now_ms.saturating_add(grace_ms.min(CANCEL_AGAIN_MS)));
            self.time_worker(id);
        }
    }

    /// Sets the timer of a worker that said hello to the first of what it is waited for.
    fn time_worker(&mut self, id: PeerId) {
        if let Some(worker) = self.peers.get_mut(id).and_then(Peer::worker_mut)
            && worker.state == WorkerState::Ready
        {
            let due = worker.press_at.into_iter().chain(worker.leave_at).min();
            self.deadlines.set(Timer::Worker(id), &mut worker.due, due);
        }
    }

    /// The timer of a worker that said hello.
    pub(super) fn handle_ready_worker_timeout(&mut self, id: PeerId, now_ms: u64) {
        let Some(worker) = self.peers.get_mut(id).and_then(Peer::worker_mut) else {
            return;
        };
        let is_due = |at: Option<u64>| at.is_some_and(|at| at <= now_ms);
        let (presses, leaves) = (is_due(worker.press_at), is_due(worker.leave_at));
        if presses {
            worker.press_at = None;
            self.press_harder(id, now_ms);
        }
        if leaves && let Some(worker) = self.peers.get_mut(id).and_then(Peer::worker_mut) {
            worker.leave_at = None;
            if worker.stack.is_empty() {
                self.dismiss_idle(id, now_ms);
            }
        }
        self.time_worker(id);
    }

    /// A worker has been idle for long, or is too old; the last of a pool takes the pool with it.
    fn dismiss_idle(&mut self, id: PeerId, now_ms: u64) {
        let Some(peer) = self.peers.get(id) else { return };
        let (pool, entry) = (peer.pool, &self.pools[peer.pool.index()]);
        let is_last = entry.workers.len() == 1 && entry.queue.is_empty();
        let is_free = self.calls.is_empty() || !self.holds_functions(pool);
        if is_last && is_free && entry.state == State::Ready && entry.spec.recycle.idle_exit_ms.is_some() {
            self.apply(pool, Event::Drain, now_ms);
        } else {
            self.dismiss(id, now_ms);
            self.settle_pool(pool, now_ms);
        }
    }

    /// A worker did not do in time what it was asked.
    fn press_harder(&mut self, id: PeerId, now_ms: u64) {
        let Some(peer) = self.peers.get(id) else { return };
        let (pool, entry) = (peer.pool, &self.pools[peer.pool.index()]);
        let Some(worker) = peer.worker() else { return };
        if worker.pressure == Pressure::Asked && now_ms < worker.obey_by_ms {
            return self.ask_again(id, now_ms);
        }
        let is_cancelled = |call: &CallId| self.calls.get(*call).is_some_and(|call| call.is_cancelled);
        let cancelled = worker.stack.iter().rev().copied().find(is_cancelled);
        let why = match cancelled {
            Some(call) => format!("{} did not stop when it was cancelled", self.call_name(call)),
            None => "it did not end when it was told to".into(),
        };
        let can_signal = entry.spec.wiring != Wiring::Parent || entry.can_signal;
        if self.is_ending || !can_signal {
            self.pools[pool.index()].why.get_or_insert(why);
            return self.apply(pool, Event::Terminate, now_ms);
        }
        let shutdown_ms = entry.spec.shutdown_ms;
        let Some(worker) = self.peers.get_mut(id).and_then(Peer::worker_mut) else {
            return;
        };
        worker.why.get_or_insert(why);
        let (pressure, signal, again_ms) = harder(worker.pressure, shutdown_ms);
        worker.pressure = pressure;
        worker.press_at = Some(now_ms.saturating_add(again_ms));
        self.signal_worker(id, signal);
    }

    /// Sends SIGINT once more for a call that is to be given up. It may have come in the moment between a look for signals and
    /// a sleep, where it ends nothing: no language closes that gap.
    fn ask_again(&mut self, id: PeerId, now_ms: u64) {
        if let Some(worker) = self.peers.get_mut(id).and_then(Peer::worker_mut) {
            let again_ms = now_ms.saturating_add(CANCEL_AGAIN_MS);
            worker.press_at = Some(again_ms.min(worker.obey_by_ms));
            self.signal_worker(id, Signal::Int);
        }
    }

    /// Sends a signal to the process of a worker, by itself or through its parent.
    pub(super) fn signal_worker(&mut self, id: PeerId, signal: Signal) {
        let Some(peer) = self.peers.get(id) else { return };
        let entry = &self.pools[peer.pool.index()];
        let pid = peer.worker().map_or(0, |worker| worker.pid);
        match entry.spec.wiring {
            Wiring::Direct => self.effects.push_back(Effect::SignalWorker(id, signal)),
            // To the command that it stands behind, SIGINT would mean to end.
            Wiring::Remote if signal == Signal::Int => {}
            Wiring::Remote => self.effects.push_back(Effect::SignalWorker(id, signal)),
            Wiring::Parent => {
                let control = entry.control.filter(|_| entry.can_signal && pid != 0);
                let number = SIGNALS.iter().find(|(known, _)| *known == signal);
                if let (Some(control), Some((_, number))) = (control, number) {
                    let mut payload = Vec::new();
                    write::unsigned(&mut payload, pid.into());
                    write::int(&mut payload, *number);
                    self.notify(control, "signal", 2, &payload);
                }
            }
        }
    }

    /// Spawns a worker of a pool that has no parent for it.
    pub(super) fn start_worker(&mut self, pool: PoolId, worker: PeerId) {
        self.pools[pool.index()].processes.push(Process {
            worker,
            pressure: Pressure::None,
            due: None,
        });
        self.effects.push_back(Effect::SpawnWorker { pool, worker });
        let spec = &self.pools[pool.index()].spec;
        if spec.wiring == Wiring::Remote {
            let mut payload = Vec::new();
            write::map(&mut payload, 2);
            write::string(&mut payload, "protocol");
            write::unsigned(&mut payload, PROTOCOL);
            write::string(&mut payload, "pool");
            write::string(&mut payload, &spec.name);
            self.notify(worker, "hello", 1, &payload);
        }
    }

    /// The process of a worker runs.
    pub fn handle_worker_spawned(&mut self, id: PeerId, pid: u32) {
        if let Some(peer) = self.peers.get(id) {
            self.pools[peer.pool.index()].pid = pid;
        }
    }

    /// The process of a worker could not be started.
    pub fn handle_worker_spawn_failed(&mut self, pool: PoolId, id: PeerId, error: Box<Error>, now_ms: u64) {
        self.drop_peer(id, now_ms);
        let entry = &mut self.pools[pool.index()];
        if entry.state == State::Ready && !entry.workers.is_empty() {
            // It goes on with those that it has.
            entry.workers_max = entry.workers.len();
        } else {
            self.fail_queue(pool, &error);
        }
        self.end_process(pool, id, &error, now_ms);
        self.end_event(now_ms);
    }

    /// The process of a worker ended, and all that it had sent was taken in.
    pub fn handle_worker_ended(&mut self, pool: PoolId, id: PeerId, ended: Ended, now_ms: u64) {
        let error = self.pool_exit_error(pool, ended);
        self.bury_worker(id, ended, now_ms);
        self.end_process(pool, id, &error, now_ms);
        self.end_event(now_ms);
    }

    fn end_process(&mut self, pool: PoolId, id: PeerId, error: &Error, now_ms: u64) {
        let processes = &mut self.pools[pool.index()].processes;
        if let Some(position) = processes.iter().position(|process| process.worker == id) {
            let mut process = processes.swap_remove(position);
            self.deadlines.set(Timer::Process(id), &mut process.due, None);
        }
        let entry = &self.pools[pool.index()];
        if entry.processes.is_empty() && !matches!(entry.state, State::Idle | State::Ready | State::Failed) {
            self.end_pool(pool, error, now_ms);
        } else {
            self.serve_queue(pool, now_ms);
        }
    }

    /// The connection of a worker is gone, so its process is to end too.
    pub(super) fn expect_process_end(&mut self, pool: PoolId, id: PeerId, now_ms: u64) {
        let entry = &mut self.pools[pool.index()];
        #[cfg(test)]
        if self.planted == Some(Bug::ForgetProcess) {
            entry.processes.retain(|process| process.worker != id);
        }
        let at_ms = now_ms.saturating_add(entry.spec.shutdown_ms);
        if let Some(process) = entry.processes.iter_mut().find(|process| process.worker == id)
            && process.pressure == Pressure::None
        {
            process.pressure = Pressure::Asked;
            self.deadlines
                .set(Timer::Process(id), &mut process.due, Some(at_ms));
        }
    }

    /// The process of a worker did not end in time.
    pub(super) fn handle_process_timeout(&mut self, id: PeerId, now_ms: u64) {
        for entry in &mut self.pools {
            let shutdown_ms = entry.spec.shutdown_ms;
            if let Some(process) = entry.processes.iter_mut().find(|process| process.worker == id) {
                let (pressure, signal, again_ms) = harder(process.pressure, shutdown_ms);
                process.pressure = pressure;
                let at_ms = Some(now_ms.saturating_add(again_ms));
                self.deadlines.set(Timer::Process(id), &mut process.due, at_ms);
                self.effects.push_back(Effect::SignalWorker(id, signal));
            }
        }
    }

    /// The error for a call that only one worker could run, which is gone.
    pub(super) fn pin_error(&self, pool: PoolId) -> Box<Error> {
        let name = &self.pools[pool.index()].spec.name;
        let message = format!(
            "the function value is no longer there: the worker of pool '{name}' that made it has ended"
        );
        Error::new(Kind::Terminated, message).pool(name.clone())
    }
}

/// Whether what a worker runs is something that it was asked to give up. What waits below another's call can't end before it.
fn disobeys(calls: &Slab<Call>, worker: &Worker) -> bool {
    let is_cancelled = |call: &CallId| calls.get(*call).is_some_and(|call| call.is_cancelled);
    worker.running().iter().any(is_cancelled)
}

/// The next step against what does not end, and how long it has from then on, in milliseconds.
fn harder(pressure: Pressure, shutdown_ms: u64) -> (Pressure, Signal, u64) {
    match pressure {
        Pressure::None | Pressure::Asked => (Pressure::Term, Signal::Term, shutdown_ms),
        Pressure::Term | Pressure::Kill => (Pressure::Kill, Signal::Kill, KILL_AGAIN_MS),
    }
}
