//! Calls between pools, both ways and nested, with no more workers than there are calls.

mod harness;

use harness::Program;
use std::fmt::Write;

/// A program of several Python pools: rows of name, most workers, and the code of its `pool.py`.
fn program(pools: &[(&str, u32, &str)], command_pool: usize, arg: &str) -> Program {
    let mut rows = String::new();
    for (position, (name, workers, _)) in pools.iter().enumerate() {
        let comma = if position > 0 { "," } else { "" };
        write!(
            rows,
            r#"{comma}{{"lang": "{name}", "exec": ["python3", "./{name}.py"], "socket": "{name}", "workers": {workers}}}"#
        )
        .unwrap();
    }
    let needed: Vec<usize> = (0..pools.len()).collect();
    let manifest = format!(
        r#"{{"version": 1, "name": "prog", "pools": [{rows}], "commands": [{{"name": "go", "type": "remote",
            "pool": {command_pool}, "mid": 1, "needed_pools": {needed:?}, "arg_schemas": ["{arg}"], "args": [{{"kind": "pos"}}],
            "return_schema": "j", "timeout_ms": 20000}}]}}"#
    );
    let program = Program::new("prog", &manifest);
    for (name, _, code) in pools {
        program.file(&format!("{name}.py"), code);
    }
    program.file(
        "nexus_pool.py",
        include_str!("../src/runtimes/python/nexus_pool.py"),
    );
    program
}

/// Each `work` waits until all of them run, so that every worker of `a` is taken when the callbacks come.
const WORK: &str = r#"
import nexus_pool, os, time
back = nexus_pool.foreign("b", 1, args=["j"], returns="j")
def work(number, of):
    open(os.path.join(os.environ["NEXUS_DIR"], "started-%d" % number), "w").close()
    deadline = time.monotonic() + 15
    while sum(name.startswith("started-") for name in os.listdir(os.environ["NEXUS_DIR"])) < of:
        if time.monotonic() > deadline:
            raise RuntimeError("only some of the calls run at once")
    return back(number)
nexus_pool.register(1, work, args=["j", "j"], returns="j")
nexus_pool.register(2, lambda number: number * 10, args=["j"], returns="j")
nexus_pool.serve()
"#;

const BACK: &str = r#"
import nexus_pool
leaf = nexus_pool.foreign("a", 2, args=["j"], returns="j")
nexus_pool.register(1, lambda number: leaf(number), args=["j"], returns="j")
nexus_pool.serve()
"#;

#[test]
fn as_many_two_way_calls_as_workers_do_not_deadlock() {
    let fan = include_str!("programs/fan.py");
    program(&[("fan", 1, fan), ("a", 4, WORK), ("b", 4, BACK)], 0, "j").check(&["go", "4"], "60");
    // One worker for the way back serves all four chains.
    program(&[("fan", 1, fan), ("a", 4, WORK), ("b", 1, BACK)], 0, "j").check(&["go", "4"], "60");
}

/// Counts down to 0 by calling the other pool with one less.
fn countdown(other: &str) -> String {
    format!(
        "import nexus_pool\nnext = nexus_pool.foreign('{other}', 1, args=['j'], returns='j')\n\
         nexus_pool.register(1, lambda n: next(n - 1) + 1 if n else 0, args=['j'], returns='j')\nnexus_pool.serve()\n"
    )
}

#[test]
fn a_recursion_over_two_pools_needs_one_worker_of_each() {
    let (a, b) = (countdown("b"), countdown("a"));
    program(&[("a", 1, &a), ("b", 1, &b)], 0, "j").check(&["go", "1000"], "1000");
}

#[test]
fn a_recursion_over_three_pools_too() {
    let (a, b, c) = (countdown("b"), countdown("c"), countdown("a"));
    program(&[("a", 1, &a), ("b", 1, &b), ("c", 1, &c)], 0, "j").check(&["go", "300"], "300");
}

#[test]
fn a_pool_may_call_itself() {
    program(&[("a", 1, &countdown("a"))], 0, "j").check(&["go", "50"], "50");
}

#[test]
fn large_payloads_pass_through_in_both_directions() {
    let there = "import nexus_pool\nturn = nexus_pool.foreign('b', 1, args=['[f8]'], returns='[f8]')\n\
        def go(n):\n    xs = [float(x) for x in range(n)]\n    ys = turn(xs)\n    assert ys == xs[::-1]\n    return len(ys)\n\
        nexus_pool.register(1, go, args=['j'], returns='j')\nnexus_pool.serve()\n";
    let back = "import nexus_pool\nnexus_pool.register(1, lambda xs: xs[::-1], args=['[f8]'], returns='[f8]')\nnexus_pool.serve()\n";
    program(&[("a", 1, there), ("b", 1, back)], 0, "j").check(&["go", "1000000"], "1000000");
}

#[test]
fn an_unknown_pool_is_an_error_of_the_call() {
    let a = countdown("nowhere");
    program(&[("a", 1, &a)], 0, "j").check_error(
        &["go", "1"],
        5,
        &["pool 'nowhere' is not known, expected one of a"],
    );
}
