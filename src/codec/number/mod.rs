//! Numbers as decimal text, both ways and exactly: floats with the fewest digits that read back the same. Knows JSON's
//! grammar of numbers and nothing else of it; integers beyond 64 bits are [`crate::codec::integer`]'s.

mod powers;
mod read;
mod write;

pub use read::Decimal;
pub use write::{float_text, push_number, write_f4, write_f8, write_int, write_unsigned};
