//! Bytes in: the hub's side of the pool protocol. Payloads are passed on or kept as bytes, never read.

use super::call::{Call, CallId, Origin, Payload, Stage};
use super::hub::{Effect, Ended, Hub, Note, PeerId};
use super::peer::{Peer, Reading, Sink, WorkerState};
#[cfg(test)]
use super::simulation::Bug;
use crate::codec::error_map::{read_error, write_error};
use crate::codec::frame::{Scan, scan};
use crate::codec::message::{Head, PROTOCOL, write_response};
use crate::codec::msgpack::{Reader, Token, write};
use crate::error::{Error, Kind};
use crate::ids::PoolId;
use crate::limits::{OPEN_REQUESTS_MAX, QUEUE_BYTES_MAX};

/// What a pool or worker says of itself first.
#[derive(Default)]
struct Hello {
    protocol: Option<u64>,
    pid: u32,
    workers: u32,
    is_reentrant: bool,
}

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
        self.break_deadlocks();
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
                        self.handle_violation(id, &malformed, now_ms);
                        return bytes.len();
                    }
                },
            }
        }
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
            Sink::Answer(call) => {
                if let Some(found) = self.calls.get_mut(call) {
                    found.collected.extend_from_slice(piece);
                    if is_last {
                        self.answer_collected(call);
                    }
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
                match method {
                    "ping" => self.respond(id, request, None),
                    _ => {
                        let message =
                            format!("method '{method}' is not known, expected one of call, command, ping");
                        self.respond(id, request, Some(&Error::new(Kind::Protocol, message)));
                    }
                }
                // Who asks on and on without reading the answers is not heard meanwhile.
                self.stall_if_full(id, id);
            }
            Head::Notification { method } => {
                if let Some(note) = read_note(method, payload) {
                    self.effects.push_back(Effect::Note { pool, note });
                }
            }
        }
    }

    /// Decides where the payload of a large message goes, before it has come.
    fn begin_large(&mut self, id: PeerId, head: Head<'_>, payload_bytes: u64, now_ms: u64) -> Sink {
        let is_ready = self.peers.get(id).and_then(Peer::ready_worker).is_some();
        match head {
            Head::Response { id: call } if is_ready => {
                let call = CallId::from_raw(call);
                match self.release(id, call, now_ms) {
                    Some(Origin::Client(_)) => Sink::Answer(call),
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
                    Some(_) => Sink::Argument(call),
                    None => Sink::Nobody,
                }
            }
            Head::Notification { .. } => Sink::Nobody,
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
        let (request, target, args) = match *head {
            Head::ForeignCall { id, pool, mid, args } => {
                (id, self.find_pool(pool).map(|pool| (pool, mid)), args)
            }
            Head::Command { id, name, args } => (id, self.find_function(name), args),
            _ => return None,
        };
        let (pool, mid) = match target {
            Ok(target) => target,
            Err(error) => {
                self.respond(from, request, Some(&error));
                return None;
            }
        };
        let worker = self.peers.get_mut(from)?.worker_mut()?;
        if worker.open_requests >= OPEN_REQUESTS_MAX || self.queued_bytes > QUEUE_BYTES_MAX {
            let message = match worker.open_requests >= OPEN_REQUESTS_MAX {
                true => format!("worker has {OPEN_REQUESTS_MAX} calls open, which is the most it may have"),
                false => format!(
                    "calls that wait hold more than {QUEUE_BYTES_MAX} bytes, which is the most they may"
                ),
            };
            self.respond(from, request, Some(&Error::new(Kind::Protocol, message)));
            return None;
        }
        worker.open_requests += 1;
        let parent = worker.stack.last().copied();
        let origin = Origin::Worker {
            peer: from,
            id: request,
        };
        let call = self.calls.insert(Call::new(pool, mid, args, origin, parent));
        if let Some(parent) = parent.and_then(|parent| self.calls.get_mut(parent)) {
            parent.open_children += 1;
            parent.last_child = Some(call);
        }
        Some(call)
    }

    fn find_pool(&self, name: &str) -> Result<PoolId, Box<Error>> {
        match self.pools.iter().position(|pool| pool.spec.name == name) {
            Some(position) => Ok(PoolId(position as u32)),
            None => {
                let names: Vec<&str> = self.pools.iter().map(|pool| pool.spec.name.as_str()).collect();
                let message = format!("pool '{name}' is not known, expected one of {}", names.join(", "));
                Err(Error::new(Kind::Protocol, message))
            }
        }
    }

    fn find_function(&self, name: &str) -> Result<(PoolId, i64), Box<Error>> {
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
        self.handle_worker_ready(id, hello.pid, hello.is_reentrant, now_ms);
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
            self.serve_queue(peer.pool, now_ms);
        }
    }

    /// The answer to a client's call is all there.
    fn answer_collected(&mut self, call: CallId) {
        let Some(found) = self.remove_call(call) else {
            return;
        };
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

fn read_hello(payload: &[u8]) -> Hello {
    let mut hello = Hello {
        workers: 1,
        ..Hello::default()
    };
    // What can't be read stays absent, and an absent version is refused.
    let _ = each_member(payload, |key, value| match (key, value) {
        ("protocol", Token::Int(version)) => hello.protocol = u64::try_from(version).ok(),
        ("pid", Token::Int(pid)) => hello.pid = u32::try_from(pid).unwrap_or(0),
        ("workers", Token::Int(workers)) => hello.workers = u32::try_from(workers).unwrap_or(1),
        ("reentrant", Token::Bool(reentrant)) => hello.is_reentrant = reentrant,
        _ => {}
    });
    hello
}

fn read_exit(payload: &[u8]) -> Option<(u32, Ended)> {
    let (mut found, mut ended) = (None, Ended::Unknown);
    each_member(payload, |key, value| match (key, value) {
        ("pid", Token::Int(pid)) => found = u32::try_from(pid).ok(),
        ("exit_code", Token::Int(code)) => ended = Ended::Code(code as i32),
        ("signal", Token::Int(signal)) => ended = Ended::Signal(signal as i32),
        _ => {}
    })?;
    found.map(|pid| (pid, ended))
}

/// Walks the map that is the only param of a notification.
fn each_member<'a>(payload: &'a [u8], mut each: impl FnMut(&'a str, Token<'a>)) -> Option<()> {
    let mut reader = Reader::new(payload);
    let (Token::Array(1), Token::Map(len)) = (reader.next().ok()?, reader.next().ok()?) else {
        return None;
    };
    for _ in 0..len {
        let Token::Str(key) = reader.next().ok()? else {
            return None;
        };
        each(key, Reader::new(reader.skip().ok()?).next().ok()?);
    }
    Some(())
}

fn read_note(method: &str, payload: &[u8]) -> Option<Note> {
    let mut reader = Reader::new(payload);
    let mut next = || reader.next().ok();
    match (method, next()?) {
        ("log", Token::Array(2)) => match (next()?, next()?) {
            (Token::Str(level), Token::Str(text)) => Some(Note::Log {
                level: level.into(),
                text: text.into(),
            }),
            _ => None,
        },
        ("progress", Token::Array(3)) => {
            let (done, total) = (number(next()?)?, number(next()?)?);
            let Token::Str(label) = next()? else { return None };
            Some(Note::Progress {
                done,
                total,
                label: label.into(),
            })
        }
        _ => None,
    }
}

fn number(token: Token<'_>) -> Option<f64> {
    match token {
        Token::Int(value) => Some(value as f64),
        Token::Unsigned(value) => Some(value as f64),
        Token::F4(value) => Some(value.into()),
        Token::F8(value) => Some(value),
        Token::Nil => Some(0.0),
        _ => None,
    }
}
