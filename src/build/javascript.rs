//! The pool of JavaScript: a script that loads the sources, CommonJS or ES modules, and registers their functions.

use crate::build::pool::{Part, Pool, Written};
use crate::build::text::{names_of, quoted, quoted_list};
use crate::source::signature::Exports;
use std::fmt::Write;

/// Adds the script, and to the sources what they need to be loaded.
pub fn write(pool: &Pool<'_>, files: &mut Vec<Written>) {
    let paths: Vec<&str> = pool.parts.iter().map(|part| part.file.path.as_str()).collect();
    let names = names_of(&paths, &["nexus", "require", "module", "exports"]);
    let mut text = format!(
        "// The JavaScript pool of {}: which functions it offers, under which numbers and types. Written by nexus build.\n\
         const nexus = require('./nexus_pool.js');\n",
        pool.program
    );
    for (part, name) in pool.parts.iter().zip(&names) {
        let path = quoted(&format!("./{}", part.file.path));
        let _ = match part.library.exports {
            Exports::Module => writeln!(text, "const {name} = import({path});"),
            _ => writeln!(text, "const {name} = require({path});"),
        };
        if part.library.exports == Exports::Nothing {
            give_away(part, files);
        }
    }
    text.push('\n');
    let is_waiting = pool
        .parts
        .iter()
        .any(|part| part.library.exports == Exports::Module);
    let indent = if is_waiting { "  " } else { "" };
    if is_waiting {
        text.push_str("(async () => {\n");
    }
    for (part, name) in pool.parts.iter().zip(&names) {
        let is_module = part.library.exports == Exports::Module;
        for instance in &part.instances {
            let from = if is_module {
                format!("(await {name})")
            } else {
                name.clone()
            };
            let _ = writeln!(
                text,
                "{indent}nexus.register({}, {from}.{}, {{ args: [{}], returns: {} }});",
                instance.mid,
                instance.function,
                quoted_list(&instance.arg_schemas),
                quoted(&instance.return_schema)
            );
        }
    }
    let _ = writeln!(text, "{indent}nexus.serve();");
    if is_waiting {
        text.push_str("})();\n");
    }
    files.push(Written::new("pool.js", text));
}

/// A source that gives nothing away gets a last line that does.
fn give_away(part: &Part<'_>, files: &mut [Written]) {
    let mut functions: Vec<&str> = part
        .instances
        .iter()
        .map(|instance| instance.function.as_str())
        .collect();
    functions.dedup();
    if let Some(file) = files.iter_mut().find(|file| file.path == part.file.path) {
        let line = format!("\nmodule.exports = {{ {} }};\n", functions.join(", "));
        file.content.extend_from_slice(line.as_bytes());
    }
}
