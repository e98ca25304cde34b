//! Types of expressions (Hindley and Milner, with let-polymorphism): what every expression is, and at which types every
//! name is used. Writes nothing.

mod apply;
mod complain;
mod expression;
mod pattern;
mod pipe;
mod program;

pub use pipe::Stage;
pub use program::{Inferred, infer};
