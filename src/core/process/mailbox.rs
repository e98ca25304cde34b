//! The two mailboxes of a worker process: what is to be written to it and what it has written, cut into messages. Both are
//! bounded. Knows neither the process nor who waits for it.

use crate::codec::lines;
use crate::limits::{MAILBOX_BYTES_MAX, MAILBOX_MESSAGES_MAX, STREAM_BYTES_MAX, WORKER_MESSAGE_BYTES_MAX};
use std::collections::VecDeque;

/// How messages stand in a stream of bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Framing {
    /// Each is a line; the last one may lack its end.
    #[default]
    Lines,
    /// All bytes until the end are one. What is sent is written as it is.
    Whole,
    /// A big-endian `u32` length stands before each.
    Frames,
    /// There are none: bytes are passed on as they come.
    Stream,
}

/// Bytes of a frame's length.
const LENGTH_BYTES: usize = 4;

/// Used bytes at the front of a buffer that are worth moving the rest for.
const COMPACT_BYTES: usize = 64 << 10;

/// What is to be written to a worker.
#[derive(Default)]
pub struct Outgoing {
    bytes: Vec<u8>,
    /// Where in `bytes` what is not yet written begins.
    at: usize,
    /// Bytes of each message that are not yet written; those of the last come last.
    messages: VecDeque<usize>,
}

impl Outgoing {
    /// Whether no further message fits. A single one may be of any size: it could never be sent otherwise.
    pub fn is_full(&self) -> bool {
        self.messages.len() >= MAILBOX_MESSAGES_MAX || self.chunk().len() >= MAILBOX_BYTES_MAX
    }

    /// Adds a message.
    pub fn push(&mut self, framing: Framing, message: &[u8]) {
        self.compact();
        let before = self.bytes.len();
        if framing == Framing::Frames {
            self.bytes
                .extend_from_slice(&(message.len() as u32).to_be_bytes());
        }
        self.bytes.extend_from_slice(message);
        if framing == Framing::Lines {
            self.bytes.push(b'\n');
        }
        self.messages.push_back(self.bytes.len() - before);
    }

    /// Where bytes of a stream are to be appended; none while there is no room.
    pub fn feeder(&mut self) -> Option<&mut Vec<u8>> {
        if self.chunk().len() >= STREAM_BYTES_MAX {
            return None;
        }
        self.compact();
        Some(&mut self.bytes)
    }

    /// What can be written now.
    pub fn chunk(&self) -> &[u8] {
        &self.bytes[self.at..]
    }

    /// Messages of which something is left to be written.
    #[cfg(test)]
    pub fn count(&self) -> usize {
        self.messages.len()
    }

    /// Takes off what was written.
    pub fn advance(&mut self, mut written: usize) {
        self.at += written;
        while let Some(left) = self.messages.front_mut() {
            if *left > written {
                *left -= written;
                break;
            }
            written -= *left;
            self.messages.pop_front();
        }
        if self.at == self.bytes.len() {
            self.clear();
        }
    }

    /// Drops everything.
    pub fn clear(&mut self) {
        self.at = 0;
        self.messages.clear();
        match self.bytes.capacity() > MAILBOX_BYTES_MAX {
            true => self.bytes = Vec::new(),
            false => self.bytes.clear(),
        }
    }

    fn compact(&mut self) {
        if self.at >= COMPACT_BYTES && self.at * 2 >= self.bytes.len() {
            self.bytes.drain(..self.at);
            self.at = 0;
        }
    }
}

/// What a worker has written. It is cut into messages only when they are taken.
pub struct Inbox {
    framing: Framing,
    bytes: Vec<u8>,
    /// Where in `bytes` the next message begins.
    at: usize,
    /// Up to where in `bytes` messages were counted: for frames, the start of the first that is not whole.
    counted: usize,
    /// Messages that are there whole.
    whole: usize,
    has_ended: bool,
    /// Nobody will take anything any more.
    drops: bool,
}

impl Inbox {
    /// An empty one.
    pub fn new(framing: Framing) -> Inbox {
        Inbox {
            framing,
            bytes: Vec::new(),
            at: 0,
            counted: 0,
            whole: 0,
            has_ended: false,
            drops: false,
        }
    }

    /// Whether there is room: reading stops meanwhile. The front of a message may grow beyond the size of the box, for it
    /// can't be taken before it is whole.
    pub fn has_room(&self) -> bool {
        let bytes = self.bytes.len() - self.at;
        match self.framing {
            Framing::Stream => bytes < STREAM_BYTES_MAX,
            _ => self.whole == 0 || (self.whole < MAILBOX_MESSAGES_MAX && bytes < MAILBOX_BYTES_MAX),
        }
    }

    /// Adds what was read. False if a single message is larger than any may be.
    #[must_use]
    pub fn push(&mut self, bytes: &[u8]) -> bool {
        if self.drops {
            return true;
        }
        self.compact();
        self.bytes.extend_from_slice(bytes);
        match self.framing {
            Framing::Lines => {
                self.whole += lines::count(bytes);
                self.counted = self.bytes.len();
            }
            Framing::Frames => {
                while let Some(len) = frame_len(&self.bytes[self.counted..])
                    && let after = self.counted + LENGTH_BYTES + len
                    && after <= self.bytes.len()
                {
                    self.counted = after;
                    self.whole += 1;
                }
            }
            Framing::Whole | Framing::Stream => {}
        }
        let claimed = match self.framing {
            Framing::Frames => frame_len(&self.bytes[self.counted..]).unwrap_or(0),
            _ => 0,
        };
        let is_open = self.whole == 0 && self.framing != Framing::Stream;
        !(is_open && self.bytes.len() - self.at > WORKER_MESSAGE_BYTES_MAX)
            && claimed <= WORKER_MESSAGE_BYTES_MAX
    }

    /// Nothing more will come. True if the last message is cut off.
    pub fn end(&mut self) -> bool {
        self.has_ended = true;
        if self.drops {
            return false;
        }
        let left = self.bytes.len() - self.at;
        match self.framing {
            Framing::Lines => {
                let is_open = left > 0 && self.bytes.last() != Some(&b'\n');
                self.whole += usize::from(is_open);
            }
            Framing::Whole => self.whole = 1,
            Framing::Frames => return self.counted < self.bytes.len(),
            Framing::Stream => {}
        }
        false
    }

    /// Whether all of it has come.
    pub fn has_ended(&self) -> bool {
        self.has_ended
    }

    /// Drops what is there and what will come.
    pub fn close(&mut self) {
        self.drops = true;
        self.bytes = Vec::new();
        (self.at, self.counted, self.whole) = (0, 0, 0);
    }

    /// Whether there is a message to take.
    pub fn has_message(&self) -> bool {
        self.whole > 0
    }

    /// Takes the next message, if it is there whole.
    pub fn take(&mut self) -> Option<&[u8]> {
        self.whole = self.whole.checked_sub(1)?;
        let rest = &self.bytes[self.at..];
        let (start, len, end) = match self.framing {
            Framing::Lines => {
                let line = lines::find(rest);
                line.map_or((0, rest.len(), rest.len()), |len| (0, len, len + 1))
            }
            Framing::Frames => {
                let len = frame_len(rest)?;
                (LENGTH_BYTES, len, LENGTH_BYTES + len)
            }
            Framing::Whole | Framing::Stream => (0, rest.len(), rest.len()),
        };
        let start = self.at + start;
        self.at += end;
        Some(&self.bytes[start..start + len])
    }

    /// Messages that are there whole.
    #[cfg(test)]
    pub fn count(&self) -> usize {
        self.whole
    }

    /// Bytes that are there.
    #[cfg(test)]
    pub fn waiting_bytes(&self) -> usize {
        self.bytes.len() - self.at
    }

    /// The bytes that are there, of a stream.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[self.at..]
    }

    /// Takes off so many of [`Inbox::bytes`].
    pub fn advance(&mut self, taken: usize) {
        self.at += taken;
        self.compact();
    }

    fn compact(&mut self) {
        if self.at == self.bytes.len() || (self.at >= COMPACT_BYTES && self.at * 2 >= self.bytes.len()) {
            self.bytes.drain(..self.at);
            self.counted = self.counted.saturating_sub(self.at);
            self.at = 0;
            if self.bytes.is_empty() && self.bytes.capacity() > MAILBOX_BYTES_MAX {
                self.bytes = Vec::new();
            }
        }
    }
}

fn frame_len(bytes: &[u8]) -> Option<usize> {
    let len = bytes.first_chunk::<LENGTH_BYTES>()?;
    Some(u32::from_be_bytes(*len) as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Messages that come out of bytes, however they are cut.
    fn check(framing: Framing, bytes: &[u8], expected: &[&str], is_cut_off: bool) {
        for piece in 1..=bytes.len().max(1) {
            let mut inbox = Inbox::new(framing);
            let mut found = Vec::new();
            for bytes in bytes.chunks(piece) {
                assert!(inbox.push(bytes));
                while let Some(message) = inbox.take() {
                    found.push(String::from_utf8(message.to_vec()).unwrap());
                }
            }
            assert_eq!(inbox.end(), is_cut_off, "{bytes:?}");
            while let Some(message) = inbox.take() {
                found.push(String::from_utf8(message.to_vec()).unwrap());
            }
            assert_eq!(found, expected, "{bytes:?} in pieces of {piece}");
        }
    }

    #[test]
    fn messages_are_found_however_they_are_cut() {
        check(Framing::Lines, b"", &[], false);
        check(Framing::Lines, b"a\n\nbc\n", &["a", "", "bc"], false);
        check(Framing::Lines, b"a\nb", &["a", "b"], false);
        check(Framing::Whole, b"", &[""], false);
        check(Framing::Whole, b"a\nb\n", &["a\nb\n"], false);
        check(
            Framing::Frames,
            b"\0\0\0\x02ab\0\0\0\0\0\0\0\x01c",
            &["ab", "", "c"],
            false,
        );
        check(Framing::Frames, b"\0\0\0\x01a\0\0\0\x02b", &["a"], true);
        check(Framing::Frames, b"\0\0", &[], true);
    }

    #[test]
    fn a_full_inbox_has_no_room_but_for_the_rest_of_a_message() {
        let mut inbox = Inbox::new(Framing::Lines);
        assert!(inbox.push(&b"x\n".repeat(MAILBOX_MESSAGES_MAX - 1)) && inbox.has_room());
        assert!(inbox.push(b"x\n") && !inbox.has_room());
        inbox.take().unwrap();
        assert!(inbox.has_room());
        let mut inbox = Inbox::new(Framing::Lines);
        assert!(inbox.push(&vec![b'x'; MAILBOX_BYTES_MAX + 1]) && inbox.has_room());
        assert!(inbox.push(b"\n") && !inbox.has_room());
        assert_eq!(inbox.take().map(<[u8]>::len), Some(MAILBOX_BYTES_MAX + 1));
        inbox.close();
        assert!(inbox.push(b"x\n") && !inbox.has_message());
        // A frame that claims more than any may be is refused before it comes.
        assert!(!Inbox::new(Framing::Frames).push(&u32::MAX.to_be_bytes()));
    }

    #[test]
    fn outgoing_messages_are_counted_until_they_are_written() {
        let mut outgoing = Outgoing::default();
        for _ in 0..MAILBOX_MESSAGES_MAX {
            assert!(!outgoing.is_full());
            outgoing.push(Framing::Lines, b"ab");
        }
        assert!(outgoing.is_full());
        outgoing.advance(2);
        assert!(outgoing.is_full());
        outgoing.advance(1);
        assert!(!outgoing.is_full());
        outgoing.push(Framing::Frames, b"c");
        assert_eq!(outgoing.chunk().len(), 3 * (MAILBOX_MESSAGES_MAX - 1) + 5);
        assert!(outgoing.chunk().ends_with(b"\0\0\0\x01c"));
        outgoing.advance(outgoing.chunk().len());
        assert!(outgoing.chunk().is_empty() && outgoing.messages.is_empty());
    }
}
