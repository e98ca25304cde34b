//! Nodes and values in files, as texts: what the files hold, what a change of them would be, and what has to be written. Opens no
//! file: [`crate::shell::flow_store`] does.
//!
//! A store is `DIR/NAMESPACE/{specs,values}/NAME.yaml`. The tool writes one object a file; people may write several into one, by
//! any name that ends in `.yaml`, `.yml` or `.json`.

pub mod catalog;
pub mod file;
pub mod journal;
pub mod line_diff;
pub mod plan;

pub use catalog::{Catalog, Change, Stamp};
pub use plan::{Act, Plan, Step};
