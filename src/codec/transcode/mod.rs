//! From JSON text to msgpack and back by schema, in one pass and without a tree between. Also checks msgpack against
//! a type and brings it into canonical form. Does no I/O: a [`Sink`] takes large texts away in pieces.
//!
//! There are two walks over a type: `from_json` reads text and writes msgpack; `from_msgpack` reads msgpack and tells what
//! it finds to an `Emit`, which `to_json` and `to_msgpack` implement.
//! A path to a bad value is put together on the way back from it, so that good values pay nothing for it.

mod from_json;
mod from_msgpack;
mod late_head;
mod to_json;
mod to_msgpack;
mod value_error;

pub use from_json::{json_to_msgpack, json_value_to_msgpack};
pub use to_json::{Closed, Sink, Style, msgpack_to_json};
pub use to_msgpack::{check_msgpack, msgpack_to_msgpack};
pub use value_error::ValueError;
