//! Functions applied to arguments: what stands in the text, and what compositions and partial applications come to.

use crate::compose::ast::{Node as Tree, NodeId, Op};
use crate::compose::concrete::{Concrete, ConcreteId};
use crate::compose::lower::program::Lower;
use crate::compose::resolve::Target;
use crate::source::signature::Place;

/// Something that stands for an expression.
#[derive(Clone, Copy, Debug)]
pub(super) enum Term<'t> {
    /// One of the text.
    Node(NodeId),
    /// A variable of ours.
    Variable(&'t str, ConcreteId),
    /// One term applied to others.
    Applied(&'t Term<'t>, &'t [Term<'t>]),
}

/// What goes into a lambda that is made around it: its own parameters, and what it was given before.
pub(super) type Inside<'b, 'm> = &'b mut dyn FnMut(&mut Lower<'m>, &[Term<'_>], &[Term<'_>]);

impl<'m> Lower<'m> {
    /// Writes a term.
    pub fn term(&mut self, term: Term<'_>, place: Place) {
        match term {
            Term::Node(id) => self.expression(id),
            Term::Variable(name, ty) => self.variable_of(name, ty, place),
            Term::Applied(func, args) => self.application(*func, args, place),
        }
    }

    pub fn variable_of(&mut self, name: &str, ty: ConcreteId, place: Place) {
        let schema = self.schema(ty, place);
        self.current.out.open("bound");
        self.current.out.member("schema", &schema);
        self.current.out.member("var", name);
        self.current.out.raw("}");
    }

    /// The type of an expression as it is seen from around it.
    pub fn outer(&mut self, id: NodeId) -> ConcreteId {
        match self.inferred.wraps.get(&id).copied() {
            Some(optional) => self.settle(optional, self.module.nodes.place(id), 1),
            None => self.ty(id),
        }
    }

    /// The type of a term.
    pub fn term_type(&mut self, term: Term<'_>) -> ConcreteId {
        match term {
            Term::Node(id) => self.outer(id),
            Term::Variable(_, ty) => ty,
            Term::Applied(func, args) => {
                let func = self.term_type(*func);
                self.take(func, args.len()).1
            }
        }
    }

    /// Whether a term uses workers, so that it matters when it is evaluated.
    pub fn works(&mut self, term: Term<'_>) -> bool {
        match term {
            Term::Node(id) if self.names.effects[id.0 as usize].works() => true,
            Term::Applied(func, args) => self.works(*func) || args.iter().any(|arg| self.works(*arg)),
            _ => {
                let ty = self.term_type(term);
                self.concretes
                    .holds(ty, |node| matches!(node, Concrete::Worker(..)))
            }
        }
    }

    /// Whether evaluating a term does nothing.
    fn is_value_term(&self, term: Term<'_>) -> bool {
        match term {
            Term::Node(id) => self.is_value(id),
            Term::Variable(..) => true,
            Term::Applied(..) => false,
        }
    }

    /// Writes terms as a list; how many of them use workers.
    pub fn terms(&mut self, terms: &[Term<'_>], place: Place) -> usize {
        self.current.out.raw("[");
        let mut works = 0;
        for (position, term) in terms.iter().enumerate() {
            self.current.out.raw(if position > 0 { "," } else { "" });
            works += usize::from(self.works(*term));
            self.term(*term, place);
        }
        self.current.out.raw("]");
        works
    }

    /// Writes a function applied to arguments, of which there is at least one.
    pub fn application(&mut self, func: Term<'_>, args: &[Term<'_>], place: Place) {
        if self.is_full() {
            return;
        }
        let id = match func {
            Term::Node(id) if !self.inferred.wraps.contains(&id) => id,
            Term::Applied(inner, before) => {
                let all: Vec<Term> = before.iter().chain(args).copied().collect();
                return self.application(*inner, &all, place);
            }
            _ => return self.apply(func, args, place),
        };
        match self.module.nodes.node(id) {
            Tree::Typed(inner, _) => self.application(Term::Node(*inner), args, place),
            Tree::Apply(inner, before) => {
                let before = before.iter().map(|arg| Term::Node(*arg));
                let all: Vec<Term> = before.chain(args.iter().copied()).collect();
                self.application(Term::Node(*inner), &all, place);
            }
            Tree::Binary(Op::Compose, outer, inner) if !args.is_empty() => {
                let inner = Term::Node(*inner);
                let mut all = vec![Term::Applied(&inner, &args[..1])];
                all.extend_from_slice(&args[1..]);
                self.application(Term::Node(*outer), &all, place);
            }
            Tree::Pattern(branches) if branches.iter().any(|branch| branch.value.is_some()) => {
                let values = branches.iter().filter_map(|branch| branch.value);
                let values: Vec<Term> = values.map(Term::Node).collect();
                self.set(id, args[0], &values, &args[1..], place);
            }
            Tree::Name(_) => match self.names.targets[id.0 as usize] {
                Target::Builtin(builtin) => self.builtin(builtin, id, args, place),
                _ => self.apply(func, args, place),
            },
            _ => self.apply(func, args, place),
        }
    }

    /// Writes a plain application.
    pub fn apply(&mut self, func: Term<'_>, args: &[Term<'_>], place: Place) {
        let whole = self.term_type(func);
        let result = self.take(whole, args.len()).1;
        let schema = self.schema(result, place);
        self.current.out.open("app");
        self.current.out.member("schema", &schema);
        self.current.out.key("func");
        let works = usize::from(self.works(func));
        match func {
            // Its arguments are what it lacks; what is written here is the function alone.
            Term::Node(id) => self.expression(id),
            func => self.term(func, place),
        }
        self.current.out.key("args");
        let works = works + self.terms(args, place);
        self.sequential(works);
        self.current.out.raw("}");
    }

    /// Writes a pattern that sets values in a term, and is then applied to what is left over.
    pub fn set(
        &mut self,
        id: NodeId,
        subject: Term<'_>,
        values: &[Term<'_>],
        rest: &[Term<'_>],
        place: Place,
    ) {
        let Tree::Pattern(branches) = self.module.nodes.node(id) else {
            return;
        };
        let ty = self.term_type(subject);
        let result = self.take(ty, rest.len()).1;
        let schema = self.schema(result, place);
        self.current.out.open("app");
        self.current.out.member("schema", &schema);
        self.current.out.key("func");
        self.pattern(id, branches);
        self.current.out.key("args");
        let mut all = vec![subject];
        all.extend_from_slice(values);
        all.extend_from_slice(rest);
        let works = self.terms(&all, place);
        self.sequential(works);
        self.current.out.raw("}");
    }

    /// Writes `f . g` as a function: what is no value is evaluated before, once.
    pub fn composition(&mut self, id: NodeId) {
        let place = self.module.nodes.place(id);
        let mut parts = Vec::new();
        let mut rest = id;
        while let Tree::Binary(Op::Compose, outer, inner) = self.module.nodes.node(rest)
            && !self.inferred.wraps.contains(&rest)
        {
            parts.push(Term::Node(*outer));
            rest = *inner;
        }
        parts.push(Term::Node(rest));
        let ty = self.ty(id);
        let (params, _) = self.take(ty, 1);
        self.lambda(&params, &parts, ty, place, &mut |this, missing, parts| {
            this.chain(parts, missing, place);
        });
    }

    /// The first of the functions applied to what the others make of the arguments.
    fn chain(&mut self, parts: &[Term<'_>], args: &[Term<'_>], place: Place) {
        match parts {
            [only] => self.application(*only, args, place),
            [rest @ .., last] => {
                let inner = [Term::Applied(last, args)];
                self.chain(rest, &inner, place);
            }
            [] => {}
        }
    }

    /// Writes a function of the parameters of those types. Of what it was given, all that is no value is evaluated outside.
    pub fn lambda(
        &mut self,
        params: &[ConcreteId],
        given: &[Term<'_>],
        ty: ConcreteId,
        place: Place,
        inside: Inside<'_, 'm>,
    ) {
        let mut names = Vec::new();
        for term in given {
            names.push(match self.is_value_term(*term) {
                true => None,
                false => Some((self.variable(), self.term_type(*term))),
            });
        }
        let outside: Vec<Term> = given
            .iter()
            .zip(&names)
            .filter(|pair| pair.1.is_some())
            .map(|pair| *pair.0)
            .collect();
        let known: Vec<Term> = given
            .iter()
            .zip(&names)
            .map(|(term, name)| match name {
                Some((name, ty)) => Term::Variable(name, *ty),
                None => *term,
            })
            .collect();
        if !outside.is_empty() {
            let schema = self.schema(ty, place);
            self.current.out.open("app");
            self.current.out.member("schema", &schema);
            self.current.out.key("func");
            self.current.out.open("lambda");
            self.current.out.key("vars");
            self.current
                .out
                .strings(names.iter().flatten().map(|(name, _)| name.as_str()));
            self.current.out.key("body");
        }
        let own: Vec<(String, ConcreteId)> = params.iter().map(|param| (self.variable(), *param)).collect();
        let missing: Vec<Term> = own.iter().map(|(name, ty)| Term::Variable(name, *ty)).collect();
        self.current.out.open("lambda");
        self.current.out.key("vars");
        self.current
            .out
            .strings(own.iter().map(|(name, _)| name.as_str()));
        self.current.out.key("body");
        inside(self, &missing, &known);
        self.current.out.raw("}");
        if !outside.is_empty() {
            self.current.out.raw("}");
            self.current.out.key("args");
            let works = self.terms(&outside, place);
            self.sequential(works);
            self.current.out.raw("}");
        }
    }

    /// Writes a name that stands for itself: a value, or a function that is handed on.
    pub fn name(&mut self, id: NodeId) {
        let place = self.module.nodes.place(id);
        match self.names.targets[id.0 as usize] {
            Target::Unknown => {}
            Target::Builtin(builtin) => self.builtin(builtin, id, &[], place),
            Target::Function(function) => self.call(function, id),
            Target::Local(local) => self.local(local, id),
            Target::Definition(definition) => {
                let chosen = self.chosen(id);
                let body = self.body(definition, chosen);
                if !self.current.needs.contains(&body) {
                    self.current.needs.push(body);
                }
                let name = self.bodies[body].name.clone();
                let ty = self.ty(id);
                if !self.bodies[body].by_name {
                    return self.variable_of(&name, ty, place);
                }
                // A function of nothing, applied: the value anew.
                let schema = self.schema(ty, place);
                self.current.out.open("app");
                self.current.out.member("schema", &schema);
                self.current.out.key("func");
                self.current.out.open("bound");
                self.current.out.member("schema", &format!("\\(){schema}"));
                self.current.out.member("var", &name);
                self.current.out.raw("},\"args\":[]}");
            }
        }
    }

    /// Writes a function of a pool; one without parameters is called.
    fn call(&mut self, function: usize, id: NodeId) {
        let place = self.module.nodes.place(id);
        let chosen = self.chosen(id);
        let instance = self.instance(function, chosen, place);
        let lang = self.names.functions[function].lang;
        if !self.current.langs.contains(&lang) {
            self.current.langs.push(lang);
        }
        self.current.waits = true;
        let instance = &self.instances[instance];
        let out = &mut self.current.out;
        let is_value = instance.arg_schemas.is_empty();
        if is_value {
            out.open("app");
            out.member("schema", &instance.return_schema);
            out.key("func");
        }
        out.open("call");
        out.key("pool");
        out.raw(&instance.pool.to_string());
        out.key("mid");
        out.raw(&instance.mid.to_string());
        out.key("arg_schemas");
        out.strings(instance.arg_schemas.iter().map(String::as_str));
        out.member("return_schema", &instance.return_schema);
        let name = &self.module.definitions[self.current.definition].name.text;
        out.member("at", &format!("{}:{}", self.file, place.line));
        out.member("name", name);
        out.member("function", &instance.function);
        out.raw("}");
        if is_value {
            out.raw(",\"args\":[]}");
        }
    }
}
