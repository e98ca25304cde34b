//! The arena of an expression: nodes by id, children before parents, lists and constants in side tables. Parses and
//! evaluates nothing.

use super::function::Function;
use super::pattern::Pattern;
use crate::flow::value::Value;
use crate::ids::Span;

/// A node, by its position.
pub(super) type NodeId = u32;

/// One expression; what it contains is referred to by id.
#[derive(Clone, Copy)]
pub(super) enum Node {
    /// A value: [`Arena::constants`].
    Constant(u32),
    /// A name of whoever evaluates: [`Arena::names`].
    Name(u32),
    /// A variable of the loop of that depth, counted from the outermost.
    Local { depth: u32, is_key: bool },
    /// A field; its name is a constant.
    Field { of: NodeId, name: u32 },
    /// Whether a field is there.
    Has { of: NodeId, name: u32 },
    /// An element, or the value of a key.
    Index { of: NodeId, key: NodeId },
    /// A list: [`Arena::children`].
    List(Span),
    /// A map: [`Arena::children`], each key before its value.
    Map(Span),
    /// The other boolean.
    Not(NodeId),
    /// The number with the other sign.
    Negate(NodeId),
    /// Something of two values.
    Binary { op: Binary, left: NodeId, right: NodeId },
    /// Whether both, or one of two, are true.
    Logic {
        is_or: bool,
        left: NodeId,
        right: NodeId,
    },
    /// One of two, of which the other is not evaluated.
    If {
        cond: NodeId,
        then: NodeId,
        otherwise: NodeId,
    },
    /// A function: [`Arena::children`], what it is a method of first.
    Call { function: Function, args: Span },
    /// Whether a text matches: [`Arena::patterns`].
    Matches { text: NodeId, pattern: u32 },
    /// A macro: [`Arena::loops`].
    Loop(u32),
}

/// What [`Node::Binary`] does.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Binary {
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
    Equal,
    Unequal,
    Less,
    AtMost,
    Greater,
    AtLeast,
    In,
}

impl Binary {
    /// As it is written.
    pub fn sign(self) -> &'static str {
        ["+", "-", "*", "/", "%", "==", "!=", "<", "<=", ">", ">=", "in"][self as usize]
    }
}

/// What a loop gives.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Gives {
    /// Whether the test holds of all.
    All,
    /// Whether it holds of one at least.
    Exists,
    /// Whether it holds of exactly one.
    ExistsOne,
    /// Those of which it holds.
    Filter,
    /// A list of the values, of those of which the test holds if there is one.
    List,
    /// A map of the values with the keys as they were.
    Map,
    /// The value; the variable is the range itself.
    Bind,
}

/// A macro.
#[derive(Clone, Copy)]
pub(super) struct Loop {
    pub gives: Gives,
    /// What it goes over, outside the loop.
    pub over: NodeId,
    /// A boolean, where there is one.
    pub test: Option<NodeId>,
    /// What it gathers, where that isn't the element.
    pub value: Option<NodeId>,
    /// Whether a variable stands for the key or position too.
    pub has_key: bool,
    /// Whether `over` is nested no deeper than what the names are bound to.
    pub is_flat: bool,
}

/// All of an expression.
#[derive(Default)]
pub(super) struct Arena {
    pub nodes: Vec<Node>,
    /// Where each node stands, in bytes.
    pub offsets: Vec<u32>,
    pub children: Vec<NodeId>,
    pub constants: Vec<Value>,
    pub names: Vec<Box<str>>,
    pub patterns: Vec<Pattern>,
    pub loops: Vec<Loop>,
}

impl Arena {
    /// The node of that id.
    pub fn node(&self, id: NodeId) -> Node {
        self.nodes[id as usize]
    }

    /// Elements or arguments.
    pub fn children(&self, span: Span) -> &[NodeId] {
        &self.children[span.range()]
    }

    /// Adds a node that stands there.
    pub fn add(&mut self, node: Node, offset: u32) -> NodeId {
        self.nodes.push(node);
        self.offsets.push(offset);
        self.nodes.len() as NodeId - 1
    }

    /// Adds elements or arguments.
    pub fn add_children(&mut self, children: &[NodeId]) -> Span {
        let start = self.children.len();
        self.children.extend_from_slice(children);
        Span::new(start, children.len())
    }

    /// Adds a constant.
    pub fn add_constant(&mut self, value: Value) -> u32 {
        self.constants.push(value);
        self.constants.len() as u32 - 1
    }

    /// The number of a name.
    pub fn name(&mut self, name: &str) -> u32 {
        let known = self.names.iter().position(|known| **known == *name);
        known.unwrap_or_else(|| {
            self.names.push(name.into());
            self.names.len() - 1
        }) as u32
    }
}
