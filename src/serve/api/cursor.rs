//! One walk over a body of arguments, whether it is JSON or msgpack. Knows no argument.

use crate::codec::json::{self, JsonError, Shape, line_column};
use crate::codec::msgpack::{self, MsgpackError, Token};
use crate::codec::schema::Types;
use crate::codec::transcode::{ValueError, json_value_to_msgpack, msgpack_to_msgpack};
use crate::error::{Error, Kind};
use crate::ids::TypeId;
use std::borrow::Cow;

/// A place in a body.
pub(super) enum Cursor<'b> {
    /// Of JSON text.
    Json(json::Reader<'b>, &'b [u8]),
    /// Of msgpack bytes.
    Msgpack(msgpack::Reader<'b>),
}

/// A container that is open.
pub(super) struct Open {
    /// Items that are left; JSON tells only at the end.
    left: u32,
}

/// What comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    Array,
    Map,
    Other(&'static str),
}

type Step<T> = Result<T, Box<Error>>;

impl<'b> Cursor<'b> {
    pub(super) fn json(text: &'b [u8]) -> Cursor<'b> {
        Cursor::Json(json::Reader::new(text), text)
    }

    pub(super) fn msgpack(bytes: &'b [u8]) -> Cursor<'b> {
        Cursor::Msgpack(msgpack::Reader::new(bytes))
    }

    pub(super) fn peek(&mut self) -> Step<Next> {
        match self {
            Cursor::Json(reader, text) => match reader.peek() {
                Ok(Shape::Array) => Ok(Next::Array),
                Ok(Shape::Object) => Ok(Next::Map),
                Ok(other) => Ok(Next::Other(other.name())),
                Err(error) => Err(no_json(text, &error)),
            },
            Cursor::Msgpack(reader) => match reader.peek() {
                Ok(Token::Array(_)) => Ok(Next::Array),
                Ok(Token::Map(_)) => Ok(Next::Map),
                Ok(other) => Ok(Next::Other(other.name())),
                Err(error) => Err(no_msgpack(&error)),
            },
        }
    }

    /// Opens the array or map that comes next.
    pub(super) fn open(&mut self) -> Step<Open> {
        match self {
            Cursor::Json(reader, text) => {
                let opened = match reader.peek() {
                    Ok(Shape::Array) => reader.begin_array(),
                    _ => reader.begin_object(),
                };
                opened.map_err(|error| no_json(text, &error))?;
                Ok(Open { left: 0 })
            }
            Cursor::Msgpack(reader) => match reader.next() {
                Ok(Token::Array(left) | Token::Map(left)) => Ok(Open { left }),
                Ok(_) => Ok(Open { left: 0 }),
                Err(error) => Err(no_msgpack(&error)),
            },
        }
    }

    /// Whether another element follows in the array.
    pub(super) fn next_element(&mut self, open: &mut Open) -> Step<bool> {
        match self {
            Cursor::Json(reader, text) => reader.next_element().map_err(|error| no_json(text, &error)),
            Cursor::Msgpack(_) => {
                let is_left = open.left > 0;
                open.left = open.left.saturating_sub(1);
                Ok(is_left)
            }
        }
    }

    /// The next key of the map, if there is one.
    pub(super) fn next_key(&mut self, open: &mut Open) -> Step<Option<Cow<'b, str>>> {
        if let Cursor::Json(reader, text) = self {
            return reader.next_key().map_err(|error| no_json(text, &error));
        }
        if !self.next_element(open)? {
            return Ok(None);
        }
        let Cursor::Msgpack(reader) = self else {
            return Ok(None);
        };
        match reader.next() {
            Ok(Token::Str(key)) => Ok(Some(Cow::Borrowed(key))),
            Ok(other) => {
                let message = format!(
                    "a key of the body is {}, expected the name of an argument",
                    other.name()
                );
                Err(Error::new(Kind::BadArgument, message))
            }
            Err(error) => Err(no_msgpack(&error)),
        }
    }

    /// Reads a value by its type and appends it; an error tells where in the body it is.
    pub(super) fn value(
        &mut self,
        types: &Types,
        ty: TypeId,
        out: &mut Vec<u8>,
    ) -> Result<(), (ValueError, String)> {
        match self {
            Cursor::Json(reader, text) => {
                let read = json_value_to_msgpack(types, ty, text, reader.offset(), out);
                let end = read.map_err(|error| {
                    let place = json_place(text, error.offset);
                    (error, place)
                })?;
                reader.seek(end);
            }
            Cursor::Msgpack(reader) => {
                let start = reader.offset();
                let at = |mut error: ValueError| {
                    error.offset += start;
                    let place = format!("byte {}", error.offset);
                    (error, place)
                };
                let value = match reader.skip() {
                    Ok(value) => value,
                    // What is wrong with it is told by who reads it by its type.
                    Err(_) => reader.rest(),
                };
                msgpack_to_msgpack(types, ty, value, out).map_err(at)?;
            }
        }
        Ok(())
    }

    /// Checks that nothing is left.
    pub(super) fn finish(&mut self) -> Step<()> {
        match self {
            Cursor::Json(reader, text) => reader.finish().map_err(|error| no_json(text, &error)),
            Cursor::Msgpack(reader) if reader.is_done() => Ok(()),
            Cursor::Msgpack(reader) => {
                let message = "bytes follow the value in the body, expected one value";
                let place = format!("byte {}", reader.offset());
                Err(Error::new(Kind::BadArgument, message).at(place))
            }
        }
    }
}

fn no_json(text: &[u8], error: &JsonError) -> Box<Error> {
    let message = format!("the body is not valid JSON: {}", error.message);
    Error::new(Kind::BadArgument, message).at(json_place(text, error.offset))
}

fn no_msgpack(error: &MsgpackError) -> Box<Error> {
    Error::new(
        Kind::BadArgument,
        format!("the body is not valid msgpack: {error}"),
    )
}

fn json_place(text: &[u8], offset: usize) -> String {
    let (line, column) = line_column(text, offset);
    format!("line {line}, column {column}")
}
