//! Who calls whom in a command, and whose results go where: found by following values through its expression, drawn as
//! text, for Graphviz or for Mermaid. Evaluates nothing; of an `if`, both ways count.

use crate::expr::arena::{Expr, Exprs, Strict, Variable};
use crate::expr::process::Stage;
use crate::ids::{ExprId, Span};
use crate::manifest::model::{Body, Command, Manifest};
use crate::manifest::names::{full_name, label};
use std::rc::Rc;

/// Calls that are shown; a composition with more is cut there.
const NODES_MAX: usize = 200;
/// Expressions that are looked at: the body of a function counts again wherever it is applied.
const VISITS_MAX: usize = 20_000;
/// How deep expressions and applications may nest for it.
const DEPTH_MAX: usize = 256;

/// What a command does: the arguments first, the result last.
#[derive(Debug, Default)]
pub struct Graph {
    nodes: Vec<Node>,
    /// Whose value goes where, each once.
    edges: Vec<(usize, usize)>,
    /// Not all is in it.
    is_cut: bool,
}

#[derive(Debug)]
struct Node {
    name: String,
    /// Pool that runs it, or that it is a program; empty: it is a value.
    pool: String,
    /// Where the composition calls it.
    at: String,
}

/// Where a value comes from.
#[derive(Clone, Debug, Default)]
struct Flow {
    from: Vec<usize>,
    /// The function that it is, if that is known, and the arguments that it has.
    function: Option<Rc<Function>>,
    /// Of a list, the string that it begins with: the name of a program.
    word: Option<String>,
}

#[derive(Debug)]
struct Function {
    id: ExprId,
    captures: Vec<Flow>,
    held: Vec<Flow>,
}

/// The graph of a command.
pub fn of(manifest: &Manifest, command: &Command) -> Graph {
    let mut walk = Walk {
        manifest,
        graph: Graph::default(),
        locals: Vec::new(),
        base: 0,
        captures: Vec::new(),
        visits: 0,
        depth: 0,
    };
    let arguments: Vec<Flow> = (0..command.args.len())
        .map(|position| {
            let (name, _) = label(command, position);
            walk.node(
                name.trim_start_matches("argument ").to_string(),
                String::new(),
                "",
                &[],
            )
        })
        .collect();
    let result = match &command.body {
        Body::Remote { pool, .. } => {
            let pool = manifest.pools[pool.index()].name.clone();
            walk.node(full_name(command), pool, "", &arguments)
        }
        Body::Pure(expr) | Body::Composed { expr, .. } => {
            let function = walk.flow(*expr);
            walk.apply(function, arguments)
        }
        Body::Unsupported(_) => Flow::default(),
    };
    let result = walk.used(&result);
    walk.node("result".to_string(), String::new(), "", &[result]);
    walk.graph
}

struct Walk<'m> {
    manifest: &'m Manifest,
    graph: Graph,
    /// As in an evaluation: the values of the innermost function's variables, from `base`.
    locals: Vec<Flow>,
    base: usize,
    captures: Vec<Flow>,
    visits: usize,
    depth: usize,
}

impl Walk<'_> {
    fn exprs(&self) -> &Exprs {
        &self.manifest.exprs
    }

    /// Adds a node that takes those values.
    fn node(&mut self, name: String, pool: String, at: &str, takes: &[Flow]) -> Flow {
        let takes: Vec<Flow> = takes.iter().map(|value| self.used(value)).collect();
        let at = at.to_string();
        self.graph.nodes.push(Node { name, pool, at });
        let node = self.graph.nodes.len() - 1;
        for from in takes.iter().flat_map(|value| &value.from) {
            if !self.graph.edges.contains(&(*from, node)) {
                self.graph.edges.push((*from, node));
            }
        }
        Flow {
            from: vec![node],
            ..Flow::default()
        }
    }

    /// A value as somebody takes it who is not looked into: a function that it is may be called.
    fn used(&mut self, value: &Flow) -> Flow {
        let mut used = value.clone();
        if value.function.is_some() {
            let called = self.called(value, &Flow::default());
            used.function = None;
            merge(&mut used, &called);
        }
        used
    }

    fn flow(&mut self, id: ExprId) -> Flow {
        self.visits += 1;
        if self.visits > VISITS_MAX || self.depth > DEPTH_MAX || self.graph.nodes.len() >= NODES_MAX {
            self.graph.is_cut = true;
            return Flow::default();
        }
        self.depth += 1;
        let flow = self.known(id);
        self.depth -= 1;
        flow
    }

    fn known(&mut self, id: ExprId) -> Flow {
        match self.exprs().node(id) {
            Expr::Variable(variable) => self.variable(variable),
            Expr::Lambda { captures, .. } => {
                let captures = self.exprs().captures(captures).to_vec();
                let captures = captures.into_iter().map(|variable| self.variable(variable));
                function(id, captures.collect())
            }
            Expr::Foreign(_) | Expr::Cmd(_) => function(id, Vec::new()),
            Expr::Strict {
                op: Strict::Pipe(number),
                args,
            } => self.pipe(number, args),
            Expr::Joined(value) => self.flow(value),
            Expr::Apply { func, args } => {
                let args = self.exprs().children(args).to_vec();
                let args = args.into_iter().map(|arg| self.flow(arg)).collect();
                let func = self.flow(func);
                self.apply(func, args)
            }
            Expr::Let { values, body } => {
                let values = self.exprs().children(values).to_vec();
                let values: Vec<Flow> = values.into_iter().map(|value| self.flow(value)).collect();
                let before = self.locals.len();
                self.locals.extend(values);
                let body = self.flow(body);
                self.locals.truncate(before);
                body
            }
            node => {
                let parts = parts(self.exprs(), id);
                let first = parts.first().map(|part| self.exprs().node(*part));
                let parts: Vec<Flow> = parts.into_iter().map(|part| self.flow(part)).collect();
                let mut mixed = self.mixed(&parts);
                if let (Expr::Container { .. }, Some(Expr::Str(word))) = (node, first) {
                    mixed.word = Some(self.exprs().text(word).to_string());
                }
                mixed
            }
        }
    }

    /// What comes out of a pipe.
    fn pipe(&mut self, number: u32, args: Span) -> Flow {
        let mut args = self.exprs().children(args).to_vec().into_iter();
        let mut value = args.next().map_or_else(Flow::default, |source| self.flow(source));
        let stages = self.exprs().pipe(number).stages.clone();
        for stage in &stages {
            let takes = args.next().map_or_else(Flow::default, |arg| self.flow(arg));
            value = match stage {
                Stage::Cmd(_) => self.program(&takes, &[value]),
                Stage::Each { has_width, .. } => {
                    if *has_width {
                        args.next();
                    }
                    self.called(&takes, &value)
                }
            };
        }
        value
    }

    /// A program of the system, by its words.
    fn program(&mut self, words: &Flow, takes: &[Flow]) -> Flow {
        let name = words.word.clone().unwrap_or_else(|| "program".to_string());
        self.node(name, "program".to_string(), "", takes)
    }

    /// A value that is made of others; the functions among them are applied to the others.
    fn mixed(&mut self, parts: &[Flow]) -> Flow {
        let mut values = Flow::default();
        for part in parts.iter().filter(|part| part.function.is_none()) {
            merge(&mut values, part);
        }
        let mut out = values.clone();
        for part in parts.iter().filter(|part| part.function.is_some()) {
            let applied = self.called(part, &values);
            out = Flow::default();
            merge(&mut out, &applied);
        }
        out
    }

    /// What a function gives whose every missing argument is that.
    fn called(&mut self, function: &Flow, argument: &Flow) -> Flow {
        let known = function.function.as_deref();
        let missing = known.map_or(0, |known| self.arity(known.id).saturating_sub(known.held.len()));
        self.apply(function.clone(), vec![argument.clone(); missing])
    }

    fn arity(&self, id: ExprId) -> usize {
        match self.exprs().node(id) {
            Expr::Lambda { params, .. } => params as usize,
            Expr::Foreign(position) => self.exprs().foreign(position).params.len(),
            Expr::Cmd(_) => 2,
            _ => 0,
        }
    }

    fn variable(&self, variable: Variable) -> Flow {
        let found = match variable {
            Variable::Local(slot) => self.locals.get(self.base + slot as usize),
            Variable::Captured(position) => self.captures.get(position as usize),
        };
        found.cloned().unwrap_or_default()
    }

    fn apply(&mut self, func: Flow, mut args: Vec<Flow>) -> Flow {
        let Some(known) = func.function else {
            args.push(func);
            return self.mixed(&args);
        };
        let mut all = known.held.clone();
        all.append(&mut args);
        let arity = self.arity(known.id);
        if all.len() < arity {
            let (id, captures) = (known.id, known.captures.clone());
            return Flow {
                from: func.from,
                function: Some(Rc::new(Function {
                    id,
                    captures,
                    held: all,
                })),
                word: None,
            };
        }
        let rest = all.split_off(arity);
        let result = match self.exprs().node(known.id) {
            Expr::Foreign(position) => {
                let foreign = self.exprs().foreign(position);
                let pool = self.manifest.pools[foreign.pool.index()].name.clone();
                let name = match foreign.function.is_empty() {
                    true => format!("function {}", foreign.mid),
                    false => foreign.function.to_string(),
                };
                let at = foreign.at.to_string();
                self.node(name, pool, &at, &all)
            }
            Expr::Cmd(_) => match all.split_first() {
                Some((words, takes)) => self.program(words, takes),
                None => Flow::default(),
            },
            Expr::Lambda { body, .. } => {
                let base = std::mem::replace(&mut self.base, self.locals.len());
                let captures = std::mem::replace(&mut self.captures, known.captures.clone());
                self.locals.extend(all);
                let result = self.flow(body);
                self.locals.truncate(self.base);
                (self.base, self.captures) = (base, captures);
                result
            }
            _ => Flow::default(),
        };
        match rest.is_empty() {
            true => result,
            false => self.apply(result, rest),
        }
    }
}

/// The expressions right below one that has no variables of its own.
fn parts(exprs: &Exprs, id: ExprId) -> Vec<ExprId> {
    match exprs.node(id) {
        Expr::Container { elements: parts, .. } | Expr::Race(parts) => exprs.children(parts).to_vec(),
        Expr::Strict { op, args } => {
            let mut parts = exprs.children(args).to_vec();
            if let Strict::Timeout(child) | Strict::Retry(child) = op {
                parts.push(child);
            }
            parts
        }
        Expr::Next { first, then } | Expr::Beside { first, then } => vec![first, then],
        Expr::If {
            cond,
            then,
            otherwise,
        } => vec![cond, then, otherwise],
        Expr::Show { child, .. } | Expr::Read { child, .. } | Expr::Try(child) => vec![child],
        Expr::Throw { message } => vec![message],
        Expr::Catch { fallible, fallback } => vec![fallible, fallback],
        _ => Vec::new(),
    }
}

fn function(id: ExprId, captures: Vec<Flow>) -> Flow {
    let held = Vec::new();
    Flow {
        function: Some(Rc::new(Function { id, captures, held })),
        ..Flow::default()
    }
}

fn merge(into: &mut Flow, other: &Flow) {
    for node in &other.from {
        if !into.from.contains(node) {
            into.from.push(*node);
        }
    }
}

impl Graph {
    fn inputs(&self, node: usize) -> impl Iterator<Item = usize> + '_ {
        let edges = self.edges.iter().filter(move |edge| edge.1 == node);
        edges.map(|edge| edge.0)
    }

    /// Lines of text: the result, and below each call what it takes. What is taken twice stands once.
    pub fn text(&self) -> Vec<String> {
        let mut lines = Vec::new();
        let mut seen = vec![false; self.nodes.len()];
        let mut stack: Vec<(usize, usize)> = self
            .nodes
            .len()
            .checked_sub(1)
            .map(|last| (last, 1))
            .into_iter()
            .collect();
        while let Some((node, depth)) = stack.pop() {
            let mut line = "  ".repeat(depth) + &self.told(node);
            let again = std::mem::replace(&mut seen[node], true);
            if again && self.inputs(node).next().is_some() {
                line.push_str(", as above");
            }
            lines.push(line);
            if !again {
                let inputs: Vec<usize> = self.inputs(node).collect();
                stack.extend(inputs.into_iter().rev().map(|input| (input, depth + 1)));
            }
        }
        if self.is_cut {
            lines.push("  and more, which is not followed".to_string());
        }
        lines
    }

    fn told(&self, node: usize) -> String {
        let Node { name, pool, at } = &self.nodes[node];
        let place = if at.is_empty() {
            String::new()
        } else {
            format!(", {at}")
        };
        match pool.is_empty() {
            true => name.clone(),
            false => format!("{name} ({pool}){place}"),
        }
    }

    /// For Graphviz.
    pub fn dot(&self) -> Vec<String> {
        let mut lines = vec!["digraph calls {".to_string(), "  rankdir=LR;".to_string()];
        for (position, node) in self.nodes.iter().enumerate() {
            let shape = if node.pool.is_empty() { "ellipse" } else { "box" };
            let label = self.label(position, "\\n").replace('"', "\\\"");
            lines.push(format!("  n{position} [label=\"{label}\", shape={shape}];"));
        }
        let edges = self.edges.iter().map(|(from, to)| format!("  n{from} -> n{to};"));
        lines.extend(edges);
        lines.push("}".to_string());
        lines
    }

    /// For Mermaid.
    pub fn mermaid(&self) -> Vec<String> {
        let mut lines = vec!["flowchart LR".to_string()];
        for (position, node) in self.nodes.iter().enumerate() {
            let (open, close) = if node.pool.is_empty() {
                ("([", "])")
            } else {
                ("[", "]")
            };
            let label = self.label(position, "<br>").replace('"', "#quot;");
            lines.push(format!("  n{position}{open}\"{label}\"{close}"));
        }
        let edges = self.edges.iter().map(|(from, to)| format!("  n{from} --> n{to}"));
        lines.extend(edges);
        lines
    }

    fn label(&self, node: usize, gap: &str) -> String {
        let Node { name, pool, .. } = &self.nodes[node];
        match pool.is_empty() {
            true => name.clone(),
            false => format!("{name}{gap}{pool}"),
        }
    }
}
