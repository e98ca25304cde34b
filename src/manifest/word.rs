//! A value from a word, as people write them on command lines and in addresses: JSON, or text that needs no quotes. Reads no
//! file and no standard input.

use crate::codec::json::{self, line_column, write_string};
use crate::codec::schema::{Type, Types};
use crate::codec::transcode::{ValueError, json_to_msgpack};
use crate::error::{Error, Kind, Result};
use crate::ids::TypeId;
use std::borrow::Cow;

/// What messages call a value, and how paths into it start.
pub type Label<'l> = &'l dyn Fn() -> (String, String);

/// Encodes a word of a type other than text. What JSON would want in quotes may go without them: bytes, and floats that are
/// no numbers. `how_to_write` says what to write instead.
///
/// # Errors
/// Kind `bad_argument`: a word that doesn't fit the type, with the place in it.
pub fn encode(
    types: &Types,
    ty: TypeId,
    text: &str,
    label: Label,
    how_to_write: &dyn Fn() -> Option<String>,
    out: &mut Vec<u8>,
) -> Result<()> {
    let is_optional = matches!(types.node(ty), Type::Optional(_));
    let is_bare = match types.node(types.inner(ty)) {
        Type::Bytes => !(text.starts_with('"') || is_optional && text == "null"),
        Type::Number(number) => number.is_float() && matches!(text, "NaN" | "Infinity" | "-Infinity"),
        _ => false,
    };
    let json = match is_bare {
        false => Cow::Borrowed(text.as_bytes()),
        true => {
            let mut quoted = Vec::with_capacity(text.len() + 2);
            write_string(text, &mut quoted);
            Cow::Owned(quoted)
        }
    };
    json_to_msgpack(types, ty, &json, out).map_err(|error| {
        let (name, path) = label();
        let told = |error: &ValueError| Error::new(Kind::BadArgument, format!("{name}: {}", error.message));
        if is_json(text) {
            let told = match error.path.as_str() {
                "" => told(&error),
                within => told(&error).at(format!("{path}{within}")),
            };
            return with_hint(told, error.hint.or_else(how_to_write));
        }
        let hint = how_to_write();
        if text.starts_with(['[', '{']) {
            let character = line_column(&json, error.offset).1;
            let place = format!(
                "{path}{} (character {character} of '{}')",
                error.path,
                clipped(text)
            );
            return with_hint(told(&error).at(place.trim_start()), hint);
        }
        // A word that isn't meant as JSON is best told of as the text that it is.
        let mut quoted = Vec::new();
        write_string(text, &mut quoted);
        let as_text = json_to_msgpack(types, ty, &quoted, &mut Vec::new());
        with_hint(told(as_text.as_ref().err().unwrap_or(&error)), hint)
    })
}

/// The error with what to try, if that is known.
pub fn with_hint(error: Box<Error>, hint: Option<String>) -> Box<Error> {
    match hint {
        Some(hint) => error.hint(hint),
        None => error,
    }
}

fn is_json(text: &str) -> bool {
    let mut reader = json::Reader::new(text.as_bytes());
    reader.skip().and_then(|_| reader.finish()).is_ok()
}

/// Words in messages are cut beyond this, in characters.
const WORD_CHARS_MAX: usize = 40;

fn clipped(text: &str) -> Cow<'_, str> {
    match text.char_indices().nth(WORD_CHARS_MAX) {
        Some((end, _)) => Cow::Owned(format!("{}...", &text[..end])),
        None => Cow::Borrowed(text),
    }
}
