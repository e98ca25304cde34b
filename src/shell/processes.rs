//! The processes that nexus has spawned: pools' parents, workers without one, and worker processes. Knows what the poll said of each; decides
//! nothing.

use super::output::Printed;
use super::polling::{MARK_SHIFT, Polled};
use crate::core::hub::{Ended, PeerId, Signal};
use crate::core::process::table::HandleId;
use crate::ids::PoolId;
use crate::sys::process::{Child, Ending, Exit};
use mio::unix::SourceFd;
use mio::{Interest, Token};
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

/// Tokens of a process's own sources have this bit; a peer's never has.
const PROCESS_BIT: usize = 1 << (MARK_SHIFT - 1);
/// A process has its end and at most two pipes.
const SOURCES_PER_PROCESS: usize = 3;

/// Whose process it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// The parent of that pool's workers.
    Pool(PoolId),
    /// That worker of that pool.
    Worker(PoolId, PeerId),
    /// A worker process that functions use.
    Program(HandleId),
}

impl Owner {
    /// Whether it belongs to that pool.
    fn is_of(self, pool: PoolId) -> bool {
        matches!(self, Owner::Pool(own) | Owner::Worker(own, _) if own == pool)
    }
}

/// One process.
pub struct Process {
    pub owner: Owner,
    child: Child,
    printed: Vec<Printed>,
    /// None of one that outlives nexus.
    life: Option<OwnedFd>,
}

/// All of them. The place of one is free again once it has been reaped.
#[derive(Default)]
pub struct Processes {
    slots: Vec<Option<Process>>,
    /// Places of those that the poll said have ended, in the order in which they did.
    ended: Vec<usize>,
}

impl Processes {
    /// Whether a token is of a process.
    pub fn is_own(Token(token): Token) -> bool {
        token & PROCESS_BIT != 0
    }

    /// Takes a process that was just spawned. `life` ends it when this process ends, however that happens; without it, the
    /// process outlives this one.
    ///
    /// # Errors
    /// The poll refuses it; then it is ended.
    pub fn add(
        &mut self,
        owner: Owner,
        child: Child,
        printed: Vec<Printed>,
        life: Option<OwnedFd>,
        polled: Polled<'_>,
    ) -> io::Result<()> {
        let free = self.slots.iter().position(Option::is_none);
        let slot = free.unwrap_or(self.slots.len());
        let first = PROCESS_BIT | (slot * SOURCES_PER_PROCESS);
        let fds = std::iter::once(child.as_fd()).chain(printed.iter().map(Printed::as_fd));
        for (position, fd) in fds.enumerate() {
            let token = Token(first + position);
            let registered = polled.register(&mut SourceFd(&fd.as_raw_fd()), token, Interest::READABLE);
            if let Err(error) = registered {
                child.end();
                return Err(error);
            }
        }
        if free.is_none() {
            self.slots.push(None);
        }
        self.slots[slot] = Some(Process {
            owner,
            child,
            printed,
            life,
        });
        Ok(())
    }

    /// Notes what the poll said.
    pub fn note_event(&mut self, Token(token): Token) {
        let token = token & !PROCESS_BIT;
        let (slot, source) = (token / SOURCES_PER_PROCESS, token % SOURCES_PER_PROCESS);
        let Some(Some(process)) = self.slots.get_mut(slot) else {
            return;
        };
        match source.checked_sub(1) {
            None if !self.ended.contains(&slot) => self.ended.push(slot),
            None => {}
            Some(pipe) => process.printed[pipe].note_readable(),
        }
    }

    /// The ids of all.
    pub fn pids(&self) -> Vec<u32> {
        let processes = self.slots.iter().flatten();
        processes.map(|process| process.child.pid()).collect()
    }

    /// Whether something that was printed can be read at once.
    pub fn has_unread(&self) -> bool {
        let printed = self.slots.iter().flatten().flat_map(|process| &process.printed);
        printed.into_iter().any(Printed::is_readable)
    }

    /// Passes on what was printed and can be read, and shows it to `each`.
    pub fn read_printed(&mut self, buffer: &mut [u8], mut each: impl FnMut(Owner, &[u8])) {
        for process in self.slots.iter_mut().flatten() {
            let owner = process.owner;
            let readable = process.printed.iter_mut().filter(|printed| printed.is_readable());
            for printed in readable {
                printed.drain(buffer, |bytes| each(owner, bytes));
            }
        }
    }

    /// Places of processes that the poll said have ended, the first to end first.
    pub fn ended(&self) -> Vec<usize> {
        self.ended.clone()
    }

    /// The owner of the process in that place.
    pub fn owner(&self, slot: usize) -> Option<Owner> {
        let process = self.slots.get(slot)?.as_ref();
        process.map(|process| process.owner)
    }

    /// Takes the exit of a process that has ended, and ends what is left of its group: the leader's id stays taken until it
    /// is reaped, so the signal can't reach another's group. None if it has not ended after all.
    pub fn bury(
        &mut self,
        slot: usize,
        buffer: &mut [u8],
        mut each: impl FnMut(Owner, &[u8]),
    ) -> Option<(Owner, Ended)> {
        self.ended.retain(|ended| *ended != slot);
        let process = self.slots[slot].as_mut()?;
        let owner = process.owner;
        if process.life.is_some() {
            process.child.signal_group(Ending::Kill);
        }
        for printed in &mut process.printed {
            printed.drain(buffer, |bytes| each(owner, bytes));
        }
        let exit = process.child.reap()?;
        self.slots[slot] = None;
        let ended = match exit {
            Exit::Code(code) => Ended::Code(code),
            Exit::Signal(number) => Ended::Signal(number),
            Exit::Unknown => Ended::Unknown,
        };
        Some((owner, ended))
    }

    /// Sends a signal to all process groups of a pool.
    pub fn signal_pool(&self, pool: PoolId, signal: Signal) {
        let processes = self.slots.iter().flatten();
        for process in processes.filter(|process| process.owner.is_of(pool)) {
            send(&process.child, signal);
        }
    }

    /// Sends a signal to a worker.
    pub fn signal_worker(&self, worker: PeerId, signal: Signal) {
        let is_it = |owner: Owner| matches!(owner, Owner::Worker(_, peer) if peer == worker);
        let mut processes = self.slots.iter().flatten();
        if let Some(process) = processes.find(|process| is_it(process.owner)) {
            send(&process.child, signal);
        }
    }

    /// Sends any signal to the group of a worker process.
    pub fn signal_program(&self, program: HandleId, number: i32) {
        let is_it = |process: &&Process| process.owner == Owner::Program(program);
        if let Some(process) = self.slots.iter().flatten().find(is_it) {
            process.child.send_to_group(number);
        }
    }
}

fn send(child: &Child, signal: Signal) {
    match signal {
        Signal::Int => child.interrupt(),
        Signal::Term => child.signal_group(Ending::Term),
        Signal::Kill => child.signal_group(Ending::Kill),
    }
}
