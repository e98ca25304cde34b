//! How the answers of several packets become one. Sends nothing.

use crate::error::Error;
use crate::flow::kinds::node::Outcome;
use crate::flow::spec::Port;
use crate::flow::value::Value;
use std::rc::Rc;

/// What a packet is answered with.
#[derive(Debug)]
pub enum Reply {
    /// A value or an error.
    Given(Outcome),
    /// A node with several inputs took it in, and answers another packet for it too.
    Absorbed,
}

impl Reply {
    /// As whoever asked for one answer sees it.
    pub fn outcome(self) -> Outcome {
        match self {
            Reply::Given(outcome) => outcome,
            Reply::Absorbed => Ok(Value::Null),
        }
    }
}

/// An error, and the name of what failed.
pub type Named = (Rc<str>, Rc<Error>);

/// One error of several, each with the name of what failed: one is itself.
pub fn join_errors(mut errors: Vec<Named>, what: &str) -> Rc<Error> {
    if errors.len() == 1
        && let Some((_, error)) = errors.pop()
    {
        return error;
    }
    let kind = errors
        .first()
        .map_or(crate::error::Kind::Raised, |(_, error)| error.kind);
    let mut message = format!("{} {what} failed", errors.len());
    for (place, (name, error)) in errors.iter().enumerate() {
        message.push_str(if place == 0 { ": " } else { ", " });
        message.push_str(name);
        message.push_str(": ");
        message.push_str(&error.message);
    }
    Rc::from(Error::new(kind, message))
}

/// A packet on its way through all links of a port: answers in the order of the links.
pub enum Part {
    /// One link, as most ports have it.
    One(Option<Reply>),
    /// Several.
    Several(Box<Several>),
}

/// Answers of several links.
pub struct Several {
    replies: Vec<Option<Reply>>,
    /// The names of what failed.
    failed: Vec<Option<Rc<str>>>,
    open: u32,
}

impl Part {
    pub(super) fn new(links: usize) -> Part {
        if links == 1 {
            return Part::One(None);
        }
        Part::Several(Box::new(Several {
            replies: (0..links).map(|_| None).collect(),
            failed: vec![None; links],
            open: links as u32,
        }))
    }

    /// Takes the answer of one link.
    pub(super) fn give(&mut self, place: u32, name: &Rc<str>, reply: Reply) {
        match self {
            Part::One(slot) => *slot = Some(reply),
            Part::Several(several) => several.give(place as usize, name, reply),
        }
    }

    pub(super) fn is_over(&self) -> bool {
        match self {
            Part::One(reply) => reply.is_some(),
            Part::Several(several) => several.open == 0,
        }
    }

    fn joined(self) -> Reply {
        match self {
            Part::One(reply) => reply.unwrap_or(Reply::Absorbed),
            Part::Several(several) => several.joined(),
        }
    }
}

impl Several {
    fn give(&mut self, place: usize, name: &Rc<str>, reply: Reply) {
        if let (Reply::Given(Err(_)), Some(slot)) = (&reply, self.failed.get_mut(place)) {
            *slot = Some(name.clone());
        }
        if let Some(slot) = self.replies.get_mut(place) {
            *slot = Some(reply);
        }
        self.open = self.open.saturating_sub(1);
    }

    fn joined(self) -> Reply {
        let (mut values, mut errors) = (Vec::new(), Vec::new());
        for (reply, failed) in self.replies.into_iter().zip(self.failed) {
            match reply {
                Some(Reply::Given(Ok(value))) => values.push(value),
                Some(Reply::Given(Err(error))) => errors.push((failed.unwrap_or_default(), error)),
                Some(Reply::Absorbed) | None => {}
            }
        }
        if !errors.is_empty() {
            return Reply::Given(Err(join_errors(errors, "nodes")));
        }
        match values.len() {
            0 => Reply::Absorbed,
            1 => Reply::Given(Ok(values.pop().unwrap_or_default())),
            _ => Reply::Given(Ok(Value::list(values))),
        }
    }
}

/// Packets of a frame that have not all been answered.
pub enum Join {
    /// One packet.
    One(Part),
    /// Several, so many at once.
    All(Box<Series>),
}

/// Packets that are sent one after the other, or some at once.
pub struct Series {
    pub(super) rest: std::vec::IntoIter<(Port, Value)>,
    pub(super) width: usize,
    pub(super) open: usize,
    parts: Vec<State>,
    is_failed: bool,
}

enum State {
    Open(Part),
    Over(Reply),
}

impl Series {
    pub(super) fn new(packets: Vec<(Port, Value)>, width: usize) -> Series {
        Series {
            parts: Vec::with_capacity(packets.len()),
            rest: packets.into_iter(),
            width,
            open: 0,
            is_failed: false,
        }
    }

    /// The next packet, if one may be sent now.
    pub(super) fn next(&mut self) -> Option<(Port, Value)> {
        match self.open < self.width && !self.is_failed {
            true => self.rest.next(),
            false => None,
        }
    }

    /// A packet is sent on so many links; returns its number.
    pub(super) fn sent(&mut self, links: usize) -> u32 {
        self.parts.push(State::Open(Part::new(links)));
        self.open += 1;
        self.parts.len() as u32 - 1
    }

    /// A packet is its own answer.
    pub(super) fn passed(&mut self, packet: Value) {
        self.parts.push(State::Over(Reply::Given(Ok(packet))));
    }

    pub(super) fn give(&mut self, packet: u32, place: u32, name: &Rc<str>, reply: Reply) {
        let Some(state) = self.parts.get_mut(packet as usize) else {
            return;
        };
        let State::Open(part) = state else { return };
        part.give(place, name, reply);
        if part.is_over() {
            let part = std::mem::replace(part, Part::One(None));
            let reply = part.joined();
            self.is_failed |= matches!(reply, Reply::Given(Err(_)));
            *state = State::Over(reply);
            self.open -= 1;
        }
    }

    pub(super) fn is_over(&self) -> bool {
        self.open == 0 && (self.is_failed || self.rest.len() == 0)
    }

    /// The answers in the order of the packets, without those that were taken in elsewhere.
    pub(super) fn outcomes(self) -> Vec<Outcome> {
        let over = self.parts.into_iter().filter_map(|state| match state {
            State::Over(Reply::Given(outcome)) => Some(outcome),
            _ => None,
        });
        over.collect()
    }
}

impl Join {
    /// Takes an answer.
    pub(super) fn give(&mut self, packet: u32, place: u32, name: &Rc<str>, reply: Reply) {
        match self {
            Join::One(part) => part.give(place, name, reply),
            Join::All(series) => series.give(packet, place, name, reply),
        }
    }

    pub(super) fn is_over(&self) -> bool {
        match self {
            Join::One(part) => part.is_over(),
            Join::All(series) => series.is_over(),
        }
    }

    /// What came of one packet.
    pub(super) fn joined(self) -> Reply {
        match self {
            Join::One(part) => part.joined(),
            Join::All(_) => Reply::Absorbed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    fn check(replies: &[Option<std::result::Result<i64, &str>>], expected: std::result::Result<&str, &str>) {
        let mut part = Part::new(replies.len());
        for (place, reply) in replies.iter().enumerate() {
            let name = ["a", "b", "c"][place].into();
            let reply = match reply {
                None => Reply::Absorbed,
                Some(Ok(number)) => Reply::Given(Ok(Value::Int(*number))),
                Some(Err(message)) => Reply::Given(Err(Rc::from(Error::new(Kind::Io, *message)))),
            };
            part.give(place as u32, &name, reply);
            assert_eq!(part.is_over(), place + 1 == replies.len());
        }
        let joined = match part.joined() {
            Reply::Absorbed => Ok("absorbed".into()),
            Reply::Given(Ok(value)) => Ok(crate::flow::value::json::text(&value)),
            Reply::Given(Err(error)) => Err(error.message.clone()),
        };
        assert_eq!(joined.as_deref().map_err(|text| text.as_str()), expected);
    }

    #[test]
    fn answers_join() {
        check(&[Some(Ok(1))], Ok("1"));
        check(&[Some(Ok(1)), Some(Ok(2))], Ok("[1,2]"));
        check(&[Some(Ok(1)), None], Ok("1"));
        check(&[None, None], Ok("absorbed"));
        check(&[Some(Ok(1)), Some(Err("x")), None], Err("x"));
        check(
            &[Some(Err("x")), Some(Ok(1)), Some(Err("y"))],
            Err("2 nodes failed: a: x, c: y"),
        );
    }
}
