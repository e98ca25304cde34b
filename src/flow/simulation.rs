//! The engine in a world that is drawn from a seed: random graphs, edits while they run, nodes and works that fail, virtual time.
//! After every step its invariants and a shadow model are checked.
//!
//! `NEXUS_SEED=n` runs one seed and tells what happens, `NEXUS_SEEDS=n` runs that many.

pub mod draw;
pub mod hooks;
mod loaded;
mod world;

use crate::core::simulation::{check_planted, check_seeds};
use world::World;

/// A bug in the engine that is there only to be found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Bug {
    /// What a run that is given up has asked for goes on.
    ForgetUndo,
    /// The answer of an error's handler is lost.
    LoseAnswer,
    /// A run that is answered is answered again when it is cancelled.
    AnswerTwice,
    /// Runs that belong to one that has failed go on.
    OrphansGoOn,
    /// What sleeps in a run that is given up is woken.
    ForgetSleep,
    /// Packets of a run that is given up are counted for ever.
    ForgetPackets,
    /// The nodes that a run began on are kept after its end.
    KeepTables,
    /// Transactions of runs that fail are committed.
    CommitAll,
    /// What depends on a node that isn't active any more stays so.
    ForgetDependents,
    /// What calls a command stays active when that is not served any more.
    KeepCallers,
    /// Load hooks run from the outer nodes to the inner.
    OuterFirst,
    /// A run begins at a node of the name in another namespace.
    AnyNamespace,
}

const BUGS: [Bug; 12] = [
    Bug::ForgetUndo,
    Bug::LoseAnswer,
    Bug::AnswerTwice,
    Bug::OrphansGoOn,
    Bug::ForgetSleep,
    Bug::ForgetPackets,
    Bug::KeepTables,
    Bug::CommitAll,
    Bug::ForgetDependents,
    Bug::KeepCallers,
    Bug::OuterFirst,
    Bug::AnyNamespace,
];

/// Seeds that are run without further word, and in which a planted bug has to be found: some seconds' worth.
const SEEDS: u64 = 400;

fn run(seed: u64, planted: Option<Bug>, is_loud: bool) -> u64 {
    World::new(seed, planted, is_loud).run()
}

#[test]
fn seeds() {
    check_seeds("flow::simulation::seeds", SEEDS, |seed, is_loud| {
        run(seed, None, is_loud)
    });
}

#[test]
fn planted_bugs_are_found() {
    check_planted(&BUGS, SEEDS, |seed, bug| run(seed, bug, false));
}
