//! The poll loop: one thread, one epoll instance, one hub. Carries bytes, effects and events between the hub and the
//! system, and leaves nothing behind. Decides nothing: that is the hub's.

use super::confine::users;
use super::connection::{Connection, Received};
use super::launch::{door_path, socket_path};
use super::notes::Notes;
use super::processes::{Owner, Processes};
use super::strays::end_strays;
use super::workers::{Run, Workers};
use crate::core::deadlock::Suspect;
use crate::core::hub::{Effect, Hub, PeerId, Request};
use crate::core::process::table::Owner as ProcessOwner;
use crate::core::process::table::{self, Asker, Table};
use crate::core::timeline::Mark;
use crate::error::{Error, Kind, Result, signal_name};
use crate::ids::PoolId;
use crate::limits::{LOCK_CHECK_MS, READ_BYTES, READS_PER_TURN_MAX};
use crate::manifest::model::Manifest;
use crate::map::Map;
use crate::sys::clock::{now_ms, now_us};
use crate::sys::process::adopt_orphans;
use crate::sys::signal::Signals;
use crate::sys::usage;
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

mod pools;

const SIGNALS: Token = Token(usize::MAX - 1);
const INPUT: Token = Token(usize::MAX - 2);
/// Events taken from the poll at once; the others come with the next turn.
const EVENTS_PER_TURN: usize = 64;

/// The pools of one program, from the first that is started until none is left.
pub struct Session<'m> {
    pub(super) manifest: &'m Manifest,
    /// The manifest's path.
    path: &'m Path,
    base: &'m Path,
    pub(super) hub: Hub,
    poll: Poll,
    events: Events,
    signals: Signals,
    /// Names the run in the environment of all that it starts.
    mark: String,
    /// The path of the temp dir, if a pool needs one.
    dir: Option<PathBuf>,
    /// It is there.
    has_dir: bool,
    /// A function may use it. Before, it is there only for moments: no runtime may be loaded that removes it if this
    /// process is killed.
    keeps_dir: bool,
    /// By which further workers of pools are connected.
    doors: Map<PoolId, OwnedFd>,
    processes: Processes,
    pub(super) workers: Workers,
    connections: Map<PeerId, Connection>,
    /// Peers that have more to be written to them than their sockets took.
    full: Vec<PeerId>,
    pub(super) answers: Vec<(u64, Result<Vec<u8>>)>,
    /// What workers want of nexus itself, if it evaluates a composition.
    pub(super) hosted: Option<Vec<Hosted>>,
    /// When whoever uses this session has something to do.
    pub(super) due_ms: Option<u64>,
    pub(super) notes: Notes,
    buffer: Vec<u8>,
    /// The first signal that asked to end.
    pub(super) interrupted: Option<i32>,
    /// How many did.
    interrupts: u32,
    next_token: u64,
    /// What happened when, in microseconds of the clock, if that is wanted.
    timeline: Vec<(u64, Mark)>,
    /// What [`Session::wait_for`] waits for is there.
    has_input: bool,
    /// Processes that the system had ended for want of memory when the first pools were started.
    memory_kills: Option<u64>,
    /// Workers that were found waiting for locks of their own when all was silent.
    suspects: Vec<Suspect>,
}

/// What a worker wants of nexus itself.
pub(super) enum Hosted {
    /// That a function value that nexus gave away is applied.
    Apply {
        call: u64,
        function: i64,
        args: u32,
        payload: Vec<u8>,
    },
    /// That such a call is given up.
    Cancel(u64),
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
    /// Starts these pools, all at once, without waiting for any. `path` is the manifest's.
    ///
    /// # Errors
    /// `io` when the system refuses the poll. A pool that can't be started is the error of the first call
    /// that needs it.
    pub fn start(manifest: &'m Manifest, path: &'m Path, pools: &[PoolId]) -> Result<Session<'m>> {
        let poll = Poll::new().map_err(poll_refused("make a poll"))?;
        let signals = Signals::take().map_err(poll_refused("take over signals"))?;
        let fd = signals.as_fd().as_raw_fd();
        poll.registry()
            .register(&mut SourceFd(&fd), SIGNALS, Interest::READABLE)
            .map_err(poll_refused("poll signals"))?;
        adopt_orphans().map_err(poll_refused("adopt orphans"))?;
        let mut session = Session {
            manifest,
            path,
            base: path.parent().unwrap_or(Path::new("")),
            hub: Hub::new(pools::specs(manifest), pools::functions(manifest)),
            poll,
            events: Events::with_capacity(EVENTS_PER_TURN),
            signals,
            mark: format!("{}-{}", std::process::id(), now_ms()),
            dir: None,
            has_dir: false,
            keeps_dir: false,
            doors: Map::new(),
            processes: Processes::default(),
            workers: Workers::default(),
            connections: Map::new(),
            full: Vec::new(),
            answers: Vec::new(),
            hosted: None,
            due_ms: None,
            notes: Notes::default(),
            buffer: vec![0; READ_BYTES],
            interrupted: None,
            interrupts: 0,
            next_token: 0,
            timeline: Vec::new(),
            has_input: false,
            memory_kills: None,
            suspects: Vec::new(),
        };
        for pool in pools {
            session.hub.start(*pool, now_ms());
        }
        session.carry_out(now_ms());
        // While the pools load: it delays nobody.
        session.memory_kills = usage::out_of_memory_kills();
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
            pid: None,
            parent: None,
        };
        self.hub.call(request, now);
        self.carry_out(now);
        loop {
            let position = self.answers.iter().position(|(answered, _)| *answered == token);
            // What belonged to a call that has failed ends at once.
            if let Some(position) = position.filter(|_| !self.workers.table.is_joining()) {
                self.notes.finish();
                let answer = self.answers.swap_remove(position).1;
                return answer.map_err(|error| self.explain(error));
            }
            if let Some(error) = self.stopped().filter(|_| position.is_none()) {
                self.hub.cancel(token, &error, now_ms());
                self.carry_out(now_ms());
                continue;
            }
            self.turn()?;
        }
    }

    /// Runs the loop until something can be read, or has ended.
    ///
    /// # Errors
    /// `cancelled` after SIGINT, SIGTERM or SIGHUP; `io` when the poll fails.
    pub fn wait_for(&mut self, input: BorrowedFd<'_>) -> Result<()> {
        let fd = input.as_raw_fd();
        self.has_input = match self
            .poll
            .registry()
            .register(&mut SourceFd(&fd), INPUT, Interest::READABLE)
        {
            Ok(()) => false,
            // What can't be polled, as a file, is always there.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Ok(()),
            Err(error) => return Err(poll_refused("poll the input")(error)),
        };
        let waited = loop {
            if self.has_input {
                break Ok(());
            }
            if let Some(error) = self.stopped() {
                break Err(error);
            }
            if let Err(error) = self.turn() {
                break Err(error);
            }
        };
        // It was registered above.
        let _ = self.poll.registry().deregister(&mut SourceFd(&fd));
        waited
    }

    /// Whether a signal asked to end.
    pub fn is_interrupted(&self) -> bool {
        self.interrupted.is_some()
    }

    /// The error of a run that was asked to stop, if it was; says where everything stands.
    pub(super) fn stopped(&mut self) -> Option<Box<Error>> {
        let number = self.interrupted?;
        let standing = self.hub.standing(now_ms());
        self.notes
            .show_stop(&self.manifest.name, &signal_name(number), &standing);
        let mut error = Error::new(Kind::Cancelled, format!("stopped by {}", signal_name(number)));
        error.signal = Some(number);
        Some(error)
    }

    /// Adds to an error what the system tells about it.
    pub(super) fn explain(&self, mut error: Box<Error>) -> Box<Error> {
        const SIGKILL: i32 = 9;
        if error.kind == Kind::Terminated
            && error.signal == Some(SIGKILL)
            && usage::out_of_memory_kills() > self.memory_kills
        {
            error.message.push_str(", for the system was out of memory");
        }
        error
    }

    /// Remembers from now on what happens when.
    pub fn keep_timeline(&mut self) {
        self.hub.keep_marks();
    }

    /// What has happened, with the microsecond of the clock.
    pub fn take_timeline(&mut self) -> Vec<(u64, Mark)> {
        std::mem::take(&mut self.timeline)
    }

    /// Ends all pools and removes the temp dir: gently what does as it is told, and by signals what does not.
    pub fn finish(mut self) {
        let interrupts = self.interrupts;
        // It is not made any more; and if no function runs, now is the time to remove it: as long as pools run, they would
        // do it if this process were killed.
        self.keeps_dir = true;
        if !self.hub.has_calls() {
            self.remove_dir();
        }
        self.hub.drain(now_ms());
        self.workers.table.end_owner(ProcessOwner::Run, false, now_ms());
        self.carry_out(now_ms());
        while !self.hub.is_finished() || !self.workers.table.is_empty() {
            // Whoever sends one more signal does not want to wait: first for what would end by itself, then for anything.
            match (self.interrupts, self.interrupts - interrupts) {
                (_, 0) => {}
                (1, _) => self.hub.terminate(now_ms()),
                _ => self.hub.kill(now_ms()),
            }
            self.carry_out(now_ms());
            if self.turn().is_err() {
                break;
            }
        }
        self.notes.finish();
        end_strays(&format!("NEXUS_RUN={}", self.mark), &users(&self.manifest.pools));
        // What was still running may have put something there.
        self.remove_dir();
        if self.interrupted.is_some() {
            // The process ends with the code of the first signal, whatever comes now.
            std::mem::forget(self.signals);
        }
    }

    /// One turn: waits until something happens or is due, then handles all of it.
    pub(super) fn turn(&mut self) -> Result<()> {
        let dues = [
            self.hub.next_deadline(),
            self.workers.table.next_deadline(),
            self.due_ms,
        ];
        let due_ms = dues.into_iter().flatten().min();
        let due_ms = due_ms.map(|due| due.saturating_sub(now_ms()));
        let wait_ms = match self.has_unread() {
            true => Some(0),
            false if self.hub.has_calls() => Some(due_ms.unwrap_or(u64::MAX).min(LOCK_CHECK_MS)),
            false => due_ms,
        };
        let wait = wait_ms.map(Duration::from_millis);
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
        self.workers.turn(&mut self.buffer, now);
        self.bury_children(now);
        self.hub.handle_timeout(now);
        self.workers.table.handle_timeout(now);
        if wait_ms == Some(LOCK_CHECK_MS) && self.events.is_empty() {
            self.look_for_locks(now);
        }
        self.carry_out(now);
        Ok(())
    }

    /// If all that runs waits for locks of its own, and did so a while ago, it will for ever.
    fn look_for_locks(&mut self, now: u64) {
        let before = std::mem::take(&mut self.suspects);
        let suspects = self.hub.suspects();
        let is_locked = |suspect: &Suspect| {
            let running = suspects.iter().filter(|other| other.pid == suspect.pid).count();
            let waits = usage::lock_waits(suspect.pid);
            waits.is_some_and(|(waiting, others)| waiting >= running && others <= suspect.quiet_threads)
        };
        if !suspects.iter().all(is_locked) {
            return;
        }
        match before == suspects {
            true => self.hub.handle_locked(&suspects, now),
            false => self.suspects = suspects,
        }
    }

    fn note_event(&mut self, event: &mio::event::Event) {
        let Token(token) = event.token();
        if event.token() == INPUT {
            self.has_input = true;
        } else if event.token() == SIGNALS {
            while let Some(number) = self.signals.arrived() {
                self.interrupted.get_or_insert(number);
                self.interrupts += 1;
            }
        } else if Processes::is_own(event.token()) {
            self.processes.note_event(event.token());
        } else if Workers::is_own(event.token()) {
            self.workers.note_event(event.token());
        } else if let Some(connection) = self.connections.get_mut(&PeerId::from_raw(token as u64)) {
            connection.note_event(event);
        }
    }

    /// Whether something can be read at once that the last turn left.
    fn has_unread(&self) -> bool {
        let mut connections = self.connections.iter();
        connections.any(|(peer, connection)| connection.is_readable() && self.hub.wants_input(*peer))
            || self.processes.has_unread()
            || self.workers.has_unread()
    }

    fn read_printed(&mut self) {
        if self.processes.has_unread() {
            self.notes.finish();
            let (hub, table) = (&mut self.hub, &mut self.workers.table);
            self.processes.read_printed(&mut self.buffer, |owner, bytes| {
                keep_tail(hub, table, owner, bytes)
            });
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
                if !self.read_connection(peer, now) {
                    break;
                }
            }
        }
    }

    /// Reads once from a connection. False if there is nothing more to read for now.
    fn read_connection(&mut self, peer: PeerId, now: u64) -> bool {
        let Some(connection) = self.connections.get_mut(&peer) else {
            return false;
        };
        if !connection.is_readable() || !self.hub.wants_input(peer) {
            return false;
        }
        let (received, in_place) = match self.hub.input_room(peer, READ_BYTES) {
            Some(room) => (connection.receive(room), true),
            None => (connection.receive(&mut self.buffer), false),
        };
        match received {
            Received::Bytes(read) if in_place => self.hub.handle_read(peer, read, now),
            Received::Bytes(read) => self.hub.handle_input(peer, &self.buffer[..read], now),
            Received::Nothing => return false,
            Received::Closed => {
                self.connections.remove(&peer);
                self.hub.handle_closed(peer, now);
            }
        }
        self.carry_out(now);
        true
    }

    /// Takes the exit of processes that ended.
    fn bury_children(&mut self, now: u64) {
        for slot in self.processes.ended() {
            // What a worker sent before it ended still counts.
            while let Some(Owner::Worker(_, peer)) = self.processes.owner(slot)
                && self.read_connection(peer, now)
            {}
            let (hub, table) = (&mut self.hub, &mut self.workers.table);
            let buried = self.processes.bury(slot, &mut self.buffer, |owner, bytes| {
                keep_tail(hub, table, owner, bytes);
            });
            match buried {
                Some((Owner::Pool(pool), ended)) => self.hub.handle_exited(pool, ended, now),
                Some((Owner::Worker(pool, peer), ended)) => {
                    self.hub.handle_worker_ended(pool, peer, ended, now);
                }
                Some((Owner::Program(id), ended)) => self.workers.bury(id, ended, &mut self.buffer, now),
                None => {}
            }
        }
    }

    /// Does what the hub and the table of worker processes want done, until they want nothing more.
    pub(super) fn carry_out(&mut self, now: u64) {
        loop {
            if let Some(effect) = self.hub.poll_effect() {
                self.perform(effect, now);
            } else if let Some(effect) = self.workers.table.poll_effect() {
                self.perform_process(effect, now);
            } else if let Some(peer) = self.hub.poll_output() {
                self.write(peer);
            } else if !self.workers.write() {
                break;
            }
        }
    }

    fn perform_process(&mut self, effect: table::Effect, now: u64) {
        let run = Run {
            mark: &self.mark,
            program: Some(self.path),
            registry: self.poll.registry(),
        };
        match self.workers.perform(effect, &mut self.processes, &run) {
            Some(table::Effect::Answer(Asker::Worker(worker, request), result)) => {
                self.hub.handle_process_answer(worker, request, result);
            }
            Some(table::Effect::Answer(Asker::Nexus(token), result)) => self.answers.push((token, result)),
            Some(table::Effect::Joined(ProcessOwner::Call(call))) => self.hub.handle_joined(call, now),
            _ => {}
        }
    }

    fn write(&mut self, peer: PeerId) {
        if self.dir.is_some() && !self.keeps_dir {
            self.keep_dir(peer);
        }
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
            Effect::SpawnWorker { pool, worker } => {
                if let Err(error) = self.spawn_worker(pool, worker) {
                    self.hub.handle_worker_spawn_failed(pool, worker, error, now);
                }
            }
            Effect::Connect { pool, worker } => {
                let dir = self.dir.as_deref().unwrap_or(Path::new(""));
                let named = || socket_path(&self.manifest.pools[pool.index()], dir);
                let path = self.doors.get(&pool).map_or_else(named, door_path);
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
                self.workers.table.forget_peer(peer);
            }
            Effect::Process {
                worker,
                request,
                call,
                asked,
            } => {
                let owner = call.map(ProcessOwner::Call);
                let asker = Asker::Worker(worker, request);
                self.workers.table.request(asker, owner, asked, now);
            }
            Effect::EndOwner(call, is_well) => {
                self.workers
                    .table
                    .end_owner(ProcessOwner::Call(call), is_well, now);
            }
            Effect::Signal(pool, signal) => self.processes.signal_pool(pool, signal),
            Effect::SignalWorker(worker, signal) => {
                // It looks for the reason on its connection.
                self.write(worker);
                self.processes.signal_worker(worker, signal);
            }
            Effect::Weigh(worker, pid) => {
                if let Some(rss_bytes) = usage::resident_bytes(pid) {
                    self.hub.handle_weight(worker, rss_bytes, now);
                }
            }
            Effect::Answer { token, result } => self.answers.push((token, result)),
            Effect::Host {
                call,
                mid,
                args,
                payload,
            } => match &mut self.hosted {
                Some(hosted) => hosted.push(Hosted::Apply {
                    call,
                    function: mid,
                    args,
                    payload,
                }),
                None => {
                    let message = format!("function value {mid} is none that this program gave away");
                    self.hub
                        .answer(call, Err(Error::new(Kind::Protocol, message)), now);
                }
            },
            Effect::CancelHost(call) => {
                if let Some(hosted) = &mut self.hosted {
                    hosted.push(Hosted::Cancel(call));
                }
            }
            Effect::Mark(mark) => self.timeline.push((now_us(), mark)),
            Effect::Note { pool, note } => self.notes.show(&self.manifest.pools[pool.index()].name, &note),
        }
    }

    fn add_connection(&mut self, peer: PeerId, socket: mio::net::UnixStream) -> io::Result<()> {
        let connection = Connection::register(socket, token(peer), self.poll.registry())?;
        self.connections.insert(peer, connection);
        Ok(())
    }
}

/// Keeps what a process printed for the error that its end makes.
fn keep_tail(hub: &mut Hub, table: &mut Table, owner: Owner, bytes: &[u8]) {
    match owner {
        Owner::Pool(pool) | Owner::Worker(pool, _) => hub.handle_stderr(pool, bytes),
        Owner::Program(id) => table.handle_stderr(id, bytes),
    }
}

/// The error for what the loop needs and the system refuses.
pub(super) fn poll_refused(what: &'static str) -> impl Fn(io::Error) -> Box<Error> {
    move |error| Error::new(Kind::Io, format!("can't {what}: {error}"))
}

fn token(peer: PeerId) -> Token {
    Token(peer.raw() as usize)
}

/// One buffer with all arguments; a single one, which may be large, is not copied.
fn join(mut args: Vec<Vec<u8>>) -> Vec<u8> {
    match args.len() {
        1 => args.swap_remove(0),
        _ => args.concat(),
    }
}
