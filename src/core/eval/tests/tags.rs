//! Every tag: its values and its errors.

use super::build::*;

#[test]
fn constants() {
    check(int(42), "j", "42");
    check(lit("i1", "-128"), "i1", "-128");
    check(lit("u8", "18446744073709551615"), "u8", "18446744073709551615");
    let big = "-123456789012345678901234567890";
    check(lit("j", big), "j", big);
    check(lit("f8", "3.14"), "f8", "3.14");
    check(lit("f4", "3.14"), "f4", "3.14");
    check(lit("f8", "NaN"), "f8", "\"NaN\"");
    check(lit("f8", "-Infinity"), "f8", "\"-Infinity\"");
    check(lit("b", "1"), "b", "true");
    check(lit("b", "0"), "b", "false");
    check(lit("b", "false"), "b", "false");
    check(lit("z", "null"), "z", "null");
    check(lit("?j", "null"), "?j", "null");
    check(lit("?j", "7"), "?j", "7");
    check(lit("[j]", "[1,2]"), "[j]", "[1,2]");
    check(lit("s", "word"), "s", "\"word\"");
    check(str("a\\u0000é"), "s", "\"a\\u0000é\"");
    check(r#"{"tag":"lit","schema":"f8","value":2.5}"#, "f8", "2.5");
    check(r#"{"tag":"lit","schema":"b","value":true}"#, "b", "true");
    check(
        lit("i1", "128"),
        "i1",
        "malformed: literal can't be read as i1: expected an integer of 8 bits (i1), found 128",
    );
    check(
        lit("j", "x"),
        "j",
        "malformed: literal can't be read as j: found 'x', expected a value",
    );
    check(
        r#"{"tag":"lit","schema":"j","value":[]}"#,
        "j",
        "malformed: literal is an array, expected its text",
    );
    check(
        r#"{"tag":"str","schema":"j","value":"x"}"#,
        "j",
        "malformed: str has type j, expected s",
    );
}

#[test]
fn containers() {
    check(ints(&[1, 2]), "[j]", "[1,2]");
    check(ints(&[]), "[f8]", "[]");
    check(ints(&[1, -2]), "[i2]", "[1,-2]");
    check(ints(&[1, 2]), "a:2j", "[1,2]");
    check(
        ints(&[1, 2]),
        "a:3j",
        "manifest: result has 2 elements, expected 3",
    );
    check(container("(j,s)", &[int(1), str("a")]), "(j,s)", "[1,\"a\"]");
    check(
        container("{x:j,y:s}", &[int(1), str("a")]),
        "{x:j,y:s}",
        "{\"x\":1,\"y\":\"a\"}",
    );
    check(container("?j", &[]), "?j", "null");
    check(container("?j", &[int(7)]), "?j", "7");
    check(container("??j", &[container("?j", &[int(7)])]), "??j", "7");
    check(
        container("[?j]", &[container("?j", &[]), container("?j", &[int(1)])]),
        "[?j]",
        "[null,1]",
    );
    check(
        container("(j,j)", &[int(1)]),
        "(j,j)",
        "malformed: container has 1 elements, expected 2 for type (j,j)",
    );
    check(
        container("?j", &[int(1), int(2)]),
        "?j",
        "malformed: container has 2 elements, expected 1 for type ?j",
    );
    check(
        container("j", &[]),
        "j",
        "malformed: container has type j, expected a list, tuple, record or optional",
    );
}

#[test]
fn results_that_do_not_fit_their_type() {
    check(str("a"), "j", "manifest: result is a string, expected j");
    check(int(300), "u1", "manifest: result is 300, expected u1");
    check(lit("f8", "0.1"), "f4", "manifest: result is 0.1, expected f4");
    check(lit("f8", "0.5"), "f4", "0.5");
    check(int(3), "f8", "3");
    check(ints(&[1, 300]), "[u1]", "manifest: result[1] is 300, expected u1");
    check(
        container(
            "[{x:j}]",
            &[container("{x:j}", &[int(1)]), container("{x:j}", &[str("a")])],
        ),
        "[{x:j}]",
        "manifest: result[1].x is a string, expected j",
    );
    check(
        container("{x:j}", &[int(1)]),
        "{y:j}",
        "manifest: result is a record {x:j}, expected {y:j}",
    );
    check(container("{x:j}", &[int(1)]), "{x:i4}", "{\"x\":1}");
    check(
        container("(j,j)", &[int(1), int(2)]),
        "(j)",
        "manifest: result has 2 parts, expected 1",
    );
    check(
        lambda(&["x"], var("x")),
        "j",
        "manifest: result is a function, expected j",
    );
}

#[test]
fn names() {
    let pair = |left: &str, right: &str| container("(j,j)", &[var(left), var(right)]);
    check(app(lambda(&["x"], var("x")), &[int(1)]), "j", "1");
    check(
        app(lambda(&["x", "y"], pair("y", "x")), &[int(1), int(2)]),
        "(j,j)",
        "[2,1]",
    );
    check(app(lambda(&[], int(1)), &[]), "j", "1");
    check(app(int(1), &[]), "j", "1");
    check(
        bind("x", int(1), bind("y", int(2), pair("x", "y"))),
        "(j,j)",
        "[1,2]",
    );
    check(bind("x", int(1), bind("x", int(2), var("x"))), "j", "2");
    check(
        container("[j]", &[bind("x", int(1), var("x")), bind("x", int(2), var("x"))]),
        "[j]",
        "[1,2]",
    );
    let shadowed = app(
        lambda(&["x"], app(lambda(&["x"], var("x")), &[var("x")])),
        &[int(1)],
    );
    check(shadowed, "j", "1");
    check(
        var("x"),
        "j",
        "malformed: variable \"x\" is not bound by a lambda or let around it",
    );
    check(
        lambda(&["name"], var("nam")),
        "j",
        "malformed: variable \"nam\" is not bound by a lambda or let around it; did you mean \"name\"?",
    );
    check(
        bind("x", var("x"), int(1)),
        "j",
        "malformed: variable \"x\" is not bound by a lambda or let around it",
    );
}

#[test]
fn closures() {
    let pair = || lambda(&["x", "y"], container("(j,j)", &[var("x"), var("y")]));
    // Held back by a let, a lambda isn't applied where it stands.
    let held = |func: String, body: String| bind("f", func, body);
    check(held(pair(), app(var("f"), &[int(1), int(2)])), "(j,j)", "[1,2]");
    check(
        held(pair(), app(app(var("f"), &[int(1)]), &[int(2)])),
        "(j,j)",
        "[1,2]",
    );
    check(
        app(pair(), &[int(1)]),
        "j",
        "manifest: result is a function, expected j",
    );
    let curried = || lambda(&["x"], lambda(&["y"], container("(j,j)", &[var("x"), var("y")])));
    check(app(curried(), &[int(1), int(2)]), "(j,j)", "[1,2]");
    check(
        held(curried(), app(var("f"), &[int(1), int(2)])),
        "(j,j)",
        "[1,2]",
    );
    let adder = bind(
        "k",
        int(5),
        lambda(&["x"], container("(j,j)", &[var("k"), var("x")])),
    );
    check(
        held(adder, map(var("f"), ints(&[1, 2]))),
        "[(j,j)]",
        "[[5,1],[5,2]]",
    );
    // Through two lambdas that capture.
    let deep = lambda(&["a"], lambda(&["b"], lambda(&["c"], ints_of(&["a", "b", "c"]))));
    check(
        held(deep, app(var("f"), &[int(1), int(2), int(3)])),
        "[j]",
        "[1,2,3]",
    );
    check(
        held(int(1), app(var("f"), &[int(2), int(3)])),
        "j",
        "manifest: an integer is applied to 2 arguments, expected a function",
    );
    check(
        app(int(1), &[int(2)]),
        "j",
        "malformed: func is a constant, expected a function",
    );
    check(
        app(lambda(&["x"], var("x")), &[int(1), int(2)]),
        "j",
        "manifest: an integer is applied to 1 argument, expected a function",
    );
    check(held(lambda(&[], int(3)), app(var("f"), &[])), "j", "3");
}

#[test]
fn arguments_of_the_command() {
    let swap = lambda(&["x", "y"], container("(j,s)", &[var("y"), var("x")]));
    check_with(&swap, &[("s", "\"a\""), ("j", "1")], "(j,s)", "[1,\"a\"]");
    check_with(
        &swap,
        &[("s", "\"a\"")],
        "(j,s)",
        "manifest: result is a function, expected (j,s)",
    );
    check_with(
        pattern(&select(&[("1", END)])),
        &[("(j,s)", "[1,\"a\"]")],
        "s",
        "\"a\"",
    );
    check_with(interpolation(&["<", ">"]), &[("s", "\"a\"")], "s", "\"<a>\"");
    check_with(lambda(&[], int(1)), &[], "j", "1");
    let partial = bind("f", swap, app(var("f"), &[str("b")]));
    check_with(partial, &[("j", "2")], "(j,s)", "[2,\"b\"]");
    check_with(
        int(1),
        &[("j", "2")],
        "j",
        "manifest: an integer is applied to 1 argument, expected a function",
    );
    let same = lambda(&["x"], var("x"));
    for (schema, json) in [
        (
            "{a:[f8],b:?{c:y},d:(b,z)}",
            r#"{"a":[1.5,"NaN"],"b":{"c":"AQI="},"d":[true,null]}"#,
        ),
        ("j", "-170141183460469231731687303715884105729"),
        ("u8", "18446744073709551615"),
        ("[u8]", "[18446744073709551615,0]"),
        ("[f4]", "[0.1]"),
        ("[i1]", "[-128,127]"),
        ("&1T{v:j,next:?^1T}", r#"{"v":1,"next":{"v":2,"next":null}}"#),
        ("[[i4]]", "[[1,2],[]]"),
    ] {
        check_with(&same, &[(schema, json)], schema, json);
    }
}

#[test]
fn interpolations() {
    check(
        app(interpolation(&["a", "b", "c"]), &[str("1"), str("é")]),
        "s",
        "\"a1béc\"",
    );
    check(interpolation(&["a"]), "s", "\"a\"");
    check(app(interpolation(&["a"]), &[]), "s", "\"a\"");
    let half = bind(
        "f",
        app(interpolation(&["", "+", ""]), &[str("1")]),
        app(var("f"), &[str("2")]),
    );
    check(half, "s", "\"1+2\"");
    let nested = app(
        interpolation(&["<", ">"]),
        &[app(interpolation(&["(", ")"]), &[str("x")])],
    );
    check(nested, "s", "\"<(x)>\"");
    check(
        app(interpolation(&["", ""]), &[int(1)]),
        "s",
        "manifest: argument 1 of an interpolation is an integer, expected a string",
    );
    check(
        interpolation(&[]),
        "s",
        "malformed: interpolation has no strings, expected at least one",
    );
}

#[test]
fn maps() {
    check(map(lambda(&["x"], var("x")), ints(&[])), "[j]", "[]");
    check(
        map(
            interpolation(&["<", ">"]),
            container("[s]", &[str("a"), str("b")]),
        ),
        "[s]",
        "[\"<a>\",\"<b>\"]",
    );
    let table = map(
        lambda(&["x"], map(lambda(&["y"], ints_of(&["x", "y"])), ints(&[3, 4]))),
        ints(&[1, 2]),
    );
    check(table, "[[[j]]]", "[[[1,3],[1,4]],[[2,3],[2,4]]]");
    check_with(
        lambda(
            &["xs"],
            map(
                lambda(&["x"], container("(j,j)", &[var("x"), var("x")])),
                var("xs"),
            ),
        ),
        &[("[i4]", "[1,-2]")],
        "[(i4,j)]",
        "[[1,1],[-2,-2]]",
    );
    check(
        map(lambda(&["x"], var("x")), int(1)),
        "[j]",
        "manifest: map is applied to an integer, expected a list",
    );
    check(
        map(int(1), ints(&[])),
        "[j]",
        "malformed: func is a constant, expected a function",
    );
}

#[test]
fn choices() {
    let boom = || throw("boom");
    check(conditional(lit("b", "1"), int(1), boom()), "j", "1");
    check(conditional(lit("b", "0"), boom(), int(2)), "j", "2");
    check(
        conditional(int(1), int(1), int(2)),
        "j",
        "manifest: condition is an integer, expected a boolean",
    );
    check(boom(), "j", "raised: boom");
    check(catch(boom(), int(1)), "j", "1");
    check(catch(int(1), boom()), "j", "1");
    check(catch(boom(), throw("again")), "j", "raised: again");
    check(catch(catch(boom(), throw("again")), int(3)), "j", "3");
    check(
        r#"{"tag":"throw","msg":{"tag":"lit","schema":"j","value":"1"}}"#,
        "j",
        "manifest: message of a throw is an integer, expected a string",
    );
    // What was under way when it raised is gone, what is around is still there.
    let inside = catch(
        map(lambda(&["x"], bind("y", int(5), ints(&[1, 2]))), ints(&[1])),
        int(0),
    );
    check(inside, "[[j]]", "[[1,2]]");
    let deep = lambda(
        &["a"],
        container(
            "[j]",
            &[
                var("a"),
                catch(
                    map(
                        lambda(&["x"], bind("y", var("x"), container("[j]", &[var("y"), boom()]))),
                        ints(&[1, 2]),
                    ),
                    var("a"),
                ),
                var("a"),
            ],
        ),
    );
    check_with(deep, &[("j", "7")], "[j]", "[7,7,7]");
    // Only what is raised is caught.
    check(
        catch(conditional(int(1), int(1), int(2)), int(3)),
        "j",
        "manifest: condition is an integer, expected a boolean",
    );
}

#[test]
fn text_of_values() {
    check(show(int(42)), "s", "\"42\"");
    check(show(str("a\\\"b")), "s", r#""\"a\\\"b\"""#);
    check(
        show(container(
            "{x:?j,y:f8}",
            &[container("?j", &[]), lit("f8", "2.0")],
        )),
        "s",
        r#""{\"x\":null,\"y\":2}""#,
    );
    check(show(show(int(1))), "s", r#""\"1\"""#);
    check(
        show(lambda(&["x"], var("x"))),
        "s",
        "malformed: show has a child of unknown type, expected a value",
    );
    check(show(catch(throw("a"), int(1))), "s", "\"1\"");
    check(show(bind("x", int(1), var("x"))), "s", "\"1\"");
    check(read("j", str("42")), "j", "42");
    check(read("[(j,s)]", str("[[1,\\\"a\\\"]]")), "[(j,s)]", "[[1,\"a\"]]");
    check(
        read("j", show(lit("j", "99999999999999999999"))),
        "j",
        "99999999999999999999",
    );
    check(
        read("j", str("x")),
        "j",
        "raised: text can't be read as j: found 'x', expected a value",
    );
    check(
        read("[j]", str("[1,true]")),
        "[j]",
        "raised: text can't be read as [j]: expected an integer (j), found true at [1]",
    );
    check(catch(read("j", str("")), int(-1)), "j", "-1");
    check(
        read("j", int(1)),
        "j",
        "manifest: text to read is an integer, expected a string",
    );
}

#[test]
fn what_this_version_does_not_run() {
    for tag in ["load", "hash", "call", "command", "cmd", "lamda"] {
        let expr = format!(r#"{{"tag":"{tag}","schema":"j"}}"#);
        let message = format!("unsupported: expression \"{tag}\" is not supported by this version");
        check(catch(expr, int(1)), "j", &message);
    }
    // What is wrong beside it is told first.
    let both = container("[j]", &[r#"{"tag":"load"}"#.into(), var("x")]);
    check(
        both,
        "[j]",
        "malformed: variable \"x\" is not bound by a lambda or let around it",
    );
}
