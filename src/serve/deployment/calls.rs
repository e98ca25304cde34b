//! Calls to deployments: where each begins and when it ends, which have to wait until something is loaded, and which are
//! refused. Knows nothing of what is called: a call is a token of the caller's.

use super::deployments::{DeploymentId, Deployments, Effect, EntryId};
use super::lifecycle::{Event, State};
use super::name::Name;
use crate::error::{Error, Kind, Result};
use crate::limits::{LOAD_AGAIN_MS, OVERLOADED_AGAIN_MS};

/// The token of a call that waits.
pub(super) type Waiting = u64;

/// Why a call is not begun.
#[derive(Clone, Debug, PartialEq)]
pub struct Refusal {
    /// What the caller is told.
    pub error: Box<Error>,
    /// When it may go better, in milliseconds from now; none: nobody knows.
    pub again_ms: Option<u64>,
}

impl Refusal {
    fn new(kind: Kind, message: String, again_ms: Option<u64>) -> Refusal {
        let error = Error::new(kind, message);
        Refusal { error, again_ms }
    }
}

impl Deployments {
    /// The generation that calls of a name go to now. [`Kind::NotFound`] if there is no deployment of that name, and
    /// [`Kind::Unavailable`] if it serves nothing now.
    pub fn resolve(&self, name: &Name) -> Result<DeploymentId> {
        let entry = self.entries.get(self.find(name)?).expect("it was found");
        entry.serving.ok_or_else(|| match &entry.failure {
            Some((error, _)) => error.clone(),
            None => Error::new(Kind::Unavailable, format!("deployment '{name}' is not loaded")),
        })
    }

    /// Begins a call, which runs in the generation returned until [`Deployments::end_call`]. None: it waits until something
    /// is loaded, and [`Effect::Begin`] or [`Effect::Refuse`] comes for its token, which is of no other that waits.
    pub fn begin_call(
        &mut self,
        name: &Name,
        token: u64,
        now_ms: u64,
    ) -> std::result::Result<Option<DeploymentId>, Refusal> {
        if self.ending_grace_ms.is_some() {
            return Err(Refusal::new(Kind::Unavailable, "the server ends".into(), None));
        }
        let key = self.find(name).map_err(|error| Refusal {
            error,
            again_ms: None,
        })?;
        let entry = self.entries.get_mut(key).expect("it was found");
        let most = self.bounds.calls;
        if entry.open + entry.waiting.len() >= most {
            let message = format!("deployment '{name}' has {most} calls, as many as it may have");
            return Err(Refusal::new(Kind::Overloaded, message, Some(OVERLOADED_AGAIN_MS)));
        }
        if let Some(id) = entry.serving {
            let serving = self.generations.get_mut(id).expect("it serves");
            if serving.state == State::Degraded {
                let until_ms = serving.left_alone.values().max().copied().unwrap_or(now_ms);
                let again_ms = until_ms.saturating_sub(now_ms);
                let message = format!(
                    "a pool of deployment '{name}' has died too often and is left alone for {} s",
                    again_ms.div_ceil(1000)
                );
                return Err(Refusal::new(Kind::Unavailable, message, Some(again_ms)));
            }
            serving.open += 1;
            entry.open += 1;
            return Ok(Some(id));
        }
        let most = self.bounds.waiting;
        if entry.waiting.len() >= most {
            let message = format!("{most} calls wait until deployment '{name}' is loaded");
            return Err(Refusal::new(Kind::Overloaded, message, Some(OVERLOADED_AGAIN_MS)));
        }
        let is_idle = entry.staged.is_none() && entry.loading.is_none();
        if is_idle && let Some((error, failed_at_ms)) = &entry.failure {
            let again_at_ms = failed_at_ms.saturating_add(LOAD_AGAIN_MS);
            if now_ms < again_at_ms {
                return Err(Refusal {
                    error: error.clone(),
                    again_ms: Some(again_at_ms - now_ms),
                });
            }
        }
        entry.waiting.push_back(token);
        match is_idle {
            true => {
                self.renew(key, now_ms);
            }
            false => self.go_on(key, now_ms),
        }
        Ok(None)
    }

    /// A call is over that ran in a generation.
    pub fn end_call(&mut self, id: DeploymentId, now_ms: u64) {
        let Some(generation) = self.generations.get_mut(id).filter(|each| each.open > 0) else {
            return;
        };
        generation.open -= 1;
        if let Some(entry) = self.entries.get_mut(generation.of) {
            entry.open -= 1;
        }
        if generation.open == 0 {
            self.apply(id, Event::Idle, now_ms);
        }
    }

    /// The caller of a call that waits is gone: no effect comes for it any more.
    pub fn give_up(&mut self, token: u64, now_ms: u64) {
        for entry in self.entries.iter_mut() {
            entry.waiting.retain(|waiting| *waiting != token);
        }
        // It may have been begun or refused, and not been told yet.
        let is_its = |effect: &Effect| match effect {
            Effect::Begin { token: its, .. } | Effect::Refuse { token: its, .. } => *its == token,
            _ => false,
        };
        if let Some(at) = self.effects.iter().position(is_its)
            && let Some(Effect::Begin { id, .. }) = self.effects.remove(at)
        {
            self.end_call(id, now_ms);
        }
    }

    pub(super) fn begin_waiting(&mut self, key: EntryId) {
        let Some(entry) = self.entries.get_mut(key) else {
            return;
        };
        let Some(id) = entry.serving else { return };
        let Some(serving) = self.generations.get_mut(id) else {
            return;
        };
        serving.open += entry.waiting.len();
        entry.open += entry.waiting.len();
        let begun = entry.waiting.drain(..);
        self.effects
            .extend(begun.map(|token| Effect::Begin { token, id }));
    }

    pub(super) fn refuse_waiting(&mut self, key: EntryId, error: &Error, again_ms: Option<u64>) {
        let Some(entry) = self.entries.get_mut(key) else {
            return;
        };
        let refused = entry.waiting.drain(..).map(|token| Effect::Refuse {
            token,
            refusal: Refusal {
                error: Box::new(error.clone()),
                again_ms,
            },
        });
        self.effects.extend(refused);
    }
}
