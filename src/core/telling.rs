//! Tests of what the hub tells people: who does what, why a call was refused, what a function logs.

use super::hub::{Effect, Note};
use super::script::Stage;
use super::simulation::wire;
use crate::error::Error;
use crate::ids::PoolId;
use crate::limits::{NOTE_BYTES_MAX, READ_BYTES};
use crate::manifest::model::{CallTargets, Host};

fn stage(pools: &str, script: &str) -> Stage {
    let mut stage = Stage::new(pools);
    for step in script.split(' ') {
        stage.play(step);
    }
    stage
}

fn check(pools: &str, script: &str, expected: &[&str]) {
    let stage = stage(pools, script);
    assert_eq!(stage.hub.standing(stage.now_ms), expected, "{pools}: {script}");
}

#[test]
fn where_everyone_stands() {
    check("A1", "A A1.", &[]);
    check(
        "A1",
        "+500 A +1500",
        &["pool A, process 1001: runs function 0 for 1.5 s"],
    );
    check(
        "A1 B1",
        "A A1>B",
        &[
            "pool A, process 1001: runs function 0 for 0.0 s, waits for function 1 of pool 'B'",
            "pool B, process 2001: runs function 1 for 0.0 s",
        ],
    );
    check(
        "A1 b1",
        "B A A1>B A",
        &[
            "pool A, process 1001: runs function 3 for 0.0 s; 1 call waits below it",
            "pool B, process 2001: runs function 0 for 0.0 s",
            "pool B: 1 call waiting for a worker, first function 2 of pool 'B'",
        ],
    );
    check(
        "A1 b1",
        "A A1>>B A1>>B A1>>B",
        &[
            "pool A, process 1001: runs function 0 for 0.0 s, waits for function 3 of pool 'B', \
            which waits for a worker and 2 others",
            "pool B, process 2001: runs function 1 for 0.0 s",
            "pool B: 2 calls waiting for a worker, first function 2 of pool 'B'",
        ],
    );
}

#[test]
fn a_screen_is_enough() {
    let calls = ["A"; 30].join(" ");
    let lines = stage("A30", &calls).hub.standing(0);
    assert_eq!((lines.len(), lines[20].as_str()), (21, "and 10 more"));
}

fn error_of(stage: &mut Stage, step: &str) -> Error {
    stage.play(step);
    stage.errors.pop().expect("it fails")
}

#[test]
fn a_deadlock_is_told_with_its_cycle() {
    let mut stage = stage("a1 b1", "A A1>B");
    let error = error_of(&mut stage, "B1>A");
    assert_eq!(
        error.message,
        "every worker of pool 'A' waits for an answer itself and takes no other call: function 2 of pool 'A' is wanted by \
        function 1 of pool 'B' is wanted by function 0 of pool 'A'"
    );
}

#[test]
fn who_may_not_call_is_told_so() {
    let mut stage = stage("A1 B1 C1", "A");
    stage.hub.pools[0].spec.host = Some(Host {
        calls: CallTargets::Only(vec![PoolId(1)]),
        command: false,
        log: false,
        progress: false,
        run: false,
    });
    stage.play("A1>B");
    assert_eq!(stage.places.join(" "), "A1 B1");
    let error = error_of(&mut stage, "A1>C");
    assert_eq!(
        error.message,
        "pool 'A' may not call 'C': \"host\" in its manifest does not allow it"
    );
    assert_eq!(stage.places.join(" "), "A1 B1 !denied");
}

/// What comes out of a log line, however it was cut.
fn log(text: &str, host: Option<Host>) -> Option<String> {
    let mut found = Vec::new();
    for cut in [1000, 100_000, READ_BYTES] {
        let mut stage = stage("A1", "A");
        stage.hub.pools[0].spec.host.clone_from(&host);
        let mut bytes = Vec::new();
        wire::log(&mut bytes, text);
        for piece in bytes.chunks(cut) {
            stage.hub.handle_input(stage.worker("A1"), piece, 0);
        }
        found.push(match stage.hub.poll_effect() {
            Some(Effect::Note {
                note: Note::Log { level, text },
                ..
            }) if level == "info" => Some(text),
            _ => None,
        });
        stage.play("A1.");
        assert!(stage.answers[0].is_ok(), "what comes after it is heard");
    }
    assert!(found.iter().all(|text| *text == found[0]), "in whatever pieces");
    found.swap_remove(0)
}

#[test]
fn a_log_line_has_an_end() {
    for bytes in [0, 31, 70_000, NOTE_BYTES_MAX - 20] {
        let text = "x".repeat(bytes);
        assert_eq!(log(&text, None), Some(text));
    }
    let text = "\u{20ac}".repeat(NOTE_BYTES_MAX);
    let cut = log(&text, None).unwrap();
    assert!(cut.len() < NOTE_BYTES_MAX + 100);
    assert!(cut.ends_with(" more bytes)"), "{}", &cut[cut.len() - 60..]);
    let muted = Host {
        calls: CallTargets::All,
        command: true,
        log: false,
        progress: true,
        run: false,
    };
    assert_eq!(log("x", Some(muted.clone())), None);
    assert_eq!(log(&text, Some(muted)), None);
}
