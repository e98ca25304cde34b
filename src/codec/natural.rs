//! Natural numbers of any size, with the few operations that decimal text needs: from digits, to digits, times a small
//! number, compared. Takes time in the square of the length and bounds nothing; its users do.

use crate::codec::number::write_unsigned;
use std::cmp::Ordering;

/// The largest power of ten that 64 bits hold, and its exponent.
const CHUNK: u64 = 10_000_000_000_000_000_000;
const CHUNK_DIGITS: usize = 19;

/// A natural number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Natural {
    /// The lowest first; the last is not zero.
    limbs: Vec<u64>,
}

impl Natural {
    /// The number of these limbs, the lowest first.
    pub(super) fn from_limbs(mut limbs: Vec<u64>) -> Natural {
        while limbs.last() == Some(&0) {
            limbs.pop();
        }
        Natural { limbs }
    }

    /// The number of these ASCII digits.
    pub(super) fn from_digits(digits: &[u8]) -> Natural {
        let mut number = Natural {
            limbs: Vec::with_capacity(digits.len() / CHUNK_DIGITS + 1),
        };
        // The first chunk takes the odd digits, so that all others are whole.
        let (first, rest) = digits.split_at(digits.len() % CHUNK_DIGITS);
        for chunk in std::iter::once(first).chain(rest.chunks(CHUNK_DIGITS)) {
            let value = chunk
                .iter()
                .fold(0, |value: u64, digit| value * 10 + u64::from(digit & 15));
            number.multiply(CHUNK, value);
        }
        number
    }

    /// Its limbs, the lowest first, without zeros at the end.
    pub(super) fn into_limbs(self) -> Vec<u64> {
        self.limbs
    }

    /// Multiplies by `factor`, which is not zero, and adds `addend`.
    pub(super) fn multiply(&mut self, factor: u64, addend: u64) {
        let mut carry = addend;
        for limb in &mut self.limbs {
            let wide = u128::from(*limb) * u128::from(factor) + u128::from(carry);
            *limb = wide as u64;
            carry = (wide >> 64) as u64;
        }
        if carry > 0 {
            self.limbs.push(carry);
        }
    }

    /// Multiplies by a power of ten.
    pub(super) fn multiply_by_ten(&mut self, mut exponent: usize) {
        while exponent >= CHUNK_DIGITS {
            self.multiply(CHUNK, 0);
            exponent -= CHUNK_DIGITS;
        }
        self.multiply(10u64.pow(exponent as u32), 0);
    }

    /// Multiplies by a power of two.
    pub(super) fn shift_left(&mut self, bits: usize) {
        self.multiply(1 << (bits % 64), 0);
        if !self.limbs.is_empty() {
            self.limbs.splice(0..0, std::iter::repeat_n(0, bits / 64));
        }
    }

    /// Appends its decimal digits.
    pub(super) fn write(mut self, out: &mut Vec<u8>) {
        let mut chunks = Vec::with_capacity(self.limbs.len() + self.limbs.len() / 32 + 1);
        while !self.limbs.is_empty() {
            let mut remainder = 0;
            for limb in self.limbs.iter_mut().rev() {
                let wide = u128::from(remainder) << 64 | u128::from(*limb);
                *limb = (wide / u128::from(CHUNK)) as u64;
                remainder = (wide % u128::from(CHUNK)) as u64;
            }
            if self.limbs.last() == Some(&0) {
                self.limbs.pop();
            }
            chunks.push(remainder);
        }
        write_unsigned(chunks.pop().unwrap_or(0), out);
        for chunk in chunks.iter().rev() {
            // A one in front keeps the zeros, and goes.
            let start = out.len();
            let high = chunk / 1_000_000_000;
            let low = chunk % 1_000_000_000;
            write_unsigned(10_000_000_000 + high, out);
            out.remove(start);
            let middle = out.len();
            write_unsigned(1_000_000_000 + low, out);
            out.remove(middle);
        }
    }
}

impl PartialOrd for Natural {
    fn partial_cmp(&self, other: &Natural) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Natural {
    fn cmp(&self, other: &Natural) -> Ordering {
        let lens = self.limbs.len().cmp(&other.limbs.len());
        lens.then_with(|| self.limbs.iter().rev().cmp(other.limbs.iter().rev()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(number: &Natural, expected: &str) {
        let mut out = Vec::new();
        number.clone().write(&mut out);
        assert_eq!(String::from_utf8_lossy(&out), expected);
        assert_eq!(Natural::from_digits(expected.as_bytes()), *number);
    }

    #[test]
    fn digits_and_back() {
        for text in [
            "0",
            "7",
            "9999999999999999999",
            "10000000000000000000",
            "18446744073709551616",
            "1000000000000000000010000000000000000000",
            "340282366920938463463374607431768211456",
        ] {
            check(&Natural::from_digits(text.as_bytes()), text);
        }
        assert_eq!(Natural::from_digits(b"0000"), Natural::from_digits(b""));
    }

    #[test]
    fn products() {
        let mut number = Natural::from_digits(b"3");
        number.multiply_by_ten(40);
        check(&number, &format!("3{}", "0".repeat(40)));
        let mut number = Natural::from_digits(b"3");
        number.shift_left(126);
        check(&number, &(3 * (1u128 << 126)).to_string());
        number.multiply(1, 5);
        check(&number, &(3 * (1u128 << 126) + 5).to_string());
        let mut zero = Natural::from_digits(b"0");
        zero.shift_left(200);
        check(&zero, "0");
    }

    #[test]
    fn order() {
        let mut texts = [
            "0",
            "1",
            "2",
            "18446744073709551615",
            "18446744073709551616",
            "36893488147419103233",
        ];
        texts.sort_by_key(|text| std::cmp::Reverse(Natural::from_digits(text.as_bytes())));
        texts.reverse();
        assert_eq!(texts[5], "36893488147419103233");
        assert_eq!(texts[..3], ["0", "1", "2"]);
    }
}
