//! What can be asked about worker processes, and how it stands in the params of a host method. Carries nothing out.

use super::mailbox::Framing;
use super::table::HandleId;
use crate::codec::msgpack::{Reader, Token, write};
use crate::error::{Error, Kind, Result};
use crate::limits::{HANDLES_MAX, TIMEOUT_MS_MAX, WORDS_MAX};

/// The host methods, by which a pool's workers ask.
pub const METHODS: [&str; 8] = [
    "run", "send", "receive", "close", "kill", "wait", "status", "select",
];

/// Something that is asked of a worker process, or for one.
#[derive(Debug)]
pub enum Request {
    /// Start one: gives `[handle, pid]`.
    Run(Box<Launch>),
    /// Send it a message, as msgpack: bytes or a string for a program, the array of arguments for a command.
    Send(HandleId, Vec<u8>),
    /// Take its next message: gives `[message]`, or `[]` when it has no more. After so many milliseconds it is an error.
    Receive(HandleId, Option<u64>),
    /// Send it a message, and take the next that comes: gives the message.
    Talk(HandleId, Vec<u8>, Option<u64>),
    /// Let its input end.
    Close(HandleId),
    /// Send a signal to its process group.
    Kill(HandleId, i32),
    /// Wait for its end: gives `{exit_code}` or `{signal}`.
    Wait(HandleId, Option<u64>),
    /// Gives `{pid, alive, exit_code?, signal?}`.
    Status(HandleId),
    /// Take the next message of any: gives `[position, [message]]`, or `[position, []]` for one that has no more.
    Select(Vec<HandleId>, Option<u64>),
}

/// A worker process to be started.
#[derive(Clone, Debug)]
pub struct Launch {
    /// How messages call it.
    pub name: String,
    /// What to start.
    pub target: Target,
    /// How long it may live.
    pub timeout_ms: Option<u64>,
    /// Variables beside those that it inherits.
    pub env: Vec<(String, String)>,
    /// Its working directory.
    pub cwd: Option<String>,
    /// Its standard input.
    pub stdin: Redirect,
    /// Its standard output.
    pub stdout: Redirect,
    /// Its standard error; as a pipe, its end is kept for errors and it is not shown.
    pub stderr: Redirect,
    /// It outlives whoever started it.
    pub is_detached: bool,
    /// How its messages stand in its input and output.
    pub framing: Framing,
    /// The process whose output is its input, by a pipe of the system.
    pub input_from: Option<HandleId>,
    /// The file whose content is its input, by its number.
    pub input_file: Option<u32>,
    /// Its output becomes the input of the next that is started.
    pub is_output_piped: bool,
}

/// What a worker process runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A program of the system and its arguments.
    Program(Vec<String>),
    /// A command of the program that runs here.
    Command(String),
}

/// What a standard stream of a worker process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Redirect {
    /// A pipe to nexus.
    Pipe,
    /// That of nexus.
    Inherit,
    /// A pipe whose content is shown on the standard error of nexus, and of which the end is kept for errors.
    Show,
    /// Nothing.
    Null,
}

impl Launch {
    /// That target, with everything as usual.
    pub fn new(target: Target) -> Launch {
        let (name, framing) = match &target {
            Target::Program(argv) => (argv.first().cloned().unwrap_or_default(), Framing::Lines),
            Target::Command(name) => (name.clone(), Framing::Frames),
        };
        Launch {
            name,
            target,
            timeout_ms: None,
            env: Vec::new(),
            cwd: None,
            stdin: Redirect::Pipe,
            stdout: Redirect::Pipe,
            stderr: Redirect::Show,
            is_detached: false,
            framing,
            input_from: None,
            input_file: None,
            is_output_piped: false,
        }
    }

    /// The same for another target.
    fn named(self, target: Target) -> Launch {
        let Launch { name, target, .. } = Launch::new(target);
        Launch { name, target, ..self }
    }

    /// Redirects streams, those that are given; of a detached process the others are nothing.
    ///
    /// # Errors
    /// Kind `bad_argument`: pipes to a process that outlives nexus.
    pub fn redirect(
        &mut self,
        stdin: Option<Redirect>,
        stdout: Option<Redirect>,
        stderr: Option<Redirect>,
    ) -> Result<()> {
        let usual = |redirect| match self.is_detached {
            true => Redirect::Null,
            false => redirect,
        };
        self.stdin = stdin.unwrap_or(usual(Redirect::Pipe));
        self.stdout = stdout.unwrap_or(usual(Redirect::Pipe));
        self.stderr = stderr.unwrap_or(usual(Redirect::Show));
        if self.is_detached && [self.stdin, self.stdout, self.stderr].contains(&Redirect::Pipe) {
            let message = "a detached worker outlives nexus, so its streams can't be pipes to it";
            return Err(Error::new(Kind::BadArgument, message).hint("redirect them to 'null' or 'inherit'"));
        }
        Ok(())
    }
}

/// Reads the params of one of [`METHODS`], and the id of the call that `run` names as its maker.
///
/// # Errors
/// Kind `bad_argument`: params that the method does not have.
pub fn read(method: &str, params: &[u8]) -> Result<(Request, Option<u64>)> {
    let mut params = Params::new(method, params)?;
    let request = match method {
        "run" => {
            let launch = read_launch(params.value("what to run")?, method)?;
            let parent = params.optional_number("the call that makes it", i64::MAX as u64)?;
            params.end()?;
            return Ok((Request::Run(Box::new(launch)), parent));
        }
        "send" => Request::Send(params.handle()?, params.value("a message")?.rest().to_vec()),
        "receive" => Request::Receive(params.handle()?, params.timeout()?),
        "close" => Request::Close(params.handle()?),
        "kill" => {
            let handle = params.handle()?;
            let signal = params.optional_number("a signal from 1 to 31", 31)?;
            Request::Kill(handle, signal.map_or(SIGKILL, |signal| signal as i32))
        }
        "wait" => Request::Wait(params.handle()?, params.timeout()?),
        "status" => Request::Status(params.handle()?),
        _ => {
            let mut list = params.value("a list of workers")?;
            let mut handles = Vec::new();
            match list.next() {
                Ok(Token::Array(len)) if len > 0 && len as usize <= HANDLES_MAX => {
                    for _ in 0..len {
                        handles.push(handle(list.next().ok(), method)?);
                    }
                }
                _ => return Err(wrong(method, &format!("a list of 1 to {HANDLES_MAX} workers"))),
            }
            Request::Select(handles, params.timeout()?)
        }
    };
    params.end()?;
    Ok((request, None))
}

const SIGKILL: i32 = 9;

/// The params of a method, one after the other.
struct Params<'a> {
    method: &'a str,
    reader: Reader<'a>,
    left: u32,
}

impl<'a> Params<'a> {
    fn new(method: &'a str, params: &'a [u8]) -> Result<Params<'a>> {
        let mut reader = Reader::new(params);
        match reader.next() {
            Ok(Token::Array(left)) => Ok(Params { method, reader, left }),
            _ => Err(wrong(method, "an array")),
        }
    }

    /// The next one, whatever it is.
    fn value(&mut self, what: &str) -> Result<Reader<'a>> {
        self.left = self.left.checked_sub(1).ok_or_else(|| wrong(self.method, what))?;
        let value = self.reader.skip().map_err(|_| wrong(self.method, what))?;
        Ok(Reader::new(value))
    }

    fn handle(&mut self) -> Result<HandleId> {
        let token = self.value("a worker")?.next().ok();
        handle(token, self.method)
    }

    fn timeout(&mut self) -> Result<Option<u64>> {
        self.optional_number("milliseconds or nil", TIMEOUT_MS_MAX)
    }

    /// A number, or none where nil or nothing stands.
    fn optional_number(&mut self, what: &str, most: u64) -> Result<Option<u64>> {
        if self.left == 0 {
            return Ok(None);
        }
        match self.value(what)?.next() {
            Ok(Token::Nil) => Ok(None),
            Ok(Token::Int(number)) if number >= 0 && number as u64 <= most => Ok(Some(number as u64)),
            _ => Err(wrong(self.method, what)),
        }
    }

    fn end(&self) -> Result<()> {
        match self.left {
            0 => Ok(()),
            left => Err(wrong(self.method, &format!("{left} fewer"))),
        }
    }
}

fn handle(token: Option<Token<'_>>, method: &str) -> Result<HandleId> {
    match token {
        Some(Token::Int(number)) if number >= 0 => Ok(HandleId::from_raw(number as u64)),
        _ => Err(wrong(method, "the number of a worker")),
    }
}

fn read_launch(mut map: Reader<'_>, method: &str) -> Result<Launch> {
    let Ok(Token::Map(len)) = map.next() else {
        return Err(wrong(method, "a map"));
    };
    let mut launch = Launch::new(Target::Program(Vec::new()));
    let (mut target, mut framing) = (None, None);
    let [mut stdin, mut stdout, mut stderr] = [None; 3];
    for _ in 0..len {
        let malformed = |_| wrong(method, "a map");
        let Token::Str(key) = map.next().map_err(malformed)? else {
            return Err(wrong(method, "a map whose keys are strings"));
        };
        let mut value = Reader::new(map.skip().map_err(malformed)?);
        let token = value.peek().map_err(malformed)?;
        let text = match token {
            Token::Nil => continue,
            Token::Str(text) => Some(text),
            _ => None,
        };
        let redirected = text.and_then(redirect);
        let streams = "'pipe', 'inherit' or 'null'";
        let (is_read, expected) = match key {
            "command" => (
                set(&mut target, text.map(|name| Target::Command(name.into()))),
                "a name",
            ),
            "argv" => {
                let argv = read_words(&mut value).map(Target::Program);
                (set(&mut target, argv), "a list of strings")
            }
            "timeout_ms" => {
                let ms = match token {
                    Token::Int(ms) if ms > 0 => Some(ms as u64).filter(|ms| *ms <= TIMEOUT_MS_MAX),
                    _ => None,
                };
                (set(&mut launch.timeout_ms, ms), "milliseconds above 0")
            }
            "env" => {
                let env = read_env(&mut value);
                let is_read = env.is_some();
                launch.env = env.unwrap_or_default();
                (is_read, "a map of strings")
            }
            "cwd" => (set(&mut launch.cwd, text.map(String::from)), "a string"),
            "stdin" => (set(&mut stdin, redirected), streams),
            "stdout" => (set(&mut stdout, redirected), streams),
            "stderr" => (set(&mut stderr, redirected), streams),
            "detach" => {
                launch.is_detached = token == Token::Bool(true);
                (matches!(token, Token::Bool(_)), "a boolean")
            }
            "framing" => {
                let named = match text {
                    Some("lines") => Some(Framing::Lines),
                    Some("whole") => Some(Framing::Whole),
                    _ => None,
                };
                (set(&mut framing, named), "'lines' or 'whole'")
            }
            _ => {
                let keys = "command, argv, timeout_ms, env, cwd, stdin, stdout, stderr, detach, framing";
                return Err(wrong(method, &format!("one of {keys} instead of '{key}'")));
            }
        };
        if !is_read {
            return Err(wrong(method, &format!("{expected} for '{key}'")));
        }
    }
    let is_runnable = match &target {
        Some(Target::Program(argv)) => !argv.is_empty(),
        Some(Target::Command(_)) => framing.is_none(),
        None => false,
    };
    let Some(target) = target.filter(|_| is_runnable) else {
        return Err(wrong(
            method,
            "'argv', a list of strings, or the name of a 'command'",
        ));
    };
    let mut launch = Launch {
        framing: framing.unwrap_or(Launch::new(target.clone()).framing),
        ..launch.named(target)
    };
    launch.redirect(stdin, stdout, stderr)?;
    Ok(launch)
}

/// Sets what was read; false if nothing was.
fn set<T>(place: &mut Option<T>, value: Option<T>) -> bool {
    *place = value;
    place.is_some()
}

/// The redirection of that name.
pub fn redirect(name: &str) -> Option<Redirect> {
    match name {
        "pipe" => Some(Redirect::Pipe),
        "inherit" => Some(Redirect::Inherit),
        "null" => Some(Redirect::Null),
        _ => None,
    }
}

fn read_words(value: &mut Reader<'_>) -> Option<Vec<String>> {
    let Token::Array(len) = value.next().ok()? else {
        return None;
    };
    let word = |_| match value.next().ok()? {
        Token::Str(word) => Some(word.to_string()),
        _ => None,
    };
    (0..len).take(WORDS_MAX).map(word).collect()
}

fn read_env(value: &mut Reader<'_>) -> Option<Vec<(String, String)>> {
    let Token::Map(len) = value.next().ok()? else {
        return None;
    };
    let entry = |_| match (value.next().ok()?, value.next().ok()?) {
        (Token::Str(name), Token::Str(value)) => Some((name.to_string(), value.to_string())),
        _ => None,
    };
    let env: Option<Vec<_>> = (0..len).take(WORDS_MAX).map(entry).collect();
    env.filter(|env| {
        env.iter()
            .all(|(name, _)| !name.is_empty() && !name.contains('='))
    })
}

fn wrong(method: &str, expected: &str) -> Box<Error> {
    let message = format!("params of '{method}' don't fit, expected {expected}");
    Error::new(Kind::BadArgument, message)
}

/// A map of small integers and booleans, as the answers of `wait` and `status` are.
pub(super) fn write_state(out: &mut Vec<u8>, numbers: &[(&str, Option<i64>)], alive: Option<bool>) {
    let present = numbers.iter().filter(|(_, number)| number.is_some()).count();
    write::map(out, (present + usize::from(alive.is_some())) as u32);
    for (key, number) in numbers {
        if let Some(number) = number {
            write::string(out, key);
            write::int(out, *number);
        }
    }
    if let Some(alive) = alive {
        write::string(out, "alive");
        write::boolean(out, alive);
    }
}
