//! The thin shell around the core: the poll loop, sockets, pipes and child processes. Decides nothing that the core could.

mod accounts;
pub mod composed;
mod confine;
mod connection;
pub mod detached;
mod launch;
mod notes;
mod output;
mod processes;
pub mod serve;
pub mod session;
mod strays;
pub mod supervised;
mod workers;
