//! HTTP/1.1 as a server speaks it (RFC 9110, RFC 9112): requests, targets and answers. Knows no routes and what no path
//! means; opens no socket.

mod request;
mod response;
pub mod target;

pub use request::{Headers, Method, Request};
pub use response::Response;
