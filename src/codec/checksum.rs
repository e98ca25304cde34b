//! A checksum that tells whether something changed. Protects against no forger.

/// FNV-1a, 64 bits, of bytes that follow what `before` is the sum of; [`EMPTY`] where nothing came before.
pub const fn sum(before: u64, bytes: &[u8]) -> u64 {
    let mut sum = before;
    let mut at = 0;
    while at < bytes.len() {
        sum = (sum ^ bytes[at] as u64).wrapping_mul(0x0000_0100_0000_01b3);
        at += 1;
    }
    sum
}

/// The sum of nothing.
pub const EMPTY: u64 = 0xcbf2_9ce4_8422_2325;
