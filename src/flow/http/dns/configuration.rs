//! Which name servers are asked and how, as resolv.conf(5) says it. Reads no file.

use crate::limits::{
    DNS_NDOTS_MAX, DNS_ROUNDS, DNS_ROUNDS_MAX, DNS_SEARCH_MAX, DNS_SERVERS_MAX, DNS_TIMEOUT_S,
    DNS_TIMEOUT_S_MAX,
};
use core::net::{IpAddr, Ipv4Addr, SocketAddr};

const PORT: u16 = 53;

/// What the text of a resolv.conf says; the usual where it says nothing.
pub struct Configuration {
    /// In the order in which they are asked; one at least.
    pub servers: Vec<SocketAddr>,
    /// Domains that a short name is looked for in, before it is as it stands.
    pub search: Vec<String>,
    /// Dots from which on a name is not short.
    pub ndots: usize,
    /// How long a server has for its answer.
    pub timeout_ms: u64,
    /// How often each server is asked.
    pub rounds: usize,
}

impl Configuration {
    /// Reads a text. Lines and options that are unknown or can't be read are passed over, as everybody does: the file is
    /// written by other programs for other readers.
    pub fn parse(text: &str) -> Configuration {
        let mut read = Configuration {
            servers: Vec::new(),
            search: Vec::new(),
            ndots: 1,
            timeout_ms: DNS_TIMEOUT_S * 1000,
            rounds: DNS_ROUNDS,
        };
        for line in text.lines() {
            let line = line.split(['#', ';']).next().unwrap_or_default();
            let mut words = line.split_whitespace();
            match words.next() {
                Some("nameserver") if read.servers.len() < DNS_SERVERS_MAX => {
                    read.servers.extend(words.next().and_then(server));
                }
                // The last one counts.
                Some("search" | "domain") => {
                    let names = words.map(|name| name.trim_end_matches('.'));
                    let names = names.filter(|name| !name.is_empty());
                    read.search = names.take(DNS_SEARCH_MAX).map(String::from).collect();
                }
                Some("options") => words.for_each(|word| read.take_option(word)),
                _ => {}
            }
        }
        if read.servers.is_empty() {
            read.servers
                .push(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), PORT));
        }
        read
    }

    fn take_option(&mut self, word: &str) {
        let Some((name, Ok(number))) = word
            .split_once(':')
            .map(|(name, text)| (name, text.parse::<usize>()))
        else {
            return;
        };
        match name {
            "ndots" => self.ndots = number.min(DNS_NDOTS_MAX),
            "timeout" => self.timeout_ms = (number as u64).clamp(1, DNS_TIMEOUT_S_MAX) * 1000,
            "attempts" => self.rounds = number.clamp(1, DNS_ROUNDS_MAX),
            _ => {}
        }
    }
}

/// An address, or `[ADDRESS]:PORT` for a server that listens elsewhere.
fn server(word: &str) -> Option<SocketAddr> {
    let Some((address, port)) = word.strip_prefix('[').and_then(|rest| rest.split_once("]:")) else {
        return Some(SocketAddr::new(word.parse::<IpAddr>().ok()?, PORT));
    };
    Some(SocketAddr::new(
        address.parse::<IpAddr>().ok()?,
        port.parse().ok()?,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts() {
        let check = |text: &str, expected: &str| {
            let read = Configuration::parse(text);
            let servers: Vec<String> = read.servers.iter().map(SocketAddr::to_string).collect();
            let (servers, search) = (servers.join(" "), read.search.join(" "));
            let told = format!(
                "{servers}|{search}|{} {} {}",
                read.ndots, read.timeout_ms, read.rounds
            );
            assert_eq!(told, expected, "{text}");
        };
        check("", "127.0.0.1:53||1 2000 2");
        check(
            "# made by x\nnameserver 10.0.0.1 # first\nnameserver ::1\nsearch a.b. c\noptions ndots:5 edns0 timeout:1 attempts:3\n",
            "10.0.0.1:53 [::1]:53|a.b c|5 1000 3",
        );
        check(
            "nameserver x\nnameserver fe80::1%eth0\nnameserver [127.0.0.1]:5353\nnameserver [::1]:54\nnameserver [::1]:x\n\
             nameserver 1.1.1.1\nnameserver 2.2.2.2\n",
            "127.0.0.1:5353 [::1]:54 1.1.1.1:53||1 2000 2",
        );
        check(
            "search a\ndomain b\nsearch 1 2 3 4 5 6 7\n;domain c\noptions ndots:99 timeout:99 attempts:99\n",
            "127.0.0.1:53|1 2 3 4 5 6|15 30000 5",
        );
        check(
            "options ndots:0 timeout:0 attempts:0\noptions ndots timeout: attempts:-1\nsearch .\nnameserver\n\n",
            "127.0.0.1:53||0 1000 1",
        );
    }
}
