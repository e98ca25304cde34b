//! Names of nodes, values and namespaces: their alphabet, and the file names that they become. Opens no file.

use crate::error::{Error, Kind, Result};
use crate::limits::FLOW_NAME_BYTES_MAX;

/// Checks a name, an id or a namespace; `what` says which in messages.
///
/// # Errors
/// Kind `bad_argument`: it is empty, longer than [`FLOW_NAME_BYTES_MAX`], or has other letters than those of names.
pub fn check(what: &str, name: &str) -> Result<()> {
    let refuse = |message: String| Err(Error::new(Kind::BadArgument, message));
    if name.len() > FLOW_NAME_BYTES_MAX {
        let bytes = name.len();
        return refuse(format!(
            "{what} has {bytes} bytes, expected at most {FLOW_NAME_BYTES_MAX}"
        ));
    }
    let is_first = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let is_other = |byte: u8| is_first(byte) || b"-./:@".contains(&byte);
    if !name.bytes().next().is_some_and(is_first) || !name.bytes().all(is_other) {
        let shown = name.escape_debug();
        return refuse(format!(
            "{what} '{shown}' is no name, expected letters, digits and any of _-./:@, beginning with a letter, a digit or _"
        ));
    }
    Ok(())
}

/// The name as part of a file's name: what could be a path is percent-encoded.
pub fn encode(name: &str) -> String {
    let mut out = String::new();
    for char in name.chars() {
        match char {
            'a'..='z' | 'A'..='Z' | '0'..='9' | '_' | '-' | '.' => out.push(char),
            other => {
                let mut buffer = [0; 4];
                for byte in other.encode_utf8(&mut buffer).bytes() {
                    out.push_str(&format!("%{byte:02X}"));
                }
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alphabet() {
        let check_name =
            |name: &str, is_good: bool| assert_eq!(check("name", name).is_ok(), is_good, "{name}");
        for good in ["a", "_", "9", "nodes_create", "a-b.c/d:e@1", &"x".repeat(80)] {
            check_name(good, true);
        }
        for bad in [
            "",
            ".",
            "..",
            "-a",
            "/a",
            "a b",
            "a\n",
            "ä",
            "a%",
            "{{a}}",
            &"x".repeat(81),
        ] {
            check_name(bad, false);
        }
    }

    #[test]
    fn file_names() {
        let check = |name: &str, expected: &str| assert_eq!(encode(name), expected);
        check("nodes_create", "nodes_create");
        check("a/b:c@1.x", "a%2Fb%3Ac%401.x");
    }
}
