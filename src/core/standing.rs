//! Who does what at the moment, in words for people. Changes nothing.

use super::call::{Call, CallId, Stage};
use super::hub::Hub;
use super::lifecycle::State;
use super::peer::{Peer, WorkerState};
use crate::limits::STANDING_LINES_MAX;

impl Hub {
    /// A line for every pool that starts and every worker that has a call: what runs, for how long, and what it waits for.
    pub fn standing(&self, now_ms: u64) -> Vec<String> {
        let mut lines = Vec::new();
        for pool in &self.pools {
            let name = &pool.spec.name;
            match pool.state {
                State::Starting => lines.push(format!("pool {name} is starting")),
                State::Backoff => lines.push(format!("pool {name} has died and waits to be started again")),
                _ => {}
            }
            for id in &pool.workers {
                let Some(worker) = self.peers.get(*id).and_then(Peer::worker) else {
                    continue;
                };
                let Some(running) = worker.stack.last() else {
                    continue;
                };
                let mut line = format!("pool {name}, process {}: ", worker.pid);
                match worker.state {
                    WorkerState::Lost => line.push_str("is gone"),
                    _ => line.push_str(&self.running_text(*running, now_ms)),
                }
                match worker.stack.len() {
                    1 => {}
                    2 => line.push_str("; 1 call waits below it"),
                    depth => line.push_str(&format!("; {} calls wait below it", depth - 1)),
                }
                lines.push(line);
            }
            if !pool.queue.is_empty() {
                let first = pool
                    .queue
                    .front()
                    .map_or_else(String::new, |call| self.call_name(*call));
                lines.push(format!(
                    "pool {name}: {} waiting for a worker, first {first}",
                    count(pool.queue.len(), "call")
                ));
            }
        }
        if lines.len() > STANDING_LINES_MAX {
            let left = lines.len() - STANDING_LINES_MAX;
            lines.truncate(STANDING_LINES_MAX);
            lines.push(format!("and {left} more"));
        }
        lines
    }

    fn running_text(&self, id: CallId, now_ms: u64) -> String {
        let Some(call) = self.calls.get(id) else {
            return String::new();
        };
        let tenths = (now_ms.saturating_sub(call.began_ms) + 50) / 100;
        let mut text = format!(
            "runs {} for {}.{} s",
            self.function_name(call.pool, call.mid),
            tenths / 10,
            tenths % 10
        );
        let child = call.last_child.filter(|_| call.open_children > 0);
        if let Some(child) = child.filter(|child| self.calls.get(*child).is_some()) {
            text.push_str(&format!(", waits for {}", self.call_name(child)));
            let stage = self.calls.get(child).map(|call| &call.stage);
            if matches!(stage, Some(Stage::Queued(_))) {
                text.push_str(", which waits for a worker");
            }
        }
        if call.open_children > 1 {
            text.push_str(&format!(
                " and {}",
                count(call.open_children as usize - 1, "other")
            ));
        }
        text
    }

    /// The call at the end of a chain.
    pub(super) fn innermost(&self, id: CallId) -> CallId {
        let child = |id| self.calls.get(id).and_then(|call: &Call| call.last_child);
        let mut at = id;
        while let Some(child) = child(at).filter(|child| self.calls.get(*child).is_some()) {
            at = child;
        }
        at
    }

    pub(super) fn call_name(&self, id: CallId) -> String {
        self.calls.get(id).map_or_else(String::new, |call| {
            if self.is_host(call.pool) {
                return "a function of the composition".into();
            }
            let pool = &self.pools[call.pool.index()].spec.name;
            format!("{} of pool '{pool}'", self.function_name(call.pool, call.mid))
        })
    }
}

fn count(number: usize, noun: &str) -> String {
    match number {
        1 => format!("1 {noun}"),
        _ => format!("{number} {noun}s"),
    }
}
