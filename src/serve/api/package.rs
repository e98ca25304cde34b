//! A package as clients of MetaCall upload it: a form with a zip archive and what MetaCall is to know of it. Unpacks it in
//! memory, and writes nothing.

use super::failure::Failure;
use super::metacall::is_description;
use super::multipart::parts;
use crate::codec::document::{Document, Node};
use crate::codec::json::{JsonError, Reader, Shape};
use crate::codec::zip::{Entry, read};
use crate::error::{Error, Kind, Result};
use crate::limits::PACKAGE_BYTES_MAX;
use crate::serve::deployment::Name;

/// A package.
pub struct Package {
    /// What it is deployed as.
    pub id: String,
    /// What is in it.
    pub entries: Vec<Entry>,
}

impl Package {
    /// Bytes of all files.
    pub fn bytes(&self) -> u64 {
        let files = self.entries.iter().filter_map(|entry| entry.bytes.as_ref());
        files.map(|bytes| bytes.len() as u64).sum()
    }
}

/// The fields of the form, of which only the first and the last have to be there.
const FIELDS: [&str; 5] = ["id", "type", "jsons", "runners", "raw"];

/// What it says of the archive in `type`.
const TYPES: [&str; 2] = ["application/x-zip-compressed", "application/zip"];

/// Reads the body of a request that uploads a package. Where the form has files of MetaCall in `jsons`, those of the archive
/// are left out.
///
/// # Errors
/// Status 400: it is no such form, or the archive is none or has something in it that is not taken; 413: it is too large.
pub fn package(media_type: &str, body: &[u8]) -> std::result::Result<Package, Failure> {
    if body.len() > PACKAGE_BYTES_MAX {
        let message = format!(
            "the package has {} bytes, expected at most {PACKAGE_BYTES_MAX}",
            body.len()
        );
        return Err(Failure::new(413, Kind::BadArgument, message));
    }
    let mut fields = [None; FIELDS.len()];
    for part in parts(media_type, body)? {
        let Some(place) = FIELDS.iter().position(|field| *field == part.name) else {
            continue;
        };
        if fields[place].replace(part.body).is_some() {
            return Err(wrong(format!("the form has the field '{}' twice", part.name)).into());
        }
    }
    let [id, kind, jsons, runners, raw] = fields;
    let (Some(id), Some(raw)) = (id, raw) else {
        let message = "the form lacks the field 'id' or the field 'raw', expected a name and a zip archive";
        return Err(wrong(message).into());
    };
    let id = String::from_utf8_lossy(id).into_owned();
    Name::new(None, &id, None)?;
    if let Some(kind) = kind.map(String::from_utf8_lossy)
        && !TYPES.contains(&kind.as_ref())
    {
        return Err(wrong(format!("the package is of type '{kind}', expected {}", TYPES[0])).into());
    }
    let jsons = files_of_metacall(jsons.unwrap_or(b"[]"))?;
    check_runners(runners.unwrap_or(b"[]"))?;
    let mut entries = read(raw).map_err(|flaw| {
        let status = if flaw.is_too_large { 413 } else { 400 };
        Failure::new(status, Kind::BadArgument, flaw.message)
    })?;
    if !jsons.is_empty() {
        entries.retain(|entry| entry.bytes.is_none() || !is_description(&entry.path));
    }
    for (number, text) in jsons.into_iter().enumerate() {
        let path = format!("metacall-{}.json", number + 1);
        let mut firsts = entries.iter().map(|entry| entry.path.split('/').next());
        if firsts.any(|first| first == Some(&path)) {
            return Err(wrong(format!("the archive has a directory '{path}'")).into());
        }
        let bytes = Some(text.to_vec());
        entries.push(Entry { path, bytes });
    }
    Ok(Package { id, entries })
}

fn wrong(message: impl Into<String>) -> Box<Error> {
    Error::new(Kind::Usage, message)
}

fn unread(field: &'static str) -> impl Fn(JsonError) -> Box<Error> {
    move |error| {
        let message = format!("the field '{field}' is no JSON: {}", error.message);
        wrong(message).at(format!("byte {}", error.offset))
    }
}

/// The texts of the objects in a list.
fn files_of_metacall(list: &[u8]) -> Result<Vec<&[u8]>> {
    let read = || {
        let mut reader = Reader::new(list);
        let mut texts = Vec::new();
        if reader.peek()? != Shape::Array {
            return Ok(None);
        }
        reader.begin_array()?;
        while reader.next_element()? {
            if reader.peek()? != Shape::Object {
                return Ok(None);
            }
            texts.push(reader.skip()?);
        }
        reader.finish()?;
        Ok(Some(texts))
    };
    let texts = read().map_err(unread("jsons"))?;
    texts.ok_or_else(|| wrong("the field 'jsons' is no list of objects, expected files metacall.json"))
}

/// Nothing is installed: they have to be a list of names.
fn check_runners(list: &[u8]) -> Result<()> {
    let document = Document::parse(list).map_err(unread("runners"))?;
    let root = document.root();
    let is_fit = root
        .elements()
        .is_some_and(|mut elements| elements.all(|element| Node::as_str(element).is_some()));
    match is_fit {
        true => Ok(()),
        false => Err(wrong("the field 'runners' is no list of names")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An archive of no files.
    const EMPTY: &str = "PK\x05\x06\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";

    fn check(fields: &[(&str, &str)], expected: &str) {
        let mut body = String::new();
        for (name, value) in fields {
            body += &format!("--b\r\ncontent-disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n");
        }
        body += "--b--\r\n";
        let found = match package("multipart/form-data; boundary=b", body.as_bytes()) {
            Ok(package) => {
                let entries = package.entries.iter();
                let shown = entries.map(|entry| {
                    let bytes = entry.bytes.as_deref().unwrap_or_default();
                    format!(" {}={}", entry.path, String::from_utf8_lossy(bytes))
                });
                package.id.clone() + &shown.collect::<String>()
            }
            Err(failure) => format!("{} {}", failure.status, failure.error.message),
        };
        assert!(found.starts_with(expected), "{fields:?}: {found}");
    }

    #[test]
    fn fields() {
        let usual = [("id", "sum"), ("raw", EMPTY)];
        check(&usual, "sum");
        let with = |more: &[(&'static str, &'static str)], expected: &str| {
            check(&[&usual, more].concat(), expected);
        };
        with(
            &[
                ("type", "application/x-zip-compressed"),
                ("runners", r#"["python"]"#),
                ("jsons", r#" [ {"a": [1]}, {} ] "#),
                ("else", "x"),
            ],
            r#"sum metacall-1.json={"a": [1]} metacall-2.json={}"#,
        );
        with(
            &[("type", "text/plain")],
            "400 the package is of type 'text/plain'",
        );
        with(&[("id", "sum")], "400 the form has the field 'id' twice");
        with(
            &[("runners", "{}")],
            "400 the field 'runners' is no list of names",
        );
        with(
            &[("runners", "[1]")],
            "400 the field 'runners' is no list of names",
        );
        with(&[("runners", "[")], "400 the field 'runners' is no JSON");
        with(&[("jsons", "{}")], "400 the field 'jsons' is no list of objects");
        with(
            &[("jsons", "[[]]")],
            "400 the field 'jsons' is no list of objects",
        );
        with(&[("jsons", "[{}] 1")], "400 the field 'jsons' is no JSON");
        let inside = "PK\x03\x04\x14\0\0\0\0\0\0\0!\0\0\0\0\0\0\0\0\0\0\0\0\0\x11\0\0\0metacall-1.json/x\
             PK\x01\x02\x14\0\x14\0\0\0\0\0\0\0!\0\0\0\0\0\0\0\0\0\0\0\0\0\x11\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\
             metacall-1.json/xPK\x05\x06\0\0\0\0\x01\0\x01\0?\0\0\0/\0\0\0\0\0";
        let named = [("id", "a"), ("raw", inside)];
        check(&named, "a metacall-1.json/x=");
        check(
            &[named[0], named[1], ("jsons", "[{}]")],
            "400 the archive has a directory 'metacall-1.json'",
        );
        check(&usual[..1], "400 the form lacks the field");
        check(&usual[1..], "400 the form lacks the field");
        check(
            &[("id", "../a"), ("raw", EMPTY)],
            "400 the name of a deployment is '../a'",
        );
        check(&[("id", "a"), ("raw", "PK")], "400 the data are no zip archive");
        let large = "x".repeat(PACKAGE_BYTES_MAX);
        check(&[("id", "a"), ("raw", &large)], "413 the package has");
    }
}
