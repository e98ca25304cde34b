//! The tags of compositions: functions of pools, and what is done with lists, at once, again, or within a time. The part of
//! [`Loader`] that reads them; all others stand in [`crate::expr::load`].
//!
//! Those with a star wait, and stand in composed commands only; `X` stands for an expression:
//! ```text
//! call *         pool, mid, arg_schemas: [schema], return_schema, at: "stats.loc:12", name     a function value
//! op             op: name, schema (of an operand)                                              a function value
//! and, or        left: X, right: X              the second only if it is needed
//! filter         func: X, list: X
//! fold           func: X, init: X, list: X      func of what came so far and the next element
//! next           first: X, then: X              first is done and has succeeded; its value is dropped
//! beside         first: X, then: X              at the same time; the failure of the first is that of the whole
//! try            child: X                       (value, null) or (null, message)
//! par, race      elements: [X]                  a list of all values; the value of the first that succeeds
//! pmap           width: X, func: X, list: X, collect: whether each result is what `try` gives
//! sleep *        ms: X
//! timeout *      ms: X, child: X
//! retry *        times: X, delay_ms: X, child: X
//! ```
//! Those that drive processes stand in [`crate::expr::drive`].
//!
//! `app`, `container` and `let` may have `"sequential": true`: nothing is left to do of one argument, element or value when
//! the next is begun.

use crate::codec::document::Node;
use crate::codec::schema::Type;
use crate::expr::arena::{Expr, Foreign, Operator, Strict};
use crate::expr::load::{Loaded, Loader};
use crate::ids::{ExprId, PoolId, TypeId};

impl<'d> Loader<'_, 'd> {
    /// Reads a tag of compositions; none if it is no such tag.
    pub(super) fn compose(&mut self, node: Node<'d, '_>, tag: &str) -> Option<Option<Loaded>> {
        if matches!(tag, "call" | "sleep" | "timeout" | "retry") && self.pools.is_none() {
            return None;
        }
        Some(match tag {
            "call" => self.call(node),
            "op" => self.operator(node),
            "and" | "or" => self.lazy(node, tag == "and"),
            "filter" => self.strict_of(node, Strict::Filter, &["func", "list"]),
            "fold" => self.strict_of(node, Strict::Fold, &["func", "init", "list"]),
            "next" => self.both(node, |first, then| Expr::Next { first, then }),
            "beside" => self.both(node, |first, then| Expr::Beside { first, then }),
            "try" => self.attempt(node),
            "par" => self.all(node),
            "race" => self.race(node),
            "pmap" => {
                let collect = node.member("collect").and_then(Node::as_bool) == Some(true);
                self.strict_of(node, Strict::Parallel { collect }, &["width", "func", "list"])
            }
            "sleep" => self.strict_of(node, Strict::Sleep, &["ms"]),
            "timeout" => {
                let child = self.child(node, "child").map(|child| child.id);
                child.and_then(|child| self.strict_of(node, Strict::Timeout(child), &["ms"]))
            }
            "retry" => {
                let child = self.child(node, "child").map(|child| child.id);
                child.and_then(|child| self.strict_of(node, Strict::Retry(child), &["times", "delay_ms"]))
            }
            _ => return self.pools.and_then(|_| self.drive(node, tag)),
        })
    }

    fn call(&mut self, node: Node<'d, '_>) -> Option<Loaded> {
        let pool = self.pool(node);
        let mid = self.member(node, "mid").and_then(|mid| {
            let number = mid.as_number().and_then(|text| text.parse().ok());
            number.or_else(|| self.wrong(mid, "mid is not a whole number of 64 bits".into()))
        });
        let mut params = Vec::new();
        for param in self.list(node, "arg_schemas")? {
            match param.as_str() {
                Some(text) => params.extend(self.parse(param, text)),
                None => {
                    let found = param.shape().name();
                    return self.wrong(param, format!("schema is {found}, expected a string"));
                }
            }
        }
        let returns = self.type_of(node, "return_schema");
        let word = |key: &str| node.member(key).and_then(Node::as_str).unwrap_or("").into();
        let foreign = Foreign {
            pool: pool?,
            mid: mid?,
            params: params.into(),
            returns: returns?,
            at: word("at"),
            name: word("name"),
            function: word("function"),
        };
        let id = self.exprs.add_foreign(foreign);
        Some(Loaded { id, ty: None })
    }

    fn pool(&mut self, node: Node<'d, '_>) -> Option<PoolId> {
        let found = self.member(node, "pool")?;
        let position: Option<u32> = found.as_number().and_then(|text| text.parse().ok());
        let count = self.pools.unwrap_or(0);
        match position.filter(|position| (*position as usize) < count) {
            Some(position) => Some(PoolId(position)),
            None => self.wrong(found, format!("pool is not the position of one of {count} pools")),
        }
    }

    fn operator(&mut self, node: Node<'d, '_>) -> Option<Loaded> {
        let (ty, name) = (self.schema(node), self.text(node, "op"));
        let (ty, name) = (ty?, name?);
        match Operator::from_name(name) {
            Some(op) => self.add(Expr::Operator { op, ty }, None),
            None => self.wrong(node, format!("operator \"{name}\" is not known")),
        }
    }

    /// A boolean of two, of which the second may not be needed.
    fn lazy(&mut self, node: Node<'d, '_>, is_and: bool) -> Option<Loaded> {
        let (left, right) = (self.child(node, "left"), self.child(node, "right"));
        let (left, right) = (left?, right?);
        let known = self.exprs.add(Expr::Bool(!is_and));
        let (then, otherwise) = match is_and {
            true => (right.id, known),
            false => (known, right.id),
        };
        let choice = Expr::If {
            cond: left.id,
            then,
            otherwise,
        };
        self.add(choice, left.ty)
    }

    fn both(&mut self, node: Node<'d, '_>, of: fn(ExprId, ExprId) -> Expr) -> Option<Loaded> {
        let (first, then) = (self.child(node, "first"), self.child(node, "then"));
        let (first, then) = (first?, then?);
        self.add(of(first.id, then.id), then.ty)
    }

    fn attempt(&mut self, node: Node<'d, '_>) -> Option<Loaded> {
        let ty = self.optional_schema(node);
        let child = self.child(node, "child")?;
        self.add(Expr::Try(child.id), ty?)
    }

    /// A schema that may be left out.
    fn optional_schema(&mut self, node: Node<'d, '_>) -> Option<Option<TypeId>> {
        match node.member("schema") {
            Some(_) => self.schema(node).map(Some),
            None => Some(None),
        }
    }

    fn all(&mut self, node: Node<'d, '_>) -> Option<Loaded> {
        let (ty, elements) = (self.schema(node), self.exprs_of(node, "elements"));
        let (ty, elements) = (ty?, elements?);
        if !matches!(self.types.node(ty), Type::List { len: None, .. }) {
            let spelled = self.types.spell(ty);
            return self.wrong(node, format!("par has type {spelled}, expected a list"));
        }
        let elements = self.exprs.add_children(&elements);
        self.add(Expr::Container { ty, elements }, Some(ty))
    }

    fn race(&mut self, node: Node<'d, '_>) -> Option<Loaded> {
        let ty = self.optional_schema(node);
        let elements = self.exprs_of(node, "elements")?;
        if elements.is_empty() {
            return self.wrong(node, "race has no elements, expected at least one".into());
        }
        let elements = self.exprs.add_children(&elements);
        self.add(Expr::Race(elements), ty?)
    }

    fn strict_of(&mut self, node: Node<'d, '_>, op: Strict, keys: &[&str]) -> Option<Loaded> {
        let ty = self.optional_schema(node);
        let mut args = Vec::new();
        for key in keys {
            args.extend(match *key {
                "func" => self.function(node),
                key => self.child(node, key).map(|child| child.id),
            });
        }
        let ty = ty?;
        if args.len() < keys.len() {
            return None;
        }
        self.strict(op, &args, ty)
    }

    pub(super) fn strict(&mut self, op: Strict, args: &[ExprId], ty: Option<TypeId>) -> Option<Loaded> {
        let args = self.exprs.add_children(args);
        self.add(Expr::Strict { op, args }, ty)
    }

    /// The children of a node, each done before the next begins if it says so.
    pub(super) fn in_turn(&mut self, node: Node<'d, '_>, children: Vec<ExprId>) -> Option<Vec<ExprId>> {
        let Some(member) = node.member("sequential") else {
            return Some(children);
        };
        match member.as_bool() {
            Some(true) => {
                let children = children.into_iter();
                Some(
                    children
                        .map(|child| self.exprs.add(Expr::Joined(child)))
                        .collect(),
                )
            }
            Some(false) => Some(children),
            None => {
                let found = member.shape().name();
                self.wrong(
                    member,
                    format!("\"sequential\" is {found}, expected true or false"),
                )
            }
        }
    }
}
