//! A pool's parent process as the hub sees one: it loads, says hello, forks, reports deaths, and ends.

use super::faults::Faults;
use super::random::Random;
use super::wire::{self, Hello, Message};
use super::worker::Worker;
use super::world::{Event, LATE_MS, World, pool_name, take_front};
use crate::core::hub::{Ended, PeerId, PoolSpec, Signal, Wiring};
use crate::core::lifecycle::State;
use crate::error::{Error, Kind};
use crate::ids::PoolId;
use crate::limits::{BACKOFF_MS_MAX, BACKOFF_MS_MIN, DEATHS_MAX, DEATHS_WINDOW_MS};
use crate::manifest::model::{CallTargets, Host, Recycle};
use std::collections::VecDeque;

pub struct Pool {
    /// As the hub was told.
    pub spec: PoolSpec,
    pub is_reentrant: bool,
    pub is_concurrent: bool,
    pub can_retire: bool,
    pub can_signal: bool,
    /// Its process runs, or its end has not been told to the hub.
    pub process: Option<Process>,
    /// When the hub learned that it had died by itself.
    deaths: Vec<u64>,
    /// It must not be started earlier.
    not_before_ms: u64,
}

pub struct Process {
    pub pid: u32,
    control: PeerId,
    inbox: Vec<u8>,
    /// Connections that nobody has accepted.
    listen: VecDeque<PeerId>,
    is_loaded: bool,
    pub ended: Option<Ended>,
}

impl Pool {
    pub fn draw(number: usize, host: Option<Host>, faults: &Faults, random: &mut Random) -> Pool {
        let has_faults = *faults != Faults::default();
        let wiring = match random.below(10) {
            0..6 => Wiring::Parent,
            6..8 => Wiring::Direct,
            _ => Wiring::Remote,
        };
        let recycle = match random.chance(400) {
            true => Recycle {
                max_calls: random.chance(500).then(|| random.between(1, 3)),
                max_age_ms: random.chance(200).then(|| random.between(1, 200)),
                max_rss_bytes: random.chance(300).then_some(1000),
                idle_exit_ms: random.chance(300).then(|| random.between(0, 100)),
            },
            false => Recycle::default(),
        };
        let is_reentrant = !random.chance(faults.not_reentrant);
        Pool {
            spec: PoolSpec {
                name: pool_name(number),
                workers_max: random.between(1, 4) as u32,
                hello_ms: if has_faults {
                    random.between(50, 500)
                } else {
                    10_000
                },
                call_ms: random.chance(faults.pool_timeout).then(|| random.between(1, 300)),
                shutdown_ms: if has_faults { random.between(0, 300) } else { 1000 },
                wiring,
                recycle,
                host,
            },
            is_reentrant,
            is_concurrent: is_reentrant && random.chance(200),
            can_retire: random.chance(600),
            can_signal: random.chance(600),
            process: None,
            deaths: Vec::new(),
            not_before_ms: 0,
        }
    }

    /// What a pool may ask for, if not everything.
    pub fn draw_host(pools: usize, random: &mut Random) -> Option<Host> {
        random.chance(150).then(|| {
            let allowed = (0..pools as u32).filter(|_| random.chance(600));
            let allowed: Vec<PoolId> = allowed.map(PoolId).collect();
            Host {
                calls: match random.chance(700) {
                    true => CallTargets::Only(allowed),
                    false => CallTargets::All,
                },
                command: random.chance(500),
                log: random.chance(500),
                progress: random.chance(500),
                run: random.chance(500),
            }
        })
    }

    /// What one of its workers says of itself.
    pub fn worker_hello(&self, pid: u32) -> Hello {
        Hello {
            protocol: 1,
            pid,
            workers: 1,
            is_reentrant: self.is_reentrant,
            is_concurrent: self.is_concurrent,
            can_retire: self.can_retire,
            can_signal: false,
        }
    }

    /// Whether it is time to start it for calls that wait.
    pub fn is_due(&self, now_ms: u64) -> bool {
        now_ms > self.not_before_ms + LATE_MS
    }

    /// It died by itself: how long it is left alone, as the reference tells.
    fn count_death(&mut self, now_ms: u64) {
        self.deaths.push(now_ms);
        self.deaths.retain(|at| at + DEATHS_WINDOW_MS > now_ms);
        self.not_before_ms = match self.deaths.len() {
            deaths if deaths >= DEATHS_MAX => self.deaths[0] + DEATHS_WINDOW_MS,
            deaths => now_ms + BACKOFF_MS_MAX.min(BACKOFF_MS_MIN << (deaths - 1)),
        };
    }

    /// Its control channel, while its process runs.
    pub fn control(&self) -> Option<PeerId> {
        let process = self.process.as_ref().filter(|process| process.ended.is_none());
        process.map(|process| process.control)
    }

    fn running(&mut self) -> Option<&mut Process> {
        self.process.as_mut().filter(|process| process.ended.is_none())
    }
}

impl World {
    pub fn spawn(&mut self, number: usize, control: PeerId, worker: PeerId) {
        self.add_link(control, number);
        self.add_link(worker, number);
        let pool = &mut self.pools[number];
        assert!(pool.process.is_none(), "a pool is spawned once it is gone");
        assert!(
            self.now_ms >= pool.not_before_ms,
            "a pool that died is left alone for a while"
        );
        assert!(self.over_at_ms.is_none(), "nothing is started after the end");
        if self.random.chance(self.faults.spawn_fails) {
            let error = Error::new(Kind::SpawnFailed, "no such file");
            pool.count_death(self.now_ms);
            return self
                .hub
                .handle_spawn_failed(PoolId(number as u32), error, self.now_ms);
        }
        self.last_pid += 1;
        let pid = self.last_pid;
        pool.process = Some(Process {
            pid,
            control,
            inbox: Vec::new(),
            listen: VecDeque::from([worker]),
            is_loaded: false,
            ended: None,
        });
        self.hub.handle_spawned(PoolId(number as u32), pid);
        let hello_ms = pool.spec.hello_ms;
        self.break_connection(worker);
        let load_ms = match self.random.chance(self.faults.hello_late) {
            true => hello_ms + self.random.below(20),
            false => self.random.below(hello_ms.min(40)),
        };
        if !self.random.chance(self.faults.hello_never) {
            self.plan_event(load_ms, Event::Load(number, pid));
        }
    }

    pub fn connect(&mut self, number: usize, worker: PeerId) {
        self.add_link(worker, number);
        let process = self.pools[number].process.as_mut();
        let process = process.expect("only a pool that runs is connected to");
        match process.ended {
            None => process.listen.push_back(worker),
            Some(_) => self.cut_off(worker),
        }
        self.break_connection(worker);
    }

    fn break_connection(&mut self, worker: PeerId) {
        if self.random.chance(self.faults.connect_fails / 2) {
            self.cut_off(worker);
        }
    }

    pub fn load(&mut self, number: usize, pid: u32) {
        let Some(process) = self.pools[number].running().filter(|process| process.pid == pid) else {
            return;
        };
        process.is_loaded = true;
        let control = process.control;
        let workers = self.random.below(5).min(1);
        if workers > 0 {
            self.fork(number, pid);
        }
        let version = if self.random.chance(self.faults.hello_version) {
            99
        } else {
            1
        };
        let hello = Hello {
            protocol: version,
            pid,
            workers,
            can_signal: self.pools[number].can_signal,
            ..Hello::default()
        };
        wire::hello(self.out(control), hello);
    }

    pub fn fork(&mut self, number: usize, pid: u32) {
        if self.pools[number]
            .running()
            .is_some_and(|process| process.pid == pid)
        {
            self.last_pid += 1;
            let worker = Worker::draw(number, self.last_pid, &self.faults, &mut self.random);
            self.workers.push(worker);
        }
    }

    pub fn report(&mut self, number: usize, pid: u32, ended: Ended) {
        if let Some(control) = self.pools[number].running().map(|process| process.control) {
            wire::worker_exit(self.out(control), pid, ended);
        }
    }

    /// Whether a connection waits for one of its workers, or a worker's parent has something to read.
    pub fn can_accept(&self, number: usize) -> bool {
        let process = self.pools[number].process.as_ref();
        process.is_some_and(|process| !process.listen.is_empty()) && self.accepting(number).is_some()
    }

    fn accepting(&self, number: usize) -> Option<usize> {
        self.workers.iter().position(|worker| {
            worker.pool == number && !worker.is_dead && worker.link.is_none() && !worker.is_stuck
        })
    }

    pub fn take_connection(&mut self, number: usize) {
        if let (Some(worker), Some(process)) = (self.accepting(number), self.pools[number].running())
            && let Some(link) = process.listen.pop_front()
            && self.links.get(&link).is_some_and(|link| link.is_far_open)
        {
            self.accept(worker, link);
        }
    }

    pub fn can_obey(&self, number: usize) -> bool {
        let process = self.pools[number].process.as_ref();
        process.is_some_and(|process| {
            let link = self.links.get(&process.control);
            process.ended.is_none() && process.is_loaded && link.is_some_and(|link| !link.to_far.is_empty())
        })
    }

    /// Its parent reads what it is told.
    pub fn obey(&mut self, number: usize) {
        let Some(process) = self.pools[number].running() else {
            return;
        };
        let (control, pid) = (process.control, process.pid);
        if let Some(link) = self.links.get_mut(&control) {
            let cut = self.random.cut(link.to_far.len());
            process.inbox.append(&mut take_front(&mut link.to_far, cut));
        }
        while let Some(message) = self.pools[number]
            .running()
            .and_then(|process| wire::take_message(&mut process.inbox))
        {
            match message {
                Message::Request { id, method, .. } => {
                    assert_eq!(method, "grow");
                    let workers = self
                        .workers
                        .iter()
                        .filter(|worker| worker.pool == number && !worker.is_dead);
                    let workers = workers.count();
                    let is_refused = self.random.chance(self.faults.grow_refused);
                    wire::grown(self.out(control), id, (!is_refused).then_some(workers + 1));
                    if !is_refused {
                        let delay = self.random.below(20);
                        self.plan_event(delay, Event::Fork(number, pid));
                    }
                }
                Message::Notification { method, params } if method == "signal" => {
                    assert!(self.pools[number].can_signal, "only who can passes on signals");
                    let (pid, signal) = wire::read_signal(&params);
                    let is_it = |worker: &Worker| worker.pool == number && worker.pid == pid;
                    if let Some(worker) = self.workers.iter().position(is_it) {
                        self.deliver(worker, signal);
                    }
                }
                Message::Notification { method, .. } => {
                    assert_eq!(method, "shutdown");
                    if !self.random.chance(self.faults.ignores_shutdown) {
                        let delay = self.random.below(30);
                        self.plan_event(delay, Event::Exit(number, pid, Ended::Code(0)));
                    }
                }
                // To a request that garbage made.
                Message::Response { .. } => assert!(self.has_faults),
            }
        }
    }

    pub fn signal(&mut self, number: usize, signal: Signal) {
        if self.pools[number].spec.wiring != Wiring::Parent {
            for worker in 0..self.workers.len() {
                if self.workers[worker].pool == number && !self.workers[worker].is_dead {
                    self.deliver(worker, if signal == Signal::Term { 15 } else { 9 });
                }
            }
            return;
        }
        let process = self.pools[number].process.as_ref();
        let pid = process.expect("only a pool that runs is sent a signal").pid;
        let (name, delay, is_ignored) = match signal {
            Signal::Int => unreachable!("only workers are interrupted"),
            Signal::Term => (
                15,
                self.random.below(30),
                self.random.chance(self.faults.ignores_term),
            ),
            Signal::Kill => (9, self.random.below(5), false),
        };
        if !is_ignored {
            self.plan_event(delay, Event::Exit(number, pid, Ended::Signal(name)));
        }
    }

    /// Its parent ends, and its workers with it. The hub learns it later.
    pub fn exit(&mut self, number: usize, pid: u32, ended: Ended) {
        let Some(process) = self.pools[number].running().filter(|process| process.pid == pid) else {
            return;
        };
        process.ended = Some(ended);
        let control = process.control;
        let waiting = std::mem::take(&mut process.listen);
        trace!(self, "pool {number} ends: {ended:?}");
        for link in waiting.into_iter().chain([control]) {
            self.cut_off(link);
        }
        for worker in 0..self.workers.len() {
            if self.workers[worker].pool == number && !self.workers[worker].is_dead {
                self.kill_worker(worker, ended);
            }
        }
    }

    /// The hub learns of its end.
    pub fn reap(&mut self, number: usize) {
        if let Some(ended) = self.pools[number]
            .process
            .take()
            .and_then(|process| process.ended)
        {
            // Until now the hub took it to be well.
            let hub_pool = &self.hub.pools[number];
            let is_at_fault = hub_pool.fault.is_some() && hub_pool.state != State::Idle;
            if is_at_fault || matches!(hub_pool.state, State::Starting | State::Ready) {
                self.pools[number].count_death(self.now_ms);
            }
            self.hub.handle_exited(PoolId(number as u32), ended, self.now_ms);
            trace!(self, "pool {number} is reaped");
        }
    }

    /// The control channel ends, and the process goes on.
    pub fn close_control(&mut self, number: usize) {
        if let Some(control) = self.pools[number].running().map(|process| process.control) {
            trace!(self, "pool {number} closes its control channel");
            self.cut_off(control);
        }
    }
}
