//! A form in parts (`multipart/form-data`: RFC 7578, RFC 2046) that is in memory: its fields. Decodes no content, and knows no
//! field by name.

use crate::error::{Error, Kind, Result};
use crate::limits::{FORM_HEAD_BYTES_MAX, FORM_PARTS_MAX};

/// One field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part<'a> {
    /// Its name.
    pub name: String,
    /// What it holds.
    pub body: &'a [u8],
}

/// The fields of a form, in their order. Several may have one name.
///
/// # Errors
/// Kind `usage`: the media type is another one or names no boundary; the body is no such form.
pub fn parts<'a>(media_type: &str, body: &'a [u8]) -> Result<Vec<Part<'a>>> {
    let (media, parameters) = media_type.split_once(';').unwrap_or((media_type, ""));
    if !media.trim().eq_ignore_ascii_case("multipart/form-data") {
        return Err(wrong("the body is no form, expected multipart/form-data"));
    }
    let boundary = parameter(parameters, "boundary")?.unwrap_or_default();
    let is_fit = |byte: u8| byte.is_ascii_alphanumeric() || b"'()+_,-./:=? ".contains(&byte);
    if !matches!(boundary.len(), 1..=70) || !boundary.bytes().all(is_fit) || boundary.ends_with(' ') {
        let message = "the form has no boundary of 1 to 70 letters that a boundary may have";
        return Err(wrong(message));
    }
    read(format!("\r\n--{boundary}").as_bytes(), body)
}

fn wrong(message: impl Into<String>) -> Box<Error> {
    Error::new(Kind::Usage, message)
}

/// Reads a form. What stands before its first delimiter and behind its last is no part of it.
fn read<'a>(delimiter: &[u8], body: &'a [u8]) -> Result<Vec<Part<'a>>> {
    let mut parts = Vec::new();
    // The first may be the very first line.
    let first = match body.strip_prefix(&delimiter[2..]) {
        Some(behind) => Some(behind),
        None => split(body, delimiter).map(|(_, behind)| behind),
    };
    let mut rest = first.ok_or_else(|| wrong("the form has not one boundary"))?;
    loop {
        if let Some(behind) = rest.strip_prefix(b"--") {
            let behind = behind.trim_ascii_start();
            let line = &rest[..rest.len() - behind.len()];
            return match behind.is_empty() || line.contains(&b'\n') {
                true => Ok(parts),
                false => Err(wrong("the last boundary of the form has something behind it")),
            };
        }
        let padding = rest.iter().position(|byte| !matches!(byte, b' ' | b'\t'));
        let line = rest.get(padding.unwrap_or(0)..).unwrap_or_default();
        rest = line
            .strip_prefix(b"\r\n")
            .ok_or_else(|| wrong("a boundary of the form has something behind it"))?;
        if parts.len() == FORM_PARTS_MAX {
            return Err(wrong(format!("the form has more than {FORM_PARTS_MAX} parts")));
        }
        let (part, behind) = split(rest, delimiter).ok_or_else(|| wrong("the form has no last boundary"))?;
        parts.push(read_part(part)?);
        rest = behind;
    }
}

/// What stands before the first of those bytes, and behind it.
fn split<'a>(bytes: &'a [u8], wanted: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let (mut at, first) = (0, *wanted.first()?);
    loop {
        at += bytes[at..].iter().position(|byte| *byte == first)?;
        if let Some(behind) = bytes[at..].strip_prefix(wanted) {
            return Some((&bytes[..at], behind));
        }
        at += 1;
    }
}

fn read_part(part: &[u8]) -> Result<Part<'_>> {
    // No head is longer, so nothing is looked for behind that.
    let start = &part[..part.len().min(FORM_HEAD_BYTES_MAX)];
    let Some((head, _)) = split(start, b"\r\n\r\n") else {
        let message = format!("a part of the form has no head that ends within {FORM_HEAD_BYTES_MAX} bytes");
        return Err(wrong(message));
    };
    let body = &part[head.len() + 4..];
    let text = std::str::from_utf8(head).ok();
    let is_text = |text: &&str| {
        !text
            .replace("\r\n", "")
            .contains(|letter: char| letter.is_control())
    };
    let text = text
        .filter(is_text)
        .ok_or_else(|| wrong("the head of a part of the form is no text of UTF-8"))?;
    let mut name = None;
    for line in text.split("\r\n") {
        let (header, value) = line
            .split_once(':')
            .filter(|(header, _)| !header.is_empty() && header.bytes().all(is_token))
            .ok_or_else(|| {
                wrong(format!(
                    "a part of the form has the header '{line}', expected NAME: VALUE"
                ))
            })?;
        if header.eq_ignore_ascii_case("content-transfer-encoding")
            && !["7bit", "8bit", "binary"].contains(&value.trim().to_ascii_lowercase().as_str())
        {
            return Err(wrong(format!(
                "a part of the form is encoded as '{}'",
                value.trim()
            )));
        }
        if !header.eq_ignore_ascii_case("content-disposition") {
            continue;
        }
        let (kind, parameters) = value.split_once(';').unwrap_or((value, ""));
        let found = parameter(parameters, "name")?;
        match (kind.trim().eq_ignore_ascii_case("form-data"), found, &name) {
            (true, Some(found), None) => name = Some(found),
            _ => {
                let message = "a part of the form does not name itself once, as 'form-data; name=\"NAME\"'";
                return Err(wrong(message));
            }
        }
    }
    let name = name.ok_or_else(|| wrong("a part of the form has no header 'content-disposition'"))?;
    Ok(Part { name, body })
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// The value of a parameter: `NAME=VALUE; NAME="VALUE"`. In quotes `\"` and `\\` are one letter, as some clients write them,
/// and so are `%22`, `%0D` and `%0A`, as others do.
fn parameter(text: &str, wanted: &str) -> Result<Option<String>> {
    let malformed = || {
        wrong(format!(
            "the parameters '{}' of a header are malformed",
            text.trim()
        ))
    };
    let mut found = None;
    let mut rest = text.trim();
    while !rest.is_empty() {
        let (name, behind) = rest.split_once('=').ok_or_else(malformed)?;
        if name.is_empty() || !name.bytes().all(is_token) {
            return Err(malformed());
        }
        let value;
        (value, rest) = match behind.strip_prefix('"') {
            Some(quoted) => unquote(quoted).ok_or_else(malformed)?,
            None => {
                let end = behind.bytes().position(|byte| !is_token(byte));
                let (token, rest) = behind.split_at(end.unwrap_or(behind.len()));
                (token.to_string(), rest)
            }
        };
        rest = rest.trim_start();
        rest = match rest.strip_prefix(';') {
            Some(behind) => behind.trim_start(),
            None if rest.is_empty() => rest,
            None => return Err(malformed()),
        };
        if name.eq_ignore_ascii_case(wanted) && found.replace(value).is_some() {
            return Err(malformed());
        }
    }
    Ok(found)
}

/// What stands before the closing quote, and behind it.
fn unquote(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut rest = text;
    loop {
        let escapes = [
            ("\\\"", '"'),
            ("\\\\", '\\'),
            ("%22", '"'),
            ("%0D", '\r'),
            ("%0A", '\n'),
        ];
        let escape = escapes
            .iter()
            .find_map(|(written, letter)| Some((*letter, rest.strip_prefix(written)?)));
        let mut letters = rest.chars();
        let (letter, behind) = match escape {
            Some(found) => found,
            None => (letters.next()?, letters.as_str()),
        };
        if letter == '"' && escape.is_none() {
            return Some((value, behind));
        }
        value.push(letter);
        rest = behind;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_typed(media_type: &str, body: &str, expected: &str) {
        let body = body.replace('\n', "\r\n");
        let found = match parts(media_type, body.as_bytes()) {
            Ok(parts) => {
                let shown = parts
                    .iter()
                    .map(|part| format!("{}={}", part.name, part.body.escape_ascii()));
                shown.collect::<Vec<_>>().join(" ")
            }
            Err(error) => error.message,
        };
        match expected.strip_prefix('…') {
            Some(part) => assert!(found.contains(part), "{media_type} {body}: {found}"),
            None => assert_eq!(found, expected, "{media_type} {body}"),
        }
    }

    fn check(body: &str, expected: &str) {
        check_typed("multipart/form-data; boundary=b", body, expected);
    }

    #[test]
    fn forms() {
        check("--b--", "");
        check("--b--\n", "");
        check(
            "--b\nContent-Disposition: form-data; name=\"a\"\n\nx\n--b--\n",
            "a=x",
        );
        check(
            "--b\ncontent-disposition:form-data;name=a\n\n\n--b \t\n\
             Content-Type: application/zip\nContent-Disposition: form-data; name=\"c\"; filename=\"d\"\n\n--B\n-b\n--b--",
            "a= c=--B\\r\\n-b",
        );
        check(
            "before\n--b\ncontent-disposition: form-data; name=a\n\nx\n\n--b-- \nbehind",
            "a=x\\r\\n",
        );
    }

    #[test]
    fn boundaries() {
        let form = "--b c\ncontent-disposition: form-data; name=a\n\nx\n--b c--";
        check_typed("Multipart/Form-Data ; charset=x; Boundary=\"b c\"", form, "a=x");
        check_typed("text/plain", "", "…the body is no form");
        let none = "…no boundary of 1 to 70";
        check_typed("multipart/form-data", "--b--", none);
        check_typed("multipart/form-data; boundary=\"\"", "--", none);
        check_typed("multipart/form-data; boundary=\"b \"", "--b --", none);
        check_typed("multipart/form-data; boundary=b&", "--b&--", none);
        let long = "b".repeat(70);
        let typed = |long: &str| format!("multipart/form-data; boundary={long}");
        check_typed(&typed(&long), &format!("--{long}--"), "");
        check_typed(&typed(&format!("{long}b")), "", none);
        check_typed(
            "multipart/form-data; boundary=b; boundary=c",
            "--b--",
            "…malformed",
        );
        check_typed("multipart/form-data; boundary=\"b", "--b--", "…malformed");
        check_typed("multipart/form-data; b", "--b--", "…malformed");
    }

    #[test]
    fn names() {
        let check_name = |written: &str, expected: &str| {
            let head = format!("content-disposition: form-data; {written}");
            check(&format!("--b\n{head}\n\n\n--b--"), expected);
        };
        check_name("name=\"a b\"", "a b=");
        check_name("name=\"a%22b\"", "a\"b=");
        check_name("name=\"a\\\"b\\\\c\\d;\"", "a\"b\\c\\d;=");
        check_name("name=\"é%41\"", "é%41=");
        check_name("filename=\"n\"; NAME=a;", "a=");
        check_name("filename*=UTF-8''x; name=a", "a=");
        check_name("name=\"a", "…malformed");
        check_name("name=a name=b", "…malformed");
        check_name("name=a; name=b", "…malformed");
        check_name("name = a", "…malformed");
        check_name("filename=a", "…does not name itself once");
    }

    #[test]
    fn what_is_none() {
        check("", "…not one boundary");
        check("-b--", "…not one boundary");
        check("--b", "…something behind it");
        check("--bc\n", "…something behind it");
        check("--b--c", "…something behind it");
        check("--b\n--b--", "…no last boundary");
        check(
            "--b\ncontent-disposition: form-data; name=a\n\nx",
            "…no last boundary",
        );
        check("--b\nx\n--b--", "…no head that ends");
        check("--b\n\n\n--b--", "…no head that ends");
        check("--b\nx: y\n\n\n--b--", "…no header 'content-disposition'");
        check("--b\nx y\n\n\n--b--", "…expected NAME: VALUE");
        check("--b\nx: y\n folded: z\n\n\n--b--", "…expected NAME: VALUE");
        check("--b\nx: \0\n\n\n--b--", "…no text of UTF-8");
        let twice = "content-disposition: form-data; name=a\n".repeat(2);
        check(&format!("--b\n{twice}\n\n--b--"), "…does not name itself once");
        check(
            "--b\ncontent-transfer-encoding: base64\n\n\n--b--",
            "…encoded as 'base64'",
        );
        check("--b\ncontent-disposition: file; name=a\n\n\n--b--", "…once");
        let long = format!("--b\nx: {}\n\n\n--b--", "y".repeat(FORM_HEAD_BYTES_MAX));
        check(&long, "…no head that ends within 4096 bytes");
        let part = "--b\ncontent-disposition: form-data; name=a\n\n\n";
        let many = format!("{}--b--", part.repeat(FORM_PARTS_MAX + 1));
        check(&many, "…more than 64 parts");
    }
}
