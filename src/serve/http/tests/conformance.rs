//! What the public test suites for HTTP/1.1 servers ask, and RFC 9112 besides: bytes in, statuses and the state after them
//! out. Framing attacks are in `smuggling`.

use super::echo::check;

/// Every case of h1spec, in its order; where that allows several statuses, ours.
#[test]
fn h1spec() {
    const GET: &str = "GET / HTTP/1.1\r\nHost: example.com\r\n";
    let cases: &[(&str, &str, &str)] = &[
        ("fragmented method", "G", "waits"),
        ("fragmented target 1", "GET ", "waits"),
        ("fragmented target 2", "GET /hello", "waits"),
        ("fragmented target 3", "GET /hello ", "waits"),
        ("fragmented version", "GET /hello HTTP", "waits"),
        ("fragmented request line", "GET /hello HTTP/1.1", "waits"),
        ("fragmented line end 1", "GET /hello HTTP/1.1\r", "waits"),
        ("fragmented line end 2", "GET /hello HTTP/1.1\r\n", "waits"),
        ("fragmented name", "GET /hello HTTP/1.1\r\nHos", "waits"),
        ("fragmented value 1", "GET /hello HTTP/1.1\r\nHost:", "waits"),
        ("fragmented value 2", "GET /hello HTTP/1.1\r\nHost: ", "waits"),
        (
            "fragmented value 3",
            "GET /hello HTTP/1.1\r\nHost: localhost",
            "waits",
        ),
        (
            "fragmented value 4",
            "GET /hello HTTP/1.1\r\nHost: localhost\r",
            "waits",
        ),
        (
            "fragmented request",
            "GET /hello HTTP/1.1\r\nHost: localhost\r\n",
            "waits",
        ),
        (
            "fragmented end",
            "GET /hello HTTP/1.1\r\nHost: localhost\r\n\r",
            "waits",
        ),
        ("no version", "GET / \r\n\r\n", "400 closed"),
        (
            "expect without body",
            &format!("{GET}Expect: 100-continue\r\n\r\n"),
            "200 kept",
        ),
        ("valid get", &format!("{GET}\r\n"), "200 kept"),
        (
            "valid get, edge cases",
            "GET / HTTP/1.1\r\nhoSt:\texample.com\r\nempty:\r\n\r\n",
            "200 kept",
        ),
        (
            "brackets in a name",
            &format!("{GET}X-Invalid[]: test\r\n\r\n"),
            "400 closed",
        ),
        (
            "no host",
            "GET / HTTP/1.1\r\nContent-Length: 5\r\n\r\n",
            "400 closed",
        ),
        (
            "two hosts",
            &format!("{GET}Host: example.org\r\n\r\n"),
            "400 closed",
        ),
        (
            "overflowing negative length",
            &format!("{GET}Content-Length: -123456789123456789123456789\r\n\r\n"),
            "400 closed",
        ),
        (
            "negative length",
            &format!("{GET}Content-Length: -1234\r\n\r\n"),
            "400 closed",
        ),
        (
            "length in letters",
            &format!("{GET}Content-Length: abc\r\n\r\n"),
            "400 closed",
        ),
        (
            "empty value",
            &format!("{GET}X-Empty-Header: \r\n\r\n"),
            "200 kept",
        ),
        (
            "control byte in a value",
            &format!("{GET}X-Bad: test\x07\r\n\r\n"),
            "400 closed",
        ),
        (
            "version 9.9",
            "GET / HTTP/9.9\r\nHost: example.com\r\n\r\n",
            "505 closed",
        ),
        (
            "words before",
            "Extra lineGET / HTTP/1.1\r\nHost: example.com\r\n\r\n",
            "400 closed",
        ),
        (
            "bare carriage return",
            &format!("{GET}\rSome-Header: Test\r\n\r\n"),
            "400 closed",
        ),
        (
            "valid post",
            "POST / HTTP/1.1\r\nHost: example.com\r\nContent-Length: 5\r\n\r\nhello",
            "200 kept",
        ),
        (
            "both framings",
            &format!("{GET}Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n"),
            "400 closed",
        ),
    ];
    for (name, bytes, expected) in cases {
        check(name, bytes.as_bytes(), expected);
    }
}

/// A request with this line and these lines after it, each without its end.
fn head(line: &str, headers: &[&str]) -> Vec<u8> {
    let mut head = format!("{line}\r\n");
    for header in headers {
        head.push_str(header);
        head.push_str("\r\n");
    }
    (head + "\r\n").into_bytes()
}

#[test]
fn request_lines() {
    let cases: &[(&str, &str)] = &[
        ("GET / HTTP/1.1", "200 kept"),
        ("GET /a/b?c=d&e HTTP/1.1", "200 kept"),
        ("GET /? HTTP/1.1", "200 kept"),
        ("GET /%zz HTTP/1.1", "200 kept"), // The path is read later.
        ("GET /a\"<>\\^`{|} HTTP/1.1", "200 kept"),
        ("get / HTTP/1.1", "200 kept"), // Another method, which routes refuse.
        ("PURGE / HTTP/1.1", "200 kept"),
        ("X!#$%&'*+-.^_`|~9 / HTTP/1.1", "200 kept"),
        ("OPTIONS * HTTP/1.1", "200 kept"),
        ("OPTIONS / HTTP/1.1", "200 kept"),
        ("GET http://h/a?b HTTP/1.1", "200 kept"),
        ("GET HTTP://h:80 HTTP/1.1", "200 kept"),
        ("GET https://[::1]:80?q HTTP/1.1", "200 kept"),
        ("GET / HTTP/1.0", "200 closed"),
        ("CONNECT h:443 HTTP/1.1", "501 closed"),
        ("GET / HTTP/2.0", "505 closed"),
        ("PRI * HTTP/2.0", "505 closed"),
        ("GET / HTTP/1.2", "505 closed"),
        ("GET / HTTP/0.9", "505 closed"),
        ("GET / HTTP/1", "400 closed"),
        ("GET / HTTP/1.", "400 closed"),
        ("GET / HTTP/1.10", "400 closed"),
        ("GET / HTTP/01.01", "400 closed"),
        ("GET / HTTP/ 1.1", "400 closed"),
        ("GET / HTTP/1.1 ", "400 closed"),
        ("GET / http/1.1", "400 closed"),
        ("GET / HTTPS/1.1", "400 closed"),
        ("GET / ICE/1.1", "400 closed"),
        ("GET /", "400 closed"),
        ("GET", "400 closed"),
        ("GET ", "400 closed"),
        ("GET  / HTTP/1.1", "400 closed"),
        ("GET /  HTTP/1.1", "400 closed"),
        ("GET HTTP/1.1", "400 closed"),
        (" GET / HTTP/1.1", "400 closed"),
        ("GET\t/ HTTP/1.1", "400 closed"),
        ("GET /\tHTTP/1.1", "400 closed"),
        ("GET /a b HTTP/1.1", "400 closed"),
        ("GET /a#b HTTP/1.1", "400 closed"),
        ("GET /é HTTP/1.1", "400 closed"),
        ("GET * HTTP/1.1", "400 closed"),
        ("GET a HTTP/1.1", "400 closed"),
        ("GET ?a HTTP/1.1", "400 closed"),
        ("GET ftp://h/ HTTP/1.1", "400 closed"),
        ("GET http:/h/ HTTP/1.1", "400 closed"),
        ("GET http:///a HTTP/1.1", "400 closed"),
        ("GET http://u@h/ HTTP/1.1", "400 closed"),
        ("GET http://:80/ HTTP/1.1", "400 closed"),
        ("G(T / HTTP/1.1", "400 closed"),
        ("Gé / HTTP/1.1", "400 closed"),
        ("G\0T / HTTP/1.1", "400 closed"),
        ("GET /\0 HTTP/1.1", "400 closed"),
        ("GET /\x7f HTTP/1.1", "400 closed"),
        ("   ", "400 closed"),
        ("\u{16}\u{3}\u{1}", "400 closed"), // The first bytes of TLS.
    ];
    for (line, expected) in cases {
        check(line, &head(line, &["Host: h"]), expected);
    }
}

#[test]
fn headers() {
    let cases: &[(&str, &str)] = &[
        ("A: b", "200 kept"),
        ("A:b \t", "200 kept"),
        ("A: b\tc", "200 kept"),
        ("A: é", "200 kept"),
        ("A: :", "200 kept"),
        ("a!#$%&'*+-.^_`|~9: x", "200 kept"),
        ("Connection: upgrade\r\nUpgrade: h2c", "200 kept"),
        ("Connection: keep-alive", "200 kept"),
        ("Connection: close", "200 closed"),
        ("connection: x,\tCLOSE", "200 closed"),
        ("Connection: keep-alive\r\nConnection: close", "200 closed"),
        ("Connection: closed", "200 kept"),
        ("Expect: 100-Continue", "200 kept"),
        ("Expect: 200-ok", "417 closed"),
        ("Expect: ", "417 closed"),
        ("Expect: 100-continue, x", "417 closed"),
        ("A : b", "400 closed"),
        ("A\t: b", "400 closed"),
        (" A: b", "400 closed"),
        ("A: b\r\n c", "400 closed"),
        ("A: b\r\n\tc", "400 closed"),
        ("A: b\r\n ", "400 closed"),
        (": b", "400 closed"),
        ("A", "400 closed"),
        ("A b: c", "400 closed"),
        ("A(b): c", "400 closed"),
        ("é: c", "400 closed"),
        ("A: \0", "400 closed"),
        ("A: \x1b[0m", "400 closed"),
        ("A: \x7f", "400 closed"),
        ("A\0: b", "400 closed"),
        ("A: b\rc", "400 closed"),
        ("A: b\r\rC: d", "400 closed"),
        ("A: b\nC: d", "400 closed"),
        ("A: b\n", "400 closed"),
        ("\n", "400 closed"),
        ("\r", "400 closed"),
    ];
    for (header, expected) in cases {
        check(header, &head("GET / HTTP/1.1", &["Host: h", header]), expected);
    }
    check(
        "not UTF-8",
        b"GET / HTTP/1.1\r\nHost: h\r\nA: \xff\r\n\r\n",
        "200 kept",
    );
    check(
        "space before the first",
        b"GET / HTTP/1.1\r\n \r\nHost: h\r\n\r\n",
        "400 closed",
    );
}

#[test]
fn hosts() {
    for host in [
        "h",
        "h:80",
        "h:",
        "a-b.c_d~",
        "127.0.0.1:8080",
        "[::1]",
        "[fe80::1%25eth0]:1",
        "H",
        "1",
    ] {
        check(
            host,
            &head("GET / HTTP/1.1", &[&format!("Host: {host}")]),
            "200 kept",
        );
        check(
            host,
            &head(&format!("GET http://{host}/ HTTP/1.1"), &["Host: h"]),
            "200 kept",
        );
    }
    for host in [
        "", "a b", "a,b", "u@h", "h/p", "h?q", "h#f", "h:x", "h:8:0", "::1", "[::1", "]", "[h]]", ":80", "é",
    ] {
        check(
            host,
            &head("GET / HTTP/1.1", &[&format!("Host: {host}")]),
            "400 closed",
        );
    }
    check("old, no host", &head("GET / HTTP/1.0", &[]), "200 closed");
    check(
        "old, two hosts",
        &head("GET / HTTP/1.0", &["Host: h", "Host: h"]),
        "400 closed",
    );
    check(
        "the same twice",
        &head("GET / HTTP/1.1", &["Host: h", "hOST: h"]),
        "400 closed",
    );
    check(
        "absolute, no host",
        &head("GET http://h/ HTTP/1.1", &[]),
        "400 closed",
    );
}

#[test]
fn old_clients() {
    check(
        "closed",
        b"GET / HTTP/1.0\r\n\r\nGET / HTTP/1.0\r\n\r\n",
        "200 closed",
    );
    let kept = b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n";
    let outcome = check("kept", &kept.repeat(2), "200 200 kept");
    assert_eq!(outcome.answers()[0].header("connection"), Some("keep-alive"));
    let body = b"POST / HTTP/1.0\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\nhi";
    check("a body, no word before it", body, "200 closed");
    check(
        "another expectation",
        b"GET / HTTP/1.0\r\nExpect: x\r\n\r\n",
        "200 closed",
    );
}

#[test]
fn empty_lines() {
    check("one before", b"\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n", "200 kept");
    check(
        "two before",
        b"\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n",
        "400 closed",
    );
    check(
        "one line feed before",
        b"\nGET / HTTP/1.1\r\nHost: h\r\n\r\n",
        "400 closed",
    );
    check("only one", b"\r\n", "kept");
    check("half of one", b"\r", "kept");
    let between =
        b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nx\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n\r\n";
    check("one between and one after", between, "200 200 kept");
}

#[test]
fn connections() {
    let get = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";
    check("pipelined", get.repeat(3).as_bytes(), "200 200 200 kept");
    check("then a part", format!("{get}GET").as_bytes(), "200 waits");
    check(
        "then garbage",
        format!("{get}\x01{get}").as_bytes(),
        "200 400 closed",
    );
    let head = "HEAD / HTTP/1.1\r\nHost: h\r\n\r\n";
    let outcome = check(
        "an error after HEAD has a body",
        format!("{head}\n").as_bytes(),
        "200 400 closed",
    );
    assert!(!outcome.answers()[1].body.is_empty());
    let last = "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
    let outcome = check(
        "nothing after the last",
        format!("{get}{last}{get}").as_bytes(),
        "200 200 closed",
    );
    assert_eq!(outcome.answers()[0].header("connection"), None);
    assert_eq!(outcome.answers()[1].header("connection"), Some("close"));
    assert_eq!(outcome.requests.len(), 2);
}

#[test]
fn requests_are_what_was_sent() {
    let bytes = b"PATCH http://h:1/p%20q?a=b?c HTTP/1.1\r\nHost: other\r\nX-A:  1 \r\nx-a: \xc3\xa9\r\nX-B: \xff\r\n\r\n";
    let outcome = check("absolute", bytes, "200 kept");
    let request = &outcome.requests[0];
    assert_eq!(
        (request.method.name(), request.target.as_str()),
        ("PATCH", "http://h:1/p%20q?a=b?c")
    );
    assert_eq!(
        (request.path(), request.query(), request.host()),
        ("/p%20q", "a=b?c", "h:1")
    );
    assert_eq!(
        (request.header("X-a"), request.header("x-b"), request.header("x")),
        (Some("1"), Some("\u{fffd}"), None)
    );
    assert_eq!(request.headers.all("x-a").collect::<Vec<_>>(), ["1", "é"]);
    let names: Vec<&str> = request.headers.iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["Host", "X-A", "x-a", "X-B"]);
    for (line, path, query, host) in [
        ("GET / HTTP/1.1", "/", "", "h"),
        ("GET /?a HTTP/1.1", "/", "a", "h"),
        ("GET //x://y?a HTTP/1.1", "//x://y", "a", "h"),
        ("GET http://i HTTP/1.1", "/", "", "i"),
        ("GET http://i?/a HTTP/1.1", "/", "/a", "i"),
        ("OPTIONS * HTTP/1.1", "*", "", "h"),
    ] {
        let outcome = check(line, &head(line, &["Host: h"]), "200 kept");
        let request = &outcome.requests[0];
        assert_eq!(
            (request.path(), request.query(), request.host()),
            (path, query, host),
            "{line}"
        );
    }
}
