//! Which worker gets which call: the five rules, and the bookkeeping when a call is placed and answered.
//!
//! A call goes to the first of: an idle worker; the deepest worker of its own chain that waits; a new worker; any worker
//! that waits; the queue. A frame waits only for calls that it made and for frames nested above it, all of which began
//! later than it did, so the frame that began last can always go on, and no order of calls can deadlock.

use super::call::{Call, CallId, Origin, Payload, Stage};
use super::hub::{Effect, Hub, PeerId, Request, Timer};
use super::lifecycle::State;
use super::peer::{Peer, Reading, Role, Sink, Worker, WorkerState};
use crate::codec::message::{write_call, write_notification, write_request};
use crate::codec::msgpack::{Reader, Token, write};
use crate::error::{Error, Kind};
use crate::ids::PoolId;
use crate::limits::WHOLE_BYTES_MAX;

enum Choice {
    Worker(PeerId),
    Grow,
    Wait,
}

impl Hub {
    /// Makes a call from outside the pools. Its answer comes as [`Effect::Answer`], once, whatever happens.
    pub fn call(&mut self, request: Request, now_ms: u64) {
        let id = self.calls.insert(Call {
            pool: request.pool,
            mid: request.mid,
            args: request.args,
            origin: Origin::Client(request.token),
            parent: None,
            // Replaced at once by `begin_call`.
            stage: Stage::Answering,
            open_children: 0,
            due: None,
            collected: Vec::new(),
        });
        self.set_call_deadline(
            id,
            request.timeout_ms.map(|timeout| now_ms.saturating_add(timeout)),
        );
        self.begin_call(
            id,
            Payload::Whole {
                bytes: request.payload,
            },
            now_ms,
        );
    }

    /// Puts a new call in the queue of its pool, and gives it to a worker if one may have it.
    pub(super) fn begin_call(&mut self, id: CallId, payload: Payload, now_ms: u64) {
        let Some(call) = self.calls.get_mut(id) else {
            return;
        };
        let pool = call.pool;
        let caller = call.origin;
        if let Payload::Whole { bytes } = &payload {
            self.queued_bytes += bytes.len();
        }
        call.stage = Stage::Queued(payload);
        let has_deadline = call.due.is_some();
        let entry = &mut self.pools[pool.index()];
        entry.queue.push_back(id);
        if !has_deadline && let Some(call_ms) = entry.spec.call_ms {
            self.set_call_deadline(id, Some(now_ms.saturating_add(call_ms)));
        }
        self.start(pool, now_ms);
        self.serve_queue(pool, now_ms);
        // The caller waits from now on, so it may answer a call that waits for its pool.
        if let Origin::Worker { peer, .. } = caller
            && let Some(peer) = self.peers.get(peer)
        {
            self.serve_queue(peer.pool, now_ms);
        }
    }

    fn set_call_deadline(&mut self, id: CallId, at_ms: Option<u64>) {
        if let Some(call) = self.calls.get_mut(id) {
            self.deadlines.set(Timer::Call(id), &mut call.due, at_ms);
        }
    }

    /// Gives calls that wait to workers that may have them, oldest first. If the oldest can't have one, none can: rules 1
    /// and 4 do not look at the call.
    pub(super) fn serve_queue(&mut self, pool: PoolId, now_ms: u64) {
        while let Some(id) = self.pools[pool.index()].queue.front().copied() {
            match self.choose(id) {
                Choice::Worker(worker) => {
                    self.pools[pool.index()].queue.pop_front();
                    self.place(id, worker);
                }
                Choice::Grow => {
                    self.grow(pool, now_ms);
                    return;
                }
                Choice::Wait => return,
            }
        }
    }

    fn choose(&self, id: CallId) -> Choice {
        let Some(call) = self.calls.get(id) else {
            return Choice::Wait;
        };
        let pool = &self.pools[call.pool.index()];
        if pool.state != State::Ready {
            return Choice::Wait;
        }
        let ready = |peer: &PeerId| {
            self.peers
                .get(*peer)
                .and_then(Peer::worker)
                .filter(|worker| worker.is_ready())
        };
        // The last idle one is the warmest.
        if let Some(idle) = pool
            .workers
            .iter()
            .rev()
            .find(|peer| ready(peer).is_some_and(|worker| worker.stack.is_empty()))
        {
            return Choice::Worker(*idle);
        }
        let mut ancestor = call.parent.and_then(|parent| self.calls.get(parent));
        while let Some(above) = ancestor {
            if let Stage::Placed(worker) = above.stage
                && above.pool == call.pool
                && self.is_waiting(worker)
            {
                return Choice::Worker(worker);
            }
            ancestor = above.parent.and_then(|parent| self.calls.get(parent));
        }
        let is_connecting = |peer: &PeerId| {
            self.peers
                .get(*peer)
                .and_then(Peer::worker)
                .is_some_and(|worker| worker.state == WorkerState::Connecting)
        };
        let starting = pool.workers.iter().filter(|peer| is_connecting(peer)).count();
        if starting >= pool.queue.len() {
            return Choice::Wait;
        }
        if pool.workers.len() < pool.spec.workers_max as usize {
            return Choice::Grow;
        }
        let waiting = pool.workers.iter().filter(|peer| self.is_waiting(**peer));
        match waiting.min_by_key(|peer| ready(peer).map_or(usize::MAX, |worker| worker.stack.len())) {
            Some(worker) => Choice::Worker(*worker),
            None => Choice::Wait,
        }
    }

    /// Whether a worker waits for an answer and would take a call meanwhile.
    fn is_waiting(&self, peer: PeerId) -> bool {
        let Some(worker) = self.peers.get(peer).and_then(Peer::worker) else {
            return false;
        };
        let top = worker.stack.last().and_then(|call| self.calls.get(*call));
        worker.is_ready() && worker.is_reentrant && top.is_some_and(|call| call.open_children > 0)
    }

    fn place(&mut self, id: CallId, to: PeerId) {
        let Some(call) = self.calls.get_mut(id) else {
            return;
        };
        let Stage::Queued(payload) = std::mem::replace(&mut call.stage, Stage::Placed(to)) else {
            return;
        };
        let (mid, args) = (call.mid, call.args);
        let Some(peer) = self.peers.get_mut(to) else {
            return;
        };
        let Role::Worker(worker) = &mut peer.role else {
            return;
        };
        worker.stack.push(id);
        let payload_bytes = match &payload {
            Payload::Whole { bytes } => bytes.len() as u64,
            Payload::Stream { payload_bytes, .. } => *payload_bytes,
        };
        let head = peer
            .outbox
            .append(|out| write_call(out, id.raw(), mid, args, payload_bytes));
        match payload {
            Payload::Whole { bytes } => {
                self.queued_bytes -= bytes.len();
                if let Err(malformed) = head {
                    worker.stack.pop();
                    return self.fail_call(id, Error::new(Kind::BadArgument, malformed));
                }
                if bytes.len() <= WHOLE_BYTES_MAX {
                    peer.outbox.append(|out| out.extend_from_slice(&bytes));
                } else {
                    peer.outbox.push(bytes);
                }
            }
            Payload::Stream { from, payload_bytes } => {
                peer.outbox.begin_stream(from, payload_bytes);
                self.unblock(from, id, Sink::Peer(to), payload_bytes);
            }
        }
        self.list(to);
    }

    /// Lets the source of a large call go on, if it was paused for that.
    pub(super) fn unblock(&mut self, source: PeerId, id: CallId, sink: Sink, payload_bytes: u64) {
        if let Some(peer) = self.peers.get_mut(source)
            && let Reading::Blocked { call, head_bytes } = peer.reading
            && call == id
        {
            peer.held.drain(..head_bytes);
            peer.reading = Reading::Body {
                to_come: payload_bytes,
                sink,
            };
            self.unblocked.push(source);
        }
    }

    /// Takes a call that is answered from its worker, and says who waits for the answer; the call stays in the table. None
    /// if that worker has no such call.
    pub(super) fn release(&mut self, from: PeerId, id: CallId, now_ms: u64) -> Option<Origin> {
        let is_placed =
            matches!(self.calls.get(id), Some(call) if matches!(call.stage, Stage::Placed(on) if on == from));
        if !is_placed {
            let message = format!(
                "answers request {}, which it was not sent or has answered already",
                id.raw()
            );
            self.handle_violation(from, &message, now_ms);
            return None;
        }
        let call = self.calls.get_mut(id)?;
        call.stage = Stage::Answering;
        let (origin, parent, pool) = (call.origin, call.parent, call.pool);
        if let Some(worker) = self.peers.get_mut(from).and_then(Peer::worker_mut) {
            match worker.stack.iter().rposition(|running| *running == id) {
                Some(last) if last + 1 == worker.stack.len() => drop(worker.stack.pop()),
                Some(position) => drop(worker.stack.remove(position)),
                None => {}
            }
        }
        self.end_child(parent);
        self.serve_queue(pool, now_ms);
        Some(origin)
    }

    /// Takes a call out of the table.
    pub(super) fn remove_call(&mut self, id: CallId) -> Option<Call> {
        let mut call = self.calls.remove(id)?;
        self.deadlines.set(Timer::Call(id), &mut call.due, None);
        Some(call)
    }

    /// A call that this one made is over.
    pub(super) fn end_child(&mut self, parent: Option<CallId>) {
        if let Some(parent) = parent.and_then(|parent| self.calls.get_mut(parent)) {
            parent.open_children = parent.open_children.saturating_sub(1);
        }
    }

    /// Asks for one more worker and connects to it; the connection waits in the listen queue until the worker is there.
    fn grow(&mut self, pool: PoolId, now_ms: u64) {
        let entry = &mut self.pools[pool.index()];
        if entry.workers.len() >= entry.forked as usize {
            entry.forked += 1;
            if let Some(control) = entry.control
                && let Some(peer) = self.peers.get_mut(control)
            {
                peer.outbox.append(|out| {
                    // One byte of payload.
                    let _ = write_request(out, 0, "grow", 1, 1);
                    write::int(out, 1);
                });
                self.list(control);
            }
        }
        let worker = self.add_worker(pool, now_ms);
        self.effects.push_back(Effect::Connect { pool, worker });
    }

    pub(super) fn add_worker(&mut self, pool: PoolId, now_ms: u64) -> PeerId {
        let id = self.add_peer(pool, Role::Worker(Worker::new()));
        let entry = &mut self.pools[pool.index()];
        entry.workers.push(id);
        let hello_at = now_ms.saturating_add(entry.spec.hello_ms);
        if let Some(worker) = self.peers.get_mut(id).and_then(Peer::worker_mut) {
            self.deadlines
                .set(Timer::Worker(id), &mut worker.due, Some(hello_at));
        }
        id
    }

    pub(super) fn handle_worker_ready(&mut self, id: PeerId, pid: u32, is_reentrant: bool, now_ms: u64) {
        let Some(peer) = self.peers.get_mut(id) else {
            return;
        };
        let pool = peer.pool;
        if let Some(worker) = peer.worker_mut() {
            worker.state = WorkerState::Ready;
            worker.pid = pid;
            worker.is_reentrant = is_reentrant;
            self.deadlines.set(Timer::Worker(id), &mut worker.due, None);
        }
        self.serve_queue(pool, now_ms);
    }

    /// The answer to `grow`: how many workers the pool has now.
    pub(super) fn handle_grown(&mut self, pool: PoolId, payload: &[u8], now_ms: u64) {
        let mut reader = Reader::new(payload);
        let answer = (reader.next(), reader.next());
        if let (Ok(Token::Nil), Ok(Token::Int(workers))) = answer {
            let entry = &mut self.pools[pool.index()];
            entry.forked = entry.forked.max(u32::try_from(workers).unwrap_or(0));
            return;
        }
        // It can't grow: what is connected beyond its workers would wait for ever.
        let entry = &mut self.pools[pool.index()];
        entry.forked -= 1;
        entry.spec.workers_max = entry.forked.max(1);
        let workers = entry.workers.clone();
        let mut surplus = workers.len().saturating_sub(entry.spec.workers_max as usize);
        for worker in workers.into_iter().rev() {
            let is_connecting = self
                .peers
                .get(worker)
                .and_then(Peer::worker)
                .is_some_and(|found| !found.is_ready());
            if surplus > 0 && is_connecting {
                surplus -= 1;
                self.drop_peer(worker);
            }
        }
        self.serve_queue(pool, now_ms);
    }

    /// Asks a worker to give up a call that nobody waits for any more.
    pub(super) fn send_cancel(&mut self, id: CallId) {
        let Some(Stage::Placed(worker)) = self.calls.get(id).map(|call| &call.stage) else {
            return;
        };
        let worker = *worker;
        if let Some(peer) = self.peers.get_mut(worker) {
            let mut payload = Vec::new();
            write::unsigned(&mut payload, id.raw());
            peer.outbox.append(|out| {
                // A few bytes of payload.
                let _ = write_notification(out, "cancel", 1, payload.len() as u64);
                out.extend_from_slice(&payload);
            });
            self.list(worker);
        }
    }
}
