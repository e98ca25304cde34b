//! Packages that were uploaded, on the disk: each in a directory of its own, which is there until nothing uses it. Knows not
//! what is in them.

use super::scratch::{Scratch, refused};
use crate::codec::zip::Entry;
use crate::error::Result;
use crate::map::Map;
use std::fs;

/// Those that are there, by their folders.
#[derive(Default)]
pub struct Packages(Map<String, Scratch>);

impl Packages {
    /// Writes a package, whose folder has the name `id`: its path. Paths of the entries lead nowhere else; those of
    /// directories come before what is in them.
    ///
    /// # Errors
    /// As [`Scratch::new`]; kind `io`: what the system says, after which nothing is left.
    pub fn unpack(&mut self, id: &str, entries: &[Entry]) -> Result<String> {
        let scratch = Scratch::new("package")?;
        let folder = scratch.path().join(id);
        fs::create_dir(&folder).map_err(|error| refused("make the directory", &folder, &error))?;
        for entry in entries {
            let path = folder.join(&entry.path);
            let directory = match (&entry.bytes, path.parent()) {
                (Some(_), Some(parent)) => parent,
                _ => &path,
            };
            fs::create_dir_all(directory)
                .map_err(|error| refused("make the directory", directory, &error))?;
            if let Some(bytes) = &entry.bytes {
                fs::write(&path, bytes).map_err(|error| refused("write", &path, &error))?;
            }
        }
        let folder = folder.to_string_lossy().into_owned();
        self.0.insert(folder.clone(), scratch);
        Ok(folder)
    }

    /// Removes one by its folder.
    pub fn remove(&mut self, folder: &str) {
        self.0.remove(folder);
    }
}
