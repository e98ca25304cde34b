//! What every call of a run is to do, drawn from the seed before the run begins. A plan is carried out at most once, and
//! its number is the id under which its pool finds the function, so that every message can be traced to it.

use super::faults::Faults;
use super::random::Random;
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
    /// It logs a line.
    Log,
    /// It asks nexus itself.
    Ask(Question),
    /// It makes a foreign call.
    Call {
        /// Number of the plan.
        child: usize,
        /// As a command, by its name.
        by_name: bool,
        /// It goes on if the call fails, instead of failing too.
        catches: bool,
    },
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
}

/// One call.
#[derive(Debug)]
pub struct Plan {
    pub pool: usize,
    pub argument: Blob,
    pub result: Blob,
    pub steps: Vec<Step>,
    pub outcome: Outcome,
    /// With no faults: none for the result, or the plan whose failure comes through.
    pub raised_by: Option<usize>,
}

/// The limits of the trees that are drawn.
pub struct Forest {
    pub pools: usize,
    pub depth_max: u64,
    pub children_max: u64,
    /// Bytes of the largest argument.
    pub argument_bytes: usize,
    /// Bytes of the largest result.
    pub result_bytes: usize,
    /// Plans that may still be drawn.
    pub budget: usize,
}

impl Forest {
    /// Draws a call and all calls under it, and returns its number.
    pub fn draw(&mut self, plans: &mut Vec<Plan>, faults: &Faults, random: &mut Random, depth: u64) -> usize {
        let number = plans.len();
        self.budget = self.budget.saturating_sub(1);
        plans.push(Plan {
            pool: random.below(self.pools as u64) as usize,
            argument: Blob::random(random, self.argument_bytes),
            result: Blob::random(random, self.result_bytes),
            steps: Vec::new(),
            outcome: Outcome::Return,
            raised_by: None,
        });
        let mut steps = Vec::new();
        let mut raised_by = None;
        let children = match depth < self.depth_max {
            // A deep tree is a chain: a narrow one that ended at once would test nothing.
            true => random.between(u64::from(self.children_max == 1), self.children_max),
            false => 0,
        };
        for _ in 0..children {
            if self.budget == 0 {
                break;
            }
            add_pause(&mut steps, random);
            let child = self.draw(plans, faults, random, depth + 1);
            let catches = random.chance(300);
            steps.push(Step::Call {
                child,
                by_name: is_command(child) && random.chance(500),
                catches,
            });
            if !catches && plans[child].raised_by.is_some() {
                raised_by = plans[child].raised_by;
                break;
            }
        }
        add_pause(&mut steps, random);
        let outcome = match random.chance(50) {
            true => Outcome::Raise,
            false => faults.draw_outcome(random),
        };
        if outcome == Outcome::Raise {
            raised_by = raised_by.or(Some(number));
        }
        let plan = &mut plans[number];
        (plan.steps, plan.outcome, plan.raised_by) = (steps, outcome, raised_by);
        number
    }
}

/// Whether a plan is exported as a command.
pub fn is_command(plan: usize) -> bool {
    plan.is_multiple_of(3)
}

fn add_pause(steps: &mut Vec<Step>, random: &mut Random) {
    match random.below(12) {
        0..4 => steps.push(Step::Compute(random.between(1, 20))),
        4..6 => steps.push(Step::Log),
        6 => {
            let questions = [
                Question::Ping,
                Question::UnknownMethod,
                Question::UnknownPool,
                Question::UnknownCommand,
            ];
            steps.push(Step::Ask(random.pick(&questions)));
        }
        _ => {}
    }
}
