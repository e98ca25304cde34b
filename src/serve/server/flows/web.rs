//! Requests of a flow's listener: each begins a run, whose answer is the response. Frames nothing.

#[cfg(test)]
use super::super::Bug;
use super::super::{Client, ClientId, Door, Server, Timer, Wire, client_gone};
use super::{Flows, Waiting};
use crate::core::deadlines::Due;
use crate::error::{Error, Kind};
use crate::flow::engine::{RunId, Start};
use crate::flow::http::{Answer, Asked, packet};
use crate::flow::kinds::node::Outcome;
use crate::flow::value::Value;
use crate::serve::api::Failure;
use crate::serve::http::{Request, Response};
use std::collections::VecDeque;
use std::rc::Rc;

/// A request that waits until another run may begin.
pub struct Stalled {
    namespace: Rc<str>,
    request: Box<Request>,
    since_ms: u64,
    /// When nobody waits for an answer any more.
    due_ms: u64,
    due: Due,
}

impl Flows {
    /// Whether a request may begin a run now: those that wait come first.
    fn can_take(&self, namespace: &str) -> bool {
        self.engine.can_begin(namespace) && !self.stalled.contains(namespace)
    }
}

impl Server {
    /// Takes the requests of a client of a listener that can be taken now.
    pub(in crate::serve::server) fn serve_flow(&mut self, id: ClientId, now_ms: u64) {
        loop {
            let Some(client) = self.clients.get_mut(id) else {
                return;
            };
            let (Wire::Web(wire), Door::Flow(source)) = (&mut client.wire, client.door) else {
                return;
            };
            if wire.is_client_gone() {
                match client.run.take() {
                    Some(run) => self.leave_run(run, now_ms),
                    // One that was never begun needs no answer.
                    None if self.take_stalled(id).is_some() => self.abort_flow(id, now_ms),
                    None => {}
                }
                return;
            }
            let Some(request) = wire.poll_request() else {
                return;
            };
            self.take_flow_request(id, source, request, now_ms);
        }
    }

    /// Begins the run of a request, or lets it wait behind others until one may begin.
    fn take_flow_request(&mut self, id: ClientId, source: u64, request: Box<Request>, now_ms: u64) {
        self.requests += 1;
        let timeout_ms = match super::super::web::timeout_ms(&request) {
            Ok(timeout_ms) => timeout_ms.unwrap_or(self.config.timeout_ms),
            Err(failure) => return self.respond_flow(id, &request, failure.response(), now_ms),
        };
        let due_ms = now_ms.saturating_add(timeout_ms);
        let mut sources = self.flows.sources.iter();
        let namespace = sources
            .find(|known| known.id == source)
            .map(|found| &found.namespace);
        match namespace
            .filter(|namespace| !self.flows.can_take(namespace))
            .cloned()
        {
            None => self.begin_run(id, source, request, due_ms, now_ms),
            Some(namespace) => {
                let Some(client) = self.clients.get_mut(id) else {
                    return;
                };
                let mut stalled = Box::new(Stalled {
                    namespace: Rc::clone(&namespace),
                    request,
                    since_ms: now_ms,
                    due_ms,
                    due: None,
                });
                self.deadlines
                    .set(Timer::Stalled(id), &mut stalled.due, Some(due_ms));
                client.stalled = Some(stalled);
                let queue = self.flows.stalled.or_insert_with(namespace, VecDeque::new);
                queue.push_back(id);
            }
        }
    }

    fn begin_run(&mut self, client: ClientId, source: u64, request: Box<Request>, due_ms: u64, now_ms: u64) {
        let mut sources = self.flows.sources.iter_mut();
        let node = sources.find(|known| known.id == source).map(|found| {
            let (namespace, node) = (Rc::clone(&found.namespace), Rc::clone(&found.node));
            let mut make = || self.metrics.series(&format!("flows:{namespace}"), &node);
            let series = *found.series.get_or_insert_with(&mut make);
            (namespace, node, series)
        });
        let from = node.as_ref();
        let from = from.map(|(namespace, _, series)| (Rc::clone(namespace), *series));
        let begun = (|| {
            if self.is_ending {
                return Err(Error::new(Kind::Unavailable, "the server is ending"));
            }
            let gone = || Error::new(Kind::Unavailable, "the listener is gone");
            let (namespace, node, _) = node.ok_or_else(gone)?;
            let headers: Vec<(&str, &str)> = request.headers.iter().collect();
            let asked = Asked {
                method: request.method.name(),
                host: request.host(),
                path: request.path(),
                query: request.query(),
                is_old: request.is_old,
                headers: &headers,
                body: &request.body,
            };
            // What can't be understood goes the way of the node's errors.
            let packet = packet(&asked, &self.flows.names).unwrap_or_else(|error| Value::Error(error.into()));
            let deadline_ms = Some(due_ms);
            #[cfg(test)]
            let deadline_ms = deadline_ms.filter(|_| !self.has(Bug::NoDeadline));
            self.flows
                .engine
                .begin(&namespace, &node, Start::Out(packet), deadline_ms, now_ms)
        })();
        match (begun, from) {
            (Ok(run), Some((namespace, series))) => {
                self.metrics.begin(series);
                if let Some(client) = self.clients.get_mut(client) {
                    client.run = Some(run);
                }
                let waiting = Waiting::Web {
                    client,
                    namespace,
                    request,
                    series,
                    begun_ms: now_ms,
                };
                self.flows.waiting.insert(run, waiting);
            }
            (Ok(_), None) => {}
            (Err(error), _) => {
                let response = Failure::from(error).response();
                self.respond_flow(client, &request, response, now_ms);
            }
        }
    }

    /// A run is over.
    pub(super) fn end_run(&mut self, run: RunId, outcome: Outcome, now_ms: u64) {
        let (client, namespace, request) = match self.flows.waiting.remove(&run) {
            Some(Waiting::Web {
                client,
                namespace,
                request,
                series,
                begun_ms,
            }) => {
                let micros = now_ms.saturating_sub(begun_ms).saturating_mul(1000);
                let kind = outcome.as_ref().err().map(|error| error.kind);
                self.metrics.end(series, micros, kind);
                (client, namespace, request)
            }
            Some(Waiting::Test { node, begun_ms }) => return self.end_test(node, begun_ms, outcome, now_ms),
            Some(Waiting::Nobody { namespace, node }) => {
                if let Err(error) = outcome {
                    self.tell_failed((&namespace, &node), run, &error);
                }
                return;
            }
            None => return,
        };
        #[cfg(test)]
        let client = match self.flows.waiting.values().next() {
            Some(Waiting::Web { client, .. }) if self.has(Bug::AnswerFirst) => *client,
            _ => client,
        };
        match self.clients.get_mut(client) {
            Some(client) => client.run = None,
            None => return,
        }
        let accept = request.header("accept").unwrap_or_default();
        let answer = match outcome {
            Ok(value) => Answer::of(&value, accept).map_err(|error| Failure {
                // It is not the request that is bad.
                status: 500,
                error,
                headers: Vec::new(),
            }),
            Err(error) => Err(Failure::from(Box::new((*error).clone()))),
        };
        let mut response = match answer {
            Ok(answer) => {
                let mut headers = Vec::with_capacity(4);
                if let Some(media_type) = answer.media_type {
                    headers.push(("content-type", media_type.into()));
                }
                Response {
                    status: answer.status,
                    headers,
                    others: without_own(answer.headers),
                    body: answer.body,
                }
            }
            Err(mut failure) => {
                // Nobody has chosen to tell what an error says that nobody has handled.
                let secrets = self.flows.supply.secrets(&namespace);
                secrets.mask_error(&mut failure.error);
                failure.response()
            }
        };
        response.headers.push(("x-run-id", run.text().into()));
        self.respond_flow(client, &request, response, now_ms);
        // The next request may have waited for this answer.
        self.serve(client, now_ms);
    }

    fn respond_flow(&mut self, client: ClientId, request: &Request, response: Response, now_ms: u64) {
        let status = self.send_response(client, response, now_ms);
        self.tell_request(request, status, now_ms);
    }

    /// Requests that had to wait begin, as far as there is room now. False if there were none.
    pub(super) fn resume_stalled(&mut self, now_ms: u64) -> bool {
        if self.flows.stalled.is_empty() {
            return false;
        }
        let mut has_begun = false;
        let namespaces: Vec<Rc<str>> = self.flows.stalled.keys().cloned().collect();
        for namespace in namespaces {
            #[cfg(test)]
            if self.has(Bug::ForgetStalled) {
                continue;
            }
            while self.is_ending || self.flows.engine.can_begin(&namespace) {
                let queue = self.flows.stalled.get(&namespace);
                let Some(id) = queue.and_then(|queue| queue.front().copied()) else {
                    break;
                };
                has_begun = true;
                let stalled = self.take_stalled(id);
                let door = self.clients.get(id).map(|client| client.door);
                if let (Some(Stalled { request, due_ms, .. }), Some(Door::Flow(source))) = (stalled, door) {
                    self.begin_run(id, source, request, due_ms, now_ms);
                }
            }
        }
        has_begun
    }

    /// Takes the request of a client that waits until a run may begin; none: it has none.
    pub(in crate::serve::server) fn take_stalled(&mut self, id: ClientId) -> Option<Stalled> {
        let mut stalled = self.clients.get_mut(id)?.stalled.take()?;
        self.deadlines.set(Timer::Stalled(id), &mut stalled.due, None);
        if let Some(queue) = self.flows.stalled.get_mut(&stalled.namespace) {
            queue.retain(|other| *other != id);
            if queue.is_empty() {
                self.flows.stalled.remove(&stalled.namespace);
            }
        }
        Some(*stalled)
    }

    /// A request has waited for as long as it may.
    pub(in crate::serve::server) fn time_out_stalled(&mut self, id: ClientId, now_ms: u64) {
        if let Some(client) = self.clients.get_mut(id)
            && let Some(stalled) = &mut client.stalled
        {
            stalled.due = None;
        }
        let Some(Stalled {
            request, since_ms, ..
        }) = self.take_stalled(id)
        else {
            return;
        };
        let waited_ms = now_ms.saturating_sub(since_ms);
        let message = format!("no run could begin within {waited_ms} ms, there are too many");
        let failure = Failure::from(Error::new(Kind::Timeout, message));
        self.respond_flow(id, &request, failure.response(), now_ms);
        self.serve(id, now_ms);
    }

    /// The client that waits for a run is gone.
    pub(in crate::serve::server) fn leave_run(&mut self, run: RunId, now_ms: u64) {
        #[cfg(test)]
        if self.has(Bug::RunGoesOn) {
            return;
        }
        self.flows.engine.cancel(run, client_gone().into(), now_ms);
    }

    fn abort_flow(&mut self, id: ClientId, now_ms: u64) {
        if let Some(Client {
            wire: Wire::Web(wire),
            ..
        }) = self.clients.get_mut(id)
        {
            wire.abort(now_ms);
        }
    }
}

/// Headers of an answer but those that say what only this server knows.
fn without_own(mut headers: Vec<(String, String)>) -> Vec<(String, String)> {
    headers.retain(|(name, _)| name != "X-Run-Id");
    headers
}
