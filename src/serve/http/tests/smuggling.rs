//! Framing that two readers could understand differently: each row is refused, or means one thing. Of the collections that
//! are tried on servers (CL.TE, TE.CL, TE.TE, chunk tricks), all that a connection can see.

use super::echo::check;

const AFTER: &str = "GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n";

/// A request with these headers and this body, and another after it.
fn post(headers: &str, body: &str) -> Vec<u8> {
    format!("POST / HTTP/1.1\r\nHost: h\r\n{headers}\r\n\r\n{body}{AFTER}").into_bytes()
}

fn check_body(headers: &str, body: &str, expected: &str) {
    let name = format!("{headers} {body}");
    let outcome = check(&name, &post(headers, body), "200 200 kept");
    assert_eq!(outcome.requests[0].body, expected.as_bytes(), "{name}");
}

#[test]
fn lengths() {
    for (header, body) in [
        ("Content-Length: 0", ""),
        ("Content-Length: 5", "hello"),
        ("content-length:5 \t", "hello"),
        ("Content-Length:  \t5", "hello"),
        ("Content-Length: 0005", "hello"),
        ("Content-Length: 5\r\nTransfer_Encoding: chunked", "hello"),
        ("Content_Length: 9\r\nContent-Length: 5", "hello"),
        ("A: Content-Length: 9", ""),
    ] {
        check_body(header, body, body);
    }
    for value in [
        "",
        "+5",
        "-5",
        "-0",
        "5,5",
        "5, 5",
        "5,",
        ",5",
        "5;5",
        "5 5",
        "5 x",
        "x5",
        "0x5",
        "0o5",
        "5_0",
        "5.0",
        "5e0",
        "'5'",
        "\"5\"",
        "٥",
        "18446744073709551616",
        "99999999999999999999999",
        "NaN",
        "5\x0b",
        "\x0c5",
    ] {
        check(
            value,
            &post(&format!("Content-Length: {value}"), "hello"),
            "400 closed",
        );
    }
    for headers in [
        "Content-Length: 5\r\nContent-Length: 5",
        "Content-Length: 5\r\ncontent-length: 6",
        "Content-Length: 0\r\nContent-Length: 5",
        "Content-Length : 5",
        " Content-Length: 5",
        "Content-Length: 5\r\n 0",
        "Content-Length:\r\n 5",
        "Content-Length\0: 5",
        "A: b\nContent-Length: 5",
        "A: b\rContent-Length: 5",
    ] {
        check(headers, &post(headers, "hello"), "400 closed");
    }
    check(
        "beyond the limit",
        &post("Content-Length: 18446744073709551615", ""),
        "413 closed",
    );
}

#[test]
fn codings() {
    for header in [
        "Transfer-Encoding: chunked",
        "transfer-encoding:CHUNKED",
        "Transfer-Encoding:\tChunked \t",
        "Transfer-Encoding: chunked\r\nX: Content-Length: 9",
    ] {
        check_body(header, "5\r\nhello\r\n0\r\n\r\n", "hello");
    }
    for (value, status) in [
        ("gzip, chunked", 501),
        ("gzip,chunked", 501),
        ("xchunked, chunked", 501),
        ("", 400),
        (",chunked", 400),
        ("chunked,", 400),
        ("chunked,chunked", 400),
        ("chunked, gzip", 400),
        ("chunked, identity", 400),
        ("gzip", 400),
        ("identity", 400),
        ("xchunked", 400),
        ("chunkedx", 400),
        ("chunked x", 400),
        ("chunked;a=b", 400),
        ("\"chunked\"", 400),
        ("'chunked'", 400),
        ("chun\u{212a}ed", 400), // The Kelvin sign, whose small letter is k.
        ("\x0bchunked", 400),
        ("\x0cchunked", 400),
        ("chunked\0", 400),
        ("\u{a0}chunked", 400),
        ("\u{feff}chunked", 400),
        ("chunked\u{85}", 400),
    ] {
        let headers = format!("Transfer-Encoding: {value}");
        check(
            &headers,
            &post(&headers, "0\r\n\r\n"),
            &format!("{status} closed"),
        );
    }
    for headers in [
        "Content-Length: 5\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 5",
        "Transfer-Encoding: Chunked\r\nContent-Length: 0",
        "Transfer-Encoding: xchunked\r\nContent-Length: 5",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding:",
        "Transfer-Encoding : chunked",
        " Transfer-Encoding: chunked",
        "Transfer-Encoding: x\r\n chunked",
        "Transfer-Encoding:\r\n chunked",
        "Transfer-Encoding\x0b: chunked",
        "X: y\rTransfer-Encoding: chunked",
        "X: y\nTransfer-Encoding: chunked",
    ] {
        check(headers, &post(headers, "0\r\n\r\n"), "400 closed");
    }
    check(
        "in two headers",
        &post("Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked", ""),
        "501 closed",
    );
    check(
        "old",
        b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "400 closed",
    );
}

#[test]
fn chunks() {
    for (body, expected) in [
        ("0\r\n\r\n", ""),
        ("000\r\n\r\n", ""),
        ("5\r\nhello\r\n0\r\n\r\n", "hello"),
        ("00000000000000000005\r\nhello\r\n0\r\n\r\n", "hello"),
        ("5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n", "hello world"),
        (
            "A\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n",
            "01234567890123456789",
        ),
        ("2\r\n\r\n\r\n0\r\n\r\n", "\r\n"),
        ("5;a\r\nhello\r\n0;b\r\n\r\n", "hello"),
        ("5;a=b;c=\"d;\\\"\t é\"\r\nhello\r\n0\r\n\r\n", "hello"),
        ("0\r\nX-Sum: abc\r\ny:\r\n\r\n", ""),
        ("0\r\nContent-Length: 5\r\nHost: x\r\n\r\n", ""),
    ] {
        check_body("Transfer-Encoding: chunked", body, expected);
    }
    for body in [
        "\r\nhello\r\n0\r\n\r\n",
        "Z\r\nhello\r\n0\r\n\r\n",
        "g\r\n",
        "0x5\r\nhello\r\n0\r\n\r\n",
        "+5\r\nhello\r\n0\r\n\r\n",
        "-1\r\nhello\r\n0\r\n\r\n",
        " 5\r\nhello\r\n0\r\n\r\n",
        "\t5\r\nhello\r\n0\r\n\r\n",
        "5 \r\nhello\r\n0\r\n\r\n",
        "5 ;a\r\nhello\r\n0\r\n\r\n",
        "1_0\r\n",
        "5,5\r\nhello\r\n0\r\n\r\n",
        "5.0\r\nhello\r\n0\r\n\r\n",
        "5h\r\nhello\r\n0\r\n\r\n",
        "５\r\nhello\r\n0\r\n\r\n",
        "10000000000000000\r\n",
        "fffffffffffffffff\r\n",
        "10000000000000005\r\nhello\r\n0\r\n\r\n",
        "5\nhello\r\n0\r\n\r\n",
        "5\rhello\r\n0\r\n\r\n",
        "5\r\r\nhello\r\n0\r\n\r\n",
        "5\0\r\nhello\r\n0\r\n\r\n",
        "5;\r\nhello\r\n0\r\n\r\n",
        "5;\nhello\r\n0\r\n\r\n",
        "5;a\nhello\r\n0\r\n\r\n",
        "5;a\rb\r\nhello\r\n0\r\n\r\n",
        "5;a=\r\nhello\r\n0\r\n\r\n",
        "5;a=\"b\r\nhello\r\n0\r\n\r\n",
        "5;a=\"\r\n\"\r\nhello\r\n0\r\n\r\n",
        "5;a=\"b\"c\r\nhello\r\n0\r\n\r\n",
        "5;a[=x\r\nhello\r\n0\r\n\r\n",
        "5;=x\r\nhello\r\n0\r\n\r\n",
        "5;a b\r\nhello\r\n0\r\n\r\n",
        "5;\0a\r\nhello\r\n0\r\n\r\n",
        "5;a=b\x01\r\nhello\r\n0\r\n\r\n",
        "5\r\nhello0\r\n\r\n",
        "5\r\nhello!!\r\n0\r\n\r\n",
        "5\r\nhello\n0\r\n\r\n",
        "5\r\nhello\r0\r\n\r\n",
        "5\r\nhello\n\r0\r\n\r\n",
        "5\r\nhell\r\n0\r\n\r\n",
        "0\r\n\n",
        "0\n\r\n",
        "0\r\n\rX",
        "0\r\nX-Sum\r\n\r\n",
        "0\r\nX Sum: a\r\n\r\n",
        "0\r\nX-Sum : a\r\n\r\n",
        "0\r\n: a\r\n\r\n",
        "0\r\n X: a\r\n\r\n",
        "0\r\nX: a\r\n b\r\n\r\n",
        "0\r\nX: a\n\r\n",
        "0\r\nX: a\rb\r\n\r\n",
        "0\r\nX: \0\r\n\r\n",
        "0\r\né: a\r\n\r\n",
    ] {
        check(body, &post("Transfer-Encoding: chunked", body), "400 closed");
    }
    check(
        "a size beyond the limit",
        &post("Transfer-Encoding: chunked", "ffffffffffffffff\r\n"),
        "413 closed",
    );
    for body in [
        "5",
        "5\r\nhel",
        "5\r\nhello\r\n",
        "5\r\nhello\r\n0\r\n",
        "0\r\nX: a\r\n",
        "0\r\n\r",
    ] {
        let head = "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n";
        check(body, format!("{head}{body}").as_bytes(), "waits");
    }
}

#[test]
fn a_body_is_no_request() {
    let length = AFTER.len();
    let inner = format!("GET / HTTP/1.1\r\nHost: h\r\nContent-Length: {length}\r\n\r\n{AFTER}");
    let outcome = check("in a GET", inner.as_bytes(), "200 kept");
    assert_eq!(outcome.requests[0].body, AFTER.as_bytes());
    let chunk = format!("{length:x}\r\n{AFTER}\r\n0\r\n\r\n");
    check_body("Transfer-Encoding: chunked", &chunk, AFTER);
}

#[test]
fn the_word_before_a_body() {
    let head = "POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\n";
    check("no body", format!("{head}\r\n").as_bytes(), "200 kept");
    check(
        "an empty body",
        format!("{head}Content-Length: 0\r\n\r\n").as_bytes(),
        "200 kept",
    );
    check(
        "before the body",
        format!("{head}Content-Length: 5\r\n\r\n").as_bytes(),
        "100 waits",
    );
    check(
        "with the body",
        format!("{head}Content-Length: 5\r\n\r\nhello").as_bytes(),
        "100 200 kept",
    );
    let chunked = format!("{head}Transfer-Encoding: chunked\r\n\r\n");
    check("chunks", format!("{chunked}0\r\n\r\n").as_bytes(), "100 200 kept");
    check("bad chunks", format!("{chunked}x").as_bytes(), "100 400 closed");
    check(
        "too large",
        format!("{head}Content-Length: 99999999999\r\n\r\n").as_bytes(),
        "413 closed",
    );
    check(
        "both",
        format!("{head}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n").as_bytes(),
        "400 closed",
    );
}
