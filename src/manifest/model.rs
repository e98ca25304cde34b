//! The checked form of a manifest, the same for both dialects. Holds no unchecked text: every type, pool and expression
//! that it names exists.

use crate::codec::schema::Types;
use crate::error::Error;
use crate::expr::arena::Exprs;
use crate::ids::{ExprId, PoolId, TypeId};

/// A program.
#[derive(Debug)]
pub struct Manifest {
    /// Name of the program.
    pub name: String,
    /// What it is for; the first line is its summary.
    pub desc: Vec<String>,
    /// Every type that a schema of the manifest names.
    pub types: Types,
    /// Every expression.
    pub exprs: Exprs,
    /// The pools; [`PoolId`] is the position.
    pub pools: Vec<Pool>,
    /// The commands, in the order of the manifest.
    pub commands: Vec<Command>,
    /// Groups of commands that have a description.
    pub groups: Vec<Group>,
}

/// A named set of commands.
#[derive(Debug)]
pub struct Group {
    /// The word left of the command's name.
    pub name: String,
    /// What its commands have in common.
    pub desc: Vec<String>,
}

/// One language's processes and the policy for them.
#[derive(Clone, Debug)]
pub struct Pool {
    /// By which foreign calls name it; unique.
    pub name: String,
    /// Language, for messages.
    pub lang: String,
    /// Program and arguments, never empty.
    pub exec: Vec<String>,
    /// How nexus and its workers reach each other.
    pub transport: Transport,
    /// File name of its socket in the temp dir; unique, without a slash. Empty unless the transport is `unix`.
    pub socket: String,
    /// Most workers at once; none: cores - 1, at least 1.
    pub workers: Option<u32>,
    /// How long to wait for it.
    pub timeouts: Timeouts,
    /// Variables set in its environment.
    pub env: Vec<(String, String)>,
    /// Whether it starts with an empty environment.
    pub clear_env: bool,
    /// Its working directory; none: that of nexus.
    pub cwd: Option<String>,
    /// Where its standard output goes.
    pub stdout: Output,
    /// Where its standard error goes.
    pub stderr: Output,
    /// How long its workers live.
    pub lifetime: Lifetime,
    /// When a worker is replaced by a new one.
    pub recycle: Recycle,
    /// What each of its processes may use.
    pub limits: Limits,
    /// Whom it runs as; none: as whom nexus does.
    pub user: Option<Identity>,
    /// Group that it runs in; none: the user's own, or that of nexus if there is no user either.
    pub group: Option<Identity>,
    /// What it may ask of nexus; none: everything.
    pub host: Option<Host>,
}

/// How nexus and the workers of a pool reach each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Transport {
    /// A parent process makes workers, which accept on a Unix socket (`unix`).
    #[default]
    Unix,
    /// Nexus starts each worker itself and passes it a connected socket (`direct`).
    Direct,
    /// The same over standard input and output, for a pool behind another program (`stdio`).
    Stdio,
}

/// How long the workers of a pool live.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Lifetime {
    /// As long as the pool, call after call (`shared`).
    #[default]
    Shared,
    /// For one call (`oneshot`).
    Oneshot,
}

/// When a worker that has no call is replaced by a new one; what is none never is a reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recycle {
    /// After so many calls.
    pub max_calls: Option<u64>,
    /// So long after its start.
    pub max_age_ms: Option<u64>,
    /// When its process holds so much memory.
    pub max_rss_bytes: Option<u64>,
    /// After so long without a call; it is not replaced before one comes.
    pub idle_exit_ms: Option<u64>,
}

impl Recycle {
    /// Whether there is any reason to replace a worker.
    pub fn is_any(&self) -> bool {
        *self != Recycle::default()
    }
}

/// What each process of a pool may use; none: as much as nexus itself may.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Memory of its own, in bytes: heap, stacks of threads, private maps.
    pub memory_bytes: Option<u64>,
    /// Time on a processor, in seconds.
    pub cpu_s: Option<u64>,
    /// One more than the highest number of a descriptor.
    pub open_files: Option<u64>,
    /// Processes and threads of its user, all programs together.
    pub processes: Option<u64>,
}

/// A user or a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Identity {
    /// By its name in the system's list.
    Name(String),
    /// By its number, which need not be in the list.
    Id(u32),
}

/// What a pool may ask of nexus.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// Which pools it may call.
    pub calls: CallTargets,
    /// Whether it may run commands of the program.
    pub command: bool,
    /// Whether it may log.
    pub log: bool,
    /// Whether it may report progress.
    pub progress: bool,
    /// Whether it may start worker processes, and use those of others.
    pub run: bool,
}

impl Host {
    /// Whether it may call that pool.
    pub fn may_call(&self, pool: PoolId) -> bool {
        match &self.calls {
            CallTargets::All => true,
            CallTargets::Only(pools) => pools.contains(&pool),
        }
    }
}

/// Pools that may be called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallTargets {
    /// Any.
    All,
    /// These only.
    Only(Vec<PoolId>),
}

/// Waits of a pool, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// From spawn to hello.
    pub hello_ms: u64,
    /// For one call; none: as long as it takes.
    pub call_ms: Option<u64>,
    /// From `shutdown` to SIGTERM, and from there to SIGKILL.
    pub shutdown_ms: u64,
}

impl Default for Timeouts {
    fn default() -> Self {
        Timeouts {
            hello_ms: 10_000,
            call_ms: None,
            shutdown_ms: 2_000,
        }
    }
}

/// Where a stream of a pool goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Output {
    /// To nexus's standard error, as it comes (`stderr`).
    #[default]
    Stderr,
    /// Wherever nexus's own goes (`inherit`).
    Inherit,
    /// Nowhere (`null`).
    Null,
    /// To nexus's standard error, each line tagged with the pool's name (`log`).
    Log,
}

/// One exported function.
#[derive(Debug)]
pub struct Command {
    /// By which the user calls it; unique in its group.
    pub name: String,
    /// What it does; the first line is its summary.
    pub desc: Vec<String>,
    /// The group that it belongs to, if any.
    pub group: Option<String>,
    /// Whether `--help` leaves it out.
    pub internal: bool,
    /// What the user gives, in order; one per parameter of the function.
    pub args: Vec<Arg>,
    /// What the function gives back.
    pub returns: Returns,
    /// Who runs it.
    pub body: Body,
    /// Deadline of a run; none: as long as it takes.
    pub timeout_ms: Option<u64>,
    /// Command lines worth showing in its help.
    pub examples: Vec<String>,
}

/// The result of a command.
#[derive(Debug)]
pub struct Returns {
    /// Its type.
    pub ty: TypeId,
    /// The type's name for people (`Real`).
    pub type_name: String,
    /// What its bytes or its text are for others, as `image/png`: the hint of the schema (`<image/png>y`), or the type's name.
    pub media_type: Option<String>,
    /// What it means.
    pub desc: Vec<String>,
}

/// Who runs a command.
#[derive(Debug)]
pub enum Body {
    /// A function of a pool.
    Remote {
        /// The pool.
        pool: PoolId,
        /// Under which the pool finds the function.
        mid: i64,
        /// All pools that may be called in the course of it, `pool` among them.
        needed: Vec<PoolId>,
    },
    /// An expression, evaluated by nexus itself.
    Pure(ExprId),
    /// An expression that calls functions of pools, evaluated by nexus while they run.
    Composed {
        /// The expression.
        expr: ExprId,
        /// All pools that may be called in the course of it.
        needed: Vec<PoolId>,
    },
    /// It is known, but it can't be run here, for the reason given; the other commands can.
    Unsupported(Box<Error>),
}

/// What the user gives for one parameter.
#[derive(Debug)]
pub enum Arg {
    /// A positional argument.
    Positional(Input),
    /// An option with a value.
    Option(Opt),
    /// An option without one.
    Flag(Flag),
    /// A record whose fields are options.
    Record(RecordArg),
}

impl Arg {
    /// The type of the parameter.
    pub fn ty(&self) -> TypeId {
        match self {
            Arg::Positional(input) => input.ty,
            Arg::Option(opt) => opt.input.ty,
            Arg::Flag(flag) => flag.ty,
            Arg::Record(record) => record.ty,
        }
    }
}

/// A value that the user gives as text.
#[derive(Debug)]
pub struct Input {
    /// Its type.
    pub ty: TypeId,
    /// The type's name for people (`[Real]`).
    pub type_name: String,
    /// Stands for it in the usage line; none: derived from the type or the long option.
    pub metavar: Option<String>,
    /// Whether the text itself is the string, never JSON (`quoted`).
    pub literal: bool,
    /// What it means.
    pub desc: Vec<String>,
}

/// An option with a value.
#[derive(Debug)]
pub struct Opt {
    /// Its value.
    pub input: Input,
    /// The letter of `-x`.
    pub short: Option<char>,
    /// The word of `--word`.
    pub long: Option<String>,
    /// Its value when it is not given, as JSON text of the type (in an unsupported command, as it was written); none: it
    /// must be given, unless its type is optional.
    pub default: Option<String>,
}

/// An option without a value; its type is boolean.
#[derive(Debug)]
pub struct Flag {
    /// The type of the parameter.
    pub ty: TypeId,
    /// The letter of `-x`.
    pub short: Option<char>,
    /// The word of `--word`, which sets the opposite of the default.
    pub long: Option<String>,
    /// The word that sets the default again (`--no-word`).
    pub long_rev: Option<String>,
    /// Its value when it is not given.
    pub default: bool,
    /// What it means.
    pub desc: Vec<String>,
}

/// A record whose fields are options.
#[derive(Debug)]
pub struct RecordArg {
    /// The record's type.
    pub ty: TypeId,
    /// The type's name for people.
    pub type_name: String,
    /// Title of its options in the help.
    pub metavar: String,
    /// What it means.
    pub desc: Vec<String>,
    /// The option that takes the record whole, as JSON; a field's option overrides it.
    pub whole: Option<GroupOpt>,
    /// The fields that are options, by their position in the record: `Arg::Option` or `Arg::Flag`.
    pub entries: Vec<(usize, Arg)>,
}

/// The option that takes a record whole.
#[derive(Debug)]
pub struct GroupOpt {
    /// The letter of `-x`.
    pub short: Option<char>,
    /// The word of `--word`.
    pub long: Option<String>,
}
