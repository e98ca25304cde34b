//! Pipes through functions and programs, as a composition has them moved on: what has to come out of each is known before,
//! and so is which stage may fail.

use super::program::{Nature, produced_line};
use super::world::{Event, World};
use crate::codec::msgpack::{Reader, Token, write};
use crate::codec::schema::Types;
use crate::core::hub::Ended;
use crate::core::process::pipe::{Given, Item, Plan, Planned};
use crate::core::process::pipes::{Pipes, Wanted};
use crate::core::process::table::Owner;
use crate::error::{Error, Kind, Result};
use crate::expr::process::{Conversion, Form};
use crate::limits::WORKER_MESSAGE_BYTES_MAX;
use std::collections::BTreeMap;

/// Bytes of the largest item.
pub const ITEM_BYTES_MAX: usize = 64 << 10;

#[derive(Default)]
pub struct Piping {
    pub pipes: Pipes,
    known: BTreeMap<u64, Known>,
    /// Items that functions work on.
    items: Vec<(u64, Item)>,
    /// Something has happened to them.
    pub is_due: bool,
    types: Types,
    last_token: u64,
}

/// A pipe that goes on.
struct Known {
    stages: Vec<Stage>,
    /// The lines that come out of it if nothing fails.
    expected: Vec<String>,
}

enum Stage {
    /// A function that fails of that item.
    Each(Option<u64>),
    /// A program of that name.
    Cmd(String),
}

impl Piping {
    /// Something has happened.
    pub fn wake(&mut self) {
        self.is_due = self.pipes.iter().next().is_some();
    }
}

impl World {
    /// A pipe begins.
    pub fn begin_pipe(&mut self) {
        if self.over_at_ms.is_some() {
            return;
        }
        let [list, text] = ["[s]", "s"].map(|ty| self.piping.types.parse(ty).expect("it is a type"));
        let count = match self.random.below(10) {
            0 => self.random.between(50, 600),
            _ => self.random.below(12),
        };
        // Where pipes hold little, little goes through them.
        let bytes_max = (self.system.volume() / (count as usize + 1)).clamp(1, ITEM_BYTES_MAX / 2);
        let bytes = self.random.size(bytes_max);
        let mut lines: Vec<String> = (0..count)
            .map(|number| produced_line(number, bytes).replacen('g', "i", 1))
            .collect();
        let mut source = Vec::new();
        write::array(&mut source, lines.len() as u32);
        lines.iter().for_each(|line| write::string(&mut source, line));
        let (mut planned, mut stages) = (Vec::new(), Vec::new());
        for position in 0..self.random.between(1, 5) {
            if self.random.chance(400) {
                let fails = self.random.chance(self.faults.program_fails / 2);
                let fails = fails.then(|| self.random.below(8));
                lines.iter_mut().for_each(|line| line.push('f'));
                let width = self.random.between(1, 4) as u32;
                planned.push(Planned::Each { width, output: text });
                stages.push(Stage::Each(fails));
                continue;
            }
            let volume = self.system.volume();
            let nature = Nature::draw_stage(&self.faults, volume, &mut self.random);
            if nature.produces > 0 {
                lines = (0..nature.produces)
                    .map(|number| produced_line(number, nature.bytes))
                    .collect();
            } else {
                lines.truncate(nature.reads_max.unwrap_or(u64::MAX) as usize);
                lines.iter_mut().for_each(|line| line.push('c'));
            }
            let is_closed = position == 0 && nature.produces > 0 && self.random.chance(500);
            let conversion = Conversion {
                input: list,
                output: list,
                input_form: if is_closed { Form::None } else { Form::Lines },
                output_form: Form::Lines,
            };
            let name = self.system.name(nature);
            let argv = vec![name.clone()];
            planned.push(Planned::Cmd { argv, conversion });
            stages.push(Stage::Cmd(name));
        }
        self.piping.last_token += 1;
        let token = self.piping.last_token;
        let plan = Plan {
            source: Given::Value(source.into()),
            source_ty: list,
            stages: planned,
            output: list,
            is_result: false,
        };
        let may_hang = stages.iter().any(|stage| self.may_hang(stage));
        let known = Known {
            stages,
            expected: lines,
        };
        trace!(self, "pipe {token} of {count} items begins: {:?}", plan.stages);
        self.piping.known.insert(token, known);
        let (piping, now_ms) = (&mut self.piping, self.now_ms);
        let begun = piping
            .pipes
            .begin(token, plan, &mut self.table, &piping.types, now_ms);
        begun.expect("it has a form");
        if may_hang || self.random.chance(100) {
            let delay = self.random.below(3000);
            self.plan_event(delay, Event::EndPipe(token));
        }
        self.piping.is_due = true;
    }

    fn may_hang(&self, stage: &Stage) -> bool {
        matches!(stage, Stage::Cmd(name) if self.system.nature(name).may_hang())
    }

    /// A pipe is given up.
    pub fn end_pipe(&mut self, token: u64) {
        if self.piping.known.remove(&token).is_some() {
            trace!(self, "pipe {token} is given up");
            self.note_owner_ended(Owner::Pipe(token), false);
            self.piping.pipes.end(token, &mut self.table, self.now_ms);
        }
    }

    /// Nothing of a composition goes on, as at the end of one.
    pub fn end_run(&mut self, is_well: bool) {
        let tokens: Vec<u64> = self.piping.known.keys().copied().collect();
        for token in tokens {
            self.piping.known.remove(&token);
            self.note_owner_ended(Owner::Pipe(token), false);
        }
        self.piping.pipes.end_all(&mut self.table, self.now_ms);
        self.note_owner_ended(Owner::Run, is_well);
        self.table.end_owner(Owner::Run, is_well, self.now_ms);
    }

    /// Moves pipes on, as `shell::composed` does.
    pub fn move_pipes(&mut self) {
        self.piping.is_due = false;
        loop {
            let mut results = Vec::new();
            let Piping {
                pipes, items, types, ..
            } = &mut self.piping;
            let has_moved = pipes.step(
                &mut self.table,
                types,
                self.now_ms,
                |token, wanted| match wanted {
                    Wanted::Item(item) => items.push((token, item)),
                    Wanted::Result(result) => results.push((token, result)),
                },
            );
            for (token, result) in results {
                self.note_owner_ended(Owner::Pipe(token), result.is_ok());
                self.judge_pipe(token, result);
            }
            for (_, pipe) in self.piping.pipes.iter() {
                pipe.assert_invariants(ITEM_BYTES_MAX);
            }
            self.settle();
            if !has_moved {
                return;
            }
        }
    }

    /// How many items functions work on.
    pub fn items(&self) -> usize {
        self.piping.items.len()
    }

    /// A function is done with an item.
    pub fn apply_item(&mut self, position: usize) {
        let (token, item) = self.piping.items.swap_remove(position);
        let Some(known) = self.piping.known.get(&token) else {
            return;
        };
        let result = match known.stages[item.stage] {
            Stage::Each(fails) if fails == Some(item.number) => {
                Err(Error::new(Kind::Raised, format!("no {}", item.number)))
            }
            Stage::Each(_) => match Reader::new(&item.bytes).next() {
                Ok(Token::Str(text)) => {
                    let mut out = Vec::new();
                    write::string(&mut out, &format!("{text}f"));
                    Ok(out)
                }
                other => panic!("an item is a line, not {other:?}"),
            },
            Stage::Cmd(_) => panic!("a program is no function"),
        };
        let (stage, number) = (item.stage, item.number);
        self.piping.pipes.handle_applied(token, stage, number, result);
        self.piping.is_due = true;
    }

    fn judge_pipe(&mut self, token: u64, result: Result<Vec<u8>>) {
        let known = self.piping.known.remove(&token).expect("a pipe has one result");
        trace!(self, "pipe {token} gives {:?}", result.as_ref().map(Vec::len));
        let value = match result {
            Ok(value) => value,
            Err(error) => return self.judge_failed_pipe(&known, &error),
        };
        assert!(value.len() <= WORKER_MESSAGE_BYTES_MAX);
        let mut found = Reader::new(&value);
        let is_list = found.next() == Ok(Token::Array(known.expected.len() as u32));
        let is_line = |line: &String| found.next() == Ok(Token::Str(line));
        assert!(
            is_list && known.expected.iter().all(is_line) && found.is_done(),
            "all that goes through pipe {token} comes out of it, once and in order"
        );
        let mut ends_early = false;
        for (position, stage) in known.stages.iter().enumerate().rev() {
            let Stage::Cmd(name) = stage else { continue };
            assert!(
                ends_early || !self.has_failed(name),
                "stage {} of pipe {token} has failed, and nobody says so",
                position + 1
            );
            ends_early |= self.system.nature(name).reads_max.is_some() || self.has_failed(name);
        }
    }

    fn judge_failed_pipe(&self, known: &Known, error: &Error) {
        let place = error
            .message
            .strip_prefix("stage ")
            .and_then(|rest| rest.split_once([',', ':']));
        let position = place.and_then(|(number, _)| number.parse::<usize>().ok());
        match position.and_then(|position| known.stages.get(position - 1)) {
            Some(Stage::Each(Some(number))) => {
                assert!(
                    error
                        .message
                        .contains(&format!("item {}: no {number}", number + 1)),
                    "{error}"
                );
            }
            Some(Stage::Cmd(name)) => {
                assert!(error.message.contains(name.as_str()), "{error}");
                let has_failed = self.has_failed(name) || self.system.nature(name).is_missing;
                assert!(has_failed, "who is named has failed: {error}");
            }
            _ => panic!("a stage that has failed is named: {error}"),
        }
    }

    /// Whether a program has ended as it should not, and not because nobody read what it wrote.
    fn has_failed(&self, name: &str) -> bool {
        let number = self.system.started(name);
        let program = number.map(|number| &self.system.programs[number]);
        program.is_some_and(|program| {
            !program.is_refused && !matches!(program.ended, None | Some(Ended::Code(0)))
        })
    }

    /// Nothing happens any more.
    pub fn assert_pipes_done(&self) {
        for (token, known) in &self.piping.known {
            let may_hang = known.stages.iter().any(|stage| self.may_hang(stage));
            assert!(may_hang, "pipe {token} comes to an end");
        }
        assert!(self.over_at_ms.is_none() || self.piping.pipes.iter().count() == 0);
    }
}
