//! What the sources of a program say about themselves, and what a composition makes of it. A folder without a composition
//! is one whose functions are all exported.

use crate::build::builder::{Say, Saying};
use crate::build::folder::{File, Folder};
use crate::build::language::Language;
use crate::build::order::Order;
use crate::compose::ast::{Module, Name, Source};
use crate::compose::compile::{Sourced, compile};
use crate::compose::compiled::Compiled;
use crate::error::{Error, Kind, Result};
use crate::source::flaw::{render, unknown_type};
use crate::source::signature::{Flaw, Library, Place, Signature};
use crate::source::types::Type;

/// A program as its sources tell it.
#[derive(Debug)]
pub struct Read<'f> {
    /// The sources that were read, and what they say.
    pub libraries: Vec<(&'f File, Library)>,
    /// What comes of it.
    pub compiled: Compiled,
}

/// Reads the sources of a folder.
///
/// # Errors
/// Kind `manifest`: one of them is wrong; `say` was told what and where.
pub fn read<'f>(folder: &'f Folder, order: &Order, say: Say<'_>) -> Result<Read<'f>> {
    let mut flaws = Flaws { say, errors: 0 };
    let composition = match order.is_loose {
        true => None,
        false => composition(folder)?,
    };
    let module = match composition {
        Some(file) => flaws.parse(file),
        None => None,
    };
    let wanted: Vec<&File> = match (&module, composition) {
        (Some(module), Some(file)) => flaws.sources_of(module, file, folder),
        (None, Some(_)) => Vec::new(),
        _ => {
            let is_wanted = |file: &&File| match order.files.is_empty() {
                true => file.is_top(),
                false => order.files.contains(&file.path) && (file.is_top() || order.is_loose),
            };
            folder.sources.iter().filter(is_wanted).collect()
        }
    };
    let mut libraries = Vec::new();
    for file in wanted {
        if let Some(library) = flaws.library(file, order.is_loose) {
            libraries.push((file, library));
        }
    }
    flaws.finish(order)?;
    let module = match module {
        Some(module) => module,
        None => flaws.module_of(&libraries, order),
    };
    let sourced: Vec<Sourced<'_>> = libraries
        .iter()
        .map(|(file, library)| sourced(file, library))
        .collect();
    let compiled = match compile(composition.map_or("", |file| &file.path), &module, &sourced) {
        Ok(compiled) => compiled,
        Err(found) => {
            found
                .iter()
                .for_each(|flaw| flaws.told(Saying::Error, composition, flaw));
            Compiled::default()
        }
    };
    flaws.finish(order)?;
    for flaw in &compiled.warnings {
        flaws.told(Saying::Warning, composition, flaw);
    }
    if compiled.commands.is_empty() {
        return Err(nothing(folder, composition, order));
    }
    Ok(Read { libraries, compiled })
}

/// There is no function that could be a command.
fn nothing(folder: &Folder, composition: Option<&File>, order: &Order) -> Box<Error> {
    let root = order.root.display();
    let (message, hint) = match composition {
        Some(file) => (
            format!("{} exports nothing, so there is nothing to run", file.path),
            "name the commands in its first line: module m (mean, largest)",
        ),
        None if folder.sources.is_empty() => (
            format!("there is no source in {root}, expected files of Python, C++, R or JavaScript"),
            "nexus new DIR makes a small program to begin with",
        ),
        None => (
            format!("no function in {root} can be a command: it takes a signature, without functions in it"),
            "annotate the parameters, or write in a comment above a function: mean :: [Real] -> Real",
        ),
    };
    Error::new(Kind::Usage, message).hint(hint)
}

/// The composition of a folder.
fn composition(folder: &Folder) -> Result<Option<&File>> {
    let mut found = folder
        .sources
        .iter()
        .filter(|file| file.is_composition() && file.is_top());
    match (found.next(), found.next()) {
        (Some(first), Some(second)) => {
            let message = format!(
                "{} and {} are two compositions, expected one",
                first.path, second.path
            );
            Err(Error::new(Kind::Usage, message).hint("name the one to build: nexus build FILE.loc"))
        }
        (first, _) => Ok(first),
    }
}

fn sourced<'l>(file: &'l File, library: &'l Library) -> Sourced<'l> {
    Sourced {
        file: &file.path,
        lang: file.language.map_or("", |language| language.name),
        library,
    }
}

/// A path without what says nothing.
pub fn normal(path: &str) -> &str {
    let mut path = path;
    while let Some(rest) = path.strip_prefix("./") {
        path = rest;
    }
    path
}

/// What is wrong, told as it is found.
struct Flaws<'s> {
    say: Say<'s>,
    errors: usize,
}

impl Flaws<'_> {
    fn told(&mut self, saying: Saying, file: Option<&File>, flaw: &Flaw) {
        let text = file.map_or_else(String::new, |file| {
            String::from_utf8_lossy(&file.content).into_owned()
        });
        let path = file.map_or("", |file| &file.path);
        self.errors += usize::from(saying == Saying::Error);
        (self.say)(saying, &render(path, &text, flaw));
    }

    /// The end, if anything was wrong.
    fn finish(&self, order: &Order) -> Result<()> {
        let errors = match self.errors {
            0 => return Ok(()),
            1 => "an error".to_string(),
            count => format!("{count} errors"),
        };
        let message = format!("{} was not built, for its sources have {errors}", order.name);
        Err(Error::new(Kind::Manifest, message))
    }

    fn text<'f>(&mut self, file: &'f File) -> Option<&'f str> {
        match std::str::from_utf8(&file.content) {
            Ok(text) => Some(text),
            Err(error) => {
                let before = &file.content[..error.valid_up_to()];
                let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
                let start = before
                    .iter()
                    .rposition(|byte| *byte == b'\n')
                    .map_or(0, |at| at + 1);
                let column = String::from_utf8_lossy(&before[start..]).chars().count() + 1;
                let place = Place {
                    line: line as u32,
                    column: column as u32,
                };
                let flaw = Flaw::new(place, 1, "a byte that is no UTF-8").hint("save the file as UTF-8");
                self.told(Saying::Error, Some(file), &flaw);
                None
            }
        }
    }

    fn parse(&mut self, file: &File) -> Option<Module> {
        let text = self.text(file)?;
        match crate::compose::parser::parse(text) {
            Ok(module) => Some(module),
            Err(flaws) => {
                flaws
                    .iter()
                    .for_each(|flaw| self.told(Saying::Error, Some(file), flaw));
                None
            }
        }
    }

    /// The files that a composition takes functions from.
    fn sources_of<'f>(&mut self, module: &Module, composition: &File, folder: &'f Folder) -> Vec<&'f File> {
        let mut found: Vec<&File> = Vec::new();
        for source in &module.sources {
            let path = normal(&source.file.text);
            let len = source.file.text.chars().count() + 2; // with its quotes
            let Some(file) = folder.sources.iter().find(|file| file.path == path) else {
                let flaw = Flaw::new(
                    source.file.place,
                    len,
                    format!("there is no source '{path}' in the folder"),
                );
                let paths = folder.sources.iter().map(|file| file.path.as_str());
                let flaw = match crate::codec::nearest::nearest(path, paths) {
                    Some(near) => flaw.hint(format!("did you mean \"{near}\"?")),
                    None => flaw,
                };
                self.told(Saying::Error, Some(composition), &flaw);
                continue;
            };
            let is_known = |language: &Language| language.word.eq_ignore_ascii_case(&source.lang.text);
            if !file.language.is_some_and(is_known) {
                let written = file.language.map_or("no language", |language| language.title);
                let message = format!("'{path}' is a source in {written}, not in {}", source.lang.text);
                let flaw = Flaw::new(source.lang.place, source.lang.text.chars().count(), message);
                self.told(Saying::Error, Some(composition), &flaw);
                continue;
            }
            if !found.iter().any(|other| other.path == file.path) {
                found.push(file);
            }
        }
        found.sort_by(|a, b| a.path.cmp(&b.path));
        found
    }

    fn library(&mut self, file: &File, is_loose: bool) -> Option<Library> {
        let language = file.language?;
        let text = self.text(file)?;
        let read = match is_loose {
            true => crate::source::read_loosely(language.name, text),
            false => crate::source::read(language.name, text),
        };
        match read {
            Ok(library) => {
                library
                    .warnings
                    .iter()
                    .for_each(|flaw| self.told(Saying::Warning, Some(file), flaw));
                Some(library)
            }
            Err(flaws) => {
                flaws
                    .iter()
                    .for_each(|flaw| self.told(Saying::Error, Some(file), flaw));
                None
            }
        }
    }

    /// The composition that exports every function that can be a command.
    fn module_of(&mut self, libraries: &[(&File, Library)], order: &Order) -> Module {
        let mut module = Module {
            name: Some(name(&order.name)),
            ..Module::default()
        };
        let mut taken: Vec<(String, &File, &Signature)> = Vec::new();
        for (file, library) in libraries {
            self.check_types(file, library);
            let Some(language) = file.language else { continue };
            let mut source = Source {
                lang: name(language.word),
                file: name(&file.path),
                functions: Vec::new(),
            };
            for function in &library.functions {
                if !is_data(function) {
                    continue;
                }
                let command = command_name(function);
                if let Some((_, other, first)) = taken.iter().find(|row| row.0 == command) {
                    let message = format!(
                        "two functions have the name {command}: this, and the one at {}:{}",
                        other.path, first.place.line
                    );
                    let flaw = Flaw::new(function.place, function.name.chars().count(), message);
                    let hint = "rename one, or give its command another name above it (name: ...), or choose in a .loc file";
                    self.told(Saying::Error, Some(file), &flaw.hint(hint));
                    continue;
                }
                taken.push((command.clone(), file, function));
                source.functions.push((name(&function.name), name(&command)));
                module.exports.push(name(&command));
            }
            if !source.functions.is_empty() {
                module.sources.push(source);
            }
        }
        module
    }

    /// Every name of a type has to be one of a record in the file.
    fn check_types(&mut self, file: &File, library: &Library) {
        let known: Vec<&str> = library
            .records
            .iter()
            .map(|record| record.name.as_str())
            .collect();
        for mention in library
            .mentions
            .iter()
            .filter(|mention| !known.contains(&mention.name.as_str()))
        {
            self.told(Saying::Error, Some(file), &unknown_type(mention, &known));
        }
    }
}

fn name(text: &str) -> Name {
    Name {
        text: text.to_string(),
        place: Place::default(),
    }
}

/// How a function is called on the command line.
fn command_name(function: &Signature) -> String {
    let own = function.name.rsplit("::").next().unwrap_or(&function.name);
    function.doc.name.clone().unwrap_or_else(|| own.to_string())
}

/// Whether a command line can give a function what it takes, and show what it gives.
fn is_data(function: &Signature) -> bool {
    let mut open: Vec<&Type> = function.params.iter().map(|param| &param.ty).collect();
    open.push(&function.returns);
    while let Some(ty) = open.pop() {
        match ty {
            Type::Base(_) | Type::Named(_) => {}
            Type::List(inner) | Type::Optional(inner) => open.push(inner),
            Type::Tuple(parts) => open.extend(parts),
            Type::Variable(_) | Type::Function(..) | Type::Worker(..) => return false,
        }
    }
    true
}
