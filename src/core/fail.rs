//! Deaths, deadlines and violations: which calls end, and with which words.

use super::call::{CallId, Origin, Payload, Stage};
use super::hub::{Effect, Ended, Hub, PeerId, Timer};
use super::lifecycle::{Event, State};
use super::peer::{Peer, Reading, Role, Sink, WorkerState};
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
                self.drop_peer(id);
                self.expect_exit(pool, now_ms);
            }
            Role::Worker(worker) => {
                let pid = worker.pid;
                worker.state = WorkerState::Lost;
                self.deadlines
                    .set(Timer::Worker(id), &mut worker.due, Some(now_ms + DEATH_REPORT_MS));
                let exits = &mut self.pools[pool.index()].exits;
                if let Some(position) = exits.iter().position(|(exited, _)| *exited == pid && pid != 0) {
                    let (_, ended) = exits.swap_remove(position);
                    self.bury_worker(id, ended, now_ms);
                }
            }
        }
        self.report_deadlock(now_ms);
    }

    /// A pool reports the death of one of its workers.
    pub(super) fn handle_worker_exit(&mut self, pool: PoolId, pid: u32, ended: Ended, now_ms: u64) {
        let entry = &mut self.pools[pool.index()];
        entry.forked = entry.forked.saturating_sub(1);
        let lost = entry.workers.iter().copied().find(|id| {
            let worker = self.peers.get(*id).and_then(Peer::worker);
            worker.is_some_and(|worker| worker.state == WorkerState::Lost && worker.pid == pid)
        });
        match lost {
            Some(worker) => self.bury_worker(worker, ended, now_ms),
            // Its connection has not ended yet. At most one report per worker is kept.
            None if entry.exits.len() < entry.spec.workers_max as usize => entry.exits.push((pid, ended)),
            None => {}
        }
    }

    /// Handles all deadlines that have passed.
    pub fn handle_timeout(&mut self, now_ms: u64) {
        while let Some(timer) = self.deadlines.pop(now_ms) {
            match timer {
                Timer::Pool(pool) => {
                    self.pools[pool.index()].due = None;
                    self.handle_pool_timeout(pool, now_ms);
                }
                Timer::Worker(id) => self.handle_worker_timeout(id, now_ms),
                Timer::Call(id) => self.handle_call_timeout(id),
            }
        }
        self.report_deadlock(now_ms);
    }

    fn handle_pool_timeout(&mut self, pool: PoolId, now_ms: u64) {
        let entry = &self.pools[pool.index()];
        let name = &entry.spec.name;
        let message = match (entry.state, entry.control) {
            (State::Starting, Some(_)) => {
                format!(
                    "pool '{name}' did not say hello within {} ms",
                    entry.spec.hello_ms
                )
            }
            (State::Starting | State::Ready, None) => {
                format!("pool '{name}' closed its control channel but goes on running")
            }
            _ => return self.apply(pool, Event::GraceOver, now_ms),
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
            WorkerState::Lost => self.bury_worker(id, Ended::Unknown, now_ms),
            WorkerState::Ready => {}
            // The pool's own deadline speaks for a worker of a pool that has not loaded yet.
            WorkerState::Connecting if self.pools[pool.index()].state == State::Starting => {}
            WorkerState::Connecting => {
                let entry = &self.pools[pool.index()];
                let (name, hello_ms) = (entry.spec.name.clone(), entry.spec.hello_ms);
                let message = format!("a worker of pool '{name}' did not say hello within {hello_ms} ms");
                let mut error = Error::new(Kind::HelloFailed, message).pool(name);
                error.stderr_tail = entry.tail.lines();
                self.drop_peer(id);
                self.fail_queue(pool, &error);
            }
        }
    }

    fn handle_call_timeout(&mut self, id: CallId) {
        let Some(call) = self.calls.get_mut(id) else {
            return;
        };
        call.due = None;
        let (pool, mid) = (call.pool, call.mid);
        let entry = &self.pools[pool.index()];
        let what = self.function_name(pool, mid);
        let mut message = format!("{what} of pool '{}' did not answer in time", entry.spec.name);
        match &self.calls.get(id).map(|call| &call.stage) {
            Some(Stage::Queued(_)) => message.push_str(": it still waits for a worker"),
            Some(Stage::Placed(_)) if self.calls.get(id).is_some_and(|call| call.open_children > 0) => {
                message.push_str(&format!(": it waits for {}", self.innermost(id)));
            }
            _ => {}
        }
        let error = Error::new(Kind::Timeout, message).pool(entry.spec.name.clone());
        let error = self.describe(error, pool, mid);
        self.send_cancel(id);
        self.fail_call(id, error);
    }

    /// What runs at the end of a chain.
    fn innermost(&self, id: CallId) -> String {
        let mut at = id;
        while let Some((child, _)) = self.calls.iter().find(|(_, call)| call.parent == Some(at)) {
            at = child;
        }
        let Some(call) = self.calls.get(at) else {
            return "nothing".into();
        };
        format!(
            "{} of pool '{}'",
            self.function_name(call.pool, call.mid),
            self.pools[call.pool.index()].spec.name
        )
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
                let is_new = worker.state == WorkerState::Connecting;
                self.lose_worker(id, &error, now_ms);
                if is_new {
                    self.fail_queue(pool, &error);
                }
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
        for worker in self.pools[pool.index()].workers.clone() {
            self.lose_worker(worker, &error, now_ms);
        }
        self.fail_queue(pool, &error);
        self.pools[pool.index()].fault.get_or_insert(error);
        self.apply(pool, Event::Fault, now_ms);
    }

    pub(super) fn fail_queue(&mut self, pool: PoolId, error: &Error) {
        while let Some(id) = self.pools[pool.index()].queue.front().copied() {
            self.fail_call(id, Box::new(error.clone()));
        }
    }

    /// A worker is gone and it is known how.
    fn bury_worker(&mut self, id: PeerId, ended: Ended, now_ms: u64) {
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
        let kind = if was_new {
            Kind::HelloFailed
        } else {
            Kind::Terminated
        };
        let mut error = Error::new(kind, message).pool(name.clone());
        error.pid = Some(worker.pid).filter(|pid| *pid != 0);
        error.function = ran.map(|mid| self.function_name(pool, mid));
        ended.note(&mut error);
        error.stderr_tail = self.pools[pool.index()].tail.lines();
        self.lose_worker(id, &error, now_ms);
        if was_new {
            self.fail_queue(pool, &error);
        }
    }

    /// Forgets a worker; the calls that it had end with that error, those that it made go on for nobody.
    pub(super) fn lose_worker(&mut self, id: PeerId, error: &Error, now_ms: u64) {
        let Some(peer) = self.peers.get_mut(id) else {
            return;
        };
        let pool = peer.pool;
        let answering = match peer.reading {
            Reading::Body {
                sink: Sink::Call(call),
                ..
            } => Some(call),
            _ => None,
        };
        let stack = peer
            .worker_mut()
            .map(|worker| std::mem::take(&mut worker.stack))
            .unwrap_or_default();
        for call in stack.into_iter().rev().chain(answering) {
            self.fail_call(call, Box::new(error.clone()));
        }
        self.drop_peer(id);
        self.serve_queue(pool, now_ms);
    }

    /// Forgets a connection and all that refers to it.
    pub(super) fn drop_peer(&mut self, id: PeerId) {
        let Some(mut peer) = self.peers.remove(id) else {
            return;
        };
        self.effects.push_back(Effect::Close(id));
        if let Reading::Body {
            sink: Sink::Peer(to), ..
        } = peer.reading
            && let Some(to_peer) = self.peers.get_mut(to)
        {
            to_peer.outbox.abandon(id);
            self.list(to);
        }
        if let Some(worker) = peer.worker_mut() {
            self.deadlines.set(Timer::Worker(id), &mut worker.due, None);
        }
        self.pools[peer.pool.index()]
            .workers
            .retain(|worker| *worker != id);
        let made = |origin: Origin| matches!(origin, Origin::Worker { peer, .. } if peer == id);
        let orphans: Vec<_> = self
            .calls
            .iter()
            .filter(|(_, call)| made(call.origin))
            .map(|(id, _)| id)
            .collect();
        for call in orphans {
            match self
                .calls
                .get_mut(call)
                .map(|call| (&call.stage, &mut call.origin))
            {
                Some((Stage::Queued(_), origin)) => {
                    *origin = Origin::Nobody;
                    self.forget_call(call);
                }
                Some((_, origin)) => {
                    *origin = Origin::Nobody;
                    self.send_cancel(call);
                }
                None => {}
            }
        }
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
                self.respond(peer, request, Some(&error));
                self.close_request(peer);
            }
            Origin::Nobody => {}
        }
        let is_running = match self.calls.get(id).map(|call| &call.stage) {
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
            let parent = call.parent.take();
            self.end_child(parent);
        }
    }

    fn forget_call(&mut self, id: CallId) {
        let Some(call) = self.remove_call(id) else {
            return;
        };
        self.end_child(call.parent);
        if let Stage::Queued(payload) = call.stage {
            self.pools[call.pool.index()].queue.retain(|queued| *queued != id);
            match payload {
                Payload::Whole { bytes } => self.queued_bytes -= bytes.len(),
                Payload::Stream { from, payload_bytes } => {
                    self.unblock(from, id, Sink::Nobody, payload_bytes)
                }
            }
        }
    }

    /// Gives up a client's request: it is answered with `error`, and its worker is asked to stop.
    pub fn cancel(&mut self, token: u64, error: Box<Error>) {
        let found = self
            .calls
            .iter()
            .find(|(_, call)| call.origin == Origin::Client(token))
            .map(|(id, _)| id);
        if let Some(id) = found {
            self.send_cancel(id);
            self.fail_call(id, error);
        }
    }

    /// If calls wait, nothing runs and nothing is about to, then nothing ever will.
    pub(super) fn report_deadlock(&mut self, now_ms: u64) {
        if self
            .pools
            .iter()
            .all(|pool| pool.queue.is_empty() || pool.state != State::Ready)
        {
            return;
        }
        let can_go_on = self
            .peers
            .iter()
            .filter_map(|(_, peer)| peer.worker())
            .any(|worker| {
                let top = worker.stack.last().and_then(|call| self.calls.get(*call));
                !worker.is_ready() || top.is_some_and(|call| call.open_children == 0)
            });
        if can_go_on || self.pools.iter().any(|pool| pool.state == State::Starting) {
            return;
        }
        for pool in self.pool_ids() {
            let Some(id) = self.pools[pool.index()].queue.front().copied() else {
                continue;
            };
            let mut chain = vec![self.innermost(id)];
            let mut above = self.calls.get(id).and_then(|call| call.parent);
            while let Some(call) = above.and_then(|id| self.calls.get(id)) {
                if chain.len() < 8 {
                    chain.push(self.function_name(call.pool, call.mid));
                }
                above = call.parent;
            }
            let name = self.pools[pool.index()].spec.name.clone();
            let message = format!(
                "every worker of pool '{name}' waits for an answer itself and takes no other call: {}",
                chain.join(" is wanted by ")
            );
            let hint = "let the pool have more \"workers\", or use a runtime whose workers are reentrant";
            let error = Error::new(Kind::Deadlock, message).hint(hint).pool(name);
            self.fail_queue(pool, &error);
            self.serve_queue(pool, now_ms);
        }
    }

    pub(super) fn pool_exit_error(&self, pool: PoolId, ended: Ended) -> Box<Error> {
        let entry = &self.pools[pool.index()];
        let name = &entry.spec.name;
        let (kind, when) = match entry.state {
            State::Starting => (Kind::HelloFailed, " before it said hello"),
            _ => (Kind::Terminated, ""),
        };
        let mut error = Error::new(kind, format!("pool '{name}' {}{when}", ended.verb())).pool(name.clone());
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
        error
            .pool
            .get_or_insert_with(|| self.pools[pool.index()].spec.name.clone());
        error
            .function
            .get_or_insert_with(|| self.function_name(pool, mid));
        error
    }

    pub(super) fn function_name(&self, pool: PoolId, mid: i64) -> String {
        let known = self
            .functions
            .iter()
            .find(|function| function.pool == pool && function.mid == mid);
        known.map_or_else(
            || format!("function {mid}"),
            |function| format!("'{}'", function.name),
        )
    }
}

impl Ended {
    fn verb(self) -> String {
        match self {
            Ended::Code(code) => format!("exited with code {code}"),
            Ended::Signal(signal) => format!("was ended by {}", signal_name(signal)),
            Ended::Unknown => "closed its connection".into(),
        }
    }

    fn note(self, error: &mut Error) {
        match self {
            Ended::Code(code) => error.exit_code = Some(code),
            Ended::Signal(signal) => error.signal = Some(signal),
            Ended::Unknown => {}
        }
    }
}
