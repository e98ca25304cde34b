//! Composed commands: the evaluator says what it wants done and the hub does it, both in one loop. Evaluates nothing and
//! knows no pool.

use super::file_bytes::FileBytes;
use super::session::{Hosted, OUTPUT, Session};
use super::sink::Sink;
use crate::core::eval::{Ask, AskId, Budget, Machine, Outcome, Program, Progress};
use crate::core::hub::Request;
use crate::core::process::pipe::{Pipe, Plan};
use crate::core::process::table::{Asker, Owner};
use crate::error::{Error, Kind, Result};
use crate::expr::process::Form;
use crate::ids::{ExprId, TypeId};
use crate::limits::EVAL_STEPS_PER_TURN;
use crate::sys::clock::now_ms;

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

/// An evaluation under way.
struct Run<'s, 'm> {
    session: &'s mut Session<'m>,
    program: Program<'m>,
    machine: Machine,
    /// What is to be answered when.
    timers: Vec<(u64, AskId)>,
    pipes: Vec<(AskId, Pipe)>,
    returns: TypeId,
    printed: Option<Form>,
    /// Standard output, and which pipe writes to it: what it gives is the result.
    sink: Option<(Sink, AskId)>,
}

impl Session<'_> {
    /// Evaluates an expression: its calls run side by side where they can. The result as msgpack; none: it was printed as it
    /// came.
    ///
    /// # Errors
    /// What the expression raises and its calls answer; `timeout`; `cancelled` after SIGINT, SIGTERM or SIGHUP; `io` when the
    /// poll fails.
    pub fn evaluate(&mut self, composition: Composition) -> Result<Option<Vec<u8>>> {
        let manifest = self.manifest;
        let mut run = Run {
            program: Program {
                exprs: &manifest.exprs,
                types: &manifest.types,
                pools: &manifest.pools,
            },
            machine: Machine::new(composition.root, Budget::default()),
            timers: Vec::new(),
            pipes: Vec::new(),
            returns: composition.returns,
            printed: composition.printed,
            sink: None,
            session: self,
        };
        run.session.hosted = Some(Vec::new());
        for (arg, ty) in composition.args {
            match arg {
                Argument::Value(value) => run.machine.push_wire(value, ty),
                Argument::File(content) => {
                    let files = &mut run.session.workers.files;
                    run.machine.push_file(files.len() as u32, ty);
                    files.push(content);
                }
            }
        }
        let timeout_ms = composition.timeout_ms;
        let until = timeout_ms.map(|timeout| now_ms().saturating_add(timeout));
        let outcome = run.finish(until);
        let is_well = matches!(outcome, Ok(Outcome::Done));
        run.session.due_ms = None;
        // Whoever calls a closure from now on is told that it is none.
        run.session.hosted = None;
        run.end_processes(is_well)?;
        run.session.notes.finish();
        match outcome? {
            Outcome::Done if run.sink.is_some() => run.finish_printing().map(|()| None),
            Outcome::Done => run.result().map(Some),
            Outcome::Raised(error) => Err(error),
        }
    }
}

impl Run<'_, '_> {
    fn result(&mut self) -> Result<Vec<u8>> {
        let (exprs, types) = (self.program.exprs, self.program.types);
        loop {
            let mut result = Vec::new();
            let written = self.machine.write_result(exprs, types, self.returns, &mut result);
            match self.machine.unread() {
                Some(file) => {
                    let content = self.read_file(file)?;
                    self.machine.handle_file(content);
                }
                None => return written.map(|()| result),
            }
        }
    }

    fn read_file(&self, file: u32) -> Result<Vec<u8>> {
        let content = self.session.workers.files.get(file as usize).map(FileBytes::read);
        content.unwrap_or_else(|| Ok(Vec::new())).map_err(|error| {
            let message = format!("can't read the file of an argument: {error}");
            Error::new(Kind::BadArgument, message)
        })
    }

    /// Opens standard output for a pipe, if what it gives can be printed as it comes.
    fn can_print(&mut self, id: AskId, plan: &Plan) -> bool {
        let fits = plan.is_result
            && self.printed.is_some()
            && self.printed == plan.output_form()
            && self.program.types.are_alike(plan.output, self.returns);
        if !fits {
            return false;
        }
        let sink = Sink::open(OUTPUT, self.session.poll.registry());
        self.sink = sink.ok().map(|sink| (sink, id));
        self.sink.is_some()
    }

    /// Writes what stands after the result.
    fn finish_printing(&mut self) -> Result<()> {
        while let (Some((sink, _)), Some(Form::Text | Form::Lines)) = (&mut self.sink, self.printed) {
            sink.is_ready |= std::mem::take(&mut self.session.has_output_room);
            if sink.end_line(self.printed == Some(Form::Text))? {
                break;
            }
            match self.session.stopped() {
                Some(error) => return Err(error),
                None => self.session.turn()?,
            }
        }
        Ok(())
    }

    fn finish(&mut self, until: Option<u64>) -> Result<Outcome> {
        loop {
            let progress = self.machine.run_for(self.program, EVAL_STEPS_PER_TURN);
            let now = now_ms();
            self.do_asks(now);
            if let Progress::Over(outcome) = progress {
                return Ok(outcome);
            }
            let has_moved = self.move_pipes(now);
            if self.take_answers(now) || has_moved {
                continue;
            }
            if let Some(error) = self.session.stopped() {
                self.machine.stop(error);
                continue;
            }
            if until.is_some_and(|until| until <= now) {
                self.machine.stop(self.late(now));
                continue;
            }
            let is_busy = matches!(progress, Progress::Busy);
            let timer = self.timers.iter().map(|(at, _)| *at).min();
            self.session.due_ms = match is_busy {
                true => Some(now),
                false => timer.into_iter().chain(until).min(),
            };
            let goes_on = is_busy || self.machine.waits_for_time();
            self.session.hub.set_host_busy(goes_on, now);
            self.session.turn()?;
        }
    }

    /// Does what the machine wants done, and undoes what it does not want any more.
    fn do_asks(&mut self, now: u64) {
        while let Some(id) = self.machine.poll_cancel() {
            self.timers.retain(|(_, timer)| *timer != id);
            self.session.workers.table.forget_asker(Asker::Nexus(id.raw()));
            if let Some(position) = self.pipes.iter().position(|(pipe, _)| *pipe == id) {
                let owner = self.pipes.swap_remove(position).1.owner();
                self.session.workers.table.end_owner(owner, false, now);
            }
            let error = Error::new(
                Kind::Cancelled,
                "the composition does not need this call any more",
            );
            self.session.hub.cancel(id.raw(), &error, now);
        }
        while let Some((call, result)) = self.machine.poll_applied() {
            self.session.hub.answer(call, result, now);
        }
        while let Some((id, ask)) = self.machine.poll_ask() {
            match ask {
                Ask::Process(request) => {
                    let asker = Asker::Nexus(id.raw());
                    let table = &mut self.session.workers.table;
                    table.request(asker, Some(Owner::Run), request, now);
                }
                Ask::Read(file) => self.session.answers.push((id.raw(), self.read_file(file))),
                Ask::Pipe(mut plan) => {
                    plan.is_result = self.can_print(id, &plan);
                    let (owner, table) = (Owner::Pipe(id.raw()), &mut self.session.workers.table);
                    match Pipe::new(*plan, owner, table, self.program.types, now) {
                        Ok(pipe) => self.pipes.push((id, pipe)),
                        Err(error) => self.session.answers.push((id.raw(), Err(error))),
                    }
                }
                Ask::Sleep { ms } => {
                    self.timers.push((now.saturating_add(ms), id));
                }
                Ask::Call {
                    pool,
                    pid,
                    mid,
                    args,
                    payload,
                    parent,
                } => {
                    let request = Request {
                        token: id.raw(),
                        pool,
                        mid,
                        args,
                        payload,
                        timeout_ms: None,
                        pid,
                        parent,
                    };
                    self.session.hub.call(request, now);
                }
            }
        }
        self.session.carry_out(now);
    }

    /// Moves on what goes through pipes. True if the machine has something to do with it.
    fn move_pipes(&mut self, now: u64) -> bool {
        let mut has_come = false;
        while let Some((id, stage, number, result)) = self.machine.poll_item() {
            if let Some((_, pipe)) = self.pipes.iter_mut().find(|(pipe, _)| *pipe == id) {
                pipe.handle_applied(stage as usize, number, result);
            }
        }
        loop {
            let mut has_moved = false;
            let session = &mut *self.session;
            if let Some((sink, _)) = &mut self.sink {
                sink.is_ready |= std::mem::take(&mut session.has_output_room);
            }
            for (id, pipe) in &mut self.pipes {
                has_moved |= pipe.step(&mut session.workers.table, self.program.types, now);
                if let Some((sink, of)) = &mut self.sink
                    && of == id
                {
                    has_moved |= sink.drain(pipe, &mut session.workers.table);
                }
                while let Some(item) = pipe.poll_item() {
                    self.machine.apply_item(*id, item);
                    has_come = true;
                }
                if let Some(result) = pipe.poll_result() {
                    session.answers.push((id.raw(), result));
                }
            }
            self.pipes.retain(|(_, pipe)| !pipe.is_ended());
            if !has_moved {
                return has_come;
            }
            // What was written makes room for more.
            session.carry_out(now);
        }
    }

    /// What belongs to the composition ends with it.
    fn end_processes(&mut self, is_well: bool) -> Result<()> {
        let now = now_ms();
        for (_, pipe) in std::mem::take(&mut self.pipes) {
            self.session.workers.table.end_owner(pipe.owner(), false, now);
        }
        self.session.workers.table.end_owner(Owner::Run, is_well, now);
        self.session.carry_out(now);
        while self.session.workers.table.is_joining() {
            if self.session.is_interrupted() {
                self.session.workers.table.end_owner(Owner::Run, false, now_ms());
            }
            self.session.turn()?;
        }
        Ok(())
    }

    /// Tells the machine what has come. False if nothing has.
    fn take_answers(&mut self, now: u64) -> bool {
        let mut has_come = false;
        for (token, answer) in std::mem::take(&mut self.session.answers) {
            has_come = true;
            let answer = answer.map_err(|error| self.session.explain(error));
            self.machine
                .handle_answer(self.program, AskId::from_raw(token), answer);
        }
        while let Some(due) = self.timers.iter().position(|(at, _)| *at <= now) {
            has_come = true;
            let (_, id) = self.timers.swap_remove(due);
            self.machine.handle_answer(self.program, id, Ok(Vec::new()));
        }
        for hosted in self
            .session
            .hosted
            .as_mut()
            .map(std::mem::take)
            .unwrap_or_default()
        {
            has_come = true;
            match hosted {
                Hosted::Apply {
                    call,
                    function,
                    args,
                    payload,
                } => self.machine.apply(call, function, args, &payload),
                Hosted::Cancel(call) => self.machine.cancel_applied(call),
            }
        }
        has_come
    }

    fn late(&self, now: u64) -> Box<Error> {
        let mut message = "the command did not end in time".to_string();
        if let Some(standing) = self.session.hub.standing(now).first() {
            message.push_str(": ");
            message.push_str(standing);
        }
        Error::new(Kind::Timeout, message)
    }
}
