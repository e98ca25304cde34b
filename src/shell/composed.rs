//! Composed commands: the evaluator says what it wants done and the hub does it, both in one loop. Evaluates nothing and
//! knows no pool.

use super::file_bytes::FileBytes;
use super::session::{OUTPUT, Session};
use super::sink::Sink;
use crate::core::eval::{Ask, AskId, Budget, HostCall, Machine, Outcome, Program, Progress};
use crate::core::hub::Request;
use crate::core::process::pipe::Plan;
use crate::core::process::pipes::{Pipes, Wanted};
use crate::core::process::table::{Asker, Owner};
use crate::error::{Error, Kind, Result};
use crate::expr::process::Form;
use crate::ids::{ExprId, TypeId};
use crate::limits::{EVAL_CLOSURES_MAX, EVAL_STEPS_PER_TURN};
use crate::manifest::model::Manifest;
use crate::map::Map;

/// An expression and what it is applied to.
#[derive(Debug)]
pub struct Composition {
    /// The expression, of the session's manifest.
    pub root: ExprId,
    /// The arguments with their types.
    pub args: Vec<(Argument, TypeId)>,
    /// Type of the result.
    pub returns: TypeId,
    /// When to give up, in milliseconds.
    pub timeout_ms: Option<u64>,
    /// How a result that stands so in the bytes that a program writes can be printed as these bytes are; none: it can't.
    pub printed: Option<Form>,
}

/// An argument of a composition.
#[derive(Debug)]
pub enum Argument {
    /// As msgpack.
    Value(Vec<u8>),
    /// Bytes in a file.
    File(FileBytes),
}

/// What comes for an evaluation from the session.
pub(super) enum Input {
    /// Something that was asked for, by the session's token.
    Answer(u64, Result<Vec<u8>>),
    /// A worker applies a function value that the evaluation gave away.
    Apply {
        call: HostCall,
        function: i64,
        args: u32,
        payload: Vec<u8>,
    },
    /// Such a call is given up.
    CancelApplied(HostCall),
}

/// An evaluation under way, under the token of whoever waits for its result.
pub(super) struct Task {
    token: u64,
    machine: Machine,
    returns: TypeId,
    printed: Option<Form>,
    /// Standard output, and the token of the pipe that writes to it: what that gives is the result.
    sink: Option<(Sink, u64)>,
    /// When it is late, in milliseconds of the clock.
    until_ms: Option<u64>,
    /// What was asked for, by the session's tokens, and the other way round.
    asked: Map<u64, AskId>,
    tokens: Map<AskId, u64>,
    /// What is to be answered when.
    timers: Vec<(u64, AskId)>,
    pipes: Pipes,
    is_busy: bool,
    /// What has come of it, while the processes that belong to it end.
    outcome: Option<Outcome>,
    is_over: bool,
}

/// The evaluation that gave away a function value, by the value's number.
pub(super) fn giver(function: i64) -> u64 {
    (function / NUMBERS_PER_TASK) as u64
}

/// The numbers of function values that one evaluation may give away.
const NUMBERS_PER_TASK: i64 = EVAL_CLOSURES_MAX as i64 + 1;

impl Task {
    /// An evaluation that has not begun.
    pub fn new(composition: Composition, token: u64, files: &mut Vec<FileBytes>, now_ms: u64) -> Task {
        let mut machine = Machine::new(composition.root, Budget::default());
        machine.number_functions_from(token as i64 * NUMBERS_PER_TASK);
        for (arg, ty) in composition.args {
            match arg {
                Argument::Value(value) => machine.push_wire(value, ty),
                Argument::File(content) => {
                    machine.push_file(files.len() as u32, ty);
                    files.push(content);
                }
            }
        }
        let timeout_ms = composition.timeout_ms;
        Task {
            token,
            machine,
            returns: composition.returns,
            printed: composition.printed,
            sink: None,
            until_ms: timeout_ms.map(|timeout| now_ms.saturating_add(timeout)),
            asked: Map::new(),
            tokens: Map::new(),
            timers: Vec::new(),
            pipes: Pipes::default(),
            is_busy: true,
            outcome: None,
            is_over: false,
        }
    }

    /// Evaluates what asks for nothing as far as one turn goes: its answer, if that is its end.
    pub fn run_alone(&mut self, manifest: &Manifest) -> Option<Result<Vec<u8>>> {
        match self.machine.run_for(program(manifest), EVAL_STEPS_PER_TURN) {
            Progress::Over(Outcome::Done) => {
                let (exprs, types) = (&manifest.exprs, &manifest.types);
                let mut result = Vec::new();
                let written = self.machine.write_result(exprs, types, self.returns, &mut result);
                Some(written.map(|()| result))
            }
            Progress::Over(Outcome::Raised(error)) => Some(Err(error)),
            Progress::Busy | Progress::Waiting => None,
        }
    }

    /// It is to end with this error.
    pub fn stop(&mut self, error: Box<Error>) {
        if self.outcome.is_none() {
            self.machine.stop(error);
            self.is_busy = true;
        }
    }

    /// When it has something to do without anything having come.
    pub fn due_ms(&self) -> Option<u64> {
        match (&self.outcome, self.is_busy) {
            (Some(_), _) => None,
            (None, true) => Some(0),
            (None, false) => {
                let timers = self.timers.iter().map(|(at, _)| *at);
                timers.chain(self.until_ms).min()
            }
        }
    }

    /// Whether it may have something to do although nothing has come for it.
    pub fn has_work(&self, now_ms: u64) -> bool {
        !self.pipes.is_empty() || self.is_joining() || self.due_ms().is_some_and(|due| due <= now_ms)
    }

    /// Whether something goes on in it that is not a call of a pool.
    pub fn goes_on(&self) -> bool {
        self.outcome.is_none() && (self.is_busy || self.machine.waits_for_time())
    }

    /// Whether its processes are ending after it has failed.
    pub fn is_joining(&self) -> bool {
        self.outcome.is_some()
    }

    /// Whether it has said all that it will say.
    pub fn is_over(&self) -> bool {
        self.is_over
    }

    /// Goes as far as it can.
    pub fn step(&mut self, session: &mut Session, now: u64) {
        let manifest = session.manifest.clone();
        let program = program(&manifest);
        self.take_inputs(program, session, now);
        while self.outcome.is_none() {
            if self.until_ms.is_some_and(|until| until <= now) {
                self.until_ms = None;
                self.machine.stop(late(session, now));
            }
            let progress = self.machine.run_for(program, EVAL_STEPS_PER_TURN);
            self.is_busy = matches!(progress, Progress::Busy);
            self.do_asks(program, session, now);
            if let Progress::Over(outcome) = progress {
                return self.begin_end(outcome, session, now);
            }
            let has_moved = self.move_pipes(program, session, now);
            let has_come = self.take_inputs(program, session, now);
            if !has_moved && !has_come {
                return;
            }
        }
        self.end_if_joined(session);
    }

    /// Does what the machine wants done, and undoes what it does not want any more.
    fn do_asks(&mut self, program: Program<'_>, session: &mut Session, now: u64) {
        while let Some(id) = self.machine.poll_cancel() {
            self.timers.retain(|(_, timer)| *timer != id);
            let Some(token) = self.tokens.remove(&id) else {
                continue;
            };
            self.asked.remove(&token);
            session.forget_ask(token);
            session.workers.table.forget_asker(Asker::Nexus(token));
            self.pipes.end(token, &mut session.workers.table, now);
            let error = Error::new(
                Kind::Cancelled,
                "the composition does not need this call any more",
            );
            session.hub.cancel(token, &error, now);
        }
        while let Some((call, result)) = self.machine.poll_applied() {
            session.hub.answer(call, result, now);
        }
        while let Some((id, ask)) = self.machine.poll_ask() {
            if let Ask::Sleep { ms } = ask {
                self.timers.push((now.saturating_add(ms), id));
                continue;
            }
            let token = session.add_ask(self.token);
            self.asked.insert(token, id);
            self.tokens.insert(id, token);
            self.ask(token, ask, program, session, now);
        }
        session.carry_out(now);
    }

    fn ask(&mut self, token: u64, ask: Ask, program: Program<'_>, session: &mut Session, now: u64) {
        let table = &mut session.workers.table;
        match ask {
            Ask::Process(request) => {
                table.request(Asker::Nexus(token), Some(self.owner()), request, now);
            }
            Ask::Read(file) => {
                let content = read_file(session, file);
                session.take_answer(token, content);
            }
            Ask::Pipe(mut plan) => {
                plan.is_result = self.can_print(token, &plan, program, session);
                let table = &mut session.workers.table;
                if let Err(error) = self.pipes.begin(token, *plan, table, program.types, now) {
                    session.take_answer(token, Err(error));
                }
            }
            Ask::Sleep { .. } => {}
            Ask::Call {
                pool,
                pid,
                mid,
                args,
                payload,
                parent,
            } => {
                let request = Request {
                    token,
                    pool,
                    mid,
                    args,
                    payload,
                    timeout_ms: None,
                    pid,
                    parent,
                };
                session.hub.call(request, now);
            }
        }
    }

    /// Moves on what goes through pipes. True if the machine has something to do with it.
    fn move_pipes(&mut self, program: Program<'_>, session: &mut Session, now: u64) -> bool {
        let mut has_come = false;
        while let Some((id, stage, number, result)) = self.machine.poll_item() {
            if let Some(token) = self.tokens.get(&id) {
                self.pipes.handle_applied(*token, stage as usize, number, result);
            }
        }
        loop {
            let has_printed = self.print(session);
            let (machine, asked) = (&mut self.machine, &self.asked);
            let mut results = Vec::new();
            let table = &mut session.workers.table;
            let has_moved = self
                .pipes
                .step(table, program.types, now, |token, wanted| match wanted {
                    Wanted::Item(item) => {
                        if let Some(id) = asked.get(&token) {
                            machine.apply_item(*id, item);
                            has_come = true;
                        }
                    }
                    Wanted::Result(result) => results.push((token, result)),
                });
            for (token, result) in results {
                session.take_answer(token, result);
            }
            if !has_moved && !has_printed {
                return has_come;
            }
            // What was written makes room for more.
            session.carry_out(now);
        }
    }

    /// Tells the machine what has come. False if nothing has.
    fn take_inputs(&mut self, program: Program<'_>, session: &mut Session, now: u64) -> bool {
        let mut has_come = false;
        while let Some(input) = session.take_input(self.token) {
            has_come = true;
            match input {
                Input::Answer(token, answer) => {
                    session.forget_ask(token);
                    let Some(id) = self.asked.remove(&token) else {
                        continue;
                    };
                    self.tokens.remove(&id);
                    let answer = answer.map_err(|error| session.explain(error));
                    self.machine.handle_answer(program, id, answer);
                }
                Input::Apply {
                    call,
                    function,
                    args,
                    payload,
                } => self.machine.apply(call, function, args, &payload),
                Input::CancelApplied(call) => self.machine.cancel_applied(call),
            }
        }
        while let Some(due) = self.timers.iter().position(|(at, _)| *at <= now) {
            has_come = true;
            let (_, id) = self.timers.swap_remove(due);
            self.machine.handle_answer(program, id, Ok(Vec::new()));
        }
        has_come
    }

    /// It is over: what belongs to it ends, and whoever waits gets its result when that is gone.
    fn begin_end(&mut self, outcome: Outcome, session: &mut Session, now: u64) {
        let is_well = matches!(outcome, Outcome::Done);
        self.outcome = Some(outcome);
        for token in std::mem::take(&mut self.asked).keys() {
            session.forget_ask(*token);
            session.workers.table.forget_asker(Asker::Nexus(*token));
        }
        self.pipes.end_all(&mut session.workers.table, now);
        session.workers.table.end_owner(self.owner(), is_well, now);
        session.carry_out(now);
        self.end_if_joined(session);
    }

    /// Whom the processes belong to that it has started.
    pub fn owner(&self) -> Owner {
        Owner::Composition(self.token)
    }

    fn end_if_joined(&mut self, session: &mut Session) {
        if session.workers.table.is_joining_of(self.owner()) {
            return;
        }
        let result = match self.outcome.take() {
            Some(Outcome::Done) => match self.finish_printing(session) {
                Ok(true) if self.sink.is_some() => {
                    session.has_printed = true;
                    Ok(Vec::new())
                }
                Ok(true) => self.result(session),
                Ok(false) => return self.outcome = Some(Outcome::Done),
                Err(error) => Err(error),
            },
            Some(Outcome::Raised(error)) => Err(error),
            None => return,
        };
        self.is_over = true;
        session.answers.push((self.token, result));
    }
}

impl Task {
    fn result(&mut self, session: &Session) -> Result<Vec<u8>> {
        let manifest = &session.manifest;
        loop {
            let mut result = Vec::new();
            let written =
                self.machine
                    .write_result(&manifest.exprs, &manifest.types, self.returns, &mut result);
            match self.machine.unread() {
                Some(file) => self.machine.handle_file(read_file(session, file)?),
                None => return written.map(|()| result),
            }
        }
    }

    /// Opens standard output for a pipe, if what it gives can be printed as it comes.
    fn can_print(&mut self, token: u64, plan: &Plan, program: Program<'_>, session: &Session) -> bool {
        let fits = plan.is_result
            && self.printed.is_some()
            && self.printed == plan.output_form()
            && program.types.are_alike(plan.output, self.returns);
        if !fits {
            return false;
        }
        let sink = Sink::open(OUTPUT, session.polling.view());
        self.sink = sink.ok().map(|sink| (sink, token));
        self.sink.is_some()
    }

    /// Prints what a pipe gives out. False if nothing is taken.
    fn print(&mut self, session: &mut Session) -> bool {
        let Some((sink, token)) = &mut self.sink else {
            return false;
        };
        sink.is_ready |= std::mem::take(&mut session.has_output_room);
        let pipe = self.pipes.get_mut(*token);
        pipe.is_some_and(|pipe| sink.drain(pipe, &mut session.workers.table))
    }

    /// Writes what stands after the result. False while that has to wait.
    fn finish_printing(&mut self, session: &mut Session) -> Result<bool> {
        match (&mut self.sink, self.printed) {
            (Some((sink, _)), Some(Form::Text | Form::Lines)) => {
                sink.is_ready |= std::mem::take(&mut session.has_output_room);
                sink.end_line(self.printed == Some(Form::Text))
            }
            _ => Ok(true),
        }
    }
}

fn read_file(session: &Session, file: u32) -> Result<Vec<u8>> {
    let content = session.workers.files.get(file as usize).map(FileBytes::read);
    content.unwrap_or_else(|| Ok(Vec::new())).map_err(|error| {
        let message = format!("can't read the file of an argument: {error}");
        Error::new(Kind::BadArgument, message)
    })
}

fn program(manifest: &Manifest) -> Program<'_> {
    Program {
        exprs: &manifest.exprs,
        types: &manifest.types,
        pools: &manifest.pools,
    }
}

fn late(session: &Session, now: u64) -> Box<Error> {
    let mut message = "the command did not end in time".to_string();
    if let Some(standing) = session.hub.standing(now).first() {
        message.push_str(": ");
        message.push_str(standing);
    }
    Error::new(Kind::Timeout, message)
}
