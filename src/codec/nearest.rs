//! The name that someone may have meant: by edit distance. Only suggests; what to do with it is the caller's.

/// The candidate nearest to `name`, if one is near enough to be a likely slip: at most a third of its letters
/// inserted, removed, replaced or swapped with their neighbour, or only the case of letters wrong.
pub fn nearest<'n>(name: &str, candidates: impl IntoIterator<Item = &'n str>) -> Option<&'n str> {
    nearest_of(name, &mut candidates.into_iter())
}

/// The same for any iterator, so that the search is compiled once.
fn nearest_of<'n>(name: &str, candidates: &mut dyn Iterator<Item = &'n str>) -> Option<&'n str> {
    let wanted: Vec<char> = fold(name);
    let allowed = wanted.len().div_ceil(3).min(3);
    if wanted.len() > NAME_CHARS_MAX {
        return None;
    }
    candidates
        .filter_map(|candidate| {
            let found = fold(candidate);
            if found.len().abs_diff(wanted.len()) > allowed {
                return None;
            }
            let distance = distance(&wanted, &found);
            // A name replaced in all of its letters is another name.
            (distance <= allowed && distance < found.len().max(wanted.len())).then_some((distance, candidate))
        })
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// The distance takes time in the square of the length, and nobody mistypes a longer name.
const NAME_CHARS_MAX: usize = 100;

fn fold(name: &str) -> Vec<char> {
    name.chars().map(|letter| letter.to_ascii_lowercase()).collect()
}

/// Edits between two words, a swap of neighbours counting as one (optimal string alignment).
fn distance(left: &[char], right: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=right.len()).collect();
    for (row, &a) in left.iter().enumerate() {
        let mut line = Vec::with_capacity(last.len());
        line.push(row + 1);
        for (column, &b) in right.iter().enumerate() {
            let mut edits = (last[column] + usize::from(a != b))
                .min(last[column + 1] + 1)
                .min(line[column] + 1);
            if row > 0 && column > 0 && a == right[column - 1] && left[row - 1] == b {
                edits = edits.min(before[column - 1] + 1);
            }
            line.push(edits);
        }
        before = std::mem::replace(&mut last, line);
    }
    last[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &str, expected: Option<&str>) {
        let names = ["name", "age", "mean", "median", "output", "x"];
        assert_eq!(nearest(name, names), expected, "{name}");
    }

    #[test]
    fn slips_are_found_and_other_words_are_not() {
        check("nmae", Some("name"));
        check("NAME", Some("name"));
        check("agee", Some("age"));
        check("meen", Some("mean"));
        check("medain", Some("median"));
        check("outptu", Some("output"));
        check("ouput", Some("output"));
        check("y", None);
        check("weight", None);
        check("", None);
        check(&"a".repeat(1000), None);
    }

    #[test]
    fn edits_are_counted() {
        let count = |left, right| distance(&fold(left), &fold(right));
        assert_eq!(count("", "abc"), 3);
        assert_eq!(count("kitten", "sitting"), 3);
        assert_eq!(count("ab", "ba"), 1);
        assert_eq!(count("same", "SAME"), 0);
    }
}
