//! The hub in a world that is drawn from a seed: random calls, random faults, bytes cut anywhere, virtual time. After
//! every step the hub's invariants and a shadow model of all calls are checked. Touches no socket and no process.
//!
//! `NEXUS_SEED=n` runs one seed and tells what happens, `NEXUS_SEEDS=n` runs that many.

/// Tells what happens, if the run is to be followed.
macro_rules! trace {
    ($world:expr, $($text:tt)*) => {
        if $world.is_loud {
            eprintln!("{:>6} {}", $world.now_ms, format_args!($($text)*));
        }
    };
}

pub(crate) use trace;

mod checks;
mod desk;
mod effects;
mod faults;
mod function;
mod host;
mod mischief;
mod piping;
pub(super) mod plan;
mod pool;
mod process;
mod program;
pub(crate) mod random;
mod shadow;
mod system;
pub(super) mod wire;
mod work;
mod worker;
mod world;

use std::fmt::Debug;
use std::panic::{RefUnwindSafe, catch_unwind, resume_unwind};
use world::World;

/// A bug in the hub that is there only to be found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Bug {
    /// A client's answer comes twice.
    AnswerTwice,
    /// The calls that wait for a pool are forgotten when one of its workers dies.
    ForgetQueue,
    /// Calls are cancelled on a worker whose connection has ended.
    SendToDead,
    /// A worker that waits is given only calls of its own chain.
    SkipRuleFour,
    /// Who fills another's outbox is read on.
    IgnoreFullOutbox,
    /// What a call that is given up has made goes on.
    OrphansGoOn,
    /// A call for one certain worker goes to any.
    PinAnywhere,
    /// A worker that has had all its calls is given one more.
    OneCallMore,
    /// A call that nobody waits for any more is answered under the id of its sibling.
    AnswerSibling,
    /// The process of a worker without a parent is forgotten when its connection ends.
    ForgetProcess,
    /// A pool that has died is never started again.
    EndlessBackoff,
    /// A worker in which function values live is replaced while they may be called.
    DropFunctions,
    /// Calls are made that a pool may not make.
    AllowAll,
    /// A pool that is to be replaced as a whole is not looked at when a worker of it has become too large.
    NeverReplaced,
    /// What nexus runs itself is not told that nobody waits for it any more.
    HostGoesOn,
    /// Calls that nexus makes for a call are in no chain with it.
    HostCallsAlone,
    /// Whoever waits for a worker process is not answered.
    DropProcessAnswer,
    /// A wait that is over is taken for the end of all messages.
    TimeoutIsEnd,
    /// What waits to be sent to a worker process has no bound.
    EndlessMailbox,
    /// A call is answered while its worker processes run.
    JoinNothing,
}

const BUGS: [Bug; 20] = [
    Bug::AnswerTwice,
    Bug::ForgetQueue,
    Bug::SendToDead,
    Bug::SkipRuleFour,
    Bug::IgnoreFullOutbox,
    Bug::OrphansGoOn,
    Bug::PinAnywhere,
    Bug::OneCallMore,
    Bug::AnswerSibling,
    Bug::ForgetProcess,
    Bug::EndlessBackoff,
    Bug::DropFunctions,
    Bug::AllowAll,
    Bug::NeverReplaced,
    Bug::HostGoesOn,
    Bug::HostCallsAlone,
    Bug::DropProcessAnswer,
    Bug::TimeoutIsEnd,
    Bug::EndlessMailbox,
    Bug::JoinNothing,
];

/// Seeds that a planted bug has to be found in.
const PLANTED_SEEDS: u64 = 5000;

/// Seeds that are run without further word: some seconds' worth.
const SEEDS: u64 = 5000;

/// Runs one seed and returns how many steps it took.
fn run(seed: u64, planted: Option<Bug>, is_loud: bool) -> u64 {
    World::new(seed, planted, is_loud).run()
}

/// Read when this is compiled, which the variable brings about: the core knows no environment.
fn number(variable: Option<&str>) -> Option<u64> {
    variable.and_then(|text| text.parse().ok())
}

/// Runs so many seeds, or what the variables say; `path` is that of the test, for whoever repeats one that fails.
pub(crate) fn check_seeds(path: &str, seeds: u64, run: impl Fn(u64, bool) -> u64 + RefUnwindSafe) {
    let run = |seed, is_loud| {
        catch_unwind(|| run(seed, is_loud)).unwrap_or_else(|failure| {
            eprintln!("again: NEXUS_SEED={seed} cargo test --lib {path} -- --nocapture");
            resume_unwind(failure)
        })
    };
    if let Some(seed) = number(option_env!("NEXUS_SEED")) {
        run(seed, true);
        return;
    }
    let seeds = number(option_env!("NEXUS_SEEDS")).unwrap_or(seeds);
    let steps: u64 = (0..seeds).map(|seed| run(seed, false)).sum();
    println!("{seeds} seeds, {steps} steps");
}

/// Whether each of these bugs fails one of so many seeds, which passes without it.
pub(crate) fn check_planted<B: Copy + Debug + RefUnwindSafe>(
    bugs: &[B],
    seeds: u64,
    run: impl Fn(u64, Option<B>) -> u64 + RefUnwindSafe,
) {
    for bug in bugs {
        let fails = |seed: &u64| catch_unwind(|| run(*seed, Some(*bug))).is_err();
        let found = (0..seeds).find(fails);
        let seed = found.unwrap_or_else(|| panic!("{bug:?} is not found in {seeds} seeds"));
        println!("{bug:?} is found with seed {seed}");
        // It is the bug that was found.
        run(seed, None);
    }
}

#[test]
fn seeds() {
    check_seeds("simulation::seeds", SEEDS, |seed, is_loud| {
        run(seed, None, is_loud)
    });
}

#[test]
fn planted_bugs_are_found() {
    check_planted(&BUGS, PLANTED_SEEDS, |seed, bug| run(seed, bug, false));
}
