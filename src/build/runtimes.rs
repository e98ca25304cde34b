//! The runtimes of the languages and the pools of snippets, which the binary carries packed. Knows nothing of what they do.

use crate::codec::checksum::{EMPTY, sum};
use crate::codec::squeeze::unpack;

/// A file that pools load.
#[derive(Debug)]
pub struct Runtime {
    /// As `nexus runtime` names it.
    pub name: &'static str,
    packed: &'static [u8],
    /// Of the file, in bytes.
    len: usize,
    /// Of the file, little-endian.
    sum: &'static [u8; 8],
}

macro_rules! runtime {
    ($name:literal, $folder:literal, $file:literal) => {
        Runtime {
            name: $name,
            packed: include_bytes!(concat!(env!("OUT_DIR"), "/", $file)),
            len: include_bytes!(concat!("../", $folder, "/", $file)).len(),
            sum: include_bytes!(concat!(env!("OUT_DIR"), "/", $file, ".sum")),
        }
    };
}

/// All of them.
pub static RUNTIMES: [Runtime; 5] = [
    runtime!("py", "runtimes/python", "nexus_pool.py"),
    runtime!("cpp", "runtimes/cpp", "nexus.hpp"),
    runtime!("r", "runtimes/r", "nexus_pool.R"),
    runtime!("r.c", "runtimes/r", "nexus_pool.c"),
    runtime!("js", "runtimes/js", "nexus_pool.js"),
];

/// The pools of snippets and SQL.
pub static SNIPPETS: [Runtime; 4] = [
    runtime!("python", "flow/languages", "snippet.py"),
    runtime!("javascript", "flow/languages", "snippet.js"),
    runtime!("r", "flow/languages", "snippet.R"),
    runtime!("sql", "flow/languages", "sql.py"),
];

impl Runtime {
    /// The runtime of that name.
    pub fn named(name: &str) -> Option<&'static Runtime> {
        RUNTIMES.iter().find(|runtime| runtime.name == name)
    }

    /// The file's text. Takes tens of milliseconds.
    pub fn text(&self) -> Vec<u8> {
        unpack(self.packed, self.len)
    }

    /// Its checksum, which takes no time.
    pub fn sum(&self) -> u64 {
        u64::from_le_bytes(*self.sum)
    }

    /// Whether a file's content is this runtime.
    pub fn is(&self, content: &[u8]) -> bool {
        content.len() == self.len && sum(EMPTY, content) == self.sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &str, expected: &[u8]) {
        let runtime = Runtime::named(name).unwrap();
        assert!(
            runtime.packed.len() < expected.len() / 3,
            "{} bytes",
            runtime.packed.len()
        );
        assert!(runtime.text() == expected, "{name} differs");
        assert!(
            runtime.is(expected) && !runtime.is(&expected[1..]),
            "{name} has another sum"
        );
    }

    #[test]
    fn runtimes_come_out_as_they_went_in() {
        check("py", include_bytes!("../runtimes/python/nexus_pool.py"));
        check("cpp", include_bytes!("../runtimes/cpp/nexus.hpp"));
        check("r", include_bytes!("../runtimes/r/nexus_pool.R"));
        check("r.c", include_bytes!("../runtimes/r/nexus_pool.c"));
        check("js", include_bytes!("../runtimes/js/nexus_pool.js"));
    }
}
