//! What the tool does with flows: it serves them, looks at those that are served, and runs their tests.

pub mod look;
pub mod start;
pub mod test;
