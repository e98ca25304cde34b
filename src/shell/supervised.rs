//! One program of the system that is run in nexus's place: its streams and its exit code are nexus's own, and it ends with
//! nexus. Or it is let go.

use super::polling::Polled;
use super::processes::{Owner, Processes};
use super::session::poll_refused;
use super::strays::end_strays;
use super::workers::{Run, Workers};
use crate::core::hub::Ended;
use crate::core::process::request::{Launch, Redirect, Request};
use crate::core::process::table::{self, Asker, Effect, HandleId};
use crate::error::Result;
use crate::sys::clock::now_ms;
use crate::sys::process::adopt_orphans;
use crate::sys::signal::{INTERRUPT, Signals};
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use std::io::{self, ErrorKind, IsTerminal};
use std::os::fd::{AsFd, AsRawFd};
use std::time::Duration;

const SIGNALS: Token = Token(usize::MAX - 1);
const EVENTS_PER_TURN: usize = 8;

/// How it went.
#[derive(Debug)]
pub enum Outcome {
    /// It ended.
    Ended(Ended),
    /// It was let go, under that process id.
    Detached(u32),
}

/// Runs a program until it ends, or only starts it if it is detached.
///
/// # Errors
/// `spawn_failed`; `timeout` when it ran for too long; `io` when the system refuses the poll.
pub fn run(launch: Launch) -> Result<Outcome> {
    let mut poll = Poll::new().map_err(poll_refused("make a poll"))?;
    let mut signals = Signals::take().map_err(poll_refused("take over signals"))?;
    let fd = signals.as_fd().as_raw_fd();
    poll.registry()
        .register(&mut SourceFd(&fd), SIGNALS, Interest::READABLE)
        .map_err(poll_refused("poll signals"))?;
    adopt_orphans().map_err(poll_refused("adopt orphans"))?;
    let is_detached = launch.is_detached;
    // What is typed at a terminal reaches a program that shares it anyway.
    let hears_itself = launch.stdin == Redirect::Inherit && io::stdin().is_terminal();
    let mark = format!("{}-{}", std::process::id(), now_ms());
    let (mut workers, mut processes) = (Workers::default(), Processes::default());
    let owner = table::Owner::Run;
    workers.table.request(
        Asker::Nexus(0),
        Some(owner),
        Request::Run(Box::new(launch)),
        now_ms(),
    );
    let mut program: Option<HandleId> = None;
    let mut events = Events::with_capacity(EVENTS_PER_TURN);
    let result = loop {
        while let Some(effect) = workers.table.poll_effect() {
            if let Effect::Spawn(id, _) = &effect {
                program = Some(*id);
            }
            let run = Run {
                mark: &mark,
                program: None,
                polled: Polled::all(poll.registry()),
            };
            if let Some(Effect::Answer(_, answer)) = workers.perform(effect, &mut processes, &run) {
                answer?;
            }
        }
        let Some(id) = program else {
            continue;
        };
        if is_detached {
            break Ok(Outcome::Detached(workers.table.pid(id)));
        }
        if let Some(ended) = workers.table.ended(id) {
            break ended.map(Outcome::Ended);
        }
        let due_ms = workers
            .table
            .next_deadline()
            .map(|due| due.saturating_sub(now_ms()));
        match poll.poll(&mut events, due_ms.map(Duration::from_millis)) {
            Err(error) if error.kind() != ErrorKind::Interrupted => {
                break Err(poll_refused("poll")(error));
            }
            _ => {}
        }
        while let Some(number) = signals.arrived() {
            if !(hears_itself && number == INTERRUPT) {
                processes.signal_program(id, number);
            }
        }
        for event in &events {
            if Processes::is_own(event.token()) {
                processes.note_event(event.token());
            }
        }
        for slot in processes.ended() {
            if let Some((Owner::Program(id), ended)) = processes.bury(slot, &mut [], |_, _| {}) {
                workers.bury(id, ended, &mut [], now_ms());
            }
        }
        workers.table.handle_timeout(now_ms());
    };
    if !is_detached {
        end_strays(&format!("NEXUS_RUN={mark}"), &[], &[]);
    }
    result
}
