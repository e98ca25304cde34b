//! Compiling a composition: names, then types, then expressions. Opens no file: the libraries are what was read of the
//! sources.

use crate::compose::ast::Module;
use crate::compose::compiled::Compiled;
use crate::compose::infer::infer;
use crate::compose::lower::lower;
use crate::compose::resolve::resolve;
use crate::limits::FLAWS_MAX;
use crate::source::signature::{Flaw, Library};

/// A source file that was read.
#[derive(Clone, Copy, Debug)]
pub struct Sourced<'s> {
    /// Its path as the composition names it.
    pub file: &'s str,
    /// `py`, `cpp`, `r`, `js`.
    pub lang: &'s str,
    /// What it exports.
    pub library: &'s Library,
}

/// Compiles a composition; `file` is its name, for traces.
///
/// # Errors
/// All that is wrong with its names, or else with its types, in the order of the text. Places are in the composition.
pub fn compile(file: &str, module: &Module, libraries: &[Sourced<'_>]) -> Result<Compiled, Vec<Flaw>> {
    let mut names = resolve(module, libraries);
    let mut flaws = std::mem::take(&mut names.flaws);
    let mut warnings = std::mem::take(&mut names.warnings);
    if flaws.is_empty() {
        let compiled = infer(module, libraries, &names).and_then(|(inferred, mut more)| {
            warnings.append(&mut more);
            lower(file, module, &names, inferred)
        });
        match compiled {
            Ok(mut compiled) => {
                warnings.append(&mut compiled.warnings);
                compiled.warnings = sorted(warnings);
                return Ok(compiled);
            }
            Err(found) => flaws = found,
        }
    }
    Err(sorted(flaws))
}

/// In the order of the text.
fn sorted(mut flaws: Vec<Flaw>) -> Vec<Flaw> {
    flaws.sort_by_key(|flaw| flaw.place);
    flaws.truncate(FLAWS_MAX);
    flaws
}

#[cfg(test)]
mod tests;
