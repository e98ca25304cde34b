//! What happened in a run: a record for each packet that a node received. Keeps no more than a bound of what the packets were.

use super::frame::Frame;
use crate::error::Error;
use crate::flow::engine::RunId;
use crate::flow::kinds::node::Outcome;
use crate::flow::spec::Port;
use crate::flow::value::{Value, json};
use crate::limits::{FLOW_TRACE_BYTES_MAX, FLOW_TRACE_RECORDS_MAX, FLOW_TRACE_VALUE_BYTES_MAX};
use std::rc::Rc;

/// A packet that a node received.
#[derive(Clone, Debug)]
pub struct Record {
    /// The record of the frame that sent it, by its place.
    pub parent: Option<u32>,
    /// The node.
    pub node: Rc<str>,
    /// Where it received it.
    pub port: Port,
    /// The port that it was sent through.
    pub via: Port,
    /// What it received.
    pub input: Shown,
    /// What it answered; none if it has not.
    pub answer: Option<std::result::Result<Shown, Rc<Error>>>,
    /// When it received it, in milliseconds of the engine's clock.
    pub began_ms: u64,
    /// When it answered.
    pub ended_ms: u64,
}

/// A value as a trace has it.
#[derive(Clone, Debug)]
pub enum Shown {
    /// Itself, where it is small, or somebody needs it.
    Whole(Value),
    /// It was too large: what it is, in words.
    Left(&'static str),
}

impl Shown {
    /// Whether it is this one, not a copy of it.
    fn is(&self, value: &Value) -> bool {
        match (self, value) {
            (Shown::Whole(Value::Map(kept)), Value::Map(value)) => Rc::ptr_eq(kept, value),
            (Shown::Whole(Value::List(kept)), Value::List(value)) => Rc::ptr_eq(kept, value),
            _ => false,
        }
    }

    /// JSON, or what it is in angle brackets.
    pub fn text(&self) -> String {
        match self {
            Shown::Whole(value) => json::text(value),
            Shown::Left(name) => format!("<{name}, too large to keep>"),
        }
    }
}

/// What happened in a run.
#[derive(Clone, Debug)]
pub struct Trace {
    /// The run.
    pub run: RunId,
    /// The run that it belongs to.
    pub parent: Option<RunId>,
    /// Its namespace.
    pub namespace: Rc<str>,
    /// The node that it began at.
    pub node: Rc<str>,
    /// When it began, in milliseconds of the engine's clock.
    pub began_ms: u64,
    /// When it ended, and why it failed if it did; none while it goes on.
    pub ended: Option<(u64, Option<Rc<Error>>)>,
    /// In the order in which packets were received.
    pub records: Vec<Record>,
    /// Records that found no room.
    pub left_out: u64,
    /// Whether values are kept whole while the run goes on.
    pub(crate) is_whole: bool,
    bytes: usize,
    /// The record that was answered last.
    answered: Option<u32>,
}

impl Trace {
    pub(crate) fn new(
        run: RunId,
        parent: Option<RunId>,
        namespace: Rc<str>,
        node: Rc<str>,
        now_ms: u64,
    ) -> Trace {
        Trace {
            run,
            parent,
            namespace,
            node,
            began_ms: now_ms,
            ended: None,
            records: Vec::new(),
            left_out: 0,
            is_whole: false,
            bytes: 0,
            answered: None,
        }
    }

    fn keep(&mut self, value: &Value) -> Shown {
        if self.is_whole {
            return Shown::Whole(value.clone());
        }
        let most = FLOW_TRACE_VALUE_BYTES_MAX.min(FLOW_TRACE_BYTES_MAX - self.bytes);
        let mut left = most;
        if take_weight(value, &mut left).is_none() {
            return Shown::Left(value.name());
        }
        self.bytes += most - left;
        Shown::Whole(value.clone())
    }

    /// A frame receives a packet.
    pub(super) fn begin(
        &mut self,
        frame: &Frame,
        parent: Option<u32>,
        input: &Value,
        now_ms: u64,
    ) -> Option<u32> {
        if self.records.len() >= FLOW_TRACE_RECORDS_MAX {
            self.left_out += 1;
            return None;
        }
        let from = parent.and_then(|parent| self.records.get(parent as usize));
        // What a node only sends on takes no more memory.
        let input = match from.is_some_and(|from| from.input.is(input)) {
            true => Shown::Whole(input.clone()),
            false => self.keep(input),
        };
        self.records.push(Record {
            parent,
            node: frame.symbol.name.clone(),
            port: frame.port.clone(),
            via: frame.via.clone(),
            input,
            answer: None,
            began_ms: now_ms,
            ended_ms: now_ms,
        });
        Some(self.records.len() as u32 - 1)
    }

    pub(crate) fn end(&mut self, record: Option<u32>, outcome: &Outcome, now_ms: u64) {
        let Some(place) = record else { return };
        let answered = self.answered.replace(place);
        let answered = answered.and_then(|place| self.records.get(place as usize)?.answer.as_ref());
        let answer = match (outcome, answered) {
            (Ok(value), Some(Ok(kept))) if kept.is(value) => Ok(Shown::Whole(value.clone())),
            (Ok(value), _) => Ok(self.keep(value)),
            (Err(error), _) => Err(error.clone()),
        };
        if let Some(record) = self.records.get_mut(place as usize) {
            record.answer = Some(answer);
            record.ended_ms = now_ms;
        }
    }

    /// The run is over: what was kept whole for it is let go.
    pub(crate) fn close(&mut self, error: Option<Rc<Error>>, now_ms: u64) {
        self.ended = Some((now_ms, error));
        if !std::mem::take(&mut self.is_whole) {
            return;
        }
        let mut records = std::mem::take(&mut self.records);
        for record in &mut records {
            if let Shown::Whole(value) = &record.input {
                record.input = self.keep(&value.clone());
            }
            if let Some(Ok(Shown::Whole(value))) = &record.answer {
                record.answer = Some(Ok(self.keep(&value.clone())));
            }
        }
        self.records = records;
    }

    /// The first record after one that a node received or sent through a port, and what that was.
    pub fn find(&self, after: i64, node: &str, port: &Port) -> Option<(i64, Value)> {
        let first = usize::try_from(after.saturating_add(1)).unwrap_or(0);
        let records = self.records.iter().enumerate().skip(first);
        for (place, record) in records {
            let parent = record.parent.and_then(|parent| self.records.get(parent as usize));
            let is_received = &*record.node == node && record.port == *port;
            let is_sent = parent.is_some_and(|parent| &*parent.node == node) && record.via == *port;
            let shown = match &record.answer {
                _ if is_received || is_sent => Some(&record.input),
                // What leads nowhere is the answer.
                Some(Ok(answer)) if &*record.node == node && *port == Port::OUT && !self.sends(place) => {
                    Some(answer)
                }
                _ => None,
            };
            if let Some(Shown::Whole(value)) = shown {
                return Some((place as i64, value.clone()));
            }
        }
        None
    }

    /// Whether a frame has sent something through `out`.
    fn sends(&self, place: usize) -> bool {
        let below = self.records.iter().skip(place);
        let mut below = below.filter(|its| its.parent == Some(place as u32));
        below.any(|its| its.via == Port::OUT)
    }
}

/// Takes what a value has in memory, in bytes, from what is left; none if that is not enough. What contains others costs before
/// it is looked into, so that it is never deeper than the bound has room for.
fn take_weight(value: &Value, left: &mut usize) -> Option<()> {
    const EACH: usize = size_of::<Value>();
    let (own, within) = match value {
        Value::Str(text) => (text.len(), 0),
        Value::Bytes(bytes) => (bytes.len(), 0),
        Value::Error(error) => (error.message.len(), 0),
        Value::List(elements) => (0, elements.len()),
        Value::Map(entries) => (0, 2 * entries.len()),
        _ => (0, 0),
    };
    *left = left.checked_sub(EACH + own)?;
    if within * EACH > *left {
        return None;
    }
    match value {
        Value::List(elements) => {
            for element in elements.iter() {
                take_weight(element, left)?;
            }
        }
        Value::Map(entries) => {
            for (key, value) in entries.iter() {
                match key {
                    Value::Str(key) => *left = left.checked_sub(EACH + key.len())?,
                    key => take_weight(key, left)?,
                }
                take_weight(value, left)?;
            }
        }
        _ => {}
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights() {
        let read = |text: &str| json::read(text.as_bytes()).unwrap();
        let each = size_of::<Value>();
        let check = |text: &str, most: usize, expected: Option<usize>| {
            let mut left = most;
            let found = take_weight(&read(text), &mut left).map(|()| most - left);
            assert_eq!(found, expected, "{text}");
        };
        check("1", 100, Some(each));
        check("\"abc\"", 100, Some(each + 3));
        check("[1,[2]]", 1000, Some(4 * each));
        check("{\"a\":\"b\"}", 1000, Some(3 * each + 2));
        check("[1,2,3]", 4 * each, Some(4 * each));
        check("[1,2,3]", 4 * each - 1, None);
        check("\"0123456789\"", each + 9, None);
    }
}
