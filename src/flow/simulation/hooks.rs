//! Which nodes have been loaded and unloaded, for the checks.

use crate::flow::graph::change::Swap;
use std::rc::Rc;

/// What was loaded and unloaded, in order.
#[derive(Default)]
pub struct Hooks {
    pub list: Vec<(Rc<str>, bool, Rc<crate::flow::graph::symbol::Symbol>)>,
}

impl Hooks {
    pub fn push(&mut self, namespace: &Rc<str>, swap: &Swap) {
        for (is_load, symbols) in [(false, &swap.unloaded), (true, &swap.loaded)] {
            let each = symbols
                .iter()
                .map(|its| (namespace.clone(), is_load, its.clone()));
            self.list.extend(each);
        }
    }
}
