//! Evaluations that call: what runs at the same time, what is given up, and where errors go. Each row is played with its
//! answers in many orders.

use super::build::*;
use super::play::{Order, call, check_played, play};

fn lit8(value: i64) -> String {
    lit("i8", &value.to_string())
}

fn of(name: &str, args: &[String]) -> String {
    app(call(name), args)
}

fn double(value: String) -> String {
    of("double", &[value])
}

fn fail(message: &str) -> String {
    of("fail", &[str(message)])
}

fn hang() -> String {
    of("hang", &[lit8(0)])
}

fn list(elements: &[String]) -> String {
    container("[i8]", elements)
}

fn op(name: &str, schema: &str) -> String {
    format!(r#"{{"tag":"op","op":"{name}","schema":"{schema}"}}"#)
}

fn add(left: String, right: String) -> String {
    app(op("add", "i8"), &[left, right])
}

fn tag(tag: &str, members: &[(&str, String)]) -> String {
    let members: Vec<String> = members
        .iter()
        .map(|(key, value)| format!(r#","{key}":{value}"#))
        .collect();
    format!(r#"{{"tag":"{tag}"{}}}"#, members.concat())
}

fn next(first: String, then: String) -> String {
    tag("next", &[("first", first), ("then", then)])
}

fn attempt(child: String) -> String {
    tag("try", &[("child", child)])
}

fn race(elements: &[String]) -> String {
    tag("race", &[("elements", format!("[{}]", elements.join(",")))])
}

fn pmap(width: i64, func: String, list: String, collect: bool) -> String {
    tag(
        "pmap",
        &[
            ("width", lit8(width)),
            ("func", func),
            ("list", list),
            ("collect", collect.to_string()),
        ],
    )
}

fn sleep(ms: i64) -> String {
    tag("sleep", &[("ms", lit8(ms))])
}

fn timeout(ms: i64, child: String) -> String {
    tag("timeout", &[("ms", lit8(ms)), ("child", child)])
}

fn retry(times: i64, delay_ms: i64, child: String) -> String {
    tag(
        "retry",
        &[
            ("times", lit8(times)),
            ("delay_ms", lit8(delay_ms)),
            ("child", child),
        ],
    )
}

fn lits(values: &[i64]) -> String {
    list(&values.iter().map(|value| lit8(*value)).collect::<Vec<_>>())
}

/// The most calls that were out at once.
#[track_caller]
fn check_most(expr: String, returns: &str, most: usize) {
    let played = play(&expr, returns, Order::First);
    assert_eq!(played.most, most, "{expr}: {played:#?}");
}

#[test]
fn calls_give_values() {
    check_played(double(lit8(21)), "i8", "42");
    check_played(double(double(double(lit8(1)))), "i8", "8");
    check_played(add(double(lit8(1)), double(double(lit8(2)))), "i8", "10");
    check_played(
        bind(
            "x",
            double(lit8(1)),
            bind("y", double(var("x")), list(&[var("x"), var("y"), var("x")])),
        ),
        "[i8]",
        "[2,4,2]",
    );
    check_played(
        conditional(
            app(op("less", "i8"), &[double(lit8(1)), lit8(3)]),
            double(lit8(5)),
            fail("no"),
        ),
        "i8",
        "10",
    );
    // A list of a pool, seen from inside.
    let listed = of("list", &[lit8(4)]);
    check_played(&listed, "[i8]", "[0,1,2,3]");
    check_played(app(index(), &[lit8(2), listed.clone()]), "i8", "2");
    check_played(
        app(op("length", "[i8]"), std::slice::from_ref(&listed)),
        "i8",
        "4",
    );
    check_played(map(call("double"), listed.clone()), "[i8]", "[0,2,4,6]");
    check_played(
        tag(
            "fold",
            &[
                ("func", call("add")),
                ("init", lit8(100)),
                ("list", listed.clone()),
            ],
        ),
        "i8",
        "106",
    );
    let is_odd = lambda(
        &["x"],
        app(
            op("equal", "i8"),
            &[app(op("remainder", "i8"), &[double(var("x")), lit8(4)]), lit8(2)],
        ),
    );
    check_played(
        tag("filter", &[("func", is_odd), ("list", listed)]),
        "[i8]",
        "[1,3]",
    );
    check_played(
        app(interpolation(&["<", ">"]), &[of("say", &[lit8(7)])]),
        "s",
        "\"<7>\"",
    );
}

#[test]
fn what_is_independent_runs_at_the_same_time() {
    let doubles = |count: usize| vec![double(lit8(1)); count];
    check_most(list(&doubles(5)), "[i8]", 5);
    check_most(add(double(lit8(1)), double(lit8(2))), "i8", 2);
    check_most(map(call("double"), lits(&[1, 2, 3, 4])), "[i8]", 4);
    // However deep it stands.
    let deep = || double(add(double(lit8(1)), lit8(1)));
    check_most(list(&[deep(), deep(), deep()]), "[i8]", 3);
    check_most(list(&[list(&[deep()]), list(&[deep()])]), "[[i8]]", 2);
    check_most(list(&vec![attempt(deep()); 3]), "[(?i8,?s)]", 3);
    let in_function = lambda(&["x"], bind("y", double(var("x")), double(double(var("y")))));
    check_most(map(in_function, lits(&[1, 2, 3])), "[i8]", 3);
    check_most(
        bind("x", deep(), bind("y", deep(), add(var("x"), var("y")))),
        "i8",
        2,
    );
    check_most(race(&[hang(), hang(), double(lit8(1))]), "i8", 3);
    check_most(tag("beside", &[("first", deep()), ("then", deep())]), "i8", 2);
    check_most(pmap(3, call("double"), lits(&[1; 10]), false), "[i8]", 3);
    // At most so many.
    check_most(map(call("double"), lits(&vec![1; 3000])), "[i8]", 1024);
    // What depends on each other does not, nor what is to be done in turn.
    check_most(double(double(lit8(1))), "i8", 1);
    check_most(next(double(lit8(1)), double(lit8(2))), "i8", 1);
    let in_turn = list(&[deep(), deep()]).replacen("{", r#"{"sequential":true,"#, 1);
    check_most(in_turn.clone(), "[i8]", 1);
    check_most(list(&[in_turn.clone(), in_turn]), "[[i8]]", 2);
}

#[test]
fn the_value_is_the_same_in_any_order() {
    let deep = |value: i64| double(add(double(lit8(value)), lit8(1)));
    check_played(list(&[deep(1), deep(2), deep(3)]), "[i8]", "[6,10,14]");
    let function = lambda(
        &["x", "y"],
        list(&[var("x"), double(var("y")), add(var("x"), var("y"))]),
    );
    let mapped = map(
        lambda(&["z"], app(function, &[double(var("z")), lit8(1)])),
        lits(&[1, 2]),
    );
    check_played(mapped, "[[i8]]", "[[2,2,3],[4,2,5]]");
    let shadowed = bind(
        "x",
        deep(1),
        add(
            bind("x", double(var("x")), add(var("x"), double(var("x")))),
            double(var("x")),
        ),
    );
    check_played(shadowed, "i8", "48");
    let curried = app(app(call("add"), &[double(lit8(1))]), &[double(lit8(2))]);
    check_played(curried, "i8", "6");
    check_played(
        pmap(2, call("double"), lits(&[1, 2, 3, 4, 5]), false),
        "[i8]",
        "[2,4,6,8,10]",
    );
    check_played(pmap(2, call("double"), lits(&[]), false), "[i8]", "[]");
    check_played(
        pmap(
            9,
            lambda(&["x"], pmap(2, call("add"), list(&[]), false)),
            lits(&[1, 2]),
            false,
        ),
        "[[i8]]",
        "[[],[]]",
    );
    let values: Vec<String> = (0..3000).map(|value: i64| (value * 2).to_string()).collect();
    let numbers: Vec<i64> = (0..3000).collect();
    let played = play(&map(call("double"), lits(&numbers)), "[i8]", Order::Last);
    assert_eq!(played.result, format!("[{}]", values.join(",")));
}

#[test]
fn errors_go_to_whoever_catches_them() {
    check_played(fail("boom"), "i8", "raised: boom");
    check_played(catch(fail("boom"), double(lit8(1))), "i8", "2");
    check_played(catch(add(fail("boom"), hang()), double(lit8(1))), "i8", "2");
    check_played(
        catch(list(&[double(lit8(1)), fail("boom")]), lits(&[7])),
        "[i8]",
        "[7]",
    );
    check_played(attempt(double(lit8(1))), "(?i8,?s)", "[2,null]");
    check_played(attempt(fail("boom")), "(?i8,?s)", "[null,\"boom\"]");
    check_played(
        list(&[attempt(fail("a")), attempt(double(lit8(2))), attempt(fail("b"))]),
        "[(?i8,?s)]",
        "[[null,\"a\"],[4,null],[null,\"b\"]]",
    );
    // The innermost catches, once all of it is over, also if nobody looks at the value.
    check_played(catch(catch(fail("boom"), lit8(1)), lit8(2)), "i8", "1");
    check_played(catch(bind("x", fail("boom"), lit8(1)), lit8(2)), "i8", "2");
    check_played(bind("x", fail("boom"), lit8(1)), "i8", "raised: boom");
    check_played(catch(throw("boom"), catch(fail("bang"), lit8(3))), "i8", "3");
    // In functions, and in what waits for them.
    let careful = lambda(&["x"], catch(double(fail("boom")), double(var("x"))));
    check_played(map(careful, lits(&[1, 2, 3])), "[i8]", "[2,4,6]");
    check_played(next(fail("boom"), double(lit8(1))), "i8", "raised: boom");
    check_played(
        tag("beside", &[("first", fail("boom")), ("then", double(lit8(1)))]),
        "i8",
        "raised: boom",
    );
    check_played(
        catch(
            tag("beside", &[("first", fail("boom")), ("then", hang())]),
            lit8(1),
        ),
        "i8",
        "1",
    );
    // A budget and what doesn't fit are no one's to catch.
    check_played(
        catch(app(op("add", "i8"), &[call("double"), lit8(1)]), lit8(1)),
        "i8",
        "manifest: operator add of i8 is applied to a function",
    );
}

#[test]
fn the_first_error_gives_up_the_rest() {
    let played = play(&list(&[hang(), fail("boom"), hang()]), "[i8]", Order::First);
    assert_eq!(played.result, "raised: boom");
    assert_eq!(played.log.join(" "), "call 6 call 2 call 6 cancel cancel");
    assert_eq!(played.trace, ["fail t.loc:2"]);
    let played = play(&race(&[hang(), double(lit8(2)), hang()]), "i8", Order::First);
    assert_eq!(played.result, "4");
    assert_eq!(played.log.join(" "), "call 6 call 1 call 6 cancel cancel");
    let played = play(
        &catch(list(&[hang(), double(fail("boom"))]), lits(&[1])),
        "[i8]",
        Order::First,
    );
    assert_eq!(played.log.join(" "), "call 6 call 2 cancel");
}

#[test]
fn races() {
    check_played(race(&[hang(), double(lit8(2))]), "i8", "4");
    check_played(race(&[fail("a"), double(double(lit8(2)))]), "i8", "8");
    check_played(race(&[fail("a"), fail("a")]), "i8", "raised: a");
    check_played(race(&[lit8(1), hang()]), "i8", "1");
    check_played(
        list(&[race(&[hang(), lit8(1)]), race(&[double(lit8(1)), hang()])]),
        "[i8]",
        "[1,2]",
    );
    check_played(catch(race(&[fail("a")]), lit8(3)), "i8", "3");
    check_played(
        race(&[race(&[hang(), hang()]), race(&[hang(), lit8(3)])]),
        "i8",
        "3",
    );
}

#[test]
fn parallel_maps() {
    let odd = lambda(
        &["x"],
        conditional(
            app(op("equal", "i8"), &[var("x"), lit8(3)]),
            fail("odd"),
            double(var("x")),
        ),
    );
    check_played(
        pmap(2, odd.clone(), lits(&[1, 2, 3, 4]), false),
        "[i8]",
        "raised: item 3: odd",
    );
    check_played(
        pmap(2, odd.clone(), lits(&[1, 3, 2]), true),
        "[(?i8,?s)]",
        "[[2,null],[null,\"odd\"],[4,null]]",
    );
    check_played(
        catch(pmap(9, odd, lits(&[3, 3]), false), lits(&[1])),
        "[i8]",
        "[1]",
    );
    check_played(
        pmap(0, call("double"), lits(&[1]), false),
        "[i8]",
        "raised: width of a pmap is 0, expected at least 1",
    );
    // The next begins when one is done, not when all are.
    let slow = lambda(
        &["x"],
        next(
            tag(
                "sleep",
                &[("ms", app(op("multiply", "i8"), &[var("x"), lit8(10)]))],
            ),
            var("x"),
        ),
    );
    let played = play(
        &pmap(2, slow, lits(&[9, 1, 2, 3, 3]), false),
        "[i8]",
        Order::First,
    );
    assert_eq!((played.result.as_str(), played.now_ms), ("[9,1,2,3,3]", 90));
}

#[test]
fn time() {
    let at = |expr: String, returns: &str| {
        let played = play(&expr, returns, Order::First);
        format!("{} at {}", played.result, played.now_ms)
    };
    assert_eq!(at(sleep(70), "z"), "null at 70");
    assert_eq!(at(next(sleep(70), lit8(1)), "i8"), "1 at 70");
    let sleeps = |ms: &[i64]| container("[z]", &ms.iter().map(|ms| sleep(*ms)).collect::<Vec<_>>());
    assert_eq!(at(sleeps(&[30, 50, 20]), "[z]"), "[null,null,null] at 50");
    assert_eq!(at(timeout(50, double(lit8(1))), "i8"), "2 at 0");
    assert_eq!(
        at(timeout(50, hang()), "i8"),
        "timeout: value was not there within 50 ms at 50"
    );
    assert_eq!(at(catch(timeout(50, hang()), lit8(1)), "i8"), "1 at 50");
    assert_eq!(
        at(timeout(50, catch(timeout(80, hang()), lit8(1))), "i8"),
        "timeout: value was not there within 50 ms at 50"
    );
    assert_eq!(
        at(timeout(-1, hang()), "i8"),
        "raised: timeout is -1, expected 0 or more at 0"
    );
    // 10, 20, 40 and no more.
    assert_eq!(at(retry(4, 10, fail("boom")), "i8"), "raised: boom at 70");
    assert_eq!(at(retry(0, 10, fail("boom")), "i8"), "raised: boom at 0");
    assert_eq!(
        at(retry(3, 10, timeout(5, hang())), "i8"),
        "timeout: value was not there within 5 ms at 45"
    );
    assert_eq!(
        at(race(&[next(sleep(9), lit8(1)), next(sleep(5), lit8(2))]), "i8"),
        "2 at 5"
    );
}

#[test]
fn functions_as_values() {
    // A closure of the composition, called by a pool.
    let plus = |n: String| lambda(&["x"], add(var("x"), n));
    check_played(of("apply", &[plus(lit8(1)), lit8(5)]), "i8", "6");
    check_played(
        of("apply", &[lambda(&["x"], double(double(var("x")))), lit8(5)]),
        "i8",
        "20",
    );
    // A function of a pool, called by itself.
    check_played(of("apply", &[call("double"), lit8(5)]), "i8", "10");
    check_played(of("apply", &[app(call("add"), &[lit8(1)]), lit8(5)]), "i8", "6");
    check_played(
        of("apply", &[app(call("add"), &[double(lit8(1))]), lit8(5)]),
        "i8",
        "7",
    );
    // One that a pool gave away.
    check_played(app(of("adder", &[lit8(3)]), &[lit8(4)]), "i8", "7");
    check_played(map(of("adder", &[lit8(3)]), lits(&[1, 2])), "[i8]", "[4,5]");
    check_played(of("apply", &[of("adder", &[lit8(3)]), lit8(4)]), "i8", "7");
    // One that comes back.
    check_played(app(of("same", &[plus(lit8(1))]), &[lit8(4)]), "i8", "5");
    check_played(
        of("apply", &[of("same", &[plus(double(lit8(1)))]), lit8(4)]),
        "i8",
        "6",
    );
    // To any depth.
    let nested = (0..20).fold(plus(lit8(1)), |inner, _| {
        lambda(&["y"], of("apply", &[inner, var("y")]))
    });
    check_played(of("apply", &[nested, lit8(5)]), "i8", "6");
    // Errors pass through.
    let failing = lambda(&["x"], fail("boom"));
    let played = play(&of("apply", &[failing.clone(), lit8(5)]), "i8", Order::First);
    assert_eq!(played.result, "raised: boom");
    assert_eq!(played.trace, ["fail t.loc:2", "apply t.loc:3"]);
    check_played(catch(of("apply", &[failing, lit8(5)]), lit8(1)), "i8", "1");
    let hanging = lambda(&["x"], hang());
    check_played(
        race(&[of("apply", &[hanging, lit8(5)]), double(lit8(1))]),
        "i8",
        "2",
    );
}

#[test]
fn answers_that_are_not_what_was_said() {
    let wrong = |name: &str, returns: &str| {
        call(name).replace(
            "\"return_schema\":\"i8\"",
            &format!("\"return_schema\":\"{returns}\""),
        )
    };
    check_played(
        app(index(), &[lit8(0), app(wrong("double", "[i8]"), &[lit8(1)])]),
        "i8",
        "protocol: answer of a pool can't be read as [i8]: expected a list, found 2",
    );
}

#[test]
fn what_is_not_needed_any_more_is_freed() {
    let count = (0..3000).collect::<Vec<i64>>();
    // Each item makes 100 KiB of answers.
    let kilobytes = |func: &str| {
        lambda(
            &["x"],
            app(
                op("length", "[i8]"),
                &[app(
                    call(func),
                    &[add(
                        lit8(100_000),
                        app(op("multiply", "i8"), &[var("x"), lit8(0)]),
                    )],
                )],
            ),
        )
    };
    let played = play(
        &pmap(4, kilobytes("list"), lits(&count[..500]), false),
        "[i8]",
        Order::First,
    );
    assert!(played.result.starts_with("[100000,100000,"), "{}", played.result);
    assert!(played.most_bytes < 32 << 20, "{} bytes", played.most_bytes);
    // So does each application of a closure.
    let applied = lambda(&["x"], of("apply", &[kilobytes("list"), var("x")]));
    let played = play(
        &pmap(4, applied, lits(&count[..300]), false),
        "[i8]",
        Order::First,
    );
    assert!(played.most_bytes < 32 << 20, "{} bytes", played.most_bytes);
    // And pure work.
    let halves = lambda(
        &["xs", "x"],
        app(
            op("append", "[i8]"),
            &[list(&[var("x")]), app(slice_to(9), &[var("xs")])],
        ),
    );
    let folded = tag(
        "fold",
        &[("func", halves), ("init", lits(&[])), ("list", lits(&count))],
    );
    let played = play(&folded, "[i8]", Order::First);
    assert!(played.result.starts_with("[2999,2998,"), "{}", played.result);
    assert!(played.most_bytes < 8 << 20, "{} bytes", played.most_bytes);
}

/// The function that takes so many elements from the start of a list.
fn slice_to(count: i64) -> String {
    let null = container("?i8", &[]);
    app(
        pattern(r#"{"type":"bracket_slice"}"#),
        &[null.clone(), lit8(count), null],
    )
}
