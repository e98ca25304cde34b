//! Fuzzed expressions of CEL: any text compiles or says where it is wrong, and any evaluation ends within its bounds.

use nexus::error::Kind;
use nexus::flow::cel::Cel;
use nexus::flow::value::{Value, json};
use nexus::limits::{FLOW_CEL_WORK_MAX, FLOW_VALUE_DEPTH_MAX};

/// An expression, and after a zero byte the JSON of what `self` is.
pub fn cel(input: &[u8]) {
    let mut parts = input.splitn(2, |byte| *byte == 0);
    let text = str::from_utf8(parts.next().unwrap_or_default());
    let Ok(text) = text else {
        return;
    };
    let value = parts
        .next()
        .and_then(|text| json::read(text).ok())
        .unwrap_or_default();
    let found = Cel::compile(text);
    // Names that are known refuse more, and nothing else.
    let known = Cel::compile_with(text, &["self"]);
    let cel = match found {
        Ok(cel) => cel,
        Err(error) => {
            assert!(error.offset <= text.len() && !error.message.is_empty(), "{text}");
            let (line, column) = error.place(text);
            assert!(line >= 1 && column >= 1, "{text}");
            assert!(error.render("fuzzed", text).contains(&error.message), "{text}");
            assert!(known.is_err(), "{text}");
            return;
        }
    };
    match cel.evaluate(&[("self", &value)]) {
        Ok(result) => {
            check_bounds(&value, &result, text);
            // What it is equal to is told the same way by the language and by values.
            let equal = Cel::compile("a == b").unwrap_or_else(|error| panic!("{}", error.message));
            let told = equal.evaluate(&[("a", &value), ("b", &result)]);
            if let Ok(told) = told {
                assert_eq!(told, Value::Bool(value == result), "{text}");
            }
        }
        Err(error) => {
            assert!(
                matches!(error.kind, Kind::Raised | Kind::BadArgument),
                "{text}: {error}"
            );
            assert!(error.message.contains(", at "), "{text}: {error}");
            if known.is_ok() {
                assert!(!error.message.starts_with("there is no name"), "{text}: {error}");
            }
        }
    }
}

/// What was made is nested no deeper than values are, and no larger than the work that made it, beside what was there.
fn check_bounds(value: &Value, result: &Value, text: &str) {
    assert!(size(result) <= size(value) + FLOW_CEL_WORK_MAX, "{text}");
}

/// How many values there are, after a look at how deep they are nested.
fn size(value: &Value) -> usize {
    let mut open = vec![(value, 0)];
    let mut count = 0;
    while let Some((value, depth)) = open.pop() {
        assert!(depth <= FLOW_VALUE_DEPTH_MAX + 1, "{depth} levels");
        count += 1;
        let elements = value.elements().unwrap_or_default().iter();
        let entries = value.entries().unwrap_or_default().iter();
        open.extend(
            elements
                .chain(entries.map(|entry| &entry.1))
                .map(|inner| (inner, depth + 1)),
        );
    }
    count
}
