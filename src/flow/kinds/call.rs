//! The kind `call`, and every served command's name as a kind: the packet is the arguments of a command.

use super::fields;
use super::node::{Context, FrameState, Known, Node, Step, Work};
use crate::error::Result;
use crate::flow::spec::{Port, Spec};
use crate::flow::value::Value;
use std::rc::Rc;

struct Call {
    program: Rc<str>,
    command: Rc<str>,
}

/// Builds a `call`.
///
/// # Errors
/// `command` is not there, or no text; `program` is no text.
pub fn build(spec: &Spec, _known: &Known) -> Result<Box<dyn Node>> {
    let program = fields::text(spec, "program")?.unwrap_or_else(|| "".into());
    let command = fields::needed_text(spec, "command", "that of a program that is served")?;
    Ok(Box::new(Call { program, command }))
}

/// Builds a node of a kind that names a command: `command`, or `program/command`.
pub fn build_named(kind: &str) -> Box<dyn Node> {
    let (program, command) = kind.rsplit_once('/').unwrap_or(("", kind));
    Box::new(Call {
        program: program.into(),
        command: command.into(),
    })
}

impl Node for Call {
    fn command(&self) -> Option<(&Rc<str>, &Rc<str>)> {
        Some((&self.program, &self.command))
    }

    fn receive(&self, _port: &Port, packet: Value, _frame: &mut FrameState, _cx: &Context) -> Step {
        Step::Do(Work::Call {
            program: self.program.clone(),
            command: self.command.clone(),
            args: packet,
        })
    }
}

#[cfg(test)]
mod tests {
    use crate::flow::kinds::check::check;

    #[test]
    fn calls() {
        let node = |fields: &str| format!("- {{name: a, {fields}}}");
        check(
            &node("kind: call, program: stats, command: mean"),
            "[1]",
            Ok("[\"stats\",\"mean\",[1]]"),
        );
        check(
            &node("kind: call, command: c"),
            "{\"x\":1}",
            Ok("[\"\",\"c\",{\"x\":1}]"),
        );
        check(&node("kind: mean"), "[1]", Ok("[\"\",\"mean\",[1]]"));
        check(&node("kind: stats/mean"), "[1]", Ok("[\"stats\",\"mean\",[1]]"));
        check(&node("kind: stats/fail"), "[1]", Err("it failed"));
        check(
            &node("kind: call"),
            "1",
            Err("a node of kind 'call' needs command, that of a program that is served"),
        );
        for fields in ["kind: call, program: stats, command: max", "kind: stats/max"] {
            check(
                &node(fields),
                "1",
                Err("node 'a' is not active: waiting(missing command stats/max)"),
            );
        }
        check(&node("kind: max"), "1", Err("kind 'max' is unknown"));
        check(
            &node("kind: mean, x: 1"),
            "1",
            Err("a node of kind 'mean' has no field 'x', it has none"),
        );
    }
}
