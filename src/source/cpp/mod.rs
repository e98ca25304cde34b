//! C++: signature comments above functions. Compiles nothing.

mod reader;
#[cfg(test)]
mod tests;

pub use reader::read;
