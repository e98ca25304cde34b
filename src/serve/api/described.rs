//! What describes commands against the manifests of the tests: OpenAPI, parameters, the forms of deployments, the page.

use super::tests::{forms, request};
use super::*;
use crate::codec::json;
use crate::codec::json_text::JsonText;
use crate::error::{Error, Kind};
use crate::manifest::model::Manifest;
use crate::manifest::parse::parse;

fn target(name: &str, version: Option<&str>) -> Target {
    Target {
        namespace: "default".into(),
        name: name.into(),
        version: version.map(String::from),
    }
}

fn check_json(text: &[u8]) {
    let mut reader = json::Reader::new(text);
    let read = reader.skip().and_then(|_| reader.finish());
    assert!(read.is_ok(), "{read:?}: {}", String::from_utf8_lossy(text));
}

/// The manifests of the tests.
fn manifests() -> Vec<Manifest> {
    let texts: [&[u8]; 4] = [
        include_bytes!("../../../tests/manifests/forms.json"),
        include_bytes!("../../../tests/manifests/stats.json"),
        include_bytes!("../../../tests/manifests/single.json"),
        include_bytes!("../../../tests/manifests/weather.morloc.json"),
    ];
    texts.map(|text| parse(text, "x.json").unwrap()).into()
}

#[test]
fn parameters_are_described() {
    let manifest = forms();
    let check = |name: &str, expected: &str| {
        let mut out = Vec::new();
        input_schema(&manifest.types, command_named(&manifest, name).unwrap(), &mut out);
        assert_eq!(String::from_utf8_lossy(&out), expected);
    };
    check(
        "nothing",
        r#"{"type":"object","properties":{},"required":[],"additionalProperties":false}"#,
    );
    check(
        "maybe",
        r#"{"type":"object","properties":{"arg1":{"anyOf":[{"type":"string"},{"type":"null"}]}},"required":[],"additionalProperties":false}"#,
    );
    let integer = r#""type":"integer","format":"int32","minimum":-2147483648,"maximum":2147483647"#;
    let float = r#""anyOf":[{"type":"number","format":"double","minimum":-1.7976931348623157e308,"maximum":1.7976931348623157e308},{"enum":["NaN","Infinity","-Infinity"]}]"#;
    check(
        "all",
        &format!(
            concat!(
                r#"{{"type":"object","properties":{{"n":{{{integer},"description":"How many there are"}},"#,
                r#""xs":{{"type":"array","items":{{{float}}},"description":"The numbers"}},"#,
                r#""scale":{{{float},"description":"By what every number is multiplied before anything else is done with it","default":1.5}},"#,
                r#""title":{{"anyOf":[{{"type":"string"}},{{"type":"null"}}]}},"#,
                r#""verbose":{{"type":"boolean","description":"Say more","default":false}},"#,
                r#""style":{{"type":"object","properties":{{"width":{{{integer},"description":"In columns","default":80}},"#,
                r#""label":{{"type":"string","default":"plain"}},"#,
                r#""grid":{{"type":"boolean","description":"Draw a grid","default":false}}}},"#,
                r#""required":[],"additionalProperties":false,"description":"How it looks."}}}},"#,
                r#""required":["n","xs"],"additionalProperties":false}}"#
            ),
            integer = integer,
            float = float
        ),
    );
}

#[test]
fn every_command_is_in_the_document() {
    let manifests = manifests();
    let programs: Vec<Program> = manifests
        .iter()
        .enumerate()
        .map(|(position, manifest)| Program {
            target: target(&manifest.name, (position == 1).then_some("1.0")),
            manifest,
        })
        .collect();
    let mut out = Vec::new();
    open_api(&programs, true, &mut out);
    check_json(&out);
    let text = String::from_utf8_lossy(&out);
    for part in [
        r#""openapi":"3.1.0""#,
        r#""/v1/call/default/forms/math/same":{"post":{"operationId":"default/forms/math/same""#,
        r#""get":{"operationId":"get/default/forms/all""#,
        r#""/v1/call/default/stats@1.0/"#,
        r#""securitySchemes":{"token":"#,
        r#""security":[{"token":[]}]"#,
    ] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
    let mut open = Vec::new();
    open_api(&programs, false, &mut open);
    assert!(!String::from_utf8_lossy(&open).contains("security"));
    // Each path of the document leads to its command.
    for program in &programs {
        for command in &program.manifest.commands {
            let path = call_path(&program.target, command);
            if !text.contains(&format!("\"{path}\"")) {
                continue;
            }
            let Ok(Route::Call {
                target,
                command: name,
            }) = route(&request(&format!("POST {path}")), &Settings::default())
            else {
                panic!("{path} leads nowhere");
            };
            assert_eq!(target, program.target);
            assert!(std::ptr::eq(
                command_named(program.manifest, &name).unwrap(),
                command
            ));
        }
    }
}

#[test]
fn deployments_are_shown() {
    let manifest = parse(include_bytes!("../../../tests/manifests/single.json"), "x").unwrap();
    let error = Error::new(Kind::Manifest, "no").at("x:1");
    let inspected = Inspected {
        target: target("single", Some("2")),
        manifest: Some(&manifest),
        state: "ready",
        inner: Some(Inner {
            source: "single.manifest",
            generation: 2,
            calls: 1,
            waiting: 0,
            restarts: 3,
            error: Some(&error),
            pools: vec![InspectedPool {
                name: "py",
                lang: "py",
                state: "ready",
                pid: Some(71),
                workers: 2,
                busy: 1,
                waiting: 0,
                restarts: 3,
            }],
        }),
    };
    let mut out = Vec::new();
    inspect_json(&inspected, &mut JsonText::new(&mut out));
    check_json(&out);
    let text = String::from_utf8_lossy(&out);
    assert!(
        text.starts_with(
            r#"{"namespace":"default","name":"single","version":"2","state":"ready","source":"single.manifest","generation":2,"calls":1,"waiting":0,"restarts":3,"error":{"kind":"manifest","message":"no","place":"x:1"},"pools":[{"name":"py","lang":"py","state":"ready","pid":71,"workers":2,"busy":1,"waiting":0,"restarts":3}],"desc":["#
        ),
        "{text}"
    );
    let table = inspect_table(&inspected);
    assert!(
        table.starts_with(
            "default/single@2  ready\n  from single.manifest, generation 2, 1 calls, 0 waiting, 3 restarts\n  error: no at x:1\n\n  \
             POOL  STATE  PID  WORKERS  BUSY  WAITING  RESTARTS\n  py    ready  71   2        1     0        3\n\n"
        ),
        "{table}"
    );
    let mut public = inspected.clone();
    public.inner = None;
    let mut out = Vec::new();
    programs_json(&[public], &mut out);
    check_json(&out);
    assert!(!String::from_utf8_lossy(&out).contains("source"));
}

#[test]
fn signatures() {
    let manifest = forms();
    let check = |name: &str, expected: &str| {
        let command = command_named(&manifest, name).unwrap();
        assert_eq!(signature(&manifest.types, command), expected);
    };
    check(
        "all",
        "all(n: Int, xs: [Real], scale: Real = 1.5, title: ?Str = ..., verbose: Bool = false, style: Style = ...) -> Everything",
    );
    check("math same", "math same(n: j) -> j");
    check("nothing", "nothing() -> z");
}

#[test]
fn the_page_is_whole_and_small() {
    let files: [(Asset, &str, &[u8]); 3] = [
        (
            Asset::Html,
            "text/html; charset=utf-8",
            include_bytes!("../page/page.html"),
        ),
        (
            Asset::Style,
            "text/css; charset=utf-8",
            include_bytes!("../page/page.css"),
        ),
        (
            Asset::Script,
            "text/javascript; charset=utf-8",
            include_bytes!("../page/page.js"),
        ),
    ];
    for (asset, media_type, expected) in files {
        let answer = page(asset, &request("GET /"));
        assert_eq!(answer.status, 200);
        assert!(answer.body == expected);
        let header = |name: &str| {
            let found = answer.headers.iter().find(|(known, _)| *known == name);
            found.map_or("", |(_, value)| value).to_string()
        };
        assert_eq!(header("content-type"), media_type);
        assert!(header("content-security-policy").starts_with("default-src 'none'"));
        let again = page(
            asset,
            &request(&format!("GET /\nIf-None-Match: W/{}", header("etag"))),
        );
        assert_eq!((again.status, again.body.len()), (304, 0));
        // Nothing inline, nothing from elsewhere.
        let text = String::from_utf8_lossy(expected);
        for forbidden in [
            "http:",
            "https:",
            "<style",
            " style=",
            " onclick",
            "innerHTML",
            "eval(",
        ] {
            assert!(!text.contains(forbidden), "{forbidden}");
        }
    }
    let bytes: usize = files.iter().map(|(_, _, text)| text.len()).sum();
    assert!(bytes < 12 << 10, "the page has {bytes} bytes");
}
