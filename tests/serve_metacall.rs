//! A folder of MetaCall, in two languages and without types, which a real server serves as it is: called under its own paths
//! and under those of MetaCall.

mod harness;

use harness::{NEXUS, Program, Ran, finish, has, search_path};
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const PYTHON: &str = r#"
import asyncio
from typing import Any
import beside

def add(a, b):
    return a + b

def times(a: int, b: int = 3) -> int:
    return a * b

def frame(of: "DataFrame", by: Any = "k", start: int = None, *rest, **more):
    return {"of": of, "by": by, "start": start, "text": "x\ny", "twice": beside.twice(by)}

async def later(x):
    await asyncio.sleep(0)
    return [x, None, 1.5]

def unfit():
    return {1, 2}

def _private(x):
    return x
"#;

const NODE: &str = r"
const { pair } = require('./lib/pair');
function join(a, b) { return a + b; }
const same = (x) => x;
module.exports = {
  join,
  mul: function (a, b) { return a * b; },
  async wait(x) { return pair(x); },
  arrow: async (o, k = 'a') => o[k],
  nothing() {},
};
module.exports.echo = same;
";

/// A server, and the folder that it serves.
struct Server {
    program: Program,
    child: Child,
    stderr: BufReader<std::process::ChildStderr>,
}

impl Server {
    fn start() -> Server {
        let program = Program::new("none", "{}");
        fs::create_dir_all(program.dir.join("prog/js/lib/pair")).unwrap();
        program.file(
            "prog/metacall.json",
            r#"{"language_id": "py", "path": ".", "scripts": ["first.py"]}"#,
        );
        program.file(
            "prog/metacall-node.json",
            r#"{"language_id": "node", "path": "js", "scripts": ["index.js"]}"#,
        );
        program.file("prog/first.py", PYTHON);
        program.file("prog/beside.py", "def twice(x): return [x, x]\n");
        program.file("prog/js/index.js", NODE);
        program.file(
            "prog/js/lib/pair/index.js",
            "exports.pair = (x) => ({ x, y: x });\n",
        );
        let dir = &program.dir;
        let mut serve = Command::new(NEXUS);
        serve
            .arg("serve")
            .arg(dir.join("prog"))
            .arg("--server")
            .arg(dir.join("s"));
        serve
            .arg("--listen")
            .arg(format!("unix:{}", dir.join("web").display()));
        serve.args(["--access-log", "none", "--metacall"]);
        serve.env("XDG_RUNTIME_DIR", program.temp_dir());
        serve.env("TMPDIR", program.temp_dir()).env("PATH", search_path());
        serve.env("NEXUS_TOKEN", "secret");
        let mut child = serve.stderr(Stdio::piped()).spawn().unwrap();
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        while !line.starts_with("listening on") {
            line.clear();
            assert!(stderr.read_line(&mut line).unwrap() > 0, "the server listens");
        }
        Server {
            program,
            child,
            stderr,
        }
    }

    /// The status and the body of an answer.
    fn ask(&self, method: &str, path: &str, body: &str) -> (u16, String) {
        let mut stream = UnixStream::connect(self.program.dir.join("web")).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let length = body.len();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: x\r\nauthorization: jwt secret\r\nconnection: close\r\n\
             content-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
        );
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, body.trim_end().to_string())
    }

    fn check(&self, method: &str, path: &str, body: &str, status: u16, part: &str) {
        let (found, answer) = self.ask(method, path, body);
        assert_eq!(found, status, "{method} {path} {body}: {answer}");
        match status {
            200 if !part.ends_with('…') => assert_eq!(answer, part, "{method} {path} {body}"),
            _ => assert!(
                answer.contains(part.trim_end_matches('…')),
                "{method} {path} {body}: '{part}' is not in {answer}"
            ),
        }
    }

    /// A call under both kinds of paths.
    fn check_call(&self, function: &str, body: &str, status: u16, part: &str) {
        for path in [
            "v1/call/default/prog",
            "default/prog/v1/call",
            "default/prog/v1/await",
        ] {
            self.check("POST", &format!("/{path}/{function}"), body, status, part);
        }
    }

    fn tool(&self, words: &[&str]) -> Ran {
        let mut command = Command::new(NEXUS);
        command
            .args(words)
            .env("NEXUS_SERVER", self.program.dir.join("s"));
        command.stdin(Stdio::null());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        finish(command.spawn().unwrap())
    }

    /// The directories of what the server has built.
    fn builds(&self) -> usize {
        let all = fs::read_dir(self.program.temp_dir().join("nexus")).unwrap();
        let names = all.map(|entry| entry.unwrap().file_name());
        names
            .filter(|name| name.to_string_lossy().starts_with("built-"))
            .count()
    }

    fn stop(mut self) {
        let stopped = self.tool(&["stop"]);
        assert_eq!(stopped.code, Some(0), "{}", stopped.stderr);
        let mut said = String::new();
        self.stderr.read_to_string(&mut said).unwrap();
        assert!(self.child.wait().unwrap().success(), "{said}");
        assert_eq!(self.builds(), 0, "builds are left");
        fs::remove_dir(self.program.temp_dir().join("nexus")).unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Of a test that has failed; another has stopped it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn functions_without_types_are_called() {
    if !has(&["python3", "node"]) {
        return;
    }
    let server = Server::start();
    let before = fs::read_dir(server.program.dir.join("prog")).unwrap().count();
    server.check_call("add", "[1, 2]", 200, "3");
    server.check_call("add", r#"{"b": "y", "a": "x"}"#, 200, r#""xy""#);
    server.check_call("add", "[[1], [ {\"k\":\n null} ]]", 200, r#"[1,{"k":null}]"#);
    server.check_call("times", "[4]", 200, "12");
    server.check_call("times", r#"["4"]"#, 400, "argument a: expected an integer");
    server.check_call(
        "frame",
        r#"[[1.50], 2]"#,
        200,
        r#"{"of":[1.5],"by":2,"start":null,"text":"x\ny","twice":[2,2]}"#,
    );
    server.check_call("later", "[7]", 200, "[7,null,1.5]");
    server.check_call("join", r#"["a", "b"]"#, 200, r#""ab""#);
    server.check_call("mul", "[6, 7]", 200, "42");
    server.check_call("wait", "[[true]]", 200, r#"{"x":[true],"y":[true]}"#);
    server.check_call("arrow", r#"[{"a": 1, "b": 2}]"#, 200, "1");
    server.check_call("arrow", r#"[{"a": 1, "b": 2}, "b"]"#, 200, "2");
    server.check_call("nothing", "[]", 200, "null");
    server.check_call("echo", r#"[{"a": []}]"#, 200, r#"{"a":[]}"#);
    // What goes wrong has its own status.
    server.check_call("add", "[1]", 400, "needs the argument b");
    server.check_call("add", "[1, 2, 3]", 400, "found more");
    server.check_call("add", "[1, ", 400, "found the end of the text");
    server.check_call("add", r#"[1, "a"]"#, 500, "TypeError");
    server.check_call("unfit", "[]", 500, "what JSON can hold");
    server.check_call("_private", "[1]", 404, "no command '_private'");
    server.check("GET", "/default/prog/v1/call/add?a=1&b=2", "", 200, "3");
    server.check(
        "POST",
        "/default/other/v1/call/add",
        "[1, 2]",
        404,
        "default/other@latest",
    );
    server.check(
        "POST",
        "/default/prog/v2/call/add",
        "[1, 2]",
        404,
        "default/prog@v2",
    );
    server.check("GET", "/api/readiness", "", 200, "ready");
    let called = server.tool(&["call", "prog", "add", "[1]", "[\"x\"]"]);
    assert_eq!(
        (called.code, called.stdout.as_str()),
        (Some(0), "[1,\"x\"]\n"),
        "{}",
        called.stderr
    );
    let after = fs::read_dir(server.program.dir.join("prog")).unwrap().count();
    assert_eq!(before, after, "nothing is written into the folder");
    server.stop();
}

#[test]
fn deployments_are_described_made_anew_and_deleted() {
    if !has(&["python3", "node"]) {
        return;
    }
    let server = Server::start();
    server.check_call("add", "[1, 2]", 200, "3");
    for method in ["GET", "POST"] {
        let parts = [
            r#"[{"status":"ready","prefix":"default","suffix":"prog","version":"v1","packages":{"#,
            r#""py":[{"name":"py","scope":{"name":"global_namespace","funcs":["#,
            r#""node":[{"#,
            r#"{"name":"times","signature":{"ret":{"type":{"name":"long","id":4}},"args":[{"name":"a","type":{"name":"long","id":4}}"#,
            r#"{"name":"echo","signature":{"ret":{"type":{"name":"","id":18}},"args":[{"name":"x","type":{"name":"","id":18}}]},"async":false}"#,
            r#""ports":[]}]"#,
        ];
        for part in parts {
            server.check(method, "/api/inspect", "", 200, &format!("{part}…"));
        }
    }
    // A deploy that fails leaves what was there, and locks no name.
    let prog = |file: &str, text: &str| server.program.file(&format!("prog/{file}"), text);
    let create = r#"{"suffix": "prog", "resourceType": "Package", "release": "1", "env": [], "plan": "Essential", "version": "v1"}"#;
    prog("first.py", "import no_such_module\ndef add(a, b): return a - b\n");
    let (status, answer) = server.ask("POST", "/api/deploy/create", create);
    assert!(
        status >= 400 && answer.contains("no_such_module"),
        "{status} {answer}"
    );
    server.check_call("add", "[1, 2]", 200, "3");
    prog("metacall.json", r#"{"language_id": "rb", "scripts": ["a.rb"]}"#);
    server.check(
        "POST",
        "/api/deploy/create",
        create,
        422,
        "language_id is 'rb', which is not supported, expected py or node",
    );
    server.check_call("add", "[1, 2]", 200, "3");
    prog(
        "metacall.json",
        r#"{"language_id": "py", "scripts": ["first.py"]}"#,
    );
    prog("first.py", "def add(a, b): return a - b\n");
    server.check(
        "POST",
        "/api/deploy/create",
        create,
        200,
        r#"{"prefix":"default","suffix":"prog","version":"v1"}"#,
    );
    server.check_call("add", "[1, 2]", 200, "-1");
    server.check(
        "POST",
        "/api/deploy/create",
        r#"{"suffix": "other"}"#,
        404,
        "default/other@latest",
    );
    server.check("POST", "/api/package/create", "", 501, "takes no packages");
    server.check(
        "POST",
        "/api/deploy/delete",
        r#"{"prefix": "default", "suffix": "prog", "version": "v1"}"#,
        200,
        "deleted",
    );
    server.check_call("add", "[1, 2]", 404, "default/prog@latest");
    // The name is free.
    let folder = server.program.dir.join("prog").display().to_string();
    let deployed = server.tool(&["deploy", &folder]);
    assert_eq!(deployed.code, Some(0), "{}", deployed.stderr);
    server.check_call("add", "[5, 2]", 200, "3");
    server.stop();
}
