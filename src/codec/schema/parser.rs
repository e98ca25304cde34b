//! Reading a schema's text into a table of types. The language is described in [`super`].

use super::{Field, Number, SchemaError, Type, Types};
use crate::ids::TypeId;
use crate::limits::{DEPTH_MAX, TYPES_MAX};

/// Reads one whole schema and adds its types to the table.
pub(super) fn parse(types: &mut Types, text: &str) -> Parsed<TypeId> {
    let mut parser = Parser {
        types,
        text,
        at: 0,
        open: Vec::new(),
    };
    let id = parser.schema(0)?;
    if parser.at < text.len() {
        return Err(parser.wrong("one whole schema and nothing after it"));
    }
    Ok(id)
}

/// Any JSON.
const JSON: &str = "<Json>s";

struct Parser<'t, 's> {
    types: &'t mut Types,
    text: &'s str,
    at: usize,
    /// The recursive types around this place: a back-reference may only name one of these.
    open: Vec<(&'s str, TypeId)>,
}

type Parsed<T> = Result<T, SchemaError>;

impl<'s> Parser<'_, 's> {
    fn schema(&mut self, depth: usize) -> Parsed<TypeId> {
        if depth > DEPTH_MAX {
            return Err(self.error(format!("schema nests deeper than {DEPTH_MAX} levels")));
        }
        if self.types.nodes.len() >= TYPES_MAX {
            return Err(self.error(format!("schemas hold more than {TYPES_MAX} types")));
        }
        if self.text[self.at..].starts_with(JSON) {
            self.at += JSON.len() - 1;
            return self.leaf(Type::Json);
        }
        if self.peek() == Some(b'<') {
            self.hint()?;
        }
        let Some(letter) = self.peek() else {
            return Err(self.wrong("a type"));
        };
        match letter {
            b'z' => self.leaf(Type::Nil),
            b'b' => self.leaf(Type::Bool),
            b'j' => self.leaf(Type::Integer),
            b's' => self.leaf(Type::Str),
            b'y' => self.leaf(Type::Bytes),
            b'T' | b'F' | b'O' | b'I' => self.leaf(Type::Opaque(letter)),
            b'i' | b'u' | b'f' => self.number(),
            b'?' => {
                self.at += 1;
                let inner = self.schema(depth + 1)?;
                Ok(self.types.add(Type::Optional(inner)))
            }
            b'[' => {
                self.at += 1;
                let element = self.schema(depth + 1)?;
                self.expect(b']')?;
                Ok(self.types.add(Type::List { element, len: None }))
            }
            b'a' => {
                self.at += 1;
                let mut len = None;
                if self.peek() == Some(b':') {
                    self.at += 1;
                    len = Some(self.fixed_len()?);
                    if self.peek() == Some(b' ') {
                        self.at += 1;
                    }
                }
                let element = self.schema(depth + 1)?;
                Ok(self.types.add(Type::List { element, len }))
            }
            b'(' => {
                let members = self.parenthesised(depth)?;
                let span = self.types.add_members(&members);
                Ok(self.types.add(Type::Tuple(span)))
            }
            b't' => {
                self.at += 1;
                let mut members = Vec::new();
                for _ in 0..self.size()? {
                    members.push(self.schema(depth + 1)?);
                }
                let span = self.types.add_members(&members);
                Ok(self.types.add(Type::Tuple(span)))
            }
            b'{' => self.braced_record(depth),
            b'm' => self.compact_record(depth),
            b'\\' => {
                self.at += 1;
                let params = self.parenthesised(depth)?;
                let result = self.schema(depth + 1)?;
                let params = self.types.add_members(&params);
                Ok(self.types.add(Type::Function { params, result }))
            }
            b'&' => self.recursive(depth),
            b'^' => {
                let start = self.at;
                self.at += 1;
                let name = self.sized_text()?;
                match self.open.iter().rev().find(|(open, _)| *open == name) {
                    Some(&(_, id)) => Ok(id),
                    None => Err(SchemaError {
                        offset: start,
                        message: format!("'^{name}' refers to no recursive type around it"),
                    }),
                }
            }
            _ => Err(self.wrong("a type")),
        }
    }

    fn leaf(&mut self, ty: Type) -> Parsed<TypeId> {
        self.at += 1;
        Ok(self.types.add(ty))
    }

    fn number(&mut self) -> Parsed<TypeId> {
        let spelled = self.text.get(self.at..self.at + 2);
        match Number::ALL.iter().find(|row| Some(row.1) == spelled) {
            Some(row) => {
                self.at += 2;
                Ok(self.types.add(Type::Number(row.0)))
            }
            None => Err(self.wrong("one of i1 i2 i4 i8 u1 u2 u4 u8 f4 f8")),
        }
    }

    /// Skips `<hint>`; hints hold type names of the target language, in which angle brackets balance.
    fn hint(&mut self) -> Parsed<()> {
        let start = self.at;
        let mut depth = 0usize;
        for (offset, byte) in self.text.bytes().enumerate().skip(start) {
            match byte {
                b'<' => depth += 1,
                b'>' => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                self.at = offset + 1;
                return Ok(());
            }
        }
        Err(SchemaError {
            offset: start,
            message: "hint is not closed, expected '>'".into(),
        })
    }

    fn parenthesised(&mut self, depth: usize) -> Parsed<Vec<TypeId>> {
        self.expect(b'(')?;
        let mut members = Vec::new();
        if self.peek() == Some(b')') {
            self.at += 1;
            return Ok(members);
        }
        loop {
            members.push(self.schema(depth + 1)?);
            if self.peek() == Some(b',') {
                self.at += 1;
            } else {
                self.expect(b')')?;
                return Ok(members);
            }
        }
    }

    fn braced_record(&mut self, depth: usize) -> Parsed<TypeId> {
        self.at += 1;
        let mut fields = Vec::new();
        if self.peek() == Some(b'}') {
            self.at += 1;
        } else {
            loop {
                let start = self.at;
                let rest = &self.text[start..];
                let len = rest
                    .find([':', ',', '{', '}', '[', ']', '(', ')'])
                    .unwrap_or(rest.len());
                self.at += len;
                let key = &rest[..len];
                if key.is_empty() {
                    return Err(self.wrong("a key"));
                }
                self.expect(b':')?;
                let ty = self.schema(depth + 1)?;
                fields.push((start, key, ty));
                if self.peek() == Some(b',') {
                    self.at += 1;
                } else {
                    self.expect(b'}')?;
                    break;
                }
            }
        }
        self.add_record(fields)
    }

    fn compact_record(&mut self, depth: usize) -> Parsed<TypeId> {
        self.at += 1;
        let mut fields = Vec::new();
        for _ in 0..self.size()? {
            let start = self.at;
            let key: &'s str = self.sized_text()?;
            let ty = self.schema(depth + 1)?;
            fields.push((start, key, ty));
        }
        self.add_record(fields)
    }

    /// Adds a record of fields: where each stands, its key and its type.
    fn add_record(&mut self, fields: Vec<(usize, &str, TypeId)>) -> Parsed<TypeId> {
        // Sorted, equal keys are neighbours: a hostile record may have a million.
        let mut keys: Vec<(&str, usize)> = fields.iter().map(|(offset, key, _)| (*key, *offset)).collect();
        keys.sort_unstable();
        if let Some(pair) = keys.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            let (key, offset) = pair[1];
            let message = format!("key '{key}' stands twice in one record");
            return Err(SchemaError { offset, message });
        }
        let fields = fields.into_iter().map(|(_, key, ty)| Field::new(key, ty));
        let span = self.types.add_fields(fields.collect());
        Ok(self.types.add(Type::Record(span)))
    }

    /// `&<len><name>X`: X may refer to itself, so its id must exist before it is read; the node is filled in after.
    fn recursive(&mut self, depth: usize) -> Parsed<TypeId> {
        let start = self.at;
        self.at += 1;
        let name = self.sized_text()?;
        let id = self.types.add(Type::Nil);
        self.open.push((name, id));
        let body = self.schema(depth + 1)?;
        self.open.pop();
        let unfinished = body == id || self.open.iter().any(|(_, open)| *open == body);
        self.types.nodes[id.index()] = self.types.node(body);
        if unfinished || self.is_endless_optional(id) {
            return Err(SchemaError {
                offset: start,
                message: format!("recursive type '{name}' is only itself, so it has no values"),
            });
        }
        Ok(id)
    }

    /// Whether an optional leads back to itself with nothing between: a reader would never get past it.
    fn is_endless_optional(&self, id: TypeId) -> bool {
        let mut at = id;
        while let Type::Optional(inner) = self.types.node(at) {
            if inner == id {
                return true;
            }
            at = inner;
        }
        false
    }

    /// The N of `a:N X`: a decimal number, or one base-62 digit that is a letter. No type starts with a decimal digit, so
    /// both readings of the compact spelling fit.
    fn fixed_len(&mut self) -> Parsed<u32> {
        let digits = self.text[self.at..]
            .bytes()
            .take_while(u8::is_ascii_digit)
            .count();
        if digits == 0 {
            return self.size();
        }
        let number = self.text[self.at..self.at + digits].parse();
        let number = number.map_err(|_| self.wrong(&format!("a length up to {}", u32::MAX)))?;
        self.at += digits;
        Ok(number)
    }

    fn size(&mut self) -> Parsed<u32> {
        let value = match self.peek() {
            Some(digit @ b'0'..=b'9') => digit - b'0',
            Some(digit @ b'a'..=b'z') => digit - b'a' + 10,
            Some(digit @ b'A'..=b'Z') => digit - b'A' + 36,
            _ => return Err(self.wrong("a size (one digit of 0-9 a-z A-Z)")),
        };
        self.at += 1;
        Ok(value.into())
    }

    fn sized_text(&mut self) -> Parsed<&'s str> {
        let len = self.size()? as usize;
        match self.text.get(self.at..self.at + len) {
            Some(text) => {
                self.at += len;
                Ok(text)
            }
            None => Err(self.wrong(&format!("a name of {len} bytes"))),
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn expect(&mut self, byte: u8) -> Parsed<()> {
        if self.peek() == Some(byte) {
            self.at += 1;
            return Ok(());
        }
        Err(self.wrong(&format!("'{}'", byte as char)))
    }

    fn wrong(&self, expected: &str) -> SchemaError {
        let found = match self.text.get(self.at..).and_then(|rest| rest.chars().next()) {
            Some(found) => format!("'{}'", found.escape_debug()),
            None => "the end of the schema".into(),
        };
        self.error(format!("found {found}, expected {expected}"))
    }

    fn error(&self, message: String) -> SchemaError {
        SchemaError {
            offset: self.at,
            message,
        }
    }
}
