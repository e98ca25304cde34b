//! The private socket of a real server: any client of MessagePack-RPC, the tool's subcommands, and programs that are kept warm.

mod harness;

use harness::{Daemon, NEXUS, Program, Ran, finish, search_path, signal};
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

const SOURCE: &str = r#"
import os, sys, time

def double(x):
    print("doubling", file=sys.stderr, flush=True)
    return 2 * x

def hold():
    print("holding", file=sys.stderr, flush=True)
    time.sleep(600)
    return 0

def fail():
    raise ValueError("no luck")

def pid():
    return os.getpid()

def variable(name):
    return os.environ.get(name, "") + " in " + os.getcwd()
"#;

const COMMANDS: &[(&str, &[&str], &str)] = &[
    ("double", &["j"], "j"),
    ("hold", &[], "j"),
    ("fail", &[], "j"),
    ("pid", &[], "j"),
    ("variable", &["s"], "s"),
];

/// A client of nothing but Python's own library.
const CLIENT: &str = r#"
import socket, struct, sys

def pack(value):
    if value is None: return b"\xc0"
    if isinstance(value, int): return struct.pack(">Bq", 0xd3, value)
    if isinstance(value, str): return struct.pack(">BI", 0xdb, len(value.encode())) + value.encode()
    if isinstance(value, list): return struct.pack(">BI", 0xdd, len(value)) + b"".join(map(pack, value))
    return struct.pack(">BI", 0xdf, len(value)) + b"".join(pack(part) for pair in value.items() for part in pair)

def unpack(data, at=0):
    head = data[at]
    number = {0xcc: "B", 0xcd: "H", 0xce: "I", 0xcf: "Q", 0xd0: "b", 0xd1: "h", 0xd2: "i", 0xd3: "q", 0xcb: "d"}
    sized = {0xc4: "B", 0xc5: "H", 0xc6: "I", 0xd9: "B", 0xda: "H", 0xdb: "I", 0xdc: "H", 0xdd: "I", 0xde: "H"}
    if head < 0x80 or head >= 0xe0: return struct.unpack_from("b", data, at)[0], at + 1
    if head in (0xc0, 0xc2, 0xc3): return {0xc0: None, 0xc2: False, 0xc3: True}[head], at + 1
    if head in number: return struct.unpack_from(">" + number[head], data, at + 1)[0], at + 1 + struct.calcsize(number[head])
    if head in sized:
        size, at = struct.unpack_from(">" + sized[head], data, at + 1)[0], at + 1 + struct.calcsize(sized[head])
    else:
        size, at = head & (31 if head >= 0xa0 else 15), at + 1
    kind = "text" if 0xa0 <= head < 0xc0 or 0xd9 <= head <= 0xdb else "bytes" if 0xc4 <= head <= 0xc6 else \
        "map" if head < 0x90 or head == 0xde else "list"
    if kind in ("text", "bytes"):
        return (data[at:at + size].decode() if kind == "text" else data[at:at + size]), at + size
    values = []
    for _ in range(size * (2 if kind == "map" else 1)):
        value, at = unpack(data, at)
        values.append(value)
    return (dict(zip(values[::2], values[1::2])) if kind == "map" else values), at

server = socket.socket(socket.AF_UNIX)
server.connect(sys.argv[1])
stream = server.makefile("rb")

def send(*message):
    packed = pack(list(message))
    server.sendall(struct.pack(">I", len(packed)) + packed)

def receive(kinds=(1,)):
    while True:
        length = stream.read(4)
        if not length: return "the end"
        message = unpack(stream.read(struct.unpack(">I", length)[0]))[0]
        if message[0] in kinds: return message

def show(message):
    error = message[2] if message[0] == 1 and message[2] else None
    print(*(message[:2] + [error["kind"]] if error else message))
"#;

/// A server of a program of ours.
struct Server {
    program: Program,
    daemon: Daemon,
}

impl Server {
    fn start() -> Server {
        let program = Program::python(SOURCE, COMMANDS, r#""workers": 3"#);
        let (socket, web) = (
            socket(&program),
            format!("unix:{}", program.dir.join("web").display()),
        );
        let path = program.dir.join("prog");
        let words = ["--server", &socket, "--listen", &web, "--access-log", "none"];
        let mut serve = program.command_of(NEXUS.as_ref(), &["serve"]);
        serve.arg(path).args(words);
        let daemon = Daemon::spawn(&serve);
        daemon.hear("listening on");
        Server { program, daemon }
    }

    /// What a client with these lines prints.
    fn client(&self, lines: &str) -> String {
        let mut python = Command::new("python3");
        python.args(["-c", &format!("{CLIENT}{lines}"), &socket(&self.program)]);
        python
            .env("PATH", search_path())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let ran = finish(python.spawn().unwrap());
        assert_eq!(ran.code, Some(0), "{}", ran.stderr);
        ran.stdout
    }

    fn tool(&self, words: &[&str]) -> Ran {
        tool(&self.program, words)
    }

    /// Ends it by the tool.
    fn stop(mut self) {
        let stopped = self.tool(&["stop"]);
        assert_eq!(stopped.code, Some(0), "{}", stopped.stderr);
        assert!(self.daemon.wait().success(), "{}", self.daemon.log());
        assert!(!self.program.dir.join("s").exists(), "the socket is left");
    }
}

fn socket(program: &Program) -> String {
    program.dir.join("s").display().to_string()
}

fn tool(program: &Program, words: &[&str]) -> Ran {
    let mut command = Command::new(NEXUS);
    command.args(words).env("NEXUS_SERVER", socket(program));
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    finish(command.spawn().unwrap())
}

#[test]
fn any_client_calls_commands() {
    let server = Server::start();
    let printed = server.client(
        r#"
send(0, 1, "ping", []); show(receive())
send(0, 2, "command", ["double", 21]); show(receive())
send(0, 3, "command", ["default/prog@latest/double", 4]); show(receive())
send(0, 4, "call", [None, "double", 5]); show(receive())
send(0, 5, "request", [{"timeout_ms": 60000}, "call", "prog", "double", 6]); show(receive())
send(0, 6, "command", ["double", "x"]); show(receive())
send(0, 7, "command", ["fail"]); show(receive())
send(0, 8, "command", ["double"]); show(receive())
send(0, 9, "command", ["treble", 1]); show(receive())
send(0, 10, "call", ["other", "double", 1]); show(receive())
send(0, 11, "request", [{"timeout_ms": 50}, "command", "hold"]); show(receive())
"#,
    );
    let expected = "1 1 None None\n1 2 None 42\n1 3 None 8\n1 4 None 10\n1 5 None 12\n1 6 bad_argument\n1 7 raised\n\
                    1 8 bad_argument\n1 9 not_found\n1 10 not_found\n1 11 timeout\n";
    assert_eq!(printed, expected);
    server.stop();
}

#[test]
fn calls_run_side_by_side_and_are_given_up_alone() {
    let server = Server::start();
    let printed = server.client(
        r#"
send(0, 1, "command", ["hold"])
printed = b""
while printed != b"holding\n": printed += receive((2,))[2][1]
send(0, 2, "command", ["double", 21])
show(receive())
send(2, "cancel", [1])
show(receive())
"#,
    );
    assert_eq!(printed, "1 2 None 42\n1 1 cancelled\n");
    server.stop();
}

#[test]
fn a_client_that_breaks_the_protocol_is_told_and_left() {
    let server = Server::start();
    let printed =
        server.client("server.sendall(b'GET / HTTP/1.1\\r\\n\\r\\n'); show(receive()); print(receive())");
    assert_eq!(printed, "1 None protocol\nthe end\n");
    assert_eq!(
        server.client("send(0, 1, 'ping', []); show(receive())"),
        "1 1 None None\n"
    );
    server.stop();
}

#[test]
fn the_tool_operates_the_server() {
    let server = Server::start();
    let check = |words: &[&str], expected: &str| {
        let ran = server.tool(words);
        assert_eq!(
            (ran.code, ran.stdout.as_str()),
            (Some(0), expected),
            "{words:?}: {}",
            ran.stderr
        );
    };
    let list = ["list", "--format", "csv"];
    let header = "name,state,open_calls,waiting_calls,restarts,last_error,source";
    let path = server.program.dir.join("prog").display().to_string();
    // It waits until the program is loaded.
    check(&["call", "prog", "double", "4"], "8\n");
    check(
        &list,
        &format!("{header}\ndefault/prog@latest,ready,0,0,0,,{path}\n"),
    );
    check(&["call", "-", "--format", "pretty", "double", "4"], "8\n");
    check(
        &[
            "call",
            &format!("unix:{}", socket(&server.program)),
            "double",
            "4",
        ],
        "8\n",
    );
    let failed = server.tool(&["call", "prog", "fail"]);
    assert_eq!((failed.code, failed.stdout.as_str()), (Some(1), ""));
    assert!(failed.stderr.contains("no luck"), "{}", failed.stderr);
    let inspected = server.tool(&["inspect", "prog"]).stdout;
    assert!(inspected.contains("double"), "{inspected}");
    let help = server.tool(&["call", "prog", "double", "--help"]).stdout;
    assert!(help.contains("Usage:"), "{help}");
    check(
        &["deploy", &path, "--name", "lab/other@2", "--lazy"],
        "deployed lab/other@2\n",
    );
    check(&["call", "lab/other@2", "double", "5"], "10\n");
    check(&["delete", "lab/other@2"], "deleted lab/other@2\n");
    check(&["reload", "prog"], "reloaded prog\n");
    check(&["call", "prog", "double", "6"], "12\n");
    let logs = server.tool(&["logs", "prog"]).stdout;
    assert!(logs.contains("doubling"), "{logs}");
    let pid = server.tool(&["call", "prog", "pid"]).stdout;
    let listed = server.tool(&["ps", "--format", "csv"]).stdout;
    assert!(
        listed.contains(&format!("{},default/prog@latest py,", pid.trim())),
        "{listed}"
    );
    let killed = server.tool(&["kill", pid.trim()]);
    assert_eq!(killed.code, Some(0), "{}", killed.stderr);
    assert_ne!(server.tool(&["call", "prog", "pid"]).stdout, pid);
    let program = Program::python(SOURCE, COMMANDS, "");
    let nobody = tool(&program, &["list"]);
    assert_eq!(nobody.code, Some(6));
    assert!(
        nobody.stderr.contains("start one with nexus serve"),
        "{}",
        nobody.stderr
    );
    server.stop();
}

/// A program whose runs keep it warm, with a place of its own for sockets.
struct Kept {
    program: Program,
}

impl Kept {
    fn new() -> Kept {
        let program = Program::python(SOURCE, COMMANDS, "");
        std::fs::create_dir(program.dir.join("run")).unwrap();
        Kept { program }
    }

    fn command(&self, idle_s: &str, words: &[&str]) -> Command {
        let option = format!("--warm={idle_s}");
        let mut command = self.program.command(&[&[option.as_str()], words].concat());
        command.env("XDG_RUNTIME_DIR", self.program.dir.join("run"));
        command
    }

    fn run(&self, idle_s: &str, words: &[&str]) -> Ran {
        finish(self.command(idle_s, words).spawn().unwrap())
    }

    /// Runs it until two runs in a row have had the same worker: its process id.
    fn warm_up(&self, idle_s: &str) -> String {
        let mut before = String::new();
        for _ in 0..1000 {
            let ran = self.run(idle_s, &["pid"]);
            assert_eq!(ran.code, Some(0), "{}", ran.stderr);
            if ran.stdout == before {
                return before;
            }
            before = ran.stdout;
        }
        panic!("nothing is kept warm");
    }

    /// The servers that run for it.
    fn servers(&self) -> Vec<u32> {
        let dir = self.program.dir.display().to_string();
        let entries = std::fs::read_dir("/proc").unwrap();
        let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
        let is_server = |pid: &u32| {
            let words = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let words = String::from_utf8_lossy(&words);
            words.contains("--keep-warm") && words.contains(&dir)
        };
        pids.filter(is_server).collect()
    }

    /// Waits until its servers have ended, by themselves or by that signal, and left nothing.
    fn wait_for_end(&self, signal: Option<&str>) {
        const WAIT: &str = "
import os, select, signal, sys
for pid in map(int, sys.argv[2:]):
    try: end = os.pidfd_open(pid)
    except ProcessLookupError: continue
    if sys.argv[1]: signal.pidfd_send_signal(end, getattr(signal, sys.argv[1]))
    assert select.select([end], [], [], 60)[0], 'the server does not end'
";
        let mut python = Command::new("python3");
        python
            .args(["-c", WAIT, signal.unwrap_or("")])
            .env("PATH", search_path());
        python.args(self.servers().iter().map(u32::to_string));
        assert!(python.status().unwrap().success());
        if signal.is_none() {
            let left = std::fs::read_dir(self.program.dir.join("run/nexus"))
                .unwrap()
                .count();
            assert_eq!(left, 0, "sockets are left");
            self.program.assert_nothing_left();
        }
    }
}

#[test]
fn a_second_run_starts_nothing_and_all_ends_when_nobody_comes() {
    let kept = Kept::new();
    kept.warm_up("1");
    assert_eq!(kept.servers().len(), 1);
    for words in [
        &["double", "21"][..],
        &["fail"],
        &["variable", "HOME"],
        &["double", "x"],
    ] {
        let (warm, cold) = (kept.run("1", words), kept.program.run(words));
        let plain = |ran: Ran| {
            let is_same = |line: &&str| !line.contains("process ");
            let stderr: Vec<String> = ran.stderr.lines().filter(is_same).map(String::from).collect();
            (ran.code, ran.stdout, stderr)
        };
        assert_eq!(plain(warm), plain(cold), "{words:?}");
    }
    kept.wait_for_end(None);
}

#[test]
fn an_interrupt_ends_one_run_and_not_the_server() {
    let kept = Kept::new();
    let pid = kept.warm_up("5");
    let mut child = kept.command("5", &["hold"]).spawn().unwrap();
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    while line != "holding\n" {
        line.clear();
        assert!(stderr.read_line(&mut line).unwrap() > 0, "the function begins");
    }
    signal(child.id(), "INT");
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert_eq!(kept.servers().len(), 1);
    assert!(kept.run("5", &["double", "2"]).stdout == "4\n", "{pid}");
    kept.wait_for_end(Some("SIGTERM"));
}

#[test]
fn what_has_changed_is_not_kept() {
    let kept = Kept::new();
    let pid = kept.warm_up("5");
    let manifest = kept.program.dir.join("prog.manifest");
    let text = std::fs::read_to_string(&manifest).unwrap();
    std::fs::write(&manifest, format!("{text} ")).unwrap();
    assert_ne!(kept.warm_up("5"), pid);
    let mut elsewhere = kept.command("5", &["variable", "OTHER"]);
    let ran = finish(elsewhere.env("OTHER", "value").spawn().unwrap());
    assert!(ran.stdout.starts_with("\"value in "), "{}", ran.stdout);
    kept.wait_for_end(Some("SIGTERM"));
}

#[test]
fn a_server_that_was_killed_is_not_missed() {
    let kept = Kept::new();
    let pid = kept.warm_up("5");
    kept.wait_for_end(Some("SIGKILL"));
    let ran = kept.run("5", &["double", "2"]);
    assert_eq!(
        (ran.code, ran.stdout.as_str()),
        (Some(0), "4\n"),
        "{}",
        ran.stderr
    );
    assert_ne!(kept.warm_up("5"), pid);
    kept.wait_for_end(Some("SIGTERM"));
}

#[test]
fn runs_at_once_start_one_server() {
    let kept = Kept::new();
    let runs: Vec<Child> = (0..4)
        .map(|_| kept.command("5", &["pid"]).spawn().unwrap())
        .collect();
    for run in runs {
        assert_eq!(finish(run).code, Some(0));
    }
    kept.warm_up("5");
    assert_eq!(kept.servers().len(), 1);
    kept.wait_for_end(Some("SIGTERM"));
}
