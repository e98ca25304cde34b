//! Python's type hints as types: `list[float] | None`. Evaluates none; names that the file declares are looked up in it.

use crate::limits::{TYPE_DEPTH_MAX, TYPE_PARTS_MAX};
use crate::map::Map;
use crate::source::flaw::elsewhere;
use crate::source::lexer::{Kind, Lang, Token, tokens};
use crate::source::literal;
use crate::source::notation::{Line, is_record_name};
use crate::source::signature::{Flaw, Mention, Place};
use crate::source::types::{Base, Type};

/// What the names of a file stand for, as far as hints use them.
pub(super) enum Meaning<'a> {
    /// A dataclass, NamedTuple or TypedDict.
    Record,
    /// Any other class.
    Class,
    /// A record that can't be read: of concern once something names it.
    Flawed(Flaw),
    /// `Vector = list[float]`
    Alias(Vec<Token<'a>>),
    /// `T = TypeVar("T")`
    Variable,
    /// From another file, where it may be a record.
    Imported,
}

/// The names of a file.
pub(super) type Names<'a> = Map<&'a str, Meaning<'a>>;

/// Types that take no others: all that hints call so, whatever it was imported from.
const PLAIN: [(&str, Base); 29] = [
    ("None", Base::Unit),
    ("NoneType", Base::Unit),
    ("bool", Base::Bool),
    ("bool_", Base::Bool),
    ("bytes", Base::Bytes),
    ("double", Base::Real),
    ("float", Base::Real),
    ("float32", Base::F32),
    ("float64", Base::Real),
    ("float_", Base::Real),
    ("floating", Base::Real),
    ("int", Base::Int),
    ("int16", Base::I16),
    ("int32", Base::I32),
    ("int64", Base::Int),
    ("int8", Base::I8),
    ("int_", Base::Int),
    ("integer", Base::Int),
    ("intc", Base::I32),
    ("single", Base::F32),
    ("str", Base::Str),
    ("LiteralString", Base::Str),
    ("AnyStr", Base::Str),
    ("Text", Base::Str),
    ("uint16", Base::U16),
    ("uint32", Base::U32),
    ("uint64", Base::U64),
    ("uint8", Base::U8),
    ("SupportsFloat", Base::Real),
];

const LISTS: [&str; 8] = [
    "list",
    "List",
    "Sequence",
    "MutableSequence",
    "Iterable",
    "Collection",
    "NDArray",
    "ArrayLike",
];

/// What has a form only in Python, and what to write instead.
const INSTEAD: [(&str, &str); 14] = [
    ("dict", "name its keys: a dataclass or a TypedDict is a record"),
    ("Dict", "name its keys: a dataclass or a TypedDict is a record"),
    ("Mapping", "name its keys: a dataclass or a TypedDict is a record"),
    ("list", "say of what: list[float]"),
    ("List", "say of what: list[float]"),
    ("Sequence", "say of what: Sequence[float]"),
    ("Iterable", "say of what: Iterable[float]"),
    ("tuple", "say of what: tuple[float, str]"),
    ("Tuple", "say of what: tuple[float, str]"),
    ("Callable", "say of what: Callable[[float], str]"),
    ("set", "write list[T]"),
    ("Iterator", "write list[T], and return a list"),
    ("Generator", "write list[T], and return a list"),
    ("Path", "write str"),
];

/// The hint that these tokens are.
pub(super) fn read<'a>(
    hint: &[Token<'a>],
    names: &Names<'a>,
    mentions: &mut Vec<Mention>,
) -> Result<Type, Flaw> {
    let end = hint.last().map_or(Place::default(), |last| Place {
        column: last.place.column + last.text.chars().count() as u32,
        ..last.place
    });
    let mut reader = Reader {
        tokens: hint,
        at: 0,
        end,
        names,
        mentions,
        depth: 0,
        parts: &mut 0,
    };
    reader.whole()
}

/// The hint that a line is, if it is one.
pub(super) fn read_line<'a>(
    line: Line<'a>,
    names: &Names<'a>,
    mentions: &mut Vec<Mention>,
) -> Result<Type, Flaw> {
    read(&tokens(Lang::Python, line.text, line.place), names, mentions)
}

struct Reader<'a, 'r> {
    tokens: &'r [Token<'a>],
    at: usize,
    end: Place,
    names: &'r Names<'a>,
    mentions: &'r mut Vec<Mention>,
    depth: usize,
    parts: &'r mut usize,
}

impl<'a> Reader<'a, '_> {
    fn whole(&mut self) -> Result<Type, Flaw> {
        let ty = self.union()?;
        match self.at < self.tokens.len() {
            true => Err(self.expected("the end of the type")),
            false => Ok(ty),
        }
    }

    fn expected(&self, what: &str) -> Flaw {
        match self.tokens.get(self.at) {
            Some(token) => flaw(token, format!("found {}, expected {what}", token.text)),
            None => Flaw::new(self.end, 1, format!("ended here, expected {what}")),
        }
    }

    fn take(&mut self, text: &str) -> bool {
        let is_there = self.tokens.get(self.at).is_some_and(|token| token.is(text));
        self.at += usize::from(is_there);
        is_there
    }

    fn expect(&mut self, text: &str) -> Result<(), Flaw> {
        match self.take(text) {
            true => Ok(()),
            false => Err(self.expected(&format!("'{text}'"))),
        }
    }

    /// Tokens that stand elsewhere: those of a hint in quotes, or of another name for a type.
    fn inside(&mut self, tokens: &[Token<'a>], end: Place) -> Result<Type, Flaw> {
        let mut reader = Reader {
            tokens,
            at: 0,
            end,
            names: self.names,
            mentions: self.mentions,
            depth: self.depth,
            parts: self.parts,
        };
        reader.whole()
    }

    fn union(&mut self) -> Result<Type, Flaw> {
        let first = self.tokens.get(self.at);
        let mut parts = vec![self.primary()?];
        while self.take("|") {
            parts.push(self.primary()?);
        }
        match first {
            Some(first) => united(parts, first),
            None => Err(self.expected("a type")),
        }
    }

    fn primary(&mut self) -> Result<Type, Flaw> {
        let Some(token) = self.tokens.get(self.at).copied() else {
            return Err(self.expected("a type"));
        };
        *self.parts += 1;
        self.depth += 1;
        // Its notation may take twice as many levels.
        if self.depth > TYPE_DEPTH_MAX / 2 || *self.parts > TYPE_PARTS_MAX {
            let levels = TYPE_DEPTH_MAX / 2;
            let message = format!("the type has more than {levels} levels or {TYPE_PARTS_MAX} parts");
            return Err(flaw(&token, message));
        }
        self.at += 1;
        let ty = match (token.kind, token.text) {
            (Kind::Text, text) => self.quoted(&token, text)?,
            (Kind::Word, _) => self.named(token)?,
            (_, "(") => {
                let ty = self.union()?;
                self.expect(")")?;
                ty
            }
            _ => {
                self.at -= 1;
                return Err(self.expected("a type"));
            }
        };
        self.depth -= 1;
        Ok(ty)
    }

    /// A hint in quotes, for names that are declared later.
    fn quoted(&mut self, token: &Token<'a>, text: &'a str) -> Result<Type, Flaw> {
        let inner = text
            .strip_prefix(['"', '\''])
            .and_then(|text| text.strip_suffix(['"', '\'']));
        let inner = inner.filter(|inner| !inner.contains(['"', '\'', '\\', '\n']));
        let Some(inner) = inner else {
            return Err(flaw(token, format!("found {text}, expected a type")));
        };
        let mut place = token.place;
        place.column += 1;
        let line = Line { text: inner, place };
        let tokens = tokens(Lang::Python, line.text, line.place);
        self.inside(&tokens, line.skip(inner.len()).place)
    }

    /// `float`, `np.float64`, `list[float]`
    fn named(&mut self, first: Token<'a>) -> Result<Type, Flaw> {
        let mut last = first;
        while let [point, word, ..] = self.tokens[self.at..]
            && point.is(".")
            && word.is_word()
        {
            last = word;
            self.at += 2;
        }
        let is_dotted = last.place != first.place;
        let whole = Token {
            text: last.text,
            ..first
        };
        // From the first word to the last, if they stand on one line.
        let len = match first.place.line == last.place.line {
            true => (last.place.column - first.place.column) as usize + last.text.chars().count(),
            false => first.text.chars().count(),
        };
        if !is_dotted && let Some(meaning) = self.names.get(first.text) {
            match meaning {
                Meaning::Record => return Ok(self.record(first)),
                Meaning::Variable => return Ok(Type::Variable(variable(first.text))),
                Meaning::Alias(tokens) => {
                    // Where it is used is where it is told.
                    return self.inside(tokens, first.place).map_err(|inner| Flaw {
                        place: first.place,
                        len: first.text.chars().count() as u32,
                        ..inner
                    });
                }
                Meaning::Class => {
                    let message = format!("the class {} has no form in other languages", first.text);
                    let hint = "make it a dataclass, a NamedTuple or a TypedDict with a capital letter; a function whose name begins with \
                                an underscore is not exported";
                    return Err(flaw(&first, message).hint(hint));
                }
                Meaning::Flawed(flaw) => return Err(flaw.clone()),
                Meaning::Imported => {}
            }
        }
        if self.take("[") {
            let ty = self.applied(whole)?;
            return Ok(ty);
        }
        if let Some(row) = PLAIN.iter().find(|row| row.0 == last.text) {
            return Ok(Type::Base(row.1));
        }
        if last.text == "ndarray" {
            return Ok(Type::List(Box::new(Type::Base(Base::Real))));
        }
        let is_imported = matches!(self.names.get(first.text), Some(Meaning::Imported));
        let instead = INSTEAD.iter().find(|row| row.0 == last.text);
        if is_imported && !is_dotted && instead.is_none() && is_record_name(first.text) {
            return Ok(self.record(first));
        }
        let message = format!("the type {} has no form in other languages", last.text);
        let hint = instead.map_or(
            "write a signature in a comment above the function; one whose name begins with an underscore is not \
             exported",
            |row| row.1,
        );
        Err(Flaw::new(first.place, len, message).hint(hint))
    }

    fn record(&mut self, token: Token<'a>) -> Type {
        self.mentions.push(Mention {
            name: token.text.to_string(),
            place: token.place,
        });
        Type::Named(token.text.to_string())
    }

    /// A type with others in brackets, behind its `[`.
    fn applied(&mut self, name: Token<'a>) -> Result<Type, Flaw> {
        match name.text {
            "Callable" => return self.callable(),
            "Literal" => return self.literals(&name),
            "Annotated" => {
                let ty = self.union()?;
                // What follows says something to others.
                self.skip_to_close();
                return Ok(ty);
            }
            _ => {}
        }
        let mut parts = Vec::new();
        let mut is_repeated = false;
        while !self.take("]") {
            if self.take("...") {
                is_repeated = true;
            } else if name.text == "ndarray"
                && parts.is_empty()
                && self.tokens.get(self.at).is_some_and(|token| !token.is_word())
            {
                // The shape.
                self.skip_part();
                parts.push(Type::Base(Base::Unit));
            } else {
                parts.push(self.union()?);
            }
            if !self.take(",") && !self.tokens.get(self.at).is_some_and(|token| token.is("]")) {
                return Err(self.expected("',' or ']'"));
            }
        }
        let count = parts.len();
        let ty = match (name.text, parts.pop()) {
            ("tuple" | "Tuple", Some(element)) if is_repeated && count == 1 => Type::List(Box::new(element)),
            ("tuple" | "Tuple", Some(last)) if !is_repeated && count > 1 => {
                parts.push(last);
                Type::Tuple(parts)
            }
            ("tuple" | "Tuple", _) => {
                return Err(flaw(
                    &name,
                    "a tuple of one type or none has no form in other languages",
                )
                .hint("write list[T], or tuple[A, B]"));
            }
            ("ndarray", Some(element)) if count == 2 => Type::List(Box::new(element)),
            (list, Some(element)) if count == 1 && LISTS.contains(&list) => Type::List(Box::new(element)),
            ("Optional" | "NotRequired", Some(inner)) if count == 1 => {
                united(vec![inner, Type::Base(Base::Unit)], &name)?
            }
            ("Required" | "ReadOnly" | "Final" | "dtype", Some(inner)) if count == 1 => inner,
            ("Union", Some(last)) => {
                parts.push(last);
                united(parts, &name)?
            }
            (text, _) => {
                let message = format!("the type {text}[...] has no form in other languages");
                let instead = INSTEAD.iter().find(|row| row.0 == text);
                let hint = instead.map_or("write a signature in a comment above the function", |row| row.1);
                return Err(flaw(&name, message).hint(hint));
            }
        };
        Ok(ty)
    }

    /// `Callable[[A, B], C]` behind its first bracket.
    fn callable(&mut self) -> Result<Type, Flaw> {
        self.expect("[")?;
        let mut params = Vec::new();
        while !self.take("]") {
            params.push(self.union()?);
            if !self.take(",") && !self.tokens.get(self.at).is_some_and(|token| token.is("]")) {
                return Err(self.expected("',' or ']'"));
            }
        }
        self.expect(",")?;
        let result = self.union()?;
        self.take(",");
        self.expect("]")?;
        if params.is_empty() {
            params.push(Type::Base(Base::Unit));
        }
        Ok(Type::Function(params, Box::new(result)))
    }

    /// `Literal["a", "b"]`: values of one type.
    fn literals(&mut self, name: &Token<'a>) -> Result<Type, Flaw> {
        let mut ty: Option<Type> = None;
        while !self.take("]") {
            let Some(token) = self.tokens.get(self.at) else {
                return Err(self.expected("']'"));
            };
            self.at += 1;
            let base = match literal::json(Lang::Python, std::slice::from_ref(token)).as_deref() {
                Some("true" | "false") => Base::Bool,
                Some(text) if text.starts_with('"') => Base::Str,
                Some(text) if text != "null" => Base::Int,
                _ if token.is(",") || token.is("-") => continue,
                _ => return Err(flaw(token, format!("found {}, expected a literal", token.text))),
            };
            if ty
                .replace(Type::Base(base))
                .is_some_and(|before| before != Type::Base(base))
            {
                return Err(flaw(
                    name,
                    "literals of several types have no form in other languages",
                ));
            }
        }
        ty.ok_or_else(|| self.expected("a literal"))
    }

    /// Goes behind the bracket that closes what is open.
    fn skip_to_close(&mut self) {
        while self.at < self.tokens.len() && !self.take("]") {
            self.skip_part();
            self.take(",");
        }
    }

    /// Goes to the next comma or closing bracket, past what is in brackets itself.
    fn skip_part(&mut self) {
        let mut open = 0usize;
        while let Some(token) = self.tokens.get(self.at) {
            match token.text {
                "[" | "(" | "{" => open += 1,
                "]" | ")" | "}" if open == 0 => return,
                "]" | ")" | "}" => open -= 1,
                "," if open == 0 => return,
                _ => {}
            }
            self.at += 1;
        }
    }
}

/// A name for a type variable: `T` is `t`.
pub(super) fn variable(name: &str) -> String {
    let bare = name.trim_matches('_').to_ascii_lowercase();
    let is_plain = bare.starts_with(|first: char| first.is_ascii_lowercase())
        && bare
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    match (is_plain, elsewhere(&bare)) {
        (false, _) => "a".to_string(),
        // A variable that is called like a type would be read as a slip.
        (_, Some(_)) => bare + "_",
        _ => bare,
    }
}

/// `A | None` is `?A`; an integer where a float may be is a float.
fn united(parts: Vec<Type>, token: &Token<'_>) -> Result<Type, Flaw> {
    let mut rest: Vec<Type> = Vec::new();
    let mut is_optional = false;
    let count = parts.len();
    for part in parts {
        match part {
            Type::Base(Base::Unit) if count > 1 => is_optional = true,
            Type::Optional(inner) => {
                is_optional = true;
                rest.push(*inner);
            }
            part => rest.push(part),
        }
    }
    let is_float = |ty: &Type| matches!(ty, Type::Base(Base::Real));
    if rest.iter().any(is_float) {
        rest.retain(|ty| *ty != Type::Base(Base::Int));
    }
    rest.dedup();
    let ty = match rest.pop() {
        None => return Ok(Type::Base(Base::Unit)),
        Some(ty) if rest.is_empty() => ty,
        Some(_) => {
            return Err(
                flaw(token, "a union of several types has no form in other languages")
                    .hint("write one type, or T | None"),
            );
        }
    };
    Ok(match is_optional {
        true => Type::Optional(Box::new(ty)),
        false => ty,
    })
}

fn flaw(token: &Token<'_>, message: impl Into<String>) -> Flaw {
    Flaw::new(token.place, token.text.chars().count(), message)
}
