//! Results that go out in parts: lists as lines of JSON, and events (`text/event-stream`). Holds no connection.

use crate::codec::elements::Cursor;
use crate::codec::error_map::write_error_json;
use crate::codec::json_text::JsonText;
use crate::codec::number::float_text;
use crate::codec::schema::{Type, Types};
use crate::error::{Error, Result};
use crate::ids::TypeId;
use crate::serve::api::result::{canonical, json};

/// A list on its way out, one line of JSON for each element.
pub struct Lines {
    /// In canonical form.
    list: Vec<u8>,
    element: TypeId,
    cursor: Cursor,
    /// One element of a packed list.
    unpacked: Vec<u8>,
}

impl Lines {
    /// Of a result of that type. What is no list is one line.
    ///
    /// # Errors
    /// Kind `protocol`: it doesn't fit its type.
    pub fn new(types: &Types, ty: TypeId, msgpack: &[u8]) -> Result<Lines> {
        let mut list = Vec::with_capacity(msgpack.len());
        let element = match types.node(types.inner(ty)) {
            Type::List { element, .. } => element,
            _ => {
                // An array of one.
                list.push(0x91);
                ty
            }
        };
        canonical(types, ty, msgpack, &mut list)?;
        let cursor = Cursor::new(&list)?;
        Ok(Lines {
            list,
            element,
            cursor,
            unpacked: Vec::new(),
        })
    }

    /// Appends lines until there are `bytes` or the list is at its end; whether more follow. The last line may go beyond by
    /// what one element takes.
    ///
    /// # Errors
    /// Kind `protocol`: the list is not what was checked.
    pub fn next_chunk(&mut self, types: &Types, bytes: usize, out: &mut Vec<u8>) -> Result<bool> {
        let end = out.len().saturating_add(bytes);
        while out.len() < end {
            let Some(element) = self.cursor.next(&self.list, &mut self.unpacked)? else {
                return Ok(false);
            };
            json(types, self.element, element, out)?;
            out.push(b'\n');
        }
        Ok(true)
    }
}

/// What a stream of events tells.
#[derive(Clone, Copy, Debug)]
pub enum Event<'e> {
    /// How far a call is: `{"done":..,"total":..,"label":..}`.
    Progress {
        /// Steps that are done.
        done: f64,
        /// Steps in all; none: it is not known.
        total: Option<f64>,
        /// What is being done.
        label: &'e str,
    },
    /// A log line: `{"level":..,"text":..}`.
    Log {
        /// How grave it is.
        level: &'e str,
        /// The line.
        text: &'e str,
    },
    /// The result, as JSON on one line; the stream ends with it.
    Result(&'e [u8]),
    /// The error, as in the body of an answer; the stream ends with it.
    Error(&'e Error),
    /// Nothing: it keeps proxies from taking the connection for dead.
    Alive,
}

/// Appends an event as it stands in a stream.
pub fn event(event: &Event, out: &mut Vec<u8>) {
    let name: &[u8] = match event {
        Event::Progress { .. } => b"progress",
        Event::Log { .. } => b"log",
        Event::Result(_) => b"result",
        Event::Error(_) => b"error",
        Event::Alive => return out.extend_from_slice(b":\n\n"),
    };
    out.extend_from_slice(b"event: ");
    out.extend_from_slice(name);
    // JSON text has no ends of lines in it, which would need a head of their own.
    out.extend_from_slice(b"\ndata: ");
    let mut text = JsonText::new(out);
    match event {
        Event::Progress { done, total, label } => {
            text.begin(b'{');
            for (key, steps) in [("done", Some(*done)), ("total", *total)] {
                text.key(key);
                match steps.filter(|steps| steps.is_finite()) {
                    Some(steps) => text.number(float_text(steps)),
                    None => text.null(),
                };
            }
            text.key("label").string(label).end(b'}');
        }
        Event::Log { level, text: line } => {
            text.begin(b'{').key("level").string(level);
            text.key("text").string(line).end(b'}');
        }
        Event::Result(json) => drop(text.raw(json)),
        Event::Error(error) => {
            text.begin(b'{').key("error");
            write_error_json(&mut text, error);
            text.end(b'}');
        }
        Event::Alive => {}
    }
    out.extend_from_slice(b"\n\n");
}
