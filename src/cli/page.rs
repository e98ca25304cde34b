//! Text laid out for a terminal: its width, wrapped paragraphs, entries in two columns. Knows nothing of what is written.

use crate::cli::style::Style;

/// Columns that a text needs: two for wide characters (East Asian, emoji), none for combining ones; approximate where
/// terminals differ.
pub fn text_width(text: &str) -> usize {
    text.chars().map(char_width).sum()
}

fn char_width(letter: char) -> usize {
    match letter as u32 {
        0..=0x1f | 0x7f..=0x9f => 0,
        0x20..=0x2ff => 1,
        0x300..=0x36f | 0x483..=0x489 | 0x591..=0x5bd | 0x610..=0x61a | 0x64b..=0x65f => 0,
        0x200b..=0x200f | 0x202a..=0x202e | 0x2060..=0x2064 | 0x20d0..=0x20f0 | 0xfe00..=0xfe0f | 0xfeff => 0,
        0x1100..=0x115f | 0x2e80..=0x303e | 0x3041..=0xa4cf | 0xa960..=0xa97f | 0xac00..=0xd7a3 => 2,
        0xf900..=0xfaff | 0xfe30..=0xfe6f | 0xff00..=0xff60 | 0xffe0..=0xffe6 => 2,
        0x1f300..=0x1f64f | 0x1f680..=0x1f6ff | 0x1f900..=0x1faff | 0x20000..=0x3fffd => 2,
        _ => 1,
    }
}

/// Lines are at most this wide even on a wider terminal: longer ones are hard to read.
const WIDTH_MAX: usize = 100;
/// Below this, wrapping leaves nothing readable.
const WIDTH_MIN: usize = 40;
/// A left column wider than this gets a line of its own.
const LEFT_MAX: usize = 28;

/// A page in the making.
#[derive(Debug)]
pub struct Page {
    text: String,
    width: usize,
    style: Style,
}

impl Page {
    /// An empty page for a terminal of that many columns.
    pub fn new(columns: usize, style: Style) -> Page {
        Page {
            text: String::new(),
            width: columns.clamp(WIDTH_MIN, WIDTH_MAX),
            style,
        }
    }

    /// The page's text.
    pub fn into_text(self) -> String {
        self.text
    }

    /// A title, with an empty line before it unless it is the first thing.
    pub fn title(&mut self, title: &str) {
        self.gap();
        self.text.push_str(&self.style.bold(title));
        self.text.push('\n');
    }

    /// An empty line, unless the page is empty or ends with one.
    pub fn gap(&mut self) {
        if !self.text.is_empty() && !self.text.ends_with("\n\n") {
            self.text.push('\n');
        }
    }

    /// Lines of a description, wrapped: consecutive lines flow together; empty and indented ones stand as they are.
    pub fn paragraph(&mut self, indent: usize, lines: &[String]) {
        let mut flowing = String::new();
        for line in lines {
            let stands = line.trim().is_empty() || line.starts_with([' ', '\t', '-', '*']);
            if stands {
                self.flow(indent, indent, &flowing);
                flowing.clear();
                self.line(indent, line.trim_end());
            } else {
                flowing.push_str(line);
                flowing.push(' ');
            }
        }
        self.flow(indent, indent, &flowing);
    }

    /// A first word or words, and what follows wrapped with a hanging indent behind them.
    pub fn hanging(&mut self, head: &str, rest: &str) {
        self.text.push_str(&self.style.bold(head));
        let indent = text_width(head) + 1;
        self.text.push(' ');
        self.flow(0, indent.min(self.width / 3), rest);
    }

    /// One line as it is.
    pub fn line(&mut self, indent: usize, text: &str) {
        if !text.is_empty() {
            self.text.extend(std::iter::repeat_n(' ', indent));
            self.text.push_str(text);
        }
        self.text.push('\n');
    }

    /// Names on the left, what they are on the right.
    pub fn entries(&mut self, entries: &[(String, String)]) {
        let widest = LEFT_MAX.min(self.width / 3);
        let widths = entries.iter().map(|(left, _)| text_width(left));
        let fitting = widths.filter(|width| *width <= widest);
        let column = 2 + fitting.max().unwrap_or(0) + 2;
        for (left, right) in entries {
            self.text.push_str("  ");
            self.text.push_str(left);
            let at = 2 + text_width(left);
            if right.is_empty() {
                self.text.push('\n');
            } else if at + 2 > column {
                self.text.push('\n');
                self.flow(column, column, right);
            } else {
                self.text.extend(std::iter::repeat_n(' ', column - at));
                self.flow(0, column, right);
            }
        }
    }

    /// Words up to the width; `first` spaces before them, and `indent` on each line that follows. Nothing for no words.
    fn flow(&mut self, first: usize, indent: usize, words: &str) {
        let mut words = words.split_whitespace();
        let Some(word) = words.next() else { return };
        self.text.extend(std::iter::repeat_n(' ', first));
        self.text.push_str(word);
        let mut at = indent + text_width(word);
        for word in words {
            let width = text_width(word);
            if at + 1 + width > self.width {
                self.text.push('\n');
                self.text.extend(std::iter::repeat_n(' ', indent));
                at = indent + width;
            } else {
                self.text.push(' ');
                at += 1 + width;
            }
            self.text.push_str(word);
        }
        self.text.push('\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(build: impl FnOnce(&mut Page), expected: &str) {
        let mut page = Page::new(0, Style::PLAIN);
        build(&mut page);
        assert_eq!(page.into_text(), expected);
    }

    #[test]
    fn layout() {
        check(
            |page| {
                page.paragraph(
                    0,
                    &[
                        "One two three four five six seven eight nine ten.".into(),
                        "Eleven.".into(),
                    ],
                )
            },
            "One two three four five six seven eight\nnine ten. Eleven.\n",
        );
        check(
            |page| {
                page.paragraph(
                    2,
                    &["a".into(), "- b".into(), "- c".into(), "".into(), "d".into()],
                )
            },
            "  a\n  - b\n  - c\n\n  d\n",
        );
        check(
            |page| {
                page.entries(&[
                    ("short".into(), "what a short one is for, in words".into()),
                    ("x".into(), "".into()),
                ])
            },
            "  short  what a short one is for, in\n         words\n  x\n",
        );
        check(
            |page| {
                page.entries(&[
                    ("a".into(), "b".into()),
                    ("-l, --a-name-that-is-far-too-long X".into(), "c".into()),
                ])
            },
            "  a  b\n  -l, --a-name-that-is-far-too-long X\n     c\n",
        );
        check(|page| page.hanging("Usage:", "a b c"), "Usage: a b c\n");
    }

    #[test]
    fn widths() {
        let check = |text: &str, expected: usize| assert_eq!(text_width(text), expected, "{text}");
        check("abc", 3);
        check("é", 1);
        check("e\u{301}", 1);
        check("日本", 4);
        check("😀", 2);
    }
}
