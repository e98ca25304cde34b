//! Recorded runs of pure commands: every expression gives the bytes that were recorded. Needs the recorded manifests, in
//! `$NEXUS_MANIFESTS` or beside the checkout, and passes without them.

use nexus::codec::document::{Document, Node};
use nexus::codec::schema::{Type, Types};
use nexus::codec::transcode::{Style, json_to_msgpack, msgpack_to_json};
use nexus::core::eval::run;
use nexus::expr::arena::Exprs;
use nexus::expr::load::load;
use std::path::PathBuf;

fn corpus() -> Option<PathBuf> {
    let beside = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/manifests");
    let found = std::env::var_os("NEXUS_MANIFESTS").map_or(beside, PathBuf::from);
    found.is_dir().then_some(found)
}

#[test]
fn recorded_runs_give_the_same_bytes() {
    let Some(corpus) = corpus() else {
        eprintln!("no recorded manifests here; set NEXUS_MANIFESTS");
        return;
    };
    let rows = std::fs::read_to_string(corpus.join("pure.jsonl")).unwrap();
    let mut failures = Vec::new();
    for row in rows.lines() {
        let row = Document::parse(row.as_bytes()).unwrap();
        let text = |key| row.root().member(key).and_then(Node::as_str).unwrap().to_string();
        let manifest = std::fs::read(corpus.join(text("manifest"))).unwrap();
        let args = row.root().member("args").and_then(Node::elements).unwrap();
        let args: Vec<&str> = args.filter_map(Node::as_str).collect();
        let found = command(&manifest, &args);
        let same = match row.root().member("rc").and_then(Node::as_number) {
            Some("0") => found.as_deref() == Ok(&text("stdout")),
            _ => found.is_err(),
        };
        if !same {
            let expected = text("stdout");
            failures.push(format!(
                "{} {args:?}: {found:?}, expected {expected:?}",
                text("manifest")
            ));
        }
    }
    assert!(rows.lines().count() >= 100, "the corpus is not whole");
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// What a command line prints, or its error.
fn command(manifest: &[u8], line: &[&str]) -> Result<String, String> {
    let document = Document::parse(manifest).map_err(|error| error.message)?;
    let keep_null = line.first() == Some(&"--keep-null");
    let words = &line[usize::from(keep_null)..];
    let mut commands = document
        .root()
        .member("commands")
        .and_then(Node::elements)
        .unwrap();
    let name = |command: Node<'_, '_>| {
        let text = |key| command.member(key).and_then(Node::as_str).map(str::to_string);
        text("group").into_iter().chain(text("name")).collect::<Vec<_>>()
    };
    let command = commands
        .find(|command| {
            name(*command)
                .iter()
                .zip(words)
                .filter(|(name, word)| name == word)
                .count()
                == name(*command).len()
        })
        .unwrap();
    let values = &words[name(command).len()..];

    let (mut types, mut exprs) = (Types::default(), Exprs::default());
    let root = load(command.member("expr").unwrap(), &mut types, &mut exprs);
    let root = root.map_err(|error| format!("{error:?}"))?;
    let mut encoded = Vec::new();
    for (arg, value) in command
        .member("args")
        .and_then(Node::elements)
        .unwrap()
        .zip(values)
    {
        let schema = arg.member("schema").and_then(Node::as_str).unwrap();
        let ty = types.parse(schema).unwrap();
        let bare = types.node(ty) == Type::Str && !value.starts_with('"');
        let json = if bare {
            format!("\"{value}\"")
        } else {
            value.to_string()
        };
        let mut msgpack = Vec::new();
        json_to_msgpack(&types, ty, json.as_bytes(), &mut msgpack).map_err(|error| error.message)?;
        encoded.push((msgpack, ty));
    }
    let args: Vec<_> = encoded
        .iter()
        .map(|(msgpack, ty)| (msgpack.as_slice(), *ty))
        .collect();
    let returns = command
        .member("return")
        .and_then(|returns| returns.member("schema"));
    let returns = types.parse(returns.and_then(Node::as_str).unwrap()).unwrap();
    let mut result = Vec::new();
    run(&exprs, &types, root, &args, returns, &mut result).map_err(|error| error.to_string())?;
    if result == [0xc0] && !keep_null {
        return Ok(String::new());
    }
    let mut json = Vec::new();
    msgpack_to_json(&types, returns, &result, Style::Compact, &mut json).map_err(|error| error.message)?;
    json.push(b'\n');
    Ok(String::from_utf8(json).unwrap())
}
