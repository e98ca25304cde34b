//! The rules, one function each: from a file to its complaints. Reads no disk.

use crate::File;
use crate::source::{Path, code, is_word, paths};

/// The layers from the top down; a file names only its own and those after it.
const LAYERS: [&str; 16] = [
    "cli", "build", "shell", "sys", "serve", "flow", "core", "compose", "source", "manifest", "expr",
    "codec", "error", "ids", "map", "limits",
];

/// The first layer that sees bytes and numbers only.
const PURE_FROM: &str = "serve";

/// What would give a pure layer a clock, a descriptor, an environment or chance.
const IMPURE: [&str; 12] = [
    "rand",
    "Instant",
    "SystemTime",
    "std::env",
    "std::fs",
    "std::io",
    "std::net",
    "std::os",
    "std::process",
    "std::thread",
    "std::hash::RandomState",
    "std::collections::HashMap",
];

/// All that the binary is made of; a further one needs a reason.
const DEPENDENCIES: [&str; 6] = ["argh", "httparse", "libc", "mio", "rmp", "saphyr-parser"];

const TOP_LEVEL: [&str; 7] = [
    "Cargo.lock",
    "Cargo.toml",
    "README.md",
    "fuzz",
    "scripts",
    "src",
    "tests",
];

/// Words that say nothing of what they name.
const EMPTY_WORDS: [&str; 6] = ["util", "utils", "helper", "helpers", "common", "misc"];

const FILE_LINES_MAX: usize = 700;

/// How far above an unsafe block the reason for it may begin.
const SAFETY_LINES: usize = 3;

/// All complaints about a file.
pub fn check_file(file: &File) -> Vec<String> {
    let mut found = header(file);
    found.extend(machine_paths(file));
    if file.path == "Cargo.toml" {
        found.extend(dependencies(file));
    }
    if file.path.ends_with(".rs") {
        let code = code(&file.text);
        let paths = paths(&code);
        found.extend(layers(file, &paths));
        found.extend(purity(file, &paths));
        found.extend(homes(file, &paths));
        found.extend(unsafe_blocks(file, &paths));
        found.extend(names(file, &code));
        found.extend(length(file));
        found.extend(bare_mod(file, &code));
    }
    found
}

/// The layer of a file in `src`; the crate's own roots have none.
fn layer(file: &File) -> Option<&str> {
    let inside = file.path.strip_prefix("src/")?;
    let name = inside.split('/').next()?.trim_end_matches(".rs");
    (!matches!(name, "main" | "lib" | "pack")).then_some(name)
}

fn complaint(file: &File, line: usize, text: String) -> String {
    format!("{}:{line}: {text}", file.path)
}

fn layers(file: &File, paths: &[Path<'_>]) -> Vec<String> {
    let Some(own) = layer(file) else {
        return Vec::new();
    };
    let Some(height) = LAYERS.iter().position(|layer| *layer == own) else {
        return vec![complaint(file, 1, format!("'{own}' is no layer"))];
    };
    // Modules from the crate's root to this file; one `super` more than that can't be written.
    let depth = file.path.trim_end_matches("/mod.rs").matches('/').count();
    let mut found = Vec::new();
    for path in paths {
        let climbs = path
            .segments
            .iter()
            .take_while(|segment| **segment == "super")
            .count();
        let named = match path.segments.first() {
            Some(&"crate") => path.segments.get(1),
            Some(&"super") if climbs >= depth => path.segments.get(climbs),
            _ => None,
        };
        if let Some(named) = named
            && LAYERS[..height].contains(named)
        {
            found.push(complaint(
                file,
                path.line,
                format!("{own} names {named}, a layer above it"),
            ));
        }
    }
    found
}

fn purity(file: &File, paths: &[Path<'_>]) -> Vec<String> {
    let pure = LAYERS.iter().skip_while(|layer| **layer != PURE_FROM);
    if !layer(file).is_some_and(|own| pure.into_iter().any(|layer| *layer == own)) {
        return Vec::new();
    }
    let mut found = Vec::new();
    for path in paths {
        let whole = path.segments.join("::");
        let impure = IMPURE.into_iter().find(|name| match name.contains("::") {
            true => whole == *name || whole.starts_with(&format!("{name}::")),
            false => path.segments.contains(name),
        });
        if let Some(name) = impure {
            found.push(complaint(file, path.line, format!("a pure layer names {name}")));
        }
    }
    found
}

/// Crates that only one layer may name.
fn homes(file: &File, paths: &[Path<'_>]) -> Vec<String> {
    let mut found = Vec::new();
    for (name, home) in [("mio", "shell"), ("libc", "sys")] {
        let strangers = paths.iter().filter(|path| path.segments.first() == Some(&name));
        if file.path.starts_with("src/") && layer(file) != Some(home) {
            found.extend(
                strangers.map(|path| complaint(file, path.line, format!("{name} outside src/{home}"))),
            );
        }
    }
    found
}

fn unsafe_blocks(file: &File, paths: &[Path<'_>]) -> Vec<String> {
    let lines: Vec<&str> = file.text.lines().collect();
    let mut found = Vec::new();
    let is_block = |path: &&Path<'_>| {
        // A function that is unsafe asks for a promise, where a block gives one.
        path.segments == ["unsafe"] && !lines[path.line - 1].contains("unsafe fn ")
    };
    for path in paths.iter().filter(is_block) {
        let above = &lines[path.line.saturating_sub(SAFETY_LINES + 1)..path.line - 1];
        if layer(file) != Some("sys") {
            found.push(complaint(file, path.line, "unsafe outside src/sys".into()));
        } else if !above
            .iter()
            .any(|line| line.trim_start().starts_with("// SAFETY: "))
        {
            found.push(complaint(
                file,
                path.line,
                "unsafe without a SAFETY line above it".into(),
            ));
        }
    }
    found
}

fn header(file: &File) -> Vec<String> {
    let mut lines = file.text.lines().map(str::trim).peekable();
    let shebang = lines.next_if(|line| line.starts_with("#!") && !line.starts_with("#!["));
    let kind = file
        .path
        .rsplit('/')
        .next()
        .and_then(|name| name.rsplit_once('.'));
    let openings: &[&str] = match kind.map(|(_, extension)| extension) {
        Some("rs") => &["//! "],
        Some("c" | "cpp" | "hpp") => &["// ", "/// ", "/*"],
        Some("py") => &["# ", "\"\"\""],
        Some("sh") => &["# "],
        _ if shebang.is_some() => &["# ", "\"\"\""],
        _ => return Vec::new(),
    };
    let first = lines.next().unwrap_or_default();
    if openings.iter().any(|opening| first.starts_with(opening)) {
        return Vec::new();
    }
    vec![complaint(
        file,
        1,
        "no header that says what it is and what it does not do".into(),
    )]
}

fn length(file: &File) -> Vec<String> {
    let lines = file.text.lines().count();
    match lines > FILE_LINES_MAX {
        true => vec![complaint(
            file,
            lines,
            format!("more than {FILE_LINES_MAX} lines"),
        )],
        false => Vec::new(),
    }
}

/// A `mod.rs` is a table of contents.
fn bare_mod(file: &File, code: &str) -> Vec<String> {
    if !file.path.ends_with("/mod.rs") {
        return Vec::new();
    }
    let mut found = Vec::new();
    for statement in code.split_inclusive(';') {
        let mut rest = statement.trim();
        while rest.starts_with('#') {
            rest = rest.split_once(']').map_or("", |(_, after)| after.trim_start());
        }
        let rest = match rest.strip_prefix("pub(") {
            Some(scoped) => scoped.split_once(')').map_or("", |(_, after)| after.trim_start()),
            None => rest.strip_prefix("pub ").unwrap_or(rest),
        };
        let is_listed = rest.ends_with(';') && (rest.starts_with("mod ") || rest.starts_with("use "));
        if !is_listed && !rest.is_empty() {
            let shown = rest.lines().next().unwrap_or_default();
            found.push(complaint(file, 1, format!("logic in a mod.rs: {shown}")));
        }
    }
    found
}

fn names(file: &File, code: &str) -> Vec<String> {
    let mut found = Vec::new();
    let stem = file
        .path
        .rsplit('/')
        .next()
        .unwrap_or_default()
        .trim_end_matches(".rs");
    if EMPTY_WORDS.contains(&stem) {
        found.push(complaint(file, 1, format!("a file named {stem}")));
    }
    for (number, line) in code.lines().enumerate() {
        let mut words = line.split(|char| !is_word(char)).filter(|word| !word.is_empty());
        while let Some(word) = words.next() {
            if !matches!(word, "mod" | "struct" | "enum" | "trait" | "type" | "fn") {
                continue;
            }
            let Some(name) = words.next() else { break };
            let lower = name.to_lowercase();
            let says_nothing = EMPTY_WORDS.contains(&lower.as_str()) || lower.contains("manager");
            // std's own word for it.
            let is_getter = word == "fn" && name.starts_with("get_") && name != "get_mut";
            if says_nothing || is_getter {
                found.push(complaint(file, number + 1, format!("{word} named {name}")));
            }
        }
    }
    found
}

/// Paths of one machine are of no use on another.
fn machine_paths(file: &File) -> Vec<String> {
    let mut found = Vec::new();
    for (number, line) in file.text.lines().enumerate() {
        for path in [concat!("/", "work/"), concat!("/", "root/")] {
            let is_absolute = |(at, _): (usize, &str)| {
                let before = line[..at].chars().next_back();
                !before.is_some_and(|char| is_word(char) || matches!(char, '.' | '-' | '}' | ')' | '*'))
            };
            if line.match_indices(path).any(is_absolute) {
                found.push(complaint(
                    file,
                    number + 1,
                    format!("a path of one machine, {path}"),
                ));
            }
        }
    }
    found
}

fn dependencies(file: &File) -> Vec<String> {
    let lines = file
        .text
        .lines()
        .skip_while(|line| *line != "[dependencies]")
        .skip(1);
    let lines = lines.take_while(|line| !line.starts_with('['));
    let mut listed: Vec<&str> = lines
        .filter_map(|line| line.split_once('='))
        .map(|(name, _)| name.trim())
        .filter(|name| !name.starts_with('#'))
        .collect();
    listed.sort_unstable();
    if listed == DEPENDENCIES {
        return Vec::new();
    }
    vec![complaint(
        file,
        1,
        format!("depends on {listed:?}, expected {DEPENDENCIES:?}"),
    )]
}

/// Complaints about what stands at the top of the repository.
pub fn top_level(names: &[String]) -> Vec<String> {
    let is_stranger =
        |name: &&String| !name.starts_with('.') && *name != "target" && !TOP_LEVEL.contains(&name.as_str());
    let strangers = names.iter().filter(is_stranger);
    strangers
        .map(|name| format!("{name}: does not belong at the top level"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(path: &str, text: &str, expected: &[&str]) {
        let file = File {
            path: path.into(),
            text: text.into(),
        };
        assert_eq!(check_file(&file), expected, "{path}: {text}");
    }

    /// A file with a header, so that line 2 is the first of `text`.
    fn check_code(path: &str, text: &str, expected: &[&str]) {
        check(path, &format!("//! What.\n{text}"), expected);
    }

    #[test]
    fn imports_go_down() {
        check_code("src/cli/args.rs", "use crate::shell::x;", &[]);
        check_code("src/core/hub.rs", "use crate::{codec::json, error::Error};", &[]);
        check_code(
            "src/core/eval/step.rs",
            "use super::super::hub; // crate::cli",
            &[],
        );
        check_code(
            "src/codec/json.rs",
            "fn f() { crate::core::hub::f() }",
            &["src/codec/json.rs:2: codec names core, a layer above it"],
        );
        check_code(
            "src/codec/json.rs",
            "use crate::{error::Error, sys::{clock, spawn}};",
            &[
                "src/codec/json.rs:2: codec names sys, a layer above it",
                "src/codec/json.rs:2: codec names sys, a layer above it",
            ],
        );
        check_code(
            "src/expr/load.rs",
            "use super::super::manifest::model;",
            &["src/expr/load.rs:2: expr names manifest, a layer above it"],
        );
        check_code(
            "src/error.rs",
            "use super::codec;",
            &["src/error.rs:2: error names codec, a layer above it"],
        );
        check_code("src/misery.rs", "", &["src/misery.rs:1: 'misery' is no layer"]);
        check_code("src/main.rs", "use crate::cli;", &[]);
    }

    #[test]
    fn pure_layers_see_no_world() {
        check_code("src/sys/clock.rs", "use std::time::Instant;", &[]);
        check_code("src/core/hub.rs", "use std::time::Duration;", &[]);
        for (text, name) in [
            ("use std::time::{Duration, Instant};", "Instant"),
            ("fn f() { std::env::var(\"x\") }", "std::env"),
            ("use std::{fmt, fs};", "std::fs"),
            ("use std::process;", "std::process"),
            ("fn f() { std::thread::spawn(g) }", "std::thread"),
            ("fn f() -> u8 { rand::random() }", "rand"),
        ] {
            let expected = format!("src/codec/json.rs:2: a pure layer names {name}");
            check_code("src/codec/json.rs", text, &[&expected]);
        }
    }

    #[test]
    fn crates_stay_at_home() {
        check_code("src/shell/socket.rs", "use mio::Token;", &[]);
        check_code("src/sys/spawn.rs", "use libc::c_int;", &[]);
        check_code(
            "src/sys/spawn.rs",
            "use mio::Token;",
            &["src/sys/spawn.rs:2: mio outside src/shell"],
        );
        check_code(
            "src/cli/run.rs",
            "use libc::c_int;",
            &["src/cli/run.rs:2: libc outside src/sys"],
        );
    }

    #[test]
    fn unsafe_has_a_reason() {
        check_code("src/sys/spawn.rs", "// SAFETY: x.\nlet a = unsafe { b() };", &[]);
        check_code("src/sys/spawn.rs", "unsafe fn a() {}", &[]);
        check_code("src/sys/mod.rs", "#![allow(unsafe_code)]", &[]);
        check_code(
            "src/sys/spawn.rs",
            "// SAFETY: x.\n\n\n\nunsafe { b() }",
            &["src/sys/spawn.rs:6: unsafe without a SAFETY line above it"],
        );
        check_code(
            "src/shell/socket.rs",
            "// SAFETY: x.\nunsafe { b() }",
            &["src/shell/socket.rs:3: unsafe outside src/sys"],
        );
        check_code(
            "tests/a.rs",
            "unsafe { b() }",
            &["tests/a.rs:2: unsafe outside src/sys"],
        );
    }

    #[test]
    fn headers() {
        let bad = |path: &str, text: &str| {
            let expected = format!("{path}:1: no header that says what it is and what it does not do");
            check(path, text, &[&expected]);
        };
        check("src/main.rs", "//! x\n", &[]);
        check("a.py", "#!/usr/bin/python3\n\"\"\"What.\"\"\"\n", &[]);
        check("a.hpp", "// a.hpp: what\n", &[]);
        check("scripts/test", "#!/bin/sh\n# What.\n", &[]);
        check("README.md", "", &[]);
        check("data.csv", "1,2\n", &[]);
        bad("src/main.rs", "fn main() {}\n");
        bad("a.py", "#!/usr/bin/python3\nimport os\n");
        bad("a.py", "");
        bad("a.hpp", "#pragma once\n");
        bad("scripts/test", "#!/bin/sh\nset -eu\n");
    }

    #[test]
    fn files_are_short() {
        check_code("src/main.rs", &"\n".repeat(699), &[]);
        check_code(
            "src/main.rs",
            &"\n".repeat(700),
            &["src/main.rs:701: more than 700 lines"],
        );
    }

    #[test]
    fn a_mod_file_only_lists() {
        check_code(
            "src/core/mod.rs",
            "#![allow(x)]\nmod a;\npub mod b;\n#[cfg(test)]\npub(super) mod c;\npub use a::{B,\n C};\n",
            &[],
        );
        check_code(
            "src/core/mod.rs",
            "mod a;\nfn f() {}\n",
            &["src/core/mod.rs:1: logic in a mod.rs: fn f() {}"],
        );
        check_code(
            "src/core/mod.rs",
            "const A: u8 = 1;",
            &["src/core/mod.rs:1: logic in a mod.rs: const A: u8 = 1;"],
        );
    }

    #[test]
    fn names_say_something() {
        check_code(
            "src/main.rs",
            "struct Command; fn get_mut() {} mod utility {}",
            &[],
        );
        check_code("src/cli/util.rs", "", &["src/cli/util.rs:1: a file named util"]);
        check_code(
            "src/main.rs",
            "mod helpers;",
            &["src/main.rs:2: mod named helpers"],
        );
        check_code(
            "src/main.rs",
            "struct PoolManager;",
            &["src/main.rs:2: struct named PoolManager"],
        );
        check_code(
            "src/main.rs",
            "fn get_pool() {}",
            &["src/main.rs:2: fn named get_pool"],
        );
    }

    #[test]
    fn no_paths_of_one_machine() {
        check("README.md", "homework/ and frame/work/ and $dir/work/", &[]);
        let (path, shown) = (concat!("see /", "work/x"), concat!("/", "work/"));
        check(
            "README.md",
            path,
            &[&format!("README.md:1: a path of one machine, {shown}")],
        );
    }

    #[test]
    fn dependencies_are_listed_here() {
        let listed = "[dependencies]\n# a = b\nmio = { a = 1 }\nlibc = \"1\"\nrmp = \"1\"\nargh = \"1\"\nhttparse = \"1\"\nsaphyr-parser = \"1\"\n";
        check(
            "Cargo.toml",
            &format!("{listed}[dev-dependencies]\nx = \"1\"\n"),
            &[],
        );
        let expected = r#"Cargo.toml:1: depends on ["argh", "httparse", "libc", "mio", "rmp", "saphyr-parser", "x"], expected ["argh", "httparse", "libc", "mio", "rmp", "saphyr-parser"]"#;
        check("Cargo.toml", &format!("{listed}x = \"1\"\n"), &[expected]);
    }

    #[test]
    fn the_top_is_small() {
        let check = |name: &str, expected: &[&str]| assert_eq!(top_level(&[name.to_string()]), expected);
        check("src", &[]);
        check(".ci", &[]);
        check("notes.md", &["notes.md: does not belong at the top level"]);
    }
}
