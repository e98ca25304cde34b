//! Deflate (RFC 1951) undone: a whole stream whose length is known, in one go. Writes no such stream, and knows neither the
//! headers of zlib and gzip nor their sums.
//!
//! What zlib refuses is refused: codes that say more or less than they can, distances before the start. A code is looked up
//! by its first [`FAST_BITS`] bits; of longer ones, which are rare, the rest is counted out bit by bit.

/// A sentence on what is wrong with a stream.
pub type Wrong = &'static str;

/// Longest code, in bits.
const BITS_MAX: usize = 15;

/// Bits by which a code is looked up at once: most codes are no longer, and the table stays in the first cache.
const FAST_BITS: usize = 10;

/// Symbols of the largest code.
const SYMBOLS_MAX: usize = 288;

/// The symbol that ends a block.
const END: u16 = 256;

const TOO_SHORT: Wrong = "the compressed data end too early";

/// The order in which the lengths of the code for lengths come.
const LENGTH_ORDER: [u8; 19] = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];

/// Undoes a stream that gives `bytes` bytes. Memory grows with what comes out, whatever `bytes` says.
///
/// # Errors
/// It is no such stream, gives more or less, or has something behind its end.
pub fn inflate(input: &[u8], bytes: usize) -> Result<Vec<u8>, Wrong> {
    let mut reader = Bits {
        input,
        bits: 0,
        count: 0,
    };
    // Text becomes a quarter; what is smaller is grown for.
    let mut output = Output {
        bytes: Vec::with_capacity(bytes.min(input.len().saturating_mul(4))),
        most: bytes,
    };
    let mut fixed = None;
    loop {
        let is_last = reader.take(1)? == 1;
        match reader.take(2)? {
            0 => stored(&mut reader, &mut output)?,
            1 => {
                let (literals, distances) = match &fixed {
                    Some(codes) => codes,
                    None => fixed.insert(fixed_codes()?),
                };
                coded(&mut reader, &mut output, literals, distances)?;
            }
            2 => {
                let (literals, distances) = codes(&mut reader)?;
                coded(&mut reader, &mut output, &literals, &distances)?;
            }
            _ => return Err("a block of the compressed data is of no known kind"),
        }
        if is_last {
            break;
        }
    }
    if reader.rest_bytes() > 0 {
        return Err("something stands behind the end of the compressed data");
    }
    match output.bytes.len() < bytes {
        true => Err("the compressed data give less than their size says"),
        false => Ok(output.bytes),
    }
}

/// Bits of a stream, from the lowest of each byte on.
struct Bits<'a> {
    /// What is not in `bits` yet.
    input: &'a [u8],
    bits: u64,
    count: u32,
}

impl Bits<'_> {
    /// Has as many bits at hand as the stream has, up to 56.
    fn fill(&mut self) {
        while self.count <= 56
            && let Some((byte, rest)) = self.input.split_first()
        {
            self.bits |= u64::from(*byte) << self.count;
            self.count += 8;
            self.input = rest;
        }
    }

    /// The next `count` bits, at most 16.
    fn take(&mut self, count: u32) -> Result<usize, Wrong> {
        if self.count < count {
            self.fill();
        }
        let taken = (self.bits & ((1 << count) - 1)) as usize;
        self.skip(count)?;
        Ok(taken)
    }

    fn skip(&mut self, count: u32) -> Result<(), Wrong> {
        self.count = self.count.checked_sub(count).ok_or(TOO_SHORT)?;
        self.bits >>= count;
        Ok(())
    }

    /// Whole bytes that nothing was taken of.
    fn rest_bytes(&self) -> usize {
        self.input.len() + (self.count / 8) as usize
    }

    fn symbol(&mut self, code: &Code) -> Result<u16, Wrong> {
        if self.count < BITS_MAX as u32 {
            self.fill();
        }
        let entry = code.fast[self.bits as usize & ((1 << FAST_BITS) - 1)];
        if entry > 0 {
            self.skip(u32::from(entry & 15))?;
            return Ok(entry >> 4);
        }
        // Codes of one length are consecutive numbers; `first` is the lowest of the length, `index` where its symbols begin.
        let (mut number, mut first, mut index) = (0, 0, 0);
        for (length, count) in code.counts.iter().enumerate().skip(1) {
            number = (number << 1) | (self.bits >> (length - 1)) as usize & 1;
            let count = usize::from(*count);
            if let Some(place) = number.checked_sub(first).filter(|place| *place < count) {
                self.skip(length as u32)?;
                return Ok(code.symbols[index + place]);
            }
            index += count;
            first = (first + count) << 1;
        }
        match self.count < BITS_MAX as u32 {
            true => Err(TOO_SHORT),
            false => Err("the compressed data have bits that are no code"),
        }
    }
}

/// A Huffman code, of which the lengths tell all.
struct Code {
    /// By the next bits of the stream: the symbol and in the lowest four bits its length; 0: it is longer, or there is none.
    fast: [u16; 1 << FAST_BITS],
    /// How many symbols have each length.
    counts: [u16; BITS_MAX + 1],
    /// In the order of their codes.
    symbols: [u16; SYMBOLS_MAX],
}

impl Code {
    /// The code in which symbol `n` has `lengths[n]` bits, up to [`BITS_MAX`]; none if 0.
    fn new(lengths: &[u8]) -> Result<Code, Wrong> {
        let mut code = Code {
            fast: [0; 1 << FAST_BITS],
            counts: [0; BITS_MAX + 1],
            symbols: [0; SYMBOLS_MAX],
        };
        for length in lengths.iter().filter(|length| **length > 0) {
            code.counts[usize::from(*length)] += 1;
        }
        // How many codes of each length are still free, the next code of each, and where its symbols go.
        let mut free = 1;
        let (mut next, mut places) = ([0; BITS_MAX + 2], [0; BITS_MAX + 2]);
        for length in 1..=BITS_MAX {
            let count = usize::from(code.counts[length]);
            free = (free * 2_usize)
                .checked_sub(count)
                .ok_or("the compressed data have a code of too many symbols")?;
            next[length + 1] = (next[length] + count) << 1;
            places[length + 1] = places[length] + count;
        }
        // One symbol needs a bit all the same, of which then one value is free.
        let has_longer = code.counts[2..].iter().any(|count| *count > 0);
        if free > 0 && has_longer {
            return Err("the compressed data have a code of too few symbols");
        }
        for (symbol, length) in lengths.iter().enumerate() {
            let length = usize::from(*length);
            if length == 0 {
                continue;
            }
            code.symbols[places[length]] = symbol as u16;
            places[length] += 1;
            let number = next[length];
            next[length] += 1;
            if length <= FAST_BITS {
                let reversed = number.reverse_bits() >> (usize::BITS - length as u32);
                let entry = ((symbol as u16) << 4) | length as u16;
                code.fast
                    .iter_mut()
                    .skip(reversed)
                    .step_by(1 << length)
                    .for_each(|place| *place = entry);
            }
        }
        Ok(code)
    }
}

/// The codes of blocks that have none of their own.
fn fixed_codes() -> Result<(Code, Code), Wrong> {
    let mut lengths = [8; SYMBOLS_MAX];
    lengths[144..256].fill(9);
    lengths[256..280].fill(7);
    Ok((Code::new(&lengths)?, Code::new(&[5; 32])?))
}

/// The codes that stand before a block: of literals and lengths, and of distances.
fn codes(reader: &mut Bits) -> Result<(Code, Code), Wrong> {
    let literals = reader.take(5)? + 257;
    let distances = reader.take(5)? + 1;
    let given = reader.take(4)? + 4;
    if literals > 286 || distances > 30 {
        return Err("the compressed data have a code of too many symbols");
    }
    let mut lengths = [0; 19];
    for place in LENGTH_ORDER.iter().take(given) {
        lengths[usize::from(*place)] = reader.take(3)? as u8;
    }
    let code = Code::new(&lengths)?;
    if code.counts[1] != 2 && code.counts[2..].iter().all(|count| *count == 0) {
        return Err("the compressed data have a code of too few symbols");
    }
    let mut lengths = [0; 286 + 30];
    let lengths = &mut lengths[..literals + distances];
    let mut at = 0;
    while at < lengths.len() {
        let symbol = reader.symbol(&code)? as u8;
        let (length, times) = match symbol {
            16 if at == 0 => return Err("the compressed data repeat a length before there is one"),
            16 => (lengths[at - 1], 3 + reader.take(2)?),
            17 => (0, 3 + reader.take(3)?),
            18 => (0, 11 + reader.take(7)?),
            length => (length, 1),
        };
        lengths
            .get_mut(at..at + times)
            .ok_or("the compressed data have more lengths than symbols")?
            .fill(length);
        at += times;
    }
    if lengths[usize::from(END)] == 0 {
        return Err("the compressed data have a block that can't end");
    }
    let (of_literals, of_distances) = lengths.split_at(literals);
    Ok((Code::new(of_literals)?, Code::new(of_distances)?))
}

/// A block of bytes as they are.
fn stored(reader: &mut Bits, output: &mut Output) -> Result<(), Wrong> {
    reader.skip(reader.count % 8)?;
    let mut length = reader.take(16)?;
    if reader.take(16)? != length ^ 0xffff {
        return Err("the compressed data have a block of two different lengths");
    }
    output.check(length)?;
    while length > 0 && reader.count > 0 {
        output.bytes.push(reader.take(8)? as u8);
        length -= 1;
    }
    let (plain, rest) = reader.input.split_at_checked(length).ok_or(TOO_SHORT)?;
    output.bytes.extend_from_slice(plain);
    reader.input = rest;
    Ok(())
}

/// A block of codes.
fn coded(reader: &mut Bits, output: &mut Output, literals: &Code, distances: &Code) -> Result<(), Wrong> {
    loop {
        let symbol = reader.symbol(literals)?;
        if symbol < END {
            output.check(1)?;
            output.bytes.push(symbol as u8);
            continue;
        }
        let length = match usize::from(symbol - END) {
            0 => return Ok(()),
            short @ 1..=8 => short + 2,
            // Four symbols have the same number of further bits, the next four one more.
            long @ 9..=28 => {
                let extra = (long - 1) / 4 - 1;
                ((4 + (long - 1) % 4) << extra) + 3 + reader.take(extra as u32)?
            }
            29 => 258,
            _ => return Err("the compressed data have a length that is none"),
        };
        let distance = match usize::from(reader.symbol(distances)?) {
            near @ 0..=3 => near + 1,
            far @ 4..=29 => {
                let extra = far / 2 - 1;
                ((2 + far % 2) << extra) + 1 + reader.take(extra as u32)?
            }
            _ => return Err("the compressed data have a distance that is none"),
        };
        output.repeat(distance, length)?;
    }
}

/// What has come out, and how much may.
struct Output {
    bytes: Vec<u8>,
    most: usize,
}

impl Output {
    fn check(&self, more: usize) -> Result<(), Wrong> {
        match self.bytes.len() + more > self.most {
            true => Err("the compressed data give more than their size says"),
            false => Ok(()),
        }
    }

    /// Copies what stands `distance` bytes back, which may be what is just being written.
    fn repeat(&mut self, distance: usize, mut length: usize) -> Result<(), Wrong> {
        self.check(length)?;
        let start = self
            .bytes
            .len()
            .checked_sub(distance)
            .ok_or("the compressed data repeat what was before their start")?;
        while length > 0 {
            let piece = length.min(self.bytes.len() - start);
            self.bytes.extend_from_within(start..start + piece);
            length -= piece;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(input: &[u8], bytes: usize, expected: Result<&[u8], &str>) {
        let found = inflate(input, bytes);
        match expected {
            Ok(expected) => assert_eq!(found.as_deref(), Ok(expected), "{input:02x?}"),
            Err(part) => {
                let message = found.expect_err("it is refused");
                assert!(message.contains(part), "{input:02x?}: {message}");
            }
        }
    }

    #[test]
    fn streams() {
        check(b"\x03\x00", 0, Ok(b""));
        check(b"\x01\x00\x00\xff\xff", 0, Ok(b""));
        check(b"\x01\x02\x00\xfd\xffab", 2, Ok(b"ab"));
        check(b"\x4b\x4c\x4a\x06\x00", 3, Ok(b"abc"));
        // One byte, repeated from one back.
        check(b"\x4b\x4c\x84\x01\x00", 10, Ok(b"aaaaaaaaaa"));
        // A stored block, then one in the fixed code.
        check(b"\x00\x02\x00\xfd\xffab\x4b\x06\x00", 3, Ok(b"abc"));
    }

    #[test]
    fn what_is_none() {
        check(b"", 0, Err("end too early"));
        check(b"\x4b\x4c", 3, Err("end too early"));
        check(b"\x01\x02\x00\xfd\xffa", 2, Err("end too early"));
        check(b"\x01\x02\x00\xfd\xfeab", 2, Err("two different lengths"));
        check(b"\x07", 0, Err("no known kind"));
        check(b"\x4b\x4c\x4a\x06\x00", 2, Err("more than their size"));
        check(b"\x4b\x4c\x4a\x06\x00", usize::MAX, Err("less than their size"));
        check(b"\x4b\x4c\x4a\x06\x00!", 3, Err("behind the end"));
        check(b"\x03\x02\x00", 3, Err("before their start"));
        check(b"\xfd\xff\xff", 9, Err("too many symbols"));
        check(b"\x05\x00\x00\x00\x00\x00", 9, Err("too few symbols"));
    }
}
