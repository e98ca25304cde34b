//! Finds the end of a head in bytes that come in pieces, and refuses what no head may have as soon as it is there: bare
//! line ends, control bytes, too much of anything. Knows nothing of what the lines mean.

use super::failure::Fault;
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
    /// Spaces in the first line, and where the last of them stands.
    spaces: usize,
    space_at: usize,
    after_cr: bool,
}

impl Scan {
    /// Goes on in the bytes of a head, given from its start each time: the size of the head once its end is there. What it says
    /// depends on the bytes, not on the pieces in which they came.
    pub(super) fn find_end(&mut self, bytes: &[u8]) -> Result<Option<usize>, Fault> {
        while let Some(byte) = bytes.get(self.seen).copied() {
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
                        (true, 0) if !self.has_skipped => self.has_skipped = true,
                        (true, 0) => return Err(Fault::bad("the request begins with empty lines")),
                        (true, _) => return Ok(Some(self.seen)),
                    }
                }
                (true, _) => return Err(Fault::bad("a carriage return without a line feed in the head")),
                (false, b'\r') => self.after_cr = true,
                (false, b'\n') => {
                    return Err(Fault::bad("a line feed without a carriage return in the head"));
                }
                (false, byte) if is_plain(byte) => match self.lines {
                    0 => self.check_request_line(at, byte)?,
                    _ => self.pass_plain(bytes),
                },
                (false, _) => return Err(Fault::bad(format!("control byte {byte} in the head"))),
            }
        }
        Ok(None)
    }

    /// Goes on behind bytes that only their line gives a meaning.
    fn pass_plain(&mut self, bytes: &[u8]) {
        let until = bytes.len().min(HTTP_HEAD_BYTES_MAX);
        let rest = bytes.get(self.seen..until).unwrap_or_default();
        self.seen += rest.iter().take_while(|byte| is_plain(**byte)).count();
    }

    /// Bounds the parts of the first line.
    fn check_request_line(&mut self, at: usize, byte: u8) -> Result<(), Fault> {
        if byte == b' ' {
            self.spaces += 1;
            self.space_at = at;
        } else if self.spaces == 0 && at - self.line_start >= HTTP_METHOD_BYTES_MAX {
            let message = format!("the method has more than {HTTP_METHOD_BYTES_MAX} bytes");
            return Err(Fault::new(501, message));
        } else if self.spaces == 1 && at - self.space_at > HTTP_TARGET_BYTES_MAX {
            let message = format!("the target has more than {HTTP_TARGET_BYTES_MAX} bytes");
            return Err(Fault::new(414, message));
        }
        Ok(())
    }
}

fn is_plain(byte: u8) -> bool {
    matches!(byte, b'\t' | b' '..=b'~' | 0x80..)
}
