//! Hosts that a flow finds by name: the real binary against name servers that the test plays.

use crate::served::Place;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::sync::{Arc, Mutex};
use std::thread;

/// What a name server says to a question of a name and a type.
enum Says {
    Nothing,
    Code(u8),
    /// Records A or AAAA.
    Addresses(&'static [&'static [u8]]),
}

/// A name server on this machine, for as long as the test runs: its address, and what it was asked.
fn name_server(says: fn(&str, u8) -> Says) -> (SocketAddr, Arc<Mutex<Vec<String>>>) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&asked);
    // It ends with the process.
    thread::spawn(move || {
        let mut buffer = [0; 512];
        while let Ok((read, from)) = socket.recv_from(&mut buffer) {
            let question = &buffer[..read];
            let (name, record_type) = (name_of(question), question[read - 3]);
            heard.lock().unwrap().push(format!("{name} {record_type}"));
            let (code, addresses) = match says(&name, record_type) {
                Says::Nothing => continue,
                Says::Code(code) => (code, &[][..]),
                Says::Addresses(addresses) => (0, addresses),
            };
            let mut answer = question.to_vec();
            (answer[2], answer[3], answer[7]) = (0x81, 0x80 | code, addresses.len() as u8);
            for address in addresses {
                let length = address.len() as u8;
                answer.extend([0xc0, 12, 0, record_type, 0, 1, 0, 0, 0, 60, 0, length]);
                answer.extend(*address);
            }
            // An answer to another question comes first; it is none to this.
            let mut other = answer.clone();
            other[0] ^= 0x55;
            socket.send_to(&other, from).unwrap();
            socket.send_to(&answer, from).unwrap();
        }
    });
    (address, asked)
}

fn name_of(question: &[u8]) -> String {
    let (mut labels, mut rest) = (Vec::new(), &question[12..]);
    while let [length, behind @ ..] = rest
        && *length > 0
    {
        let (label, behind) = behind.split_at(usize::from(*length));
        labels.push(String::from_utf8(label.to_vec()).unwrap());
        rest = behind;
    }
    labels.join(".")
}

const A: u8 = 1;

fn names(name: &str, record_type: u8) -> Says {
    match (name, record_type) {
        ("web.example", A) => Says::Addresses(&[&[127, 0, 0, 1]]),
        // Nobody listens at the first.
        ("short.inside.test", A) => Says::Addresses(&[&[127, 0, 0, 99], &[127, 0, 0, 1]]),
        ("quiet.example", _) => Says::Nothing,
        ("broken.example", _) => Says::Code(2),
        ("web.example" | "short.inside.test" | "empty.example", _) => Says::Addresses(&[]),
        _ => Says::Code(3),
    }
}

const NODES: &str = r#"
- {kind: listener, name: inner, port: 0, links: {out: [{name: echo}]}}
- {kind: snippet, name: echo, language: cel, code: '"at " + self.path'}
- {kind: listener, name: outer, port: 0, links: {out: [{name: url}]}}
- {kind: snippet, name: url, language: cel, code: '{"url": self.body}', links: {out: [{name: ask}]}}
- {kind: http, name: ask, timeout: 20s, links: {out: [{name: told}], error: [{name: failed}]}}
- {kind: snippet, name: told, language: cel, code: self.body}
- {kind: snippet, name: failed, language: cel, code: 'self.kind + ": " + self.message'}
"#;

#[test]
fn a_flow_finds_servers_by_name() {
    let place = Place::new();
    // The first is never there: nothing listens at the port of a socket that is closed.
    let gone = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (server, asked) = name_server(names);
    let text = format!(
        "nameserver [127.0.0.1]:{}\nnameserver [127.0.0.1]:{}\nsearch inside.test\noptions timeout:1\n",
        gone.port(),
        server.port()
    );
    let path = place.file("resolv.conf", &text);
    place.file("nodes.yaml", NODES);
    let variables = [("NEXUS_RESOLV_CONF", path.to_str().unwrap())];
    let served = place.serve_with(
        &["start", "--from-specs", "nodes.yaml"],
        &variables,
        "default/outer",
    );
    let inner = served.find_address("default/inner");
    let port = inner.rsplit(':').next().unwrap();
    let check = |host: &str, expected: &str| {
        let url = format!("\"http://{host}:{port}/x\"");
        let answer = served.ask("POST", "/", &url);
        let told = answer.text().replace(&format!(":{port}/"), "/");
        assert_eq!(told.trim_matches('"'), expected, "{host}");
    };
    check("web.example", "at /x");
    check("WEB.example.", "at /x");
    check("short", "at /x");
    check(
        "nobody.example",
        "io: request to http://nobody.example/x failed: no host 'nobody.example'",
    );
    check(
        "empty.example",
        "io: request to http://empty.example/x failed: host 'empty.example' has no addresses",
    );
    let failed = |host: &str, why: &str| {
        format!(
            "unavailable: request to http://{host}/x failed: name server {server} doesn't help with '{host}': {why}"
        )
    };
    check("broken.example", &failed("broken.example", "it has failed"));
    check("quiet.example", &failed("quiet.example", "it hasn't answered"));
    check(
        "a..b",
        "bad_argument: request to http://a..b/x failed: 'a..b' is no name of a host",
    );
    // Both kinds of addresses are asked for, a short name in its domain, and none that this machine knows.
    check("localhost", "at /x");
    let asked = asked.lock().unwrap();
    for question in ["web.example 1", "web.example 28", "short.inside.test 1"] {
        assert!(asked.iter().any(|line| line == question), "{question}: {asked:?}");
    }
    for name in [
        "short 1",
        "localhost 1",
        "localhost.inside.test 1",
        "nobody.example.inside.test 1",
    ] {
        assert!(!asked.iter().any(|line| line == name), "{name}: {asked:?}");
    }
    served.stop();
}

#[test]
fn a_search_ends_with_its_request() {
    let place = Place::new();
    let (server, asked) = name_server(|_, _| Says::Nothing);
    let text = format!("nameserver [127.0.0.1]:{}\noptions timeout:30\n", server.port());
    let path = place.file("resolv.conf", &text);
    place.file("nodes.yaml", &NODES.replace("20s", "100ms"));
    let variables = [("NEXUS_RESOLV_CONF", path.to_str().unwrap())];
    let served = place.serve_with(
        &["start", "--from-specs", "nodes.yaml"],
        &variables,
        "default/outer",
    );
    let sockets = || {
        let path = format!("/proc/{}/net/udp", served.pid());
        let server = format!("0100007F:{:04X}", server.port());
        let table = std::fs::read_to_string(path).unwrap();
        let peer = |line: &str| line.split_whitespace().nth(2) == Some(server.as_str());
        table.lines().filter(|line| peer(line)).count()
    };
    served.ask("POST", "/", "\"http://quiet.example/\"").check(
        200,
        &["timeout: request to http://quiet.example/ failed: it was not answered within 100 ms"],
    );
    assert_eq!(asked.lock().unwrap().len(), 2);
    crate::served::until("its socket is closed", || sockets() == 0);
    served.stop();
}

#[test]
fn a_failure_of_another_server_is_none_of_the_path() {
    let place = Place::new();
    let (server, _) = name_server(names);
    let text = format!("nameserver [127.0.0.1]:{}\n", server.port());
    let path = place.file("resolv.conf", &text);
    let nodes = NODES.replace(", error: [{name: failed}]", "");
    place.file("nodes.yaml", &nodes.replace("20s", "500ms"));
    let variables = [("NEXUS_RESOLV_CONF", path.to_str().unwrap())];
    let served = place.serve_with(
        &["start", "--from-specs", "nodes.yaml"],
        &variables,
        "default/outer",
    );
    // One that takes connections and says nothing, and an address where nobody does.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = listener.local_addr().unwrap().to_string();
    for (host, status, kind) in [
        ("nobody.example", 502, "io"),
        ("empty.example", 502, "io"),
        ("127.0.0.99:1", 502, "io"),
        ("broken.example", 503, "unavailable"),
        (&silent, 504, "timeout"),
    ] {
        let answer = served.ask("POST", "/", &format!("\"http://{host}/\""));
        answer.check(status, &[&format!("\"kind\":\"{kind}\"")]);
    }
    served.stop();
}
