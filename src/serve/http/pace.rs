//! How slowly a peer may send or take bytes: as one time by which more must have moved. Moves nothing.

use crate::limits::{HTTP_BYTES_PER_S_MIN, HTTP_PACE_GRACE_MS, HTTP_STALL_MS};

/// A transfer under way; times in milliseconds.
#[derive(Clone, Copy)]
pub(super) struct Pace {
    began_ms: u64,
    moved_ms: u64,
    bytes: u64,
}

impl Pace {
    /// A transfer that begins now.
    pub(super) fn new(now_ms: u64) -> Pace {
        Pace {
            began_ms: now_ms,
            moved_ms: now_ms,
            bytes: 0,
        }
    }

    /// So many bytes have moved.
    pub(super) fn handle_moved(&mut self, bytes: usize, now_ms: u64) {
        if bytes > 0 {
            self.moved_ms = now_ms;
            self.bytes += bytes as u64;
        }
    }

    /// The time from which on the transfer is too slow: after a pause, or by its rate.
    pub(super) fn deadline(&self) -> u64 {
        let by_rate =
            self.began_ms + HTTP_PACE_GRACE_MS + self.bytes.saturating_mul(1000) / HTTP_BYTES_PER_S_MIN;
        by_rate.min(self.moved_ms + HTTP_STALL_MS)
    }
}
