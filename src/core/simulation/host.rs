//! What nexus runs itself, simulated: functions of the pool without a name, which make their calls through the hub as a
//! composition does, and give some of them up. They take steps as those of workers do.

use super::desk::read_started;
use super::plan::{Callee, Outcome, Step};
use super::wire::{self, Answer};
use super::worker::{Asked, Expected};
use super::world::World;
use crate::core::hub;
use crate::core::process::request::Request;
use crate::core::process::table::{Asker, HandleId, Owner};
use crate::error::{Error, Kind, Result};
use crate::ids::PoolId;
use std::collections::{BTreeMap, BTreeSet};

/// Tokens from here on are those of calls that nexus makes; those before are clients'.
pub const TOKENS: u64 = 1 << 40;

/// All functions that nexus runs.
#[derive(Default)]
pub struct Host {
    frames: Vec<Frame>,
    last_token: u64,
    /// Calls whose answers nobody waits for any more.
    given_up: BTreeSet<u64>,
}

/// One function.
struct Frame {
    call: u64,
    plan: usize,
    step: usize,
    busy_until_ms: u64,
    waits: Waits,
    /// Calls that it has out: which, and whether their worker may be gone.
    open: BTreeMap<u64, (Callee, bool)>,
    /// What they were answered, as far as it comes through.
    came: BTreeMap<u64, Option<Box<Error>>>,
    /// What it has asked of the table of worker processes; true: to start one.
    asked: BTreeMap<u64, bool>,
    handles: Vec<HandleId>,
}

#[derive(PartialEq)]
enum Waits {
    No,
    One(u64),
    All,
    /// For an answer about worker processes.
    Asked(u64),
}

impl Frame {
    fn is_waiting(&self) -> bool {
        match self.waits {
            Waits::No => false,
            Waits::One(token) => !self.came.contains_key(&token),
            Waits::All => !self.open.is_empty(),
            Waits::Asked(token) => self.asked.contains_key(&token),
        }
    }
}

impl World {
    /// A worker has called a function of nexus.
    pub fn begin_hosted(&mut self, call: u64, mid: i64, args: u32, payload: &[u8]) {
        let plan = mid as usize;
        trace!(self, "nexus is given plan {plan}");
        self.count_run(plan);
        assert_eq!(
            (self.plans[plan].pool, args),
            (self.pools.len(), 1),
            "nexus runs its own"
        );
        let expected = wire::blob(self.plans[plan].argument.bytes());
        assert!(
            payload == expected,
            "the argument of plan {plan} came as it was sent"
        );
        self.host.frames.push(Frame {
            call,
            plan,
            step: 0,
            busy_until_ms: 0,
            waits: Waits::No,
            open: BTreeMap::new(),
            came: BTreeMap::new(),
            asked: BTreeMap::new(),
            handles: Vec::new(),
        });
    }

    /// Nobody waits for a function of nexus any more.
    pub fn cancel_hosted(&mut self, call: u64) {
        let position = self.host.frames.iter().position(|frame| frame.call == call);
        let frame = self.host.frames.remove(position.expect("it was given that call"));
        trace!(self, "nexus gives up plan {}", frame.plan);
        self.forget_asked(&frame);
        assert!(
            frame.open.is_empty(),
            "what plan {} has called is given up first",
            frame.plan
        );
    }

    /// A call that nexus made is answered.
    pub fn answer_hosted(&mut self, token: u64, result: Result<Vec<u8>>) {
        if self.host.given_up.remove(&token) {
            return;
        }
        let is_it = |frame: &Frame| frame.open.contains_key(&token);
        let position = self
            .host
            .frames
            .iter()
            .position(is_it)
            .expect("a call is answered once");
        let (of, may_be_gone) = self.host.frames[position]
            .open
            .remove(&token)
            .expect("it is open");
        let expected = Expected {
            frame: self.host.frames[position].call,
            is_named: true,
            what: Asked::Result { of, may_be_gone },
        };
        let error = self.judge(expected, result.map_or_else(Answer::Error, Answer::Value), true);
        self.host.frames[position].came.insert(token, error);
    }

    /// An answer about worker processes has come to nexus.
    pub fn answer_asked(&mut self, token: u64, result: Result<Vec<u8>>) {
        let mut frames = self.host.frames.iter_mut();
        let Some(frame) = frames.find(|frame| frame.asked.contains_key(&token)) else {
            return;
        };
        if let (Some(true), Ok(value)) = (frame.asked.remove(&token), result) {
            frame.handles.push(read_started(&value).0);
        }
    }

    fn forget_asked(&mut self, frame: &Frame) {
        for token in frame.asked.keys() {
            self.table.forget_asker(Asker::Nexus(*token));
            self.forget_token(*token);
        }
    }

    fn ask_hosted(&mut self, position: usize) {
        if self.over_at_ms.is_some() {
            return;
        }
        self.host.last_token += 1;
        let token = TOKENS + self.host.last_token;
        let frame = &self.host.frames[position];
        let may_wait = self.clients[self.plans[frame.plan].client].due_ms.is_some();
        let request = self.draw_request(&frame.handles.clone(), may_wait, true);
        let is_run = matches!(request, Request::Run(_));
        let frame = &mut self.host.frames[position];
        frame.asked.insert(token, is_run);
        frame.waits = Waits::Asked(token);
        self.ask_of_table(Asker::Nexus(token), Some(Owner::Run), request);
    }

    /// Tells the hub whether nexus does something besides waiting for calls.
    pub fn tell_busy(&mut self) {
        // Worker processes may always say something.
        let is_busy = |frame: &Frame| !frame.is_waiting() || matches!(frame.waits, Waits::Asked(_));
        let is_busy = self.host.frames.iter().any(is_busy);
        self.hub.set_host_busy(is_busy, self.now_ms);
    }

    /// The functions of nexus that can take a step.
    pub fn hosted_runnable(&self) -> impl Iterator<Item = usize> {
        let frames = self.host.frames.iter().enumerate();
        let can_act = |frame: &Frame| !frame.is_waiting() && frame.busy_until_ms <= self.now_ms;
        frames
            .filter(move |(_, frame)| can_act(frame))
            .map(|(position, _)| position)
    }

    pub fn check_hosted(&self) {
        let is_known = |frame: &Frame| {
            let mut calls = self.hub.calls.iter();
            calls.any(|(id, _)| id.raw() == frame.call)
        };
        assert!(
            self.host.frames.iter().all(is_known),
            "nexus runs nothing that was given up"
        );
        assert!(self.over_at_ms.is_none() || !self.hub.is_finished() || self.host.frames.is_empty());
    }

    /// One step of a function of nexus.
    pub fn act_hosted(&mut self, position: usize) {
        let frame = &mut self.host.frames[position];
        let waits = std::mem::replace(&mut frame.waits, Waits::No);
        let came = match waits {
            Waits::No | Waits::Asked(_) => BTreeMap::new(),
            Waits::One(token) => frame.came.remove_entry(&token).into_iter().collect(),
            Waits::All => std::mem::take(&mut frame.came),
        };
        if let Some(error) = came.into_values().flatten().next() {
            return self.leave_hosted(position, Err(error));
        }
        if waits != Waits::No {
            return;
        }
        let plan = frame.plan;
        let Some(step) = self.plans[plan].steps.get(frame.step).copied() else {
            let result = match self.plans[plan].outcome {
                Outcome::Raise => Err(Error::new(Kind::Raised, format!("plan {plan} raises"))),
                _ => Ok(wire::blob(self.plans[plan].result.bytes())),
            };
            return self.leave_hosted(position, result);
        };
        frame.step += 1;
        match step {
            Step::Compute(ms) => {
                frame.busy_until_ms = self.now_ms + ms;
                self.wake(ms);
            }
            Step::Call(callee) => {
                let token = self.call_hosted(position, callee);
                let is_there =
                    |frame: &Frame| frame.open.contains_key(&token) || frame.came.contains_key(&token);
                if let Some(frame) = self.host.frames.iter_mut().find(|frame| is_there(frame)) {
                    frame.waits = Waits::One(token);
                }
            }
            Step::Start(callee) => drop(self.call_hosted(position, callee)),
            Step::Gather => frame.waits = Waits::All,
            Step::Work => self.ask_hosted(position),
            // Compositions say nothing and ask nothing.
            Step::Log(_) | Step::Progress | Step::Hold | Step::Ask(_) => {}
        }
        self.tell_busy();
        self.settle();
    }

    fn call_hosted(&mut self, position: usize, callee: Callee) -> u64 {
        let plan = &self.plans[callee.plan];
        let (pool, argument) = (plan.pool, wire::blob(plan.argument.bytes()));
        let pid = callee.is_pinned.then(|| self.draw_pid(pool));
        let may_be_gone = pid.is_some_and(|pid| !self.must_stay(pool, pid));
        self.pins.extend(pid.map(|pid| (callee.plan, pid)));
        self.host.last_token += 1;
        let token = TOKENS + self.host.last_token;
        let frame = &mut self.host.frames[position];
        frame.open.insert(token, (callee, may_be_gone));
        let request = hub::Request {
            token,
            pool: PoolId(pool as u32),
            mid: callee.plan as i64,
            args: 1,
            payload: argument,
            timeout_ms: None,
            pid,
            parent: Some(frame.call),
        };
        trace!(self, "nexus calls plan {}", callee.plan);
        self.hub.call(request, self.now_ms);
        token
    }

    /// The end of a function of nexus. What it has still out is given up, by it or with it.
    fn leave_hosted(&mut self, position: usize, result: Result<Vec<u8>>) {
        let frame = self.host.frames.remove(position);
        trace!(self, "nexus ends plan {}", frame.plan);
        self.forget_asked(&frame);
        for token in frame.open.into_keys() {
            self.host.given_up.insert(token);
            if self.random.chance(500) {
                let error = Error::new(Kind::Cancelled, "nexus needs it no more");
                self.hub.cancel(token, &error, self.now_ms);
            }
        }
        self.tell_busy();
        self.hub.answer(frame.call, result, self.now_ms);
        self.settle();
    }
}
