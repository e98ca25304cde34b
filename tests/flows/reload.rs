//! SIGHUP while requests run: none is lost, programs are loaded again and the store is read again.

use crate::http::Client;
use crate::served::{Place, Served, has, until};
use std::collections::BTreeSet;
use std::fs;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

const CLIENTS: usize = 4;

fn nodes(place: &Place, said: &str) -> String {
    let nodes = format!(
        "- {{kind: listener, name: web, port: 0, links: {{out: [{{name: routes}}]}}}}
- kind: router
  name: routes
  routes:
    - {{method: GET, path: /pid, port: 'out[0]'}}
    - {{method: GET, path: /say, port: 'out[1]'}}
    - {{method: GET, path: /gate, port: 'out[2]'}}
  links: {{'out[0]': [{{name: nothing}}], 'out[1]': [{{name: say}}], 'out[2]': [{{name: gate}}]}}
- {{kind: snippet, name: nothing, language: json, code: '[]', links: {{out: [{{name: pid}}]}}}}
- {{kind: call, name: pid, program: told, command: pid}}
- {{kind: snippet, name: say, language: text, code: {said}}}
"
    );
    nodes + &place.gate()
}

/// Asks all the time while `work` is done: the answers there were. Every request has to be answered well.
fn under_load(served: &Served, work: impl FnOnce(&AtomicUsize)) -> BTreeSet<String> {
    let is_over = AtomicBool::new(false);
    let asked = AtomicUsize::new(0);
    let answers = Mutex::new(BTreeSet::new());
    thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                let mut client = Client::tcp(&served.address);
                while !is_over.load(Ordering::Relaxed) {
                    for path in ["/pid", "/say"] {
                        client.ask("GET", path, "", b"");
                        let answer = client.answer();
                        // Others need not go on.
                        is_over.fetch_or(answer.status != 200, Ordering::Relaxed);
                        answer.check(200, &[]);
                        answers
                            .lock()
                            .unwrap()
                            .insert(format!("{path} {}", answer.text()));
                        asked.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
        work(&asked);
        is_over.store(true, Ordering::Relaxed);
    });
    answers.into_inner().unwrap()
}

#[test]
fn a_signal_loads_all_again_and_loses_no_request() {
    if !has("python3") {
        return;
    }
    let place = Place::new();
    place.file(
        "told/told.py",
        "import os\n\ndef pid() -> int:\n    return os.getpid()\n",
    );
    place.file("store/default/specs/nodes.yaml", &nodes(&place, "first"));
    let words = ["serve", "--listen", "127.0.0.1:0", "--flows", "store", "told"];
    let served = place.serve(&words, "default/web");
    until("the program is loaded", || {
        served.ask("GET", "/pid", "").status == 200
    });
    // A run that takes as long as all of this.
    let mut long = served.connect();
    long.ask("GET", "/gate", "", b"");
    until("it has begun", || place.0.join("began").exists());
    let mut pids = BTreeSet::new();
    let answers = under_load(&served, |asked| {
        for _ in 0..3 {
            let before = served.ask("GET", "/pid", "").text();
            served.signal("HUP");
            until("the program is loaded again", || {
                let now = served.ask("GET", "/pid", "").text();
                pids.insert(now.clone());
                now != before
            });
        }
        // Another store comes in the place of the one that is watched.
        place.file("other/default/specs/nodes.yaml", &nodes(&place, "second"));
        fs::rename(place.0.join("store"), place.0.join("old")).unwrap();
        fs::rename(place.0.join("other"), place.0.join("store")).unwrap();
        served.signal("HUP");
        until("the store is read again", || {
            served.ask("GET", "/say", "").text() == "second"
        });
        let before = asked.load(Ordering::Relaxed);
        until("others see that, too", || {
            asked.load(Ordering::Relaxed) > before + 4 * CLIENTS
        });
        // And it is the one that is watched now.
        place.file("store/default/specs/nodes.yaml", &nodes(&place, "third"));
        until("an edit is seen", || {
            served.ask("GET", "/say", "").text() == "third"
        });
        assert!(asked.load(Ordering::Relaxed) > 50);
    });
    for said in ["/say first", "/say second", "/say third"] {
        assert!(answers.contains(said), "{said} is not in {answers:?}");
    }
    assert!(pids.len() >= 3, "{pids:?}");
    // What had begun ends on what it began on; what it calls next is called in what is loaded now.
    place.file("open", "");
    long.answer().check(200, &["through and after"]);
    served.stop();
}
