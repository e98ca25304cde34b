//! Getters and setters. What they select from has to be known; until it is, they wait.

use crate::codec::nearest::nearest;
use crate::compose::ast::{Branch, NodeId, Selector};
use crate::compose::describe::describe;
use crate::compose::infer::complain::Why;
use crate::compose::infer::program::Infer;
use crate::compose::types::{Kinds, Node, Ty};

/// A place in a value of a type that is not known yet.
#[derive(Debug)]
pub(super) struct Pending {
    /// The pattern.
    id: NodeId,
    /// The value.
    subject: Ty,
    /// The way from it.
    path: Vec<Selector>,
    /// What stands there.
    found: Ty,
}

impl Infer<'_, '_> {
    /// The type of a pattern that selects from `subject`.
    pub fn pattern(&mut self, id: NodeId, branches: &[Branch], subject: Ty) -> Ty {
        let mut parts = Vec::new();
        let mut is_setter = false;
        for branch in branches {
            let found = self.fresh(Kinds::ANY);
            parts.push(found);
            let pending = Pending {
                id,
                subject,
                path: branch.path.clone(),
                found,
            };
            if let Some(pending) = self.follow(pending) {
                self.pending.push(pending);
            }
            if let Some(value) = branch.value {
                is_setter = true;
                self.check(value, found, Why::Set);
            }
        }
        let result = match (is_setter, parts.as_slice()) {
            (true, _) => subject,
            (false, [only]) => *only,
            (false, parts) => self.inferred.types.tuple(parts),
        };
        self.inferred.types.add(Node::Arrow(subject, result))
    }

    /// Goes as far as is known; what is left of the way.
    fn follow(&mut self, mut pending: Pending) -> Option<Pending> {
        while let Some(step) = pending.path.first() {
            let subject = pending.subject;
            let next = match (self.inferred.types.node(subject), step) {
                (Node::Variable { kinds, .. }, _) if kinds.has(Kinds::TUPLE) || kinds.has(Kinds::RECORD) => {
                    return Some(pending);
                }
                (Node::Tuple(span), Selector::Position(position)) => {
                    let members = self.inferred.types.members(span);
                    members.get(*position as usize).copied()
                }
                (Node::Record(record), Selector::Key(key)) => {
                    let fields = &self.inferred.types.record(record).fields;
                    fields.iter().find(|field| field.0 == *key).map(|field| field.1)
                }
                _ => None,
            };
            match next {
                Some(next) => {
                    pending.subject = next;
                    pending.path.remove(0);
                }
                None => {
                    let step = step.clone();
                    self.no_such_part(pending.id, subject, &step);
                    return None;
                }
            }
        }
        if let Err(mismatch) = self.inferred.types.unify(pending.subject, pending.found) {
            self.misfit(pending.id, pending.subject, pending.found, Why::Free, mismatch);
        }
        None
    }

    fn no_such_part(&mut self, id: NodeId, subject: Ty, step: &Selector) {
        let is = describe(&mut self.inferred.types, subject);
        let shown = match step {
            Selector::Position(position) => format!(".{position}"),
            Selector::Key(key) => format!(".{key}"),
        };
        let (message, hint) = match (self.inferred.types.node(subject), step) {
            (Node::Record(record), Selector::Key(key)) => {
                let fields = &self.inferred.types.record(record).fields;
                let keys: Vec<&str> = fields.iter().map(|field| field.0.as_str()).collect();
                let hint = match nearest(key, keys.iter().copied()) {
                    Some(near) => format!("did you mean .{near}?"),
                    None => format!("its fields: {}", keys.join(", ")),
                };
                (format!("{is} has no field {key}"), Some(hint))
            }
            (Node::Record(_), Selector::Position(_)) => (
                format!("{shown} takes part of {is}, whose parts have names"),
                None,
            ),
            (Node::Tuple(span), Selector::Position(_)) => {
                let last = span.len() - 1;
                (
                    format!("{shown} takes part of {is}, which ends with .{last}"),
                    None,
                )
            }
            (Node::Optional(_), _) => (format!("{shown} takes part of {is}, which may be null"), None),
            _ => (
                format!("{shown} takes part of {is}, expected a tuple or record"),
                None,
            ),
        };
        let mut flaw = self.at(id, message);
        flaw.hint = hint;
        self.complain(flaw);
    }

    /// Goes on with what has become known. What has not can't be left to each use, so it belongs to that level.
    pub fn settle_patterns(&mut self, level: u32) {
        for pending in std::mem::take(&mut self.pending) {
            let Some(rest) = self.follow(pending) else {
                continue;
            };
            for ty in [rest.subject, rest.found] {
                let vars = self.inferred.types.variables(ty).unwrap_or_default();
                self.inferred.types.lower(&vars, level);
            }
            self.pending.push(rest);
        }
    }

    /// Patterns whose values never became known.
    pub fn complain_of_pending(&mut self) {
        for pending in std::mem::take(&mut self.pending) {
            let message = "what this pattern selects from is not known here".to_string();
            let flaw = self.at(pending.id, message);
            self.complain(
                flaw.hint("write a signature for the definition, or a type behind the value: (x :: Person)"),
            );
        }
    }
}
