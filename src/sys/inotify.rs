//! Directories that are watched for files that change (inotify). Reads no file.

use super::errno::check;
use std::ffi::{CString, OsString};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

/// Bytes of one read: some dozens of events.
const READ_BYTES: usize = 4096;

/// A set of watched directories.
#[derive(Debug)]
pub struct Watch {
    fd: OwnedFd,
}

/// Something in a watched directory has changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The directory, by the number that [`Watch::add`] gave.
    pub directory: i32,
    /// The name of what has changed; empty: more than can be told.
    pub name: OsString,
}

impl Watch {
    /// A set without any.
    pub fn new() -> io::Result<Watch> {
        // SAFETY: it takes plain flags, and returns a new descriptor.
        let fd = check(unsafe { libc::inotify_init1(libc::IN_CLOEXEC | libc::IN_NONBLOCK) })?;
        // SAFETY: the kernel just made it for us.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        Ok(Watch { fd })
    }

    /// Watches a directory for files that are written, moved there or removed, and for its own end. The same one gets the same number.
    pub fn add(&self, directory: &Path) -> io::Result<i32> {
        self.watch(
            directory,
            libc::IN_CLOSE_WRITE | libc::IN_MOVED_TO | libc::IN_DELETE | libc::IN_MOVE_SELF,
        )
    }

    /// As [`Watch::add`], and for what is made in it, such as directories, or moved away, and for its own end.
    pub fn add_whole(&self, directory: &Path) -> io::Result<i32> {
        let seen = libc::IN_CLOSE_WRITE | libc::IN_MOVE | libc::IN_DELETE | libc::IN_CREATE;
        self.watch(directory, seen | libc::IN_MOVE_SELF | libc::IN_DELETE_SELF)
    }

    fn watch(&self, directory: &Path, mask: u32) -> io::Result<i32> {
        let path = CString::new(directory.as_os_str().as_bytes())?;
        let mask = mask | libc::IN_ONLYDIR;
        // SAFETY: the path ends in NUL and outlives the call.
        check(unsafe { libc::inotify_add_watch(self.fd.as_raw_fd(), path.as_ptr(), mask) })
    }

    /// Watches a directory no more. One that is gone was forgotten by itself.
    pub fn remove(&self, directory: i32) {
        // SAFETY: it takes plain integers.
        unsafe { libc::inotify_rm_watch(self.fd.as_raw_fd(), directory) };
    }

    /// What has changed since the last time.
    pub fn changes(&self) -> Vec<Change> {
        let mut found = Vec::new();
        let mut bytes = [0; READ_BYTES];
        loop {
            // SAFETY: the buffer has room for as many bytes as are given.
            let read = unsafe { libc::read(self.fd.as_raw_fd(), bytes.as_mut_ptr().cast(), bytes.len()) };
            let Some(read) = usize::try_from(read).ok().filter(|read| *read > 0) else {
                return found;
            };
            parse(&bytes[..read], &mut found);
        }
    }
}

/// Reads events as the kernel lays them out: directory, mask, cookie and the length of the name, four bytes each; the name.
fn parse(mut bytes: &[u8], found: &mut Vec<Change>) {
    const HEAD_BYTES: usize = 16;
    while bytes.len() >= HEAD_BYTES {
        let number = |at: usize| u32::from_ne_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        let (directory, name_bytes) = (number(0) as i32, number(12) as usize);
        let end = (HEAD_BYTES + name_bytes).min(bytes.len());
        let name = bytes[HEAD_BYTES..end].split(|byte| *byte == 0).next();
        found.push(Change {
            directory,
            name: OsString::from_vec(name.unwrap_or_default().to_vec()),
        });
        bytes = &bytes[end..];
    }
}

impl AsFd for Watch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_read_one_after_the_other() {
        let mut bytes = Vec::new();
        for (directory, name) in [(1i32, "a.manifest\0\0\0\0\0\0"), (2, ""), (-1, "b\0\0\0")] {
            bytes.extend(directory.to_ne_bytes());
            bytes.extend([0; 8]);
            bytes.extend((name.len() as u32).to_ne_bytes());
            bytes.extend(name.bytes());
        }
        let mut found = Vec::new();
        parse(&bytes, &mut found);
        let found: Vec<_> = found
            .iter()
            .map(|change| (change.directory, change.name.to_str().unwrap()))
            .collect();
        assert_eq!(found, [(1, "a.manifest"), (2, ""), (-1, "b")]);
        // What is cut off is no reason to fail.
        parse(&bytes[..20], &mut Vec::new());
    }
}
