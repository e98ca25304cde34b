//! A program from start to exit: its manifest is found and read, its command line is understood, and what it asks for is
//! done.

use crate::cli::completions;
use crate::cli::each;
use crate::cli::explain::{self, Telling};
use crate::cli::files::{self, reason};
use crate::cli::help;
use crate::cli::input;
use crate::cli::mcp;
use crate::cli::output;
use crate::cli::page::Page;
use crate::cli::remote::{self, Target, Timeline};
use crate::cli::report;
use crate::cli::request::{self, Invocation, Request, Topic};
use crate::cli::style::Style;
use crate::cli::warm;
use crate::core::eval::run as evaluate;
use crate::error::{Error, Kind, Result};
use crate::ids::PoolId;
use crate::limits::MANIFEST_BYTES_MAX;
use crate::manifest::model::{Arg, Body, Manifest};
use crate::manifest::names::full_name;
use crate::manifest::parse::parse;
use crate::shell::client::Client;
use crate::sys::clock::now_us;
use crate::sys::terminal;
use std::ffi::OsString;
use std::io::{self, Write};
use std::mem::ManuallyDrop;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::rc::Rc;

/// Runs the program that was started by that path, under that name, with those words.
pub fn run(program: &Path, name: &str, words: &[String]) -> ExitCode {
    with_manifest(program, name, |path, manifest| {
        match mcp::is_asked(manifest, words) {
            true => mcp::serve(path, manifest, name, None),
            false => serve(name, Place::Here(path), manifest, words),
        }
    })
}

/// Tells what that would do, without doing it; or does it, and tells when what happened.
pub fn explain(program: &Path, name: &str, words: &[String], telling: Telling) -> ExitCode {
    let begun_us = now_us();
    with_manifest(program, name, |path, manifest| {
        let Request::Run(invocation) = request::parse(name, manifest, words)? else {
            return serve(name, Place::Here(path), manifest, words);
        };
        let Telling::Of(drawing) = telling else {
            let mut timeline = Timeline::default();
            let result = invoke(Place::Here(path), manifest, &invocation, Some(&mut timeline));
            let mut stderr = io::stderr();
            let mut page = Page::new(columns(&stderr), Style::of(&stderr));
            explain::tell_times(manifest, begun_us, &timeline, &mut page);
            // The result is there whether or not this can be read.
            let _ = stderr.write_all(page.into_text().as_bytes());
            return result;
        };
        let stdout = io::stdout();
        let mut page = Page::new(columns(&stdout), Style::of(&stdout));
        explain::explain(manifest, &invocation, drawing, &mut page)?;
        output::print_text(page.into_text().as_bytes()).map(|()| ExitCode::SUCCESS)
    })
}

/// Runs a program that a server serves under that name, the only one if it has none, with those words.
///
/// # Errors
/// Kind `usage`: words that don't fit, or that ask for what is not done by a server; what the run says.
pub fn run_at(
    client: &mut Client,
    name: Option<&str>,
    manifest: &Rc<Manifest>,
    words: &[String],
) -> Result<ExitCode> {
    let place = Place::There(client, name);
    serve(&manifest.name, place, manifest, words)
}

/// Where the pools of a command run.
enum Place<'p> {
    /// Below this process; the path is the manifest's.
    Here(&'p Path),
    /// In a deployment of a server, the only one if none is named.
    There(&'p mut Client, Option<&'p str>),
}

/// Does something with a program's manifest and its path, or says what is wrong with it.
pub fn with_manifest(
    program: &Path,
    name: &str,
    act: impl FnOnce(&Path, &Rc<Manifest>) -> Result<ExitCode>,
) -> ExitCode {
    let loaded = find(program).and_then(|(path, text)| load(&path, &text).map(|manifest| (path, manifest)));
    let (path, manifest) = match loaded {
        Ok(loaded) => loaded,
        Err(errors) => {
            for error in &errors {
                report::print(name, error);
            }
            return ExitCode::from(Kind::Manifest.exit_code());
        }
    };
    // The process ends with it; freeing its thousands of pieces one by one would only delay that.
    let manifest = ManuallyDrop::new(Rc::new(manifest));
    match act(&path, &manifest) {
        Ok(code) => code,
        Err(error) => report::print(name, &error),
    }
}

/// All that is wrong with a manifest.
type Errors = Vec<Box<Error>>;

/// Links in a row that are followed from a program to its manifest: as many as the system follows to the program.
const LINKS_MAX: usize = 40;

/// The manifest of a program and its text: `<path>.manifest`; if there is none and the program is a link, beside what it
/// points to. A path that itself ends in `.manifest` or `.json` is the manifest's.
///
/// # Errors
/// Kind `manifest`: there is none, or it can't be read.
pub fn find(program: &Path) -> std::result::Result<(PathBuf, Vec<u8>), Errors> {
    let extension = program.extension().and_then(|extension| extension.to_str());
    let beside = |program: &Path| match extension {
        Some("manifest" | "json") => program.to_path_buf(),
        _ => {
            let mut path = OsString::from(program);
            path.push(".manifest");
            PathBuf::from(path)
        }
    };
    let mut at = program.to_path_buf();
    for _ in 0..LINKS_MAX {
        let path = beside(&at);
        match files::read(&path, MANIFEST_BYTES_MAX as u64) {
            Ok(text) => return Ok((path, text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                let message = format!("can't read manifest {}: {}", path.display(), reason(&error));
                return Err(vec![Error::new(Kind::Manifest, message)]);
            }
        }
        match std::fs::read_link(&at) {
            // A relative link counts from where it is; joining an absolute one gives that one.
            Ok(target) => at = at.parent().unwrap_or(Path::new("")).join(target),
            Err(_) => break,
        }
    }
    let message = format!("there is no manifest {}", beside(program).display());
    let hint =
        "a program is this binary, or a link to it, beside the manifest that its name and .manifest name";
    Err(vec![Error::new(Kind::Manifest, message).hint(hint)])
}

/// The checked manifest of that path.
///
/// # Errors
/// All that is wrong with it.
pub fn load(path: &Path, text: &[u8]) -> std::result::Result<Manifest, Errors> {
    parse(text, &path.to_string_lossy())
}

fn serve(name: &str, place: Place<'_>, manifest: &Rc<Manifest>, words: &[String]) -> Result<ExitCode> {
    match request::parse(name, manifest, words)? {
        Request::Run(invocation) => invoke(place, manifest, &invocation, None),
        Request::Each(command, options) => match place {
            Place::Here(path) => each::run(path, manifest, command, options),
            Place::There(..) => {
                let message = "option --each is given, which a server does not take";
                Err(Error::new(Kind::Usage, message).hint("run the program itself"))
            }
        },
        Request::Describe(topic) => {
            let stdout = io::stdout();
            let mut page = Page::new(columns(&stdout), Style::of(&stdout));
            describe(name, manifest, topic, &mut page);
            output::print_text(page.into_text().as_bytes()).map(|()| ExitCode::SUCCESS)
        }
        Request::Version => {
            let text = format!("{name}, run by nexus {}\n", env!("CARGO_PKG_VERSION"));
            output::print_text(text.as_bytes()).map(|()| ExitCode::SUCCESS)
        }
        Request::Completions(shell) => {
            let script = completions::script(shell, name)?;
            output::print_text(script.as_bytes()).map(|()| ExitCode::SUCCESS)
        }
        Request::Complete(words) => {
            let found = completions::complete(manifest, &words);
            output::print_text(found.as_bytes()).map(|()| ExitCode::SUCCESS)
        }
        Request::Nothing(topic) => {
            let mut stderr = io::stderr();
            let mut page = Page::new(columns(&stderr), Style::of(&stderr));
            describe(name, manifest, topic, &mut page);
            // It is an error all the same when nobody can read the page.
            let _ = stderr.write_all(page.into_text().as_bytes());
            Ok(ExitCode::from(Kind::Usage.exit_code()))
        }
    }
}

fn describe(name: &str, manifest: &Manifest, topic: Topic, page: &mut Page) {
    match topic {
        Topic::Program => help::program(name, manifest, page),
        Topic::Group(group) => help::group(name, manifest, group, page),
        Topic::Command(command) => help::command(name, manifest, command, page),
    }
}

/// Columns of the terminal; 80 where there is none and `COLUMNS` doesn't tell.
fn columns(stream: &impl AsFd) -> usize {
    let told = || std::env::var("COLUMNS").ok()?.parse().ok();
    terminal::width(stream.as_fd())
        .map(usize::from)
        .or_else(told)
        .unwrap_or(80)
}

/// Runs a command and prints its result; `timeline` is given what happened when, if pools ran.
fn invoke(
    place: Place<'_>,
    manifest: &Rc<Manifest>,
    invocation: &Invocation,
    timeline: Option<&mut Timeline>,
) -> Result<ExitCode> {
    let command = invocation.command;
    let types = &manifest.types;
    let in_command = |mut error: Box<Error>| {
        // What is wrong with an argument was found before the command ran.
        if !matches!(error.kind, Kind::Usage | Kind::BadArgument) {
            error.command.get_or_insert_with(|| full_name(command));
        }
        error
    };
    let returned = command.returns.ty;
    output::check(types, returned, invocation.options.output)?;
    let print = |result: Option<Vec<u8>>| match result {
        Some(result) => output::print(types, returned, &result, invocation.options.output),
        None => Ok(()),
    };
    let run_pools = |needed: &[PoolId], target: &Target| {
        let result = match place {
            Place::Here(path) => {
                if timeline.is_none()
                    && let Some(warm) = warm::find(path, manifest, needed, &invocation.options)?
                {
                    return warm.call(manifest, invocation).map(Some).map_err(in_command);
                }
                remote::run(manifest, path, needed, target, invocation, timeline)
            }
            Place::There(client, name) => remote::ask(client, name, manifest, invocation).map(Some),
        };
        result.map_err(in_command)
    };
    match &command.body {
        Body::Pure(expr) => {
            let mut encoded = Vec::with_capacity(invocation.args.len());
            for (position, source) in invocation.args.iter().enumerate() {
                encoded.push(input::encode(types, command, position, source)?);
            }
            let typed = encoded
                .iter()
                .map(Vec::as_slice)
                .zip(command.args.iter().map(Arg::ty));
            let args: Vec<_> = typed.collect();
            let mut result = Vec::new();
            evaluate(&manifest.exprs, types, *expr, &args, returned, &mut result).map_err(in_command)?;
            print(Some(result))?;
        }
        Body::Remote { pool, mid, needed } => {
            let target = Target::Function {
                pool: *pool,
                mid: *mid,
            };
            print(run_pools(needed, &target)?)?;
        }
        Body::Composed { expr, needed } => print(run_pools(needed, &Target::Expression(*expr))?)?,
        Body::Unsupported(error) => return Err(in_command(error.clone())),
    }
    Ok(ExitCode::SUCCESS)
}
