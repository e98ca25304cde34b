//! What functions do with worker processes, drawn when it comes to it: those of workers ask by host methods, those of nexus
//! itself ask the table. Judges nothing but that what was answered comes over the wire as it was.

use super::program::Nature;
use super::wire::{self, Answer};
use super::worker::{Asked, Waits};
use super::world::World;
use crate::codec::msgpack::write;
use crate::core::process::mailbox::Framing;
use crate::core::process::request::{Launch, Redirect, Request, Target};
use crate::core::process::table::{Asker, HandleId, Owner};
use crate::error::Kind;

/// Messages that are sent at once now and then: more than a mailbox holds.
const FLOOD: usize = 1100;

/// Bytes of the largest message, and of one read.
pub const MESSAGE_BYTES_MAX: usize = 600 << 10;

impl World {
    /// A function of a worker asks something about worker processes.
    pub fn work(&mut self, number: usize, position: usize) {
        let frame = &self.workers[number].frames[position];
        let (id, handles, plan) = (frame.id, frame.handles.clone(), frame.plan);
        let may_wait = self.clients[self.plans[plan].client].due_ms.is_some();
        let worker = &self.workers[number];
        let has_others = worker.open.values().any(|open| open.is_named);
        let is_named = has_others || worker.runs_side_by_side() || self.random.chance(200);
        if let Some(to) = handles.first().copied().filter(|_| self.random.chance(15)) {
            for turn in 0..FLOOD {
                let request = Request::Send(to, self.draw_message(to, turn));
                self.ask_by_wire(number, id, &request, is_named);
            }
            self.workers[number].frames[position].waits = Waits::All;
            return;
        }
        let request = self.draw_request(&handles, may_wait, false);
        let asked = self.ask_by_wire(number, id, &request, is_named);
        // Some don't wait for what they asked.
        if self.random.chance(850) {
            self.workers[number].frames[position].waits = Waits::One(asked);
        }
    }

    fn ask_by_wire(&mut self, number: usize, frame: u64, request: &Request, is_named: bool) -> u64 {
        let worker = &mut self.workers[number];
        let is_run = matches!(request, Request::Run(_));
        let id = worker.open_request(frame, false, Asked::Process { is_run });
        let link = worker.link.expect("it is connected");
        let parent = (is_run && is_named).then_some(frame);
        let (method, values, params) = encode(request, parent);
        wire::request(self.out(link), id, method, values, &params);
        id
    }

    /// An answer about worker processes has come to a worker.
    pub fn judge_told(&mut self, number: usize, id: u64, answer: &Answer) {
        let worker = &self.workers[number];
        let host = self.pools[worker.pool].spec.host.as_ref();
        let Some(link) = worker.link else { return };
        match (self.desk.told.remove(&(link.raw(), id)), answer) {
            (Some(Ok(told)), Answer::Value(value)) => {
                assert!(told == *value, "an answer comes as it was given");
            }
            (Some(Err(told)), Answer::Error(error)) => {
                assert_eq!((told.kind, &told.message), (error.kind, &error.message));
            }
            // The hub has refused it.
            (None, Answer::Error(error)) => {
                let is_denied = host.is_some_and(|host| !host.run);
                assert_eq!(is_denied, error.kind == Kind::Denied, "{error}");
                let is_refused = matches!(error.kind, Kind::Denied | Kind::Cancelled | Kind::Protocol);
                assert!(is_refused, "{error}");
            }
            (told, answer) => panic!("{told:?} has come as {answer:?}"),
        }
    }

    /// Takes a request to the table.
    pub fn ask_of_table(&mut self, asker: Asker, owner: Option<Owner>, request: Request) {
        self.note_request(asker, owner, &request);
        let sent = match &request {
            Request::Send(id, message) | Request::Talk(id, message, _) => Some((*id, message.clone())),
            _ => None,
        };
        let was_waiting = sent.as_ref().map_or(0, |(id, _)| self.table.waiting_bytes(*id));
        self.table.request(asker, owner, request, self.now_ms);
        if let Some((id, message)) = sent {
            self.note_accepted(asker, id, &message, was_waiting);
        }
        self.judge_queued();
    }

    /// Something to be asked by whoever knows those processes.
    pub fn draw_request(&mut self, handles: &[HandleId], may_wait: bool, is_nexus: bool) -> Request {
        if handles.is_empty() || self.random.chance(200) {
            return Request::Run(Box::new(self.draw_launch()));
        }
        let pick = |world: &mut World| match world.random.below(100) {
            // Another's, or nobody's.
            0..3 if !world.system.programs.is_empty() => {
                let any = world.random.below(world.system.programs.len() as u64);
                world.system.programs[any as usize].id
            }
            3 => HandleId::from_raw(world.random.below(1 << 20) << 32),
            _ => world.random.pick(handles),
        };
        let id = pick(self);
        let timeout = match may_wait && self.random.chance(300) {
            true => None,
            false => Some(self.random.pick(&[0, 1, 20, 20, 300, 300, 5000])),
        };
        match self.random.below(100) {
            0..30 => Request::Send(id, self.draw_message(id, 0)),
            30..55 if is_nexus && self.random.chance(500) => {
                Request::Talk(id, self.draw_message(id, 0), timeout)
            }
            30..65 => Request::Receive(id, timeout),
            65..73 => Request::Close(id),
            73..78 => Request::Kill(id, self.random.pick(&[9, 9, 15])),
            78..86 => Request::Wait(id, timeout),
            86..91 => Request::Status(id),
            _ => {
                let more = self.random.below(3);
                let ids = std::iter::once(id).chain((0..more).map(|_| pick(self)));
                Request::Select(ids.collect(), timeout)
            }
        }
    }

    fn draw_launch(&mut self) -> Launch {
        let nature = Nature::draw(&self.faults, &mut self.random);
        let name = self.system.name(nature);
        let mut launch = Launch::new(match self.random.chance(300) {
            true => Target::Command(name),
            false => Target::Program(vec![name]),
        });
        if launch.framing == Framing::Lines && self.random.chance(150) {
            launch.framing = Framing::Whole;
        }
        let mut some = |redirect| self.random.chance(50).then_some(redirect);
        let (stdin, stdout) = (some(Redirect::Null), some(Redirect::Null));
        launch.is_detached = self.random.chance(60);
        launch.timeout_ms = self.random.chance(100).then(|| self.random.between(1, 6000));
        let is_fit = launch.redirect(stdin, stdout, None);
        is_fit.expect("no detached one has pipes");
        launch
    }

    /// A message for a program or a command, which may be none that it takes.
    fn draw_message(&mut self, id: HandleId, turn: usize) -> Vec<u8> {
        self.messages += 1;
        let mut text = format!("m{} {turn}", self.messages);
        let bytes = match self.random.chance(20) {
            true => self.random.size((200 << 10).min(self.system.volume())),
            false => self.random.size(200.min(self.system.volume() / 10)),
        };
        text.push_str(&"y".repeat(bytes));
        if self.random.chance(20) {
            text.push('\n');
        }
        let is_command = self
            .desk
            .accounts
            .get(&id)
            .is_some_and(|account| account.framing == Framing::Frames);
        let mut out = Vec::new();
        if is_command != self.random.chance(20) {
            write::array(&mut out, 1);
        }
        write::bin(&mut out, text.as_bytes());
        out
    }
}

/// A request as a runtime sends it: the method, how many params, and the params.
fn encode(request: &Request, parent: Option<u64>) -> (&'static str, u32, Vec<u8>) {
    let mut out = Vec::new();
    let id = |out: &mut Vec<u8>, id: HandleId| write::unsigned(out, id.raw());
    let optional = |out: &mut Vec<u8>, number: Option<u64>| match number {
        Some(number) => write::unsigned(out, number),
        None => write::nil(out),
    };
    let (method, values) = match request {
        Request::Run(launch) => {
            encode_launch(&mut out, launch);
            optional(&mut out, parent);
            ("run", 2)
        }
        Request::Send(to, message) => {
            id(&mut out, *to);
            out.extend_from_slice(message);
            ("send", 2)
        }
        Request::Receive(of, ms) => {
            id(&mut out, *of);
            optional(&mut out, *ms);
            ("receive", 2)
        }
        Request::Close(of) => {
            id(&mut out, *of);
            ("close", 1)
        }
        Request::Kill(of, signal) => {
            id(&mut out, *of);
            optional(&mut out, Some(*signal as u64));
            ("kill", 2)
        }
        Request::Wait(of, ms) => {
            id(&mut out, *of);
            optional(&mut out, *ms);
            ("wait", 2)
        }
        Request::Status(of) => {
            id(&mut out, *of);
            ("status", 1)
        }
        Request::Select(ids, ms) => {
            write::array(&mut out, ids.len() as u32);
            ids.iter().for_each(|of| id(&mut out, *of));
            optional(&mut out, *ms);
            ("select", 2)
        }
        Request::Talk(..) => unreachable!("no host method"),
    };
    (method, values, out)
}

fn encode_launch(out: &mut Vec<u8>, launch: &Launch) {
    let redirect = |redirect| match redirect {
        Redirect::Pipe => "pipe",
        Redirect::Null => "null",
        _ => "inherit",
    };
    write::map(out, 6);
    match &launch.target {
        Target::Program(argv) => {
            write::string(out, "argv");
            write::array(out, argv.len() as u32);
            argv.iter().for_each(|word| write::string(out, word));
        }
        Target::Command(name) => {
            write::string(out, "command");
            write::string(out, name);
        }
    }
    write::string(out, "stdin");
    write::string(out, redirect(launch.stdin));
    write::string(out, "stdout");
    write::string(out, redirect(launch.stdout));
    write::string(out, "detach");
    write::boolean(out, launch.is_detached);
    write::string(out, "framing");
    match launch.framing {
        Framing::Whole => write::string(out, "whole"),
        Framing::Lines => write::string(out, "lines"),
        _ => write::nil(out),
    }
    write::string(out, "timeout_ms");
    match launch.timeout_ms {
        Some(ms) => write::unsigned(out, ms),
        None => write::nil(out),
    }
}
