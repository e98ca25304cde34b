//! The composition notation: a `.loc` file beside the sources that joins their functions. Reads texts, checks types,
//! writes expressions of the manifest; opens no file and evaluates nothing.

pub mod ast;
pub mod compile;
pub mod compiled;
pub mod temp;
pub use temp as parser;
