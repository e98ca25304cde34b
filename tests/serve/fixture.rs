//! The program that the tests serve: functions in Python that answer, fail, wait, and tell what they see.

use crate::harness::Program;
use std::path::Path;

/// Name, names of the parameters with their schemas, schema of the result.
type Row = (
    &'static str,
    &'static [(&'static str, &'static str)],
    &'static str,
);

const ROWS: [Row; 11] = [
    ("add", &[("A", "i8"), ("B", "i8")], "i8"),
    ("echo", &[("DATA", "y")], "y"),
    ("rows", &[("N", "i8")], "[i8]"),
    ("fail", &[("TEXT", "s")], "z"),
    ("pid", &[], "i8"),
    ("steps", &[("N", "i8")], "s"),
    ("hang", &[("NAME", "s")], "z"),
    ("gate", &[("NAME", "s")], "s"),
    ("orphan", &[], "z"),
    ("generation", &[], "i8"),
    ("reach", &[("POOL", "s")], "i8"),
];

const SOURCE: &str = r#"
import os, time
import nexus_pool

HERE = os.path.dirname(os.path.abspath(__file__))

def mark(name):
    with open(os.path.join(HERE, name), "w") as file:
        file.write(str(os.getpid()))

def add(a, b):
    return a + b

def echo(data):
    return data

def rows(n):
    return list(range(n))

def fail(text):
    raise ValueError(text)

def pid():
    return os.getpid()

def steps(n):
    for step in range(n):
        nexus_pool.progress(step + 1, n, "step")
    return "done"

def hang(name):
    "Never ends by itself; tells that it began, and that it was cancelled."
    mark(name + ".began")
    try:
        while True:
            time.sleep(0.01)
    except BaseException:
        mark(name + ".cancelled")
        raise

def gate(name):
    "Ends when its gate is open."
    mark(name + ".began")
    while not os.path.exists(os.path.join(HERE, name + ".open")):
        time.sleep(0.005)
    return "through " + name

def orphan():
    "Leaves a process whose parent is gone, which ends soon after."
    if os.fork() == 0:
        if os.fork() == 0:
            time.sleep(0.1)
            mark("orphan.ended")
        os._exit(0)
    os.wait()

def generation():
    return GENERATION

def reach(pool):
    "Calls `add` of a pool by its name."
    return nexus_pool.foreign(pool, 1, ["i8", "i8"], "i8")(40, 2)
"#;

/// The program, named `prog`, with that many workers.
pub fn program(workers: u32) -> Program {
    let program = Program::new("prog", "{}");
    write(&program, workers, 1);
    program
}

/// Writes the program's files; `generation` is what its function of that name returns.
pub fn write(program: &Program, workers: u32, generation: u64) {
    let mut script = String::from("import nexus_pool\nimport user\n");
    for (position, (name, args, returns)) in ROWS.iter().enumerate() {
        let schemas: Vec<&str> = args.iter().map(|(_, schema)| *schema).collect();
        let mid = position + 1;
        script.push_str(&format!(
            "nexus_pool.register({mid}, user.{name}, args={schemas:?}, returns={returns:?})\n"
        ));
    }
    script.push_str("nexus_pool.serve()\n");
    program.file("pool.py", &script);
    program.file("user.py", &format!("GENERATION = {generation}\n{SOURCE}"));
    program.file(
        "nexus_pool.py",
        include_str!("../../src/runtimes/python/nexus_pool.py"),
    );
    program.file("prog.manifest", &manifest("python3", workers));
}

/// The manifest of the program with that interpreter.
pub fn manifest(interpreter: &str, workers: u32) -> String {
    let commands: Vec<String> = ROWS
        .iter()
        .enumerate()
        .map(|(at, row)| command(at + 1, row))
        .collect();
    format!(
        r#"{{"version": 1, "name": "prog", "desc": ["What the tests serve."],
            "pools": [{{"lang": "py", "exec": ["{interpreter}", "./pool.py"], "socket": "pipe-py", "workers": {workers},
                "env": {{"POOL_SECRET": "{SECRET}"}}}}],
            "commands": [{}]}}"#,
        commands.join(",\n")
    )
}

/// What the environment of the pool has, and nobody must be told.
pub const SECRET: &str = "hunter2-hunter2";

fn command(mid: usize, (name, args, returns): &Row) -> String {
    let inputs: Vec<String> = args
        .iter()
        .map(|(word, schema)| {
            format!(r#"{{"kind": "pos", "metavar": "{word}", "type_desc": "{schema}", "desc": []}}"#)
        })
        .collect();
    let schemas: Vec<&str> = args.iter().map(|(_, schema)| *schema).collect();
    format!(
        r#"{{"name": "{name}", "type": "remote", "pool": 0, "mid": {mid}, "needed_pools": [0], "arg_schemas": {schemas:?},
            "args": [{}], "return_schema": "{returns}", "return_type": "{returns}", "return_desc": [], "desc": []}}"#,
        inputs.join(", ")
    )
}

/// Opens the gate of that name.
pub fn open_gate(program: &Program, name: &str) {
    program.file(&format!("{name}.open"), "");
}

/// A function has told that.
pub fn has_told(program: &Program, mark: &str) -> bool {
    let path: &Path = &program.dir.join(mark);
    path.exists()
}
