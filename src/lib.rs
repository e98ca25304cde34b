//! Nexus runs programs whose functions are written in several languages.
//!
//! This file only names the layers, from the top down; imports go from a layer to those after it, never back
//! (`tests/tidy.rs` enforces it). README.md, section Architecture, is the map.

pub mod build;
pub mod cli;
pub mod shell;
pub mod sys;
// Pure from here down: no clock, no descriptor, no environment.
pub mod codec;
pub mod compose;
pub mod core;
pub mod error;
pub mod expr;
pub mod flow;
pub mod ids;
pub mod limits;
pub mod manifest;
pub mod map;
pub mod serve;
pub mod source;
