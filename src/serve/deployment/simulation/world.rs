//! The world around the deployments: what happens when, and what the shell, callers and operators do. Judges nothing.

use super::super::{DeploymentId, Deployments, Effect, Name, Notice, PoolState, Start, State};
use super::Bug;
use crate::core::simulation::random::Random;
use crate::core::simulation::trace;
use crate::error::{Error, Kind};
use crate::ids::PoolId;
use std::collections::{BTreeMap, BTreeSet};

const NAMES: usize = 3;
const SOURCES: usize = 2;
/// Steps in which new things happen.
const BUSY_STEPS: u64 = 120;

/// Something that will happen.
#[derive(Clone, Copy)]
enum Event {
    Operate,
    Arrive,
    End(u64),
    HangUp(u64),
    Loaded(DeploymentId, bool),
    Unloaded(DeploymentId),
    Touch(usize),
    Crash,
    Sleep(u64),
    Drain,
}

/// A generation as the shell has it.
pub struct Program {
    pub id: DeploymentId,
    pub name: usize,
    pub state: State,
    /// When it came to that state.
    pub since_ms: u64,
    pub source: usize,
    /// Of its files when it was loaded.
    pub fingerprint: u64,
    /// Its load is never answered.
    pub hangs: bool,
    pub calls: BTreeSet<u64>,
    /// Until when its pools are left alone.
    pub left_alone: BTreeMap<PoolId, u64>,
    pub loads: u32,
    pub unloads: u32,
}

/// What is known of a name.
#[derive(Clone, Default)]
pub struct Known {
    pub is_deployed: bool,
    pub source: usize,
    pub is_on_call: bool,
    pub serving: Option<DeploymentId>,
    pub failed_at_ms: Option<u64>,
    /// What was last loaded, or tried to.
    pub last: Option<DeploymentId>,
}

#[derive(Clone, Copy, PartialEq)]
pub enum Caller {
    Waits,
    Runs(DeploymentId),
}

/// The chances and times of a run.
struct Plan {
    load_ms: u64,
    call_ms: u64,
    unload_ms: u64,
    pause_ms: u64,
    load_fails: u64,
    load_hangs: u64,
    is_late: u64,
    hangs_up: u64,
    weights: [u64; 5],
    drains: bool,
}

pub struct World {
    pub random: Random,
    pub now_ms: u64,
    pub deployments: Deployments,
    pub names: Vec<Name>,
    pub known: Vec<Known>,
    pub programs: BTreeMap<DeploymentId, Program>,
    /// Those that are not gone.
    pub living: BTreeSet<DeploymentId>,
    pub callers: BTreeMap<u64, (usize, Caller)>,
    /// Fingerprints of the files of each source.
    pub files: Vec<u64>,
    pub ends_at_ms: Option<u64>,
    pub is_loud: bool,
    agenda: BTreeMap<(u64, u64), Event>,
    plan: Plan,
    planned: u64,
    last_token: u64,
    steps: u64,
    /// Nothing new goes wrong.
    is_calm: bool,
}

impl World {
    pub fn new(seed: u64, planted: Option<Bug>, is_loud: bool) -> World {
        let mut random = Random::new(seed);
        let mut deployments = Deployments::new();
        deployments.planted = planted;
        deployments.bounds.calls = random.pick(&[2, 8, 1000]);
        deployments.bounds.waiting = random.pick(&[1, 4, 1000]);
        deployments.bounds.deployments = random.pick(&[2, 3, 3]);
        let mut chance = |most: u64| match random.chance(500) {
            true => random.between(1, most),
            false => 0,
        };
        let plan = Plan {
            load_fails: chance(600),
            load_hangs: chance(50),
            is_late: chance(300),
            hangs_up: chance(300),
            weights: [2 + chance(5), 5 + chance(50), chance(10), chance(10), chance(2)],
            load_ms: random.pick(&[0, 100, 3000]),
            call_ms: random.pick(&[10, 1000, 60_000]),
            unload_ms: random.pick(&[0, 50, 5000]),
            pause_ms: random.pick(&[2, 50, 400, 3000]),
            drains: random.chance(300),
        };
        World {
            random,
            now_ms: 0,
            deployments,
            names: (0..NAMES)
                .map(|name| Name::parse(&format!("n{name}")).unwrap())
                .collect(),
            known: vec![Known::default(); NAMES],
            programs: BTreeMap::new(),
            living: BTreeSet::new(),
            callers: BTreeMap::new(),
            files: vec![0; SOURCES],
            ends_at_ms: None,
            is_loud,
            agenda: BTreeMap::new(),
            plan,
            planned: 0,
            last_token: 0,
            steps: 0,
            is_calm: false,
        }
    }

    /// The whole run. How many steps it took.
    pub fn run(mut self) -> u64 {
        for _ in 0..BUSY_STEPS {
            let [operate, arrive, touch, crash, sleep] = self.plan.weights;
            let event = match self.random.below(operate + arrive + touch + crash + sleep) {
                drawn if drawn < operate => Event::Operate,
                drawn if drawn < operate + arrive => Event::Arrive,
                drawn if drawn < operate + arrive + touch => {
                    Event::Touch(self.random.below(SOURCES as u64) as usize)
                }
                drawn if drawn < operate + arrive + touch + crash => Event::Crash,
                _ => Event::Sleep(self.random.between(1, 100_000)),
            };
            let pause_ms = self.random.below(self.plan.pause_ms);
            self.plan_event(pause_ms, event);
            self.step_until(self.now_ms + pause_ms);
        }
        if self.plan.drains {
            self.plan_event(0, Event::Drain);
        }
        self.step_until(u64::MAX);
        self.check_quiet();
        if !self.plan.drains {
            self.is_calm = true;
            self.deploy_all();
            self.plan_event(0, Event::Drain);
            self.step_until(u64::MAX);
        }
        self.check_end();
        self.steps
    }

    fn plan_event(&mut self, in_ms: u64, event: Event) {
        self.planned += 1;
        self.agenda.insert((self.now_ms + in_ms, self.planned), event);
    }

    /// Lets happen what is to happen until then.
    fn step_until(&mut self, until_ms: u64) {
        loop {
            let event_ms = self.agenda.first_key_value().map(|((at_ms, _), _)| *at_ms);
            let due_ms = self.deployments.next_deadline();
            let next_ms = event_ms.into_iter().chain(due_ms).min();
            let Some(next_ms) = next_ms.filter(|next_ms| *next_ms <= until_ms) else {
                return;
            };
            self.steps += 1;
            assert!(self.steps < 1_000_000, "it comes to an end");
            self.now_ms = self.now_ms.max(next_ms);
            // As a poll loop does: first what is due, then what came.
            if due_ms.is_some_and(|due_ms| due_ms <= self.now_ms) {
                self.deployments.handle_timeout(self.now_ms);
                self.settle();
                continue;
            }
            if let Some((_, event)) = self.agenda.pop_first() {
                self.happen(event);
                self.settle();
            }
        }
    }

    fn happen(&mut self, event: Event) {
        let now_ms = self.now_ms;
        match event {
            Event::Operate => self.operate(),
            Event::Arrive => {
                let name = self.random.below(NAMES as u64) as usize;
                self.arrive(name);
            }
            Event::End(token) => self.end(token),
            Event::HangUp(token) => match self.callers.get(&token) {
                Some((_, Caller::Waits)) => {
                    self.callers.remove(&token);
                    self.deployments.give_up(token, now_ms);
                }
                Some(_) => self.end(token),
                None => {}
            },
            Event::Loaded(id, is_good) => self.loaded(id, is_good),
            Event::Unloaded(id) => self.unloaded(id),
            Event::Touch(source) => {
                self.files[source] = self.random.below(4);
                trace!(self, "source {source} changes to {}", self.files[source]);
                self.deployments
                    .handle_changed(&format!("s{source}"), self.files[source], now_ms);
            }
            Event::Crash => self.crash(),
            Event::Sleep(ms) => self.now_ms += ms,
            Event::Drain => {
                let grace_ms = self.random.pick(&[0, 500, 10_000]);
                trace!(self, "drain within {grace_ms}");
                self.ends_at_ms = Some(now_ms + grace_ms);
                self.known.iter_mut().for_each(|known| known.serving = None);
                self.deployments.drain(grace_ms, now_ms);
                if self.random.chance(200) {
                    self.ends_at_ms = Some(now_ms);
                    self.deployments.terminate(now_ms);
                }
            }
        }
    }

    fn operate(&mut self) {
        let name = self.random.below(NAMES as u64) as usize;
        let (known, now_ms) = (&mut self.known[name], self.now_ms);
        match self.random.below(10) {
            0..5 => {
                let source = self.random.below(SOURCES as u64) as usize;
                let is_on_call = self.random.chance(300);
                self.deploy(name, source, is_on_call);
            }
            5..8 => {
                trace!(self, "reload {name}");
                let done = self.deployments.reload(&self.names[name], now_ms);
                assert_eq!(done.is_ok(), self.known[name].is_deployed);
            }
            _ => {
                let was_deployed = known.is_deployed;
                *known = Known::default();
                trace!(self, "delete {name}");
                let done = self.deployments.delete(&self.names[name], now_ms);
                assert_eq!(done.is_ok(), was_deployed);
            }
        }
    }

    fn deploy(&mut self, name: usize, source: usize, is_on_call: bool) {
        trace!(self, "deploy {name} from {source}, on call: {is_on_call}");
        let start = match is_on_call {
            true => Start::OnCall,
            false => Start::AtOnce,
        };
        let has_room = self.has_room(name);
        let done =
            self.deployments
                .deploy(self.names[name].clone(), format!("s{source}"), start, self.now_ms);
        assert_eq!(done.is_ok(), has_room, "there is room or there is none");
        if has_room {
            let known = &mut self.known[name];
            (known.is_deployed, known.source, known.is_on_call) = (true, source, is_on_call);
        }
    }

    fn arrive(&mut self, name: usize) {
        self.last_token += 1;
        let (token, now_ms) = (self.last_token, self.now_ms);
        let expected = self.expected(name);
        let begun = self.deployments.begin_call(&self.names[name], token, now_ms);
        trace!(self, "call {token} of {name}: {begun:?}");
        let found = match begun {
            Ok(Some(id)) => {
                self.begin(token, name, id);
                Ok(Some(id))
            }
            Ok(None) => {
                self.callers.insert(token, (name, Caller::Waits));
                Ok(None)
            }
            Err(refusal) => Err((refusal.error.kind, refusal.again_ms)),
        };
        assert_eq!(found, expected, "call {token} of {name}");
        if found.is_ok() && self.random.chance(self.plan.hangs_up) {
            let in_ms = self.random.below(2000);
            self.plan_event(in_ms, Event::HangUp(token));
        }
    }

    fn begin(&mut self, token: u64, name: usize, id: DeploymentId) {
        self.callers.insert(token, (name, Caller::Runs(id)));
        self.programs
            .get_mut(&id)
            .expect("it is loaded")
            .calls
            .insert(token);
        let most_ms = if self.is_calm { 10 } else { self.plan.call_ms };
        let in_ms = self.random.below(most_ms);
        self.plan_event(in_ms, Event::End(token));
    }

    /// The end of a call, if it has not ended otherwise.
    fn end(&mut self, token: u64) {
        if let Some((_, Caller::Runs(id))) = self.callers.remove(&token) {
            let program = self
                .programs
                .get_mut(&id)
                .expect("it was there when the call began");
            assert!(program.calls.remove(&token), "it runs where it began");
            self.deployments.end_call(id, self.now_ms);
        }
    }

    fn loaded(&mut self, id: DeploymentId, is_good: bool) {
        let program = &self.programs[&id];
        let (name, fingerprint, now_ms) = (program.name, program.fingerprint, self.now_ms);
        let is_late = program.state != State::Loading;
        trace!(self, "{id:?} is loaded: {is_good}, late: {is_late}");
        if is_good {
            if !is_late {
                let known = &mut self.known[name];
                (known.serving, known.failed_at_ms) = (Some(id), None);
            }
            self.deployments.handle_loaded(id, fingerprint, now_ms);
        } else {
            let error = Error::new(Kind::Manifest, "it is bad");
            self.deployments
                .handle_load_failed(id, fingerprint, error, now_ms);
        }
    }

    fn unloaded(&mut self, id: DeploymentId) {
        let calls: Vec<u64> = self.programs[&id].calls.iter().copied().collect();
        trace!(self, "{id:?} is unloaded with calls {calls:?}");
        // The shell ends what runs first, or last.
        let is_last = self.random.chance(100);
        if is_last {
            self.deployments.handle_unloaded(id, self.now_ms);
        }
        calls.into_iter().for_each(|token| self.end(token));
        if !is_last {
            self.deployments.handle_unloaded(id, self.now_ms);
        }
    }

    /// A pool of something dies, is left alone or is back.
    fn crash(&mut self) {
        let ids: Vec<DeploymentId> = self.living.iter().copied().collect();
        if ids.is_empty() {
            return;
        }
        let now_ms = self.now_ms;
        let id = self.random.pick(&ids);
        let pool = PoolId(self.random.below(2) as u32);
        let state = match self.random.below(4) {
            0 => PoolState::Up,
            1 => PoolState::Down,
            _ => PoolState::LeftAlone(now_ms + self.random.between(0, 60_000)),
        };
        trace!(self, "pool {pool:?} of {id:?}: {state:?}");
        let program = self.programs.get_mut(&id).expect("it was picked");
        if matches!(program.state, State::Loading | State::Ready | State::Degraded) {
            match state {
                PoolState::LeftAlone(until_ms) => program.left_alone.insert(pool, until_ms),
                _ => program.left_alone.remove(&pool),
            };
        }
        self.deployments.handle_pool_state(id, pool, state, now_ms);
    }

    /// Carries out what is wanted, then looks whether all is well.
    fn settle(&mut self) {
        while let Some(effect) = self.deployments.poll_effect() {
            match effect {
                Effect::Load { id, source } => self.load(id, &source),
                Effect::Unload { id, is_at_once } => self.unload(id, is_at_once),
                Effect::Begin { token, id } => {
                    let waited = self.callers.get(&token).copied();
                    let Some((name, Caller::Waits)) = waited else {
                        panic!("call {token} does not wait");
                    };
                    assert_eq!(self.known[name].serving, Some(id), "it begins where calls go");
                    self.begin(token, name, id);
                }
                Effect::Refuse { token, refusal } => {
                    let waited = self.callers.remove(&token);
                    trace!(self, "call {token} is refused: {}", refusal.error);
                    let Some((_, Caller::Waits)) = waited else {
                        panic!("call {token} does not wait");
                    };
                    assert!(!self.is_calm, "nothing is refused any more: {}", refusal.error);
                }
                Effect::Notice(notice) => self.take_notice(&notice),
            }
        }
        self.check();
        let programs = &self.programs;
        self.living.retain(|id| programs[id].state != State::Gone);
    }

    fn load(&mut self, id: DeploymentId, source: &str) {
        let source: usize = source[1..].parse().unwrap();
        let program = self.programs.get_mut(&id).expect("it was staged");
        program.loads += 1;
        program.fingerprint = self.files[source];
        program.source = source;
        program.hangs = self.random.chance(self.plan.load_hangs) && !self.is_calm;
        self.known[program.name].last = Some(id);
        let hangs = program.hangs;
        let is_good = self.is_calm || !self.random.chance(self.plan.load_fails);
        let in_ms = self.random.between(0, self.plan.load_ms);
        trace!(self, "load {id:?} of {source}, hangs: {hangs}");
        if !hangs {
            self.plan_event(in_ms, Event::Loaded(id, is_good));
        }
    }

    fn unload(&mut self, id: DeploymentId, is_at_once: bool) {
        trace!(self, "unload {id:?}, at once: {is_at_once}");
        let program = self.programs.get_mut(&id).expect("it was loaded");
        program.unloads += 1;
        assert!(is_at_once || program.calls.is_empty(), "calls run in {id:?}");
        assert!(
            self.ends_at_ms.is_some() || self.known[program.name].serving != Some(id),
            "what serves is not unloaded"
        );
        let is_late = self.random.chance(self.plan.is_late);
        let in_ms = self.random.between(0, self.plan.unload_ms);
        if is_late {
            self.plan_event(in_ms, Event::Loaded(id, true));
        }
        self.plan_event(in_ms, Event::Unloaded(id));
    }

    fn take_notice(&mut self, notice: &Notice) {
        let (id, state) = (notice.id, notice.state);
        trace!(self, "{id:?} is {}", state.name());
        let name = self.names.iter().position(|name| *name == notice.name).unwrap();
        if state == State::Staged {
            let program = Program {
                id,
                name,
                state,
                since_ms: self.now_ms,
                source: 0,
                fingerprint: 0,
                hangs: false,
                calls: BTreeSet::new(),
                left_alone: BTreeMap::new(),
                loads: 0,
                unloads: 0,
            };
            assert!(self.programs.insert(id, program).is_none(), "it is new");
            self.living.insert(id);
        }
        let program = self.programs.get_mut(&id).expect("it was staged");
        assert!(
            program.state != state || state == State::Staged,
            "its state changes"
        );
        (program.state, program.since_ms) = (state, self.now_ms);
        if state == State::Failed {
            self.known[name].failed_at_ms = Some(self.now_ms);
        }
    }

    /// Whatever was before, a good deployment serves.
    fn deploy_all(&mut self) {
        for name in 0..NAMES {
            if !self.has_room(name) {
                continue;
            }
            self.deploy(name, 0, false);
            self.settle();
            self.arrive(name);
            self.settle();
            self.step_until(u64::MAX);
            assert!(self.known[name].serving.is_some(), "{name} serves");
            assert!(self.callers.is_empty(), "all calls are answered");
            self.deployments.delete(&self.names[name], self.now_ms).unwrap();
            self.known[name] = Known::default();
            self.settle();
        }
    }
}
