//! Interpreters: where they are, and whether they are what they seem. Starts none.

use crate::build::language::Language;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// The files that a program's name means, in the order of `path`, PATH's value.
fn all<'p>(name: &'p str, path: &'p OsStr) -> impl Iterator<Item = PathBuf> + 'p {
    std::env::split_paths(path)
        .map(move |folder| folder.join(name))
        .filter(|file| {
            fs::metadata(file).is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
        })
}

/// The program that a name means; one with a slash is its path.
pub fn find(name: &str, path: &OsStr) -> Option<PathBuf> {
    match name.contains('/') {
        true => Some(PathBuf::from(name)).filter(|file| file.is_file()),
        false => all(name, path).next(),
    }
}

/// What is wrong with a language's interpreter: a sentence and what to do. None: nothing.
pub fn complaint(language: &Language, path: &OsStr) -> Option<(String, String)> {
    let name = language.interpreter?;
    let title = language.title;
    let Some(found) = find(name, path) else {
        return Some((
            format!("there is no {name} in PATH, which runs the functions in {title}"),
            format!("install it, on Debian: apt install {}", language.package),
        ));
    };
    if !is_shim(language, &found) {
        return None;
    }
    let message = format!(
        "{name} in PATH is {}, which only looks for the interpreter: each start takes tens of milliseconds longer",
        found.display()
    );
    let hint = match all(name, path).find(|file| !is_shim(language, file)) {
        Some(real) => format!(
            "{} is an interpreter: put its folder before the other in PATH",
            real.display()
        ),
        None => "put the folder of the interpreter itself first in PATH".to_string(),
    };
    Some((message, hint))
}

/// Whether a file starts the interpreter instead of being it: a script, or a program of another name.
fn is_shim(language: &Language, file: &Path) -> bool {
    let real = fs::canonicalize(file).unwrap_or_else(|_| file.to_path_buf());
    let name = real.file_name().unwrap_or_default().to_string_lossy();
    if !language.interpreter_is.iter().any(|part| name.contains(part)) {
        return true;
    }
    let mut start = [0; 2];
    let is_script =
        File::open(&real).is_ok_and(|mut file| file.read_exact(&mut start).is_ok() && start == *b"#!");
    // R is a script wherever it is real; so only a name tells.
    is_script && language.name != "r"
}
