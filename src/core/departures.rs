//! Tests of workers and pools that go: replaced, given up with their calls, ended, started again; one event at a time.

use super::hub::{Ended, Signal, Wiring};
use super::lifecycle::State;
use super::script::{POOL_HELLO, Stage};
use super::simulation::wire;
use crate::error::{Error, Kind};
use crate::limits::{
    BACKOFF_MS_MIN, CANCEL_GRACE_MS, DEATHS_MAX, DEATHS_WINDOW_MS, KILL_AGAIN_MS, WHOLE_BYTES_MAX,
};
use crate::manifest::model::Recycle;

const ONESHOT: Recycle = Recycle {
    max_calls: Some(1),
    max_age_ms: None,
    max_rss_bytes: None,
    idle_exit_ms: None,
};

const SLIM: Recycle = Recycle {
    max_calls: None,
    max_rss_bytes: Some(10),
    ..ONESHOT
};

fn play(stage: &mut Stage, script: &str) {
    for step in script.split(' ') {
        stage.play(step);
        stage.hub.assert_invariants();
    }
}

/// A stage whose first pool is replaced for that reason, by one worker at a time or as a whole.
fn replacing(pools: &str, recycle: Recycle, can_retire: bool) -> Stage {
    let mut stage = Stage::new(pools);
    stage.hub.pools[0].spec.recycle = recycle;
    stage.hellos[0].can_retire = can_retire;
    stage.rss_bytes = 20;
    stage
}

fn kinds(stage: &Stage) -> Vec<Kind> {
    let errors = stage.answers.iter().filter_map(|answer| answer.as_ref().err());
    errors.map(|error| error.kind).collect()
}

fn hold(stage: &mut Stage, worker: &str) {
    let mut bytes = Vec::new();
    wire::holds(&mut bytes);
    stage.hub.handle_input(stage.worker(worker), &bytes, stage.now_ms);
}

#[test]
fn a_worker_for_each_call() {
    let mut stage = replacing("A1", ONESHOT, true);
    play(&mut stage, "A A1. A A2. A");
    assert_eq!(stage.places.join(" "), "A1 A2 A3");
    assert_eq!(stage.retired, [stage.worker("A1"), stage.worker("A2")]);
    // Calls that are nested in another are the same use.
    let mut stage = replacing("A1 B1", ONESHOT, true);
    play(&mut stage, "A A1>B B1>A A1. B1. A1>A A1. A1.");
    assert_eq!(stage.places.join(" "), "A1 B1 A1 A1");
    assert_eq!(stage.retired.len(), 1);
}

#[test]
fn a_worker_that_is_to_leave_ends_what_it_has_first() {
    let mut stage = replacing("A1", SLIM, true);
    // It has been given the second call when it is found to be too large.
    play(&mut stage, "A A A1. A1>A A");
    assert_eq!(stage.places.join(" "), "A1 A1 A1 -");
    assert!(stage.retired.is_empty());
    play(&mut stage, "A1. A1.");
    assert_eq!(stage.places.join(" "), "A1 A1 A1 A2");
    assert_eq!(stage.retired, [stage.worker("A1")]);
}

#[test]
fn a_worker_that_is_to_leave_obeys_a_cancel_like_any_other() {
    let mut stage = replacing("A1", SLIM, true);
    stage.pool_hello.can_signal = true;
    play(&mut stage, "A A A1.");
    let error = Error::new(Kind::Cancelled, "enough");
    stage.hub.cancel(1, &error, 0);
    stage.settle();
    play(&mut stage, "A1.");
    assert_eq!(stage.retired, [stage.worker("A1")], "now it is told to end");
    assert_eq!(stage.passed_on, [(1001, 2)]);
}

#[test]
fn a_pool_whose_workers_can_not_leave_is_replaced() {
    let mut stage = replacing("A1", SLIM, false);
    play(&mut stage, "A A1.");
    assert_eq!(stage.hub.pools[0].state, State::Draining);
    play(&mut stage, "A");
    stage.end_pool("A", Ended::Code(0));
    assert_eq!(stage.places.join(" "), "A1 A2");
    assert!(kinds(&stage).is_empty(), "nothing is lost by it");
}

#[test]
fn a_pool_that_is_too_old_before_its_hello_is_replaced() {
    let mut stage = replacing("A1", ONESHOT, false);
    stage.hub.pools[0].spec.recycle.max_calls = None;
    stage.hub.pools[0].spec.recycle.max_age_ms = Some(10);
    stage.is_silent = true;
    play(&mut stage, "A");
    let (control, worker) = (stage.hub.pools[0].control.unwrap(), stage.hub.pools[0].workers[0]);
    let mut hello = Vec::new();
    wire::hello(&mut hello, POOL_HELLO);
    stage.hub.handle_input(worker, &hello, 0);
    stage.hub.handle_timeout(10);
    stage.hub.handle_input(control, &hello, 10);
    assert_eq!(stage.hub.pools[0].state, State::Draining);
    stage.is_silent = false;
    stage.end_pool("A", Ended::Code(0));
    assert_eq!(stage.places.join(" "), "A1");
}

#[test]
fn a_pool_that_is_to_be_replaced_does_not_wait_for_itself() {
    // The call of another chain stands above one that the pool waits for.
    let mut stage = replacing("A2 B1 C1", ONESHOT, false);
    play(&mut stage, "A A A2. A1>B B1>C B B1>A");
    assert_eq!(stage.places.join(" "), "A1 A2 B1 C1 B1 A1");
    // New chains wait.
    play(&mut stage, "A A1. B1. C1. B1. A1.");
    assert_eq!(stage.hub.pools[0].state, State::Draining);
    stage.end_pool("A", Ended::Code(0));
    assert_eq!(stage.places.join(" "), "A1 A2 B1 C1 B1 A1 A3");
    // Where waiting workers take no calls, another does.
    let mut stage = replacing("a3 B1 C1", ONESHOT, false);
    play(&mut stage, "A A A2. A1>B B1>C B B1>A");
    assert_eq!(stage.places.join(" "), "A1 A2 B1 C1 B1 A3");
    // A deadlock is one all the same.
    let mut stage = replacing("a2 B1 C1", ONESHOT, false);
    play(&mut stage, "A A A2. A A1>A A3>A");
    assert_eq!(stage.places.join(" "), "A1 A2 - A3 !deadlock");
}

#[test]
fn function_values_keep_their_worker() {
    for (wiring, can_retire) in [
        (Wiring::Parent, false),
        (Wiring::Parent, true),
        (Wiring::Direct, false),
    ] {
        let mut stage = replacing("A2 B1", ONESHOT, can_retire);
        stage.hub.pools[0].spec.wiring = wiring;
        play(&mut stage, "B A A");
        hold(&mut stage, "A1");
        play(&mut stage, "A1. A2. B1>A1 A1. B1>A1");
        assert_eq!(
            stage.places.join(" "),
            "B1 A1 A2 A1 A1",
            "{wiring:?} {can_retire}"
        );
        assert!(stage.retired.is_empty() || can_retire);
        play(&mut stage, "A1. B1.");
        let first = stage.worker("A1");
        let is_gone = stage.retired.contains(&first) || stage.closed.contains(&first);
        assert!(
            is_gone && stage.answers.iter().all(Result::is_ok),
            "until all is over"
        );
    }
    // Also if the pool was about to go.
    let mut stage = replacing("A2 B1", ONESHOT, false);
    play(&mut stage, "B A A A2.");
    hold(&mut stage, "A1");
    play(&mut stage, "A1. A B1>A1");
    assert_eq!(stage.places.join(" "), "B1 A1 A2 A3 A1");
    // And if all has been idle for long.
    let mut stage = replacing("A1 B1", ONESHOT, true);
    stage.hub.pools[0].spec.recycle.max_calls = None;
    stage.hub.pools[0].spec.recycle.idle_exit_ms = Some(50);
    play(&mut stage, "B A");
    hold(&mut stage, "A1");
    play(&mut stage, "A1. +60 B1>A1");
    assert_eq!(stage.places.join(" "), "B1 A1 A1");
}

#[test]
fn what_waits_for_a_worker_that_is_let_go_fails() {
    let mut stage = replacing("a1 B1", ONESHOT, false);
    stage.hub.pools[0].spec.wiring = Wiring::Direct;
    play(&mut stage, "A B B1>A1 A1.");
    assert_eq!(stage.places.join(" "), "A1 B1 !terminated");
    // Who was told to leave is not gone yet, and takes nothing; that is no deadlock.
    let mut stage = replacing("a1 B1", ONESHOT, true);
    play(&mut stage, "A B A1. B1>A1");
    assert_eq!(stage.places.join(" "), "A1 B1 -");
    stage.end_worker(stage.worker("A1"), Ended::Code(0));
    assert_eq!(stage.places.join(" "), "A1 B1 !terminated");
}

#[test]
fn a_remote_process_is_not_weighed() {
    let mut stage = replacing("A1", SLIM, false);
    stage.hub.pools[0].spec.wiring = Wiring::Remote;
    play(&mut stage, "A A1. A");
    assert_eq!(stage.places.join(" "), "A1 A1");
}

#[test]
fn deadlines_travel() {
    let mut stage = Stage::new("A1 B1 C2");
    stage.ask("A", Some(50));
    play(&mut stage, "A1>B B1>C B1>>C");
    let mut ids: Vec<u64> = stage.stacks.values().flatten().map(|(id, _)| *id).collect();
    play(&mut stage, "+50");
    stage.cancelled.sort_unstable();
    ids.sort_unstable();
    assert_eq!(stage.cancelled, ids, "all of the chain is given up");
    assert_eq!(kinds(&stage), [Kind::Timeout]);
    // What the cancelled functions still ask for is refused.
    play(&mut stage, "B1>C");
    assert_eq!(stage.places[4], "!cancelled");
    play(&mut stage, "C1. C2. B1. A1.");
    assert_eq!(stage.hub.calls.len(), 0);
}

#[test]
fn who_does_not_stop_is_ended() {
    let grace_ms = CANCEL_GRACE_MS.min(100);
    let mut stage = Stage::new("A2");
    stage.pool_hello.can_signal = true;
    stage.ask("A", Some(50));
    play(&mut stage, "A +50");
    assert_eq!(stage.passed_on, [(1001, 2)]);
    play(&mut stage, &format!("+{} +1 +99 +1", grace_ms - 1));
    let asked_and_ended = [(1001, 2), (1001, 2), (1001, 15), (1001, 9)];
    assert_eq!(stage.passed_on, asked_and_ended);
    play(&mut stage, &format!("+{KILL_AGAIN_MS}"));
    assert_eq!(stage.passed_on.len(), 5);
    stage.end_worker(stage.worker("A1"), Ended::Signal(9));
    assert_eq!(kinds(&stage), [Kind::Timeout], "nobody else is harmed");
    assert!(stage.signals.is_empty());
    // It costs all of a pool that can't pass on signals.
    let mut stage = Stage::new("A2");
    stage.ask("A", Some(50));
    play(&mut stage, &format!("A +50 +{grace_ms}"));
    assert_eq!(
        (stage.passed_on.len(), stage.signals.clone()),
        (0, vec![Signal::Term])
    );
    play(&mut stage, "A");
    stage.end_pool("A", Ended::Signal(15));
    assert_eq!(kinds(&stage), [Kind::Timeout, Kind::Terminated]);
    assert_eq!(
        stage.places.join(" "),
        "A1 A2 A3",
        "what waits is served by the next"
    );
}

#[test]
fn who_can_not_stop_yet_has_time() {
    // Another's call stands above the one that is given up, and ends when it likes.
    let mut stage = Stage::new("A1 B1");
    stage.pool_hello.can_signal = true;
    stage.ask("A", Some(50));
    play(&mut stage, "A1>B A B1. +50 +1000");
    assert_eq!(stage.places.join(" "), "A1 B1 A1");
    assert_eq!(stage.passed_on, [(1001, 2)]);
    play(&mut stage, "A1. +99");
    assert_eq!(
        stage.passed_on,
        [(1001, 2), (1001, 2)],
        "it is asked again once it can"
    );
    play(&mut stage, "+1");
    assert_eq!(stage.passed_on, [(1001, 2), (1001, 2), (1001, 15)]);
    assert_eq!(kinds(&stage), [Kind::Timeout]);
}

#[test]
fn at_the_end_nobody_has_more_time() {
    // The rest of an answer, above a call that is given up, never comes.
    let mut stage = Stage::new("A1 B1");
    stage.ask("A", Some(50));
    play(&mut stage, "A1>B A B1. +50");
    let worker = stage.worker("A1");
    let (id, _) = stage.stacks.get_mut(&worker).unwrap().pop().unwrap();
    let mut bytes = Vec::new();
    wire::answer(&mut bytes, id, Ok(&[7; 2 * WHOLE_BYTES_MAX]));
    bytes.truncate(WHOLE_BYTES_MAX);
    stage.hub.handle_input(worker, &bytes, 50);
    stage.hub.drain(50);
    play(&mut stage, "+100");
    assert_eq!(stage.hub.pools[0].state, State::Terminating);
}

#[test]
fn at_the_end_nobody_asks_who_died() {
    let mut stage = Stage::new("A1");
    play(&mut stage, "A");
    stage.hub.handle_closed(stage.worker("A1"), 0);
    stage.hub.drain(0);
    assert_eq!(stage.hub.pools[0].state, State::Draining);
}

#[test]
fn a_worker_that_is_a_process_of_nexus_is_signalled_by_it() {
    let mut stage = Stage::new("A1");
    stage.hub.pools[0].spec.wiring = Wiring::Direct;
    stage.ask("A", Some(50));
    let worker = stage.worker("A1");
    play(&mut stage, "+50 +100 +100");
    let signals = [Signal::Int, Signal::Term, Signal::Kill];
    assert_eq!(stage.worker_signals, signals.map(|signal| (worker, signal)));
    // Its connection ends, and it does not.
    let mut stage = Stage::new("A1");
    stage.hub.pools[0].spec.wiring = Wiring::Remote;
    play(&mut stage, "A");
    stage.hub.handle_closed(stage.worker("A1"), 0);
    play(&mut stage, "+100 +100");
    let signals: Vec<Signal> = stage.worker_signals.iter().map(|(_, signal)| *signal).collect();
    assert_eq!(signals, [Signal::Term, Signal::Kill]);
    stage.hub.drain(200);
    assert!(!stage.hub.is_finished());
    let worker = stage.worker("A1");
    let pool = crate::ids::PoolId(0);
    stage.hub.handle_worker_ended(pool, worker, Ended::Signal(9), 200);
    assert!(stage.hub.is_finished());
}

#[test]
fn a_pool_that_dies_is_started_again_after_a_while() {
    let mut stage = Stage::new("A1");
    let mut wait_ms = BACKOFF_MS_MIN;
    for death in 1..DEATHS_MAX {
        play(&mut stage, "A");
        stage.end_pool("A", Ended::Code(3));
        assert_eq!(stage.hub.pools[0].state, State::Backoff);
        assert_eq!(stage.answers.len(), 2 * death - 1);
        // A call that comes meanwhile is kept.
        play(&mut stage, &format!("A +{}", wait_ms - 1));
        assert_eq!(stage.places.last().unwrap(), "-");
        play(&mut stage, "+1");
        assert_eq!(
            *stage.places.last().unwrap(),
            format!("A{}", stage.workers[0].len())
        );
        let newest = format!("A{}.", stage.workers[0].len());
        play(&mut stage, &newest);
        assert!(stage.answers.last().unwrap().is_ok());
        wait_ms *= 2;
    }
    // Once more, and it is left alone for the rest of the time.
    play(&mut stage, "A");
    stage.end_pool("A", Ended::Code(3));
    play(&mut stage, "A");
    let error = stage.answers.last().unwrap().as_ref().unwrap_err();
    assert!(error.message.contains("died 5 times within 60 s"), "{error}");
    assert_eq!(stage.hub.next_deadline(), Some(DEATHS_WINDOW_MS));
    let rest = DEATHS_WINDOW_MS - stage.now_ms;
    play(&mut stage, &format!("+{rest} A"));
    assert_eq!(
        *stage.places.last().unwrap(),
        format!("A{}", stage.workers[0].len())
    );
}

#[test]
fn a_pool_that_cannot_be_started_is_tried_again_after_a_while() {
    let mut stage = Stage::new("A1");
    stage.is_silent = true;
    for death in 1..=DEATHS_MAX {
        // A call that waits ends with the start, and one that comes soon after does not wait.
        play(&mut stage, "A");
        stage.end_pool("A", Ended::Code(3));
        assert_eq!(stage.hub.pools[0].state, State::Failed);
        play(&mut stage, "A");
        assert_eq!(kinds(&stage), vec![Kind::HelloFailed; 2 * death]);
        let again_ms = match death {
            DEATHS_MAX => DEATHS_WINDOW_MS,
            _ => stage.now_ms + (BACKOFF_MS_MIN << (death - 1)),
        };
        assert_eq!(stage.hub.next_deadline(), Some(again_ms));
        let rest_ms = again_ms - stage.now_ms;
        play(&mut stage, &format!("+{rest_ms}"));
        assert_eq!(stage.hub.pools[0].state, State::Idle);
    }
    let error = stage.answers.last().unwrap().as_ref().unwrap_err();
    assert!(error.message.contains("died 5 times within 60 s"), "{error}");
}

#[test]
fn a_pool_at_fault_is_not_started_again_at_once() {
    let mut stage = Stage::new("A1");
    play(&mut stage, "A");
    let control = stage.hub.pools[0].control.unwrap();
    stage.hub.handle_input(control, b"\xff\xff\xff\xff", 0);
    stage.end_pool("A", Ended::Signal(15));
    play(&mut stage, "A");
    assert_eq!(kinds(&stage), [Kind::Protocol; 2]);
    assert_eq!(stage.hub.pools[0].state, State::Failed);
    play(&mut stage, &format!("+{BACKOFF_MS_MIN} A"));
    assert_eq!(
        *stage.places.last().unwrap(),
        format!("A{}", stage.workers[0].len())
    );
    // At the end nothing is kept for a start that won't come.
    let mut stage = Stage::new("A1");
    stage.is_silent = true;
    play(&mut stage, "A");
    stage.end_pool("A", Ended::Code(3));
    stage.hub.drain(0);
    assert_eq!(stage.hub.next_deadline(), None);
}

#[test]
fn old_deaths_do_not_count() {
    let mut stage = Stage::new("A1");
    for _ in 1..DEATHS_MAX {
        play(&mut stage, "A");
        stage.end_pool("A", Ended::Code(3));
        play(&mut stage, "+1000");
    }
    play(&mut stage, "A");
    stage.now_ms += DEATHS_WINDOW_MS;
    let now_ms = stage.now_ms;
    stage.end_pool("A", Ended::Code(3));
    assert_eq!(stage.hub.next_deadline(), Some(now_ms + BACKOFF_MS_MIN));
}

#[test]
fn what_waits_for_a_pool_that_comes_back_is_no_deadlock() {
    let mut stage = Stage::new("a1 b1 c1");
    play(&mut stage, "B");
    stage.end_pool("B", Ended::Code(3));
    play(&mut stage, "A A1>B C C1>A");
    assert_eq!(stage.places.join(" "), "B1 A1 - C1 -");
    play(&mut stage, &format!("+{BACKOFF_MS_MIN} B2. A1. A1. C1."));
    assert_eq!(stage.places.join(" "), "B1 A1 B2 C1 A1");
    assert_eq!(kinds(&stage), [Kind::Terminated]);
}

#[test]
fn at_the_end_nothing_is_begun() {
    let mut stage = Stage::new("A2");
    play(&mut stage, "A");
    stage.hub.drain(0);
    play(&mut stage, "A");
    assert_eq!(stage.places.join(" "), "A1 -");
    assert_eq!(kinds(&stage), [Kind::Cancelled; 2]);
    // Nor after a wait.
    let mut stage = Stage::new("A1");
    play(&mut stage, "A");
    stage.end_pool("A", Ended::Code(3));
    play(&mut stage, "A");
    stage.hub.terminate(0);
    stage.settle();
    stage.hub.assert_invariants();
    assert_eq!(kinds(&stage), [Kind::Terminated, Kind::Cancelled]);
    assert_eq!(stage.hub.next_deadline(), None);
}
