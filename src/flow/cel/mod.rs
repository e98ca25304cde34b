//! The Common Expression Language: conditions and snippets of flows, compiled once and evaluated by a machine with its own
//! stacks and a budget. Knows no timestamps, durations, protocol buffers, optional values or types as values, and says so.

mod arena;
mod budget;
mod convert;
mod expression;
mod format;
mod function;
mod lexer;
mod machine;
mod member;
mod operator;
mod parser;
mod pattern;
mod pattern_parser;
mod quoted;
#[cfg(test)]
mod tests;
mod text;

pub use expression::{Cel, CelError};
