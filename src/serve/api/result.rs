//! The result of a call as an answer. Streams nothing: [`super::stream`] does.

use crate::codec::msgpack::{Reader, Token};
use crate::codec::schema::Types;
use crate::codec::transcode::{Style, ValueError, msgpack_to_json, msgpack_to_msgpack};
use crate::error::{Error, Kind};
use crate::ids::TypeId;
use crate::manifest::model::{Command, Manifest};
use crate::serve::api::accept::{Chosen, Form};
use crate::serve::api::failure::Failure;
use crate::serve::api::stream::{Event, Lines, event};
use crate::serve::http::Response;

/// The answer with the result of a call, in the form that [`super::form`] chose. Null is `null` in JSON; where the form has
/// no null, the answer is 204.
///
/// # Errors
/// Kind `protocol`: a result that doesn't fit its type.
pub fn result(
    manifest: &Manifest,
    command: &Command,
    (form, media_type): Chosen,
    msgpack: &[u8],
) -> Result<Response, Failure> {
    let (types, ty) = (&manifest.types, command.returns.ty);
    let mut response = Response::new(200, media_type, Vec::new());
    response.headers.push(("vary", "Accept".into()));
    response.headers.push(("cache-control", "no-store".into()));
    let body = &mut response.body;
    match form {
        Form::Json => {
            json(types, ty, msgpack, body)?;
            body.push(b'\n');
        }
        Form::Msgpack => canonical(types, ty, msgpack, body)?,
        Form::Raw => match raw(types, ty, msgpack)? {
            Some(raw) => {
                body.extend_from_slice(raw);
                // What a function made is not a page of this server: it gets no share in what its own pages may do.
                response
                    .headers
                    .push(("content-security-policy", "sandbox".into()));
            }
            None => {
                response.status = 204;
                response.headers.retain(|(name, _)| *name != "content-type");
            }
        },
        Form::Lines => {
            let mut lines = Lines::new(types, ty, msgpack)?;
            while lines.next_chunk(types, usize::MAX, body)? {}
        }
        Form::Events => {
            let mut value = Vec::new();
            json(types, ty, msgpack, &mut value)?;
            event(&Event::Result(&value), body);
        }
    }
    Ok(response)
}

/// Appends a result as JSON on one line, without its end.
pub fn json(types: &Types, ty: TypeId, msgpack: &[u8], out: &mut Vec<u8>) -> Result<(), Box<Error>> {
    msgpack_to_json(types, ty, msgpack, Style::Compact, out).map_err(|error| misfit(types, ty, &error))
}

pub(super) fn canonical(
    types: &Types,
    ty: TypeId,
    msgpack: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), Box<Error>> {
    msgpack_to_msgpack(types, ty, msgpack, out).map_err(|error| misfit(types, ty, &error))
}

/// The text or the bytes that a result is; none: it is null.
fn raw<'r>(types: &Types, ty: TypeId, msgpack: &'r [u8]) -> Result<Option<&'r [u8]>, Box<Error>> {
    let mut reader = Reader::new(msgpack);
    match reader.next() {
        Ok(Token::Bin(bytes)) if reader.is_done() => Ok(Some(bytes)),
        Ok(Token::Str(text)) if reader.is_done() && types.is_text(ty) => Ok(Some(text.as_bytes())),
        Ok(Token::Nil) if reader.is_done() => Ok(None),
        _ => {
            // Whoever checks it says what is wrong; other spellings of the same there are none.
            canonical(types, ty, msgpack, &mut Vec::new())?;
            let message = format!("result is neither text nor bytes, expected {}", types.spell(ty));
            Err(Error::new(Kind::Protocol, message))
        }
    }
}

/// A result that isn't what its type says.
fn misfit(types: &Types, ty: TypeId, error: &ValueError) -> Box<Error> {
    let message = format!(
        "result does not fit its type {}: {}",
        types.spell(ty),
        error.message
    );
    Error::new(Kind::Protocol, message).at(format!("result{} (byte {})", error.path, error.offset))
}
