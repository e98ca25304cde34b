//! Collection of what no strand can reach any more: values slide together in their tables, in their order, so that a stretch
//! stays a stretch also where several share parts of it. Payloads of answers go as a whole. Walks no value by recursion.

use crate::core::eval::fiber::{Fiber, Frame, Next};
use crate::core::eval::heap::{Heap, Range, Slot, Value};
use crate::core::eval::machine::Machine;
use crate::limits::EVAL_GARBAGE_BYTES_MIN;

/// Entries of a table that are to stay.
struct Marks {
    words: Vec<u64>,
    /// How many stay before each word.
    ranks: Vec<u32>,
}

impl Marks {
    fn new(len: usize) -> Marks {
        Marks {
            words: vec![0; len / 64 + 1],
            ranks: Vec::new(),
        }
    }

    /// Marks an entry; false if it was.
    fn mark(&mut self, at: usize) -> bool {
        let (word, bit) = (&mut self.words[at / 64], 1 << (at % 64));
        let is_new = *word & bit == 0;
        *word |= bit;
        is_new
    }

    fn mark_all(&mut self, range: Range) {
        let mut at = range.start as usize;
        let end = at + range.len as usize;
        while at < end {
            let count = (64 - at % 64).min(end - at);
            self.words[at / 64] |= (u64::MAX >> (64 - count)) << (at % 64);
            at += count;
        }
    }

    /// Counts, once all is marked.
    fn count(&mut self) {
        let mut rank = 0;
        for word in &self.words {
            self.ranks.push(rank);
            rank += word.count_ones();
        }
    }

    /// Where an entry will be.
    fn rank(&self, at: u32) -> u32 {
        let (word, bit) = (at as usize / 64, at % 64);
        self.ranks[word] + (self.words[word] & ((1 << bit) - 1)).count_ones()
    }

    fn moved(&self, range: Range) -> Range {
        match range.len {
            0 => Range::default(),
            len => Range {
                start: self.rank(range.start),
                len,
            },
        }
    }

    /// What stays of a table.
    fn kept<T: Copy>(&self, table: &[T]) -> Vec<T> {
        let mut kept = Vec::new();
        for (word, part) in self.words.iter().zip(table.chunks(64)) {
            if *word == u64::MAX {
                kept.extend_from_slice(part);
                continue;
            }
            let mut left = *word;
            while left != 0 {
                kept.push(part[left.trailing_zeros() as usize]);
                left &= left - 1;
            }
        }
        kept
    }
}

struct Collection {
    values: Marks,
    text: Marks,
    bytes: Marks,
    slots: Marks,
    /// Values whose parts are still to be marked.
    open: Vec<Value>,
}

impl Collection {
    fn reach(&mut self, heap: &Heap, value: Value) {
        self.open.push(heap.settle(value));
        while let Some(value) = self.open.pop() {
            match value {
                Value::Str(range) => self.text.mark_all(range),
                Value::Big(range) | Value::Bytes(range) | Value::Packed(_, range) => {
                    self.bytes.mark_all(range)
                }
                Value::List(range)
                | Value::Tuple(range)
                | Value::Record(_, range)
                | Value::Closure(_, range)
                | Value::Foreign(_, range) => self.open_range(heap, range),
                Value::Wire(_, slot) => {
                    if self.slots.mark(slot as usize) {
                        self.open.extend(heap.slots[slot as usize].decoded);
                    }
                }
                Value::Pending(slot) => drop(self.slots.mark(slot as usize)),
                Value::Nil
                | Value::Bool(_)
                | Value::Int(_)
                | Value::Unsigned(_)
                | Value::Float(_)
                | Value::Literal(_) => {}
            }
        }
    }

    fn open_range(&mut self, heap: &Heap, range: Range) {
        for at in range.bounds() {
            if self.values.mark(at) {
                self.open.push(heap.settle(heap.values[at]));
            }
        }
    }

    fn moved(&self, heap: &Heap, value: Value) -> Value {
        match heap.settle(value) {
            Value::Str(range) => Value::Str(self.text.moved(range)),
            Value::Big(range) => Value::Big(self.bytes.moved(range)),
            Value::Bytes(range) => Value::Bytes(self.bytes.moved(range)),
            Value::Packed(number, range) => Value::Packed(number, self.bytes.moved(range)),
            Value::List(range) => Value::List(self.values.moved(range)),
            Value::Tuple(range) => Value::Tuple(self.values.moved(range)),
            Value::Record(ty, range) => Value::Record(ty, self.values.moved(range)),
            Value::Closure(id, range) => Value::Closure(id, self.values.moved(range)),
            Value::Foreign(ty, range) => Value::Foreign(ty, self.values.moved(range)),
            value => value,
        }
    }
}

/// Does something with each value that a strand holds, and each stretch of captures.
fn visit(fiber: &mut Fiber, mut value: impl FnMut(&mut Value), mut captures: impl FnMut(&mut Range)) {
    if let Next::Give(given) = &mut fiber.next {
        value(given);
    }
    fiber.operands.iter_mut().chain(&mut fiber.locals).for_each(value);
    captures(&mut fiber.captures);
    for frame in &mut fiber.frames {
        if let Frame::Return { captures: kept, .. } = frame {
            captures(kept);
        }
    }
}

impl Machine {
    /// Frees what can't be reached, if much has been made since that was last done. All strands stand still.
    pub(super) fn collect_if_due(&mut self) {
        let (used, _) = self.heap.usage();
        let is_due = used + self.heap.payload_bytes >= self.collect_at || used >= self.collect_heap_at;
        #[cfg(test)]
        let is_due = is_due || self.is_thrifty;
        if is_due {
            self.collect();
        }
    }

    fn collect(&mut self) {
        let mut heap = std::mem::replace(&mut self.heap, Heap::new(0));
        let mut marks = Collection {
            values: Marks::new(heap.values.len()),
            text: Marks::new(heap.text.len()),
            bytes: Marks::new(heap.bytes.len()),
            slots: Marks::new(heap.slots.len()),
            open: Vec::new(),
        };
        let given = self.functions.given.iter_mut().map(|given| &mut given.value);
        let stages = self
            .pipes
            .values_mut()
            .flat_map(|pipe| pipe.functions.iter_mut().flatten());
        let piped = stages.map(|(function, ..)| function);
        let others = given.chain(piped).chain(self.result.iter_mut().flatten());
        let mut others: Vec<&mut Value> = others.collect();
        for value in &others {
            marks.reach(&heap, **value);
        }
        let mut found = Vec::new();
        let mut captured = Vec::new();
        for fiber in self.fibers.iter_mut().chain([&mut self.fiber]) {
            visit(fiber, |value| found.push(*value), |range| captured.push(*range));
        }
        for value in found {
            marks.reach(&heap, value);
        }
        for range in captured {
            marks.reach(&heap, Value::Tuple(range));
        }
        for marked in [&mut marks.values, &mut marks.text, &mut marks.bytes] {
            marked.count();
        }
        for value in &mut others {
            **value = marks.moved(&heap, **value);
        }
        for fiber in self.fibers.iter_mut().chain([&mut self.fiber]) {
            let moved = |value: &mut Value| *value = marks.moved(&heap, *value);
            visit(fiber, moved, |range| *range = marks.values.moved(*range));
        }
        let kept = marks.values.kept(&heap.values);
        heap.values = kept.into_iter().map(|value| marks.moved(&heap, value)).collect();
        for at in 0..heap.slots.len() {
            heap.slots[at].decoded = heap.slots[at].decoded.map(|value| marks.moved(&heap, value));
        }
        // Stretches of text begin and end where characters do.
        heap.text = String::from_utf8(marks.text.kept(heap.text.as_bytes())).unwrap_or_default();
        heap.bytes = marks.bytes.kept(&heap.bytes);
        heap.free(&mut marks.slots);
        self.heap = heap;
        let (used, max) = self.heap.usage();
        self.collect_at = 2 * (used + self.heap.payload_bytes) + EVAL_GARBAGE_BYTES_MIN;
        // The nearer the limit, the sooner; but not all the time.
        self.collect_heap_at = used + ((max - used) / 2).max(max / 16);
    }
}

impl Heap {
    /// Frees all slots but those that are marked, and those that wait for their value.
    fn free(&mut self, marks: &mut Marks) {
        for slot in &self.free_slots {
            marks.mark(*slot as usize);
        }
        for (number, slot) in self.slots.iter_mut().enumerate() {
            if slot.value.is_some() && marks.mark(number) {
                self.payload_bytes -= slot.payload.len();
                *slot = Slot::default();
                self.free_slots.push(number as u32);
            }
        }
    }
}
