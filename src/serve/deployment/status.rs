//! What there is, for people, probes and metrics. Changes nothing.

use super::deployments::{Deployment, DeploymentId, Deployments, Start};
use super::lifecycle::State;
use super::name::Name;
use crate::error::Error;

/// How a deployment stands.
#[derive(Clone, Debug)]
pub struct Status<'d> {
    /// The deployment.
    pub name: &'d Name,
    /// Path of the program or folder that was deployed last.
    pub source: &'d str,
    /// When it is loaded.
    pub start: Start,
    /// The state of the generation that serves, else of the next one, else of the last one.
    pub state: State,
    /// The generation that serves.
    pub serving: Option<DeploymentId>,
    /// Number of the generation that serves, else of the newest; from 1.
    pub number: u64,
    /// When the generation that serves was loaded, in milliseconds.
    pub loaded_at_ms: Option<u64>,
    /// Whether another is being loaded, or is to be.
    pub is_changing: bool,
    /// Generations that end their calls or are unloaded.
    pub leaving: usize,
    /// Calls that run.
    pub open_calls: usize,
    /// Calls that wait until it is loaded.
    pub waiting_calls: usize,
    /// Deaths of its pools since it was deployed first.
    pub restarts: u64,
    /// Why the last load failed; none if it went well.
    pub last_error: Option<&'d Error>,
}

impl Deployments {
    /// All deployments but the server's own, ordered by name, with those that are about to be gone.
    pub fn list(&self) -> impl Iterator<Item = Status<'_>> {
        let entries = self.names.values().filter_map(|key| self.entries.get(*key));
        let entries = entries.filter(|entry| !entry.name.is_own());
        entries.map(|entry| self.status_of(entry))
    }

    /// One of them.
    pub fn status(&self, name: &Name) -> Option<Status<'_>> {
        let entry = self.entries.get(*self.names.get(name)?)?;
        Some(self.status_of(entry))
    }

    /// Whether a source is deployed under any name.
    pub fn is_deployed(&self, source: &str) -> bool {
        let mut entries = self.entries.iter().map(|(_, entry)| entry);
        entries.any(|entry| !entry.is_deleted && entry.source == source)
    }

    /// Whether a source is deployed, or something is left that was loaded from it.
    pub fn is_used(&self, source: &str) -> bool {
        let mut generations = self.generations.iter().map(|(_, generation)| generation);
        self.is_deployed(source) || generations.any(|generation| generation.source == source)
    }

    /// The deployment of a generation that is not gone.
    pub fn name_of(&self, id: DeploymentId) -> Option<&Name> {
        let generation = self.generations.get(id)?;
        self.entries.get(generation.of).map(|entry| &entry.name)
    }

    /// Whether a generation's pools start with its first call.
    pub fn is_lazy(&self, id: DeploymentId) -> bool {
        let entry = self.generations.get(id).map(|generation| generation.of);
        let entry = entry.and_then(|entry| self.entries.get(entry));
        entry.is_some_and(|entry| entry.start == Start::OnCall && entry.number == 1)
    }

    /// Whether to send calls here: false when the server ends, and while something loads for the first time that is to be
    /// there from the start. One that has failed keeps nobody from calling the others.
    pub fn is_ready(&self) -> bool {
        let is_coming = |status: &Status<'_>| {
            status.start == Start::AtOnce && matches!(status.state, State::Staged | State::Loading)
        };
        self.ending_grace_ms.is_none() && !self.list().any(|status| is_coming(&status))
    }

    /// Calls that run or wait, of all deployments.
    pub fn calls(&self) -> usize {
        let entries = self.entries.iter();
        entries.map(|(_, entry)| entry.open + entry.waiting.len()).sum()
    }

    fn status_of<'d>(&'d self, entry: &'d Deployment) -> Status<'d> {
        let serving = entry.serving.and_then(|id| self.generations.get(id));
        let next = entry.loading.or(entry.staged);
        let state = serving.or_else(|| self.generations.get(next?));
        let state = state.map(|generation| generation.state);
        Status {
            name: &entry.name,
            source: &entry.source,
            start: entry.start,
            state: state.unwrap_or(match entry.failure {
                Some(_) => State::Failed,
                None => State::Draining,
            }),
            serving: entry.serving,
            number: serving.map_or(entry.number, |generation| generation.number),
            loaded_at_ms: serving.map(|generation| generation.loaded_at_ms),
            is_changing: next.is_some(),
            leaving: entry.leaving,
            open_calls: entry.open,
            waiting_calls: entry.waiting.len(),
            restarts: entry.restarts,
            last_error: entry.failure.as_ref().map(|(error, _)| &**error),
        }
    }
}
