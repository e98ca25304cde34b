//! The codec from outside: what values become, what is refused and how it is said.

mod archives;
mod differential;
mod limits;
mod loose;
mod naive;
mod random;
mod suites;
mod tables;
mod throughput;
