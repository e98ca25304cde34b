//! Users and groups of the system, as `/etc/passwd` and `/etc/group` list them. Asks no other service: the C library's own
//! look-up loads code at run time, which a static program can't.

use crate::limits::ACCOUNTS_BYTES_MAX;
use std::fs::File;
use std::io::{self, Read};

/// Where users stand.
pub const USERS: &str = "/etc/passwd";

/// Where groups stand.
pub const GROUPS: &str = "/etc/group";

/// A line of either list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Account<'t> {
    /// The name.
    pub name: &'t str,
    /// The number.
    pub id: u32,
    /// What follows the number: of a user the number of the group, of a group its members.
    pub rest: &'t str,
}

impl Account<'_> {
    /// The number of a user's own group.
    pub fn group(&self) -> Option<u32> {
        self.rest.split(':').next().and_then(parse_id)
    }
}

/// The lines of a list. Comments, empty lines and what refers to other services are left out.
pub fn accounts(text: &str) -> impl Iterator<Item = Account<'_>> {
    text.lines().filter_map(|line| {
        let mut fields = line.splitn(4, ':');
        let name = fields.next()?;
        if name.is_empty() || name.starts_with(['#', '+', '-']) {
            return None;
        }
        let id = fields.nth(1).and_then(parse_id)?;
        let rest = fields.next().unwrap_or_default();
        Some(Account { name, id, rest })
    })
}

/// The text of a list.
///
/// # Errors
/// When it can't be read, or is so long that it is no list.
pub fn read(path: &str) -> io::Result<String> {
    let mut bytes = Vec::new();
    File::open(path)?
        .take(ACCOUNTS_BYTES_MAX + 1)
        .read_to_end(&mut bytes)?;
    if bytes.len() as u64 > ACCOUNTS_BYTES_MAX {
        let message = format!("more than {ACCOUNTS_BYTES_MAX} bytes");
        return Err(io::Error::new(io::ErrorKind::InvalidData, message));
    }
    // Full names may be in any encoding, and nobody asks for them.
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The highest number means "none" to the system.
fn parse_id(text: &str) -> Option<u32> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit());
    let id = text.parse().ok().filter(|_| is_plain);
    id.filter(|id| *id != u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &[(&str, u32, &str)]) {
        let found: Vec<_> = accounts(text)
            .map(|account| (account.name, account.id, account.rest))
            .collect();
        assert_eq!(found, expected, "{text:?}");
    }

    #[test]
    fn users_and_groups_are_read() {
        check(
            "root:x:0:0:root:/root:/bin/bash\nnobody:x:65534:65533:a:b:c\n",
            &[
                ("root", 0, "0:root:/root:/bin/bash"),
                ("nobody", 65534, "65533:a:b:c"),
            ],
        );
        check("staff:x:50:ann,bob", &[("staff", 50, "ann,bob")]);
        check("games:x:60:\n", &[("games", 60, "")]);
        check("short:x:7", &[("short", 7, "")]);
    }

    #[test]
    fn what_is_no_account_is_left_out() {
        check("", &[]);
        check("\n\n# a:x:1:1\n+::::::\n+ann::::::\n-bob:x:1:1\n:x:1:1\n", &[]);
        check(
            "a\na:x\na:x:\na:x:one:1\na:x:-1:1\na:x:+1:1\na:x:4294967296:1\na:x:4294967295:1\n",
            &[],
        );
        check("bad:x:x:1\ngood:x:1:2\r\n", &[("good", 1, "2")]);
    }

    #[test]
    fn a_user_has_a_group() {
        let group = |text| accounts(text).next().unwrap().group();
        assert_eq!(group("a:x:1:2:::"), Some(2));
        assert_eq!(group("a:x:1:2"), Some(2));
        assert_eq!(group("a:x:1"), None);
        assert_eq!(group("a:x:1:b:"), None);
        assert_eq!(group("a:x:1:4294967295:"), None);
    }
}
