//! Names and texts of the files of a store. Opens none.

use crate::error::{Error, Kind, Result};
use crate::flow::spec::{Errors, Object, Sort, codec, name};
use crate::flow::value::located::{self, Flaw, Located, Words};
use crate::flow::value::{Value, json, yaml_text};
use std::rc::Rc;

/// Whether a file of that name holds objects.
pub fn holds_objects(name: &str) -> bool {
    !name.starts_with('.') && [".yaml", ".yml", ".json"].iter().any(|end| name.ends_with(end))
}

/// The name of the file of an object that has none yet.
pub fn name_of(object: &str) -> String {
    format!("{}.yaml", name::encode(object))
}

/// The name that a folder was made for, if it is one of a store.
pub fn decode(folder: &str) -> Option<String> {
    let mut bytes = Vec::new();
    let mut rest = folder.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || char::from(rest.next()?).to_digit(16);
        let (high, low) = (digit()?, digit()?);
        bytes.push(u8::try_from(high * 16 + low).ok()?);
    }
    let decoded = String::from_utf8(bytes).ok()?;
    (name::check("namespace", &decoded).is_ok() && name::encode(&decoded) == folder).then_some(decoded)
}

/// The objects in the text of a file of the store, as it says; `words` are kept for many.
///
/// # Errors
/// What is wrong with it, each with its place.
pub fn read(
    sort: Sort,
    text: &[u8],
    file: &Rc<str>,
    namespace: &str,
    words: &mut Words,
) -> std::result::Result<Vec<Object>, Errors> {
    let is_json = file.ends_with(".json");
    let documents = located::read_sharing(text, is_json, words).map_err(|flaw| vec![flaw.error(file)])?;
    codec::read(sort, &documents, file, namespace)
}

/// The objects in a text that is given to the store, as they are. A flaw of the text is shown in the error.
///
/// # Errors
/// As [`read`]; kind `bad_argument`: there are none, and no empty list says that there are to be none.
pub fn read_shown(
    sort: Sort,
    text: &[u8],
    file: &Rc<str>,
    namespace: &str,
) -> std::result::Result<Vec<Object>, Errors> {
    let is_json = file.ends_with(".json");
    let documents = located::read(text, is_json).map_err(|flaw| vec![shown(&flaw, file, text)])?;
    let objects = codec::read(sort, &documents, file, namespace)?;
    let is_list = |document: &Located| document.value.elements().is_some();
    if objects.is_empty() && !documents.iter().any(is_list) {
        let message = format!("there is no {} in it, expected one at least", sort.word());
        let error = error(Kind::BadArgument, message, file);
        return Err(vec![error.hint("write [] if there are to be none")]);
    }
    Ok(objects)
}

/// The flaw as an error whose message has the line with a caret below it.
fn shown(flaw: &Flaw, file: &str, text: &[u8]) -> Box<Error> {
    let shown = flaw.shown(file, &String::from_utf8_lossy(text));
    let mut error = flaw.error(file);
    // Between the place and the end.
    for line in shown.lines().skip(2) {
        error.message.push('\n');
        error.message.push_str(line);
    }
    error
}

/// The text of a file of that name with these objects, each with its revision.
///
/// # Errors
/// Kind `bad_argument`: one is nested too deep.
pub fn write(name: &str, objects: &[(&Object, u64)]) -> Result<Vec<u8>> {
    let stored = objects.iter().map(|(object, revision)| object.stored(*revision));
    let mut stored: Vec<Value> = stored.collect();
    let value = match stored.len() {
        1 => stored.swap_remove(0),
        _ => Value::list(stored),
    };
    let mut out = Vec::new();
    if name.ends_with(".json") {
        json::write(&value, &mut out)?;
        out.push(b'\n');
    } else {
        yaml_text::write(&value, &mut out)?;
    }
    Ok(out)
}

/// An error about a file as a whole.
pub fn error(kind: Kind, message: impl Into<String>, file: &str) -> Box<Error> {
    Error::new(kind, message).at(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for name in ["a", "a/b", "a.b@c:d", "x-1"] {
            assert_eq!(decode(&name::encode(name)).as_deref(), Some(name));
            assert!(holds_objects(&name_of(name)));
        }
        for folder in ["", ".git", "%", "%2", "%zz", "%41", "a b", "%2F", "%FF"] {
            assert_eq!(decode(folder), None, "{folder}");
        }
        for name in [".a.yaml", "a.yaml~", "a.txt", ".nexus-1.tmp"] {
            assert!(!holds_objects(name), "{name}");
        }
    }

    #[test]
    fn texts_without_objects() {
        let is_taken = |text: &str| read_shown(Sort::Specs, text.as_bytes(), &"f".into(), "n").is_ok();
        for text in ["", "\n", "# {kind: nop}\n", "---\n", "~", "---\n---\n"] {
            assert!(!is_taken(text), "{text:?}");
        }
        for text in ["[]", "# None.\n---\n[]\n", "{kind: nop, name: a}"] {
            assert!(is_taken(text), "{text:?}");
        }
    }

    #[test]
    fn flaws_are_shown() {
        let file: Rc<str> = "f.yaml".into();
        let error = read_shown(Sort::Specs, b"- kind: a\n  b: c: d\n", &file, "n")
            .unwrap_err()
            .remove(0);
        assert!(error.message.contains("\n 2 |   b: c: d\n"), "{}", error.message);
        assert_eq!(error.place.as_deref(), Some("f.yaml:2:7"));
        let error = read(
            Sort::Specs,
            b"- kind: a\n  b: c: d\n",
            &file,
            "n",
            &mut Words::default(),
        )
        .unwrap_err()
        .remove(0);
        assert!(!error.message.contains('\n'), "{}", error.message);
    }
}
