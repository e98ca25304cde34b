//! The Model Context Protocol, by which an assistant sees the commands of programs as tools: JSON-RPC messages in, messages
//! and calls out. Frames nothing and runs nothing: whoever has the bytes of a line or of an HTTP body hands them in.

mod content;
mod conversation;
mod http;
mod lines;
mod message;
mod signature;
mod tools;

#[cfg(test)]
mod http_tests;
#[cfg(test)]
mod tests;

pub use conversation::{Conversation, Output};
pub use http::{Effect, Sessions};
pub use lines::Lines;
pub use message::Revision;
pub use tools::{Offer, Program, Tool, Tools};
