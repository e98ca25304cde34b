//! `let` and `where`: a name for a value, or for a function at each combination of types that it is used at. What mentions a
//! name is written before its value, because only then is it known at which types.

use crate::compose::ast::{Definition, NodeId};
use crate::compose::concrete::ConcreteId;
use crate::compose::lower::application::Term;
use crate::compose::lower::program::Lower;

impl<'m> Lower<'m> {
    /// Writes definitions around an expression.
    pub fn definitions(&mut self, id: NodeId, definitions: &'m [Definition], body: NodeId) {
        let place = self.module.nodes.place(id);
        let first = self.names.firsts.get(&id).copied().unwrap_or(0);
        for position in 0..definitions.len() {
            let is_general = !self.inferred.locals[first + position].vars.is_empty();
            if is_general {
                self.requests.insert(first + position, Vec::new());
            }
            let ty = self.ty(id);
            let schema = self.schema(ty, place);
            match is_general {
                true => {
                    self.current.out.open("app");
                    self.current.out.member("schema", &schema);
                    self.current.out.raw(",\"func\":{\"tag\":\"lambda\",\"body\":");
                }
                false => {
                    self.current.out.open("let");
                    self.current.out.key("body");
                }
            }
        }
        self.expression(body);
        let mut later = self.works(Term::Node(body));
        for (position, definition) in definitions.iter().enumerate().rev() {
            let requests = self.requests.remove(&(first + position));
            let works = match requests {
                // A function that is used at several types holds no worker: that would have one type.
                Some(_) => self.names.effects[definition.body.0 as usize].works(),
                None => self.works(Term::Node(definition.body)),
            };
            match requests {
                Some(requests) => self.general(first + position, definition, requests),
                None => {
                    self.current.out.member("var", &definition.name.text);
                    self.current.out.key("value");
                    self.local_value(definition);
                    self.sequential(usize::from(works) + usize::from(later));
                    self.current.out.raw("}");
                }
            }
            later |= works;
        }
    }

    /// Closes a `let` of a function that is used at those types.
    fn general(
        &mut self,
        local: usize,
        definition: &'m Definition,
        requests: Vec<(Vec<ConcreteId>, String)>,
    ) {
        self.current.out.key("vars");
        let names = requests.iter().map(|request| request.1.as_str());
        match requests.is_empty() {
            // A lambda of nothing would not be applied.
            true => self.current.out.strings(std::iter::once("_")),
            false => self.current.out.strings(names),
        }
        self.current.out.raw("},\"args\":[");
        if requests.is_empty() {
            self.current
                .out
                .raw("{\"tag\":\"lit\",\"schema\":\"z\",\"value\":\"null\"}");
        }
        let vars = self.inferred.locals[local].vars.clone();
        for (position, (chosen, _)) in requests.into_iter().enumerate() {
            self.current.out.raw(if position > 0 { "," } else { "" });
            let mut roots = Vec::new();
            for (var, id) in vars.iter().zip(chosen) {
                let root = self.inferred.types.root(*var);
                self.choice.insert(root, id);
                roots.push(root);
            }
            self.local_value(definition);
            for root in roots {
                self.choice.remove(&root);
            }
        }
        self.current.out.raw("]}");
    }

    fn local_value(&mut self, definition: &'m Definition) {
        if definition.params.is_empty() {
            return self.expression(definition.body);
        }
        self.current.out.open("lambda");
        self.current.out.key("vars");
        self.current
            .out
            .strings(definition.params.iter().map(|param| param.text.as_str()));
        self.current.out.key("body");
        self.expression(definition.body);
        self.current.out.raw("}");
    }

    /// Writes a local name.
    pub fn local(&mut self, local: usize, id: NodeId) {
        let place = self.module.nodes.place(id);
        let ty = self.ty(id);
        let name = self.names.locals[local].name;
        if self.inferred.locals[local].vars.is_empty() {
            return self.variable_of(name, ty, place);
        }
        let chosen = self.chosen(id);
        let requests = self.requests.or_insert_with(local, Vec::new);
        let variable = match requests.iter().find(|request| request.0 == chosen) {
            Some((_, variable)) => variable.clone(),
            None => {
                let variable = match requests.len() {
                    0 => name.to_string(),
                    before => format!("{name}~{}", before + 1),
                };
                requests.push((chosen, variable.clone()));
                variable
            }
        };
        self.variable_of(&variable, ty, place);
    }
}
