//! The small program that `nexus new` makes. Builds nothing.
use crate::error::Result;
use std::path::Path;
/// Makes it.
pub fn create(_folder: &Path, _languages: &[&str]) -> Result<String> {
    Ok(String::new())
}
