//! What workers ask of nexus beside calls: whether it is there, and worker processes. Those belong to the calls that asked for
//! them, so an answer is held back until they have ended. What becomes of them is decided in `process`.

use super::call::{CallId, Origin};
use super::hub::{Effect, Hub, PeerId};
use super::peer::{LongRequest, Peer, Sink};
use super::process::request::{METHODS, Request, read};
use crate::codec::message::write_response;
use crate::error::{Error, Kind, Result};
use crate::limits::{HOST_REQUEST_BYTES_MAX, OPEN_REQUESTS_MAX, WHOLE_BYTES_MAX};
use crate::manifest::model::Host;

impl Hub {
    /// Answers a request that is no call, or passes it on.
    pub(super) fn handle_host_request(&mut self, from: PeerId, request: u64, method: &str, params: &[u8]) {
        if method == "ping" {
            return self.respond(from, request, None);
        }
        match self.admit_host_request(from, method, params) {
            Ok((asked, call)) => {
                if let Some(worker) = self.peers.get_mut(from).and_then(Peer::worker_mut) {
                    worker.open_requests += 1;
                }
                if matches!(asked, Request::Run(_))
                    && let Some(call) = call.and_then(|call| self.calls.get_mut(call))
                {
                    call.owns_processes = true;
                }
                self.effects.push_back(Effect::Process {
                    worker: from,
                    request,
                    call,
                    asked,
                });
            }
            Err(error) => self.respond(from, request, Some(&error)),
        }
    }

    /// Decides where the params of a long request go, before they have come.
    pub(super) fn begin_host_request(
        &mut self,
        from: PeerId,
        request: u64,
        method: &str,
        bytes: u64,
    ) -> Sink {
        if bytes > HOST_REQUEST_BYTES_MAX as u64 {
            let message =
                format!("params of '{method}' are {bytes} bytes, expected at most {HOST_REQUEST_BYTES_MAX}");
            self.respond(from, request, Some(&Error::new(Kind::BadArgument, message)));
            return Sink::Nobody;
        }
        if let Some(peer) = self.peers.get_mut(from) {
            peer.asking = Some(LongRequest {
                id: request,
                method: method.into(),
                params: Vec::new(),
            });
        }
        Sink::Request
    }

    fn admit_host_request(
        &self,
        from: PeerId,
        method: &str,
        params: &[u8],
    ) -> Result<(Request, Option<CallId>)> {
        let refused = |kind, message: String| Err(Error::new(kind, message));
        if !METHODS.contains(&method) {
            let known = METHODS.join(", ");
            let message =
                format!("method '{method}' is not known, expected one of call, command, ping, {known}");
            return refused(Kind::Protocol, message);
        }
        let Some((pool, worker)) = self
            .peers
            .get(from)
            .and_then(|peer| Some((peer.pool, peer.worker()?)))
        else {
            return refused(Kind::Protocol, "only a worker asks for worker processes".into());
        };
        let spec = &self.pools[pool.index()].spec;
        if spec.host.as_ref().is_some_and(|host: &Host| !host.run) {
            let message = format!(
                "pool '{}' may not ask for '{method}': \"host\" in its manifest does not allow \"run\"",
                spec.name
            );
            return refused(Kind::Denied, message);
        }
        if worker.open_requests >= OPEN_REQUESTS_MAX {
            let message =
                format!("worker has {OPEN_REQUESTS_MAX} requests open, which is the most it may have");
            return refused(Kind::Protocol, message);
        }
        let (asked, named) = read(method, params)?;
        let call = match asked {
            Request::Run(_) => self.maker(worker, named)?,
            // Which of several that run side by side asks is not known.
            _ if worker.is_concurrent => None,
            _ => worker.stack.last().copied(),
        };
        match (&asked, call) {
            (Request::Run(_), None) => refused(
                Kind::Protocol,
                "a worker process belongs to a call, and none runs here".into(),
            ),
            _ => Ok((asked, call)),
        }
    }

    /// The answer to what a worker asked by [`Effect::Process`].
    pub fn handle_process_answer(&mut self, to: PeerId, request: u64, result: Result<Vec<u8>>) {
        match result {
            Ok(result) => self.pass_result(to, request, result),
            Err(_) if self.peers.get(to).is_none_or(Peer::is_closed) => {}
            Err(error) => {
                self.respond(to, request, Some(&error));
                self.close_request(to);
            }
        }
    }

    /// Answers a request of a worker with a result.
    pub(super) fn pass_result(&mut self, to: PeerId, request: u64, result: Vec<u8>) {
        self.pass_answer(to, request, &[NIL], result);
    }

    /// Answers a request of a worker: `front` and `payload` are the error and the result.
    fn pass_answer(&mut self, to: PeerId, request: u64, front: &[u8], payload: Vec<u8>) {
        let Some(peer) = self.peers.get_mut(to).filter(|peer| !peer.is_closed()) else {
            return;
        };
        peer.outbox.append(|out| {
            // It came in a frame, or is bounded far below one.
            let _ = write_response(out, request, (front.len() + payload.len()) as u64);
            out.extend_from_slice(front);
        });
        if payload.len() <= WHOLE_BYTES_MAX {
            peer.outbox.append(|out| out.extend_from_slice(&payload));
        } else {
            peer.outbox.push(payload);
        }
        self.list(to);
        self.close_request(to);
    }

    /// Whether worker processes belong to a call.
    pub(super) fn owns_processes(&self, id: CallId) -> bool {
        self.calls.get(id).is_some_and(|call| call.owns_processes)
    }

    /// A call has ended: so are the worker processes that belong to it, if any do. They are told once that it has ended well,
    /// and once that it has not.
    pub(super) fn end_owner(&mut self, id: CallId, is_well: bool) {
        if let Some(call) = self.calls.get_mut(id).filter(|call| call.owns_processes) {
            call.owns_processes = is_well;
            self.effects.push_back(Effect::EndOwner(id, is_well));
        }
    }

    /// The answer of a call is all there. It is passed on when nothing is left that belongs to the call.
    pub(super) fn handle_collected(&mut self, id: CallId) {
        match self.calls.get(id) {
            Some(call) if call.owns_processes => {
                let is_well = call.collected.first() == Some(&NIL);
                self.effects.push_back(Effect::EndOwner(id, is_well));
            }
            _ => self.answer_collected(id),
        }
    }

    /// The worker processes of a call that has ended are gone.
    pub fn handle_joined(&mut self, id: CallId, now_ms: u64) {
        let Some(call) = self.calls.get_mut(id).filter(|call| !call.collected.is_empty()) else {
            return;
        };
        call.owns_processes = false;
        match call.origin {
            Origin::Client(_) => self.answer_collected(id),
            Origin::Worker {
                peer: to,
                id: request,
            } => {
                let payload = std::mem::take(&mut call.collected);
                self.forget_call(id);
                self.pass_answer(to, request, &[], payload);
            }
            Origin::Nobody => self.forget_call(id),
        }
        self.end_event(now_ms);
    }
}

const NIL: u8 = 0xc0;
