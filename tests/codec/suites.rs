//! The public suites: every valid msgpack encoding of a value is read, every text that must be refused is. They are looked
//! for in the folder `NEXUS_CORPORA`, or beside the project in `../shared/corpora`; without it the tests only say so.

use crate::naive;
use nexus::codec::base64;
use nexus::codec::document::{Document, Node};
use nexus::codec::json::{Reader, Shape, write_string};
use nexus::codec::msgpack::{self, Token};
use nexus::codec::number::float_text;
use nexus::codec::schema::Types;
use nexus::codec::transcode::{Style, check_msgpack, json_to_msgpack, msgpack_to_json};
use std::path::PathBuf;

fn corpora(folder: &str) -> Option<PathBuf> {
    let beside = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/corpora");
    let root = std::env::var("NEXUS_CORPORA").unwrap_or(beside.into());
    let path = PathBuf::from(root).join(folder);
    if path.is_dir() {
        return Some(path);
    }
    println!("skipped: there is no folder {}", path.display());
    None
}

/// The schema of one value: lists and objects become tuples and records, so that each part has its own type.
fn schema(node: Node) -> String {
    match node.shape() {
        Shape::Null => "z".into(),
        Shape::Bool => "b".into(),
        Shape::Number
            if node
                .as_number()
                .is_some_and(|text| text.contains(['.', 'e', 'E'])) =>
        {
            "f8".into()
        }
        Shape::Number => "j".into(),
        Shape::Str => "s".into(),
        Shape::Array => {
            let members: Vec<String> = node.elements().unwrap().map(|node| schema(node)).collect();
            format!("({})", members.join(","))
        }
        Shape::Object => {
            let fields = node.members().unwrap();
            let fields: Vec<String> = fields
                .map(|(key, node)| format!("{key}:{}", schema(node)))
                .collect();
            format!("{{{}}}", fields.join(","))
        }
    }
}

fn bytes(hex: &str) -> Vec<u8> {
    let digits = hex.split('-').filter(|digits| !digits.is_empty());
    digits
        .map(|digits| u8::from_str_radix(digits, 16).unwrap())
        .collect()
}

/// Reads an encoding by its type and compares the text.
fn check(schema: &str, encoding: &[u8], expected: &str) {
    let mut types = Types::default();
    let ty = types.parse(schema).unwrap();
    let mut text = Vec::new();
    let read = msgpack_to_json(&types, ty, encoding, Style::Compact, &mut text);
    assert_eq!(read, Ok(()), "{schema} {encoding:02x?}");
    assert_eq!(
        String::from_utf8_lossy(&text),
        expected,
        "{schema} {encoding:02x?}"
    );
    for len in 0..encoding.len() {
        assert!(
            check_msgpack(&types, ty, &encoding[..len]).is_err(),
            "{schema} {encoding:02x?} cut to {len}"
        );
    }
}

/// The value as the codec writes it.
fn compact(node: Node) -> String {
    let quoted = |text: &str| {
        let mut out = Vec::new();
        write_string(text, &mut out);
        String::from_utf8(out).unwrap()
    };
    match node.shape() {
        Shape::Null => "null".into(),
        Shape::Bool => node.as_bool().unwrap().to_string(),
        Shape::Number => node.as_number().unwrap().into(),
        Shape::Str => quoted(node.as_str().unwrap()),
        Shape::Array => {
            let elements: Vec<String> = node.elements().unwrap().map(compact).collect();
            format!("[{}]", elements.join(","))
        }
        Shape::Object => {
            let members = node.members().unwrap();
            let members: Vec<String> = members
                .map(|(key, value)| format!("{}:{}", quoted(key), compact(value)))
                .collect();
            format!("{{{}}}", members.join(","))
        }
    }
}

#[test]
fn every_encoding_is_read() {
    let Some(folder) = corpora("msgpack") else { return };
    let text = std::fs::read(folder.join("msgpack-test-suite.json")).unwrap();
    let suite = Document::parse(&text).unwrap();
    let mut count = 0;
    for case in suite
        .root()
        .members()
        .unwrap()
        .flat_map(|(_, group)| group.elements().unwrap())
    {
        let (kind, value) = case
            .members()
            .unwrap()
            .find(|(key, _)| *key != "msgpack")
            .unwrap();
        for encoding in case.member("msgpack").unwrap().elements().unwrap() {
            let encoding = bytes(encoding.as_str().unwrap());
            assert_eq!(msgpack::Reader::new(&encoding).skip(), Ok(&encoding[..]));
            check_case(kind, value, &encoding);
            count += 1;
        }
    }
    assert!(count > 200, "{count}");
}

fn check_case(kind: &str, value: Node, encoding: &[u8]) {
    match kind {
        "binary" => {
            let mut text = Vec::new();
            base64::encode(&bytes(value.as_str().unwrap()), &mut text);
            check(
                "y",
                encoding,
                &format!("\"{}\"", String::from_utf8(text).unwrap()),
            );
        }
        "number" | "bignum" => {
            let text = value.as_number().or(value.as_str()).unwrap();
            check("f8", encoding, &float_text(text.parse().unwrap()));
            // Some integers are also encoded as floats, which integer types don't take.
            if !text.contains('.') && !matches!(encoding[0], 0xca | 0xcb) {
                check("j", encoding, text);
            }
        }
        "ext" => {
            let parts: Vec<Node> = value.elements().unwrap().collect();
            let payload = bytes(parts[1].as_str().unwrap());
            let expected = Token::Ext(parts[0].as_number().unwrap().parse().unwrap(), &payload);
            assert_eq!(msgpack::Reader::new(encoding).next(), Ok(expected));
        }
        "timestamp" => {
            let token = msgpack::Reader::new(encoding).next();
            assert!(matches!(token, Ok(Token::Ext(-1, _))), "{token:?}");
        }
        _ => check(&schema(value), encoding, &compact(value)),
    }
}

#[test]
fn every_text_is_accepted_or_refused() {
    let Some(folder) = corpora("json") else { return };
    let mut counts = [0; 3];
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        let text = std::fs::read(&path).unwrap();
        let mut reader = Reader::new(&text);
        let read = reader.skip().and_then(|_| reader.finish());
        match name.split_once('_') {
            Some(("y", _)) => {
                counts[0] += 1;
                assert_eq!(read, Ok(()), "{name}");
                transcode(&text, name);
            }
            Some(("n", _)) => {
                counts[1] += 1;
                assert!(read.is_err(), "{name}");
                assert!(Document::parse(&text).is_err(), "{name}");
                for schema in [
                    "j",
                    "f8",
                    "s",
                    "[j]",
                    "[f8]",
                    "[s]",
                    "(z,b)",
                    "{}",
                    "{a:?s,b:?j}",
                    "&1T[^1T]",
                    "?{a:{b:j}}",
                ] {
                    let mut types = Types::default();
                    let ty = types.parse(schema).unwrap();
                    assert!(
                        json_to_msgpack(&types, ty, &text, &mut Vec::new()).is_err(),
                        "{name} {schema}"
                    );
                }
            }
            Some(("i", _)) => {
                counts[2] += 1;
                // Either will do, if the readers agree.
                assert_eq!(Document::parse(&text).is_ok(), read.is_ok(), "{name}");
            }
            _ => {}
        }
    }
    assert!(counts[0] > 90 && counts[1] > 180 && counts[2] > 30, "{counts:?}");
}

/// A valid text also passes by a schema made for it.
fn transcode(text: &[u8], name: &str) {
    // Two equal keys are valid JSON, but not a document.
    let Ok(document) = Document::parse(text) else {
        assert!(name.contains("duplicated_key"), "{name}");
        return;
    };
    let schema = schema(document.root());
    let mut types = Types::default();
    // Keys that a schema can't spell.
    let Ok(ty) = types.parse(&schema) else {
        assert!(name.contains("object_empty_key"), "{name} {schema}");
        return;
    };
    let mut bytes = Vec::new();
    let written = json_to_msgpack(&types, ty, text, &mut bytes);
    assert_eq!(written, Ok(()), "{name} {schema}");
    assert_eq!(
        naive::json_to_msgpack(&types, ty, text),
        Some(bytes),
        "{name} {schema}"
    );
}
