//! The loop of the server: one thread, one poll for its sockets and those of all programs' sessions.
//! Carries bytes, effects and events between the server's state machine and the system. Decides nothing.

mod asking;
mod effects;
mod fetching;
mod flows;
mod log;
mod names;
mod packages;
mod running;
pub mod scratch;
mod socket;
mod store;

pub use self::store::{FlowPlan, Tests};

use self::flows::FlowSide;
use self::log::Log;
use self::packages::Packages;
use self::running::{Outcome, Running};
use self::scratch::Scratch;
use self::socket::{Listener, Received, Socket, Stream};
use super::polling::{MARK_SHIFT, OWN_BITS, Polling};
use super::private_socket::{PrivateSocket, is_trusted};
use super::session::poll_refused;
use super::session::told::Event;
use crate::error::{Error, Kind, Result};
use crate::ids::PoolId;
use crate::limits::{ACCEPT_AGAIN_MS, FLOW_STORE_AGAIN_MS, LOCK_CHECK_MS, READ_BYTES, READS_PER_TURN_MAX};
use crate::manifest::model::Manifest;
use crate::map::Map;
use crate::serve::deployment::{DeploymentId, Name, Start};
use crate::serve::server::{ClientId, Config, Door, Server};
use crate::sys::clock::now_ms;
use crate::sys::inotify::Watch;
use crate::sys::process::{adopt_orphans, reap_others};
use crate::sys::signal::Signals;
use mio::net::{TcpListener, UnixListener};
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Registry, Token};
use std::io::{ErrorKind, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

const SIGNALS: Token = Token(usize::MAX - 1);
const FILES: Token = Token(usize::MAX - 2);
const STORE: Token = Token(usize::MAX - 3);
/// Tokens of clients have this bit, of programs the next with their number behind it, of connections to other servers the one
/// after, of listeners none.
const CLIENT_BIT: usize = 1 << 63;
const PROGRAM_BIT: usize = 1 << 62;
/// Looked at last: those of programs may have it.
const FETCH_BIT: usize = 1 << 61;
/// Numbers of programs; they are used again when as many were loaded.
const NUMBERS: usize = PROGRAM_BIT >> MARK_SHIFT;
const EVENTS_PER_TURN: usize = 256;

const SIGHUP: i32 = 1;
const SIGCHLD: i32 = 17;
const SIGKILL: i32 = 9;

/// Where the server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// A host and a port.
    Tcp(String),
    /// The path of a socket.
    Unix(PathBuf),
}

/// A program as it was read.
pub struct Loaded {
    /// The manifest.
    pub manifest: Manifest,
    /// Its text.
    pub text: Vec<u8>,
    /// What was made for it alone, which is removed when it is unloaded.
    pub scratch: Option<Scratch>,
}

/// What the server is to do.
pub struct Plan<'a> {
    /// How it is set up.
    pub config: Config,
    /// Where it speaks HTTP.
    pub addresses: Vec<Address>,
    /// The socket on which only its own user is heard.
    pub private: Option<PrivateSocket>,
    /// Pools of a program that starts with its first call which start at once all the same.
    pub pools: Vec<PoolId>,
    /// The programs that it begins with.
    pub programs: Vec<(Name, String, Start)>,
    /// The store of nodes that it serves.
    pub flows: Option<FlowPlan>,
    /// It runs tests instead, and ends.
    pub tests: Option<Tests>,
    /// Reads the program at a path: the path of its manifest, and what is wrong with it or it.
    pub load: &'a mut dyn FnMut(&str) -> (PathBuf, Result<Loaded>),
    /// Reads the configuration again.
    pub reconfigure: &'a mut dyn FnMut() -> Result<Config>,
}

/// Serves until a signal or an operator ends it.
///
/// # Errors
/// Kind `io`: it can't listen, or the poll fails.
pub fn run(plan: Plan<'_>) -> Result<()> {
    let mut host = Host::new(plan)?;
    host.serve()
}

struct Host<'a> {
    server: Server,
    poll: Poll,
    /// The same for programs.
    registry: Rc<Registry>,
    signals: Signals,
    watch: Watch,
    /// By their tokens; none: closed.
    listeners: Vec<Option<(Listener, Door)>>,
    /// By the lower half of their ids, which no two have at once.
    clients: Map<usize, (ClientId, Socket)>,
    /// By their numbers.
    programs: Map<usize, (DeploymentId, Running)>,
    numbers: Map<DeploymentId, usize>,
    next_number: usize,
    packages: Packages,
    /// Sources by the directories of their manifests, with the manifests' paths.
    watched: Vec<(i32, PathBuf, String)>,
    load: &'a mut dyn FnMut(&str) -> (PathBuf, Result<Loaded>),
    reconfigure: &'a mut dyn FnMut() -> Result<Config>,
    buffer: Vec<u8>,
    /// The buffer that sessions share.
    session_buffer: Vec<u8>,
    /// Clients that have sent more than a turn takes.
    unread: Vec<usize>,
    /// Lines of the log that are written at the end of the turn, when those are answered who wait.
    log: Log,
    /// Listeners at which clients wait until there is room for them.
    unaccepted: Vec<usize>,
    /// Files that are to be removed at the end.
    paths: Vec<PathBuf>,
    /// Removes its file when it is dropped.
    private: Option<PrivateSocket>,
    pools: Vec<PoolId>,
    flows: FlowSide,
}

impl<'a> Host<'a> {
    fn new(plan: Plan<'a>) -> Result<Host<'a>> {
        let poll = Poll::new().map_err(poll_refused("make a poll"))?;
        let signals = Signals::take_all().map_err(poll_refused("take over signals"))?;
        let watch = Watch::new().map_err(poll_refused("watch files"))?;
        adopt_orphans().map_err(poll_refused("adopt orphans"))?;
        let registry = poll.registry().try_clone();
        let registry = registry.map_err(poll_refused("share a poll"))?;
        for (fd, token) in [
            (signals.as_fd().as_raw_fd(), SIGNALS),
            (watch.as_fd().as_raw_fd(), FILES),
        ] {
            registry
                .register(&mut SourceFd(&fd), token, Interest::READABLE)
                .map_err(poll_refused("poll"))?;
        }
        let now = now_ms();
        let mut host = Host {
            server: Server::new(plan.config, now_ms()),
            registry: Rc::new(registry),
            poll,
            signals,
            watch,
            listeners: Vec::new(),
            clients: Map::new(),
            programs: Map::new(),
            numbers: Map::new(),
            next_number: 0,
            packages: Packages::default(),
            watched: Vec::new(),
            load: plan.load,
            reconfigure: plan.reconfigure,
            buffer: vec![0; READ_BYTES],
            session_buffer: Vec::new(),
            unread: Vec::new(),
            log: Log::default(),
            unaccepted: Vec::new(),
            paths: Vec::new(),
            private: None,
            pools: plan.pools,
            flows: FlowSide::default(),
        };
        if let Some(private) = plan.private {
            let refused = || poll_refused("listen on the private socket");
            private.listener().set_nonblocking(true).map_err(refused())?;
            let listener = private.listener().try_clone().map_err(refused())?;
            host.add_listener(Listener::Unix(UnixListener::from_std(listener)), Door::Private)?;
            host.private = Some(private);
        }
        for address in &plan.addresses {
            host.listen(address)?;
        }
        for (name, source, start) in plan.programs {
            host.server.deploy(name, source, start, now)?;
        }
        if let Some(flows) = plan.flows {
            host.serve_store(flows, plan.tests.is_some(), now)?;
        }
        if let Some(tests) = plan.tests {
            host.test(tests, now);
        }
        Ok(host)
    }

    fn listen(&mut self, address: &Address) -> Result<()> {
        let refused = |what: &str, error: std::io::Error| {
            let message = format!("can't listen on {what}: {error}");
            Error::new(Kind::Io, message).hint("choose another address with --listen")
        };
        let listener = match address {
            Address::Tcp(text) => {
                let address = text.parse().map_err(|_| {
                    let message =
                        format!("address '{text}' can't be read, expected HOST:PORT with a numeric host");
                    Error::new(Kind::Usage, message).hint("for example 127.0.0.1:8080, or unix:PATH")
                })?;
                let listener = TcpListener::bind(address).map_err(|error| refused(text, error))?;
                if let Ok(address) = listener.local_addr() {
                    say(&format!("listening on http://{address}"));
                }
                Listener::Tcp(listener)
            }
            Address::Unix(path) => {
                let shown = path.display().to_string();
                let listener = UnixListener::bind(path).map_err(|error| refused(&shown, error))?;
                self.paths.push(path.clone());
                say(&format!("listening on unix:{shown}"));
                Listener::Unix(listener)
            }
        };
        self.add_listener(listener, Door::Web)
    }

    fn add_listener(&mut self, mut listener: Listener, door: Door) -> Result<()> {
        let free = self.listeners.iter().position(Option::is_none);
        let number = free.unwrap_or(self.listeners.len());
        let token = Token(number);
        self.poll
            .registry()
            .register(listener.source(), token, Interest::READABLE)
            .map_err(poll_refused("poll a listening socket"))?;
        match self.listeners.get_mut(number) {
            Some(place) => *place = Some((listener, door)),
            None => self.listeners.push(Some((listener, door))),
        }
        Ok(())
    }

    fn serve(&mut self) -> Result<()> {
        let mut events = Events::with_capacity(EVENTS_PER_TURN);
        loop {
            self.settle()?;
            if self.server.is_finished() && self.programs.is_empty() {
                self.flush_last();
                break;
            }
            let wait_ms = self.wait_ms(now_ms());
            match self.poll.poll(&mut events, wait_ms.map(Duration::from_millis)) {
                Err(error) if error.kind() != ErrorKind::Interrupted => {
                    return Err(poll_refused("poll")(error));
                }
                _ => {}
            }
            let now = now_ms();
            let unaccepted = std::mem::take(&mut self.unaccepted);
            for event in &events {
                self.note_event(event, now);
            }
            for number in unaccepted {
                self.accept(number, now);
            }
            self.read_clients(now);
            self.step_fetches(now);
            self.step_store(now);
            self.step_programs(events.is_empty() && wait_ms == Some(LOCK_CHECK_MS), now);
            self.server.handle_timeout(now);
        }
        for path in &self.paths {
            let _ = std::fs::remove_file(path);
        }
        Ok(())
    }

    fn wait_ms(&self, now: u64) -> Option<u64> {
        if !self.unread.is_empty() || self.has_unmoved() {
            return Some(0);
        }
        let server = self.server.next_deadline().map(|due| due.saturating_sub(now));
        let programs = self
            .programs
            .values()
            .filter_map(|(_, running)| running.wait_ms(now));
        let accept = (!self.unaccepted.is_empty()).then_some(ACCEPT_AGAIN_MS);
        let lookups = self.lookups_deadline().map(|due| due.saturating_sub(now));
        let store = self.is_store_held().then_some(FLOW_STORE_AGAIN_MS);
        let others = accept.into_iter().chain(lookups).chain(store);
        programs.chain(server).chain(others).min()
    }

    fn note_event(&mut self, event: &mio::event::Event, now: u64) {
        let Token(token) = event.token();
        match event.token() {
            SIGNALS => self.take_signals(now),
            FILES => self.take_changes(now),
            STORE => self.hear_store(now),
            _ if token & CLIENT_BIT != 0 => {
                let key = token & !CLIENT_BIT;
                if let Some((id, socket)) = self.clients.get_mut(&key) {
                    socket.note_event(event);
                    let id = *id;
                    if !self.unread.contains(&key) {
                        self.unread.push(key);
                    }
                    if event.is_writable() {
                        self.write(id, now);
                    }
                }
            }
            _ if token & PROGRAM_BIT != 0 => {
                let number = (token & !PROGRAM_BIT) >> MARK_SHIFT;
                if let Some((_, running)) = self.programs.get_mut(&number) {
                    running.note_event(Token(token & OWN_BITS), event);
                }
            }
            _ if token & FETCH_BIT != 0 => self.step_fetch(token & !FETCH_BIT, now),
            _ => self.accept(token, now),
        }
    }

    fn take_signals(&mut self, now: u64) {
        while let Some(number) = self.signals.arrived() {
            match number {
                SIGHUP => self.reload(now),
                SIGCHLD => {
                    let own = self.own_children(None);
                    reap_others(&own);
                }
                _ => self.server.drain(now),
            }
        }
    }

    fn reload(&mut self, now: u64) {
        match (self.reconfigure)() {
            Ok(config) => self.server.configure(config),
            Err(error) => self
                .log
                .add(&format!("the configuration stays as it was: {error}")),
        }
        self.look_at_store(now);
        self.server.reload_all(now);
    }

    /// Children that belong to programs other than that one.
    fn own_children(&self, but: Option<usize>) -> Vec<u32> {
        let others = self.programs.iter().filter(|(number, _)| Some(**number) != but);
        others.flat_map(|(_, (_, running))| running.children()).collect()
    }

    fn take_changes(&mut self, now: u64) {
        for change in self.watch.changes() {
            let found = self.watched.iter().find(|(directory, path, _)| {
                *directory == change.directory && path.file_name() == Some(&change.name)
            });
            if let Some((_, path, source)) = found {
                let fingerprint = fingerprint(path);
                self.server.handle_changed(&source.clone(), fingerprint, now);
            }
            self.take_watched(&change, now);
        }
    }

    fn accept(&mut self, number: usize, now: u64) {
        loop {
            let Some(Some((listener, door))) = self.listeners.get(number) else {
                return;
            };
            let door = *door;
            if !self.server.has_room(door) {
                return self.accept_later(number);
            }
            let stream = match listener.accept() {
                Ok(stream) => stream,
                Err(error) => match error.kind() {
                    ErrorKind::Interrupted | ErrorKind::ConnectionAborted => continue,
                    ErrorKind::WouldBlock => return,
                    // There is no descriptor left.
                    _ => return self.accept_later(number),
                },
            };
            self.add_client(stream, door, now);
        }
    }

    /// Nobody tells again of those who wait at a listener.
    fn accept_later(&mut self, number: usize) {
        if !self.unaccepted.contains(&number) {
            self.unaccepted.push(number);
        }
    }

    fn add_client(&mut self, stream: Stream, door: Door, now: u64) {
        let is_stranger = matches!(&stream, Stream::Unix(stream) if !is_trusted(stream));
        if door == Door::Private && is_stranger {
            return;
        }
        let Some(id) = self.server.handle_accepted(door, now) else {
            return;
        };
        let key = key_of(id);
        match Socket::register(stream, Token(CLIENT_BIT | key), self.poll.registry()) {
            Ok(socket) => {
                self.clients.insert(key, (id, socket));
                self.unread.push(key);
            }
            Err(_) => self.server.handle_reset(id, now),
        }
    }

    fn read_clients(&mut self, now: u64) {
        for key in std::mem::take(&mut self.unread) {
            for _ in 0..READS_PER_TURN_MAX {
                if !self.read(key, now) {
                    break;
                }
            }
            if let Some((id, socket)) = self.clients.get(&key)
                && socket.is_readable
                && self.server.wants_input(*id)
            {
                self.unread.push(key);
            }
        }
    }

    /// Reads once from a client. False if there is no more for now.
    fn read(&mut self, key: usize, now: u64) -> bool {
        let Some((id, socket)) = self.clients.get_mut(&key) else {
            return false;
        };
        let id = *id;
        if !socket.is_readable || !self.server.wants_input(id) {
            return false;
        }
        match socket.receive(&mut self.buffer) {
            Received::Bytes(read) => self.server.handle_input(id, &self.buffer[..read], now),
            Received::Nothing => return false,
            Received::End => self.server.handle_end(id, now),
            Received::Reset => self.server.handle_reset(id, now),
        }
        // What it has to be told is written when all effects are done.
        true
    }

    /// Writes to a client what it takes, and closes its connection if it is over.
    fn write(&mut self, id: ClientId, now: u64) {
        let key = key_of(id);
        loop {
            let Some((_, socket)) = self.clients.get_mut(&key) else {
                return;
            };
            let output = self.server.output(id);
            if output.is_empty() {
                socket.ask_for_room(false, Token(CLIENT_BIT | key), self.poll.registry());
                break;
            }
            match socket.send(output) {
                Some(0) => {
                    socket.ask_for_room(true, Token(CLIENT_BIT | key), self.poll.registry());
                    break;
                }
                Some(written) => self.server.advance_output(id, written, now),
                None => {
                    self.server.handle_reset(id, now);
                    break;
                }
            }
        }
        if self.server.wants_shutdown(id)
            && let Some((_, socket)) = self.clients.get_mut(&key)
        {
            socket.shut_down();
        }
        if self.server.take_over(id, now) {
            self.clients.remove(&key);
        } else if let Some((_, socket)) = self.clients.get(&key)
            && socket.is_readable
            && !self.unread.contains(&key)
        {
            // What it has sent may be wanted now.
            self.unread.push(key);
        }
    }

    fn step_programs(&mut self, is_silent: bool, now: u64) {
        let due = |(number, (_, running)): (&usize, &(DeploymentId, Running))| {
            (running.wait_ms(now) == Some(0)).then_some(*number)
        };
        let due: Vec<usize> = match is_silent {
            true => self.programs.keys().copied().collect(),
            false => self.programs.iter().filter_map(due).collect(),
        };
        for number in due {
            if let Some((_, running)) = self.programs.get_mut(&number) {
                running.step(is_silent, &mut self.session_buffer);
                self.take_outcomes(number, now);
            }
        }
    }

    fn take_outcomes(&mut self, number: usize, now: u64) {
        loop {
            let Some((id, running)) = self.programs.get_mut(&number) else {
                return;
            };
            let (id, fingerprint) = (*id, running.fingerprint);
            let Some(outcome) = running.poll_outcome() else {
                break;
            };
            match outcome {
                Outcome::Answer(call, answer) => self.server.handle_answer(call, answer, now),
                Outcome::Loaded => {
                    let (manifest, text) = (running.manifest.clone(), running.text.clone());
                    self.server
                        .handle_loaded(id, (&manifest, &text), fingerprint, now);
                }
                Outcome::Failed(error) => self.server.handle_load_failed(id, fingerprint, error, now),
                Outcome::Pool(pool, state) => self.server.handle_pool_state(id, pool, state, now),
                Outcome::Told(call, Event::Note { pool, note, .. }) => {
                    self.server.handle_note(id, call, &pool, &note, now);
                }
                Outcome::Told(_, Event::Printed { bytes, .. }) => self.server.handle_printed(id, &bytes),
            }
        }
        let is_finished = self
            .programs
            .get(&number)
            .is_some_and(|(_, running)| running.is_finished());
        if is_finished && let Some((id, running)) = self.programs.remove(&number) {
            let own = self.own_children(Some(number));
            running.close(&own);
            self.numbers.remove(&id);
            self.server.handle_unloaded(id, now);
        }
    }

    /// Does what the server wants done, until it wants nothing more.
    fn settle(&mut self) -> Result<()> {
        let now = now_ms();
        loop {
            if let Some(effect) = self.server.poll_effect() {
                self.perform(effect, now);
            } else if let Some(id) = self.server.poll_client() {
                self.write(id, now);
            } else {
                self.log.flush();
                return Ok(());
            }
        }
    }

    fn load(&mut self, id: DeploymentId, source: &str, is_lazy: bool, now: u64) {
        let (path, loaded) = (self.load)(source);
        let fingerprint = fingerprint(&path);
        self.watch_source(&path, source);
        let loaded = match loaded {
            Ok(loaded) => loaded,
            Err(error) => return self.server.handle_load_failed(id, fingerprint, error, now),
        };
        let number = self.next_number();
        let mark = PROGRAM_BIT | number << MARK_SHIFT;
        let polling = Polling::Shared(Rc::clone(&self.registry), mark);
        let mut running = Running::new(loaded, &path, fingerprint, polling);
        match is_lazy {
            true => running.serve_lazily(&self.pools, now),
            false => running.start(now),
        }
        self.numbers.insert(id, number);
        let (manifest, text) = (running.manifest.clone(), running.text.clone());
        self.programs.insert(number, (id, running));
        if is_lazy {
            self.server
                .handle_loaded(id, (&manifest, &text), fingerprint, now);
        }
        self.take_outcomes(number, now);
    }

    /// A number that no program has.
    fn next_number(&mut self) -> usize {
        loop {
            let number = self.next_number;
            self.next_number = (number + 1) % NUMBERS;
            if !self.programs.contains(&number) {
                return number;
            }
        }
    }

    fn watch_source(&mut self, path: &Path, source: &str) {
        let directory = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        if !self
            .watched
            .iter()
            .any(|(_, watched, of)| watched == path && of == source)
            && let Ok(number) = self.watch.add(directory)
        {
            self.watched
                .push((number, path.to_path_buf(), source.to_string()));
        }
    }

    /// Whoever asked for the end is told so.
    fn flush_last(&mut self) {
        let now = now_ms();
        let ids: Vec<ClientId> = self.clients.values().map(|(id, _)| *id).collect();
        for id in ids {
            self.write(id, now);
        }
    }
}

/// No two clients have the same at once.
fn key_of(id: ClientId) -> usize {
    (id.raw() & 0xffff_ffff) as usize
}

/// Changes with a file: by its place, its size and when it was written.
fn fingerprint(path: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let Ok(metadata) = std::fs::metadata(path) else {
        return 0;
    };
    let parts = [
        metadata.ino(),
        metadata.size(),
        metadata.mtime() as u64,
        metadata.mtime_nsec() as u64,
    ];
    // FNV-1a, over words.
    parts.iter().fold(0xcbf2_9ce4_8422_2325, |hash, part| {
        (hash ^ part).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// What is said before the loop runs, or seldom. If nobody takes it, there is nobody to tell.
fn say(line: &str) {
    let _ = std::io::stderr().lock().write_all(format!("{line}\n").as_bytes());
}
