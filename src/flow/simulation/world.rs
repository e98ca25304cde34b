//! The world around an engine: people who edit, programs that come and go, clients who begin runs and give up, works that take their time and fail, somebody
//! with a debugger. Knows how each should come out.

use super::Bug;
use super::draw;
use super::loaded::Loaded;
use crate::core::simulation::random::Random;
use crate::core::simulation::trace;
use crate::error::{Error, Kind};
use crate::flow::engine::{Change, Effect, Engine, RunId, Start, TaskId};
use crate::flow::graph::nodes::Table;
use crate::flow::graph::status::State;
use crate::flow::kinds::check::{KNOWN, specs};
use crate::flow::kinds::node::{Known, Outcome, Work, missing_command};
use crate::flow::spec::{Port, Spec, Target};
use crate::flow::value::{Value, json};
use crate::limits::FLOW_RUNS_MAX;
use std::collections::BTreeMap;
use std::rc::{Rc, Weak};

const NAMESPACES: [&str; 2] = ["alpha", "beta"];

/// A work that the world was asked for.
struct Job {
    task: TaskId,
    /// Of the end of a transaction: its run, and whether it is to be committed.
    ends: Option<(RunId, bool)>,
}

/// A run that a client has begun.
struct Client {
    is_answered: bool,
    /// Whether its transaction was to be committed, if it had one.
    is_ok: Option<bool>,
}

pub struct World {
    random: Random,
    engine: Engine,
    pub is_loud: bool,
    pub now_ms: u64,
    jobs: Vec<Job>,
    clients: BTreeMap<RunId, Client>,
    going: Vec<RunId>,
    /// Sources that are open.
    open: Vec<(Rc<str>, Rc<str>)>,
    loaded: [Loaded; 2],
    /// Per namespace what was written last that could be built.
    written: [BTreeMap<Rc<str>, Rc<Spec>>; 2],
    tables: Vec<Weak<Table>>,
    /// Whether the command `c` is served, and whether `p/d`.
    served: [bool; 2],
}

/// What nodes are built with while these are served.
fn with_known(served: [bool; 2], build: impl FnOnce(&Known)) {
    build(&Known {
        is_command: KNOWN.is_command,
        missing: &|program, command| {
            let is_served = served[usize::from(program == "p")];
            (!is_served).then(|| missing_command(program, command))
        },
    });
}

impl World {
    pub fn new(seed: u64, planted: Option<Bug>, is_loud: bool) -> World {
        let mut random = Random::new(seed);
        let mut engine = Engine::new();
        engine.plant(planted);
        engine.runs_max = random.pick(&[3, 20, FLOW_RUNS_MAX, FLOW_RUNS_MAX]);
        World {
            random,
            engine,
            is_loud,
            now_ms: 0,
            jobs: Vec::new(),
            clients: BTreeMap::new(),
            going: Vec::new(),
            open: Vec::new(),
            loaded: Default::default(),
            written: Default::default(),
            tables: Vec::new(),
            served: [true; 2],
        }
    }

    pub fn run(mut self) -> u64 {
        let steps = self.random.between(50, 400);
        for _ in 0..3 {
            self.edit();
        }
        for _ in 0..steps {
            match self.random.below(20) {
                0..=2 => self.edit(),
                3..=6 => self.begin(),
                7 => self.cancel(),
                8..=11 => self.work(),
                12 | 13 => self.pass_time(),
                14 => self.debug(),
                15 => self.serve(),
                _ => {
                    let budget = self.random.size(60);
                    self.engine.step(budget, self.now_ms);
                }
            }
            self.settle();
        }
        self.finish();
        steps
    }

    fn edit(&mut self) {
        let place = self.random.below(2) as usize;
        let namespace = NAMESPACES[place];
        let mut changes = Vec::new();
        for _ in 0..self.random.size(5) {
            let name = draw::name(&mut self.random);
            if self.random.chance(200) {
                trace!(self, "{namespace}: no {name}");
                self.written[place].remove(&*name);
                changes.push(Change::Remove(name.into()));
                continue;
            }
            let (text, is_good) = draw::node(&mut self.random, &name, draw::Reach::All);
            trace!(self, "{namespace}: {text}");
            let spec = specs(&text).remove(0);
            let is_taken = spec.id.as_ref().is_some_and(|id| {
                let mut others = self.written[place].values();
                others.any(|other| other.id.as_ref() == Some(id) && other.name != spec.name)
            });
            if is_good && !is_taken {
                self.written[place].insert(name.into(), spec.clone());
            }
            changes.push(Change::Set(spec));
        }
        with_known(self.served, |known| {
            let changed = self.engine.handle_change(namespace, changes, known, self.now_ms);
            changed.expect("there are two namespaces");
        });
        self.take_swap();
    }

    /// A command comes or goes.
    fn serve(&mut self) {
        let which = self.random.below(2) as usize;
        // Mostly they are there: little runs without.
        self.served[which] = !self.served[which] || !self.random.chance(200);
        trace!(self, "served: {:?}", self.served);
        with_known(self.served, |known| {
            self.engine.handle_commands(known, self.now_ms)
        });
        self.take_swap();
    }

    /// Looks at what a change has made.
    fn take_swap(&mut self) {
        for namespace in NAMESPACES {
            self.tables
                .extend(self.engine.table(namespace).iter().map(Rc::downgrade));
        }
        self.take_hooks();
        for place in 0..2 {
            self.check_status(place);
        }
    }

    fn take_hooks(&mut self) {
        for (place, namespace) in NAMESPACES.iter().enumerate() {
            let hooks = self.engine.hooks.list.iter().filter(|its| *its.0 == **namespace);
            let hooks: Vec<_> = hooks
                .map(|(_, is_load, symbol)| (*is_load, symbol.clone()))
                .collect();
            self.loaded[place].take(&hooks);
        }
        self.engine.hooks.list.clear();
    }

    /// The nodes that should be active: as many as there can be, found the long way.
    fn oracle(&self, place: usize) -> Vec<Rc<str>> {
        let written = &self.written[place];
        let find = |target: &Target| match target {
            Target::Name(name) => written.get(name),
            Target::Id(id) => written.values().find(|its| its.id.as_ref() == Some(id)),
        };
        let mut active: Vec<&Rc<Spec>> = written.values().collect();
        loop {
            let is_served = |spec: &Spec| match &*spec.kind {
                "call" => self.served[0],
                "p/d" => self.served[1],
                _ => true,
            };
            let holds = |spec: &&Rc<Spec>| {
                let own = spec.ports.iter().flat_map(|(_, links)| links.iter().cloned());
                let inner = crate::flow::spec::codec::nested(spec, "specs").unwrap_or_default();
                if !is_served(spec) || !inner.iter().all(is_served) {
                    return false;
                }
                let inner = inner.into_iter().flat_map(|its| its.ports);
                let mut links = own.chain(inner.flat_map(|(_, links)| links));
                links.all(|link| {
                    let Some(target) = find(&link.target) else {
                        return false;
                    };
                    let has_port = match &*target.kind {
                        "merge" => link.port.index.is_some(),
                        "timer" | "watch" => false,
                        _ => link.port == Port::IN,
                    };
                    has_port && active.iter().any(|its| its.name == target.name)
                })
            };
            let still: Vec<&Rc<Spec>> = active.iter().copied().filter(holds).collect();
            if still.len() == active.len() {
                return still.into_iter().map(|its| its.name.clone()).collect();
            }
            active = still;
        }
    }

    fn check_status(&self, place: usize) {
        let status = self.engine.status(NAMESPACES[place]);
        let active = status.iter().filter(|its| its.state == State::Active);
        let active: Vec<Rc<str>> = active.map(|its| its.spec.name.clone()).collect();
        assert_eq!(active, self.oracle(place), "active nodes");
        let loaded: Vec<&Rc<str>> = self.loaded[place].names().collect();
        assert_eq!(active.iter().collect::<Vec<_>>(), loaded, "loaded nodes");
        for its in status.iter().filter(|its| its.refused.is_none()) {
            let written = self.written[place].get(&its.spec.name);
            let is_failed = matches!(its.state, State::Failed(_));
            // What is written again as it was stays as it is.
            let is_same = |spec: &Rc<Spec>| {
                spec.kind == its.spec.kind && spec.ports == its.spec.ports && spec.fields == its.spec.fields
            };
            assert_eq!(written.is_some_and(is_same), !is_failed, "{}", its.spec.name);
        }
    }

    fn begin(&mut self) {
        let namespace = NAMESPACES[self.random.below(2) as usize];
        let name = draw::name(&mut self.random);
        let packet = match self.random.below(4) {
            0 => Value::list(vec![Value::str(namespace); 3]),
            1 => Value::str("a"),
            _ => Value::str(namespace),
        };
        let start = match self.random.below(4) {
            0 => Start::Out(packet),
            1 => Start::Out(Value::Error(Rc::from(Error::new(Kind::Protocol, "garbage")))),
            _ => Start::In(Port::IN, packet),
        };
        let deadline_ms = self
            .random
            .chance(300)
            .then(|| self.now_ms + self.random.below(100));
        let can_begin = self.engine.can_begin(namespace);
        let begun = self
            .engine
            .begin(namespace, &name, start, deadline_ms, self.now_ms);
        let is_refused = begun.as_ref().is_err_and(|error| error.kind == Kind::Overloaded);
        assert!(!(can_begin && is_refused), "a run of {namespace} is refused");
        assert!(can_begin || begun.is_err(), "a run of {namespace} is too many");
        if let Ok(run) = begun {
            trace!(self, "{namespace}: {run:?} begins at {name}");
            let place = NAMESPACES.iter().position(|its| *its == namespace).unwrap_or(0);
            assert!(
                self.loaded[place].contains(&name),
                "{name} is active in {namespace}"
            );
            let client = Client {
                is_answered: false,
                is_ok: None,
            };
            assert!(self.clients.insert(run, client).is_none(), "a run is new");
            self.going.push(run);
        }
    }

    fn cancel(&mut self) {
        if self.clients.is_empty() {
            return;
        }
        // Also runs that were answered long ago.
        let place = self.random.below(self.clients.len() as u64) as usize;
        let any = self.clients.keys().nth(place).copied();
        let run = match self.going.is_empty() {
            false if self.random.chance(700) => Some(self.random.pick(&self.going)),
            _ => any,
        };
        if let Some(run) = run {
            trace!(self, "{run:?} is given up");
            let error = Rc::from(Error::new(Kind::Cancelled, "the client is gone"));
            self.engine.cancel(run, error, self.now_ms);
        }
    }

    fn work(&mut self) {
        if self.jobs.is_empty() {
            self.engine.handle_done(TaskId(77), Ok(Value::Null), self.now_ms);
            return;
        }
        let place = self.random.below(self.jobs.len() as u64) as usize;
        let job = self.jobs.swap_remove(place);
        let outcome: Outcome = match self.random.below(4) {
            0 => Err(Rc::from(Error::new(Kind::Raised, "it failed"))),
            1 => Ok(Value::list(vec![Value::Int(1), Value::Int(2)])),
            _ => Ok(Value::Null),
        };
        if let Some((run, is_ok)) = job.ends
            && let Some(client) = self.clients.get_mut(&run)
        {
            client.is_ok = Some(is_ok && outcome.is_ok());
        }
        self.engine.handle_done(job.task, outcome, self.now_ms);
        // A second answer is for nobody.
        self.engine.handle_done(job.task, Ok(Value::Null), self.now_ms);
    }

    fn pass_time(&mut self) {
        self.now_ms = match self.engine.next_deadline() {
            Some(at_ms) if self.random.chance(700) => at_ms.max(self.now_ms),
            _ => self.now_ms + self.random.below(20),
        };
        self.engine.handle_timeout(self.now_ms);
        assert!(
            self.engine
                .next_deadline()
                .is_none_or(|at_ms| at_ms > self.now_ms)
        );
    }

    fn debug(&mut self) {
        let namespace = NAMESPACES[self.random.below(2) as usize];
        match self.random.below(6) {
            0 => {
                let name = draw::name(&mut self.random);
                let port = self.random.chance(300).then_some(Port::OUT);
                let added = self.engine.add_breakpoint(namespace, Some(&name), port);
                trace!(self, "{namespace}: a breakpoint at {name}");
                assert!(added.is_ok());
            }
            1 => self.engine.clear_breakpoints(namespace),
            2 => {
                let id = self.engine.breakpoints(namespace).next().map(|its| its.id);
                assert!(id.is_none_or(|id| self.engine.remove_breakpoint(id)));
            }
            _ => {
                for held in self.engine.held(namespace) {
                    let is_step = self.random.chance(500);
                    assert!(self.engine.go_on(held.frame, is_step));
                }
            }
        }
    }

    /// Takes what has come of a step, and looks at everything.
    fn settle(&mut self) {
        while let Some(effect) = self.engine.poll_effect() {
            self.effect(effect);
        }
        while let Some((run, outcome)) = self.engine.poll_answer() {
            trace!(self, "{run:?} is answered");
            let client = self
                .clients
                .get_mut(&run)
                .expect("a run that was begun is answered");
            assert!(!client.is_answered, "{run:?} is answered once");
            client.is_answered = true;
            assert!(
                client.is_ok.is_none_or(|is_ok| is_ok == outcome.is_ok()),
                "{run:?} and its transaction"
            );
            self.going.retain(|going| *going != run);
            assert!(self.engine.trace(run).is_some());
        }
        for namespace in NAMESPACES {
            let runs = self.engine.processes(namespace).count();
            assert!(runs <= self.engine.runs_max, "{namespace} has {runs} runs");
        }
        let mut tasks = self.engine.tasks();
        let mut jobs: Vec<TaskId> = self.jobs.iter().map(|job| job.task).collect();
        tasks.sort();
        jobs.sort();
        assert_eq!(tasks, jobs, "what the world was asked for");
        self.engine.check();
    }

    fn effect(&mut self, effect: Effect) {
        match effect {
            Effect::Do {
                task,
                namespace,
                work,
                deadline_ms,
                ..
            } => {
                let other = NAMESPACES.iter().find(|its| ***its != *namespace);
                let arg = match &work {
                    Work::Call { args, .. } => json::text(args),
                    Work::Sql { params, .. } => json::text(params),
                    _ => String::new(),
                };
                assert!(
                    !arg.contains(other.unwrap_or(&"")),
                    "{arg} is of another namespace"
                );
                assert!(deadline_ms.is_none_or(|at_ms| at_ms + 2000 >= self.now_ms));
                self.jobs.push(Job { task, ends: None });
            }
            Effect::Undo(task) => {
                let before = self.jobs.len();
                self.jobs.retain(|job| job.task != task || job.ends.is_some());
                assert_eq!(self.jobs.len() + 1, before, "what is undone was asked for");
            }
            Effect::RunEnded { task, run, is_ok } => {
                let ends = Some((run, is_ok));
                self.jobs.push(Job { task, ends });
            }
            Effect::Open { namespace, node, .. } => {
                let source = (namespace, node);
                assert!(!self.open.contains(&source), "{source:?} is opened twice");
                self.open.push(source);
            }
            Effect::Close { namespace, node } => {
                let source = (namespace, node);
                let place = self.open.iter().position(|its| *its == source);
                self.open.remove(place.expect("what is closed was open"));
            }
            Effect::Failed { .. } => {}
        }
    }

    /// Everything comes to its end, and nothing is left.
    fn finish(&mut self) {
        trace!(self, "the end");
        for namespace in NAMESPACES {
            self.engine.clear_breakpoints(namespace);
        }
        for _ in 0..200 {
            self.engine.step(50, self.now_ms);
            self.settle();
            while !self.jobs.is_empty() {
                self.work();
            }
            self.settle();
            self.pass_time();
            self.settle();
        }
        // What goes round for long is given up.
        for run in self.going.clone() {
            let error = Rc::from(Error::new(Kind::Cancelled, "it is late"));
            self.engine.cancel(run, error, self.now_ms);
        }
        self.settle();
        for namespace in NAMESPACES {
            for process in self.engine.processes(namespace).collect::<Vec<_>>() {
                let error = Rc::from(Error::new(Kind::Cancelled, "it is late"));
                self.engine.cancel(process.run, error, self.now_ms);
            }
        }
        self.settle();
        while !self.jobs.is_empty() {
            self.work();
            self.settle();
        }
        let unanswered = self.clients.values().filter(|client| !client.is_answered);
        assert_eq!(unanswered.count(), 0, "runs that were not answered");
        for (place, namespace) in NAMESPACES.iter().enumerate() {
            assert_eq!(self.engine.processes(namespace).count(), 0);
            for old in self.tables.iter().filter_map(Weak::upgrade) {
                let is_served = |namespace: &str| {
                    let table = self.engine.table(namespace);
                    table.is_some_and(|table| Rc::ptr_eq(&table, &old))
                };
                assert!(
                    NAMESPACES.iter().any(|its| is_served(its)),
                    "an old table is held"
                );
            }
            // One that waits is kept, for when it can be active again.
            let status = self.engine.status(namespace);
            for old in self.loaded[place].gone.iter().filter_map(Weak::upgrade) {
                let is_written = status.iter().any(|its| Rc::ptr_eq(&its.spec, &old.spec));
                assert!(is_written, "the old node {} is held", old.name);
            }
            let names: Vec<Rc<str>> = self.written[place].keys().cloned().collect();
            let changes = names.into_iter().map(Change::Remove).collect();
            let changed = self.engine.handle_change(namespace, changes, &KNOWN, self.now_ms);
            assert!(changed.is_ok());
            self.take_hooks();
            self.settle();
            let is_held = self.loaded[place].gone.iter().any(|old| old.strong_count() > 0);
            assert!(!is_held, "an old node is held");
        }
        assert!(self.open.is_empty(), "sources stay open");
    }
}
