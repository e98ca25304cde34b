//! How runs begin and end: exactly once, with all that belongs to them. How they move is in `run/machine.rs`.

use super::namespace::{Namespace, Source};
use super::{Effect, Engine, Start};
use crate::core::slab::Key;
use crate::error::{Error, Kind, Result};
use crate::flow::graph::nodes::{Row, Table};
use crate::flow::kinds::node::{Event, Outcome};
use crate::flow::run::floor::{Birth, Timer};
use crate::flow::run::process::{Process, ProcessKey, Stage};
use crate::flow::run::trace::Trace;
#[cfg(test)]
use crate::flow::simulation::Bug;
use crate::flow::spec::Port;
use crate::flow::value::Value;
use crate::limits::{FLOW_CHILDREN_MAX, FLOW_HELD_AGAIN_MS, FLOW_RUNS_MAX, FLOW_TRACES_MAX};
use std::rc::Rc;

/// How a run is to begin.
pub struct Launch {
    pub start: Start,
    pub deadline_ms: Option<u64>,
    /// Whether its answer is polled.
    pub is_awaited: bool,
}

impl Engine {
    /// Begins a run at a node of a namespace.
    pub(super) fn launch(
        &mut self,
        key: Key<Namespace>,
        node: &str,
        launch: Launch,
        now_ms: u64,
    ) -> Result<ProcessKey> {
        let (table, row) = self.place(key, node)?;
        if let Start::In(port, _) = &launch.start
            && !row.symbol.node.has_in(port)
        {
            let message = format!("node '{node}' has no port '{port}' to receive at");
            return Err(Error::new(Kind::NotFound, message));
        }
        let run = self.create(key, table, &row, None, launch.is_awaited, now_ms)?;
        let Some(process) = self.runs.get_mut(run) else {
            return Ok(run);
        };
        if let Some(at_ms) = launch.deadline_ms {
            let timer = Timer::Run(run);
            self.floor.timers.set(timer, &mut process.deadline, Some(at_ms));
        }
        match launch.start {
            Start::Out(Value::Error(error)) => {
                let frame = process.plant(&row, Port::OUT, &mut self.floor);
                process.begin_failed(frame, error, &mut self.floor, now_ms);
            }
            Start::Out(packet) => {
                let frame = process.plant(&row, Port::OUT, &mut self.floor);
                process.begin_out(frame, Port::OUT, packet, &mut self.floor, now_ms);
            }
            Start::In(port, packet) => {
                let frame = process.plant(&row, port, &mut self.floor);
                process.begin_in(frame, packet, &mut self.floor);
            }
        }
        self.after(run, now_ms);
        Ok(run)
    }

    /// The node that a run is to begin at, and the table around it.
    fn place(&self, key: Key<Namespace>, node: &str) -> Result<(Rc<Table>, Row)> {
        let missing = || Error::new(Kind::NotFound, format!("there is no node '{node}'"));
        let namespace = self.namespaces.get(key).ok_or_else(missing)?;
        let number = namespace.graph.find(node).ok_or_else(missing)?;
        let table = namespace.graph.table();
        let Some(row) = table.row(number) else {
            let status = namespace.graph.status(node).ok_or_else(missing)?;
            let message = format!("node '{node}' is not active: {}", status.text());
            return Err(Error::new(Kind::Unavailable, message));
        };
        Ok((table.clone(), row.clone()))
    }

    fn create(
        &mut self,
        key: Key<Namespace>,
        table: Rc<Table>,
        row: &Row,
        parent: Option<ProcessKey>,
        is_awaited: bool,
        now_ms: u64,
    ) -> Result<ProcessKey> {
        let Some(namespace) = self.namespaces.get_mut(key) else {
            return Err(Error::new(Kind::NotFound, "the namespace is gone"));
        };
        if namespace.runs >= FLOW_RUNS_MAX {
            let message = format!(
                "namespace '{}' has {FLOW_RUNS_MAX} runs already, more than that can't be",
                namespace.name
            );
            return Err(Error::new(Kind::Overloaded, message));
        }
        namespace.runs += 1;
        let node = row.symbol.name.clone();
        let above = parent.map(Process::id);
        let mut trace = Trace::new(super::RunId(0), above, namespace.name.clone(), node, now_ms);
        trace.is_whole = namespace.graph.reads_trace();
        trace.records = self.spare.records();
        let run = self.runs.insert(Box::new(Process {
            namespace: key,
            table,
            frames: self.spare.frames(),
            stage: Stage::Going,
            is_awaited,
            parent,
            children: Vec::new(),
            deadline: None,
            used_sql: false,
            outcome: None,
            moving: 0,
            waiting: Vec::new(),
            absorbed: Vec::new(),
            is_stepping: false,
            held: 0,
            trace,
        }));
        if let Some(process) = self.runs.get_mut(run) {
            process.trace.run = Process::id(run);
        }
        Ok(run)
    }

    /// What follows from the turn of a run: runs that it asked for, its end.
    pub(super) fn after(&mut self, run: ProcessKey, now_ms: u64) {
        while let Some(birth) = self.floor.births.pop() {
            let (parent, frame) = (birth.parent, birth.frame);
            let born = self.bear(birth, now_ms);
            if let Some(parent) = self.runs.get_mut(parent) {
                parent.wake(frame, Event::Forked(born), &mut self.floor);
            }
        }
        if self.runs.get(run).is_some_and(|its| its.outcome.is_some()) {
            self.over(run, now_ms);
            self.end_doomed(now_ms);
        }
    }

    /// Begins a run within another.
    fn bear(&mut self, birth: Birth, now_ms: u64) -> std::result::Result<super::RunId, Rc<Error>> {
        let refuse = |kind, message: &str| Rc::<Error>::from(Error::new(kind, message));
        let parent = self.runs.get(birth.parent);
        let found = parent.and_then(|parent| Some((parent, parent.frames.get(birth.frame)?)));
        let Some((parent, frame)) = found else {
            return Err(refuse(Kind::Cancelled, "the run is over"));
        };
        if parent.children.len() >= FLOW_CHILDREN_MAX {
            let message = format!("the run has {FLOW_CHILDREN_MAX} runs of its own already");
            return Err(refuse(Kind::Overloaded, &message));
        }
        let (table, namespace, deadline) = (parent.table.clone(), parent.namespace, parent.deadline);
        let row = Row {
            symbol: frame.symbol.clone(),
            inputs: 0,
            own: 0,
        };
        let scope = frame.scope.clone();
        let above = Some(birth.parent);
        let run = self
            .create(namespace, table, &row, above, false, now_ms)
            .map_err(Rc::from)?;
        if let Some(parent) = self.runs.get_mut(birth.parent) {
            parent.children.push(run);
        }
        if let Some(process) = self.runs.get_mut(run) {
            // It ends with the other at the latest, whose deadline it tells the world.
            process.deadline = None;
            let timer = Timer::Run(run);
            self.floor.timers.set(timer, &mut process.deadline, deadline);
            let frame = process.plant(&row, birth.port.clone(), &mut self.floor);
            if let Some(frame) = process.frames.get_mut(frame) {
                frame.scope = scope;
            }
            process.begin_out(frame, birth.port, birth.packet, &mut self.floor, now_ms);
        }
        if self.runs.get(run).is_some_and(|its| its.outcome.is_some()) {
            self.over(run, now_ms);
        }
        Ok(Process::id(run))
    }

    /// The first frame of a run is answered.
    fn over(&mut self, run: ProcessKey, now_ms: u64) {
        let Some(process) = self.runs.get_mut(run) else {
            return;
        };
        let Some(outcome) = process.outcome.take() else {
            return;
        };
        process.release(&mut self.floor);
        if process.used_sql {
            self.floor
                .timers
                .set(Timer::Run(run), &mut process.deadline, None);
            process.stage = Stage::Ending(outcome);
            process.end_transaction(&mut self.floor);
            return;
        }
        self.answer(run, outcome, now_ms);
    }

    /// The transaction of a run is over.
    pub(super) fn transaction_over(&mut self, run: ProcessKey, ended: Outcome, now_ms: u64) {
        let Some(process) = self.runs.get_mut(run) else {
            return;
        };
        let Stage::Ending(outcome) = std::mem::replace(&mut process.stage, Stage::Going) else {
            return;
        };
        let outcome = match (outcome, ended) {
            (Ok(_), Err(error)) => Err(error),
            (outcome, _) => outcome,
        };
        self.answer(run, outcome, now_ms);
        self.end_doomed(now_ms);
    }

    /// Gives the one answer of a run out.
    fn answer(&mut self, run: ProcessKey, outcome: Outcome, now_ms: u64) {
        let Some(process) = self.runs.get_mut(run) else {
            return;
        };
        let error = outcome.as_ref().err().cloned();
        process.trace.close(error.clone(), now_ms);
        if process.is_awaited {
            self.answers.push_back((Process::id(run), outcome));
        } else if let Some(error) = &error {
            self.floor.effects.push_back(Effect::Failed {
                namespace: process.trace.namespace.clone(),
                node: process.trace.node.clone(),
                run: Process::id(run),
                error: error.clone(),
            });
        }
        process.stage = Stage::Joining;
        #[cfg(test)]
        let error = error.filter(|_| self.floor.planted != Some(Bug::OrphansGoOn));
        if error.is_some() {
            let why: Rc<Error> = Rc::from(Error::new(
                Kind::Cancelled,
                "the run that it belongs to has failed",
            ));
            let children = process.children.iter().map(|child| (*child, why.clone()));
            self.doomed.extend(children);
        }
        self.remove_joined(run);
    }

    /// Forgets a run that is answered and has no runs of its own any more, and so on with that it belongs to.
    fn remove_joined(&mut self, run: ProcessKey) {
        let mut next = Some(run);
        while let Some(run) = next.take() {
            let known = self.runs.get(run);
            if !known.is_some_and(|its| matches!(its.stage, Stage::Joining) && its.children.is_empty()) {
                return;
            }
            let Some(mut process) = self.runs.remove(run) else {
                return;
            };
            self.floor
                .timers
                .set(Timer::Run(run), &mut process.deadline, None);
            #[cfg(test)]
            if self.floor.planted == Some(Bug::KeepTables) {
                self.hooks.tables.push(process.table.clone());
            }
            if self.traces.len() >= FLOW_TRACES_MAX
                && let Some(oldest) = self.traces.pop_front()
            {
                self.spare.keep_records(oldest.records);
            }
            self.spare.keep_frames(process.frames);
            self.traces.push_back(process.trace);
            if let Some(namespace) = self.namespaces.get_mut(process.namespace) {
                namespace.runs -= 1;
            }
            self.drop_unused(process.namespace);
            if let Some(parent) = process.parent.and_then(|parent| self.runs.get_mut(parent)) {
                parent.children.retain(|child| *child != run);
            }
            next = process.parent;
        }
    }

    /// Gives up the runs that are to be, and theirs.
    pub(super) fn end_doomed(&mut self, now_ms: u64) {
        while let Some((run, error)) = self.doomed.pop() {
            let Some(process) = self.runs.get_mut(run) else {
                continue;
            };
            match process.stage {
                Stage::Going => {
                    process.outcome = Some(Err(error));
                    self.over(run, now_ms);
                }
                Stage::Joining => {
                    #[cfg(test)]
                    if self.floor.planted == Some(Bug::AnswerTwice) && process.is_awaited {
                        self.answers.push_back((Process::id(run), Err(error.clone())));
                    }
                    let children = process.children.iter().map(|child| (*child, error.clone()));
                    self.doomed.extend(children);
                }
                // Its transaction can't be taken back.
                Stage::Ending(_) => {}
            }
        }
    }

    /// The deadline of a run has passed.
    pub(super) fn deadline_over(&mut self, run: ProcessKey, now_ms: u64) {
        let Some(process) = self.runs.get_mut(run) else {
            return;
        };
        if process.held > 0 {
            // Somebody looks at it.
            let again_ms = now_ms.saturating_add(FLOW_HELD_AGAIN_MS);
            self.floor
                .timers
                .set(Timer::Run(run), &mut process.deadline, Some(again_ms));
            return;
        }
        process.deadline = None;
        let took_ms = now_ms.saturating_sub(process.trace.began_ms);
        let message = format!(
            "the run at '{}' has not ended within {took_ms} ms",
            process.trace.node
        );
        self.doomed
            .push((run, Rc::from(Error::new(Kind::Timeout, message))));
    }

    /// The time of a source has come.
    pub(super) fn tick(&mut self, key: Key<Source>, now_ms: u64) {
        let Some(source) = self.sources.get_mut(key) else {
            return;
        };
        source.due = None;
        let (namespace, node) = (source.namespace, source.node.clone());
        // One that isn't over by then is waited for.
        let is_going = source.last.is_some_and(|last| self.runs.get(last).is_some());
        let name = self.namespaces.get(namespace).map(|its| its.name.clone());
        if !is_going && name.is_some_and(|name| self.can_begin(&name)) {
            let launch = Launch {
                start: Start::Out(Value::Null),
                deadline_ms: None,
                is_awaited: false,
            };
            let run = self.launch(namespace, &node, launch, now_ms).ok();
            if let Some(source) = self.sources.get_mut(key) {
                source.last = run;
            }
        }
        self.set_source(key, now_ms);
    }
}
