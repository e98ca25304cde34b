//! The table of kinds: what builds a node of each. Builds none itself.

use super::node::{Build, Known, Node};
use super::{http, listener, router};
use crate::codec::nearest::nearest;
use crate::error::{Error, Kind, Result};
use crate::flow::spec::Spec;

/// Each kind, what builds it, and its own fields.
const KINDS: [(&str, Build, &[&str]); 3] = [
    ("http", http::build, &["url", "method", "timeout"]),
    ("listener", listener::build, &["protocol", "host", "port"]),
    ("router", router::build, &["routes"]),
];

/// Builds a node of a spec whose templates are resolved.
///
/// # Errors
/// Kind `bad_argument`: a kind that nobody knows, a field that it doesn't have, or one that is wrong.
pub fn build(kind: &str, spec: &Spec, known: &Known) -> Result<Box<dyn Node>> {
    let Some((_, build, fields)) = KINDS.iter().find(|row| row.0 == kind) else {
        let error = Error::new(Kind::BadArgument, format!("kind '{kind}' is unknown"));
        let near = nearest(kind, KINDS.iter().map(|row| row.0));
        return Err(match near {
            Some(near) => error.hint(format!("did you mean {near}?")),
            None => error,
        });
    };
    let _ = fields;
    build(spec, known)
}
