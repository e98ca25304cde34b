//! Tests of a namespace, run one after the other when everything is loaded; then the server ends. Prints nothing.

use super::super::{Effect, Server};
use super::Waiting;
use crate::error::{Error, Result};
use crate::flow::engine::Start;
use crate::flow::kinds::node::Outcome;
use crate::flow::spec::Port;
use crate::flow::value::Value;
use std::collections::VecDeque;
use std::rc::Rc;

/// The tests that are left.
#[derive(Default)]
pub(super) struct Testing {
    /// Whose tests are run, until they are listed.
    namespace: Option<String>,
    is_wanted: Option<IsWanted>,
    left: VecDeque<Rc<str>>,
    of: Rc<str>,
    is_on: bool,
    is_running: bool,
}

/// Whether a test of that name is to be run.
pub type IsWanted = Box<dyn Fn(&str) -> Result<bool>>;

/// How a test went.
#[derive(Debug)]
pub struct Tested {
    /// The node.
    pub node: Rc<str>,
    /// How long it took, in milliseconds.
    pub took_ms: u64,
    /// Why it has failed.
    pub error: Option<Rc<Error>>,
}

impl Server {
    /// Runs the tests of a namespace when all programs are loaded; the server ends after the last.
    pub fn test(&mut self, namespace: String, is_wanted: IsWanted, now_ms: u64) {
        let testing = &mut self.flows.testing;
        testing.namespace = Some(namespace);
        testing.is_wanted = Some(is_wanted);
        testing.is_on = true;
        self.settle(now_ms);
    }

    /// Goes on with tests; true if one has begun or ended.
    pub(super) fn step_tests(&mut self, now_ms: u64) -> bool {
        let is_ready = self.deployments.is_ready() && self.flows.admission.is_empty();
        if !self.flows.testing.is_on || self.flows.testing.is_running || !is_ready {
            return false;
        }
        if let Some(namespace) = self.flows.testing.namespace.take() {
            let testing = &mut self.flows.testing;
            for node in self.flows.engine.tests(&namespace) {
                match testing.is_wanted.as_ref().map(|is_wanted| is_wanted(&node)) {
                    Some(Ok(false)) => {}
                    _ => testing.left.push_back(node),
                }
            }
            testing.of = namespace.into();
        }
        let Some(node) = self.flows.testing.left.pop_front() else {
            self.flows.testing.is_on = false;
            self.effects.push_back(Effect::Stop);
            return true;
        };
        let namespace = Rc::clone(&self.flows.testing.of);
        let deadline_ms = Some(now_ms.saturating_add(self.config.timeout_ms));
        let begun = self.flows.engine.begin(
            &namespace,
            &node,
            Start::In(Port::IN, Value::Null),
            deadline_ms,
            now_ms,
        );
        match begun {
            Ok(run) => {
                self.flows.testing.is_running = true;
                let waiting = Waiting::Test {
                    node,
                    begun_ms: now_ms,
                };
                self.flows.waiting.insert(run, waiting);
            }
            Err(error) => self.end_test(node, now_ms, Err(error.into()), now_ms),
        }
        true
    }

    /// A test is over.
    pub(super) fn end_test(&mut self, node: Rc<str>, begun_ms: u64, outcome: Outcome, now_ms: u64) {
        self.flows.testing.is_running = false;
        let error = match outcome {
            Ok(Value::Error(error)) | Err(error) => {
                let mut error = Error::clone(&error);
                let secrets = self.flows.supply.secrets(&self.flows.testing.of);
                secrets.mask_error(&mut error);
                Some(Rc::new(error))
            }
            Ok(_) => None,
        };
        self.effects.push_back(Effect::Tested(Tested {
            node,
            took_ms: now_ms.saturating_sub(begun_ms),
            error,
        }));
    }
}
