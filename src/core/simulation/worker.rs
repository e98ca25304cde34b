//! A worker as the hub sees one: it accepts a connection, says hello, runs plans, nests, and misbehaves as they say.

use super::plan::{Outcome, Question, Step};
use super::wire::{self, Answer, Message};
use super::world::{Event, SOCKET_BYTES, World, take_front};
use crate::core::hub::{Ended, PeerId};
use crate::error::{Error, Kind};
use std::collections::BTreeMap;

#[derive(Default)]
pub struct Worker {
    pub pool: usize,
    pub pid: u32,
    pub is_dead: bool,
    /// Its connection; none: it waits in `accept`.
    pub link: Option<PeerId>,
    /// What it has read and not handled.
    inbox: Vec<u8>,
    frames: Vec<Frame>,
    /// Its requests that are not answered.
    open: BTreeMap<u64, Expected>,
    /// Answers for frames that are not on top.
    kept: BTreeMap<u64, Answer>,
    next_request: u64,
    /// It runs code until then.
    busy_until_ms: u64,
    /// It is slower than the others.
    pub is_lazy: bool,
    pub is_stuck: bool,
}

struct Frame {
    /// The hub's id.
    id: u64,
    plan: usize,
    step: usize,
    waits_for: Option<u64>,
    is_cancelled: bool,
}

enum Expected {
    Question(Question),
    Result { of: usize, catches: bool },
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
        let is_runnable = worker
            .frames
            .last()
            .is_some_and(|frame| worker.is_runnable(frame));
        let is_sending = link.to_hub.len() > SOCKET_BYTES && link.is_hub_open;
        !link.to_far.is_empty()
            || !link.is_hub_open
            || !is_sending && (is_runnable || wire::is_whole(&worker.inbox))
    }

    /// Does one thing: reads something, or handles one message, or takes one step of the function that runs.
    pub fn act(&mut self, number: usize) {
        let worker = &mut self.workers[number];
        let Some(id) = worker.link else { return };
        let Some(link) = self.links.get_mut(&id) else {
            return;
        };
        let is_runnable = worker
            .frames
            .last()
            .is_some_and(|frame| worker.is_runnable(frame));
        let is_sending = link.to_hub.len() > SOCKET_BYTES && link.is_hub_open;
        if !is_sending && is_runnable {
            return self.go_on(number);
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

    /// It gives up what it does and accepts again.
    fn hang_up(&mut self, number: usize) {
        let worker = &mut self.workers[number];
        if let Some(link) = worker.link.take() {
            self.links.remove(&link);
        }
        *worker = Worker::new(worker.pool, worker.pid);
    }

    /// It accepts a connection.
    pub fn accept(&mut self, number: usize, link: PeerId) {
        self.workers[number].link = Some(link);
        if self.random.chance(self.faults.worker_hello_never) {
            self.workers[number].busy_until_ms = self.now_ms + 1000;
            self.wake(1000);
            return;
        }
        let version = if self.random.chance(self.faults.worker_hello_version / 4) {
            99
        } else {
            1
        };
        let (pid, pool) = (self.workers[number].pid, self.workers[number].pool);
        let is_reentrant = self.pools[pool].is_reentrant;
        wire::hello(self.out(link), version, pid, 1, is_reentrant);
    }

    fn hear(&mut self, number: usize, message: Message) {
        let worker = &mut self.workers[number];
        match message {
            Message::Request { id, method, params } => {
                assert_eq!(method, "call", "a worker is asked to call");
                let is_nested = !worker.frames.is_empty();
                let pool = worker.pool;
                assert!(
                    !is_nested || self.pools[pool].is_reentrant,
                    "a worker that is not reentrant gets one call at a time"
                );
                let (plan, argument) = wire::read_call(&params);
                let is_intact = argument == self.plans[plan].argument.bytes();
                assert_eq!(self.plans[plan].pool, pool, "a call goes to its own pool");
                assert!(is_intact, "the argument of plan {plan} came as it was sent");
                self.count_run(plan);
                trace!(
                    self,
                    "worker {number} is given plan {plan} as {id}, nested: {is_nested}"
                );
                self.workers[number].frames.push(Frame {
                    id,
                    plan,
                    step: 0,
                    waits_for: None,
                    is_cancelled: false,
                });
            }
            Message::Response { id, answer } => {
                assert!(
                    worker.open.contains_key(&id),
                    "request {id} of a worker is answered once"
                );
                trace!(self, "worker {number} has its request {id} answered");
                worker.kept.insert(id, answer);
            }
            Message::Notification { method, params } => {
                assert_eq!(method, "cancel", "a worker is notified of nothing else");
                let id = wire::read_cancel(&params);
                let obeys = self.random.chance(500);
                let frame = worker.frames.iter_mut().find(|frame| frame.id == id);
                if let Some(frame) = frame.filter(|_| obeys) {
                    frame.is_cancelled = true;
                }
            }
        }
    }

    fn go_on(&mut self, number: usize) {
        let worker = &mut self.workers[number];
        let link = worker_link(worker);
        let Some(frame) = worker.frames.last_mut() else {
            return;
        };
        if let Some(request) = frame.waits_for.take() {
            frame.step += 1;
            let answer = worker.kept.remove(&request).expect("it was runnable");
            let expected = worker.open.remove(&request).expect("it was open");
            if let Some(error) = self.judge(expected, answer) {
                return self.leave(number, Err(&error));
            }
            return;
        }
        if frame.is_cancelled {
            return self.leave(number, Err(&Error::new(Kind::Cancelled, "as nexus asked")));
        }
        let plan = &self.plans[frame.plan];
        let Some(step) = plan.steps.get(frame.step).copied() else {
            return self.conclude(number);
        };
        match step {
            Step::Compute(ms) => {
                frame.step += 1;
                worker.busy_until_ms = self.now_ms + ms;
                self.wake(ms);
            }
            Step::Log => {
                frame.step += 1;
                let text = format!("plan {}", frame.plan);
                wire::log(self.out(link), &text);
            }
            Step::Ask(question) => {
                let id = worker.open_request(Expected::Question(question));
                wire::ask(self.out(link), id, question);
            }
            Step::Call {
                child,
                by_name,
                catches,
            } => {
                let id = worker.open_request(Expected::Result { of: child, catches });
                let (pool, argument) = (self.plans[child].pool, self.plans[child].argument);
                let pool = (!by_name).then(|| super::world::pool_name(pool));
                trace!(self, "worker {number} calls plan {child} as its request {id}");
                wire::call(self.out(link), id, pool.as_deref(), child, argument.bytes());
            }
        }
    }

    /// Compares an answer with what the plans say, and returns the error that comes through.
    fn judge(&self, expected: Expected, answer: Answer) -> Option<Box<Error>> {
        match expected {
            Expected::Question(question) => {
                match (question, answer) {
                    (Question::Ping, Answer::Value(value)) => assert_eq!(value, [0xc0]),
                    (_, Answer::Error(error)) if error.kind == Kind::Protocol => {}
                    (question, answer) => panic!("{question:?} is answered with {answer:?}"),
                }
                None
            }
            Expected::Result { of, catches } => {
                let error = self.judge_result(of, answer)?;
                (!catches).then_some(error)
            }
        }
    }

    /// Compares the result of a plan with what it says. A fault may turn a result into an error, never into another result.
    pub fn judge_result(&self, plan: usize, answer: Answer) -> Option<Box<Error>> {
        let raised_by = self.plans[plan].raised_by;
        match answer {
            Answer::Value(value) => {
                assert!(raised_by.is_none(), "plan {plan} fails");
                let expected = wire::blob(self.plans[plan].result.bytes());
                assert!(value == expected, "the result of plan {plan} came as it was sent");
                None
            }
            Answer::Error(error) => {
                let is_planned =
                    raised_by.is_some_and(|raiser| error.message == format!("plan {raiser} raises"));
                assert!(
                    is_planned || self.has_faults,
                    "plan {plan} goes well without faults: {error}"
                );
                assert!(
                    error.kind != Kind::Deadlock || self.faults.may_deadlock(),
                    "no order of calls can deadlock: {error}"
                );
                Some(error)
            }
        }
    }

    /// The end of a function, as its plan says.
    fn conclude(&mut self, number: usize) {
        let worker = &mut self.workers[number];
        let link = worker_link(worker);
        let Some(frame) = worker.frames.last() else { return };
        let (id, plan) = (frame.id, frame.plan);
        let outcome = self.plans[plan].outcome;
        let result = self.plans[plan].result.bytes();
        trace!(self, "worker {number} ends plan {plan}: {outcome:?}");
        match outcome {
            Outcome::Return => self.leave(number, Ok(result)),
            Outcome::Raise => {
                let error = Error::new(Kind::Raised, format!("plan {plan} raises"));
                self.leave(number, Err(&error));
            }
            Outcome::Die => self.kill_worker(number, Ended::Signal(11)),
            Outcome::CutAndDie | Outcome::CutAndStall => {
                let out = self.out(link);
                let before = out.len();
                wire::answer(out, id, Ok(result));
                let half = before + (out.len() - before) / 2;
                out.truncate(half);
                match outcome {
                    Outcome::CutAndDie => self.kill_worker(number, Ended::Code(3)),
                    _ => self.workers[number].is_stuck = true,
                }
            }
            Outcome::Never => worker.is_stuck = true,
            Outcome::AnswerTwice => {
                self.leave(number, Ok(result));
                wire::answer(self.out(link), id, Ok(result));
            }
            Outcome::AnswerUnknown => {
                let unknown = self.random.pick(&[99_999, id + (1 << 50), u64::MAX]);
                wire::answer(self.out(link), unknown, Ok(result));
                self.leave(number, Ok(result));
            }
        }
    }

    fn leave(&mut self, number: usize, result: Result<&[u8], &Error>) {
        let worker = &mut self.workers[number];
        let link = worker_link(worker);
        let frame = worker.frames.pop().expect("a function runs");
        wire::answer(self.out(link), frame.id, result);
    }

    /// Its process dies: what it had not sent is lost, and its parent says how it died, if it does.
    pub fn kill_worker(&mut self, number: usize, ended: Ended) {
        let worker = &mut self.workers[number];
        trace!(self, "worker {number} of pool {} dies: {ended:?}", worker.pool);
        let (pool, pid) = (worker.pool, worker.pid);
        worker.is_dead = true;
        worker.frames.clear();
        if let Some(id) = worker.link.take() {
            self.cut_off(id);
        }
        if !self.random.chance(self.faults.unreported) {
            let delay = if self.random.chance(50) {
                300
            } else {
                self.random.below(50)
            };
            self.plan_event(delay, Event::Report(pool, pid, ended));
        }
    }
}

impl Worker {
    pub fn new(pool: usize, pid: u32) -> Worker {
        Worker {
            pool,
            pid,
            ..Worker::default()
        }
    }

    /// Says where it stands.
    pub fn describe(&self, number: usize) {
        eprintln!(
            "worker {number} pool {} dead {} stuck {} busy {} link {:?} inbox {} kept {:?}",
            self.pool,
            self.is_dead,
            self.is_stuck,
            self.busy_until_ms,
            self.link,
            self.inbox.len(),
            self.kept.keys()
        );
        for frame in &self.frames {
            eprintln!(
                "   {} plan {} step {} waits {:?}",
                frame.id, frame.plan, frame.step, frame.waits_for
            );
        }
    }

    fn is_runnable(&self, frame: &Frame) -> bool {
        frame
            .waits_for
            .is_none_or(|request| self.kept.contains_key(&request))
    }

    fn open_request(&mut self, expected: Expected) -> u64 {
        self.next_request += 1;
        let id = self.next_request;
        self.open.insert(id, expected);
        if let Some(frame) = self.frames.last_mut() {
            frame.waits_for = Some(id);
        }
        id
    }
}

fn worker_link(worker: &Worker) -> PeerId {
    worker.link.expect("it is connected")
}
