//! What happened in a run: a record for each packet that a node received. Keeps no more than a bound of what the packets were.

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
        }
    }

    fn keep(&mut self, value: &Value) -> Shown {
        if self.is_whole {
            return Shown::Whole(value.clone());
        }
        let most = FLOW_TRACE_VALUE_BYTES_MAX.min(FLOW_TRACE_BYTES_MAX - self.bytes);
        match weight(value, most) {
            Some(bytes) => {
                self.bytes += bytes;
                Shown::Whole(value.clone())
            }
            None => Shown::Left(value.name()),
        }
    }

    pub(crate) fn begin(&mut self, record: Record, input: &Value) -> Option<u32> {
        if self.records.len() >= FLOW_TRACE_RECORDS_MAX {
            self.left_out += 1;
            return None;
        }
        let input = match self.sent_on(&record, input) {
            true => Shown::Whole(input.clone()),
            false => self.keep(input),
        };
        self.records.push(Record { input, ..record });
        Some(self.records.len() as u32 - 1)
    }

    /// Whether a packet is what the sender itself received, and kept: it takes no more memory.
    fn sent_on(&self, record: &Record, input: &Value) -> bool {
        let parent = record.parent.and_then(|parent| self.records.get(parent as usize));
        match (parent.map(|parent| &parent.input), input) {
            (Some(Shown::Whole(Value::Map(kept))), Value::Map(input)) => Rc::ptr_eq(kept, input),
            _ => false,
        }
    }

    pub(crate) fn end(&mut self, record: Option<u32>, outcome: &Outcome, now_ms: u64) {
        let Some(place) = record else { return };
        let answer = match outcome {
            Ok(value) => Ok(self.keep(value)),
            Err(error) => Err(error.clone()),
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

/// What a value takes in memory, in bytes, if that isn't more than this.
fn weight(value: &Value, most: usize) -> Option<usize> {
    const EACH: usize = size_of::<Value>();
    // Not more than can be within the bound, whatever contains whatever: each is counted before it is looked into.
    let mut stack = Vec::new();
    let mut total = EACH + own_bytes(value, &mut stack);
    while total <= most
        && let Some(value) = stack.pop()
    {
        match value {
            Value::List(elements) if total + elements.len() * EACH <= most => {
                total += elements.len() * EACH;
                for element in elements.iter() {
                    total += own_bytes(element, &mut stack);
                }
            }
            Value::Map(entries) if total + 2 * entries.len() * EACH <= most => {
                total += 2 * entries.len() * EACH;
                for (key, value) in entries.iter() {
                    total += own_bytes(key, &mut stack) + own_bytes(value, &mut stack);
                }
            }
            _ => return None,
        }
    }
    (total <= most).then_some(total)
}

/// What a value has beside itself, in bytes. What is in it is left for later.
fn own_bytes<'v>(value: &'v Value, later: &mut Vec<&'v Value>) -> usize {
    match value {
        Value::Str(text) => return text.len(),
        Value::Bytes(bytes) => return bytes.len(),
        Value::Error(error) => return error.message.len(),
        Value::List(elements) if !elements.is_empty() => later.push(value),
        Value::Map(entries) if !entries.is_empty() => later.push(value),
        _ => {}
    }
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights() {
        let read = |text: &str| json::read(text.as_bytes()).unwrap();
        let each = size_of::<Value>();
        let check = |text: &str, most: usize, expected: Option<usize>| {
            assert_eq!(weight(&read(text), most), expected, "{text}");
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
