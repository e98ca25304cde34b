//! The only place that names libc: safe, thin functions over the system calls that std lacks. Decides nothing.
#![allow(unsafe_code)]

pub mod clock;
#[cfg(all(
    target_arch = "x86_64",
    any(test, all(target_env = "musl", not(debug_assertions)))
))]
mod copy;
pub mod descriptor;
mod errno;
pub mod inotify;
pub mod memory;
pub mod process;
pub mod random;
pub mod signal;
pub mod spawn;
pub mod terminal;
pub mod trap;
pub mod usage;
