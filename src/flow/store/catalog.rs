//! What is known of the files of a store, and what has changed when they are looked at again: the same whoever changed them.
//! Opens no file: it is told what there is, and says what to read.

use super::file;
use super::journal::{Journal, Known, Line, sum_of};
use crate::error::{Error, Kind};
use crate::flow::spec::{Errors, Object, Sort};
use crate::flow::value::Value;
use crate::flow::value::located::Words;
use crate::limits::FLOW_OBJECTS_MAX;
use std::rc::Rc;

/// What tells whether a file is another than before: its size, inode, and the times of its last change in nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stamp {
    /// Bytes.
    pub size: u64,
    /// Number of the inode.
    pub inode: u64,
    /// Change of the content.
    pub modified: i128,
    /// Change of the inode.
    pub changed: i128,
}

/// What has changed in a namespace.
#[derive(Clone, Debug)]
pub struct Change {
    /// The namespace.
    pub namespace: Rc<str>,
    /// What is new or another than before.
    pub upserts: Vec<Object>,
    /// What is there no more, by its name.
    pub removals: Vec<(Sort, Rc<str>)>,
    /// All that is wrong with files of the namespace now. What such a file held before stays.
    pub errors: Errors,
}

/// An object, and the name of the file that holds it.
pub type Filed = (Object, Rc<str>);

/// A file of a store.
#[derive(Clone, Debug)]
pub struct File {
    /// Its name in its folder.
    pub name: Rc<str>,
    /// The objects that it holds, or held when it was whole.
    pub objects: Vec<Object>,
    /// What is wrong with it.
    pub errors: Errors,
    /// Of each object.
    sums: Vec<u64>,
    stamp: Stamp,
}

/// The files of one sort in a namespace.
#[derive(Clone, Debug)]
pub struct Folder {
    /// The namespace.
    pub namespace: Rc<str>,
    /// What they hold.
    pub sort: Sort,
    /// In the order of their names.
    pub files: Vec<File>,
    /// What it remembers of their objects.
    pub journal: Journal,
    /// What was told of last: in the order of their names, each with the file that holds it.
    told: Vec<Filed>,
    is_changed: bool,
    /// Something that was told of may not be remembered yet.
    is_unknown: bool,
    told_errors: Errors,
}

/// All folders of a store.
#[derive(Clone, Debug, Default)]
pub struct Catalog {
    folders: Vec<Folder>,
    objects: usize,
    words: Words,
}

impl Catalog {
    /// The folder of a namespace and sort, if there is one.
    pub fn folder(&self, namespace: &str, sort: Sort) -> Option<&Folder> {
        let mut folders = self.folders.iter();
        folders.find(|folder| &*folder.namespace == namespace && folder.sort == sort)
    }

    /// The namespaces and sorts of all folders.
    pub fn folders(&self) -> impl Iterator<Item = &Folder> {
        self.folders.iter()
    }

    fn folder_mut(&mut self, namespace: &str, sort: Sort) -> &mut Folder {
        let is_it = |folder: &Folder| &*folder.namespace == namespace && folder.sort == sort;
        let place = match self.folders.iter().position(is_it) {
            Some(place) => place,
            None => {
                self.folders.push(Folder {
                    namespace: namespace.into(),
                    sort,
                    files: Vec::new(),
                    journal: Journal::default(),
                    told: Vec::new(),
                    is_changed: false,
                    is_unknown: false,
                    told_errors: Vec::new(),
                });
                self.folders.len() - 1
            }
        };
        &mut self.folders[place]
    }

    /// Takes the files that a folder has now, in the order of their names, and returns the names of those that are to be read.
    pub fn handle_listing(
        &mut self,
        namespace: &str,
        sort: Sort,
        found: &[(Rc<str>, Stamp)],
    ) -> Vec<Rc<str>> {
        let folder = self.folder_mut(namespace, sort);
        let mut to_read = Vec::new();
        let mut known = std::mem::take(&mut folder.files).into_iter().peekable();
        for (name, stamp) in found {
            while known.next_if(|file| file.name < *name).is_some() {
                folder.is_changed = true;
            }
            match known.next_if(|file| file.name == *name) {
                Some(file) => {
                    if file.stamp != *stamp {
                        to_read.push(name.clone());
                    }
                    folder.files.push(file);
                }
                None => {
                    to_read.push(name.clone());
                    folder.files.push(File {
                        name: name.clone(),
                        objects: Vec::new(),
                        errors: Vec::new(),
                        sums: Vec::new(),
                        stamp: Stamp::default(),
                    });
                }
            }
        }
        folder.is_changed |= known.next().is_some();
        to_read
    }

    /// Takes what was added to what a folder remembers; or all of it, if it was written anew.
    pub fn handle_journal(
        &mut self,
        (namespace, sort): (&str, Sort),
        text: &[u8],
        is_anew: bool,
        read_to: (u64, u64),
    ) {
        let folder = self.folder_mut(namespace, sort);
        if is_anew {
            folder.journal = Journal::default();
        }
        let changed = folder.journal.take(text);
        folder.journal.read_to = read_to;
        folder.is_unknown = true;
        for file in &mut folder.files {
            for (object, sum) in file.objects.iter_mut().zip(&file.sums) {
                if changed.binary_search(object.name()).is_ok() {
                    folder.is_changed |= count(object, *sum, &folder.journal);
                }
            }
        }
    }

    /// Takes the text of a file, or why it can't be read; `path` is how people know it.
    pub fn handle_file(
        &mut self,
        (namespace, sort): (&str, Sort),
        name: &str,
        path: &Rc<str>,
        stamp: Stamp,
        text: Result<&[u8], Box<Error>>,
    ) {
        let read = match text {
            Ok(text) => file::read(sort, text, path, namespace, &mut self.words),
            Err(error) => Err(vec![error]),
        };
        let read = read.and_then(|objects| in_namespace(objects, namespace));
        let room = FLOW_OBJECTS_MAX.saturating_sub(self.objects);
        let folder = self.folder_mut(namespace, sort);
        let place = folder.files.binary_search_by(|file| (*file.name).cmp(name));
        let Some(file) = place.ok().and_then(|place| folder.files.get_mut(place)) else {
            return;
        };
        file.stamp = stamp;
        folder.is_changed = true;
        let before = file.objects.len();
        match read {
            Ok(objects) if objects.len() > room + before => {
                let message = format!("the store has more than {FLOW_OBJECTS_MAX} nodes and values");
                file.errors = vec![file::error(Kind::Overloaded, message, path)];
            }
            Ok(mut objects) => {
                file.sums = objects.iter().map(|object| sum_of(object.written())).collect();
                for (object, sum) in objects.iter_mut().zip(&file.sums) {
                    count(object, *sum, &folder.journal);
                }
                file.objects = keep_same(std::mem::take(&mut file.objects), objects);
                file.errors.clear();
            }
            Err(errors) => file.errors = errors,
        }
        let after = file.objects.len();
        self.objects = (self.objects + after).saturating_sub(before);
    }

    /// What has changed since the last time, a namespace at a time.
    pub fn poll_change(&mut self) -> Option<Change> {
        let changed = self.folders.iter().find(|folder| folder.is_changed)?;
        let namespace = changed.namespace.clone();
        let mut change = Change {
            namespace: namespace.clone(),
            upserts: Vec::new(),
            removals: Vec::new(),
            errors: Vec::new(),
        };
        for folder in &mut self.folders {
            if folder.namespace == namespace {
                if folder.is_changed {
                    folder.tell(&mut change);
                }
                change.errors.extend(folder.told_errors.iter().cloned());
            }
        }
        self.folders.retain(|folder| !folder.files.is_empty());
        Some(change)
    }

    /// What has been told of in a folder and is to be remembered.
    pub fn poll_unknown(&mut self) -> Option<(Rc<str>, Sort, Vec<Line>)> {
        for folder in &mut self.folders {
            if std::mem::take(&mut folder.is_unknown) {
                let lines = folder.unknown();
                if !lines.is_empty() {
                    return Some((folder.namespace.clone(), folder.sort, lines));
                }
            }
        }
        None
    }
}

fn in_namespace(objects: Vec<Object>, namespace: &str) -> Result<Vec<Object>, Errors> {
    let strangers = objects.iter().filter(|object| &**object.namespace() != namespace);
    let errors: Errors = strangers.map(|object| stranger(object, namespace)).collect();
    match errors.is_empty() {
        true => Ok(objects),
        false => Err(errors),
    }
}

/// The error of an object of another namespace.
pub(super) fn stranger(object: &Object, namespace: &str) -> Box<Error> {
    let message = format!(
        "{} '{}' is of namespace '{}', expected '{namespace}'",
        object.sort().word(),
        object.name(),
        object.namespace()
    );
    Error::new(Kind::Conflict, message).at(object.place().to_string())
}

/// Gives an object the revision that counts, and returns whether that is another.
fn count(object: &mut Object, sum: u64, journal: &Journal) -> bool {
    let stated = object.written().get("revision").and_then(Value::as_int);
    let stated = stated.and_then(|stated| u64::try_from(stated).ok());
    let revision = journal.revision(object.name(), sum, stated);
    let is_another = object.revision() != Some(revision);
    if is_another {
        object.set_revision(revision);
    }
    is_another
}

/// The objects with those that are as before in place of their equals.
fn keep_same(mut before: Vec<Object>, objects: Vec<Object>) -> Vec<Object> {
    before.sort_by(|a, b| a.name().cmp(b.name()));
    let same = |object: Object| {
        let known = before.binary_search_by(|known| known.name().cmp(object.name()));
        match known.ok().and_then(|place| before.get(place)) {
            Some(known) if known.place() == object.place() && is_same(known, &object) => known.clone(),
            _ => object,
        }
    };
    objects.into_iter().map(same).collect()
}

fn is_same(a: &Object, b: &Object) -> bool {
    match (a, b) {
        (Object::Spec(a), Object::Spec(b)) if Rc::ptr_eq(a, b) => true,
        (Object::Value(a), Object::Value(b)) if Rc::ptr_eq(a, b) => true,
        _ => a.written() == b.written() && a.revision() == b.revision(),
    }
}

impl Folder {
    /// The file of that name.
    pub fn file(&self, name: &str) -> Option<&File> {
        let place = self.files.binary_search_by(|file| (*file.name).cmp(name));
        place.ok().and_then(|place| self.files.get(place))
    }

    /// Whether a file has held objects when it was read.
    pub fn has_objects(&self, file: &str) -> bool {
        let place = self.files.binary_search_by(|known| (*known.name).cmp(file));
        place.is_ok_and(|place| !self.files[place].objects.is_empty())
    }

    /// All objects, in the order of their names, each with the file that holds it. Of two of one name that counts which was
    /// there before, or stands in the first file; the others are errors.
    pub fn objects(&self) -> (Vec<Filed>, Errors) {
        let mut all: Vec<Filed> = Vec::new();
        let mut errors = Vec::new();
        for file in &self.files {
            errors.extend(file.errors.iter().cloned());
            all.extend(
                file.objects
                    .iter()
                    .map(|object| (object.clone(), file.name.clone())),
            );
        }
        let was_told = |object: &Object, file: &Rc<str>| {
            let place = self
                .told
                .binary_search_by(|(told, _)| told.name().cmp(object.name()));
            place.is_ok_and(|place| self.told[place].1 == *file)
        };
        all.sort_by_cached_key(|(object, file)| (object.name().clone(), !was_told(object, file)));
        let mut kept: Vec<Filed> = Vec::with_capacity(all.len());
        for (object, file) in all {
            match kept.last().filter(|(last, _)| last.name() == object.name()) {
                Some((first, _)) => errors.push(taken(&object, object.name(), first)),
                None => kept.push((object, file)),
            }
        }
        let mut ids: Vec<(&Rc<str>, &Object)> = Vec::new();
        ids.extend(kept.iter().filter_map(|(object, _)| Some((object.id()?, object))));
        ids.sort_by_key(|(id, _)| *id);
        for pair in ids.windows(2).filter(|pair| pair[0].0 == pair[1].0) {
            errors.push(taken(pair[1].1, pair[1].0, pair[0].1));
        }
        (kept, errors)
    }

    fn unknown(&self) -> Vec<Line> {
        let mut lines = Vec::new();
        for file in &self.files {
            for (object, sum) in file.objects.iter().zip(&file.sums) {
                let known = Known {
                    revision: object.stored_revision(),
                    sum: *sum,
                };
                let is_told = || {
                    let place = self
                        .told
                        .binary_search_by(|(told, _)| told.name().cmp(object.name()));
                    place.is_ok_and(|place| self.told[place].0.place() == object.place())
                };
                if self.journal.known(object.name()) != Some(known) && is_told() {
                    lines.push((object.name().clone(), known));
                }
            }
        }
        lines
    }

    fn tell(&mut self, change: &mut Change) {
        let (objects, errors) = self.objects();
        let mut before = std::mem::take(&mut self.told).into_iter().peekable();
        for (object, _) in &objects {
            while let Some((gone, _)) = before.next_if(|(told, _)| told.name() < object.name()) {
                change.removals.push((self.sort, gone.name().clone()));
            }
            let told = before.next_if(|(told, _)| told.name() == object.name());
            if !told.is_some_and(|(told, _)| is_same(&told, object)) {
                change.upserts.push(object.clone());
            }
        }
        change
            .removals
            .extend(before.map(|(gone, _)| (self.sort, gone.name().clone())));
        self.told = objects;
        self.told_errors = errors;
        self.is_changed = false;
        self.is_unknown = true;
    }
}

/// The error of a name or id that another has.
pub(super) fn taken(object: &Object, name: &str, other: &Object) -> Box<Error> {
    let (word, other) = (object.sort().word(), other.place());
    let message = format!("{word} '{name}' stands at {other} already");
    Error::new(Kind::Conflict, message).at(object.place().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Files {
        catalog: Catalog,
        files: Vec<(&'static str, String, u64)>,
        clock: u64,
    }

    impl Files {
        fn put(&mut self, name: &'static str, text: &str) {
            self.clock += 1;
            self.files.retain(|file| file.0 != name);
            self.files.push((name, text.to_string(), self.clock));
        }

        fn remove(&mut self, name: &str) {
            self.files.retain(|file| file.0 != name);
        }

        /// Looks at all files, and tells of the change as text.
        fn look(&mut self) -> String {
            let stamp = |inode| Stamp {
                inode,
                ..Stamp::default()
            };
            let files = self.files.iter();
            let listing = files.map(|file| (Rc::from(file.0), stamp(file.2)));
            let mut listing: Vec<(Rc<str>, Stamp)> = listing.collect();
            listing.sort_unstable_by(|a, b| a.0.cmp(&b.0));
            for name in self.catalog.handle_listing("n", Sort::Specs, &listing) {
                let file = self.files.iter().find(|file| file.0 == &*name).unwrap();
                let text = Ok(file.1.as_bytes());
                self.catalog
                    .handle_file(("n", Sort::Specs), &name, &name, stamp(file.2), text);
            }
            let Some(change) = self.catalog.poll_change() else {
                return "nothing".to_string();
            };
            assert!(self.catalog.poll_change().is_none());
            let upserts = change.upserts.iter().map(|object| format!("+{}", object.name()));
            let removals = change.removals.iter().map(|(_, name)| format!("-{name}"));
            let errors = change.errors.iter().map(|error| format!("!{error}"));
            upserts
                .chain(removals)
                .chain(errors)
                .collect::<Vec<_>>()
                .join(" ")
        }
    }

    #[test]
    fn changes() {
        let mut files = Files {
            catalog: Catalog::default(),
            files: Vec::new(),
            clock: 0,
        };
        let check = |files: &mut Files, expected: &str| assert_eq!(files.look(), expected);
        check(&mut files, "nothing");
        files.put("b.yaml", "{kind: k, name: b}");
        files.put("many.yaml", "- {kind: k, name: c}\n- {kind: k, name: a}\n");
        check(&mut files, "+a +b +c");
        check(&mut files, "nothing");
        // Written anew, but the same.
        files.put("b.yaml", "{name: b, kind: k}");
        check(&mut files, "");
        files.put(
            "many.yaml",
            "# Moved.\n\n- {kind: k, name: c}\n- {kind: k, name: a, x: 1}\n",
        );
        check(&mut files, "+a");
        // Broken: what it held stays, and the error until it is whole.
        files.put("many.yaml", "- {kind: k, name: c\n");
        assert!(files.look().starts_with('!'));
        files.put("b.yaml", "{name: b, kind: l}");
        let told = files.look();
        assert!(
            told.starts_with("+b !") && told.contains("many.yaml:2:1"),
            "{told}"
        );
        files.put("many.yaml", "- {kind: k, name: c}\n");
        check(&mut files, "-a");
        files.put("a.yaml", "{kind: k, name: c}\n");
        check(&mut files, "!spec 'c' stands at many.yaml:1 already at a.yaml:1");
        files.remove("many.yaml");
        check(&mut files, "");
        files.put("x.yaml", "{kind: k, name: x, namespace: m}\n");
        check(
            &mut files,
            "!spec 'x' is of namespace 'm', expected 'n' at x.yaml:1",
        );
        files.remove("x.yaml");
        files.remove("b.yaml");
        check(&mut files, "-b");
        files.remove("a.yaml");
        check(&mut files, "-c");
        assert!(files.catalog.folder("n", Sort::Specs).is_none());
        files.put("a.yaml", "{kind: k, name: c, id: i}\n");
        files.put("b.yaml", "{kind: k, name: d, id: i}\n");
        check(
            &mut files,
            "+c +d !spec 'i' stands at a.yaml:1 already at b.yaml:1",
        );
    }
}
