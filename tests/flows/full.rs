//! What a server of flows does when no more runs can begin, or no more clients can come in: who asks waits, and is answered then.

use crate::http::Client;
use crate::served::{Place, Served, until};
use std::thread;
use std::time::{Duration, Instant};

/// Runs of a namespace at once, and clients of a server: as `src/limits.rs` has them.
const RUNS_MAX: usize = 4096;
const CLIENTS_MAX: usize = 4096;

/// Clients that connect at the same time.
const THREADS: usize = 16;

/// One listener whose requests each begin so many runs that go on for an hour, and one whose requests are answered at once.
const NODES: &str = r#"
- {kind: listener, name: fill, port: 0, links: {out: [{name: items}]}}
- {kind: pipe, name: items, links: {"out[0]": [{name: list}], "out[1]": [{name: hold}]}}
- {kind: snippet, name: list, language: cel, code: self.body, links: {out: [{name: each}]}}
- {kind: for, name: each, links: {"out[0]": [{name: apart}]}}
- {kind: fork, name: apart, links: {out: [{name: hold}]}}
- {kind: sleep, name: hold, interval: 1h}
- {kind: listener, name: say, port: 0, links: {out: [{name: number}]}}
- {kind: snippet, name: number, language: cel, code: self.body.n}
"#;

/// Sources that are not asked, whose runs are told in the log.
fn more_nodes(place: &Place) -> String {
    format!(
        "- {{kind: timer, name: every, interval: 5ms, links: {{out: [{{name: tick}}]}}}}
- {{kind: throw, name: tick, error: it ticks}}
- {{kind: watch, name: files, path: {}/watched, links: {{out: [{{name: tell}}]}}}}
- {{kind: throw, name: tell, message: self.path}}
",
        place.0.display()
    )
}

struct Full<'p> {
    place: &'p Place,
    served: Served<'p>,
    /// Who has begun so many runs that there can be no more.
    fillers: Vec<Client>,
    say: String,
}

/// A request of a listener that is answered with a number, and may carry something.
fn request(number: usize, headers: &str, burden: usize) -> Vec<u8> {
    let body = format!("{{\"n\":{number},\"x\":\"{}\"}}", "x".repeat(burden));
    let length = body.len();
    let head = "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n";
    format!("{head}{headers}Content-Length: {length}\r\n\r\n{body}").into_bytes()
}

impl Full<'_> {
    fn begin(place: &Place) -> Full<'_> {
        place.file("store/default/specs/nodes.yaml", NODES);
        place.file("watched/before", "");
        let words = ["serve", "--listen", "127.0.0.1:0", "--flows", "store"];
        let served = place.serve(&words, "default/fill");
        let say = served.find_address("default/say");
        Full {
            place,
            served,
            fillers: Vec::new(),
            say,
        }
    }

    /// Begins runs: as many as are given for each request, and one for the request itself.
    fn fill(&mut self, children: &[usize]) {
        for count in children {
            let mut client = self.served.connect();
            let body = format!("[{}]", vec!["0"; *count].join(","));
            let headers = "Content-Type: application/json\r\nX-Request-Timeout-Ms: 3600000\r\n";
            client.ask("POST", "/", headers, body.as_bytes());
            self.fillers.push(client);
        }
    }

    /// Runs that go on.
    fn runs(&self) -> usize {
        self.place.tell(&["trace"]).matches("goes on").count()
    }

    fn client(&self) -> Client {
        Client::tcp(&self.say)
    }

    /// A figure of the server's.
    fn figure(&self, name: &str) -> usize {
        let mut client = Client::tcp(&self.served.find_address_of("listening on http://"));
        client.ask("GET", "/metrics", "", b"");
        let figures = client.answer().text();
        let line = figures.lines().find_map(|line| line.strip_prefix(name));
        line.map_or(0, |value| value.trim().parse().unwrap())
    }

    /// Requests of the one listener that have begun and ended.
    fn said(&self) -> usize {
        let labels = "{deployment=\"flows:default\",command=\"say\"}";
        assert_eq!(self.figure(&format!("nexus_calls_open{labels}")), 0);
        self.figure(&format!("nexus_calls_total{labels}"))
    }

    fn received(&self) -> usize {
        self.figure("nexus_received_bytes_total")
    }

    fn memory_kib(&self) -> usize {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.served.pid())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }
}

/// An end of the input that comes later than that with its request means that the client has left.
fn let_half_close_pass() {
    let begun = Instant::now();
    until("half a second", || begun.elapsed() > Duration::from_millis(500));
}

#[test]
fn requests_wait_until_runs_end() {
    let place = Place::new();
    let mut full = Full::begin(&place);
    full.fill(&[1000, 1000, 1000, 1000, 91]);
    until("no more runs can begin", || full.runs() == RUNS_MAX);

    // Some send far more than one request.
    let before_kib = full.memory_kib();
    let mut received = full.received();
    let mut clients: Vec<Client> = (0..150).map(|_| full.client()).collect();
    for (number, client) in clients.iter_mut().enumerate() {
        let request = request(number, "", 0);
        client.say(&request);
        received += request.len();
    }
    until("the server has all requests", || full.received() > received);
    let mut offered = 0;
    let mut floods = Vec::new();
    for _ in 0..20 {
        let mut client = full.client();
        client.say(&request(0, "", 0));
        let burden = request(1, "", 1 << 20);
        let mut sent = Vec::new();
        loop {
            let at_once = client.say_at_once(&burden);
            offered += at_once;
            sent.push(at_once);
            if at_once < burden.len() {
                break;
            }
        }
        floods.push((client, burden, sent));
    }
    assert_eq!(full.runs(), RUNS_MAX);
    assert_eq!(full.said(), 0, "none has begun");
    let grown_kib = full.memory_kib().saturating_sub(before_kib);
    eprintln!(
        "170 requests wait, {} KiB more were offered: the server has grown by {grown_kib} KiB",
        offered >> 10
    );
    assert!(offered > 32 << 20, "{offered} bytes were offered");
    assert!(grown_kib < 16 << 10, "the server has grown by {grown_kib} KiB");

    // One that says all and ends its side waits as the others; one that leaves is no run; one has a deadline.
    let mut half = full.client();
    half.say(&request(7, "", 0));
    half.end();
    let mut gone = full.client();
    gone.say(&request(8, "", 0));
    let mut late = full.client();
    late.say(&request(9, "X-Request-Timeout-Ms: 300\r\n", 0));
    late.answer().check(504, &["timeout"]);
    let_half_close_pass();
    let connections = full.figure("nexus_connections");
    drop(gone);
    until("it is noticed", || full.figure("nexus_connections") < connections);

    // Runs end, but for those of four thousand others.
    full.fillers.pop();
    for (number, client) in clients.iter_mut().enumerate() {
        client.answer().check(200, &[&number.to_string()]);
    }
    half.answer().check(200, &["7"]);
    for (client, burden, sent) in &mut floods {
        let last = sent.last().copied().unwrap_or_default();
        client.say(&burden[last..]);
        client.answer().check(200, &["0"]);
        for _ in sent {
            client.answer().check(200, &["1"]);
        }
    }
    let more: usize = floods.iter().map(|(_, _, sent)| sent.len()).sum();
    assert_eq!(full.said(), 150 + 20 + more + 1, "each request begins one run");
    full.fillers.clear();
    until("all runs are over", || full.runs() == 0);
    full.served.stop();
}

#[test]
fn timers_and_watches_wait_too() {
    let place = Place::new();
    let mut full = Full::begin(&place);
    full.fill(&[1000, 1000, 1000, 1000, 91]);
    until("no more runs can begin", || full.runs() == RUNS_MAX);
    place.file("more.yaml", &more_nodes(&place));
    place.tell(&["apply", "specs", "--store", "store", "-f", "more.yaml"]);
    until("it watches", || {
        full.served.log().contains("default/files is watching")
    });
    place.file("watched/lost", "");
    // The log says of a change that it can't begin a run; a timer is silent, as when its last run goes on.
    until("the change is told of", || {
        full.served
            .log()
            .contains("default/files: a change is not told: namespace 'default' has 4096 runs")
    });
    assert!(
        !full.served.log().contains("default/every: run"),
        "{}",
        full.served.log()
    );
    let_half_close_pass();
    full.fillers.pop();
    until("the timer begins runs", || {
        full.served.log().contains("default/every: run")
    });
    place.file("watched/found", "");
    until("changes begin runs", || {
        full.served.log().contains("watched/found")
    });
    assert!(
        !full.served.log().contains("watched/lost"),
        "{}",
        full.served.log()
    );
    full.fillers.clear();
    full.served.stop();
}

/// Clients that no descriptor is free for wait where the system keeps them.
#[test]
fn clients_wait_until_a_descriptor_is_free() {
    let place = Place::new();
    place.file("store/default/specs/nodes.yaml", NODES);
    let shell = "ulimit -n 48; exec \"$@\"";
    let words = ["serve", "--listen", "127.0.0.1:0", "--flows", "store"];
    let served = place.serve_by(&["sh", "-c", shell, "sh"], &words, "default/fill");
    answer_all(come(&served.find_address("default/say"), 0..150));
    served.stop();
}

/// Those beyond the limit of the server, too.
#[test]
fn clients_wait_until_others_leave() {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap();
    let files = limits
        .lines()
        .find(|line| line.starts_with("Max open files"))
        .unwrap();
    let files: usize = files
        .split_whitespace()
        .nth(3)
        .unwrap()
        .parse()
        .unwrap_or(usize::MAX);
    if files < CLIENTS_MAX + 1000 {
        eprintln!("skipped: {files} open files are too few for {CLIENTS_MAX} clients");
        return;
    }
    let place = Place::new();
    place.file("store/default/specs/nodes.yaml", NODES);
    let words = ["serve", "--listen", "127.0.0.1:0", "--flows", "store"];
    let served = place.serve(&words, "default/fill");
    let address = &served.find_address("default/say");
    // As many more as the system keeps for a listener.
    let count = CLIENTS_MAX + 100;
    let mut clients: Vec<_> = thread::scope(|scope| {
        let begin = |first| scope.spawn(move || come(address, (first..count).step_by(THREADS)));
        let threads: Vec<_> = (0..THREADS).map(begin).collect();
        let joined = threads.into_iter().flat_map(|thread| thread.join().unwrap());
        joined.collect()
    });
    clients.sort_by_key(|(came, _, _)| *came);
    // Who operates the server gets in all the same.
    assert!(place.tell(&["status"]).contains("say"));
    answer_all(clients);
    served.stop();
}

/// So many connect and ask: in the order in which they came.
fn come(address: &str, numbers: impl Iterator<Item = usize>) -> Vec<(Instant, usize, Client)> {
    let come = |number| {
        let mut client = Client::tcp(address);
        client.say(&request(number, "", 0));
        (Instant::now(), number, client)
    };
    numbers.map(come).collect()
}

/// Each is answered and leaves, which makes room for those behind.
fn answer_all(clients: Vec<(Instant, usize, Client)>) {
    for (_, number, mut client) in clients {
        client.answer().check(200, &[&number.to_string()]);
    }
}
