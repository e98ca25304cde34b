//! Types while they are being found out: nodes in an arena, variables that become equal to others (union-find), schemes.
//! Knows no expressions and no names.

use crate::ids::Span;
use crate::limits::{COMPOSE_STEPS_MAX, DEPTH_MAX};
use crate::map::Map;
use crate::source::types::Base;

/// A type in the arena.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ty(pub u32);

/// What a type is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Node {
    /// The same as another.
    Link(Ty),
    /// Not known yet.
    Variable {
        /// What it may become.
        kinds: Kinds,
        /// How many definitions are around the one that it belongs to; [`GENERIC`]: any type at every use.
        level: u32,
    },
    /// A variable of a signature, which its definition may not choose: by its name in [`Types::rigid_name`].
    Rigid(u32),
    /// A base type, never `I64` or `F64`.
    Base(Base),
    /// `[a]`
    List(Ty),
    /// `?a`
    Optional(Ty),
    /// `(a, b)`: [`Types::members`].
    Tuple(Span),
    /// A record: [`Types::record`].
    Record(u32),
    /// `a -> b`; several parameters are functions that give functions.
    Arrow(Ty, Ty),
    /// `Worker a b`
    Worker(Ty, Ty),
}

/// The level of variables that a scheme binds.
pub const GENERIC: u32 = u32::MAX;

/// A set of shapes that a type may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kinds(pub u16);

#[allow(missing_docs)]
impl Kinds {
    pub const UNIT: Kinds = Kinds(1);
    pub const BOOL: Kinds = Kinds(2);
    pub const INTEGER: Kinds = Kinds(4);
    pub const FLOAT: Kinds = Kinds(8);
    pub const STR: Kinds = Kinds(16);
    pub const BYTES: Kinds = Kinds(32);
    pub const LIST: Kinds = Kinds(64);
    pub const TUPLE: Kinds = Kinds(128);
    pub const RECORD: Kinds = Kinds(256);
    pub const OPTIONAL: Kinds = Kinds(512);
    pub const FUNCTION: Kinds = Kinds(1024);
    pub const WORKER: Kinds = Kinds(2048);
    pub const ANY: Kinds = Kinds(4095);
    pub const NUMBER: Kinds = Kinds(4 | 8);
    /// What `<` compares.
    pub const ORDERED: Kinds = Kinds(2 | 4 | 8 | 16);
    /// What `<>` joins.
    pub const JOINED: Kinds = Kinds(16 | 64);
    /// What null may be.
    pub const NULL: Kinds = Kinds(1 | 512);
    /// What `==` compares, and what is shown.
    pub const DATA: Kinds = Kinds(1023);

    pub fn has(self, other: Kinds) -> bool {
        self.0 & other.0 == other.0
    }
}

/// A type that stands for one at every use: each variable is replaced by a new one.
#[derive(Clone, Debug, PartialEq)]
pub struct Scheme {
    /// Variables or rigid ones.
    pub vars: Vec<Ty>,
    /// The type.
    pub ty: Ty,
}

/// A record's keys and types.
#[derive(Clone, Debug, PartialEq)]
pub struct Fields {
    /// Empty: it is not declared.
    pub name: String,
    /// In their order.
    pub fields: Vec<(String, Ty)>,
}

/// Why two types can't be one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mismatch {
    /// They are different.
    Differ,
    /// One would contain itself.
    Infinite,
    /// Finding out takes too long, or the type nests too deep.
    Exhausted,
}

/// A point to go back to.
#[derive(Debug)]
pub struct Snapshot(usize);

/// The arena.
#[derive(Debug, Default)]
pub struct Types {
    nodes: Vec<Node>,
    members: Vec<Ty>,
    records: Vec<Fields>,
    rigid: Vec<String>,
    /// What was there before each change since the first open snapshot.
    trail: Vec<(Ty, Node)>,
    open: u32,
    /// Where a walk has been: the number of the walk.
    marks: Vec<u32>,
    walk: u32,
    steps: u64,
}

impl Types {
    /// Adds a type.
    pub fn add(&mut self, node: Node) -> Ty {
        self.steps += 1;
        self.nodes.push(node);
        Ty(self.nodes.len() as u32 - 1)
    }

    /// A variable.
    pub fn fresh(&mut self, kinds: Kinds, level: u32) -> Ty {
        self.add(Node::Variable { kinds, level })
    }

    /// A base type.
    pub fn base(&mut self, base: Base) -> Ty {
        let base = match base {
            Base::I64 => Base::Int,
            Base::F64 => Base::Real,
            other => other,
        };
        self.add(Node::Base(base))
    }

    /// A tuple.
    pub fn tuple(&mut self, parts: &[Ty]) -> Ty {
        let start = self.members.len();
        self.members.extend_from_slice(parts);
        self.add(Node::Tuple(Span::new(start, parts.len())))
    }

    /// A function.
    pub fn function(&mut self, params: &[Ty], result: Ty) -> Ty {
        let params = params.iter().rev();
        params.fold(result, |result, param| self.add(Node::Arrow(*param, result)))
    }

    /// A variable of a signature.
    pub fn rigid(&mut self, name: &str) -> Ty {
        self.rigid.push(name.into());
        self.add(Node::Rigid(self.rigid.len() as u32 - 1))
    }

    /// Adds a record, whose fields may be given later.
    pub fn add_record(&mut self, name: &str, fields: Vec<(String, Ty)>) -> u32 {
        self.records.push(Fields {
            name: name.into(),
            fields,
        });
        self.records.len() as u32 - 1
    }

    /// Gives a record its fields.
    pub fn set_fields(&mut self, record: u32, fields: Vec<(String, Ty)>) {
        self.records[record as usize].fields = fields;
    }

    /// A record's keys and types.
    pub fn record(&self, record: u32) -> &Fields {
        &self.records[record as usize]
    }

    /// All records.
    pub fn records(&self) -> &[Fields] {
        &self.records
    }

    /// Whether a declared record has itself among its parts.
    pub fn is_recursive(&mut self, record: u32) -> bool {
        let mut seen = Vec::new();
        let mut rest: Vec<Ty> = self.record(record).fields.iter().map(|field| field.1).collect();
        while let Some(ty) = rest.pop() {
            match self.node(ty) {
                Node::Record(inner) if inner == record => return true,
                Node::Record(inner) if !seen.contains(&inner) => {
                    seen.push(inner);
                    rest.extend(self.record(inner).fields.iter().map(|field| field.1));
                }
                Node::List(inner) | Node::Optional(inner) => rest.push(inner),
                Node::Arrow(from, to) | Node::Worker(from, to) => rest.extend([from, to]),
                Node::Tuple(span) => rest.extend_from_slice(self.members(span)),
                _ => {}
            }
        }
        false
    }

    /// The parts of a tuple.
    pub fn members(&self, span: Span) -> &[Ty] {
        &self.members[span.range()]
    }

    /// The name of a rigid variable.
    pub fn rigid_name(&self, rigid: u32) -> &str {
        &self.rigid[rigid as usize]
    }

    /// What stands for all types equal to this one.
    pub fn root(&mut self, ty: Ty) -> Ty {
        let mut root = ty;
        while let Node::Link(next) = self.nodes[root.0 as usize] {
            root = next;
        }
        let mut at = ty;
        while let Node::Link(next) = self.nodes[at.0 as usize] {
            if next != root {
                self.set(at, Node::Link(root));
            }
            at = next;
        }
        root
    }

    /// What a type is: never a link.
    pub fn node(&mut self, ty: Ty) -> Node {
        let root = self.root(ty);
        self.nodes[root.0 as usize]
    }

    /// Whether more was done than a composition may take.
    pub fn is_exhausted(&self) -> bool {
        self.steps > COMPOSE_STEPS_MAX
    }

    /// Counts work that is done with types elsewhere.
    pub fn spend(&mut self, steps: u64) {
        self.steps += steps;
    }

    fn set(&mut self, ty: Ty, node: Node) {
        if self.open > 0 {
            self.trail.push((ty, self.nodes[ty.0 as usize]));
        }
        self.nodes[ty.0 as usize] = node;
    }

    /// Remembers how things are.
    pub fn snapshot(&mut self) -> Snapshot {
        self.open += 1;
        Snapshot(self.trail.len())
    }

    /// Makes types as they were, or keeps what has become of them.
    pub fn close(&mut self, snapshot: Snapshot, is_kept: bool) {
        self.open -= 1;
        if !is_kept {
            while self.trail.len() > snapshot.0 {
                if let Some((ty, node)) = self.trail.pop() {
                    self.nodes[ty.0 as usize] = node;
                }
            }
        } else if self.open == 0 {
            self.trail.clear();
        }
    }

    /// Makes two types one; if that can't be, all is as before.
    ///
    /// # Errors
    /// See [`Mismatch`].
    pub fn unify(&mut self, left: Ty, right: Ty) -> Result<(), Mismatch> {
        let snapshot = self.snapshot();
        let done = self.join(left, right);
        self.close(snapshot, done.is_ok());
        done
    }

    fn join(&mut self, left: Ty, right: Ty) -> Result<(), Mismatch> {
        let mut pairs = vec![(left, right)];
        while let Some((left, right)) = pairs.pop() {
            self.steps += 1;
            if self.is_exhausted() {
                return Err(Mismatch::Exhausted);
            }
            let (left, right) = (self.root(left), self.root(right));
            if left == right {
                continue;
            }
            match (self.nodes[left.0 as usize], self.nodes[right.0 as usize]) {
                (Node::Variable { kinds, level }, other) => self.bind(left, kinds, level, right, other)?,
                (other, Node::Variable { kinds, level }) => self.bind(right, kinds, level, left, other)?,
                (Node::Base(a), Node::Base(b)) if a == b => {}
                (Node::List(a), Node::List(b)) | (Node::Optional(a), Node::Optional(b)) => pairs.push((a, b)),
                (Node::Arrow(a, c), Node::Arrow(b, d)) | (Node::Worker(a, c), Node::Worker(b, d)) => {
                    pairs.push((c, d));
                    pairs.push((a, b));
                }
                (Node::Tuple(a), Node::Tuple(b)) if a.len() == b.len() => {
                    let (a, b) = (self.members(a), self.members(b));
                    pairs.extend(a.iter().copied().zip(b.iter().copied()));
                }
                (Node::Record(a), Node::Record(b)) => {
                    let (one, other) = (self.record(a), self.record(b));
                    let keys = |record: &Fields| record.fields.len();
                    let are_same = keys(one) == keys(other)
                        && one.fields.iter().zip(&other.fields).all(|(a, b)| a.0 == b.0);
                    if !are_same {
                        return Err(Mismatch::Differ);
                    }
                    let fields = one.fields.iter().zip(&other.fields);
                    pairs.extend(fields.map(|(a, b)| (a.1, b.1)));
                    // A record is known by its name; linked before its fields are looked at, it may contain itself.
                    match self.record(a).name.is_empty() {
                        true => self.set(left, Node::Link(right)),
                        false => self.set(right, Node::Link(left)),
                    }
                }
                _ => return Err(Mismatch::Differ),
            }
        }
        Ok(())
    }

    /// Makes a variable equal to another type.
    fn bind(&mut self, var: Ty, kinds: Kinds, level: u32, to: Ty, node: Node) -> Result<(), Mismatch> {
        if let Node::Variable {
            kinds: others,
            level: deep,
        } = node
        {
            let both = Kinds(kinds.0 & others.0);
            if both.0 == 0 {
                return Err(Mismatch::Differ);
            }
            let level = level.min(deep);
            self.set(to, Node::Variable { kinds: both, level });
            self.set(var, Node::Link(to));
            return Ok(());
        }
        if !kinds.has(kind(node)) {
            return Err(Mismatch::Differ);
        }
        let vars = self.variables(to)?;
        if vars.contains(&var) {
            return Err(Mismatch::Infinite);
        }
        self.lower(&vars, level);
        self.set(var, Node::Link(to));
        Ok(())
    }

    /// Variables that don't belong deeper than that level.
    pub fn lower(&mut self, vars: &[Ty], level: u32) {
        for var in vars {
            if let Node::Variable { kinds, level: deep } = self.nodes[var.0 as usize]
                && deep > level
            {
                self.set(*var, Node::Variable { kinds, level });
            }
        }
    }

    /// The variables in a type, each once, in their order; not the rigid ones.
    ///
    /// # Errors
    /// Only if it takes too long.
    pub fn variables(&mut self, ty: Ty) -> Result<Vec<Ty>, Mismatch> {
        let mut found = Vec::new();
        self.walk += 1;
        let mut rest = vec![ty];
        while let Some(ty) = rest.pop() {
            self.steps += 1;
            if self.is_exhausted() {
                return Err(Mismatch::Exhausted);
            }
            let root = self.root(ty);
            self.marks.resize(self.nodes.len(), 0);
            if std::mem::replace(&mut self.marks[root.0 as usize], self.walk) == self.walk {
                continue;
            }
            match self.nodes[root.0 as usize] {
                Node::Variable { .. } => found.push(root),
                Node::List(inner) | Node::Optional(inner) => rest.push(inner),
                Node::Arrow(from, to) | Node::Worker(from, to) => rest.extend([to, from]),
                Node::Tuple(span) => rest.extend(self.members[span.range()].iter().rev()),
                // Declared records are closed.
                Node::Record(record) if self.record(record).name.is_empty() => {
                    let fields = &self.records[record as usize].fields;
                    rest.extend(fields.iter().rev().map(|field| field.1));
                }
                Node::Record(_) | Node::Link(_) | Node::Rigid(_) | Node::Base(_) => {}
            }
        }
        Ok(found)
    }

    /// Binds the variables of a type that belong deeper than that level.
    ///
    /// # Errors
    /// Only if it takes too long.
    pub fn generalize(&mut self, ty: Ty, level: u32) -> Result<Scheme, Mismatch> {
        let mut vars = Vec::new();
        for var in self.variables(ty)? {
            if let Node::Variable { kinds, level: deep } = self.nodes[var.0 as usize]
                && deep > level
                && deep != GENERIC
            {
                self.set(
                    var,
                    Node::Variable {
                        kinds,
                        level: GENERIC,
                    },
                );
                vars.push(var);
            }
        }
        Ok(Scheme { vars, ty })
    }

    /// The type of one use of a scheme, and what stands for each of its variables there.
    ///
    /// # Errors
    /// A type that nests too deep.
    pub fn instantiate(&mut self, scheme: &Scheme, level: u32) -> Result<(Ty, Vec<Ty>), Mismatch> {
        if scheme.vars.is_empty() {
            return Ok((scheme.ty, Vec::new()));
        }
        let mut copies = Map::new();
        let mut news = Vec::new();
        for var in &scheme.vars {
            let root = self.root(*var);
            let kinds = match self.nodes[root.0 as usize] {
                Node::Variable { kinds, .. } => kinds,
                _ => Kinds::ANY,
            };
            let new = self.fresh(kinds, level);
            copies.insert(root, new);
            news.push(new);
        }
        Ok((self.copy(scheme.ty, &mut copies, 0)?, news))
    }

    fn copy(&mut self, ty: Ty, copies: &mut Map<Ty, Ty>, depth: usize) -> Result<Ty, Mismatch> {
        self.steps += 1;
        if depth > DEPTH_MAX || self.is_exhausted() {
            return Err(Mismatch::Exhausted);
        }
        let root = self.root(ty);
        if let Some(copy) = copies.get(&root) {
            return Ok(*copy);
        }
        let node = self.nodes[root.0 as usize];
        let copy = match node {
            Node::Link(_) | Node::Variable { .. } | Node::Rigid(_) | Node::Base(_) => root,
            Node::List(inner) => {
                let copy = self.copy(inner, copies, depth + 1)?;
                self.same(root, copy == inner, Node::List(copy))
            }
            Node::Optional(inner) => {
                let copy = self.copy(inner, copies, depth + 1)?;
                self.same(root, copy == inner, Node::Optional(copy))
            }
            Node::Arrow(from, to) => {
                let copied = (
                    self.copy(from, copies, depth + 1)?,
                    self.copy(to, copies, depth + 1)?,
                );
                self.same(root, copied == (from, to), Node::Arrow(copied.0, copied.1))
            }
            Node::Worker(from, to) => {
                let copied = (
                    self.copy(from, copies, depth + 1)?,
                    self.copy(to, copies, depth + 1)?,
                );
                self.same(root, copied == (from, to), Node::Worker(copied.0, copied.1))
            }
            Node::Tuple(span) => {
                let parts = self.members(span).to_vec();
                let mut copied = Vec::with_capacity(parts.len());
                for part in &parts {
                    copied.push(self.copy(*part, copies, depth + 1)?);
                }
                match copied == parts {
                    true => root,
                    false => self.tuple(&copied),
                }
            }
            Node::Record(record) if self.record(record).name.is_empty() => {
                let mut fields = self.record(record).fields.clone();
                for field in &mut fields {
                    field.1 = self.copy(field.1, copies, depth + 1)?;
                }
                match fields == self.record(record).fields {
                    true => root,
                    false => {
                        let record = self.add_record("", fields);
                        self.add(Node::Record(record))
                    }
                }
            }
            Node::Record(_) => root,
        };
        copies.insert(root, copy);
        Ok(copy)
    }

    fn same(&mut self, old: Ty, is_same: bool, new: Node) -> Ty {
        match is_same {
            true => old,
            false => self.add(new),
        }
    }

    /// Splits a function into at most `count` parameters and what it then gives.
    pub fn parameters(&mut self, ty: Ty, count: usize) -> (Vec<Ty>, Ty) {
        let (mut params, mut rest) = (Vec::new(), ty);
        while params.len() < count
            && let Node::Arrow(param, result) = self.node(rest)
        {
            params.push(param);
            rest = result;
        }
        (params, rest)
    }
}

/// The shape of a type; of what may become anything, all of them.
pub fn kind(node: Node) -> Kinds {
    match node {
        Node::Base(base) => match base {
            Base::Unit => Kinds::UNIT,
            Base::Bool => Kinds::BOOL,
            Base::Str => Kinds::STR,
            Base::Bytes => Kinds::BYTES,
            // Data of which no operator knows anything.
            Base::Json => Kinds::RECORD,
            Base::Real | Base::F32 | Base::F64 => Kinds::FLOAT,
            _ => Kinds::INTEGER,
        },
        Node::List(_) => Kinds::LIST,
        Node::Optional(_) => Kinds::OPTIONAL,
        Node::Tuple(_) => Kinds::TUPLE,
        Node::Record(_) => Kinds::RECORD,
        Node::Arrow(..) => Kinds::FUNCTION,
        Node::Worker(..) => Kinds::WORKER,
        Node::Variable { kinds, .. } => kinds,
        // Whether it can be compared is looked at where it has become something.
        Node::Rigid(_) => Kinds::DATA,
        Node::Link(_) => Kinds::ANY,
    }
}

/// What a variable is when nothing says more.
pub fn default(kinds: Kinds) -> Option<Base> {
    match kinds {
        Kinds::NUMBER | Kinds::INTEGER => Some(Base::Int),
        Kinds::FLOAT => Some(Base::Real),
        Kinds::NULL | Kinds::UNIT => Some(Base::Unit),
        Kinds::BOOL => Some(Base::Bool),
        Kinds::STR => Some(Base::Str),
        Kinds::BYTES => Some(Base::Bytes),
        _ => None,
    }
}

/// What people call the shapes that a type may have.
pub fn called(kinds: Kinds) -> &'static str {
    match kinds {
        Kinds::NUMBER => "a number",
        Kinds::INTEGER => "an integer",
        Kinds::FLOAT => "Real",
        Kinds::NULL => "null",
        Kinds::ORDERED => "a number, Str or Bool",
        Kinds::JOINED => "Str or a list",
        Kinds::DATA => "anything but a function",
        _ => "another type",
    }
}
