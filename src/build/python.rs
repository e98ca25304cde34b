//! The pool of Python: a script that imports the sources and registers their functions.

use crate::build::pool::{Pool, Written};
use crate::build::text::{is_name, names_of, quoted, quoted_list};
use std::fmt::Write;

/// Writes the script.
pub fn write(pool: &Pool<'_>) -> Written {
    let mut text = format!(
        "# The Python pool of {}: which functions it offers, under which numbers and types. Written by nexus build.\n\
         import nexus_pool\n",
        pool.program
    );
    let paths: Vec<&str> = pool.parts.iter().map(|part| part.file.path.as_str()).collect();
    let names = names_of(&paths, &["nexus_pool", "sys"]);
    // What lies in a folder of its own, and is no package, imports what lies beside it.
    let has = |path: &str| pool.sources.iter().any(|file| file.path == path);
    let folders = paths.iter().filter_map(|path| path.rsplit_once('/'));
    let mut folders: Vec<&str> = folders
        .map(|(folder, _)| folder)
        .filter(|folder| !has(&format!("{folder}/__init__.py")))
        .collect();
    folders.dedup();
    if !folders.is_empty() {
        text.push_str("import sys\n\n");
        for folder in folders {
            let _ = writeln!(
                text,
                "sys.path.append(sys.path[0] + {})",
                quoted(&format!("/{folder}"))
            );
        }
    }
    for (path, name) in paths.iter().zip(&names) {
        let module = path.trim_end_matches(".py").replace('/', ".");
        let module = module.trim_end_matches(".__init__");
        let _ = match module.split('.').all(is_name) {
            true if module == name => writeln!(text, "import {name}"),
            true => writeln!(text, "import {module} as {name}"),
            false => writeln!(text, "{name} = __import__({}, fromlist=[\"\"])", quoted(module)),
        };
    }
    text.push('\n');
    for (part, name) in pool.parts.iter().zip(&names) {
        for instance in &part.instances {
            let _ = write!(
                text,
                "nexus_pool.register({}, {name}.{}, args=[{}], returns={}",
                instance.mid,
                instance.function,
                quoted_list(&instance.arg_schemas),
                quoted(&instance.return_schema)
            );
            let keywords = instance.params.iter().filter(|param| param.is_keyword);
            let keywords: Vec<String> = keywords.filter_map(|param| param.name.clone()).collect();
            if !keywords.is_empty() {
                let _ = write!(text, ", keywords=[{}]", quoted_list(&keywords));
            }
            text.push_str(")\n");
        }
    }
    text.push_str("nexus_pool.serve()\n");
    Written::new("pool.py", text)
}
