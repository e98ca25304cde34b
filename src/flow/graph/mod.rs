//! The symbol table of a namespace: nodes linked by name, which of them are active, and how one table takes the place of
//! another. Runs nothing.

mod activation;
pub mod change;
pub mod nodes;
mod order;
pub mod status;
pub mod symbol;
pub mod text;
