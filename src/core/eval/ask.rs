//! What an evaluation asks of the world, and what the world asks of it: calls of pools, waits, and applications of its
//! closures by pools. The part of [`Machine`] with the poll and handle methods.
//!
//! To add something to ask for: a variant of [`Ask`] here, which whoever runs the machine carries out and answers by
//! [`Machine::handle_answer`] or gives up after [`Machine::poll_cancel`]; and where the evaluator wants it, a call of
//! `Machine::ask`, whose slot is the value that is to come. An answer is the msgpack of the type that was said to `ask`.

use crate::codec::msgpack::Reader;
use crate::core::eval::fiber::{Fiber, Frame, Next};
use crate::core::eval::heap::Value;
use crate::core::eval::machine::{Machine, Program};
use crate::core::eval::process::Gives;
use crate::core::eval::scope::{End, ROOT};
use crate::core::eval::stop::{Eval, On, Stop};
use crate::core::process::pipe::Plan;
use crate::core::process::request::Request;
use crate::core::slab::Key;
use crate::error::{Error, Kind, Result, TraceEntry};
use crate::expr::arena::Exprs;
use crate::ids::{PoolId, TypeId};
use crate::limits::{EVAL_ASKS_MAX, EVAL_PAYLOAD_BYTES_MAX, TIMEOUT_MS_MAX};

/// The number of something that was asked for, never used again.
pub type AskId = Key<Asked>;

/// The hub's number of a call that a pool makes of a closure.
pub type HostCall = u64;

/// Something to do for an evaluation.
#[derive(Debug)]
pub enum Ask {
    /// Call a function of a pool. The answer is its result.
    Call {
        /// The pool.
        pool: PoolId,
        /// The only worker that has the function, by its process id.
        pid: Option<u32>,
        /// Under which the pool finds it.
        mid: i64,
        /// Number of arguments.
        args: u32,
        /// The arguments, as msgpack one after the other.
        payload: Vec<u8>,
        /// The call of a closure in the course of which it is made.
        parent: Option<HostCall>,
    },
    /// Ask about a worker process.
    Process(Request),
    /// Send a value through stages; the items for functions come back by [`Machine::apply_item`]. The answer is what comes out.
    Pipe(Box<Plan>),
    /// Read a file: the argument of that number. The answer is its content.
    Read(u32),
    /// Answer after that time; what the answer holds doesn't matter.
    Sleep {
        /// Milliseconds.
        ms: u64,
    },
}

/// Who wants an answer.
#[derive(Clone, Copy, Debug)]
pub(super) enum For {
    /// A slot, for a value of that type; none: null.
    Slot(u32, Option<TypeId>),
    /// A slot, for a worker process of that kind: [`Exprs::channel`].
    Worker(u32, u32),
    /// A slot, for what a worker process gives.
    Given(u32, Gives),
    /// The scope, which fails when it comes.
    Timeout { ms: u64 },
}

/// Something that was asked for and is not answered.
#[derive(Debug)]
pub struct Asked {
    /// Where it was asked.
    pub scope: u32,
    wanted: For,
    /// The function, for traces: [`Exprs::foreign`].
    function: Option<u32>,
    /// Somebody has taken it, and has to be told if it is given up.
    is_taken: bool,
}

impl Machine {
    /// Takes the next thing to do.
    pub fn poll_ask(&mut self) -> Option<(AskId, Ask)> {
        while let Some((id, ask)) = self.to_ask.pop_front() {
            if let Some(asked) = self.asks.get_mut(id) {
                asked.is_taken = true;
                return Some((id, ask));
            }
        }
        None
    }

    /// Takes something that was asked for and that nobody waits for any more.
    pub fn poll_cancel(&mut self) -> Option<AskId> {
        self.to_cancel.pop_front()
    }

    /// Takes the result of a closure that a pool called.
    pub fn poll_applied(&mut self) -> Option<(HostCall, Result<Vec<u8>>)> {
        self.applied.pop_front()
    }

    /// Whether something other than a call is to be answered: then what seems to stand still does not.
    pub fn waits_for_time(&self) -> bool {
        self.asks.iter().any(|(_, asked)| asked.function.is_none())
    }

    /// Something that was asked for is done, or failed. Unknown numbers are those of things that were given up.
    pub fn handle_answer(&mut self, program: Program<'_>, id: AskId, answer: Result<Vec<u8>>) {
        let Some(asked) = self.asks.remove(id) else {
            return;
        };
        self.pipes.remove(&id);
        if let Some(fiber) = self.short_of_room.pop_front() {
            self.wake(fiber);
        }
        let scope = asked.scope;
        match (asked.wanted, answer) {
            (For::Timeout { ms }, _) => {
                let error = Error::new(Kind::Timeout, format!("value was not there within {ms} ms"));
                self.fail(scope, error, false);
            }
            (For::Slot(slot, ty), Ok(payload)) => {
                if self.heap.payload_bytes.saturating_add(payload.len()) > EVAL_PAYLOAD_BYTES_MAX {
                    let message =
                        format!("answers of pools take more than {EVAL_PAYLOAD_BYTES_MAX} bytes together");
                    return self.fail(scope, Error::new(Kind::Raised, message), true);
                }
                let value = match ty {
                    Some(ty) => self.heap.fill_wire(ty, slot, payload),
                    None => Value::Nil,
                };
                self.fill(slot, value);
                self.close(scope);
            }
            (For::Worker(slot, channel), Ok(payload)) => {
                let worker = self.new_worker(channel, &payload);
                self.fill(slot, worker);
                self.close(scope);
            }
            (For::Given(slot, gives), Ok(payload)) => match self.given_value(program, gives, &payload) {
                Ok(value) => {
                    self.fill(slot, value);
                    self.close(scope);
                }
                Err(stop) => self.fail(scope, stop.error(), false),
            },
            (For::Slot(..) | For::Worker(..) | For::Given(..), Err(mut error)) => {
                if let Some(function) = asked.function {
                    add_trace(program.exprs, function, &mut error);
                }
                self.fail(scope, error, false);
            }
        }
    }

    /// Asks for something on behalf of a scope, and gives the slot of its answer.
    pub(super) fn ask(&mut self, scope: u32, ask: Ask, ty: Option<TypeId>, function: Option<u32>) -> u32 {
        self.ask_for(scope, ask, |slot| For::Slot(slot, ty), function).0
    }

    /// The same for an answer that is more than a value.
    pub(super) fn ask_for(
        &mut self,
        scope: u32,
        ask: Ask,
        wanted: impl FnOnce(u32) -> For,
        function: Option<u32>,
    ) -> (u32, AskId) {
        let slot = self.heap.add_slot();
        if let Some(found) = self.scopes.get_mut(scope) {
            found.open += 1;
        }
        let id = self.add_ask(scope, ask, wanted(slot), function);
        (slot, id)
    }

    fn add_ask(&mut self, scope: u32, ask: Ask, wanted: For, function: Option<u32>) -> AskId {
        let id = self.asks.insert(Asked {
            scope,
            wanted,
            function,
            is_taken: false,
        });
        self.to_ask.push_back((id, ask));
        id
    }

    /// Asks for the content of a file, if that is what a slot waits for. Whoever else waits for it may outlive the first.
    pub(super) fn ask_file(&mut self, slot: u32) {
        if let Some((file, ty)) = self.heap.slots[slot as usize].file.take() {
            if let Some(root) = self.scopes.get_mut(ROOT) {
                root.open += 1;
            }
            self.add_ask(ROOT, Ask::Read(file), For::Slot(slot, Some(ty)), None);
        }
    }

    /// Waits, unless one more thing may be asked for.
    pub(super) fn check_room(&self) -> Eval {
        match self.asks.len() < EVAL_ASKS_MAX {
            true => Ok(()),
            false => Err(Stop::Wait(On::Room)),
        }
    }

    pub(super) fn ask_sleep(&mut self, scope: u32, ms: u64) -> u32 {
        let ms = ms.min(TIMEOUT_MS_MAX);
        self.ask(scope, Ask::Sleep { ms }, None, None)
    }

    /// Lets a scope fail after that time.
    pub(super) fn ask_timeout(&mut self, scope: u32, ms: u64) {
        let ms = ms.min(TIMEOUT_MS_MAX);
        let id = self.add_ask(scope, Ask::Sleep { ms }, For::Timeout { ms }, None);
        if let Some(found) = self.scopes.get_mut(scope) {
            found.end = End::Timeout(id);
        }
    }

    /// Gives up something that was asked for.
    pub(super) fn withdraw(&mut self, id: AskId) {
        let Some(asked) = self.asks.remove(id) else {
            return;
        };
        self.pipes.remove(&id);
        if asked.is_taken {
            self.to_cancel.push_back(id);
        }
        if let Some(fiber) = self.short_of_room.pop_front() {
            self.wake(fiber);
        }
    }

    /// A pool calls the closure that has that number, with arguments as msgpack one after the other. Its result, or why
    /// there is none, comes from [`Machine::poll_applied`].
    pub fn apply(&mut self, call: HostCall, closure: i64, args: u32, payload: &[u8]) {
        if let Err(error) = self.begin_applied(call, closure, args, payload) {
            self.applied.push_back((call, Err(error)));
        }
    }

    /// Nobody waits any more for the result of a closure.
    pub fn cancel_applied(&mut self, call: HostCall) {
        let is_it = |end: End| matches!(end, End::Applied(of, _) if of == call);
        let scope = self.scopes.iter().find(|(_, scope)| is_it(scope.end));
        if let Some((scope, owner)) = scope.map(|(number, scope)| (number, scope.owner)) {
            let error = Error::new(Kind::Cancelled, "nobody waits for this any more");
            self.fail(scope, error, true);
            self.fibers.remove(owner);
            self.applied.retain(|(of, _)| *of != call);
        }
    }

    fn begin_applied(&mut self, call: HostCall, closure: i64, args: u32, payload: &[u8]) -> Result<()> {
        let Some(function) = self.functions.get(closure) else {
            let message = format!("function value {closure} is none that this program gave away");
            return Err(Error::new(Kind::Protocol, message));
        };
        if function.params.len() != args as usize {
            let expected = function.params.len();
            let message = format!("function value has {args} arguments, expected {expected}");
            return Err(Error::new(Kind::Raised, message));
        }
        let (func, result, params) = (function.value, function.result, function.params.clone());
        let mut operands = Vec::new();
        let mut reader = Reader::new(payload);
        for ty in &params {
            let arg = reader.skip().map_err(|error| {
                Error::new(
                    Kind::Protocol,
                    format!("argument of a function value can't be read: {error}"),
                )
            })?;
            operands.push(self.heap.add_wire(*ty, arg.to_vec()));
        }
        let fiber = Fiber {
            frames: vec![Frame::Call { count: args }],
            operands,
            ..Fiber::new(Next::Give(func), 0)
        };
        let applied = self.spawn_scope(fiber, End::Applied(call, result), true);
        self.wake(applied);
        Ok(())
    }
}

/// Adds the place in the composition at which a function was called.
fn add_trace(exprs: &Exprs, function: u32, error: &mut Error) {
    let foreign = exprs.foreign(function);
    if foreign.at.is_empty() && foreign.name.is_empty() {
        return;
    }
    let (file, line) = foreign.at.rsplit_once(':').unwrap_or((&foreign.at, ""));
    error.trace.push(TraceEntry {
        lang: "loc".into(),
        function: foreign.name.to_string(),
        file: file.into(),
        line: line.parse().unwrap_or(0),
    });
}
