//! A request as it was received. Interprets no path and no header.

use crate::codec::letters::{find, is_named};

/// Method of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Method {
    Get,
    Head,
    Post,
    Put,
    Patch,
    Delete,
    Options,
    /// Any other token, as it was written.
    Other(String),
}

impl Method {
    pub(in crate::serve) fn of(name: &str) -> Method {
        match name {
            "GET" => Method::Get,
            "HEAD" => Method::Head,
            "POST" => Method::Post,
            "PUT" => Method::Put,
            "PATCH" => Method::Patch,
            "DELETE" => Method::Delete,
            "OPTIONS" => Method::Options,
            other => Method::Other(other.into()),
        }
    }

    /// The method as it is written in a request.
    pub fn name(&self) -> &str {
        match self {
            Method::Get => "GET",
            Method::Head => "HEAD",
            Method::Post => "POST",
            Method::Put => "PUT",
            Method::Patch => "PATCH",
            Method::Delete => "DELETE",
            Method::Options => "OPTIONS",
            Method::Other(name) => name,
        }
    }
}

/// Headers in the order in which they came: names are tokens, values have no control bytes but tabs and no space around
/// them. What is not UTF-8 in a value has become U+FFFD.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers {
    /// All names and values, one after the other.
    text: String,
    /// Where each name and each value ends in `text`.
    ends: Vec<(u32, u32)>,
}

impl Headers {
    pub(in crate::serve) fn with_room(headers: usize, bytes: usize) -> Headers {
        Headers {
            text: String::with_capacity(bytes),
            ends: Vec::with_capacity(headers),
        }
    }

    pub(in crate::serve) fn push(&mut self, name: &str, value: &[u8]) {
        self.text.push_str(name);
        let name_end = self.text.len() as u32;
        match std::str::from_utf8(value) {
            Ok(value) => self.text.push_str(value),
            Err(_) => self.text.push_str(&String::from_utf8_lossy(value)),
        }
        self.ends.push((name_end, self.text.len() as u32));
    }

    /// Every name, in the letters it came in, and its value.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        let mut start = 0;
        self.ends.iter().map(move |(name_end, end)| {
            let name = &self.text[start..*name_end as usize];
            let value = &self.text[*name_end as usize..*end as usize];
            start = *end as usize;
            (name, value)
        })
    }

    /// Values of every header of that name, in whatever letters.
    pub fn all<'a, 'n>(&'a self, name: &'n str) -> impl Iterator<Item = &'a str> + use<'a, 'n> {
        let mut start = 0;
        self.ends.iter().filter_map(move |(name_end, end)| {
            let (from, name_end, end) = (start, *name_end as usize, *end as usize);
            start = end;
            is_named(&self.text.as_bytes()[from..name_end], name).then(|| &self.text[name_end..end])
        })
    }
}

/// A whole request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// What is asked for.
    pub method: Method,
    /// Target as it was sent: `/path?query`, `http://host/path?query`, or `*` with OPTIONS. ASCII without spaces and `#`.
    pub target: String,
    /// Headers as they were sent.
    pub headers: Headers,
    /// Body without its framing, empty when there was none.
    pub body: Vec<u8>,
    /// Whether it was asked in HTTP/1.0, whose clients read a stream until the connection ends.
    pub is_old: bool,
}

impl Request {
    /// Authority and the rest of a target in absolute form.
    fn absolute(&self) -> Option<(&str, &str)> {
        split_absolute(&self.target)
    }

    /// Path of the target, not decoded: begins with `/`, or is `*`. [`super::target::segments`] reads it.
    pub fn path(&self) -> &str {
        let rest = self.absolute().map_or(self.target.as_str(), |(_, rest)| rest);
        let path = find(rest.as_bytes(), b'?').map_or(rest, |end| &rest[..end]);
        if path.is_empty() { "/" } else { path }
    }

    /// What follows the first `?` of the target, not decoded. [`super::target::fields`] reads it.
    pub fn query(&self) -> &str {
        let mark = find(self.target.as_bytes(), b'?');
        mark.map_or("", |mark| &self.target[mark + 1..])
    }

    /// Value of the first header of that name, in whatever letters.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.all(name).next()
    }

    /// The host that the client means, with its port if it named one: of a target in absolute form, else of the header.
    /// Empty in HTTP/1.0 without that header.
    pub fn host(&self) -> &str {
        match self.absolute() {
            Some((authority, _)) => authority,
            None => self.header("host").unwrap_or_default(),
        }
    }
}

/// Authority of a target in absolute form, and what follows it.
pub(super) fn split_absolute(target: &str) -> Option<(&str, &str)> {
    if target.starts_with('/') {
        return None;
    }
    let (scheme, rest) = target.split_once("://")?;
    if !scheme.eq_ignore_ascii_case("http") && !scheme.eq_ignore_ascii_case("https") {
        return None;
    }
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    Some(rest.split_at(end))
}
