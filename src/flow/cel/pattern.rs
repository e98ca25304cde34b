//! Regular expressions in the syntax of RE2, matched in time linear in the text: all ways at once, one letter after the
//! other. Says whether something matches, not where; knows no Unicode classes.

use super::budget::{Budget, raised};
use super::pattern_parser::parse;
use crate::error::Result;
use crate::ids::Span;

/// One instruction; jumps are relative, so that a piece can be copied.
#[derive(Clone, Copy)]
pub(super) enum Op {
    /// Takes this letter.
    Letter(char),
    /// Takes any letter, with or without the end of a line.
    Any { takes_newline: bool },
    /// Takes a letter of ranges of [`Pattern::ranges`], or one that is in none.
    Set {
        ranges: Span,
        is_negated: bool,
        folds: bool,
    },
    /// Goes both ways.
    Split(i32, i32),
    /// Goes on elsewhere.
    Jump(i32),
    /// Goes on if that holds.
    Assert(Assert),
    /// Done.
    Match,
}

/// What holds between two letters.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Assert {
    Start,
    End,
    LineStart,
    LineEnd,
    WordEdge,
    NoWordEdge,
}

/// A regular expression, read.
pub(super) struct Pattern {
    pub ops: Vec<Op>,
    pub ranges: Vec<(char, char)>,
}

/// Work of one way for one letter, beside that of looking at a byte: some nanoseconds.
const WAY_WORK: usize = 8;

/// The ways that are under way, none twice.
struct Ways {
    /// Instructions that take a letter.
    waiting: Vec<usize>,
    /// Of each instruction the last position that it was reached at, counted from 1.
    seen: Vec<usize>,
    open: Vec<usize>,
}

impl Pattern {
    /// Reads one.
    ///
    /// # Errors
    /// The sentence that says why it is none.
    pub fn read(source: &str) -> std::result::Result<Pattern, String> {
        parse(source)
    }

    /// Whether it matches somewhere in the text.
    pub fn is_match(&self, text: &str, budget: &mut Budget) -> Result<bool> {
        let mut ways = Ways {
            waiting: Vec::new(),
            seen: vec![0; self.ops.len()],
            open: Vec::new(),
        };
        budget.work(self.ops.len())?;
        let mut before = None;
        let mut letters = text.chars();
        let mut last = Vec::new();
        // Positions are counted in letters, and one match may begin at each.
        for place in 1.. {
            let after = letters.next();
            std::mem::swap(&mut last, &mut ways.waiting);
            ways.waiting.clear();
            // Those that took the letter before go on.
            for at in &last {
                if before.is_some_and(|letter| self.takes(*at, letter)) {
                    ways.open.push(at + 1);
                }
            }
            ways.open.push(0);
            if self.follow(&mut ways, place, before, after) {
                return Ok(true);
            }
            budget.work(WAY_WORK * (1 + ways.waiting.len()))?;
            if after.is_none() {
                break;
            }
            before = after;
        }
        Ok(false)
    }

    /// Goes on from the open instructions until each waits for a letter; whether one is done.
    fn follow(&self, ways: &mut Ways, place: usize, before: Option<char>, after: Option<char>) -> bool {
        while let Some(at) = ways.open.pop() {
            let (Some(op), Some(seen)) = (self.ops.get(at), ways.seen.get_mut(at)) else {
                continue;
            };
            if *seen == place {
                continue;
            }
            *seen = place;
            let to = |by: i32| at.wrapping_add_signed(by as isize);
            match *op {
                Op::Match => return true,
                Op::Jump(by) => ways.open.push(to(by)),
                Op::Split(one, other) => ways.open.extend([to(one), to(other)]),
                Op::Assert(assert) => {
                    if holds(assert, before, after) {
                        ways.open.push(at + 1);
                    }
                }
                Op::Letter(_) | Op::Any { .. } | Op::Set { .. } => ways.waiting.push(at),
            }
        }
        false
    }

    fn takes(&self, at: usize, letter: char) -> bool {
        match self.ops[at] {
            Op::Letter(own) => own == letter,
            Op::Any { takes_newline } => takes_newline || letter != '\n',
            Op::Set {
                ranges,
                is_negated,
                folds,
            } => {
                let has = |letter: char| {
                    let mut ranges = self.ranges[ranges.range()].iter();
                    ranges.any(|(first, last)| (*first..=*last).contains(&letter))
                };
                let found = has(letter) || folds && (has(lower(letter)) || has(letter.to_ascii_uppercase()));
                found != is_negated
            }
            _ => false,
        }
    }
}

/// The small letter, where that is one.
pub(super) fn lower(letter: char) -> char {
    let mut folded = letter.to_lowercase();
    match (folded.next(), folded.next()) {
        (Some(one), None) => one,
        _ => letter,
    }
}

fn holds(assert: Assert, before: Option<char>, after: Option<char>) -> bool {
    let is_word =
        |letter: Option<char>| letter.is_some_and(|letter| letter == '_' || letter.is_ascii_alphanumeric());
    match assert {
        Assert::Start => before.is_none(),
        Assert::End => after.is_none(),
        Assert::LineStart => before.is_none_or(|letter| letter == '\n'),
        Assert::LineEnd => after.is_none_or(|letter| letter == '\n'),
        Assert::WordEdge => is_word(before) != is_word(after),
        Assert::NoWordEdge => is_word(before) == is_word(after),
    }
}

/// Whether a text matches a pattern that isn't known before.
pub(super) fn matches(text: &str, source: &str, budget: &mut Budget) -> Result<bool> {
    budget.work(source.len() * 8)?;
    let pattern = Pattern::read(source).map_err(raised)?;
    pattern.is_match(text, budget)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pattern: &str, text: &str, expected: bool) {
        let read = Pattern::read(pattern).unwrap_or_else(|message| panic!("{pattern}: {message}"));
        let found = read.is_match(text, &mut Budget::new()).unwrap();
        assert_eq!(found, expected, "{pattern} on {text}");
    }

    #[test]
    fn matches_as_re2_does() {
        for (pattern, yes, no) in [
            ("", "", None),
            ("abc", "xabcx", Some("abxc")),
            ("^abc$", "abc", Some("abcd")),
            ("a.c", "abc", Some("a\nc")),
            ("(?s)a.c", "a\nc", Some("ac")),
            ("a*b+c?d", "bd", Some("ad")),
            ("^(ab|cd)*$", "abcdab", Some("abc")),
            ("^a{2,3}$", "aaa", Some("aaaa")),
            ("^a{2}$", "aa", Some("a")),
            ("^a{2,}$", "aaaaa", Some("a")),
            ("^(a{0,1}){3}$", "aa", Some("aaaa")),
            ("^a{,3}$", "a{,3}", Some("aa")),
            ("^[a-c_-]+$", "ab-_", Some("d")),
            ("^[^a-c]+$", "xyz", Some("xaz")),
            ("^[]a]+$", "]a", Some("b")),
            ("^[\\d\\-x]+$", "1-x", Some("y")),
            ("^[[:alpha:]]+$", "aZ", Some("a1")),
            ("^[[:^alpha:]]+$", "1-", Some("a1")),
            ("\\bfoo\\b", "a foo b", Some("afoob")),
            ("o\\B", "foo", Some("o")),
            ("^\\w+@\\w+\\.\\w{2,}$", "me@site.org", Some("me@site")),
            ("(?i)hello", "HeLLo", Some("help")),
            ("(?i)[a-c]x", "BX", Some("DX")),
            ("(?i)[A-C]É", "bé", Some("be")),
            ("(?i:a)b", "Ab", Some("AB")),
            ("(?m)^b$", "a\nb\nc", Some("ab")),
            ("\\x41\\x{42}\\t", "AB\t", Some("AB")),
            ("\\Qa.b\\E+", "a.bb", Some("axb")),
            ("(?P<year>\\d+)-(?<m>\\d+)", "2024-12", Some("2024")),
            ("^é+$", "éé", Some("e")),
            ("a*?b+?c??", "b", Some("a")),
            ("^(a*)*$", "aaa", Some("b")),
            ("^(|a)+$", "aa", Some("b")),
            ("a||b", "", None),
            ("\\Aab\\z", "ab", Some("cab")),
            ("^\\S+\\s\\D$", "ab c", Some("ab 1")),
            ("[[:word:]&&]+", "&", Some("-")),
        ] {
            check(pattern, yes, true);
            if let Some(no) = no {
                check(pattern, no, false);
            }
        }
    }

    #[test]
    fn what_is_no_pattern_says_so() {
        for (pattern, part) in [
            ("(", "')'"),
            (")", "')'"),
            ("a**", "nothing to repeat"),
            ("*", "nothing to repeat"),
            ("[a", "']'"),
            ("[b-a]", "b-a"),
            ("a{1001}", "1000"),
            ("a{3,2}", "3"),
            ("(?=a)", "not supported"),
            ("(?<!a)", "not supported"),
            ("\\1", "\\1"),
            ("\\pL", "not supported"),
            ("\\", "backslash"),
            ("(((a{100}){100}){100})", "large"),
            ("[[:what:]]", "[:what:]"),
        ] {
            let Err(message) = Pattern::read(pattern) else {
                panic!("{pattern} was read");
            };
            assert!(message.contains(part), "{pattern}: {message}");
        }
    }

    #[test]
    fn time_is_linear() {
        let text = "a".repeat(20_000);
        for pattern in ["^(a+)+$b", "(a*)*b", "(a|a)*b", "(.*)(.*)(.*)(.*)b"] {
            check(pattern, &text, false);
        }
        let mut budget = Budget::new();
        let pattern = Pattern::read("(a{0,900}b)|c").unwrap();
        assert!(pattern.is_match(&"a".repeat(1_000_000), &mut budget).is_err());
        assert!(budget.is_spent());
    }
}
