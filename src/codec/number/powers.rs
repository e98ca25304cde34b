//! The powers of ten that reading and writing floats multiply by, computed by the compiler. Does no rounding of floats.

/// Exponent of the first power: with any below, 64 bits give less than half of the smallest float.
pub(super) const FIRST: i32 = -342;
/// Exponent of the last power: the smallest float is written by it.
pub(super) const LAST: i32 = 324;

/// Exponents whose powers 128 bits hold exactly.
pub(super) const EXACT: std::ops::RangeInclusive<i32> = 0..=55;

/// The first 128 bits of 10^`exponent`, the top bit set, rounded up; none outside [`FIRST`] to [`LAST`].
#[inline]
pub(super) fn ceiling(exponent: i32) -> Option<u128> {
    CEILINGS.get(usize::try_from(exponent - FIRST).ok()?).copied()
}

const COUNT: usize = (LAST - FIRST + 1) as usize;

static CEILINGS: [u128; COUNT] = {
    // 10^n and 5^n differ by a power of two, so they have the same first bits.
    let mut ceilings = [0; COUNT];
    let mut power = [0; LIMBS];
    power[0] = 1;
    let mut exponent = 0;
    while exponent <= LAST {
        let inexact = exponent > *EXACT.end();
        ceilings[(exponent - FIRST) as usize] = first_bits(&power) + inexact as u128;
        times_five(&mut power);
        exponent += 1;
    }
    let mut power = [0; LIMBS];
    power[LIMBS - 1] = 1 << 63;
    let mut exponent = -1;
    while exponent >= FIRST {
        // Rounding down at each step rounds down once in all.
        by_five(&mut power);
        ceilings[(exponent - FIRST) as usize] = first_bits(&power) + 1;
        exponent -= 1;
    }
    ceilings
};

/// 1024 bits: 5^324 has 753, and after 342 divisions 229 of a 1 with 1023 zeros are left.
const LIMBS: usize = 16;

const fn times_five(limbs: &mut [u64; LIMBS]) {
    let mut carry = 0;
    let mut at = 0;
    while at < LIMBS {
        let wide = limbs[at] as u128 * 5 + carry;
        limbs[at] = wide as u64;
        carry = wide >> 64;
        at += 1;
    }
}

const fn by_five(limbs: &mut [u64; LIMBS]) {
    let mut remainder = 0;
    let mut at = LIMBS;
    while at > 0 {
        at -= 1;
        let wide = remainder << 64 | limbs[at] as u128;
        limbs[at] = (wide / 5) as u64;
        remainder = wide % 5;
    }
}

const fn first_bits(limbs: &[u64; LIMBS]) -> u128 {
    let mut top = LIMBS - 1;
    while limbs[top] == 0 {
        top -= 1;
    }
    let middle = if top > 0 { limbs[top - 1] } else { 0 };
    let low = if top > 1 { limbs[top - 2] } else { 0 };
    let shift = limbs[top].leading_zeros();
    let bits = (limbs[top] as u128) << 64 | middle as u128;
    bits << shift | (low as u128) << shift >> 64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(exponent: i32, expected: Option<u128>) {
        assert_eq!(ceiling(exponent), expected, "10^{exponent}");
    }

    #[test]
    fn some_powers() {
        check(0, Some(1 << 127));
        check(1, Some(10 << 124));
        check(27, Some(10u128.pow(27) << 38));
        check(-1, Some(0xCCCC_CCCC_CCCC_CCCC_CCCC_CCCC_CCCC_CCCD));
        check(-292, Some(0xFF77_B1FC_BEBC_DC4F_25E8_E89C_13BB_0F7B));
        check(-342, Some(0xEEF4_53D6_923B_D65A_113F_AA29_06A1_3B40));
        check(-343, None);
        check(325, None);
    }
}
