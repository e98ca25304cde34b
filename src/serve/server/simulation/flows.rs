//! The side of the world that has flows: a store of nodes that is edited, listeners with their clients, watched files, other servers,
//! programs that run snippets and statements. Knows how each should come out.

use super::super::{Door, StoreAsk};
use super::world::{Event, World};
use crate::codec::msgpack::{Reader, Token};
use crate::core::simulation::random::Random;
use crate::core::simulation::trace;
use crate::error::{Error, Kind, Result};
use crate::flow::engine::{RunId, TaskId};
use crate::flow::kinds::node::Service;
use crate::flow::simulation::draw::{self, NAMES, Reach};
use crate::flow::spec::{Object, Sort, Spec, codec};
use crate::flow::store::Change;
use crate::flow::syscall::{Deed, deed};
use crate::flow::value::{Value, located};
use crate::limits::FLOW_RUNS_MAX;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

pub const NAMESPACES: [&str; 2] = ["alpha", "beta"];

/// One for all programs that the binary carries: as `build/snippets.rs` writes them.
pub const CARRIED: &[u8] = br#"{"version": 1, "name": "n", "groups": [],
    "pools": [{"name": "p", "lang": "py", "exec": ["p"], "socket": "pipe"}], "commands": [
    {"name": "snippet", "type": "remote", "pool": 0, "mid": 1, "needed_pools": [0],
     "arg_schemas": ["s", "<Json>s"], "args": [{"kind": "pos"}, {"kind": "pos"}], "return_schema": "<Json>s"},
    {"name": "statement", "type": "remote", "pool": 0, "mid": 1, "needed_pools": [0],
     "arg_schemas": ["u8", "s", "s", "<Json>s"],
     "args": [{"kind": "pos"}, {"kind": "pos"}, {"kind": "pos"}, {"kind": "pos"}], "return_schema": "<Json>s"},
    {"name": "end", "type": "remote", "pool": 0, "mid": 2, "needed_pools": [0],
     "arg_schemas": ["u8", "b"], "args": [{"kind": "pos"}, {"kind": "pos"}], "return_schema": "z"},
    {"name": "check", "type": "remote", "pool": 0, "mid": 2, "needed_pools": [0],
     "arg_schemas": ["[s]"], "args": [{"kind": "pos"}], "return_schema": "<Json>s"}]}"#;
const STATEMENT: usize = 1;
const END: usize = 2;
const CHECK: usize = 3;

/// Ports of listeners: those of each namespace, so that they can be told apart.
const FIRST_PORT: u16 = 1000;

pub struct Flows {
    stored: [BTreeMap<Rc<str>, Rc<Spec>>; 2],
    /// Those that are open; none: that could not be opened.
    sources: BTreeMap<u64, Option<Service>>,
    /// Connections to other servers.
    fetches: BTreeSet<TaskId>,
    /// Runs with a transaction, and whether that has ended.
    transactions: BTreeMap<u64, bool>,
    opening_fails: u64,
    runs_max: usize,
    has_sql: bool,
    /// Somebody holds packets.
    pub has_debugger: bool,
}

impl Flows {
    pub fn new(random: &mut Random) -> Flows {
        Flows {
            stored: Default::default(),
            sources: BTreeMap::new(),
            fetches: BTreeSet::new(),
            transactions: BTreeMap::new(),
            opening_fails: random.pick(&[0, 0, 300]),
            runs_max: random.pick(&[1, 3, 10, FLOW_RUNS_MAX]),
            has_sql: random.chance(300),
            has_debugger: random.chance(200),
        }
    }

    pub fn is_open(&self, source: u64) -> bool {
        self.sources.contains_key(&source)
    }
}

impl World {
    pub fn begin_flows(&mut self) {
        self.server.limit_runs(self.flows.runs_max);
        for place in 0..2 {
            let mut texts: Vec<String> = (0..NAMES).map(|number| self.draw_node(number)).collect();
            texts.push(self.draw_listener(place));
            self.write(place, &texts, Vec::new());
        }
    }

    pub fn act_on_flows(&mut self) {
        let place = self.random.below(2) as usize;
        match self.random.below(8) {
            0 | 1 => self.edit(place),
            2 => {
                // A watched file changes.
                let is_watch = |(id, service): (&u64, &Option<Service>)| match service {
                    Some(Service::Watch { .. }) => Some(*id),
                    _ => None,
                };
                let watches: Vec<u64> = self.flows.sources.iter().filter_map(is_watch).collect();
                if !watches.is_empty() {
                    let source = self.random.pick(&watches);
                    self.server
                        .handle_watched(source, Value::str(NAMESPACES[place]), self.now_ms);
                }
            }
            _ => {
                let listener = |(id, service): (&u64, &Option<Service>)| match service {
                    Some(Service::Listener { port, .. }) => Some((*id, usize::from(port - FIRST_PORT))),
                    _ => None,
                };
                let listeners: Vec<(u64, usize)> = self.flows.sources.iter().filter_map(listener).collect();
                if !listeners.is_empty() {
                    let (source, place) = self.random.pick(&listeners);
                    self.connect(Door::Flow(source), place);
                }
            }
        }
    }

    /// Somebody edits the store.
    fn edit(&mut self, place: usize) {
        let mut texts = Vec::new();
        let mut gone = Vec::new();
        for _ in 0..self.random.size(4) {
            let number = self.random.below(NAMES);
            match self.random.below(8) {
                0 | 1 => gone.push(format!("n{number}")),
                2 => texts.push(self.draw_listener(place)),
                3 if self.random.chance(200) => gone.push("web".to_string()),
                _ => texts.push(self.draw_node(number)),
            }
        }
        self.write(place, &texts, gone);
    }

    /// Writes nodes into the store, and takes some away.
    fn write(&mut self, place: usize, texts: &[String], gone: Vec<String>) {
        // The last of a name wins.
        let mut upserts: BTreeMap<Rc<str>, Object> = BTreeMap::new();
        for text in texts {
            trace!(self, "{}: {text}", NAMESPACES[place]);
            let documents = located::read(text.as_bytes(), false).expect("what is drawn is YAML");
            let objects = codec::read(Sort::Specs, &documents, &"f.yaml".into(), NAMESPACES[place]);
            for object in objects.expect("what is drawn is a node") {
                upserts.insert(object.name().clone(), object);
            }
        }
        let gone = gone.into_iter().map(Rc::from);
        let gone = gone.filter(|name| !upserts.contains_key(name)).collect();
        self.change(place, upserts.into_values().collect(), gone);
    }

    fn change(&mut self, place: usize, upserts: Vec<Object>, gone: Vec<Rc<str>>) {
        let stored = &mut self.flows.stored[place];
        let removals = gone.into_iter().filter(|name| stored.remove(name).is_some());
        let removals = removals.map(|name| (Sort::Specs, name)).collect();
        for object in &upserts {
            if let Object::Spec(spec) = object {
                stored.insert(spec.name.clone(), spec.clone());
            }
        }
        let change = Change {
            namespace: NAMESPACES[place].into(),
            upserts,
            removals,
            errors: Vec::new(),
        };
        self.server.handle_stored_change(change, self.now_ms);
    }

    fn draw_listener(&mut self, place: usize) -> String {
        let port = usize::from(FIRST_PORT) + place;
        let first = self.random.below(3);
        format!("- {{name: web, kind: listener, port: {port}, links: {{out: [{{name: n{first}}}]}}}}")
    }

    /// A node that has links to those of higher numbers alone, so that no packet goes round.
    fn draw_node(&mut self, number: u64) -> String {
        let name = format!("n{number}");
        let reach = Reach::Behind(number);
        if self.random.chance(350) {
            let (text, _) = draw::node(&mut self.random, &name, reach);
            if self.flows.has_sql || !text.contains("kind: sql") {
                return text;
            }
        }
        let kind = match self.random.below(16) {
            0..4 => "kind: snippet, language: cel, code: self.path",
            4 => "kind: snippet, language: python, code: x",
            5 => "kind: block, specs: [{kind: snippet, language: json, code: '[7]'}, {kind: n0/same}]",
            6 => {
                "kind: block, specs: [{kind: snippet, language: json, code: '7'}, \
                 {kind: call, program: n1, command: same}]"
            }
            7 => "kind: http, url: 'http://127.0.0.1:1/'",
            8 => {
                "kind: block, specs: [{kind: snippet, language: json, code: '{\"name\": \"n6\", \"kind\": \"nop\"}'}, \
                 {kind: syscall, opcode: nodes.create}]"
            }
            9 => {
                "kind: block, specs: [{kind: snippet, language: json, code: '{\"name\": \"n6\"}'}, \
                 {kind: syscall, opcode: nodes.delete}]"
            }
            10 => "kind: sleep, interval: 2000",
            11 => "kind: fork",
            12 => "kind: router, routes: [{path: '/*', port: 'out[0]'}]",
            13 if self.flows.has_sql => "kind: sql, source: f, statement: s",
            _ => "kind: try",
        };
        let outs: &[&str] = match kind.split([' ', ',']).nth(1) {
            Some("router") => &["out[0]"],
            _ => &["out"],
        };
        let links = match reach.first() {
            Some(first) if self.random.chance(800) => {
                format!(
                    "{}: [{{name: n{}}}]",
                    quoted(outs[0]),
                    self.random.between(first, NAMES - 1)
                )
            }
            _ => String::new(),
        };
        format!("- {{name: {name}, {kind}, links: {{{links}}}}}")
    }

    pub fn open_source(&mut self, source: u64, service: Service) {
        let is_open = matches!(self.flows.sources.get(&source), Some(Some(_)));
        assert!(!is_open, "source {source} is opened once");
        let opened = match self.random.chance(self.flows.opening_fails) {
            true => Err(Error::new(Kind::Io, "the port is taken")),
            false => Ok(80),
        };
        let has_port = matches!(service, Service::Listener { .. });
        let is_same = |other: &Option<Service>| other.as_ref() == Some(&service);
        assert!(
            !has_port || !self.flows.sources.values().any(is_same),
            "a listener is closed before another has its port"
        );
        self.flows
            .sources
            .insert(source, opened.is_ok().then_some(service));
        self.server.handle_opened(source, opened, self.now_ms);
    }

    pub fn close_source(&mut self, source: u64) {
        let closed = self.flows.sources.remove(&source);
        assert!(closed.is_some(), "source {source} was to be opened");
    }

    pub fn connect_to_other(&mut self, task: TaskId) {
        assert!(self.flows.fetches.insert(task), "{task:?} connects once");
        self.plan(300, Event::Fetched(task));
    }

    pub fn disconnect(&mut self, task: TaskId) {
        self.flows.fetches.remove(&task);
    }

    /// Another server says something, or nothing any more.
    pub fn fetched(&mut self, task: TaskId) {
        if !self.flows.fetches.contains(&task) {
            return;
        }
        let output = self.server.fetch_output(task).len();
        if output > 0 {
            let written = self.random.cut(output);
            self.server.advance_fetch(task, written);
            return self.plan(300, Event::Fetched(task));
        }
        let now_ms = self.now_ms;
        match self.random.below(6) {
            0 => {
                self.flows.fetches.remove(&task);
                self.server
                    .handle_fetch_failed(task, Kind::Io, "the connection broke", now_ms);
            }
            1 => {
                self.flows.fetches.remove(&task);
                self.server.handle_fetched(task, &[], now_ms);
            }
            2 => {
                self.server.handle_fetched(task, b"HTTP/1.1 200 OK\r\n", now_ms);
                self.plan(20_000, Event::Fetched(task));
            }
            3 => {} // It never says anything.
            _ => {
                let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
                self.server.handle_fetched(task, answer, now_ms);
            }
        }
    }

    /// Does what a flow asks of the store, as `shell/serve/store.rs` does.
    pub fn store(&mut self, ask: StoreAsk) {
        let place = NAMESPACES
            .iter()
            .position(|namespace| **namespace == *ask.namespace);
        let place = place.expect("flows are in the namespaces that there are");
        let done = self.perform_in_store(&ask, place);
        self.server.handle_stored(ask.task, done, self.now_ms);
    }

    fn perform_in_store(&mut self, ask: &StoreAsk, place: usize) -> Result<Value> {
        let stored = self.flows.stored[place].values();
        let known: Vec<Object> = stored.map(|spec| Object::Spec(spec.clone())).collect();
        match deed(&ask.opcode, &ask.arg, &ask.namespace, &known)? {
            Deed::Answer(value) => Ok(value),
            Deed::Apply { objects, .. } => {
                self.change(place, objects, Vec::new());
                Ok(Value::Null)
            }
            Deed::Delete { names, answer, .. } => {
                self.change(place, Vec::new(), names.into_iter().map(Rc::from).collect());
                Ok(answer)
            }
        }
    }

    /// What a program of the binary answers.
    pub fn carried_answer(&mut self, command: usize, args: &[Vec<u8>]) -> Vec<u8> {
        if command == STATEMENT || command == END {
            let run = match Reader::new(&args[0]).next().unwrap() {
                Token::Int(number) => number as u64,
                Token::Unsigned(number) => number,
                _ => panic!("a run is a number"),
            };
            let ended = self.flows.transactions.entry(run).or_insert(false);
            assert!(!*ended, "the transaction of {} has ended", RunId(run));
            *ended = command == END;
        }
        match command {
            // A list of what is wrong with each code: with the first, or with none.
            CHECK if self.random.chance(200) => b"\xa6[\"no\"]".to_vec(),
            CHECK => b"\xa2[]".to_vec(),
            END => b"\xc0".to_vec(),
            _ if self.random.chance(500) => b"\xa3[1]".to_vec(),
            _ => b"\xc0".to_vec(),
        }
    }

    /// Nobody begins runs any more but clients, and nobody holds packets.
    pub fn quiet_flows(&mut self) {
        for at in 0..self.peers.len() {
            if self.peers[at].door == Door::Private {
                self.hang_up(at);
            }
        }
        for place in 0..2 {
            let stored = self.flows.stored[place].values();
            let timers = stored.filter(|spec| &*spec.kind == "timer");
            let names: Vec<Rc<str>> = timers.map(|spec| spec.name.clone()).collect();
            self.change(place, Vec::new(), names);
        }
        self.settle();
    }

    /// Requests at listeners whose runs have begun, with their peers' places.
    pub fn begun_runs(&self) -> Vec<(usize, u64)> {
        let begun = self.peers.iter().enumerate().filter(|(_, peer)| {
            let client = self.server.clients.get(peer.id);
            client.is_some_and(|client| client.run.is_some())
        });
        begun
            .filter_map(|(at, peer)| Some((at, *peer.open.front()?)))
            .collect()
    }

    pub fn check_flows(&self) {
        self.server.check_flows(self.now_ms, !self.flows.has_debugger);
    }

    pub fn check_end_of_flows(&self) {
        self.server.check_end_of_flows();
        let is_open = self.flows.sources.values().any(Option::is_some);
        assert!(!is_open, "sources stay open");
        assert!(self.flows.fetches.is_empty(), "connections to other servers stay");
    }
}

fn quoted(port: &str) -> String {
    format!("'{port}'")
}
