//! The head of a request and what it says about framing: one meaning, or it is refused. Reads no body.

use super::chunked::too_large;
use super::failure::{Fault, shown};
use super::request::{Headers, Method, Request, split_absolute};
use crate::codec::letters::{TOKEN, are_all, is_named};
use crate::limits::{HTTP_BODY_BYTES_MAX, HTTP_HEADERS_MAX};
use std::mem::MaybeUninit;

/// What a head says.
pub(super) struct Head {
    /// The request, its body still to come.
    pub(super) request: Box<Request>,
    /// How the body comes.
    pub(super) framing: Framing,
    /// The client waits for a word before it sends the body.
    pub(super) awaits_continue: bool,
    /// The connection may be used again.
    pub(super) is_kept: bool,
}

/// How a body comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// So many bytes.
    Length(usize),
    /// In chunks.
    Chunked,
}

/// Reads a head, whose lines [`super::scan::Scan`] has looked at.
pub(super) fn read(bytes: &[u8]) -> Result<Head, Fault> {
    // Those that don't come need no value.
    let mut headers = [const { MaybeUninit::uninit() }; HTTP_HEADERS_MAX];
    let mut parsed = httparse::Request::new(&mut []);
    match parsed.parse_with_uninit_headers(bytes, &mut headers) {
        Ok(httparse::Status::Complete(_)) => {}
        Ok(httparse::Status::Partial) => return Err(Fault::bad("the head is incomplete")),
        Err(error) => return Err(refusal(error, bytes)),
    }
    let is_old = parsed.version == Some(0);
    let target = check_target(parsed.method.unwrap_or(""), parsed.path.unwrap_or(""))?;
    let mut seen = Seen::default();
    let text_bytes = parsed.headers.iter().map(|h| h.name.len() + h.value.len()).sum();
    let mut kept = Headers::with_room(parsed.headers.len(), text_bytes);
    for header in parsed.headers.iter() {
        seen.note(header.name, header.value)?;
        kept.push(header.name, header.value);
    }
    if seen.hosts == 0 && !is_old {
        return Err(Fault::bad("no header 'host', which HTTP/1.1 asks for"));
    }
    let framing = seen.framing(is_old)?;
    if seen.expects_other && !is_old {
        return Err(Fault::new(
            417,
            "an expectation other than '100-continue' can't be met",
        ));
    }
    let is_kept = !seen.closes && (!is_old || seen.keeps);
    Ok(Head {
        request: Box::new(Request {
            method: Method::of(parsed.method.unwrap_or("")),
            target: target.into(),
            headers: kept,
            body: Vec::new(),
            is_old,
        }),
        framing,
        awaits_continue: seen.expects_continue && !is_old && framing != Framing::Length(0),
        is_kept,
    })
}

/// Headers that mean something to the connection.
#[derive(Default)]
struct Seen {
    hosts: usize,
    length: Option<usize>,
    codings: usize,
    is_chunked: bool,
    has_unknown_coding: bool,
    closes: bool,
    keeps: bool,
    expects_continue: bool,
    expects_other: bool,
}

impl Seen {
    fn note(&mut self, name: &str, value: &[u8]) -> Result<(), Fault> {
        if is_named(name.as_bytes(), "host") {
            self.hosts += 1;
            if self.hosts > 1 {
                return Err(Fault::bad("more than one header 'host'"));
            }
            check_authority(value)?;
        } else if is_named(name.as_bytes(), "content-length") {
            if self.length.is_some() {
                return Err(Fault::bad("more than one header 'content-length'"));
            }
            self.length = Some(read_length(value)?);
        } else if is_named(name.as_bytes(), "transfer-encoding") {
            self.note_codings(value)?;
        } else if is_named(name.as_bytes(), "connection") {
            for option in value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
                self.closes |= option.eq_ignore_ascii_case(b"close");
                self.keeps |= option.eq_ignore_ascii_case(b"keep-alive");
            }
        } else if is_named(name.as_bytes(), "expect") {
            match value.eq_ignore_ascii_case(b"100-continue") {
                true => self.expects_continue = true,
                false => self.expects_other = true,
            }
        }
        Ok(())
    }

    fn note_codings(&mut self, value: &[u8]) -> Result<(), Fault> {
        for coding in value.split(|byte| *byte == b',') {
            let coding = coding.trim_ascii();
            if self.is_chunked || coding.is_empty() || !are_all(coding, TOKEN) {
                let shown = shown(value);
                return Err(Fault::bad(format!(
                    "transfer-encoding '{shown}' is not one that ends in 'chunked'"
                )));
            }
            self.codings += 1;
            match coding.eq_ignore_ascii_case(b"chunked") {
                true => self.is_chunked = true,
                false => self.has_unknown_coding = true,
            }
        }
        Ok(())
    }

    fn framing(&self, is_old: bool) -> Result<Framing, Fault> {
        match (self.codings > 0, self.length) {
            (true, Some(_)) => Err(Fault::bad("both 'content-length' and 'transfer-encoding'")),
            (true, None) if is_old => Err(Fault::bad("'transfer-encoding' in HTTP/1.0")),
            (true, None) if !self.is_chunked => Err(Fault::bad(
                "a transfer-encoding that does not end in 'chunked', so that the body has no end",
            )),
            (true, None) if self.has_unknown_coding => Err(Fault::new(
                501,
                "a transfer-encoding other than 'chunked' alone is not implemented",
            )),
            (true, None) => Ok(Framing::Chunked),
            (false, length) => match length.unwrap_or(0) {
                length if length > HTTP_BODY_BYTES_MAX => Err(too_large()),
                length => Ok(Framing::Length(length)),
            },
        }
    }
}

fn read_length(value: &[u8]) -> Result<usize, Fault> {
    let digits = std::str::from_utf8(value).ok();
    let digits =
        digits.filter(|digits| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()));
    // What does not fit is refused like what is no number: a proxy may have read something else.
    digits.and_then(|digits| digits.parse().ok()).ok_or_else(|| {
        let shown = shown(value);
        Fault::bad(format!("content-length '{shown}', expected a number of bytes"))
    })
}

/// A target is a path, `http://host/path`, or `*` for OPTIONS.
fn check_target<'a>(method: &str, target: &'a str) -> Result<&'a str, Fault> {
    if method == "CONNECT" {
        return Err(Fault::new(501, "method CONNECT is not implemented: no proxy"));
    }
    if let Some(byte) = target.bytes().find(|byte| *byte == b'#' || !byte.is_ascii()) {
        let shown = byte.escape_ascii();
        return Err(Fault::bad(format!(
            "'{shown}' in the target, expected it percent-encoded"
        )));
    }
    if target.starts_with('/') || (target == "*" && method == "OPTIONS") {
        return Ok(target);
    }
    match split_absolute(target) {
        Some((authority, _)) => {
            check_authority(authority.as_bytes())?;
            Ok(target)
        }
        _ => {
            let shown = shown(target.as_bytes());
            Err(Fault::bad(format!(
                "target '{shown}', expected a path or http://host/path"
            )))
        }
    }
}

/// A host with or without a port: no name and password, and no comma, with which a proxy joins two headers.
fn check_authority(value: &[u8]) -> Result<(), Fault> {
    let port_at = value
        .iter()
        .rposition(|byte| !byte.is_ascii_digit())
        .filter(|at| value[*at] == b':')
        .unwrap_or(value.len());
    let (host, _) = value.split_at(port_at);
    let is_host_byte = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~%!$&'()*+;=".contains(byte);
    let is_host = match host.strip_prefix(b"[").and_then(|rest| rest.strip_suffix(b"]")) {
        Some(inner) => inner.iter().all(|byte| is_host_byte(byte) || *byte == b':'),
        None => host.iter().all(is_host_byte),
    };
    match is_host && !host.is_empty() {
        true => Ok(()),
        false => {
            let shown = shown(value);
            Err(Fault::bad(format!("host '{shown}', expected a name or address")))
        }
    }
}

/// Why the parser of heads refuses one.
fn refusal(error: httparse::Error, bytes: &[u8]) -> Fault {
    let line = bytes.trim_ascii_start().split(|byte| *byte == b'\r').next();
    let line = line.unwrap_or_default();
    match error {
        httparse::Error::TooManyHeaders => Fault::new(431, format!("more than {HTTP_HEADERS_MAX} headers")),
        httparse::Error::Version => match line.splitn(3, |byte| *byte == b' ').nth(2) {
            Some([b'H', b'T', b'T', b'P', b'/', major, b'.', minor])
                if major.is_ascii_digit() && minor.is_ascii_digit() =>
            {
                Fault::new(505, "the version of HTTP is not 1.0 or 1.1")
            }
            _ => Fault::bad(format!("'{}' names no version of HTTP", shown(line))),
        },
        httparse::Error::HeaderName => Fault::bad("the name of a header is malformed"),
        httparse::Error::HeaderValue => Fault::bad("the value of a header is malformed"),
        _ => Fault::bad(format!("'{}' is no request line", shown(line))),
    }
}
