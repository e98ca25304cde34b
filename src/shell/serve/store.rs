//! The store of nodes and values beside the server: what is in it is told, and what flows ask of it is done. Decides nothing.

use super::scratch::Scratch;
use super::{Host, STORE, say};
use crate::error::{Error, Result};
use crate::flow::shown;
use crate::flow::spec::Object;
use crate::flow::store::Change;
use crate::flow::store::plan::Wish;
use crate::flow::syscall::{Deed, answer_of, deed, sort_of};
use crate::flow::value::Value;
use crate::limits::FLOW_STORE_HELD_MS;
use crate::map::Map;
use crate::serve::server::{IsWanted, StoreAsk, Tested};
use crate::shell::flow_store::FlowStore;
use crate::shell::session::poll_refused;
use mio::Interest;
use mio::unix::SourceFd;
use std::cell::Cell;
use std::io::Write;
use std::os::fd::{AsFd, AsRawFd};
use std::path::PathBuf;
use std::rc::Rc;

/// Where the nodes are that are served.
pub struct FlowPlan {
    /// The directory of the store.
    pub directory: PathBuf,
    /// The one namespace that is served, if it is not all.
    pub namespace: Option<String>,
    /// What templates are replaced by that nobody's env has.
    pub given: Vec<(String, String)>,
    /// The directory goes with the server.
    pub scratch: Option<Scratch>,
}

/// Tests that are run.
pub struct Tests {
    /// Of which namespace.
    pub namespace: String,
    /// Which of them.
    pub is_wanted: IsWanted,
    /// How many were run, and how many of them have failed, is counted here.
    pub counts: Rc<Cell<(u32, u32)>>,
}

/// The store that is served.
pub struct Stored {
    /// All that is served, watched.
    watched: FlowStore,
    /// Those that write, by their namespaces: each looks by itself at what it replaces.
    writers: Map<String, FlowStore>,
    /// Whether its directory was there when it was looked at last.
    is_there: bool,
    /// Files that are not read, of which the log was told.
    strays: Vec<PathBuf>,
    /// Since when it is not looked at, for somebody writes it.
    held_since_ms: Option<u64>,
    _scratch: Option<Scratch>,
}

impl Host<'_> {
    /// Begins to serve a store.
    pub(super) fn serve_store(&mut self, plan: FlowPlan, is_test: bool, now: u64) -> Result<()> {
        let mut watched = FlowStore::new(&plan.directory, plan.namespace.as_deref());
        watched.watch()?;
        let fd = watched.as_fd().as_raw_fd();
        self.poll
            .registry()
            .register(&mut SourceFd(&fd), STORE, Interest::READABLE)
            .map_err(poll_refused("poll the store of flows"))?;
        self.server.give(plan.given, is_test);
        self.flows.store = Some(Stored {
            watched,
            writers: Map::new(),
            is_there: true,
            strays: Vec::new(),
            held_since_ms: None,
            _scratch: plan.scratch,
        });
        if !is_test {
            say(&format!("flows of {}", plan.directory.display()));
        }
        self.look_at_store(now);
        Ok(())
    }

    /// Begins to run tests.
    pub(super) fn test(&mut self, tests: Tests, now: u64) {
        self.flows.counts = Some(tests.counts);
        self.server.test(tests.namespace, tests.is_wanted, now);
    }

    /// Prints how a test went.
    pub(super) fn tell_tested(&mut self, tested: &Tested) {
        let took_ms = tested.took_ms;
        if let Some(counts) = &self.flows.counts {
            let (run, failed) = counts.get();
            counts.set((run + 1, failed + u32::from(tested.error.is_some())));
        }
        let line = match &tested.error {
            None => format!("PASS {} ({took_ms} ms)\n", tested.node),
            Some(error) => {
                format!(
                    "FAIL {} ({took_ms} ms)\n  {}: {error}\n",
                    tested.node,
                    error.kind.name()
                )
            }
        };
        // Who can't read it has the exit code.
        let _ = std::io::stdout().lock().write_all(line.as_bytes());
    }

    /// Something has happened in the store: tells of it once nobody is in the middle of writing, for who changes several nodes
    /// changes them together.
    pub(super) fn hear_store(&mut self, now: u64) {
        let Some(store) = &mut self.flows.store else {
            return;
        };
        match store.watched.handle_events_between_writes() {
            Ok(None) => {
                let since_ms = *store.held_since_ms.get_or_insert(now);
                if now.saturating_sub(since_ms) > FLOW_STORE_HELD_MS {
                    store.held_since_ms = Some(now);
                    self.look_at_store(now);
                }
            }
            Ok(Some(changes)) => {
                store.held_since_ms = None;
                self.take_stored(Ok(changes), now);
            }
            Err(error) => self.take_stored(Err(error), now),
        }
    }

    /// Looks again, if somebody was writing when it was looked at.
    pub(super) fn step_store(&mut self, now: u64) {
        if self.is_store_held() {
            self.hear_store(now);
        }
    }

    pub(super) fn is_store_held(&self) -> bool {
        let store = self.flows.store.as_ref();
        store.is_some_and(|store| store.held_since_ms.is_some())
    }

    /// Tells of what has changed in the store, whoever writes.
    pub(super) fn look_at_store(&mut self, now: u64) {
        if let Some(store) = &mut self.flows.store {
            let changes = store.watched.handle_events();
            self.take_stored(changes, now);
        }
    }

    fn take_stored(&mut self, changes: Result<Vec<Change>>, now: u64) {
        let Some(store) = &mut self.flows.store else {
            return;
        };
        match changes {
            Ok(changes) => {
                for change in changes {
                    self.server.handle_stored_change(change, now);
                }
                store.watched.remember();
                if store.watched.has_open_files() {
                    store.held_since_ms.get_or_insert(now);
                }
                let strays = store.watched.strays();
                for path in strays.iter().filter(|path| !store.strays.contains(path)) {
                    let shown = path.display();
                    let line = format!(
                        "{shown} is not read: nodes are in NAMESPACE/specs of the store, values in NAMESPACE/values"
                    );
                    self.log.add(&line);
                }
                store.strays = strays.to_vec();
                let is_there = store.watched.is_there();
                if std::mem::replace(&mut store.is_there, is_there) != is_there {
                    let shown = store.watched.directory().display();
                    self.log.add(&match is_there {
                        true => format!("the store of flows {shown} is back"),
                        false => format!("the store of flows {shown} is gone, and all nodes with it"),
                    });
                }
            }
            Err(error) => self
                .log
                .add(&format!("the store of flows stays as it was: {error}")),
        }
    }

    /// Does what a flow asks of the store; whoever has asked finds it changed.
    pub(super) fn store(&mut self, ask: StoreAsk, now: u64) {
        let answer = self.perform_in_store(&ask);
        self.look_at_store(now);
        self.server.handle_stored(ask.task, answer, now);
    }

    fn perform_in_store(&mut self, ask: &StoreAsk) -> Result<Value> {
        let Some(store) = &mut self.flows.store else {
            let message = "this server has no store of nodes";
            return Err(Error::new(crate::error::Kind::Unavailable, message));
        };
        let directory = store.watched.directory().to_path_buf();
        let namespace = &*ask.namespace;
        let writer = store.writers.or_insert_with(namespace.to_string(), || {
            FlowStore::new(&directory, Some(namespace)).without_waiting()
        });
        writer.changes()?;
        let (sort, _) = sort_of(&ask.opcode)?;
        let folder = writer.catalog().folder(namespace, sort);
        let known = folder.map(|folder| folder.objects().0).unwrap_or_default();
        let known: Vec<Object> = known.into_iter().map(|(object, _)| object).collect();
        match deed(&ask.opcode, &ask.arg, namespace, &known)? {
            Deed::Answer(value) => Ok(value),
            Deed::Apply {
                sort,
                objects,
                is_list,
            } => {
                let wish = Wish::Apply {
                    objects: &objects,
                    prune: false,
                };
                let plan = writer.write(sort, wish).map_err(shown::first_of)?;
                Ok(answer_of(&plan, is_list))
            }
            Deed::Delete { sort, names, answer } => {
                writer
                    .write(sort, Wish::DeleteNamed(&names))
                    .map_err(shown::first_of)?;
                Ok(answer)
            }
        }
    }
}
