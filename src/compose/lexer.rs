//! Cuts the text of a composition into tokens. Knows no grammar: which declaration a line belongs to and what a word means
//! is the parser's matter.

use crate::limits::FLAWS_MAX;
use crate::source::signature::{Flaw, Place};

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A name or a keyword.
    Name,
    /// `12`, `0xff`, with a sign if that belongs to it.
    Int,
    /// `1.5e3`, likewise.
    Real,
    /// `.name` or `.0`
    Selector,
    /// A string, or a piece of it before, between or behind places to fill, with its delimiters.
    Text {
        /// Quotes on each side: 1 or 3.
        quotes: usize,
        /// It begins the string; otherwise it goes on behind a `}`.
        opens: bool,
        /// It ends with `#{`.
        is_cut: bool,
    },
    /// An operator or a bracket: one of [`SIGNS`].
    Sign,
    /// `--' text` in column 1. Further right it stands inside a declaration, where the reader of types finds it.
    Doc,
}

/// A token.
#[derive(Clone, Copy, Debug)]
pub struct Token<'a> {
    /// What it is.
    pub kind: Kind,
    /// As written.
    pub text: &'a str,
    /// The byte at which that begins.
    pub start: usize,
    /// Its first character.
    pub place: Place,
    /// It follows a space, a comment or the beginning of its line.
    pub is_spaced: bool,
    /// It is the first on its line.
    pub is_first: bool,
}

impl Token<'_> {
    /// The byte behind it.
    pub fn end(&self) -> usize {
        self.start + self.text.len()
    }

    /// Whether it can only belong to what has begun before, however little its line is indented.
    pub fn closes(&self) -> bool {
        match self.kind {
            Kind::Sign => matches!(self.text, ")" | "]" | "}"),
            Kind::Text { opens, .. } => !opens,
            _ => false,
        }
    }

    /// Whether a value can end with it, so that what touches it belongs to it.
    pub fn ends_value(&self) -> bool {
        match self.kind {
            Kind::Sign => self.closes(),
            Kind::Text { is_cut, .. } => !is_cut,
            kind => kind != Kind::Doc,
        }
    }

    /// The flaw of this token.
    pub fn flaw(&self, message: impl Into<String>) -> Flaw {
        let line = self.text.lines().next().unwrap_or("");
        Flaw::new(self.place, line.chars().count(), message)
    }
}

/// A `{- comment -}`.
#[derive(Clone, Copy, Debug)]
pub struct Comment {
    /// Its first byte.
    pub start: usize,
    /// The byte behind it.
    pub end: usize,
    /// Where what follows stands.
    pub behind: Place,
}

/// A text in tokens.
#[derive(Debug, Default)]
pub struct Tokens<'a> {
    /// In their order.
    pub tokens: Vec<Token<'a>>,
    /// Block comments: types are read from the text.
    pub comments: Vec<Comment>,
    /// What is no token, in order.
    pub flaws: Vec<Flaw>,
}

/// Longer ones first. Some are here only to be told that they mean nothing.
const SIGNS: [&str; 47] = [
    ">>=", "<$>", "<*>", "::", "->", "=>", "<-", "==", "!=", "/=", "<=", ">=", "<>", "&&", "||", "|>", "//",
    "++", "**", ">>", ".(", ".[", ":", "=", "!", "<", ">", "&", "|", "+", "-", "*", "/", "%", ".", "\\", "?",
    ",", ";", "(", ")", "[", "]", "{", "}", "$", "@",
];

/// Whether a name can begin so.
pub fn begins_name(letter: char) -> bool {
    letter.is_alphabetic() || letter == '_'
}

/// Whether a name can go on so.
pub fn is_name(letter: char) -> bool {
    letter.is_alphanumeric() || matches!(letter, '_' | '\'')
}

/// Cuts a text into tokens.
pub fn lex(text: &str) -> Tokens<'_> {
    let mut lexer = Lexer {
        text,
        at: 0,
        place: Place { line: 1, column: 1 },
        line: 0,
        open: Vec::new(),
        found: Tokens::default(),
    };
    while lexer.found.flaws.len() < FLAWS_MAX && lexer.token() {}
    lexer.found
}

struct Lexer<'a> {
    text: &'a str,
    at: usize,
    place: Place,
    /// The line of the last token.
    line: u32,
    /// Strings that go on behind the `}` of a place: their quotes, and the braces open in that place.
    open: Vec<(&'static str, usize)>,
    found: Tokens<'a>,
}

impl<'a> Lexer<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn first(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn skip(&mut self, bytes: usize) {
        for letter in self.rest()[..bytes].chars() {
            match letter {
                '\n' => {
                    self.place = Place {
                        line: self.place.line + 1,
                        column: 1,
                    }
                }
                _ => self.place.column += 1,
            }
        }
        self.at += bytes;
    }

    /// How many bytes from here on have letters like that.
    fn run(&self, from: usize, is_part: impl Fn(char) -> bool) -> usize {
        let rest = &self.rest()[from..];
        from + rest.find(|letter| !is_part(letter)).unwrap_or(rest.len())
    }

    fn flaw(&mut self, len: usize, message: String) -> &mut Flaw {
        let index = self.found.flaws.len();
        self.found.flaws.push(Flaw::new(self.place, len, message));
        &mut self.found.flaws[index]
    }

    /// Adds what comes next, if anything does.
    fn token(&mut self) -> bool {
        let before = self.at;
        self.blank();
        let Some(letter) = self.first() else {
            return false;
        };
        let is_spaced = self.at == 0 || self.at > before;
        let (start, place) = (self.at, self.place);
        if place.column == 1 && !matches!(letter, ')' | ']' | '}') {
            // A new declaration: whatever string was not closed ends before it.
            self.open.clear();
        }
        let Some(kind) = self.kind(letter, is_spaced) else {
            return true;
        };
        let text = &self.text[start..self.at];
        self.found.tokens.push(Token {
            kind,
            text,
            start,
            place,
            is_spaced,
            is_first: place.line != self.line,
        });
        self.line = self.place.line;
        true
    }

    /// Skips spaces and comments.
    fn blank(&mut self) {
        loop {
            self.skip(self.run(0, char::is_whitespace));
            let rest = self.rest();
            if rest.starts_with("--") && !(rest.starts_with("--'") && self.place.column == 1) {
                self.skip(self.run(0, |letter| letter != '\n'));
            } else if rest.starts_with("{-") {
                self.comment();
            } else {
                return;
            }
        }
    }

    fn comment(&mut self) {
        let (start, begin, mut depth) = (self.at, self.place, 0usize);
        loop {
            let rest = self.rest();
            if rest.starts_with("{-") {
                depth += 1;
                self.skip(2);
            } else if rest.starts_with("-}") {
                depth -= 1;
                self.skip(2);
                if depth == 0 {
                    break;
                }
            } else if let Some(letter) = self.first() {
                self.skip(letter.len_utf8());
            } else {
                let flaw = Flaw::new(begin, 2, "the comment never ends, expected '-}'");
                self.found.flaws.push(flaw);
                break;
            }
        }
        self.found.comments.push(Comment {
            start,
            end: self.at,
            behind: self.place,
        });
    }

    /// Skips a token and says what it is; what is none is told and skipped.
    fn kind(&mut self, letter: char, is_spaced: bool) -> Option<Kind> {
        let rest = self.rest();
        let second = rest[letter.len_utf8()..].chars().next().unwrap_or(' ');
        if rest.starts_with("--'") {
            self.skip(self.run(0, |letter| letter != '\n'));
            return Some(Kind::Doc);
        }
        if begins_name(letter) {
            self.skip(self.run(0, is_name));
            return Some(Kind::Name);
        }
        let touches = !is_spaced && self.found.tokens.last().is_some_and(Token::ends_value);
        if letter.is_ascii_digit() || (letter == '-' && second.is_ascii_digit() && !touches) {
            return self.number();
        }
        if letter == '.' && (begins_name(second) || second.is_ascii_digit()) {
            let len = match second.is_ascii_digit() {
                true => self.run(1, |letter| letter.is_ascii_digit()),
                false => self.run(1, is_name),
            };
            self.skip(len);
            return Some(Kind::Selector);
        }
        let marks = ["\"\"\"", "'''", "\""];
        if let Some(mark) = marks.into_iter().find(|mark| rest.starts_with(mark)) {
            return self.string(mark, true);
        }
        if let Some((mark, braces)) = self.open.last_mut() {
            match letter {
                '{' => *braces += 1,
                '}' if *braces > 0 => *braces -= 1,
                '}' => {
                    let mark = *mark;
                    self.open.pop();
                    return self.string(mark, false);
                }
                _ => {}
            }
        }
        if let Some(sign) = SIGNS.iter().find(|sign| rest.starts_with(**sign)) {
            self.skip(sign.len());
            return Some(Kind::Sign);
        }
        let message = match letter {
            '\'' => "found '\\'', expected text in double quotes".to_string(),
            _ => format!(
                "found '{}', which means nothing in a composition",
                letter.escape_debug()
            ),
        };
        self.flaw(1, message);
        self.skip(letter.len_utf8());
        None
    }

    fn number(&mut self) -> Option<Kind> {
        let rest = self.rest();
        let sign = usize::from(rest.starts_with('-'));
        let digits = |letter: char| letter.is_ascii_digit() || letter == '_';
        let (mut kind, mut len) = (Kind::Int, self.run(sign, digits));
        let lower = rest[sign..].get(..2).unwrap_or("").to_ascii_lowercase();
        if matches!(lower.as_str(), "0x" | "0o" | "0b") {
            len = self.run(sign + 2, |letter| letter.is_ascii_hexdigit() || letter == '_');
        } else {
            let mut behind = rest[len..].bytes();
            if behind.next() == Some(b'.') && behind.next().is_some_and(|digit| digit.is_ascii_digit()) {
                (kind, len) = (Kind::Real, self.run(len + 1, digits));
            }
            if rest[len..].starts_with(['e', 'E']) {
                let sign = usize::from(rest[len + 1..].starts_with(['+', '-']));
                if rest[len + 1 + sign..].starts_with(|letter: char| letter.is_ascii_digit()) {
                    (kind, len) = (Kind::Real, self.run(len + 1 + sign, digits));
                }
            }
        }
        let end = self.run(len, is_name);
        if end > len || rest[..len].ends_with(['x', 'X', 'o', 'O']) {
            let message = format!("'{}' is neither a number nor a name", &rest[..end]);
            self.flaw(rest[..end].chars().count(), message);
            self.skip(end);
            return None;
        }
        self.skip(len);
        Some(kind)
    }

    /// Skips a string, or what of it follows a place, until its end or the next place.
    fn string(&mut self, mark: &'static str, opens: bool) -> Option<Kind> {
        let rest = self.rest();
        let mut len = if opens { mark.len() } else { 1 };
        let is_cut = loop {
            let tail = &rest[len..];
            // Of more quotes in a row the last ones end it: `"""say "yes""""`.
            if tail.starts_with(mark) && !(mark.len() > 1 && tail[1..].starts_with(mark)) {
                len += mark.len();
                break false;
            }
            if tail.starts_with("#{") {
                len += 2;
                self.open.push((mark, 0));
                break true;
            }
            let mut letters = tail.chars();
            let letter = match letters.next() {
                Some('\\') => letters.next().map(|escaped| ('\\', escaped.len_utf8() + 1)),
                letter => letter.map(|letter| (letter, letter.len_utf8())),
            };
            match letter {
                Some((letter, bytes)) if letter != '\n' || mark.len() > 1 => len += bytes,
                _ => {
                    let is_inside = !self.open.is_empty();
                    let message = format!("the text never ends, expected '{mark}'");
                    let flaw = self.flaw(rest[..len].chars().count(), message);
                    if is_inside {
                        flaw.hint = Some("the place '#{' before it has no '}'".to_string());
                    } else if mark.len() == 1 {
                        flaw.hint = Some("text of several lines stands in \"\"\" ... \"\"\"".to_string());
                    }
                    self.skip(len);
                    return None;
                }
            }
        };
        self.skip(len);
        Some(Kind::Text {
            quotes: mark.len(),
            opens,
            is_cut,
        })
    }
}
