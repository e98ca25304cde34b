//! Cuts a source of any of the four languages into tokens: words, numbers, texts, comments and signs. Knows no grammar, and
//! never fails: what ends too early ends with its line or with the file, and the language itself will complain.

use super::notation::Line;
use super::signature::Place;

/// A language whose sources are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lang {
    /// Python 3.
    Python,
    /// R 4.
    R,
    /// JavaScript, as node runs it.
    JavaScript,
    /// C++17 and later.
    Cpp,
}

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Word,
    Number,
    /// A string with its quotes and prefix, a character, a regular expression, a piece of a template.
    Text,
    Comment,
    /// A line of the preprocessor.
    Directive,
    Sign,
}

/// A piece of a source.
#[derive(Clone, Copy, Debug)]
pub(super) struct Token<'a> {
    pub kind: Kind,
    pub text: &'a str,
    pub place: Place,
    /// Nothing stands before it on its line, and the line is not the rest of another.
    pub is_first: bool,
}

impl Token<'_> {
    pub fn is(&self, text: &str) -> bool {
        self.text == text && matches!(self.kind, Kind::Word | Kind::Sign)
    }

    pub fn is_word(&self) -> bool {
        self.kind == Kind::Word
    }
}

/// Signs of several characters that would be misread one by one. `>>` is no sign: it closes two templates.
const SIGNS: [&str; 16] = [
    "<<-", "===", "!==", "...", "=>", "->", "<-", "::", "**", "==", "!=", "<=", ">=", ":=", "||", "&&",
];

/// What a division can't stand behind, so that a regular expression begins.
const BEFORE_REGEX: [&str; 12] = [
    "return", "typeof", "case", "in", "of", "do", "else", "delete", "void", "throw", "new", "await",
];

/// The tokens of a text whose first character stands there.
pub(super) fn tokens(lang: Lang, text: &str, place: Place) -> Vec<Token<'_>> {
    let mut lexer = Lexer {
        lang,
        text,
        bytes: text.as_bytes(),
        at: 0,
        mark: 0,
        divided: 0,
        place,
        templates: Vec::new(),
        tokens: Vec::new(),
    };
    lexer.run();
    lexer.tokens
}

struct Lexer<'a> {
    lang: Lang,
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
    /// The byte whose place is known.
    mark: usize,
    place: Place,
    /// Where a regular expression ended that was none: before it no other is looked for, so that a line is read once.
    divided: usize,
    /// Open braces in each open `${`.
    templates: Vec<usize>,
    tokens: Vec<Token<'a>>,
}

fn is_word_byte(lang: Lang, byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || byte == b'_'
        || byte >= 0x80
        || (byte == b'.' && lang == Lang::R)
        || (byte == b'$' && lang == Lang::JavaScript)
}

impl<'a> Lexer<'a> {
    fn byte(&self, offset: usize) -> u8 {
        self.bytes.get(self.at + offset).copied().unwrap_or(0)
    }

    fn starts_with(&self, text: &str) -> bool {
        self.bytes[self.at..].starts_with(text.as_bytes())
    }

    fn run(&mut self) {
        let mut is_first = true;
        // A file may begin with a byte order mark.
        self.at = if self.text.starts_with('\u{feff}') { 3 } else { 0 };
        self.mark = self.at;
        while self.at < self.bytes.len() {
            match self.byte(0) {
                b'\n' => {
                    is_first = true;
                    self.at += 1;
                }
                b'\\' if self.byte(1) == b'\n' => self.at += 2,
                b'\\' if self.byte(1) == b'\r' && self.byte(2) == b'\n' => self.at += 3,
                b' ' | b'\t' | b'\r' | 0x0c => self.at += 1,
                _ => {
                    let start = self.at;
                    let place = self.place_of(start);
                    let kind = self.token(is_first);
                    // Bytes above ASCII are parts of words, so that a token ends where a character does.
                    self.at = self.at.clamp(start + 1, self.bytes.len());
                    while !self.text.is_char_boundary(self.at) {
                        self.at += 1;
                    }
                    let text = &self.text[start..self.at];
                    self.tokens.push(Token {
                        kind,
                        text,
                        place,
                        is_first,
                    });
                    is_first = false;
                }
            }
        }
    }

    fn place_of(&mut self, at: usize) -> Place {
        for byte in &self.bytes[self.mark..at] {
            match byte {
                b'\n' => {
                    self.place.line += 1;
                    self.place.column = 1;
                }
                // Continuation bytes of UTF-8 belong to the character before them.
                byte => self.place.column += u32::from(byte & 0xC0 != 0x80),
            }
        }
        self.mark = at;
        self.place
    }

    /// Goes behind the token that begins here.
    fn token(&mut self, is_first: bool) -> Kind {
        let byte = self.byte(0);
        let has_slashes = matches!(self.lang, Lang::JavaScript | Lang::Cpp);
        match byte {
            b'#' if !has_slashes || (self.at == 0 && self.byte(1) == b'!') => self.line_end(Kind::Comment),
            b'#' if self.lang == Lang::Cpp && is_first => self.line_end(Kind::Directive),
            b'/' if has_slashes && self.byte(1) == b'/' => self.line_end(Kind::Comment),
            b'/' if has_slashes && self.byte(1) == b'*' => {
                self.at += 2;
                self.find("*/");
                Kind::Comment
            }
            b'/' if self.lang == Lang::JavaScript && self.at >= self.divided && self.is_regex_next() => {
                self.regex()
            }
            b'0'..=b'9' => self.number(),
            b'.' if self.byte(1).is_ascii_digit() => self.number(),
            b'"' | b'\'' => self.string(byte),
            b'`' if self.lang == Lang::JavaScript => self.template(),
            b'`' if self.lang == Lang::R => self.string(byte),
            b'}' if self.templates.last() == Some(&0) => {
                self.templates.pop();
                self.template()
            }
            _ if is_word_byte(self.lang, byte) => self.word(),
            _ => self.sign(byte),
        }
    }

    fn line_end(&mut self, kind: Kind) -> Kind {
        while self.at < self.bytes.len() && self.byte(0) != b'\n' {
            // Lines of the preprocessor go on behind a backslash.
            let is_continued = self.byte(0) == b'\\' && kind == Kind::Directive;
            self.at += if is_continued && self.byte(1) == b'\n' {
                2
            } else {
                1
            };
        }
        kind
    }

    /// Goes behind that text, or to the end.
    fn find(&mut self, end: &str) {
        let rest = &self.bytes[self.at.min(self.bytes.len())..];
        let found = rest
            .windows(end.len())
            .position(|window| window == end.as_bytes());
        self.at = found.map_or(self.bytes.len(), |offset| self.at + offset + end.len());
    }

    fn word(&mut self) -> Kind {
        let start = self.at;
        while is_word_byte(self.lang, self.byte(0)) {
            self.at += 1;
        }
        let word = &self.bytes[start..self.at];
        let quote = self.byte(0);
        if !matches!(quote, b'"' | b'\'') {
            return Kind::Word;
        }
        let is_prefix = |letters: &[u8]| {
            word.iter()
                .all(|byte| letters.contains(&byte.to_ascii_lowercase()))
        };
        match self.lang {
            Lang::Python if word.len() <= 2 && is_prefix(b"rbuft") => self.string(quote),
            Lang::R if word.len() == 1 && is_prefix(b"r") => self.raw_string(),
            Lang::Cpp if quote == b'"' && matches!(word, b"R" | b"LR" | b"uR" | b"UR" | b"u8R") => {
                self.raw_string()
            }
            Lang::Cpp if matches!(word, b"L" | b"u" | b"U" | b"u8") => self.string(quote),
            _ => Kind::Word,
        }
    }

    fn number(&mut self) -> Kind {
        let is_hex = self.byte(0) == b'0' && matches!(self.byte(1), b'x' | b'X');
        loop {
            let byte = self.byte(0);
            let is_exponent = match is_hex {
                true => matches!(byte, b'p' | b'P'),
                false => matches!(byte, b'e' | b'E'),
            };
            self.at += match byte {
                _ if is_exponent && matches!(self.byte(1), b'+' | b'-') => 2,
                b'\'' if self.lang == Lang::Cpp && self.byte(1).is_ascii_alphanumeric() => 2,
                b'.' | b'_' => 1,
                byte if byte.is_ascii_alphanumeric() => 1,
                _ => return Kind::Number,
            };
        }
    }

    /// A string from its first quote on.
    fn string(&mut self, quote: u8) -> Kind {
        let triple = [quote; 3];
        if self.lang == Lang::Python && self.bytes[self.at..].starts_with(&triple) {
            self.at += 3;
            while self.at < self.bytes.len() && !self.bytes[self.at..].starts_with(&triple) {
                self.at += if self.byte(0) == b'\\' { 2 } else { 1 };
            }
            self.at += 3;
            return Kind::Text;
        }
        self.at += 1;
        while self.at < self.bytes.len() {
            match self.byte(0) {
                b'\\' => self.at += 2,
                b'\n' if self.lang != Lang::R => break,
                byte => {
                    self.at += 1;
                    if byte == quote {
                        break;
                    }
                }
            }
        }
        Kind::Text
    }

    /// R's `r"---(...)---"` and C++'s `R"name(...)name"` from the quote on.
    fn raw_string(&mut self) -> Kind {
        let quote = self.byte(0);
        let head = self.at + 1;
        let is_open = |byte: &u8| matches!(byte, b'(' | b'[' | b'{' | b'"' | b'\n');
        let rest = &self.bytes[head..];
        // The longest delimiter that C++ allows; R's dashes are as few in practice.
        let Some(len) = rest.iter().take(100).position(is_open) else {
            return self.string(quote);
        };
        let close = match rest[len] {
            b'(' => ")",
            b'[' => "]",
            b'{' => "}",
            _ => return self.string(quote),
        };
        if !self.text.is_char_boundary(head + len) {
            return self.string(quote);
        }
        let end = format!("{close}{}{}", &self.text[head..head + len], char::from(quote));
        self.at = head + len + 1;
        self.find(&end);
        Kind::Text
    }

    /// A template from its backtick, or from the brace that ends a `${`, to the next `${` or its end.
    fn template(&mut self) -> Kind {
        self.at += 1;
        while self.at < self.bytes.len() {
            match self.byte(0) {
                b'\\' => self.at += 2,
                b'`' => {
                    self.at += 1;
                    break;
                }
                b'$' if self.byte(1) == b'{' => {
                    self.at += 2;
                    self.templates.push(0);
                    break;
                }
                _ => self.at += 1,
            }
        }
        Kind::Text
    }

    fn is_regex_next(&self) -> bool {
        let before = self.tokens.iter().rev().find(|token| token.kind != Kind::Comment);
        before.is_none_or(|token| match token.kind {
            Kind::Word => BEFORE_REGEX.contains(&token.text),
            Kind::Sign => !matches!(token.text, ")" | "]" | "}"),
            _ => token.text.ends_with("${"),
        })
    }

    fn regex(&mut self) -> Kind {
        let mut in_class = false;
        let mut end = self.at + 1;
        loop {
            match self.bytes.get(end) {
                Some(b'\\') => end += 1,
                Some(b'[') => in_class = true,
                Some(b']') => in_class = false,
                Some(b'/') if !in_class => break,
                // A division after all.
                Some(b'\n') | None => {
                    self.divided = end;
                    self.at += 1;
                    return Kind::Sign;
                }
                _ => {}
            }
            end += 1;
        }
        self.at = end + 1;
        Kind::Text
    }

    fn sign(&mut self, byte: u8) -> Kind {
        if let Some(open) = self.templates.last_mut() {
            match byte {
                b'{' => *open += 1,
                b'}' => *open = open.saturating_sub(1),
                _ => {}
            }
        }
        if byte == b'%' && self.lang == Lang::R {
            let rest = &self.bytes[self.at + 1..];
            let end = rest.iter().position(|byte| matches!(byte, b'%' | b'\n'));
            if let Some(end) = end.filter(|end| rest[*end] == b'%') {
                self.at += end + 2;
                return Kind::Sign;
            }
        }
        let signs = SIGNS
            .iter()
            .filter(|sign| self.lang == Lang::R || !sign.ends_with("<-") && **sign != "<<-");
        let len = signs
            .into_iter()
            .find(|sign| self.starts_with(sign))
            .map_or(1, |sign| sign.len());
        self.at += len;
        Kind::Sign
    }
}

/// The lines of a comment without what makes them a comment, and without spaces around them.
pub(super) fn comment_lines<'a>(comment: &Token<'a>) -> Vec<Line<'a>> {
    let whole = Line {
        text: comment.text,
        place: comment.place,
    };
    if !whole.text.starts_with("/*") {
        let markers = ["#'", "///", "//!", "//", "#"];
        let marker = markers.iter().find(|marker| whole.text.starts_with(**marker));
        return vec![whole.skip(marker.map_or(0, |marker| marker.len())).trim()];
    }
    let inner = whole.text.strip_suffix("*/").filter(|text| text.len() >= 2);
    let inner = Line {
        text: inner.unwrap_or(whole.text),
        ..whole
    };
    let inner = inner.skip(inner.text.len() - inner.text[2..].trim_start_matches(['*', '!']).len());
    let mut lines = super::notation::lines(inner.text, inner.place);
    for line in &mut lines {
        let bare = line.trim();
        *line = match bare.text.strip_prefix('*') {
            Some(_) => bare.skip(1).trim(),
            None => bare,
        };
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(lang: Lang, text: &str, expected: &[&str]) {
        let tokens = tokens(lang, text, Place { line: 1, column: 1 });
        let found: Vec<&str> = tokens.iter().map(|token| token.text).collect();
        assert_eq!(found, expected, "{text}");
        let mut lines = text.split('\n');
        let mut line = (0, "");
        for token in &tokens {
            while line.0 < token.place.line {
                line = (line.0 + 1, lines.next().expect("a token stands on a line"));
            }
            let at: String = line.1.chars().skip(token.place.column as usize - 1).collect();
            let first = token.text.lines().next().unwrap_or_default();
            assert!(at.starts_with(first), "{first} is not at {:?}", token.place);
        }
    }

    #[test]
    fn python() {
        check(Lang::Python, "x = rb'a\\'b' # c", &["x", "=", "rb'a\\'b'", "# c"]);
        check(Lang::Python, "'''a\n'b''' f\"c", &["'''a\n'b'''", "f\"c"]);
        check(Lang::Python, "'a\ndef f", &["'a", "def", "f"]);
        check(
            Lang::Python,
            "a->b:=1e-3**é.ö",
            &["a", "->", "b", ":=", "1e-3", "**", "é", ".", "ö"],
        );
        check(Lang::Python, "'''open\n", &["'''open\n"]);
        check(Lang::Python, "\"\\", &["\"\\"]);
        check(Lang::Python, "\"\\é", &["\"\\é"]);
    }

    #[test]
    fn r() {
        check(
            Lang::R,
            "f.x <- function(a, ...) 5L",
            &["f.x", "<-", "function", "(", "a", ",", "...", ")", "5L"],
        );
        check(
            Lang::R,
            "r\"--(a)\"b)--\" %\"% 'x\ny'",
            &["r\"--(a)\"b)--\"", "%\"%", "'x\ny'"],
        );
        check(
            Lang::R,
            "`a b` <<- 5 %% 2 # %",
            &["`a b`", "<<-", "5", "%%", "2", "# %"],
        );
        check(Lang::R, "r'x'", &["r'x'"]);
    }

    #[test]
    fn javascript() {
        check(Lang::JavaScript, "a / b / c", &["a", "/", "b", "/", "c"]);
        check(
            Lang::JavaScript,
            "x = /[/'\"]\\//g",
            &["x", "=", "/[/'\"]\\//", "g"],
        );
        check(
            Lang::JavaScript,
            "`a${b ? `c${{d: 1}}` : {}}e` f",
            &[
                "`a${", "b", "?", "`c${", "{", "d", ":", "1", "}", "}`", ":", "{", "}", "}e`", "f",
            ],
        );
        check(
            Lang::JavaScript,
            "#!/usr/bin/node\n$a /* '\n */ b",
            &["#!/usr/bin/node", "$a", "/* '\n */", "b"],
        );
        check(Lang::JavaScript, "return /x/ //y", &["return", "/x/", "//y"]);
        check(Lang::JavaScript, "`open ${", &["`open ${"]);
        check(Lang::JavaScript, "a<-b", &["a", "<", "-", "b"]);
    }

    #[test]
    fn cpp() {
        check(
            Lang::Cpp,
            "#define A \\\n 'x\nint a",
            &["#define A \\\n 'x", "int", "a"],
        );
        check(
            Lang::Cpp,
            "1'000 'a' u8\"b\" R\"x()\")x\" c",
            &["1'000", "'a'", "u8\"b\"", "R\"x()\")x\"", "c"],
        );
        check(
            Lang::Cpp,
            "a<b<c>>::d->e /**/",
            &["a", "<", "b", "<", "c", ">", ">", "::", "d", "->", "e", "/**/"],
        );
        check(Lang::Cpp, "R\"(open", &["R\"(open"]);
        check(Lang::Cpp, "/*", &["/*"]);
    }

    #[test]
    fn lines_of_comments() {
        let check = |lang, text: &str, expected: &[(&str, u32, u32)]| {
            let tokens = tokens(lang, text, Place { line: 1, column: 1 });
            let lines = comment_lines(&tokens[0]);
            let lines: Vec<(&str, u32, u32)> = lines
                .iter()
                .map(|line| (line.text, line.place.line, line.place.column))
                .collect();
            assert_eq!(lines, expected, "{text}");
        };
        check(Lang::R, "#'  x ", &[("x", 1, 5)]);
        check(Lang::Cpp, "/// x", &[("x", 1, 5)]);
        check(Lang::Cpp, "/** x */", &[("x", 1, 5)]);
        check(
            Lang::Cpp,
            "/**\n * x\n *\n y\n */",
            &[("", 1, 4), ("x", 2, 4), ("", 3, 3), ("y", 4, 2), ("", 5, 2)],
        );
        check(Lang::Cpp, "/**/", &[]);
    }
}
