//! What is true of the flows of a server whenever it is left alone. Only for tests.

use super::super::Server;
use super::super::calls::Origin;
use super::work::{Asker, Task};
use super::{State, Waiting};
use crate::flow::engine::{ProcessStatus, RunId, TaskId};
use std::collections::{BTreeMap, BTreeSet};

impl Server {
    /// Not more runs than that at once in a namespace.
    pub(in crate::serve::server) fn limit_runs(&mut self, runs_max: usize) {
        self.flows.engine.runs_max = runs_max;
    }

    fn processes(&self) -> BTreeMap<RunId, ProcessStatus> {
        let namespaces = self.flows.namespaces.iter();
        let all = namespaces.flat_map(|namespace| self.flows.engine.processes(namespace));
        all.map(|process| (process.run, process)).collect()
    }

    /// Panics if something isn't as it has to be; deadlines are kept where nobody holds packets.
    pub(in crate::serve::server) fn check_flows(&self, now_ms: u64, is_in_time: bool) {
        self.flows.engine.check();
        if self.flows.is_busy {
            return;
        }
        let processes = self.processes();
        self.check_tasks();
        for (run, waiting) in self.flows.waiting.iter() {
            let process = processes
                .get(run)
                .expect("who waits for a run waits for one that goes on");
            let Waiting::Web {
                client,
                request,
                begun_ms,
                ..
            } = waiting
            else {
                continue;
            };
            assert!(!process.is_answered || process.frames == 0);
            let is_awaited = self
                .clients
                .get(*client)
                .is_some_and(|client| client.run == Some(*run));
            assert!(is_awaited || process.is_answered, "{run} goes on for nobody");
            let timeout_ms = super::super::web::timeout_ms(request).unwrap_or(None);
            let due_ms = begun_ms + timeout_ms.unwrap_or(self.config.timeout_ms);
            assert!(
                !is_in_time || now_ms <= due_ms || process.is_answered,
                "{run} of {begun_ms} goes on behind its deadline"
            );
        }
        let mut stalled = BTreeSet::new();
        for (id, client) in self.clients.iter() {
            if let Some(run) = client.run {
                assert!(
                    self.flows.waiting.contains(&run),
                    "{id:?} waits for a run that is over"
                );
            }
            if client.stalled.is_some() {
                assert!(client.run.is_none());
                stalled.insert(id);
            }
        }
        let mut queued = BTreeSet::new();
        for (namespace, queue) in self.flows.stalled.iter() {
            assert!(
                !self.flows.engine.can_begin(namespace),
                "requests wait for nothing"
            );
            assert!(!queue.is_empty());
            queued.extend(queue.iter().copied());
        }
        assert_eq!(stalled, queued, "clients whose requests wait");
        for source in &self.flows.sources {
            assert!(!source.is_closing && !matches!(source.state, State::Asked));
        }
    }

    /// What the engine asks for is asked of somebody, and nobody is asked for anything else.
    fn check_tasks(&self) {
        let wanted: BTreeSet<TaskId> = self.flows.engine.tasks().into_iter().collect();
        let asked: BTreeSet<TaskId> = self.flows.tasks.keys().copied().collect();
        assert_eq!(wanted, asked, "what the engine wants");
        for (task, of) in self.flows.tasks.iter() {
            match of {
                Task::Call(call) => {
                    let call = self.calls.get(*call).expect("a call that is waited for is open");
                    assert!(
                        matches!(&call.origin, Origin::Flow { asker: Asker::Task(of), .. } if of == task)
                    );
                }
                Task::Store(namespace) => {
                    // The store answers at once.
                    let is_held = self.flows.admission.is_holding(namespace);
                    assert!(is_held, "an answer waits for no change");
                }
                Task::Fetch(_) => {}
            }
        }
        for (id, call) in self.calls.iter() {
            if let Origin::Flow { asker, .. } = &call.origin {
                let is_wanted = match asker {
                    Asker::Task(task) => asked.contains(task),
                    Asker::Admission(question) => self.flows.admission.is_asked(*question),
                };
                assert!(is_wanted || call.is_given_up(), "{id:?} goes on for nobody");
            }
        }
    }

    /// Panics if something is left when the server has ended.
    pub(in crate::serve::server) fn check_end_of_flows(&self) {
        let flows = &self.flows;
        assert!(self.processes().is_empty(), "runs are left");
        assert_eq!(flows.engine.namespaces().count(), 0, "nodes are left");
        assert!(flows.admission.is_empty(), "changes are left");
        assert!(flows.waiting.is_empty() && flows.tasks.is_empty() && flows.stalled.is_empty());
        assert!(flows.sources.is_empty() && !flows.is_busy && flows.ends_at.is_none());
    }
}
