//! A command for which pools run, from its sources to its result. The loop itself is the shell's.

use crate::cli::input;
use crate::cli::request::Invocation;
use crate::core::timeline::Mark;
use crate::error::Result;
use crate::ids::{ExprId, PoolId};
use crate::manifest::model::{Arg, Manifest};
use crate::shell::composed::Composition;
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

/// Runs a command for which these pools are started, and returns its result as msgpack; `path` is the manifest's. The pools
/// are gone by then: whoever
/// prints a large result can be interrupted as any other program.
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
) -> Result<Vec<u8>> {
    let command = invocation.command;
    let encode =
        |position: usize| input::encode(&manifest.types, command, position, &invocation.args[position]);
    let mut args: Vec<Option<Vec<u8>>> = invocation.args.iter().map(|_| None).collect();
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
    let encoded: Result<Vec<Vec<u8>>> = args
        .into_iter()
        .enumerate()
        .map(|(position, arg)| arg.map_or_else(|| encode(position), Ok))
        .collect();
    let timeout_ms = invocation.options.timeout_ms.or(command.timeout_ms);
    let result = encoded.and_then(|args| match *target {
        Target::Function { pool, mid } => session.call(Call {
            pool,
            mid,
            args,
            timeout_ms,
        }),
        Target::Expression(root) => session.evaluate(Composition {
            root,
            args: args.into_iter().zip(command.args.iter().map(Arg::ty)).collect(),
            returns: command.returns.ty,
            timeout_ms,
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
