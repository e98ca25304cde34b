//! The machine that evaluates: nodes that wait on a stack of frames, their operands and loops on stacks beside. It never
//! recurses, and its budget bounds what it does.

use super::arena::{Arena, Gives, Node, NodeId};
use super::budget::{Budget, bad, unfit};
use super::function::call;
use super::operator;
use crate::error::Error;
use crate::flow::value::Value;
use std::rc::Rc;

/// A node that waits for what it contains.
#[derive(Clone, Copy)]
struct Frame {
    id: NodeId,
    /// Which child it waits for.
    done: u32,
    /// Operands below it.
    base: u32,
}

/// Stages of a loop: it waits for its range, for a test, for a value to gather.
const TEST: u32 = 1;
const VALUE: u32 = 2;

/// Stages of `&&` and `||`: the left operand is waited for, the right one, the right one after the left has failed.
const LEFT: u32 = 0;
const RIGHT: u32 = 1;
const HELD: u32 = 2;

/// A loop under way.
struct Running {
    over: Value,
    place: usize,
    key: Value,
    value: Value,
    /// Of a map each key before its value.
    gathered: Vec<Value>,
    count: u32,
    /// What the first test that failed said, where another may still decide.
    failed: Option<Failed>,
}

/// What comes next.
enum Next {
    Enter(NodeId),
    Give(Value),
}

/// An error, and the node that it arose at.
pub(super) type Failed = (Box<Error>, NodeId);

type Step = Result<Next, Failed>;

/// Evaluates one arena.
pub(super) struct Machine<'a> {
    arena: &'a Arena,
    bindings: &'a [(&'a str, &'a Value)],
    frames: Vec<Frame>,
    operands: Vec<Value>,
    loops: Vec<Running>,
    /// What left operands failed with whose right ones may still decide.
    held: Vec<Failed>,
    budget: Budget,
}

impl<'a> Machine<'a> {
    pub fn new(arena: &'a Arena, bindings: &'a [(&'a str, &'a Value)]) -> Machine<'a> {
        Machine {
            arena,
            bindings,
            frames: Vec::new(),
            operands: Vec::new(),
            loops: Vec::new(),
            held: Vec::new(),
            budget: Budget::new(),
        }
    }

    /// The value of a node; `builds` asks for a check of its size.
    pub fn run(mut self, root: NodeId, builds: bool) -> Result<Value, Failed> {
        let mut next = Next::Enter(root);
        loop {
            let step = match next {
                Next::Enter(id) => self.enter(id),
                Next::Give(value) => match self.frames.pop() {
                    Some(frame) => self.resume(frame, value),
                    None if builds => {
                        let checked = operator::check_size(&value, &mut self.budget);
                        return checked.map(|()| value).map_err(|error| (error, root));
                    }
                    None => return Ok(value),
                },
            };
            next = match step {
                Ok(next) => next,
                Err(failed) => self.unwind(failed)?,
            };
        }
    }

    fn wait(&mut self, id: NodeId, child: NodeId) -> Next {
        self.frames.push(Frame {
            id,
            done: 0,
            base: self.operands.len() as u32,
        });
        Next::Enter(child)
    }

    fn enter(&mut self, id: NodeId) -> Step {
        self.budget.step().map_err(|error| (error, id))?;
        Ok(match self.arena.node(id) {
            Node::Constant(number) => Next::Give(self.arena.constants[number as usize].clone()),
            Node::Name(number) => {
                let name = &*self.arena.names[number as usize];
                match self.bindings.iter().find(|bound| bound.0 == name) {
                    Some(bound) => Next::Give(bound.1.clone()),
                    None => return Err((bad(format!("there is no name '{name}'")), id)),
                }
            }
            Node::Local { depth, is_key } => {
                let running = &self.loops[depth as usize];
                let value = if is_key { &running.key } else { &running.value };
                Next::Give(value.clone())
            }
            Node::Field { of, .. } | Node::Has { of, .. } | Node::Index { of, .. } => self.wait(id, of),
            Node::Not(of) | Node::Negate(of) | Node::Matches { text: of, .. } => self.wait(id, of),
            Node::Binary { left, .. } | Node::Logic { left, .. } => self.wait(id, left),
            Node::If { cond, .. } => self.wait(id, cond),
            Node::List(span) | Node::Map(span) | Node::Call { args: span, .. } => {
                match self.arena.children(span).first() {
                    Some(first) => self.wait(id, *first),
                    None => return self.collect(id, self.operands.len()),
                }
            }
            Node::Loop(number) => {
                let over = self.arena.loops[number as usize].over;
                self.wait(id, over)
            }
        })
    }

    /// What a node does with the value that it has waited for.
    fn resume(&mut self, mut frame: Frame, value: Value) -> Step {
        let id = frame.id;
        let budget = &mut self.budget;
        let given = match self.arena.node(id) {
            Node::Field { name, .. } => operator::field(&value, &self.arena.constants[name as usize], budget),
            Node::Has { name, .. } => {
                operator::has(&value, &self.arena.constants[name as usize], budget).map(Value::Bool)
            }
            Node::Not(_) => match value {
                Value::Bool(truth) => Ok(Value::Bool(!truth)),
                other => Err(unfit("'!'", &other)),
            },
            Node::Negate(_) => operator::negate(&value),
            Node::Matches { pattern, .. } => {
                let pattern = &self.arena.patterns[pattern as usize];
                match &value {
                    Value::Str(text) => pattern.is_match(text, budget).map(Value::Bool),
                    other => Err(unfit("'matches'", other)),
                }
            }
            Node::Index { key: right, .. } | Node::Binary { right, .. } if frame.done == 0 => {
                frame.done = 1;
                self.operands.push(value);
                self.frames.push(frame);
                return Ok(Next::Enter(right));
            }
            Node::Index { .. } => {
                let of = self.operands.pop().unwrap_or_default();
                operator::index(&of, &value, budget)
            }
            Node::Binary { op, .. } => {
                let left = self.operands.pop().unwrap_or_default();
                operator::binary(op, left, value, budget)
            }
            Node::If { then, otherwise, .. } => match value {
                Value::Bool(true) => return Ok(Next::Enter(then)),
                Value::Bool(false) => return Ok(Next::Enter(otherwise)),
                other => Err(unfit("the condition of '?'", &other)),
            },
            Node::Logic { is_or, right, .. } => return self.logic(frame, value, is_or, right),
            Node::List(span) | Node::Map(span) | Node::Call { args: span, .. } => {
                self.operands.push(value);
                frame.done += 1;
                let Some(child) = self.arena.children(span).get(frame.done as usize) else {
                    return self.collect(id, frame.base as usize);
                };
                self.frames.push(frame);
                return Ok(Next::Enter(*child));
            }
            Node::Loop(number) => return self.repeat(frame, number, value),
            Node::Constant(_) | Node::Name(_) | Node::Local { .. } => Ok(value),
        };
        given.map(Next::Give).map_err(|error| (error, id))
    }

    /// A list, map or result of what stands on the stack from there on.
    fn collect(&mut self, id: NodeId, base: usize) -> Step {
        let budget = &mut self.budget;
        let given = match self.arena.node(id) {
            Node::Call { function, .. } => {
                let given = call(function, &self.operands[base..], budget);
                self.operands.truncate(base);
                given
            }
            node => {
                let values = self.operands.split_off(base);
                let counted = budget.values(values.len());
                counted.and_then(|()| match node {
                    Node::Map(_) => operator::map(values, budget),
                    _ => Ok(Value::list(values)),
                })
            }
        };
        given.map(Next::Give).map_err(|error| (error, id))
    }

    /// The next of `&&` and `||`, either operand of which decides whatever the other is.
    fn logic(&mut self, mut frame: Frame, value: Value, is_or: bool, right: NodeId) -> Step {
        let sign = if is_or { "'||'" } else { "'&&'" };
        match (value, frame.done) {
            (Value::Bool(truth), stage) if truth == is_or => {
                if stage == HELD {
                    self.held.pop();
                }
                Ok(Next::Give(Value::Bool(truth)))
            }
            (Value::Bool(_), LEFT) => {
                frame.done = RIGHT;
                self.frames.push(frame);
                Ok(Next::Enter(right))
            }
            (value @ Value::Bool(_), RIGHT) => Ok(Next::Give(value)),
            // What isn't a boolean is as good as an error; so is what the left operand failed with.
            (value, _) => {
                self.frames.push(frame);
                Err((unfit(sign, &value), frame.id))
            }
        }
    }

    /// The next of a loop, which waits for what its frame says.
    fn repeat(&mut self, mut frame: Frame, number: u32, value: Value) -> Step {
        let rows = self.arena.loops[number as usize];
        let id = frame.id;
        if frame.done == 0 {
            if !rows.is_flat {
                operator::check_size(&value, &mut self.budget).map_err(|error| (error, id))?;
            }
            let is_bind = rows.gives == Gives::Bind;
            if !is_bind && !matches!(value, Value::List(_) | Value::Map(_)) {
                return Err((unfit("a loop", &value), id));
            }
            let (over, value) = if is_bind {
                (Value::Null, value)
            } else {
                (value, Value::Null)
            };
            self.loops.push(Running {
                over,
                place: 0,
                key: Value::Null,
                value,
                gathered: Vec::new(),
                count: 0,
                failed: None,
            });
            let Some(bound) = rows.value.filter(|_| is_bind) else {
                return self.advance(frame);
            };
            frame.done = VALUE;
            self.frames.push(frame);
            return Ok(Next::Enter(bound));
        }
        let Some(running) = self.loops.last_mut() else {
            return Ok(Next::Give(value));
        };
        if frame.done == VALUE {
            if rows.gives == Gives::Bind {
                self.loops.pop();
                return Ok(Next::Give(value));
            }
            if rows.gives == Gives::Map {
                running.gathered.push(running.key.clone());
            }
            running.gathered.push(value);
            return self.gathered(frame);
        }
        match (rows.gives, value) {
            (Gives::All, Value::Bool(false)) | (Gives::Exists, Value::Bool(true)) => {
                self.loops.pop();
                Ok(Next::Give(Value::Bool(rows.gives == Gives::Exists)))
            }
            (Gives::All, Value::Bool(true)) | (_, Value::Bool(false)) => self.advance(frame),
            (Gives::ExistsOne, Value::Bool(true)) => {
                running.count += 1;
                self.advance(frame)
            }
            (Gives::Filter, Value::Bool(true)) => {
                let element = running.value.clone();
                running.gathered.push(element);
                self.gathered(frame)
            }
            (_, Value::Bool(true)) => {
                frame.done = VALUE;
                self.frames.push(frame);
                Ok(Next::Enter(rows.value.unwrap_or(id)))
            }
            (_, other) => {
                self.frames.push(frame);
                Err((unfit("the test of a loop", &other), id))
            }
        }
    }

    fn gathered(&mut self, frame: Frame) -> Step {
        match self.budget.values(1) {
            Ok(()) => self.advance(frame),
            Err(error) => Err((error, frame.id)),
        }
    }

    /// The next element of the innermost loop, or its end.
    fn advance(&mut self, mut frame: Frame) -> Step {
        let Node::Loop(number) = self.arena.node(frame.id) else {
            return Ok(Next::Give(Value::Null));
        };
        let rows = self.arena.loops[number as usize];
        let Some(running) = self.loops.last_mut() else {
            return Ok(Next::Give(Value::Null));
        };
        let place = running.place;
        let found = match &running.over {
            Value::List(elements) => {
                let element = elements.get(place).cloned();
                element.map(|element| (Value::Int(place as i64), element))
            }
            // A single variable stands for the key.
            Value::Map(entries) if rows.has_key => entries.get(place).cloned(),
            Value::Map(entries) => entries.get(place).map(|entry| (Value::Null, entry.0.clone())),
            _ => None,
        };
        if let Some((key, value)) = found
            && let Some(child) = rows.test.or(rows.value)
        {
            (running.key, running.value) = (key, value);
            running.place += 1;
            frame.done = if rows.test.is_some() { TEST } else { VALUE };
            self.frames.push(frame);
            return Ok(Next::Enter(child));
        }
        let Some(done) = self.loops.pop() else {
            return Ok(Next::Give(Value::Null));
        };
        if let Some(failed) = done.failed {
            return Err(failed);
        }
        Ok(Next::Give(match rows.gives {
            Gives::All => Value::Bool(true),
            Gives::Exists => Value::Bool(false),
            Gives::ExistsOne => Value::Bool(done.count == 1),
            Gives::Map => {
                let mut values = done.gathered.into_iter();
                let mut entries = Vec::with_capacity(values.len() / 2);
                while let (Some(key), Some(value)) = (values.next(), values.next()) {
                    entries.push((key, value));
                }
                Value::Map(Rc::new(entries))
            }
            Gives::Filter | Gives::List | Gives::Bind => Value::list(done.gathered),
        }))
    }

    /// Gives up what waits, up to where another operand or element may still decide.
    fn unwind(&mut self, mut failed: Failed) -> Step {
        if self.budget.is_spent() {
            return Err(failed);
        }
        while let Some(mut frame) = self.frames.pop() {
            self.operands.truncate(frame.base as usize);
            match self.arena.node(frame.id) {
                Node::Logic { right, .. } if frame.done == LEFT => {
                    self.held.push(failed);
                    frame.done = HELD;
                    self.frames.push(frame);
                    return Ok(Next::Enter(right));
                }
                Node::Logic { .. } if frame.done == HELD => {
                    failed = self.held.pop().unwrap_or(failed);
                }
                Node::Loop(number) if frame.done != 0 => {
                    let gives = self.arena.loops[number as usize].gives;
                    let Some(running) = self.loops.last_mut() else {
                        continue;
                    };
                    if !matches!(gives, Gives::All | Gives::Exists) {
                        self.loops.pop();
                        continue;
                    }
                    running.failed.get_or_insert(failed);
                    match self.advance(frame) {
                        Ok(next) => return Ok(next),
                        Err(again) => failed = again,
                    }
                }
                _ => {}
            }
        }
        Err(failed)
    }
}
