//! The kinds of nodes, one file for each or for a family. Asks nothing of the world but by [`node::Work`].
//!
//! To add a kind:
//! 1. Write `kinds/NAME.rs`: a struct with what its fields say, a `pub fn build(spec: &Spec, known: &Known) ->
//!    Result<Box<dyn Node>>` that reads them by `kinds/fields.rs` and refuses what is wrong, and its `impl Node`:
//!    `receive` says what a packet brings about as a [`node::Step`], `resume` what follows from an answer. A node is shared by
//!    all runs: what belongs to one packet is in its [`node::FrameState`].
//! 2. List it below, and in the table of `kinds/table.rs` with its own fields; others are refused.
//! 3. Show what it does in its tests by `check(nodes, packet, answer)`, and give it a row in the README's reference.

mod assert;
mod block;
mod call;
#[cfg(test)]
pub(in crate::flow) mod check;
mod elements;
pub mod fields;
mod fork;
mod http;
mod listener;
mod merge;
pub mod node;
mod pipe;
mod retry;
mod router;
mod sleep;
mod snippet;
mod source;
mod sql;
mod switch;
mod syscall;
pub mod table;
mod throw;
