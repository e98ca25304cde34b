//! A writer of JSON text, one part after the other: it sets the commas. Does not check that brackets match.

use crate::codec::json::write_string;
use std::fmt::Display;

/// JSON text that is appended to a buffer.
pub struct JsonText<'o> {
    out: &'o mut Vec<u8>,
    /// The next value or key stands behind another one.
    has_before: bool,
}

impl<'o> JsonText<'o> {
    /// Appends one value to `out`.
    pub fn new(out: &'o mut Vec<u8>) -> JsonText<'o> {
        JsonText {
            out,
            has_before: false,
        }
    }

    /// Opens an array or object: `[` or `{`.
    pub fn begin(&mut self, bracket: u8) -> &mut Self {
        self.value();
        self.out.push(bracket);
        self.has_before = false;
        self
    }

    /// Closes it: `]` or `}`.
    pub fn end(&mut self, bracket: u8) -> &mut Self {
        self.out.push(bracket);
        self.has_before = true;
        self
    }

    /// A key; its value comes next.
    pub fn key(&mut self, key: &str) -> &mut Self {
        self.value();
        write_string(key, self.out);
        self.out.push(b':');
        self.has_before = false;
        self
    }

    /// A string.
    pub fn string(&mut self, text: &str) -> &mut Self {
        self.value();
        write_string(text, self.out);
        self
    }

    /// A number, as it prints itself.
    pub fn number(&mut self, number: impl Display) -> &mut Self {
        self.raw(number.to_string().as_bytes())
    }

    /// True or false.
    pub fn boolean(&mut self, value: bool) -> &mut Self {
        self.raw(if value { b"true" } else { b"false" })
    }

    /// Null.
    pub fn null(&mut self) -> &mut Self {
        self.raw(b"null")
    }

    /// A value that is JSON text already.
    pub fn raw(&mut self, json: &[u8]) -> &mut Self {
        self.value();
        self.out.extend_from_slice(json);
        self
    }

    /// A list of strings.
    pub fn strings<'s>(&mut self, texts: impl IntoIterator<Item = &'s str>) -> &mut Self {
        self.begin(b'[');
        for text in texts {
            self.string(text);
        }
        self.end(b']')
    }

    /// The buffer, to which one value is appended by other means.
    pub fn buffer(&mut self) -> &mut Vec<u8> {
        self.value();
        self.out
    }

    fn value(&mut self) {
        if std::mem::replace(&mut self.has_before, true) {
            self.out.push(b',');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commas_stand_between_values() {
        let mut out = Vec::new();
        let mut text = JsonText::new(&mut out);
        text.begin(b'{').key("a").number(1).key("b\"").begin(b'[');
        text.string("x").boolean(true).null().begin(b'{').end(b'}');
        text.strings(["y", "z"]).strings([]).end(b']');
        text.key("c").raw(b"[1]");
        text.key("d").buffer().extend_from_slice(b"2");
        text.key("e").number(-1.5).end(b'}');
        let expected = r#"{"a":1,"b\"":["x",true,null,{},["y","z"],[]],"c":[1],"d":2,"e":-1.5}"#;
        assert_eq!(String::from_utf8_lossy(&out), expected);
    }
}
