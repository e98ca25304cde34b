//! One strand of an evaluation: its stack of frames, and how that is split where something has to wait while what stands
//! beside it can go on. Evaluates nothing.

use crate::core::eval::heap::{Heap, Range, Value};
use crate::core::eval::machine::Program;
use crate::core::eval::select::list_len;
use crate::core::slab::Key;
use crate::expr::arena::Expr;
use crate::ids::{ExprId, TypeId};

/// A strand that exists; its number is never used again.
pub type FiberId = Key<Fiber>;

/// What is done next.
#[derive(Clone, Copy, Debug)]
pub enum Next {
    Evaluate(ExprId),
    /// Hand a value to the frame on top.
    Give(Value),
}

/// What waits for a value; its operands are on top of the operand stack.
#[derive(Clone, Copy, Debug)]
pub enum Frame {
    /// Elements of a container, arguments, values of a `let`: `next` is the child after the one that is evaluated, those
    /// before are operands.
    Collect { id: ExprId, next: u32 },
    /// The last argument of what is strict in them; the others are operands.
    Strict { id: ExprId, held: u32 },
    /// The end of a `let`: that many locals go.
    Unlet { count: u32 },
    /// The function, for that many operands.
    Call { count: u32 },
    /// The body of a lambda: what to go back to.
    Return { base: u32, captures: Range },
    /// A condition.
    If { then: ExprId, otherwise: ExprId },
    /// What is to be text.
    Show { ty: TypeId },
    /// What is text.
    Read { ty: TypeId },
    /// A message.
    Throw,
    /// The value of which nothing may be left to do: what stood on the stacks before.
    Scope { scope: u32, operands: u32, locals: u32 },
    /// The value that has to be there before that is evaluated.
    Then { child: ExprId },
    /// A result of a map; the operands are its function, its list and the results so far.
    Map { results: u32 },
    /// What a fold has so far, after that many elements; the operands are its function and its list.
    Fold { done: u32 },
    /// For each element of the operand, a list, whether it stays.
    Pick,
    /// Items that are done by other strands, of which the first `next` are begun and `running` not done. The operands are a
    /// function, a list and the results.
    Items {
        next: u32,
        running: u32,
        width: u32,
        collect: bool,
    },
    /// So many strands of which the first that succeeds is enough.
    Race { running: u32 },
}

impl Frame {
    /// How many operands it has.
    fn held(self) -> usize {
        match self {
            Frame::Collect { next, .. } => next as usize - 1,
            Frame::Strict { held, .. } => held as usize,
            Frame::Call { count } => count as usize,
            Frame::Map { results } => results as usize + 2,
            Frame::Fold { .. } => 2,
            Frame::Pick => 1,
            _ => 0,
        }
    }
}

/// One strand.
#[derive(Debug)]
pub struct Fiber {
    pub next: Next,
    pub frames: Vec<Frame>,
    pub operands: Vec<Value>,
    pub locals: Vec<Value>,
    /// Where the locals of the innermost function start, and what it captured.
    pub base: u32,
    pub captures: Range,
    /// The scope that it was begun in.
    pub home: u32,
    /// The innermost scope of its own, or `home`.
    pub scope: u32,
    /// The slot that its value goes to; none: nobody wants it.
    pub result: Option<u32>,
    /// It stands in the list of those that can go on.
    pub is_ready: bool,
}

impl Default for Fiber {
    fn default() -> Fiber {
        Fiber::new(Next::Give(Value::Nil), 0)
    }
}

/// What a fiber looks like where one of its frames is on top.
struct Cut {
    /// How many frames it has there.
    frames: usize,
    operands: usize,
    locals: usize,
    base: u32,
    captures: Range,
}

impl Fiber {
    /// A strand with an empty stack, in that scope.
    pub fn new(next: Next, home: u32) -> Fiber {
        Fiber {
            next,
            frames: Vec::new(),
            operands: Vec::new(),
            locals: Vec::new(),
            base: 0,
            captures: Range::default(),
            home,
            scope: home,
            result: None,
            is_ready: false,
        }
    }

    /// A strand that evaluates something as this one would now.
    pub fn branch(&self, child: ExprId) -> Fiber {
        Fiber {
            locals: self.locals[self.base as usize..].to_vec(),
            captures: self.captures,
            ..Fiber::new(Next::Evaluate(child), self.scope)
        }
    }

    /// Puts values among the operands, before those from there on.
    pub fn insert_operands(&mut self, at: usize, values: &[Value]) {
        let (len, count) = (self.operands.len(), values.len());
        self.operands.resize(len + count, Value::Nil);
        self.operands.copy_within(at..len, at + count);
        self.operands[at..at + count].copy_from_slice(values);
    }

    /// Bytes that its stacks take.
    pub fn bytes(&self) -> usize {
        (self.operands.len() + self.locals.len()) * size_of::<Value>()
            + self.frames.len() * size_of::<Frame>()
    }

    /// Splits off all that stands above the nearest frame that has something else to do meanwhile: it waits by itself, and
    /// gives its value to `slot`. What scope this one is in then is for the caller to say.
    pub fn split(&mut self, program: Program<'_>, heap: &Heap, slot: u32) -> Option<Fiber> {
        let cut = self.cut(program, heap)?;
        let mut above = Fiber {
            next: self.next,
            frames: self.frames.split_off(cut.frames),
            operands: self.operands.split_off(cut.operands),
            locals: self.locals[cut.base as usize..].to_vec(),
            base: self.base - cut.base,
            captures: self.captures,
            result: Some(slot),
            ..Fiber::new(self.next, self.scope)
        };
        for frame in &mut above.frames {
            match frame {
                Frame::Return { base, .. } => *base -= cut.base,
                Frame::Scope { operands, locals, .. } => {
                    *operands -= cut.operands as u32;
                    *locals -= cut.base;
                }
                _ => {}
            }
        }
        self.locals.truncate(cut.locals);
        (self.base, self.captures) = (cut.base, cut.captures);
        self.next = Next::Give(Value::Pending(slot));
        Some(above)
    }

    fn cut(&self, program: Program<'_>, heap: &Heap) -> Option<Cut> {
        let mut cut = Cut {
            frames: self.frames.len(),
            operands: self.operands.len(),
            locals: self.locals.len(),
            base: self.base,
            captures: self.captures,
        };
        for (position, frame) in self.frames.iter().enumerate().rev() {
            if position + 1 < self.frames.len() && self.has_more(program, heap, *frame, cut.operands) {
                cut.frames = position + 1;
                return Some(cut);
            }
            match *frame {
                Frame::Unlet { count } => cut.locals -= count as usize,
                Frame::Return { base, captures } => {
                    cut.locals = cut.base as usize;
                    (cut.base, cut.captures) = (base, captures);
                }
                _ => {}
            }
            cut.operands -= frame.held();
        }
        None
    }

    /// Whether a frame has something to do while its value is still to come; its operands end there.
    fn has_more(&self, program: Program<'_>, heap: &Heap, frame: Frame, operands_end: usize) -> bool {
        match frame {
            Frame::Collect { id, next } => {
                let exprs = program.exprs;
                let current = program.child(id, next - 1).map(|child| exprs.node(child));
                if let Some(Expr::Joined(_)) = current {
                    return false;
                }
                let is_last = program.child(id, next).is_none();
                match exprs.node(id) {
                    Expr::Apply { func, .. } if is_last => {
                        !matches!(exprs.node(func), Expr::Foreign(_) | Expr::Operator { .. })
                    }
                    Expr::Let { .. } => true,
                    _ => !is_last,
                }
            }
            Frame::Map { results } => {
                let list = self.operands[operands_end - results as usize - 1];
                let len = heap.look(list).and_then(|list| list_len(list, "map"));
                len.is_ok_and(|len| results as usize + 1 < len)
            }
            _ => false,
        }
    }
}
