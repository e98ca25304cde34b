//! The kind `call`, and every served command's name as a kind: the packet is the arguments of a command.

use super::fields;
use super::node::{Context, FrameState, Known, Node, Step, Work};
use crate::error::{Error, Kind, Result};
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
/// `command` is not there, or no text. Kind `not_found`: the program that is named has no such command, or is not served.
pub fn build(spec: &Spec, known: &Known) -> Result<Box<dyn Node>> {
    let program = fields::text(spec, "program")?.unwrap_or_else(|| "".into());
    let command = fields::needed_text(spec, "command", "that of a program that is served")?;
    if !program.is_empty() && !(known.is_command)(&format!("{program}/{command}")) {
        let message = format!("program '{program}' has no command '{command}', or is not served");
        let error = Error::new(Kind::NotFound, message).at(spec.place_of("command").to_string());
        return Err(error.hint("nexus list tells what is served"));
    }
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
        for (program, command) in [("stats", "max"), ("other", "mean")] {
            check(
                &node(&format!("kind: call, program: {program}, command: {command}")),
                "1",
                Err(&format!(
                    "program '{program}' has no command '{command}', or is not served"
                )),
            );
        }
        check(&node("kind: stats/max"), "1", Err("kind 'stats/max' is unknown"));
        check(
            &node("kind: mean, x: 1"),
            "1",
            Err("a node of kind 'mean' has no field 'x', it has none"),
        );
    }
}
