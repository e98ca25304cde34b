//! Getting and setting places in values.

use super::build::*;

#[test]
fn patterns_get() {
    let point = || {
        container(
            "{x:j,y:(j,s)}",
            &[int(1), container("(j,s)", &[int(2), str("a")])],
        )
    };
    let get = |pattern_json: &str| app(pattern(pattern_json), &[point()]);
    check(get(END), "{x:j,y:(j,s)}", "{\"x\":1,\"y\":[2,\"a\"]}");
    check(get(&select(&[("x", END)])), "j", "1");
    check(get(&select(&[("y", &select(&[("1", END)]))])), "s", "\"a\"");
    // The places of nested selectors stand side by side.
    let inner = select(&[("1", END), ("0", END)]);
    check(
        get(&select(&[("y", &inner), ("x", END)])),
        "(s,j,j)",
        "[\"a\",2,1]",
    );
    check(get(&select(&[("0", END)])), "j", "1");
    check(
        map(
            pattern(&select(&[("x", END)])),
            container("[{x:j,y:(j,s)}]", &[point()]),
        ),
        "[j]",
        "[1]",
    );
    check(
        get(&select(&[("z", END)])),
        "j",
        "manifest: pattern takes field \"z\" of a record that has no such field",
    );
    check(
        get(&select(&[("2", END)])),
        "j",
        "manifest: pattern takes part 2 of a record with 2 parts",
    );
    check(
        app(pattern(&select(&[("x", END)])), &[int(1)]),
        "j",
        "manifest: pattern takes field \"x\" of an integer, expected a record",
    );
    check(
        app(pattern(&select(&[("0", END)])), &[ints(&[1])]),
        "j",
        "manifest: pattern takes part 0 of a list, expected a tuple",
    );
    check(
        pattern(r#"{"type":"idx","selectors":[]}"#),
        "j",
        "malformed: pattern selects nothing, expected at least one selector",
    );
    check(
        pattern(r#"{"type":"idx","selectors":[{"index":-1,"sub":{"type":"end"}},{"index":0}]}"#),
        "j",
        "malformed: index of a selector is not a position from 0; object has no \"sub\"",
    );
    check(
        pattern(r#"{"type":"glob"}"#),
        "j",
        "unsupported: expression \"pattern glob\" is not supported by this version",
    );
}

#[test]
fn patterns_set() {
    let point = || {
        container(
            "{x:j,y:(j,s)}",
            &[int(1), container("(j,s)", &[int(2), str("a")])],
        )
    };
    let set = |pattern_json: &str, new: &[String]| app(pattern(pattern_json), &[&[point()], new].concat());
    let schema = "{x:j,y:(j,s)}";
    check(
        set(&select(&[("x", END)]), &[int(9)]),
        schema,
        "{\"x\":9,\"y\":[2,\"a\"]}",
    );
    let inner = select(&[("1", END), ("0", END)]);
    check(
        set(&select(&[("y", &inner), ("x", END)]), &[str("b"), int(8), int(9)]),
        schema,
        "{\"x\":9,\"y\":[8,\"b\"]}",
    );
    check(set(END, &[int(9)]), "j", "9");
    // The original is unchanged.
    let both = bind(
        "p",
        point(),
        container(
            "[j]",
            &[
                app(pattern(&select(&[("x", END)])), &[var("p"), int(9)]),
                var("p"),
            ],
        ),
    );
    check(
        both,
        &format!("[{schema}]"),
        "[{\"x\":9,\"y\":[2,\"a\"]},{\"x\":1,\"y\":[2,\"a\"]}]",
    );
    // One new value of two: the function waits for the other.
    let two = select(&[("x", END), ("y", END)]);
    check(
        set(&two, &[int(9)]),
        schema,
        "manifest: result is a function, expected {x:j,y:(j,s)}",
    );
    check(
        app(set(&two, &[int(9)]), &[container("(j,s)", &[int(0), str("b")])]),
        schema,
        "{\"x\":9,\"y\":[0,\"b\"]}",
    );
}

#[test]
fn brackets_index() {
    let at = |position: String| app(index(), &[position, ints(&[10, 11, 12])]);
    check(at(int(0)), "j", "10");
    check(at(int(-1)), "j", "12");
    check(at(int(-3)), "j", "10");
    check(at(lit("u1", "2")), "j", "12");
    check(
        at(int(3)),
        "j",
        "raised: index 3 is out of range of a list of length 3",
    );
    check(
        at(int(-4)),
        "j",
        "raised: index -4 is out of range of a list of length 3",
    );
    check(
        at(lit("j", "99999999999999999999")),
        "j",
        "raised: index of more than 64 bits is out of range of a list of length 3",
    );
    check(
        at(str("a")),
        "j",
        "manifest: index is a string, expected an integer",
    );
    check(catch(at(int(3)), int(0)), "j", "0");
    check(
        app(index(), &[int(0), str("a")]),
        "j",
        "manifest: index is applied to a string, expected a list",
    );
    check(
        map(
            app(index(), &[int(0)]),
            container("[[j]]", &[ints(&[5]), ints(&[6])]),
        ),
        "[j]",
        "[5,6]",
    );
    check_with(
        lambda(&["x"], app(index(), &[int(-1), var("x")])),
        &[("[u8]", "[1,18446744073709551615]")],
        "u8",
        "18446744073709551615",
    );
}

#[test]
fn brackets_slice_as_python_does() {
    let none = None;
    let some = Some;
    for (bounds, expected) in [
        ([none, none, none], "[0,1,2,3,4]"),
        ([some(1), some(3), none], "[1,2]"),
        ([some(-2), none, none], "[3,4]"),
        ([none, some(-2), none], "[0,1,2]"),
        ([some(3), some(1), none], "[]"),
        ([some(7), some(9), none], "[]"),
        ([some(-9), some(9), none], "[0,1,2,3,4]"),
        ([none, none, some(2)], "[0,2,4]"),
        ([some(1), some(9), some(3)], "[1,4]"),
        ([none, none, some(-1)], "[4,3,2,1,0]"),
        ([some(3), some(0), some(-2)], "[3,1]"),
        ([some(9), some(-9), some(-3)], "[4,1]"),
        ([some(0), none, some(-1)], "[0]"),
        ([none, none, some(i64::MAX)], "[0]"),
        ([none, none, some(i64::MIN)], "[4]"),
        (
            [none, none, some(0)],
            "raised: step of a slice is 0, expected another integer",
        ),
    ] {
        check(slice(bounds, ints(&[0, 1, 2, 3, 4])), "[j]", expected);
        // The same of a list that came packed.
        let [start, stop, step] = bounds.map(|bound| bound.map_or_else(|| lit("z", ""), int));
        let packed = lambda(
            &["x"],
            app(
                pattern(r#"{"type":"bracket_slice"}"#),
                &[start, stop, step, var("x")],
            ),
        );
        check_with(packed, &[("[i2]", "[0,1,2,3,4]")], "[i2]", expected);
    }
    check(slice([none, none, some(-1)], ints(&[])), "[j]", "[]");
    check(
        app(
            pattern(r#"{"type":"bracket_slice"}"#),
            &[str("a"), int(1), int(1), ints(&[])],
        ),
        "[j]",
        "manifest: bound of a slice is a string, expected an integer or null",
    );
}
