//! A hub whose client, pools and workers do as a script says, for tests of single events. Cuts no bytes and adds no faults
//! of its own; those are the simulation's.

use super::hub::{Effect, Hub, PeerId, PoolSpec, Request, Signal, Wiring};
use super::simulation::wire::{self, Message};
use crate::error::Result;
use crate::ids::PoolId;
use crate::manifest::model::Recycle;
use std::collections::BTreeMap;

/// The hub and what the scripted side knows.
pub struct Stage {
    pub hub: Hub,
    names: Vec<String>,
    is_reentrant: Vec<bool>,
    /// Workers by pool, in the order in which they were connected.
    pub workers: Vec<Vec<PeerId>>,
    inboxes: BTreeMap<PeerId, Vec<u8>>,
    /// Calls that each worker runs: the hub's id and the number of the call.
    pub stacks: BTreeMap<PeerId, Vec<(u64, usize)>>,
    /// Where each call went: its worker, `!` for an error, `-` while it waits.
    pub places: Vec<String>,
    pub answers: Vec<Result<Vec<u8>>>,
    /// Ids of calls that a worker was asked to give up.
    pub cancelled: Vec<u64>,
    pub signals: Vec<Signal>,
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
            is_reentrant: pools
                .split(' ')
                .map(|pool| pool[..1] == pool[..1].to_uppercase())
                .collect(),
            workers: vec![Vec::new(); specs.len()],
            hub: Hub::new(specs, Vec::new()),
            inboxes: BTreeMap::new(),
            stacks: BTreeMap::new(),
            places: Vec::new(),
            answers: Vec::new(),
            cancelled: Vec::new(),
            signals: Vec::new(),
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

    /// `A`: a client calls that pool. `A1>B`: the function that runs on A's first worker calls B. `A1.`: it returns.
    pub fn play(&mut self, step: &str) {
        let number = self.places.len();
        if let Some((worker, pool)) = step.split_once('>') {
            let mut bytes = Vec::new();
            wire::call(&mut bytes, number as u64, Some(pool), number, b"");
            self.places.push("-".into());
            self.hub.handle_input(self.worker(worker), &bytes, 0);
        } else if let Some(worker) = step.strip_suffix('.') {
            let worker = self.worker(worker);
            let (id, _) = self.stacks.get_mut(&worker).unwrap().pop().unwrap();
            let mut bytes = Vec::new();
            wire::answer(&mut bytes, id, Ok(b""));
            self.hub.handle_input(worker, &bytes, 0);
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
        };
        self.places.push("-".into());
        self.hub.call(request, 0);
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
                wire::hello(&mut hello, 1, 1, 1, false);
                self.hub.handle_input(control, &hello, 0);
                self.greet(pool, worker);
            }
            // Who refuses has nobody to take the connection.
            Effect::Connect { .. } if self.refuses_to_grow => {}
            Effect::Connect { pool, worker } => self.greet(pool, worker),
            Effect::Answer { result, .. } => self.answers.push(result),
            Effect::Signal(_, signal) => self.signals.push(signal),
            Effect::Close(_) | Effect::Note { .. } => {}
            Effect::SpawnWorker { .. } | Effect::SignalWorker(..) | Effect::Weigh(..) => {
                unreachable!("its pools have parents")
            }
        }
    }

    fn greet(&mut self, pool: PoolId, worker: PeerId) {
        self.workers[pool.index()].push(worker);
        let mut hello = Vec::new();
        wire::hello(&mut hello, 1, 1, 1, self.is_reentrant[pool.index()]);
        self.hub.handle_input(worker, &hello, 0);
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
                    self.hub.handle_input(peer, &bytes, 0);
                }
                Message::Notification { method, params } if method == "cancel" => {
                    self.cancelled.push(wire::read_cancel(&params));
                }
                Message::Response {
                    id,
                    answer: wire::Answer::Error(error),
                } => {
                    self.places[id as usize] = format!("!{}", error.kind.name());
                }
                _ => {}
            }
        }
    }
}
