//! How a server of flows ends: runs in flight have their grace, and nothing is left however it goes.

use crate::http::Client;
use crate::served::{Place, has, until};

/// A flow that waits at its gate.
fn nodes(place: &Place) -> String {
    "- {kind: listener, name: web, port: 0, links: {out: [{name: gate}]}}\n".to_string() + &place.gate()
}

fn start(place: &Place) -> crate::served::Served<'_> {
    place.file("nodes.yaml", &nodes(place));
    place.serve(&["start", "--from-specs", "nodes.yaml"], "default/web")
}

/// A server that has been told to end while a run goes on, and the client that waits for it.
fn signalled(place: &Place) -> (crate::served::Served<'_>, Client) {
    let served = start(place);
    let mut client = served.connect();
    client.ask("GET", "/", "", b"");
    until("the run has begun", || place.0.join("began").exists());
    served.signal("TERM");
    until("nobody listens", || {
        std::net::TcpStream::connect(&served.address).is_err()
    });
    (served, client)
}

#[test]
fn runs_in_flight_end_first() {
    if !has("python3") {
        return;
    }
    let place = Place::new();
    let (mut served, mut client) = signalled(&place);
    place.file("open", "");
    // The next node of the run is called after the signal.
    client.answer().check(200, &["through and after"]);
    assert_eq!(served.wait().code(), Some(0), "{}", served.log());
    place.assert_nothing_runs();
}

/// Of a run that nobody waits for nothing is told when it is over, and the programs that runs have called end then.
#[test]
fn runs_that_nobody_waits_for_end_first() {
    if !has("python3") {
        return;
    }
    let place = Place::new();
    let nodes = "
- {kind: listener, name: web, port: 0, links: {out: [{name: one}]}}
- {kind: snippet, name: one, language: python, code: 'def main(args): return 1', links: {out: [{name: apart}]}}
- {kind: fork, name: apart, links: {out: [{name: later}]}}
- {kind: sleep, name: later, interval: 1s}
";
    place.file("nodes.yaml", nodes);
    let served = place.serve(&["start", "--from-specs", "nodes.yaml"], "default/web");
    served.ask("GET", "/", "").check(200, &[]);
    served.stop();
}

#[test]
fn a_second_signal_gives_runs_up() {
    if !has("python3") {
        return;
    }
    let place = Place::new();
    let (mut served, mut client) = signalled(&place);
    served.signal("TERM");
    client.answer().check(499, &["the server is ending"]);
    served.wait();
    place.assert_nothing_runs();
}

#[test]
fn a_killed_server_leaves_no_process() {
    if !has("python3") {
        return;
    }
    let place = Place::new();
    let mut served = start(&place);
    let mut client = served.connect();
    client.ask("GET", "/", "", b"");
    until("the run has begun", || place.0.join("began").exists());
    let children = served.children();
    assert!(!children.is_empty());
    served.signal("KILL");
    served.wait();
    until("its pools are gone", || {
        children
            .iter()
            .all(|pid| !std::path::Path::new(&format!("/proc/{pid}")).exists())
    });
}

#[test]
fn a_client_that_leaves_ends_its_run() {
    if !has("python3") {
        return;
    }
    let place = Place::new();
    let served = start(&place);
    let mut client = served.connect();
    client.ask("GET", "/", "", b"");
    until("the run has begun", || place.0.join("began").exists());
    until("half a second", {
        let begun = std::time::Instant::now();
        move || begun.elapsed().as_millis() > 500
    });
    drop(client);
    until("the run is over", || {
        place.tell(&["trace"]).contains("failed: cancelled")
    });
    served.stop();
}
