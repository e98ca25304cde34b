//! What compiling gives: commands, and what the pools have to register for them. Holds data only; making a manifest and
//! pools of it is the builder's.

use crate::source::signature::{Doc, Flaw, Param, Record};
use crate::source::types::Type;

/// A program, as far as the notation determines it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Compiled {
    /// After `module`.
    pub name: String,
    /// What stands above it.
    pub desc: Vec<String>,
    /// The pools that are needed, in the order of the manifest: expressions refer to them by position.
    pub pools: Vec<Pool>,
    /// What the pools register. Every use of a function at other types is another instance.
    pub instances: Vec<Instance>,
    /// The exports in their order, then the internal commands.
    pub commands: Vec<Command>,
    /// Every record that a type names, with its fields; aliases in them are expanded.
    pub records: Vec<Record>,
    /// What is legal, but hardly meant. Places are in the composition.
    pub warnings: Vec<Flaw>,
}

/// The functions of one language.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pool {
    /// `py`, `cpp`, `r`, `js`.
    pub lang: String,
    /// The most calls that one `pmap` or `par` makes of it at once; 1 where there is none. The pool should have as many
    /// workers at least.
    pub at_once: u32,
}

/// A sourced function at concrete types: no variables and no aliases in them, only base types and records.
#[derive(Clone, Debug, PartialEq)]
pub struct Instance {
    /// Position in [`Compiled::pools`].
    pub pool: usize,
    /// Its number in that pool, from 1.
    pub mid: u32,
    /// The source file, as the composition names it.
    pub file: String,
    /// The name in that file.
    pub function: String,
    /// The parameters as the source describes them, at the types of this instance.
    pub params: Vec<Param>,
    /// The result.
    pub returns: Type,
    /// The schemas of the parameters.
    pub arg_schemas: Vec<String>,
    /// The schema of the result.
    pub return_schema: String,
}

/// A command of the program.
#[derive(Clone, Debug, PartialEq)]
pub struct Command {
    /// As it is typed: the name in the composition, unless its documentation gives another.
    pub name: String,
    /// Only expressions start it, as a worker.
    pub is_internal: bool,
    /// What is said about it.
    pub doc: Doc,
    /// What it takes, with concrete types; aliases are expanded, so that only records are named.
    pub params: Vec<Param>,
    /// What it gives.
    pub returns: Type,
    /// The schemas of the parameters.
    pub arg_schemas: Vec<String>,
    /// The schema of the result.
    pub return_schema: String,
    /// How it is done.
    pub body: Body,
}

/// How a command is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// `remote`: it is a sourced function, by its position in [`Compiled::instances`].
    Remote(usize),
    /// `pure`: the expression, as JSON text. Of a command with parameters it gives a function.
    Pure(String),
    /// `composed`: the expression, likewise, and what it needs.
    Composed {
        /// JSON text.
        expr: String,
        /// Positions in [`Compiled::pools`], ascending.
        needed_pools: Vec<usize>,
    },
}
