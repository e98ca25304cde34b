//! Bytes in: the hub's side of the pool protocol. Payloads are passed on or kept as bytes, never read.

use super::call::{Call, CallId, Origin, Payload, Stage};
use super::hub::{Effect, Hub, Note, PeerId, Wiring};
use super::lifecycle::Event;
use super::peer::{LongNote, Peer, Reading, Sink, Worker, WorkerState};
use super::said::{Hello, read_exit, read_hello, read_long_note, read_note};
#[cfg(test)]
use super::simulation::Bug;
use crate::codec::error_map::{read_error, write_error};
use crate::codec::frame::{Scan, scan};
use crate::codec::message::{Head, PROTOCOL, Target, write_response};
use crate::codec::msgpack::{Reader, write};
use crate::error::{Error, Kind, Result};
use crate::ids::PoolId;
use crate::limits::{FIRST_WORDS_BYTES_MAX, NOTE_BYTES_MAX, OPEN_REQUESTS_MAX, QUEUE_BYTES_MAX};
use crate::manifest::model::Host;

impl Hub {
    /// Takes in what was read from a peer, however it was cut.
    pub fn handle_input(&mut self, id: PeerId, bytes: &[u8], now_ms: u64) {
        let Some(peer) = self.peers.get_mut(id).filter(|peer| !peer.is_closed()) else {
            return;
        };
        peer.stalled_by = None;
        if peer.held.is_empty() {
            let used = self.consume(id, bytes, now_ms);
            if let Some(peer) = self.peers.get_mut(id) {
                peer.held.extend_from_slice(&bytes[used..]);
            }
        } else {
            let mut held = std::mem::take(&mut peer.held);
            held.extend_from_slice(bytes);
            let used = self.consume(id, &held, now_ms);
            if let Some(peer) = self.peers.get_mut(id) {
                held.drain(..used);
                peer.held = held;
            }
        }
        self.end_event(now_ms);
    }

    /// Where the next bytes of a peer belong, if they are the payload of a message that passes through: read into it, they
    /// need not be copied. Who has read some tells [`Hub::handle_read`]. None: they are for [`Hub::handle_input`].
    pub fn input_room(&mut self, id: PeerId, most: usize) -> Option<&mut [u8]> {
        let peer = self.peers.get(id).filter(|peer| peer.held.is_empty())?;
        let Reading::Body {
            sink: Sink::Peer(to), ..
        } = peer.reading
        else {
            return None;
        };
        self.peers.get_mut(to)?.outbox.room(id, most)
    }

    /// Takes in what was read to the start of [`Hub::input_room`].
    pub fn handle_read(&mut self, id: PeerId, bytes: usize, now_ms: u64) {
        let Some(peer) = self.peers.get_mut(id) else {
            return;
        };
        let pool = peer.pool;
        let Reading::Body {
            to_come,
            sink: Sink::Peer(to),
        } = peer.reading
        else {
            return;
        };
        let to_come = to_come - bytes as u64;
        peer.stalled_by = None;
        peer.reading = match to_come {
            0 => Reading::Head,
            _ => Reading::Body {
                to_come,
                sink: Sink::Peer(to),
            },
        };
        if let Some(peer) = self.peers.get_mut(to) {
            peer.outbox.fill(id, bytes);
        }
        self.list(to);
        self.stall_if_full(id, to);
        if to_come == 0 {
            self.settle_worker(id, now_ms);
            self.serve_queue(pool, now_ms);
            self.end_event(now_ms);
        }
    }

    /// Handles what can be handled of `bytes` and returns how many that were.
    fn consume(&mut self, id: PeerId, bytes: &[u8], now_ms: u64) -> usize {
        let mut at = 0;
        loop {
            let Some(peer) = self.peers.get_mut(id) else {
                return bytes.len();
            };
            match peer.reading {
                Reading::Body { to_come, sink } => {
                    let came = (bytes.len() - at).min(usize::try_from(to_come).unwrap_or(usize::MAX));
                    if came == 0 {
                        return at;
                    }
                    let to_come = to_come - came as u64;
                    peer.reading = if to_come == 0 {
                        Reading::Head
                    } else {
                        Reading::Body { to_come, sink }
                    };
                    let pool = peer.pool;
                    let piece = &bytes[at..at + came];
                    at += came;
                    self.pass_on(id, sink, piece, to_come == 0);
                    if to_come == 0 {
                        // If it was an answer, its worker is idle now.
                        self.settle_worker(id, now_ms);
                        self.serve_queue(pool, now_ms);
                    }
                }
                Reading::Head => match scan(&bytes[at..]) {
                    Ok(Scan::More) => return at,
                    Ok(Scan::Whole { head, payload, used }) => {
                        at += used;
                        self.handle_message(id, head, payload, now_ms);
                    }
                    Ok(Scan::Front {
                        head,
                        payload_bytes,
                        used,
                    }) => {
                        at += used;
                        let sink = self.begin_large(id, head, payload_bytes, now_ms);
                        if let Some(peer) = self.peers.get_mut(id) {
                            peer.reading = Reading::Body {
                                to_come: payload_bytes,
                                sink,
                            };
                        }
                    }
                    Err(malformed) => {
                        let what = self.first_words(id, &bytes[at..]).unwrap_or(malformed);
                        self.handle_violation(id, &what, now_ms);
                        return bytes.len();
                    }
                },
            }
        }
    }

    /// What a command printed that stands between nexus and a worker, where the worker's hello should have come.
    fn first_words(&self, id: PeerId, bytes: &[u8]) -> Option<String> {
        let peer = self.peers.get(id)?;
        let is_remote = self.pools[peer.pool.index()].spec.wiring == Wiring::Remote;
        if !is_remote || peer.worker()?.state != WorkerState::Connecting {
            return None;
        }
        let line = bytes.split(|byte| *byte == b'\n').next()?;
        let text = String::from_utf8_lossy(&line[..line.len().min(FIRST_WORDS_BYTES_MAX)]);
        Some(format!(
            "its command wrote '{}' to standard output, where only the pool may write",
            text.escape_debug()
        ))
    }

    fn pass_on(&mut self, from: PeerId, sink: Sink, piece: &[u8], is_last: bool) {
        match sink {
            Sink::Nobody => {}
            Sink::Peer(to) => {
                if let Some(peer) = self.peers.get_mut(to) {
                    peer.outbox.feed(from, piece);
                    self.list(to);
                    self.stall_if_full(from, to);
                }
            }
            Sink::Argument(call) => {
                if let Some(Stage::Queued(payload)) = self.calls.get_mut(call).map(|call| &mut call.stage) {
                    payload.bytes.extend_from_slice(piece);
                    self.queued_bytes += piece.len();
                }
            }
            Sink::Call(call) => {
                if let Some(found) = self.calls.get_mut(call) {
                    found.collected.extend_from_slice(piece);
                    let is_hosted = matches!(found.stage, Stage::Hosted { .. });
                    match is_last {
                        true if is_hosted => self.hand_over(call),
                        true => self.handle_collected(call),
                        false => {}
                    }
                }
            }
            Sink::Request => {
                let Some(peer) = self.peers.get_mut(from) else {
                    return;
                };
                if let Some(asking) = &mut peer.asking {
                    asking.params.extend_from_slice(piece);
                }
                if is_last && let Some(asking) = peer.asking.take() {
                    self.handle_host_request(from, asking.id, &asking.method, &asking.params);
                }
            }
            Sink::Note => {
                let Some(peer) = self.peers.get_mut(from) else {
                    return;
                };
                if let Some(note) = &mut peer.note {
                    let room = NOTE_BYTES_MAX - note.bytes.len();
                    note.bytes.extend_from_slice(&piece[..piece.len().min(room)]);
                }
                if is_last && let Some(note) = peer.note.take() {
                    let pool = peer.pool;
                    self.take_note(from, pool, read_long_note(&note));
                }
            }
        }
    }

    fn stall_if_full(&mut self, from: PeerId, by: PeerId) {
        let is_full = self
            .peers
            .get(by)
            .is_some_and(|peer| peer.outbox.is_full_for(from));
        if is_full && let Some(peer) = self.peers.get_mut(from) {
            peer.stalled_by = Some(by);
        }
    }

    fn handle_message(&mut self, id: PeerId, head: Head<'_>, payload: &[u8], now_ms: u64) {
        let Some(peer) = self.peers.get(id) else { return };
        let pool = peer.pool;
        let Some(worker) = peer.worker() else {
            return self.handle_control(id, pool, head, payload, now_ms);
        };
        if worker.state != WorkerState::Ready {
            return match head {
                Head::Notification { method: "hello" } => self.handle_worker_hello(id, payload, now_ms),
                _ => self.handle_violation(id, "the first message is not hello", now_ms),
            };
        }
        match head {
            Head::Response { id: call } => self.handle_response(id, CallId::from_raw(call), payload, now_ms),
            Head::ForeignCall { .. } | Head::Command { .. } => {
                if let Some(call) = self.open_call(id, &head) {
                    self.begin_call(call, Payload::whole(payload.to_vec()), now_ms);
                    // Its worker waits from now on, so it may be given a call that waits for its pool.
                    self.serve_queue(pool, now_ms);
                }
                self.stall_if_full(id, id);
            }
            Head::Request { id: request, method } => {
                self.handle_host_request(id, request, method, payload);
                // Who asks on and on without reading the answers is not heard meanwhile.
                self.stall_if_full(id, id);
            }
            Head::Notification { method: "holds" } => {
                if let Some(worker) = self.peers.get_mut(id).and_then(Peer::worker_mut) {
                    worker.holds_functions = true;
                    self.keep_pool(pool, now_ms);
                }
            }
            Head::Notification { method } => {
                let note = read_note(method, payload);
                self.take_note(id, pool, note);
            }
        }
    }

    /// Passes on what a function says, if its pool may say it.
    fn take_note(&mut self, from: PeerId, pool: PoolId, note: Option<Note>) {
        let Some(note) = note else { return };
        let host = self.pools[pool.index()].spec.host.as_ref();
        let may_say = host.is_none_or(|host| match note {
            Note::Log { .. } => host.log,
            Note::Progress { .. } => host.progress,
        });
        if may_say {
            let client = self.client_of(from);
            self.effects.push_back(Effect::Note { pool, note, client });
        }
    }

    /// The token of the request in the course of which a worker runs what it runs, if it runs one thing.
    fn client_of(&self, worker: PeerId) -> Option<u64> {
        let worker = self.peers.get(worker)?.worker()?;
        if worker.is_concurrent && worker.stack.len() > 1 {
            return None;
        }
        let mut call = self.calls.get(*worker.stack.last()?)?;
        while let Some(parent) = call.parent.and_then(|parent| self.calls.get(parent)) {
            call = parent;
        }
        match call.origin {
            Origin::Client(token) => Some(token),
            _ => None,
        }
    }

    /// Decides where the payload of a large message goes, before it has come.
    fn begin_large(&mut self, id: PeerId, head: Head<'_>, payload_bytes: u64, now_ms: u64) -> Sink {
        let is_ready = self.peers.get(id).and_then(Peer::ready_worker).is_some();
        match head {
            Head::Response { id: call } if is_ready => {
                let call = CallId::from_raw(call);
                let origin = self.release(id, call, now_ms);
                match origin {
                    Some(_) if self.owns_processes(call) => Sink::Call(call),
                    Some(Origin::Client(_)) => Sink::Call(call),
                    Some(Origin::Worker {
                        peer: to,
                        id: request,
                    }) => {
                        self.forget_call(call);
                        self.begin_large_response(id, to, request, payload_bytes);
                        Sink::Peer(to)
                    }
                    Some(Origin::Nobody) => {
                        self.forget_call(call);
                        Sink::Nobody
                    }
                    None => Sink::Nobody,
                }
            }
            Head::ForeignCall { .. } | Head::Command { .. } if is_ready => {
                let Some(call) = self.open_call(id, &head) else {
                    return Sink::Nobody;
                };
                let payload = Payload {
                    bytes: Vec::new(),
                    len: payload_bytes,
                    source: Some(id),
                };
                self.begin_call(call, payload, now_ms);
                match self.calls.get(call).map(|call| &call.stage) {
                    Some(Stage::Placed(to)) => Sink::Peer(*to),
                    Some(Stage::Hosted { .. }) => Sink::Call(call),
                    Some(_) => Sink::Argument(call),
                    None => Sink::Nobody,
                }
            }
            Head::Notification { method: "log" } if is_ready => {
                if let Some(peer) = self.peers.get_mut(id) {
                    peer.note = Some(LongNote {
                        bytes: Vec::new(),
                        len: payload_bytes,
                    });
                }
                Sink::Note
            }
            Head::Notification { .. } => Sink::Nobody,
            Head::Request { id: request, method } if is_ready => {
                self.begin_host_request(id, request, method, payload_bytes)
            }
            _ => {
                let message =
                    format!("message of {payload_bytes} bytes that is neither a call nor an answer");
                self.handle_violation(id, &message, now_ms);
                Sink::Nobody
            }
        }
    }

    fn begin_large_response(&mut self, from: PeerId, to: PeerId, request: u64, payload_bytes: u64) {
        if let Some(peer) = self.peers.get_mut(to) {
            // It came in a frame, so it fits in one.
            let _ = peer
                .outbox
                .append(|out| write_response(out, request, payload_bytes));
            peer.outbox.begin_stream(from, payload_bytes);
            self.list(to);
            self.close_request(to);
        }
    }

    /// Makes the call that a worker asks for, or answers why it can't be made.
    fn open_call(&mut self, from: PeerId, head: &Head<'_>) -> Option<CallId> {
        let (request, target, mid, args) = match *head {
            Head::ForeignCall {
                id,
                target,
                mid,
                args,
            } => (id, target, Some(mid), args),
            Head::Command { id, target, args } => (id, target, None, args),
            _ => return None,
        };
        let admitted = self.admit(from, &target, mid);
        let admitted = admitted.and_then(|(pool, mid, parent)| {
            let origin = Origin::Worker {
                peer: from,
                id: request,
            };
            let mut call = Call::new(pool, mid, args, origin, parent);
            call.is_parallel = target.parent.is_some();
            call.is_awaited = !call.is_parallel;
            call.pin = target.pid.map(|pid| u32::try_from(pid).unwrap_or(0));
            if call.pin.is_some() && !self.has_pinned(&call) {
                return Err(self.pin_error(pool));
            }
            Ok(call)
        });
        let call = match admitted {
            Ok(call) => call,
            Err(error) => {
                self.respond(from, request, Some(&error));
                return None;
            }
        };
        let worker = self.peers.get_mut(from)?.worker_mut()?;
        worker.open_requests += 1;
        let (parent, is_awaited) = (call.parent, call.is_awaited);
        let call = self.calls.insert(call);
        if let Some(parent) = parent.and_then(|parent| self.calls.get_mut(parent)) {
            parent.open_children += 1;
            parent.awaited += u32::from(is_awaited);
            parent.last_child = Some(call);
        }
        Some(call)
    }

    /// Whether a worker may make a call now; if so its pool, its function and the call that makes it.
    fn admit(
        &self,
        from: PeerId,
        target: &Target<'_>,
        mid: Option<i64>,
    ) -> Result<(PoolId, i64, Option<CallId>)> {
        let refused = |kind, message: String| Err(Error::new(kind, message));
        let Some((asking, worker)) = self
            .peers
            .get(from)
            .and_then(|peer| Some((peer.pool, peer.worker()?)))
        else {
            return refused(Kind::Protocol, "only a worker makes calls".into());
        };
        let asker = &self.pools[asking.index()].spec;
        let (pool, mid, is_allowed) = match mid {
            Some(mid) => {
                let pool = self.find_pool(target.name)?;
                // Whoever has a closure of the composition was given it to be called.
                let may_call = |host: &Host| self.is_host(pool) || host.may_call(pool);
                (pool, mid, asker.host.as_ref().is_none_or(may_call))
            }
            None => {
                let (pool, mid) = self.find_function(target.name)?;
                (pool, mid, asker.host.as_ref().is_none_or(|host| host.command))
            }
        };
        #[cfg(test)]
        let is_allowed = is_allowed || self.planted == Some(Bug::AllowAll);
        if !is_allowed {
            let message = format!(
                "pool '{}' may not call '{}': \"host\" in its manifest does not allow it",
                asker.name, target.name
            );
            return refused(Kind::Denied, message);
        }
        if worker.open_requests >= OPEN_REQUESTS_MAX {
            let message = format!("worker has {OPEN_REQUESTS_MAX} calls open, which is the most it may have");
            return refused(Kind::Protocol, message);
        }
        if self.queued_bytes > QUEUE_BYTES_MAX {
            let message =
                format!("calls that wait hold more than {QUEUE_BYTES_MAX} bytes, which is the most they may");
            return refused(Kind::Protocol, message);
        }
        let parent = self.maker(worker, target.parent)?;
        Ok((pool, mid, parent))
    }

    /// The call that asks for something: the one that is named, or the innermost. It may ask for nothing once it is given up.
    pub(super) fn maker(&self, worker: &Worker, named: Option<u64>) -> Result<Option<CallId>> {
        let refused = |message| Err(Error::new(Kind::Cancelled, message));
        let maker = match named.map(CallId::from_raw) {
            Some(named) if worker.stack.iter().rev().any(|running| *running == named) => Some(named),
            Some(_) => return refused("the call that makes this one has ended"),
            None => worker.stack.last().copied(),
        };
        let is_cancelled = |call: CallId| self.calls.get(call).is_some_and(|call| call.is_cancelled);
        match maker.is_some_and(is_cancelled) {
            true => refused("the call that makes this one was given up"),
            false => Ok(maker),
        }
    }

    fn find_pool(&self, name: &str) -> Result<PoolId> {
        match self.pools.iter().position(|pool| pool.spec.name == name) {
            Some(position) => Ok(PoolId(position as u32)),
            None => {
                let names = self.pools.iter().map(|pool| pool.spec.name.as_str());
                let names: Vec<&str> = names.filter(|name| !name.is_empty()).collect();
                let message = format!("pool '{name}' is not known, expected one of {}", names.join(", "));
                Err(Error::new(Kind::Protocol, message))
            }
        }
    }

    fn find_function(&self, name: &str) -> Result<(PoolId, i64)> {
        match self.functions.iter().find(|function| function.name == name) {
            Some(function) => Ok((function.pool, function.mid)),
            None => {
                let message = format!("command '{name}' is not one that a pool of this program runs");
                Err(Error::new(Kind::Protocol, message))
            }
        }
    }

    /// Answers a request of a worker with nil or an error.
    pub(super) fn respond(&mut self, to: PeerId, request: u64, error: Option<&Error>) {
        let Some(peer) = self.peers.get_mut(to) else {
            return;
        };
        let mut payload = Vec::new();
        match error {
            Some(error) => write_error(&mut payload, error),
            None => write::nil(&mut payload),
        }
        write::nil(&mut payload);
        peer.outbox.append(|out| {
            // An error is far below the size of a frame.
            let _ = write_response(out, request, payload.len() as u64);
            out.extend_from_slice(&payload);
        });
        self.list(to);
    }

    /// A request of that worker is answered.
    pub(super) fn close_request(&mut self, of: PeerId) {
        if let Some(worker) = self.peers.get_mut(of).and_then(Peer::worker_mut) {
            worker.open_requests -= 1;
        }
    }

    fn handle_control(&mut self, id: PeerId, pool: PoolId, head: Head<'_>, payload: &[u8], now_ms: u64) {
        match head {
            Head::Notification { method: "hello" } => {
                let hello = read_hello(payload);
                if let Some(error) = self.version_error(pool, &hello, "pool") {
                    return self.fail_pool(pool, error, now_ms);
                }
                self.pools[pool.index()].can_signal = hello.can_signal;
                self.handle_pool_hello(pool, hello.workers, now_ms);
            }
            Head::Notification {
                method: "worker_exit",
            } => {
                if let Some((pid, ended)) = read_exit(payload) {
                    self.handle_worker_exit(pool, pid, ended, now_ms);
                }
            }
            Head::Response { id: request } if self.pools[pool.index()].open_grows == 0 => {
                let message =
                    format!("answers request {request}, which it was not sent or has answered already");
                self.handle_violation(id, &message, now_ms);
            }
            Head::Response { .. } => self.handle_grown(pool, payload, now_ms),
            Head::Request { id: request, method } => {
                let message = format!("method '{method}' is not known on the control channel");
                self.respond(id, request, Some(&Error::new(Kind::Protocol, message)));
            }
            Head::ForeignCall { id: request, .. } | Head::Command { id: request, .. } => {
                let message = "calls are made on a worker's connection, not on the control channel";
                self.respond(id, request, Some(&Error::new(Kind::Protocol, message)));
            }
            Head::Notification { .. } => {}
        }
    }

    fn handle_worker_hello(&mut self, id: PeerId, payload: &[u8], now_ms: u64) {
        let hello = read_hello(payload);
        let Some(pool) = self.peers.get(id).map(|peer| peer.pool) else {
            return;
        };
        if let Some(error) = self.version_error(pool, &hello, "worker of pool") {
            return self.fail_pool(pool, error, now_ms);
        }
        if self.pools[pool.index()].spec.wiring != Wiring::Parent {
            self.apply(pool, Event::Hello, now_ms);
        }
        self.handle_worker_ready(id, &hello, now_ms);
    }

    fn version_error(&self, pool: PoolId, hello: &Hello, what: &str) -> Option<Box<Error>> {
        let name = &self.pools[pool.index()].spec.name;
        let found = match hello.protocol {
            Some(PROTOCOL) => return None,
            Some(version) => format!("version {version} of the pool protocol"),
            None => "a pool protocol without a version".into(),
        };
        let message = format!("{what} '{name}' speaks {found}, expected version {PROTOCOL}");
        let hint = "build the program again, or run it with the nexus that it was built for";
        Some(
            Error::new(Kind::HelloFailed, message)
                .hint(hint)
                .pool(name.clone()),
        )
    }

    /// Handles the answer of a call that is no larger than one read.
    fn handle_response(&mut self, from: PeerId, call: CallId, payload: &[u8], now_ms: u64) {
        let Some(origin) = self.release(from, call, now_ms) else {
            return;
        };
        match origin {
            _ if self.owns_processes(call) => {
                if let Some(found) = self.calls.get_mut(call) {
                    found.collected.extend_from_slice(payload);
                    self.handle_collected(call);
                }
            }
            Origin::Client(_) => {
                if let Some(found) = self.calls.get_mut(call) {
                    found.collected.extend_from_slice(payload);
                    self.answer_collected(call);
                }
            }
            Origin::Worker {
                peer: to,
                id: request,
            } => {
                self.forget_call(call);
                if let Some(peer) = self.peers.get_mut(to) {
                    peer.outbox.append(|out| {
                        // It came in a frame, so it fits in one.
                        let _ = write_response(out, request, payload.len() as u64);
                        out.extend_from_slice(payload);
                    });
                    self.list(to);
                    self.stall_if_full(from, to);
                    self.close_request(to);
                }
            }
            Origin::Nobody => self.forget_call(call),
        }
        if let Some(peer) = self.peers.get(from) {
            let pool = peer.pool;
            self.settle_worker(from, now_ms);
            self.serve_queue(pool, now_ms);
        }
    }

    /// The answer to a client's call is all there.
    pub(super) fn answer_collected(&mut self, call: CallId) {
        let Some(found) = self.remove_call(call) else {
            return;
        };
        self.end_child(found.parent, found.is_awaited);
        let Origin::Client(token) = found.origin else {
            return;
        };
        let mut collected = found.collected;
        let result = if collected.first() == Some(&0xc0) {
            collected.remove(0);
            Ok(collected)
        } else {
            let error = Reader::new(&collected).skip().and_then(read_error);
            Err(error.unwrap_or_else(|malformed| {
                let name = &self.pools[found.pool.index()].spec.name;
                let message = format!("pool '{name}' answered with an error that can't be read: {malformed}");
                Error::new(Kind::Protocol, message).pool(name.clone())
            }))
        };
        let result = result.map_err(|error| self.describe(error, found.pool, found.mid));
        #[cfg(test)]
        if self.planted == Some(Bug::AnswerTwice) {
            let result = result.clone();
            self.effects.push_back(Effect::Answer { token, result });
        }
        self.effects.push_back(Effect::Answer { token, result });
    }
}
