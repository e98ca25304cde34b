//! What people see of flows: status, graphs, traces, the debugger, tests.

use crate::served::{Debugger, Place, until};

const NODES: &str = r#"
- {kind: listener, name: web, port: 0, links: {out: [{name: say}]}}
- {kind: snippet, name: say, language: cel, code: 'self.path + " {{ .KEY }}"', env: {KEY: "{{ .TOKEN }}"}}
- {kind: snippet, name: lost, language: cel, code: self, links: {out: [{name: nowhere}]}}
- {kind: snippet, name: wrong, language: cel, code: 'self +'}
- {kind: test, name: good, links: {"out[0]": [{name: one}]}}
- {kind: test, name: bad, links: {"out[0]": [{name: thrown}]}}
- {kind: snippet, name: one, language: json, code: '1'}
- {kind: throw, name: thrown, error: '"it is so"'}
"#;

fn write(place: &Place) {
    place.file("nodes.yaml", NODES);
    place.file("values.yaml", "{name: TOKEN, data: a-long-secret}\n");
}

const START: [&str; 5] = [
    "start",
    "--from-values",
    "values.yaml",
    "--from-specs",
    "nodes.yaml",
];

#[test]
fn status_and_graph() {
    let place = Place::new();
    write(&place);
    let served = place.serve(&START, "default/web");
    let status = place.tell(&["status"]);
    for part in [
        "default    lost    snippet   waiting(missing nowhere.in)",
        "default    say     snippet   active",
        "default    wrong   snippet   failed(code is no expression: ",
        "nodes/default/specs/wrong.yaml:",
    ] {
        let part = part.strip_prefix("nodes").unwrap_or(part);
        assert!(status.contains(part), "{part} is not in\n{status}");
    }
    let dot = place.tell(&["graph"]);
    assert!(
        dot.starts_with("digraph \"default\" {") && dot.contains("nowhere\\nmissing"),
        "{dot}"
    );
    let mermaid = place.tell(&["graph", "-o", "mermaid"]);
    assert!(
        mermaid.starts_with("flowchart LR\n") && mermaid.contains("say"),
        "{mermaid}"
    );
    let output = place.tool(&["status", "-n", "other"]);
    assert_eq!(output.status.code(), Some(6));
    served.stop();
}

#[test]
fn status_without_a_server() {
    let place = Place::new();
    place.file(
        "flows/default/specs/a.yaml",
        "{kind: nop, name: a, links: {out: [{name: b}]}}\n",
    );
    place.file("flows/default/specs/c.yaml", "{kind: nop, name: c\n");
    let status = place.tell(&["status"]);
    assert!(
        status.contains("a     nop   waiting(missing b.in)") && status.contains("c.yaml:"),
        "{status}"
    );
    assert!(place.tell(&["graph"]).contains("b\\nmissing"));
}

#[test]
fn traces_hide_secrets() {
    let place = Place::new();
    write(&place);
    let served = place.serve(&START, "default/web");
    let answer = served.ask("GET", "/there", "");
    answer.check(200, &["/there a-long-secret"]);
    let run = answer.header("x-run-id").unwrap();
    let trace = place.tell(&["trace", run]);
    assert!(
        trace.contains("default/web") && trace.contains("  say ") && trace.contains("/there <redacted>"),
        "{trace}"
    );
    assert!(!trace.contains("a-long-secret"), "{trace}");
    assert!(place.tell(&["trace"]).contains(run));
    let output = place.tool(&["trace", "77"]);
    assert_eq!(output.status.code(), Some(6));
    served.stop();
}

#[test]
fn the_debugger_holds_packets() {
    let place = Place::new();
    write(&place);
    let served = place.serve(&START, "default/web");
    let mut debugger = Debugger::start(&place, "default");
    debugger.say("help");
    debugger.hear("let the packet go on");
    debugger.say("b say");
    debugger.hear("1: say\n");
    debugger.say("breakpoints");
    debugger.hear("1: say\n");
    debugger.say("c");
    let mut client = served.connect();
    client.ask("GET", "/held", "", b"");
    debugger.hear(" at say.in: {");
    debugger.say("frames");
    debugger.hear(" at say.in: {");
    debugger.say("frame");
    debugger.hear("\"path\":\"/held\"");
    debugger.say("processes");
    debugger.hear("1 held");
    debugger.say("symbols");
    debugger.hear("waiting(missing nowhere.in)");
    debugger.say("b nosuch");
    debugger.hear("there is no node 'nosuch'");
    debugger.say("wrong");
    debugger.hear("the debugger has no command 'wrong'");
    // Another one has to wait its turn.
    let output = place.tool(&["debug"]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("somebody else debugs"));
    debugger.say("q");
    client.answer().check(200, &["/held"]);
    assert!(debugger.end().success());
    served.ask("GET", "/free", "").check(200, &["/free"]);
    served.stop();
}

#[test]
fn a_debugger_that_is_killed_holds_nothing() {
    let place = Place::new();
    write(&place);
    let served = place.serve(&START, "default/web");
    let mut debugger = Debugger::start(&place, "default");
    debugger.say("break");
    debugger.hear("1: every node");
    debugger.say("c");
    let mut client = served.connect();
    client.ask("GET", "/held", "", b"");
    debugger.hear(" at say.in: {");
    debugger.kill();
    client.answer().check(200, &["/held"]);
    served.stop();
}

#[test]
fn tests_of_flows() {
    let place = Place::new();
    write(&place);
    let words = [
        "test",
        "--from-values",
        "values.yaml",
        "--from-specs",
        "nodes.yaml",
    ];
    let output = place.tool(&words);
    let told = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(
        told.contains("PASS good (") && told.contains("FAIL bad (") && told.contains("it is so"),
        "{told}"
    );
    let output = place.tool(&[&words[..], &["^go+d$"]].concat());
    let told = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{told}");
    assert!(
        told.starts_with("PASS good (") && told.lines().count() == 1,
        "{told}"
    );
    assert_eq!(
        place.tool(&[&words[..], &["none"]].concat()).status.code(),
        Some(6)
    );
    for pattern in ["(", "a\"b\\"] {
        let output = place.tool(&[&words[..], &[pattern]].concat());
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{told}");
        assert!(
            told.contains(&format!("pattern '{pattern}' can't be read: ")) && !told.contains("self"),
            "{told}"
        );
    }
    place.assert_nothing_runs();
}

#[test]
fn a_port_that_is_taken_is_told_and_tried_again() {
    let place = Place::new();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let nodes = format!(
        "- {{kind: listener, name: web, port: 0, links: {{out: [{{name: say}}]}}}}\n\
         - {{kind: listener, name: other, port: {port}, links: {{out: [{{name: say}}]}}}}\n\
         - {{kind: snippet, name: say, language: json, code: '1'}}\n"
    );
    place.file("nodes.yaml", &nodes);
    let served = place.serve(
        &["start", "--store", "s", "--from-specs", "nodes.yaml"],
        "default/web",
    );
    let failed = format!("failed(can't listen on 127.0.0.1:{port}: address already in use)");
    until("the failure", || place.tell(&["status"]).contains(&failed));
    drop(taken);
    place.file(
        "s/default/specs/say.yaml",
        "{kind: snippet, name: say, language: json, code: '2'}\n",
    );
    until("it listens", || !place.tell(&["status"]).contains("failed("));
    let mut client = crate::http::Client::tcp(&format!("127.0.0.1:{port}"));
    client.ask("GET", "/", "", b"");
    client.answer().check(200, &["2"]);
    served.stop();
}
