//! Reading numbers. Floats by the algorithm of Daniel Lemire, "Number parsing at a gigabyte per second" (2021), without a
//! way out for hard cases, as Noble Mushtak and he showed (2023) that there are none. More digits than 64 bits hold are
//! compared exactly where their first ones don't decide.

use super::powers;
use crate::codec::natural::Natural;
use crate::codec::schema::Number;
use crate::limits::{INTEGER_DIGITS_MAX, SHIFTED_DIGITS_MAX};
use std::cmp::Ordering;

/// A number of JSON's grammar, taken apart: `mantissa * 10^exponent`.
#[derive(Clone, Copy, Debug)]
pub struct Decimal<'a> {
    /// Its text.
    pub text: &'a [u8],
    /// Whether it has neither a point nor an exponent.
    pub is_whole: bool,
    negative: bool,
    mantissa: u64,
    exponent: i32,
    /// Whether the mantissa holds all digits.
    is_exact: bool,
}

impl<'a> Decimal<'a> {
    /// Takes the number apart with which `text` begins.
    ///
    /// # Errors
    /// The offset at which a digit was expected.
    #[inline(always)]
    pub fn scan(text: &'a [u8]) -> Result<Decimal<'a>, usize> {
        let negative = text.first() == Some(&b'-');
        let start = usize::from(negative);
        let (mut mantissa, mut at) = digits(text, start, 0);
        let mut count = at - start;
        if count == 0 {
            return Err(start);
        }
        if count > 1 && text.get(start) == Some(&b'0') {
            // A zero stands alone; what follows it is not part of the number.
            (mantissa, at, count) = (0, start + 1, 1);
        }
        let (mut exponent, mut is_whole) = (0, true);
        if text.get(at) == Some(&b'.') {
            let point = at + 1;
            (mantissa, at) = digits(text, point, mantissa);
            if at == point {
                return Err(at);
            }
            count += at - point;
            exponent = -i32::try_from(at - point).unwrap_or(i32::MAX);
            is_whole = false;
        }
        if let Some(b'e' | b'E') = text.get(at) {
            let written;
            (written, at) = read_exponent(text, at + 1)?;
            exponent = exponent.saturating_add(written);
            is_whole = false;
        }
        let text = &text[..at];
        Ok(Decimal {
            text,
            is_whole,
            negative,
            mantissa,
            exponent,
            is_exact: count <= DIGITS_MAX || fits(text),
        })
    }

    /// The number as an integer of that type, sign-extended to 64 bits, if it is written as an integer and in range.
    #[inline(always)]
    pub fn whole(self, number: Number) -> Option<u64> {
        if !(self.is_whole && self.is_exact) {
            return None;
        }
        let bits = 8 * number.bytes() as u32;
        let (most, least) = match number.is_signed() {
            true => ((1u64 << (bits - 1)) - 1, 1 << (bits - 1)),
            false => (u64::MAX >> (64 - bits), 0),
        };
        match self.negative {
            true if self.mantissa <= least => Some(self.mantissa.wrapping_neg()),
            false if self.mantissa <= most => Some(self.mantissa),
            _ => None,
        }
    }

    /// The digits, behind its minus, of an integer that is written with a point or an exponent: of `1.0` and `1e3` they are
    /// `1` and `1000`. None if it is no integer, or one of more than [`SHIFTED_DIGITS_MAX`] digits.
    #[cold]
    pub fn shifted(self) -> Option<Vec<u8>> {
        if self.text.len() > INTEGER_DIGITS_MAX {
            return None;
        }
        let mantissa = self.text.iter().take_while(|byte| !matches!(byte, b'e' | b'E'));
        let digits = mantissa.filter(|byte| byte.is_ascii_digit());
        let mut digits: Vec<u8> = digits.copied().skip_while(|digit| *digit == b'0').collect();
        let zeros = digits.iter().rev().take_while(|digit| **digit == b'0').count();
        digits.truncate(digits.len() - zeros);
        let exponent = match digits.is_empty() {
            true => 0,
            false => usize::try_from(self.exponent.checked_add_unsigned(zeros as u32)?).ok()?,
        };
        if digits.len().checked_add(exponent)? > SHIFTED_DIGITS_MAX {
            return None;
        }
        digits.resize(digits.len() + exponent, b'0');
        if digits.is_empty() {
            digits.push(b'0');
        }
        if self.negative {
            digits.insert(0, b'-');
        }
        Some(digits)
    }

    /// The nearest `f8`; infinite when the number is beyond all of them.
    #[inline]
    pub fn f8(self) -> f64 {
        f64::from_bits(self.float_bits(&F8) | u64::from(self.negative) << 63)
    }

    /// The nearest `f4`; infinite when the number is beyond all of them.
    #[inline]
    pub fn f4(self) -> f32 {
        f32::from_bits(self.float_bits(&F4) as u32 | u32::from(self.negative) << 31)
    }

    /// The bits of the nearest float of a format, without its sign.
    #[inline(always)]
    fn float_bits(self, format: &Format) -> u64 {
        match self.is_exact {
            true => nearest(self.mantissa, self.exponent, format),
            false => nearest_of_many(self.text, self.exponent, format),
        }
    }
}

fn read_exponent(text: &[u8], start: usize) -> Result<(i32, usize), usize> {
    /// No float has an exponent near it, even with a million digits before or behind the point.
    const EXPONENT_MAX: i32 = 1 << 27;
    let negative = text.get(start) == Some(&b'-');
    let start = start + usize::from(matches!(text.get(start), Some(b'+' | b'-')));
    let mut at = start;
    let mut exponent = 0;
    while let Some(digit @ b'0'..=b'9') = text.get(at) {
        exponent = (exponent * 10 + i32::from(digit - b'0')).min(EXPONENT_MAX);
        at += 1;
    }
    match at > start {
        true => Ok((if negative { -exponent } else { exponent }, at)),
        false => Err(at),
    }
}

/// Whether more than 19 digits fit 64 bits all the same: because of zeros in front, or because they are 20 small ones.
#[cold]
fn fits(text: &[u8]) -> bool {
    let mantissa = text.iter().take_while(|byte| !matches!(byte, b'e' | b'E'));
    let mut digits = mantissa.filter(|byte| byte.is_ascii_digit());
    let value = digits.try_fold(0u64, |value, digit| {
        value.checked_mul(10)?.checked_add(u64::from(digit - b'0'))
    });
    value.is_some()
}

/// The bits of the float of a format that is nearest to `mantissa * 10^exponent`.
fn nearest(mantissa: u64, exponent: i32, format: &Format) -> u64 {
    let ceiling = match powers::ceiling(exponent) {
        Some(ceiling) if mantissa > 0 => ceiling,
        _ if mantissa == 0 || exponent < 0 => return 0,
        _ => return format.infinity(),
    };
    // The proof wants powers cut off, but for those of which a quotient may be a tie rounded up.
    let power = match TIES.contains(&exponent) {
        true => ceiling,
        false => ceiling - 1,
    };
    let zeros = mantissa.leading_zeros();
    let mantissa = mantissa << zeros;
    let wide = (power >> 64) * u128::from(mantissa);
    let (mut high, mut low) = ((wide >> 64) as u64, wide as u64);
    let spare_bits = 64 - format.fraction_bits - 3;
    let mask = u64::MAX >> (64 - spare_bits);
    if high & mask == mask {
        // Too near to a border: the second half of the power decides.
        let second = (((power & u128::from(u64::MAX)) * u128::from(mantissa)) >> 64) as u64;
        let carry;
        (low, carry) = low.overflowing_add(second);
        high += u64::from(carry);
    }
    let upper = (high >> 63) as u32;
    let shift = upper + spare_bits;
    let mut bits = high >> shift;
    let log2 = (exponent * 217_706) >> 16;
    let mut binary = log2 + 63 + upper as i32 - zeros as i32 + format.bias;
    if binary <= 0 {
        // Subnormal: fewer bits are left, down to none. It can't be a tie, which takes a small power of ten.
        let bits = bits.checked_shr((1 - binary) as u32).unwrap_or(0);
        return (bits + (bits & 1)) >> 1;
    }
    if low <= 1 && format.ties.contains(&exponent) && bits & 3 == 1 && bits << shift == high {
        // Exactly between two floats: to the even one.
        bits &= !1;
    }
    bits = (bits + (bits & 1)) >> 1;
    if bits >> (format.fraction_bits + 1) > 0 {
        bits >>= 1;
        binary += 1;
    }
    if binary >= format.exponent_end {
        return format.infinity();
    }
    let fraction = bits & !(1 << format.fraction_bits);
    fraction | (binary as u64) << format.fraction_bits
}

/// The same for a number with more digits than 64 bits hold, which is its text without the point times `10^exponent`.
#[cold]
fn nearest_of_many(text: &[u8], exponent: i32, format: &Format) -> u64 {
    /// No float lies, and no two floats meet, at a number with more digits.
    const DIGITS_KEPT: usize = 800;
    let mantissa = text.iter().take_while(|byte| !matches!(byte, b'e' | b'E'));
    let mut digits = mantissa
        .copied()
        .filter(u8::is_ascii_digit)
        .skip_while(|digit| *digit == b'0');
    let mut kept: Vec<u8> = digits.by_ref().take(DIGITS_KEPT).collect();
    let (mut dropped, mut is_more) = (0i32, false);
    for digit in digits {
        dropped = dropped.saturating_add(1);
        is_more |= digit != b'0';
    }
    let first = kept.iter().take(DIGITS_MAX);
    let first = first.fold(0, |value: u64, digit| value * 10 + u64::from(digit & 15));
    let exponent = exponent.saturating_add(dropped);
    let power = exponent.saturating_add(kept.len().saturating_sub(DIGITS_MAX) as i32);
    let (below, above) = (nearest(first, power, format), nearest(first + 1, power, format));
    if below == above {
        return below;
    }
    // What was dropped only matters against a number that ends where it begins.
    kept.push(if is_more { b'1' } else { b'0' });
    match compare(
        &kept,
        exponent - 1,
        2 * format.mantissa(below) + 1,
        format.power(below) - 1,
    ) {
        Ordering::Less => below,
        Ordering::Greater => above,
        Ordering::Equal => below + (below & 1),
    }
}

/// Compares `digits * 10^exponent` with `mantissa * 2^power`.
fn compare(digits: &[u8], exponent: i32, mantissa: u64, power: i32) -> Ordering {
    let mut left = Natural::from_digits(digits);
    let mut right = Natural::from_limbs(vec![mantissa]);
    // Both sides are multiplied until no exponent is negative.
    let size = |exponent: i32| exponent.max(0) as usize;
    left.multiply_by_ten(size(exponent));
    right.multiply_by_ten(size(-exponent));
    right.shift_left(size(power));
    left.shift_left(size(-power));
    left.cmp(&right)
}

/// Decimal digits that 64 bits always hold.
const DIGITS_MAX: usize = 19;

/// Exponents of which the power, or its inverse, is an integer that 64 or 128 bits hold.
const TIES: std::ops::RangeInclusive<i32> = -27..=55;

struct Format {
    fraction_bits: u32,
    bias: i32,
    /// The first exponent field that is not finite.
    exponent_end: i32,
    /// Decimal exponents at which a number of 64 bits can lie exactly between two floats.
    ties: std::ops::RangeInclusive<i32>,
}

impl Format {
    fn infinity(&self) -> u64 {
        (self.exponent_end as u64) << self.fraction_bits
    }

    /// A finite float is its mantissa times two to its power.
    fn mantissa(&self, bits: u64) -> u64 {
        let fraction = bits & ((1 << self.fraction_bits) - 1);
        match bits >> self.fraction_bits {
            0 => fraction,
            _ => fraction | 1 << self.fraction_bits,
        }
    }

    fn power(&self, bits: u64) -> i32 {
        let exponent = (bits >> self.fraction_bits).max(1) as i32;
        exponent - self.bias - self.fraction_bits as i32
    }
}

const F8: Format = Format {
    fraction_bits: 52,
    bias: 1023,
    exponent_end: 0x7ff,
    ties: -4..=23,
};

const F4: Format = Format {
    fraction_bits: 23,
    bias: 127,
    exponent_end: 0xff,
    ties: -17..=10,
};

/// Reads the digits from `at` on behind those in `value`, which wraps when they are too many; gives the offset after them.
#[inline(always)]
fn digits(text: &[u8], mut at: usize, mut value: u64) -> (u64, usize) {
    loop {
        let word = word(text, at) ^ 0x3030_3030_3030_3030;
        // A byte above 9 gets its top bit set.
        let others = (word.wrapping_add(0x7676_7676_7676_7676) | word) & 0x8080_8080_8080_8080;
        let count = others.trailing_zeros() / 8;
        match count {
            8 => value = value.wrapping_mul(100_000_000).wrapping_add(eight_digits(word)),
            0 => return (value, at),
            _ => {
                // Zeros come in front of the digits.
                let aligned = word << (8 * (8 - count));
                let value = value.wrapping_mul(POWERS_OF_TEN[count as usize]);
                return (value.wrapping_add(eight_digits(aligned)), at + count as usize);
            }
        }
        at += 8;
    }
}

const POWERS_OF_TEN: [u64; 8] = [1, 10, 100, 1000, 10_000, 100_000, 1_000_000, 10_000_000];

/// Eight bytes as a word, the first lowest; zeros stand for those after the end.
#[inline]
fn word(text: &[u8], at: usize) -> u64 {
    match text.get(at..).and_then(|rest| rest.first_chunk::<8>()) {
        Some(chunk) => u64::from_le_bytes(*chunk),
        None => last_word(text, at),
    }
}

#[cold]
fn last_word(text: &[u8], at: usize) -> u64 {
    let rest = text.get(at..).unwrap_or_default();
    rest.iter()
        .rev()
        .fold(0, |word, byte| word << 8 | u64::from(*byte))
}

/// The number of eight digits, each in a byte, the first in the lowest: pairs, quarters and halves are put together in
/// parallel.
#[inline]
fn eight_digits(digits: u64) -> u64 {
    let pairs = digits.wrapping_mul(10).wrapping_add(digits >> 8);
    let first = (pairs & 0x0000_00ff_0000_00ff).wrapping_mul(100 + (1_000_000 << 32));
    let second = (pairs >> 16 & 0x0000_00ff_0000_00ff).wrapping_mul(1 + (10_000 << 32));
    first.wrapping_add(second) >> 32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        let found = match Decimal::scan(text.as_bytes()) {
            Ok(number) => format!("{} {:e} {:e}", number.text.len(), number.f8(), number.f4()),
            Err(offset) => format!("digit expected at {offset}"),
        };
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn grammar() {
        check("0", "1 0e0 0e0");
        check("-0,", "2 -0e0 -0e0");
        check("01", "1 0e0 0e0");
        check("12345678,", "8 1.2345678e7 1.2345678e7");
        check("1.5e+3]", "6 1.5e3 1.5e3");
        check("1E-2", "4 1e-2 1e-2");
        check("", "digit expected at 0");
        check("-", "digit expected at 1");
        check("-.5", "digit expected at 1");
        check("1.", "digit expected at 2");
        check("1.e5", "digit expected at 2");
        check("1e", "digit expected at 2");
        check("1e+", "digit expected at 3");
        check("1e99999999999999999999", "22 inf inf");
        check("1e-99999999999999999999", "23 0e0 0e0");
    }

    #[test]
    fn floats_are_the_nearest() {
        let long = format!("1{}", "0".repeat(400));
        let tiny = format!("0.{}1", "0".repeat(400));
        let texts = [
            "0.1",
            "3.14",
            "9007199254740993",
            "9007199254740993.0",
            "9007199254740992.999999",
            "1e22",
            "1e23",
            "1e-22",
            "123456789012345678",
            "12345678901234567890",
            "1.7976931348623157e308",
            "1.7976931348623159e308",
            "2.2250738585072011e-308",
            "2.2250738585072014e-308",
            "4.9e-324",
            "2.4e-324",
            "2.5e-324",
            "1e-400",
            "16777217",
            "16777217.0000001",
            "3.4028235e38",
            "3.4028236e38",
            "1e-45",
            "1.1754942e-38",
            "7.0e-46",
            "0.000000000000000000000000000001",
            "0.00000000000000000000000000000123456789012345678901234567890",
            &long,
            &tiny,
            "8.5",
            "4503599627370496.5",
            "4503599627370497.5",
            "18446744073709551615",
            "18446744073709551616e0",
        ];
        for text in texts {
            agree(text);
        }
    }

    #[test]
    fn many_digits_are_compared_exactly() {
        // Exactly between two floats, and a little beside it, far behind the point.
        let between = [
            "9007199254740993",
            "16777217",
            "4503599627370497.5",
            "2.4703282292062327208299493560063549e-324",
            "1.797693134862315807937e308",
            "179769313486231580793728971405303415079934132710037826936173778980444968292764750946649017977587207096330286416692887910946555547851940402630657488671505820681908902000708383676273854845817711531764475730270069855571366959622842914819860834936475292719074168444365510704342711559699508093042880",
            "7.006492321624085354618e-46",
            "340282356779733661637539395458142568448",
        ];
        for text in between {
            let point = if text.contains('.') { "" } else { "." };
            let (digits, exponent) = text
                .split_once('e')
                .map_or((text, String::new()), |(digits, exponent)| {
                    (digits, format!("e{exponent}"))
                });
            for tail in [
                "",
                "0",
                "1",
                &"0".repeat(30),
                &format!("{}1", "0".repeat(30)),
                &format!("{}1", "0".repeat(2000)),
            ] {
                let point = if tail.is_empty() { "" } else { point };
                let text = format!("{digits}{point}{tail}{exponent}");
                agree(&text);
                agree(&text.replacen("3e", "2999999999999999999999e", 1));
            }
        }
        agree(&format!("{}.{}", "9".repeat(300), "9".repeat(900)));
        agree(&format!(
            "0.{}{}",
            "0".repeat(323),
            "2470328229206232720882843964341106861825299013071623822127928412503377536".repeat(12)
        ));
        agree(&format!("{}e-{}", "1".repeat(5000), 5000));
    }

    fn agree(text: &str) {
        let number = Decimal::scan(text.as_bytes()).unwrap();
        assert_eq!(Some(number.f8()), text.parse().ok(), "{text}");
        assert_eq!(Some(number.f4()), text.parse().ok(), "{text}");
    }

    #[test]
    fn random_ones_too() {
        let mut bits = 1u64;
        for round in 0..200_000 {
            bits = bits
                .wrapping_mul(0x5851_F42D_4C95_7F2D)
                .wrapping_add(0x1405_7B7E_F767_814F);
            let mantissa = bits >> (bits >> 7 & 63);
            let exponent = (bits >> 20) as i32 % 700 - 350;
            // Every other one lies in the narrow range that f4 has.
            let exponent = if round % 2 == 0 {
                exponent / 7 - 8
            } else {
                exponent
            };
            let text = match round % 3 {
                0 => format!("{mantissa}e{exponent}"),
                // The digits of a float, and more.
                1 => format!("{:.30e}", f64::from_bits(bits >> 1)),
                _ => format!("7{mantissa}{bits}{bits}e{exponent}"),
            };
            if text.contains("inf") || text.contains("NaN") {
                continue;
            }
            agree(&text);
        }
    }

    #[test]
    fn ties_go_to_the_even_one() {
        let mut bits = 1u64;
        for _ in 0..50_000 {
            bits = bits
                .wrapping_mul(0x5851_F42D_4C95_7F2D)
                .wrapping_add(0x1405_7B7E_F767_814F);
            let half = (bits >> 11 | 1 << 52) * 2 + 1;
            for text in [
                format!("{half}"),
                format!("{half}0"),
                format!("{}.5", half / 2),
                format!("{}e4", half / 10_000),
            ] {
                let number = Decimal::scan(text.as_bytes()).unwrap();
                assert_eq!(Some(number.f8()), text.parse().ok(), "{text}");
            }
            let half = (bits >> 40 | 1 << 23) * 2 + 1;
            for text in [
                format!("{half}"),
                format!("{}.5", half / 2),
                format!("{}.25", half / 4),
                format!("{half}e10"),
            ] {
                let number = Decimal::scan(text.as_bytes()).unwrap();
                assert_eq!(Some(number.f4()), text.parse().ok(), "{text}");
            }
        }
    }

    #[test]
    fn integers_with_a_point_or_an_exponent() {
        let check = |text: &str, expected: Option<&str>| {
            let found = Decimal::scan(text.as_bytes()).unwrap().shifted();
            let found = found.map(|digits| String::from_utf8(digits).unwrap());
            assert_eq!(found.as_deref(), expected, "{text}");
        };
        check("1.0", Some("1"));
        check("-1.0", Some("-1"));
        check("1e3", Some("1000"));
        check("1E+3", Some("1000"));
        check("-12.50e2", Some("-1250"));
        check("1200e-2", Some("12"));
        check("1200.00e-2", Some("12"));
        check("1201e-2", None);
        check("0.5", None);
        check("0.0", Some("0"));
        check("-0.0", Some("-0"));
        check("0e99999999999999999999", Some("0"));
        check("0.000e-99999999999999999999", Some("0"));
        check("0.001e3", Some("1"));
        check("0.001e2", None);
        check("9007199254740993.0", Some("9007199254740993"));
        check("18446744073709551615.0", Some("18446744073709551615"));
        check("1e-1", None);
        check("1e99999999999999999999", None);
        check("1e-99999999999999999999", None);
        let most = format!("1{}", "0".repeat(SHIFTED_DIGITS_MAX - 1));
        check(&format!("{most}.000"), Some(&most));
        check(&format!("1e{}", SHIFTED_DIGITS_MAX - 1), Some(&most));
        check(&format!("1e{SHIFTED_DIGITS_MAX}"), None);
        check(&format!("1.{}", "0".repeat(INTEGER_DIGITS_MAX)), None);
    }

    #[test]
    fn integers_in_range() {
        let whole = |text: &str, number| {
            Decimal::scan(text.as_bytes())
                .ok()
                .and_then(|found| found.whole(number))
        };
        assert_eq!(whole("-128", Number::I1), Some(-128i64 as u64));
        assert_eq!(whole("-129", Number::I1), None);
        assert_eq!(whole("128", Number::I1), None);
        assert_eq!(whole("255", Number::U1), Some(255));
        assert_eq!(whole("256", Number::U1), None);
        assert_eq!(whole("-1", Number::U1), None);
        assert_eq!(whole("-0", Number::U1), Some(0));
        assert_eq!(whole("1.0", Number::I4), None);
        assert_eq!(whole("1e3", Number::I4), None);
        assert_eq!(whole("-9223372036854775808", Number::I8), Some(1 << 63));
        assert_eq!(whole("-9223372036854775809", Number::I8), None);
        assert_eq!(whole("18446744073709551615", Number::U8), Some(u64::MAX));
        assert_eq!(whole("18446744073709551616", Number::U8), None);
        assert_eq!(whole("36893488147419103232", Number::U8), None);
    }
}
