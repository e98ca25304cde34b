//! Tests of the five rules by which calls are placed, as scripts and where their calls went.

use super::hub::{Effect, Request};
use super::script::{POOL_HELLO, Stage};
use super::simulation::wire::{self, Target};
use crate::error::Result;
use crate::ids::PoolId;

/// Where the calls of a script went, in their order.
fn check(pools: &str, script: &str, expected: &str) {
    let mut stage = Stage::new(pools);
    for step in script.split(' ') {
        stage.play(step);
        stage.hub.assert_invariants();
    }
    assert_eq!(stage.places.join(" "), expected, "{pools}: {script}");
}

#[test]
fn rule_1_an_idle_worker() {
    check("A1", "A", "A1");
    check("A2", "A A1. A", "A1 A1");
    // Also for a callback, whose own chain has a worker that waits.
    check("A2 B1", "A A A2. A1>B B1>A", "A1 A2 B1 A2");
}

#[test]
fn rule_2_the_deepest_worker_of_the_chain() {
    check("A2 B2", "A A1>B B1>A", "A1 B1 A1");
    check("A2 B2", "A A1>B B1>A A1>B B1>A", "A1 B1 A1 B1 A1");
    check("A2 B1", "A A A2. A1>B B1>A A2>B B1>A", "A1 A2 B1 A2 B1 A2");
    // A function that calls its own pool.
    check("A2", "A A1>A A1>A", "A1 A1 A1");
}

#[test]
fn rule_3_a_new_worker() {
    check("A3", "A A A", "A1 A2 A3");
    // Rather than one of another chain that waits.
    check("A2 B1", "A A1>B A", "A1 B1 A2");
    // A worker that is not reentrant takes no callback.
    check("a2 B1", "A A1>B B1>A", "A1 B1 A2");
}

#[test]
fn a_pool_grows_by_the_calls_that_wait() {
    let check = |calls: usize, workers_max: usize| {
        let mut stage = Stage::new(&format!("A{workers_max}"));
        for _ in 0..calls {
            let request = Request {
                token: 0,
                pool: PoolId(0),
                mid: 0,
                args: 1,
                payload: wire::blob(b""),
                timeout_ms: None,
                pid: None,
                parent: None,
            };
            stage.hub.call(request, 0);
        }
        let Some(Effect::Spawn { control, .. }) = stage.hub.poll_effect() else {
            panic!("a call starts its pool");
        };
        assert!(
            stage.hub.poll_effect().is_none(),
            "nothing more before the pool's hello"
        );
        let mut hello = Vec::new();
        wire::hello(&mut hello, POOL_HELLO);
        stage.hub.handle_input(control, &hello, 0);
        let connects = std::iter::from_fn(|| stage.hub.poll_effect()).count();
        // The first connection was made with the pool.
        assert_eq!(
            connects,
            calls.min(workers_max) - 1,
            "{calls} calls, {workers_max} workers"
        );
    };
    check(1, 4);
    check(3, 4);
    check(9, 4);
}

#[test]
fn rule_4_any_worker_that_waits() {
    check("A1 B1", "A A1>B A", "A1 B1 A1");
    // The one with the fewest frames.
    check("A2 B1", "A A A1>B A A1>B A2>B A", "A1 A2 B1 A1 - - A2");
    // It waits from the moment that its call waits in a queue.
    check("A1 B1", "B A A A1>B", "B1 A1 A1 -");
}

#[test]
fn rule_5_the_queue() {
    check("A1", "A A A", "A1 - -");
    check("A1", "A A A A1.", "A1 A1 -");
    check("A1", "A A A A1. A1.", "A1 A1 A1");
    check("A1 B1", "A B B A1>B B1.", "A1 B1 B1 -");
}

#[test]
fn a_deadlock_is_reported() {
    check("a1", "A A1>A", "A1 !deadlock");
    check("a1 b1", "A A1>B B1>A", "A1 B1 !deadlock");
    // A call from outside that waits before it is not to blame.
    check("a1", "A A A1>A", "A1 - !deadlock");
    check("a1", "A A A1>A A1.", "A1 A1 !deadlock");
    // One at a time: what the first sets free may serve the second.
    check("a2", "A A A1>A A2>A", "A1 A2 !deadlock -");
    check("a2", "A A A1>A A2>A A1.", "A1 A2 !deadlock A1");
    // As long as something runs there is hope.
    check("a1 B1", "A B A1>A", "A1 B1 -");
    let mut stage = Stage::new("a1 b1");
    for step in "A A1>B B1>A B1. A1.".split(' ') {
        stage.play(step);
    }
    assert!(
        matches!(stage.answers[..], [Ok(_)]),
        "who catches the error goes on"
    );
}

#[test]
fn as_many_callbacks_as_workers_need_no_more() {
    for workers in 1..9 {
        let mut stage = Stage::new(&format!("A{workers} B{workers}"));
        for _ in 0..workers {
            stage.play("A");
        }
        for to_and_fro in [("A", "B"), ("B", "A")] {
            for worker in 1..=workers {
                stage.play(&format!("{}{worker}>{}", to_and_fro.0, to_and_fro.1));
            }
        }
        stage.hub.assert_invariants();
        assert!(
            !stage.places.iter().any(|place| place == "-"),
            "{:?}",
            stage.places
        );
        while stage.stacks.values().any(|stack| !stack.is_empty()) {
            for pool in ["A", "B"] {
                for worker in 1..=workers {
                    let name = format!("{pool}{worker}");
                    if stage
                        .stacks
                        .get(&stage.worker(&name))
                        .is_some_and(|stack| !stack.is_empty())
                    {
                        stage.play(&format!("{name}."));
                    }
                }
            }
        }
        assert!(stage.answers.iter().all(Result::is_ok));
        assert_eq!(stage.answers.len(), workers);
    }
}

#[test]
fn deep_recursion_needs_one_worker_of_each() {
    const DEPTH: usize = 10_000;
    let mut stage = Stage::new("A8 B8");
    stage.play("A");
    for depth in 1..DEPTH {
        stage.play(if depth % 2 == 1 { "A1>B" } else { "B1>A" });
    }
    assert_eq!((stage.workers[0].len(), stage.workers[1].len()), (1, 1));
    for depth in (0..DEPTH).rev() {
        stage.play(if depth % 2 == 1 { "B1." } else { "A1." });
    }
    stage.hub.assert_invariants();
    assert!(matches!(stage.answers[..], [Ok(_)]));
    assert_eq!(stage.hub.calls.len(), 0);
}

#[test]
fn a_call_that_is_not_waited_for_prefers_a_new_worker() {
    check("A3", "A A1>A A1>A", "A1 A1 A1");
    check("A3", "A A1>>A A1>>A", "A1 A2 A3");
    // An idle one is better still, and one's own better than none.
    check("A3", "A A A2. A1>>A", "A1 A2 A2");
    check("A2", "A A1>>A A1>>A", "A1 A2 A1");
    check("a2", "A A1>>A A1>>A A2.", "A1 A2 A2");
    // Who called on takes others' calls meanwhile, as one that waits does.
    check("A1 B1", "A A1>>B A", "A1 B1 A1");
}

#[test]
fn a_worker_that_runs_several_takes_more_once_all_of_them_wait() {
    let mut stage = Stage::new("A1 B1");
    stage.hellos[0].is_concurrent = true;
    for step in "A A1>>B A A A1>>B".split(' ') {
        stage.play(step);
        stage.hub.assert_invariants();
    }
    assert_eq!(stage.places.join(" "), "A1 B1 A1 A1 -");
    let first = stage.stacks.get_mut(&stage.worker("A1")).unwrap().remove(0);
    let mut bytes = Vec::new();
    wire::answer(&mut bytes, first.0, Ok(b""));
    stage.hub.handle_input(stage.worker("A1"), &bytes, 0);
    stage.settle();
    assert_eq!(stage.answers.len(), 1, "any may be answered first");
    assert_eq!(stage.cancelled.len(), 1, "what it did not wait for is given up");
    stage.hub.assert_invariants();
}

#[test]
fn a_call_for_a_certain_worker_waits_for_it() {
    check("A2 B1", "A A B B1>A1 A1.", "A1 A2 B1 A1");
    // Those behind it need not wait.
    check("a2 B1", "A B B1>A1 A", "A1 B1 - A2");
    check("a2 B1", "A B B1>A1 A A1.", "A1 B1 A1 A2");
    // Where it waits itself.
    check("A1 B1", "A A1>B B1>A1", "A1 B1 A1");
    check("A2 B1", "A A A1>B B1>A2 A2.", "A1 A2 B1 A2");
    // An idle one is as good as any.
    check("A2 B1", "A A B A1. A2. B1>A1 B1>A2", "A1 A2 B1 A1 A2");
}

#[test]
fn a_call_for_a_worker_that_was_never_there_fails() {
    let mut stage = Stage::new("A1 B1");
    stage.play("A");
    stage.play("B");
    let target = Target {
        pid: Some(1),
        ..Target::pool("A")
    };
    let mut bytes = Vec::new();
    wire::call(&mut bytes, 0, &target, 9, b"");
    stage.hub.handle_input(stage.worker("B1"), &bytes, 0);
    stage.settle();
    assert_eq!(stage.places[0], "!terminated");
    stage.hub.assert_invariants();
}

#[test]
fn who_waits_at_once_made_the_call_even_if_it_was_given_another() {
    // A1 does not wait for the first call to B, and has not read that it was given another when it calls C.
    let mut stage = Stage::new("A1 B1 C1");
    for step in "A A1>>B A A1>C".split(' ') {
        stage.play(step);
    }
    assert_eq!(stage.places.join(" "), "A1 B1 A1 C1");
    stage.play("A1.");
    stage.hub.assert_invariants();
    assert_eq!(stage.cancelled.len(), 0, "the call of the other goes on");
    stage.play("C1.");
    stage.play("A1.");
    assert!(stage.answers.iter().all(Result::is_ok));
    assert_eq!(stage.cancelled.len(), 1, "that which nobody waited for");
}
