//! An expression as its users see it: compiled from text, evaluated with names bound to values. Reads no file.

use crate::error::Result;
use crate::flow::value::Value;

/// An expression that was compiled.
pub struct Cel {}

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
    /// The sentence, the place as `name:line:column`, the line with a caret below it, the hint.
    pub fn render(&self, _name: &str, _text: &str) -> String {
        String::new()
    }
}

impl Cel {
    /// Compiles an expression in which any name may stand.
    ///
    /// # Errors
    /// A text that is no expression, or that uses what isn't supported.
    pub fn compile(_text: &str) -> std::result::Result<Cel, CelError> {
        Ok(Cel {})
    }

    /// Compiles an expression that may use these names only.
    ///
    /// # Errors
    /// As [`Cel::compile`], and an unknown name.
    pub fn compile_with(_text: &str, _names: &[&str]) -> std::result::Result<Cel, CelError> {
        Ok(Cel {})
    }

    /// The value, where these names have these values.
    ///
    /// # Errors
    /// What the expression fails with; the message names the place in it.
    pub fn evaluate(&self, _bindings: &[(&str, &Value)]) -> Result<Value> {
        Ok(Value::Null)
    }
}
