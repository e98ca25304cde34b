//! Tests of connections: no socket, no clock.

mod answers;
mod conformance;
mod echo;
mod limits;
mod random;
mod smuggling;
mod times;
