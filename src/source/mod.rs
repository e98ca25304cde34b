//! What the sources of a program say about themselves: types, signatures, and what is written about them. Reads texts;
//! opens no file and runs no code of theirs.

mod collect;
mod comment;
pub mod cpp;
pub mod directives;
pub mod flaw;
mod forms;
pub mod javascript;
mod lexer;
mod literal;
pub mod notation;
mod print;
pub mod python;
pub mod r;
mod read;
pub mod signature;
#[cfg(test)]
mod tests;
pub mod types;

pub use read::{read, read_loosely};
