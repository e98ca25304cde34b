//! What waits to be written to one peer: whole messages, and messages whose payload is still coming from another peer.
//! Writes nothing itself.

use super::peer::PeerId;
use crate::limits::OUTBOX_BYTES_HIGH;
use std::collections::VecDeque;

/// A small buffer is kept for the next message instead of being freed.
const SPARE_BYTES_MAX: usize = 64 << 10;

enum Segment {
    /// Bytes that are there.
    Bytes { bytes: Vec<u8>, sent: usize },
    /// The payload of a message that another peer is sending.
    Stream { from: PeerId, held: Held, to_come: u64 },
}

/// What has come of a payload and was not sent. Its memory is used again and again, and filled in place.
#[derive(Default)]
struct Held {
    memory: Vec<u8>,
    sent: usize,
    filled: usize,
}

impl Held {
    fn bytes(&self) -> &[u8] {
        &self.memory[self.sent..self.filled]
    }

    /// Memory for so many bytes behind those that are there.
    fn room(&mut self, bytes: usize) -> &mut [u8] {
        // What was sent is dropped once it is the larger part: memory that is filled as fast as it is emptied must not grow.
        if self.sent > self.filled / 2 {
            self.memory.copy_within(self.sent..self.filled, 0);
            self.filled -= self.sent;
            self.sent = 0;
        }
        let end = self.filled + bytes;
        if self.memory.len() < end {
            self.memory.resize(end, 0);
        }
        &mut self.memory[self.filled..end]
    }

    fn take(&mut self, bytes: usize) {
        self.sent += bytes;
        if self.sent == self.filled {
            (self.sent, self.filled) = (0, 0);
        }
    }
}

/// A queue of segments. Only the first is ever written.
#[derive(Default)]
pub struct Outbox {
    segments: VecDeque<Segment>,
    waiting: usize,
    spare: Vec<u8>,
}

impl Outbox {
    /// Bytes that wait, whether or not they can be written now.
    pub fn waiting_bytes(&self) -> usize {
        self.waiting
    }

    /// Whether `source` has to pause. What waits behind the source's own payload does not count: it can't be written
    /// before that payload has come.
    pub fn is_full_for(&self, source: PeerId) -> bool {
        let waiting = match self.segments.front() {
            Some(Segment::Stream { from, held, .. }) if *from == source => held.bytes().len(),
            _ => self.waiting,
        };
        waiting >= OUTBOX_BYTES_HIGH
    }

    /// Whether nothing waits, and nothing is to come.
    pub fn is_empty(&self) -> bool {
        self.segments.is_empty()
    }

    /// The payloads under way: from whom, and how many bytes are to come.
    #[cfg(test)]
    pub fn open_streams(&self) -> impl Iterator<Item = (PeerId, u64)> {
        self.segments.iter().filter_map(|segment| match segment {
            Segment::Stream { from, to_come, .. } if *to_come > 0 => Some((*from, *to_come)),
            _ => None,
        })
    }

    /// Adds small messages: `write` appends them to the buffer that it is given.
    pub fn append<T>(&mut self, write: impl FnOnce(&mut Vec<u8>) -> T) -> T {
        if !matches!(self.segments.back(), Some(Segment::Bytes { .. })) {
            let bytes = std::mem::take(&mut self.spare);
            self.segments.push_back(Segment::Bytes { bytes, sent: 0 });
        }
        let Some(Segment::Bytes { bytes, sent }) = self.segments.back_mut() else {
            unreachable!("just pushed");
        };
        compact(bytes, sent);
        let before = bytes.len();
        let written = write(bytes);
        self.waiting += bytes.len() - before;
        self.settle();
        written
    }

    /// Adds bytes without copying them.
    pub fn push(&mut self, bytes: Vec<u8>) {
        self.waiting += bytes.len();
        self.segments.push_back(Segment::Bytes { bytes, sent: 0 });
        self.settle();
    }

    /// Announces a payload of that many bytes, which [`Outbox::feed`] brings.
    pub fn begin_stream(&mut self, from: PeerId, payload_bytes: u64) {
        self.segments.push_back(Segment::Stream {
            from,
            held: Held::default(),
            to_come: payload_bytes,
        });
        self.settle();
    }

    /// Adds what has come of the payload from `from`.
    pub fn feed(&mut self, from: PeerId, piece: &[u8]) {
        if let Some(room) = self.room(from, piece.len()) {
            debug_assert!(room.len() == piece.len(), "a source sent more than it announced");
            room[..piece.len()].copy_from_slice(piece);
            self.fill(from, piece.len());
        }
    }

    /// Memory for at most `most` bytes of the payload from `from`, for [`Outbox::fill`] to take in.
    pub fn room(&mut self, from: PeerId, most: usize) -> Option<&mut [u8]> {
        let (held, to_come) = self.open_stream(from)?;
        Some(held.room(usize::try_from(*to_come).unwrap_or(usize::MAX).min(most)))
    }

    /// Takes in what was put at the start of [`Outbox::room`].
    pub fn fill(&mut self, from: PeerId, bytes: usize) {
        if let Some((held, to_come)) = self.open_stream(from) {
            held.filled += bytes;
            *to_come -= bytes as u64;
            self.waiting += bytes;
        }
    }

    /// The payload that `from` is sending. A source sends one at a time, so its open stream is the last.
    fn open_stream(&mut self, from: PeerId) -> Option<(&mut Held, &mut u64)> {
        self.segments.iter_mut().rev().find_map(|segment| match segment {
            Segment::Stream {
                from: source,
                held,
                to_come,
            } if *source == from && *to_come > 0 => Some((held, to_come)),
            _ => None,
        })
    }

    /// What can be written now; empty if nothing.
    pub fn chunk(&self) -> &[u8] {
        match self.segments.front() {
            Some(Segment::Bytes { bytes, sent }) => &bytes[*sent..],
            Some(Segment::Stream { held, .. }) => held.bytes(),
            None => &[],
        }
    }

    /// Takes off what was written of [`Outbox::chunk`].
    pub fn advance(&mut self, written: usize) {
        match self.segments.front_mut() {
            Some(Segment::Bytes { sent, .. }) => *sent += written,
            Some(Segment::Stream { held, .. }) => held.take(written),
            None => {}
        }
        self.waiting -= written;
        self.settle();
    }

    /// Drops segments from the front that hold nothing and never will.
    fn settle(&mut self) {
        while let Some(front) = self.segments.front_mut() {
            match front {
                Segment::Bytes { bytes, sent } if *sent == bytes.len() => {
                    if bytes.capacity() <= SPARE_BYTES_MAX {
                        bytes.clear();
                        self.spare = std::mem::take(bytes);
                    }
                }
                Segment::Stream { held, to_come: 0, .. } if held.bytes().is_empty() => {}
                _ => break,
            }
            self.segments.pop_front();
        }
    }
}

/// Drops what was sent once it is the larger part: a buffer that is filled as fast as it is emptied must not grow.
fn compact(bytes: &mut Vec<u8>, sent: &mut usize) {
    if *sent > bytes.len() / 2 {
        bytes.drain(..*sent);
        *sent = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drain(outbox: &mut Outbox, at_most: usize) -> Vec<u8> {
        let mut out = Vec::new();
        while !outbox.chunk().is_empty() && out.len() < at_most {
            let taken = outbox.chunk().len().min(at_most - out.len());
            out.extend_from_slice(&outbox.chunk()[..taken]);
            outbox.advance(taken);
        }
        out
    }

    #[test]
    fn a_stream_holds_back_what_comes_after_it() {
        let (one, two) = (PeerId::from_raw(1), PeerId::from_raw(2));
        let mut outbox = Outbox::default();
        outbox.append(|out| out.extend(b"head"));
        outbox.begin_stream(one, 4);
        outbox.push(b"next".to_vec());
        outbox.begin_stream(two, 2);
        outbox.feed(two, b"zz");
        assert_eq!(drain(&mut outbox, 99), b"head");
        outbox.feed(one, b"ab");
        assert_eq!(drain(&mut outbox, 1), b"a");
        outbox.feed(one, b"cd");
        assert_eq!(drain(&mut outbox, 99), b"bcdnextzz");
        assert_eq!(outbox.waiting_bytes(), 0);
        assert!(outbox.segments.is_empty());
    }
}
