//! What the integration tests share. Holds no logic.
#![allow(unused_imports)] // Each test file uses a part.

mod program;

pub use program::{NEXUS, Program, Ran, build_languages, finish, has, search_path};
