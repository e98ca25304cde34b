//! The last lines that a pool wrote, for its errors. Passes nothing on.

use crate::limits::{TAIL_LINE_BYTES_MAX, TAIL_LINES_MAX};
use std::collections::VecDeque;

/// A bounded memory of lines; the last one may be unfinished.
#[derive(Default)]
pub struct Tail {
    lines: VecDeque<Vec<u8>>,
    is_open: bool,
}

impl Tail {
    pub fn push(&mut self, bytes: &[u8]) {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            if !self.is_open {
                if self.lines.len() == TAIL_LINES_MAX {
                    self.lines.pop_front();
                }
                self.lines.push_back(Vec::new());
            }
            let text = piece.strip_suffix(b"\n").unwrap_or(piece);
            self.is_open = text.len() == piece.len();
            if let Some(line) = self.lines.back_mut() {
                let room = TAIL_LINE_BYTES_MAX - line.len();
                line.extend_from_slice(&text[..text.len().min(room)]);
            }
        }
    }

    pub fn lines(&self) -> Vec<String> {
        self.lines
            .iter()
            .map(|line| String::from_utf8_lossy(line).into_owned())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pieces: &[&str], expected: &[&str]) {
        let mut tail = Tail::default();
        for piece in pieces {
            tail.push(piece.as_bytes());
        }
        assert_eq!(tail.lines(), expected);
    }

    #[test]
    fn lines_are_joined_and_bounded() {
        check(&[], &[]);
        check(&["a\nb", "c\n", "\n", "d"], &["a", "bc", "", "d"]);
        let long = "x".repeat(TAIL_LINE_BYTES_MAX + 9);
        check(&[&long, &long, "\ny"], &[&long[..TAIL_LINE_BYTES_MAX], "y"]);
        let many = "1\n".repeat(TAIL_LINES_MAX + 5) + "2\n";
        let mut tail = Tail::default();
        tail.push(many.as_bytes());
        assert_eq!(
            (tail.lines().len(), tail.lines().pop().as_deref()),
            (TAIL_LINES_MAX, Some("2"))
        );
    }
}
