//! What is to be built, where to, and under which name: from what stands on the command line. Reads no source.

use crate::build::language::Language;
use crate::build::stage::failed;
use crate::error::{Error, Kind, Result};
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

/// The name under which the binary is the tool.
const TOOL: &str = "nexus";

/// What is to be built.
#[derive(Debug)]
pub struct Order {
    /// The folder that the sources' names count from.
    pub root: PathBuf,
    /// The sources that were named, relative to it; none: all of the folder.
    pub files: Vec<String>,
    /// The program's name.
    pub name: String,
    /// Where the program is put.
    pub home: PathBuf,
    /// Whether functions need no types: what has none takes and gives any JSON.
    pub is_loose: bool,
    /// Whether only a server runs it: its manifest needs no program beside it.
    pub is_served: bool,
}

impl Order {
    /// An order for a folder or for files (none: the working directory), and `-o`, if it is given.
    ///
    /// # Errors
    /// Kind `usage`: there is no such folder or file, or no program can have that name.
    pub fn new(paths: &[String], output: Option<&str>) -> Result<Order> {
        let folder = match paths {
            [] => Some("."),
            [path] if Path::new(path).is_dir() => Some(path.as_str()),
            _ => None,
        };
        let (root, files) = match folder {
            Some(folder) => (resolve(Path::new(folder))?, Vec::new()),
            None => together(paths)?,
        };
        let here = || resolve(Path::new("."));
        let (name, home) = match (output, files.as_slice()) {
            (Some(output), _) => named_by(output)?,
            (None, []) => (file_name(&root), root.clone()),
            (None, [file]) => (crate::build::text::stem(file).to_string(), here()?),
            (None, _) => (file_name(&here()?), here()?),
        };
        check_name(&name)?;
        Ok(Order {
            root,
            files,
            name,
            home,
            is_loose: false,
            is_served: false,
        })
    }

    /// The program.
    pub fn program(&self) -> PathBuf {
        self.home.join(&self.name)
    }

    /// Its manifest.
    pub fn manifest(&self) -> PathBuf {
        self.home.join(format!("{}.manifest", self.name))
    }

    /// The folder of its pools.
    pub fn pools(&self) -> PathBuf {
        self.home.join(format!("{}.pools", self.name))
    }
}

fn resolve(path: &Path) -> Result<PathBuf> {
    fs::canonicalize(path).map_err(|error| {
        let mut error = failed("read", path, &error);
        error.kind = Kind::Usage;
        error
    })
}

fn file_name(path: &Path) -> String {
    path.file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}

/// The innermost folder that all of the files are in, and the files from there.
fn together(paths: &[String]) -> Result<(PathBuf, Vec<String>)> {
    let mut files = Vec::with_capacity(paths.len());
    for path in paths {
        let file = resolve(Path::new(path))?;
        if file.is_dir() {
            let message = format!("{path} is a folder among several paths, expected one folder or files");
            return Err(Error::new(Kind::Usage, message));
        }
        if Language::of(path).is_none() && !path.ends_with(".loc") {
            let message = format!(
                "{path} is no source, expected a file of Python, C++, R or JavaScript, or a .loc file"
            );
            return Err(Error::new(Kind::Usage, message));
        }
        files.push(file);
    }
    let mut root = files[0].parent().unwrap_or(Path::new("/")).to_path_buf();
    while !files.iter().all(|file| file.starts_with(&root)) {
        root.pop();
    }
    let relative = |file: &PathBuf| {
        let inside = file.strip_prefix(&root).unwrap_or(file);
        inside.to_string_lossy().into_owned()
    };
    let names = files.iter().map(relative).collect();
    Ok((root, names))
}

/// The name and the place of a program that `-o` gives.
fn named_by(output: &str) -> Result<(String, PathBuf)> {
    let path = Path::new(output);
    let name = path
        .file_name()
        .and_then(OsStr::to_str)
        .filter(|_| !output.ends_with('/'));
    let Some(name) = name else {
        let message = format!("option -o is '{output}', expected the name of a program");
        return Err(Error::new(Kind::Usage, message));
    };
    let home = match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    Ok((name.to_string(), resolve(home)?))
}

/// Whether a program can have that name.
///
/// # Errors
/// Kind `usage`: it can't.
pub fn check_name(name: &str) -> Result<()> {
    let hint = "choose another with -o NAME";
    let is_plain = |letter: char| !letter.is_control() && !letter.is_whitespace();
    if name == TOOL {
        let message = "a program can't have the name nexus, under which this binary is the tool";
        return Err(Error::new(Kind::Usage, message).hint(hint));
    }
    if name.is_empty() || name.starts_with(['-', '.']) || !name.chars().all(is_plain) {
        let message = format!("a program can't have the name '{name}', expected a word");
        return Err(Error::new(Kind::Usage, message).hint(hint));
    }
    Ok(())
}
