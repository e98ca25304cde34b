//! The functions and records of a Python file: what stands at its left edge. Skips bodies.

use super::hints::{self, Meaning, Names};
use crate::limits::PARAMS_MAX;
use crate::source::collect::{Collector, Declared, DeclaredParam, Default, Pending, describe_fields};
use crate::source::comment::{self, Said, Subject, has_signature};
use crate::source::lexer::{Kind, Lang, Token, tokens};
use crate::source::literal;
use crate::source::notation::{Line, is_record_name, lines};
use crate::source::signature::{Field, Flaw, Library, ParamDoc, Place, Record};
use crate::source::types::Type;

/// Reads a Python file; loosely, its functions need no types.
pub fn read(text: &str, is_loose: bool) -> Result<Library, Vec<Flaw>> {
    let tokens = tokens(Lang::Python, text, Place { line: 1, column: 1 });
    let mut reader = Reader {
        names: names(&tokens),
        listed: listed(&tokens),
        tokens: &tokens,
        at: 0,
        pending: Pending::default(),
        collector: Collector {
            is_loose,
            ..Collector::default()
        },
    };
    reader.run();
    reader.collector.finish()
}

struct Reader<'a, 't> {
    tokens: &'t [Token<'a>],
    at: usize,
    names: Names<'a>,
    /// What `__all__` lists, if it is there.
    listed: Option<Vec<String>>,
    pending: Pending<'a>,
    collector: Collector,
}

/// Whether a statement of the file's outermost level begins here.
fn is_statement(token: &Token<'_>) -> bool {
    let is_code = token.kind != Kind::Comment && !matches!(token.text, ")" | "]" | "}");
    token.is_first && token.place.column == 1 && is_code
}

/// Whether a function or class begins here, so that what is open before it never closes.
fn is_head(token: &Token<'_>) -> bool {
    is_statement(token) && matches!(token.text, "def" | "class" | "async" | "@")
}

/// The tokens up to the next statement of the outermost level, without comments.
fn statement<'a>(tokens: &[Token<'a>]) -> Vec<Token<'a>> {
    let rest = tokens.iter().skip(1).take_while(|token| !is_statement(token));
    let rest = tokens.iter().take(1).chain(rest);
    rest.filter(|token| token.kind != Kind::Comment)
        .copied()
        .collect()
}

/// The position behind the bracket that closes the one at `open`.
fn closed(tokens: &[Token<'_>], open: usize) -> usize {
    let mut depth = 0usize;
    for (offset, token) in tokens[open..].iter().enumerate() {
        if token.kind == Kind::Sign {
            match token.text {
                "(" | "[" | "{" => depth += 1,
                ")" | "]" | "}" => depth = depth.saturating_sub(1),
                _ => {}
            }
        }
        if depth == 0 {
            return open + offset + 1;
        }
        if offset > 0 && is_head(token) {
            return open + offset;
        }
    }
    tokens.len()
}

/// Cuts at commas that stand in no brackets.
fn parts<'t, 'a>(tokens: &'t [Token<'a>]) -> Vec<&'t [Token<'a>]> {
    let mut parts = Vec::new();
    let (mut start, mut at) = (0, 0);
    while at < tokens.len() {
        match tokens[at].is(",") {
            true => {
                parts.push(&tokens[start..at]);
                start = at + 1;
                at = start;
            }
            false => at = closed(tokens, at),
        }
    }
    if start < tokens.len() {
        parts.push(&tokens[start..]);
    }
    parts
}

/// The first sign of that text that stands in no brackets.
fn find(tokens: &[Token<'_>], text: &str) -> Option<usize> {
    let mut at = 0;
    while at < tokens.len() {
        if tokens[at].is(text) {
            return Some(at);
        }
        at = closed(tokens, at);
    }
    None
}

/// What the names of the file stand for.
fn names<'a>(tokens: &[Token<'a>]) -> Names<'a> {
    let mut names = Names::new();
    let mut is_dataclass = false;
    for (at, token) in tokens.iter().enumerate().filter(|(_, token)| is_statement(token)) {
        let statement = || statement(&tokens[at..]);
        match token.text {
            "@" => {
                // A decorator: `@dataclass`, `@dataclasses.dataclass(frozen=True)`.
                let words = tokens[at + 1..].iter().take(3);
                is_dataclass |= words.into_iter().any(|word| word.is("dataclass"));
                continue;
            }
            "class" => {
                let Some(name) = tokens.get(at + 1) else { continue };
                let bases = bases(tokens, at);
                let is_record = is_dataclass
                    || bases.iter().any(|base| {
                        matches!(base.text, "NamedTuple" | "TypedDict")
                            || matches!(names.get(base.text), Some(Meaning::Record))
                    });
                let meaning = if is_record && is_record_name(name.text) {
                    Meaning::Record
                } else {
                    Meaning::Class
                };
                names.insert(name.text, meaning);
            }
            "from" => {
                let statement = statement();
                let Some(import) = find(&statement, "import") else {
                    continue;
                };
                let inner = statement[import + 1..].iter().filter(|token| token.is_word());
                for name in inner {
                    names.or_insert_with(name.text, || Meaning::Imported);
                }
            }
            // `type Vector = list[float]`, `Vector: TypeAlias = list[float]`, `Vector = list[float]`
            _ if token.is_word() => {
                let statement = statement();
                let first = usize::from(token.is("type") && statement.get(1).is_some_and(Token::is_word));
                let Some(equals) = find(&statement, "=").filter(|equals| *equals > first) else {
                    is_dataclass = false;
                    continue;
                };
                let value = &statement[equals + 1..];
                let is_variable = value.iter().take(3).any(|word| word.is("TypeVar"));
                let is_alone = equals == first + 1 || statement[first + 1].is(":");
                if is_alone {
                    names.or_insert_with(statement[first].text, || match is_variable {
                        true => Meaning::Variable,
                        false => Meaning::Alias(value.to_vec()),
                    });
                }
            }
            _ => {}
        }
        is_dataclass = false;
    }
    names
}

/// What stands between the parentheses of the class that begins there.
fn bases<'t, 'a>(tokens: &'t [Token<'a>], class: usize) -> &'t [Token<'a>] {
    let open = class + 2;
    match tokens.get(open) {
        Some(token) if token.is("(") => &tokens[open + 1..closed(tokens, open)],
        _ => &[],
    }
}

/// The strings of `__all__ = [...]` and what is added to it.
fn listed(tokens: &[Token<'_>]) -> Option<Vec<String>> {
    let mut listed: Option<Vec<String>> = None;
    for (at, _) in tokens
        .iter()
        .enumerate()
        .filter(|(_, token)| is_statement(token) && token.is("__all__"))
    {
        let statement = statement(&tokens[at..]);
        let texts = statement.iter().filter(|token| token.kind == Kind::Text);
        let names = texts.filter_map(|text| literal::string(Lang::Python, text.text));
        listed.get_or_insert_default().extend(names);
    }
    listed
}

/// The lines of a docstring.
fn docstring<'a>(token: &Token<'a>) -> Vec<Line<'a>> {
    let quotes = token.text.find(['"', '\'']).unwrap_or(0);
    let body = &token.text[quotes..];
    let quote = match ["\"\"\"", "'''"]
        .into_iter()
        .find(|quote| body.starts_with(quote))
    {
        Some(quote) => quote,
        None => &body[..usize::from(!body.is_empty())],
    };
    let whole = Line {
        text: token.text,
        place: token.place,
    };
    let inner = whole.skip(quotes + quote.len());
    let text = inner.text.strip_suffix(quote).unwrap_or(inner.text);
    lines(text, inner.place).into_iter().map(Line::trim).collect()
}

/// Google's `float: The mean` in a section about the result.
fn typed_result(line: Line<'_>, subject: Subject, names: &Names<'_>) -> Option<(usize, usize)> {
    let (ty, _) = line.text.split_once(':')?;
    let is_type = subject == Subject::Returns
        && hints::read_line(Line { text: ty, ..line }, names, &mut Vec::new()).is_ok();
    is_type.then_some((ty.len(), ty.len() + 1))
}

impl<'a> Reader<'a, '_> {
    fn run(&mut self) {
        while let Some(token) = self.tokens.get(self.at) {
            if token.kind == Kind::Comment && token.is_first && token.place.column == 1 {
                if let Some(lines) = self.pending.add(token) {
                    self.stray(&lines);
                }
                self.at += 1;
            } else if is_statement(token) {
                self.statement();
            } else {
                self.at += 1;
            }
        }
        self.flush();
    }

    fn flush(&mut self) {
        if let Some(lines) = self.pending.take() {
            self.stray(&lines);
        }
    }

    fn stray(&mut self, lines: &[Line<'a>]) {
        self.collector.stray(lines, &|_, _| None);
    }

    fn statement(&mut self) {
        let start = self.at;
        let line = self.tokens[start].place.line;
        let mut is_overload = false;
        // Decorators: each is a line, or more in parentheses.
        while self.tokens.get(self.at).is_some_and(|token| token.is("@")) {
            self.at += 1;
            while let Some(token) = self
                .tokens
                .get(self.at)
                .filter(|token| !token.is_first || token.kind == Kind::Comment)
            {
                is_overload |= token.is("overload");
                self.at = match token.is("(") {
                    true => closed(self.tokens, self.at),
                    false => self.at + 1,
                };
            }
        }
        let is_async = self.tokens.get(self.at).is_some_and(|token| token.is("async"));
        self.at += usize::from(is_async);
        let keyword = self.tokens.get(self.at).map_or("", |token| token.text);
        if !matches!(keyword, "def" | "class") {
            self.flush();
            self.at = self.at.max(start + 1);
            return;
        }
        let (above, stray) = self.pending.above(line);
        if let Some(lines) = stray {
            self.stray(&lines);
        }
        match keyword {
            "class" => self.class(&above),
            _ => self.function(is_async, is_overload, &above),
        }
    }

    /// The word that comes next.
    fn word(&mut self) -> Option<Token<'a>> {
        let word = self.tokens.get(self.at).copied().filter(Token::is_word)?;
        self.at += 1;
        Some(word)
    }

    /// What is in the brackets that begin here, without comments.
    fn bracketed(&mut self, open: &str) -> Option<Vec<Token<'a>>> {
        self.tokens.get(self.at).filter(|token| token.is(open))?;
        let end = closed(self.tokens, self.at);
        let inner = &self.tokens[self.at + 1..end.max(self.at + 2) - 1];
        self.at = end;
        Some(
            inner
                .iter()
                .filter(|token| token.kind != Kind::Comment)
                .copied()
                .collect(),
        )
    }

    /// Goes behind the colon of a head; gives what stands before it.
    fn until_colon(&mut self) -> &'_ [Token<'a>] {
        let start = self.at;
        while let Some(token) = self.tokens.get(self.at).filter(|token| !is_head(token)) {
            if token.is(":") {
                self.at += 1;
                return &self.tokens[start..self.at - 1];
            }
            self.at = closed(self.tokens, self.at);
        }
        &self.tokens[start..self.at]
    }

    /// The docstring that begins a body.
    fn docstring(&mut self) -> Vec<Line<'a>> {
        let mut rest = self.tokens[self.at..]
            .iter()
            .filter(|token| token.kind != Kind::Comment);
        match rest.next() {
            Some(token) if token.kind == Kind::Text => docstring(token),
            _ => Vec::new(),
        }
    }

    fn function(&mut self, is_async: bool, is_overload: bool, above: &[Line<'a>]) {
        self.at += 1;
        let Some(name) = self.word() else { return };
        let variables = self.bracketed("[").unwrap_or_default();
        let Some(inner) = self.bracketed("(") else { return };
        let head = self.until_colon();
        let hint: Option<Vec<Token<'a>>> = head
            .first()
            .is_some_and(|arrow| arrow.is("->"))
            .then(|| head[1..].to_vec());
        let is_listed = match &self.listed {
            Some(listed) => listed.iter().any(|listed| listed == name.text),
            None => !name.text.starts_with('_'),
        };
        if is_overload || !is_listed {
            return;
        }
        // Variables of this function alone: `def first[T](xs: list[T]) -> T`.
        for variable in parts(&variables).into_iter().filter_map(|part| part.first()) {
            self.names.or_insert_with(variable.text, || Meaning::Variable);
        }
        let (params, is_variadic) = params(&inner);
        let param_names: Vec<&str> = params.iter().map(|param| param.name.text).collect();
        let docstring = self.docstring();
        let typed = |line: Line<'_>, subject| typed_result(line, subject, &self.names);
        let mut said = comment::read(&docstring, &param_names, &typed);
        said.precede(comment::read(above, &param_names, &typed));
        let needs_hints = said.signature.is_none();
        let declared = Declared {
            name: name.text.to_string(),
            place: name.place,
            params: params
                .iter()
                .map(|param| self.param(param, &said, needs_hints))
                .collect(),
            is_variadic,
            returns: match (needs_hints, hint, said.returns) {
                (false, ..) => None,
                (_, Some(hint), _) => Some(self.hint(&hint)),
                (_, None, Some(line)) => self.said_type(line),
                _ => None,
            },
        };
        let is_typed = !needs_hints
            || declared.returns.is_some() && declared.params.iter().all(|param| param.ty.is_some());
        if self.collector.is_loose {
            self.collector.function(said, declared);
        } else if is_async && is_typed {
            let message = format!("'{}' is async, only plain functions can be exported", name.text);
            let hint = format!(
                "begin its name with an underscore, or wrap it: asyncio.run({}(...))",
                name.text
            );
            self.collector.flaw(flaw(&name, message).hint(hint));
        } else if !is_async {
            self.collector.function(said, declared);
        }
    }

    fn hint(&mut self, hint: &[Token<'a>]) -> Result<Type, Flaw> {
        let hint: Vec<Token<'a>> = hint
            .iter()
            .filter(|token| token.kind != Kind::Comment)
            .copied()
            .collect();
        hints::read(&hint, &self.names, &mut self.collector.library.mentions)
    }

    /// A type in a docstring: prose, if it can't be read.
    fn said_type(&mut self, line: Line<'a>) -> Option<Result<Type, Flaw>> {
        hints::read_line(line, &self.names, &mut self.collector.library.mentions)
            .ok()
            .map(Ok)
    }

    fn param(&mut self, param: &Head<'a, '_>, said: &Said<'a>, needs_hint: bool) -> DeclaredParam {
        let said = said.params.iter().find(|said| said.name == param.name.text);
        let ty = match (needs_hint, param.hint, said.and_then(|said| said.ty)) {
            (false, ..) => None,
            (_, Some(hint), _) => Some(self.hint(hint)),
            (_, None, Some(line)) => self.said_type(line),
            _ => None,
        };
        DeclaredParam {
            name: Some(param.name.text.to_string()),
            ty,
            default: match param.default {
                None => Default::Missing,
                Some(tokens) => literal::json(Lang::Python, tokens).map_or(Default::Unknown, Default::Json),
            },
            is_keyword: param.is_keyword,
        }
    }

    fn class(&mut self, above: &[Line<'a>]) {
        let bases = bases(self.tokens, self.at);
        let bases: Vec<Token<'a>> = bases.iter().take(PARAMS_MAX).copied().collect();
        self.at += 1;
        let Some(name) = self.word() else { return };
        self.bracketed("[");
        self.bracketed("(");
        self.until_colon();
        if has_signature(above) {
            self.stray(above);
        }
        if !matches!(self.names.get(name.text), Some(Meaning::Record)) {
            return;
        }
        let is_dict = bases.iter().any(|base| base.is("TypedDict"));
        let is_partial = is_dict
            && bases
                .windows(3)
                .any(|words| words[0].is("total") && words[2].is("False"));
        let bases = bases.iter().filter_map(|base| self.record(base.text));
        let mut record = Record {
            name: name.text.to_string(),
            place: name.place,
            fields: Vec::new(),
            doc: ParamDoc::default(),
        };
        for base in bases {
            record.fields.extend(base.fields.iter().cloned());
            record.fields.truncate(PARAMS_MAX);
        }
        let docstring = self.docstring();
        let mut flaws = Vec::new();
        for (field, hint) in self.fields() {
            let ty = match self.hint(&hint) {
                Ok(Type::Optional(inner)) => Type::Optional(inner),
                Ok(ty) if is_partial && !hint[0].is("Required") => Type::Optional(Box::new(ty)),
                Ok(ty) => ty,
                Err(flaw) => {
                    flaws.push(flaw);
                    continue;
                }
            };
            record.fields.retain(|known| known.name != field.text);
            record.fields.push(Field {
                name: field.text.to_string(),
                ty,
                doc: ParamDoc::default(),
            });
        }
        // A class that other languages can't have is of no concern unless a function names it.
        if record.fields.is_empty() || !flaws.is_empty() {
            let meaning = flaws.into_iter().next().map_or(Meaning::Class, Meaning::Flawed);
            self.names.insert(name.text, meaning);
            return;
        }
        let names: Vec<&str> = Vec::new();
        let mut said = comment::read(&docstring, &names, &|_, _| None);
        describe_fields(&mut record.fields, &mut said);
        record.doc.desc = said.doc.desc;
        self.collector.record(record);
    }

    fn record(&self, name: &str) -> Option<&Record> {
        self.collector
            .library
            .records
            .iter()
            .find(|record| record.name == name)
    }

    /// `name: hint` and `name: hint = default` in the body of a class, with what stands in front of an equals sign.
    fn fields(&mut self) -> Vec<(Token<'a>, Vec<Token<'a>>)> {
        let mut fields = Vec::new();
        let mut rest = self.tokens[self.at..]
            .iter()
            .take_while(|token| !is_statement(token));
        let body = rest
            .clone()
            .find(|token| token.kind != Kind::Comment)
            .map_or(0, |token| token.place.column);
        let mut at = self.at;
        while let Some(token) = rest.next().filter(|_| fields.len() <= PARAMS_MAX) {
            let is_field = (at == self.at || token.is_first && token.place.column == body) && token.is_word();
            if is_field && self.tokens.get(at + 1).is_some_and(|colon| colon.is(":")) {
                let begin = at + 2;
                let mut end = begin;
                while self
                    .tokens
                    .get(end)
                    .is_some_and(|token| !(token.is("=") || token.is_first && end > begin))
                {
                    end = closed(self.tokens, end);
                }
                let hint = self.tokens[begin..end.max(begin)].to_vec();
                if !hint.iter().any(|token| token.is("ClassVar")) {
                    fields.push((*token, hint));
                }
            }
            at += 1;
        }
        fields
    }
}

/// A parameter as it stands in a head.
struct Head<'a, 't> {
    name: Token<'a>,
    hint: Option<&'t [Token<'a>]>,
    default: Option<&'t [Token<'a>]>,
    is_keyword: bool,
}

/// The parameters, and whether there may be any others.
fn params<'a, 't>(inner: &'t [Token<'a>]) -> (Vec<Head<'a, 't>>, bool) {
    let mut params = Vec::new();
    let (mut is_variadic, mut is_keyword) = (false, false);
    for part in parts(inner) {
        match part {
            [star, rest @ ..] if star.is("*") || star.is("**") => {
                is_keyword = true;
                is_variadic |= !rest.is_empty();
            }
            [name, rest @ ..] if name.is_word() => {
                let equals = find(rest, "=");
                let hint = &rest[..equals.unwrap_or(rest.len())];
                params.push(Head {
                    name: *name,
                    hint: hint
                        .first()
                        .is_some_and(|colon| colon.is(":"))
                        .then(|| &hint[1..]),
                    default: equals.map(|equals| &rest[equals + 1..]),
                    is_keyword,
                });
            }
            // A slash: those before it have no names.
            _ => {}
        }
    }
    (params, is_variadic)
}

fn flaw(token: &Token<'_>, message: impl Into<String>) -> Flaw {
    Flaw::new(token.place, token.text.chars().count(), message)
}
