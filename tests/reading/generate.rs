//! Random modules that a text can say, well formed but with names and types that mean nothing.

use crate::random::Random;
use nexus::compose::ast::*;
use nexus::source::signature::{Doc, Field, Param, ParamDoc, Place, Record};
use nexus::source::types::{Base, Type};

const NAMES: [&str; 12] = [
    "x",
    "y'",
    "_a",
    "f2",
    "map",
    "été",
    "from",
    "as",
    "table",
    "effect",
    "data",
    "longer_Name",
];
const KEYS: [&str; 6] = ["a", "b1", "type", "if", "True", "Key"];
const BASES: [Base; 8] = [
    Base::Unit,
    Base::Bool,
    Base::Int,
    Base::Real,
    Base::Str,
    Base::Bytes,
    Base::U8,
    Base::F32,
];
const LETTERS: [&str; 16] = [
    "a", "Z", " ", "#", "{", "}", "\"", "\\", "'", "\n", "\t", "\0", "é", "😀", "--", "{-",
];
const WORDS: [&str; 5] = ["what it is", "[a] b, c", "é: 'x'", "", "--' {- #{"];
const OPS: [Op; 18] = [
    Op::Compose,
    Op::Add,
    Op::Subtract,
    Op::Multiply,
    Op::Divide,
    Op::Quotient,
    Op::Remainder,
    Op::Append,
    Op::Equal,
    Op::Unequal,
    Op::Less,
    Op::AtMost,
    Op::Greater,
    Op::AtLeast,
    Op::AndThen,
    Op::OrElse,
    Op::Beside,
    Op::Pipe,
];

/// Makes modules: the same ones from the same seed.
pub struct Generator {
    random: Random,
    nodes: Nodes,
}

impl Generator {
    pub fn new(seed: u64) -> Generator {
        Generator {
            random: Random::new(seed),
            nodes: Nodes::default(),
        }
    }

    pub fn module(mut self) -> Module {
        let mut module = Module::default();
        if self.random.one_in(2) {
            module.name = Some(self.pick_name(&["main", "a.b", "root-py", "m2"]));
            module.doc = self.words();
            module.exports = self.several(0, Self::name);
        }
        module.sources = self.several(0, |make| Source {
            lang: make.pick_name(&["Py", "R", "Cpp", "JS"]),
            file: make.named(String::new()),
            functions: make.several(1, |make| {
                let ours = make.name();
                match make.random.one_in(2) {
                    true => (ours.clone(), ours),
                    false => (make.named(String::from("std::")), ours),
                }
            }),
        });
        module.records = self.several(0, |make| {
            let mut fields = make.several(1, |make| {
                let ty = make.ty(2);
                let doc = make.param_doc(&ty);
                let name = make.pick(&KEYS).to_string();
                Field { name, ty, doc }
            });
            fields.sort_by(|a, b| a.name.cmp(&b.name));
            fields.dedup_by(|a, b| a.name == b.name);
            Record {
                name: make.pick(&["Person", "P2"]).to_string(),
                place: Place::default(),
                fields,
                doc: ParamDoc {
                    desc: make.words(),
                    is_unrolled: make.random.one_in(2),
                    ..ParamDoc::default()
                },
            }
        });
        module.aliases = self.several(0, |make| {
            let ty = make.ty(3);
            Alias {
                name: make.pick_name(&["Vectors", "V2"]),
                doc: make.param_doc(&ty),
                ty,
            }
        });
        module.signatures = self.several(0, |make| Declaration {
            name: make.name(),
            params: make.several(0, |make| {
                let ty = make.ty(2);
                let doc = make.param_doc(&ty);
                Param {
                    name: None,
                    ty,
                    is_keyword: false,
                    doc,
                }
            }),
            returns: make.ty(3),
            doc: make.doc(),
        });
        module.definitions = self.several(1, |make| {
            let mut definition = make.definition(6);
            definition.doc = make.doc();
            definition
        });
        module.nodes = self.nodes;
        module
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.random.below(from.len())]
    }

    /// Up to three, at least that many.
    fn several<T>(&mut self, least: usize, mut one: impl FnMut(&mut Self) -> T) -> Vec<T> {
        let count = least.max(self.random.below(4));
        (0..count).map(|_| one(self)).collect()
    }

    fn pick_name(&mut self, from: &[&str]) -> Name {
        Name {
            text: self.pick(from).to_string(),
            place: Place::default(),
        }
    }

    fn name(&mut self) -> Name {
        self.pick_name(&NAMES)
    }

    /// A name of anything that text can be.
    fn named(&mut self, mut text: String) -> Name {
        text += &self.text();
        Name {
            text,
            place: Place::default(),
        }
    }

    fn text(&mut self) -> String {
        self.several(0, |make| make.pick(&LETTERS)).concat()
    }

    fn params(&mut self, least: usize) -> Vec<Name> {
        self.several(least, |make| match make.random.one_in(4) {
            true => make.pick_name(&["_"]),
            false => make.name(),
        })
    }

    fn words(&mut self) -> Vec<String> {
        self.several(0, |make| make.pick(&WORDS).to_string())
    }

    fn doc(&mut self) -> Doc {
        Doc {
            desc: self.words(),
            name: self.random.one_in(4).then(|| "sum-up".to_string()),
            group: self.random.one_in(4).then(|| "g".to_string()),
            returns: self.several(0, |_| "the sum".to_string()),
            examples: self.several(0, |_| "p sum '[1]'".to_string()),
            timeout_ms: self
                .random
                .one_in(4)
                .then(|| 1 + self.random.below(10_000) as u64),
        }
    }

    fn param_doc(&mut self, ty: &Type) -> ParamDoc {
        let is_flag = *ty == Type::Base(Base::Bool) && self.random.one_in(2);
        let default = match ty {
            _ if is_flag => Some(self.pick(&["true", "false"])),
            Type::Base(Base::Str) => Some("\"a b\""),
            Type::Base(Base::Int) => Some("5"),
            _ => None,
        };
        ParamDoc {
            desc: self.words(),
            metavar: self.random.one_in(3).then(|| "N".to_string()),
            short: (is_flag || self.random.one_in(3)).then_some('k'),
            long: self.random.one_in(3).then(|| "long-er".to_string()),
            default: default
                .filter(|_| is_flag || self.random.one_in(2))
                .map(str::to_string),
            long_rev: (is_flag && self.random.one_in(2)).then(|| "no-t".to_string()),
            is_flag,
            is_unrolled: self.random.one_in(5),
        }
    }

    fn ty(&mut self, depth: usize) -> Type {
        if depth == 0 {
            return Type::Base(self.pick(&BASES));
        }
        let deeper = depth - 1;
        match self.random.below(8) {
            0 => Type::Variable(self.pick(&["a", "b", "elem'"]).to_string()),
            1 => Type::Named(self.pick(&["Person", "Vectors"]).to_string()),
            2 => Type::List(Box::new(self.ty(deeper))),
            3 => {
                let mut parts = self.several(1, |make| make.ty(deeper));
                parts.push(self.ty(deeper));
                Type::Tuple(parts)
            }
            4 => match self.ty(deeper) {
                twice @ Type::Optional(_) => twice,
                inner => Type::Optional(Box::new(inner)),
            },
            5 => Type::Function(self.several(1, |make| make.ty(deeper)), Box::new(self.ty(deeper))),
            6 => Type::Worker(Box::new(self.ty(deeper)), Box::new(self.ty(deeper))),
            _ => Type::Base(self.pick(&BASES)),
        }
    }

    fn definition(&mut self, depth: usize) -> Definition {
        let (name, params) = (self.name(), self.params(0));
        let mut body = self.expression(depth);
        if depth > 0 && self.random.one_in(4) {
            let definitions = self.several(1, |make| make.definition(depth - 1));
            body = self.add(Node::Let {
                definitions,
                body,
                is_where: true,
            });
        }
        Definition {
            name,
            params,
            body,
            doc: Doc::default(),
        }
    }

    fn add(&mut self, node: Node) -> NodeId {
        self.nodes.add(node, Place::default())
    }

    fn branches(&mut self, depth: usize) -> Vec<Branch> {
        let sets = self.random.one_in(2);
        self.several(1, |make| Branch {
            path: make.several(1, |make| match make.random.one_in(2) {
                true => Selector::Position(make.random.below(12) as u32),
                false => Selector::Key(make.pick(&KEYS).to_string()),
            }),
            value: sets.then(|| make.expression(depth)),
        })
    }

    /// Adds an expression, its parts first and in their order in the text.
    pub fn expression(&mut self, depth: usize) -> NodeId {
        if depth == 0 {
            let node = match self.random.below(6) {
                0 => Node::Null,
                1 => Node::Bool(self.random.one_in(2)),
                2 => Node::Int(
                    self.pick(&["0", "7", "-12", "123456789012345678901234567890"])
                        .to_string(),
                ),
                3 => Node::Real(
                    self.pick(&["0.5", "-0.0", "1e3", "-12.50e-7", "2e+9"])
                        .to_string(),
                ),
                4 => Node::Str(self.text()),
                _ => Node::Name(self.pick(&NAMES).to_string()),
            };
            return self.add(node);
        }
        let depth = depth - 1;
        let node = match self.random.below(18) {
            0 | 1 => {
                let function = self.expression(depth);
                Node::Apply(function, self.several(1, |make| make.expression(depth)))
            }
            2 => {
                let parts = self.several(1, |make| make.expression(depth));
                let texts = (0..=parts.len()).map(|_| self.text()).collect();
                Node::Interpolated(texts, parts)
            }
            3 => Node::Lambda(self.params(1), self.expression(depth)),
            4 => Node::Let {
                definitions: self.several(1, |make| make.definition(depth)),
                body: self.expression(depth),
                is_where: false,
            },
            5 => Node::List(self.several(0, |make| make.expression(depth))),
            6 => {
                let mut parts = self.several(1, |make| make.expression(depth));
                parts.push(self.expression(depth));
                Node::Tuple(parts)
            }
            7 => {
                let count = 1 + self.random.below(KEYS.len());
                let fields = KEYS[..count].iter();
                Node::Record(
                    fields
                        .map(|key| (self.pick_name(&[key]), self.expression(depth)))
                        .collect(),
                )
            }
            8 => Node::Pattern(self.branches(depth)),
            9 => Node::Index(self.expression(depth)),
            10 => Node::Slice([(); 3].map(|()| self.random.one_in(2).then(|| self.expression(depth)))),
            11 => Node::If(
                self.expression(depth),
                self.expression(depth),
                self.expression(depth),
            ),
            12 => Node::Guards(
                self.several(1, |make| (make.expression(depth), make.expression(depth))),
                self.expression(depth),
            ),
            13 => {
                let inner = self.expression(depth);
                Node::Typed(inner, self.ty(3))
            }
            14 => return self.expression(0),
            _ => Node::Binary(self.pick(&OPS), self.expression(depth), self.expression(depth)),
        };
        self.add(node)
    }
}
