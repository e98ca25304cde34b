//! What comes over HTTP: each request is routed, and answered at once or by its call.

use super::calls::{Call, Done, Origin, RequestId, Web};
use super::operate::{Asked, Waiting};
use super::{ClientId, Server, Wire, client_gone};
use crate::core::hub::Note;
use crate::error::{Error, Kind};
use crate::limits::TIMEOUT_MS_MAX;
use crate::serve::api::metacall::{self, MetaCall};
use crate::serve::api::{self, Admin, Event, Failure, Route};
use crate::serve::deployment::Name;
use crate::serve::http::{Connection, Request, Response};

impl Server {
    /// Takes the requests of a client that can be taken now.
    pub(super) fn serve_web(&mut self, id: ClientId, now_ms: u64) {
        loop {
            let Some(client) = self.clients.get_mut(id) else {
                return;
            };
            let Wire::Web(wire) = &mut client.wire else { return };
            if wire.is_client_gone() {
                for call in std::mem::take(&mut client.calls) {
                    self.give_up(call, client_gone(), now_ms);
                }
                return;
            }
            let Some(request) = wire.poll_request() else {
                return;
            };
            self.take_request(id, request, now_ms);
        }
    }

    fn take_request(&mut self, client: ClientId, mut request: Box<Request>, now_ms: u64) {
        self.requests += 1;
        let route = api::route(&request, &self.config.settings);
        let answer = match route {
            Ok(Route::Call { target, command }) => {
                return self.take_call(client, request, target, command, now_ms);
            }
            Ok(Route::Admin(admin)) => match self.take_admin(client, &request, admin, now_ms) {
                Some(answer) => answer,
                // It is answered later.
                None => return,
            },
            Ok(Route::MetaCall(asked)) => match self.take_metacall(client, &mut request, asked, now_ms) {
                Some(answer) => answer,
                None => return,
            },
            Ok(Route::Mcp) => match self.take_assistant(client, &request, now_ms) {
                Ok(()) => return,
                Err(failure) => Err(failure),
            },
            Ok(Route::Metrics) => match self.authorize(&request) {
                Ok(()) => {
                    let waiting = Waiting::Web(client, request);
                    self.operate(Asked::Figures, waiting, now_ms);
                    return;
                }
                Err(failure) => Err(failure),
            },
            Ok(route) => self.look(&request, route),
            Err(failure) => Err(failure),
        };
        let status = self.respond(client, &request, answer, now_ms);
        self.tell_request(&request, status, now_ms);
    }

    fn take_call(
        &mut self,
        client: ClientId,
        request: Box<Request>,
        target: api::Target,
        command: String,
        now_ms: u64,
    ) {
        let begun = self.authorize(&request).and_then(|()| {
            let name = Name::of(target.namespace, target.name, target.version)?;
            Ok((name, timeout_ms(&request)?, self.request_id(&request)?))
        });
        match begun {
            Ok((name, timeout_ms, request_id)) => {
                let web = Web {
                    request,
                    form: api::JSON,
                };
                let origin = Origin::Web(web);
                self.call(
                    Some(client),
                    (name, command),
                    origin,
                    request_id,
                    timeout_ms,
                    now_ms,
                );
            }
            Err(failure) => {
                let status = self.respond(client, &request, Err(failure), now_ms);
                self.tell_request(&request, status, now_ms);
            }
        }
    }

    /// Whoever asks has the token, if there is one.
    fn authorize(&self, request: &Request) -> Result<(), Failure> {
        match &self.config.token {
            Some(token) => api::authorize(request, token),
            None => Ok(()),
        }
    }

    /// By which logs name a request: as the client does, if it does.
    fn request_id(&self, request: &Request) -> Result<RequestId, Failure> {
        const BYTES_MAX: usize = 128;
        match request.header("x-request-id") {
            None => Ok(RequestId::Number(self.requests)),
            Some(id) if id.len() <= BYTES_MAX && id.bytes().all(|byte| byte.is_ascii_graphic()) => {
                Ok(RequestId::Given(id.to_string()))
            }
            Some(_) => {
                let message = format!("X-Request-Id is not of 1 to {BYTES_MAX} printable characters");
                Err(Error::new(Kind::Usage, message).into())
            }
        }
    }

    /// The answer to a request that changes nothing.
    fn look(&mut self, request: &Request, route: Route) -> Result<Response, Failure> {
        match route {
            Route::Health => Ok(text("ok\n")),
            Route::Ready => match self.deployments.is_ready() {
                true => Ok(text("ready\n")),
                false => Err(Error::new(Kind::Unavailable, "programs are still loading").into()),
            },
            Route::Options(response) => Ok(response),
            Route::Page(asset) => Ok(api::page(asset, request)),
            route => {
                // All others tell what there is to call.
                self.authorize(request)?;
                self.describe(route)
            }
        }
    }

    fn take_assistant(&mut self, client: ClientId, request: &Request, now_ms: u64) -> Result<(), Failure> {
        self.authorize(request)?;
        self.take_mcp(client, request, now_ms)?;
        Ok(())
    }

    /// Answers a request of an assistant.
    pub(super) fn respond_mcp(&mut self, client: ClientId, response: Response, now_ms: u64) {
        self.metrics.answered(response.status);
        self.stream_mcp(client, |wire| wire.respond(response, now_ms));
    }

    /// Writes a part of an answer to an assistant.
    pub(super) fn stream_mcp(&mut self, client: ClientId, write: impl FnOnce(&mut Connection)) {
        if let Some(wire) = self.web(client) {
            write(wire);
            self.list(client);
            self.set_client_deadline(client);
        }
    }

    /// What a client of MetaCall asks for. None: it is answered later.
    fn take_metacall(
        &mut self,
        client: ClientId,
        request: &mut Request,
        asked: MetaCall,
        now_ms: u64,
    ) -> Option<Result<Response, Failure>> {
        let allowed = match asked {
            MetaCall::Inspect => self.authorize(request),
            _ => self.authorize_operator(request),
        };
        if let Err(failure) = allowed {
            return Some(Err(failure));
        }
        let named = match asked {
            MetaCall::Create | MetaCall::Delete => metacall::deployment(&request.body),
            MetaCall::Package => return self.take_package(client, request),
            MetaCall::Inspect => {
                let deployments = self.deployments.list().map(|status| {
                    let program = status.serving.and_then(|id| self.programs.get(&id));
                    (
                        status.name,
                        status.state,
                        program.map(|program| &*program.manifest),
                    )
                });
                return Some(Ok(metacall::inspect(deployments)));
            }
        };
        let name = match named {
            Ok(name) => name,
            Err(failure) => return Some(Err(failure)),
        };
        let (asked, answer) = match asked {
            MetaCall::Delete => (Asked::Delete(name), text("deleted\n")),
            _ => match self.deploy_package(&name) {
                Ok(asked) => (asked, metacall::created(&name)),
                Err(error) => return Some(Err(error.into())),
            },
        };
        let waiting = Waiting::WebFor(client, Box::new(request.clone()), Box::new(answer.clone()));
        self.operate(asked, waiting, now_ms)
            .map(|told| told.map(|_| answer).map_err(Failure::from))
    }

    /// Whoever operates the server over HTTP has its token; where there is none, nobody does.
    fn authorize_operator(&self, request: &Request) -> Result<(), Failure> {
        if self.config.token.is_none() {
            let error = Error::new(
                Kind::Denied,
                "this server is not operated over HTTP, for it has no token",
            );
            let hint = "use nexus deploy, delete, list and so on, or start it with a token in NEXUS_TOKEN";
            return Err(error.hint(hint).into());
        }
        self.authorize(request)
    }

    fn take_admin(
        &mut self,
        client: ClientId,
        request: &Request,
        admin: Admin,
        now_ms: u64,
    ) -> Option<Result<Response, Failure>> {
        if let Err(failure) = self.authorize_operator(request) {
            return Some(Err(failure));
        }
        let asked = match self.read_admin(request, admin) {
            Ok(asked) => asked,
            Err(failure) => return Some(Err(failure)),
        };
        let waiting = Waiting::Web(client, Box::new(request.clone()));
        self.operate(asked, waiting, now_ms)
            .map(|told| told.map(|told| told.response()).map_err(Failure::from))
    }

    /// Answers what operators asked for, when it is done.
    pub(super) fn respond_later(
        &mut self,
        client: ClientId,
        request: &Request,
        answer: Result<Response, Failure>,
        now_ms: u64,
    ) {
        let status = self.respond(client, request, answer, now_ms);
        self.tell_request(request, status, now_ms);
        self.serve(client, now_ms);
    }

    /// Writes the answer to a request. The status of it.
    fn respond(
        &mut self,
        client: ClientId,
        request: &Request,
        answer: Result<Response, Failure>,
        now_ms: u64,
    ) -> u16 {
        let mut response = answer.unwrap_or_else(Failure::response);
        api::finish(&self.config.settings, request, &mut response);
        self.send_response(client, response, now_ms)
    }

    /// Writes a whole answer to a client. The status of it.
    pub(super) fn send_response(&mut self, client: ClientId, response: Response, now_ms: u64) -> u16 {
        let status = response.status;
        self.metrics.answered(status);
        if let Some(wire) = self.web(client) {
            wire.respond(response, now_ms);
        }
        self.list(client);
        self.set_client_deadline(client);
        status
    }

    pub(super) fn web(&mut self, client: ClientId) -> Option<&mut Connection> {
        match &mut self.clients.get_mut(client)?.wire {
            Wire::Web(wire) => Some(wire),
            Wire::Private(_) => None,
        }
    }

    /// Answers a call. The status of the answer.
    pub(super) fn answer_web(
        &mut self,
        client: Option<ClientId>,
        call: &Call,
        result: Result<Done<'_>, Failure>,
        now_ms: u64,
    ) -> u16 {
        let Origin::Web(web) = &call.origin else { return 0 };
        let Some(client) = client else {
            return result.err().map_or(200, |failure| failure.status);
        };
        if call.is_streaming {
            return self.end_events(client, result, now_ms);
        }
        let answer =
            result.and_then(|done| api::result(done.manifest, done.command, web.form.clone(), &done.result));
        let mut response = answer.unwrap_or_else(Failure::response);
        response
            .headers
            .push(("x-request-id", call.request_id.text(&self.config.mark).into()));
        self.respond(client, &web.request, Ok(response), now_ms)
    }

    /// Begins an answer whose events are sent as they come.
    pub(super) fn begin_events(&mut self, id: super::CallId, now_ms: u64) {
        let Some(call) = self.calls.get_mut(id) else {
            return;
        };
        let (Some(client), Origin::Web(web)) = (call.client(), &call.origin) else {
            return;
        };
        let mut response = Response::new(200, "text/event-stream", Vec::new());
        response.headers.push(("cache-control", "no-store".into()));
        response
            .headers
            .push(("x-request-id", call.request_id.text(&self.config.mark).into()));
        api::finish(&self.config.settings, &web.request, &mut response);
        call.is_streaming = true;
        if let Some(wire) = self.web(client) {
            wire.begin(response, now_ms);
        }
        self.list(client);
    }

    pub(super) fn push_event(&mut self, client: ClientId, note: &Note, now_ms: u64) {
        let mut out = Vec::new();
        match note {
            Note::Log { level, text } => api::event(&Event::Log { level, text }, &mut out),
            Note::Progress { done, total, label } => {
                let event = Event::Progress {
                    done: *done,
                    total: (*total > 0.0).then_some(*total),
                    label,
                };
                api::event(&event, &mut out);
            }
        }
        if let Some(wire) = self.web(client) {
            // What a slow client misses is not worth waiting for.
            if wire.stream_room() >= out.len() {
                wire.push(&out, now_ms);
            }
        }
        self.list(client);
        self.set_client_deadline(client);
    }

    fn end_events(&mut self, client: ClientId, result: Result<Done<'_>, Failure>, now_ms: u64) -> u16 {
        let mut out = Vec::new();
        let done = result.and_then(|done| {
            let mut json = Vec::new();
            api::json(
                &done.manifest.types,
                done.command.returns.ty,
                &done.result,
                &mut json,
            )?;
            Ok(json)
        });
        let status = match &done {
            Ok(json) => {
                api::event(&Event::Result(json), &mut out);
                200
            }
            Err(failure) => {
                api::event(&Event::Error(&failure.error), &mut out);
                failure.status
            }
        };
        if let Some(wire) = self.web(client) {
            wire.push(&out, now_ms);
            wire.end(now_ms);
        }
        self.list(client);
        self.set_client_deadline(client);
        status
    }
}

/// How long the client wants to wait, in milliseconds.
pub(super) fn timeout_ms(request: &Request) -> Result<Option<u64>, Failure> {
    let Some(given) = request.header("x-request-timeout-ms") else {
        return Ok(None);
    };
    match given.parse::<u64>() {
        Ok(timeout_ms @ 1..=TIMEOUT_MS_MAX) => Ok(Some(timeout_ms)),
        _ => {
            let message =
                format!("X-Request-Timeout-Ms is '{given}', expected 1 to {TIMEOUT_MS_MAX} milliseconds");
            Err(Error::new(Kind::Usage, message).into())
        }
    }
}

fn text(text: &str) -> Response {
    Response::new(200, "text/plain; charset=utf-8", text.as_bytes().to_vec())
}
