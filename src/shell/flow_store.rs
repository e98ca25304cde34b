//! The directory of a store of nodes and values: read whole, written so that every file is whole whenever anybody looks, watched.
//! What its files mean, and what is written, decides [`crate::flow::store`].

mod remembered;
mod watching;

use self::watching::Watching;
use crate::error::{Error, Kind, Result};
use crate::flow::spec::{Errors, NAMESPACE, Object, Sort, name};
use crate::flow::store::plan::{Wish, Write as FileWrite, plan};
use crate::flow::store::{Catalog, Change, Plan, Stamp, file};
use crate::limits::FLOW_FILE_BYTES_MAX;
use crate::sys::descriptor::{lock, sync_file_system};
use crate::sys::random;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// How names of files begin that are not whole yet, and how they end: nobody takes them for objects.
const TEMPORARY: (&str, &str) = (".nexus-", ".tmp");

/// The file that a writer locks.
const LOCK: &str = ".lock";

/// Files from which on the file system is synced once, rather than each of them: a disk takes some milliseconds for either.
const SYNCED_TOGETHER_MIN: usize = 16;

/// A store, and what was last seen of it.
#[derive(Debug)]
pub struct FlowStore {
    directory: PathBuf,
    /// The one namespace that is looked at, if it is not all.
    namespace: Option<String>,
    catalog: Catalog,
    watch: Option<Watching>,
    /// Whether a write waits while another process writes.
    waits: bool,
}

/// Reads the objects in a file, or in standard input if it is `-`.
///
/// # Errors
/// Kind `io`: it can't be read. What is wrong with it, shown with its line.
pub fn read_objects(path: &str, sort: Sort, namespace: &str) -> std::result::Result<Vec<Object>, Errors> {
    let limit = FLOW_FILE_BYTES_MAX as u64 + 1;
    let mut text = Vec::new();
    let read = match path {
        "-" => io::stdin().lock().take(limit).read_to_end(&mut text),
        path => File::open(path).and_then(|file| file.take(limit).read_to_end(&mut text)),
    };
    read.map_err(|error| vec![refused("read", Path::new(path), &error)])?;
    file::read_shown(sort, &text, &path.into(), namespace)
}

fn refused(what: &str, path: &Path, error: &io::Error) -> Box<Error> {
    let mut reason = error.to_string();
    reason.truncate(reason.find(" (os error").unwrap_or(reason.len()));
    let shown = path.display();
    Error::new(
        Kind::Io,
        format!("can't {what} {shown}: {}", reason.to_lowercase()),
    )
}

impl FlowStore {
    /// The store in that directory, of one namespace or of all. Nothing is read yet; a directory that isn't there is an empty one.
    pub fn new(directory: &Path, namespace: Option<&str>) -> FlowStore {
        FlowStore {
            directory: directory.to_path_buf(),
            namespace: namespace.map(String::from),
            catalog: Catalog::default(),
            watch: None,
            waits: true,
        }
    }

    /// One whose writes fail with kind `unavailable` where another process writes, for those who have others to serve.
    #[must_use]
    pub fn without_waiting(mut self) -> FlowStore {
        self.waits = false;
        self
    }

    /// The directory.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Whether the directory is there.
    pub fn is_there(&self) -> bool {
        self.directory.is_dir()
    }

    /// What was last seen.
    pub fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    /// Looks at the directory, and tells of what has changed since it was last looked at.
    ///
    /// # Errors
    /// Kind `io`: it can't be listed.
    pub fn changes(&mut self) -> Result<Vec<Change>> {
        self.scan()?;
        Ok(self.told())
    }

    fn told(&mut self) -> Vec<Change> {
        std::iter::from_fn(|| self.catalog.poll_change()).collect()
    }

    fn scan(&mut self) -> Result<()> {
        self.observe_root()?;
        let names = match (&self.namespace, &self.watch) {
            // It is known already where to look.
            (Some(_), None) => Vec::new(),
            _ => listed(&self.directory)?,
        };
        let mut namespaces = match &self.namespace {
            Some(namespace) => vec![namespace.clone()],
            None => names.iter().filter_map(|name| file::decode(name)).collect(),
        };
        // What is gone has changed too.
        let known = self.catalog.folders().map(|folder| folder.namespace.to_string());
        namespaces.extend(known);
        namespaces.sort_unstable();
        namespaces.dedup();
        if let Some(watching) = &mut self.watch {
            watching.begin();
            watching.find_strays(&self.directory, names);
        }
        for namespace in namespaces {
            let folder = self.directory.join(name::encode(&namespace));
            self.observe(&folder)?;
            if let Some(watching) = &mut self.watch {
                watching.find_strays(&folder, listed(&folder)?);
            }
            for sort in Sort::ALL {
                let folder = folder.join(sort.plural());
                if let Some(number) = self.observe(&folder)?
                    && let Some(watching) = &mut self.watch
                {
                    watching.folders.push((number, namespace.clone(), sort));
                }
                self.scan_folder(&folder, &namespace, sort)?;
            }
        }
        if let Some(watching) = &mut self.watch {
            watching.end();
        }
        Ok(())
    }

    fn scan_folder(&mut self, folder: &Path, namespace: &str, sort: Sort) -> Result<()> {
        let mut found: Vec<(Rc<str>, Stamp)> = Vec::new();
        for name in listed(folder)?
            .into_iter()
            .filter(|name| file::holds_objects(name))
        {
            // What is no file is told of when it is read, as everything that can't be read.
            if let Ok(stamp) = stamp_of(&folder.join(&name)) {
                found.push((Rc::from(name), stamp));
            }
        }
        if found.is_empty() && self.catalog.folder(namespace, sort).is_none() {
            return Ok(());
        }
        found.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        let mut to_read = self.catalog.handle_listing(namespace, sort, &found);
        if let Some(watching) = &mut self.watch {
            let folder = self.catalog.folder(namespace, sort);
            let has_held = |name: &str| folder.is_some_and(|folder| folder.has_objects(name));
            watching.choose((namespace, sort), &found, &mut to_read, has_held);
        }
        self.read_journal(folder, namespace, sort)?;
        for name in to_read {
            let path = folder.join(&*name);
            let shown: Rc<str> = path.to_string_lossy().into();
            let (stamp, text) = match read_file(&path) {
                Ok((stamp, text)) => (stamp, Ok(text)),
                Err(error) => match stamp_of(&path) {
                    Ok(stamp) => (stamp, Err(refused("read", &path, &error))),
                    // The next look finds it gone.
                    Err(_) => continue,
                },
            };
            let text = text.as_deref().map_err(Clone::clone);
            self.catalog
                .handle_file((namespace, sort), &name, &shown, stamp, text);
        }
        Ok(())
    }

    /// What a wish would do to the objects of a sort in the namespace as they are now.
    ///
    /// # Errors
    /// As those of [`plan`].
    pub fn plan(&mut self, sort: Sort, wish: Wish<'_>) -> std::result::Result<Plan, Errors> {
        self.changes().map_err(|error| vec![error])?;
        self.remember();
        self.planned(sort, wish)
    }

    fn planned(&self, sort: Sort, wish: Wish<'_>) -> std::result::Result<Plan, Errors> {
        let namespace = self.namespace.as_deref().unwrap_or(NAMESPACE);
        plan(self.catalog.folder(namespace, sort), namespace, wish)
    }

    /// Does what is wished: under a lock from the look at what is there until the last file is written, so that of two writers one
    /// comes after the other. All or nothing is refused; killed in the middle, it has done a part, and every object is whole.
    ///
    /// # Errors
    /// As those of [`plan`]; kind `io`: a file can't be written.
    pub fn write(&mut self, sort: Sort, wish: Wish<'_>) -> std::result::Result<Plan, Errors> {
        let failed = |error| vec![error];
        make_directory(&self.directory).map_err(failed)?;
        // Held until it is closed.
        let _lock = self.lock(self.waits).map_err(failed)?;
        self.changes().map_err(failed)?;
        let plan = self.planned(sort, wish)?;
        let namespace = self.namespace.clone();
        let namespace = namespace.as_deref().unwrap_or(NAMESPACE);
        let writes = plan
            .writes(self.catalog.folder(namespace, sort))
            .map_err(failed)?;
        if !writes.is_empty() {
            let parent = self.directory.join(name::encode(namespace));
            let folder = parent.join(sort.plural());
            make_directory(&parent).map_err(failed)?;
            make_directory(&folder).map_err(failed)?;
            write_all(&folder, &writes).map_err(failed)?;
            let mut lines = Vec::new();
            while let Some((of, unknown_sort, unknown)) = self.catalog.poll_unknown() {
                match &*of == namespace && unknown_sort == sort {
                    true => lines.extend(unknown),
                    false => drop(self.add_to_journal(&of, unknown_sort, &unknown)),
                }
            }
            // What was written last counts.
            lines.extend(plan.remembered());
            // The objects are written; without this line they count as they say.
            drop(self.add_to_journal(namespace, sort, &lines));
        }
        Ok(plan)
    }

    fn lock(&self, waits: bool) -> Result<File> {
        let path = self.directory.join(LOCK);
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(&path);
        let locked = file.and_then(|file| lock(&file, waits).map(|()| file));
        locked.map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock => {
                let message = format!(
                    "the store {} is being written by another process",
                    self.directory.display()
                );
                Error::new(Kind::Unavailable, message).hint("try again")
            }
            _ => refused("lock", &path, &error),
        })
    }
}

fn is_absent(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

/// The names in a directory, if it is there. Those that are no text are nobody's.
fn listed(directory: &Path) -> Result<Vec<String>> {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if is_absent(&error) => return Ok(Vec::new()),
        Err(error) => return Err(refused("list", directory, &error)),
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|error| refused("list", directory, &error))?;
        names.extend(entry.file_name().into_string().ok());
    }
    Ok(names)
}

fn stamp(metadata: &fs::Metadata) -> Stamp {
    let time = |seconds: i64, rest: i64| i128::from(seconds) * 1_000_000_000 + i128::from(rest);
    Stamp {
        size: metadata.size(),
        inode: metadata.ino(),
        modified: time(metadata.mtime(), metadata.mtime_nsec()),
        changed: time(metadata.ctime(), metadata.ctime_nsec()),
    }
}

/// That of a file; of a link that leads nowhere that of the link.
fn stamp_of(path: &Path) -> io::Result<Stamp> {
    let metadata = fs::metadata(path).or_else(|_| fs::symlink_metadata(path))?;
    Ok(stamp(&metadata))
}

fn read_file(path: &Path) -> io::Result<(Stamp, Vec<u8>)> {
    // Before it is opened: a pipe waits for who writes it.
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::other("it is no file"));
    }
    let mut file = File::open(path)?;
    let metadata = file.metadata()?;
    // One byte more, so that what is too large is seen to be.
    let limit = FLOW_FILE_BYTES_MAX as u64 + 1;
    let mut text = Vec::with_capacity(metadata.len().min(limit) as usize + 1);
    Read::by_ref(&mut file).take(limit).read_to_end(&mut text)?;
    Ok((stamp(&metadata), text))
}

/// Makes a directory that only this user may enter, and those above it as they come.
fn make_directory(path: &Path) -> Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let mut builder = DirBuilder::new();
    let made = builder.mode(0o700).recursive(true).create(path);
    let made = made.and_then(|()| match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => File::open(parent)?.sync_all(),
        _ => Ok(()),
    });
    made.map_err(|error| refused("make", path, &error))
}

/// Writes files beside those that they then replace, and removes those without a text. Who holds the lock may.
fn write_all(folder: &Path, writes: &[FileWrite]) -> Result<()> {
    let is_left_over = |name: &String| name.starts_with(TEMPORARY.0) && name.ends_with(TEMPORARY.1);
    // Their writers were killed: nobody else writes now.
    for name in listed(folder)?.iter().filter(|name| is_left_over(name)) {
        let _ = fs::remove_file(folder.join(name));
    }
    let prefix = u64::from_ne_bytes(random::bytes().as_chunks::<8>().0[0]);
    let mut ready = Vec::new();
    let mut result = Ok(());
    let is_synced_together = writes.len() >= SYNCED_TOGETHER_MIN;
    for (number, (name, text)) in writes.iter().enumerate() {
        let Some(text) = text else { continue };
        let (begin, end) = TEMPORARY;
        let temporary = folder.join(format!("{begin}{prefix:x}-{number}{end}"));
        let target = folder.join(&**name);
        let written = write_new(&temporary, text, !is_synced_together)
            .map_err(|error| refused("write", &target, &error));
        ready.push((temporary, target));
        if written.is_err() {
            result = written;
            break;
        }
    }
    if is_synced_together && result.is_ok() {
        let synced = File::open(folder).and_then(sync_file_system);
        result = synced.map_err(|error| refused("write", folder, &error));
    }
    if result.is_err() {
        for (temporary, _) in &ready {
            let _ = fs::remove_file(temporary);
        }
        return result;
    }
    for (temporary, target) in &ready {
        fs::rename(temporary, target).map_err(|error| refused("write", target, &error))?;
    }
    for (name, _) in writes.iter().filter(|(_, text)| text.is_none()) {
        let path = folder.join(&**name);
        match fs::remove_file(&path) {
            Err(error) if !is_absent(&error) => return Err(refused("remove", &path, &error)),
            _ => {}
        }
    }
    let synced = File::open(folder).and_then(|folder| folder.sync_all());
    synced.map_err(|error| refused("write", folder, &error))
}

fn write_new(path: &Path, text: &[u8], is_synced: bool) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(text)?;
    match is_synced {
        true => file.sync_all(),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests;
