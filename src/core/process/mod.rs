//! Worker processes: programs that functions start and talk to. A pure state machine, as the hub: events and bytes come in
//! with the time, effects and bytes go out. Starts no process.

mod handle;
pub mod mailbox;
pub mod request;
pub mod table;
#[cfg(test)]
mod tests;
