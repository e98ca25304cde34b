//! The kind `fork`: a packet goes on in a run of its own, and is answered with null at once. That run ends with the one that
//! began it, at the latest.

use super::node::{Context, Event, FrameState, Known, Node, Step};
use crate::error::Result;
use crate::flow::spec::{Port, Spec};
use crate::flow::value::Value;

struct Fork;

/// Builds one.
///
/// # Errors
/// None.
pub fn build(_spec: &Spec, _known: &Known) -> Result<Box<dyn Node>> {
    Ok(Box::new(Fork))
}

impl Node for Fork {
    fn receive(&self, _port: &Port, packet: Value, _frame: &mut FrameState, _cx: &Context) -> Step {
        Step::Fork {
            port: Port::OUT,
            packet,
        }
    }

    fn resume(&self, event: Event, _frame: &mut FrameState, _cx: &Context) -> Step {
        Step::Answer(event.outcome())
    }
}

#[cfg(test)]
mod tests {
    use crate::flow::kinds::check::check_time;

    #[test]
    fn forks() {
        let check = |rest: &str, expected, took_ms| {
            let nodes = format!("- {{kind: fork, name: a, ports: {{out: [{{name: b}}]}}}}\n{rest}");
            check_time(&nodes, "1", expected, Some(took_ms));
        };
        check("- {kind: sleep, name: b, interval: 1s}", Ok("null"), 0);
        check("- {kind: throw, name: b, error: oh}", Ok("null"), 0);
    }
}
