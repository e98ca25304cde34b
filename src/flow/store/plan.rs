//! What an apply, a delete or a prune would do to the objects of a namespace, and the texts of the files that it would write.
//! Writes none.

use super::catalog::{Filed, Folder, stranger, taken};
use super::file;
use super::journal::{Known, Line, sum_of};
use crate::error::{Error, Kind, Result};
use crate::flow::spec::{Errors, Object};
use crate::limits::FLOW_OBJECTS_MAX;
use std::rc::Rc;

/// What is done to an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// There is none of that name.
    Create,
    /// There is another.
    Update,
    /// It is as it is to be.
    Keep,
    /// It is to be gone.
    Delete,
}

impl Act {
    /// The word for what would be done.
    pub fn word(self) -> &'static str {
        match self {
            Act::Create => "create",
            Act::Update => "update",
            Act::Keep => "unchanged",
            Act::Delete => "delete",
        }
    }

    /// The word for what was done.
    pub fn done(self) -> &'static str {
        match self {
            Act::Create => "created",
            Act::Update => "updated",
            Act::Keep => "unchanged",
            Act::Delete => "deleted",
        }
    }
}

/// What is done to one object.
#[derive(Clone, Debug)]
pub struct Step {
    /// What.
    pub act: Act,
    /// As it was, if it was there.
    pub before: Option<Object>,
    /// As it is to be, if it is.
    pub after: Option<Object>,
    /// Its revision afterwards, or that at which it is deleted.
    pub revision: u64,
    /// The name of its file.
    pub file: Rc<str>,
}

impl Step {
    /// The object that it is about.
    pub fn object(&self) -> Option<&Object> {
        self.after.as_ref().or(self.before.as_ref())
    }
}

/// The name of a file and its text; none: the file is removed.
pub type Write = (Rc<str>, Option<Vec<u8>>);

/// What is done to a namespace.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// In the order of what was given, then what is deleted.
    pub steps: Vec<Step>,
}

/// What is to become of a namespace's objects.
#[derive(Clone, Copy, Debug)]
pub enum Wish<'w> {
    /// These are to be there; what else is there is deleted if so asked.
    Apply {
        /// The objects.
        objects: &'w [Object],
        /// Whether others are deleted.
        prune: bool,
    },
    /// These are to be gone; of each its revision counts if it has one.
    Delete(&'w [Object]),
    /// What has these names or ids is to be gone.
    DeleteNamed(&'w [String]),
}

/// What has to be done to a folder; nothing of it if there is an error. `folder` is none where nothing has been stored yet.
///
/// # Errors
/// Each of kind `conflict`: an object of another namespace, one given with a revision that isn't the current one, a name or id that
/// is taken, a file that would be written and is broken; or of kind `not_found`: one to be deleted isn't there.
pub fn plan(folder: Option<&Folder>, namespace: &str, wish: Wish<'_>) -> std::result::Result<Plan, Errors> {
    let known = folder.map(|folder| folder.objects().0).unwrap_or_default();
    let mut planner = Planner {
        folder,
        known: &known,
        plan: Plan::default(),
        errors: Vec::new(),
    };
    match wish {
        Wish::Apply { objects, prune } => {
            for object in objects {
                planner.apply(object, namespace);
            }
            planner.check_names(objects);
            planner.check_ids(objects, prune);
            if prune {
                let mut wanted: Vec<&str> = objects.iter().map(|object| &**object.name()).collect();
                wanted.sort_unstable();
                let is_wanted = |known: &Object| wanted.binary_search(&&**known.name()).is_ok();
                for (object, file) in known.iter().filter(|(object, _)| !is_wanted(object)) {
                    planner.delete(object, file);
                }
            }
            if known.len() + objects.len() > FLOW_OBJECTS_MAX {
                let message = format!("a store takes {FLOW_OBJECTS_MAX} nodes and values at most");
                planner.errors.push(Error::new(Kind::Overloaded, message));
            }
        }
        Wish::Delete(objects) => {
            for object in objects {
                planner.delete_given(object, namespace);
            }
        }
        Wish::DeleteNamed(names) => {
            for name in names {
                let mut found = known.iter();
                let is_it =
                    |object: &Object| &**object.name() == name || object.id().is_some_and(|id| &**id == name);
                match found.find(|(object, _)| is_it(object)) {
                    Some((object, file)) => planner.delete(object, file),
                    None => planner.errors.push(absent(name, namespace)),
                }
            }
        }
    }
    planner.forget_repeated();
    match planner.errors.is_empty() {
        true => Ok(planner.plan),
        false => Err(planner.errors),
    }
}

fn absent(name: &str, namespace: &str) -> Box<Error> {
    let message = format!("there is no '{name}' in namespace '{namespace}'");
    Error::new(Kind::NotFound, message)
}

struct Planner<'k> {
    folder: Option<&'k Folder>,
    /// In the order of their names.
    known: &'k [Filed],
    plan: Plan,
    errors: Errors,
}

impl<'k> Planner<'k> {
    fn find(&self, name: &str) -> Option<&'k Filed> {
        let place = self
            .known
            .binary_search_by(|(object, _)| (**object.name()).cmp(name));
        place.ok().map(|place| &self.known[place])
    }

    /// Checks that what is given fits what is there, and that its file may be written.
    fn is_refused(&mut self, object: &Object, namespace: &str, file: &str) -> bool {
        let conflict = |message: String| Error::new(Kind::Conflict, message).at(object.place().to_string());
        let (word, name) = (object.sort().word(), object.name());
        let known = self.find(name);
        let error = match (known, object.revision()) {
            _ if &**object.namespace() != namespace => Some(stranger(object, namespace).hint(format!(
                "nexus works on one namespace at a time: -n {}",
                object.namespace()
            ))),
            (_, None) | (None, Some(0)) => None,
            (Some((known, _)), Some(given)) if known.stored_revision() == given => None,
            (Some((known, _)), Some(0)) => {
                let current = known.stored_revision();
                let message = format!(
                    "{word} '{name}' is given at revision 0, as one that isn't there, but it is at revision {current} now"
                );
                Some(conflict(message).hint("get it, or leave out the revision to overwrite it"))
            }
            (Some((known, _)), Some(given)) => {
                let current = known.stored_revision();
                let message = format!(
                    "{word} '{name}' is given at revision {given}, but it is at revision {current} now"
                );
                Some(conflict(message).hint("get it again, or leave out the revision to overwrite it"))
            }
            (None, Some(given)) => {
                let message =
                    format!("{word} '{name}' is given at revision {given}, but it isn't there any more");
                Some(conflict(message).hint("leave out the revision to create it"))
            }
        };
        let error = error.or_else(|| self.broken(file));
        let is_refused = error.is_some();
        self.errors.extend(error);
        is_refused
    }

    /// The error of a file that would be written though nobody knows what it holds.
    fn broken(&self, file: &str) -> Option<Box<Error>> {
        let file = self.folder?.file(file)?;
        let found = file.errors.first()?;
        let message = format!(
            "file '{}' would be written, but it is broken: {}",
            file.name, found.message
        );
        let error = Error::new(Kind::Conflict, message).hint("mend it, or remove it");
        Some(match &found.place {
            Some(place) => error.at(place.clone()),
            None => error,
        })
    }

    fn apply(&mut self, object: &Object, namespace: &str) {
        let known = self.find(object.name());
        let file = known.map_or_else(|| file::name_of(object.name()).into(), |known| known.1.clone());
        if self.is_refused(object, namespace, &file) {
            return;
        }
        let before = known.map(|known| known.0.clone());
        let (act, revision) = match &before {
            None => {
                let journal = self.folder.map(|folder| &folder.journal);
                let revision = journal.map_or(1, |journal| journal.next_revision(object.name()));
                (Act::Create, revision)
            }
            Some(before) if before.content() == object.content() => (Act::Keep, before.stored_revision()),
            Some(before) => (Act::Update, before.stored_revision().saturating_add(1)),
        };
        self.plan.steps.push(Step {
            act,
            before,
            after: Some(object.clone()),
            revision,
            file,
        });
    }

    /// Several files may give one twice.
    fn check_names(&mut self, objects: &[Object]) {
        let mut order: Vec<&Object> = objects.iter().collect();
        order.sort_by(|a, b| a.name().cmp(b.name()));
        for pair in order.windows(2).filter(|pair| pair[0].name() == pair[1].name()) {
            self.errors.push(taken(pair[1], pair[1].name(), pair[0]));
        }
    }

    /// An id is that of one object.
    fn check_ids(&mut self, objects: &[Object], prune: bool) {
        let mut all: Vec<&Object> = objects.iter().collect();
        if !prune {
            let mut names: Vec<&str> = objects.iter().map(|object| &**object.name()).collect();
            names.sort_unstable();
            let is_given = |known: &Object| names.binary_search(&&**known.name()).is_ok();
            all.extend(
                self.known
                    .iter()
                    .map(|known| &known.0)
                    .filter(|known| known.id().is_some() && !is_given(known)),
            );
        }
        let mut ids: Vec<(&str, &Object)> = Vec::new();
        ids.extend(all.iter().filter_map(|object| Some((&**object.id()?, *object))));
        // Stable: what is given stands first.
        ids.sort_by_key(|(id, _)| *id);
        for pair in ids.windows(2).filter(|pair| pair[0].0 == pair[1].0) {
            self.errors.push(taken(pair[0].1, pair[0].0, pair[1].1));
        }
    }

    fn delete_given(&mut self, object: &Object, namespace: &str) {
        let Some((known, file)) = self.find(object.name()) else {
            let error = absent(object.name(), namespace).at(object.place().to_string());
            return self.errors.push(error);
        };
        if !self.is_refused(object, namespace, file) {
            self.delete(known, file);
        }
    }

    /// Of what is deleted by its name and again by its id, or by its name twice, once is enough.
    fn forget_repeated(&mut self) {
        let mut seen: Vec<Rc<str>> = Vec::new();
        if self.plan.steps.iter().any(|step| step.act != Act::Delete) {
            return;
        }
        self.plan.steps.retain(|step| {
            let name = step
                .object()
                .map(|object| object.name().clone())
                .unwrap_or_default();
            let place = seen.binary_search(&name);
            if let Err(place) = place {
                seen.insert(place, name);
            }
            place.is_err()
        });
    }

    fn delete(&mut self, known: &Object, file: &Rc<str>) {
        if let Some(error) = self.broken(file) {
            return self.errors.push(error);
        }
        self.plan.steps.push(Step {
            act: Act::Delete,
            before: Some(known.clone()),
            after: None,
            revision: known.stored_revision(),
            file: file.clone(),
        });
    }
}

impl Plan {
    /// What the folder is to remember of what is done.
    pub fn remembered(&self) -> Vec<Line> {
        let steps = self.steps.iter().filter(|step| step.act != Act::Keep);
        let line = |step: &Step| {
            let name = step.object()?.name().clone();
            let after = step.after.as_ref();
            let known = Known {
                revision: after.map_or(0, |_| step.revision),
                sum: after.map_or(0, |after| sum_of(after.written())),
            };
            Some((name, known))
        };
        steps.filter_map(line).collect()
    }

    /// Whether nothing would change.
    pub fn is_empty(&self) -> bool {
        self.steps.iter().all(|step| step.act == Act::Keep)
    }

    /// The files to write with their texts, and then those to remove, which have none.
    ///
    /// # Errors
    /// Kind `bad_argument`: an object is nested too deep to be written.
    pub fn writes(&self, folder: Option<&Folder>) -> Result<Vec<Write>> {
        let mut changing: Vec<&Step> = self.steps.iter().filter(|step| step.act != Act::Keep).collect();
        changing.sort_by(|a, b| a.file.cmp(&b.file));
        let mut writes = Vec::new();
        for steps in changing.chunk_by(|a, b| a.file == b.file) {
            let Some(first) = steps.first() else { continue };
            let file = folder.and_then(|folder| folder.file(&first.file));
            let held = file.map_or(&[][..], |file| &file.objects);
            let step_of = |object: &Object| {
                let mut steps = steps.iter();
                steps.find(|step| step.object().is_some_and(|other| other.name() == object.name()))
            };
            let mut objects: Vec<(&Object, u64)> = Vec::new();
            for object in held {
                match step_of(object) {
                    None => objects.push((object, object.stored_revision())),
                    Some(step) => objects.extend(step.after.as_ref().map(|after| (after, step.revision))),
                }
            }
            let is_held = |object: &Object| held.iter().any(|known| known.name() == object.name());
            let created = steps
                .iter()
                .filter_map(|step| Some((step.after.as_ref()?, step.revision)));
            objects.extend(created.filter(|(object, _)| !is_held(object)));
            let text = match objects.is_empty() {
                true => None,
                false => Some(file::write(&first.file, &objects)?),
            };
            writes.push((first.file.clone(), text));
        }
        // What is killed in between has rather both than neither.
        writes.sort_by_key(|(_, text)| text.is_none());
        Ok(writes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::spec::Sort;
    use crate::flow::store::{Catalog, Stamp};

    fn objects(text: &str) -> Vec<Object> {
        file::read_shown(Sort::Specs, text.as_bytes(), &"f".into(), "n").unwrap()
    }

    /// What is told of a wish, where these files are.
    fn told(files: &[(&str, &str)], wish: Wish<'_>) -> String {
        let mut catalog = Catalog::default();
        let listing = files.iter().map(|(name, _)| (Rc::from(*name), Stamp::default()));
        let mut listing: Vec<(Rc<str>, Stamp)> = listing.collect();
        listing.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        catalog.handle_listing("n", Sort::Specs, &listing);
        for (name, text) in files {
            let place = ("n", Sort::Specs);
            catalog.handle_file(
                place,
                name,
                &Rc::from(*name),
                Stamp::default(),
                Ok(text.as_bytes()),
            );
        }
        let folder = catalog.folder("n", Sort::Specs);
        match plan(folder, "n", wish) {
            Err(errors) => errors
                .iter()
                .map(|error| error.to_string())
                .collect::<Vec<_>>()
                .join("; "),
            Ok(plan) => {
                let writes = plan.writes(folder).unwrap().into_iter();
                let writes = writes.map(|(file, text)| {
                    let text = String::from_utf8(text.unwrap_or_default()).unwrap();
                    format!("{file}={}", text.replace('\n', "/"))
                });
                writes.collect::<Vec<_>>().join(" ")
            }
        }
    }

    const FILES: [(&str, &str); 2] = [
        ("a.yaml", "{kind: k, name: a, id: i, revision: 4}"),
        (
            "many.json",
            "[{\"kind\":\"k\",\"name\":\"b\"},{\"kind\":\"k\",\"name\":\"c\"}]",
        ),
    ];

    fn check(wish: Wish<'_>, expected: &str) {
        assert_eq!(told(&FILES, wish), expected);
    }

    fn apply(text: &str, prune: bool, expected: &str) {
        let objects = objects(text);
        check(
            Wish::Apply {
                objects: &objects,
                prune,
            },
            expected,
        );
    }

    #[test]
    fn applies() {
        apply("{kind: k, name: a, id: i}", false, "");
        apply("{kind: l, name: a}", false, "a.yaml=kind: l/name: a/revision: 5/");
        apply(
            "[{kind: k, name: d/e}]",
            false,
            "d%2Fe.yaml=kind: k/name: d/e/revision: 1/",
        );
        apply(
            "{kind: l, name: b}",
            true,
            "many.json={\"kind\":\"l\",\"name\":\"b\",\"revision\":2}/ a.yaml=",
        );
        apply(
            "{kind: l, name: x, id: i}",
            false,
            "spec 'i' stands at a.yaml:1 already at f:1",
        );
        apply(
            "{kind: l, name: x, id: i}",
            true,
            "x.yaml=kind: l/name: x/id: i/revision: 1/ a.yaml= many.json=",
        );
        apply(
            "{kind: k, name: a, revision: 3}",
            false,
            "spec 'a' is given at revision 3, but it is at revision 4 now at f:1",
        );
        apply(
            "{kind: l, name: a, revision: 0}",
            false,
            "spec 'a' is given at revision 0, as one that isn't there, but it is at revision 4 now at f:1",
        );
        apply(
            "{kind: l, name: b, revision: 0}",
            false,
            "spec 'b' is given at revision 0, as one that isn't there, but it is at revision 1 now at f:1",
        );
        apply(
            "{kind: l, name: x, revision: 0}",
            false,
            "x.yaml=kind: l/name: x/revision: 1/",
        );
        apply(
            "{kind: k, name: a, namespace: m}",
            false,
            "spec 'a' is of namespace 'm', expected 'n' at f:1",
        );
        let twice: Vec<Object> = [objects("{kind: k, name: x}"), objects("{kind: k, name: x}")].concat();
        check(
            Wish::Apply {
                objects: &twice,
                prune: false,
            },
            "spec 'x' stands at f:1 already at f:1",
        );
    }

    #[test]
    fn deletes() {
        let named = |names: &[&str], expected: &str| {
            let names: Vec<String> = names.iter().map(|name| (*name).to_string()).collect();
            check(Wish::DeleteNamed(&names), expected);
        };
        named(&["i"], "a.yaml=");
        named(
            &["c", "c"],
            "many.json={\"kind\":\"k\",\"name\":\"b\",\"revision\":1}/",
        );
        named(&["b", "c"], "many.json=");
        named(&["gone", "a"], "there is no 'gone' in namespace 'n'");
        check(Wish::Delete(&objects("{kind: any, name: a}")), "a.yaml=");
        check(
            Wish::Delete(&objects("{kind: any, name: a, revision: 5}")),
            "spec 'a' is given at revision 5, but it is at revision 4 now at f:1",
        );
    }
}
