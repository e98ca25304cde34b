//! The evaluator: strands of work, each one loop over an explicit stack of frames, so that an expression may nest as deep as
//! memory allows. Strict, from left to right, but `if` and `catch` evaluate only what they need; and where a value has to
//! come from outside, what stands beside it goes on meanwhile. Does no I/O: it says what it wants done ([`Machine::poll_ask`])
//! and is told what came of it. It owns its state, so that an evaluation can be kept while the world goes on.
//!
//! The steps of a strand stand in `step` and `apply`, what lists do in `list`, where errors go in `scope`, what is asked for in
//! `ask`, function values in `function`.

use crate::codec::msgpack::Reader;
use crate::codec::schema::Types;
use crate::core::eval::ask::{Ask, AskId, Asked, HostCall};
use crate::core::eval::fiber::{Fiber, FiberId, Frame, Next};
use crate::core::eval::function::Functions;
use crate::core::eval::heap::{Heap, Value};
use crate::core::eval::process::{Piped, PipedItem};
use crate::core::eval::scope::{End, Scopes};
use crate::core::eval::stop::{Eval, On, Stop};
use crate::core::eval::wire::{Encoder, decode, decode_wire};
use crate::core::slab::Slab;
use crate::error::{Error, Kind, Result};
use crate::expr::arena::{Expr, Exprs};
use crate::ids::{ExprId, PoolId, TypeId};
use crate::limits::{EVAL_BYTES_MAX, EVAL_FIBERS_MAX, EVAL_GARBAGE_BYTES_MIN, EVAL_STEPS_MAX};
use crate::manifest::model::Pool;
use crate::map::Map;
use std::collections::VecDeque;
use std::rc::Rc;

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

/// How far an evaluation is.
#[derive(Debug)]
pub enum Progress {
    /// It goes on when it is run again.
    Busy,
    /// It goes on when something that it asked for is answered.
    Waiting,
    /// It is over.
    Over(Outcome),
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
pub struct Program<'p> {
    /// The expressions.
    pub exprs: &'p Exprs,
    /// The types that they name.
    pub types: &'p Types,
    /// The pools that they call.
    pub pools: &'p [Pool],
}

impl Program<'_> {
    /// An element, argument or `let` value of a node.
    pub(super) fn child(self, id: ExprId, position: u32) -> Option<ExprId> {
        let children = match self.exprs.node(id) {
            Expr::Container { elements, .. } => elements,
            Expr::Apply { args, .. } | Expr::Strict { args, .. } => args,
            Expr::Let { values, .. } => values,
            _ => return None,
        };
        self.exprs.children(children).get(position as usize).copied()
    }

    pub(super) fn pool_name(&self, pool: PoolId) -> &str {
        self.pools.get(pool.index()).map_or("", |pool| &pool.name)
    }
}

/// An evaluation: made with an expression, given arguments, run, asked for its result.
pub struct Machine {
    budget: Budget,
    pub(super) steps: u64,
    pub(super) heap: Heap,
    /// The strand that runs, whose entry in `fibers` is empty meanwhile.
    pub(super) fiber: Fiber,
    pub(super) current: FiberId,
    pub(super) fibers: Slab<Fiber>,
    /// Those that can go on.
    ready: VecDeque<FiberId>,
    /// Those that wait until less is asked for.
    pub(super) short_of_room: VecDeque<FiberId>,
    pub(super) scopes: Scopes,
    pub(super) asks: Slab<Asked>,
    pub(super) to_ask: VecDeque<(AskId, Ask)>,
    pub(super) to_cancel: VecDeque<AskId>,
    pub(super) applied: VecDeque<(HostCall, Result<Vec<u8>>)>,
    pub(super) functions: Functions,
    /// The kinds of worker processes that were started, by their numbers.
    pub(super) channels: Map<u64, u32>,
    /// The functions of pipes under way, by stage.
    pub(super) pipes: Map<AskId, Piped>,
    /// What functions have made of items.
    pub(super) items: VecDeque<PipedItem>,
    /// Memory, payloads included, from which on it is looked what of it is needed.
    pub(super) collect_at: usize,
    /// The same without payloads.
    pub(super) collect_heap_at: usize,
    /// Collects whenever it can.
    #[cfg(test)]
    pub(super) is_thrifty: bool,
    /// The value of the expression, or why there is none.
    pub(super) result: Option<Result<Value>>,
    /// A file that is part of the result, and its slot.
    unread: Option<(u32, u32)>,
}

/// How many steps go by between looks at the stacks: they grow by a bounded amount with each.
const STEPS_PER_CHECK: u64 = 256;

impl Machine {
    /// An evaluation that has not begun.
    pub fn new(root: ExprId, budget: Budget) -> Machine {
        let mut machine = Machine {
            budget,
            steps: 0,
            heap: Heap::new(budget.bytes_max),
            fiber: Fiber::default(),
            // None that there is.
            current: FiberId::from_raw(u64::MAX),
            fibers: Slab::new(),
            ready: VecDeque::new(),
            short_of_room: VecDeque::new(),
            scopes: Scopes::default(),
            asks: Slab::new(),
            to_ask: VecDeque::new(),
            to_cancel: VecDeque::new(),
            applied: VecDeque::new(),
            functions: Functions::default(),
            channels: Map::new(),
            pipes: Map::new(),
            items: VecDeque::new(),
            collect_at: EVAL_GARBAGE_BYTES_MIN,
            collect_heap_at: budget.bytes_max / 2,
            #[cfg(test)]
            is_thrifty: false,
            result: None,
            unread: None,
        };
        let main = Fiber {
            frames: vec![Frame::Call { count: 0 }],
            ..Fiber::new(Next::Evaluate(root), 0)
        };
        machine.current = machine.spawn_scope(main, End::Root, true);
        machine.wake(machine.current);
        machine
    }

    /// From where on the closures are numbered that are given to pools; at most [`EVAL_CLOSURES_MAX`] follow.
    ///
    /// [`EVAL_CLOSURES_MAX`]: crate::limits::EVAL_CLOSURES_MAX
    pub fn number_functions_from(&mut self, base: i64) {
        self.functions.base = base;
    }

    /// Takes a canonical value of that type from its msgpack.
    pub(super) fn decode(&mut self, types: &Types, ty: TypeId, reader: &mut Reader<'_>) -> Eval<Value> {
        decode(&mut self.heap, types, ty, reader, &mut self.fiber.operands, 0)
    }

    /// Adds an argument, to which the expression's value is applied.
    ///
    /// # Errors
    /// Bytes that are not one canonical value of the type; a value beyond the budget.
    pub fn push_arg(&mut self, types: &Types, msgpack: &[u8], ty: TypeId) -> Result<()> {
        let mut reader = Reader::new(msgpack);
        match self.decode(types, ty, &mut reader) {
            Ok(value) if reader.is_done() => {
                self.push(value);
                Ok(())
            }
            Ok(_) => Err(Stop::misfit("argument has bytes after its value").error()),
            Err(stop) => Err(stop.error()),
        }
    }

    /// Adds an argument as bytes, which are read only if the expression looks into it.
    pub fn push_wire(&mut self, msgpack: Vec<u8>, ty: TypeId) {
        let value = self.heap.add_wire(ty, msgpack);
        self.push(value);
    }

    /// Adds an argument that is the content of a file, of which whoever runs the evaluation knows the number. It is asked for
    /// when something looks into it.
    pub fn push_file(&mut self, file: u32, ty: TypeId) {
        let value = self.heap.add_file(file, ty);
        self.push(value);
    }

    fn push(&mut self, arg: Value) {
        if let Some(main) = self.fibers.get_mut(self.current) {
            main.operands.push(arg);
            if let Some(Frame::Call { count }) = main.frames.last_mut() {
                *count += 1;
            }
        }
    }

    /// Runs an expression that asks for nothing to its end.
    pub fn run(&mut self, exprs: &Exprs, types: &Types) -> Outcome {
        let program = Program {
            exprs,
            types,
            pools: &[],
        };
        match self.run_for(program, u64::MAX) {
            Progress::Over(outcome) => outcome,
            Progress::Busy | Progress::Waiting => {
                let message = "the expression waits for something that nobody does";
                Outcome::Raised(Error::new(Kind::Manifest, message))
            }
        }
    }

    /// Goes on for about so many steps.
    pub fn run_for(&mut self, program: Program<'_>, steps: u64) -> Progress {
        let until = self.steps.saturating_add(steps);
        while self.result.is_none() {
            if self.steps >= until {
                return Progress::Busy;
            }
            self.collect_if_due();
            let Some(id) = self.ready.pop_front() else {
                return Progress::Waiting;
            };
            // It may have ended since it was put there.
            if let Some(fiber) = self.fibers.get_mut(id) {
                self.fiber = std::mem::take(fiber);
                self.fiber.is_ready = false;
                fiber.home = self.fiber.home;
                self.current = id;
                self.run_fiber(program, until);
            }
        }
        match &self.result {
            Some(Err(error)) => Progress::Over(Outcome::Raised(error.clone())),
            _ => Progress::Over(Outcome::Done),
        }
    }

    /// Runs the strand that is current until it ends, has to wait, or has had its time.
    fn run_fiber(&mut self, program: Program<'_>, until: u64) {
        loop {
            let stopped = self.advance(program, until);
            let stop = match stopped {
                Ok(true) => return self.end_current(),
                Ok(false) => {
                    let id = self.current;
                    self.park();
                    return self.wake(id);
                }
                Err(stop) => stop,
            };
            let (error, is_fatal) = match stop {
                Stop::Look(ty, slot) => match decode_wire(&mut self.heap, program.types, ty, slot) {
                    Ok(()) => continue,
                    Err(stop) => (stop.error(), false),
                },
                Stop::Wait(on) => {
                    if self.split(program, on) {
                        continue;
                    }
                    self.wait(on);
                    return;
                }
                Stop::Raised(error) => (error, false),
                Stop::Fatal(error) => (error, true),
            };
            let scope = self.fiber.scope;
            self.park();
            return self.fail(scope, error, is_fatal);
        }
    }

    /// Puts the current strand back among the others.
    fn park(&mut self) {
        if let Some(entry) = self.fibers.get_mut(self.current) {
            *entry = std::mem::take(&mut self.fiber);
        }
    }

    /// Lets what has to wait do so by itself, if something else of this strand can go on.
    fn split(&mut self, program: Program<'_>, on: On) -> bool {
        if on == On::Room || self.fibers.len() >= EVAL_FIBERS_MAX {
            return false;
        }
        let slot = self.heap.add_slot();
        let Some(mut above) = self.fiber.split(program, &self.heap, slot) else {
            self.heap.free_slots.push(slot);
            return false;
        };
        let first = above.frames.iter().find_map(|frame| match frame {
            Frame::Scope { scope, .. } => Some(*scope),
            _ => None,
        });
        let home = first
            .and_then(|scope| self.scopes.get(scope))
            .map(|scope| scope.parent);
        above.home = home.unwrap_or(above.scope);
        self.fiber.scope = above.home;
        if let Some(scope) = self.scopes.get_mut(above.home) {
            scope.open += 1;
        }
        let owned: Vec<Frame> = above.frames.clone();
        let id = self.fibers.insert(above);
        for frame in owned {
            if let Frame::Scope { scope, .. } = frame
                && let Some(scope) = self.scopes.get_mut(scope)
            {
                scope.owner = id;
            }
        }
        self.wait_for(id, on);
        true
    }

    /// The current strand waits as a whole.
    fn wait(&mut self, on: On) {
        let id = self.current;
        self.park();
        self.wait_for(id, on);
    }

    fn wait_for(&mut self, id: FiberId, on: On) {
        match on {
            On::Slot(slot) => {
                self.heap.slots[slot as usize].waiters.push(id);
                self.ask_file(slot);
            }
            On::Scope(scope) => {
                if let Some(scope) = self.scopes.get_mut(scope) {
                    scope.is_awaited = true;
                }
            }
            On::Room => self.short_of_room.push_back(id),
        }
    }

    /// A strand can go on.
    pub(super) fn wake(&mut self, id: FiberId) {
        if let Some(fiber) = self.fibers.get_mut(id)
            && !std::mem::replace(&mut fiber.is_ready, true)
        {
            self.ready.push_back(id);
        }
    }

    /// The value of a slot is there.
    pub(super) fn fill(&mut self, slot: u32, value: Value) {
        let entry = &mut self.heap.slots[slot as usize];
        entry.value = Some(value);
        for id in std::mem::take(&mut entry.waiters) {
            self.wake(id);
        }
    }

    /// The current strand has its value.
    fn end_current(&mut self) {
        let (result, next) = (self.fiber.result, self.fiber.next);
        let id = self.current;
        self.park();
        if let (Some(slot), Next::Give(value)) = (result, next) {
            self.fill(slot, value);
        }
        self.end_fiber(id);
    }

    pub(super) fn end_fiber(&mut self, id: FiberId) {
        if let Some(fiber) = self.fibers.remove(id) {
            self.close(fiber.home);
        }
    }

    /// Goes on until there is a value and no frame waits for it; false if its time is over before.
    fn advance(&mut self, program: Program<'_>, until: u64) -> Eval<bool> {
        loop {
            self.steps += 1;
            if self.steps.is_multiple_of(STEPS_PER_CHECK) {
                self.collect_if_due();
                self.check_budget()?;
                if self.steps >= until {
                    return Ok(false);
                }
            }
            self.fiber.next = match self.fiber.next {
                Next::Evaluate(id) => self.evaluate(program, id)?,
                Next::Give(value) => match self.fiber.frames.pop() {
                    // Whatever has to wait has changed nothing.
                    Some(frame) => self.resume(program, frame, value).inspect_err(|stop| {
                        if matches!(stop, Stop::Wait(_) | Stop::Look(..)) {
                            self.fiber.frames.push(frame);
                        }
                    })?,
                    None => return Ok(true),
                },
            };
        }
    }

    fn check_budget(&self) -> Eval {
        if self.steps >= self.budget.steps_max {
            return Err(Stop::too_long(self.budget.steps_max));
        }
        self.heap.reserve(self.fiber.bytes())
    }

    /// Gives up all that is under way: the evaluation ends with that error.
    pub fn stop(&mut self, error: Box<Error>) {
        let asks: Vec<AskId> = self.asks.iter().map(|(id, _)| id).collect();
        for ask in asks {
            self.withdraw(ask);
        }
        self.ready.clear();
        self.result = Some(Err(error));
    }

    /// Appends the value of an evaluation that is done, as canonical msgpack; of an answer that nobody looked into, the bytes
    /// as they came.
    ///
    /// # Errors
    /// A value that is not of the type, or is too large or deep to write.
    pub fn write_result(
        &mut self,
        exprs: &Exprs,
        types: &Types,
        ty: TypeId,
        out: &mut Vec<u8>,
    ) -> Result<()> {
        let Some(Ok(value)) = &self.result else {
            return Err(Stop::misfit("expression has no value yet").error());
        };
        let (value, start) = (*value, out.len());
        if let (Value::Wire(own, slot), 0) = (self.heap.settle(value), start)
            && types.are_alike(own, ty)
        {
            let payload = std::mem::take(&mut self.heap.slots[slot as usize].payload);
            *out = Rc::try_unwrap(payload).unwrap_or_else(|shared| shared.to_vec());
            return Ok(());
        }
        loop {
            let mut encoder = Encoder {
                heap: &self.heap,
                program: Program {
                    exprs,
                    types,
                    pools: &[],
                },
                functions: None,
                bytes_max: start.saturating_add(self.budget.bytes_max),
                out,
            };
            let Err(refusal) = encoder.encode(value, ty, 0) else {
                return Ok(());
            };
            out.truncate(start);
            match refusal.stop("result") {
                Stop::Look(ty, slot) => {
                    decode_wire(&mut self.heap, types, ty, slot).map_err(Stop::error)?;
                }
                stop => {
                    if let Stop::Wait(On::Slot(slot)) = stop {
                        self.unread = self.heap.slots[slot as usize].file.map(|(file, _)| (file, slot));
                    }
                    return Err(stop.error());
                }
            }
        }
    }

    /// The file without which [`Machine::write_result`] could not write the result.
    pub fn unread(&self) -> Option<u32> {
        self.unread.map(|(file, _)| file)
    }

    /// Adds the content of that file, as msgpack.
    pub fn handle_file(&mut self, payload: Vec<u8>) {
        if let Some((_, slot)) = self.unread.take()
            && let Some((_, ty)) = self.heap.slots[slot as usize].file
        {
            self.heap.fill_wire(ty, slot, payload);
        }
    }

    /// Bytes that its values take, those of answers included.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        self.heap.usage().0 + self.heap.payload_bytes
    }

    /// How many steps were taken.
    pub fn steps(&self) -> u64 {
        self.steps
    }
}
