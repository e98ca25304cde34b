//! The kind `test`: what `out[0]` answers goes to `out[1]` as `[value, -1]`, where nodes of kind `assert` look at it.

use super::node::{Context, Event, FrameState, Known, Node, Step};
use crate::error::Result;
use crate::flow::spec::{Port, Spec};
use crate::flow::value::Value;

struct Test;

/// Builds one.
///
/// # Errors
/// None.
pub fn build(_spec: &Spec, _known: &Known) -> Result<Box<dyn Node>> {
    Ok(Box::new(Test))
}

impl Node for Test {
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
                packet: Value::list(vec![value, Value::Int(-1)]),
            },
            outcome => Step::Answer(outcome),
        }
    }
}
