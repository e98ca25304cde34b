//! Tables of values and of mistakes.

use nexus::codec::schema::Types;
use nexus::codec::transcode::{
    Style, ValueError, check_msgpack, json_to_msgpack, msgpack_to_json, msgpack_to_msgpack,
};

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
    check(
        "<Json>s",
        " [1, {\"a\":\n null}] ",
        "b1 5b 31 2c 20 7b 22 61 22 3a 20 20 6e 75 6c 6c 7d 5d",
        "[1, {\"a\":  null}]",
    );
    check("?<Json>s", "null", "c0", "null");
    check("<Json>s", "null", "a4 6e 75 6c 6c", "null");
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
    // Integers as a writer of floats writes them.
    check("i1", "-128.0", "d0 80", "-128");
    check("u1", "2.55e2", "cc ff", "255");
    check("u1", "-0.0", "00", "0");
    check(
        "[i2]",
        "[1.0, 1e3, 120E-1]",
        "c7 06 02 01 00 e8 03 0c 00",
        "[1,1000,12]",
    );
    check(
        "u8",
        "18446744073709551615.0",
        "cf ff ff ff ff ff ff ff ff",
        "18446744073709551615",
    );
    check("j", "1.0", "01", "1");
    check("j", "-1e3", "d1 fc 18", "-1000");
    check(
        "j",
        "18446744073709551616.000",
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

/// Msgpack that does not fit, and what is said.
fn refuse_msgpack(schema: &str, hex: &str, expected: &str) {
    let mut types = Types::default();
    let ty = types.parse(schema).unwrap();
    let digits = hex.split_whitespace();
    let bytes: Vec<u8> = digits
        .map(|digits| u8::from_str_radix(digits, 16).unwrap())
        .collect();
    let mut out = vec![7];
    let error = msgpack_to_msgpack(&types, ty, &bytes, &mut out).unwrap_err();
    assert_eq!(shown(error), expected, "{schema} {hex}");
    assert_eq!(out, [7], "{schema} {hex}");
    assert!(check_msgpack(&types, ty, &bytes).is_err());
}

/// Msgpack of any form, and its canonical one.
fn canonical(schema: &str, hex: &str, expected: &str) {
    let mut types = Types::default();
    let ty = types.parse(schema).unwrap();
    let digits = hex.split_whitespace();
    let bytes: Vec<u8> = digits
        .map(|digits| u8::from_str_radix(digits, 16).unwrap())
        .collect();
    let mut out = Vec::new();
    msgpack_to_msgpack(&types, ty, &bytes, &mut out)
        .map_err(shown)
        .unwrap();
    assert_eq!(self::hex(&out), expected, "{schema} {hex}");
}

#[test]
fn layout() {
    let mut types = Types::default();
    let ty = types.parse("{a:[u1],b:[[s]],c:{d:?s},e:[s],f:{}}").unwrap();
    let json = r#"{"f":{}, "e":[],"c":{},"b":[["x","y"],[]],"a":[1,2]}"#;
    let mut bytes = Vec::new();
    json_to_msgpack(&types, ty, json.as_bytes(), &mut bytes).unwrap();
    let mut text = Vec::new();
    msgpack_to_json(&types, ty, &bytes, Style::Pretty, &mut text).unwrap();
    let expected = "{
  \"a\": [
    1,
    2
  ],
  \"b\": [
    [
      \"x\",
      \"y\"
    ],
    []
  ],
  \"c\": {
    \"d\": null
  },
  \"e\": [],
  \"f\": {}
}";
    assert_eq!(String::from_utf8(text).unwrap(), expected);
}

#[test]
fn canonical_forms() {
    canonical("i4", "d3 00 00 00 00 00 00 00 05", "05");
    canonical("j", "c7 04 0b 00 00 00 05", "05");
    canonical(
        "j",
        "c7 09 0b 00 ff ff ff ff ff ff ff ff",
        "cf ff ff ff ff ff ff ff ff",
    );
    canonical(
        "j",
        "c7 0a 0b 00 00 80 00 00 00 00 00 00 00",
        "cf 80 00 00 00 00 00 00 00",
    );
    canonical("f8", "2a", "cb 40 45 00 00 00 00 00 00");
    canonical("f8", "ca 3f 80 00 00", "cb 3f f0 00 00 00 00 00 00");
    canonical("f4", "cb 3f b9 99 99 99 99 99 9a", "ca 3d cc cc cd");
    canonical("f4", "ce 01 00 00 01", "ca 4b 80 00 00");
    canonical("[u2]", "92 01 cd 01 00", "d6 06 01 00 00 01");
    canonical("[f4]", "dd 00 00 00 01 01", "d6 09 00 00 80 3f");
    canonical("s", "db 00 00 00 01 61", "a1 61");
    canonical("y", "c6 00 00 00 01 61", "c4 01 61");
    canonical("{a:j,b:?s}", "92 01 c0", "82 a1 61 01 a1 62 c0");
    canonical("{a:j,b:?s}", "81 d9 01 61 01", "82 a1 61 01 a1 62 c0");
    canonical("{a:j,b:s}", "82 a1 62 a1 78 a1 61 01", "82 a1 61 01 a1 62 a1 78");
}

#[test]
fn mistakes_in_msgpack() {
    refuse_msgpack(
        "i1",
        "cc 80",
        "@0: expected an integer of 8 bits (i1), found 128 (i1 goes from -128 to 127)",
    );
    refuse_msgpack(
        "u4",
        "ff",
        "@0: expected an unsigned integer of 32 bits (u4), found -1 (u4 goes from 0 to 4294967295)",
    );
    refuse_msgpack(
        "j",
        "cb 3f f0 00 00 00 00 00 00",
        "@0: expected an integer (j), found the float 1",
    );
    refuse_msgpack(
        "f4",
        "cb 7e 37 e4 3c 88 00 75 9c",
        "@0: expected a number of 32 bits (f4), found the float 1e300",
    );
    refuse_msgpack("[s]", "92 a1 78 01", "[1]@3: expected a string (s), found 1");
    refuse_msgpack("s", "a1 ff", "@0: string is not valid UTF-8");
    refuse_msgpack("s", "c4 01 61", "@0: expected a string (s), found bytes");
    refuse_msgpack(
        "[f8]",
        "d6 09 00 00 80 3f",
        "@0: expected a list of a number of 64 bits (f8), found a packed list of f4",
    );
    refuse_msgpack(
        "[f8]",
        "d6 0a 00 00 80 3f",
        "@0: packed list of f8 has 4 bytes (the length is a multiple of the element's width)",
    );
    refuse_msgpack("a:3u1", "d5 05 01 02", "@0: expected 3 values, found 2");
    refuse_msgpack(
        "[[u1]]",
        "91 92 01 c0",
        "[0][1]@3: expected an unsigned integer of 8 bits (u1), found nil",
    );
    refuse_msgpack("(j,j)", "91 01", "@0: expected 2 values, found 1");
    refuse_msgpack(
        "{name:s}",
        "81 a4 6e 6d 61 65 a1 78",
        "@1: unknown key \"nmae\" (did you mean \"name\"?)",
    );
    refuse_msgpack(
        "{a:?s}",
        "82 a1 61 c0 a1 61 c0",
        "@4: key \"a\" stands twice in one record",
    );
    refuse_msgpack("{a:s}", "80", "@0: missing key \"a\"");
    refuse_msgpack("{a:s}", "81 01 02", "@1: expected a string as key, found 1");
    refuse_msgpack(
        "{a:{b:[j]}}",
        "81 a1 61 81 a1 62 91 c3",
        ".a.b[0]@7: expected an integer (j), found true",
    );
    refuse_msgpack("j", "", "@0: msgpack value is cut off");
    refuse_msgpack("[j]", "dd ff ff ff ff", "@0: msgpack value is cut off");
    refuse_msgpack("[j]", "91 c1", "[0]@1: byte 0xc1 is not msgpack");
    refuse_msgpack("j", "01 02", "@1: found bytes after the end of the value");
    refuse_msgpack("j", "c7 00 0b", "@0: integer of no bytes");
    refuse_msgpack(
        "\\(j)s",
        "01",
        "@0: a function has no text form, so it can be neither argument nor result",
    );
    refuse_msgpack(
        "[F]",
        "91 01",
        "[0]@1: a table or stream handle (F) has no text form, so it can be neither argument nor result",
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
        "1.5",
        "@0: expected an integer of 32 bits (i4), found 1.5 (write an integer without a point and without an exponent)",
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
    refuse(
        "[s]",
        "[hello]",
        "[0]@1: found 'h', expected a value (write a string in double quotes)",
    );
    refuse(
        "[s]",
        "[12]",
        "[0]@1: expected a string (s), found 12 (write a string in double quotes)",
    );
    refuse(
        "[b]",
        "[True]",
        "[0]@1: found 'T', expected a value (write true or false)",
    );
    refuse(
        "[j]",
        "[1e-3]",
        "[0]@1: expected an integer (j), found 1e-3 (write an integer without a point and without an exponent)",
    );
    refuse(
        "j",
        "1e309",
        "@0: expected an integer (j), found 1e309 (write an integer without a point and without an exponent)",
    );
    refuse(
        "i1",
        "12.8e1",
        "@0: expected an integer of 8 bits (i1), found 12.8e1 (i1 goes from -128 to 127)",
    );
    refuse(
        "[u8]",
        "[18446744073709551616.0]",
        "[0]@1: expected an unsigned integer of 64 bits (u8), found 18446744073709551616.0 (u8 goes from 0 to 18446744073709551615)",
    );
    refuse(
        "f8",
        "\"1\"",
        "@0: expected a number of 64 bits (f8), found \"1\" (the only strings that are numbers are \"NaN\", \"Infinity\" and \"-Infinity\")",
    );
    refuse(
        "f4",
        "1e39",
        "@0: expected a number of 32 bits (f4), found 1e39 (it is too large; infinity is written \"Infinity\")",
    );
    refuse(
        "?[i4]",
        "[1,null]",
        "[1]@3: expected an integer of 32 bits (i4), found null",
    );
    refuse("[i4]", "[1 2]", "@3: found '2', expected ',' or ']'");
    refuse("[i4]", "[1,]", "[1]@3: found ']', expected a value");
    refuse("[i4]", "[01]", "@2: found '1', expected ',' or ']'");
    refuse("[f8]", "[1.]", "[0]@3: found ']', expected a digit");
    refuse("a:2j", "[1]", "@0: expected 2 values, found 1");
    refuse("(j,j)", "[1,2,3]", "@0: expected 2 values, found more");
    refuse(
        "{a:{b:[u1]}}",
        r#"{"a":{"b":[1,-1]}}"#,
        ".a.b[1]@13: expected an unsigned integer of 8 bits (u1), found -1 (u1 goes from 0 to 255)",
    );
    refuse(
        "{alpha:?j,beta:?j}",
        r#"{"gamma":1}"#,
        "@1: unknown key \"gamma\" (the keys are alpha, beta)",
    );
    refuse(
        "{}",
        r#"{"a":1}"#,
        "@1: unknown key \"a\" (the record has no keys)",
    );
    refuse(
        "y",
        "\"QQ=\"",
        "@0: expected bytes in base64 (y), found \"QQ=\" (base64 has 4 of A-Z a-z 0-9 + / for 3 bytes, and = to fill up the end; it is wrong from character 4 on)",
    );
    refuse("z", "0", "@0: expected null (z), found 0");
    refuse(
        "\\(j)s",
        "1",
        "@0: a function has no text form, so it can be neither argument nor result",
    );
}

#[test]
fn any_json_is_on_one_line_whoever_wrote_it() {
    let mut types = Types::default();
    let ty = types.parse("<Json>s").unwrap();
    let mut canonical = Vec::new();
    msgpack_to_msgpack(&types, ty, b"\xa8 [1\r\r\n] ", &mut canonical).unwrap();
    assert_eq!(canonical, b"\xa6[1   ]");
}

#[test]
fn text_that_is_no_json_is_refused() {
    refuse(
        "<Json>s",
        "[1,",
        "@3: found the end of the text, expected a value",
    );
    let mut types = Types::default();
    let ty = types.parse("<Json>s").unwrap();
    let error = check_msgpack(&types, ty, &[0xa3, b'N', b'a', b'N']).unwrap_err();
    assert_eq!(shown(error), "@0: expected JSON text (<Json>s), found \"NaN\"");
}
