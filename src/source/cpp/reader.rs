//! The functions of a C++ file that have a signature comment, at the outermost level or in namespaces. Compiles
//! nothing, expands no macro, and does not look into classes and bodies.

use crate::limits::NAMESPACES_MAX;
use crate::source::collect::{Collector, Declared, DeclaredParam, Default, Pending};
use crate::source::comment::{self, has_signature};
use crate::source::forms;
use crate::source::lexer::{Kind, Lang, Token, tokens};
use crate::source::literal;
use crate::source::notation::Line;
use crate::source::signature::{Flaw, Library, Place};

/// Reads a C++ file.
pub fn read(text: &str) -> Result<Library, Vec<Flaw>> {
    let tokens = tokens(Lang::Cpp, text, Place { line: 1, column: 1 });
    let mut reader = Reader {
        tokens: &tokens,
        at: 0,
        scopes: Vec::new(),
        pending: Pending::default(),
        collector: Collector {
            has_overloads: true,
            ..Collector::default()
        },
    };
    reader.run();
    reader.collector.finish()
}

/// What an open brace belongs to.
enum Scope {
    /// With the names that it adds to those in it.
    Namespace(Vec<String>),
    Class,
    Other,
}

struct Reader<'a, 't> {
    tokens: &'t [Token<'a>],
    at: usize,
    scopes: Vec<Scope>,
    pending: Pending<'a>,
    collector: Collector,
}

impl<'a> Reader<'a, '_> {
    fn run(&mut self) {
        while let Some(token) = self.tokens.get(self.at) {
            match token.kind {
                Kind::Comment if token.is_first && !self.is_in_body() => {
                    if let Some(lines) = self.pending.add(token) {
                        self.stray(&lines);
                    }
                    self.at += 1;
                }
                Kind::Comment => self.at += 1,
                Kind::Directive => {
                    self.flush();
                    self.directive();
                }
                Kind::Sign if token.text == "}" => {
                    self.flush();
                    self.scopes.pop();
                    self.at += 1;
                }
                Kind::Sign if token.text == "{" && self.is_in_body() => {
                    self.scopes.push(Scope::Other);
                    self.at += 1;
                }
                _ if self.is_in_body() => self.at += 1,
                _ => self.declaration(),
            }
        }
        self.flush();
    }

    fn is_in_body(&self) -> bool {
        matches!(self.scopes.last(), Some(Scope::Other))
    }

    fn flush(&mut self) {
        if let Some(lines) = self.pending.take() {
            self.stray(&lines);
        }
    }

    fn stray(&mut self, lines: &[Line<'a>]) {
        self.collector.stray(lines, &|_, _| None);
    }

    /// A line of the preprocessor: of alternatives only the first is read, so that braces stay in balance.
    fn directive(&mut self) {
        let word = |token: &Token<'_>| {
            let mut words = token.text[1..].split_whitespace();
            let first = words.next().unwrap_or_default().to_string();
            (first, words.next() == Some("0"))
        };
        let (first, is_zero) = word(&self.tokens[self.at]);
        self.at += 1;
        if !(matches!(first.as_str(), "else" | "elif") || first == "if" && is_zero) {
            return;
        }
        let mut open = 1usize;
        while let Some(token) = self.tokens.get(self.at).filter(|_| open > 0) {
            if token.kind == Kind::Directive {
                match word(token).0.as_str() {
                    "if" | "ifdef" | "ifndef" => open += 1,
                    "endif" => open -= 1,
                    "else" if open == 1 && first == "if" => open = 0,
                    _ => {}
                }
            }
            self.at += 1;
        }
    }

    /// What ends with a semicolon or an open brace.
    fn declaration(&mut self) {
        let start = self.at;
        let line = self.tokens[start].place.line;
        let (above, stray) = self.pending.above(line);
        if let Some(lines) = stray {
            self.stray(&lines);
        }
        let mut end = start;
        let mut open = 0usize;
        while let Some(token) = self.tokens.get(end) {
            match (token.kind, token.text) {
                (Kind::Sign, "(" | "[") => open += 1,
                (Kind::Sign, ")" | "]") => open = open.saturating_sub(1),
                // A brace in parentheses is a default, one behind an equals sign a value.
                (Kind::Sign, "{" | "}" | ";") if open == 0 => break,
                (Kind::Directive, _) => break,
                // A macro that ends without a semicolon.
                (Kind::Comment, _) if token.is_first && open == 0 && self.tokens[end - 1].is(")") => break,
                _ => {}
            }
            end += 1;
        }
        let head: Vec<Token<'a>> = self.tokens[start..end]
            .iter()
            .filter(|token| token.kind != Kind::Comment)
            .copied()
            .collect();
        self.at = end;
        let is_block = self.tokens.get(end).is_some_and(|token| token.is("{"));
        if self.tokens.get(end).is_some_and(|token| token.is(";")) {
            self.at += 1;
        }
        if has_signature(&above) {
            self.function(&head, &above);
        } else if !above.is_empty() {
            self.stray(&above);
        }
        if is_block {
            self.at += 1;
            self.scopes.push(scope(&head));
        }
        // What can't begin anything would be looked at for ever.
        self.at = self
            .at
            .max(start + usize::from(!self.tokens[start].is("}") && self.at == start));
    }

    fn function(&mut self, head: &[Token<'a>], above: &[Line<'a>]) {
        let Some((name, open)) = function_name(head) else {
            return self.stray(above);
        };
        if self.scopes.len() > NAMESPACES_MAX {
            let message = format!("'{}' stands in more than {NAMESPACES_MAX} namespaces", name.text);
            return self.collector.flaw(flaw(&name, message));
        }
        if self.scopes.iter().any(|scope| matches!(scope, Scope::Class)) {
            let message = format!(
                "'{}' stands in a class, only functions outside of classes are exported",
                name.text
            );
            return self.collector.flaw(flaw(&name, message));
        }
        let inner = &head[open + 1..closed(head, open)];
        let heads = params(inner);
        let names: Vec<&str> = heads.iter().filter_map(|head| Some(head.name?.text)).collect();
        let said = comment::read(above, &names, &|_, _| None);
        let namespaces = self.scopes.iter().flat_map(|scope| match scope {
            Scope::Namespace(names) => names.as_slice(),
            _ => &[],
        });
        let mut whole: Vec<&str> = namespaces.map(String::as_str).collect();
        whole.push(name.text);
        let declared = Declared {
            name: whole.join("::"),
            place: name.place,
            params: heads.iter().map(Head::declared).collect(),
            is_variadic: false,
            returns: None,
        };
        let place = declared.place;
        self.collector.function(said, declared);
        let exported = self
            .collector
            .library
            .functions
            .last()
            .filter(|last| last.place == place);
        let params = exported
            .into_iter()
            .flat_map(|exported| exported.params.iter().zip(&heads));
        let warnings: Vec<Flaw> = params
            .filter_map(|(param, head)| forms::cpp(param, head.ty))
            .collect();
        warnings.into_iter().for_each(|flaw| self.collector.warn(flaw));
    }
}

/// What is in the brace behind that head.
fn scope(head: &[Token<'_>]) -> Scope {
    let is_there = |word: &str| head.iter().any(|token| token.is(word));
    let has_parameters = is_there("(");
    if is_there("namespace") && !has_parameters {
        let names = head.iter().skip_while(|token| !token.is("namespace")).skip(1);
        return Scope::Namespace(
            names
                .filter(|token| token.is_word())
                .map(|name| name.text.to_string())
                .collect(),
        );
    }
    match head {
        [r#extern, language] if r#extern.is("extern") && language.kind == Kind::Text => {
            Scope::Namespace(Vec::new())
        }
        _ if !has_parameters && ["class", "struct", "union"].into_iter().any(is_there) => Scope::Class,
        _ => Scope::Other,
    }
}

/// The word before the parameters, and where those begin.
fn function_name<'a>(head: &[Token<'a>]) -> Option<(Token<'a>, usize)> {
    let mut angles = 0usize;
    for (at, pair) in head.windows(2).enumerate() {
        match pair[0].text {
            "<" => angles += 1,
            ">" => angles = angles.saturating_sub(1),
            "=" if angles == 0 => return None,
            _ => {}
        }
        let is_name = pair[0].is_word()
            && !matches!(
                pair[0].text,
                "decltype" | "noexcept" | "alignas" | "__attribute__"
            );
        if angles == 0 && is_name && pair[1].is("(") {
            return Some((pair[0], at + 1));
        }
    }
    None
}

/// The position of the parenthesis that closes the one at `open`.
fn closed(head: &[Token<'_>], open: usize) -> usize {
    let mut depth = 0usize;
    for (offset, token) in head[open..].iter().enumerate() {
        match token.text {
            "(" if token.kind == Kind::Sign => depth += 1,
            ")" if token.kind == Kind::Sign => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return open + offset;
        }
    }
    head.len()
}

/// A parameter as it is declared.
struct Head<'a, 't> {
    name: Option<Token<'a>>,
    ty: &'t [Token<'a>],
    default: Option<&'t [Token<'a>]>,
}

impl Head<'_, '_> {
    fn declared(&self) -> DeclaredParam {
        DeclaredParam {
            name: self.name.map(|name| name.text.to_string()),
            ty: None,
            default: match self.default {
                None => Default::Missing,
                Some(tokens) => literal::json(Lang::Cpp, tokens).map_or(Default::Unknown, Default::Json),
            },
            is_keyword: false,
        }
    }
}

/// The parameters between the parentheses.
fn params<'a, 't>(inner: &'t [Token<'a>]) -> Vec<Head<'a, 't>> {
    let mut params = Vec::new();
    let mut start = 0;
    let (mut brackets, mut angles) = (0usize, 0usize);
    for at in 0..=inner.len() {
        let text = inner
            .get(at)
            .filter(|token| token.kind == Kind::Sign)
            .map_or("", |token| token.text);
        match text {
            "(" | "[" | "{" => brackets += 1,
            ")" | "]" | "}" => brackets = brackets.saturating_sub(1),
            "<" => angles += 1,
            ">" => angles = angles.saturating_sub(1),
            _ => {}
        }
        if at == inner.len() || (text == "," && brackets == 0 && angles == 0) {
            params.extend(param(&inner[start..at]));
            start = at + 1;
        }
    }
    params
}

/// Words that a type may end in, so that no name follows.
const TYPE_WORDS: [&str; 15] = [
    "auto", "bool", "char", "const", "double", "float", "int", "int32_t", "int64_t", "long", "short",
    "signed", "size_t", "string", "unsigned",
];

fn param<'a, 't>(tokens: &'t [Token<'a>]) -> Option<Head<'a, 't>> {
    let is_void = matches!(tokens, []) || matches!(tokens, [only] if only.is("void"));
    if is_void {
        return None;
    }
    let equals = tokens.iter().position(|token| token.is("="));
    let declared = &tokens[..equals.unwrap_or(tokens.len())];
    let default = equals.map(|equals| &tokens[equals + 1..]);
    // `double (&xs)[3]` and the like have their name inside: it is not needed.
    let name = declared.last().filter(|last| {
        let before = declared.len().checked_sub(2).map(|at| &declared[at]);
        let follows_type =
            before.is_some_and(|before| before.is_word() || matches!(before.text, "&" | "*" | ">" | "&&"));
        last.is_word() && follows_type && !TYPE_WORDS.contains(&last.text)
    });
    let ty = &declared[..declared.len() - usize::from(name.is_some())];
    Some(Head {
        name: name.copied(),
        ty,
        default,
    })
}

fn flaw(token: &Token<'_>, message: impl Into<String>) -> Flaw {
    Flaw::new(token.place, token.text.chars().count(), message)
}
