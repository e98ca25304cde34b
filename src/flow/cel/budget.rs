//! What one evaluation may still do, and the errors that all its parts raise. Evaluates nothing.

use crate::error::{Error, Kind, Result};
use crate::flow::value::Value;
use crate::limits::{FLOW_CEL_STEPS_MAX, FLOW_CEL_WORK_MAX};

/// Work of a value that is looked at or made, beside that of a byte.
pub(super) const VALUE_WORK: usize = 16;

/// Steps and work that are left.
pub(super) struct Budget {
    steps: u32,
    work: usize,
}

impl Budget {
    pub fn new() -> Budget {
        Budget {
            steps: FLOW_CEL_STEPS_MAX,
            work: FLOW_CEL_WORK_MAX,
        }
    }

    /// One node more.
    pub fn step(&mut self) -> Result<()> {
        if self.steps == 0 {
            return Err(raised(format!(
                "the expression takes more than {FLOW_CEL_STEPS_MAX} steps"
            )));
        }
        self.steps -= 1;
        Ok(())
    }

    /// So many bytes more.
    pub fn work(&mut self, bytes: usize) -> Result<()> {
        if bytes > self.work {
            self.work = 0;
            self.steps = 0;
            return Err(raised(format!(
                "the expression makes or looks through more than {FLOW_CEL_WORK_MAX} bytes"
            )));
        }
        self.work -= bytes;
        Ok(())
    }

    /// So many values more.
    pub fn values(&mut self, count: usize) -> Result<()> {
        self.work(count.saturating_mul(VALUE_WORK))
    }

    /// Whether nothing may go on: no operator hides that.
    pub fn is_spent(&self) -> bool {
        self.steps == 0
    }
}

/// An error of what was done.
pub(super) fn raised(message: impl Into<String>) -> Box<Error> {
    Error::new(Kind::Raised, message)
}

/// An error of what it was done with.
pub(super) fn bad(message: impl Into<String>) -> Box<Error> {
    Error::new(Kind::BadArgument, message)
}

/// The error that something isn't done with such a value.
pub(super) fn unfit(what: &str, value: &Value) -> Box<Error> {
    bad(format!("{what} doesn't take {}", name(value)))
}

/// The word for a value, where the two kinds of integers differ.
pub(super) fn name(value: &Value) -> &'static str {
    match value {
        Value::Uint(_) => "an unsigned integer",
        _ => value.name(),
    }
}
