//! A command for which pools run, from its sources to its result. The loop itself is the shell's.

use crate::cli::input;
use crate::cli::request::Invocation;
use crate::error::Result;
use crate::ids::{ExprId, PoolId};
use crate::manifest::model::{Arg, Manifest};
use crate::shell::composed::Composition;
use crate::shell::session::{Call, Session};
use std::path::Path;

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

/// Runs a command for which these pools are started, and returns its result as msgpack. The pools are gone by then: whoever
/// prints a large result can be interrupted as any other program.
///
/// # Errors
/// What the arguments, the pools or the function say.
pub fn run(
    manifest: &Manifest,
    base: &Path,
    needed: &[PoolId],
    target: &Target,
    invocation: &Invocation<'_>,
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
    let mut session = Session::start(manifest, base, needed)?;
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
    session.finish();
    result
}
