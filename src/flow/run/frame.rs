//! A packet at a node: how far it is, and what it waits for. Moves nothing.

use super::floor::Task;
use super::join::Join;
use crate::core::deadlines::Due;
use crate::core::slab::Key;
use crate::flow::graph::symbol::Symbol;
use crate::flow::kinds::node::{Event, FrameState};
use crate::flow::spec::Port;
use crate::flow::value::Value;
use std::rc::Rc;

/// Where the answer of a frame goes.
#[derive(Clone, Copy)]
pub struct Caller {
    pub frame: Key<Frame>,
    /// Which of its packets, and which link of that.
    pub packet: u32,
    pub place: u32,
}

/// How far a frame is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Stage {
    /// Its node decides what comes next.
    Node,
    /// Its value is on the way through `out`.
    Out,
    /// Its error is on the way through `error`.
    Error,
}

/// What a frame waits for.
pub enum Wait {
    /// Its turn, to receive its packet; whether it has been held at a breakpoint already.
    Turn { packet: Value, is_passed: bool },
    /// Its turn, to go on with this.
    Event(Event),
    /// The answers of other frames.
    Join(Join),
    /// The world.
    Task(Key<Task>),
    /// A time.
    Sleep(Due),
    /// Other inputs of its node, with what it brought.
    Inputs(Value),
    /// The frame of `in[0]` that answers for it.
    Carrier,
    /// Somebody who looks at it.
    Debugger(Value),
    /// Nothing: it is at work.
    Nothing,
}

/// A packet at a node.
pub struct Frame {
    pub symbol: Rc<Symbol>,
    /// The block around it, and the frame of that.
    pub scope: Option<(Rc<Symbol>, Key<Frame>)>,
    /// How many inputs of it are linked, if it has several.
    pub inputs: u32,
    /// Where the packet came in.
    pub port: Port,
    /// The port of the sender that it came through.
    pub via: Port,
    pub caller: Option<Caller>,
    pub depth: u32,
    pub stage: Stage,
    pub state: FrameState,
    pub wait: Wait,
    /// Its record in the trace.
    pub record: Option<u32>,
}
