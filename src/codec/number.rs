//! Floats as text: the fewest digits that read back the same. Does not read or write integers of any size.

/// The text of a float, as JavaScript writes it but for the plus of an exponent: `3`, `0.1`, `1e21`, `1e-7`, `-0`, `NaN`,
/// `Infinity`.
pub fn float_text(value: f64) -> String {
    let mut out = Vec::new();
    write_f8(value, &mut out);
    String::from_utf8(out).unwrap_or_default()
}

/// Appends the text of an `f8`, as [`float_text`].
pub fn write_f8(value: f64, out: &mut Vec<u8>) {
    match special(value) {
        Some(text) => out.extend_from_slice(text.as_bytes()),
        None => write_decimal(&format!("{value:e}"), out),
    }
}

/// Appends the text of an `f4`, with the fewest digits that read back as the same `f4`.
pub fn write_f4(value: f32, out: &mut Vec<u8>) {
    match special(value.into()) {
        Some(text) => out.extend_from_slice(text.as_bytes()),
        None => write_decimal(&format!("{value:e}"), out),
    }
}

fn special(value: f64) -> Option<&'static str> {
    match value {
        f64::INFINITY => Some("Infinity"),
        f64::NEG_INFINITY => Some("-Infinity"),
        _ if value.is_nan() => Some("NaN"),
        _ => None,
    }
}

fn write_decimal(scientific: &str, out: &mut Vec<u8>) {
    let unsigned = scientific.strip_prefix('-').unwrap_or(scientific);
    if unsigned.len() < scientific.len() {
        out.push(b'-');
    }
    let (mantissa, exponent) = unsigned.split_once('e').unwrap_or((unsigned, "0"));
    let digits: Vec<u8> = mantissa.bytes().filter(|byte| *byte != b'.').collect();
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let point = exponent + 1;
    match point {
        -5..=0 => {
            out.extend_from_slice(b"0.");
            out.extend(std::iter::repeat_n(b'0', point.unsigned_abs() as usize));
            out.extend_from_slice(&digits);
        }
        1..=21 if digits.len() <= point as usize => {
            out.extend_from_slice(&digits);
            out.extend(std::iter::repeat_n(b'0', point as usize - digits.len()));
        }
        1..=21 => {
            out.extend_from_slice(&digits[..point as usize]);
            out.push(b'.');
            out.extend_from_slice(&digits[point as usize..]);
        }
        _ => {
            out.push(digits[0]);
            if digits.len() > 1 {
                out.push(b'.');
                out.extend_from_slice(&digits[1..]);
            }
            out.push(b'e');
            out.extend_from_slice(exponent.to_string().as_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(value: f64, expected: &str) {
        assert_eq!(float_text(value), expected);
    }

    #[test]
    fn as_javascript_writes_them() {
        check(0.0, "0");
        check(-0.0, "-0");
        check(3.0, "3");
        check(-3.25, "-3.25");
        check(0.1, "0.1");
        check(0.000001, "0.000001");
        check(1e-7, "1e-7");
        check(1.25e-7, "1.25e-7");
        check(1e20, "100000000000000000000");
        check(123456789012345680000.0, "123456789012345680000");
        check(1e21, "1e21");
        check(1.5e300, "1.5e300");
        check(5e-324, "5e-324");
        check(f64::MAX, "1.7976931348623157e308");
        check(f64::NAN, "NaN");
        check(f64::INFINITY, "Infinity");
        check(f64::NEG_INFINITY, "-Infinity");
    }

    #[test]
    fn an_f4_has_its_own_fewest_digits() {
        let mut out = Vec::new();
        write_f4(0.1, &mut out);
        assert_eq!(out, b"0.1");
    }
}
