//! What the tool does with flows: it serves them, and looks at those that are served.

pub mod start;
