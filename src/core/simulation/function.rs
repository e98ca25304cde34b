//! The functions of the simulated workers: each takes the steps of its plan, compares what it is answered with what the
//! plans say, and ends as its plan says.

use super::plan::{Callee, Outcome, Question, Step};
use super::wire::{self, Answer, Target};
use super::worker::{Asked, Expected, Waits, Worker};
use super::world::{World, pool_name};
use crate::core::hub::{Ended, Note, PeerId};
use crate::error::{Error, Kind};

impl World {
    /// One step of a function.
    pub fn go_on(&mut self, number: usize, position: usize) {
        let worker = &mut self.workers[number];
        let link = worker_link(worker);
        let frame = &mut worker.frames[position];
        if frame.is_cancelled {
            return self.leave(
                number,
                position,
                Err(&Error::new(Kind::Cancelled, "as nexus asked")),
            );
        }
        if frame.waits != Waits::No {
            let answers = match std::mem::replace(&mut frame.waits, Waits::No) {
                Waits::One(request) => frame.answers.remove(&request).into_iter().collect(),
                _ => std::mem::take(&mut frame.answers)
                    .into_values()
                    .collect::<Vec<_>>(),
            };
            if let Some(error) = answers.into_iter().flatten().next() {
                self.leave(number, position, Err(&error));
            }
            return;
        }
        let (id, plan) = (frame.id, frame.plan);
        let Some(step) = self.plans[plan].steps.get(frame.step).copied() else {
            return self.conclude(number, position);
        };
        frame.step += 1;
        match step {
            Step::Compute(ms) => {
                worker.busy_until_ms = self.now_ms + ms;
                self.wake(ms);
            }
            Step::Log(bytes) => self.log(number, plan, bytes),
            Step::Progress => {
                let label = format!("plan {plan}");
                wire::progress(self.out(link), plan as f64, 100.5, &label);
                let note = Note::Progress {
                    done: plan as f64,
                    total: 100.5,
                    label,
                };
                self.expect_note(number, note);
            }
            Step::Hold => {
                worker.holds_functions = true;
                wire::holds(self.out(link));
            }
            Step::Ask(question) => {
                let request = worker.open_request(id, false, Asked::Question(question));
                worker.frames[position].waits = Waits::One(request);
                wire::ask(self.out(link), request, question);
            }
            Step::Call(callee) => {
                let request = self.call(number, position, callee, false);
                self.workers[number].frames[position].waits = Waits::One(request);
            }
            Step::Start(callee) => {
                self.call(number, position, callee, true);
            }
            Step::Gather => worker.frames[position].waits = Waits::All,
            Step::Work => self.work(number, position),
        }
    }

    fn call(&mut self, number: usize, position: usize, callee: Callee, is_parallel: bool) -> u64 {
        let (plan, pool) = (callee.plan, self.plans[callee.plan].pool);
        let mut target = Target {
            pool: (!callee.by_name).then(|| match pool < self.pools.len() {
                true => pool_name(pool),
                false => String::new(),
            }),
            ..Target::default()
        };
        let mut may_be_gone = false;
        if callee.is_pinned {
            let pid = self.draw_pid(pool);
            target.pid = Some(pid);
            may_be_gone = !self.must_stay(pool, pid);
            self.pins.insert(plan, pid);
        }
        let worker = &mut self.workers[number];
        let frame = worker.frames[position].id;
        // Whoever has a call out that it does not wait for always says which one calls: the hub takes it to wait, and may have
        // given it one that it has not read.
        let has_others = worker.open.values().any(|open| open.is_named);
        let is_told = is_parallel || has_others || worker.runs_side_by_side();
        target.parent = is_told.then_some(frame);
        let what = Asked::Result {
            of: callee,
            may_be_gone,
        };
        let request = worker.open_request(frame, is_told, what);
        let link = worker_link(worker);
        trace!(
            self,
            "worker {number} calls plan {plan} as its request {request}: {target:?}"
        );
        let argument = self.plans[plan].argument.bytes();
        wire::call(self.out(link), request, &target, plan, argument);
        request
    }

    /// A worker of a pool, which may be dead, or one that was never there.
    pub fn draw_pid(&mut self, pool: usize) -> u32 {
        let all = self.workers.iter().filter(|worker| worker.pool == pool);
        let living = all.clone().filter(|worker| !worker.is_dead);
        let holding = living.clone().filter(|worker| worker.holds_functions);
        let pids: Vec<u32> = match self.random.below(10) {
            0..6 if holding.clone().count() > 0 => holding.map(|worker| worker.pid).collect(),
            0..8 => living.map(|worker| worker.pid).collect(),
            _ => all.map(|worker| worker.pid).chain([99]).collect(),
        };
        match pids.is_empty() {
            true => 99,
            false => self.random.pick(&pids),
        }
    }

    /// Whether the hub knows a worker and has no reason to end it while anything runs.
    pub fn must_stay(&self, pool: usize, pid: u32) -> bool {
        let peers = self
            .hub
            .peers
            .iter()
            .filter(|(_, peer)| peer.pool.index() == pool);
        let mut workers = peers.filter_map(|(_, peer)| peer.ready_worker());
        let recycles = self.pools[pool].spec.recycle.is_any();
        workers.any(|worker| {
            worker.pid == pid && !worker.is_told_to_leave && (worker.holds_functions || !recycles)
        })
    }

    /// Compares an answer with what the plans say, and returns the error that comes through.
    pub fn judge(&self, expected: Expected, answer: Answer, has_caller: bool) -> Option<Box<Error>> {
        match expected.what {
            Asked::Question(question) => {
                match (question, answer) {
                    (Question::Ping, Answer::Value(value)) => assert_eq!(value, [0xc0]),
                    (_, Answer::Error(error)) if error.kind == Kind::Protocol => {}
                    (question, answer) => panic!("{question:?} is answered with {answer:?}"),
                }
                None
            }
            // Nobody fails of it.
            Asked::Process { .. } => None,
            Asked::Result { of, may_be_gone } => {
                if of.is_denied {
                    let is_denied = matches!(&answer, Answer::Error(error) if error.kind == Kind::Denied);
                    assert!(is_denied, "plan {} is denied, not {answer:?}", of.plan);
                }
                if let Answer::Error(error) = &answer
                    && (of.is_denied
                        || !has_caller && error.kind == Kind::Cancelled
                        || may_be_gone && error.kind == Kind::Terminated)
                {
                    return None;
                }
                let error = self.judge_result(of.plan, answer)?;
                (!of.is_caught).then_some(error)
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
                let is_given_up = self.plans[plan].is_loose && error.kind == Kind::Cancelled;
                assert!(
                    is_planned || is_given_up || self.has_faults,
                    "plan {plan} goes well without faults: {error}"
                );
                assert!(
                    error.kind != Kind::Deadlock || self.faults.may_deadlock(),
                    "no order of calls can deadlock: {error}"
                );
                assert!(
                    error.kind != Kind::Denied,
                    "what is allowed is not denied: {error}"
                );
                Some(error)
            }
        }
    }

    /// The end of a function, as its plan says.
    fn conclude(&mut self, number: usize, position: usize) {
        let worker = &mut self.workers[number];
        let link = worker_link(worker);
        let (id, plan) = (worker.frames[position].id, worker.frames[position].plan);
        let outcome = self.plans[plan].outcome;
        let result = self.plans[plan].result.bytes();
        trace!(self, "worker {number} ends plan {plan}: {outcome:?}");
        match outcome {
            Outcome::Return => self.leave(number, position, Ok(result)),
            Outcome::Raise => {
                let error = Error::new(Kind::Raised, format!("plan {plan} raises"));
                self.leave(number, position, Err(&error));
            }
            Outcome::Die => self.kill_worker(number, Ended::Signal(11)),
            Outcome::KillPool => {
                let pool = worker.pool;
                match self.pools[pool].process.as_ref().map(|process| process.pid) {
                    Some(pid) => self.exit(pool, pid, Ended::Code(7)),
                    None => self.kill_worker(number, Ended::Code(7)),
                }
            }
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
            Outcome::Never if worker.runs_side_by_side() => worker.frames[position].waits = Waits::Never,
            Outcome::Never => worker.busy_until_ms = u64::MAX,
            Outcome::AnswerTwice => {
                self.leave(number, position, Ok(result));
                wire::answer(self.out(link), id, Ok(result));
            }
            Outcome::AnswerUnknown => {
                let unknown = self.random.pick(&[99_999, id + (1 << 50), u64::MAX]);
                wire::answer(self.out(link), unknown, Ok(result));
                self.leave(number, position, Ok(result));
            }
        }
    }

    fn leave(&mut self, number: usize, position: usize, result: Result<&[u8], &Error>) {
        let worker = &mut self.workers[number];
        let link = worker_link(worker);
        let frame = worker.frames.remove(position);
        wire::answer(self.out(link), frame.id, result);
    }
}

fn worker_link(worker: &Worker) -> PeerId {
    worker.link.expect("it is connected")
}
