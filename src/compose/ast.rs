//! A composition as it stands in its file: declarations, and expressions in an arena. Names are not resolved and types not
//! checked; every node keeps its place for messages.

use crate::source::signature::{Doc, Mention, Param, Place, Record};
use crate::source::types::Type;

/// An expression of a [`Module`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(pub u32);

/// A name and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name {
    /// The name.
    pub text: String,
    /// Its first character.
    pub place: Place,
}

/// A file: `module m (a, b)` and what follows.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Module {
    /// What stands after `module`, if that line is there.
    pub name: Option<Name>,
    /// Lines of `--'` above the module line.
    pub doc: Vec<String>,
    /// The names in parentheses: the commands of the program.
    pub exports: Vec<Name>,
    /// `source Py from "foo.py" ("pmap", "mean" as avg)`
    pub sources: Vec<Source>,
    /// `record Person = Person { name :: Str }`
    pub records: Vec<Record>,
    /// `type Vectors = [[Real]]`
    pub aliases: Vec<Alias>,
    /// `f :: a -> b`, of functions from sources and of definitions.
    pub signatures: Vec<Declaration>,
    /// `f x = ...`
    pub definitions: Vec<Definition>,
    /// All expressions.
    pub nodes: Nodes,
    /// The records and aliases that types name, where they do.
    pub mentions: Vec<Mention>,
}

impl Module {
    /// Forgets where everything stands, so that modules can be compared by what they say.
    pub fn forget_places(&mut self) {
        let mut names: Vec<&mut Name> = Vec::new();
        names.extend(self.name.iter_mut().chain(&mut self.exports));
        for source in &mut self.sources {
            names.extend([&mut source.lang, &mut source.file]);
            for (theirs, ours) in &mut source.functions {
                names.extend([theirs, ours]);
            }
        }
        names.extend(self.aliases.iter_mut().map(|alias| &mut alias.name));
        names.extend(self.signatures.iter_mut().map(|signature| &mut signature.name));
        let mut definitions: Vec<&mut Definition> = self.definitions.iter_mut().collect();
        for (node, place) in &mut self.nodes.nodes {
            *place = Place::default();
            match node {
                Node::Lambda(params, _) => names.extend(params),
                Node::Record(fields) => names.extend(fields.iter_mut().map(|field| &mut field.0)),
                Node::Let {
                    definitions: more, ..
                } => definitions.extend(more),
                _ => {}
            }
        }
        for definition in definitions {
            names.push(&mut definition.name);
            names.extend(&mut definition.params);
        }
        for name in names {
            name.place = Place::default();
        }
        for record in &mut self.records {
            record.place = Place::default();
        }
        self.mentions.clear();
    }
}

/// Functions that are taken from a source file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// `Py`, `Cpp`, `R`, `JS`.
    pub lang: Name,
    /// The file, relative to this one.
    pub file: Name,
    /// Their names there, and here.
    pub functions: Vec<(Name, Name)>,
}

/// Another name for a type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alias {
    /// The name.
    pub name: Name,
    /// What it stands for.
    pub ty: Type,
    /// What is said about it, for parameters of that type.
    pub doc: crate::source::signature::ParamDoc,
}

/// The declared type of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Declaration {
    /// The name.
    pub name: Name,
    /// What it takes, with what is said about each; none: a value. (A type that is a [`Type::Function`] in parentheses as
    /// a whole is a value too, but nobody writes that.)
    pub params: Vec<Param>,
    /// What it gives.
    pub returns: Type,
    /// What is said about it.
    pub doc: Doc,
}

/// A name and its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Definition {
    /// The name.
    pub name: Name,
    /// Parameters: the value is a lambda of them.
    pub params: Vec<Name>,
    /// The value. `where` is a [`Node::Let`] around it, guards are [`Node::Guards`].
    pub body: NodeId,
    /// What is said about it in `--'` lines above it, if it stands in column 1 and they don't stand above its signature.
    pub doc: Doc,
}

/// An expression.
#[derive(Clone, Debug, PartialEq)]
pub enum Node {
    /// `()` or `null`
    Null,
    /// `True`, `False`
    Bool(bool),
    /// Decimal digits, with its sign.
    Int(String),
    /// As JSON writes it, with its sign.
    Real(String),
    /// A string without places to fill.
    Str(String),
    /// `"a #{x} b"`: one piece of text more than expressions.
    Interpolated(Vec<String>, Vec<NodeId>),
    /// A variable, a function, a builtin.
    Name(String),
    /// `f x y`
    Apply(NodeId, Vec<NodeId>),
    /// `\x y -> body`
    Lambda(Vec<Name>, NodeId),
    /// `let x = a; f y = b in body`, or `body where ...`: each definition knows those before it.
    Let {
        /// In their order.
        definitions: Vec<Definition>,
        /// The value.
        body: NodeId,
        /// Written as `where`.
        is_where: bool,
    },
    /// `[a, b]`
    List(Vec<NodeId>),
    /// `(a, b)`
    Tuple(Vec<NodeId>),
    /// `{ name = a }`
    Record(Vec<(Name, NodeId)>),
    /// `.0.(.x, .y.1)`: a function that gets; with values, `.(.0 = v)`, one that sets.
    Pattern(Vec<Branch>),
    /// `.[i]`
    Index(NodeId),
    /// `.[a:b:c]`, each of which may be missing.
    Slice([Option<NodeId>; 3]),
    /// `if c then a else b`
    If(NodeId, NodeId, NodeId),
    /// `? c = a ? d = b ? _ = z`: the last has no condition.
    Guards(Vec<(NodeId, NodeId)>, NodeId),
    /// `a op b`
    Binary(Op, NodeId, NodeId),
    /// `e :: T`
    Typed(NodeId, Type),
}

/// One place that a pattern reaches, as the whole way to it, and the value to set there.
#[derive(Clone, Debug, PartialEq)]
pub struct Branch {
    /// Selectors from the outside in.
    pub path: Vec<Selector>,
    /// What is set.
    pub value: Option<NodeId>,
}

/// A step into a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selector {
    /// `.0`
    Position(u32),
    /// `.name`
    Key(String),
}

/// An infix operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// `f . g`
    Compose,
    /// `+`
    Add,
    /// `-`
    Subtract,
    /// `*`
    Multiply,
    /// `/` of reals
    Divide,
    /// `//` of integers, towards minus infinity
    Quotient,
    /// `%` of integers, with the sign of the divisor
    Remainder,
    /// `<>` of strings and lists
    Append,
    /// `==`
    Equal,
    /// `!=`
    Unequal,
    /// `<`
    Less,
    /// `<=`
    AtMost,
    /// `>`
    Greater,
    /// `>=`
    AtLeast,
    /// `a && b`: b after a succeeded
    AndThen,
    /// `a || b`: b if a failed
    OrElse,
    /// `a & b`: b, while a runs
    Beside,
    /// `x |> f`
    Pipe,
}

/// The expressions of a module: children before parents.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Nodes {
    nodes: Vec<(Node, Place)>,
}

/// Which of two operators of one level is applied first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The left one.
    Left,
    /// The right one.
    Right,
    /// Neither: they don't stand beside each other without parentheses.
    Neither,
}

impl Op {
    /// All of them: as written, level (a higher one binds tighter), and what comes first within the level.
    const ALL: [(Op, &'static str, u8, Side); 18] = [
        (Op::Compose, ".", 9, Side::Right),
        (Op::Add, "+", 7, Side::Left),
        (Op::Subtract, "-", 7, Side::Left),
        (Op::Multiply, "*", 8, Side::Left),
        (Op::Divide, "/", 8, Side::Left),
        (Op::Quotient, "//", 8, Side::Left),
        (Op::Remainder, "%", 8, Side::Left),
        (Op::Append, "<>", 6, Side::Right),
        (Op::Equal, "==", 5, Side::Neither),
        (Op::Unequal, "!=", 5, Side::Neither),
        (Op::Less, "<", 5, Side::Neither),
        (Op::AtMost, "<=", 5, Side::Neither),
        (Op::Greater, ">", 5, Side::Neither),
        (Op::AtLeast, ">=", 5, Side::Neither),
        (Op::AndThen, "&&", 4, Side::Left),
        (Op::OrElse, "||", 3, Side::Left),
        (Op::Beside, "&", 2, Side::Right),
        (Op::Pipe, "|>", 1, Side::Left),
    ];

    /// As written.
    pub fn sign(self) -> &'static str {
        Op::ALL[self as usize].1
    }

    /// How tightly it binds: 1 to 9.
    pub fn level(self) -> u8 {
        Op::ALL[self as usize].2
    }

    /// Where the parentheses are, in a row of its level.
    pub fn side(self) -> Side {
        Op::ALL[self as usize].3
    }

    /// The operator that is written so, if there is one.
    pub fn from_sign(sign: &str) -> Option<Op> {
        Op::ALL.iter().find(|row| row.1 == sign).map(|row| row.0)
    }
}

impl Node {
    /// Calls a function with each expression that it consists of, in their order in the text.
    pub fn children(&self, each: &mut dyn FnMut(NodeId)) {
        match self {
            Node::Null | Node::Bool(_) | Node::Int(_) | Node::Real(_) | Node::Str(_) | Node::Name(_) => {}
            Node::Interpolated(_, parts) | Node::List(parts) | Node::Tuple(parts) => {
                parts.iter().for_each(|part| each(*part));
            }
            Node::Apply(function, arguments) => {
                each(*function);
                arguments.iter().for_each(|argument| each(*argument));
            }
            Node::Lambda(_, inner) | Node::Index(inner) | Node::Typed(inner, _) => each(*inner),
            Node::Let {
                definitions,
                body,
                is_where,
            } => {
                if *is_where {
                    each(*body);
                }
                definitions.iter().for_each(|definition| each(definition.body));
                if !*is_where {
                    each(*body);
                }
            }
            Node::Record(fields) => fields.iter().for_each(|field| each(field.1)),
            Node::Pattern(branches) => branches.iter().filter_map(|branch| branch.value).for_each(each),
            Node::Slice(bounds) => bounds.iter().flatten().for_each(|bound| each(*bound)),
            Node::If(condition, then, otherwise) => {
                each(*condition);
                each(*then);
                each(*otherwise);
            }
            Node::Guards(cases, otherwise) => {
                for (condition, value) in cases {
                    each(*condition);
                    each(*value);
                }
                each(*otherwise);
            }
            Node::Binary(_, left, right) => {
                each(*left);
                each(*right);
            }
        }
    }
}

impl Nodes {
    /// Adds an expression; who adds it has added what it contains.
    pub fn add(&mut self, node: Node, place: Place) -> NodeId {
        self.nodes.push((node, place));
        NodeId(self.nodes.len() as u32 - 1)
    }

    /// An expression.
    pub fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.0 as usize].0
    }

    /// Where it begins.
    pub fn place(&self, id: NodeId) -> Place {
        self.nodes[id.0 as usize].1
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }
}
