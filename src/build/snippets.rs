//! The program that runs the snippets and the SQL of flows: a manifest, and for each language whose interpreter is there a
//! pool from the binary. Starts nothing: a server loads it like any other, and a pool starts with the first call of it.

use crate::build::interpreter::find;
use crate::build::language::Language;
use crate::build::runtimes::{Runtime, SNIPPETS};
use crate::build::stage::failed;
use crate::codec::json::write_string;
use crate::error::Result;
use crate::flow::languages::{LANGUAGES, SQL, SQL_END};
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

/// The program's name.
const NAME: &str = "snippets";

/// Memory of a worker of JavaScript or Python, in bytes, above which another takes its place: ten times what an idle one
/// has. What codes leave behind there is unknown to everyone else.
const RSS_BYTES_MAX: u64 = 512 << 20;

/// How long the pool of R may take to start, in milliseconds: the first compiles its library.
const R_HELLO_MS: u64 = 120_000;

/// A pool: its name, its language as others name it, its file, and how that is called beside the runtime.
struct Pool {
    name: &'static str,
    lang: &'static str,
    file: &'static str,
}

const POOLS: [Pool; 4] = [
    Pool {
        name: "py",
        lang: "py",
        file: "snippet.py",
    },
    Pool {
        name: "js",
        lang: "js",
        file: "snippet.cjs",
    },
    Pool {
        name: "r",
        lang: "r",
        file: "snippet.R",
    },
    Pool {
        name: "sql",
        lang: "py",
        file: "sql.py",
    },
];

/// Writes the program into a folder that is there: the path of its manifest. Interpreters are looked for in `path`, PATH's
/// value; without one, the language's commands fail with what is to be installed.
///
/// # Errors
/// Kind `io`: the folder can't be written.
pub fn make(home: &Path, path: &OsStr) -> Result<PathBuf> {
    let folder = home.join(format!("{NAME}.pools"));
    fs::create_dir_all(&folder).map_err(|error| failed("make", &folder, &error))?;
    let put = |name: &str, runtime: &Runtime| {
        let file = folder.join(name);
        // Two pools have the same runtime.
        match file.exists() {
            true => Ok(()),
            false => fs::write(&file, runtime.text()).map_err(|error| failed("write", &file, &error)),
        }
    };
    let mut missing = Vec::new();
    let mut there = Vec::new();
    for pool in &POOLS {
        let Some(language) = Language::named(pool.lang) else {
            continue;
        };
        let interpreter = language.interpreter.unwrap_or_default();
        if find(interpreter, path).is_none() {
            let message = format!(
                "there is no {interpreter} in PATH, which runs {} of flows: install it, on Debian: apt install {}",
                if pool.name == "sql" {
                    "the SQL"
                } else {
                    "these snippets"
                },
                language.package
            );
            missing.push((pool.name, message));
            continue;
        }
        for (runtime, name) in language.runtimes {
            if let Some(runtime) = Runtime::named(runtime) {
                put(name, runtime)?;
            }
        }
        if let Some(own) = SNIPPETS.iter().find(|own| own.name == pool.name) {
            put(pool.file, own)?;
        }
        there.push(pool);
    }
    let manifest = home.join(format!("{NAME}.manifest"));
    let text = manifest_text(&there, &missing);
    fs::write(&manifest, text).map_err(|error| failed("write", &manifest, &error))?;
    Ok(manifest)
}

fn manifest_text(pools: &[&Pool], missing: &[(&str, String)]) -> Vec<u8> {
    let mut out = format!("{{\"version\": 1, \"name\": \"{NAME}\", \"pools\": [").into_bytes();
    for (position, pool) in pools.iter().enumerate() {
        out.extend_from_slice(if position > 0 { b",\n" } else { b"\n" });
        out.extend_from_slice(pool_text(pool).as_bytes());
    }
    out.extend_from_slice(b"],\n\"commands\": [");
    let position = |name: &str| pools.iter().position(|pool| pool.name == name);
    let snippet = ["s", "<Json>s"];
    for language in &LANGUAGES {
        let body = body(language.lang, position(language.lang), 1, missing);
        write_command(&mut out, language.command, &snippet, "<Json>s", &body);
    }
    let sql = |mid| body("sql", position("sql"), mid, missing);
    write_command(&mut out, SQL, &["u8", "s", "s", "<Json>s"], "<Json>s", &sql(1));
    write_command(&mut out, SQL_END, &["u8", "b"], "z", &sql(2));
    out.extend_from_slice(b"]}\n");
    out
}

fn pool_text(pool: &Pool) -> String {
    let exec = match pool.lang {
        "py" => "\"python3\"",
        "js" => "\"node\"",
        _ => "\"R\", \"--vanilla\", \"--no-echo\", \"--max-ppsize=500000\", \"-f\"",
    };
    let more = match pool.name {
        "js" => format!("\"transport\": \"direct\", \"recycle\": {{\"max_rss_bytes\": {RSS_BYTES_MAX}}}"),
        "py" => format!("\"socket\": \"pipe-py\", \"recycle\": {{\"max_rss_bytes\": {RSS_BYTES_MAX}}}"),
        "r" => format!(
            "\"socket\": \"pipe-r\", \"env\": {{\"R_DEFAULT_PACKAGES\": \"NULL\"}}, \
             \"timeouts\": {{\"hello_ms\": {R_HELLO_MS}}}"
        ),
        // All statements of a run are for the process that has its transaction.
        _ => "\"socket\": \"pipe-sql\", \"workers\": 1".to_string(),
    };
    format!(
        "{{\"name\": \"{}\", \"lang\": \"{}\", \"exec\": [{exec}, \"{NAME}.pools/{}\"], {more}}}",
        pool.name, pool.lang, pool.file
    )
}

/// What a command does: it calls a function of its pool, or says why that is not there.
fn body(pool: &str, position: Option<usize>, mid: u32, missing: &[(&str, String)]) -> String {
    if let Some(position) = position {
        return format!(
            "\"type\": \"remote\", \"pool\": {position}, \"mid\": {mid}, \"needed_pools\": [{position}]"
        );
    }
    let message = missing.iter().find(|row| row.0 == pool);
    let mut quoted = Vec::new();
    write_string(message.map_or("", |row| &row.1), &mut quoted);
    let quoted = String::from_utf8_lossy(&quoted).into_owned();
    format!(
        "\"type\": \"pure\", \"expr\": {{\"tag\": \"throw\", \"msg\": {{\"tag\": \"lit\", \"schema\": \"s\", \
         \"value\": {quoted}}}}}"
    )
}

fn write_command(out: &mut Vec<u8>, name: &str, args: &[&str], returns: &str, body: &str) {
    if out.last() != Some(&b'[') {
        out.push(b',');
    }
    let schemas: Vec<String> = args.iter().map(|schema| format!("\"{schema}\"")).collect();
    let kinds = vec!["{\"kind\": \"pos\"}"; args.len()];
    let text = format!(
        "\n{{\"name\": \"{name}\", {body}, \"arg_schemas\": [{}], \"args\": [{}], \"return_schema\": \"{returns}\"}}",
        schemas.join(", "),
        kinds.join(", ")
    );
    out.extend_from_slice(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::model::Body;
    use crate::manifest::parse::parse;

    /// The commands that are there with pools of these names.
    fn check(names: &[&str], remote: &[&str]) {
        let pools: Vec<&Pool> = POOLS.iter().filter(|pool| names.contains(&pool.name)).collect();
        let missing = POOLS.iter().filter(|pool| !names.contains(&pool.name));
        let missing: Vec<_> = missing.map(|pool| (pool.name, "no \"it\"".into())).collect();
        let text = manifest_text(&pools, &missing);
        let manifest = parse(&text, "snippets.manifest").unwrap();
        assert_eq!(manifest.commands.len(), LANGUAGES.len() + 2);
        let found = manifest
            .commands
            .iter()
            .filter_map(|command| match &command.body {
                Body::Remote { pool, .. } => {
                    Some(format!("{} {}", manifest.pools[pool.index()].name, command.name))
                }
                Body::Pure(_) => None,
                _ => panic!("{} is neither", command.name),
            });
        assert_eq!(found.collect::<Vec<_>>(), remote);
    }

    #[test]
    fn manifests_have_the_pools_that_can_run() {
        check(
            &["py", "js", "r", "sql"],
            &[
                "py snippet-python",
                "js snippet-javascript",
                "r snippet-r",
                "sql sql",
                "sql sql-end",
            ],
        );
        check(&["js"], &["js snippet-javascript"]);
        check(&[], &[]);
    }
}
