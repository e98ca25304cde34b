//! One connection of a client, as a state machine: bytes in, whole requests out; answers in, bytes out. It opens and closes
//! nothing, and reads no clock: the caller passes the time, in milliseconds.
//!
//! One request is under way at a time; what the client has sent of the next waits in a bounded buffer. Bytes that could mean
//! two things are refused with an answer, after which the connection is only read for a while (so that closing does not
//! destroy the answer) and then over.
//!
//! An end of the input (FIN) says either that the client has said all, and waits, or that it has left. The first comes with
//! the request: within [`HTTP_HALF_CLOSE_MS`] of it, and then the client gets its answer. One that comes later while a call
//! runs means that the client is gone; its answer is written all the same if one is given. A reset always means gone.

use super::chunked::Chunked;
use super::failure::Fault;
use super::head::{Framing, read as read_head};
use super::pace::Pace;
use super::request::{Method, Request};
use super::response::{Extent, Response};
use super::scan::Scan;
use crate::codec::number::push_number;
use crate::core::deadlines::sooner;
use crate::limits::{
    HTTP_BODY_BYTES_MIN, HTTP_COPY_BYTES_MAX, HTTP_HALF_CLOSE_MS, HTTP_HEAD_MS, HTTP_IDLE_MS, HTTP_LINGER_MS,
    HTTP_OUTPUT_BYTES_HIGH, HTTP_PIPELINE_BYTES_MAX, READ_BYTES,
};

/// What the connection is at.
enum Phase {
    /// Between requests, or in a head.
    Head(Scan),
    /// A body is being read.
    Body(Coding, Pace),
    /// A request is whole and not polled yet.
    Whole,
    /// It is polled and has no answer yet.
    Answering,
    /// Its answer is given piece by piece.
    Streaming(Form),
    /// The answer is complete; too much of it waits for the client to take the next request.
    Sending,
    /// There will be no further request: what waits is written, then it ends.
    Closing,
    /// All is written; what still comes is dropped, so that the client can read the answer.
    Lingering,
    /// It is to be closed.
    Over,
}

/// How the rest of a body comes.
enum Coding {
    Length(usize),
    Chunked(Chunked),
}

/// How a streamed body goes out.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Chunks,
    UntilClose,
    /// To HEAD, or with a status that has none.
    Dropped,
}

/// A connection; see the head of this file.
pub struct Connection {
    phase: Phase,
    /// Bytes that came and are not understood yet: a part of a head, or requests to come.
    input: Vec<u8>,
    /// The request that is being read, or is whole.
    request: Option<Box<Request>>,
    is_head: bool,
    is_old: bool,
    /// The connection outlives the answer to the request under way.
    is_kept: bool,
    /// What is to be written, from `written` on, and after that a large body.
    output: Vec<u8>,
    written: usize,
    body: Vec<u8>,
    body_written: usize,
    /// When this phase began.
    since_ms: u64,
    /// When the head that is being read began.
    begun_ms: Option<u64>,
    /// When the request under way became whole.
    whole_ms: u64,
    /// The taking of the output, while there is any.
    taking: Option<Pace>,
    has_ended: bool,
    is_gone: bool,
    /// The client may be sending what will not be understood any more.
    must_linger: bool,
}

impl Connection {
    /// A connection that was just accepted.
    pub fn new(now_ms: u64) -> Connection {
        Connection {
            phase: Phase::Head(Scan::default()),
            input: Vec::new(),
            request: None,
            is_head: false,
            is_old: false,
            is_kept: true,
            output: Vec::new(),
            written: 0,
            body: Vec::new(),
            body_written: 0,
            since_ms: now_ms,
            begun_ms: None,
            whole_ms: now_ms,
            taking: None,
            has_ended: false,
            is_gone: false,
            must_linger: false,
        }
    }

    /// Whether more bytes are to be read. While it is not, the caller leaves them to the system, and looks again after an
    /// answer and after a write.
    pub fn wants_input(&self) -> bool {
        !self.has_ended
            && match self.phase {
                Phase::Over => false,
                Phase::Whole | Phase::Answering | Phase::Streaming(_) | Phase::Sending => {
                    self.input.len() < HTTP_PIPELINE_BYTES_MAX
                }
                _ => true,
            }
    }

    /// Takes what was read: at most [`READ_BYTES`], while [`Self::wants_input`]. A caller that goes on regardless loses the
    /// connection rather than fill the memory.
    pub fn handle_input(&mut self, bytes: &[u8], now_ms: u64) {
        if self.has_ended || bytes.is_empty() {
            return;
        }
        if let Phase::Body(_, pace) = &mut self.phase {
            pace.handle_moved(bytes.len(), now_ms);
        }
        if self.input.is_empty() {
            let used = self.take(bytes, now_ms);
            self.keep(&bytes[used..]);
        } else {
            self.keep(bytes);
            self.take_kept(now_ms);
        }
        self.settle(now_ms);
    }

    /// The client has ended its side: nothing more will come.
    pub fn handle_end(&mut self, now_ms: u64) {
        self.has_ended = true;
        if self.is_working() && now_ms > self.whole_ms + HTTP_HALF_CLOSE_MS {
            self.is_gone = true;
        }
        self.settle(now_ms);
    }

    /// The connection broke, or was hung up: nothing can be read or written any more.
    pub fn handle_reset(&mut self) {
        self.is_gone = true;
        self.phase = Phase::Over;
        self.request = None;
        self.taking = None;
        self.forget_output();
        self.input = Vec::new();
    }

    /// Whether [`Self::poll_request`] has one.
    pub fn has_request(&self) -> bool {
        matches!(self.phase, Phase::Whole)
    }

    /// The next whole request; it is to be answered by [`Self::respond`], or by [`Self::begin`] and [`Self::end`].
    pub fn poll_request(&mut self) -> Option<Box<Request>> {
        if !matches!(self.phase, Phase::Whole) {
            return None;
        }
        self.phase = Phase::Answering;
        self.request.take()
    }

    /// Answers the request that was polled; without one it does nothing.
    pub fn respond(&mut self, response: Response, now_ms: u64) {
        if matches!(self.phase, Phase::Answering) {
            self.write(response);
            self.finish(now_ms);
        }
    }

    /// Begins the answer to the request that was polled; its body, which may be empty, is the first piece.
    pub fn begin(&mut self, head: Response, now_ms: u64) {
        if !matches!(self.phase, Phase::Answering) {
            return;
        }
        let mut head = head.checked();
        let (form, extent) = match (self.is_head || !head.has_body(), self.is_old) {
            (true, _) => (Form::Dropped, Extent::Chunks),
            (false, true) => (Form::UntilClose, Extent::UntilClose),
            (false, false) => (Form::Chunks, Extent::Chunks),
        };
        self.is_kept &= form != Form::UntilClose;
        let extent = if self.is_old { Extent::UntilClose } else { extent };
        head.write_head(extent, self.connection_option(), &mut self.output);
        self.phase = Phase::Streaming(form);
        let first = std::mem::take(&mut head.body);
        self.push(&first, now_ms);
    }

    /// The next piece of a streamed answer. All of it is taken; more than [`Self::stream_room`] at once is not meant to be.
    pub fn push(&mut self, bytes: &[u8], now_ms: u64) {
        if let Phase::Streaming(form) = self.phase {
            // A chunk of no bytes would be the last.
            if form == Form::Chunks && !bytes.is_empty() {
                push_number(bytes.len() as u64, 16, &mut self.output);
                self.output.extend_from_slice(b"\r\n");
                self.output.extend_from_slice(bytes);
                self.output.extend_from_slice(b"\r\n");
            } else if form == Form::UntilClose {
                self.output.extend_from_slice(bytes);
            }
            self.settle(now_ms);
        }
    }

    /// The streamed answer is complete.
    pub fn end(&mut self, now_ms: u64) {
        if let Phase::Streaming(form) = self.phase {
            if form == Form::Chunks {
                self.output.extend_from_slice(b"0\r\n\r\n");
            }
            self.finish(now_ms);
        }
    }

    /// The answer can't be completed: what is given of it is written, then the connection ends, so that the client sees in
    /// HTTP/1.1 that something is missing.
    pub fn abort(&mut self, now_ms: u64) {
        if matches!(self.phase, Phase::Answering | Phase::Streaming(_)) {
            self.close(now_ms);
        }
    }

    /// How many bytes [`Self::push`] may take now.
    pub fn stream_room(&self) -> usize {
        match self.phase {
            Phase::Streaming(_) => HTTP_OUTPUT_BYTES_HIGH.saturating_sub(self.waiting()),
            _ => 0,
        }
    }

    /// What is to be written next; empty when nothing is.
    pub fn output(&self) -> &[u8] {
        match &self.output[self.written..] {
            [] => &self.body[self.body_written..],
            output => output,
        }
    }

    /// So many bytes of [`Self::output`] were written.
    pub fn advance_output(&mut self, written: usize, now_ms: u64) {
        if self.written < self.output.len() {
            self.written = self.output.len().min(self.written + written);
        } else {
            self.body_written = self.body.len().min(self.body_written + written);
        }
        if let Some(taking) = &mut self.taking {
            taking.handle_moved(written, now_ms);
        }
        if self.waiting() == 0 {
            self.forget_output();
        } else if self.written >= HTTP_OUTPUT_BYTES_HIGH {
            self.output.drain(..self.written);
            self.written = 0;
        }
        self.settle(now_ms);
    }

    /// Whether all is written and the client is to be told so: the caller shuts down the writing side and goes on reading.
    pub fn wants_shutdown(&self) -> bool {
        matches!(self.phase, Phase::Lingering)
    }

    /// Whether the connection is to be closed.
    pub fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Over)
    }

    /// Whether nobody waits for the answer to the request under way any more, so that its call may be cancelled.
    pub fn is_client_gone(&self) -> bool {
        self.is_gone
    }

    /// When [`Self::handle_timeout`] has something to do, if nothing comes before.
    pub fn next_deadline(&self) -> Option<u64> {
        let taken_by = self.taking.map(|pace| pace.deadline());
        sooner(taken_by, self.read_deadline())
    }

    /// Ends what has waited for too long.
    pub fn handle_timeout(&mut self, now_ms: u64) {
        if self.taking.is_some_and(|pace| pace.deadline() <= now_ms) {
            return self.handle_reset();
        }
        if self.read_deadline().is_none_or(|deadline| deadline > now_ms) {
            return;
        }
        match self.phase {
            Phase::Head(_) if self.begun_ms.is_none() => self.leave(now_ms),
            Phase::Lingering => self.phase = Phase::Over,
            _ => self.refuse(Fault::new(408, "the request did not come in time")),
        }
        self.settle(now_ms);
    }

    /// The server stops: no further request; the answer under way is the last. A request that is only partly here is
    /// refused.
    pub fn drain(&mut self, now_ms: u64) {
        self.is_kept = false;
        match self.phase {
            Phase::Head(_) if self.begun_ms.is_none() => self.leave(now_ms),
            Phase::Head(_) | Phase::Body(..) => {
                self.refuse(Fault::new(503, "nothing is served here any more"))
            }
            Phase::Sending => self.finish(now_ms),
            _ => {}
        }
        self.settle(now_ms);
    }

    /// What it holds for the client: bytes that wait to be understood, of a body, and to be written.
    pub fn held_bytes(&self) -> usize {
        let body = self.request.as_ref().map_or(0, |request| request.body.len());
        self.input.len() + body + self.waiting()
    }

    fn is_working(&self) -> bool {
        matches!(self.phase, Phase::Whole | Phase::Answering | Phase::Streaming(_))
    }

    fn read_deadline(&self) -> Option<u64> {
        match (&self.phase, self.begun_ms) {
            (Phase::Head(_), None) => Some(self.since_ms + HTTP_IDLE_MS),
            (Phase::Head(_), Some(begun_ms)) => Some(begun_ms + HTTP_HEAD_MS),
            (Phase::Body(_, pace), _) => Some(pace.deadline()),
            (Phase::Lingering, _) => Some(self.since_ms + HTTP_LINGER_MS),
            _ => None,
        }
    }

    /// Bytes that wait to be written.
    fn waiting(&self) -> usize {
        self.output.len() - self.written + self.body.len() - self.body_written
    }

    fn forget_output(&mut self) {
        self.output.clear();
        self.output.shrink_to(HTTP_OUTPUT_BYTES_HIGH);
        self.written = 0;
        self.body = Vec::new();
        self.body_written = 0;
    }

    /// Understands as much as it can: how many bytes are done with.
    fn take(&mut self, bytes: &[u8], now_ms: u64) -> usize {
        let mut used = 0;
        loop {
            let rest = &bytes[used..];
            let taken = match &mut self.phase {
                Phase::Head(scan) => match scan.find_end(rest) {
                    Ok(None) => {
                        // An empty line before a request is none of it.
                        let has_begun = rest.iter().any(|byte| !matches!(byte, b'\r' | b'\n'));
                        self.begun_ms = self.begun_ms.or(has_begun.then_some(now_ms));
                        return used;
                    }
                    Ok(Some(head_bytes)) => self
                        .begin_request(&rest[..head_bytes], now_ms)
                        .map(|()| head_bytes),
                    Err(fault) => Err(fault),
                },
                Phase::Body(coding, _) => {
                    let Some(request) = &mut self.request else {
                        return used;
                    };
                    match coding.take(rest, &mut request.body) {
                        Ok((taken, is_whole)) => {
                            used += taken;
                            if !is_whole {
                                return used;
                            }
                            self.phase = Phase::Whole;
                            self.whole_ms = now_ms;
                            continue;
                        }
                        Err(fault) => Err(fault),
                    }
                }
                _ => return used,
            };
            match taken {
                Ok(taken) => used += taken,
                Err(fault) => {
                    self.refuse(fault);
                    return used;
                }
            }
        }
    }

    /// Understands what waits in the buffer.
    fn take_kept(&mut self, now_ms: u64) {
        let mut input = std::mem::take(&mut self.input);
        let used = self.take(&input, now_ms);
        if used > 0 {
            input.drain(..used);
            input.shrink_to(HTTP_PIPELINE_BYTES_MAX);
        }
        self.input = input;
        if self.drops_input() && !self.input.is_empty() {
            self.must_linger = true;
            self.input = Vec::new();
        }
    }

    /// Keeps what is not understood yet.
    fn keep(&mut self, rest: &[u8]) {
        if self.drops_input() {
            self.must_linger |= !rest.is_empty();
        } else if self.input.len() + rest.len() <= HTTP_PIPELINE_BYTES_MAX + READ_BYTES {
            self.input.extend_from_slice(rest);
        } else {
            self.handle_reset();
        }
    }

    /// Whether nothing that comes will be understood any more.
    fn drops_input(&self) -> bool {
        match self.phase {
            Phase::Head(_) | Phase::Body(..) => false,
            Phase::Whole | Phase::Answering | Phase::Streaming(_) => !self.is_kept,
            Phase::Sending => false,
            Phase::Closing | Phase::Lingering | Phase::Over => true,
        }
    }

    fn begin_request(&mut self, bytes: &[u8], now_ms: u64) -> Result<(), Fault> {
        let head = read_head(bytes)?;
        self.begun_ms = None;
        self.is_head = head.request.method == Method::Head;
        self.is_old = head.request.is_old;
        self.is_kept = head.is_kept;
        let mut request = head.request;
        self.phase = match head.framing {
            Framing::Length(0) => Phase::Whole,
            Framing::Length(bytes) => {
                request.body.reserve_exact(bytes.min(HTTP_BODY_BYTES_MIN));
                Phase::Body(Coding::Length(bytes), Pace::new(now_ms))
            }
            Framing::Chunked => Phase::Body(Coding::Chunked(Chunked::new()), Pace::new(now_ms)),
        };
        self.whole_ms = now_ms;
        self.request = Some(request);
        if head.awaits_continue {
            self.output.extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
        }
        Ok(())
    }

    /// Appends an answer.
    fn write(&mut self, response: Response) {
        let mut response = response.checked();
        let extent = Extent::Bytes(response.body.len());
        response.write_head(extent, self.connection_option(), &mut self.output);
        if self.is_head || !response.has_body() {
            return;
        }
        // A large body is moved; none waits already, for then no request would have been taken.
        match response.body.len() <= HTTP_COPY_BYTES_MAX {
            true => self.output.extend_from_slice(&response.body),
            false => self.body = std::mem::take(&mut response.body),
        }
    }

    fn connection_option(&self) -> Option<&'static str> {
        match (self.is_kept, self.is_old) {
            (false, _) => Some("close"),
            (true, true) => Some("keep-alive"),
            (true, false) => None,
        }
    }

    /// Answers bytes that are no request; nothing after them is understood.
    fn refuse(&mut self, fault: Fault) {
        self.request = None;
        self.begun_ms = None;
        self.is_kept = false;
        self.must_linger = true;
        self.write(fault.response());
        self.phase = Phase::Closing;
    }

    /// The answer under way is complete.
    fn finish(&mut self, now_ms: u64) {
        if !self.is_kept || self.is_gone {
            return self.close(now_ms);
        }
        self.phase = Phase::Sending;
        self.settle(now_ms);
    }

    /// Ends between requests, where only an empty line may have come.
    fn leave(&mut self, now_ms: u64) {
        self.input = Vec::new();
        self.close(now_ms);
    }

    /// Nothing more is answered.
    fn close(&mut self, now_ms: u64) {
        self.must_linger |= !self.input.is_empty();
        self.input = Vec::new();
        self.phase = Phase::Closing;
        self.settle(now_ms);
    }

    /// Goes on as far as it goes without anything more from outside.
    fn settle(&mut self, now_ms: u64) {
        loop {
            let waiting = self.waiting();
            match (&self.phase, waiting) {
                (Phase::Sending, _) if self.body.is_empty() && waiting < HTTP_OUTPUT_BYTES_HIGH => {
                    self.phase = Phase::Head(Scan::default());
                    self.is_head = false;
                    self.since_ms = now_ms;
                    self.take_kept(now_ms);
                }
                (Phase::Head(_), _) if self.has_ended && self.begun_ms.is_none() => {
                    self.input = Vec::new();
                    self.phase = Phase::Closing;
                }
                (Phase::Head(_), _) if self.has_ended => {
                    self.refuse(Fault::bad("the request ends within its head"));
                }
                (Phase::Body(..), _) if self.has_ended => {
                    self.refuse(Fault::bad("the request ends within its body"));
                }
                (Phase::Closing, 0) if self.must_linger && !self.has_ended => {
                    self.phase = Phase::Lingering;
                    self.since_ms = now_ms;
                }
                (Phase::Closing, 0) => self.phase = Phase::Over,
                (Phase::Lingering, _) if self.has_ended => self.phase = Phase::Over,
                _ => break,
            }
        }
        self.taking = match self.waiting() {
            0 => None,
            _ => self.taking.or(Some(Pace::new(now_ms))),
        };
    }
}

impl Coding {
    /// Goes on in `bytes`: how many of them belong to the body, and whether it is whole with them.
    fn take(&mut self, bytes: &[u8], body: &mut Vec<u8>) -> Result<(usize, bool), Fault> {
        match self {
            Coding::Length(missing) => {
                let taken = bytes.len().min(*missing);
                body.extend_from_slice(&bytes[..taken]);
                *missing -= taken;
                Ok((taken, *missing == 0))
            }
            Coding::Chunked(chunked) => chunked.take(bytes, body),
        }
    }
}
