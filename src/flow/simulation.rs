//! The engine in a world that is drawn from a seed: random graphs, edits while they run, failing nodes, virtual time.

pub mod hooks;

/// A bug in the engine that is there only to be found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Bug {
    /// What a run that is given up has asked for goes on.
    ForgetUndo,
    /// The answer of an error's handler is lost.
    LoseAnswer,
}
