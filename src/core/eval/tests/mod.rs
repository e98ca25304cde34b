//! Tables of expressions and their values, and what must end in an error instead of a crash.

mod bounds;
mod build;
mod operators;
mod places;
mod play;
mod tags;
mod together;
