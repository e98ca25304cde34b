//! The side of flows that has descriptors: listening sockets and watched files of nodes, connections to other servers, the store.
//! Decides nothing.

use super::asking::{Asking, Heard};
use super::fetching::{Came, Fetching};
use super::names;
use super::store::Stored;
use super::{FETCH_BIT, Host, Listener};
use crate::error::{Error, Kind, Result};
use crate::flow::engine::TaskId;
use crate::flow::http::dns::lookup::Lookup;
use crate::flow::kinds::node::Service;
use crate::flow::value::Value;
use crate::map::Map;
use crate::serve::server::Door;
use crate::sys::inotify::Change;
use mio::Token;
use mio::net::TcpListener;
use std::cell::Cell;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::rc::Rc;

/// What the server has open for flows.
#[derive(Default)]
pub struct FlowSide {
    /// By numbers that no two have at once.
    fetches: Map<usize, (TaskId, Way)>,
    next_fetch: u32,
    watches: Vec<Watched>,
    /// What is served of nodes and values, if any is.
    pub(super) store: Option<Stored>,
    /// Where tests are counted: all, and those that failed.
    pub(super) counts: Option<Rc<Cell<(u32, u32)>>>,
    /// Connections that have more than a turn takes.
    unmoved: Vec<usize>,
}

/// How far a connection to another server is.
enum Way {
    /// Nobody has said yet where it is.
    Asking(Box<Asking>),
    Connected(Fetching),
}

/// A file or folder that a node watches.
struct Watched {
    source: u64,
    /// The folder, or that of the file.
    directory: i32,
    path: PathBuf,
    /// The name of the file in it; none: every one.
    name: Option<OsString>,
}

/// Reads and writes in one turn for a connection to another server: one that is fast doesn't keep the others waiting.
const MOVES_PER_TURN_MAX: usize = 64;

impl Host<'_> {
    pub(super) fn open_source(&mut self, source: u64, service: &Service, now: u64) {
        let opened = match service {
            Service::Listener { host, port, .. } => self.open_listener(source, host, *port),
            Service::Watch { path } => self.open_watch(source, path),
            // The engine does that itself.
            Service::Timer { .. } => return,
        };
        self.server.handle_opened(source, opened, now);
    }

    fn open_listener(&mut self, source: u64, host: &str, port: u16) -> Result<u16> {
        let refused = |what: String| {
            let message = format!("can't listen on {host}:{port}: {what}");
            Error::new(Kind::Io, message)
        };
        let addresses = names::known(host);
        let mut last = "it is not in /etc/hosts, where names to listen at have to be".to_string();
        for address in addresses {
            match TcpListener::bind(SocketAddr::new(address, port)) {
                Ok(listener) => {
                    let port = listener.local_addr().map_or(port, |address| address.port());
                    self.add_listener(Listener::Tcp(listener), Door::Flow(source))?;
                    return Ok(port);
                }
                Err(error) => last = reason(&error),
            }
        }
        Err(refused(last).hint("choose another port, or end what listens there"))
    }

    fn open_watch(&mut self, source: u64, path: &str) -> Result<u16> {
        let path = std::path::absolute(path).unwrap_or_else(|_| PathBuf::from(path));
        let (directory, name) = match path.is_dir() {
            true => (path.clone(), None),
            false => (
                path.parent().map_or_else(|| PathBuf::from("/"), PathBuf::from),
                path.file_name().map(OsString::from),
            ),
        };
        let number = self.watch.add(&directory).map_err(|error| {
            let message = format!("can't watch {}: {}", directory.display(), reason(&error));
            Error::new(Kind::Io, message)
        })?;
        self.flows.watches.push(Watched {
            source,
            directory: number,
            path: directory,
            name,
        });
        Ok(0)
    }

    pub(super) fn close_source(&mut self, source: u64) {
        for place in &mut self.listeners {
            if matches!(place, Some((_, Door::Flow(of))) if *of == source) {
                // Dropping it closes it, which takes it out of the poll.
                *place = None;
            }
        }
        let watches = &mut self.flows.watches;
        let Some(place) = watches.iter().position(|watched| watched.source == source) else {
            return;
        };
        let directory = watches.swap_remove(place).directory;
        let is_used = watches.iter().any(|other| other.directory == directory)
            || self.watched.iter().any(|(other, _, _)| *other == directory);
        if !is_used {
            self.watch.remove(directory);
        }
    }

    /// Something has changed in a directory that is watched.
    pub(super) fn take_watched(&mut self, change: &Change, now: u64) {
        let mut told = Vec::new();
        for watched in &self.flows.watches {
            let is_meant = watched.name.as_ref().is_none_or(|name| *name == change.name);
            if watched.directory == change.directory && is_meant && !change.name.is_empty() {
                let path = watched.path.join(&change.name);
                let op = if path.exists() { "write" } else { "remove" };
                let packet = Value::map([
                    ("path", Value::str(&path.to_string_lossy())),
                    ("op", Value::str(op)),
                ]);
                told.push((watched.source, packet));
            }
        }
        for (source, packet) in told {
            self.server.handle_watched(source, packet, now);
        }
        if change.name.is_empty() {
            self.lose_watched(change.directory, now);
        }
    }

    /// Nothing more is heard of a directory that is gone: it is told of, and tried again when the namespace changes.
    fn lose_watched(&mut self, directory: i32, now: u64) {
        let is_lost = |watched: &mut Watched| watched.directory == directory && !watched.path.is_dir();
        let lost: Vec<Watched> = self.flows.watches.extract_if(.., is_lost).collect();
        if !lost.is_empty() && !self.watched.iter().any(|(other, _, _)| *other == directory) {
            self.watch.remove(directory);
        }
        for watched in lost {
            let message = format!("the watched folder {} is gone", watched.path.display());
            let error = Error::new(Kind::Io, message).hint("make it again, and change any node");
            self.server.handle_opened(watched.source, Err(error), now);
        }
    }

    pub(super) fn connect(&mut self, task: TaskId, host: &str, port: u16, now: u64) {
        let key = loop {
            self.flows.next_fetch = self.flows.next_fetch.wrapping_add(1);
            let key = self.flows.next_fetch as usize;
            if !self.flows.fetches.contains(&key) {
                break key;
            }
        };
        let token = Token(FETCH_BIT | key);
        let known = names::known(host);
        if !known.is_empty() {
            let known = known.into_iter().map(|address| SocketAddr::new(address, port));
            return self.connect_to(key, task, known.collect(), now);
        }
        match Lookup::new(host, names::servers()) {
            Ok(lookup) => {
                let asking = Box::new(Asking::new(lookup, port, token));
                self.flows.fetches.insert(key, (task, Way::Asking(asking)));
                self.step_fetch(key, now);
            }
            Err((kind, what)) => self.server.handle_fetch_failed(task, kind, &what, now),
        }
    }

    fn connect_to(&mut self, key: usize, task: TaskId, addresses: Vec<SocketAddr>, now: u64) {
        match Fetching::connect(addresses, Token(FETCH_BIT | key), self.poll.registry()) {
            Ok(fetching) => drop(self.flows.fetches.insert(key, (task, Way::Connected(fetching)))),
            Err(error) => {
                self.flows.fetches.remove(&key);
                self.server
                    .handle_fetch_failed(task, Kind::Io, &error.to_string(), now);
            }
        }
    }

    pub(super) fn disconnect(&mut self, task: TaskId) {
        let of_task = |(key, (of, _)): (&usize, &(TaskId, Way))| (*of == task).then_some(*key);
        let found = self.flows.fetches.iter().find_map(of_task);
        if let Some(key) = found {
            self.flows.fetches.remove(&key);
        }
    }

    /// Carries what goes without waiting between the server and another one.
    pub(super) fn step_fetch(&mut self, key: usize, now: u64) {
        for _ in 0..MOVES_PER_TURN_MAX {
            let Some((task, way)) = self.flows.fetches.get_mut(&key) else {
                return;
            };
            let task = *task;
            let fetching = match way {
                Way::Connected(fetching) => fetching,
                Way::Asking(asking) => match asking.step(&mut self.buffer, self.poll.registry(), now) {
                    Heard::Something => continue,
                    Heard::Nothing => return,
                    Heard::Found(addresses) => return self.connect_to(key, task, addresses, now),
                    Heard::Failed((kind, what)) => {
                        self.flows.fetches.remove(&key);
                        return self.server.handle_fetch_failed(task, kind, &what, now);
                    }
                },
            };
            let output = self.server.fetch_output(task);
            match fetching.step(output, &mut self.buffer, self.poll.registry()) {
                Came::Nothing => return,
                Came::Written(written) => self.server.advance_fetch(task, written),
                Came::Bytes(read) => {
                    let bytes = self.buffer.get(..read).unwrap_or_default();
                    self.server.handle_fetched(task, bytes, now);
                }
                Came::End => {
                    self.flows.fetches.remove(&key);
                    return self.server.handle_fetched(task, &[], now);
                }
                Came::Failed(what) => {
                    self.flows.fetches.remove(&key);
                    return self.server.handle_fetch_failed(task, Kind::Io, &what, now);
                }
            }
        }
        // The poll tells only of what is new.
        self.flows.unmoved.push(key);
    }

    /// Goes on with connections that had more than a turn takes, and with searches for hosts whose time has come.
    pub(super) fn step_fetches(&mut self, now: u64) {
        let mut keys = std::mem::take(&mut self.flows.unmoved);
        let due = self.flows.lookups().filter(|(_, due)| *due <= now);
        keys.extend(due.map(|(key, _)| key));
        for key in keys {
            self.step_fetch(key, now);
        }
    }

    /// When the next search for a host is to be looked at.
    pub(super) fn lookups_deadline(&self) -> Option<u64> {
        self.flows.lookups().map(|(_, due)| due).min()
    }

    pub(super) fn has_unmoved(&self) -> bool {
        !self.flows.unmoved.is_empty()
    }
}

impl FlowSide {
    /// Searches for hosts that wait, and until when.
    fn lookups(&self) -> impl Iterator<Item = (usize, u64)> {
        self.fetches.iter().filter_map(|(key, (_, way))| match way {
            Way::Asking(asking) => Some((*key, asking.next_deadline()?)),
            Way::Connected(_) => None,
        })
    }
}

/// What the system says, without its number.
pub(super) fn reason(error: &std::io::Error) -> String {
    let mut reason = error.to_string();
    reason.truncate(reason.find(" (os error").unwrap_or(reason.len()));
    reason.to_lowercase()
}
