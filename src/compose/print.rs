//! Writes a composition so that reading it gives the same module again, but for places and comments. Recurses as deep as
//! the tree, which is bounded by whoever read it.

use super::ast::{Branch, Definition, Module, Node, NodeId, Nodes, Selector, Side};
use crate::source::signature::{Doc, ParamDoc};
use crate::source::types::Type;

/// The text of a module, by the kinds of its declarations.
pub fn print(module: &Module) -> String {
    let mut printer = Printer {
        nodes: &module.nodes,
        out: String::new(),
        indent: 0,
    };
    printer.module(module);
    printer.out
}

struct Printer<'a> {
    nodes: &'a Nodes,
    out: String,
    /// Columns before the definitions of the block.
    indent: usize,
}

impl Printer<'_> {
    fn put(&mut self, text: &str) {
        self.out.push_str(text);
    }

    fn line(&mut self, indent: usize) {
        self.out.push('\n');
        self.out.extend(std::iter::repeat_n(' ', indent));
    }

    /// Puts all parts, and something between them.
    fn join<T>(&mut self, parts: &[T], between: &str, mut put: impl FnMut(&mut Self, &T)) {
        for (position, part) in parts.iter().enumerate() {
            if position > 0 {
                self.put(between);
            }
            put(self, part);
        }
    }

    fn module(&mut self, module: &Module) {
        for line in &module.doc {
            self.doc_line(0, "", line);
        }
        if let Some(name) = &module.name {
            self.put(&format!("module {} (", name.text));
            self.join(&module.exports, ", ", |printer, name| printer.put(&name.text));
            self.put(")\n");
        }
        for source in &module.sources {
            self.put(&format!("\nsource {} from ", source.lang.text));
            self.text(&source.file.text);
            self.put(" (");
            self.join(&source.functions, ", ", |printer, (theirs, ours)| {
                printer.text(&theirs.text);
                if theirs.text != ours.text {
                    printer.put(&format!(" as {}", ours.text));
                }
            });
            self.put(")\n");
        }
        for record in &module.records {
            self.put("\n");
            self.param_doc(0, &record.doc);
            self.put(&format!("record {0} = {0} {{", record.name));
            self.join(&record.fields, ",", |printer, field| {
                printer.put("\n");
                printer.param_doc(2, &field.doc);
                printer.put(&format!("  {} :: {}", field.name, field.ty));
            });
            self.put("\n}\n");
        }
        for alias in &module.aliases {
            self.put("\n");
            self.param_doc(0, &alias.doc);
            self.put(&format!("type {} = {}\n", alias.name.text, alias.ty));
        }
        for signature in &module.signatures {
            self.put("\n");
            self.doc(&signature.doc);
            self.put(&format!("{} ::", signature.name.text));
            let is_said = signature
                .params
                .iter()
                .any(|param| param.doc != ParamDoc::default());
            for param in &signature.params {
                if is_said {
                    self.put("\n");
                    self.param_doc(2, &param.doc);
                    self.put(" ");
                }
                self.put(&format!(" {} ->", operand(&param.ty)));
            }
            self.put(&format!(" {}\n", operand(&signature.returns)));
        }
        for definition in &module.definitions {
            self.put("\n");
            self.doc(&definition.doc);
            self.definition(definition);
            self.put("\n");
        }
    }

    fn doc_line(&mut self, indent: usize, key: &str, text: &str) {
        self.out.extend(std::iter::repeat_n(' ', indent));
        self.put(format!("--' {key}{text}").trim_end());
        self.put("\n");
    }

    fn doc(&mut self, doc: &Doc) {
        for line in &doc.desc {
            self.doc_line(0, "", line);
        }
        for (key, value) in [("name: ", &doc.name), ("group: ", &doc.group)] {
            if let Some(value) = value {
                self.doc_line(0, key, value);
            }
        }
        for line in &doc.returns {
            self.doc_line(0, "return: ", line);
        }
        for line in &doc.examples {
            self.doc_line(0, "example: ", line);
        }
        if let Some(ms) = doc.timeout_ms {
            self.doc_line(0, "timeout: ", &format!("{}.{:03}", ms / 1000, ms % 1000));
        }
    }

    fn param_doc(&mut self, indent: usize, doc: &ParamDoc) {
        for line in &doc.desc {
            self.doc_line(indent, "", line);
        }
        // The default first: a flag without one gets its own.
        for (key, value) in [("metavar: ", &doc.metavar), ("default: ", &doc.default)] {
            if let Some(value) = value {
                self.doc_line(indent, key, value);
            }
        }
        let short = doc.short.map(|letter| format!("-{letter}"));
        let words: Vec<String> = short
            .into_iter()
            .chain(doc.long.iter().map(|long| format!("--{long}")))
            .collect();
        if !words.is_empty() {
            let key = if doc.is_flag { "true: " } else { "arg: " };
            self.doc_line(indent, key, &words.join("/"));
        }
        if let Some(word) = &doc.long_rev {
            self.doc_line(indent, "false: --", word);
        }
        if doc.is_unrolled {
            self.doc_line(indent, "unroll: ", "true");
        }
    }

    fn definition(&mut self, definition: &Definition) {
        self.put(&definition.name.text);
        for param in &definition.params {
            self.put(&format!(" {}", param.text));
        }
        let (body, block) = match self.nodes.node(definition.body) {
            Node::Let {
                definitions,
                body,
                is_where: true,
            } => (*body, definitions.as_slice()),
            _ => (definition.body, &[][..]),
        };
        let is_guarded = matches!(self.nodes.node(body), Node::Guards(..));
        self.put(if is_guarded { " " } else { " = " });
        self.expression(body);
        if !block.is_empty() {
            self.line(self.indent + 2);
            self.put("where");
            self.block(self.indent + 4, block);
        }
    }

    fn block(&mut self, indent: usize, definitions: &[Definition]) {
        let outer = std::mem::replace(&mut self.indent, indent);
        for definition in definitions {
            self.line(indent);
            self.definition(definition);
        }
        self.indent = outer;
    }

    fn list(&mut self, parts: &[NodeId]) {
        self.join(parts, ", ", |printer, part| printer.expression(*part));
    }

    /// An expression that binds at least so tightly, in parentheses if it doesn't: see [`level`].
    fn operand(&mut self, id: NodeId, tight: u8) {
        let is_loose = level(self.nodes.node(id)) < tight;
        self.put(if is_loose { "(" } else { "" });
        self.expression(id);
        self.put(if is_loose { ")" } else { "" });
    }

    fn expression(&mut self, id: NodeId) {
        match self.nodes.node(id) {
            Node::Null => self.put("null"),
            Node::Bool(true) => self.put("True"),
            Node::Bool(false) => self.put("False"),
            Node::Int(digits) | Node::Real(digits) => self.put(digits),
            Node::Str(text) => self.text(text),
            Node::Interpolated(texts, parts) => {
                self.put("\"");
                for (position, text) in texts.iter().enumerate() {
                    self.letters(text);
                    if let Some(part) = parts.get(position) {
                        self.put("#{");
                        self.expression(*part);
                        self.put("}");
                    }
                }
                self.put("\"");
            }
            Node::Name(name) => self.put(name),
            Node::Apply(function, arguments) => {
                self.operand(*function, ATOM);
                for argument in arguments {
                    self.put(" ");
                    self.operand(*argument, ATOM);
                }
            }
            Node::Lambda(params, body) => {
                self.put("\\");
                self.join(params, " ", |printer, param| printer.put(&param.text));
                self.put(" -> ");
                self.expression(*body);
            }
            Node::Let {
                definitions, body, ..
            } => {
                self.put("let");
                self.block(self.indent + 4, definitions);
                self.line(self.indent + 2);
                self.put("in ");
                self.expression(*body);
            }
            Node::List(parts) => {
                self.put("[");
                self.list(parts);
                self.put("]");
            }
            Node::Tuple(parts) => {
                self.put("(");
                self.list(parts);
                self.put(")");
            }
            Node::Record(fields) => {
                self.put("{ ");
                self.join(fields, ", ", |printer, (name, value)| {
                    printer.put(&format!("{} = ", name.text));
                    printer.expression(*value);
                });
                self.put(" }");
            }
            Node::Pattern(branches) => match branches.as_slice() {
                [Branch { path, value: None }] => self.path(path),
                branches => {
                    self.put(".(");
                    self.join(branches, ", ", |printer, branch| {
                        printer.path(&branch.path);
                        if let Some(value) = branch.value {
                            printer.put(" = ");
                            printer.expression(value);
                        }
                    });
                    self.put(")");
                }
            },
            Node::Index(index) => {
                self.put(".[");
                self.operand(*index, OPERATOR);
                self.put("]");
            }
            Node::Slice(bounds) => {
                self.put(".[");
                for (position, bound) in bounds.iter().enumerate() {
                    if position == 1 || (position == 2 && bound.is_some()) {
                        self.put(":");
                    }
                    if let Some(bound) = bound {
                        self.operand(*bound, OPERATOR);
                    }
                }
                self.put("]");
            }
            Node::If(condition, then, otherwise) => {
                self.put("if ");
                self.operand(*condition, OPERATOR);
                self.put(" then ");
                self.operand(*then, OPERATOR);
                self.put(" else ");
                self.expression(*otherwise);
            }
            Node::Guards(cases, otherwise) => {
                for (condition, value) in cases {
                    self.put("? ");
                    self.operand(*condition, OPERATOR);
                    self.put(" = ");
                    self.operand(*value, OPERATOR);
                    self.put(" ");
                }
                self.put("? _ = ");
                self.operand(*otherwise, OPERATOR);
            }
            Node::Binary(op, left, right) => {
                let (sides, tight) = (op.side(), op.level());
                self.operand(*left, tight + u8::from(sides != Side::Left));
                self.put(&format!(" {} ", op.sign()));
                self.operand(*right, tight + u8::from(sides != Side::Right));
            }
            Node::Typed(inner, ty) => {
                self.operand(*inner, OPERATOR);
                self.put(&format!(" :: {ty}"));
            }
        }
    }

    fn path(&mut self, path: &[Selector]) {
        for selector in path {
            self.put(&match selector {
                Selector::Position(position) => format!(".{position}"),
                Selector::Key(key) => format!(".{key}"),
            });
        }
    }

    fn text(&mut self, text: &str) {
        self.put("\"");
        self.letters(text);
        self.put("\"");
    }

    /// The inside of a string.
    fn letters(&mut self, text: &str) {
        let mut letters = text.chars().peekable();
        while let Some(letter) = letters.next() {
            match letter {
                '"' | '\\' => self.put(&format!("\\{letter}")),
                '#' if letters.peek() == Some(&'{') => self.put("\\#"),
                '\n' => self.put("\\n"),
                '\t' => self.put("\\t"),
                '\r' => self.put("\\r"),
                letter if letter.is_control() => self.put(&format!("\\u{{{:x}}}", u32::from(letter))),
                letter => self.out.push(letter),
            }
        }
    }
}

/// Any operator may stand there, but nothing that reaches as far as it can.
const OPERATOR: u8 = 1;
/// An argument.
const ATOM: u8 = 11;

/// How tightly an expression holds together; an operator as [`super::ast::Op::level`] says.
fn level(node: &Node) -> u8 {
    match node {
        Node::Lambda(..) | Node::Let { .. } | Node::If(..) | Node::Guards(..) | Node::Typed(..) => 0,
        Node::Binary(op, ..) => op.level(),
        Node::Apply(..) => ATOM - 1,
        _ => ATOM,
    }
}

/// A type between arrows.
fn operand(ty: &Type) -> String {
    match ty {
        Type::Function(..) => format!("({ty})"),
        _ => ty.to_string(),
    }
}
