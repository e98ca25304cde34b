//! Pseudo-random numbers from a seed (splitmix64), the same on every machine. Nothing here is fit for secrets.

/// A source of numbers.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Random {
        Random(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    /// A number from 0 to `end`, without `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(end)) >> 64) as u64
    }

    /// A number from `low` to `high`, both included.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high - low + 1)
    }

    /// True in that many of a thousand cases.
    pub fn chance(&mut self, per_mille: u64) -> bool {
        self.below(1000) < per_mille
    }

    /// A size from 1 to `most`, each order of magnitude as likely as the next.
    pub fn size(&mut self, most: usize) -> usize {
        let bits = self.between(0, u64::from(usize::BITS - most.leading_zeros()));
        (self.below(1 << bits) as usize + 1).min(most)
    }

    /// A part of what waits: half of the time all of it, else any size from one byte.
    pub fn cut(&mut self, waiting: usize) -> usize {
        match self.chance(500) {
            true => waiting,
            false => self.size(waiting),
        }
    }

    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u64) as usize]
    }
}
