//! The descriptions of commands and the figures of the server against readers that others have written, where Python has
//! them: `openapi_spec_validator`, `jsonschema`, `prometheus_client`. Starts no server.

use nexus::codec::json_text::JsonText;
use nexus::error::Kind;
use nexus::manifest::model::Manifest;
use nexus::manifest::parse::parse;
use nexus::serve::api::{Inspected, Program, Target, inspect_json, open_api};
use nexus::serve::metrics::{Gauges, Metrics, PoolGauge};
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

/// Runs a script with that input, if Python has the module.
fn check(module: &str, script: &str, input: &[u8]) {
    let import = Command::new("python3")
        .args(["-c", &format!("import {module}")])
        .stderr(Stdio::null())
        .status();
    if !import.is_ok_and(|status| status.success()) {
        println!("skipped: python3 has no module {module}");
        return;
    }
    let mut python = Command::new("python3")
        .args(["-c", script])
        .stdin(Stdio::piped())
        .spawn()
        .expect("python3 is here");
    let mut stdin = python.stdin.take().expect("it is piped");
    stdin.write_all(input).expect("the script reads all");
    drop(stdin);
    assert!(python.wait().expect("it ends").success(), "{module} objects");
}

/// The manifests of the tests, and those of real programs beside the project, where they are.
fn manifests() -> Vec<Manifest> {
    let top = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    for directory in [top.join("tests/manifests"), top.join("../shared/manifests")] {
        let Ok(entries) = std::fs::read_dir(&directory) else {
            println!("skipped: no directory {}", directory.display());
            continue;
        };
        for entry in entries {
            let path = entry.expect("an entry can be read").path();
            if path.extension().is_some_and(|extension| extension == "json") {
                let text = std::fs::read(&path).expect("a manifest can be read");
                // Some are there to be refused.
                found.extend(parse(&text, "x.json"));
            }
        }
    }
    assert!(found.len() >= 4, "{} manifests", found.len());
    found
}

/// Every manifest under a name of its own.
fn programs(manifests: &[Manifest]) -> Vec<Program<'_>> {
    let numbered = manifests.iter().enumerate();
    let named = numbered.map(|(number, manifest)| Program {
        target: Target {
            namespace: "default".into(),
            name: format!("{}-{number}", manifest.name),
            version: None,
        },
        manifest,
    });
    named.collect()
}

#[test]
fn the_document_is_openapi() {
    let manifests = manifests();
    let mut out = Vec::new();
    open_api(&programs(&manifests), true, &mut out);
    let script = "import json, sys, openapi_spec_validator as v; v.validate(json.load(sys.stdin))";
    check("openapi_spec_validator", script, &out);
}

#[test]
fn parameters_and_results_are_json_schema() {
    let manifests = manifests();
    let mut out = Vec::new();
    let mut text = JsonText::new(&mut out);
    text.begin(b'[');
    for program in programs(&manifests) {
        let inspected = Inspected {
            target: program.target,
            manifest: Some(program.manifest),
            state: "ready",
            inner: None,
        };
        inspect_json(&inspected, &mut text);
    }
    text.end(b']');
    let script = "\
import json, sys
from jsonschema import Draft202012Validator as Schema
for program in json.load(sys.stdin):
    for command in program['commands']:
        Schema.check_schema(command['parameters'])
        Schema.check_schema(command['returns'])
";
    check("jsonschema", script, &out);
}

#[test]
fn figures_are_prometheus_text() {
    let mut metrics = Metrics::new();
    let id = metrics.series("default/a\"b\\c\nd@1", "mean");
    metrics.begin(id);
    metrics.end(id, 1234, Some(Kind::Raised));
    let gauges = Gauges {
        uptime_ms: 1,
        connections: 1,
        deployments: vec![("ready", 2)],
        pools: vec![PoolGauge {
            deployment: "default/stats",
            pool: "py",
            waiting: 0,
            idle: 1,
            busy: 2,
            restarts: 0,
        }],
    };
    let mut text = String::new();
    metrics.write(&gauges, &mut text);
    let script = "\
import sys
from prometheus_client.parser import text_string_to_metric_families as parse
families = {family.name: family for family in parse(sys.stdin.read())}
label = families['nexus_calls'].samples[0].labels['deployment']
assert label == 'default/a\"b\\\\c\\nd@1', label
assert families['nexus_call_duration_seconds'].type == 'histogram'
";
    check("prometheus_client", script, text.as_bytes());
}
