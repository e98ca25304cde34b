//! The files of a folder: its sources, with their texts, and the data that they name. Reads no language.

use crate::build::language::Language;
use crate::build::stage::failed;
use crate::build::state;
use crate::error::{Error, Kind, Result};
use crate::limits::{BUILD_DATA_BYTES_MAX, BUILD_DEPTH_MAX, BUILD_FILES_MAX, SOURCE_BYTES_MAX};
use std::fs;
use std::path::Path;

/// A file of the folder.
#[derive(Debug)]
pub struct File {
    /// From the folder on, with slashes.
    pub path: String,
    /// Its language; none: a composition, or data.
    pub language: Option<&'static Language>,
    /// Its content.
    pub content: Vec<u8>,
}

impl File {
    /// Whether it is a composition.
    pub fn is_composition(&self) -> bool {
        self.path.ends_with(".loc")
    }

    /// Whether it lies in the folder itself.
    pub fn is_top(&self) -> bool {
        !self.path.contains('/')
    }
}

/// What was found.
#[derive(Debug, Default)]
pub struct Folder {
    /// Sources and compositions, by their paths.
    pub sources: Vec<File>,
    /// The paths of all other files.
    others: Vec<String>,
}

/// Folders that hold no sources of their own.
const PASSED_OVER: [&str; 3] = ["__pycache__", "node_modules", "target"];

impl Folder {
    /// Reads the sources of a folder and of those below it.
    ///
    /// # Errors
    /// Kind `io`: something can't be read. Kind `usage`: the folder holds more than a program can be made of.
    pub fn read(root: &Path) -> Result<Folder> {
        let mut folder = Folder::default();
        let mut open = vec![String::new()];
        let mut count = 0;
        while let Some(inside) = open.pop() {
            let path = root.join(&inside);
            let entries = fs::read_dir(&path).map_err(|error| failed("read", &path, &error))?;
            for entry in entries {
                let entry = entry.map_err(|error| failed("read", &path, &error))?;
                count += 1;
                if count > BUILD_FILES_MAX {
                    let message = format!("{} holds more than {BUILD_FILES_MAX} files", root.display());
                    let hint = "put the sources of the program into a folder of their own, or name them";
                    return Err(Error::new(Kind::Usage, message).hint(hint));
                }
                // What has no readable name no source can name.
                let Ok(name) = entry.file_name().into_string() else {
                    continue;
                };
                if name.starts_with('.') || name.contains('\n') {
                    continue;
                }
                let inside = match inside.as_str() {
                    "" => name.clone(),
                    inside => format!("{inside}/{name}"),
                };
                let kind = entry
                    .file_type()
                    .map_err(|error| failed("read", &entry.path(), &error))?;
                if kind.is_dir() {
                    if is_entered(&entry.path(), &name) && inside.matches('/').count() < BUILD_DEPTH_MAX {
                        open.push(inside);
                    }
                } else if Language::of(&name).is_some() || name.ends_with(".loc") {
                    folder.sources.extend(File::read(root, inside)?);
                } else {
                    folder.others.push(inside);
                }
            }
        }
        folder.sources.sort_by(|a, b| a.path.cmp(&b.path));
        folder.others.sort();
        Ok(folder)
    }

    /// Leaves only those that were named, and the sources beside them that they name in turn.
    ///
    /// # Errors
    /// Kind `usage`: a name is of no source.
    pub fn choose(&mut self, names: &[String]) -> Result<()> {
        let mut chosen: Vec<bool> = self
            .sources
            .iter()
            .map(|file| names.contains(&file.path))
            .collect();
        if let Some(missing) = names
            .iter()
            .find(|name| !self.sources.iter().any(|file| file.path == **name))
        {
            return Err(Error::new(
                Kind::Usage,
                format!("{missing} is no source that can be read"),
            ));
        }
        loop {
            let mut words = Vec::new();
            let read = self.sources.iter().zip(&chosen).filter(|(_, chosen)| **chosen);
            read.for_each(|(file, _)| words.extend(words_of(&file.content)));
            let before = chosen.iter().filter(|chosen| **chosen).count();
            for (file, chosen) in self.sources.iter().zip(&mut chosen) {
                let name = crate::build::text::stem(&file.path);
                *chosen |= file.language.is_some() && has_part(&words, name);
            }
            if before == chosen.iter().filter(|chosen| **chosen).count() {
                break;
            }
        }
        let mut chosen = chosen.into_iter();
        self.sources.retain(|_| chosen.next().unwrap_or(false));
        Ok(())
    }

    /// The data that the sources of these languages and the compositions name: files whose names stand in their texts.
    ///
    /// # Errors
    /// Kind `io`: one can't be read.
    pub fn data(&self, root: &Path, is_used: &dyn Fn(&Language) -> bool) -> Result<Vec<File>> {
        if self.others.is_empty() {
            return Ok(Vec::new());
        }
        let mut words = Vec::new();
        for file in &self.sources {
            if file.is_composition() || file.language.is_some_and(is_used) {
                words.extend(words_of(&file.content));
            }
        }
        let mut data = Vec::new();
        for path in &self.others {
            let name = path.rsplit('/').next().unwrap_or(path);
            // A word without a point is a word.
            if name.contains('.') && words.contains(&name.as_bytes()) {
                data.extend(File::read(root, path.clone())?);
            }
        }
        Ok(data)
    }
}

impl File {
    /// A regular file; none: it is something else.
    fn read(root: &Path, path: String) -> Result<Option<File>> {
        let place = root.join(&path);
        let Ok(found) = fs::metadata(&place) else {
            return Ok(None);
        };
        let language = Language::of(&path);
        let is_source = language.is_some() || path.ends_with(".loc");
        let bytes_max = if is_source {
            SOURCE_BYTES_MAX as u64
        } else {
            BUILD_DATA_BYTES_MAX
        };
        if !found.is_file() {
            return Ok(None);
        }
        if found.len() > bytes_max {
            let message = format!("{path} has {} bytes, expected at most {bytes_max}", found.len());
            let hint = match is_source {
                true => "move it out of the folder",
                false => "let the program take its path as an argument",
            };
            return Err(Error::new(Kind::Usage, message).hint(hint));
        }
        let content = fs::read(&place).map_err(|error| failed("read", &place, &error))?;
        Ok(Some(File {
            path,
            language,
            content,
        }))
    }
}

/// Whether a folder may hold sources: it is no environment of Python and was not built.
fn is_entered(path: &Path, name: &str) -> bool {
    let has = |file: &str| path.join(file).exists();
    !PASSED_OVER.contains(&name) && !has("pyvenv.cfg") && !has(state::FILE)
}

/// What stands in a text between quotes, spaces and slashes.
fn words_of(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-' | 0x80..);
    text.split(move |byte| !is_part(byte)).map(|word| {
        let end = word.iter().rposition(|byte| *byte != b'.').map_or(0, |at| at + 1);
        &word[..end]
    })
}

/// Whether a name stands among words, or as a part of one between points: `stats` in `sub.stats` and `stats.hpp`.
fn has_part(words: &[&[u8]], name: &str) -> bool {
    let name = name.as_bytes();
    let has_part = |word: &&[u8]| *word == name || word.split(|byte| *byte == b'.').any(|part| part == name);
    words.iter().any(has_part)
}
