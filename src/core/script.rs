//! A hub whose client, pools and workers do as a script says, for tests of single events. Cuts no bytes and adds no faults
//! of its own; those are the simulation's.

use super::hub::{Effect, Ended, Hub, PeerId, PoolSpec, Request, Signal, Wiring};
use super::peer::Peer;
use super::simulation::wire::{self, Hello, Message, Target};
use crate::error::{Error, Result};
use crate::ids::PoolId;
use crate::manifest::model::Recycle;
use std::collections::BTreeMap;

/// What a pool says of itself, with one worker.
pub const POOL_HELLO: Hello = Hello {
    protocol: 1,
    pid: 1,
    workers: 1,
    is_reentrant: false,
    is_concurrent: false,
    can_retire: false,
    can_signal: false,
};

/// The hub and what the scripted side knows.
pub struct Stage {
    pub hub: Hub,
    names: Vec<String>,
    /// What workers say of themselves, by pool.
    pub hellos: Vec<Hello>,
    /// What pools say of themselves.
    pub pool_hello: Hello,
    /// Workers by pool, in the order in which they were connected.
    pub workers: Vec<Vec<PeerId>>,
    inboxes: BTreeMap<PeerId, Vec<u8>>,
    /// Calls that each worker runs: the hub's id and the number of the call.
    pub stacks: BTreeMap<PeerId, Vec<(u64, usize)>>,
    /// Where each call went: its worker, `!` for an error, `-` while it waits.
    pub places: Vec<String>,
    pub answers: Vec<Result<Vec<u8>>>,
    /// What calls of workers were refused or failed with.
    pub errors: Vec<Error>,
    /// Ids of calls that a worker was asked to give up.
    pub cancelled: Vec<u64>,
    pub signals: Vec<Signal>,
    /// Processes of workers without a parent that were sent a signal.
    pub worker_signals: Vec<(PeerId, Signal)>,
    /// Signals that a parent was asked to pass on: to which process, and which.
    pub passed_on: Vec<(u32, i64)>,
    /// Workers that were told to end.
    pub retired: Vec<PeerId>,
    pub closed: Vec<PeerId>,
    /// What a worker weighs, if it is asked.
    pub rss_bytes: u64,
    pub now_ms: u64,
    /// How often pools were asked for one more worker.
    pub grows: u32,
    pub refuses_to_grow: bool,
    /// New pools and workers say no hello.
    pub is_silent: bool,
}

impl Stage {
    /// Pools as `A2 b1`: a name, the most workers; a small letter for workers that are not reentrant.
    pub fn new(pools: &str) -> Stage {
        let specs = pools.split(' ').map(|pool| PoolSpec {
            name: pool[..1].to_uppercase(),
            workers_max: pool[1..].parse().unwrap(),
            hello_ms: 100,
            call_ms: None,
            shutdown_ms: 100,
            wiring: Wiring::Parent,
            recycle: Recycle::default(),
            host: None,
        });
        let specs: Vec<PoolSpec> = specs.collect();
        Stage {
            names: specs.iter().map(|spec| spec.name.clone()).collect(),
            hellos: pools
                .split(' ')
                .map(|pool| Hello {
                    is_reentrant: pool[..1] == pool[..1].to_uppercase(),
                    ..POOL_HELLO
                })
                .collect(),
            pool_hello: POOL_HELLO,
            workers: vec![Vec::new(); specs.len()],
            hub: Hub::new(specs, Vec::new()),
            inboxes: BTreeMap::new(),
            stacks: BTreeMap::new(),
            places: Vec::new(),
            answers: Vec::new(),
            errors: Vec::new(),
            cancelled: Vec::new(),
            signals: Vec::new(),
            worker_signals: Vec::new(),
            passed_on: Vec::new(),
            retired: Vec::new(),
            closed: Vec::new(),
            rss_bytes: 0,
            now_ms: 0,
            grows: 0,
            refuses_to_grow: false,
            is_silent: false,
        }
    }

    fn pool(&self, name: &str) -> usize {
        self.names.iter().position(|pool| pool == name).unwrap()
    }

    pub fn worker(&self, name: &str) -> PeerId {
        self.workers[self.pool(&name[..1])][name[1..].parse::<usize>().unwrap() - 1]
    }

    /// The process id of a worker.
    pub fn pid(&self, name: &str) -> u32 {
        let peer = self.worker(name);
        let worker = self.hub.peers.get(peer).and_then(Peer::worker);
        worker.unwrap().pid
    }

    /// `A`: a client calls that pool. `A1>B`: the function that runs on A's first worker calls B and waits, `A1>>B`: it calls
    /// B and goes on, `A1>B2`: it calls B's second worker. `A1.`: it returns. `+9`: so many milliseconds pass.
    pub fn play(&mut self, step: &str) {
        let number = self.places.len();
        if let Some((worker, mut whom)) = step.split_once('>') {
            let from = self.worker(worker);
            let mut target = Target::pool(&whom.trim_start_matches('>')[..1]);
            if let Some(called) = whom.strip_prefix('>') {
                target.parent = self.stacks[&from].last().map(|(id, _)| *id);
                whom = called;
            }
            target.pid = (whom.len() > 1).then(|| self.pid(whom));
            let mut bytes = Vec::new();
            wire::call(&mut bytes, number as u64, &target, number, b"");
            self.places.push("-".into());
            self.hub.handle_input(from, &bytes, self.now_ms);
        } else if let Some(ms) = step.strip_prefix('+') {
            self.now_ms += ms.parse::<u64>().unwrap();
            self.hub.handle_timeout(self.now_ms);
        } else if let Some(worker) = step.strip_suffix('.') {
            let worker = self.worker(worker);
            let (id, _) = self.stacks.get_mut(&worker).unwrap().pop().unwrap();
            let mut bytes = Vec::new();
            wire::answer(&mut bytes, id, Ok(b""));
            self.hub.handle_input(worker, &bytes, self.now_ms);
        } else {
            return self.ask(step, None);
        }
        self.settle();
    }

    /// A client calls that pool.
    pub fn ask(&mut self, pool: &str, timeout_ms: Option<u64>) {
        let number = self.places.len();
        let request = Request {
            token: number as u64,
            pool: PoolId(self.pool(pool) as u32),
            mid: number as i64,
            args: 1,
            payload: wire::blob(b""),
            timeout_ms,
            pid: None,
            parent: None,
        };
        self.places.push("-".into());
        self.hub.call(request, self.now_ms);
        self.settle();
    }

    /// A worker's process ends, and its parent says so.
    pub fn end_worker(&mut self, worker: PeerId, ended: Ended) {
        let peer = self.hub.peers.get(worker).unwrap();
        let (pool, pid) = (peer.pool, peer.worker().unwrap().pid);
        self.hub.handle_closed(worker, self.now_ms);
        let mut bytes = Vec::new();
        wire::worker_exit(&mut bytes, pid, ended);
        let control = self.hub.pools[pool.index()].control.unwrap();
        self.hub.handle_input(control, &bytes, self.now_ms);
        self.settle();
    }

    /// A pool's process ends.
    pub fn end_pool(&mut self, name: &str, ended: Ended) {
        let pool = PoolId(self.pool(name) as u32);
        self.hub.handle_exited(pool, ended, self.now_ms);
        self.settle();
    }

    pub fn settle(&mut self) {
        loop {
            if let Some(effect) = self.hub.poll_effect() {
                self.carry_out(effect);
            } else if let Some(peer) = self.hub.poll_output() {
                self.deliver(peer);
            } else {
                return;
            }
        }
    }

    fn carry_out(&mut self, effect: Effect) {
        let mut hello = Vec::new();
        match effect {
            Effect::Spawn { .. } | Effect::Connect { .. } if self.is_silent => {}
            Effect::Spawn {
                pool,
                control,
                worker,
            } => {
                wire::hello(&mut hello, self.pool_hello);
                self.hub.handle_input(control, &hello, self.now_ms);
                self.greet(pool, worker);
            }
            // Who refuses has nobody to take the connection.
            Effect::Connect { .. } if self.refuses_to_grow => {}
            Effect::Connect { pool, worker } => self.greet(pool, worker),
            // What becomes of worker processes is tested in `process`.
            Effect::Process { .. } | Effect::EndOwner(..) => {}
            Effect::Answer { result, .. } => self.answers.push(result),
            Effect::Signal(_, signal) => self.signals.push(signal),
            Effect::Close(peer) => self.closed.push(peer),
            Effect::Note { .. } | Effect::Mark(_) | Effect::Host { .. } | Effect::CancelHost(_) => {}
            Effect::SpawnWorker { .. } if self.is_silent => {}
            Effect::SpawnWorker { pool, worker } => self.greet(pool, worker),
            Effect::SignalWorker(worker, signal) => self.worker_signals.push((worker, signal)),
            Effect::Weigh(worker, _) => self.hub.handle_weight(worker, self.rss_bytes, self.now_ms),
        }
    }

    fn greet(&mut self, pool: PoolId, worker: PeerId) {
        self.workers[pool.index()].push(worker);
        let mut hello = Vec::new();
        let number = self.workers[pool.index()].len() as u32;
        let worker_hello = Hello {
            pid: 1000 * (pool.0 + 1) + number,
            ..self.hellos[pool.index()]
        };
        wire::hello(&mut hello, worker_hello);
        self.hub.handle_input(worker, &hello, self.now_ms);
    }

    fn deliver(&mut self, peer: PeerId) {
        let inbox = self.inboxes.entry(peer).or_default();
        while !self.hub.output(peer).is_empty() {
            inbox.extend_from_slice(self.hub.output(peer));
            self.hub.advance_output(peer, self.hub.output(peer).len());
        }
        while let Some(message) = wire::take_message(inbox) {
            match message {
                Message::Request { id, method, params } if method == "call" => {
                    let (number, _) = wire::read_call(&params);
                    let pool = self.workers.iter().position(|pool| pool.contains(&peer)).unwrap();
                    let worker = self.workers[pool]
                        .iter()
                        .position(|worker| *worker == peer)
                        .unwrap();
                    self.places[number] = format!("{}{}", self.names[pool], worker + 1);
                    self.stacks.entry(peer).or_default().push((id, number));
                }
                Message::Request { id, .. } => {
                    self.grows += 1;
                    let mut bytes = Vec::new();
                    wire::grown(&mut bytes, id, (!self.refuses_to_grow).then_some(1));
                    self.hub.handle_input(peer, &bytes, self.now_ms);
                }
                Message::Notification { method, params } if method == "cancel" => {
                    self.cancelled.push(wire::read_cancel(&params));
                }
                Message::Notification { method, params } if method == "signal" => {
                    self.passed_on.push(wire::read_signal(&params));
                }
                Message::Notification { method, .. } if method == "retire" => self.retired.push(peer),
                Message::Response {
                    id,
                    answer: wire::Answer::Error(error),
                } => {
                    self.places[id as usize] = format!("!{}", error.kind.name());
                    self.errors.push(*error);
                }
                _ => {}
            }
        }
    }
}
