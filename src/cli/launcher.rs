//! `nexus run`, `ps` and `kill`: programs of any kind, in the foreground under supervision or detached, and what became of
//! those. Runs no loop itself.

use crate::cli::output::{self, Format, Output};
use crate::cli::program;
use crate::cli::request::timeout_ms;
use crate::cli::start::SELF;
use crate::codec::msgpack::write;
use crate::codec::schema::Types;
use crate::core::hub::Ended;
use crate::core::process::request::{Launch, Redirect, Target};
use crate::error::{Error, Kind, Result};
use crate::shell::detached;
use crate::shell::supervised::{self, Outcome};
use crate::sys::process::{Ending, Seen, look_at};
use std::path::Path;
use std::process::ExitCode;

/// How `nexus run` is to run a program.
#[derive(Debug, Default)]
pub struct Options<'a> {
    /// It is let go.
    pub detach: bool,
    /// How long it may run, in seconds.
    pub timeout: Option<&'a str>,
    /// Variables, as `NAME=value`.
    pub env: &'a [String],
    /// Its working directory.
    pub cwd: Option<&'a str>,
}

/// Runs a program: one of nexus, by its path or its manifest's, or any other of the system.
///
/// # Errors
/// Kind `usage`; what the program's start says.
pub fn run(path: &str, words: &[String], options: &Options<'_>) -> Result<ExitCode> {
    let file = Path::new(path);
    let name = file.file_stem().unwrap_or_default().to_string_lossy();
    let is_plain =
        !options.detach && options.timeout.is_none() && options.env.is_empty() && options.cwd.is_none();
    let names_manifest = file
        .extension()
        .is_some_and(|extension| extension == "manifest" || extension == "json");
    // A link that leads nowhere can be no other program.
    let is_astray = file.is_symlink() && !file.exists();
    let is_own = names_manifest || is_astray || program::find(file).is_ok();
    if is_own && is_plain {
        return Ok(program::run(file, &name, words));
    }
    let mut argv = vec![path.to_string()];
    if is_own {
        // It may run in another directory.
        let absolute = std::path::absolute(file).unwrap_or_else(|_| file.to_path_buf());
        argv = vec![SELF.to_string(), absolute.to_string_lossy().into_owned()];
    }
    argv.extend_from_slice(words);
    let mut launch = Launch::new(Target::Program(argv));
    launch.name = name.into_owned();
    launch.cwd = options.cwd.map(String::from);
    launch.timeout_ms = options.timeout.map(timeout_ms).transpose()?;
    for entry in options.env {
        let Some((name, value)) = entry.split_once('=').filter(|(name, _)| !name.is_empty()) else {
            let message = format!("option --env: found '{entry}', expected NAME=value");
            return Err(Error::new(Kind::Usage, message));
        };
        launch.env.push((name.into(), value.into()));
    }
    launch.is_detached = options.detach;
    if launch.is_detached && launch.timeout_ms.is_some() {
        let message = "a detached program has nobody who could keep its --timeout";
        return Err(Error::new(Kind::Usage, message).hint("run it without --detach, or end it by nexus kill"));
    }
    let redirect = match launch.is_detached {
        true => Redirect::Null,
        false => Redirect::Inherit,
    };
    (launch.stdin, launch.stdout, launch.stderr) = (redirect, redirect, redirect);
    match supervised::run(launch)? {
        Outcome::Detached(pid) => {
            output::print_text(format!("{pid}\n").as_bytes()).map(|()| ExitCode::SUCCESS)
        }
        Outcome::Ended(Ended::Code(code)) => Ok(ExitCode::from(code as u8)),
        // As a shell tells it.
        Outcome::Ended(Ended::Signal(number)) => Ok(ExitCode::from(128 + number as u8)),
        Outcome::Ended(Ended::Unknown) => Ok(ExitCode::SUCCESS),
    }
}

/// A process of a program that a server serves.
#[derive(Debug)]
pub struct Worker {
    /// Its process id.
    pub pid: u32,
    /// Whose it is, and for what.
    pub name: String,
}

/// Prints the detached programs, and these workers.
///
/// # Errors
/// Kind `io`: what the system says of standard output.
pub fn list(format: Format, workers: &[Worker]) -> Result<()> {
    let mut types = Types::default();
    let schema = "[{pid:u4,name:s,age_s:u8,command:s}]";
    let ty = types
        .parse(schema)
        .map_err(|error| Error::new(Kind::Usage, error.message))?;
    let found = detached::list();
    let mut seen: Vec<(u32, &str, &Seen)> = Vec::new();
    for detached in &found {
        seen.push((detached.pid, &detached.name, &detached.seen));
    }
    let looked: Vec<Option<Seen>> = workers.iter().map(|worker| look_at(worker.pid)).collect();
    for (worker, looked) in workers.iter().zip(&looked) {
        if let Some(looked) = looked {
            seen.push((worker.pid, &worker.name, looked));
        }
    }
    let mut rows = Vec::new();
    write::array(&mut rows, seen.len() as u32);
    for (pid, name, seen) in seen {
        write::map(&mut rows, 4);
        write::string(&mut rows, "pid");
        write::unsigned(&mut rows, pid.into());
        write::string(&mut rows, "name");
        write::string(&mut rows, name);
        write::string(&mut rows, "age_s");
        write::unsigned(&mut rows, seen.age_s);
        write::string(&mut rows, "command");
        write::string(&mut rows, &seen.command);
    }
    let output = Output {
        format,
        ..Output::default()
    };
    output::print(&types, ty, &rows, output)
}

/// Ends detached programs, each by its process id or its name, and says how.
///
/// # Errors
/// Kind `usage`: a word means none of them, and then none is ended; `io`: one doesn't end.
pub fn kill(words: &[String]) -> Result<()> {
    if words.is_empty() {
        return Err(Error::new(Kind::Usage, "no process is given").hint("usage: nexus kill PID or NAME..."));
    }
    let mut found = Vec::new();
    for word in words {
        found.extend(detached::named(word)?);
    }
    for detached in &found {
        let signal = match detached::end(detached)? {
            Ending::Term => "SIGTERM",
            Ending::Kill => "SIGKILL, for it ignored SIGTERM",
        };
        let text = format!("ended process {} ({}) by {signal}\n", detached.pid, detached.name);
        output::print_text(text.as_bytes())?;
    }
    Ok(())
}
