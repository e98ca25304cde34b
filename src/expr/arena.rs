//! The expression arena.

/// All expressions of a manifest.
#[derive(Debug, Default)]
pub struct Exprs {}
