//! The pool of R: a script that reads the sources and registers their functions.

use crate::build::pool::{Pool, Written};
use crate::build::text::{quoted, quoted_list};
use std::fmt::Write;

/// Writes the script. Functions are registered before the next source is read, which may define others of the same names.
pub fn write(pool: &Pool<'_>) -> Written {
    let mut text = format!(
        "# The R pool of {}: which functions it offers, under which numbers and types. Written by nexus build.\n",
        pool.program
    );
    for part in &pool.parts {
        let _ = writeln!(text, "\nnexus_source({})", quoted(&part.file.path));
        for instance in &part.instances {
            let _ = writeln!(
                text,
                "nexus_register({}, {}, args = c({}), returns = {})",
                instance.mid,
                symbol(&instance.function),
                quoted_list(&instance.arg_schemas),
                quoted(&instance.return_schema)
            );
        }
    }
    text.push_str("nexus_serve()\n");
    Written::new("pool.R", text)
}

/// A name as R reads it, in quotes of its own where it is no plain one.
fn symbol(name: &str) -> String {
    let is_plain = name
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_'));
    match is_plain {
        true => name.to_string(),
        false => format!("`{name}`"),
    }
}
