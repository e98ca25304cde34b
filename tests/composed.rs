//! Composed commands through the real binary, with manifests written by hand and pools of all languages: values and functions
//! that pass from pool to pool, what runs at the same time, errors and their ways.

mod harness;

use harness::{NEXUS, Program, search_path};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The directory of the pools in all languages, made once.
fn pools() -> &'static Path {
    static DIR: OnceLock<PathBuf> = OnceLock::new();
    DIR.get_or_init(|| {
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("languages");
        let build = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/programs/languages/build");
        let status = Command::new("python3")
            .arg(build)
            .arg(NEXUS)
            .arg(&dir)
            .env("PATH", search_path())
            .status();
        assert!(status.unwrap().success(), "the pools can be made");
        dir.join("languages.pools")
    })
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
