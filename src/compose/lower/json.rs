//! Writing JSON, member by member. Checks nothing but how deep the result nests.

use crate::codec::json::write_string;

/// JSON text that is being written.
#[derive(Debug, Default)]
pub(super) struct Json {
    bytes: Vec<u8>,
}

impl Json {
    /// Begins a node with that tag.
    pub fn open(&mut self, tag: &str) {
        self.raw("{\"tag\":");
        self.string(tag);
    }

    /// Begins a further member.
    pub fn key(&mut self, key: &str) {
        self.raw(",");
        self.string(key);
        self.raw(":");
    }

    /// A member that is a string.
    pub fn member(&mut self, key: &str, text: &str) {
        self.key(key);
        self.string(text);
    }

    /// A string.
    pub fn string(&mut self, text: &str) {
        write_string(text, &mut self.bytes);
    }

    /// A list of strings.
    pub fn strings<'s>(&mut self, texts: impl Iterator<Item = &'s str>) {
        self.raw("[");
        for (position, text) in texts.enumerate() {
            self.raw(if position > 0 { "," } else { "" });
            self.string(text);
        }
        self.raw("]");
    }

    /// Text that is JSON, or a part of it.
    pub fn raw(&mut self, text: &str) {
        self.bytes.extend_from_slice(text.as_bytes());
    }

    /// How long it is.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// The text.
    pub fn text(self) -> String {
        // Made of texts only.
        String::from_utf8(self.bytes).unwrap_or_default()
    }
}

/// How deep the brackets of a JSON text nest.
pub(super) fn depth(text: &str) -> usize {
    let (mut depth, mut most) = (0usize, 0usize);
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'{' | b'[' => {
                depth += 1;
                most = most.max(depth);
            }
            b'}' | b']' => depth -= 1,
            b'"' => loop {
                match bytes.next() {
                    Some(b'\\') => {
                        bytes.next();
                    }
                    Some(b'"') | None => break,
                    Some(_) => {}
                }
            },
            _ => {}
        }
    }
    most
}
