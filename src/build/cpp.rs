//! The pool of C++: a program that includes the sources, describes their records and registers their functions.

use crate::build::folder::File;
use crate::build::pool::{Part, Pool, Written};
use crate::build::text::quoted;
use crate::compose::compiled::Instance;
use std::fmt::Write;

/// Writes the program's text.
pub fn write(pool: &Pool<'_>) -> Written {
    let mut text = format!(
        "// The C++ pool of {}: which functions it offers, under which numbers. Written by nexus build.\n\
         #include \"nexus.hpp\"\n\n",
        pool.program
    );
    for part in &pool.parts {
        let _ = writeln!(text, "#include {}", quoted(&part.file.path));
    }
    text.push_str("\nint main() {\n");
    for part in &pool.parts {
        for instance in &part.instances {
            let _ = writeln!(text, "    {}", registration(part, instance));
        }
    }
    text.push_str("    return nexus::serve();\n}\n");
    Written::new("pool.cpp", text)
}

fn registration(part: &Part<'_>, instance: &Instance) -> String {
    let name = &instance.function;
    let line = part
        .signature(instance)
        .map_or(1, |signature| signature.place.line);
    let file = quoted(&part.file.path);
    format!(
        "nexus::add<&{name}>({}, {{{}, {file}, {line}}});",
        instance.mid,
        quoted(name)
    )
}

/// What is compiled.
#[derive(Debug)]
pub struct Units<'u> {
    /// The pool's text.
    pub pool: &'u [u8],
    /// All sources in C++.
    pub sources: &'u [&'u File],
    /// Those that the pool includes.
    pub included: Vec<&'u str>,
    /// Those that are compiled by themselves: the other halves of headers.
    pub others: Vec<&'u str>,
    /// What the sources say for the compiler.
    pub flags: Vec<String>,
}

impl<'u> Units<'u> {
    /// What belongs to the sources that a pool includes.
    pub fn of(pool: &'u [u8], parts: &'u [Part<'u>], sources: &'u [&'u File]) -> Units<'u> {
        let included: Vec<&str> = parts.iter().map(|part| part.file.path.as_str()).collect();
        let mut reached: Vec<&File> = parts.iter().map(|part| part.file).collect();
        let mut others = Vec::new();
        let mut at = 0;
        while let Some(file) = reached.get(at).copied() {
            at += 1;
            let mut found: Vec<&File> = includes(&file.content)
                .filter_map(|path| resolve(file, path, sources))
                .collect();
            // What is not included by anybody, but has the name of a header that is, is its other half.
            if let Some(half) = other_half(file, sources)
                && !is_included(half, sources)
                && !included.contains(&half.path.as_str())
            {
                others.push(half.path.as_str());
                found.push(half);
            }
            for file in found {
                if !reached.iter().any(|known| known.path == file.path) {
                    reached.push(file);
                }
            }
        }
        others.sort_unstable();
        others.dedup();
        Units {
            pool,
            sources,
            included,
            others,
            flags: parts
                .iter()
                .flat_map(|part| part.library.flags.iter().cloned())
                .collect(),
        }
    }

    /// All that decides what is made.
    pub fn inputs(&self) -> impl Iterator<Item = &[u8]> {
        let files = self
            .sources
            .iter()
            .flat_map(|file| [file.path.as_bytes(), &file.content]);
        let flags = self.flags.iter().map(|flag| flag.as_bytes());
        std::iter::once(self.pool).chain(files).chain(flags)
    }

    /// For people.
    pub fn told(&self) -> String {
        self.included.join(", ")
    }
}

/// The paths that a text includes in quotes.
fn includes(text: &[u8]) -> impl Iterator<Item = &str> {
    text.split(|byte| *byte == b'\n').filter_map(|line| {
        let line = std::str::from_utf8(line).ok()?.trim_start().strip_prefix('#')?;
        let path = line
            .trim_start()
            .strip_prefix("include")?
            .trim_start()
            .strip_prefix('"')?;
        path.split_once('"').map(|(path, _)| path)
    })
}

/// The source that a path means: from the folder of the file that names it, or from the top.
fn resolve<'f>(from: &File, path: &str, sources: &[&'f File]) -> Option<&'f File> {
    let folder = from.path.rsplit_once('/').map_or("", |(folder, _)| folder);
    let path = path.trim_start_matches("./");
    let beside = match folder {
        "" => path.to_string(),
        folder => format!("{folder}/{path}"),
    };
    let find = |path: &str| sources.iter().find(|file| file.path == path).copied();
    find(&beside).or_else(|| find(path))
}

fn is_included(file: &File, sources: &[&File]) -> bool {
    let names = |other: &&File| {
        includes(&other.content)
            .any(|path| resolve(other, path, sources).is_some_and(|found| found.path == file.path))
    };
    sources.iter().copied().any(|other| names(&other))
}

/// `a/b.cpp` of `a/b.hpp`.
fn other_half<'f>(header: &File, sources: &[&'f File]) -> Option<&'f File> {
    let (name, extension) = header.path.rsplit_once('.')?;
    if !extension.starts_with('h') {
        return None;
    }
    let is_half = |file: &&&File| {
        let half = file
            .path
            .strip_prefix(name)
            .and_then(|rest| rest.strip_prefix('.'));
        half.is_some_and(|extension| extension.starts_with('c'))
    };
    sources.iter().find(is_half).copied()
}
