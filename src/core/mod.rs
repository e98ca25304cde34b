//! Pools, workers and calls as pure state machines: bytes and events come in with the time, bytes and effects go out.
//! Opens no socket, starts no process, reads no clock.

mod call;
mod cancel;
pub(crate) mod deadlines;
pub mod deadlock;
#[cfg(test)]
mod departures;
pub mod eval;
mod fail;
pub mod health;
mod host;
pub mod hub;
#[cfg(test)]
mod invariants;
mod lifecycle;
mod methods;
pub mod outbox;
mod peer;
mod place;
#[cfg(test)]
mod placement;
pub mod process;
mod receive;
#[cfg(test)]
mod refusals;
mod retire;
mod said;
#[cfg(test)]
mod script;
#[cfg(test)]
pub(crate) mod simulation;
pub(crate) mod slab;
mod standing;
mod supervise;
mod tail;
#[cfg(test)]
mod telling;
pub mod timeline;
