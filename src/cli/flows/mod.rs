//! The subcommands of the tool for flows.

mod apply;
mod diff;
mod get;
mod rows;
pub mod words;
