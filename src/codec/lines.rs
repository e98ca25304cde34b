//! Ends of lines in bytes, eight bytes at a time. Knows no text.

const LOW_BITS: u64 = 0x0101_0101_0101_0101;
const SEVEN_BITS: u64 = 0x7f * LOW_BITS;

/// The high bit of each byte that ends a line.
fn ends(word: [u8; 8]) -> u64 {
    let differs = u64::from_le_bytes(word) ^ (b'\n' as u64 * LOW_BITS);
    !(((differs & SEVEN_BITS) + SEVEN_BITS) | differs | SEVEN_BITS)
}

/// How many lines end.
pub fn count(bytes: &[u8]) -> usize {
    let (words, rest) = bytes.as_chunks::<8>();
    let mut in_words = 0;
    for word in words {
        // Most have none, and to count bits takes many steps where the machine is not known to do it in one.
        match ends(*word) {
            0 => {}
            ends => in_words += ends.count_ones() as usize,
        }
    }
    in_words + rest.iter().filter(|byte| **byte == b'\n').count()
}

/// Where the first line ends.
pub fn find(bytes: &[u8]) -> Option<usize> {
    let (words, rest) = bytes.as_chunks::<8>();
    for (position, word) in words.iter().enumerate() {
        let ends = ends(*word);
        if ends != 0 {
            return Some(position * 8 + ends.trailing_zeros() as usize / 8);
        }
    }
    let at = rest.iter().position(|byte| *byte == b'\n')?;
    Some(words.len() * 8 + at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_length_and_place() {
        for len in 0..40 {
            // Bytes that are nearly the end of a line: one off, or with the high bit.
            let mut bytes: Vec<u8> = (0..len).map(|at| [0x0b, 0x09, 0x8a, 0x00][at % 4]).collect();
            assert_eq!((find(&bytes), count(&bytes)), (None, 0));
            for at in (0..len).rev() {
                bytes[at] = b'\n';
                assert_eq!((find(&bytes), count(&bytes)), (Some(at), len - at));
            }
        }
    }
}
