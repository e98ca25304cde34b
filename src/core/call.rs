//! One call and where it stands. Holds the state, decides nothing.

use super::deadlines::Due;
use super::peer::PeerId;
use super::slab::Key;
use crate::ids::PoolId;

/// A call of the hub; its number is the id of the request on the wire.
pub type CallId = Key<Call>;

/// A request to run a function, from when it is made until its worker is done with it and whoever waits has its answer.
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
    /// It has to run on the worker with this process id: a function value lives there.
    pub pin: Option<u32>,
    /// Its maker goes on meanwhile, for all that nexus knows.
    pub is_parallel: bool,
    /// Its maker does nothing else, or nothing but to wait for others.
    pub is_awaited: bool,
    /// Its worker was asked to give it up.
    pub is_cancelled: bool,
    /// Worker processes belong to it: its answer is held back until they have ended.
    pub owns_processes: bool,
    /// When a worker was given it.
    pub began_ms: u64,
    /// Calls that its function has made and that are not answered.
    pub open_children: u32,
    /// How many of them its function waits for at once.
    pub awaited: u32,
    /// The last of them.
    pub last_child: Option<CallId>,
    pub due: Due,
    /// What has come of the answer to a client's call, or of the arguments of one that nexus runs itself.
    pub collected: Vec<u8>,
}

impl Call {
    /// A call that [`crate::core::hub::Hub`] is about to put in its queue.
    pub fn new(pool: PoolId, mid: i64, args: u32, origin: Origin, parent: Option<CallId>) -> Call {
        Call {
            pool,
            mid,
            args,
            origin,
            parent,
            pin: None,
            is_parallel: false,
            is_awaited: true,
            is_cancelled: false,
            owns_processes: false,
            began_ms: 0,
            stage: Stage::Answering,
            open_children: 0,
            awaited: 0,
            last_child: None,
            due: None,
            collected: Vec::new(),
        }
    }
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
    /// Nexus runs it itself, once its arguments are there.
    Hosted { is_begun: bool },
}

/// The arguments of a call that waits, as far as they have come.
pub struct Payload {
    pub bytes: Vec<u8>,
    /// How many bytes they are in all.
    pub len: u64,
    /// Who is sending them; none: they are all there.
    pub source: Option<PeerId>,
}

impl Payload {
    /// Arguments that are all there.
    pub fn whole(bytes: Vec<u8>) -> Payload {
        let len = bytes.len() as u64;
        Payload {
            bytes,
            len,
            source: None,
        }
    }
}
