//! A program as a server of the Model Context Protocol on its own streams: lines in and lines out, any number of calls at
//! once. What messages mean is decided in [`crate::serve::mcp`].

use super::notes::Notes;
use super::session::told::Event;
use super::session::{Session, poll_refused};
use crate::core::hub::Note;
use crate::error::{Error, Kind, Result, signal_name};
use crate::limits::{JOIN_GRACE_MS, LOCK_CHECK_MS, OUTBOX_BYTES_HIGH, READ_BYTES};
use crate::manifest::model::Manifest;
use crate::serve::mcp::{Conversation, Lines, Offer, Output, Program, Tools};
use crate::sys::clock::now_ms;
use crate::sys::descriptor::take_streams;
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

const SESSION: Token = Token(0);
const INPUT: Token = Token(1);
const OUTPUT: Token = Token(2);
const EVENTS_PER_TURN: usize = 8;

/// What is written at once, in bytes: a pipe that has any room takes as much without waiting.
const WRITE_BYTES: usize = 4096;

/// Serves a program, whose manifest has that path, until standard input ends. A call may take `timeout_ms`, or what its command
/// says.
///
/// # Errors
/// `cancelled` after SIGINT, SIGTERM or SIGHUP; `io` when the system refuses something.
pub fn serve(manifest: &Rc<Manifest>, path: &Path, name: &str, timeout_ms: Option<u64>) -> Result<()> {
    // What the program starts gets neither: messages are nobody else's.
    let (input, output) = take_streams().map_err(poll_refused("take over standard input and output"))?;
    let mut session = Session::start(manifest, path, &[])?;
    session.tell();
    let programs = [Program { name, manifest }];
    let tools = Tools::of(&programs);
    let offer = Offer {
        programs: &programs,
        tools: &tools,
    };
    let poll = Poll::new().map_err(poll_refused("make a poll"))?;
    let fd = session.as_raw_fd();
    poll.registry()
        .register(&mut SourceFd(&fd), SESSION, Interest::READABLE)
        .map_err(poll_refused("poll the pools"))?;
    let mut server = Server {
        manifest,
        timeout_ms,
        input: Stream::new(input, INPUT, Interest::READABLE, &poll)?,
        output: Stream::new(output, OUTPUT, Interest::WRITABLE, &poll)?,
        poll,
        lines: Lines::default(),
        outbox: Vec::new(),
        conversation: Conversation::default(),
        calls: Vec::new(),
        session,
        buffer: vec![0; READ_BYTES],
        end_by_ms: None,
    };
    let result = server.run(offer);
    server.session.finish();
    result
}

struct Server<'m> {
    manifest: &'m Rc<Manifest>,
    timeout_ms: Option<u64>,
    poll: Poll,
    input: Stream,
    output: Stream,
    lines: Lines,
    /// What waits to be written.
    outbox: Vec<u8>,
    conversation: Conversation,
    session: Session,
    /// Calls that run: the session's token and the conversation's number of each.
    calls: Vec<(u64, u64)>,
    buffer: Vec<u8>,
    /// The client is gone; until then it may take what waits for it.
    end_by_ms: Option<u64>,
}

impl Server<'_> {
    fn run(&mut self, offer: Offer) -> Result<()> {
        let mut events = Events::with_capacity(EVENTS_PER_TURN);
        loop {
            let wait_ms = match self.end_by_ms {
                _ if self.can_read() || self.can_write() => Some(0),
                None => self.session.wait_ms(now_ms()),
                Some(_) if self.outbox.is_empty() => return Ok(()),
                Some(end) if end <= now_ms() => return Ok(()),
                Some(end) => {
                    let rest = end - now_ms().min(end);
                    Some(self.session.wait_ms(now_ms()).unwrap_or(rest).min(rest))
                }
            };
            match self.poll.poll(&mut events, wait_ms.map(Duration::from_millis)) {
                Err(error) if error.kind() != ErrorKind::Interrupted => {
                    return Err(poll_refused("poll")(error));
                }
                _ => {}
            }
            for event in &events {
                match event.token() {
                    INPUT => self.input.is_ready = true,
                    OUTPUT => self.output.is_ready = true,
                    _ => {}
                }
            }
            let is_silent = wait_ms == Some(LOCK_CHECK_MS) && events.is_empty();
            self.session.poll_and_step(is_silent, &mut self.buffer)?;
            if let Some(number) = self.session.interrupted {
                let message = format!("stopped by {}", signal_name(number));
                let mut error = Error::new(Kind::Cancelled, message);
                error.signal = Some(number);
                return Err(error);
            }
            self.read(offer)?;
            self.act();
            // What was begun may be answered already: nothing would wake the poll for it.
            self.listen();
            self.act();
            self.write()?;
        }
    }

    /// While much waits to be written, nothing more is asked for.
    fn can_read(&self) -> bool {
        self.input.is_ready && self.end_by_ms.is_none() && self.outbox.len() < OUTBOX_BYTES_HIGH
    }

    fn can_write(&self) -> bool {
        self.output.is_ready && !self.outbox.is_empty()
    }

    /// Takes what the calls say and answer.
    fn listen(&mut self) {
        while let Some(event) = self.session.poll_told() {
            match event {
                // Where standard error can't be written, nobody wants it.
                Event::Printed { bytes, .. } => drop(io::stderr().write_all(&bytes)),
                Event::Note { pool, note, call } => {
                    let mut calls = self.calls.iter();
                    let call = calls
                        .find(|(token, _)| Some(*token) == call)
                        .map(|(_, call)| *call);
                    match (&note, call) {
                        (Note::Log { level, text }, Some(call)) => {
                            self.conversation.handle_log(call, &pool, level, text);
                        }
                        (Note::Progress { done, total, label }, Some(call)) => {
                            self.conversation.handle_progress(call, *done, *total, label);
                        }
                        (_, None) => {}
                    }
                    if let Note::Log { .. } = note {
                        Notes::default().show(&pool, &note);
                    }
                }
            }
        }
        while let Some((token, answer)) = self.session.poll_answer() {
            let position = self.calls.iter().position(|(known, _)| *known == token);
            // Of what was given up nobody wants to hear.
            if let Some(position) = position {
                let (_, call) = self.calls.swap_remove(position);
                self.conversation.handle_answer(call, self.manifest, answer);
            }
        }
    }

    /// Takes messages, as far as they have come.
    fn read(&mut self, offer: Offer) -> Result<()> {
        if !self.can_read() {
            return Ok(());
        }
        match self.input.file.read(&mut self.buffer) {
            Ok(0) => self.lines.end(),
            Ok(read) => {
                self.lines.push(&self.buffer[..read]);
                self.input.watch_on(&self.poll)?;
            }
            Err(error) if matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::WouldBlock) => {
                self.input.watch_on(&self.poll)?;
                return Ok(());
            }
            Err(error) => return Err(poll_refused("read standard input")(error)),
        }
        while let Some(line) = self.lines.take() {
            self.conversation.handle_message(line, offer);
        }
        if self.lines.has_ended() {
            self.act();
            self.end();
        }
        Ok(())
    }

    /// The client has nothing more to say, or doesn't listen any more.
    fn end(&mut self) {
        self.end_by_ms.get_or_insert(now_ms() + JOIN_GRACE_MS);
        self.conversation.handle_end();
    }

    /// Does what the conversation wants done.
    fn act(&mut self) {
        while let Some(output) = self.conversation.poll_output() {
            match output {
                Output::Reply { message, .. } | Output::Note { message, .. } => {
                    self.outbox.extend_from_slice(&message);
                    self.outbox.push(b'\n');
                }
                Output::Silence { .. } => {}
                Output::Call {
                    call, command, args, ..
                } => {
                    let token = self.session.begin_command(command, args, self.timeout_ms);
                    self.calls.push((token, call));
                }
                Output::Cancel { call } => {
                    if let Some(position) = self.calls.iter().position(|(_, known)| *known == call) {
                        let (token, _) = self.calls.swap_remove(position);
                        let error = Error::new(Kind::Cancelled, "the client gave the call up");
                        self.session.cancel(token, &error);
                    }
                }
            }
        }
    }

    fn write(&mut self) -> Result<()> {
        if !self.can_write() {
            return Ok(());
        }
        let piece = &self.outbox[..self.outbox.len().min(WRITE_BYTES)];
        match self.output.file.write(piece) {
            Ok(written) => drop(self.outbox.drain(..written)),
            Err(error) if matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::WouldBlock) => {}
            Err(error) if error.kind() == ErrorKind::BrokenPipe => {
                self.outbox.clear();
                self.end();
                return Ok(());
            }
            Err(error) => return Err(poll_refused("write standard output")(error)),
        }
        self.output.watch_on(&self.poll)
    }
}

/// Standard input or output: whatever it is, and shared with whoever else has it, so that it can't be told not to block.
struct Stream {
    file: File,
    token: Token,
    interest: Interest,
    /// It was found ready, and nothing was done about it since.
    is_ready: bool,
    /// It can't be polled, as a file: it is always ready.
    is_file: bool,
}

impl Stream {
    fn new(fd: OwnedFd, token: Token, interest: Interest, poll: &Poll) -> Result<Stream> {
        let file = File::from(fd);
        let raw = file.as_raw_fd();
        let is_file = match poll.registry().register(&mut SourceFd(&raw), token, interest) {
            Ok(()) => false,
            Err(error) if error.kind() == ErrorKind::PermissionDenied => true,
            Err(error) => return Err(poll_refused("poll standard input and output")(error)),
        };
        Ok(Stream {
            file,
            token,
            interest,
            is_ready: is_file,
            is_file,
        })
    }

    /// Asks anew whether it is ready: the poll only tells when that changes, or is asked.
    fn watch_on(&mut self, poll: &Poll) -> Result<()> {
        if self.is_file {
            return Ok(());
        }
        self.is_ready = false;
        let raw = self.file.as_raw_fd();
        poll.registry()
            .reregister(&mut SourceFd(&raw), self.token, self.interest)
            .map_err(poll_refused("poll standard input and output"))
    }
}
