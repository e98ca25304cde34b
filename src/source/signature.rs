//! What is known of a function from its source: its types, and what people say about it. Reads nothing itself.

use super::types::Type;

/// Where something stands in a source: line and column count from 1, the column in characters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The line.
    pub line: u32,
    /// The character in it.
    pub column: u32,
}

/// One thing that is wrong with a source, or that will go wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flaw {
    /// Where.
    pub place: Place,
    /// How many characters are meant, at least 1: the length of the line of carets.
    pub len: u32,
    /// One lowercase sentence.
    pub message: String,
    /// What to write instead.
    pub hint: Option<String>,
}

/// The exported functions and the records of one source file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Library {
    /// In the order of the file.
    pub functions: Vec<Signature>,
    /// Records that the signatures may name.
    pub records: Vec<Record>,
    /// Further flags for the compiler, from `flags:` lines (C++).
    pub flags: Vec<String>,
    /// What is legal, but will go wrong later.
    pub warnings: Vec<Flaw>,
    /// The records that its types name, where they do, for who knows the records of all files.
    pub mentions: Vec<Mention>,
    /// How the file gives its functions away (JavaScript).
    pub exports: Exports,
}

/// The name of a record or of another name for a type, where it is used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mention {
    /// The name.
    pub name: String,
    /// Its first character.
    pub place: Place,
}

/// How a file of JavaScript gives its functions away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Exports {
    /// Not at all: what loads it has to add `module.exports = { ... }` behind its last line.
    #[default]
    Nothing,
    /// By `module.exports` or `exports`.
    CommonJs,
    /// By `export`: an ES module.
    Module,
}

/// An exported function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    /// Its name in its language; of C++ with its namespaces.
    pub name: String,
    /// Where its name stands in the source.
    pub place: Place,
    /// What it takes.
    pub params: Vec<Param>,
    /// What it gives.
    pub returns: Type,
    /// What is said about it.
    pub doc: Doc,
}

/// A parameter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Param {
    /// Its name in the source, if it has one.
    pub name: Option<String>,
    /// What it takes.
    pub ty: Type,
    /// It can only be given by its name (Python's `*`), so that the generated code has to.
    pub is_keyword: bool,
    /// What is said about it.
    pub doc: ParamDoc,
}

/// What is said about a function.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Doc {
    /// Lines; the first is the summary.
    pub desc: Vec<String>,
    /// `name:` the command's name, if not the function's.
    pub name: Option<String>,
    /// `group:` the word before the command.
    pub group: Option<String>,
    /// `return:` what is said of the result.
    pub returns: Vec<String>,
    /// `example:` command lines.
    pub examples: Vec<String>,
    /// `timeout:` seconds after which a run ends, in milliseconds.
    pub timeout_ms: Option<u64>,
}

/// What is said about a parameter, a field of a record, or a type.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ParamDoc {
    /// Lines.
    pub desc: Vec<String>,
    /// `metavar:` the word for it in the usage line.
    pub metavar: Option<String>,
    /// `arg: -k/--neighbours` makes it an option.
    pub short: Option<char>,
    /// Without dashes.
    pub long: Option<String>,
    /// `default:` as JSON text; of a parameter with a default in its language, that default.
    pub default: Option<String>,
    /// `true: -v/--verbose` or `false: -q/--quiet` makes a boolean a flag; this is the word that unsets it, without dashes.
    pub long_rev: Option<String>,
    /// It is a flag.
    pub is_flag: bool,
    /// `unroll: true`: a record whose fields become options.
    pub is_unrolled: bool,
}

/// A record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its name, with a capital letter.
    pub name: String,
    /// Where that stands.
    pub place: Place,
    /// In their order.
    pub fields: Vec<Field>,
    /// What is said about it.
    pub doc: ParamDoc,
}

/// A field of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// Its key.
    pub name: String,
    /// Its type.
    pub ty: Type,
    /// What is said about it.
    pub doc: ParamDoc,
}
