//! Arguments of a command as they come from others: msgpack values, one after the other in the order of its parameters. Checks
//! each by its type and brings it into canonical form; knows neither names nor defaults.

use crate::codec::msgpack::Reader;
use crate::codec::schema::Types;
use crate::codec::transcode::msgpack_to_msgpack;
use crate::error::{Error, Kind, Result};
use crate::manifest::model::Command;

/// The arguments of a command, one canonical msgpack value for each parameter, from `count` values that stand one after the
/// other in `bytes`.
///
/// # Errors
/// Kind `bad_argument`: there are more or fewer than the command takes, one does not fit its type, or something comes after the
/// last.
pub fn positional(types: &Types, command: &Command, count: usize, bytes: &[u8]) -> Result<Vec<Vec<u8>>> {
    check_count(command, count)?;
    let malformed = |what: &str| Error::new(Kind::BadArgument, format!("arguments can't be read: {what}"));
    let mut reader = Reader::new(bytes);
    let mut args = Vec::with_capacity(command.args.len());
    for arg in &command.args {
        let bytes = reader.skip().map_err(|error| malformed(&error.to_string()))?;
        let mut out = Vec::with_capacity(bytes.len());
        msgpack_to_msgpack(types, arg.ty(), bytes, &mut out).map_err(|error| {
            let message = format!("argument {}: {}", args.len() + 1, error.message);
            Error::new(Kind::BadArgument, message).at(error.path)
        })?;
        args.push(out);
    }
    match reader.is_done() {
        true => Ok(args),
        false => Err(malformed("something comes after the last")),
    }
}

/// Checks how many arguments there are.
///
/// # Errors
/// Kind `bad_argument`: more or fewer than the command takes.
pub fn check_count(command: &Command, found: usize) -> Result<()> {
    match command.args.len() {
        expected if expected == found => Ok(()),
        expected => {
            let message = format!("found {found} arguments, expected {expected}");
            Err(Error::new(Kind::BadArgument, message))
        }
    }
}
