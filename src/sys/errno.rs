//! Results of system calls. Names none of them.

use std::io;

/// Turns libc's -1 into the error of `errno`.
pub(super) fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result == -1 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}

/// The number of the last error, without an allocation.
pub(super) fn errno() -> libc::c_int {
    io::Error::last_os_error().raw_os_error().unwrap_or_default()
}
