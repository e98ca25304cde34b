//! The code of a pool: what it loads of each source, and what it registers. Each language writes it in its own module.

use crate::build::folder::File;
use crate::build::language::Language;
use crate::build::{cpp, javascript, python, r};
use crate::compose::compiled::Instance;
use crate::error::Result;
use crate::source::signature::{Library, Record, Signature};

/// A pool that is to be written.
#[derive(Debug)]
pub struct Pool<'p> {
    /// The program's name.
    pub program: &'p str,
    /// What it is written in.
    pub language: &'static Language,
    /// The sources with functions that it offers, by their paths.
    pub parts: Vec<Part<'p>>,
    /// The records that its types name.
    pub records: &'p [Record],
    /// All sources in the language.
    pub sources: Vec<&'p File>,
}

/// What a pool offers of one source.
#[derive(Debug)]
pub struct Part<'p> {
    /// The source.
    pub file: &'p File,
    /// What the source says about itself.
    pub library: &'p Library,
    /// The functions, by their numbers.
    pub instances: Vec<&'p Instance>,
}

impl Part<'_> {
    /// What the source says about a function.
    pub fn signature(&self, instance: &Instance) -> Option<&Signature> {
        self.library
            .functions
            .iter()
            .find(|function| function.name == instance.function)
    }
}

/// A file that is to be written.
#[derive(Debug)]
pub struct Written {
    /// In the folder of the pools.
    pub path: String,
    /// Its content.
    pub content: Vec<u8>,
}

impl Written {
    /// A file with that text.
    pub fn new(path: impl Into<String>, text: String) -> Written {
        Written {
            path: path.into(),
            content: text.into_bytes(),
        }
    }
}

/// The files of a pool, but for the runtimes: its own code, and its sources. The last is the pool's text.
///
/// # Errors
/// As the language has them.
pub fn write(pool: &Pool<'_>) -> Result<Vec<Written>> {
    let mut files: Vec<Written> = pool
        .sources
        .iter()
        .map(|file| Written {
            path: file.path.clone(),
            content: file.content.clone(),
        })
        .collect();
    match pool.language.name {
        "py" => files.push(python::write(pool)),
        "r" => files.push(r::write(pool)),
        "js" => javascript::write(pool, &mut files)?,
        _ => files.push(cpp::write(pool)),
    }
    Ok(files)
}
