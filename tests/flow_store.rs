//! The store of nodes and values from outside: the built binary, its words and its files. Starts no server.

use nexus::flow::value::{Value, json};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

const NEXUS: &str = env!("CARGO_BIN_EXE_nexus");

/// A new directory to work in.
fn directory(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("flow_store_{name}"));
    let _ = fs::remove_dir_all(&path);
    fs::create_dir_all(&path).unwrap();
    path
}

fn command(directory: &Path, words: &str) -> Command {
    let mut command = Command::new(NEXUS);
    command.args(words.split_whitespace()).current_dir(directory);
    command.env_remove("NEXUS_STORE").env("NO_COLOR", "1");
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

fn start(directory: &Path, words: &str, input: &str) -> Child {
    let mut child = command(directory, words).spawn().unwrap();
    // One that is refused early doesn't read.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    child
}

fn run(directory: &Path, words: &str, input: &str) -> Output {
    start(directory, words, input).wait_with_output().unwrap()
}

/// Runs it and compares what is printed: the exit code, standard output, standard error.
fn check(directory: &Path, words: &str, input: &str, expected: (i32, &str, &str)) {
    let ran = run(directory, words, input);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (stdout, stderr) = (text(&ran.stdout), text(&ran.stderr));
    // Of what the nodes lack, tests/flows tells.
    let lines = stderr.split_inclusive('\n');
    let stderr: String = lines.filter(|line| !line.starts_with("warning: ")).collect();
    let found = (ran.status.code().unwrap_or(-1), stdout.as_str(), stderr.as_str());
    assert_eq!(found, expected, "nexus {words}");
}

fn objects(directory: &Path, words: &str) -> Vec<Value> {
    let ran = run(directory, words, "");
    assert!(
        ran.status.success() && ran.stderr.is_empty(),
        "{}",
        String::from_utf8_lossy(&ran.stderr)
    );
    let value = json::read(&ran.stdout).unwrap();
    value.elements().unwrap().to_vec()
}

#[test]
fn the_words() {
    let dir = &directory("words");
    let specs = "- kind: snippet\n  name: a\n  code: |\n    one\n    two\n- kind: nop\n  name: b\n  links: {error: [{name: a}]}\n";
    check(
        dir,
        "get specs",
        "",
        (
            6,
            "",
            "nexus: error: there is no store flows\n  hint: nexus apply makes it, --store or NEXUS_STORE names another\n",
        ),
    );
    let created = "action   name  revision\n-------  ----  --------\ncreated  a            1\ncreated  b            1\n";
    check(
        dir,
        "apply specs -f - -n shop",
        specs,
        (0, created, "nexus: makes the store flows\n"),
    );
    let unchanged = created
        .replace("created  ", "unchanged")
        .replace("action   name  ", "action     name  ");
    assert!(unchanged.contains("unchanged"));
    let ran = run(dir, "apply nodes --file=- --namespace shop -o json", specs);
    assert_eq!(
        String::from_utf8_lossy(&ran.stdout),
        "[{\"action\":\"unchanged\",\"namespace\":\"shop\",\"name\":\"a\",\"revision\":1},{\"action\":\"unchanged\",\"namespace\":\"shop\",\"name\":\"b\",\"revision\":1}]\n"
    );
    check(
        dir,
        "get specs -n shop",
        "",
        (
            0,
            "name  kind     links          revision  file\n----  -------  -------------  --------  ------\na     snippet                        1  a.yaml\nb     nop      error -> a.in         1  b.yaml\n",
            "",
        ),
    );
    check(
        dir,
        "get specs a -n shop -o yaml",
        "",
        (
            0,
            "kind: snippet\nname: a\ncode: |\n  one\n  two\nrevision: 1\n",
            "",
        ),
    );
    check(
        dir,
        "get specs a c -n shop",
        "",
        (6, "", "nexus: error: there is no spec 'c' in namespace 'shop'\n"),
    );
    let edited = specs.replace("two", "2").replace("name: b", "name: c");
    let difference = "--- shop/specs/a revision 1\n+++ -:1\n@@ -2,4 +2,4 @@\n name: a\n code: |\n   one\n-  two\n+  2\n\
        --- /dev/null\n+++ -:6\n@@ -0,0 +1,5 @@\n+kind: nop\n+name: c\n+links:\n+  error:\n+    - name: a\n\
        --- shop/specs/b revision 1\n+++ /dev/null\n@@ -1,5 +0,0 @@\n-kind: nop\n-name: b\n-links:\n-  error:\n-    - name: a\n";
    check(
        dir,
        "diff specs -n shop -f - --prune",
        &edited,
        (1, difference, ""),
    );
    check(dir, "diff specs -n shop -f -", specs, (0, "", ""));
    let would = "action  name  revision\n------  ----  --------\nupdate  a            2\ncreate  c            1\ndelete  b            1\n";
    check(
        dir,
        "apply specs -n shop -f - --prune --dry-run",
        &edited,
        (0, would, ""),
    );
    check(dir, "diff specs -n shop -f -", specs, (0, "", ""));
    let done = "action   name  revision\n-------  ----  --------\nupdated  a            2\ncreated  c            1\ndeleted  b            1\n";
    check(dir, "apply specs -n shop -f - --prune", &edited, (0, done, ""));
    check(
        dir,
        "apply specs -n shop -f -",
        "kind: nop\nname: a\nrevision: 1\n",
        (
            6,
            "",
            "nexus: error: spec 'a' is given at revision 1, but it is at revision 2 now\n  at -:1\n  hint: get it again, or leave out the revision to overwrite it\n",
        ),
    );
    check(
        dir,
        "apply specs -f -",
        "- kind: nop\n  name: a\n  links: {out: [{nam: b}]}\n- kind: nop\n",
        (
            2,
            "",
            "nexus: error: a link has no field 'nam', expected name or id, and port\n  at -:3\nnexus: error: a spec has neither name nor id\n  at -:4\n",
        ),
    );
    check(
        dir,
        "apply specs -f -",
        "- kind: nop\n  name: a: b\n",
        (
            2,
            "",
            "nexus: error: mapping values are not allowed in this context\n     |\n   2 |   name: a: b\n     |          ^\n  at -:2:10\n  hint: quote the text, or write it below after |\n",
        ),
    );
    let gone = "action   name  revision\n-------  ----  --------\ndeleted  a            2\n";
    check(dir, "delete specs a -n shop", "", (0, gone, ""));
    check(
        dir,
        "delete specs a -n shop",
        "",
        (6, "", "nexus: error: there is no 'a' in namespace 'shop'\n"),
    );
    let ran = run(dir, "delete specs", "");
    let told = String::from_utf8_lossy(&ran.stderr);
    assert!(
        told.contains("nexus delete default/specs") && ran.status.code() == Some(2),
        "{told}"
    );
    // A hand-made file that is broken: the others are shown, and it is told of.
    fs::write(dir.join("flows/shop/specs/hand.yml"), "kind: [").unwrap();
    let ran = run(dir, "get specs -n shop", "");
    assert!(String::from_utf8_lossy(&ran.stdout).contains("\nc  "));
    assert!(String::from_utf8_lossy(&ran.stderr).contains("at flows/shop/specs/hand.yml:"));
    assert_eq!(ran.status.code(), Some(2));
}

#[test]
fn what_nobody_has_seen_stays() {
    let dir = &directory("unseen");
    let apply = |words: &str, text: &str| {
        let ran = run(dir, &format!("apply specs -f - {words}"), text);
        let said = [ran.stdout, ran.stderr].concat();
        let told = String::from_utf8_lossy(&said).into_owned();
        (ran.status.code(), told)
    };
    let specs = "[{kind: nop, name: a}, {kind: nop, name: b}]";
    assert_eq!(apply("", specs).0, Some(0));
    // Edited by hand, which leaves its revision as it was.
    let file = dir.join("flows/default/specs/a.yaml");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replace("nop", "pipe")).unwrap();
    let (code, told) = apply("", "{kind: nop, name: a, revision: 1}");
    assert_eq!(code, Some(6), "{told}");
    assert!(told.contains("but it is at revision 2 now"), "{told}");
    let shown = "kind: pipe\nname: a\nrevision: 2\n";
    check(dir, "get specs a -o yaml", "", (0, shown, ""));
    let (code, told) = apply("--dry-run", "{kind: nop, name: a, revision: 2}");
    assert_eq!(code, Some(0), "{told}");
    assert!(told.contains("update  a            3"), "{told}");
    let (code, told) = apply("", "{kind: nop, name: a, revision: 0}");
    assert_eq!(code, Some(6), "{told}");
    // What holds nothing deletes nothing.
    for words in ["--prune", ""] {
        let (code, told) = apply(words, "# nothing yet\n");
        let error = "nexus: error: there is no spec in it, expected one at least\n  at -\n  hint: write [] if there are to be none\n";
        assert_eq!((code, told.as_str()), (Some(2), error));
    }
    assert_eq!(objects(dir, "get specs -o json").len(), 2);
    assert_eq!(apply("--prune", "[]").0, Some(0));
    assert!(objects(dir, "get specs -o json").is_empty());
}

#[test]
fn nobody_sees_values() {
    let dir = &directory("values");
    let value = "name: TOKEN\ndata: {a: hushhush}\n";
    assert!(run(dir, "apply values -f -", value).status.success());
    let file = fs::read_to_string(dir.join("flows/default/values/TOKEN.yaml")).unwrap();
    assert!(file.contains("hushhush"));
    let again = value.replace("hushhush", "whisper");
    let diff = "--- default/values/TOKEN revision 1\n+++ -:1\n@@ -1,2 +1,2 @@\n name: TOKEN\n-data: <redacted>\n+data: <redacted> another\n";
    check(dir, "diff values -f -", &again, (1, diff, ""));
    check(
        dir,
        "get values TOKEN -o json",
        "",
        (
            0,
            "{\"name\":\"TOKEN\",\"data\":\"<redacted>\",\"revision\":1}\n",
            "",
        ),
    );
    let shown = run(dir, "get values -o yaml", "").stdout;
    let ran = run(dir, "apply values -f -", std::str::from_utf8(&shown).unwrap());
    assert_eq!(ran.status.code(), Some(2), "what is shown of a value is no value");
    let file = fs::read_to_string(dir.join("flows/default/values/TOKEN.yaml")).unwrap();
    assert!(file.contains("hushhush"));
}

#[test]
fn of_two_writers_one_wins() {
    let dir = &directory("writers");
    assert!(
        run(dir, "apply specs -f -", "kind: nop\nname: a\n")
            .status
            .success()
    );
    for revision in 1..=20 {
        let given = |by: &str| format!("{{kind: nop, name: a, by: {by}{revision}, revision: {revision}}}");
        let writers: Vec<Child> = ["x", "y", "z"]
            .map(|by| start(dir, "apply specs -f -", &given(by)))
            .into();
        let ended = writers.into_iter().map(|child| child.wait_with_output().unwrap());
        let mut codes: Vec<i32> = ended.map(|ran| ran.status.code().unwrap()).collect();
        codes.sort_unstable();
        assert_eq!(codes, [0, 6, 6]);
    }
    let stored = objects(dir, "get specs -o json");
    assert_eq!(stored[0].get("revision").and_then(Value::as_int), Some(21));
}

/// Names in the folder of the objects, and the text of those that are no temporary files.
fn progress(folder: &Path, generation: usize) -> usize {
    let Ok(entries) = fs::read_dir(folder) else {
        return 0;
    };
    let mut count = 0;
    for entry in entries.flatten() {
        let is_temporary = entry.file_name().to_string_lossy().starts_with('.');
        let is_new = || {
            let text = fs::read_to_string(entry.path()).unwrap_or_default();
            text.contains(&format!("generation: {generation}\n"))
        };
        count += usize::from(is_temporary || is_new());
    }
    count
}

#[test]
fn a_killed_writer_leaves_whole_objects() {
    const OBJECTS: usize = 30;
    let dir = &directory("killed");
    let folder = dir.join("flows/default/specs");
    let text = |generation: usize| {
        let mut text = String::new();
        for number in 0..OBJECTS {
            let lines = format!("      {generation}\n").repeat(200);
            text +=
                &format!("- kind: nop\n  name: n{number}\n  generation: {generation}\n  text: |\n{lines}");
        }
        text
    };
    let mut killed = 0;
    let mut seen = 0;
    for generation in 0..60 {
        let mut child = start(dir, "apply specs -f -", &text(generation));
        // Killed when it has begun so many files, each time another number; or it was faster.
        let wanted = generation % (OBJECTS + 1);
        let ended = loop {
            if progress(&folder, generation) >= wanted.max(1) {
                child.kill().unwrap();
                break child.wait().unwrap();
            }
            if let Some(ended) = child.try_wait().unwrap() {
                break ended;
            }
        };
        killed += usize::from(!ended.success());
        let stored = if folder.exists() {
            objects(dir, "get specs -o json")
        } else {
            Vec::new()
        };
        assert!(
            stored.len() >= seen,
            "{} of {seen} objects are left",
            stored.len()
        );
        seen = stored.len();
        for object in stored {
            let generation = object.get("generation").and_then(Value::as_int).unwrap();
            let lines = object.get("text").and_then(Value::as_str).unwrap();
            assert_eq!(lines, format!("{generation}\n").repeat(200));
        }
    }
    assert!(killed >= 20, "only {killed} of 60 writers were killed in time");
    // The next writer finds all as it should be, and clears what was left.
    assert!(run(dir, "apply specs -f -", &text(99)).status.success());
    assert_eq!(objects(dir, "get specs -o json").len(), OBJECTS);
    let left: Vec<_> = fs::read_dir(&folder)
        .unwrap()
        .flatten()
        .map(|entry| entry.file_name())
        .filter(|name| name != ".revisions")
        .collect();
    assert_eq!(left.len(), OBJECTS, "{left:?}");
}
