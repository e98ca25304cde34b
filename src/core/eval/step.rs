//! The steps of one strand: what each expression begins, and what each frame does with the value that it waited for. A step
//! that has to wait changes nothing before it says so, since it will be taken again.

use crate::codec::msgpack::Reader;
use crate::codec::schema::Type;
use crate::core::eval::fiber::{Fiber, Frame, Next};
use crate::core::eval::heap::{Range, Value};
use crate::core::eval::machine::{Machine, Program};
use crate::core::eval::scope::end_of;
use crate::core::eval::stop::{Eval, Stop};
use crate::expr::arena::{Expr, Variable};
use crate::ids::ExprId;

impl Machine {
    pub(super) fn evaluate(&mut self, program: Program<'_>, id: ExprId) -> Eval<Next> {
        let exprs = program.exprs;
        let node = exprs.node(id);
        Ok(Next::Give(match node {
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
                    self.fiber.operands.push(value);
                }
                Value::Closure(id, self.take_operands(captures.len())?)
            }
            Expr::Interpolation(_)
            | Expr::Pattern { .. }
            | Expr::Index
            | Expr::Slice
            | Expr::Foreign(_)
            | Expr::Cmd(_)
            | Expr::Operator { .. } => Value::Closure(id, Range::default()),
            Expr::Container { .. } | Expr::Apply { .. } | Expr::Let { .. } | Expr::Strict { .. } => {
                return match (program.child(id, 0), node) {
                    (Some(first), _) => self.wait_in(Frame::Collect { id, next: 1 }, first),
                    (None, Expr::Apply { func, .. }) => self.wait_in(Frame::Call { count: 0 }, func),
                    (None, Expr::Let { body, .. }) => Ok(Next::Evaluate(body)),
                    (None, _) => Ok(Next::Give(self.container(program, id)?)),
                };
            }
            Expr::If {
                cond,
                then,
                otherwise,
            } => return self.wait_in(Frame::If { then, otherwise }, cond),
            Expr::Show { ty, child } => return self.wait_in(Frame::Show { ty }, child),
            Expr::Read { ty, child } => return self.wait_in(Frame::Read { ty }, child),
            Expr::Throw { message } => return self.wait_in(Frame::Throw, message),
            Expr::Beside { first, then } => {
                let branch = self.fiber.branch(first);
                self.spawn(branch);
                return Ok(Next::Evaluate(then));
            }
            Expr::Race(elements) => return Ok(self.race(exprs.children(elements))),
            Expr::Joined(_) | Expr::Catch { .. } | Expr::Try(_) | Expr::Next { .. } => {
                return match end_of(node) {
                    Some((end, child)) => self.enter(end, child),
                    None => Ok(Next::Give(Value::Nil)),
                };
            }
        }))
    }

    pub(super) fn resume(&mut self, program: Program<'_>, frame: Frame, value: Value) -> Eval<Next> {
        match frame {
            Frame::Collect { id, next } => self.collected(program, id, next, value),
            Frame::Strict { id, .. } => self.strict(program, id, value),
            Frame::Unlet { count } => {
                let locals = &mut self.fiber.locals;
                locals.truncate(locals.len() - count as usize);
                Ok(Next::Give(value))
            }
            Frame::Call { count } => self.call(program, value, count as usize),
            Frame::Return { base, captures } => {
                let fiber = &mut self.fiber;
                fiber.locals.truncate(fiber.base as usize);
                (fiber.base, fiber.captures) = (base, captures);
                Ok(Next::Give(value))
            }
            Frame::If { then, otherwise } => match self.heap.look(value)? {
                Value::Bool(true) => Ok(Next::Evaluate(then)),
                Value::Bool(false) => Ok(Next::Evaluate(otherwise)),
                other => Err(Stop::misfit(format!(
                    "condition is {}, expected a boolean",
                    other.name()
                ))),
            },
            Frame::Show { ty } => self.show(program, value, ty).map(Next::Give),
            Frame::Read { ty } => self.read(program, value, ty).map(Next::Give),
            Frame::Throw => {
                let message = self.text(program.exprs, value, "message of a throw")?;
                Err(Stop::raised(message))
            }
            Frame::Scope { scope, .. } => self.leave(program, scope, value),
            Frame::Then { child } => {
                self.heap.look(value)?;
                Ok(Next::Evaluate(child))
            }
            Frame::Map { results } => {
                self.fiber.operands.push(value);
                self.map(results as usize + 1)
            }
            Frame::Fold { done } => self.fold(done as usize, value),
            Frame::Pick => self.pick(value),
            // They end by what others do.
            Frame::Items { .. } | Frame::Race { .. } => Ok(Next::Give(value)),
        }
    }

    /// One more child of a node has its value.
    fn collected(&mut self, program: Program<'_>, id: ExprId, next: u32, value: Value) -> Eval<Next> {
        let node = program.exprs.node(id);
        let child = program.child(id, next);
        if let (None, Expr::Strict { .. }) = (child, node) {
            let held = next - 1;
            self.fiber.frames.push(Frame::Strict { id, held });
            return Ok(Next::Give(value));
        }
        self.fiber.operands.push(value);
        if let Some(child) = child {
            return self.wait_in(Frame::Collect { id, next: next + 1 }, child);
        }
        match node {
            Expr::Apply { func, .. } => self.wait_in(Frame::Call { count: next }, func),
            Expr::Let { body, .. } => {
                let fiber = &mut self.fiber;
                let start = fiber.operands.len() - next as usize;
                fiber.locals.extend(fiber.operands.drain(start..));
                // A function's locals go when it returns.
                if !matches!(fiber.frames.last(), Some(Frame::Return { .. })) {
                    fiber.frames.push(Frame::Unlet { count: next });
                }
                Ok(Next::Evaluate(body))
            }
            _ => Ok(Next::Give(self.container(program, id)?)),
        }
    }

    pub(super) fn wait_in(&mut self, frame: Frame, child: ExprId) -> Eval<Next> {
        self.fiber.frames.push(frame);
        Ok(Next::Evaluate(child))
    }

    fn variable(&self, variable: Variable) -> Value {
        let fiber: &Fiber = &self.fiber;
        match variable {
            Variable::Local(slot) => fiber.locals[fiber.base as usize + slot as usize],
            Variable::Captured(position) => self.heap.value(fiber.captures, position as usize),
        }
    }

    /// Moves the top operands to the heap.
    pub(super) fn take_operands(&mut self, count: usize) -> Eval<Range> {
        let start = self.fiber.operands.len() - count;
        self.heap.add_values(self.fiber.operands.drain(start..))
    }

    /// A container from its elements, the top operands.
    fn container(&mut self, program: Program<'_>, id: ExprId) -> Eval<Value> {
        let Expr::Container { ty, elements } = program.exprs.node(id) else {
            return Ok(Value::Nil);
        };
        if let Type::Optional(_) = program.types.node(ty) {
            return Ok(match elements.is_empty() {
                true => Value::Nil,
                false => self.fiber.operands.pop().unwrap_or(Value::Nil),
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
