//! What the engine asks of a kind of node, and what a node asks of the engine. Runs nothing.

use crate::error::{Error, Result};
use crate::flow::engine::RunId;
use crate::flow::graph::symbol::Symbol;
use crate::flow::run::trace::Trace;
use crate::flow::spec::{Port, Spec};
use crate::flow::value::Value;
use std::rc::Rc;

/// The answer to a packet: exactly one for each.
pub type Outcome = std::result::Result<Value, Rc<Error>>;

/// A node as it was built from its spec. All runs share it: what belongs to one packet is in the [`FrameState`].
pub trait Node {
    /// Whether packets may be sent to it there.
    fn has_in(&self, port: &Port) -> bool {
        *port == Port::IN
    }

    /// Whether links may lead away from there.
    fn has_out(&self, port: &Port) -> bool {
        *port == Port::OUT || *port == Port::ERROR
    }

    /// A packet has come.
    fn receive(&self, port: &Port, packet: Value, frame: &mut FrameState, cx: &Context) -> Step;

    /// What the last step asked for is there. By default the end of the node.
    fn resume(&self, event: Event, _frame: &mut FrameState, _cx: &Context) -> Step {
        Step::Finish(event.outcome())
    }

    /// The nodes inside, in the order in which packets go through them: [`Step::Enter`] sends to the first.
    fn inner(&self) -> &[Spec] {
        &[]
    }

    /// What starts runs from outside while the node is active.
    fn service(&self) -> Option<Service> {
        None
    }

    /// The program and the command that it calls; the program is empty for whichever has the command. It is active as long as
    /// that is served.
    fn command(&self) -> Option<(&Rc<str>, &Rc<str>)> {
        None
    }

    /// Whether it looks at what other nodes have been sent, so that whole values are kept while a run goes on.
    fn reads_trace(&self) -> bool {
        false
    }
}

/// What follows from a packet or an event. Each but the first two is answered by one event to `resume`.
#[derive(Debug)]
pub enum Step {
    /// The end: a value goes to `out` if that is linked and its answer is the node's, else it is the answer itself; an error, own or
    /// answered through `out`, goes to `error` if that is linked.
    Finish(Outcome),
    /// The end without `out`: a value is the answer; an error goes to `error` if that is linked.
    Answer(Outcome),
    /// Sends to all links of a port: [`Event::Answered`]. Where there is no link, the packet itself is the answer.
    Send {
        /// Where.
        port: Port,
        /// What.
        packet: Value,
    },
    /// Sends all, so many at once (at least one), none further after an error: [`Event::AllAnswered`] with one for each that was
    /// sent, in order.
    SendAll {
        /// Where and what.
        packets: Vec<(Port, Value)>,
        /// How many at once.
        width: usize,
    },
    /// Sends to the first node inside: [`Event::Answered`].
    Enter(Value),
    /// Asks the world: [`Event::Done`].
    Do(Work),
    /// Waits: [`Event::Woken`].
    Sleep {
        /// How long, in milliseconds.
        ms: u64,
    },
    /// Waits for the other inputs of a node with several, `in[0]` to the last that is linked: [`Event::Released`] with a list for
    /// the packet of `in[0]`; the others are answered along with it.
    Hold(Value),
    /// Sends to a port in a run of its own, which ends with this one at the latest: [`Event::Forked`].
    Fork {
        /// Where.
        port: Port,
        /// What.
        packet: Value,
    },
}

/// What a frame has waited for.
#[derive(Debug)]
pub enum Event {
    /// The answers of all links, joined.
    Answered(Outcome),
    /// The answers to what was sent, in its order.
    AllAnswered(Vec<Outcome>),
    /// The answer of the world.
    Done(Outcome),
    /// The time is over.
    Woken,
    /// What the inputs brought: a list.
    Released(Value),
    /// The other run has begun, or could not.
    Forked(std::result::Result<RunId, Rc<Error>>),
}

impl Event {
    /// What it brings as one answer.
    pub fn outcome(self) -> Outcome {
        match self {
            Event::Answered(outcome) | Event::Done(outcome) => outcome,
            Event::AllAnswered(outcomes) => {
                let values: std::result::Result<Vec<Value>, _> = outcomes.into_iter().collect();
                values.map(Value::list)
            }
            Event::Woken => Ok(Value::Null),
            Event::Released(list) => Ok(list),
            Event::Forked(run) => run.map(|_| Value::Null),
        }
    }
}

/// What a node remembers of one packet, as it likes.
#[derive(Debug, Default)]
pub struct FrameState {
    /// How far it is.
    pub stage: u32,
    /// A packet, or another value.
    pub value: Value,
}

/// What a node may know of where it runs.
pub struct Context<'a> {
    /// Now, in milliseconds of the engine's clock.
    pub now_ms: u64,
    /// The run.
    pub run: RunId,
    pub(in crate::flow) symbol: &'a Symbol,
    pub(in crate::flow) trace: &'a Trace,
}

impl Context<'_> {
    /// The name of the node.
    pub fn node(&self) -> &str {
        &self.symbol.name
    }

    /// Whether something is linked there.
    pub fn is_linked(&self, port: &Port) -> bool {
        !self.symbol.ways(port).is_empty()
    }

    /// What has happened in the run.
    pub fn trace(&self) -> &Trace {
        self.trace
    }
}

/// What the world is asked to do for a frame; answered once by `Engine::handle_done`.
#[derive(Clone, Debug, PartialEq)]
pub enum Work {
    /// A command of a program that is served.
    Call {
        /// The program; empty where only the command is named.
        program: Rc<str>,
        /// The command.
        command: Rc<str>,
        /// A map by name, a list by position, anything else as the one argument.
        args: Value,
    },
    /// Code of a language that runs in a pool.
    Snippet {
        /// `javascript`, `python` or `r`.
        language: Rc<str>,
        /// The code.
        code: Rc<str>,
        /// The packet.
        arg: Value,
    },
    /// A statement, within the transaction of its run.
    Sql {
        /// The file of the database, or `:memory:`.
        source: Rc<str>,
        /// The statement.
        statement: Rc<str>,
        /// A list or a map; null is none.
        params: Value,
        /// Whose transaction.
        run: RunId,
    },
    /// A request over HTTP.
    Fetch {
        /// A map: method, url, header, body.
        request: Value,
        /// How long it may take, in milliseconds.
        timeout_ms: u64,
    },
    /// Something of nexus itself.
    Syscall {
        /// As `nodes.create`.
        opcode: Rc<str>,
        /// The packet.
        arg: Value,
    },
}

/// What is opened outside while its node is active, and starts runs there.
#[derive(Clone, Debug, PartialEq)]
pub enum Service {
    /// A listening socket.
    Listener {
        /// `http`.
        protocol: Rc<str>,
        /// Name or address.
        host: Rc<str>,
        /// Port; 0 is any.
        port: u16,
    },
    /// A file or folder whose changes are told.
    Watch {
        /// Its path as written.
        path: Rc<str>,
    },
    /// Regularly; the engine does that itself.
    Timer {
        /// From one to the next, in milliseconds, at least 1.
        interval_ms: u64,
    },
}

/// What a node is built with beside its spec.
pub struct Known<'a> {
    /// Whether a kind that the table doesn't have is a command that some program has.
    pub is_command: &'a dyn Fn(&str) -> bool,
    /// What is missing for a command of a program (empty: of any) to be called, in words; none: nothing.
    pub missing: &'a dyn Fn(&str, &str) -> Option<Rc<str>>,
}

/// A command that no program has, or not the one that is named, as [`Known::missing`] calls it.
pub fn missing_command(program: &str, command: &str) -> Rc<str> {
    let slash = if program.is_empty() { "" } else { "/" };
    format!("command {program}{slash}{command}").into()
}

/// What the build of a kind is: a row of the table.
pub type Build = fn(&Spec, &Known) -> Result<Box<dyn Node>>;
