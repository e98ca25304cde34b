//! Where frames are held so that somebody can look at them. Prints nothing.

use super::frame::Frame;
use super::process::ProcessKey;
use crate::core::slab::Key;
use crate::error::{Error, Kind, Result};
use crate::flow::engine::RunId;
use crate::flow::spec::Port;
use crate::flow::value::Value;
use crate::limits::FLOW_BREAKPOINTS_MAX;
use std::rc::Rc;

/// Where packets are held.
#[derive(Clone, Debug, PartialEq)]
pub struct Breakpoint {
    /// What it is removed by.
    pub id: u32,
    /// In which namespace.
    pub namespace: Rc<str>,
    /// At which node; at every one if none is named.
    pub node: Option<Rc<str>>,
    /// Where it receives them, or where it sends them; anywhere it receives them if none is named.
    pub port: Option<Port>,
}

/// A frame of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameId {
    /// The run.
    pub run: RunId,
    /// Its number there.
    pub frame: u64,
}

/// A frame that is held.
#[derive(Clone, Debug)]
pub struct Held {
    /// What it goes on by.
    pub frame: FrameId,
    /// The node that is about to receive the packet.
    pub node: Rc<str>,
    /// Where.
    pub port: Port,
    /// The packet.
    pub packet: Value,
}

/// All breakpoints and what is held at them.
#[derive(Default)]
pub struct Breakpoints {
    pub(in crate::flow) list: Vec<Breakpoint>,
    pub(in crate::flow) held: Vec<(ProcessKey, Key<Frame>)>,
    last: u32,
}

impl Breakpoints {
    /// Adds one.
    ///
    /// # Errors
    /// `overloaded`: there are [`FLOW_BREAKPOINTS_MAX`] already.
    pub fn add(&mut self, namespace: &str, node: Option<&str>, port: Option<Port>) -> Result<u32> {
        if self.list.len() >= FLOW_BREAKPOINTS_MAX {
            let message =
                format!("there are {FLOW_BREAKPOINTS_MAX} breakpoints already, more than that can't be");
            return Err(Error::new(Kind::Overloaded, message));
        }
        self.last = self.last.wrapping_add(1);
        self.list.push(Breakpoint {
            id: self.last,
            namespace: namespace.into(),
            node: node.map(Rc::from),
            port,
        });
        Ok(self.last)
    }

    /// Takes one away; what is held goes on only when it is told to. False if there is none.
    pub fn remove(&mut self, id: u32) -> bool {
        let before = self.list.len();
        self.list.retain(|its| its.id != id);
        self.list.len() < before
    }

    /// All of a namespace.
    pub fn of<'a>(&'a self, namespace: &'a str) -> impl Iterator<Item = &'a Breakpoint> {
        self.list.iter().filter(move |its| &*its.namespace == namespace)
    }

    /// Whether a packet is to be held at `node`, which comes from a port of another.
    pub(super) fn holds(
        &self,
        namespace: &str,
        node: &str,
        port: &Port,
        from: Option<(&str, &Port)>,
    ) -> bool {
        self.list.iter().any(|its| {
            let is = |name: &str, at: &Port, is_any_port: bool| {
                let is_node = its.node.as_deref().is_none_or(|its| its == name);
                is_node && its.port.as_ref().map_or(is_any_port, |its| its == at)
            };
            &*its.namespace == namespace
                && (is(node, port, true) || from.is_some_and(|(name, via)| is(name, via, false)))
        })
    }

    pub(super) fn forget(&mut self, run: ProcessKey) {
        self.held.retain(|(its, _)| *its != run);
    }
}
