//! Programs as servers of the Model Context Protocol, spoken to over their streams as an assistant's client does.

#[path = "../fuzz/src/mcp.rs"]
mod body;
mod harness;

use harness::{NEXUS, Program, Ran, finish};
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// Longest that a conversation may take: far above any, so that only a hang reaches it.
const TALK_MAX: Duration = Duration::from_secs(120);

/// A client of a server that runs.
struct Client {
    server: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    /// Ends the server if the client is kept for too long.
    _watch: mpsc::Sender<()>,
}

impl Client {
    fn start(mut command: Command) -> Client {
        let mut server = command.stdin(Stdio::piped()).spawn().unwrap();
        let input = server.stdin.take().unwrap();
        let output = BufReader::new(server.stdout.take().unwrap());
        let (watch, gone) = mpsc::channel::<()>();
        let pid = server.id().to_string();
        thread::spawn(move || {
            if gone.recv_timeout(TALK_MAX) == Err(mpsc::RecvTimeoutError::Timeout) {
                let _ = Command::new("kill").args(["-9", &pid]).status();
            }
        });
        Client {
            server,
            input,
            output,
            _watch: watch,
        }
    }

    /// The same after the words with which every conversation begins.
    fn greet(command: Command) -> Client {
        let mut client = Client::start(command);
        client.say(
            r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-06-18","capabilities":{}}}"#,
        );
        let answer = client.hear();
        assert!(answer.contains(r#""protocolVersion":"2025-06-18""#), "{answer}");
        client.say(r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#);
        client
    }

    fn say(&mut self, message: &str) {
        writeln!(self.input, "{message}").unwrap();
        self.input.flush().unwrap();
    }

    fn call(&mut self, id: &str, tool: &str, arguments: &str) {
        self.say(&format!(
            r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"name":"{tool}","arguments":{arguments},"_meta":{{"progressToken":{id}}}}}}}"#
        ));
    }

    fn hear(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        line.trim_end().to_string()
    }

    /// What comes next is the answer of that id, with these parts.
    fn check(&mut self, id: &str, parts: &[&str]) {
        let answer = self.hear();
        let head = format!(r#"{{"jsonrpc":"2.0","id":{id},"#);
        assert!(answer.starts_with(&head), "{id}: {answer}");
        for part in parts {
            assert!(answer.contains(part), "'{part}' is not in:\n{answer}");
        }
    }

    /// Ends its input: nothing more comes, and it ends.
    fn end(self) -> Ran {
        let Client {
            mut server,
            input,
            output,
            ..
        } = self;
        drop(input);
        server.stdout = Some(output.into_inner());
        finish(server)
    }
}

/// Functions that fail, tell how far they are, and never end.
const SOURCE: &str = r#"
import nexus_pool, os, time
def add(a, b):
    return a + b
def fail(text):
    raise ValueError(text)
def work(steps):
    print("this is for people")
    nexus_pool.log("warning", "begins")
    for step in range(steps):
        nexus_pool.progress(step + 1, steps, "step")
    return "done"
def hang(path):
    open(path, "w").close()
    nexus_pool.progress(1, 2, "hangs")
    while True:
        time.sleep(60)
"#;

fn program() -> Program {
    Program::python(
        SOURCE,
        &[
            ("add", &["j", "j"], "j"),
            ("fail", &["s"], "s"),
            ("work", &["j"], "s"),
            ("hang", &["s"], "z"),
        ],
        r#""workers": 2"#,
    )
}

#[test]
fn tools_are_called_by_name() {
    let program = program();
    let mut client = Client::greet(program.command(&["mcp"]));
    client.say(r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#);
    client.check(
        "1",
        &[
            r#"{"name":"add","#,
            r#""inputSchema":{"type":"object","#,
            r#""name":"hang""#,
        ],
    );
    client.call("2", "add", r#"{"x":1,"arg2":2}"#);
    client.check("2", &[r#""structuredContent":{"result":3}"#]);
    client.call("\"a\"", "fail", r#"{"x":"no"}"#);
    client.check(
        "\"a\"",
        &[
            "ValueError: no",
            "in command fail",
            "user.py:6",
            r#""isError":true"#,
        ],
    );
    client.call("3", "add", r#"{"x":"one","arg2":2}"#);
    client.check("3", &["expected an integer", r#""isError":true"#]);
    client.call("4", "sub", "{}");
    client.check("4", &[r#""code":-32602"#]);
    client.say("no message");
    client.check("null", &[r#""code":-32700"#]);
    let ran = client.end();
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), ""), "{}", ran.stderr);
}

#[test]
fn functions_tell_how_far_they_are() {
    let program = program();
    let mut client = Client::greet(program.command(&["mcp"]));
    client.call("7", "work", r#"{"x":2}"#);
    let heard: Vec<String> = (0..4).map(|_| client.hear()).collect();
    let progress = |done: u8| {
        format!(
            r#"{{"jsonrpc":"2.0","method":"notifications/progress","params":{{"progressToken":7,"progress":{done},"total":2,"message":"step"}}}}"#
        )
    };
    let log = r#"{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"warning","logger":"py","data":"begins"}}"#;
    let done = r#"{"jsonrpc":"2.0","id":7,"result":{"content":[{"type":"text","text":"done"}],"structuredContent":{"result":"done"}}}"#;
    assert_eq!(heard, [log, &progress(1), &progress(2), done]);
    let ran = client.end();
    assert_eq!(ran.code, Some(0));
    assert!(ran.stderr.contains("this is for people"), "{}", ran.stderr);
}

#[test]
fn calls_run_side_by_side_and_are_given_up() {
    let program = program();
    let path = program.dir.join("hangs");
    let mut client = Client::greet(program.command(&["mcp"]));
    client.call("1", "hang", &format!(r#"{{"x":"{}"}}"#, path.display()));
    assert!(client.hear().contains("notifications/progress"));
    client.call("2", "add", r#"{"x":1,"arg2":2}"#);
    client.check("2", &["3"]);
    client.say(r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}"#);
    // Its worker is free again, and it is never answered.
    for id in ["3", "4"] {
        client.call(id, "add", r#"{"x":1,"arg2":2}"#);
        client.check(id, &["3"]);
    }
    std::fs::remove_file(path).unwrap();
    assert_eq!(client.end().code, Some(0));
}

#[test]
fn the_end_of_the_input_is_the_end_of_everything() {
    let program = program();
    let path = program.dir.join("hangs");
    let mut client = Client::greet(program.command(&["mcp"]));
    client.call("1", "hang", &format!(r#"{{"x":"{}"}}"#, path.display()));
    assert!(client.hear().contains("notifications/progress"));
    let ran = client.end();
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), ""), "{}", ran.stderr);
    program.assert_nothing_left();
}

#[test]
fn a_signal_ends_it_cleanly() {
    let program = program();
    let path = program.dir.join("hangs");
    let mut client = Client::greet(program.command(&["mcp"]));
    client.call("1", "hang", &format!(r#"{{"x":"{}"}}"#, path.display()));
    assert!(client.hear().contains("notifications/progress"));
    harness::signal(client.server.id(), "TERM");
    // Its input is still open.
    assert_eq!(finish(client.server).code, Some(143));
    program.assert_nothing_left();
}

#[test]
fn a_reader_that_is_gone_ends_it() {
    let program = program();
    let Client {
        server,
        mut input,
        output,
        ..
    } = Client::greet(program.command(&["mcp"]));
    drop(output);
    writeln!(input, r#"{{"jsonrpc":"2.0","id":1,"method":"ping"}}"#).unwrap();
    assert_eq!(finish(server).code, Some(0));
}

#[test]
fn messages_come_from_files_and_go_to_files() {
    let program = program();
    let message = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;
    program.file("in", &format!("{message}\n\n{}", message.replace(":1,", ":2,")));
    let mut command = program.command(&["mcp"]);
    command
        .stdin(std::fs::File::open(program.dir.join("in")).unwrap())
        .stdout(std::fs::File::create(program.dir.join("out")).unwrap());
    assert_eq!(finish(command.spawn().unwrap()).code, Some(0));
    let answers = std::fs::read_to_string(program.dir.join("out")).unwrap();
    let answer = r#"{"jsonrpc":"2.0","id":1,"result":{}}"#;
    assert_eq!(answers, format!("{answer}\n{}\n", answer.replace(":1,", ":2,")));
}

#[test]
fn a_command_of_that_name_is_kept() {
    let commands: [(&str, &[&str], &str); 2] = [("mcp", &[], "s"), ("other", &[], "s")];
    let source = "def mcp():\n    return 'mine'\ndef other():\n    return 'other'\n";
    let program = Program::python(source, &commands, "");
    program.check(&["mcp"], "\"mine\"");
    let path = program.path();
    let mut client = Client::greet(program.command_of(NEXUS.as_ref(), &["mcp".as_ref(), path.as_os_str()]));
    client.call("1", "mcp", "{}");
    client.check("1", &["mine"]);
    assert_eq!(client.end().code, Some(0));
}

#[test]
fn a_built_program_serves_functions_of_several_languages() {
    if !harness::has(&["R", "c++", "node"]) {
        return;
    }
    let program = Program::built("iris");
    let mut client = Client::greet(program.command(&["mcp"]));
    client.say(r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#);
    client.check(
        "1",
        &[r#""name":"classify","title":"The species of a flower by its measures""#],
    );
    client.call("2", "correlate", r#"{"xs":[1,2,3],"ys":[2,4,7]}"#);
    client.check("2", &["0.9933992677987828"]);
    client.call("3", "means", "{}");
    client.check("3", &["setosa"]);
    client.call("4", "accuracy", r#"{"neighbours":0}"#);
    client.check(
        "4",
        &[
            "k is 0, expected 1 to 149",
            "flowers.cpp:",
            "iris.py:",
            "iris.loc:",
            r#""isError":true"#,
        ],
    );
    client.call("5", "describe", r#"{"measures":{"sepal_length":6.1}}"#);
    client.check("5", &["sepals of 6.1 x 3 cm"]);
    assert_eq!(client.end().code, Some(0));
}

/// Random conversations keep what the body of the fuzz target asserts, after they have come as far as calls.
#[test]
fn every_exchange_ends_once_whatever_is_said() {
    const CONVERSATIONS: u64 = 2000;
    for seed in 0..CONVERSATIONS {
        println!("seed {seed}");
        body::mcp(conversation(seed).as_bytes());
    }
}

/// Lines that are mostly in order: requests of few ids, batches, and what becomes of calls.
fn conversation(seed: u64) -> String {
    const LINES: u64 = 30;
    let mut state = seed;
    let mut below = |limit: u64| {
        // The splitmix64 generator.
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % limit
    };
    let revision = ["2024-11-05", "2025-03-26", "2025-03-26", "2031-01-01"][below(4) as usize];
    let mut script = format!(
        "{{\"jsonrpc\":\"2.0\",\"id\":0,\"method\":\"initialize\",\"params\":{{\"protocolVersion\":\"{revision}\"}}}}\n"
    );
    for _ in 0..LINES {
        let count = if below(4) == 0 { below(5) } else { 1 };
        let messages: Vec<String> = (0..count)
            .map(|_| {
                let (id, kind) = (below(6), below(8));
                let cancelled = || format!("\"method\":\"notifications/cancelled\",\"params\":{{\"requestId\":{id}}}");
                let call = || {
                    format!("\"id\":{id},\"method\":\"tools/call\",\"params\":{{\"name\":\"greet\",\"_meta\":{{\"progressToken\":{id}}}}}")
                };
                let rest = match kind {
                    0 => format!("\"id\":{id},\"method\":\"ping\""),
                    1 => format!("\"id\":\"{id}\",\"method\":\"tools/list\""),
                    2 => format!("\"id\":{id}"),
                    3 | 4 => cancelled(),
                    _ => call(),
                };
                format!("{{\"jsonrpc\":\"2.0\",{rest}}}")
            })
            .collect();
        let _ = match count {
            1 => writeln!(script, "{}", messages[0]),
            _ => writeln!(script, "[{}]", messages.join(",")),
        };
        let verb = ["!", "?", "~", "#", "!"][below(5) as usize];
        let _ = writeln!(script, "{verb}{}", below(6));
    }
    script
}
