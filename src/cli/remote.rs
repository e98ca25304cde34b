//! A command that pools run, from its sources to its result. The loop itself is the shell's.

use crate::cli::input;
use crate::cli::request::Invocation;
use crate::error::Result;
use crate::ids::PoolId;
use crate::manifest::model::Manifest;
use crate::shell::session::{Call, Session};
use std::path::Path;

/// The function to call, and the pools that it may need.
pub struct Target<'m> {
    /// The pool that has it.
    pub pool: PoolId,
    /// Under which the pool finds it.
    pub mid: i64,
    /// All pools to start.
    pub needed: &'m [PoolId],
}

/// Runs a command whose function is in a pool, and returns its result as msgpack; `path` is the manifest's. The pools are gone by then: whoever
/// prints a large result can be interrupted as any other program.
///
/// # Errors
/// What the arguments, the pools or the function say.
pub fn run(
    manifest: &Manifest,
    path: &Path,
    target: &Target<'_>,
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
    let mut session = Session::start(manifest, path, target.needed)?;
    let encoded: Result<Vec<Vec<u8>>> = args
        .into_iter()
        .enumerate()
        .map(|(position, arg)| arg.map_or_else(|| encode(position), Ok))
        .collect();
    let timeout_ms = invocation.options.timeout_ms.or(command.timeout_ms);
    let result = encoded.and_then(|args| {
        session.call(Call {
            pool: target.pool,
            mid: target.mid,
            args,
            timeout_ms,
        })
    });
    session.finish();
    result
}
