//! The words that make a program a server of the Model Context Protocol on its own streams. Serves nothing itself.

use crate::cli::program;
use crate::cli::request::{groups, only_command, timeout_ms};
use crate::error::Result;
use crate::manifest::model::Manifest;
use crate::shell::mcp;
use std::path::Path;
use std::process::ExitCode;
use std::rc::Rc;

/// The word for it behind the name of a program.
pub const WORD: &str = "mcp";

/// Whether those words of a program ask for it. What is a command, a group or an argument of the program stays that.
pub fn is_asked(manifest: &Manifest, words: &[String]) -> bool {
    let is_own = |word: &str| {
        only_command(manifest).is_some()
            || groups(manifest).any(|group| group == word)
            || manifest.commands.iter().any(|command| command.name == word)
    };
    matches!(words, [word] if word == WORD && !is_own(word))
}

/// Serves a program until standard input ends.
///
/// # Errors
/// As those of [`mcp::serve`].
pub fn serve(path: &Path, manifest: &Rc<Manifest>, name: &str, timeout_ms: Option<u64>) -> Result<ExitCode> {
    mcp::serve(manifest, path, name, timeout_ms).map(|()| ExitCode::SUCCESS)
}

/// Serves the program of that path, whatever its own commands are called.
///
/// # Errors
/// Kind `usage`: a wrong timeout.
pub fn serve_path(path: &str, timeout: Option<&str>) -> Result<ExitCode> {
    let timeout_ms = timeout.map(timeout_ms).transpose()?;
    let path = Path::new(path);
    let name = path.file_stem().unwrap_or_default().to_string_lossy();
    Ok(program::with_manifest(path, &name, |path, manifest| {
        serve(path, manifest, &name, timeout_ms)
    }))
}
