//! Expressions of pure and composed commands: an arena of nodes, checked once when loaded. Evaluates nothing.

pub mod arena;
mod compose;
mod drive;
pub mod load;
pub mod process;
mod scope;
