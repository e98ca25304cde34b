//! The hub: all pools, workers and calls of a process as one state machine. `handle_*` takes events in with the time,
//! `poll_*` gives effects out. Opens no socket, starts no process, reads no clock, and assumes nothing of who calls.
//!
//! What it does with them stands in its siblings: `receive` (messages in), `methods` (what workers ask beside calls),
//! `place` (calls to workers and answers back), `host` (calls that nexus runs itself), `supervise` (pools from start to end),
//! `retire` (workers that are to go), `cancel` (calls that are given up), `fail`
//! (deaths, deadlines and the errors for them), `standing` (who does what, for people).

use super::call::{Call, CallId, Stage};
use super::deadlines::{Deadlines, Due};
use super::host::host_spec;
use super::lifecycle::State;
use super::peer::{Peer, Pressure, Reading, Role, Sink};
use super::process::request as process;
#[cfg(test)]
use super::simulation::Bug;
use super::slab::Slab;
use super::tail::Tail;
use super::timeline::Mark;
use crate::codec::message::write_notification;
use crate::error::{Error, Result};
use crate::ids::PoolId;
use crate::limits::{OUTBOX_BYTES_HIGH, SPOOL_BYTES_MAX};
use crate::manifest::model::{Host, Recycle};
use std::collections::VecDeque;

pub use super::peer::PeerId;

/// What the hub has to know of a pool.
#[derive(Clone, Debug)]
pub struct PoolSpec {
    /// By which foreign calls name it.
    pub name: String,
    /// Most workers at once, at least 1.
    pub workers_max: u32,
    /// From spawn to hello.
    pub hello_ms: u64,
    /// For one call; none: as long as it takes.
    pub call_ms: Option<u64>,
    /// From `shutdown` to SIGTERM, and from there to SIGKILL.
    pub shutdown_ms: u64,
    /// Who starts its workers.
    pub wiring: Wiring,
    /// When a worker is replaced by a new one, as soon as no call runs in it. Calls that are nested in another don't count.
    pub recycle: Recycle,
    /// What its workers may ask for; none: everything.
    pub host: Option<Host>,
}

/// Who starts the workers of a pool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Wiring {
    /// Its own process, which is told so over a control channel.
    #[default]
    Parent,
    /// Nexus: each worker is a process that has one connection, and no other channel.
    Direct,
    /// As `Direct`, but the environment doesn't reach the worker, so it is told what it has to know in a hello; and a signal
    /// reaches only the command that it stands behind.
    Remote,
}

/// A function that a command exports.
#[derive(Clone, Debug)]
pub struct Function {
    /// Name of the command.
    pub name: String,
    /// The pool that runs it.
    pub pool: PoolId,
    /// Under which the pool finds it.
    pub mid: i64,
}

/// A request to run a function, from outside the pools.
#[derive(Debug)]
pub struct Request {
    /// Comes back with the answer.
    pub token: u64,
    /// The pool.
    pub pool: PoolId,
    /// Under which the pool finds the function.
    pub mid: i64,
    /// Number of arguments.
    pub args: u32,
    /// The arguments, as msgpack one after the other.
    pub payload: Vec<u8>,
    /// When to give up; none: when the pool's own limit says so.
    pub timeout_ms: Option<u64>,
    /// The process id of the only worker that has the function.
    pub pid: Option<u32>,
    /// The call in the course of which it is made: one that [`Effect::Host`] told of.
    pub parent: Option<u64>,
}

/// How a process ended, as far as its parent tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It exited with that code.
    Code(i32),
    /// That signal ended it.
    Signal(i32),
    /// It is gone, and nobody said how.
    Unknown,
}

/// A signal for processes of a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// SIGINT: a call was cancelled.
    Int,
    /// SIGTERM
    Term,
    /// SIGKILL
    Kill,
}

/// What the hub wants done.
#[derive(Debug)]
pub enum Effect {
    /// Spawn the pool, with `control` as its control channel, and connect `worker` to its socket at once.
    Spawn {
        /// The pool.
        pool: PoolId,
        /// Peer of its control channel.
        control: PeerId,
        /// Peer of its first worker.
        worker: PeerId,
    },
    /// Connect one more worker.
    Connect {
        /// The pool.
        pool: PoolId,
        /// Peer of the worker.
        worker: PeerId,
    },
    /// Spawn a process that is one worker of a pool without a parent.
    SpawnWorker {
        /// The pool.
        pool: PoolId,
        /// Peer of the worker.
        worker: PeerId,
    },
    /// Close a connection. Comes once for each, also for one that the hub was told is closed, and is the last of it.
    Close(PeerId),
    /// Send a signal to all process groups of a pool.
    Signal(PoolId, Signal),
    /// Send a signal to the process of a worker that was spawned: SIGINT to it alone and after what is to be written to
    /// it, any other to its group.
    SignalWorker(PeerId, Signal),
    /// Tell [`Hub::handle_weight`] the memory of the worker that has this process id.
    Weigh(PeerId, u32),
    /// A worker asks something about worker processes: tell [`Hub::handle_process_answer`]. On behalf of that call, if it is
    /// known.
    Process {
        /// The worker.
        worker: PeerId,
        /// Its own id of the request.
        request: u64,
        /// The call.
        call: Option<CallId>,
        /// What it asks.
        asked: process::Request,
    },
    /// A call has ended for which worker processes were started, well or not. Where it has ended well,
    /// [`Hub::handle_joined`] is awaited.
    EndOwner(CallId, bool),
    /// A request is answered: the result as msgpack.
    Answer {
        /// The token of the request.
        token: u64,
        /// The result, or why there is none.
        result: Result<Vec<u8>>,
    },
    /// A worker calls a function that nexus runs itself. [`Hub::answer`] has to be told what came of it.
    Host {
        /// The call's number.
        call: u64,
        /// Which function.
        mid: i64,
        /// Number of arguments.
        args: u32,
        /// The arguments, as msgpack one after the other.
        payload: Vec<u8>,
    },
    /// Nobody waits any more for the answer to such a call.
    CancelHost(u64),
    /// Something happened, and somebody wants to know.
    Mark(Mark),
    /// A function has something to say to people.
    Note {
        /// The pool that it runs in.
        pool: PoolId,
        /// What it says.
        note: Note,
        /// The token of the request in the course of which, if it is known.
        client: Option<u64>,
    },
}

/// What a function says while it runs.
#[derive(Clone, Debug, PartialEq)]
pub enum Note {
    /// A line for the log.
    Log {
        /// How much it matters, in the function's own word.
        level: String,
        /// The line.
        text: String,
    },
    /// How far it is.
    Progress {
        /// Units done.
        done: f64,
        /// Units in all; 0 if it can't know.
        total: f64,
        /// What is being done.
        label: String,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Timer {
    /// Its hello, or the end of its grace.
    Pool(PoolId),
    /// Its hello, the report of its death, the end of a grace or of its idleness.
    Worker(PeerId),
    /// The end of the process that was that worker.
    Process(PeerId),
    /// The answer to it.
    Call(CallId),
}

/// The process of a worker without a parent, which may outlive its connection.
pub(super) struct Process {
    /// The worker; its key stays the process's name when the connection is gone.
    pub worker: PeerId,
    pub pressure: Pressure,
    pub due: Due,
}

pub(super) struct Pool {
    pub spec: PoolSpec,
    pub state: State,
    pub control: Option<PeerId>,
    pub due: Due,
    /// Calls that wait for a worker, oldest first.
    pub queue: VecDeque<CallId>,
    pub workers: Vec<PeerId>,
    /// Most workers at once: what its spec says, or fewer if it can't make them.
    pub workers_max: usize,
    /// Workers that the pool says it has or was asked to make.
    pub forked: u32,
    /// Requests for one more that are not answered.
    pub open_grows: u32,
    /// Deaths that were reported before the connection's end was seen: process id and how.
    pub exits: Vec<(u32, Ended)>,
    pub pid: u32,
    pub tail: Tail,
    /// Why it takes no calls any more, for those that come late.
    pub fault: Option<Box<Error>>,
    /// Why nexus is ending it, for those whose calls end with it.
    pub why: Option<String>,
    /// Processes of workers without a parent.
    pub processes: Vec<Process>,
    /// It can pass on signals to its workers.
    pub can_signal: bool,
    /// All of it is to be replaced, since its workers can't be one by one: it takes no new chains.
    pub is_recycling: bool,
    /// When it died by itself, or could not be started, within the last [`crate::limits::DEATHS_WINDOW_MS`].
    pub deaths: VecDeque<u64>,
}

/// The state machine.
pub struct Hub {
    pub(super) pools: Vec<Pool>,
    pub(super) functions: Vec<Function>,
    pub(super) peers: Slab<Peer>,
    pub(super) calls: Slab<Call>,
    pub(super) deadlines: Deadlines<Timer>,
    pub(super) effects: VecDeque<Effect>,
    /// Peers that have something to write.
    pub(super) listed: VecDeque<PeerId>,
    /// Payload bytes of all calls that wait.
    pub(super) queued_bytes: usize,
    /// See [`SPOOL_BYTES_MAX`].
    pub(super) spool_bytes_max: usize,
    /// The last open call has ended since workers that hold function values were last looked at.
    pub(super) all_over: bool,
    /// All pools were told to end: none is started any more.
    pub(super) is_ending: bool,
    /// It tells what happens.
    pub(super) keeps_marks: bool,
    /// What nexus runs itself goes on, whatever the calls do that it has made.
    pub(super) is_host_busy: bool,
    /// Plants a bug for the simulation to find.
    #[cfg(test)]
    pub(super) planted: Option<Bug>,
    /// Calls that failed because nothing went on.
    #[cfg(test)]
    pub(super) deadlocks: u64,
}

impl Hub {
    /// A hub with these pools, none of which runs. A pool's position is its [`PoolId`]. One more stands for what nexus runs
    /// itself: it has no name, and never starts.
    pub fn new(pools: Vec<PoolSpec>, functions: Vec<Function>) -> Hub {
        let pools = pools.into_iter().chain([host_spec()]);
        let pools = pools.map(|spec| Pool {
            spec,
            state: State::Idle,
            control: None,
            due: None,
            queue: VecDeque::new(),
            workers: Vec::new(),
            workers_max: 0,
            forked: 0,
            open_grows: 0,
            exits: Vec::new(),
            pid: 0,
            tail: Tail::default(),
            fault: None,
            why: None,
            processes: Vec::new(),
            can_signal: false,
            is_recycling: false,
            deaths: VecDeque::new(),
        });
        Hub {
            pools: pools.collect(),
            functions,
            peers: Slab::new(),
            calls: Slab::new(),
            deadlines: Deadlines::new(),
            effects: VecDeque::new(),
            listed: VecDeque::new(),
            queued_bytes: 0,
            spool_bytes_max: SPOOL_BYTES_MAX,
            all_over: false,
            is_ending: false,
            is_host_busy: false,
            keeps_marks: false,
            #[cfg(test)]
            planted: None,
            #[cfg(test)]
            deadlocks: 0,
        }
    }

    /// Takes the next effect.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// Takes a peer that has something to write. It comes again only once more is added to what it has, so the caller
    /// remembers those whose sockets are full.
    pub fn poll_output(&mut self) -> Option<PeerId> {
        let id = self.listed.pop_front()?;
        if let Some(peer) = self.peers.get_mut(id) {
            peer.is_listed = false;
        }
        Some(id)
    }

    /// What can be written to a peer now; empty if nothing.
    pub fn output(&self, peer: PeerId) -> &[u8] {
        self.peers.get(peer).map_or(&[], |peer| peer.outbox.chunk())
    }

    /// Takes off what was written of [`Hub::output`].
    pub fn advance_output(&mut self, peer: PeerId, written: usize) {
        if let Some(peer) = self.peers.get_mut(peer) {
            peer.outbox.advance(written);
        }
    }

    /// The pool that a peer is a worker of; none if it is none, or gone.
    pub fn pool_of_worker(&self, id: PeerId) -> Option<PoolId> {
        let peer = self.peers.get(id)?;
        peer.worker().map(|_| peer.pool)
    }

    /// Whether to read from a peer: false while what it sends can't be passed on.
    pub fn wants_input(&self, id: PeerId) -> bool {
        let Some(peer) = self.peers.get(id) else {
            return false;
        };
        let stalled_by = peer.stalled_by.and_then(|other| self.peers.get(other));
        let is_stalled = stalled_by.is_some_and(|other| other.outbox.is_full_for(id));
        #[cfg(test)]
        let is_stalled = is_stalled && self.planted != Some(Bug::IgnoreFullOutbox);
        !is_stalled && !peer.is_closed() && !self.is_paused(peer)
    }

    /// Whether a peer has to stop in the middle of a call until that has a worker.
    pub(super) fn is_paused(&self, peer: &Peer) -> bool {
        let Reading::Body {
            sink: Sink::Argument(call),
            ..
        } = peer.reading
        else {
            return false;
        };
        self.queued_bytes >= self.spool_bytes_max || self.is_early(call)
    }

    /// Whether much has come of a call whose pool has no worker yet. One that is not there can't wait for the sender, so
    /// the sender may.
    fn is_early(&self, call: CallId) -> bool {
        let Some(call) = self.calls.get(call) else {
            return false;
        };
        let Stage::Queued(payload) = &call.stage else {
            return false;
        };
        let is_ready = |id: &PeerId| self.peers.get(*id).and_then(Peer::ready_worker).is_some();
        let workers = &self.pools[call.pool.index()].workers;
        payload.bytes.len() >= OUTBOX_BYTES_HIGH && !workers.iter().any(is_ready)
    }

    /// When [`Hub::handle_timeout`] is due next, in milliseconds.
    pub fn next_deadline(&self) -> Option<u64> {
        self.deadlines.next_ms()
    }

    /// Adds what a pool wrote to its standard output or error, for its errors.
    pub fn handle_stderr(&mut self, pool: PoolId, bytes: &[u8]) {
        self.pools[pool.index()].tail.push(bytes);
    }

    /// Whether a call is open.
    pub fn has_calls(&self) -> bool {
        !self.calls.is_empty()
    }

    /// Whether no pool runs any more.
    pub fn is_finished(&self) -> bool {
        self.pools
            .iter()
            .all(|pool| matches!(pool.state, State::Idle | State::Backoff | State::Failed))
    }

    pub(super) fn add_peer(&mut self, pool: PoolId, role: Role) -> PeerId {
        self.peers.insert(Peer::new(pool, role))
    }

    /// Sends a notification with so many params, which are a few bytes.
    pub(super) fn notify(&mut self, to: PeerId, method: &str, values: u32, params: &[u8]) {
        if let Some(peer) = self.peers.get_mut(to) {
            peer.outbox.append(|out| {
                // Far below the size of a frame.
                let _ = write_notification(out, method, values, params.len() as u64);
                out.extend_from_slice(params);
            });
            self.list(to);
        }
    }

    /// Notes that something was added to a peer's outbox.
    pub(super) fn list(&mut self, id: PeerId) {
        if let Some(peer) = self.peers.get_mut(id)
            && !peer.is_listed
            && !peer.outbox.chunk().is_empty()
        {
            peer.is_listed = true;
            self.listed.push_back(id);
        }
    }
}
