//! The value of a pipe on its way into the first stage. Knows no stage but by what it reads.

use super::convert::write_value;
use super::pipe::Planned;
use crate::codec::elements::Cursor;
use crate::codec::msgpack::{Reader, Token};
use crate::codec::schema::{Type, Types};
use crate::error::Result;
use crate::expr::process::Form;
use crate::ids::TypeId;
use std::rc::Rc;

/// What is left of the value.
pub(super) struct Source {
    pub bytes: Rc<Vec<u8>>,
    pub left: Left,
    /// It is one item, no list of them.
    pub is_whole: bool,
}

pub(super) enum Left {
    /// Items of that type.
    Items(Cursor, TypeId),
    /// Bytes as they are, from there to there.
    Bytes(usize, usize),
}

impl Source {
    /// The value does not come through here.
    pub fn none() -> Source {
        Source {
            left: Left::Bytes(0, 0),
            bytes: Rc::default(),
            is_whole: false,
        }
    }

    /// Gets ready to be read by a first stage.
    pub fn begin(bytes: Rc<Vec<u8>>, ty: TypeId, types: &Types, first: Option<&Planned>) -> Result<Source> {
        let mut source = Source {
            left: Left::Bytes(0, bytes.len()),
            bytes,
            is_whole: false,
        };
        match (first, types.node(ty)) {
            (Some(Planned::Each { .. }), Type::List { element, .. }) => {
                source.left = Left::Items(Cursor::new(&source.bytes)?, element);
            }
            (Some(Planned::Cmd { conversion, .. }), node) => match (conversion.input_form, node) {
                (Form::Lines | Form::Jsonl, Type::List { element, .. }) => {
                    source.left = Left::Items(Cursor::new(&source.bytes)?, element);
                }
                (Form::Text | Form::Bytes, _) => {
                    let head = match Reader::new(&source.bytes).next() {
                        Ok(Token::Str(text)) => source.bytes.len() - text.len(),
                        Ok(Token::Bin(bytes)) => source.bytes.len() - bytes.len(),
                        _ => 0,
                    };
                    source.left = Left::Bytes(head, source.bytes.len());
                }
                (form, _) => {
                    let mut text = Vec::new();
                    write_value(types, ty, form, &source.bytes, &mut text)?;
                    source.left = Left::Bytes(0, text.len());
                    source.bytes = Rc::new(text);
                }
            },
            _ => source.is_whole = true,
        }
        Ok(source)
    }
}
