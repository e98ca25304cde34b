//! A node that was built and linked: what runs meet. Looks no name up while it runs.

use crate::error::{Error, Kind, Result};
use crate::flow::kinds::node::{Known, Node};
use crate::flow::kinds::table;
use crate::flow::spec::{Link, Port, PortName, Spec, Target};
use crate::limits::{FLOW_INNER_DEPTH_MAX, FLOW_INNER_MAX, FLOW_LINKS_MAX};
use std::cell::Cell;
use std::rc::Rc;

/// Where a link leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// To a node of the namespace, by its row in the table.
    Row(u32),
    /// To a node within the same block, by its position.
    Inner(u32),
}

/// A link whose target was looked up.
#[derive(Clone, Debug, PartialEq)]
pub struct Way {
    /// The other node.
    pub end: End,
    /// Its port.
    pub port: Port,
}

/// A node, built and linked. Shared by all tables that it is in.
pub struct Symbol {
    /// As it was written, templates resolved.
    pub spec: Rc<Spec>,
    /// Its name; of one within a block the block's, a slash, and its own or its position.
    pub name: Rc<str>,
    /// What it does.
    pub node: Box<dyn Node>,
    /// Its links.
    pub outs: Vec<(Port, Vec<Way>)>,
    /// The nodes within.
    pub inner: Vec<Rc<Symbol>>,
    /// How many inputs are linked of those among the nodes within that have several.
    pub inner_inputs: Vec<u32>,
    /// Where in the namespace it and the nodes within lead to, without repetition.
    pub needs: Vec<(u32, Port)>,
    /// The commands that it and the nodes within call, without repetition: program, if it is named, and command.
    pub commands: Vec<(Rc<str>, Rc<str>)>,
    /// Packets that it has now, in all runs.
    pub packets: Cell<u32>,
}

impl Symbol {
    /// Builds a node, and those within. `row_of` gives the row of a name, which it makes if there is none.
    ///
    /// # Errors
    /// A kind, field, port or link that is wrong.
    pub fn build(spec: &Rc<Spec>, known: &Known, row_of: &mut dyn FnMut(&Target) -> u32) -> Result<Symbol> {
        let node = table::build(&spec.kind, spec, known).map_err(|error| at(error, spec))?;
        let mut parts = Vec::new();
        flatten(spec, node, known, &mut parts)?;
        link(parts, row_of)
    }

    /// The links of a port.
    pub fn ways(&self, port: &Port) -> &[Way] {
        let found = self.outs.iter().find(|(its, _)| its == port);
        found.map_or(&[], |(_, ways)| ways)
    }
}

/// A node that is to be linked, and where in the list its children stand: parents come before children.
struct Part {
    spec: Rc<Spec>,
    name: Rc<str>,
    node: Box<dyn Node>,
    parent: Option<usize>,
    depth: usize,
}

/// Lists a node and all within it.
fn flatten(spec: &Rc<Spec>, node: Box<dyn Node>, known: &Known, parts: &mut Vec<Part>) -> Result<()> {
    parts.push(Part {
        spec: spec.clone(),
        name: spec.name.clone(),
        node,
        parent: None,
        depth: 0,
    });
    let mut next = 0;
    while let Some(part) = parts.get(next) {
        let inner = part.node.inner();
        let depth = part.depth + 1;
        if parts.len() + inner.len() > FLOW_INNER_MAX {
            return Err(bad(format!("more than {FLOW_INNER_MAX} nodes are in one block")));
        }
        if !inner.is_empty() && depth > FLOW_INNER_DEPTH_MAX {
            let message = format!("blocks stand in each other more than {FLOW_INNER_DEPTH_MAX} deep");
            return Err(bad(message));
        }
        let mut below = Vec::new();
        for (position, spec) in inner.iter().enumerate() {
            let name: Rc<str> = match spec.name.is_empty() {
                true => format!("{}/{position}", part.name).into(),
                false => format!("{}/{}", part.name, spec.name).into(),
            };
            let node = table::build(&spec.kind, spec, known).map_err(|error| at(error, spec))?;
            below.push(Part {
                spec: Rc::new(spec.clone()),
                name,
                node,
                parent: Some(next),
                depth,
            });
        }
        parts.append(&mut below);
        next += 1;
    }
    Ok(())
}

/// Makes symbols of the list from its end, so that each finds those within it made.
fn link(parts: Vec<Part>, row_of: &mut dyn FnMut(&Target) -> u32) -> Result<Symbol> {
    let families: Vec<(Option<usize>, Rc<str>)> = parts
        .iter()
        .map(|part| (part.parent, part.spec.name.clone()))
        .collect();
    // Of each part those within it, the last first.
    let mut made: Vec<Vec<Rc<Symbol>>> = parts.iter().map(|_| Vec::new()).collect();
    let mut parts = parts;
    while let Some(part) = parts.pop() {
        let is_sibling =
            |family: &&(Option<usize>, Rc<str>)| part.parent.is_some() && family.0 == part.parent;
        let siblings: Vec<&Rc<str>> = families.iter().filter(is_sibling).map(|its| &its.1).collect();
        let position = families[..parts.len()].iter().filter(is_sibling).count();
        let mut find = |target: &Target| {
            let inner = match target {
                Target::Name(name) => siblings.iter().position(|its| **its == *name),
                Target::Id(_) => None,
            };
            inner.map_or_else(|| End::Row(row_of(target)), |inner| End::Inner(inner as u32))
        };
        let mut outs = outs(&part, &mut find)?;
        let has_out = outs.iter().any(|(port, _)| *port == Port::OUT);
        if position + 1 < siblings.len() && !has_out {
            // A chain: what comes out of one goes into the next.
            let end = End::Inner(position as u32 + 1);
            outs.push((Port::OUT, vec![Way { end, port: Port::IN }]));
        }
        let mut inner = made.pop().unwrap_or_default();
        inner.reverse();
        let symbol = Symbol {
            inner_inputs: inputs_within(&inner)?,
            needs: needs(&outs, &inner),
            commands: commands(&*part.node, &inner),
            spec: part.spec,
            name: part.name,
            node: part.node,
            outs,
            inner,
            packets: Cell::new(0),
        };
        match part.parent {
            Some(parent) => made[parent].push(Rc::new(symbol)),
            None => return Ok(symbol),
        }
    }
    Err(bad("there is no node".into()))
}

/// The links of a node by its ports.
fn outs(part: &Part, find: &mut dyn FnMut(&Target) -> End) -> Result<Vec<(Port, Vec<Way>)>> {
    let mut outs: Vec<(Port, Vec<Way>)> = Vec::with_capacity(part.spec.ports.len());
    for (port, links) in &part.spec.ports {
        if !part.node.has_out(port) {
            let kind = &part.spec.kind;
            let message = format!("port '{port}' is none that a node of kind '{kind}' sends to");
            let known = [Port::OUT, Port::out(0), Port::out(1), Port::ERROR].into_iter();
            let known: Vec<String> = known
                .filter(|port| part.node.has_out(port))
                .map(|port| port.to_string())
                .collect();
            let hint = format!("it sends to {}", known.join(", "));
            return Err(at(bad(message).hint(hint), &part.spec));
        }
        if links.len() > FLOW_LINKS_MAX {
            let count = links.len();
            let message = format!("port '{port}' has {count} links, expected at most {FLOW_LINKS_MAX}");
            return Err(at(bad(message), &part.spec));
        }
        if links.is_empty() {
            continue;
        }
        let way = |link: &Link| Way {
            end: find(&link.target),
            port: link.port.clone(),
        };
        outs.push((port.clone(), links.iter().map(way).collect()));
    }
    Ok(outs)
}

/// How many inputs of each are linked among nodes within a block, whose ports are checked.
fn inputs_within(inner: &[Rc<Symbol>]) -> Result<Vec<u32>> {
    let mut inputs = vec![0; inner.len()];
    for symbol in inner {
        for way in symbol.outs.iter().flat_map(|(_, ways)| ways) {
            let End::Inner(place) = way.end else { continue };
            let target = &inner[place as usize];
            if !target.node.has_in(&way.port) {
                let message = format!("node '{}' has no port '{}'", target.name, way.port);
                return Err(at(bad(message), &symbol.spec));
            }
            let count = &mut inputs[place as usize];
            *count = (*count).max(input_count(&way.port));
        }
    }
    Ok(inputs)
}

/// How many inputs there are at least if this is one of several.
pub fn input_count(port: &Port) -> u32 {
    match (&port.name, port.index) {
        (PortName::In, Some(index)) => index + 1,
        _ => 0,
    }
}

fn needs(outs: &[(Port, Vec<Way>)], inner: &[Rc<Symbol>]) -> Vec<(u32, Port)> {
    let own = outs
        .iter()
        .flat_map(|(_, ways)| ways)
        .filter_map(|way| match way.end {
            End::Row(row) => Some((row, way.port.clone())),
            End::Inner(_) => None,
        });
    let below = inner.iter().flat_map(|symbol| symbol.needs.iter().cloned());
    let mut needs: Vec<(u32, Port)> = own.chain(below).collect();
    needs.sort_unstable();
    needs.dedup();
    needs
}

fn commands(node: &dyn Node, inner: &[Rc<Symbol>]) -> Vec<(Rc<str>, Rc<str>)> {
    let own = node
        .command()
        .map(|(program, command)| (program.clone(), command.clone()));
    let below = inner.iter().flat_map(|symbol| symbol.commands.iter().cloned());
    let mut commands: Vec<(Rc<str>, Rc<str>)> = own.into_iter().chain(below).collect();
    commands.sort_unstable();
    commands.dedup();
    commands
}

fn bad(message: String) -> Box<Error> {
    Error::new(Kind::BadArgument, message)
}

/// The error with the place of a spec, if it has none.
pub fn at(error: Box<Error>, spec: &Spec) -> Box<Error> {
    let place = spec.place.to_string();
    match error.place.is_some() || place.is_empty() {
        true => error,
        false => error.at(place),
    }
}
