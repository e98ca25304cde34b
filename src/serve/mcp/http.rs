//! The protocol over HTTP: each message is the body of a POST, which is answered with one message, or with a stream of events
//! once there is something to tell before. Sessions keep what was agreed on. Whether a page or a host may ask at all is
//! checked before; opens no socket.

use super::conversation::{Conversation, Output};
use super::message::{Code, Revision, has_no_id, refusal};
use super::tools::Offer;
use crate::error::Result;
use crate::limits::{MCP_SESSION_IDLE_MS, MCP_SESSIONS_MAX};
use crate::manifest::model::Manifest;
use crate::serve::http::{Method, Request, Response};
use std::collections::{BTreeMap, VecDeque};

/// What is to be done because of what came. `to` is the request, by the number that it came with.
#[derive(Debug, PartialEq)]
pub enum Effect {
    /// A request is answered.
    Respond {
        /// Which one.
        to: u64,
        /// The whole answer.
        response: Response,
    },
    /// A request is answered by a stream.
    Begin {
        /// Which one.
        to: u64,
        /// Head of the answer.
        head: Response,
    },
    /// The stream goes on.
    Push {
        /// Of which request.
        to: u64,
        /// An event.
        bytes: Vec<u8>,
        /// Whether it may be dropped if the client reads too slowly.
        is_note: bool,
    },
    /// The stream ends.
    End {
        /// Of which request.
        to: u64,
    },
    /// A command is to be run.
    Call {
        /// By which [`Sessions::handle_answer`] is told of its result.
        call: u64,
        /// Its program, by the position in the offer.
        program: usize,
        /// The command, by its position in the manifest.
        command: usize,
        /// One per parameter, as msgpack.
        args: Vec<Vec<u8>>,
    },
    /// Nobody wants the result of a call any more.
    Cancel {
        /// Which one.
        call: u64,
    },
}

/// A request that waits for its answer.
struct Waiting {
    /// None: its client is gone.
    to: Option<u64>,
    /// The client takes one message.
    takes_json: bool,
    /// It takes a stream of events.
    takes_events: bool,
    has_begun: bool,
    /// The name of the session, if the answer tells it.
    id: Option<String>,
}

/// A client's state.
struct Session {
    conversation: Conversation,
    /// When it was heard of last.
    heard_ms: u64,
    /// Requests that wait, by their exchanges.
    waiting: BTreeMap<u64, Waiting>,
    /// The numbers of its calls outside, by those of the conversation.
    calls: BTreeMap<u64, u64>,
}

/// All clients.
#[derive(Default)]
pub struct Sessions {
    /// By what they call themselves: 32 hexadecimal digits.
    sessions: BTreeMap<String, Session>,
    /// Session and number in it of each call under way.
    calls: BTreeMap<u64, (String, u64)>,
    next_call: u64,
    effects: VecDeque<Effect>,
}

/// A request that is refused, before any message in it is looked at.
struct Refused {
    status: u16,
    message: String,
    header: Option<(&'static str, String)>,
}

impl Sessions {
    /// A request for the protocol's path came; `to` is its number, `random` what nobody can guess.
    pub fn handle_request(
        &mut self,
        to: u64,
        request: &Request,
        random: [u8; 16],
        offer: Offer,
        now_ms: u64,
    ) {
        let done = match request.method {
            Method::Post => self.post(to, request, random, offer, now_ms),
            Method::Delete => self.delete(to, request),
            _ => Err(Refused {
                status: 405,
                message: format!(
                    "{} is not understood here, expected POST with a message, or DELETE to end a session",
                    request.method.name()
                ),
                header: Some(("allow", "POST, DELETE".into())),
            }),
        };
        if let Err(refused) = done {
            let mut response = json(
                refused.status,
                refusal(None, Code::InvalidRequest, &refused.message),
            );
            response.headers.extend(refused.header);
            self.effects.push_back(Effect::Respond { to, response });
        }
    }

    /// A call has ended. `manifest` is that of its program when it began.
    pub fn handle_answer(&mut self, call: u64, manifest: &Manifest, result: Result<Vec<u8>>, now_ms: u64) {
        let Some((id, inner)) = self.calls.remove(&call) else {
            return;
        };
        if let Some(session) = self.sessions.get_mut(&id) {
            session.heard_ms = now_ms;
            session.calls.remove(&inner);
            session.conversation.handle_answer(inner, manifest, result);
        }
        self.carry_out(&id);
    }

    /// A call tells how far it is: see [`Conversation::handle_progress`].
    pub fn handle_progress(&mut self, call: u64, done: f64, total: f64, label: &str) {
        self.tell(call, |conversation, inner| {
            conversation.handle_progress(inner, done, total, label);
        });
    }

    /// A function of a call has logged a line.
    pub fn handle_log(&mut self, call: u64, pool: &str, level: &str, text: &str) {
        self.tell(call, |conversation, inner| {
            conversation.handle_log(inner, pool, level, text)
        });
    }

    /// The client that waits for the answer of a request is gone. Its calls go on: the protocol has a message to give one up.
    pub fn handle_gone(&mut self, to: u64) {
        let waiting = self
            .sessions
            .values_mut()
            .flat_map(|session| session.waiting.values_mut());
        for waiting in waiting.filter(|waiting| waiting.to == Some(to)) {
            waiting.to = None;
        }
    }

    /// Drops the clients that have been silent for long.
    pub fn handle_timeout(&mut self, now_ms: u64) {
        self.sessions
            .retain(|_, session| session.idle_end().is_none_or(|end| end > now_ms));
    }

    /// When [`Sessions::handle_timeout`] has something to do.
    pub fn next_deadline(&self) -> Option<u64> {
        self.sessions.values().filter_map(Session::idle_end).min()
    }

    /// What is to be done next.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// Clients whose state is kept.
    pub fn len(&self) -> usize {
        self.sessions.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.sessions.is_empty()
    }

    fn post(
        &mut self,
        to: u64,
        request: &Request,
        random: [u8; 16],
        offer: Offer,
        now_ms: u64,
    ) -> std::result::Result<(), Refused> {
        let mut waiting = Waiting::of(to, request)?;
        let named = request.header("mcp-session-id");
        let id = match named {
            Some(id) => id.to_string(),
            None => {
                self.make_room()?;
                let id: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
                waiting.id = Some(id.clone());
                let session = Session {
                    conversation: Conversation::default(),
                    heard_ms: now_ms,
                    waiting: BTreeMap::new(),
                    calls: BTreeMap::new(),
                };
                // Chance never gives the same twice.
                self.sessions.entry(id.clone()).or_insert(session);
                id
            }
        };
        let session = self.sessions.get_mut(&id).ok_or_else(|| not_found(&id))?;
        session.heard_ms = now_ms;
        let exchange = session.conversation.handle_message(&request.body, offer);
        session.waiting.insert(exchange, waiting);
        let is_agreed = session.conversation.revision().is_some();
        self.carry_out(&id);
        if !is_agreed {
            // What was no initialize begins no session.
            self.sessions.remove(&id);
        }
        Ok(())
    }

    /// Ends a session: its calls are given up.
    fn delete(&mut self, to: u64, request: &Request) -> std::result::Result<(), Refused> {
        let id = request.header("mcp-session-id").unwrap_or_default();
        let session = self.sessions.get_mut(id).ok_or_else(|| not_found(id))?;
        session.conversation.handle_end();
        for waiting in std::mem::take(&mut session.waiting).into_values() {
            let Some(to) = waiting.to else {
                continue;
            };
            self.effects.push_back(match waiting.has_begun {
                true => Effect::End { to },
                false => {
                    let message = refusal(None, Code::InvalidRequest, "the session was ended");
                    let response = json(404, message);
                    Effect::Respond { to, response }
                }
            });
        }
        self.carry_out(id);
        self.sessions.remove(id);
        let response = Response {
            status: 204,
            headers: Vec::new(),
            body: Vec::new(),
        };
        self.effects.push_back(Effect::Respond { to, response });
        Ok(())
    }

    /// Makes room for one more client: who has been silent for longest goes.
    fn make_room(&mut self) -> std::result::Result<(), Refused> {
        if self.sessions.len() < MCP_SESSIONS_MAX {
            return Ok(());
        }
        let idle = self
            .sessions
            .iter()
            .filter_map(|(id, session)| Some((session.idle_end()?, id)));
        match idle.min().map(|(_, id)| id.clone()) {
            Some(id) => {
                self.sessions.remove(&id);
                Ok(())
            }
            None => Err(Refused {
                status: 503,
                message: format!("{MCP_SESSIONS_MAX} clients have calls under way, expected fewer"),
                header: Some(("retry-after", "1".into())),
            }),
        }
    }

    fn tell(&mut self, call: u64, tell: impl FnOnce(&mut Conversation, u64)) {
        let Some((id, inner)) = self.calls.get(&call).cloned() else {
            return;
        };
        if let Some(session) = self.sessions.get_mut(&id) {
            tell(&mut session.conversation, inner);
        }
        self.carry_out(&id);
    }

    /// Does what the conversation of a session wants done.
    fn carry_out(&mut self, id: &str) {
        let Some(session) = self.sessions.get_mut(id) else {
            return;
        };
        while let Some(output) = session.conversation.poll_output() {
            match output {
                Output::Call {
                    call: inner,
                    program,
                    command,
                    args,
                    ..
                } => {
                    let call = self.next_call;
                    self.next_call += 1;
                    session.calls.insert(inner, call);
                    self.calls.insert(call, (id.to_string(), inner));
                    self.effects.push_back(Effect::Call {
                        call,
                        program,
                        command,
                        args,
                    });
                }
                Output::Cancel { call: inner } => {
                    if let Some(call) = session.calls.remove(&inner) {
                        self.calls.remove(&call);
                        self.effects.push_back(Effect::Cancel { call });
                    }
                }
                Output::Note { exchange, message } => {
                    if let Some(waiting) = session.waiting.get_mut(&exchange) {
                        waiting.note(&message, &mut self.effects);
                    }
                }
                Output::Reply { exchange, message } => {
                    if let Some(waiting) = session.waiting.remove(&exchange) {
                        let is_agreed = session.conversation.revision().is_some();
                        waiting.reply(message, is_agreed, &mut self.effects);
                    }
                }
                Output::Silence { exchange } => {
                    if let Some(waiting) = session.waiting.remove(&exchange) {
                        let is_agreed = session.conversation.revision().is_some();
                        waiting.silence(is_agreed, &mut self.effects);
                    }
                }
            }
        }
    }
}

impl Session {
    /// When it has been silent for long enough to go, if nothing is under way.
    fn idle_end(&self) -> Option<u64> {
        let is_idle = self.conversation.open_count() == 0;
        is_idle.then(|| self.heard_ms.saturating_add(MCP_SESSION_IDLE_MS))
    }
}

impl Waiting {
    /// A request, if its headers are in order.
    fn of(to: u64, request: &Request) -> std::result::Result<Waiting, Refused> {
        let refused = |status: u16, message: String| Refused {
            status,
            message,
            header: None,
        };
        let essence = |media: &str| {
            let essence = media.split(';').next().unwrap_or_default();
            essence.trim().to_ascii_lowercase()
        };
        let body = request.header("content-type").unwrap_or_default();
        if essence(body) != "application/json" {
            let message = format!("the body is of the type '{body}', expected application/json");
            return Err(refused(415, message));
        }
        if let Some(version) = request.header("mcp-protocol-version")
            && Revision::of(version).is_none()
        {
            let message = format!(
                "revision '{version}' of the protocol is not spoken here, expected {} or an older one",
                Revision::LATEST.name()
            );
            return Err(refused(400, message));
        }
        let accepted: Vec<String> = request
            .headers
            .all("accept")
            .flat_map(|list| list.split(','))
            .map(essence)
            .collect();
        let takes = |types: [&str; 3]| accepted.iter().any(|accepted| types.contains(&accepted.as_str()));
        let takes_json = accepted.is_empty() || takes(["application/json", "application/*", "*/*"]);
        let takes_events = takes(["text/event-stream", "text/*", "*/*"]);
        if !takes_json && !takes_events {
            let message = "the client accepts neither application/json nor text/event-stream, expected both";
            return Err(refused(406, message.into()));
        }
        Ok(Waiting {
            to: Some(to),
            takes_json,
            takes_events,
            has_begun: false,
            id: None,
        })
    }

    /// Something is told while the call runs: from then on the answer is a stream.
    fn note(&mut self, message: &[u8], effects: &mut VecDeque<Effect>) {
        if let (Some(to), true) = (self.to, self.takes_events) {
            self.begin(to, effects);
            effects.push_back(Effect::Push {
                to,
                bytes: event(message),
                is_note: true,
            });
        }
    }

    fn begin(&mut self, to: u64, effects: &mut VecDeque<Effect>) {
        if std::mem::replace(&mut self.has_begun, true) {
            return;
        }
        let mut head = Response::new(200, "text/event-stream", Vec::new());
        head.headers.push(("cache-control", "no-store".into()));
        // Proxies would hold it back.
        head.headers.push(("x-accel-buffering", "no".into()));
        effects.push_back(Effect::Begin { to, head });
    }

    fn reply(mut self, message: Vec<u8>, is_agreed: bool, effects: &mut VecDeque<Effect>) {
        let Some(to) = self.to else {
            return;
        };
        // What is no message at all, or comes before the first, is a bad request of HTTP, too.
        let is_bad = !is_agreed || has_no_id(&message);
        if !self.has_begun && (self.takes_json || is_bad) {
            let mut response = json(if is_bad { 400 } else { 200 }, message);
            let id = self.id.filter(|_| is_agreed);
            response.headers.extend(id.map(|id| ("mcp-session-id", id)));
            effects.push_back(Effect::Respond { to, response });
            return;
        }
        if let (Some(id), false) = (self.id.take(), self.has_begun) {
            self.begin(to, effects);
            if let Some(Effect::Begin { head, .. }) = effects.back_mut() {
                head.headers.push(("mcp-session-id", id));
            }
        }
        self.begin(to, effects);
        let bytes = event(&message);
        effects.push_back(Effect::Push {
            to,
            bytes,
            is_note: false,
        });
        effects.push_back(Effect::End { to });
    }

    /// There is no answer: what came wanted none, or was given up.
    fn silence(self, is_agreed: bool, effects: &mut VecDeque<Effect>) {
        let Some(to) = self.to else {
            return;
        };
        effects.push_back(match (self.has_begun, is_agreed) {
            (true, _) => Effect::End { to },
            (false, true) => Effect::Respond {
                to,
                response: Response {
                    status: 202,
                    headers: Vec::new(),
                    body: Vec::new(),
                },
            },
            (false, false) => {
                let message = "the request has no Mcp-Session-Id, expected one, or initialize";
                let response = json(400, refusal(None, Code::InvalidRequest, message));
                Effect::Respond { to, response }
            }
        });
    }
}

fn json(status: u16, message: Vec<u8>) -> Response {
    let mut response = Response::new(status, "application/json", message);
    response.headers.push(("cache-control", "no-store".into()));
    response
}

/// A message, which is one line, as an event of a stream.
fn event(message: &[u8]) -> Vec<u8> {
    [b"event: message\ndata: ", message, b"\n\n"].concat()
}

fn not_found(id: &str) -> Refused {
    match id {
        "" => Refused {
            status: 400,
            message: "the request has no Mcp-Session-Id, expected one".into(),
            header: None,
        },
        _ => Refused {
            status: 404,
            message: "there is no such session any more, expected initialize without one".into(),
            header: None,
        },
    }
}
