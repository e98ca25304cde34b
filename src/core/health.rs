//! How pools are and which processes they have, for whoever watches over them. Changes nothing.

use super::hub::Hub;
use super::lifecycle::State;
use crate::error::Error;
use crate::ids::PoolId;
use crate::limits::DEATHS_WINDOW_MS;

/// How a pool is.
#[derive(Clone, Debug, PartialEq)]
pub enum Health {
    /// It does not run, and is started by its first call.
    Idle,
    /// It has not said hello, or is on its way out.
    Changing,
    /// It takes calls.
    Ready,
    /// It has died by itself, and is started again by the next call.
    Down,
    /// It has died too often, and is not started before that time, in milliseconds.
    LeftAlone(u64),
    /// It could not be started, or was ended for a fault; it may be started again by a later call.
    Failed(Box<Error>),
}

/// A process of a pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolProcess {
    /// The pool.
    pub pool: PoolId,
    /// Its process id.
    pub pid: u32,
    /// Calls that run in it; none for the parent of workers, which runs none.
    pub calls: Option<usize>,
}

impl Hub {
    /// How a pool is.
    pub fn health(&self, pool: PoolId) -> Health {
        let entry = &self.pools[pool.index()];
        match entry.state {
            State::Idle => Health::Idle,
            State::Ready => Health::Ready,
            State::Starting | State::Draining | State::Terminating | State::Killed => Health::Changing,
            State::Backoff | State::Failed if entry.is_left_alone() => {
                let first = entry.deaths.front().copied().unwrap_or(0);
                Health::LeftAlone(first.saturating_add(DEATHS_WINDOW_MS))
            }
            State::Backoff => Health::Down,
            State::Failed => {
                let fault = entry.fault.clone();
                Health::Failed(fault.unwrap_or_else(|| self.gone_error(pool)))
            }
        }
    }

    /// Calls that wait for a worker of a pool.
    pub fn waiting_calls(&self, pool: PoolId) -> usize {
        self.pools[pool.index()].queue.len()
    }

    /// The processes of all pools.
    pub fn processes(&self) -> Vec<PoolProcess> {
        let mut found = Vec::new();
        for (pool, entry) in self.pool_ids().zip(&self.pools) {
            if entry.pid != 0 && entry.control.is_some() {
                found.push(PoolProcess {
                    pool,
                    pid: entry.pid,
                    calls: None,
                });
            }
            let workers = entry
                .workers
                .iter()
                .filter_map(|id| self.peers.get(*id)?.worker());
            let known = workers.filter(|worker| worker.pid != 0);
            found.extend(known.map(|worker| PoolProcess {
                pool,
                pid: worker.pid,
                calls: Some(worker.stack.len()),
            }));
        }
        found
    }
}
