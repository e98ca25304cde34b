//! The functions that the notation brings: their types, and what becomes of them in an expression. A definition or source
//! of the same name wins.

use crate::compose::resolve::Effects;

/// A function of the notation.
#[derive(Debug)]
pub struct Builtin {
    /// Its name.
    pub name: &'static str,
    /// Its type.
    pub ty: &'static str,
    /// What it becomes.
    pub form: Form,
    /// What using it means.
    pub effects: Effects,
}

/// What a builtin becomes in an expression.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A function value: `op` with that name.
    Op(&'static str),
    /// A node with that tag; its arguments are the members of these names. `args` holds one in a list.
    Tag(&'static str, &'static [&'static str]),
    /// As a tag whose argument has to be a list that is written there: its elements begin at once.
    Elements(&'static str),
    /// `pmap`, whether it collects errors.
    Pmap {
        #[allow(missing_docs)]
        collect: bool,
    },
    /// `cmd`, whether it is always JSON.
    Cmd {
        #[allow(missing_docs)]
        json: bool,
    },
    /// `run`, whether options come first.
    Run {
        #[allow(missing_docs)]
        options: bool,
    },
}

impl Builtin {
    /// How many arguments it takes before it does something.
    pub fn arity(&self) -> usize {
        match self.form {
            Form::Op(_) => 0,
            Form::Tag(_, keys) => keys.len(),
            Form::Elements(_) | Form::Cmd { .. } => 1,
            Form::Pmap { .. } => 3,
            Form::Run { options } => 1 + usize::from(options),
        }
    }
}

/// The builtin of that name.
pub fn find(name: &str) -> Option<usize> {
    ALL.iter().position(|builtin| builtin.name == name)
}

const fn plain(name: &'static str, ty: &'static str, form: Form) -> Builtin {
    Builtin {
        name,
        ty,
        form,
        effects: Effects::NONE,
    }
}

/// Of processes: what is done with them is done in turn.
const fn works(name: &'static str, ty: &'static str, form: Form) -> Builtin {
    Builtin {
        name,
        ty,
        form,
        effects: Effects::WORKS,
    }
}

/// What `runWith` takes: each key may be missing.
pub const OPTIONS: [(&str, &str); 7] = [
    ("timeout", "?Int"),
    ("env", "?[(Str, Str)]"),
    ("cwd", "?Str"),
    ("stdin", "?Str"),
    ("stdout", "?Str"),
    ("stderr", "?Str"),
    ("detach", "?Bool"),
];

/// All of them.
pub const ALL: [Builtin; 36] = [
    plain(
        "map",
        "(a -> b) -> [a] -> [b]",
        Form::Tag("map", &["func", "list"]),
    ),
    plain(
        "filter",
        "(a -> Bool) -> [a] -> [a]",
        Form::Tag("filter", &["func", "list"]),
    ),
    plain(
        "fold",
        "(b -> a -> b) -> b -> [a] -> b",
        Form::Tag("fold", &["func", "init", "list"]),
    ),
    plain("zip", "[a] -> [b] -> [(a, b)]", Form::Op("zip")),
    plain("length", "[a] -> Int", Form::Op("length")),
    plain("concat", "[[a]] -> [a]", Form::Op("concat")),
    plain("not", "Bool -> Bool", Form::Op("not")),
    plain(
        "and",
        "Bool -> Bool -> Bool",
        Form::Tag("and", &["left", "right"]),
    ),
    plain("or", "Bool -> Bool -> Bool", Form::Tag("or", &["left", "right"])),
    plain("real", "Int -> Real", Form::Op("real")),
    plain("show", "a -> Str", Form::Tag("show", &["child"])),
    plain("read", "Str -> a", Form::Tag("read", &["child"])),
    plain("throw", "Str -> a", Form::Tag("throw", &["msg"])),
    plain("try", "a -> (?a, ?Str)", Form::Tag("try", &["child"])),
    plain(
        "retry",
        "Int -> Int -> a -> a",
        Form::Tag("retry", &["times", "delay_ms", "child"]),
    ),
    plain("timeout", "Int -> a -> a", Form::Tag("timeout", &["ms", "child"])),
    plain("par", "[a] -> [a]", Form::Elements("par")),
    plain("race", "[a] -> a", Form::Elements("race")),
    plain(
        "pmap",
        "Int -> (a -> b) -> [a] -> [b]",
        Form::Pmap { collect: false },
    ),
    plain(
        "pmapAll",
        "Int -> (a -> b) -> [a] -> [(?b, ?Str)]",
        Form::Pmap { collect: true },
    ),
    plain("sleep", "Int -> Unit", Form::Tag("sleep", &["ms"])),
    plain("cmd", "[Str] -> (a -> b)", Form::Cmd { json: false }),
    plain("cmdJson", "[Str] -> (a -> b)", Form::Cmd { json: true }),
    works("run", "(a -> b) -> Worker a b", Form::Run { options: false }),
    works(
        "runWith",
        "o -> (a -> b) -> Worker a b",
        Form::Run { options: true },
    ),
    works(
        "send",
        "Worker a b -> a -> Unit",
        Form::Tag("send", &["worker", "args"]),
    ),
    works("receive", "Worker a b -> ?b", Form::Tag("receive", &["worker"])),
    works(
        "receiveIn",
        "Int -> Worker a b -> ?b",
        Form::Tag("receive", &["timeout_ms", "worker"]),
    ),
    works(
        "call",
        "Worker a b -> a -> b",
        Form::Tag("talk", &["worker", "args"]),
    ),
    works("close", "Worker a b -> Unit", Form::Tag("close", &["worker"])),
    works("kill", "Worker a b -> Unit", Form::Tag("kill", &["worker"])),
    works("wait", "Worker a b -> Int", Form::Tag("wait", &["worker"])),
    works("alive", "Worker a b -> Bool", Form::Tag("alive", &["worker"])),
    works("pid", "Worker a b -> Int", Form::Tag("pid", &["worker"])),
    works(
        "exitCode",
        "Worker a b -> ?Int",
        Form::Tag("exit_code", &["worker"]),
    ),
    works(
        "select",
        "[Worker a b] -> (Int, ?b)",
        Form::Tag("select", &["workers"]),
    ),
];
