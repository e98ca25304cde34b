//! What a store that is watched hears of: its directories, and where it will be made again while it isn't there. What has changed is
//! found by looking.

use super::{FlowStore, LOCK, is_absent, make_directory, refused};
use crate::error::Result;
use crate::flow::spec::Sort;
use crate::flow::store::catalog::Stamp;
use crate::flow::store::{Change, file};
use crate::limits::{FLOW_FILE_OPEN_MS, FLOW_STORE_LOOKS_MAX, FLOW_STRAYS_MAX};
use crate::sys::descriptor::is_locked;
use crate::sys::inotify::Watch;
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

#[derive(Debug)]
pub(super) struct Watching {
    watch: Watch,
    /// The numbers of the folders with objects.
    pub folders: Vec<(i32, String, Sort)>,
    /// Files that were written since they were read, whatever their stamps say: two writes may have one time.
    pub written: Vec<(String, Sort, String)>,
    /// Whether a file was seen at the last look that somebody may be writing.
    has_open: bool,
    /// Files with objects that stand where none are looked for.
    strays: Vec<PathBuf>,
    /// The directory above, while the store isn't there.
    above: Option<i32>,
}

impl Watching {
    /// Begins a look.
    pub fn begin(&mut self) {
        self.folders.clear();
        self.strays.clear();
        self.has_open = false;
    }

    /// Looks for files with objects among what a directory has that is only for folders.
    pub fn find_strays(&mut self, directory: &Path, names: Vec<String>) {
        let files = names.into_iter().filter(|name| file::holds_objects(name));
        let files = files.map(|name| directory.join(name));
        let room = FLOW_STRAYS_MAX - self.strays.len();
        self.strays.extend(files.filter(|path| path.is_file()).take(room));
    }

    /// Ends a look.
    pub fn end(&mut self) {
        self.written.clear();
    }

    /// Which of the files in a folder are to be read: those that were written, and of those that are others than before
    /// (`to_read`) those that nobody is writing just now. Who writes over a file has made it empty first, and tells when it is
    /// closed; until then it holds what it has held. `seen` is in the order of the names.
    pub fn choose(
        &mut self,
        of: (&str, Sort),
        seen: &[(Rc<str>, Stamp)],
        to_read: &mut Vec<Rc<str>>,
        has_held: impl Fn(&str) -> bool,
    ) {
        let rows = self.written.iter().filter(|row| (&*row.0, row.1) == of);
        let mut written: Vec<&str> = rows.map(|row| &*row.2).collect();
        written.sort_unstable();
        let is_written = |name: &Rc<str>| written.binary_search(&&**name).is_ok();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let open_since = now
            .saturating_sub(Duration::from_millis(FLOW_FILE_OPEN_MS))
            .as_nanos() as i128;
        let is_new = |name: &Rc<str>| {
            let place = seen.binary_search_by(|(seen, _)| seen.cmp(name));
            place.is_ok_and(|place| seen[place].1.modified >= open_since)
        };
        let mut has_open = false;
        to_read.retain(|name| {
            let is_open = !is_written(name) && has_held(name) && is_new(name);
            has_open |= is_open;
            !is_open
        });
        let names = seen.iter().map(|(name, _)| name);
        to_read.extend(names.filter(|name| is_written(name)).cloned());
        self.has_open |= has_open;
        to_read.sort_unstable();
        to_read.dedup();
    }
}

impl FlowStore {
    /// Makes the directory if need be and watches it from now on: what [`AsFd`] gives is readable when something may have changed,
    /// then [`FlowStore::handle_events`] takes it. If it goes later, it is found when it is back.
    ///
    /// # Errors
    /// Kind `io`: it can't be made or watched.
    pub fn watch(&mut self) -> Result<()> {
        make_directory(&self.directory)?;
        let watch = Watch::new().map_err(|error| refused("watch", &self.directory, &error))?;
        self.watch = Some(Watching {
            watch,
            folders: Vec::new(),
            written: Vec::new(),
            has_open: false,
            strays: Vec::new(),
            above: None,
        });
        Ok(())
    }

    /// Takes what the watch has seen, and tells of what has changed: all that one writer has written together.
    ///
    /// # Errors
    /// As [`FlowStore::changes`].
    pub fn handle_events(&mut self) -> Result<Vec<Change>> {
        self.look()?;
        Ok(self.told())
    }

    /// As [`FlowStore::handle_events`], but nothing while somebody is in the middle of writing.
    ///
    /// # Errors
    /// As [`FlowStore::changes`].
    pub fn handle_events_between_writes(&mut self) -> Result<Option<Vec<Change>>> {
        if self.is_being_written() {
            return Ok(None);
        }
        self.look()?;
        // Of what one has begun meanwhile nothing is told before it is done.
        Ok((!self.is_being_written() && !self.has_open_files()).then(|| self.told()))
    }

    fn look(&mut self) -> Result<()> {
        for look in 1..=FLOW_STORE_LOOKS_MAX {
            self.take_events();
            self.scan()?;
            // What came while it was looked at may have been seen by half. What comes after the last look wakes again.
            if look == FLOW_STORE_LOOKS_MAX || !self.take_events() {
                break;
            }
        }
        Ok(())
    }

    /// Files with objects that were seen at the last look and are not read, for they are in no folder of nodes or values.
    pub fn strays(&self) -> &[PathBuf] {
        self.watch.as_ref().map_or(&[], |watching| &watching.strays)
    }

    /// Whether somebody was writing a file when the directory was looked at: it is to be looked at again.
    pub fn has_open_files(&self) -> bool {
        self.watch.as_ref().is_some_and(|watching| watching.has_open)
    }

    fn is_being_written(&self) -> bool {
        File::open(self.directory.join(LOCK)).is_ok_and(is_locked)
    }

    /// Takes what the watch has seen, and returns whether there was any.
    fn take_events(&mut self) -> bool {
        let Some(watching) = &mut self.watch else {
            return false;
        };
        let changes = watching.watch.changes();
        for change in &changes {
            let mut folders = watching.folders.iter();
            let folder = folders.find(|folder| folder.0 == change.directory);
            if let (Some((_, namespace, sort)), Some(name)) = (folder, change.name.to_str()) {
                watching
                    .written
                    .push((namespace.clone(), *sort, name.to_string()));
            }
        }
        !changes.is_empty()
    }

    /// Watches the store's own directory, or else the one in which it will be made again.
    pub(super) fn observe_root(&mut self) -> Result<()> {
        let mut root = self.observe(&self.directory)?;
        let mut above = None;
        if root.is_none() {
            for directory in self.directory.ancestors().skip(1) {
                let is_here = directory.as_os_str().is_empty();
                let directory = if is_here { Path::new(".") } else { directory };
                above = self.observe(directory)?;
                if above.is_some() {
                    break;
                }
            }
            // It may have been made meanwhile.
            root = self.observe(&self.directory)?;
        }
        if let Some(watching) = &mut self.watch {
            let above = above.filter(|_| root.is_none());
            if let Some(before) = watching.above.filter(|before| Some(*before) != above) {
                watching.watch.remove(before);
            }
            watching.above = above;
        }
        Ok(())
    }

    /// Watches a directory, if any is watched and it is there. Before it is listed, so that nothing is missed.
    pub(super) fn observe(&self, directory: &Path) -> Result<Option<i32>> {
        let Some(watching) = &self.watch else {
            return Ok(None);
        };
        match watching.watch.add_whole(directory) {
            Ok(number) => Ok(Some(number)),
            Err(error) if is_absent(&error) => Ok(None),
            Err(error) => Err(refused("watch", directory, &error)),
        }
    }
}

impl AsFd for FlowStore {
    /// # Panics
    /// Nothing is watched yet.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.watch.as_ref().expect("it is watched").watch.as_fd()
    }
}
