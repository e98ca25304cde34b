//! Starting a pool, or one worker of it: sockets and pipes, environment, process. Follows DESIGN: a socket listens, or is
//! connected, before the pool runs, so connecting needs no waiting and no retry.

use super::confine;
use super::output::Printed;
use crate::codec::message::PROTOCOL;
use crate::error::{Error, Kind, Result};
use crate::manifest::model::{Lifetime, Pool, Transport};
use crate::sys::descriptor;
use crate::sys::process::Child;
use crate::sys::spawn::{Group, Program, SpawnError, Step, c_string, spawn};
use std::ffi::{CString, OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

/// Longest path that a Unix socket's address holds, in bytes.
const SOCKET_PATH_BYTES_MAX: usize = 107;

/// Variables that belong to nexus. Those of a run that this process is itself a part of are another's.
const ENV_PREFIX: &[u8] = b"NEXUS_";

/// Where a pool is to run.
pub struct Place<'a> {
    /// Directory of the manifest.
    pub base: &'a Path,
    /// Unique mark of the run.
    pub run: &'a str,
    /// The run's temp dir, which must exist; only a pool with the transport `unix` needs it.
    pub dir: Option<&'a Path>,
    /// Functions may use the temp dir already.
    pub keeps_dir: bool,
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
    /// By which more workers are connected. None where that takes the socket's name, which then stays.
    pub door: Option<OwnedFd>,
}

/// A worker that was just started.
pub struct LaunchedWorker {
    /// Its process.
    pub child: Child,
    /// This side of its connection.
    pub socket: UnixStream,
    /// What it prints.
    pub printed: Vec<Printed>,
    /// As in [`Launched`].
    pub life: OwnedFd,
}

/// Where to connect to a socket that has no name any more.
pub fn door_path(door: &OwnedFd) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", door.as_raw_fd()))
}

/// Path of a pool's socket.
pub fn socket_path(pool: &Pool, dir: &Path) -> PathBuf {
    dir.join(&pool.socket)
}

/// Whether a pool's interpreter makes a directory for temporary files when it starts, and leaves it there if it is ended
/// before its code is loaded. It makes it in that of the run, which goes away whatever happens.
pub fn has_temp_dir(pool: &Pool) -> bool {
    pool.lang == "r"
}

/// Starts a pool whose transport is `unix`: the parent of its workers. Its socket has a name only until the pool's program
/// runs: whoever ends this process then, has nothing to remove.
///
/// # Errors
/// `spawn_failed` when its program can't be started, `io` when the system refuses a socket or pipe.
pub fn launch(pool: &Pool, place: &Place<'_>) -> Result<Launched> {
    let Some(dir) = place.dir else {
        return Err(refused(pool, "a socket")(io::ErrorKind::NotFound.into()));
    };
    let socket = socket_path(pool, dir);
    if socket.as_os_str().len() > SOCKET_PATH_BYTES_MAX {
        let message = format!(
            "path of a socket is longer than {SOCKET_PATH_BYTES_MAX} bytes: {}",
            socket.display()
        );
        return Err(Error::new(Kind::Io, message).hint("set TMPDIR to a directory with a shorter path"));
    }
    let listener = listen(&socket).map_err(refused(pool, "a socket"))?;
    let (worker, door) = connect(&socket).map_err(refused(pool, "a connection"))?;
    if door.is_some() {
        // What can't be removed is removed with the directory.
        let _ = std::fs::remove_file(&socket);
        if !place.keeps_dir {
            let _ = std::fs::remove_dir(dir);
        }
    }
    // All that may be refused comes before the spawn: nothing has to be undone then.
    let (control, far_control) = connection().map_err(refused(pool, "a control channel"))?;
    let (life_reader, life) = descriptor::pipe().map_err(refused(pool, "a pipe"))?;
    let input = descriptor::no_input().map_err(refused(pool, "an input"))?;
    let mut printed = Vec::new();
    let (stdout, stderr) = open_outputs(pool, &mut printed).map_err(refused(pool, "a pipe"))?;
    worker
        .set_nonblocking(true)
        .map_err(refused(pool, "a connection"))?;

    let mut variables = vec![
        ("NEXUS_LISTEN_FD", OsStr::new("3")),
        ("NEXUS_CONTROL_FD", "4".as_ref()),
        ("NEXUS_LIFE_FD", "5".as_ref()),
        ("NEXUS_DIR", dir.as_ref()),
    ];
    if pool.lifetime == Lifetime::Oneshot || pool.recycle.is_any() {
        variables.push(("NEXUS_ISOLATE", "1".as_ref()));
    }
    if has_temp_dir(pool) {
        variables.push(("TMPDIR", dir.as_ref()));
    }
    let descriptors = [
        input.as_fd(),
        stdout.as_fd(),
        stderr.as_ref().unwrap_or(&stdout).as_fd(),
        listener.as_fd(),
        far_control.as_fd(),
        life_reader.as_fd(),
    ];
    let child = start(pool, place, &variables, &descriptors)?;
    Ok(Launched {
        child,
        control,
        worker,
        printed,
        life,
        door,
    })
}

/// Starts one worker of a pool whose transport is `direct` or `stdio`.
///
/// # Errors
/// As [`launch`].
pub fn launch_worker(pool: &Pool, place: &Place<'_>) -> Result<LaunchedWorker> {
    let (socket, far_socket) = connection().map_err(refused(pool, "a connection"))?;
    let (life_reader, life) = descriptor::pipe().map_err(refused(pool, "a pipe"))?;
    let mut printed = Vec::new();
    let child = if pool.transport == Transport::Stdio {
        let (reader, stderr) =
            Printed::open(pool.stderr, &pool.name, io::stderr().as_fd()).map_err(refused(pool, "a pipe"))?;
        printed.extend(reader);
        // Nothing names the last: what stands between nexus and the worker need not know of it. As long as it leaves it
        // open, it ends with nexus, whatever it does. If it closes what it does not know, as ssh does, it sees the end of
        // its input, and so does what stands behind it.
        let descriptors = [
            far_socket.as_fd(),
            far_socket.as_fd(),
            stderr.as_fd(),
            life_reader.as_fd(),
        ];
        start(pool, place, &[], &descriptors)?
    } else {
        let input = descriptor::no_input().map_err(refused(pool, "an input"))?;
        let (stdout, stderr) = open_outputs(pool, &mut printed).map_err(refused(pool, "a pipe"))?;
        let variables = [
            ("NEXUS_WORKER_FD", OsStr::new("3")),
            ("NEXUS_LIFE_FD", "4".as_ref()),
        ];
        let descriptors = [
            input.as_fd(),
            stdout.as_fd(),
            stderr.as_ref().unwrap_or(&stdout).as_fd(),
            far_socket.as_fd(),
            life_reader.as_fd(),
        ];
        start(pool, place, &variables, &descriptors)?
    };
    Ok(LaunchedWorker {
        child,
        socket,
        printed,
        life,
    })
}

/// Starts the program of a pool under its policy. The last of its descriptors is its lifeline.
fn start(
    pool: &Pool,
    place: &Place<'_>,
    variables: &[(&str, &OsStr)],
    descriptors: &[BorrowedFd<'_>],
) -> Result<Child> {
    let protocol = PROTOCOL.to_string();
    let common = [
        ("NEXUS_PROTOCOL", OsStr::new(&protocol)),
        ("NEXUS_POOL", pool.name.as_ref()),
        ("NEXUS_RUN", place.run.as_ref()),
    ];
    let variables = [&common, variables].concat();
    let argv = words(pool, place.base).map_err(|error| program_error(pool, place, &error))?;
    let env = environment(pool.clear_env, &pool.env, std::env::vars_os(), &variables)
        .map_err(|error| program_error(pool, place, &error))?;
    let cwd = pool.cwd.as_ref().map(|cwd| place.base.join(cwd));
    let program = Program {
        argv: &argv,
        env: &env,
        group: Group::Own,
        cwd: cwd.as_deref(),
        descriptors,
        lifeline: descriptors.len().checked_sub(1),
        limits: &confine::limits(pool),
        credentials: confine::credentials(pool)?,
    };
    spawn(&program).map_err(|failed| spawn_error(pool, place, &failed))
}

/// A connection to a socket, and what it can be reached by without its name; nothing where there is no `/proc`.
fn connect(socket: &Path) -> io::Result<(UnixStream, Option<OwnedFd>)> {
    if let Ok(door) = descriptor::open_place(socket)
        && let Ok(connection) = UnixStream::connect(door_path(&door))
    {
        return Ok((connection, Some(door)));
    }
    Ok((UnixStream::connect(socket)?, None))
}

/// A listening socket of that path. That of a pool that was there before is removed.
fn listen(path: &Path) -> io::Result<UnixListener> {
    match UnixListener::bind(path) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            std::fs::remove_file(path)?;
            UnixListener::bind(path)
        }
        bound => bound,
    }
}

/// Two connected sockets, this process's, which does not block, and the pool's.
fn connection() -> io::Result<(UnixStream, OwnedFd)> {
    let (near, far) = descriptor::socket_pair()?;
    let near = UnixStream::from(near);
    near.set_nonblocking(true)?;
    Ok((near, far))
}

fn refused(pool: &Pool, what: &str) -> impl FnOnce(io::Error) -> Box<Error> {
    move |error| {
        let message = format!("can't make {what} for pool '{}': {error}", pool.name);
        Error::new(Kind::Io, message).pool(&pool.name)
    }
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

/// The words of the program. A relative one with a slash means a file beside the manifest; options are not paths. Behind
/// another program only what starts with `./` or `../` does: an image of docker has slashes too, and a path may be another
/// machine's.
fn words(pool: &Pool, base: &Path) -> io::Result<Vec<CString>> {
    let is_file = |position: usize, word: &str| match pool.transport {
        Transport::Stdio if position > 0 => word.starts_with("./") || word.starts_with("../"),
        _ => word.contains('/') && !word.starts_with(['/', '-']),
    };
    let words = pool.exec.iter().enumerate();
    let words = words.map(|(position, word)| match is_file(position, word) {
        true => c_string(base.join(word).as_os_str()),
        false => c_string(word.as_ref()),
    });
    words.collect()
}

/// The environment of a process: what it inherits, unless it is to start with nothing, then what is declared for it, then
/// what nexus tells it.
pub fn environment(
    clear_env: bool,
    declared: &[(String, String)],
    inherited: impl Iterator<Item = (OsString, OsString)>,
    variables: &[(&str, &OsStr)],
) -> io::Result<Vec<CString>> {
    let is_kept = |name: &OsStr| {
        !clear_env
            && !name.as_bytes().starts_with(ENV_PREFIX)
            && !declared.iter().any(|(declared, _)| name == declared.as_str())
    };
    let entry = |name: &OsStr, value: &OsStr| {
        let mut entry = name.to_os_string();
        entry.push("=");
        entry.push(value);
        c_string(&entry)
    };
    let inherited = inherited.filter(|(name, _)| is_kept(name));
    let inherited = inherited.map(|(name, value)| entry(&name, &value));
    let declared = declared
        .iter()
        .map(|(name, value)| entry(name.as_ref(), value.as_ref()));
    let own = variables.iter().map(|(name, value)| entry(name.as_ref(), value));
    inherited.chain(declared).chain(own).collect()
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::parse::parse;
    use crate::sys::process::Exit;
    use mio::unix::SourceFd;
    use mio::{Events, Interest, Poll, Token};
    use std::io::{Read, Write};
    use std::os::fd::AsRawFd;
    use std::time::Duration;

    /// A pool that runs a line of the shell.
    fn shell(line: &str, more: &str) -> Pool {
        let manifest = format!(
            r#"{{"version": 1, "name": "m", "commands": [], "pools": [
                {{"lang": "sh", "exec": ["sh", "-c", {line:?}], "socket": "s"{more}}}]}}"#
        );
        parse(manifest.as_bytes(), "m").unwrap().pools.remove(0)
    }

    fn launch_shell(line: &str, more: &str) -> LaunchedWorker {
        let place = Place {
            base: Path::new("/"),
            run: "the-run",
            dir: None,
            keeps_dir: false,
        };
        launch_worker(&shell(line, more), &place).unwrap()
    }

    fn exit(child: &Child) -> Exit {
        let mut poll = Poll::new().unwrap();
        let fd = child.as_fd().as_raw_fd();
        poll.registry()
            .register(&mut SourceFd(&fd), Token(0), Interest::READABLE)
            .unwrap();
        let mut events = Events::with_capacity(1);
        poll.poll(&mut events, Some(Duration::from_secs(60))).unwrap();
        child.reap().expect("it should have ended")
    }

    fn received(worker: &LaunchedWorker) -> String {
        let mut text = String::new();
        worker.socket.set_nonblocking(false).unwrap();
        (&worker.socket).read_to_string(&mut text).unwrap();
        text
    }

    const DIRECT: &str = r#", "transport": "direct""#;
    const STDIO: &str = r#", "transport": "stdio""#;
    const LIST: &str = "env | grep ^NEXUS_ | sort";

    #[test]
    fn a_direct_worker_has_its_connection_as_a_descriptor() {
        let line = format!("{{ {LIST}; head -n 1 <&3; cat; }} >&3");
        let worker = launch_shell(&line, DIRECT);
        (&worker.socket).write_all(b"hello\n").unwrap();
        let expected = "NEXUS_LIFE_FD=4\nNEXUS_POOL=sh\nNEXUS_PROTOCOL=1\nNEXUS_RUN=the-run\n\
                        NEXUS_WORKER_FD=3\nhello\n";
        assert_eq!(received(&worker), expected);
        assert_eq!(exit(&worker.child), Exit::Code(0));
    }

    #[test]
    fn a_stdio_worker_has_it_as_input_and_output() {
        let worker = launch_shell(&format!("{LIST}; head -n 1"), STDIO);
        (&worker.socket).write_all(b"hello\n").unwrap();
        let expected = "NEXUS_POOL=sh\nNEXUS_PROTOCOL=1\nNEXUS_RUN=the-run\nhello\n";
        assert_eq!(received(&worker), expected);
        assert_eq!(exit(&worker.child), Exit::Code(0));
    }

    #[test]
    fn a_worker_ends_with_nexus() {
        for (ready, transport) in [(">&3", DIRECT), ("", STDIO)] {
            // Neither its input nor its connection would tell it.
            let line = format!("echo ready {ready}; exec sleep 1000");
            let worker = launch_shell(&line, transport);
            worker.socket.set_nonblocking(false).unwrap();
            (&worker.socket).read_exact(&mut [0; 6]).unwrap();
            drop(worker.life);
            assert_eq!(exit(&worker.child), Exit::Signal(29), "{transport}");
        }
    }

    #[test]
    fn what_closes_everything_sees_the_end_of_its_input() {
        let worker = launch_shell("exec 3<&-; echo ready; exec cat", STDIO);
        worker.socket.set_nonblocking(false).unwrap();
        (&worker.socket).read_exact(&mut [0; 6]).unwrap();
        drop(worker.socket);
        assert_eq!(exit(&worker.child), Exit::Code(0));
    }

    #[test]
    fn variables_of_another_run_are_not_passed_on() {
        let inherited = ["A=1", "NEXUS_DIR=/x", "B=2", "NEXUS_ANY=3", "NEXUSES=4"];
        let check = |more: &str, expected: &[&str]| {
            let inherited = inherited.iter().map(|entry| entry.split_once('=').unwrap());
            let inherited = inherited.map(|(name, value)| (name.into(), value.into()));
            let own = [("NEXUS_POOL", OsStr::new("p"))];
            let pool = shell("", more);
            let found = environment(pool.clear_env, &pool.env, inherited, &own).unwrap();
            let found: Vec<_> = found.iter().map(|entry| entry.to_str().unwrap()).collect();
            assert_eq!(found, expected);
        };
        check("", &["A=1", "B=2", "NEXUSES=4", "NEXUS_POOL=p"]);
        check(
            r#", "env": {"B": "5", "C": ""}"#,
            &["A=1", "NEXUSES=4", "B=5", "C=", "NEXUS_POOL=p"],
        );
        check(
            r#", "clear_env": true, "env": {"B": "5"}"#,
            &["B=5", "NEXUS_POOL=p"],
        );
    }

    #[test]
    fn words_with_a_slash_are_files_beside_the_manifest() {
        let check = |more: &str, expected: &[&str]| {
            let mut pool = shell("", more);
            let words_given = [
                "bin/run",
                "pool.py",
                "./pool.py",
                "--dir=a/b",
                "ghcr.io/a/b",
                "/x/y",
                "",
            ];
            pool.exec = words_given.map(String::from).to_vec();
            let found = words(&pool, Path::new("/base")).unwrap();
            let found: Vec<_> = found.iter().map(|word| word.to_str().unwrap()).collect();
            assert_eq!(found, expected);
        };
        let file = ["/base/bin/run", "pool.py", "/base/./pool.py", "--dir=a/b"];
        check(DIRECT, &[&file[..], &["/base/ghcr.io/a/b", "/x/y", ""]].concat());
        check(STDIO, &[&file[..], &["ghcr.io/a/b", "/x/y", ""]].concat());
    }
}
