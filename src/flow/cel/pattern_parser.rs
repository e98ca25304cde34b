//! Reads regular expressions into instructions. Matches nothing.

use super::pattern::{Assert, Op, Pattern, lower};
use crate::ids::Span;
use crate::limits::{
    FLOW_CEL_PATTERN_BYTES_MAX, FLOW_CEL_PATTERN_DEPTH_MAX, FLOW_CEL_PATTERN_OPS_MAX,
    FLOW_CEL_PATTERN_REPEATS_MAX,
};

type Read<T> = Result<T, String>;

type Ranges = &'static [(char, char)];

const DIGITS: Ranges = &[('0', '9')];
const WORDS: Ranges = &[('0', '9'), ('A', 'Z'), ('_', '_'), ('a', 'z')];
const BLANKS: Ranges = &[('\t', '\n'), ('\x0c', '\r'), (' ', ' ')];

/// Classes that have names within brackets.
const NAMED: [(&str, Ranges); 14] = [
    ("alnum", &[('0', '9'), ('A', 'Z'), ('a', 'z')]),
    ("alpha", &[('A', 'Z'), ('a', 'z')]),
    ("ascii", &[('\0', '\x7f')]),
    ("blank", &[('\t', '\t'), (' ', ' ')]),
    ("cntrl", &[('\0', '\x1f'), ('\x7f', '\x7f')]),
    ("digit", DIGITS),
    ("graph", &[('!', '~')]),
    ("lower", &[('a', 'z')]),
    ("print", &[(' ', '~')]),
    ("punct", &[('!', '/'), (':', '@'), ('[', '`'), ('{', '~')]),
    ("space", &[('\t', '\r'), (' ', ' ')]),
    ("upper", &[('A', 'Z')]),
    ("word", WORDS),
    ("xdigit", &[('0', '9'), ('A', 'F'), ('a', 'f')]),
];

#[derive(Clone, Copy, Default)]
struct Flags {
    folds: bool,
    is_multiline: bool,
    takes_newline: bool,
}

struct Parser<'a> {
    rest: &'a str,
    flags: Flags,
    ranges: Vec<(char, char)>,
    depth: usize,
}

/// The instructions of a pattern.
pub(super) fn parse(source: &str) -> Read<Pattern> {
    if source.len() > FLOW_CEL_PATTERN_BYTES_MAX {
        return Err(format!(
            "the pattern is too large: it has {} bytes, expected at most {FLOW_CEL_PATTERN_BYTES_MAX}",
            source.len()
        ));
    }
    let mut parser = Parser {
        rest: source,
        flags: Flags::default(),
        ranges: Vec::new(),
        depth: 0,
    };
    let mut ops = parser.alternatives()?;
    if parser.rest.starts_with(')') {
        return Err("the pattern has a ')' that closes nothing".to_string());
    }
    ops.push(Op::Match);
    let ranges = parser.ranges;
    Ok(Pattern { ops, ranges })
}

fn check(count: usize) -> Read<()> {
    if count > FLOW_CEL_PATTERN_OPS_MAX {
        return Err(format!(
            "the pattern is too large: it takes more than {FLOW_CEL_PATTERN_OPS_MAX} instructions"
        ));
    }
    Ok(())
}

/// The complement of ranges, which stand in order.
fn without(ranges: &[(char, char)]) -> Vec<(char, char)> {
    let mut found = Vec::new();
    let mut from = Some('\0');
    for &(first, last) in ranges {
        let Some(start) = from else { break };
        if start < first {
            let end = (start..first).next_back().unwrap_or(start);
            found.push((start, end));
        }
        let next = (last..=char::MAX).nth(1);
        from = next.map(|next| next.max(start));
    }
    if let Some(start) = from {
        found.push((start, char::MAX));
    }
    found
}

impl Parser<'_> {
    fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let mut letters = self.rest.chars();
        let found = letters.next();
        self.rest = letters.as_str();
        found
    }

    fn eat(&mut self, text: &str) -> bool {
        let found = self.rest.strip_prefix(text);
        self.rest = found.unwrap_or(self.rest);
        found.is_some()
    }

    /// What stands between brackets, one of several; flags that are set in it end with it.
    fn alternatives(&mut self) -> Read<Vec<Op>> {
        self.depth += 1;
        if self.depth > FLOW_CEL_PATTERN_DEPTH_MAX {
            return Err(format!(
                "the pattern is nested deeper than {FLOW_CEL_PATTERN_DEPTH_MAX} levels"
            ));
        }
        let flags = self.flags;
        let mut all: Vec<Vec<Op>> = vec![self.sequence()?];
        while self.eat("|") {
            all.push(self.sequence()?);
        }
        self.flags = flags;
        self.depth -= 1;
        // From the last on, each stands before those that come after it.
        let mut found = all.pop().unwrap_or_default();
        while let Some(mut one) = all.pop() {
            let (len, rest) = (one.len() as i32, found.len() as i32);
            one.insert(0, Op::Split(1, len + 2));
            one.push(Op::Jump(rest + 1));
            one.append(&mut found);
            found = one;
        }
        check(found.len())?;
        Ok(found)
    }

    fn sequence(&mut self) -> Read<Vec<Op>> {
        let mut found = Vec::new();
        while let Some(letter) = self.peek() {
            if matches!(letter, '|' | ')') {
                break;
            }
            let piece = self.piece()?;
            let piece = self.repeated(piece)?;
            found.extend(piece);
            check(found.len())?;
        }
        Ok(found)
    }

    /// Something that one may repeat.
    fn piece(&mut self) -> Read<Vec<Op>> {
        let Some(letter) = self.next() else {
            return Ok(Vec::new());
        };
        let flags = self.flags;
        let op = match letter {
            '*' | '+' | '?' => return Err(format!("the pattern has a '{letter}' with nothing to repeat")),
            '(' => return self.group(),
            '[' => self.set()?,
            '.' => Op::Any {
                takes_newline: flags.takes_newline,
            },
            '^' if flags.is_multiline => Op::Assert(Assert::LineStart),
            '^' => Op::Assert(Assert::Start),
            '$' if flags.is_multiline => Op::Assert(Assert::LineEnd),
            '$' => Op::Assert(Assert::End),
            '\\' => return self.escape(),
            letter => self.letter(letter),
        };
        Ok(vec![op])
    }

    fn letter(&mut self, letter: char) -> Op {
        if self.flags.folds && letter.is_alphabetic() {
            return self.add(&[(lower(letter), lower(letter))], false);
        }
        Op::Letter(letter)
    }

    fn add(&mut self, ranges: &[(char, char)], is_negated: bool) -> Op {
        let start = self.ranges.len();
        self.ranges.extend_from_slice(ranges);
        Op::Set {
            ranges: Span::new(start, ranges.len()),
            is_negated,
            folds: self.flags.folds,
        }
    }

    fn group(&mut self) -> Read<Vec<Op>> {
        let outer = self.flags;
        if self.eat("?") {
            if self.eat("P<")
                || self.rest.starts_with('<') && !self.rest.starts_with("<=") && !self.rest.starts_with("<!")
            {
                let Some((_, rest)) = self.rest.split_once('>') else {
                    return Err("the pattern has the name of a group without a '>'".to_string());
                };
                self.rest = rest;
            } else {
                let mut is_on = true;
                loop {
                    match self.next() {
                        Some(':') => break,
                        // From here to the end of the group around it.
                        Some(')') => return Ok(Vec::new()),
                        Some('i') => self.flags.folds = is_on,
                        Some('m') => self.flags.is_multiline = is_on,
                        Some('s') => self.flags.takes_newline = is_on,
                        // Which of several matches it is makes no difference.
                        Some('U') => {}
                        Some('-') => is_on = false,
                        _ => return Err("a group of that kind is not supported in a pattern".to_string()),
                    }
                }
            }
        }
        let found = self.alternatives()?;
        self.flags = outer;
        if !self.eat(")") {
            return Err("the pattern has a group without a ')'".to_string());
        }
        Ok(found)
    }

    fn escape(&mut self) -> Read<Vec<Op>> {
        let Some(letter) = self.peek() else {
            return Err("the pattern ends with a backslash".to_string());
        };
        let assert = match letter {
            'A' => Some(Assert::Start),
            'z' => Some(Assert::End),
            'b' => Some(Assert::WordEdge),
            'B' => Some(Assert::NoWordEdge),
            _ => None,
        };
        if let Some(assert) = assert {
            self.next();
            return Ok(vec![Op::Assert(assert)]);
        }
        if self.eat("Q") {
            let (text, rest) = self.rest.split_once("\\E").unwrap_or((self.rest, ""));
            check(text.len())?;
            let mut found: Vec<Op> = text.chars().map(|letter| self.letter(letter)).collect();
            self.rest = rest;
            // What follows repeats the last letter only.
            let last = found.pop();
            let last = self.repeated(last.into_iter().collect())?;
            found.extend(last);
            return Ok(found);
        }
        if let Some((ranges, is_negated)) = self.class() {
            return Ok(vec![self.add(ranges, is_negated)]);
        }
        let letter = self.escaped()?;
        Ok(vec![self.letter(letter)])
    }

    /// A class behind a backslash.
    fn class(&mut self) -> Option<(Ranges, bool)> {
        let found = match self.peek()? {
            'd' => (DIGITS, false),
            'D' => (DIGITS, true),
            'w' => (WORDS, false),
            'W' => (WORDS, true),
            's' => (BLANKS, false),
            'S' => (BLANKS, true),
            _ => return None,
        };
        self.next();
        Some(found)
    }

    /// A letter behind a backslash.
    fn escaped(&mut self) -> Read<char> {
        let Some(letter) = self.next() else {
            return Err("the pattern ends with a backslash".to_string());
        };
        Ok(match letter {
            'a' => '\x07',
            'f' => '\x0c',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'v' => '\x0b',
            '0' => '\0',
            'x' => return self.hexadecimal(),
            'p' | 'P' => return Err("Unicode classes are not supported in a pattern".to_string()),
            letter if letter.is_ascii_alphanumeric() => {
                return Err(format!("the pattern has '\\{letter}', which means nothing"));
            }
            letter => letter,
        })
    }

    fn hexadecimal(&mut self) -> Read<char> {
        let digits = if self.eat("{") {
            let (digits, rest) = self.rest.split_once('}').unwrap_or(("", ""));
            self.rest = rest;
            digits
        } else {
            let (digits, rest) = self.rest.split_at_checked(2).unwrap_or(("", ""));
            self.rest = rest;
            digits
        };
        let is_digits = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
        let number = u32::from_str_radix(digits, 16).ok().filter(|_| is_digits);
        let found = number.and_then(char::from_u32);
        found.ok_or_else(|| "the pattern has '\\x' without the number of a letter".to_string())
    }

    /// A set in brackets, the first of which is read.
    fn set(&mut self) -> Read<Op> {
        let is_negated = self.eat("^");
        let mut ranges: Vec<(char, char)> = Vec::new();
        let mut is_first = true;
        loop {
            check(ranges.len())?;
            if !is_first && self.eat("]") {
                return Ok(self.add(&ranges, is_negated));
            }
            is_first = false;
            if self.rest.starts_with("[:") {
                ranges.extend(self.named()?);
                continue;
            }
            let first = match self.next() {
                None => return Err("the pattern has a '[' without a ']'".to_string()),
                Some('\\') => match self.class() {
                    Some((class, false)) => {
                        ranges.extend(class);
                        continue;
                    }
                    Some((class, true)) => {
                        ranges.extend(without(class));
                        continue;
                    }
                    None => self.escaped()?,
                },
                Some(letter) => letter,
            };
            let mut last = first;
            if self.rest.starts_with('-') && !self.rest.starts_with("-]") {
                self.next();
                last = match self.next() {
                    Some('\\') => self.escaped()?,
                    Some(letter) => letter,
                    None => return Err("the pattern has a '[' without a ']'".to_string()),
                };
            }
            if last < first {
                return Err(format!(
                    "the pattern has the range {first}-{last}, which holds nothing"
                ));
            }
            ranges.push((first, last));
        }
    }

    /// A named class within brackets.
    fn named(&mut self) -> Read<Vec<(char, char)>> {
        let whole = self.rest;
        let inner = whole.strip_prefix("[:").unwrap_or_default();
        let (name, rest) = inner.split_once(":]").unwrap_or((inner, ""));
        self.rest = rest;
        let (name, is_negated) = match name.strip_prefix('^') {
            Some(name) => (name, true),
            None => (name, false),
        };
        match NAMED.iter().find(|row| row.0 == name) {
            Some(row) if is_negated => Ok(without(row.1)),
            Some(row) => Ok(row.1.to_vec()),
            None => Err(format!(
                "the pattern has the class [:{}:], which there is not",
                name.chars().take(20).collect::<String>()
            )),
        }
    }

    /// A piece as often as what stands behind it says.
    fn repeated(&mut self, piece: Vec<Op>) -> Read<Vec<Op>> {
        let Some((least, most)) = self.repeats()? else {
            return Ok(piece);
        };
        // Which of several matches it is makes no difference.
        self.eat("?");
        if matches!(self.peek(), Some('*' | '+' | '?')) || self.is_count() {
            return Err("the pattern has a repetition with nothing to repeat".to_string());
        }
        let len = piece.len();
        let copies = most.unwrap_or(least + 1);
        check(copies.saturating_mul(len + 2))?;
        let mut found = Vec::new();
        for _ in 0..least {
            found.extend_from_slice(&piece);
        }
        match most {
            None => {
                found.push(Op::Split(1, len as i32 + 2));
                found.extend_from_slice(&piece);
                found.push(Op::Jump(-(len as i32) - 1));
            }
            Some(most) => {
                for left in (1..=most - least).rev() {
                    found.push(Op::Split(1, (left * (len + 1)) as i32));
                    found.extend_from_slice(&piece);
                }
            }
        }
        Ok(found)
    }

    /// How often a piece may stand, if something says so.
    fn repeats(&mut self) -> Read<Option<(usize, Option<usize>)>> {
        let simple = match self.peek() {
            Some('*') => Some((0, None)),
            Some('+') => Some((1, None)),
            Some('?') => Some((0, Some(1))),
            _ => None,
        };
        if simple.is_some() {
            self.next();
            return Ok(simple);
        }
        if !self.is_count() {
            return Ok(None);
        }
        let (inner, rest) = self.rest[1..].split_once('}').unwrap_or_default();
        self.rest = rest;
        let (least, most) = match inner.split_once(',') {
            Some((least, "")) => (least, None),
            Some((least, most)) => (least, Some(most)),
            None => (inner, Some(inner)),
        };
        let bound = |digits: &str| {
            let number = digits.parse().ok();
            number
                .filter(|number: &usize| *number <= FLOW_CEL_PATTERN_REPEATS_MAX)
                .ok_or_else(|| {
                    format!(
                        "the pattern repeats {{{inner}}}, expected at most {FLOW_CEL_PATTERN_REPEATS_MAX}"
                    )
                })
        };
        let least = bound(least)?;
        let most = most.map(bound).transpose()?;
        if most.is_some_and(|most| most < least) {
            return Err(format!(
                "the pattern repeats {{{inner}}}, which is the wrong way round"
            ));
        }
        Ok(Some((least, most)))
    }

    /// Whether a count in braces stands here; other braces are letters.
    fn is_count(&self) -> bool {
        let Some((inner, _)) = self.rest.strip_prefix('{').and_then(|rest| rest.split_once('}')) else {
            return false;
        };
        let (least, most) = inner.split_once(',').unwrap_or((inner, ""));
        let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        !least.is_empty() && is_digits(least) && is_digits(most)
    }
}
