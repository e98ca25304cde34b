//! Recorded manifests of real programs, looked for in `$NEXUS_MANIFESTS` or beside the checkout; without them, nothing is
//! checked.

use super::{directory, run};
use std::fs;
use std::path::PathBuf;

fn manifests() -> Option<PathBuf> {
    let beside = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/manifests");
    let path = std::env::var_os("NEXUS_MANIFESTS").map_or(beside, PathBuf::from);
    if !path.is_dir() {
        eprintln!("no recorded manifests here; set NEXUS_MANIFESTS");
        return None;
    }
    Some(path)
}

#[test]
fn all_manifests_check_and_show_their_help() {
    let Some(manifests) = manifests() else { return };
    let directory = directory("all_manifests");
    let mut count = 0;
    for entry in fs::read_dir(manifests).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        count += 1;
        let path = path.display();
        let line = format!("nexus check {path} && nexus run {path} --help");
        let output = run(&directory, &line);
        let is_quiet = output.status.success() && output.stderr.is_empty();
        assert!(is_quiet && !output.stdout.is_empty(), "{path} {output:?}");
    }
    assert!(count >= 164, "the recorded manifests are not whole");
}
