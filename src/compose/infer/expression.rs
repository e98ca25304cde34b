//! The type of each kind of expression. Expected types go inwards, so that a literal knows what it is to be.

use crate::codec::nearest::nearest;
use crate::compose::ast::{Definition, Name, Node as Tree, NodeId, Op};
use crate::compose::declare::{Variables, Written};
use crate::compose::describe::{describe, describe_expected};
use crate::compose::infer::complain::{NAMELESS, Why};
use crate::compose::infer::program::Infer;
use crate::compose::types::{Kinds, Mismatch, Node, Scheme, Ty, kind};
use crate::source::signature::Flaw;
use crate::source::types::Base;

impl<'m> Infer<'m, '_> {
    /// The type of an expression of which nothing is expected.
    pub fn infer(&mut self, id: NodeId) -> Ty {
        let ty = self.fresh(Kinds::ANY);
        self.check(id, ty, Why::Free);
        match self.inferred.wraps.get(&id) {
            Some(wrapped) => *wrapped,
            None => self.inferred.nodes[id.0 as usize],
        }
    }

    /// Checks that an expression has the type that is expected of it.
    pub fn check(&mut self, id: NodeId, expected: Ty, why: Why) {
        let node = self.module.nodes.node(id);
        if is_plain(node)
            && let Node::Optional(inner) = self.inferred.types.node(expected)
        {
            self.inferred.wraps.insert(id, expected);
            return self.check(id, inner, why);
        }
        self.inferred.nodes[id.0 as usize] = expected;
        match node {
            Tree::Null => self.leaf(id, Kinds::NULL, expected, why),
            Tree::Int(_) => self.leaf(id, Kinds::NUMBER, expected, why),
            Tree::Real(_) => self.leaf(id, Kinds::FLOAT, expected, why),
            Tree::Bool(_) => self.is(id, Base::Bool, expected, why),
            Tree::Str(_) => self.is(id, Base::Str, expected, why),
            Tree::Interpolated(_, parts) => {
                for part in parts {
                    let ty = self.fresh(Kinds::DATA);
                    self.check(*part, ty, Why::Interpolated);
                }
                self.is(id, Base::Str, expected, why);
            }
            Tree::Name(_) => {
                let ty = self.name(id);
                self.coerce(id, ty, expected, why);
            }
            Tree::Apply(func, args) => {
                let ty = self.apply(*func, args);
                self.coerce(id, ty, expected, why);
            }
            Tree::Lambda(params, body) => self.lambda(id, params, *body, expected, why),
            Tree::Let {
                definitions, body, ..
            } => {
                self.definitions(id, definitions);
                self.check(*body, expected, why);
            }
            Tree::List(elements) => self.list(id, elements, expected, why),
            Tree::Tuple(parts) => self.tuple(id, parts, expected, why),
            Tree::Record(fields) => self.record(id, fields, expected, why),
            Tree::Pattern(branches) => {
                let subject = self.fresh(Kinds::ANY);
                let ty = self.pattern(id, branches, subject);
                self.coerce(id, ty, expected, why);
            }
            Tree::Index(index) => {
                self.position(*index);
                let element = self.fresh(Kinds::ANY);
                let list = self.inferred.types.add(Node::List(element));
                let ty = self.inferred.types.add(Node::Arrow(list, element));
                self.coerce(id, ty, expected, why);
            }
            Tree::Slice(parts) => {
                parts.iter().flatten().for_each(|part| self.position(*part));
                let element = self.fresh(Kinds::ANY);
                let list = self.inferred.types.add(Node::List(element));
                let ty = self.inferred.types.add(Node::Arrow(list, list));
                self.coerce(id, ty, expected, why);
            }
            Tree::If(cond, then, otherwise) => {
                self.boolean(*cond, Why::Condition);
                let between = self.between(expected, why);
                self.check(*then, expected, why);
                self.check(*otherwise, expected, between);
            }
            Tree::Guards(guards, last) => {
                let between = self.between(expected, why);
                for (position, (cond, value)) in guards.iter().enumerate() {
                    self.boolean(*cond, Why::Guard);
                    self.check(*value, expected, if position > 0 { between } else { why });
                }
                self.check(*last, expected, between);
            }
            Tree::Binary(op, left, right) => self.binary(id, *op, *left, *right, expected, why),
            Tree::Typed(inner, written) => {
                let place = Written {
                    library: None,
                    place: self.module.nodes.place(id),
                    len: self.len(*inner),
                };
                let variables = Variables::Fresh(self.level);
                let mut known = self.scoped.clone();
                let types = &mut self.inferred.types;
                let ty = self
                    .declarations
                    .convert(written, place, variables, &mut known, types);
                self.check(*inner, ty, Why::Annotation);
                self.coerce(id, ty, expected, why);
            }
        }
    }

    /// Why a further branch is expected to be of a type: because of the first, if nothing else is known.
    fn between(&mut self, expected: Ty, why: Why) -> Why {
        match self.inferred.types.node(expected) {
            Node::Variable { .. } => Why::Branch,
            _ => why,
        }
    }

    fn leaf(&mut self, id: NodeId, kinds: Kinds, expected: Ty, why: Why) {
        let ty = self.fresh(kinds);
        self.coerce(id, ty, expected, why);
    }

    fn is(&mut self, id: NodeId, base: Base, expected: Ty, why: Why) {
        let ty = self.inferred.types.base(base);
        self.coerce(id, ty, expected, why);
    }

    fn boolean(&mut self, id: NodeId, why: Why) {
        let ty = self.inferred.types.base(Base::Bool);
        self.check(id, ty, why);
    }

    fn position(&mut self, id: NodeId) {
        let ty = self.inferred.types.base(Base::Int);
        self.check(id, ty, Why::Index);
    }

    /// That an expression of one type stands where another is expected: they are one, or the other is that or null.
    pub fn coerce(&mut self, id: NodeId, found: Ty, expected: Ty, why: Why) {
        let types = &mut self.inferred.types;
        let mut target = expected;
        if let Node::Optional(inner) = types.node(expected)
            && !kind(types.node(found)).has(Kinds::OPTIONAL)
        {
            self.inferred.wraps.insert(id, expected);
            target = inner;
        }
        let types = &mut self.inferred.types;
        self.inferred.nodes[id.0 as usize] = found;
        if let Err(mismatch) = types.unify(found, target) {
            self.misfit(id, found, expected, why, mismatch);
        }
    }

    /// The type of a name at this use.
    pub fn name(&mut self, id: NodeId) -> Ty {
        let level = self.level;
        let Some(scheme) = self.scheme(self.names.targets[id.0 as usize]) else {
            return self.fresh(Kinds::ANY);
        };
        match self.inferred.types.instantiate(&scheme, level) {
            Ok((ty, news)) => {
                if !news.is_empty() {
                    self.inferred.uses.insert(id, news);
                }
                ty
            }
            Err(_) => {
                self.exhausted(self.module.nodes.place(id));
                self.fresh(Kinds::ANY)
            }
        }
    }

    fn lambda(&mut self, id: NodeId, params: &'m [Name], body: NodeId, expected: Ty, why: Why) {
        let first = self.names.firsts.get(&id).copied().unwrap_or(0);
        let mut types = Vec::new();
        let mut rest = expected;
        for position in 0..params.len() {
            let ty = match self.inferred.types.node(rest) {
                Node::Arrow(param, result) if types.len() == position => {
                    rest = result;
                    param
                }
                _ => self.fresh(Kinds::ANY),
            };
            self.bind(first + position, ty);
            if let Node::Arrow(..) = self.inferred.types.node(expected) {
                types.push(ty);
            }
        }
        let (known, result) = self.inferred.types.parameters(expected, params.len());
        if known.len() == params.len() {
            let why = match why {
                Why::Signature(_) => why,
                _ => Why::Result,
            };
            return self.check(body, result, why);
        }
        let mut all = Vec::new();
        for position in 0..params.len() {
            all.push(self.inferred.locals[first + position].ty);
        }
        let body = self.infer(body);
        let ty = self.inferred.types.function(&all, body);
        self.coerce(id, ty, expected, why);
    }

    fn definitions(&mut self, id: NodeId, definitions: &'m [Definition]) {
        let first = self.names.firsts.get(&id).copied().unwrap_or(0);
        for (position, definition) in definitions.iter().enumerate() {
            self.level += 1;
            let ty = self.value(definition);
            self.level -= 1;
            let level = self.level;
            self.settle_patterns(level);
            let is_function = !definition.params.is_empty() || self.is_value(definition.body);
            let scheme = match is_function {
                true => self.general(ty, level, definition.name.place),
                // It is evaluated once, so it has one type.
                false => {
                    let vars = self.inferred.types.variables(ty).unwrap_or_default();
                    self.inferred.types.lower(&vars, level);
                    Scheme { vars: Vec::new(), ty }
                }
            };
            self.inferred.locals[first + position] = scheme;
        }
    }

    fn list(&mut self, id: NodeId, elements: &[NodeId], expected: Ty, why: Why) {
        let element = match self.inferred.types.node(expected) {
            Node::List(element) => element,
            _ => {
                let element = self.fresh(Kinds::ANY);
                let list = self.inferred.types.add(Node::List(element));
                let flaws = self.flaws.len();
                self.coerce(id, list, expected, why);
                if self.flaws.len() > flaws {
                    return;
                }
                element
            }
        };
        for (position, part) in elements.iter().enumerate() {
            self.check(*part, element, Why::Element(position));
        }
    }

    fn tuple(&mut self, id: NodeId, parts: &[NodeId], expected: Ty, why: Why) {
        if let Node::Tuple(span) = self.inferred.types.node(expected)
            && span.len() == parts.len()
        {
            let members = self.inferred.types.members(span).to_vec();
            for (part, member) in parts.iter().zip(members) {
                self.check(*part, member, why);
            }
            return;
        }
        let members: Vec<Ty> = parts.iter().map(|part| self.infer(*part)).collect();
        let ty = self.inferred.types.tuple(&members);
        self.coerce(id, ty, expected, why);
    }

    /// A record literal is the record that is expected, or the one that is declared with its fields, or its own.
    fn record(&mut self, id: NodeId, fields: &'m [(Name, NodeId)], expected: Ty, why: Why) {
        for (position, (name, _)) in fields.iter().enumerate() {
            if fields[..position].iter().any(|field| field.0.text == name.text) {
                let message = format!("field {} is given twice", name.text);
                self.complain(Flaw::new(name.place, name.text.chars().count(), message));
                return;
            }
        }
        let wanted = match self.inferred.types.node(expected) {
            Node::Record(record) => Some(record),
            _ => {
                let mut keys: Vec<&str> = fields.iter().map(|field| field.0.text.as_str()).collect();
                keys.sort_unstable();
                let has_keys = |record: &crate::compose::types::Fields| {
                    let mut own: Vec<&str> = record.fields.iter().map(|field| field.0.as_str()).collect();
                    own.sort_unstable();
                    !record.name.is_empty() && own == keys
                };
                let all = self.inferred.types.records();
                let mut same = (0..all.len()).filter(|record| has_keys(&all[*record]));
                let only = same.next().filter(|_| same.next().is_none());
                only.map(|record| record as u32)
            }
        };
        let Some(wanted) = wanted else {
            let mut types = Vec::new();
            for (name, value) in fields {
                types.push((name.text.clone(), self.infer(*value)));
            }
            let record = self.inferred.types.add_record("", types);
            let ty = self.inferred.types.add(Node::Record(record));
            return self.coerce(id, ty, expected, why);
        };
        let declared = self.inferred.types.record(wanted).clone();
        let what = match declared.name.as_str() {
            "" => "the record".to_string(),
            name => name.to_string(),
        };
        for (position, (name, value)) in fields.iter().enumerate() {
            match declared.fields.iter().find(|field| field.0 == name.text) {
                Some((_, ty)) => self.check(*value, *ty, Why::Field(id, position)),
                None => {
                    let message = format!("{what} has no field {}", name.text);
                    let mut flaw = Flaw::new(name.place, name.text.chars().count(), message);
                    let near = nearest(&name.text, declared.fields.iter().map(|field| field.0.as_str()));
                    flaw.hint = near.map(|near| format!("did you mean {near}?"));
                    self.complain(flaw);
                    self.infer(*value);
                }
            }
        }
        for (key, ty) in &declared.fields {
            let is_given = fields.iter().any(|field| field.0.text == *key);
            if !is_given && !matches!(self.inferred.types.node(*ty), Node::Optional(_)) {
                let flaw = self.at(id, format!("field {key} of {what} is missing"));
                self.complain(flaw);
            }
        }
        let ty = self.inferred.types.add(Node::Record(wanted));
        self.coerce(id, ty, expected, why);
    }

    fn binary(&mut self, id: NodeId, op: Op, left: NodeId, right: NodeId, expected: Ty, why: Why) {
        let kinds = match op {
            Op::Compose => {
                let ty = self.compose(left, right);
                return self.coerce(id, ty, expected, why);
            }
            Op::Pipe => {
                let ty = self.pipe(id, left, right);
                return self.coerce(id, ty, expected, why);
            }
            Op::AndThen | Op::Beside => {
                let first = self.infer(left);
                self.check(right, expected, why);
                return self.doubt(id, op, first, expected);
            }
            Op::OrElse => {
                let between = self.between(expected, why);
                self.check(left, expected, why);
                self.check(right, expected, between);
                return self.doubt(id, op, expected, expected);
            }
            Op::Add | Op::Subtract | Op::Multiply => Kinds::NUMBER,
            Op::Divide => Kinds::FLOAT,
            Op::Quotient | Op::Remainder => Kinds::INTEGER,
            Op::Append => Kinds::JOINED,
            Op::Equal | Op::Unequal => Kinds::DATA,
            Op::Less | Op::AtMost | Op::Greater | Op::AtLeast => Kinds::ORDERED,
        };
        let operand = self.fresh(kinds);
        self.check(left, operand, Why::Left(op));
        self.check(right, operand, Why::Right(op));
        let ty = match op {
            Op::Equal | Op::Unequal | Op::Less | Op::AtMost | Op::Greater | Op::AtLeast => {
                self.inferred.types.base(Base::Bool)
            }
            _ => operand,
        };
        self.coerce(id, ty, expected, why);
    }

    /// Other languages join truth values so.
    fn doubt(&mut self, id: NodeId, op: Op, left: Ty, right: Ty) {
        let word = match op {
            Op::AndThen => "and",
            Op::OrElse => "or",
            _ => return,
        };
        if [left, right].map(|ty| self.inferred.types.node(ty)) == [Node::Base(Base::Bool); 2] {
            let sign = op.sign();
            let message = format!("{sign} goes by success and failure, not by True and False");
            let flaw = self
                .at(id, message)
                .hint(format!("{word} a b joins truth values"));
            self.warnings.push(flaw);
        }
    }

    /// `f . g`: first `g`, so that `f` knows what it gets.
    fn compose(&mut self, left: NodeId, right: NodeId) -> Ty {
        let inner = self.infer(right);
        let (from, between) = self.arrow(right, inner);
        let outer = self.infer(left);
        let (taken, to) = self.arrow(left, outer);
        if let Err(mismatch) = self.inferred.types.unify(between, taken) {
            self.mismatched(left, right, between, taken, mismatch);
        }
        self.inferred.types.add(Node::Arrow(from, to))
    }

    fn mismatched(&mut self, taker: NodeId, giver: NodeId, given: Ty, taken: Ty, mismatch: Mismatch) {
        if mismatch == Mismatch::Exhausted {
            return self.exhausted(self.module.nodes.place(taker));
        }
        let types = &mut self.inferred.types;
        let (given, taken) = (describe(types, given), describe_expected(types, taken));
        let (mut outer, mut inner) = (self.called(taker), self.called(giver));
        if outer == NAMELESS || inner == NAMELESS {
            (outer, inner) = ("the left side of .".into(), "the right side".into());
        }
        let flaw = self.at(taker, format!("{outer} takes {taken}, but {inner} gives {given}"));
        self.complain(flaw);
    }

    /// What a function takes first, and what it then gives.
    pub fn arrow(&mut self, id: NodeId, ty: Ty) -> (Ty, Ty) {
        if let Node::Arrow(from, to) = self.inferred.types.node(ty) {
            return (from, to);
        }
        let (from, to) = (self.fresh(Kinds::ANY), self.fresh(Kinds::ANY));
        let arrow = self.inferred.types.add(Node::Arrow(from, to));
        if self.inferred.types.unify(ty, arrow).is_err() {
            let is = describe(&mut self.inferred.types, ty);
            let name = self.called(id);
            let what = if name == NAMELESS {
                "this".to_string()
            } else {
                name
            };
            let flaw = self.at(id, format!("{what} is {is}, expected a function"));
            self.complain(flaw);
        }
        (from, to)
    }
}

/// Whether an expression is never null by itself.
fn is_plain(node: &Tree) -> bool {
    matches!(
        node,
        Tree::Bool(_)
            | Tree::Int(_)
            | Tree::Real(_)
            | Tree::Str(_)
            | Tree::Interpolated(..)
            | Tree::List(_)
            | Tree::Tuple(_)
            | Tree::Record(_)
            | Tree::Lambda(..)
    )
}
