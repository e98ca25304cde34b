//! What comes over the private socket: calls, and what operators ask for. Trusts its clients: only the server's own user can
//! open the socket.

use super::calls::{Origin, RequestId};
use super::operate::{Asked, Waiting, name_of_source};
use super::{ClientId, Server, Wire, client_gone};
use crate::codec::msgpack::write;
use crate::error::{Error, Kind, Result};
use crate::limits::LOG_LINES_MAX;
use crate::serve::deployment::{Name, Start};
use crate::serve::rpc::request::{Action, Form, Request};
use crate::serve::rpc::{Connection, Notice};

const NIL: u8 = 0xc0;

impl Server {
    /// Takes the requests of a client that can be taken now.
    pub(super) fn serve_private(&mut self, id: ClientId, now_ms: u64) {
        while let Some(request) = self.private(id).and_then(Connection::poll_request) {
            self.take_private(id, request, now_ms);
        }
    }

    fn private(&mut self, client: ClientId) -> Option<&mut Connection> {
        match &mut self.clients.get_mut(client)?.wire {
            Wire::Private(wire) => Some(wire),
            Wire::Web(_) => None,
        }
    }

    fn take_private(&mut self, client: ClientId, request: Request, now_ms: u64) {
        let id = request.id;
        let asked = match request.what {
            Action::Call(call) => {
                self.requests += 1;
                let number = RequestId::Number(self.requests);
                let request_id = request.request_id.map_or(number, RequestId::Given);
                return match self.named(call.deployment.as_deref()) {
                    Ok(name) => {
                        let origin = Origin::Private {
                            request: id,
                            args: Some(Box::new(call.args)),
                        };
                        let called = (name, call.command);
                        self.call(
                            Some(client),
                            called,
                            origin,
                            request_id,
                            request.timeout_ms,
                            now_ms,
                        );
                    }
                    Err(error) => self.answer_private(client, id, Err(error)),
                };
            }
            Action::Cancel => return self.cancel_private(client, id, now_ms),
            Action::Ping => return self.answer_private(client, id, Ok(vec![NIL])),
            Action::Deploy(deploy) => {
                let name = deploy.name.as_deref().unwrap_or(name_of_source(&deploy.source));
                Name::new(deploy.namespace.as_deref(), name, deploy.version.as_deref()).map(|name| {
                    Asked::Deploy {
                        name,
                        source: deploy.source.clone(),
                        start: match deploy.lazy {
                            true => Start::OnCall,
                            false => Start::AtOnce,
                        },
                    }
                })
            }
            Action::Delete(name) => Name::parse(&name).map(Asked::Delete),
            Action::List => Ok(Asked::List),
            Action::Inspect(name, Form::Manifest) => {
                let text = self
                    .named(name.as_deref())
                    .and_then(|name| self.manifest_text(&name));
                return self.answer_private(client, id, text);
            }
            Action::Inspect(name, Form::OpenApi) => self.named(name.as_deref()).map(Asked::OpenApi),
            Action::Inspect(name, Form::Json) => self.named(name.as_deref()).map(Asked::Show),
            Action::Logs(logs) => {
                let most = logs
                    .lines
                    .map_or(LOG_LINES_MAX, |lines| lines.min(LOG_LINES_MAX as u64) as usize);
                let named = self.named(logs.name.as_deref());
                let known = named.and_then(|name| match self.status(&name) {
                    Ok(_) => Ok(name),
                    Err(error) => Err(error),
                });
                match known {
                    Ok(name) if logs.follow => return self.follow(client, id, name, most),
                    named => named.map(|name| Asked::Logs(name, most)),
                }
            }
            Action::Ps => Ok(Asked::Ps),
            Action::Kill(pid) => Ok(Asked::Kill(pid)),
            Action::Reload(name) => self.named(name.as_deref()).map(Asked::Reload),
            Action::Stop => Ok(Asked::Stop),
            Action::Flow(words) => {
                if let Some(answer) = self.look_at_flows(client, id, &words, now_ms) {
                    self.answer_private(client, id, answer.map(|text| text_msgpack(&text)));
                }
                return;
            }
        };
        let answer = match asked {
            Ok(asked) => self.operate(asked, Waiting::Private(client, id), now_ms),
            Err(error) => Some(Err(error)),
        };
        if let Some(answer) = answer {
            self.answer_private(client, id, answer.map(|told| told.msgpack()));
        }
    }

    /// The deployment that a client means: the only one, if it names none.
    fn named(&self, name: Option<&str>) -> Result<Name> {
        if let Some(name) = name {
            return Name::parse(name);
        }
        let mut all = self.deployments.list();
        match (all.next(), all.next()) {
            (Some(status), None) => Ok(status.name.clone()),
            (None, _) => Err(Error::new(Kind::NotFound, "the server has no deployment")),
            (Some(first), Some(second)) => {
                let message = format!(
                    "no deployment is named, and the server has several: {}, {} and so on",
                    first.name, second.name
                );
                Err(Error::new(Kind::Usage, message))
            }
        }
    }

    fn cancel_private(&mut self, client: ClientId, request: u64, now_ms: u64) {
        let is_it =
            |origin: &Origin| matches!(origin, Origin::Private { request: its, .. } if *its == request);
        let calls = self.clients.get(client).map(|client| &client.calls);
        let found = calls.into_iter().flatten().copied();
        let call = found
            .into_iter()
            .find(|id| self.calls.get(*id).is_some_and(|call| is_it(&call.origin)));
        match call {
            Some(call) => self.give_up(call, client_gone(), now_ms),
            None if self.unfollow(client, request) || self.stop_waiting(client, request) => {
                self.answer_private(client, request, Err(client_gone()))
            }
            None => {}
        }
    }

    /// Answers a request.
    pub(super) fn answer_private(&mut self, client: ClientId, request: u64, answer: Result<Vec<u8>>) {
        if let Some(wire) = self.private(client) {
            wire.respond(request, answer);
        }
        self.list(client);
    }

    /// Tells of a request that is open.
    pub(super) fn notify_private(&mut self, client: ClientId, request: u64, notice: Notice<'_>) {
        if let Some(wire) = self.private(client) {
            wire.notify(request, notice);
        }
        self.list(client);
    }

    /// The text of the manifest of a program that is loaded, in bytes.
    fn manifest_text(&self, name: &Name) -> Result<Vec<u8>> {
        let mut programs = self.programs.values();
        // While one replaces another, the newer is what is asked for.
        let Some(program) = programs.rfind(|program| program.name == *name) else {
            let message = format!("deployment '{name}' is not loaded");
            return Err(Error::new(Kind::Unavailable, message).hint("nexus list tells how each stands"));
        };
        let mut out = Vec::new();
        write::bin(&mut out, &program.text);
        Ok(out)
    }
}

fn text_msgpack(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    write::string(&mut out, text);
    out
}
