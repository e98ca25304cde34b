//! The bodies of the fuzz targets: each takes any bytes, feeds them to one part of nexus and asserts what holds whatever
//! they are. Names no fuzzer: `tests/fuzz_replay.rs` runs the same bodies over the corpora in `fuzz/corpus`.

mod cel;
mod codec;
mod compiler;
mod compose;
mod dns;
mod http;
mod mcp;
mod package;
mod program;
mod routes;
mod same;
mod source;
mod specs;
mod wire;

pub use cel::cel;
pub use codec::{msgpack, schema, transcode};
pub use compiler::compose;
pub use compose::loc;
pub use dns::dns;
pub use http::http;
pub use mcp::mcp;
pub use package::zip;
pub use program::{args, expression, manifest};
pub use routes::routes;
pub use source::signatures;
pub use specs::specs;
pub use wire::{frame, message};
