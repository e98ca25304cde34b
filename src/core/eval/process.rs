//! Worker processes, programs and pipes as expressions see them. Starts nothing: it asks.
//!
//! A worker process is a number; what its messages are is kept beside. Values become what a program reads here, where their
//! types are known.

use crate::codec::msgpack::{Reader, Token, write};
use crate::codec::schema::{Type, Types};
use crate::core::eval::ask::{Ask, AskId, For};
use crate::core::eval::fiber::{Fiber, Frame, Next};
use crate::core::eval::heap::Value;
use crate::core::eval::machine::{Machine, Program};
use crate::core::eval::scope::{End, ROOT};
use crate::core::eval::select::{element, list_len};
use crate::core::eval::stop::{Eval, On, Stop};
use crate::core::process::convert::{read_item, write_item};
use crate::core::process::pipe::{Given, Item, Plan, Planned};
use crate::core::process::request::{Launch, Request, Target, redirect};
use crate::core::process::table::HandleId;
use crate::error::{Error, Kind, Result};
use crate::expr::arena::Expr;
use crate::expr::process::{Form, Stage, Verb};
use crate::ids::{ExprId, TypeId};
use crate::limits::{EVAL_ASKS_MAX, TIMEOUT_MS_MAX};

/// What an answer about a worker process is.
#[derive(Clone, Copy, Debug)]
pub enum Gives {
    /// Nothing.
    Nothing,
    /// A list of one message of that type, in that form, or of none.
    Message(TypeId, Option<Form>),
    /// A message.
    BareMessage(TypeId, Option<Form>),
    /// A position and such a list.
    Selected(TypeId, Option<Form>),
    /// What has become of it, of which this is wanted.
    State(Verb),
}

/// The functions of a pipe, by stage, with the types of their items and results.
#[derive(Debug)]
pub struct Piped {
    scope: u32,
    /// None where a stage is a program.
    pub functions: Vec<Option<(Value, TypeId, TypeId)>>,
}

/// What the function of a stage has made of an item: the pipe, the stage, the item's number.
pub type PipedItem = (AskId, u32, u64, Result<Vec<u8>>);

impl Machine {
    /// Takes what a function has made of an item.
    pub fn poll_item(&mut self) -> Option<PipedItem> {
        self.items.pop_front()
    }

    /// Applies the function of a stage of a pipe to an item.
    pub fn apply_item(&mut self, pipe: AskId, item: Item) {
        let Some(piped) = self.pipes.get(&pipe) else {
            return;
        };
        let Some(Some((func, input, output))) = piped.functions.get(item.stage).copied() else {
            return;
        };
        let arg = self.heap.add_wire(input, item.bytes);
        let fiber = Fiber {
            frames: vec![Frame::Call { count: 1 }],
            operands: vec![arg],
            ..Fiber::new(Next::Give(func), piped.scope)
        };
        let end = End::Piped(pipe, item.stage as u32, item.number, output);
        let fiber = self.spawn_scope(fiber, end, false);
        self.wake(fiber);
    }

    /// The function of a stage has its result.
    pub(super) fn piped_value(
        &mut self,
        program: Program<'_>,
        (pipe, stage, number): (AskId, u32, u64),
        ty: TypeId,
        value: Value,
    ) -> Eval {
        let result = self.encode_value(program, ty, value)?;
        self.items.push_back((pipe, stage, number, Ok(result)));
        Ok(())
    }

    /// The words of a program.
    fn words(&self, program: Program<'_>, value: Value) -> Eval<Vec<String>> {
        let list = self.heap.look(value)?;
        let mut words = Vec::new();
        for position in 0..list_len(list, "cmd")? {
            let word = element(&self.heap, list, position);
            words.push(self.text(program.exprs, word, "word of a cmd")?.to_string());
        }
        match words.is_empty() {
            true => Err(Stop::raised(
                "cmd has no words, expected a program and its arguments",
            )),
            false => Ok(words),
        }
    }

    /// Runs a program on a value: the operands from `start` are its words and the value.
    pub(super) fn call_program(&mut self, program: Program<'_>, number: u32, start: usize) -> Eval<Value> {
        let conversion = program.exprs.conversion(number);
        self.check_room()?;
        let argv = self.words(program, self.fiber.operands[start])?;
        let form = Some(conversion.input_form);
        let source = self.given(program, conversion.input, form, self.fiber.operands[start + 1])?;
        let plan = Plan {
            source,
            source_ty: conversion.input,
            stages: vec![Planned::Cmd { argv, conversion }],
            output: conversion.output,
            is_result: self.gives_result(),
        };
        let slot = self.ask(
            self.fiber.scope,
            Ask::Pipe(Box::new(plan)),
            Some(conversion.output),
            None,
        );
        Ok(Value::Pending(slot))
    }

    /// A value as a pipe gets it whose first stage is a program that reads that form; a content of a file that goes to it as it
    /// is need not come.
    fn given(&mut self, program: Program<'_>, ty: TypeId, form: Option<Form>, value: Value) -> Eval<Given> {
        match self.heap.settle(value) {
            Value::Pending(slot) => match (self.heap.slots[slot as usize].file, form) {
                (Some((file, _)), Some(Form::Bytes)) => Ok(Given::File(file)),
                _ => Err(Stop::Wait(On::Slot(slot))),
            },
            Value::Wire(own, slot) if program.types.are_alike(own, ty) => {
                Ok(Given::Value(self.heap.payload(slot).clone()))
            }
            value => self
                .encode_value(program, ty, value)
                .map(|value| Given::Value(value.into())),
        }
    }

    /// Whether what the current strand is given now is the value of the whole, as it is.
    fn gives_result(&self) -> bool {
        let mut frames = self.fiber.frames.iter();
        matches!(frames.next(), Some(Frame::Scope { scope: ROOT, .. }))
            && frames.all(|frame| {
                matches!(
                    frame,
                    Frame::Return { .. } | Frame::Unlet { .. } | Frame::Call { count: 0 }
                )
            })
    }

    /// A value as msgpack, once it has come.
    fn settled(&mut self, program: Program<'_>, ty: TypeId, value: Value) -> Eval<Vec<u8>> {
        match self.heap.settle(value) {
            Value::Pending(slot) => Err(Stop::Wait(On::Slot(slot))),
            value => self.encode_value(program, ty, value),
        }
    }

    /// The operands of an expression that is strict in them, of which the last is no operand.
    fn gathered(&self, count: usize, last: Value) -> Vec<Value> {
        let start = self.fiber.operands.len() + 1 - count;
        let mut args = self.fiber.operands[start..].to_vec();
        args.push(last);
        args
    }

    fn drop_gathered(&mut self, count: usize) {
        let left = self.fiber.operands.len() + 1 - count;
        self.fiber.operands.truncate(left);
    }

    /// Sends a value through stages.
    pub(super) fn start_pipe(&mut self, program: Program<'_>, number: u32, last: Value) -> Eval<Next> {
        let pipe = program.exprs.pipe(number);
        let widths = |stage: &Stage| usize::from(matches!(stage, Stage::Each { has_width: true, .. }));
        let count = 1 + pipe.stages.iter().map(|stage| 1 + widths(stage)).sum::<usize>();
        let args = self.gathered(count, last);
        self.check_room()?;
        let (mut stages, mut functions) = (Vec::new(), Vec::new());
        let mut rest = args[1..].iter();
        let mut next = || rest.next().copied().unwrap_or(Value::Nil);
        for stage in &pipe.stages {
            let first = next();
            match *stage {
                Stage::Cmd(conversion) => {
                    let argv = self.words(program, first)?;
                    stages.push(Planned::Cmd { argv, conversion });
                    functions.push(None);
                }
                Stage::Each {
                    input,
                    output,
                    has_width,
                } => {
                    let width = match has_width {
                        true => Machine::count(self.heap.look(next())?, "width of a stage")?,
                        false => 1,
                    };
                    if width == 0 {
                        return Err(Stop::raised("width of a stage is 0, expected at least 1"));
                    }
                    let width = width.min(EVAL_ASKS_MAX as u64) as u32;
                    stages.push(Planned::Each { width, output });
                    functions.push(Some((first, input, output)));
                }
            }
        }
        let form = match stages.first() {
            Some(Planned::Cmd { conversion, .. }) => Some(conversion.input_form),
            _ => None,
        };
        let plan = Plan {
            source: self.given(program, pipe.source, form, args[0])?,
            source_ty: pipe.source,
            stages,
            output: pipe.output,
            is_result: self.gives_result(),
        };
        self.drop_gathered(count);
        let (scope, output) = (self.fiber.scope, pipe.output);
        let ask = Ask::Pipe(Box::new(plan));
        let (slot, id) = self.ask_for(scope, ask, |slot| For::Slot(slot, Some(output)), None);
        self.pipes.insert(id, Piped { scope, functions });
        Ok(Next::Give(Value::Pending(slot)))
    }

    /// Starts a worker process.
    pub(super) fn start_worker(&mut self, program: Program<'_>, number: u32, last: Value) -> Eval<Next> {
        let channel = program.exprs.channel(number);
        let count = usize::from(channel.command.is_none()) + usize::from(channel.has_options);
        let args = self.gathered(count.max(1), last);
        self.check_room()?;
        let target = match &channel.command {
            Some(name) => Target::Command(name.to_string()),
            None => Target::Program(self.words(program, args[0])?),
        };
        let mut launch = Launch::new(target);
        if channel.has_options {
            self.set_options(program, last, &mut launch)?;
        }
        self.drop_gathered(count.max(1));
        let ask = Ask::Process(Request::Run(Box::new(launch)));
        let (slot, _) = self.ask_for(self.fiber.scope, ask, |slot| For::Worker(slot, number), None);
        Ok(Next::Give(Value::Pending(slot)))
    }

    fn set_options(&self, program: Program<'_>, options: Value, launch: &mut Launch) -> Eval {
        let Value::Record(ty, parts) = self.heap.look(options)? else {
            return Err(Stop::misfit("options of a worker are no record"));
        };
        let Type::Record(fields) = program.types.node(ty) else {
            return Err(Stop::misfit("options of a worker are no record"));
        };
        let [mut stdin, mut stdout, mut stderr] = [None; 3];
        for (position, field) in program.types.fields(fields).iter().enumerate() {
            let value = self.heap.look(self.heap.value(parts, position))?;
            if value == Value::Nil {
                continue;
            }
            let text = || self.text(program.exprs, value, "option of a worker");
            match &*field.key {
                "timeout" => launch.timeout_ms = Some(Machine::count(value, "timeout of a worker")?),
                "cwd" => launch.cwd = Some(text()?.to_string()),
                "detach" => launch.is_detached = value == Value::Bool(true),
                "env" => {
                    for position in 0..list_len(value, "env")? {
                        let Value::Tuple(pair) = self.heap.look(element(&self.heap, value, position))? else {
                            return Err(Stop::misfit("env of a worker is no list of pairs"));
                        };
                        let part =
                            |at| self.text(program.exprs, self.heap.value(pair, at), "env of a worker");
                        launch.env.push((part(0)?.to_string(), part(1)?.to_string()));
                    }
                }
                key @ ("stdin" | "stdout" | "stderr") => {
                    let name = text()?;
                    let Some(found) = redirect(name) else {
                        let message =
                            format!("{key} of a worker is '{name}', expected pipe, inherit or null");
                        return Err(Stop::raised(message));
                    };
                    match key {
                        "stdin" => stdin = Some(found),
                        "stdout" => stdout = Some(found),
                        _ => stderr = Some(found),
                    }
                }
                other => return Err(Stop::misfit(format!("a worker has no option '{other}'"))),
            }
        }
        launch.redirect(stdin, stdout, stderr).map_err(Stop::Raised)
    }

    /// The worker process that was started.
    pub(super) fn new_worker(&mut self, channel: u32, payload: &[u8]) -> Value {
        let mut reader = Reader::new(payload);
        let (_, handle) = (reader.next(), reader.next());
        let Ok(Token::Int(handle)) = handle else {
            return Value::Nil;
        };
        self.channels.insert(handle as u64, channel);
        Value::Int(handle)
    }

    /// The number of a worker process and the kind that it is.
    fn worker(&self, value: Value) -> Eval<(HandleId, u32)> {
        match self.heap.look(value)? {
            Value::Int(handle) => match self.channels.get(&(handle as u64)) {
                Some(channel) => Ok((HandleId::from_raw(handle as u64), *channel)),
                None => Err(Stop::raised(format!(
                    "worker {handle} is none that the composition has started"
                ))),
            },
            other => Err(Stop::misfit(format!("{} is used as a worker", other.name()))),
        }
    }

    /// Does something with a worker process.
    pub(super) fn on_worker(
        &mut self,
        program: Program<'_>,
        id: ExprId,
        verb: Verb,
        last: Value,
    ) -> Eval<Next> {
        let Expr::Strict { args, .. } = program.exprs.node(id) else {
            return Ok(Next::Give(last));
        };
        let count = args.len();
        let args = self.gathered(count, last);
        self.check_room()?;
        if verb == Verb::Select {
            let list = self.heap.look(args[0])?;
            let (mut ids, mut kind) = (Vec::new(), None);
            for position in 0..list_len(list, "select")? {
                let (handle, channel) = self.worker(element(&self.heap, list, position))?;
                ids.push(handle);
                kind = Some(channel);
            }
            let Some(channel) = kind else {
                return Err(Stop::raised("select has no workers, expected at least one"));
            };
            let (ty, form) = self.received(program, channel);
            return Ok(self.ask_worker(count, Request::Select(ids, None), Gives::Selected(ty, form)));
        }
        let (handle, channel) = self.worker(args[0])?;
        let (ty, form) = self.received(program, channel);
        let (request, gives) = match verb {
            Verb::Send => {
                let message = self.message(program, channel, &args[1..])?;
                (Request::Send(handle, message), Gives::Nothing)
            }
            Verb::Talk => {
                let message = self.message(program, channel, &args[1..])?;
                (Request::Talk(handle, message, None), Gives::BareMessage(ty, form))
            }
            Verb::Receive => {
                let timeout = args.get(1).map(|timeout| self.heap.look(*timeout)).transpose()?;
                let timeout = timeout.filter(|timeout| *timeout != Value::Nil);
                let ms = timeout.map(|ms| Machine::count(ms, "time to wait")).transpose()?;
                let ms = ms.map(|ms| ms.min(TIMEOUT_MS_MAX));
                (Request::Receive(handle, ms), Gives::Message(ty, form))
            }
            Verb::Close => (Request::Close(handle), Gives::Nothing),
            Verb::Kill => (Request::Kill(handle, SIGKILL), Gives::Nothing),
            Verb::Wait => (Request::Wait(handle, None), Gives::State(verb)),
            _ => (Request::Status(handle), Gives::State(verb)),
        };
        Ok(self.ask_worker(count, request, gives))
    }

    fn ask_worker(&mut self, count: usize, request: Request, gives: Gives) -> Next {
        self.drop_gathered(count);
        let wanted = |slot| For::Given(slot, gives);
        let (slot, _) = self.ask_for(self.fiber.scope, Ask::Process(request), wanted, None);
        Next::Give(Value::Pending(slot))
    }

    /// What the messages of a kind of worker process are.
    fn received(&self, program: Program<'_>, channel: u32) -> (TypeId, Option<Form>) {
        let channel = program.exprs.channel(channel);
        let form = channel
            .command
            .is_none()
            .then(|| line_form(program.types, channel.receives));
        (channel.receives, form)
    }

    /// A message to a worker process, as [`Request::Send`] has it.
    fn message(&mut self, program: Program<'_>, channel: u32, args: &[Value]) -> Eval<Vec<u8>> {
        let channel = program.exprs.channel(channel);
        let mut encoded = Vec::new();
        for (arg, ty) in args.iter().zip(&channel.sends) {
            encoded.push(self.settled(program, *ty, *arg)?);
        }
        let mut message = Vec::new();
        match (&channel.command, encoded.first(), channel.sends.first()) {
            (None, Some(value), Some(ty)) => {
                let mut line = Vec::new();
                let form = line_form(program.types, *ty);
                write_item(program.types, *ty, form, value, &mut line).map_err(Stop::Raised)?;
                write::bin(&mut message, line.strip_suffix(b"\n").unwrap_or(&line));
            }
            _ => {
                write::array(&mut message, encoded.len() as u32);
                message.extend(encoded.into_iter().flatten());
            }
        }
        Ok(message)
    }

    /// The value in an answer about a worker process.
    pub(super) fn given_value(&mut self, program: Program<'_>, gives: Gives, payload: &[u8]) -> Eval<Value> {
        let mut reader = Reader::new(payload);
        let broken = |_| Stop::Raised(Error::new(Kind::Protocol, "answer of a worker is cut off"));
        Ok(match gives {
            Gives::Nothing => Value::Nil,
            Gives::BareMessage(ty, form) => self.received_value(program.types, ty, form, payload)?,
            Gives::Message(ty, form) => match reader.next().map_err(broken)? {
                Token::Array(1) => self.received_value(program.types, ty, form, reader.rest())?,
                _ => Value::Nil,
            },
            Gives::Selected(ty, form) => {
                let (_, position) = (reader.next().map_err(broken)?, reader.next().map_err(broken)?);
                let position = match position {
                    Token::Int(position) => Value::Int(position),
                    _ => Value::Nil,
                };
                let rest = reader.rest();
                let message = self.given_value(program, Gives::Message(ty, form), rest)?;
                Value::Tuple(self.heap.add_values([position, message].into_iter())?)
            }
            Gives::State(verb) => state(verb, reader),
        })
    }

    fn received_value(
        &mut self,
        types: &Types,
        ty: TypeId,
        form: Option<Form>,
        message: &[u8],
    ) -> Eval<Value> {
        let bytes = match (form, Reader::new(message).next()) {
            (Some(form), Ok(Token::Bin(line))) => {
                let mut value = Vec::new();
                read_item(types, ty, form, line, &mut value).map_err(Stop::Raised)?;
                value
            }
            _ => message.to_vec(),
        };
        Ok(self.heap.add_wire(ty, bytes))
    }
}

const SIGKILL: i32 = 9;

/// How a message of that type stands on a line: a string as it is, all else as JSON.
fn line_form(types: &Types, ty: TypeId) -> Form {
    match types.node(ty) {
        Type::Str => Form::Lines,
        Type::Nil => Form::None,
        _ => Form::Jsonl,
    }
}

/// What is wanted of the state of a worker process. One that a signal has ended has the exit code that a shell would tell.
fn state(verb: Verb, mut reader: Reader<'_>) -> Value {
    let (mut code, mut pid, mut alive) = (Value::Nil, Value::Nil, Value::Bool(false));
    if let Ok(Token::Map(len)) = reader.next() {
        for _ in 0..len {
            match (reader.next(), reader.next()) {
                (Ok(Token::Str("exit_code")), Ok(Token::Int(found))) => code = Value::Int(found),
                (Ok(Token::Str("signal")), Ok(Token::Int(number))) => code = Value::Int(128 + number),
                (Ok(Token::Str("pid")), Ok(Token::Int(found))) => pid = Value::Int(found),
                (Ok(Token::Str("alive")), Ok(Token::Bool(found))) => alive = Value::Bool(found),
                _ => {}
            }
        }
    }
    match verb {
        Verb::Pid => pid,
        Verb::Alive => alive,
        _ => code,
    }
}
