//! Requests against what comes of them: routes, arguments, results. Tables through one `check` each.

use super::*;
use crate::codec::schema::Types;
use crate::codec::transcode::{Style, msgpack_to_json};
use crate::error::{Error, Kind};
use crate::manifest::model::{Command, Manifest};
use crate::manifest::parse::parse;
use crate::serve::http::{Connection, Request, Response};

/// A request from lines: method and target, headers, an empty line, a body.
pub(super) fn request(text: &str) -> Request {
    let (head, body) = text.split_once("\n\n").unwrap_or((text, ""));
    let (first, headers) = head.split_once('\n').unwrap_or((head, ""));
    let mut raw = format!("{first} HTTP/1.1\r\n");
    for header in headers.lines() {
        raw.push_str(&format!("{header}\r\n"));
    }
    if !headers.contains("Host: ") {
        raw.push_str("Host: localhost\r\n");
    }
    raw.push_str(&format!("Content-Length: {}\r\n\r\n{body}", body.len()));
    let mut connection = Connection::new(0);
    connection.handle_input(raw.as_bytes(), 0);
    match connection.poll_request() {
        Some(request) => *request,
        None => panic!("{text}: {:?}", connection.output().escape_ascii().to_string()),
    }
}

pub(super) fn forms() -> Manifest {
    let text = include_bytes!("../../../tests/manifests/forms.json");
    parse(text, "forms.json").unwrap()
}

/// Status, the message with its place and hint, and the headers of a failure.
fn shown(failure: &Failure) -> String {
    let error = &failure.error;
    let mut out = format!("{} {error}", failure.status);
    if let Some(hint) = &error.hint {
        out.push_str(&format!(" ({hint})"));
    }
    for (name, value) in &failure.headers {
        out.push_str(&format!(" [{name}: {value}]"));
    }
    out
}

#[test]
fn routes() {
    let check = |text: &str, expected: &str| {
        let found = match route(&request(text), &Settings::default()) {
            Ok(Route::Options(response)) => format!("{} {:?}", response.status, response.headers),
            Ok(route) => format!("{route:?}"),
            Err(failure) => shown(&failure),
        };
        assert_eq!(found, expected, "{text}");
    };
    let call = |name: &str, version: &str, command: &str| {
        format!(
            "Call {{ target: Target {{ namespace: \"default\", name: {name:?}, version: {version} }}, command: {command:?} }}"
        )
    };
    check("POST /v1/call/default/stats/mean", &call("stats", "None", "mean"));
    check(
        "GET /v1/call/default/stats/mean?xs=1",
        &call("stats", "None", "mean"),
    );
    check("HEAD /v1/call/default/stats/mean", &call("stats", "None", "mean"));
    let versioned = call("stats", "Some(\"2\")", "summary mean");
    check("POST /v1/call/default/stats@2/summary/mean", &versioned);
    check("POST /v1/call/default/stats%402/summary%20mean", &versioned);
    check("GET /", "Page(Html)");
    check("GET /page.css", "Page(Style)");
    check("GET /page.js", "Page(Script)");
    check("GET /healthz", "Health");
    check("GET /readyz?verbose", "Ready");
    check("GET /metrics", "Metrics");
    check("GET /openapi.json", "OpenApi");
    check("POST /mcp", "Mcp");
    check("GET /v1/programs", "Programs");
    check(
        "GET /v1/programs/a/b@c",
        "Inspect(Target { namespace: \"a\", name: \"b\", version: Some(\"c\") })",
    );
    check("GET /v1/admin/deployments", "Admin(List)");
    check("POST /v1/admin/deployments", "Admin(Deploy)");
    let target = "Target { namespace: \"a\", name: \"b\", version: None }";
    check("GET /v1/admin/deployments/a/b", &format!("Admin(Show({target}))"));
    check(
        "DELETE /v1/admin/deployments/a/b",
        &format!("Admin(Delete({target}))"),
    );
    check(
        "GET /v1/admin/deployments/a/b/logs",
        &format!("Admin(Logs({target}))"),
    );
    check(
        "POST /v1/admin/deployments/a/b/reload",
        &format!("Admin(Reload({target}))"),
    );
    check("POST /v1/admin/reload", "Admin(ReloadAll)");
    check("GET /v1/admin/ps", "Admin(Ps)");
    check("POST /v1/admin/kill", "Admin(Kill)");
    check(
        "OPTIONS /v1/call/default/stats/mean",
        "204 [(\"allow\", \"GET, HEAD, POST, OPTIONS\")]",
    );
    check(
        "OPTIONS *",
        "204 [(\"allow\", \"GET, HEAD, POST, DELETE, OPTIONS\")]",
    );
    check(
        "PUT /v1/admin/kill",
        "405 /v1/admin/kill does not take PUT, it takes POST, OPTIONS [allow: POST, OPTIONS]",
    );
    check(
        "GET /healtz",
        "404 nothing is at /healtz (did you mean /healthz?)",
    );
    check(
        "GET /v1/cal/a/b/c",
        "404 nothing is at /v1/cal/a/b/c (did you mean /v1/call/a/b/c?)",
    );
    check(
        "GET /favicon.ico",
        "404 nothing is at /favicon.ico (/openapi.json lists all that can be called)",
    );
    check(
        "POST /v1/call/default/stats@/mean",
        "404 a program is named with a part left empty, expected namespace/name or namespace/name@version",
    );
    check(
        "GET /%zz",
        "400 '%zz' in the target of the request, expected two hexadecimal digits after '%'",
    );
}

#[test]
fn origins() {
    let check = |origins: &[&str], text: &str, expected: &str| {
        let settings = Settings {
            has_metacall: false,
            cors_origins: origins.iter().map(|origin| origin.to_string()).collect(),
            hosts: vec!["localhost".into(), "[::1]".into()],
        };
        let request = request(text);
        let found = match route(&request, &settings) {
            Ok(Route::Options(response)) => response,
            Ok(_) => Response::new(200, "text/plain", Vec::new()),
            Err(failure) => failure.response(),
        };
        let mut found = found;
        finish(&settings, &request, &mut found);
        let told = found
            .headers
            .iter()
            .filter(|(name, _)| *name == "vary" || name.ends_with("origin"));
        let told: Vec<String> = told.map(|(name, value)| format!("{name}: {value}")).collect();
        assert_eq!(
            format!("{} {}", found.status, told.join(", ")).trim_end(),
            expected,
            "{text}"
        );
    };
    let call = "POST /v1/call/a/b/c\nHost: localhost:8080";
    check(&[], call, "200");
    check(&[], &format!("{call}\nOrigin: http://localhost:8080"), "200");
    check(&[], &format!("{call}\nOrigin: http://evil.org"), "403");
    check(&[], &format!("{call}\nOrigin: null"), "403");
    check(&[], &format!("{call}\nSec-Fetch-Site: cross-site"), "403");
    check(&[], &format!("{call}\nSec-Fetch-Site: same-origin"), "200");
    check(
        &[],
        "GET /healthz\nHost: [::1]:80\nOrigin: http://evil.org",
        "200",
    );
    check(&[], "GET /healthz\nHost: evil.org:80", "421");
    check(&["http://a.org"], call, "200 vary: Origin");
    check(
        &["http://a.org"],
        &format!("{call}\nOrigin: http://a.org"),
        "200 vary: Origin, access-control-allow-origin: http://a.org",
    );
    check(
        &["http://a.org"],
        &format!("{call}\nOrigin: http://b.org"),
        "403 vary: Origin",
    );
    check(
        &["*"],
        &format!("{call}\nOrigin: http://b.org"),
        "200 access-control-allow-origin: *",
    );
    let preflight = "OPTIONS /v1/call/a/b/c\nHost: localhost\nAccess-Control-Request-Method: POST";
    check(
        &["http://a.org"],
        &format!("{preflight}\nOrigin: http://a.org"),
        "204 vary: Origin, access-control-allow-origin: http://a.org",
    );
    check(
        &["http://a.org"],
        &format!("{preflight}\nOrigin: http://b.org"),
        "204 vary: Origin",
    );
}

#[test]
fn tokens() {
    let check = |header: &str, expected: u16| {
        let found = authorize(&request(&format!("GET /v1/admin/ps{header}")), "secret");
        assert_eq!(
            found.map_or_else(|failure| failure.status, |()| 200),
            expected,
            "{header}"
        );
    };
    check("", 401);
    check("\nAuthorization: Bearer secret", 200);
    check("\nAuthorization: bearer secret", 200);
    check("\nAuthorization: Bearer secre", 401);
    check("\nAuthorization: Bearer secrets", 401);
    check("\nAuthorization: Basic secret", 401);
}

/// Arguments as JSON, or the failure.
fn bound(manifest: &Manifest, command: &Command, request: &Request) -> String {
    match arguments(manifest, command, request) {
        Ok(values) => {
            let mut out = String::new();
            for (value, arg) in values.iter().zip(&command.args) {
                let mut json = Vec::new();
                msgpack_to_json(&manifest.types, arg.ty(), value, Style::Compact, &mut json).unwrap();
                out.push_str(&String::from_utf8_lossy(&json));
                out.push(' ');
            }
            out.trim_end().to_string()
        }
        Err(failure) => shown(&failure),
    }
}

#[test]
fn arguments_by_name() {
    let manifest = forms();
    let check = |command: &str, body: &str, expected: &str| {
        let command = command_named(&manifest, command).unwrap();
        let text = format!("POST /\nContent-Type: application/json\n\n{body}");
        assert_eq!(bound(&manifest, command, &request(&text)), expected, "{body}");
    };
    let plain = r#"3 [1,2] 1.5 null false {"width":80,"label":"plain","grid":false}"#;
    check("all", r#"{"n":3,"xs":[1,2]}"#, plain);
    check("all", r#"{"xs":[1,2],"n":3,"title":null}"#, plain);
    check(
        "all",
        r#"{"n":3,"xs":[],"scale":2,"title":"t","verbose":true,"style":{"grid":true,"width":1}}"#,
        r#"3 [] 2 "t" true {"width":1,"label":"plain","grid":true}"#,
    );
    check(
        "all",
        r#"{"n":3,"xs":[],"no-verbose":false}"#,
        r#"3 [] 1.5 null true {"width":80,"label":"plain","grid":false}"#,
    );
    check("all", "[3,[1,2]]", plain);
    check(
        "all",
        r#"[3,[],2,"x",true,{"label":"l"}]"#,
        r#"3 [] 2 "x" true {"width":80,"label":"l","grid":false}"#,
    );
    check("must", r#"{"one":1,"pair":{"a":2}}"#, r#"1 {"a":2,"b":null}"#);
    check("nothing", "{}", "");
    check("nothing", "[]", "");
    check("maybe", "{}", "null");
    check(
        "pairs",
        r#"{"arg1":[["a",1]],"arg2":[[2]]}"#,
        r#"[["a",1]] [[2]]"#,
    );
    check("real", r#"{"x":"NaN"}"#, r#""NaN""#);
    check(
        "all",
        r#"{"n":3,"xs":[1,"a"]}"#,
        "400 argument xs: expected a number of 64 bits (f8), found \"a\" at xs[1] (line 1, column 16) (the only \
         strings that are numbers are \"NaN\", \"Infinity\" and \"-Infinity\")",
    );
    check(
        "people",
        "{\n  \"people\": [{\"name\":\"a\",\"score\":1,\"tags\":[3]}]}",
        "400 argument people: expected a string (s), found 3 at people[0].tags[0] (line 2, column 44) (write a string in double quotes)",
    );
    check("all", r#"{"n":3}"#, "400 command all needs the argument xs");
    check(
        "must",
        r#"{"one":1,"pair":{}}"#,
        "400 argument pair needs the field \"a\"",
    );
    check("must", r#"{"one":1}"#, "400 argument pair needs the field \"a\"");
    check(
        "must",
        r#"{"one":1,"pair":{"a":true}}"#,
        "400 argument pair.a: expected an integer of 32 bits (i4), found true at pair.a (line 1, column 22)",
    );
    check(
        "must",
        r#"{"one":1,"pair":{"a":1,"c":2}}"#,
        "400 argument pair has no field \"c\"",
    );
    check(
        "all",
        r#"{"m":3}"#,
        "400 command all has no argument \"m\" (its arguments are n, xs, scale, title, verbose, style)",
    );
    check(
        "all",
        r#"{"verbos":true}"#,
        "400 command all has no argument \"verbos\" (did you mean \"verbose\"?)",
    );
    check(
        "all",
        r#"{"n":3,"n":4}"#,
        "400 argument n is given twice, expected it once",
    );
    check(
        "all",
        r#"{"verbose":true,"no_verbose":true}"#,
        "400 argument verbose is given twice, expected it once",
    );
    check(
        "text",
        "[1,2]",
        "400 argument text: expected a string (s), found 1 at text (line 1, column 2) (write a string in double quotes)",
    );
    check(
        "text",
        r#"["a","b"]"#,
        "400 command text takes one argument, found more",
    );
    check(
        "text",
        r#""a""#,
        "400 the body is a string, expected arguments by name in an object, or by position in an array",
    );
    check(
        "text",
        r#"{"text":"a"}}"#,
        "400 the body is not valid JSON: found '}', expected the end of the text at line 1, column 13",
    );
    check(
        "text",
        r#"{"text":"a""#,
        "400 the body is not valid JSON: found the end of the text, expected ',' or '}' at line 1, column 12",
    );
}

#[test]
fn arguments_in_other_forms() {
    let manifest = forms();
    let check = |command: &str, text: &str, expected: &str| {
        let command = command_named(&manifest, command).unwrap();
        assert_eq!(bound(&manifest, command, &request(text)), expected, "{text}");
    };
    let plain = r#"3 [1,2] 1.5 null false {"width":80,"label":"plain","grid":false}"#;
    check("all", "GET /?n=3&xs=[1,2]", plain);
    check("all", "GET /?n=3&xs=%5B1%2C+2%5D", plain);
    check("all", "POST /?n=3&xs=[1,2]", plain);
    check(
        "all",
        "GET /?n=3&xs=[]&verbose&label=3&grid=true&title=a+b",
        r#"3 [] 1.5 "a b" true {"width":80,"label":"3","grid":true}"#,
    );
    check(
        "all",
        "GET /?n=3&xs=[]&style={\"width\":7}",
        r#"3 [] 1.5 null false {"width":7,"label":"plain","grid":false}"#,
    );
    check("text", "GET /?text=null", "\"null\"");
    check("maybe", "GET /?arg1=null", "null");
    check("maybe", "GET /", "null");
    check("bytes", "GET /?arg1=aGk=", "\"aGk=\"");
    check("real", "GET /?x=-Infinity", "\"-Infinity\"");
    check(
        "real",
        "GET /?x=@x",
        "400 argument x: expected a number of 64 bits (f8), found \"@x\"",
    );
    check(
        "real",
        "GET /?x=1&x=2",
        "400 argument x is given twice, expected it once",
    );
    check(
        "real",
        "GET /?y=1",
        "400 command real has no argument \"y\" (its arguments are x)",
    );
    check(
        "real",
        "GET /?x=1\n\n{}",
        "400 GET has a body, expected the arguments in the query",
    );
    check("real", "GET /", "400 command real needs the argument x");
    check("nothing", "POST /\nContent-Type: application/json", "");
    check("nothing", "POST /", "");
    check(
        "real",
        "POST /?x=1\nContent-Type: application/json\n\n{}",
        "400 arguments stand in the body and in the query, expected one of them",
    );
    let msgpack = "POST /\nContent-Type: application/msgpack\n\n";
    check(
        "text",
        &format!("{msgpack}\u{1}"),
        "400 the body is an integer, expected arguments by name in an object, or by position in an array",
    );
    let hint = "(send 'Content-Type: application/json', or application/msgpack) \
         [accept-post: application/json, application/msgpack]";
    check(
        "text",
        "POST /\n\n{}",
        &format!("415 the body has no content type {hint}"),
    );
    check(
        "text",
        "POST /\nContent-Type: text/plain\n\n{}",
        &format!("415 a body of the content type 'text/plain' is not understood {hint}"),
    );
    check(
        "text",
        "POST /\nContent-Type: application/json; charset=latin1\n\n{}",
        &format!(
            "415 a body of the content type 'application/json; charset=latin1' is not understood {hint}"
        ),
    );
    check(
        "text",
        "POST /\nContent-Type: Application/JSON;charset=\"UTF-8\"\n\n[\"é\"]",
        "\"é\"",
    );
}

#[test]
fn arguments_in_msgpack() {
    let manifest = forms();
    let check = |command: &str, body: &[u8], expected: &str| {
        let command = command_named(&manifest, command).unwrap();
        let mut request = request("POST /\nContent-Type: application/msgpack");
        request.body = body.into();
        assert_eq!(bound(&manifest, command, &request), expected, "{body:?}");
    };
    check("text", b"\x81\xa4text\xa1a", "\"a\"");
    check("text", b"\x91\xa1a", "\"a\"");
    check("numbers", b"\x81\xa2xs\x93\x01\x02\x03", "[1,2,3]");
    check("must", b"\x92\x01\x81\xa1a\x02", r#"1 {"a":2,"b":null}"#);
    check(
        "numbers",
        b"\x81\xa2xs\x92\x01\xa1a",
        "400 argument xs: expected a number of 64 bits (f8), found \"a\" at xs[1] (byte 6)",
    );
    check(
        "text",
        b"\x81\x01\xa1a",
        "400 a key of the body is an integer, expected the name of an argument",
    );
    check(
        "text",
        b"\x81\xa4tex",
        "400 the body is not valid msgpack: msgpack value is cut off",
    );
    check(
        "text",
        b"\x91\xa1a\x00",
        "400 bytes follow the value in the body, expected one value at byte 3",
    );
    check(
        "text",
        b"\x91\xd9\xff",
        "400 argument text: msgpack value is cut off at text (byte 1)",
    );
    check(
        "text",
        b"\xdd\xff\xff\xff\xff",
        "400 the body is not valid msgpack: msgpack value is cut off",
    );
}

/// A command that gives that type, and its manifest.
fn giving(schema: &str) -> Manifest {
    let text = format!(
        r#"{{"version":1,"name":"x","pools":[],"commands":[{{"name":"f","type":"pure","arg_schemas":[],
        "args":[],"return_schema":"{schema}","expr":{{"tag":"lit","schema":"z","value":"null"}}}}]}}"#
    );
    parse(text.as_bytes(), "x.json").unwrap_or_else(|errors| panic!("{schema}: {errors:?}"))
}

#[test]
fn results() {
    let check = |schema: &str, json: &str, accept: &str, expected: &str| {
        let manifest = giving(schema);
        let command = &manifest.commands[0];
        let mut value = Vec::new();
        let json = json.as_bytes();
        crate::codec::transcode::json_to_msgpack(&manifest.types, command.returns.ty, json, &mut value)
            .unwrap();
        let head = match accept {
            "" => "POST /".to_string(),
            accept => format!("POST /\nAccept: {accept}"),
        };
        let found = match form(&manifest, command, &request(&head))
            .and_then(|form| result(&manifest, command, form, &value))
        {
            Ok(response) => {
                let media_type = response.headers.iter().find(|(name, _)| *name == "content-type");
                let media_type = media_type.map_or("-", |(_, value)| value);
                format!(
                    "{} {media_type} {}",
                    response.status,
                    response.body.escape_ascii()
                )
            }
            Err(failure) => shown(&failure),
        };
        assert_eq!(found, expected, "{schema} {accept}");
    };
    check("i4", "3", "", "200 application/json 3\\n");
    check("i4", "3", "*/*", "200 application/json 3\\n");
    check(
        "i4",
        "3",
        "text/html, application/*;q=0.5",
        "200 application/json 3\\n",
    );
    check("i4", "3", "application/msgpack", "200 application/msgpack \\x03");
    check(
        "i4",
        "3",
        "application/vnd.msgpack",
        "200 application/vnd.msgpack \\x03",
    );
    check(
        "i4",
        "3",
        "application/json;q=0.1, application/msgpack;q=0.2",
        "200 application/msgpack \\x03",
    );
    check(
        "i4",
        "3",
        "application/json;q=0, */*;q=0.1",
        "200 application/msgpack \\x03",
    );
    check(
        "i4",
        "3",
        "application/json;q=7, application/msgpack",
        "200 application/msgpack \\x03",
    );
    check("z", "null", "", "200 application/json null\\n");
    check("s", "\"a\"", "", "200 application/json \\\"a\\\"\\n");
    check("s", "\"a\"", "text/plain", "200 text/plain; charset=utf-8 a");
    check("s", "\"a\"", "text/*", "200 text/plain; charset=utf-8 a");
    check("?s", "null", "text/plain", "204 - ");
    check("y", "\"aGk=\"", "", "200 application/json \\\"aGk=\\\"\\n");
    check(
        "y",
        "\"aGk=\"",
        "application/octet-stream",
        "200 application/octet-stream hi",
    );
    check("<image/png>y", "\"aGk=\"", "", "200 image/png hi");
    check("<image/png>y", "\"aGk=\"", "image/*", "200 image/png hi");
    check(
        "<image/png>y",
        "\"aGk=\"",
        "application/json",
        "200 application/json \\\"aGk=\\\"\\n",
    );
    check("<text/html>s", "\"<p>\"", "", "200 text/html; charset=utf-8 <p>");
    check("<int>i4", "1", "", "200 application/json 1\\n");
    check(
        "[i4]",
        "[1,2]",
        "application/x-ndjson",
        "200 application/x-ndjson 1\\n2\\n",
    );
    check("[s]", "[]", "application/x-ndjson", "200 application/x-ndjson ");
    check(
        "?[s]",
        "null",
        "application/x-ndjson",
        "200 application/x-ndjson ",
    );
    check(
        "i4",
        "3",
        "text/event-stream",
        "200 text/event-stream event: result\\ndata: 3\\n\\n",
    );
    check(
        "i4",
        "3",
        "image/png",
        "406 the result of f has no form that 'image/png' accepts (its forms are application/json, application/msgpack, \
         application/x-msgpack, application/vnd.msgpack, text/event-stream)",
    );
    let manifest = giving("i4");
    let wrong = result(&manifest, &manifest.commands[0], JSON, b"\xa1a").unwrap_err();
    assert_eq!(
        shown(&wrong),
        "502 result does not fit its type i4: expected an integer of 32 bits (i4), found \"a\" at result (byte 0)"
    );
}

#[test]
fn lines_come_in_bounded_chunks() {
    let mut types = Types::default();
    let ty = types.parse("[i4]").unwrap();
    let mut value = Vec::new();
    crate::codec::transcode::json_to_msgpack(&types, ty, b"[1,2,3,4,5]", &mut value).unwrap();
    let mut lines = Lines::new(&types, ty, &value).unwrap();
    let mut out = Vec::new();
    let mut ends = Vec::new();
    while lines.next_chunk(&types, 3, &mut out).unwrap() {
        ends.push(out.len());
    }
    assert_eq!(
        (ends, out.as_slice()),
        (vec![4, 8], b"1\n2\n3\n4\n5\n".as_slice())
    );
}

#[test]
fn events() {
    let check = |told: &Event, expected: &str| {
        let mut out = Vec::new();
        event(told, &mut out);
        assert_eq!(String::from_utf8_lossy(&out), expected);
    };
    let (done, label) = (3.0, "a\nb");
    let (total, text, level) = (Some(9.0), "x", "info");
    check(
        &Event::Progress { done, total, label },
        "event: progress\ndata: {\"done\":3,\"total\":9,\"label\":\"a\\nb\"}\n\n",
    );
    let total = None;
    check(
        &Event::Progress {
            done,
            total,
            label: "",
        },
        "event: progress\ndata: {\"done\":3,\"total\":null,\"label\":\"\"}\n\n",
    );
    check(
        &Event::Log { level, text },
        "event: log\ndata: {\"level\":\"info\",\"text\":\"x\"}\n\n",
    );
    check(&Event::Result(b"[1]"), "event: result\ndata: [1]\n\n");
    check(
        &Event::Error(&Error::new(Kind::Raised, "no")),
        "event: error\ndata: {\"error\":{\"kind\":\"raised\",\"message\":\"no\"}}\n\n",
    );
    check(&Event::Alive, ":\n\n");
}

#[test]
fn commands_by_name() {
    let manifest = forms();
    let check = |name: &str, expected: &str| {
        let found = match command_named(&manifest, name) {
            Ok(command) => format!("{:?} {}", command.group, command.name),
            Err(failure) => shown(&failure),
        };
        assert_eq!(found, expected);
    };
    check("all", "None all");
    check("math same", "Some(\"math\") same");
    check("string same", "Some(\"string\") same");
    check(
        "same",
        "404 program forms has no command 'same' (did you mean math same?)",
    );
    check(
        "peple",
        "404 program forms has no command 'peple' (did you mean people?)",
    );
}
