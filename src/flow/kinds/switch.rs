//! The kinds `switch` and `if`: a packet goes to the port of the first condition that holds. What leads nowhere goes on
//! through `out`.

use super::fields::{self, Condition};
use super::node::{Context, Event, FrameState, Known, Node, Outcome, Step};
use crate::error::{Error, Kind, Result};
use crate::flow::spec::{Port, Spec};
use crate::flow::value::Value;
use crate::limits::FLOW_PORT_INDEX_MAX;
use std::rc::Rc;

struct Switch {
    matches: Vec<(Condition, Port)>,
    /// Of an `if`: where a packet goes for which the condition doesn't hold.
    otherwise: Option<Port>,
}

/// Builds a `switch`.
///
/// # Errors
/// Its `matches`, or `match`, are no list of maps with `when` and `port`.
pub fn build(spec: &Spec, _known: &Known) -> Result<Box<dyn Node>> {
    let (field, given) = match (spec.field("matches"), spec.field("match")) {
        (Some(_), Some(_)) => {
            let message = "matches and match mean the same, expected one of them".into();
            return Err(fields::wrong(spec, "match", message));
        }
        (None, Some(given)) => ("match", Some(given)),
        (given, None) => ("matches", given),
    };
    let Some(rows) = given.and_then(Value::elements) else {
        let message = format!("a node of kind 'switch' needs {field}, a list of maps with when and port");
        return Err(fields::wrong(spec, field, message));
    };
    let mut matches = Vec::new();
    for (place, row) in rows.iter().enumerate() {
        matches.push(row_of(spec, field, place, row)?);
    }
    Ok(Box::new(Switch {
        matches,
        otherwise: None,
    }))
}

fn row_of(spec: &Spec, field: &str, place: usize, row: &Value) -> Result<(Condition, Port)> {
    let wrong = |message: String| fields::wrong(spec, field, message);
    for (key, _) in row.entries().unwrap_or_default() {
        let key = key.as_str().unwrap_or_default();
        if !matches!(key, "when" | "port") {
            return Err(wrong(format!(
                "{field}[{place}] has a field '{key}', expected when and port"
            )));
        }
    }
    let when = match row.get("when") {
        Some(Value::Bool(is)) => Some(is.to_string()),
        Some(Value::Str(when)) => Some(when.to_string()),
        _ => None,
    };
    let port = row.get("port").and_then(Value::as_str);
    let (Some(when), Some(port)) = (when, port) else {
        return Err(wrong(format!(
            "{field}[{place}] is {}, expected a map with when and port",
            row.name()
        )));
    };
    let condition = Condition::compile(spec, field, &when)?;
    let port = Port::parse(port).map_err(|error| wrong(error.message))?;
    Ok((condition, port))
}

/// Builds an `if`.
///
/// # Errors
/// Its `when` is no condition.
pub fn build_if(spec: &Spec, _known: &Known) -> Result<Box<dyn Node>> {
    Ok(Box::new(Switch {
        matches: vec![(Condition::needed(spec, "when")?, Port::out(0))],
        otherwise: Some(Port::out(1)),
    }))
}

impl Switch {
    fn choose(&self, packet: &Value) -> std::result::Result<Option<&Port>, Rc<Error>> {
        for (when, port) in &self.matches {
            if when.holds("when", packet)? {
                return Ok(Some(port));
            }
        }
        Ok(self.otherwise.as_ref())
    }
}

impl Node for Switch {
    fn has_out(&self, port: &Port) -> bool {
        let is_plain = *port == Port::OUT || *port == Port::ERROR;
        is_plain || self.otherwise.as_ref() == Some(port) || self.matches.iter().any(|(_, its)| its == port)
    }

    fn receive(&self, _port: &Port, packet: Value, _frame: &mut FrameState, cx: &Context) -> Step {
        match self.choose(&packet) {
            Err(error) => Step::Finish(Err(error)),
            Ok(Some(port)) if cx.is_linked(port) => Step::Send {
                port: port.clone(),
                packet,
            },
            Ok(None) if !cx.is_linked(&Port::OUT) => {
                let message = format!("no condition of '{}' holds", cx.node());
                Step::Finish(Err(Rc::from(Error::new(Kind::NotFound, message))))
            }
            Ok(_) => Step::Finish(Ok(packet)),
        }
    }

    fn resume(&self, event: Event, _frame: &mut FrameState, _cx: &Context) -> Step {
        Step::Answer(event.outcome())
    }
}

/// Sends each element of a list to a port of its own.
struct Split;

/// Builds a `split`.
///
/// # Errors
/// None.
pub fn build_split(_spec: &Spec, _known: &Known) -> Result<Box<dyn Node>> {
    Ok(Box::new(Split))
}

impl Node for Split {
    fn has_out(&self, port: &Port) -> bool {
        *port == Port::ERROR || port.name == Port::OUT.name && port.index.is_some()
    }

    fn receive(&self, _port: &Port, packet: Value, _frame: &mut FrameState, _cx: &Context) -> Step {
        let elements = match packet.elements() {
            Some(elements) => elements,
            None => std::slice::from_ref(&packet),
        };
        if elements.len() > FLOW_PORT_INDEX_MAX as usize + 1 {
            let message = format!(
                "the list has {} elements, expected at most {}",
                elements.len(),
                u64::from(FLOW_PORT_INDEX_MAX) + 1
            );
            return Step::Finish(Err(Rc::from(Error::new(Kind::BadArgument, message))));
        }
        let packets = elements.iter().enumerate();
        Step::SendAll {
            packets: packets
                .map(|(place, value)| (Port::out(place as u32), value.clone()))
                .collect(),
            width: elements.len().max(1),
        }
    }

    fn resume(&self, event: Event, _frame: &mut FrameState, _cx: &Context) -> Step {
        Step::Answer(match event.outcome() {
            Ok(list) if list.elements().is_some_and(|its| its.len() == 1) => Outcome::Ok(
                list.elements()
                    .and_then(|its| its.first())
                    .cloned()
                    .unwrap_or_default(),
            ),
            outcome => outcome,
        })
    }
}

#[cfg(test)]
mod tests {
    use crate::flow::kinds::check::check;

    fn graph(fields: &str) -> String {
        format!(
            "
- {{name: a, {fields}}}
- {{kind: snippet, name: x, language: cel, code: '[\"x\", self]'}}
- {{kind: snippet, name: y, language: cel, code: '[\"y\", self]'}}
- {{kind: throw, name: t, error: thrown}}
"
        )
    }

    #[test]
    fn switches() {
        let to =
            "kind: switch, matches: [{when: self > 10, port: 'out[0]'}, {when: 'self > 5', port: 'out[1]'}]";
        let linked = graph(&format!(
            "{to}, ports: {{'out[0]': [{{name: x}}], 'out[1]': [{{name: y}}]}}"
        ));
        check(&linked, "11", Ok("[\"x\",11]"));
        check(&linked, "6", Ok("[\"y\",6]"));
        check(&linked, "1", Err("no condition of 'a' holds"));
        check(
            &graph(&format!("{to}, ports: {{out: [{{name: x}}]}}")),
            "1",
            Ok("[\"x\",1]"),
        );
        check(&graph(to), "11", Ok("11"));
        let words = "kind: switch, match: [{when: self == \"s\", port: yes}], ports: {yes: [{name: x}]}";
        check(&graph(words), "\"s\"", Ok("[\"x\",\"s\"]"));
        check(
            &graph(
                "kind: switch, match: [{when: true, port: 'out[0]'}], ports: {'out[0]': [{name: t}], error: [{name: x}]}",
            ),
            "1",
            Ok("[\"x\",{\"kind\":\"raised\",\"message\":\"thrown\",\"place\":\"node 't' at f.yaml:5\"}]"),
        );
        check(
            &graph("kind: switch, match: [{when: self, port: p}]"),
            "1",
            Err("when gives an integer, expected a boolean"),
        );
        check(
            &graph("kind: switch, match: [{when: 'true', port: p}], ports: {'out[7]': [{name: x}]}"),
            "1",
            Err("port 'out[7]' is none that a node of kind 'switch' sends to"),
        );
        check(
            &graph("kind: switch, match: [1]"),
            "1",
            Err("match[0] is an integer, expected a map with when and port"),
        );
        check(
            &graph("kind: switch"),
            "1",
            Err("a node of kind 'switch' needs matches, a list of maps with when and port"),
        );
        check(
            &graph("kind: switch, match: [], matches: []"),
            "1",
            Err("matches and match mean the same, expected one of them"),
        );
    }

    #[test]
    fn ifs() {
        let linked = graph("kind: if, when: self > 1, ports: {'out[0]': [{name: x}], 'out[1]': [{name: y}]}");
        check(&linked, "2", Ok("[\"x\",2]"));
        check(&linked, "1", Ok("[\"y\",1]"));
        check(
            &graph("kind: if, when: self > 1, ports: {'out[1]': [{name: y}]}"),
            "2",
            Ok("2"),
        );
        check(
            &graph("kind: if, when: true, ports: {out: [{name: y}]}"),
            "2",
            Ok("[\"y\",2]"),
        );
        check(
            &graph("kind: if"),
            "1",
            Err("a node of kind 'if' needs when, an expression over self, the packet"),
        );
        check(
            &graph("kind: if, when: 5"),
            "1",
            Err("when is 5, expected a text"),
        );
    }

    #[test]
    fn splits() {
        let linked = graph("kind: split, ports: {'out[0]': [{name: x}], 'out[1]': [{name: y}]}");
        check(&linked, "[1,2]", Ok("[[\"x\",1],[\"y\",2]]"));
        check(&linked, "[1,2,3]", Ok("[[\"x\",1],[\"y\",2],3]"));
        check(&linked, "1", Ok("[\"x\",1]"));
        check(&linked, "[]", Ok("[]"));
        let fails = graph("kind: split, ports: {'out[0]': [{name: t}], 'out[1]': [{name: y}]}");
        check(&fails, "[1,2]", Err("thrown"));
    }
}
