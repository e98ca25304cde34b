//! Reads a composition: declarations from the text of a `.loc` file. Resolves no name and checks no type.
//!
//! A declaration begins in column 1 and goes on over indented lines; one that can't be read is told, and reading goes on
//! with the next. A block of definitions behind `let` or `where` is laid out likewise: the column of its first definition
//! is that of all.

mod declaration;
mod expression;
mod literal;

use super::ast::{Module, Name, Node, NodeId};
use super::lexer::{Comment, Kind, Token, lex};
use crate::limits::{COMPOSITION_BYTES_MAX, COMPOSITION_DEPTH_MAX, FLAWS_MAX};
use crate::source::notation::{self, Line};
use crate::source::signature::{Flaw, Place};

/// Reads a composition. All flaws at once, in their order, one of each declaration.
pub fn parse(text: &str) -> Result<Module, Vec<Flaw>> {
    let start = Place { line: 1, column: 1 };
    if text.len() > COMPOSITION_BYTES_MAX {
        let message = format!(
            "the composition has {} bytes, at most {COMPOSITION_BYTES_MAX} are read",
            text.len()
        );
        return Err(vec![Flaw::new(start, 1, message)]);
    }
    let lexed = lex(text);
    let mut parser = Parser {
        text,
        tokens: &lexed.tokens,
        comments: &lexed.comments,
        docs: 0..0,
        at: 0,
        end: 0,
        margin: 1,
        nesting: 0,
        opened: usize::MAX,
        depths: Vec::new(),
        module: Module::default(),
    };
    let mut flaws = lexed.flaws;
    while parser.at < lexed.tokens.len() && flaws.len() < FLAWS_MAX {
        let (begin, count) = (parser.at, flaws.len());
        let rest = &lexed.tokens[begin + 1..];
        let next = rest
            .iter()
            .position(|token| token.place.column == 1 && !token.closes());
        parser.end = match lexed.tokens[begin].kind {
            Kind::Doc => begin + 1,
            _ => next.map_or(lexed.tokens.len(), |next| begin + 1 + next),
        };
        let end = lexed.tokens.get(parser.end).map(|token| token.place);
        // What is no token has been told, and what depends on it need not be.
        let is_told =
            |flaw: &Flaw| flaw.place >= lexed.tokens[begin].place && end.is_none_or(|end| flaw.place < end);
        if !flaws[..count].iter().any(is_told)
            && let Err(flaw) = parser.declaration()
        {
            flaws.push(flaw);
        }
        if lexed.tokens[begin].kind != Kind::Doc {
            parser.docs = parser.end..parser.end;
        }
        parser.at = parser.end;
        (parser.margin, parser.nesting) = (1, 0);
    }
    flaws.sort_by_key(|flaw| flaw.place);
    match flaws.is_empty() {
        true => Ok(parser.module),
        false => Err(flaws),
    }
}

/// Words that are no names.
pub const KEYWORDS: [&str; 22] = [
    "module", "source", "record", "type", "let", "in", "where", "if", "then", "else", "do", "import",
    "class", "instance", "infixl", "infixr", "infix", "True", "False", "null", "Null", "_",
];

struct Parser<'a> {
    text: &'a str,
    tokens: &'a [Token<'a>],
    comments: &'a [Comment],
    /// The `--'` lines above the declaration.
    docs: std::ops::Range<usize>,
    at: usize,
    /// Of the declaration.
    end: usize,
    /// A line that begins in this column or left of it is not part of what is being read.
    margin: u32,
    /// Levels of recursion.
    nesting: usize,
    /// The token behind the last `(`: a pattern there may have a value.
    opened: usize,
    /// Of each node.
    depths: Vec<usize>,
    module: Module,
}

/// The place behind a text that begins there.
fn behind(mut place: Place, text: &str) -> Place {
    for letter in text.chars() {
        place = match letter {
            '\n' => Place {
                line: place.line + 1,
                column: 1,
            },
            _ => Place {
                column: place.column + 1,
                ..place
            },
        };
    }
    place
}

impl<'a> Parser<'a> {
    /// The next token of the declaration.
    fn next(&self) -> Option<&'a Token<'a>> {
        self.tokens[..self.end].get(self.at)
    }

    /// The next token of what is being read.
    fn peek(&self) -> Option<&'a Token<'a>> {
        self.next()
            .filter(|token| !token.is_first || token.place.column > self.margin || token.closes())
    }

    fn peek_is(&self, text: &str) -> bool {
        self.peek()
            .is_some_and(|token| token.text == text && matches!(token.kind, Kind::Sign | Kind::Name))
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

    /// Where the next token stands, or where there is none.
    fn place(&self) -> Place {
        match (self.peek(), self.tokens[..self.at].last()) {
            (Some(token), _) => token.place,
            (None, Some(last)) => behind(last.place, last.text),
            (None, None) => Place { line: 1, column: 1 },
        }
    }

    /// The flaw of what comes next.
    fn expected(&self, what: &str) -> Flaw {
        if let Some(token) = self.peek() {
            let found = match token.kind {
                Kind::Text { opens: true, .. } => "found a text".to_string(),
                Kind::Text { .. } => "found '}'".to_string(),
                _ => format!("found '{}'", token.text),
            };
            let mut flaw = token.flaw(format!("{found}, expected {what}"));
            if let Kind::Text { opens: false, .. } = token.kind {
                flaw.len = 1;
            }
            return flaw;
        }
        let flaw = Flaw::new(self.place(), 1, format!("ended here, expected {what}"));
        match self.next() {
            Some(token) => flaw.hint(format!(
                "line {} belongs to it if it begins right of column {}",
                token.place.line, self.margin
            )),
            None => flaw,
        }
    }

    /// The next token, if it is a name and no keyword.
    fn peek_name(&self) -> Option<&'a Token<'a>> {
        self.peek()
            .filter(|token| token.kind == Kind::Name && !KEYWORDS.contains(&token.text))
    }

    /// The name of a function or a variable.
    fn name(&mut self, what: &str) -> Result<Name, Flaw> {
        let Some(token) = self.peek_name() else {
            let flaw = self.expected(what);
            return Err(match self.peek() {
                Some(token) if token.kind == Kind::Name => {
                    flaw.hint(format!("'{}' is a word of the notation", token.text))
                }
                _ => flaw,
            });
        };
        if token.text.starts_with(char::is_uppercase) {
            return Err(self.expected(what).hint("a name with a capital letter is a type"));
        }
        self.at += 1;
        Ok(Name {
            text: token.text.to_string(),
            place: token.place,
        })
    }

    /// Adds an expression, if it is not too deep for whoever walks the tree.
    fn add(&mut self, node: Node, place: Place) -> Result<NodeId, Flaw> {
        let mut depth = 0;
        node.children(&mut |child| depth = depth.max(self.depths[child.0 as usize]));
        if depth == COMPOSITION_DEPTH_MAX {
            return Err(too_deep(place));
        }
        self.depths.push(depth + 1);
        Ok(self.module.nodes.add(node, place))
    }

    /// The text between two bytes, without block comments.
    fn lines(&self, start: usize, end: usize, mut place: Place) -> Vec<Line<'a>> {
        let (mut lines, mut at) = (Vec::new(), start);
        let first = self.comments.partition_point(|comment| comment.start < start);
        for comment in self.comments[first..]
            .iter()
            .take_while(|comment| comment.end <= end)
        {
            lines.extend(notation::lines(&self.text[at..comment.start], place));
            (at, place) = (comment.end, comment.behind);
        }
        lines.extend(notation::lines(&self.text[at..end], place));
        lines
    }

    /// The text of tokens from here on to the end of the declaration, as whoever reads types wants it.
    fn rest(&mut self) -> Vec<Line<'a>> {
        let tokens = &self.tokens[self.at..self.end];
        self.at = self.end;
        match (tokens.first(), tokens.last()) {
            (Some(first), Some(last)) => self.lines(first.start, last.end(), first.place),
            _ => Vec::new(),
        }
    }

    /// The first thing in tokens of a type that morloc has and nexus has not.
    fn check_type(tokens: &[Token<'_>]) -> Result<(), Flaw> {
        for token in tokens {
            let (message, hint) = match (token.kind, token.text) {
                (Kind::Sign, "=>") => (
                    "type classes and constraints are not supported",
                    "a variable stands for any type: leave out what is before '=>'",
                ),
                (Kind::Sign, "{" | "<" | "!" | "@") => (
                    "effects are not supported in types",
                    "write the type of the value alone: Str",
                ),
                (Kind::Sign, ":") => (
                    "names are not supported in types",
                    "write the type alone: Int -> Str",
                ),
                (Kind::Text { .. }, _) => (
                    "names of types in other languages are not supported",
                    "each language has one form of each type, which the README lists",
                ),
                (Kind::Int | Kind::Real, _) => {
                    ("sizes are not supported in types", "a list of any length is [a]")
                }
                _ => continue,
            };
            return Err(token.flaw(message).hint(hint));
        }
        Ok(())
    }
}

fn too_deep(place: Place) -> Flaw {
    Flaw::new(
        place,
        1,
        format!("more than {COMPOSITION_DEPTH_MAX} levels inside each other"),
    )
    .hint("give a part of it a name of its own")
}

#[cfg(test)]
mod tests;
