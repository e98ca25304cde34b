//! What a tool takes and gives, as JSON Schema, and its arguments by name. Calls nothing.

use crate::codec::json::write_string;
use crate::codec::schema::Types;
use crate::codec::transcode::json_to_msgpack;
use crate::error::{Error, Kind, Result};
use crate::ids::TypeId;
use crate::manifest::model::{Arg, Command, Manifest};
use crate::serve::mcp::member_texts;

/// Appends the schema of the object of a command's arguments.
pub fn write_schema(_manifest: &Manifest, command: &Command, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"type\":\"object\",\"properties\":{");
    for (position, arg) in command.args.iter().enumerate() {
        if position > 0 {
            out.push(b',');
        }
        write_string(&name(arg, position), out);
        out.extend_from_slice(b":{}");
    }
    out.extend_from_slice(b"}}");
}

/// Appends the schema of a result, which stands in an object if it `is_wrapped`.
pub fn write_result_schema(_types: &Types, _ty: TypeId, is_wrapped: bool, out: &mut Vec<u8>) {
    match is_wrapped {
        true => out.extend_from_slice(
            b"{\"type\":\"object\",\"properties\":{\"result\":{}},\"required\":[\"result\"]}",
        ),
        false => out.extend_from_slice(b"{\"type\":\"object\"}"),
    }
}

/// The arguments of a command from an object, each as msgpack.
///
/// # Errors
/// `bad_argument`: one is missing, unknown or of another type.
pub fn arguments(manifest: &Manifest, command: &Command, json: &[u8]) -> Result<Vec<Vec<u8>>> {
    let names: Vec<String> = command
        .args
        .iter()
        .enumerate()
        .map(|(position, arg)| name(arg, position))
        .collect();
    let keys: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut texts = vec![None; keys.len()];
    member_texts(json, &keys, &mut texts).map_err(|error| Error::new(Kind::BadArgument, error.message))?;
    let encode = |(position, text): (usize, Option<&[u8]>)| {
        let mut out = Vec::new();
        json_to_msgpack(
            &manifest.types,
            command.args[position].ty(),
            text.unwrap_or(b"null"),
            &mut out,
        )
        .map_err(|error| Error::new(Kind::BadArgument, error.message).at(keys[position]))?;
        Ok(out)
    };
    texts.into_iter().enumerate().map(encode).collect()
}

fn name(arg: &Arg, position: usize) -> String {
    match arg {
        Arg::Positional(input) => input.metavar.as_ref().map(|word| word.to_ascii_lowercase()),
        Arg::Option(opt) => opt.long.clone(),
        Arg::Flag(flag) => flag.long.clone(),
        Arg::Record(record) => Some(record.metavar.to_ascii_lowercase()),
    }
    .unwrap_or_else(|| format!("arg{}", position + 1))
}
