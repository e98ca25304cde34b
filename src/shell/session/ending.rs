//! How a session ends, and how its pools are meanwhile. Decides nothing: that is the hub's.

use super::Session;
use crate::core::health::{Health, PoolProcess};
use crate::core::process::table::Owner as ProcessOwner;
use crate::ids::PoolId;
use crate::shell::confine::users;
use crate::shell::strays::end_strays;
use crate::sys::clock::now_ms;

impl Session {
    /// Ends all pools and removes the temp dir: gently what does as it is told, and by signals what does not.
    pub fn finish(mut self) {
        let interrupts = self.interrupts;
        self.drain(now_ms());
        while !self.is_finished() {
            // Whoever sends one more signal does not want to wait: first for what would end by itself, then for anything.
            match (self.interrupts, self.interrupts - interrupts) {
                (_, 0) => {}
                (1, _) => self.hub.terminate(now_ms()),
                _ => self.hub.kill(now_ms()),
            }
            self.carry_out(now_ms());
            if self.turn().is_err() {
                break;
            }
        }
        self.notes.finish();
        self.close();
    }

    /// Begins to end all pools: nothing is called any more, and what runs is given up.
    pub fn drain(&mut self, now: u64) {
        // The temp dir is not made any more; and if no function runs, now is the time to remove it: as long as pools run,
        // they would do it if this process were killed.
        self.keeps_dir = true;
        if !self.hub.has_calls() {
            self.remove_dir();
        }
        self.hub.drain(now);
        self.workers.table.end_owner(ProcessOwner::Run, false, now);
        self.carry_out(now);
    }

    /// Ends all pools at once, without grace.
    pub fn kill(&mut self, now: u64) {
        self.hub.kill(now);
        self.carry_out(now);
    }

    /// How a pool is.
    pub fn health(&self, pool: PoolId) -> Health {
        self.hub.health(pool)
    }

    /// Calls that wait for a worker of a pool.
    pub fn waiting_calls(&self, pool: PoolId) -> usize {
        self.hub.waiting_calls(pool)
    }

    /// The processes of its pools.
    pub fn processes(&self) -> Vec<PoolProcess> {
        self.hub.processes()
    }

    /// Its children.
    pub fn children(&self) -> Vec<u32> {
        self.processes.pids()
    }

    /// Whether nothing runs any more.
    pub fn is_finished(&self) -> bool {
        self.hub.is_finished() && self.workers.table.is_empty()
    }

    /// Removes what is left when nothing runs any more, and ends what has left its pool.
    pub fn close(self) {
        self.close_beside(&[]);
    }

    /// The same beside children of others, which are left alone.
    pub fn close_beside(mut self, own: &[u32]) {
        let mark = format!("NEXUS_RUN={}", self.mark);
        end_strays(&mark, &users(&self.manifest.pools), own);
        // What was still running may have put something there.
        self.remove_dir();
        if self.interrupted.is_some() {
            // The process ends with the code of the first signal, whatever comes now.
            std::mem::forget(self.signals);
        }
    }
}
