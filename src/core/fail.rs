//! Deaths and violations: which calls end, and with which words.

use super::call::{CallId, Origin, Stage};
use super::hub::{Effect, Ended, Function, Hub, PeerId, Timer, Wiring};
use super::lifecycle::{Event, State};
use super::outbox::Outbox;
use super::peer::{Peer, Reading, Role, Sink, Worker, WorkerState};
#[cfg(test)]
use super::simulation::Bug;
use crate::error::{Error, Kind, signal_name};
use crate::ids::PoolId;
use crate::limits::DEATH_REPORT_MS;

impl Hub {
    /// A connection ended, or was reset.
    pub fn handle_closed(&mut self, id: PeerId, now_ms: u64) {
        let Some(peer) = self.peers.get_mut(id) else {
            return;
        };
        let pool = peer.pool;
        match &mut peer.role {
            Role::Control => {
                self.pools[pool.index()].control = None;
                self.drop_peer(id, now_ms);
                self.expect_exit(pool, now_ms);
            }
            Role::Worker(worker) => {
                let pid = worker.pid;
                worker.state = WorkerState::Lost;
                let bury_at = now_ms.saturating_add(DEATH_REPORT_MS);
                self.deadlines
                    .set(Timer::Worker(id), &mut worker.due, Some(bury_at));
                self.hang_up(id, now_ms);
                if let Some(ended) = self.take_report(pool, pid) {
                    self.bury_worker(id, ended, now_ms);
                }
            }
        }
        self.end_event(now_ms);
    }

    /// A pool reports the death of one of its workers.
    pub(super) fn handle_worker_exit(&mut self, pool: PoolId, pid: u32, ended: Ended, now_ms: u64) {
        let entry = &mut self.pools[pool.index()];
        entry.forked = entry.forked.saturating_sub(1);
        let find = |wanted: &dyn Fn(&Worker) -> bool| {
            let worker = |id: &PeerId| self.peers.get(*id).and_then(Peer::worker);
            let mut ids = entry.workers.iter();
            ids.find(|id| worker(id).is_some_and(wanted)).copied()
        };
        let is_lost = |worker: &Worker| worker.state == WorkerState::Lost;
        // One that died before its hello is known by nothing.
        let lost = find(&|worker| is_lost(worker) && worker.pid == pid)
            .or_else(|| find(&|worker| is_lost(worker) && worker.pid == 0));
        let is_awaited = find(&|worker| worker.pid == pid || worker.pid == 0).is_some();
        if let Some(worker) = lost {
            self.bury_worker(worker, ended, now_ms);
        } else if is_awaited && entry.exits.len() < entry.spec.workers_max as usize {
            // Its connection has not ended yet.
            entry.exits.push((pid, ended));
            self.expect_hello_soon(pool, pid, now_ms);
        }
    }

    /// A worker has died that said no hello. If it had taken no connection either, one will wait in vain; which, is known
    /// when it had the time to end and none did.
    fn expect_hello_soon(&mut self, pool: PoolId, pid: u32, now_ms: u64) {
        let worker = |id: &PeerId| self.peers.get(*id).and_then(Peer::worker);
        let entry = &self.pools[pool.index()];
        let is_known = |id: &PeerId| worker(id).is_some_and(|worker| worker.pid == pid);
        if entry.forked as usize >= entry.workers.len() || entry.workers.iter().any(is_known) {
            return;
        }
        let is_connecting = |id: &&PeerId| {
            let state = worker(id).map(|worker| worker.state);
            state == Some(WorkerState::Connecting)
        };
        // The last to connect is the last to be taken.
        let last = entry.workers.iter().rfind(is_connecting).copied();
        if let Some(id) = last
            && let Some(worker) = self.peers.get_mut(id).and_then(Peer::worker_mut)
        {
            let bury_at = now_ms.saturating_add(DEATH_REPORT_MS);
            let soon = worker.due.map_or(bury_at, |due| due.min(bury_at));
            self.deadlines.set(Timer::Worker(id), &mut worker.due, Some(soon));
        }
    }

    /// The report of the death of a worker, if it came before its connection ended.
    fn take_report(&mut self, pool: PoolId, pid: u32) -> Option<Ended> {
        let entry = &mut self.pools[pool.index()];
        let workers = || {
            let ids = entry.workers.iter();
            ids.filter_map(|id| self.peers.get(*id).and_then(Peer::worker))
        };
        let position = entry.exits.iter().position(|(exited, _)| match pid {
            0 => workers().all(|worker| worker.pid != *exited),
            _ => pid == *exited,
        })?;
        Some(entry.exits.swap_remove(position).1)
    }

    /// Handles all deadlines that have passed.
    pub fn handle_timeout(&mut self, now_ms: u64) {
        while self.next_deadline().is_some_and(|at_ms| at_ms <= now_ms) {
            while let Some(timer) = self.deadlines.pop(now_ms) {
                self.handle_timer(timer, now_ms);
            }
            // What ends now may be due at once.
            self.end_event(now_ms);
        }
    }

    fn handle_timer(&mut self, timer: Timer, now_ms: u64) {
        match timer {
            Timer::Pool(pool) => {
                self.pools[pool.index()].due = None;
                self.handle_pool_timeout(pool, now_ms);
            }
            Timer::Worker(id) => self.handle_worker_timeout(id, now_ms),
            Timer::Process(id) => self.handle_process_timeout(id, now_ms),
            Timer::Call(id) => self.handle_call_timeout(id, now_ms),
        }
    }

    fn handle_pool_timeout(&mut self, pool: PoolId, now_ms: u64) {
        let entry = &self.pools[pool.index()];
        let name = &entry.spec.name;
        let is_direct = entry.spec.wiring != Wiring::Parent;
        let message = match (entry.state, entry.control) {
            (State::Starting, control) if control.is_some() || is_direct => {
                format!(
                    "pool '{name}' did not say hello within {} ms",
                    entry.spec.hello_ms
                )
            }
            (State::Starting | State::Ready, None) if !is_direct => {
                format!("pool '{name}' closed its control channel but goes on running")
            }
            _ => {
                self.apply(pool, Event::GraceOver, now_ms);
                return self.start_if_wanted(pool, now_ms);
            }
        };
        let hint =
            "if it only loads slowly, raise \"timeouts\": {\"hello_ms\": ...} of the pool in the manifest";
        let mut error = Error::new(Kind::HelloFailed, message)
            .hint(hint)
            .pool(name.clone());
        error.pid = Some(entry.pid);
        error.stderr_tail = entry.tail.lines();
        self.fail_pool(pool, error, now_ms);
    }

    fn handle_worker_timeout(&mut self, id: PeerId, now_ms: u64) {
        let Some(peer) = self.peers.get_mut(id) else {
            return;
        };
        let pool = peer.pool;
        let Some(worker) = peer.worker_mut() else { return };
        worker.due = None;
        match worker.state {
            WorkerState::Lost => {
                let entry = &mut self.pools[pool.index()];
                if entry.spec.wiring == Wiring::Parent {
                    entry.forked = entry.forked.saturating_sub(1);
                }
                self.bury_worker(id, Ended::Unknown, now_ms);
            }
            WorkerState::Ready => self.handle_ready_worker_timeout(id, now_ms),
            WorkerState::Connecting => {
                let hello_by_ms = worker.hello_by_ms;
                if let Some(ended) = self.take_report(pool, 0) {
                    return self.bury_worker(id, ended, now_ms);
                }
                if hello_by_ms > now_ms
                    && let Some(worker) = self.peers.get_mut(id).and_then(Peer::worker_mut)
                {
                    let timer = Timer::Worker(id);
                    return self.deadlines.set(timer, &mut worker.due, Some(hello_by_ms));
                }
                let entry = &self.pools[pool.index()];
                let (name, hello_ms) = (entry.spec.name.clone(), entry.spec.hello_ms);
                let message = format!("a worker of pool '{name}' did not say hello within {hello_ms} ms");
                let mut error = Error::new(Kind::HelloFailed, message).pool(name);
                error.stderr_tail = entry.tail.lines();
                self.drop_peer(id, now_ms);
                self.fail_queue(pool, &error);
            }
        }
    }

    /// A peer sent what the protocol does not allow: it can't be trusted with another message.
    pub(super) fn handle_violation(&mut self, id: PeerId, what: &str, now_ms: u64) {
        let Some(peer) = self.peers.get(id) else { return };
        let pool = peer.pool;
        let name = self.pools[pool.index()].spec.name.clone();
        match peer.worker() {
            Some(worker) => {
                let message = format!("a worker of pool '{name}' broke the protocol: {what}");
                let mut error = Error::new(Kind::Protocol, message).pool(name);
                error.pid = Some(worker.pid).filter(|pid| *pid != 0);
                error.stderr_tail = self.pools[pool.index()].tail.lines();
                if worker.state == WorkerState::Connecting {
                    self.fail_queue(pool, &error);
                }
                self.lose_worker(id, &error, now_ms);
            }
            None => {
                let message = format!("pool '{name}' broke the protocol on its control channel: {what}");
                let mut error = Error::new(Kind::Protocol, message).pool(name);
                error.stderr_tail = self.pools[pool.index()].tail.lines();
                self.fail_pool(pool, error, now_ms);
            }
        }
    }

    /// Ends a pool that can't be used, and all calls that it has or was to have.
    pub(super) fn fail_pool(&mut self, pool: PoolId, error: Box<Error>, now_ms: u64) {
        // First, so that nothing more is given to it.
        self.apply(pool, Event::Fault, now_ms);
        for worker in self.pools[pool.index()].workers.clone() {
            self.lose_worker(worker, &error, now_ms);
        }
        self.fail_queue(pool, &error);
        self.pools[pool.index()].fault.get_or_insert(error);
    }

    pub(super) fn fail_queue(&mut self, pool: PoolId, error: &Error) {
        while let Some(id) = self.pools[pool.index()].queue.front().copied() {
            self.fail_call(id, Box::new(error.clone()));
        }
    }

    /// A worker is gone and it is known how.
    pub(super) fn bury_worker(&mut self, id: PeerId, ended: Ended, now_ms: u64) {
        let Some(peer) = self.peers.get(id) else { return };
        let pool = peer.pool;
        let Some(worker) = peer.worker() else { return };
        let ran = worker
            .stack
            .last()
            .and_then(|call| self.calls.get(*call))
            .map(|call| call.mid);
        let was_new = worker.pid == 0;
        let name = &self.pools[pool.index()].spec.name;
        let mut message = format!("a worker of pool '{name}' {}", ended.verb());
        if let Some(mid) = ran {
            message.push_str(&format!(" while it ran {}", self.function_name(pool, mid)));
        } else if was_new {
            message.push_str(" before it said hello");
        }
        if let Some(why) = &worker.why {
            message.push_str(&format!(", as nexus ended it: {why}"));
        }
        let kind = if was_new {
            Kind::HelloFailed
        } else {
            Kind::Terminated
        };
        let mut error = Error::new(kind, message).pool(name.clone());
        error.pid = Some(worker.pid).filter(|pid| *pid != 0);
        error.function = ran.and_then(|mid| self.exported_name(pool, mid));
        ended.note(&mut error);
        error.stderr_tail = self.pools[pool.index()].tail.lines();
        if was_new {
            self.fail_queue(pool, &error);
        }
        self.lose_worker(id, &error, now_ms);
    }

    /// Forgets a worker; the calls that it had end with that error, those that it made go on for nobody. If it was in the
    /// middle of a message to another worker, that one can't be told so and is lost with it: the rest of the message would
    /// have to be made up, and what is made up can be taken for an argument or a result.
    pub(super) fn lose_worker(&mut self, id: PeerId, error: &Error, now_ms: u64) {
        let mut lost = vec![id];
        let mut pools = Vec::new();
        while let Some(id) = lost.pop() {
            let Some(peer) = self.peers.get_mut(id) else {
                continue;
            };
            pools.push(peer.pool);
            let mut calls = peer
                .worker_mut()
                .map(|worker| std::mem::take(&mut worker.stack))
                .unwrap_or_default();
            if let Reading::Body { sink, .. } = peer.reading {
                match sink {
                    Sink::Call(call) => calls.push(call),
                    // One that is dead as well has its own reason.
                    Sink::Peer(to) if self.peers.get(to).is_some_and(|to| !to.is_closed()) => lost.push(to),
                    _ => {}
                }
            }
            for call in calls.into_iter().rev() {
                self.fail_call(call, Box::new(error.clone()));
            }
            self.drop_peer(id, now_ms);
        }
        for pool in pools {
            self.fail_pinned(pool);
            self.settle_pool(pool, now_ms);
            #[cfg(test)]
            if self.planted == Some(Bug::ForgetQueue) {
                self.pools[pool.index()].queue.clear();
            }
            self.serve_queue(pool, now_ms);
        }
    }

    /// Fails the calls that wait for a worker that is gone, while others might serve them no better.
    pub(super) fn fail_pinned(&mut self, pool: PoolId) {
        let is_lost = |id: &CallId| {
            let call = self.calls.get(*id);
            call.is_some_and(|call| call.pin.is_some() && !self.has_pinned(call))
        };
        let queue = self.pools[pool.index()].queue.iter();
        let lost: Vec<CallId> = queue.copied().filter(is_lost).collect();
        for id in lost {
            self.fail_call(id, self.pin_error(pool));
        }
    }

    /// Forgets a connection and all that refers to it.
    pub(super) fn drop_peer(&mut self, id: PeerId, now_ms: u64) {
        if self.peers.get(id).is_some_and(|peer| !peer.is_closed()) {
            self.hang_up(id, now_ms);
        }
        let Some(mut peer) = self.peers.remove(id) else {
            return;
        };
        if let Some(worker) = peer.worker_mut() {
            self.deadlines.set(Timer::Worker(id), &mut worker.due, None);
        }
        self.pools[peer.pool.index()]
            .workers
            .retain(|worker| *worker != id);
    }

    /// Closes a connection: what was on its way through it ends, and the calls that it made are given up.
    fn hang_up(&mut self, id: PeerId, now_ms: u64) {
        let Some(peer) = self.peers.get_mut(id) else {
            return;
        };
        let pool = peer.pool;
        self.effects.push_back(Effect::Close(id));
        peer.outbox = Outbox::default();
        peer.held = Vec::new();
        peer.note = None;
        peer.asking = None;
        // Whoever runs those calls must not be asked to stop over a connection that is closed.
        if let Some(worker) = peer.worker_mut() {
            worker.state = WorkerState::Lost;
        }
        self.orphan_calls(id, now_ms);
        self.expect_process_end(pool, id, now_ms);
    }

    /// Ends a call with an error for whoever waits for it. A worker that has it keeps it until it answers.
    pub(super) fn fail_call(&mut self, id: CallId, error: Box<Error>) {
        let Some(call) = self.calls.get_mut(id) else {
            return;
        };
        let origin = std::mem::replace(&mut call.origin, Origin::Nobody);
        let (pool, mid) = (call.pool, call.mid);
        let error = self.describe(error, pool, mid);
        match origin {
            Origin::Client(token) => self.effects.push_back(Effect::Answer {
                token,
                result: Err(error),
            }),
            Origin::Worker { peer, id: request } => {
                #[cfg(test)]
                let request = self.sibling_request(id).unwrap_or(request);
                self.respond(peer, request, Some(&error));
                self.close_request(peer);
            }
            Origin::Nobody => {}
        }
        self.end_owner(id, false);
        let is_running = match self.calls.get(id).map(|call| &call.stage) {
            #[cfg(test)]
            Some(Stage::Hosted { .. }) if self.planted == Some(Bug::HostGoesOn) => false,
            Some(Stage::Hosted { is_begun: true }) => {
                self.effects.push_back(Effect::CancelHost(id.raw()));
                false
            }
            Some(Stage::Placed(worker)) => {
                let worker = self.peers.get(*worker).and_then(Peer::worker);
                worker.is_some_and(|worker| worker.stack.contains(&id))
            }
            _ => false,
        };
        if !is_running {
            self.forget_call(id);
        } else if let Some(call) = self.calls.get_mut(id) {
            self.deadlines.set(Timer::Call(id), &mut call.due, None);
            let (parent, is_awaited) = (call.parent.take(), call.is_awaited);
            self.end_child(parent, is_awaited);
        }
    }

    /// The request that is taken for that of a call, if that bug is planted.
    #[cfg(test)]
    fn sibling_request(&self, id: CallId) -> Option<u64> {
        let call = self.calls.get(id)?;
        let parent = call.parent.filter(|_| self.planted == Some(Bug::AnswerSibling))?;
        let sibling = self.calls.get(self.calls.get(parent)?.last_child?)?;
        match sibling.origin {
            Origin::Worker { id, .. } if call.is_parallel => Some(id),
            _ => None,
        }
    }

    pub(super) fn forget_call(&mut self, id: CallId) {
        let Some(call) = self.remove_call(id) else {
            return;
        };
        self.end_child(call.parent, call.is_awaited);
        if let Stage::Queued(payload) = call.stage {
            self.pools[call.pool.index()].queue.retain(|queued| *queued != id);
            self.queued_bytes -= payload.bytes.len();
            if let Some(source) = payload.source {
                self.turn_to(source, id, Sink::Nobody);
            }
        }
    }

    pub(super) fn pool_exit_error(&self, pool: PoolId, ended: Ended) -> Box<Error> {
        let entry = &self.pools[pool.index()];
        let name = &entry.spec.name;
        let (kind, when) = match entry.state {
            State::Starting => (Kind::HelloFailed, " before it said hello"),
            _ => (Kind::Terminated, ""),
        };
        let mut message = format!("pool '{name}' {}{when}", ended.verb());
        if let Some(why) = &entry.why {
            message.push_str(&format!(", as nexus ended it: {why}"));
        }
        let mut error = Error::new(kind, message).pool(name.clone());
        error.pid = Some(entry.pid);
        ended.note(&mut error);
        error.stderr_tail = entry.tail.lines();
        error
    }

    pub(super) fn gone_error(&self, pool: PoolId) -> Box<Error> {
        let entry = &self.pools[pool.index()];
        let mut error = Error::new(Kind::Terminated, format!("pool '{}' has ended", entry.spec.name));
        error.stderr_tail = entry.tail.lines();
        error.pool(entry.spec.name.clone())
    }

    /// Adds to an error what is known of the call that it ends.
    pub(super) fn describe(&self, mut error: Box<Error>, pool: PoolId, mid: i64) -> Box<Error> {
        if self.is_host(pool) {
            return error;
        }
        error
            .pool
            .get_or_insert_with(|| self.pools[pool.index()].spec.name.clone());
        if error.function.is_none() {
            error.function = self.exported_name(pool, mid);
        }
        error
    }

    /// What messages call a function.
    pub(super) fn function_name(&self, pool: PoolId, mid: i64) -> String {
        let name = self.exported_name(pool, mid);
        name.map_or_else(|| format!("function {mid}"), |name| format!("'{name}'"))
    }

    fn exported_name(&self, pool: PoolId, mid: i64) -> Option<String> {
        let is_it = |function: &&Function| function.pool == pool && function.mid == mid;
        self.functions
            .iter()
            .find(is_it)
            .map(|function| function.name.clone())
    }
}

impl Ended {
    pub(super) fn verb(self) -> String {
        match self {
            Ended::Code(code) => format!("exited with code {code}"),
            Ended::Signal(signal) => format!("was ended by {}", signal_name(signal)),
            Ended::Unknown => "closed its connection".into(),
        }
    }

    pub(super) fn note(self, error: &mut Error) {
        match self {
            Ended::Code(code) => error.exit_code = Some(code),
            Ended::Signal(signal) => error.signal = Some(signal),
            Ended::Unknown => {}
        }
    }
}
