//! What was loaded and unloaded, and tables that a planted bug keeps: for the checks. Decides nothing.

use crate::flow::graph::change::Swap;
use crate::flow::graph::nodes::Table;
use crate::flow::graph::symbol::Symbol;
use std::rc::Rc;

/// What was loaded and unloaded, in order.
#[derive(Default)]
pub struct Hooks {
    /// Namespace, whether it was loaded, the node.
    pub list: Vec<(Rc<str>, bool, Rc<Symbol>)>,
    pub tables: Vec<Rc<Table>>,
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
