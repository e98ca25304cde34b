//! One connection: a pool's control channel or a worker. Holds the state, decides nothing.

use super::call::CallId;
use super::deadlines::Due;
use super::outbox::Outbox;
use super::slab::Key;
use crate::ids::PoolId;

/// A connection of the hub.
pub type PeerId = Key<Peer>;

/// A connection and what is under way on it.
pub struct Peer {
    pub pool: PoolId,
    pub role: Role,
    /// The front of a message that has not come whole.
    pub held: Vec<u8>,
    pub reading: Reading,
    pub outbox: Outbox,
    /// Its last messages filled the outbox of this peer, so nothing is read until that has drained.
    pub stalled_by: Option<PeerId>,
    /// It stands in the list of those that have something to write.
    pub is_listed: bool,
}

/// What a connection is for.
pub enum Role {
    /// Commands to the pool's parent and its reports.
    Control,
    /// Calls to and from one worker.
    Worker(Worker),
}

/// What the next byte of a connection belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// The front of a message.
    Head,
    /// A payload that is passed on as it comes.
    Body { to_come: u64, sink: Sink },
}

/// Where a payload goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sink {
    /// To another peer's outbox, which has a stream open for it.
    Peer(PeerId),
    /// To a call that waits for a worker.
    Argument(CallId),
    /// To the answer of a call that a client made.
    Answer(CallId),
    /// Nowhere: nobody waits for it any more.
    Nobody,
}

/// A worker as its connection shows it.
pub struct Worker {
    pub state: WorkerState,
    pub pid: u32,
    /// Whether it answers requests while it waits for an answer itself.
    pub is_reentrant: bool,
    /// Calls it has been given, in the order in which it nests them: the last is the one that runs.
    pub stack: Vec<CallId>,
    /// Calls that it made and that are not answered.
    pub open_requests: u32,
    /// Its hello, or the report of its death, is due.
    pub due: Due,
}

/// Where a worker stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WorkerState {
    /// Connected; its hello has not come.
    Connecting,
    /// It takes calls.
    Ready,
    /// Its connection is gone; why will be known soon.
    Lost,
}

impl Peer {
    pub fn new(pool: PoolId, role: Role) -> Peer {
        Peer {
            pool,
            role,
            held: Vec::new(),
            reading: Reading::Head,
            outbox: Outbox::default(),
            stalled_by: None,
            is_listed: false,
        }
    }

    /// Whether its connection is gone; then nothing is read from it or written to it.
    pub fn is_closed(&self) -> bool {
        self.worker()
            .is_some_and(|worker| worker.state == WorkerState::Lost)
    }

    /// A worker that may be given calls.
    pub fn ready_worker(&self) -> Option<&Worker> {
        self.worker().filter(|worker| worker.state == WorkerState::Ready)
    }

    pub fn worker(&self) -> Option<&Worker> {
        match &self.role {
            Role::Worker(worker) => Some(worker),
            Role::Control => None,
        }
    }

    pub fn worker_mut(&mut self) -> Option<&mut Worker> {
        match &mut self.role {
            Role::Worker(worker) => Some(worker),
            Role::Control => None,
        }
    }
}

impl Worker {
    pub fn new() -> Worker {
        Worker {
            state: WorkerState::Connecting,
            pid: 0,
            is_reentrant: false,
            stack: Vec::new(),
            open_requests: 0,
            due: None,
        }
    }
}
