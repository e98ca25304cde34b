//! Text made smaller, for the files that the binary carries: a byte-aligned LZ77. The build packs, the binary unpacks.
//! Not for data from a peer: the packer is slow, and there is no checksum.
//!
//! A packed text is a run of steps. A step is one byte that holds two counts, `literals << 4 | match`, where 15 means
//! that further bytes are added, up to one below 255; the literals; and, unless the text ends there, a distance of two
//! bytes, little-endian. The match copies its count and [`MATCH_MIN`] bytes from that far back.

/// A shorter match would cost as much as its bytes.
const MATCH_MIN: usize = 4;

/// The largest count that fits in half a byte, and says that more follows.
const COUNT_MAX: usize = 15;

/// How many earlier places the packer tries for a match.
const TRIES_MAX: usize = 64;

/// Unpacks a text of `len` bytes; none if that is not what `packed` holds.
pub fn unpack(packed: &[u8], len: usize) -> Option<Vec<u8>> {
    let mut text = Vec::with_capacity(len);
    let mut rest = packed.iter().copied();
    loop {
        let counts = usize::from(rest.next()?);
        for _ in 0..read_count(counts >> 4, &mut rest)? {
            text.push(rest.next()?);
        }
        if text.len() >= len {
            return (text.len() == len && rest.next().is_none()).then_some(text);
        }
        let distance = usize::from(u16::from_le_bytes([rest.next()?, rest.next()?]));
        let count = read_count(counts & COUNT_MAX, &mut rest)? + MATCH_MIN;
        let start = text.len().checked_sub(distance)?;
        if count > len - text.len() {
            return None;
        }
        // A match may reach into what it copies.
        for at in start..start + count {
            text.push(*text.get(at)?);
        }
    }
}

fn read_count(first: usize, rest: &mut impl Iterator<Item = u8>) -> Option<usize> {
    let mut count = first;
    let mut more = first == COUNT_MAX;
    while more {
        let byte = rest.next()?;
        count += usize::from(byte);
        more = byte == u8::MAX;
    }
    Some(count)
}

/// Packs a text.
pub fn pack(text: &[u8]) -> Vec<u8> {
    let mut packed = Vec::new();
    let mut places = Places::default();
    let (mut at, mut literals) = (0, 0);
    while at < text.len() {
        let (start, count) = places.longest(text, at);
        places.add(text, at);
        // A longer match one byte on is worth a literal.
        if count < MATCH_MIN || places.longest(text, at + 1).1 > count + 1 {
            at += 1;
            continue;
        }
        write_step(&text[literals..at], Some((at - start, count)), &mut packed);
        (at + 1..at + count).for_each(|inside| places.add(text, inside));
        at += count;
        literals = at;
    }
    write_step(&text[literals..], None, &mut packed);
    packed
}

fn write_step(literals: &[u8], copied: Option<(usize, usize)>, packed: &mut Vec<u8>) {
    let count = copied.map_or(0, |(_, count)| count - MATCH_MIN);
    packed.push((literals.len().min(COUNT_MAX) << 4 | count.min(COUNT_MAX)) as u8);
    write_count(literals.len(), packed);
    packed.extend_from_slice(literals);
    if let Some((distance, _)) = copied {
        packed.extend_from_slice(&(distance as u16).to_le_bytes());
        write_count(count, packed);
    }
}

/// What of a count doesn't fit in half a byte.
fn write_count(count: usize, packed: &mut Vec<u8>) {
    let Some(mut more) = count.checked_sub(COUNT_MAX) else {
        return;
    };
    while more >= u8::MAX.into() {
        packed.push(u8::MAX);
        more -= usize::from(u8::MAX);
    }
    packed.push(more as u8);
}

/// Where each run of [`MATCH_MIN`] bytes was seen, latest last.
#[derive(Default)]
struct Places<'t>(std::collections::BTreeMap<&'t [u8], Vec<usize>>);

impl<'t> Places<'t> {
    fn add(&mut self, text: &'t [u8], at: usize) {
        if let Some(run) = text.get(at..at + MATCH_MIN) {
            self.0.entry(run).or_default().push(at);
        }
    }

    /// Start and length of the longest match for the text from there on; the nearest of equals.
    fn longest(&self, text: &[u8], at: usize) -> (usize, usize) {
        let run = text.get(at..at + MATCH_MIN);
        let found = run.and_then(|run| self.0.get(run));
        let near = found.into_iter().flatten().rev().take(TRIES_MAX);
        let matches = near
            .take_while(|start| at - **start <= u16::MAX.into())
            .map(|start| {
                let pairs = text[*start..].iter().zip(&text[at..]);
                (*start, pairs.take_while(|(a, b)| a == b).count())
            });
        matches
            .max_by_key(|(start, count)| (*count, *start))
            .unwrap_or_default()
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
        assert_eq!(unpack(&packed, text.len()).as_deref(), Some(text));
    }

    #[test]
    fn what_goes_in_comes_out() {
        check(b"", 1);
        check(b"a", 2);
        check(b"abcdabcd", 9);
        check(b"abcdabcdabcdabcde", 10);
        check(&[7; 100_000], 400);
        let counted: Vec<u8> = (0..2000u32).flat_map(u32::to_be_bytes).collect();
        check(&counted, counted.len() + counted.len() / 200);
        // The repeat is out of a distance's reach.
        let mut far: Vec<u8> = (0..70_000u32).map(|n| (n.wrapping_mul(n) >> 7) as u8).collect();
        far.extend_from_within(..100);
        check(&far, far.len() + far.len() / 200);
    }

    #[test]
    fn what_is_damaged_gives_nothing() {
        let text = b"abcdabcdabcdabcde".repeat(20);
        let packed = pack(&text);
        for end in 0..packed.len() {
            assert_eq!(unpack(&packed[..end], text.len()), None, "cut at {end}");
        }
        let mut longer = packed.clone();
        longer.push(0);
        assert_eq!(unpack(&longer, text.len()), None);
        assert_eq!(unpack(&packed, text.len() - 1), None);
        assert_eq!(unpack(&packed, text.len() + 1), None);
        // A distance beyond the start, and one of nothing.
        assert_eq!(unpack(&[0x10, b'a', 2, 0], 5), None);
        assert_eq!(unpack(&[0x10, b'a', 0, 0], 5), None);
        // A match longer than the text.
        assert_eq!(unpack(&[0x1f, b'a', 1, 0, 255, 255, 255, 0], 20), None);
    }
}
