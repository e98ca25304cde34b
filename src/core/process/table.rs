//! All worker processes of a run and who waits for them. `handle_*` takes events in with the time, `poll_*` gives effects
//! out.
//!
//! A process belongs to the call that asked for it. When that has ended well, the inputs of its processes end and it is
//! waited until they are gone; what does not go is sent SIGTERM, and at last SIGKILL. When it has failed they are killed.
//! Detached ones are let go.

use super::handle::{Fate, Handle, Input, Pressure, result};
use super::mailbox::Framing;
use super::request::{Launch, Request};
use crate::codec::msgpack::{Reader, Token, write};
use crate::core::call::CallId;
use crate::core::deadlines::{Deadlines, Due};
use crate::core::hub::{Ended, PeerId};
#[cfg(test)]
use crate::core::simulation::Bug;
use crate::core::slab::{Key, Slab};
use crate::error::{Error, Kind, Result};
use crate::limits::{
    DEATH_REPORT_MS, HANDLES_MAX, MAILBOX_BYTES_MAX, MAILBOX_MESSAGES_MAX, WORKER_MESSAGE_BYTES_MAX,
};
use std::collections::VecDeque;

/// The number of a worker process, by which whoever uses it names it.
pub type HandleId = Key<Handle>;
/// The number of somebody who waits.
pub type WaiterId = Key<Waiter>;

/// To whom a process belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// A call of a pool's function.
    Call(CallId),
    /// The whole run.
    Run,
    /// A composition that nexus evaluates, by a number that its maker gives it.
    Composition(u64),
    /// A pipe, by a number that its maker gives it.
    Pipe(u64),
}

/// Who asks, and gets the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asker {
    /// A worker of a pool, under an id of its own.
    Worker(PeerId, u64),
    /// Nexus itself, under a token of its own.
    Nexus(u64),
}

/// What the table wants done.
#[derive(Debug)]
pub enum Effect {
    /// Start a process, and tell [`Table::handle_spawned`] or [`Table::handle_spawn_failed`].
    Spawn(HandleId, Box<Launch>),
    /// Let its input end. Comes once, and not after its end.
    CloseInput(HandleId),
    /// Read its output no more: what it writes then is refused.
    CloseOutput(HandleId),
    /// Send a signal to its group.
    Signal(HandleId, i32),
    /// Forget a detached process, which goes on.
    Release(HandleId),
    /// A request is answered: with a result as msgpack.
    Answer(Asker, Result<Vec<u8>>),
    /// All processes of an owner that has ended are gone.
    Joined(Owner),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Timer {
    /// The next step to end a process.
    Handle(HandleId),
    /// Its output has ended, and why is not known.
    End(HandleId),
    /// Somebody has waited long enough.
    Waiter(WaiterId),
}

/// Somebody who waits.
pub struct Waiter {
    asker: Asker,
    /// The call on whose behalf, if that is known.
    pub(super) owner: Option<Owner>,
    pub(super) handles: Vec<HandleId>,
    wish: Wish,
    timeout_ms: Option<u64>,
    pub(super) due: Due,
}

/// What somebody waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wish {
    Message,
    /// The message alone, not as a list of one.
    BareMessage,
    AnyMessage,
    Exit,
}

/// The state machine.
pub struct Table {
    pub(super) handles: Slab<Handle>,
    pub(super) waiters: Slab<Waiter>,
    pub(super) deadlines: Deadlines<Timer>,
    pub(super) effects: VecDeque<Effect>,
    listed: VecDeque<HandleId>,
    /// Those that have ended and have processes left.
    pub(super) leaving: Vec<Owner>,
    /// Plants a bug for the simulation to find.
    #[cfg(test)]
    pub planted: Option<Bug>,
}

impl Default for Table {
    fn default() -> Table {
        Table {
            handles: Slab::new(),
            waiters: Slab::new(),
            deadlines: Deadlines::new(),
            effects: VecDeque::new(),
            listed: VecDeque::new(),
            leaving: Vec::new(),
            #[cfg(test)]
            planted: None,
        }
    }
}

impl Table {
    /// Takes the next effect.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// Takes a process that has something to be written to it. It comes again only when more is added.
    pub fn poll_output(&mut self) -> Option<HandleId> {
        let id = self.listed.pop_front()?;
        if let Some(handle) = self.handles.get_mut(id) {
            handle.is_listed = false;
        }
        Some(id)
    }

    /// What can be written to a process now; empty if nothing.
    pub fn output(&self, id: HandleId) -> &[u8] {
        self.handles.get(id).map_or(&[], |handle| handle.outgoing.chunk())
    }

    /// Takes off what was written of [`Table::output`].
    pub fn advance_output(&mut self, id: HandleId, written: usize) {
        if let Some(handle) = self.handles.get_mut(id) {
            handle.outgoing.advance(written);
            self.close_if_written(id);
        }
    }

    /// A process takes no more input: what was to be written is dropped.
    pub fn handle_input_refused(&mut self, id: HandleId) {
        if let Some(handle) = self.handles.get_mut(id) {
            handle.outgoing.clear();
            handle.refuses = true;
            self.close(id);
        }
    }

    /// Whether to read from a process: false while its mailbox is full.
    pub fn wants_input(&self, id: HandleId) -> bool {
        self.handles.get(id).is_some_and(|handle| handle.inbox.has_room())
    }

    /// When [`Table::handle_timeout`] is due next, in milliseconds.
    pub fn next_deadline(&self) -> Due {
        self.deadlines.next_ms()
    }

    /// Whether a process runs that belongs to somebody who has ended.
    pub fn is_joining(&self) -> bool {
        !self.leaving.is_empty()
    }

    /// Whether a process runs that belongs to that owner, who has ended.
    pub fn is_joining_of(&self, owner: Owner) -> bool {
        self.leaving.contains(&owner)
    }

    /// Whether no process is left but those that were let go.
    pub fn is_empty(&self) -> bool {
        self.handles
            .iter()
            .all(|(_, handle)| handle.is_gone() || handle.is_detached)
    }

    /// The process id of a worker process; 0 before it runs.
    pub fn pid(&self, id: HandleId) -> u32 {
        self.handles.get(id).map_or(0, |handle| handle.pid)
    }

    /// How a process has ended, if it has: an error if it was ended for having run too long.
    pub fn ended(&self, id: HandleId) -> Option<Result<Ended>> {
        let handle = self.handles.get(id)?;
        match handle.fate {
            Fate::Gone(ended) if handle.is_overdue => Some(Err(handle.exit_error(ended))),
            Fate::Gone(ended) => Some(Ok(ended)),
            Fate::Alive => None,
        }
    }

    /// Takes a request on behalf of an owner. Its answer comes as [`Effect::Answer`], once, unless whoever asks is forgotten
    /// before.
    pub fn request(&mut self, asker: Asker, owner: Option<Owner>, request: Request, now_ms: u64) {
        let waiter = |handles, wish, timeout_ms| Waiter {
            asker,
            owner,
            handles,
            wish,
            timeout_ms,
            due: None,
        };
        let answer = match request {
            Request::Run(launch) => match self.start(*launch, owner.unwrap_or(Owner::Run), asker, now_ms) {
                Ok(()) => return,
                Err(error) => Err(error),
            },
            Request::Send(id, message) => self.send(id, &message).map(|()| NIL.to_vec()),
            Request::Talk(id, message, timeout_ms) => match self.send(id, &message) {
                Ok(()) => return self.wait(waiter(vec![id], Wish::BareMessage, timeout_ms), now_ms),
                Err(error) => Err(error),
            },
            Request::Receive(id, timeout_ms) => {
                return self.wait(waiter(vec![id], Wish::Message, timeout_ms), now_ms);
            }
            Request::Select(ids, timeout_ms) => {
                return self.wait(waiter(ids, Wish::AnyMessage, timeout_ms), now_ms);
            }
            Request::Wait(id, timeout_ms) => {
                return self.wait(waiter(vec![id], Wish::Exit, timeout_ms), now_ms);
            }
            Request::Close(id) => self.known(id).map(|_| NIL.to_vec()).inspect(|_| self.close(id)),
            Request::Kill(id, signal) => self.known(id).map(|handle| !handle.is_gone()).map(|is_alive| {
                if is_alive {
                    self.effects.push_back(Effect::Signal(id, signal));
                }
                NIL.to_vec()
            }),
            Request::Status(id) => self.known(id).map(|handle| handle.state(true)),
        };
        self.effects.push_back(Effect::Answer(asker, answer));
    }

    fn start(&mut self, launch: Launch, owner: Owner, asker: Asker, now_ms: u64) -> Result<()> {
        let alive = self.handles.iter().filter(|(_, handle)| !handle.is_gone());
        if alive.count() >= HANDLES_MAX {
            let message = format!(
                "worker '{}' would be one more than the {HANDLES_MAX} that a run may have",
                launch.name
            );
            return Err(Error::new(Kind::SpawnFailed, message));
        }
        if self.leaving.contains(&owner) {
            return Err(Error::new(Kind::Cancelled, OWNER_ENDED));
        }
        self.add(launch, owner, Some(asker), now_ms);
        Ok(())
    }

    pub(super) fn add(
        &mut self,
        launch: Launch,
        owner: Owner,
        asker: Option<Asker>,
        now_ms: u64,
    ) -> HandleId {
        let mut handle = Handle::new(&launch, owner, asker);
        handle.life_at_ms = launch.timeout_ms.map(|ms| now_ms.saturating_add(ms));
        let id = self.handles.insert(handle);
        self.schedule(id, now_ms);
        self.effects.push_back(Effect::Spawn(id, Box::new(launch)));
        id
    }

    fn known(&self, id: HandleId) -> Result<&Handle> {
        self.handles.get(id).ok_or_else(|| unknown(id))
    }

    fn send(&mut self, id: HandleId, message: &[u8]) -> Result<()> {
        let handle = self.handles.get_mut(id).ok_or_else(|| unknown(id))?;
        let name = &handle.name;
        let refused = |kind, message: String| Err(Error::new(kind, message));
        let content = match (Reader::new(message).next(), handle.framing) {
            (Ok(Token::Array(_)), Framing::Frames) => message,
            (_, Framing::Frames) => {
                let message = format!("what is sent to command '{name}' is not the array of its arguments");
                return refused(Kind::BadArgument, message);
            }
            (Ok(Token::Bin(bytes)), _) => bytes,
            (Ok(Token::Str(text)), _) => text.as_bytes(),
            _ => {
                let message = format!("what is sent to program '{name}' is neither bytes nor a string");
                return refused(Kind::BadArgument, message);
            }
        };
        if handle.framing == Framing::Lines && content.contains(&b'\n') {
            let message = format!("a message to worker '{name}' has several lines, expected one");
            let error = Error::new(Kind::BadArgument, message);
            return Err(error.hint("start it with the framing 'whole' to write bytes as they are"));
        }
        if content.len() > WORKER_MESSAGE_BYTES_MAX {
            let bytes = content.len();
            let message =
                format!("message of {bytes} bytes to worker '{name}' exceeds {WORKER_MESSAGE_BYTES_MAX}");
            return refused(Kind::BadArgument, message);
        }
        if let Some(error) = handle.send_error() {
            return Err(error);
        }
        let is_full = handle.outgoing.is_full();
        #[cfg(test)]
        let is_full = is_full && self.planted != Some(Bug::EndlessMailbox);
        if is_full {
            let message = format!(
                "mailbox of worker '{name}' is full ({MAILBOX_MESSAGES_MAX} messages or {} MiB)",
                MAILBOX_BYTES_MAX >> 20
            );
            return Err(handle
                .error(Kind::Io, message)
                .hint("receive what it answers before sending more"));
        }
        handle.outgoing.push(handle.framing, content);
        self.list(id);
        Ok(())
    }

    /// Puts a process into the list of those that have something to be written to them.
    pub(super) fn list(&mut self, id: HandleId) {
        if let Some(handle) = self.handles.get_mut(id).filter(|handle| !handle.is_listed) {
            handle.is_listed = true;
            self.listed.push_back(id);
        }
    }

    /// Lets the input of a process end, as soon as all is written.
    pub(super) fn close(&mut self, id: HandleId) {
        if let Some(handle) = self.handles.get_mut(id)
            && handle.input == Input::Open
        {
            handle.input = Input::Closing;
        }
        self.close_if_written(id);
    }

    fn close_if_written(&mut self, id: HandleId) {
        if let Some(handle) = self.handles.get_mut(id)
            && handle.input == Input::Closing
            && handle.outgoing.chunk().is_empty()
        {
            handle.input = Input::Closed;
            self.effects.push_back(Effect::CloseInput(id));
        }
    }

    /// Answers at once, or as soon as there is something to tell.
    fn wait(&mut self, mut waiter: Waiter, now_ms: u64) {
        if let Some(id) = waiter.handles.iter().find(|id| self.handles.get(**id).is_none()) {
            let answer = Effect::Answer(waiter.asker, Err(unknown(*id)));
            return self.effects.push_back(answer);
        }
        let ids = std::mem::take(&mut waiter.handles);
        let timeout_ms = waiter.timeout_ms;
        waiter.handles.clone_from(&ids);
        let key = self.waiters.insert(waiter);
        for id in &ids {
            if let Some(handle) = self.handles.get_mut(*id) {
                handle.waiters.push_back(key);
            }
        }
        for id in ids {
            self.serve(id);
        }
        if let Some(waiter) = self.waiters.get_mut(key) {
            let due = timeout_ms.map(|ms| now_ms.saturating_add(ms));
            self.deadlines.set(Timer::Waiter(key), &mut waiter.due, due);
        }
    }

    /// Tells those who wait for a process what there is to tell, oldest first.
    fn serve(&mut self, id: HandleId) {
        let mut at = 0;
        while let Some(handle) = self.handles.get_mut(id)
            && let Some(key) = handle.waiters.get(at).copied()
        {
            let Some(waiter) = self.waiters.get(key) else {
                handle.waiters.remove(at);
                continue;
            };
            let is_exit = waiter.wish == Wish::Exit;
            let is_ready = match is_exit {
                true => handle.is_gone(),
                false => handle.is_ready(),
            };
            if !is_ready {
                at += 1;
                continue;
            }
            handle.waiters.remove(at);
            let answer = match is_exit {
                true => Ok(handle.state(false)),
                false => {
                    let position = waiter.handles.iter().position(|waited| *waited == id);
                    let taken = handle.take();
                    match taken {
                        Some(taken) => taken.and_then(|message| told(handle, waiter, position, message)),
                        None => continue,
                    }
                }
            };
            self.answer(key, answer);
        }
    }

    pub(super) fn answer(&mut self, key: WaiterId, answer: Result<Vec<u8>>) {
        if let Some(mut waiter) = self.waiters.remove(key) {
            self.deadlines.set(Timer::Waiter(key), &mut waiter.due, None);
            #[cfg(test)]
            if self.planted == Some(Bug::DropProcessAnswer) {
                return;
            }
            self.effects.push_back(Effect::Answer(waiter.asker, answer));
        }
    }

    /// A process runs.
    pub fn handle_spawned(&mut self, id: HandleId, pid: u32) {
        if let Some(handle) = self.handles.get_mut(id) {
            handle.pid = pid;
            let mut answer = Vec::new();
            write::array(&mut answer, 2);
            write::unsigned(&mut answer, id.raw());
            write::unsigned(&mut answer, pid.into());
            if let Some(asker) = handle.asker.take() {
                self.effects.push_back(Effect::Answer(asker, Ok(answer)));
            }
            if handle.is_detached && handle.is_leaving {
                self.effects.push_back(Effect::Release(id));
                self.forget(id);
            }
        }
    }

    /// A process could not be started.
    pub fn handle_spawn_failed(&mut self, id: HandleId, error: Box<Error>) {
        let Some(handle) = self.handles.get_mut(id) else {
            return;
        };
        match handle.asker.take() {
            Some(asker) => {
                self.effects.push_back(Effect::Answer(asker, Err(error)));
                self.forget(id);
            }
            None => {
                handle.fate = Fate::Gone(Ended::Unknown);
                handle.failure = Some(error);
            }
        }
    }

    /// A stage can't be given the file that is its input.
    pub fn handle_input_failed(&mut self, id: HandleId, error: Box<Error>) {
        if let Some(handle) = self.handles.get_mut(id) {
            handle.failure = Some(error);
        }
    }

    /// Takes in what a process wrote to its output.
    pub fn handle_input(&mut self, id: HandleId, bytes: &[u8], now_ms: u64) {
        let Some(handle) = self.handles.get_mut(id) else {
            return;
        };
        if !handle.inbox.push(bytes) {
            let what = format!("wrote a message of more than {WORKER_MESSAGE_BYTES_MAX} bytes");
            self.break_off(id, what, now_ms);
        }
        self.serve(id);
    }

    /// The output of a process has ended.
    pub fn handle_output_end(&mut self, id: HandleId, now_ms: u64) {
        let Some(handle) = self.handles.get_mut(id) else {
            return;
        };
        if handle.inbox.has_ended() {
            return;
        }
        let is_cut_off = handle.inbox.end();
        if is_cut_off && matches!(handle.fate, Fate::Alive | Fate::Gone(Ended::Code(0))) {
            self.break_off(id, "ended its output in the middle of a message".into(), now_ms);
        } else if handle.fate == Fate::Alive {
            let at_ms = now_ms.saturating_add(DEATH_REPORT_MS);
            self.deadlines
                .set(Timer::End(id), &mut handle.end_due, Some(at_ms));
        }
        self.serve(id);
    }

    /// What it writes is no message, so nothing more can be learned from it.
    fn break_off(&mut self, id: HandleId, what: String, now_ms: u64) {
        if let Some(handle) = self.handles.get_mut(id) {
            handle.fault.get_or_insert(what);
            handle.inbox.close();
            if !handle.is_gone() {
                self.press(id, Pressure::Kill, now_ms);
            }
        }
    }

    /// Adds what a process wrote to its standard error, for its errors.
    pub fn handle_stderr(&mut self, id: HandleId, bytes: &[u8]) {
        if let Some(handle) = self.handles.get_mut(id) {
            handle.tail.push(bytes);
        }
    }

    /// A process has ended and its group with it; all that it had written was taken in, and
    /// its input and output are closed. Of one whose input another writes, it is told before if that goes on:
    /// [`Table::handle_input_refused`].
    pub fn handle_exited(&mut self, id: HandleId, ended: Ended, now_ms: u64) {
        let Some(handle) = self.handles.get_mut(id) else {
            return;
        };
        handle.fate = Fate::Gone(ended);
        handle.refuses |= handle.input == Input::Open || !handle.outgoing.chunk().is_empty();
        handle.outgoing.clear();
        if handle.input != Input::Elsewhere {
            handle.input = Input::Closed;
        }
        self.deadlines.set(Timer::Handle(id), &mut handle.due, None);
        self.deadlines.set(Timer::End(id), &mut handle.end_due, None);
        self.handle_output_end(id, now_ms);
        self.serve(id);
        if self.handles.get(id).is_some_and(|handle| handle.is_leaving) {
            self.forget(id);
        }
    }

    /// Whoever asked doesn't want to know any more.
    pub fn forget_asker(&mut self, asker: Asker) {
        let waiters = self.waiters.iter().filter(|(_, waiter)| waiter.asker == asker);
        for key in waiters.map(|(key, _)| key).collect::<Vec<_>>() {
            self.drop_waiter(key);
        }
    }

    /// Whoever asked from that connection is gone.
    pub fn forget_peer(&mut self, peer: PeerId) {
        let of_peer = |waiter: &Waiter| matches!(waiter.asker, Asker::Worker(asker, _) if asker == peer);
        let waiters = self.waiters.iter().filter(|(_, waiter)| of_peer(waiter));
        for key in waiters.map(|(key, _)| key).collect::<Vec<_>>() {
            self.drop_waiter(key);
        }
    }

    fn drop_waiter(&mut self, key: WaiterId) {
        if let Some(mut waiter) = self.waiters.remove(key) {
            self.deadlines.set(Timer::Waiter(key), &mut waiter.due, None);
        }
    }

    /// Handles all deadlines that have passed.
    pub fn handle_timeout(&mut self, now_ms: u64) {
        while let Some(timer) = self.deadlines.pop(now_ms) {
            match timer {
                Timer::Handle(id) => {
                    let Some(handle) = self.handles.get_mut(id) else {
                        continue;
                    };
                    handle.due = None;
                    handle.is_overdue |= handle.pressure == Pressure::None && handle.timeout_ms.is_some();
                    let next = match handle.pressure {
                        Pressure::None => Pressure::Term,
                        _ => Pressure::Kill,
                    };
                    self.press(id, next, now_ms);
                }
                Timer::End(id) => {
                    if let Some(handle) = self.handles.get_mut(id) {
                        handle.end_due = None;
                        handle.is_end_told = true;
                        self.serve(id);
                    }
                }
                Timer::Waiter(key) => {
                    if let Some(waiter) = self.waiters.get_mut(key) {
                        waiter.due = None;
                        let answer = Err(self.timeout_error(key));
                        #[cfg(test)]
                        let answer = match self.planted {
                            Some(Bug::TimeoutIsEnd) => Ok(vec![0x90]),
                            _ => answer,
                        };
                        self.answer(key, answer);
                    }
                }
            }
        }
    }

    fn timeout_error(&self, key: WaiterId) -> Box<Error> {
        let waiter = self.waiters.get(key);
        let (handles, ms, wish) = waiter.map_or((&[][..], 0, Wish::Message), |waiter| {
            (
                &waiter.handles[..],
                waiter.timeout_ms.unwrap_or_default(),
                waiter.wish,
            )
        });
        let what = match wish {
            Wish::Exit => "end",
            _ => "send a message",
        };
        match handles {
            [id] if let Some(handle) = self.handles.get(*id) => {
                let message = format!("worker '{}' did not {what} within {ms} ms", handle.name);
                handle.error(Kind::Timeout, message)
            }
            handles => {
                let message = format!("none of {} workers did {what} within {ms} ms", handles.len());
                Error::new(Kind::Timeout, message)
            }
        }
    }
}

const NIL: [u8; 1] = [0xc0];
pub(super) const OWNER_ENDED: &str = "the call that this worker belongs to has ended";

pub(super) fn unknown(id: HandleId) -> Box<Error> {
    let message = format!(
        "worker {} is not known: the call that started it has ended, or it never was",
        id.raw()
    );
    Error::new(Kind::Io, message)
}

/// A message as whoever waits for it gets it. The runtime of a pool takes apart what a command answered; nexus itself gets
/// the result or the error in it.
fn told(
    handle: &Handle,
    waiter: &Waiter,
    position: Option<usize>,
    message: Option<Vec<u8>>,
) -> Result<Vec<u8>> {
    let wish = waiter.wish;
    let message = match (message, waiter.asker) {
        (Some(answer), Asker::Nexus(_)) if handle.framing == Framing::Frames => Some(result(&answer)?),
        (message, _) => message,
    };
    if wish == Wish::BareMessage {
        let ended = || format!("worker '{}' has ended its output and owes an answer", handle.name);
        return message.ok_or_else(|| handle.error(Kind::Terminated, ended()));
    }
    let mut answer = Vec::with_capacity(message.as_ref().map_or(0, Vec::len) + 16);
    if wish == Wish::AnyMessage {
        write::array(&mut answer, 2);
        write::unsigned(&mut answer, position.unwrap_or_default() as u64);
    }
    write::array(&mut answer, u32::from(message.is_some()));
    answer.extend_from_slice(&message.unwrap_or_default());
    Ok(answer)
}
