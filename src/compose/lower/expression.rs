//! Every kind of expression as a node of the manifest.

use crate::compose::ast::{Branch, Node as Tree, NodeId, Op, Selector};
use crate::compose::concrete::{Concrete, ConcreteId};
use crate::compose::lower::application::Term;
use crate::compose::lower::program::Lower;
use crate::compose::resolve::Target;
use crate::source::signature::Flaw;
use crate::source::types::Base;

impl<'m> Lower<'m> {
    /// Writes the value of a definition.
    pub fn definition(&mut self, definition: usize) {
        let definition = &self.module.definitions[definition];
        match definition.params.is_empty() {
            true => self.expression(definition.body),
            false => {
                let params = definition.params.iter().map(|param| param.text.as_str());
                self.current.out.open("lambda");
                self.current.out.key("vars");
                self.current.out.strings(params);
                self.current.out.key("body");
                self.expression(definition.body);
                self.current.out.raw("}");
            }
        }
    }

    /// Whether a definition is evaluated anew at every use: it has no parameters, and is no function and no constant.
    pub fn is_by_name(&self, definition: usize) -> bool {
        let definition = &self.module.definitions[definition];
        definition.params.is_empty() && !self.is_value(definition.body)
    }

    /// Whether evaluating it does nothing, so that it may stand inside a function that is applied often.
    pub fn is_value(&self, id: NodeId) -> bool {
        match self.module.nodes.node(id) {
            Tree::Null | Tree::Bool(_) | Tree::Int(_) | Tree::Real(_) | Tree::Str(_) | Tree::Lambda(..) => {
                true
            }
            Tree::List(parts) | Tree::Tuple(parts) => parts.iter().all(|part| self.is_constant(*part)),
            Tree::Record(fields) => fields.iter().all(|field| self.is_constant(field.1)),
            Tree::Pattern(branches) => branches.iter().all(|branch| branch.value.is_none()),
            Tree::Typed(inner, _) => self.is_value(*inner),
            Tree::Binary(Op::Compose, left, right) => self.is_value(*left) && self.is_value(*right),
            Tree::Name(_) => match self.names.targets[id.0 as usize] {
                Target::Definition(definition) => !self.is_by_name(definition),
                Target::Function(function) => self.inferred.arities[function] > 0,
                _ => true,
            },
            Tree::Apply(func, args) => {
                args.len() < self.arity(*func) && args.iter().all(|arg| self.is_value(*arg))
            }
            _ => false,
        }
    }

    /// Whether it is a literal, or made of literals.
    fn is_constant(&self, id: NodeId) -> bool {
        match self.module.nodes.node(id) {
            Tree::Null | Tree::Bool(_) | Tree::Int(_) | Tree::Real(_) | Tree::Str(_) => true,
            Tree::List(parts) | Tree::Tuple(parts) => parts.iter().all(|part| self.is_constant(*part)),
            Tree::Record(fields) => fields.iter().all(|field| self.is_constant(field.1)),
            Tree::Typed(inner, _) => self.is_constant(*inner),
            _ => false,
        }
    }

    /// How many arguments a function takes before it does anything, as far as is known.
    fn arity(&self, func: NodeId) -> usize {
        match self.names.targets[func.0 as usize] {
            Target::Function(function) => self.inferred.arities[function],
            Target::Definition(definition) => self.module.definitions[definition].params.len(),
            Target::Builtin(builtin) => crate::compose::builtins::ALL[builtin].arity(),
            Target::Local(_) | Target::Unknown => 0,
        }
    }

    /// Writes an expression.
    pub fn expression(&mut self, id: NodeId) {
        if self.is_full() {
            return;
        }
        match self.inferred.wraps.get(&id).copied() {
            None => self.plain(id),
            Some(optional) => {
                let place = self.module.nodes.place(id);
                let optional = self.settle(optional, place, 1);
                let schema = self.schema(optional, place);
                self.current.out.open("container");
                self.current.out.key("elements");
                self.current.out.raw("[");
                self.plain(id);
                self.current.out.raw("]");
                self.current.out.member("schema", &schema);
                self.current.out.raw("}");
            }
        }
    }

    fn plain(&mut self, id: NodeId) {
        let place = self.module.nodes.place(id);
        match self.module.nodes.node(id) {
            Tree::Null => self.literal(id, "null"),
            Tree::Bool(value) => self.literal(id, if *value { "true" } else { "false" }),
            Tree::Int(text) => {
                self.check_range(id, text);
                self.literal(id, text);
            }
            Tree::Real(text) => self.literal(id, text),
            Tree::Str(text) => {
                self.current.out.open("str");
                self.current.out.member("schema", "s");
                self.current.out.member("value", text);
                self.current.out.raw("}");
            }
            Tree::Interpolated(texts, parts) => self.interpolated(texts, parts),
            Tree::Name(_) => self.name(id),
            Tree::Apply(func, args) => {
                let args: Vec<Term> = args.iter().map(|arg| Term::Node(*arg)).collect();
                self.application(Term::Node(*func), &args, place);
            }
            Tree::Lambda(params, body) => {
                self.current.out.open("lambda");
                self.current.out.key("vars");
                self.current
                    .out
                    .strings(params.iter().map(|param| param.text.as_str()));
                self.current.out.key("body");
                self.expression(*body);
                self.current.out.raw("}");
            }
            Tree::Let {
                definitions, body, ..
            } => self.definitions(id, definitions, *body),
            Tree::List(parts) | Tree::Tuple(parts) => self.container(id, parts),
            Tree::Record(fields) => self.record(id, fields),
            Tree::Pattern(_) => self.pattern_value(id),
            Tree::Index(_) | Tree::Slice(_) => self.brackets(id),
            Tree::If(cond, then, otherwise) => {
                self.choice(&[(*cond, *then)], *otherwise);
            }
            Tree::Guards(guards, last) => self.choice(guards, *last),
            Tree::Binary(Op::Compose, ..) => self.composition(id),
            Tree::Binary(Op::Pipe, ..) => self.pipe(id),
            Tree::Binary(op, left, right) => self.binary(id, *op, *left, *right),
            Tree::Typed(inner, _) => self.expression(*inner),
        }
    }

    fn literal(&mut self, id: NodeId, text: &str) {
        let place = self.module.nodes.place(id);
        let ty = self.ty(id);
        let schema = self.schema(ty, place);
        self.current.out.open("lit");
        self.current.out.member("schema", &schema);
        self.current.out.member("value", text);
        self.current.out.raw("}");
    }

    /// An integer literal has to fit the type that it is wanted at.
    fn check_range(&mut self, id: NodeId, text: &str) {
        let ty = self.ty(id);
        let Concrete::Base(base) = *self.concretes.node(ty) else {
            return;
        };
        let (low, high): (i128, i128) = match base {
            Base::I8 => (i8::MIN.into(), i8::MAX.into()),
            Base::I16 => (i16::MIN.into(), i16::MAX.into()),
            Base::I32 => (i32::MIN.into(), i32::MAX.into()),
            Base::Int | Base::I64 => (i64::MIN.into(), i64::MAX.into()),
            Base::U8 => (0, u8::MAX.into()),
            Base::U16 => (0, u16::MAX.into()),
            Base::U32 => (0, u32::MAX.into()),
            Base::U64 => (0, u64::MAX.into()),
            _ => return,
        };
        let fits = text
            .parse()
            .is_ok_and(|value: i128| (low..=high).contains(&value));
        if !fits {
            let message = format!("{text} is no {}, which goes from {low} to {high}", base.name());
            let place = self.module.nodes.place(id);
            self.complain(Flaw::new(place, text.chars().count(), message));
        }
    }

    fn interpolated(&mut self, texts: &[String], parts: &[NodeId]) {
        self.current.out.open("app");
        self.current
            .out
            .raw(",\"schema\":\"s\",\"func\":{\"tag\":\"interpolation\",\"schema\":\"s\",\"strings\":");
        self.current.out.strings(texts.iter().map(String::as_str));
        self.current.out.raw("},\"args\":[");
        let mut works = 0;
        for (position, part) in parts.iter().enumerate() {
            self.current.out.raw(if position > 0 { "," } else { "" });
            works += usize::from(self.works(Term::Node(*part)));
            let ty = self.ty(*part);
            let is_text = *self.concretes.node(ty) == Concrete::Base(Base::Str);
            if is_text {
                self.expression(*part);
                continue;
            }
            self.check_shown(*part, ty);
            self.current.out.open("show");
            self.current.out.member("schema", "s");
            self.current.out.key("child");
            self.expression(*part);
            self.current.out.raw("}");
        }
        self.current.out.raw("]");
        self.sequential(works);
        self.current.out.raw("}");
    }

    /// Functions and workers have no text.
    pub fn check_shown(&mut self, id: NodeId, ty: ConcreteId) {
        if !self.is_data(ty) {
            let message = "a function or worker can't be shown as text or compared".to_string();
            self.complain(Flaw::new(self.module.nodes.place(id), 1, message));
        }
    }

    /// Closes a node whose children use workers more than once.
    pub fn sequential(&mut self, works: usize) {
        if works > 1 {
            self.current.out.raw(",\"sequential\":true");
        }
    }

    fn container(&mut self, id: NodeId, parts: &[NodeId]) {
        let place = self.module.nodes.place(id);
        let ty = self.ty(id);
        let schema = self.schema(ty, place);
        self.current.out.open("container");
        self.current.out.member("schema", &schema);
        self.current.out.key("elements");
        let terms: Vec<Term> = parts.iter().map(|part| Term::Node(*part)).collect();
        let works = self.terms(&terms, place);
        self.sequential(works);
        self.current.out.raw("}");
    }

    /// A record's fields in the order of its type; what is missing is null.
    fn record(&mut self, id: NodeId, fields: &[(crate::compose::ast::Name, NodeId)]) {
        let place = self.module.nodes.place(id);
        let ty = self.ty(id);
        let schema = self.schema(ty, place);
        let declared = match self.concretes.fields(&mut self.inferred.types, ty) {
            Ok(declared) => declared,
            Err(unsettled) => return self.unsettled(unsettled, place, 1),
        };
        self.current.out.open("container");
        self.current.out.member("schema", &schema);
        self.current.out.key("elements");
        self.current.out.raw("[");
        let mut works = 0;
        for (position, (key, ty)) in declared.into_iter().enumerate() {
            self.current.out.raw(if position > 0 { "," } else { "" });
            match fields.iter().find(|field| field.0.text == key) {
                Some((_, value)) => {
                    works += usize::from(self.works(Term::Node(*value)));
                    self.expression(*value);
                }
                None => {
                    let schema = self.schema(ty, place);
                    self.current.out.open("lit");
                    self.current.out.member("schema", &schema);
                    self.current.out.member("value", "null");
                    self.current.out.raw("}");
                }
            }
        }
        self.current.out.raw("]");
        self.sequential(works);
        self.current.out.raw("}");
    }

    /// A pattern that nothing is given to: a getter is a function already, a setter takes what it changes first.
    fn pattern_value(&mut self, id: NodeId) {
        let Tree::Pattern(branches) = self.module.nodes.node(id) else {
            return;
        };
        let values: Vec<NodeId> = branches.iter().filter_map(|branch| branch.value).collect();
        if values.is_empty() {
            return self.pattern(id, branches);
        }
        let ty = self.ty(id);
        let (params, _) = self.take(ty, 1);
        let given: Vec<Term> = values.iter().map(|value| Term::Node(*value)).collect();
        let place = self.module.nodes.place(id);
        self.lambda(&params, &given, ty, place, &mut |this, missing, given| {
            this.set(id, missing[0], given, &[], place);
        });
    }

    /// Writes a pattern itself.
    pub fn pattern(&mut self, id: NodeId, branches: &[Branch]) {
        let place = self.module.nodes.place(id);
        let ty = self.ty(id);
        let schema = self.schema(ty, place);
        self.current.out.open("pattern");
        self.current.out.member("schema", &schema);
        self.current.out.key("pattern");
        let is_key = matches!(
            branches.first().and_then(|branch| branch.path.first()),
            Some(Selector::Key(_))
        );
        self.current.out.raw("{\"type\":");
        self.current.out.string(if is_key { "key" } else { "idx" });
        self.current.out.raw(",\"selectors\":[");
        for (position, branch) in branches.iter().enumerate() {
            self.current.out.raw(if position > 0 { "," } else { "" });
            self.way(&branch.path);
        }
        self.current.out.raw("]}}");
    }

    /// The first step of a way, and within it the rest.
    fn way(&mut self, path: &[Selector]) {
        let out = &mut self.current.out;
        for (depth, step) in path.iter().enumerate() {
            let is_key = matches!(step, Selector::Key(_));
            if depth > 0 {
                out.raw("{\"type\":");
                out.string(if is_key { "key" } else { "idx" });
                out.raw(",\"selectors\":[");
            }
            match step {
                Selector::Key(key) => {
                    out.raw("{\"key\":");
                    out.string(key);
                }
                Selector::Position(position) => {
                    out.raw("{\"index\":");
                    out.raw(&position.to_string());
                }
            }
            out.raw(",\"sub\":");
        }
        out.raw("{\"type\":\"end\"}");
        for depth in 0..path.len() {
            out.raw("}");
            if depth + 1 < path.len() {
                out.raw("]}");
            }
        }
    }

    /// `.[i]` and `.[a:b:c]`: functions that have all but the list.
    fn brackets(&mut self, id: NodeId) {
        let place = self.module.nodes.place(id);
        let ty = self.ty(id);
        let schema = self.schema(ty, place);
        let (kind, parts) = match self.module.nodes.node(id) {
            Tree::Index(index) => ("bracket_index", vec![Some(*index)]),
            Tree::Slice(parts) => ("bracket_slice", parts.to_vec()),
            _ => return,
        };
        self.current.out.open("app");
        self.current.out.member("schema", &schema);
        self.current.out.key("func");
        self.current.out.open("pattern");
        self.current.out.member("schema", &schema);
        self.current.out.key("pattern");
        self.current.out.raw("{\"type\":");
        self.current.out.string(kind);
        self.current.out.raw("}}");
        self.current.out.key("args");
        self.current.out.raw("[");
        for (position, part) in parts.into_iter().enumerate() {
            self.current.out.raw(if position > 0 { "," } else { "" });
            match part {
                Some(part) => self.expression(part),
                None => self
                    .current
                    .out
                    .raw("{\"tag\":\"lit\",\"schema\":\"z\",\"value\":\"null\"}"),
            }
        }
        self.current.out.raw("]}");
    }

    fn choice(&mut self, guards: &[(NodeId, NodeId)], last: NodeId) {
        for (cond, value) in guards {
            self.current.out.open("if");
            self.current.out.key("cond");
            self.expression(*cond);
            self.current.out.key("then");
            self.expression(*value);
            self.current.out.key("else");
        }
        self.expression(last);
        for _ in guards {
            self.current.out.raw("}");
        }
    }

    fn binary(&mut self, id: NodeId, op: Op, left: NodeId, right: NodeId) {
        let place = self.module.nodes.place(id);
        let ty = self.ty(id);
        let schema = self.schema(ty, place);
        let (tag, first, second) = match op {
            Op::AndThen => ("next", "first", "then"),
            Op::Beside => ("beside", "first", "then"),
            Op::OrElse => ("catch", "fallible", "fallback"),
            _ => return self.operator(op, left, right, &schema),
        };
        self.current.out.open(tag);
        self.current.out.key(first);
        self.expression(left);
        self.current.out.key(second);
        self.expression(right);
        self.current.out.member("schema", &schema);
        self.current.out.raw("}");
    }

    fn operator(&mut self, op: Op, left: NodeId, right: NodeId, schema: &str) {
        let name = match op {
            Op::Add => "add",
            Op::Subtract => "subtract",
            Op::Multiply => "multiply",
            Op::Divide => "divide",
            Op::Quotient => "quotient",
            Op::Remainder => "remainder",
            Op::Append => "append",
            Op::Equal => "equal",
            Op::Unequal => "unequal",
            Op::Less => "less",
            Op::AtMost => "at_most",
            Op::Greater => "greater",
            _ => "at_least",
        };
        let place = self.module.nodes.place(left);
        let operand = self.ty(left);
        if matches!(op, Op::Equal | Op::Unequal) {
            self.check_shown(left, operand);
        }
        let operand = self.schema(operand, place);
        self.current.out.open("app");
        self.current.out.member("schema", schema);
        self.current.out.key("func");
        self.current.out.open("op");
        self.current.out.member("op", name);
        self.current.out.member("schema", &operand);
        self.current.out.raw("}");
        self.current.out.key("args");
        let works = self.terms(&[Term::Node(left), Term::Node(right)], place);
        self.sequential(works);
        self.current.out.raw("}");
    }
}
