//! A folder of MetaCall, in two languages and without types, which a real server serves as it is: called under its own paths
//! and under those of MetaCall.

mod harness;

use harness::{Daemon, NEXUS, Program, Ran, finish, has, search_path, until};
use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
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
    daemon: Daemon,
}

/// An archive that a script writes to `z`, a `zipfile.ZipFile` of python3.
fn archive(script: &str) -> Vec<u8> {
    let script = format!(
        "import io, sys, zipfile\nb = io.BytesIO()\nz = zipfile.ZipFile(b, 'w', zipfile.ZIP_DEFLATED)\n\
         {script}\nz.close()\nsys.stdout.buffer.write(b.getvalue())"
    );
    let made = Command::new("python3").args(["-c", &script]).output().unwrap();
    assert!(made.status.success(), "{script}");
    made.stdout
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
        let daemon = Server::spawn(&program);
        Server { program, daemon }
    }

    fn spawn(program: &Program) -> Daemon {
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
        let daemon = Daemon::spawn(&serve);
        daemon.hear("listening on");
        daemon
    }

    /// The status and the body of an answer.
    fn ask(&self, method: &str, path: &str, body: &str) -> (u16, String) {
        self.send(method, path, "application/json", body.as_bytes())
    }

    fn send(&self, method: &str, path: &str, media_type: &str, body: &[u8]) -> (u16, String) {
        let token = "authorization: jwt secret\r\n";
        self.send_with(token, method, path, media_type, body)
    }

    fn send_with(
        &self,
        header: &str,
        method: &str,
        path: &str,
        media_type: &str,
        body: &[u8],
    ) -> (u16, String) {
        let mut stream = UnixStream::connect(self.program.dir.join("web")).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let length = body.len();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: x\r\n{header}connection: close\r\n\
             content-type: {media_type}\r\ncontent-length: {length}\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).unwrap();
        stream.write_all(body).unwrap();
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

    /// The directories of the server's own whose names begin so.
    fn scratches(&self, kind: &str) -> Vec<PathBuf> {
        let all = fs::read_dir(self.program.temp_dir().join("nexus"));
        let paths = all.into_iter().flatten().map(|entry| entry.unwrap().path());
        let is_kind = |path: &PathBuf| path.file_name().unwrap().to_string_lossy().starts_with(kind);
        paths.filter(is_kind).collect()
    }

    /// The folders of packages.
    fn packages(&self) -> usize {
        self.scratches("package-").len()
    }

    /// Waits until there are so many, which may be as long as a program takes to end.
    fn wait_for_packages(&self, expected: usize) {
        until("packages are gone", || {
            self.check("GET", "/api/readiness", "", 200, "ready");
            self.packages() == expected
        });
    }

    /// Uploads what python3 makes of a script that writes an archive to `z`, with those fields.
    fn upload(&self, id: &str, script: &str, fields: &[(&str, &str)]) -> (u16, String) {
        let mut body = Vec::new();
        for (name, value) in fields.iter().chain(&[("id", id)]) {
            body.extend(
                format!("--b\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n").bytes(),
            );
        }
        body.extend(
            b"--b\r\nContent-Disposition: form-data; name=\"raw\"; filename=\"blob\"\r\n\
              Content-Type: application/x-zip-compressed\r\n\r\n",
        );
        body.extend(archive(script));
        body.extend(b"\r\n--b--\r\n");
        self.send(
            "POST",
            "/api/package/create",
            "multipart/form-data; boundary=b",
            &body,
        )
    }

    fn check_upload(&self, id: &str, script: &str, fields: &[(&str, &str)], status: u16, part: &str) {
        let (found, answer) = self.upload(id, script, fields);
        assert!(
            found == status && answer.contains(part),
            "{id} {script}: {found} {answer}"
        );
    }

    fn stop(mut self) {
        let stopped = self.tool(&["stop"]);
        assert_eq!(stopped.code, Some(0), "{}", stopped.stderr);
        assert!(self.daemon.wait().success(), "{}", self.daemon.log());
        assert!(self.scratches("built-").is_empty(), "builds are left");
        assert_eq!(self.packages(), 0, "packages are left");
        fs::remove_dir(self.program.temp_dir().join("nexus")).unwrap();
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
    server.check("POST", "/api/package/create", "", 400, "the body is no form");
    server.check(
        "POST",
        "/api/deploy/create",
        r#"{"suffix": "prog", "resourceType": "Repository"}"#,
        501,
        "fetches no repositories",
    );
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

const SUM: &str = r#"
z.writestr('metacall.json', '{"language_id": "py", "path": ".", "scripts": ["sum.py"]}')
z.writestr('sum.py', 'from lib.beside import twice\ndef add(a, b): return twice(a) + b\n')
z.writestr('lib/beside.py', 'def twice(x): return 2 * x\n')
"#;

const CREATE: &str = r#"{"suffix": "sum", "resourceType": "Package", "release": "1", "env": [], "plan": "Essential", "version": "v1"}"#;
const DELETE: &str = r#"{"prefix": "default", "suffix": "sum", "version": "v1"}"#;
const CALL: &str = "/default/sum/v1/call/add";

#[test]
fn packages_are_uploaded_deployed_replaced_and_deleted() {
    if !has(&["python3", "node"]) {
        return;
    }
    let server = Server::start();
    let check = |path: &str, body: &str, status: u16, part: &str| {
        server.check("POST", path, body, status, part);
    };
    check("/api/deploy/create", CREATE, 404, "there is no package 'sum'");
    let usual = [
        ("type", "application/x-zip-compressed"),
        ("jsons", "[]"),
        ("runners", "[\"python\"]"),
    ];
    server.check_upload("sum", SUM, &usual, 201, r#"{"id":"sum"}"#);
    check(CALL, "[1, 2]", 404, "default/sum@latest");
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&server.scratches("package-")[0]), 0o700);
    check(
        "/api/deploy/create",
        CREATE,
        200,
        r#"{"prefix":"default","suffix":"sum","version":"v1"}"#,
    );
    check(CALL, "[1, 2]", 200, "4");
    check("/default/sum/v1/await/add", r#"{"a": 1, "b": 3}"#, 200, "5");
    // Another of its name is deployed when that is asked for, and the first goes then.
    let other = "z.writestr('sum.py', 'def add(a, b): return a - b')\n\
                 z.writestr('metacall.json', '{\"language_id\": \"rb\", \"scripts\": [\"a.rb\"]}')\n\
                 z.writestr('index.js', 'exports.join = (a, b) => `${a}${b}`;')\n";
    let jsons = r#"[{"language_id": "py", "path": ".", "scripts": ["sum.py"]},
        {"language_id": "node", "path": ".", "scripts": ["index.js"]}]"#;
    server.check_upload("sum", other, &[("jsons", jsons)], 201, "sum");
    check(CALL, "[1, 2]", 200, "4");
    assert_eq!(server.packages(), 2);
    check("/api/deploy/create", CREATE, 200, "…");
    check(CALL, "[1, 2]", 200, "-1");
    check("/default/sum/v1/call/join", "[1, 2]", 200, r#""12""#);
    server.wait_for_packages(1);
    // One that can't be served leaves what is.
    server.check_upload("sum", "z.writestr('sum.py', 'import none')", &[], 201, "sum");
    check("/api/deploy/create", CREATE, 422, "can be a command");
    check(CALL, "[1, 2]", 200, "-1");
    check("/api/deploy/delete", DELETE, 200, "deleted");
    check(CALL, "[1, 2]", 404, "default/sum@latest");
    server.wait_for_packages(0);
    check("/api/deploy/create", CREATE, 404, "there is no package 'sum'");
    check("/api/deploy/delete", DELETE, 404, "default/sum@latest");
    // What was not deployed is deleted as well; what is deployed twice stays for the other.
    server.check_upload("sum", SUM, &[], 201, "sum");
    check("/api/deploy/delete", DELETE, 200, "deleted");
    server.wait_for_packages(0);
    server.check_upload("sum", SUM, &[], 201, "sum");
    check("/api/deploy/create", CREATE, 200, "…");
    let lab = r#"{"prefix": "lab", "suffix": "sum", "version": "v2"}"#;
    check("/api/deploy/create", lab, 200, "…");
    check("/api/deploy/delete", DELETE, 200, "deleted");
    check("/lab/sum/v2/call/add", "[1, 2]", 200, "4");
    assert_eq!(server.packages(), 1);
    server.stop();
}

#[test]
fn packages_that_are_none_are_refused() {
    if !has(&["python3", "node"]) {
        return;
    }
    let server = Server::start();
    let check = |script: &str, status: u16, part: &str| server.check_upload("x", script, &[], status, part);
    let link = "i = zipfile.ZipInfo('a'); i.external_attr = 0o120777 << 16; z.writestr(i, '/etc')";
    check(link, 400, "'a' is a symbolic link");
    check(
        "z.writestr('../a', '')",
        400,
        "has an empty part, '.' or '..' in its name",
    );
    check("z.writestr('/a', '')", 400, "has an absolute name");
    check("z.writestr('a', 'x', zipfile.ZIP_LZMA)", 400, "by method 14");
    check(
        "import warnings; warnings.simplefilter('ignore'); z.writestr('a', ''); z.writestr('a', '')",
        400,
        "has 'a' twice",
    );
    let damaged = "z.writestr('a', 'abcdef', zipfile.ZIP_STORED); b.seek(33); b.write(b'x'); b.seek(0, 2)";
    check(damaged, 400, "its checksum is another one");
    check(
        "z.writestr('a', 'x'); z.close(); b.truncate(40)",
        400,
        "no zip archive",
    );
    // A bomb: a megabyte of zeros becomes a kilobyte.
    let bomb = "for i in range(129): z.writestr(str(i), bytes(1 << 20))";
    check(bomb, 413, "bytes when it is unpacked");
    let large = "z.writestr('a', bytes(33 << 20), zipfile.ZIP_STORED)";
    check(large, 413, "expected at most 33554432");
    server.check_upload("../x", "", &[], 400, "the name of a deployment is '../x'");
    server.check_upload("x", "", &[("jsons", "{}")], 400, "no list of objects");
    server.check_upload("x", "", &[("id", "y")], 400, "the field 'id' twice");
    let (status, answer) = server.send_with("", "POST", "/api/package/create", "text/plain", b"");
    assert!(status == 401, "{status} {answer}");
    assert_eq!(server.packages(), 0);
    server.stop();
}

#[test]
fn what_a_killed_server_has_left_is_cleared_by_the_next() {
    if !has(&["python3", "node"]) {
        return;
    }
    let mut server = Server::start();
    server.check_upload("sum", SUM, &[], 201, "sum");
    server.check("POST", "/api/deploy/create", CREATE, 200, "…");
    server.daemon.signal("KILL");
    server.daemon.wait();
    assert_eq!(server.packages(), 1);
    fs::remove_file(server.program.dir.join("web")).unwrap();
    server.daemon = Server::spawn(&server.program);
    assert_eq!(server.packages(), 0);
    server.check("POST", CALL, "[1, 2]", 404, "default/sum@latest");
    server.check_upload("sum", SUM, &[], 201, "sum");
    server.check("POST", "/api/deploy/create", CREATE, 200, "…");
    server.check("POST", CALL, "[1, 2]", 200, "4");
    server.stop();
}
