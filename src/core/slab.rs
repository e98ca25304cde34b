//! A table whose keys are never used twice, so that a late message can't reach the wrong call.

use std::marker::PhantomData;

/// A key into a [`Slab`]: the slot and how often it was used before.
pub struct Key<T> {
    raw: u64,
    of: PhantomData<fn() -> T>,
}

impl<T> Key<T> {
    /// The key as a number, as ids on the wire and tokens hold it.
    pub fn raw(self) -> u64 {
        self.raw
    }

    /// The key of that number, which a table may or may not hold.
    pub fn from_raw(raw: u64) -> Key<T> {
        Key { raw, of: PhantomData }
    }

    fn slot(self) -> usize {
        (self.raw & 0xffff_ffff) as usize
    }
}

// Derives would demand the same of T.
impl<T> Clone for Key<T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T> Copy for Key<T> {}
impl<T> PartialEq for Key<T> {
    fn eq(&self, other: &Self) -> bool {
        self.raw == other.raw
    }
}
impl<T> Eq for Key<T> {}
impl<T> PartialOrd for Key<T> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl<T> Ord for Key<T> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.raw.cmp(&other.raw)
    }
}
impl<T> std::fmt::Debug for Key<T> {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{}.{}", self.slot(), self.raw >> 32)
    }
}

/// 31 bits keep a wire id within every language's signed 64-bit integer.
const USES_MASK: u32 = 0x7fff_ffff;

struct Slot<T> {
    uses: u32,
    value: Option<T>,
}

/// The table. Slots are used again, keys are not.
pub struct Slab<T> {
    slots: Vec<Slot<T>>,
    free: Vec<u32>,
}

impl<T> Slab<T> {
    pub fn new() -> Slab<T> {
        Slab {
            slots: Vec::new(),
            free: Vec::new(),
        }
    }

    pub fn insert(&mut self, value: T) -> Key<T> {
        let slot = match self.free.pop() {
            Some(slot) => slot,
            None => {
                self.slots.push(Slot { uses: 0, value: None });
                self.slots.len() as u32 - 1
            }
        };
        let entry = &mut self.slots[slot as usize];
        entry.value = Some(value);
        Key::from_raw(u64::from(entry.uses) << 32 | u64::from(slot))
    }

    pub fn get(&self, key: Key<T>) -> Option<&T> {
        let slot = self.slots.get(key.slot())?;
        slot.value
            .as_ref()
            .filter(|_| u64::from(slot.uses) == key.raw >> 32)
    }

    pub fn get_mut(&mut self, key: Key<T>) -> Option<&mut T> {
        let slot = self.slots.get_mut(key.slot())?;
        slot.value
            .as_mut()
            .filter(|_| u64::from(slot.uses) == key.raw >> 32)
    }

    pub fn remove(&mut self, key: Key<T>) -> Option<T> {
        self.get(key)?;
        let slot = &mut self.slots[key.slot()];
        slot.uses = (slot.uses + 1) & USES_MASK;
        self.free.push(key.slot() as u32);
        slot.value.take()
    }

    /// As [`Slab::remove`], for a value that nobody wants: it is dropped where it is.
    pub fn discard(&mut self, key: Key<T>) {
        if self.get(key).is_some() {
            let slot = &mut self.slots[key.slot()];
            slot.uses = (slot.uses + 1) & USES_MASK;
            slot.value = None;
            self.free.push(key.slot() as u32);
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = (Key<T>, &T)> {
        self.slots.iter().enumerate().filter_map(|(slot, entry)| {
            let key = Key::from_raw(u64::from(entry.uses) << 32 | slot as u64);
            entry.value.as_ref().map(|value| (key, value))
        })
    }

    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.slots.iter_mut().filter_map(|slot| slot.value.as_mut())
    }

    /// How many it has had at once, at most.
    pub fn slots(&self) -> usize {
        self.slots.len()
    }

    pub fn is_empty(&self) -> bool {
        self.slots.len() == self.free.len()
    }

    pub fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_dies_with_its_value() {
        let mut slab = Slab::new();
        let first = slab.insert('a');
        assert_eq!(slab.remove(first), Some('a'));
        let second = slab.insert('b');
        assert_eq!((slab.get(first), slab.get(second)), (None, Some(&'b')));
        assert_eq!((slab.remove(first), slab.len()), (None, 1));
        assert_eq!(slab.iter().map(|(key, _)| key).collect::<Vec<_>>(), [second]);
        assert_eq!(slab.get(Key::from_raw(99)), None);
    }
}
