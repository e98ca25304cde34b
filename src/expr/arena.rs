//! The expression arena: nodes by id, children before parents, lists in side tables. Parses and evaluates nothing.
//!
//! Names are gone: a variable is either local (a parameter or `let` of the innermost lambda around it) or captured (a
//! local of a lambda further out, copied when the closure is made). Whoever adds nodes keeps the promise that every
//! id, slot and capture exists; [`crate::expr::load`] is the one that checks text for it.

use crate::expr::process::{Channel, Conversion, Pipe, Verb};
use crate::ids::{ExprId, PoolId, Span, TypeId};

/// One expression; what it contains is referred to by id.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Expr {
    /// null
    Nil,
    /// true or false
    Bool(bool),
    /// An integer of any type.
    Int(i64),
    /// A float of either width.
    Float(f64),
    /// A string: [`Exprs::text`].
    Str(Span),
    /// Any other constant, as the msgpack of its type: [`Exprs::bytes`].
    Encoded {
        /// Type of the constant.
        ty: TypeId,
        /// Its msgpack.
        msgpack: Span,
    },
    /// A list, tuple, record or optional of that type.
    Container {
        /// What it is; its arity was checked against `elements`.
        ty: TypeId,
        /// [`Exprs::children`]; of an optional none (null) or one.
        elements: Span,
    },
    /// A function applied to arguments: fewer than it takes give a closure, more apply its result again.
    Apply {
        /// What is applied.
        func: ExprId,
        /// [`Exprs::children`]
        args: Span,
    },
    /// A function.
    Lambda {
        /// Number of parameters, the first local slots of the body.
        params: u32,
        /// What the body takes from around the lambda: [`Exprs::captures`].
        captures: Span,
        /// The result.
        body: ExprId,
    },
    /// A variable.
    Variable(Variable),
    /// Values given names, in the local slots next after those in use.
    Let {
        /// [`Exprs::children`], at least one; none of them knows the names.
        values: Span,
        /// Where the names are known.
        body: ExprId,
    },
    /// A function of one string less than it has pieces, which it joins: [`Exprs::texts`].
    Interpolation(Span),
    /// A function: of one argument it gets the places, of more it is a copy of the first with those places set.
    Pattern {
        /// The places, in the order of the arguments: [`Exprs::places`].
        places: Span,
    },
    /// The function (index, list), Python's `list[index]`.
    Index,
    /// The function (start, stop, step, list), Python's `list[start:stop:step]`, where null means left out.
    Slice,
    /// A function of a pool: [`Exprs::foreign`].
    Foreign(u32),
    /// A function of a program's words and of what it reads: [`Exprs::conversion`].
    Cmd(u32),
    /// A function of one or two values.
    Operator {
        /// What it does.
        op: Operator,
        /// Type of its operands.
        ty: TypeId,
    },
    /// Something done with the values of its arguments.
    Strict {
        /// What.
        op: Strict,
        /// [`Exprs::children`], as many as `op` says.
        args: Span,
    },
    /// A value of which nothing is left to do when it is used.
    Joined(ExprId),
    /// One after the other has succeeded; the value of the second.
    Next {
        /// Done to the end, its value dropped.
        first: ExprId,
        /// The value.
        then: ExprId,
    },
    /// Two at the same time; the value of the second.
    Beside {
        /// Its value is dropped, its failure is not.
        first: ExprId,
        /// The value.
        then: ExprId,
    },
    /// A tuple of the value and null, or of null and the message of what it raised.
    Try(ExprId),
    /// The value of the first that succeeds; the others are given up: [`Exprs::children`].
    Race(Span),
    /// One of two, of which the other is not evaluated.
    If {
        /// A boolean.
        cond: ExprId,
        /// The value if it is true.
        then: ExprId,
        /// The value if it is false.
        otherwise: ExprId,
    },
    /// The JSON text of a value.
    Show {
        /// Type of the value.
        ty: TypeId,
        /// The value.
        child: ExprId,
    },
    /// The value of a JSON text; text that is not of the type raises.
    Read {
        /// Type of the value.
        ty: TypeId,
        /// The text.
        child: ExprId,
    },
    /// Raises.
    Throw {
        /// The message, a string.
        message: ExprId,
    },
    /// A value, or another when it raises.
    Catch {
        /// What may raise.
        fallible: ExprId,
        /// Evaluated only after that.
        fallback: ExprId,
    },
}

/// What [`Expr::Strict`] does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strict {
    /// Of a function and a list: the results for each element.
    Map,
    /// Of a function and a list: the elements for which it is true.
    Filter,
    /// Of a function, a first value and a list: the function of what came so far and the next element, again and again.
    Fold,
    /// Of a width, a function and a list: the results, so many at once at most.
    Parallel {
        /// Each result is what [`Expr::Try`] gives.
        collect: bool,
    },
    /// Of milliseconds: null after that time.
    Sleep,
    /// Of milliseconds: the value if it takes no longer.
    Timeout(ExprId),
    /// Of how often in all, and milliseconds: the value, begun again after that time (doubled each time) when it raises.
    Retry(ExprId),
    /// Of a program's words, if it is one, and of options, if there are any: a worker process. [`Exprs::channel`].
    Worker(u32),
    /// Of a worker process and what it takes.
    OnWorker(Verb),
    /// Of a value and what each stage takes: what comes out. [`Exprs::pipe`].
    Pipe(u32),
}

/// What [`Expr::Operator`] does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Operator {
    Add,
    Subtract,
    Multiply,
    Divide,
    Quotient,
    Remainder,
    Append,
    Equal,
    Unequal,
    Less,
    AtMost,
    Greater,
    AtLeast,
    Zip,
    Not,
    Real,
    Length,
    Concat,
}

impl Operator {
    const ALL: [(&'static str, Operator); 18] = [
        ("add", Operator::Add),
        ("subtract", Operator::Subtract),
        ("multiply", Operator::Multiply),
        ("divide", Operator::Divide),
        ("quotient", Operator::Quotient),
        ("remainder", Operator::Remainder),
        ("append", Operator::Append),
        ("equal", Operator::Equal),
        ("unequal", Operator::Unequal),
        ("less", Operator::Less),
        ("at_most", Operator::AtMost),
        ("greater", Operator::Greater),
        ("at_least", Operator::AtLeast),
        ("zip", Operator::Zip),
        ("not", Operator::Not),
        ("real", Operator::Real),
        ("length", Operator::Length),
        ("concat", Operator::Concat),
    ];

    /// The operator of that name in a manifest.
    pub fn from_name(name: &str) -> Option<Operator> {
        Operator::ALL.iter().find(|row| row.0 == name).map(|row| row.1)
    }

    /// Its name in a manifest.
    pub fn name(self) -> &'static str {
        Operator::ALL[self as usize].0
    }

    /// How many operands it takes.
    pub fn arity(self) -> usize {
        match self {
            Operator::Not | Operator::Real | Operator::Length | Operator::Concat => 1,
            _ => 2,
        }
    }
}

/// A function of a pool, as a composition uses it.
#[derive(Clone, Debug, PartialEq)]
pub struct Foreign {
    /// The pool.
    pub pool: PoolId,
    /// Under which the pool finds it.
    pub mid: i64,
    /// Types of its arguments.
    pub params: Box<[TypeId]>,
    /// Type of its result.
    pub returns: TypeId,
    /// Where it stands in the composition, for people: `stats.loc:12`; may be empty.
    pub at: Box<str>,
    /// The definition that calls it there.
    pub name: Box<str>,
    /// Its own name; may be empty.
    pub function: Box<str>,
}

/// Where a variable's value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Variable {
    /// A slot of the innermost lambda: its parameters, then the `let`s around this place.
    Local(u32),
    /// A position in the captures of the innermost lambda.
    Captured(u32),
}

/// A step from a value into a part of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The part at a position of a tuple or record.
    Position(u32),
    /// The field of a record with that key: [`Exprs::text`].
    Key(Span),
}

/// All expressions of a manifest.
#[derive(Debug, Default)]
pub struct Exprs {
    nodes: Vec<Expr>,
    children: Vec<ExprId>,
    captures: Vec<Variable>,
    texts: Vec<Span>,
    places: Vec<Span>,
    steps: Vec<Step>,
    strings: String,
    bytes: Vec<u8>,
    foreign: Vec<Foreign>,
    conversions: Vec<Conversion>,
    channels: Vec<Channel>,
    pipes: Vec<Pipe>,
}

impl Exprs {
    /// The expression of that id.
    pub fn node(&self, id: ExprId) -> Expr {
        self.nodes[id.index()]
    }

    /// Elements or arguments.
    pub fn children(&self, span: Span) -> &[ExprId] {
        &self.children[span.range()]
    }

    /// What a lambda captures, each as seen from around it.
    pub fn captures(&self, span: Span) -> &[Variable] {
        &self.captures[span.range()]
    }

    /// The pieces of an interpolation.
    pub fn texts(&self, span: Span) -> &[Span] {
        &self.texts[span.range()]
    }

    /// The places of a pattern; each is the way to it: [`Exprs::steps`].
    pub fn places(&self, span: Span) -> &[Span] {
        &self.places[span.range()]
    }

    /// The way to a place; no steps lead to the whole value.
    pub fn steps(&self, span: Span) -> &[Step] {
        &self.steps[span.range()]
    }

    /// A string.
    pub fn text(&self, span: Span) -> &str {
        &self.strings[span.range()]
    }

    /// An encoded constant.
    pub fn bytes(&self, span: Span) -> &[u8] {
        &self.bytes[span.range()]
    }

    /// A function of a pool.
    pub fn foreign(&self, position: u32) -> &Foreign {
        &self.foreign[position as usize]
    }

    /// What goes through a program.
    pub fn conversion(&self, position: u32) -> Conversion {
        self.conversions[position as usize]
    }

    /// A kind of worker process.
    pub fn channel(&self, position: u32) -> &Channel {
        &self.channels[position as usize]
    }

    /// A pipe.
    pub fn pipe(&self, position: u32) -> &Pipe {
        &self.pipes[position as usize]
    }

    /// What a composition calls a function of a pool, if it does.
    pub fn foreign_name(&self, pool: PoolId, mid: i64) -> Option<&str> {
        let mut known = self.foreign.iter();
        let found = known.find(|foreign| (foreign.pool, foreign.mid) == (pool, mid))?;
        Some(&found.function)
            .filter(|name| !name.is_empty())
            .map(|name| &**name)
    }

    /// How many entries all tables have together, strings in bytes.
    pub fn size(&self) -> usize {
        self.nodes.len()
            + self.children.len()
            + self.captures.len()
            + self.texts.len()
            + self.places.len()
            + self.steps.len()
            + self.strings.len()
            + self.bytes.len()
            + self.foreign.len()
            + self.conversions.len()
            + self.channels.len()
            + self.pipes.len()
    }

    pub(crate) fn add(&mut self, expr: Expr) -> ExprId {
        self.nodes.push(expr);
        ExprId(self.nodes.len() as u32 - 1)
    }

    pub(crate) fn add_foreign(&mut self, foreign: Foreign) -> ExprId {
        self.foreign.push(foreign);
        self.add(Expr::Foreign(self.foreign.len() as u32 - 1))
    }

    pub(crate) fn add_conversion(&mut self, conversion: Conversion) -> ExprId {
        self.conversions.push(conversion);
        self.add(Expr::Cmd(self.conversions.len() as u32 - 1))
    }

    pub(crate) fn add_channel(&mut self, channel: Channel) -> u32 {
        self.channels.push(channel);
        self.channels.len() as u32 - 1
    }

    pub(crate) fn add_pipe(&mut self, pipe: Pipe) -> u32 {
        self.pipes.push(pipe);
        self.pipes.len() as u32 - 1
    }

    pub(crate) fn add_children(&mut self, children: &[ExprId]) -> Span {
        extend(&mut self.children, children)
    }

    pub(crate) fn add_captures(&mut self, captures: &[Variable]) -> Span {
        extend(&mut self.captures, captures)
    }

    pub(crate) fn add_texts(&mut self, texts: &[Span]) -> Span {
        extend(&mut self.texts, texts)
    }

    pub(crate) fn add_places(&mut self, places: &[Span]) -> Span {
        extend(&mut self.places, places)
    }

    pub(crate) fn add_steps(&mut self, steps: &[Step]) -> Span {
        extend(&mut self.steps, steps)
    }

    pub(crate) fn add_text(&mut self, text: &str) -> Span {
        let start = self.strings.len();
        self.strings.push_str(text);
        Span::new(start, text.len())
    }

    pub(crate) fn add_bytes(&mut self, bytes: &[u8]) -> Span {
        extend(&mut self.bytes, bytes)
    }
}

/// Appends entries; the loader's bound on [`Exprs::size`] keeps every table below `u32::MAX`.
fn extend<T: Copy>(table: &mut Vec<T>, entries: &[T]) -> Span {
    let start = table.len();
    table.extend_from_slice(entries);
    Span::new(start, entries.len())
}
