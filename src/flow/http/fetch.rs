//! A request of a flow to another server, in HTTP/1.1, as a state machine: bytes out, bytes in, then the answer as a value. One
//! request a connection. It opens none, resolves no name, follows no redirect and speaks no TLS.

use super::body;
use crate::error::{Error, Kind, Result};
use crate::flow::value::{Value, json};
use crate::limits::{
    HTTP_BODY_BYTES_MAX, HTTP_CHUNK_LINE_BYTES_MAX, HTTP_HEAD_BYTES_MAX, HTTP_HEADERS_MAX,
    HTTP_TARGET_BYTES_MAX,
};
use std::rc::Rc;

/// How far the answer is.
enum Phase {
    Head,
    /// So many bytes of the body are missing.
    Length(usize),
    /// Before a chunk.
    Size,
    /// So many bytes of a chunk are missing, with the end of its line.
    Chunk(usize),
    /// Behind the last chunk.
    Trailers,
    /// The body goes on until the connection ends.
    UntilEnd,
    Done,
}

/// A request under way.
pub struct Fetch {
    host: Rc<str>,
    port: u16,
    url: Rc<str>,
    is_head: bool,
    output: Vec<u8>,
    written: usize,
    /// What came and is not understood yet.
    input: Vec<u8>,
    phase: Phase,
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    answer: Option<Result<Value>>,
    timeout_ms: u64,
    due_ms: u64,
}

impl Fetch {
    /// The request that a value describes: a map with `url`, or with `host` and `path` as a packet has them, and with any of
    /// `method` (GET), `query` and `header` (maps of strings or lists), `body` (bytes and strings as they are, all else as
    /// JSON). It is given up after `timeout_ms`.
    ///
    /// # Errors
    /// Kind `bad_argument`: the value describes none; `usage`: it wants TLS.
    pub fn new(request: &Value, timeout_ms: u64, now_ms: u64) -> Result<Fetch> {
        let url = url_of(request)?;
        let target = Target::parse(&url)?;
        let method = match request.get("method") {
            None | Some(Value::Null) => "GET",
            Some(method) => method
                .as_str()
                .filter(|method| {
                    !method.is_empty()
                        && method.len() <= 32
                        && method.bytes().all(|byte| byte.is_ascii_alphabetic())
                })
                .ok_or_else(|| bad(format!("method of a request is {}", json::text(method))))?,
        };
        let mut content = Vec::new();
        let implied = match request.get("body").unwrap_or(&Value::Null) {
            Value::Null => None,
            Value::Bytes(bytes) => {
                content.extend_from_slice(bytes);
                Some("application/octet-stream")
            }
            Value::Str(text) => {
                content.extend_from_slice(text.as_bytes());
                Some("text/plain; charset=utf-8")
            }
            value => {
                json::write(value, &mut content)?;
                Some("application/json")
            }
        };
        let mut output = Vec::new();
        let path = target.path;
        let mut line = format!("{method} {path}");
        let query = super::answer::strings("query of a request", request.get("query"))?;
        for (position, (name, value)) in query.iter().enumerate() {
            line.push(match position == 0 && !path.contains('?') {
                true => '?',
                false => '&',
            });
            push_encoded(name, &mut line);
            line.push('=');
            push_encoded(value, &mut line);
        }
        if line.len() > HTTP_TARGET_BYTES_MAX {
            return Err(bad(format!(
                "url of a request has more than {HTTP_TARGET_BYTES_MAX} bytes"
            )));
        }
        line.push_str(" HTTP/1.1\r\n");
        output.extend_from_slice(line.as_bytes());
        push_header("Host", target.authority, &mut output);
        let mut has_type = false;
        for (name, value) in super::answer::header_lines("request", request.get("header"))? {
            // The framing is ours, and the host that of the url.
            if ["Host", "Content-Length", "Transfer-Encoding", "Connection"].contains(&name.as_str()) {
                continue;
            }
            has_type |= name == "Content-Type";
            push_header(&name, &value, &mut output);
        }
        if let Some(media_type) = implied.filter(|_| !has_type) {
            push_header("Content-Type", media_type, &mut output);
        }
        if implied.is_some() || !matches!(method, "GET" | "HEAD" | "DELETE" | "OPTIONS") {
            push_header("Content-Length", &content.len().to_string(), &mut output);
        }
        output.extend_from_slice(b"Connection: close\r\n\r\n");
        output.extend_from_slice(&content);
        Ok(Fetch {
            host: target.host.into(),
            port: target.port,
            is_head: method.eq_ignore_ascii_case("HEAD"),
            output,
            written: 0,
            input: Vec::new(),
            phase: Phase::Head,
            status: 0,
            headers: Vec::new(),
            body: Vec::new(),
            answer: None,
            timeout_ms,
            due_ms: now_ms.saturating_add(timeout_ms),
            url: url.into(),
        })
    }

    /// The host and the port to connect to; an address of version 6 has no brackets.
    pub fn address(&self) -> (&str, u16) {
        (&self.host, self.port)
    }

    /// What is to be written next; empty: nothing.
    pub fn output(&self) -> &[u8] {
        self.output.get(self.written..).unwrap_or_default()
    }

    /// So many bytes of it were written.
    pub fn advance_output(&mut self, written: usize) {
        self.written = self.output.len().min(self.written + written);
    }

    /// The server has sent that.
    pub fn handle_input(&mut self, bytes: &[u8]) {
        self.input.extend_from_slice(bytes);
        let mut input = std::mem::take(&mut self.input);
        let mut used = 0;
        while self.answer.is_none() {
            match self.take(input.get(used..).unwrap_or_default()) {
                Ok(0) => break,
                Ok(taken) => used += taken,
                Err(what) => self.fail(Kind::Protocol, &what),
            }
        }
        input.drain(..used.min(input.len()));
        self.input = input;
    }

    /// The server sends no more.
    pub fn handle_end(&mut self) {
        match self.phase {
            Phase::UntilEnd => self.finish(),
            Phase::Done => {}
            _ => self.fail(Kind::Io, "the connection ended before its answer was whole"),
        }
    }

    /// There is no connection, or it broke, or nobody knows where to.
    pub fn handle_failed(&mut self, kind: Kind, what: &str) {
        self.fail(kind, what);
    }

    /// When [`Fetch::handle_timeout`] is due, in milliseconds.
    pub fn next_deadline(&self) -> u64 {
        self.due_ms
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now_ms: u64) {
        if now_ms >= self.due_ms {
            let what = format!("it was not answered within {} ms", self.timeout_ms);
            self.fail(Kind::Timeout, &what);
        }
    }

    /// Takes the answer, `{status, header, body}`, or why there is none; then the connection is to be closed.
    pub fn poll_answer(&mut self) -> Option<Result<Value>> {
        self.answer.take()
    }

    fn fail(&mut self, kind: Kind, what: &str) {
        if self.answer.is_none() && !matches!(self.phase, Phase::Done) {
            self.phase = Phase::Done;
            let message = format!("request to {} failed: {what}", shown(&self.url));
            self.answer = Some(Err(Error::new(kind, message)));
        }
    }

    fn finish(&mut self) {
        self.phase = Phase::Done;
        let found = self.headers.iter().find(|(name, _)| name == "Content-Type");
        let media_type = found.map_or("", |(_, value)| value.as_str());
        let body = match body::read(media_type, &self.body, false) {
            Ok(body) => body,
            // A page of errors is often none of what it says; whoever asked sees the bytes.
            Err(_) => Value::Bytes(self.body.as_slice().into()),
        };
        self.answer = Some(Ok(Value::map([
            ("status", Value::Int(i64::from(self.status))),
            ("header", body::lists(std::mem::take(&mut self.headers))),
            ("body", body),
        ])));
    }

    /// Understands the beginning of what came: how many bytes are done with; 0: more is needed.
    fn take(&mut self, bytes: &[u8]) -> std::result::Result<usize, String> {
        match &mut self.phase {
            Phase::Head => self.take_head(bytes),
            Phase::Length(missing) | Phase::Chunk(missing) if bytes.len() < *missing => {
                let taken = bytes.len();
                *missing -= taken;
                self.push_body(bytes)?;
                Ok(taken)
            }
            Phase::Length(missing) => {
                let taken = *missing;
                self.push_body(bytes.get(..taken).unwrap_or_default())?;
                self.finish();
                Ok(taken)
            }
            Phase::Chunk(missing) => {
                let taken = *missing;
                let end = bytes.get(taken..).unwrap_or_default();
                match end.first_chunk::<2>() {
                    Some(b"\r\n") => {}
                    None => return Ok(0),
                    Some(_) => return Err("a chunk is longer than its size says".into()),
                }
                self.push_body(bytes.get(..taken).unwrap_or_default())?;
                self.phase = Phase::Size;
                Ok(taken + 2)
            }
            Phase::Size => match httparse::parse_chunk_size(bytes) {
                Ok(httparse::Status::Complete((taken, 0))) => {
                    self.phase = Phase::Trailers;
                    Ok(taken)
                }
                Ok(httparse::Status::Complete((taken, size))) if size <= HTTP_BODY_BYTES_MAX as u64 => {
                    self.phase = Phase::Chunk(size as usize);
                    Ok(taken)
                }
                Ok(httparse::Status::Complete(_)) => Err(too_large()),
                Ok(httparse::Status::Partial) if bytes.len() <= HTTP_CHUNK_LINE_BYTES_MAX => Ok(0),
                _ => Err("the size of a chunk can't be read".into()),
            },
            Phase::Trailers => {
                let Some(end) = bytes.windows(2).position(|pair| pair == b"\r\n") else {
                    return match bytes.len() > HTTP_HEAD_BYTES_MAX {
                        true => Err("a trailer is too long".into()),
                        false => Ok(0),
                    };
                };
                if end == 0 {
                    self.finish();
                }
                Ok(end + 2)
            }
            Phase::UntilEnd => {
                self.push_body(bytes)?;
                Ok(bytes.len())
            }
            Phase::Done => Ok(bytes.len()),
        }
    }

    fn push_body(&mut self, bytes: &[u8]) -> std::result::Result<(), String> {
        if self.body.len() + bytes.len() > HTTP_BODY_BYTES_MAX {
            return Err(too_large());
        }
        self.body.extend_from_slice(bytes);
        Ok(())
    }

    fn take_head(&mut self, bytes: &[u8]) -> std::result::Result<usize, String> {
        let mut headers = [httparse::EMPTY_HEADER; HTTP_HEADERS_MAX];
        let mut head = httparse::Response::new(&mut headers);
        let taken = match head.parse(bytes) {
            Ok(httparse::Status::Complete(taken)) => taken,
            Ok(httparse::Status::Partial) if bytes.len() <= HTTP_HEAD_BYTES_MAX => return Ok(0),
            Ok(httparse::Status::Partial) => {
                return Err(format!(
                    "the head of its answer has more than {HTTP_HEAD_BYTES_MAX} bytes"
                ));
            }
            Err(error) => return Err(format!("its answer is no HTTP: {error}")),
        };
        let status = head.code.unwrap_or_default();
        if (100..200).contains(&status) {
            return match status {
                101 => Err("it answers with another protocol".into()),
                _ => Ok(taken),
            };
        }
        let (mut length, mut is_chunked) = (None, false);
        self.headers.clear();
        for header in head.headers.iter() {
            let value = String::from_utf8_lossy(header.value).into_owned();
            if header.name.eq_ignore_ascii_case("content-length") {
                let bytes: usize = value
                    .trim()
                    .parse()
                    .map_err(|_| format!("its content-length is '{}'", value.escape_debug()))?;
                if length.is_some_and(|other| other != bytes) {
                    return Err("its answer has two lengths".into());
                }
                length = Some(bytes);
            } else if header.name.eq_ignore_ascii_case("transfer-encoding") {
                is_chunked = value.trim().eq_ignore_ascii_case("chunked");
                if !is_chunked {
                    return Err(format!(
                        "its transfer-encoding '{}' is unknown",
                        value.escape_debug()
                    ));
                }
            }
            self.headers.push((body::canonical(header.name), value));
        }
        self.status = status;
        self.phase = match (is_chunked, length) {
            _ if self.is_head || matches!(status, 204 | 304) => Phase::Length(0),
            (true, _) => Phase::Size,
            (false, Some(bytes)) if bytes > HTTP_BODY_BYTES_MAX => return Err(too_large()),
            (false, Some(bytes)) => Phase::Length(bytes),
            (false, None) => Phase::UntilEnd,
        };
        if matches!(self.phase, Phase::Length(0)) {
            self.finish();
        }
        Ok(taken)
    }
}

fn too_large() -> String {
    format!("the body of its answer has more than {HTTP_BODY_BYTES_MAX} bytes")
}

fn bad(message: String) -> Box<Error> {
    Error::new(Kind::BadArgument, message)
}

/// A url without what follows the `?`, which may be secret.
fn shown(url: &str) -> &str {
    url.split('?').next().unwrap_or(url)
}

/// Whether a url can be asked at all.
///
/// # Errors
/// Kind `bad_argument`: it can't be read; `usage`: it wants TLS.
pub fn check_url(url: &str) -> Result<()> {
    Target::parse(url).map(drop)
}

fn url_of(request: &Value) -> Result<String> {
    let word = |key: &str| match request.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Str(text)) => Ok(Some(&**text)),
        Some(other) => Err(bad(format!(
            "{key} of a request is {}, expected a string",
            other.name()
        ))),
    };
    match (word("url")?, word("host")?) {
        (Some(url), _) => Ok(url.to_string()),
        (None, Some(host)) => {
            let scheme = word("scheme")?.unwrap_or("http");
            let path = word("path")?.unwrap_or("/");
            Ok(format!("{scheme}://{host}{path}"))
        }
        (None, None) => Err(bad("request has no url, expected http://HOST/PATH".to_string())),
    }
}

/// Parts of a url.
struct Target<'u> {
    authority: &'u str,
    host: &'u str,
    port: u16,
    path: &'u str,
}

impl<'u> Target<'u> {
    fn parse(url: &'u str) -> Result<Target<'u>> {
        let wrong = || {
            bad(format!(
                "url '{}' can't be read, expected http://HOST:PORT/PATH",
                shown(url)
            ))
        };
        let (scheme, rest) = url.split_once("://").ok_or_else(wrong)?;
        if scheme.eq_ignore_ascii_case("https") {
            let message = format!("url '{}' asks for TLS, which is not spoken here", shown(url));
            let hint = "let a proxy beside it speak TLS (nginx, stunnel, socat), and name the proxy as http://127.0.0.1:PORT";
            return Err(Error::new(Kind::Usage, message).hint(hint));
        }
        if !scheme.eq_ignore_ascii_case("http") || !rest.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(wrong());
        }
        let rest = rest.split('#').next().unwrap_or(rest);
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        let (host, port) = match authority.strip_prefix('[') {
            Some(inner) => {
                let (host, port) = inner.split_once(']').ok_or_else(wrong)?;
                (host, port.strip_prefix(':'))
            }
            None => match authority.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (authority, None),
            },
        };
        let port = match port {
            None => 80,
            Some(port) => port.parse().ok().filter(|port| *port > 0).ok_or_else(wrong)?,
        };
        if host.is_empty() || host.contains('@') {
            return Err(wrong());
        }
        let path = match path {
            "" => "/",
            path if path.starts_with('?') => return Err(wrong()),
            path => path,
        };
        Ok(Target {
            authority,
            host,
            port,
            path,
        })
    }
}

fn push_header(name: &str, value: &str, out: &mut Vec<u8>) {
    for part in [name, ": ", value, "\r\n"] {
        out.extend_from_slice(part.as_bytes());
    }
}

/// Appends a text percent-encoded, as in a query.
fn push_encoded(text: &str, out: &mut String) {
    const DIGITS: [char; 16] = [
        '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'A', 'B', 'C', 'D', 'E', 'F',
    ];
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(char::from(byte)),
            byte => {
                out.push('%');
                out.push(DIGITS[usize::from(byte >> 4)]);
                out.push(DIGITS[usize::from(byte & 15)]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fetch(request: &str) -> Result<Fetch> {
        Fetch::new(&json::read(request.as_bytes()).unwrap(), 100, 0)
    }

    #[test]
    fn requests() {
        let check = |request: &str, expected: &str| {
            let told = match fetch(request) {
                Ok(fetch) => {
                    let (host, port) = fetch.address();
                    format!(
                        "{host} {port} {}",
                        String::from_utf8_lossy(fetch.output()).replace("\r\n", "|")
                    )
                }
                Err(error) => error.message,
            };
            assert_eq!(told, expected, "{request}");
        };
        check(
            r#"{"url":"http://a.b"}"#,
            "a.b 80 GET / HTTP/1.1|Host: a.b|Connection: close||",
        );
        check(
            r#"{"url":"http://[::1]:81/p?q#f","method":"POST","body":{"a":1},"header":{"x-a":"1","host":"evil"},"query":{"k":["a b"]}}"#,
            "::1 81 POST /p?q&k=a%20b HTTP/1.1|Host: [::1]:81|X-A: 1|Content-Type: application/json|Content-Length: 7|\
             Connection: close||{\"a\":1}",
        );
        check(
            r#"{"host":"h:8","path":"/x","method":"DELETE"}"#,
            "h 8 DELETE /x HTTP/1.1|Host: h:8|Connection: close||",
        );
        check(
            r#"{"url":"https://a/"}"#,
            "url 'https://a/' asks for TLS, which is not spoken here",
        );
        check(
            r#"{"url":"ftp://a"}"#,
            "url 'ftp://a' can't be read, expected http://HOST:PORT/PATH",
        );
        check(
            r#"{"url":"http://a b/"}"#,
            "url 'http://a b/' can't be read, expected http://HOST:PORT/PATH",
        );
        check(
            r#"{"url":"http://a:0/"}"#,
            "url 'http://a:0/' can't be read, expected http://HOST:PORT/PATH",
        );
        check(
            r#"{"url":1}"#,
            "url of a request is an integer, expected a string",
        );
        check("{}", "request has no url, expected http://HOST/PATH");
        check(
            r#"{"url":"http://a","method":"G T"}"#,
            "method of a request is \"G T\"",
        );
    }

    /// What is made of an answer that comes at once and byte by byte, and then ends.
    fn check(answer: &str, expected: &str) {
        let bytes = answer.replace('|', "\r\n");
        for piece in [bytes.len().max(1), 1] {
            let mut fetch = fetch(r#"{"url":"http://a/x?secret"}"#).unwrap();
            for piece in bytes.as_bytes().chunks(piece) {
                fetch.handle_input(piece);
            }
            fetch.handle_end();
            let told = match fetch.poll_answer().expect("an answer") {
                Ok(value) => json::text(&value),
                Err(error) => error.message,
            };
            assert_eq!(told, expected, "{answer}");
            assert!(fetch.poll_answer().is_none());
        }
    }

    #[test]
    fn answers() {
        check(
            "HTTP/1.1 200 OK|content-length: 3||abcdef",
            r#"{"status":200,"header":{"Content-Length":["3"]},"body":"abc"}"#,
        );
        check(
            "HTTP/1.1 100 Continue||HTTP/1.1 204 No Content||",
            r#"{"status":204,"header":{},"body":null}"#,
        );
        check(
            "HTTP/1.0 500 No|content-type: application/json||{\"a\":1}",
            r#"{"status":500,"header":{"Content-Type":["application/json"]},"body":{"a":1}}"#,
        );
        check(
            "HTTP/1.1 200 OK|transfer-encoding: chunked||3;x=1|abc|2|de|0|t: 1||",
            r#"{"status":200,"header":{"Transfer-Encoding":["chunked"]},"body":"abcde"}"#,
        );
        check(
            "HTTP/1.1 200 OK|content-type: application/json||{",
            r#"{"status":200,"header":{"Content-Type":["application/json"]},"body":"ew=="}"#,
        );
    }

    #[test]
    fn answers_that_are_none() {
        let check = |answer: &str, expected: &str| {
            check(answer, &format!("request to http://a/x failed: {expected}"))
        };
        check("", "the connection ended before its answer was whole");
        check(
            "HTTP/1.1 200 OK|content-length: 3||ab",
            "the connection ended before its answer was whole",
        );
        check(
            "HTTP/1.1 200 OK|content-length: 3|content-length: 4||ab",
            "its answer has two lengths",
        );
        check(
            "HTTP/1.1 200 OK|content-length: -1||ab",
            "its content-length is '-1'",
        );
        check(
            "HTTP/1.1 200 OK|content-length: 99999999999||",
            "the body of its answer has more than 67108864 bytes",
        );
        check(
            "HTTP/1.1 200 OK|transfer-encoding: gzip||",
            "its transfer-encoding 'gzip' is unknown",
        );
        check(
            "HTTP/1.1 200 OK|transfer-encoding: chunked||1|ab|",
            "a chunk is longer than its size says",
        );
        check("SSH-2.0 hello|", "its answer is no HTTP: invalid HTTP version");
        check("HTTP/1.1 101 Other||", "it answers with another protocol");
    }

    #[test]
    fn time_and_failures_end_it_once() {
        let mut fetch = fetch(r#"{"url":"http://a"}"#).unwrap();
        fetch.handle_timeout(fetch.next_deadline() - 1);
        assert!(fetch.poll_answer().is_none());
        fetch.handle_timeout(fetch.next_deadline());
        fetch.handle_failed(Kind::Io, "gone");
        let error = fetch.poll_answer().unwrap().unwrap_err();
        assert_eq!(
            (error.kind, error.message.as_str()),
            (
                Kind::Timeout,
                "request to http://a failed: it was not answered within 100 ms"
            )
        );
        fetch.handle_end();
        assert!(fetch.poll_answer().is_none());
    }
}
