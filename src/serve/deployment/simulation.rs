//! Deployments in a world that is drawn from a seed: callers, operators, files that change, and a shell that loads slowly,
//! fails and crashes, in virtual time. After every step all is compared with a shadow model. Loads nothing.
//!
//! `NEXUS_SEED=n` runs one seed and tells what happens, `NEXUS_SEEDS=n` runs that many.

mod checks;
mod world;

use super::{Deployments, Effect, Name, Start};
use crate::core::simulation::{check_planted, check_seeds};
use world::World;

/// A bug in the deployments that is there only to be found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Bug {
    /// What served before is not asked to end when the next takes over.
    BothServe,
    /// What is replaced is unloaded before its calls have ended.
    UnloadEarly,
    /// The calls that wait for a load are forgotten when it fails.
    ForgetWaiting,
    /// A pool that is left alone keeps callers away for ever.
    EndlessDegraded,
    /// Files that change while something is loaded are not looked at again.
    ForgetChange,
    /// Calls that do not end hold up what is to go.
    EndlessDrain,
    /// A load that has failed keeps its place.
    FailureStays,
}

const BUGS: [Bug; 7] = [
    Bug::BothServe,
    Bug::UnloadEarly,
    Bug::ForgetWaiting,
    Bug::EndlessDegraded,
    Bug::ForgetChange,
    Bug::EndlessDrain,
    Bug::FailureStays,
];

/// Seeds that are run without further word, and in which a planted bug has to be found: some seconds' worth.
const SEEDS: u64 = 3000;

fn run(seed: u64, planted: Option<Bug>, is_loud: bool) -> u64 {
    World::new(seed, planted, is_loud).run()
}

#[test]
fn seeds() {
    check_seeds("deployment::simulation::seeds", SEEDS, |seed, is_loud| {
        run(seed, None, is_loud)
    });
}

#[test]
fn planted_bugs_are_found() {
    check_planted(&BUGS, SEEDS, |seed, bug| run(seed, bug, false));
}

#[test]
fn a_thousand_reloads_under_load_lose_no_call() {
    let mut deployments = Deployments::new();
    let name = Name::parse("a").unwrap();
    let first = deployments
        .deploy(name.clone(), "x".into(), Start::AtOnce, 0)
        .unwrap();
    deployments.handle_loaded(first, 0, 0);
    let mut serving = first;
    let mut now_ms = 0;
    // Calls that run, with when they end.
    let mut calls = std::collections::VecDeque::new();
    let (mut begun, mut loads, mut unloads) = (0, 0, 0);
    for reload in 0..1001 {
        // After the last one the calls that run end.
        let is_over = reload == 1000;
        let next = match is_over {
            true => first,
            false => deployments.reload(&name, now_ms).unwrap(),
        };
        for step in 0..20 {
            now_ms += 1;
            if step == 10 && !is_over {
                deployments.handle_loaded(next, 0, now_ms);
                serving = next;
            }
            if !is_over {
                let id = deployments.begin_call(&name, begun, now_ms);
                assert_eq!(id, Ok(Some(serving)), "call {begun} begins at once");
                begun += 1;
                calls.push_back((now_ms + 15, serving));
            }
            while calls.front().is_some_and(|(end_ms, _)| *end_ms <= now_ms) {
                let (_, id) = calls.pop_front().unwrap();
                deployments.end_call(id, now_ms);
            }
            while let Some(effect) = deployments.poll_effect() {
                match effect {
                    Effect::Load { .. } => loads += 1,
                    Effect::Unload { id, is_at_once } => {
                        assert!(!is_at_once && calls.iter().all(|(_, its)| *its != id));
                        deployments.handle_unloaded(id, now_ms);
                        unloads += 1;
                    }
                    Effect::Begin { .. } | Effect::Refuse { .. } => panic!("no call waits"),
                    Effect::Notice(_) => {}
                }
            }
        }
    }
    assert_eq!((begun, loads, unloads), (20_000, 1001, 1000));
}
