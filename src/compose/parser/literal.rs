//! The values of literals: numbers as JSON writes them, and text without its escapes and its indentation.

use super::behind;
use crate::compose::lexer::{Kind, Token};
use crate::source::signature::{Flaw, Place};

/// The decimal digits of an integer that is written in any base, with its sign.
pub fn int(token: &Token<'_>, text: &str) -> Result<String, Flaw> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", text),
    };
    let digits = digits.replace('_', "").to_ascii_lowercase();
    let based = [("0x", 16), ("0o", 8), ("0b", 2)]
        .iter()
        .find_map(|(prefix, base)| digits.strip_prefix(prefix).map(|digits| (digits, *base)));
    let decimal = match based {
        None => digits.trim_start_matches('0').to_string(),
        Some((digits, base)) => match u128::from_str_radix(digits, base) {
            Ok(0) => String::new(),
            Ok(value) => value.to_string(),
            Err(_) => {
                let message = format!("'{text}' is no number of base {base} of at most 128 bits");
                return Err(token.flaw(message));
            }
        },
    };
    Ok(match decimal.as_str() {
        "" => "0".to_string(),
        decimal => format!("{sign}{decimal}"),
    })
}

/// A number with a point or an exponent as JSON has it.
pub fn real(text: &str) -> String {
    let text = text.replace('_', "").replace('E', "e");
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", text.as_str()),
    };
    let digits = digits.trim_start_matches('0');
    let zero = if digits.starts_with(|letter: char| letter.is_ascii_digit()) {
        ""
    } else {
        "0"
    };
    format!("{sign}{zero}{digits}")
}

/// The texts of the pieces of one string.
pub fn pieces(tokens: &[Token<'_>]) -> Result<Vec<String>, Flaw> {
    let mut raw = Vec::new();
    let mut is_long = false;
    for token in tokens {
        let Kind::Text {
            quotes,
            opens,
            is_cut,
        } = token.kind
        else {
            continue;
        };
        let begin = if opens { quotes } else { 1 };
        let end = token.text.len() - if is_cut { 2 } else { quotes };
        is_long = quotes > 1;
        raw.push((&token.text[begin..end], behind(token.place, &token.text[..begin])));
    }
    match is_long {
        true => dedent(&raw),
        false => raw
            .into_iter()
            .map(|(text, place)| unescape(text, place))
            .collect(),
    }
}

/// Text of several lines: without what shares the line with the quotes if that is blank, and without the indentation that
/// all lines have.
fn dedent(raw: &[(&str, Place)]) -> Result<Vec<String>, Flaw> {
    let blank = |line: &str| line.chars().all(char::is_whitespace);
    let width = |line: &str| line.chars().take_while(|letter| letter.is_whitespace()).count();
    let mut indent = usize::MAX;
    for (index, (text, _)) in raw.iter().enumerate() {
        let mut lines = text.split('\n').skip(1).peekable();
        while let Some(line) = lines.next() {
            // What follows a blank end of a piece is a value.
            let is_value = lines.peek().is_none() && index + 1 < raw.len();
            if is_value || !blank(line) {
                indent = indent.min(width(line));
            }
        }
    }
    let mut texts = Vec::new();
    for (index, (text, place)) in raw.iter().enumerate() {
        let mut lines: Vec<(&str, Place)> = Vec::new();
        for (number, line) in text.split('\n').enumerate() {
            let mut place = *place;
            if number > 0 {
                let cut = line
                    .chars()
                    .take(indent)
                    .take_while(|letter| letter.is_whitespace());
                let bytes: usize = cut.map(char::len_utf8).sum();
                place.line += number as u32;
                place.column = 1;
                lines.push((&line[bytes..], behind(place, &line[..bytes])));
            } else {
                lines.push((line, place));
            }
        }
        if index == 0 && lines.len() > 1 && blank(lines[0].0) {
            lines.remove(0);
        }
        if index + 1 == raw.len() && lines.len() > 1 && blank(lines[lines.len() - 1].0) {
            lines.pop();
        }
        let mut out = Vec::new();
        for (line, place) in lines {
            out.push(unescape(line.strip_suffix('\r').unwrap_or(line), place)?);
        }
        texts.push(out.join("\n"));
    }
    Ok(texts)
}

/// Text without its escapes.
fn unescape(text: &str, place: Place) -> Result<String, Flaw> {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        let begin = text.len() - rest.len() + at;
        let mut letters = rest[at + 1..].chars();
        let escaped = letters.next();
        let letter = match escaped {
            Some('n') => Some('\n'),
            Some('t') => Some('\t'),
            Some('r') => Some('\r'),
            Some('0') => Some('\0'),
            Some(letter @ ('\\' | '"' | '\'' | '#')) => Some(letter),
            Some('u') => code(&mut letters),
            _ => None,
        };
        let Some(letter) = letter else {
            let shown = escaped.map_or(String::new(), String::from);
            let flaw = Flaw::new(
                behind(place, &text[..begin]),
                2,
                format!("'\\{shown}' stands for nothing in a text"),
            );
            return Err(flaw.hint("there are \\n \\t \\r \\0 \\\" \\' \\# \\\\ and \\u{1f600}"));
        };
        out.push(letter);
        rest = letters.as_str();
    }
    out.push_str(rest);
    Ok(out)
}

/// What follows `\u`: `{1f600}`.
fn code(letters: &mut std::str::Chars<'_>) -> Option<char> {
    let (digits, rest) = letters.as_str().strip_prefix('{')?.split_once('}')?;
    let is_hex = digits.len() <= 6 && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    let value = u32::from_str_radix(digits, 16).ok().filter(|_| is_hex)?;
    *letters = rest.chars();
    char::from_u32(value)
}
