//! Names and texts of the files of a store. Opens none.

use crate::codec::checksum;
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

/// The objects in the text of a file of the store, each with the revision that counts; `words` are kept for many.
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
    let mut objects = codec::read(sort, &documents, file, namespace)?;
    count_edits(&mut objects, text);
    Ok(objects)
}

/// How the first line of a file begins that nexus wrote, up to its highest revision; then [`SUM`] and the sum of the lines below.
const HEAD: &str = "# revision ";
const SUM: &str = ", sum ";

/// Gives each object the revision that counts: one more than it says if the text isn't what nexus wrote, and 1 if it says none.
fn count_edits(objects: &mut [Object], text: &[u8]) {
    let edited_from = head(text)
        .filter(|(_, sum, rest)| *sum != checksum::sum(checksum::EMPTY, rest))
        .map(|(revision, ..)| revision);
    for object in objects {
        let revision = match edited_from {
            None => object.stored_revision(),
            // Where the revision went with the edit, it counts on from the highest: nobody can have seen that.
            Some(highest) => object.revision().unwrap_or(highest).saturating_add(1),
        };
        object.set_revision(revision);
    }
}

/// The revision and the sum in the first line, if nexus wrote it, and the rest of the text.
fn head(text: &[u8]) -> Option<(u64, u64, &[u8])> {
    let end = text.iter().position(|byte| *byte == b'\n')?;
    let (line, rest) = text.split_at_checked(end + 1)?;
    let line = std::str::from_utf8(line).ok()?.trim_end();
    let (revision, sum) = line.strip_prefix(HEAD)?.split_once(SUM)?;
    Some((revision.parse().ok()?, u64::from_str_radix(sum, 16).ok()?, rest))
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

/// The text of a file of that name with these objects, each with its revision; in YAML with a sum above, by which [`read`] sees
/// whether somebody else has changed it since.
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
        return Ok(out);
    }
    yaml_text::write(&value, &mut out)?;
    let highest = objects.iter().map(|(_, revision)| *revision).max().unwrap_or(0);
    let sum = checksum::sum(checksum::EMPTY, &out);
    let head = format!("{HEAD}{highest}{SUM}{sum:016x}\n");
    out.splice(..0, head.into_bytes());
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
    fn edits_by_hand_count() {
        let read = |file: &str, text: &str| {
            let read = read(
                Sort::Specs,
                text.as_bytes(),
                &file.into(),
                "n",
                &mut Words::default(),
            );
            let revisions = read.unwrap().into_iter().map(|object| object.stored_revision());
            revisions.collect::<Vec<_>>()
        };
        let given = "- {kind: k, name: a, x: one}\n- {kind: k, name: b}\n";
        let given = read_shown(Sort::Specs, given.as_bytes(), &"f".into(), "n").unwrap();
        let written = |name: &str, objects: &[(&Object, u64)]| {
            String::from_utf8(write(name, objects).unwrap()).unwrap()
        };
        let one = written("f.yaml", &[(&given[0], 3)]);
        let two = written("f.yaml", &[(&given[0], 3), (&given[1], 7)]);
        assert!(one.starts_with("# revision 3, sum "), "{one}");
        let (first, below) = one.split_once('\n').unwrap();
        for (text, expected) in [
            (one.clone(), vec![3]),
            (one.replace("one", "two"), vec![4]),
            (one.replace("revision: 3\n", ""), vec![4]),
            (one.replace("revision: 3\n", "revision: 9\n"), vec![10]),
            (below.to_string(), vec![3]),
            (below.replace("revision: 3\n", ""), vec![1]),
            (format!("{first} or so\n{below}"), vec![3]),
            (two.clone(), vec![3, 7]),
            (two.replace("one", "two"), vec![4, 8]),
            (format!("{two}- {{kind: k, name: c}}\n"), vec![4, 8, 8]),
            ("{kind: k, name: a, revision: 0}".to_string(), vec![1]),
        ] {
            assert_eq!(read("f.yaml", &text), expected, "{text}");
        }
        let json = written("f.json", &[(&given[0], 3)]);
        assert_eq!(read("f.json", &json.replace("one", "two")), [3]);
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
