//! The only place that names libc: safe, thin functions over the system calls that std lacks. Decides nothing.
#![allow(unsafe_code)]

pub mod clock;
pub mod descriptor;
pub mod process;
pub mod signal;
pub mod spawn;
pub mod terminal;

use std::io;

/// Turns libc's -1 into the error of `errno`.
fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result == -1 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}
