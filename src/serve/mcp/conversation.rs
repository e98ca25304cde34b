//! What one client and nexus say to each other: each message that comes is answered once, or is a call that will be, or
//! wants no answer. Holds no program and decodes no result; reads no clock.

use super::content::{write_error, write_result};
use super::message::{Code, Id, Message, Revision, answer, member_texts, notification, refusal, string};
use super::tools::Offer;
use crate::codec::json::{Reader, Shape, write_string};
use crate::codec::number::write_f8;
use crate::error::Result;
use crate::limits::{
    MCP_BATCH_MAX, MCP_CALLS_MAX, MCP_ID_BYTES_MAX, MCP_MESSAGE_BYTES_MAX, MCP_NOTE_BYTES_MAX, MCP_NOTES_MAX,
};
use crate::manifest::model::Manifest;
use crate::manifest::names::full_name;
use crate::serve::api::from_json;
use std::collections::VecDeque;

/// What is to be done because of what came. An exchange is all that follows from one message or batch: it ends with one
/// reply, or in silence.
#[derive(Debug, PartialEq, Eq)]
pub enum Output {
    /// The last word of an exchange.
    Reply {
        /// Which one.
        exchange: u64,
        /// JSON on one line.
        message: Vec<u8>,
    },
    /// An exchange has ended that has no reply.
    Silence {
        /// Which one.
        exchange: u64,
    },
    /// Something that happens while a call runs.
    Note {
        /// That of the call.
        exchange: u64,
        /// JSON on one line.
        message: Vec<u8>,
    },
    /// A command is to be run.
    Call {
        /// By which [`Conversation::handle_answer`] is told of its result.
        call: u64,
        /// The exchange that it belongs to.
        exchange: u64,
        /// Its program, by the position in the offer.
        program: usize,
        /// The command, by its position in the manifest.
        command: usize,
        /// One per parameter, as msgpack.
        args: Vec<Vec<u8>>,
    },
    /// Nobody wants the result of a call any more; [`Conversation::handle_answer`] need not be told.
    Cancel {
        /// Which one.
        call: u64,
    },
}

/// The words for how much a log line matters, in rising order.
const LEVELS: [&str; 8] = [
    "debug",
    "info",
    "notice",
    "warning",
    "error",
    "critical",
    "alert",
    "emergency",
];

/// The level from which on lines are sent unless the client chooses.
const LEVEL_DEFAULT: usize = 1;

/// A call that runs.
struct Open {
    call: u64,
    exchange: u64,
    id: Id,
    /// The command, by its position in the manifest.
    command: usize,
    /// Under which the client wants to hear of progress.
    token: Option<Box<[u8]>>,
    /// How far it was told to be: the protocol wants it to grow.
    done: f64,
}

/// Several messages that came as one, and are answered as one.
struct Batch {
    exchange: u64,
    /// Calls that run.
    open_count: usize,
    /// Answers with commas between.
    answers: Vec<u8>,
}

/// The state of one client's conversation.
#[derive(Default)]
pub struct Conversation {
    /// What was agreed on, once it was.
    revision: Option<Revision>,
    level: Option<usize>,
    /// Few enough to look through.
    open: Vec<Open>,
    /// Those whose calls run.
    batches: Vec<Batch>,
    outputs: VecDeque<Output>,
    note_count: usize,
    next_exchange: u64,
    next_call: u64,
}

/// Why a request gets an error of the protocol.
type Refused = (Code, String);

impl Conversation {
    /// A message or a batch of them came. The number of the exchange that it begins.
    pub fn handle_message(&mut self, text: &[u8], offer: Offer) -> u64 {
        let exchange = self.next_exchange;
        self.next_exchange += 1;
        if text.len() > MCP_MESSAGE_BYTES_MAX {
            let message = format!(
                "the message has {} bytes, expected at most {MCP_MESSAGE_BYTES_MAX}",
                text.len()
            );
            self.finish(exchange, Some(refusal(None, Code::InvalidRequest, &message)));
            return exchange;
        }
        let mut reader = Reader::new(text);
        let checked = reader.skip().and_then(|whole| reader.finish().map(|()| whole));
        let whole = match checked {
            Ok(whole) => whole,
            Err(error) => {
                let message = format!("{} at byte {}", error.message, error.offset);
                self.finish(exchange, Some(refusal(None, Code::Parse, &message)));
                return exchange;
            }
        };
        match whole.first() {
            Some(b'[') => self.handle_batch(exchange, whole, offer),
            _ => {
                let before = self.next_call;
                let reply = self.handle(exchange, whole, offer);
                if reply.is_some() || self.next_call == before {
                    self.finish(exchange, reply);
                }
            }
        }
        exchange
    }

    /// A call has ended. `manifest` is that of its program when it began. What belongs to no open call is ignored.
    pub fn handle_answer(&mut self, call: u64, manifest: &Manifest, result: Result<Vec<u8>>) {
        let (Some(open), Some(revision)) = (self.take_open(call), self.revision) else {
            return;
        };
        let mut out = Vec::new();
        let written = result.and_then(|bytes| match manifest.commands.get(open.command) {
            Some(command) => write_result(revision, manifest, command, &bytes, &mut out),
            None => Ok(()),
        });
        if let Err(mut error) = written {
            if let Some(command) = manifest.commands.get(open.command) {
                error.command.get_or_insert_with(|| full_name(command));
            }
            out.clear();
            write_error(&error, &mut out);
        }
        self.finish_call(open.exchange, Some(answer(&open.id, &out)));
    }

    /// A call tells how far it is. `total` is that which `done` grows to, if it is known: above 0.
    pub fn handle_progress(&mut self, call: u64, done: f64, total: f64, label: &str) {
        let Some(open) = self.open.iter_mut().find(|open| open.call == call) else {
            return;
        };
        let (Some(token), true) = (&open.token, done.is_finite() && done > open.done) else {
            return;
        };
        open.done = done;
        let mut params = b"{\"progressToken\":".to_vec();
        params.extend_from_slice(token);
        params.extend_from_slice(b",\"progress\":");
        write_f8(done, &mut params);
        if total.is_finite() && total > 0.0 {
            params.extend_from_slice(b",\"total\":");
            write_f8(total, &mut params);
        }
        if !label.is_empty() && self.revision >= Some(Revision::V2025_03_26) {
            params.extend_from_slice(b",\"message\":");
            write_string(clipped(label, MCP_NOTE_BYTES_MAX), &mut params);
        }
        params.push(b'}');
        let exchange = open.exchange;
        self.note(exchange, notification("notifications/progress", &params));
    }

    /// A function of a call has logged a line.
    pub fn handle_log(&mut self, call: u64, pool: &str, level: &str, text: &str) {
        let Some(open) = self.open.iter().find(|open| open.call == call) else {
            return;
        };
        let level = match level {
            "warn" => "warning",
            "fatal" => "critical",
            _ => level,
        };
        let level = LEVELS
            .iter()
            .position(|known| *known == level)
            .unwrap_or(LEVEL_DEFAULT);
        if level < self.level.unwrap_or(LEVEL_DEFAULT) {
            return;
        }
        let mut params = format!("{{\"level\":\"{}\",\"logger\":", LEVELS[level]).into_bytes();
        write_string(pool, &mut params);
        params.extend_from_slice(b",\"data\":");
        write_string(clipped(text, MCP_NOTE_BYTES_MAX), &mut params);
        params.push(b'}');
        let exchange = open.exchange;
        self.note(exchange, notification("notifications/message", &params));
    }

    /// The client is gone: its calls are given up, and what waited to be sent is dropped.
    pub fn handle_end(&mut self) {
        self.batches.clear();
        self.outputs
            .retain(|output| matches!(output, Output::Cancel { .. }));
        self.note_count = 0;
        let calls = std::mem::take(&mut self.open);
        let cancel = |open: Open| Output::Cancel { call: open.call };
        self.outputs.extend(calls.into_iter().map(cancel));
    }

    /// What is to be done next.
    pub fn poll_output(&mut self) -> Option<Output> {
        let output = self.outputs.pop_front()?;
        self.note_count -= usize::from(matches!(output, Output::Note { .. }));
        Some(output)
    }

    /// Begins to count calls there.
    pub fn numbered_from(call: u64) -> Conversation {
        Conversation {
            next_call: call,
            ..Conversation::default()
        }
    }

    /// What was agreed on, once it was.
    pub fn revision(&self) -> Option<Revision> {
        self.revision
    }

    /// Calls that run.
    pub fn open_count(&self) -> usize {
        self.open.len()
    }

    fn take_open(&mut self, call: u64) -> Option<Open> {
        let position = self.open.iter().position(|open| open.call == call)?;
        Some(self.open.swap_remove(position))
    }

    fn batch(&mut self, exchange: u64) -> Option<usize> {
        self.batches.iter().position(|batch| batch.exchange == exchange)
    }

    /// The last word of an exchange.
    fn finish(&mut self, exchange: u64, reply: Option<Vec<u8>>) {
        self.outputs.push_back(match reply {
            Some(message) => Output::Reply { exchange, message },
            None => Output::Silence { exchange },
        });
    }

    /// A call has ended, with an answer or given up.
    fn finish_call(&mut self, exchange: u64, reply: Option<Vec<u8>>) {
        let Some(position) = self.batch(exchange) else {
            return self.finish(exchange, reply);
        };
        let batch = &mut self.batches[position];
        batch.open_count -= 1;
        batch.add(reply);
        if batch.open_count == 0 {
            let batch = self.batches.swap_remove(position);
            self.finish(exchange, batch.into_reply());
        }
    }

    fn note(&mut self, exchange: u64, message: Vec<u8>) {
        if self.note_count < MCP_NOTES_MAX {
            self.note_count += 1;
            self.outputs.push_back(Output::Note { exchange, message });
        }
    }

    /// Only one revision has batches, and nothing is agreed on in one.
    fn handle_batch(&mut self, exchange: u64, text: &[u8], offer: Offer) {
        let mut reader = Reader::new(text);
        let mut texts = Vec::new();
        let listed = reader.begin_array().and_then(|()| {
            while reader.next_element()? {
                texts.push(reader.skip()?);
                if texts.len() > MCP_BATCH_MAX {
                    break;
                }
            }
            Ok(())
        });
        let wrong = match (self.revision, texts.len()) {
            _ if listed.is_err() => Some("the batch can't be read".to_string()),
            (Some(Revision::V2025_03_26), 0) => Some("the batch is empty".into()),
            (Some(Revision::V2025_03_26), 1..=MCP_BATCH_MAX) => None,
            (Some(Revision::V2025_03_26), _) => Some(format!(
                "the batch has more than {MCP_BATCH_MAX} messages, expected at most so many"
            )),
            (Some(revision), _) => Some(format!(
                "revision {} has no batches, expected one message",
                revision.name()
            )),
            (None, _) => Some("found a batch, expected initialize alone as the first message".into()),
        };
        if let Some(message) = wrong {
            return self.finish(exchange, Some(refusal(None, Code::InvalidRequest, &message)));
        }
        // It counts as a call itself until all of it is read: a message of it may give up a call of the same.
        self.batches.push(Batch {
            exchange,
            open_count: 1,
            answers: Vec::new(),
        });
        for text in texts {
            let before = self.next_call;
            let reply = self.handle(exchange, text, offer);
            let has_begun = self.next_call > before;
            if let Some(position) = self.batch(exchange) {
                self.batches[position].open_count += usize::from(has_begun);
                self.batches[position].add(reply);
            }
        }
        self.finish_call(exchange, None);
    }

    /// One message: its reply, if there is one at once.
    fn handle(&mut self, exchange: u64, text: &[u8], offer: Offer) -> Option<Vec<u8>> {
        match Message::of(text) {
            Message::Request { id, method, params } => {
                if self.open.iter().any(|open| open.id.is_same(&id)) {
                    let message = "a request of the same id is under way";
                    return Some(refusal(Some(&id), Code::InvalidRequest, message));
                }
                let mut out = Vec::new();
                match self.handle_request(exchange, &id, &method, params, offer, &mut out) {
                    Ok(Some(())) => Some(answer(&id, &out)),
                    Ok(None) => None,
                    Err((code, message)) => Some(refusal(Some(&id), code, &message)),
                }
            }
            Message::Notification { method, params } => {
                if method == "notifications/cancelled" {
                    self.handle_cancelled(params);
                }
                None
            }
            Message::Response => None,
            Message::Invalid { id, message } => Some(refusal(id.as_ref(), Code::InvalidRequest, &message)),
        }
    }

    /// Writes the result of a request, or begins a call and gives nothing.
    fn handle_request(
        &mut self,
        exchange: u64,
        id: &Id,
        method: &str,
        params: Option<&[u8]>,
        offer: Offer,
        out: &mut Vec<u8>,
    ) -> std::result::Result<Option<()>, Refused> {
        let params = params.unwrap_or(b"{}");
        if !matches!(Reader::new(params).peek(), Ok(Shape::Object)) {
            return Err((Code::InvalidParams, "params is no object, expected one".into()));
        }
        let handler = match method {
            "initialize" => Conversation::initialize,
            "ping" => ping,
            "tools/list" => Conversation::list_tools,
            "logging/setLevel" => Conversation::set_level,
            "tools/call" => {
                self.revision.ok_or_else(not_initialized)?;
                return self.call_tool(exchange, id, params, offer, out);
            }
            _ => {
                return Err((
                    Code::MethodNotFound,
                    format!("there is no method \"{}\"", clipped(method, MCP_ID_BYTES_MAX)),
                ));
            }
        };
        handler(self, params, offer, out).map(Some)
    }

    fn initialize(
        &mut self,
        params: &[u8],
        offer: Offer,
        out: &mut Vec<u8>,
    ) -> std::result::Result<(), Refused> {
        if self.revision.is_some() {
            return Err((
                Code::InvalidRequest,
                "the conversation is initialized already".into(),
            ));
        }
        let wanted = string_param(params, "protocolVersion")?
            .ok_or_else(|| invalid("params has no protocolVersion, expected a date as \"2025-06-18\""))?;
        let revision = Revision::of(&wanted).unwrap_or(Revision::LATEST);
        self.revision = Some(revision);
        out.extend_from_slice(b"{\"protocolVersion\":");
        write_string(revision.name(), out);
        out.extend_from_slice(b",\"capabilities\":{\"tools\":{},\"logging\":{}},\"serverInfo\":{\"name\":");
        let (name, desc) = match offer.programs {
            [program] => (program.name, program.manifest.desc.join("\n")),
            _ => ("nexus", String::new()),
        };
        write_string(name, out);
        out.extend_from_slice(b",\"version\":");
        write_string(env!("CARGO_PKG_VERSION"), out);
        out.push(b'}');
        if !desc.is_empty() {
            out.extend_from_slice(b",\"instructions\":");
            write_string(&desc, out);
        }
        out.push(b'}');
        Ok(())
    }

    fn list_tools(
        &mut self,
        params: &[u8],
        offer: Offer,
        out: &mut Vec<u8>,
    ) -> std::result::Result<(), Refused> {
        let revision = self.revision.ok_or_else(not_initialized)?;
        let cursor = string_param(params, "cursor")?;
        match offer.write_page(revision, cursor.as_deref(), out) {
            true => Ok(()),
            false => Err(invalid("the cursor is none of this list")),
        }
    }

    fn set_level(&mut self, params: &[u8], _: Offer, out: &mut Vec<u8>) -> std::result::Result<(), Refused> {
        self.revision.ok_or_else(not_initialized)?;
        let word = string_param(params, "level")?;
        let level = word.and_then(|word| LEVELS.iter().position(|known| *known == word));
        let expected = || {
            invalid(&format!(
                "the level is unknown, expected one of {}",
                LEVELS.join(", ")
            ))
        };
        self.level = Some(level.ok_or_else(expected)?);
        out.extend_from_slice(b"{}");
        Ok(())
    }

    /// Begins the call; arguments that are wrong are the tool's answer, so that the assistant can correct them.
    fn call_tool(
        &mut self,
        exchange: u64,
        id: &Id,
        params: &[u8],
        offer: Offer,
        out: &mut Vec<u8>,
    ) -> std::result::Result<Option<()>, Refused> {
        let mut found = [None; 3];
        member_texts(params, &["name", "arguments", "_meta"], &mut found)
            .map_err(|error| invalid(&error.message))?;
        let [name, arguments, meta] = found;
        let name = name
            .and_then(string)
            .ok_or_else(|| invalid("params has no name of a tool, expected a string"))?;
        let tool = offer.tools.find(&name).map_err(|near| {
            let hint = near
                .map(|near| format!("; did you mean {near}?"))
                .unwrap_or_default();
            invalid(&format!(
                "there is no tool \"{}\"{hint}",
                clipped(&name, MCP_ID_BYTES_MAX)
            ))
        })?;
        let arguments = arguments.unwrap_or(b"{}");
        if !matches!(Reader::new(arguments).peek(), Ok(Shape::Object)) {
            return Err(invalid("arguments is no object, expected one"));
        }
        let token = progress_token(meta)?;
        if self.open.len() >= MCP_CALLS_MAX {
            let message = format!(
                "{MCP_CALLS_MAX} calls are under way, expected fewer; try again when some have ended"
            );
            return Err((Code::Overloaded, message));
        }
        let manifest = offer.programs[tool.program].manifest;
        let args = match from_json(manifest, &manifest.commands[tool.command], arguments) {
            Ok(args) => args,
            Err(error) => {
                write_error(&error, out);
                return Ok(Some(()));
            }
        };
        let call = self.next_call;
        self.next_call += 1;
        self.open.push(Open {
            call,
            exchange,
            id: id.clone(),
            command: tool.command,
            token,
            done: f64::NEG_INFINITY,
        });
        self.outputs.push_back(Output::Call {
            call,
            exchange,
            program: tool.program,
            command: tool.command,
            args,
        });
        Ok(None)
    }

    /// The client gives a request up, if it is still under way: it gets no answer.
    fn handle_cancelled(&mut self, params: Option<&[u8]>) {
        let mut found = [None];
        let read = member_texts(params.unwrap_or(b"{}"), &["requestId"], &mut found);
        let Some(id) = found[0].filter(|_| read.is_ok()).and_then(Id::read) else {
            return;
        };
        if let Some(position) = self.open.iter().position(|open| open.id.is_same(&id)) {
            let Open { call, exchange, .. } = self.open.swap_remove(position);
            self.outputs.push_back(Output::Cancel { call });
            self.finish_call(exchange, None);
        }
    }
}

impl Batch {
    fn add(&mut self, answer: Option<Vec<u8>>) {
        if let Some(answer) = answer {
            if !self.answers.is_empty() {
                self.answers.push(b',');
            }
            self.answers.extend_from_slice(&answer);
        }
    }

    fn into_reply(self) -> Option<Vec<u8>> {
        match self.answers.is_empty() {
            true => None,
            false => Some([b"[", &self.answers[..], b"]"].concat()),
        }
    }
}

fn ping(_: &mut Conversation, _: &[u8], _: Offer, out: &mut Vec<u8>) -> std::result::Result<(), Refused> {
    out.extend_from_slice(b"{}");
    Ok(())
}

fn invalid(message: &str) -> Refused {
    (Code::InvalidParams, message.into())
}

fn not_initialized() -> Refused {
    (
        Code::InvalidRequest,
        "the conversation is not initialized, expected initialize first".into(),
    )
}

/// A parameter that is a string, if it is there.
fn string_param(params: &[u8], key: &str) -> std::result::Result<Option<String>, Refused> {
    let mut found = [None];
    member_texts(params, &[key], &mut found).map_err(|error| invalid(&error.message))?;
    match found[0] {
        None => Ok(None),
        Some(text) => match string(text) {
            Some(text) => Ok(Some(text.into_owned())),
            None => Err(invalid(&format!("{key} is no string, expected one"))),
        },
    }
}

/// What a client wants to see in notifications about the progress of its request: a string or a number.
fn progress_token(meta: Option<&[u8]>) -> std::result::Result<Option<Box<[u8]>>, Refused> {
    let mut found = [None];
    if let Some(meta) = meta {
        member_texts(meta, &["progressToken"], &mut found).map_err(|error| invalid(&error.message))?;
    }
    match found[0].map(Id::read) {
        None => Ok(None),
        Some(Some(token)) => Ok(Some(token.text().into())),
        Some(None) => Err(invalid(
            "progressToken is neither a string nor a number, or too long",
        )),
    }
}

/// As much of a text as fits in so many bytes.
fn clipped(text: &str, bytes_max: usize) -> &str {
    let mut end = text.len().min(bytes_max);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}
