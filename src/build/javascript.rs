//! The pool of JavaScript: a script that loads the sources, CommonJS or ES modules, and registers their functions. What a
//! file `.js` is, is said to node beside it, so that it doesn't depend on where the program lies; the pool itself ends in
//! `.cjs`, which is CommonJS in any case.

use crate::build::pool::{Part, Pool, Written};
use crate::build::text::{names_of, quoted, quoted_list};
use crate::error::{Error, Kind, Result};
use crate::source::signature::Exports;
use std::fmt::Write;

/// Adds the script, and to the sources what they need to be loaded.
///
/// # Errors
/// Kind `usage`: sources can't be loaded together.
pub fn write(pool: &Pool<'_>, files: &mut Vec<Written>) -> Result<()> {
    files.push(package(pool)?);
    let paths: Vec<&str> = pool.parts.iter().map(|part| part.file.path.as_str()).collect();
    let names = names_of(&paths, &["nexus", "require", "module", "exports"]);
    let mut text = format!(
        "// The JavaScript pool of {}: which functions it offers, under which numbers and types. Written by nexus build.\n\
         const nexus = require('./nexus_pool.cjs');\n",
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
    files.push(Written::new("pool.cjs", text));
    Ok(())
}

/// What node is told about files `.js`.
fn package(pool: &Pool<'_>) -> Result<Written> {
    let mut plain = pool.parts.iter().filter(|part| part.file.path.ends_with(".js"));
    let is_module = |part: &&Part<'_>| part.library.exports == Exports::Module;
    let kind = match (plain.clone().find(is_module), plain.find(|part| !is_module(part))) {
        (Some(module), Some(other)) => {
            let (module, other) = (&module.file.path, &other.file.path);
            let message = format!("{module} is an ES module and {other} is none, but both end in .js");
            return Err(Error::new(Kind::Usage, message).hint("let one of them end in .mjs or .cjs"));
        }
        (Some(_), None) => "module",
        (None, _) => "commonjs",
    };
    Ok(Written::new(
        "package.json",
        format!("{{ \"type\": \"{kind}\" }}\n"),
    ))
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
