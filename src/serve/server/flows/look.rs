//! What people ask of flows over the private socket: how nodes stand, the graph, traces, breakpoints. Answers in JSON.

use super::super::Server;

/// What is asked.
#[derive(Clone, Debug, PartialEq)]
pub enum Asked {
    /// How the nodes stand, of one namespace or of all.
    Status(Option<String>),
}

/// Who looks.
#[derive(Default)]
pub(super) struct Looking {}

impl Server {
    /// Tells those who wait for it that frames are held.
    pub(super) fn tell_stops(&mut self, _now_ms: u64) {}
}
