//! Tables of events and what the table of worker processes does about them.

use super::mailbox::Framing;
use super::request::{Launch, Redirect, Request, Target, read};
use super::table::{Asker, Effect, HandleId, Owner, Table};
use crate::codec::msgpack::{Reader, Token, write};
use crate::core::call::CallId;
use crate::core::hub::Ended;
use crate::error::{Error, Kind};
use crate::limits::MAILBOX_MESSAGES_MAX;

/// What a script knows beside the table.
#[derive(Default)]
struct Stage {
    table: Table,
    /// Requests that were made.
    requests: u64,
    now_ms: u64,
    /// Processes in the order in which they were asked for.
    ids: Vec<HandleId>,
}

/// Plays a script: each line is an event and, behind `=>`, the effects that it has. Requests and processes are numbered from
/// 0 in the order in which they are made; an owner is the number behind `run`, `well` and `badly`.
fn check(script: &str) {
    let mut stage = Stage::default();
    for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (event, expected) = line.split_once("=>").unwrap_or((line, ""));
        let words: Vec<&str> = event.split_whitespace().collect();
        assert_eq!(stage.play(&words), expected.trim(), "{line}");
    }
}

fn owner(number: u64) -> Owner {
    Owner::Call(CallId::from_raw(number))
}

impl Stage {
    fn play(&mut self, words: &[&str]) -> String {
        let now = self.now_ms;
        let number = |at: usize| words[at].parse::<u64>().unwrap();
        let ms = |at: usize| words.get(at).map(|word| word.parse().unwrap());
        // An id that was never given stands for one that nobody has.
        let by_position = |position: usize| self.ids.get(position).copied();
        let nobody = HandleId::from_raw(99);
        let id = |at: usize| by_position(number(at) as usize).unwrap_or(nobody);
        let table = &mut self.table;
        let asker = Asker::Nexus(self.requests);
        let mut written = String::new();
        let mut request = None;
        match words[0] {
            "run" => {
                table.request(
                    asker,
                    Some(owner(number(1))),
                    Request::Run(launch(words[2], ms(3))),
                    now,
                );
                self.requests += 1;
            }
            "spawned" => table.handle_spawned(id(1), 100 + number(1) as u32),
            "failed" => table.handle_spawn_failed(id(1), Error::new(Kind::SpawnFailed, "no such program")),
            "send" => request = Some(Request::Send(id(1), message(words[2]))),
            "talk" => request = Some(Request::Talk(id(1), message(words[2]), ms(3))),
            "receive" => request = Some(Request::Receive(id(1), ms(2))),
            "select" => {
                let ids = words[1]
                    .split(',')
                    .map(|id| self.ids[id.parse::<usize>().unwrap()]);
                request = Some(Request::Select(ids.collect(), ms(2)));
            }
            "close" => request = Some(Request::Close(id(1))),
            "kill" => request = Some(Request::Kill(id(1), 9)),
            "wait" => request = Some(Request::Wait(id(1), ms(2))),
            "status" => request = Some(Request::Status(id(1))),
            "in" => table.handle_input(id(1), unescaped(words[2]).as_bytes(), now),
            "result" => table.handle_input(id(1), &[0, 0, 0, 3, 0x92, 0xc0, number(2) as u8], now),
            "raises" => table.handle_input(id(1), b"\0\0\0\x07\x92\xa4oops\xc0", now),
            "stderr" => table.handle_stderr(id(1), unescaped(words[2]).as_bytes()),
            "end" => table.handle_output_end(id(1), now),
            "exit" => table.handle_exited(id(1), Ended::Code(number(2) as i32), now),
            "dies" => table.handle_exited(id(1), Ended::Signal(number(2) as i32), now),
            "write" => {
                let bytes = table.output(id(1)).to_vec();
                let taken = bytes.len().min(ms(2).unwrap_or(u64::MAX) as usize);
                table.advance_output(id(1), taken);
                written = format!("{:?}", String::from_utf8_lossy(&bytes[..taken]));
            }
            "refused" => table.handle_input_refused(id(1)),
            "well" | "badly" => table.end_owner(owner(number(1)), words[0] == "well", now),
            "after" => {
                self.now_ms += number(1);
                table.handle_timeout(self.now_ms);
                assert!(table.next_deadline().is_none_or(|due| due > self.now_ms));
            }
            other => panic!("no event {other}"),
        }
        if let Some(request) = request {
            self.table.request(asker, Some(owner(50)), request, now);
            self.requests += 1;
        }
        while self.table.poll_output().is_some() {}
        let mut shown = vec![written];
        while let Some(effect) = self.table.poll_effect() {
            shown.push(self.shown(effect));
        }
        shown.retain(|text| !text.is_empty());
        shown.join("; ")
    }

    fn shown(&mut self, effect: Effect) -> String {
        if let Effect::Spawn(id, _) = effect {
            self.ids.push(id);
        }
        let position = |id: HandleId| self.ids.iter().position(|known| *known == id).unwrap();
        match effect {
            Effect::Spawn(id, _) => format!("spawn {}", position(id)),
            Effect::CloseInput(id) => format!("close {}", position(id)),
            Effect::Signal(id, number) => format!("signal {} {number}", position(id)),
            Effect::Release(id) => format!("release {}", position(id)),
            Effect::Joined(Owner::Call(call)) => format!("joined {}", call.raw()),
            Effect::Answer(Asker::Nexus(token), Ok(value)) => {
                format!("{token}: {}", value_text(&mut Reader::new(&value)))
            }
            Effect::Answer(Asker::Nexus(token), Err(error)) => format!("{token}: {}", error_text(&error)),
            other => panic!("{other:?}"),
        }
    }
}

fn launch(kind: &str, timeout_ms: Option<u64>) -> Box<Launch> {
    let mut launch = match kind {
        "command" => Launch::new(Target::Command("mean".into())),
        _ => Launch::new(Target::Program(vec!["prog".into()])),
    };
    match kind {
        "whole" => launch.framing = Framing::Whole,
        "null" => launch.stdin = Redirect::Null,
        "detached" => {
            launch.is_detached = true;
            (launch.stdin, launch.stdout) = (Redirect::Null, Redirect::Null);
        }
        "mute" => (launch.framing, launch.stdout) = (Framing::Whole, Redirect::Null),
        _ => {}
    }
    launch.timeout_ms = timeout_ms;
    Box::new(launch)
}

fn unescaped(text: &str) -> String {
    text.replace("\\n", "\n").replace("\\0", "\0")
}

fn message(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    match text.parse() {
        Ok(number) => {
            write::array(&mut out, 1);
            write::int(&mut out, number);
        }
        Err(_) => write::bin(&mut out, unescaped(text).as_bytes()),
    }
    out
}

fn error_text(error: &Error) -> String {
    let mut text = format!("{}: {}", error.kind.name(), error.message);
    for (name, number) in [("exit", error.exit_code), ("signal", error.signal)] {
        text.extend(number.map(|number| format!(", {name} {number}")));
    }
    if !error.stderr_tail.is_empty() {
        text.push_str(&format!(", tail {}", error.stderr_tail.join("|")));
    }
    text
}

fn value_text(reader: &mut Reader<'_>) -> String {
    let token = reader.next().unwrap();
    let mut values = |len: u32| {
        let values: Vec<String> = (0..len).map(|_| value_text(reader)).collect();
        values.join(" ")
    };
    match token {
        Token::Nil => "nil".into(),
        Token::Bool(value) => value.to_string(),
        Token::Int(value) => value.to_string(),
        Token::Str(text) => text.into(),
        Token::Bin(bytes) => format!("{:?}", String::from_utf8_lossy(bytes)),
        Token::Array(len) => format!("[{}]", values(len)),
        Token::Map(len) => format!("{{{}}}", values(2 * len)),
        other => panic!("{other:?}"),
    }
}

#[test]
fn messages_go_both_ways() {
    check(
        r#"
        run 0 lines     => spawn 0
        spawned 0       => 0: [0 100]
        send 0 hello    => 1: nil
        send 0 world    => 2: nil
        write 0 8       => "hello\nwo"
        write 0         => "rld\n"
        receive 0
        in 0 a\nb\nc   => 3: ["a"]
        receive 0       => 4: ["b"]
        receive 0
        in 0 d\n        => 5: ["cd"]
        close 0         => close 0; 6: nil
        close 0         => 7: nil
        send 0 more     => 8: io: nothing can be sent to the closed input of worker 'prog'
        status 0        => 9: {pid 100 alive true}
        in 0 last
        exit 0 0
        receive 0       => 10: ["last"]
        receive 0       => 11: []
        wait 0          => 12: {exit_code 0}
        status 0        => 13: {pid 100 exit_code 0 alive false}
        "#,
    );
}

#[test]
fn a_command_gets_arrays_and_gives_results_or_errors() {
    check(
        r#"
        run 0 command   => spawn 0
        spawned 0       => 0: [0 100]
        send 0 text     => 1: bad_argument: what is sent to command 'mean' is not the array of its arguments
        talk 0 7
        write 0         => "\0\0\0\u{2}�\u{7}"
        result 0 9      => 2: 9
        talk 0 8
        raises 0        => 3: raised: oops
        receive 0
        in 0 \0\0
        exit 0 0        => 4: protocol: worker 'mean' ended its output in the middle of a message
        "#,
    );
}

#[test]
fn ends_are_typed() {
    check(
        r#"
        run 0 lines     => spawn 0
        failed 0        => 0: spawn_failed: no such program
        receive 0       => 1: io: worker 0 is not known: the call that started it has ended, or it never was
        run 0 lines     => spawn 1
        spawned 1       => 2: [4294967296 101]
        send 1 x\ny     => 3: bad_argument: a message to worker 'prog' has several lines, expected one
        stderr 1 oh\nno
        receive 1
        wait 1
        select 1
        exit 1 3        => 4: terminated: worker 'prog' exited with code 3, exit 3, tail oh|no; 5: {exit_code 3}; 6: terminated: worker 'prog' exited with code 3, exit 3, tail oh|no
        send 1 x        => 7: terminated: worker 'prog' exited with code 3, exit 3, tail oh|no
        run 0 lines     => spawn 2
        spawned 2       => 8: [1 102]
        kill 2          => signal 2 9; 9: nil
        in 2 rest
        dies 2 9
        receive 2       => 10: ["rest"]
        receive 2       => 11: terminated: worker 'prog' was ended by SIGKILL, signal 9
        kill 2          => 12: nil
        "#,
    );
}

#[test]
fn an_end_without_a_reason_is_told_a_little_later() {
    check(
        r#"
        run 0 lines     => spawn 0
        spawned 0       => 0: [0 100]
        talk 0 x
        receive 0
        end 0
        after 199
        after 1         => 1: terminated: worker 'prog' has ended its output and owes an answer; 2: []
        refused 0       => close 0
        send 0 x        => 3: io: nothing can be sent to the closed input of worker 'prog'
        exit 0 1
        receive 0       => 4: terminated: worker 'prog' exited with code 1, exit 1
        "#,
    );
}

#[test]
fn whoever_waits_is_told_in_time() {
    check(
        r#"
        run 0 whole     => spawn 0
        run 0 null      => spawn 1
        spawned 0       => 0: [0 100]
        spawned 1       => 1: [1 101]
        send 1 x        => 2: io: nothing can be sent to the input, which is no pipe, of worker 'prog'
        receive 0 50
        wait 0 60
        select 1,0 70
        receive 1 0
        after 0         => 6: timeout: worker 'prog' did not send a message within 0 ms
        after 60        => 3: timeout: worker 'prog' did not send a message within 50 ms; 4: timeout: worker 'prog' did not end within 60 ms
        receive 9       => 7: io: worker 99 is not known: the call that started it has ended, or it never was
        in 0 a\nb
        exit 0 0        => 5: [1 ["a\nb"]]
        select 1,0 10   => 8: [1 []]
        in 1 x\n
        select 1,0 10   => 9: [0 ["x"]]
        select 1 10
        after 10        => 10: timeout: worker 'prog' did not send a message within 10 ms
        "#,
    );
}

#[test]
fn workers_end_with_the_call_that_started_them() {
    check(
        r#"
        run 7 lines     => spawn 0
        run 7 lines 9000 => spawn 1
        run 7 detached  => spawn 2
        run 8 lines     => spawn 3
        spawned 0       => 0: [0 100]
        spawned 1       => 1: [1 101]
        spawned 2       => 2: [2 102]
        spawned 3       => 3: [3 103]
        send 0 x        => 4: nil
        receive 0
        well 9          => joined 9
        well 7          => close 1; release 2
        write 0         => "x\n"; close 0
        exit 1 0
        after 1999
        after 1         => signal 0 15
        after 1999
        after 1         => signal 0 9
        after 1000      => signal 0 9
        send 0 y        => 6: io: the call that this worker belongs to has ended
        dies 0 9        => 5: io: the call that this worker belongs to has ended; joined 7
        badly 8         => signal 3 9
        badly 8
        dies 3 9        => joined 8
        "#,
    );
}

#[test]
fn a_detached_worker_whose_call_ends_first_is_started_and_let_go() {
    check(
        r#"
        run 7 detached  => spawn 0
        well 7
        spawned 0       => 0: [0 100]; release 0; joined 7
        run 8 detached  => spawn 1
        badly 8
        failed 1        => 1: spawn_failed: no such program; joined 8
        "#,
    );
}

#[test]
fn a_worker_without_an_output_has_no_messages() {
    check(
        r#"
        run 0 mute      => spawn 0
        spawned 0       => 0: [0 100]
        receive 0       => 1: []
        exit 0 0
        receive 0       => 2: []
        "#,
    );
}

#[test]
fn a_worker_lives_no_longer_than_it_may() {
    check(
        r#"
        run 0 lines 100 => spawn 0
        spawned 0       => 0: [0 100]
        receive 0
        after 100       => signal 0 15
        exit 0 0        => 1: timeout: worker 'prog' did not end within 100 ms and was ended, exit 0
        well 0          => joined 0
        "#,
    );
}

#[test]
fn a_full_mailbox_is_an_error() {
    let mut stage = Stage::default();
    for event in ["run 0 lines", "spawned 0"] {
        stage.play(&event.split(' ').collect::<Vec<_>>());
    }
    for _ in 0..MAILBOX_MESSAGES_MAX {
        assert!(stage.play(&["send", "0", "x"]).ends_with(": nil"));
    }
    let full = "io: mailbox of worker 'prog' is full (1024 messages or 16 MiB)";
    assert!(stage.play(&["send", "0", "x"]).ends_with(full));
    stage.play(&["write", "0", "2"]);
    assert!(stage.play(&["send", "0", "x"]).ends_with(": nil"));
}

#[test]
fn params_are_read_or_refused() {
    let check = |method: &str, params: &[u8], expected: &str| {
        let found = match read(method, params) {
            Ok((request, parent)) => format!("{request:?} {parent:?}"),
            Err(error) => error.message,
        };
        assert!(found.contains(expected), "{method}: {found}");
    };
    let run = |pairs: &[(&str, &str)]| {
        let mut out = vec![0x91, 0x80 | pairs.len() as u8];
        for (key, value) in pairs {
            write::string(&mut out, key);
            match *value {
                "true" => write::boolean(&mut out, true),
                "ls" => out.extend(b"\x91\xa2ls"),
                value => write::string(&mut out, value),
            }
        }
        out
    };
    check(
        "run",
        &run(&[("argv", "ls")]),
        r#"target: Program(["ls"]), timeout_ms: None, env: [], cwd: None, stdin: Pipe, stdout: Pipe, stderr: Show, is_detached: false, framing: Lines"#,
    );
    check(
        "run",
        &run(&[("command", "mean"), ("cwd", "/")]),
        r#"Command("mean"), timeout_ms: None, env: [], cwd: Some("/"), stdin: Pipe, stdout: Pipe, stderr: Show, is_detached: false, framing: Frames"#,
    );
    check(
        "run",
        &run(&[("argv", "ls"), ("detach", "true")]),
        "stdin: Null, stdout: Null, stderr: Null, is_detached: true",
    );
    check(
        "run",
        &run(&[("argv", "ls"), ("detach", "true"), ("stdout", "pipe")]),
        "a detached worker outlives nexus",
    );
    check(
        "run",
        &run(&[("argv", "ls"), ("framing", "whole")]),
        "framing: Whole",
    );
    check(
        "run",
        &run(&[("command", "f"), ("framing", "whole")]),
        "expected 'argv', a list of strings",
    );
    check("run", &run(&[]), "expected 'argv', a list of strings");
    check(
        "run",
        &run(&[("argv", "x")]),
        "expected a list of strings for 'argv'",
    );
    check(
        "run",
        &run(&[("stdin", "x")]),
        "expected 'pipe', 'inherit' or 'null' for 'stdin'",
    );
    check("run", &run(&[("arg", "x")]), "instead of 'arg'");
    check("run", b"\x92\x81\xa7command\xa1f\x05", "Some(5)");
    check("run", b"\x90", "expected what to run");
    check("send", b"\x92\x01\xa1x", "Send(1.0, [161, 120])");
    check(
        "send",
        b"\x91\x01",
        "params of 'send' don't fit, expected a message",
    );
    check("receive", b"\x91\x01", "Receive(1.0, None)");
    check("receive", b"\x92\x01\x05", "Receive(1.0, Some(5))");
    check("receive", b"\x93\x01\x05\x05", "expected 1 fewer");
    check("wait", b"\x92\x01\xff", "expected milliseconds or nil");
    check("kill", b"\x92\x01\xc0", "Kill(1.0, 9)");
    check("kill", b"\x92\x01\x20", "expected a signal from 1 to 31");
    check("close", b"\x91\xff", "expected the number of a worker");
    check("select", b"\x92\x92\x01\x02\xc0", "Select([1.0, 2.0], None)");
    check("select", b"\x92\x90\xc0", "expected a list of 1 to 1024 workers");
    check("status", b"\xc0", "expected an array");
}
