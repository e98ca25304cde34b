//! Expressions, what they give and how they fail: what the published cases don't have. Tests no parts alone.

use super::{Cel, CelError};
use crate::error::{Error, Kind};
use crate::flow::value::{Value, json};
use crate::limits::{FLOW_CEL_BYTES_MAX, FLOW_CEL_DEPTH_MAX, FLOW_CEL_NAMES_MAX};
use std::rc::Rc;

fn read(text: &str) -> Value {
    json::read(text.as_bytes()).unwrap_or_else(|error| panic!("{text}: {}", error.message))
}

fn compile(text: &str) -> Cel {
    Cel::compile(text).unwrap_or_else(|error| panic!("{}", error.render("test", text)))
}

fn evaluate(text: &str, value: &Value) -> Result<Value, Box<Error>> {
    compile(text).evaluate(&[("self", value)])
}

/// An expression gives what that JSON says, where `self` is what this JSON says.
fn check(text: &str, value: &str, expected: &str) {
    let found = evaluate(text, &read(value)).unwrap_or_else(|error| panic!("{text}: {error}"));
    assert_eq!(found, read(expected), "{text} of {value}");
}

/// An expression fails with an error of that kind that says these words.
fn check_error(text: &str, value: &str, kind: Kind, parts: &[&str]) {
    let error = match evaluate(text, &read(value)) {
        Ok(found) => panic!("{text} of {value} gives {found:?}"),
        Err(error) => error,
    };
    assert_eq!(error.kind, kind, "{error}");
    for part in parts {
        assert!(error.message.contains(part), "{text}: {error} has no {part}");
    }
}

fn refused(text: &str, names: Option<&[&str]>) -> CelError {
    let found = match names {
        Some(names) => Cel::compile_with(text, names),
        None => Cel::compile(text),
    };
    match found {
        Ok(_) => panic!("{text} was compiled"),
        Err(error) => error,
    }
}

/// A text is no expression because of what stands at that offset.
fn check_refused(text: &str, offset: usize, parts: &[&str]) {
    let error = refused(text, None);
    assert_eq!(error.offset, offset, "{text}: {}", error.message);
    let told = format!("{} {}", error.message, error.hint.unwrap_or_default());
    for part in parts {
        assert!(told.contains(part), "{text}: {told} has no {part}");
    }
}

#[test]
fn conditions_of_packets() {
    let packet = r#"{"method":"POST","path":"/v1/nodes","header":{"Content-Type":["application/json"]},
        "body":{"name":"a","size":3,"tags":["x","y"]},"status":404}"#;
    for (text, expected) in [
        ("self.method == \"POST\"", "true"),
        ("has(self.body) ? self.body.name : null", "\"a\""),
        ("has(self.query) ? self.query : null", "null"),
        ("self.status >= 400 && self.status < 500", "true"),
        ("self.status in [200, 404]", "true"),
        ("\"x\" in self.body.tags", "true"),
        ("\"size\" in self.body && self.body.size > 2.5", "true"),
        (
            "self.header[\"Content-Type\"][0].startsWith(\"application/\")",
            "true",
        ),
        ("self.header.`Content-Type`[0]", "\"application/json\""),
        ("self.path.matches(\"^/v[0-9]+/nodes$\")", "true"),
        ("self.body.tags.map(t, t.upperAscii())", "[\"X\",\"Y\"]"),
        (
            "{\"status\": 200, \"body\": self.body.tags}",
            "{\"status\":200,\"body\":[\"x\",\"y\"]}",
        ),
        (
            "self.body.transformMap(k, v, type_of == 1 || true, string(k)).size()",
            "3",
        ),
        ("self.body.map(key, key).join(\"+\")", "\"name+size+tags\""),
        ("self.missing == 1 || true", "true"),
        ("true || self.missing == 1", "true"),
        ("self.missing == 1 && false", "false"),
        ("self.body.tags.exists(t, t.missing == 1 || t == \"y\")", "true"),
        ("self.body.tags.all(t, t == \"y\" && t.missing)", "false"),
        ("cel.bind(b, self.body, b.size + b.tags.size())", "5"),
        ("[1, 2, 3].filter(x, [x, x].exists(y, y == 2)).size()", "1"),
        ("[[1, 2], [3]].map(l, l.map(x, x + size(l)))", "[[3,4],[4]]"),
        ("[1, 2].all(i, x, x == i + 1)", "true"),
        ("self.status == 404.0 && self.status != \"404\"", "true"),
        ("-self.status", "-404"),
        ("!(1 == 2) // no", "true"),
        ("base64.encode(b\"hi\")", "\"aGk=\""),
        ("base64.decode(\"aGk\") == b\"hi\"", "true"),
        (
            "\"%s of %d\".format([self.body.tags, self.status])",
            "\"[x, y] of 404\"",
        ),
    ] {
        check(text, packet, expected);
    }
}

#[test]
fn errors_as_values() {
    let error = Error::new(Kind::NotFound, "node 'a' isn't there").hint("add it");
    let value = Value::Error(Rc::from(error));
    for text in [
        "self == \"not found\"",
        "self == \"not_found\"",
        "self == \"node 'a' isn't there\"",
        "self != \"invalid argument\"",
        "\"not found\" == self",
        "self in [\"conflict\", \"not_found\"]",
        "self.kind == \"not_found\"",
        "self.message == self.error() && string(self) == self[\"message\"]",
        "has(self.kind) && !has(self.place) && self.hint == \"add it\"",
        "[self] == [\"not found\"]",
    ] {
        assert_eq!(evaluate(text, &value).unwrap(), Value::Bool(true), "{text}");
    }
    assert_eq!(evaluate("self", &value).unwrap(), value);
    assert!(
        evaluate("self.what", &value)
            .unwrap_err()
            .message
            .contains("the error has no field 'what'")
    );
}

#[test]
fn errors_name_their_places() {
    let bad = Kind::BadArgument;
    check_error(
        "self.a.b",
        r#"{"a":{}}"#,
        bad,
        &["the map has no field 'b'", ", at 1:8 of 'self.a.b'"],
    );
    check_error(
        "self.a",
        "3",
        bad,
        &["an integer has no field 'a'", "expected a map"],
    );
    check_error("has(self.a)", "null", bad, &["null has no fields"]);
    check_error(
        "1 + 1u",
        "null",
        bad,
        &["'+' doesn't take an integer and an unsigned integer", "1:3"],
    );
    check_error(
        "true &&\n  self.a == 1",
        "{}",
        bad,
        &["at 2:8 of 'true && self.a == 1'"],
    );
    check_error("self[3]", "[1]", bad, &["no element 3 in a list of 1"]);
    check_error("self['k']", "{}", bad, &["no key 'k'"]);
    check_error("'a' < 1", "null", bad, &["'<'"]);
    check_error("[1].map(x, x.y)", "null", bad, &["1:14"]);
    check_error(
        "self ? 1 : 2",
        "1",
        bad,
        &["the condition of '?' doesn't take an integer"],
    );
    check_error("nobody", "1", bad, &["there is no name 'nobody'"]);
    check_error("size(3)", "1", bad, &["'size' doesn't take an integer"]);
    check_error("1 / 0", "null", Kind::Raised, &["'/' by zero"]);
    check_error(
        "9223372036854775807 + 1",
        "null",
        Kind::Raised,
        &["doesn't fit into 64 bits"],
    );
    check_error(
        "int('x')",
        "null",
        Kind::Raised,
        &["'int' can't convert the text"],
    );
    check_error("{1: 2, 1u: 3}", "null", Kind::Raised, &["key 1 stands twice"]);
    check_error("'a'.matches(self)", "\"(\"", Kind::Raised, &["')'"]);
    check_error("1 / 0 > 0 || self.x", "{}", Kind::Raised, &["by zero", "1:3"]);
    let long = format!("'{}' + 1", "é".repeat(100));
    check_error(&long, "null", bad, &["1:104", "…"]);
}

#[test]
fn texts_that_are_no_expressions() {
    check_refused("", 0, &["ends, expected an expression"]);
    check_refused("1 +", 3, &["ends, expected an expression"]);
    check_refused("(1", 2, &["expected ')'"]);
    check_refused("[1 2]", 3, &["found '2'", "',' or ']'"]);
    check_refused("a b", 2, &["found 'b', expected an operator"]);
    check_refused("self = 1", 5, &["'='", "equality is =="]);
    check_refused("a & b", 2, &["and is &&"]);
    check_refused("'abc", 0, &["has no end"]);
    check_refused("'a\nb'", 0, &["has no end on its line", "three quotes"]);
    check_refused("'\\q'", 1, &["'\\q' is no escape"]);
    check_refused("'\\ud800'", 1, &["is no character"]);
    check_refused("0x", 0, &["'0x'"]);
    check_refused("12ab", 0, &["is no number"]);
    check_refused("9223372036854775808", 0, &["no signed integer", "u behind it"]);
    check_refused("18446744073709551616u", 0, &["no integer of 64 bits"]);
    check_refused("if", 0, &["'if' is reserved"]);
    check_refused(
        "self.sise()",
        5,
        &["there is no function 'sise'", "did you mean size?"],
    );
    check_refused("contains('a')", 0, &["'contains' is a method"]);
    check_refused("self.int()", 5, &["'int' is no method"]);
    check_refused("'a'.charAt()", 4, &["0 arguments, expected 1"]);
    check_refused("has(self)", 0, &["'has' takes one field"]);
    check_refused("[1].all(1, true)", 8, &["the name of a variable"]);
    check_refused("[1].all(x)", 9, &["expected ','"]);
    check_refused("[1].filter(x, true, x)", 4, &["2 expressions", "expected 1"]);
    check_refused("[1].all(x, x, true)", 11, &["both variables are called 'x'"]);
    check_refused("'a'.matches('[')", 12, &["']'"]);
    check_refused(
        "timestamp('x')",
        0,
        &["timestamps and durations are not supported"],
    );
    check_refused(
        "self.at.getHours()",
        8,
        &["timestamps and durations are not supported"],
    );
    check_refused(
        "a.B{c: 1}",
        3,
        &["messages of protocol buffers are not supported"],
    );
    check_refused("type(1)", 0, &["types as values are not supported"]);
    check_refused("self.?a", 5, &["found '?'"]);
    check_refused("self[?1]", 4, &["optional values are not supported"]);
    let error = refused("self.a ==\n  b.c = 1", None);
    assert_eq!(error.place("self.a ==\n  b.c = 1"), (2, 7));
    let told = "'=' is no part of an expression\n  at when:2:7\n   |\n 2 |   b.c = 1\n   |       ^\n  hint: equality is ==\n";
    assert_eq!(error.render("when", "self.a ==\n  b.c = 1"), told);
}

#[test]
fn names_that_are_known() {
    assert!(Cel::compile_with("self.a == [1].map(x, x)", &["self"]).is_ok());
    let error = refused("slef.a", Some(&["self"]));
    assert_eq!((error.offset, &*error.message), (0, "there is no name 'slef'"));
    assert_eq!(error.hint.as_deref(), Some("did you mean self?"));
    let error = refused("request.a", Some(&["self"]));
    assert_eq!(error.hint.as_deref(), Some("the names are self"));
    let error = refused("[1].map(x, x) == x", Some(&["self"]));
    assert_eq!(error.offset, 17);
    assert!(refused("self == int", Some(&["self"])).hint.is_some());
}

#[test]
fn bounds_hold() {
    let deep = FLOW_CEL_DEPTH_MAX - 1;
    check(&format!("{}1{}", "(".repeat(deep), ")".repeat(deep)), "null", "1");
    let error = refused(
        &format!("{}1{}", "(".repeat(deep + 1), ")".repeat(deep + 1)),
        None,
    );
    assert!(error.message.contains("nested deeper"), "{}", error.message);
    // What isn't nested but long takes no stack.
    check(&format!("1{}", "+1".repeat(20_000)), "null", "20001");
    check(&format!("{}true", "!".repeat(20_000)), "null", "true");
    let long = format!("'{}'", "a".repeat(FLOW_CEL_BYTES_MAX));
    assert!(refused(&long, None).message.contains("bytes, expected at most"));
    let names: Vec<String> = (0..=FLOW_CEL_NAMES_MAX)
        .map(|number| format!("n{number}"))
        .collect();
    assert!(refused(&names.join("+"), None).message.contains("names"));
    let numbers = "[0,1,2,3,4,5,6,7,8,9]";
    for text in [
        // Steps.
        "self.all(a, self.all(b, self.all(c, self.all(d, self.all(e, self.all(f, self.all(g, true)))))))",
        // A value that is made, and one that only shares.
        "cel.bind(a, self+self, cel.bind(b, a.map(x, a), cel.bind(c, b.map(x, b), cel.bind(d, c.map(x, c), d.map(x, d.map(x, d))))))",
        &format!("[1]{}", ".map(x, [x, x])".repeat(30)),
        &format!("['0123456789']{}[0].size()", ".map(x, x + x)".repeat(30)),
        &format!("[0]{}", ".map(x, [x])".repeat(130)),
    ] {
        check_error(text, numbers, Kind::Raised, &["the expression"]);
    }
    // No operator hides that the budget is spent.
    let text = "self.all(a, self.all(b, self.all(c, self.all(d, self.all(e, self.all(f, 1 == 1)))))) || true";
    check_error(text, numbers, Kind::Raised, &["steps"]);
    // Equality of what shares its parts.
    let pair = "cel.bind(a, [1]@, cel.bind(b, [1]@, [a == b]))".replace('@', &".map(x, [x, x])".repeat(20));
    check_error(&pair, "null", Kind::Raised, &["the expression"]);
}

#[test]
fn equality_is_that_of_values() {
    let texts = [
        "1",
        "1.0",
        "-1",
        "\"a\"",
        "null",
        "true",
        "[]",
        "[1]",
        "[1.0]",
        "[[1],[2]]",
        "[[1],[3]]",
        "{}",
        "{\"a\":1}",
        "{\"a\":1,\"b\":[2]}",
        "{\"b\":[2.0],\"a\":1}",
        "{\"a\":1,\"c\":[2]}",
    ];
    let equal = compile("a == b");
    for left in texts {
        for right in texts {
            let (a, b) = (read(left), read(right));
            let found = equal.evaluate(&[("a", &a), ("b", &b)]).unwrap();
            assert_eq!(found, Value::Bool(a == b), "{left} == {right}");
        }
    }
}
