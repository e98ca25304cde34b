//! The composition notation: a `.loc` file beside the sources that joins their functions. Reads texts, checks types,
//! writes expressions of the manifest; opens no file and evaluates nothing.

pub mod ast;
mod builtins;
pub mod compile;
pub mod compiled;
mod concrete;
mod declare;
mod describe;
mod infer;
pub mod lexer;
mod lower;
pub mod parser;
pub mod print;
mod resolve;
mod types;
