//! What a program is: its pools and commands, read from a manifest and checked as a whole. Starts and runs nothing.

pub mod model;
