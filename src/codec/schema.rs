//! Schemas: the type of a value as a short string, parsed into a table of nodes. Does not read or write values.
//!
//! Two spellings of one language, which may be mixed (the compact one is morloc's):
//! ```text
//! schema := [ '<' hint '>' ] type
//! type   := z | b | i1 i2 i4 i8 | u1 u2 u4 u8 | j | f4 f8 | s | y
//!         | ?schema | [schema] | (schema,...) | {key:schema,...} | \(schema,...)schema
//!         | aX | a:N X | tN X... | mN (len key X)...      N, len: one base-62 digit (0-9 a-z A-Z); of a list also decimal
//!         | &<len><name>X | ^<len><name>                  a recursive type and its back-reference
//!         | <Json>s                                       any JSON, as its text: the only hint that means something here
//!         | T | F | O | I                                 morloc's tables and stream handles: opaque
//! ```

mod parser;

use crate::ids::{Span, TypeId};
use crate::map::Names;

/// A numeric type of fixed width, as packed lists hold it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Number {
    I1,
    I2,
    I4,
    I8,
    U1,
    U2,
    U4,
    U8,
    F4,
    F8,
}

impl Number {
    const ALL: [(Number, &'static str, usize); 10] = [
        (Number::I1, "i1", 1),
        (Number::I2, "i2", 2),
        (Number::I4, "i4", 4),
        (Number::I8, "i8", 8),
        (Number::U1, "u1", 1),
        (Number::U2, "u2", 2),
        (Number::U4, "u4", 4),
        (Number::U8, "u8", 8),
        (Number::F4, "f4", 4),
        (Number::F8, "f8", 8),
    ];

    /// The msgpack extension type of a packed list of this number, 1 to 10.
    pub fn ext_type(self) -> i8 {
        self as i8 + 1
    }

    /// The number whose packed lists have this extension type.
    pub fn from_ext_type(ext_type: i8) -> Option<Number> {
        let position = usize::try_from(ext_type).ok()?.checked_sub(1)?;
        Number::ALL.get(position).map(|row| row.0)
    }

    /// Its spelling in a schema.
    pub fn name(self) -> &'static str {
        Number::ALL[self as usize].1
    }

    /// Width of one element, in bytes.
    pub fn bytes(self) -> usize {
        Number::ALL[self as usize].2
    }

    /// Whether it is `f4` or `f8`.
    pub fn is_float(self) -> bool {
        matches!(self, Number::F4 | Number::F8)
    }

    /// Whether it is `i1`, `i2`, `i4` or `i8`.
    pub fn is_signed(self) -> bool {
        matches!(self, Number::I1 | Number::I2 | Number::I4 | Number::I8)
    }

    /// Smallest and largest value of an integer type.
    pub fn range(self) -> (i128, i128) {
        match self {
            Number::I1 => (i8::MIN.into(), i8::MAX.into()),
            Number::I2 => (i16::MIN.into(), i16::MAX.into()),
            Number::I4 => (i32::MIN.into(), i32::MAX.into()),
            Number::I8 => (i64::MIN.into(), i64::MAX.into()),
            Number::U1 => (0, u8::MAX.into()),
            Number::U2 => (0, u16::MAX.into()),
            Number::U4 => (0, u32::MAX.into()),
            Number::U8 => (0, u64::MAX.into()),
            Number::F4 | Number::F8 => (i128::MIN, i128::MAX),
        }
    }
}

/// One type; what it contains is referred to by id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// `z`: the single value null.
    Nil,
    /// `b`
    Bool,
    /// `i1` to `u8`, `f4`, `f8`
    Number(Number),
    /// `j`: an integer of any size.
    Integer,
    /// `s`: UTF-8 text.
    Str,
    /// `<Json>s`: any JSON, on the wire as the UTF-8 text of it.
    Json,
    /// `y`: raw bytes.
    Bytes,
    /// `?X`: null or an X.
    Optional(TypeId),
    /// `[X]`, `aX`, `a:N X`: any number of X, or exactly `len`.
    List {
        /// Type of every element.
        element: TypeId,
        /// Exact number of elements, when it is fixed.
        len: Option<u32>,
    },
    /// `(X,...)`, `tN X...`: [`Types::members`] gives the types.
    Tuple(Span),
    /// `{key:X,...}`, `mN...`: [`Types::fields`] gives keys and types.
    Record(Span),
    /// `\(X,...)Y`: a function value.
    Function {
        /// Types of the parameters, as members.
        params: Span,
        /// Type of the result.
        result: TypeId,
    },
    /// `T F O I`: morloc's tables and handles, which have no form here.
    Opaque(u8),
}

/// A record's key and the type of its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// The key.
    pub key: Box<str>,
    /// The type of the value.
    pub ty: TypeId,
    /// Whether JSON writes the key as it is, without escapes.
    pub is_plain: bool,
}

impl Field {
    fn new(key: &str, ty: TypeId) -> Field {
        Field {
            key: key.into(),
            ty,
            is_plain: !key.bytes().any(|byte| matches!(byte, b'"' | b'\\' | 0..=0x1f)),
        }
    }
}

/// Why a schema can't be read: the byte offset in it and one sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SchemaError {
    /// Byte offset in the schema's text.
    pub offset: usize,
    /// One lowercase sentence.
    pub message: String,
}

/// A table of types. Every id in it is valid: ids only come from [`Types::parse`].
#[derive(Clone, Debug, Default)]
pub struct Types {
    nodes: Vec<Type>,
    members: Vec<TypeId>,
    fields: Vec<Field>,
    /// Texts read before: a manifest repeats the same few schemas hundreds of times.
    known: Names,
}

impl Types {
    /// The type of that id.
    pub fn node(&self, id: TypeId) -> Type {
        self.nodes[id.index()]
    }

    /// The type under its optionals.
    pub fn inner(&self, mut ty: TypeId) -> TypeId {
        while let Type::Optional(within) = self.node(ty) {
            ty = within;
        }
        ty
    }

    /// Whether a word for this type is its own value: a string, or null or a string.
    pub fn is_text(&self, ty: TypeId) -> bool {
        matches!(self.node(self.inner(ty)), Type::Str)
    }

    /// The types of a tuple, or of a function's parameters.
    pub fn members(&self, span: Span) -> &[TypeId] {
        &self.members[span.range()]
    }

    /// The fields of a record, in their order.
    pub fn fields(&self, span: Span) -> &[Field] {
        &self.fields[span.range()]
    }

    /// Reads a schema in either spelling and adds it; equal texts give equal ids.
    ///
    /// # Errors
    /// Anything but one whole schema; nesting beyond [`crate::limits::DEPTH_MAX`]; more than [`crate::limits::TYPES_MAX`] nodes in the table; two equal
    /// keys in a record; a back-reference to a name that does not enclose it.
    pub fn parse(&mut self, text: &str) -> Result<TypeId, SchemaError> {
        if let Some(id) = self.known.get(text) {
            return Ok(TypeId(*id));
        }
        let id = parser::parse(self, text)?;
        self.known.insert(text.into(), id.0);
        Ok(id)
    }

    /// Whether every value of the one type is one of the other, with the same bytes on the wire. False is no proof: large types
    /// are not followed to the end.
    pub fn are_alike(&self, of: TypeId, other: TypeId) -> bool {
        const PAIRS_MAX: usize = 1000;
        let mut pairs = vec![(of, other)];
        let mut at = 0;
        while let Some((of, other)) = pairs.get(at).copied() {
            at += 1;
            if of == other {
                continue;
            }
            let is_alike = match (self.node(of), self.node(other)) {
                (Type::Optional(of), Type::Optional(other)) => {
                    pairs.push((of, other));
                    true
                }
                (_, Type::Optional(other)) => {
                    pairs.push((of, other));
                    true
                }
                (Type::List { element: of, len }, Type::List { element, len: other }) => {
                    pairs.push((of, element));
                    other.is_none() || len == other
                }
                (Type::Tuple(of), Type::Tuple(other)) => self.pair_members(of, other, &mut pairs),
                (Type::Record(of), Type::Record(other)) => {
                    let (of, other) = (self.fields(of), self.fields(other));
                    pairs.extend(of.iter().zip(other).map(|(of, other)| (of.ty, other.ty)));
                    of.iter()
                        .map(|field| &field.key)
                        .eq(other.iter().map(|field| &field.key))
                }
                (
                    Type::Function { params: of, result },
                    Type::Function {
                        params: other,
                        result: given,
                    },
                ) => {
                    pairs.push((result, given));
                    self.pair_members(of, other, &mut pairs)
                }
                (of, other) => of == other && !matches!(of, Type::Opaque(_)),
            };
            if !is_alike || pairs.len() > PAIRS_MAX {
                return false;
            }
        }
        true
    }

    fn pair_members(&self, of: Span, other: Span, pairs: &mut Vec<(TypeId, TypeId)>) -> bool {
        let (of, other) = (self.members(of), self.members(other));
        pairs.extend(of.iter().copied().zip(other.iter().copied()));
        of.len() == other.len()
    }

    /// Whether values of a type hold functions, as far as it is followed.
    pub fn has_functions(&self, of: TypeId) -> bool {
        const TYPES_SEEN_MAX: usize = 1000;
        let mut seen = vec![of];
        let mut at = 0;
        while let Some(of) = seen.get(at).copied().filter(|_| at < TYPES_SEEN_MAX) {
            at += 1;
            match self.node(of) {
                Type::Function { .. } => return true,
                Type::Optional(inner) | Type::List { element: inner, .. } => seen.push(inner),
                Type::Tuple(members) => seen.extend_from_slice(self.members(members)),
                Type::Record(fields) => seen.extend(self.fields(fields).iter().map(|field| field.ty)),
                _ => {}
            }
        }
        false
    }

    /// Writes a type in the bracket spelling; a recursive type's inner use is written as its name-less `^`.
    pub fn spell(&self, id: TypeId) -> String {
        let mut out = String::new();
        self.spell_into(id, &mut Vec::new(), &mut out);
        out
    }

    fn spell_into(&self, id: TypeId, open: &mut Vec<TypeId>, out: &mut String) {
        if open.contains(&id) {
            return out.push('^');
        }
        open.push(id);
        let list = |types: &Types, span: Span, open: &mut Vec<TypeId>, out: &mut String| {
            out.push('(');
            for (position, &member) in types.members(span).iter().enumerate() {
                if position > 0 {
                    out.push(',');
                }
                types.spell_into(member, open, out);
            }
            out.push(')');
        };
        match self.node(id) {
            Type::Nil => out.push('z'),
            Type::Bool => out.push('b'),
            Type::Number(number) => out.push_str(number.name()),
            Type::Integer => out.push('j'),
            Type::Str => out.push('s'),
            Type::Json => out.push_str("<Json>s"),
            Type::Bytes => out.push('y'),
            Type::Opaque(letter) => out.push(letter as char),
            Type::Optional(inner) => {
                out.push('?');
                self.spell_into(inner, open, out);
            }
            Type::List { element, len: None } => {
                out.push('[');
                self.spell_into(element, open, out);
                out.push(']');
            }
            Type::List {
                element,
                len: Some(len),
            } => {
                out.push_str("a:");
                out.push_str(&len.to_string());
                self.spell_into(element, open, out);
            }
            Type::Tuple(span) => list(self, span, open, out),
            Type::Record(span) => {
                out.push('{');
                for (position, field) in self.fields(span).iter().enumerate() {
                    if position > 0 {
                        out.push(',');
                    }
                    out.push_str(&field.key);
                    out.push(':');
                    self.spell_into(field.ty, open, out);
                }
                out.push('}');
            }
            Type::Function { params, result } => {
                out.push('\\');
                list(self, params, open, out);
                self.spell_into(result, open, out);
            }
        }
        open.pop();
    }

    fn add(&mut self, ty: Type) -> TypeId {
        self.nodes.push(ty);
        TypeId(self.nodes.len() as u32 - 1)
    }

    fn add_members(&mut self, members: &[TypeId]) -> Span {
        let start = self.members.len();
        self.members.extend_from_slice(members);
        Span::new(start, members.len())
    }

    fn add_fields(&mut self, fields: Vec<Field>) -> Span {
        let start = self.fields.len();
        let len = fields.len();
        self.fields.extend(fields);
        Span::new(start, len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        let mut types = Types::default();
        let found = match types.parse(text) {
            Ok(id) => types.spell(id),
            Err(error) => format!("{}: {}", error.offset, error.message),
        };
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn types_of_the_same_bytes() {
        let check = |of: &str, other: &str, expected: bool| {
            let mut types = Types::default();
            let (of_id, other_id) = (types.parse(of).unwrap(), types.parse(other).unwrap());
            assert_eq!(types.are_alike(of_id, other_id), expected, "{of} {other}");
        };
        check("[f8]", "<list>af8", true);
        check("[f8]", "[f4]", false);
        check("a:3f8", "[f8]", true);
        check("[f8]", "a:3f8", false);
        check("(j,s)", "<pair>t2js", true);
        check("(j,s)", "(j,s,s)", false);
        check("{x:j,y:?s}", "<Point>{x:j,y:?s}", true);
        check("{x:j}", "{y:j}", false);
        check("{x:j}", "{x:?j}", true);
        check("?j", "j", false);
        check("?j", "?<int>j", true);
        check("\\(j)s", "<f>\\(j)s", true);
        check("\\(j)s", "\\(s)s", false);
        check("T", "<table>T", false);
        // Types that never end are not followed for ever.
        check("&1L(^1L,^1L)", "<list>&1L(^1L,^1L)", false);
        let mut types = Types::default();
        for (text, expected) in [
            ("[(j,\\(j)j)]", true),
            ("[(j,{x:s})]", false),
            ("&1L[^1L]", false),
        ] {
            let id = types.parse(text).unwrap();
            assert_eq!(types.has_functions(id), expected, "{text}");
        }
    }

    #[test]
    fn both_spellings() {
        check("z", "z");
        check("[f8]", "[f8]");
        check("af8", "[f8]");
        check("a:3f8", "a:3f8");
        check("a:3 f8", "a:3f8");
        check("a:120f8", "a:120f8");
        check("a:cf8", "a:12f8");
        check("<Real>f8", "f8");
        check("<std::deque<$1>>aj", "[j]");
        check("t2<std::vector<$1>>ajj", "([j],j)");
        check("(i1,u8,?s)", "(i1,u8,?s)");
        check("()", "()");
        check("t0", "()");
        check("{a:j,b:[y]}", "{a:j,b:[y]}");
        check("{}", "{}");
        check("m24names3age?j", "{name:s,age:?j}");
        check("<pair_br_t>m24flagb5valuef8", "{flag:b,value:f8}");
        check(
            "m26ofirstj6middlem26mfirstj5innerj",
            "{ofirst:j,middle:{mfirst:j,inner:j}}",
        );
        check("a{x:t2jj}", "[{x:(j,j)}]");
        check("\\(j,s)b", "\\(j,s)b");
        check("<int>I", "I");
        check("&4Trie<dict>m23val?j4subsat2s^4Trie", "{val:?j,subs:[(s,^)]}");
    }

    #[test]
    fn equal_texts_are_one_type() {
        let mut types = Types::default();
        let first = types.parse("a{x:t2jj}").unwrap();
        assert_eq!(types.parse("a{x:t2jj}"), Ok(first));
        assert_ne!(types.parse("a{x:t2js}"), Ok(first));
        assert!(types.parse("a{x").is_err());
        assert!(types.parse("a{x").is_err());
    }

    #[test]
    fn errors_name_the_place() {
        check("", "0: found the end of the schema, expected a type");
        check("x", "0: found 'x', expected a type");
        check(
            "i3",
            "0: found 'i', expected one of i1 i2 i4 i8 u1 u2 u4 u8 f4 f8",
        );
        check("[f8", "3: found the end of the schema, expected ']'");
        check(
            "jj",
            "1: found 'j', expected one whole schema and nothing after it",
        );
        check("[<Json>s]", "[<Json>s]");
        check("<Json>[s]", "[s]");
        check("<Json>?s", "?s");
        check("<oops", "0: hint is not closed, expected '>'");
        check("m21aj1aj", "5: key 'a' stands twice in one record");
        check("{a:j,a:s}", "5: key 'a' stands twice in one record");
        check("^4Trie", "0: '^Trie' refers to no recursive type around it");
        check(
            "&1T^1T",
            "0: recursive type 'T' is only itself, so it has no values",
        );
        check(
            "&1T&1U^1T",
            "3: recursive type 'U' is only itself, so it has no values",
        );
        check(
            "&1T?^1T",
            "0: recursive type 'T' is only itself, so it has no values",
        );
        check(
            "&1T??^1T",
            "0: recursive type 'T' is only itself, so it has no values",
        );
        check("m15na", "3: found 'n', expected a name of 5 bytes");
        check("t2j", "3: found the end of the schema, expected a type");
        check(&"[".repeat(1000), "513: schema nests deeper than 512 levels");
    }
}
