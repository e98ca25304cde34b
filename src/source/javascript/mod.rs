//! JavaScript: signature comments and JSDoc above functions, `@typedef` records, what a file exports. Runs nothing.

mod jsdoc;
mod reader;
#[cfg(test)]
mod tests;

pub use reader::read;
