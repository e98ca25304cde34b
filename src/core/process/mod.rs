//! Worker processes: programs that functions start and talk to. A pure state machine, as the hub: events and bytes come in
//! with the time, effects and bytes go out. Starts no process.

pub mod bridge;
pub mod convert;
mod ending;
mod handle;
#[cfg(test)]
mod invariants;
pub mod mailbox;
mod outlet;
pub mod pipe;
#[cfg(test)]
mod pipe_tests;
pub mod pipes;
pub mod request;
mod source;
mod stage;
pub mod table;
#[cfg(test)]
mod tests;
