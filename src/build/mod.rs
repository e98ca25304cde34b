//! Making programs: `nexus new` and `nexus build`. Finds sources, has them read and compiled, and writes the program, its
//! manifest and its pools. Runs no program and prints nothing.

pub mod builder;
pub mod compiler;
mod cpp;
mod declarations;
mod folder;
mod interpreter;
mod javascript;
mod language;
mod library;
mod manifest;
pub mod order;
mod pool;
mod python;
mod r;
pub mod runtimes;
pub mod served;
pub mod snippets;
mod stage;
mod state;
pub mod template;
mod text;
