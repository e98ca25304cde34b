//! Calls of a session's functions and expressions: many at once, or one that is waited for. How they are carried out is the
//! loop's.

use super::Session;
use crate::core::hub::Request;
use crate::error::{Error, Result};
use crate::ids::PoolId;
use crate::manifest::model::{Arg, Body};
use crate::shell::composed::{Argument, Composition, Input, Task};
use crate::sys::clock::now_ms;
use std::collections::VecDeque;
use std::rc::Rc;

/// A call of a function in a pool.
#[derive(Debug)]
pub struct Call {
    /// The pool.
    pub pool: PoolId,
    /// Under which the pool finds the function.
    pub mid: i64,
    /// The arguments, each as msgpack.
    pub args: Vec<Vec<u8>>,
    /// When to give up, in milliseconds.
    pub timeout_ms: Option<u64>,
}

impl Session {
    /// Begins a call; its answer comes from [`Session::poll_answer`] under the token that this returns.
    pub fn begin(&mut self, call: Call) -> u64 {
        let now = now_ms();
        let token = self.next_token();
        let request = Request {
            token,
            pool: call.pool,
            mid: call.mid,
            args: call.args.len() as u32,
            payload: join(call.args),
            timeout_ms: call.timeout_ms,
            pid: None,
            parent: None,
        };
        self.hub.call(request, now);
        self.carry_out(now);
        token
    }

    /// Begins to evaluate an expression: its calls run side by side where they can. Its answer comes as that of a call.
    pub fn begin_composition(&mut self, composition: Composition) -> u64 {
        let now = now_ms();
        let token = self.next_token();
        let entry = Entry {
            task: Some(Task::new(composition, token, &mut self.workers.files, now)),
            inputs: VecDeque::new(),
        };
        self.tasks.insert(token, entry);
        self.run_tasks(now);
        token
    }

    /// Begins a command of the program, by its position: whatever it is, its answer comes as that of a call.
    pub fn begin_command(&mut self, command: usize, args: Vec<Vec<u8>>, timeout_ms: Option<u64>) -> u64 {
        let manifest = Rc::clone(&self.manifest);
        let command = &manifest.commands[command];
        let timeout_ms = timeout_ms.or(command.timeout_ms);
        // All that it will call start at once.
        if let Body::Remote { needed, .. } | Body::Composed { needed, .. } = &command.body {
            self.start_pools(needed.iter().copied(), now_ms());
        }
        match &command.body {
            Body::Remote { pool, mid, .. } => self.begin(Call {
                pool: *pool,
                mid: *mid,
                args,
                timeout_ms,
            }),
            Body::Pure(expr) | Body::Composed { expr, .. } => {
                let args = args.into_iter().map(Argument::Value);
                self.begin_composition(Composition {
                    root: *expr,
                    args: args.zip(command.args.iter().map(Arg::ty)).collect(),
                    returns: command.returns.ty,
                    timeout_ms,
                    printed: None,
                })
            }
            Body::Unsupported(error) => {
                let token = self.next_token();
                self.answers.push((token, Err(error.clone())));
                token
            }
        }
    }

    /// Takes an answer.
    pub fn poll_answer(&mut self) -> Option<(u64, Result<Vec<u8>>)> {
        let (token, answer) = self.answers.pop()?;
        Some((token, answer.map_err(|error| self.explain(error))))
    }

    /// Gives up a call; it is answered with this error, or with what has come meanwhile.
    pub fn cancel(&mut self, token: u64, error: &Error) {
        let now = now_ms();
        match self.tasks.get_mut(&token).and_then(|entry| entry.task.as_mut()) {
            Some(task) if task.is_joining() => self.workers.table.end_owner(task.owner(), false, now),
            Some(task) => task.stop(Box::new(error.clone())),
            None => self.hub.cancel(token, error, now),
        }
        self.carry_out(now);
        self.run_tasks(now);
    }

    /// Runs the loop until a call is answered, by its function or by an error.
    ///
    /// # Errors
    /// What the hub answers; `cancelled` after SIGINT, SIGTERM or SIGHUP; `io` when the poll fails.
    pub fn call(&mut self, call: Call) -> Result<Vec<u8>> {
        let token = self.begin(call);
        self.wait_for_answer(token)
    }

    /// Evaluates an expression. The result as msgpack; none: it was printed as it came.
    ///
    /// # Errors
    /// What the expression raises and its calls answer; `timeout`; `cancelled` after SIGINT, SIGTERM or SIGHUP; `io` when the
    /// poll fails.
    pub fn evaluate(&mut self, composition: Composition) -> Result<Option<Vec<u8>>> {
        let token = self.begin_composition(composition);
        let result = self.wait_for_answer(token)?;
        Ok((!std::mem::take(&mut self.has_printed)).then_some(result))
    }

    fn wait_for_answer(&mut self, token: u64) -> Result<Vec<u8>> {
        let mut heard = 0;
        loop {
            let position = self.answers.iter().position(|(answered, _)| *answered == token);
            // What belonged to a call that has failed ends at once.
            if let Some(position) = position.filter(|_| !self.workers.table.is_joining()) {
                self.notes.finish();
                let answer = self.answers.swap_remove(position).1;
                return answer.map_err(|error| self.explain(error));
            }
            if position.is_none() && self.interrupts > heard {
                heard = self.interrupts;
                if let Some(error) = self.stopped() {
                    self.cancel(token, &error);
                    continue;
                }
            }
            self.turn()?;
        }
    }

    /// Tokens of calls are even.
    fn next_token(&mut self) -> u64 {
        self.next_token += 2;
        self.next_token
    }

    /// A token for something that the composition of that token asks for: an odd one.
    pub(in crate::shell) fn add_ask(&mut self, of: u64) -> u64 {
        let token = self.next_token() | 1;
        self.asks.insert(token, of);
        token
    }

    /// What was asked for under a token is answered, or not wanted any more.
    pub(in crate::shell) fn forget_ask(&mut self, token: u64) {
        self.asks.remove(&token);
    }

    pub(in crate::shell) fn take_answer(&mut self, token: u64, answer: Result<Vec<u8>>) {
        if token & 1 == 0 {
            return self.answers.push((token, answer));
        }
        // What is not wanted any more is dropped.
        if let Some(of) = self.asks.get(&token) {
            self.push_input(*of, Input::Answer(token, answer));
        }
    }

    /// Something has come for a composition. False if it is none that is under way.
    pub(in crate::shell) fn push_input(&mut self, of: u64, input: Input) -> bool {
        let entry = self.tasks.get_mut(&of);
        entry.map(|entry| entry.inputs.push_back(input)).is_some()
    }

    /// Takes what has come for a composition.
    pub(in crate::shell) fn take_input(&mut self, of: u64) -> Option<Input> {
        self.tasks.get_mut(&of)?.inputs.pop_front()
    }

    /// Lets every composition go as far as it can.
    pub(super) fn run_tasks(&mut self, now: u64) {
        if self.tasks.is_empty() {
            return;
        }
        let has_work = |entry: &Entry| {
            let task = entry.task.as_ref();
            !entry.inputs.is_empty() || task.is_some_and(|task| task.has_work(now))
        };
        let working = self.tasks.iter().filter(|(_, entry)| has_work(entry));
        let working: Vec<u64> = working.map(|(token, _)| *token).collect();
        for token in working {
            let task = self.tasks.get_mut(&token).and_then(|entry| entry.task.take());
            let Some(mut task) = task else {
                continue;
            };
            task.step(self, now);
            match self.tasks.get_mut(&token) {
                Some(entry) if !task.is_over() => entry.task = Some(task),
                _ => drop(self.tasks.remove(&token)),
            }
        }
        let tasks = self.tasks.values().filter_map(|entry| entry.task.as_ref());
        let goes_on = tasks.map(Task::goes_on).fold(false, |any, one| any | one);
        self.hub.set_host_busy(goes_on, now);
        self.carry_out(now);
    }

    /// When a composition has something to do without anything having come.
    pub(super) fn tasks_due_ms(&self) -> Option<u64> {
        let due = |entry: &Entry| match entry.inputs.is_empty() {
            true => entry.task.as_ref().and_then(Task::due_ms),
            false => Some(0),
        };
        self.tasks.values().filter_map(due).min()
    }
}

/// A composition under way.
pub(super) struct Entry {
    /// Not there while it takes its step.
    task: Option<Task>,
    /// What has come for it.
    inputs: VecDeque<Input>,
}

/// One buffer with all arguments; a single one, which may be large, is not copied.
fn join(mut args: Vec<Vec<u8>>) -> Vec<u8> {
    match args.len() {
        1 => args.swap_remove(0),
        _ => args.concat(),
    }
}
