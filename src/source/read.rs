//! The reader of each language, behind one door. Reads nothing itself.

use super::signature::{Flaw, Library, Place};
use super::{cpp, javascript, python, r};
use crate::limits::SOURCE_BYTES_MAX;

/// Reads a source of the language `py`, `r`, `js` or `cpp`: its library, or all that is wrong with it.
pub fn read(lang: &str, text: &str) -> Result<Library, Vec<Flaw>> {
    read_with(lang, text, false)
}

/// Reads a source of the language `py` or `js` whose functions need no types: what has none, or one that other languages
/// don't know, is any JSON.
pub fn read_loosely(lang: &str, text: &str) -> Result<Library, Vec<Flaw>> {
    read_with(lang, text, true)
}

fn read_with(lang: &str, text: &str, is_loose: bool) -> Result<Library, Vec<Flaw>> {
    let start = Place { line: 1, column: 1 };
    if text.len() > SOURCE_BYTES_MAX {
        let message = format!(
            "the file has {} bytes, at most {SOURCE_BYTES_MAX} are read",
            text.len()
        );
        return Err(vec![Flaw::new(start, 1, message)]);
    }
    match lang {
        "py" => python::read(text, is_loose),
        "r" => r::read(text),
        "js" => javascript::read(text, is_loose),
        "cpp" => cpp::read(text),
        _ => {
            let message = format!("'{lang}' is no language, expected py, r, js or cpp");
            Err(vec![Flaw::new(start, 1, message)])
        }
    }
}
