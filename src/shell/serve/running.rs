//! A program that is served: its session, and which of the server's calls run in it.

use super::Loaded;
use super::scratch::Scratch;
use crate::core::health::Health;
use crate::error::{Error, Result};
use crate::ids::PoolId;
use crate::manifest::model::Manifest;
use crate::map::Map;
use crate::serve::deployment::PoolState;
use crate::serve::server::{CallId, PoolInfo, ProcessInfo};
use crate::shell::session::Session;
use crate::shell::session::told::Event;
use std::os::fd::{AsRawFd, RawFd};
use std::path::Path;
use std::rc::Rc;

/// How far a program is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Its pools are starting.
    Loading,
    /// It takes calls.
    Serving,
    /// It ends.
    Ending,
}

/// A program that is served.
pub struct Running {
    session: Session,
    pub manifest: Rc<Manifest>,
    pub text: Rc<[u8]>,
    pub fingerprint: u64,
    pub stage: Stage,
    /// The server's calls, by the session's tokens.
    calls: Map<u64, CallId>,
    /// What was last told of each pool.
    pools: Vec<PoolState>,
    /// How often each pool has died.
    deaths: Vec<u64>,
    /// The poll said that it has something to do.
    pub is_ready: bool,
    /// Lasts as long as the program.
    _scratch: Option<Scratch>,
}

/// What has come of a program.
pub enum Outcome {
    /// A call is answered.
    Answer(CallId, Result<Vec<u8>>),
    /// It is loaded.
    Loaded,
    /// It could not be.
    Failed(Box<Error>),
    /// A pool is in another state.
    Pool(PoolId, PoolState),
    /// Something that a function said, in the course of that call if it is known.
    Told(Option<CallId>, Event),
}

impl Running {
    /// A program none of whose pools runs.
    pub fn new(loaded: Loaded, path: &Path, fingerprint: u64) -> Result<Running> {
        let manifest = Rc::new(loaded.manifest);
        let mut session = Session::new(&manifest, path)?;
        session.tell();
        Ok(Running {
            session,
            fingerprint,
            stage: Stage::Loading,
            calls: Map::new(),
            pools: manifest.pools.iter().map(|_| PoolState::Up).collect(),
            deaths: vec![0; manifest.pools.len()],
            manifest,
            text: loaded.text.into(),
            is_ready: true,
            _scratch: loaded.scratch,
        })
    }

    /// Starts all pools.
    pub fn start(&mut self, now: u64) {
        let pools = 0..self.manifest.pools.len() as u32;
        self.session.start_pools(pools.map(PoolId), now);
        self.is_ready = true;
    }

    /// When it has something to do unless the poll says so before, in milliseconds from now.
    pub fn wait_ms(&self, now: u64) -> Option<u64> {
        match self.is_ready {
            true => Some(0),
            false => self.session.wait_ms(now),
        }
    }

    /// Begins a call of a command by its position.
    pub fn begin(&mut self, call: CallId, command: usize, args: Vec<Vec<u8>>, timeout_ms: Option<u64>) {
        let token = self.session.begin_command(command, args, timeout_ms);
        self.calls.insert(token, call);
    }

    /// Gives up a call.
    pub fn cancel(&mut self, call: CallId, error: &Error) {
        let found = self.calls.iter().find(|(_, found)| **found == call);
        if let Some((token, _)) = found {
            self.session.cancel(*token, error);
        }
    }

    /// Goes as far as it can without waiting.
    pub fn step(&mut self, is_silent: bool, buffer: &mut Vec<u8>) -> Result<()> {
        self.is_ready = false;
        self.session.step(is_silent, buffer)
    }

    /// Takes what has come of it.
    pub fn poll_outcome(&mut self) -> Option<Outcome> {
        if let Some(event) = self.session.poll_told() {
            let call = match &event {
                Event::Note { call, .. } => call.and_then(|token| self.calls.get(&token).copied()),
                Event::Printed { .. } => None,
            };
            return Some(Outcome::Told(call, event));
        }
        while let Some((token, answer)) = self.session.poll_answer() {
            if let Some(call) = self.calls.remove(&token) {
                return Some(Outcome::Answer(call, answer));
            }
        }
        match self.stage {
            Stage::Loading => self.poll_loading(),
            Stage::Serving => self.poll_pools(),
            Stage::Ending => None,
        }
    }

    fn pool_ids(&self) -> impl Iterator<Item = PoolId> + use<> {
        (0..self.manifest.pools.len() as u32).map(PoolId)
    }

    fn poll_loading(&mut self) -> Option<Outcome> {
        let mut is_loaded = true;
        for pool in self.pool_ids() {
            match self.session.health(pool) {
                Health::Ready => {}
                Health::Failed(error) => {
                    self.stage = Stage::Ending;
                    return Some(Outcome::Failed(error));
                }
                _ => is_loaded = false,
            }
        }
        is_loaded.then(|| {
            self.stage = Stage::Serving;
            Outcome::Loaded
        })
    }

    /// It takes calls, although its pools don't run yet; these start all the same.
    pub fn serve_lazily(&mut self, pools: &[PoolId], now: u64) {
        let is_known = |pool: &PoolId| pool.index() < self.manifest.pools.len();
        let known: Vec<PoolId> = pools.iter().copied().filter(is_known).collect();
        self.session.start_pools(known, now);
        self.is_ready = true;
        self.stage = Stage::Serving;
    }

    fn poll_pools(&mut self) -> Option<Outcome> {
        for pool in self.pool_ids() {
            let state = match self.session.health(pool) {
                Health::Ready => PoolState::Up,
                Health::Down | Health::Failed(_) => PoolState::Down,
                Health::LeftAlone(until_ms) => PoolState::LeftAlone(until_ms),
                Health::Idle | Health::Changing => continue,
            };
            if std::mem::replace(&mut self.pools[pool.index()], state) != state {
                self.deaths[pool.index()] += u64::from(state != PoolState::Up);
                return Some(Outcome::Pool(pool, state));
            }
        }
        None
    }

    /// Begins to end it.
    pub fn end(&mut self, is_at_once: bool, now: u64) {
        self.stage = Stage::Ending;
        self.is_ready = true;
        self.session.drain(now);
        if is_at_once {
            self.session.kill(now);
        }
    }

    /// Whether nothing of it runs.
    pub fn is_finished(&self) -> bool {
        self.stage == Stage::Ending && self.session.is_finished() && self.calls.is_empty()
    }

    /// Removes what is left of it; `own` are processes of others.
    pub fn close(self, own: &[u32]) {
        self.session.close_beside(own);
    }

    /// Its children.
    pub fn children(&self) -> Vec<u32> {
        self.session.children()
    }

    /// Its pools, for monitors.
    pub fn pools(&self, name: &str) -> Vec<PoolInfo> {
        let processes = self.session.processes();
        let told = self.pool_ids().map(|pool| {
            let calls = processes.iter().filter(|process| process.pool == pool);
            let calls: Vec<usize> = calls.filter_map(|process| process.calls).collect();
            let idle = calls.iter().filter(|calls| **calls == 0).count();
            PoolInfo {
                name: name.to_string(),
                pool: self.manifest.pools[pool.index()].name.clone(),
                waiting: self.session.waiting_calls(pool) as u64,
                idle: idle as u64,
                busy: (calls.len() - idle) as u64,
                restarts: self.deaths[pool.index()],
            }
        });
        told.collect()
    }

    /// Its processes, for people.
    pub fn processes(&self, name: &str) -> Vec<ProcessInfo> {
        let processes = self.session.processes().into_iter();
        let told = processes.map(|process| ProcessInfo {
            name: name.to_string(),
            pool: self.manifest.pools[process.pool.index()].name.clone(),
            pid: process.pid,
            state: match process.calls {
                None => "parent".to_string(),
                Some(0) => "idle".to_string(),
                Some(1) => "busy".to_string(),
                Some(calls) => format!("busy, {calls} calls"),
            },
        });
        told.collect()
    }
}

impl AsRawFd for Running {
    fn as_raw_fd(&self) -> RawFd {
        self.session.as_raw_fd()
    }
}
