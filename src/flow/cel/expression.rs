//! An expression as its users see it: compiled from text, evaluated with names bound to values. Reads no file.

use super::arena::{Arena, NodeId};
use super::machine::Machine;
use super::parser::parse;
use crate::error::{Error, Result};
use crate::flow::value::Value;
use crate::limits::FLOW_CEL_SHOWN_CHARS_MAX;
use crate::source::flaw::render;
use crate::source::signature::{Flaw, Place};

/// An expression that was compiled.
pub struct Cel {
    arena: Arena,
    text: Box<str>,
    /// Whether the value may be larger than what it is made of.
    builds: bool,
}

/// Why a text is no expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CelError {
    /// Where, in bytes from the start of the text.
    pub offset: usize,
    /// One lowercase sentence.
    pub message: String,
    /// What to write instead.
    pub hint: Option<String>,
}

impl CelError {
    pub(super) fn new(offset: usize, message: impl Into<String>) -> CelError {
        CelError {
            offset,
            message: message.into(),
            hint: None,
        }
    }

    pub(super) fn hint(mut self, hint: &str) -> CelError {
        self.hint = Some(hint.to_string());
        self
    }

    /// Line and column in the text, both from 1, the column in characters.
    pub fn place(&self, text: &str) -> (u32, u32) {
        place(text, self.offset)
    }

    /// The sentence, the place as `name:line:column`, the line with a caret below it, the hint.
    pub fn render(&self, name: &str, text: &str) -> String {
        let (line, column) = self.place(text);
        let mut flaw = Flaw::new(Place { line, column }, 1, &*self.message);
        flaw.hint = self.hint.clone();
        render(name, text, &flaw)
    }
}

impl Cel {
    /// Compiles an expression in which any name may stand; one that isn't bound is an error of the evaluation.
    ///
    /// # Errors
    /// A text that is no expression, or that uses what isn't supported.
    pub fn compile(text: &str) -> std::result::Result<Cel, CelError> {
        compile(text, None)
    }

    /// Compiles an expression that may use these names only.
    ///
    /// # Errors
    /// As [`Cel::compile`], and an unknown name.
    pub fn compile_with(text: &str, names: &[&str]) -> std::result::Result<Cel, CelError> {
        compile(text, Some(names))
    }

    /// The value, where these names have these values.
    ///
    /// # Errors
    /// What the expression fails with; the message names the place in it. A field, key, element or name that isn't there
    /// and a value of the wrong kind are bad arguments, all else is raised.
    pub fn evaluate(&self, bindings: &[(&str, &Value)]) -> Result<Value> {
        let root = self.arena.nodes.len() as NodeId - 1;
        let found = Machine::new(&self.arena, bindings).run(root, self.builds);
        found.map_err(|(error, id)| self.locate(error, id))
    }

    /// The error with its place in the expression.
    fn locate(&self, mut error: Box<Error>, id: NodeId) -> Box<Error> {
        let (line, column) = place(&self.text, self.arena.offsets[id as usize] as usize);
        let shown: String = self.text.chars().take(FLOW_CEL_SHOWN_CHARS_MAX).collect();
        let cut = if shown.len() < self.text.len() { "…" } else { "" };
        let shown = shown.split_whitespace().collect::<Vec<&str>>().join(" ");
        error.message = format!("{}, at {line}:{column} of '{shown}{cut}'", error.message);
        error
    }
}

fn compile(text: &str, names: Option<&[&str]>) -> std::result::Result<Cel, CelError> {
    let (arena, builds) = parse(text, names)?;
    Ok(Cel {
        arena,
        text: text.into(),
        builds,
    })
}

/// Line and column of an offset, both from 1, the column in characters.
fn place(text: &str, offset: usize) -> (u32, u32) {
    let before = text.get(..offset).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let start = before.rfind('\n').map_or(0, |end| end + 1);
    (line as u32, before[start..].chars().count() as u32 + 1)
}
