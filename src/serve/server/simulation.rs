//! The whole server in a world that is drawn from a seed: clients over HTTP that send several requests at once and hang up,
//! clients of the private socket that also operate it, a shell that loads, runs and unloads, in virtual time. Each request is
//! answered once, in its place, and nothing is left at the end. Opens no socket.

use super::{CallId, ClientId, Config, Door, Effect, Server};
use crate::codec::msgpack::{Reader, Token, write};
use crate::core::simulation::check_planted;
use crate::core::simulation::random::Random;
use crate::error::{Error, Kind};
use crate::ids::PoolId;
use crate::manifest::model::Manifest;
use crate::manifest::parse::parse;
use crate::serve::deployment::{DeploymentId, Name, PoolState, Start};
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

/// A bug in the server that is there only to be found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Bug {
    /// A call that is refused is not answered before its deadline.
    ForgetRefused,
    /// A call that is answered counts as one that runs.
    CallRunsOn,
    /// What is known of a program is kept when it is unloaded.
    KeepProgram,
}

/// Seeds that are run, and in which a planted bug has to be found: some seconds' worth.
const SEEDS: u64 = 1000;
const BUSY_STEPS: u64 = 150;

const MANIFEST: &[u8] = br#"{"version": 1, "name": "n", "pools": [], "groups": [], "commands": [
    {"name": "same", "type": "pure", "arg_schemas": ["i4"], "return_schema": "i4",
     "args": [{"kind": "pos", "metavar": "N", "type_desc": "Int"}],
     "expr": {"tag": "lambda", "vars": ["x"], "body": {"tag": "bound", "schema": "i4", "var": "x"}}}]}"#;

enum Event {
    Loaded(DeploymentId, bool),
    Unloaded(DeploymentId),
    Answer(CallId, bool),
    Survey(u64),
}

/// Somebody who is connected.
struct Peer {
    id: ClientId,
    door: Door,
    /// What is on its way to the server.
    to_server: VecDeque<u8>,
    /// What came back and is not a whole answer yet.
    came: Vec<u8>,
    /// Requests that are not answered: numbers, in the order in which they were sent.
    open: VecDeque<u64>,
    has_ended: bool,
    is_gone: bool,
}

struct World {
    random: Random,
    now_ms: u64,
    server: Server,
    manifest: Rc<Manifest>,
    text: Rc<[u8]>,
    agenda: BTreeMap<(u64, u64), Event>,
    planned: u64,
    peers: Vec<Peer>,
    requests: u64,
    good: u64,
    /// Programs that the shell has, and those that it is to unload.
    programs: BTreeMap<DeploymentId, bool>,
    /// Calls that run.
    runs: BTreeMap<CallId, (DeploymentId, Vec<u8>)>,
    loads: u64,
    unloads: u64,
    call_ms: u64,
    load_fails: u64,
    reads_slowly: bool,
}

impl World {
    fn new(seed: u64, planted: Option<Bug>) -> World {
        let mut random = Random::new(seed);
        let config = Config {
            grace_ms: random.pick(&[0, 500, 5000]),
            timeout_ms: random.pick(&[100, 60_000]),
            mark: "m".into(),
            ..Config::default()
        };
        let manifest = parse(MANIFEST, "n.json").unwrap_or_else(|errors| panic!("{errors:?}"));
        let mut server = Server::new(config, 0);
        server.planted = planted;
        World {
            now_ms: 0,
            server,
            manifest: Rc::new(manifest),
            text: MANIFEST.into(),
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
            reads_slowly: random.chance(300),
            random,
        }
    }

    fn run(mut self) -> u64 {
        for number in 0..2 {
            self.deploy(number);
        }
        for _ in 0..BUSY_STEPS {
            self.act();
            let until_ms = self.now_ms + self.random.pick(&[0, 0, 3, 50, 400]);
            self.pass(until_ms);
        }
        if self.random.chance(500) {
            // All is answered without an end that would answer it.
            self.reads_slowly = false;
            self.pass(self.now_ms + 20_000_000);
            for peer in &self.peers {
                assert!(
                    peer.is_gone || peer.open.is_empty(),
                    "requests {:?} are answered",
                    peer.open
                );
            }
        }
        self.reads_slowly = false;
        self.server.drain(self.now_ms);
        self.settle();
        self.pass(self.now_ms + 20_000_000);
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
        self.good
    }

    fn plan(&mut self, most_ms: u64, event: Event) {
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
        match self.random.below(20) {
            0..2 => {
                let door = self.random.pick(&[Door::Web, Door::Web, Door::Private]);
                if let Some(id) = self.server.handle_accepted(door, self.now_ms) {
                    self.peers.push(Peer {
                        id,
                        door,
                        to_server: VecDeque::new(),
                        came: Vec::new(),
                        open: VecDeque::new(),
                        has_ended: false,
                        is_gone: false,
                    });
                }
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
                let state =
                    self.random
                        .pick(&[PoolState::Down, PoolState::Up, PoolState::LeftAlone(until_ms)]);
                self.server.handle_pool_state(id, PoolId(0), state, self.now_ms);
            }
            5 => {
                let (source, fingerprint) = (self.random.below(2), self.random.below(3));
                self.server
                    .handle_changed(&format!("s{source}"), fingerprint, self.now_ms);
            }
            _ if !self.peers.is_empty() => {
                let at = self.random.below(self.peers.len() as u64) as usize;
                for _ in 0..self.random.between(1, 4) {
                    self.ask(at);
                }
            }
            _ => {}
        }
        self.settle();
    }

    /// A peer sends a request.
    fn ask(&mut self, at: usize) {
        self.requests += 1;
        let number = self.requests;
        let (target, drawn) = (self.random.below(3), self.random.below(20));
        let peer = &mut self.peers[at];
        if peer.is_gone || peer.has_ended {
            return;
        }
        peer.open.push_back(number);
        match peer.door {
            Door::Web | Door::Flow(_) => {
                let path = match drawn {
                    0 => "/healthz".to_string(),
                    1 => "/nothing".to_string(),
                    _ => format!("/v1/call/default/n{target}/same"),
                };
                let body = format!("[{}]", number % 1000);
                let limit = match drawn {
                    2..5 => "x-request-timeout-ms: 50\r\n",
                    _ => "",
                };
                let head = format!(
                    "POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
                     x-request-id: {number}\r\n{limit}content-length: {}\r\n\r\n{body}",
                    body.len()
                );
                peer.to_server.extend(head.into_bytes());
            }
            Door::Private => {
                let mut params = Vec::new();
                let name = format!("n{target}");
                let (method, count) = match drawn {
                    0 => ("ping", 0),
                    1 => ("list", 0),
                    2 => ("ps", 0),
                    3 => {
                        write::string(&mut params, &name);
                        ("reload", 1)
                    }
                    4 => {
                        write::string(&mut params, &name);
                        ("delete", 1)
                    }
                    _ => {
                        write::string(&mut params, &name);
                        write::string(&mut params, "same");
                        write::int(&mut params, (number % 1000) as i64);
                        ("call", 3)
                    }
                };
                let mut message = Vec::new();
                write::array(&mut message, 4);
                write::unsigned(&mut message, 0);
                write::unsigned(&mut message, number);
                write::string(&mut message, method);
                write::array(&mut message, count);
                message.extend(params);
                peer.to_server.extend((message.len() as u32).to_be_bytes());
                peer.to_server.extend(message);
            }
        }
    }

    fn hang_up(&mut self, at: usize) {
        let peer = &mut self.peers[at];
        if !peer.is_gone {
            peer.is_gone = true;
            self.server.handle_reset(peer.id, self.now_ms);
            // As the shell does when its socket is gone.
            assert!(self.server.take_over(self.peers[at].id, self.now_ms) || self.peers[at].has_ended);
        }
    }

    /// Time passes, and what is to happen does.
    fn pass(&mut self, until_ms: u64) {
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
            Event::Loaded(id, _) if self.programs.get(&id) != Some(&false) => {}
            Event::Loaded(id, true) => {
                self.server
                    .handle_loaded(id, (&self.manifest, &self.text), now_ms % 3, now_ms)
            }
            Event::Loaded(id, false) => {
                let error = Error::new(Kind::Manifest, "it is bad");
                self.server.handle_load_failed(id, now_ms % 3, error, now_ms);
            }
            Event::Unloaded(id) => {
                let runs: Vec<CallId> = self
                    .runs
                    .iter()
                    .filter(|run| run.1.0 == id)
                    .map(|run| *run.0)
                    .collect();
                for call in runs {
                    self.answer(call, false);
                }
                self.programs.remove(&id);
                self.server.handle_unloaded(id, now_ms);
            }
            Event::Answer(call, is_good) => self.answer(call, is_good),
            Event::Survey(ticket) => self.server.handle_survey(ticket, &[], &[], now_ms),
        }
    }

    fn answer(&mut self, call: CallId, is_good: bool) {
        if let Some((_, argument)) = self.runs.remove(&call) {
            let answer = match is_good {
                true => Ok(argument),
                false => Err(Error::new(Kind::Terminated, "its worker died")),
            };
            self.server.handle_answer(call, answer, self.now_ms);
        }
    }

    /// Carries out what the server wants, and carries bytes to and fro.
    fn settle(&mut self) {
        loop {
            while let Some(effect) = self.server.poll_effect() {
                self.carry_out(effect);
            }
            let mut is_idle = true;
            for at in 0..self.peers.len() {
                is_idle &= !self.carry(at);
            }
            while self.server.poll_client().is_some() {}
            if is_idle && self.server.effects.is_empty() {
                break;
            }
        }
        self.check();
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
    }

    fn carry_out(&mut self, effect: Effect) {
        match effect {
            Effect::Load { id, is_lazy, .. } => {
                self.loads += 1;
                assert!(self.programs.insert(id, false).is_none(), "it is loaded once");
                let is_good = !self.random.chance(self.load_fails);
                let most_ms = if is_lazy { 0 } else { 300 };
                self.plan(most_ms, Event::Loaded(id, is_good));
            }
            Effect::Unload { id, is_at_once } => {
                self.unloads += 1;
                assert_eq!(self.programs.insert(id, true), Some(false), "it is unloaded once");
                let has_runs = self.runs.values().any(|(of, _)| *of == id);
                assert!(is_at_once || !has_runs, "calls run in what is unloaded");
                self.plan(100, Event::Unloaded(id));
            }
            Effect::Run { call, id, args, .. } => {
                assert_eq!(
                    self.programs.get(&id),
                    Some(&false),
                    "calls run in what is loaded"
                );
                assert!(
                    self.runs.insert(call, (id, args.concat())).is_none(),
                    "it is run once"
                );
                let is_good = self.random.chance(900);
                self.plan(self.call_ms, Event::Answer(call, is_good));
            }
            // It may be answered already, and ends soon if not.
            Effect::Cancel(call, _) => self.plan(20, Event::Answer(call, false)),
            Effect::Survey(ticket) => self.plan(10, Event::Survey(ticket)),
            Effect::Kill(..) | Effect::Log(_) | Effect::Reconfigure | Effect::Stop => {}
            Effect::OpenSource { .. }
            | Effect::CloseSource(_)
            | Effect::Connect { .. }
            | Effect::Disconnect(_)
            | Effect::Store(_)
            | Effect::Tested(_) => panic!("there are no flows: {effect:?}"),
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
        if !peer.to_server.is_empty() && self.server.wants_input(peer.id) {
            let len = self.random.cut(peer.to_server.len());
            let bytes: Vec<u8> = peer.to_server.drain(..len).collect();
            self.server.handle_input(peer.id, &bytes, now_ms);
            is_busy = true;
        }
        let output = self.server.output(peer.id).to_vec();
        let is_slow = self.reads_slowly && self.random.chance(900);
        if !output.is_empty() && !is_slow {
            let len = self.random.cut(output.len());
            peer.came.extend_from_slice(&output[..len]);
            self.server.advance_output(peer.id, len, now_ms);
            is_busy = true;
        }
        let good = match peer.door {
            Door::Web | Door::Flow(_) => take_web(peer),
            Door::Private => take_private(peer),
        };
        self.good += good;
        if self.server.wants_shutdown(peer.id) && !peer.has_ended {
            peer.has_ended = true;
            self.server.handle_end(peer.id, now_ms);
            is_busy = true;
        }
        if self.server.take_over(self.peers[at].id, now_ms) {
            self.peers[at].is_gone = true;
            is_busy = true;
        }
        is_busy
    }
}

/// Takes the whole answers that came over HTTP: each is that of the oldest request. How many were results of calls.
fn take_web(peer: &mut Peer) -> u64 {
    let mut taken = 0;
    loop {
        let mut headers = [httparse::EMPTY_HEADER; 32];
        let mut response = httparse::Response::new(&mut headers);
        let Ok(httparse::Status::Complete(head)) = response.parse(&peer.came) else {
            return taken;
        };
        let header = |name: &str| {
            let found = response
                .headers
                .iter()
                .find(|header| header.name.eq_ignore_ascii_case(name));
            found.map(|header| str::from_utf8(header.value).unwrap())
        };
        let len: usize = header("content-length").map_or(0, |len| len.parse().unwrap());
        if peer.came.len() < head + len {
            return taken;
        }
        let status = response.code.unwrap();
        let body = str::from_utf8(&peer.came[head..head + len]).unwrap();
        match status {
            // A client that has asked for nothing is told why its connection is closed.
            408 if peer.open.is_empty() => {}
            _ => {
                let number = peer.open.pop_front().expect("an answer is to a request");
                if let Some(id) = header("x-request-id") {
                    assert_eq!(id, number.to_string(), "answers come in order");
                    if status == 200 {
                        assert_eq!(body.trim(), (number % 1000).to_string());
                        taken += 1;
                    }
                }
            }
        }
        peer.came.drain(..head + len);
    }
}

/// Takes the whole answers that came over the private socket: each is that of one request. How many were no errors.
fn take_private(peer: &mut Peer) -> u64 {
    let mut taken = 0;
    while let Some((len, rest)) = peer.came.split_first_chunk::<4>() {
        let len = u32::from_be_bytes(*len) as usize;
        if rest.len() < len {
            break;
        }
        let mut reader = Reader::new(&rest[..len]);
        assert_eq!(reader.array_head().unwrap(), Some(4));
        reader.skip().unwrap();
        let number = match reader.next().unwrap() {
            Token::Int(number) => number as u64,
            Token::Unsigned(number) => number,
            _ => panic!("an id is a number"),
        };
        let at = peer.open.iter().position(|open| *open == number);
        peer.open.remove(at.expect("each request is answered once"));
        taken += u64::from(reader.next() == Ok(Token::Nil));
        peer.came.drain(..4 + len);
    }
    taken
}

#[test]
fn seeds() {
    let mut good = 0;
    for seed in 0..SEEDS {
        let ran = std::panic::catch_unwind(|| World::new(seed, None).run());
        good += ran.unwrap_or_else(|failure| {
            eprintln!("with seed {seed}");
            std::panic::resume_unwind(failure)
        });
    }
    assert!(good > 10 * SEEDS, "requests are answered well, {good} of them");
    println!("{SEEDS} seeds, {good} results");
}

#[test]
fn planted_bugs_are_found() {
    let bugs = [Bug::ForgetRefused, Bug::CallRunsOn, Bug::KeepProgram];
    check_planted(&bugs, SEEDS, |seed, bug| World::new(seed, bug).run());
}
