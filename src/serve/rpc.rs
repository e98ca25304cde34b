//! One connection of the private socket: MessagePack-RPC, each message behind its length, as pools speak it. Finds requests in
//! bytes and puts answers into bytes; many requests may be open at once, and are answered in any order. Opens no socket, and
//! runs no request: what one means is in [`request`].

pub mod request;

use self::request::{Action, Flaw, Incoming, Request, read};
use crate::codec::error_map::write_error;
use crate::codec::message::{LENGTH_BYTES, write_notification, write_response};
use crate::codec::msgpack::write;
use crate::core::outbox::Outbox;
use crate::error::{Error, Kind, Result};
use crate::limits::{
    OUTBOX_BYTES_HIGH, RPC_NOTES_BYTES_MAX, RPC_OPEN_REQUESTS_MAX, RPC_REQUEST_BYTES_MAX, WHOLE_BYTES_MAX,
};
use crate::map::Map;

/// What a client is told of a request that is still open.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Notice<'a> {
    /// `log [id, pool, level, text]`: a line that a function logged.
    Log {
        /// The pool; empty for the server itself.
        pool: &'a str,
        /// How much it matters.
        level: &'a str,
        /// What it says.
        text: &'a str,
    },
    /// `progress [id, pool, done, total, label]`: how far a function says that it is.
    Progress {
        /// The pool.
        pool: &'a str,
        /// So much is done.
        done: f64,
        /// Of so much; 0 if that is not known.
        total: f64,
        /// What is.
        label: &'a str,
    },
    /// `printed [id, bytes]`: what pools wrote to their standard error and output.
    Printed(&'a [u8]),
}

/// A connection with a client. It owns what has come and what is to be written.
pub struct Connection {
    input: Vec<u8>,
    /// Where in `input` the next frame begins.
    at: usize,
    open: Map<u64, ()>,
    outbox: Outbox,
    /// Notices that were left out for want of room since the last that was not.
    left_out: u64,
    state: State,
}

/// What is still to come over a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Requests.
    Open,
    /// Answers to the requests that are open: the server ends.
    Draining,
    /// What is to be written: the client broke the protocol.
    Broken,
    /// Nothing: the client has closed its side.
    Gone,
}

impl Default for Connection {
    fn default() -> Connection {
        Connection::new()
    }
}

impl Connection {
    /// A new one.
    pub fn new() -> Connection {
        Connection {
            input: Vec::new(),
            at: 0,
            open: Map::new(),
            outbox: Outbox::default(),
            left_out: 0,
            state: State::Open,
        }
    }

    /// Takes what was read.
    pub fn handle_input(&mut self, bytes: &[u8]) {
        if !self.is_read() {
            return;
        }
        if self.at > self.input.len() / 2 {
            self.input.drain(..self.at);
            self.at = 0;
        }
        self.input.extend_from_slice(bytes);
    }

    /// The client has closed its side: it gives up all that is open, for nobody waits for the answers.
    pub fn handle_end(&mut self) {
        self.state = State::Gone;
    }

    /// Takes no further requests; the connection is over once the open ones are answered.
    pub fn drain(&mut self) {
        if self.state == State::Open {
            self.state = State::Draining;
        }
    }

    fn is_read(&self) -> bool {
        matches!(self.state, State::Open | State::Draining)
    }

    /// The next request that is to be done, or that is given up ([`Action::Cancel`]). Each but a cancellation is answered once,
    /// by [`Connection::respond`], and that also if it was cancelled. What can't be a request is answered here.
    pub fn poll_request(&mut self) -> Option<Request> {
        while let Some(frame) = self.take_frame() {
            match read(frame) {
                Ok(Incoming::Request(request)) => {
                    if let Some(request) = self.admit(request) {
                        return Some(request);
                    }
                }
                // An answer may have crossed it.
                Ok(Incoming::Cancel(id)) if self.open.contains(&id) => {
                    return Some(Request {
                        id,
                        what: Action::Cancel,
                        timeout_ms: None,
                        request_id: None,
                    });
                }
                Ok(Incoming::Cancel(_) | Incoming::Other) => {}
                Err(Flaw::Of(id, _)) if self.open.contains(&id) => self.refuse_id(id),
                Err(Flaw::Of(id, error)) => self.write_answer(id, Err(error)),
                Err(Flaw::Malformed(id, error)) => self.close(id, &error),
            }
        }
        None
    }

    /// A whole frame, without its length.
    fn take_frame(&mut self) -> Option<Vec<u8>> {
        if !self.is_read() {
            return None;
        }
        let came = &self.input[self.at..];
        let length = came.first_chunk::<LENGTH_BYTES>()?;
        let bytes = u32::from_be_bytes(*length) as usize;
        if bytes > RPC_REQUEST_BYTES_MAX {
            let message = format!(
                "a message of {bytes} bytes begins, expected at most {RPC_REQUEST_BYTES_MAX}; each has its length \
                 before it, as a big-endian integer of 4 bytes"
            );
            self.close(None, &Error::new(Kind::Protocol, message));
            return None;
        }
        let end = LENGTH_BYTES + bytes;
        let frame = came.get(LENGTH_BYTES..end)?;
        // A large one mostly comes alone; it need not be there twice.
        if bytes > WHOLE_BYTES_MAX && self.at == 0 && self.input.len() == end {
            let mut frame = std::mem::take(&mut self.input);
            frame.drain(..LENGTH_BYTES);
            return Some(frame);
        }
        let frame = frame.to_vec();
        self.at += end;
        if self.at == self.input.len() {
            self.at = 0;
            match self.input.capacity() > WHOLE_BYTES_MAX {
                true => self.input = Vec::new(),
                false => self.input.clear(),
            }
        }
        Some(frame)
    }

    /// Counts a request among the open ones; none if it can't be.
    fn admit(&mut self, request: Request) -> Option<Request> {
        let id = request.id;
        if self.open.contains(&id) {
            self.refuse_id(id);
            return None;
        }
        let refusal = if self.state == State::Draining {
            Error::new(Kind::Unavailable, "the server is ending").hint("start it again, and ask again")
        } else if self.open.len() >= RPC_OPEN_REQUESTS_MAX {
            let message = format!("{RPC_OPEN_REQUESTS_MAX} requests of this connection are open");
            Error::new(Kind::Overloaded, message).hint("wait for answers before sending more")
        } else {
            self.open.insert(id, ());
            return Some(request);
        };
        self.write_answer(id, Err(refusal));
        None
    }

    fn refuse_id(&mut self, id: u64) {
        let message = format!("request {id} is sent while one of that id is open");
        self.close(None, &Error::new(Kind::Protocol, message));
    }

    /// Answers a request that [`Connection::poll_request`] gave, with msgpack or an error. One that is not open is none.
    pub fn respond(&mut self, id: u64, answer: Result<Vec<u8>>) {
        if self.open.remove(&id).is_some() && self.state != State::Gone {
            self.write_answer(id, answer);
        }
    }

    fn write_answer(&mut self, id: u64, answer: Result<Vec<u8>>) {
        let mut envelope = Vec::new();
        let result = answer.and_then(|result| {
            write_response(&mut envelope, id, 1 + result.len() as u64).map_err(|message| {
                let hint = "return less, or write it to a file";
                Error::new(Kind::Io, format!("result can't be sent: {message}")).hint(hint)
            })?;
            write::nil(&mut envelope);
            Ok(result)
        });
        let payload = result.unwrap_or_else(|error| {
            let mut payload = Vec::new();
            write_error(&mut payload, &error);
            write::nil(&mut payload);
            // An error is far smaller than a frame may be.
            let _ = write_response(&mut envelope, id, payload.len() as u64);
            payload
        });
        self.outbox.append(|out| out.extend_from_slice(&envelope));
        match payload.len() > WHOLE_BYTES_MAX {
            true => self.outbox.push(payload),
            false => self.outbox.append(|out| out.extend_from_slice(&payload)),
        }
    }

    /// Answers what can't be understood, and reads no further: where the next message begins can't be relied on.
    fn close(&mut self, id: Option<u64>, error: &Error) {
        let mut message = Vec::new();
        write::array(&mut message, 4);
        write::unsigned(&mut message, 1);
        match id.filter(|id| !self.open.contains(id)) {
            Some(id) => write::unsigned(&mut message, id),
            None => write::nil(&mut message),
        }
        write_error(&mut message, error);
        write::nil(&mut message);
        self.outbox.append(|out| {
            out.extend_from_slice(&(message.len() as u32).to_be_bytes());
            out.extend_from_slice(&message);
        });
        self.state = State::Broken;
        self.input = Vec::new();
        self.at = 0;
    }

    /// Tells the client of an open request. What it does not read in time is left out, and said to be.
    pub fn notify(&mut self, id: u64, notice: Notice<'_>) {
        if self.state == State::Gone || !self.open.contains(&id) {
            return;
        }
        if self.outbox.waiting_bytes() >= RPC_NOTES_BYTES_MAX {
            self.left_out += 1;
            return;
        }
        if self.left_out > 0 {
            let text = format!("{} notices were left out, for they were not read", self.left_out);
            self.left_out = 0;
            self.write_notice(
                id,
                Notice::Log {
                    pool: "",
                    level: "warning",
                    text: &text,
                },
            );
        }
        self.write_notice(id, notice);
    }

    fn write_notice(&mut self, id: u64, notice: Notice<'_>) {
        let mut payload = Vec::new();
        write::unsigned(&mut payload, id);
        let (method, values) = match notice {
            Notice::Log { pool, level, text } => {
                for text in [pool, level, text] {
                    write::string(&mut payload, text);
                }
                ("log", 4)
            }
            Notice::Progress {
                pool,
                done,
                total,
                label,
            } => {
                write::string(&mut payload, pool);
                write::f8(&mut payload, done);
                write::f8(&mut payload, total);
                write::string(&mut payload, label);
                ("progress", 5)
            }
            Notice::Printed(bytes) => {
                write::bin(&mut payload, bytes);
                ("printed", 2)
            }
        };
        self.outbox.append(|out| {
            // What is printed comes in pieces far below the size of a frame.
            if write_notification(out, method, values, payload.len() as u64).is_ok() {
                out.extend_from_slice(&payload);
            }
        });
    }

    /// What can be written now; empty if nothing.
    pub fn output(&self) -> &[u8] {
        match self.state {
            State::Gone => &[],
            _ => self.outbox.chunk(),
        }
    }

    /// Takes off what was written of [`Connection::output`].
    pub fn advance_output(&mut self, written: usize) {
        self.outbox.advance(written);
    }

    /// Whether to read on. A client that does not read its answers is not read either.
    pub fn wants_input(&self) -> bool {
        self.is_read() && self.outbox.waiting_bytes() < OUTBOX_BYTES_HIGH
    }

    /// The requests that are open; once [`Connection::is_over`], nobody waits for them any more.
    pub fn open_requests(&self) -> impl Iterator<Item = u64> {
        self.open.keys().copied()
    }

    /// Whether to close the socket.
    pub fn is_over(&self) -> bool {
        let is_written = self.outbox.is_empty();
        match self.state {
            State::Open => false,
            State::Draining => is_written && self.open.is_empty(),
            State::Broken => is_written,
            State::Gone => true,
        }
    }
}

#[cfg(test)]
mod tests;
