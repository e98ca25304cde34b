//! The table of kinds: what builds a node of each, and the fields of its own. Builds none itself.

use super::node::{Build, Known, Node};
use super::{
    assert, block, call, elements, fork, http, listener, merge, pipe, retry, router, sleep, snippet, source,
    sql, switch, syscall, throw,
};
use crate::codec::nearest::nearest;
use crate::error::{Error, Kind, Result};
use crate::flow::spec::Spec;

/// Each kind, what builds it, and its own fields.
const KINDS: [(&str, Build, &[&str]); 25] = [
    ("assert", assert::build, &["expect", "target"]),
    ("block", block::build, &["specs"]),
    ("call", call::build, &["program", "command"]),
    ("for", elements::build, &["parallel"]),
    ("fork", fork::build, &[]),
    ("http", http::build, &["url", "method", "timeout"]),
    ("if", switch::build_if, &["when"]),
    ("listener", listener::build, &["protocol", "host", "port"]),
    ("merge", merge::build, &[]),
    ("nop", block::build_nop, &[]),
    ("pipe", pipe::build, &[]),
    ("retry", retry::build, &["threshold", "delay", "backoff", "kinds"]),
    ("router", router::build, &["routes"]),
    ("sleep", sleep::build, &["interval"]),
    ("snippet", snippet::build, &["language", "code"]),
    ("split", switch::build_split, &[]),
    (
        "sql",
        sql::build,
        &["driver", "source", "statement", "parameters"],
    ),
    ("step", block::build, &["specs"]),
    ("switch", switch::build, &["matches", "match"]),
    ("syscall", syscall::build, &["opcode"]),
    ("test", pipe::build_test, &[]),
    ("throw", throw::build, &["error", "message", "error_kind"]),
    ("timer", source::build_timer, &["interval", "every"]),
    ("try", pipe::build_try, &[]),
    ("watch", source::build_watch, &["path"]),
];

/// The names of all kinds, in order.
pub fn kinds() -> impl Iterator<Item = &'static str> {
    KINDS.iter().map(|row| row.0)
}

/// Whether what a node of that kind can do depends on the commands that are served.
pub fn is_call(kind: &str) -> bool {
    kind == "call" || !kinds().any(|known| known == kind)
}

/// Builds a node of a spec whose templates are resolved.
///
/// # Errors
/// Kind `not_found`: a kind that nobody knows. Kind `bad_argument`: a field that it doesn't have, or one that is wrong.
pub fn build(kind: &str, spec: &Spec, known: &Known) -> Result<Box<dyn Node>> {
    if let Some((_, build, fields)) = KINDS.iter().find(|row| row.0 == kind) {
        check_fields(spec, fields)?;
        return build(spec, known);
    }
    if (known.is_command)(kind) {
        check_fields(spec, &[])?;
        return Ok(call::build_named(kind));
    }
    let error = Error::new(Kind::NotFound, format!("kind '{kind}' is unknown"));
    Err(match nearest(kind, kinds()) {
        Some(near) => error.hint(format!("did you mean {near}?")),
        None => error.hint("it is neither a kind of node nor a command that is served"),
    })
}

fn check_fields(spec: &Spec, fields: &[&str]) -> Result<()> {
    for (key, _) in spec.fields.entries().unwrap_or_default() {
        let key = key.as_str().unwrap_or_default();
        if fields.contains(&key) {
            continue;
        }
        let has = match fields {
            [] => "none".to_string(),
            fields => fields.join(", "),
        };
        let message = format!(
            "a node of kind '{}' has no field '{key}', it has {has}",
            spec.kind
        );
        let error = Error::new(Kind::BadArgument, message).at(spec.place_of(key).to_string());
        return Err(match nearest(key, fields.iter().copied()) {
            Some(near) => error.hint(format!("did you mean {near}?")),
            None => error,
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_stand_in_order() {
        assert!(kinds().is_sorted());
    }
}
