//! The engine as its host sees it: status, swaps, deadlines, transactions, breakpoints, traces.

use super::*;
use crate::flow::kinds::check::{KNOWN, engine, finish, specs};
use crate::flow::kinds::node::missing_command;
use crate::flow::value::json;

fn change(engine: &mut Engine, text: &str) {
    let changes = specs(text).into_iter().map(Change::Set).collect();
    engine.handle_change("default", changes, &KNOWN, 0).unwrap();
}

fn remove(engine: &mut Engine, name: &str) {
    let changes = vec![Change::Remove(name.into())];
    engine.handle_change("default", changes, &KNOWN, 0).unwrap();
}

fn start(engine: &mut Engine, node: &str, deadline_ms: Option<u64>) -> RunId {
    let start = Start::In(Port::IN, Value::Int(1));
    engine.begin("default", node, start, deadline_ms, 0).unwrap()
}

fn check_status(engine: &Engine, expected: &[&str]) {
    let found: Vec<String> = engine
        .status("default")
        .iter()
        .map(|status| format!("{}: {}", status.spec.name, status.text()))
        .collect();
    assert_eq!(found, expected);
}

fn shown(outcome: &Outcome) -> String {
    match outcome {
        Ok(value) => json::text(value),
        Err(error) => format!("{}: {}", error.kind.name(), error.message),
    }
}

/// What an engine wants done, without numbers.
fn effects(engine: &mut Engine) -> Vec<String> {
    let mut found = Vec::new();
    while let Some(effect) = engine.poll_effect() {
        found.push(match effect {
            Effect::Do { node, .. } => format!("do {node}"),
            Effect::Undo(_) => "undo".into(),
            Effect::Open { node, .. } => format!("open {node}"),
            Effect::Close { node, .. } => format!("close {node}"),
            Effect::RunEnded { is_ok, .. } => format!("ended {is_ok}"),
            Effect::Failed { node, error, .. } => format!("failed {node}: {}", error.message),
        });
    }
    found
}

#[test]
fn a_node_is_active_when_all_behind_it_is() {
    let mut engine = engine("- {kind: try, name: a, ports: {out: [{name: b}]}}");
    check_status(&engine, &["a: waiting(missing b.in)"]);
    change(&mut engine, "- {kind: try, name: b, ports: {out: [{id: i}]}}");
    check_status(
        &engine,
        &["a: waiting(missing id i.in)", "b: waiting(missing id i.in)"],
    );
    change(&mut engine, "- {kind: nop, name: c, id: i}");
    check_status(&engine, &["a: active", "b: active", "c: active"]);
    change(&mut engine, "- {kind: try, name: b, ports: {out: [{name: a}]}}");
    check_status(&engine, &["a: active", "b: active", "c: active"]);
    remove(&mut engine, "b");
    check_status(&engine, &["a: waiting(missing b.in)", "c: active"]);
    change(&mut engine, "- {kind: nopp, name: b}");
    check_status(
        &engine,
        &[
            "a: waiting(b has failed)",
            "b: failed(kind 'nopp' is unknown at f.yaml:1 (did you mean nop?))",
            "c: active",
        ],
    );
    change(&mut engine, "- {kind: merge, name: b}");
    check_status(&engine, &["a: waiting(missing b.in)", "b: active", "c: active"]);
    let refused = engine.begin("default", "a", Start::Out(Value::Null), None, 0);
    assert_eq!(
        refused.unwrap_err().message,
        "node 'a' is not active: waiting(missing b.in)"
    );
    remove(&mut engine, "a");
    remove(&mut engine, "b");
    remove(&mut engine, "c");
    check_status(&engine, &[]);
    assert_eq!(engine.namespaces().count(), 0);
}

#[test]
fn all_that_a_node_waits_for_is_named_as_far_as_it_is_shown() {
    let mut engine = engine("- {kind: try, name: a, ports: {out: [{name: b}, {name: c, port: x}, {id: d}]}}");
    check_status(&engine, &["a: waiting(missing b.in, c.x, id d.in)"]);
    change(&mut engine, "- {kind: nop, name: b}");
    check_status(&engine, &["a: waiting(missing c.x, id d.in)", "b: active"]);
    let links = "{name: b}, {name: u}, {name: v}, {name: w}, {name: x}, {name: y}, {name: z}";
    change(
        &mut engine,
        &format!("- {{kind: try, name: a, ports: {{out: [{links}]}}}}"),
    );
    check_status(
        &engine,
        &[
            "a: waiting(missing u.in, v.in, w.in, x.in and 2 more)",
            "b: active",
        ],
    );
}

#[test]
fn an_error_says_at_which_node() {
    let mut engine = engine(
        "
- {kind: try, name: a, ports: {out: [{name: b}]}}
- {kind: block, name: b, specs: [{kind: throw, name: t, error: oh}]}
- {kind: throw, name: s, error: oh}
- {kind: try, name: c, ports: {out: [{name: b}, {name: s}]}}
- {kind: merge, name: m}
- {kind: snippet, name: n, language: json, code: 1, ports: {out: [{name: m, port: 'in[1]'}]}}
- {kind: switch, name: e, match: [{when: 'self == \"oh\"', port: x}], ports: {x: [{name: k}]}}
- {kind: snippet, name: k, language: text, code: equal}
- {kind: throw, name: f, error: oh, ports: {error: [{name: e}]}}
",
    );
    let mut check = |node: &str, expected: &str| {
        let run = start(&mut engine, node, None);
        let text = match finish(&mut engine, run).0 {
            Ok(value) => json::text(&value),
            Err(error) => error.to_string(),
        };
        assert_eq!(text, expected, "{node}");
    };
    // Those that it passes on the way back leave it as it is.
    check("a", "oh at node 'b/t' at f.yaml:3");
    check("s", "oh at node 's' at f.yaml:4");
    // Of several the message says where.
    check("c", "2 nodes failed: b: oh, s: oh");
    check("f", "\"equal\"");
    check(
        "n",
        "node 'm' waits for in[0], which nothing in the run can bring any more at node 'm' at f.yaml:6",
    );
}

#[test]
fn ports_of_a_node_are_known() {
    let engine = engine(
        "- {kind: pipe, name: p, ports: {'out[0]': [{name: n}]}}
- {kind: nop, name: n}
- {kind: nopp, name: w}",
    );
    let check = |node: &str, expected: &[&str]| {
        let ports: Vec<String> = engine
            .ports("default", node)
            .iter()
            .map(Port::to_string)
            .collect();
        assert_eq!(ports, expected, "{node}");
    };
    check("p", &["in", "out[0]", "out[1]", "error"]);
    check("n", &["in", "out", "error"]);
    check("w", &[]);
    assert!(!engine.has_port("default", "p", &Port::OUT));
    assert!(engine.has_port("default", "p", &Port::out(1)));
}

#[test]
fn a_change_that_is_wrong_leaves_the_old_node() {
    let mut engine = engine("- {kind: snippet, name: a, language: text, code: old}");
    change(
        &mut engine,
        "- {kind: snippet, name: a, language: txt, code: new}",
    );
    check_status(
        &engine,
        &[
            "a: active, change refused: language is 'txt', expected one of cel, javascript, json, python, r, text, yaml at f.yaml:1 (did you mean text?)",
        ],
    );
    let run = start(&mut engine, "a", None);
    assert_eq!(shown(&finish(&mut engine, run).0), "\"old\"");
    change(
        &mut engine,
        "- {kind: nop, name: b, id: x}\n- {kind: nop, name: c, id: y}",
    );
    change(&mut engine, "- {kind: nop, name: c, id: x}");
    let status = engine.node_status("default", "c").unwrap();
    assert_eq!(
        status.text(),
        "active, change refused: id 'x' is that of node 'b' already at f.yaml:1"
    );
    change(
        &mut engine,
        "- {kind: snippet, name: a, language: text, code: new}",
    );
    assert_eq!(engine.node_status("default", "a").unwrap().text(), "active");
}

#[test]
fn a_kind_is_known_once_its_command_is_served() {
    let mut engine = engine("- {kind: later, name: a}");
    check_status(
        &engine,
        &[
            "a: failed(kind 'later' is unknown at f.yaml:1 (it is neither a kind of node nor a command that is served))",
        ],
    );
    let known = Known {
        is_command: &|name| name == "later",
        ..KNOWN
    };
    engine.handle_commands(&known, 0);
    check_status(&engine, &["a: active"]);
    // Of what has templates that nothing replaces nothing is built, whatever commands there are.
    let error = Error::new(Kind::NotFound, "there is no value 'X'").into();
    let spec = specs("- {kind: nop, name: c}").remove(0);
    let refuse = vec![Change::Refuse { spec, error }];
    engine.handle_change("default", refuse, &known, 0).unwrap();
    let failed = "c: failed(there is no value 'X')";
    check_status(&engine, &["a: active", failed]);
    engine.handle_commands(&known, 0);
    check_status(&engine, &["a: active", failed]);
    change(&mut engine, "- {kind: nop, name: c}");
    check_status(&engine, &["a: active", "c: active"]);
}

#[test]
fn a_node_is_active_as_long_as_its_commands_are_served() {
    let none = |program: &str, command: &str| Some(missing_command(program, command));
    let all = |_: &str, _: &str| None;
    let known = |is_served: bool| Known {
        is_command: &|_| true,
        missing: if is_served { &all } else { &none },
    };
    let mut engine = Engine::new();
    let text = "
- {kind: watch, name: w, path: x, ports: {out: [{name: s}]}}
- {kind: sleep, name: s, interval: 10, ports: {out: [{name: a}]}}
- {kind: call, name: a, program: p, command: c}
- {kind: p/d, name: b, ports: {out: [{name: lost}]}}
- {kind: e, name: c}
- {kind: block, name: i, specs: [{kind: call, command: f}, {kind: p/d}]}
";
    let changes = specs(text).into_iter().map(Change::Set).collect();
    engine
        .handle_change("default", changes, &known(false), 0)
        .unwrap();
    let waiting = [
        "a: waiting(missing command p/c)",
        "b: waiting(missing lost.in, command p/d)",
        "c: waiting(missing command e)",
        "i: waiting(missing command f, command p/d)",
        "s: waiting(missing command p/c)",
        "w: waiting(missing command p/c)",
    ];
    check_status(&engine, &waiting);
    assert!(effects(&mut engine).is_empty());
    engine.handle_commands(&known(true), 0);
    let active = [
        "a: active",
        "b: waiting(missing lost.in)",
        "c: active",
        "i: active",
        "s: active",
        "w: active",
    ];
    check_status(&engine, &active);
    assert_eq!(effects(&mut engine), ["open w"]);
    let old = start(&mut engine, "s", None);
    engine.step(10, 0);
    engine.handle_commands(&known(false), 0);
    check_status(&engine, &waiting);
    assert_eq!(effects(&mut engine), ["close w"]);
    let refused = engine.begin("default", "s", Start::Out(Value::Null), None, 0);
    assert_eq!(
        refused.unwrap_err().message,
        "node 's' is not active: waiting(missing command p/c)"
    );
    // What has begun goes on.
    engine.handle_timeout(10);
    engine.step(10, 10);
    assert_eq!(effects(&mut engine), ["do a"]);
    assert_eq!(engine.processes("default").next().map(|its| its.run), Some(old));
    engine.handle_commands(&known(true), 10);
    check_status(&engine, &active);
    assert_eq!(effects(&mut engine), ["open w"]);
    // What is written while it waits counts.
    let change = |engine: &mut Engine, text: &str| {
        let changes = specs(text).into_iter().map(Change::Set).collect();
        engine
            .handle_change("default", changes, &known(false), 0)
            .unwrap();
    };
    change(&mut engine, "- {kind: call, name: a, program: q, command: c}");
    assert_eq!(
        engine.node_status("default", "s").unwrap().text(),
        "waiting(missing command q/c)"
    );
    change(&mut engine, "- {kind: nop, name: a}");
    assert_eq!(engine.node_status("default", "w").unwrap().text(), "active");
}

#[test]
fn what_a_source_could_not_understand_leaves_through_error() {
    let mut engine = engine(
        "- {kind: watch, name: w, path: x, ports: {out: [{name: o}], error: [{name: e}]}}\n- {kind: nop, name: o}\n- {kind: nop, name: e}",
    );
    let mut check = |packet: Value, expected: &[&str]| {
        let run = engine.begin("default", "w", Start::Out(packet), None, 0).unwrap();
        engine.step(10, 0);
        let records = engine.trace(run).unwrap().records.iter();
        let ports: Vec<String> = records
            .map(|record| format!("{} {} via {}", record.node, record.port, record.via))
            .collect();
        assert_eq!(ports, expected);
    };
    check(Value::Null, &["w out via out", "o in via out"]);
    let error = Value::Error(Rc::from(Error::new(Kind::Protocol, "garbage")));
    check(error, &["w error via out", "e in via error"]);
}

#[test]
fn a_run_goes_on_with_the_nodes_it_began_with() {
    let text = |code: &str| {
        format!(
            "
- {{kind: sleep, name: a, interval: 10, ports: {{out: [{{name: b}}]}}}}
- {{kind: snippet, name: b, language: text, code: {code}}}
"
        )
    };
    let mut engine = engine(&text("old"));
    let old = start(&mut engine, "a", None);
    engine.step(10, 0);
    change(&mut engine, &text("new"));
    let new = start(&mut engine, "a", None);
    remove(&mut engine, "b");
    check_status(&engine, &["a: waiting(missing b.in)"]);
    engine.step(10, 0);
    engine.handle_timeout(10);
    engine.step(10, 10);
    let answers: Vec<_> = std::iter::from_fn(|| engine.poll_answer()).collect();
    let answers: Vec<_> = answers
        .iter()
        .map(|(run, outcome)| (*run, shown(outcome)))
        .collect();
    assert_eq!(answers, [(old, "\"old\"".into()), (new, "\"new\"".into())]);
}

#[test]
fn sources_are_opened_last_and_closed_first_and_kept_if_they_stay_the_same() {
    let mut engine = engine("- {kind: watch, name: w, path: x, ports: {out: [{name: b}]}}");
    assert!(effects(&mut engine).is_empty());
    change(&mut engine, "- {kind: nop, name: b}\n- {kind: nop, name: c}");
    assert_eq!(effects(&mut engine), ["open w"]);
    change(
        &mut engine,
        "- {kind: watch, name: w, path: x, ports: {out: [{name: c}]}}",
    );
    assert!(effects(&mut engine).is_empty());
    change(
        &mut engine,
        "- {kind: watch, name: w, path: y, ports: {out: [{name: c}]}}",
    );
    assert_eq!(effects(&mut engine), ["close w", "open w"]);
    remove(&mut engine, "c");
    assert_eq!(effects(&mut engine), ["close w"]);
    let names = engine
        .hooks
        .list
        .iter()
        .map(|(_, is_load, symbol)| (*is_load, &*symbol.name));
    assert_eq!(
        names.collect::<Vec<_>>(),
        [
            (true, "b"),
            (true, "w"),
            (true, "c"),
            (false, "w"),
            (true, "w"),
            (false, "w"),
            (true, "w"),
            (false, "w"),
            (false, "c"),
        ]
    );
}

#[test]
fn a_timer_begins_runs_one_after_the_other() {
    let mut engine = engine(
        "
- {kind: timer, name: t, interval: 10, ports: {out: [{name: s}]}}
- {kind: sleep, name: s, interval: 15, ports: {out: [{name: x}]}}
- {kind: throw, name: x, error: oh}
",
    );
    let mut failed = 0;
    for now_ms in 0..=100 {
        engine.handle_timeout(now_ms);
        engine.step(100, now_ms);
        failed += effects(&mut engine).len();
        assert!(engine.processes("default").count() <= 1);
    }
    // At 10, 30, 50, 70: 25, 45, 65, 85.
    assert_eq!(failed, 4);
    remove(&mut engine, "t");
    engine.handle_timeout(200);
    engine.step(100, 200);
    assert_eq!(
        (engine.next_deadline(), engine.processes("default").count()),
        (None, 0)
    );
}

#[test]
fn what_is_given_up_is_undone() {
    let text = "
- {kind: fork, name: f, ports: {out: [{name: c}]}}
- {kind: call, name: c, command: x}
- {kind: pipe, name: a, ports: {'out[0]': [{name: f}], 'out[1]': [{name: c}]}}
";
    let mut engine = engine(text);
    let run = start(&mut engine, "a", Some(50));
    engine.step(100, 0);
    assert_eq!(effects(&mut engine), ["do c", "do c"]);
    assert_eq!(engine.processes("default").count(), 2);
    engine.handle_timeout(49);
    assert!(engine.poll_answer().is_none());
    engine.handle_timeout(50);
    let (answered, outcome) = engine.poll_answer().unwrap();
    assert_eq!(
        (answered, shown(&outcome)),
        (run, "timeout: the run at 'a' has not ended within 50 ms".into())
    );
    // The fork has the same deadline; nobody waits for its answer.
    let mut left = effects(&mut engine);
    left.sort();
    assert_eq!(left.len(), 3, "{left:?}");
    assert_eq!(left[1..], ["undo", "undo"]);
    let run = start(&mut engine, "c", None);
    engine.step(100, 50);
    engine.cancel(run, Rc::from(Error::new(Kind::Cancelled, "gone")), 51);
    assert_eq!(effects(&mut engine), ["do c", "undo"]);
    assert_eq!(shown(&engine.poll_answer().unwrap().1), "cancelled: gone");
    assert_eq!(engine.processes("default").count(), 0);
}

#[test]
fn a_transaction_ends_before_the_answer() {
    let mut engine = engine("- {kind: sql, name: a, source: f, statement: s}");
    let mut check = |is_cancelled: bool, done: Outcome, ended: Outcome, is_ok: bool, expected: &str| {
        let run = start(&mut engine, "a", None);
        engine.step(10, 0);
        let Some(Effect::Do { task, .. }) = engine.poll_effect() else {
            panic!("the statement is asked for")
        };
        match is_cancelled {
            true => engine.cancel(run, Rc::from(Error::new(Kind::Cancelled, "gone")), 0),
            false => engine.handle_done(task, done, 0),
        }
        engine.step(10, 0);
        assert!(engine.poll_answer().is_none());
        let mut left: Vec<Effect> = std::iter::from_fn(|| engine.poll_effect()).collect();
        let Some(Effect::RunEnded { task, is_ok: its, .. }) = left.pop() else {
            panic!("the transaction ends")
        };
        assert_eq!((its, left.len()), (is_ok, usize::from(is_cancelled)));
        // It is too late to give it up.
        engine.cancel(run, Rc::from(Error::new(Kind::Cancelled, "late")), 0);
        engine.handle_done(task, ended, 0);
        assert_eq!(shown(&engine.poll_answer().unwrap().1), expected);
        assert!(engine.poll_answer().is_none());
    };
    let error = |message: &str| Err(Rc::from(Error::new(Kind::Io, message)));
    check(false, Ok(Value::Int(5)), Ok(Value::Null), true, "5");
    check(false, Ok(Value::Int(5)), error("full"), true, "io: full");
    check(false, error("bad"), Ok(Value::Null), false, "io: bad");
    check(false, error("bad"), error("full"), false, "io: bad");
    check(true, Ok(Value::Null), Ok(Value::Null), false, "cancelled: gone");
}

#[test]
fn a_circle_without_an_end_ends_and_starves_nobody() {
    let mut engine = engine(
        "
- {kind: try, name: a, ports: {out: [{name: b}]}}
- {kind: try, name: b, ports: {out: [{name: a}]}}
- {kind: nop, name: c}
",
    );
    let circle = start(&mut engine, "a", None);
    let other = start(&mut engine, "c", None);
    assert!(engine.step(10, 0));
    assert_eq!(engine.poll_answer().map(|(run, _)| run), Some(other));
    while engine.step(1000, 0) {}
    let (run, outcome) = engine.poll_answer().unwrap();
    assert_eq!(run, circle);
    assert!(
        shown(&outcome).starts_with("overloaded: node 'a' is the end of 10000 nodes"),
        "{}",
        shown(&outcome)
    );
    // Packets that multiply find a bound as well.
    change(
        &mut engine,
        "- {kind: try, name: a, ports: {out: [{name: a}, {name: a}]}}",
    );
    start(&mut engine, "a", Some(1));
    for _ in 0..1000 {
        engine.step(1000, 0);
    }
    engine.handle_timeout(1);
    assert!(engine.poll_answer().is_some());
    assert_eq!(engine.processes("default").count(), 0);
}

#[test]
fn packets_are_held_at_breakpoints() {
    let mut engine = engine(
        "
- {kind: try, name: a, ports: {out: [{name: b}, {name: c}]}}
- {kind: try, name: b, ports: {out: [{name: c}]}}
- {kind: nop, name: c}
",
    );
    let names = |engine: &Engine| -> Vec<String> {
        let held = engine.held("default").into_iter();
        held.map(|its| format!("{}.{}", its.node, its.port)).collect()
    };
    let b = engine.add_breakpoint("default", Some("b"), None).unwrap();
    let run = start(&mut engine, "a", Some(10));
    while engine.step(10, 0) {}
    assert_eq!(names(&engine), ["b.in"]);
    assert_eq!(engine.trace(run).unwrap().records.len(), 2);
    // The deadline waits, and another run is held as well.
    engine.handle_timeout(10);
    assert!(engine.poll_answer().is_none());
    // Another namespace's are not ours.
    assert_eq!(engine.breakpoints("other").count(), 0);
    let held = engine.held("default").remove(0);
    assert!(engine.go_on(held.frame, true));
    assert!(!engine.go_on(held.frame, true));
    while engine.step(10, 10) {}
    assert_eq!(names(&engine), ["c.in"]);
    assert!(engine.remove_breakpoint(b) && !engine.remove_breakpoint(b));
    engine.clear_breakpoints("default");
    while engine.step(10, 10) {}
    assert_eq!(shown(&engine.poll_answer().unwrap().1), "[null,null]");
    // At what a node sends.
    engine
        .add_breakpoint("default", Some("b"), Some(Port::OUT))
        .unwrap();
    let run = start(&mut engine, "a", None);
    while engine.step(10, 10) {}
    assert_eq!(names(&engine), ["c.in"]);
    engine.cancel(run, Rc::from(Error::new(Kind::Cancelled, "gone")), 10);
    assert!(engine.held("default").is_empty());
    let all = crate::limits::FLOW_BREAKPOINTS_MAX;
    let added = (0..=all).filter(|_| engine.add_breakpoint("default", None, None).is_ok());
    assert_eq!(added.count(), all - 1);
}

#[test]
fn traces_tell_what_happened() {
    let mut engine = engine(
        "
- {kind: snippet, name: a, language: cel, code: 'self + 1', ports: {out: [{name: s}], error: [{name: n}]}}
- {kind: sleep, name: s, interval: 5, ports: {out: [{name: t}]}}
- {kind: throw, name: t, error: oh}
- {kind: nop, name: n}
",
    );
    let run = start(&mut engine, "a", None);
    assert!(finish(&mut engine, run).0.is_ok());
    let trace = engine.trace(run).unwrap();
    let records: Vec<String> = trace
        .records
        .iter()
        .map(|its| {
            let answer = match its.answer.as_ref().unwrap() {
                Ok(value) => value.text(),
                Err(error) => error.message.clone(),
            };
            let (node, port, input) = (&its.node, &its.port, its.input.text());
            format!(
                "{node}.{port} {input} {answer} {}..{} by {:?}",
                its.began_ms, its.ended_ms, its.parent
            )
        })
        .collect();
    assert_eq!(
        records,
        [
            "a.in 1 null 0..5 by None",
            "s.in 2 oh 0..5 by Some(0)",
            "t.in 2 oh 5..5 by Some(1)",
            "n.in {\"kind\":\"raised\",\"message\":\"oh\",\"place\":\"node 't' at f.yaml:4\"} null 5..5 by Some(0)",
        ]
    );
    assert!(matches!(trace.ended, Some((5, None))));
    // The last ones are kept, what is large is not.
    let large = Start::In(Port::IN, Value::str(&"x".repeat(10_000)));
    let last = engine.begin("default", "n", large, None, 0).unwrap();
    assert!(finish(&mut engine, last).0.is_ok());
    let text = engine.trace(last).unwrap().records[0].input.text();
    assert_eq!(text, "<a string, too large to keep>");
    for _ in 0..crate::limits::FLOW_TRACES_MAX {
        let run = start(&mut engine, "n", None);
        assert!(finish(&mut engine, run).0.is_ok());
    }
    assert!(engine.trace(run).is_none() && engine.trace(last).is_none());
    assert_eq!(engine.traces("default").count(), crate::limits::FLOW_TRACES_MAX);
}

#[test]
fn a_source_that_fails_goes_to_its_error_port() {
    let mut engine = engine(
        "
- {kind: watch, name: w, path: x, ports: {out: [{name: n}], error: [{name: e}]}}
- {kind: nop, name: n}
- {kind: snippet, name: e, language: text, code: caught}
",
    );
    let error = Value::Error(Rc::from(Error::new(Kind::Protocol, "garbage")));
    let run = engine.begin("default", "w", Start::Out(error), None, 0).unwrap();
    assert_eq!(shown(&finish(&mut engine, run).0), "\"caught\"");
}

#[test]
fn runs_have_a_bound() {
    let mut engine = engine("- {kind: sleep, name: a, interval: 1h}");
    for _ in 0..FLOW_RUNS_MAX {
        assert!(engine.can_begin("default"));
        start(&mut engine, "a", None);
    }
    assert!(!engine.can_begin("default"));
    let refused = engine.begin("default", "a", Start::In(Port::IN, Value::Null), None, 0);
    assert_eq!(refused.unwrap_err().kind, Kind::Overloaded);
    let first = engine.processes("default").next().unwrap().run;
    engine.cancel(first, Rc::from(Error::new(Kind::Cancelled, "gone")), 0);
    assert!(engine.can_begin("default"));
}

/// Runs that nobody polls count, too, and make room when they end; a timer begins none meanwhile, and goes on then.
#[test]
fn sources_wait_for_room() {
    let mut engine = engine(
        "
- {kind: fork, name: f, ports: {out: [{name: a}]}}
- {kind: sleep, name: a, interval: 1s}
- {kind: timer, name: t, interval: 300, ports: {out: [{name: n}]}}
- {kind: nop, name: n}
",
    );
    engine.runs_max = 2;
    start(&mut engine, "f", None);
    let ticks = |engine: &Engine| {
        let traces = engine.traces("default");
        traces.filter(|trace| &*trace.node == "t").count()
    };
    let mut ticked = Vec::new();
    for now_ms in (0..2000).step_by(100) {
        engine.handle_timeout(now_ms);
        while engine.step(100, now_ms) {}
        assert_eq!(engine.can_begin("default"), now_ms >= 1000, "at {now_ms} ms");
        ticked.push(ticks(&engine));
    }
    // At 300, 600 and 900 ms there was no room.
    assert_eq!((ticked[11], ticked[12], ticked[15]), (0, 1, 2));
}
