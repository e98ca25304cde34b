//! Flows: nodes declared in files, compiled to a graph and run, as state machines. Opens no socket and no file.

pub mod admission;
pub mod cel;
pub mod engine;
pub mod graph;
pub mod http;
pub mod kinds;
pub mod languages;
pub mod run;
pub mod shown;
#[cfg(test)]
pub(crate) mod simulation;
pub mod spec;
pub mod store;
pub mod supply;
pub mod syscall;
pub mod value;
