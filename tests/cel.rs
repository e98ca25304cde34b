//! CEL expressions of flows against the conformance cases that the language's authors publish, as the npm package
//! `@bufbuild/cel-spec` has them. Tests nothing of flows.

#[path = "../fuzz/src/same.rs"]
mod same;

use nexus::codec::base64;
use nexus::flow::cel::Cel;
use nexus::flow::value::{Value, json};
use same::is_same;
use std::path::Path;
use std::process::{Command, Stdio};
use std::rc::Rc;

/// The package, whose version decides which cases there are.
const PACKAGE: &str = "@bufbuild/cel-spec@0.6.1";

/// How many cases it has.
const CASES: usize = 2344;

/// The cases as one list of JSON, or nothing where they can't be had.
fn cases() -> Option<Value> {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("cel-spec-0.6.1");
    let script = directory.join("package/dist/cjs/testdata/conformance.js");
    if !script.exists() {
        fetch(&directory)?;
    }
    let flatten = "
        const flat = (suite, path) => [
            ...(suite.tests || []).map((test) => ({ path, ...test.original })),
            ...(suite.suites || []).flatMap((inner) => flat(inner, [...path, inner.name])),
        ];
        process.stdout.write(JSON.stringify(flat(require(process.argv[1]).tests, [])));
    ";
    let node = Command::new("node").args(["-e", flatten]).arg(&script).output();
    let output = node.ok().filter(|output| output.status.success())?;
    Some(json::read(&output.stdout).expect("node writes JSON"))
}

fn fetch(directory: &Path) -> Option<()> {
    std::fs::create_dir_all(directory).expect("a directory can be made");
    let npm = Command::new("npm")
        .args(["pack", "--silent", PACKAGE])
        .current_dir(directory)
        .stderr(Stdio::null())
        .output();
    let output = npm.ok().filter(|output| output.status.success())?;
    let name = String::from_utf8(output.stdout).ok()?;
    let tar = Command::new("tar")
        .args(["xzf", name.trim()])
        .current_dir(directory)
        .status();
    tar.is_ok_and(|status| status.success()).then_some(())
}

/// A value as the cases write it; nothing for a message, an enumeration or a type.
fn value(written: &Value) -> Option<Value> {
    let [(kind, inner)] = written.entries()? else {
        return None;
    };
    let text = || inner.as_str();
    Some(match kind.as_str()? {
        "nullValue" => Value::Null,
        "boolValue" => inner.clone(),
        "int64Value" => Value::Int(text()?.parse().ok()?),
        "uint64Value" => Value::Uint(text()?.parse().ok()?),
        "doubleValue" => Value::Float(match inner {
            Value::Str(text) => text.parse().ok()?,
            Value::Int(number) => *number as f64,
            Value::Uint(number) => *number as f64,
            Value::Float(number) => *number,
            _ => return None,
        }),
        "stringValue" => Value::str(text()?),
        "bytesValue" => {
            let mut bytes = Vec::new();
            base64::decode(text()?.as_bytes(), &mut bytes).ok()?;
            Value::Bytes(bytes.into())
        }
        "listValue" => {
            let values = inner.get("values").and_then(Value::elements).unwrap_or_default();
            Value::list(values.iter().map(value).collect::<Option<_>>()?)
        }
        "mapValue" => {
            let entries = inner.get("entries").and_then(Value::elements).unwrap_or_default();
            let entries = entries
                .iter()
                .map(|entry| Some((value(entry.get("key")?)?, value(entry.get("value")?)?)));
            Value::Map(Rc::new(entries.collect::<Option<_>>()?))
        }
        _ => return None,
    })
}

/// What came of one case.
enum Outcome {
    Right,
    /// An error is expected, and comes before the evaluation.
    RefusedEarly,
    /// Left out, by this reason.
    LeftOut(&'static str),
    Wrong(String),
}

/// Comparisons that are only true once the integer has become a float, and lost its last digit.
const INEXACT: [&str; 4] = [
    "dyn(9223372036854775807) < 9223372036854775808.0",
    "dyn(9223372036854775808.0) > 9223372036854775807",
    "dyn(9223372036854775808.0) <= 9223372036854775807",
    "dyn(9223372036854775807) >= 9223372036854775808.0",
];

/// What is left out, and how many cases each reason takes; the first that holds counts.
const LEFT_OUT: [(&str, usize); 10] = [
    ("messages of protocol buffers", 685),
    ("timestamps and durations", 87),
    ("optional values", 68),
    ("cel.block, which only optimizers write", 21),
    ("the extension of mathematics", 199),
    ("types that are deduced before evaluation", 31),
    ("types as values", 30),
    ("names that have dots in them", 8),
    (
        "unknown functions that never run, which are errors of compilation",
        18,
    ),
    (
        "integers that lose digits beside floats, which they don't here",
        4,
    ),
];

/// Cases that expect an error of the evaluation, and get one of the compilation: functions that there are not, or not with
/// so many arguments.
const REFUSED_EARLY: usize = 5;

/// Why a case can't be run, by what it is made of and not by what comes of it.
fn reason(case: &Value, path: &[&str]) -> Option<&'static str> {
    let text = case.get("expr").and_then(Value::as_str).unwrap_or_default();
    let has = |parts: &[&str]| parts.iter().any(|part| text.contains(part));
    let bindings = case.get("bindings").and_then(Value::entries).unwrap_or_default();
    let is_unbound = |bound: &(Value, Value)| bound.1.get("value").and_then(value).is_none();
    let expected = case.get("value");
    let (file, second) = (path[0], path.get(1).copied());
    if has(&[
        "TestAllTypes",
        "TestRequired",
        "Value{",
        "google.protobuf",
        "NestedEnum",
        "GlobalEnum",
        "proto.",
    ]) || bindings.iter().any(is_unbound)
    {
        return Some("messages of protocol buffers");
    }
    if has(&["timestamp(", "duration("]) {
        return Some("timestamps and durations");
    }
    if file == "optionals" || has(&["optional."]) {
        return Some("optional values");
    }
    if file == "block_ext" {
        return Some("cel.block, which only optimizers write");
    }
    if file == "math_ext" {
        return Some("the extension of mathematics");
    }
    if case.get("typedResult").is_some() || case.get("checkOnly").is_some() {
        return Some("types that are deduced before evaluation");
    }
    if has(&["type("]) || expected.is_some_and(|expected| expected.get("typeValue").is_some()) {
        return Some("types as values");
    }
    if bindings
        .iter()
        .any(|bound| bound.0.as_str().is_some_and(|name| name.contains('.')))
    {
        return Some("names that have dots in them");
    }
    if has(&["f_unknown(17) ||"]) || second == Some("receiver_function_names") {
        return Some("unknown functions that never run, which are errors of compilation");
    }
    if INEXACT.contains(&text) {
        return Some("integers that lose digits beside floats, which they don't here");
    }
    None
}

fn run(case: &Value, path: &[&str]) -> Outcome {
    if let Some(reason) = reason(case, path) {
        return Outcome::LeftOut(reason);
    }
    let text = case.get("expr").and_then(Value::as_str).unwrap_or_default();
    let bindings = case.get("bindings").and_then(Value::entries).unwrap_or_default();
    let bindings: Vec<(&str, Value)> = bindings
        .iter()
        .filter_map(|(name, bound)| Some((name.as_str()?, value(bound.get("value")?)?)))
        .collect();
    let bound: Vec<(&str, &Value)> = bindings.iter().map(|(name, value)| (*name, value)).collect();
    let fails = case.get("evalError").is_some();
    let found = match Cel::compile(text) {
        Ok(cel) => cel.evaluate(&bound).map_err(|error| error.message),
        Err(error) => {
            let is_known = ["there is no function", "arguments, expected"];
            let is_known = is_known.iter().any(|part| error.message.contains(part));
            if fails && is_known {
                return Outcome::RefusedEarly;
            }
            return Outcome::Wrong(error.render("case", text));
        }
    };
    let truth = Value::Bool(true);
    let expected = match case.get("value") {
        Some(written) => match value(written) {
            Some(value) => value,
            None => return Outcome::Wrong(format!("expected {written:?}, which isn't read")),
        },
        None => truth,
    };
    match found {
        Err(_) if fails => Outcome::Right,
        Ok(found) if !fails && is_same(&found, &expected) => Outcome::Right,
        Ok(found) if fails => Outcome::Wrong(format!("gives {found:?}, expected an error")),
        Ok(found) => Outcome::Wrong(format!("gives {found:?}, expected {expected:?}")),
        Err(message) => Outcome::Wrong(format!("fails, expected {expected:?}: {message}")),
    }
}

#[test]
fn published_cases() {
    let Some(cases) = cases() else {
        println!("skipped: no npm, node or network for {PACKAGE}");
        return;
    };
    let cases = cases.elements().expect("the cases are a list");
    assert_eq!(cases.len(), CASES);
    let (mut right, mut refused_early) = (0, 0);
    let mut left_out = LEFT_OUT.map(|(reason, _)| (reason, 0));
    let mut wrong = Vec::new();
    for case in cases {
        let path = case.get("path").and_then(Value::elements).unwrap_or_default();
        let path: Vec<&str> = path.iter().filter_map(Value::as_str).collect();
        match run(case, &path) {
            Outcome::Right => right += 1,
            Outcome::RefusedEarly => refused_early += 1,
            Outcome::LeftOut(reason) => {
                let row = left_out.iter_mut().find(|row| row.0 == reason);
                row.expect("every reason has a row").1 += 1;
            }
            Outcome::Wrong(message) => {
                let (name, text) = (case.get("name"), case.get("expr"));
                let name = name.and_then(Value::as_str).unwrap_or_default();
                let text = text.and_then(Value::as_str).unwrap_or_default();
                wrong.push(format!("{}/{name}: {text}\n    {message}", path.join("/")));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "{} are wrong\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    assert_eq!(left_out, LEFT_OUT);
    assert_eq!(refused_early, REFUSED_EARLY);
    let expected = CASES - REFUSED_EARLY - LEFT_OUT.iter().map(|row| row.1).sum::<usize>();
    assert_eq!(right, expected);
}
