//! Deployments: names under which programs are served, what of each runs, and how one version follows another without a
//! call lost. Loads nothing and runs nothing: the shell is asked to, and tells how it went.

mod calls;
mod change;
mod deployments;
pub mod lifecycle;
mod name;
#[cfg(test)]
mod simulation;
mod status;
#[cfg(test)]
mod tests;

pub use calls::Refusal;
pub use deployments::{DeploymentId, Deployments, Effect, Notice, PoolState, Start};
pub use lifecycle::State;
pub use name::Name;
pub use status::Status;
