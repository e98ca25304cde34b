//! Requests of a flow's listener: each begins a run, whose answer is the response. Frames nothing.

use super::super::{ClientId, Door, Server, Wire, client_gone};
use super::Waiting;
use crate::error::{Error, Kind};
use crate::flow::engine::{RunId, Start};
use crate::flow::http::{Answer, Asked, packet};
use crate::flow::kinds::node::Outcome;
use crate::flow::value::Value;
use crate::serve::api::Failure;
use crate::serve::http::{Request, Response};
use crate::serve::metrics::SeriesId;
use std::rc::Rc;

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
                    Some(run) => self.flows.engine.cancel(run, client_gone().into(), now_ms),
                    // One that was never begun needs no answer.
                    None if wire.poll_request().is_some() => wire.abort(now_ms),
                    None => {}
                }
                return;
            }
            if !wire.has_request() {
                return;
            }
            let mut sources = self.flows.sources.iter_mut();
            let found = sources.find(|known| known.id == source).map(|found| {
                let (namespace, node) = (Rc::clone(&found.namespace), Rc::clone(&found.node));
                let mut make = || self.metrics.series(&format!("flows:{namespace}"), &node);
                let series = *found.series.get_or_insert_with(&mut make);
                (namespace, node, series)
            });
            if let Some((namespace, _, _)) = &found
                && !self.flows.engine.can_begin(namespace)
            {
                if !std::mem::replace(&mut client.is_stalled, true) {
                    self.flows.stalled.push(id);
                }
                return;
            }
            let Some(request) = wire.poll_request() else {
                return;
            };
            self.begin_run(id, found, request, now_ms);
        }
    }

    fn begin_run(
        &mut self,
        client: ClientId,
        node: Option<(Rc<str>, Rc<str>, SeriesId)>,
        request: Box<Request>,
        now_ms: u64,
    ) {
        self.requests += 1;
        let from = node.as_ref();
        let from = from.map(|(namespace, _, series)| (Rc::clone(namespace), *series));
        let begun = (|| {
            if self.is_ending {
                return Err(Error::new(Kind::Unavailable, "the server is ending"));
            }
            let gone = || Error::new(Kind::Unavailable, "the listener is gone");
            let (namespace, node, _) = node.ok_or_else(gone)?;
            let timeout_ms = super::super::web::timeout_ms(&request).map_err(|failure| failure.error)?;
            let timeout_ms = timeout_ms.unwrap_or(self.config.timeout_ms);
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
            let deadline_ms = Some(now_ms.saturating_add(timeout_ms));
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

    /// Requests that had to wait may begin, if there is room now. False if none had to.
    pub(super) fn resume_stalled(&mut self, now_ms: u64) -> bool {
        if self.flows.stalled.is_empty() {
            return false;
        }
        let before = self.flows.waiting.len();
        for id in std::mem::take(&mut self.flows.stalled) {
            if let Some(client) = self.clients.get_mut(id) {
                client.is_stalled = false;
            }
            self.serve(id, now_ms);
        }
        self.flows.waiting.len() > before
    }
}

/// Headers of an answer but those that say what only this server knows.
fn without_own(mut headers: Vec<(String, String)>) -> Vec<(String, String)> {
    headers.retain(|(name, _)| name != "X-Run-Id");
    headers
}
