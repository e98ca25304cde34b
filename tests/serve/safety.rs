//! What nobody may: reach it from elsewhere without a token, open its private socket, learn its secrets.

use crate::fixture::{SECRET, manifest, program};
use crate::harness::finish;
use crate::server::{Server, TOKEN};
use std::fs;
use std::os::unix::fs::PermissionsExt;

#[test]
fn an_open_address_needs_a_token() {
    let program = program(1);
    for address in ["0.0.0.0:0", "[::]:0", "192.0.2.1:0"] {
        let mut command = Server::command(&program);
        command.arg(program.path()).args(["--listen", address]);
        let ran = finish(command.spawn().unwrap());
        assert_ne!(ran.code, Some(0));
        assert!(
            ran.stderr.contains("token") && ran.stderr.contains("NEXUS_TOKEN"),
            "{}",
            ran.stderr
        );
    }
    let mut command = Server::command(&program);
    command
        .arg(program.path())
        .args(["--listen", "0.0.0.0:0"])
        .env("NEXUS_TOKEN", TOKEN);
    let server = Server::spawn(&program, &command);
    server.call("add", "[1, 2]").check(401, &["unauthorized"]);
    server.stop();
}

#[test]
fn the_private_socket_is_private() {
    let program = program(1);
    let runtime = program.dir.join("runtime");
    fs::create_dir(&runtime).unwrap();
    let mut command = program.command_of(std::path::Path::new(crate::harness::NEXUS), &["serve"]);
    command.args(["--listen", "127.0.0.1:0"]).arg(program.path());
    command
        .env("XDG_RUNTIME_DIR", &runtime)
        .env_remove("NEXUS_SERVER")
        .env_remove("NEXUS_TOKEN");
    let server = Server::spawn(&program, &command);
    let mode = |path: &str| fs::metadata(runtime.join(path)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("nexus"), mode("nexus/serve")), (0o700, 0o600));
    server.call("add", "[1, 2]").check(200, &["3"]);
    server.stop();
    assert!(!runtime.join("nexus/serve").exists());
}

#[test]
fn secrets_stay_where_they_are() {
    let program = program(1);
    let server = Server::start_with(&program, |command| {
        command.env("NEXUS_TOKEN", TOKEN).args(["--access-log", "json"]);
    });
    let right = format!("Authorization: Bearer {TOKEN}\r\n");
    let mut told = String::new();
    for target in [
        "/openapi.json",
        "/metrics",
        "/v1/programs",
        "/v1/programs/default/prog",
        "/",
        "/v1/admin/deployments",
        "/v1/admin/ps",
        "/v1/admin/deployments/default/prog/logs",
        "/v1/call/default/prog/fail?text=no",
        "/v1/call/default/prog/add?a=x",
    ] {
        let answer = server.ask("GET", target, &right, b"");
        told += &answer.text();
    }
    for words in [
        &["list", "--format", "json"] as &[&str],
        &["ps", "--format", "json"],
        &["logs", "prog"],
        &["inspect", "prog", "--format", "openapi"],
        &["inspect", "prog"],
    ] {
        let output = server.tool(words);
        told += &String::from_utf8_lossy(&output.stdout);
        told += &String::from_utf8_lossy(&output.stderr);
    }
    told += &server.log();
    assert!(told.contains("add"), "something was told");
    assert!(!told.contains(SECRET), "the environment of a pool is told");
    assert!(!told.contains(TOKEN), "the token is told");
    server.stop();
}

#[test]
fn over_http_nobody_operates_it_without_a_token() {
    let program = program(1);
    let server = Server::start(&program);
    for (method, target) in [
        ("GET", "/v1/admin/ps"),
        ("GET", "/v1/admin/deployments"),
        ("POST", "/v1/admin/deployments"),
        ("DELETE", "/v1/admin/deployments/default/prog"),
        ("POST", "/v1/admin/deployments/default/prog/reload"),
        ("GET", "/v1/admin/deployments/default/prog/logs"),
        ("POST", "/v1/admin/reload"),
        ("POST", "/v1/admin/kill"),
    ] {
        server.ask(method, target, "", b"").check(403, &["denied"]);
    }
    server.call("add", "[1, 2]").check(200, &["3"]);
    server.stop();
}

/// By the address alone a page of elsewhere could be led here under a name of its own.
#[test]
fn other_names_of_this_host_are_refused() {
    let program = program(1);
    let server = Server::start(&program);
    let mut client = server.connect();
    client.say(b"GET /v1/call/default/prog/add?a=1&b=2 HTTP/1.1\r\nHost: evil.example\r\n\r\n");
    client.answer().check(421, &["evil.example"]);
    server.stop();
}

#[test]
fn no_deployment_reaches_the_pools_of_another() {
    let program = program(2);
    let other = manifest("python3", 1).replace(r#""lang": "py""#, r#""lang": "py", "name": "vault""#);
    program.file("other.manifest", &other);
    let server = Server::start_with(&program, |command| {
        command.arg(program.dir.join("other"));
    });
    server
        .ask("GET", "/v1/call/default/other/add?a=1&b=2", "", b"")
        .check(200, &["3"]);
    // Its own, to show that this is how one is reached.
    server.call("reach", r#"["py"]"#).check(200, &["42"]);
    let refused = server.call("reach", r#"["vault"]"#);
    assert!(refused.status >= 500, "{}", refused.text());
    assert!(refused.text().contains("vault"), "{}", refused.text());
    server.stop();
}
