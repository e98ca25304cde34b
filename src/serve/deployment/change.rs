//! Files that change: a deployment is loaded again once they have been quiet for a moment. Watches and reads none.

use super::deployments::{Deployments, EntryId, Timer};
#[cfg(test)]
use super::simulation::Bug;
use crate::limits::{RELOAD_QUIET_MS, RELOAD_QUIET_MS_MAX};

/// A change that has not been acted on.
pub(super) struct Change {
    fingerprint: u64,
    first_ms: u64,
}

impl Deployments {
    /// Files of a source have changed, which have that fingerprint now. Deployments of it are loaded again once they are quiet,
    /// if the fingerprint is then another than that which they were last loaded with.
    pub fn handle_changed(&mut self, source: &str, fingerprint: u64, now_ms: u64) {
        if self.ending_grace_ms.is_some() {
            return;
        }
        let with_source = self
            .entries
            .iter()
            .filter(|(_, entry)| entry.source == source && !entry.is_deleted);
        let keys: Vec<EntryId> = with_source.map(|(key, _)| key).collect();
        for key in keys {
            let entry = self.entries.get_mut(key).expect("it was found");
            // What waits reads the files when its turn comes.
            if entry.staged.is_some() {
                continue;
            }
            let first_ms = entry.change.as_ref().map_or(now_ms, |change| change.first_ms);
            entry.change = Some(Change {
                fingerprint,
                first_ms,
            });
            let quiet_ms = now_ms.saturating_add(RELOAD_QUIET_MS);
            let due_ms = quiet_ms.min(first_ms.saturating_add(RELOAD_QUIET_MS_MAX));
            self.deadlines
                .set(Timer::Change(key), &mut entry.change_due, Some(due_ms));
        }
    }

    /// Acts on a change, unless the files are not quiet yet or something is being loaded: then this is called again.
    pub(super) fn settle_change(&mut self, key: EntryId, now_ms: u64) {
        let Some(entry) = self.entries.get_mut(key) else {
            return;
        };
        let is_held = entry.change_due.is_some() || entry.loading.is_some();
        #[cfg(test)]
        let is_held = is_held && self.planted != Some(Bug::ForgetChange);
        if is_held {
            return;
        }
        if let Some(change) = entry.change.take()
            && entry.fingerprint != Some(change.fingerprint)
            && entry.staged.is_none()
        {
            #[cfg(test)]
            if self.planted == Some(Bug::ForgetChange) && entry.loading.is_some() {
                return;
            }
            self.renew(key, now_ms);
        }
    }
}
