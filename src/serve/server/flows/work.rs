//! What nodes ask the world for: calls of programs, snippets and statements in the pools of a reserved deployment, requests to
//! other servers, the store. Does none of it itself.

#[cfg(test)]
use super::super::Bug;
use super::super::calls::{Origin, RequestId};
use super::super::{Effect, Server};
use super::commands;
use crate::core::deadlines::Due;
use crate::error::{Error, Kind, Result};
use crate::flow::engine::{RunId, TaskId};
use crate::flow::http::fetch::Fetch;
use crate::flow::kinds::node::{Outcome, Work};
use crate::flow::languages::{self, Carried};
use crate::flow::value::{Value, json};
use crate::limits::FLOW_FETCHES_MAX;
use crate::manifest::model::{Command, Manifest};
use crate::serve::api;
use crate::serve::deployment::{Name, Start};
use std::rc::Rc;

/// What a task waits for.
pub(super) enum Task {
    /// A call of a program.
    Call(super::super::CallId),
    /// Another server.
    Fetch(Box<Fetch>),
    /// The store of a namespace.
    Store(Rc<str>),
}

/// Who waits for a call that flows make.
#[derive(Clone, Copy)]
pub(in crate::serve::server) enum Asker {
    /// A node.
    Task(TaskId),
    /// Changes whose code is compiled: the question.
    Admission(u64),
}

/// What is asked of the store of nodes and values.
#[derive(Debug)]
pub struct StoreAsk {
    /// To be answered under.
    pub task: TaskId,
    /// Whose namespace; no other is touched.
    pub namespace: Rc<str>,
    /// As `nodes.create`.
    pub opcode: Rc<str>,
    /// What the node was sent.
    pub arg: Value,
}

/// The arguments of a call that a flow makes.
pub(in crate::serve::server) enum FlowArgs {
    /// A map by name, a list by position, anything else as the one argument.
    Any(Value),
    /// Each as msgpack.
    Ready(Vec<Vec<u8>>),
}

impl FlowArgs {
    /// One msgpack value for each parameter.
    ///
    /// # Errors
    /// Kind `bad_argument`: one doesn't fit.
    pub(in crate::serve::server) fn read(
        self,
        manifest: &Manifest,
        command: &Command,
    ) -> Result<Vec<Vec<u8>>> {
        let value = match self {
            FlowArgs::Ready(args) => return Ok(args),
            FlowArgs::Any(value) => value,
        };
        let value = match value {
            Value::Map(_) | Value::List(_) => value,
            Value::Null => Value::list(Vec::new()),
            other => Value::list(vec![other]),
        };
        let mut text = Vec::new();
        json::write(&value, &mut text)?;
        api::from_json(manifest, command, &text)
    }
}

impl Server {
    pub(super) fn do_work(
        &mut self,
        task: TaskId,
        (run, namespace): (RunId, Rc<str>),
        work: Work,
        deadline_ms: Option<u64>,
        now_ms: u64,
    ) {
        let timeout_ms = deadline_ms.map(|deadline_ms| deadline_ms.saturating_sub(now_ms).max(1));
        let begun = match work {
            Work::Call {
                program,
                command,
                args,
            } => commands::of(&self.deployments, &self.programs)
                .resolve(&program, &command)
                .map(|(name, command)| {
                    let asker = Asker::Task(task);
                    self.call_for(asker, name, command, FlowArgs::Any(args), timeout_ms, now_ms);
                }),
            Work::Snippet { language, code, arg } => {
                let unknown = || Error::new(Kind::BadArgument, format!("language '{language}' is unknown"));
                Carried::for_language(&language)
                    .ok_or_else(unknown)
                    .and_then(|carried| {
                        let args = languages::snippet_args(&code, &arg)?;
                        let called = (carried, languages::SNIPPET);
                        self.call_carried(Asker::Task(task), called, args, timeout_ms, now_ms)
                    })
            }
            Work::Sql {
                source,
                statement,
                params,
                run: of,
            } => languages::sql_args(of.0, &source, &statement, &params).and_then(|args| {
                self.call_carried(
                    Asker::Task(task),
                    (&languages::SQL, languages::STATEMENT),
                    args,
                    timeout_ms,
                    now_ms,
                )
            }),
            Work::Fetch {
                request,
                timeout_ms: own_ms,
            } => {
                let timeout_ms = timeout_ms.map_or(own_ms, |timeout_ms| timeout_ms.min(own_ms));
                self.fetch(task, &request, timeout_ms, now_ms)
            }
            Work::Syscall { opcode, arg } => {
                self.flows.tasks.insert(task, Task::Store(namespace.clone()));
                let ask = StoreAsk {
                    task,
                    namespace,
                    opcode,
                    arg,
                };
                self.effects.push_back(Effect::Store(Box::new(ask)));
                Ok(())
            }
        };
        let _ = run;
        if let Err(error) = begun {
            self.finish_task(task, Err(error.into()), now_ms);
        }
    }

    fn call_for(
        &mut self,
        asker: Asker,
        name: Name,
        command: String,
        args: FlowArgs,
        timeout_ms: Option<u64>,
        now_ms: u64,
    ) {
        self.requests += 1;
        let origin = Origin::Flow {
            asker,
            args: Some(args),
        };
        let request_id = RequestId::Number(self.requests);
        let call = self.call(None, (name, command), origin, request_id, timeout_ms, now_ms);
        if let (Some(call), Asker::Task(task)) = (call, asker) {
            self.flows.tasks.insert(task, Task::Call(call));
        }
    }

    /// Calls a command of the program that runs snippets and statements, which is loaded when it is first needed.
    pub(super) fn call_carried(
        &mut self,
        asker: Asker,
        (carried, command): (&'static Carried, &str),
        args: Vec<Vec<u8>>,
        timeout_ms: Option<u64>,
        now_ms: u64,
    ) -> Result<()> {
        let name = Name::own(carried.name, languages::VERSION);
        if self.deployments.status(&name).is_none() {
            let source = carried.source.to_string();
            self.deployments
                .deploy(name.clone(), source, Start::OnCall, now_ms)?;
        }
        let args = FlowArgs::Ready(args);
        self.call_for(asker, name, command.to_string(), args, timeout_ms, now_ms);
        Ok(())
    }

    pub(super) fn end_transaction(&mut self, task: TaskId, run: RunId, is_ok: bool, now_ms: u64) {
        #[cfg(test)]
        if self.has(Bug::ForgetTransaction) {
            return;
        }
        let args = languages::end_args(run.0, is_ok);
        let called = (&languages::SQL, languages::END);
        if let Err(error) = self.call_carried(Asker::Task(task), called, args, None, now_ms) {
            self.finish_task(task, Err(error.into()), now_ms);
        }
    }

    /// A call that a flow has made is answered.
    pub(in crate::serve::server) fn answer_flow(&mut self, asker: Asker, result: Result<Value>, now_ms: u64) {
        let outcome = result.map_err(Rc::from);
        match asker {
            Asker::Task(task) => self.finish_task(task, outcome, now_ms),
            Asker::Admission(question) => self.take_answer(question, outcome),
        }
    }

    /// The store has done what it was asked for. Whoever has asked is answered when the graph is as that makes it.
    pub fn handle_stored(&mut self, task: TaskId, result: Result<Value>, now_ms: u64) {
        #[cfg(test)]
        if self.has(Bug::ForgetStored) {
            return;
        }
        let namespace = match self.flows.tasks.get(&task) {
            Some(Task::Store(namespace)) => namespace.clone(),
            _ => "".into(),
        };
        let outcome = result.map_err(Rc::from);
        if let Some(outcome) = self.flows.admission.hold_answer(&namespace, task, outcome) {
            self.finish_task(task, outcome, now_ms);
        }
        self.settle(now_ms);
    }

    pub(super) fn finish_task(&mut self, task: TaskId, outcome: Outcome, now_ms: u64) {
        self.flows.tasks.remove(&task);
        self.flows.engine.handle_done(task, outcome, now_ms);
    }

    pub(super) fn undo(&mut self, task: TaskId, now_ms: u64) {
        match self.flows.tasks.remove(&task) {
            #[cfg(test)]
            Some(Task::Call(_)) if self.has(Bug::CallOutlivesRun) => {}
            #[cfg(test)]
            Some(Task::Fetch(_)) if self.has(Bug::KeepFetch) => {}
            Some(Task::Call(call)) => {
                let error = Error::new(Kind::Cancelled, "the run of the flow is over");
                self.give_up(call, error, now_ms);
            }
            Some(Task::Fetch(_)) => self.effects.push_back(Effect::Disconnect(task)),
            Some(Task::Store(_)) | None => {}
        }
    }

    fn fetch(&mut self, task: TaskId, request: &Value, timeout_ms: u64, now_ms: u64) -> Result<()> {
        if self.fetches().count() >= FLOW_FETCHES_MAX {
            let message = format!("{FLOW_FETCHES_MAX} requests to other servers are under way");
            return Err(Error::new(Kind::Overloaded, message));
        }
        let fetch = Fetch::new(request, timeout_ms, now_ms)?;
        let (host, port) = fetch.address();
        self.effects.push_back(Effect::Connect {
            task,
            host: host.into(),
            port,
        });
        self.flows.tasks.insert(task, Task::Fetch(Box::new(fetch)));
        Ok(())
    }

    fn fetches(&self) -> impl Iterator<Item = (TaskId, &Fetch)> {
        self.flows.tasks.iter().filter_map(|(task, of)| match of {
            Task::Fetch(fetch) => Some((*task, &**fetch)),
            _ => None,
        })
    }

    pub(super) fn fetches_deadline(&self) -> Due {
        self.fetches().map(|(_, fetch)| fetch.next_deadline()).min()
    }

    pub(super) fn time_fetches(&mut self, now_ms: u64) {
        let due = self
            .fetches()
            .filter(|(_, fetch)| fetch.next_deadline() <= now_ms);
        let due: Vec<TaskId> = due.map(|(task, _)| task).collect();
        for task in due {
            self.with_fetch(task, now_ms, |fetch| fetch.handle_timeout(now_ms));
        }
    }

    /// What is to be written to another server; empty: nothing.
    pub fn fetch_output(&self, task: TaskId) -> &[u8] {
        match self.flows.tasks.get(&task) {
            Some(Task::Fetch(fetch)) => fetch.output(),
            _ => &[],
        }
    }

    /// So many bytes of it were written.
    pub fn advance_fetch(&mut self, task: TaskId, written: usize) {
        if let Some(Task::Fetch(fetch)) = self.flows.tasks.get_mut(&task) {
            fetch.advance_output(written);
        }
    }

    /// Another server has sent that; nothing: it sends no more.
    pub fn handle_fetched(&mut self, task: TaskId, bytes: &[u8], now_ms: u64) {
        self.with_fetch(task, now_ms, |fetch| match bytes {
            [] => fetch.handle_end(),
            bytes => fetch.handle_input(bytes),
        });
        self.settle(now_ms);
    }

    /// Another server can't be found or reached, or the connection broke.
    pub fn handle_fetch_failed(&mut self, task: TaskId, kind: Kind, what: &str, now_ms: u64) {
        self.with_fetch(task, now_ms, |fetch| fetch.handle_failed(kind, what));
        self.settle(now_ms);
    }

    fn with_fetch(&mut self, task: TaskId, now_ms: u64, change: impl FnOnce(&mut Fetch)) {
        let Some(Task::Fetch(fetch)) = self.flows.tasks.get_mut(&task) else {
            return;
        };
        change(fetch);
        if let Some(answer) = fetch.poll_answer() {
            self.effects.push_back(Effect::Disconnect(task));
            self.finish_task(task, answer.map_err(Rc::from), now_ms);
        }
    }
}
