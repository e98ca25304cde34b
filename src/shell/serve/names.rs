//! Names of hosts as this machine knows them: addresses as they are written, those of /etc/hosts, and which name servers there
//! are. Asks none of them.

use crate::flow::http::dns::configuration::Configuration;
use crate::limits::DNS_CONFIGURATION_BYTES_MAX;
use std::io::Read;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The addresses of a host that are known without asking; none: others may know.
pub fn known(host: &str) -> Vec<IpAddr> {
    if let Ok(address) = host.parse() {
        return vec![address];
    }
    let text = std::fs::read_to_string("/etc/hosts").unwrap_or_default();
    let mut found = in_hosts(&text, host);
    if found.is_empty() && host.eq_ignore_ascii_case("localhost") {
        found = vec![IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
    }
    found
}

/// Which name servers are asked: as the file says now that `NEXUS_RESOLV_CONF` names, else /etc/resolv.conf.
pub fn servers() -> Configuration {
    let named = std::env::var_os("NEXUS_RESOLV_CONF").filter(|path| !path.is_empty());
    let path = named.unwrap_or_else(|| "/etc/resolv.conf".into());
    let mut text = Vec::new();
    // Where there is no such file the usual holds, which is a server on this machine.
    if let Ok(file) = std::fs::File::open(path) {
        let _ = file.take(DNS_CONFIGURATION_BYTES_MAX).read_to_end(&mut text);
    }
    Configuration::parse(&String::from_utf8_lossy(&text))
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
        assert_eq!(known("1.2.3.4").len(), 1);
        assert_eq!(known("::1").len(), 1);
        assert!(known("no such host").is_empty());
    }
}
