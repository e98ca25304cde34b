//! Calls that nexus runs itself: workers call closures of a composition as functions of a pool without a name. They stand in
//! chains like any other call, and so do the calls that the composition makes for them.

use super::call::{CallId, Origin, Stage};
use super::hub::{Effect, Hub, PoolSpec, Wiring};
use crate::error::{Error, Kind, Result};
use crate::ids::PoolId;
use crate::limits::FRAME_BYTES_MAX;
use crate::manifest::model::Recycle;

/// The pool that stands for nexus.
pub(super) fn host_spec() -> PoolSpec {
    PoolSpec {
        name: String::new(),
        workers_max: 0,
        hello_ms: 0,
        call_ms: None,
        shutdown_ms: 0,
        wiring: Wiring::Parent,
        recycle: Recycle::default(),
        host: None,
    }
}

impl Hub {
    /// Whether a pool is the one that stands for nexus.
    pub(super) fn is_host(&self, pool: PoolId) -> bool {
        pool.index() + 1 == self.pools.len()
    }

    /// Takes a call for nexus itself, with the arguments that have come if they are all there.
    pub(super) fn begin_hosted(&mut self, id: CallId, payload: Vec<u8>, is_whole: bool, now_ms: u64) {
        if let Some(call) = self.calls.get_mut(id) {
            call.stage = Stage::Hosted { is_begun: false };
            call.began_ms = now_ms;
            call.collected = payload;
        }
        if is_whole {
            self.hand_over(id);
        }
    }

    /// The arguments of a call for nexus itself are all there.
    pub(super) fn hand_over(&mut self, id: CallId) {
        if let Some(call) = self.calls.get_mut(id) {
            call.stage = Stage::Hosted { is_begun: true };
            self.effects.push_back(Effect::Host {
                call: id.raw(),
                mid: call.mid,
                args: call.args,
                payload: std::mem::take(&mut call.collected),
            });
        }
    }

    /// A call that [`Effect::Host`] told of is done, or failed. Unknown numbers are those of calls that were given up.
    pub fn answer(&mut self, call: u64, result: Result<Vec<u8>>, now_ms: u64) {
        let id = CallId::from_raw(call);
        let Some(found) = self.calls.get_mut(id) else {
            return;
        };
        let Stage::Hosted { is_begun: true } = found.stage else {
            return;
        };
        found.stage = Stage::Answering;
        let (origin, has_children) = (found.origin, found.open_children > 0);
        if has_children {
            let error = Error::new(Kind::Cancelled, "the call that made this one has ended");
            self.give_up_below(id, &error, now_ms);
        }
        let result = result.and_then(|payload| match payload.len() as u64 <= FRAME_BYTES_MAX {
            true => Ok(payload),
            false => Err(Error::new(
                Kind::Raised,
                "result of a function value is too large for a frame",
            )),
        });
        match (result, origin) {
            (Err(error), _) => self.fail_call(id, error),
            (Ok(payload), Origin::Worker { peer, id: request }) => {
                self.forget_call(id);
                self.pass_result(peer, request, payload);
            }
            (Ok(payload), Origin::Client(token)) => {
                self.forget_call(id);
                self.effects.push_back(Effect::Answer {
                    token,
                    result: Ok(payload),
                });
            }
            (Ok(_), Origin::Nobody) => self.forget_call(id),
        }
        self.end_event(now_ms);
    }

    /// Says whether something goes on in what nexus runs itself that is not a call: then nothing waits in vain.
    pub fn set_host_busy(&mut self, is_busy: bool, now_ms: u64) {
        let was_busy = std::mem::replace(&mut self.is_host_busy, is_busy);
        if was_busy && !is_busy {
            self.end_event(now_ms);
        }
    }

    /// Whether nexus itself works on a call and does not only wait for others.
    pub(super) fn host_goes_on(&self) -> bool {
        let runs = |stage: &Stage, awaited: u32| matches!(stage, Stage::Hosted { .. }) && awaited == 0;
        self.is_host_busy || self.calls.iter().any(|(_, call)| runs(&call.stage, call.awaited))
    }
}
