//! Calls over HTTP: the forms of arguments and results, and every status.

use crate::fixture::{has_told, manifest, open_gate, program};
use crate::harness::{Program, build_languages, has, until};
use crate::http::Client;
use crate::server::{Server, TOKEN};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

#[test]
fn arguments_and_results_have_every_form() {
    let program = program(1);
    let server = Server::start(&program);
    let add = "/v1/call/default/prog/add";
    let json = "Content-Type: application/json\r\n";
    let msgpack = "Content-Type: application/msgpack\r\nAccept: application/msgpack\r\n";
    type Row<'a> = (&'a str, &'a str, &'a str, &'a [u8], &'a [u8]);
    let rows: [Row; 9] = [
        ("POST", add, json, br#"{"a": 40, "b": 2}"#, b"42"),
        ("POST", add, json, b"[40, 2]", b"42"),
        ("GET", "/v1/call/default/prog/add?a=40&b=2", "", b"", b"42"),
        ("POST", add, msgpack, b"\x82\xa1a\x28\xa1b\x02", b"\x2a"),
        ("POST", add, msgpack, b"\x92\x28\x02", b"\x2a"),
        ("POST", "/v1/call/default/prog/rows", json, b"[3]", b"[0,1,2]"),
        (
            "GET",
            "/v1/call/default/prog/rows?n=3",
            "Accept: application/x-ndjson\r\n",
            b"",
            b"0\n1\n2",
        ),
        (
            "POST",
            "/v1/call/default/prog/echo",
            "Content-Type: application/json\r\nAccept: application/octet-stream\r\n",
            br#"["AP8K"]"#,
            b"\x00\xff\x0a",
        ),
        (
            "POST",
            "/v1/call/default/prog@latest/add",
            json,
            b"[40, 2]",
            b"42",
        ),
    ];
    let mut client = server.connect();
    for (method, target, headers, body, expected) in rows {
        client.ask(method, target, headers, body);
        let answer = client.answer();
        let is_text = !headers.contains("octet-stream");
        let line = answer.body.strip_suffix(b"\n").filter(|_| is_text);
        let body = line.unwrap_or(&answer.body);
        assert_eq!(
            (answer.status, body),
            (200, expected),
            "{method} {target}: {}",
            answer.text()
        );
    }
    server.stop();
}

#[test]
fn events_tell_the_progress_and_then_the_result() {
    let program = program(1);
    let server = Server::start(&program);
    let target = "/v1/call/default/prog/steps?n=3";
    let answer = server.ask("GET", target, "Accept: text/event-stream\r\n", b"");
    answer.check(
        200,
        &[
            "event: progress\n",
            "\"total\":3",
            "event: result\ndata: \"done\"\n",
        ],
    );
    assert_eq!(answer.header("content-type"), Some("text/event-stream"));
    let failed = server.ask(
        "GET",
        "/v1/call/default/prog/fail?text=no",
        "Accept: text/event-stream\r\n",
        b"",
    );
    failed.check(200, &["event: error\n", "\"raised\""]);
    server.stop();
}

#[test]
fn wrong_requests_have_their_statuses() {
    let program = program(1);
    let server = Server::start(&program);
    let json = "Content-Type: application/json\r\n";
    let add = "/v1/call/default/prog/add";
    let deep = "[".repeat(100_000);
    type Row<'a> = (&'a str, &'a str, &'a str, &'a [u8], u16, &'a [&'a str]);
    let rows: [Row; 17] = [
        ("POST", add, json, b"[1, \"x\"]", 400, &["bad_argument"]),
        ("POST", add, json, b"{\"a\": 1}", 400, &["bad_argument"]),
        (
            "POST",
            add,
            json,
            b"{\"a\": 1, \"b\": 2, \"c\": 3}",
            400,
            &["\\\"c\\\"", "a, b"],
        ),
        ("POST", add, json, b"{\"a\": ", 400, &["error"]),
        ("POST", add, json, deep.as_bytes(), 400, &["error"]),
        ("GET", "/v1/call/default/prog/add?a=1", "", b"", 400, &["error"]),
        (
            "POST",
            add,
            "X-Request-Timeout-Ms: soon\r\n",
            b"[1,2]",
            400,
            &["X-Request-Timeout-Ms"],
        ),
        ("POST", add, "X-Request-Id: \x01\r\n", b"[1,2]", 400, &[]),
        ("GET", "/v1/call/default/prog/ad?a=1", "", b"", 404, &["add"]),
        (
            "GET",
            "/v1/call/default/porg/add?a=1",
            "",
            b"",
            404,
            &["not_found", "prog"],
        ),
        ("GET", "/v1/call/other/prog/add?a=1", "", b"", 404, &["not_found"]),
        ("GET", "/healtz", "", b"", 404, &["/healthz"]),
        ("DELETE", add, "", b"", 405, &["GET, HEAD, POST"]),
        (
            "POST",
            add,
            "Content-Type: application/json\r\nAccept: image/png\r\n",
            b"[1,2]",
            406,
            &["application/json"],
        ),
        ("POST", add, "Content-Type: text/csv\r\n", b"1,2", 415, &["error"]),
        ("GET", "/v1/admin/deployments", "", b"", 403, &["denied", "token"]),
        ("GET", "/metrics/more", "", b"", 404, &["/metrics"]),
    ];
    for (method, target, headers, body, status, parts) in rows {
        let answer = server.ask(method, target, headers, body);
        assert_eq!(
            answer.status,
            status,
            "{method} {target} {headers}: {}",
            answer.text()
        );
        answer.check(status, parts);
    }
    // One that is too long is refused by its length alone.
    let mut client = server.connect();
    client.say(
        b"POST /v1/call/default/prog/add HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999\r\n\r\n",
    );
    client.answer().check(413, &["error"]);
    client.check_closed();
    server.call("add", "[1, 2]").check(200, &["3"]);
    server.stop();
}

#[test]
fn only_the_token_opens() {
    let program = program(1);
    let server = Server::guarded(&program);
    let target = "/v1/call/default/prog/add?a=1&b=2";
    let right = format!("Authorization: Bearer {TOKEN}\r\n");
    let none = server.ask("GET", target, "", b"");
    none.check(401, &["unauthorized"]);
    assert_eq!(none.header("www-authenticate"), Some("Bearer"));
    let wrong = server.ask("GET", target, "Authorization: Bearer a-long-random-worm\r\n", b"");
    wrong.check(401, &["unauthorized"]);
    assert!(!wrong.text().contains(TOKEN));
    server.ask("GET", target, &right, b"").check(200, &["3"]);
    server.ask("GET", "/healthz", "", b"").check(200, &[]);
    for closed in [
        "/metrics",
        "/openapi.json",
        "/v1/programs",
        "/v1/admin/ps",
        "/v1/admin/deployments",
    ] {
        server.ask("GET", closed, "", b"").check(401, &[]);
    }
    server
        .ask("GET", "/v1/admin/deployments", &right, b"")
        .check(200, &["default/prog"]);
    server.stop();
}

#[test]
fn a_deploy_that_fails_says_why() {
    let program = program(1);
    let server = Server::guarded(&program);
    let right = format!("Authorization: Bearer {TOKEN}\r\nContent-Type: application/json\r\n");
    let deploy = |name: &str, source: &str| {
        let source = program.dir.join(source);
        let body = format!(r#"{{"name": "{name}", "source": "{}"}}"#, source.display());
        server.ask("POST", "/v1/admin/deployments", &right, body.as_bytes())
    };
    program.file("broken.manifest", "{\"version\": 1, ");
    program.file("silent.manifest", &manifest("/no/such/interpreter", 1));
    deploy("broken", "broken").check(422, &["manifest"]);
    deploy("nothing", "nowhere").check(422, &["error"]);
    deploy("silent", "silent").check(422, &["spawn_failed"]);
    // The name is not locked by what failed.
    deploy("broken", "prog").check(204, &[]);
    server
        .ask("GET", "/v1/call/default/broken/add?a=1&b=2", &right, b"")
        .check(200, &["3"]);
    server.stop();
}

#[test]
fn what_is_too_late_or_given_up_is_cancelled_in_the_pool() {
    let program = program(3);
    let server = Server::start(&program);
    // It has to have begun by then.
    server.call("add", "[1, 2]").check(200, &["3"]);
    let late = server.ask(
        "GET",
        "/v1/call/default/prog/hang?name=late",
        "X-Request-Timeout-Ms: 1500\r\n",
        b"",
    );
    late.check(504, &["timeout"]);
    until("the function sees its cancel", || {
        has_told(&program, "late.cancelled")
    });
    let mut client = server.connect();
    client.ask(
        "GET",
        "/v1/call/default/prog/hang?name=gone",
        "X-Request-Id: abc-1\r\n",
        b"",
    );
    until("the call has begun", || has_told(&program, "gone.began"));
    // One that ends its side at once may only have no more to say.
    let begun = Instant::now();
    until("its request is long over", || {
        begun.elapsed() > Duration::from_millis(600)
    });
    drop(client);
    until("the function sees that its client is gone", || {
        has_told(&program, "gone.cancelled")
    });
    until("the log tells of it", || {
        server
            .log()
            .lines()
            .any(|line| line.contains("abc-1") && line.contains("499"))
    });
    server.call("add", "[1, 2]").check(200, &["3"]);
    server.stop();
}

#[test]
fn what_a_function_raises_comes_with_its_stack_through_the_languages() {
    if !has(&["python3", "c++"]) {
        return;
    }
    let dir = build_languages(&["py", "cpp"]);
    let program = Program::at(&dir.join("languages"));
    let server = Server::start(&program);
    let answer = server.ask(
        "POST",
        "/v1/call/default/languages/py-relay",
        "Content-Type: application/json\r\n",
        br#"["cpp", 5, 1]"#,
    );
    answer.check(500, &["\"trace\"", "pool.cpp\"", "\"pool.py\""]);
    server.stop();
}

#[test]
fn ids_and_methods_are_as_in_the_book() {
    let program = program(1);
    let server = Server::start_with(&program, |command| {
        program.file("serve.json", r#"{"cors_origins": ["https://page.example"]}"#);
        command.arg("--config").arg(program.dir.join("serve.json"));
    });
    let target = "/v1/call/default/prog/add?a=1&b=2";
    let answer = server.ask("GET", target, "X-Request-Id: one-1\r\n", b"");
    assert_eq!(answer.header("x-request-id"), Some("one-1"));
    let made = server.ask("GET", target, "", b"");
    assert!(made.header("x-request-id").is_some_and(|id| !id.is_empty()));
    let mut client = server.connect();
    client.ask("HEAD", "/healthz", "", b"");
    let head = client.answer_of_head();
    assert_eq!((head.status, head.header("content-length")), (200, Some("3")));
    // Were there a body, it would be taken for the next answer.
    client.ask("GET", target, "", b"");
    client.answer().check(200, &["3"]);
    client.ask("OPTIONS", target, "", b"");
    let options = client.answer();
    assert!(
        options
            .header("allow")
            .is_some_and(|allow| allow.contains("POST"))
    );
    let ours = "Origin: https://page.example\r\nAccess-Control-Request-Method: POST\r\n";
    let preflight = server.ask("OPTIONS", target, ours, b"");
    assert_eq!(
        preflight.header("access-control-allow-origin"),
        Some("https://page.example")
    );
    let theirs = "Origin: https://evil.example\r\n";
    server
        .ask("GET", target, theirs, b"")
        .check(403, &["evil.example"]);
    let refused = server.ask("OPTIONS", target, theirs, b"");
    assert_eq!(refused.header("access-control-allow-origin"), None);
    server.stop();
}

#[test]
fn too_many_calls_are_refused_and_the_rest_is_answered() {
    let program = program(1);
    // Nothing is loaded before the first call, so that calls wait for it.
    let server = Server::start(&program);
    let mut held = server.connect();
    held.ask("GET", "/v1/call/default/prog/gate?name=full", "", b"");
    until("the call has begun", || has_told(&program, "full.began"));
    let mut clients: Vec<_> = (0..1024).map(|_| server.connect()).collect();
    for client in &mut clients {
        client.ask("GET", "/v1/call/default/prog/add?a=1&b=2", "", b"");
    }
    // Of 1024 calls that may run, one was taken: of these, the last is refused.
    let refused = clients.pop().unwrap().answer();
    refused.check(429, &["overloaded"]);
    assert!(refused.header("retry-after").is_some());
    open_gate(&program, "full");
    held.answer().check(200, &["through full"]);
    for client in &mut clients {
        client.answer().check(200, &["3"]);
    }
    server.stop();
}

#[test]
fn a_socket_file_serves_as_well() {
    let program = program(1);
    let mut command = Server::command(&program);
    let web = program.dir.join("web");
    command
        .arg(program.path())
        .arg("--listen")
        .arg(format!("unix:{}", web.display()));
    let server = Server::spawn(&program, &command);
    server.call("add", "[1, 2]").check(200, &["3"]);
    assert!(web.exists());
    server.stop();
    assert!(!web.exists(), "its socket is left");
}

/// A program that takes its time to load, as a pool waits for a gate before it says hello.
#[test]
fn what_loads_is_not_ready_and_may_be_deleted() {
    let program = program(1);
    let late = program.dir.join("late.sh");
    let script = "#!/bin/sh\nwhile [ ! -e \"$(dirname \"$0\")/late.open\" ]; do sleep 0.01; done\nexec python3 \"$@\"\n";
    fs::write(&late, script).unwrap();
    fs::set_permissions(&late, fs::Permissions::from_mode(0o755)).unwrap();
    program.file("late.manifest", &manifest(late.to_str().unwrap(), 1));
    let mut command = Server::command(&program);
    command
        .arg(program.dir.join("late"))
        .args(["--listen", "127.0.0.1:0"]);
    command.env("NEXUS_TOKEN", TOKEN);
    let server = Server::spawn(&program, &command);
    let right = format!("Authorization: Bearer {TOKEN}\r\n");
    let add = "/v1/call/default/late/add?a=1&b=2";
    server.ask("GET", "/readyz", "", b"").check(503, &["unavailable"]);
    server.ask("GET", "/healthz", "", b"").check(200, &[]);
    let hurried = format!("{right}X-Request-Timeout-Ms: 100\r\n");
    server.ask("GET", add, &hurried, b"").check(504, &["timeout"]);
    let mut waiting = server.connect();
    waiting.ask("GET", add, &right, b"");
    let deploy = |client: &mut Client, source: &str| {
        let source = program.dir.join(source);
        let body = format!(r#"{{"name": "slow", "source": "{}"}}"#, source.display());
        client.ask("POST", "/v1/admin/deployments", &right, body.as_bytes());
    };
    let (mut first, mut second) = (server.connect(), server.connect());
    deploy(&mut first, "late");
    until("it is about to be loaded", || {
        let listed = server.ask("GET", "/v1/admin/deployments", &right, b"");
        listed.text().contains("default/slow")
    });
    let delete = "/v1/admin/deployments/default/slow";
    server.ask("DELETE", delete, &right, b"").check(204, &[]);
    first.answer().check(409, &["conflict"]);
    deploy(&mut second, "prog");
    second.answer().check(204, &[]);
    open_gate(&program, "late");
    waiting.answer().check(200, &["3"]);
    server.ask("GET", "/readyz", "", b"").check(200, &["ready"]);
    server.stop();
}

#[test]
fn assistants_call_over_http() {
    let program = program(1);
    let server = Server::start(&program);
    // What is not loaded has no tools yet.
    server.call("add", "[1, 2]").check(200, &["3"]);
    let mut headers =
        String::from("Content-Type: application/json\r\nAccept: application/json, text/event-stream\r\n");
    let hello = br#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-06-18","capabilities":{},"clientInfo":{"name":"t","version":"1"}}}"#;
    let greeted = server.ask("POST", "/mcp", &headers, hello);
    greeted.check(200, &["\"protocolVersion\":\"2025-06-18\""]);
    let session = greeted.header("mcp-session-id").expect("a session").to_string();
    headers += &format!("Mcp-Session-Id: {session}\r\n");
    let list = br#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#;
    let listed = server.ask("POST", "/mcp", &headers, list);
    listed.check(200, &["add", "inputSchema"]);
    let text = listed.text();
    let names = text
        .split("\"name\":\"")
        .skip(1)
        .filter_map(|rest| rest.split('"').next());
    let name = names
        .into_iter()
        .find(|name| name.ends_with("add"))
        .expect("a tool");
    let call = format!(
        r#"{{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{{"name":"{name}","arguments":{{"a":40,"b":2}}}}}}"#
    );
    server
        .ask("POST", "/mcp", &headers, call.as_bytes())
        .check(200, &["42"]);
    server.stop();
}
