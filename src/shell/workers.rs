//! Worker processes: started, written to, read from and ended as their table says. Decides nothing: that is the table's.

use super::file_bytes::FileBytes;
use super::launch::environment;
use super::output::Printed;
use super::polling::{MARK_SHIFT, Polled};
use super::processes::{Owner, Processes};
use crate::core::hub::Ended;
use crate::core::process::request::{Launch, Redirect, Target};
use crate::core::process::table::{Effect, HandleId, Table};
use crate::error::{Error, Kind, Result};
use crate::limits::{PIPE_BYTES, READS_PER_TURN_MAX};
use crate::map::Map;
use crate::sys::descriptor;
use crate::sys::spawn::{Group, Program, SpawnError, Step, c_string, spawn};
use mio::unix::SourceFd;
use mio::{Interest, Token};
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, ErrorKind, IsTerminal, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

/// Tokens of the streams of worker processes have this bit, and not that of processes.
const STREAM_BIT: usize = 1 << (MARK_SHIFT - 2);

/// The variable that names a detached worker process, by which it is found again.
pub const DETACHED: &str = "NEXUS_DETACHED";

/// Where nexus finds itself.
const SELF: &str = "/proc/self/exe";

/// Reads that take what a process leaves behind in its pipe: more than a pipe can hold.
const LAST_READS_MAX: usize = 16;

/// What worker processes need of the run.
pub struct Run<'a> {
    /// Mark of the run in the environment of what it starts.
    pub mark: &'a str,
    /// The manifest, for its commands; none: there are none.
    pub program: Option<&'a Path>,
    pub polled: Polled<'a>,
}

/// The streams of all worker processes and the table that knows what they are for.
#[derive(Default)]
pub struct Workers {
    pub table: Table,
    /// What launches name by their numbers.
    pub files: Vec<FileBytes>,
    streams: Vec<Option<Stream>>,
    ends: Map<HandleId, Ends>,
}

/// The streams of one worker process, by their places.
#[derive(Default)]
struct Ends {
    input: Option<usize>,
    output: Option<usize>,
    /// Its output, for the process that will have it as its input.
    next_input: Option<OwnedFd>,
    /// Its input, where another process writes it: kept so that it can be told which of the two ended first.
    joined_input: Option<OwnedFd>,
}

/// A pipe to or from a process.
struct Stream {
    of: HandleId,
    pipe: File,
    is_input: bool,
    /// The poll said so, or it is new and was not tried.
    is_ready: bool,
    /// The file that is written to it, and how far.
    file: Option<(u32, u64)>,
}

impl Workers {
    /// Whether a token is of a stream.
    pub fn is_own(Token(token): Token) -> bool {
        token & (STREAM_BIT << 1) == 0 && token & STREAM_BIT != 0
    }

    /// Notes what the poll said.
    pub fn note_event(&mut self, Token(token): Token) {
        if let Some(Some(stream)) = self.streams.get_mut(token & !STREAM_BIT) {
            stream.is_ready = true;
        }
    }

    /// Whether something can be read at once.
    pub fn has_unread(&self) -> bool {
        let mut streams = self.streams.iter().flatten();
        streams.any(|stream| match stream.is_input {
            true => stream.is_ready && stream.file.is_some(),
            false => stream.is_ready && self.table.wants_input(stream.of),
        })
    }

    /// Does what the table wants done. An effect that is none of a process's comes back.
    pub fn perform(&mut self, effect: Effect, processes: &mut Processes, run: &Run<'_>) -> Option<Effect> {
        match effect {
            Effect::Spawn(id, launch) => match self.start(id, &launch, processes, run) {
                Ok(pid) => self.table.handle_spawned(id, pid),
                Err(error) => {
                    self.close(id);
                    self.table.handle_spawn_failed(id, error);
                }
            },
            Effect::CloseInput(id) => {
                let input = self.ends.get_mut(&id).and_then(|ends| ends.input.take());
                self.drop_stream(input);
            }
            Effect::CloseOutput(id) => {
                let output = self.ends.get_mut(&id).and_then(|ends| ends.output.take());
                self.drop_stream(output);
            }
            Effect::Signal(id, number) => processes.signal_program(id, number),
            Effect::Release(id) => self.close(id),
            other => return Some(other),
        }
        None
    }

    /// Writes what there is to be written and is taken. False if there is nothing.
    pub fn write(&mut self) -> bool {
        let mut has_written = false;
        while let Some(id) = self.table.poll_output() {
            self.write_to(id);
            has_written = true;
        }
        has_written
    }

    fn write_to(&mut self, id: HandleId) {
        let place = self.ends.get(&id).and_then(|ends| ends.input);
        let Some(stream) = place.and_then(|place| self.streams[place].as_mut()) else {
            return;
        };
        while stream.is_ready && !self.table.output(id).is_empty() {
            match stream.pipe.write(self.table.output(id)) {
                Ok(written) => self.table.advance_output(id, written),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => stream.is_ready = false,
                Err(_) => return self.table.handle_input_refused(id),
            }
        }
    }

    /// Reads and writes whatever the poll said can be.
    pub fn turn(&mut self, buffer: &mut [u8], now_ms: u64) {
        for place in 0..self.streams.len() {
            match &self.streams[place] {
                Some(stream) if stream.is_ready && stream.file.is_some() => self.send_file(place),
                Some(stream) if stream.is_ready && stream.is_input => self.write_to(stream.of),
                Some(stream) if stream.is_ready => self.read(place, buffer, now_ms),
                _ => {}
            }
        }
    }

    /// Moves on the file that is the input of a process.
    fn send_file(&mut self, place: usize) {
        for _ in 0..READS_PER_TURN_MAX {
            let Some(stream) = &mut self.streams[place] else {
                return;
            };
            let Some((file, at)) = &mut stream.file else {
                return;
            };
            let sent = match self.files.get(*file as usize) {
                Some(content) => content.send(*at, &stream.pipe),
                None => Ok(0),
            };
            match sent {
                Ok(sent) if sent > 0 => *at += sent as u64,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return stream.is_ready = false,
                sent => {
                    let id = stream.of;
                    let input = self.ends.get_mut(&id).and_then(|ends| ends.input.take());
                    self.drop_stream(input);
                    if let Some(error) = sent.err().filter(|error| error.kind() != ErrorKind::BrokenPipe) {
                        let message = format!("can't read the file that is its input: {error}");
                        self.table.handle_input_failed(id, Error::new(Kind::Io, message));
                    }
                    return;
                }
            }
        }
    }

    fn read(&mut self, place: usize, buffer: &mut [u8], now_ms: u64) {
        for _ in 0..READS_PER_TURN_MAX {
            let Some(stream) = &self.streams[place] else {
                return;
            };
            let id = stream.of;
            if !self.table.wants_input(id) || !self.read_once(place, buffer, now_ms) {
                return;
            }
        }
    }

    /// False if there is nothing more to read for now.
    fn read_once(&mut self, place: usize, buffer: &mut [u8], now_ms: u64) -> bool {
        let Some(stream) = &mut self.streams[place] else {
            return false;
        };
        let id = stream.of;
        match stream.pipe.read(buffer) {
            Ok(0) => self.end_output(id, now_ms),
            Ok(read) => {
                self.table.handle_input(id, &buffer[..read], now_ms);
                return true;
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => return true,
            Err(error) if error.kind() == ErrorKind::WouldBlock => stream.is_ready = false,
            Err(_) => self.end_output(id, now_ms),
        }
        false
    }

    fn end_output(&mut self, id: HandleId, now_ms: u64) {
        let output = self.ends.get_mut(&id).and_then(|ends| ends.output.take());
        self.drop_stream(output);
        self.table.handle_output_end(id, now_ms);
    }

    /// A process has ended. What it has left in its pipe is still its own; whoever else holds the pipe open is not waited for.
    pub fn bury(&mut self, id: HandleId, ended: Ended, buffer: &mut [u8], now_ms: u64) {
        if let Some(place) = self.ends.get(&id).and_then(|ends| ends.output) {
            for _ in 0..LAST_READS_MAX {
                if !self.read_once(place, buffer, now_ms) {
                    break;
                }
            }
        }
        let joined = self.ends.get_mut(&id).and_then(|ends| ends.joined_input.take());
        if joined.is_some_and(|input| !descriptor::has_hung_up(&input)) {
            // Who writes it has not ended: that is told now that nobody reads it.
            self.table.handle_input_refused(id);
        }
        self.close(id);
        self.table.handle_exited(id, ended, now_ms);
    }

    fn close(&mut self, id: HandleId) {
        if let Some(ends) = self.ends.remove(&id) {
            self.drop_stream(ends.input);
            self.drop_stream(ends.output);
        }
    }

    /// A descriptor that is closed leaves the poll by itself.
    fn drop_stream(&mut self, place: Option<usize>) {
        if let Some(place) = place {
            self.streams[place] = None;
        }
    }

    fn start(
        &mut self,
        id: HandleId,
        launch: &Launch,
        processes: &mut Processes,
        run: &Run<'_>,
    ) -> Result<u32> {
        let refused = |error: io::Error| {
            let message = format!("can't make a pipe for worker '{}': {error}", launch.name);
            Error::new(Kind::Io, message)
        };
        let mut ends = Ends::default();
        let is_stage = self.table.is_stage(id);
        let stdin = match (launch.input_from, launch.stdin) {
            (Some(before), _) => {
                let before = self.ends.get_mut(&before).and_then(|ends| ends.next_input.take());
                let before = before.map_or_else(descriptor::no_input, Ok).map_err(refused)?;
                ends.joined_input = Some(before.try_clone().map_err(refused)?);
                before
            }
            (None, Redirect::Pipe) => {
                let (far, near) = descriptor::pipe().map_err(refused)?;
                if is_stage {
                    descriptor::widen(&near, PIPE_BYTES);
                }
                let place = self.add_stream(id, near, true, run.polled).map_err(refused)?;
                if let Some(stream) = &mut self.streams[place] {
                    stream.file = launch.input_file.map(|file| (file, 0));
                }
                ends.input = Some(place);
                far
            }
            (None, Redirect::Inherit | Redirect::Show) => inherit(io::stdin().as_fd()).map_err(refused)?,
            (None, Redirect::Null) => descriptor::no_input().map_err(refused)?,
        };
        let stdout = match launch.stdout {
            Redirect::Pipe => {
                let (near, far) = descriptor::pipe().map_err(refused)?;
                if is_stage {
                    descriptor::widen(&near, PIPE_BYTES);
                }
                match launch.is_output_piped {
                    true => ends.next_input = Some(near),
                    false => {
                        let place = self.add_stream(id, near, false, run.polled);
                        ends.output = Some(place.map_err(refused)?);
                    }
                }
                far
            }
            Redirect::Inherit | Redirect::Show => inherit(io::stdout().as_fd()).map_err(refused)?,
            Redirect::Null => descriptor::no_output().map_err(refused)?,
        };
        self.ends.insert(id, ends);
        let mut printed = Vec::new();
        let stderr = match launch.stderr {
            Redirect::Inherit => inherit(io::stderr().as_fd()).map_err(refused)?,
            Redirect::Show | Redirect::Pipe => {
                let is_silent = launch.stderr == Redirect::Pipe;
                let (reader, writer) = Printed::pipe(is_silent).map_err(refused)?;
                printed.push(reader);
                writer
            }
            Redirect::Null => descriptor::no_output().map_err(refused)?,
        };
        let (life_reader, life) = descriptor::pipe().map_err(refused)?;
        let descriptors = [stdin.as_fd(), stdout.as_fd(), stderr.as_fd(), life_reader.as_fd()];
        let child = spawn_program(launch, &descriptors, run)?;
        let pid = child.pid();
        let life = (!launch.is_detached).then_some(life);
        processes
            .add(Owner::Program(id), child, printed, life, run.polled)
            .map_err(refused)?;
        Ok(pid)
    }

    fn add_stream(
        &mut self,
        of: HandleId,
        pipe: OwnedFd,
        is_input: bool,
        polled: Polled<'_>,
    ) -> io::Result<usize> {
        descriptor::set_nonblocking(&pipe)?;
        let free = self.streams.iter().position(Option::is_none);
        let place = free.unwrap_or(self.streams.len());
        let interest = match is_input {
            true => Interest::WRITABLE,
            false => Interest::READABLE,
        };
        polled.register(
            &mut SourceFd(&pipe.as_raw_fd()),
            Token(STREAM_BIT | place),
            interest,
        )?;
        if free.is_none() {
            self.streams.push(None);
        }
        self.streams[place] = Some(Stream {
            of,
            pipe: File::from(pipe),
            is_input,
            // A new pipe has room; if it has bytes too, the poll says so at once.
            is_ready: is_input,
            file: None,
        });
        Ok(place)
    }
}

fn inherit(own: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    own.try_clone_to_owned()
}

/// Starts the program. The last of its descriptors is its lifeline, if it is not detached.
fn spawn_program(
    launch: &Launch,
    descriptors: &[BorrowedFd<'_>],
    run: &Run<'_>,
) -> Result<crate::sys::process::Child> {
    let malformed = |error: io::Error| start_error(launch, &error.to_string());
    let itself;
    let (words, program): (&[String], _) = match &launch.target {
        Target::Program(argv) => (argv, None),
        Target::Command(name) => {
            let Some(program) = run.program else {
                return Err(start_error(launch, "there is no program that has commands"));
            };
            itself = ["--format", "msgpack", "--each", name].map(String::from);
            (&itself, Some(program))
        }
    };
    // It may run in another directory.
    let program = program.map(std::path::absolute).transpose().map_err(malformed)?;
    let front = program
        .iter()
        .flat_map(|program| [OsStr::new(SELF), program.as_os_str()]);
    let argv = front.chain(words.iter().map(OsStr::new)).map(c_string);
    let argv = argv.collect::<io::Result<Vec<_>>>().map_err(malformed)?;
    let own = match launch.is_detached {
        true => (DETACHED, OsStr::new(&launch.name)),
        false => ("NEXUS_RUN", OsStr::new(run.mark)),
    };
    let env = environment(false, &launch.env, std::env::vars_os(), &[own]).map_err(malformed)?;
    let lifeline = descriptors.len() - 1;
    let program = Program {
        argv: &argv,
        env: &env,
        group: match launch.is_detached {
            true => Group::Session,
            // What reads from a terminal has to be in the group that it listens to.
            false if launch.stdin == Redirect::Inherit && io::stdin().is_terminal() => Group::Shared,
            false => Group::Own,
        },
        cwd: launch.cwd.as_ref().map(Path::new),
        descriptors: match launch.is_detached {
            true => &descriptors[..lifeline],
            false => descriptors,
        },
        lifeline: (!launch.is_detached).then_some(lifeline),
        limits: &[],
        credentials: None,
    };
    spawn(&program).map_err(|failed| spawn_error(launch, &failed))
}

fn spawn_error(launch: &Launch, failed: &SpawnError) -> Box<Error> {
    let (name, error) = (&launch.name, &failed.error);
    let cwd = launch.cwd.as_deref().unwrap_or_default();
    match (failed.step, error.kind()) {
        (Step::Directory, ErrorKind::NotFound) => {
            start_error(launch, &format!("its directory '{cwd}' does not exist"))
        }
        (Step::Directory, _) => start_error(launch, &format!("can't enter its directory '{cwd}': {error}")),
        (Step::Program, ErrorKind::NotFound) => start_error(launch, &format!("there is no program '{name}'"))
            .hint("install it, or correct its name"),
        (Step::Program, ErrorKind::PermissionDenied) => {
            start_error(launch, &format!("'{name}' is not executable")).hint("make it so by chmod +x")
        }
        _ => start_error(launch, &error.to_string()),
    }
}

fn start_error(launch: &Launch, why: &str) -> Box<Error> {
    let message = format!("worker '{}' can't be started: {why}", launch.name);
    Error::new(Kind::SpawnFailed, message)
}
