//! A small model of what is asked about worker processes, kept beside their table: who asked what, what each process was
//! given and has said as bytes, and so what an answer may be. Changes nothing outside itself but the table's input.

use super::world::{LATE_MS, World};
use crate::codec::msgpack::{Reader, Token};
use crate::core::hub::Ended;
use crate::core::process::mailbox::Framing;
use crate::core::process::request::{Launch, Redirect, Request};
use crate::core::process::table::{Asker, Effect, HandleId, Owner};
use crate::error::{Error, Kind, Result};
use crate::limits::{DEATH_REPORT_MS, JOIN_GRACE_MS};
use std::collections::{BTreeMap, BTreeSet};

/// The name of somebody who asks: a connection and a request, or nexus and a token.
type AskerKey = (u64, u64);

fn key(asker: Asker) -> AskerKey {
    match asker {
        Asker::Worker(peer, request) => (peer.raw(), request),
        Asker::Nexus(token) => (u64::MAX, token),
    }
}

/// All that was asked, and all processes.
#[derive(Default)]
pub struct Desk {
    pending: BTreeMap<AskerKey, Pending>,
    /// What workers were told, until it has come over the wire.
    pub told: BTreeMap<AskerKey, Result<Vec<u8>>>,
    pub accounts: BTreeMap<HandleId, Account>,
    /// Calls that have ended.
    ended_owners: BTreeSet<u64>,
    /// Effects of the table, from the front, of which the answers are judged.
    judged: usize,
}

struct Pending {
    asked: Asked,
    owner: Option<Owner>,
    due_ms: Option<u64>,
}

enum Asked {
    Run,
    /// Whether it was taken.
    Send(HandleId, bool),
    /// What is taken: the next of one, the next of one without a list, or of any.
    Take(Vec<HandleId>, Shape),
    Simple(HandleId),
    Wait(HandleId),
    Status(HandleId),
}

#[derive(Clone, Copy, PartialEq)]
enum Shape {
    List,
    Bare,
    Any,
}

/// What a process was given and has said.
pub struct Account {
    pub framing: Framing,
    pub owner: Owner,
    pub pid: u32,
    /// All that is to be written to it.
    pub given: Vec<u8>,
    /// What nexus has read of it, and how much of that was taken.
    pub said: Vec<u8>,
    taken: usize,
    is_whole_taken: bool,
    has_output: bool,
    /// When nexus learned of the end of its output.
    pub output_ended_ms: Option<u64>,
    pub ended: Option<Ended>,
    /// When its owner has ended, and whether well.
    pub left: Option<(u64, bool)>,
    /// Its input is closed or is about to be.
    pub is_closed: bool,
    timeout_ms: Option<u64>,
}

impl Account {
    pub fn new(launch: &Launch, owner: Owner, now_ms: u64) -> Account {
        let has_output = launch.stdout == Redirect::Pipe && !launch.is_output_piped;
        Account {
            framing: launch.framing,
            owner,
            pid: 0,
            given: Vec::new(),
            said: Vec::new(),
            taken: 0,
            is_whole_taken: !has_output,
            output_ended_ms: (!has_output).then_some(now_ms),
            has_output,
            ended: None,
            left: None,
            is_closed: launch.stdin != Redirect::Pipe,
            timeout_ms: launch.timeout_ms,
        }
    }

    fn has_ended_output(&self) -> bool {
        self.output_ended_ms.is_some() || self.ended.is_some()
    }

    /// The next message and how many bytes it is in all, as simply as that can be found.
    fn next(&self) -> Option<(&[u8], usize)> {
        let rest = &self.said[self.taken..];
        if self.left.is_some() {
            return None;
        }
        match self.framing {
            Framing::Lines => match rest.iter().position(|byte| *byte == b'\n') {
                Some(end) => Some((&rest[..end], end + 1)),
                None => Some((rest, rest.len())).filter(|_| self.has_ended_output() && !rest.is_empty()),
            },
            Framing::Whole => {
                Some((rest, rest.len())).filter(|_| self.has_ended_output() && !self.is_whole_taken)
            }
            Framing::Frames => {
                let len = u32::from_be_bytes(*rest.first_chunk()?) as usize;
                Some((rest.get(4..4 + len)?, 4 + len))
            }
            Framing::Stream => None,
        }
    }

    /// Whether its last message is cut off.
    fn is_broken(&self) -> bool {
        let mut rest = &self.said[..];
        while let Some(len) = rest.first_chunk().map(|len| u32::from_be_bytes(*len) as usize)
            && let Some(after) = rest.get(4 + len..)
        {
            rest = after;
        }
        self.framing == Framing::Frames && self.has_ended_output() && !rest.is_empty()
    }

    /// Whether a receiver is to be told of the end.
    fn is_over(&self, now_ms: u64) -> bool {
        let is_told = |at_ms: u64| !self.has_output || now_ms >= at_ms + DEATH_REPORT_MS;
        self.next().is_none() && (self.ended.is_some() || self.output_ended_ms.is_some_and(is_told))
    }

    fn is_overdue(&self) -> bool {
        self.timeout_ms.is_some()
    }

    /// How long it may live on after its owner, until it is pressed.
    pub fn life_ms(&self) -> u64 {
        self.timeout_ms.unwrap_or(JOIN_GRACE_MS)
    }

    fn take(&mut self, len: usize) {
        self.taken += len;
        self.is_whole_taken = true;
    }
}

impl World {
    /// Takes a request to the table and notes it.
    pub fn note_request(&mut self, asker: Asker, owner: Option<Owner>, request: &Request) {
        let now_ms = self.now_ms;
        let due = |ms: &Option<u64>| ms.map(|ms| now_ms + ms);
        let (asked, due_ms) = match request {
            Request::Run(_) => (Asked::Run, None),
            Request::Send(id, _) => (Asked::Send(*id, false), None),
            Request::Receive(id, ms) => (Asked::Take(vec![*id], Shape::List), due(ms)),
            Request::Talk(id, _, ms) => (Asked::Take(vec![*id], Shape::Bare), due(ms)),
            Request::Select(ids, ms) => (Asked::Take(ids.clone(), Shape::Any), due(ms)),
            Request::Close(id) | Request::Kill(id, _) => (Asked::Simple(*id), None),
            Request::Wait(id, ms) => (Asked::Wait(*id), due(ms)),
            Request::Status(id) => (Asked::Status(*id), None),
        };
        trace!(self, "{asker:?} of {owner:?} asks {request:?}");
        if let Request::Close(id) = request
            && let Some(account) = self.desk.accounts.get_mut(id)
        {
            account.is_closed = true;
        }
        let pending = Pending { asked, owner, due_ms };
        let before = self.desk.pending.insert(key(asker), pending);
        assert!(before.is_none(), "an id is used once");
    }

    /// A request was made: what was taken of it is to be written.
    pub fn note_accepted(&mut self, asker: Asker, id: HandleId, message: &[u8], was_waiting: usize) {
        if self.table.waiting_bytes(id) == was_waiting {
            return;
        }
        if let Some(Pending {
            asked: Asked::Send(_, is_taken),
            ..
        }) = self.desk.pending.get_mut(&key(asker))
        {
            *is_taken = true;
        }
        let account = self.desk.accounts.get_mut(&id).expect("it is known");
        assert!(!account.is_closed, "nothing is sent to a closed input");
        let content = match Reader::new(message).next() {
            Ok(Token::Bin(bytes)) => bytes,
            Ok(Token::Str(text)) => text.as_bytes(),
            _ => message,
        };
        if account.framing == Framing::Frames {
            account
                .given
                .extend_from_slice(&(content.len() as u32).to_be_bytes());
        }
        account.given.extend_from_slice(content);
        if account.framing == Framing::Lines {
            account.given.push(b'\n');
        }
    }

    pub fn note_owner_ended(&mut self, owner: Owner, is_well: bool) {
        trace!(self, "{owner:?} has ended, well: {is_well}");
        if let Owner::Call(call) = owner {
            self.desk.ended_owners.insert(call.raw());
        }
        let clock_ms = self.clock_ms();
        for account in self.desk.accounts.values_mut() {
            if account.owner == owner {
                let (since_ms, was_well) = account.left.unwrap_or((clock_ms, true));
                account.left = Some(match was_well && !is_well {
                    true => (clock_ms, false),
                    false => (since_ms, was_well),
                });
                account.is_closed = true;
            }
        }
    }

    fn has_ended(&self, owner: Option<Owner>) -> bool {
        match owner {
            Some(Owner::Call(call)) => self.desk.ended_owners.contains(&call.raw()),
            Some(Owner::Run) => self.over_at_ms.is_some(),
            _ => false,
        }
    }

    pub fn note_joined(&mut self, owner: Owner) {
        let is_left = |account: &Account| account.owner == owner && account.ended.is_none();
        assert!(
            !self.desk.accounts.values().any(is_left),
            "{owner:?} is joined once all of its processes are gone"
        );
    }

    /// Nobody waits for those answers any more.
    pub fn forget_peer(&mut self, peer: u64) {
        self.desk.pending.retain(|(asker, _), pending| {
            // The answer to a start comes all the same.
            *asker != peer || !matches!(pending.asked, Asked::Take(..) | Asked::Wait(_))
        });
    }

    pub fn forget_token(&mut self, token: u64) {
        self.desk.pending.remove(&(u64::MAX, token));
    }

    /// Judges what the table has answered so far, before anything else happens.
    pub fn judge_queued(&mut self) {
        let answers = self.table.queued_answers(self.desk.judged);
        self.desk.judged = self.table.queued();
        for (asker, result) in answers {
            self.judge_process_answer(asker, &result);
        }
    }

    /// Takes the next effect of the table, judged.
    pub fn next_process_effect(&mut self) -> Option<Effect> {
        self.judge_queued();
        self.desk.judged = self.desk.judged.saturating_sub(1);
        self.table.poll_effect()
    }

    /// Compares an answer of the table with what may come.
    fn judge_process_answer(&mut self, asker: Asker, result: &Result<Vec<u8>>) {
        let pending = self.desk.pending.remove(&key(asker));
        let pending = pending.unwrap_or_else(|| panic!("{asker:?} is answered once: {result:?}"));
        if let Asker::Worker(..) = asker {
            self.desk.told.insert(key(asker), result.clone());
        }
        if let Err(error) = result
            && error.kind == Kind::Cancelled
        {
            assert!(self.has_ended(pending.owner), "only an end cancels: {error}");
            return;
        }
        match (&pending.asked, result) {
            (Asked::Run, Ok(value)) => {
                let (id, pid) = read_started(value);
                assert_eq!(
                    self.desk.accounts[&id].pid, pid,
                    "who asked is told which process it is"
                );
            }
            (Asked::Run, Err(error)) => assert_eq!(error.kind, Kind::SpawnFailed, "{error}"),
            (Asked::Send(id, is_taken), result) => self.judge_sent(*id, *is_taken, result),
            (Asked::Simple(id), Err(error)) => self.judge_unknown(&[*id], error),
            (Asked::Simple(_), Ok(value)) => assert_eq!(value, &[0xc0]),
            (Asked::Wait(id), Ok(value)) => {
                let ended = self.desk.accounts[id].ended;
                assert!(ended.is_some(), "who waits is told of an end");
                assert_eq!(read_state(value), (ended, None, None));
            }
            (Asked::Status(id), Ok(value)) => {
                let account = &self.desk.accounts[id];
                let (pid, is_alive) = (Some(account.pid), Some(account.ended.is_none()));
                assert_eq!(read_state(value), (account.ended, pid, is_alive));
            }
            (Asked::Wait(_) | Asked::Take(..), Err(error))
                if error.kind == Kind::Timeout && pending.due_ms.is_some_and(|due| due <= self.now_ms) => {}
            (Asked::Wait(id) | Asked::Status(id), Err(error)) => self.judge_unknown(&[*id], error),
            (Asked::Take(ids, shape), Ok(value)) => self.judge_taken(asker, ids, *shape, value),
            (Asked::Take(ids, shape), Err(error)) => self.judge_failed_take(ids, *shape, error),
        }
    }

    fn judge_unknown(&self, ids: &[HandleId], error: &Error) {
        assert!(error.message.contains("is not known"), "{error}");
        let is_gone = |id: &HandleId| self.table.is_leaving(*id).is_none();
        assert!(ids.iter().any(is_gone), "who is known is known: {error}");
    }

    fn judge_sent(&self, id: HandleId, is_taken: bool, result: &Result<Vec<u8>>) {
        let Err(error) = result else {
            assert!(is_taken, "what is said to be sent is to be written");
            return;
        };
        assert!(!is_taken, "what is refused is not written: {error}");
        let Some(account) = self.desk.accounts.get(&id) else {
            return self.judge_unknown(&[id], error);
        };
        match error.kind {
            Kind::BadArgument => {}
            Kind::Io if error.message.contains("is not known") => self.judge_unknown(&[id], error),
            Kind::Io if error.message.contains("is full") => {
                assert!(self.table.is_full(id), "{error}");
            }
            Kind::Io => assert!(account.is_closed, "an open input takes messages: {error}"),
            Kind::Terminated => assert!(account.ended.is_some(), "{error}"),
            Kind::Timeout => assert!(account.ended.is_some() && account.is_overdue(), "{error}"),
            _ => panic!("{error} is no reason not to send"),
        }
    }

    fn judge_taken(&mut self, asker: Asker, ids: &[HandleId], shape: Shape, value: &[u8]) {
        let mut reader = Reader::new(value);
        let mut at = 0;
        if shape == Shape::Any {
            assert_eq!(reader.next(), Ok(Token::Array(2)));
            match reader.next() {
                Ok(Token::Int(position)) => at = position as usize,
                other => panic!("an answer has a position, not {other:?}"),
            }
        }
        let is_message = shape == Shape::Bare
            || match reader.next() {
                Ok(Token::Array(len)) => len == 1,
                other => panic!("an answer is a list, not {other:?}"),
            };
        let (now_ms, id) = (self.now_ms, ids[at]);
        let account = self.desk.accounts.get_mut(&id).expect("it is known");
        if !is_message {
            assert!(account.is_over(now_ms), "{id:?} has more to say, or may have");
            assert!(account.left.is_none(), "what is dropped is no end");
            let is_well = matches!(account.ended, None | Some(Ended::Code(0) | Ended::Unknown));
            assert!(is_well, "{id:?} has ended badly: {:?}", account.ended);
            assert!(!account.is_broken(), "what is cut off is no message");
            return;
        }
        let (expected, len) = account.next().expect("there is a message");
        let is_it = match (account.framing, asker) {
            (Framing::Frames, Asker::Worker(..)) => reader.rest() == expected,
            // The result alone, behind the head and nil.
            (Framing::Frames, Asker::Nexus(_)) => reader.rest() == &expected[2..],
            _ => reader.next() == Ok(Token::Bin(expected)),
        };
        assert!(is_it, "the next message of {id:?} is given");
        account.take(len);
    }

    fn judge_failed_take(&mut self, ids: &[HandleId], shape: Shape, error: &Error) {
        let now_ms = self.now_ms;
        let known: Vec<&Account> = ids.iter().filter_map(|id| self.desk.accounts.get(id)).collect();
        let any = |is_it: &dyn Fn(&Account) -> bool| known.iter().any(|account| is_it(account));
        match error.kind {
            Kind::Terminated => {
                let is_bad = |account: &Account| {
                    !matches!(account.ended, None | Some(Ended::Code(0) | Ended::Unknown))
                };
                // What is to be sent first can't be.
                let refuses = |account: &Account| shape == Shape::Bare && account.ended.is_some();
                let owes = |account: &Account| shape == Shape::Bare && account.is_over(now_ms);
                let is_it = |account: &Account| {
                    refuses(account) || (is_bad(account) || owes(account)) && account.next().is_none()
                };
                assert!(any(&is_it), "{error}");
            }
            Kind::Timeout => {
                let is_it = |account: &Account| account.is_overdue() && account.ended.is_some();
                assert!(
                    any(&|account| is_it(account) && account.next().is_none()),
                    "{error}"
                );
            }
            Kind::Protocol => assert!(any(&Account::is_broken), "{error}"),
            Kind::Io if any(&|account| account.left.is_some()) => {}
            Kind::Io if error.message.contains("is not known") => self.judge_unknown(ids, error),
            // A message that can't be sent.
            Kind::Io => assert!(shape == Shape::Bare, "{error}"),
            Kind::BadArgument => assert!(shape == Shape::Bare),
            _ => panic!("{error} is no reason not to receive"),
        }
    }

    /// After every event: whoever can be told something was.
    pub fn check_desk(&self) {
        if self.desk.accounts.is_empty() {
            return;
        }
        for (id, peer) in self.hub.peers.iter().filter(|(_, peer)| !peer.is_closed()) {
            let open = self.desk.pending.keys().filter(|(asker, _)| *asker == id.raw());
            let asked = peer.worker().map_or(0, |_| self.hub.asked(id)) as usize;
            assert_eq!(open.count(), asked, "what {id:?} asks is counted");
        }
        for (key, pending) in &self.desk.pending {
            let is_late = pending.due_ms.is_some_and(|due| self.now_ms > due + LATE_MS);
            assert!(!is_late, "{key:?} is answered when its time is over");
            let account = |id: &HandleId| self.desk.accounts.get(id);
            match &pending.asked {
                Asked::Take(ids, _) => {
                    for account in ids.iter().filter_map(account) {
                        assert!(account.next().is_none(), "{key:?} is given what has come");
                        assert!(account.ended.is_none(), "{key:?} is told of the end");
                    }
                }
                Asked::Wait(id) => {
                    let has_ended = account(id).is_some_and(|account| account.ended.is_some());
                    assert!(!has_ended, "{key:?} is told of the end");
                }
                _ => panic!("{key:?} is answered at once"),
            }
        }
    }

    /// Those who wait are known: for the end of a run.
    pub fn assert_nobody_waits(&self) {
        assert!(
            self.desk.pending.is_empty(),
            "{:?} wait for ever",
            self.desk.pending.keys()
        );
    }
}

/// What a start is answered with.
pub fn read_started(value: &[u8]) -> (HandleId, u32) {
    let mut reader = Reader::new(value);
    match (reader.next(), reader.next(), reader.next(), reader.is_done()) {
        (Ok(Token::Array(2)), Ok(Token::Int(id)), Ok(Token::Int(pid)), true) => {
            (HandleId::from_raw(id as u64), pid as u32)
        }
        other => panic!("a start is answered with a number and a process id, not {other:?}"),
    }
}

fn read_state(value: &[u8]) -> (Option<Ended>, Option<u32>, Option<bool>) {
    let mut reader = Reader::new(value);
    let (mut ended, mut pid, mut is_alive) = (None, None, None);
    let Ok(Token::Map(len)) = reader.next() else {
        panic!("a state is a map");
    };
    for _ in 0..len {
        match (reader.next(), reader.next()) {
            (Ok(Token::Str("exit_code")), Ok(Token::Int(code))) => ended = Some(Ended::Code(code as i32)),
            (Ok(Token::Str("signal")), Ok(Token::Int(signal))) => ended = Some(Ended::Signal(signal as i32)),
            (Ok(Token::Str("pid")), Ok(Token::Int(found))) => pid = Some(found as u32),
            (Ok(Token::Str("alive")), Ok(Token::Bool(found))) => is_alive = Some(found),
            other => panic!("a state has no {other:?}"),
        }
    }
    (ended, pid, is_alive)
}
