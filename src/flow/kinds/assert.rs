//! The kind `assert`: a packet `[value, index]` passes if the value, or the next one that a node received or sent after that
//! record of the run's trace, is what is expected. Passes the packet on, with the record where it was found.

use super::fields::{self, Condition};
use super::node::{Context, FrameState, Known, Node, Outcome, Step};
use crate::error::{Error, Kind, Result};
use crate::flow::spec::{Port, Spec};
use crate::flow::value::{Value, json};
use crate::limits::FLOW_SHOWN_CHARS_MAX;
use std::rc::Rc;

struct Assert {
    expect: Condition,
    /// As it is written.
    text: Rc<str>,
    target: Option<(Rc<str>, Port)>,
}

/// Builds one.
///
/// # Errors
/// Fields that are wrong.
pub fn build(spec: &Spec, _known: &Known) -> Result<Box<dyn Node>> {
    let expect = Condition::needed(spec, "expect")?;
    let text = match spec.field("expect") {
        Some(Value::Str(text)) => text.clone(),
        other => other.map(json::text).unwrap_or_default().into(),
    };
    let target = spec.field("target").map(|target| {
        let wrong = |message: String| fields::wrong(spec, "target", message);
        let name = target.get("name").and_then(Value::as_str);
        let port = target.get("port").map_or(Some("in"), Value::as_str);
        let (Some(name), Some(port)) = (name, port) else {
            let message = format!(
                "target is {}, expected a map with name and port",
                json::text(target)
            );
            return Err(wrong(message));
        };
        let port = Port::parse(port).map_err(|error| wrong(error.message))?;
        Ok((Rc::from(name), port))
    });
    Ok(Box::new(Assert {
        expect,
        text,
        target: target.transpose()?,
    }))
}

impl Assert {
    fn look(&self, packet: &Value, cx: &Context) -> Outcome {
        let pair = packet.elements().filter(|pair| pair.len() == 2);
        let index = pair.and_then(|pair| pair[1].as_int());
        let (mut value, mut index) = match (pair, index) {
            (Some(pair), Some(index)) => (pair[0].clone(), index),
            _ => (packet.clone(), -1),
        };
        if let Some((node, port)) = &self.target {
            let found = cx.trace().find(index, node, port);
            (index, value) = found.ok_or_else(|| {
                let message = format!(
                    "nothing was at {node}.{port}, of which '{}' was expected",
                    self.text
                );
                failure(message)
            })?;
        }
        if !self.expect.holds("expect", &value)? {
            let mut shown = json::text(&value);
            if let Some((cut, _)) = shown.char_indices().nth(FLOW_SHOWN_CHARS_MAX) {
                shown.truncate(cut);
                shown.push_str("...");
            }
            let at = match &self.target {
                Some((node, port)) => format!(" at {node}.{port}"),
                None => String::new(),
            };
            let message = format!("the value{at} is {shown}, of which '{}' was expected", self.text);
            return Err(failure(message));
        }
        Ok(Value::list(vec![value, Value::Int(index)]))
    }
}

fn failure(message: String) -> Rc<Error> {
    Rc::from(Error::new(Kind::Raised, message))
}

impl Node for Assert {
    fn reads_trace(&self) -> bool {
        self.target.is_some()
    }

    fn receive(&self, _port: &Port, packet: Value, _frame: &mut FrameState, cx: &Context) -> Step {
        Step::Finish(self.look(&packet, cx))
    }
}

#[cfg(test)]
mod tests {
    use crate::flow::kinds::check::check;

    fn graph(asserts: &str) -> String {
        format!(
            "
- {{kind: test, name: a, ports: {{'out[0]': [{{name: p}}], 'out[1]': [{{name: b}}]}}}}
- {{kind: pipe, name: p, ports: {{'out[0]': [{{name: x}}], 'out[1]': [{{name: y}}]}}}}
- {{kind: snippet, name: x, language: cel, code: '[self, 1]', ports: {{out: [{{name: z}}]}}}}
- {{kind: snippet, name: y, language: cel, code: 'size(self)'}}
- {{kind: snippet, name: z, language: text, code: abc}}
{asserts}
"
        )
    }

    #[test]
    fn asserts() {
        let check = |asserts: &str, expected| check(&graph(asserts), "7", expected);
        check("- {kind: assert, name: b, expect: self == 3}", Ok("[3,-1]"));
        check(
            "- {kind: assert, name: b, expect: self == 4}",
            Err("the value is 3, of which 'self == 4' was expected"),
        );
        check(
            "- {kind: assert, name: b, expect: self == 7, target: {name: x}}",
            Ok("[7,2]"),
        );
        check(
            "- {kind: assert, name: b, expect: 'self == [7, 1]', target: {name: x, port: out}}",
            Ok("[[7,1],3]"),
        );
        check(
            "- {kind: assert, name: b, expect: 'self == \"abc\"', target: {name: z, port: out}}",
            Ok("[\"abc\",3]"),
        );
        check(
            "- {kind: assert, name: b, expect: 'self == \"abc\"', target: {name: p, port: 'out[1]'}}",
            Ok("[\"abc\",4]"),
        );
        check(
            "- {kind: assert, name: b, expect: self == 7, target: {name: q, port: in}}",
            Err("nothing was at q.in, of which 'self == 7' was expected"),
        );
        // One after the other: the second looks behind where the first has found something.
        check(
            "
- {kind: assert, name: b, expect: 'true', target: {name: z}, ports: {out: [{name: c}]}}
- {kind: assert, name: c, expect: 'true', target: {name: x}}
",
            Err("nothing was at x.in, of which 'true' was expected"),
        );
    }

    #[test]
    fn a_test_fails_with_what_it_runs() {
        check(
            "
- {kind: test, name: a, ports: {'out[0]': [{name: t}], 'out[1]': [{name: b}]}}
- {kind: throw, name: t, error: oh}
- {kind: assert, name: b, expect: 'true'}
",
            "null",
            Err("oh"),
        );
    }
}
