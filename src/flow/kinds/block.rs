//! The kinds `block` and `step`: nodes that are written within one, a packet goes through them in order. An error that none of
//! them handles is the block's.

use super::fields;
use super::node::{Context, FrameState, Known, Node, Outcome, Step};
use crate::error::Result;
use crate::flow::spec::{Port, Spec, codec};
use crate::flow::value::Value;

struct Block {
    inner: Vec<Spec>,
}

/// Builds one.
///
/// # Errors
/// Its `specs` are no nodes, or there are none.
pub fn build(spec: &Spec, _known: &Known) -> Result<Box<dyn Node>> {
    let inner = codec::nested(spec, "specs")?;
    if inner.is_empty() {
        let message = format!("a node of kind '{}' needs specs, a list of nodes", spec.kind);
        return Err(fields::wrong(spec, "specs", message));
    }
    Ok(Box::new(Block { inner }))
}

impl Node for Block {
    fn inner(&self) -> &[Spec] {
        &self.inner
    }

    fn receive(&self, _port: &Port, packet: Value, _frame: &mut FrameState, _cx: &Context) -> Step {
        Step::Enter(packet)
    }
}

struct Nop;

/// Builds a node that answers null to everything.
///
/// # Errors
/// None.
pub fn build_nop(_spec: &Spec, _known: &Known) -> Result<Box<dyn Node>> {
    Ok(Box::new(Nop))
}

impl Node for Nop {
    fn receive(&self, _port: &Port, _packet: Value, _frame: &mut FrameState, _cx: &Context) -> Step {
        Step::Answer(Outcome::Ok(Value::Null))
    }
}

#[cfg(test)]
mod tests {
    use crate::flow::kinds::check::check;

    #[test]
    fn blocks() {
        let plus = |by: u32| format!("{{kind: snippet, language: cel, code: 'self + {by}'}}");
        let block = |inner: &str| format!("- {{kind: block, name: a, specs: [{inner}]}}");
        check(&block(&plus(1)), "1", Ok("2"));
        check(
            &block(&format!("{}, {}, {}", plus(1), plus(10), plus(100))),
            "1",
            Ok("112"),
        );
        // What is linked within goes where it is linked; by name, or on to the next.
        check(
            "
- kind: step
  name: a
  specs:
    - {kind: if, when: self > 1, ports: {'out[1]': [{name: last}]}}
    - {kind: snippet, language: cel, code: self * 10}
    - {kind: snippet, name: last, language: cel, code: self + 1}
",
            "1",
            Ok("2"),
        );
        check(
            "
- kind: step
  name: a
  specs:
    - {kind: if, when: self > 1, ports: {'out[1]': [{name: last}]}}
    - {kind: snippet, language: cel, code: self * 10}
    - {kind: snippet, name: last, language: cel, code: self + 1}
",
            "2",
            Ok("21"),
        );
        // To a node outside; out of the block into the next; an error within into the block's handler.
        check(
            "
- kind: block
  name: a
  specs: [{kind: snippet, language: cel, code: self + 1, ports: {out: [{name: b}]}}]
- {kind: snippet, name: b, language: cel, code: self * 2}
",
            "1",
            Ok("4"),
        );
        check(
            "
- kind: block
  name: a
  specs: [{kind: block, specs: [{kind: throw, error: oh}]}]
  ports: {error: [{name: b}]}
- {kind: snippet, name: b, language: cel, code: 'self == \"oh\"'}
",
            "1",
            Ok("true"),
        );
        check(
            "- {kind: block, name: a, specs: []}",
            "1",
            Err("a node of kind 'block' needs specs, a list of nodes"),
        );
        check(
            "- {kind: block, name: a, specs: [{kind: blok}]}",
            "1",
            Err("kind 'blok' is unknown"),
        );
        check(
            "- {kind: block, name: a, specs: [{kind: nop, name: b}, {kind: snippet, language: json, code: '1', ports: {out: [{name: b, port: 'in[3]'}]}}]}",
            "1",
            Err("node 'a/b' has no port 'in[3]'"),
        );
        check("- {kind: nop, name: a}", "1", Ok("null"));
    }
}
