//! HTTP/1.1 as a server speaks it (RFC 9110, RFC 9112): framing in and out, heads, targets, errors as answers. Knows no
//! routes and what no path means; opens no socket.

mod chunked;
mod connection;
mod failure;
mod head;
mod pace;
mod request;
mod response;
mod scan;

#[cfg(test)]
mod tests;

pub use crate::codec::target;
pub use connection::Connection;
pub use failure::error_body;
pub use request::{Headers, Method, Request};
pub use response::Response;
