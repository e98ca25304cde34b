//! A folder that a server is to serve as it is: what is to be built of it. A folder of MetaCall names its scripts in files
//! `metacall.json` or `metacall-*.json`; of any other all sources are built as `nexus build` does. Builds nothing itself.

use crate::build::folder::Folder;
use crate::build::language::Language;
use crate::build::order::{Order, check_name};
use crate::build::stage::failed;
use crate::build::state::is_inside;
use crate::codec::document::{Document, Node};
use crate::codec::json::line_column;
use crate::error::{Error, Kind, Result};
use crate::limits::MANIFEST_BYTES_MAX;
use crate::serve::api::metacall::is_description;
use std::fs;
use std::path::Path;

/// The languages that are built while a server waits, as MetaCall names them and as pools do: those that need no compiler.
const LANGUAGES: [(&str, &str); 2] = [("py", "py"), ("node", "js")];

/// Files that name what a program needs beside itself.
const REQUIREMENTS: [&str; 2] = ["requirements.txt", "package.json"];

/// The order for a folder, whose program is to be put into `home`.
///
/// # Errors
/// Kind `usage`: a file of MetaCall that can't be read, or that names no script of a language that is supported; sources that
/// take a compiler. Kind `io`: the folder can't be read.
pub fn order(folder: &Path, home: &Path) -> Result<Order> {
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    let name = match check_name(&name) {
        Ok(()) => name.into_owned(),
        Err(_) => "program".to_string(),
    };
    let files = scripts(folder)?;
    if files.is_empty() {
        check_languages(folder)?;
    }
    Ok(Order {
        root: folder.to_path_buf(),
        is_loose: !files.is_empty(),
        files,
        name,
        home: home.to_path_buf(),
        is_served: true,
    })
}

/// Those files of a folder that name modules which nobody installs.
pub fn requirements(folder: &Path) -> impl Iterator<Item = &'static str> {
    REQUIREMENTS.into_iter().filter(|name| {
        let text = fs::read_to_string(folder.join(name)).unwrap_or_default();
        match name.ends_with(".json") {
            true => text.contains("\"dependencies\""),
            false => !text.trim().is_empty(),
        }
    })
}

/// The scripts that the files of MetaCall in a folder name, in the order of their names; none: it has no such files.
fn scripts(folder: &Path) -> Result<Vec<String>> {
    let entries = fs::read_dir(folder).map_err(|error| failed("read", folder, &error))?;
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let mut names: Vec<String> = names.filter(|name| is_description(name)).collect();
    names.sort();
    let mut scripts = Vec::new();
    for name in names {
        let path = folder.join(&name);
        let text = fs::read(&path).map_err(|error| failed("read", &path, &error))?;
        for script in scripts_of(&text, &path.to_string_lossy())? {
            let known = folder.join(&script);
            if !known.is_file() {
                let message = format!(
                    "{name} names the script {script}, which is not in {}",
                    folder.display()
                );
                return Err(Error::new(Kind::Usage, message));
            }
            if !scripts.contains(&script) {
                scripts.push(script);
            }
        }
    }
    Ok(scripts)
}

/// The scripts that a file of MetaCall names, as paths from its folder on.
fn scripts_of(text: &[u8], shown: &str) -> Result<Vec<String>> {
    let at = |offset: usize| {
        let (line, column) = line_column(text, offset);
        format!("{shown}:{line}:{column}")
    };
    let wrong =
        |node: Node<'_, '_>, message: String| Err(Error::new(Kind::Usage, message).at(at(node.offset())));
    if text.len() > MANIFEST_BYTES_MAX {
        let message = format!(
            "{shown} has {} bytes, expected at most {MANIFEST_BYTES_MAX}",
            text.len()
        );
        return Err(Error::new(Kind::Usage, message));
    }
    let document =
        Document::parse(text).map_err(|error| Error::new(Kind::Usage, error.message).at(at(error.offset)))?;
    let root = document.root();
    let word = |key: &str| root.member(key).and_then(Node::as_str);
    let Some(id) = word("language_id") else {
        return wrong(
            root,
            "there is no \"language_id\", expected \"py\" or \"node\"".into(),
        );
    };
    let Some((_, language)) = LANGUAGES.iter().find(|row| row.0 == id) else {
        return wrong(
            root.member("language_id").unwrap_or(root),
            format!("language_id is '{id}', which is not supported, expected py or node"),
        );
    };
    let Some(elements) = root.member("scripts").and_then(Node::elements) else {
        return wrong(root, "there is no list \"scripts\" of paths".into());
    };
    let mut scripts = Vec::new();
    for element in elements {
        let Some(script) = element.as_str() else {
            return wrong(element, "a script is no string, expected a path".into());
        };
        let path = format!("{}/{script}", word("path").unwrap_or("."));
        let parts: Vec<&str> = path
            .split('/')
            .filter(|part| !matches!(*part, "" | "."))
            .collect();
        let script = parts.join("/");
        if path.starts_with('/') || !is_inside(&script) {
            return wrong(
                element,
                format!("the script '{path}' is not inside of the folder"),
            );
        }
        if Language::of(&script).is_none_or(|found| found.name != *language) {
            return wrong(
                element,
                format!("the script '{script}' is no file of the language '{id}'"),
            );
        }
        scripts.push(script);
    }
    match scripts.is_empty() {
        true => wrong(root, "\"scripts\" names none".into()),
        false => Ok(scripts),
    }
}

/// A server does not wait for a compiler.
fn check_languages(folder: &Path) -> Result<()> {
    let found = Folder::read(folder)?;
    let is_slow = |name: &str| !LANGUAGES.iter().any(|row| row.1 == name);
    let languages = found.sources.iter().filter_map(|file| file.language);
    match languages.into_iter().find(|language| is_slow(language.name)) {
        Some(language) => {
            let message = format!(
                "{} has sources in {}, which a server does not compile",
                folder.display(),
                language.title
            );
            Err(Error::new(Kind::Usage, message)
                .hint("run nexus build there, and serve the program that it makes"))
        }
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        let found = match scripts_of(text.as_bytes(), "m.json") {
            Ok(scripts) => scripts.join(" "),
            Err(error) => error.to_string(),
        };
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn scripts_are_named() {
        check(
            r#"{"language_id": "py", "path": ".", "scripts": ["sum.py", "./b/c.py"]}"#,
            "sum.py b/c.py",
        );
        check(
            r#"{"language_id": "node", "path": "js/", "scripts": ["index.mjs"]}"#,
            "js/index.mjs",
        );
        check(
            r#"{"language_id": "rb", "scripts": ["a.rb"]}"#,
            "language_id is 'rb', which is not supported, expected py or node at m.json:1:17",
        );
        check(
            r#"{"language_id": "py", "scripts": []}"#,
            "\"scripts\" names none at m.json:1:1",
        );
        check(
            r#"{"language_id": "py", "scripts": ["../a.py"]}"#,
            "the script './../a.py' is not inside of the folder at m.json:1:35",
        );
        check(
            r#"{"language_id": "py", "path": "/etc", "scripts": ["a.py"]}"#,
            "the script '/etc/a.py' is not inside of the folder at m.json:1:51",
        );
        check(
            r#"{"language_id": "py", "scripts": ["a.js"]}"#,
            "the script 'a.js' is no file of the language 'py' at m.json:1:35",
        );
        check(
            r#"{"scripts": ["a.py"]}"#,
            "there is no \"language_id\", expected \"py\" or \"node\" at m.json:1:1",
        );
    }
}
