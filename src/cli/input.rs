//! From a source to the msgpack of a parameter: reads files and standard input, takes JSON or msgpack by a file's name or
//! first byte, puts records together from their options. Starts nothing.

use crate::cli::files;
use crate::cli::source::Source;
use crate::codec::json::line_column;
use crate::codec::msgpack::{Reader, Token, write};
use crate::codec::schema::{Type, Types};
use crate::codec::transcode::{ValueError, json_to_msgpack, msgpack_to_msgpack};
use crate::error::{Error, Kind, Result};
use crate::ids::TypeId;
use crate::limits::INPUT_BYTES_MAX;
use crate::manifest::model::{Arg, Command, RecordArg};
use crate::manifest::names::{entry_label, label};
use crate::manifest::sample::sample;
use crate::manifest::word::{self, Label, with_hint};
use crate::shell::file_bytes::FileBytes;
use crate::sys::memory::expect_filling;
use std::path::Path;

/// Encodes the parameter of a command at that position from its source.
///
/// # Errors
/// Kind `bad_argument`: a value that doesn't fit its type, with the place in it; a file that can't be read.
pub fn encode(types: &Types, command: &Command, position: usize, source: &Source) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    let Some(arg) = command.args.get(position) else {
        let message = format!("command {} has no parameter {}", command.name, position + 1);
        return Err(Error::new(Kind::Usage, message));
    };
    match (arg, source) {
        (Arg::Record(record), Source::Record { whole, fields }) => {
            let what = (record, whole.as_deref(), fields.as_slice());
            encode_record(types, what, &|| label(command, position), &mut out)?;
        }
        _ => value(types, arg.ty(), source, &|| label(command, position), &mut out)?,
    }
    Ok(out)
}

/// The file that the parameter of a command at that position is the content of: bytes, as msgpack.
pub fn content(types: &Types, command: &Command, position: usize, source: &Source) -> Option<FileBytes> {
    let ty = command.args.get(position).map(Arg::ty)?;
    match (types.node(ty), source) {
        (Type::Bytes, Source::File(path)) if !path.ends_with(".json") => FileBytes::of(Path::new(path)),
        _ => None,
    }
}

/// Encodes the parameter of a command at that position from its JSON text.
///
/// # Errors
/// Kind `bad_argument`: a value that doesn't fit its type, with the place in it.
pub fn encode_json(types: &Types, command: &Command, position: usize, text: &[u8]) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    let ty = command.args.get(position).map(Arg::ty);
    let Some(ty) = ty else {
        let message = format!("command {} has no parameter {}", command.name, position + 1);
        return Err(Error::new(Kind::Usage, message));
    };
    json_to_msgpack(types, ty, text, &mut out).map_err(|error| {
        let (name, path) = label(command, position);
        let told = Error::new(Kind::BadArgument, format!("{name}: {}", error.message));
        let column = line_column(text, error.offset).1;
        with_hint(
            told.at(format!("{path}{} (character {column})", error.path)),
            error.hint,
        )
    })?;
    Ok(out)
}

fn encode_record(
    types: &Types,
    (record, whole, fields): (&RecordArg, Option<&Source>, &[Option<Source>]),
    label: Label,
    out: &mut Vec<u8>,
) -> Result<()> {
    let Type::Record(span) = types.node(types.inner(record.ty)) else {
        return Err(Error::new(
            Kind::BadArgument,
            format!("{} is no record", record.metavar),
        ));
    };
    let mut encoded = Vec::new();
    if let Some(source) = whole {
        value(types, record.ty, source, label, &mut encoded)?;
    }
    // The whole is in canonical form: all keys, in order. Without one, every field has a source.
    let mut from_whole = Reader::new(&encoded);
    let has_whole = matches!(from_whole.next(), Ok(Token::Map(_)));
    write::map(out, span.len() as u32);
    for (at, field) in types.fields(span).iter().enumerate() {
        write::string(out, &field.key);
        let kept = match has_whole {
            true => from_whole.next().and_then(|_| from_whole.skip()).ok(),
            false => None,
        };
        match (fields.get(at), kept) {
            (Some(Some(source)), _) => value(types, field.ty, source, &|| entry_label(record, at), out)?,
            (_, Some(kept)) => out.extend_from_slice(kept),
            _ => write::nil(out),
        }
    }
    Ok(())
}

/// Encodes one value.
fn value(types: &Types, ty: TypeId, source: &Source, label: Label, out: &mut Vec<u8>) -> Result<()> {
    match source {
        Source::Null => write::nil(out),
        Source::Bool(value) => write::boolean(out, *value),
        Source::Text(text) if types.is_text(ty) => write::string(out, text),
        Source::Text(text) => word::encode(types, ty, text, label, &|| how_to_write(types, ty, text), out)?,
        Source::Default(json) => json_to_msgpack(types, ty, json.as_bytes(), out).map_err(|error| {
            let (name, path) = label();
            let message = format!("default of {name}: {}", error.message);
            Error::new(Kind::Manifest, message).at(format!("{path}{}", error.path))
        })?,
        Source::File(path) => drop(read(types, ty, Some(path), label, out)?),
        Source::Stdin => drop(read(types, ty, None, label, out)?),
        Source::Record { .. } => {
            let (name, _) = label();
            return Err(Error::new(
                Kind::BadArgument,
                format!("{name} can't be put together from options"),
            ));
        }
    }
    Ok(())
}

/// What to write instead of a word that isn't a value of the type.
fn how_to_write(types: &Types, ty: TypeId, text: &str) -> Option<String> {
    if Path::new(text).is_file() {
        return Some(format!("to read the file, write @{text}"));
    }
    sample(types, ty).map(|sample| format!("write JSON in single quotes, like '{sample}'"))
}

/// The two forms of a value in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// JSON text.
    Json,
    /// msgpack bytes.
    Msgpack,
}

impl Content {
    /// By the ending of the file's name, else by the first byte: a control character or one beyond ASCII starts no JSON.
    fn of(path: Option<&str>, bytes: &[u8]) -> Content {
        let extension = path.and_then(|path| Path::new(path).extension()?.to_str());
        match (extension, bytes.first()) {
            (Some("msgpack" | "mpk"), _) => Content::Msgpack,
            (Some("json"), _) | (_, None | Some(b'\t' | b'\n' | b'\r' | b' '..=b'~')) => Content::Json,
            _ => Content::Msgpack,
        }
    }
}

/// Appends the value that a file holds, or standard input where there is no path, and tells in which form it was.
///
/// # Errors
/// Kind `bad_argument`: it can't be read, or doesn't fit the type; `label` says what to call it.
pub fn read(
    types: &Types,
    ty: TypeId,
    path: Option<&str>,
    label: Label,
    out: &mut Vec<u8>,
) -> Result<Content> {
    let name = path.unwrap_or("standard input");
    let bytes = match path {
        Some(path) => files::read(Path::new(path), INPUT_BYTES_MAX),
        None => files::read_stdin(INPUT_BYTES_MAX),
    };
    let bytes = bytes.map_err(|error| {
        let message = format!("{}: can't read {name}: {}", label().0, files::reason(&error));
        Error::new(Kind::BadArgument, message)
    })?;
    let content = Content::of(path, &bytes);
    let result = match content {
        Content::Msgpack => msgpack_to_msgpack(types, ty, &bytes, out),
        Content::Json => {
            // Numbers take about half of their text.
            out.reserve(bytes.len() / 2);
            expect_filling(out);
            json_to_msgpack(types, ty, &bytes, out)
        }
    };
    match result {
        Ok(()) => Ok(content),
        Err(error) => {
            let (what, start) = label();
            let within = place_in(&bytes, content, &error);
            let place = format!("{start}{} ({name}, {within})", error.path);
            let told =
                Error::new(Kind::BadArgument, format!("{what}: {}", error.message)).at(place.trim_start());
            Err(with_hint(told, error.hint))
        }
    }
}

/// Where in a text, or in bytes, an error is.
fn place_in(bytes: &[u8], content: Content, error: &ValueError) -> String {
    match content {
        Content::Msgpack => format!("byte {}", error.offset),
        Content::Json => {
            let (line, column) = line_column(bytes, error.offset);
            format!("line {line}, column {column}")
        }
    }
}
