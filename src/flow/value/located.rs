//! Values that know the line on which each part was written, and those of JSON texts. Opens no file.

use super::json::{number, repeated};
use super::{Value, yaml};
use crate::codec::json::{JsonError, Reader, Shape, line_column};
use crate::codec::lines;
use crate::error::{Error, Kind};
use crate::limits::{FLOW_FILE_BYTES_MAX, FLOW_FILE_NODES_MAX, FLOW_VALUE_DEPTH_MAX};
use crate::source::flaw::render;
use crate::source::signature::{Flaw as Shown, Place};
use std::rc::Rc;

/// A value, and the lines of its parts.
#[derive(Clone, Debug, Default)]
pub struct Located {
    /// The value.
    pub value: Value,
    /// The line of each value, from 1, in the order in which they begin; that of one in a map is its key's.
    pub lines: Rc<[u32]>,
}

/// What is wrong with a text, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flaw {
    /// The line, from 1.
    pub line: u32,
    /// The column in characters, from 1.
    pub column: u32,
    /// One lowercase sentence.
    pub message: String,
    /// What to try, if that is known.
    pub hint: Option<String>,
}

impl Flaw {
    /// As an error: kind `bad_argument` at `file:line:column`.
    pub fn error(&self, file: &str) -> Box<Error> {
        let place = format!("{file}:{}:{}", self.line, self.column);
        let error = Error::new(Kind::BadArgument, self.message.as_str()).at(place);
        match &self.hint {
            Some(hint) => error.hint(hint.as_str()),
            None => error,
        }
    }

    /// As people see it: the sentence, the place, the line with a caret below. `text` is the whole file.
    pub fn shown(&self, file: &str, text: &str) -> String {
        let place = Place {
            line: self.line,
            column: self.column,
        };
        render(file, text, &Shown::new(place, 1, self.message.as_str()))
    }
}

/// Names of entries that many texts have, kept once.
#[derive(Clone, Debug, Default)]
pub struct Words {
    /// In order.
    words: Vec<Rc<str>>,
}

impl Words {
    /// More names than nodes of all kinds have.
    const COUNT_MAX: usize = 256;

    /// The name, as it is kept, if there is room.
    pub(super) fn share(&mut self, name: &str) -> Rc<str> {
        match self.words.binary_search_by(|word| (**word).cmp(name)) {
            Ok(place) => self.words[place].clone(),
            Err(place) => {
                let word: Rc<str> = name.into();
                if self.words.len() < Words::COUNT_MAX {
                    self.words.insert(place, word.clone());
                }
                word
            }
        }
    }
}

/// A part of a located value.
#[derive(Clone, Copy, Debug)]
pub struct Node<'l> {
    /// The part.
    pub value: &'l Value,
    lines: &'l [u32],
}

impl<'l> Node<'l> {
    /// Its line, from 1; 0 if nobody wrote it in a file.
    pub fn line(self) -> u32 {
        self.lines.first().copied().unwrap_or(0)
    }

    /// Its elements, if it is a list; none else.
    pub fn elements(self) -> impl Iterator<Item = Node<'l>> {
        let mut rest = self.lines.get(1..).unwrap_or_default();
        let elements = self.value.elements().unwrap_or_default();
        elements.iter().map(move |value| take(value, &mut rest))
    }

    /// Its entries, if it is a map; none else.
    pub fn entries(self) -> impl Iterator<Item = (&'l Value, Node<'l>)> {
        let mut rest = self.lines.get(1..).unwrap_or_default();
        let entries = self.value.entries().unwrap_or_default();
        entries
            .iter()
            .map(move |(key, value)| (key, take(value, &mut rest)))
    }

    /// A copy that stands by itself.
    pub fn located(self) -> Located {
        let lines = self.lines.get(..count(self.value)).unwrap_or_default();
        Located {
            value: self.value.clone(),
            lines: lines.into(),
        }
    }
}

fn take<'l>(value: &'l Value, rest: &mut &'l [u32]) -> Node<'l> {
    let lines = *rest;
    *rest = lines.get(count(value)..).unwrap_or_default();
    Node { value, lines }
}

/// How many values it is, with all that are in it. Bounded by the depth that readers take.
fn count(value: &Value) -> usize {
    match value {
        Value::List(elements) => 1 + elements.iter().map(count).sum::<usize>(),
        Value::Map(entries) => 1 + entries.iter().map(|(_, value)| count(value)).sum::<usize>(),
        _ => 1,
    }
}

impl Located {
    /// A value that nobody wrote in a file.
    pub fn nowhere(value: Value) -> Located {
        Located {
            value,
            lines: Rc::default(),
        }
    }

    /// The whole of it.
    pub fn root(&self) -> Node<'_> {
        Node {
            value: &self.value,
            lines: &self.lines,
        }
    }
}

/// The documents of a text in JSON or YAML. What begins as JSON and is such is read as that: a little of it means something else in
/// YAML.
///
/// # Errors
/// What is wrong with it, as YAML unless `is_json` says that it is to be JSON; more than [`FLOW_FILE_BYTES_MAX`] or
/// [`FLOW_FILE_NODES_MAX`].
pub fn read(text: &[u8], is_json: bool) -> Result<Vec<Located>, Flaw> {
    read_sharing(text, is_json, &mut Words::default())
}

/// As [`read`], with names of entries that are kept for many texts.
///
/// # Errors
/// As [`read`].
pub fn read_sharing(text: &[u8], is_json: bool, words: &mut Words) -> Result<Vec<Located>, Flaw> {
    if text.len() > FLOW_FILE_BYTES_MAX {
        let message = format!(
            "a text of {} bytes, expected at most {FLOW_FILE_BYTES_MAX}",
            text.len()
        );
        return Err(Flaw {
            line: 1,
            column: 1,
            message,
            hint: None,
        });
    }
    let begins_as_json = matches!(text.trim_ascii_start().first(), Some(b'{' | b'['));
    if is_json || begins_as_json {
        match read_json(text, words) {
            Err(error) if is_json => return Err(flaw(text, &error)),
            Err(_) => {}
            Ok(located) => return Ok(vec![located]),
        }
    }
    let text = std::str::from_utf8(text).map_err(|error| {
        let message = "the text is no valid UTF-8".to_string();
        let offset = error.valid_up_to();
        flaw(text, &JsonError { offset, message })
    })?;
    yaml::read_sharing(text, words)
}

fn flaw(text: &[u8], error: &JsonError) -> Flaw {
    let (line, column) = line_column(text, error.offset);
    Flaw {
        line: u32::try_from(line).unwrap_or(u32::MAX),
        column: u32::try_from(column).unwrap_or(u32::MAX),
        message: error.message.clone(),
        hint: None,
    }
}

/// Reads JSON along with its lines.
struct Json<'t> {
    text: &'t [u8],
    reader: Reader<'t>,
    lines: Vec<u32>,
    /// Up to where lines are counted, and how many began.
    counted: (usize, u32),
    words: &'t mut Words,
}

fn read_json(text: &[u8], words: &mut Words) -> Result<Located, JsonError> {
    let mut json = Json {
        text,
        reader: Reader::new(text),
        lines: Vec::new(),
        counted: (0, 1),
        words,
    };
    let value = json.value(0, None)?;
    json.reader.finish()?;
    Ok(Located {
        value,
        lines: json.lines.into(),
    })
}

impl Json<'_> {
    /// The line of an offset, not before the last one asked for.
    fn line(&mut self, offset: usize) -> u32 {
        let (from, line) = self.counted;
        let passed = self.text.get(from..offset).map_or(0, lines::count);
        self.counted = (from.max(offset), line + u32::try_from(passed).unwrap_or(0));
        self.counted.1
    }

    fn value(&mut self, depth: usize, key_line: Option<u32>) -> Result<Value, JsonError> {
        let shape = self.reader.peek()?;
        let offset = self.reader.offset();
        let refuse = |message: String| Err(JsonError { offset, message });
        if depth > FLOW_VALUE_DEPTH_MAX {
            return refuse(format!("nested deeper than {FLOW_VALUE_DEPTH_MAX} levels"));
        }
        if self.lines.len() == FLOW_FILE_NODES_MAX {
            return refuse(format!("more than {FLOW_FILE_NODES_MAX} values in a text"));
        }
        let line = match key_line {
            Some(line) => line,
            None => self.line(offset),
        };
        self.lines.push(line);
        Ok(match shape {
            Shape::Null => {
                self.reader.null()?;
                Value::Null
            }
            Shape::Bool => Value::Bool(self.reader.boolean()?),
            Shape::Number => number(self.reader.number()?),
            Shape::Str => Value::Str(self.reader.string()?.into()),
            Shape::Array => {
                let mut elements = Vec::new();
                self.reader.begin_array()?;
                while self.reader.next_element()? {
                    elements.push(self.value(depth + 1, None)?);
                }
                elements.shrink_to_fit();
                Value::list(elements)
            }
            Shape::Object => {
                let mut entries = Vec::new();
                self.reader.begin_object()?;
                while let Some(key) = self.reader.next_key()? {
                    let key = Value::Str(self.words.share(&key));
                    let line = self.line(self.reader.key_offset());
                    entries.push((key, self.value(depth + 1, Some(line))?));
                }
                if let Some(key) = repeated(&entries) {
                    return refuse(format!("key '{key}' stands twice in an object"));
                }
                entries.shrink_to_fit();
                Value::Map(Rc::new(entries))
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_know_their_lines() {
        let json = "[\n {\"a\": 1,\n  \"b\":\n   [2,\n    3]},\n {\"c\": {}}]";
        let yaml = "- a: 1\n\n  # two\n  b:\n    - 2\n    - 3\n- c: {}\n";
        for (text, first, b, three, c) in [(json, 2, 3, 5, 6), (yaml, 1, 4, 6, 7)] {
            let documents = read(text.as_bytes(), false).unwrap();
            let elements: Vec<Node> = documents[0].root().elements().collect();
            assert_eq!(elements[0].line(), first);
            let entries: Vec<(&Value, Node)> = elements[0].entries().collect();
            assert_eq!(entries[1].1.line(), b);
            assert_eq!(entries[1].1.elements().nth(1).unwrap().line(), three);
            let copy = elements[1].located();
            assert_eq!(copy.root().entries().next().unwrap().1.line(), c);
            assert_eq!(copy.lines.len(), 2);
        }
        let nowhere = Located::nowhere(documents("[[1], 2]").remove(0).value);
        assert_eq!(nowhere.root().elements().map(Node::line).sum::<u32>(), 0);
    }

    fn documents(text: &str) -> Vec<Located> {
        read(text.as_bytes(), false).unwrap()
    }

    #[test]
    fn json_is_json() {
        let check = |text: &str, is_json: bool, expected: &str| {
            let told = read(text.as_bytes(), is_json).map_err(|flaw| flaw.error("f").to_string());
            let told = told.map(|found| super::super::json::text(&found[0].value));
            assert_eq!(told.unwrap_or_else(|error| error), expected, "{text}");
        };
        check("{\"a\": \"\\ud83d\\ude00\\/\"}", false, "{\"a\":\"😀/\"}");
        check("{a: [b]}", false, "{\"a\":[\"b\"]}");
        check(
            "{a: 1}",
            true,
            "found 'a', expected a key in double quotes at f:1:2",
        );
        check(
            "{\"a\":1,\n\"a\":2}",
            true,
            "key 'a' stands twice in an object at f:1:1",
        );
        let flaw = read(b"a: \xff", false).unwrap_err();
        assert_eq!((flaw.line, flaw.column), (1, 4));
        let deep = "[".repeat(1000);
        assert!(read(deep.as_bytes(), true).is_err() && read(deep.as_bytes(), false).is_err());
    }
}
