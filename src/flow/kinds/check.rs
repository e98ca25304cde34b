//! What the tests of all kinds go through: nodes as YAML, a packet, its answer. Asks no world: what a node asks for is answered
//! with the question.

use super::node::{Known, Outcome, Work, missing_command};
use crate::error::{Error, Kind};
use crate::flow::engine::{Change, Effect, Engine, RunId, Start};
use crate::flow::graph::status::State;
use crate::flow::spec::{Object, Port, Sort, Spec, codec};
use crate::flow::value::{Value, json, located};
use std::rc::Rc;

/// The nodes of a text.
pub fn specs(text: &str) -> Vec<Rc<Spec>> {
    let documents = located::read(text.as_bytes(), false).unwrap();
    let objects = codec::read(Sort::Specs, &documents, &"f.yaml".into(), "default").unwrap();
    let spec = |object| match object {
        Object::Spec(spec) => spec,
        Object::Value(_) => unreachable!("specs were asked for"),
    };
    objects.into_iter().map(spec).collect()
}

/// Commands that are served.
pub const KNOWN: Known = Known {
    is_command: &|name| name == "mean",
    missing: &|program, command| match (program, command) {
        ("", _) | ("stats", "mean" | "fail") => None,
        _ => Some(missing_command(program, command)),
    },
};

/// An engine with these nodes in the namespace `default`.
pub fn engine(text: &str) -> Engine {
    let mut engine = Engine::new();
    let changes = specs(text).into_iter().map(Change::Set).collect();
    engine.handle_change("default", changes, &KNOWN, 0).unwrap();
    engine
}

fn answer(work: Work) -> Outcome {
    let parts = match work {
        Work::Call { command, .. } if &*command == "fail" => {
            return Err(Rc::from(Error::new(Kind::Raised, "it failed")));
        }
        Work::Call {
            program,
            command,
            args,
        } => vec![Value::Str(program), Value::Str(command), args],
        Work::Snippet { language, code, arg } => vec![Value::Str(language), Value::Str(code), arg],
        Work::Sql {
            source,
            statement,
            params,
            ..
        } => vec![Value::Str(source), Value::Str(statement), params],
        Work::Fetch { request, timeout_ms } => vec![request, Value::Int(timeout_ms as i64)],
        Work::Syscall { opcode, arg } => vec![Value::Str(opcode), arg],
    };
    Ok(Value::list(parts))
}

/// Lets a run go on until it is answered; time goes as fast as it is waited for. Returns when that was, too.
pub fn finish(engine: &mut Engine, run: RunId) -> (Outcome, u64) {
    let mut now_ms = 0;
    for _ in 0..1_000_000 {
        let is_busy = engine.step(1000, now_ms);
        let mut has_effects = false;
        while let Some(effect) = engine.poll_effect() {
            has_effects = true;
            match effect {
                Effect::Do { task, work, .. } => engine.handle_done(task, answer(work), now_ms),
                Effect::RunEnded { task, .. } => engine.handle_done(task, Ok(Value::Null), now_ms),
                _ => {}
            }
        }
        while let Some((answered, outcome)) = engine.poll_answer() {
            if answered == run {
                return (outcome, now_ms);
            }
        }
        if !is_busy && !has_effects {
            now_ms = engine.next_deadline().expect("the run goes on");
            engine.handle_timeout(now_ms);
        }
    }
    panic!("the run does not end");
}

/// Sends a packet to the first of these nodes. The answer is JSON, or the error's message.
pub fn check(nodes: &str, packet: &str, expected: Result<&str, &str>) {
    check_time(nodes, packet, expected, None);
}

/// The same, with the time that it took, in milliseconds.
pub fn check_time(nodes: &str, packet: &str, expected: Result<&str, &str>, took_ms: Option<u64>) {
    let mut engine = engine(nodes);
    let first = specs(nodes).swap_remove(0);
    let packet = json::read(packet.as_bytes()).unwrap();
    let status = engine.node_status("default", &first.name).unwrap();
    let (outcome, at_ms) = match status.state {
        State::Failed(error) => (Err(error), 0),
        _ => match engine.begin("default", &first.name, Start::In(Port::IN, packet), None, 0) {
            Ok(run) => finish(&mut engine, run),
            Err(error) => (Err(error.into()), 0),
        },
    };
    let found = match &outcome {
        Ok(value) => Ok(json::text(value)),
        Err(error) => Err(error.message.clone()),
    };
    let found = found.as_deref().map_err(String::as_str);
    assert_eq!(found, expected, "{nodes}");
    if let Some(took_ms) = took_ms {
        assert_eq!(at_ms, took_ms, "{nodes}");
    }
}
