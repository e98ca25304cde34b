//! Finding messages in a stream of bytes. Keeps no bytes: the caller holds what is incomplete.

use crate::codec::message::{Head, LENGTH_BYTES, Malformed, read_head};
use crate::limits::{FRAME_BYTES_MAX, WHOLE_BYTES_MAX};

/// What stands at the front of a stream.
#[derive(Debug, PartialEq, Eq)]
pub enum Scan<'a> {
    /// Too little to say; more bytes are needed.
    More,
    /// A whole message.
    Whole {
        /// Its envelope.
        head: Head<'a>,
        /// Its payload.
        payload: &'a [u8],
        /// Bytes of the stream that it takes.
        used: usize,
    },
    /// The front of a message too large to wait for.
    Front {
        /// Its envelope.
        head: Head<'a>,
        /// Bytes of the whole payload.
        payload_bytes: u64,
        /// Bytes of the stream before the payload.
        used: usize,
    },
}

/// Looks at the front of a stream. A message of at most [`WHOLE_BYTES_MAX`] is waited for; of a larger one the front is
/// enough, so that its payload can be passed on while it comes.
///
/// # Errors
/// A frame that can't be a message, whatever follows.
pub fn scan(bytes: &[u8]) -> Result<Scan<'_>, Malformed> {
    let Some(length) = bytes.first_chunk::<LENGTH_BYTES>() else {
        return Ok(Scan::More);
    };
    let frame_bytes = u32::from_be_bytes(*length) as usize;
    if frame_bytes as u64 > FRAME_BYTES_MAX {
        return Err(format!(
            "message of {frame_bytes} bytes exceeds the {FRAME_BYTES_MAX} that a frame can hold"
        ));
    }
    let came = &bytes[LENGTH_BYTES..];
    let is_whole = came.len() >= frame_bytes;
    let came = &came[..came.len().min(frame_bytes)];
    let Some((head, head_bytes)) = read_head(came, is_whole)? else {
        return Ok(Scan::More);
    };
    let used = LENGTH_BYTES + head_bytes;
    if is_whole {
        return Ok(Scan::Whole {
            head,
            payload: &came[head_bytes..],
            used: LENGTH_BYTES + frame_bytes,
        });
    }
    if frame_bytes <= WHOLE_BYTES_MAX {
        return Ok(Scan::More);
    }
    Ok(Scan::Front {
        head,
        payload_bytes: (frame_bytes - head_bytes) as u64,
        used,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(bytes: &[u8], expected: Result<Scan<'_>, &str>) {
        assert_eq!(scan(bytes), expected.map_err(String::from), "{bytes:02x?}");
    }

    #[test]
    fn whole_cut_and_large() {
        let message = [0, 0, 0, 5, 0x94, 1, 9, 0xc0, 0xc0, 77];
        let head = Head::Response { id: 9 };
        check(
            &message,
            Ok(Scan::Whole {
                head,
                payload: &[0xc0, 0xc0],
                used: 9,
            }),
        );
        for cut in 0..9 {
            check(&message[..cut], Ok(Scan::More));
        }
        let large = [0xff, 0xff, 0, 0, 0x94, 1, 9, 0xc0];
        let head = Head::Response { id: 9 };
        check(
            &large,
            Ok(Scan::Front {
                head,
                payload_bytes: 0xffff_0000 - 3,
                used: 7,
            }),
        );
    }

    #[test]
    fn what_can_not_become_a_message() {
        check(&[0, 0, 0, 0], Err("message ends before its envelope does"));
        check(
            &[0, 0, 0, 2, 0x94, 1, 9],
            Err("message ends before its envelope does"),
        );
        check(
            &[0xff, 0xff, 0xff, 0xff, 0x94, 1, 9, 0xc0],
            Err("message of 4294967295 bytes exceeds the 4294966271 that a frame can hold"),
        );
        check(b"GET /", Err("a message is an integer, expected an array"));
    }
}
