//! Fuzzed programs: manifests, expressions and command lines. They are taken, or refused with a reason.

use nexus::cli::request::{self, Request};
use nexus::codec::document::{Document, Node};
use nexus::codec::schema::Types;
use nexus::codec::transcode::msgpack_to_msgpack;
use nexus::core::eval::{Budget, Machine, Outcome};
use nexus::error::Kind;
use nexus::expr::arena::Exprs;
use nexus::expr::load::{LoadError, load};
use nexus::limits::MANIFEST_ERRORS_MAX;
use nexus::manifest::model::Manifest;
use nexus::manifest::parse::parse;
use std::sync::OnceLock;

/// Enough for every kind of step, and over in a millisecond.
const BUDGET: Budget = Budget {
    steps_max: 20_000,
    bytes_max: 1 << 20,
};

/// A manifest is read whole, or every error has a place.
pub fn manifest(input: &[u8]) {
    if let Err(errors) = parse(input, "m") {
        assert!((1..=MANIFEST_ERRORS_MAX + 1).contains(&errors.len()));
        for error in errors {
            assert_eq!(error.kind, Kind::Manifest);
            assert!(error.place.is_some(), "{error:?}");
        }
    }
}

/// An expression that loads ends within its budget, and its value is canonical.
pub fn expression(input: &[u8]) {
    let Ok(document) = Document::parse(input) else {
        return;
    };
    let (mut types, mut exprs) = (Types::default(), Exprs::default());
    let root = match load(document.root(), &mut types, &mut exprs) {
        Ok(root) => root,
        Err(LoadError::Malformed(flaws)) => return assert!(!flaws.is_empty()),
        Err(LoadError::Unsupported { .. }) => return,
    };
    let schema = document.root().member("schema").and_then(Node::as_str);
    let Some(ty) = schema.and_then(|schema| types.parse(schema).ok()) else {
        return;
    };
    let mut machine = Machine::new(root, BUDGET);
    if let Outcome::Done = machine.run(&exprs, &types) {
        let mut value = Vec::new();
        if machine.write_result(&exprs, &types, ty, &mut value).is_ok() {
            let mut canonical = Vec::new();
            msgpack_to_msgpack(&types, ty, &value, &mut canonical).expect("a result is of its type");
            assert_eq!(canonical, value);
        }
    }
}

/// A command line, a word on each line, gives each parameter of a command its source, or is a usage error.
pub fn args(input: &[u8]) {
    static SAMPLE: OnceLock<Manifest> = OnceLock::new();
    let sample = SAMPLE.get_or_init(|| {
        parse(include_bytes!("../../tests/manifests/stats.json"), "stats").expect("the sample is a manifest")
    });
    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
    let words: Vec<String> = text.split('\n').map(str::to_string).collect();
    match request::parse("stats", sample, &words) {
        Ok(Request::Run(invocation)) => assert_eq!(invocation.args.len(), invocation.command.args.len()),
        Ok(_) => {}
        Err(error) => assert_eq!(error.kind, Kind::Usage, "{error:?}"),
    }
}
