//! Files on their way to their places: all are written beside first, and renamed when everything has gone well. So a build
//! that fails leaves what was there, and nobody runs half a program. Decides nothing of what they hold.

use crate::build::runtimes::Runtime;
use crate::build::state::{self, State};
use crate::error::{Error, Kind, Result};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// What a build makes meanwhile, in the folder of the pools.
const WORK: &str = ".new";
/// Where files wait there for their places.
const WAITING: &str = ".new/files";

/// The folder of the pools while it is built.
#[derive(Debug)]
pub struct Stage {
    pools: PathBuf,
    /// Paths relative to the folder, of the files that wait.
    waiting: Vec<String>,
    /// All files that will be there.
    files: Vec<String>,
    /// Whether there was no folder before.
    is_first: bool,
}

impl Stage {
    /// Begins with an empty place to wait in. What a build left that was killed is removed. A new folder gets its mark at
    /// once, by which the next build knows that it may write there.
    pub fn begin(pools: &Path) -> Result<Stage> {
        make_folder(pools)?;
        let mark = pools.join(state::FILE);
        let stage = Stage {
            pools: pools.to_path_buf(),
            waiting: Vec::new(),
            files: Vec::new(),
            is_first: !mark.exists(),
        };
        stage.clear()?;
        if stage.is_first {
            fs::write(&mark, State::default().text()).map_err(|error| failed("write", &mark, &error))?;
        }
        Ok(stage)
    }

    fn clear(&self) -> Result<()> {
        let work = self.pools.join(WORK);
        match fs::remove_dir_all(&work) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed("remove", &work, &error)),
            _ => Ok(()),
        }
    }

    /// Where a file waits, with the folder that it needs.
    pub fn waiting(&self, path: &str) -> Result<PathBuf> {
        let waiting = self.pools.join(WAITING).join(path);
        make_folder(waiting.parent().unwrap_or(&waiting))?;
        Ok(waiting)
    }

    /// A folder for a compiler, with copies of files that were put.
    pub fn workshop(&self, name: &str, files: &[&str]) -> Result<PathBuf> {
        let folder = self.pools.join(WORK).join(name);
        make_folder(&folder)?;
        for file in files {
            let place = match self.waiting.iter().any(|waiting| waiting == file) {
                true => self.pools.join(WAITING).join(file),
                false => self.pools.join(file),
            };
            let copied = fs::copy(&place, folder.join(file));
            copied.map_err(|error| failed("copy", &place, &error))?;
        }
        Ok(folder)
    }

    /// Whether a file is in its place.
    pub fn has(&self, path: &str) -> bool {
        self.pools.join(path).is_file()
    }

    /// A file with that content; one that is there already stays as it is.
    pub fn put(&mut self, path: &str, content: &[u8]) -> Result<()> {
        let is_same = fs::read(self.pools.join(path)).is_ok_and(|found| found == content);
        if !is_same {
            let waiting = self.waiting(path)?;
            fs::write(&waiting, content).map_err(|error| failed("write", &waiting, &error))?;
        }
        self.note(path, !is_same);
        Ok(())
    }

    /// A runtime, which is unpacked only where it is missing.
    pub fn put_runtime(&mut self, path: &str, runtime: &Runtime) -> Result<()> {
        match fs::read(self.pools.join(path)) {
            Ok(found) if runtime.is(&found) => {
                self.note(path, false);
                Ok(())
            }
            _ => self.put(path, &runtime.text()),
        }
    }

    /// A file that somebody else makes: it waits already, or is in its place.
    pub fn note(&mut self, path: &str, waits: bool) {
        self.files.push(path.to_string());
        if waits {
            self.waiting.push(path.to_string());
        }
    }

    /// All files, in order.
    pub fn files(&self) -> Vec<String> {
        let mut files = self.files.clone();
        files.sort();
        files
    }

    /// Whether nothing has to be changed.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Moves all to their places, and removes what was there before and is no more.
    pub fn commit(self, before: &[String]) -> Result<()> {
        for path in &self.waiting {
            let (from, to) = (self.pools.join(WAITING).join(path), self.pools.join(path));
            make_folder(to.parent().unwrap_or(&self.pools))?;
            fs::rename(&from, &to).map_err(|error| failed("write", &to, &error))?;
        }
        for path in before.iter().filter(|path| !self.files.contains(path)) {
            // A file that somebody has removed already, or a folder that still holds something, is no matter.
            let mut path = self.pools.join(path);
            let _ = fs::remove_file(&path);
            while path.pop() && path != self.pools && fs::remove_dir(&path).is_ok() {}
        }
        self.clear()
    }

    /// Gives everything up.
    pub fn abandon(self) {
        // It is told of why the build failed; the next one tries again.
        let _ = self.clear();
        if self.is_first {
            let _ = fs::remove_file(self.pools.join(state::FILE));
            let _ = fs::remove_dir(&self.pools);
        }
    }
}

fn make_folder(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).map_err(|error| failed("make the folder", folder, &error))
}

/// Replaces a file, unless it has that content: written beside, and renamed.
pub fn replace(path: &Path, content: &[u8]) -> Result<bool> {
    if fs::read(path).is_ok_and(|found| found == content) {
        return Ok(false);
    }
    let beside = beside(path);
    fs::write(&beside, content).map_err(|error| failed("write", path, &error))?;
    fs::rename(&beside, path).map_err(|error| failed("write", path, &error))?;
    Ok(true)
}

/// Makes the program: nexus itself under another name. A link where the system allows it, which takes no room. Whoever runs
/// the former one keeps it.
pub fn install(nexus: &Path, path: &Path) -> Result<bool> {
    let is_same = |path: &Path| {
        use std::os::unix::fs::MetadataExt;
        let (Ok(own), Ok(found)) = (fs::metadata(nexus), fs::symlink_metadata(path)) else {
            return false;
        };
        let is_link = (own.dev(), own.ino()) == (found.dev(), found.ino());
        let is_copy =
            || found.is_file() && own.len() == found.len() && fs::read(nexus).ok() == fs::read(path).ok();
        is_link || is_copy()
    };
    if is_same(path) {
        return Ok(false);
    }
    let beside = beside(path);
    let _ = fs::remove_file(&beside);
    let made = fs::hard_link(nexus, &beside).or_else(|_| fs::copy(nexus, &beside).map(|_| ()));
    made.map_err(|error| failed("write", path, &error))?;
    fs::rename(&beside, path).map_err(|error| failed("write", path, &error))?;
    // Between two links of one file a rename does nothing.
    let _ = fs::remove_file(&beside);
    Ok(true)
}

/// The name under which a file is written before it is there.
fn beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    PathBuf::from(name)
}

/// What the system refused.
pub fn failed(action: &str, path: &Path, error: &io::Error) -> Box<Error> {
    let mut reason = error.to_string();
    reason.truncate(reason.find(" (os error").unwrap_or(reason.len()));
    Error::new(
        Kind::Io,
        format!(
            "can't {action} {}: {}",
            path.display(),
            reason.to_ascii_lowercase()
        ),
    )
}
