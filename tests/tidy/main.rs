//! A test that reads the source: the rules of the project that a compiler doesn't know. Each rule is a function from a file
//! to its complaints, shown below to fail on what it forbids. Changes nothing and runs no other program.

mod rules;
mod source;

use std::fs;
use std::path::{Path, PathBuf};

/// A file of the project: its path from the top, and its text.
pub(crate) struct File {
    pub(crate) path: String,
    pub(crate) text: String,
}

fn top() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every text file below a directory, without what builds and runs leave behind, and what fuzz targets are fed.
fn collect(dir: &Path, files: &mut Vec<File>) {
    let mut entries: Vec<PathBuf> = fs::read_dir(dir)
        .expect("a directory of the project can be read")
        .map(|entry| entry.expect("an entry can be read").path())
        .collect();
    entries.sort();
    for entry in entries {
        let path = entry.strip_prefix(top()).expect("an entry stands below the top");
        let path = path.to_str().expect("a path is text").to_string();
        let name = path.rsplit('/').next().unwrap_or_default();
        if matches!(
            name,
            ".git" | "target" | "artifacts" | "corpus" | "coverage" | "__pycache__"
        ) {
            continue;
        }
        if entry.is_dir() {
            collect(&entry, files);
        } else if let Ok(text) = fs::read_to_string(&entry) {
            files.push(File { path, text });
        }
    }
}

#[test]
fn every_file_is_tidy() {
    let mut files = Vec::new();
    collect(top(), &mut files);
    let mut complaints: Vec<String> = files.iter().flat_map(rules::check_file).collect();
    let names = fs::read_dir(top()).expect("the top can be read");
    let names = names.map(|entry| entry.expect("an entry can be read").file_name());
    let names: Vec<String> = names.map(|name| name.to_string_lossy().into_owned()).collect();
    complaints.extend(rules::top_level(&names));
    assert!(files.len() > 40, "only {} files were found", files.len());
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}
