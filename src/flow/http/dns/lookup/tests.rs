//! Searches against servers whose answers stand in a table.

use super::*;

/// What a server does with a question.
enum Does<'a> {
    Says(u16, &'a [&'a [u8]]),
    Nothing,
    Fails,
}

/// An answer to a question: its id and name again, a code, and addresses.
fn answer(question: &[u8], code: u16, addresses: &[&[u8]]) -> Vec<u8> {
    let mut message = question.to_vec();
    message[2..4].copy_from_slice(&(0x8180 | code).to_be_bytes());
    message[7] = addresses.len() as u8;
    let record_type = question[question.len() - 3];
    for address in addresses {
        message.extend_from_slice(&[0xc0, 12, 0, record_type, 0, 1, 0, 0, 0, 9, 0, address.len() as u8]);
        message.extend_from_slice(address);
    }
    message
}

/// The name in a question.
fn name_of(question: &[u8]) -> String {
    let (mut name, mut rest) = (String::new(), &question[12..]);
    while let [length, behind @ ..] = rest
        && *length > 0
    {
        let (label, behind) = behind.split_at(usize::from(*length));
        name.push_str(if name.is_empty() { "" } else { "." });
        name.push_str(std::str::from_utf8(label).unwrap());
        rest = behind;
    }
    name
}

/// Who was asked for what and when, in seconds, and what it came to.
fn search<'a>(host: &str, text: &str, does: &dyn Fn(&str, Family, usize) -> Does<'a>) -> String {
    let mut told = String::new();
    let mut now_ms = 0;
    let mut lookup = match Lookup::new(host, Configuration::parse(text)) {
        Ok(lookup) => lookup,
        Err((kind, message)) => return format!("{} {message}", kind.name()),
    };
    for count in 0.. {
        if let Some(answer) = lookup.poll_answer() {
            assert!(lookup.next_deadline().is_none());
            return told
                + &match answer {
                    Ok(found) => found.iter().map(IpAddr::to_string).collect::<Vec<_>>().join(" "),
                    Err((kind, message)) => format!("{} {message}", kind.name()),
                };
        }
        let asked = lookup.poll_try(0x0102_0304, now_ms).unwrap();
        assert!(lookup.poll_try(0, now_ms).is_none());
        let name = name_of(&asked.questions[0]);
        told += &format!("{}?{name}@{} ", asked.server.ip(), now_ms as f64 / 1000.0);
        for (question, family) in asked.questions.iter().zip([Family::V4, Family::V6]) {
            match does(&name, family, count) {
                Does::Says(code, addresses) => {
                    let answer = answer(question, code, addresses);
                    // One that is not for this question changes nothing.
                    let mut other = answer.clone();
                    other[0] ^= 1;
                    lookup.handle_datagram(&other, now_ms);
                    lookup.handle_datagram(&answer, now_ms);
                }
                Does::Nothing => {}
                Does::Fails => lookup.handle_failed("connection refused"),
            }
        }
        if let Some(due_ms) = lookup.next_deadline() {
            lookup.handle_timeout(due_ms - 1);
            assert_eq!(lookup.next_deadline(), Some(due_ms));
            now_ms = due_ms;
            lookup.handle_timeout(now_ms);
        }
    }
    unreachable!("a search ends")
}

const FOUR: &[u8] = &[10, 0, 0, 1];
const SIX: &[u8] = &[0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
const TWO: &str = "nameserver 1.1.1.1\nnameserver 2.2.2.2\n";

#[test]
fn both_families() {
    let check = |four: Does<'static>, six: Does<'static>, expected: &str| {
        let copy = |of: &Does<'static>| match of {
            Does::Says(code, addresses) => Does::Says(*code, addresses),
            Does::Nothing => Does::Nothing,
            Does::Fails => Does::Fails,
        };
        let told = search("a.b", TWO, &|_, family, _| match family {
            Family::V4 => copy(&four),
            Family::V6 => copy(&six),
        });
        assert_eq!(told, expected);
    };
    let (has_four, has_six) = (|| Does::Says(0, &[FOUR]), || Does::Says(0, &[SIX]));
    let (none, missing, broken) = (
        || Does::Says(0, &[]),
        || Does::Says(3, &[]),
        || Does::Says(2, &[]),
    );
    check(has_four(), has_six(), "1.1.1.1?a.b@0 10.0.0.1 1::1");
    check(has_four(), none(), "1.1.1.1?a.b@0 10.0.0.1");
    check(none(), has_six(), "1.1.1.1?a.b@0 1::1");
    check(has_four(), Does::Nothing, "1.1.1.1?a.b@0 10.0.0.1");
    check(Does::Nothing, has_six(), "1.1.1.1?a.b@0 1::1");
    check(has_four(), broken(), "1.1.1.1?a.b@0 10.0.0.1");
    check(none(), none(), "1.1.1.1?a.b@0 io host 'a.b' has no addresses");
    check(missing(), Does::Nothing, "1.1.1.1?a.b@0 io no host 'a.b'");
    check(
        none(),
        broken(),
        "1.1.1.1?a.b@0 2.2.2.2?a.b@0 1.1.1.1?a.b@0 2.2.2.2?a.b@0 \
         unavailable name server 2.2.2.2:53 doesn't help with 'a.b': it has failed",
    );
}

#[test]
fn servers_and_rounds() {
    let check = |text: &str, fine: usize, otherwise: fn() -> Does<'static>, expected: &str| {
        let told = search("a.b", text, &|_, _, count| match count == fine {
            true => Does::Says(0, &[FOUR]),
            false => otherwise(),
        });
        // Records A of four bytes are none of version 6: that server fails with those alone.
        assert_eq!(told, expected);
    };
    check(TWO, 1, || Does::Nothing, "1.1.1.1?a.b@0 2.2.2.2?a.b@2 10.0.0.1");
    check(
        TWO,
        2,
        || Does::Fails,
        "1.1.1.1?a.b@0 2.2.2.2?a.b@0 1.1.1.1?a.b@0 10.0.0.1",
    );
    check(
        TWO,
        9,
        || Does::Nothing,
        "1.1.1.1?a.b@0 2.2.2.2?a.b@2 1.1.1.1?a.b@4 2.2.2.2?a.b@6 \
         unavailable name server 2.2.2.2:53 doesn't help with 'a.b': it hasn't answered",
    );
    check(
        "nameserver 1.1.1.1\noptions timeout:1 attempts:1",
        9,
        || Does::Fails,
        "1.1.1.1?a.b@0 unavailable name server 1.1.1.1:53 doesn't help with 'a.b': connection refused",
    );
}

#[test]
fn names() {
    let check = |host: &str, options: &str, expected: &str| {
        let text = format!("nameserver 1.1.1.1\nsearch one two.x\n{options}");
        let told = search(host, &text, &|name, family, _| match (name, family) {
            ("a.two.x" | "b" | "c.d", Family::V4) => Does::Says(0, &[FOUR]),
            ("a.two.x" | "b" | "c.d" | "none.one", _) => Does::Says(0, &[]),
            ("broken.one", _) => Does::Says(5, &[]),
            _ => Does::Says(3, &[]),
        });
        assert_eq!(told.replace("1.1.1.1?", "").replace("@0", ""), expected, "{host}");
    };
    check("a", "", "a.one a.two.x 10.0.0.1");
    check("b", "", "b.one b.two.x b 10.0.0.1");
    check("b.", "", "b 10.0.0.1");
    check("c.d", "", "c.d 10.0.0.1");
    check("c.d", "options ndots:2", "c.d.one c.d.two.x c.d 10.0.0.1");
    check("x", "", "x.one x.two.x x io no host 'x'");
    check("x.y", "", "x.y io no host 'x.y'");
    check(
        "none",
        "",
        "none.one none.two.x none io host 'none' has no addresses",
    );
    // What a longer name comes to is not known, so the shorter one is not taken for it.
    check(
        "broken",
        "options attempts:1",
        "broken.one unavailable name server 1.1.1.1:53 doesn't help with 'broken.one': it refuses to answer",
    );
    check("a..b", "", "bad_argument 'a..b' is no name of a host");
    let long = ["x".repeat(63), "x".repeat(63), "x".repeat(63), "x".repeat(60)].join(".");
    check(&long, "options ndots:9", &format!("{long} io no host '{long}'"));
}
