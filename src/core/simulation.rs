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
    let ran = std::panic::catch_unwind(|| World::new(seed, planted, is_loud).run());
    ran.unwrap_or_else(|failure| {
        if planted.is_none() {
            eprintln!("again: NEXUS_SEED={seed} cargo test --lib simulation::seeds -- --nocapture");
        }
        std::panic::resume_unwind(failure)
    })
}

/// Read when this is compiled, which the variable brings about: the core knows no environment.
fn number(variable: Option<&str>) -> Option<u64> {
    variable.and_then(|text| text.parse().ok())
}

#[test]
fn seeds() {
    if let Some(seed) = number(option_env!("NEXUS_SEED")) {
        run(seed, None, true);
        return;
    }
    let seeds = number(option_env!("NEXUS_SEEDS")).unwrap_or(SEEDS);
    let steps: u64 = (0..seeds).map(|seed| run(seed, None, false)).sum();
    println!("{seeds} seeds, {steps} steps");
}

#[test]
fn planted_bugs_are_found() {
    for bug in BUGS {
        let fails = |seed: &u64| std::panic::catch_unwind(|| run(*seed, Some(bug), false)).is_err();
        let found = (0..PLANTED_SEEDS).find(fails);
        let seed = found.unwrap_or_else(|| panic!("{bug:?} is not found in {PLANTED_SEEDS} seeds"));
        println!("{bug:?} is found with seed {seed}");
        // It is the bug that was found.
        run(seed, None, false);
    }
}
