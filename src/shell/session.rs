//! The poll loop: one thread, one epoll instance, one hub. Carries bytes, effects and events between the hub and the
//! system, and leaves nothing behind. Decides nothing: that is the hub's.

use super::connection::{Connection, Received};
use super::launch::{Launched, Place, launch, socket_path};
use super::notes::Notes;
use super::output::Printed;
use super::strays::end_strays;
use crate::core::hub::{Effect, Ended, Function, Hub, PeerId, PoolSpec, Request, Signal};
use crate::error::{Error, Kind, Result, signal_name};
use crate::ids::PoolId;
use crate::limits::{READ_BYTES, READS_PER_TURN_MAX, WORKERS_MAX};
use crate::manifest::model::{Body, Manifest};
use crate::sys::clock::now_ms;
use crate::sys::descriptor::make_temp_dir;
use crate::sys::process::{Child, Ending, Exit, adopt_orphans, cores};
use crate::sys::signal::Signals;
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

const SIGNALS: Token = Token(usize::MAX - 1);
/// Tokens of a pool's own sources have this bit; a peer's token is its key, which never has.
const POOL_BIT: usize = 1 << 63;
/// Events taken from the poll at once; the others come with the next turn.
const EVENTS_PER_TURN: usize = 64;
/// A pool has its process and at most two pipes.
const SOURCES_PER_POOL: usize = 3;

/// A running pool as the system sees it.
struct Running {
    child: Child,
    printed: Vec<Printed>,
    has_ended: bool,
    _life: OwnedFd,
}

/// The pools of one program, from the first that is started until none is left.
pub struct Session<'m> {
    manifest: &'m Manifest,
    base: &'m Path,
    hub: Hub,
    poll: Poll,
    events: Events,
    signals: Signals,
    dir: PathBuf,
    running: Vec<Option<Running>>,
    connections: BTreeMap<PeerId, Connection>,
    /// Peers that have more to be written to them than their sockets took.
    full: Vec<PeerId>,
    answers: Vec<(u64, Result<Vec<u8>>)>,
    notes: Notes,
    buffer: Vec<u8>,
    /// The first signal that asked to end.
    interrupted: Option<i32>,
    /// How many did.
    interrupts: u32,
    next_token: u64,
}

/// A call of a function in a pool.
#[derive(Debug)]
pub struct Call {
    /// The pool.
    pub pool: PoolId,
    /// Under which the pool finds the function.
    pub mid: i64,
    /// The arguments, each as msgpack.
    pub args: Vec<Vec<u8>>,
    /// When to give up, in milliseconds.
    pub timeout_ms: Option<u64>,
}

impl<'m> Session<'m> {
    /// Makes the temp dir and starts these pools, all at once, without waiting for any. `base` is the manifest's directory.
    ///
    /// # Errors
    /// `io` when the system refuses the temp dir or the poll. A pool that can't be started is the error of the first call
    /// that needs it.
    pub fn start(manifest: &'m Manifest, base: &'m Path, pools: &[PoolId]) -> Result<Session<'m>> {
        let refused = |what: &'static str| {
            move |error: io::Error| Error::new(Kind::Io, format!("can't {what}: {error}"))
        };
        let poll = Poll::new().map_err(refused("make a poll"))?;
        let signals = Signals::take().map_err(refused("take over signals"))?;
        let fd = signals.as_fd().as_raw_fd();
        poll.registry()
            .register(&mut SourceFd(&fd), SIGNALS, Interest::READABLE)
            .map_err(refused("poll signals"))?;
        adopt_orphans().map_err(refused("adopt orphans"))?;
        let parent = std::env::temp_dir();
        let dir = make_temp_dir(&parent, "nexus.").map_err(|error| {
            let message = format!("can't make a directory in {}: {error}", parent.display());
            Error::new(Kind::Io, message).hint("set TMPDIR to a directory that can be written")
        })?;
        let mut session = Session {
            manifest,
            base,
            hub: Hub::new(specs(manifest), functions(manifest)),
            poll,
            events: Events::with_capacity(EVENTS_PER_TURN),
            signals,
            dir,
            running: manifest.pools.iter().map(|_| None).collect(),
            connections: BTreeMap::new(),
            full: Vec::new(),
            answers: Vec::new(),
            notes: Notes::default(),
            buffer: vec![0; READ_BYTES],
            interrupted: None,
            interrupts: 0,
            next_token: 0,
        };
        for pool in pools {
            session.hub.start(*pool, now_ms());
        }
        session.carry_out(now_ms());
        Ok(session)
    }

    /// Runs the loop until a call is answered, by its function or by an error.
    ///
    /// # Errors
    /// What the hub answers; `cancelled` after SIGINT, SIGTERM or SIGHUP; `io` when the poll fails.
    pub fn call(&mut self, call: Call) -> Result<Vec<u8>> {
        let token = self.next_token;
        self.next_token += 1;
        let now = now_ms();
        let request = Request {
            token,
            pool: call.pool,
            mid: call.mid,
            args: call.args.len() as u32,
            payload: join(call.args),
            timeout_ms: call.timeout_ms,
        };
        self.hub.call(request, now);
        self.carry_out(now);
        loop {
            if let Some(position) = self.answers.iter().position(|(answered, _)| *answered == token) {
                self.notes.finish();
                return self.answers.swap_remove(position).1;
            }
            if let Some(number) = self.interrupted {
                let message = format!("stopped by {}", signal_name(number));
                let mut error = Error::new(Kind::Cancelled, message);
                error.signal = Some(number);
                self.hub.cancel(token, error);
                self.carry_out(now_ms());
                continue;
            }
            self.turn()?;
        }
    }

    /// Ends all pools and removes the temp dir: gently where nothing runs, and by signals where something does.
    pub fn finish(mut self) {
        self.hub.drain(now_ms());
        self.carry_out(now_ms());
        while !self.hub.is_finished() {
            // The first signal ends the wait for what would end by itself; whoever sends another does not want to wait.
            match self.interrupts {
                0 => {}
                1 => self.hub.terminate(now_ms()),
                _ => self.hub.kill(now_ms()),
            }
            self.carry_out(now_ms());
            if self.turn().is_err() {
                break;
            }
        }
        self.notes.finish();
        end_strays(&format!("NEXUS_DIR={}", self.dir.display()));
        // If it can't be removed, the user sees that it stands in their temp dir.
        let _ = std::fs::remove_dir_all(&self.dir);
        if self.interrupted.is_some() {
            // The process ends with the code of the first signal, whatever comes now.
            std::mem::forget(self.signals);
        }
    }

    /// One turn: waits until something happens or is due, then handles all of it.
    fn turn(&mut self) -> Result<()> {
        let wait = match self.hub.next_deadline() {
            _ if self.has_unread() => Some(Duration::ZERO),
            Some(due) => Some(Duration::from_millis(due.saturating_sub(now_ms()))),
            None => None,
        };
        match self.poll.poll(&mut self.events, wait) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => {
                return Err(Error::new(Kind::Io, format!("can't poll: {error}")));
            }
            _ => {}
        }
        let now = now_ms();
        let events = std::mem::replace(&mut self.events, Events::with_capacity(0));
        for event in &events {
            self.note_event(event);
        }
        self.events = events;
        for peer in std::mem::take(&mut self.full) {
            self.write(peer);
        }
        // What a pool printed belongs to the error that its death makes, and its last messages come before its end.
        self.read_printed();
        self.read_connections(now);
        self.bury_children(now);
        self.hub.handle_timeout(now);
        self.carry_out(now);
        Ok(())
    }

    fn note_event(&mut self, event: &mio::event::Event) {
        let Token(token) = event.token();
        if event.token() == SIGNALS {
            while let Some(number) = self.signals.arrived() {
                self.interrupted.get_or_insert(number);
                self.interrupts += 1;
            }
        } else if token & POOL_BIT == 0 {
            if let Some(connection) = self.connections.get_mut(&PeerId::from_raw(token as u64)) {
                connection.note_event(event);
            }
        } else {
            let (pool, source) = (
                (token & !POOL_BIT) / SOURCES_PER_POOL,
                (token & !POOL_BIT) % SOURCES_PER_POOL,
            );
            let Some(Some(running)) = self.running.get_mut(pool) else {
                return;
            };
            match source.checked_sub(1) {
                None => running.has_ended = true,
                Some(pipe) => running.printed[pipe].note_readable(),
            }
        }
    }

    /// Whether something can be read at once that the last turn left.
    fn has_unread(&self) -> bool {
        let printed = self.running.iter().flatten().flat_map(|running| &running.printed);
        let mut connections = self.connections.iter();
        connections.any(|(peer, connection)| connection.is_readable() && self.hub.wants_input(*peer))
            || printed.into_iter().any(Printed::is_readable)
    }

    fn read_printed(&mut self) {
        for (pool, running) in self.running.iter_mut().enumerate() {
            for printed in running.iter_mut().flat_map(|running| &mut running.printed) {
                if printed.is_readable() {
                    self.notes.finish();
                    printed.drain(&mut self.buffer, |bytes| {
                        self.hub.handle_stderr(PoolId(pool as u32), bytes)
                    });
                }
            }
        }
    }

    fn read_connections(&mut self, now: u64) {
        let readable = self
            .connections
            .iter()
            .filter(|(_, connection)| connection.is_readable());
        let peers: Vec<PeerId> = readable.map(|(peer, _)| *peer).collect();
        for peer in peers {
            for _ in 0..READS_PER_TURN_MAX {
                let Some(connection) = self.connections.get_mut(&peer) else {
                    break;
                };
                if !connection.is_readable() || !self.hub.wants_input(peer) {
                    break;
                }
                match connection.receive(&mut self.buffer) {
                    Received::Bytes(read) => self.hub.handle_input(peer, &self.buffer[..read], now),
                    Received::Nothing => break,
                    Received::Closed => {
                        self.connections.remove(&peer);
                        self.hub.handle_closed(peer, now);
                    }
                }
                self.carry_out(now);
            }
        }
    }

    /// Takes the exit of pools that ended, and ends what is left of their groups: the leader's id stays taken until it is
    /// reaped, so the signal can't reach another's group.
    fn bury_children(&mut self, now: u64) {
        for position in 0..self.running.len() {
            let pool = PoolId(position as u32);
            let Some(running) = self.running[position]
                .as_mut()
                .filter(|running| running.has_ended)
            else {
                continue;
            };
            running.child.signal_group(Ending::Kill);
            for printed in &mut running.printed {
                printed.drain(&mut self.buffer, |bytes| self.hub.handle_stderr(pool, bytes));
            }
            let Some(exit) = running.child.reap() else {
                running.has_ended = false;
                continue;
            };
            self.running[position] = None;
            let ended = match exit {
                Exit::Code(code) => Ended::Code(code),
                Exit::Signal(number) => Ended::Signal(number),
            };
            self.hub.handle_exited(pool, ended, now);
        }
    }

    /// Does what the hub wants done, until it wants nothing more.
    fn carry_out(&mut self, now: u64) {
        loop {
            if let Some(effect) = self.hub.poll_effect() {
                self.perform(effect, now);
            } else if let Some(peer) = self.hub.poll_output() {
                self.write(peer);
            } else {
                break;
            }
        }
    }

    fn write(&mut self, peer: PeerId) {
        let Some(connection) = self.connections.get_mut(&peer) else {
            return;
        };
        let is_full = loop {
            let chunk = self.hub.output(peer);
            if chunk.is_empty() {
                break false;
            }
            match connection.send(chunk) {
                0 => break true,
                written => self.hub.advance_output(peer, written),
            }
        };
        // The hub does not list it again, so it is tried again each turn.
        if is_full && !self.full.contains(&peer) {
            self.full.push(peer);
        }
        // A socket that can't be registered again is a broken one, and reading it says so.
        let _ = connection.ask_for_room(is_full, token(peer), self.poll.registry());
    }

    fn perform(&mut self, effect: Effect, now: u64) {
        match effect {
            Effect::Spawn {
                pool,
                control,
                worker,
            } => {
                if let Err(error) = self.spawn(pool, control, worker) {
                    self.hub.handle_spawn_failed(pool, error, now);
                }
            }
            Effect::Connect { pool, worker } => {
                let path = socket_path(&self.manifest.pools[pool.index()], &self.dir);
                let connected = mio::net::UnixStream::connect(path);
                if connected
                    .and_then(|socket| self.add_connection(worker, socket))
                    .is_err()
                {
                    self.hub.handle_closed(worker, now);
                }
            }
            Effect::Close(peer) => {
                self.connections.remove(&peer);
            }
            Effect::Signal(pool, signal) => {
                if let Some(running) = &self.running[pool.index()] {
                    running.child.signal_group(match signal {
                        Signal::Term => Ending::Term,
                        Signal::Kill => Ending::Kill,
                    });
                }
            }
            Effect::Answer { token, result } => self.answers.push((token, result)),
            Effect::Note { pool, note } => self.notes.show(&self.manifest.pools[pool.index()].name, &note),
        }
    }

    fn spawn(&mut self, pool: PoolId, control: PeerId, worker: PeerId) -> Result<()> {
        let place = Place {
            base: self.base,
            dir: &self.dir,
        };
        let launched = launch(&self.manifest.pools[pool.index()], &place)?;
        let pid = launched.child.pid();
        let Launched {
            child,
            control: control_socket,
            worker: worker_socket,
            printed,
            life,
        } = launched;
        let polled = self
            .poll_child(pool, &child, &printed)
            .and_then(|()| self.add_connection(control, mio::net::UnixStream::from_std(control_socket)))
            .and_then(|()| self.add_connection(worker, mio::net::UnixStream::from_std(worker_socket)));
        if let Err(error) = polled {
            child.end();
            return Err(Error::new(Kind::Io, format!("can't poll a pool: {error}")));
        }
        self.running[pool.index()] = Some(Running {
            child,
            printed,
            has_ended: false,
            _life: life,
        });
        self.hub.handle_spawned(pool, pid);
        Ok(())
    }

    fn poll_child(&self, pool: PoolId, child: &Child, printed: &[Printed]) -> io::Result<()> {
        let first = POOL_BIT | (pool.index() * SOURCES_PER_POOL);
        let fds = std::iter::once(child.as_fd()).chain(printed.iter().map(Printed::as_fd));
        for (position, fd) in fds.enumerate() {
            self.poll.registry().register(
                &mut SourceFd(&fd.as_raw_fd()),
                Token(first + position),
                Interest::READABLE,
            )?;
        }
        Ok(())
    }

    fn add_connection(&mut self, peer: PeerId, socket: mio::net::UnixStream) -> io::Result<()> {
        let connection = Connection::register(socket, token(peer), self.poll.registry())?;
        self.connections.insert(peer, connection);
        Ok(())
    }
}

fn token(peer: PeerId) -> Token {
    Token(peer.raw() as usize)
}

fn specs(manifest: &Manifest) -> Vec<PoolSpec> {
    let cores = cores();
    let spec = |pool: &crate::manifest::model::Pool| PoolSpec {
        name: pool.name.clone(),
        workers_max: pool.workers.unwrap_or(cores - 1).clamp(1, WORKERS_MAX),
        hello_ms: pool.timeouts.hello_ms,
        call_ms: pool.timeouts.call_ms,
        shutdown_ms: pool.timeouts.shutdown_ms,
    };
    manifest.pools.iter().map(spec).collect()
}

fn functions(manifest: &Manifest) -> Vec<Function> {
    let function = |command: &crate::manifest::model::Command| match command.body {
        Body::Remote { pool, mid, .. } => Some(Function {
            name: command.name.clone(),
            pool,
            mid,
        }),
        _ => None,
    };
    manifest.commands.iter().filter_map(function).collect()
}

/// One buffer with all arguments; a single one, which may be large, is not copied.
fn join(mut args: Vec<Vec<u8>>) -> Vec<u8> {
    match args.len() {
        1 => args.swap_remove(0),
        _ => args.concat(),
    }
}
