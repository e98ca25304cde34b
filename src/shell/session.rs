//! The poll loop: one thread, one epoll instance, one hub. Carries bytes, effects and events between the hub and the
//! system, and leaves nothing behind. Decides nothing: that is the hub's.

use super::composed::{Input, giver};
use super::connection::{Connection, Received};
use super::launch::{door_path, socket_path};
use super::notes::Notes;
use super::polling::{OWN_BITS, Polling};
use super::processes::{Owner, Processes};
use super::workers::{Run, Workers};
use crate::core::deadlines::sooner;
use crate::core::deadlock::Suspect;
use crate::core::hub::{Effect, Hub, PeerId};
use crate::core::process::bridge::{to_hub, to_table};
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
use std::cell::Cell;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

mod calls;
mod ending;
mod pools;
pub mod told;

pub use calls::Call;
use told::{Event, Told};

const SIGNALS: Token = Token(OWN_BITS - 1);
const INPUT: Token = Token(OWN_BITS - 2);
pub(super) const OUTPUT: Token = Token(OWN_BITS - 3);
/// Events taken from the poll at once; the others come with the next turn.
const EVENTS_PER_TURN: usize = 64;

/// The pools of one program, from the first that is started until none is left.
pub struct Session {
    pub(super) manifest: Rc<Manifest>,
    /// The manifest's path.
    path: PathBuf,
    pub(super) hub: Hub,
    pub(super) polling: Polling,
    /// What a poll of its own has told.
    events: Events,
    /// None where the process has others that hear them.
    signals: Option<Signals>,
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
    /// Compositions under way, by their tokens.
    tasks: Map<u64, calls::Entry>,
    /// The compositions that have asked, by the tokens of what they asked for.
    asks: Map<u64, u64>,
    /// Calls that are answered.
    pub(super) answers: Vec<(u64, Result<Vec<u8>>)>,
    /// People are told of notes, or whoever uses this session.
    told: Option<Told>,
    /// Standard output has room, for whoever waits for it.
    pub(super) has_output_room: bool,
    /// The result of the composition that ended last was printed as it came.
    pub(super) has_printed: bool,
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

impl Session {
    /// Starts these pools, all at once, without waiting for any. `path` is the manifest's.
    ///
    /// # Errors
    /// `io` when the system refuses the poll. A pool that can't be started is the error of the first call
    /// that needs it.
    pub fn start(manifest: &Rc<Manifest>, path: &Path, pools: &[PoolId]) -> Result<Session> {
        let poll = Poll::new().map_err(poll_refused("make a poll"))?;
        let mut session = Session::new(Polling::Own(poll), manifest, path);
        let signals = Signals::take().map_err(poll_refused("take over signals"))?;
        let fd = signals.as_fd().as_raw_fd();
        session
            .polling
            .view()
            .register(&mut SourceFd(&fd), SIGNALS, Interest::READABLE)
            .map_err(poll_refused("poll signals"))?;
        session.signals = Some(signals);
        adopt_orphans().map_err(poll_refused("adopt orphans"))?;
        session.start_pools(pools.iter().copied(), now_ms());
        // While the pools load: it delays nobody.
        session.memory_kills = usage::out_of_memory_kills();
        Ok(session)
    }

    /// The pools of a program, of which none runs. It hears no signals.
    pub fn new(polling: Polling, manifest: &Rc<Manifest>, path: &Path) -> Session {
        let events = match &polling {
            Polling::Own(_) => EVENTS_PER_TURN,
            Polling::Shared(..) => 0,
        };
        Session {
            manifest: Rc::clone(manifest),
            path: path.to_path_buf(),
            hub: Hub::new(pools::specs(manifest), pools::functions(manifest)),
            polling,
            events: Events::with_capacity(events),
            signals: None,
            mark: next_mark(),
            dir: None,
            has_dir: false,
            keeps_dir: false,
            doors: Map::new(),
            processes: Processes::default(),
            workers: Workers::default(),
            connections: Map::new(),
            full: Vec::new(),
            tasks: Map::new(),
            asks: Map::new(),
            answers: Vec::new(),
            told: None,
            has_output_room: false,
            has_printed: false,
            notes: Notes::default(),
            buffer: Vec::new(),
            interrupted: None,
            interrupts: 0,
            next_token: 0,
            timeline: Vec::new(),
            has_input: false,
            memory_kills: None,
            suspects: Vec::new(),
        }
    }

    /// Starts those of these pools that don't run, all at once, without waiting for any.
    pub fn start_pools(&mut self, pools: impl IntoIterator<Item = PoolId>, now: u64) {
        for pool in pools {
            self.hub.start(pool, now);
        }
        self.carry_out(now);
    }

    /// Runs the loop until something can be read, or has ended.
    ///
    /// # Errors
    /// `cancelled` after SIGINT, SIGTERM or SIGHUP; `io` when the poll fails.
    pub fn wait_for(&mut self, input: BorrowedFd<'_>) -> Result<()> {
        let fd = input.as_raw_fd();
        self.has_input = match self
            .polling
            .view()
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
        let _ = self.polling.view().deregister(&mut SourceFd(&fd));
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

    /// One turn: waits until something happens or is due, then handles all of it. Only where the poll is its own: whoever
    /// shares one with it waits for both.
    pub(super) fn turn(&mut self) -> Result<()> {
        let wait_ms = self.wait_ms(now_ms());
        let events = self.poll_for(wait_ms)?;
        self.handle(wait_ms == Some(LOCK_CHECK_MS) && events == 0);
        Ok(())
    }

    /// Waits on its own poll and notes what that says: how many events there were.
    fn poll_for(&mut self, wait_ms: Option<u64>) -> Result<usize> {
        let mut events = std::mem::replace(&mut self.events, Events::with_capacity(0));
        if let Polling::Own(poll) = &mut self.polling {
            match poll.poll(&mut events, wait_ms.map(Duration::from_millis)) {
                Err(error) if error.kind() != io::ErrorKind::Interrupted => {
                    return Err(poll_refused("poll")(error));
                }
                _ => {}
            }
        }
        let mut count = 0;
        for event in &events {
            self.note_event(event.token(), event);
            count += 1;
        }
        self.events = events;
        Ok(count)
    }

    /// How long nothing has to be done unless something happens, in milliseconds; none: for ever.
    pub fn wait_ms(&self, now: u64) -> Option<u64> {
        let due_ms = sooner(self.hub.next_deadline(), self.workers.table.next_deadline());
        let due_ms = sooner(due_ms, self.tasks_due_ms());
        let due_ms = due_ms.map(|due| due.saturating_sub(now));
        match self.has_unread() {
            true => Some(0),
            false if self.hub.has_calls() => Some(due_ms.unwrap_or(u64::MAX).min(LOCK_CHECK_MS)),
            false => due_ms,
        }
    }

    /// A turn that does not wait, after the events of a shared poll were noted. `is_silent` says that nothing has happened for
    /// as long as locks are waited for; the buffer is lent for what is read.
    pub fn step(&mut self, is_silent: bool, buffer: &mut Vec<u8>) {
        std::mem::swap(&mut self.buffer, buffer);
        self.handle(is_silent);
        std::mem::swap(&mut self.buffer, buffer);
    }

    /// The same where the poll is its own.
    ///
    /// # Errors
    /// `io` when the poll fails.
    pub fn poll_and_step(&mut self, is_silent: bool, buffer: &mut Vec<u8>) -> Result<()> {
        loop {
            let events = self.poll_for(Some(0))?;
            self.step(is_silent && events == 0, buffer);
            // Whoever waits for the poll as a whole is told only of what comes after all was taken.
            if events < EVENTS_PER_TURN {
                return Ok(());
            }
        }
    }

    /// Handles what has happened and what is due.
    fn handle(&mut self, is_silent: bool) {
        let now = now_ms();
        // A session that only waits holds no buffer.
        self.buffer.resize(READ_BYTES, 0);
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
        if is_silent {
            self.look_for_locks(now);
        }
        self.carry_out(now);
        self.run_tasks(now);
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

    /// Notes what the poll said of a token, seen without the mark of the session.
    pub fn note_event(&mut self, token: Token, event: &mio::event::Event) {
        if token == INPUT {
            self.has_input = true;
        } else if token == OUTPUT {
            self.has_output_room = true;
        } else if token == SIGNALS {
            while let Some(number) = self.signals.as_mut().and_then(Signals::arrived) {
                self.interrupted.get_or_insert(number);
                self.interrupts += 1;
            }
        } else if Processes::is_own(token) {
            self.processes.note_event(token);
        } else if Workers::is_own(token) {
            self.workers.note_event(token);
        } else {
            let mut connections = self.connections.iter_mut();
            if let Some((_, connection)) = connections.find(|(peer, _)| token_of(**peer) == token) {
                connection.note_event(event);
            }
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
            let (hub, table, told) = (&mut self.hub, &mut self.workers.table, &mut self.told);
            self.processes.read_printed(&mut self.buffer, |owner, bytes| {
                keep_tail(hub, table, told, owner, bytes)
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
            let (hub, table, told) = (&mut self.hub, &mut self.workers.table, &mut self.told);
            let buried = self.processes.bury(slot, &mut self.buffer, |owner, bytes| {
                keep_tail(hub, table, told, owner, bytes);
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
            program: Some(&self.path),
            polled: self.polling.view(),
        };
        let left = self.workers.perform(effect, &mut self.processes, &run);
        let left = left.and_then(|effect| to_hub(effect, &mut self.hub, now));
        if let Some(table::Effect::Answer(Asker::Nexus(token), result)) = left {
            self.take_answer(token, result);
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
        let _ = connection.ask_for_room(is_full, token_of(peer), self.polling.view());
    }

    fn perform(&mut self, effect: Effect, now: u64) {
        let Some(effect) = to_table(effect, &mut self.workers.table, now) else {
            return;
        };
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
            Effect::Close(peer) => drop(self.connections.remove(&peer)),
            Effect::Process { .. } | Effect::EndOwner(..) => {}
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
            Effect::Answer { token, result } => self.take_answer(token, result),
            Effect::Host {
                call,
                mid,
                args,
                payload,
            } => {
                let input = Input::Apply {
                    call,
                    function: mid,
                    args,
                    payload,
                };
                if !self.push_input(giver(mid), input) {
                    let message = format!("function value {mid} is none that this program gave away");
                    self.hub
                        .answer(call, Err(Error::new(Kind::Protocol, message)), now);
                }
            }
            Effect::CancelHost(call) => {
                let tasks: Vec<u64> = self.tasks.keys().copied().collect();
                for of in tasks {
                    self.push_input(of, Input::CancelApplied(call));
                }
            }
            Effect::Mark(mark) => self.timeline.push((now_us(), mark)),
            Effect::Note { pool, note, client } => {
                let name = &self.manifest.pools[pool.index()].name;
                match &mut self.told {
                    None => self.notes.show(name, &note),
                    Some(told) => {
                        let call = client.map(|of| self.asks.get(&of).copied().unwrap_or(of));
                        told.push(Event::Note {
                            pool: name.clone(),
                            note,
                            call,
                        });
                    }
                }
            }
        }
    }

    fn add_connection(&mut self, peer: PeerId, socket: mio::net::UnixStream) -> io::Result<()> {
        let connection = Connection::register(socket, token_of(peer), self.polling.view())?;
        self.connections.insert(peer, connection);
        Ok(())
    }
}

impl AsRawFd for Session {
    /// The poll; where it is its own, readable when [`Session::poll_and_step`] has something to do.
    fn as_raw_fd(&self) -> RawFd {
        match &self.polling {
            Polling::Own(poll) => poll.as_raw_fd(),
            Polling::Shared(registry, _) => registry.as_raw_fd(),
        }
    }
}

/// Keeps what a process printed for the error that its end makes.
fn keep_tail(hub: &mut Hub, table: &mut Table, told: &mut Option<Told>, owner: Owner, bytes: &[u8]) {
    if let Some(told) = told {
        let pool = match owner {
            Owner::Pool(pool) | Owner::Worker(pool, _) => Some(pool),
            Owner::Program(_) => None,
        };
        told.push(Event::Printed {
            pool,
            bytes: bytes.to_vec(),
        });
    }
    match owner {
        Owner::Pool(pool) | Owner::Worker(pool, _) => hub.handle_stderr(pool, bytes),
        Owner::Program(id) => table.handle_stderr(id, bytes),
    }
}

/// The error for what the loop needs and the system refuses.
pub(super) fn poll_refused(what: &'static str) -> impl Fn(io::Error) -> Box<Error> {
    move |error| Error::new(Kind::Io, format!("can't {what}: {error}"))
}

/// The lower half of a peer's key, which no two have at once.
fn token_of(peer: PeerId) -> Token {
    Token((peer.raw() & 0xffff_ffff) as usize)
}

/// A name for what a session starts, as no other session has it.
fn next_mark() -> String {
    // Sessions of one process may begin in the same millisecond.
    thread_local!(static SESSIONS: Cell<u64> = const { Cell::new(0) });
    let number = SESSIONS.replace(SESSIONS.get() + 1);
    format!("{}-{}-{number}", std::process::id(), now_ms())
}
