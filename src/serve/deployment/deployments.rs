//! The table of all deployments and of their generations. What is asked of the shell for them comes out as effects; each
//! load that it was asked for is followed by one unload, also when the load fails or is given up.
//!
//! Its siblings have the rest: `calls` (what callers do), `change` (files that change), `status` (what there is, for people).

use super::calls::Waiting;
use super::change::Change;
use super::lifecycle::{Action, Event, State, next};
use super::name::Name;
#[cfg(test)]
use super::simulation::Bug;
use crate::codec::nearest::nearest;
use crate::core::deadlines::{Deadlines, Due};
use crate::core::slab::{Key, Slab};
use crate::error::{Error, Kind, Result};
use crate::ids::PoolId;
use crate::limits::{
    DEATHS_WINDOW_MS, DEPLOYMENT_CALLS_MAX, DEPLOYMENTS_MAX, DRAIN_GRACE_MS, LEAVING_MAX, LOAD_MS_MAX,
    WAITING_CALLS_MAX,
};
use crate::map::Map;
use std::collections::VecDeque;

/// One generation of a deployment: a program that is loaded, with its own session. Never used twice.
pub type DeploymentId = Key<Generation>;

pub(super) type EntryId = Key<Deployment>;

/// When a deployment is loaded that serves nothing yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// As soon as it is deployed.
    AtOnce,
    /// When it is first called.
    OnCall,
}

/// What the shell tells of a pool of a generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PoolState {
    /// It takes calls.
    Up,
    /// It has died by itself; the hub starts it again.
    Down,
    /// It has died too often, and is not started again before that time, in milliseconds.
    LeftAlone(u64),
}

/// What is wanted of the shell.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Load a generation. Answered once, with [`Deployments::handle_loaded`] or [`Deployments::handle_load_failed`].
    Load {
        /// The generation.
        id: DeploymentId,
        /// Path of the program or folder.
        source: String,
    },
    /// Unload a generation that was to be loaded, however far that has come. Answered once, with
    /// [`Deployments::handle_unloaded`], when nothing of it is left. Comes once for each `Load`.
    Unload {
        /// The generation.
        id: DeploymentId,
        /// Whatever runs in it; its calls end with errors, and each is ended with [`Deployments::end_call`].
        is_at_once: bool,
    },
    /// A call that waited begins. It is ended with [`Deployments::end_call`].
    Begin {
        /// As the call was begun with.
        token: u64,
        /// Where it runs.
        id: DeploymentId,
    },
    /// A call that waited is refused.
    Refuse {
        /// As the call was begun with.
        token: u64,
        /// Why, and when to come back.
        refusal: super::Refusal,
    },
    /// A generation has changed its state. For logs, and for those who wait until it serves.
    Notice(Box<Notice>),
}

/// A generation has changed its state.
#[derive(Clone, Debug, PartialEq)]
pub struct Notice {
    /// The generation.
    pub id: DeploymentId,
    /// Its deployment.
    pub name: Name,
    /// Which of its deployment it is, from 1.
    pub number: u64,
    /// Its new state.
    pub state: State,
    /// Why it could not be loaded.
    pub error: Option<Box<Error>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Timer {
    Generation(DeploymentId),
    Change(EntryId),
}

/// A program that is loaded, was, or is to be.
pub struct Generation {
    pub(super) of: EntryId,
    pub(super) number: u64,
    pub(super) source: String,
    pub(super) state: State,
    /// Calls that run in it.
    pub(super) open: usize,
    /// Pools that are not started again before a time.
    pub(super) left_alone: Map<PoolId, u64>,
    pub(super) loaded_at_ms: u64,
    due: Due,
}

/// All that is known under one name.
pub(super) struct Deployment {
    pub name: Name,
    /// Of the newest generation.
    pub source: String,
    pub start: Start,
    /// It is loaded before its first call.
    pub is_wanted: bool,
    /// The next, which waits for its first call or its turn.
    pub staged: Option<DeploymentId>,
    pub loading: Option<DeploymentId>,
    /// The one that calls go to.
    pub serving: Option<DeploymentId>,
    /// Those on their way out.
    pub leaving: usize,
    /// Number of the newest generation.
    pub number: u64,
    pub waiting: VecDeque<Waiting>,
    /// Calls that run, in all generations.
    pub open: usize,
    /// Deaths of pools.
    pub restarts: u64,
    /// Why the last load went wrong, and when, in milliseconds.
    pub failure: Option<(Box<Error>, u64)>,
    /// Of the files as they were last loaded.
    pub fingerprint: Option<u64>,
    pub change: Option<Change>,
    pub change_due: Due,
    /// It is there only until its last generation is gone.
    pub is_deleted: bool,
}

/// How much there may be at once.
pub(super) struct Bounds {
    pub deployments: usize,
    /// Calls of one deployment that run or wait.
    pub calls: usize,
    /// Calls that wait for one deployment.
    pub waiting: usize,
}

/// The state machine.
pub struct Deployments {
    pub(super) entries: Slab<Deployment>,
    pub(super) names: Map<Name, EntryId>,
    pub(super) generations: Slab<Generation>,
    pub(super) deadlines: Deadlines<Timer>,
    pub(super) effects: VecDeque<Effect>,
    /// The server ends: what its generations have to end their calls, in milliseconds.
    pub(super) ending_grace_ms: Option<u64>,
    pub(super) bounds: Bounds,
    /// Plants a bug for the simulation to find.
    #[cfg(test)]
    pub(super) planted: Option<Bug>,
}

impl Default for Deployments {
    fn default() -> Deployments {
        Deployments::new()
    }
}

impl Deployments {
    /// Without any.
    pub fn new() -> Deployments {
        Deployments {
            entries: Slab::new(),
            names: Map::new(),
            generations: Slab::new(),
            deadlines: Deadlines::new(),
            effects: VecDeque::new(),
            ending_grace_ms: None,
            bounds: Bounds {
                deployments: DEPLOYMENTS_MAX,
                calls: DEPLOYMENT_CALLS_MAX,
                waiting: WAITING_CALLS_MAX,
            },
            #[cfg(test)]
            planted: None,
        }
    }

    /// Deploys a source under a name, beside what is there: it takes over once it is loaded. A generation that is being loaded
    /// goes first; one that still waits is dropped. [`Kind::Overloaded`] if there are too many, [`Kind::Unavailable`] if the
    /// server ends.
    pub fn deploy(&mut self, name: Name, source: String, start: Start, now_ms: u64) -> Result<DeploymentId> {
        if self.ending_grace_ms.is_some() {
            return Err(Error::new(Kind::Unavailable, "the server ends"));
        }
        let key = match self.names.get(&name) {
            Some(key) => *key,
            None if self.entries.len() >= self.bounds.deployments => {
                let most = self.bounds.deployments;
                let message = format!("there are {most} deployments already, as many as there may be");
                return Err(Error::new(Kind::Overloaded, message));
            }
            None => {
                let key = self.entries.insert(Deployment::new(name.clone()));
                self.names.insert(name, key);
                key
            }
        };
        let entry = self.entries.get_mut(key).expect("names name entries");
        entry.source = source;
        entry.start = start;
        entry.is_deleted = false;
        Ok(self.renew(key, now_ms))
    }

    /// Loads the source of a deployment again, as [`Deployments::deploy`] does. [`Kind::NotFound`] if there is none.
    pub fn reload(&mut self, name: &Name, now_ms: u64) -> Result<DeploymentId> {
        let key = self.find(name)?;
        if self.ending_grace_ms.is_some() {
            return Err(Error::new(Kind::Unavailable, "the server ends"));
        }
        Ok(self.renew(key, now_ms))
    }

    /// Loads a deployment that is to be loaded with its first call, for somebody has to know what it can do; with none all of
    /// them. Its pools start with its first call all the same.
    pub fn want(&mut self, name: Option<&Name>, now_ms: u64) {
        let keys: Vec<EntryId> = match name {
            Some(name) => self.names.get(name).copied().into_iter().collect(),
            None => self.names.values().copied().collect(),
        };
        for key in keys {
            if let Some(entry) = self.entries.get_mut(key)
                && !std::mem::replace(&mut entry.is_wanted, true)
            {
                self.go_on(key, now_ms);
            }
        }
    }

    /// Takes a deployment away, whatever its state: it is not found from now on, and the calls that run in it end within
    /// the grace. [`Kind::NotFound`] if there is none.
    pub fn delete(&mut self, name: &Name, now_ms: u64) -> Result<()> {
        let key = self.find(name)?;
        let entry = self.entries.get_mut(key).expect("it was found");
        entry.is_deleted = true;
        entry.failure = None;
        entry.restarts = 0;
        self.leave_all(key, now_ms);
        let error = Error::new(Kind::NotFound, format!("deployment '{name}' was deleted"));
        self.refuse_waiting(key, &error, None);
        self.forget_if_over(key);
        Ok(())
    }

    /// The server ends: no new calls are taken, and every generation has a time to end its calls.
    pub fn drain(&mut self, grace_ms: u64, now_ms: u64) {
        self.ending_grace_ms = Some(grace_ms);
        let keys: Vec<EntryId> = self.entries.iter().map(|(key, _)| key).collect();
        let error = Error::new(Kind::Unavailable, "the server ends");
        for key in keys {
            self.leave_all(key, now_ms);
            self.refuse_waiting(key, &error, None);
            self.forget_if_over(key);
        }
        // Those that drain already have no more time than the others.
        let due_ms = now_ms.saturating_add(grace_ms);
        for id in self.ids_in(State::Draining) {
            if let Some(generation) = self.generations.get_mut(id)
                && generation.due.is_none_or(|due| due > due_ms)
            {
                self.deadlines
                    .set(Timer::Generation(id), &mut generation.due, Some(due_ms));
            }
        }
    }

    /// As [`Deployments::drain`], without any grace.
    pub fn terminate(&mut self, now_ms: u64) {
        self.drain(0, now_ms);
        for id in self.ids_in(State::Draining) {
            self.apply(id, Event::Terminate, now_ms);
        }
    }

    /// Whether the server has ended: all is unloaded.
    pub fn is_finished(&self) -> bool {
        self.ending_grace_ms.is_some() && self.generations.is_empty()
    }

    /// A generation is loaded: it takes over. The fingerprint is that of its files, taken before they were read.
    pub fn handle_loaded(&mut self, id: DeploymentId, fingerprint: u64, now_ms: u64) {
        let Some(key) = self.loading_entry(id) else {
            return;
        };
        let entry = self.entries.get_mut(key).expect("it was found");
        entry.fingerprint = Some(fingerprint);
        entry.failure = None;
        // Calls that begin after go to the new one; the old one ends its own.
        #[cfg(test)]
        if self.planted == Some(Bug::BothServe) {
            entry.serving = None;
        }
        let entry = self.entries.get_mut(key).expect("it was found");
        if let Some(old) = entry.serving {
            self.leave(old, now_ms);
        }
        self.apply(id, Event::Loaded, now_ms);
        self.degrade(id, now_ms);
        self.begin_waiting(key);
        self.settle_change(key, now_ms);
        self.go_on(key, now_ms);
    }

    /// A generation could not be loaded: what serves goes on. The fingerprint is that of its files, taken before they were
    /// read.
    pub fn handle_load_failed(&mut self, id: DeploymentId, fingerprint: u64, error: Box<Error>, now_ms: u64) {
        let Some(key) = self.loading_entry(id) else {
            return;
        };
        self.entries.get_mut(key).expect("it was found").fingerprint = Some(fingerprint);
        self.fail(id, error, now_ms);
    }

    /// Nothing of a generation is left.
    pub fn handle_unloaded(&mut self, id: DeploymentId, now_ms: u64) {
        let Some(key) = self.generations.get(id).map(|generation| generation.of) else {
            return;
        };
        self.apply(id, Event::Unloaded, now_ms);
        self.go_on(key, now_ms);
        self.forget_if_over(key);
    }

    /// A pool of a generation has died, may not be started for a while, or is back.
    pub fn handle_pool_state(&mut self, id: DeploymentId, pool: PoolId, state: PoolState, now_ms: u64) {
        let Some(generation) = self.generations.get_mut(id) else {
            return;
        };
        if !matches!(generation.state, State::Loading | State::Ready | State::Degraded) {
            return;
        }
        match state {
            PoolState::LeftAlone(until_ms) => {
                // Longer than deaths count nothing is left alone.
                let until_ms = until_ms.min(now_ms.saturating_add(DEATHS_WINDOW_MS));
                generation.left_alone.insert(pool, until_ms);
            }
            PoolState::Up | PoolState::Down => {
                generation.left_alone.remove(&pool);
            }
        }
        if state != PoolState::Up
            && let Some(entry) = self.entries.get_mut(generation.of)
        {
            entry.restarts += 1;
        }
        self.degrade(id, now_ms);
    }

    /// When [`Deployments::handle_timeout`] is due next, in milliseconds.
    pub fn next_deadline(&self) -> Option<u64> {
        self.deadlines.next_ms()
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now_ms: u64) {
        while let Some(timer) = self.deadlines.pop(now_ms) {
            match timer {
                Timer::Generation(id) => self.time_out(id, now_ms),
                Timer::Change(key) => {
                    if let Some(entry) = self.entries.get_mut(key) {
                        entry.change_due = None;
                    }
                    self.settle_change(key, now_ms);
                    self.go_on(key, now_ms);
                }
            }
        }
    }

    /// Takes the next effect.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    fn time_out(&mut self, id: DeploymentId, now_ms: u64) {
        let Some(generation) = self.generations.get_mut(id) else {
            return;
        };
        generation.due = None;
        match generation.state {
            State::Loading => {
                let name = &self.entries.get(generation.of).expect("it is of one").name;
                let seconds = LOAD_MS_MAX / 1000;
                let message = format!("deployment '{name}' was not loaded within {seconds} s");
                self.fail(id, Error::new(Kind::Timeout, message), now_ms);
            }
            State::Draining => self.apply(id, Event::Terminate, now_ms),
            _ => self.degrade(id, now_ms),
        }
    }

    /// The deployment of a name that is not deleted.
    pub(super) fn find(&self, name: &Name) -> Result<EntryId> {
        let key = self.names.get(name).copied();
        let is_there = |key: &EntryId| self.entries.get(*key).is_some_and(|entry| !entry.is_deleted);
        key.filter(is_there).ok_or_else(|| {
            let error = Error::new(Kind::NotFound, format!("there is no deployment '{name}'"));
            let is_shown = |entry: &Deployment| !entry.is_deleted && !entry.name.is_own();
            let others = self.entries.iter().filter(|(_, entry)| is_shown(entry));
            let others: Vec<String> = others.map(|(_, entry)| entry.name.to_string()).collect();
            match nearest(&name.to_string(), others.iter().map(String::as_str)) {
                Some(near) => error.hint(format!("'{near}' is there")),
                None => error,
            }
        })
    }

    fn ids_in(&self, state: State) -> Vec<DeploymentId> {
        let found = self.generations.iter().filter(|(_, each)| each.state == state);
        found.map(|(id, _)| id).collect()
    }

    fn loading_entry(&self, id: DeploymentId) -> Option<EntryId> {
        let generation = self.generations.get(id)?;
        (generation.state == State::Loading).then_some(generation.of)
    }

    /// Stages a new generation in place of one that still waits.
    pub(super) fn renew(&mut self, key: EntryId, now_ms: u64) -> DeploymentId {
        let entry = self.entries.get_mut(key).expect("it was found");
        entry.number += 1;
        // It reads the files as they are when its turn comes.
        entry.change = None;
        self.deadlines
            .set(Timer::Change(key), &mut entry.change_due, None);
        let id = self.generations.insert(Generation {
            of: key,
            number: entry.number,
            source: entry.source.clone(),
            state: State::Staged,
            open: 0,
            left_alone: Map::new(),
            loaded_at_ms: 0,
            due: None,
        });
        if let Some(dropped) = entry.staged.replace(id) {
            self.apply(dropped, Event::Drain, now_ms);
        }
        self.tell(id, None);
        self.go_on(key, now_ms);
        id
    }

    /// Loads the generation that waits, if it is wanted and has its turn.
    pub(super) fn go_on(&mut self, key: EntryId, now_ms: u64) {
        let Some(entry) = self.entries.get(key) else {
            return;
        };
        let is_called = entry.serving.is_some() || !entry.waiting.is_empty();
        let is_wanted = entry.start == Start::AtOnce || entry.is_wanted || is_called;
        if let Some(staged) = entry.staged
            && is_wanted
            && entry.loading.is_none()
            && entry.leaving < LEAVING_MAX
        {
            self.apply(staged, Event::Load, now_ms);
        }
    }

    fn fail(&mut self, id: DeploymentId, error: Box<Error>, now_ms: u64) {
        let Some(key) = self.loading_entry(id) else {
            return;
        };
        let entry = self.entries.get_mut(key).expect("it was found");
        let has_others = entry.serving.is_some() || entry.staged.is_some();
        entry.failure = Some((error.clone(), now_ms));
        self.apply(id, Event::LoadFailed, now_ms);
        #[cfg(test)]
        let has_others = has_others || self.planted == Some(Bug::ForgetWaiting);
        if !has_others {
            self.refuse_waiting(key, &error, None);
        }
        self.settle_change(key, now_ms);
        self.go_on(key, now_ms);
    }

    /// Asks a generation to end its calls, if it has any.
    fn leave(&mut self, id: DeploymentId, now_ms: u64) {
        self.apply(id, Event::Drain, now_ms);
        let is_idle = self.generations.get(id).is_some_and(|each| each.open == 0);
        #[cfg(test)]
        let is_idle = is_idle || self.planted == Some(Bug::UnloadEarly);
        if is_idle {
            self.apply(id, Event::Idle, now_ms);
        }
    }

    fn leave_all(&mut self, key: EntryId, now_ms: u64) {
        let entry = self.entries.get_mut(key).expect("it was found");
        entry.change = None;
        self.deadlines
            .set(Timer::Change(key), &mut entry.change_due, None);
        let all = [entry.staged, entry.loading, entry.serving];
        for id in all.into_iter().flatten() {
            self.leave(id, now_ms);
        }
    }

    /// A deployment that was deleted is forgotten with its last generation.
    fn forget_if_over(&mut self, key: EntryId) {
        let is_over = |entry: &Deployment| {
            let has_some = entry.staged.or(entry.loading).or(entry.serving).is_some();
            entry.is_deleted && !has_some && entry.leaving == 0
        };
        if self.entries.get(key).is_some_and(is_over)
            && let Some(entry) = self.entries.remove(key)
        {
            self.names.remove(&entry.name);
        }
    }

    /// Looks which pools of a generation are still left alone.
    fn degrade(&mut self, id: DeploymentId, now_ms: u64) {
        let Some(generation) = self.generations.get_mut(id) else {
            return;
        };
        generation.left_alone.retain(|_, until_ms| *until_ms > now_ms);
        let until_ms = generation.left_alone.values().max().copied();
        if !matches!(generation.state, State::Ready | State::Degraded) {
            return;
        }
        #[cfg(test)]
        let due_ms = until_ms.filter(|_| self.planted != Some(Bug::EndlessDegraded));
        #[cfg(not(test))]
        let due_ms = until_ms;
        self.deadlines
            .set(Timer::Generation(id), &mut generation.due, due_ms);
        let event = match until_ms {
            Some(_) => Event::LeftAlone,
            None => Event::Back,
        };
        self.apply(id, event, now_ms);
    }

    /// Takes a generation to its next state, and does what that asks for.
    pub(super) fn apply(&mut self, id: DeploymentId, event: Event, now_ms: u64) {
        let Some(generation) = self.generations.get_mut(id) else {
            return;
        };
        let before = generation.state;
        let (state, action) = next(before, event);
        if state == before {
            return;
        }
        generation.state = state;
        let due = match state {
            State::Loading => Some(now_ms.saturating_add(LOAD_MS_MAX)),
            State::Draining => Some(now_ms.saturating_add(self.ending_grace_ms.unwrap_or(DRAIN_GRACE_MS))),
            // Its pools have set it.
            State::Degraded => generation.due,
            _ => None,
        };
        #[cfg(test)]
        let due = due.filter(|_| state != State::Draining || self.planted != Some(Bug::EndlessDrain));
        self.deadlines
            .set(Timer::Generation(id), &mut generation.due, due);
        match action {
            Action::None => {}
            Action::Load => self.effects.push_back(Effect::Load {
                id,
                source: generation.source.clone(),
            }),
            Action::Unload | Action::UnloadAtOnce => self.effects.push_back(Effect::Unload {
                id,
                is_at_once: action == Action::UnloadAtOnce,
            }),
        }
        let entry = self.entries.get_mut(generation.of).expect("it is of one");
        #[cfg(test)]
        let stays = state == State::Failed && self.planted == Some(Bug::FailureStays);
        #[cfg(not(test))]
        let stays = false;
        for place in [&mut entry.staged, &mut entry.loading, &mut entry.serving] {
            if *place == Some(id) && !stays {
                *place = None;
            }
        }
        entry.leaving += usize::from(state.is_leaving());
        entry.leaving -= usize::from(before.is_leaving());
        match state {
            State::Staged => entry.staged = Some(id),
            State::Loading => {
                entry.loading = Some(id);
                // Which files it reads is known once it has read them.
                entry.fingerprint = None;
            }
            State::Ready | State::Degraded => entry.serving = Some(id),
            State::Draining | State::Unloading | State::Failed | State::Gone => {}
        }
        if before == State::Loading && state == State::Ready {
            generation.loaded_at_ms = now_ms;
        }
        let error = (state == State::Failed).then(|| entry.failure.as_ref().map(|(error, _)| error.clone()));
        self.tell(id, error.flatten());
        if state == State::Gone
            && let Some(gone) = self.generations.remove(id)
            && let Some(entry) = self.entries.get_mut(gone.of)
        {
            // Calls that the shell has not ended by now never will be.
            entry.open -= gone.open;
        }
    }

    fn tell(&mut self, id: DeploymentId, error: Option<Box<Error>>) {
        if let Some(generation) = self.generations.get(id)
            && let Some(entry) = self.entries.get(generation.of)
        {
            self.effects.push_back(Effect::Notice(Box::new(Notice {
                id,
                name: entry.name.clone(),
                number: generation.number,
                state: generation.state,
                error,
            })));
        }
    }
}

impl Deployment {
    fn new(name: Name) -> Deployment {
        Deployment {
            name,
            source: String::new(),
            start: Start::AtOnce,
            is_wanted: false,
            staged: None,
            loading: None,
            serving: None,
            leaving: 0,
            number: 0,
            waiting: VecDeque::new(),
            open: 0,
            restarts: 0,
            failure: None,
            fingerprint: None,
            change: None,
            change_due: None,
            is_deleted: false,
        }
    }
}
