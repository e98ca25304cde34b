//! Finds the end of a head in bytes that come in pieces, and refuses what no head may have as soon as it is there: bare
//! line ends, control bytes, too much of anything. Knows nothing of what the lines mean.

use super::failure::Fault;
use crate::codec::letters::{PLAIN, find, leading};
use crate::limits::{HTTP_HEAD_BYTES_MAX, HTTP_METHOD_BYTES_MAX, HTTP_TARGET_BYTES_MAX};

/// How far a head has been looked at.
#[derive(Default)]
pub(super) struct Scan {
    seen: usize,
    line_start: usize,
    /// Non-empty lines that have ended.
    lines: usize,
    /// An empty line came before the first.
    has_skipped: bool,
    /// Spaces in the first line as far as they matter, and where the part begins that is behind the last of them.
    spaces: usize,
    part_start: usize,
    after_cr: bool,
}

impl Scan {
    /// Goes on in the bytes of a head, given from its start each time: the size of the head once its end is there. What it says
    /// depends on the bytes, not on the pieces in which they came.
    pub(super) fn find_end(&mut self, bytes: &[u8]) -> Result<Option<usize>, Fault> {
        loop {
            if !self.after_cr {
                self.pass_plain(bytes)?;
            }
            let Some(byte) = bytes.get(self.seen).copied() else {
                return Ok(None);
            };
            let at = self.seen;
            self.seen += 1;
            if self.seen > HTTP_HEAD_BYTES_MAX {
                return Err(Fault::new(
                    431,
                    format!("the head has more than {HTTP_HEAD_BYTES_MAX} bytes"),
                ));
            }
            match (self.after_cr, byte) {
                (true, b'\n') => {
                    self.after_cr = false;
                    let is_empty = at == self.line_start + 1;
                    self.line_start = self.seen;
                    match (is_empty, self.lines) {
                        (false, _) => self.lines += 1,
                        // Some clients end a body with a line end that they don't count.
                        (true, 0) if !self.has_skipped => {
                            self.has_skipped = true;
                            self.part_start = self.seen;
                        }
                        (true, 0) => return Err(Fault::bad("the request begins with empty lines")),
                        (true, _) => return Ok(Some(self.seen)),
                    }
                }
                (true, _) => return Err(Fault::bad("a carriage return without a line feed in the head")),
                (false, b'\r') => self.after_cr = true,
                (false, b'\n') => {
                    return Err(Fault::bad("a line feed without a carriage return in the head"));
                }
                (false, _) => return Err(Fault::bad(format!("control byte {byte} in the head"))),
            }
        }
    }

    /// Goes on behind bytes that only their line gives a meaning.
    fn pass_plain(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        let until = bytes.len().min(HTTP_HEAD_BYTES_MAX);
        let rest = bytes.get(self.seen..until).unwrap_or_default();
        let plain = leading(rest, PLAIN);
        let start = self.seen;
        self.seen += plain;
        match self.lines {
            0 => self.check_request_line(&rest[..plain], start),
            _ => Ok(()),
        }
    }

    /// Bounds the parts of the first line, of which the bytes from `at` on are new.
    fn check_request_line(&mut self, mut bytes: &[u8], mut at: usize) -> Result<(), Fault> {
        while self.spaces < 2 {
            let space = find(bytes, b' ');
            let part = at + space.unwrap_or(bytes.len()) - self.part_start;
            if self.spaces == 0 && part > HTTP_METHOD_BYTES_MAX {
                let message = format!("the method has more than {HTTP_METHOD_BYTES_MAX} bytes");
                return Err(Fault::new(501, message));
            } else if self.spaces == 1 && part > HTTP_TARGET_BYTES_MAX {
                let message = format!("the target has more than {HTTP_TARGET_BYTES_MAX} bytes");
                return Err(Fault::new(414, message));
            }
            let Some(space) = space else { break };
            self.spaces += 1;
            at += space + 1;
            self.part_start = at;
            bytes = &bytes[space + 1..];
        }
        Ok(())
    }
}
