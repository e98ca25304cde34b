//! Reading manifests: what good ones become, every error of bad ones, and that garbage is refused without harm.

use nexus::error::Error;
use nexus::ids::PoolId;
use nexus::limits::{MANIFEST_BYTES_MAX, MANIFEST_ERRORS_MAX, POOLS_MAX};
use nexus::manifest::model::{
    Arg, Body, CallTargets, Command, Host, Identity, Input, Lifetime, Limits, Manifest, Output, Recycle,
    Transport,
};
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
fn outline(text: &str) -> String {
    let manifest = parse(text.as_bytes(), "m").unwrap();
    let mut lines = vec![format!("{}: {}", manifest.name, manifest.desc.join(" "))];
    for pool in &manifest.pools {
        let exec = pool.exec.join(" ");
        lines.push(format!(
            "pool {} ({}) {exec} at {}",
            pool.name, pool.lang, pool.socket
        ));
    }
    for command in &manifest.commands {
        lines.push(outline_command(&manifest, command));
        let args = command.args.iter();
        lines.extend(args.map(|arg| format!("    {}", outline_arg(&manifest, arg))));
    }
    lines.join("\n")
}

fn outline_command(manifest: &Manifest, command: &Command) -> String {
    let group = command
        .group
        .iter()
        .map(|group| format!("{group} "))
        .collect::<String>();
    let internal = if command.internal { " (internal)" } else { "" };
    let needs = |needed: &[PoolId]| {
        needed
            .iter()
            .map(|pool| format!(" {}", pool.0))
            .collect::<String>()
    };
    let body = match &command.body {
        Body::Remote { pool, mid, needed } => format!("{mid} of pool {}, needs{}", pool.0, needs(needed)),
        Body::Pure(_) => "pure".into(),
        Body::Composed { needed, .. } => format!("composed, needs{}", needs(needed)),
        Body::Unsupported(error) => error.to_string(),
    };
    let (ty, type_name) = (
        manifest.types.spell(command.returns.ty),
        &command.returns.type_name,
    );
    format!("{group}{}{internal} -> {ty} ({type_name}): {body}", command.name)
}

fn outline_arg(manifest: &Manifest, arg: &Arg) -> String {
    let literal = |input: &Input| if input.literal { " literal" } else { "" };
    let names = |short: Option<char>, longs: &[&Option<String>]| {
        let short = short.map(|short| format!("-{short} "));
        let longs = longs.iter().filter_map(|long| long.as_ref());
        short
            .into_iter()
            .chain(longs.map(|long| format!("--{long} ")))
            .collect::<String>()
    };
    match arg {
        Arg::Positional(input) => {
            let metavar = input.metavar.as_deref().unwrap_or("-");
            let ty = manifest.types.spell(input.ty);
            format!("{metavar} {ty} ({}){}", input.type_name, literal(input))
        }
        Arg::Option(opt) => {
            let ty = manifest.types.spell(opt.input.ty);
            let default = opt.default.as_deref().unwrap_or("-");
            format!(
                "{}{ty}{} = {default}",
                names(opt.short, &[&opt.long]),
                literal(&opt.input)
            )
        }
        Arg::Flag(flag) => {
            let ty = manifest.types.spell(flag.ty);
            format!(
                "{}{ty} = {}",
                names(flag.short, &[&flag.long, &flag.long_rev]),
                flag.default
            )
        }
        Arg::Record(record) => {
            let whole = record.whole.as_ref();
            let whole = whole.map_or("no option ".into(), |whole| names(whole.short, &[&whole.long]));
            let entries = record.entries.iter();
            let entries = entries.map(|(field, arg)| format!("{field}: {}", outline_arg(manifest, arg)));
            let entries: Vec<String> = entries.collect();
            let ty = manifest.types.spell(record.ty);
            format!("{} {whole}{ty} [{}]", record.metavar, entries.join(", "))
        }
    }
}

#[test]
fn version_1_is_read() {
    let expected = "\
stats: Statistics of lists of numbers.
pool py (py) python3 stats.pools/pool.py at pipe-py
pool cpp (cpp) stats.pools/pool at pipe-cpp
summary mean -> f8 (Real): 1 of pool 0, needs 0 1
    XS [f8] ([Real])
plot -> z (z): 2 of pool 1, needs 1
    FILE s (s) literal
    -r --range [f8] = [0, 1]
    -q --quiet --loud b = false
    STYLE --style {width:i4,title:?s,grid:b} [1: --title ?s = \"untitled\", 2: --grid b = true]
greet -> s (s): pure";
    assert_eq!(outline(STATS), expected);
}

#[test]
fn the_morloc_dialect_is_read() {
    let foreign = "runs in a pool that speaks morloc's protocol, which nexus does not";
    let expected = format!(
        "\
weather: Weather of a place.
pool py (py) python3 pools/py/pool.py at pipe-py
look forecast -> {{temp:f8,wind:f8}} (Report): command \"forecast\" {foreign}
    CITY s (Str    (literal string)) literal
    -s --stations [s] = /etc/stations
    --celsius --fahrenheit b = true
    Opts no option {{days:j,source:s}} [0: -d --days j = 3, 1: --source s literal = \"/dev/null\"]
__mlcp_forecast (internal) -> z (Unit): command \"__mlcp_forecast\" {foreign}
freezing -> j (Int): pure
station -> s (Str): command \"station\" has an expression of the tag \"load\", which nexus does not support \
at m:14:138 (commands[3].expr)"
    );
    assert_eq!(outline(WEATHER), expected);
}

#[test]
fn the_policy_of_a_pool_is_read() {
    let manifest = parse(STATS.as_bytes(), "m").unwrap();
    let py = &manifest.pools[0];
    assert_eq!(py.workers, Some(4));
    assert_eq!(
        (py.timeouts.hello_ms, py.timeouts.call_ms),
        (10_000, Some(60_000))
    );
    assert_eq!(py.env, [("TZ".to_string(), "UTC".to_string())]);
    assert_eq!((py.clear_env, py.cwd.as_deref()), (false, Some("/")));
    assert_eq!((py.stdout, py.stderr), (Output::Log, Output::Stderr));
    let mean = &manifest.commands[0];
    assert_eq!((mean.timeout_ms, mean.examples.len()), (Some(5000), 1));
    assert_eq!(manifest.groups[0].desc, ["What one list is like."]);
}

#[test]
fn what_a_pool_may_use_and_do_is_read() {
    let plain = &parse(STATS.as_bytes(), "m").unwrap().pools[1];
    assert_eq!(
        (plain.transport, plain.lifetime),
        (Transport::Unix, Lifetime::Shared)
    );
    assert_eq!(
        (plain.recycle, plain.limits),
        (Recycle::default(), Limits::default())
    );
    assert!(!plain.recycle.is_any());
    assert_eq!((&plain.user, &plain.group, &plain.host), (&None, &None, &None));

    let from = r#""transport": "unix", "lifetime": "shared""#;
    let to = r#""transport": "direct", "lifetime": "oneshot", "user": "nobody", "group": 7,
        "recycle": {"max_calls": 1, "max_age_ms": 2, "max_rss_bytes": 3, "idle_exit_ms": 4},
        "limits": {"memory_bytes": 5, "cpu_s": 6, "open_files": 7, "processes": 8},
        "host": ["log", "call:cpp", "call:py", "call:cpp"]"#;
    let pool = &parse(STATS.replace(from, to).as_bytes(), "m").unwrap().pools[1];
    assert_eq!(
        (pool.transport, pool.lifetime, pool.socket.as_str()),
        (Transport::Direct, Lifetime::Oneshot, "")
    );
    assert_eq!(pool.user, Some(Identity::Name("nobody".into())));
    assert_eq!(pool.group, Some(Identity::Id(7)));
    let recycle = Recycle {
        max_calls: Some(1),
        max_age_ms: Some(2),
        max_rss_bytes: Some(3),
        idle_exit_ms: Some(4),
    };
    assert_eq!(pool.recycle, recycle);
    assert!(pool.recycle.is_any());
    let limits = Limits {
        memory_bytes: Some(5),
        cpu_s: Some(6),
        open_files: Some(7),
        processes: Some(8),
    };
    assert_eq!(pool.limits, limits);
    let host = Host {
        calls: CallTargets::Only(vec![PoolId(1), PoolId(0)]),
        command: false,
        log: true,
        progress: false,
        run: false,
    };
    assert_eq!(pool.host, Some(host));

    let to = r#""host": ["call:py", "call", "call:cpp", "progress", "command", "run"]"#;
    let host = parse(STATS.replace(from, to).as_bytes(), "m").unwrap().pools[1]
        .host
        .clone();
    let host = host.unwrap();
    assert_eq!(host.calls, CallTargets::All);
    assert_eq!(
        (host.command, host.log, host.progress, host.run),
        (true, false, true, true)
    );
}

#[test]
fn what_is_wrong_in_an_expression_is_wrong_in_the_manifest() {
    let text = STATS.replace("\"value\": \"hello\"", "\"value\": 1");
    let errors = parse(text.as_bytes(), "m").unwrap_err();
    assert_eq!(errors.len(), 1);
    assert_eq!(
        errors[0].place.as_deref(),
        Some("m:27:53 (commands[2].expr.value)")
    );
}

#[test]
fn a_version_wins_over_the_name_of_the_compiler() {
    // Written by the morloc compiler for nexus: the version decides.
    let text = STATS.replace(
        "\"name\": \"stats\",",
        "\"name\": \"stats\", \"build\": {\"morloc_version\": \"2\"},",
    );
    assert_eq!(outline(&text), outline(STATS));
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
