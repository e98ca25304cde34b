//! What a program is: its pools and commands, read from a manifest and checked as a whole. Starts and runs nothing.

mod argument;
mod checker;
mod command;
pub mod model;
pub mod names;
pub mod parse;
mod policy;
mod pool;
pub mod positional;
pub mod sample;
pub mod word;
