//! A worker as the hub sees one: it accepts a connection, says hello, reads what comes and keeps it, and goes when it is
//! told. What its functions do stands in `function`.

use super::desk::read_started;
use super::faults::Faults;
use super::plan::Question;
use super::random::Random;
use super::wire::{self, Answer, Hello, Message};
use super::world::{SOCKET_BYTES, World, take_front};
use crate::core::hub::{Ended, PeerId, Wiring};
use crate::core::process::table::HandleId;
use crate::core::simulation::plan::Callee;
use crate::error::Error;
use std::collections::BTreeMap;

#[derive(Default)]
pub struct Worker {
    pub pool: usize,
    pub pid: u32,
    pub is_dead: bool,
    /// Its connection; none: it waits in `accept`, or loads.
    pub link: Option<PeerId>,
    /// The hub's name for its process, if it has no parent.
    pub key: Option<PeerId>,
    pub ended: Option<Ended>,
    pub is_reaped: bool,
    /// What it has read and not handled.
    pub inbox: Vec<u8>,
    pub frames: Vec<Frame>,
    /// Its requests that are not answered.
    pub open: BTreeMap<u64, Expected>,
    next_request: u64,
    /// It runs code until then.
    pub busy_until_ms: u64,
    /// It is slower than the others.
    pub is_lazy: bool,
    pub is_stuck: bool,
    is_concurrent: bool,
    /// It was told to end.
    is_retired: bool,
    ignores_cancel: bool,
    ignores_retire: bool,
    ignores_eof: bool,
    pub ignores_term: bool,
    /// It has given function values away.
    pub holds_functions: bool,
}

/// A function that runs.
pub struct Frame {
    /// The hub's id.
    pub id: u64,
    pub plan: usize,
    pub step: usize,
    pub waits: Waits,
    pub is_cancelled: bool,
    /// Worker processes that it has started.
    pub handles: Vec<HandleId>,
    /// What came of its requests: the errors that are not caught.
    pub answers: BTreeMap<u64, Option<Box<Error>>>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Waits {
    /// It runs.
    No,
    /// For the answer of that request.
    One(u64),
    /// For the answers of all its requests.
    All,
    /// For ever.
    Never,
}

/// A request that is not answered.
#[derive(Clone, Copy)]
pub struct Expected {
    /// The hub's id of the call that made it.
    pub frame: u64,
    /// The hub was told which call made it.
    pub is_named: bool,
    pub what: Asked,
}

#[derive(Clone, Copy)]
pub enum Asked {
    Question(Question),
    /// Something about worker processes.
    Process {
        is_run: bool,
    },
    Result {
        of: Callee,
        /// The worker that it is pinned to may be gone.
        may_be_gone: bool,
    },
}

impl World {
    pub fn can_act(&self, number: usize) -> bool {
        let worker = &self.workers[number];
        let Some(link) = worker.link.filter(|_| !worker.is_dead && !worker.is_stuck) else {
            return false;
        };
        if worker.busy_until_ms > self.now_ms {
            return false;
        }
        let link = &self.links[&link];
        let is_sending = link.to_hub.len() > SOCKET_BYTES && link.is_hub_open;
        !link.to_far.is_empty()
            || !link.is_hub_open
            || !is_sending && (worker.runnable().next().is_some() || wire::is_whole(&worker.inbox))
    }

    /// Does one thing: reads something, or handles one message, or takes one step of a function that runs.
    pub fn act(&mut self, number: usize) {
        let worker = &mut self.workers[number];
        let Some(id) = worker.link else { return };
        let Some(link) = self.links.get_mut(&id) else {
            return;
        };
        let is_sending = link.to_hub.len() > SOCKET_BYTES && link.is_hub_open;
        let runnable: Vec<usize> = worker.runnable().collect();
        let goes_on = !is_sending && !runnable.is_empty();
        if goes_on && (!worker.is_concurrent || self.random.chance(500)) {
            let frame = self.random.pick(&runnable);
            return self.go_on(number, frame);
        }
        if !link.to_far.is_empty() {
            let cut = self.random.cut(link.to_far.len());
            worker.inbox.append(&mut take_front(&mut link.to_far, cut));
        } else if !link.is_hub_open && !wire::is_whole(&worker.inbox) {
            return self.hang_up(number);
        }
        if !is_sending && let Some(message) = wire::take_message(&mut self.workers[number].inbox) {
            self.hear(number, message);
        }
    }

    /// Its connection has ended: it gives up what it does, and accepts again if there is where.
    fn hang_up(&mut self, number: usize) {
        let worker = &mut self.workers[number];
        if worker.key.is_some() {
            match worker.ignores_eof {
                true => worker.is_stuck = true,
                false => self.kill_worker(number, Ended::Code(0)),
            }
            return;
        }
        if let Some(link) = worker.link.take() {
            self.links.remove(&link);
        }
        let fresh = Worker::default();
        worker.inbox = fresh.inbox;
        worker.frames = fresh.frames;
        worker.open = fresh.open;
        worker.next_request = fresh.next_request;
        worker.holds_functions = false;
    }

    /// It accepts a connection.
    pub fn accept(&mut self, number: usize, link: PeerId) {
        self.workers[number].link = Some(link);
        if self.random.chance(self.faults.worker_hello_never) {
            self.workers[number].busy_until_ms = self.now_ms + 1000;
            self.wake(1000);
            return;
        }
        let (pid, pool) = (self.workers[number].pid, self.workers[number].pool);
        let mut hello = self.pools[pool].worker_hello(pid);
        self.workers[number].is_concurrent = hello.is_concurrent;
        if self.random.chance(self.faults.worker_hello_version / 4) {
            hello = Hello {
                protocol: 99,
                ..hello
            };
        }
        wire::hello(self.out(link), hello);
    }

    fn hear(&mut self, number: usize, message: Message) {
        let worker = &mut self.workers[number];
        match message {
            Message::Request { id, method, params } => {
                assert_eq!(method, "call", "a worker is asked to call");
                assert!(!worker.is_retired, "who was told to end is given nothing more");
                let is_nested = !worker.frames.is_empty();
                let (pool, pid) = (worker.pool, worker.pid);
                assert!(
                    !is_nested || self.pools[pool].is_reentrant,
                    "a worker that is not reentrant gets one call at a time"
                );
                let (plan, argument) = wire::read_call(&params);
                let is_intact = argument == self.plans[plan].argument.bytes();
                assert_eq!(self.plans[plan].pool, pool, "a call goes to its own pool");
                assert!(is_intact, "the argument of plan {plan} came as it was sent");
                let pin = self.pins.get(&plan);
                assert!(
                    pin.is_none_or(|pin| *pin == pid),
                    "plan {plan} is run where it is pinned"
                );
                self.count_run(plan);
                trace!(
                    self,
                    "worker {number} is given plan {plan} as {id}, nested: {is_nested}"
                );
                self.workers[number].frames.push(Frame {
                    id,
                    plan,
                    step: 0,
                    waits: Waits::No,
                    is_cancelled: false,
                    handles: Vec::new(),
                    answers: BTreeMap::new(),
                });
            }
            Message::Response { id, answer } => {
                let expected = worker.open.remove(&id);
                let expected =
                    expected.unwrap_or_else(|| panic!("request {id} of a worker is answered once"));
                trace!(self, "worker {number} has its request {id} answered");
                let has_frame = worker.frames.iter().any(|frame| frame.id == expected.frame);
                let mut started = None;
                if let Asked::Process { is_run } = expected.what {
                    self.judge_told(number, id, &answer);
                    started = match &answer {
                        Answer::Value(value) if is_run => Some(read_started(value).0),
                        _ => None,
                    };
                }
                let error = self.judge(expected, answer, has_frame);
                let mut frames = self.workers[number].frames.iter_mut();
                if let Some(frame) = frames.find(|frame| frame.id == expected.frame) {
                    frame.answers.insert(id, error);
                    frame.handles.extend(started);
                }
            }
            Message::Notification { method, params } => match method.as_str() {
                "cancel" => self.cancel_frame(number, wire::read_cancel(&params)),
                "hello" => {
                    let pool = &self.pools[worker.pool].spec;
                    assert_eq!(
                        pool.wiring,
                        Wiring::Remote,
                        "nexus greets whom the environment doesn't reach"
                    );
                    assert_eq!(wire::read_greeting(&params), pool.name);
                }
                "retire" => self.retire(number),
                other => panic!("a worker is notified of {other}"),
            },
        }
    }

    pub fn cancel_frame(&mut self, number: usize, id: u64) {
        let worker = &mut self.workers[number];
        let frame = worker.frames.iter_mut().find(|frame| frame.id == id);
        if let Some(frame) = frame.filter(|_| !worker.ignores_cancel) {
            frame.is_cancelled = true;
        }
    }

    /// It is told to end.
    fn retire(&mut self, number: usize) {
        let worker = &mut self.workers[number];
        assert!(
            self.pools[worker.pool].can_retire,
            "who can't end by itself is not told to"
        );
        assert!(worker.frames.is_empty(), "who runs something is not told to end");
        assert!(!worker.is_retired, "a worker is told to end once");
        worker.is_retired = true;
        match worker.ignores_retire {
            true => worker.is_stuck = true,
            false => self.kill_worker(number, Ended::Code(0)),
        }
    }
}

impl Worker {
    pub fn draw(pool: usize, pid: u32, faults: &Faults, random: &mut Random) -> Worker {
        Worker {
            pool,
            pid,
            is_lazy: random.chance(150),
            ignores_cancel: random.chance(faults.ignores_cancel),
            ignores_retire: random.chance(faults.ignores_retire),
            ignores_eof: random.chance(faults.ignores_eof),
            ignores_term: random.chance(faults.ignores_term),
            ..Worker::default()
        }
    }

    /// Says where it stands.
    pub fn describe(&self, number: usize) {
        eprintln!(
            "worker {number} pool {} pid {} dead {} stuck {} busy {} link {:?} inbox {} open {:?}",
            self.pool,
            self.pid,
            self.is_dead,
            self.is_stuck,
            self.busy_until_ms,
            self.link,
            self.inbox.len(),
            self.open.keys()
        );
        for frame in &self.frames {
            eprintln!(
                "   {} plan {} step {} waits {:?} cancelled {}",
                frame.id, frame.plan, frame.step, frame.waits, frame.is_cancelled
            );
        }
    }

    /// The frames that can take a step: the innermost, or where they run side by side any.
    pub fn runnable(&self) -> impl Iterator<Item = usize> {
        let from = match self.is_concurrent {
            true => 0,
            false => self.frames.len().saturating_sub(1),
        };
        let frames = self.frames.iter().enumerate().skip(from);
        frames
            .filter(|(_, frame)| self.is_runnable(frame))
            .map(|(position, _)| position)
    }

    fn is_runnable(&self, frame: &Frame) -> bool {
        frame.is_cancelled
            || match frame.waits {
                Waits::No => true,
                Waits::One(request) => frame.answers.contains_key(&request),
                Waits::All => !self.open.values().any(|open| open.frame == frame.id),
                Waits::Never => false,
            }
    }

    pub fn open_request(&mut self, frame: u64, is_named: bool, what: Asked) -> u64 {
        self.next_request += 1;
        let id = self.next_request;
        let expected = Expected {
            frame,
            is_named,
            what,
        };
        self.open.insert(id, expected);
        id
    }

    /// Requests about worker processes that are not answered.
    pub fn processes_asked(&self) -> usize {
        let is_it = |open: &&Expected| matches!(open.what, Asked::Process { .. });
        self.open.values().filter(is_it).count()
    }

    pub fn runs_side_by_side(&self) -> bool {
        self.is_concurrent
    }
}
