//! A build from its order to the program in its place. Whatever goes wrong, the former program stays as it was.

use crate::build::compiler::{self, Tools, Work};
use crate::build::cpp::Units;
use crate::build::folder::{File, Folder};
use crate::build::interpreter;
use crate::build::language::Language;
use crate::build::library::{self, Read};
use crate::build::manifest;
use crate::build::order::Order;
use crate::build::pool::{self, Part, Pool};
use crate::build::runtimes::Runtime;
use crate::build::stage::{self, Stage};
use crate::build::state::{self, State};
use crate::compose::compiled::Compiled;
use crate::error::{Error, Kind, Result};
use crate::manifest::parse::parse;
use std::fs;
use std::path::Path;

/// What a build says on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Saying {
    /// Something is wrong, and nothing will be built.
    Error,
    /// Something will go wrong later.
    Warning,
    /// What another program says, as it is.
    Output,
}

/// Who listens.
pub type Say<'s> = &'s mut dyn FnMut(Saying, &str);

/// What was built.
#[derive(Debug)]
pub struct Built {
    /// How many commands it has that people can type.
    pub commands: usize,
    /// The languages of its pools.
    pub languages: Vec<String>,
    /// Whether anything was to be done.
    pub is_changed: bool,
}

/// Builds a program. `nexus` is the file of this binary.
///
/// # Errors
/// Kind `manifest`: the sources are wrong; `say` was told what and where. Others as their parts tell.
pub fn build(order: &Order, tools: &Tools, nexus: &Path, say: Say<'_>) -> Result<Built> {
    let before = former(order, nexus)?;
    let mut folder = Folder::read(&order.root)?;
    // Loosely, whatever is in the folder may be needed.
    if !order.files.is_empty() && !order.is_loose {
        folder.choose(&order.files)?;
    }
    let program = library::read(&folder, order, say)?;
    let languages = languages(&program.compiled);
    for language in &languages {
        if let Some((message, hint)) = interpreter::complaint(language, &tools.path) {
            say(Saying::Warning, &format!("{message}\n  hint: {hint}\n"));
        }
    }
    let text = manifest::write(&order.name, &program.compiled);
    check(&text, order)?;
    let mut stage = Stage::begin(&order.pools())?;
    let prepared = prepare(
        order, &folder, &program, &languages, tools, &before, &mut stage, say,
    );
    let state = match prepared {
        Ok(state) => state,
        Err(error) => {
            stage.abandon();
            return Err(error);
        }
    };
    let is_changed = !stage.is_empty() | (state.files != before.files);
    stage.commit(&before.files)?;
    let is_changed = match is_changed {
        // By its manifest whoever serves the program sees that its code is another.
        true => stage::renew(&order.manifest(), &text).map(|()| true)?,
        false => stage::replace(&order.manifest(), &text)?,
    };
    let is_changed = !order.is_served && stage::install(nexus, &order.program())? || is_changed;
    stage::replace(&order.pools().join(state::FILE), state.text().as_bytes())?;
    let commands = program
        .compiled
        .commands
        .iter()
        .filter(|command| !command.is_internal);
    Ok(Built {
        commands: commands.count(),
        languages: languages
            .iter()
            .map(|language| language.name.to_string())
            .collect(),
        is_changed,
    })
}

/// What the last build left; nobody's own files are written over.
fn former(order: &Order, nexus: &Path) -> Result<State> {
    if let Ok(text) = fs::read_to_string(order.pools().join(state::FILE)) {
        return Ok(State::parse(&text));
    }
    let is_taken = |path: &Path| fs::symlink_metadata(path).is_ok();
    let is_nexus = |path: &Path| fs::canonicalize(path).ok() == fs::canonicalize(nexus).ok();
    let is_bare = |path: &Path| fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_none());
    let (program, manifest, pools) = (order.program(), order.manifest(), order.pools());
    let taken = if is_taken(&program) && !is_nexus(&program) {
        &program
    } else if is_taken(&manifest) {
        &manifest
    } else if is_taken(&pools) && !is_bare(&pools) {
        &pools
    } else {
        return Ok(State::default());
    };
    let message = format!(
        "{} is there already, and was not built from sources",
        taken.display()
    );
    Err(Error::new(Kind::Usage, message).hint("move it away, or choose another name with -o NAME"))
}

/// The languages of the pools, in their order.
fn languages(compiled: &Compiled) -> Vec<&'static Language> {
    let languages = compiled
        .pools
        .iter()
        .filter_map(|pool| Language::named(&pool.lang));
    languages.collect()
}

/// What is written is read as it will be.
fn check(text: &[u8], order: &Order) -> Result<()> {
    match parse(text, &order.manifest().to_string_lossy()) {
        Ok(_) => Ok(()),
        Err(mut errors) => Err(errors.remove(0)),
    }
}

/// Lets all files of the pools wait for their places.
#[allow(clippy::too_many_arguments)] // All that a build knows by then.
fn prepare(
    order: &Order,
    folder: &Folder,
    program: &Read<'_>,
    languages: &[&'static Language],
    tools: &Tools,
    before: &State,
    stage: &mut Stage,
    say: Say<'_>,
) -> Result<State> {
    let is_used = |language: &Language| languages.contains(&language);
    let mut state = State::default();
    let pools: Vec<Pool<'_>> = languages
        .iter()
        .enumerate()
        .map(|(at, language)| pool_of(order, folder, program, at, language))
        .collect();
    let mut work = Work::default();
    let mut cpp = None;
    for pool in &pools {
        check_names(pool)?;
        for (runtime, path) in pool.language.runtimes {
            if let Some(runtime) = Runtime::named(runtime) {
                stage.put_runtime(path, runtime)?;
            }
        }
        let files = pool::write(pool)?;
        for file in &files {
            stage.put(&file.path, &file.content)?;
        }
        match pool.language.name {
            "r" => work.has_r = true,
            "cpp" => cpp = files.into_iter().next_back().map(|file| (file, pool)),
            _ => {}
        }
    }
    for file in folder.data(&order.root, &is_used)? {
        stage.put(&file.path, &file.content)?;
    }
    if let Some((file, pool)) = &cpp {
        work.units = Some(Units::of(&file.content, &pool.parts, &pool.sources));
    }
    compiler::make(
        &work,
        tools,
        &order.root,
        stage,
        before,
        &mut state,
        &mut |text| say(Saying::Output, text),
    )?;
    state.files = stage.files();
    Ok(state)
}

/// What the pool of a language consists of.
fn pool_of<'p>(
    order: &'p Order,
    folder: &'p Folder,
    program: &'p Read<'p>,
    position: usize,
    language: &'static Language,
) -> Pool<'p> {
    let sources: Vec<&File> = folder
        .sources
        .iter()
        .filter(|file| file.language == Some(language))
        .collect();
    let mut parts: Vec<Part<'_>> = Vec::new();
    for (file, library) in &program.libraries {
        let instances = program.compiled.instances.iter();
        let instances: Vec<_> = instances
            .filter(|instance| instance.pool == position && library::normal(&instance.file) == file.path)
            .collect();
        if !instances.is_empty() {
            parts.push(Part {
                file,
                library,
                instances,
            });
        }
    }
    Pool {
        program: &order.name,
        language,
        parts,
        records: &program.compiled.records,
        sources,
    }
}

/// A source can't have the name of a file that is written beside it.
fn check_names(pool: &Pool<'_>) -> Result<()> {
    let written = match pool.language.name {
        "py" => "pool.py",
        "r" => "pool.R",
        "js" => "pool.cjs",
        _ => "pool.cpp",
    };
    let runtimes = pool.language.runtimes.iter().map(|runtime| runtime.1);
    for taken in runtimes.chain([written]) {
        if pool.sources.iter().any(|file| file.path == taken) {
            let message = format!("{taken} is a source, but a file of that name is written for the pool");
            return Err(Error::new(Kind::Usage, message).hint("give the source another name"));
        }
    }
    Ok(())
}
