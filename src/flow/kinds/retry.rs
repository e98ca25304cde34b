//! The kind `retry`: a packet whose answer is an error is sent again, some times, after a time.

use super::fields;
use super::node::{Context, Event, FrameState, Known, Node, Step};
use crate::error::{Kind, Result};
use crate::flow::spec::{Port, Spec};
use crate::flow::value::Value;
use crate::limits::TIMEOUT_MS_MAX;

struct Retry {
    /// How often it is sent again.
    threshold: u32,
    delay_ms: u64,
    backoff: f64,
    /// Of which errors; of all if there are none.
    kinds: Vec<Kind>,
}

/// Builds one.
///
/// # Errors
/// Fields that are wrong.
pub fn build(spec: &Spec, _known: &Known) -> Result<Box<dyn Node>> {
    let mut kinds = Vec::new();
    for name in fields::texts(spec, "kinds")? {
        let kind = Kind::from_name(&name);
        let wrong = || {
            let all: Vec<&str> = Kind::all().map(Kind::name).collect();
            let message = format!("kinds has '{name}', expected any of {}", all.join(", "));
            fields::wrong(spec, "kinds", message)
        };
        kinds.push(kind.ok_or_else(wrong)?);
    }
    Ok(Box::new(Retry {
        threshold: fields::integer(spec, "threshold", 0, i64::from(u32::MAX))?.unwrap_or(1) as u32,
        delay_ms: fields::duration(spec, "delay")?.unwrap_or(0),
        backoff: fields::number(spec, "backoff", 1.0)?.unwrap_or(1.0),
        kinds,
    }))
}

impl Retry {
    /// The wait before it is sent again for the `time`th time, from 0.
    fn wait_ms(&self, time: u32) -> u64 {
        let times = self.backoff.powi(time.min(1000) as i32);
        ((self.delay_ms as f64 * times) as u64).min(TIMEOUT_MS_MAX)
    }
}

impl Node for Retry {
    fn receive(&self, _port: &Port, packet: Value, frame: &mut FrameState, _cx: &Context) -> Step {
        frame.value = packet.clone();
        Step::Send {
            port: Port::OUT,
            packet,
        }
    }

    fn resume(&self, event: Event, frame: &mut FrameState, _cx: &Context) -> Step {
        let again = Step::Send {
            port: Port::OUT,
            packet: frame.value.clone(),
        };
        match event {
            Event::Woken => again,
            Event::Answered(Err(error))
                if frame.stage < self.threshold
                    && (self.kinds.is_empty() || self.kinds.contains(&error.kind)) =>
            {
                let ms = self.wait_ms(frame.stage);
                frame.stage += 1;
                match ms {
                    0 => again,
                    ms => Step::Sleep { ms },
                }
            }
            event => Step::Answer(event.outcome()),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::flow::kinds::check::{check, check_time};

    #[test]
    fn retries() {
        let graph = |fields: &str| {
            format!(
                "
- {{kind: retry, name: a, {fields}, ports: {{out: [{{name: t}}]}}}}
- {{kind: throw, name: t, error: oh}}
"
            )
        };
        let check_graph = |fields: &str, took_ms| check_time(&graph(fields), "1", Err("oh"), Some(took_ms));
        check_graph("threshold: 0, delay: 100", 0);
        check_graph("threshold: 3, delay: 100", 300);
        check_graph("threshold: 3, delay: 100ms, backoff: 2", 700);
        check_graph("threshold: 3, delay: 100, kinds: [timeout]", 0);
        check_graph("threshold: 3, delay: 100, kinds: [timeout, raised]", 300);
        check_graph("threshold: 1000", 0);
        check(
            &graph("kinds: [timeout, tired]"),
            "1",
            Err(
                "kinds has 'tired', expected any of raised, usage, bad_argument, manifest, spawn_failed, hello_failed, terminated, protocol, io, deadlock, denied, unauthorized, not_found, conflict, overloaded, unavailable, timeout, cancelled",
            ),
        );
        check(
            &graph("backoff: 0.5"),
            "1",
            Err("backoff is 0.5, expected at least 1"),
        );
        check(
            "- {kind: retry, name: a, ports: {out: [{name: b}]}}\n- {kind: snippet, name: b, language: text, code: x}",
            "1",
            Ok("\"x\""),
        );
        check("- {kind: retry, name: a}", "1", Ok("1"));
    }
}
