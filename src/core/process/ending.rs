//! How worker processes end: with their owners, in time, and by force if they must. The part of [`Table`] that presses.

use super::handle::Pressure;
use super::mailbox::Framing;
use super::table::{Effect, HandleId, OWNER_ENDED, Owner, Table, Timer, unknown};
#[cfg(test)]
use crate::core::simulation::Bug;
use crate::error::{Error, Kind};
use crate::limits::{JOIN_GRACE_MS, KILL_AGAIN_MS};

const SIGTERM: i32 = 15;
const SIGKILL: i32 = 9;

impl Table {
    /// An owner has ended, well or not: so do its processes, and those who wait on its behalf. [`Effect::Joined`] comes when
    /// all are gone.
    pub fn end_owner(&mut self, owner: Owner, is_well: bool, now_ms: u64) {
        let waiters = self
            .waiters
            .iter()
            .filter(|(_, waiter)| waiter.owner == Some(owner));
        for key in waiters.map(|(key, _)| key).collect::<Vec<_>>() {
            self.answer(key, Err(Error::new(Kind::Cancelled, OWNER_ENDED)));
        }
        if !self.leaving.contains(&owner) {
            self.leaving.push(owner);
        }
        let owned = self.handles.iter().filter(|(_, handle)| handle.owner == owner);
        for id in owned.map(|(id, _)| id).collect::<Vec<_>>() {
            self.leave(id, is_well, now_ms);
        }
        self.tell_if_joined(owner);
    }

    fn leave(&mut self, id: HandleId, is_well: bool, now_ms: u64) {
        let Some(handle) = self.handles.get_mut(id) else {
            return;
        };
        if handle.is_detached && handle.asker.is_some() {
            // It is about to be started, and let go then.
            handle.is_leaving = true;
            return;
        }
        if handle.is_detached {
            self.effects.push_back(Effect::Release(id));
        }
        if handle.is_detached || handle.is_gone() {
            return self.forget(id);
        }
        handle.is_leaving = true;
        handle.inbox.close();
        if !is_well {
            // A nexus ends its own pools before it goes; killed, it leaves them to end a moment later, and its directory.
            let pressure = match handle.framing {
                Framing::Frames => Pressure::Term,
                _ => Pressure::Kill,
            };
            // Who is pressed already is given no more time.
            if handle.pressure < pressure {
                self.press(id, pressure, now_ms);
            }
            return;
        }
        if handle.life_at_ms.is_none() {
            handle.life_at_ms = Some(now_ms.saturating_add(JOIN_GRACE_MS));
        }
        self.close(id);
        self.schedule(id, now_ms);
    }

    /// Forgets a process that is gone, or let go.
    pub(super) fn forget(&mut self, id: HandleId) {
        let Some(mut handle) = self.handles.remove(id) else {
            return;
        };
        self.deadlines.set(Timer::Handle(id), &mut handle.due, None);
        self.deadlines.set(Timer::End(id), &mut handle.end_due, None);
        for key in handle.waiters {
            self.answer(key, Err(unknown(id)));
        }
        self.tell_if_joined(handle.owner);
    }

    fn tell_if_joined(&mut self, owner: Owner) {
        let is_alone = self.handles.iter().all(|(_, handle)| handle.owner != owner);
        #[cfg(test)]
        let is_alone = is_alone || self.planted == Some(Bug::JoinNothing);
        if is_alone && let Some(position) = self.leaving.iter().position(|leaving| *leaving == owner) {
            self.leaving.swap_remove(position);
            self.effects.push_back(Effect::Joined(owner));
        }
    }

    /// Sends a process the next signal that is to end it.
    pub(super) fn press(&mut self, id: HandleId, pressure: Pressure, now_ms: u64) {
        if let Some(handle) = self.handles.get_mut(id) {
            handle.pressure = pressure.max(handle.pressure);
            let signal = match handle.pressure {
                Pressure::Kill => SIGKILL,
                _ => SIGTERM,
            };
            self.effects.push_back(Effect::Signal(id, signal));
            self.schedule(id, now_ms);
        }
    }

    pub(super) fn schedule(&mut self, id: HandleId, now_ms: u64) {
        if let Some(handle) = self.handles.get_mut(id) {
            let due = match handle.pressure {
                Pressure::None => handle.life_at_ms,
                Pressure::Term => Some(now_ms.saturating_add(JOIN_GRACE_MS)),
                Pressure::Kill => Some(now_ms.saturating_add(KILL_AGAIN_MS)),
            };
            self.deadlines.set(Timer::Handle(id), &mut handle.due, due);
        }
    }
}
