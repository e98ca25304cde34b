//! Results and errors of commands as the content of an answer. Decodes no argument.

use super::message::Revision;
use crate::codec::base64;
use crate::codec::json::write_string;
use crate::codec::msgpack::{Reader, Token};
use crate::codec::schema::{Type, Types};
use crate::codec::transcode::{Closed, Sink, Style, msgpack_to_json};
use crate::error::{Error, Kind, Result};
use crate::ids::TypeId;
use crate::limits::MCP_RESULT_BYTES_MAX;
use crate::manifest::model::{Command, Manifest};

/// Whether results of the type are told as a JSON value with a schema, too: bytes and nothing are not.
pub fn is_structured(types: &Types, ty: TypeId) -> bool {
    !matches!(types.node(types.inner(ty)), Type::Nil | Type::Bytes)
}

/// Whether such a result stands in an object as its `result`, since it is none itself.
pub fn is_wrapped(types: &Types, ty: TypeId) -> bool {
    !matches!(types.node(ty), Type::Record(_))
}

/// Appends the JSON of a call's result: `bytes` is what the command gave, as msgpack.
///
/// # Errors
/// `protocol`: bytes that don't fit the type; `bad_argument`: more than an answer may hold.
pub fn write_result(
    revision: Revision,
    manifest: &Manifest,
    command: &Command,
    bytes: &[u8],
    out: &mut Vec<u8>,
) -> Result<()> {
    let (types, returned) = (&manifest.types, command.returns.ty);
    let inner = types.inner(returned);
    let token = Reader::new(bytes).next();
    if let (Type::Bytes, Ok(Token::Bin(data))) = (types.node(inner), &token) {
        return write_bytes(command.returns.media_type.as_deref(), data, out);
    }
    let mut json = Limited::default();
    let written = msgpack_to_json(types, returned, bytes, Style::Compact, &mut json);
    if json.is_over || json.text.len() > MCP_RESULT_BYTES_MAX {
        return Err(too_long(json.text.len()));
    }
    written.map_err(|error| {
        let message = format!(
            "result does not fit its type {}: {}",
            types.spell(returned),
            error.message
        );
        Error::new(Kind::Protocol, message).at(format!("result{} (byte {})", error.path, error.offset))
    })?;
    let json = String::from_utf8(json.text).unwrap_or_default();
    // A text is for reading: without JSON's quotes.
    match (types.node(inner), token) {
        (Type::Str, Ok(Token::Str(text))) => write_text(text, out),
        _ => write_text(&json, out),
    }
    if revision >= Revision::V2025_06_18 && is_structured(types, returned) {
        out.extend_from_slice(b",\"structuredContent\":");
        let is_wrapped = is_wrapped(types, returned);
        if is_wrapped {
            out.extend_from_slice(b"{\"result\":");
        }
        out.extend_from_slice(json.as_bytes());
        if is_wrapped {
            out.push(b'}');
        }
    }
    out.push(b'}');
    Ok(())
}

/// Appends the JSON of a call that failed: what a person would read, so that the assistant can do better.
pub fn write_error(error: &Error, out: &mut Vec<u8>) {
    write_text(&error_text(error), out);
    out.extend_from_slice(b",\"isError\":true}");
}

/// Opens a result whose content is one text.
fn write_text(text: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"content\":[{\"type\":\"text\",\"text\":");
    write_string(text, out);
    out.extend_from_slice(b"}]");
}

/// Bytes of a media type that the command names are what they are; others are base64.
fn write_bytes(media_type: Option<&str>, data: &[u8], out: &mut Vec<u8>) -> Result<()> {
    if data.len() > MCP_RESULT_BYTES_MAX / 2 {
        return Err(too_long(data.len()));
    }
    let Some(media) = media_type else {
        let mut text = Vec::new();
        base64::encode(data, &mut text);
        write_text(&String::from_utf8(text).unwrap_or_default(), out);
        out.push(b'}');
        return Ok(());
    };
    let (open, key, close): (&[u8], &[u8], &[u8]) = match media.split_once('/') {
        Some(("image", _)) => (b"{\"type\":\"image\"", b",\"data\":\"", b"\"}"),
        Some(("audio", _)) => (b"{\"type\":\"audio\"", b",\"data\":\"", b"\"}"),
        _ => (
            b"{\"type\":\"resource\",\"resource\":{\"uri\":\"result:\"",
            b",\"blob\":\"",
            b"\"}}",
        ),
    };
    out.extend_from_slice(b"{\"content\":[");
    out.extend_from_slice(open);
    out.extend_from_slice(b",\"mimeType\":");
    write_string(media, out);
    out.extend_from_slice(key);
    base64::encode(data, out);
    out.extend_from_slice(close);
    out.extend_from_slice(b"]}");
    Ok(())
}

fn too_long(len: usize) -> Box<Error> {
    let message = format!(
        "the result takes {len} bytes or more, expected at most {MCP_RESULT_BYTES_MAX} in an answer to an assistant"
    );
    Error::new(Kind::BadArgument, message)
        .hint("call a command that gives less, or run the program by itself")
}

/// Text up to a limit.
#[derive(Default)]
struct Limited {
    text: Vec<u8>,
    is_over: bool,
}

impl Sink for Limited {
    fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.text
    }

    fn flush_if_large(&mut self) -> std::result::Result<(), Closed> {
        self.is_over = self.text.len() > MCP_RESULT_BYTES_MAX;
        match self.is_over {
            true => Err(Closed),
            false => Ok(()),
        }
    }
}

/// An error as lines of text: the sentence, where, the stack over all languages, what to do.
fn error_text(error: &Error) -> String {
    let mut text = error.message.clone();
    let mut line = |parts: &[&str]| {
        text.push('\n');
        parts.iter().for_each(|part| text.push_str(part));
    };
    if let Some(place) = &error.place {
        line(&["at ", place]);
    }
    for (word, name) in [
        ("in pool ", &error.pool),
        ("in command ", &error.command),
        ("in function ", &error.function),
    ] {
        if let Some(name) = name {
            line(&[word, name]);
        }
    }
    if !error.trace.is_empty() {
        line(&["stack, innermost first:"]);
    }
    for entry in &error.trace {
        let number = match entry.line {
            0 => String::new(),
            number => format!(":{number}"),
        };
        line(&[
            "  ",
            &entry.lang,
            "  ",
            &entry.function,
            "  ",
            &entry.file,
            &number,
        ]);
    }
    if !error.stderr_tail.is_empty() {
        line(&["last lines of its standard error:"]);
    }
    for tail in &error.stderr_tail {
        line(&["  ", tail]);
    }
    if let Some(hint) = &error.hint {
        line(&["hint: ", hint]);
    }
    text
}
