//! The functions of a JavaScript file, at its outermost level, and which of them it exports.

use super::jsdoc::{Meaning, Names, Types, capitalized};
use crate::map::Map;
use crate::source::collect::{Collector, Declared, DeclaredParam, Default, Pending, describe_fields};
use crate::source::comment::{self, Said, Typedef, record_name};
use crate::source::forms;
use crate::source::lexer::{Kind, Lang, Token, comment_lines, tokens};
use crate::source::literal;
use crate::source::notation::{Line, is_name, is_record_name};
use crate::source::signature::{Exports, Field, Flaw, Library, ParamDoc, Place, Record};
use crate::source::types::Type;

/// Reads a JavaScript file, a CommonJS or an ES module; loosely, its functions need no types.
pub fn read(text: &str, is_loose: bool) -> Result<Library, Vec<Flaw>> {
    let tokens = tokens(Lang::JavaScript, text, Place { line: 1, column: 1 });
    let mut reader = Reader {
        tokens: &tokens,
        names: Names::new(),
        pending: Pending::default(),
        functions: Vec::new(),
        exports: Exports::Nothing,
        exported: Map::new(),
        collector: Collector {
            is_loose,
            ..Collector::default()
        },
    };
    reader.typedefs();
    reader.run();
    reader.finish()
}

/// A function with the comment above it.
struct Function<'a> {
    /// What it is called in the file.
    name: Token<'a>,
    params: Vec<Head<'a>>,
    above: Vec<Line<'a>>,
    is_generator: bool,
}

struct Reader<'a, 't> {
    tokens: &'t [Token<'a>],
    names: Names<'a>,
    pending: Pending<'a>,
    functions: Vec<Function<'a>>,
    exports: Exports,
    /// Names in the file, and those by which others know them.
    exported: Map<&'a str, &'a str>,
    collector: Collector,
}

/// A parameter as it stands in a head: one that is taken apart has no name.
struct Head<'a> {
    name: Option<Token<'a>>,
    default: Option<Vec<Token<'a>>>,
    is_rest: bool,
}

fn untyped(_: Line<'_>, _: comment::Subject) -> Option<(usize, usize)> {
    None
}

impl<'a> Reader<'a, '_> {
    /// All records and other names for types that comments declare, before any is used.
    fn typedefs(&mut self) {
        let mut typedefs: Vec<Typedef<'a>> = Vec::new();
        for comment in self.tokens.iter().filter(|token| token.kind == Kind::Comment) {
            let lines = comment_lines(comment);
            for record in lines.iter().filter_map(|line| record_name(*line)) {
                self.names.insert(record, Meaning::Record);
            }
            if comment.text.contains("@typedef") {
                typedefs.extend(comment::read(&lines, &[], &untyped).typedefs);
            }
        }
        typedefs.retain(|typedef| is_record_name(typedef.name.text));
        for typedef in &typedefs {
            let meaning = match typedef.ty {
                Some(ty) if typedef.properties.is_empty() && !ty.text.starts_with('{') => Meaning::Alias(ty),
                _ => Meaning::Record,
            };
            self.names.insert(typedef.name.text, meaning);
        }
        for typedef in typedefs {
            if matches!(self.names.get(typedef.name.text), Some(Meaning::Record)) {
                self.typedef(typedef);
            }
        }
    }

    fn typedef(&mut self, mut typedef: Typedef<'a>) {
        let name = typedef.name.text;
        let mut types = Types {
            names: &self.names,
            variables: &[],
            mentions: &mut self.collector.library.mentions,
            records: Vec::new(),
        };
        let mut fields = Vec::new();
        let mut flaws = Vec::new();
        if let Some(ty) = typedef.ty.filter(|ty| ty.text.starts_with('{')) {
            flaws.extend(types.read(ty, name).err());
            let own = types.records.pop();
            fields.extend(own.into_iter().flat_map(|own| own.fields));
        }
        for property in &typedef.properties {
            let inner = format!("{name}{}", capitalized(property.name));
            let ty = match property.ty {
                Some(ty) => types.read(ty, &inner),
                None => {
                    Err(said_flaw(property, "the property has no type").hint("write {T} before its name"))
                }
            };
            match ty {
                Ok(ty) => {
                    fields.retain(|field: &Field| field.name != property.name);
                    fields.push(Field {
                        name: property.name.to_string(),
                        ty: match ty {
                            Type::Optional(_) => ty,
                            ty if property.is_optional => Type::Optional(Box::new(ty)),
                            ty => ty,
                        },
                        doc: ParamDoc::default(),
                    });
                }
                Err(flaw) => flaws.push(flaw),
            }
        }
        if fields.is_empty() && flaws.is_empty() {
            let message = format!("the record {name} has no fields");
            flaws.push(
                typedef
                    .name
                    .flaw(message)
                    .hint("write @property {T} name below it"),
            );
        }
        let inner = std::mem::take(&mut types.records);
        let mut said = Said {
            params: std::mem::take(&mut typedef.properties),
            ..Said::default()
        };
        describe_fields(&mut fields, &mut said);
        if !flaws.is_empty() {
            self.names.insert(name, Meaning::Flawed(flaws.remove(0)));
            return;
        }
        self.collector.record(Record {
            name: name.to_string(),
            place: typedef.name.place,
            fields,
            doc: ParamDoc::default(),
        });
        inner.into_iter().for_each(|record| self.collector.record(record));
    }

    fn run(&mut self) {
        let mut open = 0usize;
        for (at, token) in self.tokens.iter().enumerate() {
            match (token.kind, token.text) {
                (Kind::Comment, _) if token.is_first && open == 0 => {
                    if let Some(lines) = self.pending.add(token) {
                        self.collector.stray(&lines, &untyped);
                    }
                }
                (Kind::Comment, _) => {}
                (Kind::Sign, "(" | "[" | "{") => open += 1,
                (Kind::Sign, ")" | "]" | "}") => open = open.saturating_sub(1),
                (Kind::Word, _) if token.is_first && open == 0 => self.statement(at),
                _ => {}
            }
        }
        if let Some(lines) = self.pending.take() {
            self.collector.stray(&lines, &untyped);
        }
    }

    fn token(&self, at: usize) -> &str {
        self.tokens.get(at).map_or("", |token| token.text)
    }

    fn statement(&mut self, start: usize) {
        let (above, stray) = self.pending.above(self.tokens[start].place.line);
        if let Some(lines) = stray {
            self.collector.stray(&lines, &untyped);
        }
        let mut at = start;
        let is_export = self.token(at) == "export";
        if is_export {
            self.exports = Exports::Module;
            at += 1;
            if self.token(at) == "{" {
                self.export_list(at + 1);
            }
        }
        let is_assigned = match self.token(at) {
            "const" | "let" | "var" => {
                at += 1;
                true
            }
            "module" | "exports" => {
                self.common_js(at, above);
                return;
            }
            _ => false,
        };
        let name_at = match is_assigned {
            true => at,
            false => self.function_name(at),
        };
        let body = if is_assigned && self.token(at + 1) == "=" {
            at + 2
        } else {
            at
        };
        let name = self.tokens.get(name_at).copied().filter(Token::is_word);
        match (name, self.function(body, !is_assigned)) {
            (Some(name), Some((params, is_generator))) => {
                if is_export {
                    self.exported.insert(name.text, name.text);
                }
                self.functions.push(Function {
                    name,
                    params,
                    above,
                    is_generator,
                });
            }
            _ => self.collector.stray(&above, &untyped),
        }
    }

    /// Where the name stands of the function that is declared there.
    fn function_name(&self, mut at: usize) -> usize {
        while matches!(self.token(at), "async" | "function" | "*") {
            at += 1;
        }
        at
    }

    /// The parameters of the function that begins there, and whether it is a generator.
    fn function(&self, mut at: usize, is_declared: bool) -> Option<(Vec<Head<'a>>, bool)> {
        at += usize::from(self.token(at) == "async");
        if self.token(at) == "function" {
            at += 1;
            let is_generator = self.token(at) == "*";
            at += usize::from(is_generator);
            at += usize::from(self.tokens.get(at)?.is_word());
            let is_open = self.token(at) == "(";
            return is_open.then(|| (params(&self.tokens[at..]).0, is_generator));
        }
        if is_declared {
            return None;
        }
        let first = *self.tokens.get(at)?;
        if first.is("(") {
            let (params, len) = params(&self.tokens[at..]);
            return (self.token(at + len) == "=>").then_some((params, false));
        }
        let is_arrow = first.is_word() && self.token(at + 1) == "=>";
        let head = Head {
            name: Some(first),
            default: None,
            is_rest: false,
        };
        is_arrow.then(|| (vec![head], false))
    }

    /// `export { a, b as c }` behind its brace.
    fn export_list(&mut self, mut at: usize) {
        while let Some(name) = self.tokens.get(at).copied().filter(Token::is_word) {
            let alias = match self.token(at + 1) {
                "as" => self.tokens.get(at + 2).copied(),
                _ => None,
            };
            self.exported.insert(name.text, alias.unwrap_or(name).text);
            at += if alias.is_some() { 3 } else { 1 };
            if self.token(at) != "," {
                return;
            }
            at += 1;
        }
    }

    /// `module.exports = { a, b: c }`, `exports.a = a`, `exports.a = (x) => ...`
    fn common_js(&mut self, mut at: usize, above: Vec<Line<'a>>) {
        if self.token(at) == "module" && self.token(at + 1) == "." {
            at += 2;
        }
        if self.token(at) != "exports" {
            return self.collector.stray(&above, &untyped);
        }
        if self.exports == Exports::Nothing {
            self.exports = Exports::CommonJs;
        }
        match [self.token(at + 1), self.token(at + 2), self.token(at + 3)] {
            [".", _, "="] => {
                let name = self.tokens[at + 2];
                if let Some((params, is_generator)) = self.function(at + 4, false) {
                    self.exported.insert(name.text, name.text);
                    return self.functions.push(Function {
                        name,
                        params,
                        above,
                        is_generator,
                    });
                }
                if let Some(local) = self.tokens.get(at + 4).filter(|local| local.is_word()) {
                    self.exported.insert(local.text, name.text);
                }
            }
            ["=", "{", _] => self.object(at + 3),
            _ => {}
        }
        self.collector.stray(&above, &untyped);
    }

    /// The entries `a` and `b: c` of an object, behind its brace.
    fn object(&mut self, start: usize) {
        let mut open = 0usize;
        let mut entry = start;
        for (at, token) in self.tokens.iter().enumerate().skip(start) {
            let ends = open == 0 && matches!(token.text, "," | "}");
            if ends && token.kind == Kind::Sign {
                let code = self.tokens[entry..at]
                    .iter()
                    .filter(|token| token.kind != Kind::Comment);
                let words: Vec<&Token<'a>> = code.take(4).collect();
                if let Some((name, params)) = self.member(entry, at) {
                    self.exported.insert(name.text, name.text);
                    self.functions.push(Function {
                        name,
                        params,
                        above: Vec::new(),
                        is_generator: false,
                    });
                    entry = at;
                }
                match words[..] {
                    _ if entry == at => {}
                    [name] if name.is_word() => {
                        self.exported.insert(name.text, name.text);
                    }
                    [name, colon, local] if name.is_word() && colon.is(":") && local.is_word() => {
                        self.exported.insert(local.text, name.text);
                    }
                    _ => {}
                }
                entry = at + 1;
                if token.text == "}" {
                    return;
                }
            }
            match (token.kind, token.text) {
                (Kind::Sign, "(" | "[" | "{") => open += 1,
                (Kind::Sign, ")" | "]" | "}") => open = open.saturating_sub(1),
                _ => {}
            }
        }
    }

    /// The name and the parameters of an entry that is a function itself: `a(x) {}`, `a: function (x) {}`, `a: (x) => x`.
    fn member(&self, start: usize, end: usize) -> Option<(Token<'a>, Vec<Head<'a>>)> {
        let is_code = |at: &usize| self.tokens[*at].kind != Kind::Comment;
        let mut at = (start..end).find(is_code)?;
        at +=
            usize::from(self.token(at) == "async" && self.token(at + 1) != ":" && self.token(at + 1) != "(");
        let name = self.tokens.get(at).copied().filter(Token::is_word)?;
        match self.token(at + 1) {
            "(" => Some((name, params(&self.tokens[at + 1..]).0)),
            ":" => {
                let (params, is_generator) = self.function(at + 2, false)?;
                (!is_generator).then_some((name, params))
            }
            _ => None,
        }
    }

    /// Joins functions with what is exported.
    fn finish(mut self) -> Result<Library, Vec<Flaw>> {
        for function in std::mem::take(&mut self.functions) {
            self.join(function);
        }
        self.collector.library.exports = self.exports;
        self.collector.finish()
    }

    fn join(&mut self, function: Function<'a>) {
        let name = function.name;
        let names: Vec<&str> = function
            .params
            .iter()
            .filter_map(|head| Some(head.name?.text))
            .collect();
        let said = comment::read(&function.above, &names, &untyped);
        let exported = match self.exports {
            Exports::Nothing => Some(name.text),
            _ => self.exported.get(name.text).copied(),
        };
        let is_typed = said.signature.is_some() || said.returns.is_some();
        let Some(exported) = exported.filter(|exported| is_name(exported)) else {
            if is_typed {
                let message = format!("'{}' has a signature, but the file does not export it", name.text);
                self.collector.warn(flaw(&name, message));
            }
            return;
        };
        if function.is_generator && self.collector.is_loose {
            return;
        }
        if function.is_generator && is_typed {
            let message = format!(
                "'{}' is a generator, only plain and async functions can be exported",
                name.text
            );
            return self.collector.flaw(flaw(&name, message));
        }
        let is_hinted = said.signature.is_none();
        let own = capitalized(name.text);
        let mut types = Types {
            names: &self.names,
            variables: &said.variables,
            mentions: &mut self.collector.library.mentions,
            records: Vec::new(),
        };
        let heads = function.params.iter().filter(|head| !head.is_rest).enumerate();
        let params = heads.map(|(position, head)| {
            // What is taken apart is described by its place.
            let described = match head.name {
                Some(name) => said.params.iter().find(|said| said.name == name.text),
                None => said
                    .params
                    .get(position)
                    .filter(|said| !names.contains(&said.name)),
            };
            let word = head
                .name
                .map(|name| name.text)
                .or(described.map(|said| said.name));
            let inner = format!("{own}{}", capitalized(word.unwrap_or_default()));
            let is_optional = described.is_some_and(|said| said.is_optional) && head.default.is_none();
            let ty = described.and_then(|said| said.ty).filter(|_| is_hinted);
            let ty = ty.map(|ty| match types.read(ty, &inner) {
                Ok(ty) if is_optional && !matches!(ty, Type::Optional(_)) => Ok(Type::Optional(Box::new(ty))),
                read => read,
            });
            DeclaredParam {
                name: word.map(str::to_string),
                default: match &head.default {
                    None if is_optional && is_hinted => Default::Json("null".to_string()),
                    None => Default::Missing,
                    Some(tokens) => {
                        literal::json(Lang::JavaScript, tokens).map_or(Default::Unknown, Default::Json)
                    }
                },
                ty,
                is_keyword: false,
            }
        });
        let params = params.collect();
        let returns = said.returns.filter(|_| is_hinted);
        let returns = returns.map(|ty| types.read(ty, &format!("{own}Result")));
        let records = std::mem::take(&mut types.records);
        records
            .into_iter()
            .for_each(|record| self.collector.record(record));
        let declared = Declared {
            name: name.text.to_string(),
            place: name.place,
            params,
            is_variadic: function.params.iter().any(|head| head.is_rest),
            returns,
        };
        // What JSDoc says beside a signature comment is of interest where it differs.
        let beside = match is_hinted {
            true => Vec::new(),
            false => self.said_types(&said),
        };
        self.collector.function(said, declared);
        let added = self
            .collector
            .library
            .functions
            .last_mut()
            .filter(|last| last.place == name.place);
        let Some(added) = added else { return };
        added.name = exported.to_string();
        let mut warnings = Vec::new();
        for param in &added.params {
            let said = beside
                .iter()
                .find(|(name, ..)| param.name.as_deref() == Some(name));
            warnings.extend(said.and_then(|(_, place, ty)| forms::big_integer(param, ty, *place)));
        }
        warnings.into_iter().for_each(|flaw| self.collector.warn(flaw));
    }
}

impl<'a> Reader<'a, '_> {
    /// The types that JSDoc says of parameters, as far as they can be read.
    fn said_types(&self, said: &Said<'a>) -> Vec<(&'a str, Place, Type)> {
        let mut types = Types {
            names: &self.names,
            variables: &said.variables,
            mentions: &mut Vec::new(),
            records: Vec::new(),
        };
        let mut found = Vec::new();
        for param in &said.params {
            if let Some(Ok(ty)) = param.ty.map(|ty| types.read(ty, "")) {
                found.push((param.name, param.place, ty));
            }
        }
        found
    }
}

/// The parameters from the opening parenthesis on, and how many tokens they take.
fn params<'a>(tokens: &[Token<'a>]) -> (Vec<Head<'a>>, usize) {
    let mut params = Vec::new();
    let mut open = 0usize;
    let mut part: Vec<Token<'a>> = Vec::new();
    for (at, token) in tokens
        .iter()
        .enumerate()
        .filter(|(_, token)| token.kind != Kind::Comment)
    {
        let text = if token.kind == Kind::Sign { token.text } else { "" };
        match text {
            "(" | "[" | "{" => open += 1,
            ")" | "]" | "}" => open = open.saturating_sub(1),
            _ => {}
        }
        if open == 0 || (open == 1 && text == ",") {
            params.extend(head(&std::mem::take(&mut part)));
        } else if at > 0 {
            part.push(*token);
        }
        if open == 0 {
            return (params, at + 1);
        }
    }
    (params, tokens.len())
}

fn head<'a>(part: &[Token<'a>]) -> Option<Head<'a>> {
    let first = part.first()?;
    let mut open = 0usize;
    let equals = part.iter().position(|token| {
        match token.text {
            "[" | "{" | "(" => open += 1,
            "]" | "}" | ")" => open = open.saturating_sub(1),
            _ => {}
        }
        open == 0 && token.is("=")
    });
    Some(Head {
        name: first.is_word().then_some(*first),
        default: equals.map(|equals| part[equals + 1..].to_vec()),
        is_rest: first.is("..."),
    })
}

fn said_flaw(said: &comment::SaidParam<'_>, message: &str) -> Flaw {
    Flaw::new(said.place, said.name.chars().count(), message)
}

fn flaw(token: &Token<'_>, message: impl Into<String>) -> Flaw {
    Flaw::new(token.place, token.text.chars().count(), message)
}
