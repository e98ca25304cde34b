//! What is deep, large or endless, and sinks that take text away or close.

use nexus::codec::schema::Types;
use nexus::codec::transcode::{
    Closed, Sink, Style, check_msgpack, json_to_msgpack, msgpack_to_json, msgpack_to_msgpack,
};
use nexus::limits::{DEPTH_MAX, INTEGER_BYTES_MAX, INTEGER_DIGITS_MAX};

/// Whether a value that nests `open` in itself so many times passes, in every direction.
fn check_depth(schema: &str, open: &str, inmost: &str, close: &str, fits: bool) {
    // The stack that the limit of depth was made for.
    let walk = move |schema: &str, text: String| {
        let mut types = Types::default();
        let ty = types.parse(schema).unwrap();
        let mut bytes = Vec::new();
        let read = json_to_msgpack(&types, ty, text.as_bytes(), &mut bytes);
        if !fits {
            let error = read.unwrap_err();
            assert_eq!(
                error.message,
                format!("value nests deeper than {DEPTH_MAX} levels")
            );
            return;
        }
        read.unwrap();
        let (mut back, mut again) = (Vec::new(), Vec::new());
        check_msgpack(&types, ty, &bytes).unwrap();
        msgpack_to_json(&types, ty, &bytes, Style::Compact, &mut back).unwrap();
        assert!(back == text.as_bytes());
        msgpack_to_json(&types, ty, &bytes, Style::Pretty, &mut Vec::new()).unwrap();
        msgpack_to_msgpack(&types, ty, &bytes, &mut again).unwrap();
        assert!(again == bytes);
    };
    let levels = DEPTH_MAX + usize::from(!fits);
    let text = [open.repeat(levels), inmost.into(), close.repeat(levels)].concat();
    let schema = schema.to_string();
    let thread = std::thread::Builder::new().stack_size(1 << 20);
    thread.spawn(move || walk(&schema, text)).unwrap().join().unwrap();
}

#[test]
fn deep_values() {
    for fits in [true, false] {
        check_depth("&1T[^1T]", "[", "[]", "]", fits);
        check_depth("&1T[?^1T]", "[", "[null]", "]", fits);
        check_depth("&1T(?^1T)", "[", "[null]", "]", fits);
        check_depth("&1T{a:?^1T}", "{\"a\":", "{\"a\":null}", "}", fits);
        check_depth("&1T{a\"b:?^1T}", "{\"a\\\"b\":", "{\"a\\\"b\":null}", "}", fits);
    }
}

#[test]
fn deep_msgpack_is_refused() {
    let mut types = Types::default();
    for schema in ["&1T[^1T]", "&1T(^1T,^1T)", "&1T{a:^1T}", "[[[[i1]]]]"] {
        let ty = types.parse(schema).unwrap();
        for byte in [0x91, 0x92, 0x81, 0xdd, 0xa1] {
            assert!(check_msgpack(&types, ty, &vec![byte; 1 << 20]).is_err());
        }
    }
}

#[test]
fn integers_have_a_limit() {
    let mut types = Types::default();
    let ty = types.parse("[j]").unwrap();
    let mut bytes = Vec::new();
    let longest = format!("[1,-{}]", "9".repeat(INTEGER_DIGITS_MAX));
    json_to_msgpack(&types, ty, longest.as_bytes(), &mut bytes).unwrap();
    let mut text = Vec::new();
    msgpack_to_json(&types, ty, &bytes, Style::Compact, &mut text).unwrap();
    assert!(text == longest.as_bytes());
    let error = json_to_msgpack(&types, ty, longest.replace('-', "9").as_bytes(), &mut bytes).unwrap_err();
    assert_eq!(error.message, "integer has more than 100000 digits");
    assert_eq!(error.path, "[1]");
    let len = INTEGER_BYTES_MAX as u32 + 1;
    let mut large = vec![0x91, 0xc9];
    large.extend(len.to_be_bytes());
    large.extend([11, 1]);
    large.resize(large.len() + INTEGER_BYTES_MAX, 0);
    let error = check_msgpack(&types, ty, &large).unwrap_err();
    assert_eq!(error.message, "integer has more than 41525 bytes");
}

/// Takes text away in pieces, up to a limit.
struct Pieces {
    buffer: Vec<u8>,
    taken: Vec<u8>,
    most: usize,
}

impl Sink for Pieces {
    fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.buffer
    }

    fn flush_if_large(&mut self) -> Result<(), Closed> {
        if self.buffer.len() > 100 {
            assert!(self.buffer.len() < 200, "values are small, so pieces are");
            self.taken.append(&mut self.buffer);
        }
        if self.taken.len() > self.most {
            Err(Closed)
        } else {
            Ok(())
        }
    }
}

#[test]
fn text_is_taken_away_in_pieces() {
    let mut types = Types::default();
    for (schema, item) in [
        ("[f8]", "0.1"),
        ("[s]", "\"text\""),
        ("[{a:i4,b:[u1]}]", "{\"a\":-1,\"b\":[1,2,3]}"),
    ] {
        let ty = types.parse(schema).unwrap();
        let text = format!("[{}{item}]", format!("{item},").repeat(999));
        let mut bytes = Vec::new();
        json_to_msgpack(&types, ty, text.as_bytes(), &mut bytes).unwrap();
        let mut pieces = Pieces {
            buffer: Vec::new(),
            taken: Vec::new(),
            most: usize::MAX,
        };
        msgpack_to_json(&types, ty, &bytes, Style::Compact, &mut pieces).unwrap();
        pieces.taken.append(&mut pieces.buffer);
        assert_eq!(String::from_utf8_lossy(&pieces.taken), text);

        pieces.taken.clear();
        pieces.most = 1000;
        let error = msgpack_to_json(&types, ty, &bytes, Style::Compact, &mut pieces).unwrap_err();
        assert_eq!(error.message, "output is closed");
        assert!(pieces.taken.len() < 1200);
    }
}
