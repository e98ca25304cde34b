//! The chunked coding of a request's body, undone byte by byte. Keeps no bytes: chunks go to the body, extensions and
//! trailers nowhere.

use super::failure::Fault;
use crate::codec::letters::{TOKEN, are_all};
use crate::limits::{HTTP_BODY_BYTES_MAX, HTTP_CHUNK_LINE_BYTES_MAX, HTTP_TRAILERS_BYTES_MAX};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    Size,
    SizeLf,
    ExtensionStart,
    ExtensionName,
    ValueStart,
    Value,
    Quoted,
    QuotedEscape,
    QuotedEnd,
    Data,
    DataCr,
    DataLf,
    TrailerStart,
    TrailerName,
    TrailerValue,
    TrailerLf,
    EndLf,
}

/// Where a chunked body is.
pub(super) struct Chunked {
    step: Step,
    /// Size of the chunk, then what is missing of it.
    size: usize,
    /// Bytes of the line before a chunk, or of all trailers.
    line: usize,
}

impl Chunked {
    pub(super) fn new() -> Chunked {
        Chunked {
            step: Step::Size,
            size: 0,
            line: 0,
        }
    }

    /// Goes on in `bytes`: how many of them belong to the body, and whether it is whole with them.
    pub(super) fn take(&mut self, bytes: &[u8], body: &mut Vec<u8>) -> Result<(usize, bool), Fault> {
        let mut at = 0;
        while let Some(byte) = bytes.get(at).copied() {
            if self.step == Step::Data {
                let taken = self.size.min(bytes.len() - at);
                body.extend_from_slice(&bytes[at..at + taken]);
                at += taken;
                self.size -= taken;
                if self.size == 0 {
                    self.step = Step::DataCr;
                }
                continue;
            }
            at += 1;
            if self.step == Step::EndLf && byte == b'\n' {
                return Ok((at, true));
            }
            self.step = self.frame(byte, body.len())?;
        }
        Ok((at, false))
    }

    /// One byte of the framing.
    fn frame(&mut self, byte: u8, body_bytes: usize) -> Result<Step, Fault> {
        self.line += 1;
        let next = match (self.step, byte) {
            (Step::Size, b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => {
                let digit = char::from(byte).to_digit(16).unwrap_or(0) as usize;
                let size = self.size.checked_mul(16).and_then(|size| size.checked_add(digit));
                self.size = size.ok_or_else(|| Fault::bad("the size of a chunk is no number of bytes"))?;
                Step::Size
            }
            (Step::Size, b'\r' | b';') if self.line > 1 => {
                if self.size > HTTP_BODY_BYTES_MAX - body_bytes {
                    return Err(too_large());
                }
                after_extension(byte)
            }
            (Step::Size, _) => {
                let shown = byte.escape_ascii();
                return Err(Fault::bad(format!(
                    "'{shown}' in the size of a chunk, expected hexadecimal digits"
                )));
            }
            (Step::ExtensionStart | Step::ExtensionName, _) if are_all(&[byte], TOKEN) => Step::ExtensionName,
            (Step::ExtensionName, b'=') => Step::ValueStart,
            (Step::ValueStart, b'"') => Step::Quoted,
            (Step::ValueStart | Step::Value, _) if are_all(&[byte], TOKEN) => Step::Value,
            (Step::Quoted, b'"') => Step::QuotedEnd,
            (Step::Quoted, b'\\') => Step::QuotedEscape,
            (Step::Quoted | Step::QuotedEscape, b'\t' | b' '..=b'~' | 0x80..) => Step::Quoted,
            (Step::ExtensionName | Step::Value | Step::QuotedEnd, b'\r' | b';') => after_extension(byte),
            (Step::SizeLf, b'\n') => {
                self.line = 0;
                if self.size == 0 {
                    Step::TrailerStart
                } else {
                    Step::Data
                }
            }
            (Step::DataCr, b'\r') => Step::DataLf,
            (Step::DataLf, b'\n') => {
                self.line = 0;
                Step::Size
            }
            (Step::DataCr | Step::DataLf, _) => {
                return Err(Fault::bad("a chunk is longer than its size says"));
            }
            (Step::TrailerStart, b'\r') => Step::EndLf,
            (Step::TrailerName, b':') => Step::TrailerValue,
            (Step::TrailerStart | Step::TrailerName, _) if are_all(&[byte], TOKEN) => Step::TrailerName,
            (Step::TrailerValue, b'\r') => Step::TrailerLf,
            (Step::TrailerValue, b'\t' | b' '..=b'~' | 0x80..) => Step::TrailerValue,
            (Step::TrailerLf, b'\n') => Step::TrailerStart,
            (Step::TrailerStart | Step::TrailerName | Step::TrailerValue | Step::TrailerLf, _) => {
                return Err(Fault::bad("a trailer after the last chunk is malformed"));
            }
            _ => return Err(Fault::bad("the line before a chunk is malformed")),
        };
        let (bytes_max, status, part) = match next {
            Step::TrailerName | Step::TrailerValue => (HTTP_TRAILERS_BYTES_MAX, 431, "the trailers have"),
            Step::Data | Step::SizeLf | Step::TrailerStart | Step::TrailerLf | Step::EndLf => {
                return Ok(next);
            }
            _ => (HTTP_CHUNK_LINE_BYTES_MAX, 400, "the line before a chunk has"),
        };
        match self.line > bytes_max {
            true => Err(Fault::new(status, format!("{part} more than {bytes_max} bytes"))),
            false => Ok(next),
        }
    }
}

/// After a size or an extension stands another extension, or the end of the line.
fn after_extension(byte: u8) -> Step {
    match byte {
        b';' => Step::ExtensionStart,
        _ => Step::SizeLf,
    }
}

pub(super) fn too_large() -> Fault {
    Fault::new(413, format!("the body has more than {HTTP_BODY_BYTES_MAX} bytes"))
}
