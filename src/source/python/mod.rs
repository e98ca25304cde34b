//! Python: signature comments, type hints and docstrings, dataclasses and their like. Imports nothing and evaluates nothing.

mod hints;
mod reader;
#[cfg(test)]
mod tests;

pub use reader::read;
