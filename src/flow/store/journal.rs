//! What a folder of the store remembers of its objects, in a file of its own beside theirs: by it whatever somebody has changed, in
//! any format and whatever the file says of itself, counts as a revision. Opens no file.
//!
//! A line each, `NAME REVISION SUM`: the object of that name stood at that revision when its content had that sum. Lines are only
//! added, and the last of a name counts. One that was torn by a kill has no whole sum, and says nothing.

use crate::codec::checksum;
use crate::flow::value::{Value, json};
use crate::limits::{FLOW_JOURNAL_SPARE_LINES, FLOW_NAME_BYTES_MAX};
use std::rc::Rc;

/// The name of the file.
pub const NAME: &str = ".revisions";

/// Digits of a sum.
const SUM_DIGITS: usize = 16;

/// What is remembered of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Known {
    /// Its revision; 0 if it was deleted.
    pub revision: u64,
    /// The sum of its content then.
    pub sum: u64,
}

/// A line: whose, and what is remembered from now on.
pub type Line = (Rc<str>, Known);

/// What a folder remembers.
#[derive(Clone, Debug, Default)]
pub struct Journal {
    /// In the order of the names.
    known: Vec<Line>,
    /// How many lines the file has.
    lines: usize,
    /// Up to where it was read: the number of the file's inode, and bytes.
    pub read_to: (u64, u64),
}

impl Journal {
    /// What is remembered of a name.
    pub fn known(&self, name: &str) -> Option<Known> {
        let place = self.known.binary_search_by(|(its, _)| (**its).cmp(name));
        place.ok().map(|place| self.known[place].1)
    }

    /// The revision of an object whose content has that sum and that says this revision of itself: what is remembered if it is still
    /// the same, and else the next one. One of which nothing is known counts as it says, and as 1 if it says none.
    pub fn revision(&self, name: &str, sum: u64, stated: Option<u64>) -> u64 {
        let stated = stated.unwrap_or(1).max(1);
        match self.known(name) {
            None => stated,
            Some(known) if known.sum == sum && known.revision > 0 => known.revision,
            // A writer that was killed before it wrote here has counted already.
            Some(known) => known.revision.saturating_add(1).max(stated),
        }
    }

    /// The revision that an object gets which isn't there.
    pub fn next_revision(&self, name: &str) -> u64 {
        let last = self.known(name).map_or(0, |known| known.revision);
        last.saturating_add(1)
    }

    /// Takes whole lines that follow those taken before, and returns the names of which something else is known now.
    pub fn take(&mut self, text: &[u8]) -> Vec<Rc<str>> {
        let mut lines = Vec::new();
        for line in text.split_inclusive(|byte| *byte == b'\n') {
            self.lines += 1;
            lines.extend(read(line));
        }
        let lines = last_of_each(lines);
        let changed = lines
            .iter()
            .filter(|(name, known)| self.known(name) != Some(*known));
        let changed = changed.map(|(name, _)| name.clone()).collect();
        self.known.extend(lines);
        self.known = last_of_each(std::mem::take(&mut self.known));
        changed
    }

    /// Whether the file is better written anew than made longer by so many lines.
    pub fn is_long(&self, more: usize) -> bool {
        self.lines + more > 2 * (self.known.len() + more) + FLOW_JOURNAL_SPARE_LINES
    }

    /// The text of a file that remembers of these names, and of those of the lines, what is known after the lines.
    pub fn renewed(&self, is_kept: impl Fn(&str) -> bool, lines: &[Line]) -> Vec<u8> {
        let kept = self.known.iter().filter(|(name, _)| is_kept(name));
        added(&last_of_each(kept.chain(lines).cloned().collect()))
    }
}

/// The text of lines.
pub fn added(lines: &[Line]) -> Vec<u8> {
    let lines = lines.iter();
    let lines = lines.map(|(name, Known { revision, sum })| format!("{name} {revision} {sum:016x}\n"));
    lines.collect::<String>().into_bytes()
}

/// In the order of the names, of each name the last.
fn last_of_each(mut lines: Vec<Line>) -> Vec<Line> {
    // Stable, and the first of each is kept.
    lines.reverse();
    lines.sort_by(|a, b| a.0.cmp(&b.0));
    lines.dedup_by(|next, first| next.0 == first.0);
    lines
}

fn read(line: &[u8]) -> Option<Line> {
    let line = std::str::from_utf8(line).ok()?.strip_suffix('\n')?;
    let mut words = line.split(' ');
    let (name, revision, sum) = (words.next()?, words.next()?, words.next()?);
    if words.next().is_some() || sum.len() != SUM_DIGITS || name.len() > FLOW_NAME_BYTES_MAX {
        return None;
    }
    let revision = revision.parse().ok()?;
    let sum = u64::from_str_radix(sum, 16).ok()?;
    Some((name.into(), Known { revision, sum }))
}

/// The sum of an object's content: all that it says but its revision. The order of keys doesn't matter, nor how a number is written.
pub fn sum_of(object: &Value) -> u64 {
    let entries = object.entries().unwrap_or_default().iter();
    sum_of_entries(entries.filter(|(key, _)| key.as_str() != Some("revision")))
}

fn sum_of_entries<'v>(entries: impl Iterator<Item = &'v (Value, Value)>) -> u64 {
    let sums = entries.map(|(key, value)| add(add(checksum::sum(checksum::EMPTY, b"{"), key), value));
    sums.fold(0, u64::wrapping_add)
}

/// What follows from a sum and a value behind it.
fn add(before: u64, value: &Value) -> u64 {
    let tagged = |tag: u8, bytes: &[u8]| {
        let before = checksum::sum(before, &[tag]);
        let before = checksum::sum(before, &(bytes.len() as u64).to_le_bytes());
        checksum::sum(before, bytes)
    };
    match value {
        Value::Null => tagged(b'n', b""),
        Value::Bool(value) => tagged(b'b', &[u8::from(*value)]),
        Value::Int(_) | Value::Uint(_) | Value::Float(_) => match (value.as_int(), value) {
            (Some(int), _) => tagged(b'i', &int.to_le_bytes()),
            (None, Value::Float(float)) => tagged(b'f', &float.to_bits().to_le_bytes()),
            (None, _) => tagged(b'u', json::text(value).as_bytes()),
        },
        Value::Str(text) => tagged(b's', text.as_bytes()),
        Value::List(elements) => {
            let before = tagged(b'[', &(elements.len() as u64).to_le_bytes());
            elements.iter().fold(before, add)
        }
        Value::Map(entries) => tagged(b'{', &sum_of_entries(entries.iter()).to_le_bytes()),
        // What is stored of them.
        Value::Bytes(_) | Value::Error(_) => match json::read(json::text(value).as_bytes()) {
            Ok(stored) => add(before, &stored),
            Err(_) => before,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_counts() {
        let mut journal = Journal::default();
        let text = b"a 3 0000000000000001\nb 0 0000000000000002\nc 7 00000000";
        assert_eq!(journal.take(text), [Rc::from("a"), Rc::from("b")]);
        for (name, sum, stated, expected) in [
            ("a", 1, Some(3), 3),
            ("a", 1, None, 3),
            ("a", 1, Some(9), 3),
            ("a", 2, Some(3), 4),
            ("a", 2, None, 4),
            ("a", 2, Some(9), 9),
            ("b", 2, None, 1),
            ("c", 1, Some(2), 2),
            ("c", 1, Some(0), 1),
            ("c", 1, None, 1),
        ] {
            assert_eq!(
                journal.revision(name, sum, stated),
                expected,
                "{name} {sum} {stated:?}"
            );
        }
        assert_eq!(["a", "b", "c"].map(|name| journal.next_revision(name)), [4, 1, 1]);
        let line = |name: &str, revision, sum| (Rc::from(name), Known { revision, sum });
        let lines = [line("a", 4, 2), line("d", 1, 5)];
        let renewed = journal.renewed(|name| name != "b", &lines);
        assert_eq!(renewed, b"a 4 0000000000000002\nd 1 0000000000000005\n");
        assert_eq!(journal.take(&added(&lines)), [Rc::from("a"), Rc::from("d")]);
        assert!(journal.take(&renewed).is_empty());
        assert!(!journal.is_long(0) && (journal.lines, journal.known.len()) == (7, 3));
    }

    #[test]
    fn sums_are_of_what_is_said() {
        let sum = |text: &str| sum_of(&json::read(text.as_bytes()).unwrap());
        let one = sum("{\"a\":[1,{\"b\":2,\"c\":\"x\"}],\"d\":null}");
        for same in [
            "{\"d\":null,\"revision\":8,\"a\":[1,{\"c\":\"x\",\"b\":2}]}",
            "{\"a\":[1.0,{\"b\":2,\"c\":\"x\"}],\"d\":null}",
        ] {
            assert_eq!(sum(same), one, "{same}");
        }
        for other in [
            "{}",
            "{\"a\":[1,{\"b\":2,\"c\":\"x\"}]}",
            "{\"a\":[1,{\"b\":2,\"c\":\"y\"}],\"d\":null}",
            "{\"a\":[{\"b\":2,\"c\":\"x\"},1],\"d\":null}",
            "{\"a\":[1,{\"b\":2,\"c\":\"x\"},null],\"d\":null}",
            "{\"a\":[[1,{\"b\":2,\"c\":\"x\"}]],\"d\":null}",
            "{\"a\":[1,{\"b\":\"x\",\"c\":2}],\"d\":null}",
            "{\"a\":[1,{\"b\":2,\"c\":\"x\",\"revision\":1}],\"d\":null}",
        ] {
            assert_ne!(sum(other), one, "{other}");
        }
    }
}
