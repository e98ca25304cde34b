//! A world that an evaluation calls, for tests: the functions of one pool, answered in any order, and time that jumps.

use crate::codec::msgpack::{Reader, Token, write};
use crate::codec::transcode::{Style, msgpack_to_json};
use crate::core::eval::{Ask, AskId, Budget, HostCall, Machine, Outcome, Program, Progress};
use crate::error::{Error, Kind, Result};
use crate::manifest::model::{Body, Manifest};
use crate::manifest::parse::parse;

/// The function value that a pool gives away.
const EXT_FUNCTION: i8 = 12;

/// The functions of the pool `p`, each with what a composition says of it.
pub(super) fn call(name: &str) -> String {
    let (mid, args, returns) = match name {
        "double" => (1, r#""i8""#, "i8"),
        "fail" => (2, r#""s""#, "i8"),
        // Calls its function with its argument, and gives what that gives.
        "apply" => (3, r#""\\(i8)i8","i8""#, "i8"),
        "adder" => (4, r#""i8""#, r"\\(i8)i8"),
        "add" => (5, r#""i8","i8""#, "i8"),
        // Never answers.
        "hang" => (6, r#""i8""#, "i8"),
        "list" => (7, r#""i8""#, "[i8]"),
        "say" => (8, r#""i8""#, "s"),
        // Its argument, a function.
        "same" => (9, r#""\\(i8)i8""#, r"\\(i8)i8"),
        other => panic!("there is no function {other}"),
    };
    format!(
        r#"{{"tag":"call","pool":0,"mid":{mid},"arg_schemas":[{args}],"return_schema":"{returns}","at":"t.loc:{mid}","name":"{name}"}}"#
    )
}

/// In which order what is asked for is answered.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Order {
    First,
    Last,
    /// By that seed.
    Random(u64),
}

struct World {
    machine: Machine,
    manifest: Manifest,
    order: Order,
    now_ms: u64,
    calls: Vec<(AskId, i64, Vec<u8>)>,
    timers: Vec<(u64, AskId)>,
    /// Calls that wait for a closure which they have called.
    applying: Vec<(HostCall, AskId)>,
    log: Vec<String>,
    most: usize,
    most_bytes: usize,
    steps: u64,
}

/// What came of an evaluation.
#[derive(Debug)]
pub(super) struct Played {
    /// The value as JSON, or kind and message of the error.
    pub result: String,
    /// The functions of its trace.
    pub trace: Vec<String>,
    /// What was asked, given up and answered.
    pub log: Vec<String>,
    /// When it ended, in milliseconds.
    pub now_ms: u64,
    /// The most calls that were out at once.
    pub most: usize,
    /// The most memory of its values, with payloads.
    pub most_bytes: usize,
}

pub(super) fn play(expr: &str, returns: &str, order: Order) -> Played {
    let text = format!(
        r#"{{"version":1,"name":"t","pools":[{{"lang":"p","exec":["p"],"socket":"p"}}],"commands":[{{"name":"go",
        "type":"composed","arg_schemas":[],"args":[],"return_schema":"{}","expr":{expr}}}]}}"#,
        returns.replace('\\', "\\\\")
    );
    let manifest = parse(text.as_bytes(), "t").unwrap_or_else(|errors| panic!("{errors:?}: {expr}"));
    let Body::Composed { expr: root, .. } = manifest.commands[0].body else {
        panic!("it is composed: {:?}", manifest.commands[0].body);
    };
    let mut world = World {
        machine: Machine::new(root, Budget::default()),
        manifest,
        order,
        now_ms: 0,
        calls: Vec::new(),
        timers: Vec::new(),
        applying: Vec::new(),
        log: Vec::new(),
        most: 0,
        most_bytes: 0,
        steps: 1000,
    };
    // In some orders each turn is short, and all that can be freed is.
    if let Order::Random(seed) = order {
        world.machine.is_thrifty = true;
        world.steps = 1 + seed % 3 * 100;
    }
    let outcome = world.run();
    let (result, trace) = world.result(outcome);
    Played {
        result,
        trace,
        log: world.log,
        now_ms: world.now_ms,
        most: world.most,
        most_bytes: world.most_bytes,
    }
}

#[track_caller]
pub(super) fn check_played(expr: impl AsRef<str>, returns: &str, expected: &str) {
    let orders = [Order::First, Order::Last]
        .into_iter()
        .chain((1..20).map(Order::Random));
    for order in orders {
        let played = play(expr.as_ref(), returns, order);
        assert_eq!(
            played.result,
            expected,
            "{order:?}: {}\n{:#?}",
            expr.as_ref(),
            played.log
        );
    }
}

impl World {
    fn run(&mut self) -> Outcome {
        loop {
            let program = Program {
                exprs: &self.manifest.exprs,
                types: &self.manifest.types,
                pools: &self.manifest.pools,
            };
            let progress = self.machine.run_for(program, self.steps);
            self.most_bytes = self.most_bytes.max(self.machine.bytes());
            let has_answered = self.take();
            match progress {
                Progress::Over(outcome) => return outcome,
                Progress::Busy => {}
                Progress::Waiting if has_answered => {}
                Progress::Waiting => self.answer(),
            }
        }
    }

    /// Takes what the machine wants and does not want any more. Whether that has answered something.
    fn take(&mut self) -> bool {
        let mut has_answered = false;
        while let Some(id) = self.machine.poll_cancel() {
            let calls = self.calls.len();
            self.calls.retain(|(call, ..)| *call != id);
            self.timers.retain(|(_, timer)| *timer != id);
            // Whoever is given up gives up what it has called.
            let applying = self.applying.iter().position(|(_, call)| *call == id);
            if let Some(at) = applying {
                let (call, _) = self.applying.remove(at);
                self.machine.cancel_applied(call);
            }
            if calls > self.calls.len() || applying.is_some() {
                self.log.push("cancel".into());
            }
        }
        while let Some((call, result)) = self.machine.poll_applied() {
            let at = self
                .applying
                .iter()
                .position(|(of, _)| *of == call)
                .expect("it was called");
            let (_, id) = self.applying.remove(at);
            self.machine.handle_answer(program(&self.manifest), id, result);
            has_answered = true;
        }
        while let Some((id, ask)) = self.machine.poll_ask() {
            match ask {
                // Tested with real processes.
                Ask::Process(_) | Ask::Pipe(_) | Ask::Read(_) => {}
                Ask::Sleep { ms } => self.timers.push((self.now_ms + ms, id)),
                Ask::Call { mid, payload, .. } => {
                    self.log.push(format!("call {mid}"));
                    self.calls.push((id, mid, payload));
                }
            }
        }
        self.most = self.most.max(self.calls.len());
        has_answered
    }

    /// One thing that was asked for is answered.
    fn answer(&mut self) {
        let answerable: Vec<usize> = (0..self.calls.len())
            .filter(|at| self.calls[*at].1 != 6)
            .collect();
        let pick = |count: usize, order: &mut Order| match order {
            Order::First => 0,
            Order::Last => count - 1,
            Order::Random(state) => {
                *state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1_442_695_040_888_963_407);
                (*state >> 33) as usize % count
            }
        };
        if answerable.is_empty() {
            // Nothing but time can help.
            let soonest = self.timers.iter().enumerate().min_by_key(|(_, (at, _))| *at);
            let position = soonest.expect("something is asked for").0;
            let (at, id) = self.timers.remove(position);
            self.now_ms = self.now_ms.max(at);
            self.machine
                .handle_answer(program(&self.manifest), id, Ok(Vec::new()));
            return;
        }
        let at = answerable[pick(answerable.len(), &mut self.order)];
        let (id, mid, payload) = self.calls.remove(at);
        if let Some(result) = self.function(id, mid, &payload) {
            self.machine.handle_answer(program(&self.manifest), id, result);
        }
    }

    fn function(&mut self, id: AskId, mid: i64, payload: &[u8]) -> Option<Result<Vec<u8>>> {
        let mut reader = Reader::new(payload);
        let mut out = Vec::new();
        match (mid, reader.next().expect("it has an argument")) {
            (1, Token::Int(value)) => write::int(&mut out, value * 2),
            (2, Token::Str(message)) => return Some(Err(Error::new(Kind::Raised, message))),
            (3, Token::Ext(EXT_FUNCTION, handle)) => return self.apply(id, handle, reader.rest()),
            (4, Token::Int(value)) => {
                let mut handle = Vec::new();
                write::array(&mut handle, 4);
                write::string(&mut handle, "p");
                write::nil(&mut handle);
                write::int(&mut handle, 5);
                write::int(&mut handle, value);
                write::ext(&mut out, EXT_FUNCTION, handle.len() as u32);
                out.extend(handle);
            }
            (5, Token::Int(left)) => match reader.next() {
                Ok(Token::Int(right)) => write::int(&mut out, left + right),
                other => panic!("two integers are added: {other:?}"),
            },
            (7, Token::Int(len)) => {
                // Plain, as a pool may write it.
                write::array(&mut out, len as u32);
                (0..len).for_each(|value| write::int(&mut out, value));
            }
            (8, Token::Int(value)) => write::string(&mut out, &value.to_string()),
            (9, Token::Ext(EXT_FUNCTION, _)) => out.extend_from_slice(payload),
            (mid, token) => panic!("function {mid} of {token:?}"),
        }
        Some(Ok(out))
    }

    /// A function of the pool applies a function value.
    fn apply(&mut self, id: AskId, handle: &[u8], arg: &[u8]) -> Option<Result<Vec<u8>>> {
        let mut reader = Reader::new(handle);
        let count = reader.array_head().unwrap().unwrap();
        let (Ok(Token::Str(pool)), Ok(Token::Nil), Ok(Token::Int(mid))) =
            (reader.next(), reader.next(), reader.next())
        else {
            panic!("a handle is [pool, nil, mid, bound...]");
        };
        let args = [reader.rest(), arg].concat();
        if pool == "p" {
            return self.function(id, mid, &args);
        }
        let call: HostCall = id.raw();
        self.applying.push((call, id));
        self.log.push("closure".into());
        self.machine.apply(call, mid, count - 2, &args);
        None
    }

    fn result(&mut self, outcome: Outcome) -> (String, Vec<String>) {
        let (exprs, types) = (&self.manifest.exprs, &self.manifest.types);
        let ty = self.manifest.commands[0].returns.ty;
        let mut result = Vec::new();
        let done = match outcome {
            Outcome::Done => self.machine.write_result(exprs, types, ty, &mut result),
            Outcome::Raised(error) => Err(error),
        };
        if let Err(error) = done {
            let trace = error
                .trace
                .iter()
                .map(|entry| format!("{} {}:{}", entry.function, entry.file, entry.line));
            return (
                format!("{}: {}", error.kind.name(), error.message),
                trace.collect(),
            );
        }
        assert!(self.calls.is_empty() && self.timers.is_empty(), "all is joined");
        let mut json = Vec::new();
        msgpack_to_json(types, ty, &result, Style::Compact, &mut json).unwrap();
        (String::from_utf8(json).unwrap(), Vec::new())
    }
}

fn program(manifest: &Manifest) -> Program<'_> {
    Program {
        exprs: &manifest.exprs,
        types: &manifest.types,
        pools: &manifest.pools,
    }
}
