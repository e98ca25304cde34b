//! Writing numbers. Floats by the algorithm of Raffaello Giulietti, "The Schubfach way to render doubles" (2020): the
//! shortest decimal in the interval that rounds to the float, and the nearest to it among those.

use super::powers;

/// The text of a float, as JavaScript writes it but for the plus of an exponent: `3`, `0.1`, `1e21`, `1e-7`, `-0`, `NaN`,
/// `Infinity`.
pub fn float_text(value: f64) -> String {
    let mut out = Vec::new();
    write_f8(value, &mut out);
    String::from_utf8(out).unwrap_or_default()
}

/// Appends the text of an `f8`, as [`float_text`].
pub fn write_f8(value: f64, out: &mut Vec<u8>) {
    let bits = value.to_bits();
    let exponent = (bits >> 52) as i32 & 0x7ff;
    let fraction = bits & ((1 << 52) - 1);
    if exponent == 0x7ff {
        return write_special(value, out);
    }
    write_float(value.is_sign_negative(), fraction, exponent, 52, out);
}

/// Appends the text of an `f4`, with the fewest digits that read back as the same `f4`.
pub fn write_f4(value: f32, out: &mut Vec<u8>) {
    let bits = value.to_bits();
    let exponent = (bits >> 23) as i32 & 0xff;
    let fraction = bits & ((1 << 23) - 1);
    if exponent == 0xff {
        return write_special(value.into(), out);
    }
    write_float(value.is_sign_negative(), fraction.into(), exponent, 23, out);
}

/// Appends an integer in decimal.
pub fn write_int(value: i64, out: &mut Vec<u8>) {
    if value < 0 {
        out.push(b'-');
    }
    write_unsigned(value.unsigned_abs(), out);
}

/// Appends a number of few digits in that base, at most 16.
pub fn push_number(number: u64, base: u64, out: &mut Vec<u8>) {
    if number >= base {
        push_number(number / base, base, out);
    }
    out.push(b"0123456789abcdef"[(number % base) as usize]);
}

/// Appends an unsigned integer in decimal.
#[inline]
pub fn write_unsigned(value: u64, out: &mut Vec<u8>) {
    const HALF: u64 = 100_000_000;
    let len = count_digits(value);
    write(out, len, |text: &mut [u8; 24]| {
        // Zeros in front are shifted out.
        if len <= 8 {
            let digits = eight_digits(value) >> (8 * (8 - len));
            text[..8].copy_from_slice(&digits.to_le_bytes());
        } else if len <= 16 {
            let digits = sixteen_digits(value / HALF, value % HALF) >> (8 * (16 - len));
            text[..16].copy_from_slice(&digits.to_le_bytes());
        } else {
            let (first, rest) = (value / (HALF * HALF), value % (HALF * HALF));
            let first = eight_digits(first) >> (8 * (24 - len));
            let rest = sixteen_digits(rest / HALF, rest % HALF);
            text[..8].copy_from_slice(&first.to_le_bytes());
            text[len - 16..len].copy_from_slice(&rest.to_le_bytes());
        }
    });
}

#[cold]
fn write_special(value: f64, out: &mut Vec<u8>) {
    out.extend_from_slice(match value {
        f64::INFINITY => b"Infinity",
        f64::NEG_INFINITY => b"-Infinity",
        _ => b"NaN",
    });
}

fn write_float(negative: bool, fraction: u64, exponent: i32, fraction_bits: u32, out: &mut Vec<u8>) {
    if negative {
        out.push(b'-');
    }
    if fraction == 0 && exponent == 0 {
        return out.push(b'0');
    }
    let (digits, power) = shortest(fraction, exponent, fraction_bits);
    lay_out(digits, power, out);
}

/// The shortest decimal `digits * 10^power` that reads back as this float, which is finite and not zero. The digits may
/// end in zeros.
fn shortest(fraction: u64, exponent: i32, fraction_bits: u32) -> (u64, i32) {
    // The float is c * 2^q.
    let bias = (1 << (if fraction_bits == 52 { 10 } else { 7 })) - 1 + fraction_bits as i32;
    let (c, q) = match exponent {
        0 => (fraction, 1 - bias),
        _ => (fraction | 1 << fraction_bits, exponent - bias),
    };
    if (-(fraction_bits as i32)..=0).contains(&q) && c.trailing_zeros() as i32 >= -q {
        return (c >> -q, 0);
    }
    // Below a power of two the floats lie twice as close.
    let closer_below = fraction == 0 && exponent > 1;
    let k = match closer_below {
        false => floor_log10_pow2(q),
        true => floor_log10_three_quarters_pow2(q),
    };
    // All q are in range for the table.
    let power = powers::ceiling(-k).unwrap_or(u128::MAX);
    let shift = q + floor_log2_pow10(-k) + 1;
    // Four times the decimal value of the float and of the ends of the interval that rounds to it.
    let low = times(power, (4 * c - 2 + u64::from(closer_below)) << shift);
    let value = times(power, (4 * c) << shift);
    let high = times(power, (4 * c + 2) << shift);
    // The ends themselves round to the even neighbour.
    let odd = c & 1;
    let (low, high) = (low + odd, high - odd);
    let digits = value / 4;
    if digits >= 10 {
        let fewer = digits / 10;
        let below = low <= 40 * fewer;
        let above = 40 * fewer + 40 <= high;
        if below != above {
            return (fewer + u64::from(above), k + 1);
        }
    }
    let below = low <= 4 * digits;
    let above = 4 * digits + 4 <= high;
    if below != above {
        return (digits + u64::from(above), k);
    }
    let middle = 4 * digits + 2;
    let up = value > middle || (value == middle && digits & 1 == 1);
    (digits + u64::from(up), k)
}

/// The product of a 128-bit fraction and an integer, its last bit set when something was cut off (round to odd).
#[inline]
fn times(power: u128, factor: u64) -> u64 {
    let low = (power & u128::from(u64::MAX)) * u128::from(factor);
    let high = (power >> 64) * u128::from(factor) + (low >> 64);
    (high >> 64) as u64 | u64::from(high as u64 > 1)
}

fn floor_log10_pow2(exponent: i32) -> i32 {
    (exponent * 1_262_611) >> 22
}

fn floor_log10_three_quarters_pow2(exponent: i32) -> i32 {
    (exponent * 1_262_611 - 524_031) >> 22
}

fn floor_log2_pow10(exponent: i32) -> i32 {
    (exponent * 1_741_647) >> 19
}

/// Digits that the longest float needs.
const DIGITS: usize = 17;
/// Largest position of the point at which a number is written without an exponent.
const POINT_MAX: i32 = 21;

/// Appends `digits * 10^power`; `digits` is not zero and has at most [`DIGITS`].
#[inline]
fn lay_out(digits: u64, power: i32, out: &mut Vec<u8>) {
    const HALF: u64 = 100_000_000;
    let count = count_digits(digits);
    let point = count as i32 + power;
    let scaled = digits * POWERS_OF_TEN[DIGITS - count];
    let (first, rest) = (scaled / (HALF * HALF), scaled % (HALF * HALF));
    let first = b'0' + first as u8;
    let rest = sixteen_digits(rest / HALF, rest % HALF);
    let len = DIGITS - (rest ^ ZEROS).leading_zeros() as usize / 8;
    match point {
        1..=POINT_MAX => {
            let point = point as usize;
            let text_len = if len <= point { point } else { len + 1 };
            write(out, text_len, |text: &mut [u8; 40]| {
                text[0] = first;
                text[1..17].copy_from_slice(&rest.to_le_bytes());
                text[17..25].copy_from_slice(b"00000000");
                if len > point {
                    text[point] = b'.';
                    let fraction = rest >> (8 * (point - 1));
                    text[point + 1..point + 17].copy_from_slice(&fraction.to_le_bytes());
                }
            });
        }
        -5..=0 => {
            let start = 2 + point.unsigned_abs() as usize;
            write(out, start + len, |text: &mut [u8; 40]| {
                text[..8].copy_from_slice(b"0.000000");
                text[start] = first;
                text[start + 1..start + 17].copy_from_slice(&rest.to_le_bytes());
            });
        }
        _ => {
            let start = if len > 1 { len + 1 } else { 1 };
            write(out, start + 1, |text: &mut [u8; 40]| {
                text[0] = first;
                text[1] = b'.';
                text[2..18].copy_from_slice(&rest.to_le_bytes());
                text[start] = b'e';
            });
            write_int(i64::from(point) - 1, out);
        }
    }
}

/// Appends the first `len` of `N` bytes, which `fill` sets. Setting whole words, some of them in vain, is faster than
/// setting a number of bytes that the compiler doesn't know.
#[inline]
fn write<const N: usize>(out: &mut Vec<u8>, len: usize, fill: impl FnOnce(&mut [u8; N])) {
    let start = out.len();
    // Zeros from a constant would be a call of memcpy where size counts, and musl's is slow for a few bytes.
    out.resize(start + N, 0);
    if let Some(room) = out.last_chunk_mut() {
        fill(room);
    }
    out.truncate(start + len);
}

/// The digits of two numbers below 10^8, one behind the other, as [`eight_digits`].
#[inline]
fn sixteen_digits(first: u64, second: u64) -> u128 {
    u128::from(eight_digits(first)) | u128::from(eight_digits(second)) << 64
}

/// The digit zero sixteen times.
const ZEROS: u128 = 0x3030_3030_3030_3030_3030_3030_3030_3030;

const POWERS_OF_TEN: [u64; 20] = {
    let mut powers = [1; 20];
    let mut at = 1;
    while at < 20 {
        powers[at] = powers[at - 1] * 10;
        at += 1;
    }
    powers
};

/// How many digits a number has; zero has one.
#[inline]
fn count_digits(value: u64) -> usize {
    // 1233/4096 is a little more than log10(2): the guess is right or one too small.
    let guess = ((64 - (value | 1).leading_zeros()) as usize * 1233) >> 12;
    guess + usize::from(value >= POWERS_OF_TEN[guess]).max(usize::from(guess == 0))
}

/// Eight digits as ASCII, the first in the lowest byte: halves, quarters and digits are split off in parallel.
#[inline]
fn eight_digits(value: u64) -> u64 {
    let halves = (value / 10_000) | ((value % 10_000) << 32);
    let hundreds = ((halves * 10_486) >> 20) & 0x7f_0000_007f;
    let quarters = hundreds | (halves - hundreds * 100) << 16;
    let tens = ((quarters * 103) >> 10) & 0xf_000f_000f_000f;
    (tens | (quarters - tens * 10) << 8) + ZEROS as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(value: f64, expected: &str) {
        assert_eq!(float_text(value), expected);
    }

    fn check_f4(value: f32, expected: &str) {
        let mut out = Vec::new();
        write_f4(value, &mut out);
        assert_eq!(String::from_utf8_lossy(&out), expected);
    }

    #[test]
    fn as_javascript_writes_them() {
        check(0.0, "0");
        check(-0.0, "-0");
        check(3.0, "3");
        check(-3.25, "-3.25");
        check(0.1, "0.1");
        check(0.3, "0.3");
        check(0.1 + 0.2, "0.30000000000000004");
        check(1.0 / 3.0, "0.3333333333333333");
        check(9007199254740993.0, "9007199254740992");
        check(1e15, "1000000000000000");
        check(0.000001, "0.000001");
        check(0.00001234567890123456, "0.00001234567890123456");
        check(1e-7, "1e-7");
        check(1.25e-7, "1.25e-7");
        check(1e20, "100000000000000000000");
        check(123456789012345680000.0, "123456789012345680000");
        check(1e21, "1e21");
        check(1e23, "1e23");
        check(-1.5e300, "-1.5e300");
        check(5e-324, "5e-324");
        check(2.2250738585072014e-308, "2.2250738585072014e-308");
        check(f64::MAX, "1.7976931348623157e308");
        check(f64::NAN, "NaN");
        check(f64::INFINITY, "Infinity");
        check(f64::NEG_INFINITY, "-Infinity");
    }

    #[test]
    fn an_f4_has_its_own_fewest_digits() {
        check_f4(0.1, "0.1");
        check_f4(16777216.0, "16777216");
        check_f4(3.4028235e38, "3.4028235e38");
        check_f4(1e-45, "1e-45");
        check_f4(f32::NEG_INFINITY, "-Infinity");
    }

    /// Floats of all sizes; and those at the ends of a binade, subnormal ones and neighbours of powers of two among them.
    fn some_floats(mut visit: impl FnMut(u64)) {
        let mut bits = 1u64;
        for _ in 0..100_000 {
            bits = bits
                .wrapping_mul(0x5851_F42D_4C95_7F2D)
                .wrapping_add(0x1405_7B7E_F767_814F);
            visit(bits);
            visit(bits >> 52 << 52);
            visit(bits >> 52 << 52 | 1);
            visit(bits & 0x800F_FFFF_FFFF_FFFF);
        }
    }

    /// How many digits there are but for zeros at the ends. Which of two equally near ones is chosen may differ.
    fn significant(text: &str) -> usize {
        let mantissa = text.split('e').next().unwrap_or_default();
        let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
        digits.trim_matches('0').len()
    }

    #[test]
    fn they_read_back_the_same_and_are_no_longer_than_the_standard_librarys() {
        some_floats(|bits| {
            let value = f64::from_bits(bits);
            if value.is_finite() {
                let text = float_text(value);
                let read = text.parse().map(f64::to_bits);
                assert_eq!(read, Ok(bits), "{text}");
                assert_eq!(significant(&text), significant(&format!("{value:e}")), "{text}");
            }
            let value = f32::from_bits((bits >> 32) as u32);
            if value.is_finite() {
                let mut out = Vec::new();
                write_f4(value, &mut out);
                let text = String::from_utf8(out).unwrap();
                let read = text.parse().map(f32::to_bits);
                assert_eq!(read, Ok(value.to_bits()), "{text}");
                assert_eq!(significant(&text), significant(&format!("{value:e}")), "{text}");
            }
        });
    }

    #[test]
    fn of_two_equally_near_ones_the_even_one_is_chosen() {
        check(1888570120608320.0 + 0.25, "1888570120608320.2");
        check(1888570120608320.0 + 0.75, "1888570120608320.8");
    }

    #[test]
    fn integers() {
        let mut values = vec![0, 1, u64::MAX, u64::MAX - 1];
        for power in POWERS_OF_TEN {
            values.extend([power - 1, power, power + 1, power / 7 * 9]);
        }
        for value in values {
            let mut out = Vec::new();
            write_unsigned(value, &mut out);
            assert_eq!(String::from_utf8_lossy(&out), value.to_string());
            out.clear();
            write_int(value as i64, &mut out);
            assert_eq!(String::from_utf8_lossy(&out), (value as i64).to_string());
        }
    }
}
