//! Reads the notation of types: `mean :: [Real] -> Real`, `record Person = Person { name :: Str }`. Knows no comment and no
//! language around them, and does not look up the records that types name.
//!
//! What it reads is given as lines with their places, so that a flaw stands where people see it; `--` begins a comment, and
//! `--'` says something about the parameter or field that follows.

use super::directives;
use super::flaw::elsewhere;
use super::signature::{Doc, Field, Flaw, Mention, Param, ParamDoc, Place, Record, Signature};
use super::types::{Base, Type};
use crate::limits::{PARAMS_MAX, TYPE_DEPTH_MAX};

/// A line of a source, or the part of it that is meant.
#[derive(Clone, Copy, Debug)]
pub struct Line<'a> {
    /// Its text, without its end.
    pub text: &'a str,
    /// Its first character.
    pub place: Place,
}

impl<'a> Line<'a> {
    /// The line without spaces around it.
    pub fn trim(self) -> Line<'a> {
        let text = self.text.trim_start();
        self.skip(self.text.len() - text.len()).trim_end()
    }

    /// The line without spaces at its end.
    pub fn trim_end(self) -> Line<'a> {
        Line {
            text: self.text.trim_end(),
            ..self
        }
    }

    /// The line without its first bytes, which end where a character does.
    pub fn skip(self, bytes: usize) -> Line<'a> {
        let (before, text) = self.text.split_at(bytes);
        let mut place = self.place;
        place.column += before.chars().count() as u32;
        Line { text, place }
    }

    /// The flaw of the whole line.
    pub fn flaw(self, message: impl Into<String>) -> Flaw {
        Flaw::new(self.place, self.text.chars().count(), message)
    }
}

/// The lines of a text whose first character stands there.
pub fn lines(text: &str, place: Place) -> Vec<Line<'_>> {
    let mut lines: Vec<Line<'_>> = Vec::new();
    for (number, text) in text.lines().enumerate() {
        lines.push(Line {
            text,
            place: match number {
                0 => place,
                _ => Place {
                    line: place.line + number as u32,
                    column: 1,
                },
            },
        });
    }
    lines
}

/// Reads a type: `[Real] -> ?Str`. What records it names is added to `mentions`.
pub fn parse_type(text: &str, place: Place, mentions: &mut Vec<Mention>) -> Result<Type, Flaw> {
    read_type(&lines(text, place), place, mentions)
}

/// The same of lines; `place` is where to point if they are empty.
pub fn read_type(lines: &[Line<'_>], place: Place, mentions: &mut Vec<Mention>) -> Result<Type, Flaw> {
    let mut reader = Reader::new(lines, place, mentions);
    let ty = reader.whole(place)?;
    reader.finish()?;
    Ok(ty)
}

/// Reads a signature: `mean :: [Real] -> Real`, of one line or several, with `--'` lines above its types.
pub fn parse_signature(text: &str, place: Place, mentions: &mut Vec<Mention>) -> Result<Signature, Flaw> {
    read_signature(&lines(text, place), mentions)
}

/// The same of lines.
pub fn read_signature(lines: &[Line<'_>], mentions: &mut Vec<Mention>) -> Result<Signature, Flaw> {
    let place = lines.first().map_or(Place::default(), |line| line.place);
    let mut reader = Reader::new(lines, place, mentions);
    let signature = reader.signature()?;
    reader.finish()?;
    Ok(signature)
}

/// Reads a record: `record Person = Person { name :: Str }`, or `record Person where` with a field on each further line.
pub fn parse_record(text: &str, place: Place, mentions: &mut Vec<Mention>) -> Result<Record, Flaw> {
    read_record(&lines(text, place), mentions)
}

/// The same of lines.
pub fn read_record(lines: &[Line<'_>], mentions: &mut Vec<Mention>) -> Result<Record, Flaw> {
    let place = lines.first().map_or(Place::default(), |line| line.place);
    let mut reader = Reader::new(lines, place, mentions);
    let record = reader.record()?;
    reader.finish()?;
    Ok(record)
}

/// Reads the type at the beginning of a line, if there is one that is no function, and how many bytes it takes.
pub fn leading_type(line: Line<'_>, mentions: &mut Vec<Mention>) -> Option<(Type, usize)> {
    let mut reader = Reader::new(std::slice::from_ref(&line), line.place, mentions);
    let ty = reader.atom().ok()?;
    let end = reader.tokens[..reader.at].last()?;
    Some((
        ty,
        end.text.as_ptr() as usize - line.text.as_ptr() as usize + end.text.len(),
    ))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Word,
    /// `->`, `::`, `--'` with its text, or a single character.
    Sign,
    Doc,
}

#[derive(Clone, Copy)]
struct Token<'a> {
    kind: Kind,
    text: &'a str,
    place: Place,
    is_first: bool,
}

struct Reader<'a, 'm> {
    tokens: Vec<Token<'a>>,
    at: usize,
    depth: usize,
    /// Behind the last token.
    end: Place,
    mentions: &'m mut Vec<Mention>,
}

/// Whether a function's name can stand in a signature.
pub(super) fn is_name(name: &str) -> bool {
    let is_part = |letter| is_word(letter) || matches!(letter, '.' | '$');
    name.starts_with(|first: char| first.is_alphabetic() || matches!(first, '_' | '$'))
        && name.chars().all(is_part)
}

/// Whether a field can have that name.
pub(super) fn is_field_name(name: &str) -> bool {
    !name.is_empty() && name.chars().all(is_word)
}

/// Whether a record can have that name.
pub(super) fn is_record_name(name: &str) -> bool {
    name.starts_with(char::is_uppercase)
        && name.chars().all(is_word)
        && Base::from_name(name).is_none()
        && name != "Worker"
}

fn is_word(letter: char) -> bool {
    letter.is_alphanumeric() || matches!(letter, '_' | '\'')
}

impl<'a, 'm> Reader<'a, 'm> {
    fn new(lines: &[Line<'a>], place: Place, mentions: &'m mut Vec<Mention>) -> Reader<'a, 'm> {
        let mut reader = Reader {
            tokens: Vec::new(),
            at: 0,
            depth: 0,
            end: place,
            mentions,
        };
        for line in lines {
            reader.split(*line);
        }
        reader
    }

    /// Cuts a line into tokens.
    fn split(&mut self, line: Line<'a>) {
        let mut rest = line.trim();
        let mut is_first = true;
        while let Some(first) = rest.text.chars().next() {
            let (kind, len) = match first {
                '-' if rest.text.starts_with("--'") => (Kind::Doc, rest.text.len()),
                '-' if rest.text.starts_with("--") => return,
                '-' if rest.text.starts_with("->") => (Kind::Sign, 2),
                ':' if rest.text.starts_with("::") => (Kind::Sign, 2),
                _ if is_word(first) => {
                    let len = rest.text.find(|letter| !is_word(letter));
                    (Kind::Word, len.unwrap_or(rest.text.len()))
                }
                _ => (Kind::Sign, first.len_utf8()),
            };
            let text = &rest.text[..len];
            let place = rest.place;
            self.tokens.push(Token {
                kind,
                text,
                place,
                is_first,
            });
            rest = rest.skip(len);
            if kind != Kind::Doc {
                self.end = rest.place;
            }
            rest = rest.trim();
            is_first = false;
        }
    }

    fn peek(&self) -> Option<Token<'a>> {
        self.tokens.get(self.at).copied()
    }

    fn peek_is(&self, text: &str) -> bool {
        self.peek()
            .is_some_and(|token| token.text == text && token.kind != Kind::Doc)
    }

    fn take(&mut self, text: &str) -> bool {
        let is_there = self.peek_is(text);
        self.at += usize::from(is_there);
        is_there
    }

    /// The flaw of what comes next.
    fn expected(&self, what: &str) -> Flaw {
        match self.peek() {
            Some(token) => Flaw::new(
                token.place,
                token.text.chars().count(),
                format!("found '{}', expected {what}", token.text),
            ),
            None => Flaw::new(self.end, 1, format!("ended here, expected {what}")),
        }
    }

    fn expect(&mut self, text: &str) -> Result<(), Flaw> {
        match self.take(text) {
            true => Ok(()),
            false => Err(self.expected(&format!("'{text}'"))),
        }
    }

    fn finish(&self) -> Result<(), Flaw> {
        match self.peek() {
            Some(_) => Err(self.expected("'->' or the end")),
            None => Ok(()),
        }
    }

    /// A type that is not too deep.
    fn whole(&mut self, place: Place) -> Result<Type, Flaw> {
        let ty = self.ty()?;
        match ty.levels() > TYPE_DEPTH_MAX {
            true => Err(too_deep(place)),
            false => Ok(ty),
        }
    }

    /// A function, or what is none.
    fn ty(&mut self) -> Result<Type, Flaw> {
        let mut parts = vec![self.operand()?];
        while self.take("->") {
            parts.push(self.operand()?);
        }
        Ok(function(parts))
    }

    /// What stands between arrows.
    fn operand(&mut self) -> Result<Type, Flaw> {
        let first = self.peek();
        let ty = self.atom()?;
        let Some(more) = self.peek().filter(|token| !token.is_first) else {
            return Ok(ty);
        };
        let begins = more.kind == Kind::Word || matches!(more.text, "(" | "[" | "?");
        if begins && first.is_some_and(|token| token.kind == Kind::Word) {
            return Err(self.expected("'->'").hint(format!(
                "{ty} takes no types: only Worker does, and a list is [a]"
            )));
        }
        Ok(ty)
    }

    fn atom(&mut self) -> Result<Type, Flaw> {
        let Some(token) = self.peek() else {
            return Err(self.expected("a type"));
        };
        self.depth += 1;
        // Parentheses are no levels of a type, but of its notation.
        if self.depth > 4 * TYPE_DEPTH_MAX {
            return Err(too_deep(token.place));
        }
        let ty = match (token.kind, token.text) {
            (Kind::Word, _) => self.name(token)?,
            (_, "[") => {
                self.at += 1;
                let element = self.ty()?;
                self.expect("]")?;
                Type::List(Box::new(element))
            }
            (_, "?") => {
                self.at += 1;
                match self.atom()? {
                    // Null is one value: there is nothing to tell apart.
                    inner @ Type::Optional(_) => inner,
                    inner => Type::Optional(Box::new(inner)),
                }
            }
            (_, "(") => {
                self.at += 1;
                self.parentheses()?
            }
            _ => return Err(self.expected("a type")),
        };
        self.depth -= 1;
        Ok(ty)
    }

    fn parentheses(&mut self) -> Result<Type, Flaw> {
        if self.take(")") {
            return Ok(Type::Base(Base::Unit));
        }
        let first = self.ty()?;
        let mut parts = vec![first];
        while self.take(",") {
            parts.push(self.ty()?);
        }
        match self.take(")") {
            false => Err(self.expected("',' or ')'")),
            true if parts.len() == 1 => Ok(parts.remove(0)),
            true => Ok(Type::Tuple(parts)),
        }
    }

    fn name(&mut self, token: Token<'a>) -> Result<Type, Flaw> {
        let name = token.text;
        self.at += 1;
        if let Some(base) = Base::from_name(name) {
            return Ok(Type::Base(base));
        }
        if name == "Worker" {
            let sent = self.atom()?;
            return Ok(Type::Worker(Box::new(sent), Box::new(self.atom()?)));
        }
        let flaw = |message| Flaw::new(token.place, name.chars().count(), message);
        match name.chars().next() {
            Some(first) if first.is_uppercase() => {
                self.mentions.push(Mention {
                    name: name.to_string(),
                    place: token.place,
                });
                Ok(Type::Named(name.to_string()))
            }
            Some(first) if first.is_alphabetic() || first == '_' => match elsewhere(name) {
                // Another language's word for a type is no variable.
                Some(right) if name.len() > 1 => {
                    Err(flaw(format!("'{name}' is no type")).hint(format!("did you mean {right}?")))
                }
                _ => Ok(Type::Variable(name.to_string())),
            },
            _ => Err(flaw(format!("'{name}' is no type"))),
        }
    }

    /// What `--'` lines say here.
    fn docs(&mut self, mut add: impl FnMut(Line<'a>) -> Result<(), Flaw>) -> Result<(), Flaw> {
        while let Some(token) = self.peek().filter(|token| token.kind == Kind::Doc) {
            let line = Line {
                text: token.text,
                place: token.place,
            };
            add(line.skip("--'".len()).trim())?;
            self.at += 1;
        }
        Ok(())
    }

    fn signature(&mut self) -> Result<Signature, Flaw> {
        let place = self.peek().map_or(self.end, |token| token.place);
        let mut name = String::new();
        // Names of other languages have points and colons in them.
        while let Some(token) = self.peek() {
            let is_part = token.kind == Kind::Word || matches!(token.text, "." | "$") || {
                let next = self.tokens.get(self.at + 1);
                let touches = |next: &&Token<'_>| next.place.column == token.place.column + 2;
                token.text == "::" && next.filter(touches).is_some_and(|next| next.kind == Kind::Word)
            };
            let end = place.column as usize + name.chars().count();
            if !is_part || (!name.is_empty() && token.place.column as usize != end) {
                break;
            }
            name.push_str(token.text);
            self.at += 1;
        }
        if name.is_empty() {
            return Err(self.expected("a function's name"));
        }
        self.expect("::")?;
        let mut signature = Signature {
            name,
            place,
            params: Vec::new(),
            returns: Type::Base(Base::Unit),
            doc: Doc::default(),
        };
        loop {
            let mut doc = ParamDoc::default();
            self.docs(|line| directives::describe_param(&mut doc, line))?;
            let ty = self.operand()?;
            if ty.levels() > TYPE_DEPTH_MAX {
                return Err(too_deep(place));
            }
            if !self.take("->") {
                self.docs(|line| directives::describe_param(&mut doc, line))?;
                signature.returns = ty;
                signature.doc.returns = doc.desc;
                return Ok(signature);
            }
            doc.settle(&ty);
            signature.params.push(Param {
                name: None,
                ty,
                is_keyword: false,
                doc,
            });
        }
    }

    fn record(&mut self) -> Result<Record, Flaw> {
        self.expect("record")?;
        let Some(token) = self.peek().filter(|token| is_record_name(token.text)) else {
            return Err(self.expected("a name with a capital letter that is no type yet"));
        };
        self.at += 1;
        let mut record = Record {
            name: token.text.to_string(),
            place: token.place,
            fields: Vec::new(),
            doc: ParamDoc::default(),
        };
        let in_braces = match self.take("where") {
            true => false,
            false => {
                if self.take("=") && !self.peek_is("{") {
                    self.expect(token.text)?;
                }
                self.expect("{")?;
                true
            }
        };
        loop {
            let mut doc = ParamDoc::default();
            self.docs(|line| directives::describe_param(&mut doc, line))?;
            let name = match self.peek() {
                Some(name) if name.kind == Kind::Word => name,
                None if !in_braces && !record.fields.is_empty() => break,
                _ => return Err(self.expected("a field's name")),
            };
            self.at += 1;
            self.expect("::")?;
            let ty = self.whole(name.place)?;
            doc.settle(&ty);
            if record.fields.len() >= PARAMS_MAX {
                return Err(Flaw::new(
                    name.place,
                    1,
                    format!("the record has more than {PARAMS_MAX} fields"),
                ));
            }
            if record.fields.iter().any(|field| field.name == name.text) {
                let message = format!("the record has two fields of the name '{}'", name.text);
                return Err(Flaw::new(name.place, name.text.chars().count(), message));
            }
            record.fields.push(Field {
                name: name.text.to_string(),
                ty,
                doc,
            });
            if !in_braces {
                continue;
            }
            let last = record.fields.last_mut();
            if let Some(field) = last {
                self.docs(|line| directives::describe_param(&mut field.doc, line))?;
                field.doc.settle(&field.ty);
            }
            if self.take("}") {
                break;
            }
            if !self.take(",") {
                return Err(self.expected("',' or '}'"));
            }
        }
        Ok(record)
    }
}

fn too_deep(place: Place) -> Flaw {
    Flaw::new(
        place,
        1,
        format!("the type has more than {TYPE_DEPTH_MAX} levels"),
    )
}

/// A function of all but the last, or that.
fn function(mut parts: Vec<Type>) -> Type {
    match parts.pop() {
        None => Type::Base(Base::Unit),
        Some(result) if parts.is_empty() => result,
        Some(result) => Type::Function(parts, Box::new(result)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Place = Place { line: 1, column: 1 };

    /// A type and how it prints, or the columns and the message of its flaw.
    fn check(text: &str, expected: &str) {
        let found = match parse_type(text, START, &mut Vec::new()) {
            Ok(ty) => {
                let printed = ty.to_string();
                assert_eq!(parse_type(&printed, START, &mut Vec::new()), Ok(ty), "{printed}");
                printed
            }
            Err(flaw) => told(&flaw),
        };
        assert_eq!(found, expected, "{text}");
    }

    fn told(flaw: &Flaw) -> String {
        let hint = flaw
            .hint
            .iter()
            .map(|hint| format!(" ({hint})"))
            .collect::<String>();
        let Place { line, column } = flaw.place;
        format!("{line}:{column}+{} {}{hint}", flaw.len, flaw.message)
    }

    #[test]
    fn types() {
        check("Real", "Real");
        check("[Real]->Real", "[Real] -> Real");
        check("(Int,Str , Bool)", "(Int, Str, Bool)");
        check("()", "Unit");
        check("((Int))", "Int");
        check("??Int", "?Int");
        check("?(a -> b)", "?(a -> b)");
        check("(a -> b) -> [a] -> [b]", "(a -> b) -> [a] -> [b]");
        check("a -> (b -> c)", "a -> (b -> c)");
        check("Worker Str [Real]", "Worker Str [Real]");
        check("Worker (Worker a b) (a -> b)", "Worker (Worker a b) (a -> b)");
        check("[Float64] -> UInt8", "[F64] -> U8");
        check("Person -> -- the oldest\n  Str", "Person -> Str");
    }

    #[test]
    fn flaws_of_types() {
        check("", "1:1+1 ended here, expected a type");
        check("[Real", "1:6+1 ended here, expected ']'");
        check("[Real -> ", "1:9+1 ended here, expected a type");
        check("[Real)", "1:6+1 found ')', expected ']'");
        check("(Int, ", "1:6+1 ended here, expected a type");
        check(
            "Int Real",
            "1:5+4 found 'Real', expected '->' (Int takes no types: only Worker does, and a list is [a])",
        );
        check("[Int] ->\n  <", "2:3+1 found '<', expected a type");
        check("a -> float", "1:6+5 'float' is no type (did you mean Real?)");
        check("3", "1:1+1 '3' is no type");
        check("Real]", "1:5+1 found ']', expected '->' or the end");
        let deep = "[".repeat(100_000);
        check(&deep, "1:257+1 the type has more than 64 levels");
        let deep = format!("{}Int{}", "[".repeat(64), "]".repeat(64));
        check(&deep, "1:1+1 the type has more than 64 levels");
    }

    #[test]
    fn signatures() {
        let check = |text: &str, expected: &str| {
            let found = match parse_signature(text, START, &mut Vec::new()) {
                Ok(signature) => {
                    let params = signature
                        .params
                        .iter()
                        .map(|param| match param.doc.desc.join("|") {
                            desc if desc.is_empty() => param.ty.to_string(),
                            desc => format!("{} ({desc}; {:?})", param.ty, param.doc.short),
                        });
                    let params: Vec<String> = params.collect();
                    format!(
                        "{}: {} = {}",
                        signature.name,
                        params.join("; "),
                        signature.returns
                    )
                }
                Err(flaw) => told(&flaw),
            };
            assert_eq!(found, expected, "{text}");
        };
        check("mean :: [Real] -> Real", "mean: [Real] = Real");
        check("now :: Real", "now:  = Real");
        check("mean.default :: a -> b", "mean.default: a = b");
        check("geo::area :: a -> b", "geo::area: a = b");
        check("map :: (a -> b) -> [a] -> [b]", "map: a -> b; [a] = [b]");
        check(
            "knn ::\n  --' How many\n  --' arg: -k\n  Int ->\n  --' Where\n  [Real] -> Str",
            "knn: Int (How many; Some('k')); [Real] (Where; None) = Str",
        );
        check(":: Int", "1:1+2 found '::', expected a function's name");
        check("mean : Int", "1:6+1 found ':', expected '::'");
        check("mean ::", "1:8+1 ended here, expected a type");
        check(
            "f ::\n  --' arg: k\n  Int -> Int",
            "2:12+1 'k' is no option, expected -k, --name or -k/--name",
        );
    }

    #[test]
    fn records() {
        let check = |text: &str, expected: &str| {
            let found = match parse_record(text, START, &mut Vec::new()) {
                Ok(record) => {
                    let fields = record.fields.iter();
                    let fields =
                        fields.map(|field| format!("{} {}{}", field.name, field.ty, field.doc.desc.concat()));
                    format!("{}: {}", record.name, fields.collect::<Vec<_>>().join(", "))
                }
                Err(flaw) => told(&flaw),
            };
            assert_eq!(found, expected, "{text}");
        };
        check("record P = P { name :: Str, age :: Int }", "P: name Str, age Int");
        check("record P = { f :: a -> b }", "P: f a -> b");
        check(
            "record P = P\n  { a :: Int --' one\n  , b :: Int\n  }",
            "P: a Intone, b Int",
        );
        check(
            "record P where\n  --' one\n  a :: Int\n  b :: [P]",
            "P: a Intone, b [P]",
        );
        check("record P = Q { a :: Int }", "1:12+1 found 'Q', expected 'P'");
        check("record P = P { a : Int }", "1:18+1 found ':', expected '::'");
        check(
            "record P = P { a :: Int",
            "1:24+1 ended here, expected ',' or '}'",
        );
        check(
            "record P = P { a :: Int, a :: Int }",
            "1:26+1 the record has two fields of the name 'a'",
        );
        check("record P = P {}", "1:15+1 found '}', expected a field's name");
        check(
            "record int = {}",
            "1:8+3 found 'int', expected a name with a capital letter that is no type yet",
        );
    }

    #[test]
    fn a_type_at_the_beginning_of_a_line() {
        for (text, expected) in [
            ("[Real] The numbers", Some(6)),
            ("Real the mean", Some(4)),
            ("(Int, Str)", Some(10)),
            ("the mean", Some(3)),
            ("[the mean", None),
            ("?Int - or none", Some(4)),
        ] {
            let line = Line { text, place: START };
            let found = leading_type(line, &mut Vec::new()).map(|found| found.1);
            assert_eq!(found, expected, "{text}");
        }
    }
}
