//! Fuzzed values: schemas, msgpack and JSON by schema. What goes in must come out.

use nexus::codec::document::Document;
use nexus::codec::msgpack::Reader;
use nexus::codec::schema::{Number, Type, Types};
use nexus::codec::transcode::{Style, check_msgpack, json_to_msgpack, msgpack_to_json, msgpack_to_msgpack};
use nexus::ids::TypeId;

/// Types that one first byte chooses, so that the fuzzer need not find out how to spell them.
const SCHEMAS: [&str; 24] = [
    "j",
    "f8",
    "f4",
    "s",
    "y",
    "b",
    "?i4",
    "[u1]",
    "[i2]",
    "[f4]",
    "[f8]",
    "[j]",
    "[s]",
    "[?b]",
    "a:3f8",
    "[[u8]]",
    "(i1,s,?f8)",
    "{name:s,age:?u1}",
    "[{x:f8,y:[i8],z:?{w:s}}]",
    "&4Tree{value:j,children:[^4Tree]}",
    "??i8",
    "[z]",
    "{}",
    "\\(j)s",
];

/// The type that the first byte, or else the first line, names; and the rest.
fn typed(input: &[u8]) -> Option<(Types, TypeId, &[u8])> {
    let mut types = Types::default();
    let (first, rest) = input.split_first()?;
    if let Some(schema) = SCHEMAS.get(usize::from(*first)) {
        let ty = types.parse(schema).expect("a schema of the table is one");
        return Some((types, ty, rest));
    }
    let end = input.iter().position(|byte| *byte == b'\n')?;
    let ty = types.parse(std::str::from_utf8(&input[..end]).ok()?).ok()?;
    Some((types, ty, &input[end + 1..]))
}

/// A schema that is read is written so that it reads the same; an error lies in the text.
pub fn schema(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
    let mut types = Types::default();
    match types.parse(text) {
        Ok(ty) => {
            let spelled = types.spell(ty);
            // A spelling is for people: that of a recursive type does not read back, nor does a key with punctuation, which
            // only a compact record (`m`) can have.
            if !spelled.contains('^') && !text.contains('m') {
                let again = types.parse(&spelled).expect("a spelling is a schema");
                assert_eq!(types.spell(again), spelled);
            }
        }
        Err(error) => assert!(text.is_char_boundary(error.offset), "{error:?}"),
    }
}

/// Msgpack of any form has one canonical form, or none; its text reads back as that.
pub fn msgpack(input: &[u8]) {
    let Some((types, ty, bytes)) = typed(input) else {
        return;
    };
    let mut reader = Reader::new(bytes);
    while reader.next().is_ok() {}
    let mut canonical = b"before".to_vec();
    let made = msgpack_to_msgpack(&types, ty, bytes, &mut canonical);
    assert_eq!(made.is_ok(), check_msgpack(&types, ty, bytes).is_ok());
    if let Err(error) = made {
        assert!(error.offset <= bytes.len(), "{error:?}");
        assert_eq!(canonical, b"before");
        return;
    }
    let canonical = &canonical[6..];
    assert_eq!(Reader::new(canonical).skip(), Ok(canonical));
    let mut again = Vec::new();
    msgpack_to_msgpack(&types, ty, canonical, &mut again).expect("a canonical form is of its type");
    assert_eq!(again, canonical);

    let (mut text, mut of_canonical) = (Vec::new(), Vec::new());
    let told = msgpack_to_json(&types, ty, bytes, Style::Compact, &mut text);
    let told_again = msgpack_to_json(&types, ty, canonical, Style::Compact, &mut of_canonical);
    assert_eq!(told.is_ok(), told_again.is_ok());
    if told.is_ok() {
        assert_eq!(show(&text), show(&of_canonical));
        check_float(&types, ty, show(&text), canonical);
        assert!(is_shortest(&types, ty, show(&text)), "{}", show(&text));
        let back = read(&types, ty, &text);
        // A NaN has many forms in msgpack, and one in JSON.
        assert!(
            back == canonical || show(&text).contains("NaN"),
            "{}",
            show(&text)
        );
    }
}

/// JSON becomes canonical msgpack, whose text, in any style, becomes the same again.
pub fn transcode(input: &[u8]) {
    let Some((types, ty, text)) = typed(input) else {
        return;
    };
    let mut bytes = b"before".to_vec();
    if let Err(error) = json_to_msgpack(&types, ty, text, &mut bytes) {
        assert!(error.offset <= text.len(), "{error:?}");
        assert_eq!(bytes, b"before");
        return;
    }
    let bytes = &bytes[6..];
    Document::parse(text).expect("what a type reads is JSON");
    check_float(&types, ty, show(text), bytes);
    let mut canonical = Vec::new();
    msgpack_to_msgpack(&types, ty, bytes, &mut canonical).expect("it is of its type");
    assert_eq!(canonical, bytes);
    for style in [Style::Compact, Style::Pretty] {
        let mut text = Vec::new();
        msgpack_to_json(&types, ty, bytes, style, &mut text).expect("what came from JSON has a text");
        assert_eq!(read(&types, ty, &text), bytes, "{}", show(&text));
    }
}

/// The standard library reads the same float from a number's text.
fn check_float(types: &Types, ty: TypeId, text: &str, msgpack: &[u8]) {
    let text = text.trim();
    let expected = match types.node(ty) {
        Type::Number(Number::F8) => text
            .parse()
            .map(|value: f64| [&[0xcb][..], &value.to_be_bytes()].concat()),
        Type::Number(Number::F4) => text
            .parse()
            .map(|value: f32| [&[0xca][..], &value.to_be_bytes()].concat()),
        _ => return,
    };
    if let Ok(expected) = expected {
        assert_eq!(msgpack, expected, "{text}");
    }
}

/// Whether the text of a float has no more digits than the standard library needs.
fn is_shortest(types: &Types, ty: TypeId, text: &str) -> bool {
    let shortest = match types.node(ty) {
        Type::Number(Number::F8) => text.parse().map(|value: f64| format!("{value:e}")),
        Type::Number(Number::F4) => text.parse().map(|value: f32| format!("{value:e}")),
        _ => return true,
    };
    let digits = |text: &str| {
        let mantissa = text.split('e').next().unwrap_or_default().replace(['-', '.'], "");
        mantissa.trim_matches('0').len()
    };
    shortest.is_ok_and(|shortest| digits(&shortest) == digits(text)) || text.starts_with('"')
}

fn read(types: &Types, ty: TypeId, text: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let read = json_to_msgpack(types, ty, text, &mut bytes);
    read.unwrap_or_else(|error| panic!("{error:?}: {}", show(text)));
    bytes
}

fn show(text: &[u8]) -> &str {
    std::str::from_utf8(text).expect("JSON is UTF-8")
}
