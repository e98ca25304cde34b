//! Integers of any size between decimal text and big-endian two's complement, exactly. Knows neither JSON nor msgpack.
//!
//! Both conversions take time in the square of the length, so both refuse what is longer than the limits.

use crate::codec::natural::Natural;
use crate::limits::{INTEGER_BYTES_MAX, INTEGER_DIGITS_MAX};

/// The msgpack extension type of an integer beyond 64 bits; its payload is what [`from_decimal`] gives.
pub const EXT_TYPE: i8 = 11;

/// The integer is longer than [`INTEGER_DIGITS_MAX`] or [`INTEGER_BYTES_MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLong;

/// The shortest big-endian two's complement form of a decimal: an optional minus and digits. Zero is one zero byte.
///
/// # Errors
/// More than [`INTEGER_DIGITS_MAX`] digits.
pub fn from_decimal(text: &[u8]) -> Result<Vec<u8>, TooLong> {
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    let negative = digits.len() < text.len();
    if digits.len() > INTEGER_DIGITS_MAX {
        return Err(TooLong);
    }
    let mut limbs = Natural::from_digits(digits).into_limbs();
    if negative {
        negate(&mut limbs);
    }
    let mut bytes = vec![if negative && !limbs.is_empty() { 0xff } else { 0 }];
    bytes.extend(limbs.iter().rev().flat_map(|limb| limb.to_be_bytes()));
    let spare = redundant(&bytes);
    bytes.drain(..spare);
    Ok(bytes)
}

/// Appends the decimal text of a big-endian two's complement integer; no bytes are zero.
///
/// # Errors
/// More than [`INTEGER_BYTES_MAX`] bytes that count.
pub fn write_decimal(bytes: &[u8], out: &mut Vec<u8>) -> Result<(), TooLong> {
    let bytes = minimal(bytes);
    if bytes.len() > INTEGER_BYTES_MAX {
        return Err(TooLong);
    }
    let negative = bytes.first().is_some_and(|byte| *byte >= 0x80);
    let fill = if negative { u64::MAX } else { 0 };
    let mut limbs: Vec<u64> = bytes
        .rchunks(8)
        .map(|chunk| chunk.iter().fold(fill, |limb, byte| limb << 8 | u64::from(*byte)))
        .collect();
    if negative {
        negate(&mut limbs);
        out.push(b'-');
    }
    Natural::from_limbs(limbs).write(out);
    Ok(())
}

/// The shortest form of a big-endian two's complement integer: the same without leading bytes that only repeat the sign.
pub fn minimal(bytes: &[u8]) -> &[u8] {
    &bytes[redundant(bytes)..]
}

fn redundant(bytes: &[u8]) -> usize {
    bytes
        .windows(2)
        .take_while(|pair| matches!(pair, [0, 0..=0x7f] | [0xff, 0x80..=0xff]))
        .count()
}

/// Two's complement negation within the same number of limbs.
fn negate(limbs: &mut [u64]) {
    let mut carry = true;
    for limb in limbs {
        (*limb, carry) = (!*limb).overflowing_add(u64::from(carry));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, bytes: &[u8]) {
        assert_eq!(from_decimal(text.as_bytes()).as_deref(), Ok(bytes), "{text}");
        let mut out = Vec::new();
        assert_eq!(write_decimal(bytes, &mut out), Ok(()));
        assert_eq!(String::from_utf8_lossy(&out), text);
    }

    #[test]
    fn both_ways() {
        check("0", &[0]);
        check("1", &[1]);
        check("-1", &[0xff]);
        check("127", &[0x7f]);
        check("128", &[0, 0x80]);
        check("-128", &[0x80]);
        check("-129", &[0xff, 0x7f]);
        check(
            "18446744073709551615",
            &[0, 255, 255, 255, 255, 255, 255, 255, 255],
        );
        check("18446744073709551616", &[1, 0, 0, 0, 0, 0, 0, 0, 0]);
        check("-18446744073709551616", &[255, 0, 0, 0, 0, 0, 0, 0, 0]);
        check("-9223372036854775808", &[0x80, 0, 0, 0, 0, 0, 0, 0]);
        check(
            "-9223372036854775809",
            &[255, 0x7f, 255, 255, 255, 255, 255, 255, 255],
        );
        check(
            "10000000000000000000",
            &[0, 0x8a, 0xc7, 0x23, 4, 0x89, 0xe8, 0, 0],
        );
        check(
            "100000000000000000000",
            &[5, 0x6b, 0xc7, 0x5e, 0x2d, 0x63, 0x10, 0, 0],
        );
    }

    #[test]
    fn what_128_bits_hold_agrees_with_them() {
        let mut value = 1i128;
        for step in 0..400i128 {
            value = value.wrapping_mul(-3).wrapping_add(step);
            let bytes = value.to_be_bytes();
            check(&value.to_string(), minimal(&bytes));
        }
        check(&i128::MIN.to_string(), &i128::MIN.to_be_bytes());
        check(&i128::MAX.to_string(), &i128::MAX.to_be_bytes());
    }

    #[test]
    fn forms_that_are_not_the_shortest() {
        assert_eq!(from_decimal(b"-0").as_deref(), Ok(&[0][..]));
        assert_eq!(from_decimal(b"-000").as_deref(), Ok(&[0][..]));
        let mut out = Vec::new();
        assert_eq!(write_decimal(&[0, 0, 0, 7], &mut out), Ok(()));
        assert_eq!(write_decimal(&[0xff; 20], &mut out), Ok(()));
        assert_eq!(write_decimal(&[], &mut out), Ok(()));
        assert_eq!(out, b"7-10");
    }

    #[test]
    fn long_ones_round_trip_up_to_the_limit() {
        let text = "7".repeat(INTEGER_DIGITS_MAX);
        let bytes = from_decimal(text.as_bytes()).unwrap();
        assert!(bytes.len() <= INTEGER_BYTES_MAX);
        let mut out = Vec::new();
        assert_eq!(write_decimal(&bytes, &mut out), Ok(()));
        assert!(out == text.as_bytes());
        assert_eq!(from_decimal((text + "7").as_bytes()), Err(TooLong));
        assert_eq!(
            write_decimal(&vec![1; INTEGER_BYTES_MAX + 1], &mut out),
            Err(TooLong)
        );
    }
}
