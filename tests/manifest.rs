//! Reading manifests: what good ones become, every error of bad ones, and that garbage is refused without harm.

use nexus::error::Error;
use nexus::limits::{MANIFEST_BYTES_MAX, MANIFEST_ERRORS_MAX, POOLS_MAX};
use nexus::manifest::model::{Arg, Body, Command, Manifest};
use nexus::manifest::parse::parse;
use std::path::PathBuf;

const STATS: &str = include_str!("manifests/stats.json");
const ERRORS: &str = include_str!("manifests/errors.txt");
const WEATHER: &str = include_str!("manifests/weather.morloc.json");

/// Reads `manifest` with one piece of it replaced.
fn check(manifest: &str, from: &str, to: &str, expected: &str) {
    assert_eq!(
        manifest.matches(from).count(),
        1,
        "{from} should stand once in the manifest"
    );
    let found = match parse(manifest.replace(from, to).as_bytes(), "m") {
        Ok(_) => String::new(),
        Err(errors) => errors.iter().map(|error| describe(error)).collect(),
    };
    assert_eq!(found, expected, "{from} => {to}");
}

/// An error as `errors.txt` has it.
fn describe(error: &Error) -> String {
    let hint = error.hint.as_ref().map(|hint| format!("    hint: {hint}\n"));
    format!("    {error}\n{}", hint.unwrap_or_default())
}

#[test]
fn every_error_has_its_message_and_place() {
    let sections = [("stats.json", STATS), ("weather.morloc.json", WEATHER)];
    for (name, manifest) in sections {
        let rows = ERRORS
            .split("\n== ")
            .find_map(|section| section.strip_prefix(name))
            .unwrap();
        let mut lines = rows.lines().filter(|line| !line.is_empty()).peekable();
        let mut count = 0;
        while let Some(row) = lines.next() {
            let mut expected = String::new();
            while let Some(line) = lines.next_if(|line| line.starts_with("    ")) {
                expected.push_str(line);
                expected.push('\n');
            }
            let (from, to) = row.split_once(" =>").unwrap();
            check(manifest, from, to.trim_start(), &expected);
            count += 1;
        }
        assert!(count > 5, "{name} has rows");
    }
}

/// A manifest in a few lines.
fn outline(manifest: &Manifest) -> String {
    let mut lines = vec![format!("{} {:?}", manifest.name, manifest.desc)];
    for pool in &manifest.pools {
        lines.push(format!(
            "pool {} {} {:?} {}",
            pool.name, pool.lang, pool.exec, pool.socket
        ));
    }
    for command in &manifest.commands {
        lines.push(outline_command(manifest, command));
        lines.extend(
            command
                .args
                .iter()
                .map(|arg| format!("  {}", outline_arg(manifest, arg))),
        );
    }
    lines.join("\n")
}

fn outline_command(manifest: &Manifest, command: &Command) -> String {
    let group = command
        .group
        .as_deref()
        .map(|group| format!("{group} "))
        .unwrap_or_default();
    let internal = if command.internal { " internal" } else { "" };
    let body = match &command.body {
        Body::Remote { pool, mid, needed } => format!("pool {} mid {mid} needs {needed:?}", pool.0),
        Body::Pure(_) => "pure".into(),
        Body::Composed { needed, .. } => format!("composed, needs {needed:?}"),
        Body::Unsupported(error) => format!("unsupported: {error}"),
    };
    let returns = manifest.types.spell(command.returns.ty);
    format!(
        "{group}{}{internal} -> {returns} {}: {body}",
        command.name, command.returns.type_name
    )
}

fn outline_arg(manifest: &Manifest, arg: &Arg) -> String {
    let spell = |ty| manifest.types.spell(ty);
    match arg {
        Arg::Positional(input) => {
            let literal = if input.literal { " literal" } else { "" };
            format!(
                "{:?} {} {}{literal}",
                input.metavar,
                spell(input.ty),
                input.type_name
            )
        }
        Arg::Option(opt) => {
            let literal = if opt.input.literal { " literal" } else { "" };
            let ty = spell(opt.input.ty);
            format!(
                "-{:?} --{:?} {ty}{literal} = {:?}",
                opt.short, opt.long, opt.default
            )
        }
        Arg::Flag(flag) => {
            let ty = spell(flag.ty);
            format!(
                "-{:?} --{:?} --{:?} {ty} = {}",
                flag.short, flag.long, flag.long_rev, flag.default
            )
        }
        Arg::Record(record) => {
            let entries = record.entries.iter();
            let entries: Vec<String> = entries
                .map(|(field, arg)| format!("{field}: {}", outline_arg(manifest, arg)))
                .collect();
            let whole = record.whole.as_ref().map(|whole| (whole.short, &whole.long));
            format!(
                "{} {} {whole:?} [{}]",
                record.metavar,
                spell(record.ty),
                entries.join(", ")
            )
        }
    }
}

#[test]
fn version_1_is_read() {
    let manifest = parse(STATS.as_bytes(), "m").unwrap();
    println!("{}", outline(&manifest));
}

#[test]
fn the_morloc_dialect_is_read() {
    let manifest = parse(WEATHER.as_bytes(), "m").unwrap();
    println!("{}", outline(&manifest));
}

#[test]
fn broken_json_is_the_only_error() {
    let text = STATS.replace("\"commands\": [", "\"commands\": [,");
    let errors = parse(text.as_bytes(), "dir/stats.manifest").unwrap_err();
    let errors: Vec<String> = errors.iter().map(|error| error.to_string()).collect();
    let expected = "manifest is not valid JSON: found ',', expected a value at dir/stats.manifest:11:16";
    assert_eq!(errors, [expected]);
}

#[test]
fn sizes_are_bounded() {
    let errors = parse(&vec![b' '; MANIFEST_BYTES_MAX + 1], "m").unwrap_err();
    let expected = "manifest is 16777217 bytes long, expected at most 16777216 at m";
    assert_eq!(errors[0].to_string(), expected);

    let text = STATS.replace(
        "\"commands\": [",
        &format!("\"commands\": [{}", "1, ".repeat(1000)),
    );
    let errors = parse(text.as_bytes(), "m").unwrap_err();
    assert_eq!(errors.len(), MANIFEST_ERRORS_MAX + 1);
    let expected = "manifest has more than 100 errors; the others are left out at m";
    assert_eq!(errors[MANIFEST_ERRORS_MAX].to_string(), expected);

    let pool = "{\"lang\": \"x\", \"exec\": [\"x\"], \"socket\": \"x\"}, ";
    let text = STATS.replace("\"pools\": [", &format!("\"pools\": [{}", pool.repeat(POOLS_MAX)));
    let errors = parse(text.as_bytes(), "m").unwrap_err();
    assert_eq!(
        errors[0].to_string(),
        "258 pools, expected at most 256 at m:5:12 (pools)"
    );
}

/// Reads all manifests of a directory that the morloc compiler wrote.
#[test]
fn real_manifests_have_no_false_errors() {
    let directory = std::env::var_os("NEXUS_MANIFESTS").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/manifests"),
        PathBuf::from,
    );
    let Ok(files) = std::fs::read_dir(&directory) else {
        println!("skipped: no directory {}", directory.display());
        return;
    };
    let paths = files.map(|file| file.unwrap().path());
    for path in paths.filter(|path| path.extension().is_some_and(|extension| extension == "json")) {
        let text = std::fs::read(&path).unwrap();
        if let Err(errors) = parse(&text, &path.display().to_string()) {
            panic!(
                "{}",
                errors
                    .iter()
                    .map(|error| format!("{error}\n"))
                    .collect::<String>()
            );
        }
    }
}

/// Flips, removes and doubles bytes of good manifests: whatever comes of it, the reader must not panic.
#[test]
fn damaged_manifests_do_no_harm() {
    let seed = 0x9E37_79B9_7F4A_7C15_u64;
    println!("seed {seed:#x}");
    let mut state = seed;
    let mut random = move |below: usize| {
        // xorshift64
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % below as u64) as usize
    };
    let mut refused = 0;
    for round in 0..4000 {
        let mut text = [STATS, WEATHER][round % 2].as_bytes().to_vec();
        for _ in 0..=random(3) {
            let (at, len) = (random(text.len()), random(8));
            let end = (at + len).min(text.len());
            match random(4) {
                0 => text[at] ^= 1 << random(8),
                1 => text[at] = b"\"\\[]{},:-0z"[random(11)],
                2 => drop(text.drain(at..end)),
                _ => text.extend_from_within(at..end),
            }
        }
        refused += usize::from(parse(&text, "m").is_err());
    }
    assert!(refused > 1000, "only {refused} were refused");
}
