//! What every call of a run is to do, drawn from the seed before the run begins. A plan is carried out at most once, and
//! its number is the id under which its pool finds the function, so that every message can be traced to it.

use super::faults::Faults;
use super::random::Random;
use crate::ids::PoolId;
use crate::manifest::model::Host;
use std::sync::OnceLock;

/// Bytes that a call carries or gives back, as a part of one pattern that all runs share.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Blob {
    offset: usize,
    len: usize,
}

const PATTERN_BYTES: usize = 8 << 20;

impl Blob {
    fn random(random: &mut Random, large_bytes: usize) -> Blob {
        let len = match random.below(20) {
            0..4 => random.between(1, large_bytes as u64) as usize,
            4..8 => random.size(300 << 10),
            _ => random.size(200),
        };
        let offset = random.below((PATTERN_BYTES - len) as u64) as usize;
        Blob { offset, len }
    }

    pub fn bytes(self) -> &'static [u8] {
        static PATTERN: OnceLock<Vec<u8>> = OnceLock::new();
        let pattern = PATTERN.get_or_init(|| {
            let mut random = Random::new(0);
            let words = (0..PATTERN_BYTES / 8).flat_map(|_| random.next().to_le_bytes());
            words.collect()
        });
        &pattern[self.offset..self.offset + self.len]
    }
}

/// One thing that a function does.
#[derive(Clone, Copy, Debug)]
pub enum Step {
    /// It runs for that many milliseconds and reads nothing.
    Compute(u64),
    /// It logs a line of about so many bytes.
    Log(usize),
    /// It says how far it is.
    Progress,
    /// It gives away a function value.
    Hold,
    /// It does something with worker processes, which is drawn then.
    Work,
    /// It asks nexus itself.
    Ask(Question),
    /// It makes a foreign call and waits for it.
    Call(Callee),
    /// It makes a foreign call and goes on.
    Start(Callee),
    /// It waits for all calls that it started.
    Gather,
}

/// A foreign call.
#[derive(Clone, Copy, Debug)]
pub struct Callee {
    /// Number of the plan.
    pub plan: usize,
    /// As a command, by its name.
    pub by_name: bool,
    /// On a certain worker.
    pub is_pinned: bool,
    /// Its caller goes on if the call fails, instead of failing too.
    pub is_caught: bool,
    /// The pool's host policy does not allow it.
    pub is_denied: bool,
}

/// A request that no pool is needed for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Question {
    Ping,
    UnknownMethod,
    UnknownPool,
    UnknownCommand,
}

/// How a function ends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Outcome {
    Return,
    Raise,
    /// Its process dies instead.
    Die,
    /// Its process dies in the middle of the answer.
    CutAndDie,
    /// Nothing comes after the first half of the answer, and nothing more from its process.
    CutAndStall,
    /// It never ends.
    Never,
    AnswerTwice,
    /// It answers a request that was never sent before its own.
    AnswerUnknown,
    /// All of its pool dies.
    KillPool,
}

/// One call.
#[derive(Debug)]
pub struct Plan {
    pub pool: usize,
    /// Number of the client at the root of its tree.
    pub client: usize,
    pub argument: Blob,
    pub result: Blob,
    pub steps: Vec<Step>,
    pub outcome: Outcome,
    /// With no faults: none for the result, or the plan whose failure comes through.
    pub raised_by: Option<usize>,
    /// Its caller, or the caller of one above it, may end without waiting for it.
    pub is_loose: bool,
}

/// The limits of the trees that are drawn.
pub struct Forest {
    /// What each pool may ask for.
    pub hosts: Vec<Option<Host>>,
    /// Number of the client whose tree is drawn.
    pub client: usize,
    /// Chance of a call to be for nexus itself: its pool is the one after all others.
    pub hosted: u64,
    pub depth_max: u64,
    pub children_max: u64,
    /// Chance of a call to be started and not waited for at once, in a thousand.
    pub parallel: u64,
    /// Chance of a call to be for a certain worker.
    pub pinned: u64,
    /// Chance of something to be done with worker processes.
    pub works: u64,
    /// Bytes of the largest argument.
    pub argument_bytes: usize,
    /// Bytes of the largest result.
    pub result_bytes: usize,
    /// Bytes of the longest log line.
    pub log_bytes: usize,
    /// Plans that may still be drawn.
    pub budget: usize,
}

/// The calls of a function that is being drawn.
#[derive(Default)]
struct Draft {
    steps: Vec<Step>,
    /// What it has started and not waited for.
    open: Vec<Callee>,
    raised_by: Option<usize>,
}

impl Forest {
    /// Draws a call and all calls under it, and returns its number.
    pub fn draw(&mut self, plans: &mut Vec<Plan>, faults: &Faults, random: &mut Random, depth: u64) -> usize {
        let number = plans.len();
        self.budget = self.budget.saturating_sub(1);
        let is_hosted = depth > 0 && random.chance(self.hosted);
        let pool = match is_hosted {
            true => self.hosts.len(),
            false => random.below(self.hosts.len() as u64) as usize,
        };
        plans.push(Plan {
            pool,
            client: self.client,
            argument: Blob::random(random, self.argument_bytes),
            result: Blob::random(random, self.result_bytes),
            steps: Vec::new(),
            outcome: Outcome::Return,
            raised_by: None,
            is_loose: false,
        });
        let mut draft = Draft::default();
        let children = match depth < self.depth_max {
            // A deep tree is a chain: a narrow one that ended at once would test nothing.
            true => random.between(u64::from(self.children_max == 1), self.children_max),
            false => 0,
        };
        for _ in 0..children {
            if self.budget == 0 || draft.raised_by.is_some() {
                break;
            }
            self.add_pause(&mut draft.steps, random);
            let plan = self.draw(plans, faults, random, depth + 1);
            let callee = self.callee(plan, &plans[plan], pool, random);
            let failure = plans[plan].raised_by.filter(|_| !callee.is_caught);
            if random.chance(self.parallel) {
                draft.steps.push(Step::Start(callee));
                draft.open.push(callee);
            } else {
                draft.steps.push(Step::Call(callee));
                draft.raised_by = failure;
            }
            if draft.raised_by.is_none() && random.chance(300) {
                draft.gather(plans);
            }
        }
        if draft.raised_by.is_none() {
            self.add_pause(&mut draft.steps, random);
            if random.chance(700) {
                draft.gather(plans);
            }
        }
        for callee in draft.open {
            loosen(plans, callee.plan);
        }
        let outcome = match random.chance(50) {
            true => Outcome::Raise,
            false if is_hosted => Outcome::Return,
            false => faults.draw_outcome(random),
        };
        if outcome == Outcome::Raise {
            draft.raised_by = draft.raised_by.or(Some(number));
        }
        let plan = &mut plans[number];
        (plan.steps, plan.outcome, plan.raised_by) = (draft.steps, outcome, draft.raised_by);
        number
    }

    /// How a pool calls a plan.
    fn callee(&self, number: usize, plan: &Plan, caller: usize, random: &mut Random) -> Callee {
        // Nexus makes no calls by name, and none is for it.
        let is_plain = caller < self.hosts.len() && plan.pool < self.hosts.len();
        let by_name = is_plain && is_command(number) && random.chance(500);
        let is_pinned = plan.pool < self.hosts.len() && !by_name && random.chance(self.pinned);
        let host = self.hosts.get(caller).and_then(Option::as_ref);
        let host = host.filter(|_| is_plain);
        let is_denied = host.is_some_and(|host| match by_name {
            true => !host.command,
            false => !host.may_call(PoolId(plan.pool as u32)),
        });
        Callee {
            plan: number,
            by_name,
            is_pinned,
            is_caught: is_pinned || is_denied || random.chance(300),
            is_denied,
        }
    }

    fn add_pause(&self, steps: &mut Vec<Step>, random: &mut Random) {
        if random.chance(self.works) {
            steps.extend((0..random.between(1, 6)).map(|_| Step::Work));
        }
        match random.below(14) {
            0..4 => steps.push(Step::Compute(random.between(1, 20))),
            4 => steps.push(Step::Log(random.size(self.log_bytes))),
            5 => steps.push(Step::Progress),
            6 => {
                let questions = [
                    Question::Ping,
                    Question::UnknownMethod,
                    Question::UnknownPool,
                    Question::UnknownCommand,
                ];
                steps.push(Step::Ask(random.pick(&questions)));
            }
            7..9 if self.pinned > 0 => steps.push(Step::Hold),
            _ => {}
        }
    }
}

impl Draft {
    /// Waits for all that is open. Of several failures the first that was started comes through.
    fn gather(&mut self, plans: &[Plan]) {
        if self.open.is_empty() {
            return;
        }
        self.steps.push(Step::Gather);
        let failures = self.open.drain(..).filter(|callee| !callee.is_caught);
        let mut failures = failures.filter_map(|callee| plans[callee.plan].raised_by);
        self.raised_by = failures.next();
    }
}

/// Nobody may wait for that plan, and so for those under it.
fn loosen(plans: &mut [Plan], number: usize) {
    plans[number].is_loose = true;
    for step in plans[number].steps.clone() {
        if let Step::Call(callee) | Step::Start(callee) = step {
            loosen(plans, callee.plan);
        }
    }
}

/// Whether a plan is exported as a command.
pub fn is_command(plan: usize) -> bool {
    plan.is_multiple_of(3)
}
