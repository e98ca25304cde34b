//! Fuzzed answers of name servers: whatever they are, they are refused or have addresses of the family that was asked for, and
//! a search that hears them ends.

use nexus::flow::http::dns::configuration::Configuration;
use nexus::flow::http::dns::lookup::Lookup;
use nexus::flow::http::dns::{Family, Reply, read};

/// A message; what is behind its first line break is also the text of a configuration.
pub fn dns(input: &[u8]) {
    for family in [Family::V4, Family::V6] {
        if let Reply::Addresses(found) = read(input, 7, "a.b", family) {
            assert!(found.len() <= 8, "{found:?}");
            let is_asked = |address: &std::net::IpAddr| address.is_ipv4() == (family == Family::V4);
            assert!(found.iter().all(is_asked), "{found:?}");
        }
    }
    let begin = input.iter().position(|byte| *byte == b'\n').unwrap_or(0);
    let text = String::from_utf8_lossy(input.get(begin..).unwrap_or_default());
    let configuration = Configuration::parse(&text);
    let (servers, names) = (configuration.servers.len(), configuration.search.len() + 1);
    assert!((1..=3).contains(&servers) && names <= 7 && (1..=5).contains(&configuration.rounds));
    let tries_max = servers * names * configuration.rounds;
    let mut lookup = Lookup::new("a.b", configuration).expect("a name");
    let mut now = 0;
    for _ in 0..=tries_max {
        if lookup.poll_answer().is_some() {
            return;
        }
        lookup.poll_try(0x0007_0007, now).expect("a try");
        lookup.handle_datagram(input, now);
        if let Some(due) = lookup.next_deadline() {
            now = due;
            lookup.handle_timeout(now);
        }
    }
    panic!("a search has no end");
}
