//! Tests of what the hub does about a peer that breaks a rule, asks too much or goes away, one event at a time.

use super::hub::{Effect, Ended, PeerId, Signal};
use super::lifecycle::State;
use super::script::{POOL_HELLO, Stage};
use super::simulation::plan::Question;
use super::simulation::wire::{self, Target};
use crate::error::Kind;
use crate::limits::{DEATH_REPORT_MS, OPEN_REQUESTS_MAX, WHOLE_BYTES_MAX};

/// A stage after a script.
fn stage(pools: &str, script: &str) -> Stage {
    let mut stage = Stage::new(pools);
    for step in script.split(' ') {
        stage.play(step);
    }
    stage
}

/// The front of an answer that is too large to wait for; what follows it does not come.
fn front_of_an_answer(stage: &Stage, worker: PeerId) -> Vec<u8> {
    let (id, _) = *stage.stacks[&worker].last().unwrap();
    let mut bytes = Vec::new();
    wire::answer(&mut bytes, id, Ok(&[7; 2 * WHOLE_BYTES_MAX]));
    bytes.truncate(WHOLE_BYTES_MAX);
    bytes
}

fn kinds(stage: &Stage) -> Vec<Kind> {
    let errors = stage.answers.iter().filter_map(|answer| answer.as_ref().err());
    errors.map(|error| error.kind).collect()
}

#[test]
fn who_asks_on_without_reading_is_not_read() {
    let mut stage = stage("A1", "A");
    let worker = stage.worker("A1");
    let mut pings = Vec::new();
    for id in 0..1000 {
        wire::ask(&mut pings, id, Question::Ping);
    }
    let mut rounds = 0;
    while stage.hub.wants_input(worker) {
        stage.hub.handle_input(worker, &pings, 0);
        rounds += 1;
        assert!(rounds < 1000, "a flood is stopped");
    }
    while !stage.hub.output(worker).is_empty() {
        let len = stage.hub.output(worker).len();
        stage.hub.advance_output(worker, len);
    }
    assert!(
        stage.hub.wants_input(worker),
        "who has read its answers is heard again"
    );
}

#[test]
fn a_worker_has_so_many_open_calls_at_most() {
    let mut stage = stage("a1 b1", "A B");
    let worker = stage.worker("A1");
    for id in 0..=u64::from(OPEN_REQUESTS_MAX) {
        let mut bytes = Vec::new();
        wire::call(&mut bytes, id, &Target::pool("B"), 9, b"");
        stage.hub.handle_input(worker, &bytes, 0);
    }
    assert_eq!(stage.hub.pools[1].queue.len(), OPEN_REQUESTS_MAX as usize);
}

#[test]
fn a_pool_that_can_not_grow_is_asked_once() {
    let mut stage = stage("A4", "A");
    stage.refuses_to_grow = true;
    for _ in 0..5 {
        stage.play("A");
    }
    assert_eq!((stage.grows, stage.workers[0].len()), (1, 1));
    stage.play("A1.");
    stage.play("A1.");
    assert_eq!(stage.places.join(" "), "A1 A1 A1 - - -");
    stage.hub.assert_invariants();
}

#[test]
fn an_answer_that_was_not_asked_for_ends_a_pool() {
    // The pool has grown and said so: it can't say it twice.
    let mut stage = stage("A2", "A A");
    let control = stage.hub.pools[0].control.unwrap();
    let mut bytes = Vec::new();
    wire::grown(&mut bytes, 0, Some(1));
    stage.hub.handle_input(control, &bytes, 0);
    stage.settle();
    assert_eq!(kinds(&stage), [Kind::Protocol; 2]);
    assert_eq!((stage.grows, stage.signals), (1, vec![Signal::Term]));
}

#[test]
fn a_death_that_nobody_reports_is_made_up_for() {
    let mut stage = stage("A1", "A");
    stage.hub.handle_closed(stage.worker("A1"), 0);
    stage.hub.handle_timeout(DEATH_REPORT_MS);
    stage.play("A");
    assert_eq!((stage.grows, kinds(&stage)), (1, vec![Kind::Terminated]));
    assert_eq!(stage.places.join(" "), "A1 A2");
}

#[test]
fn a_death_before_hello_is_told_with_its_report() {
    for is_reported_first in [false, true] {
        let mut stage = Stage::new("A1");
        stage.is_silent = true;
        stage.play("A");
        let (control, worker) = (stage.hub.pools[0].control.unwrap(), stage.hub.pools[0].workers[0]);
        let (mut hello, mut report) = (Vec::new(), Vec::new());
        wire::hello(&mut hello, POOL_HELLO);
        wire::worker_exit(&mut report, 77, Ended::Code(9));
        stage.hub.handle_input(control, &hello, 0);
        if is_reported_first {
            stage.hub.handle_input(control, &report, 0);
            stage.hub.handle_closed(worker, 0);
        } else {
            stage.hub.handle_closed(worker, 0);
            stage.hub.handle_input(control, &report, 0);
        }
        stage.settle();
        let error = stage.answers[0].as_ref().unwrap_err();
        assert_eq!((error.kind, error.exit_code), (Kind::HelloFailed, Some(9)));
    }
}

#[test]
fn a_death_before_a_connection_was_taken_is_not_waited_out() {
    let mut stage = Stage::new("A1");
    stage.hub.pools[0].spec.hello_ms = 60_000;
    stage.is_silent = true;
    stage.play("A");
    let control = stage.hub.pools[0].control.unwrap();
    let (mut hello, mut report) = (Vec::new(), Vec::new());
    wire::hello(&mut hello, POOL_HELLO);
    wire::worker_exit(&mut report, 77, Ended::Signal(11));
    stage.hub.handle_input(control, &hello, 0);
    stage.hub.handle_input(control, &report, 0);
    assert_eq!(stage.hub.next_deadline(), Some(DEATH_REPORT_MS));
    stage.hub.handle_timeout(DEATH_REPORT_MS);
    stage.settle();
    let error = stage.answers[0].as_ref().unwrap_err();
    assert_eq!((error.kind, error.signal), (Kind::HelloFailed, Some(11)));
}

#[test]
fn a_death_before_a_connection_was_taken_leaves_others_their_time() {
    let mut stage = Stage::new("A1");
    stage.hub.pools[0].spec.hello_ms = 60_000;
    stage.is_silent = true;
    stage.play("A");
    let (control, worker) = (stage.hub.pools[0].control.unwrap(), stage.hub.pools[0].workers[0]);
    let (mut hello, mut report) = (Vec::new(), Vec::new());
    wire::hello(&mut hello, POOL_HELLO);
    wire::worker_exit(&mut report, 77, Ended::Signal(11));
    stage.hub.handle_input(control, &hello, 0);
    stage.hub.handle_input(control, &report, 0);
    // It was another's connection that the dead one had.
    stage.hub.pools[0].exits.clear();
    stage.hub.handle_timeout(DEATH_REPORT_MS);
    assert_eq!(stage.hub.next_deadline(), Some(60_000));
    assert!(stage.hub.peers.get(worker).is_some());
}

#[test]
fn a_pool_that_starts_may_still_save_what_waits() {
    let mut stage = stage("a1 b1 c1", "A C C1>A");
    stage.hub.pools[1].spec.hello_ms = 2 * DEATH_REPORT_MS;
    stage.is_silent = true;
    stage.play("A1>B");
    stage.hub.handle_closed(stage.hub.pools[1].workers[0], 0);
    stage.hub.handle_timeout(DEATH_REPORT_MS);
    stage.settle();
    stage.play("A1>B");
    assert_eq!(stage.places.join(" "), "A1 C1 - !hello_failed -");
}

#[test]
fn the_sender_of_a_large_call_is_paused_until_that_has_a_worker() {
    let mut stage = stage("A1 B1", "A B");
    stage.hub.spool_bytes_max = WHOLE_BYTES_MAX;
    let caller = stage.worker("A1");
    let mut bytes = Vec::new();
    wire::call(&mut bytes, 1, &Target::pool("B"), 9, &[7; 3 * WHOLE_BYTES_MAX]);
    bytes.truncate(2 * WHOLE_BYTES_MAX);
    stage.hub.handle_input(caller, &bytes, 0);
    assert!(!stage.hub.wants_input(caller));
    stage.play("B1.");
    assert!(stage.hub.wants_input(caller));
    assert_eq!(stage.hub.queued_bytes, 0);
}

#[test]
fn a_call_whose_caller_is_gone_is_cancelled() {
    let mut stage = stage("A1 B1", "A A1>B");
    let caller = stage.worker("A1");
    stage.hub.handle_closed(caller, 0);
    stage.settle();
    let (id, _) = stage.stacks[&stage.worker("B1")][0];
    assert_eq!(stage.cancelled, [id]);
    stage.hub.handle_timeout(DEATH_REPORT_MS);
    stage.play("B1.");
    assert_eq!(kinds(&stage), [Kind::Terminated]);
    assert_eq!(stage.hub.calls.len(), 0);
}

#[test]
fn a_deadline_holds_until_all_of_an_answer_has_come() {
    let mut stage = stage("A1", "A");
    stage.ask("A", Some(50));
    stage.play("A1.");
    let worker = stage.worker("A1");
    let bytes = front_of_an_answer(&stage, worker);
    stage.hub.handle_input(worker, &bytes, 0);
    assert_eq!(stage.hub.next_deadline(), Some(50));
    stage.hub.handle_timeout(50);
    stage.settle();
    assert_eq!(kinds(&stage), [Kind::Timeout]);
}

#[test]
fn a_worker_in_the_middle_of_an_answer_is_not_idle() {
    let mut stage = stage("A2", "A");
    let worker = stage.worker("A1");
    let bytes = front_of_an_answer(&stage, worker);
    stage.hub.handle_input(worker, &bytes, 0);
    stage.play("A");
    assert_eq!(stage.places.join(" "), "A1 A2");
}

#[test]
fn half_an_answer_is_never_passed_off_as_one() {
    let mut stage = stage("A1 B1", "A A1>B");
    let (caller, callee) = (stage.worker("A1"), stage.worker("B1"));
    let bytes = front_of_an_answer(&stage, callee);
    stage.hub.handle_input(callee, &bytes, 0);
    stage.hub.handle_closed(callee, 0);
    stage.settle();
    stage.hub.handle_timeout(DEATH_REPORT_MS);
    assert!(stage.hub.peers.get(caller).is_none(), "its reader is closed");
    stage.settle();
    assert_eq!(kinds(&stage), [Kind::Terminated]);
}

#[test]
fn an_answer_that_stops_halfway_does_not_hold_up_the_end() {
    let mut stage = stage("A2", "A A");
    let sender = stage.worker("A1");
    let bytes = front_of_an_answer(&stage, sender);
    stage.hub.handle_input(sender, &bytes, 0);
    stage.hub.drain(0);
    stage.settle();
    stage.play("A2.");
    assert!(stage.hub.pools[0].state == State::Draining);
}

#[test]
fn no_grace_is_an_end_at_once() {
    let mut stage = Stage::new("A1");
    stage.hub.pools[0].spec.shutdown_ms = 0;
    stage.play("A");
    stage.hub.drain(0);
    stage.hub.handle_timeout(0);
    stage.settle();
    assert_eq!(stage.signals, [Signal::Term, Signal::Kill]);
}

#[test]
fn after_the_end_nothing_is_started() {
    let mut stage = Stage::new("A1 B1");
    stage.play("A");
    stage.hub.drain(0);
    stage.play("A1>B");
    assert_eq!(stage.places.join(" "), "A1 !cancelled");
    stage.play("B");
    assert_eq!(kinds(&stage), [Kind::Cancelled; 2]);
    assert!(!matches!(stage.hub.poll_effect(), Some(Effect::Spawn { .. })));
}
