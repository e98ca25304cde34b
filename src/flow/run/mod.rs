//! Runs: trees of frames, their packets and answers, deadlines, traces and breakpoints. Does nothing itself in the world.

pub mod breakpoint;
pub(super) mod floor;
pub(super) mod frame;
pub mod join;
pub(super) mod machine;
pub(super) mod process;
pub mod trace;
