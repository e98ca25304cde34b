//! What a value of a type looks like as an argument: a short JSON text for types that are not plain to everyone. Reads no
//! value.

use crate::codec::json::write_string;
use crate::codec::schema::{Type, Types};
use crate::ids::TypeId;

/// A longer sample explains nothing in a help page, in bytes.
const SAMPLE_BYTES_MAX: usize = 160;

/// A sample of a list, tuple or record; none for simple types and for those with no short sample.
pub fn sample(types: &Types, ty: TypeId) -> Option<String> {
    let ty = types.inner(ty);
    match types.node(ty) {
        Type::List { .. } | Type::Tuple(_) | Type::Record(_) => {
            let mut out = Vec::new();
            write(types, ty, &mut out)?;
            String::from_utf8(out).ok()
        }
        _ => None,
    }
}

/// Appends a sample; none when it grows too long, as that of every recursive type does.
fn write(types: &Types, ty: TypeId, out: &mut Vec<u8>) -> Option<()> {
    if out.len() > SAMPLE_BYTES_MAX {
        return None;
    }
    match types.node(ty) {
        Type::Nil => out.extend_from_slice(b"null"),
        Type::Bool => out.extend_from_slice(b"true"),
        Type::Number(number) if number.is_float() => out.extend_from_slice(b"0.5"),
        Type::Number(_) | Type::Integer => out.push(b'1'),
        Type::Str => out.extend_from_slice(b"\"text\""),
        Type::Json => out.extend_from_slice(b"[1,\"a\"]"),
        Type::Bytes => out.extend_from_slice(b"\"aGk=\""),
        Type::Optional(inner) => write(types, inner, out)?,
        Type::List { element, len } => {
            let is_plain = !matches!(
                types.node(element),
                Type::List { .. } | Type::Tuple(_) | Type::Record(_)
            );
            let shown = len.unwrap_or(if is_plain { 2 } else { 1 }).min(3);
            write_all(types, (0..shown).map(|_| (None, element)), b"[]", out)?;
        }
        Type::Tuple(span) => {
            let members = types.members(span).iter().map(|member| (None, *member));
            write_all(types, members, b"[]", out)?;
        }
        Type::Record(span) => {
            let fields = types
                .fields(span)
                .iter()
                .map(|field| (Some(&*field.key), field.ty));
            write_all(types, fields, b"{}", out)?;
        }
        Type::Function { .. } | Type::Opaque(_) => return None,
    }
    Some(())
}

fn write_all<'k>(
    types: &Types,
    members: impl Iterator<Item = (Option<&'k str>, TypeId)>,
    brackets: &[u8; 2],
    out: &mut Vec<u8>,
) -> Option<()> {
    let [open, close] = *brackets;
    out.push(open);
    for (position, (key, ty)) in members.enumerate() {
        if position > 0 {
            out.extend_from_slice(b", ");
        }
        if let Some(key) = key {
            write_string(key, out);
            out.extend_from_slice(b": ");
        }
        write(types, ty, out)?;
    }
    out.push(close);
    Some(())
}
