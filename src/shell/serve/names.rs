//! Names of hosts: addresses as they are written, and those of /etc/hosts. Asks no other server.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The addresses of a host.
///
/// # Errors
/// What to say where there are none.
pub fn resolve(host: &str) -> Result<Vec<IpAddr>, String> {
    if let Ok(address) = host.parse() {
        return Ok(vec![address]);
    }
    let text = std::fs::read_to_string("/etc/hosts").unwrap_or_default();
    let mut found = in_hosts(&text, host);
    if found.is_empty() && host.eq_ignore_ascii_case("localhost") {
        found = vec![IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
    }
    match found.is_empty() {
        true => Err(format!(
            "host '{host}' is not in /etc/hosts, and no name servers are asked; write its address, or add it there"
        )),
        false => Ok(found),
    }
}

/// The addresses that the text of a hosts file has for a name, those of version 4 first.
fn in_hosts(text: &str, host: &str) -> Vec<IpAddr> {
    let mut found = Vec::new();
    for line in text.lines() {
        let line = line.split('#').next().unwrap_or_default();
        let mut words = line.split_whitespace();
        if let Some(Ok(address)) = words.next().map(str::parse)
            && words.any(|name| name.eq_ignore_ascii_case(host))
        {
            found.push(address);
        }
    }
    found.sort();
    found.dedup();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts() {
        let text = "# comment\n127.0.0.1 localhost a\n::1 localhost # b\n10.0.0.1\tb.example  B\nnone c\n";
        let check = |host: &str, expected: &str| {
            let found: Vec<String> = in_hosts(text, host).iter().map(IpAddr::to_string).collect();
            assert_eq!(found.join(" "), expected, "{host}");
        };
        check("localhost", "127.0.0.1 ::1");
        check("b", "10.0.0.1");
        check("B.EXAMPLE", "10.0.0.1");
        check("c", "");
        assert_eq!(resolve("1.2.3.4").unwrap().len(), 1);
        assert_eq!(resolve("::1").unwrap().len(), 1);
        assert!(resolve("no such host").is_err());
    }
}
