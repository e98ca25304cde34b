//! The command line: words in, results and errors out. Runs no process and knows no pool.

mod admin;
pub mod args;
mod call_graph;
mod completions;
mod each;
mod explain;
mod files;
mod flows;
mod help;
pub mod input;
mod launcher;
mod making;
mod mcp;
mod options;
pub mod output;
mod page;
mod program;
mod remote;
mod report;
pub mod request;
mod serve;
pub mod source;
mod start;
mod style;
mod subcommand;
mod tabular;
mod tool;
mod warm;

pub use start::main;
