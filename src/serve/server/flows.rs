//! Flows in the server: it gives the engine what comes from outside, and does what the engine wants done, as effects of its own
//! or by calls of its deployments. Opens no socket and no file; what a node does is the engine's.
//!
//! `web` has the requests of listeners, `work` what nodes ask for, `commands` what they can call, `admitting` the way of changes to the
//! engine, `look` what people ask of flows, `standing` what the log is told of nodes.

mod admitting;
mod commands;
#[cfg(test)]
mod invariants;
mod look;
mod standing;
mod testing;
mod web;
mod work;

pub use testing::{IsWanted, Tested};
pub(super) use web::Stalled;
pub use work::StoreAsk;
pub(super) use work::{Asker, FlowArgs};

use self::work::Task;
use super::{Client, ClientId, Door, Effect, Server, Wire};
use crate::core::deadlines::Due;
use crate::error::{Error, Kind, Result};
use crate::flow::admission::Admission;
use crate::flow::engine::{Change, Effect as Wanted, Engine, RunId, Start, TaskId};
use crate::flow::graph::status::State as Standing;
use crate::flow::http::Names;
use crate::flow::kinds::node::{Known, Service};
use crate::flow::spec::secrets::Secrets;
use crate::flow::store;
use crate::flow::supply::Supply;
use crate::flow::value::Value;
use crate::limits::{FLOW_FRAMES_PER_STEP, FLOW_STEPS_PER_TURN};
use crate::map::Map;
use crate::serve::deployment::Name;
use crate::serve::http::Request;
use crate::serve::metrics::SeriesId;
use std::collections::VecDeque;
use std::rc::Rc;

/// All of the server that belongs to flows.
#[derive(Default)]
pub(super) struct Flows {
    pub(super) engine: Engine,
    /// Changes that the engine doesn't have yet.
    admission: Admission,
    /// Namespaces that have had nodes.
    namespaces: Vec<Rc<str>>,
    sources: Vec<Source>,
    /// Namespaces that have changed, whose sources are tried again that could not be opened.
    retried: Vec<Rc<str>>,
    next_source: u64,
    /// Requests that wait for the answers of their runs.
    waiting: Map<RunId, Waiting>,
    tasks: Map<TaskId, Task>,
    /// Clients whose requests wait until another run of the namespace may begin, in the order in which they came.
    stalled: Map<Rc<str>, VecDeque<ClientId>>,
    /// Other commands may be served than the engine knows of.
    has_new_commands: bool,
    /// There is more to do without anything from outside.
    is_busy: bool,
    /// The server ends, and runs have until then.
    pub(super) ends_at: Due,
    looking: look::Looking,
    standings: standing::Standings,
    /// Texts of packets.
    names: Names,
    /// What is stored.
    pub(super) supply: Supply,
    testing: testing::Testing,
}

/// Who waits for a run.
enum Waiting {
    /// A client of a listener.
    Web {
        client: ClientId,
        namespace: Rc<str>,
        request: Box<Request>,
        series: SeriesId,
        begun_ms: u64,
    },
    /// Nobody: a change of a file began it.
    Nobody { namespace: Rc<str>, node: Rc<str> },
    /// Whoever runs tests.
    Test { node: Rc<str>, begun_ms: u64 },
}

/// What starts runs: a listening socket or a watched file.
struct Source {
    id: u64,
    namespace: Rc<str>,
    node: Rc<str>,
    service: Service,
    state: State,
    /// Its node is not active any more, or is built again.
    is_closing: bool,
    /// What the log was told of it last.
    told: String,
    /// Where the runs are counted that it begins.
    series: Option<SeriesId>,
}

enum State {
    /// The shell was asked to open it.
    Asked,
    Open,
    Failed(Rc<Error>),
}

impl Flows {
    /// What is hidden in what a deployment prints: snippets of all namespaces run in the server's own.
    pub(super) fn secrets_of(&self, name: &Name) -> Option<&Secrets> {
        name.is_own().then(|| self.supply.all_secrets())
    }
}

impl Server {
    /// What templates are replaced by that nobody's env has, and whether nodes that start runs by themselves are left out.
    pub fn give(&mut self, given: Vec<(String, String)>, is_without_sources: bool) {
        self.flows.supply.given = given;
        self.flows.supply.is_without_sources = is_without_sources;
    }

    /// The store is another.
    pub fn handle_stored_change(&mut self, change: store::Change, now_ms: u64) {
        let namespace = Rc::clone(&change.namespace);
        for error in &change.errors {
            let line = self
                .flows
                .supply
                .secrets(&namespace)
                .mask(&error.to_string())
                .into_owned();
            self.effects.push_back(Effect::Log(line));
        }
        let changes = self.flows.supply.take(change);
        self.admit(&namespace, changes, now_ms);
        self.settle(now_ms);
    }

    /// Nodes of a namespace are there, are others, or are gone: all at once. Sources that could not be opened are tried again.
    fn handle_nodes(&mut self, namespace: &Rc<str>, changes: Vec<Change>, now_ms: u64) {
        let engine = &mut self.flows.engine;
        let (changed, missed) = commands::of(&self.deployments, &self.programs)
            .with_known(|known| engine.handle_change(namespace, changes, known, now_ms));
        self.want_programs(&missed, now_ms);
        if let Err(error) = changed {
            let line = format!("{namespace}: {error}");
            self.effects.push_back(Effect::Log(line));
        }
        self.flows.standings.touch(namespace);
        // What the change has closed is closed before.
        self.flows.retried.push(namespace.clone());
    }

    /// Tries sources again that could not be opened.
    fn open_failed(&mut self, is_meant: impl Fn(&Source) -> bool) {
        for source in &mut self.flows.sources {
            if matches!(source.state, State::Failed(_)) && !source.is_closing && is_meant(source) {
                source.state = State::Asked;
                self.effects.push_back(open(source));
            }
        }
    }

    /// A source is open (a listener at that port), or can't be.
    pub fn handle_opened(&mut self, source: u64, opened: Result<u16>, now_ms: u64) {
        let found = self.flows.sources.iter_mut().find(|known| known.id == source);
        if let Some(found) = found {
            let line = match &opened {
                Ok(port) => match &found.service {
                    Service::Listener { host, .. } => {
                        format!(
                            "{}/{} listens on http://{host}:{port}",
                            found.namespace, found.node
                        )
                    }
                    _ => format!("{}/{} is watching", found.namespace, found.node),
                },
                Err(error) => format!("{}/{} failed: {error}", found.namespace, found.node),
            };
            let line = self
                .flows
                .supply
                .secrets(&found.namespace)
                .mask(&line)
                .into_owned();
            // One that is tried again with each change of its namespace fails as before.
            if found.told != line {
                self.effects.push_back(Effect::Log(line.clone()));
                found.told = line;
            }
            found.state = match opened {
                Ok(_) => State::Open,
                Err(error) => State::Failed(error.into()),
            };
        }
        self.settle(now_ms);
    }

    /// What a source watches has changed.
    pub fn handle_watched(&mut self, source: u64, packet: Value, now_ms: u64) {
        let found = self.flows.sources.iter().find(|known| known.id == source);
        if let Some(found) = found.filter(|found| !found.is_closing) {
            let (namespace, node) = (Rc::clone(&found.namespace), Rc::clone(&found.node));
            let begun = self
                .flows
                .engine
                .begin(&namespace, &node, Start::Out(packet), None, now_ms);
            match begun {
                Ok(run) => drop(
                    self.flows
                        .waiting
                        .insert(run, Waiting::Nobody { namespace, node }),
                ),
                Err(error) => {
                    let line = format!("{namespace}/{node}: a change is not told: {error}");
                    self.effects.push_back(Effect::Log(line));
                }
            }
        }
        self.settle(now_ms);
    }

    /// Goes on with runs as far as one turn allows. True if deployments were asked for something, or runs may go on at once.
    pub(super) fn drive_flows(&mut self, now_ms: u64) -> bool {
        if self.flows.namespaces.is_empty() {
            return self.step_tests(now_ms);
        }
        let mut has_moved = self.go_on_admitting(now_ms);
        for _ in 0..FLOW_STEPS_PER_TURN {
            self.flows.is_busy = self.flows.engine.step(FLOW_FRAMES_PER_STEP, now_ms);
            while let Some(wanted) = self.flows.engine.poll_effect() {
                has_moved = true;
                self.take_wanted(wanted, now_ms);
            }
            let mut is_answered = false;
            while let Some((run, outcome)) = self.flows.engine.poll_answer() {
                is_answered = true;
                self.end_run(run, outcome, now_ms);
            }
            // A client that is answered may have asked for more already.
            if !is_answered && !self.flows.is_busy {
                break;
            }
        }
        self.tell_standings();
        self.close_sources(now_ms);
        for namespace in std::mem::take(&mut self.flows.retried) {
            self.open_failed(|source| source.namespace == namespace);
        }
        has_moved |= self.resume_stalled(now_ms);
        self.tell_stops();
        has_moved |= self.step_tests(now_ms);
        if self.flows.ends_at.is_some() && self.has_no_runs() {
            // Nothing else may tell of it: nobody waits for runs of forks and timers.
            self.end_flows(now_ms);
            has_moved = true;
        }
        has_moved
    }

    fn take_wanted(&mut self, wanted: Wanted, now_ms: u64) {
        match wanted {
            Wanted::Open {
                namespace,
                node,
                service,
            } => self.open_source(namespace, node, service, now_ms),
            Wanted::Close { namespace, node } => {
                let sources = self.flows.sources.iter_mut();
                for source in sources.filter(|source| source.namespace == namespace && source.node == node) {
                    source.is_closing = true;
                }
            }
            Wanted::Failed {
                namespace,
                node,
                run,
                error,
            } => {
                self.tell_failed((&namespace, &node), run, &error);
            }
            Wanted::Do {
                task,
                run,
                namespace,
                work,
                deadline_ms,
                ..
            } => self.do_work(task, (run, namespace), work, deadline_ms, now_ms),
            Wanted::Undo(task) => self.undo(task, now_ms),
            Wanted::RunEnded { task, run, is_ok } => self.end_transaction(task, run, is_ok, now_ms),
        }
    }

    /// Tells of a run that has failed, for which nobody waits.
    fn tell_failed(&mut self, (namespace, node): (&str, &str), run: RunId, error: &Error) {
        let text = error.to_string();
        let secrets = self.flows.supply.secrets(namespace);
        let line = format!("{namespace}/{node}: run {} failed: {}", run, secrets.mask(&text));
        self.effects.push_back(Effect::Log(line));
    }

    fn open_source(&mut self, namespace: Rc<str>, node: Rc<str>, service: Service, now_ms: u64) {
        if matches!(service, Service::Timer { .. }) {
            return;
        }
        // One that was built again goes on where it was.
        let mut sources = self.flows.sources.iter_mut();
        let same = sources.find(|source| {
            source.is_closing
                && source.service == service
                && source.namespace == namespace
                && source.node == node
        });
        if let Some(same) = same {
            same.is_closing = false;
            return;
        }
        // Another may have the port, and is closed first.
        self.close_sources(now_ms);
        self.flows.next_source += 1;
        let source = Source {
            id: self.flows.next_source,
            namespace,
            node,
            service,
            state: State::Asked,
            is_closing: false,
            told: String::new(),
            series: None,
        };
        self.effects.push_back(open(&source));
        self.flows.sources.push(source);
    }

    /// Closes what nobody has opened again. Its clients hear what they have asked for, and come to whoever has the port then.
    fn close_sources(&mut self, now_ms: u64) {
        if !self.flows.sources.iter().any(|source| source.is_closing) {
            return;
        }
        let closing = self.flows.sources.extract_if(.., |source| source.is_closing);
        #[cfg(test)]
        let closing = closing.filter(|_| self.planted != Some(super::Bug::KeepSource));
        let closing = closing.filter(|source| !matches!(source.state, State::Failed(_)));
        let closed: Vec<u64> = closing.map(|source| source.id).collect();
        if closed.is_empty() {
            return;
        }
        let effects = closed.iter().map(|source| Effect::CloseSource(*source));
        self.effects.extend(effects);
        let of_closed =
            |client: &Client| matches!(client.door, Door::Flow(source) if closed.contains(&source));
        let clients = self.clients.iter();
        let clients: Vec<ClientId> = clients
            .filter(|(_, client)| of_closed(client))
            .map(|(id, _)| id)
            .collect();
        for id in clients {
            if let Some(Wire::Web(wire)) = self.clients.get_mut(id).map(|client| &mut client.wire) {
                wire.drain(now_ms);
            }
            self.serve(id, now_ms);
        }
        // One of another namespace may have waited for the port.
        self.open_failed(|_| true);
    }

    /// When something of flows is due.
    pub(super) fn flows_deadline(&self) -> Due {
        if self.flows.namespaces.is_empty() {
            return None;
        }
        if self.flows.is_busy {
            return Some(0);
        }
        let dues = [
            self.flows.engine.next_deadline(),
            self.flows.ends_at,
            self.flows.admission.next_deadline(),
            self.fetches_deadline(),
        ];
        dues.into_iter().flatten().min()
    }

    /// Time has passed.
    pub(super) fn time_flows(&mut self, now_ms: u64) {
        if self.flows.namespaces.is_empty() {
            return;
        }
        self.flows.engine.handle_timeout(now_ms);
        self.flows.admission.handle_timeout(now_ms);
        self.time_fetches(now_ms);
        if self.flows.ends_at.is_some_and(|ends_at| ends_at <= now_ms) {
            self.cancel_runs(now_ms);
            // Those that are left wait for their transactions, which end with the program that has them.
            self.end_flows(now_ms);
        }
    }

    /// The server ends: no run begins any more, those that go on have the grace to end. False if there are none.
    pub(super) fn drain_flows(&mut self, now_ms: u64) -> bool {
        let known = Known {
            is_command: &|_| false,
            missing: &|_, _| None,
        };
        for namespace in &self.flows.namespaces {
            let engine = &mut self.flows.engine;
            let nodes = engine.status(namespace).into_iter();
            let gone = nodes.map(|status| Change::Remove(status.spec.name.clone()));
            // Runs keep the nodes on which they began.
            let _ = engine.handle_change(namespace, gone.collect(), &known, now_ms);
        }
        for source in &mut self.flows.sources {
            source.is_closing = true;
        }
        self.close_sources(now_ms);
        self.stop_admitting(now_ms);
        if self.has_no_runs() {
            return false;
        }
        let grace_ms = self.config.grace_ms;
        #[cfg(test)]
        let grace_ms = if self.has(super::Bug::EndlessGrace) {
            1_000_000
        } else {
            grace_ms
        };
        self.flows.ends_at = Some(now_ms.saturating_add(grace_ms));
        true
    }

    /// All runs are over, or have had their grace: now the programs end that they have called.
    fn end_flows(&mut self, now_ms: u64) {
        let left_ms = self.flows.ends_at.take().unwrap_or(now_ms).saturating_sub(now_ms);
        self.deployments.drain(left_ms, now_ms);
    }

    /// Gives up every run.
    pub(super) fn cancel_runs(&mut self, now_ms: u64) {
        let engine = &mut self.flows.engine;
        let namespaces = self.flows.namespaces.iter();
        let runs: Vec<RunId> = namespaces
            .flat_map(|namespace| engine.processes(namespace).map(|process| process.run))
            .collect();
        for run in runs {
            let error = Error::new(Kind::Cancelled, "the server is ending");
            engine.cancel(run, error.into(), now_ms);
        }
    }

    /// How many nodes there are in each state, as monitors want it.
    pub(super) fn write_nodes(&self, out: &mut String) {
        if self.flows.namespaces.is_empty() {
            return;
        }
        out.push_str("# HELP nexus_flow_nodes Nodes of flows by state.\n# TYPE nexus_flow_nodes gauge\n");
        for namespace in &self.flows.namespaces {
            let mut counts = [("active", 0), ("waiting", 0), ("failed", 0)];
            for status in self.flows.engine.status(namespace) {
                let place = match status.state {
                    Standing::Active => 0,
                    Standing::Waiting(_) => 1,
                    Standing::Failed(_) => 2,
                };
                counts[place].1 += 1;
            }
            for (state, count) in counts {
                let line =
                    format!("nexus_flow_nodes{{namespace=\"{namespace}\",state=\"{state}\"}} {count}\n");
                out.push_str(&line);
            }
        }
    }

    /// Whether no run goes on.
    pub(super) fn has_no_runs(&self) -> bool {
        let mut namespaces = self.flows.namespaces.iter();
        namespaces.all(|namespace| self.flows.engine.processes(namespace).next().is_none())
    }
}

fn open(source: &Source) -> Effect {
    Effect::OpenSource {
        source: source.id,
        service: source.service.clone(),
    }
}
