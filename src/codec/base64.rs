//! Bytes as base64 text (RFC 4648, the standard alphabet, padded) and back. Accepts no other alphabet and no white space.

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// What a byte that is no letter of the alphabet decodes to.
const NONE: u8 = 0xff;

const VALUES: [u8; 256] = {
    let mut values = [NONE; 256];
    let mut at = 0;
    while at < 64 {
        values[ALPHABET[at] as usize] = at as u8;
        at += 1;
    }
    values
};

/// Appends the text of `bytes`.
pub fn encode(bytes: &[u8], out: &mut Vec<u8>) {
    let letter = |group: u32, shift: u32| ALPHABET[(group >> shift & 63) as usize];
    let (groups, rest) = bytes.as_chunks::<3>();
    let end = out.len();
    out.resize(end + groups.len() * 4, 0);
    for (chunk, letters) in groups.iter().zip(out[end..].as_chunks_mut::<4>().0) {
        let group = u32::from(chunk[0]) << 16 | u32::from(chunk[1]) << 8 | u32::from(chunk[2]);
        *letters = [
            letter(group, 18),
            letter(group, 12),
            letter(group, 6),
            letter(group, 0),
        ];
    }
    match *rest {
        [a] => {
            let group = u32::from(a) << 16;
            out.extend_from_slice(&[letter(group, 18), letter(group, 12), b'=', b'=']);
        }
        [a, b] => {
            let group = u32::from(a) << 16 | u32::from(b) << 8;
            out.extend_from_slice(&[letter(group, 18), letter(group, 12), letter(group, 6), b'=']);
        }
        _ => {}
    }
}

/// Appends the bytes of `text`.
///
/// # Errors
/// The offset in `text` of the first byte that is wrong: not of the alphabet, padding missing or inside, bits left over
/// that are not zero. What was appended then means nothing.
pub fn decode(text: &[u8], out: &mut Vec<u8>) -> Result<(), usize> {
    let padding = text
        .iter()
        .rev()
        .take(2)
        .take_while(|byte| **byte == b'=')
        .count();
    let letters = &text[..text.len() - padding];
    let is_wrong = |letter: &u8| value(*letter) == NONE;
    if !text.len().is_multiple_of(4) {
        return Err(letters.iter().position(is_wrong).unwrap_or(text.len()));
    }
    let (groups, rest) = letters.as_chunks::<4>();
    let end = out.len();
    out.resize(end + groups.len() * 3, 0);
    let decoded = out[end..].as_chunks_mut::<3>().0;
    for (position, (letters, bytes)) in groups.iter().zip(decoded).enumerate() {
        let [a, b, c, d] = *letters;
        let (a, b, c, d) = (value(a), value(b), value(c), value(d));
        if a | b | c | d == NONE {
            return Err(position * 4 + letters.iter().position(is_wrong).unwrap_or(0));
        }
        *bytes = [a << 2 | b >> 4, b << 4 | c >> 2, c << 6 | d];
    }
    if let Some(wrong) = rest.iter().position(is_wrong) {
        return Err(groups.len() * 4 + wrong);
    }
    match *rest {
        [a, b] if value(b) & 15 == 0 => out.push(value(a) << 2 | value(b) >> 4),
        [a, b, c] if value(c) & 3 == 0 => {
            let (a, b, c) = (value(a), value(b), value(c));
            out.extend_from_slice(&[a << 2 | b >> 4, b << 4 | c >> 2]);
        }
        [] => {}
        _ => return Err(letters.len() - 1),
    }
    Ok(())
}

/// What a letter stands for, or [`NONE`].
#[inline]
fn value(letter: u8) -> u8 {
    VALUES[usize::from(letter)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(bytes: &[u8], text: &str) {
        let mut out = Vec::new();
        encode(bytes, &mut out);
        assert_eq!(out, text.as_bytes());
        out.clear();
        assert_eq!(decode(text.as_bytes(), &mut out), Ok(()));
        assert_eq!(out, bytes);
    }

    fn refuse(text: &str, offset: usize) {
        assert_eq!(decode(text.as_bytes(), &mut Vec::new()), Err(offset), "{text}");
    }

    #[test]
    fn both_ways() {
        check(b"", "");
        check(b"f", "Zg==");
        check(b"fo", "Zm8=");
        check(b"foo", "Zm9v");
        check(b"foob", "Zm9vYg==");
        check(b"fooba", "Zm9vYmE=");
        check(b"foobar", "Zm9vYmFy");
        check(&[0xfb, 0xff, 0xfe], "+//+");
    }

    #[test]
    fn errors_name_the_offset() {
        refuse("Zg", 2);
        refuse("Zg=", 3);
        refuse("Z", 1);
        refuse("=", 1);
        refuse("====", 0);
        refuse("Zg==Zg==", 2);
        refuse("Zm9v Zg=", 4);
        refuse("Zm_v", 2);
        refuse("Zh==", 1);
        refuse("Zm9=", 2);
    }
}
