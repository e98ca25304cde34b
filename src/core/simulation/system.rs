//! The system under the table of worker processes, as `shell::workers` deals with it: programs start, pipes between them and
//! nexus take and give parts of what is there, signals arrive late, ends are told in their order.

use super::desk::Account;
use super::program::{Channel, Nature, Program};
use super::world::{Event, World, take_front};
use crate::core::hub::Ended;
use crate::core::process::bridge::to_hub;
use crate::core::process::request::{Launch, Redirect, Target};
use crate::core::process::table::{Asker, Effect, HandleId, Owner};
use crate::error::{Error, Kind};
use crate::limits::{JOIN_GRACE_MS, READ_BYTES};
use std::collections::{BTreeMap, VecDeque};

/// Reads that take what a process leaves behind, as in `shell::workers`.
const LAST_READS_MAX: usize = 16;

/// How long it takes at most until a signal has ended a process and nexus knows, in milliseconds.
const DELAYS_MS: u64 = 100;

#[derive(Default)]
pub struct System {
    pub programs: Vec<Program>,
    pub by_id: BTreeMap<HandleId, usize>,
    channels: Vec<Channel>,
    /// What a pipe holds.
    room: usize,
    /// Natures, by the number in the name of a program.
    pub natures: Vec<Nature>,
    /// Programs that have ended and of which nexus has not learned it, oldest first.
    dead: VecDeque<usize>,
}

/// What can happen to programs.
#[derive(Clone, Copy, Debug)]
pub enum Move {
    Act(usize),
    /// Nexus writes to it.
    Feed(usize),
    /// Nexus reads from it.
    Drain(usize),
    /// Nexus learns of so many ends, the oldest.
    Bury,
}

impl System {
    pub fn new(room: usize) -> System {
        System {
            room,
            ..System::default()
        }
    }

    /// Bytes that may go through a pipe without a run of endless steps.
    pub fn volume(&self) -> usize {
        (self.room * 100).clamp(300, 2 << 20)
    }

    fn open_channel(&mut self) -> usize {
        self.channels.push(Channel {
            bytes: Vec::new(),
            has_writer: true,
            has_reader: true,
        });
        self.channels.len() - 1
    }

    fn drop_reader(&mut self, channel: Option<usize>) {
        if let Some(channel) = channel {
            self.channels[channel].has_reader = false;
            self.channels[channel].bytes = Vec::new();
        }
    }

    fn drop_writer(&mut self, channel: Option<usize>) {
        if let Some(channel) = channel {
            self.channels[channel].has_writer = false;
        }
    }

    /// Nexus closes its ends.
    fn close(&mut self, number: usize) {
        let program = &mut self.programs[number];
        let (input, output, next) = (
            program.near_input.take(),
            program.near_output.take(),
            program.next_input.take(),
        );
        self.drop_writer(input);
        self.drop_reader(output);
        self.drop_reader(next);
    }

    /// There is something to be written to a program.
    pub fn note_output(&mut self, id: HandleId) {
        if let Some(number) = self.by_id.get(&id) {
            self.programs[*number].is_writable = true;
        }
    }

    /// Names a program of that nature.
    pub fn name(&mut self, nature: Nature) -> String {
        self.natures.push(nature);
        format!("p{}", self.natures.len() - 1)
    }

    /// The program of that name, if it was started.
    pub fn started(&self, name: &str) -> Option<usize> {
        self.programs.iter().position(|program| program.name == name)
    }

    /// The nature of a program of that name.
    pub fn nature(&self, name: &str) -> &Nature {
        let number: usize = name
            .strip_prefix('p')
            .and_then(|number| number.parse().ok())
            .expect("it is named");
        &self.natures[number]
    }

    pub fn moves(&self, now_ms: u64, wants_input: impl Fn(HandleId) -> bool) -> Vec<Move> {
        let mut moves = Vec::new();
        for (number, program) in self.programs.iter().enumerate() {
            if program.is_reaped || program.is_released {
                continue;
            }
            if program.can_act(&self.channels, self.room, now_ms) {
                moves.push(Move::Act(number));
            }
            if let Some(input) = program.near_input.filter(|_| program.is_writable)
                && (self.channels[input].bytes.len() < self.room || !self.channels[input].has_reader)
            {
                moves.push(Move::Feed(number));
            }
            if let Some(output) = program.near_output
                && (!self.channels[output].bytes.is_empty() || !self.channels[output].has_writer)
                && wants_input(program.id)
            {
                moves.push(Move::Drain(number));
            }
        }
        if !self.dead.is_empty() {
            moves.push(Move::Bury);
        }
        moves
    }
}

impl World {
    /// Does what the table of worker processes wants done.
    pub fn carry_out_process(&mut self, effect: Effect) {
        if let Effect::Spawn(id, launch) = effect {
            return self.start_program(id, &launch);
        }
        trace!(self, "{effect:?}");
        match to_hub(effect, &mut self.hub, self.now_ms) {
            None | Some(Effect::Spawn(..)) => {}
            Some(Effect::CloseInput(id)) => {
                if let Some(number) = self.system.by_id.get(&id).copied() {
                    let program = &mut self.system.programs[number];
                    let input = program.near_input.take();
                    assert!(
                        input.is_some() && !program.is_reaped,
                        "an input is closed once, and before its end"
                    );
                    self.system.drop_writer(input);
                }
                if let Some(account) = self.desk.accounts.get_mut(&id) {
                    account.is_closed = true;
                }
            }
            Some(Effect::CloseOutput(id)) => {
                if let Some(number) = self.system.by_id.get(&id).copied() {
                    let output = self.system.programs[number].near_output.take();
                    self.system.drop_reader(output);
                }
            }
            Some(Effect::Signal(id, signal)) => self.signal_program(id, signal),
            Some(Effect::Release(id)) => {
                self.desk.accounts.remove(&id);
                let Some(number) = self.system.by_id.get(&id).copied() else {
                    return;
                };
                let program = &mut self.system.programs[number];
                assert!(
                    program.is_detached && !program.is_released,
                    "only who is detached is let go"
                );
                program.is_released = true;
                self.system.close(number);
            }
            Some(Effect::Answer(Asker::Nexus(token), result)) => self.answer_asked(token, result),
            Some(Effect::Joined(owner)) => self.note_joined(owner),
            Some(effect @ Effect::Answer(..)) => panic!("{effect:?} is the hub's"),
        }
    }

    fn start_program(&mut self, id: HandleId, launch: &Launch) {
        let name = match &launch.target {
            Target::Program(argv) => &argv[0],
            Target::Command(name) => name,
        };
        assert_eq!(*name, launch.name);
        let nature = self.system.nature(name).clone();
        let is_ending = self.over_at_ms.is_some();
        trace!(self, "spawn {id:?} {launch:?}, {nature:?}");
        if nature.is_missing {
            if let Some(before) = launch
                .input_from
                .and_then(|before| self.system.by_id.get(&before))
            {
                let before = self.system.programs[*before].next_input.take();
                self.system.drop_reader(before);
            }
            let error = Error::new(Kind::SpawnFailed, "there is no such program");
            return self.table.handle_spawn_failed(id, error);
        }
        self.last_pid += 1;
        let mut program = Program::new(id, name, nature, launch.framing);
        program.is_detached = launch.is_detached;
        match (launch.input_from, launch.stdin) {
            (Some(before), _) => {
                let before = self.system.by_id.get(&before).copied();
                program.stdin = before.and_then(|before| self.system.programs[before].next_input.take());
                program.joined_input = program.stdin;
            }
            (None, Redirect::Pipe) => {
                program.stdin = Some(self.system.open_channel());
                program.near_input = program.stdin;
            }
            _ => {}
        }
        if launch.stdout == Redirect::Pipe {
            program.stdout = Some(self.system.open_channel());
            match launch.is_output_piped {
                true => program.next_input = program.stdout,
                false => program.near_output = program.stdout,
            }
        }
        let owner = self.table.owner(id);
        if let Some(owner) = owner {
            assert!(
                !is_ending || owner != Owner::Run,
                "nothing is started after the end"
            );
            let mut account = Account::new(launch, owner, self.now_ms);
            account.pid = self.last_pid;
            // It may have ended before it began.
            if self.table.is_leaving(id) == Some(true) {
                account.left = Some((self.clock_ms(), true));
                account.is_closed = true;
            }
            self.desk.accounts.insert(id, account);
        }
        self.system.by_id.insert(id, self.system.programs.len());
        self.system.programs.push(program);
        self.table.handle_spawned(id, self.last_pid);
    }

    fn signal_program(&mut self, id: HandleId, signal: i32) {
        let Some(number) = self.system.by_id.get(&id).copied() else {
            return;
        };
        let program = &self.system.programs[number];
        if program.ended.is_none() && (signal == 9 || !program.nature.ignores_term) {
            let delay = self.random.below(if signal == 9 { 3 } else { 30 });
            self.plan_event(delay, Event::Fall(number, signal));
        }
    }

    /// A signal ends a program.
    pub fn fall(&mut self, number: usize, signal: i32) {
        self.end_program(number, Ended::Signal(signal));
    }

    fn end_program(&mut self, number: usize, ended: Ended) {
        let program = &mut self.system.programs[number];
        if program.ended.is_some() || program.is_released {
            return;
        }
        trace!(self, "program {number} {:?} ends: {ended:?}", program.id);
        program.ended = Some(ended);
        let (stdin, stdout) = (program.stdin.take(), program.stdout);
        let (leaks, program_joined) = (program.nature.leaks, program.joined_input);
        // Nexus holds that of a program whose input another writes.
        if program_joined.is_none() {
            self.system.drop_reader(stdin);
        }
        if !leaks {
            self.system.drop_writer(stdout);
        }
        self.system.dead.push_back(number);
    }

    /// Something happens to programs.
    pub fn make_move(&mut self, it: Move) {
        self.piping.wake();
        match it {
            Move::Act(number) => {
                let system = &mut self.system;
                let (room, program) = (system.room, &mut system.programs[number]);
                let (ended, read) = program.act(&mut system.channels, room, &mut self.random, self.now_ms);
                let busy_ms = program.busy_until_ms.saturating_sub(self.now_ms);
                let (id, upto) = (program.id, program.read_bytes);
                if busy_ms > 0 {
                    self.wake(busy_ms);
                }
                if let Some(account) = self.desk.accounts.get(&id)
                    && !matches!(account.owner, Owner::Pipe(_))
                {
                    assert!(
                        account.given[..upto].ends_with(&read),
                        "what {id:?} reads is what it was sent"
                    );
                }
                if let Some(ended) = ended {
                    self.end_program(number, ended);
                }
            }
            Move::Feed(number) => {
                let program = &mut self.system.programs[number];
                let (id, input) = (program.id, program.near_input.unwrap_or(0));
                let channel = &mut self.system.channels[input];
                let waiting = self.table.output(id).len();
                if waiting == 0 {
                    program.is_writable = false;
                } else if !channel.has_reader {
                    trace!(self, "{id:?} refuses its input");
                    if let Some(account) = self.desk.accounts.get_mut(&id) {
                        account.is_closed = true;
                    }
                    self.table.handle_input_refused(id);
                } else {
                    let room = self.system.room - channel.bytes.len();
                    let cut = self.random.cut(waiting.min(room));
                    channel.bytes.extend_from_slice(&self.table.output(id)[..cut]);
                    self.table.advance_output(id, cut);
                }
            }
            Move::Drain(number) => drop(self.drain_program(number, false)),
            Move::Bury => {
                let number = self.system.dead.pop_front().expect("it has ended");
                self.bury_program(number);
            }
        }
    }

    /// Nexus reads once from a program, all that one read takes or a part. False if there is nothing more.
    fn drain_program(&mut self, number: usize, takes_all: bool) -> bool {
        let program = &mut self.system.programs[number];
        let (id, Some(output)) = (program.id, program.near_output) else {
            return false;
        };
        let channel = &mut self.system.channels[output];
        if channel.bytes.is_empty() {
            if !channel.has_writer {
                program.near_output = None;
                self.system.drop_reader(Some(output));
                if let Some(account) = self.desk.accounts.get_mut(&id) {
                    account.output_ended_ms.get_or_insert(self.now_ms);
                }
                self.table.handle_output_end(id, self.now_ms);
            }
            return false;
        }
        let most = channel.bytes.len().min(READ_BYTES);
        let cut = if takes_all { most } else { self.random.cut(most) };
        let bytes = take_front(&mut channel.bytes, cut);
        if let Some(account) = self.desk.accounts.get_mut(&id)
            && !matches!(account.owner, Owner::Pipe(_))
        {
            account.said.extend_from_slice(&bytes);
        }
        self.table.handle_input(id, &bytes, self.now_ms);
        true
    }

    /// Nexus learns of the end of a program.
    fn bury_program(&mut self, number: usize) {
        for _ in 0..LAST_READS_MAX {
            if !self.drain_program(number, true) {
                break;
            }
        }
        let program = &mut self.system.programs[number];
        let (id, Some(ended)) = (program.id, program.ended) else {
            return;
        };
        trace!(self, "program {number} {id:?} is buried");
        program.is_reaped = true;
        // What it left behind dies with its group.
        let (stdout, joined) = (program.stdout, program.joined_input.take());
        self.system.drop_writer(stdout);
        if let Some(input) = joined {
            if self.system.channels[input].has_writer {
                self.table.handle_input_refused(id);
            }
            self.system.drop_reader(Some(input));
        }
        self.system.close(number);
        if let Some(account) = self.desk.accounts.get_mut(&id) {
            account.ended = Some(ended);
            account.is_closed = true;
        }
        self.table.handle_exited(id, ended, self.now_ms);
    }

    /// After every event.
    pub fn check_system(&self) {
        let clock_ms = self.clock_ms();
        for account in self
            .desk
            .accounts
            .values()
            .filter(|account| account.ended.is_none())
        {
            let Some((since_ms, is_well)) = account.left else {
                continue;
            };
            let grace_ms = match is_well {
                true => account.life_ms() + 2 * JOIN_GRACE_MS,
                false => JOIN_GRACE_MS,
            };
            assert!(
                clock_ms <= since_ms + grace_ms + DELAYS_MS,
                "a process of {:?} outlives it",
                account.owner
            );
        }
    }

    /// Nothing of programs is left.
    pub fn assert_no_programs(&self) {
        assert!(self.table.is_bare(), "the table of worker processes is empty");
        let is_left = |program: &&Program| !program.is_reaped && !program.is_released;
        let left = self.system.programs.iter().find(is_left);
        assert!(left.is_none(), "no program is left running");
        let bytes: usize = self
            .system
            .channels
            .iter()
            .map(|channel| channel.bytes.len())
            .sum();
        let has_end = |program: &Program| program.near_input.or(program.near_output).is_some();
        assert!(
            !self.system.programs.iter().any(has_end),
            "no end of a pipe is left open"
        );
        assert!(self.has_released() || bytes == 0, "no pipe holds anything");
    }

    fn has_released(&self) -> bool {
        self.system.programs.iter().any(|program| program.is_released)
    }
}
