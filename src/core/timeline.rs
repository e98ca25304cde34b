//! What happens in the hub, told as it happens to whoever wants to know where the time goes. Measures nothing itself.

use super::call::CallId;
use super::hub::{Effect, Hub};
use crate::ids::PoolId;

/// Something that happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// A pool takes calls.
    Ready(PoolId),
    /// A worker was given a call.
    Began {
        /// The call's number.
        call: u64,
        /// That of the call whose function made it.
        parent: Option<u64>,
        /// The pool.
        pool: PoolId,
        /// The function.
        mid: i64,
        /// The worker's process.
        pid: u32,
    },
    /// A call is answered, or failed.
    Ended(u64),
}

impl Hub {
    /// From now on, every [`Mark`] comes as an [`Effect::Mark`].
    pub fn keep_marks(&mut self) {
        self.keeps_marks = true;
    }

    pub(super) fn mark(&mut self, mark: Mark) {
        if self.keeps_marks {
            self.effects.push_back(Effect::Mark(mark));
        }
    }

    pub(super) fn mark_began(&mut self, id: CallId, pid: u32) {
        if let Some(call) = self.calls.get(id) {
            self.mark(Mark::Began {
                call: id.raw(),
                parent: call.parent.map(CallId::raw),
                pool: call.pool,
                mid: call.mid,
                pid,
            });
        }
    }
}
