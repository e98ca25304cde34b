//! Which worker gets which call: the five rules, and the bookkeeping when a call is placed and answered.
//!
//! A call goes to the first of: an idle worker; the deepest worker of its own chain that waits; a new worker; any worker
//! that waits; the queue. One whose maker may go on meanwhile prefers a new worker to one of its own chain. A frame waits
//! only for calls that it made and for frames nested above it, all of which began later than it did, so the frame that
//! began last can always go on, and no order of calls can deadlock.

use super::call::{Call, CallId, Origin, Payload, Stage};
use super::hub::{Effect, Hub, PeerId, Request, Timer, Wiring};
use super::lifecycle::State;
use super::peer::{Peer, Reading, Role, Sink, Worker, WorkerState};
use super::said::Hello;
#[cfg(test)]
use super::simulation::Bug;
use super::timeline::Mark;
use crate::codec::message::{write_call, write_request};
use crate::codec::msgpack::{Reader, Token, write};
use crate::error::{Error, Kind};
use crate::ids::PoolId;
use crate::limits::WHOLE_BYTES_MAX;

enum Choice {
    Worker(PeerId),
    Grow,
    /// For a worker that is none of its business: those behind it wait too.
    Wait,
    /// For one certain worker: those behind it needn't wait.
    WaitAside,
}

impl Hub {
    /// Makes a call from outside the pools. Its answer comes as [`Effect::Answer`], once, whatever happens.
    pub fn call(&mut self, request: Request, now_ms: u64) {
        let origin = Origin::Client(request.token);
        let parent = request.parent.map(CallId::from_raw);
        #[cfg(test)]
        let parent = parent.filter(|_| self.planted != Some(Bug::HostCallsAlone));
        let mut call = Call::new(request.pool, request.mid, request.args, origin, parent);
        call.pin = request.pid;
        // Others may run beside it.
        call.is_parallel = parent.is_some();
        let refused = match parent.map(|parent| self.calls.get(parent).is_some()) {
            Some(false) => Some(Error::new(
                Kind::Cancelled,
                "the call that makes this one has ended",
            )),
            _ if call.pin.is_some() && !self.has_pinned(&call) => Some(self.pin_error(request.pool)),
            _ => None,
        };
        if let Some(error) = refused {
            return self.effects.push_back(Effect::Answer {
                token: request.token,
                result: Err(error),
            });
        }
        let id = self.calls.insert(call);
        if let Some(parent) = parent.and_then(|parent| self.calls.get_mut(parent)) {
            parent.open_children += 1;
            parent.awaited += 1;
            parent.last_child = Some(id);
        }
        let due = request.timeout_ms.map(|timeout| now_ms.saturating_add(timeout));
        self.set_call_deadline(id, due);
        self.begin_call(id, Payload::whole(request.payload), now_ms);
        self.end_event(now_ms);
    }

    /// Puts a new call in the queue of its pool, and gives it to a worker if one may have it.
    pub(super) fn begin_call(&mut self, id: CallId, payload: Payload, now_ms: u64) {
        let Some(pool) = self.calls.get(id).map(|call| call.pool) else {
            return;
        };
        if self.is_host(pool) {
            return self.begin_hosted(id, payload.bytes, payload.source.is_none(), now_ms);
        }
        let Some(call) = self.calls.get_mut(id) else {
            return;
        };
        self.queued_bytes += payload.bytes.len();
        call.stage = Stage::Queued(payload);
        let has_deadline = call.due.is_some();
        let entry = &mut self.pools[pool.index()];
        entry.queue.push_back(id);
        if !has_deadline && let Some(call_ms) = entry.spec.call_ms {
            self.set_call_deadline(id, Some(now_ms.saturating_add(call_ms)));
        }
        self.start(pool, now_ms);
        self.serve_queue(pool, now_ms);
    }

    fn set_call_deadline(&mut self, id: CallId, at_ms: Option<u64>) {
        if let Some(call) = self.calls.get_mut(id) {
            self.deadlines.set(Timer::Call(id), &mut call.due, at_ms);
        }
    }

    /// Gives calls that wait to workers that may have them, oldest first. If the oldest can't have one, none can: rules 1
    /// and 4 do not look at the call. Only those for one certain worker are passed over.
    pub(super) fn serve_queue(&mut self, pool: PoolId, now_ms: u64) {
        let mut at = 0;
        while let Some(id) = self.pools[pool.index()].queue.get(at).copied() {
            match self.choose(id, at) {
                Choice::Worker(worker) => {
                    self.pools[pool.index()].queue.remove(at);
                    self.place(id, worker, now_ms);
                }
                Choice::Grow => self.grow(pool, now_ms),
                Choice::Wait => return,
                Choice::WaitAside => at += 1,
            }
        }
    }

    /// Where a call goes that stands at that place in its queue.
    fn choose(&self, id: CallId, place: usize) -> Choice {
        let Some(call) = self.calls.get(id) else {
            return Choice::Wait;
        };
        let pool = &self.pools[call.pool.index()];
        if pool.state != State::Ready {
            return Choice::Wait;
        }
        let taking = |peer: &PeerId| {
            let worker = self.peers.get(*peer).and_then(Peer::ready_worker);
            worker.filter(|worker| !worker.is_leaving)
        };
        let is_idle = |peer: &PeerId| {
            taking(peer).is_some_and(|worker| worker.stack.is_empty()) && !self.is_sending(*peer)
        };
        let pin = call.pin;
        #[cfg(test)]
        let pin = pin.filter(|_| self.planted != Some(Bug::PinAnywhere));
        if let Some(pid) = pin {
            let has_pid = |peer: &&PeerId| self.worker_pid(**peer) == Some(pid);
            let pinned = || pool.workers.iter().filter(has_pid);
            let is_free = |peer: &&PeerId| self.is_idle_for_its_own(**peer) || self.is_waiting(**peer);
            let free = pinned().find(is_free);
            return free.map_or(Choice::WaitAside, |peer| Choice::Worker(*peer));
        }
        let own = self.waiting_ancestor(call);
        if pool.is_recycling {
            // What runs has to end before the pool can, so what that may wait for goes on; all else waits until it is back.
            let is_wanted = call.parent.is_some();
            let nested = self.least_nested(call.pool).filter(|_| is_wanted);
            let may_be_blocked = is_wanted && pool.workers.iter().any(|peer| self.is_blocked(*peer));
            match own.or(nested) {
                Some(worker) => return Choice::Worker(worker),
                None if !may_be_blocked => return Choice::WaitAside,
                None => {}
            }
        }
        // The last idle one is the warmest.
        if let Some(idle) = pool.workers.iter().rev().find(|peer| is_idle(peer)) {
            return Choice::Worker(*idle);
        }
        let connecting = pool.workers.iter().filter(|peer| self.is_connecting(**peer));
        let is_coming = connecting.count() >= pool.queue.len() - place;
        let may_grow = self.staying_workers(call.pool) < pool.workers_max;
        match own {
            Some(worker) if !(call.is_parallel && (is_coming || may_grow)) => return Choice::Worker(worker),
            _ if is_coming => return Choice::Wait,
            _ if may_grow => return Choice::Grow,
            _ => {}
        }
        #[cfg(test)]
        if self.planted == Some(Bug::SkipRuleFour) {
            return Choice::Wait;
        }
        self.least_nested(call.pool).map_or(Choice::Wait, Choice::Worker)
    }

    /// The worker with the fewest calls of those that wait; one that is about to leave only if there is no other.
    fn least_nested(&self, pool: PoolId) -> Option<PeerId> {
        let workers = self.pools[pool.index()].workers.iter();
        let depth = |peer: &&PeerId| {
            let worker = self.peers.get(**peer).and_then(Peer::ready_worker);
            worker.map_or((true, 0), |worker| (worker.is_leaving, worker.stack.len()))
        };
        let waiting = workers.filter(|peer| self.is_waiting(**peer));
        waiting.min_by_key(depth).copied()
    }

    /// The deepest worker of a call's own chain, in its pool, that waits.
    fn waiting_ancestor(&self, call: &Call) -> Option<PeerId> {
        let mut ancestor = call.parent.and_then(|parent| self.calls.get(parent));
        while let Some(above) = ancestor {
            if let Stage::Placed(worker) = above.stage
                && above.pool == call.pool
                && self.is_waiting(worker)
            {
                return Some(worker);
            }
            ancestor = above.parent.and_then(|parent| self.calls.get(parent));
        }
        None
    }

    /// Whether a worker waits for an answer and would take a call meanwhile. One that is about to leave takes what is
    /// nested in what it has: it can't leave before that is done.
    fn is_waiting(&self, peer: PeerId) -> bool {
        let Some(worker) = self.peers.get(peer).and_then(Peer::ready_worker) else {
            return false;
        };
        let waits = |call: &CallId| self.calls.get(*call).is_some_and(|call| call.open_children > 0);
        worker.is_reentrant && !worker.stack.is_empty() && worker.running().iter().all(waits)
    }

    /// Whether a worker waits for an answer and takes no call meanwhile.
    fn is_blocked(&self, peer: PeerId) -> bool {
        let worker = self.peers.get(peer).and_then(Peer::ready_worker);
        let waits = |call: &CallId| self.calls.get(*call).is_some_and(|call| call.open_children > 0);
        worker.is_some_and(|worker| !worker.is_reentrant && worker.stack.last().is_some_and(waits))
    }

    /// Whether a worker has no call and would take one for a function value that lives in it.
    fn is_idle_for_its_own(&self, peer: PeerId) -> bool {
        let worker = self.peers.get(peer).and_then(Peer::ready_worker);
        let is_there = worker.is_some_and(|worker| worker.stack.is_empty() && !worker.is_told_to_leave);
        is_there && !self.is_sending(peer)
    }

    /// Workers of a pool but those that are about to leave and have nothing to do, or nothing but what only they can.
    pub(super) fn staying_workers(&self, pool: PoolId) -> usize {
        let workers = self.pools[pool.index()].workers.iter();
        let stays = |id: &&PeerId| {
            let worker = self.peers.get(**id).and_then(Peer::worker);
            let first = |worker: &Worker| worker.stack.first().and_then(|call| self.calls.get(*call));
            let is_busy = |worker: &Worker| first(worker).is_some_and(|call| call.pin.is_none());
            worker.is_some_and(|worker| !worker.is_leaving || is_busy(worker))
        };
        workers.filter(stays).count()
    }

    fn worker_pid(&self, peer: PeerId) -> Option<u32> {
        self.peers
            .get(peer)
            .and_then(Peer::ready_worker)
            .map(|worker| worker.pid)
    }

    /// Whether the worker is there on which a call has to run.
    pub(super) fn has_pinned(&self, call: &Call) -> bool {
        let workers = &self.pools[call.pool.index()].workers;
        workers.iter().any(|peer| self.worker_pid(*peer) == call.pin)
    }

    /// Whether a worker is in the middle of a large message.
    pub(super) fn is_sending(&self, peer: PeerId) -> bool {
        let peer = self.peers.get(peer);
        peer.is_some_and(|peer| matches!(peer.reading, Reading::Body { .. }))
    }

    fn place(&mut self, id: CallId, to: PeerId, now_ms: u64) {
        let Some(call) = self.calls.get_mut(id) else {
            return;
        };
        call.began_ms = now_ms;
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
        let Payload { bytes, len, source } = payload;
        self.queued_bytes -= bytes.len();
        let head = peer
            .outbox
            .append(|out| write_call(out, id.raw(), mid, args, len));
        if let Err(malformed) = head {
            return self.fail_call(id, Error::new(Kind::BadArgument, malformed));
        }
        worker.stack.push(id);
        worker.leave_at = None;
        let pid = worker.pid;
        let to_come = len - bytes.len() as u64;
        if bytes.len() <= WHOLE_BYTES_MAX {
            peer.outbox.append(|out| out.extend_from_slice(&bytes));
        } else {
            peer.outbox.push(bytes);
        }
        if let Some(source) = source.filter(|_| to_come > 0) {
            peer.outbox.begin_stream(source, to_come);
            self.turn_to(source, id, Sink::Peer(to));
        }
        self.list(to);
        self.mark_began(id, pid);
    }

    /// Sends what is to come of a call's arguments elsewhere, now that it does not wait any more.
    pub(super) fn turn_to(&mut self, source: PeerId, id: CallId, elsewhere: Sink) {
        if let Some(peer) = self.peers.get_mut(source)
            && let Reading::Body { sink, .. } = &mut peer.reading
            && *sink == Sink::Argument(id)
        {
            *sink = elsewhere;
        }
    }

    /// Takes a call that is answered from its worker, and says who waits for the answer. The call stays in the table, and
    /// its deadline in force, until the answer has been passed on. None if that worker has no such call.
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
        let (origin, has_children) = (call.origin, call.open_children > 0);
        let mut below = None;
        if let Some(worker) = self.peers.get_mut(from).and_then(Peer::worker_mut) {
            match worker.stack.iter().rposition(|running| *running == id) {
                Some(last) if last + 1 == worker.stack.len() => {
                    worker.stack.pop();
                    below = worker.stack.last().copied().filter(|_| !worker.is_concurrent);
                }
                Some(position) => drop(worker.stack.remove(position)),
                None => {}
            }
            worker.calls_done += u64::from(worker.stack.is_empty());
        }
        if has_children {
            if let Some(below) = below {
                self.hand_down(id, below);
            }
            let error = Error::new(Kind::Cancelled, "the call that made this one has ended");
            self.give_up_below(id, &error, now_ms);
        }
        Some(origin)
    }

    /// A function that waits for a call at once can't end before it. If one seems to, another in its worker made that call,
    /// before it knew of this one: it is the next that the worker runs. Older than this one, that is none of its own calls.
    fn hand_down(&mut self, id: CallId, below: CallId) {
        let is_astray = |call: &&mut Call| call.parent == Some(id) && !call.is_parallel;
        let astray = self.calls.iter_mut().filter(is_astray);
        let moved = astray.map(|call| call.parent = Some(below)).count() as u32;
        if let Some(call) = self.calls.get_mut(id) {
            call.open_children -= moved;
            call.awaited -= moved;
        }
        if let Some(call) = self.calls.get_mut(below) {
            call.open_children += moved;
            call.awaited += moved;
        }
    }

    /// Takes a call out of the table.
    pub(super) fn remove_call(&mut self, id: CallId) -> Option<Call> {
        self.end_owner(id, false);
        let mut call = self.calls.remove(id)?;
        self.deadlines.set(Timer::Call(id), &mut call.due, None);
        if self.calls.is_empty() {
            self.all_over = true;
        }
        self.mark(Mark::Ended(id.raw()));
        Some(call)
    }

    /// A call that this one made is over.
    pub(super) fn end_child(&mut self, parent: Option<CallId>, is_awaited: bool) {
        if let Some(parent) = parent.and_then(|parent| self.calls.get_mut(parent)) {
            parent.open_children = parent.open_children.saturating_sub(1);
            parent.awaited = parent.awaited.saturating_sub(u32::from(is_awaited));
        }
    }

    /// Asks for one more worker and connects to it; the connection waits in the listen queue until the worker is there.
    fn grow(&mut self, pool: PoolId, now_ms: u64) {
        let worker = self.add_worker(pool, now_ms);
        if self.pools[pool.index()].spec.wiring == Wiring::Parent {
            self.effects.push_back(Effect::Connect { pool, worker });
            self.match_workers(pool);
        } else {
            self.start_worker(pool, worker);
        }
    }

    /// Asks for workers until there is one for each connection.
    pub(super) fn match_workers(&mut self, pool: PoolId) {
        let entry = &mut self.pools[pool.index()];
        let Some(control) = entry.control else { return };
        let Some(peer) = self.peers.get_mut(control) else {
            return;
        };
        while (entry.forked as usize) < entry.workers.len() {
            entry.forked += 1;
            entry.open_grows += 1;
            peer.outbox.append(|out| {
                // One byte of payload.
                let _ = write_request(out, 0, "grow", 1, 1);
                write::int(out, 1);
            });
        }
        self.list(control);
    }

    pub(super) fn add_worker(&mut self, pool: PoolId, now_ms: u64) -> PeerId {
        let id = self.add_peer(pool, Role::Worker(Worker::new()));
        let entry = &mut self.pools[pool.index()];
        entry.workers.push(id);
        let hello_at = now_ms.saturating_add(entry.spec.hello_ms);
        if let Some(worker) = self.peers.get_mut(id).and_then(Peer::worker_mut) {
            worker.hello_by_ms = hello_at;
            self.deadlines
                .set(Timer::Worker(id), &mut worker.due, Some(hello_at));
        }
        id
    }

    pub(super) fn handle_worker_ready(&mut self, id: PeerId, hello: &Hello, now_ms: u64) {
        let Some(peer) = self.peers.get_mut(id) else {
            return;
        };
        let pool = peer.pool;
        self.mark(Mark::Ready(pool));
        let Some(peer) = self.peers.get_mut(id) else {
            return;
        };
        if let Some(worker) = peer.worker_mut() {
            worker.state = WorkerState::Ready;
            worker.pid = hello.pid;
            worker.is_reentrant = hello.is_reentrant;
            worker.is_concurrent = hello.is_concurrent;
            worker.can_retire = hello.can_retire;
            worker.ready_ms = now_ms;
            self.deadlines.set(Timer::Worker(id), &mut worker.due, None);
        }
        self.settle_worker(id, now_ms);
        self.serve_queue(pool, now_ms);
    }

    /// The answer to `grow`: how many workers the pool has now.
    pub(super) fn handle_grown(&mut self, pool: PoolId, payload: &[u8], now_ms: u64) {
        let mut reader = Reader::new(payload);
        let answer = (reader.next(), reader.next());
        let entry = &mut self.pools[pool.index()];
        entry.open_grows = entry.open_grows.saturating_sub(1);
        if let (Ok(Token::Nil), Ok(Token::Int(workers))) = answer {
            entry.forked = entry.forked.max(u32::try_from(workers).unwrap_or(0));
            return;
        }
        // It can't grow: what is connected beyond its workers would wait for ever.
        entry.forked = entry.forked.saturating_sub(1);
        let most = entry.forked.max(1) as usize;
        let mut connecting = entry.workers.clone();
        let surplus = connecting.len().saturating_sub(most);
        connecting.retain(|worker| self.is_connecting(*worker));
        for worker in connecting.into_iter().rev().take(surplus) {
            self.drop_peer(worker, now_ms);
        }
        let entry = &mut self.pools[pool.index()];
        entry.workers_max = most.max(entry.workers.len());
        self.serve_queue(pool, now_ms);
    }

    fn is_connecting(&self, peer: PeerId) -> bool {
        let worker = self.peers.get(peer).and_then(Peer::worker);
        worker.is_some_and(|worker| worker.state == WorkerState::Connecting)
    }
}
