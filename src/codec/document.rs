//! A JSON text as an arena of nodes that know their place, for configuration that is checked as a whole. Does not know what
//! the text means; values on their way to a pool never pass through here.

use crate::codec::json::{JsonError, Reader, Shape};
use crate::limits::DEPTH_MAX;
use std::borrow::Cow;

#[derive(Clone, Debug)]
enum Value<'a> {
    Null,
    Bool(bool),
    Number(&'a str),
    Str(Cow<'a, str>),
    /// Elements, as a range of `children`.
    Array(u32, u32),
    /// Values, as a range of `children`, with `keys` beside them.
    Object(u32, u32),
}

/// A parsed text. Children stand before their parents; the root is last.
#[derive(Clone, Debug)]
pub struct Document<'a> {
    values: Vec<(Value<'a>, u32)>,
    children: Vec<u32>,
    keys: Vec<Cow<'a, str>>,
}

/// One value of a [`Document`].
#[derive(Clone, Copy, Debug)]
pub struct Node<'d, 'a> {
    document: &'d Document<'a>,
    id: u32,
}

impl<'a> Document<'a> {
    /// Reads a whole text.
    ///
    /// # Errors
    /// Text that is not JSON, an object with a key twice, nesting beyond [`DEPTH_MAX`].
    pub fn parse(text: &'a [u8]) -> Result<Document<'a>, JsonError> {
        let mut builder = Builder {
            reader: Reader::new(text),
            document: Document {
                values: Vec::new(),
                children: Vec::new(),
                keys: Vec::new(),
            },
            open_children: Vec::new(),
            open_keys: Vec::new(),
        };
        builder.read(0)?;
        builder.reader.finish()?;
        Ok(builder.document)
    }

    /// The outermost value.
    pub fn root(&self) -> Node<'_, 'a> {
        Node {
            document: self,
            id: self.values.len() as u32 - 1,
        }
    }
}

/// A document while it is read. What belongs to containers that are still open waits on two stacks.
struct Builder<'a> {
    reader: Reader<'a>,
    document: Document<'a>,
    open_children: Vec<u32>,
    open_keys: Vec<Cow<'a, str>>,
}

impl<'a> Builder<'a> {
    fn read(&mut self, depth: usize) -> Result<u32, JsonError> {
        let shape = self.reader.peek()?;
        let offset = self.reader.offset();
        if depth > DEPTH_MAX {
            return Err(JsonError {
                offset,
                message: format!("value nests deeper than {DEPTH_MAX} levels"),
            });
        }
        let value = match shape {
            Shape::Null => self.reader.null().map(|()| Value::Null)?,
            Shape::Bool => Value::Bool(self.reader.boolean()?),
            Shape::Number => Value::Number(self.reader.number()?),
            Shape::Str => Value::Str(self.reader.string()?),
            Shape::Array => {
                let start = self.open_children.len();
                self.reader.begin_array()?;
                while self.reader.next_element()? {
                    let child = self.read(depth + 1)?;
                    self.open_children.push(child);
                }
                let (start, end) = self.close(start, self.open_keys.len());
                Value::Array(start, end)
            }
            Shape::Object => {
                let (start, keys) = (self.open_children.len(), self.open_keys.len());
                self.reader.begin_object()?;
                while let Some(key) = self.reader.next_key()? {
                    self.open_keys.push(key);
                    let child = self.read(depth + 1)?;
                    self.open_children.push(child);
                }
                self.check_unique(start, keys)?;
                let (start, end) = self.close(start, keys);
                Value::Object(start, end)
            }
        };
        self.document.values.push((value, offset as u32));
        Ok(self.document.values.len() as u32 - 1)
    }

    /// Moves what waits from there on to the document; an array's children have empty keys, so that one range serves both
    /// lists.
    fn close(&mut self, children: usize, keys: usize) -> (u32, u32) {
        let document = &mut self.document;
        let start = document.children.len();
        document.children.extend(self.open_children.drain(children..));
        document.keys.extend(self.open_keys.drain(keys..));
        document.keys.resize(document.children.len(), Cow::Borrowed(""));
        (start as u32, document.children.len() as u32)
    }

    /// Checks the keys of the object whose members wait from there on.
    fn check_unique(&self, children: usize, keys: usize) -> Result<(), JsonError> {
        let keys = &self.open_keys[keys..];
        let mut order: Vec<usize> = (0..keys.len()).collect();
        // A stable sort: of two equal keys the later one comes second.
        order.sort_by(|a, b| {
            keys[*a]
                .len()
                .cmp(&keys[*b].len())
                .then_with(|| keys[*a].cmp(&keys[*b]))
        });
        match order.windows(2).find(|pair| keys[pair[0]] == keys[pair[1]]) {
            None => Ok(()),
            Some(pair) => Err(JsonError {
                offset: self.document.values[self.open_children[children + pair[1]] as usize].1 as usize,
                message: format!("key \"{}\" stands twice in one object", keys[pair[1]]),
            }),
        }
    }
}

impl<'d, 'a> Node<'d, 'a> {
    /// What kind of value it is.
    pub fn shape(self) -> Shape {
        match self.value() {
            Value::Null => Shape::Null,
            Value::Bool(_) => Shape::Bool,
            Value::Number(_) => Shape::Number,
            Value::Str(_) => Shape::Str,
            Value::Array(..) => Shape::Array,
            Value::Object(..) => Shape::Object,
        }
    }

    /// Byte offset in the text.
    pub fn offset(self) -> usize {
        self.document.values[self.id as usize].1 as usize
    }

    /// The boolean, if it is one.
    pub fn as_bool(self) -> Option<bool> {
        match self.value() {
            Value::Bool(value) => Some(*value),
            _ => None,
        }
    }

    /// The number's text, if it is a number.
    pub fn as_number(self) -> Option<&'a str> {
        match self.value() {
            Value::Number(text) => Some(text),
            _ => None,
        }
    }

    /// The string, if it is one.
    pub fn as_str(self) -> Option<&'d str> {
        match self.value() {
            Value::Str(text) => Some(text),
            _ => None,
        }
    }

    /// The elements, if it is an array.
    pub fn elements(self) -> Option<impl ExactSizeIterator<Item = Node<'d, 'a>>> {
        match *self.value() {
            Value::Array(start, end) => Some(self.children(start, end)),
            _ => None,
        }
    }

    /// The members in their order, if it is an object.
    pub fn members(self) -> Option<impl ExactSizeIterator<Item = (&'d str, Node<'d, 'a>)>> {
        match *self.value() {
            Value::Object(start, end) => {
                let keys = &self.document.keys[start as usize..end as usize];
                Some(keys.iter().map(|key| key.as_ref()).zip(self.children(start, end)))
            }
            _ => None,
        }
    }

    /// The member of that key, if it is an object that has it.
    pub fn member(self, key: &str) -> Option<Node<'d, 'a>> {
        self.members()?
            .find(|(found, _)| *found == key)
            .map(|(_, node)| node)
    }

    /// The way to this value from the root, as `commands[2].args[0]`; the root's is empty.
    pub fn path(self) -> String {
        // Only errors ask, so the parent is looked for instead of kept.
        let parent = self
            .document
            .values
            .iter()
            .enumerate()
            .skip(self.id as usize)
            .find_map(|(id, (value, _))| {
                let (start, end, is_array) = match *value {
                    Value::Array(start, end) => (start, end, true),
                    Value::Object(start, end) => (start, end, false),
                    _ => return None,
                };
                let children = &self.document.children[start as usize..end as usize];
                // They were numbered as they were read.
                let position = children.binary_search(&self.id).ok()?;
                Some((id as u32, start as usize + position, position, is_array))
            });
        let Some((id, slot, position, is_array)) = parent else {
            return String::new();
        };
        let mut path = Node {
            document: self.document,
            id,
        }
        .path();
        if is_array {
            path.push_str(&format!("[{position}]"));
        } else {
            if !path.is_empty() {
                path.push('.');
            }
            path.push_str(&self.document.keys[slot]);
        }
        path
    }

    fn value(self) -> &'d Value<'a> {
        &self.document.values[self.id as usize].0
    }

    fn children(self, start: u32, end: u32) -> impl ExactSizeIterator<Item = Node<'d, 'a>> {
        let document = self.document;
        document.children[start as usize..end as usize]
            .iter()
            .map(move |id| Node { document, id: *id })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_know_their_place() {
        let text = br#"{"a": [1, {"b": "x"}], "c": {}}"#;
        let document = Document::parse(text).unwrap();
        let inner = document
            .root()
            .member("a")
            .unwrap()
            .elements()
            .unwrap()
            .nth(1)
            .unwrap();
        let leaf = inner.member("b").unwrap();
        assert_eq!(leaf.as_str(), Some("x"));
        assert_eq!(leaf.path(), "a[1].b");
        assert_eq!(leaf.offset(), 16);
        assert_eq!(document.root().member("c").unwrap().path(), "c");
        assert_eq!(document.root().path(), "");
        assert!(document.root().member("d").is_none());
    }

    #[test]
    fn repeated_keys_are_refused() {
        let error = Document::parse(br#"{"a": 1, "a": 2}"#).unwrap_err();
        assert_eq!(error.message, "key \"a\" stands twice in one object");
    }
}
