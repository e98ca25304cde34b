//! What nodes ask of the world: other servers, files, programs; and how HTTP is spoken at a listener.

use crate::served::{Place, until};

/// A listener and a router behind it, up to its routes.
const ROUTED: &str = "
- {kind: listener, name: web, port: 0, links: {out: [{name: routes}]}}
- kind: router
  name: routes
  routes:
";

#[test]
fn a_flow_asks_another_server() {
    let place = Place::new();
    let nodes = r#"
- {kind: listener, name: inner, port: 0, links: {out: [{name: echo}]}}
- {kind: snippet, name: echo, language: cel, code: '{"body": [self.method, self.path, self.query, self.body], "status": 201, "header": {"X-Inner": "yes"}}'}
"#;
    place.file("inner.yaml", nodes);
    let served = place.serve(
        &["start", "--store", "s", "--from-specs", "inner.yaml"],
        "default/inner",
    );
    let outer = format!(
        "- {{kind: listener, name: outer, port: 0, links: {{out: [{{name: ask}}]}}}}
- {{kind: http, name: ask, url: 'http://{}/x?y=1', links: {{out: [{{name: told}}], error: [{{name: failed}}]}}}}
- {{kind: snippet, name: told, language: cel, code: '[self.status, self.header[\"X-Inner\"], self.body]'}}
- {{kind: snippet, name: failed, language: cel, code: '{{\"status\": 502, \"body\": self.message}}'}}
",
        served.address
    );
    place.file("outer.yaml", &outer);
    place.tell(&["apply", "specs", "--store", "s", "-f", "outer.yaml"]);
    let address = served.find_address("default/outer");
    let mut client = crate::http::Client::tcp(&address);
    client.ask("POST", "/", "Content-Type: application/json\r\n", b"{\"n\":1}");
    client
        .answer()
        .check(200, &[r#"[201,["yes"],["POST","/x",{"y":["1"]},{"n":1}]]"#]);
    // Where nobody listens the error says so.
    place.file("outer.yaml", &outer.replace(&served.address, "127.0.0.1:1"));
    place.tell(&["apply", "specs", "--store", "s", "-f", "outer.yaml"]);
    let mut client = crate::http::Client::tcp(&address);
    client.ask("GET", "/", "", b"");
    client
        .answer()
        .check(502, &["request to http://127.0.0.1:1/x failed: "]);
    served.stop();
}

#[test]
fn requests_in_a_row_on_one_connection() {
    let place = Place::new();
    let nodes = r#"
- {kind: listener, name: web, port: 0, links: {out: [{name: say}]}}
- {kind: snippet, name: say, language: cel, code: self.path}
"#;
    place.file("nodes.yaml", nodes);
    let served = place.serve(&["start", "--from-specs", "nodes.yaml"], "default/web");
    let mut client = served.connect();
    let request = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    client.say(format!("{}{}{}", request("/a"), request("/b"), request("/c")).as_bytes());
    for path in ["/a", "/b", "/c"] {
        client.answer().check(200, &[path]);
    }
    client.ask("HEAD", "/d", "", b"");
    let head = client.answer_of_head();
    assert_eq!((head.status, head.header("content-length")), (200, Some("2")));
    client.ask("GET", "/e", "Accept: text/plain\r\n", b"");
    let answer = client.answer();
    assert_eq!((answer.text().as_str(), answer.status), ("/e", 200));
    // A client that leaves hears nothing and disturbs nobody.
    for _ in 0..20 {
        let mut client = served.connect();
        client.say(request("/f").as_bytes());
    }
    served.ask("GET", "/g", "").check(200, &["/g"]);
    served.stop();
}

#[test]
fn changes_of_files_begin_runs() {
    let place = Place::new();
    let nodes = format!(
        "- {{kind: listener, name: web, port: 0, links: {{out: [{{name: say}}]}}}}
- {{kind: snippet, name: say, language: json, code: '1'}}
- {{kind: watch, name: files, path: {}/watched, links: {{out: [{{name: tell}}]}}}}
- {{kind: throw, name: tell, message: self.op + \" \" + self.path}}
",
        place.0.display()
    );
    place.file("watched/before", "");
    place.file("nodes.yaml", &nodes);
    let words = ["start", "--store", "s", "--from-specs", "nodes.yaml"];
    let served = place.serve(&words, "default/web");
    until("it watches", || {
        served.log().contains("default/files is watching")
    });
    place.file("watched/new", "text");
    until("the change", || {
        served.log().contains("watched/new") && served.log().contains("default/files: run ")
    });
    // What is gone is told of, and watched again with the next change once it is back.
    for turn in 1..=2 {
        let watched = place.0.join("watched");
        match turn {
            1 => std::fs::remove_dir_all(&watched).unwrap(),
            _ => std::fs::rename(&watched, place.0.join("moved")).unwrap(),
        }
        let failed = "/watched is gone";
        until("it is gone", || place.tell(&["status"]).contains(failed));
        place.file("watched/again", "text");
        place.file(
            "s/default/specs/other.yaml",
            &format!("{{kind: nop, name: other{turn}}}"),
        );
        until("it watches again", || {
            served.log().matches("default/files is watching").count() == turn + 1
        });
        place.file(&format!("watched/turn{turn}"), "text");
        until("the change", || {
            served.log().contains(&format!("watched/turn{turn}"))
        });
    }
    served.stop();
}

#[test]
fn secrets_and_errors_of_a_flow() {
    let place = Place::new();
    place.file("values.yaml", "{name: TOKEN, data: tok-abcdef}\n");
    let nodes = r#"    - {method: GET, path: /print, port: "out[0]"}
    - {method: GET, path: /fail, port: "out[1]"}
    - {method: GET, path: /answer, port: "out[2]"}
  links: {"out[0]": [{name: prints}], "out[1]": [{name: fails}], "out[2]": [{name: answers}]}
- kind: snippet
  name: prints
  language: python
  env: {TOKEN: "{{ .TOKEN }}"}
  code: |
    def main(args):
        print("printed", "{{ .TOKEN }}", "here", flush=True)
        raise Exception("bad {{ .TOKEN }} here")
- {kind: throw, name: fails, error: "bad {{ .TOKEN }} there", env: {TOKEN: "{{ .TOKEN }}"}}
- {kind: snippet, name: answers, language: text, code: "{{ .TOKEN }}", env: {TOKEN: "{{ .TOKEN }}"}}
- {kind: listener, name: elsewhere, port: 1, host: "{{ .TOKEN }}", env: {TOKEN: "{{ .TOKEN }}"}}
"#;
    place.file("nodes.yaml", &format!("{ROUTED}{nodes}"));
    let words = [
        "start",
        "--from-values",
        "values.yaml",
        "--from-specs",
        "nodes.yaml",
    ];
    let served = place.serve(&words, "default/web");
    let refused = served.ask("GET", "/fail", "");
    refused.check(
        500,
        &["{\"error\":{\"kind\":\"raised\",\"message\":\"bad <redacted> there\""],
    );
    // What a flow answers with on purpose it tells.
    served.ask("GET", "/answer", "").check(200, &["tok-abcdef"]);
    // The router's own errors have the same form.
    served
        .ask("GET", "/nowhere", "")
        .check(404, &["{\"error\":{\"kind\":\"not_found\",\"message\":"]);
    served
        .ask("POST", "/fail", "")
        .check(405, &["{\"error\":{\"kind\":\"usage\",\"message\":"]);
    if crate::served::has("python3") {
        let failed = served.ask("GET", "/print", "");
        failed.check(500, &["\"raised\"", "bad <redacted> here"]);
        assert!(!failed.text().contains("tok-abcdef"), "{}", failed.text());
        until("what it prints", || {
            served.log().contains("printed <redacted> here")
        });
    }
    until("the host that isn't there", || {
        served.log().contains("can't listen on <redacted>:1")
    });
    assert!(!served.log().contains("tok-abcdef"), "{}", served.log());
    served.stop();
}

#[test]
fn a_flow_calls_a_program() {
    if !crate::served::has("python3") {
        return;
    }
    let place = Place::new();
    place.file(
        "sums/sums.py",
        "def add(a: int, b: int) -> int:\n    return a + b\n\ndef fail(why: str) -> int:\n    raise ValueError(why)\n",
    );
    let nodes = r#"    - {method: POST, path: /kind, port: "out[0]"}
    - {method: POST, path: /call, port: "out[1]"}
    - {method: POST, path: /fail, port: "out[2]"}
  links: {"out[0]": [{name: body}], "out[1]": [{name: body2}], "out[2]": [{name: body3}]}
- {kind: snippet, name: body, language: cel, code: self.body, links: {out: [{name: alone}]}}
- {kind: snippet, name: body2, language: cel, code: self.body, links: {out: [{name: named}]}}
- {kind: snippet, name: body3, language: cel, code: self.body, links: {out: [{name: fails}]}}
- {kind: add, name: alone}
- {kind: call, name: named, program: sums, command: add}
- {kind: sums/fail, name: fails}
"#;
    place.file("nodes.yaml", &format!("{ROUTED}{nodes}"));
    let served = place.serve(&["start", "--from-specs", "nodes.yaml", "sums"], "default/web");
    served
        .ask("POST", "/kind", "{\"a\":1,\"b\":2}")
        .check(200, &["3"]);
    served.ask("POST", "/call", "[3,4]").check(200, &["7"]);
    served
        .ask("POST", "/call", "[3,\"x\"]")
        .check(400, &["bad_argument"]);
    served
        .ask("POST", "/fail", "\"because\"")
        .check(500, &["raised", "because"]);
    let status = place.tell(&["status"]);
    assert!(status.contains("alone   add        active"), "{status}");
    served.stop();
}

#[test]
fn a_server_of_all_namespaces_counts_runs() {
    let place = Place::new();
    for (namespace, text) in [("one", "first"), ("two", "second")] {
        let nodes = format!(
            "- {{kind: listener, name: web, port: 0, links: {{out: [{{name: say}}]}}}}\n\
             - {{kind: snippet, name: say, language: text, code: {text}}}\n\
             - {{kind: nop, name: lost, links: {{out: [{{name: nowhere}}]}}}}\n"
        );
        place.file(&format!("store/{namespace}/specs/nodes.yaml"), &nodes);
    }
    let served = place.serve(
        &["serve", "--listen", "127.0.0.1:0", "--flows", "store"],
        "one/web",
    );
    served.ask("GET", "/", "").check(200, &["first"]);
    let mut client = crate::http::Client::tcp(&served.find_address("two/web"));
    client.ask("GET", "/", "", b"");
    client.answer().check(200, &["second"]);
    let address = served.find_address_of("listening on http://");
    let mut client = crate::http::Client::tcp(&address);
    client.ask("GET", "/metrics", "", b"");
    client.answer().check(
        200,
        &[
            "deployment=\"flows:one\",command=\"web\"",
            "nexus_flow_nodes{namespace=\"two\",state=\"active\"} 2",
            "nexus_flow_nodes{namespace=\"two\",state=\"waiting\"} 1",
        ],
    );
    // Nobody calls what is the server's own.
    client.ask("POST", "/v1/call/nexus/javascript/snippet", "", b"[]");
    client.answer().check(400, &["the server's own"]);
    served.stop();
}
