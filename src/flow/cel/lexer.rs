//! Words, numbers, strings and signs of an expression. Knows nothing of what they mean together.

use super::expression::CelError;
use super::quoted;
use crate::flow::value::Value;

/// What a token is.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Kind {
    /// A name or a keyword.
    Word,
    /// A name in backticks, for fields only.
    Quoted,
    /// An integer without its sign.
    Int(u64),
    /// A number, string or bytes: its position among the constants.
    Constant(u32),
    /// An operator or bracket.
    Sign,
    /// Behind the last.
    End,
}

/// A stretch of the text.
#[derive(Clone, Copy)]
pub(super) struct Token {
    pub kind: Kind,
    /// In bytes, as the end.
    pub start: u32,
    pub end: u32,
}

const SIGNS: [&str; 7] = ["&&", "||", "==", "!=", "<=", ">=", "?."];

/// Reads tokens one after the other.
struct Lexer<'a> {
    text: &'a str,
    at: usize,
    constants: Vec<Value>,
}

/// All tokens, the last of which is the end, and the constants among them.
pub(super) fn tokens(text: &str) -> Result<(Vec<Token>, Vec<Value>), CelError> {
    let mut lexer = Lexer {
        text,
        at: 0,
        constants: Vec::new(),
    };
    let mut found = Vec::new();
    loop {
        lexer.skip_blank();
        let start = lexer.at;
        let kind = lexer.token()?;
        found.push(Token {
            kind,
            start: start as u32,
            end: lexer.at as u32,
        });
        if kind == Kind::End {
            return Ok((found, lexer.constants));
        }
    }
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

impl<'a> Lexer<'a> {
    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn byte(&self, ahead: usize) -> u8 {
        self.text.as_bytes().get(self.at + ahead).copied().unwrap_or(0)
    }

    fn skip(&mut self, is_part: impl Fn(u8) -> bool) {
        let rest = &self.text.as_bytes()[self.at..];
        self.at += rest.iter().take_while(|byte| is_part(**byte)).count();
    }

    fn skip_blank(&mut self) {
        loop {
            self.skip(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | b'\x0c'));
            if !self.rest().starts_with("//") {
                return;
            }
            self.skip(|byte| byte != b'\n');
        }
    }

    fn token(&mut self) -> Result<Kind, CelError> {
        let first = self.byte(0);
        if self.at >= self.text.len() {
            return Ok(Kind::End);
        }
        if first.is_ascii_digit() || first == b'.' && self.byte(1).is_ascii_digit() {
            return self.number();
        }
        if let Some((value, end)) = quoted::literal(self.text, self.at)? {
            self.at = end;
            return Ok(self.constant(value));
        }
        if is_word(first) {
            self.skip(is_word);
            return Ok(Kind::Word);
        }
        if first == b'`' {
            self.at += 1;
            let start = self.at;
            self.skip(|byte| is_word(byte) || matches!(byte, b'.' | b'-' | b'/' | b' '));
            if self.byte(0) != b'`' || self.at == start {
                let message =
                    "a name in backticks has letters, digits and any of '_.-/ ' until the next backtick";
                return Err(CelError::new(start - 1, message));
            }
            self.at += 1;
            return Ok(Kind::Quoted);
        }
        let rest = self.rest();
        if SIGNS.iter().any(|sign| rest.starts_with(sign)) {
            self.at += 2;
            return Ok(Kind::Sign);
        }
        if b"()[]{}.,:?!<>+-*/%".contains(&first) {
            self.at += 1;
            return Ok(Kind::Sign);
        }
        let letter: String = rest.chars().take(1).collect();
        let hint = match letter.as_str() {
            "=" => Some("equality is =="),
            "&" | "|" => Some("and is &&, or is ||"),
            _ => None,
        };
        let mut error = CelError::new(self.at, format!("'{letter}' is no part of an expression"));
        error.hint = hint.map(str::to_string);
        Err(error)
    }

    fn constant(&mut self, value: Value) -> Kind {
        self.constants.push(value);
        Kind::Constant(self.constants.len() as u32 - 1)
    }

    fn number(&mut self) -> Result<Kind, CelError> {
        let start = self.at;
        if self.byte(0) == b'0' && matches!(self.byte(1), b'x' | b'X') {
            self.at += 2;
            let digits = self.at;
            self.skip(|byte| byte.is_ascii_hexdigit());
            return self.integer(start, digits, 16);
        }
        self.skip(|byte| byte.is_ascii_digit());
        let mut is_float = false;
        if self.byte(0) == b'.' && self.byte(1).is_ascii_digit() {
            is_float = true;
            self.at += 1;
            self.skip(|byte| byte.is_ascii_digit());
        }
        if matches!(self.byte(0), b'e' | b'E') {
            let sign = usize::from(matches!(self.byte(1), b'+' | b'-'));
            if self.byte(1 + sign).is_ascii_digit() {
                is_float = true;
                self.at += 1 + sign;
                self.skip(|byte| byte.is_ascii_digit());
            }
        }
        if !is_float {
            return self.integer(start, start, 10);
        }
        self.check_end(start)?;
        let value = self.text[start..self.at].parse().unwrap_or(f64::NAN);
        Ok(self.constant(Value::Float(value)))
    }

    fn integer(&mut self, start: usize, digits: usize, radix: u32) -> Result<Kind, CelError> {
        let value = u64::from_str_radix(&self.text[digits..self.at], radix);
        let is_unsigned = matches!(self.byte(0), b'u' | b'U');
        self.at += usize::from(is_unsigned);
        self.check_end(start)?;
        match value {
            Ok(value) if is_unsigned => Ok(self.constant(Value::Uint(value))),
            Ok(value) => Ok(Kind::Int(value)),
            Err(_) => {
                let shown = &self.text[start..self.at];
                Err(CelError::new(
                    start,
                    format!("'{shown}' is no integer of 64 bits"),
                ))
            }
        }
    }

    /// A number ends before anything that would be a part of a word.
    fn check_end(&self, start: usize) -> Result<(), CelError> {
        if is_word(self.byte(0)) {
            let shown = self.text.get(start..=self.at).unwrap_or_default();
            return Err(CelError::new(start, format!("'{shown}' is no number")));
        }
        Ok(())
    }
}
