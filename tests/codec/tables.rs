//! Tables of values and of mistakes.

use nexus::codec::schema::Types;
use nexus::codec::transcode::{Style, ValueError, json_to_msgpack, msgpack_to_json, msgpack_to_msgpack};

fn hex(bytes: &[u8]) -> String {
    let digits: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    digits.join(" ")
}

fn shown(error: ValueError) -> String {
    let hint = error.hint.map_or(String::new(), |hint| format!(" ({hint})"));
    format!("{}@{}: {}{hint}", error.path, error.offset, error.message)
}

/// JSON in, msgpack between, JSON out.
fn check(schema: &str, json: &str, msgpack: &str, back: &str) {
    let mut types = Types::default();
    let ty = types.parse(schema).unwrap();
    let mut bytes = Vec::new();
    json_to_msgpack(&types, ty, json.as_bytes(), &mut bytes)
        .map_err(shown)
        .unwrap();
    assert_eq!(hex(&bytes), msgpack, "{schema} {json}");
    let mut text = Vec::new();
    msgpack_to_json(&types, ty, &bytes, Style::Compact, &mut text)
        .map_err(shown)
        .unwrap();
    assert_eq!(String::from_utf8(text).unwrap(), back, "{schema} {json}");
    let mut again = Vec::new();
    msgpack_to_msgpack(&types, ty, &bytes, &mut again)
        .map_err(shown)
        .unwrap();
    assert_eq!(hex(&again), msgpack, "{schema} {json}");
}

/// JSON that does not fit, and what is said.
fn refuse(schema: &str, json: &str, expected: &str) {
    let mut types = Types::default();
    let ty = types.parse(schema).unwrap();
    let mut bytes = vec![7];
    let error = json_to_msgpack(&types, ty, json.as_bytes(), &mut bytes).unwrap_err();
    assert_eq!(shown(error), expected, "{schema} {json}");
    assert_eq!(bytes, [7], "{schema} {json}");
}

#[test]
fn values() {
    check("z", "null", "c0", "null");
    check("b", " true ", "c3", "true");
    check("i1", "-128", "d0 80", "-128");
    check(
        "u8",
        "18446744073709551615",
        "cf ff ff ff ff ff ff ff ff",
        "18446744073709551615",
    );
    check(
        "i8",
        "-9223372036854775808",
        "d3 80 00 00 00 00 00 00 00",
        "-9223372036854775808",
    );
    check(
        "j",
        "18446744073709551616",
        "c7 09 0b 01 00 00 00 00 00 00 00 00",
        "18446744073709551616",
    );
    check("f8", "1", "cb 3f f0 00 00 00 00 00 00", "1");
    check("f8", "-0", "cb 80 00 00 00 00 00 00 00", "-0");
    check(
        "f8",
        "\"-Infinity\"",
        "cb ff f0 00 00 00 00 00 00",
        "\"-Infinity\"",
    );
    check("f4", "0.1", "ca 3d cc cc cd", "0.1");
    check("s", r#""a\u00e9\n""#, "a4 61 c3 a9 0a", "\"aé\\n\"");
    check("y", "\"AQI=\"", "c4 02 01 02", "\"AQI=\"");
    check("??s", "null", "c0", "null");
    check("[i4]", "[1,-1]", "d7 03 01 00 00 00 ff ff ff ff", "[1,-1]");
    check("[u1]", "[1,2,3]", "c7 03 05 01 02 03", "[1,2,3]");
    check("[f8]", "[]", "c7 00 0a", "[]");
    check("[s]", "[\"a\"]", "91 a1 61", "[\"a\"]");
    check("(i4,s)", "[1,\"a\"]", "92 01 a1 61", "[1,\"a\"]");
    check(
        "{a:j,b:?s,c:b}",
        r#"{"c":true,"a":1}"#,
        "83 a1 61 01 a1 62 c0 a1 63 c3",
        r#"{"a":1,"b":null,"c":true}"#,
    );
    check(
        "&1T{v:j,n:?^1T}",
        r#"{"v":1,"n":{"v":2}}"#,
        "82 a1 76 01 a1 6e 82 a1 76 02 a1 6e c0",
        r#"{"v":1,"n":{"v":2,"n":null}}"#,
    );
}

#[test]
fn mistakes() {
    refuse(
        "[{age:i1}]",
        r#"[{"age":1},{"age":300}]"#,
        "[1].age@18: expected an integer of 8 bits (i1), found 300 (i1 goes from -128 to 127)",
    );
    refuse(
        "i4",
        "1.0",
        "@0: expected an integer of 32 bits (i4), found 1.0 (write an integer without a point and without an exponent)",
    );
    refuse(
        "{name:s}",
        r#"{"nmae":"x"}"#,
        "@1: unknown key \"nmae\" (did you mean \"name\"?)",
    );
    refuse(
        "{a:s,b:s}",
        r#"{"b":"x","b":"y"}"#,
        "@9: key \"b\" stands twice in one record",
    );
    refuse("{a:s,b:s}", r#"{"b":"x"}"#, "@0: missing key \"a\"");
    refuse("(s,s)", r#"["x"]"#, "@0: expected 2 values, found 1");
    refuse(
        "f8",
        "1e400",
        "@0: expected a number of 64 bits (f8), found 1e400 (it is too large; infinity is written \"Infinity\")",
    );
    refuse("s", "[\"x\"] ", "@0: expected a string (s), found an array");
    refuse("b", "true false", "@5: found 'f', expected the end of the text");
}
