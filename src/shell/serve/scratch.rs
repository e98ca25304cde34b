//! Directories of a server's own, beside the private sockets, for what it builds and what it is sent: each goes with what it
//! was made for, or with the next server where this one is killed. Looks into none.

use crate::error::{Error, Kind, Result};
use crate::shell::private_socket::{directory, make_directory};
use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// Directories that this process has made.
static COUNT: AtomicU32 = AtomicU32::new(0);

/// What the names begin with; the process id follows, and a number.
const KINDS: [&str; 2] = ["built", "package"];

/// A directory that is removed when this is dropped.
pub struct Scratch(PathBuf);

impl Scratch {
    /// Makes one of that kind, which only this user can enter. What killed servers have left is removed.
    ///
    /// # Errors
    /// Kind `denied`: another user has the place; `io`: what the system says.
    pub fn new(kind: &str) -> Result<Scratch> {
        let all = make_directory()?;
        clear(&all);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let scratch = Scratch(all.join(format!("{kind}-{}-{count}", std::process::id())));
        match DirBuilder::new().mode(0o700).create(scratch.path()) {
            Ok(()) => Ok(scratch),
            Err(error) => Err(refused("make the directory", scratch.path(), &error)),
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The error for a path that the system refuses.
pub fn refused(what: &str, path: &Path, error: &std::io::Error) -> Box<Error> {
    Error::new(Kind::Io, format!("can't {what} {}: {error}", path.display()))
}

/// Removes what killed servers have left, if there is anything.
pub fn clear_left() {
    if directory().is_dir()
        && let Ok(all) = make_directory()
    {
        clear(&all);
    }
}

fn clear(all: &Path) {
    let own = std::process::id().to_string();
    let has_own = COUNT.load(Ordering::Relaxed) > 0;
    for entry in fs::read_dir(all).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let mut parts = name.to_str().unwrap_or_default().split('-');
        let is_scratch = parts.next().is_some_and(|kind| KINDS.contains(&kind));
        // Another process may have had the id that this one has now: in a container most do.
        let is_left = |id: &str| match id == own {
            true => !has_own,
            false => !Path::new("/proc").join(id).exists(),
        };
        if is_scratch && parts.next().is_some_and(is_left) {
            drop(Scratch(entry.path()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::descriptor::make_temp_dir;

    #[test]
    fn what_the_dead_left_is_cleared() {
        let all = make_temp_dir(&std::env::temp_dir(), "nexus-scratch-").unwrap();
        let init = "built-1-0";
        let names = ["built-x-0", "package-4294967295-7", "socket", "built", init];
        for name in names {
            fs::create_dir_all(all.join(name).join("inner")).unwrap();
        }
        let own = all.join(format!("package-{}-0", std::process::id()));
        fs::create_dir(&own).unwrap();
        clear(&all);
        let is_there = names.map(|name| all.join(name).is_dir());
        assert_eq!(is_there, [false, false, true, true, true]);
        // Of a process that had the same id.
        assert!(!own.exists());
        COUNT.store(1, Ordering::Relaxed);
        fs::create_dir(&own).unwrap();
        clear(&all);
        assert!(own.is_dir());
        fs::remove_dir_all(&all).unwrap();
    }
}
