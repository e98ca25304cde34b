//! What people see of flows: status, graphs, traces, the debugger, tests.

use crate::served::{Debugger, Place, Served, until};
use std::os::unix::process::ExitStatusExt;

const NODES: &str = r#"
- {kind: listener, name: web, port: 0, links: {out: [{name: say}]}}
- {kind: snippet, name: say, language: cel, code: 'self.path + " {{ .KEY }}"', env: {KEY: "{{ .TOKEN }}"}}
- {kind: snippet, name: lost, language: cel, code: self, links: {out: [{name: nowhere}]}}
- {kind: snippet, name: wrong, language: cel, code: 'self +'}
- {kind: test, name: good, links: {"out[0]": [{name: one}]}}
- {kind: test, name: bad, links: {"out[0]": [{name: thrown}]}}
- {kind: snippet, name: one, language: json, code: '1'}
- {kind: throw, name: thrown, error: '"it is so"'}
- {kind: block, name: many, specs: [{kind: nop}, {kind: nop, name: last}]}
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
        mermaid.starts_with("flowchart LR\n") && mermaid.contains("[\"last<br>nop\"]"),
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
        "{kind: nop, name: a, links: {out: [{name: b}, {name: d, port: in}, {name: e}]}}\n",
    );
    place.file("flows/default/specs/c.yaml", "{kind: nop, name: c\n");
    place.file("flows/default/specs/k.yaml", "{kind: snipet, name: k}\n");
    let status = place.tell(&["status"]);
    assert!(
        status.contains("waiting(missing b.in, d.in, e.in)") && status.contains("c.yaml:"),
        "{status}"
    );
    assert!(
        status.contains("failed(kind 'snipet' is unknown at ")
            && status.contains("k.yaml:1 (did you mean snippet?))"),
        "{status}"
    );
    assert!(place.tell(&["graph"]).contains("b\\nmissing"));
}

#[test]
fn the_log_tells_each_change_once() {
    let place = Place::new();
    let node = |name: &str, text: &str| {
        // Moved there, so that half of it is never read.
        let written = place.file("new", text);
        std::fs::rename(written, place.0.join(format!("s/default/specs/{name}.yaml"))).unwrap();
    };
    std::fs::create_dir_all(place.0.join("s/default/specs")).unwrap();
    place.file("s/default/values/v.yaml", "{name: TOKEN, data: a-long-secret}\n");
    node(
        "web",
        "{kind: listener, name: web, port: 0, links: {out: [{name: cube}]}}\n",
    );
    node("cube", "{kind: snippet, name: cube, language: json, code: '1'}\n");
    node("wait", "{kind: nop, name: wait, links: {out: [{name: gone}]}}\n");
    node(
        "sick",
        "{kind: snippet, name: sick, env: {T: '{{ .TOKEN }}'}, language: '{{ .T }}', code: x}\n",
    );
    let served = place.serve(&["start", "--store", "s"], "default/web");
    let hear = |part: &str| until(part, || served.log().contains(part));
    hear("default: 4 nodes, 2 active, 1 waiting, 1 failed\n");
    hear("default/wait waits: missing gone.in\n");
    hear("default/sick failed: ");
    node("sick", "{kind: snipet, name: sick}\n");
    hear("default/sick failed: kind 'snipet' is unknown at ");
    hear("sick.yaml:1 (did you mean snippet?)\n");
    node(
        "cube",
        "{kind: snippet, name: cube, language: txt,\n code: a-long-secret, x: a-long-secret}\n",
    );
    hear("default/cube keeps its old form: ");
    node("gone", "{kind: nop, name: gone}\n");
    hear("default/wait is active again\n");
    node("cube", "{kind: snippet, name: cube, language: json, code: '2'}\n");
    hear("default/cube is active again\n");
    let log = served.log();
    assert!(!log.contains("a-long-secret"), "{log}");
    for (part, times) in [
        ("nodes, ", 1),
        ("default/wait ", 2),
        ("default/sick ", 2),
        ("default/cube ", 2),
        ("default/gone ", 0),
        ("default/web ", 1),
    ] {
        assert_eq!(log.matches(part).count(), times, "{part}: {log}");
    }
    served.stop();
}

#[test]
fn apply_warns_of_nodes_that_will_not_be_active() {
    let place = Place::new();
    place.file(
        "nodes.yaml",
        "- {kind: snipet, name: a}\n- {kind: nop, name: b, links: {out: [{name: gone}]}}\n\
         - {kind: nop, name: c}\n- {kind: some/command, name: d}\n",
    );
    for more in [&["--dry-run"][..], &[]] {
        let output = place.tool(&[&["apply", "specs", "-f", "nodes.yaml"], more].concat());
        assert_eq!(output.status.code(), Some(0));
        let told = String::from_utf8_lossy(&output.stderr);
        let told: Vec<&str> = told
            .lines()
            .filter(|line| line.starts_with("warning: "))
            .collect();
        assert_eq!(told.len(), 2, "{told:?}");
        assert!(
            told[0].starts_with("warning: a failed: kind 'snipet' is unknown at "),
            "{told:?}"
        );
        assert_eq!(told[1], "warning: b waits: missing gone.in");
    }
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

/// A server, and a debugger that holds what the node `say` receives and sends.
fn debug(place: &Place) -> (Served<'_>, Debugger) {
    write(place);
    let served = place.serve(&START, "default/web");
    let mut debugger = Debugger::start(place, "default");
    debugger.say("b say");
    debugger.hear("1: say\n");
    (served, debugger)
}

#[test]
fn the_debugger_holds_packets() {
    let place = Place::new();
    let (served, mut debugger) = debug(&place);
    debugger.say("help");
    debugger.hear("let the packet go on");
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
    debugger.say("b say out[3]");
    debugger.hear("node 'say' has no port 'out[3]', it has in, out, error");
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
fn a_step_ends_with_its_run() {
    let place = Place::new();
    let (served, mut debugger) = debug(&place);
    debugger.say("c");
    let mut client = served.connect();
    client.ask("GET", "/held", "", b"");
    debugger.hear(" at say.in: {");
    debugger.say("s");
    debugger.hear(" of default/web, ");
    client.answer().check(200, &["/held"]);
    debugger.say("c");
    client.ask("GET", "/again", "", b"");
    debugger.hear("/again");
    debugger.say("q");
    client.answer().check(200, &["/again"]);
    assert!(debugger.end().success());
    served.stop();
}

#[test]
fn an_interrupt_ends_the_wait_and_then_the_debugger() {
    let place = Place::new();
    let (served, mut debugger) = debug(&place);
    debugger.say("c");
    debugger.interrupt(true);
    debugger.hear("no longer waits");
    debugger.say("breakpoints");
    debugger.hear("1: say\n");
    let mut client = served.connect();
    client.ask("GET", "/held", "", b"");
    debugger.say("c");
    debugger.hear(" at say.in: {");
    // A step of which nothing comes until the run is over.
    debugger.say("s");
    debugger.hear(" of default/web, ");
    client.answer().check(200, &["/held"]);
    debugger.say("s");
    debugger.interrupt(true);
    debugger.hear("no longer waits");
    client.ask("GET", "/again", "", b"");
    debugger.say("c");
    debugger.hear("/again");
    debugger.interrupt(false);
    client.answer().check(200, &["/again"]);
    assert_eq!(debugger.end().signal(), Some(2));
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
        told.contains("PASS good (")
            && told.contains("FAIL bad (")
            && told.contains("raised: \"it is so\" at node 'thrown' at "),
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
    let again = "{kind: nop, name: say2}\n";
    place.file("s/default/specs/say2.yaml", again);
    until("it is there", || place.tell(&["status"]).contains("say2"));
    until("it fails again", || place.tell(&["status"]).contains(&failed));
    drop(taken);
    place.file(
        "s/default/specs/say.yaml",
        "{kind: snippet, name: say, language: json, code: '2'}\n",
    );
    until("it listens", || !place.tell(&["status"]).contains("failed("));
    let mut client = crate::http::Client::tcp(&format!("127.0.0.1:{port}"));
    client.ask("GET", "/", "", b"");
    client.answer().check(200, &["2"]);
    assert_eq!(
        served.log().matches("default/other failed: ").count(),
        1,
        "{}",
        served.log()
    );
    served.stop();
}

#[test]
fn a_listener_that_moves_leaves_its_port_and_nobody_behind() {
    let place = Place::new();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    drop(taken);
    let nodes = format!(
        "- {{kind: listener, name: first, port: {port}, links: {{out: [{{name: say}}]}}}}\n\
         - {{kind: listener, name: second, port: {port}, links: {{out: [{{name: say}}]}}}}\n\
         - {{kind: snippet, name: say, language: json, code: '1'}}\n"
    );
    place.file("nodes.yaml", &nodes);
    let served = place.serve(
        &["start", "--store", "s", "--from-specs", "nodes.yaml"],
        "default/first",
    );
    until("the second fails", || {
        served.log().contains("default/second failed: can't listen")
    });
    let mut kept = served.connect();
    let mut begun = served.connect();
    kept.ask("GET", "/", "", b"");
    kept.answer().check(200, &["1"]);
    begun.say(b"GET / HTTP/1.1\r\n");
    place.file(
        "s/default/specs/first.yaml",
        "{kind: listener, name: first, port: 0, links: {out: [{name: say}]}}\n",
    );
    // Whoever has a connection with it learns that it is over.
    kept.check_closed();
    assert!(!begun.rest().contains("200 OK"));
    let address = served.find_address("default/second");
    assert_eq!(address, format!("127.0.0.1:{port}"));
    let mut client = crate::http::Client::tcp(&address);
    client.ask("GET", "/", "", b"");
    client.answer().check(200, &["1"]);
    served.stop();
}

#[test]
fn what_is_applied_together_is_served_together() {
    let place = Place::new();
    // A router that leads to the first of many nodes, which come and go with each apply, whatever the order of their files.
    let nodes = |turn: usize| {
        let mut text = format!(
            "- {{kind: listener, name: m-web, port: 0, links: {{out: [{{name: m-routes}}]}}}}\n\
             - {{kind: router, name: m-routes, routes: [{{path: /, port: 'out[0]'}}], links: {{'out[0]': [{{name: a{turn}-0}}]}}}}\n"
        );
        for number in 0..30 {
            let (this, next) = match number % 2 {
                0 => ("a", "z"),
                _ => ("z", "a"),
            };
            text += &format!(
                "- {{kind: snippet, name: {this}{turn}-{number}, language: json, code: '{turn}', links: {{out: [{{name: {next}{turn}-{}}}]}}}}\n",
                number + 1
            );
        }
        text + &format!("- {{kind: snippet, name: a{turn}-30, language: json, code: '{turn}'}}\n")
    };
    place.file("nodes.yaml", &nodes(0));
    let words = ["start", "--store", "s", "--from-specs", "nodes.yaml"];
    let served = place.serve(&words, "default/m-web");
    let mut client = served.connect();
    for turn in 1..=10 {
        let path = place.file("nodes.yaml", &nodes(turn));
        let apply = [
            "apply",
            "specs",
            "--store",
            "s",
            "--prune",
            "-f",
            path.to_str().unwrap(),
        ];
        place.tell(&apply);
        // The connection stays, and nobody is ever refused.
        until("the new nodes", || {
            client.ask("GET", "/", "", b"");
            let answer = client.answer();
            answer.check(200, &[]);
            answer.text() == turn.to_string()
        });
    }
    let log = served.log();
    assert_eq!(log.matches("listens on").count(), 1, "{log}");
    assert!(!log.contains("waits"), "{log}");
    served.stop();
}
