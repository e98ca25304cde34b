//! What operators ask for, over the private socket or with the token over HTTP: to deploy, to delete, to look. Answers in
//! JSON, some of it later.

use super::{ClientId, Effect, Server};
use crate::codec::document::{Document, Node};
use crate::codec::json_text::JsonText;
use crate::codec::msgpack::write;
use crate::error::{Error, Kind, Result};
use crate::limits::LOG_LINES_MAX;
use crate::map::Map;
use crate::serve::api::{Admin, Failure, Target};
use crate::serve::deployment::{DeploymentId, Name, Start, State, Status};
use crate::serve::http::{Request, Response};

/// A process of a program that is served.
#[derive(Clone, Debug)]
pub struct ProcessInfo {
    /// The deployment.
    pub name: String,
    /// The pool.
    pub pool: String,
    /// Its process id.
    pub pid: u32,
    /// What it does.
    pub state: String,
}

/// How a pool of a program that is served stands.
#[derive(Clone, Debug)]
pub struct PoolInfo {
    /// The deployment.
    pub name: String,
    /// The pool.
    pub pool: String,
    /// Calls that wait for a worker.
    pub waiting: u64,
    /// Workers without a call.
    pub idle: u64,
    /// Workers with one.
    pub busy: u64,
    /// How often it has died since its program was loaded.
    pub restarts: u64,
}

/// What an operator asks for.
pub(super) enum Asked {
    Deploy {
        name: Name,
        source: String,
        start: Start,
    },
    Delete(Name),
    Reload(Name),
    ReloadAll,
    List,
    Show(Name),
    OpenApi(Name),
    Logs(Name, usize),
    Ps,
    /// What monitors want to know.
    Figures,
    Kill(u32),
    Stop,
}

/// What operators are told.
pub(super) enum Told {
    /// JSON text.
    Json(Vec<u8>),
    /// Figures, as Prometheus has them.
    Figures(String),
    /// It is done.
    Done,
}

impl Told {
    pub fn response(self) -> Response {
        match self {
            Told::Json(text) => Response::new(200, "application/json", text),
            Told::Figures(text) => {
                Response::new(200, "text/plain; version=0.0.4; charset=utf-8", text.into_bytes())
            }
            Told::Done => Response::new(204, "application/json", Vec::new()),
        }
    }

    /// As the private socket has it: JSON text in a string, or nil.
    pub fn msgpack(self) -> Vec<u8> {
        let mut out = Vec::new();
        match self {
            Told::Json(text) => write::string_bytes(&mut out, &text),
            Told::Figures(text) => write::string(&mut out, &text),
            Told::Done => write::nil(&mut out),
        }
        out
    }
}

/// Who waits for what was asked.
pub(super) enum Waiting {
    Web(ClientId, Box<Request>),
    /// Over HTTP, with that answer when it is done.
    WebFor(ClientId, Box<Request>, Box<Response>),
    Private(ClientId, u64),
}

/// What the shell is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wanted {
    Processes,
    Figures,
    End,
}

/// What is not answered yet.
#[derive(Default)]
pub(super) struct Asking {
    /// Until a generation serves.
    deploys: Map<DeploymentId, Vec<Waiting>>,
    /// Until the shell tells.
    surveys: Map<u64, (Waiting, Wanted)>,
    next: u64,
}

impl Server {
    /// Does what an operator asks for. None: it is answered later.
    pub(super) fn operate(&mut self, asked: Asked, waiting: Waiting, now_ms: u64) -> Option<Result<Told>> {
        let loading = match asked {
            Asked::Deploy { name, source, start } => {
                let is_lazy = start == Start::OnCall;
                self.note_commands();
                match self.deployments.deploy(name.clone(), source, start, now_ms) {
                    Ok(_) if is_lazy => Ok(None),
                    Ok(id) => Ok(Some(id)),
                    Err(error) => Err(error),
                }
            }
            Asked::Reload(name) => self.deployments.reload(&name, now_ms).map(Some),
            Asked::Delete(name) => {
                self.journal.forget(&name);
                let deleted = self.deployments.delete(&name, now_ms);
                // A package that was not deployed goes all the same.
                match self.retire_package(&name.name) {
                    true => Ok(None),
                    false => deleted.map(|()| None),
                }
            }
            Asked::ReloadAll => {
                self.effects.push_back(Effect::Reconfigure);
                self.reload_all(now_ms);
                Ok(None)
            }
            Asked::Stop => {
                self.effects.push_back(Effect::Stop);
                Ok(None)
            }
            Asked::Figures => {
                let ticket = self.wait_for_shell(waiting, Wanted::Figures);
                self.effects.push_back(Effect::Survey(ticket));
                return None;
            }
            Asked::Ps => {
                let ticket = self.wait_for_shell(waiting, Wanted::Processes);
                self.effects.push_back(Effect::Survey(ticket));
                return None;
            }
            Asked::Kill(pid) => {
                let ticket = self.wait_for_shell(waiting, Wanted::End);
                self.effects.push_back(Effect::Kill(ticket, pid));
                return None;
            }
            asked => return Some(self.tell_operator(&asked, now_ms)),
        };
        let answer = match loading {
            Ok(Some(id)) => {
                match self.asking.deploys.get_mut(&id) {
                    Some(others) => others.push(waiting),
                    None => drop(self.asking.deploys.insert(id, vec![waiting])),
                }
                None
            }
            Ok(None) => Some(Ok(Told::Done)),
            Err(error) => Some(Err(error)),
        };
        self.settle(now_ms);
        answer
    }

    fn wait_for_shell(&mut self, waiting: Waiting, wanted: Wanted) -> u64 {
        self.asking.next += 1;
        let ticket = self.asking.next;
        self.asking.surveys.insert(ticket, (waiting, wanted));
        ticket
    }

    fn tell_operator(&self, asked: &Asked, _now_ms: u64) -> Result<Told> {
        let mut out = Vec::new();
        match asked {
            Asked::List => {
                let mut text = JsonText::new(&mut out);
                text.begin(b'[');
                for status in self.deployments.list() {
                    write_status(&mut text, &status);
                }
                text.end(b']');
            }
            Asked::Show(name) => out = self.inspect(name, true)?,
            Asked::OpenApi(name) => {
                self.status(name)?;
                out = self.open_api(Some(name));
            }
            Asked::Logs(name, most) => {
                self.status(name)?;
                let mut text = JsonText::new(&mut out);
                text.begin(b'[');
                for line in self.journal.lines(name, *most) {
                    text.string(line);
                }
                text.end(b']');
            }
            _ => {}
        }
        Ok(Told::Json(out))
    }

    pub(super) fn status(&self, name: &Name) -> Result<Status<'_>> {
        let not_found = || Error::new(Kind::NotFound, format!("there is no deployment '{name}'"));
        self.deployments.status(name).ok_or_else(not_found)
    }

    /// Those who wait for a generation are told how it went.
    pub(super) fn tell_deployed(
        &mut self,
        id: DeploymentId,
        state: State,
        error: Option<Box<Error>>,
        now_ms: u64,
    ) {
        let refused = match state {
            State::Staged | State::Loading => return,
            State::Ready | State::Degraded => None,
            State::Failed => {
                Some(error.unwrap_or_else(|| Error::new(Kind::Unavailable, "it could not be loaded")))
            }
            State::Draining | State::Unloading | State::Gone => Some(Error::new(
                Kind::Conflict,
                "another deployment has taken its place",
            )),
        };
        for waiting in self.asking.deploys.remove(&id).into_iter().flatten() {
            let answer = match refused.clone().map(Failure::from) {
                None => Ok(Told::Done),
                // Whatever kept it from loading, it is what was sent that can't be served.
                Some(failure) if state == State::Failed => Err(Failure {
                    status: 422,
                    ..failure
                }),
                Some(failure) => Err(failure),
            };
            self.answer_operator(waiting, answer, now_ms);
        }
    }

    /// The shell tells which processes run, and how the pools stand.
    pub fn handle_survey(&mut self, ticket: u64, processes: &[ProcessInfo], pools: &[PoolInfo], now_ms: u64) {
        let Some((waiting, wanted)) = self.asking.surveys.remove(&ticket) else {
            return;
        };
        if wanted == Wanted::Figures {
            let told = Told::Figures(self.figures(pools, now_ms));
            self.answer_operator(waiting, Ok(told), now_ms);
            return self.settle(now_ms);
        }
        let mut out = Vec::new();
        let mut text = JsonText::new(&mut out);
        text.begin(b'[');
        for process in processes {
            text.begin(b'{').key("deployment").string(&process.name);
            text.key("pool").string(&process.pool);
            text.key("pid").number(u64::from(process.pid));
            text.key("state").string(&process.state).end(b'}');
        }
        text.end(b']');
        self.answer_operator(waiting, Ok(Told::Json(out)), now_ms);
        self.settle(now_ms);
    }

    /// The shell has sent a signal to that process, or there is none of that id.
    pub fn handle_killed(&mut self, ticket: u64, pid: u32, is_there: bool, now_ms: u64) {
        let Some((waiting, _)) = self.asking.surveys.remove(&ticket) else {
            return;
        };
        let answer = match is_there {
            true => Ok(Told::Done),
            false => {
                let message = format!("process {pid} is none of this server's workers");
                Err(Error::new(Kind::NotFound, message).hint("nexus ps lists them"))
            }
        };
        self.answer_operator(waiting, answer.map_err(Failure::from), now_ms);
        self.settle(now_ms);
    }

    pub(super) fn answer_operator(
        &mut self,
        waiting: Waiting,
        answer: std::result::Result<Told, Failure>,
        now_ms: u64,
    ) {
        match waiting {
            Waiting::Web(client, request) => {
                self.respond_later(client, &request, answer.map(Told::response), now_ms);
            }
            Waiting::WebFor(client, request, response) => {
                let answer = answer.map(|_| *response);
                self.respond_later(client, &request, answer, now_ms);
            }
            Waiting::Private(client, request) => {
                let answer = answer.map(Told::msgpack).map_err(|failure| failure.error);
                self.answer_private(client, request, answer);
                self.serve(client, now_ms);
            }
        }
    }

    /// What an operator asks for over HTTP.
    pub(super) fn read_admin(&self, request: &Request, admin: Admin) -> std::result::Result<Asked, Failure> {
        let name = |target: Target| Name::of(target.namespace, target.name, target.version);
        Ok(match admin {
            Admin::List => Asked::List,
            Admin::Deploy => read_deploy(&request.body)?,
            Admin::Show(target) => Asked::Show(name(target)?),
            Admin::Delete(target) => Asked::Delete(name(target)?),
            Admin::Logs(target) => Asked::Logs(name(target)?, LOG_LINES_MAX),
            Admin::Reload(target) => Asked::Reload(name(target)?),
            Admin::ReloadAll => Asked::ReloadAll,
            Admin::Ps => Asked::Ps,
            Admin::Kill => Asked::Kill(read_pid(&request.body)?),
        })
    }
}

fn write_status(text: &mut JsonText, status: &Status<'_>) {
    text.begin(b'{').key("name").string(&status.name.to_string());
    text.key("source").string(status.source);
    text.key("state").string(status.state.name());
    text.key("number").number(status.number);
    text.key("open_calls").number(status.open_calls as u64);
    text.key("waiting_calls").number(status.waiting_calls as u64);
    text.key("restarts").number(status.restarts);
    text.key("last_error");
    match status.last_error {
        Some(error) => text.string(&error.message),
        None => text.null(),
    };
    text.end(b'}');
}

/// The name of a program by its path.
pub fn name_of_source(source: &str) -> &str {
    let name = source
        .trim_end_matches('/')
        .rsplit('/')
        .next()
        .unwrap_or_default();
    let name = name.strip_suffix(".manifest").unwrap_or(name);
    name.strip_suffix(".json").unwrap_or(name)
}

fn read_deploy(body: &[u8]) -> Result<Asked> {
    let document = parse(body)?;
    let root = document.root();
    let word = |key: &str| root.member(key).and_then(Node::as_str);
    let Some(source) = word("source") else {
        let message = "body has no \"source\", expected {\"source\": PATH, \"name\": NAME}";
        return Err(Error::new(Kind::Usage, message));
    };
    let name = Name::new(
        word("namespace"),
        word("name").unwrap_or(name_of_source(source)),
        word("version"),
    )?;
    let is_lazy = root.member("lazy").and_then(Node::as_bool).unwrap_or(false);
    Ok(Asked::Deploy {
        name,
        source: source.to_string(),
        start: match is_lazy {
            true => Start::OnCall,
            false => Start::AtOnce,
        },
    })
}

fn read_pid(body: &[u8]) -> Result<u32> {
    let document = parse(body)?;
    let pid = document.root().member("pid").and_then(Node::as_number);
    pid.and_then(|pid| pid.parse().ok())
        .ok_or_else(|| Error::new(Kind::Usage, "body has no \"pid\", expected {\"pid\": NUMBER}"))
}

fn parse(body: &[u8]) -> Result<Document<'_>> {
    Document::parse(body).map_err(|error| {
        let place = format!("byte {}", error.offset);
        Error::new(Kind::Usage, format!("body is no JSON: {}", error.message)).at(place)
    })
}
