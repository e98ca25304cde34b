//! Evaluation of expressions: a machine with its own stacks and a budget of steps and memory. Does no I/O and calls no
//! pool: it says what it wants done, and is told what came of it.

mod apply;
mod ask;
mod collect;
mod fiber;
mod function;
mod heap;
mod list;
mod machine;
mod operator;
mod process;
mod scope;
mod select;
mod step;
mod stop;
#[cfg(test)]
mod tests;
mod wire;

pub use ask::{Ask, AskId, HostCall};
pub use machine::{Budget, Machine, Outcome, Program, Progress, run};
