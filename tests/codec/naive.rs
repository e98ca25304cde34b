//! The codec again, as simple as it can be written: through trees, with no thought of speed, length or good messages. The
//! fast one must accept the same and give the same.

use nexus::codec::document::{Document, Node};
use nexus::codec::json::{Shape, write_string};
use nexus::codec::msgpack::write;
use nexus::codec::number::{float_text, write_f4};
use nexus::codec::schema::{Number, Type, Types};
use nexus::codec::{base64, integer};
use nexus::ids::TypeId;

const DEPTH_MAX: usize = 512;
const BIG: i8 = 11;
const FLOAT_DIGITS_MAX: usize = 309;

pub fn json_to_msgpack(types: &Types, ty: TypeId, text: &[u8]) -> Option<Vec<u8>> {
    let document = Document::parse(text).ok()?;
    let mut out = Vec::new();
    encode(types, ty, document.root(), &mut out)?;
    Some(out)
}

fn encode(types: &Types, ty: TypeId, node: Node, out: &mut Vec<u8>) -> Option<()> {
    match types.node(ty) {
        Type::Optional(_) | Type::Nil if node.shape() == Shape::Null => write::nil(out),
        Type::Optional(inner) => encode(types, inner, node, out)?,
        Type::Bool => write::boolean(out, node.as_bool()?),
        Type::Str => write::string(out, node.as_str()?),
        Type::Bytes => {
            let mut bytes = Vec::new();
            base64::decode(node.as_str()?.as_bytes(), &mut bytes).ok()?;
            write::bin(out, &bytes);
        }
        Type::Number(number) => match number_bits(number, node)? {
            bits if number == Number::F8 => write::f8(out, f64::from_bits(bits)),
            bits if number == Number::F4 => write::f4(out, f32::from_bits(bits as u32)),
            bits if number.is_signed() => write::int(out, bits as i64),
            bits => write::unsigned(out, bits),
        },
        Type::Integer => {
            let text = &whole(node.as_number()?)?;
            match text.parse::<i128>() {
                Ok(value) if i64::try_from(value).is_ok() => write::int(out, value as i64),
                Ok(value) if u64::try_from(value).is_ok() => write::unsigned(out, value as u64),
                _ => {
                    let bytes = integer::from_decimal(text.as_bytes()).ok()?;
                    write::ext(out, BIG, bytes.len() as u32);
                    out.extend_from_slice(&bytes);
                }
            }
        }
        Type::List { element, len } => {
            let elements = node.elements()?;
            if len.is_some_and(|len| len as usize != elements.len()) {
                return None;
            }
            if let Type::Number(number) = types.node(element) {
                write::ext(out, number.ext_type(), (elements.len() * number.bytes()) as u32);
                for element in elements {
                    let bits = number_bits(number, element)?;
                    out.extend_from_slice(&bits.to_le_bytes()[..number.bytes()]);
                }
            } else {
                write::array(out, elements.len() as u32);
                for node in elements {
                    encode(types, element, node, out)?;
                }
            }
        }
        Type::Tuple(span) => {
            let elements = node.elements()?;
            if elements.len() != span.len() {
                return None;
            }
            write::array(out, span.len() as u32);
            for (member, element) in types.members(span).iter().zip(elements) {
                encode(types, *member, element, out)?;
            }
        }
        Type::Record(span) => {
            let fields = types.fields(span);
            let is_known = |key: &str| fields.iter().any(|field| *field.key == *key);
            if !node.members()?.all(|(key, _)| is_known(key)) {
                return None;
            }
            write::map(out, span.len() as u32);
            for field in fields {
                write::string(out, &field.key);
                match (node.member(&field.key), types.node(field.ty)) {
                    (Some(value), _) => encode(types, field.ty, value, out)?,
                    (None, Type::Optional(_)) => write::nil(out),
                    (None, _) => return None,
                }
            }
        }
        _ => return None,
    }
    Some(())
}

/// The bits of a number of fixed width, an integer's sign-extended.
fn number_bits(number: Number, node: Node) -> Option<u64> {
    if number.is_float() {
        let (f8, f4) = match (node.as_str(), node.as_number()) {
            (Some("NaN"), _) => (f64::NAN, f32::NAN),
            (Some("Infinity"), _) => (f64::INFINITY, f32::INFINITY),
            (Some("-Infinity"), _) => (f64::NEG_INFINITY, f32::NEG_INFINITY),
            (_, Some(text)) => {
                let (f8, f4): (f64, f32) = (text.parse().ok()?, text.parse().ok()?);
                let fits = if number == Number::F8 {
                    f8.is_finite()
                } else {
                    f4.is_finite()
                };
                fits.then_some((f8, f4))?
            }
            _ => return None,
        };
        return Some(if number == Number::F8 {
            f8.to_bits()
        } else {
            f4.to_bits().into()
        });
    }
    let value: i128 = whole(node.as_number()?)?.parse().ok()?;
    let (low, high) = number.range();
    (low <= value && value <= high).then_some(value as u64)
}

/// The digits of an integer, behind its minus, which may have a point that only zeros follow, and an exponent.
fn whole(text: &str) -> Option<String> {
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let (before, behind) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    if mantissa == text && before == text {
        return Some(text.into());
    }
    let sign = if text.starts_with('-') { "-" } else { "" };
    let digits = format!("{}{behind}", &before[sign.len()..]);
    let mut digits = digits.trim_start_matches('0').to_string();
    if digits.is_empty() {
        return Some("0".into());
    }
    let mut exponent = exponent.parse::<i64>().ok()? - behind.len() as i64;
    while exponent < 0 {
        if digits.pop()? != '0' {
            return None;
        }
        exponent += 1;
    }
    while exponent > 0 {
        digits.push('0');
        exponent -= 1;
        if digits.len() > FLOAT_DIGITS_MAX {
            return None;
        }
    }
    (digits.len() <= FLOAT_DIGITS_MAX).then(|| format!("{sign}{digits}"))
}

/// A msgpack value.
#[derive(Debug, PartialEq)]
pub enum Tree {
    Nil,
    Bool(bool),
    Int(i128),
    F4(f32),
    F8(f64),
    Str(String),
    Bin(Vec<u8>),
    Array(Vec<Tree>),
    Map(Vec<(Tree, Tree)>),
    Ext(i8, Vec<u8>),
}

/// Reads one value off the front.
pub fn read(bytes: &mut &[u8], depth: usize) -> Option<Tree> {
    // Deeper than the codec reads, so that the two agree on what is too deep for a type.
    if depth > DEPTH_MAX + 2 {
        return None;
    }
    let marker = take(bytes, 1)?[0];
    Some(match marker {
        0x00..=0x7f => Tree::Int(marker.into()),
        0xe0..=0xff => Tree::Int((marker as i8).into()),
        0xc0 => Tree::Nil,
        0xc2 | 0xc3 => Tree::Bool(marker == 0xc3),
        0xca => Tree::F4(f32::from_bits(unsigned(bytes, 4)? as u32)),
        0xcb => Tree::F8(f64::from_bits(unsigned(bytes, 8)?)),
        0xcc..=0xcf => Tree::Int(unsigned(bytes, 1 << (marker - 0xcc))?.into()),
        0xd0..=0xd3 => {
            let width = 1 << (marker - 0xd0);
            let bits = unsigned(bytes, width)?;
            let spare = 64 - 8 * width;
            Tree::Int(((bits << spare) as i64 >> spare).into())
        }
        0xa0..=0xbf => string(bytes, (marker & 31).into())?,
        0xd9..=0xdb => {
            let len = unsigned(bytes, 1 << (marker - 0xd9))?;
            string(bytes, len)?
        }
        0xc4..=0xc6 => {
            let len = unsigned(bytes, 1 << (marker - 0xc4))?;
            Tree::Bin(take(bytes, len)?.to_vec())
        }
        0x90..=0x9f => array(bytes, (marker & 15).into(), depth)?,
        0xdc | 0xdd => {
            let len = unsigned(bytes, 2 << (marker - 0xdc))?;
            array(bytes, len, depth)?
        }
        0x80..=0x8f => map(bytes, (marker & 15).into(), depth)?,
        0xde | 0xdf => {
            let len = unsigned(bytes, 2 << (marker - 0xde))?;
            map(bytes, len, depth)?
        }
        0xd4..=0xd8 => ext(bytes, 1 << (marker - 0xd4))?,
        0xc7..=0xc9 => {
            let len = unsigned(bytes, 1 << (marker - 0xc7))?;
            ext(bytes, len)?
        }
        0xc1 => return None,
    })
}

fn take<'a>(bytes: &mut &'a [u8], len: u64) -> Option<&'a [u8]> {
    let (taken, rest) = bytes.split_at_checked(len as usize)?;
    *bytes = rest;
    Some(taken)
}

fn unsigned(bytes: &mut &[u8], width: usize) -> Option<u64> {
    let digits = take(bytes, width as u64)?;
    Some(digits.iter().fold(0, |value, byte| value << 8 | u64::from(*byte)))
}

fn string(bytes: &mut &[u8], len: u64) -> Option<Tree> {
    let text = std::str::from_utf8(take(bytes, len)?).ok()?;
    Some(Tree::Str(text.to_string()))
}

fn array(bytes: &mut &[u8], len: u64, depth: usize) -> Option<Tree> {
    let mut elements = Vec::new();
    for _ in 0..len {
        elements.push(read(bytes, depth + 1)?);
    }
    Some(Tree::Array(elements))
}

fn map(bytes: &mut &[u8], len: u64, depth: usize) -> Option<Tree> {
    let mut pairs = Vec::new();
    for _ in 0..len {
        pairs.push((read(bytes, depth + 1)?, read(bytes, depth + 1)?));
    }
    Some(Tree::Map(pairs))
}

fn ext(bytes: &mut &[u8], len: u64) -> Option<Tree> {
    let ext_type = take(bytes, 1)?[0] as i8;
    Some(Tree::Ext(ext_type, take(bytes, len)?.to_vec()))
}

pub fn msgpack_to_json(types: &Types, ty: TypeId, mut bytes: &[u8]) -> Option<String> {
    let tree = read(&mut bytes, 0)?;
    let text = text(types, ty, &tree, 0)?;
    bytes.is_empty().then_some(text)
}

fn text(types: &Types, ty: TypeId, tree: &Tree, depth: usize) -> Option<String> {
    let ty = types.node(ty);
    if depth > DEPTH_MAX && !(matches!(ty, Type::Optional(_)) && *tree == Tree::Nil) {
        return None;
    }
    Some(match (ty, tree) {
        (Type::Optional(_) | Type::Nil, Tree::Nil) => "null".into(),
        (Type::Optional(inner), _) => text(types, inner, tree, depth)?,
        (Type::Bool, Tree::Bool(value)) => value.to_string(),
        (Type::Number(number), _) => number_text(number, tree)?,
        (Type::Integer, Tree::Int(value)) => value.to_string(),
        (Type::Integer, Tree::Ext(BIG, bytes)) if !bytes.is_empty() => {
            let mut out = Vec::new();
            integer::write_decimal(bytes, &mut out).ok()?;
            String::from_utf8(out).ok()?
        }
        (Type::Str, Tree::Str(text)) => quoted(text),
        (Type::Bytes, Tree::Bin(bytes)) => {
            let mut out = Vec::new();
            base64::encode(bytes, &mut out);
            quoted(&String::from_utf8(out).ok()?)
        }
        (Type::List { element, len }, _) => {
            let items: Vec<String> = match (types.node(element), tree) {
                (Type::Number(number), Tree::Ext(ext_type, bytes)) => {
                    if *ext_type != number.ext_type() || bytes.len() % number.bytes() != 0 {
                        return None;
                    }
                    bytes
                        .chunks(number.bytes())
                        .map(|chunk| packed_text(number, chunk))
                        .collect()
                }
                (_, Tree::Array(elements)) => {
                    let items = elements.iter().map(|tree| text(types, element, tree, depth + 1));
                    items.collect::<Option<_>>()?
                }
                _ => return None,
            };
            if len.is_some_and(|len| len as usize != items.len()) {
                return None;
            }
            format!("[{}]", items.join(","))
        }
        (Type::Tuple(span), Tree::Array(elements)) if span.len() == elements.len() => {
            let pairs = types.members(span).iter().zip(elements);
            let items = pairs.map(|(member, tree)| text(types, *member, tree, depth + 1));
            format!("[{}]", items.collect::<Option<Vec<_>>>()?.join(","))
        }
        (Type::Record(span), Tree::Array(elements)) if span.len() == elements.len() => {
            let pairs = types.fields(span).iter().zip(elements);
            let items = pairs.map(|(field, tree)| {
                Some(format!(
                    "{}:{}",
                    quoted(&field.key),
                    text(types, field.ty, tree, depth + 1)?
                ))
            });
            format!("{{{}}}", items.collect::<Option<Vec<_>>>()?.join(","))
        }
        (Type::Record(span), Tree::Map(pairs)) => {
            let fields = types.fields(span);
            for (position, (key, _)) in pairs.iter().enumerate() {
                let Tree::Str(key) = key else { return None };
                let is_known = fields.iter().any(|field| *field.key == **key);
                let is_repeated = pairs[..position]
                    .iter()
                    .any(|(before, _)| *before == Tree::Str(key.clone()));
                if !is_known || is_repeated {
                    return None;
                }
            }
            let items = fields.iter().map(|field| {
                let value = pairs
                    .iter()
                    .find(|(key, _)| *key == Tree::Str(field.key.to_string()));
                let value = match (value, types.node(field.ty)) {
                    (Some((_, tree)), _) => text(types, field.ty, tree, depth + 1)?,
                    (None, Type::Optional(_)) => "null".into(),
                    _ => return None,
                };
                Some(format!("{}:{value}", quoted(&field.key)))
            });
            format!("{{{}}}", items.collect::<Option<Vec<_>>>()?.join(","))
        }
        _ => return None,
    })
}

fn number_text(number: Number, tree: &Tree) -> Option<String> {
    Some(match (number, tree) {
        (Number::F8, Tree::F8(value)) => f8_text(*value),
        (Number::F8, Tree::F4(value)) => f8_text((*value).into()),
        (Number::F8, Tree::Int(value)) => f8_text(*value as f64),
        (Number::F4, Tree::F4(value)) => f4_text(*value),
        (Number::F4, Tree::F8(value)) => {
            let narrow = *value as f32;
            (narrow.is_finite() || !value.is_finite()).then(|| f4_text(narrow))?
        }
        (Number::F4, Tree::Int(value)) => f4_text(*value as f32),
        (_, Tree::Int(value)) => {
            let (low, high) = number.range();
            (low <= *value && *value <= high).then(|| value.to_string())?
        }
        _ => return None,
    })
}

fn packed_text(number: Number, element: &[u8]) -> String {
    let bits = element
        .iter()
        .rev()
        .fold(0u64, |bits, byte| bits << 8 | u64::from(*byte));
    let spare = 64 - 8 * number.bytes();
    match number {
        Number::F8 => f8_text(f64::from_bits(bits)),
        Number::F4 => f4_text(f32::from_bits(bits as u32)),
        _ if number.is_signed() => ((bits << spare) as i64 >> spare).to_string(),
        _ => bits.to_string(),
    }
}

fn f8_text(value: f64) -> String {
    match value.is_finite() {
        true => float_text(value),
        false => quoted(&float_text(value)),
    }
}

fn f4_text(value: f32) -> String {
    let mut out = Vec::new();
    write_f4(value, &mut out);
    let text = String::from_utf8(out).unwrap();
    if value.is_finite() { text } else { quoted(&text) }
}

fn quoted(text: &str) -> String {
    let mut out = Vec::new();
    write_string(text, &mut out);
    String::from_utf8(out).unwrap()
}
