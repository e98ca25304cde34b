//! Values from YAML text (1.2, core schema), with the line of each. What is not data is refused: merge keys, tags of other
//! schemas, keys that are no scalars. Opens no file.

use super::Value;
use super::json::number;
use super::located::{Flaw, Located, Words};
use crate::limits::{FLOW_FILE_NODES_MAX, FLOW_VALUE_DEPTH_MAX};
use saphyr_parser::{Event, Marker, Parser, ScalarStyle, ScanError, Tag};
use std::borrow::Cow;
use std::rc::Rc;

type Read<T> = Result<T, Flaw>;

/// The documents of a text, in order.
///
/// # Errors
/// The first flaw: what is no YAML, a key that stands twice in a map or is none, a tag beyond the core schema, an alias within
/// what it names, nesting beyond [`FLOW_VALUE_DEPTH_MAX`], more than [`FLOW_FILE_NODES_MAX`] values with aliases written out.
pub fn read(text: &str) -> Read<Vec<Located>> {
    read_sharing(text, &mut Words::default())
}

/// As [`read`], with names of entries that are kept for many texts.
pub(super) fn read_sharing(text: &str, words: &mut Words) -> Read<Vec<Located>> {
    let mut builder = Builder {
        documents: Vec::new(),
        root: Value::Null,
        lines: Vec::new(),
        open: Vec::new(),
        anchors: Vec::new(),
        anchors_from: 0,
        nodes: 0,
        words,
    };
    let mut parser = Parser::new_from_str(text);
    while let Some(event) = parser.next_event() {
        let (event, span) = event.map_err(|error| foreign(&error, text))?;
        builder.handle(event, span.start)?;
    }
    Ok(builder.documents)
}

fn flaw<T>(mark: Marker, message: impl Into<String>) -> Read<T> {
    Err(Flaw {
        line: line(mark),
        column: u32::try_from(mark.col() + 1).unwrap_or(u32::MAX),
        message: message.into(),
        hint: None,
    })
}

fn line(mark: Marker) -> u32 {
    u32::try_from(mark.line().max(1)).unwrap_or(u32::MAX)
}

fn foreign(error: &ScanError, text: &str) -> Flaw {
    let mark = *error.marker();
    Flaw {
        line: line(mark),
        column: u32::try_from(mark.col() + 1).unwrap_or(u32::MAX),
        message: error.info().to_string(),
        hint: hint(error, text),
    }
}

/// What to try after the mistakes that are made most: a port with an index within braces, and a colon in a text.
fn hint(error: &ScanError, text: &str) -> Option<String> {
    let info = error.info();
    if info.contains("mapping values are not allowed") {
        return Some("quote the text, or write it below after |".to_string());
    }
    if !info.starts_with("while parsing a flow") {
        return None;
    }
    let mark = error.marker();
    let line = text.lines().nth(mark.line().checked_sub(1)?)?;
    let until = line.char_indices().nth(mark.col() + 1);
    let before = line.get(..until.map_or(line.len(), |(at, _)| at))?;
    let bracket = before.rfind('[')?;
    let is_of_word = |character: char| character.is_alphanumeric() || "_-.".contains(character);
    let word = before.get(..bracket)?;
    let from = word.trim_end_matches(is_of_word).len();
    let index = line.get(bracket + 1..)?;
    let digits = index.bytes().take_while(u8::is_ascii_digit).count();
    let port = line.get(from..bracket + 1 + digits)?;
    (from < bracket).then(|| format!("quote it within braces: \"{port}]\""))
}

/// What an anchor names, once it is whole.
struct Anchored {
    value: Value,
    /// Where its lines stand among those of the document.
    lines: std::ops::Range<usize>,
    /// Levels of lists and maps that it is.
    height: usize,
}

/// A list or map that is not whole yet.
struct Open {
    /// Elements, or values of a map.
    values: Vec<Value>,
    /// A map's keys and where they stand; one more than values while a value is awaited.
    keys: Vec<(Rc<str>, Marker)>,
    is_map: bool,
    anchor: usize,
    /// Where its lines begin among those of the document.
    first_line: usize,
    height: usize,
}

struct Builder<'w> {
    documents: Vec<Located>,
    root: Value,
    lines: Vec<u32>,
    open: Vec<Open>,
    /// What the anchors of this document name, by their numbers from `anchors_from` on.
    anchors: Vec<Option<Anchored>>,
    anchors_from: usize,
    /// Values of all documents.
    nodes: usize,
    words: &'w mut Words,
}

impl Builder<'_> {
    fn handle(&mut self, event: Event<'_>, mark: Marker) -> Read<()> {
        match event {
            Event::DocumentStart(_) => {
                self.anchors_from += self.anchors.len();
                self.anchors.clear();
                self.lines.clear();
                self.root = Value::Null;
            }
            Event::DocumentEnd => self.documents.push(Located {
                value: std::mem::take(&mut self.root),
                lines: self.lines.as_slice().into(),
            }),
            Event::Alias(anchor) => self.alias(anchor, mark)?,
            Event::Scalar(text, style, anchor, tag) => {
                if self.awaits_key() {
                    return self.key(&text, style, tag.as_deref(), mark);
                }
                let first_line = self.begin(mark, 1)?;
                let value = scalar(text, style, tag.as_deref(), mark)?;
                self.finish(value, anchor, first_line, 0);
            }
            Event::SequenceStart(anchor, tag) => self.begin_open(anchor, tag.as_deref(), false, mark)?,
            Event::MappingStart(anchor, tag) => self.begin_open(anchor, tag.as_deref(), true, mark)?,
            Event::SequenceEnd | Event::MappingEnd => {
                if let Some(open) = self.open.pop() {
                    self.end_open(open)?;
                }
            }
            Event::Nothing | Event::StreamStart | Event::StreamEnd => {}
        }
        Ok(())
    }

    fn awaits_key(&self) -> bool {
        let open = self.open.last();
        open.is_some_and(|open| open.is_map && open.keys.len() == open.values.len())
    }

    fn key(&mut self, text: &str, style: ScalarStyle, tag: Option<&Tag>, mark: Marker) -> Read<()> {
        if text == "<<" && style == ScalarStyle::Plain {
            return flaw(mark, "merge keys (<<) are not supported, write the entries out");
        }
        if let Some(tag) = tag
            && !matches!(core(tag), Some("str" | "!"))
        {
            return flaw(mark, "the tag of a key is not supported, expected none");
        }
        if text.is_empty() && style == ScalarStyle::Plain {
            return flaw(mark, "a key is empty");
        }
        if let Some(open) = self.open.last_mut() {
            open.keys.push((self.words.share(text), mark));
        }
        Ok(())
    }

    /// Counts a value, with `nodes` in all, and notes its line: where its lines begin.
    fn begin(&mut self, mark: Marker, nodes: usize) -> Read<usize> {
        self.nodes += nodes;
        if self.nodes > FLOW_FILE_NODES_MAX {
            return flaw(
                mark,
                format!("more than {FLOW_FILE_NODES_MAX} values in a text, aliases written out"),
            );
        }
        let key = self.open.last().and_then(|open| open.keys.last());
        self.lines.push(line(key.map_or(mark, |key| key.1)));
        Ok(self.lines.len() - 1)
    }

    fn begin_open(&mut self, anchor: usize, tag: Option<&Tag>, is_map: bool, mark: Marker) -> Read<()> {
        if self.awaits_key() {
            return flaw(mark, "a list or map is a key, expected a name");
        }
        let expected = if is_map { "map" } else { "seq" };
        if let Some(tag) = tag
            && !matches!(core(tag), Some(name) if name == expected || name == "!")
        {
            return flaw(mark, unsupported(tag));
        }
        if self.open.len() > FLOW_VALUE_DEPTH_MAX {
            return flaw(mark, too_deep());
        }
        let first_line = self.begin(mark, 1)?;
        self.reserve(anchor);
        self.open.push(Open {
            values: Vec::new(),
            keys: Vec::new(),
            is_map,
            anchor,
            first_line,
            height: 0,
        });
        Ok(())
    }

    fn end_open(&mut self, mut open: Open) -> Read<()> {
        let value = match open.is_map {
            false => {
                open.values.shrink_to_fit();
                Value::list(open.values)
            }
            true => {
                if let Some((key, mark)) = repeated(&open.keys) {
                    return flaw(
                        mark,
                        format!("key '{}' stands twice in a map", key.escape_debug()),
                    );
                }
                let keys = open.keys.into_iter().map(|(key, _)| Value::Str(key));
                Value::Map(Rc::new(keys.zip(open.values).collect()))
            }
        };
        self.finish(value, open.anchor, open.first_line, open.height + 1);
        Ok(())
    }

    fn alias(&mut self, anchor: usize, mark: Marker) -> Read<()> {
        if self.awaits_key() {
            return flaw(mark, "an alias is a key, expected a name");
        }
        let place = anchor.checked_sub(self.anchors_from + 1);
        let Some(named) = place.and_then(|place| self.anchors.get(place)) else {
            return flaw(mark, "an alias names nothing in this document");
        };
        let Some(named) = named else {
            return flaw(mark, "an alias stands within what it names");
        };
        let (value, lines, height) = (named.value.clone(), named.lines.clone(), named.height);
        if self.open.len() + height > FLOW_VALUE_DEPTH_MAX + 1 {
            return flaw(mark, too_deep());
        }
        let first_line = self.begin(mark, lines.len())?;
        self.lines.extend_from_within(lines.start + 1..lines.end);
        self.finish(value, 0, first_line, height);
        Ok(())
    }

    /// Makes room for what an anchor will name.
    fn reserve(&mut self, anchor: usize) {
        let needed = anchor.saturating_sub(self.anchors_from);
        if self.anchors.len() < needed {
            self.anchors.resize_with(needed, || None);
        }
    }

    fn finish(&mut self, value: Value, anchor: usize, first_line: usize, height: usize) {
        if anchor > 0 {
            self.reserve(anchor);
            let place = anchor.checked_sub(self.anchors_from + 1);
            if let Some(named) = place.and_then(|place| self.anchors.get_mut(place)) {
                *named = Some(Anchored {
                    value: value.clone(),
                    lines: first_line..self.lines.len(),
                    height,
                });
            }
        }
        match self.open.last_mut() {
            Some(open) => {
                open.height = open.height.max(height);
                open.values.push(value);
            }
            None => self.root = value,
        }
    }
}

fn too_deep() -> String {
    format!("nested deeper than {FLOW_VALUE_DEPTH_MAX} levels")
}

/// A key that stands twice, and where it does again.
fn repeated(keys: &[(Rc<str>, Marker)]) -> Option<(&str, Marker)> {
    let mut order: Vec<&(Rc<str>, Marker)> = keys.iter().collect();
    order.sort_unstable_by_key(|(key, mark)| (&**key, mark.index()));
    let twice = order.windows(2).find(|pair| pair[0].0 == pair[1].0)?;
    Some((&twice[1].0, twice[1].1))
}

/// The name of a tag of the core schema; `!` for the one that says that a scalar is a string.
fn core(tag: &Tag) -> Option<&str> {
    match (tag.handle.as_str(), tag.suffix.as_str()) {
        ("tag:yaml.org,2002:", name) => Some(name),
        ("", "!") | ("!", "") => Some("!"),
        ("", whole) => whole.strip_prefix("tag:yaml.org,2002:"),
        _ => None,
    }
}

fn unsupported(tag: &Tag) -> String {
    let name = format!("{}{}", tag.handle, tag.suffix);
    format!(
        "tag '{}' is not supported here, expected one of the core schema that fits",
        name.escape_debug()
    )
}

fn scalar(text: Cow<'_, str>, style: ScalarStyle, tag: Option<&Tag>, mark: Marker) -> Read<Value> {
    let Some(tag) = tag else {
        return Ok(match style {
            ScalarStyle::Plain => plain(&text),
            _ => Value::Str(text.into()),
        });
    };
    let value = plain(&text);
    let value = match (core(tag), value) {
        (Some("str" | "!"), _) => Value::Str(text.into()),
        (Some("null"), Value::Null) => Value::Null,
        (Some("bool"), Value::Bool(value)) => Value::Bool(value),
        (Some("int"), value @ (Value::Int(_) | Value::Uint(_))) => value,
        (Some("float"), Value::Float(value)) => Value::Float(value),
        (Some("float"), Value::Int(value)) => Value::Float(value as f64),
        (Some("float"), Value::Uint(value)) => Value::Float(value as f64),
        _ => return flaw(mark, unsupported(tag)),
    };
    Ok(value)
}

/// What a scalar without quotes is by the core schema. Integers beyond 64 bits become floats.
pub(super) fn plain(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "true" | "True" | "TRUE" => return Value::Bool(true),
        "false" | "False" | "FALSE" => return Value::Bool(false),
        ".nan" | ".NaN" | ".NAN" => return Value::Float(f64::NAN),
        _ => {}
    }
    let (sign, digits) = match text.as_bytes().first() {
        Some(b'-') => ("-", &text[1..]),
        Some(b'+') => ("", &text[1..]),
        _ => ("", text),
    };
    if matches!(digits, ".inf" | ".Inf" | ".INF") {
        let sign = if sign.is_empty() { 1.0 } else { -1.0 };
        return Value::Float(f64::INFINITY * sign);
    }
    let radix = match digits.get(..2) {
        Some("0x") => 16,
        Some("0o") => 8,
        _ => 10,
    };
    if radix != 10 && digits.len() == text.len() && digits.len() > 2 {
        let digits = &digits[2..];
        if digits.chars().all(|char| char.is_digit(radix)) {
            let value = digits.chars().fold(0.0, |sum, char| {
                sum * f64::from(radix) + f64::from(char.to_digit(radix).unwrap_or(0))
            });
            let whole = u64::from_str_radix(digits, radix).ok();
            let int = whole.and_then(|whole| i64::try_from(whole).ok()).map(Value::Int);
            return int.or(whole.map(Value::Uint)).unwrap_or(Value::Float(value));
        }
    }
    match is_number(digits) {
        true => number(&format!("{sign}{digits}")),
        false => Value::Str(text.into()),
    }
}

/// Whether a text without its sign is a decimal number of the core schema.
fn is_number(text: &str) -> bool {
    let after_digits = |text: &str| text.trim_start_matches(|char: char| char.is_ascii_digit()).len();
    let (mantissa, exponent) = match text.find(['e', 'E']) {
        Some(at) => (&text[..at], Some(&text[at + 1..])),
        None => (text, None),
    };
    let exponent_fits = exponent.is_none_or(|exponent| {
        let digits = exponent.strip_prefix(['-', '+']).unwrap_or(exponent);
        !digits.is_empty() && after_digits(digits) == 0
    });
    let mantissa_fits = match mantissa.split_once('.') {
        Some((whole, part)) => {
            after_digits(whole) == 0 && after_digits(part) == 0 && !(whole.is_empty() && part.is_empty())
        }
        None => !mantissa.is_empty() && after_digits(mantissa) == 0,
    };
    exponent_fits && mantissa_fits
}

#[cfg(test)]
mod tests {
    use super::super::json;
    use super::*;

    fn check(yaml: &str, expected: &str) {
        let documents = read(yaml).map(|found| found.into_iter().map(|document| document.value));
        let told = match documents {
            Ok(documents) => documents
                .map(|value| json::text(&value))
                .collect::<Vec<_>>()
                .join(" "),
            Err(flaw) => format!("{} at {}:{}", flaw.message, flaw.line, flaw.column),
        };
        assert_eq!(told, expected, "{yaml}");
    }

    #[test]
    fn scalars() {
        for (yaml, expected) in [
            ("~", "null"),
            ("Null", "null"),
            ("nULL", "\"nULL\""),
            ("[yes, on, n]", "[\"yes\",\"on\",\"n\"]"),
            ("[True, false]", "[true,false]"),
            ("[0, -1, +2, 007, 0x1F, 0o17, -0x1]", "[0,-1,2,7,31,15,\"-0x1\"]"),
            ("[1.5, -.5, 5., 1e3, 1E-2, .]", "[1.5,-0.5,5,1000,0.01,\".\"]"),
            ("[.inf, -.INF, .nan]", "[\"Infinity\",\"-Infinity\",\"NaN\"]"),
            (
                "[1_000, 1:30, 0b1, 1e, e1, +, 1.2.3]",
                "[\"1_000\",\"1:30\",\"0b1\",\"1e\",\"e1\",\"+\",\"1.2.3\"]",
            ),
            ("18446744073709551615", "18446744073709551615"),
            ("0xFFFFFFFFFFFFFFFFFF", "4.722366482869645e21"),
            ("2024-01-01", "\"2024-01-01\""),
            ("['1', \"a\\tb\", 'it''s']", "[\"1\",\"a\\tb\",\"it's\"]"),
            ("a: |\n  x\n   y\n\n", "{\"a\":\"x\\n y\\n\"}"),
            ("a: >-\n  x\n  y\n", "{\"a\":\"x y\"}"),
            ("[!!str 1, !!float 1, !!int 2, ! x]", "[\"1\",1,2,\"x\"]"),
        ] {
            check(yaml, expected);
        }
    }

    #[test]
    fn documents_and_collections() {
        for (yaml, expected) in [
            ("", ""),
            ("# nothing\n", ""),
            ("a\n---\nb\n...\n", "\"a\" \"b\""),
            (
                "- a: 1\n  b: [x, {c: d}]\n- 2\n",
                "[{\"a\":1,\"b\":[\"x\",{\"c\":\"d\"}]},2]",
            ),
            ("a:\nb: 1\n404: x\n", "{\"a\":null,\"b\":1,\"404\":\"x\"}"),
            ("- &a {x: [1]}\n- *a\n", "[{\"x\":[1]},{\"x\":[1]}]"),
            ("&a 1\n---\n&b [2]\n---\n- &c 3\n- *c\n", "1 [2] [3,3]"),
            ("\"<<\": 1", "{\"<<\":1}"),
        ] {
            check(yaml, expected);
        }
    }

    #[test]
    fn what_is_refused() {
        for (yaml, expected) in [
            ("a: 1\nb: 2\na: 3\n", "key 'a' stands twice in a map at 3:1"),
            (
                "- &x {a: 1}\n- <<: *x\n",
                "merge keys (<<) are not supported, write the entries out at 2:3",
            ),
            (
                "a: !thing 1",
                "tag '!thing' is not supported here, expected one of the core schema that fits at 1:4",
            ),
            (
                "!!int x",
                "tag 'tag:yaml.org,2002:int' is not supported here, expected one of the core schema that fits at 1:1",
            ),
            ("? [a]\n: b\n", "a list or map is a key, expected a name at 1:3"),
            (": b\n", "a key is empty at 1:1"),
            ("&a [*a]", "an alias stands within what it names at 1:5"),
            (
                "- &a 1\n- *b\n",
                "while parsing node, found unknown anchor at 2:3",
            ),
            (
                "&a 1\n---\n*a\n",
                "an alias names nothing in this document at 3:1",
            ),
        ] {
            check(yaml, expected);
        }
        assert!(read("a: [1, 2").is_err() && read("a: b: c").is_err());
    }

    #[test]
    fn hints() {
        let colon = Some("quote the text, or write it below after |");
        for (yaml, expected) in [
            ("{port: out[0]}", Some("quote it within braces: \"out[0]\"")),
            (
                "- x: 1\n  to: {name: a, port: in[12], y: 1}",
                Some("quote it within braces: \"in[12]\""),
            ),
            (
                "ports: {out[0]: [{name: b}]}",
                Some("quote it within braces: \"out[0]\""),
            ),
            (
                "{a: [1, 2], é: out[1]}",
                Some("quote it within braces: \"out[1]\""),
            ),
            ("{a: [1, 2] b}", None),
            ("{a: 1", None),
            ("code: self.x: 1", colon),
            ("code: [1, 2", None),
        ] {
            let found = read(yaml).unwrap_err();
            assert_eq!(found.hint.as_deref(), expected, "{yaml}: {}", found.message);
        }
    }

    #[test]
    fn nothing_explodes() {
        let mut laughs = "- &a0 [x, x, x, x, x, x, x, x, x]\n".to_string();
        for level in 1..12 {
            let alias = format!("*a{},", level - 1).repeat(9);
            laughs += &format!("- &a{level} [{alias}]\n");
        }
        let told = read(&laughs).unwrap_err();
        assert!(
            told.message.starts_with("more than 1048576 values"),
            "{}",
            told.message
        );
        let mut deep = "- &a0 [x]\n".to_string();
        for level in 1..200 {
            deep += &format!("- &a{level} [*a{}]\n", level - 1);
        }
        assert_eq!(read(&deep).unwrap_err().message, "nested deeper than 128 levels");
        assert_eq!(
            read(&"- ".repeat(1000)).unwrap_err().message,
            "nested deeper than 128 levels"
        );
        assert!(read(&"[".repeat(100_000)).is_err());
        assert!(read(&"- ".repeat(129)).is_ok());
    }
}
