//! The client's side of the private socket: one connection, one request at a time, its notices shown as they come. Knows no
//! method; what a request means is in [`crate::serve::rpc::request`].

use crate::codec::error_map::read_error;
use crate::codec::message::{LENGTH_BYTES, write_notification, write_request};
use crate::codec::msgpack::{MsgpackError, Reader, Token, write};
use crate::core::outbox::Outbox;
use crate::error::{Error, Kind, Result, signal_name};
use crate::limits::{CLIENT_GRACE_MS, FRAME_BYTES_MAX, READ_BYTES, WHOLE_BYTES_MAX};
use crate::serve::rpc::Notice;
use crate::sys::clock::now_ms;
use crate::sys::descriptor::peer_user;
use crate::sys::process;
use crate::sys::signal::Signals;
use mio::net::UnixStream;
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token as PollToken};
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

const SOCKET: PollToken = PollToken(0);
const SIGNALS: PollToken = PollToken(1);

/// A connection to a server.
pub struct Client {
    socket: UnixStream,
    poll: Poll,
    events: Events,
    path: PathBuf,
    /// Signals give the request up instead of ending this process.
    signals: Option<Signals>,
    interrupted: Option<i32>,
    input: Vec<u8>,
    outbox: Outbox,
    buffer: Vec<u8>,
    next_id: u64,
}

/// What is asked of a server.
#[derive(Debug, Default)]
pub struct Ask {
    /// The method.
    pub method: &'static str,
    /// How many params it has.
    pub count: u32,
    /// Their msgpack, one after the other, in any number of pieces.
    pub params: Vec<Vec<u8>>,
    /// When the server is to give up, in milliseconds.
    pub timeout_ms: Option<u64>,
}

impl Ask {
    /// A method without params.
    pub fn new(method: &'static str) -> Ask {
        Ask {
            method,
            ..Ask::default()
        }
    }

    /// Adds a param that `write` writes.
    #[must_use]
    pub fn param(mut self, write: impl FnOnce(&mut Vec<u8>)) -> Ask {
        let mut param = Vec::new();
        write(&mut param);
        self.params.push(param);
        self.count += 1;
        self
    }

    /// Adds a text.
    #[must_use]
    pub fn text(self, text: &str) -> Ask {
        self.param(|out| write::string(out, text))
    }

    /// Adds a text, or nil.
    #[must_use]
    pub fn optional(self, text: Option<&str>) -> Ask {
        self.param(|out| match text {
            Some(text) => write::string(out, text),
            None => write::nil(out),
        })
    }
}

/// What happens while a request is open.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Told<'a> {
    /// The server tells something.
    Notice(Notice<'a>),
    /// A signal asked to end; the request is given up.
    Signal(i32),
}

/// What a turn brought.
enum Turn {
    Answered(Result<Vec<u8>>),
    Waiting,
}

impl Client {
    /// Connects to the server of this user, or of root, that listens at that path.
    ///
    /// # Errors
    /// Kind `unavailable`: nobody listens there; `denied`: the server is another user's; `io`: what the system says.
    pub fn connect(path: &Path) -> Result<Client> {
        let refused = |error: io::Error| {
            let message = format!("can't reach the server at {}: {error}", path.display());
            Error::new(Kind::Io, message)
        };
        let mut socket = UnixStream::connect(path).map_err(|error| match error.kind() {
            ErrorKind::NotFound | ErrorKind::ConnectionRefused | ErrorKind::NotADirectory => {
                let hint = "start one with nexus serve, or name its socket by --server PATH";
                Error::new(
                    Kind::Unavailable,
                    format!("no server listens at {}", path.display()),
                )
                .hint(hint)
            }
            _ => refused(error),
        })?;
        let user = peer_user(socket.as_fd()).map_err(refused)?;
        if user != process::user() && user != 0 {
            let message = format!(
                "the server at {} belongs to user {user}, expected {}",
                path.display(),
                process::user()
            );
            return Err(Error::new(Kind::Denied, message));
        }
        let poll = Poll::new().map_err(refused)?;
        let interest = Interest::READABLE | Interest::WRITABLE;
        poll.registry()
            .register(&mut socket, SOCKET, interest)
            .map_err(refused)?;
        Ok(Client {
            socket,
            poll,
            events: Events::with_capacity(4),
            path: path.to_path_buf(),
            signals: None,
            interrupted: None,
            input: Vec::new(),
            outbox: Outbox::default(),
            buffer: vec![0; READ_BYTES],
            next_id: 0,
        })
    }

    /// From here on SIGINT, SIGTERM and SIGHUP give a request up, and only a second one ends the wait for its answer.
    ///
    /// # Errors
    /// Kind `io`: the system refuses it.
    pub fn take_signals(&mut self) -> Result<()> {
        let refused = |error| Error::new(Kind::Io, format!("can't take over signals: {error}"));
        let signals = Signals::take().map_err(refused)?;
        let fd = signals.as_fd().as_raw_fd();
        self.poll
            .registry()
            .register(&mut SourceFd(&fd), SIGNALS, Interest::READABLE)
            .map_err(refused)?;
        self.signals = Some(signals);
        Ok(())
    }

    /// From here on they end this process again.
    pub fn release_signals(&mut self) {
        self.signals = None;
        self.interrupted = None;
    }

    /// Asks and waits for the answer; `each` is told what happens meanwhile.
    ///
    /// # Errors
    /// That of the answer; `cancelled` after a signal; `timeout` if the server is silent for longer than it was told to take;
    /// `terminated` if it ends before it has answered; `protocol` if it says what makes no sense.
    pub fn request(&mut self, ask: Ask, each: &mut dyn FnMut(Told<'_>)) -> Result<Vec<u8>> {
        let id = self.next_id;
        self.next_id += 1;
        let end_ms = ask.timeout_ms.map(|timeout_ms| {
            now_ms()
                .saturating_add(timeout_ms)
                .saturating_add(CLIENT_GRACE_MS)
        });
        self.send(id, ask)?;
        loop {
            if let Turn::Answered(answer) = self.turn(id, each)? {
                return match (answer, self.interrupted) {
                    (Err(mut error), Some(number)) if error.kind == Kind::Cancelled => {
                        let told = stopped(number);
                        (error.message, error.signal) = (told.message, told.signal);
                        Err(error)
                    }
                    (answer, _) => answer,
                };
            }
            if let Some(number) = self.signals.as_mut().and_then(Signals::arrived) {
                if let Some(first) = self.interrupted {
                    return Err(stopped(first));
                }
                self.interrupted = Some(number);
                each(Told::Signal(number));
                self.give_up(id);
                continue;
            }
            let wait_ms = match end_ms.map(|end_ms| end_ms.saturating_sub(now_ms())) {
                Some(0) => {
                    let message = format!("the server at {} does not answer", self.path.display());
                    return Err(Error::new(Kind::Timeout, message));
                }
                wait_ms => wait_ms,
            };
            match self
                .poll
                .poll(&mut self.events, wait_ms.map(Duration::from_millis))
            {
                Err(error) if error.kind() != ErrorKind::Interrupted => {
                    return Err(Error::new(Kind::Io, format!("can't poll: {error}")));
                }
                _ => {}
            }
        }
    }

    fn give_up(&mut self, id: u64) {
        let mut payload = Vec::new();
        write::unsigned(&mut payload, id);
        self.outbox.append(|out| {
            // A few bytes fit in a frame.
            let _ = write_notification(out, "cancel", 1, payload.len() as u64);
            out.extend_from_slice(&payload);
        });
    }

    fn send(&mut self, id: u64, ask: Ask) -> Result<()> {
        let mut head = Vec::new();
        let (method, count) = match ask.timeout_ms {
            None => (ask.method, ask.count),
            Some(timeout_ms) => {
                write::map(&mut head, 1);
                write::string(&mut head, "timeout_ms");
                write::unsigned(&mut head, timeout_ms);
                write::string(&mut head, ask.method);
                ("request", ask.count + 2)
            }
        };
        let bytes = head.len() + ask.params.iter().map(Vec::len).sum::<usize>();
        self.outbox
            .append(|out| {
                write_request(out, id, method, count, bytes as u64)?;
                out.extend_from_slice(&head);
                Ok(())
            })
            .map_err(|message: String| {
                Error::new(Kind::BadArgument, format!("request can't be sent: {message}"))
            })?;
        for param in ask.params {
            match param.len() > WHOLE_BYTES_MAX {
                true => self.outbox.push(param),
                false => self.outbox.append(|out| out.extend_from_slice(&param)),
            }
        }
        Ok(())
    }

    /// Writes and reads what goes without waiting.
    fn turn(&mut self, id: u64, each: &mut dyn FnMut(Told<'_>)) -> Result<Turn> {
        self.write();
        loop {
            match self.socket.read(&mut self.buffer) {
                Ok(0) => return Err(self.ended()),
                Ok(read) => self.input.extend_from_slice(&self.buffer[..read]),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(Turn::Waiting),
                Err(_) => return Err(self.ended()),
            }
            if let Some(answer) = self.take_messages(id, each)? {
                return Ok(Turn::Answered(answer));
            }
        }
    }

    /// Writes what the socket takes.
    fn write(&mut self) {
        while !self.outbox.chunk().is_empty() {
            match self.socket.write(self.outbox.chunk()) {
                Ok(written) => self.outbox.advance(written),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                // What it has still said can be read.
                Err(_) => self.outbox = Outbox::default(),
            }
        }
    }

    fn ended(&self) -> Box<Error> {
        let message = format!("the server at {} ended before it answered", self.path.display());
        Error::new(Kind::Terminated, message)
    }

    /// Takes whole messages out of what was read, up to the answer.
    fn take_messages(&mut self, id: u64, each: &mut dyn FnMut(Told<'_>)) -> Result<Option<Result<Vec<u8>>>> {
        let mut at = 0;
        let mut answer = None;
        while answer.is_none() {
            let came = &self.input[at..];
            let Some(length) = came.first_chunk::<LENGTH_BYTES>() else {
                break;
            };
            let bytes = u32::from_be_bytes(*length) as usize;
            if bytes as u64 > FRAME_BYTES_MAX {
                return Err(self.astray("a message is too large"));
            }
            let Some(message) = came.get(LENGTH_BYTES..LENGTH_BYTES + bytes) else {
                break;
            };
            answer = read_message(message, id, each).map_err(|error| self.astray(&error.to_string()))?;
            at += LENGTH_BYTES + bytes;
        }
        self.input.drain(..at);
        Ok(answer)
    }

    fn astray(&self, what: &str) -> Box<Error> {
        let message = format!(
            "the server at {} says what can't be understood: {what}",
            self.path.display()
        );
        Error::new(Kind::Protocol, message).hint("is it a nexus of the same version?")
    }
}

/// The error of a run that a signal asked to end.
fn stopped(number: i32) -> Box<Error> {
    let mut error = Error::new(Kind::Cancelled, format!("stopped by {}", signal_name(number)));
    error.signal = Some(number);
    error
}

/// Reads one message: the answer to that request, or what `each` is told, or neither.
fn read_message(
    message: &[u8],
    id: u64,
    each: &mut dyn FnMut(Told<'_>),
) -> std::result::Result<Option<Result<Vec<u8>>>, MsgpackError> {
    let mut reader = Reader::new(message);
    match (reader.next()?, reader.next()?) {
        (Token::Array(4), Token::Int(1)) => {
            // An error without an id is about the connection.
            let is_it = match reader.next()? {
                Token::Nil => true,
                Token::Int(number) => number as u64 == id,
                _ => false,
            };
            let error = reader.skip()?;
            let result = reader.rest();
            Ok(is_it.then(|| match error {
                [0xc0] => Ok(result.to_vec()),
                error => Err(read_error(error)
                    .unwrap_or_else(|_| Error::new(Kind::Protocol, "the server gives no reason"))),
            }))
        }
        (Token::Array(3), Token::Int(2)) => {
            let Token::Str(method) = reader.next()? else {
                return Ok(None);
            };
            reader.next()?;
            if reader.next()? != Token::Int(id as i64) {
                return Ok(None);
            }
            if let Some(notice) = read_notice(method, reader)? {
                each(Told::Notice(notice));
            }
            Ok(None)
        }
        _ => Err(MsgpackError::Invalid(0, "a message does not begin as one")),
    }
}

fn read_notice<'a>(
    method: &str,
    mut reader: Reader<'a>,
) -> std::result::Result<Option<Notice<'a>>, MsgpackError> {
    let first = reader.next()?;
    Ok(match (method, first) {
        ("log", Token::Str(pool)) => match (reader.next()?, reader.next()?) {
            (Token::Str(level), Token::Str(text)) => Some(Notice::Log { pool, level, text }),
            _ => None,
        },
        ("progress", Token::Str(pool)) => match (reader.next()?, reader.next()?, reader.next()?) {
            (Token::F8(done), Token::F8(total), Token::Str(label)) => Some(Notice::Progress {
                pool,
                done,
                total,
                label,
            }),
            _ => None,
        },
        ("printed", Token::Bin(bytes)) => Some(Notice::Printed(bytes)),
        _ => None,
    })
}
