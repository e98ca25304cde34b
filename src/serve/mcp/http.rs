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
use std::borrow::Cow;
use std::collections::VecDeque;

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
    exchange: u64,
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
    /// What it calls itself: 32 hexadecimal digits.
    id: String,
    /// The half of its calls' numbers that tells them from those of others.
    serial: u64,
    conversation: Conversation,
    /// When it was heard of last.
    heard_ms: u64,
    /// Requests that wait.
    waiting: Vec<Waiting>,
}

/// All clients; few enough to look through.
#[derive(Default)]
pub struct Sessions {
    sessions: Vec<Session>,
    next_serial: u64,
    effects: VecDeque<Effect>,
}

/// Where the serial of a session stands in the numbers of its calls: nobody calls as often as fits below it.
const SERIAL_SHIFT: u32 = 32;

/// A request that is refused, before any message in it is looked at.
struct Refused {
    status: u16,
    message: String,
    header: Option<(&'static str, Cow<'static, str>)>,
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
        if let Some(position) = self.caller(call) {
            let session = &mut self.sessions[position];
            session.heard_ms = now_ms;
            session.conversation.handle_answer(call, manifest, result);
            session.carry_out(&mut self.effects);
        }
    }

    /// A call tells how far it is: see [`Conversation::handle_progress`].
    pub fn handle_progress(&mut self, call: u64, done: f64, total: f64, label: &str) {
        if let Some(position) = self.caller(call) {
            let session = &mut self.sessions[position];
            session.conversation.handle_progress(call, done, total, label);
            session.carry_out(&mut self.effects);
        }
    }

    /// A function of a call has logged a line.
    pub fn handle_log(&mut self, call: u64, pool: &str, level: &str, text: &str) {
        if let Some(position) = self.caller(call) {
            let session = &mut self.sessions[position];
            session.conversation.handle_log(call, pool, level, text);
            session.carry_out(&mut self.effects);
        }
    }

    /// The client that waits for the answer of a request is gone. Its calls go on: the protocol has a message to give one up.
    pub fn handle_gone(&mut self, to: u64) {
        let sessions = self.sessions.iter_mut();
        let waiting = sessions.flat_map(|session| session.waiting.iter_mut());
        for waiting in waiting.filter(|waiting| waiting.to == Some(to)) {
            waiting.to = None;
        }
    }

    /// Drops the clients that have been silent for long.
    pub fn handle_timeout(&mut self, now_ms: u64) {
        self.sessions
            .retain(|session| session.idle_end().is_none_or(|end| end > now_ms));
    }

    /// When [`Sessions::handle_timeout`] has something to do.
    pub fn next_deadline(&self) -> Option<u64> {
        self.sessions.iter().filter_map(Session::idle_end).min()
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
        let position = match request.header("mcp-session-id") {
            Some(id) => self.position(id)?,
            None => {
                self.make_room()?;
                let id: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
                waiting.id = Some(id.clone());
                let serial = self.next_serial;
                self.next_serial += 1;
                self.sessions.push(Session {
                    id,
                    serial,
                    conversation: Conversation::numbered_from(serial << SERIAL_SHIFT),
                    heard_ms: now_ms,
                    waiting: Vec::new(),
                });
                self.sessions.len() - 1
            }
        };
        let session = &mut self.sessions[position];
        session.heard_ms = now_ms;
        waiting.exchange = session.conversation.handle_message(&request.body, offer);
        session.waiting.push(waiting);
        session.carry_out(&mut self.effects);
        if session.conversation.revision().is_none() {
            // What was no initialize begins no session.
            self.sessions.swap_remove(position);
        }
        Ok(())
    }

    /// Ends a session: its calls are given up.
    fn delete(&mut self, to: u64, request: &Request) -> std::result::Result<(), Refused> {
        let id = request.header("mcp-session-id").unwrap_or_default();
        let position = self.position(id)?;
        let mut session = self.sessions.swap_remove(position);
        session.conversation.handle_end();
        for waiting in std::mem::take(&mut session.waiting) {
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
        session.carry_out(&mut self.effects);
        let response = empty(204);
        self.effects.push_back(Effect::Respond { to, response });
        Ok(())
    }

    /// The position of the session of that name.
    fn position(&self, id: &str) -> std::result::Result<usize, Refused> {
        let found = self.sessions.iter().position(|session| session.id == id);
        found.ok_or_else(|| not_found(id))
    }

    /// The position of the session that a call belongs to.
    fn caller(&self, call: u64) -> Option<usize> {
        let serial = call >> SERIAL_SHIFT;
        self.sessions.iter().position(|session| session.serial == serial)
    }

    /// Makes room for one more client: who has been silent for longest goes.
    fn make_room(&mut self) -> std::result::Result<(), Refused> {
        if self.sessions.len() < MCP_SESSIONS_MAX {
            return Ok(());
        }
        let sessions = self.sessions.iter().enumerate();
        let idle = sessions.filter_map(|(position, session)| Some((session.idle_end()?, position)));
        match idle.min() {
            Some((_, position)) => {
                self.sessions.swap_remove(position);
                Ok(())
            }
            None => Err(Refused {
                status: 503,
                message: format!("{MCP_SESSIONS_MAX} clients have calls under way, expected fewer"),
                header: Some(("retry-after", "1".into())),
            }),
        }
    }
}

impl Session {
    /// Does what the conversation wants done.
    fn carry_out(&mut self, effects: &mut VecDeque<Effect>) {
        while let Some(output) = self.conversation.poll_output() {
            match output {
                Output::Call {
                    call,
                    program,
                    command,
                    args,
                    ..
                } => effects.push_back(Effect::Call {
                    call,
                    program,
                    command,
                    args,
                }),
                Output::Cancel { call } => effects.push_back(Effect::Cancel { call }),
                Output::Note { exchange, message } => {
                    let mut waiting = self.waiting.iter_mut();
                    if let Some(waiting) = waiting.find(|waiting| waiting.exchange == exchange) {
                        waiting.note(&message, effects);
                    }
                }
                Output::Reply { exchange, message } => self.finish(exchange, Some(message), effects),
                Output::Silence { exchange } => self.finish(exchange, None, effects),
            }
        }
    }

    /// An exchange has ended, with a reply or without.
    fn finish(&mut self, exchange: u64, reply: Option<Vec<u8>>, effects: &mut VecDeque<Effect>) {
        let found = self
            .waiting
            .iter()
            .position(|waiting| waiting.exchange == exchange);
        let Some(position) = found else {
            return;
        };
        let waiting = self.waiting.swap_remove(position);
        let is_agreed = self.conversation.revision().is_some();
        match reply {
            Some(message) => waiting.reply(message, is_agreed, effects),
            None => waiting.silence(is_agreed, effects),
        }
    }

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
            exchange: 0,
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
            response
                .headers
                .extend(id.map(|id| ("mcp-session-id", id.into())));
            effects.push_back(Effect::Respond { to, response });
            return;
        }
        if let (Some(id), false) = (self.id.take(), self.has_begun) {
            self.begin(to, effects);
            if let Some(Effect::Begin { head, .. }) = effects.back_mut() {
                head.headers.push(("mcp-session-id", id.into()));
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
                response: empty(202),
            },
            (false, false) => {
                let message = "the request has no Mcp-Session-Id, expected one, or initialize";
                let response = json(400, refusal(None, Code::InvalidRequest, message));
                Effect::Respond { to, response }
            }
        });
    }
}

fn empty(status: u16) -> Response {
    Response {
        others: Vec::new(),
        status,
        headers: Vec::new(),
        body: Vec::new(),
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
