//! What must hold in the world: what a call may expect, what is true after every step, and what is left when nothing
//! happens any more. Changes nothing.

use super::super::{DeploymentId, State};
use super::world::{Caller, Program, World};
use crate::error::Kind;
use crate::limits::{DRAIN_GRACE_MS, LEAVING_MAX, LOAD_AGAIN_MS, LOAD_MS_MAX, OVERLOADED_AGAIN_MS};

/// Where a call begins, none if it waits; or why it is refused, and when to come back.
type Expected = Result<Option<DeploymentId>, (Kind, Option<u64>)>;

impl World {
    /// What a call that comes now is told.
    pub fn expected(&self, name: usize) -> Expected {
        let known = &self.known[name];
        let bounds = &self.deployments.bounds;
        let waiting = self.waiting(name);
        let overloaded = Err((Kind::Overloaded, Some(OVERLOADED_AGAIN_MS)));
        if self.ends_at_ms.is_some() {
            return Err((Kind::Unavailable, None));
        }
        if !known.is_deployed {
            return Err((Kind::NotFound, None));
        }
        if self.running(name) + waiting >= bounds.calls {
            return overloaded;
        }
        if let Some(id) = known.serving {
            let until_ms = self.programs[&id].left_alone.values().max();
            let again_ms = until_ms.map_or(0, |until_ms| until_ms.saturating_sub(self.now_ms));
            return match again_ms {
                0 => Ok(Some(id)),
                _ => Err((Kind::Unavailable, Some(again_ms))),
            };
        }
        if waiting >= bounds.waiting {
            return overloaded;
        }
        let again_at_ms = known.failed_at_ms.map_or(0, |at_ms| at_ms + LOAD_AGAIN_MS);
        if !self.is_coming(name) && again_at_ms > self.now_ms {
            let last = known.last.map(|id| &self.programs[&id]);
            let kind = match last.is_some_and(|program| program.hangs) {
                true => Kind::Timeout,
                false => Kind::Manifest,
            };
            return Err((kind, Some(again_at_ms - self.now_ms)));
        }
        Ok(None)
    }

    fn of(&self, name: usize) -> impl Iterator<Item = &Program> {
        let living = self.living.iter().map(|id| &self.programs[id]);
        living.filter(move |program| program.name == name)
    }

    fn waiting(&self, name: usize) -> usize {
        let waits = |caller: &&(usize, Caller)| caller.0 == name && caller.1 == Caller::Waits;
        self.callers.values().filter(waits).count()
    }

    fn running(&self, name: usize) -> usize {
        self.of(name).map(|program| program.calls.len()).sum()
    }

    fn is_coming(&self, name: usize) -> bool {
        self.of(name)
            .any(|program| matches!(program.state, State::Staged | State::Loading))
    }

    /// Whether a name may be deployed: it, or one that is all gone, leaves room.
    pub fn has_room(&self, name: usize) -> bool {
        let is_held = |name: usize| {
            self.known[name].is_deployed || self.of(name).any(|program| program.state != State::Gone)
        };
        let held = (0..self.names.len()).filter(|name| is_held(*name)).count();
        is_held(name) || held < self.deployments.bounds.deployments
    }

    /// After every step.
    pub fn check(&self) {
        for (number, name) in self.names.iter().enumerate() {
            let known = &self.known[number];
            let status = self.deployments.status(name);
            let serving: Vec<DeploymentId> = self
                .of(number)
                .filter(|program| matches!(program.state, State::Ready | State::Degraded))
                .map(|program| program.id)
                .collect();
            assert_eq!(serving, Vec::from_iter(known.serving), "one serves at most");
            let leaving = self
                .of(number)
                .filter(|program| program.state.is_leaving())
                .count();
            assert!(leaving <= LEAVING_MAX + 1, "{leaving} are on their way out");
            let staged = self.of(number).filter(|program| program.state == State::Staged);
            let loading = self.of(number).filter(|program| program.state == State::Loading);
            let (staged, loading, waiting) = (staged.count(), loading.count(), self.waiting(number));
            assert!(staged <= 1 && loading <= 1, "one of each waits");
            let is_wanted = !known.is_on_call || known.serving.is_some() || waiting > 0;
            assert!(
                staged == 0 || loading == 1 || leaving >= LEAVING_MAX || !is_wanted,
                "{number} is loaded when it can be"
            );
            assert!(waiting == 0 || staged + loading > 0, "calls wait for something");
            let counts = status.map(|status| {
                (
                    status.serving,
                    status.open_calls,
                    status.waiting_calls,
                    status.leaving,
                )
            });
            let expected = (known.serving, self.running(number), waiting, leaving);
            assert_eq!(counts.unwrap_or_default(), expected, "{number} is counted well");
        }
        for id in &self.living {
            self.check_program(&self.programs[id]);
        }
        let due_ms = self.deployments.next_deadline();
        assert!(self.deployments.deadlines.len() <= self.living.len() + self.names.len());
        assert!(due_ms.is_some() || self.deployments.deadlines.len() == 0);
        assert!(self.deployments.list().count() <= self.deployments.bounds.deployments);
    }

    fn check_program(&self, program: &Program) {
        let (loads, unloads) = (program.loads, program.unloads);
        let expected = match program.state {
            State::Staged => (0, 0),
            State::Loading | State::Ready | State::Degraded | State::Draining => (1, 0),
            State::Unloading | State::Failed => (1, 1),
            // It may have been dropped before it was loaded.
            State::Gone => (loads, loads),
        };
        assert_eq!(
            (loads, unloads),
            expected,
            "{:?} is {:?}",
            program.id,
            program.state
        );
        assert!(loads <= 1, "it is loaded once");
        let (since_ms, now_ms) = (program.since_ms, self.now_ms);
        let is_due = self
            .deployments
            .next_deadline()
            .is_some_and(|due_ms| due_ms <= now_ms);
        match program.state {
            // It can only be late where time has leapt, and then it is about to be told.
            State::Draining => {
                assert!(!program.calls.is_empty(), "it drains for something");
                let until_ms = since_ms + DRAIN_GRACE_MS;
                let until_ms = self.ends_at_ms.map_or(until_ms, |end_ms| until_ms.min(end_ms));
                assert!(now_ms < until_ms || is_due, "{:?} drains for ever", program.id);
            }
            State::Loading => assert!(
                now_ms < since_ms + LOAD_MS_MAX || is_due,
                "{:?} loads for ever",
                program.id
            ),
            State::Degraded => {
                assert!(is_due || program.left_alone.values().any(|until_ms| *until_ms > now_ms))
            }
            State::Gone => assert!(program.calls.is_empty(), "no call runs in what is gone"),
            _ => {}
        }
    }

    /// Nothing happens any more.
    pub fn check_quiet(&self) {
        assert!(self.callers.is_empty(), "all calls are answered");
        if self.ends_at_ms.is_some() {
            return;
        }
        for known in self.known.iter().filter(|known| known.is_deployed) {
            let read = [known.last, known.serving].into_iter().flatten();
            let mut read = read.map(|id| &self.programs[&id]).peekable();
            let is_newest = |program: &Program| {
                program.source == known.source && program.fingerprint == self.files[known.source]
            };
            let is_lazy = known.is_on_call && known.serving.is_none();
            assert!(is_lazy || read.any(is_newest), "the newest files are loaded");
        }
    }

    /// It is all over.
    pub fn check_end(&self) {
        assert!(self.deployments.is_finished(), "all is unloaded");
        assert!(self.callers.is_empty(), "all calls are answered");
        assert_eq!(self.deployments.calls(), 0, "no call is left");
        assert_eq!(self.deployments.next_deadline(), None, "no timer is left");
        assert!(self.programs.values().all(|program| program.state == State::Gone));
    }
}
