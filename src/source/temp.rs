//! temp
use super::notation::parse_signature;
use super::signature::*;
pub fn read(lang: &str, text: &str) -> Result<Library, Vec<Flaw>> {
    let mut lib = Library::default();
    let mut flaws = vec![];
    for (at, line) in text.lines().enumerate() {
        let t = line.trim_start_matches(['#', '/', '\'', ' ']);
        if !line.starts_with(['#', '/']) || !t.contains(" :: ") {
            continue;
        }
        let place = Place {
            line: at as u32 + 1,
            column: (line.len() - t.len()) as u32 + 1,
        };
        match parse_signature(t, place, &mut lib.mentions) {
            Ok(mut s) => {
                s.place.line = at as u32 + 2;
                lib.functions.push(s)
            }
            Err(f) => flaws.push(f),
        }
    }
    if lang == "js" && text.contains("module.exports") {
        lib.exports = Exports::CommonJs;
    }
    if flaws.is_empty() { Ok(lib) } else { Err(flaws) }
}
