//! Conversations as tables: what comes, and what comes of it.

use super::*;
use crate::codec::schema::Types;
use crate::codec::transcode::{Style, json_to_msgpack, msgpack_to_json};
use crate::error::{Error, Kind, TraceEntry};
use crate::manifest::model::Manifest;
use crate::manifest::parse::parse;

/// A program of one pool; each command is its name, its return type and its parameters.
pub(super) fn program(name: &str, commands: &str) -> Manifest {
    let text = format!(
        "{{\"version\":1,\"name\":\"{name}\",\"desc\":[\"Numbers in short.\"],\"commands\":[{commands}],
        \"pools\":[{{\"lang\":\"py\",\"exec\":[\"py\"],\"socket\":\"s\"}}]}}"
    );
    parse(text.as_bytes(), "m").expect("the program is right")
}

/// A command of two parameters, the second with a default.
pub(super) fn command(name: &str, returns: &str, more: &str) -> String {
    format!(
        "{{\"name\":\"{name}\",\"type\":\"remote\",\"pool\":0,\"mid\":1,\"needed_pools\":[0],\"desc\":[\"{name} it.\"],
        \"arg_schemas\":[\"i4\",\"?s\"],\"return_schema\":\"{returns}\",\"return_type\":\"\",\"return_desc\":[]{more},
        \"args\":[{{\"kind\":\"pos\",\"metavar\":\"N\",\"type_desc\":\"Int\",\"desc\":[]}},
        {{\"kind\":\"opt\",\"long\":\"word\",\"metavar\":\"W\",\"type_desc\":\"?Str\",\"desc\":[]}}]}}"
    )
}

/// A JSON text of values separated by spaces, as msgpack of `ty`.
fn msgpack(manifest: &Manifest, command: usize, json: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let ty = manifest.commands[command].returns.ty;
    json_to_msgpack(&manifest.types, ty, json.as_bytes(), &mut out).expect("the value is of its type");
    out
}

fn json(types: &Types, ty: crate::ids::TypeId, bytes: &[u8]) -> String {
    let mut out = Vec::new();
    msgpack_to_json(types, ty, bytes, Style::Compact, &mut out).expect("the argument is of its type");
    String::from_utf8(out).expect("JSON is text")
}

const INITIALIZE: &str = r#"> {"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"REVISION","capabilities":{}}}
< {"jsonrpc":"2.0","id":0,"result":{"protocolVersion":"REVISION","capabilities":{"tools":{},"logging":{}},"serverInfo":{"name":"stats","version":"VERSION"},"instructions":"Numbers in short."}}
> {"jsonrpc":"2.0","method":"notifications/initialized"}
silence
"#;

/// What has been agreed on in that revision, and then the script: see [`play`].
fn check(revision: &str, script: &str) {
    play(&(INITIALIZE.replace("REVISION", revision) + script));
}

/// Plays a script. Lines that begin with `>` come from the client, `ok CALL VALUE`, `fail CALL MESSAGE`, `at CALL DONE TOTAL LABEL`
/// and `log CALL LEVEL TEXT` from its calls; `end` is the end of the client. The lines between are all that comes of it.
fn play(script: &str) {
    let commands = [
        command("mean", "f8", ""),
        command("person", "{name:s,age:?i4}", ""),
        command("greet", "s", ""),
        command("bytes", "y", ""),
        command("plot", "y", "").replace("\"return_type\":\"\"", "\"return_type\":\"image/png\""),
        command("song", "y", "").replace("\"return_type\":\"\"", "\"return_type\":\"audio/wav\""),
        command("file", "?y", "").replace("\"return_type\":\"\"", "\"return_type\":\"application/zip\""),
        command("none", "z", ""),
    ];
    let manifest = program("stats", &commands.join(","));
    let programs = [Program {
        name: "stats",
        manifest: &manifest,
    }];
    let tools = Tools::of(&programs);
    let offer = Offer {
        programs: &programs,
        tools: &tools,
    };
    let mut conversation = Conversation::default();
    let script = script.replace("VERSION", env!("CARGO_PKG_VERSION"));
    let mut found = String::new();
    let mut commands_of = Vec::new();
    for line in script.lines() {
        let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
        let mut words = rest.splitn(if verb == "log" { 3 } else { 4 }, ' ');
        let mut word = || words.next().unwrap_or_default();
        let number = |word: &str| word.parse().expect("a call has a number");
        match verb {
            ">" => drop(conversation.handle_message(rest.as_bytes(), offer)),
            "end" => conversation.handle_end(),
            "ok" => {
                let call = number(word());
                let value = &rest[rest.find(' ').map_or(0, |at| at + 1)..];
                let command = commands_of.get(call as usize).copied().unwrap_or_default();
                let value = msgpack(&manifest, command, value);
                conversation.handle_answer(call, &manifest, Ok(value));
            }
            "fail" => {
                let mut error = Error::new(Kind::Raised, rest)
                    .at("xs[2]")
                    .hint("do better")
                    .pool("py");
                error.trace.push(TraceEntry {
                    lang: "py".into(),
                    function: "f".into(),
                    file: "f.py".into(),
                    line: 3,
                });
                conversation.handle_answer(number(word()), &manifest, Err(error));
            }
            "at" => {
                let (call, done, total) = (number(word()), word().parse(), word().parse());
                let label = word();
                conversation.handle_progress(call, done.unwrap(), total.unwrap(), label);
            }
            "log" => conversation.handle_log(number(word()), "py", word(), word()),
            _ => continue,
        }
        found.push_str(line);
        found.push('\n');
        while let Some(output) = conversation.poll_output() {
            let text = |message: Vec<u8>| String::from_utf8(message).expect("a message is text");
            let told = match output {
                Output::Reply { message, .. } => format!("< {}", text(message)),
                Output::Note { message, .. } => format!(". {}", text(message)),
                Output::Silence { .. } => "silence".to_string(),
                Output::Cancel { call } => format!("cancel {call}"),
                Output::Call {
                    call, command, args, ..
                } => {
                    assert_eq!(call as usize, commands_of.len());
                    commands_of.push(command);
                    let command = &manifest.commands[command];
                    let types = command.args.iter().map(|arg| arg.ty());
                    let args: Vec<String> = types
                        .zip(&args)
                        .map(|(ty, arg)| json(&manifest.types, ty, arg))
                        .collect();
                    format!("call {call} {} {}", command.name, args.join(" "))
                }
            };
            found.push_str(&told);
            found.push('\n');
        }
    }
    assert_eq!(found, script);
}

/// A request of a tool.
fn call(id: &str, tool: &str, arguments: &str) -> String {
    format!(
        "> {{\"jsonrpc\":\"2.0\",\"id\":{id},\"method\":\"tools/call\",\"params\":{{\"name\":\"{tool}\",\"arguments\":{arguments}}}}}\n"
    )
}

fn reply(id: &str, result: &str) -> String {
    format!("< {{\"jsonrpc\":\"2.0\",\"id\":{id},\"result\":{result}}}\n")
}

fn refused(id: &str, code: i32, message: &str) -> String {
    let message = message.replace('"', "\\\"");
    format!("< {{\"jsonrpc\":\"2.0\",\"id\":{id},\"error\":{{\"code\":{code},\"message\":\"{message}\"}}}}\n")
}

#[test]
fn revisions_are_agreed_on() {
    for revision in ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"] {
        check(revision, "");
    }
    // Of an unknown one, the latest is offered.
    play(
        &INITIALIZE
            .replacen("REVISION", "2031-01-01", 1)
            .replace("REVISION", "2025-11-25"),
    );
    let again = r#"> {"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-06-18"}}
"#;
    check(
        "2025-06-18",
        &[
            again,
            &refused("1", -32600, "the conversation is initialized already"),
        ]
        .concat(),
    );
    play(
        &[
            "> {\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"initialize\"}\n",
            &refused(
                "1",
                -32602,
                "params has no protocolVersion, expected a date as \"2025-06-18\"",
            ),
        ]
        .concat(),
    );
}

#[test]
fn only_pings_come_before_initialize() {
    let wanted = "the conversation is not initialized, expected initialize first";
    play(
        &[
            "> {\"jsonrpc\":\"2.0\",\"id\":\"a\",\"method\":\"ping\"}\n",
            &reply("\"a\"", "{}"),
            "> {\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/list\"}\n",
            &refused("1", -32600, wanted),
            &call("2", "mean", "{\"n\":1}"),
            &refused("2", -32600, wanted),
            "> {\"jsonrpc\":\"2.0\",\"id\":3,\"method\":\"server/discover\"}\n",
            &refused("3", -32601, "there is no method \"server/discover\""),
        ]
        .concat(),
    );
}

#[test]
fn what_is_no_message_is_refused() {
    let row = |message: &str, code: i32, id: &str, why: &str| {
        check("2025-06-18", &format!("> {message}\n{}", refused(id, code, why)));
    };
    row(
        "",
        -32700,
        "null",
        "found the end of the text, expected a value at byte 0",
    );
    row(
        "{\"jsonrpc\":",
        -32700,
        "null",
        "found the end of the text, expected a value at byte 11",
    );
    row(
        "{} {}",
        -32700,
        "null",
        "found '{', expected the end of the text at byte 3",
    );
    let no_version = "the message has no \"jsonrpc\": \"2.0\"";
    row("{}", -32600, "null", no_version);
    row("{\"id\":7}", -32600, "7", no_version);
    row(
        "{\"jsonrpc\":\"1.0\",\"id\":7,\"method\":\"ping\"}",
        -32600,
        "7",
        no_version,
    );
    row("1", -32600, "null", "found a number, expected an object");
    let no_method = "the message has no method, expected a string";
    row("{\"jsonrpc\":\"2.0\",\"id\":7}", -32600, "7", no_method);
    row(
        "{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":8}",
        -32600,
        "7",
        no_method,
    );
    let no_id = "the id is neither a string nor a number, or too long";
    row(
        "{\"jsonrpc\":\"2.0\",\"id\":null,\"method\":\"ping\"}",
        -32600,
        "null",
        no_id,
    );
    row(
        "{\"jsonrpc\":\"2.0\",\"id\":true,\"method\":\"ping\"}",
        -32600,
        "null",
        no_id,
    );
    row(
        "{\"jsonrpc\":\"2.0\",\"id\":1,\"id\":1,\"method\":\"ping\"}",
        -32600,
        "1",
        "key \"id\" stands twice in one object",
    );
    row(
        "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\",\"params\":[]}",
        -32602,
        "1",
        "params is no object, expected one",
    );
    row(
        "[]",
        -32600,
        "null",
        "revision 2025-06-18 has no batches, expected one message",
    );
}

#[test]
fn what_wants_no_answer_gets_none() {
    for message in [
        r#"{"jsonrpc":"2.0","method":"notifications/strange","params":{"a":1}}"#,
        r#"{"jsonrpc":"2.0","method":"tools/call","params":{"name":"mean","arguments":{"n":1}}}"#,
        r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":99}}"#,
        r#"{"jsonrpc":"2.0","method":"notifications/cancelled"}"#,
        r#"{"jsonrpc":"2.0","id":1,"result":{}}"#,
        r#"{"jsonrpc":"2.0","id":1,"error":{"code":1,"message":""}}"#,
    ] {
        check("2025-06-18", &format!("> {message}\nsilence\n"));
    }
}

#[test]
fn ids_come_back_as_they_were() {
    for id in ["1", "1.50", "-0", "1e3", "\"\"", "\"a\\u0062\\/\"", "\"é\""] {
        let ping = format!("> {{\"jsonrpc\":\"2.0\",\"id\":{id},\"method\":\"ping\"}}\n");
        check("2025-06-18", &[ping, reply(id, "{}")].concat());
    }
}

#[test]
fn results_have_the_form_of_their_type() {
    let row = |tool: &str, value: &str, content: &str, structured: &str| {
        let script = |structured: &str| {
            [
                call("1", tool, "{\"n\":3}"),
                format!("call 0 {tool} 3 null\nok 0 {value}\n"),
                reply("1", &format!("{{\"content\":[{content}]{structured}}}")),
            ]
            .concat()
        };
        check("2025-06-18", &script(structured));
        check("2025-03-26", &script(""));
        check("2024-11-05", &script(""));
    };
    let text = |text: &str| format!("{{\"type\":\"text\",\"text\":\"{text}\"}}");
    row(
        "mean",
        "1.5",
        &text("1.5"),
        ",\"structuredContent\":{\"result\":1.5}",
    );
    row(
        "person",
        "{\"name\":\"a\",\"age\":null}",
        &text("{\\\"name\\\":\\\"a\\\",\\\"age\\\":null}"),
        ",\"structuredContent\":{\"name\":\"a\",\"age\":null}",
    );
    row(
        "greet",
        "\"a\\n\"",
        &text("a\\n"),
        ",\"structuredContent\":{\"result\":\"a\\n\"}",
    );
    row("none", "null", &text("null"), "");
    row("bytes", "\"AAEC\"", &text("AAEC"), "");
    row(
        "plot",
        "\"AAEC\"",
        "{\"type\":\"image\",\"mimeType\":\"image/png\",\"data\":\"AAEC\"}",
        "",
    );
    row(
        "song",
        "\"AAEC\"",
        "{\"type\":\"audio\",\"mimeType\":\"audio/wav\",\"data\":\"AAEC\"}",
        "",
    );
    row(
        "file",
        "\"AAEC\"",
        "{\"type\":\"resource\",\"resource\":{\"uri\":\"result:\",\"mimeType\":\"application/zip\",\"blob\":\"AAEC\"}}",
        "",
    );
    row("file", "null", &text("null"), "");
}

#[test]
fn calls_that_go_wrong_are_told_to_the_assistant() {
    check(
        "2025-06-18",
        &[
            &call("1", "mean", "{\"n\":3,\"word\":\"x\"}"),
            "call 0 mean 3 \"x\"\nfail 0 n is bad\n",
            &reply(
                "1",
                r#"{"content":[{"type":"text","text":"0 n is bad\nat xs[2]\nin pool py\nin command mean\nstack, innermost first:\n  py  f  f.py:3\nhint: do better"}],"isError":true}"#,
            ),
            &call("2", "meen", "{}"),
            &refused("2", -32602, "there is no tool \"meen\"; did you mean mean?"),
            &call("3", "mean", "[]"),
            &refused("3", -32602, "arguments is no object, expected one"),
            "> {\"jsonrpc\":\"2.0\",\"id\":4,\"method\":\"tools/call\",\"params\":{}}\n",
            &refused("4", -32602, "params has no name of a tool, expected a string"),
            // What nobody waits for is no answer of anybody.
            "ok 0 1.5\nok 77 1.5\n",
        ]
        .concat(),
    );
}

#[test]
fn two_requests_of_one_id_are_one_too_many() {
    check(
        "2025-06-18",
        &[
            &call("\"ab\"", "mean", "{\"n\":3}"),
            "call 0 mean 3 null\n",
            &call("\"a\\u0062\"", "mean", "{\"n\":4}"),
            &refused("\"a\\u0062\"", -32600, "a request of the same id is under way"),
            "ok 0 1\n",
            &reply(
                "\"ab\"",
                "{\"content\":[{\"type\":\"text\",\"text\":\"1\"}],\"structuredContent\":{\"result\":1}}",
            ),
            &call("\"ab\"", "mean", "{\"n\":3}"),
            "call 1 mean 3 null\n",
        ]
        .concat(),
    );
}

#[test]
fn a_call_that_is_given_up_is_never_answered() {
    check(
        "2025-06-18",
        &[
            &call("1", "mean", "{\"n\":3}"),
            "call 0 mean 3 null\n",
            &call("\"1\"", "mean", "{\"n\":4}"),
            "call 1 mean 4 null\n",
            "> {\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\",\"params\":{\"requestId\":1,\"reason\":\"late\"}}\n",
            "cancel 0\nsilence\nsilence\n",
            "ok 0 1\n",
            "end\ncancel 1\nok 1 1\n",
        ]
        .concat(),
    );
}

#[test]
fn progress_and_log_lines_go_to_who_wants_them() {
    let progress = |token: &str, rest: &str| {
        format!(
            ". {{\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\",\"params\":{{\"progressToken\":{token},\"progress\":{rest}}}}}\n"
        )
    };
    let log = |level: &str| {
        format!(
            ". {{\"jsonrpc\":\"2.0\",\"method\":\"notifications/message\",\"params\":{{\"level\":\"{level}\",\"logger\":\"py\",\"data\":\"so so\"}}}}\n"
        )
    };
    let with_token = "> {\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\",\"params\":{\"name\":\"mean\",\"arguments\":{\"n\":3},\"_meta\":{\"progressToken\":\"t\"}}}\n";
    let script = |message: &str| {
        [
            with_token,
            "call 0 mean 3 null\nat 0 1 4 part one\n",
            &progress("\"t\"", &format!("1,\"total\":4{message}")),
            // It may only grow, and be a number.
            "at 0 1 4 x\nat 0 0.5 4 x\nat 0 NaN 4 x\nat 0 1.5 0 \n",
            &progress("\"t\"", "1.5"),
            &call("2", "mean", "{\"n\":3}"),
            "call 1 mean 3 null\nat 1 1 4 x\nlog 1 warn so so\n",
            &log("warning"),
            "log 1 debug so so\nlog 1 strange so so\n",
            &log("info"),
            "> {\"jsonrpc\":\"2.0\",\"id\":3,\"method\":\"logging/setLevel\",\"params\":{\"level\":\"error\"}}\n",
            &reply("3", "{}"),
            "log 1 warning so so\nlog 1 fatal so so\n",
            &log("critical"),
            "> {\"jsonrpc\":\"2.0\",\"id\":4,\"method\":\"logging/setLevel\",\"params\":{\"level\":\"loud\"}}\n",
            &refused("4", -32602, "the level is unknown, expected one of debug, info, notice, warning, error, critical, alert, emergency"),
            "ok 0 1\n",
            &reply("1", "{\"content\":[{\"type\":\"text\",\"text\":\"1\"}]}"),
            "at 0 2 4 x\nlog 0 error x\n",
        ]
        .concat()
    };
    check("2025-03-26", &script(",\"message\":\"part one\""));
    check("2024-11-05", &script(""));
}

#[test]
fn a_batch_is_answered_as_one() {
    let ping = r#"{"jsonrpc":"2.0","id":5,"method":"ping"}"#;
    let note = r#"{"jsonrpc":"2.0","method":"notifications/x"}"#;
    let mean = |id: u8| {
        format!(
            "{{\"jsonrpc\":\"2.0\",\"id\":{id},\"method\":\"tools/call\",\"params\":{{\"name\":\"mean\",\"arguments\":{{\"n\":3}}}}}}"
        )
    };
    let cancel = |id: u8| {
        format!(
            "{{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\",\"params\":{{\"requestId\":{id}}}}}"
        )
    };
    let pong = r#"{"jsonrpc":"2.0","id":5,"result":{}}"#;
    let one = |id: u8| {
        format!(
            "{{\"jsonrpc\":\"2.0\",\"id\":{id},\"result\":{{\"content\":[{{\"type\":\"text\",\"text\":\"1\"}}]}}}}"
        )
    };
    let no_version = r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"found a number, expected an object"}}"#;
    check(
        "2025-03-26",
        &[
            format!("> [{ping},{note},3]\n< [{pong},{no_version}]\n").as_str(),
            &format!("> [{note}]\nsilence\n"),
            &format!("> [{},{},{ping}]\n", mean(1), mean(2)),
            "call 0 mean 3 null\ncall 1 mean 3 null\nok 1 1\n",
            &format!("ok 0 1\n< [{pong},{},{}]\n", one(2), one(1)),
            &format!(
                "> [{},{}]\ncall 2 mean 3 null\ncancel 2\nsilence\n",
                mean(1),
                cancel(1)
            ),
            &format!(
                "> [{},{}]\ncall 3 mean 3 null\ncall 4 mean 3 null\n",
                mean(1),
                mean(2)
            ),
            &format!("> {}\ncancel 3\nsilence\nok 4 1\n< [{}]\n", cancel(1), one(2)),
            &format!("> []\n{}", refused("null", -32600, "the batch is empty")),
        ]
        .concat(),
    );
    play(&format!(
        "> [{ping}]\n{}",
        refused(
            "null",
            -32600,
            "found a batch, expected initialize alone as the first message"
        )
    ));
}

/// The names of the tools of programs, each a name and its commands.
fn check_names(programs: &[(&str, &[String])], expected: &[&str]) {
    let manifests: Vec<Manifest> = programs
        .iter()
        .map(|(name, commands)| program(name, &commands.join(",")))
        .collect();
    let programs: Vec<Program> = programs
        .iter()
        .zip(&manifests)
        .map(|((name, _), manifest)| Program { name, manifest })
        .collect();
    let tools = Tools::of(&programs);
    let names: Vec<&str> = tools.list().iter().map(|tool| tool.name.as_str()).collect();
    assert_eq!(names, expected);
    for name in names {
        assert_eq!(tools.find(name).map(|tool| tool.name.as_str()), Ok(name));
        assert!((1..=64).contains(&name.len()));
    }
}

#[test]
fn names_are_those_that_clients_take() {
    let plain = |name: &str| command(name, "f8", "");
    check_names(
        &[(
            "a",
            &[
                plain("mean"),
                command("mean", "f8", ",\"group\":\"math\""),
                plain("math_mean"),
                plain("größe 1"),
                plain("hidden").replace("\"desc\"", "\"internal\":true,\"desc\""),
                plain("apply").replace("\"i4\"", "\"\\\\(i4)i4\""),
            ],
        )],
        &["mean", "math_mean", "math_mean_2", "gr__e_1"],
    );
    let long = "x".repeat(80);
    let other = "x".repeat(79) + "y";
    check_names(
        &[("a", &[plain(&long), plain(&other)])],
        &[&"x".repeat(64), &("x".repeat(62) + "_2")],
    );
    check_names(
        &[
            ("a", &[plain("mean"), plain("one")]),
            ("ns/b", &[plain("mean"), plain("two")]),
        ],
        &["a_mean", "one", "ns_b_mean", "two"],
    );
}

#[test]
fn tools_are_listed_in_pages() {
    let commands: Vec<String> = (0..150)
        .map(|number| command(&format!("c{number}"), "f8", ""))
        .collect();
    let manifest = program("many", &commands.join(","));
    let programs = [Program {
        name: "many",
        manifest: &manifest,
    }];
    let tools = Tools::of(&programs);
    let offer = Offer {
        programs: &programs,
        tools: &tools,
    };
    let page = |revision, cursor| {
        let mut out = Vec::new();
        let is_found = offer.write_page(revision, cursor, &mut out);
        is_found.then(|| String::from_utf8(out).expect("a page is text"))
    };
    let first = page(Revision::V2025_06_18, None).expect("there is a first page");
    assert!(first.starts_with(r#"{"tools":[{"name":"c0","title":"c0 it","description":"c0 it.","inputSchema":{"type":"object","properties":{"n":{"#), "{first}");
    assert!(first.ends_with(r#"],"nextCursor":"c99"}"#), "{first}");
    assert!(
        first.contains(r#""outputSchema":{"type":"object","properties":{"result":{"#),
        "{first}"
    );
    let last = page(Revision::V2024_11_05, Some("c99")).expect("there is a second page");
    assert!(
        last.starts_with(r#"{"tools":[{"name":"c100","description":"c100 it.","inputSchema""#),
        "{last}"
    );
    assert!(last.ends_with("}]}") && !last.contains("outputSchema"), "{last}");
    assert_eq!(page(Revision::LATEST, Some("c150")), None);
}
