//! The server: its clients, the calls that they make and the deployments that those go to, as one state machine. `handle_*`
//! takes events in with the time, `poll_*` gives effects out. Opens no socket, loads no program and reads no clock.
//!
//! What it does stands in its siblings: `calls` (a call from its request to its answer), `web` (what comes over HTTP),
//! `tools` (from assistants), `private` (over the private socket), `operate` (what operators ask for), `describe` (what there
//! is to call), `packages` (what was uploaded), `journal` (logs).

mod calls;
mod describe;
mod effect;
mod flows;
mod journal;
mod operate;
mod packages;
mod private;
#[cfg(test)]
mod simulation;
mod tools;
mod web;

#[cfg(test)]
use self::simulation::Bug;

pub use effect::Effect;
pub use flows::{IsWanted, StoreAsk, Tested};
pub use operate::{PoolInfo, ProcessInfo, name_of_source};

use self::calls::Call;
use self::flows::{Flows, Stalled};
use self::journal::Journal;
use self::operate::Asking;
use self::packages::Packages;
use self::tools::Assistants;
use super::api::Settings;
use super::deployment::{DeploymentId, Deployments, Name, Notice, PoolState, Start};
use super::{deployment, http, rpc};
use crate::core::deadlines::{Deadlines, sooner};
use crate::core::hub::Note;
use crate::core::slab::{Key, Slab};
use crate::error::{Error, Kind, Result};
use crate::flow::engine::RunId;
use crate::ids::PoolId;
use crate::limits::{CLIENTS_MAX, OPERATORS_MAX};
use crate::manifest::model::Manifest;
use crate::map::Map;
use crate::serve::metrics::{Metrics, SeriesId};
use std::borrow::Cow;
use std::collections::VecDeque;
use std::rc::Rc;

/// A connection of a client.
pub type ClientId = Key<Client>;

/// A call that is open.
pub type CallId = Key<Call>;

/// How the server is set up.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// What is said of callers over HTTP.
    pub settings: Settings,
    /// What callers over HTTP have to know; none: nobody is asked, and nobody operates the server over HTTP.
    pub token: Option<String>,
    /// How each request is told of in the log.
    pub access: Access,
    /// What calls have to end when the server ends, in milliseconds.
    pub grace_ms: u64,
    /// Chance, for names that nobody may guess; none: no assistants are served.
    pub random: Option<fn() -> [u8; 16]>,
    /// How long a call may take if its request does not say, in milliseconds.
    pub timeout_ms: u64,
    /// Tells this server's requests from those of others.
    pub mark: String,
    /// How long it goes on without a client, in milliseconds; none: for ever. Such a server also ends when what it serves has
    /// changed: whoever comes then starts another.
    pub idle_ms: Option<u64>,
}

/// How requests are told of in the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Access {
    /// They are not.
    #[default]
    None,
    /// A line of text each.
    Text,
    /// A line of JSON each.
    Json,
}

/// Where a client comes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    /// HTTP.
    Web,
    /// The private socket, which only the server's own user can open.
    Private,
    /// HTTP, at the listener of a flow: the source of that number.
    Flow(u64),
}

/// A connection.
pub struct Client {
    wire: Wire,
    /// Calls that wait for their answers.
    calls: Vec<CallId>,
    is_listed: bool,
    due: Option<u64>,
    door: Door,
    /// The run of the request under way, at a flow's listener.
    run: Option<RunId>,
    /// Its request, until a run may begin.
    stalled: Option<Box<Stalled>>,
}

enum Wire {
    Web(Box<http::Connection>),
    Private(Box<rpc::Connection>),
}

/// What is loaded, by its generation.
type Programs = Map<DeploymentId, Program>;

/// A program that is loaded.
struct Program {
    name: Name,
    manifest: Rc<Manifest>,
    /// The manifest's text.
    text: Rc<[u8]>,
    /// Where calls of its commands are counted, of those that were called.
    series: Map<usize, SeriesId>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    Client(ClientId),
    Call(CallId),
    Stalled(ClientId),
}

/// The state machine.
pub struct Server {
    config: Config,
    clients: Slab<Client>,
    calls: Slab<Call>,
    deployments: Deployments,
    programs: Programs,
    flows: Flows,
    deadlines: Deadlines<Timer>,
    effects: VecDeque<Effect>,
    /// Clients that have something to be written or to be closed.
    listed: VecDeque<ClientId>,
    journal: Journal,
    /// Those who wait for what operators asked for.
    asking: Asking,
    packages: Packages,
    assistants: Assistants,
    metrics: Metrics,
    begun_ms: u64,
    /// How many requests there were, for their ids.
    requests: u64,
    /// Since when there is no client.
    idle_since_ms: u64,
    is_ending: bool,
    /// Plants a bug for the simulation to find.
    #[cfg(test)]
    planted: Option<Bug>,
}

impl Server {
    /// A server that serves nothing yet.
    pub fn new(config: Config, now_ms: u64) -> Server {
        Server {
            config,
            clients: Slab::new(),
            calls: Slab::new(),
            deployments: Deployments::new(),
            programs: Map::new(),
            flows: Flows::default(),
            deadlines: Deadlines::new(),
            effects: VecDeque::new(),
            listed: VecDeque::new(),
            journal: Journal::default(),
            asking: Asking::default(),
            packages: Packages::default(),
            assistants: Assistants::default(),
            metrics: Metrics::new(),
            begun_ms: now_ms,
            requests: 0,
            idle_since_ms: now_ms,
            is_ending: false,
            #[cfg(test)]
            planted: None,
        }
    }

    /// Whether that bug is planted.
    #[cfg(test)]
    fn has(&self, bug: Bug) -> bool {
        self.planted == Some(bug)
    }

    /// From now on it is set up so.
    pub fn configure(&mut self, config: Config) {
        self.config = config;
    }

    /// Serves a program under a name.
    ///
    /// # Errors
    /// Kind `overloaded`: there are too many; `unavailable`: the server ends.
    pub fn deploy(&mut self, name: Name, source: String, start: Start, now_ms: u64) -> Result<DeploymentId> {
        let id = self.deployments.deploy(name, source, start, now_ms);
        self.note_commands();
        self.settle(now_ms);
        id
    }

    /// Loads every program again.
    pub fn reload_all(&mut self, now_ms: u64) {
        let names: Vec<Name> = self
            .deployments
            .list()
            .map(|status| status.name.clone())
            .collect();
        for name in names {
            // One that was deleted meanwhile is none.
            let _ = self.deployments.reload(&name, now_ms);
        }
        self.admit_again(now_ms);
        self.settle(now_ms);
    }

    /// The programs that are served, with their sources.
    pub fn sources(&self) -> impl Iterator<Item = (&Name, &str)> {
        self.deployments.list().map(|status| (status.name, status.source))
    }

    /// The name of the deployment of a generation, for people.
    pub fn name_of(&self, id: DeploymentId) -> String {
        let name = self.deployments.name_of(id);
        name.map_or_else(String::new, Name::to_string)
    }

    /// Whether a client may come in; if not, those who connect wait where the system keeps them until others leave.
    pub fn has_room(&self, door: Door) -> bool {
        let most = match door {
            Door::Web | Door::Flow(_) => CLIENTS_MAX,
            Door::Private => CLIENTS_MAX + OPERATORS_MAX,
        };
        self.clients.len() < most
    }

    /// A client has come; none: there is no room, or the server ends, and its connection is to be closed.
    pub fn handle_accepted(&mut self, door: Door, now_ms: u64) -> Option<ClientId> {
        if !self.has_room(door) || self.is_ending {
            return None;
        }
        let wire = match door {
            Door::Web | Door::Flow(_) => Wire::Web(Box::new(http::Connection::new(now_ms))),
            Door::Private => Wire::Private(Box::default()),
        };
        let id = self.clients.insert(Client {
            wire,
            calls: Vec::new(),
            is_listed: false,
            due: None,
            door,
            run: None,
            stalled: None,
        });
        self.set_client_deadline(id);
        Some(id)
    }

    /// Whether to read from a client.
    pub fn wants_input(&self, id: ClientId) -> bool {
        self.clients.get(id).is_some_and(|client| match &client.wire {
            #[cfg(test)]
            Wire::Web(_) if client.stalled.is_some() && self.has(Bug::StalledNeverLeaves) => false,
            Wire::Web(wire) => wire.wants_input(),
            Wire::Private(wire) => wire.wants_input(),
        })
    }

    /// A client has sent that.
    pub fn handle_input(&mut self, id: ClientId, bytes: &[u8], now_ms: u64) {
        self.metrics.received(bytes.len() as u64);
        if let Some(client) = self.clients.get_mut(id) {
            match &mut client.wire {
                Wire::Web(wire) => wire.handle_input(bytes, now_ms),
                Wire::Private(wire) => wire.handle_input(bytes),
            }
        }
        self.serve(id, now_ms);
        self.settle(now_ms);
    }

    /// A client sends no more.
    pub fn handle_end(&mut self, id: ClientId, now_ms: u64) {
        if let Some(client) = self.clients.get_mut(id) {
            match &mut client.wire {
                Wire::Web(wire) => wire.handle_end(now_ms),
                Wire::Private(wire) => wire.handle_end(),
            }
        }
        self.serve(id, now_ms);
        self.settle(now_ms);
    }

    /// The connection with a client is broken.
    pub fn handle_reset(&mut self, id: ClientId, now_ms: u64) {
        if let Some(client) = self.clients.get_mut(id) {
            match &mut client.wire {
                Wire::Web(wire) => wire.handle_reset(),
                Wire::Private(wire) => wire.handle_end(),
            }
        }
        self.serve(id, now_ms);
        self.settle(now_ms);
    }

    /// Takes a client that has something to be written, to be shut down or to be closed. It comes again when there is more.
    pub fn poll_client(&mut self) -> Option<ClientId> {
        let id = self.listed.pop_front()?;
        if let Some(client) = self.clients.get_mut(id) {
            client.is_listed = false;
        }
        Some(id)
    }

    /// What is to be written to a client; empty: nothing.
    pub fn output(&self, id: ClientId) -> &[u8] {
        self.clients.get(id).map_or(&[], |client| match &client.wire {
            Wire::Web(wire) => wire.output(),
            Wire::Private(wire) => wire.output(),
        })
    }

    /// So many bytes of it were written.
    pub fn advance_output(&mut self, id: ClientId, written: usize, now_ms: u64) {
        self.metrics.sent(written as u64);
        if let Some(client) = self.clients.get_mut(id) {
            match &mut client.wire {
                Wire::Web(wire) => wire.advance_output(written, now_ms),
                Wire::Private(wire) => wire.advance_output(written),
            }
        }
        self.serve(id, now_ms);
        self.settle(now_ms);
    }

    /// Whether the writing side of a client's connection is to be shut down.
    pub fn wants_shutdown(&self, id: ClientId) -> bool {
        matches!(self.clients.get(id), Some(Client { wire: Wire::Web(wire), .. }) if wire.wants_shutdown())
    }

    /// Whether a client's connection is to be closed; then it is forgotten.
    pub fn take_over(&mut self, id: ClientId, now_ms: u64) -> bool {
        let is_over = self.clients.get(id).is_none_or(|client| match &client.wire {
            Wire::Web(wire) => wire.is_over(),
            Wire::Private(wire) => wire.is_over(),
        });
        if is_over {
            self.forget_client(id, now_ms);
            self.settle(now_ms);
        }
        is_over
    }

    /// Takes the next effect.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// When [`Server::handle_timeout`] is due next, in milliseconds.
    pub fn next_deadline(&self) -> Option<u64> {
        let due = sooner(self.deadlines.next_ms(), self.deployments.next_deadline());
        let due = sooner(due, self.flows_deadline());
        sooner(
            due,
            sooner(self.idle_due_ms(), self.assistants.sessions.next_deadline()),
        )
    }

    /// When it ends for want of clients.
    fn idle_due_ms(&self) -> Option<u64> {
        let idle_ms = self
            .config
            .idle_ms
            .filter(|_| !self.is_ending && self.clients.is_empty())?;
        Some(self.idle_since_ms.saturating_add(idle_ms))
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now_ms: u64) {
        if self.idle_due_ms().is_some_and(|due_ms| due_ms <= now_ms) {
            self.drain(now_ms);
        }
        while let Some(timer) = self.deadlines.pop(now_ms) {
            match timer {
                Timer::Client(id) => {
                    if let Some(client) = self.clients.get_mut(id) {
                        client.due = None;
                        if let Wire::Web(wire) = &mut client.wire {
                            wire.handle_timeout(now_ms);
                        }
                    }
                    self.serve(id, now_ms);
                }
                Timer::Call(id) => self.time_out(id, now_ms),
                Timer::Stalled(id) => self.time_out_stalled(id, now_ms),
            }
        }
        self.assistants.sessions.handle_timeout(now_ms);
        self.time_flows(now_ms);
        self.deployments.handle_timeout(now_ms);
        self.settle(now_ms);
    }

    /// A generation is loaded. The fingerprint is that of its files, taken before they were read.
    pub fn handle_loaded(
        &mut self,
        id: DeploymentId,
        (manifest, text): (&Rc<Manifest>, &Rc<[u8]>),
        fingerprint: u64,
        now_ms: u64,
    ) {
        if let Some(name) = self.deployments.name_of(id).cloned() {
            let (manifest, text) = (Rc::clone(manifest), Rc::clone(text));
            let series = Map::new();
            let program = Program {
                name,
                manifest,
                text,
                series,
            };
            self.programs.insert(id, program);
        }
        self.deployments.handle_loaded(id, fingerprint, now_ms);
        self.settle(now_ms);
    }

    /// A generation can't be loaded.
    pub fn handle_load_failed(&mut self, id: DeploymentId, fingerprint: u64, error: Box<Error>, now_ms: u64) {
        self.deployments
            .handle_load_failed(id, fingerprint, error, now_ms);
        self.settle(now_ms);
    }

    /// Nothing of a generation is left.
    pub fn handle_unloaded(&mut self, id: DeploymentId, now_ms: u64) {
        #[cfg(test)]
        if self.has(Bug::KeepProgram) {
            return self.deployments.handle_unloaded(id, now_ms);
        }
        self.programs.remove(&id);
        self.deployments.handle_unloaded(id, now_ms);
        self.settle(now_ms);
    }

    /// A pool has died, is left alone, or is back.
    pub fn handle_pool_state(&mut self, id: DeploymentId, pool: PoolId, state: PoolState, now_ms: u64) {
        self.deployments.handle_pool_state(id, pool, state, now_ms);
        self.settle(now_ms);
    }

    /// The files of a source have changed.
    pub fn handle_changed(&mut self, source: &str, fingerprint: u64, now_ms: u64) {
        if self.config.idle_ms.is_some() && !self.is_ending {
            return self.drain(now_ms);
        }
        self.deployments.handle_changed(source, fingerprint, now_ms);
        self.settle(now_ms);
    }

    /// A function of a call, if that is known, says something.
    pub fn handle_note(
        &mut self,
        id: DeploymentId,
        call: Option<CallId>,
        pool: &str,
        note: &Note,
        now_ms: u64,
    ) {
        if let (Note::Log { level, text }, Some(program)) = (note, self.programs.get(&id)) {
            let secrets = self.flows.secrets_of(&program.name);
            for line in text.lines() {
                let line = format!("[{pool}] {level}: {line}");
                let line = secrets.map_or(Cow::Borrowed(&*line), |secrets| secrets.mask(&line));
                self.journal.add(&program.name, &line, &mut self.effects);
            }
        }
        if let Some(call) = call {
            self.tell(call, pool, note, now_ms);
        }
        self.settle(now_ms);
    }

    /// A process of a generation has printed something. In the course of which call can't be told: each that runs there is.
    pub fn handle_printed(&mut self, id: DeploymentId, bytes: &[u8]) {
        self.tell_printed(id, bytes);
        let name = self.programs.get(&id).map(|program| &program.name);
        if let Some(name) = name.or_else(|| self.deployments.name_of(id)) {
            let secrets = self.flows.secrets_of(name);
            self.journal.add_printed(name, bytes, secrets, &mut self.effects);
        }
        self.tell_followers();
    }

    /// The server ends: calls that run have the grace to end, and no others begin.
    pub fn drain(&mut self, now_ms: u64) {
        if self.is_ending {
            // Whoever asks twice does not want to wait.
            self.cancel_runs(now_ms);
            self.deployments.terminate(now_ms);
            return self.settle(now_ms);
        }
        self.is_ending = true;
        self.end_followers(None);
        if !self.drain_flows(now_ms) {
            self.deployments.drain(self.config.grace_ms, now_ms);
        }
        let ids: Vec<ClientId> = self.clients.iter().map(|(id, _)| id).collect();
        for id in ids {
            if let Some(client) = self.clients.get_mut(id) {
                match &mut client.wire {
                    Wire::Web(wire) => wire.drain(now_ms),
                    Wire::Private(wire) => wire.drain(),
                }
            }
            self.serve(id, now_ms);
        }
        self.settle(now_ms);
    }

    /// Whether all is answered and unloaded after [`Server::drain`].
    pub fn is_finished(&self) -> bool {
        self.is_ending
            && self.flows.ends_at.is_none()
            && self.deployments.is_finished()
            && self.calls.is_empty()
    }

    /// Does what the deployments want done.
    fn settle(&mut self, now_ms: u64) {
        self.tell_followers();
        loop {
            self.settle_deployments(now_ms);
            if !self.drive_flows(now_ms) {
                break;
            }
        }
    }

    fn settle_deployments(&mut self, now_ms: u64) {
        while let Some(effect) = self.deployments.poll_effect() {
            match effect {
                deployment::Effect::Load { id, source } => {
                    let is_lazy = self.deployments.is_lazy(id);
                    self.effects.push_back(Effect::Load { id, source, is_lazy });
                }
                deployment::Effect::Unload { id, is_at_once } => {
                    self.effects.push_back(Effect::Unload { id, is_at_once });
                }
                deployment::Effect::Begin { token, id } => self.begin(CallId::from_raw(token), id, now_ms),
                deployment::Effect::Refuse { token, refusal } => {
                    self.refuse(CallId::from_raw(token), refusal, now_ms);
                }
                deployment::Effect::Notice(notice) => self.take_notice(*notice, now_ms),
            }
        }
        self.tell_commands(now_ms);
        self.sweep_packages();
    }

    fn take_notice(&mut self, notice: Notice, now_ms: u64) {
        let Notice {
            id,
            name,
            number,
            state,
            error,
        } = notice;
        let mut line = format!("{name} #{number} is {}", state.name());
        if let Some(error) = &error {
            line.push_str(": ");
            line.push_str(&error.message);
        }
        self.journal.add(&name, &line, &mut self.effects);
        self.assistants.forget_offer();
        self.note_commands();
        self.tell_deployed(id, state, error, now_ms);
    }

    /// Takes what a client asks for, as far as it can be done now.
    fn serve(&mut self, id: ClientId, now_ms: u64) {
        match self.clients.get(id).map(|client| client.door) {
            Some(Door::Web) => self.serve_web(id, now_ms),
            Some(Door::Private) => self.serve_private(id, now_ms),
            Some(Door::Flow(_)) => self.serve_flow(id, now_ms),
            None => return,
        }
        let is_wanted = self.clients.get(id).is_some_and(|client| match &client.wire {
            Wire::Web(wire) => !wire.output().is_empty() || wire.wants_shutdown() || wire.is_over(),
            Wire::Private(wire) => !wire.output().is_empty() || wire.is_over(),
        });
        if is_wanted {
            self.list(id);
        }
        self.set_client_deadline(id);
    }

    fn list(&mut self, id: ClientId) {
        if let Some(client) = self.clients.get_mut(id).filter(|client| !client.is_listed) {
            client.is_listed = true;
            self.listed.push_back(id);
        }
    }

    fn set_client_deadline(&mut self, id: ClientId) {
        if let Some(client) = self.clients.get_mut(id) {
            let Wire::Web(wire) = &client.wire else { return };
            // A timer that comes too early is set again then: most never come, for each request moves them.
            if let Some(due) = wire.next_deadline()
                && client.due.is_none_or(|set| due < set)
            {
                self.deadlines.set(Timer::Client(id), &mut client.due, Some(due));
            }
        }
    }

    fn forget_client(&mut self, id: ClientId, now_ms: u64) {
        self.take_stalled(id);
        let Some(mut client) = self.clients.remove(id) else {
            return;
        };
        self.deadlines.set(Timer::Client(id), &mut client.due, None);
        self.idle_since_ms = now_ms;
        self.assistants.sessions.handle_gone(id.raw());
        self.end_followers(Some(id));
        self.forget_debugger(id);
        if let Some(run) = client.run {
            self.leave_run(run, now_ms);
        }
        for call in client.calls {
            self.abandon(call, now_ms);
        }
    }
}

/// The error for a call whose client is gone.
fn client_gone() -> Box<Error> {
    Error::new(Kind::Cancelled, "the client is gone")
}
