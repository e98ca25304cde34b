//! Snippets and SQL of flows in the real pools that the binary carries, called as the server calls them: values there and
//! back, errors with their lines, what is kept between calls, transactions, and codes that never end.

use nexus::build::snippets::make;
use nexus::error::{Error, Kind};
use nexus::flow::languages::{self, Carried, SNIPPETS, SQL};
use nexus::flow::value::{Value, json};
use nexus::manifest::model::{Body, Manifest};
use nexus::manifest::parse::parse;
use nexus::shell::polling::Polling;
use nexus::shell::session::{Call, Session};
use std::fs;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// Far above what any call here takes, the first of R included, which compiles.
const CALL_MS: u64 = 100_000;

/// One of the programs, with its pool once it is called.
struct Running {
    session: Option<Session>,
    manifest: Rc<Manifest>,
    home: PathBuf,
}

impl Running {
    fn new(carried: &Carried) -> Running {
        let home = new_folder();
        let path = make(carried, &home, &std::env::var_os("PATH").unwrap()).unwrap();
        let text = fs::read(&path).unwrap();
        let manifest = Rc::new(parse(&text, &path.to_string_lossy()).unwrap());
        let poll = mio::Poll::new().unwrap();
        let session = Session::new(Polling::Own(poll), &manifest, &path);
        Running {
            session: Some(session),
            manifest,
            home,
        }
    }

    fn of(language: &str) -> Running {
        Running::new(Carried::for_language(language).unwrap())
    }

    fn call_of(&self, name: &str, args: Vec<Vec<u8>>, timeout_ms: u64) -> Call {
        let command = self.manifest.commands.iter().find(|command| command.name == name);
        let Body::Remote { pool, mid, .. } = command.unwrap().body else {
            panic!("{name} runs in no pool");
        };
        Call {
            pool,
            mid,
            args,
            timeout_ms: Some(timeout_ms),
        }
    }

    fn session(&mut self) -> &mut Session {
        self.session.as_mut().unwrap()
    }

    fn command(&mut self, name: &str, args: Vec<Vec<u8>>, timeout_ms: u64) -> Result<Value, Box<Error>> {
        let call = self.call_of(name, args, timeout_ms);
        languages::answer(&self.session().call(call)?)
    }

    fn run(&mut self, code: &str, arg: &Value) -> Result<Value, Box<Error>> {
        self.command(languages::SNIPPET, languages::snippet_args(code, arg)?, CALL_MS)
    }

    /// A snippet's result as JSON, or what went wrong with where the innermost part of it is.
    fn check(&mut self, code: &str, arg: &str, expected: &str) {
        let found = self.run(code, &value(arg));
        let found = found.map_or_else(|error| told(&error), |value| json::text(&value));
        assert_eq!(found, expected, "{code}");
    }

    /// Why codes can't be compiled. None of these may run: they would fail.
    fn check_flaws(&mut self, codes: &[(&str, Option<&str>)]) {
        let texts: Vec<Rc<str>> = codes.iter().map(|(code, _)| Rc::from(*code)).collect();
        let answer = self.command(languages::CHECK, languages::check_args(&texts), CALL_MS);
        let found = languages::flaws(&answer.unwrap());
        let found: Vec<_> = texts
            .iter()
            .zip(&found)
            .map(|(code, flaw)| (&**code, flaw.as_deref()))
            .collect();
        assert_eq!(found, codes);
    }

    fn sql(&mut self, run: u64, source: &str, statement: &str, parameters: &Value) -> String {
        let args = languages::sql_args(run, source, statement, parameters).unwrap();
        let found = self.command(languages::STATEMENT, args, CALL_MS);
        found.map_or_else(|error| told(&error), |value| json::text(&value))
    }

    fn end(&mut self, run: u64, is_commit: bool) {
        let ended = self.command(languages::END, languages::end_args(run, is_commit), CALL_MS);
        assert_eq!(ended.unwrap(), Value::Null);
    }
}

fn new_folder() -> PathBuf {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let folder = std::env::temp_dir().join(format!("nexus-test-snippets-{}-{count}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    folder
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(session) = self.session.take() {
            session.finish();
        }
        fs::remove_dir_all(&self.home).unwrap();
    }
}

fn value(text: &str) -> Value {
    json::read(text.as_bytes()).unwrap()
}

fn told(error: &Error) -> String {
    let place = error.trace.first();
    let place = place.map(|entry| format!(" at {}:{}", entry.file, entry.line));
    format!("{}{}", error.message, place.unwrap_or_default())
}

/// Whether the language's interpreter is there; these tests are of no use without.
fn is_there(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

const VALUES: &[&str] = &[
    "null",
    "true",
    "0",
    "-1.5",
    "1e300",
    "9007199254740991",
    "\"\"",
    "\"a \\\"quote\\\" \\\\ \\n\\t\\u0001 é 日本 😀\"",
    "[]",
    "[1]",
    "[1,2.5,-3]",
    "[[],[[]],{}]",
    "[\"a\",null,true,1]",
    "{}",
    "{\"a\":{\"b\":[{\"c\":null},{}]},\"é\":\"ü\",\"error\":1}",
];

/// `same` gives what it takes; `parts` gives what it finds in an error.
fn check_values(language: &str, same: &str, parts: &str) {
    let mut program = Running::of(language);
    for text in VALUES {
        let found = program.run(same, &value(text)).unwrap();
        assert_eq!(json::text(&found), json::text(&value(text)), "{language}");
    }
    let error = Value::Error(Rc::from(Error::new(Kind::NotFound, "node 'a' isn't there")));
    let found = program.run(parts, &error).unwrap();
    assert_eq!(
        json::text(&found),
        "[\"node 'a' isn't there\",\"not_found\",\"node 'a' isn't there\"]"
    );
}

#[test]
fn python() {
    check_values(
        "python",
        "def main(args):\n    return args\n",
        "lambda e: [e.error(), e.kind, e.message]",
    );
    let mut program = Running::of("python");
    let forms = [
        "lambda args: args['x'] + 1",
        "args['x'] + 1",
        "def main(args): return args['x'] + 1",
        "import math\ndef add(args):\n    return math.floor(args['x']) + 1",
        "def one(x): return x + 1\ndef main(args): return one(args['x'])",
        "import asyncio\nasync def main(args):\n    await asyncio.sleep(0)\n    return args['x'] + 1",
    ];
    for code in forms {
        program.check(code, "{\"x\": 41}", "42");
    }
    let raising = "def main(args):\n    check(args)\n\ndef check(args):\n    raise KeyError(args)";
    program.check(raising, "\"x\"", "KeyError: 'x' at snippet:5");
    program.check(
        "args / 0",
        "1",
        "ZeroDivisionError: division by zero at snippet:1",
    );
    program.check("x = 1\ny = = 2", "1", "SyntaxError: invalid syntax at snippet:2");
    program.check(
        "x = 1",
        "1",
        "ValueError: the snippet defines 0 functions and none is called main, expected def main(args)",
    );
    // What a code keeps is its own.
    let counting = "n = 0\ndef main(args):\n    global n\n    n += 1\n    return n";
    program.check(counting, "null", "1");
    program.check(counting, "null", "2");
    program.check(&format!("{counting}\n"), "null", "1");
}

#[test]
fn javascript() {
    check_values(
        "javascript",
        "export default (x) => x",
        "export default (e) => [e.error(), e.kind, e.message]",
    );
    let mut program = Running::of("javascript");
    let forms = [
        "export default function (args) {\n  return args.x + 1;\n}\n",
        "export default async function (args) { await null; return args.x + 1 }",
        "const one = 1; export default function add(args) { return args.x + one }\n(add)",
        "export default (args) => args.x + 1;",
        "export default async ({ x }) => { await new Promise((done) => setTimeout(done, 1)); return x + 1 }",
        "module.exports = (args) => args.x + 1",
        "const { floor } = require('node:fs') && Math; exports.default = (args) => floor(args.x) + 1",
        "import { sep } from 'node:path';\nexport default (args) => args.x + sep.length",
        "const one = await Promise.resolve(1);\nexport default (args) => args.x + one",
        "function add(args) { return args.x + one } const one = 1; export { add as default }",
        "function main(args) { return args.x + 1 }",
        "(args) => args.x + 1;",
        "export default class { static x = 1 }; export const y = 1",
    ];
    for code in &forms[..12] {
        program.check(code, "{\"x\": 41}", "42");
    }
    let raising = "export default function (args) {\n  check(args);\n}\n\nfunction check(args) {\n  throw new Error(args);\n}";
    program.check(raising, "\"x\"", "Error: x at snippet:6");
    let raising = "import 'node:path';\nexport default async () => {\n  await null;\n  null.x;\n}";
    let message = "TypeError: Cannot read properties of null (reading 'x') at snippet:4";
    program.check(raising, "1", message);
    let wrong = "export default function (args) {\n  return ] 1;\n}";
    program.check(wrong, "1", "SyntaxError: Unexpected token ']' at snippet:2");
    program.check(
        "const x = 1",
        "1",
        "TypeError: the snippet gives no function, expected export default function (args) { ... }",
    );
    program.check(
        "export default (x) => x.y.z",
        "{}",
        "TypeError: Cannot read properties of undefined (reading 'z') at snippet:1",
    );
    let counting = "let n = 0;\nexport default () => ++n";
    program.check(counting, "null", "1");
    program.check(counting, "null", "2");
    // More codes than are kept: the one that was not used for longest begins anew.
    for number in 0..1000 {
        let code = format!("export default () => {number}");
        program.check(&code, "null", &number.to_string());
    }
    program.check(counting, "null", "1");
}

#[test]
fn r() {
    if !is_there("R") {
        return;
    }
    check_values(
        "r",
        "function(x) x",
        "function(e) c(e$error(), e$kind, e$message)",
    );
    let mut program = Running::of("r");
    let forms = [
        "function(args) args$x + 1",
        "main <- function(args) one(args$x)\none <- function(x) x + 1\n",
        "add <- function(args) args$x + 1\none <- 1",
    ];
    for code in forms {
        program.check(code, "{\"x\": 41}", "42");
    }
    program.check("function(x) mean(x)", "[1, 2, 6]", "3");
    program.check(
        "function(x) data.frame(a = 1:2, b = c('x', NA))",
        "null",
        "[{\"a\":1,\"b\":\"x\"},{\"a\":2,\"b\":null}]",
    );
    let raising = "function(args) {\n  x <- 1\n  stop(\"no \", args)\n}";
    program.check(raising, "\"x\"", "no x at snippet:3");
    let found = program
        .run("function(args) {\n  ] 1\n}", &Value::Null)
        .unwrap_err();
    assert!(found.message.contains("snippet:2:3: unexpected ']'"), "{found}");
}

#[test]
fn codes_are_compiled_without_being_run() {
    Running::of("python").check_flaws(&[
        ("args + 1", None),
        ("missing()", None),
        ("raise KeyError()\ndef main(args): pass", None),
        (
            "def main(args):\n    return ] 1",
            Some("SyntaxError: unmatched ']' at snippet:2"),
        ),
        (
            "return 1",
            Some("SyntaxError: 'return' outside function at snippet:1"),
        ),
        ("'\\d' is ''", None),
    ]);
    Running::of("javascript").check_flaws(&[
        ("(args) => args", None),
        ("missing()", None),
        ("throw 1; function main(args) {}", None),
        ("import 'node:nowhere'; throw 1; export default (x) => x", None),
        ("throw await 1; export default (x) => x", None),
        ("export default (x) => x; throw 1; export const y = 1", None),
        ("module.exports = missing", None),
        (
            "export default function (args) {\n  return ] 1;\n}",
            Some("SyntaxError: Unexpected token ']' at snippet:2"),
        ),
        (
            "const x = ] 1",
            Some("SyntaxError: Unexpected token ']' at snippet:1"),
        ),
        (
            "import 'node:path';\nexport default (x) => ] x",
            Some("SyntaxError: Unexpected token ']'"),
        ),
    ]);
    if is_there("R") {
        Running::of("r").check_flaws(&[
            ("function(x) x", None),
            ("stop('no')", None),
            ("function(x) {\n  ] x\n}", Some("snippet:2:3: unexpected ']'")),
        ]);
    }
}

#[test]
fn without_an_interpreter_it_is_named() {
    for carried in SNIPPETS.iter().chain([&SQL]) {
        let error = make(carried, Path::new("/nowhere"), "/nowhere".as_ref()).unwrap_err();
        assert_eq!(error.kind, Kind::SpawnFailed);
    }
    let error = make(&SNIPPETS[1], Path::new("/nowhere"), "/nowhere".as_ref()).unwrap_err();
    assert_eq!(
        error.message,
        "there is no node in PATH, which runs snippets in JavaScript"
    );
    assert_eq!(error.hint.unwrap(), "install it, on Debian: apt install nodejs");
}

#[test]
fn what_never_ends_is_ended() {
    let endless = [
        (
            "python",
            "def main(args):\n    while True: pass",
            "lambda args: args",
        ),
        (
            "javascript",
            "export default () => { for (;;); }",
            "export default (args) => args",
        ),
    ];
    for (language, code, good) in endless {
        let mut program = Running::of(language);
        program.check(good, "1", "1");
        let args = languages::snippet_args(code, &Value::Null).unwrap();
        let ended = program.command(languages::SNIPPET, args, 200).unwrap_err();
        assert_eq!(ended.kind, Kind::Timeout, "{ended}");
        program.check(good, "2", "2");
    }
    let mut program = Running::new(&SQL);
    // A statement as well; and the transactions of other runs are not ended with it.
    let nothing = Value::Null;
    program.sql(1, ":memory:", "create table t (x)", &nothing);
    program.sql(1, ":memory:", "insert into t values (1)", &nothing);
    let count = "with recursive n(x) as (select 1 union all select x + 1 from n) select max(x) from n";
    let args = languages::sql_args(2, ":memory:", count, &nothing).unwrap();
    let ended = program.command(languages::STATEMENT, args, 200).unwrap_err();
    assert_eq!(ended.kind, Kind::Timeout, "{ended}");
    assert_eq!(
        program.sql(1, ":memory:", "select x from t", &nothing),
        "[{\"x\":1}]"
    );
}

#[test]
fn sql() {
    let mut program = Running::new(&SQL);
    let file = program.home.join("a.db").to_string_lossy().into_owned();
    let nothing = Value::Null;
    let created = program.sql(
        1,
        &file,
        "create table t (id integer primary key, name text, data blob)",
        &nothing,
    );
    assert_eq!(created, "{\"rows\":0,\"last_id\":0}");
    let rows = "insert into t (name, data) values (?, ?)";
    let bytes = Value::Bytes(Rc::from(&b"\x00\xff"[..]));
    let one = Value::list(vec![Value::str("é"), bytes]);
    assert_eq!(program.sql(1, &file, rows, &one), "{\"rows\":1,\"last_id\":1}");
    let many = value("[[\"b\", null], [\"c\", 1.5]]");
    assert_eq!(
        program.sql(1, &file, rows, &many),
        "{\"rows\":2,\"last_id\":null}"
    );
    program.end(1, true);
    let named = program.sql(
        2,
        &file,
        "select * from t where name = :name",
        &value("{\"name\": \"é\"}"),
    );
    assert_eq!(named, "[{\"id\":1,\"name\":\"é\",\"data\":\"AP8=\"}]");
    // What is rolled back is gone, a list of rows with a wrong one too.
    assert_eq!(
        program.sql(2, &file, "delete from t", &nothing),
        "{\"rows\":3,\"last_id\":0}"
    );
    program.end(2, false);
    let wrong = program.sql(
        3,
        &file,
        "insert into t (id) values (?)",
        &value("[[7], [8], [1]]"),
    );
    assert_eq!(wrong, "IntegrityError: UNIQUE constraint failed: t.id");
    program.end(3, true);
    assert_eq!(
        program.sql(4, &file, "select count(*) as n from t", &nothing),
        "[{\"n\":3}]"
    );
    program.end(4, true);
    let wrong = program.sql(5, &file, "commit", &nothing);
    assert_eq!(
        wrong,
        "ValueError: the run is a transaction by itself, which COMMIT can't begin or end"
    );
    let wrong = program.sql(5, "/nowhere/a.db", "select 1", &nothing);
    assert!(
        wrong.starts_with("OperationalError: unable to open database file: /nowhere/a.db"),
        "{wrong}"
    );
    let wrong = program.sql(5, &file, "select ?, ?", &value("[1, {\"a\": 1}]"));
    assert_eq!(
        wrong,
        "TypeError: a parameter is a map, expected null, a number, a string, true or false"
    );
    program.end(5, true);
    assert_eq!(
        program.sql(5, &file, "/* alone */ vacuum", &nothing),
        "{\"rows\":0,\"last_id\":0}"
    );
    // A run that nobody ends is rolled back with its process.
    program.sql(6, &file, "delete from t", &nothing);
    program.session.take().unwrap().finish();
    let mut others = Running::new(&SQL);
    assert_eq!(
        others.sql(1, &file, "select count(*) as n from t", &nothing),
        "[{\"n\":3}]"
    );
}

#[test]
fn memory_outlives_runs() {
    let mut program = Running::new(&SQL);
    let nothing = Value::Null;
    program.sql(1, ":memory:", "create table t (x)", &nothing);
    program.sql(1, ":memory:", "insert into t values (?)", &value("[5]"));
    program.end(1, true);
    assert_eq!(
        program.sql(2, ":memory:", "select x from t", &nothing),
        "[{\"x\":5}]"
    );
    program.sql(2, ":memory:", "delete from t", &nothing);
    program.end(2, false);
    assert_eq!(
        program.sql(3, ":memory:", "select x from t", &nothing),
        "[{\"x\":5}]"
    );
}

#[test]
fn runs_that_wait_for_a_lock_hold_up_nobody() {
    for place in ["a.db", ":memory:"] {
        let mut program = Running::new(&SQL);
        let source = match place {
            ":memory:" => place.to_string(),
            name => program.home.join(name).to_string_lossy().into_owned(),
        };
        let nothing = Value::Null;
        program.sql(1, &source, "create table t (x)", &nothing);
        program.end(1, true);
        program.sql(1, &source, "insert into t values (1)", &nothing);
        // Two more want to write, and wait; the first goes on, and ends.
        let waiting: Vec<u64> = [2, 3]
            .map(|run| {
                let args = languages::sql_args(
                    run,
                    &source,
                    "insert into t values (?)",
                    &value(&format!("[{run}]")),
                );
                let call = program.call_of(languages::STATEMENT, args.unwrap(), CALL_MS);
                program.session().begin(call)
            })
            .into();
        assert_eq!(
            program.sql(1, &source, "select count(*) as n from t", &nothing),
            "[{\"n\":1}]"
        );
        program.end(1, true);
        let begin = Instant::now();
        let mut done = 0;
        while done < 2 {
            assert!(begin.elapsed() < Duration::from_secs(30), "they never went on");
            program.sql(9, "file:other?mode=memory", "select 1", &nothing);
            if let Some((token, answer)) = program.session().poll_answer() {
                let text = json::text(&languages::answer(&answer.unwrap()).unwrap());
                assert!(text.starts_with("{\"rows\":1"), "{text}");
                let position = waiting.iter().position(|waiting| *waiting == token).unwrap();
                program.end(position as u64 + 2, true);
                done += 1;
            }
        }
        assert_eq!(
            program.sql(4, &source, "select count(*) as n from t", &nothing),
            "[{\"n\":3}]"
        );
    }
}
