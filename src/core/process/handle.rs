//! One worker process: what is known of it, and what whoever uses it is told. Decides nothing.

use super::mailbox::{Framing, Inbox, Outgoing};
use super::request::{Launch, Redirect, write_state};
use super::table::{Asker, OWNER_ENDED, Owner, WaiterId};
use crate::codec::error_map::read_error;
use crate::codec::msgpack::{Reader, Token, write};
use crate::core::deadlines::Due;
use crate::core::hub::Ended;
use crate::core::tail::Tail;
use crate::error::{Error, Kind, Result};
use std::collections::VecDeque;

/// A worker process, from the request for it until its owner is done with it.
pub struct Handle {
    pub name: String,
    pub owner: Owner,
    /// Who is told when it runs; none: it is a stage of a pipe.
    pub asker: Option<Asker>,
    /// Why a stage could not be started, or be given its input.
    pub failure: Option<Box<Error>>,
    pub pid: u32,
    pub framing: Framing,
    pub is_detached: bool,
    pub input: Input,
    pub outgoing: Outgoing,
    pub inbox: Inbox,
    pub fate: Fate,
    /// It wanted no more, though there was more, or might have been.
    pub refuses: bool,
    /// It wrote what is no message, and is ended for it.
    pub fault: Option<String>,
    /// The wait for the reason of its output's end is over.
    pub is_end_told: bool,
    pub tail: Tail,
    /// Who waits for it, oldest first; some may not wait any more.
    pub waiters: VecDeque<WaiterId>,
    /// Its owner has ended, so it is to end too.
    pub is_leaving: bool,
    pub pressure: Pressure,
    /// When it has lived too long.
    pub life_at_ms: Due,
    /// How long it may live.
    pub timeout_ms: Option<u64>,
    /// It did.
    pub is_overdue: bool,
    /// The next step to end it.
    pub due: Due,
    /// When the end of its output is told even if its reason isn't known.
    pub end_due: Due,
    /// It stands in the list of those that have something to be written.
    pub is_listed: bool,
}

/// Where the input of a worker process stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// It takes messages.
    Open,
    /// It ends when all that was sent is written.
    Closing,
    /// It has ended.
    Closed,
    /// It is none of nexus's pipes.
    Elsewhere,
}

/// What has become of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It runs.
    Alive,
    /// It has ended.
    Gone(Ended),
}

/// How far nexus has gone to end a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Pressure {
    /// Nothing was done.
    None,
    /// It was sent SIGTERM.
    Term,
    /// It was sent SIGKILL.
    Kill,
}

impl Handle {
    pub fn new(launch: &Launch, owner: Owner, asker: Option<Asker>) -> Handle {
        let input = match (launch.stdin, launch.input_from, launch.input_file) {
            (Redirect::Pipe, None, None) => Input::Open,
            _ => Input::Elsewhere,
        };
        let mut inbox = Inbox::new(launch.framing);
        if launch.stdout != Redirect::Pipe || launch.is_output_piped {
            // Not even an empty message will come.
            inbox.close();
            inbox.end();
        }
        Handle {
            name: launch.name.clone(),
            owner,
            asker,
            failure: None,
            pid: 0,
            framing: launch.framing,
            is_detached: launch.is_detached,
            input,
            outgoing: Outgoing::default(),
            inbox,
            fate: Fate::Alive,
            refuses: false,
            fault: None,
            is_end_told: launch.stdout != Redirect::Pipe,
            tail: Tail::default(),
            waiters: VecDeque::new(),
            is_leaving: false,
            pressure: Pressure::None,
            life_at_ms: None,
            timeout_ms: launch.timeout_ms,
            is_overdue: false,
            due: None,
            end_due: None,
            is_listed: false,
        }
    }

    pub fn is_gone(&self) -> bool {
        matches!(self.fate, Fate::Gone(_))
    }

    /// Takes what a receiver gets: a message as msgpack, none at the end of all messages, or nothing yet.
    pub fn take(&mut self) -> Option<Result<Option<Vec<u8>>>> {
        if let Some(what) = &self.fault {
            let message = format!("worker '{}' {what}", self.name);
            return Some(Err(self.error(Kind::Protocol, message)));
        }
        let Some(message) = self.inbox.take() else {
            return self.end().map(|ended| ended.map(|()| None));
        };
        if self.framing == Framing::Frames {
            if is_answer(message) {
                return Some(Ok(Some(message.to_vec())));
            }
            let message = format!("worker '{}' answered with what is no answer", self.name);
            return Some(Err(self.error(Kind::Protocol, message)));
        }
        let mut out = Vec::with_capacity(message.len() + 5);
        write::bin(&mut out, message);
        Some(Ok(Some(out)))
    }

    /// Whether [`Handle::take`] has something to tell.
    pub fn is_ready(&self) -> bool {
        self.fault.is_some() || self.inbox.has_message() || self.end().is_some()
    }

    /// How the stream of messages has ended; nothing while it goes on, or while it is not known why it ended.
    fn end(&self) -> Option<Result<()>> {
        if !self.inbox.has_ended() || self.inbox.has_message() {
            return None;
        }
        match self.fate {
            // What it has written was dropped when its owner ended, so this is no end of all messages.
            _ if self.is_leaving => Some(Err(self.error(Kind::Io, OWNER_ENDED.into()))),
            Fate::Gone(Ended::Code(0) | Ended::Unknown) if !self.is_overdue => Some(Ok(())),
            Fate::Gone(ended) => Some(Err(self.exit_error(ended))),
            Fate::Alive => self.is_end_told.then_some(Ok(())),
        }
    }

    /// Why nothing can be sent to it.
    pub fn send_error(&self) -> Option<Box<Error>> {
        let refused = |why: &str| Some(self.error(Kind::Io, format!("{why} of worker '{}'", self.name)));
        match (self.fate, self.input) {
            _ if self.is_leaving => Some(self.error(Kind::Io, OWNER_ENDED.into())),
            (_, Input::Elsewhere) => refused("nothing can be sent to the input, which is no pipe,"),
            (Fate::Gone(ended), _) => Some(self.exit_error(ended)),
            (_, Input::Closed | Input::Closing) => refused("nothing can be sent to the closed input"),
            _ => None,
        }
    }

    /// The error for its end.
    pub fn exit_error(&self, ended: Ended) -> Box<Error> {
        let mut error = match self.is_overdue {
            true => {
                let ms = self.timeout_ms.unwrap_or_default();
                let message = format!("worker '{}' did not end within {ms} ms and was ended", self.name);
                self.error(Kind::Timeout, message)
            }
            false => {
                let message = format!("worker '{}' {}", self.name, ended.verb());
                self.error(Kind::Terminated, message)
            }
        };
        ended.note(&mut error);
        error
    }

    pub fn error(&self, kind: Kind, message: String) -> Box<Error> {
        let mut error = Error::new(kind, message);
        error.pid = Some(self.pid).filter(|pid| *pid != 0);
        error.stderr_tail = self.tail.lines();
        error
    }

    /// `{exit_code}` or `{signal}`, with `pid` and `alive` if they are asked for.
    pub fn state(&self, is_whole: bool) -> Vec<u8> {
        let (mut exit_code, mut signal) = (None, None);
        match self.fate {
            Fate::Gone(Ended::Code(code)) => exit_code = Some(code.into()),
            Fate::Gone(Ended::Signal(number)) => signal = Some(number.into()),
            _ => {}
        }
        let pid = is_whole.then_some(self.pid.into());
        let numbers = [("pid", pid), ("exit_code", exit_code), ("signal", signal)];
        let mut out = Vec::new();
        write_state(&mut out, &numbers, is_whole.then_some(!self.is_gone()));
        out
    }
}

/// Whether a message of a command is `[error, result]`, whole and no more.
fn is_answer(message: &[u8]) -> bool {
    let mut reader = Reader::new(message);
    reader.next() == Ok(Token::Array(2)) && reader.skip().is_ok() && reader.skip().is_ok() && reader.is_done()
}

/// The result of such a message.
pub fn result(answer: &[u8]) -> Result<Vec<u8>> {
    let mut reader = Reader::new(answer);
    let broken = || Error::new(Kind::Protocol, "answer of a command is cut off");
    let (Ok(_), Ok(error), Ok(result)) = (reader.next(), reader.skip(), reader.skip()) else {
        return Err(broken());
    };
    match error {
        [0xc0] => Ok(result.to_vec()),
        error => Err(read_error(error).unwrap_or_else(|_| broken())),
    }
}
