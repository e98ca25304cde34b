//! The first decision: the binary is the tool under the name `nexus`, and a program under every other. Does the work of
//! neither.

use crate::cli::{program, report, tool};
use crate::codec::quote::quote;
use crate::error::{Error, Kind};
use crate::sys::process::exec_path;
use crate::sys::{memory, trap};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// The name under which the binary is the tool.
const TOOL: &str = "nexus";

/// Where nexus finds itself when it starts itself as a worker process: the words are a program and what follows its name.
pub const SELF: &str = "/proc/self/exe";

/// Runs the process and returns its exit code.
pub fn main() -> ExitCode {
    trap::prepare();
    memory::prepare();
    let mut words = std::env::args_os();
    let called = words.next().map(PathBuf::from);
    let path = exec_path().or(called).unwrap_or_default();
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let words: Result<Vec<String>, _> = words.map(|word| word.into_string()).collect();
    let words = match words {
        Ok(words) => words,
        Err(word) => {
            let message = format!("argument {} is not valid UTF-8", quote(word.as_bytes()));
            let hint = "write binary data to a file and give the file as @FILE";
            return report::print(&name, &Error::new(Kind::Usage, message).hint(hint));
        }
    };
    match name == TOOL {
        true => tool::run(&words),
        false if path == Path::new(SELF) => tool::run_itself(&words),
        false => program::run(&path, &name, &words),
    }
}
