//! Paths and query strings of targets, percent-decoded part by part. Knows no routes.

use super::letters::find;
use crate::error::{Error, Kind, Result};
use crate::limits::HTTP_QUERY_FIELDS_MAX;
use std::borrow::Cow;

/// Segments of a path behind its first `/`, each decoded after the path was split: an encoded slash stays in its segment.
/// `/` has one, which is empty; a slash at the end makes an empty last one.
///
/// # Errors
/// A bad escape, a NUL, bytes that are not UTF-8, and the segments `.` and `..` however they are written, which would mean
/// another path to whoever resolves them. All of kind [`Kind::BadArgument`].
pub fn segments(path: &str) -> Result<Vec<Cow<'_, str>>> {
    let mut rest = Some(path.strip_prefix('/').unwrap_or(path));
    // Most paths have no more.
    let mut segments = Vec::with_capacity(8);
    while let Some(path) = rest {
        let end = find(path.as_bytes(), b'/');
        let segment = end.map_or(path, |end| &path[..end]);
        rest = end.map(|end| &path[end + 1..]);
        let decoded = decode(segment, false)?;
        match decoded.as_bytes() {
            b"." | b".." => return Err(bad("path", segment, "expected no '.' and '..'")),
            bytes if find(bytes, 0).is_some() => return Err(bad("path", segment, "expected no NUL")),
            _ => segments.push(decoded),
        }
    }
    Ok(segments)
}

/// Names and values of a query string in their order, decoded as forms are: `+` is a space. A name without `=` has an empty
/// value; empty fields are skipped.
///
/// # Errors
/// A bad escape, bytes that are not UTF-8, more than [`HTTP_QUERY_FIELDS_MAX`] fields. All of kind [`Kind::BadArgument`].
pub fn fields(query: &str) -> Result<Vec<(String, String)>> {
    let mut fields = Vec::new();
    for field in query.split('&').filter(|field| !field.is_empty()) {
        if fields.len() == HTTP_QUERY_FIELDS_MAX {
            let message = format!("the query has more than {HTTP_QUERY_FIELDS_MAX} fields");
            return Err(Error::new(Kind::BadArgument, message));
        }
        let (name, value) = field.split_once('=').unwrap_or((field, ""));
        fields.push((
            decode(name, true)?.into_owned(),
            decode(value, true)?.into_owned(),
        ));
    }
    Ok(fields)
}

fn decode(text: &str, plus_is_space: bool) -> Result<Cow<'_, str>> {
    let escapes: &[u8] = if plus_is_space { b"%+" } else { b"%" };
    if escapes
        .iter()
        .all(|escape| find(text.as_bytes(), *escape).is_none())
    {
        return Ok(Cow::Borrowed(text));
    }
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        match byte {
            b'%' => {
                let digit = |at: usize| char::from(*after.get(at)?).to_digit(16);
                let (Some(high), Some(low)) = (digit(0), digit(1)) else {
                    return Err(bad("target", text, "expected two hexadecimal digits after '%'"));
                };
                decoded.push((high * 16 + low) as u8);
                rest = &after[2..];
            }
            b'+' if plus_is_space => decoded.push(b' '),
            byte => decoded.push(*byte),
        }
    }
    let decoded = String::from_utf8(decoded).map_err(|_| bad("target", text, "expected UTF-8"))?;
    Ok(Cow::Owned(decoded))
}

fn bad(part: &str, text: &str, expected: &str) -> Box<Error> {
    Error::new(
        Kind::BadArgument,
        format!("'{text}' in the {part} of the request, {expected}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths() {
        let check =
            |path: &str, expected: std::result::Result<&[&str], &str>| match (segments(path), expected) {
                (Ok(found), Ok(expected)) => assert_eq!(found, expected, "{path}"),
                (Err(error), Err(part)) => assert!(error.message.contains(part), "{path}: {}", error.message),
                (found, _) => panic!("{path}: {found:?}"),
            };
        check("/", Ok(&[""]));
        check("/a/b", Ok(&["a", "b"]));
        check("/a//b/", Ok(&["a", "", "b", ""]));
        check("/a%2Fb/c", Ok(&["a/b", "c"]));
        check("/%2e%2e%2fetc/x", Ok(&["../etc", "x"]));
        check("/%C3%A9+%20%25", Ok(&["é+ %"]));
        check("/...", Ok(&["..."]));
        check("*", Ok(&["*"]));
        check("/a/../b", Err("expected no '.' and '..'"));
        check("/a/.", Err("expected no '.' and '..'"));
        check("/%2e%2E", Err("expected no '.' and '..'"));
        check("/.%2e/x", Err("expected no '.' and '..'"));
        check("/a%00b", Err("expected no NUL"));
        for path in ["/%", "/%2", "/%zz", "/%+1", "/%é", "/% 1", "/%-1"] {
            check(path, Err("expected two hexadecimal digits"));
        }
        check("/%ff", Err("expected UTF-8"));
        check("/%c0%ae%c0%ae", Err("expected UTF-8"));
    }

    #[test]
    fn queries() {
        let check = |query: &str, expected: &[(&str, &str)]| {
            let found = fields(query).expect("a query is read");
            let found: Vec<_> = found.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
            assert_eq!(found, expected, "{query}");
        };
        check("", &[]);
        check("&&", &[]);
        check("a=1&b=2&a=3", &[("a", "1"), ("b", "2"), ("a", "3")]);
        check("a", &[("a", "")]);
        check("=", &[("", "")]);
        check("a=b=c", &[("a", "b=c")]);
        check("a+b=c+%2B%26&%3D=%3d", &[("a b", "c +&"), ("=", "=")]);
        check("x=%00", &[("x", "\0")]);
        assert!(fields("a=%").is_err());
        assert!(fields("%ff=1").is_err());
        assert_eq!(
            fields(&"a&".repeat(HTTP_QUERY_FIELDS_MAX)).map(|f| f.len()),
            Ok(HTTP_QUERY_FIELDS_MAX)
        );
        assert!(fields(&"a&".repeat(HTTP_QUERY_FIELDS_MAX + 1)).is_err());
    }
}
