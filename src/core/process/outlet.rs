//! What a pipe gives out as it comes: bytes as the last program writes them, once they are known to be what they should be.
//! Writes nothing.

use crate::expr::process::Form;

/// How far the bytes that a program has written, and that nobody has taken, can be given out.
pub(super) struct Outlet {
    /// They are characters, which are given out whole.
    is_text: bool,
    /// So many of them.
    pub ready: usize,
    /// Nobody takes them any more.
    pub is_closed: bool,
}

impl Outlet {
    /// For bytes in that form; none if it is not made of bytes as they are.
    pub fn of(form: Form) -> Option<Outlet> {
        let is_text = match form {
            Form::Text | Form::Lines => true,
            Form::Bytes => false,
            Form::None | Form::Json | Form::Jsonl => return None,
        };
        Some(Outlet {
            is_text,
            ready: 0,
            is_closed: false,
        })
    }

    /// Looks at what has come. False if there is nothing new; an error if it is no text.
    pub fn check(&mut self, bytes: &[u8], has_ended: bool) -> Result<bool, ()> {
        let fresh = bytes.get(self.ready..).unwrap_or_default();
        let checked = match self.is_text {
            true => std::str::from_utf8(fresh).map(drop),
            false => Ok(()),
        };
        let good = match checked {
            Ok(()) => fresh.len(),
            // A character that is cut off waits for its rest.
            Err(error) if error.error_len().is_none() && !has_ended => error.valid_up_to(),
            Err(_) => return Err(()),
        };
        self.ready += good;
        Ok(good > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How much of a text can be given out after each piece of that size; an error shows as `None`.
    fn check(form: Form, bytes: &[u8], piece: usize, expected: &[Option<usize>]) {
        let mut outlet = Outlet::of(form).unwrap();
        let mut ends: Vec<usize> = (piece..bytes.len()).step_by(piece).collect();
        ends.push(bytes.len());
        let found: Vec<Option<usize>> = ends
            .iter()
            .map(|end| {
                let checked = outlet.check(&bytes[..*end], *end == bytes.len());
                checked.ok().map(|_| outlet.ready)
            })
            .collect();
        assert_eq!(found, expected, "{bytes:?} in pieces of {piece}");
    }

    #[test]
    fn characters_are_given_out_whole() {
        let some = |ends: &[usize]| ends.iter().copied().map(Some).collect::<Vec<_>>();
        check(Form::Text, "aé€".as_bytes(), 1, &some(&[1, 1, 3, 3, 3, 6]));
        check(Form::Lines, "aé€".as_bytes(), 4, &some(&[3, 6]));
        check(Form::Bytes, b"a\xff\xff", 2, &some(&[2, 3]));
        check(Form::Text, b"", 1, &some(&[0]));
        check(Form::Text, b"ab\xffc", 2, &[Some(2), None]);
        check(Form::Text, b"ab\xe2\x82", 2, &[Some(2), None]);
        assert!(Outlet::of(Form::Json).is_none());
    }
}
