//! The whole server in a world that is drawn from a seed: clients over HTTP that send several requests at once, halves of them,
//! and hang up; clients of the private socket that also operate it; a store of nodes that somebody edits while requests run
//! through them; a shell that loads, runs and unloads, in virtual time. Each request is answered once, in its place, and nothing is
//! left at the end. Opens no socket.
//!
//! `NEXUS_SEED=n` runs one seed and tells what happens, `NEXUS_SEEDS=n` runs that many.

mod flows;
mod peer;
mod world;

use crate::core::simulation::{check_planted, check_seeds};
use world::World;

/// A bug in the server that is there only to be found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Bug {
    /// A call that is refused is not answered before its deadline.
    ForgetRefused,
    /// A call that is answered counts as one that runs.
    CallRunsOn,
    /// What is known of a program is kept when it is unloaded.
    KeepProgram,
    /// A request that waits until a run may begin is not looked at again.
    ForgetStalled,
    /// Who hangs up while a request waits is not noticed.
    StalledNeverLeaves,
    /// The run of a client that is gone goes on.
    RunGoesOn,
    /// What a run has called goes on when the run is given up.
    CallOutlivesRun,
    /// A listener of a node that is gone stays open.
    KeepSource,
    /// Runs of requests have no deadline.
    NoDeadline,
    /// Transactions of runs are never ended.
    ForgetTransaction,
    /// What the store has done is not told to who asked.
    ForgetStored,
    /// The answer of a run goes to whoever asked first.
    AnswerFirst,
    /// Runs are not given up when the grace at the end is over.
    EndlessGrace,
    /// A connection to another server stays when nobody waits for it.
    KeepFetch,
}

const BUGS: [Bug; 14] = [
    Bug::ForgetRefused,
    Bug::CallRunsOn,
    Bug::KeepProgram,
    Bug::ForgetStalled,
    Bug::StalledNeverLeaves,
    Bug::RunGoesOn,
    Bug::CallOutlivesRun,
    Bug::KeepSource,
    Bug::NoDeadline,
    Bug::ForgetTransaction,
    Bug::ForgetStored,
    Bug::AnswerFirst,
    Bug::EndlessGrace,
    Bug::KeepFetch,
];

/// Seeds that are run, and in which a planted bug has to be found: some seconds' worth.
const SEEDS: u64 = 400;

/// Runs one seed: how many requests were answered well.
fn run(seed: u64, planted: Option<Bug>, is_loud: bool) -> u64 {
    World::new(seed, planted, is_loud).run()
}

#[test]
fn seeds() {
    check_seeds("serve::server::simulation::seeds", SEEDS, |seed, is_loud| {
        run(seed, None, is_loud)
    });
}

/// The world is one in which requests are also answered well: by programs and by flows.
#[test]
fn requests_are_answered_well() {
    let good: u64 = (0..SEEDS / 4).map(|seed| run(seed, None, false)).sum();
    assert!(good > 10 * (SEEDS / 4), "{good} of them");
}

#[test]
fn planted_bugs_are_found() {
    check_planted(&BUGS, SEEDS, |seed, bug| run(seed, bug, false));
}
