//! Why an evaluation stops: what a `catch` may catch, and what ends the command in any case.

use crate::error::{Error, Kind};
use crate::ids::TypeId;
use crate::limits::DEPTH_MAX;

/// What an evaluation stops with instead of a value.
#[derive(Debug)]
pub enum Stop {
    /// Raised by the program: `throw`, text that can't be read, an index out of range.
    Raised(Box<Error>),
    /// A budget is used up, or values don't fit what the expression does with them.
    Fatal(Box<Error>),
    /// The step has to wait, and will be taken again; it has changed nothing.
    Wait(On),
    /// The step needs to see what the payload of a slot holds, a value of that type, and will be taken again.
    Look(TypeId, u32),
}

/// What a step waits for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum On {
    /// The value of a slot.
    Slot(u32),
    /// All that was begun in a scope.
    Scope(u32),
    /// That something that is asked for is answered: as much is asked for as may be.
    Room,
}

/// What the steps of an evaluation return.
pub type Eval<T = ()> = Result<T, Stop>;

impl Stop {
    /// The program raises.
    #[cold]
    pub fn raised(message: impl Into<String>) -> Stop {
        Stop::Raised(Error::new(Kind::Raised, message))
    }

    /// The expression is wrong in a way that only shows when its values meet.
    #[cold]
    pub fn misfit(message: impl Into<String>) -> Stop {
        let error = Error::new(Kind::Manifest, message);
        Stop::Fatal(error.hint("the expression and its types disagree; build the program again"))
    }

    /// The step budget is used up.
    #[cold]
    pub fn too_long(steps_max: u64) -> Stop {
        let message = format!("evaluation takes more than {steps_max} steps, the limit of an expression");
        Stop::over_budget(message)
    }

    /// The size budget is used up.
    #[cold]
    pub fn too_large(bytes_max: usize) -> Stop {
        let message = format!("evaluation needs more than {bytes_max} bytes, the limit of an expression");
        Stop::over_budget(message)
    }

    /// A value nests too deep for a wire format.
    #[cold]
    pub fn too_deep() -> Stop {
        Stop::over_budget(format!("value nests deeper than {DEPTH_MAX} levels"))
    }

    fn over_budget(message: String) -> Stop {
        Stop::Fatal(Error::new(Kind::Raised, message).hint("do this in a pool's function"))
    }

    /// The error inside.
    pub fn error(self) -> Box<Error> {
        match self {
            Stop::Raised(error) | Stop::Fatal(error) => error,
            // Whoever runs steps takes them again.
            Stop::Wait(_) | Stop::Look(..) => Error::new(Kind::Io, "value has not come"),
        }
    }
}
