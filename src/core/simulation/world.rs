//! What is around the hub: time, connections and clients, and what happens next. Carries out no effects; that is done in
//! `effects`.

use super::Bug;
use super::desk::Desk;
use super::faults::Faults;
use super::host::Host;
use super::piping::Piping;
use super::plan::{Forest, Plan, Step, is_command};
use super::pool::Pool;
use super::random::Random;
use super::shadow::Shadow;
use super::system::{Move, System};
use super::wire;
use super::worker::Worker;
use crate::core::hub::{Ended, Function, Hub, Note, PeerId, Request};
use crate::core::process::table::Table;
use crate::error::{Error, Kind};
use crate::ids::PoolId;
use crate::limits::READ_BYTES;
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
    /// Notes that were written and have not come out.
    pub notes: Vec<(usize, Note)>,
    /// On which worker a plan has to run.
    pub pins: BTreeMap<usize, u32>,
    pub shadow: Shadow,
    pub host: Host,
    /// Time that passed although there was something to do.
    pub hurried_ms: u64,
    /// Peers that the hub said have something to write.
    pub writable: BTreeSet<PeerId>,
    /// Worker processes: their table, the programs that they are, and what is known of both.
    pub table: Table,
    pub system: System,
    pub desk: Desk,
    pub piping: Piping,
    /// Messages that were made for worker processes.
    pub messages: u64,
    /// Bytes of the largest argument, and of all results that nexus gives: they are kept whole.
    pub whole_bytes_max: usize,
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
    /// When its answer came, by the clock that stands still while there is something to do.
    pub over_ms: Option<u64>,
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
    /// A worker without a parent has loaded its code.
    LoadWorker(usize),
    /// A worker's process ends.
    Die(usize, Ended),
    /// A signal ends a program.
    Fall(usize, i32),
    /// A pipe begins.
    Pipe,
    /// A pipe is given up.
    EndPipe(u64),
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
    ReapWorker(usize),
    /// A function of nexus goes on.
    Host(usize),
    Program(Move),
    /// Pipes are moved on.
    Pipes,
    /// A function of a pipe is done with an item.
    Item(usize),
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
        let hosts: Vec<_> = (0..pools).map(|_| Pool::draw_host(pools, &mut random)).collect();
        let hosted = hosts.iter().cloned().enumerate();
        let pools: Vec<Pool> = hosted
            .map(|(number, host)| Pool::draw(number, host, &faults, &mut random))
            .collect();
        let mut forest = Forest {
            hosts,
            client: 0,
            hosted: random.pick(&[0, 200, 500]),
            works: random.pick(&[0, 0, 0, 0, 0, 0, 100, 300]),
            depth_max: random.between(0, 6),
            children_max: random.between(1, 3),
            parallel: random.pick(&[0, 0, 300, 800]),
            // What a fault may do to a function value, nothing else may.
            pinned: random.pick(if has_faults { &[0, 0, 0, 300] } else { &[0, 300] }),
            argument_bytes: 300 << 10,
            result_bytes: 300 << 10,
            log_bytes: if random.chance(50) { 3 << 20 } else { 200 },
            budget: 40,
        };
        if forest.children_max == 1 {
            forest.depth_max = random.between(1, 40);
        }
        if random.chance(80) {
            forest.budget = 12;
            match random.chance(500) {
                true => forest.argument_bytes = 3 << 20,
                false => forest.result_bytes = 6 << 20,
            }
        }
        // Some programs are kept for long, and have time to go idle, age, and die again and again.
        let span_ms = random.pick(&[60, 60, 60, 400, 3000, 120_000]);
        let pipes = random.pick(&[0, 0, 0, 0, 0, 0, 300, 600]);
        let is_parallel = forest.parallel > 0 || pools.iter().any(|pool| pool.is_concurrent);
        let mut plans = Vec::new();
        let mut clients = Vec::new();
        for number in 0..random.between(1, if span_ms > 400 { 16 } else { 6 }) {
            let timeout = faults.may_hang(is_parallel) || random.chance(faults.timeout);
            forest.client = number as usize;
            let plan = forest.draw(&mut plans, &faults, &mut random, 0);
            clients.push(Client {
                plan,
                timeout_ms: timeout.then(|| random.between(1, 600)),
                due_ms: None,
                over_ms: None,
                is_asked: false,
                is_answered: false,
            });
        }
        let functions = (0..plans.len())
            .filter(|plan| is_command(*plan) && plans[*plan].pool < pools.len())
            .map(|plan| Function {
                name: wire::command_name(plan),
                pool: PoolId(plans[plan].pool as u32),
                mid: plan as i64,
            });
        let functions = functions.collect();
        let specs = pools.iter().map(|pool| pool.spec.clone()).collect();
        let mut hub = Hub::new(specs, functions);
        hub.planted = planted;
        if random.chance(faults.little_room) {
            hub.spool_bytes_max = random.size(400 << 10);
        }
        let argument_bytes = plans
            .iter()
            .map(|plan| plan.argument.bytes().len())
            .max()
            .unwrap_or(0);
        // An answer is kept back whole until the worker processes of its call have ended.
        let works = |plan: &Plan| plan.steps.iter().any(|step| matches!(step, Step::Work));
        let hosted = plans
            .iter()
            .filter(|plan| plan.pool == pools.len() || works(plan));
        let hosted_bytes: usize = hosted.map(|plan| plan.result.bytes().len()).sum();
        let mut world = World {
            hub,
            now_ms: random.below(1000),
            has_faults,
            whole_bytes_max: argument_bytes + hosted_bytes,
            plans,
            pools,
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
            notes: Vec::new(),
            pins: BTreeMap::new(),
            shadow: Shadow::default(),
            host: Host::default(),
            hurried_ms: 0,
            table: Table::default(),
            system: System::new(random.pick(&[3, 100, 4096, 64 << 10, 64 << 10])),
            desk: Desk::default(),
            piping: Piping::default(),
            messages: 0,
            writable: BTreeSet::new(),
            faults,
            random,
        };
        world.table.planted = planted;
        trace!(world, "{:?}", world.faults);
        for pool in &world.pools {
            trace!(world, "{:?}, retires {}", pool.spec, pool.can_retire);
        }
        for client in 0..world.clients.len() {
            let at = world.random.below(span_ms);
            world.plan_event(at, Event::Ask(client));
            if world.random.chance(world.faults.cancelled) {
                let at = at + world.random.below(200);
                world.plan_event(at, Event::Cancel(client));
            }
        }
        while world.random.chance(pipes) {
            let at = world.random.below(span_ms);
            world.plan_event(at, Event::Pipe);
        }
        while world.random.chance(world.faults.ended_early) {
            let (at, how) = (world.random.below(300.max(span_ms)), world.random.below(3));
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

    /// The time that has passed with nothing to do.
    pub fn clock_ms(&self) -> u64 {
        self.now_ms - self.hurried_ms
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
        actions.extend(
            workers
                .clone()
                .filter(|worker| self.can_act(*worker))
                .map(Action::Act),
        );
        actions.extend(
            workers
                .filter(|worker| self.can_reap_worker(*worker))
                .map(Action::ReapWorker),
        );
        actions.extend(self.hosted_runnable().map(Action::Host));
        let moves = self.system.moves(self.now_ms, |id| self.table.wants_input(id));
        actions.extend(moves.into_iter().map(Action::Program));
        actions.extend(self.piping.is_due.then_some(Action::Pipes));
        actions.extend((0..self.items()).map(Action::Item));
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
                self.write(id, false);
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
            Action::ReapWorker(worker) => self.reap_worker(worker),
            Action::Host(position) => self.act_hosted(position),
            Action::Program(it) => {
                self.make_move(it);
                self.settle();
            }
            Action::Pipes => self.move_pipes(),
            Action::Item(position) => self.apply_item(position),
        }
    }

    /// The socket takes a part of what the hub has to write, or all that there is room for.
    pub fn write(&mut self, id: PeerId, takes_all: bool) {
        let link = self.links.get_mut(&id).expect("it is open");
        loop {
            let chunk = self.hub.output(id);
            let room = SOCKET_BYTES - link.to_far.len().min(SOCKET_BYTES);
            let cut = match chunk.len().min(room) {
                0 => 0,
                all if takes_all => all,
                most => self.random.cut(most),
            };
            if link.is_far_open {
                link.to_far.extend_from_slice(&chunk[..cut]);
            }
            self.hub.advance_output(id, cut);
            if self.hub.output(id).is_empty() {
                self.writable.remove(&id);
            }
            if cut == 0 || !takes_all {
                return;
            }
        }
    }

    pub fn tell_closed(&mut self, id: PeerId) {
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
        let due = self.next_deadline().filter(|_| is_idle || self.has_faults);
        let Some(next) = planned.into_iter().chain(due).min() else {
            return false;
        };
        let late = if self.has_faults && self.random.chance(100) {
            self.random.below(LATE_MS)
        } else {
            0
        };
        let now_ms = self.now_ms.max(next + late);
        // With no faults nobody is slower than the hub waits.
        if !is_idle && !self.has_faults && self.next_deadline().is_some() {
            return false;
        }
        if !is_idle {
            self.hurried_ms += now_ms - self.now_ms;
        }
        self.now_ms = now_ms;
        if self.next_deadline().is_some_and(|due| due <= self.now_ms) && self.random.chance(500) {
            self.handle_timeout();
        }
        while let Some(entry) = self.agenda.first_entry()
            && entry.key().0 <= self.now_ms
        {
            let event = entry.remove();
            self.happen(event);
            self.settle();
        }
        if self.next_deadline().is_some_and(|due| due <= self.now_ms) {
            self.handle_timeout();
        }
        true
    }

    fn next_deadline(&self) -> Option<u64> {
        let dues = [self.hub.next_deadline(), self.table.next_deadline()];
        dues.into_iter().flatten().min()
    }

    fn handle_timeout(&mut self) {
        trace!(self, "deadlines pass");
        self.hub.handle_timeout(self.now_ms);
        self.table.handle_timeout(self.now_ms);
        self.piping.wake();
        let next = self.next_deadline();
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
            Event::LoadWorker(worker) => self.load_worker(worker),
            Event::Die(worker, ended) => {
                if !self.workers[worker].is_dead {
                    self.kill_worker(worker, ended);
                }
            }
            Event::Fall(program, signal) => self.fall(program, signal),
            Event::Pipe => self.begin_pipe(),
            Event::EndPipe(token) => self.end_pipe(token),
            Event::Exit(pool, pid, ended) => self.exit(pool, pid, ended),
            Event::End(how) => {
                self.over_at_ms.get_or_insert(self.now_ms);
                let is_well = how == 0 && self.random.chance(500);
                self.end_run(is_well);
                match how {
                    0 => self.hub.drain(self.now_ms),
                    1 => self.hub.terminate(self.now_ms),
                    _ => self.hub.kill(self.now_ms),
                }
                self.settle();
                // Some come at the worst moment.
                for client in 0..self.clients.len() {
                    if !self.clients[client].is_asked && self.random.chance(500) {
                        self.ask(client);
                    }
                }
            }
            Event::Wake => {}
        }
    }

    pub fn ask(&mut self, number: usize) {
        let client = &mut self.clients[number];
        if std::mem::replace(&mut client.is_asked, true) {
            return;
        }
        client.due_ms = client.timeout_ms.map(|timeout| self.now_ms + timeout);
        let plan = &self.plans[client.plan];
        let request = Request {
            token: number as u64,
            pool: PoolId(plan.pool as u32),
            mid: client.plan as i64,
            args: 1,
            payload: wire::blob(plan.argument.bytes()),
            timeout_ms: client.timeout_ms,
            pid: None,
            parent: None,
        };
        trace!(self, "client {number} calls plan {}", client.plan);
        self.hub.call(request, self.now_ms);
        if self.over_at_ms.is_some() {
            self.settle();
            assert!(
                self.clients[number].is_answered,
                "nothing is begun once all is to end"
            );
        }
    }
}
