//! The one shape of every error, its kinds and their exit codes. Does not print or encode anything.
//!
//! A message is one lowercase sentence that names the thing, the value found and what was expected; `place` says where,
//! `hint` what to try.

use std::fmt;

/// What went wrong, as the wire and the exit code tell it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// User code raised an exception, or a pure expression threw.
    Raised,
    /// The command line has no such command or option, or lacks something.
    Usage,
    /// An argument does not have the form that its type asks for.
    BadArgument,
    /// The manifest can't be read, parsed or checked.
    Manifest,
    /// A pool's program can't be started.
    SpawnFailed,
    /// A pool or worker started, but its hello didn't come or doesn't fit.
    HelloFailed,
    /// A worker or pool died while it owed an answer.
    Terminated,
    /// A peer broke the pool protocol.
    Protocol,
    /// The system refused an operation on a file, socket or process.
    Io,
    /// Calls wait and nothing runs.
    Deadlock,
    /// Somebody asked for what they may not have: a worker what its pool isn't allowed, a caller what the server keeps back.
    Denied,
    /// The server wants to know who asks.
    Unauthorized,
    /// The server has nothing of that name.
    NotFound,
    /// It can't be done as things stand: a name is taken, or something is under way.
    Conflict,
    /// Too much waits already.
    Overloaded,
    /// It is not there for now: still loading, or left alone after it has died too often.
    Unavailable,
    /// A deadline passed.
    Timeout,
    /// The user or a caller gave up.
    Cancelled,
}

impl Kind {
    /// How many there are.
    pub const COUNT: usize = 18;

    const ALL: [(Kind, &'static str, u8); Kind::COUNT] = [
        (Kind::Raised, "raised", 1),
        (Kind::Usage, "usage", 2),
        (Kind::BadArgument, "bad_argument", 2),
        (Kind::Manifest, "manifest", 3),
        (Kind::SpawnFailed, "spawn_failed", 4),
        (Kind::HelloFailed, "hello_failed", 4),
        (Kind::Terminated, "terminated", 5),
        (Kind::Protocol, "protocol", 5),
        (Kind::Io, "io", 5),
        (Kind::Deadlock, "deadlock", 5),
        (Kind::Denied, "denied", 126),
        (Kind::Unauthorized, "unauthorized", 6),
        (Kind::NotFound, "not_found", 6),
        (Kind::Conflict, "conflict", 6),
        (Kind::Overloaded, "overloaded", 6),
        (Kind::Unavailable, "unavailable", 6),
        (Kind::Timeout, "timeout", 124),
        (Kind::Cancelled, "cancelled", 130),
    ];

    /// Every kind, in the order of their numbers.
    pub fn all() -> impl Iterator<Item = Kind> {
        Kind::ALL.iter().map(|row| row.0)
    }

    /// The kind's name on the wire.
    pub fn name(self) -> &'static str {
        Kind::ALL[self as usize].1
    }

    /// The process's exit code when the run ends with this kind.
    pub fn exit_code(self) -> u8 {
        Kind::ALL[self as usize].2
    }

    /// The kind of that name, if there is one.
    pub fn from_name(name: &str) -> Option<Kind> {
        Kind::ALL.iter().find(|row| row.1 == name).map(|row| row.0)
    }
}

/// One frame of the stack that a user sees, which may cross languages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TraceEntry {
    /// Language of the frame, as its pool names it (`py`, `cpp`).
    pub lang: String,
    /// Function the frame is in.
    pub function: String,
    /// Source file, empty when the language doesn't know.
    pub file: String,
    /// Line in `file`, 0 when the language doesn't know.
    pub line: u64,
}

/// An error with all that is known of where it came from.
#[derive(Clone, Debug, PartialEq)]
pub struct Error {
    /// What went wrong.
    pub kind: Kind,
    /// One lowercase sentence: the thing, the value found, what was expected.
    pub message: String,
    /// Where: `file:line:column`, a path inside a value, an argument.
    pub place: Option<String>,
    /// What to type or change.
    pub hint: Option<String>,
    /// Name of the pool that it happened in.
    pub pool: Option<String>,
    /// Command that was run.
    pub command: Option<String>,
    /// User function that ran.
    pub function: Option<String>,
    /// Process that it happened in.
    pub pid: Option<u32>,
    /// Exit code of the process that ended.
    pub exit_code: Option<i32>,
    /// Signal that ended the process, or that asked to stop.
    pub signal: Option<i32>,
    /// Last lines that the pool wrote to its standard error.
    pub stderr_tail: Vec<String>,
    /// The stack across languages, innermost first.
    pub trace: Vec<TraceEntry>,
}

/// What fallible functions return; the error is boxed, so that success stays small.
pub type Result<T> = std::result::Result<T, Box<Error>>;

impl Error {
    /// An error of that kind with its sentence.
    pub fn new(kind: Kind, message: impl Into<String>) -> Box<Error> {
        Box::new(Error {
            kind,
            message: message.into(),
            place: None,
            hint: None,
            pool: None,
            command: None,
            function: None,
            pid: None,
            exit_code: None,
            signal: None,
            stderr_tail: Vec::new(),
            trace: Vec::new(),
        })
    }

    /// The process's exit code when the run ends with this error: as a shell tells it, if a signal asked to stop.
    pub fn exit_code(&self) -> u8 {
        match (self.kind, self.signal) {
            (Kind::Cancelled, Some(signal)) => {
                u8::try_from(128 + signal).unwrap_or(Kind::Cancelled.exit_code())
            }
            _ => self.kind.exit_code(),
        }
    }

    /// Adds where it happened.
    #[must_use]
    pub fn at(mut self: Box<Self>, place: impl Into<String>) -> Box<Self> {
        self.place = Some(place.into());
        self
    }

    /// Adds what to try.
    #[must_use]
    pub fn hint(mut self: Box<Self>, hint: impl Into<String>) -> Box<Self> {
        self.hint = Some(hint.into());
        self
    }

    /// Adds the pool's name.
    #[must_use]
    pub fn pool(mut self: Box<Self>, name: impl Into<String>) -> Box<Self> {
        self.pool = Some(name.into());
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.message)?;
        if let Some(place) = &self.place {
            write!(out, " at {place}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {}

/// The name of a signal by its number on Linux, as `SIGSEGV`.
pub fn signal_name(signal: i32) -> String {
    let known = match signal {
        1 => "SIGHUP",
        2 => "SIGINT",
        3 => "SIGQUIT",
        4 => "SIGILL",
        5 => "SIGTRAP",
        6 => "SIGABRT",
        7 => "SIGBUS",
        8 => "SIGFPE",
        9 => "SIGKILL",
        10 => "SIGUSR1",
        11 => "SIGSEGV",
        12 => "SIGUSR2",
        13 => "SIGPIPE",
        14 => "SIGALRM",
        15 => "SIGTERM",
        24 => "SIGXCPU",
        25 => "SIGXFSZ",
        29 => "SIGIO",
        31 => "SIGSYS",
        other => return format!("signal {other}"),
    };
    known.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_stand_in_the_order_of_the_enum() {
        for (position, (kind, name, _)) in Kind::ALL.iter().enumerate() {
            assert_eq!(*kind as usize, position);
            assert_eq!(Kind::from_name(name), Some(*kind));
        }
        assert_eq!(Kind::from_name("gone"), None);
    }
}
