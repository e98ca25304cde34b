//! Bytes and types: schemas, msgpack, JSON, frames and messages. Does no I/O and knows no pool.

pub mod base64;
pub mod checksum;
pub mod document;
pub mod elements;
pub mod error_map;
pub mod frame;
pub mod inflate;
pub mod integer;
pub mod json;
pub mod json_text;
pub mod letters;
pub mod lines;
pub mod message;
pub mod msgpack;
mod natural;
pub mod nearest;
pub mod number;
pub mod quote;
pub mod schema;
pub mod squeeze;
pub mod target;
pub mod transcode;
pub mod zip;
