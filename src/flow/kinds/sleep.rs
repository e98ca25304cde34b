//! The kind `sleep`: a packet goes on after a time. Holds up no other.

use super::fields;
use super::node::{Context, Event, FrameState, Known, Node, Step};
use crate::error::Result;
use crate::flow::spec::{Port, Spec};
use crate::flow::value::Value;

struct Sleep {
    ms: u64,
}

/// Builds one.
///
/// # Errors
/// `interval` is no time, or not there.
pub fn build(spec: &Spec, _known: &Known) -> Result<Box<dyn Node>> {
    let ms = fields::duration(spec, "interval")?;
    let missing = || {
        fields::wrong(
            spec,
            "interval",
            "a node of kind 'sleep' needs interval, as 250ms".into(),
        )
    };
    Ok(Box::new(Sleep {
        ms: ms.ok_or_else(missing)?,
    }))
}

impl Node for Sleep {
    fn receive(&self, _port: &Port, packet: Value, frame: &mut FrameState, _cx: &Context) -> Step {
        frame.value = packet;
        Step::Sleep { ms: self.ms }
    }

    fn resume(&self, _event: Event, frame: &mut FrameState, _cx: &Context) -> Step {
        Step::Finish(Ok(std::mem::take(&mut frame.value)))
    }
}

#[cfg(test)]
mod tests {
    use crate::flow::kinds::check::{check, check_time};

    #[test]
    fn sleeps() {
        let node = |fields: &str| format!("- {{kind: sleep, name: a, {fields}}}");
        check_time(&node("interval: 250"), "7", Ok("7"), Some(250));
        check_time(&node("interval: 1.5s"), "7", Ok("7"), Some(1500));
        check_time(&node("interval: 0"), "7", Ok("7"), Some(0));
        check(
            &node("interval: -1"),
            "7",
            Err("interval is -1, expected milliseconds, or a text as 250ms, 1.5s, 2m or 1h, up to a year"),
        );
        check(
            &node("a: 1"),
            "7",
            Err("a node of kind 'sleep' has no field 'a', it has interval"),
        );
        check(
            "- {kind: sleep, name: a}",
            "7",
            Err("a node of kind 'sleep' needs interval, as 250ms"),
        );
    }
}
