//! Defaults of parameters as JSON text, if they are literals of their language. Evaluates nothing.

use super::lexer::{Kind, Lang, Token};
use crate::codec::json::{Reader, write_string};
use crate::limits::LITERAL_DEPTH_MAX;

/// The JSON text of a literal; of anything else nothing.
pub(super) fn json(lang: Lang, tokens: &[Token<'_>]) -> Option<String> {
    let mut at = 0;
    let mut out = String::new();
    value(lang, tokens, &mut at, 0, &mut out)?;
    (at == tokens.len()).then_some(out)
}

fn value(lang: Lang, tokens: &[Token<'_>], at: &mut usize, depth: usize, out: &mut String) -> Option<()> {
    let token = tokens.get(*at).filter(|_| depth < LITERAL_DEPTH_MAX)?;
    *at += 1;
    match (token.kind, token.text) {
        (Kind::Number, text) => out.push_str(&number(lang, text)?),
        (Kind::Sign, sign @ ("-" | "+")) => {
            let digits = tokens.get(*at).filter(|token| token.kind == Kind::Number)?;
            *at += 1;
            out.push_str(sign.trim_start_matches('+'));
            out.push_str(&number(lang, digits.text)?);
        }
        (Kind::Text, text) => {
            let mut quoted = Vec::new();
            write_string(&string(lang, text)?, &mut quoted);
            out.push_str(&String::from_utf8(quoted).ok()?);
        }
        (Kind::Word, "c" | "list") if lang == Lang::R && tokens.get(*at)?.is("(") => {
            *at += 1;
            elements(lang, tokens, at, depth, ")", out)?;
        }
        (Kind::Word, word) => {
            let (nulls, truths): (&[&str], [&str; 2]) = match lang {
                Lang::Python => (&["None"], ["True", "False"]),
                Lang::R => (
                    &["NULL", "NA", "NA_integer_", "NA_real_", "NA_character_"],
                    ["TRUE", "FALSE"],
                ),
                Lang::JavaScript => (&["null", "undefined"], ["true", "false"]),
                Lang::Cpp => (&["nullptr", "nullopt"], ["true", "false"]),
            };
            if lang == Lang::Cpp && word == "std" && tokens.get(*at)?.is("::") {
                *at += 1;
                return value(lang, tokens, at, depth + 1, out);
            }
            out.push_str(match word {
                word if nulls.contains(&word) => "null",
                word if word == truths[0] => "true",
                word if word == truths[1] => "false",
                _ => return None,
            });
        }
        (Kind::Sign, "[") if matches!(lang, Lang::Python | Lang::JavaScript) => {
            elements(lang, tokens, at, depth, "]", out)?;
        }
        (Kind::Sign, "(") if lang == Lang::Python => elements(lang, tokens, at, depth, ")", out)?,
        (Kind::Sign, "{") if lang == Lang::Cpp => elements(lang, tokens, at, depth, "}", out)?,
        _ => return None,
    }
    Some(())
}

fn elements(
    lang: Lang,
    tokens: &[Token<'_>],
    at: &mut usize,
    depth: usize,
    close: &str,
    out: &mut String,
) -> Option<()> {
    out.push('[');
    let mut count = 0;
    while !tokens.get(*at)?.is(close) {
        if count > 0 {
            out.push(',');
        }
        value(lang, tokens, at, depth + 1, out)?;
        count += 1;
        let is_over = tokens.get(*at)?.is(close);
        // In parentheses one value without a comma is that value.
        if is_over && count == 1 && lang == Lang::Python && close == ")" {
            return None;
        }
        if !is_over {
            tokens.get(*at).filter(|token| token.is(","))?;
            *at += 1;
        }
    }
    *at += 1;
    out.push(']');
    Some(())
}

fn number(lang: Lang, text: &str) -> Option<String> {
    let mut digits: String = text
        .chars()
        .filter(|letter| !matches!(letter, '_' | '\''))
        .collect();
    for (prefix, radix) in [("0x", 16), ("0b", 2), ("0o", 8)] {
        if let Some(digits) = digits.to_ascii_lowercase().strip_prefix(prefix) {
            return u64::from_str_radix(digits, radix)
                .ok()
                .map(|number| number.to_string());
        }
    }
    let suffixes: &[char] = match lang {
        Lang::Python => &[],
        Lang::R => &['L'],
        Lang::JavaScript => &['n'],
        Lang::Cpp => &['u', 'U', 'l', 'L', 'f', 'F', 'z', 'Z'],
    };
    digits.truncate(digits.trim_end_matches(suffixes).len());
    if digits.starts_with('.') {
        digits.insert(0, '0');
    }
    // JSON wants digits on both sides of a point.
    if let Some(point) = digits.find('.')
        && !digits[point + 1..].starts_with(|digit: char| digit.is_ascii_digit())
    {
        digits.insert(point + 1, '0');
    }
    let mut reader = Reader::new(digits.as_bytes());
    (reader.number().is_ok() && reader.finish().is_ok()).then_some(digits)
}

/// What a string literal stands for.
pub(super) fn string(lang: Lang, text: &str) -> Option<String> {
    let quote_at = text.find(['"', '\''])?;
    let prefix = text[..quote_at].to_ascii_lowercase();
    let is_raw = match (lang, prefix.as_str()) {
        (_, "") => false,
        (Lang::Python, "r") => true,
        (Lang::Python, "u") | (Lang::Cpp, "u8") => false,
        _ => return None,
    };
    let body = &text[quote_at..];
    let quote = &body[..1];
    let triple = quote.repeat(3);
    let quote = match lang == Lang::Python && body.starts_with(&triple) {
        true => triple.as_str(),
        false => quote,
    };
    let body = body.strip_prefix(quote)?.strip_suffix(quote)?;
    match is_raw {
        true => Some(body.to_string()),
        false => unescaped(body),
    }
}

fn unescaped(body: &str) -> Option<String> {
    let mut out = String::with_capacity(body.len());
    let mut letters = body.chars();
    while let Some(letter) = letters.next() {
        if letter != '\\' {
            out.push(letter);
            continue;
        }
        let escape = letters.next()?;
        out.push(match escape {
            'n' => '\n',
            't' => '\t',
            'r' => '\r',
            '0' => '\0',
            '\\' | '\'' | '"' | '`' | '/' => escape,
            'x' | 'u' => {
                let digits: String = letters.by_ref().take(if escape == 'x' { 2 } else { 4 }).collect();
                char::from_u32(u32::from_str_radix(&digits, 16).ok()?)?
            }
            _ => return None,
        });
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::lexer::tokens;
    use crate::source::signature::Place;

    fn check(lang: Lang, text: &str, expected: Option<&str>) {
        let found = json(lang, &tokens(lang, text, Place::default()));
        assert_eq!(found.as_deref(), expected, "{text}");
    }

    #[test]
    fn literals() {
        for (text, expected) in [
            ("None", Some("null")),
            ("True", Some("true")),
            ("-1_000", Some("-1000")),
            ("0xff", Some("255")),
            ("1.", Some("1.0")),
            (".5e-3", Some("0.5e-3")),
            ("1j", None),
            ("007", None),
            (r#"'a"\n\x41\u00e9'"#, Some("\"a\\\"\\nAé\"")),
            (r"r'\d'", Some(r#""\\d""#)),
            (r"'\q'", None),
            ("b'x'", None),
            ("f'x'", None),
            ("\"\"\"a\"\"\"", Some("\"a\"")),
            ("[1, [2], ()]", Some("[1,[2],[]]")),
            ("(1, 2)", Some("[1,2]")),
            ("(1)", None),
            ("[1", None),
            ("1 + 1", None),
            ("DEFAULT", None),
            ("'open", None),
            ("", None),
        ] {
            check(Lang::Python, text, expected);
        }
        check(Lang::Python, &"[".repeat(100_000), None);
        check(Lang::R, "c(1L, NA, TRUE, 'a')", Some("[1,null,true,\"a\"]"));
        check(Lang::R, "c", None);
        check(
            Lang::JavaScript,
            "[1n, undefined, false, \"a\"]",
            Some("[1,null,false,\"a\"]"),
        );
        check(Lang::JavaScript, "`a`", None);
        check(Lang::Cpp, "{1'000u, 1.5f, std::nullopt}", Some("[1000,1.5,null]"));
        check(Lang::Cpp, "L\"a\"", None);
    }
}
