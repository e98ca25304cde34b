//! What nobody is to see: the texts in values, and how they are hidden in what is printed. Numbers are not looked for: 8000 would
//! be hidden wherever it stands.

use super::FlowValue;
use crate::error::Error;
use crate::flow::value::Value;
use crate::limits::FLOW_VALUE_DEPTH_MAX;
use std::borrow::Cow;
use std::rc::Rc;

/// What is shown in place of a secret.
pub const REDACTED: &str = "<redacted>";

/// Shorter texts are too common to be hidden wherever they stand, in bytes.
const SECRET_BYTES_MIN: usize = 4;

/// Texts to hide.
#[derive(Clone, Debug, Default)]
pub struct Secrets {
    /// In order, none twice, none empty.
    texts: Vec<Rc<str>>,
}

impl Secrets {
    /// All texts in these values.
    pub fn of<'v>(values: impl IntoIterator<Item = &'v FlowValue>) -> Secrets {
        let mut texts = Vec::new();
        for value in values {
            collect(&value.data, &mut texts);
        }
        texts.sort_unstable();
        texts.dedup();
        Secrets { texts }
    }

    /// With each line of those that have several: for what is shown line by line.
    #[must_use]
    pub fn by_lines(mut self) -> Secrets {
        let several = self.texts.iter().filter(|text| text.contains('\n'));
        let lines = several.flat_map(|text| text.lines().map(str::trim));
        let lines = lines.filter(|line| line.len() >= SECRET_BYTES_MIN).map(Rc::from);
        let lines: Vec<Rc<str>> = lines.collect();
        self.texts.extend(lines);
        self.texts.sort_unstable();
        self.texts.dedup();
        self
    }

    /// The text without them; as it is if none stands in it.
    pub fn mask<'t>(&self, text: &'t str) -> Cow<'t, str> {
        let mut out = String::new();
        // Up to where the text is written or hidden.
        let mut done = 0;
        let mut hidden = 0;
        for at in 0..text.len() {
            let end = at + self.longest_at(&text.as_bytes()[at..]);
            if end <= at {
                continue;
            }
            // Those that overlap or touch are hidden as one.
            if at > hidden || hidden == 0 {
                out.push_str(text.get(done..at).unwrap_or_default());
                out.push_str(REDACTED);
            }
            hidden = hidden.max(end);
            done = hidden;
        }
        if hidden == 0 {
            return Cow::Borrowed(text);
        }
        out.push_str(text.get(done..).unwrap_or_default());
        Cow::Owned(out)
    }

    /// Bytes of the longest secret that the text begins with.
    fn longest_at(&self, text: &[u8]) -> usize {
        // Those that begin as the text does stand together; shorter ones stand before those that they begin.
        let head = &text[..text.len().min(SECRET_BYTES_MIN)];
        let from = self.texts.partition_point(|secret| secret.as_bytes() < head);
        let alike = self.texts[from..]
            .iter()
            .map(|secret| secret.as_bytes())
            .take_while(|secret| secret.starts_with(head));
        let found = alike.filter(|secret| text.starts_with(secret));
        found.map(<[u8]>::len).max().unwrap_or(0)
    }

    /// Masks all that an error says in texts that may have come from a packet or from code.
    pub fn mask_error(&self, error: &mut Error) {
        if self.texts.is_empty() {
            return;
        }
        let trace = error.trace.iter_mut();
        let trace = trace.flat_map(|entry| [&mut entry.function, &mut entry.file]);
        let texts = [&mut error.message].into_iter().chain(&mut error.place);
        let texts = texts.chain(&mut error.hint).chain(&mut error.stderr_tail);
        for text in texts.chain(trace) {
            *text = self.mask(text).into_owned();
        }
    }

    /// The value with every text in it masked; what is nested too deep to be printed is null.
    pub fn mask_value(&self, value: &Value) -> Value {
        match self.texts.is_empty() {
            true => value.clone(),
            false => self.masked(value, 0),
        }
    }

    fn masked(&self, value: &Value, depth: usize) -> Value {
        if depth > FLOW_VALUE_DEPTH_MAX {
            return Value::Null;
        }
        match value {
            Value::Str(text) => match self.mask(text) {
                Cow::Borrowed(_) => value.clone(),
                Cow::Owned(masked) => Value::Str(masked.into()),
            },
            Value::List(elements) => {
                let elements = elements.iter();
                Value::list(elements.map(|value| self.masked(value, depth + 1)).collect())
            }
            Value::Map(entries) => {
                let entries = entries.iter();
                let entries =
                    entries.map(|(key, value)| (self.masked(key, depth + 1), self.masked(value, depth + 1)));
                Value::Map(Rc::new(entries.collect()))
            }
            Value::Error(error) => {
                let mut masked = error.as_ref().clone();
                self.mask_error(&mut masked);
                Value::Error(Rc::new(masked))
            }
            Value::Bytes(bytes) => match std::str::from_utf8(bytes).map(|text| self.mask(text)) {
                Ok(Cow::Owned(masked)) => Value::Bytes(masked.as_bytes().into()),
                _ => value.clone(),
            },
            _ => value.clone(),
        }
    }
}

fn collect(value: &Value, texts: &mut Vec<Rc<str>>) {
    match value {
        Value::Str(text) if text.len() >= SECRET_BYTES_MIN => {
            texts.push(text.clone());
            // As it stands in JSON, where a map with it becomes text.
            let escaped = crate::flow::value::json::text(value);
            let escaped = escaped.trim_matches('"');
            if escaped != &**text && escaped.len() >= SECRET_BYTES_MIN {
                texts.push(escaped.into());
            }
        }
        Value::List(elements) => elements.iter().for_each(|value| collect(value, texts)),
        Value::Map(entries) => entries.iter().for_each(|(_, value)| collect(value, texts)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{Kind, TraceEntry};
    use crate::flow::spec::Place;
    use crate::flow::value::json;
    use crate::flow::value::located::Located;

    fn secrets(data: &str) -> Secrets {
        let data = json::read(data.as_bytes()).unwrap();
        let value = FlowValue {
            id: None,
            namespace: "n".into(),
            name: "v".into(),
            annotations: Vec::new(),
            data,
            place: Place::default(),
            revision: None,
            written: Located::default(),
        };
        Secrets::of([&value])
    }

    #[test]
    fn texts_are_hidden() {
        let check =
            |data: &str, text: &str, expected: &str| assert_eq!(secrets(data).mask(text), expected, "{data}");
        check("\"hush\"", "hus hush, hushhush!", "hus <redacted>, <redacted>!");
        check("\"abc\"", "abc", "abc");
        check(
            "[\"abcd\", {\"k\": \"abcdef\"}, 1234]",
            "abcdef abcde 1234",
            "<redacted> <redacted>e 1234",
        );
        check("[\"abcd\", \"cdefg\"]", "xabcdefgx", "x<redacted>x");
        check("[\"éäöü\"]", "ééäöüü", "é<redacted>ü");
        check(
            "\"a\\\"b\\nc\"",
            "{\"x\":\"a\\\"b\\nc\"}",
            "{\"x\":\"a\\\"b\\nc\"}".replace("a\\\"b\\nc", REDACTED).as_str(),
        );
        check("[]", "", "");
    }

    #[test]
    fn values_are_hidden() {
        let secrets = secrets("\"hush\"");
        let value = json::read(b"{\"a\": [\"so hush\", 1], \"hush\": null}").unwrap();
        let masked = json::text(&secrets.mask_value(&value));
        assert_eq!(masked, "{\"a\":[\"so <redacted>\",1],\"<redacted>\":null}");
    }

    #[test]
    fn errors_and_lines_are_masked() {
        let secrets = secrets("\"hush\\nhidden line\"");
        assert_eq!(secrets.mask("a hush b"), "a hush b");
        let secrets = secrets.by_lines();
        assert_eq!(secrets.mask("a hush b"), "a <redacted> b");
        assert_eq!(secrets.mask("hidden line"), "<redacted>");
        let mut error = Error::new(Kind::Raised, "no hush").at("at hush").hint("try hush");
        error.stderr_tail = vec!["hush".into()];
        error.trace = vec![TraceEntry {
            lang: "py".into(),
            function: "f(hush)".into(),
            file: "hush.py".into(),
            line: 1,
        }];
        secrets.mask_error(&mut error);
        assert!(!format!("{error:?}").contains("hush"), "{error:?}");
    }
}
