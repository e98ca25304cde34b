//! Messages as lines of a stream: found in whatever pieces it comes. Reads no message.

use crate::limits::MCP_MESSAGE_BYTES_MAX;

/// What has come and is no whole line yet, and lines that nobody has taken.
#[derive(Default)]
pub struct Lines {
    buffer: Vec<u8>,
    /// Bytes that were taken.
    start: usize,
    /// Bytes that hold no end of a line, from there on.
    searched: usize,
    /// The rest of a line that was too long is passed over.
    is_skipping: bool,
    has_ended: bool,
}

impl Lines {
    /// More of the stream.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.drain(..self.start);
        self.searched -= self.start;
        self.start = 0;
        self.buffer.extend_from_slice(bytes);
    }

    /// The stream has ended: what is left is a line, too.
    pub fn end(&mut self) {
        self.has_ended = true;
    }

    /// Whether the stream has ended.
    pub fn has_ended(&self) -> bool {
        self.has_ended
    }

    /// The next line without its end. Blank ones are left out; of one that is longer than any message, what makes it too long.
    pub fn take(&mut self) -> Option<&[u8]> {
        loop {
            let rest = &self.buffer[self.searched..];
            let end = match rest.iter().position(|byte| *byte == b'\n') {
                Some(at) => self.searched + at,
                None => {
                    self.searched = self.buffer.len();
                    if self.is_skipping {
                        self.start = self.searched;
                        return None;
                    }
                    let is_too_long = self.searched - self.start > MCP_MESSAGE_BYTES_MAX;
                    let is_last = self.has_ended && self.start < self.searched;
                    if !is_too_long && !is_last {
                        return None;
                    }
                    self.searched
                }
            };
            let start = std::mem::replace(&mut self.start, self.buffer.len().min(end + 1));
            self.searched = self.start;
            let is_rest = std::mem::replace(&mut self.is_skipping, end == self.buffer.len());
            if !is_rest && !self.buffer[start..end].trim_ascii().is_empty() {
                return Some(&self.buffer[start..end]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The lines of a stream that comes in these pieces and ends.
    fn check(pieces: &[&str], expected: &[&str]) {
        let mut lines = Lines::default();
        let mut found = Vec::new();
        let mut take = |lines: &mut Lines| {
            while let Some(line) = lines.take() {
                found.push(String::from_utf8_lossy(line).into_owned());
            }
        };
        for piece in pieces {
            lines.push(piece.as_bytes());
            take(&mut lines);
        }
        lines.end();
        take(&mut lines);
        assert_eq!(found, expected, "{pieces:?}");
    }

    #[test]
    fn lines_come_in_pieces() {
        check(&[], &[]);
        check(&["a\nb\n"], &["a", "b"]);
        check(&["a", "", "b\n\n \r\nc", "\n", "d"], &["ab", "c", "d"]);
        check(&["a\r\n"], &["a\r"]);
    }

    #[test]
    fn what_is_too_long_is_told_once() {
        let piece = "x".repeat(MCP_MESSAGE_BYTES_MAX / 2);
        let mut lines = Lines::default();
        for _ in 0..2 {
            lines.push(piece.as_bytes());
            assert_eq!(lines.take(), None);
        }
        lines.push(b"x");
        assert_eq!(lines.take().map(<[u8]>::len), Some(MCP_MESSAGE_BYTES_MAX + 1));
        for _ in 0..5 {
            lines.push(piece.as_bytes());
            assert_eq!(lines.take(), None);
            assert!(lines.buffer.len() <= piece.len());
        }
        lines.push(b"\nnext\n");
        assert_eq!(lines.take(), Some(&b"next"[..]));
        assert_eq!(lines.take(), None);
    }
}
