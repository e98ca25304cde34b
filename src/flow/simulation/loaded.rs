//! Which nodes are loaded, by their hooks alone: each comes in order, and once.

use crate::flow::graph::symbol::Symbol;
use crate::flow::spec::Target;
use std::collections::BTreeMap;
use std::rc::{Rc, Weak};

/// What is loaded in a namespace.
#[derive(Default)]
pub struct Loaded {
    nodes: BTreeMap<Rc<str>, Rc<Symbol>>,
    /// All that were.
    pub gone: Vec<Weak<Symbol>>,
}

/// Nodes that one links to, itself or within, by name; those by id are left out.
fn targets(symbol: &Symbol) -> Vec<Rc<str>> {
    let inner = symbol.inner.iter().flat_map(|its| &its.spec.ports);
    let links = symbol.spec.ports.iter().chain(inner).flat_map(|(_, links)| links);
    let names = links.filter_map(|link| match &link.target {
        Target::Name(name) => Some(name.clone()),
        Target::Id(_) => None,
    });
    names.collect()
}

/// Whether one leads to the other over any of these.
fn leads(from: &Rc<str>, to: &Rc<str>, nodes: &BTreeMap<Rc<str>, Rc<Symbol>>) -> bool {
    // Ids may lead anywhere: a node that has links to some is taken for leading back.
    let mut seen = vec![from.clone()];
    let mut next = 0;
    while let Some(name) = seen.get(next).cloned() {
        next += 1;
        let Some(symbol) = nodes.get(&name) else { continue };
        let inner = symbol.inner.iter().flat_map(|its| &its.spec.ports);
        let mut links = symbol.spec.ports.iter().chain(inner).flat_map(|(_, links)| links);
        if name == *to && next > 1 || links.any(|link| matches!(link.target, Target::Id(_))) {
            return true;
        }
        for target in targets(symbol) {
            if !seen.contains(&target) || target == *to {
                if target == *to {
                    return true;
                }
                seen.push(target);
            }
        }
    }
    false
}

impl Loaded {
    /// Takes the hooks of one change.
    pub fn take(&mut self, hooks: &[(bool, Rc<Symbol>)]) {
        let before = self.nodes.clone();
        let position = |is_load: bool, name: &str| {
            let mut places = hooks.iter().enumerate();
            let found = places.find(|(_, (its, symbol))| *its == is_load && *symbol.name == *name);
            found.map(|(place, _)| place)
        };
        for (is_load, symbol) in hooks {
            match is_load {
                true => {
                    let old = self.nodes.insert(symbol.name.clone(), symbol.clone());
                    assert!(old.is_none(), "{} is loaded twice", symbol.name);
                }
                false => {
                    let old = self
                        .nodes
                        .remove(&symbol.name)
                        .expect("what is unloaded was loaded");
                    assert!(Rc::ptr_eq(&old, symbol), "{} is another", symbol.name);
                    self.gone.push(Rc::downgrade(&old));
                }
            }
        }
        for (place, (is_load, symbol)) in hooks.iter().enumerate() {
            let nodes = if *is_load { &self.nodes } else { &before };
            for target in targets(symbol) {
                if leads(&target, &symbol.name, nodes) || !nodes.contains_key(&target) {
                    continue;
                }
                let Some(other) = position(*is_load, &target) else {
                    continue;
                };
                assert_eq!(
                    other < place,
                    *is_load,
                    "{} and {target} are (un)loaded in order",
                    symbol.name
                );
            }
        }
    }

    pub fn contains(&self, name: &str) -> bool {
        self.nodes.contains_key(name)
    }

    pub fn names(&self) -> impl Iterator<Item = &Rc<str>> {
        self.nodes.keys()
    }
}
