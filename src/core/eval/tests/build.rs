//! What the tables are written with: the JSON of each tag, and the check of one row.

use crate::codec::document::Document;
use crate::codec::schema::Types;
use crate::codec::transcode::{Style, json_to_msgpack, msgpack_to_json};
use crate::core::eval::{Budget, Machine, Outcome};
use crate::expr::load::{LoadError, load};

pub(super) const BUDGET: Budget = Budget {
    steps_max: 100_000,
    bytes_max: 1 << 20,
};

/// What an expression gives as JSON, or its error.
pub(super) fn evaluate(expr: &str, args: &[(&str, &str)], returns: &str) -> String {
    evaluate_within(BUDGET, expr, args, returns)
}

/// The same whether what is not needed any more is freed late or at once.
pub(super) fn evaluate_within(budget: Budget, expr: &str, args: &[(&str, &str)], returns: &str) -> String {
    let late = run_within(budget, expr, args, returns, false);
    assert_eq!(run_within(budget, expr, args, returns, true), late, "{expr}");
    late
}

fn run_within(budget: Budget, expr: &str, args: &[(&str, &str)], returns: &str, is_thrifty: bool) -> String {
    let document = Document::parse(expr.as_bytes()).unwrap_or_else(|error| panic!("{error:?}: {expr}"));
    let (mut types, mut exprs) = (Types::default(), Default::default());
    let root = match load(document.root(), &mut types, &mut exprs) {
        Ok(root) => root,
        Err(LoadError::Unsupported { flaw, .. }) => return format!("unsupported: {}", flaw.message),
        Err(LoadError::Malformed(flaws)) => {
            let messages: Vec<_> = flaws.into_iter().map(|flaw| flaw.message).collect();
            return format!("malformed: {}", messages.join("; "));
        }
    };
    let mut machine = Machine::new(root, budget);
    machine.is_thrifty = is_thrifty;
    for (schema, json) in args {
        let ty = types.parse(schema).unwrap();
        let mut msgpack = Vec::new();
        json_to_msgpack(&types, ty, json.as_bytes(), &mut msgpack).unwrap();
        machine.push_arg(&types, &msgpack, ty).unwrap();
    }
    let ty = types.parse(returns).unwrap();
    let mut result = Vec::new();
    let done = match machine.run(&exprs, &types) {
        Outcome::Done => machine.write_result(&exprs, &types, ty, &mut result),
        Outcome::Raised(error) => Err(error),
    };
    if let Err(error) = done {
        return format!("{}: {}", error.kind.name(), error.message);
    }
    let mut json = Vec::new();
    msgpack_to_json(&types, ty, &result, Style::Compact, &mut json).unwrap();
    String::from_utf8(json).unwrap()
}

#[track_caller]
pub(super) fn check(expr: impl AsRef<str>, returns: &str, expected: &str) {
    check_with(expr, &[], returns, expected);
}

#[track_caller]
pub(super) fn check_with(expr: impl AsRef<str>, args: &[(&str, &str)], returns: &str, expected: &str) {
    assert_eq!(
        evaluate(expr.as_ref(), args, returns),
        expected,
        "{}",
        expr.as_ref()
    );
}

pub(super) fn lit(schema: &str, value: &str) -> String {
    format!(r#"{{"tag":"lit","schema":"{schema}","lit_type":"{schema}","value":"{value}"}}"#)
}

pub(super) fn int(value: i64) -> String {
    lit("j", &value.to_string())
}

pub(super) fn str(value: &str) -> String {
    format!(r#"{{"tag":"str","schema":"s","value":"{value}"}}"#)
}

pub(super) fn container(schema: &str, elements: &[String]) -> String {
    let elements = elements.join(",");
    format!(r#"{{"tag":"container","schema":"{schema}","elements":[{elements}]}}"#)
}

pub(super) fn ints(values: &[i64]) -> String {
    let elements: Vec<String> = values.iter().map(|value| int(*value)).collect();
    container("aj", &elements)
}

pub(super) fn app(func: String, args: &[String]) -> String {
    let args = args.join(",");
    format!(r#"{{"tag":"app","schema":"j","func":{func},"args":[{args}]}}"#)
}

pub(super) fn lambda(vars: &[&str], body: String) -> String {
    format!(r#"{{"tag":"lambda","vars":{vars:?},"body":{body}}}"#)
}

pub(super) fn bind(name: &str, value: String, body: String) -> String {
    format!(r#"{{"tag":"let","var":"{name}","value":{value},"body":{body}}}"#)
}

pub(super) fn var(name: &str) -> String {
    format!(r#"{{"tag":"bound","schema":"j","var":"{name}"}}"#)
}

pub(super) fn interpolation(strings: &[&str]) -> String {
    format!(r#"{{"tag":"interpolation","schema":"s","strings":{strings:?}}}"#)
}

pub(super) fn pattern(pattern: &str) -> String {
    format!(r#"{{"tag":"pattern","schema":"j","pattern":{pattern}}}"#)
}

/// Selectors by key, or by index where the key is a number.
pub(super) fn select(selectors: &[(&str, &str)]) -> String {
    let by_index = selectors.iter().all(|(key, _)| key.parse::<u32>().is_ok());
    let selectors: Vec<String> = selectors
        .iter()
        .map(|(key, sub)| match by_index {
            true => format!(r#"{{"index":{key},"sub":{sub}}}"#),
            false => format!(r#"{{"key":"{key}","sub":{sub}}}"#),
        })
        .collect();
    let (kind, selectors) = (if by_index { "idx" } else { "key" }, selectors.join(","));
    format!(r#"{{"type":"{kind}","selectors":[{selectors}]}}"#)
}

pub(super) const END: &str = r#"{"type":"end"}"#;

pub(super) fn index() -> String {
    pattern(r#"{"type":"bracket_index"}"#)
}

pub(super) fn slice(bounds: [Option<i64>; 3], list: String) -> String {
    let bound = |bound: Option<i64>| bound.map_or_else(|| container("?i8", &[]), int);
    let [start, stop, step] = bounds.map(bound);
    app(pattern(r#"{"type":"bracket_slice"}"#), &[start, stop, step, list])
}

pub(super) fn map(func: String, list: String) -> String {
    format!(r#"{{"tag":"map","schema":"aj","func":{func},"list":{list}}}"#)
}

pub(super) fn conditional(cond: String, then: String, otherwise: String) -> String {
    format!(r#"{{"tag":"if","cond":{cond},"then":{then},"else":{otherwise}}}"#)
}

pub(super) fn show(child: String) -> String {
    format!(r#"{{"tag":"show","schema":"s","child":{child}}}"#)
}

pub(super) fn read(schema: &str, child: String) -> String {
    format!(r#"{{"tag":"read","schema":"{schema}","child":{child}}}"#)
}

pub(super) fn throw(message: &str) -> String {
    format!(r#"{{"tag":"throw","msg":{}}}"#, str(message))
}

pub(super) fn catch(fallible: String, fallback: String) -> String {
    format!(r#"{{"tag":"catch","fallible":{fallible},"fallback":{fallback}}}"#)
}

pub(super) fn ints_of(names: &[&str]) -> String {
    let elements: Vec<String> = names.iter().map(|name| var(name)).collect();
    container("[j]", &elements)
}
