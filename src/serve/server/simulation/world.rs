//! The world around a server: peers, a shell, programs that load, run and fail, in virtual time. Knows how each should come out.

use super::super::{CallId, ClientId, Config, Door, Effect, Server};
use super::Bug;
use super::flows::{CARRIED, Flows};
use super::peer::Peer;
use crate::core::simulation::random::Random;
use crate::core::simulation::trace;
use crate::error::{Error, Kind};
use crate::flow::engine::TaskId;
use crate::ids::PoolId;
use crate::manifest::model::Manifest;
use crate::manifest::parse::parse;
use crate::serve::deployment::{DeploymentId, Name, PoolState, Start};
use std::collections::BTreeMap;
use std::rc::Rc;

const BUSY_STEPS: u64 = 150;
/// Longer than anything takes.
const LONG_MS: u64 = 20_000_000;

const MANIFEST: &[u8] = br#"{"version": 1, "name": "n", "pools": [], "groups": [], "commands": [
    {"name": "same", "type": "pure", "arg_schemas": ["i4"], "return_schema": "i4",
     "args": [{"kind": "pos", "metavar": "N", "type_desc": "Int"}],
     "expr": {"tag": "lambda", "vars": ["x"], "body": {"tag": "bound", "schema": "i4", "var": "x"}}}]}"#;

pub enum Event {
    Loaded(DeploymentId, bool),
    Unloaded(DeploymentId),
    Answer(CallId, bool),
    Survey(u64),
    /// Something comes from another server.
    Fetched(TaskId),
}

/// A program that the shell has.
pub struct Program {
    /// It is to be unloaded.
    is_leaving: bool,
    /// It is one of those that the binary carries.
    pub is_carried: bool,
}

/// A call that runs.
pub struct Run {
    id: DeploymentId,
    answer: Vec<u8>,
}

pub struct World {
    pub random: Random,
    pub is_loud: bool,
    pub now_ms: u64,
    pub server: Server,
    manifests: [(Rc<Manifest>, Rc<[u8]>); 2],
    agenda: BTreeMap<(u64, u64), Event>,
    planned: u64,
    pub peers: Vec<Peer>,
    requests: u64,
    good: u64,
    pub programs: BTreeMap<DeploymentId, Program>,
    runs: BTreeMap<CallId, Run>,
    loads: u64,
    unloads: u64,
    call_ms: u64,
    load_fails: u64,
    /// Some take their answers slowly.
    is_slow: bool,
    reads_slowly: bool,
    pub flows: Flows,
}

impl World {
    pub fn new(seed: u64, planted: Option<Bug>, is_loud: bool) -> World {
        let mut random = Random::new(seed);
        let config = Config {
            grace_ms: random.pick(&[0, 500, 5000]),
            timeout_ms: random.pick(&[100, 60_000]),
            mark: "m".into(),
            ..Config::default()
        };
        let read = |text: &'static [u8]| {
            let manifest = parse(text, "n.json").unwrap_or_else(|errors| panic!("{errors:?}"));
            (Rc::new(manifest), Rc::from(text))
        };
        let mut server = Server::new(config, 0);
        server.planted = planted;
        let is_slow = random.chance(300);
        World {
            is_loud,
            now_ms: 0,
            server,
            manifests: [read(MANIFEST), read(CARRIED)],
            agenda: BTreeMap::new(),
            planned: 0,
            peers: Vec::new(),
            requests: 0,
            good: 0,
            programs: BTreeMap::new(),
            runs: BTreeMap::new(),
            loads: 0,
            unloads: 0,
            call_ms: random.pick(&[5, 300, 8000]),
            load_fails: random.pick(&[0, 200, 500]),
            is_slow,
            reads_slowly: is_slow,
            flows: Flows::new(&mut random),
            random,
        }
    }

    pub fn run(mut self) -> u64 {
        self.begin_flows();
        for number in 0..2 {
            self.deploy(number);
        }
        for _ in 0..self.random.between(BUSY_STEPS / 10, BUSY_STEPS) {
            self.act();
            let until_ms = self.now_ms + self.random.pick(&[0, 0, 3, 50, 400]);
            self.pass(until_ms);
        }
        if self.random.chance(500) {
            // All is answered without an end that would answer it.
            self.reads_slowly = false;
            self.quiet_flows();
            self.pass(self.now_ms + LONG_MS);
            for peer in &self.peers {
                assert!(
                    peer.is_gone || peer.open.is_empty(),
                    "requests {:?} of {:?} are answered",
                    peer.open,
                    peer.id
                );
            }
        }
        self.finish();
        self.good
    }

    /// The server ends, in order and in time.
    fn finish(&mut self) {
        self.reads_slowly = false;
        let begun = self.begun_runs();
        trace!(self, "the server is told to end");
        self.server.drain(self.now_ms);
        self.settle();
        if self.random.chance(200) {
            let until_ms = self.now_ms + self.random.below(1000);
            self.pass(until_ms);
            trace!(self, "and again");
            self.server.drain(self.now_ms);
        }
        self.pass(self.now_ms + self.server.config.grace_ms + 1000);
        assert!(self.server.is_finished(), "the server ends in time");
        for (at, number) in begun {
            let peer = &self.peers[at];
            assert!(
                peer.is_gone || !peer.open.contains(&number),
                "request {number}, which had begun, is answered at the end"
            );
        }
        self.pass(self.now_ms + LONG_MS);
        for at in 0..self.peers.len() {
            self.hang_up(at);
        }
        self.settle();
        assert!(self.server.is_finished(), "the server ends");
        assert!(self.server.clients.is_empty() && self.server.calls.is_empty());
        assert!(self.server.programs.is_empty() && self.programs.is_empty() && self.runs.is_empty());
        assert_eq!(self.server.next_deadline(), None, "no timer is left");
        assert_eq!(self.server.deployments.calls(), 0, "no call is left");
        assert_eq!(self.loads, self.unloads, "what is loaded is unloaded");
        self.check_end_of_flows();
    }

    pub fn plan(&mut self, most_ms: u64, event: Event) {
        self.planned += 1;
        let at_ms = self.now_ms + self.random.between(0, most_ms);
        self.agenda.insert((at_ms, self.planned), event);
    }

    fn deploy(&mut self, number: u64) {
        let name = Name::parse(&format!("n{number}")).unwrap();
        let start = match self.random.chance(300) {
            true => Start::OnCall,
            false => Start::AtOnce,
        };
        // There may be too much on its way out.
        let _ = self.server.deploy(name, format!("s{number}"), start, self.now_ms);
        self.settle();
    }

    /// Somebody does something.
    fn act(&mut self) {
        match self.random.below(30) {
            0..2 => {
                let door = self.random.pick(&[Door::Web, Door::Web, Door::Private]);
                self.connect(door, 0);
            }
            2 => {
                let number = self.random.below(2);
                self.deploy(number);
            }
            3 if !self.peers.is_empty() && self.random.chance(300) => {
                let at = self.random.below(self.peers.len() as u64) as usize;
                self.hang_up(at);
            }
            4 if !self.programs.is_empty() => {
                let ids: Vec<DeploymentId> = self.programs.keys().copied().collect();
                let id = self.random.pick(&ids);
                let until_ms = self.now_ms + self.random.below(3000);
                let states = [PoolState::Down, PoolState::Up, PoolState::LeftAlone(until_ms)];
                let state = self.random.pick(&states);
                self.server.handle_pool_state(id, PoolId(0), state, self.now_ms);
            }
            5 => {
                let (source, fingerprint) = (self.random.below(2), self.random.below(3));
                self.server
                    .handle_changed(&format!("s{source}"), fingerprint, self.now_ms);
            }
            // As SIGHUP has it.
            6 if self.random.chance(300) => self.server.reload_all(self.now_ms),
            7..14 => self.act_on_flows(),
            _ if !self.peers.is_empty() => {
                let at = self.random.below(self.peers.len() as u64) as usize;
                for _ in 0..self.random.between(1, 4) {
                    self.requests += 1;
                    self.peers[at].ask(self.requests, &mut self.random);
                }
            }
            _ => {}
        }
        self.settle();
    }

    /// Somebody connects; they come in at a listener of that namespace, if it is one of a flow.
    pub fn connect(&mut self, door: Door, place: usize) {
        if let Some(id) = self.server.handle_accepted(door, self.now_ms) {
            trace!(self, "{id:?} comes in by {door:?}");
            self.peers
                .push(Peer::new(id, door, place, self.flows.has_debugger));
        }
    }

    pub fn hang_up(&mut self, at: usize) {
        let peer = &mut self.peers[at];
        if !peer.is_gone {
            peer.is_gone = true;
            self.server.handle_reset(peer.id, self.now_ms);
            // As the shell does when its socket is gone.
            assert!(self.server.take_over(self.peers[at].id, self.now_ms) || self.peers[at].has_ended);
        }
    }

    /// Time passes, and what is to happen does.
    pub fn pass(&mut self, until_ms: u64) {
        loop {
            self.settle();
            let event_ms = self.agenda.first_key_value().map(|((at_ms, _), _)| *at_ms);
            let due_ms = self.server.next_deadline();
            let next_ms = event_ms.into_iter().chain(due_ms).min();
            let Some(next_ms) = next_ms.filter(|next_ms| *next_ms <= until_ms) else {
                break;
            };
            self.now_ms = self.now_ms.max(next_ms);
            if due_ms.is_some_and(|due_ms| due_ms <= self.now_ms) {
                self.server.handle_timeout(self.now_ms);
            } else if let Some((_, event)) = self.agenda.pop_first() {
                self.happen(event);
            }
        }
        self.now_ms = until_ms;
    }

    fn happen(&mut self, event: Event) {
        let now_ms = self.now_ms;
        match event {
            Event::Loaded(id, is_good) => {
                let Some(program) = self.programs.get(&id).filter(|program| !program.is_leaving) else {
                    return;
                };
                let (manifest, text) = &self.manifests[usize::from(program.is_carried)];
                match is_good {
                    true => self
                        .server
                        .handle_loaded(id, (manifest, text), now_ms % 3, now_ms),
                    false => {
                        let error = Error::new(Kind::Manifest, "it is bad");
                        self.server.handle_load_failed(id, now_ms % 3, error, now_ms);
                    }
                }
            }
            Event::Unloaded(id) => {
                let runs = self.runs.iter().filter(|(_, run)| run.id == id);
                let runs: Vec<CallId> = runs.map(|(call, _)| *call).collect();
                for call in runs {
                    self.answer(call, false);
                }
                self.programs.remove(&id);
                self.server.handle_unloaded(id, now_ms);
            }
            Event::Answer(call, is_good) => self.answer(call, is_good),
            Event::Survey(ticket) => self.server.handle_survey(ticket, &[], &[], now_ms),
            Event::Fetched(task) => self.fetched(task),
        }
    }

    fn answer(&mut self, call: CallId, is_good: bool) {
        if let Some(run) = self.runs.remove(&call) {
            let answer = match is_good {
                true => Ok(run.answer),
                false => Err(Error::new(Kind::Terminated, "its worker died")),
            };
            self.server.handle_answer(call, answer, self.now_ms);
        }
    }

    /// Carries out what the server wants, and carries bytes to and fro.
    pub fn settle(&mut self) {
        loop {
            while let Some(effect) = self.server.poll_effect() {
                self.carry_out(effect);
            }
            let mut is_idle = true;
            for at in 0..self.peers.len() {
                is_idle &= !self.carry(at);
            }
            while let Some(id) = self.server.poll_client() {
                is_idle = false;
                self.look_at(id);
            }
            if is_idle && self.server.effects.is_empty() {
                break;
            }
        }
        self.check();
    }

    /// As the shell does when the server has something for a client: what it has sent may be wanted now.
    fn look_at(&mut self, id: ClientId) {
        if let Some(peer) = self.peers.iter_mut().find(|peer| peer.id == id) {
            peer.is_unread = true;
        }
    }

    /// Every call that is open waits or runs.
    fn check(&self) {
        let open = self.server.calls.iter().count();
        assert_eq!(open, self.server.deployments.calls(), "open calls wait or run");
        assert!(open >= self.runs.len(), "what runs is open");
        assert!(
            self.server.programs.len() <= self.programs.len(),
            "what is gone is forgotten"
        );
        for peer in &self.peers {
            assert!(peer.is_gone || peer.is_read(), "what {:?} says is read", peer.id);
        }
        self.check_flows();
    }

    fn carry_out(&mut self, effect: Effect) {
        trace!(self, "{effect:?}");
        match effect {
            Effect::Load { id, is_lazy, source } => {
                self.loads += 1;
                let program = Program {
                    is_leaving: false,
                    is_carried: source.starts_with("nexus:"),
                };
                assert!(self.programs.insert(id, program).is_none(), "it is loaded once");
                let is_good = !self.random.chance(self.load_fails);
                let most_ms = if is_lazy { 0 } else { 300 };
                self.plan(most_ms, Event::Loaded(id, is_good));
            }
            Effect::Unload { id, is_at_once } => {
                self.unloads += 1;
                let program = self.programs.get_mut(&id).expect("what is unloaded was loaded");
                assert!(!program.is_leaving, "it is unloaded once");
                program.is_leaving = true;
                let has_runs = self.runs.values().any(|run| run.id == id);
                assert!(is_at_once || !has_runs, "calls run in what is unloaded");
                self.plan(100, Event::Unloaded(id));
            }
            Effect::Run {
                call,
                id,
                args,
                command,
                ..
            } => {
                let program = self.programs.get(&id).expect("calls run in what is loaded");
                assert!(!program.is_leaving, "calls run in what is loaded");
                let answer = match program.is_carried {
                    true => self.carried_answer(command, &args),
                    false => args.concat(),
                };
                let run = Run { id, answer };
                assert!(self.runs.insert(call, run).is_none(), "it is run once");
                let is_good = self.random.chance(900);
                self.plan(self.call_ms, Event::Answer(call, is_good));
            }
            // It may be answered already, and ends soon if not.
            Effect::Cancel(call, _) => self.plan(20, Event::Answer(call, false)),
            Effect::Survey(ticket) => self.plan(10, Event::Survey(ticket)),
            Effect::Kill(..) | Effect::Log(_) | Effect::Reconfigure | Effect::Stop => {}
            Effect::OpenSource { source, service } => self.open_source(source, service),
            Effect::CloseSource(source) => self.close_source(source),
            Effect::Connect { task, .. } => self.connect_to_other(task),
            Effect::Disconnect(task) => self.disconnect(task),
            Effect::Store(ask) => self.store(*ask),
            Effect::Tested(_) => panic!("nobody runs tests"),
            Effect::Unpack { .. } | Effect::Remove(_) => panic!("nobody uploads packages"),
        }
    }

    /// Carries some bytes of a peer. Whether there were any.
    fn carry(&mut self, at: usize) -> bool {
        let now_ms = self.now_ms;
        let peer = &mut self.peers[at];
        if peer.is_gone {
            return false;
        }
        let mut is_busy = false;
        if peer.is_unread && self.server.wants_input(peer.id) {
            if !peer.to_server.is_empty() {
                let len = self.random.cut(peer.to_server.len());
                let bytes: Vec<u8> = peer.to_server.drain(..len).collect();
                self.server.handle_input(peer.id, &bytes, now_ms);
                is_busy = true;
            } else if peer.ends && !peer.has_ended {
                peer.has_ended = true;
                self.server.handle_end(peer.id, now_ms);
                is_busy = true;
            } else {
                peer.is_unread = false;
            }
        } else {
            // Nobody tells of it again.
            peer.is_unread = false;
        }
        let output = self.server.output(peer.id).to_vec();
        let is_slow = self.reads_slowly && self.random.chance(900);
        if !output.is_empty() && !is_slow {
            let len = self.random.cut(output.len());
            self.good += peer.take(&output[..len]);
            self.server.advance_output(peer.id, len, now_ms);
            peer.is_unread = true;
            is_busy = true;
        }
        if self.server.wants_shutdown(peer.id) && !peer.has_ended && !peer.ends {
            peer.ends = true;
            peer.is_unread = true;
            is_busy = true;
        }
        if self.server.take_over(peer.id, now_ms) {
            peer.is_gone = true;
            is_busy = true;
            // Who doesn't take answers, or not in time, gets no more of them; and nobody does of a listener that is closed.
            let is_closed = match peer.door {
                Door::Flow(source) => !self.flows.is_open(source),
                _ => false,
            };
            assert!(
                peer.open.is_empty() || self.is_slow || self.server.is_ending || is_closed,
                "the server closes {:?}, which waits for {:?}",
                peer.id,
                peer.open
            );
        }
        is_busy
    }
}
