//! Types as messages show them: as people write them, the unknown by letters, what is too long cut. Decides nothing.

use crate::compose::types::{Node, Ty, Types, called, default};
use crate::map::Map;

/// Characters of a type in a message: what a line holds beside the rest.
const SHOWN_CHARS_MAX: usize = 160;

/// A type as a message says it: of what is only known to be a number and the like, what it will be or may be.
pub fn describe(types: &mut Types, ty: Ty) -> String {
    if let Node::Variable { kinds, .. } = types.node(ty) {
        return match (default(kinds), called(kinds)) {
            (_, phrase @ "null") => phrase.into(),
            (Some(base), _) => base.name().into(),
            (None, "another type") => "unknown".into(),
            (None, phrase) => phrase.into(),
        };
    }
    let mut writer = Writer {
        types,
        text: String::new(),
        names: Map::new(),
    };
    writer.write(ty, Context::Top);
    writer.text
}

/// As [`describe`], for what is expected: a variable that may be several things is named by all of them.
pub fn describe_expected(types: &mut Types, ty: Ty) -> String {
    match types.node(ty) {
        Node::Variable { kinds, .. } => called(kinds).into(),
        _ => describe(types, ty),
    }
}

/// What stands around a type, which decides about its parentheses.
#[derive(Clone, Copy, PartialEq)]
enum Context {
    Top,
    /// Left of an arrow.
    Param,
    /// Behind `?` or `Worker`.
    Atom,
}

struct Writer<'t> {
    types: &'t mut Types,
    text: String,
    names: Map<Ty, String>,
}

impl Writer<'_> {
    fn write(&mut self, ty: Ty, context: Context) {
        if self.text.len() > SHOWN_CHARS_MAX {
            if !self.text.ends_with("...") {
                self.text.push_str("...");
            }
            return;
        }
        let root = self.types.root(ty);
        match self.types.node(root) {
            Node::Base(base) => self.text.push_str(base.name()),
            Node::Rigid(rigid) => {
                let name = self.types.rigid_name(rigid).to_string();
                self.text.push_str(&name);
            }
            Node::Variable { kinds, .. } => match default(kinds) {
                Some(base) => self.text.push_str(base.name()),
                None => self.letter(root),
            },
            Node::Link(_) => {}
            Node::List(inner) => {
                self.text.push('[');
                self.write(inner, Context::Top);
                self.text.push(']');
            }
            Node::Optional(inner) => {
                self.text.push('?');
                self.write(inner, Context::Atom);
            }
            Node::Tuple(span) => {
                let parts = self.types.members(span).to_vec();
                self.text.push('(');
                for (position, part) in parts.into_iter().enumerate() {
                    self.text.push_str(if position > 0 { ", " } else { "" });
                    self.write(part, Context::Top);
                }
                self.text.push(')');
            }
            Node::Record(record) => self.record(record),
            Node::Arrow(from, to) => {
                let is_inside = context != Context::Top;
                self.text.push_str(if is_inside { "(" } else { "" });
                self.write(from, Context::Param);
                self.text.push_str(" -> ");
                self.write(to, Context::Top);
                self.text.push_str(if is_inside { ")" } else { "" });
            }
            Node::Worker(from, to) => {
                let is_inside = context == Context::Atom;
                self.text.push_str(if is_inside { "(Worker " } else { "Worker " });
                self.write(from, Context::Atom);
                self.text.push(' ');
                self.write(to, Context::Atom);
                self.text.push_str(if is_inside { ")" } else { "" });
            }
        }
    }

    fn letter(&mut self, root: Ty) {
        let position = self.names.len();
        let letter = (b'a' + (position % 26) as u8) as char;
        let name = self.names.or_insert_with(root, || match position / 26 {
            0 => letter.to_string(),
            round => format!("{letter}{round}"),
        });
        self.text.push_str(name);
    }

    fn record(&mut self, record: u32) {
        let record = self.types.record(record).clone();
        if !record.name.is_empty() {
            self.text.push_str(&record.name);
            return;
        }
        self.text.push('{');
        for (position, (key, ty)) in record.fields.into_iter().enumerate() {
            self.text.push_str(if position > 0 { ", " } else { "" });
            self.text.push_str(&key);
            self.text.push_str(" :: ");
            self.write(ty, Context::Top);
        }
        self.text.push('}');
    }
}
