//! Flows: nodes declared in files, compiled to a graph and run, as state machines. Opens no socket and no file.

pub mod cel;
pub mod languages;
pub mod spec;
pub mod store;
pub mod value;
