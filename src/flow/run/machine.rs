//! How frames move: what follows from a step, a packet on its way to other nodes, an answer on its way back. Never recurses: what
//! is to be done next stands in a list.

use super::floor::{Birth, Floor, Task, Timer};
use super::frame::{Caller, Frame, Stage, Wait};
use super::join::{Join, Part, Reply, Series};
use super::process::Process;

use crate::core::slab::Key;
use crate::error::{Error, Kind};
use crate::flow::engine::{Effect, TaskId};
use crate::flow::graph::nodes::Row;
use crate::flow::graph::symbol::{End, Symbol, Way};
use crate::flow::kinds::node::{Context, Event, FrameState, Step, Work};
use crate::flow::spec::Port;
use crate::flow::value::Value;
use crate::limits::{
    FLOW_DEPTH_MAX, FLOW_FRAMES_MAX, FLOW_NODE_PACKETS_MAX, FLOW_RUN_FRAMES_MAX, FLOW_WAITING_MAX,
    FLOW_WIDTH_MAX, TIMEOUT_MS_MAX,
};
use std::rc::Rc;

/// What is to be done next.
pub enum Next {
    /// A frame has failed: `error` may help.
    Fail(Key<Frame>, Rc<Error>),
    /// A frame ends.
    Reply(Key<Frame>, Reply),
    /// All that a frame has sent is answered.
    Joined(Key<Frame>),
}

/// Who sends a packet.
struct Sender {
    key: Key<Frame>,
    symbol: Rc<Symbol>,
    scope: Option<(Rc<Symbol>, Key<Frame>)>,
    depth: u32,
}

/// A packet's place in a join.
#[derive(Clone, Copy)]
struct Place {
    packet: u32,
    link: u32,
}

impl Process {
    /// The first frame of a run, which has received nothing yet.
    pub fn plant(&mut self, row: &Row, port: Port, floor: &mut Floor) -> Key<Frame> {
        floor.frames += 1;
        row.symbol.packets.set(row.symbol.packets.get() + 1);
        self.frames.insert(Frame {
            symbol: row.symbol.clone(),
            scope: None,
            inputs: row.inputs,
            port,
            via: Port::OUT,
            caller: None,
            depth: 0,
            stage: Stage::Node,
            state: FrameState::default(),
            wait: Wait::Nothing,
            record: None,
        })
    }

    /// The first frame receives a packet.
    pub fn begin_in(&mut self, key: Key<Frame>, packet: Value, floor: &mut Floor) {
        let wait = Wait::Turn {
            packet,
            is_passed: false,
        };
        self.enqueue(key, wait, floor);
    }

    /// The first frame sends a packet through a port, as a source does.
    pub fn begin_out(&mut self, key: Key<Frame>, port: Port, packet: Value, floor: &mut Floor, now_ms: u64) {
        self.record(key, &packet, now_ms);
        if let Some(frame) = self.frames.get_mut(key) {
            frame.stage = Stage::Out;
        }
        let mut todo = std::mem::take(&mut floor.todo);
        if !self.send(key, &port, packet.clone(), &mut todo, floor) {
            todo.push(Next::Reply(key, Reply::Given(Ok(packet))));
        }
        self.drive(todo, floor, now_ms);
    }

    /// The first frame has failed, as a source that could not understand what came.
    pub fn begin_failed(&mut self, key: Key<Frame>, error: Rc<Error>, floor: &mut Floor, now_ms: u64) {
        self.record(key, &Value::Error(error.clone()), now_ms);
        self.drive(vec![Next::Fail(key, error)], floor, now_ms);
    }

    /// A frame has its turn.
    pub fn turn(&mut self, key: Key<Frame>, floor: &mut Floor, now_ms: u64) {
        let Some(frame) = self.frames.get_mut(key) else {
            return;
        };
        let (packet, event) = match std::mem::replace(&mut frame.wait, Wait::Nothing) {
            Wait::Turn { packet, is_passed } => {
                if !is_passed && self.is_held(key, floor) {
                    self.hold(key, packet, floor);
                    return;
                }
                (Some(packet), None)
            }
            Wait::Event(event) => (None, Some(event)),
            // An old entry of the queue.
            other => {
                frame.wait = other;
                return;
            }
        };
        self.moving = self.moving.saturating_sub(1);
        if let Some(packet) = &packet {
            self.record(key, packet, now_ms);
        }
        let Some(frame) = self.frames.get_mut(key) else {
            return;
        };
        let symbol = frame.symbol.clone();
        let cx = Context {
            now_ms,
            run: self.trace.run,
            symbol: &symbol,
            trace: &self.trace,
        };
        let step = match (packet, event) {
            (Some(packet), _) => symbol.node.receive(&frame.port, packet, &mut frame.state, &cx),
            (None, Some(event)) => symbol.node.resume(event, &mut frame.state, &cx),
            (None, None) => return,
        };
        let mut todo = std::mem::take(&mut floor.todo);
        self.apply(key, step, &mut todo, floor, now_ms);
        self.drive(todo, floor, now_ms);
    }

    fn is_held(&self, key: Key<Frame>, floor: &Floor) -> bool {
        if self.is_stepping {
            return true;
        }
        if floor.breakpoints.list.is_empty() {
            return false;
        }
        let Some(frame) = self.frames.get(key) else {
            return false;
        };
        let from = frame.caller.and_then(|caller| self.frames.get(caller.frame));
        let from = from.map(|from| (&*from.symbol.name, &frame.via));
        let (namespace, node) = (&self.trace.namespace, &frame.symbol.name);
        floor.breakpoints.holds(namespace, node, &frame.port, from)
    }

    fn hold(&mut self, key: Key<Frame>, packet: Value, floor: &mut Floor) {
        self.is_stepping = false;
        self.held += 1;
        if let Some(frame) = self.frames.get_mut(key) {
            frame.wait = Wait::Debugger(packet);
        }
        floor.breakpoints.held.push((Process::key(self.trace.run), key));
    }

    /// A frame that is held goes on. False if it is not.
    pub fn go_on(&mut self, key: Key<Frame>, floor: &mut Floor) -> bool {
        let Some(frame) = self.frames.get_mut(key) else {
            return false;
        };
        match std::mem::replace(&mut frame.wait, Wait::Nothing) {
            Wait::Debugger(packet) => {
                self.held = self.held.saturating_sub(1);
                self.moving = self.moving.saturating_sub(1);
                let wait = Wait::Turn {
                    packet,
                    is_passed: true,
                };
                self.enqueue(key, wait, floor);
                true
            }
            other => {
                frame.wait = other;
                false
            }
        }
    }

    fn record(&mut self, key: Key<Frame>, packet: &Value, now_ms: u64) {
        let Some(frame) = self.frames.get(key) else {
            return;
        };
        let parent = frame.caller.and_then(|caller| self.frames.get(caller.frame));
        let parent = parent.and_then(|parent| parent.record);
        let record = self.trace.begin(frame, parent, packet, now_ms);
        if let Some(frame) = self.frames.get_mut(key) {
            frame.record = record;
        }
    }

    fn drive(&mut self, mut todo: Vec<Next>, floor: &mut Floor, now_ms: u64) {
        loop {
            while let Some(next) = todo.pop() {
                match next {
                    Next::Fail(key, error) => self.fail(key, error, &mut todo, floor),
                    Next::Reply(key, reply) => self.reply(key, reply, &mut todo, floor, now_ms),
                    Next::Joined(key) => self.joined(key, &mut todo, floor),
                }
            }
            let is_stuck = self.moving == 0 && self.outcome.is_none();
            match is_stuck.then(|| self.deadlock()).flatten() {
                Some(next) => todo.push(next),
                None => break,
            }
        }
        floor.todo = todo;
    }

    fn apply(&mut self, key: Key<Frame>, step: Step, todo: &mut Vec<Next>, floor: &mut Floor, now_ms: u64) {
        match step {
            Step::Finish(Ok(value)) => {
                if let Some(frame) = self.frames.get_mut(key) {
                    frame.stage = Stage::Out;
                }
                if !self.send(key, &Port::OUT, value.clone(), todo, floor) {
                    todo.push(Next::Reply(key, Reply::Given(Ok(value))));
                }
            }
            Step::Answer(Ok(value)) => todo.push(Next::Reply(key, Reply::Given(Ok(value)))),
            Step::Finish(Err(error)) | Step::Answer(Err(error)) => todo.push(self.own_failure(key, error)),
            Step::Send { port, packet } => {
                if !self.send(key, &port, packet.clone(), todo, floor) {
                    self.enqueue(key, Wait::Event(Event::Answered(Ok(packet))), floor);
                }
            }
            Step::SendAll { packets, width } => {
                let series = Series::new(packets, width.clamp(1, FLOW_WIDTH_MAX));
                if let Some(frame) = self.frames.get_mut(key) {
                    frame.wait = Wait::Join(Join::All(Box::new(series)));
                }
                self.send_more(key, todo, floor);
            }
            Step::Enter(packet) => self.enter(key, packet, todo, floor),
            Step::Do(work) => self.ask(key, work, floor),
            Step::Sleep { ms } => {
                let own = Process::key(self.trace.run);
                if let Some(frame) = self.frames.get_mut(key) {
                    let mut due = None;
                    let at_ms = now_ms.saturating_add(ms.min(TIMEOUT_MS_MAX));
                    floor.timers.set(Timer::Frame(own, key), &mut due, Some(at_ms));
                    frame.wait = Wait::Sleep(due);
                    self.moving += 1;
                }
            }
            Step::Hold(packet) => {
                if self.waiting.len() >= FLOW_WAITING_MAX {
                    let message = format!("{FLOW_WAITING_MAX} packets of the run wait for others already");
                    let error = Rc::from(Error::new(Kind::Overloaded, message));
                    todo.push(self.own_failure(key, error));
                } else if let Some(frame) = self.frames.get_mut(key) {
                    frame.wait = Wait::Inputs(packet);
                    self.waiting.push(key);
                    self.match_inputs(key, floor);
                }
            }
            Step::Fork { port, packet } => {
                self.moving += 1;
                floor.births.push(Birth {
                    parent: Process::key(self.trace.run),
                    frame: key,
                    port,
                    packet,
                });
            }
        }
    }

    fn ask(&mut self, key: Key<Frame>, work: Work, floor: &mut Floor) {
        let own = Process::key(self.trace.run);
        let Some(frame) = self.frames.get_mut(key) else {
            return;
        };
        self.used_sql |= matches!(work, Work::Sql { .. });
        let task = floor.tasks.insert(Task::Frame(own, key));
        frame.wait = Wait::Task(task);
        self.moving += 1;
        floor.effects.push_back(Effect::Do {
            task: TaskId(task.raw()),
            run: self.trace.run,
            namespace: self.trace.namespace.clone(),
            node: frame.symbol.name.clone(),
            work,
            deadline_ms: self.deadline,
        });
    }

    /// A frame fails by what its node says: an error that doesn't know yet where it happened, did here. One that a node passes on
    /// knows.
    fn own_failure(&self, key: Key<Frame>, mut error: Rc<Error>) -> Next {
        if error.place.is_none()
            && let Some(frame) = self.frames.get(key)
        {
            let symbol = &frame.symbol;
            let mut place = format!("node '{}'", symbol.name);
            let written = symbol.spec.place.to_string();
            if !written.is_empty() {
                place.push_str(" at ");
                place.push_str(&written);
            }
            Rc::make_mut(&mut error).place = Some(place);
        }
        Next::Fail(key, error)
    }

    /// An error, of a node's own or answered through `out`.
    fn fail(&mut self, key: Key<Frame>, error: Rc<Error>, todo: &mut Vec<Next>, floor: &mut Floor) {
        let Some(frame) = self.frames.get_mut(key) else {
            return;
        };
        let is_handled = std::mem::replace(&mut frame.stage, Stage::Error) != Stage::Error;
        let packet = Value::Error(error.clone());
        if !(is_handled && self.send(key, &Port::ERROR, packet, todo, floor)) {
            todo.push(Next::Reply(key, Reply::Given(Err(error))));
        }
    }

    /// All links of a port get a packet. False if there are none.
    fn send(
        &mut self,
        key: Key<Frame>,
        port: &Port,
        packet: Value,
        todo: &mut Vec<Next>,
        floor: &mut Floor,
    ) -> bool {
        let Some(sender) = self.sender(key) else {
            return false;
        };
        let symbol = sender.symbol.clone();
        let ways = symbol.ways(port);
        if ways.is_empty() {
            return false;
        }
        let mut part = Part::new(ways.len());
        for (link, way) in ways.iter().enumerate() {
            let link = link as u32;
            if let Err(error) = self.spawn(
                &sender,
                way,
                port,
                packet.clone(),
                Place { packet: 0, link },
                floor,
            ) {
                part.give(link, &symbol.name, Reply::Given(Err(error)));
            }
        }
        let is_over = part.is_over();
        if let Some(frame) = self.frames.get_mut(key) {
            frame.wait = Wait::Join(Join::One(part));
        }
        if is_over {
            todo.push(Next::Joined(key));
        }
        true
    }

    /// As many packets of a series as may be on their way.
    fn send_more(&mut self, key: Key<Frame>, todo: &mut Vec<Next>, floor: &mut Floor) {
        let Some(sender) = self.sender(key) else { return };
        let Some(frame) = self.frames.get_mut(key) else {
            return;
        };
        let Wait::Join(Join::All(mut series)) = std::mem::replace(&mut frame.wait, Wait::Nothing) else {
            return;
        };
        let symbol = sender.symbol.clone();
        while let Some((port, value)) = series.next() {
            let ways = symbol.ways(&port);
            if ways.is_empty() {
                series.passed(value);
                continue;
            }
            let packet = series.sent(ways.len());
            for (link, way) in ways.iter().enumerate() {
                let link = link as u32;
                if let Err(error) =
                    self.spawn(&sender, way, &port, value.clone(), Place { packet, link }, floor)
                {
                    series.give(packet, link, &symbol.name, Reply::Given(Err(error)));
                }
            }
        }
        let is_over = series.is_over();
        if let Some(frame) = self.frames.get_mut(key) {
            frame.wait = Wait::Join(Join::All(series));
        }
        if is_over {
            todo.push(Next::Joined(key));
        }
    }

    /// The first node within a block gets a packet.
    fn enter(&mut self, key: Key<Frame>, packet: Value, todo: &mut Vec<Next>, floor: &mut Floor) {
        let Some(mut sender) = self.sender(key) else {
            return;
        };
        if sender.symbol.inner.is_empty() {
            self.enqueue(key, Wait::Event(Event::Answered(Ok(packet))), floor);
            return;
        }
        let block = sender.symbol.clone();
        sender.scope = Some((block.clone(), key));
        let way = Way {
            end: End::Inner(0),
            port: Port::IN,
        };
        let mut part = Part::new(1);
        let place = Place { packet: 0, link: 0 };
        if let Err(error) = self.spawn(&sender, &way, &Port::IN, packet, place, floor) {
            part.give(0, &block.name, Reply::Given(Err(error)));
            todo.push(Next::Joined(key));
        }
        if let Some(frame) = self.frames.get_mut(key) {
            frame.wait = Wait::Join(Join::One(part));
        }
    }

    fn sender(&self, key: Key<Frame>) -> Option<Sender> {
        let frame = self.frames.get(key)?;
        Some(Sender {
            key,
            symbol: frame.symbol.clone(),
            scope: frame.scope.clone(),
            depth: frame.depth,
        })
    }

    /// Makes the frame of a packet at a node.
    fn spawn(
        &mut self,
        from: &Sender,
        way: &Way,
        via: &Port,
        packet: Value,
        place: Place,
        floor: &mut Floor,
    ) -> std::result::Result<(), Rc<Error>> {
        let (symbol, scope, inputs) = match way.end {
            End::Row(row) => {
                let row = self.table.row(row);
                row.map(|row| (row.symbol.clone(), None, row.inputs))
            }
            End::Inner(position) => from.scope.as_ref().and_then(|scope| {
                let inner = scope.0.inner.get(position as usize)?;
                let inputs = scope.0.inner_inputs.get(position as usize)?;
                Some((inner.clone(), Some(scope.clone()), *inputs))
            }),
        }
        .ok_or_else(|| {
            refusal(
                Kind::Unavailable,
                "a node that '",
                from,
                "' links to is not active",
            )
        })?;
        if from.depth >= FLOW_DEPTH_MAX {
            let what = format!(
                "' is the end of {FLOW_DEPTH_MAX} nodes that wait for each other; is there a circle of links?"
            );
            return Err(refusal(Kind::Overloaded, "node '", from, &what));
        }
        if self.frames.len() >= FLOW_RUN_FRAMES_MAX || floor.frames >= FLOW_FRAMES_MAX {
            let most = if floor.frames >= FLOW_FRAMES_MAX {
                FLOW_FRAMES_MAX
            } else {
                FLOW_RUN_FRAMES_MAX
            };
            let what = format!("' can't be sent on: {most} packets are on their way already");
            return Err(refusal(Kind::Overloaded, "a packet of '", from, &what));
        }
        let packets = symbol.packets.get();
        if packets >= FLOW_NODE_PACKETS_MAX {
            let what = format!(
                "' can't be sent to '{}': it has {packets} packets already",
                symbol.name
            );
            return Err(refusal(Kind::Overloaded, "a packet of '", from, &what));
        }
        symbol.packets.set(packets + 1);
        floor.frames += 1;
        let caller = Caller {
            frame: from.key,
            packet: place.packet,
            place: place.link,
        };
        let key = self.frames.insert(Frame {
            symbol,
            scope,
            inputs,
            port: way.port.clone(),
            via: via.clone(),
            caller: Some(caller),
            depth: from.depth + 1,
            stage: Stage::Node,
            state: FrameState::default(),
            wait: Wait::Nothing,
            record: None,
        });
        self.begin_in(key, packet, floor);
        Ok(())
    }

    /// A frame ends; whoever sent its packet gets the answer.
    fn reply(&mut self, key: Key<Frame>, reply: Reply, todo: &mut Vec<Next>, floor: &mut Floor, now_ms: u64) {
        let Some(frame) = self.frames.get(key) else {
            return;
        };
        let (symbol, caller, record) = (frame.symbol.clone(), frame.caller, frame.record);
        #[cfg(test)]
        let stage = frame.stage;
        self.frames.discard(key);
        floor.frames -= 1;
        symbol.packets.set(symbol.packets.get().saturating_sub(1));
        if let Reply::Given(outcome) = &reply {
            self.trace.end(record, outcome, now_ms);
        }
        // They fail with it, if it does, so that none of their own errors is asked for help.
        if !self.absorbed.is_empty() {
            let own = self.absorbed.extract_if(.., |(carrier, _)| *carrier == key);
            todo.extend(own.map(|(_, absorbed)| Next::Reply(absorbed, Reply::Absorbed)));
        }
        let Some(caller) = caller else {
            self.outcome = Some(reply.outcome());
            return;
        };
        #[cfg(test)]
        if floor.planted == Some(crate::flow::simulation::Bug::LoseAnswer) && stage == Stage::Error {
            return;
        }
        let Some(parent) = self.frames.get_mut(caller.frame) else {
            return;
        };
        if let Wait::Join(join) = &mut parent.wait {
            join.give(caller.packet, caller.place, &symbol.name, reply);
            let (is_over, is_series) = (join.is_over(), matches!(join, Join::All(_)));
            match (is_over, is_series) {
                (true, _) => todo.push(Next::Joined(caller.frame)),
                (false, true) => self.send_more(caller.frame, todo, floor),
                (false, false) => {}
            }
        }
    }

    /// All that a frame has sent is answered.
    fn joined(&mut self, key: Key<Frame>, todo: &mut Vec<Next>, floor: &mut Floor) {
        let Some(frame) = self.frames.get_mut(key) else {
            return;
        };
        let Wait::Join(join) = std::mem::replace(&mut frame.wait, Wait::Nothing) else {
            return;
        };
        match (frame.stage, join) {
            (Stage::Node, Join::All(series)) => {
                let event = Event::AllAnswered(series.outcomes());
                self.enqueue(key, Wait::Event(event), floor);
            }
            (Stage::Node, join) => {
                let event = Event::Answered(join.joined().outcome());
                self.enqueue(key, Wait::Event(event), floor);
            }
            (stage, join) => match join.joined() {
                Reply::Given(Err(error)) if stage == Stage::Out => todo.push(Next::Fail(key, error)),
                reply => todo.push(Next::Reply(key, reply)),
            },
        }
    }

    /// Whether a frame was the last that other inputs of its node have waited for.
    fn match_inputs(&mut self, key: Key<Frame>, floor: &mut Floor) {
        let Some(frame) = self.frames.get(key) else { return };
        let (symbol, inputs) = (frame.symbol.clone(), frame.inputs);
        let block = frame.scope.as_ref().map(|(_, block)| *block);
        let mut found = Vec::new();
        for input in 0..inputs {
            let fits = |key: &&Key<Frame>| {
                self.frames.get(**key).is_some_and(|its| {
                    Rc::ptr_eq(&its.symbol, &symbol)
                        && its.scope.as_ref().map(|(_, block)| *block) == block
                        && its.port.index == Some(input)
                })
            };
            match self.waiting.iter().find(fits) {
                Some(key) => found.push(*key),
                None => return,
            }
        }
        self.waiting.retain(|key| !found.contains(key));
        let mut values = Vec::with_capacity(found.len());
        for key in &found {
            if let Some(frame) = self.frames.get_mut(*key)
                && let Wait::Inputs(value) = std::mem::replace(&mut frame.wait, Wait::Carrier)
            {
                values.push(value);
            }
        }
        let mut found = found.into_iter();
        let Some(carrier) = found.next() else { return };
        self.absorbed.extend(found.map(|absorbed| (carrier, absorbed)));
        let event = Event::Released(Value::list(values));
        self.enqueue(carrier, Wait::Event(event), floor);
    }

    /// Nothing moves: a node whose inputs wait for another fails.
    fn deadlock(&mut self) -> Option<Next> {
        let key = *self.waiting.first()?;
        let frame = self.frames.get(key)?;
        let (symbol, inputs) = (frame.symbol.clone(), frame.inputs);
        let is_of_it = |key: &Key<Frame>| {
            let frame = self.frames.get(*key);
            frame.is_some_and(|its| Rc::ptr_eq(&its.symbol, &symbol))
        };
        let (of_it, others): (Vec<Key<Frame>>, Vec<Key<Frame>>) =
            self.waiting.iter().partition(|key| is_of_it(key));
        let is_there = |input: &u32| {
            let mut frames = of_it.iter().filter_map(|key| self.frames.get(*key));
            frames.any(|its| its.port.index == Some(*input))
        };
        let missing = (0..inputs).find(|input| !is_there(input)).unwrap_or(0);
        let message = format!(
            "node '{}' waits for in[{missing}], which nothing in the run can bring any more",
            symbol.name
        );
        self.waiting = others;
        let others = of_it.into_iter().filter(|other| *other != key);
        self.absorbed.extend(others.map(|other| (key, other)));
        Some(self.own_failure(key, Rc::from(Error::new(Kind::Deadlock, message))))
    }
}

#[cold]
fn refusal(kind: Kind, before: &str, from: &Sender, after: &str) -> Rc<Error> {
    Rc::from(Error::new(kind, format!("{before}{}{after}", from.symbol.name)))
}
