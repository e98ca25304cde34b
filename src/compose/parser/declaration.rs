//! Reads declarations: the module line, sources, records, names for types, signatures and definitions, and the `--'` lines
//! above them.

use super::{KEYWORDS, Parser, literal};
use crate::compose::ast::{Alias, Declaration, Definition, Name, Node, Source};
use crate::compose::lexer::{Kind, Token, begins_name, is_name};
use crate::source::directives;
use crate::source::notation::{self, Line};
use crate::source::signature::{Doc, Flaw, ParamDoc};
use crate::source::types::Base;

/// What begins a declaration of morloc that has no counterpart here: the word, what it is, what to do instead.
const UNSUPPORTED: [(&str, &str, &str); 11] = [
    (
        "import",
        "modules are not imported",
        "builtins need no import, and functions of a file are taken with: source Py from \"file.py\" (\"name\")",
    ),
    (
        "class",
        "type classes are not supported",
        "give the functions of each type names of their own",
    ),
    (
        "instance",
        "type classes are not supported",
        "give the functions of each type names of their own",
    ),
    (
        "infixl",
        "operators can't be declared",
        "write a function, and apply it by its name",
    ),
    (
        "infixr",
        "operators can't be declared",
        "write a function, and apply it by its name",
    ),
    (
        "infix",
        "operators can't be declared",
        "write a function, and apply it by its name",
    ),
    (
        "effect",
        "effects are not supported",
        "a function that does something is sourced and called like any other",
    ),
    (
        "data",
        "data types with several forms are not supported",
        "declare a record: record Person = Person { name :: Str }",
    ),
    (
        "object",
        "objects are not supported",
        "declare a record: record Person = Person { name :: Str }",
    ),
    (
        "table",
        "tables are not supported",
        "declare a record of lists: record People = People { names :: [Str] }",
    ),
    (
        "export",
        "exports stand in the module line",
        "module main (mean, sum)",
    ),
];

const LANGUAGES: [&str; 4] = ["Py", "R", "Cpp", "JS"];

impl<'a> Parser<'a> {
    /// One declaration, or one line about the next.
    pub(super) fn declaration(&mut self) -> Result<(), Flaw> {
        let Some(first) = self.next() else {
            return Ok(());
        };
        if first.kind == Kind::Doc {
            self.docs.end = self.at + 1;
            return Ok(());
        }
        if first.place.column > 1 {
            return Err(first
                .flaw("a declaration begins in column 1")
                .hint("remove the spaces before it"));
        }
        self.margin = 0;
        let tokens = &self.tokens[self.at..self.end];
        let is_sign = |token: &Token<'_>| matches!(token.text, "=" | "::" | "?");
        let second = tokens.get(1);
        let is_unsupported = KEYWORDS.contains(&first.text)
            || second.is_some_and(|token| token.text.starts_with(char::is_uppercase))
            || !tokens.iter().any(is_sign);
        if let Some((_, message, hint)) = UNSUPPORTED.iter().find(|row| row.0 == first.text)
            && is_unsupported
            && !second.is_some_and(is_sign)
        {
            return Err(first.flaw(*message).hint(*hint));
        }
        match first.text {
            "module" => self.module(),
            "source" => self.source(),
            "record" => self.record(),
            "type" => self.alias(),
            "(" => Err(first
                .flaw("operators can't be defined")
                .hint("write a function, and apply it by its name")),
            _ => self.function(),
        }?;
        self.margin = 1;
        let Some(token) = self.next() else {
            return Ok(());
        };
        let flaw = self.expected("the end of the declaration");
        Err(match token.text {
            "=" => {
                flaw.hint("a declaration begins in column 1, a definition where the others of its block do")
            }
            ";" => flaw.hint("leave it out: a declaration ends where the next line begins in column 1"),
            _ => flaw,
        })
    }

    /// The lines above the declaration, without `--'`.
    fn doc_lines(&self) -> impl Iterator<Item = Line<'a>> + use<'a> {
        self.tokens[self.docs.clone()].iter().map(|token| {
            let line = Line {
                text: token.text,
                place: token.place,
            };
            line.skip("--'".len()).trim()
        })
    }

    fn describe_function(&self) -> Result<Doc, Flaw> {
        let mut doc = Doc::default();
        for line in self.doc_lines() {
            directives::describe_function(&mut doc, line)?;
        }
        Ok(doc)
    }

    fn describe_type(&self) -> Result<ParamDoc, Flaw> {
        let mut doc = ParamDoc::default();
        for line in self.doc_lines() {
            directives::describe_param(&mut doc, line)?;
        }
        Ok(doc)
    }

    fn module(&mut self) -> Result<(), Flaw> {
        let keyword = self.tokens[self.at];
        if self.module.name.is_some() {
            return Err(keyword
                .flaw("this is the second module of the file")
                .hint("write a file for each module"));
        }
        self.at += 1;
        let begin = self.at;
        let first = self.name("the module's name")?;
        // Names of modules may be like `root-py` and `a.b`.
        let goes_on = |token: &Token<'_>| {
            !token.is_spaced
                && (matches!(token.kind, Kind::Name | Kind::Int | Kind::Selector) || token.text == "-")
        };
        while self.peek().is_some_and(goes_on) {
            self.at += 1;
        }
        let name = Name {
            text: self.text[self.tokens[begin].start..self.tokens[self.at - 1].end()].to_string(),
            place: first.place,
        };
        self.expect("(")?;
        let mut exports = Vec::new();
        while !self.take(")") {
            if self.peek_is("*") {
                return Err(self
                    .expected("the name of a function")
                    .hint("name what is exported: module main (mean, sum)"));
            }
            exports.push(self.name("the name of a function")?);
            if !self.peek_is(")") && !self.take(",") {
                return Err(self.expected("',' or ')'"));
            }
        }
        self.module.doc = self.doc_lines().map(|line| line.text.to_string()).collect();
        self.module.exports = exports;
        self.module.name = Some(name);
        Ok(())
    }

    fn source(&mut self) -> Result<(), Flaw> {
        self.at += 1;
        let lang = self.peek().filter(|token| token.kind == Kind::Name);
        let known = lang.and_then(|token| {
            LANGUAGES
                .iter()
                .find(|name| name.eq_ignore_ascii_case(token.text))
        });
        let (Some(token), Some(known)) = (lang, known) else {
            return Err(self.expected("a language: Py, R, Cpp or JS"));
        };
        self.at += 1;
        let lang = Name {
            text: known.to_string(),
            place: token.place,
        };
        if !self.take("from") {
            return Err(self
                .expected("'from' and a file")
                .hint("source Py from \"file.py\" (\"mean\", \"sum\" as total)"));
        }
        let file = self.plain_text("the name of a file in double quotes")?;
        if self.peek_is("where") {
            return Err(self
                .expected("'('")
                .hint("write the names in parentheses: (\"mean\", \"sum\" as total)"));
        }
        self.expect("(")?;
        let mut functions = Vec::new();
        loop {
            let theirs = self.plain_text("the name of a function in double quotes")?;
            let ours = match self.take("as") {
                true => self.name("the name that it has here")?,
                false => theirs.clone(),
            };
            let is_ours = ours
                .text
                .starts_with(|letter| begins_name(letter) && !letter.is_uppercase());
            if !is_ours || !ours.text.chars().all(is_name) || KEYWORDS.contains(&ours.text.as_str()) {
                let len = theirs.text.chars().count() + 2;
                let message = format!(
                    "'{}' can't be a name here, expected 'as' and a name behind it",
                    ours.text
                );
                return Err(Flaw::new(theirs.place, len, message).hint(format!(
                    "\"{}\" as {}",
                    theirs.text,
                    as_name(&theirs.text)
                )));
            }
            functions.push((theirs, ours));
            if self.take(")") {
                break;
            }
            if !self.take(",") {
                return Err(self.expected("',' or ')'"));
            }
        }
        self.module.sources.push(Source {
            lang,
            file,
            functions,
        });
        Ok(())
    }

    /// A text without places to fill.
    fn plain_text(&mut self, what: &str) -> Result<Name, Flaw> {
        match self.peek().map(|token| (token, token.kind)) {
            Some((
                token,
                Kind::Text {
                    opens: true,
                    is_cut: false,
                    ..
                },
            )) => {
                self.at += 1;
                let text = literal::pieces(&[*token])?.concat();
                Ok(Name {
                    text,
                    place: token.place,
                })
            }
            _ => Err(self.expected(what)),
        }
    }

    fn record(&mut self) -> Result<(), Flaw> {
        let tokens = &self.tokens[self.at..self.end];
        let found = tokens
            .iter()
            .find(|token| token.text == "=>" || matches!(token.kind, Kind::Text { .. }));
        if let Some(token) = found {
            return Err(token
                .flaw("what a record is in another language can't be said")
                .hint("record Person = Person { name :: Str } stands for all languages"));
        }
        if let Some(token) = tokens
            .get(2)
            .filter(|token| token.kind == Kind::Name && token.text != "where")
        {
            return Err(token
                .flaw("records have no type parameters")
                .hint("declare a record for each type"));
        }
        let mut record = notation::read_record(&self.rest(), &mut self.module.mentions)?;
        record.doc = self.describe_type()?;
        self.module.records.push(record);
        Ok(())
    }

    fn alias(&mut self) -> Result<(), Flaw> {
        self.at += 1;
        if let Some(token) = self.tokens[self.at..self.end]
            .iter()
            .find(|token| token.text == "=>")
        {
            return Err(token
                .flaw("what a type is in another language can't be said")
                .hint("type Vectors = [[Real]] stands for all languages"));
        }
        let is_new = |token: &&Token<'_>| {
            let is_type = token.text.starts_with(char::is_uppercase) && !KEYWORDS.contains(&token.text);
            is_type && Base::from_name(token.text).is_none() && token.text != "Worker"
        };
        let Some(token) = self.peek().filter(is_new) else {
            return Err(self.expected("a name with a capital letter that is no type yet"));
        };
        self.at += 1;
        if self.peek_name().is_some() {
            return Err(self
                .expected("'='")
                .hint("names for types have no parameters: declare one for each type"));
        }
        self.expect("=")?;
        Self::check_type(&self.tokens[self.at..self.end])?;
        let place = self.place();
        let ty = notation::read_type(&self.rest(), place, &mut self.module.mentions)?;
        let mut doc = self.describe_type()?;
        doc.settle(&ty);
        let name = Name {
            text: token.text.to_string(),
            place: token.place,
        };
        self.module.aliases.push(Alias { name, ty, doc });
        Ok(())
    }

    /// A signature or a definition.
    fn function(&mut self) -> Result<(), Flaw> {
        let name = self.name("a declaration")?;
        let is_name = |token: &&Token<'_>| token.kind == Kind::Name;
        let after = self.tokens[self.at..self.end].iter().take_while(is_name).count();
        let sign = self.tokens[..self.end].get(self.at + after);
        if sign.is_none_or(|token| token.text != "::") {
            let mut definition = self.definition(name)?;
            definition.doc = self.describe_function()?;
            self.module.definitions.push(definition);
            return Ok(());
        }
        // morloc lets one name the variables of the type first.
        self.at += after;
        Self::check_type(&self.tokens[self.at..self.end])?;
        let mut lines = vec![Line {
            text: &name.text,
            place: name.place,
        }];
        lines.extend(self.rest());
        let signature = notation::read_signature(&lines, &mut self.module.mentions)?;
        let mut doc = self.describe_function()?;
        doc.returns.extend(signature.doc.returns);
        self.module.signatures.push(Declaration {
            name,
            params: signature.params,
            returns: signature.returns,
            doc,
        });
        Ok(())
    }

    /// What follows the name of a definition.
    fn definition(&mut self, name: Name) -> Result<Definition, Flaw> {
        let mut params = Vec::new();
        while !self.peek_is("=") && !self.peek_is("?") {
            params.push(self.param("'=' or a parameter")?);
        }
        let mut body = match self.take("=") {
            true => self.expression()?,
            false => self.guards()?,
        };
        if self.take("where") {
            let definitions = self.block()?;
            let place = self.module.nodes.place(body);
            let node = Node::Let {
                definitions,
                body,
                is_where: true,
            };
            body = self.add(node, place)?;
        }
        Ok(Definition {
            name,
            params,
            body,
            doc: Doc::default(),
        })
    }

    /// A parameter of a function.
    pub(super) fn param(&mut self, what: &str) -> Result<Name, Flaw> {
        if let Some(token) = self.peek().filter(|token| token.text == "_") {
            self.at += 1;
            return Ok(Name {
                text: "_".to_string(),
                place: token.place,
            });
        }
        if self
            .peek()
            .is_some_and(|token| matches!(token.text, "(" | "[" | "{"))
        {
            return Err(self
                .expected(what)
                .hint("parameters are names; what is in them is taken out with .0 or .name"));
        }
        if self.peek_is("::") {
            return Err(self
                .expected(what)
                .hint("the types of names inside a definition are found; say one as (value :: Type)"));
        }
        self.name(what)
    }

    /// The definitions behind `let` or `where`, at least one.
    pub(super) fn block(&mut self) -> Result<Vec<Definition>, Flaw> {
        let Some(first) = self.peek() else {
            return Err(self.expected("a definition"));
        };
        let (outer, column) = (self.margin, first.place.column);
        let mut definitions = Vec::new();
        loop {
            self.margin = column - 1;
            let name = match self.take("_") {
                true => Name {
                    text: "_".to_string(),
                    place: self.tokens[self.at - 1].place,
                },
                false => self.name("a definition")?,
            };
            self.margin = column;
            definitions.push(self.definition(name)?);
            let has_sign = self.take(";");
            let is_aligned = |token: &Token<'_>| token.is_first && token.place.column == column;
            let is_name = |token: &Token<'_>| {
                token.kind == Kind::Name && !matches!(token.text, "in" | "where" | "then" | "else" | "let")
            };
            match self.next() {
                Some(token) if is_name(token) && (has_sign || is_aligned(token)) => {}
                _ => break,
            }
        }
        self.margin = outer;
        Ok(definitions)
    }
}

/// A name that is like a word of another language.
fn as_name(word: &str) -> String {
    let word = word.rsplit("::").next().unwrap_or(word);
    let mut name: String = word
        .chars()
        .map(|letter| if is_name(letter) { letter } else { '_' })
        .collect();
    if let Some(first) = name.get_mut(..1) {
        first.make_ascii_lowercase();
    }
    let begins_name = |first: char| begins_name(first) && !first.is_uppercase();
    match name.starts_with(begins_name) && !KEYWORDS.contains(&name.as_str()) {
        true => name,
        false => format!("f{name}"),
    }
}
