//! Which faults a run has and how often. Every seed draws its own few, so that one fault does not hide another.

use super::plan::Outcome;
use super::random::Random;

/// Chances of faults, in a thousand cases.
#[derive(Debug, Default, PartialEq)]
pub struct Faults {
    /// Of a function, instead of its answer.
    pub outcome_dies: u64,
    pub outcome_cut: u64,
    pub outcome_stall: u64,
    pub outcome_never: u64,
    pub outcome_twice: u64,
    pub outcome_unknown: u64,
    pub outcome_kills_pool: u64,
    /// Of a random moment.
    pub worker_dies: u64,
    pub pool_dies: u64,
    pub garbage: u64,
    pub control_garbage: u64,
    pub control_closes: u64,
    /// Of a death.
    pub unreported: u64,
    pub torn: u64,
    /// Of a start.
    pub spawn_fails: u64,
    pub connect_fails: u64,
    pub hello_never: u64,
    pub hello_late: u64,
    pub hello_version: u64,
    pub worker_hello_never: u64,
    pub worker_hello_version: u64,
    /// Of a pool.
    pub grow_refused: u64,
    pub ignores_shutdown: u64,
    pub ignores_term: u64,
    pub not_reentrant: u64,
    /// Of a worker.
    pub ignores_cancel: u64,
    pub ignores_retire: u64,
    pub ignores_eof: u64,
    /// Of a client's call.
    pub cancelled: u64,
    pub timeout: u64,
    /// Of a foreign call, by its pool.
    pub pool_timeout: u64,
    /// Of a run: it is drained, terminated or killed while calls run.
    pub ended_early: u64,
    /// Of a program: it can't be started or ends badly, dies of a signal, never ends.
    pub program_fails: u64,
    pub program_dies: u64,
    pub program_hangs: u64,
    /// Of a run: there is little room for large calls that wait.
    pub little_room: u64,
}

impl Faults {
    pub fn draw(random: &mut Random) -> Faults {
        let mut faults = Faults::default();
        // Of what happens at random moments, and of what happens to a few.
        let rare = [
            &mut faults.worker_dies,
            &mut faults.pool_dies,
            &mut faults.garbage,
            &mut faults.control_garbage,
            &mut faults.control_closes,
        ];
        for chance in rare {
            *chance = if random.chance(150) {
                random.between(1, 8)
            } else {
                0
            };
        }
        let common = [
            &mut faults.outcome_dies,
            &mut faults.outcome_cut,
            &mut faults.outcome_stall,
            &mut faults.outcome_never,
            &mut faults.outcome_twice,
            &mut faults.outcome_unknown,
            &mut faults.outcome_kills_pool,
            &mut faults.unreported,
            &mut faults.torn,
            &mut faults.spawn_fails,
            &mut faults.connect_fails,
            &mut faults.hello_never,
            &mut faults.hello_late,
            &mut faults.hello_version,
            &mut faults.worker_hello_never,
            &mut faults.worker_hello_version,
            &mut faults.grow_refused,
            &mut faults.ignores_shutdown,
            &mut faults.ignores_term,
            &mut faults.not_reentrant,
            &mut faults.ignores_cancel,
            &mut faults.ignores_retire,
            &mut faults.ignores_eof,
            &mut faults.cancelled,
            &mut faults.timeout,
            &mut faults.pool_timeout,
            &mut faults.ended_early,
            &mut faults.little_room,
            &mut faults.program_fails,
            &mut faults.program_dies,
            &mut faults.program_hangs,
        ];
        for chance in common {
            *chance = if random.chance(180) {
                random.between(20, 500)
            } else {
                0
            };
        }
        faults
    }

    /// Whether a call may go unanswered for ever: then every client has to set a deadline. Who makes calls without waiting
    /// for them at once may wait for them for ever without nexus knowing, where workers take no calls meanwhile or there is
    /// no room.
    pub fn may_hang(&self, is_parallel: bool) -> bool {
        let deadlocks = if is_parallel {
            self.not_reentrant + self.little_room
        } else {
            0
        };
        self.outcome_stall + self.outcome_never + self.garbage + self.control_garbage + deadlocks > 0
    }

    /// Whether calls may wait for each other for ever, so that nexus has to refuse one.
    pub fn may_deadlock(&self) -> bool {
        self.not_reentrant + self.little_room > 0
    }

    pub fn draw_outcome(&self, random: &mut Random) -> Outcome {
        let faulty = [
            (self.outcome_dies, Outcome::Die),
            (self.outcome_cut, Outcome::CutAndDie),
            (self.outcome_stall, Outcome::CutAndStall),
            (self.outcome_never, Outcome::Never),
            (self.outcome_twice, Outcome::AnswerTwice),
            (self.outcome_unknown, Outcome::AnswerUnknown),
            (self.outcome_kills_pool, Outcome::KillPool),
        ];
        // A chance is of a call, and a run has dozens: a third of it still hits most runs.
        let drawn = faulty.iter().find(|(chance, _)| random.chance(chance / 3));
        drawn.map_or(Outcome::Return, |(_, outcome)| *outcome)
    }
}
