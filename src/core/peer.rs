//! One connection: a pool's control channel or a worker. Holds the state, decides nothing.

use super::call::CallId;
use super::deadlines::Due;
use super::outbox::Outbox;
use super::slab::Key;
use crate::ids::PoolId;

/// A connection of the hub.
pub type PeerId = Key<Peer>;

/// A log line that is too long to wait for, as far as it is kept.
pub struct LongNote {
    pub bytes: Vec<u8>,
    pub len: u64,
}

/// A request to nexus that is too long to come whole.
pub struct LongRequest {
    pub id: u64,
    pub method: String,
    pub params: Vec<u8>,
}

/// A connection and what is under way on it.
pub struct Peer {
    pub pool: PoolId,
    pub role: Role,
    /// The front of a message that has not come whole.
    pub held: Vec<u8>,
    pub reading: Reading,
    pub outbox: Outbox,
    /// What has come of a long note: its params.
    pub note: Option<LongNote>,
    /// What has come of a long request to nexus.
    pub asking: Option<LongRequest>,
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
    /// To a call that collects it: the answer of one that a client made, the arguments of one that nexus runs itself.
    Call(CallId),
    /// To a note, which is kept with its sender.
    Note,
    /// To a request that nexus itself answers, which is kept with its sender.
    Request,
    /// Nowhere: nobody waits for it any more.
    Nobody,
}

/// A worker as its connection shows it.
pub struct Worker {
    pub state: WorkerState,
    pub pid: u32,
    /// Whether it answers requests while it waits for an answer itself.
    pub is_reentrant: bool,
    /// Whether its calls run side by side, not nested.
    pub is_concurrent: bool,
    /// Whether it ends when it is told so.
    pub can_retire: bool,
    /// When its hello is overdue.
    pub hello_by_ms: u64,
    /// When it said hello.
    pub ready_ms: u64,
    /// Calls that it has done, those nested in another not counted.
    pub calls_done: u64,
    /// It is given no more chains; once it has none, and nobody can need what it holds, it ends.
    pub is_leaving: bool,
    /// It was asked to end.
    pub is_told_to_leave: bool,
    /// Function values that it has given away live in it.
    pub holds_functions: bool,
    /// How far nexus has gone to end it.
    pub pressure: Pressure,
    /// When the next step is due.
    pub press_at: Due,
    /// Until when it is asked again to give up a call, before force is used.
    pub obey_by_ms: u64,
    /// When it has had no call for too long, or is too old.
    pub leave_at: Due,
    /// Calls it has been given, in the order in which it nests them: the last is the one that runs.
    pub stack: Vec<CallId>,
    /// Calls that it made and that are not answered.
    pub open_requests: u32,
    /// Why nexus is ending it.
    pub why: Option<String>,
    /// The first of what it is waited for: hello, the report of its death, `press_at`, `leave_at`.
    pub due: Due,
}

/// How far nexus has gone to end a worker that does not do what it is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pressure {
    /// Nothing is wanted of it.
    None,
    /// It was asked to give up a call, or to end.
    Asked,
    /// It was sent SIGTERM.
    Term,
    /// It was sent SIGKILL.
    Kill,
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
            note: None,
            asking: None,
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
    /// Its calls that can go on by themselves: all of them side by side, or the last, in which no other is nested.
    pub fn running(&self) -> &[CallId] {
        match self.is_concurrent {
            true => &self.stack,
            false => &self.stack[self.stack.len().saturating_sub(1)..],
        }
    }

    pub fn new() -> Worker {
        Worker {
            state: WorkerState::Connecting,
            pid: 0,
            is_reentrant: false,
            is_concurrent: false,
            can_retire: false,
            hello_by_ms: u64::MAX,
            ready_ms: 0,
            calls_done: 0,
            is_leaving: false,
            is_told_to_leave: false,
            holds_functions: false,
            pressure: Pressure::None,
            press_at: None,
            obey_by_ms: 0,
            leave_at: None,
            why: None,
            stack: Vec::new(),
            open_requests: 0,
            due: None,
        }
    }
}
