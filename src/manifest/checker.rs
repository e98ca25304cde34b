//! Typed access to the values of a manifest; what doesn't fit is noted with its place and reading goes on, so that one
//! check finds all errors. Knows no key of the manifest.

use crate::codec::document::Node;
use crate::codec::json::{Shape, line_column};
use crate::codec::schema::Types;
use crate::error::{Error, Kind};
use crate::expr::arena::Exprs;
use crate::ids::TypeId;
use crate::limits::MANIFEST_ERRORS_MAX;
use std::fmt::Display;
use std::ops::RangeInclusive;

/// Which of the two forms of a manifest is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    /// `"version": 1`, written for nexus.
    Version1,
    /// Written by the morloc compiler, whose pools speak another protocol.
    Morloc,
}

/// What is collected while a manifest is read. Its readers return none for a value that they have noted an error for.
pub(super) struct Checker<'t> {
    pub dialect: Dialect,
    pub types: Types,
    pub exprs: Exprs,
    /// How many pools there are; none while that is not known.
    pub pool_count: Option<usize>,
    text: &'t [u8],
    file: &'t str,
    /// With the offset, by which they are sorted in the end.
    errors: Vec<(usize, Box<Error>)>,
    more_errors: bool,
}

impl<'t> Checker<'t> {
    pub fn new(text: &'t [u8], file: &'t str, dialect: Dialect) -> Checker<'t> {
        Checker {
            dialect,
            types: Types::default(),
            exprs: Exprs::default(),
            pool_count: None,
            text,
            file,
            errors: Vec::new(),
            more_errors: false,
        }
    }

    /// Whether nothing was noted.
    pub fn is_clean(&self) -> bool {
        self.errors.is_empty()
    }

    /// All errors, in the order of the text.
    #[expect(clippy::vec_box, reason = "errors are passed on in boxes")]
    pub fn into_errors(mut self) -> Vec<Box<Error>> {
        self.errors.sort_by_key(|(offset, _)| *offset);
        let mut errors: Vec<_> = self.errors.into_iter().map(|(_, error)| error).collect();
        if self.more_errors {
            let message =
                format!("manifest has more than {MANIFEST_ERRORS_MAX} errors; the others are left out");
            errors.push(Error::new(Kind::Manifest, message).at(self.file));
        }
        errors
    }

    /// Notes an error of that value.
    pub fn error(&mut self, node: Node, message: impl Into<String>) {
        self.note(node, node.offset(), message.into(), None);
    }

    /// Notes an error of that value, with what to try.
    pub fn error_with_hint(&mut self, node: Node, message: impl Into<String>, hint: impl Into<String>) {
        self.note(node, node.offset(), message.into(), Some(hint.into()));
    }

    /// Notes an error at a byte offset inside a text that this value holds or is.
    pub fn error_inside(
        &mut self,
        node: Node,
        inner: usize,
        text: &str,
        message: String,
        hint: Option<String>,
    ) {
        let start = match node.shape() {
            Shape::Str => node.offset() + 1,
            _ => node.offset(),
        };
        // With escapes, an offset in the text is not one in the file.
        let exact = self
            .text
            .get(start..)
            .is_some_and(|raw| raw.starts_with(text.as_bytes()));
        let offset = if exact { start + inner } else { node.offset() };
        self.note(node, offset, message, hint);
    }

    /// Notes that a value is not what it should be.
    pub fn wrong(&mut self, node: Node, expected: impl Display) {
        self.wrong_with_hint(node, expected, None);
    }

    /// The same, with what to try.
    pub fn wrong_with_hint(&mut self, node: Node, expected: impl Display, hint: Option<String>) {
        if !self.is_full() {
            let message = format!("{} is {}, expected {expected}", name(node), shown(node));
            self.note(node, node.offset(), message, hint);
        }
    }

    /// The member of that key, which must exist.
    pub fn required<'d, 'a>(&mut self, node: Node<'d, 'a>, key: &str) -> Option<Node<'d, 'a>> {
        let found = node.member(key);
        if found.is_none() && !self.is_full() {
            self.error(node, format!("{} lacks the key \"{key}\"", name(node)));
        }
        found
    }

    /// A required string.
    pub fn required_string<'d>(&mut self, node: Node<'d, '_>, key: &str) -> Option<&'d str> {
        self.required(node, key).and_then(|found| self.string(found))
    }

    /// A string, none when it is absent.
    pub fn optional_string<'d>(&mut self, node: Node<'d, '_>, key: &str) -> Option<&'d str> {
        optional(node, key).and_then(|found| self.string(found))
    }

    /// A list of strings, empty when it is absent.
    pub fn optional_strings(&mut self, node: Node, key: &str) -> Vec<String> {
        optional(node, key).map_or_else(Vec::new, |found| self.strings(found))
    }

    /// A boolean, false when it is absent.
    pub fn optional_boolean(&mut self, node: Node, key: &str) -> bool {
        optional(node, key)
            .and_then(|found| self.boolean(found))
            .unwrap_or_default()
    }

    /// A whole number in that range, none when it is absent.
    pub fn optional_integer(&mut self, node: Node, key: &str, range: RangeInclusive<u64>) -> Option<u64> {
        let found = optional(node, key)?;
        let number = found.as_number().and_then(|text| text.parse().ok());
        let number = number.filter(|number| range.contains(number));
        if number.is_none() {
            let (least, most) = range.into_inner();
            self.wrong(found, format!("a whole number from {least} to {most}"));
        }
        number
    }

    /// The value as a string.
    pub fn string<'d>(&mut self, node: Node<'d, '_>) -> Option<&'d str> {
        let found = node.as_str();
        if found.is_none() {
            self.wrong(node, "a string");
        }
        found
    }

    /// The value as a boolean.
    pub fn boolean(&mut self, node: Node) -> Option<bool> {
        let found = node.as_bool();
        if found.is_none() {
            self.wrong(node, "true or false");
        }
        found
    }

    /// The value as a list of strings; what is none is left out.
    pub fn strings(&mut self, node: Node) -> Vec<String> {
        let Some(elements) = node.elements() else {
            self.wrong(node, "an array of strings");
            return Vec::new();
        };
        elements
            .filter_map(|element| self.string(element))
            .map(String::from)
            .collect()
    }

    /// The elements of a value that must be an array.
    pub fn elements<'d, 'a>(
        &mut self,
        node: Node<'d, 'a>,
    ) -> Option<impl ExactSizeIterator<Item = Node<'d, 'a>> + use<'d, 'a>> {
        let found = node.elements();
        if found.is_none() {
            self.wrong(node, "an array");
        }
        found
    }

    /// Whether the value is an object.
    pub fn is_object(&mut self, node: Node) -> bool {
        let is_object = node.shape() == Shape::Object;
        if !is_object {
            self.wrong(node, "an object");
        }
        is_object
    }

    /// The type that the value spells.
    pub fn schema(&mut self, node: Node) -> Option<TypeId> {
        let text = self.string(node)?;
        match self.types.parse(text) {
            Ok(id) => Some(id),
            Err(error) => {
                let message = format!("schema {}: {}", shown(node), error.message);
                self.error_inside(node, error.offset, text, message, None);
                None
            }
        }
    }

    /// The text of the manifest from the start of that value on.
    pub fn text_from(&self, node: Node) -> &'t [u8] {
        self.text.get(node.offset()..).unwrap_or_default()
    }

    /// `file:line:column (path)` of a byte offset.
    pub fn place(&self, offset: usize, path: &str) -> String {
        place(self.text, self.file, offset, path)
    }

    /// Notes an error at a byte offset, the value there having that path.
    pub fn error_at(&mut self, offset: usize, path: &str, message: String) {
        if !self.is_full() {
            let error = Error::new(Kind::Manifest, message).at(self.place(offset, path));
            self.errors.push((offset, error));
        }
    }

    /// Notes an error of that value at a byte offset in it.
    pub fn note(&mut self, node: Node, offset: usize, message: String, hint: Option<String>) {
        if !self.is_full() {
            let mut error = Error::new(Kind::Manifest, message).at(self.place(offset, &node.path()));
            error.hint = hint;
            self.errors.push((offset, error));
        }
    }

    /// Whether there are enough errors; asked before anything is done for one more.
    fn is_full(&mut self) -> bool {
        let is_full = self.errors.len() >= MANIFEST_ERRORS_MAX;
        self.more_errors |= is_full;
        is_full
    }
}

/// `file:line:column (path)`.
pub(super) fn place(text: &[u8], file: &str, offset: usize, path: &str) -> String {
    let (line, column) = line_column(text, offset);
    match path.is_empty() {
        true => format!("{file}:{line}:{column}"),
        false => format!("{file}:{line}:{column} ({path})"),
    }
}

/// The member of that key; null counts as absent.
pub(super) fn optional<'d, 'a>(node: Node<'d, 'a>, key: &str) -> Option<Node<'d, 'a>> {
    node.member(key).filter(|found| found.shape() != Shape::Null)
}

/// What to call a value in a message: the last step of the way to it.
fn name(node: Node) -> String {
    let path = node.path();
    match path.rsplit('.').next() {
        None | Some("") => "the manifest".into(),
        Some(last) => last.into(),
    }
}

/// A value as a message shows it: itself if it is short, else what kind of thing it is.
fn shown(node: Node) -> String {
    if let Some(text) = node.as_str() {
        return quoted(text);
    }
    if let Some(value) = node.as_bool() {
        return value.to_string();
    }
    match node.as_number() {
        Some(text) if text.len() <= SHOWN_CHARS => text.into(),
        _ => node.shape().name().into(),
    }
}

/// How much of a value a message shows.
const SHOWN_CHARS: usize = 60;

/// A text from the manifest as a message shows it: in double quotes, control characters escaped, its end left out if it is
/// long.
pub(super) fn quoted(text: &str) -> String {
    let mut rest = text.chars();
    let start: String = rest
        .by_ref()
        .take(SHOWN_CHARS)
        .flat_map(char::escape_debug)
        .collect();
    let more = if rest.next().is_some() { "..." } else { "" };
    format!("\"{start}{more}\"")
}
