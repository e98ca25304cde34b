//! The codec from outside: what values become, what is refused and how it is said.

mod tables;
