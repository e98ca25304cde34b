//! Expressions of pure and composed commands: an arena of nodes, checked once when loaded. Evaluates nothing.

pub mod arena;
mod compose;
pub mod load;
mod scope;
