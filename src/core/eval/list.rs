//! What is done with lists and with several things at once: map, filter, fold, items that are done by strands of their own,
//! and races. The part of [`Machine`] that counts.

use crate::core::eval::fiber::{Fiber, FiberId, Frame, Next};
use crate::core::eval::heap::Value;
use crate::core::eval::machine::{Machine, Program};
use crate::core::eval::scope::End;
use crate::core::eval::select::{element, list_len};
use crate::core::eval::stop::{Eval, Stop};
use crate::error::Kind;
use crate::expr::arena::{Expr, Strict};
use crate::ids::ExprId;
use crate::limits::EVAL_ASKS_MAX;

impl Machine {
    /// Does what is strict in its arguments, of which `last` is the last and the others are the top operands.
    pub(super) fn strict(&mut self, program: Program<'_>, id: ExprId, last: Value) -> Eval<Next> {
        let Expr::Strict { op, .. } = program.exprs.node(id) else {
            return Ok(Next::Give(last));
        };
        match op {
            Strict::Map => {
                let list = self.list(last, "map")?;
                self.fiber.operands.push(list);
                self.map(0)
            }
            Strict::Filter => {
                let list = self.list(last, "filter")?;
                // The list for what stays, and then all that a map has.
                let func = self.fiber.operands.pop().unwrap_or(Value::Nil);
                self.fiber.operands.extend([list, func, list]);
                self.fiber.frames.push(Frame::Pick);
                self.map(0)
            }
            Strict::Fold => {
                let list = self.list(last, "fold")?;
                let first = self.fiber.operands.pop().unwrap_or(Value::Nil);
                self.fiber.operands.push(list);
                self.fold(0, first)
            }
            Strict::Parallel { collect } => {
                let list = self.list(last, "pmap")?;
                let [.., width, _] = self.fiber.operands[..] else {
                    return Ok(Next::Give(last));
                };
                let width = Machine::count(self.heap.look(width)?, "width of a pmap")?;
                if width == 0 {
                    return Err(Stop::raised("width of a pmap is 0, expected at least 1"));
                }
                let func = self.fiber.operands.pop().unwrap_or(Value::Nil);
                self.fiber.operands.pop();
                self.items(func, list, width.min(EVAL_ASKS_MAX as u64) as u32, collect)
            }
            Strict::Sleep => {
                let ms = Machine::count(self.heap.look(last)?, "time to sleep")?;
                self.check_room()?;
                let slot = self.ask_sleep(self.fiber.scope, ms);
                Ok(Next::Give(Value::Pending(slot)))
            }
            Strict::Timeout(child) => {
                let ms = Machine::count(self.heap.look(last)?, "timeout")?;
                self.check_room()?;
                let next = self.enter(End::Join, child);
                self.ask_timeout(self.fiber.scope, ms);
                next
            }
            Strict::Worker(channel) => self.start_worker(program, channel, last),
            Strict::OnWorker(verb) => self.on_worker(program, id, verb, last),
            Strict::Pipe(pipe) => self.start_pipe(program, pipe, last),
            Strict::Retry(child) => {
                let [.., times] = self.fiber.operands[..] else {
                    return Ok(Next::Give(last));
                };
                let times = Machine::count(self.heap.look(times)?, "number of tries")?;
                let delay_ms = Machine::count(self.heap.look(last)?, "delay of a retry")?;
                self.fiber.operands.pop();
                let left = times.saturating_sub(1);
                self.enter(
                    End::Retry {
                        left,
                        delay_ms,
                        child,
                    },
                    child,
                )
            }
        }
    }

    /// A list whose elements can be seen.
    fn list(&self, value: Value, what: &str) -> Eval<Value> {
        let list = self.heap.look(value)?;
        list_len(list, what).map(|_| list)
    }

    /// The next element of a map, whose function, list and results so far are the top operands; or the list of results.
    pub(super) fn map(&mut self, results: usize) -> Eval<Next> {
        let above = self.fiber.operands.len() - results;
        let (func, list) = (self.fiber.operands[above - 2], self.fiber.operands[above - 1]);
        if results == list_len(list, "map")? {
            let mapped = self.take_operands(results)?;
            self.fiber.operands.truncate(above - 2);
            return Ok(Next::Give(Value::List(mapped)));
        }
        self.fiber.frames.push(Frame::Map {
            results: results as u32,
        });
        self.fiber.operands.push(element(&self.heap, list, results));
        self.fiber.frames.push(Frame::Call { count: 1 });
        Ok(Next::Give(func))
    }

    /// The next element of a fold, whose function and list are the top operands, after `done` of them.
    pub(super) fn fold(&mut self, done: usize, so_far: Value) -> Eval<Next> {
        let [.., func, list] = self.fiber.operands[..] else {
            return Ok(Next::Give(so_far));
        };
        let fiber = &mut self.fiber;
        if done == list_len(list, "fold")? {
            fiber.operands.truncate(fiber.operands.len() - 2);
            return Ok(Next::Give(so_far));
        }
        fiber.frames.push(Frame::Fold {
            done: done as u32 + 1,
        });
        fiber.operands.extend([so_far, element(&self.heap, list, done)]);
        fiber.frames.push(Frame::Call { count: 2 });
        Ok(Next::Give(func))
    }

    /// The elements of the list on top of the operands for which another list says true.
    pub(super) fn pick(&mut self, choices: Value) -> Eval<Next> {
        let [.., list] = self.fiber.operands[..] else {
            return Ok(Next::Give(choices));
        };
        let mut kept = Vec::new();
        for position in 0..list_len(choices, "filter")? {
            match self.heap.look(element(&self.heap, choices, position))? {
                Value::Bool(true) => kept.push(element(&self.heap, list, position)),
                Value::Bool(false) => {}
                other => {
                    let found = other.name();
                    return Err(Stop::misfit(format!(
                        "filter is told {found}, expected a boolean"
                    )));
                }
            }
        }
        self.fiber.operands.pop();
        Ok(Next::Give(Value::List(self.heap.add_values(kept.into_iter())?)))
    }

    /// Begins a strand that has others do something, in a scope around all of it. Its value is to come.
    fn conduct(&mut self, frame: Frame, operands: Vec<Value>) -> (FiberId, Next) {
        let slot = self.heap.add_slot();
        let fiber = Fiber {
            frames: vec![frame],
            operands,
            result: Some(slot),
            ..Fiber::new(Next::Give(Value::Nil), self.fiber.scope)
        };
        let conductor = self.spawn_scope(fiber, End::Join, false);
        (conductor, Next::Give(Value::Pending(slot)))
    }

    /// Has a function applied to each element, so many at once.
    fn items(&mut self, func: Value, list: Value, width: u32, collect: bool) -> Eval<Next> {
        let len = list_len(list, "pmap")?;
        self.heap.reserve((len + 2).saturating_mul(size_of::<Value>()))?;
        let mut operands = vec![func, list];
        operands.resize(len + 2, Value::Nil);
        let frame = Frame::Items {
            next: 0,
            running: 0,
            width,
            collect,
        };
        let (conductor, next) = self.conduct(frame, operands);
        self.begin_items(conductor)?;
        Ok(next)
    }

    /// Begins items until as many run as may. When none is left, the results are the value.
    fn begin_items(&mut self, conductor: FiberId) -> Eval {
        loop {
            let Some(fiber) = self.fibers.get_mut(conductor) else {
                return Ok(());
            };
            let (home, len) = (fiber.scope, fiber.operands.len() - 2);
            let (func, list) = (fiber.operands[0], fiber.operands[1]);
            let Some(Frame::Items {
                next, running, width, ..
            }) = fiber.frames.last_mut()
            else {
                return Ok(());
            };
            if *running == 0 && *next as usize == len {
                let results = fiber.operands.split_off(2);
                fiber.frames.pop();
                fiber.operands.clear();
                fiber.next = Next::Give(Value::List(self.heap.add_values(results.into_iter())?));
                self.wake(conductor);
                return Ok(());
            }
            if running >= width || *next as usize == len {
                return Ok(());
            }
            let position = *next;
            *next += 1;
            *running += 1;
            let item = Fiber {
                frames: vec![Frame::Call { count: 1 }],
                operands: vec![element(&self.heap, list, position as usize)],
                ..Fiber::new(Next::Give(func), home)
            };
            let item = self.spawn_scope(item, End::Item(conductor, position), false);
            self.wake(item);
        }
    }

    /// Begins all of several, of which the first that succeeds is enough.
    pub(super) fn race(&mut self, elements: &[ExprId]) -> Next {
        let frame = Frame::Race {
            running: elements.len() as u32,
        };
        let (conductor, next) = self.conduct(frame, Vec::new());
        let home = self.fibers.get(conductor).map_or(0, |fiber| fiber.scope);
        for (position, element) in elements.iter().enumerate() {
            let mut racer = self.fiber.branch(*element);
            (racer.home, racer.scope) = (home, home);
            let racer = self.spawn_scope(racer, End::Item(conductor, position as u32), false);
            self.wake(racer);
        }
        next
    }

    /// One of several that a strand has others do is done; an error is that of the strand.
    pub(super) fn finish_item(&mut self, conductor: FiberId, position: u32, result: Eval<Value>) -> Eval {
        let Some(fiber) = self.fibers.get_mut(conductor) else {
            return Ok(());
        };
        let scope = fiber.scope;
        match fiber.frames.last_mut() {
            Some(Frame::Items { running, collect, .. }) => {
                *running -= 1;
                let collect = *collect;
                let value = match result {
                    Ok(value) if !collect => value,
                    Ok(value) => self.attempted(value, Value::Nil)?,
                    Err(Stop::Raised(error)) if collect && error.kind != Kind::Cancelled => {
                        let message = Value::Str(self.heap.add_text(&error.message)?);
                        self.attempted(Value::Nil, message)?
                    }
                    Err(Stop::Raised(mut error)) => {
                        error.message = format!("item {}: {}", position + 1, error.message);
                        return Err(Stop::Raised(error));
                    }
                    Err(stop) => return Err(stop),
                };
                if let Some(fiber) = self.fibers.get_mut(conductor) {
                    fiber.operands[2 + position as usize] = value;
                }
                self.begin_items(conductor)
            }
            Some(Frame::Race { running }) => match result {
                Ok(value) => {
                    fiber.frames.pop();
                    fiber.next = Next::Give(value);
                    self.clear(scope);
                    self.wake(conductor);
                    Ok(())
                }
                Err(Stop::Raised(_)) if *running > 1 => {
                    *running -= 1;
                    Ok(())
                }
                Err(stop) => Err(stop),
            },
            _ => Ok(()),
        }
    }
}
