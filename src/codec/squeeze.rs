//! Text made smaller, for the files that the binary carries: each bit is predicted from what came before it, and only the
//! surprise is written. The build packs, the binary unpacks. Not for data from a peer: it is slow (3 MB/s), takes 15 MB, and
//! has no checksum.
//!
//! A bit has one prediction from each of several contexts (the last one to six bytes, the word, the longest match) in the
//! logistic domain; a small network weighs them by how right each has been, as context-mixing compressors do, and an
//! arithmetic coder writes the bit in as little as its chance deserves. Both sides compute the same integers.

/// Bytes of the contexts; the word and the match come on top.
const ORDERS: [usize; 5] = [1, 2, 3, 4, 6];
const CONTEXTS: usize = ORDERS.len() + 1;
const INPUTS: usize = CONTEXTS + 1;

/// Slots for the bits of one context; what falls into the same slot spoils each other's prediction.
const SLOT_BITS: u32 = 19;
/// Bytes that have to be equal for a match to be looked for.
const MATCH_MIN: usize = 5;
const MATCH_BITS: u32 = 16;
/// A longer match is no better a prediction.
const MATCH_MAX: usize = 31;

/// A chance has this many bits in the coder.
const CHANCE_BITS: u32 = 16;
/// The logistic domain: 256 is 1, and beyond 8 nothing is surer.
const LOGIT_MAX: i32 = 2047;
/// e^(-1/256) in 32 bits.
const STEP: u64 = 4_278_222_805;
/// How often a prediction has been right counts up to here; then the latest weigh more.
const COUNT_MAX: u32 = 250;
/// How fast the weights of the predictions follow.
const RATE: i32 = 6;
/// A weight of 1.
const ONE: i32 = 1 << 16;

/// Packs a text.
pub fn pack(text: &[u8]) -> Vec<u8> {
    let mut model = Model::new(text.len());
    let (mut low, mut high) = (0u32, u32::MAX);
    let mut packed = Vec::new();
    for byte in text {
        for place in (0..8).rev() {
            let bit = byte >> place & 1 == 1;
            let middle = split(low, high, model.chance());
            match bit {
                true => high = middle,
                false => low = middle + 1,
            }
            model.learn(bit);
            while (low ^ high) >> 24 == 0 {
                packed.push((high >> 24) as u8);
                low <<= 8;
                high = high << 8 | 0xff;
            }
        }
    }
    // Enough of it to tell that it lies between the two.
    packed.extend_from_slice(&high.to_be_bytes()[..2]);
    packed
}

/// Unpacks a text of `len` bytes. What is no packed text gives some text.
pub fn unpack(packed: &[u8], len: usize) -> Vec<u8> {
    let mut model = Model::new(len);
    let mut rest = packed.iter().copied();
    let mut next = || u32::from(rest.next().unwrap_or(0));
    let (mut low, mut high) = (0u32, u32::MAX);
    let mut code = (0..4).fold(0, |code, _| code << 8 | next());
    while model.text.len() < len {
        let middle = split(low, high, model.chance());
        let bit = code <= middle;
        match bit {
            true => high = middle,
            false => low = middle + 1,
        }
        model.learn(bit);
        while (low ^ high) >> 24 == 0 {
            low <<= 8;
            high = high << 8 | 0xff;
            code = code << 8 | next();
        }
    }
    model.text
}

/// The end of that part of a range in which a bit is set.
fn split(low: u32, high: u32, chance: u32) -> u32 {
    low + ((u64::from(high - low) * u64::from(chance)) >> CHANCE_BITS) as u32
}

/// What is known of the text so far.
struct Model {
    text: Vec<u8>,
    /// The bits of the byte that is under way, after a leading one.
    partial: u32,
    slots: Vec<Slot>,
    /// Hashes of the contexts, without the byte under way.
    contexts: [u32; CONTEXTS],
    /// Where the slots of this half of a byte begin: they lie together in memory, which is what unpacking waits for.
    rows: [usize; CONTEXTS],
    /// The slots of this bit.
    chosen: [usize; CONTEXTS],
    /// For each length of a match, how far it can be believed.
    beliefs: [Slot; MATCH_MAX + 1],
    /// Where each run of [`MATCH_MIN`] bytes was seen last.
    places: Vec<u32>,
    /// Where the match goes on, and how long it is.
    matched: (usize, usize),
    logits: [i32; INPUTS],
    weights: Vec<[i32; INPUTS]>,
    /// In [`CHANCE_BITS`].
    mixed: i32,
    curve: Curve,
}

/// A chance in 22 bits, and in 10 bits from how many cases it comes.
#[derive(Clone, Copy)]
struct Slot(u32);

impl Slot {
    const NEW: Slot = Slot(1 << 31);

    fn chance(self) -> i32 {
        (self.0 >> 16) as i32
    }

    fn learn(&mut self, bit: bool) {
        let (chance, count) = ((self.0 >> 10) as i64, self.0 & 1023);
        let target = if bit { (1 << 22) - 1 } else { 0 };
        let chance = chance + (target - chance) * 2 / (2 * i64::from(count) + 3);
        self.0 = (chance as u32) << 10 | (count + 1).min(COUNT_MAX);
    }
}

impl Model {
    fn new(len: usize) -> Model {
        let mut model = Model {
            text: Vec::with_capacity(len),
            partial: 1,
            slots: vec![Slot::NEW; CONTEXTS << SLOT_BITS],
            contexts: [0; CONTEXTS],
            rows: [0; CONTEXTS],
            chosen: [0; CONTEXTS],
            beliefs: [Slot::NEW; MATCH_MAX + 1],
            places: vec![0; 1 << MATCH_BITS],
            matched: (0, 0),
            logits: [0; INPUTS],
            weights: vec![[ONE / 3; INPUTS]; 256],
            mixed: 0,
            curve: Curve::new(),
        };
        model.predict();
        model
    }

    /// The chance that the next bit is set; neither impossible nor certain.
    fn chance(&self) -> u32 {
        (self.mixed as u32).clamp(1, (1 << CHANCE_BITS) - 1)
    }

    fn predict(&mut self) {
        let done = 31 - self.partial.leading_zeros();
        if done.is_multiple_of(4) {
            for (number, context) in self.contexts.iter().enumerate() {
                let hash = context.wrapping_add(self.partial.wrapping_mul(0x9e37_79b1));
                let hash = (hash ^ hash >> 15).wrapping_mul(0x85eb_ca77);
                self.rows[number] = number << SLOT_BITS | (hash >> (32 - SLOT_BITS)) as usize & !15;
            }
        }
        // The bits of half a byte so far, after a leading one.
        let bits = 1 << (done % 4);
        let within = (self.partial & (bits - 1) | bits) as usize;
        for (number, row) in self.rows.iter().enumerate() {
            let slot = row | within;
            self.chosen[number] = slot;
            self.logits[number] = self.curve.logit(self.slots[slot].chance());
        }
        self.logits[CONTEXTS] = match self.expected() {
            Some((bit, len)) => {
                let logit = self.curve.logit(self.beliefs[len].chance());
                if bit { logit } else { -logit }
            }
            None => 0,
        };
        let weights = &self.weights[self.partial as usize & 255];
        let pairs = self.logits.iter().zip(weights);
        let sum: i64 = pairs
            .map(|(logit, weight)| i64::from(*logit) * i64::from(*weight))
            .sum();
        self.mixed = self.curve.chance((sum >> 16) as i32);
    }

    /// The bit that the match goes on with, if it has been right so far in this byte.
    fn expected(&self) -> Option<(bool, usize)> {
        let (at, len) = self.matched;
        let byte = u32::from(*self.text.get(at).filter(|_| len > 0)?) | 256;
        let done = 31 - self.partial.leading_zeros();
        let is_right = byte >> (8 - done) == self.partial;
        is_right.then(|| (byte >> (7 - done) & 1 == 1, len.min(MATCH_MAX)))
    }

    fn learn(&mut self, bit: bool) {
        let error = (i32::from(bit) << CHANCE_BITS) - self.mixed;
        let weights = &mut self.weights[self.partial as usize & 255];
        for (weight, logit) in weights.iter_mut().zip(self.logits) {
            *weight += (logit * (error >> 4) * RATE + (1 << 13)) >> 14;
        }
        for slot in self.chosen {
            self.slots[slot].learn(bit);
        }
        if let Some((expected, len)) = self.expected() {
            self.beliefs[len].learn(bit == expected);
        }
        self.partial = self.partial << 1 | u32::from(bit);
        if self.partial >= 256 {
            self.end_byte();
        }
        self.predict();
    }

    fn end_byte(&mut self) {
        let byte = self.partial as u8;
        self.partial = 1;
        self.matched = match self.matched {
            (at, len) if len > 0 && self.text[at] == byte => (at + 1, len + 1),
            _ => (0, 0),
        };
        self.text.push(byte);
        for (number, order) in ORDERS.iter().enumerate() {
            let start = self.text.len().saturating_sub(*order);
            self.contexts[number] = hash(&self.text[start..]);
        }
        let is_word = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
        let word = self.text.iter().rev().take_while(|byte| is_word(byte)).count();
        let start = self.text.len() - word;
        let before = self.text[..start].last().copied().unwrap_or(0);
        self.contexts[CONTEXTS - 1] = hash(&self.text[start..]) ^ u32::from(before) << 24;
        if self.text.len() >= MATCH_MIN {
            let run = hash(&self.text[self.text.len() - MATCH_MIN..]) >> (32 - MATCH_BITS);
            let place = &mut self.places[run as usize];
            if self.matched.1 == 0 && *place > 0 {
                self.matched = (*place as usize, 1);
            }
            *place = self.text.len() as u32;
        }
    }
}

fn hash(bytes: &[u8]) -> u32 {
    let add = |hash: u32, byte: &u8| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193).rotate_left(5);
    bytes.iter().fold(0x811c_9dc5, add).wrapping_mul(0x9e37_79b1)
}

/// The logistic curve and its inverse, by tables.
struct Curve {
    /// Chances of the logits from 0 up.
    chances: Vec<u16>,
    /// Logits of the chances, in twelve bits.
    logits: Vec<i16>,
}

impl Curve {
    fn new() -> Curve {
        let mut chances = Vec::with_capacity(LOGIT_MAX as usize + 1);
        let mut power = 1u64 << 32;
        for _ in 0..=LOGIT_MAX {
            let chance = (1u64 << (32 + CHANCE_BITS)) / ((1 << 32) + power);
            chances.push(chance.min((1 << CHANCE_BITS) - 1) as u16);
            power = (power * STEP) >> 32;
        }
        let mut curve = Curve {
            chances,
            logits: Vec::new(),
        };
        let mut logit = -LOGIT_MAX;
        for chance in 0..1 << 12 {
            while logit < LOGIT_MAX && curve.chance(logit) < (2 * chance + 1) << (CHANCE_BITS - 13) {
                logit += 1;
            }
            curve.logits.push(logit as i16);
        }
        curve
    }

    fn chance(&self, logit: i32) -> i32 {
        let size = logit.unsigned_abs().min(LOGIT_MAX as u32) as usize;
        let chance = i32::from(self.chances[size]);
        if logit < 0 {
            (1 << CHANCE_BITS) - chance
        } else {
            chance
        }
    }

    fn logit(&self, chance: i32) -> i32 {
        i32::from(self.logits[(chance >> (CHANCE_BITS - 12)) as usize])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &[u8], packed_len_max: usize) {
        let packed = pack(text);
        assert!(
            packed.len() <= packed_len_max,
            "{} of {}",
            packed.len(),
            text.len()
        );
        assert!(
            unpack(&packed, text.len()) == text,
            "{} bytes come back",
            text.len()
        );
    }

    #[test]
    fn what_goes_in_comes_out() {
        check(b"", 2);
        check(b"a", 3);
        check(b"abcdabcdabcdabcde", 16);
        check(&[7; 100_000], 150);
        let random: Vec<u8> = (0..70_000u32).map(|n| (n.wrapping_mul(n) >> 7) as u8).collect();
        check(&random, random.len() + random.len() / 20);
        let every: Vec<u8> = (0..=255).collect();
        check(&every.repeat(3), 400);
        let own = include_bytes!("squeeze.rs");
        check(own, own.len() / 3);
    }

    #[test]
    fn what_is_damaged_gives_some_text() {
        let packed = pack(&b"abcdabcdabcdabcde".repeat(20));
        for end in 0..packed.len() {
            assert_eq!(unpack(&packed[..end], 340).len(), 340);
        }
        assert_eq!(unpack(&[0xff; 9], 1000).len(), 1000);
    }
}
