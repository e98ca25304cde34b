//! A request as the packet that a listener sends. Reads no bytes of a connection.

use super::body;
use crate::codec::target;
use crate::error::Result;
use crate::flow::value::Value;
use std::rc::Rc;

/// A request, as it was received.
pub struct Asked<'a> {
    /// Its method, as `GET`.
    pub method: &'a str,
    /// The host that it means, with its port if it names one.
    pub host: &'a str,
    /// The path, not decoded.
    pub path: &'a str,
    /// What follows the `?`, not decoded.
    pub query: &'a str,
    /// It was asked in HTTP/1.0.
    pub is_old: bool,
    /// Names and values of its headers.
    pub headers: &'a [(&'a str, &'a str)],
    /// Its body without framing.
    pub body: &'a [u8],
}

/// The packet: `method`, `scheme`, `host`, `path` (not decoded), `query` and `header` (maps of lists, names of headers as
/// `Content-Type`), `protocol`, `body`, `status` (0, for an answer that is made of it).
///
/// # Errors
/// Kind `bad_argument`: the query or the body is not what it says to be.
pub fn packet(asked: Asked<'_>) -> Result<Value> {
    let mut headers: Vec<(String, Vec<Value>)> = Vec::new();
    let mut media_type = "";
    let mut is_from_page = false;
    for (name, value) in asked.headers.iter().copied() {
        if name.eq_ignore_ascii_case("content-type") {
            media_type = value;
        }
        is_from_page |= ["origin", "referer", "sec-fetch-site"]
            .iter()
            .any(|known| name.eq_ignore_ascii_case(known));
        let value = Value::str(value);
        match headers
            .iter_mut()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
        {
            Some((_, values)) => values.push(value),
            None => headers.push((body::canonical(name), vec![value])),
        }
    }
    let headers = headers
        .into_iter()
        .map(|(name, values)| (Value::Str(name.into()), Value::list(values)));
    Ok(Value::map([
        ("method", Value::str(asked.method)),
        ("scheme", Value::str("http")),
        ("host", Value::str(asked.host)),
        ("path", Value::str(asked.path)),
        ("query", body::lists(target::fields(asked.query)?)),
        (
            "protocol",
            Value::str(if asked.is_old { "HTTP/1.0" } else { "HTTP/1.1" }),
        ),
        ("header", Value::Map(Rc::new(headers.collect()))),
        ("body", body::read(media_type, asked.body, !is_from_page)?),
        ("status", Value::Int(0)),
    ]))
}

/// The keys that a packet has; `params` is a router's.
pub(super) const KEYS: [&str; 10] = [
    "method", "scheme", "host", "path", "query", "protocol", "header", "body", "status", "params",
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::value::json;

    /// A page can send a form to any server without being asked, but not JSON.
    #[test]
    fn forms_of_pages_are_no_json() {
        let check = |header: (&str, &str), expected: &str| {
            let asked = Asked {
                method: "POST",
                host: "",
                path: "/",
                query: "",
                is_old: false,
                headers: &[("content-type", "application/x-www-form-urlencoded"), header],
                body: b"{\"n\":1}",
            };
            let packet = packet(asked).unwrap();
            assert_eq!(json::text(packet.get("body").unwrap()), expected);
        };
        check(("user-agent", "curl"), "{\"n\":1}");
        check(("Origin", "http://evil.example"), "{\"{\\\"n\\\":1}\":[\"\"]}");
        check(("Sec-Fetch-Site", "none"), "{\"{\\\"n\\\":1}\":[\"\"]}");
    }

    #[test]
    fn a_request() {
        let headers = [("content-type", "application/json"), ("X-A", "1"), ("x-a", "2")];
        let asked = Asked {
            method: "POST",
            host: "h:1",
            path: "/a%20b",
            query: "q=1&q=2",
            is_old: false,
            headers: &headers,
            body: b"{\"n\":1}",
        };
        assert_eq!(
            json::text(&packet(asked).unwrap()),
            "{\"method\":\"POST\",\"scheme\":\"http\",\"host\":\"h:1\",\"path\":\"/a%20b\",\"query\":{\"q\":[\"1\",\"2\"]},\
             \"protocol\":\"HTTP/1.1\",\"header\":{\"Content-Type\":[\"application/json\"],\"X-A\":[\"1\",\"2\"]},\
             \"body\":{\"n\":1},\"status\":0}"
        );
    }
}
