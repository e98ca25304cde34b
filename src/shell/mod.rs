//! The thin shell around the core: the poll loop, sockets, pipes and child processes. Decides nothing that the core could.

mod accounts;
mod confine;
mod connection;
mod launch;
mod notes;
mod output;
mod processes;
pub mod session;
mod strays;
mod workers;
