//! The reader of each language, behind one door. Reads nothing itself.

use super::signature::{Flaw, Library, Place};
use super::{cpp, javascript, python, r};
use crate::limits::SOURCE_BYTES_MAX;

/// Reads a source of the language `py`, `r`, `js` or `cpp`: its library, or all that is wrong with it.
pub fn read(lang: &str, text: &str) -> Result<Library, Vec<Flaw>> {
    let start = Place { line: 1, column: 1 };
    if text.len() > SOURCE_BYTES_MAX {
        let message = format!(
            "the file has {} bytes, at most {SOURCE_BYTES_MAX} are read",
            text.len()
        );
        return Err(vec![Flaw::new(start, 1, message)]);
    }
    match lang {
        "py" => python::read(text),
        "r" => r::read(text),
        "js" => javascript::read(text),
        "cpp" => cpp::read(text),
        _ => {
            let message = format!("'{lang}' is no language, expected py, r, js or cpp");
            Err(vec![Flaw::new(start, 1, message)])
        }
    }
}
