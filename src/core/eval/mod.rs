//! Evaluation of expressions: a machine with its own stack and a budget of steps and memory. Does no I/O and calls no
//! pool.

mod apply;
mod heap;
mod machine;
mod select;
mod stop;
#[cfg(test)]
mod tests;
mod wire;

pub use machine::{Budget, Machine, Outcome, run};
