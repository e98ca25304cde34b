//! Flaws of sources: how they are made, and how people see them. Finds none itself.

use super::signature::{Flaw, Mention, Place};
use super::types::Base;
use crate::codec::nearest::nearest;
use crate::limits::FLAW_LINE_CHARS_MAX;
use std::fmt::Write;

impl Flaw {
    /// A flaw of so many characters from a place on.
    pub fn new(place: Place, len: usize, message: impl Into<String>) -> Flaw {
        Flaw {
            place,
            len: u32::try_from(len).unwrap_or(u32::MAX).max(1),
            message: message.into(),
            hint: None,
        }
    }

    /// Adds what to write instead.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Flaw {
        self.hint = Some(hint.into());
        self
    }
}

/// What a compiler would print: the sentence, the place, the line with carets below it, the hint. `text` is the whole file.
///
/// ```text
/// 'Strng' is no type
///   at stats.py:3:18
///    |
///  3 | # name :: Int -> Strng
///    |                  ^^^^^
///   hint: did you mean Str?
/// ```
pub fn render(file: &str, text: &str, flaw: &Flaw) -> String {
    let Place { line, column } = flaw.place;
    let mut out = format!("{}\n  at {file}:{line}:{column}\n", flaw.message);
    let index = usize::try_from(line).unwrap_or(usize::MAX).saturating_sub(1);
    if let Some(shown) = text.lines().nth(index) {
        let before = usize::try_from(column).unwrap_or(usize::MAX).saturating_sub(1);
        // Of a line that no screen holds only the part before the place can be left out.
        let skipped = before.saturating_sub(FLAW_LINE_CHARS_MAX / 2);
        let shown: Vec<char> = shown.chars().skip(skipped).take(FLAW_LINE_CHARS_MAX).collect();
        let before = (before - skipped).min(shown.len());
        let number = line.to_string();
        let margin = " ".repeat(number.len());
        // What is no letter may move the cursor; tabs are kept, above the carets as well.
        let clean = |letter: &char| match letter {
            '\t' => '\t',
            letter if letter.is_control() => ' ',
            letter => *letter,
        };
        let blank = |letter: &char| if *letter == '\t' { '\t' } else { ' ' };
        let line: String = shown.iter().map(clean).collect();
        let indent: String = shown[..before].iter().map(blank).collect();
        let room = (shown.len() - before).max(1);
        let carets = "^".repeat((flaw.len as usize).clamp(1, room));
        let line = line.trim_end();
        let _ = write!(
            out,
            " {margin} |\n {number} | {line}\n {margin} | {indent}{carets}\n"
        );
    }
    for (position, hint) in flaw.hint.iter().flat_map(|hint| hint.lines()).enumerate() {
        let word = if position == 0 { "hint:" } else { "     " };
        let _ = writeln!(out, "  {word} {hint}");
    }
    out
}

/// Names of types in other languages, and what they are called here.
const ELSEWHERE: [(&str, &str); 26] = [
    ("array", "[a]"),
    ("boolean", "Bool"),
    ("bool", "Bool"),
    ("byte", "U8"),
    ("bytes", "Bytes"),
    ("char", "Str"),
    ("character", "Str"),
    ("double", "Real"),
    ("float", "Real"),
    ("int", "Int"),
    ("integer", "Int"),
    ("list", "[a]"),
    ("logical", "Bool"),
    ("long", "Int"),
    ("maybe", "?a"),
    ("nil", "()"),
    ("none", "()"),
    ("null", "()"),
    ("number", "Real"),
    ("numeric", "Real"),
    ("option", "?a"),
    ("raw", "Bytes"),
    ("str", "Str"),
    ("string", "Str"),
    ("vector", "[a]"),
    ("void", "()"),
];

/// The name here of a type that has this name in another language.
pub fn elsewhere(name: &str) -> Option<&'static str> {
    let of_nexus = || Base::names().find(|base| base.eq_ignore_ascii_case(name));
    let row = ELSEWHERE.iter().find(|row| row.0.eq_ignore_ascii_case(name));
    row.map(|row| row.1).or_else(of_nexus)
}

/// The flaw of a type's name that nothing declares; `known` are the records and types that there are.
pub fn unknown_type(mention: &Mention, known: &[&str]) -> Flaw {
    let name = mention.name.as_str();
    let flaw = Flaw::new(
        mention.place,
        name.chars().count(),
        format!("'{name}' is no type"),
    );
    let mut types: Vec<&str> = Base::names().collect();
    types.extend(known);
    match elsewhere(name).or_else(|| nearest(name, types)) {
        Some(right) => flaw.hint(format!("did you mean {right}?")),
        None => flaw.hint(format!("declare it: record {name} = {name} {{ field :: Type }}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, (line, column, len): (u32, u32, usize), expected: &str) {
        let flaw = Flaw::new(Place { line, column }, len, "odd").hint("one\ntwo");
        let expected = format!("odd\n  at a.py:{line}:{column}\n{expected}  hint: one\n        two\n");
        assert_eq!(render("a.py", text, &flaw), expected);
    }

    #[test]
    fn carets_stand_below_what_is_meant() {
        check("ab\ncdef\n", (2, 2, 2), "   |\n 2 | cdef\n   |  ^^\n");
        check("\tx\té", (1, 4, 1), "   |\n 1 | \tx\té\n   | \t \t^\n");
        // A place after the end of the line, and one of no line.
        check("ab", (1, 3, 9), "   |\n 1 | ab\n   |   ^\n");
        check("ab", (1, 30, 9), "   |\n 1 | ab\n   |   ^\n");
        check("ab", (7, 1, 1), "");
        check("\u{1b}[1mab\r\n", (1, 5, 1), "   |\n 1 |  [1mab\n   |     ^\n");
    }

    #[test]
    fn a_line_that_no_screen_holds_is_cut() {
        let text = format!("{}bad{}", "x".repeat(10_000), "y".repeat(10_000));
        let out = render(
            "a",
            &text,
            &Flaw::new(
                Place {
                    line: 1,
                    column: 10_001,
                },
                3,
                "odd",
            ),
        );
        assert!(
            out.contains("bad") && out.contains("^^^\n") && out.len() < 1000,
            "{out}"
        );
    }

    #[test]
    fn names_that_are_no_types() {
        for (name, expected) in [
            ("String", "did you mean Str?"),
            ("Double", "did you mean Real?"),
            ("Strng", "did you mean Str?"),
            ("Persn", "did you mean Person?"),
            ("Quux", "declare it: record Quux = Quux { field :: Type }"),
        ] {
            let mention = Mention {
                name: name.to_string(),
                place: Place::default(),
            };
            let flaw = unknown_type(&mention, &["Person"]);
            assert_eq!(flaw.hint.as_deref(), Some(expected));
            assert_eq!(flaw.len as usize, name.len());
        }
    }
}
