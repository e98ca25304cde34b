//! Recorded runs of pure commands: the binary prints the bytes that were recorded. Needs the recorded manifests, in
//! `$NEXUS_MANIFESTS` or beside the checkout, and passes without them.

use nexus::codec::document::{Document, Node};
use std::path::PathBuf;
use std::process::{Command, Output};

fn corpus() -> Option<PathBuf> {
    let beside = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/manifests");
    let found = std::env::var_os("NEXUS_MANIFESTS").map_or(beside, PathBuf::from);
    found.is_dir().then_some(found)
}

fn run(manifest: PathBuf, words: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_nexus"));
    command.arg("run").arg(manifest).args(words).output().unwrap()
}

#[test]
fn recorded_runs_print_the_same_bytes() {
    let Some(corpus) = corpus() else {
        eprintln!("no recorded manifests here; set NEXUS_MANIFESTS");
        return;
    };
    let rows = std::fs::read_to_string(corpus.join("pure.jsonl")).unwrap();
    assert!(rows.lines().count() >= 100, "the corpus is not whole");
    let mut failures = Vec::new();
    for row in rows.lines() {
        let row = Document::parse(row.as_bytes()).unwrap();
        let member = |key| row.root().member(key).unwrap();
        let (manifest, stdout) = (
            member("manifest").as_str().unwrap(),
            member("stdout").as_str().unwrap(),
        );
        let words: Vec<&str> = member("args")
            .elements()
            .unwrap()
            .filter_map(Node::as_str)
            .collect();
        let found = run(corpus.join(manifest), &words);
        let succeeds = member("rc").as_number() == Some("0");
        if found.stdout != stdout.as_bytes()
            || found.status.success() != succeeds
            || found.stderr.is_empty() != succeeds
        {
            failures.push(format!("{manifest} {words:?}: {found:?}, expected {stdout:?}"));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
