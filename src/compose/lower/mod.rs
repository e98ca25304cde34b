//! Expressions of the manifest from checked ones: every definition that a command needs becomes a `let` around it, once for
//! each combination of types that it is used at. Evaluates nothing and simplifies nothing.

mod application;
mod builtin;
mod command;
mod expression;
mod json;
mod local;
mod pipe;
mod program;

pub use program::lower;
