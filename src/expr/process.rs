//! What a composition says of worker processes and pipes: which program, what goes in and what comes out, and how it stands
//! there. Reads and starts nothing.

use crate::ids::TypeId;

/// How a value stands in the bytes that a program reads or writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Not at all.
    None,
    /// A string as it is.
    Text,
    /// A list of strings, each a line.
    Lines,
    /// Bytes as they are.
    Bytes,
    /// One JSON text.
    Json,
    /// A list, each element a line of JSON.
    Jsonl,
}

impl Form {
    /// The forms under their names.
    pub const ALL: [(&'static str, Form); 6] = [
        ("none", Form::None),
        ("text", Form::Text),
        ("lines", Form::Lines),
        ("bytes", Form::Bytes),
        ("json", Form::Json),
        ("jsonl", Form::Jsonl),
    ];
}

/// What goes through a program of the system.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Conversion {
    /// Type of what it reads.
    pub input: TypeId,
    /// Type of what it writes.
    pub output: TypeId,
    /// How that stands in its input.
    pub input_form: Form,
    /// How it stands in its output.
    pub output_form: Form,
}

/// A kind of worker process: what it runs and what its messages are.
#[derive(Clone, Debug, PartialEq)]
pub struct Channel {
    /// The command that it runs; none: a program of the system.
    pub command: Option<Box<str>>,
    /// Options are given.
    pub has_options: bool,
    /// Types of what is sent at once.
    pub sends: Box<[TypeId]>,
    /// Type of a message from it.
    pub receives: TypeId,
}

/// What is done with a worker process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// Sends a message.
    Send,
    /// Takes the next message, or null at the end.
    Receive,
    /// Sends a message and takes the next.
    Talk,
    /// Ends its input.
    Close,
    /// Kills it.
    Kill,
    /// Its exit code, once it has ended.
    Wait,
    /// Whether it runs.
    Alive,
    /// Its process id.
    Pid,
    /// Its exit code, or null while it runs.
    ExitCode,
    /// Of a list of them: the position of the first that has a message, and the message.
    Select,
}

impl Verb {
    /// The tags of all.
    pub const ALL: [(&'static str, Verb); 10] = [
        ("send", Verb::Send),
        ("receive", Verb::Receive),
        ("talk", Verb::Talk),
        ("close", Verb::Close),
        ("kill", Verb::Kill),
        ("wait", Verb::Wait),
        ("alive", Verb::Alive),
        ("pid", Verb::Pid),
        ("exit_code", Verb::ExitCode),
        ("select", Verb::Select),
    ];
}

/// One stage of a pipe.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Stage {
    /// A function of each item; so many at once as an argument of its own says, if there is one.
    Each {
        /// Type of an item.
        input: TypeId,
        /// Type of a result.
        output: TypeId,
        /// It has a width.
        has_width: bool,
    },
    /// A program.
    Cmd(Conversion),
}

/// A value that goes through stages.
#[derive(Clone, Debug, PartialEq)]
pub struct Pipe {
    /// Type of the value.
    pub source: TypeId,
    /// The stages, at least one.
    pub stages: Box<[Stage]>,
    /// Type of what comes out.
    pub output: TypeId,
}
