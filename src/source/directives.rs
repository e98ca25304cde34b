//! What is said about functions and parameters besides prose: `metavar: K`, `arg: -k/--neighbours`, `group: summary`. Takes
//! lines one by one; what is no directive is description.

use super::notation::Line;
use super::signature::{Doc, Flaw, ParamDoc};
use super::types::{Base, Type};
use crate::codec::json::{Reader, write_string};
use crate::limits::TIMEOUT_MS_MAX;

const OF_PARAMS: [&str; 6] = ["metavar", "arg", "default", "true", "false", "unroll"];
const OF_FUNCTIONS: [&str; 5] = ["name", "group", "return", "example", "timeout"];

/// The key of a line like `key: value`, if it is one of these, and the value.
fn directive<'k, 'l>(line: Line<'l>, keys: &[&'k str]) -> Option<(&'k str, Line<'l>)> {
    let (word, _) = line.text.split_once(':')?;
    let key = keys.iter().find(|key| **key == word)?;
    let value = line.skip(key.len() + 1);
    // `true::` and `default:=` are prose; an empty value is a mistake that is told.
    let is_apart = value.text.is_empty() || value.text.starts_with(' ');
    is_apart.then(|| (*key, value.trim()))
}

/// Whether a line is a directive of a function.
pub fn is_directive(line: Line<'_>) -> bool {
    directive(line, &OF_FUNCTIONS).is_some()
}

/// A line about a function: a directive or a line of its description.
pub fn describe_function(doc: &mut Doc, line: Line<'_>) -> Result<(), Flaw> {
    let Some((key, value)) = directive(line, &OF_FUNCTIONS) else {
        doc.desc.push(line.text.to_string());
        return Ok(());
    };
    if value.text.is_empty() {
        return Err(line.flaw(format!("'{key}:' says nothing, expected a value behind it")));
    }
    match key {
        "name" => doc.name = Some(word(key, value)?),
        "group" => doc.group = Some(word(key, value)?),
        "return" => doc.returns.push(value.text.to_string()),
        "example" => doc.examples.push(value.text.to_string()),
        _ => doc.timeout_ms = Some(timeout_ms(value)?),
    }
    Ok(())
}

/// A line about a parameter or a field: a directive, or a line of its description that may end in directives in brackets.
pub fn describe_param(doc: &mut ParamDoc, line: Line<'_>) -> Result<(), Flaw> {
    if let Some((key, value)) = directive(line, &OF_PARAMS) {
        return set(doc, key, value);
    }
    let mut text = line;
    while let Some((before, directives)) = bracketed(text) {
        set_all(doc, directives)?;
        text = before;
    }
    if !text.text.is_empty() || line.text.is_empty() {
        doc.desc.push(text.text.to_string());
    }
    Ok(())
}

/// Directives with commas between.
fn set_all(doc: &mut ParamDoc, directives: Line<'_>) -> Result<(), Flaw> {
    let mut rest = directives;
    while !rest.text.is_empty() {
        // A comma ends a directive if another follows: a default may have commas of its own.
        let mut commas = rest.text.match_indices(',').map(|(at, _)| at);
        let end = commas.find(|at| directive(rest.skip(at + 1).trim(), &OF_PARAMS).is_some());
        let one = Line {
            text: &rest.text[..end.unwrap_or(rest.text.len())],
            ..rest
        };
        if let Some((key, value)) = directive(one.trim(), &OF_PARAMS) {
            set(doc, key, value)?;
        }
        rest = match end {
            Some(end) => rest.skip(end + 1).trim(),
            None => return Ok(()),
        };
    }
    Ok(())
}

/// The line before the directives in brackets at its end, and those.
fn bracketed(line: Line<'_>) -> Option<(Line<'_>, Line<'_>)> {
    let inner = line.text.strip_suffix(']')?;
    let mut open = 1usize;
    let begin = inner.char_indices().rev().find(|(_, letter)| {
        open = match letter {
            ']' => open + 1,
            '[' => open - 1,
            _ => open,
        };
        open == 0
    })?;
    let directives = Line {
        text: &inner[begin.0 + 1..],
        place: line.skip(begin.0 + 1).place,
    };
    let text = Line {
        text: line.text[..begin.0].trim_end(),
        ..line
    };
    directive(directives.trim(), &OF_PARAMS).map(|_| (text, directives.trim()))
}

fn set(doc: &mut ParamDoc, key: &str, value: Line<'_>) -> Result<(), Flaw> {
    if value.text.is_empty() {
        return Err(value.flaw(format!("'{key}:' says nothing, expected a value behind it")));
    }
    match key {
        "metavar" => doc.metavar = Some(value.text.to_string()),
        "default" => doc.default = Some(value.text.to_string()),
        "unroll" => {
            doc.is_unrolled = match value.text {
                "true" => true,
                "false" => false,
                text => return Err(value.flaw(format!("unroll is '{text}', expected true or false"))),
            }
        }
        _ => {
            let (short, long) = option(value)?;
            if short.is_some() && doc.short.is_some() && doc.short != short {
                return Err(value.flaw("an option has one letter, this is the second"));
            }
            doc.short = short.or(doc.short);
            doc.is_flag |= key != "arg";
            match key {
                "false" => doc.long_rev = long.or(doc.long_rev.take()),
                _ => doc.long = long.or(doc.long.take()),
            }
            if key == "false" && doc.long.is_none() && doc.default.is_none() {
                doc.default = Some("true".to_string());
            }
        }
    }
    Ok(())
}

/// `-k/--neighbours`, or one of both.
fn option(value: Line<'_>) -> Result<(Option<char>, Option<String>), Flaw> {
    let (mut short, mut long) = (None, None);
    for word in value.text.split('/') {
        let mut letters = word.chars();
        match (letters.next(), letters.next(), letters.next()) {
            (Some('-'), Some(letter), None) if letter.is_alphanumeric() && short.is_none() => {
                short = Some(letter)
            }
            (Some('-'), Some('-'), Some(_)) if long.is_none() && is_word(&word[2..]) => {
                long = Some(word[2..].to_string());
            }
            _ => {
                let message = format!("'{}' is no option, expected -k, --name or -k/--name", value.text);
                return Err(value.flaw(message));
            }
        }
    }
    Ok((short, long))
}

/// Whether an option can be called so, without its dashes.
fn is_word(name: &str) -> bool {
    let is_part = |letter: char| letter.is_alphanumeric() || matches!(letter, '-' | '_' | '.');
    name.starts_with(char::is_alphanumeric) && name.chars().all(is_part)
}

/// A name that can be typed as one word.
fn word(key: &str, value: Line<'_>) -> Result<String, Flaw> {
    let is_word =
        !value.text.starts_with('-') && !value.text.contains(|c: char| c.is_whitespace() || c.is_control());
    match is_word {
        true => Ok(value.text.to_string()),
        false => Err(value.flaw(format!("{key} is '{}', expected one word", value.text))),
    }
}

/// Seconds with up to three digits behind the point, as milliseconds.
fn timeout_ms(value: Line<'_>) -> Result<u64, Flaw> {
    let text = value.text.strip_suffix('s').unwrap_or(value.text);
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let ms = match is_number(whole) && is_number(part) && !whole.is_empty() && part.len() <= 3 {
        true => format!("{whole}{part:0<3}").parse::<u64>().ok(),
        false => None,
    };
    ms.filter(|ms| (1..=TIMEOUT_MS_MAX).contains(ms))
        .ok_or_else(|| value.flaw(format!("timeout is '{}', expected seconds", value.text)))
}

/// The three words of a flag as a manifest has them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlagWords {
    /// Its value when it is not given.
    pub default: bool,
    /// The word that sets the opposite of the default, without dashes; so does the letter.
    pub long: Option<String>,
    /// The word that sets the default again.
    pub long_rev: Option<String>,
}

impl ParamDoc {
    /// Once all is said of a parameter and its type is known: a default of text need not have quotes, and a flag has one.
    /// Doing it again changes nothing.
    pub fn settle(&mut self, ty: &Type) {
        let inner = match ty {
            Type::Optional(inner) => inner,
            ty => ty,
        };
        if let (Some(default), Type::Base(Base::Str | Base::Bytes)) = (&mut self.default, inner) {
            let mut reader = Reader::new(default.as_bytes());
            let is_quoted = reader.string().is_ok() && reader.finish().is_ok();
            let is_null = matches!(ty, Type::Optional(_)) && default == "null";
            if !is_quoted && !is_null {
                let mut quoted = Vec::new();
                write_string(default, &mut quoted);
                *default = String::from_utf8_lossy(&quoted).into_owned();
            }
        }
        if let (Some(default), Type::Base(Base::Bool)) = (&mut self.default, inner)
            && matches!(default.as_str(), "True" | "TRUE" | "False" | "FALSE")
        {
            default.make_ascii_lowercase();
        }
        if self.is_flag && self.default.is_none() {
            self.default = Some("false".to_string());
        }
    }

    /// Why it does not fit a type that is known, in words about the parameter or field.
    pub fn misfit(&self, ty: &Type) -> Option<String> {
        let is_known = !ty.has(&|ty| matches!(ty, Type::Named(_) | Type::Variable(_)));
        let is_wrong = self.is_flag && is_known && *ty != Type::Base(Base::Bool);
        is_wrong.then(|| format!("is {ty}, expected Bool for a flag"))
    }

    /// Makes it an option by the name of its parameter, unless it is one already, with that default.
    pub fn make_option(&mut self, name: &str, ty: &Type, default: Option<String>) {
        let word = name.trim_matches(['_', '.']).replace(['_', '.'], "-");
        if !is_word(&word) {
            return;
        }
        if self.short.is_none() && self.long.is_none() && self.long_rev.is_none() {
            let mut letters = word.chars();
            let is_flag = *ty == Type::Base(Base::Bool) && default.is_some();
            match (letters.next(), letters.next()) {
                (Some(letter), None) => self.short = Some(letter),
                (Some(_), Some(_)) => {
                    self.long_rev = is_flag.then(|| format!("no-{word}"));
                    self.long = Some(word);
                }
                (None, _) => {}
            }
            self.is_flag = is_flag;
        }
        self.default = self.default.take().or(default);
    }

    /// The words of a flag, if it is one.
    pub fn flag_words(&self) -> Option<FlagWords> {
        let default = self.default.as_deref() == Some("true");
        let (long, long_rev) = match default {
            true => (&self.long_rev, &self.long),
            false => (&self.long, &self.long_rev),
        };
        self.is_flag.then(|| FlagWords {
            default,
            long: long.clone(),
            long_rev: long_rev.clone(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::signature::Place;

    fn param(text: &str) -> Result<ParamDoc, Flaw> {
        let mut doc = ParamDoc::default();
        for (line, text) in (1..).zip(text.lines()) {
            let place = Place { line, column: 1 };
            describe_param(&mut doc, Line { text, place })?;
        }
        Ok(doc)
    }

    fn check(text: &str, ty: Base, expected: &str) {
        let found = match param(text) {
            Ok(mut doc) => {
                doc.settle(&Type::Base(ty));
                let again = doc.clone();
                doc.settle(&Type::Base(ty));
                assert_eq!(doc, again);
                let mut parts = vec![doc.desc.join("|")];
                parts.extend(doc.metavar.map(|metavar| format!("metavar {metavar}")));
                parts.extend(doc.short.map(|letter| format!("-{letter}")));
                parts.extend(doc.long.map(|word| format!("--{word}")));
                parts.extend(doc.long_rev.map(|word| format!("rev --{word}")));
                parts.extend(doc.default.map(|default| format!("= {default}")));
                parts.extend(doc.is_flag.then(|| "flag".to_string()));
                parts.extend(doc.is_unrolled.then(|| "unrolled".to_string()));
                parts.join(", ")
            }
            Err(flaw) => format!(
                "{}:{}+{} {}",
                flaw.place.line, flaw.place.column, flaw.len, flaw.message
            ),
        };
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn directives_of_parameters() {
        check("How many\nto ask", Base::Int, "How many|to ask");
        check(
            "How many [arg: -k/--neighbours, default: 5, metavar: K]",
            Base::Int,
            "How many, metavar K, -k, --neighbours, = 5",
        );
        check(
            "A list [default: [1, 2], arg: --xs]",
            Base::Int,
            "A list, --xs, = [1, 2]",
        );
        check("In metres [m]", Base::Real, "In metres [m]");
        check("default: iris.csv", Base::Str, ", = \"iris.csv\"");
        check("default: \"a b\"", Base::Str, ", = \"a b\"");
        check("default: say \"a\"", Base::Str, ", = \"say \\\"a\\\"\"");
        check("true: -v/--verbose", Base::Bool, ", -v, --verbose, = false, flag");
        check("false: -q/--quiet", Base::Bool, ", -q, rev --quiet, = true, flag");
        check(
            "true: --loud\nfalse: --quiet",
            Base::Bool,
            ", --loud, rev --quiet, = false, flag",
        );
        check("[unroll: true]", Base::Str, ", unrolled");
        check(
            "true: story",
            Base::Bool,
            "1:7+5 'story' is no option, expected -k, --name or -k/--name",
        );
        check(
            "x [arg: k]",
            Base::Int,
            "1:9+1 'k' is no option, expected -k, --name or -k/--name",
        );
        check(
            "arg: -k/-l",
            Base::Int,
            "1:6+5 '-k/-l' is no option, expected -k, --name or -k/--name",
        );
        check(
            "true: -v\nfalse: -q",
            Base::Bool,
            "2:8+2 an option has one letter, this is the second",
        );
        check(
            "default:",
            Base::Int,
            "1:9+1 'default:' says nothing, expected a value behind it",
        );
        check(
            "unroll: yes",
            Base::Int,
            "1:9+3 unroll is 'yes', expected true or false",
        );
        check("]", Base::Int, "]");
        check("[[default: 1]", Base::Int, "[, = 1");
    }

    #[test]
    fn directives_of_functions() {
        let check = |text: &str, expected: Result<Doc, &str>| {
            let mut doc = Doc::default();
            let place = Place { line: 1, column: 1 };
            let found = describe_function(&mut doc, Line { text, place });
            assert_eq!(
                found.map(|()| doc).map_err(|flaw| flaw.message),
                expected.map_err(String::from)
            );
        };
        let doc = Doc::default;
        check(
            "The mean: a number",
            Ok(Doc {
                desc: vec!["The mean: a number".into()],
                ..doc()
            }),
        );
        check(
            "name: avg",
            Ok(Doc {
                name: Some("avg".into()),
                ..doc()
            }),
        );
        check("name: two words", Err("name is 'two words', expected one word"));
        check(
            "example: mean '[1]'",
            Ok(Doc {
                examples: vec!["mean '[1]'".into()],
                ..doc()
            }),
        );
        check(
            "timeout: 1.5",
            Ok(Doc {
                timeout_ms: Some(1500),
                ..doc()
            }),
        );
        check("timeout: 0", Err("timeout is '0', expected seconds"));
        check(
            "timeout: 99999999999999999999",
            Err("timeout is '99999999999999999999', expected seconds"),
        );
        check("timeout: .5", Err("timeout is '.5', expected seconds"));
    }

    #[test]
    fn options_by_the_name_of_a_parameter() {
        for (name, ty, default, expected) in [
            ("k", Base::Int, "5", (Some('k'), None, None, false)),
            (
                "max_depth",
                Base::Int,
                "5",
                (None, Some("max-depth"), None, false),
            ),
            (
                "loud",
                Base::Bool,
                "false",
                (None, Some("loud"), Some("no-loud"), true),
            ),
            ("_", Base::Int, "5", (None, None, None, false)),
        ] {
            let mut doc = ParamDoc::default();
            doc.make_option(name, &Type::Base(ty), Some(default.to_string()));
            let found = (
                doc.short,
                doc.long.as_deref(),
                doc.long_rev.as_deref(),
                doc.is_flag,
            );
            assert_eq!(found, expected, "{name}");
        }
        let mut doc = ParamDoc::default();
        doc.make_option("loud", &Type::Base(Base::Bool), Some("true".to_string()));
        let words = doc.flag_words().map(|words| (words.default, words.long));
        assert_eq!(words, Some((true, Some("no-loud".to_string()))));
    }
}
