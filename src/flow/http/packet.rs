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

/// Texts that most packets have, made once.
pub struct Names {
    /// In the order of [`KEYS`].
    keys: Vec<Value>,
    methods: Vec<Value>,
    headers: Vec<Value>,
    scheme: Value,
    /// HTTP/1.0 and HTTP/1.1.
    protocols: [Value; 2],
    empty: Value,
}

impl Default for Names {
    fn default() -> Names {
        let all = |texts: &[&str]| texts.iter().map(|text| Value::str(text)).collect();
        Names {
            keys: all(&KEYS),
            methods: all(&["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]),
            headers: all(&HEADERS),
            scheme: Value::str("http"),
            protocols: ["HTTP/1.0", "HTTP/1.1"].map(Value::str),
            empty: Value::Map(Rc::new(Vec::new())),
        }
    }
}

/// Headers that most requests have.
const HEADERS: [&str; 13] = [
    "Host",
    "User-Agent",
    "Accept",
    "Accept-Encoding",
    "Accept-Language",
    "Authorization",
    "Connection",
    "Content-Length",
    "Content-Type",
    "Cookie",
    "Origin",
    "Referer",
    "Sec-Fetch-Site",
];

/// The packet: `method`, `scheme`, `host`, `path` (not decoded), `query` and `header` (maps of lists, names of headers as
/// `Content-Type`), `protocol`, `body`, `status` (0, for an answer that is made of it), `params` (empty: a router's).
///
/// # Errors
/// Kind `bad_argument`: the query or the body is not what it says to be.
pub fn packet(asked: &Asked<'_>, names: &Names) -> Result<Value> {
    let host = Value::str(asked.host);
    let mut headers: Vec<(Value, Value)> = Vec::with_capacity(asked.headers.len());
    let mut media_type = "";
    let mut is_from_page = false;
    for (name, text) in asked.headers.iter().copied() {
        let known = HEADERS.iter().position(|known| known.eq_ignore_ascii_case(name));
        match known.map(|place| HEADERS[place]) {
            Some("Content-Type") => media_type = text,
            Some("Origin" | "Referer" | "Sec-Fetch-Site") => is_from_page = true,
            _ => {}
        }
        let name = match known.and_then(|place| names.headers.get(place)) {
            Some(known) => known.clone(),
            None => Value::Str(body::canonical(name).into()),
        };
        let value = match text == asked.host {
            true => host.clone(),
            false => Value::str(text),
        };
        let mut before = headers.iter_mut();
        match before.find(|(known, _)| known.as_str() == name.as_str()) {
            Some((_, Value::List(values))) => Rc::make_mut(values).push(value),
            _ => headers.push((name, Value::list(vec![value]))),
        }
    }
    let mut methods = names.methods.iter();
    let method = methods.find(|known| known.as_str() == Some(asked.method));
    let query = match asked.query {
        "" => names.empty.clone(),
        query => body::lists(target::fields(query)?),
    };
    let mut entries = Vec::with_capacity(KEYS.len());
    let mut keys = names.keys.iter();
    let mut put = |value: Value| {
        if let Some(key) = keys.next() {
            entries.push((key.clone(), value));
        }
    };
    put(method.cloned().unwrap_or_else(|| Value::str(asked.method)));
    put(names.scheme.clone());
    put(host);
    put(Value::str(asked.path));
    put(query);
    put(names.protocols[usize::from(!asked.is_old)].clone());
    put(Value::Map(Rc::new(headers)));
    put(body::read(media_type, asked.body, !is_from_page)?);
    put(Value::Int(0));
    put(names.empty.clone());
    Ok(Value::Map(Rc::new(entries)))
}

/// The keys that a packet has.
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
            let packet = packet(&asked, &Names::default()).unwrap();
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
            json::text(&packet(&asked, &Names::default()).unwrap()),
            "{\"method\":\"POST\",\"scheme\":\"http\",\"host\":\"h:1\",\"path\":\"/a%20b\",\"query\":{\"q\":[\"1\",\"2\"]},\
             \"protocol\":\"HTTP/1.1\",\"header\":{\"Content-Type\":[\"application/json\"],\"X-A\":[\"1\",\"2\"]},\
             \"body\":{\"n\":1},\"status\":0,\"params\":{}}"
        );
    }
}
