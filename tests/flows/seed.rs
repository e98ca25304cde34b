//! The example that flows have to serve as it stands, but for the port: nodes are created, read, updated and deleted over HTTP, and
//! the next request is served by the graph that this has made.

use crate::served::{Place, has};

const SEED: &str = include_str!("seed.yaml");

#[test]
fn the_example_serves_its_own_nodes() {
    let place = Place::new();
    assert!(SEED.contains("port: 8000"));
    place.file("seed.yaml", &SEED.replace("port: 8000", "port: 0"));
    let served = place.serve(
        &["start", "-n", "system", "--from-specs", "seed.yaml"],
        "system/listener",
    );
    let status = place.tell(&["status"]);
    assert_eq!(status.matches(" active\n").count(), 9, "{status}");

    served.ask("GET", "/v1/nodes", "").check(
        200,
        &[
            "\"name\":\"listener\"",
            "\"name\":\"status_500\"",
            "\"revision\":1",
        ],
    );
    let created = served.ask(
        "POST",
        "/v1/nodes",
        r#"{"kind":"snippet","name":"hello","language":"json","code":"{\"hello\":1}"}"#,
    );
    created.check(200, &["\"name\":\"hello\"", "\"revision\":1"]);
    // A new route, by an update of the router.
    let answer = served.ask("GET", "/hello", "");
    answer.check(404, &["not_found", "there is no path '/hello'"]);
    let router = served.ask("GET", "/v1/nodes", "").text();
    assert!(router.contains("\"kind\":\"router\""));
    let routes = r#"{"name":"router","routes":[{"method":"GET","path":"/hello","port":"out[4]"},{"method":"POST","path":"/v1/nodes","port":"out[0]"},
        {"method":"GET","path":"/v1/nodes","port":"out[1]"},{"method":"PATCH","path":"/v1/nodes","port":"out[2]"},
        {"method":"DELETE","path":"/v1/nodes","port":"out[3]"}],
        "links":{"out[0]":[{"name":"nodes_create","port":"in"}],"out[1]":[{"name":"nodes_read","port":"in"}],
        "out[2]":[{"name":"nodes_update","port":"in"}],"out[3]":[{"name":"nodes_delete","port":"in"}],"out[4]":[{"name":"hello"}]}}"#;
    served
        .ask("PATCH", "/v1/nodes", routes)
        .check(200, &["\"revision\":2"]);
    served.ask("GET", "/hello", "").check(200, &["{\"hello\":1}"]);
    let changed = r#"{"name":"hello","code":"{\"hello\":2}"}"#;
    served
        .ask("PATCH", "/v1/nodes", changed)
        .check(200, &["\"revision\":2"]);
    served.ask("GET", "/hello", "").check(200, &["{\"hello\":2}"]);
    served
        .ask("PUT", "/v1/nodes", "{}")
        .check(405, &["has no method PUT"]);
    let options = served.ask("OPTIONS", "/v1/nodes", "");
    options.check(204, &[]);
    assert_eq!(
        options.header("allow"),
        Some("DELETE, GET, PATCH, POST, HEAD, OPTIONS")
    );

    // What is wrong with a request goes to JavaScript, all else to JSON.
    if has("node") {
        for body in ["\"text\"", "3", "{bad"] {
            served.ask("POST", "/v1/nodes", body).check(400, &["\"error\":"]);
        }
    }
    let taken = r#"{"kind":"nop","name":"hello"}"#;
    served
        .ask("POST", "/v1/nodes", taken)
        .check(500, &["{\"error\":\"Internal Server Error\"}"]);
    let absent = r#"{"kind":"nop","name":"absent"}"#;
    served
        .ask("PATCH", "/v1/nodes", absent)
        .check(500, &["Internal Server Error"]);

    // A node that can't be built is stored, and the old one goes on.
    let broken = r#"{"name":"hello","code":"{"}"#;
    served.ask("PATCH", "/v1/nodes", broken).check(200, &[]);
    served.ask("GET", "/hello", "").check(200, &["{\"hello\":2}"]);
    let status = place.tell(&["status", "-n", "system"]);
    assert!(status.contains("active, change refused: "), "{status}");

    // The example deletes all that there is: this answer is the last.
    served
        .ask("DELETE", "/v1/nodes", "")
        .check(200, &["\"name\":\"hello\""]);
    crate::served::until("the listener is closed", || {
        std::net::TcpStream::connect(&served.address).is_err()
    });
    served.stop();
}

#[test]
fn edits_by_the_tool_by_hand_and_over_http_are_the_same() {
    let place = Place::new();
    let nodes = "- {kind: listener, name: web, port: 0, links: {out: [{name: say}]}}\n\
                 - {kind: snippet, name: say, language: cel, code: '\"one\"'}\n";
    place.file("nodes.yaml", nodes);
    let served = place.serve(
        &["start", "--store", "store", "--from-specs", "nodes.yaml"],
        "default/web",
    );
    served.ask("GET", "/", "").check(200, &["one"]);
    let say = |text: &str| format!("{{kind: snippet, name: say, language: cel, code: '\"{text}\"'}}\n");
    let told = |text: &str| {
        crate::served::until(text, || served.ask("GET", "/", "").text().contains(text));
    };
    place.file("say.yaml", &say("two"));
    place.tell(&["apply", "specs", "--store", "store", "-f", "say.yaml"]);
    told("two");
    place.file("store/default/specs/say.yaml", &say("three"));
    told("three");
    // What is missing is said; a file that is broken keeps what it held.
    place.file("store/default/specs/say.yaml", "{kind: snippet\n");
    crate::served::until("the flaw", || served.log().contains("say.yaml:"));
    served.ask("GET", "/", "").check(200, &["three"]);
    place.tell(&["status"]);
    std::fs::remove_file(place.0.join("store/default/specs/say.yaml")).unwrap();
    crate::served::until("it is missed", || {
        place.tell(&["status"]).contains("waiting(missing say.in)")
    });
    assert!(std::net::TcpStream::connect(&served.address).is_err());
    place.file("store/default/specs/say.yaml", &say("four"));
    crate::served::until("it listens again", || {
        let address = served.find_address("default/web");
        address != served.address
    });
    served.stop();
}

/// The first that a reader tries.
#[test]
fn the_flow_of_the_readme_answers() {
    let readme = include_str!("../../README.md");
    let (_, rest) = readme.split_once("```yaml\n# hello.yaml\n").unwrap();
    let (flow, _) = rest.split_once("```").unwrap();
    assert!(flow.lines().count() < 10 && flow.contains("port: 8000"));
    let place = Place::new();
    place.file("hello.yaml", &flow.replace("port: 8000", "port: 0"));
    let served = place.serve(&["start", "--from-specs", "hello.yaml"], "default/web");
    served.ask("GET", "/hello/you", "").check(200, &["hello you"]);
    served.stop();
}
