//! Flows from outside: the real binary, real sockets, real pools. Each test has a server and a store of its own.

#[path = "../harness/mod.rs"]
mod harness;
#[allow(dead_code)] // A part of it is used.
#[path = "../serve/http.rs"]
mod http;

mod ends;
mod looks;
mod names;
mod seed;
mod served;
mod work;
