//! The composition notation: a `.loc` file beside the sources that joins their functions. Reads texts, checks types,
//! writes expressions of the manifest; opens no file and evaluates nothing.

pub mod ast;
pub mod lexer;
pub mod parser;
pub mod print;
