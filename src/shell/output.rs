//! What pools print: pipes that are drained to this process's standard error, so that a print can neither block a worker
//! nor reach the result.

use crate::manifest::model::Output;
use crate::sys::descriptor;
use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Bytes taken from one pipe before the others have their turn.
const TURN_BYTES_MAX: usize = 1 << 20;

/// The reading end of a pipe that something is printed to.
pub struct Printed {
    pipe: File,
    /// It is only shown to whoever drains it, and not to people.
    is_silent: bool,
    /// Each line gets this in front, if the manifest asks for it.
    tag: Option<String>,
    is_at_line_start: bool,
    is_readable: bool,
}

impl Printed {
    /// A pipe as the manifest wants it: the reading side, if nexus has one, and what the pool gets.
    pub fn open(mode: Output, pool: &str, own: BorrowedFd<'_>) -> io::Result<(Option<Printed>, OwnedFd)> {
        let tag = match mode {
            Output::Inherit => return Ok((None, own.try_clone_to_owned()?)),
            Output::Null => return Ok((None, descriptor::no_output()?)),
            Output::Stderr => None,
            Output::Log => Some(format!("[{pool}] ")),
        };
        let (printed, writer) = Printed::pipe(false)?;
        Ok((Some(Printed { tag, ..printed }), writer))
    }

    /// A pipe whose lines get nothing in front.
    pub fn pipe(is_silent: bool) -> io::Result<(Printed, OwnedFd)> {
        let (reader, writer) = descriptor::pipe()?;
        descriptor::set_nonblocking(&reader)?;
        let printed = Printed {
            pipe: File::from(reader),
            is_silent,
            tag: None,
            is_at_line_start: true,
            is_readable: false,
        };
        Ok((printed, writer))
    }

    /// From now on it is only shown to whoever drains it.
    pub fn silence(&mut self) {
        self.is_silent = true;
    }

    pub fn note_readable(&mut self) {
        self.is_readable = true;
    }

    pub fn is_readable(&self) -> bool {
        self.is_readable
    }

    /// Passes on what is there, at most one turn's share, and shows it to `each`.
    pub fn drain(&mut self, buffer: &mut [u8], mut each: impl FnMut(&[u8])) {
        let mut taken = 0;
        while taken < TURN_BYTES_MAX {
            match self.pipe.read(buffer) {
                Ok(0) => return self.is_readable = false,
                Ok(read) => {
                    taken += read;
                    each(&buffer[..read]);
                    self.print(&buffer[..read]);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return self.is_readable = false,
            }
        }
    }

    /// Writes to standard error. If that is closed, there is nobody to tell.
    fn print(&mut self, bytes: &[u8]) {
        if self.is_silent {
            return;
        }
        let mut stderr = io::stderr().lock();
        let Some(tag) = &self.tag else {
            let _ = stderr.write_all(bytes);
            return;
        };
        let mut tagged = Vec::with_capacity(bytes.len() + tag.len());
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            if self.is_at_line_start {
                tagged.extend_from_slice(tag.as_bytes());
            }
            tagged.extend_from_slice(line);
            self.is_at_line_start = line.ends_with(b"\n");
        }
        let _ = stderr.write_all(&tagged);
    }
}

impl AsFd for Printed {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pipe.as_fd()
    }
}
