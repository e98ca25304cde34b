//! Function values that cross between pools and the composition: what a pool gave away is called where it lives, a closure
//! goes under a number, and comes back as itself. On the wire a function value is ext type 12 around
//! `[pool, pid, mid, bound...]`; the pool of closures has no name.

use crate::codec::msgpack::{Reader, Token, write};
use crate::codec::schema::{Type, Types};
use crate::core::eval::ask::Ask;
use crate::core::eval::fiber::{Frame, Next};
use crate::core::eval::heap::{Heap, Range, Value};
use crate::core::eval::machine::{Machine, Program};
use crate::core::eval::stop::{Eval, On, Stop};
use crate::core::eval::wire::{Encoder, Refusal};
use crate::error::{Error, Kind};
use crate::expr::arena::Expr;
use crate::ids::{PoolId, TypeId};
use crate::limits::{EVAL_CLOSURES_MAX, FRAME_BYTES_MAX};

/// The msgpack extension type of a function value.
pub const EXT_TYPE: i8 = 12;

/// How many of the last closures are looked through for one that was given away before.
const RECENT: usize = 16;

/// A closure that pools may call.
#[derive(Debug)]
pub struct Given {
    pub value: Value,
    pub params: Vec<TypeId>,
    pub result: TypeId,
}

/// All closures that were given away; their numbers follow the base.
#[derive(Debug, Default)]
pub struct Functions {
    pub given: Vec<Given>,
    pub base: i64,
}

impl Functions {
    pub fn get(&self, number: i64) -> Option<&Given> {
        let position = number.checked_sub(self.base)?.checked_sub(1)?;
        self.given.get(usize::try_from(position).ok()?)
    }

    fn give(&mut self, types: &Types, ty: TypeId, value: Value) -> Eval<i64> {
        let Type::Function { params, result } = types.node(ty) else {
            return Err(Stop::misfit("function has another type"));
        };
        let params = types.members(params);
        let is_it = |given: &Given| given.value == value && given.result == result && given.params == params;
        let recent = self.given.len().saturating_sub(RECENT);
        if let Some(position) = self.given[recent..].iter().position(is_it) {
            return Ok(self.base + (recent + position) as i64 + 1);
        }
        if self.given.len() >= EVAL_CLOSURES_MAX {
            let message =
                format!("more than {EVAL_CLOSURES_MAX} closures were given to pools, which is the most");
            return Err(Stop::Fatal(Error::new(Kind::Raised, message)));
        }
        self.given.push(Given {
            value,
            params: params.to_vec(),
            result,
        });
        Ok(self.base + self.given.len() as i64)
    }
}

/// The front of a function value.
struct Handle<'a> {
    pool: &'a str,
    pid: Option<u32>,
    mid: i64,
    bound: u32,
    /// The bound arguments.
    rest: &'a [u8],
}

fn read_handle(bytes: &[u8]) -> Option<Handle<'_>> {
    let mut reader = Reader::new(bytes);
    let len = reader.array_head().ok()??;
    let bound = len.checked_sub(3)?;
    let Token::Str(pool) = reader.next().ok()? else {
        return None;
    };
    let pid = match reader.next().ok()? {
        Token::Nil => None,
        Token::Int(pid) => Some(u32::try_from(pid).unwrap_or(0)),
        _ => return None,
    };
    let Token::Int(mid) = reader.next().ok()? else {
        return None;
    };
    Some(Handle {
        pool,
        pid,
        mid,
        bound,
        rest: reader.rest(),
    })
}

/// Reads a function value from the bytes of its ext type.
pub fn decode_function(heap: &mut Heap, ty: TypeId, bytes: &[u8]) -> Eval<Value> {
    if read_handle(bytes).is_none() {
        let message = "function value can't be read, expected [pool, pid, mid, bound...]";
        return Err(Stop::Raised(Error::new(Kind::Protocol, message)));
    }
    let bytes = Value::Bytes(heap.add_bytes(bytes)?);
    Ok(Value::Foreign(ty, heap.add_values([bytes].into_iter())?))
}

impl Encoder<'_> {
    /// Writes a function, which pools can call then.
    pub(super) fn function(&mut self, value: Value, ty: TypeId, depth: usize) -> Result<(), Refusal> {
        let Some(functions) = self.functions.as_deref_mut() else {
            return Err(Refusal::Stop(Stop::misfit(
                "a function has no text and is no result",
            )));
        };
        let mut inner = Vec::new();
        let held = match value {
            Value::Foreign(own, parts) => {
                let Value::Bytes(bytes) = self.heap.value(parts, 0) else {
                    return Ok(());
                };
                let bytes = self.heap.bytes(bytes);
                let Some(handle) = read_handle(bytes) else {
                    return Ok(());
                };
                write::array(&mut inner, 3 + handle.bound + parts.len - 1);
                let mut reader = Reader::new(bytes);
                // It was read before.
                let _ = reader.array_head();
                inner.extend_from_slice(reader.rest());
                Some((own, parts.from(1)))
            }
            Value::Closure(id, held) => match self.program.exprs.node(id) {
                Expr::Foreign(number) => {
                    let foreign = self.program.exprs.foreign(number);
                    write::array(&mut inner, 3 + held.len);
                    write::string(&mut inner, self.program.pool_name(foreign.pool));
                    write::nil(&mut inner);
                    write::int(&mut inner, foreign.mid);
                    self.bound(&foreign.params, held, &mut inner, depth)?;
                    None
                }
                _ => {
                    let types = self.program.types;
                    let number = functions.give(types, ty, value).map_err(Refusal::Stop)?;
                    write::array(&mut inner, 3);
                    write::string(&mut inner, "");
                    write::nil(&mut inner);
                    write::int(&mut inner, number);
                    None
                }
            },
            _ => return Ok(()),
        };
        if let Some((own, held)) = held
            && let Type::Function { params, .. } = self.program.types.node(own)
        {
            let params = self.program.types.members(params);
            self.bound(params, held, &mut inner, depth)?;
        }
        write::ext(self.out, EXT_TYPE, inner.len() as u32);
        self.out.extend_from_slice(&inner);
        Ok(())
    }

    /// Writes arguments that a function has already.
    fn bound(
        &mut self,
        params: &[TypeId],
        held: Range,
        inner: &mut Vec<u8>,
        depth: usize,
    ) -> Result<(), Refusal> {
        let mut encoder = Encoder {
            heap: self.heap,
            program: self.program,
            functions: self.functions.as_deref_mut(),
            out: inner,
            bytes_max: self.bytes_max,
        };
        for (value, ty) in self.heap.values(held).iter().zip(params) {
            encoder.encode(*value, *ty, depth + 1)?;
        }
        Ok(())
    }
}

impl Machine {
    /// Calls a function of a pool with the operands from `start` to before `end`.
    pub(super) fn call_foreign(
        &mut self,
        program: Program<'_>,
        number: u32,
        start: usize,
        end: usize,
    ) -> Eval<Value> {
        let foreign = program.exprs.foreign(number);
        self.check_room()?;
        let payload = self.encode_args(program, &foreign.params, Vec::new(), start, end)?;
        let ask = Ask::Call {
            pool: foreign.pool,
            pid: None,
            mid: foreign.mid,
            args: (end - start) as u32,
            payload,
            parent: self.host(),
        };
        let slot = self.ask(self.fiber.scope, ask, Some(foreign.returns), Some(number));
        Ok(Value::Pending(slot))
    }

    pub(super) fn host(&self) -> Option<u64> {
        self.scopes.get(self.fiber.scope).and_then(|scope| scope.host)
    }

    pub(super) fn encode_args(
        &mut self,
        program: Program<'_>,
        params: &[TypeId],
        mut out: Vec<u8>,
        start: usize,
        end: usize,
    ) -> Eval<Vec<u8>> {
        let args = &self.fiber.operands[start..end];
        // What has not come is waited for before anything is written; the last is likely to be the last to come.
        for arg in args.iter().rev() {
            if let Value::Pending(slot) = self.heap.settle(*arg) {
                return Err(Stop::Wait(On::Slot(slot)));
            }
        }
        let mut encoder = Encoder {
            heap: &self.heap,
            program,
            functions: Some(&mut self.functions),
            bytes_max: FRAME_BYTES_MAX as usize,
            out: &mut out,
        };
        for (position, (arg, ty)) in args.iter().zip(params).enumerate() {
            encoder
                .encode(*arg, *ty, 0)
                .map_err(|refusal| refusal.stop(&format!("argument {}", position + 1)))?;
        }
        Ok(out)
    }

    /// Applies a function value that a pool gave away to the top operands, as many as it takes.
    pub(super) fn apply_value(&mut self, program: Program<'_>, func: Value, count: usize) -> Eval<Next> {
        let Value::Foreign(ty, parts) = func else {
            return Ok(Next::Give(func));
        };
        let Type::Function { params, result } = program.types.node(ty) else {
            return Ok(Next::Give(func));
        };
        let held = parts.len as usize - 1;
        let params = program.types.members(params);
        let wanted = params.len().saturating_sub(held);
        let start = self.fiber.operands.len() - count;
        if count < wanted || (count == 0 && !params.is_empty()) {
            return match count {
                0 => Ok(Next::Give(func)),
                _ => {
                    self.fiber.insert_operands(start, self.heap.values(parts));
                    let parts = self.take_operands(parts.len as usize + count)?;
                    Ok(Next::Give(Value::Foreign(ty, parts)))
                }
            };
        }
        let Value::Bytes(bytes) = self.heap.value(parts, 0) else {
            return Ok(Next::Give(func));
        };
        let bytes = self.heap.bytes(bytes).to_vec();
        let Some(handle) = read_handle(&bytes) else {
            return Ok(Next::Give(func));
        };
        if handle.pool.is_empty() {
            return self.apply_own(&handle, parts, start, count);
        }
        let Some(pool) = program.pools.iter().position(|pool| pool.name == handle.pool) else {
            let message = format!(
                "function value is of pool '{}', which this program does not have",
                handle.pool
            );
            return Err(Stop::Raised(Error::new(Kind::Protocol, message)));
        };
        self.check_room()?;
        self.fiber.insert_operands(start, self.heap.values(parts.from(1)));
        let end = start + held + wanted;
        let payload = self.encode_args(program, params, handle.rest.to_vec(), start, end);
        let payload = payload.inspect_err(|_| drop(self.fiber.operands.drain(start..start + held)))?;
        self.fiber.operands.drain(start..end);
        let ask = Ask::Call {
            pool: PoolId(pool as u32),
            pid: handle.pid,
            mid: handle.mid,
            args: handle.bound + params.len() as u32,
            payload,
            parent: self.host(),
        };
        let slot = self.ask(self.fiber.scope, ask, Some(result), None);
        self.expect_rest(count - wanted);
        Ok(Next::Give(Value::Pending(slot)))
    }

    /// Applies a closure that has come back from a pool.
    fn apply_own(&mut self, handle: &Handle<'_>, parts: Range, start: usize, count: usize) -> Eval<Next> {
        let Some(given) = self.functions.get(handle.mid) else {
            let message = format!(
                "function value {} is none that this program gave away",
                handle.mid
            );
            return Err(Stop::Raised(Error::new(Kind::Protocol, message)));
        };
        let (func, params) = (given.value, given.params.clone());
        let mut before = Vec::new();
        let mut reader = Reader::new(handle.rest);
        for ty in params.iter().take(handle.bound as usize) {
            if let Ok(arg) = reader.skip() {
                before.push(self.heap.add_wire(*ty, arg.to_vec()));
            }
        }
        before.extend_from_slice(self.heap.values(parts.from(1)));
        let count = (before.len() + count) as u32;
        self.fiber.insert_operands(start, &before);
        self.fiber.frames.push(Frame::Call { count });
        Ok(Next::Give(func))
    }

    /// The result of a closure that a pool called.
    pub(super) fn applied_value(
        &mut self,
        program: Program<'_>,
        call: u64,
        ty: TypeId,
        value: Value,
    ) -> Eval {
        let out = self.encode_value(program, ty, value)?;
        self.applied.push_back((call, Ok(out)));
        Ok(())
    }

    /// A value as msgpack.
    pub(super) fn encode_value(&mut self, program: Program<'_>, ty: TypeId, value: Value) -> Eval<Vec<u8>> {
        let mut out = Vec::new();
        let mut encoder = Encoder {
            heap: &self.heap,
            program,
            functions: Some(&mut self.functions),
            bytes_max: FRAME_BYTES_MAX as usize,
            out: &mut out,
        };
        match encoder.encode(value, ty, 0) {
            Ok(()) => Ok(out),
            Err(refusal) => Err(refusal.stop("value")),
        }
    }
}
