//! Starting a pool: its sockets and pipes, its environment, its process. Follows DESIGN: the socket listens before the pool
//! runs, so connecting needs no waiting and no retry.

use super::confine;
use super::output::Printed;
use crate::error::{Error, Kind, Result};
use crate::manifest::model::Pool;
use crate::sys::descriptor;
use crate::sys::process::Child;
use crate::sys::spawn::{Program, SpawnError, Step, c_string, spawn};
use std::ffi::{CString, OsString};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

/// Longest path that a Unix socket's address holds, in bytes.
const SOCKET_PATH_BYTES_MAX: usize = 107;

/// Where a pool is to run.
pub struct Place<'a> {
    /// Directory of the manifest.
    pub base: &'a Path,
    /// The run's temp dir.
    pub dir: &'a Path,
}

/// A pool that was just started.
pub struct Launched {
    /// Its process.
    pub child: Child,
    /// This side of its control channel.
    pub control: UnixStream,
    /// Its first worker's connection, which waits in the listen queue.
    pub worker: UnixStream,
    /// What it prints.
    pub printed: Vec<Printed>,
    /// Held open until this process ends, however it does; the kernel then ends the pool.
    pub life: OwnedFd,
}

/// Path of a pool's socket.
pub fn socket_path(pool: &Pool, dir: &Path) -> PathBuf {
    dir.join(&pool.socket)
}

/// Starts a pool.
///
/// # Errors
/// `spawn_failed` when its program can't be started, `io` when the system refuses a socket or pipe.
pub fn launch(pool: &Pool, place: &Place<'_>) -> Result<Launched> {
    let socket = socket_path(pool, place.dir);
    if socket.as_os_str().len() > SOCKET_PATH_BYTES_MAX {
        let message = format!(
            "path of a socket is longer than {SOCKET_PATH_BYTES_MAX} bytes: {}",
            socket.display()
        );
        return Err(Error::new(Kind::Io, message).hint("set TMPDIR to a directory with a shorter path"));
    }
    let refused = |what: &str| {
        let what = what.to_string();
        move |error: io::Error| {
            Error::new(
                Kind::Io,
                format!("can't make {what} for pool '{}': {error}", pool.name),
            )
            .pool(&pool.name)
        }
    };
    let listener = UnixListener::bind(&socket).map_err(refused("a socket"))?;
    let (own_control, control) = descriptor::socket_pair().map_err(refused("a control channel"))?;
    let (life_reader, life) = descriptor::pipe().map_err(refused("a pipe"))?;
    let input = descriptor::no_input().map_err(refused("an input"))?;
    let mut printed = Vec::new();
    let (stdout, stderr) = open_outputs(pool, &mut printed).map_err(refused("a pipe"))?;

    let argv = words(&pool.exec, place.base).map_err(|error| program_error(pool, place, &error))?;
    let env = environment(pool, place.dir).map_err(|error| program_error(pool, place, &error))?;
    let cwd = pool.cwd.as_ref().map(|cwd| place.base.join(cwd));
    let program = Program {
        argv: &argv,
        env: &env,
        cwd: cwd.as_deref(),
        descriptors: &[
            input.as_fd(),
            stdout.as_fd(),
            stderr.as_ref().unwrap_or(&stdout).as_fd(),
            listener.as_fd(),
            control.as_fd(),
            life_reader.as_fd(),
        ],
        limits: &confine::limits(pool),
        credentials: confine::credentials(pool)?,
    };
    // All that may be refused comes before the spawn: nothing has to be undone then.
    let worker = UnixStream::connect(&socket).map_err(refused("a connection"))?;
    worker.set_nonblocking(true).map_err(refused("a connection"))?;
    let own_control = UnixStream::from(own_control);
    own_control
        .set_nonblocking(true)
        .map_err(refused("a control channel"))?;
    let child = spawn(&program).map_err(|failed| spawn_error(pool, place, &failed))?;
    if let Err(error) = descriptor::signal_group_at_hangup(&life_reader, child.pid()) {
        child.end();
        return Err(refused("a lifeline")(error));
    }
    Ok(Launched {
        child,
        control: own_control,
        worker,
        printed,
        life,
    })
}

/// What becomes descriptors 1 and 2 of the pool; the second is none when both are one.
fn open_outputs(pool: &Pool, printed: &mut Vec<Printed>) -> io::Result<(OwnedFd, Option<OwnedFd>)> {
    let (reader, stdout) = Printed::open(pool.stdout, &pool.name, io::stdout().as_fd())?;
    printed.extend(reader);
    if pool.stdout == pool.stderr && printed.len() == 1 {
        return Ok((stdout, None));
    }
    let (reader, stderr) = Printed::open(pool.stderr, &pool.name, io::stderr().as_fd())?;
    printed.extend(reader);
    Ok((stdout, Some(stderr)))
}

/// A relative word with a slash means a file beside the manifest; options are not paths.
fn words(exec: &[String], base: &Path) -> io::Result<Vec<CString>> {
    let resolve = |word: &String| match word.contains('/') && !word.starts_with(['/', '-']) {
        true => base.join(word).into_os_string(),
        false => word.into(),
    };
    exec.iter().map(|word| c_string(&resolve(word))).collect()
}

fn environment(pool: &Pool, dir: &Path) -> io::Result<Vec<CString>> {
    let own = [
        ("NEXUS_LISTEN_FD", OsString::from("3")),
        ("NEXUS_CONTROL_FD", "4".into()),
        ("NEXUS_LIFE_FD", "5".into()),
        ("NEXUS_POOL", pool.name.clone().into()),
        ("NEXUS_DIR", dir.into()),
    ];
    let declared = pool
        .env
        .iter()
        .map(|(name, value)| (name.as_str(), OsString::from(value)));
    let set: Vec<(&str, OsString)> = declared.chain(own).collect();
    let inherited = std::env::vars_os().filter(|_| !pool.clear_env);
    let kept = inherited.filter(|(name, _)| !set.iter().any(|(set, _)| name == set));
    let mut entries = Vec::new();
    for (mut entry, value) in kept.chain(set.iter().map(|(name, value)| (name.into(), value.clone()))) {
        entry.push("=");
        entry.push(value);
        entries.push(c_string(&entry)?);
    }
    Ok(entries)
}

fn spawn_error(pool: &Pool, place: &Place<'_>, failed: &SpawnError) -> Box<Error> {
    if let Some(error) = confine::spawn_error(pool, failed) {
        return error;
    }
    match failed.step {
        Step::Process | Step::Descriptors => {
            let message = format!(
                "pool '{}' can't be started: no process for it: {}",
                pool.name, failed.error
            );
            Error::new(Kind::SpawnFailed, message).pool(&pool.name)
        }
        Step::Directory => {
            let cwd = place.base.join(pool.cwd.as_deref().unwrap_or_default());
            let why = match failed.error.kind() {
                io::ErrorKind::NotFound => format!("its directory '{}' does not exist", cwd.display()),
                _ => format!("can't enter its directory '{}': {}", cwd.display(), failed.error),
            };
            start_error(pool, &why, "correct \"cwd\"")
        }
        _ => program_error(pool, place, &failed.error),
    }
}

fn program_error(pool: &Pool, place: &Place<'_>, error: &io::Error) -> Box<Error> {
    let program = &pool.exec[0];
    let (why, hint) = match error.kind() {
        io::ErrorKind::NotFound if program.contains('/') && place.base.join(program).exists() => (
            format!("the interpreter that '{program}' names in its first line does not exist"),
            "install it, or correct that line or \"exec\"",
        ),
        io::ErrorKind::NotFound => (
            format!("there is no program '{program}'"),
            "install it, or correct \"exec\"",
        ),
        io::ErrorKind::PermissionDenied => (
            format!("'{program}' is not executable"),
            "make it so by chmod +x, or correct \"exec\"",
        ),
        _ => (format!("'{program}': {error}"), "correct \"exec\""),
    };
    start_error(pool, &why, hint)
}

fn start_error(pool: &Pool, why: &str, hint: &str) -> Box<Error> {
    let message = format!("pool '{}' can't be started: {why}", pool.name);
    Error::new(Kind::SpawnFailed, message)
        .hint(format!("{hint} of the pool in the manifest"))
        .pool(&pool.name)
}
