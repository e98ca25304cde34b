//! The evaluator: one loop over an explicit stack of frames, so that an expression may nest as deep as memory allows.
//! Strict, from left to right, but `if` and `catch` evaluate only what they need. Does no I/O; it owns its state, so that
//! an evaluation can be kept while the world goes on.

use crate::codec::msgpack::Reader;
use crate::codec::schema::{Type, Types};
use crate::core::eval::heap::{Heap, Range, Value};
use crate::core::eval::select;
use crate::core::eval::stop::{Eval, Stop};
use crate::core::eval::wire::{Encoder, decode};
use crate::error::{Error, Result};
use crate::expr::arena::{Expr, Exprs, Variable};
use crate::ids::{ExprId, TypeId};
use crate::limits::{EVAL_BYTES_MAX, EVAL_STEPS_MAX};

/// What an evaluation may use up.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    /// Steps.
    pub steps_max: u64,
    /// Bytes of memory, and bytes of the result.
    pub bytes_max: usize,
}

impl Default for Budget {
    fn default() -> Budget {
        Budget {
            steps_max: EVAL_STEPS_MAX,
            bytes_max: EVAL_BYTES_MAX,
        }
    }
}

/// How an evaluation ended.
#[derive(Debug)]
pub enum Outcome {
    /// [`Machine::write_result`] has the value.
    Done,
    /// The program raised, or a budget was used up.
    Raised(Box<Error>),
}

/// Evaluates an expression and appends its value to `out`, as canonical msgpack.
///
/// An expression that gives a function is applied to the arguments, which are canonical msgpack by their types.
///
/// # Errors
/// What the expression raises, and a budget used up (kind `raised`); an expression whose values don't fit what it does
/// with them, or a value that isn't of `result_type` (kind `manifest`).
pub fn run(
    exprs: &Exprs,
    types: &Types,
    root: ExprId,
    args: &[(&[u8], TypeId)],
    result_type: TypeId,
    out: &mut Vec<u8>,
) -> Result<()> {
    let mut machine = Machine::new(root, Budget::default());
    for (msgpack, ty) in args {
        machine.push_arg(types, msgpack, *ty)?;
    }
    match machine.run(exprs, types) {
        Outcome::Done => machine.write_result(exprs, types, result_type, out),
        Outcome::Raised(error) => Err(error),
    }
}

/// The checked data that an evaluation reads; it is handed in with every call, so that the machine borrows nothing.
#[derive(Clone, Copy)]
pub(super) struct Program<'p> {
    pub exprs: &'p Exprs,
    pub types: &'p Types,
}

impl Program<'_> {
    /// An element, argument or `let` value of a node.
    fn child(self, id: ExprId, position: u32) -> Option<ExprId> {
        let children = match self.exprs.node(id) {
            Expr::Container { elements, .. } => elements,
            Expr::Apply { args, .. } => args,
            Expr::Let { values, .. } => values,
            _ => return None,
        };
        self.exprs.children(children).get(position as usize).copied()
    }
}

/// What is done next.
#[derive(Clone, Copy, Debug)]
pub(super) enum Next {
    Evaluate(ExprId),
    /// Hand a value to the frame on top.
    Give(Value),
}

/// What waits for a value; its operands are on top of the operand stack.
#[derive(Clone, Copy, Debug)]
pub(super) enum Frame {
    /// Elements of a container; `next` is the element after the one that is evaluated.
    Container {
        id: ExprId,
        next: u32,
    },
    /// Arguments of an application, likewise; the function comes after them.
    Args {
        id: ExprId,
        next: u32,
    },
    /// Values of a `let`, likewise.
    Let {
        id: ExprId,
        next: u32,
    },
    /// The end of a `let`: that many locals go.
    Unlet {
        count: u32,
    },
    /// The function, for that many operands.
    Call {
        count: u32,
    },
    /// The body of a lambda: what to go back to.
    Return {
        base: u32,
        captures: Range,
    },
    If {
        then: ExprId,
        otherwise: ExprId,
    },
    Show {
        ty: TypeId,
    },
    Read {
        ty: TypeId,
    },
    Throw,
    Catch {
        fallback: ExprId,
        operands: u32,
        locals: u32,
    },
    /// The function of a map, then its list, then the results so far; the operands are these three.
    MapFunc {
        list: ExprId,
    },
    MapList,
    Map {
        results: u32,
    },
}

/// An evaluation: made with an expression, given arguments, run, asked for its result.
#[derive(Debug)]
pub struct Machine {
    budget: Budget,
    pub(super) steps: u64,
    next: Next,
    pub(super) heap: Heap,
    pub(super) frames: Vec<Frame>,
    pub(super) operands: Vec<Value>,
    pub(super) locals: Vec<Value>,
    /// Where the locals of the innermost function start, and what it captured.
    pub(super) base: u32,
    pub(super) captures: Range,
}

/// How many steps go by between looks at the stacks: they grow by a bounded amount with each.
const STEPS_PER_CHECK: u64 = 256;

impl Machine {
    /// An evaluation that has not begun.
    pub fn new(root: ExprId, budget: Budget) -> Machine {
        Machine {
            budget,
            steps: 0,
            heap: Heap::new(budget.bytes_max),
            next: Next::Evaluate(root),
            frames: Vec::new(),
            operands: Vec::new(),
            locals: Vec::new(),
            base: 0,
            captures: Range::default(),
        }
    }

    /// Takes a canonical value of that type from its msgpack.
    pub(super) fn decode(&mut self, types: &Types, ty: TypeId, reader: &mut Reader<'_>) -> Eval<Value> {
        decode(&mut self.heap, types, ty, reader, &mut self.operands, 0)
    }

    /// Adds an argument, to which the expression's value is applied.
    ///
    /// # Errors
    /// Bytes that are not one canonical value of the type; a value beyond the budget.
    pub fn push_arg(&mut self, types: &Types, msgpack: &[u8], ty: TypeId) -> Result<()> {
        let mut reader = Reader::new(msgpack);
        match self.decode(types, ty, &mut reader) {
            Ok(value) if reader.is_done() => {
                self.operands.push(value);
                Ok(())
            }
            Ok(_) => Err(Stop::misfit("argument has bytes after its value").error()),
            Err(stop) => Err(stop.error()),
        }
    }

    /// Runs to the end.
    pub fn run(&mut self, exprs: &Exprs, types: &Types) -> Outcome {
        if self.steps == 0 {
            let count = self.operands.len() as u32;
            self.frames.push(Frame::Call { count });
        }
        loop {
            match self.advance(Program { exprs, types }) {
                Ok(()) => return Outcome::Done,
                Err(Stop::Fatal(error)) => return Outcome::Raised(error),
                Err(Stop::Raised(error)) => {
                    if !self.unwind() {
                        return Outcome::Raised(error);
                    }
                }
            }
        }
    }

    /// Appends the value of an evaluation that is done, as canonical msgpack.
    ///
    /// # Errors
    /// A value that is not of the type, or is too large or deep to write.
    pub fn write_result(&self, exprs: &Exprs, types: &Types, ty: TypeId, out: &mut Vec<u8>) -> Result<()> {
        let Next::Give(value) = self.next else {
            return Err(Stop::misfit("expression has no value yet").error());
        };
        let start = out.len();
        let mut encoder = Encoder {
            heap: &self.heap,
            exprs,
            types,
            bytes_max: start.saturating_add(self.budget.bytes_max),
            out,
        };
        encoder.encode(value, ty, 0).map_err(|refusal| {
            out.truncate(start);
            refusal.stop("result").error()
        })
    }

    /// How many steps were taken.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// Goes on until there is a value and no frame waits for it.
    fn advance(&mut self, program: Program<'_>) -> Eval {
        loop {
            self.steps += 1;
            if self.steps.is_multiple_of(STEPS_PER_CHECK) {
                self.check_budget()?;
            }
            self.next = match self.next {
                Next::Evaluate(id) => self.evaluate(program, id)?,
                Next::Give(value) => match self.frames.pop() {
                    Some(frame) => self.resume(program, frame, value)?,
                    None => return Ok(()),
                },
            };
        }
    }

    fn check_budget(&self) -> Eval {
        if self.steps >= self.budget.steps_max {
            return Err(Stop::too_long(self.budget.steps_max));
        }
        let stacks = (self.operands.len() + self.locals.len()) * size_of::<Value>()
            + self.frames.len() * size_of::<Frame>();
        self.heap.reserve(stacks)
    }

    /// Goes back to the innermost `catch`, if there is one.
    fn unwind(&mut self) -> bool {
        while let Some(frame) = self.frames.pop() {
            match frame {
                Frame::Return { base, captures } => (self.base, self.captures) = (base, captures),
                Frame::Catch {
                    fallback,
                    operands,
                    locals,
                } => {
                    self.operands.truncate(operands as usize);
                    self.locals.truncate(locals as usize);
                    self.next = Next::Evaluate(fallback);
                    return true;
                }
                _ => {}
            }
        }
        false
    }

    fn evaluate(&mut self, program: Program<'_>, id: ExprId) -> Eval<Next> {
        let exprs = program.exprs;
        Ok(Next::Give(match exprs.node(id) {
            Expr::Nil => Value::Nil,
            Expr::Bool(value) => Value::Bool(value),
            Expr::Int(value) => Value::Int(value),
            Expr::Float(value) => Value::Float(value),
            Expr::Str(text) => Value::Literal(text),
            Expr::Encoded { ty, msgpack } => {
                self.decode(program.types, ty, &mut Reader::new(exprs.bytes(msgpack)))?
            }
            Expr::Variable(variable) => self.variable(variable),
            Expr::Lambda { captures, .. } => {
                let captures = exprs.captures(captures);
                for variable in captures {
                    let value = self.variable(*variable);
                    self.operands.push(value);
                }
                Value::Closure(id, self.take_operands(captures.len())?)
            }
            Expr::Interpolation(_) | Expr::Pattern { .. } | Expr::Index | Expr::Slice => {
                Value::Closure(id, Range::default())
            }
            Expr::Container { elements, .. } => match exprs.children(elements).first() {
                Some(first) => return self.wait(Frame::Container { id, next: 1 }, *first),
                None => self.container(program, id)?,
            },
            Expr::Apply { func, args } => {
                return match exprs.children(args).first() {
                    Some(first) => self.wait(Frame::Args { id, next: 1 }, *first),
                    None => self.wait(Frame::Call { count: 0 }, func),
                };
            }
            Expr::Let { values, body } => {
                return match exprs.children(values).first() {
                    Some(first) => self.wait(Frame::Let { id, next: 1 }, *first),
                    None => Ok(Next::Evaluate(body)),
                };
            }
            Expr::Map { func, list } => return self.wait(Frame::MapFunc { list }, func),
            Expr::If {
                cond,
                then,
                otherwise,
            } => return self.wait(Frame::If { then, otherwise }, cond),
            Expr::Show { ty, child } => return self.wait(Frame::Show { ty }, child),
            Expr::Read { ty, child } => return self.wait(Frame::Read { ty }, child),
            Expr::Throw { message } => return self.wait(Frame::Throw, message),
            Expr::Catch { fallible, fallback } => {
                let frame = Frame::Catch {
                    fallback,
                    operands: self.operands.len() as u32,
                    locals: self.locals.len() as u32,
                };
                return self.wait(frame, fallible);
            }
        }))
    }

    fn resume(&mut self, program: Program<'_>, frame: Frame, value: Value) -> Eval<Next> {
        let exprs = program.exprs;
        match frame {
            Frame::Container { id, next } => {
                self.operands.push(value);
                match program.child(id, next) {
                    Some(child) => self.wait(Frame::Container { id, next: next + 1 }, child),
                    None => Ok(Next::Give(self.container(program, id)?)),
                }
            }
            Frame::Args { id, next } => {
                self.operands.push(value);
                match (program.child(id, next), exprs.node(id)) {
                    (Some(child), _) => self.wait(Frame::Args { id, next: next + 1 }, child),
                    (None, Expr::Apply { func, .. }) => self.wait(Frame::Call { count: next }, func),
                    (None, _) => Ok(Next::Give(value)),
                }
            }
            Frame::Let { id, next } => {
                self.operands.push(value);
                match (program.child(id, next), exprs.node(id)) {
                    (Some(child), _) => self.wait(Frame::Let { id, next: next + 1 }, child),
                    (None, Expr::Let { body, .. }) => {
                        let start = self.operands.len() - next as usize;
                        self.locals.extend(self.operands.drain(start..));
                        // A function's locals go when it returns.
                        if !matches!(self.frames.last(), Some(Frame::Return { .. })) {
                            self.frames.push(Frame::Unlet { count: next });
                        }
                        Ok(Next::Evaluate(body))
                    }
                    (None, _) => Ok(Next::Give(value)),
                }
            }
            Frame::Unlet { count } => {
                self.locals.truncate(self.locals.len() - count as usize);
                Ok(Next::Give(value))
            }
            Frame::Call { count } => self.call(program, value, count as usize),
            Frame::Return { base, captures } => {
                self.locals.truncate(self.base as usize);
                (self.base, self.captures) = (base, captures);
                Ok(Next::Give(value))
            }
            Frame::If { then, otherwise } => match value {
                Value::Bool(true) => Ok(Next::Evaluate(then)),
                Value::Bool(false) => Ok(Next::Evaluate(otherwise)),
                _ => Err(Stop::misfit(format!(
                    "condition is {}, expected a boolean",
                    value.name()
                ))),
            },
            Frame::Show { ty } => self.show(program, value, ty).map(Next::Give),
            Frame::Read { ty } => self.read(program, value, ty).map(Next::Give),
            Frame::Throw => {
                let message = self.text(exprs, value, "message of a throw")?;
                Err(Stop::raised(message))
            }
            Frame::Catch { .. } => Ok(Next::Give(value)),
            Frame::MapFunc { list } => {
                self.operands.push(value);
                self.wait(Frame::MapList, list)
            }
            Frame::MapList => {
                select::list_len(value, "map")?;
                self.operands.push(value);
                self.map(program, 0)
            }
            Frame::Map { results } => {
                self.operands.push(value);
                self.map(program, results as usize + 1)
            }
        }
    }

    fn wait(&mut self, frame: Frame, child: ExprId) -> Eval<Next> {
        self.frames.push(frame);
        Ok(Next::Evaluate(child))
    }

    fn variable(&self, variable: Variable) -> Value {
        match variable {
            Variable::Local(slot) => self.locals[self.base as usize + slot as usize],
            Variable::Captured(position) => self.heap.value(self.captures, position as usize),
        }
    }

    /// Moves the top operands to the heap.
    pub(super) fn take_operands(&mut self, count: usize) -> Eval<Range> {
        let start = self.operands.len() - count;
        self.heap.add_values(self.operands.drain(start..))
    }

    /// A container from its elements, the top operands.
    fn container(&mut self, program: Program<'_>, id: ExprId) -> Eval<Value> {
        let Expr::Container { ty, elements } = program.exprs.node(id) else {
            return Ok(Value::Nil);
        };
        if let Type::Optional(_) = program.types.node(ty) {
            return Ok(match elements.is_empty() {
                true => Value::Nil,
                false => self.operands.pop().unwrap_or(Value::Nil),
            });
        }
        let parts = self.take_operands(elements.len())?;
        Ok(match program.types.node(ty) {
            Type::Tuple(_) => Value::Tuple(parts),
            Type::Record(_) => Value::Record(ty, parts),
            _ => Value::List(parts),
        })
    }
}
