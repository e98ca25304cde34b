//! What pipes do with the programs that are their stages: bytes in and out of them as they come. The part of [`Table`] that
//! nobody asks for by a request.

use super::handle::Input;
use super::mailbox::Framing;
use super::request::Launch;
use super::table::{Effect, HandleId, Owner, Table};
use crate::core::hub::Ended;
use crate::error::{Error, Kind};

impl Table {
    /// Starts a stage.
    pub(super) fn start_stage(&mut self, launch: Launch, owner: Owner, now_ms: u64) -> HandleId {
        self.add(launch, owner, None, now_ms)
    }

    /// Whether a process is a stage of a pipe, through which much may go.
    pub fn is_stage(&self, id: HandleId) -> bool {
        let handle = self.handles.get(id);
        handle.is_some_and(|handle| matches!(handle.owner, Owner::Pipe(_)))
    }

    /// Takes the reason why a stage could not be started, or be given its input.
    pub(super) fn failure(&mut self, id: HandleId) -> Option<Box<Error>> {
        self.handles.get_mut(id)?.failure.take()
    }

    /// Whether a process has ended, or ended its input, with more to come for all that nexus knows.
    pub(super) fn refuses(&self, id: HandleId) -> bool {
        self.handles.get(id).is_some_and(|handle| handle.refuses)
    }

    /// Where to append what is to be written to a process, which is to be listed then; none while there is no room, or it
    /// takes none.
    pub(super) fn feeder(&mut self, id: HandleId) -> Option<&mut Vec<u8>> {
        let handle = self.handles.get_mut(id)?;
        match handle.input {
            Input::Open => handle.outgoing.feeder(),
            _ => None,
        }
    }

    /// Takes the next message of a process as it stands in its output.
    pub(super) fn take_message(&mut self, id: HandleId) -> Option<&[u8]> {
        self.handles.get_mut(id)?.inbox.take()
    }

    /// What is there of a stream.
    pub(super) fn stream(&self, id: HandleId) -> &[u8] {
        self.handles.get(id).map_or(&[], |handle| handle.inbox.bytes())
    }

    /// Takes off so many bytes of it.
    pub(super) fn advance_stream(&mut self, id: HandleId, taken: usize) {
        if let Some(handle) = self.handles.get_mut(id) {
            handle.inbox.advance(taken);
        }
    }

    /// Whether no more of a stream will come.
    pub(super) fn has_ended_output(&self, id: HandleId) -> bool {
        self.handles.get(id).is_none_or(|handle| handle.inbox.has_ended())
    }

    /// Whether all that a process wrote was taken, and no more will come.
    pub(super) fn is_output_over(&self, id: HandleId) -> bool {
        let handle = self.handles.get(id);
        handle.is_none_or(|handle| {
            handle.inbox.has_ended()
                && !handle.inbox.has_message()
                && (handle.framing != Framing::Stream || handle.inbox.bytes().is_empty())
        })
    }

    /// Reads no more of what a process writes.
    pub(super) fn hang_up(&mut self, id: HandleId) {
        if let Some(handle) = self.handles.get_mut(id) {
            handle.inbox.close();
            handle.inbox.end();
            self.effects.push_back(Effect::CloseOutput(id));
        }
    }

    /// The error for the end of a process, in other words.
    pub(super) fn exit_error(&self, id: HandleId, ended: Ended, message: String) -> Box<Error> {
        let mut error = match self.handles.get(id) {
            Some(handle) => handle.error(Kind::Terminated, message),
            None => Error::new(Kind::Terminated, message),
        };
        ended.note(&mut error);
        error
    }
}
