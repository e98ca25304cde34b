//! What people write: nodes and values of a flow, as they stand in files. Builds no graph and knows no kind of node.

pub mod name;
pub mod port;

pub use port::{Link, Port, PortName, Target};

use crate::flow::value::Value;
use std::fmt;
use std::rc::Rc;

/// Where something was written: `file:line`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The file as people know it, `-` for standard input; empty where nobody wrote it to one.
    pub file: Rc<str>,
    /// Its line there, from 1; 0 if it is not known.
    pub line: u32,
}

impl Default for Place {
    fn default() -> Place {
        Place {
            file: "".into(),
            line: 0,
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.file)?;
        match (self.file.is_empty(), self.line) {
            (_, 0) => Ok(()),
            (true, line) => write!(out, "line {line}"),
            (false, line) => write!(out, ":{line}"),
        }
    }
}

/// The namespace of what names none.
pub const NAMESPACE: &str = "default";

/// A node as it is written. Templates in it are not replaced before `template::resolve`.
#[derive(Clone, Debug, PartialEq)]
pub struct Spec {
    /// What it may be known by beside its name.
    pub id: Option<Rc<str>>,
    /// Where its name is unique and its links lead.
    pub namespace: Rc<str>,
    /// Its name; its id if it has only that; empty for a nested one that has neither.
    pub name: Rc<str>,
    /// The kind of node that it is.
    pub kind: Rc<str>,
    /// Notes that nexus doesn't read.
    pub annotations: Vec<(Rc<str>, Rc<str>)>,
    /// Names and where their values come from, as written and checked.
    pub env: Vec<(Rc<str>, Value)>,
    /// Where packets go: for each port the links in the order in which they were written.
    pub ports: Vec<(Port, Vec<Link>)>,
    /// The kind's own fields: a map.
    pub fields: Value,
    /// Where it was written.
    pub place: Place,
    /// How often the store has seen it change; 0 for what has not been stored.
    pub revision: u64,
}

impl Spec {
    /// A field of the kind's own.
    pub fn field(&self, name: &str) -> Option<&Value> {
        self.fields.get(name)
    }
}

/// A value that nodes use by name, which nobody gets to see.
#[derive(Clone, Debug, PartialEq)]
pub struct FlowValue {
    /// What it may be known by beside its name.
    pub id: Option<Rc<str>>,
    /// Where its name is unique and who may use it.
    pub namespace: Rc<str>,
    /// Its name; its id if it has only that.
    pub name: Rc<str>,
    /// Notes that nexus doesn't read.
    pub annotations: Vec<(Rc<str>, Rc<str>)>,
    /// What it is.
    pub data: Value,
    /// Where it was written.
    pub place: Place,
    /// See [`Spec::revision`].
    pub revision: u64,
}
