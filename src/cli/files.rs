//! Files and standard input read whole, up to a limit. Knows no format.

use crate::sys::memory::{attempt, expect_filling};
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// The content of a file, of at most `bytes_max` bytes.
///
/// # Errors
/// What the system says; a content that is larger.
pub fn read(path: &Path, bytes_max: u64) -> io::Result<Vec<u8>> {
    let file = File::open(path)?;
    // Only a regular file has a size that means something, and a few more bytes let the read that finds the end fit in.
    let size = file.metadata().map_or(0, |found| found.len());
    drain(file, size.min(bytes_max) as usize + 32, bytes_max)
}

/// What standard input holds until its end, of at most `bytes_max` bytes.
///
/// # Errors
/// What the system says; a content that is larger.
pub fn read_stdin(bytes_max: u64) -> io::Result<Vec<u8>> {
    drain(io::stdin().lock(), 0, bytes_max)
}

fn drain(source: impl Read, capacity: usize, bytes_max: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    attempt(|| {
        bytes.try_reserve_exact(capacity)?;
        expect_filling(&mut bytes);
        source.take(bytes_max + 1).read_to_end(&mut bytes)
    })?;
    match bytes.len() as u64 > bytes_max {
        true => Err(io::Error::other(format!("it is larger than {bytes_max} bytes"))),
        false => Ok(bytes),
    }
}

/// The system's reason as the end of a sentence: `no such file or directory`.
pub fn reason(error: &io::Error) -> String {
    let mut text = error.to_string();
    text.truncate(text.find(" (os error").unwrap_or(text.len()));
    if let Some(first) = text.get_mut(..1) {
        first.make_ascii_lowercase();
    }
    text
}
