//! The nodes and values of each namespace as they are stored, and the nodes that become of them: with their templates replaced.
//! Reads no file.

use crate::error::Error;
use crate::flow::engine::Change;
use crate::flow::spec::secrets::Secrets;
use crate::flow::spec::template::{self, Values};
use crate::flow::spec::{FlowValue, Object, Sort, Spec};
use crate::flow::store;
use crate::map::Map;
use std::cell::OnceCell;
use std::rc::Rc;

/// All namespaces.
#[derive(Default)]
pub struct Supply {
    namespaces: Map<Rc<str>, Stored>,
    /// What nobody gets to see of any of them, once somebody has asked for it.
    secrets: OnceCell<Secrets>,
    /// What templates are replaced by that nobody's env has.
    pub given: Vec<(String, String)>,
    /// Nodes that start runs by themselves are left out.
    pub is_without_sources: bool,
}

/// What is stored of a namespace.
#[derive(Default)]
pub struct Stored {
    specs: Map<Rc<str>, Rc<Spec>>,
    values: Vec<Rc<FlowValue>>,
    /// What is wrong with its files.
    pub errors: Vec<Box<Error>>,
}

/// Kinds that start runs by themselves.
const SOURCES: [&str; 3] = ["listener", "timer", "watch"];

impl Supply {
    /// Takes a change of the store: what the engine is to be told of it.
    pub fn take(&mut self, change: store::Change) -> Vec<Change> {
        let stored = self.namespaces.or_insert_with(change.namespace, Stored::default);
        stored.errors = change.errors;
        let mut changes = Vec::new();
        let mut touched = Vec::new();
        let mut is_all = false;
        for (sort, name) in change.removals {
            match sort {
                Sort::Specs => {
                    stored.specs.remove(&*name);
                    changes.push(Change::Remove(name));
                }
                Sort::Values => {
                    stored.values.retain(|value| value.name != name);
                    is_all = true;
                }
            }
        }
        for object in change.upserts {
            match object {
                Object::Spec(spec) if self.is_without_sources && SOURCES.contains(&&*spec.kind) => {}
                Object::Spec(spec) => {
                    touched.push(spec.clone());
                    stored.specs.insert(spec.name.clone(), spec);
                }
                Object::Value(value) => {
                    stored.values.retain(|known| known.name != value.name);
                    stored.values.push(value);
                    is_all = true;
                }
            }
        }
        if is_all {
            self.secrets = OnceCell::new();
            touched = stored.specs.values().cloned().collect();
        }
        for spec in touched {
            let resolved = template::resolve(&spec, Values(&stored.values), &self.given);
            changes.push(match resolved {
                Ok(resolved) => Change::Set(resolved),
                Err(error) => Change::Refuse {
                    spec,
                    error: error.into(),
                },
            });
        }
        changes
    }

    /// The namespaces, in order.
    pub fn namespaces(&self) -> impl Iterator<Item = &Rc<str>> {
        self.namespaces.keys()
    }

    /// What is wrong with the files of a namespace.
    pub fn errors(&self, namespace: &str) -> &[Box<Error>] {
        self.namespaces
            .get(namespace)
            .map_or(&[], |stored| &stored.errors)
    }

    /// What nobody gets to see of a namespace.
    pub fn secrets(&self, namespace: &str) -> Secrets {
        let stored = self.namespaces.get(namespace);
        let values = stored.into_iter().flat_map(|stored| &stored.values);
        Secrets::of(values.map(|value| &**value))
    }

    /// What nobody gets to see of any namespace, for what is printed line by line by whom all of them share.
    pub fn all_secrets(&self) -> &Secrets {
        self.secrets.get_or_init(|| {
            let values = self.namespaces.values().flat_map(|stored| &stored.values);
            Secrets::of(values.map(|value| &**value)).by_lines()
        })
    }
}
