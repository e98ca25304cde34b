//! Chance from the system, for names that nobody may guess.

/// Bytes that nobody can guess.
pub fn bytes() -> [u8; 16] {
    let mut bytes = [0; 16];
    loop {
        // SAFETY: the buffer has room for as many bytes as are given.
        let filled = unsafe { libc::getrandom(bytes.as_mut_ptr().cast(), bytes.len(), 0) };
        // It fails only where a signal comes before there is any chance to be had.
        if filled == bytes.len() as isize {
            return bytes;
        }
    }
}
