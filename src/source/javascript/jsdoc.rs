//! JSDoc's types: `number[]`, `?string`, `{a: number}`. Knows no function; names that the file declares are looked up in it.

use crate::limits::{PARAMS_MAX, TYPE_DEPTH_MAX, TYPE_PARTS_MAX};
use crate::map::Map;
use crate::source::flaw::elsewhere;
use crate::source::lexer::{Kind, Lang, Token, tokens};
use crate::source::notation::{Line, is_name, is_record_name};
use crate::source::signature::{Field, Flaw, Mention, ParamDoc, Place, Record};
use crate::source::types::{Base, Type};

/// What the names of a file stand for.
pub(super) enum Meaning<'a> {
    Record,
    /// A record that can't be read: of concern once something names it.
    Flawed(Flaw),
    /// `@typedef {number[]} Vector`
    Alias(Line<'a>),
}

/// The names of a file.
pub(super) type Names<'a> = Map<&'a str, Meaning<'a>>;

/// Names of JavaScript, whether they are lists, and of what.
const PLAIN: [(&str, bool, Base); 26] = [
    ("number", false, Base::Real),
    ("Number", false, Base::Real),
    ("bigint", false, Base::Int),
    ("BigInt", false, Base::Int),
    ("string", false, Base::Str),
    ("String", false, Base::Str),
    ("boolean", false, Base::Bool),
    ("Boolean", false, Base::Bool),
    ("null", false, Base::Unit),
    ("undefined", false, Base::Unit),
    ("void", false, Base::Unit),
    ("Uint8Array", false, Base::Bytes),
    ("Buffer", false, Base::Bytes),
    ("ArrayBuffer", false, Base::Bytes),
    ("Int8Array", true, Base::I8),
    ("Int16Array", true, Base::I16),
    ("Int32Array", true, Base::I32),
    ("BigInt64Array", true, Base::Int),
    ("Uint8ClampedArray", true, Base::U8),
    ("Uint16Array", true, Base::U16),
    ("Uint32Array", true, Base::U32),
    ("BigUint64Array", true, Base::U64),
    ("Float32Array", true, Base::F32),
    ("Float64Array", true, Base::Real),
    ("true", false, Base::Bool),
    ("false", false, Base::Bool),
];

/// What reads types, and where records without a name of their own go.
pub(super) struct Types<'a, 'r> {
    pub names: &'r Names<'a>,
    /// Of `@template`.
    pub variables: &'r [&'a str],
    pub mentions: &'r mut Vec<Mention>,
    /// Records that were written in place.
    pub records: Vec<Record>,
}

impl<'a> Types<'a, '_> {
    /// The type that a line is; a record in it is called `name`.
    pub fn read(&mut self, line: Line<'a>, name: &str) -> Result<Type, Flaw> {
        self.inside(line, name, 0, &mut 0)
    }

    fn inside(&mut self, line: Line<'a>, name: &str, depth: usize, parts: &mut usize) -> Result<Type, Flaw> {
        let tokens = tokens(Lang::JavaScript, line.text, line.place);
        let mut reader = Reader {
            tokens: &tokens,
            at: 0,
            end: line.skip(line.text.len()).place,
            types: self,
            depth,
            parts,
        };
        let ty = reader.union(name)?;
        // Closure's sign of an optional parameter.
        let is_optional = reader.take("=");
        match reader.at < tokens.len() {
            true => Err(reader.expected("the end of the type")),
            false if is_optional => Ok(optional(ty)),
            false => Ok(ty),
        }
    }
}

struct Reader<'a, 'r, 't, 'n> {
    tokens: &'r [Token<'a>],
    at: usize,
    end: Place,
    types: &'r mut Types<'a, 'n>,
    depth: usize,
    parts: &'t mut usize,
}

impl<'a> Reader<'a, '_, '_, '_> {
    fn expected(&self, what: &str) -> Flaw {
        match self.tokens.get(self.at) {
            Some(token) => flaw(token, format!("found {}, expected {what}", token.text)),
            None => Flaw::new(self.end, 1, format!("ended here, expected {what}")),
        }
    }

    fn peek_is(&self, text: &str) -> bool {
        self.tokens.get(self.at).is_some_and(|token| token.is(text))
    }

    fn take(&mut self, text: &str) -> bool {
        let is_there = self.peek_is(text);
        self.at += usize::from(is_there);
        is_there
    }

    fn expect(&mut self, text: &str) -> Result<(), Flaw> {
        match self.take(text) {
            true => Ok(()),
            false => Err(self.expected(&format!("'{text}'"))),
        }
    }

    fn union(&mut self, name: &str) -> Result<Type, Flaw> {
        let first = self.tokens.get(self.at).copied();
        let mut parts: Vec<Type> = Vec::new();
        let mut is_optional = false;
        loop {
            match self.postfix(name)? {
                Type::Optional(inner) => {
                    is_optional = true;
                    parts.push(*inner);
                }
                part => parts.push(part),
            }
            if !self.take("|") {
                break;
            }
        }
        if parts.len() > 1 {
            let count = parts.len();
            parts.retain(|part| *part != Type::Base(Base::Unit));
            is_optional |= parts.len() < count;
            parts.dedup();
        }
        let ty = match (parts.pop(), first) {
            (None, _) => return Ok(Type::Base(Base::Unit)),
            (Some(ty), _) if parts.is_empty() => ty,
            (_, first) => {
                let message = "a union of several types has no form in other languages";
                let flaw = first.map(|first| flaw(&first, message));
                return Err(flaw
                    .unwrap_or_else(|| self.expected("a type"))
                    .hint("write one type, or T|null"));
            }
        };
        Ok(if is_optional { optional(ty) } else { ty })
    }

    /// `T[]`, `T?`
    fn postfix(&mut self, name: &str) -> Result<Type, Flaw> {
        let mut ty = self.primary(name)?;
        let mut levels = 0;
        loop {
            if self.peek_is("[") {
                self.at += 1;
                self.expect("]")?;
                ty = Type::List(Box::new(ty));
            } else if self.take("?") {
                ty = optional(ty);
            } else {
                return Ok(ty);
            }
            levels += 1;
            if self.depth + levels > TYPE_DEPTH_MAX / 2 {
                return Err(self.too_large());
            }
        }
    }

    fn too_large(&self) -> Flaw {
        let levels = TYPE_DEPTH_MAX / 2;
        let message = format!("the type has more than {levels} levels or {TYPE_PARTS_MAX} parts");
        let token = self.tokens.get(self.at).or(self.tokens.last());
        Flaw::new(token.map_or(self.end, |token| token.place), 1, message)
    }

    fn primary(&mut self, name: &str) -> Result<Type, Flaw> {
        *self.parts += 1;
        self.depth += 1;
        // Its notation may take twice as many levels.
        if self.depth > TYPE_DEPTH_MAX / 2 || *self.parts > TYPE_PARTS_MAX {
            return Err(self.too_large());
        }
        let Some(token) = self.tokens.get(self.at).copied() else {
            return Err(self.expected("a type"));
        };
        self.at += 1;
        let ty = match (token.kind, token.text) {
            (Kind::Text, _) => Type::Base(Base::Str),
            (Kind::Number, _) => Type::Base(Base::Real),
            (Kind::Word, "function") => self.function(name)?,
            (Kind::Word, _) => self.named(token, name)?,
            (_, "?") => optional(self.postfix(name)?),
            (_, "!") => self.postfix(name)?,
            (_, "(") if self.is_arrow() => {
                self.at -= 1;
                self.function(name)?
            }
            (_, "(") => {
                let ty = self.union(name)?;
                self.expect(")")?;
                ty
            }
            (_, "[") => {
                let parts = self.list("]", name)?;
                match parts.len() {
                    0 | 1 => {
                        return Err(flaw(
                            &token,
                            "a tuple of one type or none has no form in other languages",
                        )
                        .hint("write T[], or [A, B]"));
                    }
                    _ => Type::Tuple(parts),
                }
            }
            (_, "{") => self.record(token, name)?,
            _ => {
                self.at -= 1;
                return Err(self.expected("a type"));
            }
        };
        self.depth -= 1;
        Ok(ty)
    }

    /// Whether the parenthesis before holds the parameters of a function.
    fn is_arrow(&self) -> bool {
        let mut open = 1usize;
        let mut rest = self.tokens[self.at..].iter();
        let close = rest.by_ref().find(|token| {
            match token.text {
                "(" => open += 1,
                ")" => open -= 1,
                _ => {}
            }
            open == 0
        });
        close.is_some() && rest.next().is_some_and(|token| token.is("=>"))
    }

    /// Types with commas between, behind the opening bracket.
    fn list(&mut self, close: &str, name: &str) -> Result<Vec<Type>, Flaw> {
        let mut parts = Vec::new();
        while !self.take(close) {
            // Parameters may have names.
            let is_named = self.tokens.get(self.at + 1).is_some_and(|colon| colon.is(":"));
            self.at += if is_named { 2 } else { 0 };
            parts.push(self.union(name)?);
            if !self.take(",") && !self.peek_is(close) {
                return Err(self.expected(&format!("',' or '{close}'")));
            }
        }
        Ok(parts)
    }

    /// `function(A, B): C` behind its word, `(a: A, b: B) => C` at its parenthesis.
    fn function(&mut self, name: &str) -> Result<Type, Flaw> {
        self.expect("(")?;
        let mut params = self.list(")", name)?;
        let has_result = self.take("=>") || self.take(":");
        let result = match has_result {
            true => self.postfix(name)?,
            false => Type::Base(Base::Unit),
        };
        if params.is_empty() {
            params.push(Type::Base(Base::Unit));
        }
        Ok(Type::Function(params, Box::new(result)))
    }

    fn named(&mut self, token: Token<'a>, name: &str) -> Result<Type, Flaw> {
        // Closure's `Array.<T>`.
        if self.tokens.get(self.at + 1).is_some_and(|angle| angle.is("<")) {
            self.take(".");
        }
        if self.take("<") {
            let mut parts = self.list(">", name)?;
            return match (token.text, parts.pop()) {
                ("Array" | "ReadonlyArray", Some(element)) if parts.is_empty() => {
                    Ok(Type::List(Box::new(element)))
                }
                ("Promise", Some(result)) if parts.is_empty() => Ok(result),
                _ => Err(no_form(&token)),
            };
        }
        if self.types.variables.contains(&token.text) {
            let bare = token.text.to_ascii_lowercase();
            let is_plain = is_name(&bare)
                && bare.bytes().all(|byte| byte.is_ascii_alphanumeric())
                && elsewhere(&bare).is_none();
            return Ok(Type::Variable(if is_plain { bare } else { "a".to_string() }));
        }
        match self.types.names.get(token.text) {
            Some(Meaning::Record) => {
                self.types.mentions.push(Mention {
                    name: token.text.to_string(),
                    place: token.place,
                });
                return Ok(Type::Named(token.text.to_string()));
            }
            Some(Meaning::Flawed(flaw)) => return Err(flaw.clone()),
            Some(Meaning::Alias(line)) => {
                let line = *line;
                let inner = self.types.inside(line, name, self.depth, self.parts);
                return inner.map_err(|inner| flaw(&token, inner.message));
            }
            None => {}
        }
        if let Some((_, is_list, base)) = PLAIN.iter().find(|row| row.0 == token.text) {
            let ty = Type::Base(*base);
            return Ok(if *is_list { Type::List(Box::new(ty)) } else { ty });
        }
        match Base::from_name(token.text) {
            Some(base) => Ok(Type::Base(base)),
            None => Err(no_form(&token)),
        }
    }

    /// `{a: number, b?: string}` behind its brace.
    fn record(&mut self, open: Token<'a>, name: &str) -> Result<Type, Flaw> {
        let mut fields: Vec<Field> = Vec::new();
        while !self.take("}") {
            let key = self
                .tokens
                .get(self.at)
                .copied()
                .filter(|key| key.is_word() && !key.text.contains('$'));
            let Some(key) = key else {
                return Err(self.expected("a key"));
            };
            self.at += 1;
            let is_optional = self.take("?");
            self.expect(":")?;
            let inner = format!("{name}{}", capitalized(key.text));
            let ty = self.union(&inner)?;
            if fields.len() >= PARAMS_MAX || fields.iter().any(|field| field.name == key.text) {
                return Err(flaw(&key, "the record has this key twice, or too many"));
            }
            fields.push(Field {
                name: key.text.to_string(),
                ty: if is_optional { optional(ty) } else { ty },
                doc: ParamDoc::default(),
            });
            if !self.take(",") && !self.take(";") && !self.peek_is("}") {
                return Err(self.expected("',' or '}'"));
            }
        }
        if fields.is_empty() || !is_record_name(name) {
            return Err(flaw(
                &open,
                "an object without named keys has no form in other languages",
            ));
        }
        self.types.records.push(Record {
            name: name.to_string(),
            place: open.place,
            fields,
            doc: ParamDoc::default(),
        });
        Ok(Type::Named(name.to_string()))
    }
}

fn optional(ty: Type) -> Type {
    match ty {
        Type::Optional(_) => ty,
        ty => Type::Optional(Box::new(ty)),
    }
}

/// A name with a capital letter: what a record is called that has no name.
pub(super) fn capitalized(name: &str) -> String {
    let mut letters = name.chars();
    let first = letters.next().map(|first| first.to_ascii_uppercase());
    first.into_iter().chain(letters).collect()
}

fn no_form(token: &Token<'_>) -> Flaw {
    let message = format!("the type {} has no form in other languages", token.text);
    flaw(token, message).hint(match token.text {
        "Object" | "object" | "Map" | "Record" => "name its keys: {a: number}, or a @typedef",
        "Array" => "say of what: number[]",
        "Set" | "Iterable" => "write T[]",
        _ => "declare it with @typedef, or write a signature in a comment above the function",
    })
}

fn flaw(token: &Token<'_>, message: impl Into<String>) -> Flaw {
    Flaw::new(token.place, token.text.chars().count(), message)
}
