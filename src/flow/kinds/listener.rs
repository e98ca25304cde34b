//! The kind `listener`. Opens no socket.

use super::node::{Known, Node};
use crate::error::{Error, Kind, Result};
use crate::flow::spec::Spec;

/// Builds one.
///
/// # Errors
/// Fields that are wrong.
pub fn build(_spec: &Spec, _known: &Known) -> Result<Box<dyn Node>> {
    Err(Error::new(Kind::Unavailable, "kind 'listener' is not there yet"))
}
