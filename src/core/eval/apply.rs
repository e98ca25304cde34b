//! Applying functions to values: lambdas, patterns, interpolations, brackets, operators, and the JSON text of values. The part
//! of [`Machine`] that evaluates no expression itself.

use crate::codec::msgpack::Reader;
use crate::codec::transcode::{Closed, Sink, Style, json_to_msgpack, msgpack_to_json};
use crate::core::eval::fiber::{Frame, Next};
use crate::core::eval::heap::{Range, Value};
use crate::core::eval::machine::{Machine, Program};
use crate::core::eval::operator::Operands;
use crate::core::eval::select;
use crate::core::eval::stop::{Eval, Stop};
use crate::core::eval::wire::Encoder;
use crate::expr::arena::{Expr, Exprs};
use crate::ids::{ExprId, Span, TypeId};

/// Bytes of text or msgpack that count as one step of the evaluation: about what takes as long.
const BYTES_PER_STEP: u64 = 16;

impl Machine {
    /// Applies a value to the top operands.
    pub(super) fn call(&mut self, program: Program<'_>, func: Value, count: usize) -> Eval<Next> {
        let func = match count {
            0 if !matches!(func, Value::Closure(..)) => return Ok(Next::Give(func)),
            _ => self.heap.look(func)?,
        };
        let Value::Closure(id, held) = func else {
            return match func {
                Value::Foreign(..) => self.apply_value(program, func, count),
                _ => Err(no_function(func, count)),
            };
        };
        let captured = captured(program.exprs, id);
        let known = held.from(captured as u32);
        let taken = arity(program.exprs, id, known.len as usize + count) - known.len as usize;
        let start = self.fiber.operands.len() - count;
        if taken > count {
            return match count {
                0 => Ok(Next::Give(func)),
                _ => self.hold(id, held, count),
            };
        }
        if let Expr::Lambda { body, .. } = program.exprs.node(id) {
            self.expect_rest(count - taken);
            let fiber = &mut self.fiber;
            if let Some(Frame::Return { .. }) = fiber.frames.last() {
                // Nothing is left to do in the function that calls: this one takes its place.
                fiber.locals.truncate(fiber.base as usize);
            } else {
                fiber.frames.push(Frame::Return {
                    base: fiber.base,
                    captures: fiber.captures,
                });
                fiber.base = fiber.locals.len() as u32;
            }
            fiber.captures = held;
            fiber.locals.extend_from_slice(self.heap.values(known));
            fiber.locals.extend(fiber.operands.drain(start..start + taken));
            return Ok(Next::Evaluate(body));
        }
        let end = start + known.len as usize + taken;
        self.fiber.insert_operands(start, self.heap.values(known));
        let all = self.fiber.operands.len();
        let value = match program.exprs.node(id) {
            Expr::Foreign(number) => self.call_foreign(program, number, start, end),
            Expr::Cmd(number) => self.call_program(program, number, start),
            _ => self.apply_builtin(program, id, start, end),
        };
        // If it has to wait, it is applied again.
        let value = value.inspect_err(|_| {
            self.fiber.operands.truncate(all);
            self.fiber.operands.drain(start..start + known.len as usize);
        })?;
        self.fiber.operands.drain(start..end);
        self.expect_rest(count - taken);
        Ok(Next::Give(value))
    }

    /// What is left over of the operands is for the result.
    pub(super) fn expect_rest(&mut self, count: usize) {
        if count > 0 {
            let count = count as u32;
            self.fiber.frames.push(Frame::Call { count });
        }
    }

    /// A closure that has the top operands too.
    fn hold(&mut self, id: ExprId, held: Range, count: usize) -> Eval<Next> {
        let start = self.fiber.operands.len() - count;
        self.fiber.insert_operands(start, self.heap.values(held));
        let held = self.take_operands(held.len as usize + count)?;
        Ok(Next::Give(Value::Closure(id, held)))
    }

    /// Applies a function that is no lambda to the operands from `start` to before `end`, as many as it takes.
    fn apply_builtin(&mut self, program: Program<'_>, id: ExprId, start: usize, end: usize) -> Eval<Value> {
        let (exprs, types) = (program.exprs, program.types);
        match (exprs.node(id), &self.fiber.operands[start..end]) {
            (Expr::Interpolation(pieces), _) => self.join(exprs, pieces, start),
            (Expr::Index, &[index, list]) => select::index(&self.heap, index, list),
            (Expr::Slice, &[first, stop, step, list]) => {
                select::slice(&mut self.heap, [first, stop, step], list)
            }
            (Expr::Operator { op, ty }, operands) => {
                let (left, right) = (operands[0], operands.get(1).copied());
                let mut operator = Operands {
                    heap: &mut self.heap,
                    exprs,
                    types,
                    op,
                    ty,
                };
                match right {
                    Some(right) => operator.binary(left, right),
                    None => operator.unary(left),
                }
            }
            (Expr::Pattern { places }, &[value]) => match exprs.places(places) {
                [place] => select::get(&self.heap, exprs, types, value, *place),
                places => {
                    for place in places {
                        let part = select::get(&self.heap, exprs, types, value, *place)?;
                        self.fiber.operands.push(part);
                    }
                    Ok(Value::Tuple(self.take_operands(places.len())?))
                }
            },
            (Expr::Pattern { places }, [value, new @ ..]) => {
                let mut value = *value;
                for (place, new) in exprs.places(places).iter().zip(new) {
                    value = select::set(&mut self.heap, exprs, types, value, *place, *new)?;
                }
                Ok(value)
            }
            _ => Err(Stop::misfit("function has the wrong number of arguments")),
        }
    }

    fn join(&mut self, exprs: &Exprs, pieces: Span, start: usize) -> Eval<Value> {
        for operand in &self.fiber.operands[start..start + pieces.len() - 1] {
            self.heap.look(*operand)?;
        }
        let begin = self.heap.text_len();
        for (position, piece) in exprs.texts(pieces).iter().enumerate() {
            if position > 0 {
                match self.heap.look(self.fiber.operands[start + position - 1])? {
                    Value::Str(text) => self.heap.extend_text(text)?,
                    Value::Literal(text) => {
                        self.heap.add_text(exprs.text(text))?;
                    }
                    other => {
                        let found = other.name();
                        let message =
                            format!("argument {position} of an interpolation is {found}, expected a string");
                        return Err(Stop::misfit(message));
                    }
                }
            }
            self.heap.add_text(exprs.text(*piece))?;
        }
        Ok(Value::Str(self.heap.text_since(begin)))
    }

    /// The JSON text of a value.
    pub(super) fn show(&mut self, program: Program<'_>, value: Value, ty: TypeId) -> Eval<Value> {
        let (used, max) = self.heap.usage();
        let mut msgpack = Vec::new();
        let mut encoder = Encoder {
            heap: &self.heap,
            program,
            functions: None,
            out: &mut msgpack,
            bytes_max: max - used,
        };
        encoder
            .encode(value, ty, 0)
            .map_err(|refusal| refusal.stop("value to show"))?;
        self.steps += msgpack.len() as u64 / BYTES_PER_STEP;
        let mut json = Bounded {
            text: Vec::new(),
            bytes_max: max - used,
        };
        if let Err(error) = msgpack_to_json(program.types, ty, &msgpack, Style::Compact, &mut json) {
            return Err(match json.text.len() > json.bytes_max {
                true => Stop::too_large(max),
                false => Stop::misfit(format!("value can't be shown: {error}")),
            });
        }
        match std::str::from_utf8(&json.text) {
            Ok(text) => Ok(Value::Str(self.heap.add_text(text)?)),
            Err(_) => Err(Stop::misfit("value can't be shown: its text is not UTF-8")),
        }
    }

    /// The value of a JSON text.
    pub(super) fn read(&mut self, program: Program<'_>, value: Value, ty: TypeId) -> Eval<Value> {
        let text = self.text(program.exprs, value, "text to read")?;
        let steps = text.len() as u64 / BYTES_PER_STEP;
        let mut msgpack = Vec::new();
        let read = json_to_msgpack(program.types, ty, text.as_bytes(), &mut msgpack);
        self.steps += steps;
        if let Err(error) = read {
            let spelled = program.types.spell(ty);
            return Err(Stop::raised(format!("text can't be read as {spelled}: {error}")));
        }
        self.decode(program.types, ty, &mut Reader::new(&msgpack))
    }

    /// The text of a string value; `what` names it if it is another.
    pub(super) fn text<'s>(&'s self, exprs: &'s Exprs, value: Value, what: &str) -> Eval<&'s str> {
        match self.heap.look(value)? {
            Value::Str(text) => Ok(self.heap.text(text)),
            Value::Literal(text) => Ok(exprs.text(text)),
            other => Err(Stop::misfit(format!(
                "{what} is {}, expected a string",
                other.name()
            ))),
        }
    }
}

/// How many of a closure's values are captures.
fn captured(exprs: &Exprs, id: ExprId) -> usize {
    match exprs.node(id) {
        Expr::Lambda { captures, .. } => captures.len(),
        _ => 0,
    }
}

/// How many arguments a function takes when it is given `count`.
fn arity(exprs: &Exprs, id: ExprId, count: usize) -> usize {
    match exprs.node(id) {
        Expr::Lambda { params, .. } => params as usize,
        Expr::Interpolation(pieces) => pieces.len() - 1,
        Expr::Index => 2,
        Expr::Slice => 4,
        // With one argument it gets; with more it sets, and waits for one for each place.
        Expr::Pattern { .. } if count <= 1 => 1,
        Expr::Pattern { places } => 1 + places.len(),
        Expr::Foreign(number) => exprs.foreign(number).params.len(),
        Expr::Operator { op, .. } => op.arity(),
        Expr::Cmd(_) => 2,
        _ => 0,
    }
}

#[cold]
fn no_function(found: Value, count: usize) -> Stop {
    let (found, plural) = (found.name(), if count == 1 { "" } else { "s" });
    Stop::misfit(format!(
        "{found} is applied to {count} argument{plural}, expected a function"
    ))
}

/// Text that may grow so large and no larger.
struct Bounded {
    text: Vec<u8>,
    bytes_max: usize,
}

impl Sink for Bounded {
    fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.text
    }

    fn flush_if_large(&mut self) -> Result<(), Closed> {
        match self.text.len() > self.bytes_max {
            true => Err(Closed),
            false => Ok(()),
        }
    }

    fn large_bytes(&self) -> usize {
        self.bytes_max.saturating_add(1)
    }
}
