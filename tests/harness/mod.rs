//! What the integration tests share. Holds no logic.
#![allow(unused_imports)] // Each test file uses a part.

mod daemon;
mod program;

pub use daemon::{Daemon, runs, signal, until};
pub use program::{NEXUS, Program, Ran, build_languages, finish, has, search_path};
