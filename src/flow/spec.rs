//! What people write: nodes and values of a flow, as they stand in files. Builds no graph and knows no kind of node.

pub mod codec;
pub mod name;
pub mod port;
pub mod secrets;
pub mod template;

pub use port::{Link, Port, PortName, Target};

use crate::error::Error;
use crate::flow::value::Value;
use crate::flow::value::located::{Located, Node};
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

/// All that is wrong with files, or with what is asked for.
pub type Errors = Vec<Box<Error>>;

/// The namespace of what names none.
pub const NAMESPACE: &str = "default";

/// A node as it is written. Templates in it are not replaced before `template::resolve`.
#[derive(Clone, Debug)]
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
    /// How often the store has seen it change, from 1 on. Of what is given to be stored, the revision that it expects there, 0 for
    /// none at all; none if it doesn't say.
    pub revision: Option<u64>,
    /// All of it as it was written, with the lines.
    pub written: Located,
}

impl Spec {
    /// A field of the kind's own.
    pub fn field(&self, name: &str) -> Option<&Value> {
        self.fields.get(name)
    }

    /// Where an entry of it was written, if it was; else where it begins itself.
    pub fn place_of(&self, entry: &str) -> Place {
        place_of(&self.place, self.written.root(), entry)
    }
}

fn place_of(place: &Place, root: Node<'_>, entry: &str) -> Place {
    let mut entries = root.entries();
    let found = entries.find(|(key, _)| key.as_str() == Some(entry));
    Place {
        file: place.file.clone(),
        line: found.map_or(place.line, |(_, node)| node.line()),
    }
}

/// A value that nodes use by name, which nobody gets to see.
#[derive(Clone, Debug)]
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
    pub revision: Option<u64>,
    /// All of it as it was written, with the lines.
    pub written: Located,
}

/// A node or a value, as the store keeps either.
#[derive(Clone, Debug)]
pub enum Object {
    /// A node.
    Spec(Rc<Spec>),
    /// A value.
    Value(Rc<FlowValue>),
}

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sort {
    /// Nodes.
    Specs,
    /// Values.
    Values,
}

impl Sort {
    /// Both.
    pub const ALL: [Sort; 2] = [Sort::Specs, Sort::Values];

    /// The word for all of them, and the name of their folder.
    pub fn plural(self) -> &'static str {
        match self {
            Sort::Specs => "specs",
            Sort::Values => "values",
        }
    }

    /// The word for one of them.
    pub fn word(self) -> &'static str {
        match self {
            Sort::Specs => "spec",
            Sort::Values => "value",
        }
    }
}

impl Object {
    /// Which it is.
    pub fn sort(&self) -> Sort {
        match self {
            Object::Spec(_) => Sort::Specs,
            Object::Value(_) => Sort::Values,
        }
    }

    /// Its name.
    pub fn name(&self) -> &Rc<str> {
        match self {
            Object::Spec(spec) => &spec.name,
            Object::Value(value) => &value.name,
        }
    }

    /// Its id, if it has one.
    pub fn id(&self) -> Option<&Rc<str>> {
        match self {
            Object::Spec(spec) => spec.id.as_ref(),
            Object::Value(value) => value.id.as_ref(),
        }
    }

    /// Its namespace.
    pub fn namespace(&self) -> &Rc<str> {
        match self {
            Object::Spec(spec) => &spec.namespace,
            Object::Value(value) => &value.namespace,
        }
    }

    /// Where it was written.
    pub fn place(&self) -> &Place {
        match self {
            Object::Spec(spec) => &spec.place,
            Object::Value(value) => &value.place,
        }
    }

    /// See [`Spec::revision`].
    pub fn revision(&self) -> Option<u64> {
        match self {
            Object::Spec(spec) => spec.revision,
            Object::Value(value) => value.revision,
        }
    }

    /// Its revision in the store: at least 1, as of what a hand wrote without any.
    pub fn stored_revision(&self) -> u64 {
        self.revision().unwrap_or(1).max(1)
    }

    /// Gives it another revision than it says.
    pub fn set_revision(&mut self, revision: u64) {
        let place = match self {
            Object::Spec(spec) => &mut Rc::make_mut(spec).revision,
            Object::Value(value) => &mut Rc::make_mut(value).revision,
        };
        *place = Some(revision);
    }

    /// All of it as it was written.
    pub fn written(&self) -> &Value {
        match self {
            Object::Spec(spec) => &spec.written.value,
            Object::Value(value) => &value.written.value,
        }
    }

    /// All of it as anybody may see it: a value's data is hidden, and its revision is that which counts.
    pub fn shown(&self) -> Value {
        let whole = match self.revision() {
            Some(revision) => self.stored(revision),
            None => self.content(),
        };
        let entries = whole.entries().unwrap_or_default().iter();
        let hides = self.sort() == Sort::Values;
        let entries = entries.map(|(key, value)| match key.as_str() {
            Some("data") if hides => (key.clone(), Value::str(secrets::REDACTED)),
            _ => (key.clone(), value.clone()),
        });
        Value::Map(Rc::new(entries.collect()))
    }

    /// What it says, without its revision: two that are equal by it are the same.
    pub fn content(&self) -> Value {
        let entries = self.written().entries().unwrap_or_default().iter();
        let entries = entries.filter(|(key, _)| key.as_str() != Some("revision"));
        Value::Map(Rc::new(entries.cloned().collect()))
    }

    /// As it stands in the store: with that revision, if it has been counted.
    pub fn stored(&self, revision: u64) -> Value {
        let content = self.content();
        if revision == 0 {
            return content;
        }
        let entries = content.entries().unwrap_or_default().iter().cloned();
        let revision = match i64::try_from(revision) {
            Ok(revision) => Value::Int(revision),
            Err(_) => Value::Uint(revision),
        };
        let entries = entries.chain([(Value::str("revision"), revision)]);
        Value::Map(Rc::new(entries.collect()))
    }
}
