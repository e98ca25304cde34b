//! Applications: each argument against what the function takes there.

use crate::codec::nearest::nearest;
use crate::compose::ast::{Node as Tree, NodeId};
use crate::compose::builtins::{ALL, Form, OPTIONS};
use crate::compose::describe::describe;
use crate::compose::infer::complain::{NAMELESS, Why};
use crate::compose::infer::program::Infer;
use crate::compose::resolve::Target;
use crate::compose::types::{Kinds, Node, Ty, kind};
use crate::map::Map;
use crate::source::signature::Flaw;

impl<'m> Infer<'m, '_> {
    /// The type of a function applied to arguments.
    pub fn apply(&mut self, func: NodeId, args: &'m [NodeId]) -> Ty {
        let mut checked = 0;
        let mut ty = match (self.module.nodes.node(func), args.first()) {
            // What a pattern selects from says what it gives.
            (Tree::Pattern(branches), Some(first)) => {
                let subject = self.infer(*first);
                let ty = self.pattern(func, branches, subject);
                self.inferred.nodes[func.0 as usize] = ty;
                checked = 1;
                self.arrow(func, ty).1
            }
            _ => self.infer(func),
        };
        self.check_form(func, args);
        for (position, arg) in args.iter().enumerate().skip(checked) {
            let node = self.inferred.types.node(ty);
            if !kind(node).has(Kinds::FUNCTION) {
                self.too_many(func, *arg, position, ty);
                args[position..].iter().for_each(|arg| {
                    self.infer(*arg);
                });
                return self.fresh(Kinds::ANY);
            }
            let (param, result) = self.arrow(func, ty);
            self.within.push((func, position));
            match self.options(func, position, *arg) {
                Some(options) => {
                    self.inferred.nodes[arg.0 as usize] = options;
                    if let Err(mismatch) = self.inferred.types.unify(options, param) {
                        self.misfit(*arg, options, param, Why::Argument(func, position), mismatch);
                    }
                }
                None => self.check(*arg, param, Why::Argument(func, position)),
            }
            self.within.pop();
            ty = result;
        }
        if !self.pending.is_empty() {
            let level = self.level;
            self.settle_patterns(level);
        }
        if let Some(Form::Cmd { .. }) = self.form(func) {
            self.programs.push(ty);
        }
        ty
    }

    fn too_many(&mut self, func: NodeId, arg: NodeId, taken: usize, ty: Ty) {
        let name = self.called(func);
        let is = describe(&mut self.inferred.types, ty);
        let flaw = match taken {
            0 => {
                let what = if name == NAMELESS { "this" } else { &name };
                self.at(
                    func,
                    format!("{what} is {is}, but is given an argument like a function"),
                )
            }
            1 => self.at(arg, format!("{name} takes 1 argument, but is given a second")),
            _ => self.at(
                arg,
                format!("{name} takes {taken} arguments, but is given one more"),
            ),
        };
        self.complain(flaw);
    }

    /// The builtin that a function is, if it is one.
    pub fn form(&self, func: NodeId) -> Option<Form> {
        match (self.module.nodes.node(func), self.names.targets[func.0 as usize]) {
            (Tree::Typed(inner, _), _) => self.form(*inner),
            (_, Target::Builtin(builtin)) => Some(ALL[builtin].form),
            _ => None,
        }
    }

    /// What the type of a builtin doesn't say of its arguments.
    fn check_form(&mut self, func: NodeId, args: &[NodeId]) {
        let Some(first) = args.first() else { return };
        match self.form(func) {
            Some(Form::Elements(name)) if !matches!(self.module.nodes.node(*first), Tree::List(_)) => {
                let message = format!("{name} takes a list that is written here, in brackets");
                let flaw = self.at(*first, message);
                self.complain(flaw.hint("pmap n f xs applies f to the elements of any list, n at once"));
            }
            Some(Form::Elements(name @ "race")) if matches!(self.module.nodes.node(*first), Tree::List(list) if list.is_empty()) =>
            {
                let flaw = self.at(*first, format!("{name} has no elements, expected at least one"));
                self.complain(flaw);
            }
            Some(Form::Run { options }) => {
                if let Some(worker) = args.get(usize::from(options)) {
                    self.check_worker(*worker);
                }
            }
            _ => {}
        }
    }

    /// What is run is a name or a program: something that can be started elsewhere.
    fn check_worker(&mut self, id: NodeId) {
        let mut at = id;
        while let Tree::Typed(inner, _) = self.module.nodes.node(at) {
            at = *inner;
        }
        let can_run = match self.module.nodes.node(at) {
            Tree::Name(_) => matches!(
                self.names.targets[at.0 as usize],
                Target::Function(_) | Target::Definition(_) | Target::Unknown
            ),
            Tree::Apply(func, args) => matches!(self.form(*func), Some(Form::Cmd { .. })) && args.len() == 1,
            _ => false,
        };
        if !can_run {
            let message = "run takes the name of a function or definition, or cmd [...]".to_string();
            let hint = "give the expression a name of its own at the left margin, and run that";
            let flaw = self.at(id, message).hint(hint);
            self.complain(flaw);
        }
    }

    /// The type of the options of a worker, whose keys may be missing.
    fn options(&mut self, func: NodeId, position: usize, arg: NodeId) -> Option<Ty> {
        if position != 0 || self.form(func) != Some(Form::Run { options: true }) {
            return None;
        }
        let Tree::Record(fields) = self.module.nodes.node(arg) else {
            let flaw = self.at(
                arg,
                "options of a worker are a record that is written here".into(),
            );
            self.complain(flaw.hint("runWith {timeout = 1000} f"));
            return Some(self.fresh(Kinds::ANY));
        };
        let mut types = Vec::new();
        for (index, (name, value)) in fields.iter().enumerate() {
            match OPTIONS.iter().find(|option| option.0 == name.text) {
                Some((key, ty)) => {
                    let ty = self.written(ty, &mut Map::new());
                    self.check(*value, ty, Why::Field(arg, index));
                    if types.iter().any(|(known, _)| known == key) {
                        let message = format!("option {key} is given twice");
                        self.complain(Flaw::new(name.place, name.text.chars().count(), message));
                    }
                    types.push(((*key).to_string(), ty));
                }
                None => {
                    let message = format!("a worker has no option {}", name.text);
                    let mut flaw = Flaw::new(name.place, name.text.chars().count(), message);
                    let near = nearest(&name.text, OPTIONS.iter().map(|option| option.0));
                    flaw.hint = Some(match near {
                        Some(near) => format!("did you mean {near}?"),
                        None => "options: timeout, env, cwd, stdin, stdout, stderr, detach".into(),
                    });
                    self.complain(flaw);
                    self.infer(*value);
                }
            }
        }
        let record = self.inferred.types.add_record("", types);
        Some(self.inferred.types.add(Node::Record(record)))
    }
}
