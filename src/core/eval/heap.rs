//! Values during an evaluation and the memory they share: tables that only grow, up to a budget, and are dropped as a
//! whole, so that no value however deep is freed or walked by recursion. Knows no types and no expressions.

use crate::codec::schema::Number;
use crate::core::eval::fiber::FiberId;
use crate::core::eval::stop::{Eval, On, Stop};
use crate::ids::{ExprId, Span, TypeId};
use std::rc::Rc;

/// A stretch of one of the tables of a [`Heap`].
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Range {
    pub start: u32,
    pub len: u32,
}

impl Range {
    /// What is left after so many.
    pub fn from(self, first: u32) -> Range {
        Range {
            start: self.start + first,
            len: self.len - first,
        }
    }

    pub(super) fn bounds(self) -> std::ops::Range<usize> {
        self.start as usize..self.start as usize + self.len as usize
    }
}

/// A value, small enough to copy; what it contains lies in the heap.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value {
    Nil,
    Bool(bool),
    Int(i64),
    /// An integer above `i64::MAX`.
    Unsigned(u64),
    /// An integer beyond 64 bits, as msgpack holds it: big-endian two's complement, in `bytes`.
    Big(Range),
    Float(f64),
    /// In `text`.
    Str(Range),
    /// A string of the program.
    Literal(Span),
    /// In `bytes`.
    Bytes(Range),
    /// In `values`.
    List(Range),
    /// Numbers side by side as in msgpack, little-endian, in `bytes`.
    Packed(Number, Range),
    /// In `values`.
    Tuple(Range),
    /// In `values`, in the order of the type's fields.
    Record(TypeId, Range),
    /// A function with what it captured, then the arguments it has already, in `values`.
    Closure(ExprId, Range),
    /// A function of a pool that gave it away, of that type: in `values` its bytes as they came, then the arguments it has
    /// already.
    Foreign(TypeId, Range),
    /// A value of that type as a pool gave it, which nobody has looked into: in the payload of a slot.
    Wire(TypeId, u32),
    /// What a slot will hold, or holds by now.
    Pending(u32),
}

impl Value {
    /// The word for it in messages.
    pub fn name(self) -> &'static str {
        match self {
            Value::Nil => "null",
            Value::Bool(_) => "a boolean",
            Value::Int(_) | Value::Unsigned(_) | Value::Big(_) => "an integer",
            Value::Float(_) => "a float",
            Value::Str(_) | Value::Literal(_) => "a string",
            Value::Bytes(_) => "bytes",
            Value::List(_) | Value::Packed(..) => "a list",
            Value::Tuple(_) => "a tuple",
            Value::Record(..) => "a record",
            Value::Closure(..) | Value::Foreign(..) => "a function",
            Value::Wire(..) | Value::Pending(_) => "a value",
        }
    }
}

/// A place for a value that comes later.
#[derive(Debug, Default)]
pub struct Slot {
    /// None: it has not come.
    pub value: Option<Value>,
    /// The bytes of an answer; a pipe may have a share in them.
    pub payload: Rc<Vec<u8>>,
    /// The value is the content of that file, of that type, which nobody has asked for.
    pub file: Option<(u32, TypeId)>,
    /// The value of the payload, once somebody has looked into it.
    pub decoded: Option<Value>,
    /// Who waits for it.
    pub waiters: Vec<FiberId>,
}

/// The memory of one evaluation.
#[derive(Debug)]
pub struct Heap {
    pub(super) values: Vec<Value>,
    pub(super) text: String,
    pub(super) bytes: Vec<u8>,
    bytes_max: usize,
    pub(super) slots: Vec<Slot>,
    pub(super) free_slots: Vec<u32>,
    /// Bytes of all payloads, which count apart: they are as large as the pools make them.
    pub(super) payload_bytes: usize,
}

impl Heap {
    pub fn new(bytes_max: usize) -> Heap {
        Heap {
            values: Vec::new(),
            text: String::new(),
            bytes: Vec::new(),
            // Ranges count in u32.
            bytes_max: bytes_max.min(u32::MAX as usize),
            slots: Vec::new(),
            free_slots: Vec::new(),
            payload_bytes: 0,
        }
    }

    /// A slot for a value that is to come.
    pub fn add_slot(&mut self) -> u32 {
        if let Some(slot) = self.free_slots.pop() {
            return slot;
        }
        self.slots.push(Slot::default());
        self.slots.len() as u32 - 1
    }

    /// A value that is there as bytes.
    pub fn add_wire(&mut self, ty: TypeId, payload: Vec<u8>) -> Value {
        let slot = self.add_slot();
        self.fill_wire(ty, slot, payload)
    }

    /// Puts an answer into its slot.
    pub fn fill_wire(&mut self, ty: TypeId, slot: u32, payload: Vec<u8>) -> Value {
        self.payload_bytes += payload.len();
        let entry = &mut self.slots[slot as usize];
        entry.payload = Rc::new(payload);
        entry.file = None;
        entry.value = Some(Value::Wire(ty, slot));
        Value::Wire(ty, slot)
    }

    /// A value that is the content of a file.
    pub fn add_file(&mut self, file: u32, ty: TypeId) -> Value {
        let slot = self.add_slot();
        self.slots[slot as usize].file = Some((file, ty));
        Value::Pending(slot)
    }

    pub fn payload(&self, slot: u32) -> &Rc<Vec<u8>> {
        &self.slots[slot as usize].payload
    }

    /// The value itself, where its parts can be seen.
    pub fn look(&self, value: Value) -> Eval<Value> {
        match self.settle(value) {
            Value::Pending(slot) => Err(Stop::Wait(On::Slot(slot))),
            Value::Wire(ty, slot) => match self.slots[slot as usize].decoded {
                Some(decoded) => Ok(decoded),
                None => Err(Stop::Look(ty, slot)),
            },
            value => Ok(value),
        }
    }

    /// What has come of a value: it is still pending if it has not.
    pub fn settle(&self, value: Value) -> Value {
        let mut value = value;
        while let Value::Pending(slot) = value
            && let Some(come) = self.slots[slot as usize].value
        {
            value = come;
        }
        value
    }

    /// Memory in use and the most there may be, in bytes.
    pub fn usage(&self) -> (usize, usize) {
        let values = self.values.len() * size_of::<Value>();
        (values + self.text.len() + self.bytes.len(), self.bytes_max)
    }

    /// Fails unless that many more bytes are within the budget.
    pub fn reserve(&self, bytes: usize) -> Eval {
        let (used, max) = self.usage();
        match used.saturating_add(bytes) <= max {
            true => Ok(()),
            false => Err(Stop::too_large(max)),
        }
    }

    pub fn values(&self, range: Range) -> &[Value] {
        &self.values[range.bounds()]
    }

    pub fn value(&self, range: Range, position: usize) -> Value {
        self.values[range.start as usize + position]
    }

    pub fn set_value(&mut self, range: Range, position: usize, value: Value) {
        self.values[range.start as usize + position] = value;
    }

    pub fn text(&self, range: Range) -> &str {
        &self.text[range.bounds()]
    }

    pub fn bytes(&self, range: Range) -> &[u8] {
        &self.bytes[range.bounds()]
    }

    pub fn add_values(&mut self, values: impl ExactSizeIterator<Item = Value>) -> Eval<Range> {
        self.reserve(values.len() * size_of::<Value>())?;
        let start = self.values.len();
        self.values.extend(values);
        Ok(range(start, self.values.len()))
    }

    pub fn copy_values(&mut self, from: Range) -> Eval<Range> {
        self.reserve(from.len as usize * size_of::<Value>())?;
        let start = self.values.len();
        self.values.extend_from_within(from.bounds());
        Ok(range(start, self.values.len()))
    }

    pub fn add_text(&mut self, text: &str) -> Eval<Range> {
        self.reserve(text.len())?;
        let start = self.text.len();
        self.text.push_str(text);
        Ok(range(start, self.text.len()))
    }

    /// Appends a string that is in the heap to its end; for building one from several.
    pub fn extend_text(&mut self, from: Range) -> Eval {
        self.reserve(from.len as usize)?;
        self.text.extend_from_within(from.bounds());
        Ok(())
    }

    /// The string from there to the end.
    pub fn text_since(&self, start: usize) -> Range {
        range(start, self.text.len())
    }

    pub fn text_len(&self) -> usize {
        self.text.len()
    }

    pub fn add_bytes(&mut self, bytes: &[u8]) -> Eval<Range> {
        self.reserve(bytes.len())?;
        let start = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        Ok(range(start, self.bytes.len()))
    }
}

fn range(start: usize, end: usize) -> Range {
    Range {
        start: start as u32,
        len: (end - start) as u32,
    }
}
