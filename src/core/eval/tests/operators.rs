//! Operators and what is done with lists, of constants.

use super::build::*;

fn op(name: &str, schema: &str, operands: &[(&str, &str)]) -> String {
    let operands: Vec<String> = operands
        .iter()
        .map(|(schema, value)| lit(schema, value))
        .collect();
    app(
        format!(r#"{{"tag":"op","op":"{name}","schema":"{schema}"}}"#),
        &operands,
    )
}

/// An operator of two values of one type.
#[track_caller]
fn check_op(name: &str, schema: &str, left: &str, right: &str, returns: &str, expected: &str) {
    check(
        op(name, schema, &[(schema, left), (schema, right)]),
        returns,
        expected,
    );
}

#[test]
fn integers() {
    let rows = [
        ("add", "2", "3", "5"),
        ("subtract", "2", "3", "-1"),
        ("multiply", "-2", "3", "-6"),
        // As Python rounds.
        ("quotient", "7", "2", "3"),
        ("quotient", "-7", "2", "-4"),
        ("quotient", "7", "-2", "-4"),
        ("quotient", "-7", "-2", "3"),
        ("quotient", "6", "-2", "-3"),
        ("remainder", "7", "2", "1"),
        ("remainder", "-7", "2", "1"),
        ("remainder", "7", "-2", "-1"),
        ("remainder", "-7", "-2", "-1"),
        ("remainder", "6", "-2", "0"),
        (
            "add",
            "9223372036854775807",
            "1",
            "raised: add of 9223372036854775807 and 1 is out of range of i8",
        ),
        ("quotient", "1", "0", "raised: 1 is divided by 0"),
        ("remainder", "1", "0", "raised: 1 is divided by 0"),
        (
            "quotient",
            "-9223372036854775808",
            "-1",
            "raised: quotient of -9223372036854775808 and -1 is out of range of i8",
        ),
    ];
    for (name, left, right, expected) in rows {
        check_op(name, "i8", left, right, "i8", expected);
    }
    check_op(
        "add",
        "u1",
        "200",
        "100",
        "u1",
        "raised: add of 200 and 100 is out of range of u1",
    );
    check_op(
        "add",
        "u8",
        "18446744073709551614",
        "1",
        "u8",
        "18446744073709551615",
    );
    check_op(
        "multiply",
        "j",
        "99999999999",
        "99999999999",
        "j",
        "9999999999800000000001",
    );
    check_op(
        "subtract",
        "j",
        "-9999999999800000000001",
        "1",
        "j",
        "-9999999999800000000002",
    );
    check_op("remainder", "j", "-99999999999999999999", "7", "j", "6");
    check_op("divide", "i8", "7", "2", "f8", "3.5");
    let large = "9".repeat(60);
    check_op(
        "add",
        "j",
        &large,
        "1",
        "j",
        "raised: an integer of more than 128 bits is too large for an operator",
    );
}

#[test]
fn floats() {
    let rows = [
        ("add", "0.1", "0.2", "0.30000000000000004"),
        ("subtract", "1", "0.5", "0.5"),
        ("multiply", "1e308", "10", "\"Infinity\""),
        ("divide", "1", "3", "0.3333333333333333"),
        ("divide", "1", "0", "\"Infinity\""),
        ("quotient", "-7.5", "2", "-4"),
        ("remainder", "-7.5", "2", "0.5"),
    ];
    for (name, left, right, expected) in rows {
        check_op(name, "f8", left, right, "f8", expected);
    }
    check_op("add", "f4", "0.1", "0.2", "f4", "0.3");
    check(op("real", "i8", &[("i8", "3")]), "f8", "3");
}

#[test]
fn order() {
    let rows = [
        ("i8", "1", "2", "true true false false false true"),
        ("i8", "2", "2", "false true false true true false"),
        ("f8", "2.5", "1", "false false true true false true"),
        ("f8", "NaN", "NaN", "false false false false false true"),
        ("s", "a", "b", "true true false false false true"),
        ("s", "", "", "false true false true true false"),
        ("b", "0", "1", "true true false false false true"),
        (
            "j",
            "99999999999999999999",
            "99999999999999999998",
            "false false true true false true",
        ),
    ];
    let operators = ["less", "at_most", "greater", "at_least", "equal", "unequal"];
    for (schema, left, right, expected) in rows {
        for (name, expected) in operators.into_iter().zip(expected.split(' ')) {
            check_op(name, schema, left, right, "b", expected);
        }
    }
    let equal = [
        ("[i8]", "[1,2]", "[1,2]", true),
        ("[i8]", "[1,2]", "[1]", false),
        (
            "{x:i8,y:?s}",
            r#"{\"x\":1,\"y\":null}"#,
            r#"{\"x\":1,\"y\":\"\"}"#,
            false,
        ),
        ("(s,[y])", r#"[\"a\",[\"AA==\"]]"#, r#"[\"a\",[\"AA==\"]]"#, true),
        ("?i8", "null", "null", true),
    ];
    for (schema, left, right, expected) in equal {
        check_op("equal", schema, left, right, "b", &expected.to_string());
    }
    check(op("not", "b", &[("b", "1")]), "b", "false");
}

#[test]
fn lists_and_text() {
    check_op("append", "s", "ab", "c", "s", "\"abc\"");
    check_op("append", "[i8]", "[1]", "[2,3]", "[i8]", "[1,2,3]");
    check_op("append", "[s]", "[]", "[]", "[s]", "[]");
    check(
        op("concat", "[[i8]]", &[("[[i8]]", "[[1],[],[2,3]]")]),
        "[i8]",
        "[1,2,3]",
    );
    check(op("length", "[s]", &[("[s]", r#"[\"a\",\"b\"]"#)]), "i8", "2");
    check(
        op("zip", "[i8]", &[("[i8]", "[1,2,3]"), ("[s]", r#"[\"a\",\"b\"]"#)]),
        "[(i8,s)]",
        r#"[[1,"a"],[2,"b"]]"#,
    );
    let plus = r#"{"tag":"op","op":"add","schema":"j"}"#;
    let fold = |list: String| {
        format!(
            r#"{{"tag":"fold","func":{plus},"init":{},"list":{list}}}"#,
            int(10)
        )
    };
    check(fold(ints(&[1, 2, 3])), "j", "16");
    check(fold(ints(&[])), "j", "10");
    let odd = lambda(
        &["x"],
        app(
            r#"{"tag":"op","op":"equal","schema":"j"}"#.into(),
            &[
                app(
                    r#"{"tag":"op","op":"remainder","schema":"j"}"#.into(),
                    &[var("x"), int(2)],
                ),
                int(1),
            ],
        ),
    );
    let filter = |func: &str, list: String| format!(r#"{{"tag":"filter","func":{func},"list":{list}}}"#);
    check(filter(&odd, ints(&[1, 2, 3, 4, 5])), "[j]", "[1,3,5]");
    check(filter(&odd, ints(&[])), "[j]", "[]");
    check(
        filter(&lambda(&["x"], var("x")), ints(&[1])),
        "[j]",
        "manifest: filter is told an integer, expected a boolean",
    );
    check(
        fold(int(1)),
        "j",
        "manifest: fold is applied to an integer, expected a list",
    );
}

#[test]
fn lazy_booleans() {
    let of = |tag: &str, left: &str, right: String| {
        format!(r#"{{"tag":"{tag}","left":{},"right":{right}}}"#, lit("b", left))
    };
    check(of("and", "1", lit("b", "0")), "b", "false");
    check(of("and", "0", throw("boom")), "b", "false");
    check(of("or", "0", lit("b", "1")), "b", "true");
    check(of("or", "1", throw("boom")), "b", "true");
    check(of("or", "0", throw("boom")), "b", "raised: boom");
}
