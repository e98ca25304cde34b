//! `x |> f`: whether `f` takes each item of `x` or the whole of it.

use crate::compose::ast::{Node as Tree, NodeId, Op};
use crate::compose::builtins::{ALL, Form};
use crate::compose::describe::{describe, describe_expected};
use crate::compose::infer::program::Infer;
use crate::compose::resolve::Target;
use crate::compose::types::{Node, Ty};
use crate::source::types::Base;

/// What the right side of `|>` does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// It takes an item, and is applied to each as it comes.
    Each,
    /// Likewise, to so many at once: it is `pmap width function`.
    Parallel,
    /// It is a program, which reads the stream.
    Program,
    /// It is applied to the whole.
    Whole,
}

impl<'m> Infer<'m, '_> {
    /// The type of `left |> right`.
    pub fn pipe(&mut self, id: NodeId, left: NodeId, right: NodeId) -> Ty {
        let source = self.infer(left);
        let func = self.infer(right);
        let (param, result) = self.arrow(right, func);
        let is_printed = self.is_printed(left);
        if is_program(self.module, &self.names.targets, right) {
            if is_printed {
                self.middles.push(param);
            }
            self.programs.push(func);
            self.inferred.stages.insert(id, Stage::Program);
            if self.inferred.types.unify(source, param).is_err() {
                self.stage_misfit(right, source, param);
            }
            return result;
        }
        if self.is_parallel(right) {
            self.inferred.stages.insert(id, Stage::Parallel);
            if self.inferred.types.unify(source, param).is_err() {
                self.stage_misfit(right, source, param);
            }
            return result;
        }
        let types = &mut self.inferred.types;
        // What a program prints is what the next stage takes: text as a whole, all else item by item.
        let is_whole = |node| {
            use Base::{Bytes, Str, Unit};
            matches!(
                node,
                Node::Variable { .. } | Node::List(_) | Node::Base(Str | Bytes | Unit)
            )
        };
        if is_printed && matches!(types.node(source), Node::Variable { .. }) && !is_whole(types.node(param)) {
            let items = types.add(Node::List(param));
            let _ = types.unify(source, items);
        }
        if let Node::List(element) = types.node(source)
            && types.unify(param, element).is_ok()
        {
            self.inferred.stages.insert(id, Stage::Each);
            return types.add(Node::List(result));
        }
        self.inferred.stages.insert(id, Stage::Whole);
        if types.unify(source, param).is_err() {
            self.stage_misfit(right, source, param);
        }
        result
    }

    /// Whether an expression is what a program prints.
    fn is_printed(&self, id: NodeId) -> bool {
        match self.module.nodes.node(id) {
            Tree::Binary(Op::Pipe, _, before) => is_program(self.module, &self.names.targets, *before),
            _ => is_program_applied(self.module, &self.names.targets, id),
        }
    }

    fn stage_misfit(&mut self, stage: NodeId, source: Ty, param: Ty) {
        let types = &mut self.inferred.types;
        let (is, wanted) = (describe(types, source), describe_expected(types, param));
        let each = match types.node(source) {
            Node::List(element) => {
                let element = describe(types, element);
                format!(", neither as a whole nor {element} by {element}")
            }
            _ => String::new(),
        };
        let name = self.called(stage);
        let flaw = self.at(stage, format!("{name} takes {wanted}, but |> brings {is}{each}"));
        self.complain(flaw);
    }

    /// Whether a stage is `pmap width function`.
    fn is_parallel(&self, id: NodeId) -> bool {
        match self.module.nodes.node(id) {
            Tree::Apply(func, args) => {
                args.len() == 2 && self.form(*func) == Some(Form::Pmap { collect: false })
            }
            _ => false,
        }
    }
}

/// Whether an expression is a program of the system, also behind names.
pub fn is_program(module: &crate::compose::ast::Module, targets: &[Target], id: NodeId) -> bool {
    let mut at = id;
    loop {
        match (module.nodes.node(at), targets[at.0 as usize]) {
            (Tree::Typed(inner, _), _) => at = *inner,
            (Tree::Apply(func, args), _) => {
                let Target::Builtin(builtin) = targets[func.0 as usize] else {
                    return false;
                };
                return args.len() == 1 && matches!(ALL[builtin].form, Form::Cmd { .. });
            }
            (_, Target::Definition(definition)) if module.definitions[definition].params.is_empty() => {
                at = module.definitions[definition].body;
            }
            _ => return false,
        }
    }
}

/// Whether an expression is a program applied to its input.
fn is_program_applied(module: &crate::compose::ast::Module, targets: &[Target], id: NodeId) -> bool {
    match module.nodes.node(id) {
        Tree::Apply(func, args) => args.len() == 1 && is_program(module, targets, *func),
        _ => false,
    }
}
