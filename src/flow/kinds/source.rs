//! What receives nothing and begins runs as long as it is active: the kinds `timer` and `watch`, and the node of a `listener`.

use super::fields;
use super::node::{Context, FrameState, Known, Node, Service, Step};
use crate::error::Result;
use crate::flow::spec::{Port, Spec};
use crate::flow::value::Value;

/// A node that something outside sends packets for.
pub(super) struct Source {
    /// What that is.
    pub service: Service,
}

/// Builds a `timer`.
///
/// # Errors
/// `interval`, or `every`, is no time, or not there.
pub fn build_timer(spec: &Spec, _known: &Known) -> Result<Box<dyn Node>> {
    let interval = match fields::duration(spec, "interval")? {
        None => fields::duration(spec, "every")?,
        some => some,
    };
    let Some(interval_ms) = interval.filter(|ms| *ms > 0) else {
        let message = "a node of kind 'timer' needs interval, as 10s".into();
        return Err(fields::wrong(spec, "interval", message));
    };
    let service = Service::Timer { interval_ms };
    Ok(Box::new(Source { service }))
}

/// Builds a `watch`.
///
/// # Errors
/// `path` is no text, or not there.
pub fn build_watch(spec: &Spec, _known: &Known) -> Result<Box<dyn Node>> {
    let path = fields::needed_text(spec, "path", "a file or folder")?;
    let service = Service::Watch { path };
    Ok(Box::new(Source { service }))
}

impl Node for Source {
    fn has_in(&self, _port: &Port) -> bool {
        false
    }

    fn receive(&self, _port: &Port, packet: Value, _frame: &mut FrameState, _cx: &Context) -> Step {
        Step::Finish(Ok(packet))
    }

    fn service(&self) -> Option<Service> {
        Some(self.service.clone())
    }
}
