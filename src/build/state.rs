//! What the last build left in the folder of the pools: its files, and of what each that was made by another program was
//! made. Holds no times, so that it is the same wherever it was built.

use crate::codec::checksum::{EMPTY, sum};
use std::fmt::Write;

/// The name of its file.
pub const FILE: &str = ".build";

/// The lines of the file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// The files that the build wrote, relative to the folder, in their order.
    pub files: Vec<String>,
    /// What was made: its file and the sum of all that it depends on.
    pub made: Vec<(String, u64)>,
    /// What the compiler read besides: its path as the compiler named it, and its sum.
    pub read: Vec<(String, u64)>,
}

const HEADER: &str =
    "# Written by nexus build, which looks here what it has to do. Removing it costs a rebuild by hand.\n";

impl State {
    /// Reads the file; lines that are none are left out, and what they stood for is done again.
    pub fn parse(text: &str) -> State {
        let mut state = State::default();
        for line in text.lines() {
            let Some((word, rest)) = line.split_once(' ') else {
                continue;
            };
            let summed = || {
                let (sum, path) = rest.split_once(' ')?;
                Some((path.to_string(), u64::from_str_radix(sum, 16).ok()?))
            };
            match word {
                "file" if is_inside(rest) => state.files.push(rest.to_string()),
                "made" => state.made.extend(summed()),
                "read" => state.read.extend(summed()),
                _ => {}
            }
        }
        state
    }

    /// The file's text.
    pub fn text(&self) -> String {
        let mut text = HEADER.to_string();
        for file in &self.files {
            let _ = writeln!(text, "file {file}");
        }
        for (word, rows) in [("made", &self.made), ("read", &self.read)] {
            for (path, sum) in rows {
                let _ = writeln!(text, "{word} {sum:016x} {path}");
            }
        }
        text
    }

    /// The sum of what a file was made of.
    pub fn sum_of(&self, file: &str) -> Option<u64> {
        self.made.iter().find(|row| row.0 == file).map(|row| row.1)
    }
}

/// Whether a path leads to a place inside of the folder that it counts from.
pub fn is_inside(path: &str) -> bool {
    !path.is_empty() && path.split('/').all(|part| !matches!(part, "" | "." | ".."))
}

/// The sum of several texts, so that none can pass for the end of another.
pub fn sum_of_all<'t>(texts: impl IntoIterator<Item = &'t [u8]>) -> u64 {
    texts.into_iter().fold(EMPTY, |before, text| {
        let before = sum(before, &(text.len() as u64).to_le_bytes());
        sum(before, text)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let state = State {
            files: vec!["pool.py".into(), "a b/c.py".into()],
            made: vec![("pool-cpp".into(), 7)],
            read: vec![("../x y.hpp".into(), u64::MAX)],
        };
        assert_eq!(State::parse(&state.text()), state);
    }

    #[test]
    fn what_is_no_line_is_left_out() {
        let check = |text: &str| assert_eq!(State::parse(text), State::default(), "{text}");
        check("");
        check("file\nmade x\nmade x y\nread 1\nother 1 2\n\u{0}");
        check("file ../../etc/passwd\nfile /etc/passwd\nfile a/../../b\nfile ");
    }

    #[test]
    fn sums_tell_texts_apart() {
        assert_ne!(sum_of_all([&b"ab"[..], b"c"]), sum_of_all([&b"a"[..], b"bc"]));
        assert_ne!(sum_of_all([&b""[..]]), sum_of_all([]));
    }
}
