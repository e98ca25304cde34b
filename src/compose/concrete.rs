//! Types without variables: each once, so that equal types have equal ids; their schemas, and their names for people.
//! Infers nothing.

use crate::compose::types::{Kinds, Mismatch, Node, Ty, Types, default};
use crate::limits::{COMPOSE_SCHEMA_BYTES_MAX, DEPTH_MAX};
use crate::map::Map;
use crate::source::signature::{Field, ParamDoc, Place, Record};
use crate::source::types::{Base, Type};

/// A type without variables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ConcreteId(pub u32);

/// What it is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs)]
pub enum Concrete {
    Base(Base),
    List(ConcreteId),
    Optional(ConcreteId),
    Tuple(Vec<ConcreteId>),
    /// Declared, by its number among the records.
    Record(u32),
    /// Not declared.
    Fields(Vec<(String, ConcreteId)>),
    Arrow(ConcreteId, ConcreteId),
    Worker(ConcreteId, ConcreteId),
}

/// Why there is no concrete type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unsettled {
    /// That variable may still be anything.
    Open(Kinds),
    /// It nests too deep or its schema is too long.
    TooLarge,
}

impl From<Mismatch> for Unsettled {
    fn from(_: Mismatch) -> Unsettled {
        Unsettled::TooLarge
    }
}

/// What the variables of schemes stand for at one place.
pub type Choice = Map<Ty, ConcreteId>;

/// The table of concrete types.
#[derive(Debug, Default)]
pub struct Concretes {
    nodes: Vec<Concrete>,
    known: Map<Concrete, ConcreteId>,
    schemas: Vec<Option<String>>,
    /// The fields of declared records, once they have been asked for.
    fields: Map<u32, Vec<(String, ConcreteId)>>,
    /// Names for records that have none.
    anonymous: Vec<ConcreteId>,
}

impl Concretes {
    /// What a type is.
    pub fn node(&self, id: ConcreteId) -> &Concrete {
        &self.nodes[id.0 as usize]
    }

    /// The id of a type.
    pub fn add(&mut self, node: Concrete) -> ConcreteId {
        if let Some(id) = self.known.get(&node) {
            return *id;
        }
        let id = ConcreteId(self.nodes.len() as u32);
        self.nodes.push(node.clone());
        self.schemas.push(None);
        self.known.insert(node, id);
        id
    }

    /// A base type.
    pub fn base(&mut self, base: Base) -> ConcreteId {
        self.add(Concrete::Base(base))
    }

    /// The concrete type of an inferred one, where its variables stand for what `choice` says; what is still open becomes
    /// its default.
    ///
    /// # Errors
    /// See [`Unsettled`].
    pub fn settle(&mut self, types: &mut Types, ty: Ty, choice: &Choice) -> Result<ConcreteId, Unsettled> {
        self.settle_at(types, ty, choice, &mut Map::new(), 0)
    }

    fn settle_at(
        &mut self,
        types: &mut Types,
        ty: Ty,
        choice: &Choice,
        done: &mut Choice,
        depth: usize,
    ) -> Result<ConcreteId, Unsettled> {
        types.spend(1);
        if depth > DEPTH_MAX || types.is_exhausted() {
            return Err(Unsettled::TooLarge);
        }
        let root = types.root(ty);
        if let Some(id) = choice.get(&root).or_else(|| done.get(&root)) {
            return Ok(*id);
        }
        let node = match types.node(root) {
            Node::Base(base) => Concrete::Base(base),
            Node::Variable { kinds, .. } => Concrete::Base(default(kinds).ok_or(Unsettled::Open(kinds))?),
            // Outside of what it is a variable of, a rigid one means nothing.
            Node::Link(_) | Node::Rigid(_) => return Err(Unsettled::Open(Kinds::ANY)),
            Node::List(inner) => Concrete::List(self.settle_at(types, inner, choice, done, depth + 1)?),
            Node::Optional(inner) => {
                Concrete::Optional(self.settle_at(types, inner, choice, done, depth + 1)?)
            }
            Node::Arrow(from, to) => {
                let from = self.settle_at(types, from, choice, done, depth + 1)?;
                Concrete::Arrow(from, self.settle_at(types, to, choice, done, depth + 1)?)
            }
            Node::Worker(from, to) => {
                let from = self.settle_at(types, from, choice, done, depth + 1)?;
                Concrete::Worker(from, self.settle_at(types, to, choice, done, depth + 1)?)
            }
            Node::Tuple(span) => {
                let mut parts = Vec::with_capacity(span.len());
                for part in types.members(span).to_vec() {
                    parts.push(self.settle_at(types, part, choice, done, depth + 1)?);
                }
                Concrete::Tuple(parts)
            }
            Node::Record(record) if !types.record(record).name.is_empty() => Concrete::Record(record),
            Node::Record(record) => {
                let mut fields = Vec::new();
                for (key, ty) in types.record(record).fields.clone() {
                    fields.push((key, self.settle_at(types, ty, choice, done, depth + 1)?));
                }
                Concrete::Fields(fields)
            }
        };
        let id = self.add(node);
        done.insert(root, id);
        Ok(id)
    }

    /// The fields of a record, declared or not.
    ///
    /// # Errors
    /// A declared record whose types nest too deep.
    pub fn fields(
        &mut self,
        types: &mut Types,
        id: ConcreteId,
    ) -> Result<Vec<(String, ConcreteId)>, Unsettled> {
        let record = match self.node(id) {
            Concrete::Fields(fields) => return Ok(fields.clone()),
            Concrete::Record(record) => *record,
            _ => return Ok(Vec::new()),
        };
        if let Some(fields) = self.fields.get(&record) {
            return Ok(fields.clone());
        }
        let mut fields = Vec::new();
        for (key, ty) in types.record(record).fields.clone() {
            fields.push((key, self.settle(types, ty, &Choice::new())?));
        }
        self.fields.insert(record, fields.clone());
        Ok(fields)
    }

    /// The schema of a type.
    ///
    /// # Errors
    /// One that is too long.
    pub fn schema(&mut self, types: &mut Types, id: ConcreteId) -> Result<String, Unsettled> {
        if let Some(schema) = &self.schemas[id.0 as usize] {
            return Ok(schema.clone());
        }
        let mut out = String::new();
        self.spell(types, id, &mut Vec::new(), &mut out, 0)?;
        self.schemas[id.0 as usize] = Some(out.clone());
        Ok(out)
    }

    fn spell(
        &mut self,
        types: &mut Types,
        id: ConcreteId,
        open: &mut Vec<u32>,
        out: &mut String,
        depth: usize,
    ) -> Result<(), Unsettled> {
        if out.len() > COMPOSE_SCHEMA_BYTES_MAX || depth > DEPTH_MAX {
            return Err(Unsettled::TooLarge);
        }
        match self.node(id).clone() {
            Concrete::Base(base) => out.push_str(base.schema()),
            Concrete::List(inner) => {
                out.push('[');
                self.spell(types, inner, open, out, depth + 1)?;
                out.push(']');
            }
            Concrete::Optional(inner) => {
                out.push('?');
                self.spell(types, inner, open, out, depth + 1)?;
            }
            Concrete::Tuple(parts) => self.spell_list(types, &parts, open, out, depth + 1)?,
            Concrete::Arrow(..) => {
                let (params, result) = self.arrows(id);
                out.push('\\');
                self.spell_list(types, &params, open, out, depth + 1)?;
                self.spell(types, result, open, out, depth + 1)?;
            }
            // A worker is its number.
            Concrete::Worker(..) => out.push_str("u8"),
            Concrete::Fields(fields) => self.spell_fields(types, &fields, open, out, depth + 1)?,
            Concrete::Record(record) => {
                let label = recursive_label(record);
                if open.contains(&record) {
                    out.push('^');
                    out.push_str(&label);
                    return Ok(());
                }
                if types.is_recursive(record) {
                    out.push('&');
                    out.push_str(&label);
                }
                open.push(record);
                let fields = self.fields(types, id)?;
                self.spell_fields(types, &fields, open, out, depth + 1)?;
                open.pop();
            }
        }
        Ok(())
    }

    fn spell_list(
        &mut self,
        types: &mut Types,
        parts: &[ConcreteId],
        open: &mut Vec<u32>,
        out: &mut String,
        depth: usize,
    ) -> Result<(), Unsettled> {
        out.push('(');
        for (position, part) in parts.iter().enumerate() {
            out.push_str(if position > 0 { "," } else { "" });
            self.spell(types, *part, open, out, depth + 1)?;
        }
        out.push(')');
        Ok(())
    }

    fn spell_fields(
        &mut self,
        types: &mut Types,
        fields: &[(String, ConcreteId)],
        open: &mut Vec<u32>,
        out: &mut String,
        depth: usize,
    ) -> Result<(), Unsettled> {
        out.push('{');
        for (position, (key, ty)) in fields.iter().enumerate() {
            out.push_str(if position > 0 { "," } else { "" });
            out.push_str(key);
            out.push(':');
            self.spell(types, *ty, open, out, depth + 1)?;
        }
        out.push('}');
        Ok(())
    }

    /// All parameters of a function and what it gives in the end; of another type, none and itself.
    pub fn arrows(&self, id: ConcreteId) -> (Vec<ConcreteId>, ConcreteId) {
        let (mut params, mut rest) = (Vec::new(), id);
        while let Concrete::Arrow(param, result) = self.node(rest) {
            params.push(*param);
            rest = *result;
        }
        (params, rest)
    }

    /// Whether it is, or holds, something that is no data.
    pub fn holds(&self, id: ConcreteId, is_meant: fn(&Concrete) -> bool) -> bool {
        let mut seen = vec![id];
        let mut at = 0;
        while let Some(&id) = seen.get(at) {
            at += 1;
            let node = self.node(id);
            if is_meant(node) {
                return true;
            }
            let mut add = |id: ConcreteId| {
                if !seen.contains(&id) {
                    seen.push(id);
                }
            };
            match node {
                Concrete::Base(_) => {}
                Concrete::List(inner) | Concrete::Optional(inner) => add(*inner),
                Concrete::Tuple(parts) => parts.iter().copied().for_each(add),
                // Fields of declared records are looked at where they are declared.
                Concrete::Record(_) => {}
                Concrete::Fields(fields) => fields.iter().for_each(|field| add(field.1)),
                Concrete::Arrow(from, to) | Concrete::Worker(from, to) => {
                    [*from, *to].into_iter().for_each(add)
                }
            }
        }
        false
    }

    /// The type as people write it. Records that are not declared get a name.
    pub fn written(&mut self, types: &Types, id: ConcreteId) -> Type {
        let boxed = |this: &mut Concretes, id| Box::new(this.written(types, id));
        match self.node(id).clone() {
            Concrete::Base(base) => Type::Base(base),
            Concrete::List(inner) => Type::List(boxed(self, inner)),
            Concrete::Optional(inner) => Type::Optional(boxed(self, inner)),
            Concrete::Tuple(parts) => {
                Type::Tuple(parts.into_iter().map(|part| self.written(types, part)).collect())
            }
            Concrete::Record(record) => Type::Named(types.record(record).name.clone()),
            Concrete::Fields(_) => {
                let known = self.anonymous.iter().position(|known| *known == id);
                let position = known.unwrap_or_else(|| {
                    self.anonymous.push(id);
                    self.anonymous.len() - 1
                });
                Type::Named(anonymous_name(position))
            }
            Concrete::Arrow(..) => {
                let (params, result) = self.arrows(id);
                let params = params.into_iter().map(|param| self.written(types, param));
                Type::Function(params.collect(), boxed(self, result))
            }
            Concrete::Worker(from, to) => Type::Worker(boxed(self, from), boxed(self, to)),
        }
    }

    /// The records that have got names from [`Concretes::written`].
    pub fn named_records(&mut self, types: &Types) -> Vec<Record> {
        let mut records = Vec::new();
        let mut position = 0;
        while let Some(&id) = self.anonymous.get(position) {
            let fields = match self.node(id).clone() {
                Concrete::Fields(fields) => fields,
                _ => Vec::new(),
            };
            let field = |(name, ty): (String, ConcreteId)| Field {
                name,
                ty: self.written(types, ty),
                doc: ParamDoc::default(),
            };
            records.push(Record {
                name: anonymous_name(position),
                place: Place::default(),
                fields: fields.into_iter().map(field).collect(),
                doc: ParamDoc::default(),
            });
            position += 1;
        }
        records
    }
}

/// No source can declare a name with a digit first after the underscore of ours by chance.
fn anonymous_name(position: usize) -> String {
    format!("Record_{}", position + 1)
}

/// What a schema calls a recursive record: its length, one digit of base 62, and its number.
fn recursive_label(record: u32) -> String {
    let label = format!("r{record}");
    format!("{}{label}", label.len())
}
