//! The server as state machines: HTTP framing, what paths and bodies mean, deployments and their states, the messages of
//! other protocols. Opens no socket, starts no process and reads no clock: the shell feeds it.

pub mod api;
pub mod deployment;
pub mod http;
pub mod json_schema;
pub mod mcp;
pub mod metrics;
pub mod rpc;
pub mod server;
