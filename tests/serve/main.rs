//! `nexus serve` from outside: the real binary, real pools, real sockets. Each test has a server of its own.

#[path = "../harness/mod.rs"]
mod harness;

mod calls;
mod crash;
mod ends;
mod fixture;
mod http;
mod reload;
mod safety;
mod server;
mod soak;
mod wire;
