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
        let mut namespaces = match &self.namespace {
            Some(namespace) => vec![namespace.clone()],
            None => {
                let names = listed(&self.directory)?.into_iter();
                names.filter_map(|name| file::decode(&name)).collect()
            }
        };
        // What is gone has changed too.
        let known = self.catalog.folders().map(|folder| folder.namespace.to_string());
        namespaces.extend(known);
        namespaces.sort_unstable();
        namespaces.dedup();
        if let Some(watching) = &mut self.watch {
            watching.folders.clear();
        }
        for namespace in namespaces {
            let folder = self.directory.join(name::encode(&namespace));
            self.observe(&folder)?;
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
            watching.written.clear();
        }
        Ok(())
    }

    fn scan_folder(&mut self, folder: &Path, namespace: &str, sort: Sort) -> Result<()> {
        let mut found: Vec<(Rc<str>, Stamp)> = Vec::new();
        for name in listed(folder)?
            .into_iter()
            .filter(|name| file::holds_objects(name))
        {
            match fs::metadata(folder.join(&name)) {
                Ok(metadata) if metadata.is_file() => found.push((Rc::from(name), stamp(&metadata))),
                _ => {}
            }
        }
        if found.is_empty() && self.catalog.folder(namespace, sort).is_none() {
            return Ok(());
        }
        let names: Vec<Rc<str>> = found.iter().map(|(name, _)| name.clone()).collect();
        let mut to_read = self.catalog.handle_listing(namespace, sort, found);
        if let Some(watching) = &self.watch {
            let written = watching.written.iter();
            let written = written
                .filter(|row| row.0 == namespace && row.1 == sort)
                .map(|row| row.2.as_str());
            to_read.extend(written.filter_map(|name| names.iter().find(|known| &***known == name).cloned()));
            to_read.sort_unstable();
            to_read.dedup();
        }
        self.read_journal(folder, namespace, sort)?;
        for name in to_read {
            let path = folder.join(&*name);
            let shown: Rc<str> = path.to_string_lossy().into();
            let (stamp, text) = match read_file(&path) {
                Ok((stamp, text)) => (stamp, Ok(text)),
                // The next look finds it gone.
                Err(error) if is_absent(&error) => continue,
                Err(error) => (Stamp::default(), Err(refused("read", &path, &error))),
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

fn read_file(path: &Path) -> io::Result<(Stamp, Vec<u8>)> {
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
mod tests {
    use super::*;
    use crate::flow::store::journal;
    use crate::limits::FLOW_JOURNAL_SPARE_LINES;
    use crate::sys::descriptor::make_temp_dir;
    use std::os::fd::{AsFd, AsRawFd};
    use std::time::Duration;

    struct Directory(PathBuf);

    impl Drop for Directory {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn directory() -> Directory {
        Directory(make_temp_dir(&std::env::temp_dir(), "nexus-store.").unwrap())
    }

    fn objects(text: &str) -> Vec<Object> {
        file::read_shown(Sort::Specs, text.as_bytes(), &"f.yaml".into(), "n").unwrap()
    }

    fn apply(store: &mut FlowStore, text: &str) -> String {
        let objects = objects(text);
        let wish = Wish::Apply {
            objects: &objects,
            prune: false,
        };
        match store.write(Sort::Specs, wish) {
            Ok(plan) => {
                let steps = plan
                    .steps
                    .iter()
                    .map(|step| format!("{} {}", step.act.done(), step.revision));
                steps.collect::<Vec<_>>().join(", ")
            }
            Err(errors) => errors
                .iter()
                .map(|error| error.to_string())
                .collect::<Vec<_>>()
                .join("; "),
        }
    }

    #[test]
    fn revisions_and_conflicts() {
        let directory = directory();
        let mut store = FlowStore::new(&directory.0, Some("n"));
        assert_eq!(apply(&mut store, "{kind: k, name: a/b}"), "created 1");
        assert_eq!(apply(&mut store, "{kind: k, name: a/b}"), "unchanged 1");
        assert_eq!(
            apply(&mut store, "{kind: l, name: a/b, revision: 1}"),
            "updated 2"
        );
        assert_eq!(
            apply(&mut store, "{kind: m, name: a/b, revision: 1}"),
            "spec 'a/b' is given at revision 1, but it is at revision 2 now at f.yaml:1"
        );
        assert_eq!(
            apply(&mut store, "{kind: m, name: c, revision: 1}"),
            "spec 'c' is given at revision 1, but it isn't there any more at f.yaml:1"
        );
        assert_eq!(
            apply(&mut store, "{kind: m, name: c, namespace: other}"),
            "spec 'c' is of namespace 'other', expected 'n' at f.yaml:1"
        );
        let folder = directory.0.join("n/specs");
        let text = fs::read_to_string(folder.join("a%2Fb.yaml")).unwrap();
        assert_eq!(text, "kind: l\nname: a/b\nrevision: 2\n");
        // An edit by hand is a revision that who gives the one before hasn't seen.
        fs::write(folder.join("a%2Fb.yaml"), text.replace("kind: l", "kind: h")).unwrap();
        assert_eq!(
            apply(&mut store, "{kind: m, name: a/b, revision: 2}"),
            "spec 'a/b' is given at revision 2, but it is at revision 3 now at f.yaml:1"
        );
        assert_eq!(
            apply(&mut store, "{kind: m, name: a/b, revision: 0}"),
            "spec 'a/b' is given at revision 0, as one that isn't there, but it is at revision 3 now at f.yaml:1"
        );
        assert_eq!(
            apply(&mut store, "{kind: m, name: a/b, revision: 3}"),
            "updated 4"
        );
        // A file by hand with several, of which one is changed; what a killed writer left.
        fs::write(
            folder.join("hand.yaml"),
            "# By hand.\n- {kind: k, name: x}\n- {kind: k, name: z}\n",
        )
        .unwrap();
        fs::write(folder.join(".nexus-1-1.tmp"), "{").unwrap();
        assert_eq!(apply(&mut store, "{kind: l, name: z}"), "updated 2");
        let text = fs::read_to_string(folder.join("hand.yaml")).unwrap();
        assert_eq!(
            text,
            "- kind: k\n  name: x\n  revision: 1\n- kind: l\n  name: z\n  revision: 2\n"
        );
        assert!(!folder.join(".nexus-1-1.tmp").exists());
        // A broken file is not written over.
        fs::write(folder.join("hand.yaml"), "- {kind: k, name: x\n").unwrap();
        let told = apply(&mut store, "{kind: m, name: z}");
        assert!(
            told.contains("'hand.yaml' would be written, but it is broken"),
            "{told}"
        );
        let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o777;
        assert_eq!((mode(&folder), mode(&folder.join("a%2Fb.yaml"))), (0o700, 0o600));
    }

    #[test]
    fn every_edit_by_hand_counts() {
        for (file, write) in [
            ("a.yaml", "kind: K\nname: a\n"),
            ("a.yaml", "kind: K\nname: a\nrevision: 1\n"),
            ("a.json", "{\"kind\": \"K\", \"name\": \"a\"}"),
            ("a.json", "{\"kind\": \"K\", \"name\": \"a\", \"revision\": 1}"),
            (
                "many.yaml",
                "- {kind: z, name: z}\n- {kind: K, name: a, revision: 7}\n",
            ),
        ] {
            let directory = directory();
            let folder = directory.0.join("n/specs");
            make_directory(&folder).unwrap();
            let path = folder.join(file);
            let edit = |kind: &str| fs::write(&path, write.replace('K', kind)).unwrap();
            // A new process each time, which has seen nothing before.
            let seen = || {
                let mut store = FlowStore::new(&directory.0, Some("n"));
                store.changes().unwrap();
                store.remember();
                let folder = store.catalog().folder("n", Sort::Specs).unwrap();
                let objects = folder.objects().0;
                let found = objects.iter().find(|(object, _)| &**object.name() == "a");
                found.unwrap().0.stored_revision()
            };
            edit("first");
            let first = seen();
            assert_eq!(seen(), first, "{write}");
            edit("second");
            assert_eq!((seen(), seen()), (first + 1, first + 1), "{write}");
            edit("third");
            assert_eq!(seen(), first + 2, "{write}");
            let mut tool = FlowStore::new(&directory.0, Some("n"));
            let given =
                |kind: &str, revision: u64| format!("{{kind: {kind}, name: a, revision: {revision}}}");
            let updated = format!("updated {}", first + 3);
            assert_eq!(apply(&mut tool, &given("tool", first + 2)), updated, "{write}");
            assert_eq!(seen(), first + 3, "{write}");
            // Pasted over what the tool wrote, as a whole, and what one has once been again.
            edit("fourth");
            assert_eq!(seen(), first + 4, "{write}");
            edit("third");
            assert_eq!(seen(), first + 5, "{write}");
            let refused = apply(&mut tool, &given("tool", first + 4));
            assert!(
                refused.contains(&format!("it is at revision {} now", first + 5)),
                "{refused}"
            );
            // Without what was remembered it goes on from what it says itself.
            fs::remove_file(folder.join(journal::NAME)).unwrap();
            seen();
            edit("fifth");
            seen();
        }
    }

    #[test]
    fn what_is_remembered_stays_short() {
        let directory = directory();
        let mut store = FlowStore::new(&directory.0, Some("n"));
        for turn in 1..=3 * FLOW_JOURNAL_SPARE_LINES {
            let done = apply(&mut store, &format!("{{kind: k{turn}, name: a}}"));
            let word = if turn == 1 { "created" } else { "updated" };
            assert_eq!(done, format!("{word} {turn}"));
        }
        let text = fs::read_to_string(directory.0.join("n/specs").join(journal::NAME)).unwrap();
        let lines = text.lines().count();
        assert!((1..FLOW_JOURNAL_SPARE_LINES + 8).contains(&lines), "{lines}");
        // A line that was torn by a kill takes nothing with it.
        let path = directory.0.join("n/specs").join(journal::NAME);
        fs::write(&path, format!("{text}a 9")).unwrap();
        let turn = 3 * FLOW_JOURNAL_SPARE_LINES + 1;
        assert_eq!(
            apply(&mut store, "{kind: last, name: a}"),
            format!("updated {turn}")
        );
        assert_eq!(
            apply(&mut store, "{kind: more, name: a}"),
            format!("updated {}", turn + 1)
        );
        assert!(fs::read_to_string(&path).unwrap().contains("a 9\na "));
    }

    /// What a change of the directory is told as, once the watch has seen it.
    fn told(store: &mut FlowStore) -> String {
        let changes = store.handle_events().unwrap();
        let mut words = Vec::new();
        for change in changes {
            words.extend(change.upserts.iter().map(|object| format!("+{}", object.name())));
            words.extend(change.removals.iter().map(|(_, name)| format!("-{name}")));
            words.extend(change.errors.iter().map(|_| "!".to_string()));
        }
        words.join(" ")
    }

    /// Whether the watch wakes whoever polls it.
    fn has_event(store: &FlowStore) -> bool {
        let mut poll = mio::Poll::new().unwrap();
        let fd = store.as_fd().as_raw_fd();
        let mut source = mio::unix::SourceFd(&fd);
        let registry = poll.registry();
        let readable = mio::Interest::READABLE;
        registry.register(&mut source, mio::Token(0), readable).unwrap();
        let mut events = mio::Events::with_capacity(1);
        poll.poll(&mut events, Some(Duration::ZERO)).unwrap();
        !events.is_empty()
    }

    #[test]
    fn whoever_writes_it_is_seen() {
        let directory = directory();
        let mut store = FlowStore::new(&directory.0.join("flows"), None);
        store.watch().unwrap();
        assert!(store.changes().unwrap().is_empty());
        // A new namespace; a hand edit in place, of the same size and maybe at the same time; a rename away.
        let mut tool = FlowStore::new(&directory.0.join("flows"), Some("n"));
        apply(&mut tool, "[{kind: k, name: a}, {kind: k, name: b}]");
        assert_eq!(told(&mut store), "+a +b");
        let folder = directory.0.join("flows/n/specs");
        fs::write(folder.join("a.yaml"), "kind: x\nname: a\nrevision: 1\n").unwrap();
        assert_eq!(told(&mut store), "+a");
        fs::write(folder.join("a.yaml"), "kind: y\nname: a\nrevision: 1\n").unwrap();
        assert_eq!(told(&mut store), "+a");
        assert_eq!(told(&mut store), "");
        fs::write(folder.join("b.yaml"), "kind: [\n").unwrap();
        assert_eq!(told(&mut store), "!");
        fs::rename(folder.join("a.yaml"), directory.0.join("a.yaml")).unwrap();
        assert_eq!(told(&mut store), "-a !");
        fs::remove_dir_all(directory.0.join("flows/n")).unwrap();
        assert_eq!(told(&mut store), "-b");
        apply(&mut tool, "{kind: k, name: c}");
        assert_eq!(told(&mut store), "+c");
        // Who removes a folder file by file isn't disturbed by what is remembered.
        store.remember();
        let remembered = directory.0.join("flows/n/specs").join(journal::NAME);
        fs::remove_file(&remembered).unwrap();
        assert_eq!(told(&mut store), "");
        store.remember();
        assert!(!remembered.exists());
        // All of it goes and comes back; nothing is seen of what is elsewhere.
        let (own, other) = (directory.0.join("flows"), directory.0.join("other"));
        for _ in 0..2 {
            fs::rename(&own, &other).unwrap();
            assert!(has_event(&store));
            assert_eq!(told(&mut store), "-c");
            fs::rename(&other, &own).unwrap();
            assert!(has_event(&store));
            assert_eq!(told(&mut store), "+c");
            fs::remove_dir_all(&own).unwrap();
            assert!(has_event(&store));
            assert_eq!(told(&mut store), "-c");
            apply(&mut tool, "{kind: k, name: c}");
            assert!(has_event(&store));
            assert_eq!(told(&mut store), "+c");
        }
    }

    #[test]
    fn a_server_never_waits_for_another_writer() {
        let own = directory();
        let mut store = FlowStore::new(&own.0, Some("n")).without_waiting();
        assert_eq!(apply(&mut store, "{kind: nop, name: a}"), "created 1");
        let other = FlowStore::new(&own.0, Some("n"));
        let locked = other.lock(true).unwrap();
        let expected = format!(
            "the store {} is being written by another process",
            own.0.display()
        );
        assert_eq!(apply(&mut store, "{kind: nop, name: b}"), expected);
        drop(locked);
        assert_eq!(apply(&mut store, "{kind: nop, name: b}"), "created 1");
    }
}
