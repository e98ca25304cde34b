//! Which bytes may stand where in a head, as one table, and where one stands. Knows nothing of their meaning.

/// What may stand within a line.
pub const PLAIN: u8 = 1;

/// What names and options are made of (RFC 9110, 5.6.2).
pub const TOKEN: u8 = 2;

static KINDS: [u8; 256] = {
    let mut kinds = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        if matches!(byte as u8, b'\t' | b' '..=b'~' | 0x80..) {
            kinds[byte] |= PLAIN;
        }
        if matches!(
            byte as u8,
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'!' | b'#'..=b'\'' | b'*' | b'+' | b'.' | b'^'..=b'`' | b'|' | b'~'
        ) {
            kinds[byte] |= TOKEN;
        }
        byte += 1;
    }
    kinds
};

/// How many bytes of that kind come before the first other.
pub fn leading(bytes: &[u8], kind: u8) -> usize {
    let mut count = 0;
    while let Some(byte) = bytes.get(count)
        && KINDS[*byte as usize] & kind != 0
    {
        count += 1;
    }
    count
}

/// Whether all bytes are of that kind.
pub fn are_all(bytes: &[u8], kind: u8) -> bool {
    leading(bytes, kind) == bytes.len()
}

/// Where the first such byte is. For short texts: what is fast for long ones takes longer to begin.
pub fn find(bytes: &[u8], wanted: u8) -> Option<usize> {
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        if *byte == wanted {
            return Some(at);
        }
        at += 1;
    }
    None
}

/// Whether a header has that name, in whatever letters. Most differ in length already.
pub fn is_named(found: &[u8], name: &str) -> bool {
    let mut pairs = found.iter().zip(name.as_bytes());
    found.len() == name.len() && pairs.all(|(a, b)| a.eq_ignore_ascii_case(b))
}
