//! What people see of a text: in quotes, with what can't be seen spelled out. It is what `Debug` writes, which the static
//! binary is built without.

/// A text in double quotes. What is no UTF-8 is spelled byte by byte.
pub fn quote(text: &[u8]) -> String {
    let mut quoted = String::from("\"");
    for chunk in text.utf8_chunks() {
        for letter in chunk.valid().chars() {
            match letter {
                '\'' => quoted.push(letter),
                _ => quoted.extend(letter.escape_debug()),
            }
        }
        for byte in chunk.invalid() {
            quoted.push_str(&format!("\\x{byte:02X}"));
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_as_debug_does() {
        let texts = [
            "",
            "plain",
            "it's \"so\" \\ \n\t\r\0\x1b",
            "é e\u{301} \u{301} \u{200b} 語 \u{1f600}",
        ];
        for text in texts {
            assert_eq!(quote(text.as_bytes()), format!("{text:?}"));
        }
    }

    #[test]
    fn spells_what_is_no_text() {
        assert_eq!(quote(b"\xff\xc3(\xe2\x82"), r#""\xFF\xC3(\xE2\x82""#);
        assert_eq!(quote(b"'\xf0\x9f"), r#""'\xF0\x9F""#);
    }
}
