//! Composed commands through the real binary, with manifests written by hand and pools of all languages: values and functions
//! that pass from pool to pool, what runs at the same time, errors and their ways.

mod harness;

use harness::{Program, build_languages};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// The directory of the pools in all languages, made once.
fn pools() -> &'static Path {
    static DIR: OnceLock<PathBuf> = OnceLock::new();
    DIR.get_or_init(|| build_languages(&[]).join("languages.pools"))
}

/// Functions that the pools of all languages lack.
const OWN: &str = r#"
import nexus_pool, os, time

def met(name, number):
    """Waits until so many of that name run."""
    directory = os.environ["NEXUS_DIR"]
    open(os.path.join(directory, "%s-%d-%f" % (name, os.getpid(), time.monotonic())), "w").close()
    deadline = time.monotonic() + 15
    while sum(file.startswith(name + "-") for file in os.listdir(directory)) < number:
        if time.monotonic() > deadline:
            raise RuntimeError("only some of the calls run at once")
        time.sleep(0.002)
    return number

def fail(message):
    raise ValueError(message)

def tries(name, number):
    """Fails until it is called so often."""
    path = os.path.join(os.environ["NEXUS_DIR"], name)
    with open(path, "a+") as file:
        file.write(".")
        file.seek(0)
        count = len(file.read())
    if count < number:
        raise ValueError("try %d" % count)
    return count

kept = []
def keep(function):
    kept.append(function)
    return len(kept)

register = lambda mid, fn, args, returns: nexus_pool.register(mid, fn, args=args, returns=returns)
register(1, lambda f, xs: [f(x) for x in xs], ["\\([f8])f8", "[[f8]]"], "[f8]")
register(2, met, ["s", "i8"], "i8")
register(3, fail, ["s"], "i8")
register(4, tries, ["s", "i8"], "i8")
register(5, lambda f, g, x: f(g(x)), ["\\(i8)i8", "\\(i8)i8", "i8"], "i8")
register(6, lambda f, n: sum(x.result() if hasattr(x, "result") else x for x in [f(i) for i in range(n)]), ["\\(i8)i8", "i8"], "i8")
register(7, keep, ["\\(i8)i8"], "i8")
register(8, lambda x: kept[0](x), ["i8"], "i8")
register(9, lambda x: "not a number", ["i8"], "s")
nexus_pool.serve()
"#;

const OWN_POOL: usize = 4;
const LANGUAGES: [&str; 4] = ["py", "cpp", "r", "js"];

/// A program with one composed command `go`: the schemas of its arguments and result, and its expression. Pools 0 to 3 are
/// those of [`LANGUAGES`], 4 has the functions of [`OWN`].
fn program(args: &[&str], returns: &str, expr: &str, rest: &str) -> Program {
    program_with(args, returns, expr, rest, 8)
}

fn program_with(args: &[&str], returns: &str, expr: &str, rest: &str, workers: u32) -> Program {
    let dir = pools().display();
    let inputs = vec![r#"{"kind": "pos"}"#; args.len()].join(",");
    let comma = if rest.is_empty() { "" } else { "," };
    let manifest = format!(
        r#"{{"version": 1, "name": "prog", "pools": [
        {{"lang": "py", "exec": ["python3", "{dir}/pool.py"], "socket": "py", "workers": {workers}}},
        {{"lang": "cpp", "exec": ["{dir}/pool-cpp"], "socket": "cpp", "workers": {workers}}},
        {{"lang": "r", "exec": ["R", "--vanilla", "--no-echo", "--max-ppsize=500000", "-f", "{dir}/nexus_pool.R",
            "--args", "{dir}/pool.R"], "socket": "r", "env": {{"R_DEFAULT_PACKAGES": "NULL"}}, "workers": {workers}}},
        {{"lang": "js", "exec": ["node", "{dir}/pool.js"], "transport": "direct", "workers": {workers}}},
        {{"lang": "py", "name": "own", "exec": ["python3", "./own.py"], "socket": "own", "workers": {workers}}}],
        "commands": [{{"name": "go", "type": "composed", "needed_pools": [], "arg_schemas": {args:?}, "args": [{inputs}],
        "return_schema": "{returns}", "expr": {expr}{comma} {rest}}}]}}"#
    );
    let program = Program::new("prog", &manifest);
    program.file("own.py", OWN);
    program.file(
        "nexus_pool.py",
        include_str!("../src/runtimes/python/nexus_pool.py"),
    );
    program
}

#[track_caller]
fn check(returns: &str, expr: &str, expected: &str) {
    program(&[], returns, expr, "").check(&["go"], expected);
}

fn call(pool: usize, mid: i64, args: &[&str], returns: &str) -> String {
    let args: Vec<String> = args.iter().map(|arg| arg.replace('\\', "\\\\")).collect();
    let returns = returns.replace('\\', "\\\\");
    format!(
        r#"{{"tag":"call","pool":{pool},"mid":{mid},"arg_schemas":[{}],"return_schema":"{returns}","at":"main.loc:{mid}","name":"f{mid}"}}"#,
        args.iter()
            .map(|arg| format!("\"{arg}\""))
            .collect::<Vec<_>>()
            .join(",")
    )
}

fn app(func: String, args: &[String]) -> String {
    let args = args.join(",");
    format!(r#"{{"tag":"app","schema":"i8","func":{func},"args":[{args}]}}"#)
}

fn lambda(vars: &[&str], body: String) -> String {
    format!(r#"{{"tag":"lambda","vars":{vars:?},"body":{body}}}"#)
}

fn var(name: &str) -> String {
    format!(r#"{{"tag":"bound","schema":"i8","var":"{name}"}}"#)
}

fn int(value: i64) -> String {
    format!(r#"{{"tag":"lit","schema":"i8","value":"{value}"}}"#)
}

fn text(value: &str) -> String {
    format!(r#"{{"tag":"str","schema":"s","value":"{value}"}}"#)
}

fn op(name: &str, schema: &str) -> String {
    format!(r#"{{"tag":"op","op":"{name}","schema":"{schema}"}}"#)
}

fn container(schema: &str, elements: &[String]) -> String {
    let elements = elements.join(",");
    format!(r#"{{"tag":"container","schema":"{schema}","elements":[{elements}]}}"#)
}

/// A tag with expressions under keys.
fn node(tag: &str, members: &[(&str, String)]) -> String {
    let members: Vec<String> = members
        .iter()
        .map(|(key, value)| format!(r#","{key}":{value}"#))
        .collect();
    format!(r#"{{"tag":"{tag}"{}}}"#, members.concat())
}

/// `double` of a language.
fn double(pool: usize) -> String {
    call(pool, 25, &["i8"], "i8")
}

#[test]
fn functions_pass_between_pools_that_know_nothing_of_each_other() {
    let total = || call(1, 23, &["[f8]"], "f8");
    let pmap = call(OWN_POOL, 1, &["\\([f8])f8", "[[f8]]"], "[f8]");
    let vsum = lambda(&["xs"], app(total(), &[app(pmap, &[total(), var("xs")])]));
    program(&["[[f8]]"], "f8", &vsum, "").check(&["go", "[[1.2],[0,0.1]]"], "1.3");
}

#[test]
fn values_pass_from_language_to_language() {
    let chain = (0..4).fold(var("x"), |inner, pool| app(double(pool), &[inner]));
    program(&["i8"], "i8", &lambda(&["x"], chain), "").check(&["go", "3"], "48");
}

const UNARY: &str = "\\(i8)i8";

#[test]
fn independent_calls_run_at_the_same_time() {
    let met = |name: &str, count: i64| app(call(OWN_POOL, 2, &["s", "i8"], "i8"), &[text(name), int(count)]);
    let both = container("(i8,i8)", &[met("a", 2), met("a", 2)]);
    check("(i8,i8)", &both, "[2,2]");
    let par = node(
        "par",
        &[
            ("schema", text_only("[i8]")),
            ("elements", format!("[{}]", vec![met("b", 8); 8].join(","))),
        ],
    );
    check("[i8]", &par, "[8,8,8,8,8,8,8,8]");
    let item = lambda(&["x"], met("c", 3));
    let list = container("[i8]", &[int(1), int(2), int(3)]);
    let pmap = node("pmap", &[("width", int(3)), ("func", item), ("list", list)]);
    check("[i8]", &pmap, "[3,3,3]");
}

fn text_only(value: &str) -> String {
    format!("\"{value}\"")
}

#[test]
fn closures_of_the_composition_are_called_by_every_language() {
    let plus = || {
        lambda(
            &["x"],
            app(op("add", "i8"), &[var("x"), app(double(1), &[var("n")])]),
        )
    };
    let applied: Vec<String> = (0..4)
        .map(|pool| app(call(pool, 12, &[UNARY, "i8"], "i8"), &[plus(), var("n")]))
        .collect();
    let expr = lambda(&["n"], container("[i8]", &applied));
    program(&["i8"], "[i8]", &expr, "").check(&["go", "5"], "[15,15,15,15]");
    // With a single worker each, and through all languages at once.
    let nested = (0..4).fold(plus(), |inner, pool| {
        lambda(
            &["y"],
            app(call(pool, 12, &[UNARY, "i8"], "i8"), &[inner, var("y")]),
        )
    });
    let expr = lambda(&["n"], app(nested, &[var("n")]));
    program_with(&["i8"], "i8", &expr, "", 1).check(&["go", "5"], "15");
}

#[test]
fn functions_that_pools_give_away_are_applied() {
    for (pool, language) in LANGUAGES.iter().enumerate() {
        let adder = app(call(pool, 13, &["i8"], UNARY), &[int(3)]);
        let composed = call(pool, 22, &[UNARY, UNARY], UNARY);
        let closure = lambda(&["x"], app(op("multiply", "i8"), &[var("x"), int(10)]));
        let both = app(app(composed, &[adder, closure]), &[int(2)]);
        println!("{language}");
        program(&[], "i8", &both, "").check(&["go"], "23");
    }
}

#[test]
fn a_pool_may_keep_a_closure() {
    let closure = lambda(&["x"], app(double(1), &[var("x")]));
    let keep = app(call(OWN_POOL, 7, &[UNARY], "i8"), &[closure]);
    let kept = app(call(OWN_POOL, 8, &["i8"], "i8"), &[int(4)]);
    let expr = node("next", &[("first", keep), ("then", kept)]);
    program_with(&[], "i8", &expr, "", 1).check(&["go"], "8");
}

#[test]
fn errors_show_one_stack() {
    let inner = lambda(
        &["x"],
        app(call(OWN_POOL, 3, &["s"], "i8"), &[text("no such star")]),
    );
    let expr = app(call(1, 12, &[UNARY, "i8"], "i8"), &[inner, int(1)]);
    let ran =
        program(&[], "i8", &expr, "").check_error(&["go"], 1, &["no such star", "main.loc:3", "main.loc:12"]);
    let place = |part: &str| ran.stderr.find(part).expect(part);
    assert!(place("own.py") < place("main.loc:3") && place("main.loc:3") < place("main.loc:12"));
    let caught = node("try", &[("child", expr)]);
    check("(?i8,?s)", &caught, "[null,\"ValueError: no such star\"]");
    // What a pool gives that is of another type.
    let wrong = app(call(OWN_POOL, 9, &["i8"], "i8"), &[int(1)]);
    let sum = app(op("add", "i8"), &[wrong, int(1)]);
    program(&[], "i8", &sum, "").check_error(&["go"], 5, &["answer of a pool can't be read as i8"]);
}

#[test]
fn a_failing_item_is_named_and_ends_the_others() {
    let fail = app(call(OWN_POOL, 3, &["s"], "i8"), &[text("boom")]);
    let is_third = app(op("equal", "i8"), &[var("x"), int(3)]);
    let nap = app(call(0, 26, &["i8"], "i8"), &[int(20_000)]);
    let item = lambda(
        &["x"],
        node("if", &[("cond", is_third), ("then", fail), ("else", nap)]),
    );
    let list = container("[i8]", &[int(1), int(2), int(3)]);
    let pmap = node("pmap", &[("width", int(3)), ("func", item), ("list", list)]);
    program(&[], "[i8]", &pmap, "").check_error(&["go"], 1, &["item 3: ValueError: boom"]);
}

#[test]
fn a_race_ends_the_slower() {
    let nap = |ms: i64| app(call(0, 26, &["i8"], "i8"), &[int(ms)]);
    let race = node("race", &[("elements", format!("[{},{}]", nap(20_000), nap(1)))]);
    check("i8", &race, "1");
}

#[test]
fn what_takes_too_long_ends() {
    let nap = || app(call(0, 26, &["i8"], "i8"), &[int(20_000)]);
    let within = node("timeout", &[("ms", int(100)), ("child", nap())]);
    program(&[], "i8", &within, "").check_error(&["go"], 124, &["value was not there within 100 ms"]);
    program(&[], "i8", &nap(), "").check_error(
        &["--timeout", "0.3", "go"],
        124,
        &["did not end in time", "pool py"],
    );
    program(&[], "i8", &nap(), r#""timeout_ms": 300"#).check_error(&["go"], 124, &["did not end in time"]);
    // Pure work too.
    let endless = lambda(&["x"], app(var("x"), &[var("x")]));
    let expr = node(
        "next",
        &[
            ("first", app(double(1), &[int(1)])),
            ("then", app(endless.clone(), &[endless])),
        ],
    );
    program(&[], "i8", &expr, "").check_error(&["--timeout", "0.2", "go"], 124, &["did not end in time"]);
}

#[test]
fn what_fails_is_tried_again() {
    let tries = |name: &str| app(call(OWN_POOL, 4, &["s", "i8"], "i8"), &[text(name), int(3)]);
    let retry = |times: i64| {
        node(
            "retry",
            &[
                ("times", int(times)),
                ("delay_ms", int(1)),
                ("child", tries("tries")),
            ],
        )
    };
    check("i8", &retry(3), "3");
    program(&[], "i8", &retry(2), "").check_error(&["go"], 1, &["try 2"]);
}

#[test]
fn a_signal_ends_a_composition() {
    let nap = app(call(0, 26, &["i8"], "i8"), &[int(20_000)]);
    let program = program(&[], "[i8]", &container("[i8]", &[nap.clone(), nap]), "");
    let child = program.command(&["go"]).spawn().unwrap();
    // Once its pool runs, or before.
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while program.processes().is_empty() && std::time::Instant::now() < deadline {
        std::thread::yield_now();
    }
    harness::signal(child.id(), "INT");
    let ran = harness::finish(child);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(130), ""), "{}", ran.stderr);
    program.assert_nothing_left();
}

#[test]
fn a_worker_that_dies_is_an_error_of_its_call() {
    let quit = app(call(0, 14, &["i8"], "z"), &[int(3)]);
    let caught = node(
        "catch",
        &[
            ("fallible", node("next", &[("first", quit), ("then", int(1))])),
            ("fallback", app(double(0), &[int(4)])),
        ],
    );
    check("i8", &caught, "8");
}

#[test]
fn a_closure_may_call_the_pool_that_calls_it() {
    // The only worker waits for the closure, which calls it.
    let closure = lambda(&["x"], app(double(0), &[var("x")]));
    let back = || app(call(0, 12, &[UNARY, "i8"], "i8"), &[closure.clone(), int(1)]);
    program_with(&[], "i8", &back(), "", 1).check(&["go"], "2");
}

#[test]
fn large_values_pass_and_come_back() {
    let blob = app(call(1, 24, &["i8"], "[f8]"), &[int(1_000_000)]);
    let echo = |pool: usize, of: String| app(call(pool, 1, &["[f8]"], "[f8]"), &[of]);
    let total = app(call(0, 23, &["[f8]"], "f8"), &[echo(3, echo(0, blob.clone()))]);
    check("f8", &total, "499999500000");
    // As arguments and results of a closure, too.
    let closure = lambda(&["xs"], app(call(1, 23, &["[f8]"], "f8"), &[var("xs")]));
    let lists = container("[[f8]]", &[blob]);
    let sums = app(
        call(OWN_POOL, 1, &["\\([f8])f8", "[[f8]]"], "[f8]"),
        &[closure, lists],
    );
    check("[f8]", &sums, "[499999500000]");
}

#[test]
fn a_remote_command_has_no_closures() {
    // Nexus answers for the pool without a name.
    let ask = r#"
import nexus_pool
nexus_pool.register(1, lambda: nexus_pool.foreign("", 7, args=["i8"], returns="i8")(1), args=[], returns="i8")
nexus_pool.serve()
"#;
    let manifest = r#"{"version": 1, "name": "prog", "pools": [{"lang": "py", "exec": ["python3", "./own.py"], "socket": "own"}],
        "commands": [{"name": "go", "type": "remote", "pool": 0, "mid": 1, "arg_schemas": [], "args": [], "return_schema": "i8"}]}"#;
    let program = Program::new("prog", manifest);
    program.file("own.py", ask);
    program.file(
        "nexus_pool.py",
        include_str!("../src/runtimes/python/nexus_pool.py"),
    );
    program.check_error(
        &["go"],
        5,
        &["function value 7 is none that this program gave away"],
    );
}
