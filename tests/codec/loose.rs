//! The many ways to say a value in msgpack: from the canonical one to a random other, which must be read the same.

use crate::naive::Tree;
use crate::random::Random;
use nexus::codec::schema::{Number, Type, Types};
use nexus::ids::TypeId;

pub struct Loose<'r> {
    pub random: &'r mut Random,
    /// Whether keys are now and then repeated, unknown or left out.
    pub mistakes: bool,
}

impl Loose<'_> {
    pub fn write(&mut self, types: &Types, ty: TypeId, tree: &Tree, out: &mut Vec<u8>) {
        match (types.node(ty), tree) {
            (Type::Optional(inner), tree) if *tree != Tree::Nil => self.write(types, inner, tree, out),
            (Type::Tuple(span), Tree::Array(elements)) => {
                self.head(out, &[(0x90, 15), (0xdc, 16), (0xdd, 32)], elements.len());
                for (member, element) in types.members(span).iter().zip(elements) {
                    self.write(types, *member, element, out);
                }
            }
            (Type::List { element, .. }, Tree::Array(elements)) => {
                self.head(out, &[(0x90, 15), (0xdc, 16), (0xdd, 32)], elements.len());
                for tree in elements {
                    self.write(types, element, tree, out);
                }
            }
            (Type::List { element, .. }, Tree::Ext(_, payload)) => {
                self.numbers(types.node(element), payload, out)
            }
            (Type::Record(span), Tree::Map(pairs)) if self.random.one_in(4) => {
                self.head(out, &[(0x90, 15), (0xdc, 16), (0xdd, 32)], pairs.len());
                for (field, (_, value)) in types.fields(span).iter().zip(pairs) {
                    self.write(types, field.ty, value, out);
                }
            }
            (Type::Record(span), Tree::Map(pairs)) => {
                let mut members = Vec::new();
                for (field, (key, value)) in types.fields(span).iter().zip(pairs) {
                    let mut member = Vec::new();
                    self.plain(key, &mut member);
                    self.write(types, field.ty, value, &mut member);
                    let is_optional = matches!(types.node(field.ty), Type::Optional(_));
                    if *value == Tree::Nil && is_optional && self.random.one_in(2) {
                        continue;
                    }
                    if self.mistakes && self.random.one_in(8) {
                        match self.random.below(3) {
                            0 => members.push(member.clone()),
                            1 => members.push(vec![0xa1, b'?', 1]),
                            _ => continue,
                        }
                    }
                    members.push(member);
                }
                if self.random.one_in(2) {
                    for last in (1..members.len()).rev() {
                        members.swap(last, self.random.below(last + 1));
                    }
                }
                self.head(out, &[(0x80, 15), (0xde, 16), (0xdf, 32)], members.len());
                out.extend(members.concat());
            }
            _ => self.plain(tree, out),
        }
    }

    fn numbers(&mut self, element: Type, payload: &[u8], out: &mut Vec<u8>) {
        let Type::Number(number) = element else {
            unreachable!("only numbers are packed");
        };
        if self.random.one_in(2) {
            return self.plain(&Tree::Ext(number.ext_type(), payload.to_vec()), out);
        }
        let elements = payload.chunks(number.bytes());
        self.head(out, &[(0x90, 15), (0xdc, 16), (0xdd, 32)], elements.len());
        for element in elements {
            let bits = element
                .iter()
                .rev()
                .fold(0u64, |bits, byte| bits << 8 | u64::from(*byte));
            let spare = 64 - 8 * number.bytes();
            let tree = match number {
                Number::F8 => Tree::F8(f64::from_bits(bits)),
                Number::F4 => Tree::F4(f32::from_bits(bits as u32)),
                _ if number.is_signed() => Tree::Int(((bits << spare) as i64 >> spare).into()),
                _ => Tree::Int(bits.into()),
            };
            self.plain(&tree, out);
        }
    }

    fn plain(&mut self, tree: &Tree, out: &mut Vec<u8>) {
        match tree {
            Tree::Nil => out.push(0xc0),
            Tree::Bool(value) => out.push(if *value { 0xc3 } else { 0xc2 }),
            Tree::Int(value) => self.int(*value, out),
            Tree::F4(value) => {
                out.push(0xca);
                out.extend(value.to_be_bytes());
            }
            Tree::F8(value)
                if *value as i64 as f64 == *value && value.to_bits() != 1 << 63 && self.random.one_in(2) =>
            {
                self.int((*value as i64).into(), out);
            }
            Tree::F8(value) => {
                out.push(0xcb);
                out.extend(value.to_be_bytes());
            }
            Tree::Str(text) => {
                self.head(out, &[(0xa0, 31), (0xd9, 8), (0xda, 16), (0xdb, 32)], text.len());
                out.extend(text.as_bytes());
            }
            Tree::Bin(bytes) => {
                self.head(out, &[(0xc4, 8), (0xc5, 16), (0xc6, 32)], bytes.len());
                out.extend(bytes);
            }
            Tree::Ext(ext_type, payload) => {
                self.head(out, &[(0xc7, 8), (0xc8, 16), (0xc9, 32)], payload.len());
                out.push(*ext_type as u8);
                out.extend(payload);
            }
            Tree::Array(_) | Tree::Map(_) => unreachable!("containers have types"),
        }
    }

    /// An integer in any format that holds it.
    fn int(&mut self, value: i128, out: &mut Vec<u8>) {
        let mut formats = Vec::new();
        for (marker, width, low, high) in [
            (0xcc, 1, 0, u8::MAX.into()),
            (0xcd, 2, 0, u16::MAX.into()),
            (0xce, 4, 0, u32::MAX.into()),
            (0xcf, 8, 0, u64::MAX.into()),
            (0xd0, 1, i8::MIN.into(), i8::MAX.into()),
            (0xd1, 2, i16::MIN.into(), i16::MAX.into()),
            (0xd2, 4, i32::MIN.into(), i32::MAX.into()),
            (0xd3, 8, i64::MIN.into(), i64::MAX.into()),
        ] {
            if (low..=high).contains(&value) {
                formats.push((marker, width));
            }
        }
        let (marker, width) = formats[self.random.below(formats.len())];
        out.push(marker);
        out.extend(&value.to_be_bytes()[16 - width..]);
    }

    /// A length in any format that holds it; a format is its marker and the largest length in the marker (15, 31) or the
    /// bits behind it (8, 16, 32).
    fn head(&mut self, out: &mut Vec<u8>, formats: &[(u8, usize)], len: usize) {
        let fits = |most: usize| match most {
            15 | 31 => len <= most,
            bits => len >> bits == 0,
        };
        let fitting: Vec<&(u8, usize)> = formats.iter().filter(|(_, most)| fits(*most)).collect();
        let (marker, most) = *fitting[self.random.below(fitting.len())];
        match most {
            15 | 31 => out.push(marker | len as u8),
            bits => {
                out.push(marker);
                out.extend(&len.to_be_bytes()[8 - bits / 8..]);
            }
        }
    }
}
