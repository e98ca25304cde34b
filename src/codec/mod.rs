//! Bytes and types: schemas, msgpack, JSON, frames and messages. Does no I/O and knows no pool.

pub mod document;
pub mod error_map;
pub mod frame;
pub mod json;
pub mod message;
pub mod msgpack;
pub mod schema;
