//! Messages of the domain name system (RFC 1035): a question for the addresses of a host, and what a server answers to it.
//! Sends nothing, asks for no recursion of its own making, keeps nothing.

pub mod configuration;
pub mod lookup;

use crate::limits::{DNS_ADDRESSES_MAX, DNS_ALIASES_MAX, DNS_NAME_BYTES_MAX};
// The types alone; they open nothing.
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

const HEAD_BYTES: usize = 12;
/// A name in a message, with the lengths of its labels.
const WIRE_NAME_BYTES_MAX: usize = DNS_NAME_BYTES_MAX + 2;
const LABEL_BYTES_MAX: usize = 63;

const CLASS_INTERNET: u16 = 1;
const TYPE_ALIAS: u16 = 5;

/// Which addresses are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// Version 4: records A.
    V4,
    /// Version 6: records AAAA.
    V6,
}

impl Family {
    fn record_type(self) -> u16 {
        match self {
            Family::V4 => 1,
            Family::V6 => 28,
        }
    }
}

/// What a message means to who asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// Nothing: it answers another question, or is none.
    Other,
    /// The addresses; there is such a name even where there are none.
    Addresses(Vec<IpAddr>),
    /// There is no such name.
    NoName,
    /// The server is no help; why.
    Failed(&'static str),
}

/// The question for the addresses of a host, as a message; none if the host is no name.
pub fn question(id: u16, name: &str, family: Family) -> Option<Vec<u8>> {
    let mut message = Vec::with_capacity(HEAD_BYTES + WIRE_NAME_BYTES_MAX + 4);
    message.extend_from_slice(&id.to_be_bytes());
    // A question, to be answered with the help of others; one of them and nothing else.
    message.extend_from_slice(&[1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    message.extend_from_slice(&wire_name(name)?);
    message.extend_from_slice(&family.record_type().to_be_bytes());
    message.extend_from_slice(&CLASS_INTERNET.to_be_bytes());
    Some(message)
}

/// A name as labels; a dot at its end is not needed.
fn wire_name(name: &str) -> Option<Vec<u8>> {
    let name = name.strip_suffix('.').unwrap_or(name);
    if name.len() > DNS_NAME_BYTES_MAX {
        return None;
    }
    let mut wire = Vec::with_capacity(WIRE_NAME_BYTES_MAX);
    for label in name.split('.') {
        let is_label = !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_graphic());
        if !is_label || label.len() > LABEL_BYTES_MAX {
            return None;
        }
        wire.push(label.len() as u8);
        wire.extend(label.bytes().map(|byte| byte.to_ascii_lowercase()));
    }
    wire.push(0);
    Some(wire)
}

/// What a message says to the question of that id.
pub fn read(message: &[u8], id: u16, name: &str, family: Family) -> Reply {
    let Some(wire) = wire_name(name) else {
        return Reply::Other;
    };
    let Some((flags, answers, records)) = read_head(message, id, &wire, family) else {
        return Reply::Other;
    };
    match flags & 0xf {
        _ if flags & 0x0200 != 0 => return Reply::Failed("its answer is cut, and no TCP is spoken to it"),
        0 => {}
        1 => return Reply::Failed("it doesn't understand the question"),
        2 => return Reply::Failed("it has failed"),
        3 => return Reply::NoName,
        4 => return Reply::Failed("it doesn't answer such questions"),
        5 => return Reply::Failed("it refuses to answer"),
        _ => return Reply::Failed("its answer is an unknown error"),
    }
    match follow(message, records, answers, wire, family) {
        Some(found) => Reply::Addresses(found),
        None => Reply::Failed("its answer can't be read"),
    }
}

/// The flags, the number of records that it claims and where they begin, of an answer to that question.
fn read_head(message: &[u8], id: u16, wire: &[u8], family: Family) -> Option<(u16, u16, usize)> {
    let flags = word_at(message, 2)?;
    // An answer to a usual question, one.
    let is_answer = flags & 0x8000 != 0 && flags & 0x7800 == 0 && word_at(message, 4)? == 1;
    if !is_answer || word_at(message, 0)? != id {
        return None;
    }
    let (asked, at) = name_at(message, HEAD_BYTES)?;
    let is_ours = asked == wire
        && word_at(message, at)? == family.record_type()
        && word_at(message, at + 2)? == CLASS_INTERNET;
    is_ours.then_some((flags, word_at(message, 6)?, at + 4))
}

/// The addresses that the records have for a name, through its aliases.
fn follow(message: &[u8], records: usize, count: u16, name: Vec<u8>, family: Family) -> Option<Vec<IpAddr>> {
    let mut wanted = name;
    for _ in 0..=DNS_ALIASES_MAX {
        let mut found = Vec::new();
        let mut alias = None;
        let mut at = records;
        for _ in 0..count {
            let (owner, behind) = name_at(message, at)?;
            let (record_type, class) = (word_at(message, behind)?, word_at(message, behind + 2)?);
            // Between them and the length is for how long it may be kept.
            let begin = behind + 10;
            let data = message.get(begin..begin + usize::from(word_at(message, behind + 8)?))?;
            at = begin + data.len();
            if class != CLASS_INTERNET || owner != wanted {
                continue;
            }
            if record_type == family.record_type() {
                let address = match family {
                    Family::V4 => IpAddr::V4(Ipv4Addr::from(<[u8; 4]>::try_from(data).ok()?)),
                    Family::V6 => IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(data).ok()?)),
                };
                if found.len() < DNS_ADDRESSES_MAX && !found.contains(&address) {
                    found.push(address);
                }
            } else if record_type == TYPE_ALIAS {
                let (target, end) = name_at(message, begin)?;
                if end != at {
                    return None;
                }
                alias = Some(target);
            }
        }
        match alias {
            Some(target) if found.is_empty() => wanted = target,
            _ => return Some(found),
        }
    }
    None
}

fn word_at(message: &[u8], at: usize) -> Option<u16> {
    let bytes = message.get(at..at.checked_add(2)?)?;
    Some(u16::from_be_bytes(bytes.try_into().ok()?))
}

/// The name at a place, in small letters, and what stands behind it. A pointer has to lead to before all that was read of the
/// name, so that each is followed once.
fn name_at(message: &[u8], at: usize) -> Option<(Vec<u8>, usize)> {
    let mut name = Vec::new();
    let (mut at, mut begin, mut behind) = (at, at, None);
    loop {
        let length = *message.get(at)?;
        match length {
            0 => {
                name.push(0);
                return Some((name, behind.unwrap_or(at + 1)));
            }
            1..=63 => {
                let label = message.get(at..at + 1 + usize::from(length))?;
                // One byte is for the end.
                if name.len() + label.len() >= WIRE_NAME_BYTES_MAX {
                    return None;
                }
                // The length is below the letters.
                name.extend(label.iter().map(u8::to_ascii_lowercase));
                at += label.len();
            }
            192.. => {
                let target = usize::from(word_at(message, at)? & 0x3fff);
                if target >= begin {
                    return None;
                }
                behind = behind.or(Some(at + 2));
                (at, begin) = (target, target);
            }
            // Kinds of labels that were never used.
            _ => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions() {
        let check = |name: &str, expected: Option<&[u8]>| {
            let told = question(0x1234, name, Family::V6);
            assert_eq!(told.as_deref(), expected, "{name}");
        };
        let expected = b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x01a\x02bc\0\0\x1c\0\x01";
        check("a.bc", Some(expected));
        check("A.bC.", Some(expected));
        let label = "x".repeat(63);
        let long = [label.as_str(); 4].join(".");
        assert!(question(0, &long[..253], Family::V4).is_some());
        for name in [
            "",
            ".",
            "a..b",
            ".a",
            "a b",
            "\u{e4}.b",
            &"x".repeat(64),
            &long[..254],
        ] {
            check(name, None);
        }
    }

    /// An answer to the question of id 7 for `a.b`: flags and code, number of records, what is behind the question.
    fn answer(flags: u16, records: u16, rest: &[u8]) -> Vec<u8> {
        let mut message = vec![0, 7];
        message.extend_from_slice(&flags.to_be_bytes());
        message.extend_from_slice(&[0, 1]);
        message.extend_from_slice(&records.to_be_bytes());
        message.extend_from_slice(b"\0\0\0\0\x01a\x01b\0\0\x01\0\x01");
        message.extend_from_slice(rest);
        message
    }

    fn told(message: &[u8]) -> String {
        match read(message, 7, "A.b", Family::V4) {
            Reply::Other => "other".to_string(),
            Reply::Addresses(found) => {
                let found: Vec<String> = found.iter().map(IpAddr::to_string).collect();
                found.join(" ")
            }
            Reply::NoName => "no name".to_string(),
            Reply::Failed(what) => what.to_string(),
        }
    }

    /// A record: its owner as it stands there, its type, its data.
    fn record(owner: &[u8], record_type: u8, data: &[u8]) -> Vec<u8> {
        let head = [0, record_type, 0, 1, 0, 0, 0, 60, 0, data.len() as u8];
        [owner, &head, data].concat()
    }

    /// A pointer to the name of the question.
    const ASKED: &[u8] = b"\xc0\x0c";

    #[test]
    fn answers() {
        let check = |records: &[Vec<u8>], expected: &str| {
            let message = answer(0x8180, records.len() as u16, &records.concat());
            assert_eq!(told(&message), expected);
            // However it is cut, there is no more in it than that.
            for end in 0..message.len() {
                let told = told(&message[..end]);
                let is_none = told == "other" || told == "its answer can't be read";
                assert!(is_none, "{end}: {told}");
            }
        };
        check(&[], "");
        check(
            &[
                record(ASKED, 1, &[10, 0, 0, 1]),
                record(b"\x01A\x01B\0", 1, &[10, 0, 0, 2]),
            ],
            "10.0.0.1 10.0.0.2",
        );
        check(&vec![record(ASKED, 1, &[10, 0, 0, 1]); 3], "10.0.0.1");
        let many: Vec<_> = (0..9).map(|last| record(ASKED, 1, &[1, 1, 1, last])).collect();
        check(
            &many,
            "1.1.1.0 1.1.1.1 1.1.1.2 1.1.1.3 1.1.1.4 1.1.1.5 1.1.1.6 1.1.1.7",
        );
        // Names and types that were not asked for.
        check(
            &[
                record(b"\x01c\0", 1, &[9, 9, 9, 9]),
                record(ASKED, 16, b"\x01x"),
                record(ASKED, 1, &[10, 0, 0, 1]),
            ],
            "10.0.0.1",
        );
        // Aliases in any order; `c.b` points into the question.
        let chain = [
            record(b"\x01d\0", 1, &[10, 0, 0, 3]),
            record(ASKED, 5, b"\x01c\xc0\x0e"),
            record(b"\x01c\x01b\0", 5, b"\x01d\0"),
        ];
        check(&chain, "10.0.0.3");
        check(&chain[1..], "");
    }

    #[test]
    fn answers_of_no_use() {
        let check = |message: Vec<u8>, expected: &str| assert_eq!(told(&message), expected);
        check(answer(0x8183, 0, b""), "no name");
        check(answer(0x8182, 0, b""), "it has failed");
        check(answer(0x8185, 0, b""), "it refuses to answer");
        check(answer(0x8187, 0, b""), "its answer is an unknown error");
        check(
            answer(0x8380, 0, b""),
            "its answer is cut, and no TCP is spoken to it",
        );
        // A question, another opcode, another id, two questions, another name or type, nothing.
        check(answer(0x0100, 0, b""), "other");
        check(answer(0x8980, 0, b""), "other");
        for (place, byte) in [(1, 8), (5, 2), (13, b'x'), (18, 28), (20, 3)] {
            let mut message = answer(0x8180, 0, b"");
            message[place] = byte;
            check(message, "other");
        }
        check(Vec::new(), "other");
    }

    #[test]
    fn answers_that_lie() {
        let check = |count: u16, records: &[u8]| {
            let message = answer(0x8180, count, records);
            assert_eq!(told(&message), "its answer can't be read");
        };
        check(u16::MAX, &record(ASKED, 1, &[10, 0, 0, 1]));
        // Addresses that are too short and too long; an alias with more behind it.
        check(1, &record(ASKED, 1, &[10, 0, 0]));
        check(1, &record(ASKED, 1, &[10, 0, 0, 1, 0]));
        check(1, &record(ASKED, 5, b"\x01c\0\0"));
        // Pointers to themselves, forward, and in a circle; labels that never were.
        check(1, &record(b"\xc0\x15", 1, &[10, 0, 0, 1]));
        check(1, &record(b"\xc0\xff", 1, &[10, 0, 0, 1]));
        check(1, &record(b"\x01x\xc0\x15", 1, &[10, 0, 0, 1]));
        check(1, &record(b"\x40x\0", 1, &[10, 0, 0, 1]));
        // A name that is too long.
        let long = [b"\x3f".as_slice(), &[b'x'; 63]].concat().repeat(4);
        check(1, &record(&[&long, b"\0".as_slice()].concat(), 1, &[10, 0, 0, 1]));
        // An alias of itself, and more of them than are followed.
        check(1, &record(ASKED, 5, ASKED));
        let mut chain = record(ASKED, 5, b"\x010\0");
        for number in b'0'..=b'8' {
            chain.extend(record(&[1, number, 0], 5, &[1, number + 1, 0]));
        }
        check(10, &chain);
    }
}
