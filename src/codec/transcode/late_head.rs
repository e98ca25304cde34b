//! Heads of msgpack values whose length is known only after their content is written. The content is moved when the head
//! turns out shorter or longer than the room left for it.

use super::value_error::{ValueError, Walk};

/// Room for an array: most arrays of anything but numbers are short, and moving a long one up costs little beside reading
/// its elements.
pub(super) const ARRAY_ROOM: usize = 1;
/// Room for the longest head of a string or of bytes.
pub(super) const TEXT_ROOM: usize = 5;
/// Room for the longest head of an extension: only the content of short ones is moved.
pub(super) const EXT_ROOM: usize = 6;

/// A length as msgpack can say it, or the error for the value at that offset in the input.
#[inline]
pub(super) fn size(len: usize, offset: usize) -> Walk<u32> {
    u32::try_from(len).map_err(|_| ValueError::too_large(offset))
}

/// A head that is still to be written.
#[derive(Clone, Copy)]
pub(super) struct LateHead {
    head: usize,
    content: usize,
}

impl LateHead {
    /// Leaves room at the end of `out`; the content is written next.
    #[inline]
    pub(super) fn new(room: usize, out: &mut Vec<u8>) -> LateHead {
        let head = out.len();
        out.resize(head + room, 0);
        LateHead {
            head,
            content: head + room,
        }
    }

    /// Writes the head, with `write`, for the bytes that were appended since.
    pub(super) fn end_bytes(
        self,
        out: &mut Vec<u8>,
        offset: usize,
        write: impl Fn(&mut Vec<u8>, u32),
    ) -> Walk {
        self.end(out, out.len() - self.content, offset, write)
    }

    /// Writes the head, with `write`, for `len` elements, which were appended since.
    pub(super) fn end(
        self,
        out: &mut Vec<u8>,
        len: usize,
        offset: usize,
        write: impl Fn(&mut Vec<u8>, u32),
    ) -> Walk {
        let end = out.len();
        write(out, size(len, offset)?);
        let head_len = out.len() - end;
        let mut head = [0; EXT_ROOM];
        head[..head_len].copy_from_slice(&out[end..]);
        let content = self.head + head_len;
        // The head lies behind the content, so there is room for the content to grow by as much.
        if content != self.content {
            out.copy_within(self.content..end, content);
        }
        out.truncate(end - self.content + content);
        out[self.head..content].copy_from_slice(&head[..head_len]);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::msgpack::write;

    fn check(room: usize, len: usize, head: &[u8]) {
        let mut out = vec![1, 2];
        let late = LateHead::new(room, &mut out);
        let content: Vec<u8> = (0..len).map(|byte| byte as u8).collect();
        out.extend_from_slice(&content);
        assert_eq!(late.end_bytes(&mut out, 0, write::array), Ok(()));
        assert!(out == [&[1, 2], head, &content].concat(), "{room} {len}");
    }

    #[test]
    fn content_is_moved_either_way() {
        for room in [ARRAY_ROOM, TEXT_ROOM, EXT_ROOM] {
            check(room, 0, &[0x90]);
            check(room, 15, &[0x9f]);
            check(room, 16, &[0xdc, 0, 16]);
            check(room, 65535, &[0xdc, 255, 255]);
            check(room, 65536, &[0xdd, 0, 1, 0, 0]);
        }
    }
}
