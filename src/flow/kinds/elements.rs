//! The kind `for`: each element of a list is sent, so many at once, and the answers are a list again.

use super::fields;
use super::node::{Context, Event, FrameState, Known, Node, Step};
use crate::error::Result;
use crate::flow::spec::{Port, Spec};
use crate::flow::value::Value;
use crate::limits::FLOW_WIDTH_MAX;

struct For {
    width: usize,
}

/// Builds one.
///
/// # Errors
/// `parallel` is no number of elements.
pub fn build(spec: &Spec, _known: &Known) -> Result<Box<dyn Node>> {
    let width = fields::integer(spec, "parallel", 1, FLOW_WIDTH_MAX as i64)?;
    Ok(Box::new(For {
        width: width.unwrap_or(1) as usize,
    }))
}

impl Node for For {
    fn has_out(&self, port: &Port) -> bool {
        [Port::out(0), Port::out(1), Port::ERROR].contains(port)
    }

    fn receive(&self, _port: &Port, packet: Value, _frame: &mut FrameState, _cx: &Context) -> Step {
        let packets = match packet {
            Value::List(elements) => elements.iter().map(|its| (Port::out(0), its.clone())).collect(),
            other => vec![(Port::out(0), other)],
        };
        Step::SendAll {
            packets,
            width: self.width,
        }
    }

    fn resume(&self, event: Event, frame: &mut FrameState, cx: &Context) -> Step {
        frame.stage += 1;
        match event.outcome() {
            Ok(packet) if frame.stage == 1 && cx.is_linked(&Port::out(1)) => Step::Send {
                port: Port::out(1),
                packet,
            },
            outcome => Step::Answer(outcome),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::flow::kinds::check::{check, check_time};

    fn graph(first: &str) -> String {
        format!(
            "
- {{name: a, kind: for, {first}}}
- {{kind: snippet, name: x, language: cel, code: 'self * 10'}}
- {{kind: snippet, name: sum, language: cel, code: 'size(self)'}}
- {{kind: sleep, name: s, interval: 100}}
"
        )
    }

    #[test]
    fn elements() {
        let check = |first: &str, packet: &str, expected| check(&graph(first), packet, expected);
        let to_x = "ports: {'out[0]': [{name: x}]}";
        check(to_x, "[1,2,3]", Ok("[10,20,30]"));
        check(to_x, "[]", Ok("[]"));
        check(to_x, "4", Ok("[40]"));
        check(&format!("parallel: 2, {to_x}"), "[1,2,3]", Ok("[10,20,30]"));
        check(
            "ports: {'out[0]': [{name: x}], 'out[1]': [{name: sum}]}",
            "[1,2,3]",
            Ok("3"),
        );
        check("parallel: 1", "[1,2]", Ok("[1,2]"));
        check(
            "parallel: 0",
            "[1,2]",
            Err("parallel is 0, expected an integer from 1 to 1024"),
        );
        check(
            to_x,
            "[1,\"a\",\"b\"]",
            Err("'*' doesn't take a string and an integer, at 1:6 of 'self * 10'"),
        );
    }

    #[test]
    fn so_many_at_once() {
        let check = |parallel: u32, took_ms| {
            let nodes = graph(&format!(
                "parallel: {parallel}, ports: {{'out[0]': [{{name: s}}]}}"
            ));
            check_time(&nodes, "[1,2,3,4,5]", Ok("[1,2,3,4,5]"), Some(took_ms));
        };
        check(1, 500);
        check(2, 300);
        check(5, 100);
        check(1000, 100);
    }
}
