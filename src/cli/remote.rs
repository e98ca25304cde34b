//! A command for which pools run, from its sources to its result. The loop itself is the shell's.

use crate::cli::input;
use crate::cli::output;
use crate::cli::request::Invocation;
use crate::core::timeline::Mark;
use crate::error::Result;
use crate::ids::{ExprId, PoolId};
use crate::manifest::model::{Arg, Manifest};
use crate::manifest::names::full_name;
use crate::shell::client::{Ask, Client};
use crate::shell::composed::{Argument, Composition};
use crate::shell::notes::Notes;
use crate::shell::session::{Call, Session};
use crate::sys::clock::now_us;
use std::path::Path;
use std::rc::Rc;

/// What a command does with its arguments.
pub enum Target {
    /// It calls a function of a pool.
    Function {
        /// The pool.
        pool: PoolId,
        /// Under which the pool finds it.
        mid: i64,
    },
    /// It evaluates an expression.
    Expression(ExprId),
}

/// When things happened in a run, in microseconds of the clock.
#[derive(Debug, Default)]
pub struct Timeline {
    /// The pools were started.
    pub started_us: u64,
    /// What the hub told.
    pub marks: Vec<(u64, Mark)>,
    /// The command was answered.
    pub answered_us: u64,
    /// All processes were gone.
    pub finished_us: u64,
}

/// Runs a command for which these pools are started, and returns its result as msgpack, or none if it was printed as it came;
/// `path` is the manifest's. The pools are gone by then: whoever prints a large result can be interrupted as any other
/// program.
///
/// # Errors
/// What the arguments, the pools or the function say.
pub fn run(
    manifest: &Rc<Manifest>,
    path: &Path,
    needed: &[PoolId],
    target: &Target,
    invocation: &Invocation<'_>,
    timeline: Option<&mut Timeline>,
) -> Result<Option<Vec<u8>>> {
    let command = invocation.command;
    let types = &manifest.types;
    let encode = |position: usize| {
        let source = &invocation.args[position];
        let content = match target {
            Target::Expression(_) => input::content(types, command, position, source),
            Target::Function { .. } => None,
        };
        match content {
            Some(content) => Ok(Argument::File(content)),
            None => input::encode(types, command, position, source).map(Argument::Value),
        }
    };
    let mut args: Vec<Option<Argument>> = invocation.args.iter().map(|_| None).collect();
    // A wrong argument starts nothing; a large one is read while the pools load.
    for (position, source) in invocation.args.iter().enumerate() {
        if !source.is_large() {
            args[position] = Some(encode(position)?);
        }
    }
    let mut session = Session::start(manifest, path, needed)?;
    let started_us = now_us();
    if timeline.is_some() {
        session.keep_timeline();
    }
    let encoded: Result<Vec<Argument>> = args
        .into_iter()
        .enumerate()
        .map(|(position, arg)| arg.map_or_else(|| encode(position), Ok))
        .collect();
    let timeout_ms = invocation.options.timeout_ms.or(command.timeout_ms);
    let result = encoded.and_then(|args| match *target {
        Target::Function { pool, mid } => {
            let values = args.into_iter().filter_map(|arg| match arg {
                Argument::Value(value) => Some(value),
                Argument::File(_) => None,
            });
            let call = Call {
                pool,
                mid,
                args: values.collect(),
                timeout_ms,
            };
            session.call(call).map(Some)
        }
        Target::Expression(root) => session.evaluate(Composition {
            root,
            args: args.into_iter().zip(command.args.iter().map(Arg::ty)).collect(),
            returns: command.returns.ty,
            timeout_ms,
            printed: output::as_written(types, command.returns.ty, invocation.options.output),
        }),
    });
    let answered_us = now_us();
    let marks = session.take_timeline();
    session.finish();
    if let Some(timeline) = timeline {
        *timeline = Timeline {
            started_us,
            marks,
            answered_us,
            finished_us: now_us(),
        };
    }
    result
}

/// Runs a command of a deployment of a server, the only one if none is named, and returns its result as msgpack.
///
/// # Errors
/// What the arguments, the server, the pools or the function say.
pub fn ask(
    client: &mut Client,
    deployment: Option<&str>,
    manifest: &Manifest,
    invocation: &Invocation<'_>,
) -> Result<Vec<u8>> {
    let command = invocation.command;
    let mut ask = Ask::new("call").optional(deployment).text(&full_name(command));
    for (position, source) in invocation.args.iter().enumerate() {
        let arg = input::encode(&manifest.types, command, position, source)?;
        ask.params.push(arg);
        ask.count += 1;
    }
    ask.timeout_ms = invocation.options.timeout_ms.or(command.timeout_ms);
    client.take_signals()?;
    let mut notes = Notes::default();
    let answer = client.request(ask, &mut |told| notes.show_told(&manifest.name, told));
    notes.finish();
    answer
}
