//! How changes of nodes come to the engine: what is asked of pools first is called, and what has passed is handed on. What waits, and
//! for what, is [`crate::flow::admission`]'s.

use super::super::Server;
use super::super::calls::{Call, Origin};
use super::work::Asker;
use crate::error::{Error, Kind};
use crate::flow::admission::Passed;
use crate::flow::engine::Change;
use crate::flow::kinds::node::Outcome;
use crate::flow::languages::{self, CHECK};
use std::rc::Rc;

impl Server {
    /// Takes changes of a namespace.
    pub(super) fn admit(&mut self, namespace: &Rc<str>, changes: Vec<Change>, now_ms: u64) {
        if self.is_ending {
            return;
        }
        if !self.flows.namespaces.contains(namespace) {
            self.flows.namespaces.push(namespace.clone());
        }
        let engine = &self.flows.engine;
        let served = |namespace: &str, node: &str| engine.spec(namespace, node);
        let admission = &mut self.flows.admission;
        admission.handle_change(namespace, changes, &served, now_ms);
    }

    /// A pool has answered, or can't.
    pub(super) fn take_answer(&mut self, question: u64, outcome: Outcome) {
        let engine = &self.flows.engine;
        let served = |namespace: &str, node: &str| engine.spec(namespace, node);
        self.flows.admission.handle_answer(question, outcome, &served);
    }

    /// Tries again what could not be opened or started.
    pub(in crate::serve::server) fn admit_again(&mut self, now_ms: u64) {
        for namespace in self.flows.namespaces.clone() {
            self.admit(&namespace, Vec::new(), now_ms);
        }
    }

    /// The server ends: no change comes to the engine any more.
    pub(super) fn stop_admitting(&mut self, now_ms: u64) {
        for (task, outcome) in self.flows.admission.clear() {
            self.finish_task(task, outcome, now_ms);
        }
        let is_asked = |call: &Call| {
            matches!(
                call.origin,
                Origin::Flow {
                    asker: Asker::Admission(_),
                    ..
                }
            )
        };
        let asked = self.calls.iter().filter(|(_, call)| is_asked(call));
        for call in asked.map(|(id, _)| id).collect::<Vec<_>>() {
            let error = Error::new(Kind::Cancelled, "the server is ending");
            self.give_up(call, error, now_ms);
        }
    }

    /// Asks pools, and hands on what has passed; false if there was nothing.
    pub(super) fn go_on_admitting(&mut self, now_ms: u64) -> bool {
        let mut has_moved = false;
        while let Some(question) = self.flows.admission.poll_question() {
            has_moved = true;
            let asker = Asker::Admission(question.id);
            let args = languages::check_args(&question.codes);
            let called = (question.carried, CHECK);
            if let Err(error) = self.call_carried(asker, called, args, None, now_ms) {
                self.take_answer(question.id, Err(error.into()));
            }
        }
        while let Some(passed) = self.flows.admission.poll_passed() {
            has_moved = true;
            let Passed {
                namespace,
                changes,
                answers,
            } = passed;
            self.handle_nodes(&namespace, changes, now_ms);
            for (task, outcome) in answers {
                self.finish_task(task, outcome, now_ms);
            }
        }
        has_moved
    }
}
