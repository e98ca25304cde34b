//! What the sources of a program say about themselves: types, signatures, and what is written about them. Reads texts;
//! opens no file and runs no code of theirs.

pub mod directives;
pub mod flaw;
pub mod notation;
pub mod signature;
pub mod temp;
pub mod types;
pub use temp::read;
