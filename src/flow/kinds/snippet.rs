//! The kind `snippet`: code in one of some languages. What nexus evaluates itself is compiled when the node is loaded; the rest
//! is for a pool.

use super::fields::{self, Condition};
use super::node::{Context, FrameState, Known, Node, Step, Work};
use crate::codec::json::line_column;
use crate::codec::nearest::nearest;
use crate::error::Result;
use crate::flow::spec::{Port, Spec};
use crate::flow::value::located;
use crate::flow::value::{Value, json};
use crate::limits::SNIPPET_BYTES_MAX;
use std::rc::Rc;

const LANGUAGES: [&str; 7] = ["cel", "javascript", "json", "python", "r", "text", "yaml"];

enum Snippet {
    Constant(Value),
    Expression(Condition),
    Foreign { language: Rc<str>, code: Rc<str> },
}

/// Builds one.
///
/// # Errors
/// A language that there isn't, or code that is wrong.
pub fn build(spec: &Spec, _known: &Known) -> Result<Box<dyn Node>> {
    let language = fields::needed_text(spec, "language", "as cel or python")?;
    let wrong = |message: String| fields::wrong(spec, "code", message);
    // A template may have become a value that is no text.
    let code = match (&*language, spec.field("code")) {
        ("json" | "yaml", Some(value)) if value.as_str().is_none() => {
            return Ok(Box::new(Snippet::Constant(value.clone())));
        }
        _ => fields::needed_text(spec, "code", "a text")?,
    };
    let snippet = match &*language {
        "text" => Snippet::Constant(Value::Str(code)),
        "json" => {
            let read = json::read(code.as_bytes());
            Snippet::Constant(read.map_err(|flaw| {
                let (line, column) = line_column(code.as_bytes(), flaw.offset);
                wrong(format!(
                    "code is not JSON: {} at {line}:{column} of it",
                    flaw.message
                ))
            })?)
        }
        "yaml" => {
            let read = located::read(code.as_bytes(), false);
            let documents = read.map_err(|flaw| wrong(format!("code is not YAML: {}", flaw.message)))?;
            let mut values = documents.into_iter().map(|document| document.value);
            match (values.next(), values.next()) {
                (value, None) => Snippet::Constant(value.unwrap_or_default()),
                _ => return Err(wrong("code is several documents of YAML, expected one".into())),
            }
        }
        "cel" => Snippet::Expression(Condition::compile(spec, "code", &code)?),
        "javascript" | "python" | "r" if code.len() > SNIPPET_BYTES_MAX => {
            let bytes = code.len();
            return Err(wrong(format!(
                "code has {bytes} bytes, expected at most {SNIPPET_BYTES_MAX}"
            )));
        }
        "javascript" | "python" | "r" => Snippet::Foreign { language, code },
        other => {
            let message = format!("language is '{other}', expected one of {}", LANGUAGES.join(", "));
            let error = fields::wrong(spec, "language", message);
            return Err(match nearest(other, LANGUAGES) {
                Some(near) => error.hint(format!("did you mean {near}?")),
                None => error,
            });
        }
    };
    Ok(Box::new(snippet))
}

impl Node for Snippet {
    fn receive(&self, _port: &Port, packet: Value, _frame: &mut FrameState, _cx: &Context) -> Step {
        match self {
            Snippet::Constant(value) => Step::Finish(Ok(value.clone())),
            Snippet::Expression(expression) => Step::Finish(expression.value(&packet)),
            Snippet::Foreign { language, code } => Step::Do(Work::Snippet {
                language: language.clone(),
                code: code.clone(),
                arg: packet,
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::SNIPPET_BYTES_MAX;
    use crate::flow::kinds::check::check;

    #[test]
    fn snippets() {
        let check = |fields: &str, packet: &str, expected| {
            check(
                &format!("- {{kind: snippet, name: a, {fields}}}"),
                packet,
                expected,
            );
        };
        check("language: cel, code: self.x + 1", "{\"x\":1}", Ok("2"));
        check("language: json, code: '{\"a\": [1]}'", "5", Ok("{\"a\":[1]}"));
        check("language: json, code: {a: 1}", "5", Ok("{\"a\":1}"));
        check("language: yaml, code: 'a: [1, x]'", "5", Ok("{\"a\":[1,\"x\"]}"));
        check("language: yaml, code: ''", "5", Ok("null"));
        check("language: text, code: hello", "5", Ok("\"hello\""));
        check("language: python, code: f", "5", Ok("[\"python\",\"f\",5]"));
        check(
            "language: javascript, code: f",
            "5",
            Ok("[\"javascript\",\"f\",5]"),
        );
        check("language: r, code: f", "5", Ok("[\"r\",\"f\",5]"));
        check(
            "language: cel",
            "5",
            Err("a node of kind 'snippet' needs code, a text"),
        );
        check(
            "code: x",
            "5",
            Err("a node of kind 'snippet' needs language, as cel or python"),
        );
        check(
            "language: pyton, code: x",
            "5",
            Err("language is 'pyton', expected one of cel, javascript, json, python, r, text, yaml"),
        );
        check("language: cel, code: 5", "5", Err("code is 5, expected a text"));
        check(
            &format!("language: r, code: {}", "x".repeat(SNIPPET_BYTES_MAX + 1)),
            "5",
            Err("code has 1048577 bytes, expected at most 1048576"),
        );
    }
}
