//! Fuzzed conversations of the Model Context Protocol: whatever a client says, each exchange ends once, with one reply on one
//! line, when its calls have ended; and what was given up is never heard of again.

use nexus::codec::json::Reader;
use nexus::error::{Error, Kind};
use nexus::manifest::model::Manifest;
use nexus::manifest::parse::parse;
use nexus::serve::mcp::{Conversation, Offer, Output, Program, Tools};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;

/// What is known of the exchanges from outside.
#[derive(Default)]
struct Shadow {
    /// Exchanges that have not ended.
    open: BTreeSet<u64>,
    /// Calls that run, and their exchanges.
    calls: BTreeMap<u64, u64>,
    next_call: u64,
}

impl Shadow {
    fn check(&mut self, output: Output) {
        match output {
            Output::Reply { exchange, message } => {
                assert!(self.open.remove(&exchange), "it ends once");
                check_message(&message);
            }
            Output::Silence { exchange } => assert!(self.open.remove(&exchange), "it ends once"),
            Output::Note { exchange, message } => {
                assert!(self.open.contains(&exchange), "a note comes before the end");
                check_message(&message);
            }
            Output::Call { call, exchange, .. } => {
                assert!(self.open.contains(&exchange) && call == self.next_call);
                self.next_call += 1;
                self.calls.insert(call, exchange);
            }
            Output::Cancel { call } => assert!(self.calls.remove(&call).is_some(), "it ran"),
        }
    }

    /// Whatever waits, waits for a call.
    fn check_waiting(&self) {
        let waiting: BTreeSet<u64> = self.calls.values().copied().collect();
        assert_eq!(waiting, self.open);
    }
}

fn check_message(message: &[u8]) {
    let mut reader = Reader::new(message);
    let whole = reader.skip().and_then(|_| reader.finish());
    assert!(whole.is_ok(), "{}", String::from_utf8_lossy(message));
    assert!(!message.contains(&b'\n'));
}

/// A conversation, a message on each line. A line that begins with `!` ends the call that the number after it picks, one with
/// `?` makes it fail, one with `~` tells how far it is, and one with `#` logs.
pub fn mcp(input: &[u8]) {
    static SAMPLE: OnceLock<Manifest> = OnceLock::new();
    let manifest = SAMPLE.get_or_init(|| {
        parse(include_bytes!("../../tests/manifests/stats.json"), "stats").expect("the sample is a manifest")
    });
    let programs = [Program {
        name: "stats",
        manifest,
    }];
    let tools = Tools::of(&programs);
    let offer = Offer {
        programs: &programs,
        tools: &tools,
    };
    let (mut conversation, mut shadow) = (Conversation::default(), Shadow::default());
    for line in input.split(|byte| *byte == b'\n') {
        let picked = || {
            let number = line.get(1).map_or(0, |byte| usize::from(*byte));
            let calls = shadow.calls.keys().copied();
            calls
                .cycle()
                .nth(number % shadow.calls.len().max(1))
                .unwrap_or(number as u64)
        };
        match line.first() {
            Some(b'!') => {
                let call = picked();
                shadow.calls.remove(&call);
                conversation.handle_answer(call, manifest, Ok(line[1..].to_vec()));
            }
            Some(b'?') => {
                let call = picked();
                shadow.calls.remove(&call);
                let message = String::from_utf8_lossy(line);
                conversation.handle_answer(call, manifest, Err(Error::new(Kind::Raised, message)));
            }
            Some(b'~') => conversation.handle_progress(picked(), line.len() as f64, 9.0, "step"),
            Some(b'#') => conversation.handle_log(picked(), "py", "error", &String::from_utf8_lossy(line)),
            _ => {
                let exchange = conversation.handle_message(line, offer);
                assert!(shadow.open.insert(exchange), "its number is new");
            }
        }
        while let Some(output) = conversation.poll_output() {
            shadow.check(output);
        }
        shadow.check_waiting();
    }
    conversation.handle_end();
    while let Some(output) = conversation.poll_output() {
        assert!(matches!(output, Output::Cancel { .. }), "nobody listens any more");
        shadow.check(output);
    }
    assert!(shadow.calls.is_empty() && conversation.open_count() == 0);
}
