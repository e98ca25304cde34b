//! The order of hooks: what is linked to comes before what links to it. Does not recurse.

/// The rows of a sorted list so that each stands behind those that it needs, but for circles, which are cut somewhere.
pub fn inner_first(rows: &[u32], needs: &dyn Fn(u32) -> Vec<u32>) -> Vec<u32> {
    let mut is_seen = vec![false; rows.len()];
    let mut order = Vec::with_capacity(rows.len());
    let mut stack: Vec<(u32, std::vec::IntoIter<u32>)> = Vec::new();
    for (place, row) in rows.iter().enumerate() {
        if std::mem::replace(&mut is_seen[place], true) {
            continue;
        }
        stack.push((*row, needs(*row).into_iter()));
        while let Some((row, rest)) = stack.last_mut() {
            let Some(next) = rest.next() else {
                order.push(*row);
                stack.pop();
                continue;
            };
            if let Ok(place) = rows.binary_search(&next)
                && !std::mem::replace(&mut is_seen[place], true)
            {
                stack.push((next, needs(next).into_iter()));
            }
        }
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(links: &[(u32, &[u32])], rows: &[u32], expected: &[u32]) {
        let needs = |row| {
            let found = links.iter().find(|(its, _)| *its == row);
            found.map_or_else(Vec::new, |(_, needs)| needs.to_vec())
        };
        assert_eq!(inner_first(rows, &needs), expected, "{links:?} {rows:?}");
    }

    #[test]
    fn order() {
        check(&[(0, &[1]), (1, &[2])], &[0, 1, 2], &[2, 1, 0]);
        check(&[(0, &[1, 2]), (1, &[2])], &[0, 1, 2], &[2, 1, 0]);
        check(&[(2, &[0]), (0, &[1])], &[0, 1, 2], &[1, 0, 2]);
        // What isn't among the rows is passed over, a circle is cut.
        check(&[(0, &[5, 1])], &[0, 1], &[1, 0]);
        check(&[(0, &[1]), (1, &[0])], &[0, 1], &[1, 0]);
        check(&[(0, &[0])], &[0], &[0]);
    }
}
