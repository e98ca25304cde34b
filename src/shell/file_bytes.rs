//! The content of a file that goes to a program as it is, and is read only when somebody else wants it. Knows no pipe.

use crate::codec::msgpack::write;
use crate::limits::PIPE_BYTES;
use crate::sys::descriptor::splice;
use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Bytes of the head that msgpack puts before long bytes: its marker and a length.
const HEAD_BYTES: u64 = 5;

/// What is read at once where the system moves no bytes by itself, in bytes.
const PIECE_BYTES: usize = 64 << 10;

/// Bytes in a file.
#[derive(Debug)]
pub struct FileBytes {
    file: File,
    len: u64,
}

impl FileBytes {
    /// The bytes that a file holds as msgpack; none where it holds anything else, or few enough that reading them is nothing.
    pub fn of(path: &Path) -> Option<FileBytes> {
        let file = File::open(path).ok()?;
        let size = file.metadata().ok().filter(|found| found.is_file())?.len();
        let len = u32::try_from(size.checked_sub(HEAD_BYTES)?).ok()?;
        let (mut head, mut expected) = ([0; HEAD_BYTES as usize], Vec::new());
        file.read_exact_at(&mut head, 0).ok()?;
        write::bin_head(&mut expected, len);
        (expected == head).then_some(FileBytes {
            file,
            len: len.into(),
        })
    }

    /// Moves bytes from that position on into a pipe, and tells how many: 0 when there are no more.
    ///
    /// # Errors
    /// `UnexpectedEof` for a file that has become shorter, and as `write`, `WouldBlock` included.
    pub fn send(&self, at: u64, pipe: &File) -> io::Result<usize> {
        let left = (self.len - at).min(PIPE_BYTES as u64) as usize;
        if left == 0 {
            return Ok(0);
        }
        let sent = match splice(self.file.as_fd(), HEAD_BYTES + at, pipe, left) {
            Err(error) if matches!(error.kind(), ErrorKind::InvalidInput | ErrorKind::Unsupported) => {
                let mut piece = [0; PIECE_BYTES];
                match self
                    .file
                    .read_at(&mut piece[..left.min(PIECE_BYTES)], HEAD_BYTES + at)?
                {
                    0 => 0,
                    read => (&mut &*pipe).write(&piece[..read])?,
                }
            }
            sent => sent?,
        };
        match sent {
            0 => Err(io::Error::new(ErrorKind::UnexpectedEof, "it has become shorter")),
            sent => Ok(sent),
        }
    }

    /// All of it, as msgpack.
    ///
    /// # Errors
    /// What the system says.
    pub fn read(&self) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; (HEAD_BYTES + self.len) as usize];
        self.file.read_exact_at(&mut bytes, 0)?;
        Ok(bytes)
    }
}
