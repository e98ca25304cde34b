//! A call from its request to its answer: it begins when its deployment is loaded, and ends with an answer, with its deadline,
//! or with its client. Writes no answer itself.

use super::flows::FlowArgs;
use super::{CallId, ClientId, Effect, Server, Timer, client_gone};
use crate::core::deadlines::Due;
use crate::core::hub::Note;
use crate::error::{Error, Kind, Result};
use crate::flow::engine::TaskId;
use crate::flow::languages;
use crate::flow::value::{Value, json};
use crate::limits::CLIENT_GRACE_MS;
use crate::manifest::model::{Command, Manifest};
use crate::manifest::positional::positional;
use crate::serve::api::{self, Chosen, Failure, Form};
use crate::serve::deployment::{DeploymentId, Name, Refusal};
use crate::serve::http;
use crate::serve::metrics::SeriesId;
use crate::serve::rpc::Notice;
use crate::serve::rpc::request::Arguments;
use std::rc::Rc;

/// A call that is open.
pub struct Call {
    /// Who waits; none: nobody any more.
    client: Option<ClientId>,
    pub(super) name: Name,
    /// The command's name, with that of its group.
    pub(super) command: String,
    /// Where it runs; none: its deployment is not loaded yet.
    id: Option<DeploymentId>,
    pub(super) origin: Origin,
    /// By which logs name it.
    pub(super) request_id: RequestId,
    pub(super) begun_ms: u64,
    due: Due,
    /// When its session gives up, in milliseconds, which can tell more of it than this server.
    timeout_ms: Option<u64>,
    /// It was given up, for that reason.
    given_up: Option<Box<Error>>,
    /// The answer is sent in parts as it comes, and its head is sent.
    pub(super) is_streaming: bool,
    /// The position of its command and where it is counted, once it runs.
    found: Option<(usize, SeriesId)>,
}

/// By which logs and answers name a call.
pub enum RequestId {
    /// As its client does.
    Given(String),
    /// By its number.
    Number(u64),
}

impl RequestId {
    /// As it is written; the mark tells this server's numbers from those of others.
    pub(super) fn text(&self, mark: &str) -> String {
        match self {
            RequestId::Given(id) => id.clone(),
            RequestId::Number(number) => [mark, &number.to_string()].join("-"),
        }
    }
}

/// How a call came.
pub enum Origin {
    /// Over HTTP, by that request.
    Web(Web),
    /// Over the private socket, under that id.
    Private {
        /// The request's id.
        request: u64,
        /// The arguments, until it begins.
        args: Option<Box<Arguments>>,
    },
    /// From a node of a flow.
    Flow {
        /// By which the flow waits.
        task: TaskId,
        /// The arguments, until it begins.
        args: Option<FlowArgs>,
    },
    /// From an assistant, as the call of a tool.
    Tool {
        /// The call's number among those of assistants.
        call: u64,
        /// The program when the arguments were read.
        manifest: Rc<Manifest>,
        /// The arguments, until it begins.
        args: Vec<Vec<u8>>,
    },
}

/// What is kept of a request over HTTP.
pub struct Web {
    pub request: Box<http::Request>,
    /// The form of the answer: the usual one until the command is known.
    pub form: Chosen,
}

impl Server {
    /// Takes a call. It is answered later; none: it is answered already.
    pub(super) fn call(
        &mut self,
        client: Option<ClientId>,
        (name, command): (Name, String),
        origin: Origin,
        request_id: RequestId,
        timeout_ms: Option<u64>,
        now_ms: u64,
    ) -> Option<CallId> {
        let is_private = matches!(origin, Origin::Private { .. });
        let inner_ms = timeout_ms.filter(|_| is_private);
        let grace_ms = inner_ms.map_or(0, |_| CLIENT_GRACE_MS / 2);
        let id = self.calls.insert(Call {
            client,
            name,
            command,
            id: None,
            origin,
            request_id,
            begun_ms: now_ms,
            due: None,
            timeout_ms: inner_ms,
            given_up: None,
            is_streaming: false,
            found: None,
        });
        let due_ms = now_ms
            .saturating_add(timeout_ms.unwrap_or(self.config.timeout_ms))
            .saturating_add(grace_ms);
        if let Some(client) = client.and_then(|client| self.clients.get_mut(client)) {
            client.calls.push(id);
        }
        let call = self.calls.get_mut(id)?;
        self.deadlines.set(Timer::Call(id), &mut call.due, Some(due_ms));
        match self.deployments.begin_call(&call.name, id.raw(), now_ms) {
            Ok(Some(generation)) => self.begin(id, generation, now_ms),
            Ok(None) => {}
            Err(refusal) => self.refuse(id, refusal, now_ms),
        }
        self.calls.get(id).map(|_| id)
    }

    /// The deployment of a call is loaded.
    pub(super) fn begin(&mut self, id: CallId, generation: DeploymentId, now_ms: u64) {
        let Some(call) = self.calls.get_mut(id) else {
            return self.deployments.end_call(generation, now_ms);
        };
        call.id = Some(generation);
        let waited_ms = now_ms.saturating_sub(call.begun_ms);
        let timeout_ms = call
            .timeout_ms
            .map(|timeout_ms| timeout_ms.saturating_sub(waited_ms).max(1));
        let mut program = self.programs.get_mut(&generation);
        let prepared = match &program {
            Some(program) => call.prepare(&program.manifest),
            None => Err(Error::new(Kind::Unavailable, format!("deployment '{}' is gone", call.name)).into()),
        };
        match prepared {
            Ok((command, args)) => {
                let mut added = || self.metrics.series(&call.name.to_string(), &call.command);
                let series = match &mut program {
                    Some(program) => *program.series.or_insert_with(command, added),
                    None => added(),
                };
                call.found = Some((command, series));
                self.metrics.begin(series);
                if matches!(&call.origin, Origin::Web(web) if web.form.0 == Form::Events) {
                    self.begin_events(id, now_ms);
                }
                self.effects.push_back(Effect::Run {
                    call: id,
                    id: generation,
                    command,
                    args,
                    timeout_ms,
                });
            }
            Err(failure) => {
                self.deployments.end_call(generation, now_ms);
                self.end(id, Err(failure), now_ms);
            }
        }
    }

    pub(super) fn refuse(&mut self, id: CallId, refusal: Refusal, now_ms: u64) {
        #[cfg(test)]
        if self.planted == Some(super::simulation::Bug::ForgetRefused) {
            return;
        }
        let mut failure = Failure::from(refusal.error);
        if let Some(again_ms) = refusal.again_ms {
            failure.headers.retain(|(name, _)| *name != "retry-after");
            failure = failure.header("retry-after", again_ms.div_ceil(1000).max(1).to_string());
        }
        self.end(id, Err(failure), now_ms);
    }

    /// A command that was to be run is done, or failed.
    pub fn handle_answer(&mut self, id: CallId, answer: Result<Vec<u8>>, now_ms: u64) {
        if let Some(call) = self.calls.get_mut(id)
            && let Some(generation) = call.id.take()
        {
            #[cfg(test)]
            let runs_on = self.planted == Some(super::simulation::Bug::CallRunsOn);
            #[cfg(not(test))]
            let runs_on = false;
            if !runs_on {
                self.deployments.end_call(generation, now_ms);
            }
            let given_up = call.given_up.take();
            let answer = match (answer, given_up) {
                // The session tells where it was.
                (Err(found), Some(error)) if found.kind != error.kind => Err(error),
                (answer, _) => answer,
            };
            let manifest = self
                .programs
                .get(&generation)
                .map(|program| Rc::clone(&program.manifest));
            self.finish(id, manifest.as_deref(), answer, now_ms);
        }
        self.settle(now_ms);
    }

    fn finish(&mut self, id: CallId, manifest: Option<&Manifest>, answer: Result<Vec<u8>>, now_ms: u64) {
        let Some(call) = self.calls.get(id) else { return };
        let named = |mut error: Box<Error>| {
            error.command.get_or_insert_with(|| call.command.clone());
            error
        };
        let answer = answer.map_err(|error| Failure::from(named(error)));
        let result = match (answer, manifest, call.found) {
            (Ok(result), Some(manifest), Some((command, _))) => Ok(Done {
                manifest,
                command: &manifest.commands[command],
                result,
            }),
            (Ok(_), _, _) => Err(Error::new(Kind::Unavailable, "the program is gone").into()),
            (Err(failure), _, _) => Err(failure),
        };
        self.end(id, result, now_ms);
    }

    /// The only end of a call: whoever waits is answered, and it is counted and told of.
    fn end(&mut self, id: CallId, result: std::result::Result<Done<'_>, Failure>, now_ms: u64) {
        let Some(mut call) = self.calls.remove(id) else {
            return;
        };
        self.deadlines.set(Timer::Call(id), &mut call.due, None);
        let client = call.client.take();
        if let Some(client) = client.and_then(|client| self.clients.get_mut(client)) {
            client.calls.retain(|call| *call != id);
        }
        let kind = result.as_ref().err().map(|failure| failure.error.kind);
        if let Some((_, series)) = call.found {
            let micros = now_ms.saturating_sub(call.begun_ms).saturating_mul(1000);
            self.metrics.end(series, micros, kind);
        }
        let status = match (&call.origin, client) {
            (Origin::Web(_), _) => self.answer_web(client, &call, result, now_ms),
            (Origin::Private { request, .. }, Some(client)) => {
                let answer = result.map(|done| done.result).map_err(|failure| failure.error);
                let status = answer
                    .as_ref()
                    .map_or_else(|error| api::status_of(error.kind), |_| 200);
                self.answer_private(client, *request, answer);
                status
            }
            (Origin::Private { .. }, None) => 499,
            (Origin::Flow { task, .. }, _) => {
                let (task, is_snippet) = (*task, call.name.is_own());
                let answer = result
                    .map_err(|failure| failure.error)
                    .and_then(|done| done.value(is_snippet));
                // Whoever wants to know what a flow has called looks at its trace.
                return self.answer_flow(task, answer, now_ms);
            }
            (Origin::Tool { call, manifest, .. }, _) => {
                let answer = result.map(|done| done.result).map_err(|failure| failure.error);
                let status = answer
                    .as_ref()
                    .map_or_else(|error| api::status_of(error.kind), |_| 200);
                self.answer_tool(*call, manifest, answer, now_ms);
                status
            }
        };
        self.tell_call(&call, status, kind, now_ms);
        if let Some(client) = client {
            // The next request may have waited for this answer.
            self.serve(client, now_ms);
        }
    }

    /// The client of a call is gone.
    pub(super) fn abandon(&mut self, id: CallId, now_ms: u64) {
        let Some(call) = self.calls.get_mut(id) else {
            return;
        };
        call.client = None;
        self.give_up(id, client_gone(), now_ms);
    }

    /// A call is to end with that error, if it has not ended yet.
    pub(super) fn give_up(&mut self, id: CallId, error: Box<Error>, now_ms: u64) {
        let Some(call) = self.calls.get_mut(id) else {
            return;
        };
        match call.id {
            Some(_) if call.given_up.is_some() => {}
            Some(_) => {
                call.given_up = Some(error.clone());
                self.effects.push_back(Effect::Cancel(id, error));
            }
            None => {
                self.deployments.give_up(id.raw(), now_ms);
                self.end(id, Err(error.into()), now_ms);
            }
        }
    }

    /// The deadline of a call has passed.
    pub(super) fn time_out(&mut self, id: CallId, now_ms: u64) {
        let Some(call) = self.calls.get_mut(id) else {
            return;
        };
        call.due = None;
        let after_ms = now_ms.saturating_sub(call.begun_ms);
        let message = format!("'{}' was not answered within {after_ms} ms", call.command);
        let error = Error::new(Kind::Timeout, message);
        let error = match &call.origin {
            Origin::Web(_) => error.hint("ask for more time with the header X-Request-Timeout-Ms"),
            Origin::Private { .. } | Origin::Tool { .. } | Origin::Flow { .. } => error,
        };
        self.give_up(id, error, now_ms);
    }

    /// A process of a generation has printed something.
    pub(super) fn tell_printed(&mut self, generation: DeploymentId, bytes: &[u8]) {
        let mut told = Vec::new();
        for (_, call) in self.calls.iter().filter(|(_, call)| call.id == Some(generation)) {
            if let (Origin::Private { request, .. }, Some(client)) = (&call.origin, call.client) {
                told.push((client, *request));
            }
        }
        for (client, request) in told {
            self.notify_private(client, request, Notice::Printed(bytes));
        }
    }

    /// A function says something in the course of a call.
    pub(super) fn tell(&mut self, id: CallId, pool: &str, note: &Note, now_ms: u64) {
        let Some(call) = self.calls.get(id) else { return };
        if let Origin::Tool { call, .. } = &call.origin {
            let call = *call;
            return self.tell_tool(call, pool, note, now_ms);
        }
        let Some(client) = call.client else { return };
        match &call.origin {
            Origin::Web(_) if call.is_streaming => self.push_event(client, note, now_ms),
            Origin::Private { request, .. } => {
                let notice = match note {
                    Note::Log { level, text } => Notice::Log { pool, level, text },
                    Note::Progress { done, total, label } => Notice::Progress {
                        pool,
                        done: *done,
                        total: *total,
                        label,
                    },
                };
                self.notify_private(client, *request, notice);
            }
            Origin::Web(_) | Origin::Tool { .. } | Origin::Flow { .. } => {}
        }
    }
}

/// The result of a call, and what it is.
pub(super) struct Done<'m> {
    pub manifest: &'m Manifest,
    pub command: &'m Command,
    pub result: Vec<u8>,
}

impl Done<'_> {
    /// The result as a value of a flow.
    fn value(&self, is_snippet: bool) -> Result<Value> {
        if is_snippet {
            return languages::answer(&self.result);
        }
        let mut text = Vec::new();
        api::json(
            &self.manifest.types,
            self.command.returns.ty,
            &self.result,
            &mut text,
        )?;
        json::read(&text).map_err(|error| {
            let message = format!(
                "the result of '{}' is no value of a flow: {}",
                self.command.name, error.message
            );
            Error::new(Kind::Protocol, message)
        })
    }
}

impl Call {
    pub(super) fn client(&self) -> Option<ClientId> {
        self.client
    }

    /// The position of its command.
    fn find(&self, manifest: &Manifest) -> std::result::Result<usize, Failure> {
        let command = api::command_named(manifest, &self.command)?;
        let mut commands = manifest.commands.iter();
        Ok(commands
            .position(|other| std::ptr::eq(other, command))
            .unwrap_or_default())
    }

    /// Reads its arguments.
    fn prepare(&mut self, manifest: &Manifest) -> std::result::Result<(usize, Vec<Vec<u8>>), Failure> {
        let position = self.find(manifest)?;
        let command = &manifest.commands[position];
        let args = match &mut self.origin {
            Origin::Web(web) => {
                web.form = api::form(manifest, command, &web.request)?;
                api::arguments(manifest, command, &web.request)?
            }
            Origin::Private { args, .. } => match args.take() {
                Some(args) => positional(&manifest.types, command, args.count, args.bytes())?,
                None => Vec::new(),
            },
            Origin::Tool { args, .. } => std::mem::take(args),
            Origin::Flow { args, .. } => match args.take() {
                Some(args) => args.read(manifest, command)?,
                None => Vec::new(),
            },
        };
        if args.len() != command.args.len() {
            let message = format!("command '{}' has changed meanwhile", self.command);
            return Err(Error::new(Kind::Unavailable, message).into());
        }
        Ok((position, args))
    }
}
