//! Random schemas, random values of them and random damage: the fast codec and the naive one must agree, and what goes in
//! must come out.

use crate::loose::Loose;
use crate::naive;
use crate::random::Random;
use nexus::codec::json::write_string;
use nexus::codec::number::{float_text, write_f4};
use nexus::codec::schema::{Number, Type, Types};
use nexus::codec::transcode::{Style, check_msgpack, json_to_msgpack, msgpack_to_json, msgpack_to_msgpack};
use nexus::ids::TypeId;

const SCHEMAS: u64 = 400;
const VALUES: usize = 5;
const MUTATIONS: usize = 20;

#[test]
fn the_fast_codec_agrees_with_the_naive_one() {
    for seed in 0..SCHEMAS {
        let mut maker = Maker {
            random: Random::new(seed),
            mistakes: false,
        };
        let schema = maker.schema(0, false);
        let mut types = Types::default();
        let ty = types
            .parse(&schema)
            .unwrap_or_else(|error| panic!("{schema}: {error:?}"));
        for _ in 0..VALUES {
            let (mut canonical, mut written) = (String::new(), String::new());
            maker.value(&types, ty, 0, &mut canonical, &mut written);
            let place = format!("seed {seed}, {schema}, {written}");
            round_trip(&types, ty, &written, &canonical, &place);
            let mut bytes = Vec::new();
            json_to_msgpack(&types, ty, canonical.as_bytes(), &mut bytes).unwrap();
            read_the_same(&types, ty, &bytes, &mut maker.random, &place);
            for _ in 0..MUTATIONS {
                agree_on_json(&types, ty, &maker.damaged(written.as_bytes()), &place);
                agree_on_msgpack(&types, ty, &maker.damaged(&bytes), &place);
            }
            maker.mistakes = true;
            let mut mistaken = String::new();
            maker.value(&types, ty, 0, &mut String::new(), &mut mistaken);
            agree_on_json(&types, ty, mistaken.as_bytes(), &place);
            maker.mistakes = false;
        }
    }
}

fn round_trip(types: &Types, ty: TypeId, written: &str, canonical: &str, place: &str) {
    let mut bytes = Vec::new();
    json_to_msgpack(types, ty, written.as_bytes(), &mut bytes)
        .unwrap_or_else(|error| panic!("{place}: {error}"));
    let (mut compact, mut pretty, mut again) = (Vec::new(), Vec::new(), Vec::new());
    msgpack_to_json(types, ty, &bytes, Style::Compact, &mut compact).unwrap();
    assert_eq!(String::from_utf8_lossy(&compact), canonical, "{place}");
    msgpack_to_json(types, ty, &bytes, Style::Pretty, &mut pretty).unwrap();
    json_to_msgpack(types, ty, &pretty, &mut again).unwrap();
    assert!(again == bytes, "{place}: {}", String::from_utf8_lossy(&pretty));
    agree_on_json(types, ty, written.as_bytes(), place);
    agree_on_msgpack(types, ty, &bytes, place);
}

/// Other ways to say the same in msgpack are read the same.
fn read_the_same(types: &Types, ty: TypeId, bytes: &[u8], random: &mut Random, place: &str) {
    let tree = naive::read(&mut &*bytes, 0).unwrap();
    for mistakes in [false, true] {
        let (mut loose, mut canonical) = (Vec::new(), Vec::new());
        Loose { random, mistakes }.write(types, ty, &tree, &mut loose);
        agree_on_msgpack(types, ty, &loose, place);
        if !mistakes {
            msgpack_to_msgpack(types, ty, &loose, &mut canonical)
                .unwrap_or_else(|error| panic!("{place}: {error}"));
            assert!(canonical == bytes, "{place}: {loose:02x?}");
        }
    }
}

fn agree_on_json(types: &Types, ty: TypeId, text: &[u8], place: &str) {
    let mut bytes = Vec::new();
    let fast = json_to_msgpack(types, ty, text, &mut bytes);
    let place = format!("{place}\n{}\n{fast:?}", String::from_utf8_lossy(text));
    match naive::json_to_msgpack(types, ty, text) {
        Some(expected) => assert!(
            fast.is_ok() && bytes == expected,
            "{place}\n{bytes:02x?}\n{expected:02x?}"
        ),
        None => assert!(fast.is_err() && bytes.is_empty(), "{place}"),
    }
}

fn agree_on_msgpack(types: &Types, ty: TypeId, bytes: &[u8], place: &str) {
    let (mut text, mut canonical) = (Vec::new(), Vec::new());
    let fast = msgpack_to_json(types, ty, bytes, Style::Compact, &mut text);
    let place = format!("{place}\n{bytes:02x?}\n{fast:?}");
    let expected = naive::msgpack_to_json(types, ty, bytes);
    let checked = check_msgpack(types, ty, bytes);
    let rewritten = msgpack_to_msgpack(types, ty, bytes, &mut canonical);
    assert_eq!(fast, checked, "{place}");
    assert_eq!(fast, rewritten, "{place}");
    // What is claimed must not be believed: memory may grow with the input (and the schema) only.
    let room = 1024 + 64 * (bytes.len() + types.spell(ty).len());
    assert!(text.capacity() < room && canonical.capacity() < room, "{place}");
    match expected {
        Some(expected) => {
            assert_eq!(String::from_utf8_lossy(&text), expected, "{place}");
            let mut from_text = Vec::new();
            json_to_msgpack(types, ty, &text, &mut from_text).unwrap();
            // NaN has many bit patterns and one text.
            assert!(from_text == canonical || expected.contains("NaN"), "{place}");
        }
        None => assert!(fast.is_err() && canonical.is_empty(), "{place}"),
    }
}

struct Maker {
    random: Random,
    /// Whether keys are now and then repeated, unknown or left out.
    mistakes: bool,
}

impl Maker {
    fn schema(&mut self, depth: usize, in_recursion: bool) -> String {
        const LEAVES: [&str; 16] = [
            "z", "b", "s", "y", "j", "j", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f4", "f8",
        ];
        let choice = self.random.below(if depth > 3 { 16 } else { 28 });
        match choice {
            0..16 => LEAVES[choice].to_string(),
            16..19 => format!("?{}", self.schema(depth + 1, in_recursion)),
            19..22 => format!("[{}]", self.schema(depth + 1, in_recursion)),
            22 => format!(
                "a:{}{}",
                self.random.below(4),
                self.schema(depth + 1, in_recursion)
            ),
            23..25 => {
                let members: Vec<String> = (0..self.random.below(4))
                    .map(|_| self.schema(depth + 1, in_recursion))
                    .collect();
                format!("({})", members.join(","))
            }
            25..27 => {
                let mut keys = vec![
                    "a",
                    "bc",
                    "name",
                    "é",
                    "a\"b",
                    "key with more than thirty-two letters in it",
                ];
                let mut fields = Vec::new();
                for _ in 0..self.random.below(6) {
                    let key = keys.swap_remove(self.random.below(keys.len()));
                    fields.push(format!("{key}:{}", self.schema(depth + 1, in_recursion)));
                }
                format!("{{{}}}", fields.join(","))
            }
            _ if in_recursion => "?^1T".into(),
            _ => format!("&1T{{v:{},rest:?^1T,all:[^1T]}}", self.schema(depth + 1, true)),
        }
    }

    /// Appends a value as the codec writes it, and as someone may have typed it.
    fn value(
        &mut self,
        types: &Types,
        ty: TypeId,
        depth: usize,
        canonical: &mut String,
        written: &mut String,
    ) {
        self.space(written);
        let mut both = |text: &str| {
            canonical.push_str(text);
            written.push_str(text);
        };
        match types.node(ty) {
            Type::Nil => both("null"),
            Type::Bool => both(if self.random.one_in(2) { "true" } else { "false" }),
            Type::Integer => {
                let len = 1 + self.random.below(60);
                let digits: String = (0..len)
                    .map(|_| char::from(b'0' + self.random.below(10) as u8))
                    .collect();
                let digits = digits.trim_start_matches('0');
                match digits {
                    "" => both("0"),
                    _ if self.random.one_in(2) => both(&format!("-{digits}")),
                    _ => both(digits),
                }
                if self.random.one_in(4) {
                    written.push_str([".0", "e0", ".000E+0"][self.random.below(3)]);
                }
            }
            Type::Number(number) => {
                let (text, other) = self.number(number);
                canonical.push_str(&text);
                written.push_str(&other);
            }
            Type::Str => {
                let text = self.text();
                let mut quoted = Vec::new();
                write_string(&text, &mut quoted);
                canonical.push_str(std::str::from_utf8(&quoted).unwrap());
                written.push_str(&self.escaped(&text));
            }
            Type::Bytes => {
                let len = self.random.below(40);
                let bytes: Vec<u8> = (0..len).map(|_| self.random.bits() as u8).collect();
                let mut text = Vec::new();
                nexus::codec::base64::encode(&bytes, &mut text);
                both(&format!("\"{}\"", String::from_utf8(text).unwrap()));
            }
            Type::Optional(_) if depth > 6 || self.random.one_in(3) => both("null"),
            Type::Optional(inner) => self.value(types, inner, depth, canonical, written),
            Type::List { element, len } => {
                let few = if depth > 6 { 1 } else { 5 };
                let few = if self.random.one_in(20) && depth == 0 {
                    400
                } else {
                    few
                };
                let len = len.map_or_else(|| self.random.below(few), |len| len as usize);
                self.elements(types, (0..len).map(|_| element), depth, canonical, written);
            }
            Type::Tuple(span) => {
                self.elements(
                    types,
                    types.members(span).iter().copied(),
                    depth,
                    canonical,
                    written,
                );
            }
            Type::Record(span) => {
                let mut fields = Vec::new();
                canonical.push('{');
                for (position, field) in types.fields(span).iter().enumerate() {
                    let mut key = Vec::new();
                    write_string(&field.key, &mut key);
                    if position > 0 {
                        canonical.push(',');
                    }
                    canonical.push_str(std::str::from_utf8(&key).unwrap());
                    canonical.push(':');
                    let is_optional = matches!(types.node(field.ty), Type::Optional(_));
                    if is_optional && self.random.one_in(3) {
                        canonical.push_str("null");
                        continue;
                    }
                    let mut member = self.escaped(&field.key);
                    self.space(&mut member);
                    member.push(':');
                    self.value(types, field.ty, depth + 1, canonical, &mut member);
                    if self.mistakes && self.random.one_in(8) {
                        match self.random.below(3) {
                            0 => fields.push(member.clone()),
                            1 => fields.push("\"?\":1".into()),
                            _ => continue,
                        }
                    }
                    fields.push(member);
                }
                canonical.push('}');
                if self.random.one_in(2) {
                    for last in (1..fields.len()).rev() {
                        fields.swap(last, self.random.below(last + 1));
                    }
                }
                written.push_str(&format!("{{{}}}", fields.join(",")));
            }
            Type::Json | Type::Function { .. } | Type::Opaque(_) => unreachable!("no such schema is made"),
        }
        self.space(written);
    }

    fn elements(
        &mut self,
        types: &Types,
        members: impl Iterator<Item = TypeId>,
        depth: usize,
        canonical: &mut String,
        written: &mut String,
    ) {
        canonical.push('[');
        written.push('[');
        for (position, member) in members.enumerate() {
            if position > 0 {
                canonical.push(',');
                written.push(',');
            }
            self.value(types, member, depth + 1, canonical, written);
        }
        canonical.push(']');
        written.push(']');
    }

    fn number(&mut self, number: Number) -> (String, String) {
        let bits = self.random.bits();
        let small = self.random.below(200) as i128 - 100;
        if number == Number::F8 {
            let value = match self.random.below(4) {
                0 => small as f64 / 4.0,
                1 => self.random.unit(),
                _ => f64::from_bits(bits),
            };
            return match value.is_finite() {
                true => (float_text(value), format!("{value:e}")),
                false => (
                    format!("\"{}\"", float_text(value)),
                    format!("\"{}\"", float_text(value)),
                ),
            };
        }
        if number == Number::F4 {
            let value = if self.random.one_in(2) {
                small as f32 / 4.0
            } else {
                f32::from_bits(bits as u32)
            };
            let mut text = Vec::new();
            write_f4(value, &mut text);
            let text = String::from_utf8(text).unwrap();
            return match value.is_finite() {
                true => (text, format!("{value:e}")),
                false => (format!("\"{text}\""), format!("\"{text}\"")),
            };
        }
        let (low, high) = number.range();
        let value = match self.random.below(4) {
            0 => low,
            1 => high,
            2 => small.clamp(low, high),
            _ => low + i128::from(bits) % (high - low + 1),
        };
        let written = match self.random.below(6) {
            0 => format!("{value}.{}", "0".repeat(1 + self.random.below(30))),
            1 => format!("{value:e}"),
            2 if value != 0 => format!("{value}00e-2"),
            _ => value.to_string(),
        };
        (value.to_string(), written)
    }

    fn text(&mut self) -> String {
        const PIECES: [&str; 12] = [
            "a", "word ", "\"", "\\", "\n", "\u{1}", "é", "😀", "/", "\u{7f}", "12345678", "–",
        ];
        let len = if self.random.one_in(30) {
            300
        } else {
            self.random.below(8)
        };
        (0..len)
            .map(|_| PIECES[self.random.below(PIECES.len())])
            .collect()
    }

    fn escaped(&mut self, text: &str) -> String {
        let mut out = String::from("\"");
        for letter in text.chars() {
            match letter {
                '"' | '\\' => out.extend(['\\', letter]),
                '/' if self.random.one_in(2) => out.push_str("\\/"),
                '\n' if self.random.one_in(2) => out.push_str("\\n"),
                '\0'..='\x1f' => out.push_str(&format!("\\u{:04X}", letter as u32)),
                _ if self.random.one_in(8) => {
                    let mut units = [0; 2];
                    for unit in letter.encode_utf16(&mut units) {
                        out.push_str(&format!("\\u{unit:04x}"));
                    }
                }
                _ => out.push(letter),
            }
        }
        out.push('"');
        out
    }

    fn space(&mut self, out: &mut String) {
        if self.random.one_in(6) {
            out.push_str([" ", "\n", "\t\r", "    "][self.random.below(4)]);
        }
    }

    fn damaged(&mut self, bytes: &[u8]) -> Vec<u8> {
        const LIKELY: &[u8] =
            b"\"\\{}[],:0123456789-+.eEnaltrusf \x80\x90\xa1\xc0\xc1\xc7\xca\xcb\xcc\xcf\xd3\xdb\xdd\xdf\xff";
        let mut bytes = bytes.to_vec();
        for _ in 0..=self.random.below(3) {
            let at = self.random.below(bytes.len() + 1);
            let byte = match self.random.one_in(2) {
                true => LIKELY[self.random.below(LIKELY.len())],
                false => self.random.bits() as u8,
            };
            match self.random.below(5) {
                0 => bytes.insert(at, byte),
                1 => bytes.truncate(at),
                2 if at < bytes.len() => drop(bytes.remove(at)),
                3 if at < bytes.len() => bytes[at] = bytes[at].wrapping_add(1),
                _ if at < bytes.len() => bytes[at] = byte,
                _ => bytes.push(byte),
            }
        }
        bytes
    }
}
