//! Prints signatures and records as comments have them: what is read back is the same, but for places and the names of
//! parameters. Knows no language's signs of comments.

use super::comment::is_prose;
use super::signature::{ParamDoc, Record, Signature};
use super::types::Type;
use std::fmt::{self, Formatter};

impl ParamDoc {
    /// Its lines behind `--'`.
    fn print(&self, out: &mut Formatter<'_>) -> fmt::Result {
        for line in &self.desc {
            writeln!(out, "  --' {line}")?;
        }
        if let Some(metavar) = &self.metavar {
            writeln!(out, "  --' metavar: {metavar}")?;
        }
        let mut short = self.short;
        let keys = match self.is_flag {
            true => ["true", "false"],
            false => ["arg", "arg"],
        };
        let is_only_false = self.is_flag && self.long.is_none();
        for (key, long) in keys.into_iter().zip([&self.long, &self.long_rev]) {
            let letter = if is_only_false && key == "true" {
                None
            } else {
                short.take()
            };
            match (letter, long) {
                (Some(letter), Some(long)) => writeln!(out, "  --' {key}: -{letter}/--{long}")?,
                (Some(letter), None) => writeln!(out, "  --' {key}: -{letter}")?,
                (None, Some(long)) => writeln!(out, "  --' {key}: --{long}")?,
                (None, None) => {}
            }
        }
        if let Some(default) = &self.default {
            writeln!(out, "  --' default: {default}")?;
        }
        if self.is_unrolled {
            writeln!(out, "  --' unroll: true")?;
        }
        Ok(())
    }
}

/// A type between arrows.
struct Operand<'t>(&'t Type);

impl fmt::Display for Operand<'_> {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        match self.0 {
            Type::Function(..) => write!(out, "({})", self.0),
            ty => write!(out, "{ty}"),
        }
    }
}

/// The lines of a comment above the function; what is said of a parameter stands above its type.
impl fmt::Display for Signature {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        let doc = &self.doc;
        for line in &doc.desc {
            let is_taken = |name: &str| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(':'));
            let names = self.params.iter().filter_map(|param| param.name.as_deref());
            match is_prose(line) && !names.into_iter().any(is_taken) {
                true => writeln!(out, "{line}")?,
                false => writeln!(out, "@description {line}")?,
            }
        }
        for (key, value) in [("name", &doc.name), ("group", &doc.group)] {
            if let Some(value) = value {
                writeln!(out, "{key}: {value}")?;
            }
        }
        for line in &doc.returns {
            writeln!(out, "return: {line}")?;
        }
        for line in &doc.examples {
            writeln!(out, "example: {line}")?;
        }
        if let Some(ms) = doc.timeout_ms {
            writeln!(out, "timeout: {}.{:03}", ms / 1000, ms % 1000)?;
        }
        let is_plain = self.params.iter().all(|param| param.doc == ParamDoc::default());
        write!(out, "{} ::", self.name)?;
        if !is_plain {
            writeln!(out)?;
        }
        for param in &self.params {
            match is_plain {
                true => write!(out, " {} ->", Operand(&param.ty))?,
                false => {
                    param.doc.print(out)?;
                    writeln!(out, "  {} ->", Operand(&param.ty))?;
                }
            }
        }
        let indent = if is_plain { "" } else { " " };
        writeln!(out, "{indent} {}", Operand(&self.returns))
    }
}

/// The lines of a declaration.
impl fmt::Display for Record {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        writeln!(out, "record {0} = {0} {{", self.name)?;
        for (position, field) in self.fields.iter().enumerate() {
            field.doc.print(out)?;
            let comma = if position + 1 < self.fields.len() { "," } else { "" };
            writeln!(out, "  {} :: {}{comma}", field.name, field.ty)?;
        }
        writeln!(out, "}}")
    }
}
