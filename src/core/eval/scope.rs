//! Scopes: what was begun together ends together. Whoever leaves a scope waits for all that was begun in it; the first
//! error ends all the rest of it, and goes to whoever made it. The part of [`Machine`] that follows errors.

use crate::core::eval::ask::{AskId, HostCall};
use crate::core::eval::fiber::{Fiber, FiberId, Frame, Next};
use crate::core::eval::heap::Value;
use crate::core::eval::machine::{Machine, Program};
use crate::core::eval::stop::{Eval, On, Stop};
use crate::error::{Error, Kind};
use crate::expr::arena::Expr;
use crate::ids::{ExprId, TypeId};

/// What stands at the end of a scope.
#[derive(Clone, Copy, Debug)]
pub enum End {
    /// Nothing but that all of it is over.
    Join,
    /// Another value for an error.
    Catch(ExprId),
    /// The message of an error.
    Try,
    /// The value is dropped, and that is evaluated.
    Next(ExprId),
    /// It fails when that is answered, if it has not ended.
    Timeout(AskId),
    /// After an error it is begun again, so often and after so many milliseconds.
    Retry { left: u64, delay_ms: u64, child: ExprId },
    /// It is the item of that number, for that strand.
    Item(FiberId, u32),
    /// It is the command.
    Root,
    /// It is a closure's application for a pool, with a result of that type.
    Applied(HostCall, TypeId),
    /// It is the item of that number for that stage of a pipe, with a result of that type.
    Piped(AskId, u32, u64, TypeId),
}

/// The scope of the command, which is the first.
pub const ROOT: u32 = 0;

/// A scope that has not ended.
#[derive(Debug)]
pub struct Scope {
    /// The one around it; itself if there is none.
    pub parent: u32,
    /// The strand that has its frame.
    pub owner: FiberId,
    /// Strands and asks that were begun in it and are not over.
    pub open: u32,
    /// Its owner waits for them.
    pub is_awaited: bool,
    /// The call of a pool on whose behalf all of it happens.
    pub host: Option<HostCall>,
    pub end: End,
}

/// All scopes, by number.
#[derive(Debug, Default)]
pub struct Scopes {
    entries: Vec<Option<Scope>>,
    free: Vec<u32>,
}

impl Scopes {
    pub fn insert(&mut self, scope: Scope) -> u32 {
        match self.free.pop() {
            Some(number) => {
                self.entries[number as usize] = Some(scope);
                number
            }
            None => {
                self.entries.push(Some(scope));
                self.entries.len() as u32 - 1
            }
        }
    }

    /// The number that the next scope gets.
    fn next(&self) -> u32 {
        self.free.last().copied().unwrap_or(self.entries.len() as u32)
    }

    pub fn get(&self, number: u32) -> Option<&Scope> {
        self.entries.get(number as usize)?.as_ref()
    }

    pub fn get_mut(&mut self, number: u32) -> Option<&mut Scope> {
        self.entries.get_mut(number as usize)?.as_mut()
    }

    fn remove(&mut self, number: u32) -> Option<Scope> {
        let scope = self.entries.get_mut(number as usize)?.take()?;
        self.free.push(number);
        Some(scope)
    }

    pub fn iter(&self) -> impl Iterator<Item = (u32, &Scope)> {
        let numbered = self.entries.iter().enumerate();
        numbered.filter_map(|(number, scope)| Some((number as u32, scope.as_ref()?)))
    }

    /// Whether one scope is another, or in it.
    pub fn is_within(&self, inner: u32, outer: u32) -> bool {
        let mut at = inner;
        while at != outer {
            match self.get(at) {
                Some(scope) if scope.parent != at => at = scope.parent,
                _ => return false,
            }
        }
        true
    }
}

impl Machine {
    /// Begins a scope of the strand that runs, in the one that it is in.
    pub(super) fn enter(&mut self, end: End, child: ExprId) -> Eval<Next> {
        let (parent, owner) = (self.fiber.scope, self.current);
        let scope = self.add_scope(parent, owner, end);
        let fiber = &mut self.fiber;
        fiber.frames.push(Frame::Scope {
            scope,
            operands: fiber.operands.len() as u32,
            locals: fiber.locals.len() as u32,
        });
        fiber.scope = scope;
        Ok(Next::Evaluate(child))
    }

    fn add_scope(&mut self, parent: u32, owner: FiberId, end: End) -> u32 {
        let host = self.scopes.get(parent).and_then(|scope| scope.host);
        self.scopes.insert(Scope {
            parent,
            owner,
            open: 0,
            is_awaited: false,
            host,
            end,
        })
    }

    /// Makes a strand whose whole is a scope of its own, inside its home or of all. It goes on when it is woken.
    pub(super) fn spawn_scope(&mut self, mut fiber: Fiber, end: End, is_root: bool) -> FiberId {
        let parent = if is_root { self.scopes.next() } else { fiber.home };
        if let (false, Some(scope)) = (is_root, self.scopes.get_mut(parent)) {
            scope.open += 1;
        }
        let frames = std::mem::take(&mut fiber.frames);
        let owner = self.fibers.insert(fiber);
        let scope = self.add_scope(parent, owner, end);
        if let End::Applied(call, _) = end
            && let Some(scope) = self.scopes.get_mut(scope)
        {
            scope.host = Some(call);
        }
        if let Some(fiber) = self.fibers.get_mut(owner) {
            if is_root {
                fiber.home = scope;
            }
            fiber.scope = scope;
            fiber.frames.push(Frame::Scope {
                scope,
                operands: 0,
                locals: 0,
            });
            fiber.frames.extend(frames);
        }
        owner
    }

    /// Begins a strand in the scope that is its home.
    pub(super) fn spawn(&mut self, fiber: Fiber) -> FiberId {
        if let Some(home) = self.scopes.get_mut(fiber.home) {
            home.open += 1;
        }
        let id = self.fibers.insert(fiber);
        self.wake(id);
        id
    }

    /// Something that was begun in a scope is over.
    pub(super) fn close(&mut self, scope: u32) {
        let Some(found) = self.scopes.get_mut(scope) else {
            return;
        };
        found.open = found.open.saturating_sub(1);
        if found.open == 0 && std::mem::take(&mut found.is_awaited) {
            let owner = found.owner;
            self.wake(owner);
        }
    }

    /// The value of a scope, of which nothing may be left to do.
    pub(super) fn leave(&mut self, program: Program<'_>, scope: u32, value: Value) -> Eval<Next> {
        let Some(found) = self.scopes.get(scope) else {
            return Ok(Next::Give(value));
        };
        if found.open > 0 {
            return Err(Stop::Wait(On::Scope(scope)));
        }
        let (end, parent) = (found.end, found.parent);
        let value = self.heap.settle(value);
        let next = match end {
            End::Join | End::Catch(_) | End::Retry { .. } => Next::Give(value),
            End::Try => Next::Give(self.attempted(value, Value::Nil)?),
            End::Next(then) => {
                self.drop_scope(scope, parent);
                return Ok(Next::Evaluate(then));
            }
            End::Timeout(ask) => {
                self.withdraw(ask);
                Next::Give(value)
            }
            End::Item(conductor, position) => {
                self.drop_scope(scope, parent);
                self.finish_item(conductor, position, Ok(value))?;
                return Ok(Next::Give(Value::Nil));
            }
            End::Root => {
                self.result = Some(Ok(value));
                Next::Give(value)
            }
            End::Applied(call, ty) => {
                self.applied_value(program, call, ty, value)?;
                Next::Give(value)
            }
            End::Piped(pipe, stage, number, ty) => {
                self.piped_value(program, (pipe, stage, number), ty, value)?;
                Next::Give(value)
            }
        };
        self.drop_scope(scope, parent);
        Ok(next)
    }

    fn drop_scope(&mut self, scope: u32, parent: u32) {
        self.scopes.remove(scope);
        self.fiber.scope = parent;
    }

    /// What `try` gives.
    pub(super) fn attempted(&mut self, value: Value, message: Value) -> Eval<Value> {
        Ok(Value::Tuple(self.heap.add_values([value, message].into_iter())?))
    }

    /// Ends a scope and all in it with an error, which goes on to the scope around it until one catches it.
    pub(super) fn fail(&mut self, scope: u32, error: Box<Error>, is_fatal: bool) {
        let (mut scope, mut error, mut is_fatal) = (scope, error, is_fatal);
        loop {
            self.clear(scope);
            let Some(Scope {
                parent, owner, end, ..
            }) = self.scopes.remove(scope)
            else {
                return;
            };
            self.unwind(owner, scope, parent);
            let is_caught = !is_fatal && error.kind != Kind::Cancelled;
            let handled = match end {
                End::Catch(fallback) if is_caught => Ok(Next::Evaluate(fallback)),
                End::Try if is_caught => {
                    let message = self.heap.add_text(&error.message).map(Value::Str);
                    message
                        .and_then(|message| self.attempted(Value::Nil, message))
                        .map(Next::Give)
                }
                End::Retry {
                    left,
                    delay_ms,
                    child,
                } if is_caught && left > 0 => {
                    self.begin_again(owner, left - 1, delay_ms, child);
                    return;
                }
                End::Item(conductor, position) => {
                    self.end_fiber(owner);
                    let raised = if is_fatal {
                        Stop::Fatal(error)
                    } else {
                        Stop::Raised(error)
                    };
                    self.finish_item(conductor, position, Err(raised))
                        .map(|()| Next::Give(Value::Nil))
                }
                End::Root => {
                    self.fibers.remove(owner);
                    self.result = Some(Err(error));
                    return;
                }
                End::Piped(pipe, stage, number, _) => {
                    self.end_fiber(owner);
                    self.items.push_back((pipe, stage, number, Err(error)));
                    return;
                }
                End::Applied(call, _) => {
                    self.fibers.remove(owner);
                    self.applied.push_back((call, Err(error)));
                    return;
                }
                _ => {
                    scope = parent;
                    continue;
                }
            };
            match handled {
                Ok(next) => {
                    if let Some(fiber) = self.fibers.get_mut(owner) {
                        fiber.next = next;
                        self.wake(owner);
                    }
                    return;
                }
                // Of an item it is the scope of all items that fails.
                Err(stop) => {
                    is_fatal |= matches!(stop, Stop::Fatal(_));
                    error = stop.error();
                    scope = match end {
                        End::Item(conductor, _) => match self.fibers.get(conductor) {
                            Some(conductor) => conductor.scope,
                            None => return,
                        },
                        _ => parent,
                    };
                }
            }
        }
    }

    /// Ends all that was begun in a scope: it is over as far as its owner is concerned.
    pub(super) fn clear(&mut self, scope: u32) {
        let asks = self
            .asks
            .iter()
            .filter(|(_, ask)| self.scopes.is_within(ask.scope, scope));
        let asks: Vec<AskId> = asks.map(|(id, _)| id).collect();
        for ask in asks {
            self.withdraw(ask);
        }
        let fibers = self.fibers.iter();
        let fibers = fibers.filter(|(_, fiber)| self.scopes.is_within(fiber.home, scope));
        let owner = self.scopes.get(scope).map(|scope| scope.owner);
        let fibers: Vec<FiberId> = fibers.map(|(id, _)| id).filter(|id| Some(*id) != owner).collect();
        for id in fibers {
            let frames = self
                .fibers
                .remove(id)
                .map(|fiber| fiber.frames)
                .unwrap_or_default();
            for frame in frames {
                if let Frame::Scope { scope, .. } = frame {
                    self.scopes.remove(scope);
                }
            }
        }
        if let Some(found) = self.scopes.get_mut(scope) {
            (found.open, found.is_awaited) = (0, false);
        }
    }

    /// Takes the strand that owns a scope back to where it was begun.
    fn unwind(&mut self, owner: FiberId, scope: u32, parent: u32) {
        let Some(fiber) = self.fibers.get_mut(owner) else {
            return;
        };
        fiber.scope = parent;
        while let Some(frame) = fiber.frames.pop() {
            match frame {
                Frame::Return { base, captures } => (fiber.base, fiber.captures) = (base, captures),
                Frame::Scope {
                    scope: ended,
                    operands,
                    locals,
                } => {
                    fiber.operands.truncate(operands as usize);
                    fiber.locals.truncate(locals as usize);
                    if ended == scope {
                        return;
                    }
                    self.scopes.remove(ended);
                }
                _ => {}
            }
        }
    }

    /// Waits, and then begins something again in a new scope.
    fn begin_again(&mut self, owner: FiberId, left: u64, delay_ms: u64, child: ExprId) {
        let Some(parent) = self.fibers.get(owner).map(|fiber| fiber.scope) else {
            return;
        };
        let slot = self.ask_sleep(parent, delay_ms);
        let scope = self.add_scope(
            parent,
            owner,
            End::Retry {
                left,
                delay_ms: delay_ms.saturating_mul(2),
                child,
            },
        );
        if let Some(fiber) = self.fibers.get_mut(owner) {
            fiber.frames.push(Frame::Scope {
                scope,
                operands: fiber.operands.len() as u32,
                locals: fiber.locals.len() as u32,
            });
            fiber.frames.push(Frame::Then { child });
            fiber.scope = scope;
            fiber.next = Next::Give(Value::Pending(slot));
        }
        self.wake(owner);
    }

    /// What a wrong kind of number stands for, in milliseconds or times.
    pub(super) fn count(value: Value, what: &str) -> Eval<u64> {
        match value {
            Value::Int(count) if count >= 0 => Ok(count as u64),
            Value::Int(count) => Err(Stop::raised(format!("{what} is {count}, expected 0 or more"))),
            _ => Err(Stop::misfit(format!(
                "{what} is {}, expected an integer",
                value.name()
            ))),
        }
    }
}

/// Whether an expression has a scope of its own kind around its child.
pub fn end_of(expr: Expr) -> Option<(End, ExprId)> {
    Some(match expr {
        Expr::Joined(child) => (End::Join, child),
        Expr::Catch { fallible, fallback } => (End::Catch(fallback), fallible),
        Expr::Try(child) => (End::Try, child),
        Expr::Next { first, then } => (End::Next(then), first),
        _ => return None,
    })
}
