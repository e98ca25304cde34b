//! What is around the hub: time, processes, connections and clients. It carries out effects, cuts the bytes, and checks
//! after every step what must hold.

use super::Bug;
use super::faults::Faults;
use super::plan::{Forest, Plan, is_command};
use super::pool::Pool;
use super::random::Random;
use super::wire::{self, Answer};
use super::worker::Worker;
use crate::core::hub::{Effect, Ended, Function, Hub, PeerId, PoolSpec, Request, Wiring};
use crate::error::{Error, Kind, Result};
use crate::ids::PoolId;
use crate::limits::READ_BYTES;
use crate::manifest::model::Recycle;
use std::collections::{BTreeMap, BTreeSet};

/// What a socket holds in each direction.
pub const SOCKET_BYTES: usize = 200 << 10;

/// How late a timer may be handled, in milliseconds.
pub const LATE_MS: u64 = 5;

/// Steps after which a run counts as endless.
const STEPS_MAX: u64 = 3_000_000;

pub struct World {
    pub random: Random,
    pub hub: Hub,
    pub now_ms: u64,
    pub faults: Faults,
    pub has_faults: bool,
    pub plans: Vec<Plan>,
    pub pools: Vec<Pool>,
    pub workers: Vec<Worker>,
    pub links: BTreeMap<PeerId, Link>,
    pub last_pid: u32,
    /// When the pools were told to end.
    pub over_at_ms: Option<u64>,
    pub is_loud: bool,
    pub clients: Vec<Client>,
    /// Plans that a worker was given.
    ran: BTreeSet<usize>,
    /// What will happen, by time and order.
    agenda: BTreeMap<(u64, u64), Event>,
    planned_events: u64,
    lost: Vec<u8>,
    /// Time that passed although there was something to do.
    pub hurried_ms: u64,
    /// Peers that the hub said have something to write.
    pub writable: BTreeSet<PeerId>,
    pub argument_bytes_max: usize,
}

/// One connection between the hub and a process.
pub struct Link {
    pub pool: usize,
    /// What was sent to the hub; beyond [`SOCKET_BYTES`] it stands in its sender.
    pub to_hub: Vec<u8>,
    pub to_far: Vec<u8>,
    pub is_hub_open: bool,
    pub is_far_open: bool,
}

pub struct Client {
    pub plan: usize,
    timeout_ms: Option<u64>,
    /// When its answer is due at the latest.
    pub due_ms: Option<u64>,
    pub is_asked: bool,
    pub is_answered: bool,
}

#[derive(Clone, Copy, Debug)]
pub enum Event {
    /// A client makes its call.
    Ask(usize),
    /// A client gives up.
    Cancel(usize),
    /// A pool has loaded its code.
    Load(usize, u32),
    /// A pool forks a worker.
    Fork(usize, u32),
    /// A pool reports the death of a worker.
    Report(usize, u32, Ended),
    /// A pool's process ends.
    Exit(usize, u32, Ended),
    /// The pools are to end, gently (0) to at once (2).
    End(u64),
    /// A function goes on.
    Wake,
}

#[derive(Clone, Copy)]
enum Action {
    Read(PeerId),
    Write(PeerId),
    /// The hub learns that the other side is gone.
    Closed(PeerId),
    Act(usize),
    Accept(usize),
    Obey(usize),
    Reap(usize),
}

pub fn pool_name(pool: usize) -> String {
    format!("pool-{pool}")
}

/// Takes so many bytes off the front.
pub fn take_front(bytes: &mut Vec<u8>, len: usize) -> Vec<u8> {
    let rest = bytes.split_off(len);
    std::mem::replace(bytes, rest)
}

impl World {
    pub fn new(seed: u64, planted: Option<Bug>, is_loud: bool) -> World {
        let mut random = Random::new(seed);
        let faults = match random.chance(300) {
            true => Faults::default(),
            false => Faults::draw(&mut random),
        };
        let has_faults = faults != Faults::default();
        let pools = random.between(1, 4) as usize;
        let is_large = random.chance(80);
        let mut forest = Forest {
            pools,
            depth_max: random.between(0, 6),
            children_max: random.between(1, 3),
            argument_bytes: 300 << 10,
            result_bytes: 300 << 10,
            budget: 40,
        };
        if forest.children_max == 1 {
            forest.depth_max = random.between(1, 40);
        }
        if is_large {
            forest.budget = 12;
            match random.chance(500) {
                true => forest.argument_bytes = 3 << 20,
                false => forest.result_bytes = 6 << 20,
            }
        }
        let mut plans = Vec::new();
        let mut clients = Vec::new();
        for _ in 0..random.between(1, 6) {
            let timeout = faults.may_hang() || random.chance(faults.timeout);
            let plan = forest.draw(&mut plans, &faults, &mut random, 0);
            clients.push(Client {
                plan,
                timeout_ms: timeout.then(|| random.between(1, 600)),
                due_ms: None,
                is_asked: false,
                is_answered: false,
            });
        }
        let functions = (0..plans.len())
            .filter(|plan| is_command(*plan))
            .map(|plan| Function {
                name: wire::command_name(plan),
                pool: PoolId(plans[plan].pool as u32),
                mid: plan as i64,
            });
        let functions = functions.collect();
        let mut specs = Vec::new();
        let mut fakes = Vec::new();
        for pool in 0..pools {
            let spec = PoolSpec {
                name: pool_name(pool),
                workers_max: random.between(1, 4) as u32,
                hello_ms: if has_faults {
                    random.between(50, 500)
                } else {
                    10_000
                },
                call_ms: random.chance(faults.pool_timeout).then(|| random.between(1, 300)),
                shutdown_ms: if has_faults { random.between(0, 300) } else { 100 },
                wiring: Wiring::Parent,
                recycle: Recycle::default(),
                host: None,
            };
            fakes.push(Pool {
                is_reentrant: !random.chance(faults.not_reentrant),
                hello_ms: spec.hello_ms,
                shutdown_ms: spec.shutdown_ms,
                process: None,
            });
            specs.push(spec);
        }
        let mut hub = Hub::new(specs, functions);
        hub.planted = planted;
        if random.chance(faults.little_room) {
            hub.spool_bytes_max = random.size(400 << 10);
        }
        let argument_bytes = plans.iter().map(|plan| plan.argument.bytes().len());
        let mut world = World {
            hub,
            now_ms: random.below(1000),
            has_faults,
            argument_bytes_max: argument_bytes.max().unwrap_or(0),
            plans,
            pools: fakes,
            workers: Vec::new(),
            links: BTreeMap::new(),
            last_pid: 100,
            over_at_ms: None,
            is_loud,
            clients,
            ran: BTreeSet::new(),
            agenda: BTreeMap::new(),
            planned_events: 0,
            lost: Vec::new(),
            hurried_ms: 0,
            writable: BTreeSet::new(),
            faults,
            random,
        };
        trace!(world, "{:?}", world.faults);
        for client in 0..world.clients.len() {
            let at = world.random.below(60);
            world.plan_event(at, Event::Ask(client));
            if world.random.chance(world.faults.cancelled) {
                let at = world.random.below(200);
                world.plan_event(at, Event::Cancel(client));
            }
        }
        while world.random.chance(world.faults.ended_early) {
            let (at, how) = (world.random.below(300), world.random.below(3));
            world.plan_event(at, Event::End(how));
        }
        world
    }

    /// Runs until nothing is left to do, and returns after how many steps that was.
    pub fn run(&mut self) -> u64 {
        let mut steps = 0;
        while self.step() {
            steps += 1;
            assert!(steps < STEPS_MAX, "a run ends");
        }
        steps
    }

    pub fn plan_event(&mut self, delay_ms: u64, event: Event) {
        self.planned_events += 1;
        self.agenda
            .insert((self.now_ms + delay_ms, self.planned_events), event);
    }

    pub fn wake(&mut self, delay_ms: u64) {
        self.plan_event(delay_ms, Event::Wake);
    }

    /// Where a process writes to; what it writes to a connection that is gone is lost.
    pub fn out(&mut self, link: PeerId) -> &mut Vec<u8> {
        match self.links.get_mut(&link).filter(|link| link.is_far_open) {
            Some(link) => &mut link.to_hub,
            None => {
                self.lost.clear();
                &mut self.lost
            }
        }
    }

    pub fn add_link(&mut self, id: PeerId, pool: usize) {
        let link = Link {
            pool,
            to_hub: Vec::new(),
            to_far: Vec::new(),
            is_hub_open: true,
            is_far_open: true,
        };
        assert!(self.links.insert(id, link).is_none(), "a peer is new");
    }

    /// The far side of a connection is gone. What it wrote can still be read, as far as it reached the socket.
    pub fn cut_off(&mut self, id: PeerId) {
        let Some(link) = self.links.get_mut(&id) else {
            return;
        };
        link.is_far_open = false;
        link.to_far.clear();
        link.to_hub.truncate(SOCKET_BYTES);
        if !link.to_hub.is_empty() && self.random.chance(self.faults.torn) {
            let kept = self.random.below(link.to_hub.len() as u64);
            link.to_hub.truncate(kept as usize);
        }
        if !link.is_hub_open {
            self.links.remove(&id);
        }
    }

    pub fn count_run(&mut self, plan: usize) {
        assert!(self.ran.insert(plan), "plan {plan} is run once");
    }

    fn step(&mut self) -> bool {
        let actions = self.actions();
        // Time may also pass while there is something to do.
        let is_hasty = self.random.chance(20);
        if actions.is_empty() {
            if !self.advance(true) {
                return self.wind_up();
            }
        } else if !is_hasty || !self.advance(false) {
            let action = self.random.pick(&actions);
            self.perform(action);
        }
        self.make_mischief();
        true
    }

    fn actions(&self) -> Vec<Action> {
        let mut actions = Vec::new();
        for (id, link) in self.links.iter().filter(|(_, link)| link.is_hub_open) {
            let wants_input = self.hub.wants_input(*id);
            if !link.to_hub.is_empty() && wants_input {
                actions.push(Action::Read(*id));
            }
            // Of a connection that is gone the hub is also told while it does not read.
            if !link.is_far_open && (link.to_hub.is_empty() || !wants_input) {
                actions.push(Action::Closed(*id));
            }
            if self.writable.contains(id) && link.to_far.len() < SOCKET_BYTES {
                actions.push(Action::Write(*id));
            }
        }
        let workers = 0..self.workers.len();
        actions.extend(workers.filter(|worker| self.can_act(*worker)).map(Action::Act));
        for (pool, fake) in self.pools.iter().enumerate() {
            if self.can_accept(pool) {
                actions.push(Action::Accept(pool));
            }
            if self.can_obey(pool) {
                actions.push(Action::Obey(pool));
            }
            if fake
                .process
                .as_ref()
                .is_some_and(|process| process.ended.is_some())
            {
                actions.push(Action::Reap(pool));
            }
        }
        actions
    }

    fn perform(&mut self, action: Action) {
        match action {
            Action::Read(id) => {
                let link = self.links.get_mut(&id).expect("it is open");
                let cut = self.random.cut(link.to_hub.len().min(READ_BYTES));
                let mut bytes = take_front(&mut link.to_hub, cut);
                let room = self.hub.input_room(id, cut);
                match room.filter(|_| self.random.chance(500)) {
                    Some(room) => {
                        let read = room.len();
                        room.copy_from_slice(&bytes[..read]);
                        self.hub.handle_read(id, read, self.now_ms);
                        // What is behind it has not been read.
                        bytes.drain(..read);
                        if let Some(link) = self.links.get_mut(&id) {
                            link.to_hub.splice(..0, bytes);
                        }
                    }
                    None => self.hub.handle_input(id, &bytes, self.now_ms),
                }
                self.settle();
            }
            Action::Write(id) if !self.links[&id].is_far_open => self.tell_closed(id),
            Action::Write(id) => {
                let link = self.links.get_mut(&id).expect("it is open");
                let chunk = self.hub.output(id);
                let room = SOCKET_BYTES - link.to_far.len();
                let cut = match chunk.len().min(room) {
                    0 => 0,
                    most => self.random.cut(most),
                };
                link.to_far.extend_from_slice(&chunk[..cut]);
                self.hub.advance_output(id, cut);
                if self.hub.output(id).is_empty() {
                    self.writable.remove(&id);
                }
                self.settle();
            }
            Action::Closed(id) => self.tell_closed(id),
            Action::Act(worker) if self.workers[worker].is_lazy && self.random.chance(970) => {}
            Action::Act(worker) => self.act(worker),
            Action::Accept(pool) => self.take_connection(pool),
            Action::Obey(pool) => self.obey(pool),
            Action::Reap(pool) => {
                self.reap(pool);
                self.settle();
            }
        }
    }

    fn tell_closed(&mut self, id: PeerId) {
        trace!(self, "the hub learns that {id:?} is closed");
        self.hub.handle_closed(id, self.now_ms);
        self.settle();
        assert!(
            !self.links.contains_key(&id),
            "a closed connection is let go at once"
        );
    }

    /// Moves the time to what happens next. False if nothing will.
    fn advance(&mut self, is_idle: bool) -> bool {
        let planned = self.agenda.first_key_value().map(|((at, _), _)| *at);
        let due = self.hub.next_deadline().filter(|_| is_idle || self.has_faults);
        let Some(next) = planned.into_iter().chain(due).min() else {
            return false;
        };
        let late = if self.has_faults && self.random.chance(100) {
            self.random.below(LATE_MS)
        } else {
            0
        };
        let now_ms = self.now_ms.max(next + late);
        if !is_idle {
            self.hurried_ms += now_ms - self.now_ms;
        }
        self.now_ms = now_ms;
        if self.hub.next_deadline().is_some_and(|due| due <= self.now_ms) && self.random.chance(500) {
            self.handle_timeout();
        }
        while let Some(entry) = self.agenda.first_entry()
            && entry.key().0 <= self.now_ms
        {
            let event = entry.remove();
            self.happen(event);
            self.settle();
        }
        if self.hub.next_deadline().is_some_and(|due| due <= self.now_ms) {
            self.handle_timeout();
        }
        true
    }

    fn handle_timeout(&mut self) {
        trace!(self, "deadlines pass");
        self.hub.handle_timeout(self.now_ms);
        let next = self.hub.next_deadline();
        assert!(
            next.is_none_or(|next| next > self.now_ms),
            "no deadline is in the past"
        );
        self.settle();
    }

    fn happen(&mut self, event: Event) {
        if !matches!(event, Event::Wake) {
            trace!(self, "{event:?}");
        }
        match event {
            Event::Ask(client) => self.ask(client),
            Event::Cancel(client) => {
                let error = Error::new(Kind::Cancelled, "the client gave up");
                self.hub.cancel(client as u64, &error, self.now_ms);
                self.settle();
                let client = &self.clients[client];
                assert!(
                    client.is_answered || !client.is_asked,
                    "a cancelled call is answered at once"
                );
            }
            Event::Load(pool, pid) => self.load(pool, pid),
            Event::Fork(pool, pid) => self.fork(pool, pid),
            Event::Report(pool, pid, ended) => self.report(pool, pid, ended),
            Event::Exit(pool, pid, ended) => self.exit(pool, pid, ended),
            Event::End(how) => {
                self.over_at_ms.get_or_insert(self.now_ms);
                match how {
                    0 => self.hub.drain(self.now_ms),
                    1 => self.hub.terminate(self.now_ms),
                    _ => self.hub.kill(self.now_ms),
                }
            }
            Event::Wake => {}
        }
    }

    fn ask(&mut self, number: usize) {
        let client = &mut self.clients[number];
        client.is_asked = true;
        client.due_ms = client.timeout_ms.map(|timeout| self.now_ms + timeout);
        let plan = &self.plans[client.plan];
        let request = Request {
            token: number as u64,
            pool: PoolId(plan.pool as u32),
            mid: client.plan as i64,
            args: 1,
            payload: wire::blob(plan.argument.bytes()),
            timeout_ms: client.timeout_ms,
        };
        trace!(self, "client {number} calls plan {}", client.plan);
        self.hub.call(request, self.now_ms);
    }

    fn make_mischief(&mut self) {
        if !self.has_faults {
            return;
        }
        if self.random.chance(self.faults.worker_dies) && !self.workers.is_empty() {
            let worker = self.random.below(self.workers.len() as u64) as usize;
            if !self.workers[worker].is_dead {
                self.kill_worker(worker, Ended::Signal(9));
            }
        }
        let pool = self.random.below(self.pools.len() as u64) as usize;
        let pid = self.pools[pool].process.as_ref().map(|process| process.pid);
        if self.random.chance(self.faults.pool_dies)
            && let Some(pid) = pid
        {
            self.exit(pool, pid, Ended::Code(1));
        }
        if self.random.chance(self.faults.control_closes) {
            self.close_control(pool);
        }
        if self.random.chance(self.faults.garbage) && !self.workers.is_empty() {
            let worker = self.random.below(self.workers.len() as u64) as usize;
            // After half an answer it would be taken for the rest.
            if !self.workers[worker].is_stuck {
                self.spoil(self.workers[worker].link);
            }
        }
        if self.random.chance(self.faults.control_garbage) {
            self.spoil(self.pools[pool].control());
        }
    }

    /// Writes what a peer should not.
    fn spoil(&mut self, id: Option<PeerId>) {
        let Some(link) = id.and_then(|id| self.links.get_mut(&id)) else {
            return;
        };
        trace!(self, "{id:?} writes garbage");
        let out = &mut link.to_hub;
        // Ids that are not in use: what looks like an answer would be one.
        let id = 100 + self.random.below(8);
        match self.random.below(8) {
            0 => out.extend_from_slice(&self.random.next().to_le_bytes()),
            1 => out.extend_from_slice(b"GET / HTTP/1.1\r\n\r\n"),
            2 => out.extend_from_slice(&[0; 9]),
            3 => out.extend_from_slice(&[0xff, 0xff, 0xff, 0xff, 0x94, 1, id as u8, 0xc0, 0xc0]),
            4 => out.extend_from_slice(&[0, 8, 0, 0, 0x94, 0, id as u8, 0xa4, b'c', b'a', b'l', b'l']),
            5 => wire::grown(out, id, None),
            6 => wire::grown(out, id, Some(3)),
            _ => wire::hello(out, 1, 5, 1, true),
        }
    }

    /// Carries out what the hub wants, and checks what must hold.
    fn settle(&mut self) {
        while let Some(effect) = self.hub.poll_effect() {
            self.carry_out(effect);
        }
        while let Some(id) = self.hub.poll_output() {
            if self.links.get(&id).is_some_and(|link| link.is_hub_open) {
                self.writable.insert(id);
            } else {
                assert!(self.hub.output(id).is_empty(), "nothing is sent to the dead");
            }
        }
        self.check();
    }

    fn carry_out(&mut self, effect: Effect) {
        match effect {
            Effect::Spawn {
                pool,
                control,
                worker,
            } => {
                trace!(self, "spawn {pool:?}, control {control:?}, worker {worker:?}");
                self.spawn(pool.index(), control, worker);
            }
            Effect::Connect { pool, worker } => {
                trace!(self, "connect {pool:?}, worker {worker:?}");
                self.connect(pool.index(), worker);
            }
            Effect::Close(id) => {
                trace!(self, "close {id:?}");
                let link = self.links.get_mut(&id).expect("a connection is closed once");
                assert!(link.is_hub_open, "a connection is closed once");
                link.is_hub_open = false;
                link.to_hub.clear();
                self.writable.remove(&id);
                if !link.is_far_open {
                    self.links.remove(&id);
                }
            }
            Effect::Signal(pool, signal) => {
                trace!(self, "{signal:?} to {pool:?}");
                self.signal(pool.index(), signal);
            }
            Effect::SpawnWorker { .. } | Effect::SignalWorker(..) | Effect::Weigh(..) => {
                unreachable!("its pools have parents")
            }
            Effect::Answer { token, result } => self.answer(token as usize, result),
            Effect::Note { pool, .. } => {
                let is_running = self.pools[pool.index()].process.is_some();
                assert!(is_running, "a pool that is gone says nothing");
            }
        }
    }

    fn answer(&mut self, number: usize, result: Result<Vec<u8>>) {
        trace!(
            self,
            "client {number} is answered: {:?}",
            result.as_ref().map(Vec::len)
        );
        let client = &mut self.clients[number];
        assert!(client.is_asked, "who asked is answered");
        assert!(!client.is_answered, "a call is answered once");
        client.is_answered = true;
        let plan = client.plan;
        self.judge_result(plan, result.map_or_else(Answer::Error, Answer::Value));
        if self.over_at_ms.is_none()
            && self.clients.iter().all(|client| client.is_answered)
            && self.random.chance(500)
        {
            self.plan_event(0, Event::End(0));
        }
    }
}
