//! The Common Expression Language: conditions and snippets of flows, compiled once and evaluated by a machine with its own
//! stacks and a budget. Knows no timestamps, durations, protocol buffers or types as values, and says so.

mod expression;

pub use expression::{Cel, CelError};
