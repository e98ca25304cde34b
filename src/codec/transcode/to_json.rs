//! JSON text from msgpack by schema: the writer behind the walk of [`super::from_msgpack`]. Checks nothing.

use super::from_msgpack::{Emit, walk};
use super::value_error::{ValueError, Walk};
use crate::codec::json::{on_one_line, write_string};
use crate::codec::schema::{Field, Number, Types};
use crate::codec::{base64, integer, number};
use crate::ids::TypeId;

/// How JSON text is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// On one line without spaces: `{"x":1,"y":[1,2]}`.
    Compact,
    /// Each element and field on a line of its own, indented by two spaces a level.
    Pretty,
}

/// A sink takes no more text; the sink itself knows why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closed;

/// Where text goes. A large result can be taken away in pieces instead of being held whole.
pub trait Sink {
    /// The text is appended here.
    fn buffer(&mut self) -> &mut Vec<u8>;

    /// Called between values: the chance to empty a buffer that has grown large.
    ///
    /// # Errors
    /// What ends the conversion: nobody wants the text any more.
    fn flush_if_large(&mut self) -> Result<(), Closed>;

    /// From how many bytes in the buffer on it is asked.
    fn large_bytes(&self) -> usize {
        0
    }
}

impl Sink for Vec<u8> {
    fn buffer(&mut self) -> &mut Vec<u8> {
        self
    }

    fn flush_if_large(&mut self) -> Result<(), Closed> {
        Ok(())
    }

    fn large_bytes(&self) -> usize {
        usize::MAX
    }
}

/// Reads one msgpack value by its type and writes it as JSON text.
///
/// # Errors
/// Bytes that are not msgpack or do not fit the type; a sink that is [`Closed`], which has the message `output is closed`.
/// The sink may then have got a part of the text.
pub fn msgpack_to_json(
    types: &Types,
    ty: TypeId,
    bytes: &[u8],
    style: Style,
    out: &mut dyn Sink,
) -> Result<(), ValueError> {
    let mut text = Text {
        buffer: std::mem::take(out.buffer()),
        large_bytes: out.large_bytes(),
        sink: out,
        style,
        level: 0,
    };
    let walked = walk(types, ty, bytes, &mut text);
    *text.sink.buffer() = text.buffer;
    walked
}

struct Text<'s> {
    /// The sink's, while there is text to write.
    buffer: Vec<u8>,
    large_bytes: usize,
    sink: &'s mut dyn Sink,
    style: Style,
    level: usize,
}

impl Text<'_> {
    fn push(&mut self, text: &[u8]) {
        self.buffer.extend_from_slice(text);
    }

    fn begin(&mut self, bracket: u8) {
        self.buffer.push(bracket);
        self.level += 1;
    }

    fn end(&mut self, bracket: u8, len: u32) {
        self.level -= 1;
        if len > 0 {
            self.new_line();
        }
        self.buffer.push(bracket);
    }

    #[inline]
    fn new_line(&mut self) {
        if self.style == Style::Pretty {
            self.indent();
        }
    }

    fn indent(&mut self) {
        let spaces = self.level * 2;
        let buffer = &mut self.buffer;
        buffer.push(b'\n');
        buffer.resize(buffer.len() + spaces, b' ');
    }

    #[inline]
    fn each<const N: usize>(
        &mut self,
        elements: &[u8],
        first: usize,
        write: impl Fn(&mut Self, [u8; N]),
    ) -> Walk {
        for (position, element) in elements.as_chunks().0.iter().enumerate() {
            self.separate(first + position)?;
            write(self, *element);
        }
        Ok(())
    }

    #[inline]
    fn separate(&mut self, position: usize) -> Walk {
        if position > 0 {
            self.buffer.push(b',');
            if self.buffer.len() >= self.large_bytes {
                self.flush()?;
            }
        }
        self.new_line();
        Ok(())
    }

    #[cold]
    fn flush(&mut self) -> Walk {
        std::mem::swap(self.sink.buffer(), &mut self.buffer);
        let flushed = self.sink.flush_if_large().map_err(closed);
        std::mem::swap(self.sink.buffer(), &mut self.buffer);
        flushed
    }
}

#[cold]
fn closed(_: Closed) -> Box<ValueError> {
    ValueError::new(0, "output is closed")
}

impl Emit for Text<'_> {
    fn nil(&mut self) {
        self.push(b"null");
    }

    fn boolean(&mut self, value: bool) {
        self.push(if value { b"true" } else { b"false" });
    }

    fn int(&mut self, value: i64) {
        number::write_int(value, &mut self.buffer);
    }

    fn unsigned(&mut self, value: u64) {
        number::write_unsigned(value, &mut self.buffer);
    }

    fn big(&mut self, bytes: &[u8]) {
        // The walk has checked its length.
        let _ = integer::write_decimal(bytes, &mut self.buffer);
    }

    fn f4(&mut self, value: f32) {
        if value.is_finite() {
            number::write_f4(value, &mut self.buffer);
        } else {
            self.f8(value.into());
        }
    }

    fn f8(&mut self, value: f64) {
        let buffer = &mut self.buffer;
        if value.is_finite() {
            number::write_f8(value, buffer);
        } else {
            buffer.push(b'"');
            number::write_f8(value, buffer);
            buffer.push(b'"');
        }
    }

    fn string(&mut self, text: &str) {
        write_string(text, &mut self.buffer);
    }

    fn json(&mut self, text: &str) {
        self.buffer.extend(on_one_line(text.as_bytes()));
    }

    fn bytes(&mut self, bytes: &[u8]) {
        let buffer = &mut self.buffer;
        buffer.push(b'"');
        base64::encode(bytes, buffer);
        buffer.push(b'"');
    }

    fn begin_numbers(&mut self, _: Number, _: u32, _: usize) -> Walk {
        self.begin(b'[');
        Ok(())
    }

    fn numbers(&mut self, number: Number, elements: &[u8], first: usize) -> Walk {
        match number {
            Number::I1 => self.each(elements, first, |text, bytes| {
                text.int(i8::from_le_bytes(bytes).into())
            }),
            Number::I2 => self.each(elements, first, |text, bytes| {
                text.int(i16::from_le_bytes(bytes).into())
            }),
            Number::I4 => self.each(elements, first, |text, bytes| {
                text.int(i32::from_le_bytes(bytes).into())
            }),
            Number::I8 => self.each(elements, first, |text, bytes| text.int(i64::from_le_bytes(bytes))),
            Number::U1 => self.each(elements, first, |text, bytes| {
                text.unsigned(u8::from_le_bytes(bytes).into())
            }),
            Number::U2 => self.each(elements, first, |text, bytes| {
                text.unsigned(u16::from_le_bytes(bytes).into())
            }),
            Number::U4 => self.each(elements, first, |text, bytes| {
                text.unsigned(u32::from_le_bytes(bytes).into())
            }),
            Number::U8 => self.each(elements, first, |text, bytes| {
                text.unsigned(u64::from_le_bytes(bytes))
            }),
            Number::F4 => self.each(elements, first, |text, bytes| text.f4(f32::from_le_bytes(bytes))),
            Number::F8 => self.each(elements, first, |text, bytes| text.f8(f64::from_le_bytes(bytes))),
        }
    }

    fn end_numbers(&mut self, count: u32) {
        self.end(b']', count);
    }

    fn begin_list(&mut self, _: u32) {
        self.begin(b'[');
    }

    fn element(&mut self, position: usize) -> Walk {
        self.separate(position)
    }

    fn end_list(&mut self, len: u32) {
        self.end(b']', len);
    }

    fn begin_record(&mut self, _: u32) {
        self.begin(b'{');
    }

    fn key(&mut self, position: usize, field: &Field) -> Walk {
        self.separate(position)?;
        let buffer = &mut self.buffer;
        if field.is_plain {
            buffer.push(b'"');
            buffer.extend_from_slice(field.key.as_bytes());
            buffer.extend_from_slice(b"\":");
        } else {
            write_string(&field.key, buffer);
            buffer.push(b':');
        }
        if self.style == Style::Pretty {
            buffer.push(b' ');
        }
        Ok(())
    }

    fn end_record(&mut self, len: u32) {
        self.end(b'}', len);
    }
}
