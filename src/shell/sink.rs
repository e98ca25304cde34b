//! Standard output while a pipe still runs: what it gives out is written as it comes, and nobody is waited for. Decides nothing.

use super::polling::Polled;
use crate::core::process::pipe::Pipe;
use crate::core::process::table::Table;
use crate::error::{Error, Kind, Result};
use crate::sys::descriptor::open_output;
use mio::unix::SourceFd;
use mio::{Interest, Token};
use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::os::fd::AsRawFd;

/// Where results go as they come.
pub struct Sink {
    out: File,
    /// The poll said so, or it was not tried.
    pub is_ready: bool,
    /// What was written last; nothing before.
    last: Option<u8>,
    /// Nobody reads it any more.
    is_closed: bool,
}

impl Sink {
    /// Opens it, with a token for the poll to tell of room.
    ///
    /// # Errors
    /// An output that may keep a writer waiting: what goes there has to be kept until all else is done.
    pub fn open(token: Token, polled: Polled<'_>) -> io::Result<Sink> {
        let out = open_output()?;
        match polled.register(&mut SourceFd(&out.as_raw_fd()), token, Interest::WRITABLE) {
            // What can't be polled, as a file, always has room.
            Err(error) if error.kind() != ErrorKind::PermissionDenied => return Err(error),
            _ => {}
        }
        Ok(Sink {
            out,
            is_ready: true,
            last: None,
            is_closed: false,
        })
    }

    /// Writes what a pipe gives out, as far as that is taken. False if nothing is.
    pub fn drain(&mut self, pipe: &mut Pipe, table: &mut Table) -> bool {
        let mut has_written = false;
        while self.is_ready && !pipe.output(table).is_empty() {
            has_written = true;
            match self.write(pipe.output(table)) {
                Ok(written) => pipe.advance_output(table, written),
                Err(error) => {
                    pipe.fail(error);
                    break;
                }
            }
            if self.is_closed {
                pipe.close_output();
            }
        }
        has_written
    }

    /// Ends the last line if its end is missing: of a text always, of lines unless there are none. False while that has to wait.
    ///
    /// # Errors
    /// Kind `io`: what the system says.
    pub fn end_line(&mut self, is_text: bool) -> Result<bool> {
        if !is_text && matches!(self.last, None | Some(b'\n')) {
            return Ok(true);
        }
        if self.is_ready && !self.is_closed {
            self.write(b"\n")?;
        }
        Ok(self.is_ready)
    }

    /// Writes once. Where nobody reads it any more, all is taken.
    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        match self.out.write(bytes) {
            Ok(written) => {
                self.last = bytes[..written].last().copied().or(self.last);
                Ok(written)
            }
            Err(error) => match error.kind() {
                ErrorKind::Interrupted => Ok(0),
                ErrorKind::WouldBlock => {
                    self.is_ready = false;
                    Ok(0)
                }
                ErrorKind::BrokenPipe => {
                    self.is_closed = true;
                    Ok(bytes.len())
                }
                _ => {
                    let message = format!("can't write standard output: {error}");
                    Err(Error::new(Kind::Io, message))
                }
            },
        }
    }
}
