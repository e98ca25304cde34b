//! The server's log on standard error: written when that takes it, so that nobody who doesn't read it can stop the server.

use crate::limits::{LOG_PENDING_BYTES_MAX, PIPE_WHOLE_BYTES};
use crate::sys::descriptor::has_room;
use std::io::{self, Write};

/// Lines that are not written yet.
#[derive(Default)]
pub struct Log {
    pending: Vec<u8>,
    /// Lines that there was no room for.
    left_out: u64,
}

impl Log {
    /// Adds a line.
    pub fn add(&mut self, line: &str) {
        if self.pending.len() + line.len() >= LOG_PENDING_BYTES_MAX {
            self.flush();
        }
        if self.pending.len() + line.len() >= LOG_PENDING_BYTES_MAX {
            self.left_out += 1;
            return;
        }
        self.pending.extend_from_slice(line.as_bytes());
        self.pending.push(b'\n');
    }

    /// Writes what is taken without waiting.
    pub fn flush(&mut self) {
        if self.pending.is_empty() {
            return;
        }
        let stderr = io::stderr();
        let mut written = 0;
        // A pipe that has room takes so much at once.
        while written < self.pending.len() && has_room(&stderr) {
            let rest = &self.pending[written..];
            let piece = &rest[..rest.len().min(PIPE_WHOLE_BYTES)];
            // If nobody takes it any more, there is nobody to tell.
            let _ = stderr.lock().write_all(piece);
            written += piece.len();
        }
        self.pending.drain(..written);
        if self.pending.is_empty() {
            self.pending.shrink_to(PIPE_WHOLE_BYTES);
            let left_out = std::mem::take(&mut self.left_out);
            if left_out > 0 {
                self.add(&format!(
                    "{left_out} lines are left out, for nobody read this log"
                ));
            }
        }
    }
}
