//! The kind `merge`: waits for a packet at each of its inputs, and goes on with a list of them. The packets are answered
//! together: where their ways part, that is one answer.

use super::node::{Context, Event, FrameState, Known, Node, Step};
use crate::error::Result;
use crate::flow::spec::{Port, Spec};
use crate::flow::value::Value;

struct Merge;

/// Builds one.
///
/// # Errors
/// None.
pub fn build(_spec: &Spec, _known: &Known) -> Result<Box<dyn Node>> {
    Ok(Box::new(Merge))
}

impl Node for Merge {
    fn has_in(&self, port: &Port) -> bool {
        port.name == Port::IN.name && port.index.is_some()
    }

    fn receive(&self, _port: &Port, packet: Value, _frame: &mut FrameState, _cx: &Context) -> Step {
        Step::Hold(packet)
    }

    fn resume(&self, event: Event, _frame: &mut FrameState, _cx: &Context) -> Step {
        Step::Finish(event.outcome())
    }
}

#[cfg(test)]
mod tests {
    use crate::flow::kinds::check::{check, check_time};

    const MERGE: &str = "
- {kind: snippet, name: x, language: cel, code: 'self + 1', ports: {out: [{name: m, port: 'in[0]'}]}}
- {kind: sleep, name: y, interval: 50, ports: {out: [{name: m, port: 'in[1]'}]}}
- {kind: nop, name: lost}
- {kind: merge, name: m, ports: {out: [{name: z}]}}
- {kind: snippet, name: z, language: cel, code: '{\"merged\": self}'}
";

    #[test]
    fn merges() {
        let graph = |first: &str| format!("- {{name: a, {first}}}\n{MERGE}");
        let check = |first: &str, packet: &str, expected| check(&graph(first), packet, expected);
        check_time(
            &graph("kind: try, ports: {out: [{name: x}, {name: y}]}"),
            "1",
            Ok("{\"merged\":[2,1]}"),
            Some(50),
        );
        check(
            "kind: split, ports: {'out[0]': [{name: x}], 'out[1]': [{name: y}]}",
            "[1,5]",
            Ok("{\"merged\":[2,5]}"),
        );
        check(
            "kind: try, ports: {out: [{name: x}]}",
            "1",
            Err("node 'm' waits for in[1], which nothing in the run can bring any more"),
        );
        check(
            "kind: try, ports: {out: [{name: lost}, {name: y}]}",
            "1",
            Err("node 'm' waits for in[0], which nothing in the run can bring any more"),
        );
        // One packet after the other, where they come in pairs.
        check(
            "kind: for, parallel: 2, ports: {'out[0]': [{name: x}, {name: y}]}",
            "[1,2]",
            Ok("[{\"merged\":[2,1]},{\"merged\":[3,2]}]"),
        );
    }

    #[test]
    fn merges_within_blocks_are_of_their_own_packet() {
        check(
            "
- {kind: for, name: a, parallel: 2, ports: {'out[0]': [{name: b}]}}
- kind: block
  name: b
  specs:
    - {kind: split, ports: {'out[0]': [{name: m, port: 'in[0]'}], 'out[1]': [{name: s}]}}
    - {kind: sleep, name: s, interval: 9, ports: {out: [{name: m, port: 'in[1]'}]}}
    - {kind: merge, name: m}
",
            "[[1,2],[3,4]]",
            Ok("[[1,2],[3,4]]"),
        );
    }
}
