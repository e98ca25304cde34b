//! The kinds `pipe`, `test`, `try`, and the like: they send a packet on and do something with the answer. Change no packet themselves.

use super::node::{Context, Event, FrameState, Known, Node, Step};
use crate::error::Result;
use crate::flow::spec::{Port, Spec};
use crate::flow::value::Value;

/// What `out[0]` answers goes to `out[1]`.
struct Pipe {
    /// What `out[1]` is sent of that.
    passed_on: fn(Value) -> Value,
}

/// Builds a `pipe`.
///
/// # Errors
/// None.
pub fn build(_spec: &Spec, _known: &Known) -> Result<Box<dyn Node>> {
    let passed_on = |value| value;
    Ok(Box::new(Pipe { passed_on }))
}

/// Builds a `test`: what nodes of kind `assert` look at is `[value, -1]`.
///
/// # Errors
/// None.
pub fn build_test(_spec: &Spec, _known: &Known) -> Result<Box<dyn Node>> {
    let passed_on = |value| Value::list(vec![value, Value::Int(-1)]);
    Ok(Box::new(Pipe { passed_on }))
}

impl Node for Pipe {
    fn has_out(&self, port: &Port) -> bool {
        [Port::out(0), Port::out(1), Port::ERROR].contains(port)
    }

    fn receive(&self, _port: &Port, packet: Value, _frame: &mut FrameState, _cx: &Context) -> Step {
        Step::Send {
            port: Port::out(0),
            packet,
        }
    }

    fn resume(&self, event: Event, frame: &mut FrameState, cx: &Context) -> Step {
        frame.stage += 1;
        match event.outcome() {
            Ok(value) if frame.stage == 1 && cx.is_linked(&Port::out(1)) => Step::Send {
                port: Port::out(1),
                packet: (self.passed_on)(value),
            },
            outcome => Step::Answer(outcome),
        }
    }
}

/// Sends a packet on; every node's errors go to its `error` port, its own and those behind it.
struct Try;

/// Builds a `try`.
///
/// # Errors
/// None.
pub fn build_try(_spec: &Spec, _known: &Known) -> Result<Box<dyn Node>> {
    Ok(Box::new(Try))
}

impl Node for Try {
    fn receive(&self, _port: &Port, packet: Value, _frame: &mut FrameState, _cx: &Context) -> Step {
        Step::Finish(Ok(packet))
    }
}

#[cfg(test)]
mod tests {
    use crate::flow::kinds::check::check;

    fn graph(first: &str) -> String {
        format!(
            "
- {{name: a, {first}}}
- {{kind: snippet, name: x, language: cel, code: 'self + 1'}}
- {{kind: snippet, name: y, language: cel, code: 'self * 10'}}
- {{kind: snippet, name: e, language: cel, code: '\"caught \" + self.error()'}}
- {{kind: throw, name: t, error: thrown}}
"
        )
    }

    #[test]
    fn pipes() {
        let check =
            |ports: &str, expected| check(&graph(&format!("kind: pipe, ports: {{{ports}}}")), "1", expected);
        check("'out[0]': [{name: x}], 'out[1]': [{name: y}]", Ok("20"));
        check("'out[0]': [{name: x}]", Ok("2"));
        check("'out[1]': [{name: y}]", Ok("10"));
        check(
            "'out[0]': [{name: x}, {name: x}], 'out[1]': [{name: t}]",
            Err("thrown"),
        );
        check(
            "'out[0]': [{name: t}], 'out[1]': [{name: y}], error: [{name: e}]",
            Ok("\"caught thrown\""),
        );
        check(
            "out: [{name: t}]",
            Err("port 'out' is none that a node of kind 'pipe' sends to"),
        );
    }

    #[test]
    fn tries() {
        let check =
            |ports: &str, expected| check(&graph(&format!("kind: try, ports: {{{ports}}}")), "1", expected);
        check("out: [{name: x}]", Ok("2"));
        check("", Ok("1"));
        check("out: [{name: t}], error: [{name: e}]", Ok("\"caught thrown\""));
        check("out: [{name: t}]", Err("thrown"));
        // An error of the handler itself is not handled again.
        check("out: [{name: t}], error: [{name: t}]", Err("thrown"));
        check("out: [{name: x}, {name: y}]", Ok("[2,10]"));
        check(
            "out: [{name: x}, {name: t}, {name: t}]",
            Err("2 nodes failed: t: thrown, t: thrown"),
        );
    }
}
