//! The store in directories of the tests' own: written, edited by hand, watched. Runs no tool.

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
        let given = |kind: &str, revision: u64| format!("{{kind: {kind}, name: a, revision: {revision}}}");
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
    // What can't be read is told of until it is gone.
    let odd = directory.0.join("flows/n/specs/odd.yaml");
    fs::create_dir(&odd).unwrap();
    assert_eq!((told(&mut store), told(&mut store)), ("!".into(), String::new()));
    fs::remove_dir(&odd).unwrap();
    assert_eq!(told(&mut store), "");
    std::os::unix::fs::symlink("nowhere.txt", &odd).unwrap();
    assert_eq!((told(&mut store), told(&mut store)), ("!".into(), String::new()));
    fs::write(
        directory.0.join("flows/n/specs/nowhere.txt"),
        "{kind: k, name: o}",
    )
    .unwrap();
    assert_eq!(told(&mut store), "+o");
    fs::remove_file(&odd).unwrap();
    assert_eq!(told(&mut store), "-o");
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

/// An editor makes a file empty before it writes it: whoever looks meanwhile finds what was there.
#[test]
fn what_somebody_is_writing_holds_what_it_has_held() {
    let directory = directory();
    let path = directory.0.join("n/specs/a.yaml");
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, "{kind: k, name: a}\n---\n{kind: k, name: b}\n").unwrap();
    let mut store = FlowStore::new(&directory.0, None);
    store.watch().unwrap();
    assert_eq!(told(&mut store), "+a +b");
    // Made empty a second from now, and so surely within the time in which it is taken for open.
    let mut file = File::create(&path).unwrap();
    let soon = std::time::SystemTime::now() + Duration::from_secs(1);
    file.set_modified(soon).unwrap();
    assert_eq!(told(&mut store), "");
    assert!(store.has_open_files() && store.handle_events_between_writes().unwrap().is_none());
    std::io::Write::write_all(&mut file, b"{kind: k, name: b}").unwrap();
    drop(file);
    assert_eq!(told(&mut store), "-a");
    assert!(!store.has_open_files());
    // Where nobody tells that it was closed, its age does.
    let file = File::create(&path).unwrap();
    file.set_modified(soon).unwrap();
    assert_eq!(told(&mut store), "");
    file.set_modified(std::time::UNIX_EPOCH).unwrap();
    assert_eq!(told(&mut store), "-b");
}

#[test]
fn what_stands_in_no_folder_of_objects_is_told_of() {
    let directory = directory();
    let mut store = FlowStore::new(&directory.0, None);
    store.watch().unwrap();
    let (root, namespace) = (directory.0.join("a.yaml"), directory.0.join("n/b.json"));
    fs::create_dir_all(directory.0.join("n/specs")).unwrap();
    for path in [
        &root,
        &namespace,
        &directory.0.join("n/specs/c.yaml"),
        &directory.0.join("notes.txt"),
    ] {
        fs::write(path, "{kind: k, name: a}").unwrap();
    }
    assert_eq!(
        (told(&mut store).as_str(), store.strays()),
        ("+a", &[root.clone(), namespace][..])
    );
    fs::remove_dir_all(directory.0.join("n")).unwrap();
    assert_eq!((told(&mut store).as_str(), store.strays()), ("-a", &[root][..]));
}
