//! The command line: words in, results and errors out. Runs no process and knows no pool.

mod args;
mod elements;
mod files;
mod help;
mod input;
mod names;
mod options;
mod output;
mod page;
mod program;
mod remote;
mod report;
mod request;
mod sample;
mod source;
mod start;
mod style;
mod tabular;
mod tool;

pub use start::main;
