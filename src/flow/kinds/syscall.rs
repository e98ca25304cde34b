//! The kind `syscall`: reads and writes the nodes and values of the namespace. Does it not itself.

use super::fields;
use super::node::{Context, FrameState, Known, Node, Step, Work};
use crate::codec::nearest::nearest;
use crate::error::Result;
use crate::flow::spec::{Port, Spec};
use crate::flow::value::Value;
use std::rc::Rc;

/// What there is to ask for.
pub const OPCODES: [&str; 8] = [
    "nodes.create",
    "nodes.read",
    "nodes.update",
    "nodes.delete",
    "values.create",
    "values.read",
    "values.update",
    "values.delete",
];

struct Syscall {
    opcode: Rc<str>,
}

/// Builds one.
///
/// # Errors
/// `opcode` is none that there is.
pub fn build(spec: &Spec, _known: &Known) -> Result<Box<dyn Node>> {
    let opcode = fields::needed_text(spec, "opcode", "as nodes.read")?;
    if !OPCODES.contains(&&*opcode) {
        let message = format!("opcode is '{opcode}', expected one of {}", OPCODES.join(", "));
        let error = fields::wrong(spec, "opcode", message);
        return Err(match nearest(&opcode, OPCODES) {
            Some(near) => error.hint(format!("did you mean {near}?")),
            None => error,
        });
    }
    Ok(Box::new(Syscall { opcode }))
}

impl Node for Syscall {
    fn receive(&self, _port: &Port, packet: Value, _frame: &mut FrameState, _cx: &Context) -> Step {
        Step::Do(Work::Syscall {
            opcode: self.opcode.clone(),
            arg: packet,
        })
    }
}

#[cfg(test)]
mod tests {
    use crate::flow::kinds::check::check;

    #[test]
    fn opcodes() {
        let node = |fields: &str| format!("- {{kind: syscall, name: a, {fields}}}");
        check(&node("opcode: nodes.read"), "null", Ok("[\"nodes.read\",null]"));
        check(
            &node("opcode: nodes.reed"),
            "null",
            Err(
                "opcode is 'nodes.reed', expected one of nodes.create, nodes.read, nodes.update, nodes.delete, values.create, values.read, values.update, values.delete",
            ),
        );
    }
}
