//! The thin shell around the core: the poll loop, sockets, pipes and child processes. Decides nothing that the core could.

mod accounts;
pub mod client;
pub mod composed;
mod confine;
mod connection;
pub mod detached;
pub mod file_bytes;
pub mod flow_store;
mod launch;
pub mod mcp;
pub mod notes;
mod output;
pub mod polling;
pub mod private_socket;
mod processes;
pub mod serve;
pub mod session;
mod sink;
mod strays;
pub mod supervised;
mod workers;
