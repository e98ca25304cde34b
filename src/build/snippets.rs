//! The programs that run the snippets and the SQL of flows: each a manifest, and a pool from the binary. Starts nothing: a
//! server loads them like any other.

use crate::build::interpreter::find;
use crate::build::language::Language;
use crate::build::runtimes::{self, Runtime};
use crate::build::stage::failed;
use crate::error::{Error, Kind, Result};
use crate::flow::languages::{CHECK, Carried, END, SNIPPET, STATEMENT};
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

/// Memory of a worker of JavaScript or Python, in bytes, above which another takes its place: ten times what an idle one
/// has. What codes leave behind there is unknown to everyone else.
const RSS_BYTES_MAX: u64 = 512 << 20;

/// How long the pool of R may take to start, in milliseconds: the first compiles its library.
const R_HELLO_MS: u64 = 120_000;

/// Writes a program into a folder that is there: the path of its manifest. Its interpreter is looked for in `path`, PATH's
/// value.
///
/// # Errors
/// Kind `spawn_failed`: there is no interpreter. Kind `io`: the folder can't be written.
pub fn make(carried: &Carried, home: &Path, path: &OsStr) -> Result<PathBuf> {
    let Some(language) = Language::named(carried.lang) else {
        let message = format!("there is no language '{}'", carried.lang);
        return Err(Error::new(Kind::SpawnFailed, message));
    };
    let interpreter = language.interpreter.unwrap_or_default();
    if find(interpreter, path).is_none() {
        let message = format!("there is no {interpreter} in PATH, which runs {}", carried.runs);
        let hint = format!("install it, on Debian: apt install {}", language.package);
        return Err(Error::new(Kind::SpawnFailed, message).hint(hint));
    }
    let folder = home.join(format!("{}.pools", carried.name));
    fs::create_dir_all(&folder).map_err(|error| failed("make", &folder, &error))?;
    let put = |name: &str, runtime: Option<&Runtime>| {
        let file = folder.join(name);
        let text = runtime.map(Runtime::text).unwrap_or_default();
        fs::write(&file, text).map_err(|error| failed("write", &file, &error))
    };
    for (runtime, name) in language.runtimes {
        put(name, Runtime::named(runtime))?;
    }
    let pool = runtimes::SNIPPETS.iter().find(|pool| pool.name == carried.name);
    put(pool_file(carried), pool)?;
    let manifest = home.join(format!("{}.manifest", carried.name));
    fs::write(&manifest, manifest_text(carried)).map_err(|error| failed("write", &manifest, &error))?;
    Ok(manifest)
}

/// The pool's file beside its runtime.
fn pool_file(carried: &Carried) -> &'static str {
    match carried.lang {
        "js" => "pool.cjs",
        "r" => "pool.R",
        _ => "pool.py",
    }
}

fn manifest_text(carried: &Carried) -> String {
    let Carried { name, lang, .. } = carried;
    let start = match *lang {
        "py" => "\"python3\"",
        "js" => "\"node\"",
        _ => "\"R\", \"--vanilla\", \"--no-echo\", \"--max-ppsize=500000\", \"-f\"",
    };
    let more = match *name {
        // All statements of a run are for the process that has its transaction.
        "sql" => "\"socket\": \"pipe\", \"workers\": 1".to_string(),
        "python" => format!("\"socket\": \"pipe\", \"recycle\": {{\"max_rss_bytes\": {RSS_BYTES_MAX}}}"),
        "javascript" => {
            format!("\"transport\": \"direct\", \"recycle\": {{\"max_rss_bytes\": {RSS_BYTES_MAX}}}")
        }
        _ => format!(
            "\"socket\": \"pipe\", \"env\": {{\"R_DEFAULT_PACKAGES\": \"NULL\"}}, \
             \"timeouts\": {{\"hello_ms\": {R_HELLO_MS}}}"
        ),
    };
    let commands = match *name {
        "sql" => {
            let statement = command(STATEMENT, 1, &["u8", "s", "s", "<Json>s"], "<Json>s");
            format!("{statement},\n{}", command(END, 2, &["u8", "b"], "z"))
        }
        _ => {
            let snippet = command(SNIPPET, 1, &["s", "<Json>s"], "<Json>s");
            format!("{snippet},\n{}", command(CHECK, 2, &["[s]"], "<Json>s"))
        }
    };
    format!(
        "{{\"version\": 1, \"name\": \"{name}\", \"pools\": [\n{{\"name\": \"{name}\", \"lang\": \"{lang}\", \
         \"exec\": [{start}, \"{name}.pools/{}\"], {more}}}],\n\"commands\": [\n{commands}]}}\n",
        pool_file(carried)
    )
}

fn command(name: &str, mid: u32, args: &[&str], returns: &str) -> String {
    let args_text = vec!["{\"kind\": \"pos\"}"; args.len()].join(", ");
    format!(
        "{{\"name\": \"{name}\", \"type\": \"remote\", \"pool\": 0, \"mid\": {mid}, \"needed_pools\": [0], \
         \"arg_schemas\": [\"{}\"], \"args\": [{args_text}], \"return_schema\": \"{returns}\"}}",
        args.join("\", \"")
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::languages::{SNIPPETS, SQL};
    use crate::manifest::parse::parse;

    fn check(carried: &Carried, expected: &str) {
        let manifest = parse(manifest_text(carried).as_bytes(), "m").unwrap();
        let commands: Vec<&str> = manifest.commands.iter().map(|command| &*command.name).collect();
        let exec = manifest.pools[0].exec.last().unwrap();
        assert_eq!(format!("{} {exec}", commands.join(" ")), expected);
        let own = runtimes::SNIPPETS.iter().find(|pool| pool.name == carried.name);
        assert!(own.is_some_and(|own| own.text().len() > 1000), "{expected}");
    }

    #[test]
    fn manifests_can_be_read() {
        check(&SNIPPETS[0], "snippet check python.pools/pool.py");
        check(&SNIPPETS[1], "snippet check javascript.pools/pool.cjs");
        check(&SNIPPETS[2], "snippet check r.pools/pool.R");
        check(&SQL, "statement end sql.pools/pool.py");
    }
}
