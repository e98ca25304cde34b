//! A pipe: a value that goes through stages which all work at once, item by item, each in its turn and no more of them than
//! the next stage has room for. Stages are functions of items, which somebody else applies, and programs; two programs in a
//! row are joined by a pipe of the system. Does no I/O: programs are those of the [`Table`].
//!
//! The end goes downstream: a stage ends when the one before it has. A stage that ends early, without reading everything,
//! ends those before it, which is no failure; any other end of a program but with exit code 0 is, and is named.

use super::convert::{item_type, not_text, read_item, read_value, write_item};
use super::mailbox::Framing;
use super::outlet::Outlet;
use super::request::{Launch, Redirect, Target};
use super::source::{Left, Source};
use super::table::{HandleId, Owner, Table};
use crate::codec::msgpack::write;
use crate::codec::schema::Types;
use crate::core::hub::Ended;
use crate::error::{Error, Kind, Result};
use crate::expr::process::{Conversion, Form};
use crate::ids::TypeId;
use crate::limits::{PIPE_ITEMS_MAX, STREAM_BYTES_MAX, WORKER_MESSAGE_BYTES_MAX};
use crate::map::Map;
use std::collections::VecDeque;
use std::rc::Rc;

const SIGPIPE: i32 = 13;

/// Room for the head of a msgpack value, in bytes.
const HEAD_BYTES_MAX: usize = 5;

/// A value, and what it is to go through.
#[derive(Debug)]
pub struct Plan {
    /// The value.
    pub source: Given,
    /// Its type.
    pub source_ty: TypeId,
    /// The stages, at least one.
    pub stages: Vec<Planned>,
    /// Type of what comes out.
    pub output: TypeId,
    /// It is given out as it is, and nothing else is done with it: what the last stage writes need not be kept until its end,
    /// if that is a program and its form is made of bytes as they are. See [`Pipe::output`].
    pub is_result: bool,
}

/// The value of a pipe.
#[derive(Debug)]
pub enum Given {
    /// As msgpack.
    Value(Rc<Vec<u8>>),
    /// Bytes in a file, of which whoever starts the programs knows the number. The first stage is a program that reads bytes.
    File(u32),
}

impl Plan {
    /// How what comes out stands in the bytes that the last stage writes, if that is a program.
    pub fn output_form(&self) -> Option<Form> {
        match self.stages.last() {
            Some(Planned::Cmd { conversion, .. }) => Some(conversion.output_form),
            _ => None,
        }
    }
}

/// A stage.
#[derive(Debug)]
pub enum Planned {
    /// A function of items, so many at once.
    Each {
        /// How many.
        width: u32,
        /// Type of a result.
        output: TypeId,
    },
    /// A program with its words.
    Cmd {
        /// The words.
        argv: Vec<String>,
        /// What goes through it.
        conversion: Conversion,
    },
}

/// An item to be given to the function of a stage; its answer goes to [`Pipe::handle_applied`].
#[derive(Debug)]
pub struct Item {
    /// The position of the stage.
    pub stage: usize,
    /// Its number in that stage.
    pub number: u64,
    /// The item as msgpack.
    pub bytes: Vec<u8>,
}

/// A pipe under way.
pub struct Pipe {
    source: Source,
    stages: Vec<Stage>,
    owner: Owner,
    output: TypeId,
    /// What has come out of the last stage, behind room for a head.
    collected: Vec<u8>,
    /// It is given out instead.
    outlet: Option<Outlet>,
    /// How many items that are, if it is a function.
    count: u32,
    to_apply: VecDeque<Item>,
    result: Option<Result<Vec<u8>>>,
    is_over: bool,
    /// Its programs were told so.
    is_ended: bool,
}

enum Stage {
    Each(Each),
    Cmd(Cmd),
}

#[derive(Default)]
pub(super) struct Each {
    pub width: u32,
    output: Option<TypeId>,
    pub waiting: VecDeque<Vec<u8>>,
    pub waiting_bytes: usize,
    pub running: u32,
    /// Results that wait for those before them, or for room in the next stage.
    pub done: Map<u64, Vec<u8>>,
    /// Items that were begun, and results that were passed on.
    begun: u64,
    given: u64,
    input_ended: bool,
    /// Nobody wants its results.
    pub is_shut: bool,
}

struct Cmd {
    id: HandleId,
    name: String,
    conversion: Conversion,
    /// Its input is the output of the stage before, by a pipe of the system, or the content of a file.
    is_joined: bool,
    output_ended: bool,
    /// How it ended, and whether the stage after it wanted no more by then.
    ended: Option<(Ended, bool)>,
}

impl Each {
    fn has_room(&self) -> bool {
        !self.is_shut && self.waiting.len() < PIPE_ITEMS_MAX && self.waiting_bytes < STREAM_BYTES_MAX
    }

    fn push(&mut self, item: Vec<u8>) {
        self.waiting_bytes += item.len();
        self.waiting.push_back(item);
    }

    /// The next result in order.
    fn next_result(&mut self) -> Option<Vec<u8>> {
        let result = self.done.remove(&self.given)?;
        self.given += 1;
        Some(result)
    }

    fn is_over(&self) -> bool {
        self.is_shut
            || (self.input_ended && self.waiting.is_empty() && self.running == 0 && self.done.is_empty())
    }
}

impl Stage {
    /// Nothing more comes out of it.
    fn is_over(&self) -> bool {
        match self {
            Stage::Each(each) => each.is_over(),
            Stage::Cmd(cmd) => cmd.output_ended,
        }
    }

    /// It wants nothing more from the stage before.
    fn is_shut(&self, table: &Table) -> bool {
        match self {
            Stage::Each(each) => each.is_shut,
            Stage::Cmd(cmd) => table.refuses(cmd.id),
        }
    }
}

impl Pipe {
    /// Begins a pipe whose programs belong to that owner, who has no others.
    ///
    /// # Errors
    /// A value that has no form in which the first stage could read it.
    pub fn new(plan: Plan, owner: Owner, table: &mut Table, types: &Types, now_ms: u64) -> Result<Pipe> {
        let outlet = plan.output_form().and_then(Outlet::of).filter(|_| plan.is_result);
        let (value, file) = match plan.source {
            Given::Value(value) => (value, None),
            Given::File(file) => (Rc::default(), Some(file)),
        };
        let source = match file {
            None => Source::begin(value, plan.source_ty, types, plan.stages.first())?,
            Some(_) => Source::none(),
        };
        let mut stages: Vec<Stage> = Vec::new();
        let is_cmd = |position: usize| matches!(plan.stages.get(position), Some(Planned::Cmd { .. }));
        for (position, planned) in plan.stages.iter().enumerate() {
            stages.push(match planned {
                Planned::Each { width, output } => Stage::Each(Each {
                    width: *width,
                    output: Some(*output),
                    ..Each::default()
                }),
                Planned::Cmd { argv, conversion } => {
                    let mut launch = Launch::new(Target::Program(argv.clone()));
                    let before = match stages.last() {
                        Some(Stage::Cmd(before)) => Some(before.id),
                        _ => None,
                    };
                    launch.input_from = before;
                    launch.input_file = file.filter(|_| position == 0);
                    if position == 0 && conversion.input_form == Form::None {
                        launch.stdin = Redirect::Null;
                    }
                    launch.is_output_piped = is_cmd(position + 1);
                    launch.framing = match conversion.output_form {
                        _ if position + 1 == plan.stages.len() => Framing::Stream,
                        Form::Lines | Form::Jsonl => Framing::Lines,
                        _ => Framing::Whole,
                    };
                    let name = launch.name.clone();
                    let is_joined = before.is_some() || launch.input_file.is_some();
                    Stage::Cmd(Cmd {
                        id: table.start_stage(launch, owner, now_ms),
                        name,
                        conversion: *conversion,
                        is_joined,
                        output_ended: false,
                        ended: None,
                    })
                }
            });
        }
        Ok(Pipe {
            source,
            stages,
            owner,
            output: plan.output,
            collected: vec![0; HEAD_BYTES_MAX],
            outlet,
            count: 0,
            to_apply: VecDeque::new(),
            result: None,
            is_over: false,
            is_ended: false,
        })
    }

    /// Its functions.
    #[cfg(test)]
    pub(super) fn functions(&self) -> impl Iterator<Item = &Each> {
        self.stages.iter().filter_map(|stage| match stage {
            Stage::Each(each) => Some(each),
            Stage::Cmd(_) => None,
        })
    }

    /// To whom its programs belong.
    pub fn owner(&self) -> Owner {
        self.owner
    }

    /// Takes the next item that is to be given to a function.
    pub fn poll_item(&mut self) -> Option<Item> {
        self.to_apply.pop_front()
    }

    /// Takes what came out of it in the end.
    pub fn poll_result(&mut self) -> Option<Result<Vec<u8>>> {
        self.result.take()
    }

    /// What can be given out, of a pipe whose plan says so; the rest of it comes when this was taken.
    pub fn output<'t>(&self, table: &'t Table) -> &'t [u8] {
        match (&self.outlet, self.stages.last()) {
            (Some(outlet), Some(Stage::Cmd(cmd))) => {
                table.stream(cmd.id).get(..outlet.ready).unwrap_or_default()
            }
            _ => &[],
        }
    }

    /// Takes off what was given out of [`Pipe::output`].
    pub fn advance_output(&mut self, table: &mut Table, given: usize) {
        if let (Some(outlet), Some(Stage::Cmd(cmd))) = (&mut self.outlet, self.stages.last()) {
            outlet.ready -= given;
            table.advance_stream(cmd.id, given);
        }
    }

    /// Nobody takes what comes out any more, which is no failure.
    pub fn close_output(&mut self) {
        if let Some(outlet) = &mut self.outlet {
            (outlet.ready, outlet.is_closed) = (0, true);
        }
    }

    /// It can't go on.
    pub fn fail(&mut self, error: Box<Error>) {
        self.end(Err(error));
    }

    /// What the function of a stage made of an item.
    pub fn handle_applied(&mut self, stage: usize, number: u64, result: Result<Vec<u8>>) {
        let Some(Stage::Each(each)) = self.stages.get_mut(stage) else {
            return;
        };
        each.running -= 1;
        match result {
            Ok(_) if each.is_shut => {}
            Ok(result) => drop(each.done.insert(number, result)),
            Err(_) if each.is_shut => {}
            Err(mut error) => {
                error.message = format!("stage {}: item {}: {}", stage + 1, number + 1, error.message);
                self.end(Err(error));
            }
        }
    }

    /// Moves on all that can be moved on. False if nothing could be.
    pub fn step(&mut self, table: &mut Table, types: &Types, now_ms: u64) -> bool {
        if self.is_ended {
            return false;
        }
        let has_moved = self.try_step(table, types).unwrap_or_else(|error| {
            self.end(Err(error));
            true
        });
        if self.is_over {
            let is_well = matches!(self.result, Some(Ok(_)));
            self.is_ended = true;
            table.end_owner(self.owner, is_well, now_ms);
        }
        has_moved
    }

    /// Whether nothing of it goes on.
    pub fn is_ended(&self) -> bool {
        self.is_ended
    }

    fn try_step(&mut self, table: &mut Table, types: &Types) -> Result<bool> {
        let mut has_moved = false;
        let mut goes_on = !self.is_over;
        while goes_on {
            self.note_ends(table)?;
            goes_on = false;
            // The last first: it makes room for those before.
            for position in (0..self.stages.len()).rev() {
                goes_on |= self.advance(position, table, types)?;
            }
            goes_on |= self.feed(table, types)?;
            has_moved |= goes_on;
        }
        let is_done = |stage: &Stage| match stage {
            Stage::Each(each) => each.is_over(),
            Stage::Cmd(cmd) => cmd.ended.is_some() && cmd.output_ended,
        };
        if !self.is_over && self.stages.iter().all(is_done) {
            let result = self.verdict(table).and_then(|()| self.value(types));
            self.end(result);
        }
        Ok(has_moved)
    }

    fn end(&mut self, result: Result<Vec<u8>>) {
        if !std::mem::replace(&mut self.is_over, true) {
            self.to_apply.clear();
            self.result = Some(result);
        }
    }

    /// Looks which programs have ended, and ends what has nobody to write to.
    fn note_ends(&mut self, table: &mut Table) -> Result<()> {
        for position in (0..self.stages.len()).rev() {
            let (stages, after) = self.stages.split_at_mut(position + 1);
            let next_is_shut = match after.first() {
                Some(next) => next.is_shut(table),
                None => self.outlet.as_ref().is_some_and(|outlet| outlet.is_closed),
            };
            let Some(stage) = stages.last_mut() else { continue };
            let joined = match after.first() {
                Some(Stage::Cmd(next)) if next.is_joined => Some(next.id),
                _ => None,
            };
            match stage {
                Stage::Each(each) if next_is_shut && !each.is_shut => {
                    *each = Each {
                        running: each.running,
                        is_shut: true,
                        ..Each::default()
                    };
                    self.to_apply.retain(|item| item.stage != position);
                }
                Stage::Each(_) => {}
                Stage::Cmd(cmd) => {
                    if let Some(mut error) = table.failure(cmd.id) {
                        error.message = format!("stage {}, {}: {}", position + 1, cmd.name, error.message);
                        return Err(error);
                    }
                    if next_is_shut && joined.is_none() && !cmd.output_ended {
                        table.hang_up(cmd.id);
                        cmd.output_ended = true;
                    }
                    if let (None, Some(ended)) = (cmd.ended, table.ended(cmd.id)) {
                        cmd.ended = Some((ended?, next_is_shut));
                        cmd.output_ended |= joined.is_some();
                    }
                }
            }
        }
        Ok(())
    }

    /// Passes on what came out of a stage, and begins what it has to do. False if nothing could be done.
    fn advance(&mut self, position: usize, table: &mut Table, types: &Types) -> Result<bool> {
        let mut has_moved = false;
        let (stages, after) = self.stages.split_at_mut(position + 1);
        let Some(stage) = stages.last_mut() else {
            return Ok(false);
        };
        let was_over = stage.is_over();
        match (stage, after.first_mut()) {
            (Stage::Cmd(cmd), None) => {
                let bytes = table.stream(cmd.id);
                if let Some(outlet) = &mut self.outlet {
                    has_moved = outlet
                        .check(bytes, table.has_ended_output(cmd.id))
                        .map_err(|()| {
                            let ty = item_type(types, self.output, cmd.conversion.output_form);
                            at_stage(not_text(types, ty), position, &cmd.name)
                        })?;
                    cmd.output_ended |= table.is_output_over(cmd.id);
                    return Ok(has_moved || cmd.output_ended != was_over);
                }
                if self.collected.len() + bytes.len() > WORKER_MESSAGE_BYTES_MAX {
                    let message =
                        format!("what comes out of the pipe exceeds {WORKER_MESSAGE_BYTES_MAX} bytes");
                    return Err(Error::new(Kind::Io, message));
                }
                self.collected.extend_from_slice(bytes);
                let taken = bytes.len();
                table.advance_stream(cmd.id, taken);
                cmd.output_ended |= table.is_output_over(cmd.id);
                has_moved = taken > 0;
            }
            (Stage::Cmd(cmd), Some(Stage::Each(next))) => {
                let (ty, form) = (cmd.conversion.output, cmd.conversion.output_form);
                let ty = item_type(types, ty, form);
                while next.has_room()
                    && let Some(message) = table.take_message(cmd.id)
                {
                    let mut item = Vec::with_capacity(message.len() + 5);
                    read_item(types, ty, form, message, &mut item)
                        .map_err(|error| at_stage(error, position, &cmd.name))?;
                    next.push(item);
                    has_moved = true;
                }
                cmd.output_ended |= table.is_output_over(cmd.id);
                next.input_ended |= cmd.output_ended;
            }
            // The system moves it.
            (Stage::Cmd(_), Some(Stage::Cmd(_))) => {}
            (Stage::Each(each), next) => {
                while each.running < each.width
                    && each.done.len() < each.width as usize
                    && let Some(bytes) = each.waiting.pop_front()
                {
                    each.waiting_bytes -= bytes.len();
                    each.running += 1;
                    self.to_apply.push_back(Item {
                        stage: position,
                        number: each.begun,
                        bytes,
                    });
                    each.begun += 1;
                    has_moved = true;
                }
                match next {
                    None => {
                        while let Some(result) = each.next_result() {
                            self.collected.extend_from_slice(&result);
                            self.count += 1;
                            has_moved = true;
                        }
                    }
                    Some(Stage::Each(next)) => {
                        while next.has_room()
                            && let Some(result) = each.next_result()
                        {
                            next.push(result);
                            has_moved = true;
                        }
                        next.input_ended |= each.is_over();
                    }
                    Some(Stage::Cmd(next)) => {
                        let form = next.conversion.input_form;
                        while let Some(out) = table.feeder(next.id)
                            && let Some(result) = each.next_result()
                        {
                            let ty = each.output.unwrap_or(next.conversion.input);
                            write_item(types, ty, form, &result, out)
                                .map_err(|error| at_stage(error, position + 1, &next.name))?;
                            table.list(next.id);
                            has_moved = true;
                        }
                        if each.is_over() {
                            table.close(next.id);
                        }
                    }
                }
            }
        }
        Ok(has_moved || self.stages[position].is_over() != was_over)
    }

    /// Gives the first stage what it has room for of the value.
    fn feed(&mut self, table: &mut Table, types: &Types) -> Result<bool> {
        let source = &mut self.source;
        let mut has_moved = false;
        let mut packed = Vec::new();
        match self.stages.first_mut() {
            Some(Stage::Each(each)) => {
                while each.has_room() {
                    let item = match &mut source.left {
                        Left::Items(cursor, _) => cursor.next(&source.bytes, &mut packed)?,
                        Left::Bytes(start, end) => {
                            let (start, end) = (std::mem::replace(start, *end), *end);
                            Some(&source.bytes[start..end]).filter(|whole| !whole.is_empty())
                        }
                    };
                    let Some(item) = item else {
                        has_moved |= !std::mem::replace(&mut each.input_ended, true);
                        break;
                    };
                    each.push(item.to_vec());
                    has_moved = true;
                }
            }
            Some(Stage::Cmd(cmd)) => {
                let form = cmd.conversion.input_form;
                while let Some(out) = table.feeder(cmd.id) {
                    match &mut source.left {
                        Left::Items(cursor, ty) => match cursor.next(&source.bytes, &mut packed)? {
                            Some(item) => write_item(types, *ty, form, item, out)
                                .map_err(|error| at_stage(error, 0, &cmd.name))?,
                            None => {
                                table.close(cmd.id);
                                break;
                            }
                        },
                        Left::Bytes(start, end) if *start < *end => {
                            let piece = (*start + STREAM_BYTES_MAX).min(*end);
                            out.extend_from_slice(&source.bytes[*start..piece]);
                            *start = piece;
                        }
                        Left::Bytes(..) => {
                            table.close(cmd.id);
                            break;
                        }
                    }
                    has_moved = true;
                }
                table.list(cmd.id);
            }
            None => {}
        }
        Ok(has_moved)
    }

    /// Whether all programs have ended as they should; else the first that has not.
    fn verdict(&self, table: &Table) -> Result<()> {
        for (position, stage) in self.stages.iter().enumerate() {
            let Stage::Cmd(cmd) = stage else { continue };
            let is_last = position + 1 == self.stages.len();
            let how = match cmd.ended {
                // It wrote to one that had ended, or wanted no more.
                Some((Ended::Signal(SIGPIPE), _)) if !is_last => continue,
                Some((Ended::Code(0) | Ended::Unknown, _) | (_, true)) | None => continue,
                Some((ended, _)) => ended,
            };
            let what = match how {
                Ended::Code(code) => format!("exit code {code}"),
                other => other.verb(),
            };
            let message = format!("stage {}, {}: {what}", position + 1, cmd.name);
            return Err(table.exit_error(cmd.id, how, message));
        }
        Ok(())
    }

    /// The value of what came out of the last stage.
    fn value(&mut self, types: &Types) -> Result<Vec<u8>> {
        let collected = std::mem::take(&mut self.collected);
        let body = &collected[HEAD_BYTES_MAX..];
        let mut out = Vec::new();
        match self.stages.last() {
            // The same bytes under a head; they may be many.
            Some(Stage::Cmd(cmd)) if matches!(cmd.conversion.output_form, Form::Bytes | Form::Text) => {
                match cmd.conversion.output_form {
                    Form::Text if std::str::from_utf8(body).is_err() => {
                        let error = not_text(types, self.output);
                        return Err(at_stage(error, self.stages.len() - 1, &cmd.name));
                    }
                    Form::Text => write::string_head(&mut out, body.len() as u32),
                    _ => write::bin_head(&mut out, body.len() as u32),
                }
                return Ok(under_head(&out, collected));
            }
            Some(Stage::Cmd(cmd)) => {
                let form = cmd.conversion.output_form;
                read_value(types, self.output, form, body, &mut out)
                    .map_err(|error| at_stage(error, self.stages.len() - 1, &cmd.name))?;
            }
            _ => {
                if !self.source.is_whole {
                    write::array(&mut out, self.count);
                }
                return Ok(under_head(&out, collected));
            }
        }
        Ok(out)
    }
}

/// What was collected behind room for a head, with that head.
fn under_head(head: &[u8], mut collected: Vec<u8>) -> Vec<u8> {
    let unused = HEAD_BYTES_MAX - head.len();
    collected[unused..HEAD_BYTES_MAX].copy_from_slice(head);
    if unused > 0 {
        collected.drain(..unused);
    }
    collected
}

fn at_stage(mut error: Box<Error>, position: usize, name: &str) -> Box<Error> {
    error.message = format!("stage {}, {name}: {}", position + 1, error.message);
    error
}
