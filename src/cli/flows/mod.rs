//! The subcommands of the tool for flows.

mod apply;
mod diff;
mod get;
pub mod look;
mod rows;
pub mod start;
mod stored;
pub mod test;
pub mod words;
