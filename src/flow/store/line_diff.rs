//! Two texts line by line as `diff -u` shows them. Paints nothing.

use crate::limits::FLOW_DIFF_CELLS_MAX;

/// Lines shown around what differs.
const CONTEXT: usize = 3;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Both,
    Old,
    New,
}

/// The hunks that make one text the other, under the names of both; nothing if they are the same.
pub fn unified(old: (&str, &str), new: (&str, &str)) -> String {
    let a: Vec<&str> = old.1.lines().collect();
    let b: Vec<&str> = new.1.lines().collect();
    let script = script(&a, &b);
    let mut out = String::new();
    // Where a line stands in both, before each line of the script.
    let mut places = Vec::with_capacity(script.len() + 1);
    let (mut in_a, mut in_b) = (0, 0);
    for side in &script {
        places.push((in_a, in_b));
        in_a += usize::from(*side != Side::New);
        in_b += usize::from(*side != Side::Old);
    }
    places.push((in_a, in_b));
    let mut at = 0;
    while let Some(first) = next_change(&script, at) {
        let from = first.saturating_sub(CONTEXT).max(at);
        let mut last = first;
        while let Some(next) = next_change(&script, last + 1).filter(|next| next - last <= 2 * CONTEXT) {
            last = next;
        }
        let to = (last + 1 + CONTEXT).min(script.len());
        if out.is_empty() {
            out = format!("--- {}\n+++ {}\n", old.0, new.0);
        }
        let (begin, end) = (places[from], places[to]);
        let range = |begin: usize, end: usize| match end - begin {
            0 => format!("{begin},0"),
            1 => format!("{}", begin + 1),
            count => format!("{},{count}", begin + 1),
        };
        let ranges = (range(begin.0, end.0), range(begin.1, end.1));
        out += &format!("@@ -{} +{} @@\n", ranges.0, ranges.1);
        for (side, place) in script[from..to].iter().zip(&places[from..to]) {
            let (mark, line) = match side {
                Side::Both => (' ', a[place.0]),
                Side::Old => ('-', a[place.0]),
                Side::New => ('+', b[place.1]),
            };
            out.push(mark);
            out += line;
            out.push('\n');
        }
        at = to;
    }
    out
}

fn next_change(script: &[Side], from: usize) -> Option<usize> {
    let rest = script.get(from..)?;
    rest.iter()
        .position(|side| *side != Side::Both)
        .map(|at| from + at)
}

/// The longest lines in common, by the table that everyone knows.
fn script(a: &[&str], b: &[&str]) -> Vec<Side> {
    let same = a.iter().zip(b).take_while(|(a, b)| a == b).count();
    let (a, b) = (&a[same..], &b[same..]);
    let end = a
        .iter()
        .rev()
        .zip(b.iter().rev())
        .take_while(|(a, b)| a == b)
        .count();
    let (a, b) = (&a[..a.len() - end], &b[..b.len() - end]);
    let mut script = vec![Side::Both; same];
    if a.len().saturating_mul(b.len()) > FLOW_DIFF_CELLS_MAX {
        script.extend(a.iter().map(|_| Side::Old));
        script.extend(b.iter().map(|_| Side::New));
    } else {
        let width = b.len() + 1;
        let mut common = vec![0u32; (a.len() + 1) * width];
        for row in (0..a.len()).rev() {
            for column in (0..b.len()).rev() {
                common[row * width + column] = match a[row] == b[column] {
                    true => common[(row + 1) * width + column + 1] + 1,
                    false => common[(row + 1) * width + column].max(common[row * width + column + 1]),
                };
            }
        }
        let (mut row, mut column) = (0, 0);
        while row < a.len() || column < b.len() {
            let side = match (a.get(row), b.get(column)) {
                (Some(a), Some(b)) if a == b => Side::Both,
                (Some(_), None) => Side::Old,
                (Some(_), Some(_))
                    if common[(row + 1) * width + column] >= common[row * width + column + 1] =>
                {
                    Side::Old
                }
                _ => Side::New,
            };
            row += usize::from(side != Side::New);
            column += usize::from(side != Side::Old);
            script.push(side);
        }
    }
    script.extend(std::iter::repeat_n(Side::Both, end));
    script
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(old: &str, new: &str, expected: &str) {
        let lines = |text: &str| text.chars().map(|char| format!("{char}\n")).collect::<String>();
        assert_eq!(
            unified(("a", &lines(old)), ("b", &lines(new))),
            expected,
            "{old} {new}"
        );
    }

    #[test]
    fn hunks() {
        check("abc", "abc", "");
        check("", "a", "--- a\n+++ b\n@@ -0,0 +1 @@\n+a\n");
        check("a", "", "--- a\n+++ b\n@@ -1 +0,0 @@\n-a\n");
        check(
            "abcdefgh",
            "abcdXfgh",
            "--- a\n+++ b\n@@ -2,7 +2,7 @@\n b\n c\n d\n-e\n+X\n f\n g\n h\n",
        );
        check(
            "1abcdefgh2",
            "3abcdefgh4",
            "--- a\n+++ b\n@@ -1,4 +1,4 @@\n-1\n+3\n a\n b\n c\n@@ -7,4 +7,4 @@\n f\n g\n h\n-2\n+4\n",
        );
        check(
            "abcab",
            "cabba",
            "--- a\n+++ b\n@@ -1,5 +1,5 @@\n-a\n-b\n c\n a\n b\n+b\n+a\n",
        );
    }
}
