//! One call and where it stands. Holds the state, decides nothing.

use super::deadlines::Due;
use super::peer::PeerId;
use super::slab::Key;
use crate::ids::PoolId;

/// A call of the hub; its number is the id of the request on the wire.
pub type CallId = Key<Call>;

/// A request to run a function, from when it is made until it is answered.
pub struct Call {
    pub pool: PoolId,
    /// Under which the pool finds the function.
    pub mid: i64,
    /// Number of arguments.
    pub args: u32,
    pub origin: Origin,
    /// The call whose function made it.
    pub parent: Option<CallId>,
    pub stage: Stage,
    /// Calls that its function has made and that are not answered.
    pub open_children: u32,
    pub due: Due,
    /// What has come of the answer to a client's call.
    pub collected: Vec<u8>,
}

/// Who waits for the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Somebody outside the hub, under a token of theirs.
    Client(u64),
    /// A worker, under an id of its own.
    Worker { peer: PeerId, id: u64 },
    /// Nobody any more: its answer is dropped.
    Nobody,
}

/// How far a call has come.
pub enum Stage {
    /// It waits for a worker.
    Queued(Payload),
    /// That worker has it.
    Placed(PeerId),
    /// Its worker is done with it, and the answer is coming in.
    Answering,
}

/// The arguments of a call that waits.
pub enum Payload {
    /// All of them.
    Whole { bytes: Vec<u8> },
    /// Their source is paused and holds the front of them.
    Stream { from: PeerId, payload_bytes: u64 },
}
