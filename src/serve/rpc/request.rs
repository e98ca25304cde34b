//! What a client of the private socket may ask for: the methods and their params. Reads one frame; does none of it.
//!
//! `call [deployment, command, arg...]` and `command [name, arg...]` run a command with arguments by position. A deployment is
//! named as `namespace/name@version`, or nil for the only one there is; `name` is a command of that one, or has a deployment and
//! a slash before it. `request [options, method, param...]` is any method with options: `timeout_ms`, after which the server
//! gives up, and `request_id`, by which its log names the request. The notification `cancel [id]` gives a request up.
//!
//! `ping []`; `list []`; `ps []`; `stop []`; `deploy [source, options]` with `name`, `namespace`, `version`, `lazy`;
//! `delete [name]`; `reload [name]`; `kill [pid]`; `inspect [name, form]` with `json`, `openapi` or `manifest`;
//! `flow [word, ...]` as `serve::server::flows` has them; `logs [name, options]` with `follow` and `lines`. A name may be nil where one program is meant.

use crate::codec::msgpack::{MsgpackError, Reader, Token};
use crate::error::{Error, Kind};
use crate::limits::{FLOW_WORDS_MAX, RPC_LOG_LINES_MAX, RPC_NAME_BYTES_MAX, TIMEOUT_MS_MAX};

/// One request.
#[derive(Debug, PartialEq)]
pub struct Request {
    /// Chosen by the client, unique among its open ones.
    pub id: u64,
    /// What it is for.
    pub what: Action,
    /// When the server is to give up, in milliseconds.
    pub timeout_ms: Option<u64>,
    /// By which its log names it.
    pub request_id: Option<String>,
}

/// What a request is for.
#[derive(Debug, PartialEq)]
pub enum Action {
    /// To run a command.
    Call(Call),
    /// To give up the request of that id.
    Cancel,
    /// Nothing but an answer, nil.
    Ping,
    /// To serve a program.
    Deploy(Deploy),
    /// To serve it no more.
    Delete(String),
    /// To tell what is served.
    List,
    /// To tell what a program has.
    Inspect(Option<String>, Form),
    /// To tell what a program has logged.
    Logs(Logs),
    /// To tell which processes run.
    Ps,
    /// To end a worker, by its process id.
    Kill(u32),
    /// To load a program again.
    Reload(Option<String>),
    /// To end the server.
    Stop,
    /// To look at flows, or hold them: a word and what it is about.
    Flow(Vec<String>),
}

/// A command with its arguments.
#[derive(Debug, PartialEq)]
pub struct Call {
    /// The deployment, as `namespace/name@version`; none: the only one.
    pub deployment: Option<String>,
    /// The command, with its group's word before it if it has one.
    pub command: String,
    /// Its arguments.
    pub args: Arguments,
}

/// Arguments by position, not yet checked.
#[derive(Debug, PartialEq)]
pub struct Arguments {
    frame: Vec<u8>,
    at: usize,
    /// How many there are said to be.
    pub count: usize,
}

impl Arguments {
    /// The msgpack of all, one after the other, for [`crate::manifest::positional::positional`].
    pub fn bytes(&self) -> &[u8] {
        &self.frame[self.at..]
    }
}

/// A program to serve.
#[derive(Debug, PartialEq)]
pub struct Deploy {
    /// Path of the program, of its manifest or of a folder of sources; absolute.
    pub source: String,
    /// Its name; none: that of its manifest.
    pub name: Option<String>,
    /// Where the name counts.
    pub namespace: Option<String>,
    /// Which of that name it is.
    pub version: Option<String>,
    /// Its pools start with the first call.
    pub lazy: bool,
}

/// How a program is told about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Its commands and their types, as JSON in a string.
    Json,
    /// As JSON in a string, for OpenAPI.
    OpenApi,
    /// The text of its manifest, in bytes.
    Manifest,
}

/// Lines of a log.
#[derive(Debug, PartialEq)]
pub struct Logs {
    /// Whose; none: the server's.
    pub name: Option<String>,
    /// Further ones too, as they come, until the request is cancelled.
    pub follow: bool,
    /// Only the last; none: all that are kept.
    pub lines: Option<u64>,
}

/// What a frame holds.
#[derive(Debug, PartialEq)]
pub enum Incoming {
    /// A request.
    Request(Request),
    /// A cancellation of the request of that id.
    Cancel(u64),
    /// A message that asks for nothing: another notification, an answer to nothing.
    Other,
}

/// Why a frame holds no request.
#[derive(Debug, PartialEq)]
pub enum Flaw {
    /// A message that is a request, of that id, for what there is not.
    Of(u64, Box<Error>),
    /// No message; of that id, if it comes as far.
    Malformed(Option<u64>, Box<Error>),
}

/// The methods, for suggestions.
const METHODS: &str =
    "call, command, request, ping, list, ps, stop, deploy, delete, reload, kill, inspect, flow or logs";

/// Reads a frame, without its length.
///
/// # Errors
/// Kind `protocol`: it is no message of MessagePack-RPC; `usage` and `bad_argument`: it is one, but there is no such method, or
/// it has other params.
pub fn read(frame: Vec<u8>) -> std::result::Result<Incoming, Flaw> {
    let mut reader = Reader::new(&frame);
    let (kind, len) = match (reader.next(), reader.next()) {
        (Ok(Token::Array(len)), Ok(Token::Int(kind))) => (kind, len),
        _ => return Err(malformed(None, "a message does not begin as one")),
    };
    match (kind, len) {
        (0, 4) => {}
        (1, 4) => return Ok(Incoming::Other),
        (2, 3) => return notification(reader).map_err(|_| malformed(None, "a notification can't be read")),
        _ => return Err(malformed(None, "a message does not begin as one")),
    }
    let id = match reader.next() {
        Ok(Token::Int(id)) if id >= 0 => id as u64,
        Ok(Token::Unsigned(id)) => id,
        _ => return Err(malformed(None, "the id of a request is no unsigned integer")),
    };
    let (method, values) = match (reader.next(), reader.next()) {
        (Ok(Token::Str(method)), Ok(Token::Array(values))) => (method, values),
        _ => {
            return Err(malformed(
                Some(id),
                "a request has no method, or no array of params",
            ));
        }
    };
    let mut params = Params {
        reader,
        left: values,
        read: 0,
        method,
    };
    let mut request = Request {
        id,
        what: Action::Ping,
        timeout_ms: None,
        request_id: None,
    };
    let what = params.request(&mut request);
    let (rest, left) = (params.reader.offset(), params.left);
    match what {
        Ok(What::Action(what)) => request.what = what,
        Ok(What::Call { deployment, command }) => {
            request.what = Action::Call(Call {
                deployment,
                command,
                args: Arguments {
                    at: rest,
                    count: left as usize,
                    frame,
                },
            });
        }
        Err(Problem::Params(error)) => return Err(Flaw::Of(id, error)),
        Err(Problem::Msgpack) => return Err(malformed(Some(id), "the params of a request are cut off")),
    }
    Ok(Incoming::Request(request))
}

fn malformed(id: Option<u64>, what: &str) -> Flaw {
    let message =
        format!("{what}, expected [0, id, method, params], [1, id, error, result] or [2, method, params]");
    Flaw::Malformed(id, Error::new(Kind::Protocol, message))
}

fn notification(mut reader: Reader<'_>) -> std::result::Result<Incoming, MsgpackError> {
    let method = reader.next()?;
    let params = reader.next()?;
    Ok(match (method, params) {
        (Token::Str("cancel"), Token::Array(1)) => match reader.next()? {
            Token::Int(id) if id >= 0 => Incoming::Cancel(id as u64),
            Token::Unsigned(id) => Incoming::Cancel(id),
            _ => Incoming::Other,
        },
        _ => Incoming::Other,
    })
}

/// What a method asks for; the arguments of a call stand where the reader is.
enum What {
    Action(Action),
    Call {
        deployment: Option<String>,
        command: String,
    },
}

enum Problem {
    Params(Box<Error>),
    Msgpack,
}

impl From<MsgpackError> for Problem {
    fn from(_: MsgpackError) -> Problem {
        Problem::Msgpack
    }
}

type Read<T> = std::result::Result<T, Problem>;

/// The params of a method, one after the other.
struct Params<'a> {
    reader: Reader<'a>,
    left: u32,
    read: u32,
    method: &'a str,
}

impl<'a> Params<'a> {
    fn request(&mut self, request: &mut Request) -> Read<What> {
        if self.method == "request" {
            self.options(|key, token| {
                match (key, token) {
                    ("timeout_ms", Token::Int(ms)) if (1..=TIMEOUT_MS_MAX as i64).contains(&ms) => {
                        request.timeout_ms = Some(ms as u64);
                    }
                    ("request_id", Token::Str(id)) if id.len() <= RPC_NAME_BYTES_MAX => {
                        request.request_id = Some(id.into());
                    }
                    _ => return false,
                }
                true
            })?;
            let method = self.text("the method")?;
            (self.method, self.read) = (method, 0);
        }
        self.action()
    }

    fn action(&mut self) -> Read<What> {
        let action = match self.method {
            "call" => {
                let deployment = self.optional_text("the deployment")?;
                let command = self.text("the command")?.into();
                return Ok(What::Call { deployment, command });
            }
            "command" => {
                let name = self.text("the command")?;
                let (deployment, command) = split(name).ok_or_else(|| {
                    let message =
                        format!("command is '{name}', expected COMMAND or NAMESPACE/NAME@VERSION/COMMAND");
                    Problem::Params(Error::new(Kind::BadArgument, message))
                })?;
                return Ok(What::Call { deployment, command });
            }
            "flow" => Action::Flow(self.words()?),
            "ping" => Action::Ping,
            "list" => Action::List,
            "ps" => Action::Ps,
            "stop" => Action::Stop,
            "delete" => Action::Delete(self.text("the name")?.into()),
            "reload" => Action::Reload(self.optional_text("the name")?),
            "kill" => Action::Kill(self.pid()?),
            "inspect" => {
                let name = self.optional_text("the name")?;
                let form = match self.left {
                    0 => Form::Json,
                    _ => self.form()?,
                };
                Action::Inspect(name, form)
            }
            "deploy" => Action::Deploy(self.deploy()?),
            "logs" => Action::Logs(self.logs()?),
            method => {
                let message = format!("there is no method '{method}', expected {METHODS}");
                return Err(Problem::Params(Error::new(Kind::Usage, message)));
            }
        };
        match self.left {
            0 => Ok(What::Action(action)),
            more => {
                let message = format!(
                    "method {} takes {} params, found {} more",
                    self.method, self.read, more
                );
                Err(Problem::Params(Error::new(Kind::BadArgument, message)))
            }
        }
    }

    fn words(&mut self) -> Read<Vec<String>> {
        let mut words = Vec::new();
        while self.left > 0 && words.len() < FLOW_WORDS_MAX {
            words.push(self.text("a word")?.to_string());
        }
        Ok(words)
    }

    fn deploy(&mut self) -> Read<Deploy> {
        let source = self.text("the source")?;
        if !source.starts_with('/') {
            return Err(self.wrong("the source", source, "an absolute path"));
        }
        let mut deploy = Deploy {
            source: source.into(),
            name: None,
            namespace: None,
            version: None,
            lazy: false,
        };
        self.options(|key, token| {
            match (key, token) {
                ("lazy", Token::Bool(lazy)) => deploy.lazy = lazy,
                (key, Token::Str(text)) if text.len() <= RPC_NAME_BYTES_MAX => {
                    let part = match key {
                        "name" => &mut deploy.name,
                        "namespace" => &mut deploy.namespace,
                        "version" => &mut deploy.version,
                        _ => return false,
                    };
                    *part = Some(text.into());
                }
                _ => return false,
            }
            true
        })?;
        Ok(deploy)
    }

    fn logs(&mut self) -> Read<Logs> {
        let mut logs = Logs {
            name: self.optional_text("the name")?,
            follow: false,
            lines: None,
        };
        self.options(|key, token| {
            match (key, token) {
                ("follow", Token::Bool(follow)) => logs.follow = follow,
                ("lines", Token::Int(lines)) if (0..=RPC_LOG_LINES_MAX as i64).contains(&lines) => {
                    logs.lines = Some(lines as u64);
                }
                _ => return false,
            }
            true
        })?;
        Ok(logs)
    }

    fn form(&mut self) -> Read<Form> {
        match self.text("the form")? {
            "json" => Ok(Form::Json),
            "openapi" => Ok(Form::OpenApi),
            "manifest" => Ok(Form::Manifest),
            form => Err(self.wrong("the form", form, "json, openapi or manifest")),
        }
    }

    fn pid(&mut self) -> Read<u32> {
        let found = self.next("the process id")?;
        match found {
            Token::Int(pid) if pid > 0 && pid <= i64::from(i32::MAX) => Ok(pid as u32),
            other => Err(self.wrong("the process id", other.name(), "an integer above 0")),
        }
    }

    fn text(&mut self, what: &str) -> Read<&'a str> {
        match self.next(what)? {
            Token::Str(text) if text.len() <= RPC_NAME_BYTES_MAX => Ok(text),
            Token::Str(_) => Err(self.wrong(what, "too long", "at most 4,096 bytes")),
            other => Err(self.wrong(what, other.name(), "a string")),
        }
    }

    /// A text; none if it is nil, or if there are no more params.
    fn optional_text(&mut self, what: &str) -> Read<Option<String>> {
        if self.left == 0 {
            return Ok(None);
        }
        if self.reader.peek()? == Token::Nil {
            self.next(what)?;
            return Ok(None);
        }
        self.text(what).map(|text| Some(text.to_string()))
    }

    /// A map of options, if there is a further param: `set` takes those that it knows.
    fn options(&mut self, mut set: impl FnMut(&str, Token<'_>) -> bool) -> Read<()> {
        if self.left == 0 {
            return Ok(());
        }
        let len = match self.next("the options")? {
            Token::Map(len) => len,
            Token::Nil => 0,
            other => return Err(self.wrong("the options", other.name(), "a map")),
        };
        for _ in 0..len {
            let (key, value) = (self.reader.next()?, self.reader.next()?);
            let Token::Str(key) = key else {
                return Err(self.wrong("the name of an option", key.name(), "a string"));
            };
            if value != Token::Nil && !set(key, value) {
                let message = format!(
                    "method {} does not take option '{key}' with that value",
                    self.method
                );
                return Err(Problem::Params(Error::new(Kind::BadArgument, message)));
            }
        }
        Ok(())
    }

    fn next(&mut self, what: &str) -> Read<Token<'a>> {
        if self.left == 0 {
            return Err(self.wrong(what, "missing", "it among the params"));
        }
        self.left -= 1;
        self.read += 1;
        Ok(self.reader.next()?)
    }

    fn wrong(&self, what: &str, found: &str, expected: &str) -> Problem {
        let message = format!("method {}: {what} is {found}, expected {expected}", self.method);
        Problem::Params(Error::new(Kind::BadArgument, message))
    }
}

/// A deployment, if one is named, and the command of it.
fn split(name: &str) -> Option<(Option<String>, String)> {
    if !name.contains('/') {
        return Some((None, name.into()));
    }
    let (namespace, rest) = name.split_once('/')?;
    let (program, command) = rest.split_once('/')?;
    Some((Some(format!("{namespace}/{program}")), command.into()))
}
