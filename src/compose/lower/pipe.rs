//! `x |> f |> g`: stages that run at once become one node, a stage that takes the whole is applied to what comes before.

use crate::compose::ast::{Node as Tree, NodeId, Op};
use crate::compose::builtins::{ALL, Form};
use crate::compose::concrete::{Concrete, ConcreteId};
use crate::compose::infer::Stage;
use crate::compose::lower::application::Term;
use crate::compose::lower::program::Lower;
use crate::compose::resolve::Target;

impl<'m> Lower<'m> {
    /// Writes the pipe that ends at that operator.
    pub fn pipe(&mut self, id: NodeId) {
        let place = self.module.nodes.place(id);
        let Tree::Binary(Op::Pipe, left, right) = self.module.nodes.node(id) else {
            return;
        };
        if self.stage(id) == Stage::Whole {
            return self.application(Term::Node(*right), &[Term::Node(*left)], place);
        }
        // The stages that run at once, from the last to the first.
        let mut stages = Vec::new();
        let mut source = id;
        while let Tree::Binary(Op::Pipe, left, right) = self.module.nodes.node(source)
            && self.stage(source) != Stage::Whole
        {
            stages.push((source, *left, *right));
            source = *left;
            while let Tree::Typed(inner, _) = self.module.nodes.node(source)
                && let Tree::Binary(Op::Pipe, ..) = self.module.nodes.node(*inner)
            {
                source = *inner;
            }
        }
        self.current.waits = true;
        let (from, to) = (self.outer(source), self.ty(id));
        let schemas = [from, to].map(|ty| self.schema(ty, place));
        self.current.out.open("pipe");
        self.current.out.key("source");
        self.expression(source);
        self.current.out.member("source_schema", &schemas[0]);
        self.current.out.key("stages");
        self.current.out.raw("[");
        for (position, (operator, left, right)) in stages.into_iter().rev().enumerate() {
            self.current.out.raw(if position > 0 { "," } else { "" });
            self.one_stage(operator, left, right);
        }
        self.current.out.raw("]");
        self.current.out.member("schema", &schemas[1]);
        self.current.out.raw("}");
    }

    fn stage(&self, operator: NodeId) -> Stage {
        self.inferred
            .stages
            .get(&operator)
            .copied()
            .unwrap_or(Stage::Whole)
    }

    fn one_stage(&mut self, operator: NodeId, left: NodeId, right: NodeId) {
        let place = self.module.nodes.place(right);
        let stage = self.stage(operator);
        if stage == Stage::Program {
            self.current.out.raw("{\"cmd\":");
            let ty = self.ty(right);
            self.inline_program(right, ty);
            self.current.out.raw("}");
            return;
        }
        let (from, to) = (self.outer(left), self.ty(operator));
        let schemas = [self.element(from), self.element(to)].map(|ty| self.schema(ty, place));
        self.current.out.raw("{\"each\":");
        match (stage, self.module.nodes.node(right)) {
            (Stage::Parallel, Tree::Apply(_, args)) => {
                self.note_width(Term::Node(args[0]), Term::Node(args[1]));
                self.expression(args[1]);
                self.current.out.key("width");
                self.expression(args[0]);
            }
            _ => self.expression(right),
        }
        self.current.out.member("in", &schemas[0]);
        self.current.out.member("out", &schemas[1]);
        self.current.out.raw("}");
    }

    fn element(&self, ty: ConcreteId) -> ConcreteId {
        match self.concretes.node(ty) {
            Concrete::List(element) => *element,
            _ => ty,
        }
    }

    /// Writes a program of the system where it stands, also from behind the names of definitions.
    fn inline_program(&mut self, id: NodeId, ty: ConcreteId) {
        let place = self.module.nodes.place(id);
        let kept = self.choice.clone();
        let mut at = id;
        loop {
            match (self.module.nodes.node(at), self.names.targets[at.0 as usize]) {
                (Tree::Typed(inner, _), _) => at = *inner,
                (Tree::Apply(func, args), _) => {
                    let json = match self.names.targets[func.0 as usize] {
                        Target::Builtin(builtin) => ALL[builtin].form == Form::Cmd { json: true },
                        _ => false,
                    };
                    self.program(json, Term::Node(args[0]), ty, place);
                    break;
                }
                (_, Target::Definition(definition)) => {
                    let chosen = self.chosen(at);
                    let vars = self.inferred.definitions[definition].vars.clone();
                    for (var, id) in vars.into_iter().zip(chosen) {
                        let root = self.inferred.types.root(var);
                        self.choice.insert(root, id);
                    }
                    at = self.module.definitions[definition].body;
                }
                _ => break,
            }
        }
        self.choice = kept;
    }
}
