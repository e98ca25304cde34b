//! How nodes stand, as `nexus status` tells it: while programs come and go, and when code can't be compiled.

use crate::served::{Place, has, until};

/// Waits until the status of nodes is that.
#[track_caller]
fn until_status(place: &Place, expected: &[&str]) {
    let mut status = String::new();
    let mut is_so = || {
        // In columns.
        let lines = place.tell(&["status"]);
        let lines = lines
            .lines()
            .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
        status = lines.collect::<Vec<_>>().join("\n");
        expected.iter().all(|line| status.contains(line))
    };
    let begun = std::time::Instant::now();
    while !is_so() {
        assert!(begun.elapsed().as_secs() < 60, "{expected:?} is not in\n{status}");
        std::thread::park_timeout(std::time::Duration::from_millis(5));
    }
}

/// One that is to be loaded with its first call is loaded for the nodes that call it, which could make none while they wait.
#[test]
fn nodes_have_lazy_programs_loaded() {
    if !has("python3") {
        return;
    }
    let place = Place::new();
    place.file(
        "sums/sums.py",
        "def add(a: int, b: int) -> int:\n    return a + b\n",
    );
    let nodes = r#"
- {kind: listener, name: web, port: 0, links: {out: [{name: body}]}}
- {kind: snippet, name: body, language: cel, code: self.body, links: {out: [{name: sums}]}}
- {kind: call, name: sums, program: sums, command: add}
"#;
    place.file("store/default/specs/nodes.yaml", nodes);
    let words = [
        "serve",
        "--listen",
        "127.0.0.1:0",
        "--flows",
        "store",
        "--lazy",
        "sums",
    ];
    let served = place.serve(&words, "default/web");
    let mut client = served.connect();
    client.ask("POST", "/", "Content-Type: application/json\r\n", b"[1, 2]");
    client.answer().check(200, &["3"]);
    place.tell(&["delete", "sums"]);
    until_status(
        &place,
        &["default web listener waiting(missing command sums/add)"],
    );
    place.tell(&["deploy", "--lazy", "sums", "--name", "sums"]);
    until_status(&place, &["default web listener active"]);
    served.stop();
}

#[test]
fn nodes_wait_for_the_programs_that_they_call() {
    if !has("python3") {
        return;
    }
    let place = Place::new();
    let dir = place.0.display().to_string();
    let sums = format!(
        "import os, time\n\ndef add(a: int, b: int) -> int:\n    open('{dir}/began', 'w').close()\n    \
         while not os.path.exists('{dir}/open'):\n        time.sleep(0.01)\n    return a + b\n"
    );
    place.file("sums/sums.py", &sums);
    place.file(
        "other/sums.py",
        "def sub(a: int, b: int) -> int:\n    return a - b\n",
    );
    let nodes = r#"
- {kind: listener, name: web, port: 0, links: {out: [{name: body}]}}
- {kind: snippet, name: body, language: cel, code: self.body, links: {out: [{name: named}]}}
- {kind: call, name: named, program: sums, command: add}
- {kind: add, name: kind}
- {kind: sums/add, name: path}
- {kind: call, name: never, program: sums, command: sub}
- {kind: listener, name: alone, port: 0, links: {out: [{name: say}]}}
- {kind: snippet, name: say, language: text, code: said}
"#;
    place.file("store/default/specs/nodes.yaml", nodes);
    let words = ["serve", "--listen", "127.0.0.1:0", "--flows", "store", "sums"];
    let served = place.serve(&words, "default/web");
    let active = [
        "default body snippet active",
        "default kind add active",
        "default named call active",
        "default never call waiting(missing command sums/sub)",
        "default path sums/add active",
        "default web listener active",
    ];
    until_status(&place, &active);
    let mut client = served.connect();
    client.ask("POST", "/", "Content-Type: application/json\r\n", b"[1, 2]");
    until("the call has begun", || place.0.join("began").exists());

    place.tell(&["delete", "sums"]);
    let waiting = [
        "default alone listener active",
        "default body snippet waiting(missing command sums/add)",
        "default kind add waiting(missing command add)",
        "default named call waiting(missing command sums/add)",
        "default path sums/add waiting(missing command sums/add)",
        "default web listener waiting(missing command sums/add)",
    ];
    until_status(&place, &waiting);
    assert!(std::net::TcpStream::connect(&served.address).is_err());
    // What has begun ends in the program that it began with.
    place.file("open", "");
    client.answer().check(200, &["3"]);

    // A program of that name without the command is none.
    place.tell(&["deploy", "other", "--name", "sums"]);
    until_status(&place, &["default never call active", waiting[3], waiting[5]]);
    place.tell(&["deploy", "sums", "--name", "sums"]);
    until_status(&place, &active);
    until("it listens again", || {
        served.find_address("default/web") != served.address
    });
    let mut client = crate::http::Client::tcp(&served.find_address("default/web"));
    client.ask("POST", "/", "Content-Type: application/json\r\n", b"[3, 4]");
    client.answer().check(200, &["7"]);
    // A command of two programs is that of neither.
    place.tell(&["deploy", "sums", "--name", "more"]);
    until_status(
        &place,
        &[
            "default kind add waiting(missing program: command 'add' is of several programs: ",
            "default path sums/add active",
        ],
    );
    let log = served.log();
    for line in [
        "default/named waits: missing command sums/add\n",
        "default/web waits: missing command sums/add\n",
        "default/kind waits: missing command add\n",
        "default/web is active again\n",
        "default/kind is active again\n",
    ] {
        assert_eq!(log.matches(line).count(), 1, "{line}{log}");
    }
    served.stop();
}

#[test]
fn code_that_cannot_be_compiled_changes_nothing() {
    if !has("python3") || !has("node") {
        return;
    }
    let place = Place::new();
    // Moved there, so that half of it is never read.
    let write = |name: &str, text: &str| {
        let written = place.file("new", text);
        std::fs::rename(written, place.0.join(format!("store/default/specs/{name}.yaml"))).unwrap();
    };
    std::fs::create_dir_all(place.0.join("store/default/specs")).unwrap();
    let nodes = r#"
- {kind: listener, name: web, port: 0, links: {out: [{name: say}]}}
- {kind: listener, name: other, port: 0, links: {out: [{name: within}]}}
"#;
    write("nodes", nodes);
    let say = |code: &str| {
        write(
            "say",
            &format!("kind: snippet\nname: say\nlanguage: python\ncode: {code}\n"),
        )
    };
    say("\"'one'\"");
    let within = |code: &str| {
        let node = format!("{{kind: snippet, language: javascript, code: '{code}'}}");
        write(
            "within",
            &format!("kind: block\nname: within\nspecs:\n  - kind: nop\n  - {node}\n"),
        );
    };
    within("(args) => ] args");
    write(
        "broken",
        "kind: snippet\nname: broken\nlanguage: python\ncode: |\n  def main(args):\n    return ] 1\n",
    );
    let served = place.serve(&["start", "--store", "store"], "default/web");
    let compiled = "code can't be compiled: SyntaxError:";
    until_status(
        &place,
        &[
            &format!("default broken snippet failed({compiled} unmatched ']' at snippet:2 at "),
            "default other listener waiting(within has failed)",
            &format!("default within block failed({compiled} Unexpected token ']' at snippet:1 at "),
            "within.yaml:5)",
            "default say snippet active",
        ],
    );
    // What has passed once is asked for again as little as it is compiled.
    served.ask("GET", "/", "").check(200, &["one"]);
    say("\"] 'two'\"");
    until_status(
        &place,
        &[&format!(
            "default say snippet active, change refused: {compiled} unmatched ']' at snippet:1 at "
        )],
    );
    served.ask("GET", "/", "").check(200, &["one"]);
    say("\"'three'\"");
    until_status(&place, &["default say snippet active\n"]);
    served.ask("GET", "/", "").check(200, &["three"]);
    within("(args) => 1");
    until_status(
        &place,
        &["default other listener active", "default within block active"],
    );
    let log = served.log();
    for part in [
        "default/say keeps its old form: code can't be compiled: ",
        "default/broken failed: code can't be compiled: ",
        "default/other waits: within has failed\n",
        "default/other is active again\n",
    ] {
        assert_eq!(log.matches(part).count(), 1, "{part}{log}");
    }
    served.stop();
}

#[test]
fn whoever_changes_a_snippet_finds_it_changed() {
    if !has("python3") {
        return;
    }
    let place = Place::new();
    let nodes = r#"
- {kind: listener, name: web, port: 0, links: {out: [{name: routes}]}}
- kind: router
  name: routes
  routes: [{method: GET, path: /, port: "out[0]"}, {method: PATCH, path: /, port: "out[1]"}]
  links: {"out[0]": [{name: say}], "out[1]": [{name: change}]}
- {kind: snippet, name: say, language: python, code: "0"}
- {kind: block, name: change, specs: [{kind: snippet, language: cel, code: self.body}, {kind: syscall, opcode: nodes.update}]}
"#;
    place.file("nodes.yaml", nodes);
    let served = place.serve(&["start", "--from-specs", "nodes.yaml"], "default/web");
    for number in 1..20 {
        let code = format!("{{\"name\": \"say\", \"code\": \"'{number}'\"}}");
        served.ask("PATCH", "/", &code).check(200, &[]);
        assert_eq!(served.ask("GET", "/", "").text(), number.to_string());
    }
    served
        .ask("PATCH", "/", "{\"name\": \"say\", \"code\": \"]\"}")
        .check(200, &[]);
    served.ask("GET", "/", "").check(200, &["19"]);
    let status = place.tell(&["status"]);
    assert!(
        status.contains("active, change refused: code can't be compiled: "),
        "{status}"
    );
    served.stop();
}

#[test]
fn a_snippet_fails_as_long_as_its_language_is_not_there() {
    let path = std::env::var_os("PATH").unwrap();
    let find = |program: &str| {
        std::env::split_paths(&path)
            .map(|dir| dir.join(program))
            .find(|its| its.exists())
    };
    let Some(node) = find("node") else {
        return;
    };
    let place = Place::new();
    let nodes = r#"
- {kind: listener, name: web, port: 0, links: {out: [{name: say}]}}
- {kind: snippet, name: say, language: text, code: said}
- {kind: snippet, name: script, language: javascript, code: (args) => args}
- {kind: try, name: before, links: {out: [{name: script}]}}
"#;
    place.file("store/default/specs/nodes.yaml", nodes);
    let bin = place.0.join("bin");
    std::fs::create_dir(&bin).unwrap();
    // By which servers of tests are started.
    if let Some(setpriv) = find("setpriv") {
        std::os::unix::fs::symlink(setpriv, bin.join("setpriv")).unwrap();
    }
    let variables = [("PATH", bin.to_str().unwrap())];
    let served = place.serve_with(&["start", "--store", "store"], &variables, "default/web");
    until_status(
        &place,
        &[
            "default before try waiting(script has failed)",
            "default script snippet failed(there is no node in PATH, which runs snippets in JavaScript at ",
            "default say snippet active",
        ],
    );
    // It is looked for again with any change, after a moment.
    std::os::unix::fs::symlink(node, bin.join("node")).unwrap();
    let mut count = 0;
    until("it is there", || {
        count += 1;
        place.file(
            "store/default/specs/more.yaml",
            &format!("{{kind: throw, name: more, error: e{count}}}\n"),
        );
        place
            .tell(&["status"])
            .lines()
            .any(|line| line.contains(" script ") && line.ends_with(" active"))
    });
    served.stop();
}

#[test]
fn code_in_r_is_compiled_as_well() {
    if !has("R") {
        return;
    }
    let place = Place::new();
    let nodes = r#"
- {kind: listener, name: web, port: 0, links: {out: [{name: good}]}}
- {kind: snippet, name: good, language: r, code: "function(x) x$path"}
"#;
    place.file("store/default/specs/nodes.yaml", nodes);
    let served = place.serve(&["start", "--store", "store"], "default/web");
    // Its pool takes its time to start, longer perhaps than a change waits.
    served.ask("GET", "/", "").check(200, &["/"]);
    let bad = "{kind: snippet, name: bad, language: r, code: \"function(x)\\n  ] x\"}\n";
    place.file("store/default/specs/bad.yaml", bad);
    until_status(
        &place,
        &[
            "default bad snippet failed(code can't be compiled: snippet:2:3: unexpected ']' at ",
            "default good snippet active",
        ],
    );
    served.stop();
}
