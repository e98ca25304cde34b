//! What people ask of flows over the private socket: how nodes stand, the graph, traces; and to hold packets at breakpoints.
//! Answers in text, as people read it.
//!
//! `status [NAMESPACE]`, `graph NAMESPACE FORM`, `trace RUN`, and of `debug NAMESPACE`: `break [NODE [PORT]]`, `delete ID`,
//! `breakpoints`, `continue`, `step`, `symbols`, `processes`, `frames`, `frame [ID]`, `quit`. The answer to `continue` and `step` comes
//! when a packet is held again. When who holds packets is gone, breakpoints go and everything goes on.

use super::super::{ClientId, Server};
use super::State;
use crate::error::{Error, Kind, Result};
use crate::flow::engine::{Engine, RunId};
use crate::flow::graph::text::text;
use crate::flow::run::breakpoint::{FrameId, Held};
use crate::flow::shown;
use crate::flow::spec::Port;

/// Who holds packets.
#[derive(Default)]
pub(super) struct Looking {
    /// Each with its namespace, and the request that waits until a packet is held.
    debuggers: Vec<Debugger>,
}

struct Debugger {
    client: ClientId,
    namespace: String,
    waiting: Option<u64>,
    /// The run that makes a step.
    stepping: Option<RunId>,
    /// The packet that commands are about.
    current: Option<FrameId>,
}

impl Server {
    /// Answers what is asked of flows; none: it is answered later.
    pub(in crate::serve::server) fn look_at_flows(
        &mut self,
        client: ClientId,
        request: u64,
        words: &[String],
        now_ms: u64,
    ) -> Option<Result<String>> {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        Some(match words.as_slice() {
            ["status", rest @ ..] => self.flow_status(rest.first().copied()),
            ["graph", namespace, form] => self.flow_graph(namespace, form),
            ["trace", run] => self.flow_trace(run),
            ["traces", namespace] => Ok(self.flow_traces(namespace)),
            ["debug", namespace, rest @ ..] => {
                let answer = self.debug(client, request, namespace, rest, now_ms);
                self.settle(now_ms);
                return answer.transpose();
            }
            _ => {
                let message = format!("flows have no '{}'", words.join(" "));
                Err(Error::new(Kind::Usage, message).hint("is it a nexus of the same version?"))
            }
        })
    }

    fn known_namespace(&self, namespace: &str) -> Result<()> {
        if self.flows.namespaces.iter().any(|known| **known == *namespace) {
            return Ok(());
        }
        let message = format!("this server has no nodes in namespace '{namespace}'");
        let error = Error::new(Kind::NotFound, message);
        let known: Vec<&str> = self.flows.namespaces.iter().map(|known| &**known).collect();
        Err(match known.is_empty() {
            true => error.hint("nexus start serves a namespace"),
            false => error.hint(format!("it has {}", known.join(", "))),
        })
    }

    fn flow_status(&self, namespace: Option<&str>) -> Result<String> {
        if let Some(namespace) = namespace {
            self.known_namespace(namespace)?;
        }
        let mut rows = vec![shown::status_head()];
        let mut flaws = String::new();
        for known in &self.flows.namespaces {
            if namespace.is_some_and(|namespace| **known != *namespace) {
                continue;
            }
            let secrets = self.flows.supply.secrets(known);
            for status in self.flows.engine.status(known) {
                let failed = self.source_failure(known, &status.spec.name);
                let mut row = shown::status_row(known, &status, failed.as_deref());
                if let Some(state) = row.last_mut() {
                    *state = secrets.mask(state).into_owned();
                }
                rows.push(row);
            }
            for error in self.flows.supply.errors(known) {
                flaws.push_str(&format!("{}\n", secrets.mask(&error.to_string())));
            }
        }
        Ok(shown::table(&rows) + &flaws)
    }

    /// Why a listener or watch of an active node could not be opened.
    fn source_failure(&self, namespace: &str, node: &str) -> Option<String> {
        let mut sources = self.flows.sources.iter();
        let found = sources.find(|source| *source.namespace == *namespace && *source.node == *node)?;
        match &found.state {
            State::Failed(error) => Some(error.message.clone()),
            _ => None,
        }
    }

    fn flow_graph(&self, namespace: &str, form: &str) -> Result<String> {
        self.known_namespace(namespace)?;
        let language = shown::language(form)?;
        Ok(text(namespace, &self.flows.engine.status(namespace), language))
    }

    fn flow_trace(&self, run: &str) -> Result<String> {
        let missing = || {
            let message = format!("there is no run '{run}', or its trace is not kept any more");
            Error::new(Kind::NotFound, message)
                .hint("the last runs are kept; their ids stand in X-Run-Id and in the log")
        };
        let found = RunId::parse(run).and_then(|run| self.flows.engine.trace(run));
        let trace = found.ok_or_else(missing)?;
        Ok(shown::trace(trace, &self.flows.supply.secrets(&trace.namespace)))
    }

    fn flow_traces(&self, namespace: &str) -> String {
        let traces = self.flows.engine.traces(namespace);
        let rows = traces.map(|trace| {
            let state = match &trace.ended {
                None => "goes on".to_string(),
                Some((_, Some(error))) => format!("failed: {}", error.kind.name()),
                Some((ended_ms, None)) => format!("{} ms", ended_ms.saturating_sub(trace.began_ms)),
            };
            vec![trace.run.to_string(), trace.node.to_string(), state]
        });
        shown::table(&rows.collect::<Vec<_>>())
    }

    fn debug(
        &mut self,
        client: ClientId,
        request: u64,
        namespace: &str,
        words: &[&str],
        now_ms: u64,
    ) -> Result<Option<String>> {
        self.known_namespace(namespace)?;
        let place = self.debugger(client, namespace)?;
        let engine = &mut self.flows.engine;
        let list = |lines: Vec<String>, none: &str| match lines.is_empty() {
            true => format!("{none}\n"),
            false => lines.iter().map(|line| format!("{line}\n")).collect(),
        };
        let secrets = self.flows.supply.secrets(namespace);
        let answer = match words {
            [] => String::new(),
            ["break", rest @ ..] => {
                let port = rest.get(1).map(|port| Port::parse(port)).transpose()?;
                let node = rest.first().copied();
                if let Some(node) = node
                    && engine.node_status(namespace, node).is_none()
                {
                    let message = format!("there is no node '{node}' in namespace '{namespace}'");
                    return Err(Error::new(Kind::NotFound, message).hint("symbols lists them"));
                }
                if let (Some(node), Some(port)) = (node, &port) {
                    expect_port(engine, namespace, node, port)?;
                }
                let id = engine.add_breakpoint(namespace, node, port)?;
                let added = engine.breakpoints(namespace).filter(|its| its.id == id);
                list(added.map(shown::breakpoint).collect(), "none")
            }
            ["delete"] => {
                let ids: Vec<u32> = engine.breakpoints(namespace).map(|its| its.id).collect();
                for id in ids {
                    engine.remove_breakpoint(id);
                }
                String::new()
            }
            ["delete", id] => {
                let known = id.parse().is_ok_and(|id| {
                    engine.breakpoints(namespace).any(|its| its.id == id) && engine.remove_breakpoint(id)
                });
                if !known {
                    let message = format!("there is no breakpoint '{id}'");
                    return Err(Error::new(Kind::NotFound, message).hint("breakpoints lists them"));
                }
                String::new()
            }
            ["breakpoints"] => list(
                engine.breakpoints(namespace).map(shown::breakpoint).collect(),
                "no breakpoints",
            ),
            ["continue" | "step"] => {
                let is_step = words.first() == Some(&"step");
                if let Some(debugger) = self.flows.looking.debuggers.get_mut(place) {
                    debugger.waiting = Some(request);
                    // What is held and was not shown yet is shown first.
                    if let Some(frame) = debugger.current.take() {
                        engine.go_on(frame, is_step);
                        debugger.stepping = is_step.then_some(frame.run);
                    }
                }
                return Ok(None);
            }
            ["symbols"] => {
                let rows = engine.status(namespace).into_iter().map(|status| {
                    vec![
                        status.spec.name.to_string(),
                        status.spec.kind.to_string(),
                        secrets.mask(&status.text()).into_owned(),
                    ]
                });
                shown::table(&rows.collect::<Vec<_>>())
            }
            ["processes"] => {
                let told = engine.processes(namespace).map(|process| {
                    format!(
                        "run {} from {}, {} ms, {} packets, {} held",
                        process.run,
                        process.node,
                        now_ms.saturating_sub(process.began_ms),
                        process.frames,
                        process.held
                    )
                });
                list(told.collect(), "no runs")
            }
            ["frames"] => {
                let held = engine.held(namespace);
                list(
                    held.iter().map(|held| shown::held(held, &secrets)).collect(),
                    "nothing is held",
                )
            }
            ["frame", rest @ ..] => {
                let wanted = rest.first().copied();
                let current = self.flows.looking.debuggers.get(place);
                let current = current.and_then(|debugger| debugger.current);
                let is_meant = |held: &&Held| match wanted {
                    Some(id) => held.frame.frame.to_string() == id,
                    None => current.is_none_or(|current| held.frame == current),
                };
                let held = engine.held(namespace);
                let Some(found) = held.iter().find(is_meant) else {
                    let message = "no such packet is held".to_string();
                    return Err(Error::new(Kind::NotFound, message).hint("frames lists them"));
                };
                if let Some(debugger) = self.flows.looking.debuggers.get_mut(place) {
                    debugger.current = Some(found.frame);
                }
                let packet = crate::flow::value::json::text(&secrets.mask_value(&found.packet));
                format!("{}.{} {packet}\n", found.node, found.port)
            }
            ["quit"] => {
                self.forget_debugger(client);
                String::new()
            }
            [other, ..] => {
                return Err(Error::new(
                    Kind::Usage,
                    format!("the debugger has no command '{other}'"),
                ));
            }
        };
        Ok(Some(answer))
    }

    /// The place of a client among those who hold packets.
    fn debugger(&mut self, client: ClientId, namespace: &str) -> Result<usize> {
        let debuggers = &mut self.flows.looking.debuggers;
        match debuggers
            .iter()
            .position(|debugger| debugger.namespace == namespace)
        {
            Some(place) if debuggers.get(place).is_some_and(|its| its.client == client) => Ok(place),
            Some(_) => {
                let message = format!("somebody else debugs namespace '{namespace}'");
                Err(Error::new(Kind::Conflict, message))
            }
            None => {
                debuggers.push(Debugger {
                    client,
                    namespace: namespace.to_string(),
                    waiting: None,
                    stepping: None,
                    current: None,
                });
                Ok(debuggers.len() - 1)
            }
        }
    }

    /// Tells those who wait for it that a packet is held, or that the run is over in which they have made a step.
    pub(super) fn tell_stops(&mut self) {
        if self.flows.looking.debuggers.is_empty() {
            return;
        }
        let mut told = Vec::new();
        for debugger in &mut self.flows.looking.debuggers {
            let Some(request) = debugger.waiting else { continue };
            let held = self.flows.engine.held(&debugger.namespace);
            let line = if let Some(first) = held.first() {
                debugger.current = Some(first.frame);
                shown::held(first, &self.flows.supply.secrets(&debugger.namespace))
            } else if let Some(trace) = debugger.stepping.map(|run| self.flows.engine.trace(run))
                && trace.is_none_or(|trace| trace.ended.is_some())
            {
                let secrets = self.flows.supply.secrets(&debugger.namespace);
                trace.map_or_else(|| "the run is over".into(), |trace| shown::run(trace, &secrets))
            } else {
                continue;
            };
            (debugger.waiting, debugger.stepping) = (None, None);
            told.push((debugger.client, request, format!("{line}\n")));
        }
        for (client, request, text) in told {
            let mut out = Vec::new();
            crate::codec::msgpack::write::string(&mut out, &text);
            self.answer_private(client, request, Ok(out));
        }
    }

    /// Whether a client waited for a packet to be held by that request; it does no longer.
    pub(in crate::serve::server) fn stop_waiting(&mut self, client: ClientId, request: u64) -> bool {
        let mut debuggers = self.flows.looking.debuggers.iter_mut();
        let found = debuggers.find(|its| its.client == client && its.waiting == Some(request));
        found.is_some_and(|debugger| {
            (debugger.waiting, debugger.stepping) = (None, None);
            true
        })
    }

    /// A client is gone: what it held goes on.
    pub(in crate::serve::server) fn forget_debugger(&mut self, client: ClientId) {
        let debuggers = &mut self.flows.looking.debuggers;
        let gone = debuggers.extract_if(.., |debugger| debugger.client == client);
        for debugger in gone {
            self.flows.engine.clear_breakpoints(&debugger.namespace);
        }
    }
}

/// Refuses a port that a node neither receives at nor sends from.
fn expect_port(engine: &Engine, namespace: &str, node: &str, port: &Port) -> Result<()> {
    let ports = engine.ports(namespace, node);
    // A node that could not be built has none that are known.
    if ports.is_empty() || engine.has_port(namespace, node, port) {
        return Ok(());
    }
    let ports: Vec<String> = ports.iter().map(Port::to_string).collect();
    let message = format!("node '{node}' has no port '{port}', it has {}", ports.join(", "));
    Err(Error::new(Kind::NotFound, message))
}
