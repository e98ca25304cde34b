//! What goes wrong at random moments. What goes wrong with a function stands in its plan.

use super::wire::{self, Hello};
use super::world::World;
use crate::core::hub::{Ended, PeerId};

impl World {
    pub fn make_mischief(&mut self) {
        if !self.has_faults {
            return;
        }
        if self.random.chance(self.faults.worker_dies) && !self.workers.is_empty() {
            let worker = self.random.below(self.workers.len() as u64) as usize;
            if !self.workers[worker].is_dead {
                self.kill_worker(worker, Ended::Signal(9));
            }
        }
        let pool = self.random.below(self.pools.len() as u64) as usize;
        let pid = self.pools[pool].process.as_ref().map(|process| process.pid);
        if self.random.chance(self.faults.pool_dies)
            && let Some(pid) = pid
        {
            self.exit(pool, pid, Ended::Code(1));
        }
        if self.random.chance(self.faults.control_closes) {
            self.close_control(pool);
        }
        if self.random.chance(self.faults.garbage) && !self.workers.is_empty() {
            let worker = self.random.below(self.workers.len() as u64) as usize;
            // After half an answer it would be taken for the rest.
            if !self.workers[worker].is_stuck {
                self.spoil(self.workers[worker].link);
            }
        }
        if self.random.chance(self.faults.control_garbage) {
            self.spoil(self.pools[pool].control());
        }
    }

    /// Writes what a peer should not.
    fn spoil(&mut self, id: Option<PeerId>) {
        let Some(link) = id.and_then(|id| self.links.get_mut(&id)) else {
            return;
        };
        trace!(self, "{id:?} writes garbage");
        let out = &mut link.to_hub;
        // Ids that are not in use: what looks like an answer would be one.
        let id = 100 + self.random.below(8);
        match self.random.below(8) {
            0 => out.extend_from_slice(&self.random.next().to_le_bytes()),
            1 => out.extend_from_slice(b"GET / HTTP/1.1\r\n\r\n"),
            2 => out.extend_from_slice(&[0; 9]),
            3 => out.extend_from_slice(&[0xff, 0xff, 0xff, 0xff, 0x94, 1, id as u8, 0xc0, 0xc0]),
            4 => out.extend_from_slice(&[0, 8, 0, 0, 0x94, 0, id as u8, 0xa4, b'c', b'a', b'l', b'l']),
            5 => wire::grown(out, id, None),
            6 => wire::grown(out, id, Some(3)),
            _ => {
                let hello = Hello {
                    protocol: 1,
                    pid: 5,
                    is_reentrant: true,
                    ..Hello::default()
                };
                wire::hello(out, hello);
            }
        }
    }
}
