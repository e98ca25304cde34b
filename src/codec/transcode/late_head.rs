//! Heads of msgpack arrays and extensions whose length is known only after their content is written. The content is moved
//! when the head turns out shorter or longer than the room left for it.

use super::value_error::{ValueError, Walk};
use crate::codec::msgpack::write;

/// Room for the longest head of an extension.
const EXT_ROOM: usize = 6;
/// Room for the head of a short array: most arrays of anything but numbers are short.
const ARRAY_ROOM: usize = 1;

/// A length as msgpack can say it, or the error for the value at that offset in the input.
pub(super) fn size(len: usize, offset: usize) -> Walk<u32> {
    u32::try_from(len).map_err(|_| ValueError::too_large(offset))
}

/// Leaves room for the head of an array; its elements are written next.
pub(super) fn begin_array(out: &mut Vec<u8>) -> usize {
    out.extend_from_slice(&[0; ARRAY_ROOM]);
    out.len()
}

/// Writes the head for the `count` elements that were written since `start`.
pub(super) fn end_array(out: &mut Vec<u8>, start: usize, count: usize, offset: usize) -> Walk {
    let count = size(count, offset)?;
    let mut head = Vec::with_capacity(5);
    write::array(&mut head, count);
    place(out, start - ARRAY_ROOM, start, &head);
    Ok(())
}

/// Leaves room for the head of an extension; its payload is written next.
pub(super) fn begin_ext(out: &mut Vec<u8>) -> usize {
    out.extend_from_slice(&[0; EXT_ROOM]);
    out.len()
}

/// Writes the head for the payload that was written since `start`.
pub(super) fn end_ext(out: &mut Vec<u8>, start: usize, ext_type: i8, offset: usize) -> Walk {
    let len = size(out.len() - start, offset)?;
    let mut head = Vec::with_capacity(EXT_ROOM);
    write::ext(&mut head, ext_type, len);
    place(out, start - EXT_ROOM, start, &head);
    Ok(())
}

/// Puts a head between `head_start` and the content, which begins at `start`.
fn place(out: &mut Vec<u8>, head_start: usize, start: usize, head: &[u8]) {
    let (end, new_start) = (out.len(), head_start + head.len());
    if new_start > start {
        out.resize(end + new_start - start, 0);
    }
    out.copy_within(start..end, new_start);
    out.truncate(end - start + new_start);
    out[head_start..new_start].copy_from_slice(head);
}
